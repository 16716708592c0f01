"""Distributions of whole numbers: for each its function, its recipe and its twin class.

Draws are floats by default, as everywhere, or of the integer dtype that the caller names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from braininit._engine.rounding import finish, finish_whole, no_number
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype
from braininit._jax.settings import setting
from braininit._math import counts
from braininit._params import roles
from braininit._params.roles import Number, increasing, number
from braininit._params.types import DType, Key, RealLike, Shape, Sharding, Values
from braininit._params.units import show
from braininit.distributions.windows import window
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw, make_recipe

# ---------------------------------------------------------------- uniform on whole numbers


@explain_call_errors
def uniform_int(
    key: Key,
    shape: Shape,
    low: RealLike,
    high: RealLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw whole numbers from `low` up to, but not including, `high`.

    .. math:: p(k) = \frac{1}{high - low}, \quad k = low, low + 1, \dots, high - 1

    Parameters
    ----------
    low, high : number or array
        Whole numbers, low < high, below 2^31; in arrays, which are converted to floats, below 2^24.
        With ``jax_enable_x64`` below 2^53.

    Notes
    -----
    Numerics: bit for bit ``jax.random.randint`` in int32, also for narrower dtypes. Each draw uses
    64 random bits, so probabilities are equal to within (high - low) / 2^64;
    ``jax.random.randint`` in int8 and int16 uses 16 and 32 bits.

    Examples
    --------
    >>> import jax, braininit as init
    >>> init.uniform_int(jax.random.key(0), 5, 0, 10, dtype=int)
    Array([9, 0, 2, 3, 1], dtype=int32)
    """
    return draw(_uniform_int(low, high), key, shape, dtype, out_sharding)


def _uniform_int(low: Any, high: Any) -> Recipe:
    bounds = _bound("low", roles.whole(low)), _bound("high", roles.end(high))
    if not any(map(_is_traced_integer, (low, high))):
        bounds = increasing(*bounds)
    low, high = map(_exact, bounds)
    return make_recipe(
        _uniform_int_kernel, (low, high), dtypes="whole", truncate=_uniform_int_within
    )


class UniformInt(Initialization, function=uniform_int, recipe=_uniform_int):
    """Whole numbers, all equally likely; the twin of `uniform_int`."""

    low: RealLike
    high: RealLike


def _bound(name: str, given: roles.Given) -> Number:
    """A checked bound; a traced integer keeps its dtype, since a float might not hold it."""
    value = given.value
    return Number(name, value, given.role) if _is_traced_integer(value) else number(name, given)


def _is_traced_integer(value: Any) -> bool:
    return isinstance(value, Tracer) and jnp.issubdtype(value.dtype, np.integer)


_WITHOUT_X64 = "without jax_enable_x64; enable it"


def _exact(bound: Number) -> Number:
    """The bound, as an int32 where a float32 might not hold it."""
    value, x64 = bound.value, setting("jax_enable_x64")
    if isinstance(value, Tracer):
        return bound
    size, is_scalar = float(np.max(np.abs(value), initial=0.0)), type(value) is float
    most = 2.0**53 if x64 else 2.0**31 - 1 if is_scalar else 2.0**24
    if size > most and not (is_scalar and value == -(2.0**31)):
        furthest = np.ravel(value)[np.argmax(np.abs(np.ravel(value)))].item()
        raise ValueError(
            f"`{bound.name}` = {show(furthest)} is beyond the largest exact whole number "
            + ("in float64" if x64 else f"{'' if is_scalar else 'in an array '}{_WITHOUT_X64}")
        )
    return bound._replace(value=np.int32(value)) if is_scalar and 2**24 < size <= 2**31 else bound


def _uniform_int_kernel(source: Source, dtype: np.dtype, low: Any, high: Any) -> jax.Array:
    drawing_dtype = compute_dtype(dtype)
    valid = low < high  # False for NaN
    ends = low.astype(drawing_dtype), high.astype(drawing_dtype) - 1
    low, high = (
        jnp.where(valid, x, 0).astype(f"int{8 * drawing_dtype.itemsize}") for x in (low, high)
    )
    higher, lower = source.pair(drawing_dtype)
    span = jnp.where(valid, (high - low).astype(lower.dtype), 1)
    power = np.asarray(2 ** (4 * drawing_dtype.itemsize), lower.dtype) % span
    above = higher % span * (power * power % span)
    k = low + ((above + lower % span) % span).astype(low.dtype)
    if dtype.kind in "iu":
        return jnp.where(valid, k.astype(dtype), no_number(dtype))
    return jnp.where(valid, finish(k.astype(drawing_dtype), dtype, *ends), jnp.nan)


def _uniform_int_within(base: Recipe, low: Number, high: Number) -> Recipe:
    values = [n.value for n in (*base.numbers(), low, high)]
    xp: Any = jnp if any(isinstance(value, Tracer) for value in values) else np
    start, end, least, most = values
    least, most = xp.maximum(xp.ceil(least), start), xp.minimum(xp.floor(most) + 1, end)
    return _uniform_int(least, most)


# ---------------------------------------------------------------- poisson


@explain_call_errors
def poisson(
    key: Key,
    shape: Shape,
    mean: RealLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the Poisson distribution.

    .. math:: p(k) = \frac{mean^k}{k!} e^{-mean}, \quad k = 0, 1, 2, \dots

    Parameters
    ----------
    mean : number or array
        Mean, 0 or more.

    Notes
    -----
    Numerics: rejection from an envelope of the probabilities, exact for every mean up to the
    rounding of their logarithms. The stream is not ``jax.random.poisson``'s, which uses Knuth's and
    Hörmann's algorithms. An integer dtype must hold the mean plus 8 standard deviations plus 20.
    Draws have no derivative in the mean.

    Examples
    --------
    >>> import jax, braininit as init
    >>> init.poisson(jax.random.key(0), 5, 3.0, dtype=int)
    Array([5, 4, 4, 4, 3], dtype=int32)
    """
    return draw(_poisson(mean), key, shape, dtype, out_sharding)


def _poisson(mean: Any) -> Recipe:
    numbers = (number("mean", roles.rate(mean)),)
    return make_recipe(_poisson_kernel, numbers, dtypes="whole", truncate=_POISSON_WITHIN)


class Poisson(Initialization, function=poisson, recipe=_poisson):
    """Poisson; the twin of `poisson`."""

    mean: RealLike


def _poisson_kernel(source: Source, dtype: np.dtype, mean: Any) -> jax.Array:
    return _poisson_within(source, dtype, mean, jnp.zeros_like(mean), jnp.full_like(mean, jnp.inf))


def _poisson_within(source: Source, dtype: np.dtype, mean: Any, low: Any, high: Any) -> jax.Array:
    low, high = jnp.ceil(jnp.maximum(low, 0)), jnp.floor(high)
    low = jnp.where((mean == 0) & (low > 0), jnp.nan, low)
    return finish_whole(*_counted(source, dtype, counts.poisson, low, high, mean), dtype)


# ---------------------------------------------------------------- binomial


@explain_call_errors
def binomial(
    key: Key,
    shape: Shape,
    n: RealLike,
    p: RealLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from the binomial distribution.

    .. math:: p(k) = \binom{n}{k} p^k (1 - p)^{n - k}, \quad k = 0, 1, \dots, n

    Parameters
    ----------
    n : number or array
        Number of trials, a whole number, 0 or more.
    p : number or array
        Probability of success in each trial, from 0 to 1.

    Notes
    -----
    Numerics: as `poisson`; exact for n up to 2^24 in float32, beyond that as exact as n and p are.
    The stream is not ``jax.random.binomial``'s.

    Examples
    --------
    >>> import jax, braininit as init
    >>> init.binomial(jax.random.key(0), 5, 10, [0.1, 0.3, 0.5, 0.7, 0.9], dtype=int)
    Array([0, 4, 7, 6, 9], dtype=int32)
    """
    return draw(_binomial(n, p), key, shape, dtype, out_sharding)


def _binomial(n: Any, p: Any) -> Recipe:
    numbers = number("n", roles.count(n)), number("p", roles.fraction(p))
    return make_recipe(_binomial_kernel, numbers, dtypes="whole", truncate=_BINOMIAL_WITHIN)


class Binomial(Initialization, function=binomial, recipe=_binomial):
    """Binomial; the twin of `binomial`."""

    n: RealLike
    p: RealLike


def _binomial_kernel(source: Source, dtype: np.dtype, n: Any, p: Any) -> jax.Array:
    return _binomial_within(source, dtype, n, p, jnp.zeros_like(n), n)


def _binomial_within(
    source: Source, dtype: np.dtype, n: Any, p: Any, low: Any, high: Any
) -> jax.Array:
    low, high = jnp.ceil(jnp.maximum(low, 0)), jnp.floor(jnp.minimum(high, n))
    # Where p > 1/2, draw failures instead: 1 - p is exact, and so is n less a bound near n.
    many = p > 0.5
    p, low, high = (
        jnp.where(many, other, x) for x, other in ((p, 1 - p), (low, n - high), (high, n - low))
    )
    low = jnp.where((p == 0) & (low > 0), jnp.nan, low)
    mode, beside = _counted(source, dtype, counts.binomial, low, high, n, p)
    few = mode < 2.0**22  # then n stays as it is: n - mode might round
    base = jnp.where(many, jnp.where(few, n, n - mode), mode)
    more = jnp.where(many, -jnp.where(few, mode + beside, beside), beside)
    return finish_whole(base, more, dtype)


# ---------------------------------------------------------------- shared by poisson and binomial


def _counted(
    source: Source, dtype: np.dtype, law: Callable[..., Any], low: Any, high: Any, *numbers: Any
) -> tuple[jax.Array, jax.Array]:
    """Draws between two whole numbers, each as two addends; NaN where none lies between."""
    drawing_dtype = compute_dtype(dtype)
    numbers = (*numbers, jnp.where(low <= high, low, jnp.nan), high)
    numbers = tuple(lax.stop_gradient(x) for x in numbers)

    def words(attempt: Any) -> tuple[Any, Any, Any]:
        first = _FIRST_FOLDED + 2 * attempt
        place, spot = source.folded(first).word_pairs(drawing_dtype)
        return place, spot, source.folded(first + np.uint32(1)).words(drawing_dtype)

    return counts.draw(law, numbers, words, source.shape)


_FIRST_FOLDED = np.uint32(0x9E370001)
"""The first number folded into the key, two for each round. Users' keys come from small numbers,
folded in or counted by `jax.random.split`, so the streams don't meet."""

_POISSON_WITHIN = window(_poisson_within, counts=True, dtypes="whole")
_BINOMIAL_WITHIN = window(_binomial_within, counts=True, up_to="n", dtypes="whole")
