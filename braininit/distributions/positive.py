"""The distributions of positive numbers: each a function, its recipe and its twin."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish
from braininit._engine.source import Source
from braininit._jax.dtypes import drawn_in
from braininit._jax.rounding import kept
from braininit._math import gamma as gammas
from braininit._math import standard, truncated
from braininit._math.elementary import LOG2_E, log, times_exp2
from braininit._math.lognormal import log_moments
from braininit._params import roles
from braininit._params.roles import number, sharing
from braininit._params.types import DType, Key, QuantityLike, RealLike, Shape, Sharding, Values
from braininit.distributions import windows
from braininit.distributions.windows import window
from braininit.initializer.calls import explained
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw, recipe

_LOGNORMAL_WITHIN = window(windows.lognormal, positive=True)
_GAMMA_WITHIN = window(windows.gamma, positive=True, sized=windows.tabled)
_EXPONENTIAL_WITHIN = window(windows.exponential, positive=True)
_WEIBULL_WITHIN = window(windows.weibull, positive=True)

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
) -> Values:
    r"""Draw from the log-normal distribution with a given mean and std of its own.

    .. math::

        p(x) = \frac{1}{x \sigma \sqrt{2\pi}} e^{-(\ln x - \mu)^2 / (2 \sigma^2)}, \quad
        \sigma^2 = \ln\!\left(1 + \frac{std^2}{mean^2}\right), \quad
        \mu = \ln(mean) - \frac{\sigma^2}{2}

    Parameters
    ----------
    mean : number, array or Quantity
        Mean of the result itself, not of its logarithm; positive and finite.
    std : number, array or Quantity
        Standard deviation of the result itself, finite, std >= 0; 0 gives the mean.

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
    return draw(_lognormal(mean, std), key, shape, dtype, out_sharding)


def _lognormal(mean: Any, std: Any) -> Recipe:
    unit, numbers = sharing(mean=roles.scale(mean), std=roles.spread(std))
    return recipe(_lognormal_kernel, numbers, unit, cut=_LOGNORMAL_WITHIN)


class LogNormal(Initialization, function=lognormal, recipe=_lognormal):
    """Log-normal, by the mean and std of the result itself; the twin of `lognormal`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.LogNormal(0.5 * u.nS, 0.2 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    mean: QuantityLike
    std: QuantityLike


def _lognormal_kernel(source: Source, dtype: np.dtype, mean: Any, std: Any) -> jax.Array:
    kind, (variance, deviation) = drawn_in(dtype), log_moments(mean, std)
    # In powers of 2. Only the product that makes z may contract with the difference.
    scale = deviation * LOG2_E
    if kind.itemsize == 8:
        z = scale * standard.normal(source.words(kind))
    else:
        z = standard.scaled_normal(source.word_pairs(kind), scale)
    x = times_exp2(mean, z - kept(variance * (LOG2_E / 2)))
    return finish(x, dtype, above_zero=True)


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
) -> Values:
    r"""Draw from the gamma distribution.

    .. math:: p(x) = \frac{x^{k - 1} e^{-x / scale}}{\Gamma(k)\, scale^k},
        \quad x > 0, \quad k = concentration

    Parameters
    ----------
    concentration : number or array
        Shape parameter k, positive and finite; a pure number.
    scale : number, array or Quantity
        Scale, positive and finite; the mean is concentration * scale.

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
    return draw(_gamma(concentration, scale), key, shape, dtype, out_sharding)


def _gamma(concentration: Any, scale: Any) -> Recipe:
    k = number("concentration", roles.shape(concentration))
    unit, (scale,) = sharing(scale=roles.scale(scale))
    return recipe(_gamma_kernel, (k, scale), unit, cut=_GAMMA_WITHIN)


class Gamma(Initialization, function=gamma, recipe=_gamma, renamed={"shape": "concentration"}):
    """Gamma; the twin of `gamma`, which calls the shape parameter `concentration`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Gamma(shape=2.0, scale=0.25 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    shape: RealLike
    scale: QuantityLike = 1.0


def _gamma_kernel(source: Source, dtype: np.dtype, concentration: Any, scale: Any) -> jax.Array:
    pair = source.word_pairs(drawn_in(dtype))
    return finish(gammas.gamma_variate(*pair, concentration, scale), dtype, above_zero=True)


# ---------------------------------------------------------------- exponential


@explained
def exponential(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the exponential distribution.

    .. math:: p(x) = \frac{1}{scale} e^{-x / scale}, \quad x > 0

    Parameters
    ----------
    scale : number, array or Quantity
        Mean, positive and finite.

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
    return draw(_exponential(scale), key, shape, dtype, out_sharding)


def _exponential(scale: Any) -> Recipe:
    unit, numbers = sharing(scale=roles.scale(scale))
    return recipe(_exponential_kernel, numbers, unit, cut=_EXPONENTIAL_WITHIN)


class Exponential(Initialization, function=exponential, recipe=_exponential):
    """Exponential; the twin of `exponential`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Exponential(2.0 * u.ms)(1000, rng=0).shape
    (1000,)
    """

    scale: QuantityLike = 1.0


def _exponential_kernel(source: Source, dtype: np.dtype, scale: Any) -> jax.Array:
    e = truncated.exponential(source.words(drawn_in(dtype)))
    return finish(scale * e, dtype, above_zero=True)


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
) -> Values:
    r"""Draw from the Weibull distribution.

    .. math:: p(x) = \frac{k}{scale} \left(\frac{x}{scale}\right)^{k - 1}
        e^{-(x / scale)^k}, \quad x > 0, \quad k = concentration

    Parameters
    ----------
    concentration : number or array
        Shape parameter k, positive and finite; a pure number.
    scale : number, array or Quantity
        Scale, positive and finite; a share 1 - 1/e of the draws lies below it.

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
    return draw(_weibull(concentration, scale), key, shape, dtype, out_sharding)


def _weibull(concentration: Any, scale: Any) -> Recipe:
    k = number("concentration", roles.shape(concentration))
    unit, (scale,) = sharing(scale=roles.scale(scale))
    return recipe(_weibull_kernel, (k, scale), unit, cut=_WEIBULL_WITHIN)


class Weibull(
    Initialization, function=weibull, recipe=_weibull, renamed={"shape": "concentration"}
):
    """Weibull; the twin of `weibull`, which calls the shape parameter `concentration`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Weibull(shape=1.5, scale=0.5 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    shape: RealLike
    scale: QuantityLike = 1.0


def _weibull_kernel(source: Source, dtype: np.dtype, concentration: Any, scale: Any) -> jax.Array:
    logarithm = log(truncated.exponential(source.words(drawn_in(dtype))))
    # Under the floor every power is 0 or infinite already; its derivatives would be 0 * infinity.
    floor = 2.0 ** -(jnp.finfo(concentration.dtype).nmant + 13)
    concentration = jnp.maximum(concentration, floor)
    # A compiler divides by a constant through its inverse, by a traced number not so.
    inverse = LOG2_E / concentration
    return finish(times_exp2(scale, logarithm * kept(inverse)), dtype, above_zero=True)
