"""Whole numbers by inversion of distribution functions, as tables of whole numbers of 2^-64.

A table is made in NumPy, of numbers that are known; words of 64 random bits are looked up in it.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from braininit._math.elementary import high_product

__all__ = ["Law", "below", "counted", "first_of", "most"]

Words = tuple[jax.Array, jax.Array]


class Law(NamedTuple):
    """A law of whole numbers, and bounds that cut it off."""

    name: str
    """"binomial" or "poisson"."""
    numbers: tuple[float, ...]
    """n and p, or the mean."""
    low: float = -math.inf
    high: float = math.inf


def below(n: jax.typing.ArrayLike, random: Words) -> jax.Array:
    """Whole numbers from 0 to n - 1, by the upper word of the product of 64 random bits and n.

    They are equally likely to n / 2^64.
    """
    n = jnp.asarray(n, jnp.uint32)
    high, low, carried = high_product(random[0], n), random[0] * n, high_product(random[1], n)
    return high + (low + carried < low).astype(jnp.uint32)


def counted(law: Law, random: Words) -> jax.Array:
    """Draws of a law, from the least number on that can be drawn, which is `first_of`."""
    _, high, low = _table(law)
    at = jnp.zeros(random[0].shape, jnp.int32)
    for step in (2**i for i in reversed(range(len(high).bit_length()))):
        probe = jnp.minimum(at + (step - 1), len(high) - 1)
        above, below_it = jnp.asarray(high)[probe], jnp.asarray(low)[probe]
        passed = (above < random[0]) | ((above == random[0]) & (below_it <= random[1]))
        at = jnp.where((at + step <= len(high)) & passed, at + step, at)
    return at


def first_of(law: Law) -> int:
    """The least number that can be drawn."""
    return _table(law)[0]


def most(law: Law) -> int:
    """The largest number that can be drawn."""
    first, high, _ = _table(law)
    return first + len(high)


@functools.lru_cache(maxsize=256)
def _table(law: Law) -> tuple[int, np.ndarray, np.ndarray]:
    """The least number that can be drawn, and P(N <= k) from it on, in two words each.

    What is rarer than 2^-64 can't be drawn. Both tails are summed by themselves, so that none is
    the rest of the other.
    """
    first, p = _probabilities(law)
    cdf, sf = np.cumsum(p), np.append(np.cumsum(p[:0:-1])[::-1], 0.0)
    unit = 2.0**64
    low_side = np.minimum(cdf, 0.5) * unit
    high_side = np.minimum(sf, 0.5) * unit
    rest = np.uint64(2**64 - 1) - high_side.astype(np.uint64) + np.uint64(1)
    at = np.where(cdf < 0.5, low_side.astype(np.uint64), rest)
    held = at[(high_side >= 1)]  # from there on nothing is left: 2^64 itself is no word
    return first, (held >> np.uint64(32)).astype(np.uint32), held.astype(np.uint32)


_MOST = 2**22


def _probabilities(law: Law) -> tuple[int, np.ndarray]:
    """A number, and the probabilities from it on of all that can be drawn.

    By the ratio of one to the one before: that is near 1 where a logarithm of either is large.
    """
    last, p = law.numbers if law.name == "binomial" else (math.inf, 0.0)
    mean = last * p if law.name == "binomial" else law.numbers[0]
    variance = mean * (1 - p)
    low, high = max(math.ceil(max(law.low, 0)), 0), min(last, law.high)
    if not variance:
        if not low <= mean <= high:
            raise ValueError(f"has no number from {low} to {high:g}: all are {mean:g}")
        return int(mean), np.ones(1)
    std = variance**0.5
    start, end = mean - 14 * std - 20, mean + 14 * std + 60
    # Between bounds far out, the numbers next to them are all that there is.
    start, end = min(start, high - 4 * std - 64), max(end, low + 4 * std + 64)
    start, end = max(math.floor(start), low), math.floor(min(end, high))
    if end < start:
        raise ValueError(f"has no number from {law.low:g} to {law.high:g}")
    if end - start > _MOST:
        raise ValueError(f"is of {end - start} numbers, and a table has room for {_MOST}")
    k = np.arange(start + 1, end + 1, dtype=float)
    # That of a binomial is (n - k + 1) p / (k (1 - p)), that of a Poisson its limit for p = 0.
    log = np.append(0.0, np.cumsum(np.log1p((mean + p - k) / (k * (1 - p)))))
    chance = np.exp(log - log.max())
    return start, chance / chance.sum()
