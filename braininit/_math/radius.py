"""The spectral radius of a matrix and its derivative, by matrix products only."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._jax.rounding import power_of_two

__all__ = ["spectral_radius"]

_SQUARINGS = 16
"""The last power is A^65536. Its norm is the power of the radius times a factor, at most about the
condition of the eigenvectors. Its 32768th root is the error: 2e-4 for a factor of 1000."""


def spectral_radius(x: jax.Array) -> jax.Array:
    """Largest magnitude of an eigenvalue of each matrix, in the last two axes; (..., 1, 1)."""
    if jnp.iscomplexobj(x):  # the real matrix that acts on real and imaginary parts
        upper, lower = (x.real, -x.imag), (x.imag, x.real)
        x = jnp.concatenate([jnp.concatenate(half, -1) for half in (upper, lower)], -2)
    return _radius(x)


@jax.custom_jvp
def _radius(x: jax.Array) -> jax.Array:
    r"""The radius of real matrices by squaring.

    With :math:`\|A^m\| \approx c\, \rho^m` the ratio of two powers cancels c; the m-th root of one
    power keeps :math:`c^{1/m}`. At the same m errors are 1e-5 instead of 1e-3.
    """

    def normalized(a: jax.Array) -> tuple[jax.Array, jax.Array]:
        a = _balanced(a)
        size = jnp.max(abs(a), (-2, -1), keepdims=True)  # a norm's squares might underflow
        return a / jnp.where(size == 0, 1, size), jnp.log(size)

    def step(_: Any, state: Any) -> Any:
        a, log, _, share = state
        a, growth = normalized(_squared(a))
        return a, log + growth * share, growth * share, share / 2

    a, log = normalized(_cyclic(x))
    state = a, log, log, jnp.asarray(0.5, x.dtype)
    _, log, last, _ = lax.fori_loop(0, _SQUARINGS, step, state)
    return jnp.exp(log + last)


@_radius.defjvp
def _radius_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x,), (change,) = primals, tangents
    radius = _radius(x)
    x = x / jnp.where(radius > 0, radius, 1)
    return radius, jnp.sum(_slope(x) * change, (-2, -1), keepdims=True)


_WINDOW = 2.0**-14
"""About 16384 powers count. Eigenvalues closer than 6e-5 share a derivative."""


@jax.custom_jvp
def _slope(x: jax.Array) -> jax.Array:
    r"""The derivative of the radius at a matrix of radius 1.

    It is the derivative of the r at which :math:`\sum_j \|x^j\|^2 r^{-2j}` has a given large value.
    A single power rotates with the phase of a complex eigenvalue; the sum does not.
    """

    def step(_: Any, state: Any) -> Any:
        power, total = state
        total = total + _times(power.mT, _times(total, power))
        power = _squared(power)
        # Powers still grow where the radius is less accurate.
        size = jnp.max(lax.stop_gradient(abs(power)), (-2, -1), keepdims=True)
        return power * jnp.where(size > 1e4, 1e4 / size, 1), total

    def summed(x: jax.Array, window: float) -> jax.Array:
        a = _balanced(x) * (1 - window)
        state = a, a * 0 + jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape)
        _, total = lax.fori_loop(0, _SQUARINGS, step, state)
        return jnp.sum(jnp.log(jnp.trace(total, axis1=-2, axis2=-1)))

    # Elements on no cycle have derivatives too: another element may close a cycle through them.
    # Where these overflow, as in the corner of a triangle, the cyclic elements keep theirs.
    both = jnp.stack([x, _cyclic(x)])

    def slope_of(window: float) -> jax.Array:
        slope = jax.grad(summed)(both, window)
        return slope / jnp.sum(slope * both, (-2, -1), keepdims=True)

    # The error is proportional to the window: extrapolate to 0.
    whole, cyclic = 2 * slope_of(_WINDOW) - slope_of(2 * _WINDOW)
    return jnp.where(jnp.all(jnp.isfinite(whole), (-2, -1), keepdims=True), whole, cyclic)


@_slope.defjvp
def _slope_jvp(primals: Any, tangents: Any) -> Any:
    raise NotImplementedError(
        "`radius` of spectral has a first derivative with respect to the matrix, but no second; "
        "stop the gradient of one of the two"
    )


def _cyclic(a: jax.Array) -> jax.Array:
    """The matrix without elements that lie on no cycle: no eigenvalue depends on them.

    The powers of a triangle may outgrow the powers of its diagonal beyond any dtype's range.
    """

    def extend(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reachable, _ = state
        more = jnp.minimum(reachable + jnp.matmul(reachable, reachable), 1)
        return more, jnp.any(more > reachable)

    linked = lax.stop_gradient((a != 0).astype(a.dtype))
    state = linked, jnp.any(linked >= 0)  # True, with the sharding of the matrix
    reachable, _ = lax.while_loop(lambda state: state[1], extend, state)
    return jnp.where(reachable.mT > 0, a, 0)


def _squared(a: jax.Array) -> jax.Array:
    """The matrix times itself, accurate even where sums of products nearly cancel.

    Leading digits are multiplied separately, few enough that no sum of their products is rounded.
    Otherwise a column whose sum cancels to 1e-3 of its norm loses the radius in two squarings.
    """
    info, n = jnp.finfo(a.dtype), a.shape[-1]
    digits = (info.nmant + 1 - math.ceil(math.log2(n))) // 2

    def leading(axis: int) -> jax.Array:
        """The leading digits, relative to the largest element of each row or each column."""
        largest = jnp.max(lax.stop_gradient(abs(a)), axis, keepdims=True)
        unit = power_of_two(largest) * np.asarray(2.0 ** (1 - digits), info.dtype)
        unit = jnp.maximum(unit, info.tiny)
        return jnp.round(a / unit) * unit

    left, right = leading(-1), leading(-2)
    return _times(left, right) + (_times(left, a - right) + _times(a - left, a))


def _times(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


_SWEEPS = 4
"""With two sweeps a triangle ten times above its diagonal gave NaN, with three 3e-8."""


def _balanced(a: jax.Array) -> jax.Array:
    """A similar matrix with rows and columns closer in size.

    Powers first grow by the differences between row i and column i, as in feed-forward chains;
    without balancing, the small radius of such chains drowns in rounding. The factors are powers
    of 2, so balancing is exact.
    """

    def sweep(_: Any, a: jax.Array) -> jax.Array:
        size = lax.stop_gradient(abs(a))  # factors don't change eigenvalues: no derivative
        rows, columns = jnp.max(size, -1), jnp.max(size, -2)
        linked = (rows > 0) & (columns > 0)
        octaves = jnp.log2(jnp.where(linked, rows, 1)) - jnp.log2(jnp.where(linked, columns, 1))
        # The fourth root: both ends of a link move at once, each by half.
        factor = jnp.exp2(jnp.clip(jnp.round(octaves / 4), -16, 16)).astype(a.dtype)
        return a * jnp.expand_dims(factor, -2) / jnp.expand_dims(factor, -1)

    return lax.fori_loop(0, _SWEEPS, sweep, a)
