"""Draws under other settings of JAX, also if these change during a session.

Tested elsewhere: `jax_debug_nans` in test_conformance.py, `jax_disable_jit` in test_platforms.py,
explicit meshes in test_sharding.py, implementations of keys in engine/test_keys.py. Every session
runs with `jax_numpy_rank_promotion="raise"`, and one of .ci/run with `jax_debug_key_reuse`.
"""

from __future__ import annotations

import contextlib
import gc

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES
from helpers import bare, same

import braininit as init

every = pytest.mark.parametrize("case", CASES, ids=str)
NORMAL = init.Normal(0.5, 0.1)


def key():
    return jax.random.key(20)


@contextlib.contextmanager
def all_of(*settings):
    with contextlib.ExitStack() as stack:
        for setting in settings:
            stack.enter_context(setting)
        yield


@contextlib.contextmanager
def checking_leaks():
    """Check for leaks, without a collection of old garbage: that takes most of the time."""
    gc.freeze()
    try:
        with jax.checking_leaks():
            yield
    finally:
        gc.unfreeze()


SETTINGS = {
    "strict": lambda: all_of(
        jax.numpy_dtype_promotion("strict"),
        jax.enable_checks(True),
        checking_leaks(),
        jax.legacy_prng_key("error"),
    ),
    "strict x64": lambda: all_of(jax.numpy_dtype_promotion("strict"), jax.enable_x64(True)),
    "unpartitionable": lambda: jax.threefry_partitionable(False),
    "rbg": lambda: jax.default_prng_impl("rbg"),
}


@every
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_every_draw_under_every_setting(case, setting):
    """With known and traced parameters, in its dtype and a narrower one, alone and nested."""
    size, first, second = case.fit((3,)), *jax.random.split(key())

    def drawn(obj, first, second):
        yield case.make(u.nS)(first, size)
        yield (obj * np.ones(size[-1], np.float32))(second, size, jnp.bfloat16)

    with setting():
        default = jnp.zeros(()).dtype
        wide, narrow = jax.eval_shape(lambda *a: [*drawn(*a)], case.make(), first, second)
    assert (wide.dtype, narrow.dtype) == (default, jnp.bfloat16)


SOME = [case for case in CASES if str(case) in ("Normal", "Mixture")]
some = pytest.mark.parametrize("case", SOME, ids=str)


@some
def test_double_precision_switched_on_and_off_again(case):
    size = case.fit((2, 3))
    obj, array = case.make(), NORMAL * jnp.ones(3)
    before = [obj(key(), size), array(key(), size)]
    with jax.enable_x64(True):
        wide = obj(key(), size)
        built = case.make(u.nS)
        assert wide.dtype == array(key(), size).dtype == np.float64
        assert obj(key(), size, "float32").dtype == np.float32
        wide_array = init.Normal(jnp.full(3, 0.5), jnp.full(3, 0.1))
        assert wide_array(key(), size).dtype == np.float64
    after = [obj(key(), size), array(key(), size)]
    assert all(same(x, y) for x, y in zip(before, after, strict=True))
    assert same(u.get_mantissa(built(key(), size)), before[0])
    assert same(wide_array(key(), size), NORMAL(key(), size))


@some
@pytest.mark.parametrize("setting", ["unpartitionable", "rbg"])
def test_other_random_words(case, setting):
    """Other numbers of the same distribution, the same eagerly and under jit."""
    size = case.fit((50, 40))
    with SETTINGS[setting]():
        drawn = case.make()(size, rng=20)
        assert same(drawn, jax.jit(lambda k: case.make()(k, size))(key()))
        if setting == "unpartitionable" and str(case) == "Normal":
            assert same(init.normal(key(), size), jax.random.normal(key(), size))
    assert not same(drawn, case.make()(key(), size))
    x, y = np.sort(bare(drawn), None), np.sort(bare(case.make()(key(), size)), None)
    # Smirnov's test of 2,000 draws against 2,000 at a false-alarm rate of 1e-6.
    grid = np.union1d(x, y)
    apart = np.searchsorted(x, grid, "right") - np.searchsorted(y, grid, "right")
    assert np.abs(apart).max() / x.size < np.sqrt(np.log(2 / 1e-6) / x.size)
