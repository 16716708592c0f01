"""Moments of a law by quadrature, on panels between its quantiles."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

__all__ = ["gauss", "moments", "spread"]

# Tail probabilities at which panels meet, so close that the density falls little within a panel.
_LEVELS = np.r_[300:100:9j, 90:30:9j, 26, 23, 20, 18, 16, 14.5, 13:4:10j, 3.3, 2.6, 2, 1.5, 1, 0.6]


@functools.cache
def gauss(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, w / 2


@functools.lru_cache(maxsize=16)
def _slopes(n: int) -> np.ndarray:
    """The matrix from values at the nodes to the derivatives of their polynomial there."""
    x, _ = gauss(n)
    gaps = x[:, None] - x + np.eye(n)
    ratios = gaps.prod(1)[:, None] / gaps.prod(1) / gaps
    return ratios - np.diag(ratios.sum(1))  # a constant has the derivative 0


def moments(
    law: Any, function: Any = None, change: Any = None, pole: float = 0.0
) -> tuple[Any, Any, Any, Any]:
    """Mean, std, skewness and kurtosis of x or of a function of x; infinite or NaN if undefined.

    ``change(start, x, away)`` returns function(x) - function(start) without cancellation, where
    x = start + away. The function grows as |x|^-pole at 0; a moment that barely exists, within 4%
    of the pole, is NaN.
    Panels end at quantiles, so that they fit every law, at its breaks and at 0. A panel that spans
    an octave or more, seen from a bound or from 0, is integrated over the logarithm.
    """
    with np.errstate(all="ignore"):
        shape = np.shape(law.cdf(0.0))
        levels = (10.0**-_LEVELS).reshape(-1, *[1] * len(shape))
        median = np.broadcast_to(law.ppf(0.5), shape)
        if pole:  # not where the function itself is infinite
            sides = law.ppf(0.25), law.ppf(0.75)
            median = np.where(abs(sides[0]) > abs(sides[1]), *sides) + np.zeros(shape)
        low, high = (np.broadcast_to(end, shape) for end in law.support)
        inside = [np.asarray(x, float)[None] for x in (median, 0.0, *law.breaks)]
        edges = [law.ppf(levels), law.isf(levels), *inside]
        edges = np.concatenate([np.broadcast_to(x, (len(x), *shape)) for x in edges])
        edges = np.sort(np.clip(edges, low, high), axis=0)
        start = np.where(np.isfinite(low), low, edges[0])
        end = np.where(np.isfinite(high), high, edges[-1])
        decades = np.r_[1:16, 20:300:8] if pole else np.r_[1:16]
        gaps = (end - start) * 10.0 ** -decades.reshape(-1, *[1] * len(shape)).astype(float)
        # Without a bound, panels grow outwards from 0.
        near_low = np.where(np.isfinite(low), start, 0.0) + gaps
        near_high = np.where(np.isfinite(high), end, 0.0) - gaps
        near = (np.clip(x, start, end) for x in (near_low, near_high))
        origins = low, high
        if pole:
            near = *near, *(np.clip(x, start, end) for x in (-gaps, gaps))
            origins = 0.0, low, high
        ends = (start[None], *near, end[None])
        edges = np.sort(np.concatenate([*ends, edges]), axis=0)
        nodes, weights = (a.reshape(-1, *[1] * edges.ndim) for a in gauss(24))
        x, away, measure, lost = spread(nodes, edges[:-1], edges[1:], origins, median)
        density = law.pdf(x)  # infinite at atoms, and where a pole is nearer than floats resolve
        # Where floats are sparse, x is rounded off its node: correct the density by its slope.
        offset = lost / measure
        rise = offset * np.tensordot(_slopes(24), density, 1)
        density = density + np.where((abs(offset) < 0.01) & np.isfinite(rise), rise, 0.0)
        mass = np.where(density < np.inf, weights * measure * density, 0.0)
        atoms = list(law.atoms)
        total = mass.sum((0, 1)) + sum(p for _, p in atoms)
        if np.any(abs(total - 1) > 1e-12):
            mass, missing = _corrected(law, edges, mass)
            atoms += [(x, p) for x, p in zip(edges, missing, strict=False) if np.any(p)]
            total = mass.sum((0, 1)) + sum(p for _, p in atoms)
        if not np.all((off := abs(total - 1)) < 1e-9):
            raise ArithmeticError(f"the integral of a density is off by {np.max(off):.1e}")
        away_atoms = [(at - median, p) for at, p in atoms]
        if function is not None:
            away = change(median, x, away)
            away_atoms = [(change(median, at, at - median), p) for at, p in atoms]
            median = function(median)
        order = _order_at_zero(law) if pole else np.inf
        even = function is not None and function(np.float64(-1.0)) > 0
        sign = np.where(even | (low >= 0), 1.0, np.where(high <= 0, -1.0, np.nan))
        beyond = (np.inf, np.inf * sign)

        def moment(center: Any, n: int, size: Any = 1.0) -> Any:
            def part(mass: Any, x: Any) -> Any:
                for _ in range(n):  # the power alone may overflow
                    mass = np.where(mass != 0, mass * ((x - center) / size), 0.0)
                return mass

            parts = part(mass, away).sum(0)
            at_atoms = sum(part(p, at) for at, p in away_atoms)
            infinite = (n * pole >= order) | _diverges(mass, parts)
            # A moment that is nearly infinite lies mostly nearer to 0 than tails of 1e-300.
            unknown = ~infinite & (n * pole > 0.96 * order)
            value = np.where(unknown, np.nan, (parts.sum(0) + at_atoms) / total)
            return np.where(infinite, beyond[n % 2], value)

        shift = moment(0.0, 1)
        # In units of the farthest point, then of the std, so that powers are in range.
        far = np.max(np.where(mass > 0, abs(away - shift), 0.0), (0, 1))
        for at, p in away_atoms:
            far = np.maximum(far, np.where(p > 0, abs(at - shift), 0.0))
        far = np.where((far > 0) & (far < np.inf), far, 1.0)
        std = far * np.sqrt(moment(shift, 2, far))
        size = np.where((std > 0) & (std < np.inf), std, 1.0)
        third, fourth = (moment(shift, n, size) * (size / std) ** n for n in (3, 4))
        return median + shift, std, third, fourth - 3


def _corrected(law: Any, edges: Any, mass: Any) -> tuple[Any, Any]:
    """Masses of the points, scaled to the exact mass of their panel, and the mass without points.

    Next to a pole, as of a beta distribution at 1, floats are too sparse to sample the density.
    """
    below, above = (np.abs(np.diff(tail(edges), axis=0)) for tail in (law.cdf, law.sf))
    exact = np.where(law.cdf(edges[1:]) < 0.5, below, above)
    exact = exact - sum(
        np.where((at > edges[:-1]) & (at <= edges[1:]), p, 0) for at, p in law.atoms
    )
    exact, sums = np.maximum(exact, 0), mass.sum(0)
    near = (sums > 0) & (abs(sums - exact) < 0.01 * exact)
    wide = np.diff(edges, axis=0) > 1e-9 * (edges[-1] - edges[0])
    if np.any(~near & wide & (exact > 1e-12)):
        raise ArithmeticError("a density differs from its distribution function")
    scaled = np.where(near, mass * (exact / np.where(near, sums, 1.0)), 0.0)
    return scaled, np.where(near, 0.0, exact)


def _diverges(mass: Any, parts: Any) -> Any:
    """Whether outermost panels without mass still add to the integral."""
    size = 1e-13 * abs(parts).sum(0)
    return sum((mass[:, i].sum(0) < 1e-100) & (abs(parts[i]) > size) for i in (0, 1, -2, -1)) > 0


def _order_at_zero(law: Any) -> Any:
    """The k of a density that behaves as |x|^(k - 1) at 0."""
    rises = (law.log_pdf(s * 1e-250) - law.log_pdf(s * 1e-290) for s in (-1, 1))
    orders = (1 + rise / (40 * np.log(10)) for rise in rises)
    return np.minimum(*(np.where(np.isnan(k), np.inf, k) for k in orders))


def spread(
    nodes: Any, start: Any, end: Any, origins: tuple[Any, ...], center: Any = 0.0
) -> tuple[Any, Any, Any, Any]:
    """Points x of each panel, their distance from a center, dx/dnode, and the rounding errors of x.

    The points of a panel that spans an octave or more, seen from an origin, are spaced
    logarithmically. In a panel far from 0 the distance has more digits than x.
    """
    width = end - start
    x = start + width * nodes
    away, measure = (start - center) + width * nodes, np.broadcast_to(width, x.shape)
    lost = width * nodes - (x - start)
    for origin in origins:
        origin = np.where(np.isfinite(origin), origin, 0.0)
        a, b = start - origin, end - origin
        ratio = np.where(np.sign(a) * np.sign(b) > 0, b / a, 1.0)
        many = np.maximum(ratio, 1 / ratio) > 2
        log = np.log(np.where(many, ratio, 1.0))
        distance = a * np.exp(log * nodes)
        x = np.where(many, origin + distance, x)
        away = np.where(many, (origin - center) + distance, away)
        measure = np.where(many, distance * log, measure)
        lost = np.where(many, distance - (x - origin), lost)
    return x, away, measure, lost
