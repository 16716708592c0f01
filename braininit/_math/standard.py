"""Standard draws from random words: float32 from words of 32 bits, float64 from words of 64."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.cpu.erf_inv import erf_inv
from braininit._jax.rounding import round_here
from braininit._math.elementary import fraction, log, sine, uncontracted

__all__ = [
    "complex_normal",
    "complex_two_sigma",
    "complex_uniform",
    "initial_normal",
    "normal",
    "scaled_normal",
    "uniform",
]

Pair = tuple[jax.Array, jax.Array]


def _float_dtype(word: jax.Array) -> np.dtype:
    return np.dtype(f"float{8 * word.dtype.itemsize}")


def uniform(word: jax.Array) -> jax.Array:
    """Uniform on [0, 1), bit for bit `jax.random.uniform`.

    The upper bits of the word are the mantissa of a number in [1, 2), less 1.
    """
    dtype = _float_dtype(word)
    unused_bits = jnp.asarray(9 if dtype.itemsize == 4 else 12, word.dtype)
    one = jnp.asarray(np.asarray(1, dtype).view(word.dtype), word.dtype)
    return lax.bitcast_convert_type((word >> unused_bits) | one, dtype) - jnp.asarray(1, dtype)


def normal(word: jax.Array) -> jax.Array:
    """Standard normal by the inverse error function, bit for bit `jax.random.normal`."""
    return round_here(_inverse_error(word) * np.asarray(np.sqrt(2), _float_dtype(word)))


def initial_normal(word: jax.Array, std: jax.Array) -> jax.Array:
    """Std times a standard normal, bit for bit as `jax.nn.initializers` multiplies them.

    From JAX 0.12 on, the constants are multiplied first.
    """
    if jax.__version_info__ < (0, 12):
        return normal(word) * std
    return round_here(std * np.asarray(np.sqrt(2), _float_dtype(word))) * _inverse_error(word)


def _inverse_error(word: jax.Array) -> jax.Array:
    """The inverse error function at a number that is uniform on (-1, 1)."""
    dtype = _float_dtype(word)
    low = np.nextafter(np.asarray(-1, dtype), np.asarray(0, dtype))
    # jax.random also takes the maximum with `low`: not needed, as the first term is never negative.
    return erf_inv(uniform(word) * (np.asarray(1, dtype) - low) + low)


def scaled_normal(words: Pair, scale: jax.Array) -> jax.Array:
    """Scale times a standard normal in float32, faster than `normal`, for distributions made of it.

    By the method of Box and Muller, out to 6.7 where `normal` ends at 5.4. The radius comes from
    one word and the angle, within a quarter turn to either side, from the other, in parallel.
    """
    first, second = words
    radius = jnp.sqrt(log(uncontracted(fraction(first >> jnp.uint32(1), -31)), sign=-1))
    height = round_here(sine(uncontracted(fraction(second, -31)))) * round_here(
        scale * math.sqrt(2)
    )
    return round_here(height) * round_here(radius)


# ---------------------------------------------------------------- complex, of variance 1


def complex_normal(words: Pair) -> jax.Array:
    """Circular complex normal, bit for bit `jax.random.normal`."""
    parts = [normal(word) for word in words]
    return lax.complex(*parts) / np.asarray(
        np.sqrt(2), np.result_type(parts[0].dtype, np.complex64)
    )


def complex_uniform(words: Pair) -> jax.Array:
    """Uniform on the disk of radius sqrt(2), as `jax.nn.initializers` draws."""
    area, turn = (uniform(word) for word in words)
    return _polar(jnp.sqrt(area * np.asarray(2, area.dtype)), turn)


def complex_two_sigma(words: Pair) -> jax.Array:
    """Circular complex normal of modulus at most 2, as `jax.nn.initializers` draws."""
    mass, turn = (uniform(word) for word in words)
    whole = np.asarray(1 - np.exp(np.asarray(-4, mass.dtype)), mass.dtype)
    # The maximum keeps XLA from contracting product and difference.
    rest = 1 - jnp.maximum(mass * whole, np.asarray(0, mass.dtype))
    # JAX takes the complex logarithm, which rounds differently from the real one.
    return _polar(jnp.sqrt(-jnp.log(lax.complex(rest, jnp.zeros_like(rest))).real), turn)


def _polar(radius: jax.Array, turn: jax.Array) -> jax.Array:
    angle = round_here(turn * np.asarray(2 * np.pi, turn.dtype))
    return lax.complex(round_here(radius) * jnp.cos(angle), round_here(radius) * jnp.sin(angle))
