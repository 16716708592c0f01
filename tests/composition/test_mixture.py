"""Initializers made of initializers: what operators mean, whose key is whose, what is an error."""

from __future__ import annotations

import dataclasses
import json
import operator
import pickle

import brainunit as u
import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax._src import test_util as jtu
from scipy import stats

import braininit as init
from braininit.composition.mixture import _word_ranges

N = init.Normal(0.5 * u.nS, 0.1 * u.nS)
M = init.Normal(2.0, 0.5)
YES, NO = init.Constant(1.0), init.Constant(0.0)
SIZE = (40, 25)


def key(n=5):
    return jax.random.key(n)


def bare(x):
    return np.asarray(u.get_mantissa(x))


class Full(init.Initialization):
    """A plain subclass in BrainTools' way that draws nothing."""

    def __init__(self, value):
        self.value = value

    def __call__(self, size, **kwargs):
        return np.full(size, self.value)


class FromRng(init.Initialization):
    """A plain subclass in BrainTools' way that uses the caller's rng."""

    def __call__(self, size, rng=None, **kwargs):
        self.got = rng
        return rng.normal(size=size)


# ---------------------------------------------------------------- operators


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (N * 2, lambda x: x * 2),
        (2 * N, lambda x: x * 2),
        (N * np.float32(2), lambda x: x * 2),
        (np.float64(2) * N, lambda x: x * 2),
        (N * np.arange(25.0), lambda x: x * np.arange(25.0)),
        (np.arange(25.0) * N, lambda x: x * np.arange(25.0)),
        (jnp.arange(25.0) * N, lambda x: x * np.arange(25.0)),
        (N / 4, lambda x: x / 4),
        (N + 0.1 * u.nS, lambda x: x + 0.1),
        (N - 1e-4 * u.uS, lambda x: x - 0.1),
        (0 + N, lambda x: x),
        (-N, lambda x: -x),
        (+N, lambda x: x),
        (abs(N - 0.5 * u.nS), lambda x: abs(x - 0.5)),
        (N.add(0.1 * u.nS).multiply(3), lambda x: (x + 0.1) * 3),
        (init.Scaled(N, 0.5), lambda x: x / 2),
        (N.clip(0.4 * u.nS, 5.5e-4 * u.uS), lambda x: np.clip(x, 0.4, 0.55)),
        (N.clip(0.5 * u.nS), lambda x: np.maximum(x, 0.5)),
        (N.clip(max_val=0.5 * u.nS), lambda x: np.minimum(x, 0.5)),
        (N.apply(lambda x: 2 * x), lambda x: 2 * x),
        (N | u.math.abs | (lambda x: x * 3), lambda x: abs(x) * 3),
        (init.Compose(N, u.math.abs, lambda x: x * 3), lambda x: abs(x) * 3),
    ],
    ids=lambda x: type(x).__name__,
)
def test_an_operator_acts_on_the_draws_of_the_same_key(made, expected):
    x = made(key(), SIZE)
    assert x.unit == u.nS
    np.testing.assert_allclose(bare(x), expected(bare(N(key(), SIZE))), rtol=3e-7, atol=2e-8)


@pytest.mark.parametrize(
    ("made", "base", "unit", "expected"),
    [
        (N * u.mV, N, u.nS * u.mV, lambda x: x),
        (M * u.nS, M, u.nS, lambda x: x),
        (M * (4 * u.nS), M, u.nS, lambda x: 4 * x),
        (N / u.ms, N, u.nS / u.ms, lambda x: x),
        (N**2, N, u.nS**2, lambda x: x**2),
        (N**0.5, N, u.nS**0.5, np.sqrt),
        (1 / N, N, u.nS**-1, lambda x: 1 / x),
    ],
    ids=lambda x: type(x).__name__,
)
def test_units_follow_the_operation(made, base, unit, expected):
    x = made(key(), SIZE)
    assert x.unit == unit
    np.testing.assert_allclose(bare(x), expected(bare(base(key(), SIZE))), rtol=1e-6)


def test_a_quotient_without_dimension_is_a_plain_array():
    x = (N / (0.001 * u.uS))(key(), SIZE)
    assert isinstance(x, jax.Array)
    np.testing.assert_allclose(x, bare(N(key(), SIZE)), rtol=1e-6)


def test_each_operand_draws_from_its_own_key():
    difference = bare((N - N)(key(), (100_000,)))
    assert abs(difference.std() / (0.1 * np.sqrt(2)) - 1) < 0.02
    product = (init.Normal(0.0, 1.0) * init.Normal(0.0, 1.0))(key(), (100_000,))
    assert abs(np.mean(product)) < stats.norm.isf(5e-7) / np.sqrt(100_000)
    ratio = (M**M)(key(), (10,))
    assert not np.array_equal(ratio, (M**M.mean)(key(), (10,)))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: N + M, init.UnitError, "nS.*without a unit"),
        (lambda: N + 1, init.UnitError, "nS.*without a unit"),
        (lambda: N - init.Normal(1 * u.mV, 1 * u.mV), init.UnitError, "nS.*mV"),
        (lambda: N**N, init.UnitError, "nS"),
        (lambda: 2**N, init.UnitError, "nS"),
        (lambda: N**np.inf, ValueError, "`exponent`.*finite"),
        (lambda: N.clip(1 * u.mV), init.UnitError, "`min_val`.*mV.*nS"),
        (lambda: N.clip(1.0), init.UnitError, "`min_val`"),
        (lambda: M.clip(1 * u.mV), init.UnitError, "`min_val`.*mV.*no unit"),
        (lambda: N.clip(2 * u.nS, 1 * u.nS), ValueError, "`min_val`.*less than.*`max_val`"),
        (lambda: N | N, TypeError, "functions"),
        (lambda: N | 3, TypeError, "functions"),
        (lambda: init.Compose(), ValueError, "begin"),
        (lambda: N * "a", TypeError, "."),
        (lambda: N * None, TypeError, "None"),
        (lambda: init.Scaled(init.Normal, 2.0), TypeError, r"write Normal\(\.\.\.\)"),
        (lambda: init.Scaled("normal", 2.0), TypeError, "`base_dist`"),
        (lambda: init.Combined("%", N, N), ValueError, "`op`"),
    ],
)
def test_errors_are_raised_when_the_object_is_made(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_brainunit_on_the_left_is_an_error_or_understood():
    for op, same in ((operator.add, N + 0.1 * u.nS), (operator.sub, N * -1 + 0.1 * u.nS)):
        try:
            made = op(0.1 * u.nS, N)
        except u.UnitMismatchError:  # from a brainunit before 0.6
            continue
        assert made(3, rng=0).unit == u.nS
        np.testing.assert_array_equal(bare(made(3, rng=0)), bare(same(3, rng=0)))
    assert init.Scaled(u.nS * M, 2.0)(3, rng=0).unit == u.nS


def test_shape_is_kept():
    with pytest.raises(ValueError, match=r"gave the shape \(1,\), not \(3,\)"):
        (N | (lambda x: x[:1]))(3, rng=0)
    with pytest.raises(ValueError, match="does not broadcast"):
        (N * np.ones(4))(3, rng=0)


def test_narrow_dtypes_are_put_together_in_float32():
    made = (N * 3 + 0.1 * u.nS).clip(0 * u.nS, 1.55 * u.nS)
    wide, narrow = (bare(made(key(), SIZE, d)) for d in (jnp.float32, jnp.bfloat16))
    inside = wide < 1.54
    np.testing.assert_array_equal(wide.astype(jnp.bfloat16)[inside], narrow[inside])
    assert narrow.astype(np.float32).max() <= np.float32(1.55)


def test_dtypes_without_x64_and_complex():
    assert (init.Normal() * 2)(key(), 3, jnp.complex64).dtype == jnp.complex64
    with pytest.raises(TypeError, match="complex"):
        (init.Constant(1j) * 2)(3)
    with pytest.raises(TypeError, match="`dtype` must be real, as bounds are, got complex64"):
        init.Normal().clip(0, 1)(key(), 3, jnp.complex64)
    with jax.enable_x64(True):
        assert (N * 2)(key(), 3).dtype == jnp.float64
        assert (N * 2)(key(), 3, jnp.float32).dtype == jnp.float32


def test_choices_among_complex_draws():
    he, one = init.KaimingNormal() * u.uS, init.Constant(1.0 * u.nS)
    for chooser in (init.Mixture([one, he]), init.Conditional(lambda i: i % 2 == 0, one, he)):
        drawn = chooser(key(), (40, 50), jnp.complex64)
        assert (drawn.unit, drawn.dtype) == (u.nS, jnp.complex64)
        ones = bare(drawn) == 1
        assert 0.45 < ones.mean() < 0.55
        power = (np.abs(bare(drawn)[~ones] / 1000) ** 2).mean()
        assert abs(power / (2 / 40) - 1) < 0.2


# ---------------------------------------------------------------- as values, under transforms


COMPOSED = [
    (N * 2 + 0.1 * u.nS).clip(0 * u.nS),
    init.Mixture([N, N * 2, init.Constant(1 * u.nS)], [0.2, 0.3, 0.5]),
    abs(-(N**2)),
    init.Truncated(N, 0.4 * u.nS),
]


@pytest.mark.parametrize("obj", COMPOSED, ids=str)
def test_values_and_transforms(obj):
    names = vars(init) | {"Quantity": u.Quantity, "array": np.array}
    for again in (pickle.loads(pickle.dumps(obj)), eval(repr(obj), names)):
        assert again == obj
        assert hash(again) == hash(obj)
    eager = obj(key(), SIZE)
    jitted = jax.jit(lambda o, k: o(k, SIZE))(obj, key())
    assert u.math.allclose(jitted, eager, rtol=1e-6)
    many = jax.vmap(lambda k: obj(k, (3,)))(jax.random.split(key(), 4))
    assert many.shape == (4, 3)
    grad = jax.grad(lambda o: bare_sum(o(key(), SIZE)))(obj)
    assert type(grad) is type(obj)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grad))


def bare_sum(x):
    return u.get_mantissa(x).sum()


def test_a_traced_parameter_within_a_composite():
    def draw(std):
        return (init.Normal(0.5, std) * 2).clip(0.0)(key(), (3,))

    np.testing.assert_array_equal(jax.jit(draw)(0.1), draw(0.1))
    assert np.isnan(jax.jit(draw)(-0.1)).all()


def test_an_eager_draw_compiles_once():
    base = (N * 2).clip(0 * u.nS)
    base(key(), SIZE)
    with jtu.count_jit_compilation_cache_miss() as misses:
        (N * 3).clip(0.1 * u.nS)(key(), SIZE)
    assert misses() == 0


def test_functions_are_called_with_concrete_draws():
    """Eagerly a function of the user's sees numbers, at every draw, and nothing is compiled."""
    seen = []

    def look(x):
        seen.append(float(u.get_mantissa(x)[0]))
        return x

    obj = (N | look) * 2
    for n in (1, 2):
        obj(key(n), (3,))
    assert len(seen) == 2
    assert seen[0] != seen[1]


POISONED = {
    "weights": lambda bad: init.Mixture([M, YES], jnp.stack([bad, 1 - bad])),
    "weights that don't sum to 1": lambda bad: init.Mixture([M, YES], jnp.stack([bad, 0.5])),
    "the last weight": lambda bad: init.Mixture([M, M, YES], jnp.stack([0.5, 0.5, bad])),
    "rows": lambda bad: init.Mixture([M, YES], jnp.stack([bad, 1 - bad]), axis=0),
    "fraction": lambda bad: init.Conditional(bad, M, YES),
    "fractions": lambda bad: init.Conditional(jnp.stack([bad, 1 - bad]), M, YES),
    "excitatory": lambda bad: init.Dale(M, bad, balance=False),
    "sparsity": lambda bad: init.Sparse(bad, M),
}


@pytest.mark.parametrize("name", POISONED)
def test_a_bad_traced_parameter_survives_comparisons(name):
    """What only decides which number is taken makes all of them NaN."""
    dtypes = ("float32", "float16", "complex64") if "weight" in name else ("float32",)
    drawn = jax.jit(lambda bad: [POISONED[name](bad)(key(), (4, 4), d) for d in dtypes])
    for bad in (np.nan, -0.5, np.inf, 2.5):
        for dtype, x in zip(dtypes, drawn(bad), strict=True):
            assert np.isnan(x).all(), (bad, dtype)


def test_bad_traced_bounds():
    dtypes = (jnp.float32, jnp.bfloat16, jnp.float8_e4m3fn)
    drawn = jax.jit(lambda low, high: [M.clip(low, high)(key(), (4,), d) for d in dtypes])
    for bounds in ((np.nan, 3.0), (1.0, np.nan), (4.0, 3.0)):
        for dtype, x in zip(dtypes, drawn(*bounds), strict=True):
            assert np.isnan(np.asarray(x, np.float32)).all(), (bounds, dtype)


# ---------------------------------------------------------------- users' own


def test_a_plain_subclass_takes_part():
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal((Full(5.0) + 3.0)(4), np.full(4, 8.0))
    np.testing.assert_array_equal((2 * Full(5.0) - Full(1.0))((2, 2)), np.full((2, 2), 9.0))
    own = FromRng()
    x = ((own | np.abs) * N)(10, rng=rng)
    assert own.got is rng  # unchanged
    assert x.unit == u.nS
    x = (own * 2)(10, rng=np.random.default_rng(1))
    np.testing.assert_allclose(x, 2 * np.random.default_rng(1).normal(size=10), rtol=1e-6)
    both = init.Mixture([Full(1.0), Full(2.0)])(100, rng=0)
    assert set(bare(both)) == {1.0, 2.0}


def test_a_plain_dataclass_takes_part():
    @dataclasses.dataclass
    class Filled(init.Initialization):
        value: float = 1.0

        def __call__(self, size, **kwargs):
            return np.full(size, self.value)

    doubled = Filled(2.0) * 2
    np.testing.assert_array_equal(doubled(3), np.full(3, 4.0))
    assert hash(doubled) == hash(doubled)
    drawn = jax.jit(lambda o, k: (o + M)(k, (3,)))(doubled, key())
    np.testing.assert_allclose(drawn, (doubled + M)(key(), (3,)), rtol=1e-6)


def test_siblings_that_share_a_key_do_not_share_it():
    class FromKey(init.Initialization):
        def __call__(self, size, rng=None, **kwargs):
            return jax.random.normal(rng, size)

    assert np.abs((FromKey() - FromKey())(10, rng=key())).min() > 0


def test_a_function_in_jaxs_way_takes_part():
    he = jax.nn.initializers.he_normal()
    np.testing.assert_allclose(init.Scaled(he, 2.0)(key(), (8, 4)), 2 * he(key(), (8, 4)), 1e-6)
    x = init.Mixture([he, init.Constant(0.0)])(key(), (8, 4))
    assert np.mean(np.asarray(x) == 0) > 0.2


def test_unknown_keywords_reach_only_those_who_may_know_them():
    class Custom(init.Initialization):
        def __call__(self, size, custom=None, **kwargs):
            return np.full(size, custom)

    np.testing.assert_array_equal((Custom() * 2)(3, custom=4.0), np.full(3, 8.0))
    for obj in (N * 2, init.Mixture([N, N])):
        with pytest.raises(TypeError, match="no custom="):
            obj(3, rng=0, custom=4.0)
    with pytest.raises(TypeError, match="no custom="):
        init.mixture(key(), 3, [N, N], custom=4.0)


def test_a_shape_that_is_not_the_one_asked_for_is_an_error():
    class Wrong(init.Initialization):
        def __call__(self, size, **kwargs):
            return np.zeros(7)

    with pytest.raises(ValueError, match=r"gave the shape \(7,\), not \(3,\)"):
        (Wrong() * 2)(3)


# ---------------------------------------------------------------- mixture


def test_components_are_drawn_at_the_full_shape():
    base = init.KaimingNormal()
    x = bare(init.Mixture([base, base])(key(), (100, 400)))
    assert abs(x.std() / bare(base(key(), (100, 400))).std() - 1) < 0.02


def test_the_unit_is_the_first_components():
    pico = init.Constant(5e-4 * u.uS)
    assert init.Mixture([N, pico])(100, rng=0).unit == u.nS
    x = init.Mixture([pico, N])(100, rng=0)
    assert x.unit == u.uS
    assert 3e-4 < bare(x).mean() < 7e-4


def test_weights_are_met_to_the_last_word():
    with pytest.raises(ValueError, match="sum to 1"):
        init.Mixture([N, N], [0.5, 0.2])
    for weights, value in (([1.0, 0.0], 1.0), ([0.0, 1.0], 2.0)):
        x = init.Mixture([init.Constant(1.0), init.Constant(2.0)], weights)(100_000, rng=0)
        assert (bare(x) == value).all()
    n, share = 1_000_000, 0.001
    x = init.Mixture([init.Constant(1.0), init.Constant(0.0)], [share, 1 - share])(n, rng=0)
    assert stats.binomtest(int(bare(x).sum()), n, share).pvalue > 1e-6


@pytest.mark.parametrize(
    "weights",
    [
        [0.333333, 0.333333, 0.333333, 0.0],
        [0.0, 0.333333, 0.333333, 0.333333],
        [0.333333, 0.0, 0.333333, 0.333333],
        [0.999991, 0.0],
        [1e-7, 1 - 1e-7],
        [1 - 2e-7, 1e-7, 1e-7],
        [0.0, 1.0, 0.0],
        [0.5, 0.5],
        [0.1] * 10,
        [1e-30, 1.0],
    ],
    ids=str,
)
def test_each_component_has_its_share_of_the_words(weights):
    """To half a word, or to the relative precision of float32; of weight 0 none at all."""
    shares = np.array(weights)
    first, some = map(np.asarray, _word_ranges(jnp.asarray(weights, jnp.float32)))
    first, some = first.astype(np.int64), some.astype(bool)
    ends = np.append(first[some][1:], 2**32)
    words = np.zeros(len(weights))
    words[some] = ends - first[some]
    assert first[some][0] == 0
    assert (words[shares == 0] == 0).all()
    share = shares / shares.sum()
    np.testing.assert_allclose(words, share * 2**32, rtol=2e-6, atol=0.5 + 1e-6)


@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_a_component_without_weight_is_never_drawn(axis):
    parts = [init.Constant(float(i)) for i in range(4)]
    for at in range(4):
        weights = np.insert(np.full(3, 0.333333), at, 0.0)
        x = init.Mixture(parts, weights, axis=axis)(key(), (400, 500))
        assert set(np.unique(x)) == {0.0, 1.0, 2.0, 3.0} - {at}
        traced = jax.jit(lambda w: init.Mixture(parts, w, axis=axis)(key(), (400, 500)))(weights)
        np.testing.assert_array_equal(x, traced)


def test_mixture_along_an_axis_picks_rows():
    x = bare(init.Mixture([init.Constant(1.0), init.Constant(2.0)], axis=0)(key(), (50, 20)))
    assert (x == x[:, :1]).all()
    assert 0 < np.mean(x == 1.0) < 1
    y = bare(init.Mixture([init.Constant(1.0), init.Constant(2.0)], axis=(0, 1))(key(), (5, 8)))
    assert len(np.unique(y, axis=0)) > 1


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: init.Mixture([]), ValueError, "one initializer or more"),
        (lambda: init.Mixture(3 * u.nS), TypeError, "`distributions` must be a sequence"),
        (lambda: init.Mixture(np.array(3.0)), TypeError, "`distributions` must be a sequence"),
        (lambda: init.Mixture(N), TypeError, "`distributions` must be a sequence"),
        (lambda: init.Mixture("normal"), TypeError, "`distributions` must be a sequence"),
        (lambda: init.Mixture({"normal": N}), TypeError, "`distributions` must be a sequence"),
        (lambda: init.Mixture([N, None]), TypeError, r"`distributions\[1\]`"),
        (lambda: init.Mixture([N, N], axis=(0, 0))((2, 2), rng=0), ValueError, "`axis`.*twice"),
        (lambda: init.Mixture([N, N], [1.0]), ValueError, "`weights`.*2 distributions"),
        (lambda: init.Mixture([N, N], [1.5, -0.5]), ValueError, "`weights`.*non-negative.*-0.5"),
        (lambda: init.Mixture([N, M]), init.UnitError, r"`distributions\[1\]`.*nS"),
        (lambda: init.Mixture([N, 1 * u.mV]), init.UnitError, r"`distributions\[1\]`.*mV.*nS"),
        (lambda: init.Mixture([N, N], axis="x"), TypeError, "`axis`"),
        (lambda: init.Mixture([N, N], axis=2)(3, rng=0), ValueError, "`axis`"),
        (lambda: init.Conditional(N, N, N), TypeError, "`condition_fn`"),
        (lambda: init.Conditional(np.isnan, N, M), init.UnitError, "`false_dist`"),
    ],
)
def test_errors_of_choices(make, error, text):
    with pytest.raises(error, match=text):
        make()


# ---------------------------------------------------------------- conditional


def test_conditional_speaks_of_elements_or_rows():
    def below(i):
        return i < 6

    x = bare(init.Conditional(below, YES, NO)((3, 4)))
    np.testing.assert_array_equal(x.ravel(), np.arange(12) < 6)
    rows = init.Conditional(lambda i: i < 2, YES, NO, axis=0)
    np.testing.assert_array_equal(rows((3, 4)), np.repeat([[1], [1], [0]], 4, 1))
    columns = init.Conditional(lambda i: i < 2, YES, NO, axis=1)
    np.testing.assert_array_equal(columns((3, 4)), np.tile([1, 1, 0, 0], (3, 1)))


def test_conditional_takes_indices_and_numpys_functions():
    named = init.Conditional(lambda i: np.isin(i, [7, 9]), YES, NO)
    np.testing.assert_array_equal(named(3, neuron_indices=[7, 8, 9]), [1, 0, 1])
    np.testing.assert_array_equal(jax.jit(lambda k: named(k, (10,)))(key())[7:], [1, 0, 1])
    with pytest.raises(ValueError, match="`neuron_indices` must be 3"):
        named(3, neuron_indices=[1, 2])
    with pytest.raises(ValueError, match="one boolean for each of the 10"):
        init.Conditional(lambda i: i[:2] > 0, YES, NO)(10)


THREE = (3, [3, 7], 0.3, [0.3, 0.7], [True] * 3 + [False] * 7)


@pytest.mark.parametrize(
    "data",
    [*THREE, *map(np.asarray, THREE), jnp.arange(10) < 3, np.float32(0.3), np.int64(3)],
    ids=repr,
)
def test_a_condition_as_data(data):
    """A mask, counts or fractions; it goes into a configuration, and through jit."""
    obj = init.Conditional(data, YES, NO)
    expected = np.arange(10) < 3
    np.testing.assert_array_equal(obj(10), expected)
    np.testing.assert_array_equal(jax.jit(lambda o, k: o(k, (10,)))(obj, key()), expected)
    assert init.get(json.loads(json.dumps(init.to_config(obj)))) == obj
    assert eval(repr(obj), vars(init)) == obj
    assert hash(obj) == hash(pickle.loads(pickle.dumps(obj)))
    traced = jax.jit(lambda data: init.Conditional(data, YES, NO)(key(), 10))(np.asarray(data))
    np.testing.assert_array_equal(traced, expected)


def test_a_condition_as_data_speaks_of_rows_and_of_named_neurons():
    rows = init.Conditional([2, 1], YES, NO, axis=0)
    np.testing.assert_array_equal(rows((3, 2)), [[1, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(init.Conditional(np.eye(2) > 0, YES, NO)((2, 2)), np.eye(2))
    for data in (8, [8, 2], np.arange(10) < 8):
        named = init.Conditional(data, YES, NO)
        np.testing.assert_array_equal(named(3, neuron_indices=[9, 7, 8]), [0, 1, 0])
    for data in (0.8, np.arange(5) < 8):
        with pytest.raises(ValueError, match="`neuron_indices`"):
            init.Conditional(data, YES, NO)(3, neuron_indices=[9, 7, 8])
    shares = jnp.array([0.3, 0.5])
    mapped = jax.vmap(lambda share: init.Conditional(share, YES, NO)(key(), 10))(shares)
    np.testing.assert_array_equal(mapped.sum(1), [3, 5])


def test_a_fraction_of_a_size_that_an_export_keeps_open():
    like = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n"), jnp.float32)
    obj = init.Conditional(0.3, YES, NO)
    exported = jax.export.export(jax.jit(lambda k, x: obj(k, x.shape)))(key(), like)
    np.testing.assert_array_equal(exported.call(key(), jnp.ones(10)), np.arange(10) < 3)


def test_excitation_and_inhibition_in_one_object_that_can_be_saved():
    sent = init.LogNormal(0.5 * u.nS, 0.2 * u.nS), -init.LogNormal(2 * u.nS, 0.2 * u.nS)
    obj = init.Conditional([8, 2], *sent, axis=0)
    again = init.get(json.loads(json.dumps(init.to_config(obj))))
    x = bare(again((10, 5), rng=0))
    assert (x[:8] > 0).all()
    assert (x[8:] < -1).all()
    np.testing.assert_array_equal(x, bare(obj((10, 5), rng=0)))


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ([3, 6], ValueError, "counts 9 neurons, the shape has 10"),
        (11, ValueError, "counts 11 neurons"),
        (-1, ValueError, "0 neurons or more"),
        (1.5, ValueError, "from 0 to 1"),
        (np.nan, ValueError, "remove the NaN"),
        ([0.5, 0.6], ValueError, "sum to 1"),
        ([True] * 3, ValueError, "one boolean for each of the 10"),
        *((bad, TypeError, "must be a function of indices, a boolean") for bad in (True, "3", 1j)),
        *((bad, TypeError, "must be a function of") for bad in (None, [True, 3], [1, 2, 3], {})),
        *((bad, TypeError, "must be a function of") for bad in (N, 3 * u.nS, [[1], [2, 3]])),
    ],
)
def test_conditions_that_are_refused(data, error, text):
    with pytest.raises(error, match="`condition_fn`.*" + text):
        init.Conditional(data, YES, NO)(10)


def test_a_function_in_a_configuration_says_what_to_do_instead():
    with pytest.raises(TypeError, match=r"mask, a count or a fraction, as in Conditional\(\[80"):
        init.to_config(init.Conditional(lambda i: i < 3, YES, NO))


def test_a_condition_is_asked_anew_at_every_draw():
    limit = [2]
    obj = init.Conditional(lambda i: i < limit[0], YES, NO)
    assert bare(obj(4)).sum() == 2
    limit[0] = 3
    assert bare(obj(4)).sum() == 3


# ---------------------------------------------------------------- as initializers of layers

HE = init.KaimingNormal()
LAYERED = {
    "half": HE * 0.5,
    "mixture": init.Mixture([HE, init.LecunUniform()], [0.3, 0.7]),
    "clipped": HE.clip(-0.3, 0.3),
    "truncated": init.Truncated(init.Normal(0.0, 0.1), -0.1, 0.2),
    "sparse": init.Sparse(0.3, HE),
    "nearly the identity": init.Identity() + init.Normal(0.0, 0.01),
    "echo state": init.Spectral(init.Sparse(0.5, M - 2.0), norm=0.9),
}
AT = jnp.ones((2, 6))


@pytest.mark.parametrize("obj", LAYERED.values(), ids=LAYERED)
def test_linen_layers_take_composites_under_every_transform(obj):
    def kernel(key, hook=obj, layer=nn.Dense):
        return layer(6, kernel_init=hook).init(key, AT)["params"]["kernel"]

    def by_hand(key, shape, dtype):
        return obj(key, shape, dtype)

    plain = kernel(key())
    assert plain.dtype == jnp.float32
    assert np.ptp(plain) > 0.01
    close = {"rtol": 2e-5, "atol": 2e-6}
    np.testing.assert_allclose(jax.jit(kernel)(key()), plain, **close)
    jitted = [kernel(key(), hook, nn.jit(nn.Dense)) for hook in (obj, by_hand)]  # keys of its own
    np.testing.assert_allclose(*jitted, **close)
    members = jax.vmap(kernel)(jax.random.split(key(), 3))
    np.testing.assert_allclose(members, [kernel(k) for k in jax.random.split(key(), 3)], **close)


@pytest.mark.parametrize("obj", LAYERED.values(), ids=LAYERED)
def test_nnx_layers_take_composites_under_jit(obj):
    def kernel():
        return nnx.Linear(6, 6, kernel_init=obj, rngs=nnx.Rngs(0)).kernel[...]

    np.testing.assert_allclose(nnx.jit(kernel)(), kernel(), rtol=2e-5, atol=2e-6)
    conv = nnx.Conv(4, 6, (3, 3), kernel_init=obj, rngs=nnx.Rngs(0))
    assert conv.kernel.shape == (3, 3, 4, 6)
