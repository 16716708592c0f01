"""Whole numbers by inversion: distribution functions as tables of whole numbers of 2^-64.

A table is made in NumPy, of numbers that are known; words of 64 random bits are looked up in it.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are first named

__all__ = ["Law", "counted", "most"]

Words = tuple[jax.Array, jax.Array]


class Law(NamedTuple):
    """A law of whole numbers, and bounds that cut it off."""

    name: str
    """"binomial", "poisson" or "uniform"."""
    numbers: tuple[float, ...]
    """n and p, the mean, or the ends, of which the upper one is left out."""
    low: float = -math.inf
    high: float = math.inf


def counted(law: Law, random: Words) -> jax.Array:
    """Draws of a law, by inversion of its distribution function."""
    first, high, low = _table(law)
    at = jnp.zeros(random[0].shape, jnp.int32)
    for step in (2**i for i in reversed(range(len(high).bit_length()))):
        probe = jnp.minimum(at + (step - 1), len(high) - 1)
        above, below_it = jnp.asarray(high)[probe], jnp.asarray(low)[probe]
        passed = (above < random[0]) | ((above == random[0]) & (below_it <= random[1]))
        at = jnp.where((at + step <= len(high)) & passed, at + step, at)
    return at + first


def most(law: Law) -> int:
    """The largest number that can be drawn."""
    first, high, _ = _table(law)
    return first + len(high)


@functools.lru_cache(maxsize=256)
def _table(law: Law) -> tuple[int, np.ndarray, np.ndarray]:
    """The least number that can be drawn, and P(N <= k) from it on, in two words each.

    What is rarer than 2^-64 can't be drawn. Both tails are computed by themselves, so that none
    is the rest of the other.
    """
    k = np.arange(*_range(law))
    cut = law.low > -math.inf or law.high < math.inf
    if law.name == "binomial" and not cut:
        n, p = law.numbers
        cdf, sf = scipy.special.bdtr(k, int(n), p), scipy.special.bdtrc(k, int(n), p)
    elif law.name == "poisson" and not cut:
        cdf, sf = scipy.special.pdtr(k, law.numbers[0]), scipy.special.pdtrc(k, law.numbers[0])
    else:
        p = _probabilities(law, k)
        cdf, sf = np.cumsum(p), np.append(np.cumsum(p[:0:-1])[::-1], 0.0)
    unit = 2.0**64
    low_side = np.minimum(cdf, 0.5) * unit
    high_side = np.minimum(sf, 0.5) * unit
    rest = np.uint64(2**64 - 1) - high_side.astype(np.uint64) + np.uint64(1)
    at = np.where(cdf < 0.5, low_side.astype(np.uint64), rest)
    held = at[(high_side >= 1)]  # from there on nothing is left: 2^64 itself is no word
    return int(k[0]), (held >> np.uint64(32)).astype(np.uint32), held.astype(np.uint32)


_MOST = 2**22


def _range(law: Law) -> tuple[int, int]:
    """From the least number that can be drawn up to the largest, and one more."""
    if law.name == "uniform":
        start, end = law.numbers[0], law.numbers[1] - 1
    else:
        mean, variance, last = law.numbers[0], law.numbers[0], math.inf
        if law.name == "binomial":
            last, p = law.numbers
            mean, variance = last * p, last * p * (1 - p)
        std = variance**0.5
        start, end = max(mean - 14 * std - 20, 0), min(mean + 14 * std + 60, last)
        # Between bounds far out, the numbers next to them are all that there is.
        start = min(start, max(law.high - 4 * std - 64, 0))
        end = max(end, min(law.low + 4 * std + 64, last))
    start, end = max(math.floor(start), law.low), min(math.floor(end), law.high)
    if not start <= end:
        raise ValueError(f"there is no number between {law.low:g} and {law.high:g} to be drawn")
    if end - start > _MOST:
        raise ValueError(f"{end - start:g} numbers are more than a table of them has room for")
    return math.ceil(start), math.floor(end) + 1


def _probabilities(law: Law, k: np.ndarray) -> np.ndarray:
    """Those of numbers among which all are that can be drawn."""
    if law.name == "uniform":
        return np.full(k.size, 1 / k.size)
    log = -scipy.special.gammaln(k + 1.0)
    if law.name == "poisson":
        log += scipy.special.xlogy(k, law.numbers[0])
    else:
        n, p = law.numbers
        log += scipy.special.xlogy(k, p) + scipy.special.xlog1py(n - k, -p)
        log -= scipy.special.gammaln(n - k + 1.0)
    p = np.exp(log - log.max())
    return p / p.sum()
