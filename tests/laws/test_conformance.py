"""Laws of every distribution: the same draw by function, object, jit and vmap."""

from __future__ import annotations

import itertools

import brainunit as u
import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from cases import CASES, RANDOM
from helpers import bare, quick_jit

import braininit as init

every = pytest.mark.parametrize("case", CASES, ids=str)
every_random = pytest.mark.parametrize("case", RANDOM, ids=str)
every_with_unit = pytest.mark.parametrize("case", [c for c in RANDOM if c.carriers], ids=str)
SEED = 20
SIZE = (7, 3000)  # of most draws, which then share a program


def fresh():
    """Return a new key for each use: the session refuses reused keys."""
    return jax.random.key(SEED)


# ---------------------------------------------------------------- shape, dtype, unit

SIZES = [
    *[((), ()), (0, (0,)), (3, (3,)), (np.int64(3), (3,)), ((2, 3), (2, 3)), ((2, 0, 3),) * 2],
    *[([2, np.int32(3)], (2, 3)), (np.array([2, 3]), (2, 3))],
]


@every
@pytest.mark.parametrize("unit", [None, u.nS], ids=["bare", "nS"])
def test_shape_dtype_unit(case, unit):
    obj = case.make(unit)
    for size, shape in SIZES:
        out = jax.eval_shape(lambda k, s=size: obj(k, case.fit(s)), fresh())
        leaf = u.get_mantissa(out)
        assert isinstance(leaf, jax.ShapeDtypeStruct)
        assert leaf.shape == case.fit(shape)
        assert leaf.dtype == jnp.float32
        assert unit is None or not case.has_unit or out.unit == case.result(unit)


LOW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e3m4")


@every
def test_dtype(case):
    for dtype in LOW:
        out = jax.eval_shape(lambda k, d=dtype: case.make()(k, case.fit(3), jnp.dtype(d)), fresh())
        assert out.dtype == dtype


@every
def test_dtype_x64(case, x64):
    def drawn_dtype(dtype=None):
        return jax.eval_shape(lambda: case.make()(case.fit(3), rng=0, dtype=dtype)).dtype

    assert drawn_dtype() == jnp.float64
    assert drawn_dtype(jnp.float32) == jnp.float32


@every
def test_float64_without_x64_warns_and_is_float32(case):
    with pytest.warns(UserWarning, match="jax_enable_x64"):
        out = jax.eval_shape(lambda: case.make()(case.fit(3), rng=0, dtype=np.float64))
    assert out.dtype == jnp.float32


@every
@pytest.mark.parametrize(
    "dtype", [int, "uint8", bool, ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e8m0fnu, ml_dtypes.int4]
)
def test_dtypes_that_cannot_hold_a_draw_are_refused(case, dtype):
    if dtype in (int, "uint8") and case.dtypes == "whole":
        return
    if issubclass(case.cls, init.Constant) and dtype in (int, "uint8", bool, ml_dtypes.int4):
        return  # tested in tests/initializer/test_constant.py
    with pytest.raises(TypeError, match="`dtype` must be"):
        case.make()(3, rng=0, dtype=dtype)


# ---------------------------------------------------------------- equal draws


@every
@pytest.mark.parametrize("unit", [None, u.nS], ids=["bare", "nS"])
def test_function_object_and_both_ways_of_calling_agree(case, unit):
    values, size = case.dressed(unit), case.fit(SIZE)
    expected = case.function(fresh(), size, **case.called(values))
    assert isinstance(expected, jax.Array if unit is None or not case.has_unit else u.Quantity)
    assert not jax.typeof(mantissa(expected)).weak_type
    obj = case.cls(**values)
    for drawn in (
        obj(fresh(), size),
        obj(size, rng=fresh()),
        obj(key=fresh(), shape=size),
        obj(size=size, rng=fresh(), param_type="weight", pre_size=7, post_size=3),
        by_position(case, values)(size, rng=SEED),
    ):
        chex.assert_trees_all_equal(drawn, expected)


def mantissa(drawn):
    return drawn.mantissa if isinstance(drawn, u.Quantity) else drawn


def by_position(case, values):
    """Make the object with as many parameters by position as possible."""
    names = [*itertools.takewhile(values.__contains__, case.cls.__dataclass_fields__)]
    return case.cls(*(values[n] for n in names), **{n: values[n] for n in values if n not in names})


def agree(case, a, b, rtol=0.0):
    if case.atol or rtol:
        chex.assert_trees_all_close(a, b, rtol=rtol, atol=case.atol)
    else:
        chex.assert_trees_all_equal(a, b)


@every
def test_jit_equals_eager(case):
    """With the object closed over, as an argument, or built from traced values."""
    obj, size = case.make(u.nS), case.fit(SIZE)
    expected = obj(fresh(), size)
    agree(case, jax.jit(lambda k: obj(k, size))(fresh()), expected)

    def traced(o, k):
        draws = [o(k, size)]
        if case.carriers:
            built_inside = case.cls(**{n: getattr(o, n) for n in case.given})
            draws.append(built_inside(jax.random.clone(k), size))
        return draws

    for drawn in jax.jit(traced)(obj, fresh()):
        agree(case, drawn, expected)
        assert u.get_unit(drawn) == u.get_unit(expected)
    for drawn in jax.eval_shape(traced, case.make(), fresh()):
        assert isinstance(drawn, jax.ShapeDtypeStruct)


@every
def test_vmap_over_keys(case):
    obj, size = case.make(u.nS), case.fit(SIZE)
    drawn = jax.vmap(lambda k: obj(k, size))(jax.random.split(fresh(), 3))
    singles = [obj(k, size) for k in jax.random.split(fresh(), 3)]
    chex.assert_trees_all_equal(drawn, jax.tree.map(lambda *x: np.stack(x), *singles))


@every_random
def test_vmap_over_parameters_and_keys(case):
    many, obj = {n: jnp.full(3, v, float) for n, v in case.given.items()}, case.make(u.nS)

    def one(values, k):
        return case.cls(**{n: case.dress(n, v, u.nS) for n, v in values.items()})(k, SIZE)

    def stacked(draws):
        return jax.tree.map(lambda *x: np.stack(x), *draws)

    over_parameters = jax.vmap(one, (0, None))(many, fresh())
    agree(case, over_parameters, stacked([obj(fresh(), SIZE)] * 3), rtol=3e-7)
    over_both = jax.vmap(one)(many, jax.random.split(fresh(), 3))
    singles = [obj(k, SIZE) for k in jax.random.split(fresh(), 3)]
    agree(case, over_both, stacked(singles), rtol=3e-7)


@every_with_unit
def test_array_parameters_broadcast(case):
    """Each element has the support of its own parameters."""
    factor = 2.0 ** np.arange(-3, 4)[:, None]
    values = {n: np.full((7, 1), v) for n, v in case.given.items()}
    values |= {n: values[n] * factor ** case.power(n) for n in case.carriers if n in values}
    expected = bare(case.make()(fresh(), SIZE)) * factor
    np.testing.assert_allclose(
        bare(case.cls(**values)(fresh(), SIZE)) / factor, expected / factor, rtol=1e-6, atol=2e-7
    )


@every
def test_good_draws_pass_jax_debug_nans(case):
    """The NaN of bad parameters is not computed for good ones."""
    obj, size = case.make(), case.fit(SIZE)
    with jax.debug_nans(True):
        obj(fresh(), size)
        jax.eval_shape(lambda k: obj(k, size), fresh())
        jax.vmap(lambda k: obj(k, size))(jax.random.split(fresh(), 3))


# ---------------------------------------------------------------- units


@every_with_unit
@pytest.mark.parametrize("other", [u.uS, u.siemens], ids=str)
def test_draws_do_not_depend_on_the_unit_written(case, other):
    ratio = float((1 * u.nS).to_decimal(other))
    there = {
        n: case.dress(n, v * ratio ** case.power(n), other)
        for n, v in case.given.items()
        if n in case.carriers
    }
    moved = case.make(**there)(fresh(), SIZE)
    here = case.make(u.nS)(fresh(), SIZE)
    assert moved.unit == other
    np.testing.assert_allclose(bare(moved.to(u.nS)), bare(here), rtol=2e-6, atol=1e-7)


@every_with_unit
def test_partners_are_converted_to_the_first_unit(case):
    first, *rest = case.carriers
    mixed = {first: case.dress(first, case.given[first], u.nS)}
    mixed |= {n: case.given[n] * 1e-3 * u.uS for n in rest}
    drawn = case.make(**mixed)(fresh(), SIZE)
    assert drawn.unit == u.nS
    np.testing.assert_allclose(
        bare(drawn), bare(case.make(u.nS)(fresh(), SIZE)), rtol=2e-6, atol=1e-7
    )


@every_random
def test_dimension_errors(case):
    for first, name in itertools.product(case.carriers[:1], case.carriers[1:]):
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


# ---------------------------------------------------------------- supports and roundings


@every
def test_support_and_rounding(case):
    """Draws lie in the support in every dtype; narrow ones are float32 rounded once, inward."""
    obj, size, dtypes = case.make(), case.fit(SIZE), LOW[:3]
    low, high = case.support(**case.given)
    slack = 1 if case.oracle else 1.1  # a constant is rounded to the nearest
    wide = bare(obj(fresh(), size))
    narrow = quick_jit(lambda k: [obj(k, size, jnp.dtype(d)) for d in dtypes])
    with jax.debug_key_reuse(False):
        draws = dict(zip(dtypes, map(np.asarray, narrow(fresh())), strict=True))
    for x in (wide, *draws.values()):
        x = x.astype(np.float64)
        assert np.isfinite(x).all()
        assert x.min() >= low / slack
        assert x.max() <= high * slack
        if (low, high) == (0.0, np.inf):
            assert x.min() > 0
    for dtype in ("float16", "bfloat16"):
        x, ulp = draws[dtype], np.abs(wide) * float(jnp.finfo(dtype).eps) + 1e-7
        assert np.all(np.abs(x.astype(np.float32) - wide) <= ulp)
        assert np.mean(x == wide.astype(x.dtype)) > 0.99
