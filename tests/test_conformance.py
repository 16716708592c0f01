"""The laws every distribution obeys, whatever it is."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
import pickle
import re

import brainunit as u
import cases
import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from cases import CASES, ELSEWHERE, RANDOM, SIMPLE
from jax.experimental import checkify
from numpydoc.docscrape import NumpyDocString

import braininit as init

UNITS = (None, u.nS)
every = pytest.mark.parametrize("case", CASES, ids=str)
every_simple = pytest.mark.parametrize("case", SIMPLE, ids=str)
every_random = pytest.mark.parametrize("case", RANDOM, ids=str)
with_and_without_unit = pytest.mark.parametrize("unit", UNITS, ids=["bare", "nS"])


def bare(x):
    return np.asarray(x.mantissa if isinstance(x, u.Quantity) else x)


def fresh(n=20):
    """A key of its own for each use: the session refuses reused ones."""
    return jax.random.key(n)


# ---------------------------------------------------------------- the table is complete


def test_every_public_distribution_has_a_row():
    public = {v for v in vars(init).values() if isinstance(v, type)}
    twins = {v for v in public if issubclass(v, init.Initialization) and v._function}
    assert twins - ELSEWHERE == {case.cls for case in CASES}
    assert all(case.function is case.cls._function for case in CASES)


def test_every_public_name_is_documented():
    for name, value in vars(init).items():
        if not name.startswith("_") and not inspect.ismodule(value) and callable(value):
            assert value.__doc__, name


@every
def test_the_twins_live_side_by_side(case):
    source = inspect.getsource(inspect.getmodule(case.cls))
    gap = source.index(f"class {case.cls.__name__}(") - source.index(
        f"def {case.function.__name__}("
    )
    assert 0 < gap < 6000
    assert case.cls._function is case.function


SHARED = {"key", "shape", "dtype", "out_sharding", "context"}
"""Documented once, in `Initialization`."""


def listed(*docs):
    return {
        name.strip("* ")
        for doc in docs
        for parameter in NumpyDocString(doc)["Parameters"]
        for name in parameter.name.split(",")
    }


def consulted(function, seen=()):
    """The docstring of a function, and those of this package's functions that it names."""
    doc = inspect.getdoc(function)
    named = (getattr(init, name, None) for name in re.findall(r"`(\w+)`", doc))
    others = [f for f in named if inspect.isfunction(f) and f not in (function, *seen)]
    return [doc, *(d for f in others for d in consulted(f, (function, *seen)))]


@every
def test_the_documentation_is_complete(case):
    """A summary, every parameter of its own, a density; examples run as tests."""
    own = inspect.signature(case.function).parameters.keys() - SHARED
    doc, *others = consulted(case.function)
    assert NumpyDocString(doc)["Summary"]
    assert listed(doc) <= own <= listed(doc, *others)
    assert case not in RANDOM or any(".. math::" in each for each in (doc, *others))
    assert f"the twin of `{case.function.__name__}`" in case.cls.__doc__
    assert not listed(inspect.getdoc(case.cls))


def test_what_all_share_is_documented_once():
    assert listed(inspect.getdoc(init.Initialization)) >= SHARED


# ---------------------------------------------------------------- shape, dtype, unit


@every
@with_and_without_unit
@pytest.mark.parametrize(
    ("size", "shape"),
    [
        (5, (5,)),
        (np.int64(5), (5,)),
        ((2, 3), (2, 3)),
        ([2, np.int32(3)], (2, 3)),
        ((), ()),
        (0, (0,)),
        ((2, 0, 3), (2, 0, 3)),
        (np.array([4, 2]), (4, 2)),
    ],
    ids=str,
)
def test_shape_dtype_unit(case, unit, size, shape):
    obj = case.make(unit)
    out = jax.eval_shape(lambda k: obj(k, case.fit(size)), fresh())
    leaf = out.mantissa if unit is not None else out
    assert leaf.shape == case.fit(shape)
    assert leaf.dtype == jnp.float32
    assert (
        (out.unit == case.result(unit))
        if unit is not None
        else isinstance(leaf, jax.ShapeDtypeStruct)
    )


LOW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz")


@every
@pytest.mark.parametrize("dtype", ["float32", *LOW, "float8_e3m4"])
def test_dtype(case, dtype):
    out = jax.eval_shape(lambda k: case.make()(k, case.fit((3,)), jnp.dtype(dtype)), fresh())
    assert out.dtype == jnp.dtype(dtype)


@every
def test_dtype_x64(case, x64):
    assert case.make()(case.fit(3), rng=0).dtype == jnp.float64
    assert case.make()(case.fit(3), rng=0, dtype=jnp.float32).dtype == jnp.float32


@every
def test_float64_without_x64_is_float32_and_says_so(case):
    with pytest.warns(UserWarning, match="jax_enable_x64"):
        assert case.make()(case.fit(3), rng=0, dtype=np.float64).dtype == jnp.float32


@every
@pytest.mark.parametrize(
    "dtype", [int, "uint8", bool, ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e8m0fnu, ml_dtypes.int4]
)
def test_dtypes_that_cannot_hold_a_draw_are_refused(case, dtype):
    with pytest.raises(TypeError, match="`dtype` must be"):
        case.make()(3, rng=0, dtype=dtype)


@every
def test_real_result_is_a_plain_array(case):
    drawn = case.make()(case.fit(3), rng=0)
    assert isinstance(drawn, jax.Array)
    assert not drawn.weak_type
    assert isinstance(case.make(u.nS)(case.fit(3), rng=0), u.Quantity)


# ---------------------------------------------------------------- one draw, every road


@every
@with_and_without_unit
def test_function_object_and_both_ways_of_calling_agree(case, unit):
    values, size = case.dressed(unit), case.fit((7, 3))
    expected = case.function(fresh(), size, **case.called(values))
    obj = case.cls(**values)
    for drawn in (
        obj(fresh(), size),
        obj(size, rng=fresh()),
        obj(key=fresh(), shape=size),
        obj(size=size, rng=fresh(), param_type="weight", pre_size=7, post_size=3),
        in_order(case, values)(size, rng=jax.random.key_data(fresh())),
    ):
        chex.assert_trees_all_equal(drawn, expected)


def in_order(case, values):
    """The object with as many of its parameters as possible given by position."""
    names = [*itertools.takewhile(values.__contains__, case.cls.__dataclass_fields__)]
    return case.cls(*(values[n] for n in names), **{n: values[n] for n in values if n not in names})


@every
@with_and_without_unit
def test_jit_equals_eager(case, unit):
    obj, size = case.make(unit), case.fit((50,))
    eager = obj(fresh(), size)
    closed_over = jax.jit(lambda k: obj(k, size))(fresh())
    as_argument = jax.jit(lambda o, k: o(k, size))(obj, fresh())
    built_inside = jax.jit(lambda v, k: case.cls(**v)(k, size))
    chex.assert_trees_all_equal(closed_over, eager)
    chex.assert_trees_all_equal(as_argument, eager)
    if case.carriers:
        traced = built_inside(case.dressed(unit), fresh())
        chex.assert_trees_all_equal(traced, eager)


@every
@with_and_without_unit
def test_vmap_over_keys(case, unit):
    obj, size = case.make(unit), case.fit((4,))
    drawn = jax.vmap(lambda k: obj(k, size))(jax.random.split(fresh(), 3))
    singles = [obj(k, size) for k in jax.random.split(fresh(), 3)]
    chex.assert_trees_all_equal(drawn, jax.tree.map(lambda *x: jnp.stack(x), *singles))


@every_random
@with_and_without_unit
def test_vmap_over_parameters_and_keys(case, unit):
    many = {n: jnp.full(3, v, float) for n, v in case.given.items()}

    obj = case.make(unit)

    def one(values, k):
        return case.cls(**{n: case.dress(n, v, unit) for n, v in values.items()})(k, (4,))

    over_parameters = jax.vmap(one, (0, None))(many, fresh())
    single = obj(fresh(), (4,))
    repeated = jax.tree.map(lambda x: jnp.stack([x] * 3), single)
    chex.assert_trees_all_close(over_parameters, repeated, rtol=3e-7)
    keys = jax.random.split(fresh(), 3)
    over_both = jax.vmap(one)(many, keys)
    again = jax.vmap(lambda k: obj(k, (4,)))(jax.random.split(fresh(), 3))
    chex.assert_trees_all_close(over_both, again, rtol=3e-7)


@every_random
def test_array_parameters_broadcast(case):
    obj = case.cls(**{n: np.full((2, 1), v) for n, v in case.given.items()})
    chex.assert_trees_all_close(
        obj(fresh(), (2, 5)), case.make()(fresh(), (2, 5)), rtol=1e-6, atol=2e-7
    )


@every_random
def test_object_with_array_parameters_keeps_its_support_per_element(case):
    factor = np.array([[1.0], [2.0]])
    scaled = {
        n: v * factor ** case.power(n) if n in case.carriers else v for n, v in case.given.items()
    }
    one = bare(case.make()(fresh(), (2, 400)))
    both = bare(case.cls(**scaled)(fresh(), (2, 400)))
    np.testing.assert_allclose(both, one * factor, rtol=1e-5, atol=2e-7)


@every
def test_a_good_draw_is_no_fault_to_jax_debug_nans(case):
    """What a draw is where something is bad is not made before it is."""
    obj, size = case.make(), case.fit((4,))
    with jax.debug_nans(True):
        obj(fresh(), size)
        jax.jit(lambda k: obj(k, size))(fresh())
        jax.vmap(lambda k: obj(k, size))(jax.random.split(fresh(), 2))


# ---------------------------------------------------------------- units


@every_random
@pytest.mark.parametrize("other", [u.uS, u.siemens], ids=str)
def test_the_unit_written_does_not_matter(case, other):
    ratio = float((1 * u.nS).to_decimal(other))
    there = {
        n: case.dress(n, v * ratio ** case.power(n), other)
        for n, v in case.given.items()
        if n in case.carriers
    }
    moved = case.make(**there)(fresh(), (200,))
    here = case.make(u.nS)(fresh(), (200,))
    assert moved.unit == other
    np.testing.assert_allclose(bare(moved.to(u.nS)), bare(here), rtol=2e-6, atol=1e-7)


@every_random
def test_partners_are_converted_to_the_first_unit(case):
    first, *rest = case.carriers
    mixed = {first: case.dress(first, case.given[first], u.nS)}
    mixed |= {n: case.given[n] * 1e-3 * u.uS for n in rest}
    drawn = case.make(**mixed)(fresh(), (200,))
    assert drawn.unit == u.nS
    np.testing.assert_allclose(
        bare(drawn), bare(case.make(u.nS)(fresh(), (200,))), rtol=2e-6, atol=1e-7
    )


@every_random
def test_dimension_errors(case):
    first, *rest = case.carriers
    for name in rest:
        with pytest.raises(init.UnitError, match=rf"`{name}`.*`{first}`.*nS") as caught:
            case.make(u.nS, **{name: case.given[name] * u.ms})
        assert isinstance(caught.value, u.UnitMismatchError)
        assert isinstance(caught.value, ValueError)
        with pytest.raises(init.UnitError, match="bare number"):
            case.make(u.nS, **{name: 0.7})
    for name in set(case.given) - set(case.carriers):
        with pytest.raises(init.UnitError, match=f"`{name}` is a pure number"):
            case.make(u.nS, **{name: case.given[name] * u.nS})


@every_random
def test_a_bare_zero_or_infinity_fits_every_unit(case):
    for name in case.carriers:
        partners = [n for n in case.carriers if n != name]
        domain = case.domains[name]
        fitting = {"finite": 0, "non_negative": 0.0, "positive": None, "bound": 0}[domain]
        if not partners or fitting is None or (name == "high"):
            continue
        obj = case.make(u.nS, **{name: fitting})
        assert getattr(obj, name).unit == u.nS
        assert obj == case.make(u.nS, **{name: fitting * u.nS})


# ---------------------------------------------------------------- supports


@every
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
)
def test_support(case, dtype):
    low, high = case.support(**case.given)
    x = bare(case.make()(case.fit(20_000), rng=1, dtype=jnp.dtype(dtype))).astype(np.float64)
    assert np.isfinite(x).all()
    slack = 1 if case.oracle else 1.1  # a constant is rounded to the nearest
    assert x.min() >= low / slack
    assert x.max() <= high * slack
    if (low, high) == (0.0, np.inf):
        assert x.min() > 0


@every
def test_low_precision_is_float32_rounded_once(case):
    obj, size = case.make(), case.fit((5000,))
    wide = bare(obj(fresh(), size))
    for dtype in ("float16", "bfloat16"):
        narrow = bare(obj(fresh(), size, jnp.dtype(dtype)))
        ulp = np.abs(wide) * float(jnp.finfo(dtype).eps) + 1e-7
        assert np.all(np.abs(narrow.astype(np.float32) - wide) <= ulp)
        assert np.mean(narrow == wide.astype(narrow.dtype)) > 0.99


# ---------------------------------------------------------------- values among values


@every
@with_and_without_unit
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
        eval(repr(obj), vars(init) | vars(cases) | {"Quantity": u.Quantity, "array": np.array}),
    ):
        assert again == obj
        assert hash(again) == hash(obj)
        assert repr(again) == repr(obj)
    assert obj != case.make(u.mV)
    assert obj != object()
    assert (obj == np.ones(3)) is False


@every_random
def test_equality_with_array_parameters(case):
    def make(last):
        return case.cls(**{n: np.array([v, v * last], np.float32) for n, v in case.given.items()})

    assert make(1.0) == make(1.0)
    assert hash(make(1.0)) == hash(make(1.0))
    assert make(1.0) != make(1.25)
    assert make(1.0) != case.make()
    evaluated = eval(repr(make(1.0)), vars(init) | {"array": np.array})
    assert evaluated == make(1.0)


@every
def test_frozen(case):
    obj = case.make(u.nS)
    for name in obj._arguments():
        with pytest.raises(AttributeError):
            setattr(obj, name, 1.0)


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
    def drawn(obj, k):
        return obj(k, (3,))

    chex.clear_trace_counter()
    drawn(case.make(u.nS), fresh(1))
    grown = {n: v * 1.5 for n, v in case.given.items()}
    drawn(case.cls(**{n: case.dress(n, v, u.nS) for n, v in grown.items()}), fresh(2))
    whole = {n: np.float32(v) if n in case.carriers else v for n, v in case.given.items()}
    drawn(case.cls(**{n: case.dress(n, v, u.nS) for n, v in whole.items()}), fresh(3))


@every_simple
def test_integers_are_taken_as_floats(case):
    values = {n: i for i, n in enumerate(case.given, start=1)}
    values = case.whole or values
    obj = case.cls(**values)
    assert all(type(leaf) is float for leaf in jax.tree.leaves(obj))
    assert obj == case.cls(**{n: float(v) if type(v) is int else v for n, v in values.items()})
    assert obj(case.fit(3), rng=0).dtype == jnp.float32


# ---------------------------------------------------------------- traced bad input


BAD = {
    "finite": [np.nan, np.inf],
    "positive": [np.nan, 0.0, -1.0, np.inf],
    "non_negative": [np.nan, -1.0, np.inf],
    "bound": [np.nan],
}


@every_random
@pytest.mark.parametrize("as_array", [False, True], ids=["scalar", "array"])
def test_traced_bad_parameters_give_nan_and_checkify_reports(case, as_array):
    for name, domain in case.domains.items():
        values = [(name, bad) for bad in BAD[domain]]
        if name in case.order:
            partner = case.order[1 - case.order.index(name)]
            values.append((name, case.given[partner]))

        def draw(value, k, name=name):
            return case.make(**{name: value})(k, (6,))

        for _, bad in values:
            value = jnp.full(6, bad) if as_array else jnp.asarray(bad, float)
            assert np.isnan(bare(jax.jit(draw)(value, fresh()))).all(), (name, bad)
        good = jnp.full(6, case.given[name]) if as_array else jnp.asarray(case.given[name], float)
        assert np.isfinite(bare(jax.jit(draw)(good, fresh()))).all()


@every_random
def test_checkify_names_the_traced_parameter(case):
    for name, domain in case.domains.items():

        def draw(value, k, name=name):
            return case.make(**{name: value})(k, (6,))

        checked = jax.jit(checkify.checkify(draw))
        good = jnp.asarray(case.given[name], float)
        said, _ = checked(good, fresh())
        assert said.get() is None
        said, _ = checked(jnp.asarray(BAD[domain][0]), fresh())
        assert case.called({name: 0}).popitem()[0] in said.get()
        # An effect would take its fast dispatch away from the user's whole program.
        assert not jax.jit(draw).trace(good, fresh()).jaxpr.effects


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
    said, _ = checked(jnp.array([1.0, 2.0]))
    assert said.get() is None
    said, _ = checked(jnp.array([1.0, -2.0]))
    assert "got" in said.get()


@pytest.mark.parametrize("draw", [_by_std, _by_bound])
def test_the_gradient_in_a_bad_parameter_is_nan(draw):
    good, bad = jax.vmap(jax.grad(draw))(jnp.array([1.0, -1.0]))
    assert np.isfinite(good)
    assert np.isnan(bad)


def test_checks_work_where_jax_verifies_its_programs():
    with jax.enable_checks(True):
        assert np.isfinite(jax.jit(_by_std)(1.0))
        assert np.isnan(jax.jit(_by_std)(-1.0))
