"""Families for `log_concave`: how their densities fall from an anchor, and how far they reach.

All functions take NumPy or JAX values, whose dtype decides the precision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from braininit._jax.rounding import round_here
from braininit._math.elementary import polynomial

__all__ = ["BETA", "EFFORT", "GAMMA", "Effort", "Family", "log_ratio", "once_of", "xp_of"]


def xp_of(x: Any) -> Any:
    return jnp if isinstance(x, jax.Array) else np


def once_of(x: Any) -> Callable[[Any], Any]:
    """A function that keeps XLA from recomputing a value for each of its uses."""
    return round_here if isinstance(x, jax.Array) else lambda x: x


# ---------------------------------------------------------------- how a density falls


class Effort(NamedTuple):
    """The numbers of points and steps that compute masses and draws."""

    panels: int
    points: int  # of a panel
    unrolled: int  # points in one step of a loop
    steps: int  # of the iteration in `log_concave`


# By bytes. Masses are within 2e-6 (float64: 5e-8) at worst, with shapes of 1e-3 and less, and
# mostly within 1e-11 (1e-15).
EFFORT = {4: Effort(4, 12, 3, 3), 8: Effort(5, 20, 4, 4)}


class GammaFall(NamedTuple):
    """The fall of the log density with s = |log(x / anchor)|."""

    effort = EFFORT
    is_log_concave = True

    rate: Any  # the slope at the anchor: positive at a bound, else 0
    weight: Any  # the anchor in units of the scale
    direction: Any  # 1 above the anchor, -1 below

    def drop(self, s: Any) -> Any:
        return self.rate * s + self.weight * _exp_rest(self.direction * s)

    def slope(self, s: Any) -> Any:
        return self.rate + self.weight * (self.direction * xp_of(s).expm1(self.direction * s))


class BetaFall(NamedTuple):
    """The fall of the log density with s, the difference of log odds from the anchor's."""

    effort = EFFORT
    is_log_concave = True

    rate: Any
    total: Any  # alpha + beta
    behind: Any  # the anchor's distance from the end behind, as a fraction of the width
    ahead: Any  # and from the end ahead

    def drop(self, s: Any) -> Any:
        # log(1 + p (exp(s) - 1)) - p s is the same for 1 - p and -s: the smaller keeps its digits.
        xp, limit = xp_of(s), math.log(np.finfo(s.dtype).max) - 4.0
        lesser = self.behind < self.ahead
        part, t = xp.where(lesser, self.behind, self.ahead), xp.where(lesser, s, -s)
        near = s < 0.5
        inner = xp.where(near, t, 0.0)
        inner = part * _exp_rest(inner) - _log_rest(part * xp.expm1(inner))
        outer = xp.where(near, 1.0, xp.minimum(t, limit))
        outer = xp.log1p(part * xp.expm1(outer)) + xp.maximum(t - limit, 0.0) - part * t
        return self.rate * s + self.total * xp.where(near, inner, outer)

    def slope(self, s: Any) -> Any:
        left = xp_of(s).exp(-s)
        gone = self.behind * -xp_of(s).expm1(-s)
        return self.rate + self.total * self.ahead * gone / (gone + left)


def _exp_rest(t: Any) -> Any:
    """exp(t) - 1 - t."""
    xp, near = xp_of(t), abs(t) < 0.5
    small, large = xp.where(near, t, 0.0), xp.where(near, 1.0, t)
    terms = [1 / math.factorial(k) for k in range(2, 11 if t.dtype == np.float32 else 18)]
    return xp.where(near, small * small * polynomial(small, terms), xp.expm1(large) - large)


def _log_rest(r: Any) -> Any:
    """R - log(1 + r) for |r| < 0.4, from the series of log(1 + r) = 2 artanh(z)."""
    z = r / (2.0 + r)
    square = z * z
    terms = [2 / k for k in range(3, 11 if r.dtype == np.float32 else 24, 2)]
    return z * (r - square * polynomial(square, terms))


# ---------------------------------------------------------------- families


class Family(NamedTuple):
    """A distribution, by its functions.

    `shapes` are (concentration,) or (alpha, beta); `bounds` (scale, low, high), (mean, low, high)
    or (start, end, low, high), where start and end bound the untruncated distribution.
    """

    origin: Callable[[Any, Any], tuple[Any, ...]]  # (shapes, bounds): the anchor and more
    falls: Callable[[Any, Any, Any], tuple[Any, Any]]  # (shapes, origin, bounds): below, above
    reaches: Callable[[Any, Any], tuple[Any, Any]]  # (origin, bounds): distances of the bounds
    moved: Callable[[Any, Any, Any], tuple[Any, ...]]  # (origin, s, bounds): s upwards
    distance: Callable[[Any, Any, Any], Any]  # (origin, x, bounds): the s of x
    spacing: Callable[[Any, Any], Any]  # (x, bounds): dx / ds
    others: Callable[..., tuple[Any, ...]]  # derivatives in the other bounds, from low's and high's
    is_near_zero: Callable[[Any], Any]  # whether an origin may be too small a number
    shapes: int  # the number of shape parameters
    window: Callable[..., Any] = tuple  # restricts the bounds to where the formulas hold

    def parted(self, numbers: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
        """Split numbers into shape parameters and bounds."""
        return tuple(numbers[: self.shapes]), self.window(numbers[self.shapes :])


def log_ratio(x: Any, y: Any, difference: Any) -> Any:
    """log(x / y), for a difference x - y that is known more accurately than x and y."""
    xp, near = xp_of(x), abs(difference) < 0.5 * y
    far_x, far_y = xp.where(near, 1.0, x), xp.where(near, 1.0, y)
    return xp.where(
        near, xp.log1p(xp.where(near, difference, 0.0) / y), xp.log(far_x) - xp.log(far_y)
    )


def _unless(is_open: Any, bound: Any, inside: Any, distance: Callable[[Any], Any]) -> Any:
    """The distance of a bound, infinite where it is open, without NaN in derivatives."""
    xp = xp_of(bound)
    return xp.where(is_open, np.inf, distance(xp.where(is_open, inside, bound)))


# gamma


def _gamma_origin(shapes: Any, bounds: Any) -> tuple[Any, ...]:
    (k,), (scale, low, high) = shapes, bounds
    xp, info = xp_of(low), np.finfo(low.dtype)
    mode = xp.minimum(k * scale, info.max)  # of the density in log x
    anchor = xp.where(mode < low, low, xp.where(mode > high, high, mode))
    return (xp.maximum(anchor, info.tiny),)


def _gamma_falls(shapes: Any, origin: Any, bounds: Any) -> tuple[GammaFall, GammaFall]:
    (k,), (anchor,), (scale, *_) = shapes, origin, bounds
    weight = xp_of(k).minimum(anchor / scale, 1e30)  # beyond, distances are within rounding
    one = np.ones((), k.dtype)
    return GammaFall(k - weight, weight, -one), GammaFall(weight - k, weight, one)


def _gamma_reaches(origin: Any, bounds: Any) -> tuple[Any, Any]:
    (anchor,), (_, low, high) = origin, bounds
    return (
        _unless(low <= 0.0, low, anchor, lambda x: -log_ratio(x, anchor, x - anchor)),
        _unless(high == np.inf, high, anchor, lambda x: log_ratio(x, anchor, x - anchor)),
    )


def _gamma_moved(origin: Any, s: Any, bounds: Any) -> tuple[Any, ...]:
    (x,), xp, near = origin, xp_of(s), abs(s) < 0.5
    return (xp.where(near, x + x * xp.expm1(xp.where(near, s, 0.0)), x * xp.exp(s)),)


def _gamma_distance(origin: Any, x: Any, bounds: Any) -> Any:
    return log_ratio(x, origin[0], x - origin[0])


# beta


def _beta_origin(shapes: Any, bounds: Any) -> tuple[Any, ...]:
    (a, b), (start, end, low, high) = shapes, bounds
    xp = xp_of(low)
    mode = a / (a + b), b / (a + b)  # in the log odds
    at_low, at_high = _odds(low, start, end), _odds(high, start, end)
    too_low, too_high = mode[0] <= at_low[0], mode[1] <= at_high[1]
    p, q = (
        xp.where(too_low, low, xp.where(too_high, high, own))
        for own, low, high in zip(mode, at_low, at_high, strict=True)
    )
    x = _interpolated(*mode, start, end)
    x = xp.where(x < low, low, xp.where(x > high, high, x))
    return xp.where(too_low, low, xp.where(too_high, high, x)), p, q


def _part(x: Any, y: Any, start: Any, end: Any) -> Any:
    """(y - x) / (end - start), where a difference may overflow."""
    unit = xp_of(start).where(abs(end - start) < np.inf, 1.0, 0.25).astype(start.dtype)
    return (y * unit - x * unit) / (end * unit - start * unit)


def _odds(x: Any, start: Any, end: Any) -> tuple[Any, Any]:
    return _part(start, x, start, end), _part(x, end, start, end)


def _interpolated(p: Any, q: Any, start: Any, end: Any) -> Any:
    """The number at fractions p from start and q from end, counted from the nearer one."""
    xp = xp_of(p)
    unit = xp.where(abs(end - start) < np.inf, 1.0, 0.25).astype(start.dtype)
    width = end * unit - start * unit
    return xp.where(p < q, start * unit + width * p, end * unit - width * q) / unit


def _beta_falls(shapes: Any, origin: Any, bounds: Any) -> tuple[BetaFall, BetaFall]:
    (a, b), (_, p, q) = shapes, origin
    rate = b * p - a * q
    return BetaFall(-rate, a + b, q, p), BetaFall(rate, a + b, p, q)


def _beta_reaches(origin: Any, bounds: Any) -> tuple[Any, Any]:
    (start, end, low, high), (anchor, *_) = bounds, origin
    return (
        _unless(low <= start, low, anchor, lambda x: -_beta_distance(origin, x, bounds)),
        _unless(high >= end, high, anchor, lambda x: _beta_distance(origin, x, bounds)),
    )


def _beta_distance(origin: Any, x: Any, bounds: Any) -> Any:
    (start, end, *_), (anchor, p, q) = bounds, origin
    step = _part(anchor, x, start, end)
    p_x, q_x = _odds(x, start, end)
    return log_ratio(p_x, p, step) - log_ratio(q_x, q, -step)


def _beta_moved(origin: Any, s: Any, bounds: Any) -> tuple[Any, ...]:
    (start, end, *_), (x, p, q) = bounds, origin
    xp, up, once = xp_of(s), s > 0.0, once_of(s)
    gone = once(-xp.expm1(-abs(s)))
    left = once(xp.exp(-abs(s)))
    tiny = np.finfo(s.dtype).tiny
    rate = once(1.0 / xp.maximum(left + gone * xp.where(up, p, q), tiny))
    step = p * q * gone * rate
    p, q = p * xp.where(up, 1.0, left) * rate, q * xp.where(up, left, 1.0) * rate
    # A small step keeps the anchor's digits; after a large one the nearer end has more.
    unit = xp.where(abs(end - start) < np.inf, 1.0, 0.25).astype(start.dtype)
    step = (end * unit - start * unit) * xp.where(up, step, -step) / unit
    return xp.where(abs(s) < 1.0, x + step, _interpolated(p, q, start, end)), p, q


def _gamma_others(x: Any, by_low: Any, by_high: Any, bounds: Any) -> tuple[Any, ...]:
    scale, low, high = bounds  # scaling all three scales the draw
    high = jnp.where(high < np.inf, high, 0.0)
    return ((x - by_low * low - by_high * high) / scale,)


def _beta_others(x: Any, by_low: Any, by_high: Any, bounds: Any) -> tuple[Any, ...]:
    start, end, low, high = bounds  # stretching or moving all four does the same to x

    def by(end: Any, start: Any) -> Any:
        part = functools.partial(_part, start=start, end=end)
        return part(start, x) - by_low * part(start, low) - by_high * part(start, high)

    return by(start, end), by(end, start)


GAMMA = Family(
    _gamma_origin,
    _gamma_falls,
    _gamma_reaches,
    _gamma_moved,
    _gamma_distance,
    spacing=lambda x, bounds: x,
    others=_gamma_others,
    is_near_zero=lambda origin: origin[0] > -np.inf,
    shapes=1,
)
BETA = Family(
    _beta_origin,
    _beta_falls,
    _beta_reaches,
    _beta_moved,
    _beta_distance,
    spacing=lambda x, bounds: (x - bounds[0]) * _part(x, bounds[1], bounds[0], bounds[1]),
    others=_beta_others,
    is_near_zero=lambda origin: origin[1] < origin[2],
    shapes=2,
)
