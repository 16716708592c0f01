"""The laws of the continuous distributions."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are first named

import braininit.theory.cumulants as cumulants
from braininit._math import special
from braininit.theory.law import Law, bisected, unless_zero
from braininit.theory.quadrature import gauss

# ---------------------------------------------------------------- uniform


def uniform(low: Any, high: Any) -> Law:
    half = high / 2 - low / 2  # the width itself may overflow
    middle = low / 2 + high / 2

    def quantile(p: Any, q: Any) -> Any:
        x = middle + (p - q) * half
        return np.where(p < 0.25, low + 2 * p * half, np.where(q < 0.25, high - 2 * q * half, x))

    def truncated(least: Any, most: Any) -> Law:
        return uniform(np.maximum(low, least), np.minimum(high, most))

    return Law(
        middle,
        half / math.sqrt(3),
        lambda x: np.where((x >= low) & (x <= high), 0.5 / half, 0.0),
        lambda x: np.clip((x / 2 - low / 2) / half, 0, 1),
        lambda x: np.clip((high / 2 - x / 2) / half, 0, 1),
        log_pdf=lambda x: np.where((x >= low) & (x <= high), -np.log(half) - math.log(2), -np.inf),
        quantile=quantile,
        skewness=np.zeros(np.shape(half)),
        kurtosis=np.full(np.shape(half), -1.2),
        support=(low, high),
        moved=lambda shift, factor: uniform(*_moved_bounds(low, high, shift, factor)),
        truncated=truncated,
    )


def _moved_bounds(low: Any, high: Any, shift: Any, factor: Any) -> tuple[Any, Any]:
    ends = shift + factor * low, shift + factor * high
    return np.where(factor < 0, ends[1], ends[0]), np.where(factor < 0, ends[0], ends[1])


# ---------------------------------------------------------------- normal, Laplace


def normal(mean: Any, std: Any) -> Law:
    def z(x: Any) -> Any:
        return (x - mean) / std

    shape = np.broadcast_shapes(np.shape(mean), np.shape(std))
    law = Law(
        mean,
        std,
        log_pdf=lambda x: -(z(x) ** 2) / 2 - np.log(std) - special.LOG_SQRT_2PI,
        cdf=lambda x: scipy.special.ndtr(z(x)),
        sf=lambda x: scipy.special.ndtr(-z(x)),
        quantile=lambda p, q: mean + std * normal_quantile(p, q),
        skewness=np.zeros(shape),
        kurtosis=np.zeros(shape),
        moved=lambda shift, factor: normal(shift + factor * mean, abs(factor) * std),
        truncated=lambda low, high: truncated_normal(mean, std, low, high),
        family=(normal, mean, std),
        plus=lambda other_mean, other_std: normal(mean + other_mean, np.hypot(std, other_std)),
        powered=lambda n: cumulants.of_normal(mean, std, n),
    )
    return unless_zero(std, mean, law)


def normal_quantile(p: Any, q: Any) -> Any:
    """The standard normal quantile, from the smaller of the two tails."""
    return np.where(p < q, scipy.special.ndtri(p), -scipy.special.ndtri(q))


def laplace(loc: Any, scale: Any) -> Law:
    shape = np.broadcast_shapes(np.shape(loc), np.shape(scale))

    def tail(x: Any, sign: int) -> Any:
        """The mass beyond x, in the direction of the sign."""
        t = sign * (x - loc) / scale
        return np.where(t > 0, np.exp(-abs(t)) / 2, 0.5 - np.expm1(-abs(t)) / 2)

    def quantile(p: Any, q: Any) -> Any:
        away = -np.log1p(-abs(p - q))  # accurate near the median
        smaller = np.minimum(p, q)
        away = np.where(smaller < 0.25, -np.log(2 * smaller), away)
        return loc + np.where(p < q, -scale, scale) * away

    return Law(
        loc,
        math.sqrt(2) * scale,
        log_pdf=lambda x: -abs(x - loc) / scale - np.log(scale) - math.log(2),
        cdf=lambda x: tail(x, -1),
        sf=lambda x: tail(x, 1),
        quantile=quantile,
        skewness=np.zeros(shape),
        kurtosis=np.full(shape, 3.0),
        breaks=(loc,),
        moved=lambda shift, factor: laplace(shift + factor * loc, abs(factor) * scale),
    )


# ---------------------------------------------------------------- beta


def beta_law(alpha: Any, beta: Any, low: Any, high: Any) -> Law:
    a, b, n = alpha, beta, alpha + beta
    exponent = np.frexp(np.maximum(abs(low), abs(high)))[1]
    down, up = np.ldexp(low, -exponent), np.ldexp(high, -exponent)
    width = up - down

    def kernel(x: Any) -> tuple[Any, Any]:
        """The distance n y - a of x from the mean, and the log of the density in log(y / (1 - y)).

        y is the distance of x from low, in widths.
        """
        x = np.clip(x, low, high)
        at = np.ldexp(x, -exponent)
        (y, y_lost), (rest, rest_lost) = special.difference(at, down), special.difference(up, at)
        (p, p_lost), (q, q_lost) = special.product(b, y), special.product(a, rest)
        away = ((p - q) + (p_lost - q_lost) + b * y_lost - a * rest_lost) / width
        log_y = special.log_ratio(x / 2 - low / 2, width * (a / n), exponent - 1)
        log_rest = special.log_ratio(high / 2 - x / 2, width * (b / n), exponent - 1)
        excess = a * special.excess(away / a, log_y) + b * special.excess(-away / b, log_rest)
        factor = np.log(a * (b / n)) / 2 - special.LOG_SQRT_2PI
        norm = factor + special.stirling(n) - special.stirling(a) - special.stirling(b)
        return away, norm - excess

    def log_pdf(x: Any) -> Any:
        # Halved, so that nothing overflows.
        below, above = x / 2 - low / 2, high / 2 - x / 2
        p = kernel(x)[1] + np.log(high / 2 - low / 2) - math.log(2) - np.log(below) - np.log(above)
        p = np.where(below == 0, np.log(edge_density(a, b / 2 / (high / 2 - low / 2))), p)
        p = np.where(above == 0, np.log(edge_density(b, a / 2 / (high / 2 - low / 2))), p)
        return np.where((x < low) | (x > high), -np.inf, p)

    def tails(x: Any) -> tuple[Any, Any]:
        away, log_kernel = kernel(x)
        at = np.ldexp(np.clip(x, low, high), -exponent)
        y, rest = (at - down) / width, (up - at) / width
        flip = y > rest  # the smaller of the two is accurate
        below, above = special.beta_tails(
            np.where(flip, b, a),
            np.where(flip, a, b),
            np.where(flip, rest, y),
            np.where(flip, -away, away),
            np.exp(log_kernel),
        )
        return np.where(flip, above, below), np.where(flip, below, above)

    # Ratios, which don't overflow.
    share = a / n * (b / n)
    asymmetry = (b - a) / n

    def moved(shift: Any, factor: Any) -> Law:
        shapes = np.where(factor < 0, b, a), np.where(factor < 0, a, b)
        return beta_law(*shapes, *_moved_bounds(low, high, shift, factor))

    return Law(
        low * (b / n) + high * (a / n),
        2 * ((high / 2 - low / 2) * np.sqrt(share / (n + 1))),
        cdf=lambda x: tails(x)[0],
        sf=lambda x: tails(x)[1],
        log_pdf=log_pdf,
        skewness=2 * asymmetry * np.sqrt((n + 1) / share) / (n + 2),
        kurtosis=6 * (asymmetry**2 / share * ((n + 1) / (n + 2)) - 1) / (n + 3),
        support=(low, high),
        moved=moved,
    )


def edge_density(shape: Any, at_one: Any) -> Any:
    """The density at an end of the support; `shape` is the shape parameter of that end."""
    return np.where(shape < 1, np.inf, np.where(shape == 1, at_one, 0.0))


# ---------------------------------------------------------------- truncated normal


def truncated_normal(mean: Any, std: Any, low: Any, high: Any) -> Law:
    """By quadrature outwards from the anchor, the point of [low, high] nearest the mean.

    At t std from the anchor the density relative to it is e^(-t (2 alpha + t) / 2), which neither
    underflows nor cancels, however far out the tail is.
    """
    low = -np.inf if low is None else low
    high = np.inf if high is None else high

    def split(low: Any, high: Any) -> tuple[Any, Any, Any, Any]:
        """Anchor of a window, its distance from the mean, and the reach of the window around it."""
        anchor = np.clip(mean, low, high)
        alpha = np.minimum(abs(anchor - mean) / std, 1e150)
        return anchor, alpha, (high - anchor) / std, (anchor - low) / std

    def masses(low: Any, high: Any) -> Any:
        _, alpha, up, down = split(low, high)

        def exponent(t: Any) -> Any:
            return t * (alpha + t / 2)

        return sum(special.integral(exponent, alpha, 1.0, reach) for reach in (up, down))

    anchor, alpha, up, down = split(low, high)
    mass = masses(low, high)

    def exponent(x: Any) -> Any:
        t = abs(x - anchor) / std
        return t * (2 * alpha + t) / 2

    def log_pdf(x: Any) -> Any:
        p = -exponent(x) - np.log(std) - np.log(mass)
        return np.where((x >= low) & (x <= high), p, -np.inf)

    def part(low: Any, high: Any) -> Any:
        return np.exp(-exponent(split(low, high)[0])) * masses(low, high) / mass

    def moved(shift: Any, factor: Any) -> Law:
        ends = _moved_bounds(low, high, shift, factor)
        return truncated_normal(shift + factor * mean, abs(factor) * std, *ends)

    def truncated(least: Any, most: Any) -> Law:
        return truncated_normal(mean, std, np.maximum(low, least), np.minimum(high, most))

    @functools.cache
    def moments() -> Any:
        return _window_moments((anchor - mean) / std, up, down)

    law = Law(
        lambda: anchor + std * moments()[0],
        lambda: std * moments()[1],
        log_pdf=log_pdf,
        cdf=lambda x: part(low, np.clip(x, low, high)),
        sf=lambda x: part(np.clip(x, low, high), high),
        skewness=lambda: moments()[2],
        kurtosis=lambda: moments()[3],
        support=(low, high),
        moved=moved,
        truncated=truncated,
    )
    return unless_zero(std, anchor, law)


def _window_moments(offset: Any, up: Any, down: Any) -> tuple[Any, Any, Any, Any]:
    """Mean from the anchor, std, skewness and kurtosis of a standard normal within a window.

    Three methods, each where nothing cancels: wide windows around the mean as a normal less its
    tails, narrow windows about their middle, all others outwards from the anchor.
    """
    half, away = (up + down) / 2, (up - down) / 2
    wide = (np.minimum(up, down) >= 1) & (offset == 0)
    narrow = ~wide & (half <= 2) & (abs(offset + away) * half <= 4)
    methods = (
        (wide, _wide(*(np.where(wide, reach, 1.0) for reach in (up, down)))),
        (narrow, _narrow(np.where(narrow, away, 0.0), np.where(narrow, offset, 0.0),
                         np.where(narrow, half, 1.0))),
    )  # fmt: skip
    moments = _anchored(abs(offset), up, down)
    for where, values in methods:
        moments = tuple(np.where(where, *pair) for pair in zip(values, moments, strict=True))
    return moments  # pyright: ignore[reportReturnType]


def _wide(up: Any, down: Any) -> tuple[Any, Any, Any, Any]:
    """Integrated by parts: the normal's moments, less terms with the density at both ends."""
    # Beyond 40 the density underflows; infinite ends would give 0 times infinity.
    near, far = (np.minimum(end, 100.0) for end in (np.minimum(up, down), np.maximum(up, down)))
    drop = (far - near) / 2 * (far + near)
    mass = sum(special.integral(lambda t: t * t / 2, 0.0, 1.0, reach) for reach in (near, far))
    f, ratio = np.exp(-(near**2) / 2) / mass, np.exp(-drop)
    gap = -np.expm1(-drop)
    mean = f * gap
    first, third = f * (near + far * ratio), f * (near**3 + far**3 * ratio)
    second = f * (near**2 * gap - 2 * drop * ratio)
    variance = 1 - first - mean**2
    skewness = second - mean + 3 * mean * first + 2 * mean**3
    kurtosis = (
        3 * first - third - 3 * first**2 + 4 * mean**2 - 4 * mean * second
        - 12 * mean**2 * first - 6 * mean**4
    )  # fmt: skip
    side = np.where(up >= down, 1.0, -1.0)
    return side * mean, np.sqrt(variance), side * skewness / variance**1.5, kurtosis / variance**2


def _narrow(away: Any, offset: Any, half: Any) -> tuple[Any, Any, Any, Any]:
    """About the middle, where odd moments are integrals of a hyperbolic sine."""
    slope, moments = (offset + away) * half, []
    for n in range(5):
        side = np.cosh if n % 2 == 0 else lambda x: -np.sinh(x)
        moments.append(
            sum(w * s**n * side(slope * s) * np.exp(-((half * s) ** 2) / 2)
                for s, w in zip(*gauss(32), strict=True))
        )  # fmt: skip
    _, m1, m2, m3, m4 = (m / moments[0] for m in moments)
    variance = m2 - m1**2
    skewness = m3 - 3 * m1 * m2 + 2 * m1**3
    kurtosis = m4 - 4 * m1 * m3 - 3 * m2**2 + 12 * m1**2 * m2 - 6 * m1**4
    return (
        away + half * m1,
        half * np.sqrt(variance),
        skewness / variance**1.5,
        kurtosis / variance**2,
    )


def _anchored(alpha: Any, up: Any, down: Any) -> tuple[Any, Any, Any, Any]:
    """Outwards in both directions from the anchor, which is `alpha` from the mean."""
    scale = 1 / np.sqrt(1 + alpha**2)

    def moment(center: Any, power: int) -> Any:
        def side(reach: Any, sign: int) -> Any:
            return special.integral(
                lambda t: t * scale * (alpha + t * scale / 2),
                alpha * scale,
                scale**2,
                reach / scale,
                lambda t: (sign * t - center) ** power,
            )

        return side(up, 1) + side(down, -1)

    mass = moment(0.0, 0)
    mean = moment(0.0, 1) / mass
    variance, third, fourth = (moment(mean, n) / mass for n in (2, 3, 4))
    return (
        scale * mean,
        scale * np.sqrt(variance),
        third / variance**1.5,
        fourth / variance**2 - 3,
    )


# ---------------------------------------------------------------- von Mises


def von_mises(concentration: Any, mean: Any, low: Any = -np.inf, high: Any = np.inf) -> Law:
    """On one turn around the mean; `low` and `high` are always open."""
    k = concentration
    shape = np.broadcast_shapes(np.shape(k), np.shape(mean))
    log_mass = np.log(2 * math.pi * scipy.special.i0e(k))
    ends = mean - math.pi, mean + math.pi

    def within(start: Any, reach: Any) -> Any:
        """Mass from `start` to `start + reach`, at most a quarter turn past the steepest point."""

        def exponent(w: Any) -> Any:
            return 2 * k * np.sin(start + w / 2) * np.sin(w / 2)

        curvature = np.maximum(k * np.cos(start), 0)
        part = special.integral(exponent, k * np.sin(start), curvature, reach)
        return part * np.exp(-2 * k * np.sin(start / 2) ** 2 - log_mass)

    def beyond(t: Any, lost: Any = 0.0) -> Any:
        """Mass beyond t + lost >= 0, on that side."""
        return within(np.minimum(t, math.pi), np.maximum(math.pi - t + (_PI_REST - lost), 0))

    def tail(x: Any, sign: int) -> Any:
        """The mass beyond x, in the direction of the sign."""
        t, lost = special.difference(x, mean)
        side = np.where(t < 0, -1.0, 1.0)
        smaller = np.where((x > ends[0]) & (x < ends[1]), beyond(abs(t), side * lost), 0.0)
        return np.where(side == sign, smaller, 1 - smaller)

    def log_pdf(x: Any) -> Any:
        t = abs(x - mean)
        return np.where(t <= _TURN, -2 * k * np.sin(t / 2) ** 2 - log_mass, -np.inf)

    def quantile(p: Any, q: Any) -> Any:
        """By bisection on one side, counted from the median where most of the mass is beyond."""
        smaller = np.minimum(p, q)
        one_side = Law(
            0.0,
            0.0,
            cdf=lambda t: within(np.zeros(()), np.minimum(t, math.pi)),
            sf=beyond,
            support=(0.0, math.pi),
        )
        tail = smaller < 0.25
        t = bisected(one_side, np.where(tail, 1.0, abs(p - q) / 2), np.where(tail, smaller, 2.0))
        return mean + np.where(p < q, -t, t)

    @functools.cache
    def moments() -> Any:
        return _von_mises_moments(np.asarray(k, float))

    return Law(
        np.broadcast_to(mean, shape),
        lambda: np.broadcast_to(moments()[0], shape),
        log_pdf=log_pdf,
        cdf=lambda x: tail(x, -1),
        sf=lambda x: tail(x, 1),
        quantile=quantile,
        skewness=np.zeros(shape),
        kurtosis=lambda: np.broadcast_to(moments()[1], shape),
        support=ends,
    )


_TURN = math.pi * (1 + 1e-15)  # the bounds themselves may round outward
_PI_REST = 1.2246467991473532e-16  # pi less math.pi


def _von_mises_moments(k: Any) -> tuple[Any, Any]:
    """Std and kurtosis; for large concentrations by series in 1 / k."""
    large = k > 30
    near = np.where(large, 0.0, k)
    t, w = gauss(96)
    t = math.pi * t.reshape(-1, *[1] * k.ndim)
    f = w.reshape(t.shape) * np.exp(-2 * near * np.sin(t / 2) ** 2)
    m0, m2, m4 = ((f * t**n).sum(0) for n in (0, 2, 4))
    second, fourth = _von_mises_series()
    rest = 1 / np.where(large, k, 1e300)
    series = np.polyval(second, rest)
    return (
        np.where(large, np.sqrt(rest * series), np.sqrt(m2 / m0)),
        np.where(large, rest * np.polyval(fourth, rest) / series**2, m4 * m0 / m2**2 - 3),
    )


@functools.cache
def _von_mises_series() -> tuple[list[float], list[float]]:
    """Coefficients of k M2, and of k^3 (M4 - 3 M2^2), by powers of 1 / k, the highest first.

    With s = 2 sin(t / 2) the density is that of a normal, e^(-k s^2 / 2), over sqrt(1 - s^2 / 4).
    """
    terms = 22

    def times(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
        return [sum((a[i] * b[n - i] for i in range(n + 1)), Fraction()) for n in range(terms)]

    def over(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
        out: list[Fraction] = []
        for n in range(terms):
            out.append((a[n] - sum((out[i] * b[n - i] for i in range(n)), Fraction())) / b[0])
        return out

    root = [Fraction(math.comb(2 * j, j), 16**j) for j in range(terms)]  # in powers of s^2
    square = [Fraction(2, n * n * math.comb(2 * n, n)) for n in range(1, terms + 1)]  # t^2 / s^2
    odd = [math.prod(range(1, 2 * j, 2)) for j in range(terms + 2)]  # moments of the normal

    def mean(a: list[Fraction], lifted: int) -> list[Fraction]:
        return [c * odd[j + lifted] for j, c in enumerate(a)]

    m0 = mean(root, 0)
    m2 = over(mean(times(root, square), 1), m0)
    m4 = over(mean(times(root, times(square, square)), 2), m0)
    rest = [a - 3 * b for a, b in zip(m4, times(m2, m2), strict=True)]  # begins with 0
    return [float(c) for c in m2[::-1]], [float(c) for c in rest[:0:-1]]
