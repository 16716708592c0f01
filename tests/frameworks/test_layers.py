"""Objects as the initializers of layers: Flax, Haiku, Equinox, stax, brainstate."""

from __future__ import annotations

import brainstate
import brainunit as u
import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import Spy, close, same
from jax.example_libraries import stax

import braininit as init

NORMAL = init.Normal(0.5, 0.1)
CONDUCTANCE = init.Normal(0.5 * u.nS, 0.1 * u.nS)


# ---------------------------------------------------------------- layers

HOOKS = {
    "kernel": (NORMAL, lambda k, s, d: init.normal(k, s, 0.5, 0.1, dtype=d)),
    "bias": (init.Uniform(1.0, 2.0), lambda k, s, d: init.uniform(k, s, 1.0, 2.0, dtype=d)),
    "scale": (init.Exponential(0.5), lambda k, s, d: init.exponential(k, s, 0.5, dtype=d)),
    "embedding": (
        init.TruncatedNormal(0.0, 0.1, low=-0.1),
        lambda k, s, d: init.truncated_normal(k, s, 0.0, 0.1, -0.1, dtype=d),
    ),
}
"""What goes into a layer's hook, and the same by hand."""


def of_linen(module, x):
    return module.init(jax.random.key(1), x)["params"]


def of_nnx(layer, *sizes, **hooks):
    built = layer(*sizes, rngs=nnx.Rngs(1), **hooks)
    names = [name.removesuffix("_init") for name in hooks if name.endswith("_init")]
    return {name: getattr(built, name).get_value() for name in names}


def of_haiku(kernel_init, bias_init):
    layer = hk.transform(
        lambda x: hk.Linear(
            5,
            w_init=lambda shape, dtype: kernel_init(hk.next_rng_key(), shape, dtype),
            b_init=lambda shape, dtype: bias_init(hk.next_rng_key(), shape, dtype),
        )(x)
    )
    params = layer.init(jax.random.key(1), jnp.ones((2, 3)))["linear"]
    return {"kernel": params["w"], "bias": params["b"]}


def of_equinox(layer, *sizes, kernel_init, bias_init):
    """The weights of an Equinox layer replaced, as Equinox's own documentation does it."""
    old, w_key, b_key = jax.random.split(jax.random.key(1), 3)
    built = layer(*sizes, key=old)
    weight = kernel_init(w_key, built.weight.shape, built.weight.dtype)
    bias = bias_init(b_key, built.bias.shape, built.bias.dtype)
    built = eqx.tree_at(lambda m: (m.weight, m.bias), built, (weight, bias))
    return {"kernel": built.weight, "bias": built.bias}


def of_stax(kernel_init, bias_init):
    start, _ = stax.Dense(5, W_init=kernel_init, b_init=bias_init)
    _, params = start(jax.random.key(1), (2, 3))
    return dict(zip(("kernel", "bias"), params, strict=True))


LAYERS = {
    "linen.Dense": (("kernel", "bias"), lambda **h: of_linen(nn.Dense(5, **h), jnp.ones((2, 3)))),
    "linen.Conv": (
        ("kernel", "bias"),
        lambda **h: of_linen(nn.Conv(4, (2, 2), **h), jnp.ones((1, 5, 5, 3))),
    ),
    "linen.Embed": (("embedding",), lambda **h: of_linen(nn.Embed(7, 3, **h), jnp.zeros(2, int))),
    "linen.LayerNorm": (("scale", "bias"), lambda **h: of_linen(nn.LayerNorm(**h), jnp.ones(4))),
    "nnx.Linear": (("kernel", "bias"), lambda **h: of_nnx(nnx.Linear, 3, 5, **h)),
    "nnx.Conv": (("kernel", "bias"), lambda **h: of_nnx(nnx.Conv, 3, 4, (2, 2), **h)),
    "nnx.Embed": (("embedding",), lambda **h: of_nnx(nnx.Embed, 7, 3, **h)),
    "nnx.LayerNorm": (("scale", "bias"), lambda **h: of_nnx(nnx.LayerNorm, 4, **h)),
    "haiku.Linear": (("kernel", "bias"), of_haiku),
    "equinox.Linear": (("kernel", "bias"), lambda **h: of_equinox(eqx.nn.Linear, 3, 5, **h)),
    "equinox.Conv": (("kernel", "bias"), lambda **h: of_equinox(eqx.nn.Conv2d, 3, 4, 2, **h)),
    "stax.Dense": (("kernel", "bias"), of_stax),
}
every_layer = pytest.mark.parametrize(("names", "build"), LAYERS.values(), ids=LAYERS)


@every_layer
def test_a_layer_holds_what_the_function_draws_from_its_key(names, build):
    spies = {name: Spy(HOOKS[name][0]) for name in names}
    build(**{f"{name}_init": spy for name, spy in spies.items()})
    objects = {f"{name}_init": HOOKS[name][0] for name in names}
    params = build(**objects)
    jitted = jax.jit(lambda: build(**objects))()
    shapes = jax.eval_shape(lambda: build(**objects))
    for name in names:
        assert params[name].size > 2
        assert np.ptp(params[name]) > 0.01
        expected = HOOKS[name][1](*spies[name].call)
        assert same(params[name], expected)
        assert close(jitted[name], expected)
        assert (shapes[name].shape, shapes[name].dtype) == (expected.shape, expected.dtype)


@every_layer
@pytest.mark.parametrize(("hook", "value"), [(init.zeros, 0), (init.ones, 1)])
def test_bare_functions_are_hooks_as_they_are(names, build, hook, value):
    params = build(**{f"{name}_init": hook for name in names})
    for name in names:
        assert params[name].dtype == jnp.float32
        assert np.all(np.asarray(params[name]) == value)


@pytest.mark.parametrize("layer", ["linen.Dense", "nnx.Linear"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.complex64])
def test_a_layer_s_parameter_dtype_reaches_the_draw(layer, dtype):
    _, build = LAYERS[layer]
    spy = Spy(NORMAL)
    drawn = build(kernel_init=spy, bias_init=init.ones, param_dtype=dtype)
    expected = init.normal(*spy.call[:2], 0.5, 0.1, dtype=dtype)
    assert same(drawn["kernel"], expected)
    assert drawn["bias"].dtype == dtype


def test_a_layer_takes_parameters_that_are_arrays():
    columns = init.Normal(np.arange(5.0), 1e-3)
    for layer in ("linen.Dense", "nnx.Linear", "haiku.Linear"):
        kernel = LAYERS[layer][1](kernel_init=columns, bias_init=init.zeros)["kernel"]
        assert np.abs(kernel - np.arange(5.0)[None]).max() < 0.01


def test_haiku_hands_its_next_key_over():
    def net(x, w_init):
        return hk.Linear(5, w_init=w_init)(x)

    def kernel(w_init):
        return hk.transform(net).init(jax.random.key(1), jnp.ones((2, 3)), w_init)["linear"]["w"]

    by_key = kernel(lambda shape, dtype: NORMAL(hk.next_rng_key(), shape, dtype))
    assert same(kernel(lambda shape, dtype: NORMAL(shape, rng=hk.next_rng_key)), by_key)
    keys = hk.PRNGSequence(1)
    assert not same(NORMAL(3, rng=keys.next), NORMAL(3, rng=keys.next))


def test_equinox_applies_what_was_put_in():
    x_key, *keys = jax.random.split(jax.random.key(3), 4)
    linear = eqx.nn.Linear(3, 5, key=keys[0])
    weight, bias = NORMAL(keys[1], (5, 3)), init.ones(keys[2], (5,))
    linear = eqx.tree_at(lambda m: (m.weight, m.bias), linear, (weight, bias))
    x = jax.random.normal(x_key, (3,))
    assert np.allclose(eqx.filter_jit(linear)(x), np.asarray(weight) @ np.asarray(x) + 1, rtol=1e-5)


def test_brainstate_layers_draw_from_the_default_stream():
    init.seed(5)
    layer = brainstate.nn.Linear(3, 5, w_init=NORMAL, b_init=init.ZeroInit())
    init.seed(5)
    assert same(layer.weight.value["weight"], NORMAL((3, 5)))
    assert np.all(np.asarray(layer.weight.value["bias"]) == 0)


# ---------------------------------------------------------------- the protocols


def halves(key, shape, dtype=None):
    return jnp.full(shape, 0.5, dtype)


@pytest.mark.parametrize("hook", [NORMAL, CONDUCTANCE, init.ZeroInit(), init.zeros, halves])
def test_objects_are_initializers_to_isinstance(hook):
    assert isinstance(hook, init.Initializer)
    assert isinstance(hook, jax.nn.initializers.Initializer)


@pytest.mark.parametrize("other", [3, "normal", None, np.ones(3), u.nS])
def test_other_things_are_not(other):
    assert not isinstance(other, init.Initializer)


def test_code_written_for_jax_s_initializers_takes_ours():
    def doubled(inner):  # as in jax.nn.initializers: positional, with a sharding at the end
        def initializer(key, shape, dtype=jnp.float32, out_sharding=None):
            return 2 * inner(key, shape, dtype, out_sharding)

        return initializer

    ours = doubled(init.Normal(0.0, 0.02))(jax.random.key(1), (64, 64))
    theirs = doubled(jax.nn.initializers.normal(0.02))(jax.random.key(1), (64, 64))
    assert close(ours, theirs)
    assert same(NORMAL(key=jax.random.key(1), shape=(3,)), NORMAL(jax.random.key(1), (3,)))
