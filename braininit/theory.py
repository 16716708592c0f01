"""What the distributions should look like: mean, std, density and distribution functions.

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
import scipy  # its parts are imported when they are first named

from braininit import _continuous as continuous
from braininit import _positive as positive
from braininit import _units as units
from braininit._constants import constant, ones, zeros

__all__ = ["Law", "cdf", "laws", "mean", "pdf", "sf", "std"]


class Law(NamedTuple):
    """One distribution in bare numbers.

    Parameters
    ----------
    mean, std : float or array
        Mean and standard deviation.
    pdf, cdf : callable
        Density and distribution function of a float64 array.
    sf : callable, optional
        The survival function; without it, ``1 - cdf``, which loses the upper tail.
    """

    mean: Any
    std: Any
    pdf: Callable[[Any], Any]
    cdf: Callable[[Any], Any]
    sf: Callable[[Any], Any] | None = None


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
    Numerics: right to 1e-10 of itself wherever float64 can hold it, for shape parameters
    from 1e-3 to 1e15; `pdf` and `sf` too.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> round(init.theory.cdf(init.Exponential(2 * u.ms), 2000 * u.us), 4)
    0.6321
    """
    law, unit = _known(dist)
    x = _at(x, unit)
    return _probability(law.cdf, x, x > 0)


def sf(dist: Any, x: Any) -> Any:
    """Give the survival function: the probability of a draw beyond x.

    Parameters
    ----------
    dist : Initialization
        An initializer object; its parameters may be arrays, which broadcast with `x`.
    x : number, array or Quantity
        Where, in any unit of the distribution's dimension.

    Returns
    -------
    float or array
        One less `cdf`, but exact where that is nearly one.

    Raises
    ------
    TypeError
        If the table has no entry for `dist`.
    UnitError
        If `x` differs in dimension.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(f"{init.theory.sf(init.Normal(0 * u.nS, 1 * u.nS), 20 * u.nS):.4e}")
    2.7536e-89
    """
    law, unit = _known(dist)
    x = _at(x, unit)
    return _probability(functools.partial(_survival, law), x, x < 0)


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
    survival = functools.partial(_survival, law)
    return Law(np.mean(means), spread, *map(_mixed, (law.pdf, law.cdf, survival))), unit


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


def _survival(law: Law, x: Any) -> Any:
    return 1 - law.cdf(x) if law.sf is None else law.sf(x)


def _probability(function: Callable[[Any], Any], x: np.ndarray, beyond: Any) -> Any:
    """Evaluate a distribution function; `beyond` is its value at the infinities."""
    with np.errstate(all="ignore"):
        p = np.where(np.isinf(x), beyond, np.clip(function(x), 0, 1))
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

_LOG_SQRT_2PI = math.log(2 * math.pi) / 2


def _point(value: Any) -> Law:
    return Law(
        value,
        np.zeros(np.shape(value)),
        lambda x: np.where(x == value, np.inf, 0.0),
        lambda x: np.where(x >= value, 1.0, 0.0),
        lambda x: np.where(x >= value, 0.0, 1.0),
    )


def _unless_zero(spread: Any, value: Any, law: Law) -> Law:
    """Take a law by its spread; where that is 0, all of the mass at `value`."""
    zero, point = spread == 0, _point(value)
    return Law(
        np.where(zero, value, law.mean),
        np.where(zero, 0.0, law.std),
        lambda x: np.where(zero, point.pdf(x), law.pdf(x)),
        lambda x: np.where(zero, point.cdf(x), law.cdf(x)),
        lambda x: np.where(zero, 1 - point.cdf(x), _survival(law, x)),
    )


def _uniform(low: Any, high: Any) -> Law:
    half = high / 2 - low / 2  # the width itself may overflow
    return Law(
        low / 2 + high / 2,
        half / math.sqrt(3),
        lambda x: np.where((x >= low) & (x <= high), 0.5 / half, 0.0),
        lambda x: np.clip((x / 2 - low / 2) / half, 0, 1),
        lambda x: np.clip((high / 2 - x / 2) / half, 0, 1),
    )


def _normal(mean: Any, std: Any) -> Law:
    def z(x: Any) -> Any:
        return (x - mean) / std

    law = Law(
        mean,
        std,
        lambda x: np.exp(-(z(x) ** 2) / 2 - np.log(std) - _LOG_SQRT_2PI),
        lambda x: scipy.special.ndtr(z(x)),
        lambda x: scipy.special.ndtr(-z(x)),
    )
    return _unless_zero(std, mean, law)


def _lognormal(mean: Any, std: Any) -> Law:
    ratio = std / mean
    # sqrt(log(1 + ratio^2)), where the square is in range and where it is not.
    root = np.sqrt(np.where(ratio < 1e8, np.log1p(ratio**2), 2 * _log_ratio(std, mean)))
    sigma = np.where(ratio < 1e-8, ratio, root)

    def z(x: Any) -> Any:
        return (_log_ratio(np.maximum(x, 0), mean) + sigma**2 / 2) / sigma

    def pdf(x: Any) -> Any:
        log_p = -(z(x) ** 2) / 2 - np.log(sigma) - np.log(x) - _LOG_SQRT_2PI
        return np.where(x > 0, np.exp(log_p), 0.0)

    law = Law(
        mean,
        std,
        pdf,
        lambda x: scipy.special.ndtr(z(x)),
        lambda x: scipy.special.ndtr(-z(x)),
    )
    return _unless_zero(std, mean, law)


def _exponential(scale: Any) -> Law:
    return Law(
        scale,
        scale,
        lambda x: np.where(x < 0, 0.0, np.exp(-x / scale - np.log(scale))),
        lambda x: -np.expm1(-np.maximum(x, 0) / scale),
        lambda x: np.exp(-np.maximum(x, 0) / scale),
    )


def _weibull(concentration: Any, scale: Any) -> Law:
    k, s = concentration, 1 / concentration
    # The mean is scale Gamma(1 + s); in two halves, which overflow later. The variance in
    # squared means is e^spread - 1; for small s the two logarithms in `spread` agree, and
    # what is left is the rest of their Taylor series, with s at most 0.05 in it.
    root = np.exp(scipy.special.gammaln(1 + s) / 2)
    n = np.arange(20.0, 1, -1)
    terms = np.append(scipy.special.zeta(n) * (-1) ** n * (2**n - 2) / n, [0, 0])
    spread = np.where(
        s < 0.05,
        np.polyval(terms, np.minimum(s, 0.05)),
        scipy.special.gammaln(1 + 2 * s) - 2 * scipy.special.gammaln(1 + s),
    )

    def power(x: Any) -> Any:
        return np.exp(k * _log_ratio(np.maximum(x, 0), scale))

    def pdf(x: Any) -> Any:
        log_power = np.where(k == 1, 0.0, (k - 1) * _log_ratio(np.maximum(x, 0), scale))
        return np.where(x < 0, 0.0, np.exp(np.log(k) + log_power - power(x) - np.log(scale)))

    return Law(
        scale * root * root,
        scale * root * root * np.sqrt(np.expm1(spread)),
        pdf,
        lambda x: -np.expm1(-power(x)),
        lambda x: np.exp(-power(x)),
    )


def _gamma(concentration: Any, scale: Any) -> Law:
    k = concentration
    bare, exponent = np.frexp(scale)
    mean, lost = _product(k, bare)

    def kernel(x: Any) -> tuple[Any, Any]:
        """How far x is from the mean, in means; and the logarithm of x times the density."""
        x = np.maximum(x, 0)
        away = (np.ldexp(x, -exponent) - mean - lost) / mean
        excess = k * _excess(away, _log_ratio(x, mean, exponent))
        return away, np.log(k) / 2 - _LOG_SQRT_2PI - excess - _stirling(k)

    def pdf(x: Any) -> Any:
        p = np.exp(kernel(x)[1] - np.log(x))
        p = np.where(x == 0, _at_the_edge(k, 1 / scale), p)
        return np.where(x < 0, 0.0, p)

    def tails(x: Any) -> tuple[Any, Any]:
        away, log_kernel = kernel(x)
        return _gamma_tails(k, np.maximum(x, 0) / scale, away, np.exp(log_kernel))

    return Law(k * scale, np.sqrt(k) * scale, pdf, lambda x: tails(x)[0], lambda x: tails(x)[1])


def _beta(alpha: Any, beta: Any, low: Any, high: Any) -> Law:
    a, b, n = alpha, beta, alpha + beta
    exponent = np.frexp(np.maximum(abs(low), abs(high)))[1]
    down, up = np.ldexp(low, -exponent), np.ldexp(high, -exponent)
    width = up - down

    def kernel(x: Any) -> tuple[Any, Any]:
        """How far x is from the mean; and the logarithm of the density in log(y / (1 - y)).

        y is x in widths from low. Above the mean the first is n y - a > 0.
        """
        x = np.clip(x, low, high)
        at = np.ldexp(x, -exponent)
        (y, y_lost), (rest, rest_lost) = _difference(at, down), _difference(up, at)
        (p, p_lost), (q, q_lost) = _product(b, y), _product(a, rest)
        away = ((p - q) + (p_lost - q_lost) + b * y_lost - a * rest_lost) / width
        log_y = _log_ratio(x / 2 - low / 2, width * (a / n), exponent - 1)
        log_rest = _log_ratio(high / 2 - x / 2, width * (b / n), exponent - 1)
        excess = a * _excess(away / a, log_y) + b * _excess(-away / b, log_rest)
        factor = np.log(a * (b / n)) / 2 - _LOG_SQRT_2PI
        return away, factor - excess + _stirling(n) - _stirling(a) - _stirling(b)

    def pdf(x: Any) -> Any:
        # In halves, which don't overflow.
        below, above = np.log(x / 2 - low / 2), np.log(high / 2 - x / 2)
        p = np.exp(kernel(x)[1] + np.log(high / 2 - low / 2) - math.log(2) - below - above)
        p = np.where(x == low, _at_the_edge(a, b / 2 / (high / 2 - low / 2)), p)
        p = np.where(x == high, _at_the_edge(b, a / 2 / (high / 2 - low / 2)), p)
        return np.where((x < low) | (x > high), 0.0, p)

    def tails(x: Any) -> tuple[Any, Any]:
        away, log_kernel = kernel(x)
        at = np.ldexp(np.clip(x, low, high), -exponent)
        y, rest = (at - down) / width, (up - at) / width
        flip = y > rest  # the smaller of the two has the digits
        below, above = _beta_tails(
            np.where(flip, b, a),
            np.where(flip, a, b),
            np.where(flip, rest, y),
            np.where(flip, -away, away),
            np.exp(log_kernel),
        )
        return np.where(flip, above, below), np.where(flip, below, above)

    return Law(
        low + (high - low) * (a / n),
        (high - low) * np.sqrt(a / n * (b / n) / (n + 1)),
        pdf,
        lambda x: tails(x)[0],
        lambda x: tails(x)[1],
    )


def _truncated_normal(mean: Any, std: Any, low: Any, high: Any) -> Law:
    """By quadrature outwards from the anchor, the point of [low, high] nearest the mean.

    Relative to the anchor the density is e^(-t (2 alpha + t) / 2) at t std away from it:
    no tail, however far out, makes that underflow or cancel.
    """
    low = -np.inf if low is None else low
    high = np.inf if high is None else high

    def split(low: Any, high: Any) -> tuple[Any, Any, Any, Any]:
        """Anchor of a window, its distance from the mean, and the window's reach."""
        anchor = np.clip(mean, low, high)
        alpha = np.minimum(abs(anchor - mean) / std, 1e150)
        return anchor, alpha, (high - anchor) / std, (anchor - low) / std

    def moments(low: Any, high: Any, power: int) -> tuple[Any, Any]:
        _, alpha, up, down = split(low, high)

        def exponent(t: Any) -> Any:
            return t * (alpha + t / 2)

        return tuple(_integral(exponent, alpha, 1.0, reach, power) for reach in (up, down))

    anchor, alpha, _, _ = split(low, high)
    zeroth, first, second = (moments(low, high, power) for power in range(3))
    mass = sum(zeroth)
    shift = (first[0] - first[1]) / mass

    def exponent(x: Any) -> Any:
        t = abs(x - anchor) / std
        return t * (2 * alpha + t) / 2

    def pdf(x: Any) -> Any:
        p = np.exp(-exponent(x) - np.log(std) - np.log(mass))
        return np.where((x >= low) & (x <= high), p, 0.0)

    def part(low: Any, high: Any) -> Any:
        return np.exp(-exponent(split(low, high)[0])) * sum(moments(low, high, 0)) / mass

    law = Law(
        anchor + std * shift,
        std * np.sqrt(sum(second) / mass - shift**2),
        pdf,
        lambda x: part(low, np.clip(x, low, high)),
        lambda x: part(np.clip(x, low, high), high),
    )
    return _unless_zero(std, anchor, law)


# ---------------------------------------------------------------- tails


def _gamma_tails(k: Any, y: Any, away: Any, kernel: Any) -> tuple[Any, Any]:
    """P and Q of the incomplete gamma function at y = k (1 + away)."""
    tiny = y < 1e-290  # where the first term of the series is all, also if y underflows
    below = np.where(tiny, kernel / k, scipy.special.gammainc(k, y))
    above = np.where(tiny, 1 - below, scipy.special.gammaincc(k, y))
    large = k > _LARGE
    if not large.any():
        return below, above
    # In log y the density is e^(k w - y (e^w - 1)) at the distance w, times the kernel.
    side = np.where(away < 0, -1.0, 1.0)
    tail = kernel * _integral(
        lambda w: k * abs(away) * w + y * _exp_excess(side * w), k * abs(away), y
    )
    return (
        np.where(large, np.where(side < 0, tail, 1 - tail), below),
        np.where(large, np.where(side < 0, 1 - tail, tail), above),
    )


def _beta_tails(a: Any, b: Any, y: Any, away: Any, kernel: Any) -> tuple[Any, Any]:
    """Both sides of the incomplete beta function at y <= 1/2, where n y - a = away."""
    tiny = y < 1e-290
    below = np.where(tiny, kernel / a, scipy.special.betainc(a, b, y))
    above = np.where(tiny, 1 - below, scipy.special.betaincc(a, b, y))
    n = a + b
    large = (n > _LARGE) & (np.minimum(a, b) >= 1)
    if not large.any():
        return below, above
    # In log(y / (1 - y)) the density is e^(a w - n log(1 + y (e^w - 1))) at the distance w.
    side = np.where(away < 0, -1.0, 1.0)

    def exponent(w: Any) -> Any:
        z = y * np.expm1(side * w)
        return abs(away) * w + n * (y * _exp_excess(side * w) - _excess(z, np.log1p(z)))

    tail = kernel * _integral(exponent, abs(away), n * y * (1 - y))
    return (
        np.where(large, np.where(side < 0, tail, 1 - tail), below),
        np.where(large, np.where(side < 0, 1 - tail, tail), above),
    )


_LARGE = 1e4  # from here on SciPy's incomplete functions lose digits with their shapes


@functools.cache
def _nodes() -> list[tuple[float, float]]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(64)
    return list(zip((x + 1) / 2, w / 2, strict=True))


def _integral(
    exponent: Callable[[Any], Any], slope: Any, curvature: Any, reach: Any = np.inf, power: int = 0
) -> Any:
    """Integral of t^power e^-exponent(t) from 0 to `reach`, for a convex exponent.

    `slope` and `curvature` are its derivatives at 0, where it is 0.
    """
    # Beyond the cut the exponent is above 37, and what is left below rounding.
    cut = np.minimum(reach, 80 / (slope + np.sqrt(slope**2 + 80 * curvature)))
    while (more := (exponent(cut) < 37) & (cut < reach)).any():
        cut = np.where(more, np.minimum(reach, 2 * cut), cut)
    return cut * sum(w * (s * cut) ** power * np.exp(-exponent(s * cut)) for s, w in _nodes())


# ---------------------------------------------------------------- without cancellation


def _log_ratio(x: Any, y: Any, exponent: Any = 0) -> Any:
    """Log of x / (y 2^exponent), to rounding also near 0, and where the ratio overflows."""
    (x_bare, x_exponent), (y_bare, y_exponent) = np.frexp(x), np.frexp(y)
    far = np.log(x_bare / y_bare) + (x_exponent - y_exponent - exponent) * math.log(2)
    away = (np.ldexp(x, -exponent) - y) / y
    return np.where(abs(away) < 0.1, np.log1p(away), far)


def _excess(x: Any, log: Any) -> Any:
    """Take log(1 + x) from x: a series where the two are close."""
    near = np.clip(x, -0.1, 0.1)
    series = near**2 * np.polyval([(-1) ** n / (n + 2) for n in range(16, -1, -1)], near)
    return np.where(abs(x) < 0.1, series, x - log)


def _exp_excess(x: Any) -> Any:
    """Take 1 + x from e^x: a series where the two are close."""
    near = np.clip(x, -0.1, 0.1)
    series = near**2 * np.polyval([1 / math.factorial(n + 2) for n in range(9, -1, -1)], near)
    return np.where(abs(x) < 0.1, series, np.expm1(x) - x)


def _stirling(x: Any) -> Any:
    """Log of gamma(x) less Stirling's formula, (x - 1/2) log x - x + log sqrt(2 pi)."""
    inverse = 1 / np.maximum(x, 10)
    series = inverse * np.polyval([-1 / 1680, 1 / 1260, -1 / 360, 1 / 12], inverse**2)
    direct = scipy.special.gammaln(x) - (x - 0.5) * np.log(x) + x - _LOG_SQRT_2PI
    return np.where(x < 10, direct, series)


def _at_the_edge(shape: Any, at_one: Any) -> Any:
    """The density at the end of a support, by the shape parameter of that end."""
    return np.where(shape < 1, np.inf, np.where(shape == 1, at_one, 0.0))


def _difference(x: Any, y: Any) -> tuple[Any, Any]:
    """Subtract; and what rounding took off the difference (Knuth)."""
    difference = x - y
    part = difference - x
    return difference, (x - (difference - part)) - (y + part)


def _product(x: Any, y: Any) -> tuple[Any, Any]:
    """Multiply; and what rounding took off the product (Dekker)."""

    def halves(x: Any) -> tuple[Any, Any]:
        large = x * (2.0**27 + 1)
        upper = large - (large - x)
        return upper, x - upper

    product, (x_up, x_low), (y_up, y_low) = x * y, halves(x), halves(y)
    return product, ((x_up * y_up - product) + x_up * y_low + x_low * y_up) + x_low * y_low


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
