"""The committed coefficients against a reference, at words and parameters that were not fitted.

Given its word a draw is a number, the quantile at u = (word + 1/2) 2^-bits, so this needs no
statistics: F(draw) has to be u, to the rounding of the draw.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy import special, stats

from braininit._jax import dtypes as _dtypes
from braininit._math import elementary as _elementary
from braininit._math import gamma as _gamma
from braininit._math import standard as _draws
from braininit._math import truncated as _truncated


def words(bits, n=4000):
    """Words across the range, with both tails down to the last bit; the same for all tests."""
    rng = np.random.default_rng(7)
    kind = np.dtype(f"uint{bits}")
    most = np.iinfo(kind).max
    inner = rng.integers(0, most, n, kind, endpoint=True)
    tail = np.unique((2.0 ** rng.uniform(0, bits - 1, n)).astype(kind))
    return np.concatenate([inner, tail, most - tail, np.array([0, most], kind)])


def uniform(word, dtype=np.longdouble):
    return (word.astype(dtype) + dtype(0.5)) / dtype(2) ** (8 * word.dtype.itemsize)


def gamma(word, a, **options):
    kind = jnp.float32 if word.dtype == np.uint32 else jnp.float64
    last = np.full_like(word, np.iinfo(word.dtype).max)
    return np.asarray(
        _gamma.gamma_variate(jnp.asarray(word), jnp.asarray(last), kind(a), kind(1)), np.float64
    )


# ---------------------------------------------------------------- elementary functions


def test_logarithm():
    x = np.random.default_rng(3).uniform(-126, 127, 100_000)
    x = np.concatenate([2.0**x, np.linspace(0.6, 1.6, 100_001)]).astype(np.float32)
    ours = jax.jit(_elementary.log)(x)
    np.testing.assert_allclose(ours, np.log(x.astype(np.float64)), rtol=2.5e-7)


def test_rounding_to_bfloat16():
    upper = np.arange(2**16, dtype=np.uint32)[:, None] << 16
    words = upper + np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    x = jnp.asarray(words.ravel().view(np.float32))
    ours, theirs = jax.jit(_dtypes._upper_half)(x), jax.jit(lambda x: x.astype(jnp.bfloat16))(x)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    number = ~np.isnan(theirs)
    ours, theirs = (np.asarray(y).view(np.uint16)[number] for y in (ours, theirs))
    np.testing.assert_array_equal(ours, theirs)
    slope = jax.jacfwd(lambda x: _dtypes.finish(x, np.dtype(jnp.bfloat16)))(jnp.float32(1.7))
    assert (slope, slope.dtype) == (1, jnp.bfloat16)


def test_sine():
    x = np.linspace(-1, 1, 200_002).astype(np.float32)
    ours = jax.jit(_elementary.sine)(x)
    np.testing.assert_allclose(ours, np.sin(np.pi / 2 * x.astype(np.float64)), rtol=2.5e-7)


@pytest.mark.parametrize("bits", [32, 64])
def test_powers_of_2(bits):
    """2^y - 1 to full relative precision where y is small, and no overflow on the way."""
    with jax.enable_x64(bits == 64):
        kind = np.dtype(f"float{bits}")
        eps, far = np.finfo(kind).eps, np.finfo(kind).maxexp - 3
        small = np.linspace(-0.5, 0.5, 20_001).astype(kind)
        rest, k = _elementary.exp2_digits(jnp.asarray(small), 7)
        exact = np.expm1(small.astype(np.longdouble) * np.log(np.longdouble(2)))
        assert set(np.unique(k)) == {7}
        np.testing.assert_allclose(rest, exact.astype(np.float64), rtol=2 * eps)
        # From the largest numbers to below the smallest, times a scale near the largest.
        y = np.linspace(-2.1 * far, 0, 20_001).astype(kind)
        ours = _elementary.times_exp2(kind.type(2.0**far), jnp.asarray(y))
        exact = np.exp2(far + y.astype(np.longdouble))
        tiny = exact < np.finfo(kind).tiny
        np.testing.assert_allclose(ours[~tiny], exact[~tiny].astype(np.float64), rtol=2 * eps)
        assert np.all(ours[tiny] <= np.finfo(kind).tiny)


# ---------------------------------------------------------------- gamma


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


def test_normal_quantile():
    """What gamma draws from, both tails to the last bit."""
    word = words(32)
    z = np.asarray(_gamma.normal_quantile(jnp.asarray(word)), np.float64)
    tail = uniform(np.minimum(word, ~word)).astype(np.float64)
    exact = np.where(word < ~word, 1, -1) * special.ndtri(tail)
    np.testing.assert_allclose(z, exact, rtol=5e-7)


def test_scaled_normal(monkeypatch):
    """What lognormal draws from: a radius and an angle, both to the last bit of their words."""
    word = words(32)
    other = np.random.default_rng(9).permutation(word)
    monkeypatch.setattr(_draws, "word_pairs", lambda *_: (jnp.asarray(word), jnp.asarray(other)))
    z = _draws.scaled_normal(jax.random.key(0), word.shape, np.dtype(np.float32), jnp.float32(3))
    u = ((word >> 1).astype(np.float64) + 0.5) / 2**31
    turn = (other.view(np.int32).astype(np.float64) + 0.5) / 2**31
    exact = 3 * np.sqrt(-2 * np.log(u)) * np.sin(np.pi / 2 * turn)
    # Near 1 u is rounded, to half of 2^-24: there the radius is small.
    moved = 3 * np.sqrt(-2 * np.log1p(-(2.0**-25)))
    np.testing.assert_allclose(z, exact, rtol=5e-7, atol=moved)
    small = u < 0.9
    np.testing.assert_allclose(z[small], exact[small], rtol=6e-7)


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
    extremes = np.array([0, 2**31, 2**32 - 1], np.uint32)
    for w in np.stack(np.meshgrid(*[extremes] * 4), -1).reshape(-1, 4):
        a, b = ([jnp.full(alpha.shape, v, jnp.uint32) for v in pair] for pair in (w[:2], w[2:]))
        x, rest = _gamma.beta_variate(tuple(a), tuple(b), jnp.asarray(alpha), jnp.asarray(beta))
        y, _ = _gamma.beta_variate(tuple(b), tuple(a), jnp.asarray(beta), jnp.asarray(alpha))
        assert not np.isnan(x).any()
        assert np.all((x >= 0) & (x <= 1))
        np.testing.assert_allclose(rest, y, rtol=3e-7, atol=1e-37)
        np.testing.assert_allclose(x + rest, 1, rtol=3e-7)


# ---------------------------------------------------------------- truncated normal, exponential


def mills(x):
    return mp.sqrt(mp.pi / 2) * mp.exp(x**2 / 2) * mp.erfc(x / mp.sqrt(2))


@pytest.mark.parametrize("x", [0.0, 0.37, 1.9, 6.1, 23.0, 310.0, 4e4, 7e11])
@pytest.mark.parametrize(("size", "bound"), [(4, 4e-7), (8, 1e-15)])
def test_mills_ratio(x, size, bound, x64):
    kind = np.dtype(f"float{8 * size}").type
    ours = _truncated._anchored(jnp.asarray(kind(x))).m
    with mp.workdps(40):
        assert abs(mp.mpf(float(ours)) / mills(mp.mpf(float(kind(x)))) - 1) <= bound


@pytest.mark.parametrize("alpha", [0.0, 0.03, 0.8, 2.6, 17.0, 5e3])
@pytest.mark.parametrize("d", [1e-6, 3e-3, 0.07, 0.9, 4.4])
@pytest.mark.parametrize(("size", "bound"), [(4, 1e-6), (8, 2e-15)])
def test_change_of_the_mills_ratio(alpha, d, size, bound, x64):
    """Relative precision for the smallest change, in what is gone and in what is left."""
    kind = np.dtype(f"float{8 * size}").type
    alpha, d = kind(alpha), kind(d)
    ours = _truncated._mills_parts(jnp.asarray(d), _truncated._anchored(jnp.asarray(alpha)))
    with mp.workdps(40):
        start, d = mp.mpf(float(alpha)), mp.mpf(float(d))
        left = mills(start + d) / mills(start)
        for part, exact in zip(ours, (1 - left, left), strict=True):
            assert abs(mp.mpf(float(part)) / exact - 1) <= bound


@pytest.mark.parametrize("low", [0.0, 0.3, 2.0, 5.5, 11.0, 30.0])
@pytest.mark.parametrize("bits", [32, 64])
def test_truncated_normal_tail(low, bits):
    """Survival beyond the draw is what its word says, as far out as words go."""
    with jax.enable_x64(bits == 64):
        kind = jnp.float32 if bits == 32 else jnp.float64
        word = words(bits, 300)
        x = _truncated.truncated_normal(
            jnp.asarray(word), kind(0), kind(1), kind(low), kind(np.inf)
        )
    x = np.asarray(x, np.float64)
    survival = np.exp(stats.norm.logsf(x) - stats.norm.logsf(low))
    expected = uniform(~word).astype(np.float64)
    # What half a step of the grid of x does to it, and the method's own error.
    step = np.spacing(np.asarray(x, kind)).astype(np.float64)
    allowed = expected * (step * (x + 1) + (1e-5, 1e-11)[bits == 64])
    assert np.all(np.abs(survival - expected) <= allowed + 1e-300)


@pytest.mark.parametrize("bits", [32, 64])
def test_exponential(bits):
    with jax.enable_x64(bits == 64):
        word = words(bits)
        x = np.asarray(_truncated.exponential(jnp.asarray(word)))
    tail = uniform(np.minimum(word, ~word))
    expected = np.where(word < ~word, -np.log1p(-tail), -np.log(tail))
    assert x.min() > 0
    np.testing.assert_allclose(x, expected.astype(np.float64), rtol=(3e-7, 6e-16)[bits == 64])
