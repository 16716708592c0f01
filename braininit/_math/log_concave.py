"""Gamma, beta and von Mises draws between two bounds, accurate in every tail.

In log x the gamma density is log-concave for every concentration, as is the beta density in
log(x / (1 - x)); `von_mises` describes the third. The fall of the log density between two points
has a closed form that keeps its digits. So no incomplete function is needed, no mass is subtracted
from 1, and a tail of mass 1e-1000 loses no precision:

- The anchor is the point of [low, high] where the density is greatest. On either side the density
  only falls: `drop` is the log density at the anchor less the log density at a distance.
- Masses are integrals of exp(-drop), by Gauss-Legendre quadrature on a few panels.
- A word picks the side, the mass from the anchor to the draw, and the mass beyond the draw. The
  distance follows from the smaller mass by iteration: each step is exact for a density that falls
  exponentially from there on. It starts from upper bounds that hold for every log-concave density,
  and for others from a sum over a few points; three steps reach float32's last digits, four
  float64's.

`draw` does this for every word. `table` does it at the nodes of a piecewise polynomial in the
word, in NumPy where the parameters are known beforehand; `looked_up` evaluates that polynomial, in
the time of a plain gamma draw. Panels of the table are fractions of octaves of the smaller tail, so
that both ends keep their relative precision.

All functions take NumPy or JAX values, whose dtype decides the precision.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.polynomial import legendre

from braininit._jax.rounding import round_here
from braininit._math.elementary import fraction, polynomial
from braininit._math.families import Effort, Family, xp_of

__all__ = ["draw", "fixed", "looked_up", "of_word", "table"]


# ---------------------------------------------------------------- masses


class Side(NamedTuple):
    """One side of the anchor."""

    fall: Any
    end: Any  # the distance of the bound, or a distance that no draw reaches
    mass: Any  # in units of the density at the anchor


def _sides(family: Family, shapes: Any, bounds: Any) -> tuple[Any, Side, Side]:
    """The anchor, and the sides below and above it."""
    origin = family.origin(shapes, bounds)
    falls, reaches = family.falls(shapes, origin, bounds), family.reaches(origin, bounds)
    ends = [_end(fall, reach) for fall, reach in zip(falls, reaches, strict=True)]
    masses = [_integral(fall, 0.0 * end, end) for fall, end in zip(falls, ends, strict=True)]
    below, above = map(Side, falls, ends, masses)
    return origin, below, above


def _end(fall: Any, reach: Any) -> Any:
    """The distance of the bound, or where the density fell by `depth`, beyond any word's reach."""
    xp, depth = xp_of(reach), _DEPTH[reach.dtype.itemsize]
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
    """Step n times; a JAX state steps in a `fori_loop`."""
    if any(isinstance(x, jax.Array) for x in jax.tree.leaves(state)):
        return lax.fori_loop(0, n, lambda _, state: step(state), state)
    for _ in range(n):
        state = step(state)
    return state


def _integral(fall: Any, start: Any, stop: Any) -> Any:
    """The integral of the density from `start` to `stop`, in units of the density at `start`."""
    xp, top, width = xp_of(stop), fall.drop(start), stop - start
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
    """Gauss-Legendre nodes and weights on [0, 1], a row for each step of a loop.

    Panels end at powers of 1/4, to resolve a density that falls within a small fraction of [0, 1].
    """
    panels, points, unrolled, _ = effort
    x, w = legendre.leggauss(points)
    ends = [0.0] + [4.0**-k for k in range(panels - 1, -1, -1)]
    nodes = [a + (b - a) * (x + 1) / 2 for a, b in itertools.pairwise(ends)]
    weights = [(b - a) * w / 2 for a, b in itertools.pairwise(ends)]
    return tuple(np.reshape(v, (-1, unrolled)) for v in (nodes, weights))  # pyright: ignore


# ---------------------------------------------------------------- from masses to a draw


def _distance(side: Side, near: Any, far: Any) -> Any:
    """The distance of a draw from the anchor, by the masses between the two and beyond the draw."""
    fall, end, mass = side
    xp, inner = xp_of(mass), near < far
    s = (_upper_bounds if fall.is_log_concave else _estimates)(side, near, far)

    def closer(s: Any) -> Any:
        drop, slope = fall.drop(s), fall.slope(s)
        reached = _integral(fall, xp.where(inner, 0.0, s), xp.where(inner, s, end))
        # The mass still to cross, in units of the density at s. A density that falls by `slope`
        # from there on has more mass than this, so the logarithm exists.
        inward, outward = (near - reached) * xp.exp(drop), reached - xp.exp(drop + xp.log(far))
        rest = xp.where(inner, inward, outward)
        part = slope * rest
        some = abs(part) > 0.0
        part = xp.where(some, part, 1e-3)
        step = rest * xp.where(some, -xp.log1p(-part) / part, 1.0)
        return xp.clip(s + step, 0.0, end)

    return _repeated(fall.effort[mass.dtype.itemsize].steps, closer, s)


def _upper_bounds(side: Side, near: Any, far: Any) -> Any:
    """Upper bounds of s for a draw with the smaller mass beyond it, else lower bounds."""
    fall, end, mass = side
    xp, inner = xp_of(mass), near < far
    # The fraction of the mass that remains falls faster and faster with the distance, and is
    # smaller than the density as a fraction of its greatest value.
    level = xp.log(mass / far)

    def lower(s: Any) -> Any:
        over = fall.drop(s) - level
        return xp.where(~inner & (over > 0.0), s - over / fall.slope(s), s)

    return _repeated(6, lower, xp.where(inner, near, xp.minimum(mass * level, end * (near / mass))))


def _estimates(side: Side, near: Any, far: Any) -> Any:
    """Rough distances for any density: where the quadrature's sum reaches the mass.

    The sum starts from the end of the smaller mass.
    """
    fall, end, mass = side
    xp, inner, smaller = xp_of(mass), near < far, xp_of(mass).minimum(near, far)
    rule = _rule(fall.effort[mass.dtype.itemsize])
    nodes, weights = (xp.asarray(x, mass.dtype) for x in rule)

    def add(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        i, total, length = state
        for j in range(nodes.shape[1]):
            node, weight = (xp.where(inner, x[i, j], x[-1 - i, -1 - j]) for x in (nodes, weights))
            part = end * weight * xp.exp(-fall.drop(end * node))
            length = length + weight * xp.clip((smaller - total) / part, 0.0, 1.0)
            total = total + part
        return i + 1, total, length

    i, zero = np.int32(0) if xp is np else jnp.int32(0), 0.0 * (end + smaller)
    *_, length = _repeated(len(nodes), add, (i, zero, zero))
    return end * xp.where(inner, length, 1.0 - length)


def _located(family: Family, shapes: Any, bounds: Any, masses: Callable[..., Any]) -> Any:
    """The anchor, and the distances of draws upwards from it; `masses` is as `of_word`."""
    origin, below, above = _sides(family, shapes, bounds)
    is_below, near, far = masses(below.mass, above.mass)
    xp = xp_of(near)
    side = jax.tree.map(lambda x, y: xp.where(is_below, x, y), below, above)
    s = _distance(side, near, far)
    return origin, xp.where(is_below, -s, s)


def of_word(word: jax.Array, below: jax.Array, above: jax.Array) -> tuple[Any, ...]:
    """Whether a draw is below the anchor, and the masses before and beyond it on that side."""
    total, whole = below + above, 2.0 ** (8 * word.dtype.itemsize)
    share = below / total * whole
    all_below = share >= whole  # the share does not fit the word's dtype
    split = jnp.where(all_below, 0.0, share).astype(word.dtype)
    is_below = (word < split) | all_below
    inner = jnp.where(is_below, split - 1 - word, word - split)
    outer = jnp.where(is_below, word, ~word)
    unit = total / whole
    return is_below, *((count.astype(unit.dtype) + 0.5) * unit for count in (inner, outer))


# ---------------------------------------------------------------- a table of draws


_PARTS = 4  # of an octave
_DEGREE = {4: 5, 8: 12}  # by bytes: the polynomials' errors are 1e-8 and 1e-15


def table(family: Family, dtype: np.dtype, shapes: Any, bounds: Any) -> Any:
    """The draws of scalar parameters as a piecewise polynomial in the word.

    Each panel has a column: the draw at one end of the panel (the origin of `Family`), and the
    coefficients of the distance from that draw.
    """
    xp, degree = xp_of(bounds[0]), _DEGREE[dtype.itemsize]
    t, inverse = _panel(degree)
    octaves = np.arange(-8 * dtype.itemsize - 1, -1)[:, None, None]
    parts = np.arange(_PARTS)[:, None]
    small = 2.0**octaves * (1 + (parts + (t + 1) / 2) / _PARTS)
    small = xp.asarray(small.reshape(-1, degree + 1), bounds[0].dtype)

    def masses(below: Any, above: Any) -> Any:
        """Masses where the smaller tail is the lower one, then where it is the upper one."""
        tail = small * (below + above)
        tails = _of_tail(tail, below, above), _of_tail(tail, above, below)
        (on_lower, *lower), (on_upper, *upper) = tails
        return tuple(map(xp.stack, zip((on_lower, *lower), (~on_upper, *upper), strict=True)))

    origin, s = _located(family, shapes, bounds, masses)
    # Count from the panel's upper end, or for a beta draw above the middle from its lower end: from
    # an end that underflows, no draw could be reached.
    low, high = (xp.stack([s[0][:, i], s[1][:, -1 - i]]) for i in (-1, 0))
    start = xp.where(family.is_near_zero(family.moved(origin, high, bounds)), high, low)
    rest = s - start[..., None]
    powers = [(rest * xp.asarray(row[None, None], s.dtype)).sum(-1) for row in inverse]
    rows = [*family.moved(origin, start, bounds), *powers]
    return xp.stack([row.reshape(-1) for row in rows])


def _of_tail(tail: Any, own: Any, other: Any) -> tuple[Any, Any, Any]:
    """Whether a draw with the mass `tail` beyond it is on the own side, and the masses there."""
    on_own = tail < own
    near, far = xp_of(tail).where(on_own, own - tail, tail - own), own + other - tail
    return on_own, near, xp_of(tail).where(on_own, tail, far)


@functools.cache
def _panel(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes from 1 to -1, and the matrix that maps values at them to coefficients."""
    t = np.cos(np.pi * np.arange(degree + 1) / degree)
    return t, np.linalg.inv(np.vander(t, increasing=True))


def looked_up(family: Family, rows: Any, word: jax.Array, bounds: Any) -> jax.Array:
    """Draws by a table."""
    dtype = rows.dtype
    info, integer = jnp.finfo(dtype), np.dtype(f"int{8 * dtype.itemsize}")
    shift, panels = info.nmant - _PARTS.bit_length() + 1, rows.shape[1] // 2
    most = np.nextafter(np.asarray(0.5, dtype), np.zeros((), dtype))  # `fraction` may round to 0.5
    small = lax.min(fraction(lax.min(word, ~word), -info.bits), most)
    bits = lax.bitcast_convert_type(small, integer)
    first = np.asarray(2.0 ** -(info.bits + 1), dtype).view(integer) >> shift
    upper = jnp.where(word > ~word, integer.type(panels), integer.type(0))
    index = (bits >> shift) - first + upper
    # The remaining digits are the position within the panel.
    digits = (bits & integer.type((1 << shift) - 1)) << (info.nmant - shift)
    t = lax.bitcast_convert_type(digits | np.ones((), dtype).view(integer), dtype) * 2.0 - 3.0
    numbers = [round_here(row.at[index].get(mode="promise_in_bounds")) for row in rows]
    degree = _DEGREE[dtype.itemsize]
    origin, powers = tuple(numbers[: -degree - 1]), numbers[-degree - 1 :]
    return family.moved(origin, round_here(polynomial(t, powers)), bounds)[0]


# ---------------------------------------------------------------- draws and their derivatives


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def draw(family: Family, by_table: bool, word: jax.Array, shapes: Any, bounds: Any) -> jax.Array:
    """Draws, one for each word, in its precision; `by_table` is for scalars and many words.

    Parameters are scalars or of the words' rank. With fixed words, draws are differentiable in all
    of them, to any order.
    """
    if by_table:
        rows = table(family, bounds[0].dtype, shapes, bounds)
        return looked_up(family, lax.optimization_barrier(rows), word, bounds)
    origin, s = _located(family, shapes, bounds, functools.partial(of_word, word))
    return family.moved(origin, s, bounds)[0]


@draw.defjvp
def _draw_jvp(family: Family, by_table: bool, primals: Any, tangents: Any) -> Any:
    """From F(x; parameters) = u: dx = -dF / f, all in units of the density at the anchor.

    F is lower / (lower + upper), where these are the masses below and above the draw.
    """
    (word, shapes, bounds), (_, *dots) = primals, tangents
    x = draw(family, by_table, word, shapes, bounds)
    origin, below, above = _sides(family, shapes, bounds)
    s = family.distance(origin, x, bounds)
    is_below = s < 0.0
    ends = jax.tree.map(lambda x, y: jnp.where(is_below, x, y), below.end, above.end)
    s = jnp.minimum(abs(s), ends)

    def masses(*shapes: Any) -> tuple[jax.Array, jax.Array]:
        """The masses below and above the draw, through which it depends on the shapes."""
        sides = family.falls(shapes, origin, bounds)
        fall = jax.tree.map(lambda x, y: jnp.where(is_below, x, y), *sides)
        before = _integral(fall, 0.0 * s, s)
        beyond = _integral(fall, s, ends) * jnp.exp(-fall.drop(s))
        lower, upper = (
            _integral(fall, 0.0 * side.end, side.end)
            for fall, side in zip(sides, (below, above), strict=True)
        )
        return (
            jnp.where(is_below, beyond, lower + before),
            jnp.where(is_below, before + upper, beyond),
        )

    (lower, upper), (lower_dot, upper_dot) = jax.jvp(masses, shapes, dots[0])
    fall = jax.tree.map(lambda x, y: jnp.where(is_below, x, y), below.fall, above.fall)
    density, spacing = jnp.exp(-fall.drop(s)), family.spacing(x, bounds)
    total = lower + upper

    def of_bound(bound: Any, side: Side, reach: Any, mass: Any) -> jax.Array:
        """The derivative in a bound: the ratio of densities there and at the draw, times a mass."""
        ratio = jnp.exp(-side.fall.drop(jnp.where(reach < np.inf, side.end, 0.0))) / density
        inside = jnp.where(reach < np.inf, bound, x)
        slope = mass / total * ratio * spacing / family.spacing(inside, bounds)
        return jnp.where(reach < np.inf, slope, 0.0)

    *_, low, high = bounds
    reaches = family.reaches(origin, bounds)
    by_low = of_bound(low, below, reaches[0], upper)
    by_high = of_bound(high, above, reaches[1], lower)
    slopes = (*family.others(x, by_low, by_high, bounds), by_low, by_high)
    x_dot = spacing * (lower * upper_dot - upper * lower_dot) / (total * density)
    return x, x_dot + sum(slope * dot for slope, dot in zip(slopes, dots[1], strict=True))
