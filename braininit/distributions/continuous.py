"""The continuous distributions: each a function and, right below it, its twin."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish
from braininit._engine.sampler import draw
from braininit._jax.dtypes import drawn_in, resolve
from braininit._math import standard as draws
from braininit._math.truncated import known, unpacked
from braininit._params import checks, units
from braininit._params.types import DType, Key, QuantityLike, RealLike, Shape, Sharding
from braininit.initializer.calls import explained
from braininit.initializer.initialization import Initialization

# ---------------------------------------------------------------- uniform


@explained
def uniform(
    key: Key,
    shape: Shape,
    low: QuantityLike = 0.0,
    high: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Any:
    r"""Draw from the uniform distribution on [low, high).

    .. math:: p(x) = \frac{1}{high - low}, \quad low \le x < high

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    low, high : number, array or Quantity
        Bounds, finite, low < high, of one dimension.
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `low`, in [low, high).

    Raises
    ------
    ValueError
        If a bound is not finite, if low >= high, or if the dtype has no value between.
    UnitError
        If the bounds differ in dimension.

    Notes
    -----
    Numerics: bit for bit `jax.random.uniform` on [0, 1) in float32 and float64. The
    bounds are rounded to the drawing dtype first and the result is rounded inward, so
    that `high` itself never comes out; bounds of +-3e38 do not overflow. 16-bit and
    8-bit floats are drawn in float32 and rounded once.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.uniform(jax.random.key(0), (1000,), 0.1 * u.nS, 1.0 * u.nS)
    >>> bool((w >= 0.1 * u.nS).all() and (w < 1.0 * u.nS).all())
    True
    """
    unit, (low, high) = units.off(low=low, high=high)
    low, high = checks.finite("low", low, unit), checks.finite("high", high, unit)
    low, high = checks.increasing("low", low, "high", high, unit)
    checks.fits(dtype, unit, low=low, high=high)
    checks.room(dtype, unit, low, high, open_high=True)
    x = draw(_uniform, key, shape, low, high, dtype=dtype, out_sharding=out_sharding, brief=True)
    return units.on(x, unit)


class Uniform(Initialization, function=uniform):
    """Uniform on [low, high); the twin of `uniform`.

    Parameters
    ----------
    low, high : number, array or Quantity
        Bounds, finite, low < high, of one dimension.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Uniform(0.1 * u.nS, 1.0 * u.nS)((2, 3), rng=0).shape
    (2, 3)
    """

    low: QuantityLike = 0.0
    high: QuantityLike = 1.0


def _uniform(key: Any, shape: Any, dtype: Any, low: Any, high: Any) -> jax.Array:
    x = _between(draws.uniform(key, shape, drawn_in(dtype)), low, high)
    return finish(x, dtype, low, high, open_high=True)


# ---------------------------------------------------------------- normal


@explained
def normal(
    key: Key,
    shape: Shape,
    mean: QuantityLike = 0.0,
    std: QuantityLike = 1.0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Any:
    r"""Draw from the normal (Gaussian) distribution.

    .. math:: p(x) = \frac{1}{std \sqrt{2\pi}} e^{-(x - mean)^2 / (2\, std^2)}

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    mean : number, array or Quantity
        Mean, finite.
    std : number, array or Quantity
        Standard deviation, finite, std >= 0; 0 gives the mean.
    dtype : dtype, optional
        A real floating dtype, or a complex one for the circular complex normal, whose
        real and imaginary parts have variance std^2 / 2. None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `mean`.

    Raises
    ------
    ValueError
        If `mean` is not finite, or `std` negative, NaN or infinite.
    UnitError
        If the parameters differ in dimension.

    Notes
    -----
    Numerics: bit for bit `jax.random.normal` at mean 0 and std 1 in float32 and
    float64. Within a larger compiled program XLA may contract ``mean + std * z`` into
    a fused multiply-add, which moves the last bit. 16-bit and 8-bit floats are drawn
    in float32 and rounded once, where jax.random draws bfloat16 from 128 values.
    A draw beyond the largest number of the dtype (65504 in float16) is that number.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.normal(jax.random.key(0), (1000,), mean=0.5 * u.nS, std=0.15 * u.nS)
    >>> w.unit
    Unit("nS")
    """
    unit, (mean, std) = units.off(mean=mean, std=std)
    mean, std = checks.finite("mean", mean, unit), checks.non_negative("std", std, unit)
    checks.fits(dtype, unit, mean=mean, std=std)
    x = draw(
        _normal, key, shape, mean, std, dtype=dtype, out_sharding=out_sharding, complex_too=True
    )
    return units.on(x, unit)


class Normal(Initialization, function=normal):
    """Normal (Gaussian); the twin of `normal`.

    Parameters
    ----------
    mean : number, array or Quantity
        Mean, finite.
    std : number, array or Quantity
        Standard deviation, finite, std >= 0; 0 gives the mean.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Normal(0.5 * u.nS, 0.15 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    mean: QuantityLike = 0.0
    std: QuantityLike = 1.0


def _normal(key: Any, shape: Any, dtype: Any, mean: Any, std: Any) -> jax.Array:
    kind = drawn_in(dtype)
    if not jnp.issubdtype(dtype, np.complexfloating):
        return finish(mean + std * draws.normal(key, shape, kind), dtype)
    return mean.astype(dtype) + std.astype(dtype) * draws.complex_normal(key, shape, kind)


# ---------------------------------------------------------------- truncated normal


@explained
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
) -> Any:
    r"""Draw from a normal distribution cut off at absolute bounds.

    .. math:: p(x) \propto e^{-(x - mean)^2 / (2\, std^2)}, \quad low \le x \le high

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    mean : number, array or Quantity
        Mean of the parent normal, finite.
    std : number, array or Quantity
        Standard deviation of the parent normal, finite, std >= 0; 0 gives the mean,
        brought to the nearest bound.
    low, high : number, array or Quantity, optional
        Bounds, low < high, in the same units as `mean`; None or an infinity is open.
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `mean`, in [low, high].

    Raises
    ------
    ValueError
        If `mean` is not finite, `std` negative, NaN or infinite, low >= high, or the
        dtype has no value between the bounds.
    UnitError
        If the parameters differ in dimension.

    Notes
    -----
    Numerics: the survival function is inverted from the point of [low, high] nearest
    to the mean outwards, through Mills' ratio, so that tails are right as far out as
    the dtype reaches; `jax.random.truncated_normal` has one value beyond 5.5 std. With
    scalar bounds at exactly -2 and 2 std the draws are bit for bit jax.random's. 16-bit
    and 8-bit floats are drawn in float32 and rounded once, inward.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.truncated_normal(
    ...     jax.random.key(0), (1000,), 0.5 * u.nS, 0.2 * u.nS, 0 * u.nS, 1 * u.nS
    ... )
    >>> bool((w >= 0 * u.nS).all() and (w <= 1 * u.nS).all())
    True
    """
    unit, (mean, std, low, high) = units.off(
        mean=mean,
        std=std,
        low=-math.inf if low is None else low,
        high=math.inf if high is None else high,
    )
    mean, std = checks.finite("mean", mean, unit), checks.non_negative("std", std, unit)
    low, high = checks.increasing("low", low, "high", high, unit)
    checks.fits(dtype, unit, mean=mean, std=std, low=low, high=high)
    checks.room(dtype, unit, low, high)
    kernel, static, given = _truncated_normal, (), (mean, std, low, high)
    numbers = [p for p in given if type(p) is float]
    if len(numbers) == len(given):
        standard, cut = known(drawn_in(resolve(dtype)), *numbers)
        kernel, static, given = _cut_normal, (standard,), ((cut,),)
    x = draw(kernel, key, shape, *given, static=static, dtype=dtype, out_sharding=out_sharding)
    return units.on(x, unit)


class TruncatedNormal(Initialization, function=truncated_normal):
    """Normal cut off at absolute bounds; the twin of `truncated_normal`.

    Parameters
    ----------
    mean : number, array or Quantity
        Mean of the parent normal, finite.
    std : number, array or Quantity
        Standard deviation of the parent normal, finite, std >= 0.
    low, high : number, array or Quantity, optional
        Bounds, low < high; None is open.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.TruncatedNormal(0.5 * u.nS, 0.2 * u.nS, low=0 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    mean: QuantityLike = 0.0
    std: QuantityLike = 1.0
    low: QuantityLike | None = None
    high: QuantityLike | None = None


def _truncated_normal(
    key: Any, shape: Any, dtype: Any, mean: Any, std: Any, low: Any, high: Any
) -> jax.Array:
    kind = drawn_in(dtype)
    x = draws.truncated_normal(key, shape, kind, mean, std, low, high)
    return x if dtype == kind else finish(x, dtype, low, high)


def _cut_normal(
    key: Any, shape: Any, dtype: Any, standard: bool, numbers: tuple[jax.Array]
) -> jax.Array:
    kind, cut = drawn_in(dtype), unpacked(*numbers)
    x = draws.cut_normal(key, shape, kind, standard, cut)
    return x if dtype == kind else finish(x, dtype, cut.low, cut.high)


# ---------------------------------------------------------------- beta


@explained
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
) -> Any:
    r"""Draw from the beta distribution, rescaled to [low, high].

    .. math:: p(x) = \frac{y^{\alpha - 1} (1 - y)^{\beta - 1}}{(high - low)\,
        \mathrm{B}(\alpha, \beta)}, \quad y = \frac{x - low}{high - low}

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    alpha, beta : number or array
        Shape parameters, positive and finite; pure numbers.
    low, high : number, array or Quantity
        Bounds, finite, low < high, of one dimension.
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `low`, in [low, high].

    Raises
    ------
    ValueError
        If `alpha` or `beta` is not positive and finite, a bound not finite, or
        low >= high.
    UnitError
        If `alpha` or `beta` carries a unit, or the bounds differ in dimension.

    Notes
    -----
    Numerics: the ratio of two gamma variates by their logarithms, never NaN, counted
    from the nearer bound. Where `alpha` or `beta` is small, draws within rounding of a bound
    are that bound. 16-bit
    and 8-bit floats are drawn in float32 and rounded once.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.beta(jax.random.key(0), (1000,), 2.0, 5.0, 0 * u.nS, 1 * u.nS)
    >>> bool((w >= 0 * u.nS).all() and (w <= 1 * u.nS).all())
    True
    """
    alpha = checks.positive("alpha", units.dimensionless("alpha", alpha))
    beta = checks.positive("beta", units.dimensionless("beta", beta))
    unit, (low, high) = units.off(low=low, high=high)
    low, high = checks.finite("low", low, unit), checks.finite("high", high, unit)
    low, high = checks.increasing("low", low, "high", high, unit)
    checks.fits(dtype, unit, low=low, high=high, alpha=alpha, beta=beta)
    checks.room(dtype, unit, low, high)
    x = draw(_beta, key, shape, alpha, beta, low, high, dtype=dtype, out_sharding=out_sharding)
    return units.on(x, unit)


class Beta(Initialization, function=beta):
    """Beta, rescaled to [low, high]; the twin of `beta`.

    Parameters
    ----------
    alpha, beta : number or array
        Shape parameters, positive and finite; pure numbers.
    low, high : number, array or Quantity
        Bounds, finite, low < high, of one dimension.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Beta(2.0, 5.0, 0 * u.nS, 1 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    alpha: RealLike
    beta: RealLike
    low: QuantityLike = 0.0
    high: QuantityLike = 1.0


def _beta(key: Any, shape: Any, dtype: Any, alpha: Any, beta: Any, low: Any, high: Any) -> Any:
    y, rest = draws.beta(key, shape, drawn_in(dtype), alpha, beta)
    near_low = y < 0.5  # counted from the nearer bound, which may be 0
    x = jnp.where(near_low, _between(y, low, high), _between(rest, high, low))
    return finish(x, dtype, low, high)


# ---------------------------------------------------------------- what they share


def _between(y: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """Take y from [0, 1] to [low, high]; high - low may overflow, as with +-3e38."""
    # Halving is exact and is undone after, so ordinary bounds see no difference at all.
    half = jnp.where(jnp.isfinite(high - low), jnp.ones_like(low), jnp.full_like(low, 0.5))
    return (y * (high * half - low * half) + low * half) / half
