"""Comparisons, keys and processes that many tests share."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl


def bare(x: Any) -> np.ndarray:
    """Return the numbers without their unit."""
    return np.asarray(u.get_mantissa(x))


def same(a: Any, b: Any) -> bool:
    """True if two draws have the same bits, unit, shape and dtype."""
    x, y = bare(a), bare(b)
    return u.get_unit(a) == u.get_unit(b) and x.dtype == y.dtype and np.array_equal(x, y)


def close(a: Any, b: Any) -> bool:
    """True if equal but for the last bits, which XLA may round differently in larger programs."""
    x, y = bare(a).astype(np.float64), bare(b).astype(np.float64)
    return x.shape == y.shape and np.allclose(x, y, rtol=2e-6, atol=1e-6 * np.abs(y).max())


def quick_jit(function: Any, **options: Any) -> Any:
    """Return jit without most optimizations of the machine code.

    It compiles up to three times faster, to a slower program with other last bits.
    """
    effort = {"xla_backend_optimization_level": 0}
    return jax.jit(function, compiler_options=effort, **options)


class Spy:
    """Records the arguments of the first call of a layer's hook, and passes all calls on."""

    def __init__(self, hook):
        self.hook, self.call = hook, None

    def __call__(self, key, shape, dtype=None):
        self.call = self.call or (jax.random.clone(key), tuple(shape), dtype)
        return self.hook(key, shape, dtype)


def key_of_words(first: Any, second: Any = None) -> jax.Array:
    """Return a key with the given random words, in order; two words for each number.

    Draws of two words per number take both. In other draws, children that share a key included,
    the first child takes the `first` words and the second child the `second` words.
    """
    words = np.stack([first, first if second is None else second]).astype(np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl=_given_words(words.shape[1]))


@functools.cache
def _given_words(size: int) -> Any:
    def bits(key: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
        assert width == 32
        return key[0, : int(np.prod(shape))].reshape(shape)

    def split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        children = [key[::-1] if i % 2 else key for i in range(int(np.prod(shape)))]
        return jnp.stack(children).reshape(*shape, *key.shape)

    return define_prng_impl(
        key_shape=(2, size),
        seed=lambda seed: jnp.zeros((2, size), jnp.uint32) + seed.astype(jnp.uint32),
        split=split,
        random_bits=bits,
        fold_in=lambda key, data: key,
        name=f"words_{size}",
        tag="words",
    )


def in_a_process(code: str, *arguments: str, **environment: str) -> str:
    """Run code in a new Python process on CPUs; return the printed text."""
    paths = os.pathsep.join(path for path in sys.path if path)
    defaults = {"JAX_PLATFORMS": "cpu", "JAX_DEBUG_KEY_REUSE": "0", "PYTHONPATH": paths}
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | defaults | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# ---------------------------------------------------------------- words, for tests of accuracy


def words(bits: int, n: int = 4000) -> np.ndarray:
    """Return words across the range, with both tails to the last bit; the same for all tests."""
    rng = np.random.default_rng(7)
    dtype = np.dtype(f"uint{bits}")
    most = np.iinfo(dtype).max
    inner = rng.integers(0, most, n, dtype, endpoint=True)
    tail = np.unique((2.0 ** rng.uniform(0, bits - 1, n)).astype(dtype))
    return np.concatenate([inner, tail, most - tail, np.array([0, most], dtype)])


def uniform(word: np.ndarray, dtype: Any = np.longdouble) -> np.ndarray:
    """Return the number in (0, 1) of a word."""
    return (word.astype(dtype) + dtype(0.5)) / dtype(2) ** (8 * word.dtype.itemsize)
