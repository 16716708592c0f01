"""Bad input: it raises when the object is built, and says what, where and what to do."""

from __future__ import annotations

import dataclasses
import gc
import pickle
import weakref
from fractions import Fraction

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from cases import CASES, FRACTION, POSITIVE, RANDOM, WHOLE
from flax import nnx

import braininit as init
from braininit._jax.dtypes import inside
from braininit._params.representable import _far_apart

NAN, INF = float("nan"), float("inf")
BAD = {
    "finite": [NAN, INF, -INF],
    "positive": [NAN, INF, 0.0, -1.0],
    "non_negative": [NAN, INF, -1.0],
    "bound": [NAN],
    "whole": [NAN, INF, 0.5],
    "count": [NAN, INF, -1.0, 2.5],
    "fraction": [NAN, INF, -0.5, 1.5],
}
NOT_NUMBERS = ["1", True, object(), {}, {1.0}, 1j, np.array(["a"]), np.array([True]), u.nS, len]

violations = pytest.mark.parametrize(
    ("case", "name", "bad"),
    [
        pytest.param(c, name, bad, id=f"{c}-{name}={bad}")
        for c in RANDOM
        for name, domain in c.domains.items()
        for bad in BAD[domain]
    ],
)


@violations
@pytest.mark.parametrize("unit", [None, u.nS], ids=["bare", "nS"])
def test_out_of_domain(case, name, bad, unit):
    value = case.dress(name, bad, unit)
    with pytest.raises(ValueError, match=rf"`{name}`") as caught:
        case.make(unit, **{name: value})
    said = str(caught.value)
    assert "must be" in said
    assert (str(bad).removesuffix(".0")) in said
    assert ";" in said  # the remedy
    assert unit is None or name not in case.carriers or " nS" in said
    with pytest.raises(ValueError, match="must be"):
        called = case.called(case.dressed(unit, **{name: value}))
        case.function(jax.random.key(0), 3, **called)


@violations
def test_out_of_domain_in_an_array(case, name, bad):
    values = {n: np.full(4, v) for n, v in case.given.items()}
    values[name][2] = bad
    for make in (np.asarray, jnp.asarray):
        with pytest.raises(ValueError, match=rf"`{name}`"):
            case.cls(**(values | {name: make(values[name])}))


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_wrong_type(case):
    optional = {f.name for f in dataclasses.fields(case.cls) if f.default is None}
    for name in case.given:
        for bad in (*NOT_NUMBERS, *([] if name in optional else [None])):
            with pytest.raises(TypeError, match=f"`{name}`"):
                case.make(**{name: bad})


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_wrong_shape(case):
    for name, value in case.given.items():
        obj = case.make(**{name: np.full(3, value)})
        assert obj((2, 3), rng=0).shape == (2, 3)
        for size in ((4,), (3, 2), ()):
            with pytest.raises(ValueError, match=r"shape \(3,\) does not broadcast to the size"):
                obj(size, rng=0)
    if len(case.given) > 1:
        values = dict.fromkeys(case.given, np.ones(3)) | {next(iter(case.given)): np.ones(4)}
        with pytest.raises(ValueError, match="don't go together"):
            case.cls(**values)


BETWEEN = [c for c in RANDOM if c.order and c.dtypes == "real"]


@pytest.mark.parametrize("case", BETWEEN, ids=str)
@pytest.mark.parametrize(("low", "high"), [(1.0, 0.5), (1.0, 1.0)])
def test_wrong_order(case, low, high):
    with pytest.raises(ValueError, match="`low` must be less than `high`, got low = 1 nS"):
        case.make(u.nS, low=low * u.nS, high=high * u.nS)
    with pytest.raises(ValueError, match="`low` must be less than `high`"):
        case.make(low=np.array([0.5, low]), high=np.array([1.0, high]))


@pytest.mark.parametrize("case", BETWEEN, ids=str)
def test_no_value_of_the_dtype_inside(case):
    if case.cls is init.Uniform:
        with pytest.raises(ValueError, match=r"no value of float32 .* between"):
            case.make(low=1.0, high=1 + 1e-9)
    between = {"low": 1.0001, "high": 1.0002}
    assert case.make(**between)(3, rng=0).dtype == jnp.float32
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float8_e4m3fn):
        with pytest.raises(ValueError, match="no value of .* lies between"):
            case.make(**between)(3, rng=0, dtype=dtype)
    traced = jax.jit(lambda low, high: case.make(low=low, high=high)(jax.random.key(0), (3,)))
    assert np.isfinite(traced(1.0001, 1.0002)).all()
    narrow = jax.jit(
        lambda low, high: case.make(low=low, high=high)(jax.random.key(0), (3,), jnp.bfloat16)
    )
    assert np.isnan(narrow(1.0001, 1.0002)).all()


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: init.Normal(1e5, 1.0), jnp.float16),
        (lambda: init.Normal(0.0, 1e5), jnp.float16),
        (lambda: init.Normal(0.0, 1e-9), jnp.float16),
        (lambda: init.Exponential(1e-50), jnp.float32),
        (lambda: init.Constant(1e39), jnp.float32),
        (lambda: init.Constant(1000.0), jnp.float8_e4m3fn),
        (lambda: init.Uniform(0.0, 1e5), jnp.float16),
    ],
)
def test_parameters_the_dtype_cannot_hold(make, dtype):
    with pytest.raises(ValueError, match="is outside what .* holds"):
        make()(3, rng=0, dtype=dtype)


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_what_the_dtype_cannot_hold_in_arrays_and_traced(case):
    """The same law as for scalars: an error where it can be read, NaN where it can't."""
    for name in case.carriers:
        if name == "low" and case.domains[name] == POSITIVE:
            continue  # where it is too large it is above `high` too
        large = -1e6 if name == "low" else 1e6 ** case.power(name)
        value = np.full(4, case.given[name])
        value[1] = large
        with pytest.raises(ValueError, match="is outside what float16 holds"):
            case.make(**{name: value})(4, rng=0, dtype=jnp.float16)
        draw = jax.jit(lambda v, name=name: case.make(**{name: v})(4, rng=0, dtype=jnp.float16))
        assert np.isnan(draw(large)).all()
    for name in set(case.given) - set(case.carriers):
        if case.domains.get(name) in (WHOLE, FRACTION):
            continue  # which ends before
        tiny = (1e-300,) if case.domains.get(name) == POSITIVE else ()
        for bad in (1e300, *tiny, np.array([1.0, 1e39])):
            with pytest.raises(ValueError, match=f"`{name}` = .* outside what float32"):
                case.make(**{name: bad})


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", "longdouble", "float16", "uint8", "int64"])
def test_arrays_of_every_kind_are_taken_for_what_they_say(dtype):
    warm = init.normal(jax.random.key(0), 2, np.array([5.0, 6.0], "<f4"), 0.0)
    np.testing.assert_array_equal(warm, [5, 6])
    x = init.normal(jax.random.key(0), 2, np.array([1, 2], dtype), 0.0)
    np.testing.assert_array_equal(x, [1, 2])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float8_e4m3fn, jnp.int4, jnp.uint8, jnp.int32])
def test_traced_arrays_of_every_kind(dtype):
    a = jnp.array([1, 2], dtype)
    x = jax.jit(lambda a: init.normal(jax.random.key(0), 2, a, 0.0))(a)
    np.testing.assert_array_equal(x, [1, 2])
    x = jax.jit(lambda a: init.uniform(jax.random.key(0), 2, -1.0, a))(a)
    assert np.isfinite(x).all()


def test_units_are_converted_in_full_precision():
    x = init.constant(None, 2, u.Quantity(np.array([1e-3, 300.0], np.float16), u.uvolt / u.volt))
    np.testing.assert_allclose(x, [float(np.float16(1e-3)) * 1e-6, 3e-4], rtol=1e-6)
    std = u.Quantity(np.array([1.0, 2.0], np.float16), u.volt)
    assert init.Normal(1 * u.uvolt, std)(2, rng=0).unit == u.uvolt


@pytest.mark.parametrize(
    "value",
    [NAN, INF, -INF, np.array([NAN, -INF, 1]), np.zeros((0, 3)), np.array([[-0.0, 0.1]]), -0.0],
    ids=str,
)
def test_odd_values_round_trip(value):
    obj = init.Constant(value)
    again = eval(repr(obj), vars(init) | {"array": np.array, "Quantity": u.Quantity})
    assert again == obj
    assert hash(again) == hash(obj)
    copied = pickle.loads(pickle.dumps(obj))
    assert copied == obj
    if isinstance(value, np.ndarray):
        with pytest.raises(ValueError, match="read-only"):
            copied.value[...] = 1
    assert init.Constant(0.0) != init.Constant(-0.0)
    bounded = init.TruncatedNormal(0 * u.mV, 1 * u.mV, low=-INF)
    assert eval(repr(bounded), vars(init) | {"Quantity": u.Quantity}) == bounded


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (10**400, ValueError, "`mean` is beyond the range"),
        ([[1, 2], [3]], TypeError, "`mean` must be an array of numbers"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), TypeError, "`mean` is a masked array"),
        (jax.random.key(0), TypeError, "`mean` must be a real number"),
        ([10**400, 1], ValueError, r"`mean\[0\]` is beyond the range"),
        (u.Quantity(10**400, u.nS), ValueError, "`mean` is beyond the range"),
        (
            [u.nS, u.nS],
            TypeError,
            r"`mean\[0\]` must be a number, got the unit nS; write 1 \* u.nS",
        ),
        ([1 * u.nS, 2.0], init.UnitError, r"`mean\[1\]` = 2 is a bare number beside `mean\[0\]`"),
        (1j, TypeError, "take its real part"),
        (pd.Series(["a"]), TypeError, "`mean` must be a real number or array"),
        (jax.ShapeDtypeStruct((2,), jnp.float32), TypeError, "`mean` must be a number"),
        ("float32", TypeError, "got the dtype float32"),
        (np.zeros(2, [("a", float)]), TypeError, "`mean` must be a real number"),
        (jnp.float32, TypeError, "got the dtype float32"),
    ],
)
def test_odd_parameters(value, error, said):
    with pytest.raises(error, match=said):
        init.Normal(value, 1.0)


def test_lists():
    assert init.Normal([Fraction(1, 4), 1], 0)(2, rng=0).tolist() == [0.25, 1]
    x = init.Normal([0.1 * u.mV, 1e-3 * u.volt], 0)(2, rng=0)
    np.testing.assert_allclose(x.to(u.mV).mantissa, [0.1, 1])
    x = jax.jit(lambda a: init.normal(jax.random.key(0), 2, [0.0, a], 0.0))(3.0)
    assert x.tolist() == [0, 3]
    for mean in (range(2), [np.float32(0), 1], [jnp.float32(0), 1], (np.zeros(()), np.int8(1))):
        assert init.Normal(mean, 0)(2, rng=0).tolist() == [0, 1]
    grid = init.Normal([[0, 1 * u.mV], [2 * u.mV, 3e-3 * u.volt]], 0)
    np.testing.assert_allclose(grid((2, 2), rng=0).to(u.mV).mantissa, [[0, 1], [2, 3]])


NO_NUMBERS = {
    "bool": True,
    "numpy bool": np.True_,
    "bools": np.array([True, False]),
    "text": "1",
    "None": None,
    "timedelta": np.timedelta64(1, "s"),
    "datetime": np.datetime64("2020-01-01"),
    "unit": u.nS,
    "object": object(),
}


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_what_is_no_number_is_none_in_an_array_either(case):
    for name, value in case.given.items():
        for bad in NO_NUMBERS.values():
            for listed in ([bad, value], [value, bad], [[value, bad]]):
                with pytest.raises(TypeError, match=rf"`{name}(\[\d\])+`"):
                    case.make(**{name: listed})
            with pytest.raises(TypeError, match=rf"`{name}"):
                case.make(**{name: np.array([bad, value], object)})
        for bad in (np.timedelta64(3, "s"), np.array([3], "m8[s]"), np.array([3], "M8[s]")):
            with pytest.raises(TypeError, match=rf"`{name}` must be a real number"):
                case.make(**{name: bad})


def test_a_list_with_a_traced_number_is_checked_as_any():
    for bad in (True, "1", None, np.timedelta64(1, "s")):
        with pytest.raises(TypeError, match=r"`mean\[0\]`"):
            jax.eval_shape(lambda a, bad=bad: init.Normal([bad, a], 1.0), 0.5)
    with pytest.raises(TypeError, match="`mean` must be an array of numbers"):
        jax.eval_shape(lambda a: init.Normal([[1.0, a], [1.0]], 1.0), 0.5)


class Foreign:
    """An array of another library: what its method raises is not ours."""

    def __init__(self, method, give):
        self.method, self.give = method, give

    def __getattr__(self, name):
        if name == self.__dict__.get("method"):
            return lambda *_, **__: self.give()
        raise AttributeError(name)


def raising():
    raise RuntimeError("not now")


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_arrays_of_other_libraries(case):
    for name, value in case.given.items():
        array, on_device = np.full(2, value), jnp.full(2, value)
        for other, same in (
            (pd.Series(array), array),
            (Foreign("__array__", lambda array=array: array), array),
            (nnx.Param(array), array),
            (nnx.Param(on_device), on_device),
        ):
            assert case.make(**{name: other}) == case.make(**{name: same})
        for method in ("__array__", "__jax_array__"):
            for bad in (Foreign(method, raising), [Foreign(method, raising), value]):
                with pytest.raises(TypeError, match=rf"`{name}.*not now") as caught:
                    case.make(**{name: bad})
                assert isinstance(caught.value.__cause__, RuntimeError)
    if case.carriers:
        name = case.carriers[0]
        series = u.Quantity(pd.Series([case.given[name]] * 2), u.nS ** case.power(name))
        assert case.make(u.nS, **{name: series})(2, rng=0).unit == u.nS


def test_a_held_quantity_keeps_its_unit():
    assert init.Normal(nnx.Param(jnp.ones(2) * u.nS), 1 * u.nS)(2, rng=0).unit == u.nS


def test_fractions_are_numbers_to_every_transform():
    obj = init.Constant(Fraction(1, 4))
    assert jax.jit(lambda o: o(2))(obj).tolist() == [0.25, 0.25]
    assert repr(obj) == "Constant(value=0.25)"


BY_ELEMENT = [c for c in CASES if c.carriers and c.cls is not init.Spectral]


@pytest.mark.parametrize("case", BY_ELEMENT, ids=str)
def test_no_warning_for_single_precision_among_double(case, x64):
    """The dtype's greatest number is beyond float32: a parameter must not be cast to meet it."""
    for make in (np.asarray, jnp.asarray):
        given = {n: case.given[n] for n in case.carriers if n in case.given}
        obj = case.make(**{n: make(np.full(1, v, np.float32)) for n, v in given.items()})
        for dtype in (jnp.float16, jnp.float32, jnp.float64):
            jax.eval_shape(lambda obj=obj, d=dtype: obj(case.fit((2,)), rng=0, dtype=d))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16, jnp.float8_e4m3fn])
def test_a_quick_look_takes_no_bounds_without_a_value_between(dtype):
    rng, info = np.random.default_rng(0), jnp.finfo(dtype)
    eps, least, most = float(info.eps), float(info.smallest_subnormal), float(info.max)
    size = np.exp(rng.uniform(np.log(least / 4), np.log(min(3 * most, 1e38)), 4000))
    low = np.float32(size * rng.choice([-1, 1], 4000))
    high = low + np.float32(size * eps * rng.choice([0.5, 1, 1.9, 2.1, 4], 4000))
    for open_high in (False, True):
        with np.errstate(invalid="ignore"):
            lowest, _ = inside(np, low, high, np.dtype(dtype), open_high=open_high)
        taken = np.vectorize(lambda a, b: _far_apart(a, b, np.dtype(dtype)))(low, high)
        assert not np.isnan(lowest[taken]).any()
        assert 500 < taken.sum() < 3500


def test_subnormal_numbers_are_as_xla_has_them():
    for low, high in ((0.0, 1e-39), (-1e-39, 1e-39), (1e-40, 1e-39)):
        with pytest.raises(ValueError, match="no value of float32"):
            init.Uniform(low, high)(3, rng=0)
    for dtype in (jnp.float32, jnp.bfloat16):
        with pytest.raises(ValueError, match="`scale` = 1e-39 is outside"):
            init.Exponential(1e-39)(3, rng=0, dtype=dtype)


def test_lognormal_of_extreme_ratio():
    x = np.asarray(init.LogNormal(1e-15, 1e25)(1000, rng=0))
    assert np.isfinite(x).all()
    assert (x > 0).all()
    with pytest.raises(ValueError, match="`mean` = 1e-50 is outside"):
        init.LogNormal(1e-50, 0)(3, rng=0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_size_has_32_axes_at_most(case):
    shape = (2, *(1,) * 29, 2, 2)
    if case.cls not in (init.Dirac, init.DeltaOrthogonal):  # of convolutions, up to 5 axes
        assert jax.eval_shape(lambda: case.make()(shape, rng=0)).shape == shape
    for n in (33, 40, 65, 3001, 10**6):
        with pytest.raises(ValueError, match=rf"32 axes at most, got {n}"):
            case.make()((1,) * n, rng=0)


def test_draws_of_32_axes():
    for obj in (init.Normal(), init.Gamma(2.0), init.Mixture([init.Normal(), 1.0])):
        assert obj((1,) * 31 + (2,), rng=0).size == 2


def test_odd_dtypes_and_sizes():
    assert init.Normal(0, 1)(2, rng=0, dtype=float).dtype == jnp.float32
    for bad in ([1], {}, np.longdouble, ">f4"):
        with pytest.raises(TypeError, match="`dtype` must name a dtype"):
            init.Normal(0, 1)(2, rng=0, dtype=bad)
    for size in (2**70, (2**31, 2**33, 0)):
        with pytest.raises(ValueError, match="beyond what any machine holds"):
            init.Normal(0, 1)(size, rng=0)


def test_extreme_bounds_do_not_overflow():
    for obj in (init.Uniform(-3e38, 3e38), init.Beta(1.0, 1.0, -3e38, 3e38)):
        x = np.asarray(obj(100_000, rng=0), np.float64)
        assert np.isfinite(x).all()
        assert abs(x.mean()) < 5e36
        assert abs(x.std() / (6e38 / np.sqrt(12)) - 1) < 0.01


# ---------------------------------------------------------------- calls


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda o: o(), TypeError, "with a size"),
        (lambda o: o(None), TypeError, "a size is an int or a tuple of ints"),
        (lambda o: o(3.0), TypeError, "a size is an int"),
        (lambda o: o("3"), TypeError, "a size is an int"),
        (lambda o: o(True), TypeError, "a size is an int"),
        (lambda o: o((3, 2.0)), TypeError, "a size is an int"),
        (lambda o: o(-1), ValueError, "0 or more"),
        (lambda o: o((3, -2)), ValueError, "0 or more"),
        (lambda o: o(3, 4), TypeError, "with a size"),
        (lambda o: o(3, np.random.default_rng(0)), TypeError, "with a size"),
        (lambda o: o(jax.random.key(0)), TypeError, "with a key"),
        (lambda o: o(jax.random.key(0), 3, rng=1), TypeError, "with a key"),
        (lambda o: o(3, key=jax.random.key(0)), TypeError, "with a key"),
        (lambda o: o(3, rgn=1), TypeError, "did you mean rng=?"),
        (lambda o: o(3, seed=1), TypeError, "did you mean rng=?"),
        (lambda o: o(3, dytpe=1), TypeError, "did you mean dtype=?"),
        (lambda o: o(3, distance=1), TypeError, "did you mean distances=?"),
        (lambda o: o(3, unit=u.nS), TypeError, "give the parameters their unit"),
        (lambda o: o(jax.random.key(0), 3, distances=1), TypeError, "goes with a size"),
        (lambda o: o(3, rng=0, dtype="flaot32"), TypeError, "`dtype` must name a dtype"),
        (lambda o: o(3, rng=0, out_sharding="x"), TypeError, "`out_sharding` must be"),
        (lambda o: o(3, rng=0, out_sharding=jax.P("x")), ValueError, "no mesh is set"),
    ],
)
def test_bad_calls(case, call, error, said):
    with pytest.raises(error, match=said.replace("?", r"\?")):
        call(case.make())


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_bad_keys(case):
    def draw(key):
        return case.function(key, (3,), **case.called(case.given))

    with pytest.raises(TypeError, match=r"write jax.random.key\(7\)"):
        draw(7)
    for bad in (None, "a", np.zeros(3), np.zeros(3, np.uint32), np.random.default_rng(0)):
        with pytest.raises(TypeError, match="`key` must be a JAX key"):
            draw(bad)
    with pytest.raises(ValueError, match="one key"):
        draw(jax.random.split(jax.random.key(0), 3))
    for bad in ("a", 1.5, True, object(), lambda: 3, np.zeros(3)):
        with pytest.raises(TypeError, match="`rng`"):
            case.make()(3, rng=bad)


@pytest.mark.parametrize("case", RANDOM, ids=str)
@pytest.mark.parametrize("dtype", [jnp.float32, np.float16, np.dtype("float32"), float], ids=str)
def test_a_dtype_in_place_of_a_parameter_names_the_class(case, dtype):
    with pytest.raises(TypeError, match=rf"got the dtype .*init\.{case.cls.__name__}\("):
        case.function(
            jax.random.key(0), (3,), dtype, **dict(list(case.called(case.given).items())[1:])
        )


def test_seed():
    for bad in ("a", 1.5, True):
        with pytest.raises(TypeError, match="`value` must be an int"):
            init.seed(bad)


def test_units_of_zeros_and_ones():
    for cls in (init.ZeroInit, init.OneInit):
        assert cls("nS") == cls(u.nS)
        with pytest.raises(ValueError, match="names no unit"):
            cls("no such unit")
        with pytest.raises(TypeError, match="must be a unit"):
            cls(3.0)


# ---------------------------------------------------------------- constants take any number


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0, 3, np.int8(3), -2.5], ids=str)
def test_constant_takes_any_number(value):
    x = init.Constant(value)(3, rng=0)
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, np.full(3, value, np.float32))


def test_constant_complex():
    assert init.Constant(1 + 2j)(3).dtype == jnp.complex64
    assert init.zeros(None, 3, jnp.complex64).dtype == jnp.complex64
    with pytest.raises(TypeError, match="complex"):
        init.Constant(1 + 2j)(3, dtype=jnp.float32)


def test_constant_arrays():
    x = init.Constant(np.arange(3) * u.mV)((2, 3))
    assert x.unit == u.mV
    np.testing.assert_array_equal(x.mantissa, [[0, 1, 2], [0, 1, 2]])
    with pytest.raises(ValueError, match="`value` of shape"):
        init.Constant(np.arange(3))((3, 2))
    obj = init.Constant(data := np.array([1.0, 2.0]))
    data[0] = 9
    np.testing.assert_array_equal(obj(2), [1, 2])


# ---------------------------------------------------------------- the twin rule


def test_twins_that_drift_apart_are_refused():
    def laplace(key, shape, loc=0.0, scale=1.0, *, dtype=None):
        return loc + scale * jax.random.laplace(key, shape, dtype)

    class Laplace(init.Initialization, function=laplace):
        loc: float = 0.0
        scale: float = 1.0

    obj = Laplace(1, scale=2.0)
    key = jax.random.key(0)
    np.testing.assert_array_equal(obj(5, rng=key), laplace(jax.random.key(0), (5,), 1.0, 2.0))
    assert repr(obj) == "Laplace(loc=1.0, scale=2.0)"
    assert jax.tree.leaves(obj) == [1.0, 2.0]
    with pytest.raises(TypeError, match="takes no `out_sharding`"):
        obj(5, rng=0, out_sharding=jax.P())

    with pytest.raises(TypeError, match="drift apart: the class has loc where .* loc=0.0"):

        class A(init.Initialization, function=laplace):
            loc: float
            scale: float = 1.0

    with pytest.raises(TypeError, match="the class has nothing where the function has scale"):

        class B(init.Initialization, function=laplace):
            loc: float = 0.0

    with pytest.raises(TypeError, match=r"must take \(key, shape"):

        class C(init.Initialization, function=lambda key, loc: None):
            loc: float = 0.0


def test_a_long_array_is_written_in_short_and_says_so():
    short, long = np.arange(1000.0), np.arange(1e6)
    names = {"array": np.array, "Quantity": u.Quantity, **vars(init)}
    for parameter in (short * u.nS, jnp.arange(1000.0) * u.nS):
        obj = init.Constant(parameter)
        assert eval(repr(obj), names) == init.Constant(np.asarray(parameter.mantissa) * u.nS)
    for parameter in (long, long[:1001] * u.nS, long.reshape(1000, 1000), jnp.asarray(long)):
        text = repr(init.Constant(parameter))
        assert len(text) < 1000
        assert f"shape={np.shape(u.get_mantissa(parameter))}" in text
        with pytest.raises(TypeError):
            eval(text, names)


def test_a_plain_subclass_gets_the_callers_rng_unchanged():
    class Ramp(init.Initialization):
        def __init__(self, top):
            self.top = top

        def __call__(self, size, **kwargs):
            return np.linspace(0, self.top, size), kwargs

    x, kwargs = Ramp(3)(4, rng="mine")
    np.testing.assert_array_equal(x, [0, 1, 2, 3])
    assert kwargs == {"rng": "mine"}
    assert Ramp(3) != Ramp(3)
    with pytest.raises(TypeError, match="abstract"):
        init.Initialization()(3)


def test_an_array_is_read_once_for_each_check(monkeypatch):
    """A JAX array can't change, so what it passed it passes again; nothing else does."""

    def draw(*parameters, **options):
        return init.truncated_normal(jax.random.key(0), 3, 0.0, *parameters, **options)

    std, low, high = jnp.array([1.0, 2.0, 70000.0]), jnp.zeros(3), jnp.ones(3)
    draw(std, low, high)
    reads = []

    def watched(original):
        return lambda *values, **options: (
            reads.extend(map(id, values)),
            original(*values, **options),
        )[1]

    for name in ("asarray", "broadcast_arrays"):
        monkeypatch.setattr(np, name, watched(getattr(np, name)))
    draw(std, low, high)
    assert not {id(std), id(low), id(high)} & set(reads)
    monkeypatch.undo()
    # Other checks of the same arrays, and other arrays in their place.
    with pytest.raises(ValueError, match="`std` = 70000 "):
        draw(std, low, high, dtype=jnp.float16)
    with pytest.raises(ValueError, match="`low` must be less"):
        draw(std, high, low)
    with pytest.raises(ValueError, match="`low` must be less"):
        draw(std, low, -1.0)
    with pytest.raises(ValueError, match="`std` must be non-negative"):
        draw(-std, low, high)
    with pytest.raises(ValueError, match="`scale` must be positive"):
        init.exponential(jax.random.key(0), 3, low)
    gone = weakref.ref(std)
    del std
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("make", [init.Constant, init.Normal, init.GaussianProfile], ids=str)
@pytest.mark.parametrize("axes", [33, 64])
def test_an_array_has_as_many_axes_as_a_size(make, axes):
    for array in (np.ones((1,) * axes), np.ones((1,) * axes, np.float32) * u.um):
        with pytest.raises(ValueError, match=rf"`\w+` has {axes} axes, 32 are possible"):
            make(array)


@pytest.mark.parametrize(("dtype", "most"), [("float32", 2.6e7), ("bfloat16", 400.0)])
def test_an_angle_is_refused_where_a_dtype_tells_no_turns_apart(dtype, most):
    drawn = jax.jit(lambda mean: init.vonmises(jax.random.key(0), 50, mean, 2.0, dtype=dtype))
    for mean in (most, -most):
        x = np.asarray(init.vonmises(jax.random.key(0), 50, mean, 2.0, dtype=dtype), float)
        assert np.isfinite(x).all()
        assert np.ptp(x) > 1
        with pytest.raises(ValueError, match="`mean` = .* for angles.* subtract multiples of 2 pi"):
            init.vonmises(jax.random.key(0), 50, 1.1 * mean, 2.0, dtype=dtype)
        assert np.isnan(np.asarray(drawn(1.1 * mean), float)).all()


@pytest.mark.parametrize("shape", [0.002, 0.0078125])
@pytest.mark.parametrize("scale", [1000.0, 1e30])
def test_a_draw_beyond_the_largest_number_is_that_number(shape, scale):
    """Not NaN: infinity times what is left of an exponent."""
    drawn = np.asarray(init.Weibull(shape, scale)((2, 3), rng=20))
    assert drawn.max() == np.finfo(np.float32).max
    assert np.isfinite(drawn).all()


def test_what_numpy_would_warn_of_is_an_error_of_ours():
    with pytest.raises(ValueError, match="`std` must be non-negative and finite"):
        init.Normal(0.0 * u.nS, np.array([1e308]) * u.siemens)
    with pytest.raises(ValueError, match="`excitatory` must be"):
        init.Dale(init.Normal(), np.float64(INF))
