"""Which dtypes can be drawn, in which dtype the arithmetic is done, and how to end in range.

16-bit and 8-bit floats are drawn in float32 and rounded once. Every draw ends in
`finish`, which rounds inward: never on or beyond an open bound, never outside a closed
one, never to an infinity that is not in the support.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from braininit._platforms import by_platform, is_tuned

__all__ = [
    "Finfo",
    "default_float",
    "drawn_in",
    "finfo",
    "finish",
    "inside",
    "is_symbolic",
    "kept",
    "power_of_two",
    "resolve",
    "rounded",
    "setting",
    "wide",
]


class Finfo(NamedTuple):
    """What a floating dtype reaches: its smallest and its largest positive number."""

    least: float
    most: float


def setting(name: str, default: Any = None) -> Any:
    """One of JAX's settings, as this thread has it; the default where JAX has it no longer."""
    return getattr(jax.config, name, default)


def is_symbolic(shape: tuple[Any, ...]) -> bool:
    """Whether a shape has sizes that `jax.export` keeps open."""
    for n in shape:  # noqa: SIM110 - in every eager call, where `any` takes three times as long
        if type(n) is not int:
            return True
    return False


def default_float() -> np.dtype:
    """JAX's default float: float32, or float64 under ``jax_enable_x64``."""
    return _DOUBLE if setting("jax_enable_x64") else _SINGLE


_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_BFLOAT16 = np.dtype(jnp.bfloat16)


def resolve(dtype: Any, *, complex_too: bool = False) -> np.dtype:
    """Turn a user's dtype into the result's; None is JAX's default float.

    float64 without ``jax_enable_x64`` is float32, as everywhere in JAX.
    """
    if dtype is None:
        return default_float()
    try:
        return _resolve(dtype, complex_too, bool(setting("jax_enable_x64")))
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        raise TypeError(
            f"`dtype` must name a dtype, got {dtype!r}; write jnp.float32, for example"
        ) from None


@functools.lru_cache(maxsize=256)
def _resolve(dtype: Any, complex_too: bool, x64: bool) -> np.dtype:
    try:
        asked = np.dtype(dtype)
        if asked.itemsize * 8 > (64 if asked.kind == "f" else 128) or not asked.isnative:
            raise TypeError
    except Exception as error:
        raise TypeError(
            f"`dtype` must name a dtype, got {dtype!r}; write jnp.float32, for example"
        ) from (None if isinstance(error, TypeError) else error)
    real = jnp.issubdtype(asked, np.floating)
    if real and asked.itemsize == 1:
        # float4, float6 and the sign-less scale format float8_e8m0fnu can't hold a draw.
        info = jnp.finfo(asked)
        real = info.bits == 8 and float(info.min) < 0
    if not real and not (complex_too and jnp.issubdtype(asked, np.complexfloating)):
        kinds = "a floating or complex dtype" if complex_too else "a real floating dtype"
        raise TypeError(f"`dtype` must be {kinds} of at least 8 bits, got {asked}; draw, then cast")
    if not x64 and asked.name in ("float64", "complex128"):
        return np.dtype(np.float32 if asked == _DOUBLE else np.complex64)
    return asked


def drawn_in(dtype: np.dtype) -> np.dtype:
    """The real dtype in which a draw of this dtype is computed."""
    return _DOUBLE if dtype in (_DOUBLE, np.dtype(np.complex128)) else _SINGLE


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype in which the parts of a draw are drawn and put together."""
    return dtype if dtype.kind == "c" else drawn_in(dtype)


@functools.lru_cache(maxsize=64)
def finfo(dtype: Any) -> Finfo:
    """Smallest and largest positive number of a dtype, as XLA keeps them."""
    info, drawn = jnp.finfo(dtype), jnp.finfo(drawn_in(np.dtype(dtype)))
    # XLA flushes float32 and float64 numbers below the smallest normal one to zero.
    return Finfo(max(float(info.smallest_subnormal), float(drawn.tiny)), float(info.max))


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
    if dtype == _BFLOAT16 and x.dtype == _SINGLE and is_tuned():
        return _to_bfloat16(x)
    return jax.lax.convert_element_type(x, dtype)


@jax.custom_jvp
def _to_bfloat16(x: jax.Array) -> jax.Array:
    return by_platform(_upper_half, lambda x: jax.lax.convert_element_type(x, _BFLOAT16))(x)


_to_bfloat16.defjvps(lambda tangent, _, __: jax.lax.convert_element_type(tangent, _BFLOAT16))


def _upper_half(x: jax.Array) -> jax.Array:
    """A float32 as bfloat16, bit for bit XLA's conversion, which on the CPU has a price.

    The loop that ends with it gets vectors of 256 bits; one that ends with 16 bits cut
    out of 32 gets vectors of 512 where there are such, and takes half the time.
    """
    info = jnp.finfo(_BFLOAT16)
    word = jax.lax.bitcast_convert_type(
        jax.lax.reduce_precision(x, info.nexp, info.nmant), np.uint32
    )
    upper = jax.lax.shift_right_logical(word, np.uint32(info.bits)).astype(np.uint16)
    nan = np.asarray(np.nan, _BFLOAT16).view(np.uint16)  # what is left of one may be infinity
    return jax.lax.bitcast_convert_type(jnp.where(x == x, upper, nan), _BFLOAT16)


def kept(x: jax.Array) -> jax.Array:
    """X itself, as a value of its own: rounded to its dtype here and nowhere else.

    XLA:CPU puts a costly value with several uses into memory, and computes a cheap one
    anew for each use; it merges constant factors, and rounds where that suits it. This
    keeps the value in registers, one fused loop from word to draw, and the last bit the
    same from program to program, unless a product contracts with a sum that follows.
    """
    info = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, info.nexp, info.nmant)


def power_of_two(x: jax.Array) -> jax.Array:
    """A power of two near a positive number: to multiply by it or divide by it is exact."""
    info = jnp.finfo(x.dtype)
    x = jnp.clip(jax.lax.stop_gradient(x), float(info.tiny) * 4, float(info.max) / 4)
    return jax.lax.reduce_precision(x, info.nexp, 0)


# ---------------------------------------------------------------- the grid of a dtype


def inside(xp: Any, low: Any, high: Any, dtype: Any, *, open_high: bool = False) -> Any:
    """Smallest and largest value of `dtype` in [low, high], or in [low, high).

    Both come in the drawing dtype, and are NaN where the dtype has no value inside.
    One code for NumPy (the check of concrete bounds) and for JAX (the draw itself).
    """
    kind, dtype = drawn_in(np.dtype(dtype)), np.dtype(dtype)
    most = np.asarray(finfo(dtype).most, kind)
    zero = np.asarray(0, kind)
    hold = (lambda x: x) if xp is np else kept  # in registers: each is used several times
    low, high = (  # as XLA will have them
        hold(xp.where(abs(x) < np.asarray(finfo(kind).least, kind), zero, x))
        for x in (xp.asarray(low, kind), xp.asarray(high, kind))
    )

    def on_grid(x: Any) -> Any:
        return hold(xp.clip(x, -most, most).astype(dtype))

    def back(x: Any) -> Any:
        return hold(x.astype(kind))

    bottom, top = on_grid(low), on_grid(high)
    bottom = xp.where(back(bottom) < low, _step(xp, bottom, 1), bottom)
    over = back(top) >= high if open_high else back(top) > high
    top = xp.where(over, _step(xp, top, -1), top)
    bottom, top = back(bottom), back(top)
    ok = (bottom >= low) & ((top < high) if open_high else (top <= high)) & (bottom <= top)
    nan = np.asarray(np.nan, kind)
    return xp.where(ok, bottom, nan), xp.where(ok, top, nan)


def _step(xp: Any, x: Any, way: int) -> Any:
    """The next number of x's dtype, up (+1) or down (-1); subnormal float32s don't count."""
    dtype = np.dtype(x.dtype)
    words = np.dtype(f"uint{8 * dtype.itemsize}")
    sign = np.asarray(1 << (8 * dtype.itemsize - 1), words)
    least = np.asarray(finfo(dtype).least, dtype)
    bits = x.view(words) if xp is np else jax.lax.bitcast_convert_type(x, words)
    outward = (bits & sign != 0) == (way < 0)
    one = np.asarray(1, words)
    moved = xp.where(outward, bits + one, bits - one)
    moved = moved.view(dtype) if xp is np else jax.lax.bitcast_convert_type(moved, dtype)
    zero = np.asarray(0, dtype)
    moved = xp.where(abs(moved) < least, zero, moved)  # also the step from -least to -0
    return xp.where(x == zero, least if way > 0 else -least, moved)
