"""Standard draws, unit-free, from one or two random words a number, in float32 or float64."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.bits import word_pairs, words
from braininit._engine.keys import split
from braininit._jax.rounding import kept
from braininit._math import gamma as _gamma
from braininit._math import truncated as _truncated
from braininit._math.elementary import apart, fraction, log, sine
from braininit._math.erf_inv import erf_inv

__all__ = [
    "beta",
    "complex_normal",
    "complex_two_sigma",
    "complex_uniform",
    "cut_normal",
    "exponential",
    "gamma",
    "initial_normal",
    "normal",
    "scaled_normal",
    "truncated_normal",
    "two_sigma",
    "uniform",
]


def uniform(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Uniform on [0, 1), bit for bit `jax.random.uniform`."""
    return _unit_interval(words(key, shape, kind), kind)


def _unit_interval(word: jax.Array, kind: np.dtype) -> jax.Array:
    """The word's upper bits as the mantissa of a number in [1, 2), less 1."""
    spare = jnp.asarray(9 if kind.itemsize == 4 else 12, word.dtype)
    one = jnp.asarray(np.asarray(1, kind).view(word.dtype), word.dtype)
    return lax.bitcast_convert_type((word >> spare) | one, kind) - jnp.asarray(1, kind)


def normal(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Standard normal by the inverse error function, bit for bit `jax.random.normal`."""
    return kept(_inverse_error(key, shape, kind) * np.asarray(np.sqrt(2), kind))


def initial_normal(
    key: jax.Array, shape: tuple[int, ...], kind: np.dtype, std: jax.Array
) -> jax.Array:
    """Std times a standard normal, bit for bit what `jax.nn.initializers` makes of them.

    JAX 0.12 began to multiply the constants first.
    """
    if jax.__version_info__ < (0, 12):
        return normal(key, shape, kind) * std
    return kept(std * np.asarray(np.sqrt(2), kind)) * _inverse_error(key, shape, kind)


def _inverse_error(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """The inverse error function of what is uniform on (-1, 1)."""
    low = np.nextafter(np.asarray(-1, kind), np.asarray(0, kind))
    # Never below `low`, where jax.random cuts it off: what is added is not negative.
    u = uniform(key, shape, kind) * (np.asarray(1, kind) - low) + low
    return erf_inv(u)


def scaled_normal(
    key: jax.Array, shape: tuple[int, ...], kind: np.dtype, scale: jax.Array
) -> jax.Array:
    """Scale times a standard normal for what is made from one: cheaper than `normal`.

    In float32 by the method of Box and Muller, out to 6.7 where `normal` ends at 5.4: the
    radius from one word and the angle, of a quarter turn to either side, from another, at
    the same time. In float64 it is `normal`.
    """
    if kind.itemsize == 8:
        return scale * normal(key, shape, kind)
    first, second = word_pairs(key, shape, kind)
    radius = jnp.sqrt(log(apart(fraction(first >> jnp.uint32(1), -31)), sign=-1))
    height = kept(sine(apart(fraction(second, -31)))) * kept(scale * math.sqrt(2))
    return kept(height) * kept(radius)


def exponential(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Standard exponential -log(q) from the whole word, never 0, exact in both tails."""
    return _truncated.exponential(words(key, shape, kind))


def gamma(
    key: jax.Array,
    shape: tuple[int, ...],
    kind: np.dtype,
    concentration: jax.Array,
    scale: jax.Array,
) -> jax.Array:
    """Gamma by its quantile function; a large scale saves what would underflow at scale 1."""
    return _gamma.gamma_variate(*word_pairs(key, shape, kind), concentration, scale)


def beta(
    key: jax.Array, shape: tuple[int, ...], kind: np.dtype, alpha: jax.Array, beta: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Beta x and 1 - x, from two gamma variates, each with full relative precision."""
    pairs = [word_pairs(k, shape, kind) for k in split(key)]
    return _gamma.beta_variate(*pairs, alpha, beta)


def truncated_normal(
    key: jax.Array,
    shape: tuple[int, ...],
    kind: np.dtype,
    mean: jax.Array,
    std: jax.Array,
    low: jax.Array,
    high: jax.Array,
) -> jax.Array:
    """Normal within bounds, right in every tail; `jax.random`'s own with scalars at 2 std."""
    return _truncated.truncated_normal(words(key, shape, kind), mean, std, low, high)


def cut_normal(
    key: jax.Array, shape: tuple[int, ...], kind: np.dtype, standard: bool, cut: Any
) -> jax.Array:
    """`truncated_normal` of numbers known before the draw."""
    return _truncated.within(words(key, shape, kind), cut, standard)[0]


def two_sigma(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Standard normal within 2 std, bit for bit `jax.random.truncated_normal(key, -2, 2)`."""
    return kept(_truncated.two_sigma(words(key, shape, kind), kind))


# ---------------------------------------------------------------- complex, of variance 1
# `kind` is the real dtype of the parts.


def complex_normal(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Circular complex normal, bit for bit `jax.random.normal`."""
    parts = [normal(k, shape, kind) for k in split(key)]
    return lax.complex(*parts) / np.asarray(np.sqrt(2), np.result_type(kind, np.complex64))


def complex_uniform(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Uniform on the disk of radius sqrt(2), as `jax.nn.initializers` draws it."""
    area, turn = (uniform(k, shape, kind) for k in split(key))
    return _polar(jnp.sqrt(area * np.asarray(2, kind)), turn)


def complex_two_sigma(key: jax.Array, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Circular complex normal of modulus at most 2, as `jax.nn.initializers` draws it."""
    mass, turn = (uniform(k, shape, kind) for k in split(key))
    whole = np.asarray(1 - np.exp(np.asarray(-4, kind)), kind)
    # The maximum stands between product and difference, which else contract into one rounding.
    rest = 1 - jnp.maximum(mass * whole, np.asarray(0, kind))
    # The complex logarithm rounds otherwise than the real one, and theirs is complex.
    return _polar(jnp.sqrt(-jnp.log(lax.complex(rest, jnp.zeros_like(rest))).real), turn)


def _polar(radius: jax.Array, turn: jax.Array) -> jax.Array:
    angle = kept(turn * np.asarray(2 * np.pi, turn.dtype))
    return lax.complex(kept(radius) * jnp.cos(angle), kept(radius) * jnp.sin(angle))
