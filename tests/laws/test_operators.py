"""Operators on initializers draw the same as operators on the draws, for all operands."""

from __future__ import annotations

import operator
from fractions import Fraction

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import split

import braininit as init

M, N = init.Normal(2.0, 0.25), init.Normal(2.0 * u.nS, 0.25 * u.nS)
SHAPE = (3,)
OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
ARRAY = np.array([0.5, 1.0, 1.5])


class Column:
    """An array of another library."""

    def __array__(self, dtype=None, copy=None):
        return np.array(ARRAY, dtype)


NUMBERS = {
    "int": 2,
    "float": 2.5,
    "Fraction": Fraction(5, 2),
    "np.float32": np.float32(2.5),
    "np.int64": np.int64(2),
    "0-d array": np.array(2.5),
    "0-d jax array": jnp.array(2.5),
    "array": ARRAY,
    "integers": np.array([1, 2, 3]),
    "jax array": jnp.asarray(ARRAY),
    "bfloat16": jnp.asarray(ARRAY, jnp.bfloat16),
    "list": [0.5, 1.0, 1.5],
    "tuple": (0.5, 1.0, 1.5),
    "like an array": Column(),
    "pure Quantity": u.Quantity(2.5),
    "pure array": u.Quantity(ARRAY),
    "ratio": u.Quantity(ARRAY * 1000, u.mV / u.volt),
}
QUANTITIES = {
    "Quantity": 2.5 * u.nS,
    "other unit": 0.0025 * u.uS,
    "array with unit": u.Quantity(ARRAY, u.nS),
    "jax array with unit": jnp.asarray(ARRAY) * u.nS,
    "integers with unit": u.Quantity(np.array([1, 2, 3]), u.nS),
}
TRACEABLE = ("float", "array", "pure array", "Quantity", "array with unit", "other unit")


def key():
    return jax.random.key(5)


def bare(x):
    return u.get_mantissa(x)


def draw(result):
    """Draw from an operator's result; brainunit may have wrapped it in a Quantity."""
    return init.get(result)(key(), SHAPE)


def plain(operand):
    """Convert an operand to an array or Quantity that brainunit and NumPy accept."""
    if isinstance(operand, u.Quantity):
        return operand.to_decimal() if operand.unit.dim.is_dimensionless else operand
    return jnp.asarray(operand, float)


def allowed(op, base, operand, on_left):
    """True if the units fit the operator, and brainunit permits the operation."""
    left = isinstance(operand, u.Quantity) and on_left
    carries = isinstance(operand, u.Quantity) and not operand.unit.dim.is_dimensionless
    if op in ("+", "-"):
        return carries == (base is N) and not (left and _brainunit_refuses())
    if op == "**":
        one = np.ndim(bare(operand)) == 0 and not isinstance(bare(operand), jax.core.Tracer)
        return not carries and (base is M or (one and not on_left)) and not left
    return True


def _brainunit_refuses():
    """Before 0.6 a Quantity on the left of a sum raises without asking the right operand."""
    try:
        (1 * u.nS) + N
    except u.UnitMismatchError:
        return True
    return False


CASES = [
    (op, on_left, base, name, operand)
    for op in OPERATORS
    for on_left in (False, True)
    for base in (M, N)
    for name, operand in (NUMBERS | QUANTITIES).items()
    if allowed(op, base, operand, on_left)
]


def joined(op, operand, x, on_left):
    return OPERATORS[op](operand, x) if on_left else OPERATORS[op](x, operand)


def expected(op, base, operand, on_left):
    return joined(op, plain(operand), base(key(), SHAPE), on_left)


def test_operands_of_every_kind_on_either_side():
    results = [joined(op, operand, base, on_left) for op, on_left, base, _, operand in CASES]
    right = [expected(op, base, operand, on_left) for op, on_left, base, _, operand in CASES]
    together = jax.jit(lambda: [draw(obj) for obj in results])()
    eagerly = {
        i: draw(obj)
        for i, (obj, case) in enumerate(zip(results, CASES, strict=True))
        if case[3] in ("float", "array", "Quantity", "array with unit")
    }
    for i, drawn in [*enumerate(together), *eagerly.items()]:
        op, on_left, base, name, _ = CASES[i]
        label = f"{name} {op} {base}" if on_left else f"{base} {op} {name}"
        assert isinstance(drawn, u.Quantity) == isinstance(right[i], u.Quantity), label
        unit = right[i].unit if isinstance(drawn, u.Quantity) else None
        pair = (x if unit is None else x.to_decimal(unit) for x in (drawn, right[i]))
        np.testing.assert_allclose(*pair, rtol=2e-6, atol=1e-6, err_msg=label)


@pytest.mark.parametrize("base", [M, N], ids=["M", "N"])
@pytest.mark.parametrize("name", TRACEABLE)
def test_traced_operands(base, name):
    """Jit, vmap and derivatives agree with the same operations on the draws."""
    operand = (NUMBERS | QUANTITIES)[name]
    operand = jax.tree.map(
        lambda x: jnp.asarray(x, float), plain(operand) if name in NUMBERS else operand
    )
    cases = [
        (op, on_left)
        for op in OPERATORS
        for on_left in (False, True)
        if allowed(op, base, operand, on_left) and not (op == "**" and base is N)
    ]
    x = base(key(), SHAPE)

    def ours(operand):
        return [bare(draw(joined(op, operand, base, left))) for op, left in cases]

    def theirs(operand):
        return [bare(joined(op, operand, x, left)) for op, left in cases]

    close = {"rtol": 3e-6, "atol": 1e-6}
    for mine, right in zip(jax.jit(ours)(operand), theirs(operand), strict=True):
        np.testing.assert_allclose(mine, right, **close)
    many = jax.tree.map(lambda v: jnp.stack([v, v * 1.5]), operand)
    mapped = (jax.jit(jax.vmap(f))(many) for f in (ours, theirs))
    for mine, right in zip(*mapped, strict=True):
        np.testing.assert_allclose(mine, right, **close)
    slopes = (jax.jit(jax.jacrev(f))(operand) for f in (ours, theirs))
    for mine, right in zip(*map(jax.tree.leaves, slopes), strict=True):
        np.testing.assert_allclose(mine, right, rtol=1e-5, atol=1e-5)


def test_another_initializer():
    """Each of the two draws from its own key."""
    for base in (M, N):
        other = init.Uniform(1.0, 2.0) * (u.nS if base is N else 1.0)
        keys = zip((base, other), split(key(), 2), strict=True)
        first, second = (child(k, SHAPE) for child, k in keys)
        operators = [f for op, f in OPERATORS.items() if op != "**" or base is M]
        drawn = jax.jit(lambda objs: [draw(obj) for obj in objs])(
            [f(base, other) for f in operators]
        )
        for f, mine in zip(operators, drawn, strict=True):
            np.testing.assert_allclose(bare(mine), bare(f(first, second)), rtol=2e-6)


def test_methods_are_operators():
    for base, kinds in ((M, NUMBERS), (N, QUANTITIES)):
        for operand in kinds.values():
            assert base.add(operand) == base + operand
            assert base.multiply(operand) == base * operand
    assert M.apply(abs) == (M | abs)


def test_a_bare_zero_or_infinity_fits_every_unit():
    for zero in (0, 0.0, np.float32(0), np.array(0), jnp.array(0.0), u.Quantity(0.0)):
        for total in (N + zero, N - zero, init.get(zero) + N if np.ndim(zero) else N + zero):
            assert total.right.value.unit == u.nS
            np.testing.assert_array_equal(bare(draw(total)), bare(N(key(), SHAPE)))
    assert sum([N, N], start=0)(2, rng=0).unit == u.nS
    assert np.isposinf(bare(draw(N + np.inf))).all()
    with pytest.raises(init.UnitError):
        N + np.zeros(3)


BOUNDS = {
    "numbers": (M, 1.9, 2.1),
    "arrays": (M, ARRAY + 1, ARRAY + 1.25),
    "one array": (M, jnp.asarray(ARRAY) + 1, None),
    "list": (M, None, [1.0, 2.0, 3.0]),
    "quantities": (N, 1.9 * u.nS, 2.1e-3 * u.uS),
    "arrays with unit": (N, u.Quantity(ARRAY, u.nS), u.Quantity(ARRAY + 1, u.nS)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_clip(name):
    base, *bounds = BOUNDS[name]
    x = bare(base(key(), SHAPE))

    def ours(bounds):
        return bare(base.clip(*bounds)(key(), SHAPE))

    def theirs(bounds):
        low, high = (b.to_decimal(u.nS) if isinstance(b, u.Quantity) else b for b in bounds)
        return jnp.clip(x, low, high)

    traced = [
        None if b is None else jax.tree.map(jnp.asarray, b if base is N else jnp.asarray(b, float))
        for b in bounds
    ]
    right = theirs(traced)
    np.testing.assert_allclose(ours(bounds), right, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(ours)(traced), right, rtol=1e-6)
    many = jax.tree.map(lambda v: jnp.stack([v, v * 1.5]), traced)
    mapped = (jax.jit(jax.vmap(f))(many) for f in (ours, theirs))
    np.testing.assert_allclose(*mapped, rtol=1e-6)
    slopes = (jax.jit(jax.jacrev(f))(traced) for f in (ours, theirs))
    for mine, exact in zip(*map(jax.tree.leaves, slopes), strict=True):
        np.testing.assert_allclose(mine, exact, atol=1e-6)


# ---------------------------------------------------------------- refused operands


@pytest.mark.parametrize(
    "operand",
    [True, np.True_, [True, 2.0], "2", b"2", None, {}, ["2"], [None, 1], [M], init.Normal],
    ids=repr,
)
def test_operands_that_are_not_numbers_are_refused(operand):
    for op in (operator.add, operator.mul, operator.pow):
        for pair in ((M, operand), (operand, M)):
            with pytest.raises(TypeError):
                op(*pair)


@pytest.mark.parametrize(
    "operand",
    [2.0 * u.mV, u.Quantity(ARRAY, u.mV), 2.0, ARRAY],
    ids=["mV", "array in mV", "bare", "bare array"],
)
def test_dimensions_are_checked_at_construction(operand):
    """Also for traced operands, whose units are static."""

    def refused(operand):
        for make in (
            lambda: N + operand,
            lambda: N - operand,
            lambda: N.clip(operand),
            lambda: N.clip(max_val=operand),
        ):
            with pytest.raises(init.UnitError):
                make()
        return 0

    refused(operand)
    jax.jit(refused)(operand)
    jax.vmap(refused, axis_size=2)(jax.tree.map(lambda x: jnp.stack([x, x]), operand))


def test_powers_of_units_need_a_concrete_number():
    assert (N ** np.array(2.0)) == (N ** u.Quantity(2.0)) == (N ** Fraction(2)) == N**2
    for exponent in (ARRAY, 2.0 * u.nS, 1j, init.Constant(2.0), M):
        with pytest.raises(init.UnitError):
            N**exponent
    with pytest.raises(init.UnitError):
        jax.jit(lambda x: (N**x)(key(), SHAPE).mantissa)(2.0)


# ---------------------------------------------------------------- a Quantity around an initializer


def test_a_quantity_around_an_initializer_is_unwrapped():
    """Brainunit returns one if a unit is on the left of a product."""
    delay, second = u.ms * init.Exponential(2.0), init.Normal(1 * u.ms, 0.1 * u.ms)
    right = (init.Exponential(2.0) * u.ms)(key(), SHAPE)
    assert isinstance(delay, u.Quantity)
    for unwrapped in (
        init.get(delay),
        delay + 0 * u.ms,
        init.Scaled(delay, 1.0),
        init.Clipped(delay, 0 * u.ms),
        init.get(init.to_config(delay)),
    ):
        np.testing.assert_allclose(bare(draw(unwrapped)), bare(right), rtol=1e-6)
    np.testing.assert_array_equal(bare(init.param(delay, SHAPE, rng=key())), bare(right))
    assert init.rows(delay, key(), (4, 2), 1, 3).unit == u.ms
    for obj in (second + delay, init.Mixture([delay]), init.Conditional(0.5, delay, second)):
        assert obj(3, rng=0).unit == u.ms


# ---------------------------------------------------------------- nesting


def chain(obj, levels):
    for _ in range(levels):
        obj = obj + 1.0
    return obj


@pytest.mark.parametrize("obj", [M, init.GaussianProfile(1.0)], ids=["initializer", "profile"])
def test_nesting_has_a_limit(obj):
    deepest = chain(obj, 63)
    with pytest.raises(ValueError, match="65 levels deep, the limit is 64"):
        deepest + 1.0
    assert deepest == chain(obj, 63)
    assert hash(deepest) == hash(chain(obj, 63))  # the time must not double with each level
    assert init.get(init.to_config(deepest)) == deepest if obj is M else deepest(1.0) > 63
    drawn = jax.eval_shape(lambda k: deepest(k, SHAPE) if obj is M else deepest(1.0), key())
    assert drawn.dtype == jnp.float32


# ---------------------------------------------------------------- ranges of dtypes

LARGE = init.Normal(0.0, 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda base, large: base * 2,
        lambda base, large: LARGE + large,
        lambda base, large: LARGE * np.array([large]),
        lambda base, large: init.Scaled(base, 2.0),
        lambda base, large: init.Scaled(LARGE, large),
        lambda base, large: base**2,
        lambda base, large: LARGE.clip(large),
        lambda base, large: LARGE.clip(max_val=-large),
        lambda base, large: init.Compose(base),
        lambda base, large: init.Mixture([LARGE, base]),
        lambda base, large: init.Conditional(0.5, LARGE, large),
        lambda base, large: init.Sparse(0.5, base),
        lambda base, large: init.Dale(base),
        lambda base, large: init.Spectral(base, norm=1.0),
        lambda base, large: init.Truncated(base, 0.0),
        lambda base, large: (LARGE + (LARGE * base)) + 1.0,
    ],
)
def test_an_object_made_under_x64_is_refused_outside(make):
    for mean, std in ((1e300, 1.0), (1e300, 1e-300)):
        with jax.enable_x64(True):
            obj = make(init.Normal(mean, std), mean)
            assert obj((4, 4), rng=0).dtype == jnp.float64
        for call in (obj, jax.jit(obj, static_argnums=1)):
            with pytest.raises(ValueError, match="outside what float32 holds"):
                call(key(), (4, 4))


def test_clip_needs_a_value_of_the_dtype():
    for dtype, bounds in ((np.float16, (1e6, 1e7)), (jnp.bfloat16, (1.001, 1.002))):
        obj = M.clip(*bounds)
        for call in (obj, jax.jit(obj, static_argnums=(1, 2))):
            with pytest.raises(ValueError, match="no value of .* between `min_val`.*`max_val`"):
                call(key(), SHAPE, dtype)
        assert (obj * 1.0)(key(), SHAPE, dtype).dtype == dtype  # clipped in float32
    assert np.isfinite(M.clip(-1e6, 1e6)(key(), SHAPE, np.float16)).all()


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: init.Power(M, ARRAY), TypeError, r"`exponent`.*one concrete number.*\(3,\)"),
        (lambda: init.Power(M, 2 * u.nS), init.UnitError, "`exponent` is a pure number, got 2 nS"),
        (lambda: init.Power(M, 1j), TypeError, "`exponent`"),
        (lambda: init.Power(M, "2"), TypeError, "`exponent`"),
        (lambda: init.Power(M, True), TypeError, "`exponent`"),
        (lambda: init.Power(M, None), TypeError, "`exponent`"),
        (lambda: init.Power(M, np.nan), ValueError, "`exponent`.*finite"),
        (lambda: jax.jit(lambda x: init.Power(M, x))(2.0), TypeError, "`exponent`.*traced"),
        (lambda: init.Combined("+", M), TypeError, "`right`"),
        (lambda: init.Combined("abs", M, M), TypeError, "`right`"),
        (lambda: init.Combined({}, M, M), ValueError, "`op`"),
        (lambda: init.Combined("+", M, "a"), TypeError, "`right`"),
        (lambda: M * 10**400, ValueError, "`right`.*range"),
        (lambda: init.Compose(M, 3 * u.nS), TypeError, r"`functions\[0\]`"),
        (lambda: init.Compose(M, np.abs, init.Normal), TypeError, r"`functions\[1\]`"),
        (lambda: init.Compose(M, functions=3 * u.nS), TypeError, "`functions` must be a sequence"),
        (lambda: init.composed(key(), 3, M, 3 * u.nS), TypeError, "`functions` must be a sequence"),
        (lambda: M.apply(None), TypeError, r"`functions\[0\]`"),
        (lambda: (M | (lambda x: None))(3, rng=0), ValueError, r"`functions\[0\]`.*shape"),
        (lambda: init.Scaled(M, M), TypeError, "`scale_factor`"),
        (lambda: M.clip("a"), TypeError, "`min_val`"),
        (lambda: M.clip(max_val=M), TypeError, "`max_val`"),
    ],
)
def test_errors_name_the_argument(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_equal_exponents_make_equal_powers():
    powers = [init.Power(M, x) for x in (2, 2.0, np.int64(2), np.array(2), u.Quantity(2.0))]
    assert len(set(powers)) == 1
    assert len({repr(p) for p in powers}) == 1


def test_a_fraction_goes_through_jit():
    third = jax.jit(lambda obj, k: obj(k, SHAPE))(init.Constant(Fraction(1, 3)), key())
    np.testing.assert_allclose(third, 1 / 3, rtol=1e-6)
