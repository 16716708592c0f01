"""Distributions of positive numbers: for each its function, its recipe and its twin class."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype
from braininit._jax.rounding import round_here
from braininit._math import closed_form, standard
from braininit._math import gamma as gammas
from braininit._math.elementary import LOG2_E, log, times_exp2
from braininit._math.families import GAMMA
from braininit._math.lognormal import log_moments
from braininit._params import roles
from braininit._params.roles import number, sharing
from braininit._params.types import DType, Key, QuantityLike, RealLike, Shape, Sharding, Values
from braininit.distributions import windows
from braininit.distributions.windows import window
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw, make_recipe

_LOGNORMAL_WITHIN = window(windows.lognormal, positive=True)
_GAMMA_WITHIN = window(windows.solved, static=(GAMMA,), positive=True, sized=windows.tabled)
_EXPONENTIAL_WITHIN = window(windows.exponential, positive=True)
_WEIBULL_WITHIN = window(windows.weibull, positive=True)

# ---------------------------------------------------------------- lognormal


@explain_call_errors
def lognormal(
    key: Key,
    shape: Shape,
    mean: QuantityLike,
    std: QuantityLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the log-normal distribution, given the mean and std of the result itself.

    .. math::

        p(x) = \frac{1}{x \sigma \sqrt{2\pi}} e^{-(\ln x - \mu)^2 / (2 \sigma^2)}, \quad
        \sigma^2 = \ln\!\left(1 + \frac{std^2}{mean^2}\right), \quad
        \mu = \ln(mean) - \frac{\sigma^2}{2}

    Parameters
    ----------
    mean : number, array or Quantity
        Mean of the result, not of its logarithm; positive and finite.
    std : number, array or Quantity
        Standard deviation of the result, finite, std >= 0; 0 gives the mean.

    Notes
    -----
    Numerics: mean * exp(sigma z - sigma^2 / 2), whose exponent is small whatever the unit. In
    float32 z comes from two random words by the method of Box and Muller (1958), and reaches 6.7.
    """
    return draw(_lognormal(mean, std), key, shape, dtype, out_sharding)


def _lognormal(mean: Any, std: Any) -> Recipe:
    unit, numbers = sharing(mean=roles.scale(mean), std=roles.spread(std))
    return make_recipe(_lognormal_kernel, numbers, unit, truncate=_LOGNORMAL_WITHIN)


class LogNormal(Initialization, function=lognormal, recipe=_lognormal):
    """Log-normal, by the mean and std of the result itself; the twin of `lognormal`."""

    mean: QuantityLike
    std: QuantityLike


def _lognormal_kernel(source: Source, dtype: np.dtype, mean: Any, std: Any) -> jax.Array:
    drawing_dtype, (variance, deviation) = compute_dtype(dtype), log_moments(mean, std)
    # In powers of 2. XLA may contract only the product that makes z with the difference.
    scale = deviation * LOG2_E
    if drawing_dtype.itemsize == 8:
        z = scale * standard.normal(source.words(drawing_dtype))
    else:
        z = standard.scaled_normal(source.word_pairs(drawing_dtype), scale)
    x = times_exp2(mean, z - round_here(variance * (LOG2_E / 2)))
    return finish(x, dtype, above_zero=True)


# ---------------------------------------------------------------- gamma


@explain_call_errors
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
        Shape parameter k, positive and finite.
    scale : number, array or Quantity
        Scale, positive and finite; the mean is concentration * scale.

    Notes
    -----
    Numerics: a rational approximation of the quantile function, evaluated at a random word; it
    takes 1e14 draws to see its error. Tiny concentrations do not underflow on the way: a draw that
    would round to 0 becomes the smallest positive number of the dtype.
    """
    return draw(_gamma(concentration, scale), key, shape, dtype, out_sharding)


def _gamma(concentration: Any, scale: Any) -> Recipe:
    k = number("concentration", roles.shape(concentration))
    unit, (scale,) = sharing(scale=roles.scale(scale))
    return make_recipe(_gamma_kernel, (k, scale), unit, truncate=_GAMMA_WITHIN)


class Gamma(Initialization, function=gamma, recipe=_gamma, renamed={"shape": "concentration"}):
    """Gamma; the twin of `gamma`, which calls the shape parameter `concentration`."""

    shape: RealLike
    scale: QuantityLike = 1.0


def _gamma_kernel(source: Source, dtype: np.dtype, concentration: Any, scale: Any) -> jax.Array:
    pair = source.word_pairs(compute_dtype(dtype))
    return finish(gammas.gamma_variate(*pair, concentration, scale), dtype, above_zero=True)


# ---------------------------------------------------------------- exponential


@explain_call_errors
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

    Notes
    -----
    Numerics: -log of the whole random word, counted from its nearer end: both tails keep their
    relative precision, and 0 is never drawn. The stream is not `jax.random.exponential`'s, which
    uses 23 bits and ends at 15.9 scales.
    """
    return draw(_exponential(scale), key, shape, dtype, out_sharding)


def _exponential(scale: Any) -> Recipe:
    unit, numbers = sharing(scale=roles.scale(scale))
    return make_recipe(_exponential_kernel, numbers, unit, truncate=_EXPONENTIAL_WITHIN)


class Exponential(Initialization, function=exponential, recipe=_exponential):
    """Exponential; the twin of `exponential`."""

    scale: QuantityLike = 1.0


def _exponential_kernel(source: Source, dtype: np.dtype, scale: Any) -> jax.Array:
    e = closed_form.exponential(source.words(compute_dtype(dtype)))
    return finish(scale * e, dtype, above_zero=True)


# ---------------------------------------------------------------- weibull


@explain_call_errors
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
        Shape parameter k, positive and finite.
    scale : number, array or Quantity
        Scale, positive and finite; a fraction 1 - 1/e of the draws lies below it.

    Notes
    -----
    Numerics: a power of a standard exponential, exact in both tails. A draw that would round to 0
    or overflow becomes the smallest or the largest positive number of the dtype.
    """
    return draw(_weibull(concentration, scale), key, shape, dtype, out_sharding)


def _weibull(concentration: Any, scale: Any) -> Recipe:
    k = number("concentration", roles.shape(concentration))
    unit, (scale,) = sharing(scale=roles.scale(scale))
    return make_recipe(_weibull_kernel, (k, scale), unit, truncate=_WEIBULL_WITHIN)


class Weibull(
    Initialization, function=weibull, recipe=_weibull, renamed={"shape": "concentration"}
):
    """Weibull; the twin of `weibull`, which calls the shape parameter `concentration`."""

    shape: RealLike
    scale: QuantityLike = 1.0


def _weibull_kernel(source: Source, dtype: np.dtype, concentration: Any, scale: Any) -> jax.Array:
    logarithm = log(closed_form.exponential(source.words(compute_dtype(dtype))))
    # Below the floor every power is 0 or infinite, and its derivatives would be 0 * infinity.
    floor = 2.0 ** -(jnp.finfo(concentration.dtype).nmant + 13)
    concentration = jnp.maximum(concentration, floor)
    # Invert here: XLA multiplies by the reciprocal of a constant, but divides by a traced number.
    inverse = LOG2_E / concentration
    return finish(times_exp2(scale, logarithm * round_here(inverse)), dtype, above_zero=True)


# ---------------------------------------------------------------- log-uniform


@explain_call_errors
def loguniform(
    key: Key,
    shape: Shape,
    low: QuantityLike,
    high: QuantityLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw numbers whose logarithm is uniform (reciprocal distribution).

    .. math:: p(x) = \frac{1}{x \ln(high / low)}, \quad low \le x \le high

    Parameters
    ----------
    low, high : number, array or Quantity
        Bounds, positive and finite, low < high.

    Notes
    -----
    Numerics: counted in octaves from the nearer bound; bounds of 1e-30 and 1e30 lose no precision.
    """
    return draw(_loguniform(low, high), key, shape, dtype, out_sharding)


def _loguniform(low: Any, high: Any) -> Recipe:
    unit, (low, high) = sharing(low=roles.scale(low), high=roles.scale(high))
    return make_recipe(
        _loguniform_kernel, roles.increasing(low, high, unit), unit, bounds="closed",
        truncate=_LOGUNIFORM_WITHIN, law=_loguniform_law,
    )  # fmt: skip


class LogUniform(Initialization, function=loguniform, recipe=_loguniform):
    """Uniform in the logarithm; the twin of `loguniform`."""

    low: QuantityLike
    high: QuantityLike


def _loguniform_kernel(source: Source, dtype: np.dtype, low: Any, high: Any) -> jax.Array:
    x = closed_form.log_uniform(source.words(compute_dtype(dtype)), low, high)
    return finish(x, dtype, low, high)


def _loguniform_law(stats: Any, low: Any, high: Any) -> Any:
    return stats.loguniform(low, high)


_LOGUNIFORM_WITHIN = window(_loguniform_kernel, bounded=True)
