"""What theory says, held against SciPy, and to ten digits against mpmath."""

import brainunit as u
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import braininit as init
from braininit import theory
from braininit.initializer.initialization import Initialization

QUANTILES = np.r_[1e-9, 1e-4, np.linspace(0.002, 0.998, 101), 1 - 1e-6]


def lognorm(mean, std):
    variance = np.log1p((std / mean) ** 2)
    return stats.lognorm(np.sqrt(variance), scale=mean * np.exp(-variance / 2))


def truncnorm(low, high):
    return init.TruncatedNormal(0.0, 1.0, low, high), stats.truncnorm(low, high)


PAIRS = {
    "uniform": (init.Uniform(-2.0, 3.0), stats.uniform(-2, 5)),
    "normal": (init.Normal(1.0, 0.2), stats.norm(1, 0.2)),
    "normal far": (init.Normal(-1e6, 1.0), stats.norm(-1e6, 1)),
    "exponential": (init.Exponential(0.3), stats.expon(scale=0.3)),
    "lognormal": (init.LogNormal(0.5, 0.15), lognorm(0.5, 0.15)),
    "lognormal wide": (init.LogNormal(1.0, 100.0), lognorm(1.0, 100.0)),
    **{f"gamma {k}": (init.Gamma(k, 0.1), stats.gamma(k, scale=0.1)) for k in (0.5, 1, 5, 50, 1e4)},
    **{f"weibull {k}": (init.Weibull(k), stats.weibull_min(k)) for k in (0.5, 1, 2, 30)},
    **{
        f"beta {a} {b}": (init.Beta(a, b, -1, 3), stats.beta(a, b, -1, 4))
        for a, b in [(2, 5), (0.5, 0.5), (1, 1), (1, 3), (0.01, 3), (50, 1e3), (1e4, 1e3)]
    },
    **{
        f"truncated {low} {high}": truncnorm(low, high)
        for low, high in [
            (-2, 2),
            (-100, 100),
            (0, np.inf),
            (-np.inf, 0.3),
            (8, np.inf),
            (3.9, 4.2),
        ]
    },
}


@pytest.mark.parametrize("name", PAIRS)
def test_all_of_it_against_scipy(name):
    dist, oracle = PAIRS[name]
    x = np.r_[oracle.ppf(QUANTILES), oracle.ppf(0.5) - 1e3, oracle.ppf(0.5) + 1e3]
    np.testing.assert_allclose(theory.cdf(dist, x), oracle.cdf(x), atol=1e-10)
    np.testing.assert_allclose(theory.sf(dist, x), oracle.sf(x), atol=1e-10)
    with np.errstate(all="ignore"):  # SciPy's beta overflows at its poles
        density = oracle.pdf(x)
    tiny = 1e-10 * density[np.isfinite(density)].max()
    np.testing.assert_allclose(theory.pdf(dist, x), density, rtol=1e-9, atol=tiny)
    np.testing.assert_allclose(theory.mean(dist), oracle.mean(), rtol=1e-12)
    np.testing.assert_allclose(theory.std(dist), oracle.std(), rtol=1e-9)


@pytest.mark.parametrize("concentration", [1e-3, 0.01])
def test_tiny_concentrations(concentration):
    dist, oracle = init.Gamma(concentration, 1.0), stats.gamma(concentration)
    x = np.geomspace(1e-300, 30, 60)
    np.testing.assert_allclose(theory.cdf(dist, x), oracle.cdf(x), atol=1e-13)
    np.testing.assert_allclose(theory.pdf(dist, x), oracle.pdf(x), rtol=1e-10)


def test_density_at_the_edge_of_the_support():
    assert theory.pdf(init.Gamma(0.5), 0.0) == np.inf
    assert theory.pdf(init.Gamma(1.0, 2.0), 0.0) == 0.5
    assert theory.pdf(init.Gamma(2.0), 0.0) == 0
    assert theory.pdf(init.Weibull(1.0, 2.0), 0.0) == 0.5
    assert theory.pdf(init.Beta(1.0, 1.0), [0.0, 1.0]).tolist() == [1, 1]
    assert theory.pdf(init.Beta(0.5, 2.0), [0.0, 1.0]).tolist() == [np.inf, 0]


# ---------------------------------------------------------------- truncated normal, far out


def exact_truncated(low, high):
    """Mean, std and the mass below the middle, with fifty digits to lose."""
    mpmath.mp.dps = 50
    a, b = mpmath.mpf(low), mpmath.mpf(high)
    cut = min(b, a + 60 / (1 + a)) if a > 0 else b

    def moment(power, end=cut):
        return mpmath.quad(lambda z: (z - a) ** power * mpmath.exp((a * a - z * z) / 2), [a, end])

    mass = moment(0)
    shift = moment(1) / mass
    std = mpmath.sqrt(moment(2) / mass - shift**2)
    middle = a + shift
    return float(a + shift), float(std), float(middle), float(moment(0, middle) / mass)


@pytest.mark.parametrize(("low", "high"), [(8, np.inf), (30, 31), (7.99, 8), (1000, np.inf)])
@pytest.mark.parametrize("side", [1, -1])
def test_truncated_tails(low, high, side):
    mean, std, middle, below = exact_truncated(low, high)
    dist = init.TruncatedNormal(0.0, 1.0, *sorted((side * low, side * high)))
    np.testing.assert_allclose(theory.mean(dist), side * mean, rtol=1e-14)
    np.testing.assert_allclose(theory.std(dist), std, rtol=1e-11)
    p = theory.cdf(dist, side * middle)
    np.testing.assert_allclose(p if side > 0 else 1 - p, below, rtol=1e-9)


def test_truncated_density_integrates_to_one_far_out():
    dist = init.TruncatedNormal(0.0, 1.0, 30.0, 31.0)
    x = np.linspace(30, 31, 20_001)
    assert abs(np.trapezoid(theory.pdf(dist, x), x) - 1) < 1e-6


def test_narrow_windows_are_uniform():
    dist = init.TruncatedNormal(0.0, 1.0, -1e-3, 1e-3)
    np.testing.assert_allclose(theory.std(dist), 1e-3 / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(theory.cdf(dist, 5e-4), 0.75, rtol=1e-6)


# ---------------------------------------------------------------- all the mass at a point


@pytest.mark.parametrize(
    ("dist", "at"),
    [
        (init.Constant(3.0), 3),
        (init.ZeroInit(), 0),
        (init.OneInit(), 1),
        (init.Normal(3.0, 0.0), 3),
        (init.LogNormal(3.0, 0.0), 3),
        (init.TruncatedNormal(3.0, 0.0), 3),
        (init.TruncatedNormal(3.0, 0.0, low=4.0), 4),
        (init.TruncatedNormal(3.0, 0.0, high=2.0), 2),
    ],
    ids=str,
)
def test_a_point(dist, at):
    assert (theory.mean(dist), theory.std(dist)) == (at, 0)
    assert theory.pdf(dist, [at - 1.0, at, at + 1]).tolist() == [0, np.inf, 0]
    assert theory.cdf(dist, [at - 1.0, at, at + 1]).tolist() == [0, 1, 1]
    assert theory.sf(dist, [at - 1.0, at, at + 1]).tolist() == [1, 0, 0]


@pytest.mark.parametrize("std", [1e-37, 1e-12])
def test_almost_a_point(std):
    dist = init.TruncatedNormal(0.0, std, low=1.0)
    assert theory.mean(dist) == 1
    assert 0 <= theory.std(dist) < 1e-12


# ---------------------------------------------------------------- units, shapes, odd places


def test_units_go_in_and_come_out():
    dist = init.TruncatedNormal(500.0 * u.psiemens, 0.2 * u.nS, 0 * u.nS, 1e-3 * u.uS)
    assert theory.mean(dist).unit == u.psiemens
    np.testing.assert_allclose(theory.mean(dist).mantissa, 500)
    plain = init.TruncatedNormal(0.5, 0.2, 0.0, 1.0)
    density = theory.pdf(dist, 0.4 * u.nS)
    np.testing.assert_allclose(density * u.nS, theory.pdf(plain, 0.4))
    for function in (theory.cdf, theory.sf):
        p = function(dist, [400, 600] * u.psiemens)[0]
        np.testing.assert_allclose(p, function(plain, 0.4))
    assert theory.mean(init.OneInit(u.mV)) == 1 * u.mV
    assert theory.pdf(init.ZeroInit("mV"), 1 * u.mV).unit == 1 / u.mV


@pytest.mark.parametrize(
    ("dist", "x"),
    [
        (init.Normal(0.5 * u.nS, 0.1 * u.nS), 0.5),
        (init.Normal(0.5 * u.nS, 0.1 * u.nS), 0.5 * u.mV),
        (init.Normal(0.5, 0.1), 0.5 * u.mV),
    ],
    ids=["bare", "other", "superfluous"],
)
def test_x_of_another_dimension(dist, x):
    for function in (theory.pdf, theory.cdf, theory.sf):
        with pytest.raises(init.UnitError, match="`x`"):
            function(dist, x)
    assert theory.cdf(init.Normal(0.5 * u.nS, 0.1 * u.nS), np.inf) == 1  # fits every unit


def test_numbers_of_another_shape():
    dist = init.Normal(np.zeros(3), 1.0)
    for function, name in ((theory.cdf, "x"), (theory.log_pdf, "x"), (theory.isf, "q")):
        with pytest.raises(ValueError, match=rf"`{name}` of the shape \(4,\) doesn't broadcast"):
            function(dist, np.full(4, 0.5))


def test_traced_numbers():
    for function in (
        lambda x: theory.mean(init.Normal(x, 1.0)),
        lambda x: theory.cdf(init.Normal(), x),
        lambda x: init.fit(init.Normal, jnp.stack([x, 2 * x])).mean,
    ):
        with pytest.raises(TypeError, match="takes no traced numbers; call it outside jit"):
            jax.jit(function)(1.0)


def test_array_parameters_broadcast():
    dist = init.TruncatedNormal(np.zeros(3), np.array([0.0, 1.0, 2.0]), low=[[0.5], [1.0]])
    assert theory.mean(dist).shape == theory.std(dist).shape == (2, 3)
    assert theory.mean(dist)[:, 0].tolist() == [0.5, 1.0]
    np.testing.assert_allclose(theory.mean(dist)[1, 1], stats.truncnorm(1, np.inf).mean())
    assert theory.pdf(dist, np.ones((5, 1, 1))).shape == (5, 2, 3)
    assert theory.mean(init.Gamma([1.0, 2.0], 3 * u.nS)).shape == (2,)
    assert theory.cdf(init.Normal(0.0, 1.0), np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("name", PAIRS)
def test_the_ends_of_the_line(name):
    dist, _ = PAIRS[name]
    assert theory.cdf(dist, [-np.inf, np.inf]).tolist() == [0, 1]
    assert theory.sf(dist, [-np.inf, np.inf]).tolist() == [1, 0]
    assert theory.pdf(dist, [-np.inf, np.inf]).tolist() == [0, 0]
    assert np.isnan(theory.pdf(dist, np.nan))
    assert np.isnan(theory.cdf(dist, np.nan))
    assert np.isnan(theory.sf(dist, np.nan))


def test_scalars_come_as_floats():
    dist = init.Normal(1, 2)
    for function in (theory.pdf, theory.cdf, theory.sf):
        assert type(function(dist, 1)) is float
    assert type(theory.mean(dist)) is type(theory.std(dist)) is float


# ---------------------------------------------------------------- shifted and scaled


@pytest.mark.parametrize(
    ("dist", "base", "shift", "factor", "unit"),
    [
        (init.Exponential(2 * u.ms) + 500 * u.us, init.Exponential(2.0), 0.5, 1, u.ms),
        (
            init.Constant(500 * u.us) - init.Gamma(2.0, 3 * u.ms),
            init.Gamma(2.0, 3e3),
            500,
            -1,
            u.us,
        ),
        (init.Normal(1.0, 2.0) * 3 - 1, init.Normal(1.0, 2.0), -1, 3, None),
        (-init.Beta(2.0, 3.0) / (4 * u.mV), init.Beta(2.0, 3.0), 0, -0.25, 1 / u.mV),
        (init.Scaled(init.Weibull(2.0, 1 * u.nS), 3 * u.mV), init.Weibull(2.0), 0, 3, u.nS * u.mV),
        (init.Uniform(1 * u.mV, 2 * u.mV) / (1 * u.volt), init.Uniform(1.0, 2.0), 0, 1e-3, None),
    ],
    ids=lambda x: str(x) if isinstance(x, Initialization) else "",
)
def test_what_is_shifted_and_scaled(dist, base, shift, factor, unit):
    def bare(x, unit):
        return x if unit is None else (x / unit if isinstance(x, u.Quantity) else x)

    at = np.array([-1.0, 0.3, 0.5, 1.7, 9.0]) * theory.mean(base)
    x = (shift + factor * at) * (1 if unit is None else unit)
    assert u.get_unit(theory.mean(dist)) == (u.UNITLESS if unit is None else unit)
    per = None if unit is None else 1 / unit
    close = np.testing.assert_allclose
    close(bare(theory.mean(dist), unit), shift + factor * theory.mean(base), rtol=1e-14)
    close(bare(theory.std(dist), unit), abs(factor) * theory.std(base), rtol=1e-14)
    close(bare(theory.pdf(dist, x), per), theory.pdf(base, at) / abs(factor), rtol=1e-12)
    below, above = (theory.cdf, theory.sf) if factor > 0 else (theory.sf, theory.cdf)
    close(theory.cdf(dist, x), below(base, at), rtol=1e-12)
    close(theory.sf(dist, x), above(base, at), rtol=1e-12)


def test_operators_on_points_and_arrays():
    assert theory.mean(init.Constant(3 * u.mV) - 1 * u.mV) == 2 * u.mV
    assert theory.cdf(init.Constant(3.0) * 2, [5.9, 6.0]).tolist() == [0, 1]
    dist = init.Normal(1.0, 2.0) * np.array([1.0, 0.0, -2.0])
    assert theory.mean(dist).tolist() == [1, 0, -2]
    assert theory.std(dist).tolist() == [2, 0, 4]
    np.testing.assert_allclose(theory.cdf(dist, 0.5), stats.norm.cdf([-0.25, np.inf, 0.625]))


@pytest.mark.parametrize(
    ("dist", "what"),
    [
        (init.Gamma(2.0) ** init.Gamma(2.0), "a power whose exponent is random"),
        (init.Normal(0.0, 1.0) ** np.array([1.0, 0.5]), "draws below 0 give NaN"),
        (init.Normal(0.0, 1.0) ** 0.5, "draws below 0 give NaN"),
        (init.Normal(0.0, 1.0) | np.square, "whose functions it does not know"),
        (2 * init.Spectral(init.Normal(0.0, 1.0), norm=1.0), "no law of Spectral"),
        (init.Dale(init.Gamma(2.0), balance="exact"), "where each sum depends on all draws"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_made_of_others_without_a_law(dist, what):
    for function in (theory.mean, theory.std, lambda dist: theory.cdf(dist, 0.0)):
        with pytest.raises(TypeError, match=what) as caught:
            function(dist)
        assert "estimate=100_000" in str(caught.value)


# ---------------------------------------------------------------- the table


def laplace(key, shape, loc=0.0, scale=1.0, *, dtype=None):
    return None


class Laplace(Initialization, function=laplace):
    loc: init.QuantityLike = 0.0
    scale: init.QuantityLike = 1.0


class Plain(Initialization):
    def __call__(self, size, **kwargs):
        return np.zeros(size)


def folded(key, shape, mean=0.0, std=1.0, *, dtype=None):
    return None


class Folded(init.Normal, function=folded):
    pass


@pytest.mark.parametrize("dist", [Laplace(), Plain(), Folded(), laplace])
def test_without_a_law(dist):
    for function in (theory.mean, theory.std, theory.skewness, theory.support):
        with pytest.raises(TypeError, match="no law of"):
            function(dist)
    for function in (theory.pdf, theory.cdf, theory.sf, theory.ppf):
        with pytest.raises(TypeError, match="no law of"):
            function(dist, 1.0)


def test_an_entry_of_ones_own(monkeypatch):
    def law(loc, scale):
        return theory.Law(
            loc,
            scale * 2**0.5,
            lambda x: np.exp(-abs(x - loc) / scale),
            lambda x: np.where(x < loc, 0.25, 0.75),  # not quite
        )

    monkeypatch.setitem(theory.laws, laplace, law)
    assert theory.sf(Laplace(), [-1.0, 1.0]).tolist() == [0.75, 0.25]  # of the other
    assert theory.mean(Laplace(1 * u.nS, 2 * u.nS)) == 1 * u.nS
    assert theory.pdf(Laplace(), 0.0) == 1


@pytest.mark.parametrize("dist", [init.Normal, 3.0, np.zeros(3)], ids=["class", "number", "array"])
def test_what_is_no_initializer(dist):
    with pytest.raises(TypeError, match="must be an initializer object"):
        theory.mean(dist)


def test_pooled_is_the_law_of_all_draws_together():
    dist = init.Normal(np.array([0.0, 4.0]) * u.mV, 0.5 * u.mV)
    law, unit = theory.pooled(dist)
    assert unit == u.mV
    np.testing.assert_allclose((law.mean, law.std), (2, np.sqrt(4.25)))
    np.testing.assert_allclose(law.cdf(np.array([2.0, 99.0])), [0.5, 1])
    np.testing.assert_allclose(law.sf(np.array([2.0, 9.0])), [0.5, stats.norm.sf(10) / 2])
    draws = np.sort(np.asarray(dist((2000, 2), rng=1).mantissa).ravel())
    assert stats.kstest(draws, law.cdf).statistic < 0.04  # 4000 draws: false alarm below 1e-5


def test_grids_of_distributions_far_apart():
    """Each has multiples of its own, not all from the least to the greatest of any."""
    dist = init.Normal(np.array([0.0, 1e6]), 1.0).on_grid(0.25)
    for name in ("std", "skewness", "kurtosis"):
        first, second = getattr(theory, name)(dist)
        np.testing.assert_allclose(first, second, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(
        theory.mean(init.Normal(np.array([0.5, 3e6]), 1.0).on_grid(0.25)), [0.5, 3e6]
    )
