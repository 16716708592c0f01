"""Kernels of truncated distributions, accurate in every tail.

`window` makes the `truncate` of a recipe from a kernel ``(source, dtype, *parameters, low, high)``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype, finfo, is_symbolic
from braininit._math import closed_form
from braininit._math import truncated as normals
from braininit._math.elementary import LOG2_E, times_exp2
from braininit._math.families import GAMMA, Family, log_ratio
from braininit._math.log_concave import draw, looked_up, table
from braininit._math.lognormal import log_variance, root
from braininit._params.representable import refuse_without_whole
from braininit._params.roles import Number, bound, increasing
from braininit.initializer.recipe import Recipe, make_recipe

__all__ = ["exponential", "lognormal", "solved", "tabled", "weibull", "window"]


def window(
    kernel: Callable[..., jax.Array],
    *,
    positive: bool = False,
    bounded: bool = False,
    whole: bool = False,
    counts: bool = False,
    up_to: str | None = None,
    **facts: Any,
) -> Callable[..., Recipe]:
    """Make the `truncate` of a recipe from the kernel of the truncated distribution.

    `positive`: draws are above 0. `bounded`: the last two parameters are bounds already; with
    `whole` the kernel takes them too. `counts`: draws are whole numbers from 0 up, to the parameter
    that `up_to` names.
    """

    def truncate(base: Recipe, low: Number, high: Number) -> Recipe:
        numbers, own = base.numbers(), ()
        least, most = low.value, high.value
        if bounded:
            *numbers, start, end = numbers
            own = (start, end) if whole else ()
            least, most = _extreme(max, least, start.value), _extreme(min, most, end.value)
        elif positive:
            least = _extreme(max, least, 0.0)
        elif counts:
            least = _extreme(max, least, 0.0)
            for n in numbers:
                most = _extreme(min, most, n.value) if n.name == up_to else most
        low = low if least is low.value else Number("low of base", least, bound)
        high = high if most is high.value else Number("high of base", most, bound)
        if counts:
            refuse_without_whole(low, high)
        else:
            low, high = increasing(low, high, base.unit)
        ends = (low._replace(name="low"), high._replace(name="high"))
        return make_recipe(
            kernel,
            (*numbers, *own, *ends),
            base.unit,
            bounds="" if counts else "positive" if positive else "closed",
            truncate=truncate if not whole and not positive else None,
            **facts,
        )

    return truncate


def _extreme(extreme: Callable[..., Any], x: Any, y: Any) -> Any:
    """The larger (`max`) or the smaller (`min`) of two bounds."""
    if type(x) is float and type(y) is float:
        return extreme(x, y)
    xp = jnp if isinstance(x, jax.Array) or isinstance(y, jax.Array) else np
    return (xp.maximum if extreme is max else xp.minimum)(x, y)


# ---------------------------------------------------------------- in closed form


def exponential(source: Source, dtype: np.dtype, scale: Any, low: Any, high: Any) -> jax.Array:
    open_high = high == jnp.inf
    span = jnp.where(open_high, scale, high) - low
    e, part = _restricted(source, dtype, jnp.where(open_high, jnp.inf, span / scale))
    # In a narrow window, a fraction of its width, which may underflow in units of the scale.
    x = low + jnp.where(~open_high & (span < scale), span * part, scale * e)
    return _above_zero(x, dtype, low, high)


def _restricted(source: Source, dtype: np.dtype, width: Any) -> tuple[jax.Array, jax.Array]:
    """Standard exponential draws on [0, width], exact at both ends; also as fractions of width."""
    e = closed_form.exponential(source.words(compute_dtype(dtype)))
    p, beyond = -jnp.expm1(-e), jnp.exp(-width)
    mass = p * -jnp.expm1(-width)
    inner = mass < 0.5
    near = -jnp.log1p(-jnp.where(inner, mass, 0.0))
    far = -jnp.log(jnp.where(inner, 1.0, jnp.exp(-e) + p * beyond))
    e = jnp.where(inner, near, far)
    narrow = width < float(jnp.finfo(e.dtype).eps) ** 0.5  # width**2 is below rounding
    part = jnp.where(narrow, p * (1.0 - 0.5 * width * (1.0 - p)), e / jnp.where(narrow, 1.0, width))
    return e, part


def weibull(
    source: Source, dtype: np.dtype, concentration: Any, scale: Any, low: Any, high: Any
) -> jax.Array:
    # g = (x / scale)^k is a standard exponential between the powers of the bounds. Either power
    # may under- or overflow, so count the draw from the bound whose power does not.
    open_low, open_high = low <= 0.0, high == jnp.inf
    below, above = jnp.where(open_low, scale, low), jnp.where(open_high, scale, high)
    most = 0.9 * math.log(jnp.finfo(scale.dtype).max)

    def power(x: jax.Array) -> jax.Array:
        return jnp.exp(jnp.minimum(concentration * log_ratio(x, scale, x - scale), most))

    g_low = jnp.where(open_low, 0.0, power(below))
    g_high = jnp.where(open_high, jnp.inf, power(above))
    reach = jnp.where(
        open_low | open_high, 1.0, concentration * log_ratio(above, below, above - below)
    )
    from_low, from_high = g_low >= 0.5, g_high <= 1.0
    known = from_low & ~open_high
    grown = g_low * jnp.expm1(jnp.where(known, jnp.minimum(reach, most), 1.0))
    e, part = _restricted(source, dtype, jnp.where(known, grown, g_high - g_low))
    kept_part = jnp.where(open_low, 0.0, jnp.exp(-reach))
    ratio = jnp.where(from_high, kept_part + (1.0 - kept_part) * part, g_low + e)
    grown = jnp.where(
        from_low,
        jnp.log1p(e / jnp.where(from_low, g_low, 1.0)),
        jnp.log(jnp.where(from_low, 1.0, ratio)),
    )
    start = jnp.where(from_low, below, jnp.where(from_high, above, scale))
    x = times_exp2(start, grown / concentration * LOG2_E)  # the power alone may overflow
    return _above_zero(x, dtype, low, high)


def lognormal(
    source: Source, dtype: np.dtype, mean: Any, std: Any, low: Any, high: Any
) -> jax.Array:
    # The logarithm is normal. Count it from the point of [low, high] nearest to the median: most
    # draws are close to it and keep their digits.
    variance = log_variance(mean, std)
    open_low, open_high = low <= 0.0, high == jnp.inf
    below, above = jnp.where(open_low, mean, low), jnp.where(open_high, mean, high)
    median = jnp.maximum(mean * jnp.exp(-variance / 2), jnp.finfo(mean.dtype).tiny)
    from_low, from_high = ~open_low & (median < below), ~open_high & (median > above)
    start = jnp.where(from_low, below, jnp.where(from_high, above, median))
    middle = log_ratio(mean, start, mean - start) - variance / 2
    middle = jnp.where(from_low | from_high, middle, 0.0)
    near = jnp.where(open_low, -jnp.inf, log_ratio(below, start, below - start))
    far = jnp.where(open_high, jnp.inf, log_ratio(above, start, above - start))
    word = source.words(compute_dtype(dtype))
    z = normals.truncated_normal(word, middle, root(variance), near, far)
    return _above_zero(times_exp2(start, z * LOG2_E), dtype, low, high)


def _above_zero(x: jax.Array, dtype: np.dtype, low: jax.Array, high: jax.Array) -> jax.Array:
    """Round a draw inward, never to 0."""
    return finish(x, dtype, jnp.maximum(low, finfo(dtype).least), high)


# ---------------------------------------------------------------- by `log_concave`


def solved(source: Source, dtype: np.dtype, family: Family, *numbers: Any) -> jax.Array:
    """Draws of a `log_concave` family; `numbers` are the shape parameters, then the window."""
    shapes, bounds = family.parted(numbers)
    by_table = all(p.ndim == 0 for p in numbers) and _is_many(source.whole)
    x = draw(family, by_table, source.words(compute_dtype(dtype)), shapes, bounds)
    return _rounded(family, x, dtype, bounds)


def _is_many(shape: tuple[int, ...]) -> bool:
    """Whether a table costs less than solving for each draw; symbolic sizes count as many."""
    return is_symbolic(shape) or math.prod(shape) >= 1536


def _rounded(family: Family, x: jax.Array, dtype: np.dtype, bounds: Any) -> jax.Array:
    return (_above_zero if family is GAMMA else finish)(x, dtype, *bounds[-2:])


def tabled(
    original: Recipe, shape: tuple[int, ...], dtype: np.dtype, context: Mapping[str, Any]
) -> Recipe:
    """The recipe with its table computed, if draws are many and all parameters plain floats."""
    if not (all(type(value) is float for value in original.values) and _is_many(shape)):
        return original
    original.check_dtype(dtype)
    (family,) = original.facts.static
    rows, bounds = _table(family, compute_dtype(dtype), *original.values)
    numbers = Number("table", rows, None), Number("bounds", bounds, None)
    return make_recipe(_looked_up, numbers, original.unit, static=(family,))


@functools.lru_cache(maxsize=256)
def _table(family: Family, dtype: np.dtype, *parameters: float) -> tuple[np.ndarray, np.ndarray]:
    """The table and the bounds, computed in float64 from parameters rounded to `dtype`."""
    with np.errstate(all="ignore"):
        shapes, bounds = family.parted([np.float64(dtype.type(p)) for p in parameters])
        rows = table(family, dtype, shapes, bounds)
        return rows.astype(dtype), np.array(bounds, dtype)


def _looked_up(source: Source, dtype: np.dtype, family: Family, rows: Any, ends: Any) -> jax.Array:
    (rows,), bounds = rows, tuple(ends[0])
    x = looked_up(family, rows, source.words(compute_dtype(dtype)), bounds)
    return _rounded(family, x, dtype, bounds)
