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

__all__ = ["drawn", "fixed", "looked_up", "of_word", "table"]


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
    """Step n times: in a loop where JAX traces, whatever devices the state varies over."""
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
    xp, inner = xp_of(mass), near < far
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
    xp, inner = xp_of(mass), near < far
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
    xp, inner, wanted = xp_of(mass), near < far, xp_of(mass).minimum(near, far)
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
    xp = xp_of(near)
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
    xp, degree = xp_of(bounds[0]), _DEGREE[kind.itemsize]
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
    near, far = xp_of(tail).where(on_own, own - tail, tail - own), own + other - tail
    return on_own, near, xp_of(tail).where(on_own, tail, far)


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
