"""Elementary functions and normal quantiles, to the last bits."""

from __future__ import annotations

import platform

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest
from helpers import key_of_words, uniform, words
from scipy import special

import braininit as init
from braininit._engine.cpu import erf_inv as _erf_inv
from braininit._math import elementary as _elementary
from braininit._math import gamma as _gamma


def test_logarithm():
    x = np.random.default_rng(3).uniform(-126, 127, 100_000)
    x = np.concatenate([2.0**x, np.linspace(0.6, 1.6, 100_001)]).astype(np.float32)
    ours = jax.jit(_elementary.log)(x)
    np.testing.assert_allclose(ours, np.log(x.astype(np.float64)), rtol=2.5e-7)


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


# ---------------------------------------------------------------- normals


def test_normal_quantile():
    """What gamma draws from, both tails to the last bit."""
    word = words(32)
    z = np.asarray(_gamma.normal_quantile(jnp.asarray(word)), np.float64)
    tail = uniform(np.minimum(word, ~word)).astype(np.float64)
    exact = np.where(word < ~word, 1, -1) * special.ndtri(tail)
    np.testing.assert_allclose(z, exact, rtol=5e-7)


def test_the_normals_of_lognormal():
    """A radius and an angle, both to the last bit of their words."""
    word = words(32)
    other = np.random.default_rng(9).permutation(word)
    sigma = 2.0  # of a lognormal whose logarithm has the mean 0
    mean, ratio = np.exp(sigma**2 / 2), np.sqrt(np.expm1(sigma**2))
    x = init.lognormal(key_of_words(word, other), word.shape, mean, mean * ratio)
    z = np.log(np.asarray(x, np.float64)) / sigma
    u = ((word >> 1).astype(np.float64) + 0.5) / 2**31
    turn = (other.view(np.int32).astype(np.float64) + 0.5) / 2**31
    exact = np.sqrt(-2 * np.log(u)) * np.sin(np.pi / 2 * turn)
    # Near 1 u is rounded, to half of 2^-24: there the radius is small.
    moved = np.sqrt(-2 * np.log1p(-(2.0**-25)))
    np.testing.assert_allclose(z, exact, rtol=6e-7, atol=moved)
    small = u < 0.9
    np.testing.assert_allclose(z[small], exact[small], rtol=6e-7, atol=3e-7)


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not jaxlib.__version__.startswith("0.10."),
    reason="here it is lax.erf_inv itself",
)
def test_the_inverse_error_function_is_xla_s():
    """Of every number a uniform draw can be, bit for bit."""
    low = np.nextafter(np.float32(-1), np.float32(0))
    unit = jnp.arange(2**23, dtype=jnp.float32) * 2.0**-23
    u = unit * (np.float32(1) - low) + low  # as jax.random.normal makes it
    theirs = jax.jit(jax.lax.erf_inv)(u)
    np.testing.assert_array_equal(jax.jit(_erf_inv.written_out)(u), theirs)
    inner = abs(u) < 0.9965
    np.testing.assert_array_equal(jax.jit(_erf_inv.central_erf_inv)(u)[inner], theirs[inner])
