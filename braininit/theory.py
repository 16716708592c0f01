"""What the distributions should look like: mean, std, density and distribution function.

All in float64 NumPy, whatever JAX is set to, and apart from the code that draws, so
that the one can be held against the other. The table at the end of this file, `laws`,
has one entry per function; a distribution of one's own joins it in one statement, and
works without.

>>> import brainunit as u, braininit as init
>>> from braininit import theory
>>> dist = init.TruncatedNormal(0.5 * u.nS, 0.2 * u.nS, low=0.4 * u.nS)
>>> print(f"{theory.mean(dist):.4f}, {theory.std(dist):.4f}")
0.6018 nS, 0.1395 nS
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import brainunit as u
import jax
import numpy as np

from braininit import _continuous as continuous
from braininit import _positive as positive
from braininit import _units as units
from braininit._constants import constant, ones, zeros

__all__ = ["Law", "cdf", "laws", "mean", "pdf", "std"]


class Law(NamedTuple):
    """One distribution in bare numbers.

    Parameters
    ----------
    mean, std : float or array
        Mean and standard deviation.
    pdf, cdf : callable
        Density and distribution function of a float64 array.
    """

    mean: Any
    std: Any
    pdf: Callable[[Any], Any]
    cdf: Callable[[Any], Any]


# ---------------------------------------------------------------- what users call


def mean(dist: Any) -> Any:
    """Give the mean of a distribution.

    Parameters
    ----------
    dist : Initialization
        An initializer object; its parameters may be arrays.

    Returns
    -------
    float, array, Quantity or None
        In the unit of the draws; None where the table has no entry.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.theory.mean(init.Gamma(5.0, 0.1 * u.nS)))
    0.5 nS
    """
    return _moment(dist, 0)


def std(dist: Any) -> Any:
    """Give the standard deviation of a distribution.

    Parameters
    ----------
    dist : Initialization
        An initializer object; its parameters may be arrays.

    Returns
    -------
    float, array, Quantity or None
        In the unit of the draws; None where the table has no entry.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.theory.std(init.Exponential(1.5 * u.ms)))
    1.5 ms
    """
    return _moment(dist, 1)


def pdf(dist: Any, x: Any) -> Any:
    """Give the density of a distribution.

    Parameters
    ----------
    dist : Initialization
        An initializer object; its parameters may be arrays, which broadcast with `x`.
    x : number, array or Quantity
        Where, in any unit of the distribution's dimension.

    Returns
    -------
    float, array or Quantity
        In one over the unit of the draws; infinite at a value that has a probability of
        its own, as with `Constant` or ``std=0``.

    Raises
    ------
    TypeError
        If the table has no entry for `dist`.
    UnitError
        If `x` differs in dimension.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.theory.pdf(init.Uniform(0 * u.mV, 4 * u.mV), [-1, 1, 3] * u.mV)
    Quantity([0.   0.25 0.25], "1 / mV")
    """
    law, unit = _known(dist)
    return units.on(_density(law, _at(x, unit)), None if unit is None else unit**-1)


def cdf(dist: Any, x: Any) -> Any:
    """Give the distribution function: the probability of a draw up to x.

    Parameters
    ----------
    dist : Initialization
        An initializer object; its parameters may be arrays, which broadcast with `x`.
    x : number, array or Quantity
        Where, in any unit of the distribution's dimension.

    Returns
    -------
    float or array
        Between 0 and 1.

    Raises
    ------
    TypeError
        If the table has no entry for `dist`.
    UnitError
        If `x` differs in dimension.

    Notes
    -----
    Numerics: good to about 1e-10 for shape parameters up to 1e5; NaN where a shape
    parameter is so large (1e8) that the expansions don't converge.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> round(init.theory.cdf(init.Exponential(2 * u.ms), 2000 * u.us), 4)
    0.6321
    """
    law, unit = _known(dist)
    x = _at(x, unit)
    with np.errstate(all="ignore"):
        p = np.where(np.isinf(x), x > 0, np.clip(law.cdf(x), 0, 1))
    return _plain(np.where(np.isnan(x), np.nan, p))


def pooled(dist: Any) -> tuple[Law | None, u.Unit | None]:
    """Give the law of one draw picked at random among all, and its unit.

    With array parameters every element has a law of its own; a histogram of the draws
    shows their mixture.
    """
    law, unit = _find(dist)
    if law is None or not (np.ndim(law.mean) or np.ndim(law.std)):
        return law, unit
    means, stds = np.broadcast_arrays(law.mean, law.std)
    spread = np.sqrt(np.mean(stds**2) + np.var(means))
    return Law(np.mean(means), spread, _mixed(law.pdf), _mixed(law.cdf)), unit


def _mixed(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return np.vectorize(lambda x: np.mean(function(x)), otypes=[float])


# ---------------------------------------------------------------- from objects to numbers


def _find(dist: Any) -> tuple[Law | None, u.Unit | None]:
    """Look up the law of an object, and the unit of its draws."""
    if isinstance(dist, type) or not callable(dist):
        name = dist.__name__ if isinstance(dist, type) else type(dist).__name__
        raise TypeError(f"`dist` must be an initializer object, got {name}")
    # By function, not by class: a subclass that draws from another one is another law.
    law = laws.get(getattr(type(dist), "_function", None))
    if law is None:
        return None, None
    given = dict(cast(Any, dist)._arguments())
    own = given.pop("unit", None)
    carriers = {name: v for name, v in given.items() if isinstance(v, u.Quantity)}
    unit, bare = units.off(**carriers)
    given |= zip(carriers, bare, strict=True)
    with np.errstate(all="ignore"):
        return law(**{name: _double(v) for name, v in given.items()}), own or unit


def _known(dist: Any) -> tuple[Law, u.Unit | None]:
    law, unit = _find(dist)
    if law is None:
        raise TypeError(
            f"braininit.theory has no entry for {type(dist).__name__}; "
            "add one with theory.laws[function] = ..."
        )
    return law, unit


def _moment(dist: Any, which: int) -> Any:
    law, unit = _find(dist)
    if law is None:
        return None
    both = np.broadcast_arrays(law.mean, law.std)
    return units.on(_plain(both[which].copy()), unit)


def _density(law: Law, x: np.ndarray) -> Any:
    with np.errstate(all="ignore"):
        p = np.asarray(law.pdf(x))
    p = np.where(np.isinf(x) & np.isnan(p), 0.0, p)  # formulas meet inf - inf out there
    return _plain(np.where(np.isnan(x), np.nan, p))


def _at(x: Any, unit: u.Unit | None) -> np.ndarray:
    if unit is None:
        return _double(units.dimensionless("x", x))
    return _double(units.off(dist=units.on(1.0, unit), x=x)[1][1])


def _double(value: Any) -> Any:
    if isinstance(value, (float, complex, np.ndarray, jax.Array)):
        return np.asarray(value, complex if np.iscomplexobj(value) else float)
    return value


def _plain(value: Any) -> Any:
    return value.item() if np.ndim(value) == 0 else value


# ---------------------------------------------------------------- the laws


def _point(value: Any) -> Law:
    return Law(
        value,
        np.zeros(np.shape(value)),
        lambda x: np.where(x == value, np.inf, 0.0),
        lambda x: np.where(x >= value, 1.0, 0.0),
    )


def _unless_zero(std: Any, value: Any, law: Law) -> Law:
    """Take a law by its std; where that is 0, all of the mass at `value`."""
    zero, point = std == 0, _point(value)
    return Law(
        np.where(zero, value, law.mean),
        np.where(zero, 0.0, law.std),
        lambda x: np.where(zero, point.pdf(x), law.pdf(x)),
        lambda x: np.where(zero, point.cdf(x), law.cdf(x)),
    )


def _uniform(low: Any, high: Any) -> Law:
    width = high - low
    return Law(
        low / 2 + high / 2,
        width / math.sqrt(12),
        lambda x: np.where((x >= low) & (x <= high), 1 / width, 0.0),
        lambda x: np.clip((x - low) / width, 0, 1),
    )


def _normal(mean: Any, std: Any) -> Law:
    law = Law(
        mean,
        std,
        lambda x: _phi((x - mean) / std) / std,
        lambda x: _erfc((mean - x) / (std * math.sqrt(2))) / 2,
    )
    return _unless_zero(std, mean, law)


def _lognormal(mean: Any, std: Any) -> Law:
    variance = np.logaddexp(0, 2 * np.log(std / mean))  # log(1 + ratio^2), ratios of any size
    sigma, mu = np.sqrt(variance), np.log(mean) - variance / 2

    def z(x: Any) -> Any:
        return (np.log(np.maximum(x, 0)) - mu) / sigma

    law = Law(
        mean,
        std,
        lambda x: np.where(x > 0, _phi(z(x)) / (sigma * x), 0.0),
        lambda x: _erfc(-z(x) / math.sqrt(2)) / 2,
    )
    return _unless_zero(std, mean, law)


def _gamma(concentration: Any, scale: Any) -> Law:
    k = concentration

    def pdf(x: Any) -> Any:
        y = np.maximum(x / scale, 0)
        p = np.exp(_xlogy(k - 1, y) - y - _lgamma(k)) / scale
        return np.where(x < 0, 0.0, p)

    return Law(k * scale, np.sqrt(k) * scale, pdf, lambda x: _gamma_cdf(k, x / scale))


def _exponential(scale: Any) -> Law:
    return Law(
        scale,
        scale,
        lambda x: np.where(x < 0, 0.0, np.exp(-x / scale) / scale),
        lambda x: -np.expm1(-np.maximum(x, 0) / scale),
    )


def _weibull(concentration: Any, scale: Any) -> Law:
    k = concentration
    first, second = _lgamma(1 + 1 / k), _lgamma(1 + 2 / k)
    mean = scale * np.exp(first)

    def pdf(x: Any) -> Any:
        y = np.maximum(x / scale, 0)
        return np.where(x < 0, 0.0, k * np.exp(_xlogy(k - 1, y) - y**k) / scale)

    # expm1, because the second moment and the squared first agree to k digits and more.
    return Law(
        mean,
        mean * np.sqrt(np.expm1(second - 2 * first)),
        pdf,
        lambda x: -np.expm1(-(np.maximum(x / scale, 0) ** k)),
    )


def _beta(alpha: Any, beta: Any, low: Any, high: Any) -> Law:
    width, total = high - low, alpha + beta
    log_norm = _lgamma(alpha) + _lgamma(beta) - _lgamma(total)

    def halves(x: Any) -> tuple[Any, Any]:
        # 1 - y from its own end: near high it keeps its digits.
        return np.clip((x - low) / width, 0, 1), np.clip((high - x) / width, 0, 1)

    def pdf(x: Any) -> Any:
        y, rest = halves(x)
        p = np.exp(_xlogy(alpha - 1, y) + _xlogy(beta - 1, rest) - log_norm) / width
        return np.where((x < low) | (x > high), 0.0, p)

    return Law(
        low + width * (alpha / total),
        width * np.sqrt(alpha / total * (beta / total) / (total + 1)),
        pdf,
        lambda x: _beta_cdf(alpha, beta, *halves(x), log_norm),
    )


def _truncated_normal(mean: Any, std: Any, low: Any, high: Any) -> Law:
    """By quadrature outwards from the anchor, the point of [low, high] nearest the mean.

    Relative to the anchor the density is e^(-t (2 alpha + t) / 2) at t std away from it:
    no tail, however far out, makes that underflow or cancel.
    """
    low = -np.inf if low is None else low
    high = np.inf if high is None else high
    anchor = np.clip(mean, low, high)
    alpha = np.minimum(abs(anchor - mean) / std, 1e150)
    up, down = (high - anchor) / std, (anchor - low) / std
    above, below = (_outward(alpha, side, 0) for side in (up, down))
    mass = above + below
    shift = (_outward(alpha, up, 1) - _outward(alpha, down, 1)) / mass
    square = (_outward(alpha, up, 2) + _outward(alpha, down, 2)) / mass

    def pdf(x: Any) -> Any:
        t = abs(x - anchor) / std
        p = np.exp(-t * (2 * alpha + t) / 2) / (std * mass)
        return np.where((x >= low) & (x <= high), p, 0.0)

    def cdf(x: Any) -> Any:
        right = x > anchor
        t = np.minimum(abs(x - anchor) / std, np.where(right, up, down))
        return (below + np.where(right, 1, -1) * _outward(alpha, t, 0)) / mass

    law = Law(anchor + std * shift, std * np.sqrt(square - shift**2), pdf, cdf)
    return _unless_zero(std, anchor, law)


# ---------------------------------------------------------------- special functions

_EPS = 2.0**-53
_erfc = np.vectorize(math.erfc, otypes=[float])
_lgamma = np.vectorize(lambda x: math.lgamma(x) if x < 1e305 else math.inf, otypes=[float])


def _phi(z: Any) -> Any:
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _xlogy(x: Any, y: Any) -> Any:
    return np.where(x == 0, 0.0, x * np.log(y))


@functools.cache
def _nodes() -> list[tuple[float, float]]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(64)
    return list(zip((x + 1) / 2, w / 2, strict=True))


def _outward(alpha: Any, reach: Any, power: int) -> Any:
    """Integral of t^power e^(-t (2 alpha + t) / 2) from 0 to `reach`."""
    # Beyond the cut the exponent is below -40, and what is left below rounding.
    d = np.minimum(reach, 80 / (alpha + np.sqrt(alpha**2 + 80)))
    return d * sum(
        w * (s * d) ** power * np.exp(-s * d * (2 * alpha + s * d) / 2) for s, w in _nodes()
    )


def _gamma_cdf(k: Any, y: Any) -> Any:
    """Lower incomplete gamma function: a series up to k + 1, a continued fraction beyond."""
    k, y = np.broadcast_arrays(k, np.maximum(y, 0))
    low, high = np.minimum(y, k + 1), np.maximum(y, k + 1)
    term = total = 1 / k
    n = 0
    while (term > _EPS * total).any() and n < _MOST:
        n += 1
        term = term * low / (k + n)
        total = total + term
    total = np.where(term > _EPS * total, np.nan, total)
    rest = 1 / _fraction(high + 1 - k, lambda n: (n * (k - n), high + 2 * n + 1 - k))
    kernel = np.exp(k * np.log(y) - y - _lgamma(k))
    return np.where(y < k + 1, kernel * total, 1 - kernel * rest)


def _beta_cdf(a: Any, b: Any, y: Any, rest: Any, log_norm: Any) -> Any:
    """Incomplete beta function, from whichever end the continued fraction converges."""
    a, b, y, rest = np.broadcast_arrays(a, b, y, rest)
    kernel = np.exp(_xlogy(a, y) + _xlogy(b, rest) - log_norm)
    flip = y > (a + 1) / (a + b + 2)
    a, b, y = np.where(flip, b, a), np.where(flip, a, b), np.where(flip, rest, y)

    def coefficients(n: int) -> tuple[Any, Any]:
        m, odd = divmod(n, 2)
        ends = (a + n - 1) * (a + n)
        top = -(a + m) * (a + b + m) if odd else m * (b - m)
        return top * y / ends, 1.0

    p = kernel / (a * _fraction(np.ones_like(y), coefficients))
    return np.where(flip, 1 - p, p)


_MOST = 100_000


def _fraction(first: Any, coefficients: Callable[[int], tuple[Any, Any]]) -> Any:
    """Sum first + a1 / (b1 + a2 / (b2 + ...)) by Lentz' method; NaN where it won't converge."""
    value = c = np.asarray(first)
    d = change = np.zeros_like(value)
    for n in range(1, _MOST):
        a, b = coefficients(n)
        c, d = b + a / c, b + a * d
        d = 1 / np.where(d == 0, 1e-300, d)
        c = np.where(c == 0, 1e-300, c)
        change = c * d
        value = value * change
        if not (abs(change - 1) > 4 * _EPS).any():  # a NaN won't get better either
            break
    return np.where(abs(change - 1) > 4 * _EPS, np.nan, value)


# ---------------------------------------------------------------- the table

laws: dict[Any, Callable[..., Law]] = {
    constant: _point,
    zeros: lambda: _point(0.0),
    ones: lambda: _point(1.0),
    continuous.uniform: _uniform,
    continuous.normal: _normal,
    positive.lognormal: _lognormal,
    positive.gamma: _gamma,
    positive.exponential: _exponential,
    positive.weibull: _weibull,
    continuous.beta: _beta,
    continuous.truncated_normal: _truncated_normal,
}
"""Function -> law: called with the function's own parameters, bare and in float64."""
