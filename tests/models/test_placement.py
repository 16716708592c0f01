"""Leaves in their places: the same bits on any mesh, nothing communicated, all said or an error."""

from __future__ import annotations

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import braininit as init
from braininit.models import draws

P = PartitionSpec
S = jax.ShapeDtypeStruct
SHAPE = (12, 24)
BY_BOTH = P("a", "b")
INITIALIZERS = {
    "normal": init.Normal(0.1, 0.02),
    "fans": init.LecunNormal(),
    "gamma": init.Gamma(2.0, 1.0),
    "composed": 2 * init.XavierUniform() + 1.0,
    "mixture": init.Mixture([init.Normal(), init.Exponential()]),
    "orthogonal": init.Orthogonal(),
    "sparse": init.Sparse(0.5),
    "dale": init.Dale(init.Exponential(), excitatory=0.75, balance="exact"),
    "parts": init.Parts(init.Orthogonal(), 1, (12, 12)),
    "parts alike": init.Parts(init.LecunNormal(), 1, (12, 6, 6)),
    "parts along rows": 2 * init.Parts(init.LecunNormal(), 0, {"q": 4, "kv": 8}),
    "conditional": init.Conditional([0.5, 0.5], init.Normal(), init.Exponential(), 0),
    "of JAX": jax.nn.initializers.truncated_normal(0.02),
    "orthogonal of JAX": jax.nn.initializers.orthogonal(),
    "constant": 2.5,
}
SOME = ("normal", "fans", "composed", "orthogonal", "of JAX")  # a program each, on every mesh


def planned(names, **options):
    rules = [(f"^{name}$", INITIALIZERS[name]) for name in names]
    return init.plan({name: S(SHAPE, jnp.float32) for name in names}, rules, **options)


MESHES = {
    "two": ((2,), P("a")),
    "three": ((3,), P("a")),
    "four": ((4,), P(None, "a")),
    "eight": ((8,), P(None, "a")),
    "grid": ((2, 4), P("a", "b")),
    "uneven grid": ((3, 2), P("b", "a")),
    "both on one axis": ((2, 4), P(None, ("b", "a"))),
    "replicated": ((8,), P()),
}


def mesh_of(shape, kind=AxisType.Auto):
    devices = np.array(jax.devices()[: np.prod(shape)]).reshape(shape)
    return Mesh(devices, ("a", "b")[: len(shape)], axis_types=(kind,) * len(shape))


@pytest.fixture(scope="module")
def whole():
    return planned(INITIALIZERS)(jax.random.key(5))


@pytest.mark.parametrize("name", MESHES)
def test_the_same_bits_on_any_mesh(name, whole):
    shape, spec = MESHES[name]
    mesh = mesh_of(shape)
    plan = planned(INITIALIZERS if name == "grid" else SOME, shardings=spec, mesh=mesh)
    made = plan(jax.random.key(5))
    for leaf, x in made.items():
        assert x.sharding.is_equivalent_to(NamedSharding(mesh, spec), 2), leaf
        np.testing.assert_array_equal(x, whole[leaf], err_msg=leaf)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_meshes_that_are_set(kind, whole):
    with jax.set_mesh(mesh_of((2, 4), kind)):
        plan = planned(SOME, shardings=P("a", "b"))
        eager = plan(jax.random.key(5))
        compiled = jax.jit(plan)(jax.random.key(5))
        for made in (eager, compiled):
            for leaf, x in made.items():
                assert x.sharding.spec == P("a", "b"), leaf
                np.testing.assert_array_equal(x, whole[leaf], err_msg=leaf)


def test_devices_do_not_talk():
    plan = planned(INITIALIZERS, shardings=P("a", "b"), mesh=mesh_of((2, 4)))
    for row in plan.rows:
        leaf, choice, place = row.stack.leaves[0], row.choices[0], row.sharding
        draw = jax.jit(functools.partial(draws.draw_leaf, choice, leaf, sharding=place))
        if "JAX" in leaf.path:
            draw = draws._foreign(choice.initializer, SHAPE, leaf.dtype, place, "threefry2x32")
        text = draw.lower(np.zeros(2, np.uint32)).compile().as_text()
        assert "f32[6,6]" in text, leaf.path  # one device's part
        assert not re.search(draws._COMMUNICATES, text), leaf.path
    assert re.search(draws._COMMUNICATES, "x = all-gather(y)")


@pytest.mark.parametrize("name", ["normal", "fans", "gamma", "composed", "mixture", "conditional"])
def test_a_device_needs_the_memory_of_its_part(name):
    assert beside_its_part(INITIALIZERS[name], (768, 1024)) < 0.01


def test_the_parts_of_a_kernel_are_whole_along_their_axis_alone():
    kernel = init.Parts(init.LecunNormal(), 0, (256, 512))
    assert beside_its_part(kernel, (768, 1024)) < 4.5  # two devices share the rows: both halves
    assert beside_its_part(kernel, (768, 1024), P(None, "b")) < 1.5
    alike = init.Parts(init.LecunNormal(), 1, (512, 256, 256))  # of the same fans
    for spec in (BY_BOTH, P(None, "b"), P(None, ("a", "b"))):
        assert beside_its_part(alike, (768, 1024), spec) < 0.01


def beside_its_part(initializer, shape, spec=BY_BOTH):
    """The memory of a draw on a device beside its part, in parts."""
    plan = init.plan(
        {"w": S(shape, jnp.float32)}, [("", initializer)], shardings=spec, mesh=mesh_of((2, 4))
    )
    (row,) = plan.rows
    draw = functools.partial(
        draws.draw_leaf, row.choices[0], row.stack.leaves[0], sharding=row.sharding
    )
    memory = jax.jit(draw).lower(np.zeros(2, np.uint32)).compile().memory_analysis()
    return memory.temp_size_in_bytes / memory.output_size_in_bytes


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("name", ["by layer", "orthogonal", "parts of other fans"])
def test_layers_on_devices_that_share_them(name, kind):
    rules = {
        "by layer": lambda leaf: init.TruncatedNormal(0.0, 1 / (leaf.layer + 1), -1.0, 2.0),
        "orthogonal": init.Orthogonal(),
        "parts of other fans": init.Parts(init.XavierNormal(), -1, (64, 32)),
    }
    shape = (8, 32, 96) if name.startswith("parts") else (8, 6, 4)
    tree, rule = {"blocks": {"w": S(shape, jnp.float32)}}, [("", rules[name])]
    options = {"layers": r"blocks/(\d+)", "stacked": {"^blocks": 0}}
    one = init.initialize(tree, rule, jax.random.key(5), **options)["blocks"]["w"]
    for spec in (P("a"), P(("a", "b")), P("a", "b"), P(None, "a", "b"), P("b", None, "a")):
        mesh = mesh_of((2, 2) if spec != P("a", "b") else (4, 2), kind)
        plan = init.plan(tree, rule, shardings=spec, mesh=mesh, **options)
        its = plan(jax.random.key(5))["blocks"]["w"]
        assert its.sharding.spec == spec
        np.testing.assert_array_equal(its, one, err_msg=str(spec))


# ---------------------------------------------------------------- ways to say it


def test_rules_a_tree_one_for_all_and_the_leaf_itself(key):
    model = {"kernel": S((8, 16), jnp.float32), "bias": S((16,), jnp.float32)}
    mesh, rules = mesh_of((2, 4)), [("", init.Normal())]
    split, all_ = NamedSharding(mesh, P(None, "b")), NamedSharding(mesh, P())
    ways = [
        [("kernel", P(None, "b")), ("", P())],
        [("kernel", split), ("", P())],
        {"kernel": P(None, "b"), "bias": P()},
        {"kernel": split, "bias": all_},
    ]
    for way in ways:
        made = init.initialize(model, rules, jax.random.clone(key), shardings=way, mesh=mesh)
        assert made["kernel"].sharding == split, way
        assert made["bias"].sharding == all_, way
    own = {"kernel": S((8, 16), jnp.float32, sharding=split), "bias": model["bias"]}
    made = init.initialize(own, rules, jax.random.clone(key))
    assert made["kernel"].sharding == split
    again = init.initialize(made, rules, jax.random.clone(key))  # where it was
    assert again["kernel"].sharding == split


def test_fsdp():
    mesh = mesh_of((2, 4))
    model = {
        "wide": S((8, 1024), jnp.float32),
        "tall": S((1024, 6), jnp.float32),
        "small": S((8,), jnp.float32),
        "both": S((512, 512), jnp.float32),
    }
    plan = init.plan(model, [("", 0.0)], shardings=init.fsdp("b", min_bytes=1024), mesh=mesh)
    specs = {row.stack.path: row.sharding.spec for row in plan.rows}
    assert specs == {"wide": P(None, "b"), "tall": P("b"), "small": P(), "both": P("b")}
    both = init.plan(model, [("", 0.0)], shardings=init.fsdp(("a", "b"), 2**10), mesh=mesh)
    assert both.rows[0].sharding.spec == P(("a", "b"))
    lines = {line.split()[0]: line for line in str(plan).splitlines()}
    assert "32 KiB" in lines["wide"]
    assert "8 KiB" in lines["wide"]


def test_names_of_axes(key):
    class Dense(nn.Module):
        @nn.compact
        def __call__(self, x):
            named = nn.with_partitioning(nn.initializers.lecun_normal(), ("embed", "mlp"))
            return nn.Dense(16, kernel_init=named)(x)

    model = jax.eval_shape(Dense().init, key, jnp.ones((2, 8)))
    mesh = mesh_of((2, 4))
    options = {"mesh": mesh, "shardings": {"embed": None, "mlp": "b"}}
    made = init.initialize(model, [("", init.Normal())], jax.random.clone(key), **options)
    assert made["params"]["Dense_0"]["kernel"].value.sharding.spec == P(None, "b")
    with pytest.raises(init.PlanError, match="nothing is said of the axis 'mlp'"):
        init.plan(model, [("", 0.0)], mesh=mesh, shardings={"embed": None})


def test_names_of_the_mesh_in_nnx(key):
    mesh = mesh_of((2, 4))
    with jax.set_mesh(mesh):
        named = nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "b"))
        model = nnx.eval_shape(lambda: nnx.Linear(8, 16, kernel_init=named, rngs=nnx.Rngs(0)))
        made = init.initialize(model, [("", init.Normal())], key)
    assert made.kernel.get_value().sharding.spec == P(None, "b")


WRONG = [
    ([("w", P("a"))], "no rule for these leaves"),
    ([("w", P("a")), ("v", P("x"))], "the mesh has no axis 'x', only 'a', 'b'"),
    ([("w", P("a", None, "b")), ("", P())], "has more axes than the shape"),
    ([("w", P(None, "b")), ("", P())], "axis 1 of (4, 6) is not divided by the 4 devices of 'b'"),
    ([("w", P("a", "a")), ("", P())], "shardings"),
    ([("w", P()), ("z", P()), ("", P())], "the rule 'z' is used for no leaf"),
    ([("w", "a"), ("", P())], "is no PartitionSpec, NamedSharding or fsdp()"),
    ({"w": P()}, "the tree lacks these leaves: v"),
    ({"w": P(), "v": P(), "z": P()}, "the tree has leaves that the model has not: z"),
    ({"embed": "a"}, "no leaf has an axis called 'embed'"),
    (init.fsdp("x"), "the mesh has no axis 'x'"),
]


@pytest.mark.parametrize(("shardings", "text"), WRONG, ids=[text[:25] for _, text in WRONG])
def test_what_can_not_be_placed(shardings, text):
    model = {"w": S((4, 6), jnp.float32), "v": S((3, 5), jnp.float32)}
    with pytest.raises(init.PlanError, match=re.escape(text)):
        init.plan(model, [("", 0.0)], shardings=shardings, mesh=mesh_of((2, 4)))


def test_a_leaf_too_large_to_be_on_every_device():
    model = {"w": S((7, 9), jnp.float32)}
    options = {"shardings": init.fsdp("a", min_bytes=0), "mesh": mesh_of((2,))}
    with pytest.raises(init.PlanError, match=r"2 devices divide no axis of \(7, 9\).*: w"):
        init.plan(model, [("", 0.0)], **options)


def test_a_name_for_a_sharding():
    with pytest.raises(TypeError, match=r"write init.fsdp\('a'\) or PartitionSpec\('a'\)"):
        init.plan({"w": jnp.ones(4)}, [("", 0.0)], shardings="a", mesh=mesh_of((2,)))


def test_keys_have_a_place(key):
    model = nnx.eval_shape(lambda: nnx.Dropout(0.5, rngs=nnx.Rngs(0)))
    rules = [(nnx.RngKey, lambda key, shape, dtype: key), (nnx.RngCount, 0)]
    made = init.initialize(model, rules, key, shardings=P(), mesh=mesh_of((2,)))
    assert len(made.rngs.key.get_value().devices()) == 2


def test_a_spec_without_a_mesh():
    with pytest.raises(init.PlanError, match="there is no mesh; pass mesh="):
        init.plan({"w": jnp.ones(4)}, [("", 0.0)], shardings=P("a"))
