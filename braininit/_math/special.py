"""Special functions in float64 NumPy, where SciPy's are not accurate enough.

Tails of the incomplete gamma and beta functions for shapes of any size, and their building blocks:
differences of nearly equal numbers, without loss of digits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # submodules are imported lazily

LOG_SQRT_2PI = math.log(2 * math.pi) / 2

# ---------------------------------------------------------------- tails


def gamma_tails(k: Any, y: Any, away: Any, kernel: Any) -> tuple[Any, Any]:
    """P and Q of the incomplete gamma function at y = k (1 + away)."""
    tiny = y < 1e-290  # the first term of the series is enough, also if y underflows
    below = np.where(tiny, kernel / k, scipy.special.gammainc(k, y))
    above = np.where(tiny, 1 - below, scipy.special.gammaincc(k, y))
    large = k > _LARGE
    if not np.any(large):
        return below, above
    # In log y the density at the distance w is e^(k w - y (e^w - 1)), times the kernel.
    side = np.where(away < 0, -1.0, 1.0)
    tail = kernel * integral(
        lambda w: k * abs(away) * w + y * exp_excess(side * w), k * abs(away), y
    )
    return (
        np.where(large, np.where(side < 0, tail, 1 - tail), below),
        np.where(large, np.where(side < 0, 1 - tail, tail), above),
    )


def beta_tails(a: Any, b: Any, y: Any, away: Any, kernel: Any) -> tuple[Any, Any]:
    """Both sides of the incomplete beta function at y <= 1/2, where n y - a = away."""
    n = a + b
    tiny = y < 1e-17 / n  # the first term of the series is enough
    below = np.where(tiny, kernel / a, scipy.special.betainc(a, b, y))
    above = np.where(tiny, 1 - below, scipy.special.betaincc(a, b, y))
    # SciPy's tails lose digits with large shapes, and from 1e-290 on.
    integrated = (n > _LARGE) & (np.minimum(a, b) >= 1)
    integrated |= (np.minimum(below, above) < 1e-280) & ~tiny
    if not np.any(integrated):
        return below, above
    # In log(y / (1 - y)) the density at the distance w is e^(a w - n log(1 + y (e^w - 1))).
    side = np.where(away < 0, -1.0, 1.0)

    def exponent(w: Any) -> Any:
        z = y * np.expm1(side * w)
        return abs(away) * w + n * (y * exp_excess(side * w) - excess(z, np.log1p(z)))

    tail = kernel * integral(exponent, abs(away), n * y * (1 - y))
    return (
        np.where(integrated, np.where(side < 0, tail, 1 - tail), below),
        np.where(integrated, np.where(side < 0, 1 - tail, tail), above),
    )


_LARGE = 1e4  # SciPy's incomplete functions lose digits with larger shapes


@functools.cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(64)
    return (x + 1) / 2, w / 2


def integral(
    exponent: Callable[[Any], Any],
    slope: Any,
    curvature: Any,
    reach: Any = np.inf,
    weight: Callable[[Any], Any] = np.ones_like,
) -> Any:
    """Integral of weight(t) e^-exponent(t) from 0 to `reach`, for an increasing exponent.

    `slope` and `curvature` are derivatives of the exponent at 0, where it is 0.
    """
    # Beyond the cut the exponent is above 37, and the integral below rounding.
    cut = np.minimum(reach, 80 / (slope + np.hypot(slope, np.sqrt(80.0) * np.sqrt(curvature))))
    while (more := ((drop := exponent(cut)) < 37) & (cut < reach) & (cut > 0)).any():
        cut = np.where(more, np.minimum(reach, 2 * cut), cut)

    def integrand(s: Any) -> Any:
        return weight(s * cut) * np.exp(-exponent(s * cut))

    s, w = _nodes()
    if np.size(drop) > _MOST_AT_ONCE:  # all nodes at once would take 64 times the memory
        return cut * sum(w_i * integrand(s_i) for s_i, w_i in zip(s, w, strict=True))
    s, w = (a.reshape(-1, *[1] * np.ndim(drop)) for a in (s, w))
    return cut * (w * integrand(s)).sum(0)


_MOST_AT_ONCE = 10_000


# ---------------------------------------------------------------- without cancellation


def log_ratio(x: Any, y: Any, exponent: Any = 0) -> Any:
    """Log of x / (y 2^exponent), accurate near 0 and where the ratio overflows."""
    (x_bare, x_exponent), (y_bare, y_exponent) = np.frexp(x), np.frexp(y)
    far = np.log(x_bare / y_bare) + (x_exponent - y_exponent - exponent) * math.log(2)
    away = (np.ldexp(x, -exponent) - y) / y
    return np.where(abs(away) < 0.1, np.log1p(away), far)


def excess(x: Any, log: Any) -> Any:
    """The difference x - log(1 + x), by a series where the two are close."""
    near = np.clip(x, -0.1, 0.1)
    series = near**2 * np.polyval([(-1) ** n / (n + 2) for n in range(16, -1, -1)], near)
    return np.where(abs(x) < 0.1, series, x - log)


def exp_excess(x: Any) -> Any:
    """e^x - 1 - x, by a series near 0."""
    near = np.clip(x, -0.1, 0.1)
    series = near**2 * np.polyval([1 / math.factorial(n + 2) for n in range(9, -1, -1)], near)
    return np.where(abs(x) < 0.1, series, np.expm1(x) - x)


def stirling(x: Any) -> Any:
    """Log of gamma(x) less Stirling's formula, (x - 1/2) log x - x + log sqrt(2 pi)."""
    inverse = 1 / np.maximum(x, 10)
    series = inverse * np.polyval([-1 / 1680, 1 / 1260, -1 / 360, 1 / 12], inverse**2)
    direct = scipy.special.gammaln(x) - (x - 0.5) * np.log(x) + x - LOG_SQRT_2PI
    return np.where(x < 10, direct, series)


def difference(x: Any, y: Any) -> tuple[Any, Any]:
    """The difference, and its rounding error (Knuth)."""
    rounded = x - y
    part = rounded - x
    return rounded, (x - (rounded - part)) - (y + part)


def product(x: Any, y: Any) -> tuple[Any, Any]:
    """The product, and its rounding error (Dekker)."""

    def halves(x: Any) -> tuple[Any, Any]:
        large = x * (2.0**27 + 1)
        upper = large - (large - x)
        return upper, x - upper

    rounded, (x_up, x_low), (y_up, y_low) = x * y, halves(x), halves(y)
    return rounded, ((x_up * y_up - rounded) + x_up * y_low + x_low * y_up) + x_low * y_low
