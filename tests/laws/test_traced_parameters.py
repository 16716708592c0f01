"""Bad traced parameters: every draw is NaN, and `checkify` names them."""

from __future__ import annotations

import copy
import pickle

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import RANDOM
from jax.experimental import checkify

import braininit as init

NORMAL = init.Normal(0.5, 0.1)
every_random = pytest.mark.parametrize("case", RANDOM, ids=str)


def fresh():
    return jax.random.key(20)


BAD = {
    "finite": [np.nan, np.inf],
    "positive": [np.nan, 0.0, -1.0, np.inf],
    "non_negative": [np.nan, -1.0, np.inf],
    "bound": [np.nan],
    "whole": [np.nan, 0.5, np.inf],
    "count": [np.nan, -1.0, 2.5, np.inf],
    "fraction": [np.nan, -0.5, 1.5],
}


def bad_values(case):
    """Yield each parameter with values outside its domain."""
    for name, domain in case.domains.items():
        for value in BAD[domain]:
            yield name, value
        if name in case.order:
            yield name, case.given[case.order[1 - case.order.index(name)]]


def as_floats(case, size=()):
    return {n: np.full(size, v, np.float32) for n, v in case.given.items()}


@every_random
def test_one_bad_parameter_makes_every_draw_nan_and_checkify_names_it(case):
    def draw(values, k):
        return case.cls(**values)(k, (6,))

    good, checked = as_floats(case), jax.jit(checkify.checkify(draw))
    error, x = checked(good, fresh())
    assert error.get() is None
    assert np.isfinite(x).all()
    for name, value in bad_values(case):
        error, x = checked(good | {name: np.float32(value)}, fresh())
        assert np.isnan(x).all(), (name, value)
        assert any(f"`{n}`" in error.get() for n in (*case.called({name: 0}), *case.order))
    # An effect would disable fast dispatch for the user's whole program.
    assert not jax.jit(draw).trace(good, fresh()).jaxpr.effects


@every_random
def test_one_bad_number_in_an_array_makes_its_draw_nan(case):
    @jax.jit
    def draw(values, k):
        return case.cls(**values)(k, (6,))

    for name, value in bad_values(case):
        values = as_floats(case, 6)
        values[name][2] = value
        assert np.isnan(draw(values, fresh())).nonzero()[0].tolist() == [2], (name, value)


@pytest.mark.parametrize("case", [case for case in RANDOM if case.order], ids=str)
def test_a_traced_bound_beside_a_known_one(case):
    draw = jax.jit(lambda high, k: case.make(high=high)(k, (6,)))
    assert np.isfinite(draw(case.given["high"], fresh())).all()
    for value in (case.given["low"], np.nan):
        assert np.isnan(draw(value, fresh())).all()


def _by_std(std):
    return init.normal(fresh(), (6,), 0.0, std).sum()


def _by_bound(high):
    return init.uniform(fresh(), (6,), 0.0, high).sum()


TRANSFORMED = {
    "jit": lambda f: jax.jit(lambda x: f(x[1])),
    "vmap": jax.vmap,
    "map": lambda f: lambda x: jax.lax.map(f, x),
    "scan": lambda f: lambda x: jax.lax.scan(lambda total, v: (total + f(v), None), 0.0, x)[0],
    "cond": lambda f: lambda x: jax.lax.cond(x[0] > 0.0, f, abs, x[1]),
    "checkpoint": lambda f: jax.jit(lambda x: jax.checkpoint(jax.jit(f))(x[1])),
    "grad": lambda f: lambda x: jax.value_and_grad(f)(x[1]),
    "grad of checkpoint": lambda f: jax.grad(lambda x: jax.checkpoint(f)(x[1])),
    "vmap of grad": lambda f: jax.jit(jax.vmap(jax.value_and_grad(f))),
}


@pytest.mark.parametrize("draw", [_by_std, _by_bound])
@pytest.mark.parametrize("transformed", TRANSFORMED.values(), ids=TRANSFORMED)
def test_checkify_finds_a_check_within_every_transformation(draw, transformed):
    checked = jax.jit(checkify.checkify(transformed(draw)))
    error, _ = checked(jnp.array([1.0, 2.0]))
    assert error.get() is None
    error, _ = checked(jnp.array([1.0, -2.0]))
    assert "got" in error.get()


@pytest.mark.parametrize("draw", [_by_std, _by_bound])
def test_the_gradient_in_a_bad_parameter_is_nan(draw):
    good, bad = jax.vmap(jax.grad(draw))(jnp.array([1.0, -1.0]))
    assert np.isfinite(good)
    assert np.isnan(bad)


def test_checks_work_where_jax_verifies_its_programs():
    with jax.enable_checks(True):
        assert np.isfinite(jax.jit(_by_std)(1.0))
        assert np.isnan(jax.jit(_by_std)(-1.0))


# ---------------------------------------------------------------- no tracer outlives its trace


@pytest.mark.parametrize("obj", [NORMAL, NORMAL * 2.0, init.Mixture([NORMAL, 5.0])], ids=repr)
def test_an_argument_may_be_drawn_within_a_loop_first(obj):
    """Its parameters are traced outside the loop; its recipe is first needed inside."""

    @jax.jit
    def draw(obj, keys, key):
        return jax.lax.map(lambda k: obj(k, (3,)), keys), obj(key, (3,))

    for x in draw(obj, jax.random.split(fresh()), fresh()):
        assert np.isfinite(x).all()


COPIES = {
    "pickle": lambda obj: pickle.loads(pickle.dumps(obj)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "tree": lambda obj: jax.tree.map(lambda x: x, obj),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@every_random
def test_a_copy_may_be_drawn_within_a_program_first(case, copied):
    """Its parameters are known, but operations convert them to one unit, or widen them."""
    odd = {n: u.uS**p for n, p in case.powers.items()} | dict.fromkeys(case.carriers[1:], u.uS)
    values = {
        n: jnp.full(2, v * 1e-3 if odd.get(n) is u.uS else v, np.float16)
        * (odd.get(n, u.nS) if n in case.carriers else 1.0)
        for n, v in case.given.items()
    }
    obj = copied(case.cls(**values) * 2.0)
    jax.eval_shape(lambda k: obj(k, (2,)), fresh())
    assert not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(obj._recipe))
