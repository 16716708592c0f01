"""A draw is rounded once to its dtype."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import braininit as init


def test_rounding_to_bfloat16():
    """Every upper half of a float32, with lower halves beside and at the middle."""
    upper = np.arange(2**16, dtype=np.uint32)[:, None] << 16
    words = upper + np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    x, key = words.ravel().view(np.float32), jax.random.key(0)
    finite = np.isfinite(x) & (abs(x) <= float(jnp.finfo(jnp.bfloat16).max))
    normal = (abs(x) >= np.finfo(np.float32).tiny) | (x == 0)  # XLA flushes others to 0

    @jax.jit
    def drawn(mean):
        return init.normal(key, x.shape, mean, 0.0, dtype=jnp.bfloat16)

    ours, theirs = np.asarray(drawn(x)), np.asarray(jnp.asarray(x).astype(jnp.bfloat16))
    assert np.isnan(ours[~np.isfinite(x)]).all()
    np.testing.assert_array_equal(ours[finite & normal], theirs[finite & normal])


def test_rounding_has_the_derivative_1():
    slope = jax.jacfwd(lambda m: init.normal(jax.random.key(0), (), m, 0.0, dtype=jnp.bfloat16))
    assert (slope(1.7), slope(1.7).dtype) == (1, jnp.bfloat16)
