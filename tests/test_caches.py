"""What is kept from draw to draw: programs, until they are to be forgotten."""

from __future__ import annotations

import brainunit as u
import jax
from jax._src import test_util as jtu

import braininit as init


def key():
    return jax.random.key(20)


def test_programs_are_kept_until_they_are_cleared():
    def draws():
        init.Normal(0.0, 1.0)(key(), (3,))
        (init.Normal(0.0, 1.0) * 2.0)(key(), (3,))
        init.Constant(1.0)((3,))
        init.Normal(0.0, 1.0)((3,), rng=5)

    def compiled():
        with jtu.count_jit_compilation_cache_miss() as misses:
            draws()
        return misses()

    draws()
    assert compiled() == 0
    init.clear_caches()
    assert compiled() >= 3
    assert compiled() == 0


def test_numbers_of_one_shape_share_a_program():
    init.XavierUniform(1.0)((41, 43), rng=0)
    with jtu.count_jit_compilation_cache_miss() as misses:
        for scale in (2.0, 0.3):
            init.XavierUniform(scale)((41, 43), rng=0)
    assert misses() == 0


def test_units_share_a_program():
    draws = (
        lambda unit: init.Normal(0.0 * unit, 1.0 * unit)((43, 47), rng=0),
        lambda unit: init.TruncatedNormal(0.0 * unit, 1.0 * unit, low=-1.0 * unit)((43,), rng=0),
        lambda unit: init.KaimingNormal(unit=unit)((43, 47), rng=0),
    )
    for draw in draws:
        draw(u.UNITLESS)
        with jtu.count_jit_compilation_cache_miss() as misses:
            for unit in (u.nS, u.mV):
                draw(unit)
        assert misses() == 0
