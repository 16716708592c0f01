"""Fits by maximum likelihood, held against SciPy's and against their neighbours."""

import brainunit as u
import jax
import mpmath as mp
import numpy as np
import pytest
from scipy import stats

import braininit as init
from braininit import theory

RNG = np.random.default_rng(0)
X = RNG.gamma(2.5, 0.3, 2000)
Z = RNG.normal(1.0, 0.5, 2000)
Y = RNG.beta(2.0, 5.0, 2000)
CUT = Z[(Z > 0.75) & (Z < 2.0)]


def lognormal(**fixed):
    s, _, median = stats.lognorm.fit(X, floc=0, **fixed)
    mean = median * np.exp(s * s / 2)
    return {"mean": mean, "std": mean * np.sqrt(np.expm1(s * s))}


def named(names, values):
    return dict(zip(names, values, strict=True))


FITS = {
    "Normal": (init.Normal, Z, {}, named(["mean", "std"], stats.norm.fit(Z)), 1e-12),
    "LogNormal": (init.LogNormal, X, {}, lognormal(), 1e-12),
    "Exponential": (init.Exponential, X, {}, {"scale": stats.expon.fit(X, floc=0)[1]}, 1e-12),
    "Gamma": (init.Gamma, X, {}, named(["shape", "_", "scale"], stats.gamma.fit(X, floc=0)), 1e-9),
    "Gamma, shape": (init.Gamma, X, {"concentration": 2.0},
                     {"shape": 2.0, "scale": stats.gamma.fit(X, floc=0, fa=2)[2]}, 1e-9),
    "Gamma, scale": (init.Gamma, X, {"scale": 0.25},
                     {"shape": stats.gamma.fit(X, floc=0, fscale=0.25)[0]}, 1e-9),
    "Weibull": (init.Weibull, X, {},
                named(["shape", "_", "scale"], stats.weibull_min.fit(X, floc=0)), 1e-4),
    "Weibull, shape": (init.Weibull, X, {"shape": 1.5},
                       {"scale": stats.weibull_min.fit(X, floc=0, fc=1.5)[2]}, 1e-4),
    "Weibull, scale": (init.Weibull, X, {"scale": 0.75},
                       {"shape": stats.weibull_min.fit(X, floc=0, fscale=0.75)[0]}, 1e-4),
    "Beta": (init.Beta, Y, {},
             named(["alpha", "beta", "low", "_"], stats.beta.fit(Y, floc=0, fscale=1)), 1e-8),
    "Beta, alpha": (init.Beta, Y, {"alpha": 2.0},
                    {"beta": stats.beta.fit(Y, floc=0, fscale=1, fa=2)[1], "high": 1.0}, 1e-8),
    "Uniform": (init.Uniform, Z, {}, {"low": Z.min(), "high": Z.max()}, 1e-15),
    "Laplace": (init.Laplace, Z, {}, named(["loc", "scale"], stats.laplace.fit(Z)), 1e-12),
    "LogUniform": (init.LogUniform, X, {}, {"low": X.min(), "high": X.max()}, 1e-15),
    "VonMises": (init.VonMises, Z, {},
                 named(["concentration", "mean", "_"], stats.vonmises.fit(Z, fscale=1)), 1e-8),
    "TruncatedNormal": (init.TruncatedNormal, CUT, {"low": 0.75, "high": 2.0},
                        {"low": 0.75, "high": 2.0}, 1e-15),
    "TruncatedNormal, open": (init.TruncatedNormal, Z, {},
                              named(["mean", "std"], stats.norm.fit(Z)), 1e-9),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_against_scipy(name):
    cls, data, fixed, wanted, tolerance = FITS[name]
    found = init.fit(cls, data, **fixed)
    assert type(found) is cls
    for parameter, value in wanted.items():
        if parameter != "_":
            ours = getattr(found, parameter)
            np.testing.assert_allclose(ours, value, rtol=tolerance, err_msg=parameter)


FREE = {
    "Normal": (init.Normal, Z, {"mean": 0.75}, ["std"]),
    "LogNormal, mean": (init.LogNormal, X, {"mean": 0.5}, ["std"]),
    "LogNormal, std": (init.LogNormal, X, {"std": 0.25}, ["mean"]),
    "Gamma": (init.Gamma, X, {}, ["shape", "scale"]),
    "Weibull": (init.Weibull, X, {}, ["shape", "scale"]),
    "Weibull, scale": (init.Weibull, X, {"scale": 2.0}, ["shape"]),
    "Beta": (init.Beta, Y, {"beta": 3.0}, ["alpha"]),
    "Laplace": (init.Laplace, Z, {"loc": 0.0}, ["scale"]),
    "VonMises": (init.VonMises, Z, {"mean": 0.5}, ["concentration"]),
    "TruncatedNormal": (init.TruncatedNormal, CUT, {"low": 0.75, "high": 2.0}, ["mean", "std"]),
    "TruncatedNormal, mean": (init.TruncatedNormal, CUT, {"low": 0.75, "mean": 1.25}, ["std"]),
    "TruncatedNormal, std": (init.TruncatedNormal, CUT, {"high": 2.0, "std": 0.5}, ["mean"]),
}


@pytest.mark.parametrize("name", FREE)
def test_no_neighbour_is_more_likely(name):
    """A part in 10,000 to either side is less likely, by as much: the slope is 0."""
    cls, data, fixed, free = FREE[name]
    found = init.fit(cls, data, **fixed)
    given = {f: getattr(found, f) for f in cls.__dataclass_fields__ if f != "_"}
    assert given.items() >= fixed.items()

    def log_likelihood(**changed):
        return theory.log_pdf(cls(**{**given, **changed}), data).sum()

    best = log_likelihood()
    for parameter in free:
        below, above = (
            best - log_likelihood(**{parameter: given[parameter] * (1 + step)})
            for step in (-1e-4, 1e-4)
        )
        assert below > 0
        assert above > 0
        assert abs(below - above) < 0.02 * (below + above)


def test_units_come_back():
    data = np.array([0.3, 0.5, 0.9, 1.4])
    weights = init.fit(init.LogNormal, data * u.nS)
    plain = init.fit(init.LogNormal, data)
    assert weights.mean == plain.mean * u.nS
    assert weights.std == plain.std * u.nS
    half = init.fit(init.Gamma, data * u.nS, scale=500 * u.psiemens)
    assert half == init.fit(init.Gamma, data * u.nS, scale=0.5 * u.nS)
    bounded = init.fit(init.Beta, data * u.nS, low=0 * u.nS, high=2000 * u.psiemens)
    assert bounded.high == 2 * u.nS
    np.testing.assert_allclose(bounded.alpha, init.fit(init.Beta, data / 2).alpha, rtol=1e-12)
    cut = init.fit(init.TruncatedNormal, data * u.nS, low=0 * u.nS)
    np.testing.assert_allclose(theory.mean(cut) / u.nS, data.mean(), rtol=1e-9)
    drawn = init.Exponential(2 * u.ms)((40, 5), rng=1)
    assert init.fit(init.Exponential, drawn).scale.unit == u.ms


def test_equal_data_beside_a_known_mean():
    found = init.fit(init.TruncatedNormal, [3.0, 3.0], mean=1.0)
    np.testing.assert_allclose(found.std, 2, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_sizes_do_not_matter(scale):
    for cls in (init.Gamma, init.Weibull, init.LogNormal, init.Normal, init.Laplace):
        small, plain = init.fit(cls, X[:50] * scale), init.fit(cls, X[:50])
        for name in cls.__dataclass_fields__:
            factor = 1 if name == "shape" else scale
            np.testing.assert_allclose(
                getattr(small, name), getattr(plain, name) * factor, rtol=1e-10
            )


def test_sums_that_overflow():
    data = np.array([1.5e308, 1.6e308, 1.7e308])
    with jax.enable_x64(True):
        found, scale = init.fit(init.Normal, data), init.fit(init.Exponential, data).scale
    np.testing.assert_allclose([found.mean, scale], 1.6e308, rtol=1e-15)
    np.testing.assert_allclose(found.std, 1e307 * (2 / 3) ** 0.5)


def test_data_that_differ_in_the_last_digit():
    """Their mean is no float; the std is counted from it all the same."""
    data = np.array([1.0, np.nextafter(1.0, 2.0)])
    with jax.enable_x64(True):
        np.testing.assert_allclose(init.fit(init.Normal, data).std, 2.0**-53, rtol=1e-12)


def test_angles_of_many_turns():
    """What an angle of 1e15 less the mean rounds off is no small part of a turn."""
    data = np.array([0.5, 1.0, 1.75, 1e15])
    reduced = np.arctan2(np.sin(data), np.cos(data))
    many, few = init.fit(init.VonMises, data), init.fit(init.VonMises, reduced)
    np.testing.assert_allclose(many.concentration, few.concentration, rtol=1e-10)


def test_wide_data():
    """No warning where a ratio of two data rounds to 0."""
    for cls in (init.Gamma, init.Weibull, init.LogNormal):
        found = init.fit(cls, np.append(X, X.min() * 1e-30))
        assert theory.log_pdf(found, X).sum() > theory.log_pdf(init.Exponential(1e3), X).sum()


def test_narrow_data():
    np.testing.assert_allclose(
        init.fit(init.Gamma, 1 + 1e-6 * np.array([-1.0, 1.0])).shape, 1e12, rtol=1e-4
    )
    angles = init.fit(init.VonMises, 1 + 1e-6 * np.array([-1.0, 1.0]))
    np.testing.assert_allclose(angles.concentration, 1e12, rtol=1e-6)
    assert init.fit(init.VonMises, [0.0, np.pi, np.pi / 2, -np.pi / 2]).concentration < 1e-12


@pytest.mark.parametrize(
    "data",
    [0.5 + 1e-7 * np.array([0, 1]), 1e-3 + 1e-9 * np.array([0, 1, 4]), [0.01, 0.99, 0.01],
     [1e-30, 0.5], [0.25, 1 - 1e-15], [1e-12, 3e-12], np.repeat([0.1, 0.2], 50)],
)  # fmt: skip
def test_any_data_of_beta(data):
    """The two equations of the maximum, in 60 digits."""
    found = init.fit(init.Beta, data)
    with mp.workdps(60):
        alpha, beta, n = mp.mpf(found.alpha), mp.mpf(found.beta), len(data)
        exact = [mp.mpf(float(x)) for x in data]
        away = mp.psi(0, alpha) - mp.psi(0, alpha + beta) - sum(map(mp.log, exact)) / n
        rest = mp.psi(0, beta) - mp.psi(0, alpha + beta) - sum(mp.log(1 - x) for x in exact) / n
        a, b, both = (mp.psi(1, k) for k in (alpha, beta, alpha + beta))
        steps = mp.lu_solve(mp.matrix([[a - both, -both], [-both, b - both]]), [away, rest])
        assert abs(steps[0] / alpha) < 1e-7
        assert abs(steps[1] / beta) < 1e-7


@pytest.mark.parametrize(
    ("cls", "data", "fixed", "error", "text"),
    [
        (init.Gamma, [1.0, 2.0, 0.0], {}, ValueError, "must be above 0, got 0 at index 2"),
        (init.LogNormal, [1, -2] * u.nS, {}, ValueError, "must be above 0, got -2 nS at index 1"),
        (init.Exponential, [-1.0], {}, ValueError, "must be 0 or more, got -1"),
        (init.Beta, [0.5, 1.0], {}, ValueError, "must lie strictly between 0 and 1, got 1"),
        (init.Uniform, [1.0, 2.0], {"low": 1.5}, ValueError, "must lie between 1.5 and inf, got 1"),
        (init.Normal, [], {}, ValueError, "are empty"),
        (init.Normal, [1.0, np.nan], {}, ValueError, "must be finite, got nan at index 1"),
        (init.Normal, [1.0], {}, ValueError, "are all 1, which says nothing about the spread"),
        (init.Gamma, [2.0, 2.0], {}, ValueError, "give two numbers or more that differ"),
        (init.Orthogonal, [1.0, 2.0], {}, TypeError, "can't be fitted; these can: Normal,"),
        (init.Normal(), [1.0, 2.0], {}, TypeError, "must be a class such as init.LogNormal"),
        (init.normal, [1.0, 2.0], {}, TypeError, "must be a class such as init.LogNormal"),
        (init.Gamma, [1.0, 2.0], {"k": 2.0}, TypeError, "no parameter `k`; it has shape, scale"),
        (init.Gamma, [1.0, 2.0], {"shape": [1.0, 2.0]}, ValueError, "`shape` must be one number"),
        (init.Normal, [1.0, 2.0], {"mean": 1.0, "std": 1.0}, ValueError, "leave one to be fitted"),
        (init.LogNormal, [1, 2] * u.nS, {"std": 1 * u.mV}, init.UnitError, "differ in dimension"),
        (init.LogNormal, [1.0, 2.0], {"std": 1 * u.mV}, init.UnitError, "`data` have none"),
        (init.VonMises, [1, 2] * u.mV, {}, init.UnitError, "divide the unit away"),
        (init.Beta, [0.1, 0.2] * u.nS, {}, ValueError, "give low= and high= in nS"),
        (init.TruncatedNormal, X**3, {"low": 0.0}, ValueError, "Exponential or Uniform may fit"),
        (init.TruncatedNormal, [1.0, 2.0], {"low": 1.5}, ValueError, "must lie between 1.5"),
        (init.LogNormal, [1.0, 2.0], {"std": 0.0}, ValueError, "`std` = 0 leaves no spread"),
        (init.VonMises, [1.0, 1.0], {}, ValueError, "says nothing about the spread"),
        (init.VonMises, [0.3] * 50, {}, ValueError, "says nothing about the spread"),
        (init.Beta, [1e-300, 2e-300], {}, ValueError, "beyond the range of a float"),
        (init.Beta, [0.1, 0.2], {"alpha": 1.0, "beta": 1.0}, ValueError, "leave one to be fitted"),
        (init.TruncatedNormal, [1.0, 2.0], {"mean": 1.0, "std": 1.0}, ValueError, "leave one to"),
        (init.Normal, [1.0, 2.0], {"std": 0.0}, ValueError, "`std` = 0 leaves no spread"),
        (init.TruncatedNormal, [1.0, 2.0], {"std": 0.0}, ValueError, "`std` = 0 leaves no spread"),
        (init.LogNormal, [1, 2] * u.nS, {"mean": -1 * u.nS}, ValueError, "positive, got -1.* nS"),
        (init.Weibull, [1.0, 2.0], {"shape": 0.0}, ValueError, "`shape` must be positive, got 0"),
        (init.Gamma, [1.0, 2.0], {"scale": np.nan}, ValueError, "`scale` must be"),
        (init.LogNormal, [1e-30, 1.0, 1e30], {}, ValueError, "beyond the range of a float"),
        (init.Beta, [0.1, 0.2], {"low": 1.0, "high": 0.0}, ValueError, "low"),
    ],
)  # fmt: skip
def test_what_can_not_be_fitted(cls, data, fixed, error, text):
    with pytest.raises(error, match=text):
        init.fit(cls, data, **fixed)
