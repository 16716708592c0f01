"""Correlated parameters: margins as by themselves, ranks correlated as asked."""

from __future__ import annotations

import pickle

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy import special, stats

import braininit as init
from braininit._math.truncated import standard, word_below
from braininit.composition import joint as joint_module

RATE = 1e-6  # of false alarms, for each statistical test
MANY = 1_000_000
WEIGHT, DELAY = init.LogNormal(0.5 * u.nS, 0.3 * u.nS), init.Exponential(2 * u.ms)
PAIR = {"weight": WEIGHT, "delay": DELAY}
GRID = init.Normal(1.5 * u.ms, 0.75 * u.ms).truncated(low=0.05 * u.ms).on_grid(0.1 * u.ms)
THREE = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]])


def key(n=20):
    return jax.random.key(n)


def bare(x):
    return np.asarray(u.get_mantissa(x), np.float64)


def in_errors(drawn, wanted):
    """How far rank correlations are from those asked for, in standard errors from 100 parts."""
    names = [*drawn]
    off = np.triu_indices(len(names), 1)
    parts = np.stack([bare(drawn[name]).reshape(100, -1) for name in names])
    each = np.array(
        [np.corrcoef(stats.rankdata(part, axis=-1))[off] for part in parts.swapaxes(0, 1)]
    )
    whole = np.corrcoef(stats.rankdata(parts.reshape(len(names), -1), axis=-1))[off]
    return (whole - np.asarray(wanted)[off]) / (each.std(0) / 10)


def matrix(correlation):
    return np.array([[1.0, correlation], [correlation, 1.0]])


# ---------------------------------------------------------------- ranks


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 0.9])
def test_rank_correlations_are_as_asked(correlation):
    drawn = init.joint(key(), MANY, PAIR, correlation)
    assert abs(in_errors(drawn, matrix(correlation))) < stats.norm.isf(RATE / 2)


def test_rank_correlations_of_three():
    drawn = init.Joint({**PAIR, "age": init.Gamma(2.0, 1 * u.second)}, THREE)(key(), MANY)
    assert (abs(in_errors(drawn, THREE)) < stats.norm.isf(RATE / 6)).all()


def test_the_test_sees_pearson_s_in_place_of_spearman_s(monkeypatch):
    monkeypatch.setattr(joint_module, "_pearson", lambda xp, ranks: ranks)
    for correlation in (0.5, 0.9):
        drawn = init.joint(key(), MANY, PAIR, correlation)
        assert abs(in_errors(drawn, matrix(correlation))) > 10


@pytest.mark.parametrize("correlation", [-1.0, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_a_function_of_the_other(correlation, dtype):
    with jax.enable_x64(dtype == "float64"):
        drawn = init.joint(key(), 100_000, PAIR, correlation, dtype=dtype)
    x, y = (bare(v) for v in drawn.values())
    assert abs(stats.spearmanr(x, y)[0] - correlation) < 1e-9
    p, q = init.theory.cdf(WEIGHT, x * u.nS), init.theory.cdf(DELAY, y * u.ms)
    np.testing.assert_allclose(q, p if correlation > 0 else 1 - p, atol=2e-6)


def test_three_that_are_one():
    one = np.outer([1, -1, 1], [1, -1, 1])
    drawn = init.joint(key(), 10_000, {**PAIR, "age": init.Normal()}, one)
    ranks = np.corrcoef(stats.rankdata([bare(x) for x in drawn.values()], axis=-1))
    np.testing.assert_allclose(ranks, one, atol=1e-7)


def test_what_falls_with_its_part_keeps_the_sign():
    """Factors below 0, known, in an array and traced; the difference from a number."""
    halves = np.repeat([-2.0, 2.0], 5000)
    margins = {
        "plain": init.Normal(),
        "negative": init.Gamma(2.0, 1 * u.ms) * -2.0,
        "left": 3.0 - init.Gamma(2.0) / 2.0,
        "array": init.Scaled(init.Normal() + 1.0, halves).clip(-50.0, 50.0),
        "grid": (init.Exponential(2 * u.ms) * -1.0).on_grid(0.01 * u.ms, "stochastic"),
    }
    many = np.where(np.eye(5), 1, 0.9)

    def ranks(drawn):
        return np.corrcoef(stats.rankdata([bare(x) for x in drawn.values()], axis=-1))

    drawn = init.joint(key(), 10_000, margins, many)
    for part in (slice(None, 5000), slice(5000, None)):
        some = {name: x[part] for name, x in drawn.items()}
        np.testing.assert_allclose(ranks(some), many, atol=0.02)
    traced = jax.jit(
        lambda f: init.joint(
            key(), 5000, {"a": f * init.Normal(), "b": init.Normal(), "c": init.Laplace()}, THREE
        )
    )
    np.testing.assert_allclose(ranks(traced(-2.0)), THREE, atol=0.06)


# ---------------------------------------------------------------- margins


MARGINS = {
    "uniform": (init.Uniform(-1.0, 1.0), stats.uniform(-1, 2)),
    "normal": (init.Normal(0.5, 2.0), stats.norm(0.5, 2)),
    "lognormal": (init.LogNormal(np.exp(0.5), (np.e**2 - np.e) ** 0.5), stats.lognorm(1)),
    "gamma": (init.Gamma(0.4, 2.0), stats.gamma(0.4, scale=2)),
    "exponential": (init.Exponential(0.3), stats.expon(scale=0.3)),
    "weibull": (init.Weibull(1.5, 0.5), stats.weibull_min(1.5, scale=0.5)),
    "beta": (init.Beta(2.0, 3.0), stats.beta(2, 3)),
    "laplace": (init.Laplace(0.5, 0.15), stats.laplace(0.5, 0.15)),
    "loguniform": (init.LogUniform(0.1, 10.0), stats.loguniform(0.1, 10)),
    "vonmises": (init.VonMises(0.5, 4.0), stats.vonmises(4, 0.5)),
    "cut": (init.TruncatedNormal(0.0, 1.0, -1.0), stats.truncnorm(-1, np.inf)),
    "cut gamma": (init.Gamma(1.0).truncated(1.0), stats.expon(1)),
    "moved": (2.0 - init.Exponential(1.0) / -3.0, stats.expon(2, 1 / 3)),
}


@pytest.mark.parametrize("many", [50_000, pytest.param(MANY, marks=pytest.mark.heavy)])
def test_margins_are_as_by_themselves(many):
    """Also beyond the quantiles of 1e-5, of which a million draws have ten on either side."""
    n, far = len(MARGINS), stats.poisson(many * 1e-5)
    near = 0.9 ** abs(np.subtract.outer(np.arange(n), np.arange(n)))
    drawn = init.joint(key(3), many, {name: dist for name, (dist, _) in MARGINS.items()}, near)
    for name, (_, law) in MARGINS.items():
        x = bare(drawn[name])
        assert stats.kstest(x, law.cdf).pvalue > RATE / n, name
        low, high = (x < law.ppf(1e-5)).sum(), (x > law.isf(1e-5)).sum()
        for count in (low, high):
            least, most = far.interval(1 - RATE / n)
            assert least <= count <= most, name


def test_a_margin_on_a_grid_has_its_probabilities():
    steps = np.round(
        bare(init.joint(key(), MANY, {"a": WEIGHT, "delay": GRID}, 0.7)["delay"]) / 0.1
    )
    law = init.theory.pmf(GRID, np.arange(1, 46) * 0.1 * u.ms)
    seen = np.bincount(steps.astype(int), minlength=46)[1:46]
    assert stats.chisquare(seen, law * seen.sum() / law.sum()).pvalue > RATE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_words_of_normals_in_both_tails(dtype):
    """The word's part of all words, and of those above it, is the probability to rounding."""
    with jax.enable_x64(dtype == "float64"):
        bits, reach, near = (32, 5.0, 2e-6) if dtype == "float32" else (64, 8.0, 1e-13)
        z = np.linspace(-reach, reach, 2001).astype(dtype)
        word = np.asarray(jax.jit(word_below)(z)).astype(object)
        for part, tail in ((word, special.ndtr(z)), (2**bits - 1 - word, special.ndtr(-z))):
            got = np.array([(int(w) + 0.5) / 2**bits for w in part])
            np.testing.assert_allclose(got, tail, rtol=near, atol=0.5 / 2**bits)
        words = np.array([0, 1, 2**10, 2**bits // 3, 2**bits - 2**10, 2**bits - 1], f"uint{bits}")
        back = np.asarray(jax.jit(lambda w: word_below(standard(w)))(words)).astype(float)
        np.testing.assert_allclose(back / 2.0**bits, words / 2.0**bits, rtol=2e-4, atol=1e-7)


def test_the_first_margin_does_not_depend_on_the_correlation():
    one, other = (init.joint(key(), 100, PAIR, r)["weight"] for r in (0.1, -0.9))
    np.testing.assert_array_equal(bare(one), bare(other))


def logistic(key, shape, loc=0.0, scale=1.0, *, dtype=None):
    return loc + scale * jax.random.logistic(key, shape, dtype)


class Logistic(
    init.Initialization,
    function=logistic,
    cdf=lambda x, loc, scale: jax.nn.sigmoid((x - loc) / scale),
    quantile=lambda p, loc, scale: loc + scale * (jnp.log(p) - jnp.log1p(-p)),
):
    loc: float = 0.0
    scale: float = 1.0


def test_a_class_of_one_s_own():
    drawn = init.joint(key(), 100_000, {"own": Logistic(scale=2.0), "age": DELAY}, -0.6)
    assert stats.kstest(bare(drawn["own"]), stats.logistic(0, 2).cdf).pvalue > RATE
    assert abs(in_errors(drawn, matrix(-0.6))) < stats.norm.isf(RATE / 2)


# ---------------------------------------------------------------- how it is called


def test_units_names_and_both_ways_of_calling():
    pairs = init.Joint(PAIR, 0.5)
    drawn = pairs((3, 4), rng=0)
    assert [*drawn] == ["weight", "delay"]
    assert (drawn["weight"].unit, drawn["delay"].unit) == (u.nS, u.ms)
    assert drawn["delay"].shape == (3, 4)
    ways = [
        pairs(key(0), (3, 4)), pairs(size=(3, 4), rng=0), pairs(key=key(0), shape=(3, 4)),
        init.joint(key(0), (3, 4), PAIR, 0.5), init.param(pairs, (3, 4), rng=0),
        init.param(pairs, 4, 3, rng=0),
    ]  # fmt: skip
    for other in ways:
        for name in PAIR:
            np.testing.assert_array_equal(bare(other[name]), bare(drawn[name]))
    assert init.theory.mean(pairs.margins["delay"]) == 2 * u.ms
    assert pairs((0, 3), rng=0)["weight"].shape == (0, 3)
    assert pairs((), rng=0)["weight"].shape == ()


def test_an_object_is_a_value():
    pairs = init.Joint({**PAIR, "grid": GRID}, THREE)
    for other in (pickle.loads(pickle.dumps(pairs)), init.get(init.to_config(pairs))):
        assert other == pairs
        assert hash(other) == hash(pairs)
    turned = init.Joint(dict([*pairs.margins.items()][::-1]), THREE)
    assert turned != pairs
    assert init.get("Joint({'b': Normal(), 'a': Gamma(2.0)}, 0.5)") == init.Joint(
        {"b": init.Normal(), "a": init.Gamma(2.0)}, 0.5
    )
    assert repr(init.Joint({"b": init.Normal(), "a": 2 * u.ms * init.Gamma(2.0)}, 0.5)).startswith(
        "Joint(margins={'b': Normal(mean=0.0, std=1.0), 'a': ("
    )
    same = jax.tree.map(lambda x: x, pairs)
    assert [*same.margins] == ["weight", "delay", "grid"]
    drawn, compiled = pairs(key(), 50), jax.jit(lambda p: p(key(), 50))(pairs)
    for name in drawn:
        np.testing.assert_allclose(bare(compiled[name]), bare(drawn[name]), rtol=2e-5)


def test_jit_vmap_and_a_traced_correlation():
    margins, many = {"a": WEIGHT, "b": init.Exponential(2 * u.ms), "c": init.Normal()}, 2000
    eager = init.joint(key(), many, margins, THREE)
    known = jax.jit(lambda k: init.joint(k, many, margins, THREE))(key())
    draw = jax.jit(jax.vmap(lambda r: init.joint(key(), many, margins, r)))
    worst = np.where(np.eye(3), 1, [[0, 0.9, -0.9], [0.9, 0, 0.9], [-0.9, 0.9, 0]])
    uneven = np.where(np.arange(9).reshape(3, 3) == 1, 0.0, THREE)
    bad = [worst, uneven, THREE * 1.1, THREE * 0.9, np.full((3, 3), np.nan)]
    traced = draw(jnp.array([THREE, *bad]))
    for name in margins:
        np.testing.assert_allclose(bare(known[name]), bare(eager[name]), rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(bare(traced[name])[0], bare(eager[name]), rtol=2e-4, atol=1e-5)
        assert np.isnan(bare(traced[name])[1:]).all()
    pair = jax.jit(lambda r: init.joint(key(), many, {"a": WEIGHT, "b": init.Normal()}, r))
    assert all(np.isnan(bare(x)).all() for x in pair(1.5).values())


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.heavy), "float64"])
def test_derivatives(dtype):
    """In the margins' parameters and in the correlation, against differences."""
    step, near = (1e-2, 2e-3) if dtype == "float32" else (1e-5, 1e-6)

    def total(scale, correlation):
        margins = {"a": init.Normal(scale, 1.0), "b": init.Exponential(scale) * scale + 1.0}
        drawn = init.joint(key(), 200, margins, correlation, dtype=dtype)
        return (drawn["a"] + drawn["b"]).sum()

    with jax.enable_x64(dtype == "float64"):
        found, program = jax.jit(jax.grad(total, (0, 1)))(2.0, 0.4), jax.jit(total)
        by_scale = (program(2.0 + step, 0.4) - program(2.0 - step, 0.4)) / (2 * step)
        by_correlation = (program(2.0, 0.4 + step) - program(2.0, 0.4 - step)) / (2 * step)
        np.testing.assert_allclose(found, (by_scale, by_correlation), rtol=near)


def test_nothing_moves_on_a_grid():
    margins = {"a": init.Normal(), "d": init.Exponential(2.0).on_grid(0.5)}
    slope = jax.jit(jax.grad(lambda r: init.joint(key(), 200, margins, r)["d"].sum()))
    assert slope(0.5) == slope(1.0) == 0


def bare_of(x):
    return u.get_mantissa(x)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_on_any_number_of_devices_the_same_bits_without_talking(kind):
    pairs, many = init.Joint({"delay": DELAY, "grid": GRID}, -0.5), 4096
    whole = pairs(key(), many)
    for devices in (2, 8):
        mesh = jax.make_mesh(
            (devices,), ("x",), axis_types=(kind,), devices=jax.devices()[:devices]
        )
        lives = NamedSharding(mesh, PartitionSpec("x"))
        split = pairs(key(), many, out_sharding=lives)
        for name in whole:
            assert split[name].mantissa.sharding == lives
            np.testing.assert_array_equal(bare(split[name]), bare(whole[name]))
    with jax.set_mesh(mesh):
        compiled = jax.jit(lambda k: pairs(k, many, out_sharding=lives)).lower(key()).compile()
    program = compiled.as_text()
    assert not any(word in program for word in ("all-reduce", "all-gather", "collective", "all-to"))


def test_rows_and_other_keys():
    pairs = init.Joint({**PAIR, "grid": GRID}, THREE)
    whole, some = pairs(key(), (400, 20)), init.rows(pairs, key(), (400, 20), 100, 150)
    for name in whole:
        np.testing.assert_allclose(bare(some[name]), bare(whole[name])[100:150], rtol=2e-6)
    other = pairs(jax.random.key(0, impl="rbg"), 20_000)
    assert (abs(in_errors(other, THREE)) < stats.norm.isf(RATE / 6)).all()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_dtypes(dtype):
    margins = {**PAIR, "tail": init.Exponential(1.0), "unit": init.Uniform()}
    near = 0.5 ** abs(np.subtract.outer(np.arange(4), np.arange(4)))
    with jax.enable_x64(dtype == "float64"):
        drawn = init.joint(key(), 100_000, margins, near, dtype=dtype)
        assert {str(x.dtype) for x in drawn.values()} == {dtype}
        if dtype != "float64":  # the float32 draws, rounded once
            single = init.joint(key(), 100_000, margins, near)
            for name, x in drawn.items():
                eps = float(jnp.finfo(dtype).eps)
                np.testing.assert_allclose(bare(x), bare(single[name]), rtol=eps, atol=1e-7)
        else:
            assert (abs(in_errors(drawn, near)) < stats.norm.isf(RATE / 12)).all()
            assert stats.kstest(bare(drawn["tail"]), stats.expon.cdf).pvalue > RATE


def test_exports_for_every_platform_and_of_open_sizes():
    margins = {"a": WEIGHT, "b": DELAY, "c": init.Uniform()}
    platforms = ("cpu", "cuda", "tpu", "rocm")

    def draw(k, ranks, x):
        return {n: bare_of(v) for n, v in init.joint(k, x.shape, margins, ranks).items()}

    size = jax.ShapeDtypeStruct(export.symbolic_shape("b, 4"), "float32")
    program = export.export(jax.jit(lambda k, x: draw(k, THREE, x)), platforms=platforms)
    drawn = program(key(), size).call(key(), jnp.zeros((500, 4)))
    for name, x in init.joint(key(), (500, 4), margins, THREE).items():
        np.testing.assert_allclose(drawn[name], bare(x), rtol=2e-5)
    export.export(jax.jit(draw), platforms=platforms)(key(), jnp.array(THREE), jnp.zeros((3, 4)))


def test_arrays_of_parameters():
    scales = np.array([[1.0], [100.0]])
    drawn = init.joint(key(), (2, 500), {"a": init.Gamma(2.0, scales), "b": init.Normal()}, 0.9)
    for row, scale in zip(bare(drawn["a"]), (1, 100), strict=True):
        assert stats.kstest(row, stats.gamma(2, scale=scale).cdf).pvalue > RATE
    with pytest.raises(ValueError, match="does not broadcast|don't go together|shape"):
        init.joint(key(), (3, 500), {"a": init.Gamma(2.0, scales), "b": init.Normal()}, 0.9)


# ---------------------------------------------------------------- errors


NORMAL = init.Normal()


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: init.Joint(PAIR, 1.5), ValueError, "`correlation` must be from -1 to 1, got 1.5"),
        (lambda: init.Joint(PAIR, np.nan), ValueError, "remove the NaN"),
        (lambda: init.Joint(PAIR, 1 * u.nS), init.UnitError, "`correlation` is a pure number"),
        (lambda: init.Joint(PAIR, [0.5]), ValueError, r"one number or a matrix .* \(2, 2\) for 2"),
        (lambda: init.Joint({**PAIR, "c": 1.0 * NORMAL}, 0.5), ValueError, r"\(3, 3\) for 3 mar"),
        (
            lambda: init.Joint(PAIR, [[1, 0.2], [0.3, 1]]),
            ValueError,
            r"symmetric, got 0.2 at \(0, 1\) and 0.3 at \(1, 0\)",
        ),
        (
            lambda: init.Joint(PAIR, [[1, 0.2], [0.2, 0.9]]),
            ValueError,
            r"1 on its diagonal, got 0.9 at \(1, 1\)",
        ),
        (
            lambda: init.Joint(
                {**PAIR, "c": NORMAL}, [[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]]
            ),
            ValueError,
            "the least eigenvalue is -0.816, .* multiply all off the diagonal by 0.536 or less",
        ),
        (lambda: init.Joint({"a": WEIGHT}, 0.5), ValueError, "two or more, got 1"),
        (lambda: init.Joint([WEIGHT, DELAY], 0.5), TypeError, "distributions by name"),
        (lambda: init.Joint({1: WEIGHT, 2: DELAY}, 0.5), TypeError, "distributions by name"),
        (
            lambda: init.Joint(PAIR, 0.5)(10, rng=0, dtype="complex64"),
            TypeError,
            "must be a real floating dtype",
        ),
        (lambda: init.Joint(PAIR, 0.5)(key()), TypeError, r"pairs\(key, 100\)"),
        (lambda: init.Joint(PAIR, 0.5)(10, 20), TypeError, r"pairs\(100, rng=0\)"),
        (lambda: init.Joint(PAIR, 0.5)(10, foo=1), TypeError, r"pairs\(100, rng=0\)"),
        (lambda: init.Joint(PAIR, 0.5)(key(), 10, rng=0), TypeError, r"pairs\(key, 100\)"),
        (lambda: init.Joint(PAIR), TypeError, "missing a required argument: 'correlation'"),
        (
            lambda: init.Joint({"a": init.LogNormal(1e-9, 1.0), "b": NORMAL}, 0)(
                9, dtype="float16"
            ),
            ValueError,
            "outside what float16 holds",
        ),
        *(
            (
                lambda m=m: init.Joint({"a": WEIGHT, "b": m}, 0.5),
                TypeError,
                r"`margins\['b'\]` must",
            )
            for m in (
                *(init.Mixture([NORMAL, DELAY / u.ms]), init.KaimingNormal(), 1.0, NORMAL**2),
                *(NORMAL + NORMAL, NORMAL * NORMAL, 1.0 / init.Gamma(2.0), abs(NORMAL)),
                *(NORMAL | jnp.exp, init.Sparse(0.5), jax.nn.initializers.normal()),
            )
        ),
    ],
)
def test_bad_parameters(make, error, said):
    with pytest.raises(error, match=said):
        make()


def test_the_remedy_helps():
    worst = np.array([[0, 0.9, -0.9], [0.9, 0, 0.9], [-0.9, 0.9, 0]])
    init.Joint({**PAIR, "c": NORMAL}, np.eye(3) + 0.536 * worst)


WHOLE = {
    "poisson": (init.Poisson(3.0), stats.poisson(3)),
    "many": (init.Poisson(5000.0), stats.poisson(5000)),
    "binomial": (init.Binomial(40.0, 0.9), stats.binom(40, 0.9)),
    "uniform": (init.UniformInt(-3, 9), stats.randint(-3, 9)),
    "cut": (init.UniformInt(-3, 9).truncated(0.5, 5), stats.randint(1, 6)),
    "times": (2 * init.Poisson(0.5) + 1, None),
    "rare": (init.Binomial(1e12, 1e-12), stats.poisson(1)),
}


@pytest.mark.parametrize("x64", [False, True])
def test_margins_of_whole_numbers(x64):
    n = len(WHOLE)
    near = 0.6 ** abs(np.subtract.outer(np.arange(n), np.arange(n)))
    with jax.enable_x64(x64):
        drawn = init.joint(key(5), MANY, {name: dist for name, (dist, _) in WHOLE.items()}, near)
        drawn = {name: np.asarray(x) for name, x in drawn.items()}
    for name, (_, law) in WHOLE.items():
        x = (drawn[name] - 1) / 2 if law is None else drawn[name]
        law, k = law or stats.poisson(0.5), np.arange(-3, 6000)
        common = law.pmf(k) * MANY > 50
        seen = np.bincount(x.astype(int) + 3, minlength=k.size)[: k.size]
        seen, meant = ([*y[common], y[~common].sum() + 1e-9] for y in (seen, law.pmf(k) * MANY))
        assert stats.chisquare(seen, np.array(meant) * sum(seen) / sum(meant)).pvalue > RATE / n
    ranks = stats.spearmanr(drawn["many"], drawn["poisson"]).statistic
    assert abs(ranks - 0.6) < 0.03  # ties of a few numbers take a little


@pytest.mark.parametrize("bounds", [(60.0, None), (None, 1.0), (40, 41)])
def test_whole_numbers_cut_off_far_out(bounds):
    """As the conditional law has it, also where nearly nothing of it is left."""
    margin = init.Poisson(20.0).truncated(*bounds)
    x = np.asarray(init.joint(key(), MANY, {"count": margin, "other": NORMAL}, 0.5)["count"])
    k = np.arange(0, 200)
    law = np.where((k >= (bounds[0] or 0)) & (k <= (bounds[1] or 199)), stats.poisson(20).pmf(k), 0)
    law *= MANY / law.sum()
    seen, common = np.bincount(x.astype(int), minlength=200), law > 20
    assert not seen[law == 0].any()
    pair = [np.append(y[common], y[~common].sum() + 1e-9) for y in (seen, law)]
    assert stats.chisquare(pair[0], pair[1] * pair[0].sum() / pair[1].sum()).pvalue > RATE


def test_large_whole_numbers():
    margins = {
        "count": init.Poisson(1e10),
        "trials": init.Binomial(3e9, 0.3),
        "any": init.UniformInt(-(2**31), 2**31 - 1),
    }
    drawn = init.joint(key(), 100_000, margins, np.eye(3))
    for name, law in zip(margins, (stats.norm(1e10, 1e5), stats.norm(9e8, 6.3e8**0.5),
                                   stats.uniform(-(2**31), 2**32)), strict=True):  # fmt: skip
        x = np.asarray(drawn[name], float)
        assert abs(x.mean() - law.mean()) < 6 * law.std() / 100_000**0.5
        assert abs(x.std() / law.std() - 1) < 0.02


@pytest.mark.parametrize(
    ("margin", "said"),
    [
        (init.Poisson(1e14), "280000080 numbers, and a table has room for 4194304"),
        (init.Poisson(0.0).truncated(1), "has no number from 1 to inf: all are 0"),
        (init.Binomial(10, 1.0).truncated(None, 9), "has no number from 0 to 9: all are 10"),
    ],
)
def test_whole_numbers_of_which_there_is_no_table(margin, said):
    with pytest.raises(ValueError, match=rf"`margins\['count'\]` = .*{said}; give"):
        init.Joint({"count": margin, "other": NORMAL}, 0.5)


def test_a_whole_number_moves_with_nothing():
    def total(r):
        drawn = init.joint(key(), 100, {"other": NORMAL, "count": init.Poisson(3.0)}, r)
        return drawn["count"].sum()

    assert jax.jit(jax.grad(total))(0.5) == 0


@pytest.mark.parametrize("mean", [np.array([3.0, 4.0]), np.float32(3.0) * np.ones(1)])
def test_whole_numbers_of_unknown_parameters(mean):
    with pytest.raises(TypeError, match="must have concrete parameters, one number each"):
        init.Joint({"count": init.Poisson(mean), "delay": init.Gamma(2.0, 1.0)}, correlation=0.5)
