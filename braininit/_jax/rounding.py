"""Idioms that tell XLA where to round."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["power_of_two", "round_here"]


def round_here(x: jax.Array) -> jax.Array:
    """Round x to its dtype here, in every program.

    XLA stores a costly value that is used several times and recomputes a cheap one for each use;
    it merges constant factors, and rounds where it likes. This keeps the value in registers, in
    one fused loop from word to draw, and makes its last bit the same in all programs, unless a
    product contracts with a sum that follows.
    """
    info = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, info.nexp, info.nmant)


def power_of_two(x: jax.Array) -> jax.Array:
    """A power of two near a positive number, so that products and quotients with it are exact."""
    info = jnp.finfo(x.dtype)
    x = jnp.clip(jax.lax.stop_gradient(x), float(info.tiny) * 4, float(info.max) / 4)
    return jax.lax.reduce_precision(x, info.nexp, 0)
