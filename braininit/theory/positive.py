"""The laws of the positive distributions."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are first named

import braininit.theory.cumulants as cumulants
from braininit._math import special
from braininit.theory.continuous import edge_density, normal_quantile
from braininit.theory.law import Law, unless_zero
from braininit.theory.quadrature import gauss

# ---------------------------------------------------------------- lognormal


def lognormal(mean: Any, std: Any) -> Law:
    ratio = std / mean
    # sqrt(log(1 + ratio^2)), also where the square is out of range.
    root = np.sqrt(np.where(ratio < 1e8, np.log1p(ratio**2), 2 * special.log_ratio(std, mean)))
    sigma = np.where(ratio < 1e-8, ratio, root)

    def z(x: Any) -> Any:
        return (special.log_ratio(np.maximum(x, 0), mean) + sigma**2 / 2) / sigma

    def log_pdf(x: Any) -> Any:
        log_p = -(z(x) ** 2) / 2 - np.log(sigma) - np.log(x) - special.LOG_SQRT_2PI
        return np.where(x > 0, log_p, -np.inf)

    def raised(exponent: float) -> Law:
        variance = sigma**2
        mean_ = mean**exponent * np.exp((exponent - 1) * exponent / 2 * variance)
        return lognormal(mean_, mean_ * np.sqrt(np.expm1(exponent**2 * variance)))

    def times(other: Law) -> Law | None:
        if "times" not in other.closed:
            return None
        more = other.std / other.mean
        spread = np.sqrt(ratio**2 + more**2 + (ratio * more) ** 2)
        return lognormal(mean * other.mean, mean * other.mean * spread)

    law = Law(
        mean,
        std,
        log_pdf=log_pdf,
        cdf=lambda x: scipy.special.ndtr(z(x)),
        sf=lambda x: scipy.special.ndtr(-z(x)),
        quantile=lambda p, q: _times_exp(mean, sigma * normal_quantile(p, q) - sigma**2 / 2),
        skewness=ratio * (3 + ratio**2),
        kurtosis=ratio**2 * (16 + ratio**2 * (15 + ratio**2 * (6 + ratio**2))),
        support=(0.0, np.inf),
        raised=raised,
        times=times,
    )
    return unless_zero(std, mean, law)


def _times_exp(x: Any, exponent: Any) -> Any:
    """The product x e^exponent, also where the power is out of range by itself."""
    half = np.exp(exponent / 2)
    return x * half * half


# ---------------------------------------------------------------- exponential, Weibull


def exponential(scale: Any) -> Law:
    return Law(
        scale,
        scale,
        log_pdf=lambda x: np.where(x < 0, -np.inf, -x / scale - np.log(scale)),
        cdf=lambda x: -np.expm1(-np.maximum(x, 0) / scale),
        sf=lambda x: np.exp(-np.maximum(x, 0) / scale),
        quantile=lambda p, q: scale * _exponential_quantile(p, q),
        skewness=np.full(np.shape(scale), 2.0),
        kurtosis=np.full(np.shape(scale), 6.0),
        support=(0.0, np.inf),
        raised=lambda exponent: weibull(np.asarray(1.0), scale).closed["raised"](exponent),
        family=(gamma, 1.0, scale),
        plus=lambda *other: gamma(np.ones(()), scale).closed["plus"](*other),
    )


def _exponential_quantile(p: Any, q: Any) -> Any:
    return np.where(p < 0.5, -np.log1p(-p), -np.log(q))


def weibull(concentration: Any, scale: Any) -> Law:
    k, s = concentration, 1 / concentration
    # The mean is scale Gamma(1 + s), multiplied by `root` twice so that it overflows later. The
    # variance in squared means is e^spread - 1.
    root = np.exp(_log_gamma(s) / 2)
    spread = np.where(
        s < 0.05, _log_gamma(s, 2), scipy.special.gammaln(1 + 2 * s) - 2 * _log_gamma(s)
    )

    def power(x: Any) -> Any:
        return np.exp(k * special.log_ratio(np.maximum(x, 0), scale))

    def log_pdf(x: Any) -> Any:
        log_power = np.where(k == 1, 0.0, (k - 1) * special.log_ratio(np.maximum(x, 0), scale))
        return np.where(x < 0, -np.inf, np.log(k) + log_power - power(x) - np.log(scale))

    @functools.cache
    def moments() -> Any:
        return _weibull_moments(k)

    return Law(
        scale * root * root,
        scale * root * root * np.sqrt(np.expm1(spread)),
        log_pdf=log_pdf,
        cdf=lambda x: -np.expm1(-power(x)),
        sf=lambda x: np.exp(-power(x)),
        quantile=lambda p, q: _times_exp(scale, np.log(_exponential_quantile(p, q)) / k),
        skewness=lambda: np.broadcast_to(moments()[0], np.broadcast(k, scale).shape),
        kurtosis=lambda: np.broadcast_to(moments()[1], np.broadcast(k, scale).shape),
        support=(0.0, np.inf),
        raised=lambda n: weibull(k / n, scale**n) if n > 0 else None,
    )


def _log_gamma(s: Any, times: int = 1) -> Any:
    """Compute log(gamma(1 + s)) if `times` is 1, else log(gamma(1 + times s)) less `times` of it.

    The difference is for s < 0.05: the logarithms nearly cancel, so it is a Taylor series.
    """
    n = np.arange(20.0, 1, -1)
    factor = 1.0 if times == 1 else times**n - times
    terms = np.append(scipy.special.zeta(n) * (-1) ** n * factor / n, [0, 0])
    terms[-2] = -np.euler_gamma if times == 1 else 0
    series = np.polyval(terms, np.minimum(s, 0.05))
    return np.where(s < 0.05, series, scipy.special.gammaln(1 + s)) if times == 1 else series


def _weibull_moments(k: Any) -> tuple[Any, Any]:
    """Skewness and kurtosis: for k >= 1 by quadrature, below by gamma functions.

    With x = e^(s y) the density of y is e^(y - e^y), for which the trapezoidal rule is exact to
    rounding.
    """
    s = 1 / np.maximum(k, 1.0)
    y = np.arange(-60.0, 6.5, 0.125).reshape(-1, *[1] * np.ndim(k))
    weight = np.exp(y - np.exp(y)) * 0.125
    away = np.expm1(s * y - _log_gamma(s)) / s
    second, third, fourth = ((weight * away**n).sum(0) for n in (2, 3, 4))
    log = [scipy.special.gammaln(1 + n / k) for n in range(5)]
    one, two = np.exp(2 * log[1] - log[2]), np.exp(log[1] + log[2] - log[3])
    rest = 1 - one
    small_third = np.exp(log[3] - 1.5 * log[2]) * (1 - 3 * two + 2 * np.exp(3 * log[1] - log[3]))
    small_fourth = np.exp(log[4] - 2 * log[2]) * (
        1
        - 4 * np.exp(log[1] + log[3] - log[4])
        + 6 * np.exp(2 * log[1] + log[2] - log[4])
        - 3 * np.exp(4 * log[1] - log[4])
    )
    return (
        np.where(k >= 1, third / second**1.5, small_third / rest**1.5),
        np.where(k >= 1, fourth / second**2, small_fourth / rest**2) - 3,
    )


# ---------------------------------------------------------------- gamma


def gamma(concentration: Any, scale: Any) -> Law:
    k = concentration
    mantissa, exponent = np.frexp(scale)
    mean, lost = special.product(k, mantissa)

    def kernel(x: Any) -> tuple[Any, Any]:
        """The distance of x from the mean, in means, and the logarithm of x times the density."""
        x = np.maximum(x, 0)
        away = (np.ldexp(x, -exponent) - mean - lost) / mean
        excess = k * special.excess(away, special.log_ratio(x, mean, exponent))
        return away, np.log(k) / 2 - special.LOG_SQRT_2PI - excess - special.stirling(k)

    def log_pdf(x: Any) -> Any:
        p = kernel(x)[1] - np.log(x)
        p = np.where(x == 0, np.log(edge_density(k, 1 / scale)), p)
        return np.where(x < 0, -np.inf, p)

    def tails(x: Any) -> tuple[Any, Any]:
        away, log_kernel = kernel(x)
        return special.gamma_tails(k, np.maximum(x, 0) / scale, away, np.exp(log_kernel))

    shape = np.broadcast(k, scale).shape
    return Law(
        k * scale,
        np.sqrt(k) * scale,
        log_pdf=log_pdf,
        cdf=lambda x: tails(x)[0],
        sf=lambda x: tails(x)[1],
        skewness=np.broadcast_to(2 / np.sqrt(k), shape),
        kurtosis=np.broadcast_to(6 / k, shape),
        support=(0.0, np.inf),
        family=(gamma, k, scale),
        plus=lambda more, other: gamma(k + more, scale) if np.all(other == scale) else None,
        powered=lambda n: cumulants.of_gamma(k, scale, n),
    )


# ---------------------------------------------------------------- log-uniform


def loguniform(low: Any, high: Any) -> Law:
    octaves = special.log_ratio(high, low)

    def inside(x: Any) -> Any:
        return (x >= low) & (x <= high)

    def quantile(p: Any, q: Any) -> Any:
        return np.where(p < q, low * np.exp(p * octaves), high * np.exp(-q * octaves))

    @functools.cache
    def moments() -> Any:
        return _loguniform_moments(np.asarray(octaves, float))

    return Law(
        lambda: high * moments()[0],
        lambda: high * moments()[1],
        log_pdf=lambda x: np.where(inside(x), -np.log(x) - np.log(octaves), -np.inf),
        cdf=lambda x: special.log_ratio(np.clip(x, low, high), low) / octaves,
        sf=lambda x: special.log_ratio(high, np.clip(x, low, high)) / octaves,
        quantile=quantile,
        skewness=lambda: moments()[2],
        kurtosis=lambda: moments()[3],
        support=(low, high),
        truncated=lambda least, most: loguniform(np.maximum(low, least), np.minimum(high, most)),
    )


def _loguniform_moments(octaves: Any) -> tuple[Any, Any, Any, Any]:
    """Mean and std over `high`, skewness and kurtosis: by quadrature unless the range is wide.

    The even part of x about its mean is of second order in the range, and is computed separately.
    """
    wide = octaves > 3
    length = np.where(wide, octaves, 3.0)
    m1, m2, m3, m4 = (-np.expm1(-n * length) / (n * length) for n in range(1, 5))
    variance = m2 - m1**2
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    far = (m1, np.sqrt(variance), third / variance**1.5, fourth / variance**2 - 3)

    length = np.where(wide, 3.0, octaves)
    t, w = (a.reshape(-1, *[1] * octaves.ndim) for a in gauss(32))
    odd = np.sinh(length * t / 2) / length  # t goes from the middle to an end
    half = length / 2
    mean_excess = half**2 * np.polyval(
        [1 / np.prod(np.arange(1.0, n + 1)) for n in range(17, 2, -2)], half**2
    )
    even = (2 * np.sinh(length * t / 4) ** 2 - mean_excess) / length
    second = (w * (odd**2 + even**2)).sum(0)
    third = (w * (3 * odd**2 * even + even**3)).sum(0)
    fourth = (w * (odd**4 + 6 * odd**2 * even**2 + even**4)).sum(0)
    geometric = np.exp(-half)
    near = (
        geometric * (1 + mean_excess),
        geometric * length * np.sqrt(second),
        third / second**1.5,
        fourth / second**2 - 3,
    )
    return tuple(np.where(wide, *pair) for pair in zip(far, near, strict=True))  # pyright: ignore
