"""Gamma, beta and von Mises draws between two bounds, right in every tail.

In log x the gamma density is log-concave for every concentration, and in log(x / (1 - x)) the
beta density is; `von_mises` says what is different there. How far the log density falls between
two points has a closed form that keeps its digits. So no incomplete function is needed, nothing
is subtracted from 1, and a tail of mass 1e-1000 is as good as any other:

- The anchor is the point of [low, high] where the density is greatest. On either side of it the
  density only falls: `drop` is the log density at the anchor less that at a distance from it.
- Masses are integrals of exp(-drop), by the rule of Gauss and Legendre on a few panels.
- A word picks the side, the mass from the anchor to the draw, and the mass beyond the draw. The
  distance follows from the smaller of the two by iteration: a step is the one that would be
  right if the density fell exponentially from there on. It starts from upper bounds that hold
  for every log-concave density, and for others from a sum over a few points; three steps reach
  float32's last digits, four float64's.

`drawn` does this for every word. `table` does it at the nodes of a piecewise polynomial in the
word, in NumPy where the parameters are known beforehand; `looked_up` evaluates that polynomial,
at the price of a plain gamma draw. Panels of the table are parts of the octaves of the smaller
tail, so that both ends keep their relative precision.

All functions take NumPy or JAX values, whose dtype decides the precision.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.polynomial import legendre

from braininit._jax.rounding import round_here
from braininit._math.elementary import fraction, polynomial

__all__ = ["BETA", "GAMMA", "Family", "drawn", "log_ratio", "looked_up", "table"]


def _xp(x: Any) -> Any:
    return jnp if isinstance(x, jax.Array) else np


def _once(x: Any) -> Callable[[Any], Any]:
    """Keep a value with several uses from being computed for each of them."""
    return round_here if isinstance(x, jax.Array) else lambda x: x


# ---------------------------------------------------------------- how a density falls


class Effort(NamedTuple):
    """How exactly masses and draws are computed."""

    panels: int
    points: int  # in a panel
    together: int  # in one step of a loop
    steps: int  # of `_distance`


# By bytes. Masses are within 2e-6 (float64: 5e-8) at the worst, with shapes of 1e-3 and less, and
# within 1e-11 (1e-15) mostly.
_EFFORT = {4: Effort(4, 12, 3, 3), 8: Effort(5, 20, 4, 4)}


class GammaFall(NamedTuple):
    """The fall with s = |log(x / anchor)|."""

    effort = _EFFORT
    is_log_concave = True

    rate: Any  # at the anchor: positive where that is a bound, else 0
    weight: Any  # the anchor in units of the scale
    way: Any  # 1 above the anchor, -1 below

    def drop(self, s: Any) -> Any:
        return self.rate * s + self.weight * _exp_rest(self.way * s)

    def slope(self, s: Any) -> Any:
        return self.rate + self.weight * (self.way * _xp(s).expm1(self.way * s))


class BetaFall(NamedTuple):
    """The fall with s, by which the log odds of x differ from the anchor's."""

    effort = _EFFORT
    is_log_concave = True

    rate: Any
    total: Any  # alpha + beta
    behind: Any  # the anchor's distance from the end behind, as a part of the whole
    ahead: Any  # and from the end ahead

    def drop(self, s: Any) -> Any:
        # log(1 + p (exp(s) - 1)) - p s is the same of 1 - p and -s: the smaller part keeps digits.
        xp, limit = _xp(s), math.log(np.finfo(s.dtype).max) - 4.0
        lesser = self.behind < self.ahead
        part, t = xp.where(lesser, self.behind, self.ahead), xp.where(lesser, s, -s)
        near = s < 0.5
        inner = xp.where(near, t, 0.0)
        inner = part * _exp_rest(inner) - _log_rest(part * xp.expm1(inner))
        outer = xp.where(near, 1.0, xp.minimum(t, limit))
        outer = xp.log1p(part * xp.expm1(outer)) + xp.maximum(t - limit, 0.0) - part * t
        return self.rate * s + self.total * xp.where(near, inner, outer)

    def slope(self, s: Any) -> Any:
        left = _xp(s).exp(-s)
        gone = self.behind * -_xp(s).expm1(-s)
        return self.rate + self.total * self.ahead * gone / (gone + left)


def _exp_rest(t: Any) -> Any:
    """exp(t) - 1 - t."""
    xp, near = _xp(t), abs(t) < 0.5
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
    """The differences between the distributions.

    `shapes` are (concentration,) or (alpha, beta); `bounds` (scale, low, high), (mean, low, high)
    or (start, end, low, high), where start and end are those of the whole distribution.
    """

    origin: Callable[[Any, Any], tuple[Any, ...]]  # the anchor, and what else `moved` takes
    falls: Callable[[Any, Any, Any], tuple[Any, Any]]  # of shapes, an origin, bounds
    reaches: Callable[[Any, Any], tuple[Any, Any]]  # of an origin, bounds
    moved: Callable[[Any, Any, Any], tuple[Any, ...]]  # an origin, by s upwards; bounds
    distance: Callable[[Any, Any, Any], Any]  # of a draw from an origin; bounds
    spacing: Callable[[Any, Any], Any]  # dx / ds at a draw; bounds
    others: Callable[..., tuple[Any, ...]]  # derivatives in the other bounds, from low's and high's
    is_near_zero: Callable[[Any], Any]  # whether a small number is what an origin may be
    shapes: int  # how many of the numbers are shape parameters
    window: Callable[..., Any] = tuple  # of bounds: those within which the formulas hold

    def parted(self, numbers: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
        """Shape parameters and bounds."""
        return tuple(numbers[: self.shapes]), self.window(numbers[self.shapes :])


def log_ratio(x: Any, y: Any, difference: Any) -> Any:
    """log(x / y), where x - y is known to more digits than x and y have."""
    xp, near = _xp(x), abs(difference) < 0.5 * y
    far_x, far_y = xp.where(near, 1.0, x), xp.where(near, 1.0, y)
    return xp.where(
        near, xp.log1p(xp.where(near, difference, 0.0) / y), xp.log(far_x) - xp.log(far_y)
    )


def _unless(open_: Any, bound: Any, inside: Any, distance: Callable[[Any], Any]) -> Any:
    """The distance of a bound, infinite where it is open: without NaN in its derivatives."""
    xp = _xp(bound)
    return xp.where(open_, np.inf, distance(xp.where(open_, inside, bound)))


# gamma


def _gamma_origin(shapes: Any, bounds: Any) -> tuple[Any, ...]:
    (k,), (scale, low, high) = shapes, bounds
    xp, info = _xp(low), np.finfo(low.dtype)
    mode = xp.minimum(k * scale, info.max)  # of the density in log x
    anchor = xp.where(mode < low, low, xp.where(mode > high, high, mode))
    return (xp.maximum(anchor, info.tiny),)


def _gamma_falls(shapes: Any, origin: Any, bounds: Any) -> tuple[GammaFall, GammaFall]:
    (k,), (anchor,), (scale, *_) = shapes, origin, bounds
    weight = _xp(k).minimum(anchor / scale, 1e30)  # beyond, distances are within rounding
    one = np.ones((), k.dtype)
    return GammaFall(k - weight, weight, -one), GammaFall(weight - k, weight, one)


def _gamma_reaches(origin: Any, bounds: Any) -> tuple[Any, Any]:
    (anchor,), (_, low, high) = origin, bounds
    return (
        _unless(low <= 0.0, low, anchor, lambda x: -log_ratio(x, anchor, x - anchor)),
        _unless(high == np.inf, high, anchor, lambda x: log_ratio(x, anchor, x - anchor)),
    )


def _gamma_moved(origin: Any, s: Any, bounds: Any) -> tuple[Any, ...]:
    (x,), xp, near = origin, _xp(s), abs(s) < 0.5
    return (xp.where(near, x + x * xp.expm1(xp.where(near, s, 0.0)), x * xp.exp(s)),)


def _gamma_distance(origin: Any, x: Any, bounds: Any) -> Any:
    return log_ratio(x, origin[0], x - origin[0])


# beta


def _beta_origin(shapes: Any, bounds: Any) -> tuple[Any, ...]:
    (a, b), (start, end, low, high) = shapes, bounds
    xp = _xp(low)
    mode = a / (a + b), b / (a + b)  # in the log odds
    at_low, at_high = _odds(low, start, end), _odds(high, start, end)
    too_low, too_high = mode[0] <= at_low[0], mode[1] <= at_high[1]
    p, q = (
        xp.where(too_low, low, xp.where(too_high, high, own))
        for own, low, high in zip(mode, at_low, at_high, strict=True)
    )
    x = _placed(*mode, start, end)
    x = xp.where(x < low, low, xp.where(x > high, high, x))
    return xp.where(too_low, low, xp.where(too_high, high, x)), p, q


def _part(x: Any, y: Any, start: Any, end: Any) -> Any:
    """(y - x) / (end - start), where a difference may overflow."""
    unit = _xp(start).where(abs(end - start) < np.inf, 1.0, 0.25).astype(start.dtype)
    return (y * unit - x * unit) / (end * unit - start * unit)


def _odds(x: Any, start: Any, end: Any) -> tuple[Any, Any]:
    return _part(start, x, start, end), _part(x, end, start, end)


def _placed(p: Any, q: Any, start: Any, end: Any) -> Any:
    """The number between start and end, counted from the nearer one."""
    xp = _xp(p)
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
    xp, up, once = _xp(s), s > 0.0, _once(s)
    gone = once(-xp.expm1(-abs(s)))
    left = once(xp.exp(-abs(s)))
    tiny = np.finfo(s.dtype).tiny
    rate = once(1.0 / xp.maximum(left + gone * xp.where(up, p, q), tiny))
    step = p * q * gone * rate
    p, q = p * xp.where(up, 1.0, left) * rate, q * xp.where(up, left, 1.0) * rate
    # A small step keeps the anchor's digits; after a large one the nearer end has more.
    unit = xp.where(abs(end - start) < np.inf, 1.0, 0.25).astype(start.dtype)
    step = (end * unit - start * unit) * xp.where(up, step, -step) / unit
    return xp.where(abs(s) < 1.0, x + step, _placed(p, q, start, end)), p, q


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
    lambda x, bounds: x,
    _gamma_others,
    lambda origin: origin[0] > -np.inf,
    1,
)
BETA = Family(
    _beta_origin,
    _beta_falls,
    _beta_reaches,
    _beta_moved,
    _beta_distance,
    lambda x, bounds: (x - bounds[0]) * _part(x, bounds[1], bounds[0], bounds[1]),
    _beta_others,
    lambda origin: origin[1] < origin[2],
    2,
)


# ---------------------------------------------------------------- masses


class Side(NamedTuple):
    """What lies on one side of the anchor."""

    fall: Any
    end: Any  # the distance of the bound, or one beyond which there is nothing
    mass: Any  # in units of the density at the anchor


def _sides(family: Family, shapes: Any, bounds: Any) -> tuple[Any, Side, Side]:
    """The anchor, and what lies below and above it."""
    origin = family.origin(shapes, bounds)
    falls, reaches = family.falls(shapes, origin, bounds), family.reaches(origin, bounds)
    ends = [_end(fall, reach) for fall, reach in zip(falls, reaches, strict=True)]
    masses = [_integral(fall, 0.0 * end, end) for fall, end in zip(falls, ends, strict=True)]
    below, above = map(Side, falls, ends, masses)
    return origin, below, above


def _end(fall: Any, reach: Any) -> Any:
    """Where nothing is left: the density fell by `depth`, far beyond the reach of a word."""
    xp, depth = _xp(reach), _DEPTH[reach.dtype.itemsize]
    exponents = fall.drop(0.0 * xp.minimum(reach, 1.0)) + 120.0

    def halve(ends: tuple[Any, Any]) -> tuple[Any, Any]:
        left, right = ends
        middle = 0.5 * (left + right)
        short = fall.drop(xp.exp2(middle)) < depth
        return xp.where(short, middle, left), xp.where(short, right, middle)

    _, right = _repeated(14, halve, (-exponents, exponents))
    return xp.minimum(reach, fixed(xp.exp2(right)))


_DEPTH = {4: 45.0, 8: 85.0}  # by bytes: 2^-33 and 2^-65 are exp(-23) and exp(-45)


def fixed(x: Any) -> Any:
    return lax.stop_gradient(x) if isinstance(x, jax.Array) else x


def _repeated(n: int, step: Callable[[Any], Any], state: Any) -> Any:
    """Step n times: in a loop where JAX traces, whatever devices the state varies over."""
    if any(isinstance(x, jax.Array) for x in jax.tree.leaves(state)):
        return lax.fori_loop(0, n, lambda _, state: step(state), state)
    for _ in range(n):
        state = step(state)
    return state


def _integral(fall: Any, start: Any, stop: Any) -> Any:
    """The integral of the density from `start` to `stop`, in units of the density at `start`."""
    xp, top, width = _xp(stop), fall.drop(start), stop - start
    nodes, weights = (xp.asarray(x, width.dtype) for x in _rule(fall.effort[width.dtype.itemsize]))

    def add(state: tuple[Any, Any]) -> tuple[Any, Any]:
        i, total = state
        for j in range(nodes.shape[1]):
            density = xp.exp(top - fall.drop(start + width * nodes[i, j]))
            total = total + weights[i, j] * density
        return i + 1, total

    i = np.int32(0) if xp is np else jnp.int32(0)
    return width * _repeated(len(nodes), add, (i, 0.0 * (top + width)))[1]


@functools.cache
def _rule(effort: Effort) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1], a row for each part of a panel.

    Panels end at powers of 1/4, so that a density is resolved that falls in a small part of
    the whole.
    """
    panels, points, together, _ = effort
    x, w = legendre.leggauss(points)
    ends = [0.0] + [4.0**-k for k in range(panels - 1, -1, -1)]
    nodes = [a + (b - a) * (x + 1) / 2 for a, b in itertools.pairwise(ends)]
    weights = [(b - a) * w / 2 for a, b in itertools.pairwise(ends)]
    return tuple(np.reshape(v, (-1, together)) for v in (nodes, weights))  # pyright: ignore


# ---------------------------------------------------------------- from masses to a draw


def _distance(side: Side, near: Any, far: Any) -> Any:
    """How far a draw is from the anchor, by the masses between the two and beyond the draw."""
    fall, end, mass = side
    xp, inner = _xp(mass), near < far
    s = (_bounded if fall.is_log_concave else _counted)(side, near, far)

    def closer(s: Any) -> Any:
        drop, slope = fall.drop(s), fall.slope(s)
        found = _integral(fall, xp.where(inner, 0.0, s), xp.where(inner, s, end))
        # The mass still to cross, in units of the density at s. If that falls by `slope` from
        # there on, there is more mass than this: the logarithm exists.
        rest = xp.where(inner, (near - found) * xp.exp(drop), found - xp.exp(drop + xp.log(far)))
        part = slope * rest
        some = abs(part) > 0.0
        part = xp.where(some, part, 1e-3)
        step = rest * xp.where(some, -xp.log1p(-part) / part, 1.0)
        return xp.clip(s + step, 0.0, end)

    return _repeated(fall.effort[mass.dtype.itemsize].steps, closer, s)


def _bounded(side: Side, near: Any, far: Any) -> Any:
    """Upper bounds of s for a draw with the smaller mass beyond it, else lower ones."""
    fall, end, mass = side
    xp, inner = _xp(mass), near < far
    # The remaining part of the mass falls faster and faster with the distance, and is smaller
    # than the density as a part of its greatest value.
    level = xp.log(mass / far)

    def lower(s: Any) -> Any:
        over = fall.drop(s) - level
        return xp.where(~inner & (over > 0.0), s - over / fall.slope(s), s)

    return _repeated(6, lower, xp.where(inner, near, xp.minimum(mass * level, end * (near / mass))))


def _counted(side: Side, near: Any, far: Any) -> Any:
    """Roughly how far a draw is, whatever its density: where the rule's sum reaches the mass.

    The sum starts from the end of the smaller mass.
    """
    fall, end, mass = side
    xp, inner, wanted = _xp(mass), near < far, _xp(mass).minimum(near, far)
    rule = _rule(fall.effort[mass.dtype.itemsize])
    nodes, weights = (xp.asarray(x, mass.dtype) for x in rule)

    def add(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        i, total, length = state
        for j in range(nodes.shape[1]):
            node, weight = (xp.where(inner, x[i, j], x[-1 - i, -1 - j]) for x in (nodes, weights))
            part = end * weight * xp.exp(-fall.drop(end * node))
            length = length + weight * xp.clip((wanted - total) / part, 0.0, 1.0)
            total = total + part
        return i + 1, total, length

    i, zero = np.int32(0) if xp is np else jnp.int32(0), 0.0 * (end + wanted)
    *_, length = _repeated(len(nodes), add, (i, zero, zero))
    return end * xp.where(inner, length, 1.0 - length)


def _located(family: Family, shapes: Any, bounds: Any, masses: Callable[..., Any]) -> Any:
    """The anchor, and the distances of draws upwards from it; `masses` picks their sides."""
    origin, below, above = _sides(family, shapes, bounds)
    is_below, near, far = masses(below.mass, above.mass)
    xp = _xp(near)
    side = jax.tree.map(lambda x, y: xp.where(is_below, x, y), below, above)
    s = _distance(side, near, far)
    return origin, xp.where(is_below, -s, s)


def of_word(word: jax.Array, below: jax.Array, above: jax.Array) -> tuple[Any, ...]:
    """Whether a draw is below the anchor, and the masses before and beyond it on that side."""
    total, whole = below + above, 2.0 ** (8 * word.dtype.itemsize)
    share = below / total * whole
    all_below = share >= whole  # would not fit the word's type
    split = jnp.where(all_below, 0.0, share).astype(word.dtype)
    is_below = (word < split) | all_below
    inner = jnp.where(is_below, split - 1 - word, word - split)
    outer = jnp.where(is_below, word, ~word)
    unit = total / whole
    return is_below, *((count.astype(unit.dtype) + 0.5) * unit for count in (inner, outer))


# ---------------------------------------------------------------- a table of draws

_PARTS = 4  # of an octave
_DEGREE = {4: 5, 8: 12}  # by bytes: a panel's own error is 1e-8 and 1e-15


def table(family: Family, kind: np.dtype, shapes: Any, bounds: Any) -> Any:
    """The draws of scalar parameters as a piecewise polynomial in the word.

    A row for each number that `looked_up` needs: the draw at one end of the panel, and
    coefficients of the distance from it.
    """
    xp, degree = _xp(bounds[0]), _DEGREE[kind.itemsize]
    t, inverse = _panel(degree)
    octaves = np.arange(-8 * kind.itemsize - 1, -1)[:, None, None]
    parts = np.arange(_PARTS)[:, None]
    small = 2.0**octaves * (1 + (parts + (t + 1) / 2) / _PARTS)
    small = xp.asarray(small.reshape(-1, degree + 1), bounds[0].dtype)

    def masses(below: Any, above: Any) -> Any:
        """Of the smaller tail being the lower one, then of its being the upper one."""
        tails = [
            _of_tail(small * (below + above), *sides) for sides in ((below, above), (above, below))
        ]
        (on_lower, *lower), (on_upper, *upper) = tails
        return tuple(map(xp.stack, zip((on_lower, *lower), (~on_upper, *upper), strict=True)))

    origin, s = _located(family, shapes, bounds, masses)
    # Count from the panel's upper end, or for a beta draw above the middle from its lower end: an
    # end that is too small a number would lose the draw.
    low, high = (xp.stack([s[0][:, i], s[1][:, -1 - i]]) for i in (-1, 0))
    start = xp.where(family.is_near_zero(family.moved(origin, high, bounds)), high, low)
    rest = s - start[..., None]
    powers = [(rest * xp.asarray(row[None, None], s.dtype)).sum(-1) for row in inverse]
    rows = [*family.moved(origin, start, bounds), *powers]
    return xp.stack([row.reshape(-1) for row in rows])


def _of_tail(tail: Any, own: Any, other: Any) -> tuple[Any, Any, Any]:
    """Whether a draw with so much mass beyond it is on its own side, and the masses there."""
    on_own = tail < own
    near, far = _xp(tail).where(on_own, own - tail, tail - own), own + other - tail
    return on_own, near, _xp(tail).where(on_own, tail, far)


@functools.cache
def _panel(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes from 1 to -1, and the matrix from values there to coefficients."""
    t = np.cos(np.pi * np.arange(degree + 1) / degree)
    return t, np.linalg.inv(np.vander(t, increasing=True))


def looked_up(family: Family, rows: Any, word: jax.Array, bounds: Any) -> jax.Array:
    """Draws by a table."""
    kind = rows.dtype
    info, whole = jnp.finfo(kind), np.dtype(f"int{8 * kind.itemsize}")
    shift, panels = info.nmant - _PARTS.bit_length() + 1, rows.shape[1] // 2
    small = fraction(lax.min(word, ~word), -info.bits)
    small = lax.min(small, np.nextafter(np.asarray(0.5, kind), np.zeros((), kind)))  # it rounds
    bits = lax.bitcast_convert_type(small, whole)
    first = np.asarray(2.0 ** -(info.bits + 1), kind).view(whole) >> shift
    index = (bits >> shift) - first + jnp.where(word > ~word, whole.type(panels), whole.type(0))
    # The remaining digits are the place within the panel.
    left = (bits & whole.type((1 << shift) - 1)) << (info.nmant - shift)
    t = lax.bitcast_convert_type(left | np.ones((), kind).view(whole), kind) * 2.0 - 3.0
    numbers = [round_here(row.at[index].get(mode="promise_in_bounds")) for row in rows]
    degree = _DEGREE[kind.itemsize]
    origin, powers = tuple(numbers[: -degree - 1]), numbers[-degree - 1 :]
    return family.moved(origin, round_here(polynomial(t, powers)), bounds)[0]


# ---------------------------------------------------------------- draws and their derivatives


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def drawn(family: Family, by_table: bool, word: jax.Array, shapes: Any, bounds: Any) -> jax.Array:
    """Draws, one for each word, in its precision; `by_table` is for scalars and many words.

    Parameters are scalars or of the words' rank. Differentiable in all of them, to any order, with
    the words fixed.
    """
    if by_table:
        rows = table(family, bounds[0].dtype, shapes, bounds)
        return looked_up(family, lax.optimization_barrier(rows), word, bounds)
    origin, s = _located(family, shapes, bounds, functools.partial(of_word, word))
    return family.moved(origin, s, bounds)[0]


@drawn.defjvp
def _drawn_jvp(family: Family, by_table: bool, primals: Any, tangents: Any) -> Any:
    """Of F(x; parameters) = u: dx = -dF / f, all in units of the density at the anchor.

    F is lower / (lower + upper), of the masses below and above the draw.
    """
    (word, shapes, bounds), (_, *dots) = primals, tangents
    x = drawn(family, by_table, word, shapes, bounds)
    origin, below, above = _sides(family, shapes, bounds)
    s = family.distance(origin, x, bounds)
    is_below = s < 0.0
    ends = jax.tree.map(lambda x, y: jnp.where(is_below, x, y), below.end, above.end)
    s = jnp.minimum(abs(s), ends)

    def masses(*shapes: Any) -> tuple[jax.Array, jax.Array]:
        """Below and above the draw: the only part of its derivative that the shapes change."""
        sides = family.falls(shapes, origin, bounds)
        fall = jax.tree.map(lambda x, y: jnp.where(is_below, x, y), *sides)
        within = _integral(fall, 0.0 * s, s)
        beyond = _integral(fall, s, ends) * jnp.exp(-fall.drop(s))
        lower, upper = (
            _integral(fall, 0.0 * side.end, side.end)
            for fall, side in zip(sides, (below, above), strict=True)
        )
        return (
            jnp.where(is_below, beyond, lower + within),
            jnp.where(is_below, within + upper, beyond),
        )

    (lower, upper), (lower_dot, upper_dot) = jax.jvp(masses, shapes, dots[0])
    fall = jax.tree.map(lambda x, y: jnp.where(is_below, x, y), below.fall, above.fall)
    density, spacing = jnp.exp(-fall.drop(s)), family.spacing(x, bounds)
    total = lower + upper

    def of_bound(bound: Any, side: Side, reach: Any, mass: Any) -> jax.Array:
        """The bound's share: the density there over that at the draw, times a mass."""
        at = jnp.exp(-side.fall.drop(jnp.where(reach < np.inf, side.end, 0.0))) / density
        inside = jnp.where(reach < np.inf, bound, x)
        slope = mass / total * at * spacing / family.spacing(inside, bounds)
        return jnp.where(reach < np.inf, slope, 0.0)

    *_, low, high = bounds
    reaches = family.reaches(origin, bounds)
    by_low = of_bound(low, below, reaches[0], upper)
    by_high = of_bound(high, above, reaches[1], lower)
    slopes = (*family.others(x, by_low, by_high, bounds), by_low, by_high)
    x_dot = spacing * (lower * upper_dot - upper * lower_dot) / (total * density)
    return x, x_dot + sum(slope * dot for slope, dot in zip(slopes, dots[1], strict=True))
