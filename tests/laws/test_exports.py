"""Every draw exports for every platform, in every dtype, and with symbolic sizes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, SIMPLE
from helpers import quick_jit
from jax import export

import braininit as init

PLATFORMS = ("cpu", "cuda", "tpu", "rocm")
FAR = np.array([[0.0, 30.0], [60.0, 90.0]])
OTHERS = {
    "DistanceModulated": init.DistanceModulated(
        init.LogNormal(0.5, 0.1), init.GaussianProfile(50.0)
    ),
    "Radius": init.Spectral(init.Normal(0.0, 1.0), radius=0.9),
    "Balanced": init.Dale(init.Gamma(2.0, 1.0), 0.5, balance="exact"),
    "Complex": init.Normal(0.0, 1.0),
    "Nested": (init.Beta(2.0, 5.0) * init.Gamma(2.0, 1.0) + 1.0).clip(0.5, 3.0),
}
every = pytest.mark.parametrize("case", CASES, ids=str)


def key():
    return jax.random.key(20)


def members(case):
    """Return the ordinary member and, for composed initializers, the corners."""
    corners = case.corners if case.composed else ()
    return [case.make(**given) for given in ({}, *corners)]


def exported(function, *arguments, platforms=PLATFORMS):
    return export.export(jax.jit(function), platforms=platforms)(*arguments)


def run_here(program, *arguments, expected, **tolerance):
    """Assert that an exported program draws what is expected, in one program for both."""
    drawn, right = quick_jit(lambda *a: (program.call(*a), expected()))(*arguments)
    np.testing.assert_allclose(drawn, right, **{"rtol": 2e-6, "atol": 1e-7} | tolerance)


@every
def test_every_draw_exports_for_every_platform(case):
    """With known parameters; with traced ones the program for all platforms also runs here."""
    shape = case.fit((3,))
    for obj in members(case):
        exported(lambda k, obj=obj: obj(k, shape, "bfloat16"), key())
    program = exported(lambda o, k: o(k, shape), case.make(), key())
    run_here(program, case.make(), key(), expected=lambda: case.make()(key(), shape), rtol=5e-6)


@every
def test_every_draw_exports_in_float64(case, x64):
    exported(lambda o, k: o(k, case.fit((3,)), "float64"), case.make(), key())


@pytest.mark.parametrize("name", OTHERS)
def test_initializers_outside_the_table_export(name):
    def draw(k):
        if name == "DistanceModulated":
            return OTHERS[name]((2, 2), rng=k, distances=FAR)
        return OTHERS[name](k, (4, 4), "complex64" if name == "Complex" else None)

    program = exported(draw, key())
    run_here(program, key(), expected=lambda: draw(key()), rtol=1e-6, atol=0)


# ---------------------------------------------------------------- symbolic sizes


def symbolic_size():
    """Return a symbolic shape in a new scope."""
    return jax.ShapeDtypeStruct(export.symbolic_shape("b, 4"), "float32")


@pytest.mark.parametrize("case", [c for c in SIMPLE if c.rank == 0], ids=str)
def test_symbolic_sizes(case):
    obj = case.make()
    exported(lambda k, x: obj(k, x.shape), key(), symbolic_size())
    program = exported(lambda k, x: obj(k, x.shape), key(), symbolic_size(), platforms=["cpu"])
    run_here(program, key(), jnp.zeros((3, 4)), expected=lambda: obj(key(), (3, 4)), atol=0)


@pytest.mark.parametrize(
    "obj", [init.Orthogonal(), init.KaimingNormal()], ids=lambda obj: type(obj).__name__
)
def test_initializers_that_need_concrete_sizes_raise(obj):
    with pytest.raises(TypeError, match=r"has to know its sizes, got \(b, 4\)"):
        exported(lambda k, x: obj(k, x.shape), key(), symbolic_size())


@pytest.mark.parametrize(
    "obj",
    [
        *(init.Identity(), init.Sparse(0.5), init.Dale(init.Gamma(2.0), 0.5)),
        init.Sparse(0.5, self_connections=False),
        *(init.Truncated(base, 0.2, 0.9) for base in (init.Gamma(2.0), init.Beta(2.0, 5.0))),
    ],
    ids=str,
)
def test_other_initializers_with_symbolic_sizes(obj):
    program = exported(lambda k, x: obj(k, x.shape), key(), symbolic_size())
    run_here(program, key(), jnp.zeros((6, 4)), expected=lambda: obj(key(), (6, 4)))
