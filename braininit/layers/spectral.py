"""Matrices of another initializer, scaled to a spectral radius or norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import rounded
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype
from braininit._jax.rounding import power_of_two
from braininit._math.radius import spectral_radius
from braininit._params import roles, units
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    QuantityLike,
    Shape,
    Sharding,
    Values,
)
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import composite
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import UNKNOWN, Recipe, draw
from braininit.layers.shares import draw_base, nan_unless, single

__all__ = ["Spectral", "spectral"]


@explain_call_errors
def spectral(
    key: Key,
    shape: Shape,
    base: InitializerLike,
    radius: QuantityLike | None = None,
    norm: QuantityLike | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    r"""Draw a matrix from `base` and scale it to a spectral radius, or to a spectral norm.

    .. math:: \max_i |\lambda_i(X)| = radius \qquad \text{or} \qquad \max_i \sigma_i(X) = norm

    The radius decides if a recurrent network, such as a reservoir, forgets its past; the norm
    limits how much a layer stretches its input. The matrices lie in the last two axes, and are
    square for a radius; axes before them count matrices, each scaled independently.

    Parameters
    ----------
    base : initializer
        Draws the matrix.
    radius : number or Quantity, optional
        The largest magnitude of an eigenvalue, positive.
    norm : number or Quantity, optional
        The largest singular value, positive. Give either a radius or a norm; the result has the
        same unit.

    Notes
    -----
    Numerics: the radius is the growth of :math:`\|A^m\|` from m = 32768 to 65536 (Gelfand's
    formula, by sixteen squarings, balanced and scaled on the way): only matrix products, the same
    on every platform, and several times faster than eigenvalues. Elements that lie on no cycle are
    left out first, as eigenvalues do not depend on them, and products are computed beyond the
    dtype's precision. Accurate to 1e-4 or better for random matrices, dense, sparse or triangular;
    to 1 % where, in float32, the radius is a few millionths of the norm, as in a large balanced
    network with nearly equal weights. Only a matrix of radius 0 (nilpotent, as that of a graph
    without a cycle) becomes NaN. The derivative is exact; where several eigenvalues share the
    largest magnitude, it is a mean of their derivatives. The norm is an exact singular value.

    Examples
    --------
    >>> import jax, numpy as np, braininit as init
    >>> w = init.spectral(jax.random.key(0), (200, 200), init.Sparse(0.9), radius=0.95)
    >>> round(float(abs(np.linalg.eigvals(w)).max()), 3)
    0.95
    """
    return draw(_spectral(base, radius, norm), key, shape, dtype, out_sharding, context)


def _spectral(base: Any, radius: Any, norm: Any) -> Recipe:
    sizes = {n: v for n, v in (("radius", radius), ("norm", norm)) if v is not None}
    if len(sizes) != 1:
        raise ValueError(f"give exactly one of `radius` and `norm`, got {len(sizes)} of them")
    part, ((name, size),) = as_child("base", base)._recipe, sizes.items()
    unit, (number,) = roles.sharing(**{name: roles.scale(size)})
    single(name, number.value)
    if part.unit is not None and part.unit is not UNKNOWN:
        units.off(**{name: size, "base": units.on(1.0, part.unit)})
    return composite(
        _to_radius if name == "radius" else _to_norm,
        unit,
        {"base": part, name: number.value},
        roles={name: number.role},
        static=(unit,),
        random=None,
        elementwise=False,
    )


class Spectral(Initialization, function=spectral, recipe=_spectral):
    """Another initializer's matrices at a spectral radius or norm; the twin of `spectral`."""

    base: InitializerLike
    radius: QuantityLike | None = None
    norm: QuantityLike | None = None


def _to_radius(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    unit: Any,
    base: Recipe,
    radius: Any,
) -> Any:
    shape = source.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(
            f"`radius` needs a square matrix, got the size {shape}; make the last "
            "two axes equal, or give `norm`"
        )
    x, base_unit = draw_base(source, dtype, context, base)
    return _resized(x, base_unit, dtype, spectral_radius, radius=units.on(radius, unit))


def _to_norm(
    source: Source, dtype: np.dtype, context: Mapping[str, Any], unit: Any, base: Recipe, norm: Any
) -> Any:
    if len(source.shape) < 2:
        raise ValueError(f"`norm` needs a matrix, got the size {source.shape}; give it two axes")
    x, base_unit = draw_base(source, dtype, context, base)
    return _resized(x, base_unit, dtype, _spectral_norm, norm=units.on(norm, unit))


def _spectral_norm(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.linalg.svd(x, compute_uv=False), axis=-1)[..., None, None]


def _resized(x: jax.Array, base_unit: Any, dtype: Any, measure: Any, **size: Any) -> Any:
    """Scale x until its measure is `size`, and attach the unit of `size`."""
    one = {} if base_unit is None else {"base": units.on(1.0, base_unit)}
    unit, (target, *_) = units.off(**size, **one)
    target = jnp.asarray(target, compute_dtype(dtype))
    if 0 not in x.shape:
        x = x / power_of_two(jnp.max(abs(x), (-2, -1), keepdims=True)).astype(x.dtype)
        x = _scaled(x, measure(x), target)
    return units.on(rounded(x, dtype), unit)


def _scaled(x: jax.Array, current: jax.Array, target: jax.Array) -> jax.Array:
    """Scale x from its current measure to a target; NaN where the measure is 0 or infinite."""
    good = (current > 0) & (current < math.inf)
    current = jnp.where(good, current, 1)
    return nan_unless(good, x / current.astype(x.dtype) * target.astype(x.dtype))
