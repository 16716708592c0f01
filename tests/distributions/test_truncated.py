"""Distributions cut off at bounds: the law of the draws, whatever the shape and however far out."""

from __future__ import annotations

import functools
import math

import brainunit as u
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy import special

import braininit as init

INF = math.inf
N = 200_000
# A deviation that a right sampler exceeds once in 1e6 tests.
LIMIT = math.sqrt(math.log(2 / 1e-6) / (2 * N))

G, W, L, E = init.Gamma, init.Weibull, init.LogNormal, init.Exponential
B = init.Beta
SETS = [
    # In the body, at the mode, beside it.
    *(
        (G(2.0, 1.0), *w)
        for w in ((0.5, 5.0), (None, 1.0), (3.0, None), (1.0, 1.0001), (90.0, None))
    ),
    *((G(2.0, 1.0), *w) for w in ((100.0, None), (100.0, 101.0), (1e4, None), (None, 1e-6))),
    *((G(1e-3, 1.0), *w) for w in ((1e-30, 1.0), (None, 1e-20), (50.0, None), (1e-10, 1e-9))),
    *((G(0.3, 2.0), *w) for w in ((0.01, 0.5), (10.0, 12.0), (None, 1e-3))),
    *((G(1.0, 1e20), *w) for w in ((1e19, 3e20), (5e21, None))),
    *((G(40.0, 1e-20), *w) for w in ((3e-19, 4.5e-19), (1e-17, None), (None, 1e-20))),
    *((G(1e5, 1.0), *w) for w in ((99000.0, 101000.0), (1.2e5, None), (None, 5e4))),
    *((G(1e8, 1.0), *w) for w in ((1e8, None), (0.99e8, 1.0002e8), (1.01e8, None))),
    *((B(2.0, 5.0), *w) for w in ((0.1, 0.9), (0.999, None), (None, 1e-6), (0.3, 0.3001))),
    *((B(2.0, 1e6), *w) for w in ((1e-7, 1e-5), (1e-3, None), (0.5, 0.6))),
    *((B(1e-4, 1e-4), *w) for w in ((0.01, 0.99), (1e-30, 1e-3))),
    *((B(1e-3, 1e8), *w) for w in ((1e-12, 1e-8), (0.1, None))),
    *((B(0.5, 0.5, -1.0, 3.0), *w) for w in ((-0.5, 2.5), (None, 0.0))),
    *((B(1e4, 2e4), *w) for w in ((0.3, 0.34), (0.9, None), (None, 0.01))),
    (B(1e6, 1e6), 0.4, 0.6),
    (B(1e8, 1e-2), 0.5, 0.9999),
    *((W(2.0, 1.0), *w) for w in ((None, 1e-6), (0.5, 2.0), (10.0, None), (1e-3, 1.1e-3))),
    *((W(1e-3, 1.0), *w) for w in ((1e-20, 1e20), (1e-3, 1.0))),
    *((W(0.5, 1.0), *w) for w in ((0.1, 9.0), (300.0, None), (None, 1e-20))),
    *((W(1e4, 1.0), *w) for w in ((0.999, 1.0005), (None, 0.99), (1.0002, None))),
    *((L(1.0, 0.5), *w) for w in ((0.3, 4.0), (20.0, None), (None, 0.01), (1.0, 1.001))),
    *((L(1.0, 1e-5), *w) for w in ((1e-10, 2.0), (1.00002, None))),
    *((L(1.0, 1e6), *w) for w in ((1e-3, 1e3), (1e9, None))),
    *((E(2.0), *w) for w in ((1.0, 3.0), (100.0, None), (50.0, 50.01), (None, 1e-6))),
]
each = pytest.mark.parametrize(("base", "low", "high"), SETS, ids=lambda x: str(x))


def log_density(base, y):
    """Of y = log x, or of the log odds of x for a beta distribution, up to a constant."""
    match base:
        case init.Gamma():
            return base.shape * y - np.exp(y) / base.scale
        case init.Weibull() | init.Exponential():
            k = getattr(base, "shape", 1.0)
            return k * y - np.exp(k * (y - math.log(base.scale)))
        case init.LogNormal():
            variance = math.log1p((base.std / base.mean) ** 2)
            return -((y - math.log(base.mean) + variance / 2) ** 2) / (2 * variance)
        case init.Beta():
            return -base.alpha * np.logaddexp(0, -y) - base.beta * np.logaddexp(0, y)
    raise AssertionError(base)


def coordinate(base, x):
    """Where `log_density` is a smooth function of the number."""
    with np.errstate(divide="ignore"):
        if isinstance(base, init.Beta):
            return np.log(x - base.low) - np.log(base.high - x)
        return np.log(x)


def law(base, low, high, x):
    """The distribution function at sorted numbers, by integrals of the density between them."""
    nodes, weights = special.roots_legendre(8)
    ends = coordinate(base, np.array([low, high]))
    at = np.clip(coordinate(base, np.clip(x, low, high)), -1e300, 1e300)
    grid = [at[:: len(at) // 2000], at[-1:]]
    for end, edge, way in zip(ends, at[[0, -1]], (-1, 1), strict=True):
        # To the bound, or to where the density is nothing any more.
        if np.isfinite(end):
            grid.append(np.linspace(edge, end, 400))
        else:
            grid.append(edge + way * (at[-1] - at[0]) * np.geomspace(1e-4, 1e4, 400))
    grid = np.unique(np.concatenate(grid))
    grid = np.unique(np.concatenate([grid, np.linspace(grid[0], grid[-1], 4000)]))
    middle, half = (grid[1:] + grid[:-1]) / 2, np.diff(grid) / 2
    with np.errstate(over="ignore"):
        logs = log_density(base, middle[:, None] + half[:, None] * nodes)
    masses = half * (np.exp(logs - logs.max()) @ weights)
    return np.interp(at, grid, np.concatenate([[0.0], np.cumsum(masses)]) / masses.sum())


def distance(base, low, high, x, kind=np.float64):
    """Kolmogorov's distance from the law between the bounds, of draws rounded to a dtype."""
    start, end = (base.low, base.high) if isinstance(base, init.Beta) else (0.0, INF)
    low, high = start if low is None else low, end if high is None else high
    x = np.sort(np.asarray(x))
    step = np.maximum(np.spacing(np.abs(x)), np.finfo(kind).tiny).astype(np.float64)
    x = x.astype(np.float64)
    assert low <= x[0] <= x[-1] <= high
    rank = np.arange(len(x) + 1) / len(x)
    above, below = law(base, low, high, x + step), law(base, low, high, x - step)
    return max((rank[1:] - above).max(), (below - rank[:-1]).max())


def rounded(obj, kind):
    """The object as the drawing dtype has its parameters."""
    values = {f: getattr(obj, f) for f in obj.__dataclass_fields__}
    return type(obj)(**{n: float(kind(v)) for n, v in values.items()})


@functools.cache
def key(n=7):
    return jax.random.clone(jax.random.key(n))


@each
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_draws_follow_the_law(base, low, high, kind):
    with jax.enable_x64(kind is np.float64):
        x = init.Truncated(base, low, high)(jax.random.key(7), (N,), kind)
    low, high = (b if b is None else float(kind(b)) for b in (low, high))
    assert distance(rounded(base, kind), low, high, x, kind) < LIMIT


def test_the_law_is_mpmaths():
    """The oracle above against incomplete functions of high precision."""
    mp.mp.dps = 30
    x = np.geomspace(90, 130, 30)
    tail = [float(1 - mp.gammainc(2, t) / mp.gammainc(2, 90)) for t in x]
    dense = np.sort(np.concatenate([x, np.geomspace(90, 130, 4000)]))
    ours = np.interp(x, dense, law(G(2.0, 1.0), 90.0, INF, dense))
    np.testing.assert_allclose(ours, tail, atol=1e-6)
    x = np.linspace(0.05, 0.95, 30)
    part = [float(mp.betainc(0.3, 2, 0.01, t) / mp.betainc(0.3, 2, 0.01, 0.99)) for t in x]
    dense = np.sort(np.concatenate([x, np.linspace(0.01, 0.99, 4000)]))
    ours = np.interp(x, dense, law(B(0.3, 2.0), 0.01, 0.99, dense))
    np.testing.assert_allclose(ours, part, atol=1e-6)


def test_the_law_sees_a_bound_that_moved():
    x = init.Truncated(G(2.0, 1.0), 90.0)(jax.random.key(7), (N,))
    assert distance(G(2.0, 1.0), 89.98, None, x) > LIMIT


@pytest.mark.parametrize(
    ("base", "low", "high"),
    [
        (G(2.0, 1.0), 0.5, 5.0),
        (G(0.1, 1.0), 0.0, INF),
        (B(2.0, 1e6), 1e-7, 1e-5),
        (B(0.5, 0.5, -1.0, 3.0), -1.0, 2.0),
    ],
    ids=str,
)
def test_numbers_arrays_and_traced_numbers_give_the_same(base, low, high):
    """The table, made beforehand or in the program, against every draw by itself."""
    small = 1e-6 if low < 0 else 1e-30
    shape, key = (64, 128), jax.random.key(3)
    known = np.asarray(init.Truncated(base, low, high)(key, shape))
    fields = [getattr(base, f) for f in base.__dataclass_fields__]

    def draw(*parameters):
        *own, low, high = parameters
        return init.Truncated(type(base)(*own), low, high)(jax.random.clone(key), shape)

    parameters = (*fields, low, high)
    traced = jax.jit(draw)(*parameters)
    arrays = jax.jit(draw)(*(jnp.full((1, 128), p, jnp.float32) for p in parameters))
    np.testing.assert_allclose(traced, known, rtol=2e-5, atol=small)
    np.testing.assert_allclose(arrays, known, rtol=2e-5, atol=small)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn"])
def test_small_dtypes_are_rounded_inward(dtype):
    x = init.Truncated(G(2.0, 1.0), 0.3, 2.7)(jax.random.key(0), (5000,), jnp.dtype(dtype))
    x = np.asarray(x, np.float64)
    assert 0.3 <= x.min() < 0.4 < 2.4 < x.max() <= 2.7


def test_a_truncated_normal_is_the_truncated_normal():
    normal = init.Normal(0.5 * u.nS, 0.1 * u.nS)
    a = init.Truncated(normal, 0.3 * u.nS, 6e-4 * u.uS)(jax.random.key(5), 100)
    b = init.TruncatedNormal(0.5 * u.nS, 0.1 * u.nS, 0.3 * u.nS, 0.6 * u.nS)
    np.testing.assert_array_equal(a.mantissa, b(jax.random.key(5), 100).mantissa)
    assert a.unit == u.nS


@pytest.mark.parametrize("base", [G, B, W, L], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("size", [50, 5000])
def test_a_bad_traced_parameter_makes_every_draw_nan(base, size):
    def draw(k, low):
        return init.Truncated(base(k, 1.0), low, 0.9)(jax.random.key(0), (size,))

    for bad in ((math.nan, 0.1), (-1.0, 0.1), (2.0, math.nan), (2.0, 0.95)):
        assert np.isnan(jax.jit(draw)(*bad)).all(), bad


@pytest.mark.parametrize(
    "make",
    [
        lambda: init.TruncatedNormal(0.0, 1.0, 1e-50, 1e-48),
        lambda: init.TruncatedNormal(0.0, 1.0, [0.0, 1.0], [1.0, 1.0 + 1e-9]),
        lambda: init.Truncated(G(2.0, 1.0), 1.0, 1.0 + 1e-9),
        lambda: init.Truncated(G(2.0, 1.0), None, 1e-39),
        lambda: init.Truncated(E(1.0), None, 1e-44),
        lambda: init.Truncated(B(2.0, 3.0), 1.0 - 1e-9),
        lambda: init.Truncated(init.Uniform(0.0, 2.0), 1.0, 1.0 + 1e-9),
        lambda: init.Truncated(G(2.0, 1.0), None, 1e-9)(3, rng=0, dtype=np.float16),
    ],
)
def test_bounds_between_which_the_dtype_has_no_room(make):
    with pytest.raises(ValueError, match=r"no value of float(32|16) lies between `low` = "):
        make()


# ---------------------------------------------------------------- a distribution of one's own


def laplace(key, shape, loc=0.0, scale=1.0, *, dtype=None):
    return loc + scale * jax.random.laplace(key, shape, dtype)


def laplace_cdf(x, loc, scale):
    tail = jnp.exp(-jnp.abs(x - loc) / scale) / 2
    return jnp.where(x < loc, tail, 1 - tail)


def laplace_quantile(p, loc, scale):
    return loc - scale * jnp.sign(p - 0.5) * jnp.log1p(-2 * jnp.abs(p - 0.5))


class Laplace(init.Initialization, function=laplace, cdf=laplace_cdf, quantile=laplace_quantile):
    loc: init.QuantityLike = 0.0
    scale: init.QuantityLike = 1.0


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (None, 0.5), (1.0, None)])
def test_a_distribution_of_ones_own(low, high):
    x = init.Truncated(
        Laplace(0.0 * u.mV, 1.0 * u.mV),
        None if low is None else low * u.mV,
        None if high is None else high * 1e-3 * u.volt,
    )(jax.random.key(7), (N,))
    assert x.unit == u.mV
    x = np.sort(np.asarray(x.mantissa, np.float64))
    ends = [-INF if low is None else low, INF if high is None else high]
    below, above = np.asarray(laplace_cdf(np.array(ends), 0.0, 1.0), np.float64)
    expected = (np.asarray(laplace_cdf(x, 0.0, 1.0), np.float64) - below) / (above - below)
    assert np.abs(expected - (np.arange(N) + 0.5) / N).max() < LIMIT


def test_a_distribution_of_ones_own_has_derivatives():
    def draw(loc, low):
        return init.Truncated(Laplace(loc, 1.0), low, 2.0)(jax.random.key(7), (20,))

    slopes = jax.jacfwd(draw, argnums=(0, 1))(0.25, -1.0)
    for i, slope in enumerate(slopes):
        step = np.eye(2)[i] * 1e-2
        up, down = draw(*(np.array([0.25, -1.0]) + step)), draw(*(np.array([0.25, -1.0]) - step))
        np.testing.assert_allclose(slope, (up - down) / 2e-2, rtol=1e-2, atol=1e-3)


def test_both_functions_are_named_or_neither():
    with pytest.raises(TypeError, match="both `cdf` and `quantile`"):

        class Half(init.Initialization, function=laplace, cdf=laplace_cdf):
            loc: init.QuantityLike = 0.0
            scale: init.QuantityLike = 1.0


# ---------------------------------------------------------------- errors

NS = init.Normal(0.5 * u.nS, 0.1 * u.nS)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: init.Truncated(E(1.0), high=-1.0), ValueError, "`low of base`"),
        (lambda: init.Truncated(init.Uniform(), 2.0), ValueError, "`high of base`, got low = 2"),
        (lambda: init.Truncated(init.Constant(1.0), 0.0), TypeError, "got Constant.*`cdf`"),
        (lambda: init.Truncated(NS * 2, 0 * u.nS), TypeError, "got Combined"),
        (lambda: init.Truncated(NS, 1 * u.mV), init.UnitError, "`low`.*mV.*nS"),
        (lambda: init.Truncated(NS, 0.2), init.UnitError, "`low`.*bare number"),
    ],
)
def test_errors_of_truncation(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("twice", "once"),
    [
        (init.Normal().truncated(-1, 1).truncated(0), init.Normal().truncated(0, 1)),
        (init.Poisson(3.0).truncated(1, 8).truncated(None, 5), init.Poisson(3.0).truncated(1, 5)),
        (
            init.Normal(0 * u.mV, 1 * u.mV)
            .truncated(-1 * u.mV)
            .truncated(-0.5e-3 * u.volt, 1 * u.mV),
            init.Normal(0 * u.mV, 1 * u.mV).truncated(-0.5 * u.mV, 1 * u.mV),
        ),
        (
            init.Gamma(2.0).truncated(np.array([0.1, 2.0])).truncated(1.0, 3.0),
            init.Gamma(2.0).truncated(np.array([1.0, 2.0]), 3.0),
        ),
    ],
)
def test_truncated_twice(twice, once):
    x, y = (dist(jax.random.key(0), (100, 2)) for dist in (twice, once))
    assert u.get_unit(x) == u.get_unit(y)
    np.testing.assert_allclose(u.get_mantissa(x), u.get_mantissa(y), rtol=1e-6)
    np.testing.assert_allclose(init.theory.mean(twice) / init.theory.mean(once), 1, rtol=1e-9)
