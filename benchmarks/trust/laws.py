"""The law of a rounded number: what draws in a dtype should look like.

A draw stands for all numbers that round to it. So the probability of draws up to a value is the
distribution function half a step above it, and draws in bfloat16 test the sampler, not the dtype.
Rounding stays inside the support, as every draw does: its ends stand for all beyond them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

__all__ = ["DTYPES", "Grid", "Law", "rounded", "up"]

DTYPES = {name: np.dtype(getattr(jnp, name)) for name in ("float32", "float64")} | {
    name: np.dtype(getattr(jnp, name)) for name in ("bfloat16", "float16")
}
CELLS = 4096  # a float32 sampler has 2^23 words at least, so that a cell holds 2048 of them
FULL = 1000  # draws that a cell is to hold, for chi-square's sake
TAILS = 10.0 ** -np.arange(3.0, 8.0)  # the tails that are counted
EDGE = 1e-7  # moments are those of a draw held within its quantiles of this and 1 - this
SERIAL = 1e-3  # and serial correlations of one held within these


@dataclasses.dataclass(frozen=True)
class Law:
    """A distribution: functions of float64 arrays, and its support.

    With `open_low`, `open_high` the end itself is no draw.
    """

    cdf: Callable[[Any], Any]
    sf: Callable[[Any], Any]
    ppf: Callable[[Any], Any]
    isf: Callable[[Any], Any]
    low: float = -np.inf
    high: float = np.inf
    open_low: bool = False
    open_high: bool = False


# ---------------------------------------------------------------- the grid of a dtype


def _ordered(x: np.ndarray) -> np.ndarray:
    """Integers in the order of a dtype's numbers, one apart where these are neighbours."""
    bits = x.view(f"i{x.dtype.itemsize}").astype(np.int64)
    return np.where(bits < 0, np.int64(-(2 ** (8 * x.dtype.itemsize - 1))) - bits, bits)


def _number(order: np.ndarray, dtype: np.dtype) -> np.ndarray:
    least = np.int64(-(2 ** (8 * dtype.itemsize - 1)))
    return np.where(order < 0, least - order, order).astype(f"i{dtype.itemsize}").view(dtype)


def up(x: np.ndarray, steps: int = 1) -> np.ndarray:
    """The number of x's dtype that is some steps above, or below."""
    return _number(_ordered(np.asarray(x)) + steps, x.dtype)


def rounded(x: Any, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.atleast_1d(np.asarray(x, np.float64)).astype(dtype)


def _edge(values: np.ndarray) -> np.ndarray:
    """Half a step above each value, in float64: where the next value begins."""
    with np.errstate(over="ignore"):
        here, there = values.astype(np.float64), up(values).astype(np.float64)
    return np.where(np.isfinite(there), here / 2 + there / 2, here)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Values of a dtype, with the probabilities of a draw up to each and beyond each."""

    law: Law
    dtype: np.dtype

    @functools.cached_property
    def ends(self) -> tuple[Any, Any]:
        """The smallest and the largest number of the dtype that may be drawn."""
        law, info = self.law, jnp.finfo(self.dtype)
        low, high = (rounded(b, self.dtype) for b in (law.low, law.high))
        if not np.isfinite(low[0].astype(float)):
            low = rounded(-float(info.max), self.dtype)
        elif float(low[0]) < law.low or (law.open_low and float(low[0]) == law.low):
            low = up(low)
        if not np.isfinite(high[0].astype(float)):
            high = rounded(float(info.max), self.dtype)
        elif float(high[0]) > law.high or (law.open_high and float(high[0]) == law.high):
            high = up(high, -1)
        return low[0], high[0]

    def at(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The probability of a draw up to each value, and of one beyond it."""
        low, high = (float(e) for e in self.ends)
        x, edges = values.astype(np.float64), _edge(values)
        below = np.asarray(self.law.cdf(edges), float)
        above = np.asarray(self.law.sf(edges), float)
        out, all_ = x < low, x >= high
        below = np.where(out, 0.0, np.where(all_, 1.0, below))
        return below, np.where(out, 1.0, np.where(all_, 0.0, above))

    def before(self, values: np.ndarray) -> np.ndarray:
        """The probability of a draw below each value."""
        return self.at(up(values, -1))[0]

    def quantiles(self, n: int) -> np.ndarray:
        """The values, in float64, that cut the law into `n` parts as equal as the dtype allows."""
        values = self.nearest(self.law.ppf(np.arange(1, n) / n))
        below, above = self.at(values.astype(self.dtype))
        return values[(below > 0) & (above > 0)]

    def nearest(self, numbers: Any) -> np.ndarray:
        """Numbers as values of the dtype that may be drawn, sorted, each once."""
        low, high = (e.astype(np.float64) for e in self.ends)
        return np.unique(np.clip(rounded(numbers, self.dtype).astype(np.float64), low, high))

    # ------------------------------------------------------------ what is made once per battery

    @functools.cached_property
    def values(self) -> np.ndarray:
        """At equal probabilities and in both tails, without the last value; in float64."""
        shares = np.arange(1, CELLS) / CELLS
        tails = 10.0 ** -np.arange(3.0, 7.01, 0.25)
        law = self.law
        numbers = [law.ppf(shares), law.ppf(tails), law.isf(tails)]
        values = self.nearest(np.concatenate([np.atleast_1d(x) for x in numbers]))
        below, above = self.at(values.astype(self.dtype))
        return values[(below > 0) & (above > 0)]

    @functools.cached_property
    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        return self.at(self.values.astype(self.dtype))

    def full(self, n: int) -> np.ndarray:
        """Which of `values` end cells of equal probability, or of `FULL` draws where that is more.

        By index; the last cell is what lies beyond the last of them.
        """
        below, above = self.probabilities
        least = max(FULL / n, 1 / CELLS * 0.9)
        chosen, last_below, last_above = [], 0.0, 1.0
        for i, (f, s) in enumerate(zip(below, above, strict=True)):
            cell = f - last_below if f < 0.5 else last_above - s
            if cell >= least and s >= least:
                chosen.append(i)
                last_below, last_above = f, s
        return np.array(chosen, int)

    @functools.cached_property
    def tails(self) -> tuple[np.ndarray, np.ndarray]:
        """Values that cut off the tails that are counted: lower ones, upper ones; in float64.

        Of a tail narrower than a step of the dtype nothing is left.
        """
        lower, upper = (self.nearest(f(TAILS)) for f in (self.law.ppf, self.law.isf))
        return tuple(  # beyond the last value nothing is left
            values[(f > 0) & (s > 0)]
            for values in (lower, upper)
            for f, s in [self.at(values.astype(self.dtype))]
        )

    def nodes(self, edge: float) -> tuple[np.ndarray, np.ndarray]:
        """The law of a draw held within its quantiles of `edge` and 1 - `edge`, on nodes.

        Of a 16-bit float every value is a node. Otherwise nodes are the middles of panels, each
        of at most 1/4096 of the probability and of the width.
        """
        low, high = self.held(edge)
        if self.dtype.itemsize == 2:
            every = np.arange(*_ordered(rounded([low, high], self.dtype)))
            values = _number(every, self.dtype)
            below, above = self.at(values)
            at = np.append(values.astype(np.float64), high)
        else:
            inside = self.values[(self.values > low) & (self.values < high)]
            ends = np.unique(np.concatenate([np.linspace(low, high, CELLS + 1), inside]))
            cuts = np.append(ends[:-1], np.nextafter(high, low))  # what sits on `high` is beyond
            below, above = self.law.cdf(cuts), self.law.sf(cuts)
            at = np.concatenate([[low], (ends[1:] + ends[:-1]) / 2, [high]])
        below, above = np.append(below, 1.0), np.append(above, 0.0)
        share = np.where(below < 0.5, np.diff(below, prepend=0.0), -np.diff(above, prepend=1.0))
        keep = share > 0
        return at[keep], share[keep] / share[keep].sum()

    def held(self, edge: float) -> tuple[float, float]:
        """The quantiles of `edge` and 1 - `edge`, as values of the dtype."""
        both = [np.ravel(self.law.ppf(edge))[0], np.ravel(self.law.isf(edge))[0]]
        low, high = (e.astype(np.float64) for e in self.ends)
        return tuple(np.clip(rounded(both, self.dtype).astype(np.float64), low, high))
