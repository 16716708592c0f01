"""Gamma and beta variates against a reference, at words and parameters that were not fitted.

Given its word a draw is a number, the quantile at u = (word + 1/2) 2^-bits, so this needs no
statistics: F(draw) has to be u, to the rounding of the draw.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from helpers import uniform, words
from scipy import special, stats

from braininit._math import gamma as _gamma


def gamma(word, a, **options):
    kind = jnp.float32 if word.dtype == np.uint32 else jnp.float64
    last = np.full_like(word, np.iinfo(word.dtype).max)
    return np.asarray(
        _gamma.gamma_variate(jnp.asarray(word), jnp.asarray(last), kind(a), kind(1)), np.float64
    )


@pytest.mark.parametrize("a", [1.0, 1.13, 1.9, 3.7, 9.3, 27.0, 61.0, 99.0])
def test_gamma(a):
    word = words(32)
    x, u = gamma(word, a), uniform(word).astype(np.float64)
    assert np.abs(special.gammainc(a, x) - u).max() <= 2.5e-7


@pytest.mark.parametrize("a", [130.0, 1.7e3, 2.3e4, 9e5, 4e7])
def test_gamma_large(a):
    """No worse than 1.5 times what rounding the draw to float32 does by itself."""
    word = words(32)
    x, u = gamma(word, a), uniform(word).astype(np.float64)
    step = np.spacing(x.astype(np.float32)).astype(np.float64)
    rounding = (stats.gamma.pdf(x, a) * step / 2).max()
    assert np.abs(special.gammainc(a, x) - u).max() <= 1.5 * rounding + 1.2e-7


@pytest.mark.parametrize("a", [1.0, 2.4, 17.0, 800.0])
def test_gamma_tails(a):
    word = words(32)
    x, u = gamma(word, a), uniform(word)
    low, high = u < 1e-3, u > 1 - 1e-3
    lower = special.gammainc(a, x[low]) / u[low].astype(float) - 1
    upper = special.gammaincc(a, x[high]) / (1 - u[high]).astype(float) - 1
    assert max(np.abs(lower).max(), np.abs(upper).max()) <= 4e-5


@pytest.mark.parametrize("a", [1.0, 1.6, 8.8, 330.0, 2e4])
def test_gamma_float64(a, x64):
    word = words(64)
    x, u = gamma(word, a), uniform(word).astype(np.float64)
    assert np.abs(special.gammainc(a, x) - u).max() <= 1e-11


@pytest.mark.parametrize("a", [1e-3, 0.05, 0.7])
def test_gamma_below_one_is_boosted(a):
    """X_a = X_(a+1) U^(1/a), through the logarithm, which does not underflow."""
    word = words(32, 500)
    other = np.random.default_rng(8).permutation(word)
    log = _gamma.log_gamma_variate(jnp.asarray(word), jnp.asarray(other), jnp.float32(a))
    whole = np.log(special.gammaincinv(a + 1, uniform(word).astype(np.float64)))
    u = ((other >> 1).astype(np.float64) + 0.5) / 2**31
    expected = whole + np.log(u) / a
    np.testing.assert_allclose(log, expected, rtol=1e-5, atol=3e-5)


def reference_slope(a, x):
    """-(dF/da)/f in 30 digits."""
    with mp.workdps(30):
        a, x = mp.mpf(float(a)), mp.mpf(float(x))
        side = (0, x) if x < a else (x, mp.inf)
        slope = mp.diff(lambda s: mp.gammainc(s, *side, regularized=True), a)
        slope = -slope if x < a else slope
        return float(slope * mp.exp(x - (a - 1) * mp.log(x) + mp.loggamma(a)))


@pytest.mark.parametrize("a", [1.0, 2.3, 12.0, 400.0])
@pytest.mark.parametrize("bits", [32, 64])
def test_gamma_derivative(a, bits):
    """At least as accurate as lax.random_gamma_grad, up to one rounding."""
    with jax.enable_x64(bits == 64):
        kind = jnp.float32 if bits == 32 else jnp.float64
        word = jnp.asarray(words(bits, 12))
        last = jnp.full_like(word, np.iinfo(word.dtype).max)
        x, slope = jax.jvp(
            lambda a: _gamma.gamma_variate(word, last, a, kind(1)), (kind(a),), (kind(1),)
        )
        theirs = jax.lax.random_gamma_grad(jnp.full(word.shape, a, kind), x)
        exact = np.array([reference_slope(a, v) for v in np.asarray(x)])
        ours, theirs = (np.abs(np.asarray(g) / exact - 1) for g in (slope, theirs))
        assert np.median(ours) <= 1.25 * np.median(theirs) + np.finfo(kind).eps
        assert ours.max() <= max(theirs.max(), (5e-6, 1e-12)[bits == 64])


def test_beta_is_symmetrical_and_never_nan():
    many = np.array([1e-38, 1e-6, 1e-3, 0.3, 1.0, 50.0, 1e8, 3e38], np.float32)
    alpha, beta = np.meshgrid(many, many)
    draw = jax.jit(_gamma.beta_variate)
    extremes = np.array([0, 2**31, 2**32 - 1], np.uint32)
    for w in np.stack(np.meshgrid(*[extremes] * 4), -1).reshape(-1, 4):
        a, b = ([jnp.full(alpha.shape, v, jnp.uint32) for v in pair] for pair in (w[:2], w[2:]))
        x, rest = draw(tuple(a), tuple(b), jnp.asarray(alpha), jnp.asarray(beta))
        y, _ = draw(tuple(b), tuple(a), jnp.asarray(beta), jnp.asarray(alpha))
        assert not np.isnan(x).any()
        assert np.all((x >= 0) & (x <= 1))
        np.testing.assert_allclose(rest, y, rtol=3e-7, atol=1e-37)
        np.testing.assert_allclose(x + rest, 1, rtol=3e-7)
