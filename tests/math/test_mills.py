"""Mills' ratio, and the truncated normals and exponentials that rest on it, against mpmath.

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
from scipy import stats

from braininit._math import closed_form
from braininit._math import truncated as _truncated


def mills(x):
    return mp.sqrt(mp.pi / 2) * mp.exp(x**2 / 2) * mp.erfc(x / mp.sqrt(2))


@pytest.mark.parametrize(("size", "bound"), [(4, 4e-7), (8, 1e-15)])
def test_mills_ratio(size, bound, x64):
    x = np.array([0.0, 0.37, 1.9, 6.1, 23.0, 310.0, 4e4, 7e11], f"f{size}")
    ours = _truncated._anchored(jnp.asarray(x)).m
    with mp.workdps(40):
        for at, found in zip(x.tolist(), ours.tolist(), strict=True):
            assert abs(found / mills(mp.mpf(at)) - 1) <= bound


@pytest.mark.parametrize(("size", "bound"), [(4, 1e-6), (8, 2e-15)])
def test_change_of_the_mills_ratio(size, bound, x64):
    """Relative precision for the smallest change, in what is gone and in what is left."""
    start, step = np.meshgrid(
        np.array([0.0, 0.03, 0.8, 2.6, 17.0, 5e3], f"f{size}"),
        np.array([1e-6, 3e-3, 0.07, 0.9, 4.4], f"f{size}"),
    )
    anchored = _truncated._anchored(jnp.asarray(start))
    ours = np.stack(_truncated._mills_parts(jnp.asarray(step), anchored), -1)
    with mp.workdps(40):
        for index in np.ndindex(start.shape):
            a, d = mp.mpf(float(start[index])), mp.mpf(float(step[index]))
            left = mills(a + d) / mills(a)
            for part, exact in zip(ours[index].tolist(), (1 - left, left), strict=True):
                assert abs(part / exact - 1) <= bound, (a, d)


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
        x = np.asarray(closed_form.exponential(jnp.asarray(word)))
    tail = uniform(np.minimum(word, ~word))
    expected = np.where(word < ~word, -np.log1p(-tail), -np.log(tail))
    assert x.min() > 0
    np.testing.assert_allclose(x, expected.astype(np.float64), rtol=(3e-7, 6e-16)[bits == 64])
