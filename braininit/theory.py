"""What the distributions should look like: mean, std, density and distribution functions.

All in float64 NumPy, whatever JAX is set to, and independent of the code that draws, so that one
can check the other. `dist` is an initializer object, whose parameters may be arrays; `x` broadcasts
with them, in any unit of its dimension. Where a law is unknown, `mean` and `std` return None, the
other functions raise TypeError. `laws`, the table at the end of this file, has one entry per
function; your own distribution can join it in one statement. A shifted and scaled known
distribution, as ``Exponential(2.0) + 0.5``, is known too.

>>> import brainunit as u, braininit as init
>>> from braininit import theory
>>> dist = init.TruncatedNormal(0.5 * u.nS, 0.2 * u.nS, low=0.4 * u.nS)
>>> print(f"{theory.mean(dist):.4f}, {theory.std(dist):.4f}")
0.6018 nS, 0.1395 nS
>>> print(f"{theory.sf(init.Normal(0 * u.nS, 1 * u.nS), 20 * u.nS):.4e}")
2.7536e-89
>>> theory.pdf(init.Uniform(0 * u.mV, 4 * u.mV), [-1, 1, 3] * u.mV)
Quantity([0.   0.25 0.25], "1 / mV")
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

from braininit._math import special
from braininit._params import units
from braininit.distributions import continuous, positive
from braininit.initializer import operators
from braininit.initializer.children import as_child
from braininit.initializer.constant import constant, ones, zeros
from braininit.initializer.recipe import UNKNOWN

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
        Survival function. Without it ``1 - cdf``, which loses the upper tail.
    """

    mean: Any
    std: Any
    pdf: Callable[[Any], Any]
    cdf: Callable[[Any], Any]
    sf: Callable[[Any], Any] | None = None


# ---------------------------------------------------------------- what users call


def mean(dist: Any) -> Any:
    """Return the mean of a distribution, in the unit of its draws."""
    return _moment(dist, 0)


def std(dist: Any) -> Any:
    """Return the standard deviation of a distribution, in the unit of its draws."""
    return _moment(dist, 1)


def pdf(dist: Any, x: Any) -> Any:
    """Return the density of a distribution at x, in one over the unit of its draws.

    It is infinite at a value that has a probability of its own, as with `Constant` or ``std=0``.
    """
    law, unit = _known(dist)
    return units.on(_density(law, _at(x, unit)), None if unit is None else unit**-1)


def cdf(dist: Any, x: Any) -> Any:
    """Return the distribution function: the probability of a draw up to x.

    Right to 1e-10 of itself wherever float64 can hold it, for shape parameters from 1e-3 to 1e15;
    `pdf` and `sf` too.
    """
    law, unit = _known(dist)
    x = _at(x, unit)
    return _probability(law.cdf, x, x > 0)


def sf(dist: Any, x: Any) -> Any:
    """Return the survival function: the probability of a draw beyond x.

    That is 1 - `cdf`, but exact where `cdf` is nearly 1.
    """
    law, unit = _known(dist)
    x = _at(x, unit)
    return _probability(functools.partial(_survival, law), x, x < 0)


def pooled(dist: Any) -> tuple[Law | None, u.Unit | None]:
    """Return the law of one draw picked at random among all, and its unit.

    With array parameters every element has its own law; a histogram of the draws shows their
    mixture.
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
    # By function, not by class: a subclass with another function has another law.
    function: Any = getattr(type(dist), "_function", None)
    if isinstance(dist, operators.Combined):
        return _combined(dist.op, dist.left, dist.right)
    if isinstance(dist, operators.Scaled):
        return _combined("*", dist.base_dist, dist.scale_factor)
    law, made = laws.get(function), None if function is None else cast(Any, dist)._recipe
    if made is None or (law is None and made.facts.law is None):
        return None, None
    numbers = dict(zip(made.facts.names, made.values, strict=True))
    unit, carriers = made.unit, {n: v for n, v in numbers.items() if isinstance(v, u.Quantity)}
    if carriers or unit is UNKNOWN:  # a user's class
        unit, bare = units.off(**carriers)
        numbers |= zip(carriers, bare, strict=True)
    numbers = {name: _double(value) for name, value in numbers.items()}
    with np.errstate(all="ignore"):
        if law is not None:
            return law(**numbers), unit
        its = made.facts.law(scipy.stats, *numbers.values())
        return Law(its.mean(), its.std(), its.pdf, its.cdf, its.sf), unit


def _combined(op: str, left: Any, right: Any = None) -> tuple[Law | None, u.Unit | None]:
    """Look up both sides of an operator; a draw that is shifted and scaled is known."""
    if right is None:
        return None, None
    (first, unit), (second, other) = (_find(as_child(op, side)) for side in (left, right))
    if first is None or second is None:
        return None, None
    unit, ratio = units.of_operation(op, unit, other)
    second = _affine(second, 0.0, ratio)
    if op in ("+", "-"):
        sign = 1.0 if op == "+" else -1.0
        if not np.any(second.std):
            return _affine(first, sign * second.mean, 1.0), unit
        if not np.any(first.std):
            return _affine(second, first.mean, sign), unit
    if op == "*" and not np.any(first.std):
        return _affine(second, 0.0, first.mean), unit
    if op in ("*", "/") and not np.any(second.std):
        return _affine(first, 0.0, second.mean if op == "*" else 1 / second.mean), unit
    return None, None


def _affine(law: Law, shift: Any, factor: Any) -> Law:
    """Return the law of shift + factor x, if `law` is that of x."""
    if not np.any(law.std):
        return _point(shift + factor * law.mean)

    def back(x: Any) -> Any:
        return (x - shift) / factor

    def side(x: Any, up: bool) -> Any:
        below, above = law.cdf(back(x)), _survival(law, back(x))
        return np.where((factor > 0) == up, below, above)

    moved = Law(
        shift + factor * law.mean,
        abs(factor) * law.std,
        lambda x: law.pdf(back(x)) / abs(factor),
        lambda x: side(x, True),
        lambda x: side(x, False),
    )
    return _unless_zero(factor, shift, moved)


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


def _point(value: Any) -> Law:
    return Law(
        value,
        np.zeros(np.shape(value)),
        lambda x: np.where(x == value, np.inf, 0.0),
        lambda x: np.where(x >= value, 1.0, 0.0),
        lambda x: np.where(x >= value, 0.0, 1.0),
    )


def _unless_zero(spread: Any, value: Any, law: Law) -> Law:
    """Take a law; where its spread is 0, all of the mass at `value`."""
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
        lambda x: np.exp(-(z(x) ** 2) / 2 - np.log(std) - special.LOG_SQRT_2PI),
        lambda x: scipy.special.ndtr(z(x)),
        lambda x: scipy.special.ndtr(-z(x)),
    )
    return _unless_zero(std, mean, law)


def _lognormal(mean: Any, std: Any) -> Law:
    ratio = std / mean
    # sqrt(log(1 + ratio^2)), where the square is in range and where it is not.
    root = np.sqrt(np.where(ratio < 1e8, np.log1p(ratio**2), 2 * special.log_ratio(std, mean)))
    sigma = np.where(ratio < 1e-8, ratio, root)

    def z(x: Any) -> Any:
        return (special.log_ratio(np.maximum(x, 0), mean) + sigma**2 / 2) / sigma

    def pdf(x: Any) -> Any:
        log_p = -(z(x) ** 2) / 2 - np.log(sigma) - np.log(x) - special.LOG_SQRT_2PI
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
        return np.exp(k * special.log_ratio(np.maximum(x, 0), scale))

    def pdf(x: Any) -> Any:
        log_power = np.where(k == 1, 0.0, (k - 1) * special.log_ratio(np.maximum(x, 0), scale))
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
    mean, lost = special.product(k, bare)

    def kernel(x: Any) -> tuple[Any, Any]:
        """The distance of x from the mean, in means; and the logarithm of x times the density."""
        x = np.maximum(x, 0)
        away = (np.ldexp(x, -exponent) - mean - lost) / mean
        excess = k * special.excess(away, special.log_ratio(x, mean, exponent))
        return away, np.log(k) / 2 - special.LOG_SQRT_2PI - excess - special.stirling(k)

    def pdf(x: Any) -> Any:
        p = np.exp(kernel(x)[1] - np.log(x))
        p = np.where(x == 0, _at_the_edge(k, 1 / scale), p)
        return np.where(x < 0, 0.0, p)

    def tails(x: Any) -> tuple[Any, Any]:
        away, log_kernel = kernel(x)
        return special.gamma_tails(k, np.maximum(x, 0) / scale, away, np.exp(log_kernel))

    return Law(k * scale, np.sqrt(k) * scale, pdf, lambda x: tails(x)[0], lambda x: tails(x)[1])


def _beta(alpha: Any, beta: Any, low: Any, high: Any) -> Law:
    a, b, n = alpha, beta, alpha + beta
    exponent = np.frexp(np.maximum(abs(low), abs(high)))[1]
    down, up = np.ldexp(low, -exponent), np.ldexp(high, -exponent)
    width = up - down

    def kernel(x: Any) -> tuple[Any, Any]:
        """The distance of x from the mean; and the logarithm of the density in log(y / (1 - y)).

        y is x in widths from low. Above the mean the first is n y - a > 0.
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
        below, above = special.beta_tails(
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

    Relative to the anchor the density is e^(-t (2 alpha + t) / 2) at t std away from it: however
    far out a tail is, that neither underflows nor cancels.
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

        return tuple(special.integral(exponent, alpha, 1.0, reach, power) for reach in (up, down))

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


def _at_the_edge(shape: Any, at_one: Any) -> Any:
    """The density at the end of a support, by the shape parameter of that end."""
    return np.where(shape < 1, np.inf, np.where(shape == 1, at_one, 0.0))


# ---------------------------------------------------------------- the table

laws: dict[Any, Callable[..., Law]] = {
    constant: _point,
    zeros: _point,
    ones: _point,
    continuous.uniform: _uniform,
    continuous.normal: _normal,
    positive.lognormal: _lognormal,
    positive.gamma: _gamma,
    positive.exponential: _exponential,
    positive.weibull: _weibull,
    continuous.beta: _beta,
    continuous.truncated_normal: _truncated_normal,
}
"""Function -> law, called with the function's own parameters, bare and in float64."""
