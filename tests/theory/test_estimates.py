"""Estimates by sampling, and their errors."""

import brainunit as u
import numpy as np
import pytest

import braininit as init
from braininit import theory

KNOWN = init.Gamma(2.0, 3 * u.mV)


@pytest.mark.parametrize(
    ("function", "x"),
    [
        *((f, ()) for f in (theory.mean, theory.std, theory.skewness, theory.kurtosis)),
        *((f, (4 * u.mV,)) for f in (theory.cdf, theory.sf)),
        *((f, (0.3,)) for f in (theory.ppf, theory.isf)),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_estimates_of_what_is_known(function, x):
    """Within 4.9 of their errors, which fall as the root of the number of draws."""
    exact = function(KNOWN, *x)
    few = function(KNOWN, *x, estimate=4000, rng=1)
    many = function(KNOWN, *x, estimate=64_000, rng=2)
    assert isinstance(few, theory.Estimate)
    assert u.get_unit(few.value) == u.get_unit(few.error) == u.get_unit(exact)
    for value, error in (few, many):
        assert abs(value - exact) < 4.9 * error
        assert abs(value + 12 * error - exact) > 4.9 * error
    assert 2 < few.error / many.error < 8


def test_the_error_of_a_mean_is_the_standard_error():
    _, error = theory.mean(KNOWN, estimate=100_000, rng=3)
    np.testing.assert_allclose(error / theory.std(KNOWN), 100_000**-0.5, rtol=0.5)


def test_matrices_are_drawn_whole():
    """Where all numbers of a draw are one, its size does not help."""
    same = init.Mixture([init.Constant(0.0), init.Constant(1.0)], axis=0)
    value, error = theory.mean(same, (1, 500), estimate=1000, rng=4)
    assert 0.05 < error < 0.12  # 0.5 / sqrt(40), not / sqrt(20000)
    assert abs(value - 0.5) < 4.9 * error
    spectral = init.Spectral(init.Normal(1.0, 1.0), norm=1.0)
    value, error = theory.std(spectral, (6, 6), estimate=1000, rng=5)
    assert 0.05 < value < 0.3
    assert 0 < error < 0.02


def test_arrays_and_units():
    dist = init.Normal(np.array([1.0, 5.0]) * u.nS, 1 * u.nS) | (lambda x: x**2)
    value, error = theory.mean(dist, estimate=20_000, rng=6)
    assert value.shape == error.shape == (2,)
    assert (abs(value - np.array([2, 26]) * u.nS**2) < 4.9 * error).all()
    share, error = theory.cdf(dist, [[4.0], [1e4]] * u.nS**2, estimate=20_000, rng=6)
    assert share.shape == error.shape == (2, 2)
    assert share[1].tolist() == [1, 1]
    assert (error >= 1 / 20_000).all()  # never seen is not impossible
    quantiles, _ = theory.ppf(dist, [0.1, 0.5], estimate=20_000, rng=6)
    assert quantiles.shape == (2, 2)
    assert quantiles.unit == u.nS**2


def test_functions_of_a_users():
    assert theory.mean(init.Normal(0.0, 1.0) | abs, estimate=1000, rng=0).value > 0
    value, _ = theory.std(lambda key, shape: np.arange(shape[0]) % 2, estimate=1000, rng=0)
    assert value == 0.5


def test_weights_that_depend_on_distance():
    """No law without the distances; with them an estimate, or the law at one distance."""
    profile, base = init.GaussianProfile(50 * u.um), init.Normal(0.5 * u.nS, 0.1 * u.nS)
    dist, distances = init.DistanceModulated(base, profile), np.full((8, 8), 30.0) * u.um
    for function in (theory.mean, theory.support, lambda d: theory.cdf(2 * d, 1 * u.nS)):
        with pytest.raises(TypeError, match=r"profile.weight_scaling\(distance\) \* base_dist"):
            function(dist)
    with pytest.raises(ValueError, match="`distances` are needed") as caught:
        theory.mean(dist, size=(8, 8), estimate=1000, rng=0)
    assert "lambda key, shape: dist(shape, rng=key, distances=...)" in " ".join(
        caught.value.__notes__
    )
    drawn = lambda key, shape: dist(shape, rng=key, distances=distances)  # noqa: E731
    value, error = theory.mean(drawn, (8, 8), estimate=4000, rng=1)
    assert abs(value - theory.mean(profile.weight_scaling(30 * u.um) * base)) < 4.9 * error


@pytest.mark.parametrize("bad", [10, 1e5, "many"])
def test_numbers_of_draws(bad):
    with pytest.raises((TypeError, ValueError), match="`estimate` must be"):
        theory.mean(KNOWN, estimate=bad, rng=0)


def test_the_same_rng_gives_the_same_estimate():
    once, twice = (theory.mean(KNOWN, estimate=2000, rng=7) for _ in range(2))
    assert once == twice


def test_joint_names_its_margins():
    both = init.Joint({"rate": init.Normal(0.0, 1.0), "delay": init.Exponential()}, correlation=0.5)
    with pytest.raises(TypeError, match=r"as in theory.mean\(dist.margins\['rate'\]\)"):
        theory.mean(both)
    assert theory.mean(both.margins["rate"]) == 0
    with pytest.raises(TypeError, match=r"draws of several, .*\['rate'\], estimate=100_000"):
        theory.mean(both, estimate=2000)
    one = theory.mean(lambda key, shape: both(key, shape)["delay"], estimate=100_000, rng=0)
    assert abs(one.value - 1) < 5 * one.error
