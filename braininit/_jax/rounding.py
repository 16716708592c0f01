"""Where XLA is to round, and where not to: each idiom by its name."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["power_of_two", "round_here"]


def round_here(x: jax.Array) -> jax.Array:
    """X itself, rounded to its dtype here and nowhere else.

    XLA puts a costly value with several uses into memory, and computes a cheap one
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
