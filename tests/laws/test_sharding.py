"""Draws on several devices: values do not depend on the devices, and live where requested."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import subprocess
import sys

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
    """True if each device holds its part of x and nothing else."""
    x = bare(x)
    sharding = NamedSharding(mesh, spec)
    return x.sharding.is_equivalent_to(sharding, x.ndim) and {
        s.data.shape for s in x.addressable_shards
    } == {sharding.shard_shape(x.shape)}


def key():
    return jax.random.key(20)


def drawn(case, **options):
    """Draw eagerly, through the function."""
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
    """Return the object's parameters, indices of those that may be arrays, and a constructor."""
    paths, tree = jax.tree_util.tree_flatten_with_path(case.make(u.nS))
    numbers, may_be = [number for _, number in paths], []
    for i, (path, number) in enumerate(paths):
        if np.ndim(number) or "negative_slope" in str(path):  # ReLU ignores it
            continue
        array = np.full(case.fit(BLOCK), number, np.float32)
        obj = tree.unflatten([*numbers[:i], array, *numbers[i + 1 :]])
        with contextlib.suppress(TypeError, ValueError):  # some must be scalars
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
                placed = jax.device_put(array, NamedSharding(mesh, spec))
                both = jax.eval_shape(jax.grad(lambda a, i=i: total(i, a), has_aux=True), placed)
                assert [tuple(x.sharding.spec)[:2] for x in both] == [(*spec, None)[:2]] * 2
            _, x = jax.eval_shape(lambda a, i=i: total(i, a, P("y", "x")), placed)
            assert tuple(x.sharding.spec)[:2] == ("y", "x")


@every
def test_parameters_with_conflicting_shardings(case):
    """No result can follow both: an error, unless `out_sharding` decides."""
    mesh, size = mesh_of(AxisType.Explicit), case.fit(BLOCK)
    numbers, may_be, make = leaves_of(case)

    def drawn(arrays, spec=None):
        leaves = [arrays.get(i, number) for i, number in enumerate(numbers)]
        return make(leaves)(key(), size, None, spec)

    with jax.set_mesh(mesh):
        for i, j in itertools.pairwise(may_be):
            for first, second in ((P("x"), P("y")), (P("x"), P(None, "x"))):
                arrays = {
                    n: jax.device_put(np.full(size, numbers[n], np.float32), NamedSharding(mesh, s))
                    for n, s in ((i, first), (j, second))
                }
                with pytest.raises(ValueError, match=r"` is split over '[xy]' .*out_sharding="):
                    jax.eval_shape(drawn, arrays)
                x = bare(jax.eval_shape(lambda a: drawn(a, P(None, "y")), arrays))
                assert tuple(x.sharding.spec)[:2] == (None, "y")


@every
def test_sharded_parameters_and_keys_make_the_same_numbers(case):
    mesh, size = mesh_of(AxisType.Explicit), case.fit(BLOCK)
    numbers, may_be, make = leaves_of(case)
    keys = jax.random.split(key(), 4)
    pattern = 1 + np.arange(4 * np.prod(size), dtype=np.float32).reshape(4, *size) / 1000
    wholes = np.round(1000 * pattern - 999)  # for parameters that must be whole
    whole = [case.dtypes == "whole" and float(numbers[i]).is_integer() for i in may_be]
    blocks = [numbers[i] * (wholes if w else pattern) for i, w in zip(may_be, whole, strict=True)]

    def drawn(k, arrays):
        placed = dict(zip(may_be, arrays, strict=True))
        return bare(make([placed.get(i, number) for i, number in enumerate(numbers)])(k, size))

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


@every
def test_every_member_is_drawn_inside_shard_map(case):
    """Loops included: their carries vary over devices from the start."""
    mesh, size = mesh_of(AxisType.Auto), case.fit((4, 4))
    keys = jax.random.split(key(), 4)
    for parameters in ({}, *case.corners):
        obj = case.make(None, **parameters)
        for axes in ({"x", "y"}, {"x"}):
            here = jax.shard_map(
                lambda k, obj=obj: obj(k.reshape(()), size),
                mesh=mesh,
                axis_names=axes,
                in_specs=P("x"),
                out_specs=P("x"),
            )
            assert jax.eval_shape(here, keys).shape == (4 * size[0], *size[1:])


@pytest.mark.parametrize(("explicit", "is_set"), [("x", True), ("y", False), ("xy", False)])
def test_meshes_of_both_kinds_of_axes(explicit, is_set):
    kinds = tuple(AxisType.Explicit if n in explicit else AxisType.Auto for n in ("x", "y"))
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=kinds)
    means = np.arange(32, dtype=np.float32).reshape(8, 4)
    plain = init.Normal(means, 1.0)(key(), (8, 4))

    def normal(means, sharding=None):
        return init.Normal(means, 1.0)(key(), (8, 4), None, sharding)

    def clipped(means, sharding=None):
        return init.Normal(means, 1.0).clip(-99.0)(key(), (8, 4), None, sharding)

    with jax.set_mesh(mesh) if is_set else contextlib.nullcontext():
        for function in (normal, clipped):
            for draw in (function, jax.jit(function, static_argnums=1)):
                for x, spec in (
                    (draw(put(means, mesh, "x", "y")), P("x", "y")),
                    (draw(put(means, mesh, "x"), NamedSharding(mesh, P("y", "x"))), P("y", "x")),
                ):
                    assert np.allclose(x, plain, rtol=2e-6)
                    assert lives(x, mesh, spec)


def put(x, mesh, *spec):
    return jax.device_put(jnp.asarray(x, jnp.float32), NamedSharding(mesh, P(*spec)))


def test_a_mesh_of_one_device_has_explicit_axes_too():
    mesh = jax.make_mesh((1, 1), ("x", "y"), devices=jax.devices()[:1])
    means = np.arange(1, 33, dtype=np.float32).reshape(8, 4)
    mixture = init.Mixture([init.Gamma(means, 1.0), init.Normal(means, 1.0)])
    plain = mixture(key(), (8, 4))
    with jax.set_mesh(mesh):
        placed = jax.tree.map(lambda n: put(n, mesh, "x", "y") if np.ndim(n) else n, mixture)
        x = placed(key(), (8, 4))
    assert same(x, plain)
    assert jax.typeof(x).sharding.spec == P("x", "y")


def test_orthogonal_members_of_sharded_keys():
    mesh, keys = mesh_of(AxisType.Explicit), jax.random.split(key(), 8)
    plain = [init.Orthogonal()(k, (3, 3)) for k in keys]
    with jax.set_mesh(mesh):
        spread = jax.device_put(jax.random.clone(keys), NamedSharding(mesh, P("x")))
        members = jax.vmap(lambda k: init.Orthogonal()(k, (3, 3)))(spread)
    assert np.allclose(members, plain, atol=1e-6)
    assert lives(members, mesh, P("x"))


def test_draws_with_a_users_function():
    mesh, means = mesh_of(AxisType.Explicit), np.arange(8, dtype=np.float32)

    def own(key, shape, dtype=None):
        return jax.random.normal(key, shape)

    def pinned(means):
        return init.Normal(means, 1.0) | (lambda x: x.at[0].set(0.0))

    def chosen(means):
        return init.Conditional(lambda i: i % 2 == 0, init.Gamma(means + 1, 1.0), own)

    for make in (pinned, chosen, lambda means: init.Mixture([own, init.Normal(means, 1.0)])):
        plain = make(means)(key(), (8,))
        with jax.set_mesh(mesh):
            x = make(put(means, mesh, "x"))(key(), (8,))
        assert np.allclose(x, plain, rtol=2e-6)
        assert lives(x, mesh, P("x"))
    with jax.set_mesh(mesh):  # no parameter is split, only the function's array
        factor = put(means, mesh, "x")
        x = (init.Normal() | (lambda x: x * factor))(key(), (8,))
    assert lives(x, mesh, P("x"))


def test_distances_follow_where_neurons_live():
    mesh, at = mesh_of(AxisType.Explicit), np.linspace(0, 1, 8, dtype=np.float32)
    near = init.GaussianProfile(0.3 * u.mm)
    local = init.DistanceModulated(init.Normal(), near, box=2 * u.mm, include_self=False)
    plain = local((8, 8), rng=key(), pre_positions=at * u.mm, post_positions=at * u.mm)
    table = init.pairwise_distances(at)
    with jax.set_mesh(mesh):
        pre, post = put(at, mesh, "x"), put(at, mesh, "y")
        drawn = local((8, 8), rng=key(), pre_positions=pre * u.mm, post_positions=post * u.mm)
        for x, expected, spec in (
            (drawn, plain, P("x", "y")),
            (init.pairwise_distances(pre, post), table, P("x", "y")),
            (init.pairwise_distances(pre), table, P("x")),
            (near(pre * u.mm), near(at * u.mm), P("x")),
            (near.clip(0.1).probability(pre * u.mm), near.clip(0.1)(at * u.mm), P("x")),
        ):
            assert np.allclose(x, expected, rtol=1e-5, atol=1e-6)
            assert lives(x, mesh, spec)
        both = {"pre_positions": pre * u.mm, "post_positions": pre * u.mm}
        with pytest.raises(ValueError, match="`pre_positions` is split over 'x' .*out_sharding="):
            local((8, 8), rng=key(), **both)
        x = local((8, 8), rng=key(), out_sharding=P("x"), **both)
        assert np.allclose(x, plain, rtol=1e-5, atol=1e-6)


def test_the_first_draw_may_be_inside_shard_map():
    """Cached values must not be computed by several devices."""
    code = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import braininit as init
mesh = jax.make_mesh((2,), ("x",))
jax.set_mesh(mesh)
keys = jax.device_put(jax.random.split(jax.random.PRNGKey(0)), jax.NamedSharding(mesh, jax.P("x")))
draw = lambda k: init.Normal()(k[0], 3) + init.Normal()(3, rng=7)
print(jax.shard_map(draw, out_specs=jax.P("x"))(keys).shape)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == "(6,)\n", run.stderr


# ---------------------------------------------------------------- whole programs


@functools.cache
def placed_program(hook, size):
    """Compile a draw with out_shardings."""
    sharding = NamedSharding(mesh_of(AxisType.Auto), SPEC)
    return jax.jit(lambda k: hook(k, size), out_shardings=sharding).lower(key()).compile()


@every
def test_one_jit_with_out_shardings(case):
    hook, size = case.make(u.nS), case.fit(SHAPE)
    x = placed_program(hook, size)(key())
    assert same(x, jax.jit(lambda k: hook(k, size))(key()))
    assert lives(x, mesh_of(AxisType.Auto), SPEC)


@every
def test_devices_draw_their_parts_without_communication(case):
    program = placed_program(case.make(u.nS), case.fit(SHAPE)).as_text()
    assert "f32[4,3" in program  # one device's part
    assert not case.local or not re.findall(r"all-[a-z]+|collective-[a-z]+|reduce-scatter", program)


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
