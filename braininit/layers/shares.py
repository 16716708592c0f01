"""Shares of a number of elements, and other helpers of `sparse`, `dale` and `spectral`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.source import Source
from braininit._jax.dtypes import default_float, is_symbolic, wide
from braininit._params import units
from braininit.initializer.composite import draws
from braininit.initializer.recipe import Recipe, replaced

__all__ = ["count_of", "draw_base", "length_of", "nan_unless", "single", "with_count"]


def single(name: str, value: Any) -> Any:
    """Raise for an array where the whole result needs one value."""
    if np.ndim(value):
        raise ValueError(
            f"`{name}` must be a scalar, got shape {np.shape(value)}; map over it by jax.vmap"
        )
    return value


def length_of(axes: tuple[int, ...], size: tuple[int, ...]) -> int:
    """The number of elements along the axes together."""
    return math.prod(size[a] for a in axes)


def nan_unless(good: Any, x: jax.Array) -> jax.Array:
    """Keep x where `good`. The NaN is computed, as jax_debug_nans raises for a constant NaN."""
    return jnp.where(good, x, jnp.sqrt(jnp.where(good, 0.0, -1.0)))


def count_of(share: Any, n: int, *, up: bool) -> tuple[Any, Any]:
    """The number of elements in a share of n, rounded up or to nearest; and if it is no NaN.

    Exact for every n. If only the rounding of the share keeps the product from an integer, or from
    a half, it counts as that: 0.55 of 100 is 55.
    """
    if is_symbolic((n,)):  # in an export, floating point has to do
        exact = jnp.asarray(share, default_float()) * jnp.asarray(n).astype(default_float())
        slack = 2 * float(jnp.finfo(exact.dtype).eps) * exact
        whole = jnp.ceil(exact - slack) if up else jnp.floor(exact + slack + 0.5)
        return jnp.where(whole == whole, whole, 0).astype(np.uint32), share == share
    if n >= 2**32:
        raise ValueError(f"`axis` has {n} elements, more than can be counted here")
    whole, rest, step = (_known_product if type(share) is float else _traced_product)(share, n)
    xp = np if type(share) is float else jnp
    slack = xp.maximum(xp.minimum(2 * step, 1 / 64), xp.minimum(step / 2, 1 / 8))
    more = rest > slack if up else rest + slack >= 1 / 2
    return np.uint32(whole) + more if xp is np else whole + more.astype(np.uint32), share == share


def _known_product(share: float, n: int) -> tuple[int, float, float]:
    """The integer part of share * n, the rest, and n times the last digit of the share."""
    exact = Fraction(share) * n
    dtype = np.float32 if float(np.float32(share)) == share else np.float64
    return math.floor(exact), float(exact % 1), float(np.spacing(dtype(share))) * n


def _traced_product(share: Any, n: int) -> tuple[Any, Any, Any]:
    """The same for a traced share: products of half the digits each are exact."""
    share = lax.stop_gradient(jnp.where(share == share, share, 0))
    info, word = jnp.finfo(share.dtype), np.dtype(f"uint{8 * share.dtype.itemsize}")
    half = (info.nmant + 1) // 2
    upper = np.asarray(-(1 << (info.nmant + 1 - half)) % (1 << info.bits), word)
    high = lax.bitcast_convert_type(lax.bitcast_convert_type(share, word) & upper, share.dtype)
    digits = [(n >> k) % (1 << half) * 2**k for k in range(0, n.bit_length(), half)]
    terms = [part * np.asarray(d, info.dtype) for part in (high, share - high) for d in digits]
    floors = [jnp.floor(term) for term in terms]
    rest = sum(term - floor for term, floor in zip(terms, floors, strict=True))
    floors.append(jnp.floor(rest))
    whole = sum(floor.astype(np.uint32) for floor in floors)
    step = (jnp.nextafter(share, np.asarray(2, info.dtype)) - share) * float(n)
    return whole, rest - floors[-1], step


def draw_base(
    source: Source, dtype: np.dtype, context: Mapping[str, Any], base: Recipe
) -> tuple[jax.Array, Any]:
    """Draw from `base`, in the dtype for computing; return the bare draw and its unit."""
    (x,) = draws(source, wide(dtype), context, (base,))
    bare, unit = units.unwrap("base", x, number=True)
    return jnp.asarray(bare, wide(dtype)), unit


def with_count(recipe: Recipe, base: Recipe, count: Any, good: Any) -> Recipe:
    """The recipe with a count instead of a fraction, and whether the count is valid."""
    facts = {"names": ("base", "count", "good"), "roles": (None, None, None)}
    return replaced(recipe, (base, count, good), sized=None, refuses=False, **facts)
