"""Moments of a law by quadrature, between its own quantiles."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

__all__ = ["gauss", "moments", "spread"]

# Tail probabilities at which the panels meet: within one the density falls little enough.
_LEVELS = np.r_[300:100:9j, 90:30:9j, 26, 23, 20, 18, 16, 14.5, 13:4:10j, 3.3, 2.6, 2, 1.5, 1, 0.6]


@functools.cache
def gauss(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, w / 2


def moments(law: Any, function: Any = None, pole: float = 0.0) -> tuple[Any, Any, Any, Any]:
    """Mean, std, skewness and kurtosis, of x or a function of it; infinite or NaN if there is none.

    The function grows as |x|^-pole at 0. Panels end at quantiles, so that they fit every law, at
    its breaks and at 0. A panel that spans octaves, seen from a bound or from 0, is integrated in
    the logarithm.
    """
    with np.errstate(all="ignore"):
        shape = np.shape(law.cdf(0.0))
        levels = (10.0**-_LEVELS).reshape(-1, *[1] * len(shape))
        median = np.broadcast_to(law.ppf(0.5), shape)
        low, high = (np.broadcast_to(end, shape) for end in law.support)
        inside = [np.asarray(x, float)[None] for x in (median, 0.0, *law.breaks)]
        edges = [law.ppf(levels), law.isf(levels), *inside]
        edges = np.concatenate([np.broadcast_to(x, (len(x), *shape)) for x in edges])
        edges = np.sort(np.clip(edges, low, high), axis=0)
        nodes, weights = (a.reshape(-1, *[1] * edges.ndim) for a in gauss(24))
        x, away, measure = spread(nodes, edges[:-1], edges[1:], low, high, median)
        density = law.pdf(x)  # infinite at atoms, and where a pole is nearer than floats resolve
        mass = np.where(density < np.inf, weights * measure * density, 0.0)
        total = mass.sum((0, 1)) + sum(p for _, p in law.atoms)
        if not np.all(abs(total - 1) < 1e-9):
            raise ArithmeticError(f"a density integrates to {total}, not to 1")
        atoms = [(at - median, p) for at, p in law.atoms]
        if function is not None:
            median = function(median)
            away, atoms = function(x) - median, [(function(at) - median, p) for at, p in law.atoms]
        order = _order_at_zero(law) if pole else np.inf
        positive = (low >= 0) if function is None else np.all(function(x) >= 0, (0, 1))
        beyond = (np.inf, np.where(positive, np.inf, np.nan))

        def moment(center: Any, n: int) -> Any:
            parts = np.where(mass > 0, mass * (away - center) ** n, 0.0).sum(0)
            at_atoms = sum(np.where(p > 0, p * (at - center) ** n, 0.0) for at, p in atoms)
            none = (n * pole >= order) | _endless(mass, parts)
            return np.where(none, beyond[n % 2], (parts.sum(0) + at_atoms) / total)

        shift = moment(0.0, 1)
        second, third, fourth = (moment(shift, n) for n in (2, 3, 4))
        std = np.sqrt(second)
        return median + shift, std, third / std**3, fourth / std**4 - 3


def _endless(mass: Any, parts: Any) -> Any:
    """Whether an outermost panel without mass still adds to the integral."""
    size = 1e-13 * abs(parts).sum(0)
    return sum((mass[:, i].sum(0) < 1e-100) & (abs(parts[i]) > size) for i in (0, -1)) > 0


def _order_at_zero(law: Any) -> Any:
    """The k of a density that goes as |x|^(k - 1) at 0."""
    rises = (law.log_pdf(s * 1e-250) - law.log_pdf(s * 1e-290) for s in (-1, 1))
    orders = (1 + rise / (40 * np.log(10)) for rise in rises)
    return np.minimum(*(np.where(np.isnan(k), np.inf, k) for k in orders))


def spread(
    nodes: Any, start: Any, end: Any, low: Any, high: Any, center: Any = 0.0
) -> tuple[Any, Any, Any]:
    """Points of each panel, their distance from a center, and the derivative of x by the node.

    The distance keeps the digits that x has not, in a panel far from 0.
    """
    width = end - start
    x = start + width * nodes
    away, measure = (start - center) + width * nodes, np.broadcast_to(width, x.shape)
    for origin in (np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)):
        a, b = start - origin, end - origin
        ratio = np.where(a * b > 0, b / a, 1.0)
        many = np.maximum(ratio, 1 / ratio) > 2
        log = np.log(np.where(many, ratio, 1.0))
        distance = a * np.exp(log * nodes)
        x = np.where(many, origin + distance, x)
        away = np.where(many, (origin - center) + distance, away)
        measure = np.where(many, distance * log, measure)
    return x, away, measure
