"""Blocks of rows are the rows of the whole draw."""

from __future__ import annotations

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import test_util as jtu

import braininit as init
from braininit._engine import threefry as _bits

N = init.Normal(0.5 * u.nS, 0.1 * u.nS)
POSITIONS = np.linspace(0, 300, 12) * u.um
PLACES = {"pre_positions": POSITIONS, "post_positions": POSITIONS}
CASES = [
    (N, {}),
    (init.Uniform(), {}),
    (init.Gamma(0.5, 1 * u.ms), {}),
    (init.Beta(2.0, 5.0), {}),
    (init.TruncatedNormal(0.0, 1.0, 0.5), {}),
    (init.Constant(2.0), {}),
    ((N * init.LogNormal(1.0, 0.5) + 0.1 * u.nS).clip(0.3 * u.nS), {}),
    (init.Mixture([N, N * 2, 1 * u.nS], [0.2, 0.3, 0.5]), {}),
    (init.Truncated(init.Weibull(2.0, 1.0), 0.5), {}),
    (init.DistanceModulated(N, init.GaussianProfile(100 * u.um), include_self=False), PLACES),
    (
        init.DistanceModulated(N, init.GaussianProfile(100 * u.um)) * 2,
        {"distances": np.arange(144.0).reshape(12, 12) * u.um},
    ),
]
names = {"argnames": ("obj", "context"), "argvalues": CASES, "ids": lambda x: type(x).__name__}


def key(impl=None):
    return jax.random.key(3, impl=impl)


IMPLS = [(*case, None) for case in CASES] + [(*CASES[i], "rbg") for i in (0, 6, 7, 8, 9)]


@pytest.mark.parametrize(("obj", "context", "impl"), IMPLS, ids=lambda x: type(x).__name__)
def test_blocks_are_the_rows_of_the_whole(obj, context, impl):
    """Blocks of one row or several, from any start; blocks of one size share a program."""
    whole = obj((12, 12), rng=key(impl), **context)
    blocks = [
        init.rows(obj, key(impl), (12, 12), a, b, **context)
        for a, b in ((0, 5), (5, 10), (10, 11), (11, 12))
    ]
    together = u.math.concatenate(blocks, axis=0)
    np.testing.assert_allclose(u.get_mantissa(together), u.get_mantissa(whole), rtol=3e-7)
    assert u.get_unit(together) == u.get_unit(whole)


@pytest.mark.parametrize(**names)
def test_blocks_in_float64_and_under_jit(obj, context, x64):
    whole = jax.jit(lambda k: obj((12, 12), rng=k, **context))(key())
    block = jax.jit(lambda k: init.rows(obj, k, (12, 12), 4, 9, **context))(key())
    np.testing.assert_allclose(
        u.get_mantissa(block), u.get_mantissa(whole)[4:9], rtol=1e-14, atol=1e-300
    )


def test_rows_beyond_the_32_bit_index():
    """Row 70,000 of a 100,000 x 100,000 matrix begins at the counter 7e9."""
    start, m = 70_000, 100_000
    x = init.rows(init.Uniform(), key(), (m, m), start, start + 1)
    index = (start * m + np.arange(m, dtype=np.uint64)).astype(np.uint64)
    data = jax.random.key_data(key())
    high, low = ((index >> np.uint64(32)).astype(np.uint32), index.astype(np.uint32))
    first, second = _bits.threefry(data[0], data[1], high, low)
    word = np.asarray(first ^ second)
    np.testing.assert_array_equal(x[0], (word >> 9) * np.float32(2**-23))


def test_only_the_block_takes_memory():
    shape = (1_000_000, 64)
    draw = jax.jit(lambda k: init.rows(N * 2, k, shape, 500_000, 500_064))
    memory = draw.lower(key()).compile().memory_analysis()
    assert memory.output_size_in_bytes == 4 * 64 * 64
    assert memory.temp_size_in_bytes <= 4096


def test_blocks_of_one_size_share_a_program():
    init.rows(N, key(), (50, 7), 0, 10)
    with jtu.count_jit_compilation_cache_miss() as misses:
        init.rows(N, key(), (50, 7), 30, 40)
    assert misses() == 0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: init.rows(init.KaimingNormal(), key(), (9, 9), 0, 3), TypeError, "KaimingNormal"),
        (lambda: init.rows(init.Sparse(0.5) * 2, key(), (9, 9), 0, 3), TypeError, "Sparse"),
        (lambda: init.rows(N | np.abs, key(), (9, 9), 0, 3), TypeError, "Compose"),
        (lambda: init.rows(init.Mixture([N], axis=1), key(), (9, 9), 0, 3), TypeError, "Mixture"),
        (
            lambda: init.rows(N, key(), (9, 9), 3, 10),
            ValueError,
            r"shape \(9, 9\) has no rows 3 to 10",
        ),
        (lambda: init.rows(N, key(), (), 0, 0), ValueError, "no rows"),
        (lambda: init.rows(N, 3, (9, 9), 0, 3), TypeError, "`key`"),
        (lambda: init.rows(N, key(), (9, 9), 0, 3, foo=1), TypeError, "no foo="),
        (
            lambda: init.rows(init.Normal(jnp.zeros((3, 1))), key(), (9, 9), 0, 3),
            ValueError,
            "does not broadcast",
        ),
    ],
)
def test_draws_without_rows_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
