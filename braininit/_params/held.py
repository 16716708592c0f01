"""Whether a dtype holds a number, its draws, or any between two bounds."""

from __future__ import annotations

import math
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._jax.dtypes import drawn_in, finfo, inside, is_whole
from braininit._params.passed import passed
from braininit._params.roles import Number, Role
from braininit._params.units import show

__all__ = ["nan_unless_held", "refuse_empty", "refuse_unheld", "refuse_without_whole"]


def refuse_unheld(number: Number, unit: u.Unit | None, dtype: np.dtype) -> None:
    """Refuse a concrete number that overflows the dtype, or rounds to 0 and must not.

    A traced one becomes NaN in `nan_unless_held`.
    """
    name, value, role = number
    if role is None:
        return
    if role.reach is not None and dtype.kind in "iu":
        _refuse_beyond(number, dtype)
    if type(value) is float and (0.02 <= abs(value) <= 15 or value == 0):
        return  # within what even the 8-bit dtypes hold
    if isinstance(value, np.ndarray) and value.dtype == dtype and is_whole(dtype):
        return  # in it already
    kind, least, most = _held(role, dtype)
    if isinstance(value, Tracer) or passed.has((kind, role.vanishes, most), value):
        return
    within = type(value) is float and (abs(value) == math.inf or least <= abs(value) <= most)
    if within and not role.itself:
        return
    size = np.abs(np.asarray(value)).astype(float)
    bad = np.isfinite(size) & (size > most)
    if not role.vanishes:
        bad |= (size > 0) & (size < least)
    floating = np.dtype(kind).kind not in "iu"
    if role.itself and floating and not np.isinf(np.asarray(np.inf).astype(kind)):
        bad |= np.isinf(size)
    if bad.any():
        first = np.asarray(value)[tuple(np.argwhere(bad)[0])].item()
        raise ValueError(
            f"`{name}` = {show(first)} is outside what {dtype} holds of angles: from "
            f"{most:.3g} rad on its numbers are half a turn apart; subtract multiples of 2 pi"
            if role.angle
            else f"`{name}` = {show(first, None if role.pure else unit)} is outside what {kind} "
            f"holds ({least:.3g} to {most:.3g}); take another dtype or another unit"
        )
    passed.add((kind, role.vanishes, most), value)


def _refuse_beyond(number: Number, dtype: np.dtype) -> None:
    """Refuse a concrete number from which draws are beyond an integer dtype."""
    name, value, role = number
    if isinstance(value, Tracer) or role is None:
        return
    lost = ~np.asarray(_within(role, np.asarray(value, float), dtype))
    if lost.any():
        info = jnp.iinfo(dtype)
        first = np.asarray(value)[tuple(np.argwhere(lost)[0])].item()
        raise ValueError(
            f"`{name}` = {show(first)} has draws beyond what {dtype} holds ({info.min} to "
            f"{info.max}); take another dtype"
        )


def _within(role: Role, value: Any, dtype: np.dtype) -> Any:
    """Whether an integer dtype holds the draws."""
    info: Any = jnp.iinfo(dtype)
    reach: Any = role.reach
    return (value >= float(info.min)) & (reach(value) <= float(info.max))


def _held(role: Role, dtype: np.dtype) -> tuple[np.dtype, float, float]:
    """Which dtype has to hold a number in a role, and its smallest and largest that are allowed."""
    kind = drawn_in(dtype) if role.pure or role.wide else dtype
    least, most = finfo(kind)
    return kind, least, math.pi / float(jnp.finfo(dtype).eps) if role.angle else float(most)


def nan_unless_held(role: Role, value: jax.Array, dtype: np.dtype) -> jax.Array:
    """NaN where `refuse_unheld` would refuse, for a traced parameter in a program."""
    _, least, most = _held(role, dtype)
    if role.reach is not None and dtype.kind in "iu":
        value = jnp.where(_within(role, value, dtype), value, jnp.nan)
    # An array that was made in double precision, in a session that has left it.
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

    `distinct`: also bounds that round to one number of the drawing dtype.
    """
    a, b = low.value, high.value
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return
    if type(a) is float and type(b) is float:
        size = max(abs(a), abs(b))
        if size == math.inf or (0.02 <= size <= 15 and b - a > 0.3 * size):
            return
    kind, check = drawn_in(dtype), (dtype, open_high, distinct)
    if passed.has(check, a, b):
        return
    with np.errstate(invalid="ignore", over="ignore"):  # a step beyond the greatest number
        bad = np.zeros((), bool)
        if not _far_apart(np.asarray(a, float), np.asarray(b, float), dtype):
            bad = np.isnan(inside(np, np.asarray(a), np.asarray(b), dtype, open_high=open_high)[0])
            if distinct:
                lowest, highest = inside(np, np.asarray(a), np.asarray(b), kind)
                bad = bad | ~(lowest < highest)
    if bad.any():
        each, other = np.broadcast_arrays(a, b)
        first = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"no value of {dtype} lies between `{low.name}` = {show(each[first].item(), unit)} and "
            f"`{high.name}` = {show(other[first].item(), unit)}; widen them or take a wider dtype"
        )
    passed.add(check, a, b)


def refuse_without_whole(low: Number, high: Number) -> None:
    """Refuse concrete bounds between which there is no whole number."""
    a, b = low.value, high.value
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return
    each, other = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    bad = ~(np.ceil(each) <= np.floor(other))
    if bad.any():
        first = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"no whole number lies between `{low.name}` = {show(each[first].item())} and "
            f"`{high.name}` = {show(other[first].item())}; widen them"
        )


def _far_apart(low: np.ndarray, high: np.ndarray, dtype: np.dtype) -> bool:
    """Whether all bounds are further apart than two neighbours of this size: a quick look."""
    eps, (least, most) = float(jnp.finfo(dtype).eps), finfo(dtype)
    low, high = np.clip(low, -most, most), np.clip(high, -most, most)
    size = np.maximum(abs(low), abs(high))
    return bool(np.all((high - low > 2 * eps * size) & (size > least / eps)))
