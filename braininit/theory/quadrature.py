"""Moments of a law by quadrature, between its own quantiles."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

__all__ = ["central_moments", "gauss"]

# Tail probabilities at which the panels meet: within one the density falls little enough.
_LEVELS = np.r_[300:100:9j, 90:30:9j, 26, 23, 20, 18, 16, 14.5, 13:4:10j, 3.3, 2.6, 2, 1.5, 1, 0.6]


@functools.cache
def gauss(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, w / 2


def central_moments(law: Any, center: Any, powers: tuple[int, ...]) -> list[Any]:
    """E[(x - center)^n] for each n, infinite or NaN where there is none.

    Panels end at quantiles, so that they fit every law, at the law's breaks, and at the center.
    Where a panel spans octaves, seen from a bound or from 0, it is integrated in the logarithm.
    """
    with np.errstate(all="ignore"):
        shape = np.broadcast_shapes(np.shape(law.cdf(0.0)), np.shape(center))
        levels = (10.0**-_LEVELS).reshape(-1, *[1] * len(shape))
        inside = [np.asarray(x)[None] for x in (law.ppf(0.5), center, *law.breaks)]
        edges = [law.ppf(levels), law.isf(levels), *inside]
        edges = np.concatenate([np.broadcast_to(x, (len(x), *shape)) for x in edges])
        low, high = (np.broadcast_to(end, shape) for end in law.support)
        edges = np.sort(np.clip(edges, low, high), axis=0)
        start, end = edges[:-1], edges[1:]
        nodes, weights = gauss(24)
        nodes, weights = (a.reshape(-1, *[1] * (len(shape) + 1)) for a in (nodes, weights))
        x, measure = _spread(nodes, start, end, low, high)
        mass = weights * measure * law.pdf(x)
        mass = np.where(measure > 0, mass, 0.0)
        moments = []
        total = mass.sum((0, 1)) + sum(p for _, p in law.atoms)
        for n in powers:
            parts = (mass * (x - center) ** n).sum(0)
            size = abs(parts).sum(0)
            far = np.maximum(abs(parts[0]), abs(parts[-1]))
            value = parts.sum(0) + sum(p * (at - center) ** n for at, p in law.atoms)
            none = np.inf if n % 2 == 0 else np.nan
            moments.append(np.where(far > 1e-13 * size, none, value / total))
    return moments


def _spread(nodes: Any, start: Any, end: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Points of each panel, and the derivative of x by the node."""
    width = end - start
    x, measure = (
        start + width * nodes,
        np.broadcast_to(width, np.broadcast_shapes(nodes.shape, width.shape)),
    )
    for origin in (np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)):
        a, b = start - origin, end - origin
        ratio = np.where(a * b > 0, b / a, 1.0)
        many = np.maximum(ratio, 1 / ratio) > 2
        log = np.log(np.where(many, ratio, 1.0))
        away = a * np.exp(log * nodes)
        x, measure = np.where(many, origin + away, x), np.where(many, away * log, measure)
    return x, measure
