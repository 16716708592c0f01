"""Quantiles, logarithms of densities, supports: against mpmath, and as inverses to the last bit."""

import brainunit as u
import jax
import mpmath as mp
import numpy as np
import pytest
from scipy import stats

import braininit as init
from braininit import theory

TAILS = np.array([1e-300, 1e-100, 1e-17, 1e-4, 0.1, 0.3, 0.4999])


def exact_z(p):
    """The standard normal quantile of a tail, by Newton's method from SciPy's."""
    z = mp.mpf(float(stats.norm.ppf(float(p))))
    for _ in range(4):
        z -= (mp.ncdf(z) - p) / mp.npdf(z)
    return z


def exact_tail(name, q):
    """The distance of the quantile below which, or beyond which, q of a standard member lies."""
    return {
        "exponential": lambda: -mp.log(q),
        "low exponential": lambda: -mp.log1p(-q),
        "normal": lambda: -exact_z(q),
        "laplace": lambda: -mp.log(2 * q),
    }[name]()


@pytest.mark.parametrize("q", TAILS)
def test_closed_quantiles(q):
    with mp.workdps(40):
        exact = mp.mpf(q)
        z, e = exact_tail("normal", exact), exact_tail("exponential", exact)
        low_e, away = exact_tail("low exponential", exact), exact_tail("laplace", exact)
        sigma = mp.sqrt(mp.log1p(mp.mpf(0.5) ** 2))
        pairs = {
            init.Normal(0.0, 2.0): (-2 * z, 2 * z),
            init.Exponential(3.0): (3 * low_e, 3 * e),
            init.Laplace(0.0, 3.0): (-3 * away, 3 * away),
            init.Weibull(0.5, 3.0): (3 * low_e**2, 3 * e**2),
            init.LogNormal(2.0, 1.0): tuple(
                2 * mp.exp(sign * sigma * z - sigma**2 / 2) for sign in (-1, 1)
            ),
            init.LogUniform(1e-3, 1e3): (mp.mpf(1e-3) ** (1 - exact) * 1000**exact,
                                         mp.mpf(1e-3) ** exact * 1000 ** (1 - exact)),
            init.Uniform(0.0, 7.0): (7 * exact, 7 * (1 - exact)),
        }  # fmt: skip
        for dist, (low, high) in pairs.items():
            np.testing.assert_allclose(theory.ppf(dist, q), float(low), rtol=1e-12)
            np.testing.assert_allclose(theory.isf(dist, q), float(high), rtol=1e-12)


def test_quantiles_in_range_of_powers_that_are_not():
    with jax.enable_x64(True):
        weibull, log = init.Weibull(0.9, 1e60), init.LogNormal(1e200, 1e250)
    low = theory.ppf(weibull, 1e-300)
    np.testing.assert_allclose(theory.cdf(weibull, low), 1e-300, rtol=1e-11)
    with mp.workdps(40):
        sigma = mp.sqrt(mp.log1p(mp.mpf(1e50) ** 2))
        z = exact_z(mp.mpf(1e-300))
        exact = float(mp.mpf(1e200) * mp.exp(sigma * z - sigma**2 / 2))
    np.testing.assert_allclose(theory.ppf(log, 1e-300), exact, rtol=1e-10)


def test_quantiles_near_a_median_of_zero():
    p = 0.5 + np.array([-1e-3, -1e-12, 0.0, 1e-12])
    for dist, slope in (
        (init.Normal(0.0, 1.0), np.sqrt(2 * np.pi)),
        (init.Laplace(0.0, 1.0), 2),
        (init.Uniform(-1.0, 1.0), 2),
        (init.VonMises(0.0, 0.0), 2 * np.pi),
    ):
        x = theory.ppf(dist, p)
        np.testing.assert_allclose(x, slope * (p - 0.5), rtol=3e-3)
        np.testing.assert_allclose(x[1:], slope * (p[1:] - 0.5), rtol=1e-11)


SOLVED = [
    *[init.Gamma(k, 0.3) for k in (1e-3, 0.5, 1.0, 30.0, 2e4, 1e15)],
    *[init.Beta(a, b, -1.0, 3.0) for a, b in [(1e-3, 2.0), (2.0, 5.0), (0.5, 1e15), (1e12, 1e12)]],
    *[init.VonMises(0.0, k) for k in (4.0, 1e3, 1e15)],
    init.TruncatedNormal(0.5, 2.0, -1.0, 3.0),
    init.TruncatedNormal(0.0, 1.0, 8.0),
    init.TruncatedNormal(0.0, 1.0, 30.0, 30.1),
    init.Truncated(init.Gamma(2.5), 100.0),
    init.Normal(0.0, 1.0).clip(-0.5, 2.0),
    init.Mixture([init.Normal(0.0, 1.0), init.Uniform(2.0, 3.0)], [0.3, 0.7]),
    abs(init.Normal(1.0, 2.0)),
    init.Normal(1.0, 2.0) ** 2,
]


@pytest.mark.parametrize("dist", SOLVED, ids=str)
def test_quantiles_invert_the_distribution_function(dist):
    """Where p is reached, or exceeded at a jump: to the last bit, or as the function itself."""
    p = np.array([1e-300, 1e-40, 1e-6, 0.2, 0.5, 0.9])
    for quantile, function, other in (
        (theory.ppf, theory.cdf, theory.sf),
        (theory.isf, theory.sf, theory.cdf),
    ):
        x = quantile(dist, p)
        low, high = theory.support(dist)
        assert ((x >= low) & (x <= high)).all()
        rising = function is theory.cdf
        assert (np.diff(x) >= 0).all() if rising else (np.diff(x) <= 0).all()
        reached, before = function(dist, x), function(dist, np.nextafter(x, -np.inf))
        small = p <= 0.5
        if rising:
            assert (reached[small] >= p[small] * (1 - 1e-12))[x[small] > low].all()
            assert (before[small] <= p[small] * (1 + 1e-12))[x[small] > low].all()
        else:
            assert (reached[small] <= p[small] * (1 + 1e-12)).all()
            assert (before[small] >= p[small] * (1 - 1e-12))[x[small] > low].all()
        assert np.isfinite(other(dist, x)).all()


@pytest.mark.parametrize("dist", [*SOLVED, init.LogNormal(1.0, 2.0), init.Laplace()], ids=str)
def test_ends(dist):
    low, high = theory.support(dist)
    assert theory.ppf(dist, [0.0, 1.0]).tolist() == [low, high]
    assert theory.isf(dist, [0.0, 1.0]).tolist() == [high, low]
    assert np.isnan(theory.ppf(dist, np.nan))
    assert theory.cdf(dist, high) == 1
    assert theory.sf(dist, high) == 0


def test_chances():
    for bad in (-0.1, 1.5, [0.5, 2.0]):
        with pytest.raises(ValueError, match="`p` must be from 0 to 1"):
            theory.ppf(init.Normal(), bad)
        with pytest.raises(ValueError, match="`q` must be from 0 to 1"):
            theory.isf(init.Normal(), bad)
    with pytest.raises(init.UnitError, match="`p` is a pure number"):
        theory.ppf(init.Normal(), 0.5 * u.mV)


def test_units_and_arrays():
    dist = init.Gamma(2.0, 0.3 * u.nS)
    assert theory.ppf(dist, 0.5).unit == theory.isf(dist, 0.5).unit == u.nS
    assert theory.support(dist) == (0 * u.nS, np.inf * u.nS)
    assert u.get_unit(theory.kurtosis(dist)) == u.UNITLESS
    many = init.Normal(np.array([0.0, 1.0, 2.0]), [[1.0], [2.0]])
    assert theory.ppf(many, 0.3).shape == theory.skewness(many).shape == (2, 3)
    assert theory.ppf(many, np.full((4, 1, 1), 0.3)).shape == (4, 2, 3)
    assert theory.ppf(init.Gamma([1.0, 2.0]), np.full((4, 1), 0.3)).shape == (4, 2)
    assert type(theory.ppf(dist, 0.5).mantissa) is float
    assert type(theory.kurtosis(init.Weibull(2.0))) is float


# ---------------------------------------------------------------- logarithms of densities


@pytest.mark.parametrize(
    ("dist", "x", "exact"),
    [
        (init.Normal(1.0, 2.0), 1e60, lambda x: -(((x - 1) / 2) ** 2) / 2 - mp.log(8 * mp.pi) / 2),
        (init.Exponential(2.0), 1e5, lambda x: -x / 2 - mp.log(2)),
        (init.Laplace(1.0, 2.0), -1e5, lambda x: (x - 1) / 2 - mp.log(4)),
        (init.Gamma(2.5, 2.0), 1e5,
         lambda x: 1.5 * mp.log(x / 2) - x / 2 - mp.loggamma(2.5) - mp.log(2)),
        (init.Gamma(1e9), 1e3, lambda x: (mp.mpf(1e9) - 1) * mp.log(x) - x - mp.loggamma(1e9)),
        (init.Weibull(3.0, 2.0), 1e3, lambda x: mp.log(1.5) + 2 * mp.log(x / 2) - (x / 2) ** 3),
        (init.Beta(5.0, 1e6), 0.9,
         lambda x: 4 * mp.log(x) + (mp.mpf(1e6) - 1) * mp.log(1 - x) - mp.log(mp.beta(5, 1e6))),
        (init.VonMises(0.0, 1e4), 3.0,
         lambda x: 1e4 * mp.cos(x) - mp.log(2 * mp.pi * mp.besseli(0, 1e4))),
        (init.TruncatedNormal(0.0, 1.0, 30.0), 1e3,
         lambda x: mp.log(mp.npdf(0)) - x**2 / 2 - mp.log(mp.erfc(30 / mp.sqrt(2)) / 2)),
        (init.LogUniform(1.0, mp.mpf(10)), 2.0, lambda x: -mp.log(x) - mp.log(mp.log(10))),
        (init.Uniform(1.0, 9.0), 2.0, lambda x: -mp.log(8)),
        (init.LogNormal(1.0, 1.0), 1e-30,
         lambda x: -((mp.log(x) + mp.log(2) / 2) ** 2) / 2 / mp.log(2) - mp.log(x)
         - mp.log(2 * mp.pi * mp.log(2)) / 2),
        (2 * abs(init.Normal(0.0, 1.0)), 1e3, lambda x: -((x / 2) ** 2) / 2 + mp.log(mp.npdf(0))),
        (init.Truncated(init.Gamma(2.0), 1e3), 1.2e3,
         lambda x: mp.log(x) - x + 1000 - mp.log(1001)),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_log_pdf_goes_on(dist, x, exact):
    with mp.workdps(60):
        wanted = float(exact(mp.mpf(x)))
    np.testing.assert_allclose(theory.log_pdf(dist, x), wanted, rtol=1e-10)


def test_log_pdf_counts_in_the_unit_of_the_draws():
    dist = init.Normal(0 * u.mV, 2 * u.mV)
    assert theory.log_pdf(dist, 1 * u.uvolt) == theory.log_pdf(init.Normal(0.0, 2.0), 1e-3)
    assert theory.log_pdf(init.Uniform(0.0, 1.0), [2.0, -1.0]).tolist() == [-np.inf, -np.inf]
    assert theory.log_pdf(init.Constant(1.0), [1.0, 2.0]).tolist() == [np.inf, -np.inf]
