"""Do the draws have the distribution they claim? Against SciPy, at a false-alarm rate of 1e-6.

Every test is two-sided, uses fixed keys, and takes enough draws to see its defect;
`test_the_tests_see_a_broken_sampler` checks the tests themselves.
"""

from __future__ import annotations

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import DRAWN, NARROW, RANDOM, Truncnorm
from helpers import quick_jit
from scipy import special, stats

import braininit as init
from braininit._jax.dtypes import _step

RATE = 1e-6
KS = np.sqrt(-np.log(RATE / 2) / 2)  # a right sampler's distance times sqrt(n) exceeds it
Z = stats.norm.isf(RATE / 2)  # with probability RATE; the same for a normal statistic

LOW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
INSTANCES = [
    pytest.param(case, params, id=f"{case}-{i}")
    for case in DRAWN
    for i, params in enumerate((case.given, *case.corners))
]


def whole_distance(x, cdf):
    """Return the Kolmogorov-Smirnov distance between whole numbers and a distribution."""
    values, counts = np.unique(np.asarray(x, np.float64), return_counts=True)
    share = counts / counts.sum()
    reached = np.cumsum(share)
    above, below = abs(reached - cdf(values)), abs(reached - share - cdf(values - 1))
    return max(above.max(), below.max())


def distance(x, cdf):
    """Return the Kolmogorov-Smirnov distance between draws on a dtype's grid and a distribution.

    A draw stands for all numbers that round to it, so the empirical function is compared
    with F half a step below and half a step above each value. That makes the test exact
    for 16-bit floats. The outermost value of a support stands for all beyond it.
    """
    values, counts = np.unique(np.asarray(x), return_counts=True)
    share = counts / counts.sum()
    reached, at = np.cumsum(share), values.astype(np.float64)

    def at_edge(way, last, beyond):
        step = _step(np, values, way).astype(np.float64)
        step = np.where(np.isfinite(step), step, at)
        middle = (at + step) / 2
        if values.dtype.itemsize >= 4:  # XLA flushes subnormal numbers
            middle = np.where((at == 0) | (step == 0), at + step, middle)
        edge = np.asarray(cdf(middle), np.float64)
        if cdf(step[last]) == beyond:
            edge[last] = beyond
        return edge

    above = np.abs(reached - at_edge(1, -1, 1.0))
    below = np.abs(reached - share - at_edge(-1, 0, 0.0))
    return max(above.max(), below.max())


def moments_agree(x, oracle):
    """True if mean and variance lie within Z standard errors of the truth."""
    mean, variance, _, excess = (float(m) for m in oracle.stats(moments="mvsk"))
    x = np.asarray(x, np.float64) / np.sqrt(variance) - mean / np.sqrt(variance)
    n = x.size
    error = Z / np.sqrt(n)
    # The variance's standard error grows with the kurtosis; skip heavy tails.
    ok = abs(x.mean()) < error
    if np.isfinite(excess) and excess < 50:
        ok &= abs((x**2).mean() - 1) < error * np.sqrt(excess + 2) + 1e-6
    return bool(ok)


def holds(x, oracle):
    whole = isinstance(getattr(oracle, "dist", None), stats.rv_discrete)
    measure = whole_distance if whole else distance
    return measure(x, oracle.cdf) < KS / np.sqrt(x.size)


# ---------------------------------------------------------------- every distribution


@pytest.mark.parametrize(("case", "params"), INSTANCES)
@pytest.mark.parametrize("n", [20_000, pytest.param(1_000_000, marks=pytest.mark.heavy)], ids=str)
def test_distribution(case, params, n):
    x = case.cls(**params)(n, rng=101)
    oracle = case.oracle(**params)
    low, high = case.support(**params)
    assert float(x.min()) >= np.float32(low)
    assert float(x.max()) <= np.float32(high)
    assert holds(x, oracle)
    if case.cls is not init.TruncatedNormal:  # SciPy's moments lose digits in its tails
        assert moments_agree(x, oracle)


@pytest.mark.parametrize(("case", "params"), INSTANCES)
def test_distribution_x64(case, params, x64):
    x = case.cls(**params)(100_000, rng=102)
    assert x.dtype == jnp.float64
    assert holds(x, case.oracle(**params))


@pytest.mark.parametrize("case", DRAWN, ids=str)
@pytest.mark.parametrize("n", [50_000, pytest.param(1_000_000, marks=pytest.mark.heavy)], ids=str)
def test_low_precision(case, n):
    """Draws are float32 rounded once, so right to half a step of the grid."""
    obj, oracle = case.make(), case.oracle(**case.given)
    draws = quick_jit(lambda: [obj(n, rng=103, dtype=jnp.dtype(dtype)) for dtype in LOW])()
    for dtype, x in zip(LOW, draws, strict=True):
        assert x.dtype == dtype
        assert holds(x, oracle), dtype


@pytest.mark.parametrize("unit", [1, u.nS], ids=str)
def test_std_zero_is_the_mean(unit):
    for obj, expected in (
        (init.Normal(0.5 * unit, 0), 0.5),
        (init.LogNormal(0.5 * unit, 0), 0.5),
        (init.TruncatedNormal(0.5 * unit, 0, 0.1 * unit, 1 * unit), 0.5),
        (init.TruncatedNormal(3 * unit, 0, 0.1 * unit, 1 * unit), 1.0),  # the nearest bound
        (init.TruncatedNormal(-3 * unit, 0, 0.25 * unit), 0.25),
    ):
        x = obj(100, rng=0)
        np.testing.assert_array_equal(u.get_mantissa(x), np.full(100, expected, np.float32))


@pytest.mark.heavy
@pytest.mark.parametrize("concentration", [0.3, 0.9])
def test_gamma_below_one(concentration):
    """Chi-square at 1e8 draws, which sees an error of 1 in 500 in a bin of 1 %."""
    n, chunk = 100_000_000, 5_000_000
    oracle = stats.gamma(concentration)
    tails = 10.0 ** np.arange(-6, -1.5, 0.5)
    quantiles = np.concatenate([oracle.ppf(tails), oracle.ppf(np.linspace(0.05, 0.95, 46))])
    edges = np.concatenate([quantiles, oracle.isf(tails[::-1])]).astype(np.float32)
    below, above = (f(edges.astype(np.float64)) for f in (oracle.cdf, oracle.sf))
    share = np.where(below[1:] < 0.5, np.diff(below), -np.diff(above))
    share = np.concatenate([below[:1], share, above[-1:]])
    counts = np.zeros(share.size)
    for key in jax.random.split(jax.random.key(8), n // chunk):
        x = np.asarray(init.gamma(key, (chunk,), concentration))
        counts += np.bincount(np.searchsorted(edges, x, side="right"), minlength=share.size)
    statistic = np.sum((counts - n * share) ** 2 / (n * share))
    assert stats.chi2.sf(statistic, share.size - 1) > RATE


# ---------------------------------------------------------------- truncated tails


@pytest.mark.parametrize(("low", "high"), NARROW, ids=str)
@pytest.mark.parametrize("double", [False, pytest.param(True, marks=pytest.mark.heavy)])
def test_truncated_normal(low, high, double):
    """KS at 1e6 draws; no draw beyond a bound, and on it no more than its cell holds."""
    n = 1_000_000
    with jax.enable_x64(double):
        x = np.asarray(init.TruncatedNormal(0.0, 1.0, low, high)(n, rng=7))
    assert x.dtype == (np.float64 if double else np.float32)
    assert x.min() >= low
    assert x.max() <= high
    oracle = Truncnorm(0.0, 1.0, low, high)
    assert distance(x, oracle.cdf) < KS / np.sqrt(n)
    for bound, way in ((low, 1), (high, -1)):
        if np.isfinite(bound):
            count = np.sum(x == np.asarray(bound, x.dtype))
            step = _step(np, np.asarray(bound, x.dtype), way).astype(np.float64)
            cell = abs(oracle.cdf((bound + step) / 2) - oracle.cdf(bound))
            assert count <= n * cell + Z * np.sqrt(n * cell + 1) + 1


def test_truncated_normal_far_out():
    """At 1000 std a float32 step holds 6 % of the mass: every cell is right."""
    x = init.TruncatedNormal(0.0, 1.0, 1000.0)(100_000, rng=3)
    oracle = Truncnorm(0.0, 1.0, 1000.0)
    assert holds(x, oracle)


# ---------------------------------------------------------------- independence


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_draws_of_neighbours_and_of_split_keys_are_uncorrelated(case):
    n = 100_000
    oracle = case.oracle(**case.given)

    def normal_scores(k):
        p = oracle.cdf(np.asarray(case.make()(k, (n,))))
        scores = special.ndtri(np.clip(p, 1e-9, 1 - 1e-9))
        return (scores - scores.mean()) / scores.std()  # whole numbers have scores above 0

    first, second = (normal_scores(k) for k in jax.random.split(jax.random.key(5)))
    for a, b in ((first, second), (first[1:], first[:-1]), (first[: n // 2], first[n // 2 :])):
        assert abs(np.mean(a * b)) < Z / np.sqrt(len(a))


def test_beta_is_symmetrical():
    """Beta(a, b) and 1 - Beta(b, a) have the same distribution, at both ends."""
    a = np.asarray(init.Beta(0.3, 2.0)(200_000, rng=1), np.float64)
    b = 1 - np.asarray(init.Beta(2.0, 0.3)(200_000, rng=2), np.float64)
    coarse = [np.maximum(x, 1e-5) for x in (a, b)]  # float32 near 1 has steps of 6e-8
    assert stats.ks_2samp(*coarse).pvalue > RATE


# ---------------------------------------------------------------- the tests themselves


@pytest.mark.parametrize(
    "broken",
    [
        lambda k, n: 0.5 + 0.15 * 1.02 * jax.random.normal(k, (n,)),
        lambda k, n: 0.502 + 0.15 * jax.random.normal(k, (n,)),
        lambda k, n: jnp.clip(0.5 + 0.15 * jax.random.normal(k, (n,)), 0.2, 0.8),
        lambda k, n: 0.5 + jnp.bfloat16(0.15) * jax.random.normal(k, (n,), jnp.bfloat16),
        lambda k, n: 0.5 + 0.15 * jax.random.t(k, 30.0, (n,)),
    ],
    ids=["wide", "shifted", "clipped", "128 values", "heavy tail"],
)
def test_the_tests_see_a_broken_sampler(broken):
    oracle = stats.norm(0.5, 0.15)
    x = np.asarray(broken(jax.random.key(0), 1_000_000))
    assert not (holds(x, oracle) and moments_agree(x, oracle))
    good = np.asarray(0.5 + 0.15 * jax.random.normal(jax.random.key(1), (1_000_000,)))
    assert holds(good, oracle)
    assert moments_agree(good, oracle)


def test_the_tests_see_a_broken_tail():
    for low, high in ((5.0, 6.0), (6.0, 9.0), (-40.0, -39.99)):
        x = np.asarray(jax.random.truncated_normal(jax.random.key(0), low, high, (100_000,)))
        assert not holds(x, Truncnorm(0.0, 1.0, low, high))
