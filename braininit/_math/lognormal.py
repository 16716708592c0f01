"""Moments of a lognormal's logarithm, from the mean and the std of the lognormal itself."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from braininit._jax.rounding import round_here
from braininit._math.elementary import over, polynomial, where

__all__ = ["log_moments", "log_variance", "root"]


def log_variance(mean: jax.Array, std: jax.Array) -> jax.Array:
    """The variance of a lognormal's logarithm."""
    ratio = round_here(std / mean)
    large = ratio > 1e4  # where 1 + ratio^2 rounds to ratio^2, which may overflow
    square, std = where(large, 1.0, ratio) ** 2, where(large, std, 1.0)
    if ratio.ndim == 0:  # hidden from XLA, whose constant folding gives other last bits
        square, mean, std = jax.lax.optimization_barrier((square, mean, std))
    log = where(large, jnp.log(std) - jnp.log(mean), 0.0)
    return round_here(where(large, 2 * log, jnp.log1p(square)))


def root(x: jax.Array) -> jax.Array:
    """The square root, with derivative 0 rather than infinity at 0."""
    zero = x == 0
    return where(zero, 0.0, jnp.sqrt(where(zero, 1.0, x)))


@jax.custom_jvp
def log_moments(mean: jax.Array, std: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Variance and standard deviation of a lognormal's logarithm."""
    variance = log_variance(mean, std)
    return variance, root(variance)


@log_moments.defjvp
def _log_moments_jvp(primals: tuple, tangents: tuple) -> tuple:
    """With r = std / mean the deviation is sqrt(log(1 + r^2)), smooth even where std is 0."""
    (mean, std), (dmean, dstd) = primals, tangents
    variance, deviation = log_moments(mean, std)
    narrow = variance < math.log(2)  # r < 1

    def if_used(x: jax.Array, where_narrow: bool) -> jax.Array:  # 1 where it is not used
        return jnp.where(narrow == where_narrow, x, jnp.ones_like(x))

    # The derivative in r is r / (1 + r^2) / deviation, which is 0 / 0 at 0. Written with the
    # variance v it is e^(-v/2) sqrt((1 - e^-v) / v).
    small = jnp.where(narrow, variance, 0.0)
    factor = jnp.exp(-small / 2) * jnp.sqrt(polynomial(small, _SERIES))
    ratio = over(if_used(std, True), if_used(mean, True))
    near = over(factor * (dstd - ratio * dmean), if_used(mean, True))
    # Where r is large it may overflow, so this form has no r.
    left = -jnp.expm1(-variance) / if_used(deviation, False)
    far = left * (over(dstd, if_used(std, False)) - over(dmean, if_used(mean, False)))
    ddeviation = jnp.where(narrow, near, far)
    return (variance, deviation), (2 * deviation * ddeviation, ddeviation)


_SERIES = [(-1) ** n / math.factorial(n + 1) for n in range(18)]  # (1 - e^-v) / v in powers of v
