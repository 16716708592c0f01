"""Caches: programs are kept from draw to draw until they are cleared."""

from __future__ import annotations

import functools
import gc
import inspect
import sys

import brainunit as u
import jax
from jax._src import test_util as jtu

import braininit as init
from braininit._engine import sampler
from braininit.initializer import composite


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


# ---------------------------------------------------------------- long sessions


def caches():
    """Yield every cached function of the package with its name."""
    for name, module in sys.modules.copy().items():
        if name.startswith("braininit."):
            for value in vars(module).values():
                if hasattr(value, "cache_info") and value.__module__ == name:
                    yield f"{name}.{value.__name__}", value


def test_every_cache_is_bounded_and_can_be_cleared():
    """A program takes some 2.5 MB; other cached values are small or single."""
    init.Normal(0.0, 1.0)(3, rng=0)
    cached = dict(caches())
    assert len(cached) > 20
    unbounded = {name for name, c in cached.items() if c.cache_parameters()["maxsize"] is None}
    for name in unbounded:  # their arguments are constants of the code
        few = name.endswith((".is_tried", "._rule", "._panel", ".gauss"))
        assert few or not inspect.signature(cached[name]).parameters, name
    programs = [sampler._program, composite._program]
    assert sum(cache.cache_parameters()["maxsize"] for cache in programs) <= 512
    init.clear_caches()
    assert not [name for name, cache in cached.items() if cache.cache_info().currsize]


def count_programs():
    """Count the programs alive in this process."""
    gc.collect()
    return len(jax.devices()[0].client.live_executables())


def draw_in_new_shapes(count):
    for n in range(count):
        init.Uniform(0.0, 1.0)((101 + n,), rng=0)
        (2.0 * init.Uniform(0.0, 1.0))((101 + n,), rng=0)


def test_programs_of_new_shapes_evict_old_ones(monkeypatch):
    for module in (sampler, composite):
        few = functools.lru_cache(maxsize=2)(module._program.__wrapped__)
        monkeypatch.setattr(module, "_program", few)
    draw_in_new_shapes(2)
    before = count_programs()
    draw_in_new_shapes(6)
    assert count_programs() <= before


def test_cleared_programs_are_freed():
    init.clear_caches()
    draw_in_new_shapes(1)
    init.clear_caches()
    before = count_programs()
    draw_in_new_shapes(4)
    assert count_programs() >= before + 8
    init.clear_caches()
    assert count_programs() <= before
