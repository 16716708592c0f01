"""Which dtypes can be drawn, in which dtype the arithmetic is done, and how to end in range.

16-bit and 8-bit floats are drawn in float32 and rounded once. Every draw ends in
`finish`, which rounds inward: never on or beyond an open bound, never outside a closed
one, never to an infinity that is not in the support.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "Finfo",
    "default_float",
    "drawn_in",
    "exp_digits",
    "exp_parts",
    "finfo",
    "finish",
    "inside",
    "kept",
    "log",
    "polynomial",
    "power_of_2",
    "resolve",
    "rounded",
    "setting",
    "wide",
]


class Finfo(NamedTuple):
    """What a floating dtype reaches: its smallest and its largest positive number."""

    least: float
    most: float


def setting(name: str) -> Any:
    """One of JAX's settings, as this thread has it."""
    return getattr(jax.config, name)


def default_float() -> np.dtype:
    """JAX's default float: float32, or float64 under ``jax_enable_x64``."""
    return _DOUBLE if setting("jax_enable_x64") else _SINGLE


_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


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
        raise TypeError(f"`dtype` must name a dtype, got {dtype!r}") from None


@functools.lru_cache(maxsize=256)
def _resolve(dtype: Any, complex_too: bool, x64: bool) -> np.dtype:
    try:
        asked = np.dtype(dtype)
        if asked.itemsize * 8 > (64 if asked.kind == "f" else 128) or not asked.isnative:
            raise TypeError
    except TypeError:
        raise TypeError(f"`dtype` must name a dtype, got {dtype!r}") from None
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
    info, kind = finfo(dtype), x.dtype
    if low is None or high is None:
        bottom = jnp.asarray(info.least if above_zero else -info.most, kind)
        top = jnp.asarray(info.most, kind)
    else:
        bottom, top = inside(jnp, low, high, dtype, open_high=open_high)
    # Rounding is monotone and the ends are representable: what is clipped before stays inside.
    return jax.lax.convert_element_type(jnp.clip(x, bottom, top), dtype)


def rounded(x: jax.Array, dtype: np.dtype) -> jax.Array:
    """Round what was put together in the `wide` dtype once; only what is infinite ends so."""
    if x.dtype == dtype:
        return x
    return jnp.where(jnp.isinf(x), x.astype(dtype), finish(x, dtype))


def kept(x: jax.Array) -> jax.Array:
    """X itself, as a value of its own: rounded to its dtype here and nowhere else.

    XLA:CPU puts a costly value with several uses into memory, and computes a cheap one
    anew for each use; it merges constant factors, and rounds where that suits it. This
    keeps the value in registers, one fused loop from word to draw, and the last bit the
    same from program to program.
    """
    info = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, info.nexp, info.nmant)


# ---------------------------------------------------------------- arithmetic for long fused loops
#
# A draw is a chain of some hundred operations, each waiting for the one before: its length
# costs more than the number of operations. And nothing is spent on arguments that do not occur.


def polynomial(x: jax.Array, coefficients: Sequence[Any]) -> Any:
    """Polynomial by Estrin's scheme, the coefficients lowest power first.

    Horner's rule is one chain; here there are several at a time, a third as long.
    """
    terms = list(coefficients)
    while len(terms) > 1:
        pairs = [low + high * x for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
        x = x * x
    return terms[0]


def log(x: jax.Array, replace: Callable[[jax.Array], jax.Array] | None = None) -> jax.Array:
    """Logarithm of a positive normal number.

    In float32 `replace` may put something better in place of f, where x = (1 + f) 2^n with f
    in [sqrt(1/2) - 1, sqrt(2) - 1]: what 1 + f was before it was rounded.
    """
    if x.dtype != _SINGLE:
        return jnp.log(x)
    bits = jax.lax.bitcast_convert_type(x, np.int32)
    n = jax.lax.shift_right_arithmetic(bits - 0x3F3504F3, np.int32(23))  # from sqrt(1/2) on
    f = jax.lax.bitcast_convert_type(bits - (n << 23), np.float32) - 1
    f = replace(f) if replace else f
    return (f + f * f * (f * polynomial(f, _LOG) - 0.5)) + n.astype(np.float32) * math.log(2)


# (log(1 + f) - f + f^2/2)/f^3, lowest power first (Cephes' logf).
_LOG = (
    3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1,
    -1.2420140846e-1, 1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2,
)  # fmt: skip


def exp_parts(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """exp(x) as (1 + rest) * half * other_half, the last two powers of 2, |rest| < 0.42.

    In parts, so that the caller rounds once; in two powers, for one alone would overflow.
    """
    reach = _EXPONENTIAL[x.dtype][0]
    rest, k = exp_digits(jnp.clip(x, -reach, reach))  # infinity has no rest
    half = k >> 1
    return rest, power_of_2(half, x.dtype), power_of_2(k - half, x.dtype)


def exp_digits(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """exp(x) as rest and k: (1 + rest) 2^k."""
    _, high, low, degree = _EXPONENTIAL[x.dtype]
    k = jnp.round(x * (1 / math.log(2)))
    r = kept(x - k * high - k * low)
    rest = r + r * r * polynomial(r, [1 / math.factorial(n) for n in range(2, degree + 1)])
    return kept(rest), k.astype(np.int32)


# Where exp ends; log 2 in two parts, the first short enough for an exact product with k;
# the degree of the Taylor series of exp that leaves its error below a tenth of a rounding.
_EXPONENTIAL = {
    _SINGLE: (174.0, 0.693145751953125, 1.4286067653301870e-06, 7),
    _DOUBLE: (1416.0, 0.6931471805601177, -1.7239444525614835e-13, 13),
}


def power_of_2(k: jax.Array, kind: np.dtype) -> jax.Array:
    """2^k, written into the exponent's bits."""
    digits = jnp.finfo(kind)
    biased = k.astype(np.dtype(f"int{digits.bits}")) + (digits.maxexp - 1)
    return jax.lax.bitcast_convert_type(biased << digits.nmant, kind)


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
