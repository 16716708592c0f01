"""Layers along an axis are drawn as they are by themselves; fused kernels as their parts."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import braininit as init

S = jax.ShapeDtypeStruct
N = 3
INITIALIZERS = {
    "normal": init.Normal(0.0, 0.02),
    "by layer": lambda leaf: init.Normal(0.0, 1.0 / (leaf.layer + 1)),
    "other kinds": lambda leaf: init.Normal() if leaf.layer else init.Exponential(),
    "fans": init.LecunNormal(),
    "fans, uniform": init.XavierUniform(),
    "fans of JAX": jax.nn.initializers.he_normal(),
    "orthogonal": init.Orthogonal(),
    "gamma": init.Gamma(2.0, 1.0),
    "truncated": init.Truncated(init.Gamma(2.0, 1.0), 0.1, 3.0),
    "composed": 2 * init.LecunNormal() + 1.0,
    "mixture": init.Mixture([init.Normal(), init.Exponential()]),
    "sparse": init.Sparse(0.5),
    "parts": init.Parts(init.Orthogonal(), 1, (4, 4)),
    "parts alike": init.Parts(init.LecunNormal(), 1, (4, 4)),
    "of JAX": jax.nn.initializers.normal(0.02),
    "number": 1.5,
}


def model(axis=None):
    shapes = {"kernel": (6, 8), "bias": (8,)}
    if axis is None:
        return {"blocks": [{n: S(s, jnp.float32) for n, s in shapes.items()} for _ in range(N)]}
    return {"blocks": {n: S((*s[:axis], N, *s[axis:]), jnp.float32) for n, s in shapes.items()}}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_stacked_layers_are_the_unrolled_ones(name, key):
    rules = [("kernel", INITIALIZERS[name]), ("bias", init.Normal())]
    options = {"layers": r"blocks/(\d+)"}
    unrolled = init.initialize(model(), rules, key, **options)
    for axis in (0, 1):
        stacked = init.initialize(model(axis), rules, key, stacked={r"^blocks": axis}, **options)
        for leaf in ("kernel", "bias"):
            each = [unrolled["blocks"][i][leaf] for i in range(N)]
            np.testing.assert_array_equal(stacked["blocks"][leaf], jnp.stack(each, axis))


def test_a_stacked_model_in_a_trace_with_another_hash_and_in_other_dtypes(key):
    rules, options = [("", init.Normal(0.5, 2.0))], {"stacked": {r"^blocks": 0}}
    plan = init.plan(model(0), rules, **options)
    eager = plan(key)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(plan)(jax.random.clone(key)), eager)
    rbg = jax.random.key(1, impl="rbg")
    stacked = plan(rbg)
    unrolled = init.initialize(model(), rules, jax.random.clone(rbg))
    np.testing.assert_array_equal(stacked["blocks"]["bias"][1], unrolled["blocks"][1]["bias"])
    half, apart = jax.tree.map(lambda s: S(s.shape, jnp.bfloat16), (model(0), model()))
    stacked = init.initialize(half, rules, jax.random.clone(key), **options)
    unrolled = init.initialize(apart, rules, jax.random.clone(key))
    np.testing.assert_array_equal(stacked["blocks"]["bias"][1], unrolled["blocks"][1]["bias"])


def test_numbers_by_layer_in_64_bits(key, x64):
    def rule(leaf):
        return init.TruncatedNormal(0.5, 0.2, 0.1, 0.9 * (1 + 0.1 * leaf.layer))

    trees = jax.tree.map(lambda s: S(s.shape, jnp.float64), (model(0), model()))
    layers = {"layers": r"blocks/(\d+)"}
    stacked = init.initialize(trees[0], [("", rule)], key, stacked={"^blocks": 0}, **layers)
    unrolled = init.initialize(trees[1], [("", rule)], jax.random.clone(key), **layers)
    each = [layer["kernel"] for layer in unrolled["blocks"]]
    np.testing.assert_array_equal(stacked["blocks"]["kernel"], jnp.stack(each))


def test_layers_share_what_is_one_number(key):
    tree = {"blocks": {"w": S((4, 3), jnp.float32), "temperature": S((), jnp.float32)}}
    plan = init.plan(tree, [("", init.Normal())], stacked={"^blocks": 0})
    assert plan(key)["blocks"]["temperature"].shape == ()


def test_one_layer_alone(key):
    plan = init.plan(model(0), [("", init.Normal())], stacked={r"^blocks": 0})
    whole = plan(key)
    np.testing.assert_array_equal(plan.leaf(key, "blocks/2/kernel"), whole["blocks"]["kernel"][2])
    np.testing.assert_array_equal(plan.leaf(key, "blocks/kernel"), whole["blocks"]["kernel"])


def test_what_can_not_be_stacked():
    with pytest.raises(init.PlanError, match="stacked: there is no axis 3: blocks/bias"):
        init.plan(model(0), [("", init.Normal())], stacked={r"^blocks": 3})
    empty = {"blocks": {"kernel": S((0, 6, 8), jnp.float32), "bias": S((3, 8), jnp.float32)}}
    with pytest.raises(init.PlanError, match="there is no layer along axis 0: blocks/kernel$"):
        init.plan(empty, [("", init.Normal())], stacked={r"^blocks": 0})
    rules = [(r"/0/", init.KEEP), ("", init.Normal())]
    with pytest.raises(init.PlanError, match="kept or drawn as a whole: blocks/"):
        init.plan(model(0), rules, stacked={r"^blocks": 0})
    # A prefix ends where a part of the path does.
    tree = {"blocks": S((4, 2), jnp.float32), "blocks_2": S((4, 2), jnp.float32)}
    plan = init.plan(tree, [("", 0.0)], stacked={"^blocks": 0})
    assert [len(row.stack.leaves) for row in plan.rows] == [4, 1]
    assert len(init.plan({"a": tree}, [("", 0.0)], stacked={"a/": 0}).rows[0].stack.leaves) == 4
    with pytest.raises(init.PlanError, match="stacked: '\\^x' matches no path"):
        init.plan(tree, [("", 0.0)], stacked={"^x": 0})
    with pytest.raises(TypeError, match="`stacked` must map patterns to axes, as {'\\^blocks': 0}"):
        init.plan(tree, [("", 0.0)], stacked="^blocks")


@pytest.mark.parametrize("spec", [("a",), (None, "a"), (None, None, "a")], ids=str)
@pytest.mark.parametrize("name", ["normal", "orthogonal", "fans", "sparse", "of JAX"])
def test_stacked_layers_on_devices(name, spec, key):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("a",))
    tree = {"blocks": {"kernel": S((4, 6, 8), jnp.float32)}}
    rules = [("", INITIALIZERS[name])]
    options = {"stacked": {r"^blocks": 0}}
    whole = init.initialize(tree, rules, key, **options)["blocks"]["kernel"]
    spec = PartitionSpec(*spec)
    plan = init.plan(tree, rules, shardings=spec, mesh=mesh, **options)
    made = plan(key)["blocks"]["kernel"]
    assert made.sharding.is_equivalent_to(NamedSharding(mesh, spec), 3)
    np.testing.assert_array_equal(made, whole)


# ---------------------------------------------------------------- parts of a leaf


def test_parts_are_drawn_as_apart(key):
    base = init.LecunNormal()
    fused = init.Parts(base, -1, {"q": 8, "k": 4, "v": 4})(key, (6, 16))
    apart = [base(init.path_key(key, n), (6, s)) for n, s in (("q", 8), ("k", 4), ("v", 4))]
    np.testing.assert_array_equal(fused, jnp.concatenate(apart, -1))
    numbered = init.Parts(base, 0, (2, 4))(key, (6, 16))
    np.testing.assert_array_equal(numbered[2:], base(init.path_key(key, (1,)), (4, 16)))


AT_ONCE = [
    *(init.Normal(0.1, 0.02), init.Uniform(-1.0, 2.0), init.LecunNormal(), init.Gamma(2.0, 0.5)),
    *(init.TruncatedNormal(0.0, 1.0, -1.0, 2.0), init.Poisson(3.0), init.UniformInt(0, 9)),
]


@pytest.mark.parametrize("base", AT_ONCE, ids=lambda base: type(base).__name__)
def test_parts_drawn_at_once_are_drawn_as_apart(base, key):
    for axis, sizes, shape, dtype in (
        (1, (16, 16, 16), (48, 48), jnp.float32),
        (0, (4, 0, 2), (6, 5), jnp.bfloat16),
        (-1, (3, 5), (2, 3, 8), jnp.float32),
    ):
        _are_drawn_as_apart(base, key, axis, sizes, shape, dtype)


def test_parts_by_other_keys():
    for impl in ("rbg", "unsafe_rbg"):
        key, base = jax.random.key(3, impl=impl), init.Gamma(2.0, 0.5)
        _are_drawn_as_apart(base, key, 1, (3, 5), (4, 8), jnp.float32)


def _are_drawn_as_apart(base, key, axis, sizes, shape, dtype):
    fused = init.Parts(base, axis, sizes)
    apart = [
        base(init.path_key(key, (i,)), fused.part(shape, n), dtype) for i, n in enumerate(sizes)
    ]
    draw = functools.partial(fused, shape=shape, dtype=dtype)
    np.testing.assert_array_equal(draw(key), jnp.concatenate(apart, axis))
    np.testing.assert_array_equal(jax.vmap(draw)(key[None])[0], draw(key))


def test_parts_have_their_own_fans(key):
    made = init.Parts(init.XavierNormal(), 1, (50, 450))(key, (100, 500))
    np.testing.assert_allclose(made[:, :50].std(), (2 / 150) ** 0.5, rtol=0.05)
    np.testing.assert_allclose(made[:, 50:].std(), (2 / 550) ** 0.5, rtol=0.05)


def test_parts_that_do_not_fit(key):
    with pytest.raises(ValueError, match=r"`sizes` 4 \+ 4 must be 16 together"):
        init.Parts(init.Normal(), 1, (4, 4))(key, (6, 16))
    with pytest.raises(TypeError, match="`sizes` must be a sequence of ints or a mapping"):
        init.Parts(init.Normal(), 1, 3.5)
    with pytest.raises(ValueError, match="must name parts, each one once"):
        init.Parts(init.Normal(), 1, [("a", 1), ("a", 2)])
    with pytest.raises(ValueError, match="`axis` = 2 is no axis"):
        init.Parts(init.Normal(), 2, (3, 3))(key, (6, 16))
    with pytest.raises(TypeError, match="must be a real floating dtype .* got complex64"):
        init.Parts(init.Laplace(), 1, (8, 8))(key, (6, 16), jnp.complex64)
