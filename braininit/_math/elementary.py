"""Elementary functions for long fused loops: polynomial, logarithm, exponential, sine.

A draw is a chain of some hundred operations, each waiting for the one before: the length of the
chain costs more than the number of operations. So independent terms are computed beside the chain,
exponentials have base 2, and arguments that do not occur cost nothing.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._jax.dtypes import log_parts
from braininit._jax.rounding import round_here

__all__ = [
    "ARRAYS",
    "KNOWN",
    "LOG2_E",
    "TRACED",
    "Arithmetic",
    "exp2_digits",
    "exp2_parts",
    "exponent",
    "fraction",
    "high_product",
    "log",
    "over",
    "polynomial",
    "sine",
    "times_exp2",
    "uncontracted",
    "where",
]

LOG2_E = 1 / math.log(2)


def _identity(x: Any) -> Any:
    return x


def uncontracted(x: jax.Array) -> jax.Array:
    """Put a maximum between a finite x and its consumers.

    It keeps XLA from contracting a product with the sum that follows. It also stops LLVM 22 (jaxlib
    0.12), which otherwise spends minutes on every path from a word through a long draw.
    """
    return lax.max(x, np.asarray(-jnp.finfo(x.dtype).max, x.dtype))


@jax.custom_jvp
def over(x: jax.Array, y: jax.Array) -> jax.Array:
    """The quotient x / y. Its derivative divides by y twice, where JAX's divides by y^2.

    In float32 the square of 1e20 overflows, and the square of 1e-20 is 0.
    """
    return x / y


@over.defjvp
def _over_jvp(primals: tuple, tangents: tuple) -> tuple:
    (x, y), (dx, dy) = primals, tangents
    ratio = over(x, y)
    return ratio, over(dx - ratio * dy, y)


class Arithmetic(NamedTuple):
    """The operations that evaluate a formula; `exact` rounds a product before a sum.

    NumPy, for numbers known before the draw, gives the same bits as XLA for traced scalars, if each
    product before a sum is rounded. For arrays, where the formula runs for each element, that costs
    too much.
    """

    xp: Any
    round_here: Callable[[Any], Any]
    exact: Callable[[Any], Any]
    over: Callable[[Any, Any], Any]


KNOWN = Arithmetic(np, _identity, _identity, operator.truediv)
TRACED = Arithmetic(jnp, round_here, uncontracted, over)
ARRAYS = Arithmetic(jnp, round_here, _identity, over)


def polynomial(x: Any, coefficients: Sequence[Any], exact: Callable[[Any], Any] = _identity) -> Any:
    """Evaluate a polynomial by Estrin's scheme, the coefficients lowest power first.

    Horner's rule is one chain of operations; Estrin's are several chains, a third as long.
    """
    terms = list(coefficients)
    add, multiply = operator.add, operator.mul
    if isinstance(x, jax.Array) and not any(map(np.ndim, terms)):
        # `lax` traces in a third of the time, but neither broadcasts nor promotes.
        add, multiply = lax.add, lax.mul
        terms = [x.dtype.type(c) if type(c) is float else c for c in terms]
    while True:
        pairs = list(zip(terms[::2], terms[1::2], strict=False))
        sums = [add(low, exact(multiply(high, x))) for low, high in pairs]
        terms = sums + terms[2 * len(pairs) :]
        if len(terms) == 1:
            return terms[0]
        x = multiply(x, x)


def where(condition: jax.Array, x: Any, y: Any) -> jax.Array:
    """`jnp.where` for floats and arrays of one dtype, in operations of `lax`.

    `jnp.where` is a jitted function, which the first call has to trace.
    """
    dtype = next(v.dtype for v in (x, y) if type(v) is not float)
    shape = lax.broadcast_shapes(*map(np.shape, (condition, x, y)))

    def broadcast(v: Any) -> jax.Array:
        if type(v) is float:
            return lax.full(shape, v, dtype)
        axes = tuple(range(len(shape) - v.ndim, len(shape)))
        return v if v.shape == shape else lax.broadcast_in_dim(v, shape, axes)

    return lax.select_n(broadcast(condition), broadcast(y), broadcast(x))


def fraction(word: jax.Array, exponent: int) -> jax.Array:
    """(word + 1/2) 2^exponent, the word read as signed, which converts in one instruction."""
    bits = 8 * word.dtype.itemsize
    signed = lax.bitcast_convert_type(word, np.dtype(f"int{bits}"))
    # The product is exact: only the sum rounds, fused or not.
    return signed.astype(np.dtype(f"float{bits}")) * 2.0**exponent + 2.0 ** (exponent - 1)


def high_product(x: Any, n: Any) -> Any:
    """The upper word of the product of two words of 32 bits, by halves of 16."""
    half, mask = np.uint32(16), np.uint32(0xFFFF)
    a, b, c, d = x >> half, x & mask, n >> half, n & mask
    middle = a * d + (b * d >> half)
    other = b * c + (middle & mask)
    return a * c + (middle >> half) + (other >> half)


def log(
    x: jax.Array, replace: Callable[[jax.Array], jax.Array] | None = None, sign: int = 1
) -> jax.Array:
    """Logarithm of a positive normal number, times `sign`.

    In float32, where x = (1 + f) 2^n, `replace` maps f to its value before 1 + f was rounded.
    """
    if x.dtype != np.dtype(np.float32):
        return sign * jnp.log(x)
    f, n = log_parts(x)
    f = replace(f) if replace else f
    linear = sign * f + n * (sign * math.log(2))
    return linear + f * f * polynomial(f, [sign * c for c in _LOG])


def sine(x: jax.Array) -> jax.Array:
    """Sine of x quarter turns, |x| <= 1, in float32."""
    # Horner's rule: no operation waits for the result.
    square = round_here(x * x)
    return x * functools.reduce(lambda p, c: p * square + c, reversed(_SINE))


def times_exp2(scale: jax.Array, y: jax.Array, factor: Any = 1) -> jax.Array:
    """Scale 2^y factor, where 2^y or scale 2^y alone may leave the range of the dtype."""
    rest, half, other_half = exp2_parts(y)
    # About sqrt(scale x), without waiting for the rest. Where it overflows, so does the result; it
    # is capped, since a negative rest would give infinity less infinity.
    middle, most = round_here(scale * half), np.asarray(jnp.finfo(y.dtype).max, y.dtype)
    middle = where(middle > most, most, middle)
    # middle + middle * rest rounds once, and the powers of 2 are exact.
    return round_here(middle + middle * rest) * factor * other_half


def exp2_parts(y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """2^y as (1 + rest) * half * other_half, |rest| < 0.42; one power of 2 alone would overflow."""
    info = jnp.finfo(y.dtype)
    reach = 2.0 * info.maxexp - 4.0  # half of it is the least exponent
    # Twice the exponent's bias is added, so that both halves have their bias.
    y = where(y < -reach, -reach, y)
    rest, k = exp2_digits(where(y > reach, reach, y), 2 * (info.maxexp - 1))
    half = k >> 1
    return rest, exponent(half, y.dtype), exponent(k - half, y.dtype)


def exp2_digits(y: Any, bias: int, by: Arithmetic = ARRAYS) -> tuple[Any, Any]:
    """2^y as rest and k + bias: (1 + rest) 2^k, rest to full relative precision."""
    info = jnp.finfo(y.dtype)
    word = np.dtype(f"int{info.bits}")
    # Adding 1.5 2^23 (2^52) rounds y to an integer, in the last bits of the sum.
    shift = np.asarray(1.5 * 2.0**info.nmant, y.dtype)[()]
    y = by.round_here(y)  # else XLA would add a constant in it to the shift
    shifted = by.round_here(y + shift)
    if by.xp is jnp:
        shifted = lax.stop_gradient(shifted)  # an integer has no derivative
    k = _bits_as(word, shifted) + (np.asarray(bias, word) - shift.view(word))
    r = y - by.round_here(shifted - shift)  # exact
    # XLA may contract one of the products with the sum: both results are accurate.
    rest = by.exact(by.round_here(r * math.log(2))) + by.exact(
        r * r * polynomial(r, _EXP2[y.dtype], by.exact)
    )
    return by.round_here(rest), k


def exponent(biased: Any, dtype: np.dtype) -> Any:
    """The power of 2 with this biased exponent."""
    return _bits_as(dtype, biased << jnp.finfo(dtype).nmant)


def _bits_as(dtype: np.dtype, x: Any) -> Any:
    """The bits of `x`, read as another dtype."""
    return x.view(dtype) if isinstance(x, np.generic) else lax.bitcast_convert_type(x, dtype)


# ---------------------------------------------------------------- coefficients
# Every literal is printed by `python benchmarks/fits/elementary.py`; lowest power first.

# (log(1 + f) - f)/f^2 in float32: log(1 + f) within 3.0e-08 relative.
_LOG = (
    -0.4999999, 0.3333395, -0.25001755, 0.19962071, -0.16570513, 0.14917986, -0.14307491,
    0.0873477,
)  # fmt: skip

# (2^r - 1 - r log 2)/r^2, |r| <= 1/2: 2^r - 1 within 1.3e-08 and 5.0e-17 relative.
_EXP2 = {
    np.dtype(np.float32): (0.24022649, 0.0555037, 0.0096182525, 0.0013386648, 0.00015396468),
    np.dtype(np.float64): (
        0.24022650695910105, 0.055504108664821875, 0.00961812910760479, 0.0013333558146306505,
        0.00015403530444218886, 1.525273395994032e-05, 1.3215441326288283e-06,
        1.01779994440265e-07, 7.072812206455538e-09, 4.4657453621346763e-10,
    ),
}  # fmt: skip

# sin(pi x / 2)/x in powers of x^2, |x| <= 1, in float32: the sine within 5.3e-09 relative.
_SINE = (1.5707964, -0.6459637, 0.07968968, -0.0046737683, 0.00015148584)
