"""Whole numbers by inversion of distribution functions, as tables of multiples of 2^-64.

NumPy makes a table from concrete parameters; words of 64 random bits are looked up in it.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._math.elementary import high_product

__all__ = ["Law", "below", "largest", "offsets", "smallest"]

Words = tuple[jax.Array, jax.Array]


class Law(NamedTuple):
    """A distribution of whole numbers, truncated at bounds."""

    name: str
    """"binomial" or "poisson"."""
    numbers: tuple[float, ...]
    """n and p, or the mean."""
    low: float = -math.inf
    high: float = math.inf


def below(n: jax.typing.ArrayLike, random: Words) -> jax.Array:
    """Whole numbers from 0 to n - 1, by the upper word of the product of 64 random bits and n.

    Their probabilities are equal to within n / 2^64.
    """
    n = jnp.asarray(n, jnp.uint32)
    high, low, carry = high_product(random[0], n), random[0] * n, high_product(random[1], n)
    return high + (low + carry < low).astype(jnp.uint32)


def offsets(law: Law, random: Words) -> jax.Array:
    """Draws less the least number that can be drawn, `smallest`; by binary search.

    A loop: unrolled, XLA computes the words again for each step.
    """
    high, low = (jnp.asarray(x) for x in _table(law)[1:])
    bits, start = len(high).bit_length(), jnp.zeros_like(random[0], jnp.int32)
    if not bits:  # there is only one number
        return start

    def search(turn: Any, index: jax.Array) -> jax.Array:
        step = np.int32(1) << (np.int32(bits - 1) - turn)
        probe = jnp.minimum(index + (step - 1), len(high) - 1)
        high_word, low_word = high[probe], low[probe]
        passed = (high_word < random[0]) | ((high_word == random[0]) & (low_word <= random[1]))
        return jnp.where((index + step <= len(high)) & passed, index + step, index)

    return lax.fori_loop(np.int32(0), np.int32(bits), search, start)


def smallest(law: Law) -> int:
    """The least number that can be drawn."""
    return _table(law)[0]


def largest(law: Law) -> int:
    """The largest number that can be drawn."""
    first, high, _ = _table(law)
    return first + len(high)


@functools.lru_cache(maxsize=256)
def _table(law: Law) -> tuple[int, np.ndarray, np.ndarray]:
    """The least number that can be drawn, and P(N <= k) from it on, in two words each.

    Numbers rarer than 2^-64 can't be drawn. Each tail is summed from its end, not as 1 less the
    other.
    """
    first, p = _probabilities(law)
    cdf, sf = np.cumsum(p), np.append(np.cumsum(p[:0:-1])[::-1], 0.0)
    words = 2.0**64
    lower = np.minimum(cdf, 0.5) * words
    upper = np.minimum(sf, 0.5) * words
    rest = np.uint64(2**64 - 1) - upper.astype(np.uint64) + np.uint64(1)
    thresholds = np.where(cdf < 0.5, lower.astype(np.uint64), rest)
    thresholds = thresholds[upper >= 1]  # beyond, the threshold would be 2^64, which is no word
    return first, (thresholds >> np.uint64(32)).astype(np.uint32), thresholds.astype(np.uint32)


_MOST = 2**22


def _probabilities(law: Law) -> tuple[int, np.ndarray]:
    """The first number, and the probabilities of all numbers from it on.

    From ratios of neighbours: their logarithms are small where those of probabilities are large.
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
    # Between bounds far out, only numbers next to a bound have any probability.
    start, end = min(start, high - 4 * std - 64), max(end, low + 4 * std + 64)
    start, end = max(math.floor(start), low), math.floor(min(end, high))
    if end < start:
        raise ValueError(f"has no number from {law.low:g} to {law.high:g}")
    if end - start > _MOST:
        raise ValueError(f"is of {end - start} numbers, and a table has room for {_MOST}")
    k = np.arange(start + 1, end + 1, dtype=float)
    # The ratio of a binomial is (n - k + 1) p / (k (1 - p)); a Poisson's is the limit for p = 0.
    log = np.append(0.0, np.cumsum(np.log1p((mean + p - k) / (k * (1 - p)))))
    probabilities = np.exp(log - log.max())
    return start, probabilities / probabilities.sum()
