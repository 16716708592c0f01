"""Distances between neurons, and profiles' values and weights at them.

Nothing here is larger than its result. One fused loop sums a matrix of distances axis by axis and
modulates weights by it; (n_pre, n_post, axes) is never laid out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are first named
from jax.core import Tracer
from jax.sharding import NamedSharding

from braininit._engine.source import Source
from braininit._jax.dtypes import wide
from braininit._jax.rounding import power_of_two
from braininit._jax.shardings import along_one_axis, following, placed
from braininit._params import options, roles, units
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    NumberLike,
    QuantityLike,
    Shape,
    Sharding,
    Values,
)
from braininit._params.values import static
from braininit.initializer.calls import explained
from braininit.initializer.children import as_child
from braininit.initializer.composite import composite, draws, finished
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw
from braininit.spatial.profile import DistanceProfile, aligned, evaluated, go_together, reach

__all__ = [
    "DistanceModulated",
    "Near",
    "between",
    "distance_modulated",
    "modulated",
    "pairs_within_reach",
    "pairwise_distances",
]


def pairwise_distances(
    pre_positions: QuantityLike,
    post_positions: QuantityLike | None = None,
    *,
    box: QuantityLike | None = None,
    anisotropy: QuantityLike | None = None,
) -> Values:
    r"""Return distances between the neurons of two populations, of shape (n_pre, n_post).

    .. math:: d_{ij} = \sqrt{\sum_k \left(\frac{x_{ik} - y_{jk}}{a_k}\right)^2}

    Parameters
    ----------
    pre_positions : array or Quantity
        Positions :math:`x` of shape (n_pre, axes), or (n_pre,) along one axis; the result has their
        unit.
    post_positions : array or Quantity, optional
        Positions :math:`y` of shape (n_post, axes) or (n_post,); None takes `pre_positions`.
    box : number, array or Quantity, optional
        Period of each axis, or of all, positive: distances go to the nearest image in a periodic
        box. An infinite period leaves its axis open.
    anisotropy : number, array or Quantity, optional
        Divisor :math:`a_k` of each axis, or of all, positive: 2 makes an axis half as long. Lengths
        turn the result into pure numbers: distances in units of an ellipsoid's half axes.

    Notes
    -----
    Numerics: coordinates are subtracted before they are squared, and scaled by a power of two in
    between: neither nearby neurons far from the origin nor squares beyond the dtype's range cost
    accuracy. The derivative at distance 0 is 0. Needs no memory but the result's.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.pairwise_distances([0.0, 30.0] * u.um, [0.0, 0.04, 0.1] * u.mm))
    [[  0.  40. 100.]
     [ 30.  10.  70.]] um
    >>> print(init.pairwise_distances([[0.0, 0.0], [97.0, 4.0]] * u.um, box=100 * u.um))
    [[0. 5.]
     [5. 0.]] um
    """
    geometry, unit = _geometry(pre_positions, post_positions, box, anisotropy)
    along = {"pre_positions": along_one_axis(geometry[0], False)}
    if post_positions is not None:  # one population's positions are split as rows only
        along["post_positions"] = along_one_axis(geometry[1], True)
    shape = (geometry[0].shape[0], geometry[1].shape[0])
    return units.on(placed(_pairwise, following(shape, along.items()))(*geometry), unit)


def between(
    pre_positions: Any,
    post_positions: Any,
    sources: Any,
    targets: Any,
    sizes: tuple[int, int],
    box: Any = None,
    anisotropy: Any = None,
) -> Values:
    """Distances between some pairs of neurons, from `sources` to `targets` by index."""
    geometry, unit = _geometry(pre_positions, post_positions, box, anisotropy)
    for name, positions, size in zip(("pre", "post"), geometry, sizes, strict=False):
        if positions.shape[0] != size:
            raise ValueError(
                f"`{name}_positions` must be those of {size} neurons, got {positions.shape[0]}"
            )
    return units.on(_edgewise(*geometry, sources, targets), unit)


class Near(NamedTuple):
    """Pairs of neurons that a profile can connect."""

    each: float
    """How many sources a target has among them, roughly."""

    of: Callable[[int, int], tuple[np.ndarray, np.ndarray]]
    """Sources and targets by index, in no order, from the first of some targets and their number.
    """


def pairs_within_reach(
    profile: DistanceProfile,
    pre_positions: Any,
    post_positions: Any,
    box: Any = None,
    anisotropy: Any = None,
) -> Near | None:
    """The pairs that are near enough for a profile, and a few more.

    None where it would not be faster to look at all pairs: a k-d tree takes some 60 ns for a pair
    that it finds, a pair's distance and profile take 5.
    """
    geometry, unit = _geometry(pre_positions, post_positions, box, anisotropy)
    if any(isinstance(x, Tracer) for x in geometry) or not profile._fuses():
        return None
    far = reach(*profile._form(None, units.on(1.0, unit), "weight_scaling"))
    rounded = [jnp.asarray(x) for x in geometry[:2]]
    sources, targets = (np.asarray(x, float) for x in rounded)
    if not all(x.size and np.isfinite(x).all() for x in (sources, targets, np.array(far))):
        return None
    box, divisor = (None if x is None else np.asarray(x, float) for x in geometry[2:])
    period = np.zeros(sources.shape[1]) if box is None else np.where(np.isinf(box), 0, box)  # open
    divisor = np.ones(sources.shape[1]) if divisor is None else divisor
    sources, targets, period = sources / divisor, targets / divisor, period / divisor
    # Distances are rounded, to digits of the differences between coordinates.
    extent = max(np.ptp(np.concatenate([sources, targets]), axis=0).max(), period.max())
    far += 32 * float(jnp.finfo(jnp.result_type(*rounded, np.float16)).eps) * (far + extent)

    sources, targets = _in_box(sources, period), _in_box(targets, period)
    tree, some = _tree(sources, period), targets[:: max(len(targets) // 500, 1)]
    each = tree.count_neighbors(_tree(some, period), far) / len(some)
    if 16 * each > len(sources):
        return None

    def of(first: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        block = _tree(targets[first : first + rows], period)
        pairs: Any = block.sparse_distance_matrix(tree, far, output_type="ndarray")
        return pairs["j"], pairs["i"] + first

    return Near(each, of)


def _tree(x: np.ndarray, period: np.ndarray) -> Any:
    return scipy.spatial.KDTree(x, boxsize=period)


def _in_box(x: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Coordinates in [0, period), as a k-d tree wants them; 0 is no period."""
    wrapped = np.mod(x, np.where(period > 0, period, 1))
    return np.where(period > 0, np.where(wrapped < period, wrapped, 0), x)


def _geometry(
    pre: Any, post: Any, box: Any, anisotropy: Any
) -> tuple[tuple[Any, Any, Any, Any], u.Unit | None]:
    """Bare positions of shape (n, axes), period and divisor of each axis; the result's unit."""
    given = {"pre_positions": pre, "post_positions": pre if post is None else post}
    if box is not None:
        given["box"] = box
    unit, (pre, post, *period) = units.off(**given)
    pre, post = _coordinates("pre_positions", pre), _coordinates("post_positions", post)
    axes = pre.shape[1]
    if post.shape[1] != axes:
        raise ValueError(
            f"`pre_positions` has {axes} coordinates a neuron and `post_positions` "
            f"{post.shape[1]}; give both the same"
        )
    box = _per_axis("box", period[0], axes, unit) if period else None
    if anisotropy is None:
        return (pre, post, box, None), unit
    divisor, own = units.unwrap("anisotropy", anisotropy)
    if own is not None:
        _, (_, divisor) = units.off(pre_positions=units.on(1.0, unit), anisotropy=anisotropy)
    divisor = _per_axis("anisotropy", divisor, axes, own)
    return (pre, post, box, divisor), unit if own is None else None


def _coordinates(name: str, value: Any) -> Any:
    shape = np.shape(value)
    if len(shape) == 1:
        return value.reshape(-1, 1)
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(
            f"`{name}` must have the shape (neurons, axes), or (neurons,) along one axis; "
            f"got {shape}"
        )
    return value


def _per_axis(name: str, value: Any, axes: int, unit: u.Unit | None) -> Any:
    """A positive number for each axis; a period may also be infinite."""
    shape = np.shape(value)
    if shape not in ((), (1,), (axes,)):
        raise ValueError(f"`{name}` must be one number or one for each of {axes} axes, got {shape}")
    if name == "box":
        xp = jnp if isinstance(value, Tracer) else np
        infinite = xp.isposinf(value)
        checked = roles.scale.check(name, xp.where(infinite, xp.ones_like(value), value), unit)
        value = xp.where(infinite, value, checked)
    else:
        value = roles.scale.check(name, value, unit)
    return (jnp if isinstance(value, Tracer) else np).broadcast_to(value, (axes,))


@jax.jit
def _pairwise(pre: Any, post: Any, box: Any, divisor: Any) -> jax.Array:
    return _length(pre, post, box, divisor, lambda x, y: x[:, None] - y[None, :])


@jax.jit
def _edgewise(pre: Any, post: Any, box: Any, divisor: Any, sources: Any, targets: Any) -> jax.Array:
    minus = lambda x, y: _picked(x, sources) - _picked(y, targets)  # noqa: E731
    return _length(pre, post, box, divisor, minus)


def _picked(x: jax.Array, index: Any) -> jax.Array:
    """Some entries of an array, which live as their indices do."""
    lives = jax.typeof(x).sharding
    if not any(lives.spec):  # not split over explicit axes
        return x[index]
    return x.at[index].get(out_sharding=NamedSharding(lives.mesh, jax.typeof(index).sharding.spec))


def _length(
    pre: Any, post: Any, box: Any, divisor: Any, minus: Callable[[Any, Any], jax.Array]
) -> jax.Array:
    dtype = jnp.result_type(pre, post)
    pre, post = (jnp.asarray(x, dtype) for x in (pre, post))
    box, divisor = (None if x is None else jnp.asarray(x, dtype) for x in (box, divisor))
    scale, total = _extent(pre, post, divisor), jnp.zeros((), dtype)
    for axis in range(pre.shape[1]):
        distance = minus(pre[:, axis], post[:, axis])
        if box is not None:
            distance = _nearest_image(distance, box[axis])
        if divisor is not None:
            distance = distance / divisor[axis]
        distance = distance * (1 / scale)
        total = total + distance * distance
    # The derivative of sqrt at 0 is infinite; times 0, that would be NaN.
    root = jnp.sqrt(jnp.where(total > 0, total, 1))
    return jnp.where(total > 0, root, total) * scale


def _nearest_image(distance: jax.Array, period: jax.Array) -> jax.Array:
    closed = period < math.inf
    length = jnp.where(closed, period, 1)  # 0 * inf would be NaN
    turns = jnp.where(closed, jnp.round(distance / length), 0)
    wrapped = distance - length * turns
    return jnp.where(period > 0, wrapped, jnp.nan)


def _extent(pre: jax.Array, post: jax.Array, divisor: Any) -> jax.Array:
    """A power of two near the extent of the positions."""

    def reach(x: jax.Array) -> jax.Array:
        x = x if divisor is None else x / divisor[None, :]
        return jnp.max(jnp.where(jnp.isfinite(x), jnp.abs(x), 0), initial=0)

    return power_of_two(jnp.maximum(reach(pre), reach(post)))


# ---------------------------------------------------------------- weights


@explained
def distance_modulated(
    key: Key | None,
    shape: Shape,
    base_dist: InitializerLike,
    distance_profile: DistanceProfile,
    box: NumberLike | None = None,
    anisotropy: NumberLike | None = None,
    include_self: bool = True,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw weights and multiply each by a profile's value at its connection's length.

    The value is the profile's `weight_scaling`, negative where a surround inhibits; no connection
    is dropped at random. It undoes a balance of `base_dist`: modulate before balancing, as in
    ``Dale(DistanceModulated(...), balance="exact")``. A call takes `distances`, or `pre_positions`
    and `post_positions`; one fused loop computes distances, profile and weights, and stores only
    the result.

    Parameters
    ----------
    base_dist : initializer
        The weights at distance 0.
    distance_profile : DistanceProfile
        The factor by distance.
    box, anisotropy : number, array or Quantity, optional
        As in `pairwise_distances`; they go with positions, not with `distances`.
    include_self : bool
        False gives 0 to the weight of a neuron onto itself, the diagonal.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> near, at = init.StepProfile(50 * u.um), [0.0, 40.0, 980.0] * u.um
    >>> local = init.DistanceModulated(1.0 * u.nS, near, box=1 * u.mm, include_self=False)
    >>> print(local((3, 3), pre_positions=at, post_positions=at))
    [[0. 1. 1.]
     [1. 0. 0.]
     [1. 0. 0.]] nS
    """
    made = _distance_modulated(base_dist, distance_profile, box, anisotropy, include_self)
    return draw(made, key, shape, dtype, out_sharding, context)


def _distance_modulated(
    base_dist: Any, distance_profile: Any, box: Any, anisotropy: Any, include_self: Any
) -> Recipe:
    part = as_child("base_dist", base_dist)._recipe
    if not isinstance(distance_profile, DistanceProfile):
        raise TypeError(
            f"`distance_profile` must be a profile, as GaussianProfile(...), "
            f"got {units.brief(distance_profile)}"
        )
    for name, value in (("box", box), ("anisotropy", anisotropy)):
        if value is not None:
            bare, unit = units.unwrap(name, value)
            if not isinstance(bare, Tracer):
                _per_axis(name, bare, (np.shape(bare) or (1,))[-1], unit)
    parts = {
        "base_dist": part,
        "distance_profile": distance_profile,
        "box": box,
        "anisotropy": anisotropy,
    }
    return composite(
        _modulate,
        part.unit,
        parts,
        static=(options.flag("include_self", include_self),),
        random=None,
        traceable=distance_profile._fuses(),
    )


class DistanceModulated(Initialization, function=distance_modulated, recipe=_distance_modulated):
    """Weights that depend on distance; the twin of `distance_modulated`."""

    base_dist: InitializerLike
    distance_profile: DistanceProfile
    box: NumberLike | None = None
    anisotropy: NumberLike | None = None
    include_self: bool = static(default=True)


def _modulate(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    include_self: bool,
    base_dist: Recipe,
    profile: DistanceProfile,
    box: Any,
    anisotropy: Any,
) -> Any:
    (weights,) = draws(source, wide(dtype), context, (base_dist,))
    places = ("distances", "pre_positions", "post_positions")
    given = {name: context[name] for name in places if name in context}
    weights = modulated(
        weights,
        profile,
        box=box,
        anisotropy=anisotropy,
        include_self=include_self,
        source=source,
        **given,
    )
    return finished(*units.parts(weights), dtype)


def modulated(
    weights: Any,
    profile: DistanceProfile,
    *,
    distances: Any = None,
    pre_positions: Any = None,
    post_positions: Any = None,
    box: Any = None,
    anisotropy: Any = None,
    include_self: bool = True,
    source: Source | None = None,
) -> Values:
    """Weights times the profile's `weight_scaling` at their distances.

    `distances` win over positions. `include_self=False` sets the weight of a neuron onto itself to
    0: the diagonal of a square matrix, of which `source` may have some rows.
    """
    bare, unit = units.parts(weights)
    shape = np.shape(bare)
    if distances is not None:
        for name, value in (("box", box), ("anisotropy", anisotropy)):
            if value is not None:
                raise ValueError(f"`{name}` goes with positions; leave out `distances`")
        distance, own = units.unwrap("distances", distances)
        _broadcasts(np.shape(distance), shape)
        matrix, geometry = shape, (distance,)
    elif pre_positions is not None and post_positions is not None:
        geometry, own = _geometry(pre_positions, post_positions, box, anisotropy)
        matrix = (geometry[0].shape[0], geometry[1].shape[0])
        if shape not in (matrix, (math.prod(matrix),)):
            raise ValueError(
                f"a size of {shape} does not fit {matrix[0]} `pre_positions` and {matrix[1]} "
                f"`post_positions`; give the size {matrix}, or {math.prod(matrix)} for all pairs"
            )
    else:
        raise ValueError(
            "`distances` are needed: call with distances=..., or with pre_positions=... and "
            "post_positions=..."
        )
    rows = None if source is None else source.rows
    whole = matrix if rows is None else (rows.total, *matrix[1:])
    if not include_self and (len(whole) != 2 or whole[0] != whole[1]):
        raise ValueError(
            "`include_self=False` is about one population, whose weights are a square matrix; "
            f"got {whole}"
        )
    if profile._fuses():
        like = geometry[0] if own is None and len(geometry) == 1 else units.on(1.0, own)
        form, numbers = profile._form(None, like, "weight_scaling")
        go_together(matrix, form, numbers, within=True)
    else:
        distance = geometry[0] if len(geometry) == 1 else _pairwise(*geometry)
        form, numbers = None, profile.weight_scaling(units.on(distance, own))
        numbers = units.dimensionless("weight_scaling", numbers)
        go_together(matrix, form, numbers, within=True)
        geometry = (0.0,)
    first = None if include_self else np.uint32(0) if rows is None else rows.start[1]
    parts = [("base_dist", bare), *(("distance_profile", n) for n in jax.tree.leaves(numbers))]
    parts += [("distances", geometry[0])] if len(geometry) == 1 else []
    combine = placed(lambda *args: _modulated(form, matrix, *args), following(shape, parts))
    return units.on(combine(first, bare, geometry, numbers), unit)


def _broadcasts(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    trailing = zip(shape[::-1], size[::-1], strict=False)
    if len(shape) > len(size) or any(n not in (1, m) for n, m in trailing):
        raise ValueError(
            f"`distances` of shape {shape} does not broadcast to the size {size}; give one "
            "distance a weight"
        )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _modulated(
    form: Any,
    matrix: tuple[int, ...],
    first: Any,  # the number of the first row where the diagonal is to be 0, else None
    weights: Any,
    where: Any,
    numbers: Any,
) -> jax.Array:
    weights = jnp.asarray(weights)
    distance = where[0] if len(where) == 1 else _pairwise(*where)
    distance, numbers = aligned(distance, numbers, len(matrix))
    factor = evaluated(form, distance, numbers)
    # 16-bit weights are multiplied in float32 and rounded once.
    result = weights.reshape(matrix) * factor
    if first is not None:
        rows, columns = (jax.lax.broadcasted_iota(jnp.uint32, matrix, axis) for axis in (0, 1))
        result = jnp.where(rows + first == columns, 0, result)
    return result.astype(weights.dtype).reshape(weights.shape)
