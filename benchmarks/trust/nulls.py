"""P-values of the battery's statistics, accurate far out, where its threshold of 1e-10 lies.

Kolmogorov-Smirnov has a bound, counts are binomial, Anderson-Darling is a quadratic form with
computed weights, and moments use a saddlepoint approximation. Only chi-square is asymptotic: its
cells hold a thousand draws each, and its least likely cell is tested by the binomial distribution,
too.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from scipy import linalg, stats

from benchmarks.trust.laws import dot

__all__ = [
    "anderson_darling",
    "binomial",
    "chi_square",
    "extreme_cell",
    "kolmogorov",
    "normal",
    "quadratic",
    "sum_of",
]


def normal(z: float) -> float:
    """Two-sided p-value of a standard normal statistic."""
    return float(2 * stats.norm.sf(abs(z)))


def binomial(count: Any, n: int, below: Any, above: Any) -> Any:
    """Two-sided p-value of a count among `n`, of probability `below`; `above` is 1 - `below`.

    The test counts the side of the smaller probability, which is the accurate one.
    """
    below, above = np.asarray(below, float), np.asarray(above, float)
    flip = above < below
    k, p = np.where(flip, n - count, count), np.where(flip, above, below)
    one_sided = np.minimum(stats.binom.cdf(k, n, p), stats.binom.sf(k - 1, n, p))
    return np.minimum(1.0, 2 * one_sided)


def kolmogorov(distance: float, n: int) -> float:
    """Massart's bound on the p-value of the largest distance; it holds for every law and `n`."""
    return float(min(1.0, 2 * np.exp(-2 * n * distance**2)))


def chi_square(counts: np.ndarray, share: np.ndarray) -> float:
    """Two-sided p-value of counts in cells: too good a fit fails as well."""
    expected = counts.sum() * share
    statistic = np.sum((counts - expected) ** 2 / expected)
    law = stats.chi2(len(share) - 1)
    return float(min(1.0, 2 * min(law.sf(statistic), law.cdf(statistic))))


def extreme_cell(counts: np.ndarray, share: np.ndarray) -> float:
    """P-value of the least likely count of all cells."""
    p = binomial(counts, int(counts.sum()), share, 1 - share)
    return float(min(1.0, len(share) * p.min()))


# ---------------------------------------------------------------- quadratic forms


def anderson_darling(counts: np.ndarray, n: int, below: np.ndarray, above: np.ndarray) -> float:
    """P-value of the Anderson-Darling statistic on a grid; `counts` are draws up to each point.

    The statistic is a quadratic form in the empirical process, whose covariance on the grid is a
    Brownian bridge's. So the weights of the form are known for every law, atoms included.
    """
    width = np.diff(below, prepend=0.0), -np.diff(above, append=0.0)  # below and above each point
    kernel = (width[0] + width[1]) / 2 / (below * above)
    empty = n - counts
    off = np.where(below < above, counts / n - below, above - empty / n)
    statistic = n * np.sum(kernel * off**2)
    return quadratic(statistic, _weights(kernel.tobytes(), width[0].tobytes(), width[1].tobytes()))


@functools.lru_cache(maxsize=4)
def _weights(kernel: bytes, left: bytes, right: bytes) -> np.ndarray:
    """Weights of squared normals whose sum has the law of a quadratic form in a Brownian bridge.

    The bridge's covariance has a tridiagonal inverse, whose eigenvalues are 1 / weight.
    """
    k, before, after = (np.frombuffer(b) for b in (kernel, left, right))
    root = np.sqrt(k)
    diagonal = (1 / before + 1 / after) / k
    beside = -1 / after[:-1] / (root[:-1] * root[1:])
    return 1 / linalg.eigvalsh_tridiagonal(diagonal, beside)


def quadratic(x: float, weights: np.ndarray) -> float:
    """P(sum of weights times squared standard normals > x), by Smirnov's formula.

    D(y) = prod(1 - 2 w y) over the weights w changes sign at each y = 1 / 2w. The integrals of
    exp(-x y) / (pi y sqrt|D|) over the intervals of negative D alternate in sign. Far out only the
    first one counts, so nothing cancels.
    """
    poles = 1 / (2 * np.sort(weights)[::-1])
    angle = (np.arange(_NODES) + 0.5) * np.pi / _NODES
    total, sign = 0.0, 1.0
    for i in range(0, len(poles), 2):
        if i + 1 < len(poles):  # Chebyshev's weight has the inverse roots at both ends
            middle, half = (poles[i + 1] + poles[i]) / 2, (poles[i + 1] - poles[i]) / 2
            y = middle + half * np.cos(angle)
            rest, scale = np.delete(poles, [i, i + 1]), np.pi / _NODES
            root = np.sqrt(poles[i] * poles[i + 1])  # (1 - y/a)(1 - y/b) without its two roots
        else:  # the last pole alone: y = pole (1 + s^2)
            s, weight = _half_line(x * poles[i])
            y, rest = poles[i] * (1 + s**2), np.delete(poles, i)
            root, scale = poles[i], 2 * weight
        log_d = np.log(np.abs(1 - y[:, None] / rest)).sum(1) / 2
        part = np.sum(np.exp(-x * y - log_d) / y * root * scale) / np.pi
        total, sign = total + sign * part, -sign
        if part < 1e-17 * abs(total):
            break
    return float(np.clip(total, 0.0, 1.0))


_NODES = 128


def _half_line(rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on (0, inf) for integrands with a factor exp(-rate s^2)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    top = np.sqrt(40 / max(rate, 1e-3))
    return (nodes + 1) * top / 2, weights * top / 2


# ---------------------------------------------------------------- sums of bounded numbers


def sum_of(mean: float, n: int, values: np.ndarray, share: np.ndarray) -> float:
    """Two-sided p-value of the mean of `n` draws of a law on `values`, by Lugannani and Rice.

    Within a third of a standard error it is a normal's, right to 1 % at a thousand draws.
    """
    centre = dot(share, values)
    spread = np.sqrt(dot(share, (values - centre) ** 2))
    if spread == 0:
        return float(mean == centre)
    z, goal = (values - centre) / spread, (mean - centre) / spread
    if abs(goal) * np.sqrt(n) < 1 / 3:
        return normal(goal * np.sqrt(n))
    if not z.min() < goal < z.max():
        return 0.0
    t = _tilt(goal, z, share)
    tilted, log_mgf = _tilted(t, z, share)
    second = dot(tilted, (z - goal) ** 2)
    w = np.sign(t) * np.sqrt(max(2 * n * (t * goal - log_mgf), 0.0))
    u = t * np.sqrt(n * second)
    tail = stats.norm.sf(abs(w)) + stats.norm.pdf(w) * (1 / abs(u) - 1 / abs(w))
    return float(np.clip(2 * tail, 0.0, 1.0))


def _tilted(t: float, z: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, float]:
    exponent = t * z
    top = exponent.max()
    mass = share * np.exp(exponent - top)
    return mass / mass.sum(), float(np.log(mass.sum()) + top)


def _tilt(goal: float, z: np.ndarray, share: np.ndarray) -> float:
    """Solve for the t at which the law tilted by exp(t z) has the mean `goal`: Newton, bisected."""
    low, high = (0.0, 1.0) if goal > 0 else (-1.0, 0.0)
    while True:  # a bracket
        end = high if goal > 0 else low
        reached = dot(_tilted(end, z, share)[0], z)
        if abs(reached) >= abs(goal) or abs(end) > 1e12:
            break
        low, high = (end, 2 * end) if goal > 0 else (2 * end, end)
    t = np.clip(goal, low, high)
    for _ in range(200):
        tilted, _ = _tilted(t, z, share)
        at = dot(tilted, z)
        low, high = (low, t) if at > goal else (t, high)
        step = t - (at - goal) / max(dot(tilted, (z - at) ** 2), 1e-300)
        new = step if low < step < high else (low + high) / 2
        if abs(new - t) <= 1e-14 * abs(t):
            break
        t = new
    return float(t)
