"""The last step of a draw: round once to its dtype, inward.

16-bit and 8-bit floats are drawn in float32. Every draw ends in `finish`: it never lies on or
beyond an open bound, outside a closed bound, or at an infinity that the support excludes.
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

    `low` and `high` are bounds in the drawing dtype. Without bounds the draw stays finite, and
    `above_zero` keeps it from underflowing to 0. NaN stays NaN; bounds without a value of the dtype
    between them give NaN.
    """
    info = finfo(dtype)
    # Clip, then round: rounding is monotone, so draws stay between bounds of the dtype.
    if low is None or high is None:
        x = _clipped(x, info.least if above_zero else -info.most, info.most)
    else:
        bottom, top = inside(jnp, low, high, dtype, open_high=open_high)
        if bottom.ndim or top.ndim:  # use each once, or XLA would store them
            clipped = jnp.clip(x, bottom, top)
        else:
            nan = np.asarray(np.nan, x.dtype)
            clipped = jnp.where(bottom <= top, _clipped(x, bottom, top), nan)
        x = _moved(x, clipped)
    return _converted(x, dtype)


def finish_whole(base: jax.Array, more: jax.Array, dtype: np.dtype) -> jax.Array:
    """The sum of two whole numbers of the drawing dtype, as a draw.

    In an integer dtype the sum is exact and saturates. NaN becomes the smallest number, or the
    largest if the dtype is unsigned.
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
    """Integers as a draw; `near`, the same in floats, shows overflow and numbers not whole."""
    info, bits = jnp.iinfo(dtype), 8 * whole.dtype.itemsize
    whole = whole.astype(dtype) if dtype.itemsize * 8 == bits else whole
    overflows = abs(whole.astype(near.dtype) - near) > 2.0 ** (bits - 2)
    end = jnp.where(near > 0, dtype.type(info.max), dtype.type(info.min))
    most, least = (whole.dtype.type(x) for x in (info.max, info.min))
    saturated = jnp.where(overflows, end, jnp.clip(whole, least, most).astype(dtype))
    return jnp.where(near == jnp.floor(near), saturated, no_number(dtype))


def no_number(dtype: np.dtype) -> Any:
    """The integer that stands for NaN in an integer dtype."""
    info = jnp.iinfo(dtype)
    return dtype.type(info.min if dtype.kind == "i" else info.max)


@jax.custom_jvp
def _moved(x: jax.Array, to: jax.Array) -> jax.Array:
    """Move a draw by no more than rounding; derivatives are those of x."""
    return to


_moved.defjvps(lambda tangent, *_: tangent, None)


def rounded(x: jax.Array, dtype: np.dtype) -> jax.Array:
    """Round a result of the `wide` dtype once; finite numbers stay finite."""
    if x.dtype == dtype:
        return x
    most = finfo(dtype).most
    return _converted(jnp.where(jnp.isinf(x), x, _clipped(x, -most, most)), dtype)


def _clipped(x: jax.Array, low: Any, high: Any) -> jax.Array:
    # By comparison: jaxlib 0.12 takes longer to compile a draw that ends with a maximum.
    bottom, top = jnp.asarray(low, x.dtype), jnp.asarray(high, x.dtype)
    x = jnp.where(x < bottom, bottom, x)
    return jnp.where(x > top, top, x)


def _converted(x: jax.Array, dtype: np.dtype) -> jax.Array:
    bfloat16 = dtype == np.dtype(jnp.bfloat16) and x.dtype == np.dtype(np.float32)
    return to_bfloat16(x) if bfloat16 else jax.lax.convert_element_type(x, dtype)
