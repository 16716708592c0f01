"""Distributions of whole numbers: each a function, its recipe and, right below, its twin.

Their draws are floats, as all others are, or of an integer dtype that is asked for.
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
from braininit._jax.dtypes import drawn_in
from braininit._jax.settings import setting
from braininit._math import counts
from braininit._params import roles
from braininit._params.roles import Number, increasing, number
from braininit._params.types import DType, Key, RealLike, Shape, Sharding, Values
from braininit._params.units import show
from braininit.distributions.windows import window
from braininit.initializer.calls import explained
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw, recipe

# ---------------------------------------------------------------- uniform on whole numbers


@explained
def uniform_int(
    key: Key,
    shape: Shape,
    low: RealLike,
    high: RealLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw whole numbers from `low` up to, but without, `high`.

    .. math:: p(k) = \frac{1}{high - low}, \quad k = low, low + 1, \dots, high - 1

    Parameters
    ----------
    low, high : number or array
        Whole numbers, low < high, below 2^31; as arrays, of which floats are made, below 2^24.
        With ``jax_enable_x64`` below 2^53.

    Notes
    -----
    Numerics: bit for bit ``jax.random.randint``, of 32 bits for all narrower dtypes: from 64 random
    bits, so that numbers are equally likely to (high - low) / 2^64. In int8 and int16
    ``jax.random.randint`` makes them from 16 and 32 bits.

    Examples
    --------
    >>> import jax, braininit as init
    >>> init.uniform_int(jax.random.key(0), 5, 0, 10, dtype=int)
    Array([9, 0, 2, 3, 1], dtype=int32)
    """
    return draw(_uniform_int(low, high), key, shape, dtype, out_sharding)


def _uniform_int(low: Any, high: Any) -> Recipe:
    ends = _end("low", roles.whole(low)), _end("high", roles.end(high))
    if not any(map(_is_traced_integer, (low, high))):
        ends = increasing(*ends)
    low, high = map(_held, ends)
    return recipe(_uniform_int_kernel, (low, high), kinds="whole", cut=_uniform_int_within)


class UniformInt(Initialization, function=uniform_int, recipe=_uniform_int):
    """Whole numbers, all equally likely; the twin of `uniform_int`."""

    low: RealLike
    high: RealLike


def _end(name: str, given: roles.Given) -> Number:
    """Integers that are traced stay what they are: a float might not hold them."""
    value = given.value
    return Number(name, value, given.role) if _is_traced_integer(value) else number(name, given)


def _is_traced_integer(value: Any) -> bool:
    return isinstance(value, Tracer) and jnp.issubdtype(value.dtype, np.integer)


_WITHOUT_X64 = "without jax_enable_x64; enable it"


def _held(end: Number) -> Number:
    """An end that a float of the drawing dtype might not hold, as an integer."""
    value, x64 = end.value, setting("jax_enable_x64")
    if isinstance(value, Tracer):
        return end
    size, exact = float(np.max(np.abs(value), initial=0.0)), type(value) is float
    least = value == -(2.0**31) if exact else False
    if not least and size > (2.0**53 if x64 else (2.0**31 - 1 if exact else 2.0**24)):
        furthest = np.ravel(value)[np.argmax(np.abs(np.ravel(value)))].item()
        raise ValueError(
            f"`{end.name}` = {show(furthest)} is beyond the whole numbers that are told apart "
            + ("in float64" if x64 else f"{'' if exact else 'in an array '}{_WITHOUT_X64}")
        )
    return end._replace(value=np.int32(value)) if exact and 2**24 < size <= 2**31 else end


def _uniform_int_kernel(source: Source, dtype: np.dtype, low: Any, high: Any) -> jax.Array:
    kind = drawn_in(dtype)
    good = low < high  # NaN is not
    ends = low.astype(kind), high.astype(kind) - 1
    low, high = (jnp.where(good, x, 0).astype(f"int{8 * kind.itemsize}") for x in (low, high))
    higher, lower = source.pair(kind)
    span = jnp.where(good, (high - low).astype(lower.dtype), 1)
    power = np.asarray(2 ** (4 * kind.itemsize), lower.dtype) % span
    above = higher % span * (power * power % span)
    k = low + ((above + lower % span) % span).astype(low.dtype)
    if dtype.kind in "iu":
        return jnp.where(good, k.astype(dtype), no_number(dtype))
    return jnp.where(good, finish(k.astype(kind), dtype, *ends), jnp.nan)


def _uniform_int_within(made: Recipe, low: Number, high: Number) -> Recipe:
    values = [n.value for n in (*made.numbers(), low, high)]
    xp: Any = jnp if any(isinstance(value, Tracer) for value in values) else np
    start, end, least, most = values
    least, most = xp.maximum(xp.ceil(least), start), xp.minimum(xp.floor(most) + 1, end)
    return _uniform_int(least, most)


# ---------------------------------------------------------------- poisson


@explained
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
    Numerics: by rejection from a cover of the probabilities, exact up to the rounding of their
    logarithm, for all means. The stream is not that of ``jax.random.poisson``, which draws one
    number after another. An integer dtype needs room for 8 standard deviations and 20 above the
    mean. There is no derivative by the mean.

    Examples
    --------
    >>> import jax, braininit as init
    >>> init.poisson(jax.random.key(0), 5, 3.0, dtype=int)
    Array([5, 4, 4, 4, 3], dtype=int32)
    """
    return draw(_poisson(mean), key, shape, dtype, out_sharding)


def _poisson(mean: Any) -> Recipe:
    numbers = (number("mean", roles.rate(mean)),)
    return recipe(_poisson_kernel, numbers, kinds="whole", cut=_POISSON_WITHIN)


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


@explained
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
        Probability of each, from 0 to 1.

    Notes
    -----
    Numerics: as `poisson`; exact for n up to 2^24 in float32, above it as exact as n and p are. The
    stream is not ``jax.random.binomial``'s.

    Examples
    --------
    >>> import jax, braininit as init
    >>> init.binomial(jax.random.key(0), 5, 10, [0.1, 0.3, 0.5, 0.7, 0.9], dtype=int)
    Array([0, 4, 7, 6, 9], dtype=int32)
    """
    return draw(_binomial(n, p), key, shape, dtype, out_sharding)


def _binomial(n: Any, p: Any) -> Recipe:
    numbers = number("n", roles.count(n)), number("p", roles.fraction(p))
    return recipe(_binomial_kernel, numbers, kinds="whole", cut=_BINOMIAL_WITHIN)


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
    # Failures where they are the fewer: 1 - p is exact, and so is what is close to it.
    many = p > 0.5
    p, low, high = (
        jnp.where(many, other, x) for x, other in ((p, 1 - p), (low, n - high), (high, n - low))
    )
    low = jnp.where((p == 0) & (low > 0), jnp.nan, low)
    mode, beside = _counted(source, dtype, counts.binomial, low, high, n, p)
    few = mode < 2.0**22  # then n is better left as it is than rounded anew
    base = jnp.where(many, jnp.where(few, n, n - mode), mode)
    more = jnp.where(many, -jnp.where(few, mode + beside, beside), beside)
    return finish_whole(base, more, dtype)


# ---------------------------------------------------------------- what both share


def _counted(
    source: Source, dtype: np.dtype, law: Callable[..., Any], low: Any, high: Any, *numbers: Any
) -> tuple[jax.Array, jax.Array]:
    """Draws of a law between two whole numbers, in two parts; NaN where there is none."""
    kind = drawn_in(dtype)
    numbers = (*numbers, jnp.where(low <= high, low, jnp.nan), high)
    numbers = tuple(lax.stop_gradient(x) for x in numbers)

    def words(at: Any) -> tuple[Any, Any, Any]:
        first = _APART + 2 * at
        place, spot = source.folded(first).word_pairs(kind)
        return place, spot, source.folded(first + np.uint32(1)).words(kind)

    return counts.drawn(law, numbers, words, source.shape)


_APART = np.uint32(0x9E370001)
"""The first of the numbers by which rounds have their keys. Users' keys have the small ones: they
are split from this one, or small numbers folded in."""

_POISSON_WITHIN = window(_poisson_within, counts=True, kinds="whole")
_BINOMIAL_WITHIN = window(_binomial_within, counts=True, up_to="n", kinds="whole")
