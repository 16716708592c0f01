"""A draw costs no memory but its result, no communication, and does not know its devices."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import DRAWN, RANDOM
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import braininit as init
from braininit._engine import loops as _loops
from braininit._engine import platforms as _platforms
from braininit._engine import sampler as _sampler
from braininit._math import erf_inv as _erf_inv

SHAPE = (256, 64, 8)
ELEMENTS = 256 * 64 * 8
FLAT = 2**14 * 15
FEW = 4096  # bytes: what a program keeps for itself, whatever the size of the draw
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
SPECS = [P(*axes) for axes in itertools.permutations(("x", "y", None), 3)]
SPECS += [P(("x", "y"), None, None), P(None, ("x", "y"), None), P(None, None, ("y", "x")), P()]

every = pytest.mark.parametrize("case", DRAWN, ids=str)


def mesh(*shape):
    return Mesh(np.array(jax.devices()[: np.prod(shape)]).reshape(shape), ("x", "y"))


def compiled(case, dtype, sharding=None, **arrays):
    obj = case.make(**arrays)
    draw = jax.jit(lambda o, k: o(k, SHAPE, dtype), out_shardings=sharding)
    return draw.lower(obj, jax.random.key(0)).compile()


@every
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn"])
def test_no_temporaries(case, dtype):
    memory = compiled(case, dtype).memory_analysis()
    assert memory.output_size_in_bytes == ELEMENTS * jnp.dtype(dtype).itemsize
    assert memory.temp_size_in_bytes <= FEW


@every
def test_no_temporaries_in_float64(case, x64):
    assert compiled(case, "float64").memory_analysis().temp_size_in_bytes <= FEW


@pytest.mark.parametrize("case", RANDOM, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_no_temporaries_with_a_parameter_per_element(case, dtype):
    arrays = {n: jnp.full(SHAPE, v, dtype) for n, v in case.given.items()}
    assert compiled(case, dtype, **arrays).memory_analysis().temp_size_in_bytes <= FEW


@pytest.fixture
def rows_by_core(monkeypatch):
    """A flat draw in rows, as where there is one device and the CPU has four cores."""
    monkeypatch.setattr(jax, "device_count", lambda *_: 1)
    monkeypatch.setattr(_loops, "cores", lambda: 4)
    _sampler._sampler.cache_clear()
    yield
    _sampler._sampler.cache_clear()


@pytest.mark.parametrize("case", [case for case in DRAWN if case.rank < 2], ids=str)
def test_rows_by_core_change_nothing(case, rows_by_core):
    key = jax.random.key(3)
    assert _loops.by_core(key, (FLAT,)) == (4, FLAT // 4)
    arrays = {} if case.composed else {n: jnp.full(FLAT, v) for n, v in case.given.items()}
    obj = case.make(**arrays)
    program = jax.jit(lambda o, k: o(k, (FLAT,))).lower(obj, key).compile()
    assert program.memory_analysis().temp_size_in_bytes <= FEW
    in_one_row = jax.jit(lambda o, k: o(k, (1, FLAT)))  # as it is, it would be flat too
    np.testing.assert_array_equal(program(obj, key), in_one_row(obj, key)[0])


@pytest.mark.parametrize("case", [case for case in DRAWN if case.rank < 2], ids=str)
@pytest.mark.parametrize("shape", [(FLAT // 3, 3), (2**9, 12, 40)], ids=str)
def test_shapes_drawn_flat_change_nothing(case, shape, rows_by_core):
    """Short rows within a program, all rows in an eager call: the numbers of a flat draw."""
    key = functools.partial(jax.random.key, 5)
    size = int(np.prod(shape))
    arrays = {} if case.composed else {n: jnp.full(shape, v) for n, v in case.given.items()}
    flat = case.make(**{n: a.ravel() for n, a in arrays.items()})
    obj = case.make(**arrays)
    program = jax.jit(lambda o, k: o(k, shape)).lower(obj, key()).compile()
    assert program.memory_analysis().temp_size_in_bytes <= FEW
    for drawn in (program(obj, key()), obj(key(), shape)):
        np.testing.assert_array_equal(drawn, flat(key(), (size,)).reshape(shape))


def test_short_rows_are_drawn_in_a_loop_apart(rows_by_core):
    key = jax.random.key(5)
    apart = 'inlineable="false"'

    def text(obj, shape):
        return jax.jit(lambda k: obj(k, shape)).lower(key).compile().as_text()

    short, long = (FLAT // 10, 10), (FLAT // 16, 16)
    assert apart in text(init.Normal(0.0, 1.0), short)
    assert f"f32[4,{FLAT // 4}]" in text(init.Normal(0.0, 1.0), short)
    assert apart not in text(init.Normal(0.0, 1.0), long)
    assert apart not in text(init.Normal(jnp.arange(10.0), 1.0), short)  # by column
    assert apart not in text(init.Normal(0.0, 1.0) * init.Uniform(0.5, 1.0), short)
    assert apart not in text(init.Orthogonal(), short)
    assert _loops.is_better_flat(key, long, alone=True)
    assert not _loops.is_better_flat(key, (8, 3), alone=True)
    assert apart not in text(init.Normal(0.0, 1.0), (FLAT, 1))
    assert apart in text(init.Normal(0.0, 1.0), (*short, 1))
    assert not _loops.is_better_flat(jax.random.key(5, impl="rbg"), short, alone=True)


@pytest.fixture
def no_count(rows_by_core):
    """No count of a key's uses, of which each column would be one."""
    with jax.debug_key_reuse(False):
        yield


@pytest.fixture
def in_pairs(no_count, monkeypatch):
    """Sets whether draws of any size are made in pairs."""

    def set_pairs(paired):
        monkeypatch.setattr(_loops, "_LARGE", 1 if paired else 2**60)
        monkeypatch.setattr(_erf_inv, "_LARGE", 0)
        _sampler._sampler.cache_clear()
        jax.clear_caches()

    return set_pairs


if_tried = pytest.mark.skipif(
    not _platforms.is_tried(*_loops._PAIRED_IN), reason="here there are no pairs"
)


@if_tried
@pytest.mark.parametrize("case", [case for case in DRAWN if case.rank < 2], ids=str)
def test_pairs_change_nothing(case, in_pairs):
    key = functools.partial(jax.random.key, 5)
    members = [case.make(**given) for given in ({}, *case.corners)]
    in_pairs(False)
    expected = [obj(key(), (FLAT,)) for obj in members]
    in_pairs(True)
    for obj, numbers in zip(members, expected, strict=True):
        np.testing.assert_array_equal(obj(key(), (FLAT,)), numbers)
    program = jax.jit(lambda o, k: o(k, (FLAT // 4, 4))).lower(members[0], key()).compile()
    assert program.memory_analysis().temp_size_in_bytes <= FEW
    np.testing.assert_array_equal(program(members[0], key()).ravel(), expected[0])


@if_tried
@pytest.mark.heavy
@pytest.mark.parametrize("case", [case for case in DRAWN if case.rank < 2], ids=str)
@pytest.mark.parametrize("size", [2**21, 2**24 + 2**23])
def test_pairs_of_large_arrays_change_nothing(case, size, no_count, monkeypatch):
    obj = case.make()
    drawn = [obj(jax.random.key(5), (size,))]
    drawn.append(jax.jit(lambda o, k: o(k, (size,)))(obj, jax.random.key(5)))
    monkeypatch.setattr(_loops, "_LARGE", 2**60)
    _sampler._sampler.cache_clear()
    for numbers in drawn:
        np.testing.assert_array_equal(numbers, obj(jax.random.key(5), (size,)))


@if_tried
def test_large_draws_are_made_in_pairs(no_count):
    key, apart = jax.random.key(5), 'inlineable = "false"'
    small, large, larger = (2**21 - 2,), (2**20, 2), (2**24,)

    def paired(shape, kind="float32", key=key, alone=True):
        return _loops.is_better_in_pairs(key, shape, np.dtype(kind), alone)

    def text(obj, shape):
        return jax.jit(lambda k: obj(k, shape)).lower(key).as_text()

    assert [paired(shape) for shape in (small, large, larger)] == [False, True, True]
    assert [paired(shape, alone=False) for shape in (large, larger)] == [True, False]
    assert not paired((2**21 + 1,))
    assert not paired(large, kind="float64")
    assert not paired(large, key=jax.random.key(5, impl="rbg"))
    with jax.debug_key_reuse(True):
        assert not paired(large)
    normal, array = init.Normal(0.0, 1.0), init.Normal(jnp.zeros(2**21), 1.0)
    assert apart in text(normal, (2**21,))
    for obj in (init.Uniform(0.0, 1.0), array, normal * init.Uniform(0.5, 1.0)):
        assert apart not in text(obj, (2**21,))


@pytest.mark.parametrize("paired", [False, pytest.param(True, marks=if_tried)])
def test_a_loop_apart_under_transformations(paired, in_pairs):
    in_pairs(paired)
    shape = (2**11, 3)
    flat = [init.normal(jax.random.key(i), (2**11 * 3,), 0.0, 2.0).reshape(shape) for i in (6, 7)]
    keys = lambda: jax.vmap(jax.random.key)(jnp.array([6, 7]))  # noqa: E731
    draw = functools.partial(init.normal, shape=shape, mean=0.0)
    np.testing.assert_array_equal(jax.vmap(lambda k: draw(k, std=2.0))(keys()), flat)
    looped = jax.jit(lambda ks: jax.lax.map(lambda k: draw(k, std=2.0), ks))(keys())
    np.testing.assert_array_equal(looped, flat)
    for slope in (jax.jacfwd, jax.jacrev):
        d = jax.jit(slope(lambda std: draw(jax.random.key(6), std=std)))(2.0)
        np.testing.assert_allclose(d, flat[0] / 2, rtol=1e-6)
    bent = jax.jit(jax.hessian(lambda std: (draw(jax.random.key(6), std=std) ** 3).sum()))(2.0)
    np.testing.assert_allclose(bent, 6 * 2.0 * ((flat[0] / 2) ** 3).sum(), rtol=1e-3)


@if_tried
def test_pairs_take_no_more_memory_for_a_derivative(in_pairs):
    def needs(paired):
        in_pairs(paired)
        slope = jax.grad(lambda std: (init.normal(jax.random.key(6), (FLAT,), 0.0, std) ** 2).sum())
        return jax.jit(slope).lower(2.0).compile().memory_analysis().temp_size_in_bytes

    assert needs(True) <= needs(False)


@pytest.mark.parametrize("kind", list(AxisType), ids=str)
def test_no_rows_where_a_mesh_splits_them(kind, rows_by_core):
    plan = AbstractMesh((4,), ("x",), axis_types=(kind,))
    key = jax.random.key(3)
    mean = jax.ShapeDtypeStruct((FLAT,), "float32", sharding=NamedSharding(plan, P("x")))
    with jax.sharding.use_abstract_mesh(plan):
        assert _loops.by_core(key, (FLAT,)) == (FLAT,)
    draw = jax.jit(lambda m, k: init.normal(k, (FLAT,), m))
    assert jax.eval_shape(draw, mean, key).shape == (FLAT,)


@every
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_no_temporaries_and_no_communication_on_eight_devices(case, spec):
    program = compiled(case, "float32", NamedSharding(mesh(4, 2), spec))
    split = np.prod([{"x": 4, "y": 2}[n] for axes in spec if axes for n in np.atleast_1d(axes)])
    memory = program.memory_analysis()  # of one device
    assert memory.output_size_in_bytes == 4 * ELEMENTS // max(int(split), 1)
    assert memory.temp_size_in_bytes <= FEW
    assert not [name for name in COLLECTIVES if name in program.as_text()]


@pytest.mark.parametrize("spec", [P(), P("x", "y"), P(None, ("x", "y"))], ids=str)
@pytest.mark.parametrize(
    "obj", [init.Normal(0.5, 0.1), init.TruncatedNormal(0.0, 1.0, -2.0, 2.0)], ids=repr
)
def test_large_normals_cost_and_communicate_no_more(obj, spec):
    """They are made by another inverse error function."""
    shape = (1024, 2 * _erf_inv._LARGE // 1024)
    sharding = NamedSharding(mesh(4, 2), spec)
    draw = jax.jit(lambda k: obj(k, shape), out_shardings=sharding)
    program = draw.lower(jax.random.key(4)).compile()
    assert program.memory_analysis().temp_size_in_bytes <= FEW
    assert not [name for name in COLLECTIVES if name in program.as_text()]
    np.testing.assert_array_equal(program(jax.random.key(4)), obj(jax.random.key(4), shape))


@every
def test_values_do_not_depend_on_the_devices(case):
    obj, shape = case.make(), (8, 16, 8)
    plain = jax.jit(lambda k: obj(k, shape))(jax.random.key(1))
    for layout in ((1, 1), (2, 1), (2, 2), (4, 2)):
        for axis in range(3):
            spec = P(*(("x", "y") if a == axis else None for a in range(3)))
            draw = jax.jit(
                lambda k: obj(k, shape), out_shardings=NamedSharding(mesh(*layout), spec)
            )
            np.testing.assert_array_equal(draw(jax.random.key(1)), plain)


def test_jax_random_is_seen_to_need_memory():
    """The tests above would notice: jax.random's own draws do not pass them."""
    draw = jax.jit(lambda k: jax.random.normal(k, SHAPE)).lower(jax.random.key(0)).compile()
    assert draw.memory_analysis().temp_size_in_bytes > 4 * ELEMENTS
    gamma = jax.jit(
        lambda k: jax.random.gamma(k, 2.0, (256, 64)),
        out_shardings=NamedSharding(mesh(4, 2), P("x", "y")),
    )
    assert "all-reduce" in gamma.lower(jax.random.key(0)).compile().as_text()


def test_constants_take_no_memory_either():
    for obj in (init.Constant(0.5), init.ZeroInit(), init.OneInit()):
        program = jax.jit(lambda obj=obj: obj(SHAPE)).lower().compile()
        assert program.memory_analysis().temp_size_in_bytes <= FEW
