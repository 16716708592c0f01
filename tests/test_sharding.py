"""On several devices: values do not depend on how many, and live where they were asked to."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re

import brainunit as u
import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import braininit as init

pytestmark = pytest.mark.skipif(jax.device_count() < 8, reason="needs 8 devices")

SHAPE = (16, 6)
SPEC = P("x", "y")
every = pytest.mark.parametrize("case", CASES, ids=str)
either_kind = pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
NORMAL = init.Normal(0.5, 0.1)


def mesh_of(kind):
    return jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))


def bare(x):
    return x.mantissa if isinstance(x, u.Quantity) else x


def same(a, b):
    return u.get_unit(a) == u.get_unit(b) and np.array_equal(
        np.asarray(bare(a)), np.asarray(bare(b))
    )


def lives(x, mesh, spec):
    """Whether each device holds its part of x, and only that."""
    x = bare(x)
    sharding = NamedSharding(mesh, spec)
    return x.sharding.is_equivalent_to(sharding, x.ndim) and {
        s.data.shape for s in x.addressable_shards
    } == {sharding.shard_shape(x.shape)}


def key():
    return jax.random.key(20)


def drawn(case, **options):
    """One draw through the function, as eager code makes it."""
    return case.function(key(), case.fit(SHAPE), **case.called(case.dressed(u.nS)), **options)


# ---------------------------------------------------------------- out_sharding


@every
def test_automatic_axes(case):
    mesh, plain = mesh_of(AxisType.Auto), drawn(case)
    sharding = NamedSharding(mesh, SPEC)
    by_object = case.make(u.nS)
    for x in (
        drawn(case, out_sharding=sharding),
        by_object(key(), case.fit(SHAPE), None, sharding),
        by_object(case.fit(SHAPE), rng=key(), out_sharding=sharding),
    ):
        assert same(x, plain)
        assert lives(x, mesh, SPEC)


@every
def test_explicit_axes(case):
    mesh, plain, size = mesh_of(AxisType.Explicit), drawn(case), case.fit(SHAPE)
    with jax.set_mesh(mesh):
        x = case.make(u.nS)(key(), size, None, SPEC)
        shape = jax.eval_shape(lambda k: case.make(u.nS)(k, size, None, SPEC), key())
    assert same(x, plain)
    assert lives(x, mesh, SPEC)
    assert bare(shape).sharding.spec[:2] == tuple(SPEC)


@either_kind
@pytest.mark.parametrize("spec", [P("x", "y"), P("y"), P(None, "y"), P(("x", "y")), P()], ids=str)
def test_every_spec(kind, spec):
    mesh, shape = mesh_of(kind), (16, 8)
    normal, zeros = NORMAL(key(), shape), jnp.zeros(shape)
    with jax.set_mesh(mesh):
        named = NamedSharding(mesh, spec)
        for x, plain in (
            (NORMAL(key(), shape, None, spec), normal),
            (NORMAL(key(), shape, None, named), normal),
            (jax.jit(lambda k: NORMAL(k, shape, None, spec))(key()), normal),
            (init.zeros(None, shape, None, spec), zeros),
            (jax.jit(lambda: init.zeros(None, shape, None, named))(), zeros),
        ):
            assert same(x, plain)
            assert lives(x, mesh, spec)


@either_kind
def test_a_named_sharding_needs_no_mesh_set(kind):
    mesh = mesh_of(kind)
    sharding = NamedSharding(mesh, SPEC)
    for hook in (NORMAL, init.zeros):
        plain = hook(key(), SHAPE)
        for x in (
            hook(key(), SHAPE, None, sharding),
            jax.jit(lambda k, hook=hook: hook(k, SHAPE, None, sharding))(key()),
        ):
            assert same(x, plain)
            assert lives(x, mesh, SPEC)


def test_other_dtypes_and_keys():
    mesh = mesh_of(AxisType.Auto)
    sharding = NamedSharding(mesh, SPEC)
    for dtype in (jnp.bfloat16, jnp.complex64):
        x = NORMAL(key(), SHAPE, dtype, sharding)
        assert same(x, NORMAL(key(), SHAPE, dtype))
        assert lives(x, mesh, SPEC)
    for rng in (7, jax.random.PRNGKey(7), lambda: jax.random.key(7)):
        assert same(NORMAL(SHAPE, rng=rng, out_sharding=sharding), NORMAL(SHAPE, rng=7))


# ---------------------------------------------------------------- parameters, explicit axes

BLOCK = (8, 4)


def leaves_of(case):
    """The object's numbers, which of them may be arrays, and what makes an object of others."""
    paths, tree = jax.tree_util.tree_flatten_with_path(case.make(u.nS))
    numbers, may_be = [number for _, number in paths], []
    for i, (path, number) in enumerate(paths):
        if np.ndim(number) or "negative_slope" in str(path):  # which ReLU has no use for
            continue
        array = np.full(case.fit(BLOCK), number, np.float32)
        obj = tree.unflatten([*numbers[:i], array, *numbers[i + 1 :]])
        with contextlib.suppress(TypeError, ValueError):  # some are one number for all
            jax.eval_shape(lambda k, obj=obj: obj(k, case.fit(BLOCK)), key())
            may_be.append(i)
    return numbers, may_be, tree.unflatten


@every
def test_a_draw_follows_each_parameter(case):
    mesh, size = mesh_of(AxisType.Explicit), case.fit(BLOCK)
    numbers, may_be, make = leaves_of(case)
    assert may_be or not numbers

    def total(i, array, spec=None):
        x = bare(make([*numbers[:i], array, *numbers[i + 1 :]])(key(), size, None, spec))
        return x.sum(), x

    with jax.set_mesh(mesh):
        for i in may_be:
            array = jnp.full(size, numbers[i], jnp.float32)
            for spec in (P("x", "y"), P("y")):
                given = jax.device_put(array, NamedSharding(mesh, spec))
                both = jax.eval_shape(jax.grad(lambda a, i=i: total(i, a), has_aux=True), given)
                assert [tuple(x.sharding.spec)[:2] for x in both] == [(*spec, None)[:2]] * 2
            _, asked = jax.eval_shape(lambda a, i=i: total(i, a, P("y", "x")), given)
            assert tuple(asked.sharding.spec)[:2] == ("y", "x")


@every
def test_parameters_that_are_split_otherwise(case):
    """Two that no result can follow: an error about them, unless it is said where to live."""
    mesh, size = mesh_of(AxisType.Explicit), case.fit(BLOCK)
    numbers, may_be, make = leaves_of(case)

    def drawn(arrays, spec=None):
        given = [arrays.get(i, number) for i, number in enumerate(numbers)]
        return make(given)(key(), size, None, spec)

    with jax.set_mesh(mesh):
        for i, j in itertools.pairwise(may_be):
            for first, second in ((P("x"), P("y")), (P("x"), P(None, "x"))):
                arrays = {
                    n: jax.device_put(np.full(size, numbers[n], np.float32), NamedSharding(mesh, s))
                    for n, s in ((i, first), (j, second))
                }
                with pytest.raises(ValueError, match=r"` is split over 'x' .*out_sharding="):
                    jax.eval_shape(drawn, arrays)
                asked = bare(jax.eval_shape(lambda a: drawn(a, P(None, "y")), arrays))
                assert tuple(asked.sharding.spec)[:2] == (None, "y")


@every
def test_sharded_parameters_and_keys_make_the_same_numbers(case):
    mesh, size = mesh_of(AxisType.Explicit), case.fit(BLOCK)
    numbers, may_be, make = leaves_of(case)
    keys = jax.random.split(key(), 4)
    pattern = 1 + np.arange(4 * np.prod(size), dtype=np.float32).reshape(4, *size) / 1000
    blocks = [numbers[i] * pattern for i in may_be]

    def drawn(k, arrays):
        given = dict(zip(may_be, arrays, strict=True))
        return bare(make([given.get(i, number) for i, number in enumerate(numbers)])(k, size))

    def close(members):
        return np.allclose(members, plain, rtol=1e-5, atol=1e-6)

    plain = [drawn(k, [b[i] for b in blocks]) for i, k in enumerate(keys)]
    with jax.set_mesh(mesh):

        def at(x, *spec):
            return jax.device_put(x, NamedSharding(mesh, P(*spec)))

        x = drawn(jax.random.clone(keys[0]), [at(b[0], "y", "x") for b in blocks])
        assert np.array_equal(x, plain[0])
        spread = [at(jax.random.clone(keys), "x") for _ in range(2)]
        members = jax.jit(jax.vmap(drawn))(spread[0], [at(b, "x", "y") for b in blocks])
        assert lives(members, mesh, P("x", "y" if blocks else None))
        assert close(members)
        rows = [at(b.reshape(-1, *size[1:]), "x") for b in blocks]
        here = jax.shard_map(lambda k, a: drawn(k.reshape(()), a), out_specs=P("x"))
        assert close(jax.jit(here)(spread[1], rows).reshape(4, *size))


# ---------------------------------------------------------------- whole programs


@functools.cache
def placed_program(hook, size):
    """A draw compiled with out_shardings."""
    sharding = NamedSharding(mesh_of(AxisType.Auto), SPEC)
    return jax.jit(lambda k: hook(k, size), out_shardings=sharding).lower(key()).compile()


@every
def test_one_jit_with_out_shardings(case):
    hook, size = case.make(u.nS), case.fit(SHAPE)
    x = placed_program(hook, size)(key())
    assert same(x, jax.jit(lambda k: hook(k, size))(key()))
    assert lives(x, mesh_of(AxisType.Auto), SPEC)


@every
def test_devices_draw_their_parts_without_talking(case):
    program = placed_program(case.make(u.nS), case.fit(SHAPE)).as_text()
    assert "f32[4,3" in program  # one device's part
    assert not case.apart or not re.findall(r"all-[a-z]+|collective-[a-z]+|reduce-scatter", program)


class Cell(eqx.Module):
    g: u.Quantity
    tau: u.Quantity
    bias: jax.Array

    def __init__(self, n, *, key):
        g_key, tau_key = jax.random.split(key)
        self.g = init.Normal(0.5 * u.nS, 0.1 * u.nS)(g_key, (n, n))
        self.tau = init.truncated_normal(tau_key, (n,), 10 * u.ms, 3 * u.ms, low=1 * u.ms)
        self.bias = init.zeros(None, (n,))


def linen_model():
    module = nn.Sequential([nn.Dense(16, kernel_init=NORMAL), nn.Dense(8, bias_init=init.ones)])
    return lambda k: module.init(k, jnp.ones((2, 8)))["params"]


def nnx_model():
    def build(k):
        layer = nnx.Linear(8, 16, kernel_init=NORMAL, bias_init=init.ones, rngs=nnx.Rngs(k))
        return nnx.to_pure_dict(nnx.state(layer, nnx.Param))

    return build


@pytest.mark.parametrize("make", [linen_model, nnx_model, lambda: lambda k: Cell(16, key=k)])
def test_a_model_built_in_one_jit(make):
    mesh, build = mesh_of(AxisType.Auto), make()

    def place(leaf):
        return NamedSharding(mesh, P(*("x", "y")[: leaf.ndim]))

    shardings = jax.tree.map(place, jax.eval_shape(build, key()))
    placed, plain = jax.jit(build, out_shardings=shardings)(key()), jax.jit(build)(key())
    assert jax.tree.structure(placed) == jax.tree.structure(plain)
    for leaf, expected in zip(jax.tree.leaves(placed), jax.tree.leaves(plain), strict=True):
        assert same(leaf, expected)
        assert lives(leaf, mesh, P(*("x", "y")[: leaf.ndim]))


@either_kind
def test_nnx_places_what_an_object_draws(kind):
    mesh = mesh_of(kind)
    plain = nnx.Linear(8, 6, kernel_init=NORMAL, rngs=nnx.Rngs(1)).kernel.get_value()
    annotated = nnx.with_partitioning(NORMAL, ("x", "y"))

    def at_once(k, shape, dtype):
        return NORMAL(k, shape, dtype, SPEC)

    with jax.set_mesh(mesh):
        for hook in (annotated, at_once):
            layer = nnx.Linear(8, 6, kernel_init=hook, bias_init=init.zeros, rngs=nnx.Rngs(1))
            assert same(layer.kernel.get_value(), plain)
            assert lives(layer.kernel.get_value(), mesh, SPEC)


def test_linen_places_what_an_object_draws():
    mesh, x = mesh_of(AxisType.Auto), jnp.ones((2, 8))
    module = nn.Dense(6, kernel_init=nn.with_partitioning(NORMAL, ("x", "y")))
    shardings = nn.get_sharding(jax.eval_shape(module.init, key(), x), mesh)
    kernels = [
        nn.unbox(build(key(), x))["params"]["kernel"]
        for build in (jax.jit(module.init, out_shardings=shardings), jax.jit(module.init))
    ]
    assert same(*kernels)
    assert lives(kernels[0], mesh, SPEC)


@either_kind
def test_inside_shard_map_each_device_draws_its_own(kind):
    mesh = mesh_of(kind)

    def draw(k):
        return NORMAL(jax.random.fold_in(k, jax.lax.axis_index("x")), (5,))

    parts = jax.shard_map(draw, mesh=mesh, in_specs=P(), out_specs=P("x"))(key())
    expected = [NORMAL(jax.random.fold_in(key(), i), (5,)) for i in range(4)]
    assert np.allclose(parts, np.concatenate(expected), rtol=2e-6)


def test_an_ensemble_over_devices():
    mesh, keys = mesh_of(AxisType.Auto), jax.random.split(key(), 8)
    placed = jax.device_put(jax.random.clone(keys), NamedSharding(mesh, P(("x", "y"))))
    members = jax.vmap(lambda k: NORMAL(k, (3,)))(placed)
    assert lives(members, mesh, P(("x", "y")))
    assert np.allclose(members, [NORMAL(k, (3,)) for k in keys], rtol=2e-6)


# ---------------------------------------------------------------- bad input


def test_a_spec_needs_a_mesh():
    for hook in (NORMAL, init.zeros):
        with pytest.raises(ValueError, match=r"names axes but no mesh is set.*jax\.set_mesh"):
            hook(key(), SHAPE, None, SPEC)


@pytest.mark.parametrize("bad", ["x", ("x", "y"), 3, jax.devices()[0]], ids=repr)
def test_other_shardings_are_refused(bad):
    for hook in (NORMAL, init.zeros):
        with pytest.raises(TypeError, match="must be a NamedSharding or a PartitionSpec"):
            hook(key(), SHAPE, None, bad)


@pytest.mark.parametrize("spec", [P("x", "y", None), P("z")], ids=str)
def test_specs_that_do_not_fit_are_refused(spec):
    with jax.set_mesh(mesh_of(AxisType.Auto)), pytest.raises((ValueError, KeyError)):
        NORMAL(key(), SHAPE, None, spec)
