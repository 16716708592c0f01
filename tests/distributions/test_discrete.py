"""Whole numbers: their probabilities one by one, as integers, at the ends of what can be drawn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import braininit as init

RATE = 1e-6  # of a false alarm


def key(n=0):
    return jax.random.key(n)


def agrees(x, law):
    """Chi-square of the numbers one by one, those expected less than 20 times together."""
    values, counts = np.unique(np.asarray(x, np.float64), return_counts=True)
    expected = law.pmf(values) * x.size
    often = expected >= 20
    rest = x.size - expected[often].sum(), x.size - counts[often].sum()
    statistic = np.sum((counts[often] - expected[often]) ** 2 / expected[often])
    if rest[0] >= 20:
        statistic += (rest[1] - rest[0]) ** 2 / rest[0]
    elif stats.poisson.sf(rest[1] - 1, rest[0]) < RATE:
        return False
    return stats.chi2.sf(statistic, max(often.sum() - (rest[0] < 20), 1)) > RATE


MEANS = (1e-6, 0.3, 1.0, 2.0, 6.5, 30.0, 999.5, 1e6)
TRIALS = ((1, 0.5), (3, 0.5), (5, 0.01), (30, 0.98), (1000, 0.5), (100_000, 1e-4), (2**24, 0.37))


@pytest.mark.parametrize("mean", MEANS)
def test_poisson(mean):
    """At 4e5 draws: sees a probability of 10 % that is off by 3 parts in 100."""
    x = init.poisson(key(1), 400_000, mean, dtype=int)
    assert agrees(np.asarray(x), stats.poisson(float(np.float32(mean))))


@pytest.mark.parametrize(("n", "p"), TRIALS)
def test_binomial(n, p):
    x = init.binomial(key(2), 400_000, n, p, dtype=int)
    assert agrees(np.asarray(x), stats.binom(n, float(np.float32(p))))


@pytest.mark.heavy
@pytest.mark.parametrize(
    "obj", [*map(init.Poisson, MEANS), *(init.Binomial(*t) for t in TRIALS)], ids=str
)
def test_many(obj):
    """At 5e7 draws: sees a probability of 10 % that is off by 3 parts in 1000."""
    x = np.concatenate([np.asarray(obj(k, 10**7, int)) for k in jax.random.split(key(3), 5)])
    numbers = [float(np.float32(v)) for v in vars(obj).values() if isinstance(v, float)]
    law = stats.poisson if isinstance(obj, init.Poisson) else stats.binom
    assert agrees(x, law(*numbers))


def test_the_chi_square_sees_a_broken_sampler():
    n, law = 400_000, stats.poisson(3.0)
    good = np.random.default_rng(0).poisson(3.0, n)
    assert agrees(good, law)
    assert not agrees(np.where(good == 0, 1, good), law)
    assert not agrees(np.random.default_rng(1).poisson(3.03, n), law)
    assert not agrees(np.rint(np.random.default_rng(2).normal(3.0, 3**0.5, n)).clip(0), law)


@pytest.mark.parametrize(
    ("base", "law", "low", "high"),
    [
        (init.Poisson(3.0), stats.poisson(3.0), 1, None),
        (init.Poisson(2.0), stats.poisson(2.0), 20, None),
        (init.Poisson(300.0), stats.poisson(300.0), 250, 260.5),
        (init.Binomial(40, 0.5), stats.binom(40, 0.5), 30.5, None),
        (init.Binomial(1000, 0.25), stats.binom(1000, 0.25), None, 200),
        (init.Poisson(1e-3), stats.poisson(1e-3), 3, 9),
        (init.UniformInt(-4, 30), stats.randint(-4, 30), 1.5, 20),
    ],
)
def test_truncated(base, law, low, high):
    obj = init.Truncated(base, low, high)
    x = np.asarray(obj(key(4), 200_000, int))
    ends = np.ceil(0 if low is None else low), np.floor(1e6 if high is None else high)
    assert x.min() >= ends[0]
    assert x.max() <= ends[1]
    k = np.arange(ends[0], min(ends[1], ends[0] + 2000) + 1)
    p = law.pmf(k)
    np.testing.assert_allclose(init.theory.pmf(obj, k), p / p.sum(), rtol=1e-9, atol=1e-300)
    assert agrees(x, stats.rv_discrete(values=(k, p / p.sum())))


def test_arrays_of_parameters():
    means = np.repeat([0.2, 5.0, 400.0], 100_000).reshape(3, -1)
    x = np.asarray(init.Poisson(means)(key(5), means.shape))
    for row, mean in zip(x, means[:, 0], strict=True):
        assert agrees(row, stats.poisson(mean))


INTEGERS = ("int8", "int16", "int32", "uint8", "uint16", "uint32")


def in_each(dtypes, obj, n, shape):
    """Draws of one key in several dtypes, by one program."""

    @jax.jit
    def drawn(keys):
        return [obj(k, shape, jnp.dtype(d)) for k, d in zip(keys, dtypes, strict=True)]

    return dict(zip(dtypes, drawn([key(n) for _ in dtypes]), strict=True))


@pytest.mark.parametrize(
    "obj", [init.UniformInt(3, 101), init.Poisson(20.0), init.Binomial(50, 0.5)], ids=str
)
def test_integers_are_the_floats(obj):
    floats = np.asarray(obj(key(6), 1000))
    for dtype, whole in in_each(INTEGERS, obj, 6, 1000).items():
        assert whole.dtype == dtype
        np.testing.assert_array_equal(np.asarray(whole, float), floats)


@pytest.mark.parametrize(
    "make",
    [lambda x: init.Poisson(-x), lambda x: init.Binomial(5, x), lambda x: init.UniformInt(x, 0)],
    ids=["poisson", "binomial", "uniform"],
)
def test_what_is_bad_and_traced_is_no_number(make):
    @jax.jit
    def drawn(bad):
        return [make(bad)(key(), 3, jnp.dtype(dtype)) for dtype in dtypes]

    dtypes = ("int8", "int32", "uint16", "uint32")
    for dtype, x in zip(dtypes, drawn(jnp.float32(2.0)), strict=True):
        info = jnp.iinfo(dtype)
        np.testing.assert_array_equal(x, np.full(3, info.min if info.min < 0 else info.max))


def test_integers_beyond_what_floats_tell_apart():
    bound = 20_000_001
    x = init.UniformInt(bound - 3, bound)(key(7), 1000, int)
    assert set(np.asarray(x).tolist()) == {bound - 3, bound - 2, bound - 1}
    x = np.asarray(init.Poisson(1e9)(key(8), 200_000, int), float)
    assert len(np.unique(x % 64)) == 64  # a float32 of this size is a multiple of 64
    assert abs(x.mean() - 1e9) < 5 * 1e9**0.5 / x.size**0.5
    assert abs(x.std() / 1e9**0.5 - 1) < 5 / (2 * x.size) ** 0.5


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
@pytest.mark.parametrize(("low", "high"), [(0, 10), (7, 2**31 - 1), (0, 2**20)])
def test_uniform_int_is_randint(dtype, low, high):
    x = init.uniform_int(key(9), (5, 40), low, high, dtype=jnp.dtype(dtype))
    np.testing.assert_array_equal(x, jax.random.randint(key(9), (5, 40), low, high, dtype))


def test_uniform_int_is_randint_in_64_bits(x64):
    x = init.UniformInt(-5, 10**12)(key(9), (200,), int)
    assert x.dtype == np.int64
    np.testing.assert_array_equal(x, jax.random.randint(key(9), (200,), -5, 10**12))


WRONG = {
    "`low` must be a whole number, got 0.5": lambda: init.UniformInt(0.5, 3),
    "`low` must be less than `high`": lambda: init.UniformInt(3, 3),
    "`high` = 4294967296 is beyond": lambda: init.UniformInt(0, 2**32),
    "`high` = 20000000 .* in an array": lambda: init.UniformInt(0, np.array([3, 20_000_000])),
    "`n` must be a whole number, 0 or more, got -1": lambda: init.Binomial(-1, 0.5),
    "`p` must be from 0 to 1, got 1.5": lambda: init.Binomial(3, 1.5),
    "`mean` = 250 has draws beyond what uint8": lambda: init.Poisson(250)(3, rng=0, dtype="uint8"),
    "`low` = -1 has draws beyond what uint8": lambda: init.UniformInt(-1, 3)(
        3, rng=0, dtype="uint8"
    ),
    "no whole number lies between": lambda: init.Poisson(2.0).truncated(2.2, 2.8)(3, rng=0),
    "between `low` = 7 and `high of base` = 5": lambda: init.Binomial(5, 0.5).truncated(7),
}


@pytest.mark.parametrize("said", WRONG)
def test_errors(said):
    with pytest.raises(ValueError, match=said):
        WRONG[said]()


def test_no_derivative():
    for draw in (init.poisson, lambda k, s, p: init.binomial(k, s, 10, p / 10)):
        assert jax.grad(lambda x, draw=draw: draw(key(), 5, x).sum())(3.0) == 0


def test_probabilities_close_to_1_are_those_of_failures():
    for n in (2**24, 10**8):
        x = np.asarray(init.binomial(key(10), 100_000, n, 1 - 1e-7, dtype=int), np.int64)
        assert agrees(n - x, stats.binom(n, 1 - float(np.float32(1 - 1e-7))))
        assert set(np.asarray(init.binomial(key(10), 5, n, 1.0, dtype=int))) == {n}


def test_integers_that_are_traced_keep_their_digits():
    drawn = jax.jit(lambda low, high: init.uniform_int(key(11), 50, low, high, dtype=int))
    for low, high in ((0, 2**24 + 1), (2**30 + 1, 2**30 + 2)):
        expected = jax.random.randint(key(11), (50,), low, high)
        np.testing.assert_array_equal(drawn(low, high), expected)


def test_no_draw_is_impossible():
    assert np.isnan(init.Poisson(0.0).truncated(1, 3)(3, rng=0)).all()
    assert np.isnan(init.Binomial(10, 1.0).truncated(0, 5)(3, rng=0)).all()
    for make in (init.Poisson(3.0).truncated, init.Binomial(10, 0.5).truncated):
        with pytest.raises(ValueError, match="no whole number lies between `low of base` = 0"):
            make(-5, -1)


def test_quantiles_of_the_law_s_own_probabilities():
    for obj, k in (
        (init.UniformInt(0, 100), np.arange(100)),
        (init.Binomial(100, 0.5), np.arange(30, 70)),
        (init.Poisson(3.0), np.arange(10)),
    ):
        p, q = init.theory.cdf(obj, k), init.theory.sf(obj, k)
        low, high = p <= 0.5, (q <= 0.5) & (q > 0)
        np.testing.assert_array_equal(init.theory.ppf(obj, p)[low], k[low])
        np.testing.assert_array_equal(init.theory.isf(obj, q)[high], k[high])


@pytest.mark.parametrize(
    "obj",
    [
        init.UniformInt(0, 10).on_grid(2),
        init.Poisson(3.0).on_grid(2),
        init.Normal(1.5, 0.75).clip(0.05).on_grid(0.1),
    ],
    ids=str,
)
def test_on_a_grid_halves_go_up_in_theory_as_in_draws(obj):
    x = np.asarray(obj(key(12), 400_000), float)
    error = 5 * init.theory.std(obj) / x.size**0.5
    assert abs(x.mean() - init.theory.mean(obj)) < error


P, U = init.Poisson(3), init.UniformInt(0, 5)
MADE = {
    "clipped": P.clip(0.5, 4.5),
    "line": 3 - 2 * U,
    "absolute": abs(3 - init.UniformInt(0, 9)),
    "mixture": init.Mixture([P, U, 7]),
    "nested": (init.UniformInt(-1, 9).clip(0, 5) + U).clip(1, 6),
    "connected": init.Connected(U + 1, 0.5),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_whole_numbers_in_integers(name):
    """The numbers that floats are; clipped, bounds are rounded inward."""
    floats = np.asarray(MADE[name](key(), (9, 5)))
    floats = np.clip(floats, 1, 4) if name == "clipped" else floats
    for dtype, whole in in_each(("int32", "uint32", "int8"), MADE[name], 0, (9, 5)).items():
        assert whole.dtype == dtype
        np.testing.assert_array_equal(whole, floats if dtype != "uint32" else np.maximum(floats, 0))


def test_what_is_made_of_whole_numbers_has_all_digits():
    far = 2**31 - 100
    whole = init.UniformInt(far - 2**20, 2**31 - 1)
    drawn = np.asarray(whole(key(), 50, dtype=int), np.int64)
    np.testing.assert_array_equal((whole + 1)(key(), 50, dtype=int), drawn + 1)
    np.testing.assert_array_equal((whole - 2**24)(key(), 50, dtype="uint32"), drawn - 2**24)
    np.testing.assert_array_equal((2 * whole)(key(), 50, dtype="uint32"), 2 * drawn)
    assert ((2 * whole)(key(), 50, dtype=int) == 2**31 - 1).all()  # it ends there
    assert ((50 * U - 200)(key(), 50, dtype="int8").min()) == -128
    traced = jax.jit(lambda m: (init.Poisson(m) + 3)(key(), 5, dtype=int))
    assert (traced(-1.0) == -(2**31)).all()


@pytest.mark.parametrize(
    "made", [P / 2, P**0.5, P + init.Normal(0.0, 1.0), P + 0.5, P.clip(0.2, 0.8)]
)
def test_what_need_not_be_whole_is_refused(made):
    with pytest.raises((TypeError, ValueError), match="then cast|is not one of|no whole number"):
        made(key(), 3, dtype=int)


def test_truncated_in_unsigned_integers():
    assert (P.truncated(1, 4)(key(), 50, dtype="uint32") <= 4).all()
