"""Dtypes of results, the dtypes in which draws are computed, and the numbers they represent."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._jax.rounding import round_here
from braininit._jax.settings import setting

__all__ = [
    "INTEGERS_TOO",
    "Finfo",
    "compute_dtype",
    "default_float",
    "finfo",
    "inside",
    "is_symbolic",
    "is_whole",
    "log_parts",
    "resolve",
    "whole_range",
    "wide",
]


class Finfo(NamedTuple):
    """The smallest and the largest positive number of a dtype."""

    least: float
    most: float


def is_symbolic(shape: tuple[Any, ...]) -> bool:
    """Whether a shape has symbolic sizes of `jax.export`."""
    for n in shape:  # noqa: SIM110 - runs in every eager call; `any` takes three times as long
        if type(n) is not int:
            return True
    return False


def default_float() -> np.dtype:
    """JAX's default float: float32, or float64 under ``jax_enable_x64``."""
    return _DOUBLE if setting("jax_enable_x64") else _SINGLE


_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def resolve(dtype: Any, allowed: str = "real") -> np.dtype:
    """The dtype of a result, from a user's dtype; None means JAX's default float.

    `allowed`: "real", "complex" for real and complex, "whole" for real and integer, "any" for all
    three, or "all" with booleans and integers of fewer than 8 bits.

    Without ``jax_enable_x64`` float64 becomes float32, as everywhere in JAX.
    """
    if dtype is None:
        return default_float()
    try:
        return _resolve(dtype, allowed, bool(setting("jax_enable_x64")))
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        raise TypeError(
            f"`dtype` must name a dtype, got {dtype!r}; write jnp.float32, for example"
        ) from None


@functools.lru_cache(maxsize=256)
def _resolve(dtype: Any, allowed: str, x64: bool) -> np.dtype:
    try:
        resolved = np.dtype(dtype)
        if resolved.itemsize * 8 > (128 if resolved.kind == "c" else 64) or not resolved.isnative:
            raise TypeError
    except Exception as error:
        raise TypeError(
            f"`dtype` must name a dtype, got {dtype!r}; write jnp.float32, for example"
        ) from (None if isinstance(error, TypeError) else error)
    real = jnp.issubdtype(resolved, np.floating)
    if real and resolved.itemsize == 1:
        # float4, float6 and the sign-less scale format float8_e8m0fnu can't hold a draw.
        info = jnp.finfo(resolved)
        real = info.bits == 8 and float(info.min) < 0
    other, noun = _OTHERS[allowed]
    if not (real or resolved.kind in other or (allowed == "all" and is_whole(resolved))):
        raise TypeError(
            f"`dtype` must be {noun} of at least 8 bits, got {resolved}; draw, then cast"
        )
    return resolved if x64 else _NARROWER.get(resolved.name, resolved)


_OTHERS = {
    "real": ("", "a real floating dtype"),
    "complex": ("c", "a floating or complex dtype"),
    "whole": ("iu", "a floating or integer dtype"),
    "any": ("ciu", "a floating, complex or integer dtype"),
    "all": ("ciu", "a floating, complex, integer or boolean dtype"),
}
INTEGERS_TOO = ("whole", "any", "all")
"""The values of `allowed` that include integers."""

_NARROWER = {
    "float64": np.dtype(np.float32),
    "complex128": np.dtype(np.complex64),
    "int64": np.dtype(np.int32),
    "uint64": np.dtype(np.uint32),
}


def is_whole(dtype: np.dtype) -> bool:
    """Whether a dtype holds integers (also of 2 or 4 bits) or booleans."""
    return dtype.kind in "biu" or (dtype.kind == "V" and jnp.issubdtype(dtype, np.integer))


def whole_range(dtype: Any) -> tuple[int, int]:
    """The smallest and the largest number of an integer or boolean dtype."""
    dtype = np.dtype(dtype)
    return (0, 1) if dtype.kind == "b" else (int(jnp.iinfo(dtype).min), int(jnp.iinfo(dtype).max))


def compute_dtype(dtype: np.dtype) -> np.dtype:
    """The real dtype in which a draw of this dtype is computed."""
    return _DOUBLE if dtype.name in _NARROWER else _SINGLE


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype in which the parts of a composite draw are drawn and combined."""
    if dtype.kind in "iu":
        return np.dtype(np.int64 if dtype.itemsize == 8 else np.int32)
    return dtype if dtype.kind == "c" else compute_dtype(dtype)


@functools.lru_cache(maxsize=64)
def finfo(dtype: Any) -> Finfo:
    """The smallest and the largest positive number that XLA keeps in a dtype."""
    if is_whole(np.dtype(dtype)):
        return Finfo(1, whole_range(dtype)[1])
    info, drawn = jnp.finfo(dtype), jnp.finfo(compute_dtype(np.dtype(dtype)))
    # XLA flushes float32 and float64 numbers below the smallest normal one to zero.
    return Finfo(max(float(info.smallest_subnormal), float(drawn.tiny)), float(info.max))


# ---------------------------------------------------------------- the grid of a dtype


def inside(xp: Any, low: Any, high: Any, dtype: Any, *, open_high: bool = False) -> Any:
    """The smallest and the largest value of `dtype` in [low, high], or in [low, high).

    Both are returned in the drawing dtype, NaN where the interval contains no value of `dtype`.
    The same code serves NumPy (the check of concrete bounds) and JAX (the draw itself).
    """
    drawing_dtype, dtype = compute_dtype(np.dtype(dtype)), np.dtype(dtype)
    most = np.asarray(finfo(dtype).most, drawing_dtype)
    least = np.asarray(finfo(drawing_dtype).least, drawing_dtype)
    zero = np.asarray(0, drawing_dtype)
    in_register = (lambda x: x) if xp is np else round_here  # each is used several times
    low, high = (  # subnormal numbers flushed, as XLA does
        in_register(xp.where(abs(x) < least, zero, x))
        for x in (xp.asarray(low, drawing_dtype), xp.asarray(high, drawing_dtype))
    )

    def on_grid(x: Any) -> Any:
        return in_register(xp.clip(x, -most, most).astype(dtype))

    def back(x: Any) -> Any:
        return in_register(x.astype(drawing_dtype))

    bottom, top = on_grid(low), on_grid(high)
    bottom = xp.where(back(bottom) < low, _step(xp, bottom, 1), bottom)
    over = back(top) >= high if open_high else back(top) > high
    top = xp.where(over, _step(xp, top, -1), top)
    bottom, top = back(bottom), back(top)
    ok = (bottom >= low) & ((top < high) if open_high else (top <= high)) & (bottom <= top)
    nan = np.asarray(np.nan, drawing_dtype)
    return xp.where(ok, bottom, nan), xp.where(ok, top, nan)


def _step(xp: Any, x: Any, direction: int) -> Any:
    """The next number of x's dtype, up (+1) or down (-1); skips numbers that XLA flushes to 0."""
    dtype = np.dtype(x.dtype)
    words = np.dtype(f"uint{8 * dtype.itemsize}")
    sign = np.asarray(1 << (8 * dtype.itemsize - 1), words)
    least = np.asarray(finfo(dtype).least, dtype)
    bits = x.view(words) if xp is np else lax.bitcast_convert_type(x, words)
    outward = (bits & sign != 0) == (direction < 0)
    one = np.asarray(1, words)
    moved = xp.where(outward, bits + one, bits - one)
    moved = moved.view(dtype) if xp is np else lax.bitcast_convert_type(moved, dtype)
    zero = np.asarray(0, dtype)
    moved = xp.where(abs(moved) < least, zero, moved)  # also the step from -least to -0
    return xp.where(x == zero, least if direction > 0 else -least, moved)


def log_parts(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Split a positive normal float32 (1 + f) 2^n into f in [sqrt(1/2) - 1, sqrt(2) - 1] and n."""
    bits = lax.bitcast_convert_type(x, np.int32)
    width = np.int32(23)
    n = lax.shift_right_arithmetic(lax.sub(bits, np.int32(0x3F3504F3)), width)  # from sqrt(1/2) on
    rest = lax.bitcast_convert_type(lax.sub(bits, lax.shift_left(n, width)), np.float32)
    return lax.sub(rest, np.float32(1)), lax.convert_element_type(n, np.float32)
