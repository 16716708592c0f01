"""Densities and distribution functions to ten digits, against mpmath."""

import mpmath
import numpy as np
import pytest

import braininit as init
from braininit import theory


def quadrature(exponent, slope, curvature):
    """Integral of e^-exponent from 0 on, for a convex exponent."""
    end = 120 / (slope + mpmath.sqrt(slope**2 + 120 * curvature))
    while exponent(end) < 60:
        end *= 2
    ends = mpmath.linspace(0, end, 4)
    return mpmath.quad(lambda t: mpmath.exp(-exponent(t)), ends, method="gauss-legendre")


def sides(tail, lower):
    return (tail, 1 - tail) if lower else (1 - tail, tail)


def exact_gamma(x, k, scale):
    y = x / scale
    if k < 5:
        tails = [mpmath.gammainc(k, *ends, regularized=True) for ends in [(0, y), (y, mpmath.inf)]]
        return *tails, mpmath.exp(k * mpmath.log(y) - y - mpmath.loggamma(k)) / x
    kernel = mpmath.exp(k * mpmath.log(y) - y - mpmath.loggamma(k))
    side = 1 if y >= k else -1
    tail = quadrature(
        lambda w: abs(y - k) * w + y * (mpmath.expm1(side * w) - side * w), abs(y - k), y
    )
    return *sides(kernel * tail, y < k), kernel / x


def exact_beta(x, a, b, low, high):
    n, y, rest = a + b, (x - low) / (high - low), (high - x) / (high - low)
    if n < 5:
        tails = [mpmath.betainc(a, b, *ends, regularized=True) for ends in [(0, y), (y, 1)]]
        density = y ** (a - 1) * rest ** (b - 1) / mpmath.beta(a, b) / (high - low)
        return *tails, density
    log_kernel = a * mpmath.log(y) + b * mpmath.log(rest) + mpmath.loggamma(n)
    kernel = mpmath.exp(log_kernel - mpmath.loggamma(a) - mpmath.loggamma(b))
    side = 1 if n * y >= a else -1
    tail = quadrature(
        lambda w: n * mpmath.log1p(y * mpmath.expm1(side * w)) - side * a * w,
        abs(n * y - a),
        n * y * rest,
    )
    return *sides(kernel * tail, n * y < a), kernel / (y * rest * (high - low))


def exact_weibull(x, k, scale):
    power = (x / scale) ** k
    return -mpmath.expm1(-power), mpmath.exp(-power), k * power * mpmath.exp(-power) / x


def exact_exponential(x, scale):
    return exact_weibull(x, mpmath.mpf(1), scale)


def exact_normal(x, mean, std):
    z = (x - mean) / std
    return mpmath.ncdf(z), mpmath.ncdf(-z), mpmath.npdf(z) / std


def exact_lognormal(x, mean, std):
    variance = mpmath.log1p((std / mean) ** 2)
    mu = mpmath.log(mean) - variance / 2
    below, above, density = exact_normal(mpmath.log(x), mu, mpmath.sqrt(variance))
    return below, above, density / x


def exact_uniform(x, low, high):
    return (x - low) / (high - low), (high - x) / (high - low), 1 / (high - low)


def exact_truncated_normal(x, mean, std, low, high):
    with mpmath.workdps(350):  # for what cancels in the differences
        z, a, b = ((v - mean) / std for v in (x, low, high))
        flip = a + b > 0  # to where the distribution function is small
        below, at, above = (mpmath.ncdf(-v if flip else v) for v in (a, z, b))
        mass = above - below
        return (at - below) / mass, (above - at) / mass, mpmath.npdf(z) / mass / std


Z = np.array([-36.0, -5.0, -0.01, 0.0, 3.0, 20.0])
FEW = np.array([-30.0, 0.0, 7.0])


def around(center, spread, z=FEW, low=0.0):
    x = low + center * np.exp(np.clip(z * spread, -600, 6))
    return x[x > low + 1e-307]


def gamma_row(k, scale, z=FEW):
    return init.gamma, exact_gamma, (k, scale), around(k * scale, k**-0.5, z)


def beta_row(a, b, low, high, z=FEW):
    x = around((high - low) * a / (a + b), (b / a / (a + b)) ** 0.5, z, low)
    return init.beta, exact_beta, (a, b, low, high), x[x < high]


def weibull_row(k, scale):
    z = np.array([-600.0, -40.0, -1.0, 0.0, 1.0, 5.0])  # logarithms of (x / scale)^k
    return init.weibull, exact_weibull, (k, scale), around(scale, 1 / k, z)


def lognormal_row(mean, ratio):
    sigma = np.log1p(ratio**2) ** 0.5 if ratio > 1e-8 else ratio
    return init.lognormal, exact_lognormal, (mean, mean * ratio), around(mean, sigma, Z)


def truncated_row(low, high):  # in std from the mean
    low, high = 0.5 + 2 * low, 0.5 + 2 * high
    near = min(high - low, 3 / (1 + max(low, -high, 0)))  # here the density falls little
    x = np.array([low + 1e-7 * near, low + 0.3 * near, (low + high) / 2, high - 0.3 * near])
    return init.truncated_normal, exact_truncated_normal, (0.5, 2.0, low, high), x


EXACT = [
    *[gamma_row(k, 1.0, Z) for k in (1e-3, 0.5, 1.0, 30.0, 9e3, 2e4)],
    *[gamma_row(k, 0.3) for k in (1e6, 1e10, 1e15)],
    *[gamma_row(2.5, 1e-290), gamma_row(1e12, 3e280)],
    *[beta_row(a, b, -1.0, 3.0) for a, b in [(1e-3, 2.0), (0.5, 1e15), (3.0, 1e8), (1e3, 1e12)]],
    *[beta_row(a, b, 0.0, 1.0) for a, b in [(1e12, 1e12), (1e15, 9e14), (1e8, 3.0), (20.0, 5.0)]],
    *[beta_row(2e5, 1e5, 0.0, 1e-280), beta_row(1e15, 2e13, -3e9, 1e10)],
    *[weibull_row(k, scale) for k in (1e-3, 0.5, 1.0, 7.0, 1e8, 1e15) for scale in (1.0, 3e-200)],
    *[lognormal_row(m, ratio) for m in (1.0, 3e-200) for ratio in (1e-15, 1e-7, 0.3, 1e2, 1e60)],
    *[
        (init.normal, exact_normal, (mean, std), mean + Z * std)
        for mean, std in [(0.0, 1.0), (-1e6, 3.0), (7.0, 1e300)]
    ],
    *[
        (init.exponential, exact_exponential, (s,), s * np.array([1e-9, 0.9, 600.0]))
        for s in (1e-300, 7.0)
    ],
    (init.uniform, exact_uniform, (-1.7e308, 1.7e308), np.array([-1.6e308, 1.0, 1e308])),
    *[
        truncated_row(low, high)
        for low, high in [(-100, 100), (-2, 40), (8, 50), (-30.001, -30), (1e4, 1e5), (-1e-6, 2e-6)]
    ],
]


@pytest.mark.parametrize(
    ("function", "exact", "parameters", "x"),
    EXACT,
    ids=[f"{function.__name__}{parameters}" for function, _, parameters, _ in EXACT],
)
def test_ten_digits_everywhere(function, exact, parameters, x):
    with np.errstate(all="ignore"):
        law = theory.laws[function](*map(np.float64, parameters))
        ours = np.stack([law.cdf(x), law.sf(x), law.pdf(x)], axis=-1)
    with mpmath.workdps(50):
        wanted = [exact(*map(mpmath.mpf, (at, *parameters))) for at in x.tolist()]
        held = [[1e-300 < value < 1e300 for value in row] for row in wanted]
        wanted = np.array([[float(value) for value in row] for row in wanted])
    assert np.sum(held) > np.size(x)
    np.testing.assert_allclose(ours[held], wanted[held], rtol=1e-10)


def test_tails_down_to_1e_minus_300():
    """SciPy's incomplete beta function has no digits there."""
    p = 10.0 ** -np.arange(282, 301, 3)
    for a, b in [(20.0, 5.0), (17.0, 0.01), (3.0, 1e3), (0.5, 1100.0)]:
        dist = init.Beta(a, b)
        for up in (False, True):
            x = (theory.isf if up else theory.ppf)(dist, p)
            x = x[(x > 1e-290) & (x < 1 - 1e-10)]
            ours = (theory.sf if up else theory.cdf)(dist, x)
            with mpmath.workdps(50):
                exact = [float(exact_beta(mpmath.mpf(v), a, b, 0, 1)[up]) for v in x]
            np.testing.assert_allclose(ours, exact, rtol=1e-11)


@pytest.mark.parametrize("mean", [1e4, 1e6, 1e8])
def test_tails_of_large_poissons(mean):
    """By the gamma distribution of the time of an event; SciPy's own have three digits at 1e8."""
    dist = init.Poisson(mean)
    for k in np.round(mean + np.array([-36.0, -3.0, 0.5, 6.0, 36.0]) * mean**0.5):
        with mpmath.workdps(50):
            above, below, _ = exact_gamma(mpmath.mpf(mean), mpmath.mpf(k) + 1, 1)
        np.testing.assert_allclose(theory.sf(dist, k), float(above), rtol=1e-11)
        np.testing.assert_allclose(theory.cdf(dist, k), float(below), rtol=1e-11)


@pytest.mark.parametrize("k", [0.02, 0.3, 3.0, 19.9, 20.1, 1e3, 1e8, 1e15])
def test_moments_of_weibull(k):
    with mpmath.workdps(60):
        first, second = (mpmath.gamma(1 + n / mpmath.mpf(k)) for n in (1, 2))
        mean, std = float(first), float(mpmath.sqrt(second - first**2))
    np.testing.assert_allclose(theory.mean(init.Weibull(k, 3.0)), 3 * mean, rtol=1e-12)
    np.testing.assert_allclose(theory.std(init.Weibull(k, 3.0)), 3 * std, rtol=1e-12)


@pytest.mark.parametrize("dist", [init.Gamma(1e12), init.Beta(1e12, 1e12), init.Beta(2.0, 1e15)])
def test_both_sides_of_the_mean_meet(dist):
    mean = theory.mean(dist)
    around = np.array([np.nextafter(mean, 0), mean, np.nextafter(mean, 2 * mean)])
    np.testing.assert_allclose(theory.cdf(dist, around) + theory.sf(dist, around), 1, rtol=1e-15)
    np.testing.assert_allclose(theory.cdf(dist, around), theory.cdf(dist, mean), rtol=1e-6)
    large = theory.cdf(init.Beta(np.array([2.0, 1e12]), np.array([3.0, 1e12])), 0.5)
    np.testing.assert_allclose(large, [11 / 16, 0.5], rtol=1e-12)  # one call, two ways


@pytest.mark.parametrize("mean", [0.0, 0.7, -2.0])
def test_von_mises_next_to_half_a_turn(mean):
    """Pi is not a float, nor is what lies between it and x."""
    dist, gap = init.VonMises(mean, 0.5), np.array([1e-15, 1e-12, 1e-8])
    below, above = mean - np.pi + gap, mean + np.pi - gap
    with mpmath.workdps(40):
        density = mpmath.exp(-0.5) / (2 * mpmath.pi * mpmath.besseli(0, 0.5))
        low = [float(density * (x - (mpmath.mpf(mean) - mpmath.pi))) for x in below.tolist()]
        high = [float(density * (mpmath.mpf(mean) + mpmath.pi - x)) for x in above.tolist()]
    np.testing.assert_allclose(theory.cdf(dist, below), low, rtol=1e-12)
    np.testing.assert_allclose(theory.sf(dist, above), high, rtol=1e-12)
