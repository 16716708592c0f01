"""Every initializer is a value: equality, hash, repr, pickle, PyTree."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import brainunit as u
import cases
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, RANDOM, SIMPLE

import braininit as init

every = pytest.mark.parametrize("case", CASES, ids=str)
every_simple = pytest.mark.parametrize("case", SIMPLE, ids=str)
every_random = pytest.mark.parametrize("case", RANDOM, ids=str)
NAMES = vars(init) | vars(cases) | {"Quantity": u.Quantity, "array": np.array}


@every
@pytest.mark.parametrize("unit", [None, u.nS], ids=["bare", "nS"])
def test_equality_hash_pickle_copy_repr(case, unit):
    obj = case.make(unit)
    twin = case.make(unit)
    assert obj == twin
    assert type(obj == twin) is bool
    assert hash(obj) == hash(twin)
    for again in (
        pickle.loads(pickle.dumps(obj)),
        copy.deepcopy(obj),
        jax.tree.map(lambda x: x, obj),
        eval(repr(obj), NAMES),
    ):
        assert again == obj
        assert hash(again) == hash(obj)
        assert repr(again) == repr(obj)
    assert obj != case.make(u.mV) or not case.has_unit
    assert obj != object()
    assert (obj == np.ones(3)) is False


@every_random
def test_equality_with_array_parameters(case):
    def make(last):
        return case.cls(**{n: np.array([v, v * last], np.float32) for n, v in case.given.items()})

    assert make(1.0) == make(1.0)
    assert hash(make(1.0)) == hash(make(1.0))
    assert make(1.0) != make(2.0)
    assert make(1.0) != case.make()
    assert eval(repr(make(1.0)), NAMES) == make(1.0)


@every
def test_frozen(case):
    obj = case.make(u.nS)
    for field in dataclasses.fields(obj):
        with pytest.raises(AttributeError):
            setattr(obj, field.name, 1.0)


@every_simple
def test_pytree(case):
    obj = case.make(u.nS)
    leaves, structure = jax.tree.flatten(obj)
    numbers = {
        f.name: case.given.get(f.name, f.default)
        for f in dataclasses.fields(case.cls)
        if not f.metadata.get("static")
    }
    assert leaves == jax.tree.leaves(list(numbers.values()))
    assert jax.tree.unflatten(structure, [object()] * len(leaves)) is not None  # never validates
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(obj)]
    assert all(p.split(".")[1].split("[")[0] in numbers for p in paths)


@every_random
def test_no_retrace(case):
    @jax.jit
    @chex.assert_max_traces(n=1)
    def draw(obj, k):
        return obj(k, (3,))

    chex.clear_trace_counter()
    key = jax.random.key(1)
    draw.trace(case.make(u.nS), key)
    doubled = {n: v * 2.0 for n, v in case.given.items()}
    draw.trace(case.cls(**{n: case.dress(n, v, u.nS) for n, v in doubled.items()}), key)
    single = {n: np.float32(v) if n in case.carriers else v for n, v in case.given.items()}
    draw.trace(case.cls(**{n: case.dress(n, v, u.nS) for n, v in single.items()}), key)


@every_simple
def test_integers_are_taken_as_floats(case):
    values = case.whole or {n: i for i, n in enumerate(case.given, start=1)}
    obj = case.cls(**values)
    assert all(type(leaf) is float for leaf in jax.tree.leaves(obj))
    assert obj == case.cls(**{n: float(v) if type(v) is int else v for n, v in values.items()})
    assert jax.eval_shape(lambda: obj(case.fit(3), rng=0)).dtype == jnp.float32
