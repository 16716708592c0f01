"""A draw takes only its result's memory, does not communicate, and ignores its devices."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import DRAWN, RANDOM
from helpers import quick_jit
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import braininit as init

SHAPE = (256, 64, 8)
ELEMENTS = 256 * 64 * 8
FEW = 4096  # bytes of temporaries in a program, whatever the size of the draw
TABLE = 2**20  # bytes of a table of draws, in programs that have one
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def room(case, per_number=12):
    """Return the bytes of temporaries that a program may have."""
    return per_number * ELEMENTS + FEW if case.in_rounds else TABLE if case.atol else FEW


every = pytest.mark.parametrize("case", DRAWN, ids=str)


def key():
    return jax.random.key(1)


def split_over(spec, *layout):
    devices = np.array(jax.devices()[: np.prod(layout)]).reshape(layout)
    return NamedSharding(Mesh(devices, ("x", "y")), spec)


def compiled(obj, dtype, jit=jax.jit, **options):
    return jit(lambda o, k: o(k, SHAPE, dtype), **options).lower(obj, key()).compile()


def memory(obj, dtype):
    """Return the memory of a program, which is the same without optimized machine code."""
    return compiled(obj, dtype, quick_jit).memory_analysis()


@every
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_no_temporaries(case, dtype):
    with jax.enable_x64(dtype == "float64"):
        taken = memory(case.make(), dtype)
    assert taken.output_size_in_bytes == ELEMENTS * jnp.dtype(dtype).itemsize
    assert taken.temp_size_in_bytes <= room(case)


@pytest.mark.parametrize("case", [c for c in RANDOM if not c.atol], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_temporaries_with_a_parameter_per_element(case, dtype):
    obj = case.make(**{n: jnp.full(SHAPE, v, dtype) for n, v in case.given.items()})
    assert memory(obj, dtype).temp_size_in_bytes <= room(case, 40)


# ---------------------------------------------------------------- on several devices


def assert_split(obj, spec, *layout, room=FEW):
    """Assert that each device draws only its part, in little memory, alone; return the draw."""
    program = compiled(obj, "float32", out_shardings=split_over(spec, *layout))
    sizes = dict(zip("xy", layout, strict=True))
    parts = np.prod([sizes[n] for axes in spec if axes for n in np.atleast_1d(axes)])
    memory = program.memory_analysis()  # of one device
    assert memory.output_size_in_bytes == 4 * ELEMENTS // max(int(parts), 1)
    assert memory.temp_size_in_bytes <= room
    found = [name for name in COLLECTIVES if name in program.as_text()]
    assert not found or (room > TABLE and found == ["all-reduce"])  # when all is drawn
    return program(obj, key())


@every
def test_devices_make_their_parts_of_the_same_numbers(case):
    plain, *split = (
        assert_split(case.make(), spec, *layout, room=room(case))
        for spec, *layout in ((P(), 1, 1), (P("x", None, "y"), 4, 2), (P(None, ("y", "x")), 2, 2))
    )
    for drawn in split:
        np.testing.assert_array_equal(drawn, plain)


SPECS = [P(*axes) for axes in itertools.permutations(("x", "y", None), 3)]
SPECS += [P(("x", "y"), None, None), P(None, None, ("y", "x")), P()]


@pytest.mark.parametrize("obj", [init.Normal(0.5, 0.1), init.Gamma(2.0, 1.0)], ids=str)
def test_devices_in_every_layout(obj):
    plain = obj(key(), SHAPE)
    for spec in SPECS:
        np.testing.assert_array_equal(assert_split(obj, spec, 4, 2), plain)
    for axis, layout in itertools.product(range(3), ((2, 1), (8, 1))):
        spec = P(*(("x", "y") if a == axis else None for a in range(3)))
        np.testing.assert_array_equal(assert_split(obj, spec, *layout), plain)


@pytest.mark.parametrize("spec", [P(), P("x", "y"), P(None, ("x", "y"))], ids=str)
@pytest.mark.parametrize(
    "obj", [init.Normal(0.5, 0.1), init.TruncatedNormal(0.0, 1.0, -2.0, 2.0)], ids=repr
)
def test_large_normals_cost_and_communicate_no_more(obj, spec):
    """They use another inverse error function."""
    shape = (1024, 1024)
    draw = jax.jit(lambda k: obj(k, shape), out_shardings=split_over(spec, 4, 2))
    program = draw.lower(key()).compile()
    assert program.memory_analysis().temp_size_in_bytes <= FEW
    assert not [name for name in COLLECTIVES if name in program.as_text()]
    np.testing.assert_array_equal(program(key()), obj(key(), shape))


# ---------------------------------------------------------------- comparisons


def test_jax_random_needs_memory():
    """The tests above can fail: jax.random's own draws do not pass them."""
    draw = jax.jit(lambda k: jax.random.normal(k, SHAPE)).lower(key()).compile()
    assert draw.memory_analysis().temp_size_in_bytes > 4 * ELEMENTS
    gamma = jax.jit(
        lambda k: jax.random.gamma(k, 2.0, (256, 64)), out_shardings=split_over(P("x", "y"), 4, 2)
    )
    assert "all-reduce" in gamma.lower(key()).compile().as_text()


def test_constants_take_no_temporaries():
    for obj in (init.Constant(0.5), init.ZeroInit(), init.OneInit()):
        program = jax.jit(lambda obj=obj: obj(SHAPE)).lower().compile()
        assert program.memory_analysis().temp_size_in_bytes <= FEW
