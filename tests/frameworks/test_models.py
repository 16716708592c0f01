"""Objects and parameters with a unit in models: differentiated, kept as fields, compiled."""

from __future__ import annotations

import functools
from typing import Any

import brainunit as u
import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import Spy, bare, close, same

import braininit as init

NORMAL = init.Normal(0.5, 0.1)
CONDUCTANCE = init.Normal(0.5 * u.nS, 0.1 * u.nS)

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
