"""Standard draws from random words, in float32 or float64 by the words' width."""

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


def _kind(word: jax.Array) -> np.dtype:
    return np.dtype(f"float{8 * word.dtype.itemsize}")


def uniform(word: jax.Array) -> jax.Array:
    """Uniform on [0, 1), bit for bit `jax.random.uniform`.

    The word's upper bits are the mantissa of a number in [1, 2), less 1.
    """
    kind = _kind(word)
    spare = jnp.asarray(9 if kind.itemsize == 4 else 12, word.dtype)
    one = jnp.asarray(np.asarray(1, kind).view(word.dtype), word.dtype)
    return lax.bitcast_convert_type((word >> spare) | one, kind) - jnp.asarray(1, kind)


def normal(word: jax.Array) -> jax.Array:
    """Standard normal by the inverse error function, bit for bit `jax.random.normal`."""
    return round_here(_inverse_error(word) * np.asarray(np.sqrt(2), _kind(word)))


def initial_normal(word: jax.Array, std: jax.Array) -> jax.Array:
    """Std times a standard normal, bit for bit as `jax.nn.initializers` multiplies them.

    JAX 0.12 began to multiply the constants first.
    """
    if jax.__version_info__ < (0, 12):
        return normal(word) * std
    return round_here(std * np.asarray(np.sqrt(2), _kind(word))) * _inverse_error(word)


def _inverse_error(word: jax.Array) -> jax.Array:
    """The inverse error function of a number that is uniform on (-1, 1)."""
    kind = _kind(word)
    low = np.nextafter(np.asarray(-1, kind), np.asarray(0, kind))
    # Never below `low`, where jax.random cuts it off, as no negative number is added.
    return erf_inv(uniform(word) * (np.asarray(1, kind) - low) + low)


def scaled_normal(words: Pair, scale: jax.Array) -> jax.Array:
    """Scale times a standard normal, where another number is made from it: cheaper than `normal`.

    In float32 by the method of Box and Muller, out to 6.7 where `normal` ends at 5.4: the radius
    from one word and the angle, of a quarter turn to either side, from another, at the same time.
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
    """Uniform on the disk of radius sqrt(2), as `jax.nn.initializers` draws it."""
    area, turn = (uniform(word) for word in words)
    return _polar(jnp.sqrt(area * np.asarray(2, area.dtype)), turn)


def complex_two_sigma(words: Pair) -> jax.Array:
    """Circular complex normal of modulus at most 2, as `jax.nn.initializers` draws it."""
    mass, turn = (uniform(word) for word in words)
    whole = np.asarray(1 - np.exp(np.asarray(-4, mass.dtype)), mass.dtype)
    # The maximum keeps XLA from fusing product and difference into one rounding.
    rest = 1 - jnp.maximum(mass * whole, np.asarray(0, mass.dtype))
    # JAX takes the complex logarithm, which rounds differently from the real one.
    return _polar(jnp.sqrt(-jnp.log(lax.complex(rest, jnp.zeros_like(rest))).real), turn)


def _polar(radius: jax.Array, turn: jax.Array) -> jax.Array:
    angle = round_here(turn * np.asarray(2 * np.pi, turn.dtype))
    return lax.complex(round_here(radius) * jnp.cos(angle), round_here(radius) * jnp.sin(angle))
