"""Laws that depend on the size, and the whole table: each row's law against its draws."""

import brainunit as u
import numpy as np
import pytest
from cases import CASES
from scipy import special, stats

import braininit as init
from braininit import theory

SIZES = {0: (1500,), 1: (1500,), 2: (50, 30), 3: (3, 25, 20)}
N = 12  # draws of that size


def tried(case, size):
    """The law of a row, and the draws it is to explain."""
    obj = case.make()
    law, _ = theory.lookup.find_law(obj, size)
    draws = np.concatenate([np.asarray(obj(size, rng=seed), float).ravel() for seed in range(N)])
    return law, draws


def disagreement(law, draws):
    """How far draws are from a law, in what happens once in a million: above 1 they don't agree.

    By the greatest difference of the distribution functions (Dvoretzky, Kiefer and Wolfowitz;
    Massart's constant), and by mean and variance in standard errors.
    """
    n = draws.size
    x, count = np.unique(draws, return_counts=True)
    share, bound = np.cumsum(count) / n, np.sqrt(np.log(2e6) / (2 * n))
    gap = max(abs(share - law.cdf(x)).max(), abs(share - count / n - law.below(x)).max())
    mean = abs(draws.mean() - law.mean) / (law.std / np.sqrt(n))
    spread = np.sqrt((law.kurtosis + 2) / n)
    square = abs(((draws - law.mean) ** 2).mean() / law.std**2 - 1) / spread
    return max(gap / bound, mean / 4.9, square / 4.9)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_row_has_a_law_or_says_estimate(case):
    size = SIZES[case.rank]
    if case.cls is init.Spectral:
        with pytest.raises(TypeError, match=r"no law of Spectral; .*estimate=100_000"):
            theory.mean(case.make(), size)
        return
    law, draws = tried(case, size)
    low, high = law.support
    slack = 1e-6 * max(abs(draws).max(), 1e-30)  # float32
    assert low - slack <= draws.min()
    assert draws.max() <= high + slack
    if law.std == 0:
        np.testing.assert_allclose(draws, float(law.mean))
    else:
        assert disagreement(law, draws) < 1
        if case.cls is not init.Dirac:  # few of its entries are not 0
            assert disagreement(law, draws + 0.1 * law.std) > 1
            assert disagreement(law, draws * 1.1) > 1


# ---------------------------------------------------------------- scaled by fan


@pytest.mark.parametrize(
    ("dist", "size", "variance"),
    [
        (init.KaimingNormal(), (64, 32), 2 / 64),
        (init.KaimingUniform(mode="fan_out", unit=u.nS), (64, 32), 2 / 32),
        (init.LecunNormal(distribution="normal"), (3, 3, 8, 16), 1 / 72),
        (init.XavierUniform(in_axis=1, out_axis=0), (16, 8, 3), 2 / (24 + 48)),
        (init.VarianceScaling(4 * u.nS**2, "fan_geo_avg"), (4, 16), 4 / 8),
        (init.LecunUniform(fan_in=50.0), None, 1 / 50),
        (init.LecunNormal(fan_in=50.0), (7,), 1 / 50),
    ],
    ids=lambda x: type(x).__name__,
)
def test_std_by_fan(dist, size, variance):
    np.testing.assert_allclose(u.get_mantissa(theory.std(dist, size)), variance**0.5, rtol=1e-13)
    assert abs(u.get_mantissa(theory.mean(dist, size))) < 1e-17
    assert u.get_unit(theory.std(dist, size)) == u.get_unit(dist((4, 4) if size else 4, rng=0))


def test_scaled_laws_in_expressions():
    weights = 0.5 + 3 * init.KaimingNormal()
    np.testing.assert_allclose(theory.std(weights, (8, 8)), 1.5)
    both = init.Mixture([init.LecunNormal(), init.Constant(0.0)], [0.25, 0.75])
    np.testing.assert_allclose(theory.std(both, (16, 4)), 0.125)
    assert theory.std(init.VarianceScaling(0.0), (4, 4)) == 0
    assert theory.std(init.VarianceScaling(0.0, distribution="uniform"), (4, 4)) == 0
    many = theory.std(init.LecunNormal(np.array([1.0, 4.0])), (4, 2))
    np.testing.assert_allclose(many, [0.5, 1.0])


@pytest.mark.parametrize(
    "dist",
    [
        *(init.KaimingNormal(), init.XavierNormal(fan_in=3.0), 2 * init.Orthogonal()),
        *(init.Identity(), init.Dirac(), init.DeltaOrthogonal()),
        *(init.Dale(init.Gamma(2.0), 80), init.Conditional(80, 0.0, 1.0)),
        init.Conditional(lambda i: i % 2 == 0, 0.0, 1.0),
        init.Conditional(0.5, init.Normal(np.zeros(3), 1.0), 1.0),
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_size_that_is_needed(dist):
    with pytest.raises(ValueError, match=r"depends on the size; give it, as in .*size=\(64, 32\)"):
        theory.std(dist)


# ---------------------------------------------------------------- matrices


def test_entries_of_orthogonal_matrices():
    """A coordinate of a point on a sphere of n dimensions."""
    dist, size = init.Orthogonal(3 * u.mV), (2, 3, 5)
    n, x = 6, np.array([-2.9, -1.0, 0.1, 2.0])
    density = special.gamma(n / 2) / special.gamma((n - 1) / 2) / np.sqrt(np.pi) / 3
    exact = density * (1 - (x / 3) ** 2) ** ((n - 3) / 2)
    np.testing.assert_allclose(theory.pdf(dist, x * u.mV, size) * u.mV, exact, rtol=1e-12)
    np.testing.assert_allclose(theory.std(dist, size) / u.mV, 3 / np.sqrt(n))
    batched = init.Orthogonal(batch_axis=0)
    np.testing.assert_allclose(theory.std(batched, (7, 3, 5)), 1 / np.sqrt(5))
    assert theory.ppf(init.Orthogonal(2.0), [0.2, 0.7], (1, 1)).tolist() == [-2, 2]
    wide = theory.kurtosis(init.Orthogonal(), (1000, 10))
    np.testing.assert_allclose(wide, -6 / 1002, rtol=1e-12)


def test_matrices_with_zeros():
    size = (8, 6)
    np.testing.assert_allclose(theory.mean(init.Identity(2.0), size), 2 * 6 / 48)
    assert theory.std(init.Identity(2.0), (8,)) == 0
    diagonal = theory.mean(init.Identity(np.array([1.0, 2.0])), (3, 2))
    assert diagonal.tolist() == [[1, 0], [0, 2], [0, 0]]
    drawn = np.asarray(init.Dirac(groups=2)((3, 2, 8)))
    np.testing.assert_allclose(theory.mean(init.Dirac(groups=2), drawn.shape), drawn.mean())
    np.testing.assert_allclose(theory.std(init.Dirac(groups=2), drawn.shape), drawn.std())
    kernel = init.DeltaOrthogonal()
    np.testing.assert_allclose(theory.std(kernel, (3, 3, 4, 16)), 1 / np.sqrt(9 * 16))
    sparse = init.Sparse(0.55, init.Normal(0 * u.nS, 1 * u.nS))
    np.testing.assert_allclose(theory.std(sparse) / u.nS, 0.45**0.5)
    np.testing.assert_allclose(theory.std(sparse, (10, 3)) / u.nS, 0.4**0.5)  # 6 of 10 are 0
    np.testing.assert_allclose(theory.cdf(sparse, [-1e-9, 0.0] * u.nS), [0.225, 0.775], rtol=1e-6)
    np.testing.assert_allclose(theory.std(init.Sparse(0.0), (4,)), 0.01)


def test_signs_by_dale():
    base = init.Gamma(2.0, 1 * u.nS)
    for dist, size, share in (
        (init.Dale(base), None, 0.8),
        (init.Dale(base, 0.5), (6, 3), 0.5),
        (init.Dale(base, 0.7), (9, 3), 6 / 9),
        (init.Dale(base, 3, axis=1), (9, 5), 3 / 5),
    ):
        gain = share / (1 - share)
        assert abs(theory.mean(dist, size) / u.nS) < 1e-14
        square = 6 * (share + (1 - share) * gain**2)
        np.testing.assert_allclose(theory.std(dist, size) / u.nS, square**0.5)
        np.testing.assert_allclose(theory.cdf(dist, 0 * u.nS, size), 1 - share)
    plain = init.Dale(init.Normal(0.0, 1.0), 0.75, balance=False)
    np.testing.assert_allclose(theory.sf(plain, 1.0), 0.75 * 2 * stats.norm.sf(1))
    np.testing.assert_allclose(theory.mean(init.Dale(base, 1.0, balance=False)) / u.nS, 2)


def test_conditionals():
    yes, no = init.Normal(1.0, 0.1), init.Constant(-1.0)
    for condition, size, share in (
        (0.8, None, 0.8),
        ([0.3, 0.7], None, 0.3),
        ([80, 20], None, 0.8),
        ([True, False, False], None, 1 / 3),
        (0.8, (3, 5), 12 / 15),
        (2, (3, 5), 2 / 3),
        (lambda i: i > 0, (3, 5), 2 / 3),
    ):
        axis = 0 if size and condition != 0.8 else None
        dist = init.Conditional(condition, yes, no, axis)
        np.testing.assert_allclose(theory.mean(dist, size), 2 * share - 1)
    many = init.Conditional([True, False, True], np.array([1.0, 2.0, 3.0]), init.Normal(5.0, 1.0))
    assert theory.mean(many, 3).tolist() == [1, 5, 3]
    assert theory.std(many, 3).tolist() == [0, 1, 0]


# ---------------------------------------------------------------- connected

WEIGHTS = init.LogNormal(0.5 * u.nS, 0.3 * u.nS)
OTHERS = {"self_connections": False}
PAIRS = np.array([[0.1, 0.5, 0.0], [1.0, 0.2, 0.3]])


@pytest.mark.parametrize(
    ("rule", "size", "edges"),
    [
        (0.1, None, stats.binom(1, 0.1)),
        (init.PairwiseBernoulli(0.1, **OTHERS), (30, 20), stats.binom(1, 0.1 * 29 / 30)),
        (init.PairwiseBernoulli(PAIRS), (2, 3), stats.binom(1, PAIRS)),
        (init.PairwisePoisson(2.5), None, stats.poisson(2.5)),
        (init.PairwisePoisson(3 * PAIRS), (2, 3), stats.poisson(3 * PAIRS)),
        (init.OneToOne(), (40, 30), stats.binom(1, 1 / 40)),
        (init.AllToAll(**OTHERS), (40, 30), stats.binom(1, 39 / 40)),
        (init.FixedInDegree(8), (80, 20), stats.binom(8, 1 / 80)),
        (init.FixedOutDegree(8, multiple=False), (80, 20), stats.binom(1, 8 / 20)),
        (init.FixedTotalNumber(300), (80, 20), stats.binom(300, 1 / 1600)),
        (init.SmallWorld(4, 0.2), (40, 40), stats.binom(1, 0.1)),
    ],
    ids=lambda x: str(x) if isinstance(x, (float, init.ConnectionRule)) else "",
)
def test_connected_is_a_mixture_over_numbers_of_edges(rule, size, edges):
    dist, (mean, square) = init.Connected(WEIGHTS, rule), (edges.mean(), edges.moment(2))
    np.testing.assert_allclose(theory.mean(dist, size) / u.nS, 0.5 * mean, rtol=1e-13)
    variance = square * (0.5**2 + 0.3**2) - (0.5 * mean) ** 2
    np.testing.assert_allclose(theory.std(dist, size) / u.nS, np.sqrt(variance), rtol=1e-12)
    np.testing.assert_allclose(theory.cdf(dist, 0 * u.nS, size), edges.pmf(0), rtol=1e-13)
    far = 1e3 * u.nS
    if np.all(edges.support()[1] == 1):
        tail = edges.pmf(1) * theory.sf(WEIGHTS, far)
        np.testing.assert_allclose(theory.sf(dist, far, size), tail, rtol=1e-12)


@pytest.mark.parametrize("degree", [init.FixedInDegree, init.FixedOutDegree, init.FixedTotalNumber])
@pytest.mark.parametrize("size", [(12, 30), (30, 12), (2, 5), (5, 2)])
def test_connected_to_others_several_times(degree, size):
    """Of neurons without a self-connection: the share of zeros among many draws."""
    dist = init.Connected(init.Constant(1.0), degree(9, **OTHERS))
    x = np.stack([np.asarray(dist(size, rng=seed)) for seed in range(300)])
    np.testing.assert_allclose(theory.mean(dist, size), x.mean(), rtol=1e-6)
    p, n = theory.cdf(dist, 0.0, size), x.size
    assert abs((x == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-12


def test_connected_without_a_law():
    with pytest.raises(ValueError, match="depends on the size"):
        theory.mean(init.Connected(WEIGHTS, init.FixedInDegree(8)))
    for rule, what in (
        (init.PairwiseBernoulli(init.GaussianProfile(1.0)), "Connected by distance"),
        (init.PairwisePoisson(3000.0), "more than 1000 edges"),
        (init.SmallWorld(4, 0.2, multiple=True), "Connected by SmallWorld"),
    ):
        with pytest.raises(TypeError, match=what):
            theory.mean(init.Connected(WEIGHTS, rule), (50, 50))
    with pytest.raises(ValueError, match="does not go with numbers of the shape"):
        theory.mean(init.Connected(WEIGHTS, init.PairwiseBernoulli(PAIRS)), (2, 2))
