"""Powers: of narrow distributions, of powers, of mixtures, with an exponent for each element."""

import brainunit as u
import jax
import mpmath as mp
import numpy as np
import pytest

import braininit as init
from braininit import theory

MOMENTS = ("mean", "std", "skewness", "kurtosis")
phi, Phi = mp.npdf, mp.ncdf


@pytest.mark.parametrize("mean", [1e5, 1e8, 1e10])
@pytest.mark.parametrize("n", [2, 3, 4, -1, -2])
def test_functions_of_powers_of_narrow_normals(mean, n):
    """The root of y, rounded to float64, is off by up to 1e-6 std."""
    x = mean + np.array([-37.0, -5.0, -0.001, 1.0, 20.0, 37.0])
    y, order = x**n, 1 if n > 0 else -1
    with jax.enable_x64(True):
        dist = init.Normal(mean, 1.0) ** n
    with mp.workdps(60):
        z = [mp.mpf(v) ** (mp.mpf(1) / n) - mean for v in y]
        below, above = ([float(Phi(side * order * v)) for v in z] for side in (1, -1))
        scale = [abs((v + mean) / n / mp.mpf(at)) for v, at in zip(z, y, strict=True)]
        log_pdf = [float(mp.log(phi(v) * s)) for v, s in zip(z, scale, strict=True)]
    np.testing.assert_allclose(theory.cdf(dist, y), below, rtol=1e-10)
    np.testing.assert_allclose(theory.sf(dist, y), above, rtol=1e-10)
    np.testing.assert_allclose(theory.log_pdf(dist, y), log_pdf, rtol=0, atol=1e-10)


def test_powers_of_powers():
    normal, cut = init.Normal(1.0, 2.0), init.TruncatedNormal(-0.5, 0.8, -0.7, 0.2)
    for dist, same in (
        ((normal**3) ** 2, normal**6),
        ((normal**2) ** 3, normal**6),
        (abs(normal**3), abs(normal) ** 3),
        ((normal**-1) ** -1, normal),
        ((init.Gamma(2.5) ** 0.5) ** 3, init.Gamma(2.5) ** 1.5),
        (abs(cut**-1), 1 / abs(cut)),
    ):
        for name in (*MOMENTS, "support"):
            np.testing.assert_array_equal(getattr(theory, name)(dist), getattr(theory, name)(same))
        x = np.array([-2.0, 0.3, 1.7, 40.0])
        np.testing.assert_array_equal(theory.cdf(dist, x), theory.cdf(same, x))
    x = np.array([5.0, 10.0, 1e6])
    np.testing.assert_allclose(theory.cdf(abs(cut**-1), x) + theory.sf(abs(cut**-1), x), 1)


def test_powers_of_narrow_parts():
    parts, weights = (init.LogNormal(46.0, 1.5e-3), init.Uniform(2.257, 2.26)), (0.3, 0.7)
    raw = [
        sum(w * theory.mean(part**n) for part, w in zip(parts, weights, strict=True))
        for n in (2, 4)
    ]
    square = init.Mixture(parts, weights) ** 2
    np.testing.assert_allclose(theory.mean(square), raw[0], rtol=1e-13)
    np.testing.assert_allclose(theory.std(square), (raw[1] - raw[0] ** 2) ** 0.5, rtol=1e-12)


def test_a_part_across_a_gap():
    """A density that jumps is not integrated, however little of it there is."""
    cut = init.TruncatedNormal(0.0, 1.0, -0.5, 0.5)
    for y in (2.0, 2.001, 2.1):
        np.testing.assert_allclose(
            theory.cdf(1 / cut, y) - theory.cdf(1 / cut, -y),
            theory.cdf(1 / abs(cut), y),
            atol=1e-14,
        )


def test_known_powers():
    np.testing.assert_allclose(theory.std(init.Exponential(3.0) ** 2), np.sqrt(20) * 9)
    np.testing.assert_allclose(theory.sf(init.Weibull(2.0) ** 0.5, 3.0), np.exp(-81), rtol=1e-12)
    np.testing.assert_allclose(
        theory.mean(init.LogNormal(2 * u.nS, 1 * u.nS) ** -1) * u.nS, 1.25 / 2, rtol=1e-13
    )
    assert theory.mean(init.Normal(2.0, 1.0) ** 0) == 1
    assert theory.mean(init.Constant(-3.0 * u.mV) ** 2) == 9 * u.mV**2
    assert theory.mean(abs(init.Constant(-3.0))) == 3


@pytest.mark.parametrize("a", [1e-3, 0.1, 0.5, 3.0])
def test_powers_next_to_poles(a):
    """Most of the mass may lie nearer to a bound than floats resolve."""
    with mp.workdps(40):
        k = mp.mpf(a)
        raw = [mp.fprod((k + i) / (2 * k + i) for i in range(2 * n)) for n in (1, 2, 3, 4)]
        wanted = float(raw[0]), float(mp.sqrt(raw[1] - raw[0] ** 2))
    law, _ = theory.pooled(init.Beta(a, a) ** 2)
    np.testing.assert_allclose((law.mean, law.std), wanted, rtol=1e-12)
    both, _ = theory.pooled(abs(init.Beta(a, a, -1.0, 1.0)))
    np.testing.assert_allclose(both.std**2 + both.mean**2, 1 / (2 * a + 1), rtol=1e-12)


@pytest.mark.parametrize(
    "base", [init.Normal(1.0, 2.0), init.Gamma(2.0), init.Poisson(3.0), init.Constant(2.0)]
)
def test_array_exponents(base):
    n = [0.0, 1.0, 2.0, 3.0]
    both, each = base ** np.array(n), [base**one for one in n]
    for name in (*MOMENTS, "support"):
        ours = np.transpose(getattr(theory, name)(both))
        np.testing.assert_array_equal(ours, [getattr(theory, name)(one) for one in each])
    for function, at in ((theory.cdf, 2.0), (theory.sf, 1.0), (theory.pdf, 1.5), (theory.ppf, 0.3),
                         (theory.isf, 1e-5), (theory.pmf, 1.0)):  # fmt: skip
        np.testing.assert_array_equal(function(both, at), [function(one, at) for one in each])
    assert theory.mean(init.Gamma([[2.0], [3.0]]) ** np.array([1.0, -1.0])).shape == (2, 2)


@pytest.mark.parametrize("exponent", [0.37, -1.5, np.pi, -0.01])
def test_fractional_powers_of_narrow_laws(exponent):
    """Also there the root of y is rounded."""
    with jax.enable_x64(True):
        dist = init.TruncatedNormal(1.0, 1e-8, low=0.5) ** exponent
    y = (1 + 1e-8 * np.array([-30.0, -1.0, 5.0])) ** exponent
    with mp.workdps(60):
        z = [(mp.mpf(v) ** (1 / mp.mpf(exponent)) - 1) / mp.mpf(1e-8) for v in y]
        below = [float(Phi(v if exponent > 0 else -v)) for v in z]
    np.testing.assert_allclose(theory.cdf(dist, y), below, rtol=1e-10)


def test_odd_powers_of_absolute_values():
    """Their moments are not those of the odd power itself."""
    normal = init.Normal(0.0, 1.0)
    first = 2 * (2 / np.pi) ** 0.5
    for cube in (abs(normal) ** 3, abs(normal**3), (abs(normal) ** 0.5) ** 6):
        np.testing.assert_allclose(theory.mean(cube), first, rtol=1e-12)
        np.testing.assert_allclose(theory.std(cube), (15 - first**2) ** 0.5, rtol=1e-12)
    np.testing.assert_allclose(theory.mean(abs(init.Normal(-5.0, 0.25)) ** 3), 125.9375, rtol=1e-9)


def test_around_the_peak_of_a_density():
    """Where it bends a difference of two halves has no digits."""
    x = np.array([1e-300, 1e-100, 1e-12, 1e-8])
    laplace = init.Laplace(0.0, 1.0)
    np.testing.assert_allclose(theory.cdf(abs(laplace), x), -np.expm1(-x), rtol=1e-12)
    np.testing.assert_allclose(theory.ppf(abs(laplace), x), -np.log1p(-x), rtol=1e-12)
    np.testing.assert_allclose(theory.sf(laplace**-1, 1 / x), -np.expm1(-x) / 2, rtol=1e-12)
    sides = init.Mixture([init.Exponential(1.0), -1.0 * init.Exponential(2.0)], [0.25, 0.75])
    wanted = -0.25 * np.expm1(-x / 4) - 0.75 * np.expm1(-x / 8)
    np.testing.assert_allclose(theory.cdf(abs(4.0 * sides), x), wanted, rtol=1e-12)


def test_whole_numbers_around_0():
    """They have no density to be integrated."""
    dist = abs(init.Poisson(1e8) - 1e8)
    chance = 1 / np.sqrt(2 * np.pi * 1e8)
    np.testing.assert_allclose(theory.cdf(dist, [0, 1, 50]), chance * np.array([1, 3, 101]), 1e-5)


def test_roots_with_a_pole():
    """The center must not be the pole, and panels get narrower towards it on both sides."""
    for dist, raw in (
        (abs(init.Uniform(-1.0, 1.0)), lambda t: 1 / (1 + t)),
        (abs(init.Laplace(0.0, 1.0)), lambda t: mp.gamma(1 + t)),
        (
            abs(init.Normal(0.0, 1.0)),
            lambda t: 2 ** (t / 2) * mp.gamma((1 + t) / 2) / mp.sqrt(mp.pi),
        ),
        (init.Weibull(1.05, 1.0), lambda t: mp.gamma(1 + t / mp.mpf(1.05))),
    ):
        power = dist**-0.24
        mean, square = (float(raw(mp.mpf(-0.24) * n)) for n in (1, 2))
        np.testing.assert_allclose(theory.mean(power), mean, rtol=1e-11)
        np.testing.assert_allclose(theory.std(power) ** 2 + mean**2, square, rtol=1e-11)
        cube, fourth = (float(raw(mp.mpf(-0.2) * n)) for n in (3, 4))
        root = dist**-0.2
        m, s, skew, kurt = (getattr(theory, name)(root) for name in MOMENTS)
        np.testing.assert_allclose(skew * s**3 + 3 * m * s**2 + m**3, cube, rtol=1e-11)
        whole = (kurt + 3) * s**4 + 4 * m * skew * s**3 + 6 * m**2 * s**2 + m**4
        np.testing.assert_allclose(whole, fourth, rtol=1e-11)
    assert np.isnan(theory.kurtosis(init.Gamma(0.3) ** -0.0745))  # it is 3,000 or more
    assert theory.kurtosis(init.Gamma(0.3) ** -0.08) == np.inf
