"""Draws on a grid: the probability of each multiple, exactly."""

from __future__ import annotations

import brainunit as u
import jax
import numpy as np
import pytest
import scipy.stats

import braininit as init
from braininit import theory

DELAYS = {
    "excitatory": (1.5, 0.75, 1.54750, 0.70150, 0.009588),
    "inhibitory": (0.75, 0.375, 0.77720, 0.34867, 0.024587),
}


@pytest.mark.parametrize("name", DELAYS)
def test_the_published_delays_of_the_microcircuit(name):
    mean, std, on_grid, spread, first = DELAYS[name]
    delays = init.Normal(mean * u.ms, std * u.ms).truncated(low=0.05 * u.ms).on_grid(0.1 * u.ms)
    assert theory.mean(delays).to_decimal(u.ms) == pytest.approx(on_grid, abs=5e-6)
    assert theory.std(delays).to_decimal(u.ms) == pytest.approx(spread, abs=5e-6)
    assert theory.pmf(delays, 0.1 * u.ms) == pytest.approx(first, abs=5e-7)
    assert p_of(delays, 0.1 * u.ms, 10**6) > 1e-6


BASES = {
    "normal": init.Normal(0.3, 1.0),
    "exponential": init.Exponential(1.0),
    "clipped": init.Normal(0.0, 1.0).clip(-0.7, 1.2),
    "mixture": init.Mixture([init.Normal(), init.Gamma(2.0, 1.0)]),
}


@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "up"])
@pytest.mark.parametrize("base", BASES)
def test_the_probability_of_each_multiple(base, rounding):
    dist = BASES[base].on_grid(0.5, rounding)
    assert p_of(dist, 0.5, 400_000) > 1e-6
    k = np.arange(-200, 400) * 0.5
    p = theory.pmf(dist, k)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert theory.mean(dist) == pytest.approx((p * k).sum(), rel=1e-10)
    np.testing.assert_allclose(theory.cdf(dist, k), np.cumsum(p), atol=1e-12)
    for q in (0.01, 0.37, 0.9):
        assert theory.ppf(dist, q) == k[np.searchsorted(np.cumsum(p), q)]
    if rounding == "stochastic" and base != "clipped":
        assert theory.mean(dist) == pytest.approx(theory.mean(BASES[base]), rel=1e-9)


@pytest.mark.parametrize("step", [0.1, 0.3, 1.0, 2.5, 7.0])
@pytest.mark.parametrize(
    "base",
    [
        init.Poisson(3.5),
        init.Binomial(10, 0.3),
        init.UniformInt(-3, 9),
        1 - 0.5 * init.Poisson(3.5),
        init.Constant(0.26),
    ],
    ids=str,
)
def test_stochastic_rounding_of_whole_numbers(base, step):
    """A value goes to either neighbour in proportion, also where the law jumps within a step."""
    with jax.enable_x64(True):
        values, chances = np.arange(-60.0, 200.0) * 0.5, 1.0
        if isinstance(base, init.Constant):
            values = np.array([0.26])
        else:
            chances = theory.pmf(base, values)
        dist, k = base.on_grid(step, "stochastic"), np.arange(-400, 250)
        share = np.maximum(1 - abs(values / step - k[:, None]), 0)
        np.testing.assert_allclose(
            theory.pmf(dist, k * step), share @ np.broadcast_to(chances, values.shape), atol=1e-15
        )
        np.testing.assert_allclose(theory.mean(dist), theory.mean(base), rtol=1e-13)


def test_stochastic_rounding_where_a_density_bends():
    dist = init.Uniform(0.25, 0.875).on_grid(1.0, "stochastic")
    np.testing.assert_allclose(theory.pmf(dist, [0.0, 1.0, 2.0]), [7 / 16, 9 / 16, 0], rtol=1e-14)
    tail = theory.sf(init.Poisson(3.5).on_grid(0.3, "stochastic"), 60.0)
    exact = scipy.stats.poisson(3.5).sf(60)  # a whole number of steps
    np.testing.assert_allclose(tail, exact, rtol=1e-12)


def test_another_rounding_is_found():
    assert p_of(init.Normal().on_grid(0.5), 0.5, 400_000, init.Normal(0.02, 1.0)) < 1e-6


def p_of(dist, step, n, other=None):
    """The p-value of chi-square for the draws."""
    x, bare = (np.asarray(getattr(v, "mantissa", v)) for v in (dist(n, rng=5), step))
    k, seen = np.unique(np.round(x / bare).astype(int), return_counts=True)
    law = dist if other is None else other.on_grid(step)
    meant = theory.pmf(law, k * step) * n
    common = meant > 20
    rest = n - meant[common].sum()
    if rest < 1e-6:
        return scipy.stats.chisquare(seen[common], meant[common]).pvalue
    seen = [*seen[common], n - seen[common].sum()]
    return scipy.stats.chisquare(seen, [*meant[common], rest]).pvalue


def test_numbers_on_the_grid_stay():
    steps = np.arange(1, 2000, dtype=np.float32) * np.float32(0.1)
    for rounding in ("nearest", "up", "stochastic"):
        drawn = init.Constant(steps).on_grid(0.1, rounding)(steps.shape, rng=0)
        if rounding != "stochastic":
            np.testing.assert_allclose(drawn, steps, rtol=1e-6)
        assert (abs(drawn - steps) < 0.11).all()
    assert init.Constant(0.05 * u.ms).on_grid(0.1 * u.ms)(()) == np.float32(0.1) * u.ms


def test_derivatives():
    def drawn(mean, step):
        return init.Normal(mean, 1.0).on_grid(step)(1000, rng=0)

    by_mean, by_step = jax.jacfwd(drawn, (0, 1))(3.0, 0.5)
    assert not by_mean.any()
    np.testing.assert_array_equal(by_step, drawn(3.0, 0.5) / 0.5)  # which multiple it is


def test_units_dtypes_and_errors():
    delays = init.Exponential(2.0 * u.ms)
    w = delays.on_grid(100 * u.us)(1000, rng=0)
    assert w.unit == u.ms
    assert u.math.allclose(w, delays.on_grid(0.1 * u.ms)(1000, rng=0))
    half = jax.eval_shape(lambda: delays.on_grid(0.1 * u.ms)(10, rng=0, dtype="float16"))
    assert half.dtype == np.float16
    with pytest.raises(ValueError, match="`step` must be positive, got 0 ms"):
        delays.on_grid(0.0 * u.ms)
    with pytest.raises(init.UnitError):
        delays.on_grid(0.1 * u.nS)
    with pytest.raises(ValueError, match="did you mean 'nearest'"):
        delays.on_grid(0.1 * u.ms, "nearst")


def test_what_is_made_of_draws_on_a_grid_knows_its_points():
    grid = init.Normal(1.5, 0.75).on_grid(0.1)
    p = theory.pmf(grid, 0.3)
    made = [(2 * grid, 0.6, p), (grid + 1, 1.3, p), (1 / (grid + 7), 1 / 7.3, p)]
    made += [(init.Mixture([grid, init.Normal()]), 0.3, p / 2)]
    made += [((grid + 1).clip(0.0, 2.0), 2.0, theory.sf(grid, 0.95))]
    made += [(abs(grid), 0.3, p + theory.pmf(grid, -0.3))]
    for dist, x, chance in made:
        assert theory.pmf(dist, x) == pytest.approx(chance, rel=1e-9), dist
        assert theory.pmf(dist, np.float32(x)) == pytest.approx(chance, rel=1e-9), dist
    k = np.arange(-80, 120) * 0.1
    assert theory.mean(abs(grid)) == pytest.approx((abs(k) * theory.pmf(grid, k)).sum(), rel=1e-9)
    fine = init.Normal(1.5, 0.75).on_grid(1e-4)
    assert theory.pmf(2 * fine, 3.0) == theory.pmf(fine, 1.5) > 0
    with pytest.raises(TypeError, match="no law of single values"):  # rather than 0
        theory.pmf(abs(fine), 3.0)
