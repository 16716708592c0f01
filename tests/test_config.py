"""Initializers as plain data, and `param` for the arguments of constructors."""

from __future__ import annotations

import collections
import json
import random

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
def test_every_initializer_round_trips(case, unit):
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
def test_nested_objects_and_odd_numbers_round_trip(obj):
    assert through_json(obj) == obj


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_names(case):
    name = case.function.__name__
    given = init.to_config(case.make())
    for spelled in (str(case), name, name.upper(), str(case).lower()):
        assert init.get(given | {"class": spelled}) == case.make()


def test_aliases_numbers_and_functions():
    assert init.get("he_normal") == init.KaimingNormal()
    assert init.get("glorot_uniform") == init.XavierUniform()
    assert init.get("zeros") == init.ZeroInit()
    assert init.get(N) is N
    assert init.get(0.5 * u.nS) == init.Constant(0.5 * u.nS)
    assert init.get({"value": 0.5, "unit": "nS"}) == init.Constant(0.5 * u.nS)
    he = jax.nn.initializers.he_normal()
    np.testing.assert_array_equal(init.get(he)(key(), (3, 2)), he(key(), (3, 2)))


def test_a_configuration_written_by_hand():
    mixture = init.get(
        {
            "class": "mixture",
            "distributions": [
                {"class": "Normal", "mean": "0.5 nS", "std": {"value": 1e-4, "unit": "uS"}},
                "5e-1 nS",
                "LogNormal(1*nS, 0.5*nS)",
            ],
            "weights": [0.5, 0.25, 0.25],
        }
    )
    assert mixture == init.Mixture(
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
        ("__import__('os')", ValueError, "unknown name __import__"),
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


class Listed(collections.UserList):
    """A sequence that is not a list, like OmegaConf's."""


class Ducks:
    """A sequence by its methods alone, without a base class."""

    def __init__(self, values):
        self._values = values

    def __len__(self):
        return len(self._values)

    def __getitem__(self, i):
        return self._values[i]


class Mapped(collections.UserDict):
    """A mapping that is not a dictionary."""


def as_sequences(config, kind):
    """Replace each list in a configuration by another kind of sequence."""
    if isinstance(config, dict):
        return Mapped({n: as_sequences(v, kind) for n, v in config.items()})
    return kind([as_sequences(v, kind) for v in config]) if isinstance(config, list) else config


@pytest.mark.parametrize("kind", [tuple, Listed, Ducks], ids=lambda x: x.__name__)
@pytest.mark.parametrize("case", [c for c in CASES if str(c) != "Conditional"], ids=str)
def test_any_sequence_may_replace_a_list(case, kind):
    config = init.to_config(case.make(u.nS))
    assert init.get(as_sequences(config, kind)) == case.make(u.nS)


AXES = [range(1), np.arange(1), jnp.arange(1), (0,), Listed([0]), Ducks([np.int64(0)])]


@pytest.mark.parametrize("axes", AXES, ids=lambda x: type(x).__name__)
def test_axes_in_any_form(axes):
    for name in ("KaimingNormal", "VarianceScaling", "XavierUniform", "Orthogonal", "Mixture"):
        field = "axis" if name == "Mixture" else "batch_axis"
        given = {"distributions": [1.0, 2.0]} if name == "Mixture" else {}
        obj = init.get({"class": name, field: axes} | given)
        assert obj == getattr(init, name)(**given, **{field: (0,)})


def test_numbers_in_any_sequence():
    for low in (["0 mV", "1 mV"], ("0 mV", {"value": 1, "unit": "mV"}), Ducks(["0 uV", "1 mV"])):
        uniform = init.get({"class": "Uniform", "low": low, "high": "2 mV"})
        assert u.math.allclose(uniform.low, np.array([0.0, 1.0]) * u.mV)
    assert init.get({"class": "Normal", "mean": range(3)}) == init.Normal([0.0, 1.0, 2.0])
    assert init.get({"class": "Normal", "mean": np.float32(3)}) == init.Normal(3.0)
    complex_array = init.Constant(np.array([1 + 2j, 3]))
    assert through_json(complex_array) == complex_array


# ---------------------------------------------------------------- nonsense

NORMAL = {"class": "Normal"}
DEEP = {"class": "Normal", "mean": 0.0}
for _ in range(3000):
    DEEP = {"class": "Scaled", "base_dist": DEEP, "scale_factor": 1.0}
CYCLE = {"class": "Mixture", "distributions": [1.0]}
CYCLE["distributions"].append(CYCLE)
KNOT = []
KNOT.extend([KNOT, KNOT])
SHARED = [1.0]
for _ in range(60):
    SHARED = [SHARED, SHARED]


NONSENSE = [
    (DEEP, ValueError, "nested more than 150 deep"),
    (CYCLE, ValueError, "contains itself"),
    (NORMAL | {"mean": KNOT}, ValueError, "contains itself"),
    (NORMAL | {"mean": SHARED}, ValueError, "more than 10000000 parts"),
    (
        NORMAL | {"mean": {"array": [1], "dtype": "S1000000000"}},
        TypeError,
        "`mean` must be an array of numbers, got dtype S1000000000",
    ),
    (NORMAL | {"mean": {"array": [1], "dtype": "object"}}, TypeError, "got dtype object"),
    (
        NORMAL | {"mean": {"array": [1], "dtype": "m8[s]"}},
        TypeError,
        "of numbers, got dtype m8",
    ),
    (NORMAL | {"mean": {"array": [1], "dtype": None}}, TypeError, "got dtype None"),
    (NORMAL | {"mean": {"array": [[1], [1, 2]], "dtype": "float32"}}, TypeError, "`mean`"),
    (NORMAL | {"mean": {"array": ["a"], "dtype": "float32"}}, TypeError, r"`mean\[0\]`.*'a'"),
    (NORMAL | {"mean": {"array": {"class": "Normal"}, "dtype": "float32"}}, TypeError, "`mean`"),
    ({"class": "Custom", "function": "os.system"}, ValueError, "no initializer is called 'Custom'"),
    ("custom", ValueError, "no initializer is called 'custom'"),
    ({"class": "Compose", "base_dist": 1.0, "functions": ["os.system"]}, TypeError, "functions"),
    ({"class": "Compose", "base_dist": 1.0, "functions": "os.system"}, TypeError, "functions"),
    (
        {"class": "Conditional", "condition_fn": "os.system", "true_dist": 1, "false_dist": 2},
        TypeError,
        "condition_fn",
    ),
    ({"class": "ApplyProfile", "profile": NORMAL, "func": "os.system"}, TypeError, "profile|func"),
    (NORMAL | {"mean": [True, 2.0]}, TypeError, r"`mean\[0\]` must be a number, got True"),
    (NORMAL | {"mean": True}, TypeError, "`mean` must be a number, got True"),
    (NORMAL | {"mean": {"value": True, "unit": "nS"}}, TypeError, "`mean`.*True"),
    (NORMAL | {"mean": {"array": [True], "dtype": "float32"}}, TypeError, r"`mean\[0\]`.*True"),
    (NORMAL | {"mean": [1.0, None]}, TypeError, r"`mean\[1\]` must be a number, got None"),
    (NORMAL | {"mean": {"value": None, "unit": "nS"}}, TypeError, "`mean`"),
    (NORMAL | {"mean": {"value": "1 nS", "unit": "nS"}}, TypeError, "`mean`.*bare.*1 nS"),
    (
        NORMAL | {"mean": {"value": {"value": 1, "unit": "nS"}, "unit": "nS"}},
        TypeError,
        "`mean`.*bare.*1 nS",
    ),
    (NORMAL | {"mean": {"value": NORMAL, "unit": "nS"}}, TypeError, "`mean`"),
    (NORMAL | {"mean": {"value": 1, "unit": 3}}, TypeError, "`mean`.*unit"),
    (
        NORMAL | {"mean": {"value": 1, "unit": "(" * 5000 + "nS" + ")" * 5000}},
        ValueError,
        "names no unit",
    ),
    (NORMAL | {"mean": "1 " + "nS / " * 5000 + "nS"}, ValueError, "names no unit"),
    (NORMAL | {"mean": "0.5nS"}, TypeError, "`mean` must be a number, got '0.5nS'; .*'0.5 nS'"),
    (NORMAL | {"mean": {"complex": [1]}}, TypeError, "real and an imaginary"),
    (NORMAL | {"mean": {"complex": [1, 2, 3]}}, TypeError, "real and an imaginary"),
    (NORMAL | {"mean": {"complex": 3}}, TypeError, "real and an imaginary"),
    (NORMAL | {"mean": {"complex": ["a", 2]}}, TypeError, r"`mean\[0\]`"),
    (NORMAL | {"mean": {"complex": [1 + 2j, 2]}}, TypeError, "real and an imaginary|complex"),
    (NORMAL | {"mean": b"1"}, TypeError, "`mean`"),
    (NORMAL | {"mean": {1, 2}}, TypeError, "`mean`"),
    (NORMAL | {"mean": 10**400}, ValueError, "`mean` is beyond"),
    (NORMAL | {3: 1}, TypeError, "no parameter 3"),
    ({"class": 3}, TypeError, "names no class"),
    ({"class": ["Normal"]}, TypeError, "names no class"),
    ({}, TypeError, "names no class"),
    ({"class": "Mixture", "distributions": "Normal"}, TypeError, None),
    ({"class": "Mixture", "distributions": 3}, TypeError, None),
    ({"class": "Mixture", "distributions": [None]}, TypeError, r"distributions\[0\]"),
    ({"class": "Mixture", "distributions": [True]}, TypeError, r"distributions\[0\]"),
]


@pytest.mark.parametrize("index", range(len(NONSENSE)))
def test_nonsense_is_refused(index):
    config, error, text = NONSENSE[index]
    with pytest.raises(error, match=text):
        init.get(config)


def test_the_deepest_configuration_is_read():
    deep = [0.0]
    for _ in range(27):
        deep = [deep]
    deep = {"class": "Normal", "mean": deep}
    for _ in range(57):
        deep = {"class": "Mixture", "distributions": [deep]}
    obj = init.get(deep)
    config = init.to_config(obj)
    assert init.to_config(init.get(config)) == config
    for _ in range(5):
        obj = init.Mixture([obj])
    with pytest.raises(ValueError, match="nested more than 150 deep"):
        init.to_config(obj)


def test_random_configurations():
    """Any configuration gives an object or an error with a message."""
    source = random.Random(0)
    names = sorted(
        {str(case) for case in CASES} | {"GaussianProfile", "CombinedProfile", "Compose"}
    )
    leaves = [0, 1, -1, 2.5, True, None, "", "1 nS", "nS", "inf", "nan", "relu", "Normal", b"x",
              10**400, float("nan"), 1j, (), {}, {1}, range(3), np.arange(2.0), np.array("a"),
              np.float32(1), 2 * u.ms, u.mV, object(), np.zeros((2, 0)), "\ud800"]  # fmt: skip

    def make(depth):
        kind = source.random()
        if depth == 0 or kind < 0.4:
            return source.choice(leaves)
        if kind < 0.55:
            return [make(depth - 1) for _ in range(source.randrange(4))]
        if kind < 0.65:
            return {
                "value": make(depth - 1),
                "unit": source.choice(["nS", "1", 3, "", u.mV, None]),
            }
        if kind < 0.7:
            return {
                "array": make(depth - 1),
                "dtype": source.choice(["float32", "f", 3, "U9", None]),
            }
        if kind < 0.73:
            return {"complex": make(depth - 1)}
        config = {"class": source.choice(names)}
        known = init.get.__globals__["_named"](config["class"]).__dataclass_fields__
        for name in source.sample(sorted(known), source.randrange(len(known) + 1)):
            config[name] = make(depth - 1)
        return config

    refused = 0
    for _ in range(600):
        try:
            obj = init.get(make(4))
        except (TypeError, ValueError):
            refused += 1
            continue
        assert through_json(obj) == obj
    assert 100 < refused < 500


# ---------------------------------------------------------------- profiles and functions


def test_a_profile_round_trips():
    profile = (0.5 * init.GaussianProfile(50 * u.um) + 0.1).clip(max_val=0.4)
    assert through_json(profile) == profile
    by_hand = {"class": "GaussianProfile", "sigma": "50 um"}
    assert init.get(by_hand) == init.GaussianProfile(50 * u.um)


def test_functions_have_no_configuration():
    for obj in (init.Conditional(np.isnan, N, N), N | np.abs, init.Scaled(np.zeros, 2.0)):
        with pytest.raises(TypeError, match="plain data"):
            init.to_config(obj)


def test_a_users_class_round_trips():
    def logistic(key, shape, loc=0.0, scale=1.0, *, dtype=None):
        return loc + scale * jax.random.logistic(key, shape, dtype)

    class OwnLogistic(init.Initialization, function=logistic):
        loc: init.QuantityLike = 0.0
        scale: init.QuantityLike = 1.0

    assert through_json(OwnLogistic(scale=2.0) * 3) == OwnLogistic(scale=2.0) * 3


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
        (1.0, {"allow_scalar": False}, TypeError, "a scalar"),
        (1.0 * u.nS, {"allow_scalar": False}, TypeError, "a scalar"),
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
