"""Models of every framework: the same type comes back, with what no rule draws untouched."""

from __future__ import annotations

import brainstate
import brainunit as u
import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import braininit as init
from braininit.models.trees import open_model

RULES = [
    (r"^opt_state|count|^step", 0),
    (r"kernel|weight$|w$|embedding|weight_", init.Normal(0.0, 0.02)),
    (r"bias|b$|shift", init.zeros),
    (r"scale", init.ones),
]


def paths(model):
    return ["/".join(place.parts) for place in open_model(model).places]


class Block(nnx.Module):
    def __init__(self, width, rngs):
        self.attention = nnx.MultiHeadAttention(2, width, decode=False, rngs=rngs)
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)


class Network(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(10, 4, rngs=rngs)
        self.blocks = nnx.List([Block(4, rngs) for _ in range(2)])
        self.head = self.embed
        self.again = self.embed.embedding


@pytest.fixture(scope="module")
def network():
    return nnx.eval_shape(lambda: Network(nnx.Rngs(0)))


NNX = [(nnx.RngKey, lambda key, shape, dtype: key), (nnx.RngCount, 0), *RULES[1:]]


def test_nnx(network, key):
    made = init.initialize(network, NNX, key)
    assert type(made) is Network
    assert made.head is made.embed
    assert made.again is made.embed.embedding
    kernel = made.blocks[1].attention.query.kernel
    assert isinstance(kernel, nnx.Param)
    assert 0.01 < float(kernel.get_value().std()) < 0.03
    assert float(made.blocks[0].norm.scale.get_value().min()) == 1
    out = made.blocks[0].drop(made.blocks[0].norm(jnp.ones((3, 4))))  # its stream has a key
    assert out.shape == (3, 4)
    assert isinstance(network.embed.embedding.get_value(), jax.ShapeDtypeStruct)  # as it was


def test_nnx_by_the_class_of_a_variable_or_of_an_owner(network, key):
    rules = [(nnx.RngState, init.KEEP), (nnx.LayerNorm, 5.0), (nnx.Param, init.Normal())]
    made = init.initialize(network, rules, key)
    assert float(made.blocks[0].norm.bias.get_value()[0]) == 5
    assert isinstance(made.blocks[0].drop.rngs.key.get_value(), jax.ShapeDtypeStruct)


def test_nnx_states_and_several_modules(network, key):
    whole = init.initialize(network, NNX, key)
    rules = [("again", init.Normal(0.0, 0.02)), *NNX]  # a State does not know what is tied
    state = init.initialize(nnx.state(network), rules, key)
    assert type(state) is nnx.State
    jax.tree.map(
        np.testing.assert_array_equal,
        *(nnx.filter_state(s, nnx.Param) for s in (state, nnx.state(whole))),
    )
    pair = (network, {"scale": jax.ShapeDtypeStruct((2,), jnp.float32)})
    first, second = init.initialize(pair, NNX, key)
    assert type(first) is Network
    assert second["scale"].tolist() == [1, 1]


def test_nnx_optimizer(key):
    made = nnx.Optimizer(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), optax.adam(1e-3), wrt=nnx.Param)
    again = init.initialize(made, [(r"^opt_state/0/mu", 7.0), (r"", 0)], key)
    assert type(again) is nnx.Optimizer
    assert again.opt_state[0].mu["kernel"].get_value().tolist() == [[7, 7]] * 3


def test_arrays_that_nnx_loses_are_refused(key):
    class Tables(nnx.Module):
        def __init__(self):
            self.mask = jnp.ones(3)
            self.tables = nnx.data([jnp.ones(2)])
            self.marked = nnx.data(jnp.ones(2))
            self.layers = nnx.data([nnx.Linear(2, 2, rngs=nnx.Rngs(0))])
            self.of = jax.ShapeDtypeStruct((2,), jnp.float32)

    made = init.initialize(Tables(), [("", 5.0)], key)
    assert made.mask.tolist() == [5, 5, 5]
    assert made.tables[0].tolist() == made.marked.tolist() == [5, 5]
    assert made.of == Tables().of
    with pytest.raises(ValueError, match=r"no Variable: .*mask.*; write nnx.Variable") as caught:
        init.plan({"net": nnx.eval_shape(Tables)}, [("", 5.0)])
    assert "net/tables" in str(caught.value)
    assert not any(f"net/{name}" in str(caught.value) for name in ("marked", "of", "layers"))
    build = lambda key: init.initialize(Tables(), [("", 5.0)], key).marked  # noqa: E731
    assert jax.jit(build)(jax.random.clone(key)).tolist() == [5, 5]


def test_nnx_in_jit_and_vmap(network, key):
    plan = init.plan(network, NNX)
    eager = nnx.state(plan(key), nnx.Param)
    compiled = jax.jit(lambda key: nnx.state(plan(key), nnx.Param))(key)
    jax.tree.map(np.testing.assert_array_equal, eager, compiled)
    several = jax.vmap(lambda key: nnx.state(plan(key), nnx.Param))(jax.random.split(key, 3))
    assert several["again"].get_value().shape == (3, 10, 4)


class Dense(nn.Module):
    @nn.compact
    def __call__(self, x):
        named = nn.with_partitioning(nn.initializers.lecun_normal(), ("embed", "mlp"))
        x = nn.Dense(5, kernel_init=named)(x)
        return nn.Dense(3)(x)


def test_linen_with_boxes(key):
    model = jax.eval_shape(Dense().init, key, jnp.ones((2, 4)))
    assert paths(model)[1] == "params/Dense_0/kernel"
    made = init.initialize(model, RULES[1:3], key)
    box = made["params"]["Dense_0"]["kernel"]
    assert isinstance(box, nn.Partitioned)
    assert box.names == ("embed", "mlp")
    assert box.value.shape == (4, 5)
    assert Dense().apply(made, jnp.ones((2, 4))).shape == (2, 3)


def test_a_whole_train_state(key):
    def build():
        params = Dense().init(key, jnp.ones((2, 4)))["params"]
        return TrainState.create(apply_fn=Dense().apply, params=params, tx=optax.adam(1e-3))

    made = init.initialize(jax.eval_shape(build), RULES[:3], key)
    assert type(made) is TrainState
    assert int(made.step) == 0
    assert made.opt_state[0].count.dtype == jnp.int32
    grads = jax.tree.map(jnp.ones_like, made.params)
    assert int(made.apply_gradients(grads=grads).step) == 1


def trained():
    """Models beside the states of their optimizers."""
    key = jax.random.key(0)
    adam = optax.chain(optax.clip(1.0), optax.adamw(1e-3))
    params = Dense().init(key, jnp.ones((2, 4)))["params"]
    mlp = eqx.nn.MLP(3, 4, 5, 1, key=jax.random.key(1))
    linear = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    return {
        "linen": TrainState.create(apply_fn=Dense().apply, params=params, tx=adam),
        "equinox": {"model": mlp, "opt_state": adam.init(eqx.filter(mlp, eqx.is_array))},
        "nnx": nnx.ModelAndOptimizer(linear, adam, wrt=nnx.Param),
        "masked": optax.masked(adam, {"kernel": True}).init({"kernel": jnp.ones((2, 2))}),
    }


WEIGHTS = r"kernel$|weight$"
FOR_PARAMETERS = {
    "path": (WEIGHTS, init.Normal()),
    "path of all": ("", init.Normal()),
    "number": (WEIGHTS, 1.0),
    "function of JAX": (WEIGHTS, jax.nn.initializers.normal()),
    "function of the leaf": (WEIGHTS, lambda leaf: init.Normal()),
    "predicate": (lambda leaf: leaf.ndim == 2, init.Normal()),
}


@pytest.mark.parametrize("name", ["linen", "equinox", "nnx", "masked"])
def test_rules_for_parameters_leave_the_states_of_optimizers(name):
    """A moment drawn as its kernel is, half of them below 0, would make the first step NaN."""
    model = trained()[name]
    moments = [p for p in paths(model) if "/mu/" in p or "/nu/" in p]
    drawn = [p for p in moments if not p.endswith("bias")]
    assert drawn
    rest = ("", 0, True)
    for kind, rule in FOR_PARAMETERS.items():
        with pytest.raises(ValueError, match=r"optimizer's state.*'\^opt_state', 0.0") as caught:
            init.plan(model, [(r"count|step", 0), rule, rest])
        assert all(path in str(caught.value) for path in drawn), kind
    for pattern in ("^(.*/)?(opt_state|inner_state)/", r"(^|/)[mn]u/"):
        for value in (0.0, 0.25, init.KEEP, jax.nn.initializers.zeros):
            init.plan(model, [(r"count|step", 0), (pattern, value), (WEIGHTS, 1.0, True), rest])


def test_the_state_of_an_optimizer_in_one_of_brainstate():
    class Trained(brainstate.nn.Module):
        def __init__(self):
            super().__init__()
            params = {"w": jnp.ones((3, 2))}
            self.weights = brainstate.ParamState(params)
            self.moments = brainstate.ShortTermState(optax.adam(1e-3).init(params))

    rules = [(r"count", 0), (r"w$", init.Normal())]
    with pytest.raises(ValueError, match="optimizer's state") as caught:
        init.plan(Trained(), rules)
    assert "moments/0/nu/w" in str(caught.value)
    assert "weights" not in str(caught.value)
    assert len(init.plan(Trained(), [(r"^moments", 0), rules[1]])) == 4


def test_a_class_of_optax_is_a_rule_for_its_state(key):
    class_rule = (optax.ScaleByAdamState, 0.25)
    rules = [(r"count|step", 0), class_rule, (WEIGHTS, init.Normal()), ("", 0.0)]
    made = init.initialize(trained()["linen"], rules, key)
    assert made.opt_state[1][0].nu["Dense_1"]["kernel"].tolist() == [[0.25] * 3] * 5
    with pytest.raises(ValueError, match="optimizer's state"):
        init.plan(trained()["equinox"], [(eqx.nn.Linear, init.Normal()), ("", 0)])


def test_equinox(key):
    def build(key):
        return eqx.nn.MLP(3, 2, 8, 2, key=key)

    model = eqx.filter_eval_shape(build, key)
    made = init.initialize(model, RULES[1:3], key)
    assert type(made) is eqx.nn.MLP
    assert made.activation is model.activation
    assert jax.vmap(made)(jnp.ones((5, 3))).shape == (5, 2)
    rules = [(eqx.nn.Linear, init.Normal())]
    drawn = init.initialize(build(key), rules, key)  # of concrete values, by the owner
    assert float(jnp.std(drawn.layers[1].weight)) > 0.5


def test_haiku(key):
    forward = hk.transform(lambda x: hk.nets.MLP([3, 4])(x))
    model = jax.eval_shape(forward.init, key, jnp.ones((2, 3)))
    assert paths(model)[0] == "mlp/~/linear_0/b"
    made = init.initialize(model, RULES[1:3], key)
    assert made.keys() == model.keys()
    assert forward.apply(made, None, jnp.ones((2, 3))).shape == (2, 4)


def test_brainstate_modules_and_states(key):
    model = brainstate.nn.Sequential(brainstate.nn.Linear(3, 4), brainstate.nn.Linear(4, 2))
    before = np.asarray(model.layers[0].weight.value["weight"])
    made = init.initialize(model, RULES[1:3], key)
    assert type(made) is type(model)
    drawn = made.layers[0].weight.value["weight"]
    assert 0 < float(jnp.abs(drawn).max()) < 0.2
    np.testing.assert_array_equal(model.layers[0].weight.value["weight"], before)
    states = init.initialize(model.states(), RULES[1:3], key)
    assert type(states) is type(model.states())
    of_first = states["layers", 0, "weight"]
    assert isinstance(of_first, brainstate.ParamState)
    np.testing.assert_array_equal(of_first.value["weight"], drawn)


def test_units_and_what_is_no_array(key):
    model = {
        "g": u.Quantity(jax.ShapeDtypeStruct((500,), jnp.float32), unit=u.mS),
        "v": jnp.ones(3) * u.mV,
        "name": "cell",
        "count": jax.ShapeDtypeStruct((2,), jnp.int32),
        "live": np.zeros(2, bool),
        "none": None,
        "half": jax.ShapeDtypeStruct((4,), jnp.bfloat16),
    }
    rules = [
        ("g", init.Normal(5 * u.nS, 1 * u.nS)),
        ("^v", 0),
        ("count", 3),
        ("live", 1),
        ("", 1.0),
    ]
    made = init.initialize(model, rules, key)
    assert made["g"].unit == u.mS
    assert 4.5 < float(made["g"].to_decimal(u.nS).mean()) < 5.5
    assert made["v"].unit == u.mV
    assert made["v"].to_decimal(u.mV).tolist() == [0, 0, 0]
    assert made["count"].tolist() == [3, 3]
    assert made["count"].dtype == jnp.int32
    assert made["live"].tolist() == [True, True]
    assert (made["name"], made["none"], made["half"].dtype) == ("cell", None, jnp.bfloat16)


def test_numbers_are_leaves_where_they_have_a_unit(key):
    model = {"v": 0.5 * u.mV, "n": 3 * u.mV, "plain": 0.5, "flag": True, "np": np.float32(2)}
    rules = [("v", init.Normal(1 * u.volt, 1 * u.mV)), ("n$", init.KEEP), ("np", 7)]
    plan = init.plan(model, rules)
    assert [row.stack.path for row in plan.rows] == ["n", "np", "v"]
    made = plan(key)
    abstract = jax.eval_shape(lambda: {"v": 0.5 * u.mV})
    same = init.initialize(abstract, rules[:1], jax.random.clone(key))
    assert made["v"].mantissa == same["v"].mantissa == plan.leaf(key, "v").mantissa
    assert 990 < float(made["v"].mantissa) < 1010
    assert (made["v"].unit, made["v"].dtype) == (u.mV, jnp.float32)
    assert made["n"] is model["n"]
    assert (made["plain"], made["flag"], int(made["np"])) == (0.5, True, 7)
    assert str(plan).splitlines()[3].split()[:4] == ["v", "()", "float32", "mV"]
    text = str(plan).splitlines()[-1]
    assert text.split()[:4] == ["3", "leaves", "3", "16"]  # what is kept is NumPy's, of 8 bytes
    with pytest.raises(init.PlanError, match="no rule matches: n, np$"):
        init.plan(model, rules[:1])
    with pytest.raises(init.PlanError, match="floats, not int32; .* let the leaf have floats: n"):
        init.plan(model, [("n$", init.Normal(1 * u.mV, 1 * u.mV)), ("", init.KEEP)])


def test_numbers_in_variables_are_leaves(key):
    class Scaled(nnx.Module):
        def __init__(self):
            self.count, self.gain = nnx.Variable(0), nnx.Param(0.5)
            self.rest, self.plain = nnx.Param(0.5 * u.mV), 0.5

    rules = [("count", 0), ("gain", init.Normal()), ("rest", init.Normal(-70 * u.mV, 1 * u.mV))]
    made, other = (
        init.initialize(model, rules, jax.random.clone(key))
        for model in (Scaled(), nnx.eval_shape(Scaled))
    )
    assert made.gain.get_value() == other.gain.get_value() != 0.5
    assert made.rest.get_value().mantissa == other.rest.get_value().mantissa < -60
    assert (made.count.get_value().dtype, made.plain) == (jnp.int32, 0.5)
    kept = init.initialize(Scaled(), [("", init.KEEP)], key)
    assert type(kept.gain.get_value()) is float

    class Neuron(brainstate.nn.Module):
        def __init__(self):
            super().__init__()
            self.g, self.rest = brainstate.ParamState(0.5 * u.mS), -65 * u.mV

    neuron = init.initialize(Neuron(), [("g", init.Uniform(1 * u.mS, 2 * u.mS))], key)
    assert 1 < float(neuron.g.value / u.mS) < 2
    assert neuron.rest == -65 * u.mV


def test_equal_constants_have_memory_of_their_own(key):
    """So that a training step may be given all of it."""
    shapes = [jax.ShapeDtypeStruct((4,), kind) for kind in (jnp.float32, jnp.int8, bool) * 3]
    model = {"a": shapes, "v": [jnp.ones(4) * u.volt] * 2}
    plan = init.plan(model, [("^v", init.Constant(500.0 * u.mV)), ("", 1.0)])
    params = plan(key)
    assert len({x.unsafe_buffer_pointer() for x in jax.tree.leaves(params)}) == 11
    assert {str(x) for x in params["v"]} == {"[0.5 0.5 0.5 0.5] V"}
    same = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), donate_argnums=0)(params)
    for before, after in zip(jax.tree.leaves(plan(key)), jax.tree.leaves(same), strict=True):
        assert before.dtype == after.dtype
        assert (before == after).all()


def test_one_array_is_a_model(key):
    made = init.initialize(jax.ShapeDtypeStruct((3,), jnp.float32), [("", init.Normal())], key)
    np.testing.assert_array_equal(made, init.Normal()(init.path_key(key, ""), (3,), jnp.float32))


def test_nothing_of_a_framework_is_imported():
    import subprocess
    import sys

    code = (
        "import jax, jax.numpy as jnp, sys, braininit as init;"
        "init.initialize({'w': jnp.ones(3)}, [('w', init.Normal())], jax.random.key(0));"
        "print([m for m in ('flax', 'equinox', 'haiku', 'brainstate') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
