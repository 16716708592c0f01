"""Whether a dtype can represent a parameter, its draws, or any number between two bounds."""

from __future__ import annotations

import math
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._jax.dtypes import compute_dtype, finfo, inside, is_whole
from braininit._params.passed import passed
from braininit._params.roles import Number, Role
from braininit._params.units import show

__all__ = [
    "nan_unless_representable",
    "refuse_empty",
    "refuse_unrepresentable",
    "refuse_without_whole",
]


def refuse_unrepresentable(number: Number, unit: u.Unit | None, dtype: np.dtype) -> None:
    """Refuse a concrete number that overflows the dtype, or rounds to 0 although it must not.

    A traced number becomes NaN in `nan_unless_representable`.
    """
    name, value, role = number
    if role is None:
        return
    if role.reach is not None and dtype.kind in "iu":
        _refuse_beyond(number, dtype)
    if type(value) is float and (0.02 <= abs(value) <= 15 or value == 0):
        return  # within what even the 8-bit dtypes hold
    if isinstance(value, np.ndarray) and value.dtype == dtype and is_whole(dtype):
        return  # has the dtype already
    holder, least, most = _requirement(role, dtype)
    if isinstance(value, Tracer) or passed.has((holder, role.vanishes, most), value):
        return
    fits = type(value) is float and (abs(value) == math.inf or least <= abs(value) <= most)
    if fits and not role.itself:
        return
    size = np.abs(np.asarray(value)).astype(float)
    bad = np.isfinite(size) & (size > most)
    if not role.vanishes:
        bad |= (size > 0) & (size < least)
    floating = np.dtype(holder).kind not in "iu"
    if role.itself and floating and not np.isinf(np.asarray(np.inf).astype(holder)):
        bad |= np.isinf(size)
    if bad.any():
        first = np.asarray(value)[tuple(np.argwhere(bad)[0])].item()
        raise ValueError(
            f"`{name}` = {show(first)} is outside what {dtype} holds for angles: from "
            f"{most:.3g} rad on its numbers are half a turn apart; subtract multiples of 2 pi"
            if role.angle
            else f"`{name}` = {show(first, None if role.pure else unit)} is outside what {holder} "
            f"holds ({least:.3g} to {most:.3g}); take another dtype or another unit"
        )
    passed.add((holder, role.vanishes, most), value)


def _refuse_beyond(number: Number, dtype: np.dtype) -> None:
    """Refuse a concrete parameter whose draws may overflow an integer dtype."""
    name, value, role = number
    if isinstance(value, Tracer) or role is None:
        return
    bad = ~np.asarray(_has_draws_within(role, np.asarray(value, float), dtype))
    if bad.any():
        info = jnp.iinfo(dtype)
        first = np.asarray(value)[tuple(np.argwhere(bad)[0])].item()
        raise ValueError(
            f"`{name}` = {show(first)} has draws beyond what {dtype} holds ({info.min} to "
            f"{info.max}); take another dtype"
        )


def _has_draws_within(role: Role, value: Any, dtype: np.dtype) -> Any:
    """Whether an integer dtype can represent the draws."""
    info: Any = jnp.iinfo(dtype)
    reach: Any = role.reach
    return (value >= float(info.min)) & (reach(value) <= float(info.max))


def _requirement(role: Role, dtype: np.dtype) -> tuple[np.dtype, float, float]:
    """The dtype that must represent a number in this role, and the sizes it may have there."""
    holder = compute_dtype(dtype) if role.pure or role.wide else dtype
    least, most = finfo(holder)
    return holder, least, math.pi / float(jnp.finfo(dtype).eps) if role.angle else float(most)


def nan_unless_representable(role: Role, value: jax.Array, dtype: np.dtype) -> jax.Array:
    """A traced parameter, NaN where `refuse_unrepresentable` would raise."""
    _, least, most = _requirement(role, dtype)
    if role.reach is not None and dtype.kind in "iu":
        value = jnp.where(_has_draws_within(role, value, dtype), value, jnp.nan)
    # The array may be float64 from before the session disabled x64.
    value = jax.lax.convert_element_type(value, jax.dtypes.canonicalize_dtype(value.dtype))
    if float(jnp.finfo(value.dtype).max) <= most:
        return value
    size = abs(value)
    bad = (size < math.inf) & (size > most)
    if not role.vanishes:
        bad |= (size > 0) & (size < least)
    return jnp.where(bad, jnp.full_like(value, jnp.nan), value)


def refuse_empty(
    low: Number,
    high: Number,
    unit: u.Unit | None,
    dtype: np.dtype,
    *,
    open_high: bool = False,
    distinct: bool = True,
) -> None:
    """Refuse concrete bounds between which the dtype has no value.

    `distinct`: refuse also bounds that round to the same number of the drawing dtype.
    """
    a, b = low.value, high.value
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return
    if type(a) is float and type(b) is float:
        size = max(abs(a), abs(b))
        if size == math.inf or (0.02 <= size <= 15 and b - a > 0.3 * size):
            return
    check = (dtype, open_high, distinct)
    if passed.has(check, a, b):
        return
    with np.errstate(invalid="ignore", over="ignore"):  # a step beyond the largest number
        bad = np.zeros((), bool)
        if not _far_apart(np.asarray(a, float), np.asarray(b, float), dtype):
            bad = np.isnan(inside(np, np.asarray(a), np.asarray(b), dtype, open_high=open_high)[0])
            if distinct:
                lowest, highest = inside(np, np.asarray(a), np.asarray(b), compute_dtype(dtype))
                bad = bad | ~(lowest < highest)
    if bad.any():
        lows, highs = np.broadcast_arrays(a, b)
        first = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"no value of {dtype} lies between `{low.name}` = {show(lows[first].item(), unit)} and "
            f"`{high.name}` = {show(highs[first].item(), unit)}; widen them or take a wider dtype"
        )
    passed.add(check, a, b)


def refuse_without_whole(low: Number, high: Number) -> None:
    """Refuse concrete bounds without a whole number between them."""
    a, b = low.value, high.value
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return
    lows, highs = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    bad = ~(np.ceil(lows) <= np.floor(highs))
    if bad.any():
        first = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"no whole number lies between `{low.name}` = {show(lows[first].item())} and "
            f"`{high.name}` = {show(highs[first].item())}; widen them"
        )


def _far_apart(low: np.ndarray, high: np.ndarray, dtype: np.dtype) -> bool:
    """Whether every pair of bounds is more than two roundings apart: a quick sufficient test."""
    eps, (least, most) = float(jnp.finfo(dtype).eps), finfo(dtype)
    low, high = np.clip(low, -most, most), np.clip(high, -most, most)
    size = np.maximum(abs(low), abs(high))
    return bool(np.all((high - low > 2 * eps * size) & (size > least / eps)))
