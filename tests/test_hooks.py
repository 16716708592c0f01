"""Where users put the objects: into layers, and behind every source of randomness."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
import threading
from typing import Any

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
from jax.example_libraries import stax

import braininit as init
from braininit._engine import keys as _keys

NORMAL = init.Normal(0.5, 0.1)
CONDUCTANCE = init.Normal(0.5 * u.nS, 0.1 * u.nS)


def bare(x):
    return np.asarray(x.mantissa if isinstance(x, u.Quantity) else x)


def same(a, b):
    """Equal to the last bit, in unit, shape and dtype as well."""
    a_unit, b_unit = u.get_unit(a), u.get_unit(b)
    a, b = bare(a), bare(b)
    return a_unit == b_unit and a.dtype == b.dtype and np.array_equal(a, b)


def close(a, b):
    """Equal but for the last bits, which XLA may round otherwise in a larger program."""
    a, b = bare(a).astype(np.float64), bare(b).astype(np.float64)
    return a.shape == b.shape and np.allclose(a, b, rtol=2e-6, atol=1e-6 * np.abs(b).max())


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


class Spy:
    """Takes down what a layer first calls its hook with, and passes it on."""

    def __init__(self, hook):
        self.hook, self.call = hook, None

    def __call__(self, key, shape, dtype=None):
        self.call = self.call or (jax.random.clone(key), tuple(shape), dtype)
        return self.hook(key, shape, dtype)


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


# ---------------------------------------------------------------- parameters with a unit

VOLTAGE = 2.0 * u.mV


class LinenCell(nn.Module):
    hook: Any

    @nn.compact
    def __call__(self, voltage):
        return u.math.sum(self.param("g", self.hook, (6,)) * voltage)


class NnxCell(nnx.Module):
    def __init__(self, hook, *, rngs):
        self.g = nnx.Param(hook(rngs.params(), (6,)))

    def __call__(self, voltage):
        return u.math.sum(self.g.get_value() * voltage)


class EquinoxCell(eqx.Module):
    g: u.Quantity
    hook: Any

    def __init__(self, hook, *, key):
        self.g = hook(key, (6,))
        self.hook = hook

    def __call__(self, voltage):
        return u.math.sum(self.g * voltage)


@hk.transform
def haiku_cell(hook, voltage):
    g = hk.get_parameter("g", (6,), init=lambda s, d: hook(hk.next_rng_key(), s, d))
    return u.math.sum(g * voltage)


def linen_cell(hook):
    params = LinenCell(hook).init(jax.random.key(1), VOLTAGE)
    slope = jax.grad(lambda p: LinenCell(hook).apply(p, VOLTAGE).mantissa)(params)
    return params["params"]["g"], slope["params"]["g"]


def nnx_cell(hook):
    cell = NnxCell(hook, rngs=nnx.Rngs(1))
    slope = nnx.grad(lambda c: c(VOLTAGE).mantissa)(cell)
    return cell.g.get_value(), slope["g"].get_value()


def equinox_cell(hook):
    cell = EquinoxCell(hook, key=jax.random.key(1))
    slope = eqx.filter_grad(lambda c: c(VOLTAGE).mantissa)(cell)
    return cell.g, slope.g


def hk_cell(hook):
    params = haiku_cell.init(jax.random.key(1), hook, VOLTAGE)
    slope = jax.grad(lambda p: haiku_cell.apply(p, None, hook, VOLTAGE).mantissa)(params)
    return params["~"]["g"], slope["~"]["g"]


CELLS = (linen_cell, nnx_cell, equinox_cell, hk_cell)


@pytest.mark.parametrize("cell", CELLS)
def test_a_parameter_keeps_its_unit_in_a_model(cell):
    spy = Spy(CONDUCTANCE)
    cell(spy)
    expected = init.normal(*spy.call[:2], 0.5 * u.nS, 0.1 * u.nS)
    g, slope = cell(CONDUCTANCE)
    assert same(g, expected)
    assert u.get_unit(g) == u.nS
    assert np.all(bare(slope) == 2.0)
    jitted, _ = jax.jit(lambda: cell(CONDUCTANCE))()
    assert close(jitted, expected)
    assert u.get_unit(jitted) == u.nS
    shape, _ = jax.eval_shape(lambda: cell(CONDUCTANCE))
    assert (shape.shape, u.get_unit(shape), shape.dtype) == ((6,), u.nS, jnp.float32)


def test_an_ensemble_is_its_members():
    keys = jax.random.split(jax.random.key(4), 3)
    together = eqx.filter_vmap(lambda k: EquinoxCell(CONDUCTANCE, key=k))(jax.random.clone(keys))
    for i, key in enumerate(keys):
        assert close(together.g[i], init.normal(key, 6, 0.5 * u.nS, 0.1 * u.nS))
    assert u.get_unit(together.g) == u.nS


def test_equinox_trains_the_array_parameters_of_an_object_it_keeps():
    plain = EquinoxCell(CONDUCTANCE, key=jax.random.key(1))
    assert len(jax.tree.leaves(eqx.filter(plain, eqx.is_inexact_array))) == 1
    means = init.Normal(jnp.ones(6) * u.nS, 0.1 * u.nS)
    kept = EquinoxCell(means, key=jax.random.key(1))
    trained = eqx.filter(kept, eqx.is_inexact_array)
    assert len(jax.tree.leaves(trained)) == 2
    assert trained.hook.std.mantissa is None


def test_an_nnx_module_keeps_an_object():
    class Holder(nnx.Module):
        def __init__(self, hook, *, rngs):
            self.hook = hook
            self.rngs = rngs

        def draw(self):
            return self.hook(3, rng=self.rngs.params)

    arrays = init.Normal(jnp.arange(3.0), 0.1)
    # Scalars are static to nnx; arrays it wants marked as data.
    for hook, kept in ((NORMAL, NORMAL), (CONDUCTANCE, CONDUCTANCE), (arrays, nnx.data(arrays))):
        holder = Holder(kept, rngs=nnx.Rngs(1))
        draw = nnx.jit(Holder.draw)
        assert close(drawn := draw(holder), hook(3, rng=nnx.Rngs(1)))
        assert not close(draw(holder), drawn)
    with pytest.raises(ValueError, match=r"nnx\.data"):
        Holder(arrays, rngs=nnx.Rngs(1))


# ---------------------------------------------------------------- linen under nn.jit

# linen tells modules apart by a hash it makes of their fields' fields. Left to itself it
# iterates over whatever is iterable, and stumbles over scalar Quantities and the elements of
# JAX arrays; and it takes for equal what has equal hashes, as -1.0 and -2.0 have in Python.

FIELDS = (
    NORMAL,
    init.TruncatedNormal(0.0, 0.1, low=-0.1),
    init.Normal(np.arange(6.0), 0.1),
    init.ZeroInit(),
    init.OneInit(u.nS),
    init.Normal(jnp.arange(6.0), 0.1),
    CONDUCTANCE,
    init.Normal(np.arange(6.0) * u.nS, 0.1 * u.nS),
)


def drawn_under_nn_jit(hook):
    cell = nn.jit(LinenCell)(hook)  # a class of its own, so that no cache is shared
    return cell.init(jax.random.key(1), VOLTAGE)["params"]["g"]


@functools.cache
def drawn_by_hand(hook):
    return drawn_under_nn_jit(lambda key, shape: hook(key, shape))


@pytest.mark.parametrize("hook", FIELDS, ids=repr)
def test_nn_jit_takes_a_module_that_keeps_an_object(hook):
    assert same(drawn_under_nn_jit(hook), drawn_by_hand(hook))


@pytest.mark.parametrize("hook", FIELDS, ids=repr)
def test_nn_jit_takes_every_object_s_bound_call(hook):
    # Any function will do, as long as it is held for as long as the module lives.
    assert same(drawn_under_nn_jit(hook.__call__), drawn_by_hand(hook))


@pytest.mark.parametrize("hook", FIELDS, ids=repr)
def test_jit_around_a_linen_module_takes_every_object(hook):
    cell = LinenCell(hook)
    plain = cell.init(jax.random.key(1), VOLTAGE)["params"]["g"]
    jitted = jax.jit(cell.init)(jax.random.key(1), VOLTAGE)["params"]["g"]
    assert close(jitted, plain)
    assert u.get_unit(jitted) == u.get_unit(plain)


def test_nn_jit_compiles_once_for_equal_objects_and_anew_for_others():
    traces = []

    class Counted(LinenCell):
        @nn.compact
        def __call__(self, voltage):
            traces.append(self.hook)
            return u.math.sum(self.param("g", self.hook, (6,)) * voltage)

    counted = nn.jit(Counted)
    means = [
        counted(init.Normal(mean, 0.1)).init(jax.random.key(1), VOLTAGE)["params"]["g"].mean()
        for mean in (0.5, 0.5, 1, 1.0, np.float32(3.0))
    ]
    assert len(traces) == 3
    assert np.allclose(means, [0.5, 0.5, 1, 1, 3], atol=0.2)


def test_nn_jit_tells_minus_one_from_minus_two():
    cell = nn.jit(LinenCell)
    for value in (-1.0, -2.0):
        drawn = cell(init.Constant(value)).init(jax.random.key(1), VOLTAGE)["params"]["g"]
        assert np.all(np.asarray(drawn) == value)


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


# ---------------------------------------------------------------- sources of randomness


class Stateful:
    """A generator of one's own: any object with ``split_key()``."""

    def __init__(self, seed):
        self._key = jax.random.key(seed)

    def split_key(self):
        self._key, key = jax.random.split(self._key)
        return key


def brainstate_module(seed):
    brainstate.random.seed(seed)
    return brainstate.random


def numpy_module(seed):
    np.random.seed(seed)  # noqa: NPY002
    return np.random


def default_stream(seed):
    init.seed(seed)


def nnx_stream(seed):
    return nnx.Rngs(default=7, params=seed).params


def haiku_sequence(seed):
    return hk.PRNGSequence(seed).next


FIXED = {  # the same key at each use
    "typed": (jax.random.key, jax.random.key),
    "legacy": (jax.random.PRNGKey, jax.random.key),
    "legacy words": (lambda n: np.asarray(jax.random.PRNGKey(n)), jax.random.key),
    "int": (int, jax.random.key),
    "np.int64": (np.int64, jax.random.key),
    "np.uint8": (np.uint8, jax.random.key),
    "lambda": (lambda n: lambda: jax.random.key(n), jax.random.key),
}
STATEFUL = {  # from a seed: the source, and the key it gives first, where JAX knows it
    "nnx.Rngs": (nnx.Rngs, lambda n: nnx.Rngs(n)()),
    "nnx stream": (nnx_stream, lambda n: nnx_stream(n)()),
    "brainstate": (
        brainstate.random.RandomState,
        lambda n: brainstate.random.RandomState(n).split_key(),
    ),
    "brainstate.random": (brainstate_module, lambda n: brainstate_module(n).split_key()),
    "split_key": (Stateful, lambda n: Stateful(n).split_key()),
    "haiku": (haiku_sequence, lambda n: haiku_sequence(n)()),
    "np.Generator": (np.random.default_rng, None),
    "np.RandomState": (np.random.RandomState, None),
    "np.random": (numpy_module, None),
    "default": (default_stream, None),
}
OF_JAX = FIXED | {name: row for name, row in STATEFUL.items() if row[1]}
every_stateful = pytest.mark.parametrize("make", [m for m, _ in STATEFUL.values()], ids=STATEFUL)


@pytest.mark.parametrize(("make", "key"), OF_JAX.values(), ids=OF_JAX)
@pytest.mark.parametrize("seed", [0, 7])
def test_a_source_stands_for_its_key(make, key, seed):
    drawn = CONDUCTANCE((2, 3), rng=make(seed))
    assert same(drawn, init.normal(key(seed), (2, 3), 0.5 * u.nS, 0.1 * u.nS))


@every_stateful
def test_a_source_advances_and_can_be_replayed(make):
    rng = make(3)
    drawn = [NORMAL(4, rng=rng) for _ in range(3)]
    assert len({bare(x).tobytes() for x in drawn}) == 3
    rng = make(3)
    assert all(same(NORMAL(4, rng=rng), x) for x in drawn)
    assert not same(NORMAL(4, rng=make(4)), drawn[0])


@every_stateful
def test_a_source_advances_by_one_key_whatever_the_size(make):
    after = []
    for size in (1, (100, 7)):
        rng = make(3)
        NORMAL(size, rng=rng)
        after.append(NORMAL(4, rng=rng))
    assert same(*after)


@pytest.mark.parametrize("make", [m for m, _ in STATEFUL.values()], ids=STATEFUL)
def test_draws_from_a_source_have_the_distribution(make):
    rng = make(11)
    drawn = np.concatenate([bare(init.Normal()(2500, rng=rng)) for _ in range(4)])
    # At 5 standard errors each fails once in 1.7e6 streams, and these are fixed.
    assert abs(drawn.mean()) < 5 / np.sqrt(10_000)
    assert abs(drawn.std() - 1) < 5 / np.sqrt(20_000)


SEEDS = [0, 1, 2**31, 2**32, 2**32 + 1, 2**40, 2**63, 2**64, 2**70, -1, -2, -(2**32)]
SEEDS += [-(2**40), -(2**70), np.uint64(2**63 + 1), np.int64(-(2**62))]


def test_seeds_of_any_size_differ():
    drawn, restarted = set(), set()
    for seed in SEEDS:
        drawn.add(bare(NORMAL(4, rng=seed)).tobytes())
        init.seed(seed)
        restarted.add(bare(NORMAL(4)).tobytes())
    assert len(drawn) == len(restarted) == len(SEEDS)


def test_a_negative_seed_is_not_a_positive_one():
    assert not same(NORMAL(4, rng=-1), NORMAL(4, rng=2**32 - 1))


@pytest.mark.parametrize(
    "seed",
    [
        5,
        2**32 - 1,
        2**40,
        2**70,
        -(2**70),
        -3,
    ],
)
def test_a_seed_means_the_same_in_double_precision(seed):
    _keys._key_from_seed.cache_clear()
    single = NORMAL(4, rng=seed)
    _keys._key_from_seed.cache_clear()
    with jax.enable_x64(True):
        assert same(NORMAL(4, rng=seed, dtype=np.float32), single)


@pytest.mark.parametrize("rng", [True, 1.0, "7", object(), np.array(3), [0, 1], u.nS])
def test_what_is_no_source_is_refused(rng):
    with pytest.raises(TypeError, match=r"`rng` can't be a .*; pass a JAX key"):
        NORMAL(3, rng=rng)


def test_a_source_that_gives_no_key_is_refused():
    with pytest.raises(TypeError, match="must give a JAX key when called, got int"):
        NORMAL(3, rng=lambda: 3)


class Raising:
    """A source whose attribute, or what it gives, raises."""

    def __init__(self, early):
        self.early = early

    @property
    def split_key(self):
        if self.early:
            raise RuntimeError("not now")
        return lambda: self.__call__()


@pytest.mark.parametrize(
    "rng",
    [Raising(True), Raising(False), lambda: 1 / 0, jax.random.key, np.random.Generator],
    ids=["attribute", "split_key", "function", "wrong arguments", "class"],
)
def test_a_source_that_raises_is_named_and_its_error_is_the_cause(rng):
    for hook in (NORMAL, NORMAL * 2.0, init.Mixture([NORMAL, 1.0])):
        with pytest.raises(TypeError, match="`rng` gave no key, .*Error in .*; pass") as caught:
            hook(3, rng=rng)
        assert not isinstance(caught.value.__cause__, type(None))


def test_several_keys_are_refused():
    for keys in (jax.random.split(jax.random.key(0), 3), np.zeros((3, 2), np.uint32)):
        with pytest.raises(ValueError, match=r"must be one key.*jax\.vmap"):
            NORMAL(3, rng=keys)


@pytest.mark.parametrize("seed", [1.0, "a", True])
def test_seed_takes_integers_only(seed):
    with pytest.raises(TypeError, match="`value` must be an int or None"):
        init.seed(seed)


def test_an_unseeded_stream_starts_elsewhere():
    drawn = set()
    for _ in range(3):
        init.seed(None)
        drawn.add(bare(NORMAL(4)).tobytes())
    assert len(drawn) == 3


FORKING = """
import os, threading
import braininit as init
from braininit._engine import keys as _keys

def words():
    return _keys.from_rng(None).tobytes().hex()

def child(of=words):
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.write(write, of().encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer

def seeding():
    init.seed(7)
    return words()

for seed in (5, 5, -5, None):
    init.seed(seed)
    words()
    print(child(), child(), child(lambda: child()), words(), child(seeding))
stop = threading.Event()
busy = threading.Thread(target=lambda: [words() for _ in iter(stop.is_set, True)])
busy.start()
for _ in range(20):
    child()
stop.set()
busy.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_a_stream_of_its_own():
    command = [sys.executable, "-W", "ignore", "-c", FORKING]
    # A child that waits for ever for a lock makes this one wait as well.
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    first, again, *others = [line.split() for line in run.stdout.splitlines()]
    assert first == again
    assert len({words[-1] for words in (first, *others)}) == 1  # a child may seed for itself
    assert len({word for words in (first, *others) for word in words[:-1]}) == 4 * 3


def test_threads_share_the_default_stream_without_losing_a_draw():
    def draw(into, n):
        into.extend(float(init.Uniform()(())) for _ in range(n))

    alone, together = [], []
    init.seed(3)
    draw(alone, 200)
    init.seed(3)
    threads = [threading.Thread(target=draw, args=(together, 25)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(alone)) == 200
    assert sorted(together) == sorted(alone)


# ---------------------------------------------------------------- while JAX is tracing

TRACING = {
    "jit": lambda f: jax.jit(f)(),
    "vmap": lambda f: jax.vmap(lambda x: f() + x)(jnp.ones(2)),
    "grad": lambda f: jax.grad(lambda x: f() * x)(1.0),
    "eval_shape": lambda f: jax.eval_shape(f),
    "scan": lambda f: jax.lax.scan(lambda c, _: (c + f(), None), 0.0, None, length=2),
    "nnx.jit": lambda f: nnx.jit(f)(),
    "filter_jit": lambda f: eqx.filter_jit(f)(),
}
FROZEN = ("default", "np.Generator", "np.RandomState", "np.random")


@pytest.mark.parametrize("transform", TRACING.values(), ids=TRACING)
@pytest.mark.parametrize("name", FROZEN)
def test_sources_that_would_freeze_are_refused(transform, name):
    make, _ = STATEFUL[name]
    rng = make(3)
    expected = NORMAL((), rng=rng)
    rng = make(3)
    with pytest.raises(RuntimeError, match=r"while JAX is tracing.* pass a JAX key"):
        transform(lambda: NORMAL((), rng=rng))
    assert same(NORMAL((), rng=rng), expected)  # and nothing was taken from it


@pytest.mark.parametrize("transform", TRACING.values(), ids=TRACING)
def test_keys_ints_and_constants_work_while_tracing(transform):
    transform(lambda: NORMAL((), rng=7))
    transform(lambda: NORMAL(jax.random.key(7), ()))
    transform(lambda: init.Constant(0.5)(()))
    assert close(jax.jit(lambda: NORMAL(5, rng=7))(), NORMAL(jax.random.key(7), 5))


def test_sources_that_are_refused_while_tracing_work_in_a_callback():
    init.seed(3)
    expected = bare(NORMAL(3))
    init.seed(3)
    shape = jax.ShapeDtypeStruct((3,), np.float32)
    assert same(jax.jit(lambda: jax.pure_callback(lambda: bare(NORMAL(3)), shape))(), expected)


@pytest.mark.parametrize(
    "context",
    [
        jax.disable_jit,
        jax.checking_leaks,
        lambda: jax.enable_x64(True),
        jax.ensure_compile_time_eval,
    ],
)
def test_settings_are_not_taken_for_tracing(context):
    with context():
        assert NORMAL(3).shape == NORMAL(3, rng=np.random.default_rng(0)).shape == (3,)


def test_the_package_may_be_imported_while_tracing(monkeypatch):
    spec = importlib.util.spec_from_file_location("keys_again", _keys.__file__)
    again = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "keys_again", again)
    jax.eval_shape(lambda: spec.loader.exec_module(again))
    with pytest.raises(RuntimeError, match="while JAX is tracing"):
        jax.eval_shape(lambda: again.from_rng(None))
    assert again.is_key(again.from_rng(None))


def test_a_framework_s_source_keeps_its_rules_inside_its_own_transforms():
    rng = brainstate.random.RandomState(3)
    draw = brainstate.transform.jit(lambda: NORMAL(4, rng=rng))
    first = draw()
    assert not same(draw(), first)
    assert close(first, NORMAL(4, rng=brainstate.random.RandomState(3)))
    rngs = nnx.Rngs(3)
    draw = nnx.jit(lambda rngs: NORMAL(4, rng=rngs))
    first = draw(rngs)
    assert not same(draw(rngs), first)
    assert close(first, NORMAL(4, rng=nnx.Rngs(3)))


# ---------------------------------------------------------------- what is not random


class Untouchable:
    def split_key(self):
        raise AssertionError("a deterministic initializer asked for a key")

    __call__ = split_key


@pytest.mark.parametrize("hook", [init.Constant(0.5 * u.nS), init.ZeroInit(), init.OneInit(u.mV)])
def test_deterministic_initializers_never_touch_their_source(hook):
    expected = bare(hook(3))
    for rng in (Untouchable(), "not a source", None):
        assert same(bare(hook(3, rng=rng)), expected)
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    jax.eval_shape(lambda: hook(3, rng=generator))
    hook(3, rng=generator)
    assert generator.bit_generator.state == before
    init.seed(3)
    first = NORMAL(4)
    init.seed(3)
    hook(3)
    assert same(NORMAL(4), first)
    key = jax.random.key(0)
    hook(key, 3)
    hook(key, 3)  # not reused: never used


# ---------------------------------------------------------------- key implementations

IMPLS = ("threefry2x32", "rbg", "unsafe_rbg", "philox4x32", "philox2x32")


def key_of(impl, seed=5):
    try:
        return jax.random.key(seed, impl=impl)
    except ValueError:
        pytest.skip(f"this JAX has no {impl}")


@pytest.mark.parametrize("impl", IMPLS)
def test_typed_keys_of_every_implementation(impl):
    drawn = init.normal(key_of(impl), (100, 100))
    assert same(init.Normal()((100, 100), rng=key_of(impl)), drawn)
    assert same(init.Normal()(key_of(impl), (100, 100)), drawn)
    assert close(jax.jit(lambda k: init.normal(k, (100, 100)))(key_of(impl)), drawn)
    assert not same(init.normal(key_of(impl, 6), (100, 100)), drawn)
    assert abs(drawn.mean()) < 5 / 100
    assert abs(drawn.std() - 1) < 5 / np.sqrt(20_000)


def test_implementations_draw_different_numbers():
    drawn = {bare(init.normal(key_of(impl), 5)).tobytes() for impl in IMPLS[:2] + IMPLS[3:]}
    assert len(drawn) == 4


@pytest.mark.parametrize("impl", IMPLS)
def test_every_source_follows_the_session_s_implementation(impl):
    key_of(impl)
    init.Normal()(6, rng=5)  # compiled for the implementation the session began with
    with jax.default_prng_impl(impl):
        expected = init.normal(jax.random.key(5), 6)
        for rng in (5, np.int64(5), jax.random.PRNGKey(5), np.asarray(jax.random.PRNGKey(5))):
            assert same(init.Normal()(6, rng=rng), expected)
        for name in FROZEN:
            make, _ = STATEFUL[name]
            drawn = init.Normal()(6, rng=make(3))
            assert same(init.Normal()(6, rng=make(3)), drawn)
            assert np.ptp(drawn) > 0.1
        assert not same(init.Normal()(6, rng=2**40), init.Normal()(6, rng=0))
        assert same(init.Normal()(6, rng=key_of("threefry2x32")), init.normal(_threefry(5), 6))
        assert init.Normal(0.0, 2.0) == init.Normal(std=2.0)
    if impl != "threefry2x32":
        assert not same(expected, init.normal(jax.random.key(5), 6))


def _threefry(seed):
    return jax.random.key(seed, impl="threefry2x32")


def test_a_legacy_key_of_another_implementation_is_refused():
    with jax.default_prng_impl("rbg"):
        words = jax.random.PRNGKey(5)
    with pytest.raises(TypeError, match="`rng` can't be"):
        NORMAL(3, rng=words)
    with pytest.raises(TypeError, match="must be a JAX key"):
        init.normal(words, 3)


@pytest.mark.parametrize("other", [jax.random.normal, init.uniform])
def test_a_key_is_used_up(other):
    key = jax.random.key(5)
    NORMAL(3, rng=key)
    with pytest.raises(jax.errors.KeyReuseError):
        other(key, (3,))
