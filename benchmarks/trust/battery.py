"""The battery: from blocks of draws to p-values. Only counts and sums of a block are kept.

Each 2^16 draws, which fit a core's cache, are sorted and counted up to each of 4,000 values; four
moments and ten serial correlations are summed. That takes 10 ns a number. The p-values are computed
after the last draw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from benchmarks.trust import nulls
from benchmarks.trust.laws import EDGE, SERIAL, Grid, dot

__all__ = ["LAGS", "LEVEL", "WIDER", "Counts", "Verdict", "joint", "judge"]

LEVEL = 1e-10  # a smaller p-value fails: 10,000 of them have a false-alarm rate of 1e-6
LAGS = (1, 2, 3, 4, 5, 8, 16, 64, 100, 128)
CHUNK = 2**16
BINS = 32  # per axis, of the joint distribution of two draws
WIDER = 10  # times as many draws for mean and variance

Verdict = dict[str, float]  # check -> p-value


@dataclasses.dataclass
class Counts:
    """Counts and sums of the draws so far."""

    grid: Grid

    def __post_init__(self) -> None:
        grid = self.grid
        self.thresholds = np.unique(np.concatenate([grid.values, *grid.tails]))
        self.up_to = np.zeros(len(self.thresholds), np.int64)  # draws up to each
        self.inner, self.serial = grid.clipped(EDGE), grid.clipped(SERIAL)
        self.n = self.wide = self.outside = 0
        self.least, self.most = np.inf, -np.inf
        self.moments, self.wide_moments = np.zeros(4), np.zeros(2)
        self.products = np.zeros(len(LAGS))
        self.sequences = np.zeros(len(LAGS), np.int64)  # number of products

    def add(self, block: np.ndarray) -> None:
        """Add a block of draws, of the grid's dtype or, as exactly, of a wider one."""
        law, (low, high) = self.grid.law, (float(e) for e in self.grid.ends)
        for start in range(0, len(block), CHUNK):
            x = block[start : start + CHUNK]
            ordered = np.sort(x)
            # NaN sorts to the end, and so counts as beyond every bound.
            below = x <= law.low if law.open_low else x < low
            self.outside += int(np.sum(below) + np.sum(~(x <= high)))
            self.least, self.most = min(self.least, ordered[0]), max(self.most, ordered[-1])
            self.up_to += np.searchsorted(ordered, self.thresholds.astype(x.dtype), side="right")
            z = self.inner(x)
            z2 = z * z
            self.moments += z.sum(), z2.sum(), dot(z2, z), dot(z2, z2)
            w = self.serial(x)
            for i, lag in enumerate(LAGS):
                if lag < len(w):
                    self.products[i] += dot(w[lag:], w[:-lag])
                    self.sequences[i] += len(w) - lag
        self.n += len(block)

    def add_wide(self, block: np.ndarray) -> None:
        """Add a block to mean and variance alone."""
        self.wide += len(block)
        for start in range(0, len(block), CHUNK):
            z = self.inner(block[start : start + CHUNK])
            self.wide_moments += z.sum(), dot(z, z)

    def verdict(self) -> Verdict:
        """Return the p-value of every check."""
        grid, n = self.grid, self.n
        p_values: Verdict = {"outside": 0.0 if self.outside else 1.0}
        p_values |= self._by_cells()
        for side, values in zip(("low", "high"), grid.tails, strict=True):
            below, above = grid.below_and_above(values.astype(grid.dtype))
            counts = self.up_to[np.searchsorted(self.thresholds, values)]
            for p, tail in zip(nulls.binomial(counts, n, below, above), values, strict=True):
                p_values[f"tail {side} {tail:.6g}"] = float(p)
        least, most = (np.array([x]).astype(grid.dtype) for x in (self.least, self.most))
        if not self.outside:
            p_values["farthest low"] = _all_inside(n, grid.strictly_below(least))
            p_values["farthest high"] = _all_inside(n, grid.below_and_above(most)[1])
        p_values |= self._moments() | self._serial()
        return {name: 0.0 if np.isnan(p) else p for name, p in p_values.items()}

    def _by_cells(self) -> Verdict:
        grid, n = self.grid, self.n
        below, above = grid.probabilities
        if not len(below):
            return {}
        up_to = self.up_to[np.searchsorted(self.thresholds, grid.values)]
        off = np.where(below < above, up_to / n - below, above - (n - up_to) / n)
        p_values = {
            "KS": nulls.kolmogorov(np.abs(off).max(), n),
            "AD": nulls.anderson_darling(up_to, n, below, above),
        }
        ends = grid.cell_ends(n)
        if len(ends):
            counts = np.diff(up_to[ends], prepend=0, append=n)
            lower, upper = below[ends], above[ends]
            share = np.where(
                np.append(lower, 1.0) < 0.5,
                np.diff(lower, prepend=0.0, append=1.0),
                -np.diff(upper, prepend=1.0, append=0.0),
            )
            p_values["chi-square"] = nulls.chi_square(counts, share)
            p_values["one cell"] = nulls.extreme_cell(counts, share)
        return p_values

    def _moments(self) -> Verdict:
        z, share = self.inner.nodes, self.inner.share
        if not self.inner.varies:
            return {}
        names = ("mean", "variance", "skewness", "kurtosis")
        p_values = {
            name: nulls.sum_of(self.moments[i] / self.n, self.n, z ** (i + 1), share)
            for i, name in enumerate(names)
        }
        if self.wide:
            n, total = self.n + self.wide, self.moments[:2] + self.wide_moments
            for i, name in enumerate(names[:2]):
                p_values[f"{name}, wide"] = nulls.sum_of(total[i] / n, n, z ** (i + 1), share)
        return p_values

    def _serial(self) -> Verdict:
        return {
            f"lag {lag}": nulls.normal(total / np.sqrt(m))
            for lag, total, m in zip(LAGS, self.products, self.sequences, strict=True)
            if m and self.serial.varies
        }


def _all_inside(n: int, beyond: np.ndarray) -> float:
    """Return the probability that none of `n` draws lies beyond."""
    with np.errstate(divide="ignore"):
        return float(np.exp(n * np.log1p(-beyond[0])))


def judge(grid: Grid, blocks: Iterable[np.ndarray], wide: Iterable[np.ndarray] = ()) -> Verdict:
    """Return the p-values of draws in blocks; `wide` counts for mean and variance alone."""
    counts = Counts(grid)
    for block in blocks:
        counts.add(block)
    for block in wide:
        counts.add_wide(block)
    return counts.verdict()


def joint(grid: Grid, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Verdict:
    """Test two draws for independence: by correlation, and by chi-square of their joint cells."""
    clipped, ends = grid.clipped(SERIAL), grid.quantiles(BINS)
    below, _ = grid.below_and_above(ends.astype(grid.dtype))
    share = np.diff(below, prepend=0.0, append=1.0)
    cells, product, n = np.zeros(len(share) ** 2, np.int64), 0.0, 0
    for first, second in pairs:
        n += len(first)
        product += dot(clipped(first), clipped(second))
        i, j = (np.searchsorted(ends, x.astype(np.float64)) for x in (first, second))
        cells += np.bincount(i * len(share) + j, minlength=len(cells))
    p_values = {"correlation": nulls.normal(product / np.sqrt(n))} if clipped.varies else {}
    if len(share) > 1:
        both = np.outer(share, share).ravel()
        p_values["joint"] = nulls.chi_square(cells, both)
    return p_values
