"""muP: multipliers from two trees, learning rates for optax, and the coordinate check."""

from __future__ import annotations

import functools
import itertools
import math

import brainunit as u
import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import braininit as init
from braininit.models.table import moments

KEY = jax.random.key(8)
BASE, WIDE = 64, 256
M = WIDE / BASE


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def network(width):
    return {
        "embed": {"embedding": f32(100, width)},
        "positions": f32(1, 16, width),
        "in": {"kernel": f32(8, width), "bias": f32(width)},
        "norm": {"scale": f32(width)},
        "up": {"kernel": f32(width, 4 * width), "bias": f32(4 * width)},
        "down": {"kernel": f32(4 * width, width), "bias": f32(width)},
        "uneven": {"kernel": f32(width, width // 64 * width)},
        "out": {"kernel": f32(width, 10), "bias": f32(10)},
    }


INPUTS = ("embed/embedding", "positions", "in/kernel")
VECTORS = ("in/bias", "norm/scale", "up/bias", "down/bias", "out/bias")
STDS = dict.fromkeys(INPUTS + VECTORS, 1.0) | {
    "up/kernel": M**-0.5,
    "down/kernel": M**-0.5,
    "uneven/kernel": M**-0.5,
    "out/kernel": 1 / M,
}


def stds(plan):
    return {
        leaf.path: moments(choice, leaf)[1]
        for row in plan.rows
        for leaf, choice in zip(row.stack.leaves, row.choices, strict=True)
    }


def close(a, b):
    return a == pytest.approx(b, rel=1e-6)


# ---------------------------------------------------------------- the table of the paper

RULES = (
    init.Normal(0.0, 0.02),
    init.LecunNormal(),
    init.XavierUniform(),
    init.KaimingNormal(mode="fan_out"),
    init.VarianceScaling(2.0, "fan_geo_avg", fan_in=7, fan_out=9),
    init.Uniform(-1.0, 1.0),
    init.TruncatedNormal(0.0, 0.1, -0.2, 0.2),
    2.0 * init.Normal(0.0, 0.1),
)


@pytest.mark.parametrize("initializer", RULES, ids=lambda x: type(x).__name__)
def test_each_leaf_has_the_std_of_the_base_times_its_multiplier(initializer):
    rules = [(r"(embedding|kernel|positions)$", initializer), (r"", init.Normal(0.0, 0.5))]
    small = stds(init.plan(network(BASE), rules))
    same = stds(init.plan(network(BASE), init.mup(rules, network(BASE))))
    wide = stds(init.plan(network(WIDE), init.mup(rules, network(BASE))))
    for path, factor in STDS.items():
        assert close(same[path], small[path]), path
        assert close(wide[path], factor * small[path]), path


@pytest.mark.parametrize(
    "initializer",
    [
        init.Orthogonal(2.0),
        init.Orthogonal(column_axis=0),
        init.Parts(init.Orthogonal(), -1, {"a": 32, "b": 32}),
        init.Parts(init.LecunNormal(), -1, (16, 16, 32)),
        init.Parts(init.XavierNormal(), -1, (32, 32)),
        init.Mixture([init.LecunNormal(), init.Normal(0.0, 0.1)], [0.5, 0.5]),
        init.XavierNormal(in_axis=1, out_axis=0),
    ],
    ids=str,
)
def test_draws_of_hidden_weights(initializer):
    def at_base(obj):
        if not isinstance(obj, init.Parts):
            return obj
        pairs = [n if isinstance(n, tuple) else (str(i), n) for i, n in enumerate(obj.sizes)]
        return init.Parts(obj.base, -1, {name: n // 4 for name, n in pairs})

    small, wide = {"w": f32(24, 16)}, {"w": f32(96, 64)}
    rules = init.mup([("w", initializer)], small)
    own = float(init.plan(small, [("w", at_base(initializer))])(KEY)["w"].std())
    drawn = float(init.plan(wide, rules)(KEY)["w"].std())
    assert drawn * 2 == pytest.approx(own, rel=5 / math.sqrt(2 * 24 * 16))


def test_a_scaled_initializer_has_the_draws_of_the_wide_model_where_muP_has_its_std():
    rules = [(r"kernel$", init.LecunNormal()), (r"", init.Normal(0.0, 1.0))]
    own = init.plan(network(WIDE), rules)
    made = init.plan(network(WIDE), init.mup(rules, network(BASE)))
    for name in ("in", "down", "out"):
        path = f"{name}/kernel"
        assert (own.leaf(KEY, path) == made.leaf(KEY, path)).all() == (name != "out")


def test_biases_have_the_fans_of_the_base():
    rules = [(r"", init.VarianceScaling(1 / 3, "fan_in", "uniform"))]
    model = {"up": network(WIDE)["up"], "in": network(WIDE)["in"]}
    found = stds(init.plan(model, init.mup(rules, network(BASE))))
    assert close(found["up/bias"], (3 * BASE) ** -0.5)
    assert close(found["in/bias"], (3 * 8) ** -0.5)


def test_learning_rates():
    rules = init.mup([(r"", init.Normal())], network(BASE))
    adam = rules.learning_rates(network(WIDE))
    sgd = rules.learning_rates(network(WIDE), "sgd")
    assert jax.tree.structure(adam) == jax.tree.structure(network(WIDE))
    assert {type(rate) for rate in jax.tree.leaves(adam)} == {float}
    flat = lambda tree: {  # noqa: E731
        "/".join(key.key for key in path): rate for path, rate in jax.tree.leaves_with_path(tree)
    }
    hidden = ("up/kernel", "down/kernel", "uneven/kernel")
    for path, rate in flat(adam).items():
        assert rate == (1 / M if path in (*hidden, "out/kernel") else 1)
    for path, rate in flat(sgd).items():
        grown = {"out/kernel": 1 / M, "out/bias": 1, "uneven/kernel": M}
        assert rate == grown.get(path, 1 if path in hidden else M), path
    with pytest.raises(ValueError, match="'adam', 'sgd'"):
        rules.learning_rates(network(WIDE), "lion")


# ---------------------------------------------------------------- what rules may be


def test_other_right_sides():
    seen = []

    def by_leaf(leaf):
        seen.append((leaf.path, leaf.shape, leaf.fan_in, leaf.fan_out))
        return init.Normal(0.0, leaf.fan_in**-0.5)

    def model(width):
        return {
            "a": f32(width, width),
            "b": f32(width, width),
            "kept": jnp.ones((width, width)),
            "count": jax.ShapeDtypeStruct((), jnp.int32),
            "zero": f32(width, width),
            "one": f32(width),
            "const": f32(width, width),
            "named": f32(width, width),
        }

    rules = [
        ("^a$", by_leaf),
        init.Rule("nothing", init.Normal(), optional=True),
        ("^b$", jax.nn.initializers.lecun_normal()),
        ("kept", init.KEEP),
        ("count", 0),
        ("zero", init.zeros),
        ("one", init.ones),
        ("const", 0.5),
        ("named", "normal"),
    ]
    made = init.mup(rules, base=model(BASE))
    assert len(made) == len(rules)
    assert made[1].optional
    assert [rule.pattern for rule in made[:2]] == ["^a$", "nothing"]
    plan = init.plan(model(WIDE), made)
    drawn, found = plan(KEY), stds(plan)
    assert seen == [("a", (BASE, BASE), BASE, BASE)]
    assert close(found["a"], BASE**-0.5 / 2)
    assert close(found["b"], WIDE**-0.5)
    assert close(found["named"], 0.5)
    assert drawn["kept"].shape == (WIDE, WIDE)
    assert drawn["count"] == 0
    assert not drawn["zero"].any()
    assert (drawn["one"] == 1).all()
    assert (drawn["const"] == 0.25).all()
    rates = made.learning_rates(model(WIDE))
    assert (rates["count"], rates["kept"], rates["one"]) == (1, 1 / M, 1)
    # Rules of one's own stand before them.
    own = [("^a$", init.Normal()), *made[1:]]
    assert close(stds(init.plan(model(WIDE), own))["a"], 1)


def test_units():
    def model(width):
        return {"w": f32(width, width) * u.mV}

    rules = init.mup([("w", init.Normal(0.0 * u.mV, 0.2 * u.mV))], model(BASE))
    drawn = init.plan(model(WIDE), rules)(KEY)["w"]
    assert drawn.unit == u.mV
    assert float(drawn.mantissa.std()) == pytest.approx(0.1, rel=0.02)
    rates = rules.learning_rates(model(WIDE))
    assert rates == {"w": 1 / M}
    halved = jax.tree.map(lambda m, x: m * x, rates, {"w": drawn})
    assert halved["w"].unit == u.mV


def test_what_is_wrong_is_said_with_the_paths():
    small = {"a": {"w": f32(4, 4)}, "b": {"w": f32(4)}}
    wide = {"a": {"w": f32(8, 8)}, "b": {"w": f32(8, 8)}, "c": {"w": f32(8, 8), "x": f32(8)}}
    rules = init.mup([("", init.Normal())], small)
    for asked in (lambda: init.plan(wide, rules), lambda: rules.learning_rates(wide)):
        with pytest.raises(init.PlanError) as error:
            asked()
        assert "mup: the base has no such leaf: c/w, c/x" in str(error.value)
        assert "mup: the base's leaf has another number of axes: b/w" in str(error.value)
    functions = [lambda key, shape, dtype: jnp.zeros(shape, dtype), init.Identity()]
    for function in (*functions, init.Sparse(0.5)):
        rules = init.mup([("w", function)], {"w": f32(4, 4)})
        init.plan({"w": f32(4, 4)}, rules)
        with pytest.raises(init.PlanError, match=r"draws in the base is not known.*: w"):
            init.plan({"w": f32(8, 8)}, rules)
    parts = init.mup([("w", init.Parts(init.XavierNormal(), 1, (2, 6)))], {"w": f32(4, 4)})
    with pytest.raises(init.PlanError, match="several sizes"):
        init.plan({"w": f32(8, 8)}, parts)
    with pytest.raises(TypeError, match=r"rules\[0\]"):
        init.mup(["w"], small)


# ---------------------------------------------------------------- layers


def blocks(width, depth):
    return [{"w": f32(width, width), "b": f32(width)} for _ in range(depth)]


def stacked_blocks(width, depth):
    return {"w": f32(depth, width, width), "b": f32(depth, width)}


@pytest.mark.parametrize("base_depth", [2, 3, 5])
@pytest.mark.parametrize("many", [blocks, stacked_blocks])
def test_a_base_of_another_depth(many, base_depth):
    options: dict = {"layers": r"blocks/(\d+)"}
    if many is stacked_blocks:
        options["stacked"] = {"^blocks": 0}
    base, model = {"blocks": many(BASE, base_depth)}, {"blocks": many(WIDE, 3)}
    rules = init.mup([(r"w$", init.LecunNormal()), (r"b$", 0.0)], base, **options)
    found = stds(init.plan(model, rules, **options))
    for i in range(3):
        assert close(found[f"blocks/{i}/w"], WIDE**-0.5)
    assert {*jax.tree.leaves(rules.learning_rates(model))} == {1.0, 1 / M}


def test_layers_that_differ_stand_for_no_other():
    def model(width, depth):
        sizes = [8, *(width,) * (depth - 1), 4]
        return {"layers": [f32(*pair) for pair in itertools.pairwise(sizes)]}

    rules = init.mup([("", init.Normal())], model(BASE, 3), layers=r"layers/(\d+)")
    init.plan(model(WIDE, 3), rules)
    with pytest.raises(init.PlanError, match="the layers it has differ: layers/3, layers/4"):
        init.plan(model(WIDE, 5), rules, layers=r"layers/(\d+)")


# ---------------------------------------------------------------- frameworks


class Linen(nn.Module):
    width: int

    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(100, self.width)(tokens)
        x = nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x))
        x = nn.Conv(self.width, (3,))(x)
        return nn.Dense(10)(x)


class Nnx(nnx.Module):
    def __init__(self, width, rngs):
        self.embed = nnx.Embed(100, width, rngs=rngs)
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, width, rngs=rngs, decode=False)
        self.conv = nnx.Conv(width, width, (3,), rngs=rngs)
        self.dense = nnx.Linear(width, 10, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)


def in_linen(width):
    return jax.eval_shape(Linen(width).init, jax.random.key(0), jnp.zeros((1, 5), int))["params"]


def in_nnx(width):
    return nnx.eval_shape(lambda: Nnx(width, nnx.Rngs(0)))


def in_equinox(width):
    def build(key):
        keys = jax.random.split(key, 5)
        return {
            "embed": eqx.nn.Embedding(100, width, key=keys[0]),
            "attention": eqx.nn.MultiheadAttention(4, width, use_output_bias=True, key=keys[1]),
            "norm": eqx.nn.LayerNorm(width),
            "conv": eqx.nn.Conv1d(width, width, 3, key=keys[2]),
            "cell": eqx.nn.GRUCell(width, width, key=keys[3]),
            "dense": eqx.nn.Linear(width, 10, key=keys[4]),
        }

    return eqx.filter_eval_shape(build, jax.random.key(0))


def in_torch(width):
    return {
        "wte": {"weight": f32(100, width)},
        "conv": {"weight": f32(width, width, 3), "bias": f32(width)},
        "dense": {"weight": f32(10, width), "bias": f32(10)},
    }


MODELS = {
    in_linen: init.presets.flax,
    in_nnx: init.presets.flax,
    in_equinox: init.presets.equinox,
    in_torch: init.presets.torch,
}


@pytest.mark.parametrize("model", MODELS, ids=lambda f: f.__name__)
def test_models_of_frameworks(model):
    options = {"layout": "torch"} if model is in_torch else {}
    given = MODELS[model]()
    rules = init.mup(given, model(BASE), **options)
    small = stds(init.plan(model(BASE), given, **options))
    wide = stds(init.plan(model(WIDE), rules, **options))
    arrays = eqx.filter(model(WIDE), lambda x: isinstance(x, jax.ShapeDtypeStruct))
    rates = rules.learning_rates(model(WIDE) if model is in_nnx else arrays)
    assert small.keys() == wide.keys()
    for path, std in small.items():
        if std is None or not std:
            continue
        last = path.split("/")[-1]
        is_kernel = last in ("kernel", "weight") or last.startswith("weight_")
        is_table = any(name in path.lower() for name in ("emb", "wte"))
        expected = 1 / M if "ense" in path else M**-0.5
        expected = 1.0 if is_table or not is_kernel else expected
        assert close(wide[path], expected * std), path
    assert type(rates) is type(model(WIDE))
    floats = [x for x in jax.tree.leaves(rates) if isinstance(x, float)]
    assert {*floats} == {1.0, 1 / M}


# ---------------------------------------------------------------- optax


def by_width(rates):
    return optax.stateless(lambda updates, _: jax.tree.map(lambda m, x: m * x, rates, updates))


def test_an_update_of_adam():
    rules = init.mup([("", init.LecunNormal())], {"a": f32(4, 8), "b": f32(8, 8)})
    model = {"a": f32(4, 32), "b": f32(32, 32)}
    params = init.plan(model, rules)(KEY)
    optimizer = optax.chain(optax.adam(0.1), by_width(rules.learning_rates(model)))
    slope = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(slope, optimizer.init(params), params)
    np.testing.assert_allclose(updates["a"], -0.1, rtol=1e-5)
    np.testing.assert_allclose(updates["b"], -0.1 / 4, rtol=1e-5)


def test_updates_of_modules():
    """With Equinox, the rates of what is trained; with nnx, of its Params."""

    def of_equinox(width):
        return eqx.filter_eval_shape(eqx.nn.MLP, 8, 2, width, 2, key=jax.random.key(0))

    rules = init.mup(init.presets.equinox(), of_equinox(4))
    model = init.plan(of_equinox(16), rules)(KEY)
    trained = eqx.filter(model, eqx.is_inexact_array)
    rates = rules.learning_rates(trained)
    updates, _ = by_width(rates).update(trained, optax.EmptyState())
    for i, rate in enumerate((1, 1 / 4, 1 / 4)):
        np.testing.assert_allclose(updates.layers[i].weight, rate * model.layers[i].weight)
        np.testing.assert_allclose(updates.layers[i].bias, model.layers[i].bias)

    rules = init.mup(init.presets.flax(), in_nnx(8))
    wide = in_nnx(16)
    rates = nnx.state(rules.learning_rates(wide), nnx.Param)
    ones = jax.tree.map(lambda x: jnp.ones(x.shape), nnx.state(wide, nnx.Param))
    updates, _ = by_width(rates).update(ones, optax.EmptyState())
    assert (updates["attention"]["query"]["kernel"].get_value() == 0.5).all()
    assert (updates["dense"]["kernel"].get_value() == 0.5).all()
    assert (updates["embed"]["embedding"].get_value() == 1).all()


# ---------------------------------------------------------------- the coordinate check

WIDTHS = (64, 256, 1024, 4096)
INPUTS_16 = np.random.default_rng(1).normal(size=(64, 16)).astype(np.float32)


def perceptron(width):
    return {
        "0": {"w": f32(16, width), "b": f32(width)},
        "1": {"w": f32(width, width), "b": f32(width)},
        "2": {"w": f32(width, width), "b": f32(width)},
        "3": {"w": f32(width, 10), "b": f32(10)},
    }


def run_perceptron(params, x):
    """The values before each nonlinearity, and the results."""
    values = {}
    for name in "0123":
        values[name] = x @ params[name]["w"] + params[name]["b"][None]
        x = jax.nn.relu(values[name])
    return values


def transformer(width):
    block = {name: f32(width, width) for name in ("q", "k", "v", "o", "up", "down")}
    norms = {"norm1": f32(width), "norm2": f32(width), "norm3": f32(width)}
    return {"wte": f32(64, width), **block, **norms, "head": f32(width, 64)}


HEADS = 4


def run_transformer(params, tokens):
    """A block with norms before its branches, whose attention divides by the size of a head."""

    def norm(x, g):
        return g[None] * x / jnp.sqrt((x**2).mean(-1, keepdims=True))

    def split(x):
        return x.reshape(len(x), HEADS, -1)

    values = {"x": params["wte"][tokens]}
    y = norm(values["x"], params["norm1"])
    values |= {name: y @ params[name] for name in "qkv"}
    q, k, v = (split(values[name]) for name in "qkv")
    values["logits"] = jnp.einsum("ihd,jhd->hij", q, k) / q.shape[-1]
    mixed = jnp.einsum("hij,jhd->ihd", jax.nn.softmax(values["logits"]), v)
    values["mixed"] = mixed.reshape(values["x"].shape)
    values["o"] = values["mixed"] @ params["o"]
    x = values["x"] + values["o"]
    values["up"] = norm(x, params["norm2"]) @ params["up"]
    values["down"] = jax.nn.gelu(values["up"]) @ params["down"]
    values["stream"] = x + values["down"]
    values["head"] = norm(values["stream"], params["norm3"]) @ params["head"]
    return values


@functools.cache
def variances(run):
    values = jax.jit(run)
    return lambda *args: {name: np.asarray(x).var() for name, x in values(*args).items()}


def slopes(run, model, data, rules, widths):
    """Of the logarithm of each value's std over that of the width; of several narrow models."""
    found = {}
    for width in widths:
        plan, keys = (
            init.plan(model(width), rules),
            jax.random.split(jax.random.key(8), max(1, 1024 // width)),
        )
        every = [variances(run)(plan(key), data) for key in keys]
        for name in every[0]:
            found.setdefault(name, []).append(np.log(np.mean([v[name] for v in every])) / 2)
    return {name: np.polyfit(np.log(widths), stds, 1)[0] for name, stds in found.items()}


MLP_RULES = {
    "normal": [(r"w$", init.Normal(0.0, 0.02)), (r"b$", 0.0)],
    "lecun": [(r"w$", init.LecunNormal(2.0)), (r"b$", init.Normal(0.0, 0.1))],
}


@pytest.mark.parametrize(("name", "widths"), [("normal", WIDTHS), ("lecun", WIDTHS[:3])])
def test_coordinates_of_a_perceptron(name, widths):
    rules = init.mup(MLP_RULES[name], perceptron(64))
    found = slopes(run_perceptron, perceptron, INPUTS_16, rules, widths)
    results = found.pop("3")
    assert max(map(abs, found.values())) < 0.05, found
    assert results < 0.05


def test_the_check_fails_without_mup():
    found = slopes(run_perceptron, perceptron, INPUTS_16, MLP_RULES["normal"], WIDTHS[:3])
    assert found["1"] > 0.4
    assert found["2"] > 0.8
    assert found["3"] > 1.2


BLOCK_RULES = [
    (r"norm\d$", 1.0),
    (r"", init.Normal(0.0, 0.02)),
]
TOKENS = np.arange(32) * 2


def test_coordinates_of_a_transformer():
    rules = init.mup(BLOCK_RULES, transformer(64))
    found = slopes(run_transformer, transformer, TOKENS, rules, WIDTHS)
    logits, results = found.pop("logits"), found.pop("head")
    assert max(map(abs, found.values())) < 0.05, found
    assert max(logits, results) < 0.05


def test_the_check_of_a_transformer_fails_without_mup():
    found = slopes(run_transformer, transformer, TOKENS, BLOCK_RULES, WIDTHS[:3])
    assert min(found["q"], found["o"], found["up"], found["head"]) > 0.3


def moved(widths, steps=4):
    """The slopes of how far steps of Adam move each value, with and without the rates of muP."""
    rules = init.mup([(r"3/w", 0.0), *MLP_RULES["lecun"]], perceptron(64))  # the head is 0
    x, target = (jax.random.normal(jax.random.key(i), (64, n)) for i, n in ((1, 16), (2, 10)))

    def loss(params):
        return ((run_perceptron(params, x)["3"] - target) ** 2).mean()

    @jax.jit
    def changes(params, rates):
        optimizer = optax.chain(optax.adam(1e-2), by_width(rates))

        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        after = jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[0][0]
        pairs = run_perceptron(params, x), run_perceptron(after, x)
        return jax.tree.map(lambda a, b: jnp.log((b - a).std()), *pairs)

    found = ({}, {})
    for width in widths:
        params = init.plan(perceptron(width), rules)(KEY)
        rates = rules.learning_rates(perceptron(width))
        for into, each in zip(found, (rates, jax.tree.map(lambda _: 1.0, rates)), strict=True):
            for name, change in changes(params, each).items():
                into.setdefault(name, []).append(float(change))
    return [{n: np.polyfit(np.log(widths), y, 1)[0] for n, y in each.items()} for each in found]


def test_steps_of_adam_move_all_layers_as_far_at_any_width():
    with_rates, without = moved((128, 1024))
    assert max(map(abs, with_rates.values())) < 0.1, with_rates
    assert without["1"] > 0.7
