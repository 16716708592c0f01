"""Fans by what a leaf is: those that the layers' own defaults use."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import braininit as init
from braininit.models.layouts import Layout, layout_by_names

S = jax.ShapeDtypeStruct


def leaves(model, **options):
    found = {}
    init.plan(model, [(lambda leaf: found.setdefault(leaf.path, leaf) is leaf, 0.0)], **options)
    return found


def fans(model, **options):
    return {path: leaf.fans for path, leaf in leaves(model, **options).items()}


class Held(NamedTuple):
    """Parameters in an object with attributes, as in a TrainState."""

    params: Any


def fresh():
    return jax.random.key(0)


EQUINOX = {
    "linear": lambda k: eqx.nn.Linear(300, 200, key=k),
    "scalar": lambda k: eqx.nn.Linear("scalar", 200, key=k),
    "conv": lambda k: eqx.nn.Conv2d(6, 40, (3, 5), groups=2, key=k),
    "conv1d": lambda k: eqx.nn.Conv1d(6, 40, 7, key=k),
    "transpose": lambda k: eqx.nn.ConvTranspose2d(6, 40, 3, key=k),
    "attention": lambda k: eqx.nn.MultiheadAttention(4, 60, key=k, use_query_bias=True),
}


@pytest.mark.parametrize("name", EQUINOX)
def test_equinox_layers_draw_within_one_over_the_root_of_the_fan(name):
    layer = EQUINOX[name](fresh())
    for path, its in fans(layer).items():
        leaf = layer
        for part in path.split("/"):
            leaf = getattr(leaf, part)
        limit = float(jnp.abs(leaf).max()) * its[0] ** 0.5
        # Of n uniform numbers the largest is within 15/n of the bound but for e^-15.
        assert 1 - 15 / leaf.size <= limit <= 1 + 1e-6, path


@pytest.mark.parametrize(("cell", "gates"), [(eqx.nn.GRUCell, 3), (eqx.nn.LSTMCell, 4)])
def test_gates_stand_apart(cell, gates):
    model = eqx.filter_eval_shape(cell, 20, 50, key=fresh())
    its = fans(model)
    assert its["weight_ih"] == (20, 50)
    assert its["weight_hh"] == (50, 50)
    assert its["bias"] == (50, 50)  # the bias of a gate: with the recurrent kernel's fans
    rules = [("hh", init.Orthogonal()), ("ih", init.XavierNormal()), ("bias", 0.0)]
    made = init.initialize(model, rules, fresh())
    for gate in jnp.split(made.weight_hh, gates):
        np.testing.assert_allclose(gate @ gate.T, np.eye(50), atol=1e-5)
    np.testing.assert_allclose(made.weight_ih.std(), (2 / 70) ** 0.5, rtol=0.1)
    twice = init.initialize(model, [("hh", 2 * init.Orthogonal()), ("", 0.0)], fresh())
    gate = twice.weight_hh[:50]
    np.testing.assert_allclose(gate @ gate.T, 4 * np.eye(50), atol=1e-4)


def test_gates_that_a_rule_names_itself():
    model = eqx.filter_eval_shape(eqx.nn.GRUCell, 8, 16, key=fresh())
    named = init.Parts(init.Orthogonal(), 0, (16, 16, 16))
    alike = [
        init.initialize(model, [("hh", of), ("", 0.0)], fresh()).weight_hh
        for of in (named, init.Orthogonal())
    ]
    np.testing.assert_array_equal(*alike)
    assert "16, 16" in str(init.plan(model, [("hh", named), ("", 0.0)]))


def test_embeddings_and_norms():
    embed = eqx.filter_eval_shape(eqx.nn.Embedding, 1000, 64, key=fresh())
    assert fans(embed) == {"weight": (64, 1000)}
    norm = eqx.filter_eval_shape(eqx.nn.LayerNorm, (6, 5))
    assert fans(norm) == {"weight": None, "bias": None}


def test_flax_layers_have_the_fans_of_their_own_defaults():
    layers = {
        "linear": lambda: nnx.Linear(300, 200, rngs=nnx.Rngs(0)),
        "conv": lambda: nnx.Conv(6, 40, (3, 5), feature_group_count=2, rngs=nnx.Rngs(0)),
        "general": lambda: nnx.LinearGeneral((6, 50), (8, 25), axis=(-2, -1), rngs=nnx.Rngs(0)),
        "embed": lambda: nnx.Embed(1000, 100, rngs=nnx.Rngs(0)),
    }
    for name, build in layers.items():
        layer = build()
        kernel = layer.embedding if name == "embed" else layer.kernel
        its = fans(layer)["embedding" if name == "embed" else "kernel"]
        std, n = float(kernel.get_value().std()), kernel.get_value().size
        # Flax's defaults have the variance 1 / fan_in.
        np.testing.assert_allclose(std, its[0] ** -0.5, rtol=4 / (2 * n) ** 0.5, err_msg=name)
    turned = nnx.ConvTranspose(6, 40, (3,), transpose_kernel=True, rngs=nnx.Rngs(0))
    assert fans(turned)["kernel"] == (18, 120)
    attention = nnx.MultiHeadAttention(4, 64, decode=False, rngs=nnx.Rngs(0))
    assert fans(attention)["query/kernel"] == (64, 64)
    assert fans(attention)["out/kernel"] == (64, 64)


def test_linen_has_no_owners_but_attention_and_embeddings_are_known():
    class Attention(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Embed(50, 24)(x)
            return nn.MultiHeadDotProductAttention(4, use_bias=False)(nn.Conv(24, (3,))(x))

    params = jax.eval_shape(Attention().init, fresh(), jnp.ones((2, 7), int))
    its = fans(params)
    assert fans(Held(params["params"])) == its
    at = "params/MultiHeadDotProductAttention_0"
    assert its.pop("params/Embed_0/embedding") == (24, 50)
    assert its.pop("params/Conv_0/kernel") == (72, 72)
    assert its.pop("params/Conv_0/bias") == (72, 72)
    assert its == {f"{at}/{name}/kernel": (24, 24) for name in ("query", "key", "value", "out")}


def test_transposed_convolutions_of_haiku():
    def forward(x):
        flat = hk.Conv1DTranspose(40, 7)(x[:, 0])
        return hk.ConvNDTranspose(3, 40, 5)(x[:, None]), hk.Conv2DTranspose(40, 5)(x), flat

    made = hk.transform(forward)
    drawn = made.init(fresh(), jnp.ones((1, 6, 6, 8)))
    its = fans(drawn)
    assert its["conv2_d_transpose/w"] == its["conv2_d_transpose/b"] == (8 * 25, 40 * 25)
    assert fans(Held(drawn)) == {f"params/{path}": each for path, each in its.items()}
    for layer, leaves in drawn.items():
        # Haiku's defaults have the std 1 / sqrt(fan_in) before they are truncated at 2 std.
        std = its[f"{layer}/w"][0] ** -0.5 * 0.8796
        tolerance = 4 / (2 * leaves["w"].size) ** 0.5
        np.testing.assert_allclose(leaves["w"].std(), std, rtol=tolerance, err_msg=layer)


def test_layers_side_by_side_are_no_inputs():
    model = eqx.filter_eval_shape(
        eqx.filter_vmap(lambda k: eqx.nn.Linear(30, 20, key=k)), jax.random.split(fresh(), 5)
    )
    assert fans(model) == {"weight": (30, 20), "bias": (30, 20)}

    @nnx.vmap
    def build(key):
        return nnx.Linear(30, 20, rngs=nnx.Rngs(key))

    assert fans(build(jax.random.split(fresh(), 5)))["kernel"] == (30, 20)

    @nnx.vmap
    def others(key):
        rngs = nnx.Rngs(key)
        einsum = nnx.Einsum("nta,hab->nthb", (3, 20, 16), rngs=rngs)
        return nnx.List([nnx.LoRALinear(30, 20, lora_rank=4, rngs=rngs), einsum])

    its = fans(others(jax.random.split(fresh(), 5)))
    assert (its["0/lora/lora_a"], its["0/lora/lora_b"]) == ((30, 4), (4, 20))
    assert its["1/kernel"] == (60, 48)


def test_a_bias_whose_kernel_is_shared_has_the_fans_of_its_layer():
    def shared(*layers):
        return eqx.nn.Shared(layers, lambda both: both[1].weight, lambda both: both[0].weight)

    def build():
        embed, linear = eqx.nn.Embedding(50, 30, key=fresh()), eqx.nn.Linear(30, 50, key=fresh())
        conv = eqx.nn.Conv2d(6, 40, (3, 5), groups=2, key=fresh())
        return shared(embed, linear), shared(conv, conv)

    its = fans(eqx.filter_eval_shape(build))
    assert its["0/pytree/1/bias"] == its["0/pytree/0/weight"] == (30, 50)
    assert its["1/pytree/1/bias"] == its["1/pytree/0/weight"] == (45, 600)


def test_names_of_axes():
    class Experts(nn.Module):
        @nn.compact
        def __call__(self, x):
            draw = nn.with_logical_partitioning(
                nn.initializers.lecun_normal(), ("experts", "embed", "mlp")
            )
            return self.param("kernel", draw, (8, 64, 32))

    model = jax.eval_shape(Experts().init, fresh(), jnp.ones(1))
    axes = {"embed": "in", "mlp": "out", "experts": "batch"}
    assert fans(model, axes=axes) == {"params/kernel": (64, 32)}
    made = init.initialize(model, [("", init.LecunNormal())], fresh(), axes=axes)
    np.testing.assert_allclose(made["params"]["kernel"].value.std(), 64**-0.5, rtol=0.05)
    with pytest.raises(init.PlanError, match="`axes` says nothing of the axis 'experts'"):
        init.plan(model, [("", init.LecunNormal())], axes={"embed": "in", "mlp": "out"})
    with pytest.raises(init.PlanError, match=r"axes\['embed'\].* must be one of 'in'"):
        init.plan(model, [("", init.LecunNormal())], axes=dict(axes, embed="input"))
    assert layout_by_names((None, "a", ("b", "c")), {"a": "in", "b": "out", "c": "out"}) == Layout(
        (1,), (2,), ()
    )


def test_axes_of_a_rule_win(key):
    model = eqx.filter_eval_shape(eqx.nn.Linear, 300, 20, key=fresh())
    made = init.initialize(
        model, [("weight", init.LecunNormal(out_axis=0, in_axis=-1)), ("", 0)], key
    )
    given = init.LecunNormal(in_axis=-1, out_axis=0)
    its = init.path_key(key, "weight")
    np.testing.assert_array_equal(made.weight, given(its, (20, 300), jnp.float32))
    inward = init.LecunNormal(in_axis=(-2,))  # written so, JAX's axes are a rule's own too
    made = init.initialize(model, [("weight", inward), ("", 0)], key)
    np.testing.assert_allclose(made.weight.std(), 20**-0.5, rtol=0.05)


def test_a_bias_has_the_fans_of_its_kernel(key):
    model = {"a": {"kernel": S((100, 4000), jnp.float32), "bias": S((4000,), jnp.float32)}}
    rule = init.VarianceScaling(1 / 3, "fan_in", "uniform")
    made = init.initialize(model, [("", rule)], key)["a"]
    assert 0.099 < float(jnp.abs(made["bias"]).max()) <= 0.1
    out = init.initialize(model, [("", init.XavierNormal())], key)["a"]
    np.testing.assert_allclose(out["bias"].std(), (2 / 4100) ** 0.5, rtol=0.1)


def test_layouts_by_pattern(key):
    model = {"a": {"w": S((200, 30), jnp.float32)}, "b": {"w": S((200, 30), jnp.float32)}}
    assert fans(model, layout="torch") == {"a/w": (30, 200), "b/w": (30, 200)}
    assert fans(model, layout=[("^a", "torch")]) == {"a/w": (30, 200), "b/w": (200, 30)}
    with pytest.raises(ValueError, match="`layout` must be one of 'jax', 'torch', got 'keras'"):
        init.plan(model, [("", 0.0)], layout="keras")


@pytest.mark.parametrize(
    "made", [jax.nn.initializers.he_normal(), jax.nn.initializers.orthogonal()]
)
def test_initializers_of_jax(made, key):
    model = eqx.filter_eval_shape(eqx.nn.Linear, 300, 20, key=fresh())
    weight = init.initialize(model, [("weight", made), ("", 0.0)], key).weight
    if "orthogonal" in repr(made):
        np.testing.assert_allclose(weight @ weight.T, np.eye(20), atol=1e-5)
    else:
        np.testing.assert_allclose(weight.std(), (2 / 300) ** 0.5, rtol=0.05)


@pytest.mark.parametrize(
    "of", [init.Normal, init.KaimingNormal, init.Orthogonal, init.LecunUniform], ids=str
)
def test_convolutions_of_equinox_are_orthogonal_over_their_outputs(of, key):
    model = eqx.filter_eval_shape(eqx.nn.Conv2d, 3, 8, 3, key=fresh())
    weight = init.initialize(model, [("weight", of()), ("", 0.0)], key).weight
    flat = weight.reshape(8, 27)
    if of is init.Orthogonal:
        np.testing.assert_allclose(flat @ flat.T, np.eye(8), atol=1e-5)
    elif of is not init.Normal:
        variance = {"KaimingNormal": 2 / 27, "LecunUniform": 1 / 27}[of.__name__]
        np.testing.assert_allclose(weight.var(), variance, rtol=0.4)
