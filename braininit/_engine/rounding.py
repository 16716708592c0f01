"""The last step of a draw: rounded once to its dtype, inward.

16-bit and 8-bit floats are drawn in float32. Every draw ends in `finish`: never on or beyond an
open bound, never outside a closed one, never an infinity that is not in the support.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.cpu.bfloat16 import to_bfloat16
from braininit._jax.dtypes import finfo, inside

__all__ = ["finish", "finish_whole", "no_number", "rounded", "within"]


def finish(
    x: jax.Array,
    dtype: np.dtype,
    low: jax.Array | None = None,
    high: jax.Array | None = None,
    *,
    open_high: bool = False,
    above_zero: bool = False,
) -> jax.Array:
    """Round a draw once to its dtype, inward.

    `low` and `high` are bounds in the drawing dtype. Without them the draw stays within
    the finite numbers; `above_zero` keeps it from underflowing to 0. NaN stays NaN, and
    bounds between which the dtype has no value make it NaN.
    """
    info = finfo(dtype)
    # Rounding is monotone and the ends are representable: what is clipped before stays inside.
    if low is None or high is None:
        x = _between(x, info.least if above_zero else -info.most, info.most)
    else:
        bottom, top = inside(jnp, low, high, dtype, open_high=open_high)
        if bottom.ndim or top.ndim:  # used once each: XLA would put them into memory
            within = jnp.clip(x, bottom, top)
        else:
            within = jnp.where(bottom <= top, _between(x, bottom, top), np.asarray(np.nan, x.dtype))
        x = _moved(x, within)
    return _converted(x, dtype)


def finish_whole(base: jax.Array, more: jax.Array, dtype: np.dtype) -> jax.Array:
    """The sum of two whole numbers in the drawing dtype, as a draw.

    An integer dtype has all digits of the sum, ends at its own largest number, and has no NaN:
    that is its smallest number, or the largest where it has no sign.
    """
    if dtype.kind not in "iu":
        return finish(base + more, dtype)
    info, total, size = jnp.iinfo(dtype), base + more, 8 * base.dtype.itemsize
    signed = np.dtype(f"int{size}")
    wide = signed if dtype.kind == "i" else np.dtype(f"uint{size}")
    inside = (total >= float(info.min)) & (total < float(info.max))
    base, more = (jnp.where(inside, x, 0) for x in (base, more))
    end = jnp.where(total >= float(info.max), wide.type(info.max), wide.type(info.min))
    whole = jnp.where(inside, base.astype(wide) + more.astype(signed).astype(wide), end)
    return jnp.where(jnp.isnan(total), wide.type(no_number(dtype)), whole).astype(dtype)


def within(whole: jax.Array, near: jax.Array, dtype: np.dtype) -> jax.Array:
    """Integers as a draw, of which floats tell where they have wrapped around or are none."""
    info, bits = jnp.iinfo(dtype), 8 * whole.dtype.itemsize
    whole = whole.astype(dtype) if dtype.itemsize * 8 == bits else whole
    wrapped = abs(whole.astype(near.dtype) - near) > 2.0 ** (bits - 2)
    end = jnp.where(near > 0, dtype.type(info.max), dtype.type(info.min))
    most, least = (whole.dtype.type(x) for x in (info.max, info.min))
    held = jnp.where(wrapped, end, jnp.clip(whole, least, most).astype(dtype))
    return jnp.where(near == jnp.floor(near), held, no_number(dtype))


def no_number(dtype: np.dtype) -> Any:
    """What stands for NaN in an integer dtype."""
    info = jnp.iinfo(dtype)
    return dtype.type(info.min if dtype.kind == "i" else info.max)


@jax.custom_jvp
def _moved(x: jax.Array, to: jax.Array) -> jax.Array:
    """A draw moved by no more than rounding: its derivatives are those of where it was."""
    return to


_moved.defjvps(lambda tangent, *_: tangent, None)


def rounded(x: jax.Array, dtype: np.dtype) -> jax.Array:
    """Round what was put together in the `wide` dtype once; only what is infinite ends so."""
    if x.dtype == dtype:
        return x
    most = finfo(dtype).most
    return _converted(jnp.where(jnp.isinf(x), x, _between(x, -most, most)), dtype)


def _between(x: jax.Array, low: Any, high: Any) -> jax.Array:
    # By comparison: jaxlib 0.12 takes longer to compile a draw that ends with a maximum.
    bottom, top = jnp.asarray(low, x.dtype), jnp.asarray(high, x.dtype)
    x = jnp.where(x < bottom, bottom, x)
    return jnp.where(x > top, top, x)


def _converted(x: jax.Array, dtype: np.dtype) -> jax.Array:
    bfloat16 = dtype == np.dtype(jnp.bfloat16) and x.dtype == np.dtype(np.float32)
    return to_bfloat16(x) if bfloat16 else jax.lax.convert_element_type(x, dtype)
