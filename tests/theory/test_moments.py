"""Skewness, kurtosis, mean and std to ten digits, held against mpmath."""

import jax
import mpmath as mp
import numpy as np
import pytest

import braininit as init
from braininit import theory

INF = np.inf
MOMENTS = ("mean", "std", "skewness", "kurtosis")


def of_raw(m1, m2, m3, m4):
    """Mean, std, skewness and excess kurtosis from raw moments."""
    v = m2 - m1**2
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    return m1, mp.sqrt(v), third / v ** mp.mpf(1.5), fourth / v**2 - 3


def weibull(k):
    return of_raw(*(mp.gamma(1 + n / k) for n in (1, 2, 3, 4)))


def gamma(k, scale):
    return k * scale, mp.sqrt(k) * scale, 2 / mp.sqrt(k), 6 / k


def beta(a, b, low, high):
    raw = [mp.fprod((a + i) / (a + b + i) for i in range(n)) for n in (1, 2, 3, 4)]
    mean, std, *others = of_raw(*raw)
    return low + (high - low) * mean, (high - low) * std, *others


def lognormal(mean, std):
    w = 1 + (std / mean) ** 2
    return of_raw(*(mean**n * w ** (n * (n - 1) / 2) for n in (1, 2, 3, 4)))


def loguniform(low, high):
    octaves = mp.log(high / low)
    return of_raw(*((high**n - low**n) / n / octaves for n in (1, 2, 3, 4)))


def vonmises(concentration, mean):
    def moment(n):
        scale = 1 / mp.sqrt(1 + concentration)
        ends = [0, *(k * scale for k in (1, 3, 6, 12, 25) if k * scale < mp.pi), mp.pi]
        density = lambda t: t**n * mp.exp(-2 * concentration * mp.sin(t / 2) ** 2)  # noqa: E731
        return mp.quad(density, ends)

    square = moment(2) / moment(0)
    return mean, mp.sqrt(square), 0, moment(4) / moment(0) / square**2 - 3


def truncated_normal(mean, std, low, high):
    """By parts, from the density at both ends."""
    a, b = (low - mean) / std, (high - mean) / std
    mass = mp.ncdf(b) - mp.ncdf(a) if a < 0 else mp.ncdf(-a) - mp.ncdf(-b)

    def lost(n):
        parts = (z**n * mp.npdf(z) if mp.isfinite(z) else mp.mpf(0) for z in (a, b))
        return next(parts) / mass - next(parts) / mass

    m1, m2 = lost(0), 1 + lost(1)
    m3 = 2 * m1 + lost(2)
    m, s, *others = of_raw(m1, m2, m3, 3 * m2 + lost(3))
    return mean + std * m, std * s, *others


TABLE = [
    *[(init.weibull, weibull, (k,)) for k in (0.02, 0.5, 1.0, 1.01, 3.7, 5.75, 100.0, 1e8, 1e15)],
    *[(init.gamma, gamma, (k, 0.3)) for k in (1e-3, 2.0, 1e15)],
    *[
        (init.beta, beta, (a, b, -1.0, 3.0))
        for a, b in [(1e-3, 1e15), (2.0, 5.0), (0.5, 0.5), (1e12, 1e12), (1e15, 2e13), (3.0, 1e8)]
    ],
    *[(init.lognormal, lognormal, (2.0, 2 * r)) for r in (1e-9, 1e-3, 0.5, 100.0, 1e9)],
    *[
        (init.loguniform, loguniform, (1.0, high))
        for high in (1 + 1e-9, 1.001, 2.0, 20.0, 21.0, 1e3, 1e300)
    ],
    (init.loguniform, loguniform, (1e-300, 1e-30)),
    *[(init.vonmises, vonmises, (k, 0.5)) for k in (0.0, 1.0, 29.9, 30.1, 1e4, 1e15)],
    *[
        (init.truncated_normal, truncated_normal, (0.0, 1.0, low, high))
        for low, high in [
            (-1, 1 + 1e-9), (-1e-3, 1e-3 + 1e-9), (-1e-6, 2e-6), (-8, 9), (-8, 8 + 1e-8), (-3, INF),
            (0, INF), (-0.5, INF), (-0.5, 3.1), (-0.9, 2.9), (-1, 1.5), (-1.7, 1.8), (2, 2.0001),
            (8, INF), (30, 31), (30, 30.1), (-40, -39.99), (1e4, 1e5), (-INF, 0.3),
        ]
    ],
    (init.truncated_normal, truncated_normal, (0.5, 2.0, -1.0, 3.0)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "exact", "parameters"), TABLE, ids=[f"{f.__name__}{p}" for f, _, p in TABLE]
)
def test_ten_digits_of_the_moments(function, exact, parameters):
    law = theory.laws[function](*map(np.float64, (*parameters, *((1.0,) * (exact is weibull)))))
    ours = [getattr(law, name) for name in MOMENTS]
    with mp.workdps(120 if exact is not vonmises else 60):
        wanted = exact(*map(mp.mpf, parameters))
        for name, mine, value in zip(MOMENTS, ours, wanted, strict=True):
            if abs(value) < 1e300:
                assert abs(mp.mpf(float(mine)) - value) <= 1e-10 * abs(value), name


def test_symmetric_laws_have_no_skewness():
    for dist in (
        *(init.Normal(1.0, 2.0), init.Uniform(-3.0, 1.0), init.Laplace(2.0), init.VonMises(1.0)),
        *(init.TruncatedNormal(1.0, 2.0, -1.0, 3.0), init.Beta(2.5, 2.5), init.TruncatedNormal()),
    ):
        assert theory.skewness(dist) == 0


def test_known_kurtosis():
    """Excess, as SciPy's."""
    assert theory.kurtosis(init.Normal(1.0, 2.0)) == theory.kurtosis(init.TruncatedNormal()) == 0
    assert theory.kurtosis(init.Uniform()) == -1.2
    assert theory.kurtosis(init.Laplace()) == 3
    assert theory.kurtosis(init.Exponential()) == 6
    assert theory.skewness(init.Exponential()) == 2


def test_points_have_neither():
    for dist in (init.Constant(2.0), init.Normal(1.0, 0.0)):
        assert np.isnan(theory.skewness(dist))
        assert np.isnan(theory.kurtosis(dist))
    both = init.Normal(1.0, np.array([0.0, 1.0]))
    assert np.isnan(theory.kurtosis(both)).tolist() == [True, False]


def normal_power(n, mean, std):
    return mp.fsum(
        mp.binomial(n, k) * mean ** (n - k) * std**k * mp.fac2(k - 1) for k in range(0, n + 1, 2)
    )


def gamma_power(n, k, scale):
    return scale**n * mp.rf(k, n)


def poisson_power(n, mean):
    return mp.fsum(mp.stirling2(n, k) * mean**k for k in range(n + 1))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize(
    ("dist", "raw", "parameters"),
    [
        *(
            (init.Normal, normal_power, given)
            for given in [
                (0.0, 2.0),
                (1e-8, 1.0),
                (0.5, 1.0),
                (-1e3, 2.0),
                (3e8, 1.0),
                (1.0, 1e-12),
            ]
        ),
        *((init.Gamma, gamma_power, given) for given in [(1e-3, 2.0), (2.5, 1.0), (1e12, 1e-12)]),
        *((init.Poisson, poisson_power, (mean,)) for mean in (1e-3, 3.5, 1e8)),
    ],
)
def test_whole_powers(n, dist, raw, parameters):
    """Nothing cancels, however narrow the distribution."""
    with jax.enable_x64(True):
        power = dist(*parameters) ** n
    with mp.workdps(120):
        exact = of_raw(*(raw(n * i, *map(mp.mpf, parameters)) for i in (1, 2, 3, 4)))
        exact = [float(x) for x in exact]
    ours = [getattr(theory, name)(power) for name in MOMENTS]
    np.testing.assert_allclose(ours, exact, rtol=1e-12)


def test_powers_of_points_and_others():
    both = init.Normal(np.array([0.0, 2.0, 0.0]), np.array([0.0, 0.0, 1.0])) ** 3
    assert theory.mean(both).tolist() == [0, 8, 0]
    np.testing.assert_allclose(theory.std(both), [0, 0, 15**0.5])


@pytest.mark.parametrize("n", [2, 3])
def test_powers_of_narrow_laws(n):
    """Of 1 + e z, to the first order in e; of e itself a rounded bound may differ."""
    e = 1e-9
    with jax.enable_x64(True):
        bases = init.Uniform(1 - e, 1 + e), init.Laplace(1.0, e)
        powers = [base**n for base in bases]
    for base, power in zip(bases, powers, strict=True):
        np.testing.assert_allclose(theory.std(power), n * theory.std(base), rtol=1e-12)
        np.testing.assert_allclose(theory.kurtosis(power), theory.kurtosis(base), rtol=1e-12)
        np.testing.assert_allclose(theory.skewness(power), 0, atol=1e-7)


def test_moments_of_a_cube_next_to_a_mean_of_zero():
    """A panel that begins at the median, 1e-8, must not span all that is above."""
    dist = abs(init.Laplace(1e-8, 1.0)) ** 2
    np.testing.assert_allclose(theory.mean(dist), 2, rtol=1e-13)
    np.testing.assert_allclose(theory.mean(init.Laplace(1e-8, 1.0) ** 3), 6e-8, atol=1e-15)


def test_moments_of_a_narrow_window_far_from_0():
    """Floats are few there: points lie beside their nodes, by 1e-9 of the window."""
    dist = init.Beta(2.0, 3.0).truncated(low=0.9999999)
    with mp.workdps(60):
        low = mp.mpf(0.9999999)
        raw = [mp.quad(lambda x, n=n: x ** (n + 1) * (1 - x) ** 2, [low, 1]) for n in range(5)]
        exact = [float(x) for x in of_raw(*(m / raw[0] for m in raw[1:]))]
    ours = [getattr(theory, name)(dist) for name in MOMENTS]
    np.testing.assert_allclose(ours, exact, rtol=1e-11)


@pytest.mark.parametrize("gap", [1e-8, 1e-11])
def test_moments_of_a_window_next_to_a_pole(gap):
    """Floats are too few there to tell the density, (1 - x)^(-1/2) but for a part in 1e8."""
    with jax.enable_x64(True):
        dist = init.Beta(0.5, 0.5).truncated(1 - gap, 1.0)
    width = 1 - (1 - gap)
    np.testing.assert_allclose(theory.std(dist), width * (1 / 5 - 1 / 9) ** 0.5, rtol=1e-8)
    np.testing.assert_allclose(theory.skewness(dist), -0.63887656499994, rtol=1e-8)
    np.testing.assert_allclose(theory.kurtosis(dist), -6 / 7, rtol=1e-7)
