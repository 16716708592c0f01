"""Initializers as plain data, and `param`: what a constructor may be given."""

from __future__ import annotations

import json

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brainstate.nn import Param
from cases import CASES, RANDOM
from flax import nnx

import braininit as init

N = init.Normal(0.5 * u.nS, 0.1 * u.nS)


def key():
    return jax.random.key(0)


# ---------------------------------------------------------------- to_config and get


def through_json(obj):
    return init.get(json.loads(json.dumps(init.to_config(obj), allow_nan=False)))


@pytest.mark.parametrize("case", [c for c in CASES if str(c) != "Conditional"], ids=str)
@pytest.mark.parametrize("unit", [None, u.nS], ids=["bare", "nS"])
def test_every_initializer_goes_round(case, unit):
    obj = case.make(unit)
    assert through_json(obj) == obj


@pytest.mark.parametrize(
    "obj",
    [
        (N * 2 + 0.1 * u.nS).clip(0 * u.nS),
        init.Mixture([N, init.Mixture([N, init.Constant(1 * u.nS)])], [0.25, 0.75], axis=(0, 1)),
        init.Uniform(np.zeros(2), np.ones((3, 1), np.float32)),
        init.Uniform(np.array([0.0, 1.0]) * u.mV, 2 * u.mV),
        init.Constant(np.inf),
        init.Constant(np.array([np.nan, -np.inf])),
        init.Constant(1 + 2j),
        init.TruncatedNormal(0.5 * u.nS, 0.1 * u.nS, high=np.inf),
        init.DistanceModulated(N, init.GaussianProfile(50 * u.um) * 0.5 + 0.1, box=1 * u.mm),
    ],
    ids=lambda x: type(x).__name__,
)
def test_nested_objects_and_odd_numbers_go_round(obj):
    assert through_json(obj) == obj


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_names(case):
    name = case.function.__name__
    given = init.to_config(case.make())
    for spelled in (str(case), name, name.upper(), str(case).lower()):
        assert init.get(given | {"class": spelled}) == case.make()


def test_aliases_and_what_is_an_initializer_already():
    assert init.get("he_normal") == init.KaimingNormal()
    assert init.get("glorot_uniform") == init.XavierUniform()
    assert init.get("zeros") == init.ZeroInit()
    assert init.get(N) is N
    assert init.get(0.5 * u.nS) == init.Constant(0.5 * u.nS)
    assert init.get({"value": 0.5, "unit": "nS"}) == init.Constant(0.5 * u.nS)
    he = jax.nn.initializers.he_normal()
    np.testing.assert_array_equal(init.get(he)(key(), (3, 2)), he(key(), (3, 2)))


def test_a_configuration_written_by_hand():
    made = init.get(
        {
            "class": "mixture",
            "distributions": [
                {"class": "Normal", "mean": "0.5 nS", "std": {"value": 1e-4, "unit": "uS"}},
                "5e-1 nS",
                {"class": "LogNormal", "mean": "1 nS", "std": "0.5 nS"},
            ],
            "weights": [0.5, 0.25, 0.25],
        }
    )
    assert made == init.Mixture(
        [
            init.Normal(0.5 * u.nS, 1e-4 * u.uS),
            init.Constant(0.5 * u.nS),
            init.LogNormal(1 * u.nS, 0.5 * u.nS),
        ],
        [0.5, 0.25, 0.25],
    )


@pytest.mark.parametrize(
    ("identifier", "error", "text"),
    [
        ("Nromal", ValueError, "'Nromal'; did you mean 'Normal'"),
        ("__import__('os')", ValueError, "no initializer is called"),
        ({"class": "Normal", "std_": 1}, TypeError, "'std_'; did you mean 'std'"),
        ({"class": "Normal", "mean": "a lot"}, TypeError, "`mean`.*'a lot'"),
        ({"class": "Normal", "mean": "1 furlong"}, ValueError, "'furlong' names no unit"),
        ({"mean": 1}, TypeError, "names no class"),
        ({"class": "Gamma"}, TypeError, "missing"),
        (None, TypeError, "`identifier`"),
    ],
)
def test_errors_of_get(identifier, error, text):
    with pytest.raises(error, match=text):
        init.get(identifier)


def test_a_profile_goes_round():
    profile = (0.5 * init.GaussianProfile(50 * u.um) + 0.1).clip(max_val=0.4)
    assert through_json(profile) == profile
    by_hand = {"class": "GaussianProfile", "sigma": "50 um"}
    assert init.get(by_hand) == init.GaussianProfile(50 * u.um)


def test_functions_cannot_be_written():
    for obj in (init.Conditional(np.isnan, N, N), N | np.abs, init.Scaled(np.zeros, 2.0)):
        with pytest.raises(TypeError, match="plain data"):
            init.to_config(obj)


def test_a_users_own_class_goes_round():
    def laplace(key, shape, loc=0.0, scale=1.0, *, dtype=None):
        return loc + scale * jax.random.laplace(key, shape, dtype)

    class Laplace(init.Initialization, function=laplace):
        loc: init.QuantityLike = 0.0
        scale: init.QuantityLike = 1.0

    assert through_json(Laplace(scale=2.0) * 3) == Laplace(scale=2.0) * 3


# ---------------------------------------------------------------- param


def test_param_of_initializers_and_functions():
    assert init.param(N, 10, rng=0).shape == (10,)
    assert init.param(N, 10, batch_size=4, rng=0, dtype=jnp.bfloat16).dtype == jnp.bfloat16
    batch = init.param(N, 10, batch_size=4, rng=0)
    assert batch.shape == (4, 10)
    assert not u.math.allclose(batch[0], batch[1])
    assert init.param("kaiming_normal", (3, 2), rng=0).shape == (3, 2)
    assert init.param({"class": "Normal", "mean": "1 nS", "std": "1 nS"}, 2, rng=0).unit == u.nS
    he = jax.nn.initializers.he_normal()
    np.testing.assert_array_equal(init.param(he, (3, 2), rng=key()), he(key(), (3, 2)))
    np.testing.assert_array_equal(init.param(np.zeros, (3, 2)), np.zeros((3, 2)))
    np.testing.assert_array_equal(init.param(lambda size: jnp.ones(size), 3), np.ones(3))


def test_param_is_called_as_conn_calls_it():
    rng = np.random.RandomState(0)
    x = init.param(
        N, 10, rng=rng, param_type="weight", pre_size=5, post_size=2, pre_positions=None,
        post_positions=None,
    )  # fmt: skip
    assert x.shape == (10,)


def test_param_of_values():
    assert init.param(None, 3) is None
    assert init.param(0.5 * u.nS, 3) == 0.5 * u.nS
    assert init.param(5, 3) == 5
    array = np.ones(3)
    assert init.param(array, 3) is array
    assert init.param(np.ones((1,)) * u.nS, 3).shape == (1,)
    assert init.param(np.ones(3) * u.nS, 3, batch_size=2).shape == (2, 3)
    assert init.param(np.ones((1, 3)), (4, 3), batch_size=2).shape == (2, 4, 3)


@pytest.mark.parametrize(
    ("given", "options", "error", "text"),
    [
        (None, {"allow_none": False}, ValueError, "None"),
        (1.0, {"allow_scalar": False}, TypeError, "one number"),
        (1.0 * u.nS, {"allow_scalar": False}, TypeError, "one number"),
        (np.ones(4), {}, ValueError, r"\(4,\).*does not match the size \(3,\)"),
        (np.ones((2, 3)), {}, ValueError, "does not match"),
        (np.ones((2, 3)), {"batch_size": 4}, ValueError, "batch size 2.*batch_size=4"),
        (lambda size: np.ones(7), {}, ValueError, "does not match|gave the shape"),
        (object(), {}, TypeError, "must be an initializer"),
        (init.Normal, {}, TypeError, "class Normal"),
    ],
)
def test_errors_of_param(given, options, error, text):
    with pytest.raises(error, match=text):
        init.param(given, 3, **options)


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (brainstate.State, lambda s: s.value),
        (Param, lambda p: p.value()),
        (nnx.Param, lambda v: v[...]),
    ],
    ids=["State", "brainstate Param", "nnx Param"],
)
def test_param_of_containers(make, read):
    container = make(jnp.ones(5))
    assert init.param(container, 5) is container
    assert init.param(container, 5, batch_size=3) is container
    assert read(container).shape == (3, 5)
    assert init.param(container, 5, batch_size=3) is container
    with pytest.raises(ValueError, match="batch size"):
        init.param(container, 5, batch_size=4)
    with pytest.raises(ValueError, match="does not match"):
        init.param(make(jnp.ones(10)), 5)
