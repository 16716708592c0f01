"""The distributions of positive numbers: each a function and, right below it, its twin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish
from braininit._engine.sampler import draw
from braininit._jax.dtypes import drawn_in
from braininit._jax.rounding import kept
from braininit._math import standard as draws
from braininit._math.elementary import LOG2_E, log, over, polynomial, times_exp2, where
from braininit._params import checks, units
from braininit._params.types import DType, Key, QuantityLike, RealLike, Shape, Sharding
from braininit.initializer.calls import explained
from braininit.initializer.initialization import Initialization

# ---------------------------------------------------------------- lognormal


@explained
def lognormal(
    key: Key,
    shape: Shape,
    mean: QuantityLike,
    std: QuantityLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Any:
    r"""Draw from the log-normal distribution with a given mean and std of its own.

    .. math::

        p(x) = \frac{1}{x \sigma \sqrt{2\pi}} e^{-(\ln x - \mu)^2 / (2 \sigma^2)}, \quad
        \sigma^2 = \ln\!\left(1 + \frac{std^2}{mean^2}\right), \quad
        \mu = \ln(mean) - \frac{\sigma^2}{2}

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    mean : number, array or Quantity
        Mean of the result itself, not of its logarithm; positive and finite.
    std : number, array or Quantity
        Standard deviation of the result itself, finite, std >= 0; 0 gives the mean.
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `mean`, above 0.

    Raises
    ------
    ValueError
        If `mean` is not positive, or `std` negative, NaN or infinite.
    UnitError
        If the parameters differ in dimension.

    Notes
    -----
    Numerics: drawn as mean * exp(sigma z - sigma^2 / 2), which keeps the exponent small
    whatever the unit. In float32 z is made by the method of Box and Muller (1958) from two
    random words, and reaches 6.7 std. 16-bit and 8-bit floats are drawn in float32 and
    rounded once. A draw beyond the largest number of the dtype (65504 in float16) is that
    number.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.lognormal(jax.random.key(0), (1000,), 0.5 * u.nS, 0.2 * u.nS)
    >>> bool((w > 0 * u.nS).all())
    True
    """
    unit, (mean, std) = units.off(mean=mean, std=std)
    mean, std = checks.positive("mean", mean, unit), checks.non_negative("std", std, unit)
    checks.fits(dtype, unit, vanishing=("mean", "std"), mean=mean, std=std)
    static = (_is_moderate(mean, std, lambda mean, std: std < 50 * mean),)  # 6.7 times sigma 2.8
    x = draw(
        _lognormal, key, shape, mean, std, static=static, dtype=dtype, out_sharding=out_sharding
    )
    return units.on(x, unit)


class LogNormal(Initialization, function=lognormal):
    """Log-normal, by the mean and std of the result itself; the twin of `lognormal`.

    Parameters
    ----------
    mean : number, array or Quantity
        Mean, positive and finite.
    std : number, array or Quantity
        Standard deviation, finite, std >= 0; 0 gives the mean.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.LogNormal(0.5 * u.nS, 0.2 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    mean: QuantityLike
    std: QuantityLike


def _lognormal(key: Any, shape: Any, dtype: Any, moderate: bool, mean: Any, std: Any) -> jax.Array:
    variance, deviation = log_moments(mean, std)
    # In powers of 2. Only the product that makes z may contract with the difference.
    z = draws.scaled_normal(key, shape, drawn_in(dtype), deviation * LOG2_E)
    return _power(mean, z - kept(variance * (LOG2_E / 2)), dtype, moderate)


def _is_moderate(scale: Any, other: Any, narrow: Callable[[float, float], bool]) -> bool:
    """Whether both are known, the scale within 2^60 of 1, and the draws `narrow` around it."""
    return type(scale) is type(other) is float and 1e-18 < scale < 1e18 and narrow(scale, other)


def _power(scale: jax.Array, y: jax.Array, dtype: np.dtype, moderate: bool) -> jax.Array:
    """Scale 2^y as a draw: where it is `moderate`, far from the ends of the drawing dtype.

    There the scale is within 2^60 of 1, and |y| < 60 (in float64 < 110). To know it beforehand
    spares a tenth of the time, and the numbers are the same.
    """
    x = times_exp2(scale, y, moderate=moderate)
    return x if moderate and x.dtype == dtype else finish(x, dtype, above_zero=True)


def log_variance(mean: jax.Array, std: jax.Array) -> jax.Array:
    """The variance of a lognormal's logarithm."""
    ratio = kept(std / mean)
    large = ratio > 1e4  # where 1 + ratio^2 rounds to ratio^2, which may overflow
    square, std = where(large, 1.0, ratio) ** 2, where(large, std, 1.0)
    if ratio.ndim == 0:  # not for the compiler, whose own logarithms round otherwise
        square, mean, std = jax.lax.optimization_barrier((square, mean, std))
    log = where(large, jnp.log(std) - jnp.log(mean), 0.0)
    return kept(where(large, 2 * log, jnp.log1p(square)))


def root(x: jax.Array) -> jax.Array:
    """The square root, with gradient 0 rather than infinite at 0."""
    zero = x == 0
    return where(zero, 0.0, jnp.sqrt(where(zero, 1.0, x)))


@jax.custom_jvp
def log_moments(mean: jax.Array, std: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Variance and standard deviation of a lognormal's logarithm."""
    variance = log_variance(mean, std)
    return variance, root(variance)


@log_moments.defjvp
def _log_moments_jvp(primals: tuple, tangents: tuple) -> tuple:
    """With r = std / mean the deviation is sqrt(log(1 + r^2)), smooth also where std is 0."""
    (mean, std), (dmean, dstd) = primals, tangents
    variance, deviation = log_moments(mean, std)
    narrow = variance < math.log(2)  # r < 1

    def held(x: jax.Array, where_narrow: bool) -> jax.Array:  # 1 where it is not used
        return jnp.where(narrow == where_narrow, x, jnp.ones_like(x))

    # The derivative in r is r / (1 + r^2) / deviation, which is 0 / 0 at 0. Written with the
    # variance v it is e^(-v/2) sqrt((1 - e^-v) / v).
    small = jnp.where(narrow, variance, 0.0)
    factor = jnp.exp(-small / 2) * jnp.sqrt(polynomial(small, _LOST))
    ratio = over(held(std, True), held(mean, True))
    near = over(factor * (dstd - ratio * dmean), held(mean, True))
    # Where r is large it may overflow, and is left out.
    left = -jnp.expm1(-variance) / held(deviation, False)
    far = left * (over(dstd, held(std, False)) - over(dmean, held(mean, False)))
    ddeviation = jnp.where(narrow, near, far)
    return (variance, deviation), (2 * deviation * ddeviation, ddeviation)


_LOST = [(-1) ** n / math.factorial(n + 1) for n in range(18)]  # (1 - e^-v) / v in powers of v


# ---------------------------------------------------------------- gamma


@explained
def gamma(
    key: Key,
    shape: Shape,
    concentration: RealLike,
    scale: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Any:
    r"""Draw from the gamma distribution.

    .. math:: p(x) = \frac{x^{k - 1} e^{-x / scale}}{\Gamma(k)\, scale^k},
        \quad x > 0, \quad k = concentration

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result; the distribution's shape parameter is `concentration`.
    concentration : number or array
        Shape parameter k, positive and finite; a pure number.
    scale : number, array or Quantity
        Scale, positive and finite; the mean is concentration * scale.
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `scale`, above 0.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.
    UnitError
        If `concentration` carries a unit.

    Notes
    -----
    Numerics: the quantile function at a random word, a rational approximation whose
    error 1e14 draws would show; tiny concentrations don't underflow on the way. What would
    round to 0 is the smallest positive number of the dtype. 16-bit and
    8-bit floats are drawn in float32 and rounded once.
    A draw beyond the largest number of the dtype (65504 in float16) is that number.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> init.gamma(jax.random.key(0), (1000,), 2.0, 0.25 * u.nS).shape
    (1000,)
    """
    concentration = checks.positive(
        "concentration", units.dimensionless("concentration", concentration)
    )
    unit, (scale,) = units.off(scale=scale)
    scale = checks.positive("scale", scale, unit)
    checks.fits(dtype, unit, scale=scale, concentration=concentration)
    x = draw(_gamma, key, shape, concentration, scale, dtype=dtype, out_sharding=out_sharding)
    return units.on(x, unit)


class Gamma(Initialization, function=gamma, renamed={"shape": "concentration"}):
    """Gamma; the twin of `gamma`, which calls the shape parameter `concentration`.

    Parameters
    ----------
    shape : number or array
        Shape parameter, positive and finite; a pure number.
    scale : number, array or Quantity
        Scale, positive and finite; the mean is shape * scale.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Gamma(shape=2.0, scale=0.25 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    shape: RealLike
    scale: QuantityLike = 1.0


def _gamma(key: Any, shape: Any, dtype: Any, concentration: Any, scale: Any) -> jax.Array:
    x = draws.gamma(key, shape, drawn_in(dtype), concentration, scale)
    return finish(x, dtype, above_zero=True)


# ---------------------------------------------------------------- exponential


@explained
def exponential(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Any:
    r"""Draw from the exponential distribution.

    .. math:: p(x) = \frac{1}{scale} e^{-x / scale}, \quad x > 0

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    scale : number, array or Quantity
        Mean, positive and finite.
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `scale`, above 0.

    Raises
    ------
    ValueError
        If `scale` is not positive and finite.

    Notes
    -----
    Numerics: -log of the whole random word taken from its nearer end, so that both
    tails keep their relative precision and 0 never comes out. 16-bit and 8-bit floats
    are drawn in float32 and rounded once. The stream is not `jax.random.exponential`'s,
    which uses 23 bits and ends at 15.9 scales.
    A draw beyond the largest number of the dtype (65504 in float16) is that number.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> delays = init.exponential(jax.random.key(0), (1000,), 2.0 * u.ms)
    >>> bool((delays > 0 * u.ms).all())
    True
    """
    unit, (scale,) = units.off(scale=scale)
    scale = checks.positive("scale", scale, unit)
    checks.fits(dtype, unit, scale=scale)
    x = draw(_exponential, key, shape, scale, dtype=dtype, out_sharding=out_sharding)
    return units.on(x, unit)


class Exponential(Initialization, function=exponential):
    """Exponential; the twin of `exponential`.

    Parameters
    ----------
    scale : number, array or Quantity
        Mean, positive and finite.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Exponential(2.0 * u.ms)(1000, rng=0).shape
    (1000,)
    """

    scale: QuantityLike = 1.0


def _exponential(key: Any, shape: Any, dtype: Any, scale: Any) -> jax.Array:
    return finish(scale * draws.exponential(key, shape, drawn_in(dtype)), dtype, above_zero=True)


# ---------------------------------------------------------------- weibull


@explained
def weibull(
    key: Key,
    shape: Shape,
    concentration: RealLike,
    scale: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Any:
    r"""Draw from the Weibull distribution.

    .. math:: p(x) = \frac{k}{scale} \left(\frac{x}{scale}\right)^{k - 1}
        e^{-(x / scale)^k}, \quad x > 0, \quad k = concentration

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result; the distribution's shape parameter is `concentration`.
    concentration : number or array
        Shape parameter k, positive and finite; a pure number.
    scale : number, array or Quantity
        Scale, positive and finite; a share 1 - 1/e of the draws lies below it.
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `scale`, above 0.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.
    UnitError
        If `concentration` carries a unit.

    Notes
    -----
    Numerics: a power of a standard exponential, with its honest tails on both sides;
    what would round to 0 or overflow is the smallest or largest positive number of the
    dtype. 16-bit and 8-bit floats are drawn in float32 and rounded once.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> init.weibull(jax.random.key(0), (1000,), 1.5, 0.5 * u.nS).shape
    (1000,)
    """
    concentration = checks.positive(
        "concentration", units.dimensionless("concentration", concentration)
    )
    unit, (scale,) = units.off(scale=scale)
    scale = checks.positive("scale", scale, unit)
    checks.fits(dtype, unit, scale=scale, concentration=concentration)
    static = (_is_moderate(scale, concentration, lambda _, k: k > 0.6),)  # (2^33)^(1/k)
    x = draw(
        _weibull, key, shape, concentration, scale,
        static=static, dtype=dtype, out_sharding=out_sharding,
    )  # fmt: skip
    return units.on(x, unit)


class Weibull(Initialization, function=weibull, renamed={"shape": "concentration"}):
    """Weibull; the twin of `weibull`, which calls the shape parameter `concentration`.

    Parameters
    ----------
    shape : number or array
        Shape parameter, positive and finite; a pure number.
    scale : number, array or Quantity
        Scale, positive and finite.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Weibull(shape=1.5, scale=0.5 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    shape: RealLike
    scale: QuantityLike = 1.0


def _weibull(
    key: Any, shape: Any, dtype: Any, moderate: bool, concentration: Any, scale: Any
) -> jax.Array:
    logarithm = log(draws.exponential(key, shape, drawn_in(dtype)))
    # Under the floor every power is 0 or infinite already; its derivatives would be 0 * infinity.
    floor = 2.0 ** -(jnp.finfo(concentration.dtype).nmant + 13)
    concentration = jnp.maximum(concentration, floor)
    # A compiler divides by a constant through its inverse, by a traced number not so.
    inverse = LOG2_E / concentration
    return _power(scale, logarithm * kept(inverse), dtype, moderate)
