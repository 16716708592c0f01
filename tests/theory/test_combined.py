"""Sums, products, powers, mixtures, clipped and truncated ones: against mpmath's integrals."""

import brainunit as u
import jax
import mpmath as mp
import numpy as np
import pytest
from scipy import stats

import braininit as init
from braininit import theory

INF = np.inf
MOMENTS = ("mean", "std", "skewness", "kurtosis")
phi, Phi = mp.npdf, mp.ncdf


def root(y):
    return mp.sign(y) * abs(y) ** (mp.mpf(1) / 3)


def weibull(x):
    return -mp.expm1(-mp.sqrt(x))


def gamma_tail(x):
    return (1 + x) * mp.exp(-x)


LAW = {  # the distribution, its function and density, the ends of integrals, its atoms
    "abs": (abs(init.Normal(1.0, 2.0)), lambda x: Phi(x, 1, 2) - Phi(-x, 1, 2),
            lambda x: phi(x, 1, 2) + phi(-x, 1, 2), (0, 1, 5, 15, 50), ()),
    "square": (init.Normal(1.0, 2.0) ** 2,
               lambda y: Phi(mp.sqrt(y), 1, 2) - Phi(-mp.sqrt(y), 1, 2),
               lambda y: (phi(mp.sqrt(y), 1, 2) + phi(-mp.sqrt(y), 1, 2)) / (2 * mp.sqrt(y)),
               (0, 0.1, 1, 10, 100, 1000), ()),
    "cube": (init.Normal(1.0, 2.0) ** 3, lambda y: Phi(root(y), 1, 2),
             lambda y: phi(root(y), 1, 2) / (3 * root(y) ** 2),
             (-2e4, -1e3, -10, -0.1, 0, 0.1, 10, 1e3, 2e4), ()),
    "two-sided square": (init.Uniform(-1.0, 2.0) ** 2,
                         lambda y: (mp.sqrt(y) + min(mp.sqrt(y), 1)) / 3,
                         lambda y: (1 + (y < 1)) / (6 * mp.sqrt(y)), (0, 1, 4), ()),
    "inverse": (1 / init.Uniform(1.0, 2.0), lambda y: 2 - 1 / y, lambda y: 1 / y**2, (0.5, 1), ()),
    "root": (init.Gamma(3.0) ** 0.5, lambda y: mp.gammainc(3, 0, y * y, regularized=True),
             lambda y: y**5 * mp.exp(-y * y), (0, 1, 3, 12), ()),
    "mixture": (init.Mixture([init.Normal(0.0, 1.0), init.Uniform(2.0, 3.0)], [0.25, 0.75]),
                lambda x: Phi(x) / 4 + 3 * min(max(x - 2, 0), 1) / 4,
                lambda x: phi(x) / 4 + mp.mpf(0.75) * (2 <= x <= 3), (-30, 0, 2, 3, 30), ()),
    "clipped": (init.Normal(0.0, 1.0).clip(-0.5, 2.0),
                lambda x: 0 if x < -0.5 else 1 if x >= 2 else Phi(x), phi, (-0.5, 2),
                ((-0.5, Phi(-0.5)), (2.0, Phi(-2)))),
    "clipped far out": (init.Normal(0.0, 1.0).clip(8.0), lambda x: Phi(x) if x >= 8 else 0, phi,
                        (8, 8.5, 10, 30), ((8.0, Phi(8)),)),
    "truncated gamma": (init.Truncated(init.Gamma(2.0), 1.0, 4.0),
                        lambda x: (gamma_tail(1) - gamma_tail(x)) / (gamma_tail(1) - gamma_tail(4)),
                        lambda x: x * mp.exp(-x) / (gamma_tail(1) - gamma_tail(4)), (1, 4), ()),
    "truncated far out": (init.Truncated(init.Gamma(2.0), 1000.0),
                          lambda x: 1 - gamma_tail(x) / gamma_tail(1000),
                          lambda x: x * mp.exp(-x) / gamma_tail(1000),
                          (1000, 1005, 1020, 1100), ()),
    "truncated, narrow": (init.Truncated(init.Exponential(1.0), 2.0, 2.001953125),
                          lambda x: mp.expm1(2 - x) / mp.expm1(-mp.mpf(2) ** -9),
                          lambda x: -mp.exp(2 - x) / mp.expm1(-mp.mpf(2) ** -9),
                          (2, 2.001953125), ()),
    "truncated at its kink": (init.Truncated(init.Laplace(0.0, 1.0), -1.0, 3.0),
                              lambda x: (1 - mp.exp(-abs(x)) if x > 0 else mp.exp(x) - 1)
                              / (2 - mp.exp(-1) - mp.exp(-3)) + (1 - mp.exp(-1))
                              / (2 - mp.exp(-1) - mp.exp(-3)),
                              lambda x: mp.exp(-abs(x)) / (2 - mp.exp(-1) - mp.exp(-3)),
                              (-1, 0, 3), ()),
    "truncated Weibull": (init.Truncated(init.Weibull(0.5), 0.25, 9.0),
                          lambda x: (weibull(x) - weibull(0.25)) / (weibull(9) - weibull(0.25)),
                          lambda x: mp.exp(-mp.sqrt(x)) / mp.sqrt(x) / 2
                          / (weibull(9) - weibull(0.25)), (0.25, 9), ()),
}  # fmt: skip


@pytest.mark.parametrize("name", LAW)
def test_against_integrals(name):
    dist, cdf, pdf, ends, atoms = LAW[name]
    law, _ = theory.pooled(dist)
    with mp.workdps(30):
        nodes = list(map(mp.mpf, ends))

        def mean(function):
            inner = mp.quad(lambda x: function(x) * pdf(x), nodes)
            return inner + sum(p * function(x) for x, p in atoms)

        m = mean(lambda x: x)
        v, third, fourth = (mean(lambda x, n=n: (x - m) ** n) for n in (2, 3, 4))
        wanted = m, mp.sqrt(v), third / v ** mp.mpf(1.5), fourth / v**2 - 3
        for moment, value in zip(MOMENTS, wanted, strict=True):
            np.testing.assert_allclose(getattr(law, moment), float(value), rtol=1e-10)
        p = np.array([1e-18, 1e-12, 0.01, 0.3, 0.7, 0.99])
        x = np.unique(np.r_[law.ppf(p[1:]), law.isf(p)])
        x = x[(x > ends[0]) & (x < ends[-1])]
        exact = [
            (float(cdf(mp.mpf(a))), float(1 - cdf(mp.mpf(a))), float(pdf(mp.mpf(a)))) for a in x
        ]
        below, above, density = np.transpose(exact)
    slack = 1e-10 + 4e-16 * abs(x) * density / np.minimum(below, above)  # of x's own rounding
    assert (abs(law.cdf(x) / below - 1) <= slack).all()
    assert (abs(law.sf(x) / above - 1) <= slack).all()
    np.testing.assert_allclose(law.pdf(x), density, rtol=1e-10)
    np.testing.assert_allclose(np.exp(law.log_pdf(x)), density, rtol=1e-10)


# ---------------------------------------------------------------- sums and products


def test_sums_of_independent_draws():
    n, g = init.Normal(1 * u.mV, 3 * u.mV), init.Gamma(4.0, 500 * u.uvolt)
    both = n - g
    assert theory.mean(both) == -1 * u.mV
    np.testing.assert_allclose(theory.std(both) / u.mV, np.sqrt(9 + 1))
    np.testing.assert_allclose(theory.skewness(both), -1.0 / 10**1.5)
    np.testing.assert_allclose(theory.kurtosis(both), 1.5 / 10**2)
    assert theory.support(init.Uniform(1.0, 2.0) - init.Exponential(1.0)) == (-np.inf, 2)
    with pytest.raises(TypeError, match=r"no law of Combined but its moments.*estimate="):
        theory.cdf(both, 0 * u.mV)
    normal = init.Normal(1.0, 3.0) + (2 - init.Normal(0.5, 4.0))
    np.testing.assert_allclose(theory.sf(normal, 40.0), stats.norm(2.5, 5).sf(40), rtol=1e-12)


@pytest.mark.parametrize(
    ("both", "whole"),
    [
        (init.Poisson(2.0) + init.Poisson(3.0), init.Poisson(5.0)),
        (3 * init.Poisson(2.0) + 3 * init.Poisson(3.0), 3 * init.Poisson(5.0)),
        (init.Binomial(5, 0.3) + init.Binomial(6, 0.3), init.Binomial(11, 0.3)),
        (init.Gamma(2.0, 0.5) + init.Gamma(1.5, 0.5), init.Gamma(3.5, 0.5)),
        (init.Exponential(0.5) + init.Exponential(0.5), init.Gamma(2.0, 0.5)),
        (init.Gamma(2.0, 0.5) + init.Exponential(0.5), init.Gamma(3.0, 0.5)),
    ],
    ids=str,
)
def test_sums_within_a_family(both, whole):
    for name in (*MOMENTS, "support"):
        assert getattr(theory, name)(both) == getattr(theory, name)(whole)
    x = np.array([0.0, 1.0, 2.5, 3.0, 9.0, 40.0])
    for function in (theory.cdf, theory.sf, theory.pdf, theory.pmf):
        np.testing.assert_array_equal(function(both, x), function(whole, x))


@pytest.mark.parametrize(
    "both",
    [
        init.Poisson(2.0) - init.Poisson(3.0),
        init.Poisson(2.0) + 2 * init.Poisson(3.0),
        2 * init.Poisson(2.0) + 3 * init.Poisson(3.0),
        init.Binomial(5, 0.3) + init.Binomial(5, 0.4),
        init.Gamma(2.0, 1.0) + init.Gamma(2.0, 2.0),
        init.Poisson(2.0) + init.Gamma(2.0, 1.0),
    ],
    ids=str,
)
def test_sums_that_leave_the_family(both):
    assert theory.std(both) > 0
    with pytest.raises(TypeError, match=r"no law of Combined but its moments.*estimate="):
        theory.cdf(both, 1.0)


@pytest.mark.parametrize(("shift", "factor"), [(0.0, 0.5), (0.25, 1.0), (1.0, -0.1), (1e-3, 7.0)])
def test_moved_whole_numbers(shift, factor):
    """Also of those that are too rare to be listed."""
    base, k = init.Poisson(3.5), np.arange(0.0, 200.0)
    with jax.enable_x64(True):
        moved = shift + factor * base
    x = shift + factor * k
    np.testing.assert_array_equal(theory.pmf(moved, x), theory.pmf(base, k))
    up = factor > 0
    beyond = theory.sf(base, k) if up else np.r_[0, theory.cdf(base, k[:-1])]
    np.testing.assert_array_equal(theory.sf(moved, x), beyond)
    p = np.array([1e-100, 1e-20, 0.3, 0.9])
    quantiles = theory.isf(base, p) if up else theory.ppf(base, p)
    np.testing.assert_allclose(theory.isf(moved, p), shift + factor * quantiles, rtol=1e-15)


def test_products_of_independent_draws():
    a, b = init.Uniform(1.0, 2.0), init.Gamma(3.0, 0.5 * u.nS)
    raw = [1.5, 7 / 3, 3.75, 6.2], [1.5, 3.0, 7.5, 22.5]
    m1, m2, m3, m4 = (x * y for x, y in zip(*raw, strict=True))
    v = m2 - m1**2
    np.testing.assert_allclose(theory.mean(a * b) / u.nS, m1)
    np.testing.assert_allclose(theory.std(a * b) / u.nS, v**0.5)
    np.testing.assert_allclose(theory.skewness(a * b), (m3 - 3 * m1 * m2 + 2 * m1**3) / v**1.5)
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    np.testing.assert_allclose(theory.kurtosis(a * b), fourth / v**2 - 3)
    inverse = init.Exponential(1.0) / init.Gamma(5.0)
    np.testing.assert_allclose(theory.mean(inverse), 1 / 4)
    logs = init.LogNormal(2.0, 1.0) * init.LogNormal(3.0, 6.0)
    np.testing.assert_allclose(theory.std(logs), 6 * np.sqrt(1.25 * 5 - 1))
    s = np.sqrt(np.log(1.25) + np.log(5))
    exact = stats.lognorm(s, scale=6 * np.exp(-s * s / 2))
    np.testing.assert_allclose(theory.sf(logs, [1.0, 1e4]), exact.sf([1, 1e4]), rtol=1e-11)


def test_some_parts_are_points():
    """Where one of two does not vary, the moments are those of the other."""
    flat, other = init.Normal(1.0, np.array([1.0, 0.0])), init.Exponential(1.0)
    for dist in (flat + other, other - flat, flat * other, other * flat):
        np.testing.assert_allclose(theory.skewness(dist)[1], 2, rtol=1e-12)
        np.testing.assert_allclose(theory.kurtosis(dist)[1], 6, rtol=1e-12)
    assert np.isnan(theory.skewness(flat - flat)[1])


@pytest.mark.parametrize("scale", [1e-160, 1e-90, 1e80, 1e140])
def test_fourth_powers_stay_in_range(scale):
    def made(size):
        n, g = init.Normal(size, size), init.Gamma(2.0, size)
        yield from (n.clip(0.0, 2 * size), abs(n), init.Mixture([n, g], [0.5, 0.5]), n + g)
        yield from (n * init.Gamma(2.0, 1.0), init.Truncated(g, size, 3 * size))

    with jax.enable_x64(True):
        for wide, plain in zip(made(scale), made(1.0), strict=True):
            np.testing.assert_allclose(theory.std(wide) / scale, theory.std(plain), rtol=1e-12)
            for moment in (theory.skewness, theory.kurtosis):
                np.testing.assert_allclose(moment(wide), moment(plain), rtol=1e-11, atol=1e-13)


def test_a_tail_clipped_far_out():
    """Nearly all at one bound: a std of 1e-100, a kurtosis of 1e198."""

    def raw(n):
        inside = mp.quad(lambda t: t**n * mp.exp(-t * t / 2 - 30 * t), [0, 0.02, 0.1, 0.3, 1])
        return inside * phi(30) + Phi(-31)

    dist = init.Normal(0.0, 1.0).clip(30.0, 31.0)
    third, fourth = (float(raw(n) / raw(2)) for n in (3, 4))
    std = float(mp.sqrt(raw(2)))
    np.testing.assert_allclose(theory.std(dist), std, rtol=1e-12)
    np.testing.assert_allclose(theory.skewness(dist), third / std, rtol=1e-12)
    np.testing.assert_allclose(theory.kurtosis(dist), fourth / std**2, rtol=1e-12)


def test_tails_of_truncated_tails():
    """A share of 1e-295 of a mass of 1e-215, which no float holds by itself."""
    x = np.array([501.0, 720.0, 800.0, 1178.0])
    gamma = init.Truncated(init.Gamma(2.0, 1.0), 500.0)
    exact = (1 + x) / 501 * np.exp(500 - x)
    np.testing.assert_allclose(theory.sf(gamma, x), exact, rtol=1e-11)
    np.testing.assert_allclose(theory.isf(gamma, exact), x, rtol=1e-11)
    mirrored = 1 - 2 * init.Truncated(init.Exponential(1.0), 500.0)
    np.testing.assert_allclose(theory.cdf(mirrored, 1 - 2 * x), np.exp(500 - x), rtol=1e-11)


@pytest.mark.parametrize(
    ("base", "power", "high"),
    [
        (init.Beta(20.0, 5.0), 20, 1e-16),  # of a mass of 1e-316
        (init.Beta(2.0, 3.0), 2, 1e-60),
        (init.Gamma(2.5), 2.5, 1e-120),
        (init.Weibull(7.0), 7, 1e-45),
    ],
)
def test_truncated_where_a_density_is_a_power(base, power, high):
    """The lower share of x is (x / high)^power, whether or not it can be told as a mass."""
    p = np.array([1e-300, 1e-295, 1e-100, 0.1])
    x = high * p ** (1 / power)
    with jax.enable_x64(True):  # float32 has no such bounds
        dist = init.Truncated(base, high=high)
        np.testing.assert_allclose(theory.cdf(dist, x), p, rtol=1e-12)
        np.testing.assert_allclose(theory.ppf(dist, p), x, rtol=1e-12)
        np.testing.assert_allclose(theory.pdf(dist, x), power * p / x, rtol=1e-11)
        np.testing.assert_allclose(theory.sf(-dist, -x), p, rtol=1e-12)


def test_a_faint_share_of_a_faint_tail():
    """A density below 1e-308 times a width of 1e14."""
    dist = init.Truncated(init.LogNormal(1.0, 1.0), 1e15)
    x = np.array([1.0974750742477783e20, 1.2587068665560347e20])
    with mp.workdps(40):
        sigma = mp.sqrt(mp.log(2))
        low, *z = ((mp.log(v) + sigma**2 / 2) / sigma for v in (mp.mpf(1e15), *map(mp.mpf, x)))
        exact = [float(mp.ncdf(-each) / mp.ncdf(-low)) for each in z]
    np.testing.assert_allclose(theory.sf(dist, x), exact, rtol=1e-11)


@pytest.mark.parametrize("zero", [0.0, np.array([1.0, 0.0]), init.ZeroInit()])
def test_a_quotient_by_zero_has_no_law(zero):
    with pytest.raises(TypeError, match="no law of Normal / 0; estimate"):
        theory.mean(init.Normal(1.0, 1.0) / zero)


def test_numbers_do_not_cost_digits():
    """Parameters are moved, not x."""
    far = init.Normal(1e6, 1.0) - 1e6
    np.testing.assert_allclose(theory.sf(far, 36.9), stats.norm.sf(36.9), rtol=1e-13)
    flipped = -2 * init.Beta(2.0, 5.0) + 3
    assert theory.support(flipped) == (1, 3)
    np.testing.assert_allclose(theory.cdf(flipped, 1.5), stats.beta(5, 2).cdf(0.25), rtol=1e-13)
    cut = 3 - init.TruncatedNormal(0.0, 1.0, 8.0)
    np.testing.assert_allclose(theory.mean(cut), 3 - 8.121368, rtol=1e-6)
    assert theory.support(cut) == (-np.inf, -5)


def test_integrals_that_fail_say_so(monkeypatch):
    """A density that does not go with its distribution function, as of a user's own law."""

    def law(mean, std):
        return theory.Law(pdf=lambda x: 0.9 * stats.norm.pdf(x), cdf=stats.norm.cdf)

    monkeypatch.setitem(theory.laws, init.normal, law)
    with pytest.raises(TypeError, match=r"differs from its distribution function; estimate"):
        theory.mean(init.Normal(0.0, 1.0))


def test_moments_that_do_not_exist():
    assert np.isnan(theory.mean(1 / init.Normal(5.0, 1.0)))
    assert theory.mean(1 / init.Exponential(1.0)) == np.inf
    assert theory.mean(init.Normal(0.0, 1.0) ** -2) == np.inf
    heavy = 1 / init.Gamma(3.0)
    np.testing.assert_allclose([theory.mean(heavy), theory.std(heavy)], 0.5, rtol=1e-12)
    assert theory.skewness(heavy) == theory.kurtosis(heavy) == np.inf
    np.testing.assert_allclose(theory.cdf(1 / init.Normal(0.0, 1.0), [-0.5, 0.0, 2.0]),
                               [stats.norm.cdf(0) - stats.norm.cdf(-2), 0.5,
                                0.5 + stats.norm.sf(0.5)], rtol=1e-12)  # fmt: skip


# ---------------------------------------------------------------- atoms


def test_a_clipped_law_has_atoms():
    dist = init.Normal(0.0, 1.0).clip(-1.0, 2.0)
    low, high = stats.norm.cdf(-1), stats.norm.sf(2)
    assert theory.pdf(dist, [-1.0, 2.0, -1.1, 2.1]).tolist() == [np.inf, np.inf, 0, 0]
    np.testing.assert_allclose(theory.cdf(dist, [-1.1, -1.0, 1.9999, 2.0]),
                               [0, low, stats.norm.cdf(1.9999), 1])  # fmt: skip
    np.testing.assert_allclose(theory.sf(dist, [-1.1, -1.0, 1.9999, 2.0]),
                               [1, 1 - low, stats.norm.sf(1.9999), 0])  # fmt: skip
    p = np.array([low / 2, low, 1 - high, 1 - high / 2])
    np.testing.assert_allclose(theory.ppf(dist, p), [-1, -1, 2, 2])
    open_ = init.Gamma(2.0).clip(max_val=1.0)
    assert theory.support(open_) == (0, 1)
    assert theory.pdf(open_, 0.0) == 0


def test_atoms_go_through_operators():
    dist = 0.7 - 3 * init.Normal(0.0, 1.0).clip(-0.1, 0.3)
    low, high = theory.support(dist)
    np.testing.assert_allclose((low, high), (-0.2, 1.0))
    at_low, at_high = stats.norm.sf(0.3), stats.norm.cdf(-0.1)
    np.testing.assert_allclose(theory.cdf(dist, [low, high]), [at_low, 1])
    np.testing.assert_allclose(theory.cdf(dist, np.nextafter(high, 0)), 1 - at_high)
    np.testing.assert_allclose(theory.cdf(dist, np.nextafter(low, -1)), 0)
    folded = abs(init.Normal(0.0, 1.0).clip(-0.5, 2.0))
    np.testing.assert_allclose(theory.cdf(folded, [0.4999, 0.5]),
                               [2 * stats.norm.cdf(0.4999) - 1, stats.norm.cdf(0.5)])  # fmt: skip
    mixed = init.Mixture([init.Constant(0.0), init.Exponential(1.0)], [0.25, 0.75])
    assert theory.ppf(mixed, [0.1, 0.25]).tolist() == [0, 0]
    assert theory.pdf(mixed, 0.0) == np.inf
    np.testing.assert_allclose(theory.mean(mixed**2), 1.5)


# ---------------------------------------------------------------- units, arrays


def test_units_of_parts():
    mix = init.Mixture([init.Normal(1 * u.mV, 100 * u.uvolt), init.Exponential(500 * u.uvolt)])
    np.testing.assert_allclose(theory.mean(mix) / u.mV, 0.75)
    clipped = init.Normal(1 * u.mV, 1 * u.mV).clip(0 * u.mV, 1500 * u.uvolt)
    np.testing.assert_allclose(theory.support(clipped)[1] / u.mV, 1.5)
    cut = init.Truncated(init.Gamma(2.0, 1 * u.mV), 500 * u.uvolt, 3 * u.mV)
    assert theory.support(cut) == (0.5 * u.mV, 3 * u.mV)
    assert theory.mean(init.Normal(2 * u.mV, 1 * u.mV) ** 2).unit == u.mV**2
    product = init.Normal(2 * u.mV, 1 * u.mV) * init.Gamma(2.0, 3 * u.nS)
    np.testing.assert_allclose(theory.mean(product) / (u.mV * u.nS), 12)


def test_arrays_in_parts():
    mean, high = np.array([0.0, 1.0, 5.0]), np.array([0.5, 1.0, 2.0])
    makers = (
        lambda m, h: init.Normal(m, 1.0).clip(max_val=h),
        lambda m, h: abs(init.Normal(m, 1.0)),
        lambda m, h: init.Truncated(init.Gamma(h), 0.1, 0.4),
        lambda m, h: init.Mixture([init.Normal(m, 1.0), init.Constant(2.0)]),
    )
    for make in makers:
        both, _ = theory.lookup.find_law(make(mean, high))
        each = [
            theory.lookup.find_law(make(*pair))[0]
            for pair in zip(mean.tolist(), high.tolist(), strict=True)
        ]
        for name in MOMENTS:
            one = [getattr(law, name) for law in each]
            np.testing.assert_allclose(getattr(both, name), one, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(both.cdf(0.3), [law.cdf(0.3) for law in each], rtol=1e-13)
        np.testing.assert_allclose(both.ppf(0.2), [law.ppf(0.2) for law in each], rtol=1e-13)


def test_supports_have_the_shape_of_the_parameters():
    low, high = theory.support(init.Normal(np.zeros(3) * u.mV, 1 * u.mV))
    assert low.shape == high.shape == (3,)


def test_pooled_moments():
    law, _ = theory.pooled(init.Gamma(np.array([2.0, 4.0]), 1.0))
    x = init.Mixture([init.Gamma(2.0), init.Gamma(4.0)])
    np.testing.assert_allclose(
        [law.mean, law.std, law.skewness, law.kurtosis],
        [getattr(theory, name)(x) for name in MOMENTS],
        rtol=1e-12,
    )
    np.testing.assert_allclose(law.ppf(0.3), theory.ppf(x, 0.3), rtol=1e-12)
    assert law.support == (0, np.inf)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_narrow_laws_scaled_and_shifted(shift):
    """What x loses when it is taken back is much of a std."""
    mean, z = 1e8, np.array([-37.0, -5.0, 0.5, 37.0])
    with jax.enable_x64(True):
        dist = init.Normal(mean, 1.0) * 3.3 + shift
        lognormal = init.LogNormal(1.0, 1e-8) * 3.3
    x = 3.3 * (mean + z)
    with mp.workdps(60):
        at = [(mp.mpf(v) - mp.mpf(shift)) / mp.mpf(3.3) - mp.mpf(mean) for v in x]
        below, above = ([float(mp.ncdf(side * v)) for v in at] for side in (1, -1))
        density = [float(mp.npdf(v) / mp.mpf(3.3)) for v in at]
    np.testing.assert_allclose(theory.cdf(dist, x), below, rtol=1e-10)
    np.testing.assert_allclose(theory.sf(dist, x), above, rtol=1e-10)
    np.testing.assert_allclose(theory.pdf(dist, x), density, rtol=1e-10)
    x = 3.3 * (1 + 1e-8 * z)
    with mp.workdps(60):
        variance = mp.log1p(mp.mpf(1e-8) ** 2)
        at = [(mp.log(mp.mpf(v) / mp.mpf(3.3)) + variance / 2) / mp.sqrt(variance) for v in x]
        below, above = ([float(mp.ncdf(side * v)) for v in at] for side in (1, -1))
    np.testing.assert_allclose(theory.cdf(lognormal, x), below, rtol=1e-10)
    np.testing.assert_allclose(theory.sf(lognormal, x), above, rtol=1e-10)


def test_a_deep_window_that_ends_at_the_end_of_the_support():
    dist = init.Beta(1e6, 1e6).truncated(0.9, 1.0)
    assert theory.sf(dist, 1.0) == 0
    slope = 1e6 / 0.1 - 1e6 / 0.9
    np.testing.assert_allclose(theory.mean(dist) - 0.9, 1 / slope, rtol=1e-4)


def test_quantiles_among_whole_numbers():
    """A search ends at the number itself, not where rounding begins to count it."""
    for dist, wanted in (
        (init.UniformInt(-5, 5) ** 2, 9),
        (abs(init.Poisson(4.0) - 4.0), 1),
        (init.Mixture([init.Poisson(3.0), init.Normal(0.0, 1.0)], [0.5, 0.5]), 1),
    ):
        assert theory.ppf(dist, 0.5) == wanted
        assert theory.cdf(dist, wanted) >= 0.5
