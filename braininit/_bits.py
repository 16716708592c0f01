"""Random words: where every draw begins."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["words"]


def words(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Random words, as many bits each as the drawing dtype `kind` has.

    They are `jax.random.bits`'s own.
    """
    return jax.random.bits(key, shape, jnp.uint64 if kind.itemsize == 8 else jnp.uint32)
