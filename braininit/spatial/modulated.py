"""Weights that depend on distance.

One fused loop computes distances, profile and weights, and stores only the result.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._engine.source import Source
from braininit._jax.dtypes import wide
from braininit._jax.shardings import inherited, with_sharding
from braininit._params import options, units
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    NumberLike,
    Shape,
    Sharding,
    Values,
)
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import as_result, composite, draws
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw
from braininit.spatial.distances import geometry_of, matrix_of_lengths, per_axis
from braininit.spatial.profile import DistanceProfile, aligned, evaluated, go_together

__all__ = ["DistanceModulated", "distance_modulated", "modulated"]


@explain_call_errors
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
    """Draw weights and multiply each by the value of a profile at the length of its connection.

    The value is the profile's `weight_scaling`, negative where a surround inhibits; no connection
    is dropped at random. Modulation undoes a balance of `base_dist`: modulate before balancing, as
    in ``Dale(DistanceModulated(...), balance="exact")``. A call takes `distances`, or
    `pre_positions` and `post_positions`; one fused loop computes distances, profile and weights,
    and stores only the result.

    Parameters
    ----------
    base_dist : initializer
        The weights at distance 0.
    distance_profile : DistanceProfile
        The factor by distance.
    box, anisotropy : number, array or Quantity, optional
        As in `pairwise_distances`; they go with positions, not with `distances`.
    include_self : bool
        False sets the weight of a neuron onto itself, the diagonal, to 0.

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
    recipe = _distance_modulated(base_dist, distance_profile, box, anisotropy, include_self)
    return draw(recipe, key, shape, dtype, out_sharding, context)


def _distance_modulated(
    base_dist: Any, distance_profile: Any, box: Any, anisotropy: Any, include_self: Any
) -> Recipe:
    part = as_child("base_dist", base_dist)._recipe
    if not isinstance(distance_profile, DistanceProfile):
        raise TypeError(
            "`distance_profile` must be a profile, such as GaussianProfile(...), "
            f"got {units.brief(distance_profile)}"
        )
    for name, value in (("box", box), ("anisotropy", anisotropy)):
        if value is not None:
            bare, unit = units.unwrap(name, value)
            if not isinstance(bare, Tracer):
                per_axis(name, bare, (np.shape(bare) or (1,))[-1], unit)
    parts = {
        "base_dist": part,
        "distance_profile": distance_profile,
        "box": box,
        "anisotropy": anisotropy,
    }
    return composite(
        _draw_modulated,
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


def _draw_modulated(
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
    names = ("distances", "pre_positions", "post_positions")
    positions = {name: context[name] for name in names if name in context}
    weights = modulated(
        weights,
        profile,
        box=box,
        anisotropy=anisotropy,
        include_self=include_self,
        source=source,
        **positions,
    )
    return as_result(*units.parts(weights), dtype)


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
    """Multiply weights by the profile's `weight_scaling` at their distances.

    `distances` take precedence over positions. `include_self=False` sets the diagonal of a square
    matrix to 0; `source` may draw only some rows of it.
    """
    bare, unit = units.parts(weights)
    shape = np.shape(bare)
    if distances is not None:
        for name, value in (("box", box), ("anisotropy", anisotropy)):
            if value is not None:
                raise ValueError(f"`{name}` goes with positions; leave out `distances`")
        distance, distance_unit = units.unwrap("distances", distances)
        _check_broadcast(np.shape(distance), shape)
        matrix, geometry = shape, (distance,)
    elif pre_positions is not None and post_positions is not None:
        geometry, distance_unit = geometry_of(pre_positions, post_positions, box, anisotropy)
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
            "`include_self=False` needs a single population, with a square matrix of weights; "
            f"got {whole}"
        )
    if profile._fuses():
        bare_distances = distance_unit is None and len(geometry) == 1
        like = geometry[0] if bare_distances else units.on(1.0, distance_unit)
        form, numbers = profile._form(None, like, "weight_scaling")
        go_together(matrix, form, numbers, within=True)
    else:
        distance = geometry[0] if len(geometry) == 1 else matrix_of_lengths(*geometry)
        form, numbers = None, profile.weight_scaling(units.on(distance, distance_unit))
        numbers = units.dimensionless("weight_scaling", numbers)
        go_together(matrix, form, numbers, within=True)
        geometry = (0.0,)
    first = None if include_self else np.uint32(0) if rows is None else rows.start[1]
    parts = [("base_dist", bare), *(("distance_profile", n) for n in jax.tree.leaves(numbers))]
    parts += [("distances", geometry[0])] if len(geometry) == 1 else []
    multiply = with_sharding(lambda *args: _multiply(form, matrix, *args), inherited(shape, parts))
    return units.on(multiply(first, bare, geometry, numbers), unit)


def _check_broadcast(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    trailing = zip(shape[::-1], size[::-1], strict=False)
    if len(shape) > len(size) or any(n not in (1, m) for n, m in trailing):
        raise ValueError(
            f"`distances` of shape {shape} does not broadcast to the size {size}; give one "
            "distance a weight"
        )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _multiply(
    form: Any,
    matrix: tuple[int, ...],
    first: Any,  # the index of the first row if the diagonal becomes 0, else None
    weights: Any,
    geometry: Any,
    numbers: Any,
) -> jax.Array:
    weights = jnp.asarray(weights)
    distance = geometry[0] if len(geometry) == 1 else matrix_of_lengths(*geometry)
    distance, numbers = aligned(distance, numbers, len(matrix))
    factor = evaluated(form, distance, numbers)
    # 16-bit weights are multiplied in float32 and rounded once.
    result = weights.reshape(matrix) * factor
    if first is not None:
        rows, columns = (jax.lax.broadcasted_iota(jnp.uint32, matrix, axis) for axis in (0, 1))
        result = jnp.where(rows + first == columns, 0, result)
    return result.astype(weights.dtype).reshape(weights.shape)
