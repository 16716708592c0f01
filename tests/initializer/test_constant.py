"""Constants in dtypes of integers and booleans: exactly, or not at all."""

from __future__ import annotations

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import braininit as init


@pytest.mark.parametrize(
    "dtype", ["bool", "int4", "int8", "uint8", "int16", "uint16", "int32", "uint32"]
)
def test_a_whole_number_in_integers(dtype):
    dtype = jnp.dtype(dtype)
    least, most = (0, 1) if dtype.kind == "b" else (jnp.iinfo(dtype).min, jnp.iinfo(dtype).max)
    assert init.Constant(least)(1, dtype=dtype)[0] == least
    for made in (
        init.Constant(most)((2, 3), dtype=dtype),
        init.constant(None, (2, 3), most, dtype=dtype),
        jax.jit(lambda: init.constant(None, (2, 3), most, dtype=dtype))(),
        init.rows(init.Constant(most), jax.random.key(0), (5, 3), 2, 4, dtype=dtype),
    ):
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, np.full((2, 3), most))
    for fill, theirs in ((init.zeros, jnp.zeros), (init.ones, jnp.ones)):
        made = fill(jax.random.key(0), 4, dtype)
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, theirs(4))


def test_arrays_and_units_in_integers():
    steps = init.Constant(np.arange(3.0) * u.ms)((2, 3), dtype="int16")
    assert steps.unit == u.ms
    np.testing.assert_array_equal(steps.mantissa, [[0, 1, 2]] * 2)


@pytest.mark.parametrize("value", [0.5, 300, -1, np.nan, np.inf, [1.0, 256.0]])
def test_what_integers_do_not_hold(value):
    with pytest.raises(ValueError, match="`value` = .* whole numbers that uint8 holds"):
        init.Constant(value)(2, dtype="uint8")


def test_what_booleans_do_not_hold():
    with pytest.raises(ValueError, match="whole numbers that bool holds, 0 to 1"):
        init.Constant(2)(2, dtype=bool)


def test_what_may_not_be_a_whole_number():
    with pytest.raises(TypeError, match="traced `value`"):
        jax.jit(lambda v: init.constant(None, 2, v, dtype=int))(1.0)
    with pytest.raises(TypeError, match="complex"):
        init.Constant(1j)(2, dtype=int)


def test_integers_of_64_bits():
    with jax.enable_x64(True):
        made = init.Constant(2.0**53)(2, dtype="int64")
        np.testing.assert_array_equal(made, [2**53] * 2)
        for value in (2.0**63, 2.0**53 + 2):
            with pytest.raises(ValueError, match="whole numbers that int64 holds"):
                init.Constant(value)(2, dtype="int64")
