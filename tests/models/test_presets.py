"""Presets give what they promise: the layers of each library its own values, models their std."""

from __future__ import annotations

import itertools
import math

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

import braininit as init
from braininit import presets
from braininit.models.table import moments
from braininit.models.trees import open_model

FALSE_ALARM = 1e-6
KEY = jax.random.key(3)
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""To build a library's layers in half the time; as their keys, of `rbg`, are for."""


def leaves(model):
    """The numbers of a model by their paths, without keys."""
    return {
        "/".join(place.parts): np.asarray(place.value)
        for place in open_model(model).places
        if not jnp.issubdtype(place.value.dtype, jax.dtypes.prng_key)
    }


def agree(own, drawn, std=None):
    """Whether two arrays are draws of one distribution: constants exactly, others by statistics.

    `std` is the one that the distribution is said to have.
    """
    assert own.shape == drawn.shape
    if own.dtype.kind == "c":
        both = zip((own.real, own.imag), (drawn.real, drawn.imag), strict=True)
        return all(agree(*parts) for parts in both)
    if any(len({*x.ravel().tolist()}) < 3 for x in (own, drawn)):
        return np.array_equal(own, drawn)
    if is_orthogonal(own) or is_orthogonal(drawn):
        return is_orthogonal(own) and is_orthogonal(drawn)
    # The logarithm of a normal's sample std has a std of 1 / sqrt(2 n), of a uniform's less.
    far = np.sqrt(2 * own.size) * abs(np.log(own.std() / std)) if std and own.size > 100 else 0
    same = stats.ks_2samp(own.ravel(), drawn.ravel()).pvalue
    return 2 * stats.norm.sf(far) > FALSE_ALARM and same > FALSE_ALARM


def is_orthogonal(x):
    x = x.reshape(-1, x.shape[-1]).astype(float)
    gram = x @ x.T if len(x) < len(x.T) else x.T @ x
    return np.allclose(gram, np.eye(len(gram)), atol=1e-5)


def disagreements(model, rules, abstract=None, **options):
    """The leaves of a library's own model that are not as a preset draws them."""
    plan = init.plan(model if abstract is None else abstract, rules, **options)
    drawn, own = leaves(plan(KEY)), leaves(model)
    rows = {row.stack.path: row for row in plan.rows if not row.kept}
    rows = {path: row for path, row in rows.items() if "rngs" not in path}
    assert own.keys() == drawn.keys() >= rows.keys()
    said = {p: moments(row.choices[0], row.stack.leaves[0])[1] for p, row in rows.items()}
    return [path for path in rows if not agree(own[path], drawn[path], said[path])]


# ---------------------------------------------------------------- the layers of libraries


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(40, 90, rngs=rngs)
        self.conv = nnx.Conv(12, 40, (3, 3), rngs=rngs)
        self.transposed = nnx.ConvTranspose(12, 40, (3, 3), rngs=rngs)
        self.turned = nnx.ConvTranspose(12, 40, (3, 3), transpose_kernel=True, rngs=rngs)
        self.general = nnx.LinearGeneral((4, 10), (5, 20), axis=(-2, -1), rngs=rngs)
        self.several = nnx.LinearGeneral(10, 30, batch_axis={0: 4}, rngs=rngs)
        self.embed = nnx.Embed(50, 80, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, 48, rngs=rngs, decode=False)
        self.norm, self.batch = nnx.LayerNorm(40, rngs=rngs), nnx.BatchNorm(40, rngs=rngs)
        self.rms, self.group = nnx.RMSNorm(40, rngs=rngs), nnx.GroupNorm(40, 4, rngs=rngs)
        cells = (nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell)
        self.cells = nnx.List([cell(40, 30, rngs=rngs) for cell in cells])
        self.lora, self.slope = nnx.LoRA(40, 20, 30, rngs=rngs), nnx.PReLU()
        self.dropout = nnx.Dropout(0.1, rngs=rngs)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        for cell in (nn.LSTMCell, nn.OptimizedLSTMCell, nn.GRUCell, nn.SimpleCell, nn.MGUCell):
            made = cell(30)
            made(made.initialize_carry(jax.random.key(0), x.shape), x)
        nn.MultiHeadDotProductAttention(4)(x[:, None])
        nn.Embed(50, 80)(jnp.zeros(3, int))
        nn.RNN(nn.MGUCell(30))(x[:, None])
        nn.PReLU()(x)
        nn.BatchNorm(use_running_average=False)(x)
        nn.LayerNorm()(x)
        nn.Conv(40, (3, 3))(jnp.ones((1, 8, 8, 12)))
        return nn.Dense(90, dot_general_cls=nn.Fp8DirectDotGeneralOp)(x)


def equinox_layers():
    keys = iter(jax.random.split(jax.random.key(7, impl="rbg"), 12))
    return {
        "linear": eqx.nn.Linear(40, 90, key=next(keys)),
        "conv": eqx.nn.Conv2d(12, 40, 3, groups=2, key=next(keys)),
        "transposed": eqx.nn.ConvTranspose2d(12, 40, 3, key=next(keys)),
        "embedding": eqx.nn.Embedding(50, 80, key=next(keys)),
        "lstm": eqx.nn.LSTMCell(40, 30, key=next(keys)),
        "gru": eqx.nn.GRUCell(40, 30, key=next(keys)),
        "attention": eqx.nn.MultiheadAttention(4, 48, use_query_bias=True, key=next(keys)),
        "mlp": eqx.nn.MLP(40, 30, 50, 2, key=next(keys)),
        "norms": [eqx.nn.LayerNorm((4, 5)), eqx.nn.GroupNorm(2, 4), eqx.nn.RMSNorm(5)],
        "batch": eqx.nn.BatchNorm(4, "batch", mode="batch"),
        "slope": eqx.nn.PReLU(),
        "complex": eqx.nn.LSTMCell(40, 30, dtype=jnp.complex64, key=next(keys)),
    }


def test_the_layers_of_nnx():
    def build():
        return nnx.split(Nnx(nnx.Rngs(jax.random.key(1, impl="rbg"))))[1]

    state = jax.jit(build, compiler_options=QUICKLY)()
    abstract = nnx.eval_shape(lambda: Nnx(nnx.Rngs(1)))
    assert not disagreements(state, presets.flax(), abstract)


def test_the_layers_of_linen():
    build = jax.jit(Linen().init, compiler_options=QUICKLY)
    model = build(jax.random.key(5, impl="rbg"), jnp.ones((2, 40)))
    assert not disagreements(model, presets.flax())


def test_the_layers_of_equinox():
    built = jax.jit(lambda: eqx.filter(equinox_layers(), eqx.is_array), compiler_options=QUICKLY)
    assert not disagreements(built(), presets.equinox())


def test_the_comparison_sees_another_initialization():
    """A std that is wrong by a tenth, a form that is another one, a constant that is."""
    layer = eqx.nn.Linear(80, 200, key=jax.random.key(1))
    assert not disagreements(layer, presets.equinox())
    for kernel in (init.VarianceScaling(0.4, "fan_in", "uniform"), init.LecunNormal(1 / 3)):
        rules = [(r"weight$", kernel), (r"bias$", 0.0)]
        assert disagreements(layer, rules) == ["weight", "bias"]


def torch_layers():
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    layer = torch.nn
    return {
        "linear": layer.Linear(40, 90),
        "conv": layer.Conv2d(12, 40, 3, groups=2),
        "transposed": layer.ConvTranspose2d(12, 40, 3),
        "embedding": layer.Embedding(50, 80),
        "self_attn": layer.MultiheadAttention(48, 4, add_bias_kv=True),
        "other_attn": layer.MultiheadAttention(48, 4, kdim=32, vdim=16),
        "norm": layer.LayerNorm(40),
        "batch": layer.BatchNorm2d(40),
        "group": layer.GroupNorm(4, 40),
        "rms": layer.RMSNorm(40),
        "block": layer.TransformerEncoderLayer(48, 4, 96),
    }


def as_tree(layers):
    return {
        f"{name}/{path.replace('.', '/')}": jnp.asarray(value.numpy())
        for name, layer in layers.items()
        for path, value in layer.state_dict().items()
    }


def test_the_layers_of_torch():
    assert not disagreements(as_tree(torch_layers()), presets.torch(), layout="torch")


def test_the_recurrent_layers_of_torch():
    layer = pytest.importorskip("torch").nn
    for gates, made in ((4, layer.LSTM), (3, layer.GRU), (1, layer.RNN)):
        kinds = {"r": made(40, 60, bidirectional=True)}
        if gates == 4:
            kinds |= {"p": made(40, 60, proj_size=20), "c": layer.LSTMCell(40, 60)}
        model = as_tree(kinds)
        assert not disagreements(model, presets.torch(gates=gates), layout="torch")
    with pytest.raises(init.PlanError, match="gates=4"):
        init.plan(model, presets.torch(), layout="torch")


def test_keras_by_its_documentation():
    """Keras is not installed: the documented defaults, for its names and shapes."""
    shapes = {
        "dense/kernel": (40, 90),
        "dense/bias": (90,),
        "conv/kernel": (3, 3, 12, 40),
        "attention/query/kernel": (48, 4, 12),
        "embedding/embeddings": (50, 80),
        "lstm/lstm_cell/kernel": (40, 120),
        "lstm/lstm_cell/recurrent_kernel": (30, 120),
        "lstm/lstm_cell/bias": (120,),
        "gru/gru_cell/bias": (2, 90),
        **{f"norm/{name}": (40,) for name in ("gamma", "beta")},
        **{f"norm/moving_{name}": (40,) for name in ("mean", "variance")},
    }
    model = {path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in shapes.items()}
    drawn = leaves(init.plan(model, presets.keras())(KEY))
    bounds = {
        "dense/kernel": (6 / 130) ** 0.5,
        "conv/kernel": (6 / (9 * 52)) ** 0.5,
        "attention/query/kernel": (6 / (48 * 16)) ** 0.5,
        "embedding/embeddings": 0.05,
        "lstm/lstm_cell/kernel": (6 / 160) ** 0.5,
    }
    for path, bound in bounds.items():
        assert uniform_on(drawn[path], bound), path
    recurrent = drawn["lstm/lstm_cell/recurrent_kernel"]
    assert np.allclose(recurrent @ recurrent.T, np.eye(30), atol=1e-5)
    assert drawn["lstm/lstm_cell/bias"].tolist() == [0] * 30 + [1] * 30 + [0] * 60
    for path in ("dense/bias", "gru/gru_cell/bias", "norm/beta", "norm/moving_mean"):
        assert not drawn[path].any()
    for path in ("norm/gamma", "norm/moving_variance"):
        assert (drawn[path] == 1).all()


def uniform_on(x, bound):
    law = stats.uniform(-bound, 2 * bound)
    return abs(x).max() <= bound * (1 + 1e-6) and stats.kstest(x.ravel(), law.cdf).pvalue > 1e-6


# ---------------------------------------------------------------- models


def abstract(shapes):
    return {path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in shapes.items()}


def stds(plan):
    """The std that a plan says, of each leaf; of constants their value."""
    found = {}
    for row in plan.rows:
        for leaf, choice in zip(row.stack.leaves, row.choices, strict=True):
            mean, std = moments(choice, leaf)
            found[leaf.path] = std if std else mean
    return found


D, F, V, L = 64, 256, 100, 4

BLOCKS = {
    "nnx": {
        **{f"attn/{n}/kernel": (D, 4, D // 4) for n in ("query", "key", "value")},
        "attn/out/kernel": (4, D // 4, D),
        "attn/out/bias": (D,),
        "fc1/kernel": (D, F),
        "fc2/kernel": (F, D),
        "norm/scale": (D,),
    },
    "llama": {
        **{f"attention/{n}/w": (D, D) for n in ("wq", "wk", "wv", "wo")},
        "feed_forward/w1/w": (D, F),
        "feed_forward/w2/w": (F, D),
        "feed_forward/w3/w": (D, F),
        "attention_norm/w": (D,),
    },
    "hugging face": {
        **{f"attn/{n}_proj/kernel": (D, D) for n in "qkv"},
        "attn/c_proj/kernel": (D, D),
        "mlp/c_fc/kernel": (D, F),
        "mlp/c_fc/bias": (F,),
        "mlp/c_proj/kernel": (F, D),
        "ln_1/scale": (D,),
        "ln_1/bias": (D,),
    },
}
RESIDUALS = {
    "nnx": ("attn/out/kernel", "fc2/kernel"),
    "llama": ("attention/wo/w", "feed_forward/w2/w"),
    "hugging face": ("attn/c_proj/kernel", "mlp/c_proj/kernel"),
}
ROUTED = {"moe/router/kernel": (D, 8)}
TOP = {"embedder/embedding": (V, D), "final_norm/scale": (D,), "lm_head/kernel": (D, V)}
every_block = pytest.mark.parametrize("kind", BLOCKS)


def transformer(kind, **more):
    block = BLOCKS[kind] | more
    return abstract(
        {f"blocks/{i}/{n}": s for i, (n, s) in itertools.product(range(L), block.items())} | TOP
    )


def planned(kind, rules, **more):
    return stds(init.plan(transformer(kind, **more), rules, layers=r"blocks/(\d+)"))


def close(a, b):
    return a == pytest.approx(b, rel=1e-6)


@pytest.mark.parametrize(
    "preset",
    [presets.gpt2, presets.torchtitan, presets.neox, presets.t5, presets.deepnorm],
    ids=lambda preset: preset.__name__,
)
def test_draws_have_the_std_that_a_plan_says(preset):
    model = transformer("llama")
    model = {path: x for path, x in model.items() if "blocks" not in path or "/0/" in path}
    plan = init.plan(model, preset(), layers=r"blocks/(\d+)")
    drawn = leaves(plan(KEY))
    for path, std in stds(plan).items():
        x = drawn[path]
        if x.ndim > 1:
            assert abs(x.std() / std - 1) < 5 / math.sqrt(2 * x.size), path
        else:
            assert (x == std).all()


@every_block
@pytest.mark.parametrize("given", [None, L])
def test_gpt2_and_megatron(kind, given):
    for preset in (presets.gpt2, presets.megatron):
        found = planned(kind, preset(given))
        for path, std in found.items():
            leaf = path.removeprefix("blocks/").partition("/")[2]
            if leaf in RESIDUALS[kind]:
                assert close(std, 0.02 / math.sqrt(2 * L)), path
            elif path.endswith("bias"):
                assert std == 0
            elif "norm" in path or "ln" in path:
                assert std == 1
            else:
                assert close(std, 0.02), path


def test_a_stacked_model_takes_its_depth_from_the_plan():
    block = {"fc1": {"w": (L, D, F)}, "fc2": {"w": (L, F, D)}}
    model = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s, jnp.float32),
        {"blocks": block},
        is_leaf=lambda x: isinstance(x, tuple),
    )
    options = {"stacked": {"^blocks": 0}, "layers": r"blocks/(\d+)"}
    found = stds(init.plan(model, presets.gpt2(), **options))
    assert close(found["blocks/3/fc2/w"], 0.02 / math.sqrt(2 * L))
    found = stds(init.plan(model, presets.torchtitan(), **options))
    for i in range(L):
        assert close(found[f"blocks/{i}/fc2/w"], 0.02 / math.sqrt(2 * (i + 1)))


def test_norms_and_random_states_of_modules():
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.out = nnx.Linear(8, 8, rngs=rngs)
            self.norm, self.dropout = nnx.BatchNorm(8, rngs=rngs), nnx.Dropout(0.1, rngs=rngs)

    plan = init.plan(nnx.eval_shape(lambda: Block(nnx.Rngs(0))), presets.gpt2(1))
    found = stds(plan)
    assert (found["norm/mean"], found["norm/bias"]) == (0, 0)
    assert (found["norm/var"], found["norm/scale"]) == (1, 1)
    made = plan(KEY)  # what is but a shape gets a key
    assert made.dropout(jnp.ones(3)).shape == (3,)
    assert int(made.dropout.rngs.count.get_value()) == 1
    plan = init.plan(Block(nnx.Rngs(0)), presets.gpt2(1))
    assert [row.stack.path for row in plan.rows if row.kept] == [
        "dropout/rngs/count",
        "dropout/rngs/key",
    ]
    model = {"norm": eqx.nn.LayerNorm((4, 8)), "out": {"w": jnp.zeros((8, 8))}}
    found = stds(init.plan(model, presets.gpt2(1)))
    assert (found["norm/weight"], found["norm/bias"]) == (1, 0)


def test_normalization_of_weights_and_state_beside_a_model():
    class Spectral(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.SpectralNorm(nn.Dense(4))(x, update_stats=True)

    model = jax.eval_shape(Spectral().init, jax.random.key(0), jnp.ones((2, 3)))
    assert sorted(stds(init.plan(model, presets.flax())).values()) == pytest.approx(
        [0, 3**-0.5, 1, 1]
    )
    pair = eqx.nn.make_with_state(eqx.nn.BatchNorm)(4, "batch", mode="ema")
    plan = init.plan(pair, presets.equinox())
    assert [row.kept for row in plan.rows] == [False, False, True, True, True]


@pytest.mark.parametrize("preset", [presets.equinox, lambda: presets.gpt2(1, residual=None)])
def test_what_follows_from_a_weight_is_no_draw(preset):
    keys = iter(jax.random.split(jax.random.key(2), 5))
    wrapped = eqx.nn.WeightNorm(eqx.nn.Conv2d(3, 8, 3, key=next(keys)))
    with pytest.raises(init.PlanError, match="g must follow from the drawn weight.*: a/g"):
        init.plan({"a": wrapped}, preset())
    linear = eqx.nn.Linear(3, 8, key=next(keys))
    spectral = eqx.nn.SpectralNorm(linear, "weight", key=next(keys))
    with pytest.raises(init.PlanError, match="u and v must.*: uv_index/init/0, uv_index/init/1"):
        init.plan(spectral, preset())
    with pytest.raises(init.PlanError, match="no rule matches: g"):
        init.plan(wrapped, presets.torch())
    rules = [(eqx.nn.WeightNorm, init.KEEP), *preset()]
    drawn = init.initialize({"a": wrapped}, rules, next(keys))["a"]
    anew = eqx.nn.WeightNorm(drawn.layer, drawn.weight_name, drawn.axis)
    x = jax.random.normal(next(keys), (3, 8, 8))
    np.testing.assert_allclose(anew(x), drawn.layer(x), rtol=1e-4, atol=1e-5)


def test_a_dense_layer_of_several_axes_says_which_are_inputs():
    layer = nn.DenseGeneral(20, axis=(-2, -1))
    model = jax.eval_shape(nn.Sequential([layer]).init, KEY, jnp.ones((2, 4, 10)))
    named = {"DenseGeneral_0": model["params"]["layers_0"]}
    with pytest.raises(init.PlanError, match="which axes.*: DenseGeneral_0/kernel"):
        init.plan(named, presets.flax())
    rule = (r"kernel$", init.LecunNormal(in_axis=(0, 1), out_axis=(2,)))
    assert stds(init.plan(named, [rule, *presets.flax()]))["DenseGeneral_0/kernel"] == 40**-0.5


def test_vectors_of_spectral_normalization_of_nnx():
    def build():
        linear = nnx.Linear(4, 900, rngs=nnx.Rngs(0))
        return nnx.SpectralNorm(linear, rngs=nnx.Rngs(1))

    assert not disagreements(nnx.state(build()), presets.flax(), nnx.eval_shape(build))


def test_caches_of_attention_are_empty():
    layer = nn.MultiHeadDotProductAttention(4, decode=True)
    model = jax.eval_shape(layer.init, KEY, jnp.ones((2, 8, 40)))
    cache = init.initialize(model, presets.flax(), KEY)["cache"]
    assert len(cache) == 3
    assert not any(np.any(x) for x in cache.values())


def test_heads_are_no_layers_of_a_block():
    kernel = {"kernel": jax.ShapeDtypeStruct((32, 32), jnp.float32)}
    model = {"blocks": [{"fc": kernel, "output": kernel, "out": kernel}], "fc": kernel}
    found = stds(init.plan(model, presets.fixup(), layers=r"blocks/(\d+)"))
    assert found["fc/kernel"] == 0
    assert found["blocks/0/fc/kernel"] > 0


def test_what_a_preset_needs_and_is_not_told_is_an_error():
    model = transformer("llama")
    with pytest.raises(init.PlanError, match="number of layers is not known.*blocks/0/"):
        init.plan(model, presets.gpt2())
    with pytest.raises(init.PlanError, match="layer is not known"):
        init.plan(model, presets.torchtitan())
    with pytest.raises(init.PlanError, match="matches no leaf"):
        init.plan(model, presets.gpt2(8, residual="nothing"))
    with pytest.raises(init.PlanError, match="matches no leaf"):
        init.plan({"w": jnp.zeros((2, 3))}, presets.gpt2(8))
    with pytest.raises(init.PlanError, match="model_dim"):
        bias = {"relative_attention_bias/embedding": (32, 8)}
        planned("llama", presets.t5(), **bias)
    with pytest.raises(ValueError, match="layers"):
        presets.gpt2(0)
    with pytest.raises(ValueError, match="branch_layers"):
        presets.fixup(8, 1)
    with pytest.raises(ValueError, match="encoder"):
        presets.deepnorm(None, 8)


def test_torchtitan():
    found = planned("llama", presets.torchtitan(), **ROUTED)
    scaled = ("attention/wo/w", "feed_forward/w2/w", "feed_forward/w3/w", "moe/router/kernel")
    for i in range(L):
        for name in scaled:
            assert close(found[f"blocks/{i}/{name}"], 0.02 / math.sqrt(2 * (i + 1)))
        for name in ("attention/wq/w", "attention/wv/w", "feed_forward/w1/w"):
            assert close(found[f"blocks/{i}/{name}"], 0.02)
    assert found["embedder/embedding"] == 1
    assert close(found["lm_head/kernel"], stats.truncnorm(-3, 3).std() * D**-0.5)
    found = planned("llama", presets.torchtitan(per_layer=False))
    assert close(found["blocks/0/feed_forward/w2/w"], 0.02 / math.sqrt(2 * L))


def test_torchtitan_truncates_as_torch_does():
    """PyTorch's bounds are absolute, and its std is the one before truncation."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(2)
    head, kernel = torch.empty(200, 500), torch.empty(200, 500)
    torch.nn.init.trunc_normal_(head, std=0.05, a=-0.15, b=0.15)
    torch.nn.init.trunc_normal_(kernel, std=0.02)
    model = abstract({"layers/0/w1": (200, 500), "layers/0/wo": (8, 8), "output": (400, 250)})
    drawn = leaves(init.plan(model, presets.torchtitan(), layers=r"layers/(\d+)")(KEY))
    assert agree(head.numpy().reshape(400, 250), drawn["output"])
    assert agree(kernel.numpy(), drawn["layers/0/w1"])


@every_block
def test_neox(kind):
    found = planned(kind, presets.neox())
    for path, std in found.items():
        leaf = path.removeprefix("blocks/").partition("/")[2]
        if leaf in RESIDUALS[kind]:
            assert close(std, 2 / L / math.sqrt(D)), path
        elif std not in (0, 1):
            assert close(std, math.sqrt(2 / (5 * D))), path


@every_block
def test_t5(kind):
    found = planned(kind, presets.t5(head_dim=16))
    for path, std in found.items():
        if "head" in path or "embedding" in path:
            assert std == 1
        elif any(f"/{name}/" in path for name in ("q_proj", "query", "wq")):
            assert close(std, (D * 16) ** -0.5), path
        elif std not in (0, 1):
            wide = any(f"/{name}/" in path for name in ("mlp/c_proj", "fc2", "w2"))
            assert close(std, (F if wide else D) ** -0.5), path


def test_attention_logits_of_t5_have_variance_one():
    model = abstract(dict.fromkeys(("q", "k"), (256, 512)))
    drawn = leaves(init.plan(model, presets.t5(head_dim=64))(KEY))
    x = np.random.default_rng(3).normal(size=(64, 256))
    q, k = ((x @ drawn[name]).reshape(64, 8, 64) for name in "qk")
    logits = np.einsum("ihd,jhd->hij", q, k)[:, ~np.eye(64, dtype=bool)]
    assert abs(logits.std() - 1) < 0.05


@every_block
def test_deepnorm(kind):
    beta = (8 * L) ** -0.25
    found = planned(kind, presets.deepnorm())
    names = ("query", "key", "q_proj", "k_proj", "wq", "wk")
    for path, std in found.items():
        if "head" in path or "embedding" in path:
            assert close(std, D**-0.5)
        elif any(f"/{name}/" in path for name in names):
            assert close(std, math.sqrt(2 / (D + D)))
        elif std not in (0, 1):
            fans = D + (F if any(n in path for n in ("mlp", "fc", "feed")) else D)
            assert close(std, beta * math.sqrt(2 / fans)), path


def test_deepnorm_of_an_encoder_and_a_decoder():
    n, m = 6, 3
    names = ("q_proj", "v_proj")
    model = abstract({f"{of}/0/{name}": (D, D) for of in ("encoder", "decoder") for name in names})
    found = stds(init.plan(model, presets.deepnorm(n, m)))
    assert close(found["encoder/0/q_proj"], D**-0.5)
    assert close(found["encoder/0/v_proj"], 0.87 * (n**4 * m) ** (-1 / 16) * D**-0.5)
    assert close(found["decoder/0/v_proj"], (12 * m) ** -0.25 * D**-0.5)
    alpha = presets.deepnorm_alpha(n, m)
    assert alpha == pytest.approx((0.81 * (n**4 * m) ** (1 / 16), (3 * m) ** 0.25))
    assert presets.deepnorm_alpha(24) == pytest.approx(2.632, abs=1e-3)


def test_switch_router():
    rules = presets.switch_router() + presets.gpt2()
    found = planned("llama", rules, **ROUTED)
    cut = stats.truncnorm(-2, 2).std()
    assert close(found["blocks/1/moe/router/kernel"], cut * math.sqrt(0.1 / D))
    assert close(found["blocks/1/feed_forward/w1/w"], 0.02)


def test_zero_residual():
    found = planned("llama", presets.zero_residual() + presets.gpt2(residual=None))
    assert found["blocks/2/feed_forward/w2/w"] == found["blocks/2/attention/wo/w"] == 0
    assert close(found["blocks/2/feed_forward/w1/w"], 0.02)
    norm = abstract({"block/bn2/weight": (8,), "block/bn1/weight": (8,)})
    rules = presets.zero_residual(r"bn2/weight$") + presets.torch()
    assert stds(init.plan(norm, rules)) == {"block/bn2/weight": 0, "block/bn1/weight": 1}


@pytest.mark.parametrize("m", [2, 3])
def test_fixup(m):
    block = {f"conv{i + 1}/kernel": (3, 3, 16, 32) for i in range(m)}
    block |= {"bias1a": (1,), "scale": (1,), "downsample/kernel": (1, 1, 16, 32)}
    shapes = {f"layer{j}/{i}/{n}": s for j in (1, 2) for i in range(2) for n, s in block.items()}
    top = {"conv1/kernel": (7, 7, 3, 64), "fc/kernel": (64, 10), "fc/bias": (10,), "bias1": (1,)}
    found = stds(init.plan(abstract(shapes | top), presets.fixup(4, m)))
    for i in range(2):
        for k in range(1, m):
            he = math.sqrt(2 / (9 * 32))
            assert close(found[f"layer1/{i}/conv{k}/kernel"], he * 4 ** (-1 / (2 * m - 2)))
        assert found[f"layer2/{i}/conv{m}/kernel"] == found[f"layer2/{i}/bias1a"] == 0
        assert found[f"layer2/{i}/scale"] == 1
        assert close(found[f"layer2/{i}/downsample/kernel"], math.sqrt(2 / 32))
    assert close(found["conv1/kernel"], math.sqrt(2 / (49 * 64)))
    assert found["fc/kernel"] == found["fc/bias"] == found["bias1"] == 0


def test_a_step_of_fixup_moves_the_model_as_much_at_any_depth():
    def moved(depth):
        shapes = {f"blocks/{i}/{n}/w": (32, 32) for i in range(depth) for n in ("conv1", "conv2")}
        plan = init.plan(abstract(shapes), presets.fixup(depth))
        params, x = plan(jax.random.key(4)), jax.random.normal(jax.random.key(5), (4, 32))

        def stacked(params):
            return tuple(
                jnp.stack([params[f"blocks/{i}/{n}/w"] for i in range(depth)])
                for n in ("conv1", "conv2")
            )

        def model(pairs):
            step = lambda h, w: (h + jax.nn.relu(h @ w[0]) @ w[1], None)  # noqa: E731
            return jax.lax.scan(step, x, pairs)[0].sum() / 32

        @jax.jit
        def change(pairs):
            slope = jax.grad(model)(pairs)
            after = jax.tree.map(lambda w, s: w - 0.01 * s, pairs, slope)
            return abs(model(after) - model(pairs))

        return float(change(stacked(params)))

    few, many = moved(4), moved(32)
    assert 0.5 < many / few < 2


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("pattern", "is_so", "is_not"),
    [
        (
            presets.RESIDUAL,
            "attn/out/kernel mlp/wo h/0/attn/c_proj/w self_attn/o_proj/weight mixer/proj/weight "
            "attention/output_proj/weight linear2/weight",
            "attn/q_proj/kernel patch_embed/proj/kernel encoder/w wq/kernel out/bias in_proj/w "
            "output/kernel",
        ),
        (
            presets.EMBEDDING,
            "Embed_0/embedding tok_embeddings/weight wte embed/embeddings pos_embedding wpe/weight",
            "embedding/kernel patch_embed/proj/kernel unembed/weight attn/out/kernel",
        ),
        (presets.HEAD, "head/kernel lm_head/weight unembed/w fc/weight", "heads/kernel fc1/kernel"),
        (
            presets.ROUTER,
            "router/kernel moe/gate/kernel MoeBlock_0/gate/kernel router/classifier/weight",
            "mlp/gate/kernel router/bias",
        ),
    ],
)
def test_names(pattern, is_so, is_not):
    import re

    for path in is_so.split():
        assert re.search(pattern, path), path
    for path in is_not.split():
        assert not re.search(pattern, path), path
