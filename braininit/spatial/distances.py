"""Distances between neurons.

No temporary is larger than the result: one fused loop sums the squared differences axis by axis,
without an array of (n_pre, n_post, axes).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding

from braininit._jax.rounding import power_of_two
from braininit._jax.shardings import along_one_axis, inherited, with_sharding
from braininit._params import roles, units
from braininit._params.types import QuantityLike, Values

__all__ = [
    "between",
    "edgewise",
    "extent",
    "geometry_of",
    "matrix_of_lengths",
    "pairwise_distances",
    "per_axis",
]


def pairwise_distances(
    pre_positions: QuantityLike,
    post_positions: QuantityLike | None = None,
    *,
    box: QuantityLike | None = None,
    anisotropy: QuantityLike | None = None,
) -> Values:
    r"""Return the distances between two populations of neurons, of shape (n_pre, n_post).

    .. math:: d_{ij} = \sqrt{\sum_k \left(\frac{x_{ik} - y_{jk}}{a_k}\right)^2}

    Parameters
    ----------
    pre_positions : array or Quantity
        Positions :math:`x` of shape (n_pre, axes), or (n_pre,) along one axis, whose unit the
        result has.
    post_positions : array or Quantity, optional
        Positions :math:`y` of shape (n_post, axes) or (n_post,); None takes `pre_positions`.
    box : number, array or Quantity, optional
        Period of each axis, or of all axes, positive: distances are to the nearest image in a
        periodic box. An infinite period leaves its axis open.
    anisotropy : number, array or Quantity, optional
        Divisor :math:`a_k` of each axis, or of all axes, positive: 2 makes an axis half as long.
        Lengths turn the result into pure numbers, distances in units of an ellipsoid's half axes.

    Notes
    -----
    Numerics: differences of coordinates are scaled by a power of two before they are squared:
    neither neighbours far from the origin nor squares beyond the dtype's range cost accuracy. The
    derivative at distance 0 is 0. Takes no memory beyond the result.

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
    geometry, unit = geometry_of(pre_positions, post_positions, box, anisotropy)
    along = {"pre_positions": along_one_axis(geometry[0], False)}
    if post_positions is not None:  # within one population, only the rows follow the sharding
        along["post_positions"] = along_one_axis(geometry[1], True)
    shape = (geometry[0].shape[0], geometry[1].shape[0])
    return units.on(
        with_sharding(matrix_of_lengths, inherited(shape, along.items()))(*geometry), unit
    )


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
    geometry, unit = geometry_of(pre_positions, post_positions, box, anisotropy)
    for name, positions, size in zip(("pre", "post"), geometry, sizes, strict=False):
        if positions.shape[0] != size:
            raise ValueError(
                f"`{name}_positions` must have {size} rows, one a neuron, got {positions.shape[0]}"
            )
    return units.on(edgewise(*geometry, sources, targets), unit)


def geometry_of(
    pre: Any, post: Any, box: Any, anisotropy: Any
) -> tuple[tuple[Any, Any, Any, Any], u.Unit | None]:
    """Bare positions of shape (n, axes), period and divisor of each axis; the result's unit."""
    lengths = {"pre_positions": pre, "post_positions": pre if post is None else post}
    if box is not None:
        lengths["box"] = box
    unit, (pre, post, *period) = units.off(**lengths)
    pre, post = _coordinates("pre_positions", pre), _coordinates("post_positions", post)
    axes = pre.shape[1]
    if post.shape[1] != axes:
        raise ValueError(
            f"`pre_positions` has {axes} coordinates a neuron and `post_positions` "
            f"{post.shape[1]}; give both the same"
        )
    box = per_axis("box", period[0], axes, unit) if period else None
    if anisotropy is None:
        return (pre, post, box, None), unit
    divisor, divisor_unit = units.unwrap("anisotropy", anisotropy)
    if divisor_unit is not None:
        _, (_, divisor) = units.off(pre_positions=units.on(1.0, unit), anisotropy=anisotropy)
    divisor = per_axis("anisotropy", divisor, axes, divisor_unit)
    return (pre, post, box, divisor), unit if divisor_unit is None else None


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


def per_axis(name: str, value: Any, axes: int, unit: u.Unit | None) -> Any:
    """Check and broadcast a positive number for each axis; a period may also be infinite."""
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
def matrix_of_lengths(pre: Any, post: Any, box: Any, divisor: Any, scale: Any = None) -> jax.Array:
    """Distances of all pairs, from the geometry of `geometry_of`; `scale` is `extent`, if known."""
    return _length(pre, post, box, divisor, lambda x, y: x[:, None] - y[None, :], scale)


@jax.jit
def edgewise(
    pre: Any, post: Any, box: Any, divisor: Any, sources: Any, targets: Any, scale: Any = None
) -> jax.Array:
    """Distances of some pairs, by index."""

    def minus(x: jax.Array, y: jax.Array) -> jax.Array:
        return _select(x, sources) - _select(y, targets)

    return _length(pre, post, box, divisor, minus, scale)


def _select(x: jax.Array, index: Any) -> jax.Array:
    """Entries of an array, with the sharding of their indices."""
    sharding = jax.typeof(x).sharding
    if not any(sharding.spec):  # not split over explicit axes
        return x[index]
    target = NamedSharding(sharding.mesh, jax.typeof(index).sharding.spec)
    return x.at[index].get(out_sharding=target)


def _length(
    pre: Any,
    post: Any,
    box: Any,
    divisor: Any,
    minus: Callable[[Any, Any], jax.Array],
    scale: Any = None,
) -> jax.Array:
    dtype = jnp.result_type(pre, post)
    pre, post = (jnp.asarray(x, dtype) for x in (pre, post))
    box, divisor = (None if x is None else jnp.asarray(x, dtype) for x in (box, divisor))
    scale = extent(pre, post, divisor) if scale is None else scale
    total = jnp.zeros((), dtype)
    for axis in range(pre.shape[1]):
        distance = minus(pre[:, axis], post[:, axis])
        if box is not None:
            distance = _nearest_image(distance, box[axis])
        if divisor is not None:
            distance = distance / divisor[axis]
        distance = distance * (1 / scale)
        total = total + distance * distance
    # The derivative of sqrt at 0 is infinite, and its product with 0 NaN.
    root = jnp.sqrt(jnp.where(total > 0, total, 1))
    return jnp.where(total > 0, root, total) * scale


def _nearest_image(distance: jax.Array, period: jax.Array) -> jax.Array:
    closed = period < math.inf
    length = jnp.where(closed, period, 1)  # 0 * inf would be NaN
    turns = jnp.where(closed, jnp.round(distance / length), 0)
    wrapped = distance - length * turns
    return jnp.where(period > 0, wrapped, jnp.nan)


@jax.jit
def extent(pre: jax.Array, post: jax.Array, divisor: Any) -> jax.Array:
    """A power of two near the extent of the positions."""

    def reach(x: jax.Array) -> jax.Array:
        x = x if divisor is None else x / divisor[None, :]
        return jnp.max(jnp.where(jnp.isfinite(x), jnp.abs(x), 0), initial=0)

    return power_of_two(jnp.maximum(reach(pre), reach(post)))
