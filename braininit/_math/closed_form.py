"""Exponential, Laplace and log-uniform draws, one word each, by quantile functions in closed form.

`word`: uint32 for float32 draws, uint64 for float64. Parameters have that float dtype, and are
scalars or of the words' rank. With fixed words, draws have parameter derivatives of any order.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from braininit._jax.rounding import round_here
from braininit._math.elementary import LOG2_E, fraction, over, times_exp2, where
from braininit._math.log_concave import of_word
from braininit._math.truncated import minus_log

__all__ = ["exponential", "laplace", "laplace_within", "log_uniform"]


@jax.jit
def exponential(word: jax.Array) -> jax.Array:
    """Standard exponential draws from all bits of the words: never 0, both tails exact.

    uint32 gives float32 in [1.2e-10, 22.9], uint64 float64 in [2.7e-20, 45.1].
    """
    dtype = jnp.float32 if word.dtype == jnp.uint32 else jnp.float64
    small = fraction(lax.min(word, ~word), -jnp.finfo(dtype).bits)
    lower = word <= ~word  # near 0
    return minus_log(where(lower, 1.0 - small, small), where(lower, small, 1.0))


def laplace(word: jax.Array) -> jax.Array:
    """Standard Laplace draws: symmetric, never 0, out to 22.2 (float64: 44.4)."""
    bits = 8 * word.dtype.itemsize
    outer = lax.min(word, ~word)
    inner = outer ^ word.dtype.type(2 ** (bits - 1) - 1)
    beyond, before = (fraction(count, 1 - bits) for count in (outer, inner))
    e = minus_log(beyond, before)
    return where(word == outer, -e, e)


def laplace_within(
    word: jax.Array, loc: jax.Array, scale: jax.Array, low: jax.Array, high: jax.Array
) -> jax.Array:
    """Laplace draws restricted to [low, high], accurate in every tail; bounds may be infinite.

    Draws are counted from the point of [low, high] nearest to `loc`, where the density is greatest.
    """
    if not any(jnp.ndim(p) for p in (loc, scale, low, high)):
        # Hide constants from XLA, whose constant folding rounds differently.
        loc, scale, low, high = lax.optimization_barrier((loc, scale, low, high))
    anchor = jnp.where(loc < low, low, jnp.where(loc > high, high, loc))
    # Where the scale is huge the density is flat: a smaller scale gives the same draws.
    scale = jnp.minimum(scale, (high - low) * 1e25)
    farthest = 120.0 * scale  # no draw lies further out
    below, above = (over(jnp.minimum(d, farthest), scale) for d in (anchor - low, high - anchor))
    is_below, near, far = of_word(word, -jnp.expm1(-below), -jnp.expm1(-above))
    distance = scale * _exponential(far + jnp.exp(-jnp.where(is_below, below, above)), near)
    return jnp.clip(anchor + jnp.where(is_below, -distance, distance), low, high)


@jax.custom_jvp
def _exponential(beyond: jax.Array, before: jax.Array) -> jax.Array:
    """The distance with these masses beyond and before it; their sum is 1."""
    return minus_log(beyond, before)


@_exponential.defjvp
def _exponential_jvp(primals: tuple, tangents: tuple) -> tuple:
    beyond, before = primals
    return _exponential(beyond, before), over(-tangents[0], beyond)


def log_uniform(word: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """Draws whose logarithm is uniform on [log low, log high], 0 < low < high < infinity."""
    # `half` is half the logarithm of high / low: the quotient may overflow.
    growth = over(high - low, jnp.sqrt(low) * jnp.sqrt(high) + low)
    if growth.ndim == 0:  # hidden from XLA, whose constant folding gives other last bits
        growth = lax.optimization_barrier(growth)
    half = round_here(jnp.log1p(growth))
    octaves = half * (2 * LOG2_E) * fraction(lax.min(word, ~word), -8 * word.dtype.itemsize)
    from_low = word <= ~word
    x = times_exp2(jnp.where(from_low, low, high), jnp.where(from_low, octaves, -octaves))
    return jnp.clip(x, low, high)
