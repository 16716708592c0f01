"""Continuous distributions: for each its function, its recipe and its twin class."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype
from braininit._jax.settings import eager
from braininit._math import closed_form, standard, truncated
from braininit._math import gamma as gammas
from braininit._math.families import BETA
from braininit._math.von_mises import VON_MISES
from braininit._params import roles
from braininit._params.roles import Number, increasing, sharing
from braininit._params.types import DType, Key, QuantityLike, RealLike, Shape, Sharding, Values
from braininit.distributions import windows
from braininit.distributions.windows import window
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw, make_recipe

# ---------------------------------------------------------------- uniform


@explain_call_errors
def uniform(
    key: Key,
    shape: Shape,
    low: QuantityLike = 0.0,
    high: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the uniform distribution on [low, high).

    .. math:: p(x) = \frac{1}{high - low}, \quad low \le x < high

    Parameters
    ----------
    low, high : number, array or Quantity
        Bounds, finite, low < high.

    Notes
    -----
    Numerics: bit for bit `jax.random.uniform` on [0, 1) in float32 and float64. Bounds are rounded
    to the drawing dtype first and the result is rounded inward, so `high` is never drawn. Bounds of
    +-3e38 do not overflow.
    """
    return draw(_uniform(low, high), key, shape, dtype, out_sharding)


def _uniform(low: Any, high: Any) -> Recipe:
    unit, (low, high) = sharing(low=roles.location(low), high=roles.location(high))
    return make_recipe(
        _uniform_kernel,
        increasing(low, high, unit),
        unit,
        bounds="half-open",
        truncate=_UNIFORM_WITHIN,
    )


class Uniform(Initialization, function=uniform, recipe=_uniform):
    """Uniform on [low, high); the twin of `uniform`."""

    low: QuantityLike = 0.0
    high: QuantityLike = 1.0


def _uniform_kernel(source: Source, dtype: np.dtype, low: Any, high: Any) -> jax.Array:
    x = stretched(standard.uniform(source.words(compute_dtype(dtype))), low, high)
    return finish(x, dtype, low, high, open_high=True)


# ---------------------------------------------------------------- normal


@explain_call_errors
def normal(
    key: Key,
    shape: Shape,
    mean: QuantityLike = 0.0,
    std: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the normal (Gaussian) distribution.

    .. math:: p(x) = \frac{1}{std \sqrt{2\pi}} e^{-(x - mean)^2 / (2\, std^2)}

    Complex dtypes give circular complex draws, of variance std^2 around the mean.

    Parameters
    ----------
    mean : number, array or Quantity
        Mean, finite.
    std : number, array or Quantity
        Standard deviation, finite, std >= 0; 0 gives the mean.

    Notes
    -----
    Numerics: bit for bit `jax.random.normal` at mean 0 and std 1 in float32 and float64. Inside a
    larger compiled program XLA may fuse ``mean + std * z``, which moves the last bit.
    `jax.random.normal` returns only 128 distinct bfloat16 values; here they are rounded from
    float32.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.normal(jax.random.key(0), (1000,), mean=0.5 * u.nS, std=0.15 * u.nS)
    >>> w.unit
    Unit("nS")
    """
    return draw(_normal(mean, std), key, shape, dtype, out_sharding)


def _normal(mean: Any, std: Any) -> Recipe:
    unit, numbers = sharing(mean=roles.location(mean), std=roles.spread(std))
    return make_recipe(_normal_kernel, numbers, unit, dtypes="complex", truncate=_NORMAL_WITHIN)


class Normal(Initialization, function=normal, recipe=_normal):
    """Normal (Gaussian); the twin of `normal`."""

    mean: QuantityLike = 0.0
    std: QuantityLike = 1.0


def _normal_kernel(source: Source, dtype: np.dtype, mean: Any, std: Any) -> jax.Array:
    drawing_dtype = compute_dtype(dtype)
    if dtype.kind == "c":
        z = standard.complex_normal(source.pair(drawing_dtype))
        return mean.astype(dtype) + std.astype(dtype) * z
    return finish(mean + std * standard.normal(source.words(drawing_dtype)), dtype)


# ---------------------------------------------------------------- truncated normal


@explain_call_errors
def truncated_normal(
    key: Key,
    shape: Shape,
    mean: QuantityLike = 0.0,
    std: QuantityLike = 1.0,
    low: QuantityLike | None = None,
    high: QuantityLike | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the normal distribution truncated to [low, high].

    .. math:: p(x) \propto e^{-(x - mean)^2 / (2\, std^2)}, \quad low \le x \le high

    Parameters
    ----------
    mean : number, array or Quantity
        Mean of the normal before truncation, finite.
    std : number, array or Quantity
        Standard deviation of the normal before truncation, finite, std >= 0; 0 gives the mean, or
        the bound nearest to it.
    low, high : number, array or Quantity, optional
        Bounds, low < high, absolute and not in units of `std`. None or an infinity means no bound.

    Notes
    -----
    Numerics: inverts the survival function, by Mills' ratio, outwards from the point of [low, high]
    nearest to the mean. Tails are accurate as far out as the dtype reaches, where
    `jax.random.truncated_normal` returns a single value beyond 5.5 std. With scalar bounds exactly
    2 std below and above the mean, draws equal JAX's bit for bit.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.truncated_normal(jax.random.key(0), 1000, 0.5 * u.nS, 0.2 * u.nS, low=0 * u.nS)
    >>> bool((w >= 0 * u.nS).all())
    True
    """
    return draw(_truncated_normal(mean, std, low, high), key, shape, dtype, out_sharding)


def _truncated_normal(mean: Any, std: Any, low: Any, high: Any) -> Recipe:
    unit, (mean, std, low, high) = sharing(
        mean=roles.location(mean),
        std=roles.spread(std),
        low=roles.bound(-math.inf if low is None else low),
        high=roles.bound(math.inf if high is None else high),
    )
    numbers = (mean, std, *increasing(low, high, unit))
    return make_recipe(
        _truncated_kernel, numbers, unit, bounds="closed", sized=_prepared, truncate=_CUT_WITHIN
    )


class TruncatedNormal(Initialization, function=truncated_normal, recipe=_truncated_normal):
    """Normal, truncated at absolute bounds; the twin of `truncated_normal`."""

    mean: QuantityLike = 0.0
    std: QuantityLike = 1.0
    low: QuantityLike | None = None
    high: QuantityLike | None = None


def _truncated_kernel(
    source: Source, dtype: np.dtype, mean: Any, std: Any, low: Any, high: Any
) -> jax.Array:
    drawing_dtype = compute_dtype(dtype)
    x = truncated.truncated_normal(source.words(drawing_dtype), mean, std, low, high)
    return x if dtype == drawing_dtype else finish(x, dtype, low, high)


def _prepared(
    original: Recipe, shape: tuple[int, ...], dtype: np.dtype, context: Mapping[str, Any]
) -> Recipe:
    """The recipe with the word-independent part computed, if all parameters are plain floats."""
    if not all(type(value) is float for value in original.values):
        return original
    original.check_dtype(dtype)
    is_two_sigma, cut = _cut(compute_dtype(dtype), eager(), *original.values)
    return make_recipe(
        _cut_kernel, (Number("cut", cut, None),), original.unit, static=(is_two_sigma,)
    )


@functools.lru_cache(maxsize=1024)
def _cut(drawing_dtype: np.dtype, on_device: bool, *numbers: float) -> tuple[bool, Any]:
    # An array that is already on its device halves the time of an eager call.
    is_two_sigma, cut = truncated.prepared_numbers(drawing_dtype, *numbers)
    return is_two_sigma, jax.device_put(cut) if on_device else cut


def _cut_kernel(source: Source, dtype: np.dtype, is_two_sigma: bool, cut: Any) -> jax.Array:
    drawing_dtype, cut = compute_dtype(dtype), truncated.unpacked(*cut)
    x = truncated.between(source.words(drawing_dtype), cut, is_two_sigma)[0]
    return x if dtype == drawing_dtype else finish(x, dtype, cut.low, cut.high)


# ---------------------------------------------------------------- beta


@explain_call_errors
def beta(
    key: Key,
    shape: Shape,
    alpha: RealLike,
    beta: RealLike,
    low: QuantityLike = 0.0,
    high: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the beta distribution, rescaled to [low, high].

    .. math:: p(x) = \frac{y^{\alpha - 1} (1 - y)^{\beta - 1}}{(high - low)\,
        \mathrm{B}(\alpha, \beta)}, \quad y = \frac{x - low}{high - low}

    Parameters
    ----------
    alpha, beta : number or array
        Shape parameters, positive and finite.
    low, high : number, array or Quantity
        Bounds, finite, low < high.

    Notes
    -----
    Numerics: the ratio of two gamma variates, computed from their logarithms and counted from the
    nearer bound; never NaN. If `alpha` or `beta` is small, draws within rounding of a bound equal
    that bound.
    """
    return draw(_beta(alpha, beta, low, high), key, shape, dtype, out_sharding)


def _beta(alpha: Any, beta: Any, low: Any, high: Any) -> Recipe:
    shapes = roles.number("alpha", roles.shape(alpha)), roles.number("beta", roles.shape(beta))
    unit, (low, high) = sharing(low=roles.location(low), high=roles.location(high))
    numbers = (*shapes, *increasing(low, high, unit))
    return make_recipe(_beta_kernel, numbers, unit, bounds="closed", truncate=_BETA_WITHIN)


class Beta(Initialization, function=beta, recipe=_beta):
    """Beta, rescaled to [low, high]; the twin of `beta`."""

    alpha: RealLike
    beta: RealLike
    low: QuantityLike = 0.0
    high: QuantityLike = 1.0


def _beta_kernel(
    source: Source, dtype: np.dtype, alpha: Any, beta: Any, low: Any, high: Any
) -> jax.Array:
    pairs = [part.word_pairs(compute_dtype(dtype)) for part in source.split()]
    y, rest = gammas.beta_variate(*pairs, alpha, beta)
    near_low = y < 0.5  # count from the nearer bound, which may be 0
    x = jnp.where(near_low, stretched(y, low, high), stretched(rest, high, low))
    return finish(x, dtype, low, high)


# ---------------------------------------------------------------- laplace


@explain_call_errors
def laplace(
    key: Key,
    shape: Shape,
    loc: QuantityLike = 0.0,
    scale: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the Laplace (double exponential) distribution.

    .. math:: p(x) = \frac{1}{2\, scale} e^{-|x - loc| / scale}

    Parameters
    ----------
    loc : number, array or Quantity
        Mean and median, finite.
    scale : number, array or Quantity
        Mean distance from `loc`, positive and finite; the std is sqrt(2) scale.

    Notes
    -----
    Numerics: an exponential draw on either side of `loc`, out to 22.2 scales;
    `jax.random.laplace` ends at 16.6.
    """
    return draw(_laplace(loc, scale), key, shape, dtype, out_sharding)


def _laplace(loc: Any, scale: Any) -> Recipe:
    unit, numbers = sharing(loc=roles.location(loc), scale=roles.scale(scale))
    return make_recipe(_laplace_kernel, numbers, unit, truncate=_LAPLACE_WITHIN, law=_laplace_law)


class Laplace(Initialization, function=laplace, recipe=_laplace):
    """Laplace (double exponential); the twin of `laplace`."""

    loc: QuantityLike = 0.0
    scale: QuantityLike = 1.0


def _laplace_kernel(source: Source, dtype: np.dtype, loc: Any, scale: Any) -> jax.Array:
    return finish(loc + scale * closed_form.laplace(source.words(compute_dtype(dtype))), dtype)


def _laplace_within(
    source: Source, dtype: np.dtype, loc: Any, scale: Any, low: Any, high: Any
) -> jax.Array:
    word = source.words(compute_dtype(dtype))
    return finish(closed_form.laplace_within(word, loc, scale, low, high), dtype, low, high)


def _laplace_law(stats: Any, loc: Any, scale: Any) -> Any:
    return stats.laplace(loc, scale)


_LAPLACE_WITHIN = window(_laplace_within)

# ---------------------------------------------------------------- von mises


@explain_call_errors
def vonmises(
    key: Key,
    shape: Shape,
    mean: RealLike = 0.0,
    concentration: RealLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw angles from the von Mises distribution, in radians.

    .. math:: p(x) = \frac{e^{\kappa \cos(x - mean)}}{2 \pi I_0(\kappa)}, \quad
        |x - mean| \le \pi, \quad \kappa = concentration

    Parameters
    ----------
    mean : number or array
        Mean direction, finite, in radians; ``90 * u.degree`` is a pure number too. At most
        pi / eps of the dtype (2.6e7 in float32): beyond, rounding exceeds half a turn.
    concentration : number or array
        Concentration, finite, concentration >= 0. At 0 angles are uniform; if large, the variance
        is nearly 1 / concentration.

    Notes
    -----
    Numerics: inverts integrals of the density, as `truncated` does for gamma and beta.
    """
    return draw(_vonmises(mean, concentration), key, shape, dtype, out_sharding)


def _vonmises(mean: Any, concentration: Any) -> Recipe:
    numbers = (
        roles.number("concentration", roles.amount(concentration)),
        roles.number("mean", roles.direction(mean)),
        Number("low", -math.inf, roles.bound),
        Number("high", math.inf, roles.bound),
    )
    return make_recipe(
        windows.solved, numbers, static=(VON_MISES,), sized=windows.tabled,
        truncate=_VON_MISES_WITHIN, law=_vonmises_law,
    )  # fmt: skip


class VonMises(Initialization, function=vonmises, recipe=_vonmises):
    """Von Mises angles, in radians; the twin of `vonmises`."""

    mean: RealLike = 0.0
    concentration: RealLike = 1.0


def _vonmises_law(stats: Any, concentration: Any, mean: Any, *_: Any) -> Any:
    return stats.vonmises(concentration, mean)


_VON_MISES_WITHIN = window(windows.solved, static=(VON_MISES,), bounded=True, sized=windows.tabled)

# ---------------------------------------------------------------- shared


def stretched(y: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """Map y from [0, 1] to [low, high], also where high - low overflows, as with +-3e38."""
    # Halving is exact and undone afterwards; ordinary bounds are not halved.
    half = jnp.where(jnp.isfinite(high - low), jnp.ones_like(low), jnp.full_like(low, 0.5))
    return (y * (high * half - low * half) + low * half) / half


_UNIFORM_WITHIN = window(_uniform_kernel, bounded=True)
_NORMAL_WITHIN = window(_truncated_kernel, sized=_prepared)
_CUT_WITHIN = window(_truncated_kernel, bounded=True, sized=_prepared)
_BETA_WITHIN = window(
    windows.solved, static=(BETA,), bounded=True, whole=True, sized=windows.tabled
)
