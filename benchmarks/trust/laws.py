"""The law of rounded numbers: the exact distribution of draws in a dtype.

A draw stands for all numbers that round to it. So the probability of a draw up to a value is the
distribution function half a step above it, and draws in bfloat16 test the sampler, not the dtype.
Rounding stays inside the support: the support's ends stand for all numbers beyond them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

__all__ = ["DTYPES", "EDGE", "SERIAL", "Clipped", "Grid", "Law", "dot", "rounded", "up"]

DTYPES = {name: np.dtype(getattr(jnp, name)) for name in ("float32", "float64")} | {
    name: np.dtype(getattr(jnp, name)) for name in ("bfloat16", "float16")
}
CELLS = 4096  # float32 samplers have 2^23 words or more, so a cell holds 2048 of them
FULL = 1000  # draws that a cell needs for chi-square
TAILS = 10.0 ** -np.arange(3.0, 8.0)  # the tails that are counted
EDGE = 1e-7  # moments are of draws clipped at their quantiles of EDGE and 1 - EDGE,
SERIAL = 1e-3  # serial correlations of draws clipped at these


@dataclasses.dataclass(frozen=True)
class Law:
    """A distribution: functions of float64 arrays, and its support.

    With `open_low`, `open_high` the end itself is never drawn. Draws that are not rounded `inward`
    may lie beyond an end: on the value nearest to it, or one rounding further on the next. A
    computed end may be off by `slack` roundings. `whole`: all draws are whole numbers.
    """

    cdf: Callable[[Any], Any]
    sf: Callable[[Any], Any]
    ppf: Callable[[Any], Any]
    isf: Callable[[Any], Any]
    low: float = -np.inf
    high: float = np.inf
    open_low: bool = False
    open_high: bool = False
    inward: bool = True
    slack: int = 0
    whole: bool = False


# ---------------------------------------------------------------- the grid of a dtype


def _ordered(x: np.ndarray) -> np.ndarray:
    """Map numbers to integers in the same order; neighbours in the dtype differ by one."""
    bits, least = x.view(f"i{x.dtype.itemsize}").astype(np.int64), _least(x.dtype)
    return np.where(bits < 0, -(bits & ~least), bits)


def _number(order: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The inverse of `_ordered`."""
    size = np.abs(order)
    bits = np.where(order < 0, size + _least(dtype), size)
    return bits.astype(f"i{dtype.itemsize}").view(dtype)


def _least(dtype: np.dtype) -> np.int64:
    """Return the sign bit alone, as an integer."""
    return np.int64(-(2 ** (8 * dtype.itemsize - 1)))


def up(x: np.ndarray, steps: int = 1) -> np.ndarray:
    """Return the number `steps` steps above x in its dtype; below for negative steps."""
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
    """The values of a dtype under a law, with the probabilities of draws below and above them."""

    law: Law
    dtype: np.dtype

    @functools.cached_property
    def ends(self) -> tuple[np.floating, np.floating]:
        """The smallest and the largest number of the dtype that may be drawn."""
        law, most = self.law, float(jnp.finfo(self.dtype).max)
        ends = []
        for bound, inward, is_open in ((law.low, 1, law.open_low), (law.high, -1, law.open_high)):
            if abs(bound) > most:
                ends.append(rounded(-inward * most, self.dtype)[0])
                continue
            # Narrow dtypes are drawn in float32, where their bounds lie.
            drawn = np.dtype(np.float64 if self.dtype.itemsize == 8 else np.float32)
            bound = float(up(rounded(bound, drawn), -inward * law.slack)[0])
            ends.append(self._end(rounded(bound, self.dtype)[0], bound, inward, is_open))
        if law.open_low and law.low == 0:
            ends[0] = max(ends[0], rounded(self.tiny, self.dtype)[0])
        return ends[0], ends[1]

    @property
    def tiny(self) -> float:
        """The smallest number of XLA but 0: draws below it are 0, or `tiny` if 0 is never drawn."""
        info = jnp.finfo(self.dtype)
        return float(info.smallest_subnormal if self.dtype == np.float16 else info.tiny)

    def _end(self, value: Any, bound: float, inward: int, is_open: bool) -> Any:
        """Return the end of the draws at a bound, to which `value` is the nearest of the dtype."""
        over = (bound - float(value)) * inward
        if over == 0 and is_open:
            return up(value, inward)
        if self.law.inward:
            return up(value, inward) if over > 0 else value
        return value if over > 0 else up(value, -inward)

    def below_and_above(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities of a draw up to each value, and of one beyond it."""
        low, high = (float(e) for e in self.ends)
        x = values.astype(np.float64)
        edges = _edge(values)
        if self.law.whole:  # half a step of float64 rounds to the number itself
            edges = np.where(edges - x < 0.5, np.floor(x) + 0.5, edges)
        below = np.asarray(self.law.cdf(edges), float)
        above = np.asarray(self.law.sf(edges), float)
        none, every = x < low, x >= high
        below = np.where(none, 0.0, np.where(every, 1.0, below))
        return below, np.where(none, 1.0, np.where(every, 0.0, above))

    def strictly_below(self, values: np.ndarray) -> np.ndarray:
        """Return the probability of a draw below each value, without the value itself."""
        return self.below_and_above(up(values, -1))[0]

    def quantiles(self, n: int) -> np.ndarray:
        """Return the values, in float64, that cut the law into `n` parts as equal as can be."""
        values = self.nearest(self.law.ppf(np.arange(1, n) / n))
        below, above = self.below_and_above(values.astype(self.dtype))
        return values[(below > 0) & (above > 0)]

    def nearest(self, numbers: Any) -> np.ndarray:
        """Return the nearest values that may be drawn, sorted, each once."""
        return np.unique(self._drawable(numbers))

    def _drawable(self, numbers: Any) -> np.ndarray:
        low, high = (e.astype(np.float64) for e in self.ends)
        x = rounded(numbers, self.dtype).astype(np.float64)
        x = np.where(abs(x) < self.tiny, 0.0 if self.law.whole else self.tiny, x)
        return np.clip(x, low, high)

    # ------------------------------------------------------------ computed once per battery

    @functools.cached_property
    def values(self) -> np.ndarray:
        """Quantiles of equal probability and of both tails, without the last value; in float64."""
        shares = np.arange(1, CELLS) / CELLS
        tails = 10.0 ** -np.arange(3.0, 7.01, 0.25)
        law = self.law
        numbers = [law.ppf(shares), law.ppf(tails), law.isf(tails)]
        values = self.nearest(np.concatenate([np.atleast_1d(x) for x in numbers]))
        below, above = self.below_and_above(values.astype(self.dtype))
        return values[(below > 0) & (above > 0)]

    @functools.cached_property
    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        return self.below_and_above(self.values.astype(self.dtype))

    def cell_ends(self, n: int) -> np.ndarray:
        """Return indices into `values` that end cells of 1 / `CELLS`, or of `FULL` draws if more.

        The last cell is all beyond the last of these values.
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
        """The quantiles of `TAILS`, lower and upper; in float64.

        Tails narrower than a step of the dtype are left out.
        """
        lower, upper = (self.nearest(f(TAILS)) for f in (self.law.ppf, self.law.isf))
        return tuple(  # without the last value, beyond which nothing is drawn
            values[(f > 0) & (s > 0)]
            for values in (lower, upper)
            for f, s in [self.below_and_above(values.astype(self.dtype))]
        )

    def clipped(self, edge: float) -> Clipped:
        """See `Clipped`."""
        return _clipped(self, edge)

    def nodes(self, edge: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the law of draws clipped at their quantiles of `edge` and 1 - `edge`, on nodes.

        Every value of a 16-bit float is a node, and every whole number of a law of these. Otherwise
        nodes are the middles of panels, each of at most 1/4096 of the probability and of the width.
        """
        low, high = self.within(edge)
        if self.dtype.itemsize == 2:
            order = np.arange(*_ordered(rounded([low, high], self.dtype)))
            values = _number(order, self.dtype)
            below, above = self.below_and_above(values)
            at = np.append(values.astype(np.float64), high)
        elif self.law.whole and high - low < 2**20:
            at = np.arange(low, high + 1)
            below, above = self.law.cdf(at[:-1]), self.law.sf(at[:-1])
        else:
            inside = self.values[(self.values > low) & (self.values < high)]
            ends = np.unique(np.concatenate([np.linspace(low, high, CELLS + 1), inside]))
            cuts = np.append(ends[:-1], np.nextafter(high, low))  # `high` itself is the last node
            below, above = self.law.cdf(cuts), self.law.sf(cuts)
            at = np.concatenate([[low], (ends[1:] + ends[:-1]) / 2, [high]])
        below, above = np.append(below, 1.0), np.append(above, 0.0)
        share = np.where(below < 0.5, np.diff(below, prepend=0.0), -np.diff(above, prepend=1.0))
        keep = share > 0
        return at[keep], share[keep] / share[keep].sum()

    def within(self, edge: float) -> tuple[float, float]:
        """Return the quantiles of `edge` and 1 - `edge`, as values of the dtype."""
        both = [np.ravel(self.law.ppf(edge))[0], np.ravel(self.law.isf(edge))[0]]
        low, high = self._drawable(both)
        return float(low), float(high)


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Sum products on one core: BLAS uses all of them, and takes thirty times as long."""
    return float(np.einsum("i,i->", a, b))


class Clipped:
    """Clips draws at two quantiles and scales them to mean 0 and variance 1 under the law."""

    def __init__(self, grid: Grid, edge: float) -> None:
        self.low, self.high = grid.within(edge)
        nodes, self.share = grid.nodes(edge)
        self.mean = dot(self.share, nodes)
        self.varies = len(nodes) > 1  # not if the dtype has one value there
        self.std = np.sqrt(dot(self.share, (nodes - self.mean) ** 2)) if self.varies else 1.0
        self.nodes = (nodes - self.mean) / self.std

    def __call__(self, x: np.ndarray) -> np.ndarray:
        z = np.clip(x, self.low, self.high).astype(np.float64)
        z -= self.mean
        z /= self.std
        return z


_clipped = functools.lru_cache(maxsize=8)(Clipped)
