"""Any distribution truncated at bounds, by inverting its distribution function."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype
from braininit._math.elementary import fraction
from braininit._params import roles, units
from braininit._params.roles import Number, increasing
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    QuantityLike,
    Shape,
    Sharding,
    Values,
)
from braininit._params.values import field_kinds
from braininit.distributions.windows import window
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw, make_recipe, replaced


@explain_call_errors
def truncated(
    key: Key,
    shape: Shape,
    base: InitializerLike,
    low: QuantityLike | None = None,
    high: QuantityLike | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw from a distribution truncated to [low, high].

    .. math:: p(x) \propto p_{base}(x), \quad low \le x \le high

    Parameters
    ----------
    base : Initialization
        A distribution of this package, such as Normal or Gamma but not a sum or a mixture, or an
        instance of your own class that names its `cdf` and `quantile`.
    low, high : number, array or Quantity, optional
        Bounds, low < high, between which `base` has some mass; None means no bound.

    Notes
    -----
    Numerics: accurate in every tail, even in a window of mass 1e-1000. Normals are drawn by
    `truncated_normal`, lognormals through the normal distribution of their logarithm. Gamma, beta
    and von Mises invert integrals of the density, relative to its greatest value in the window:
    scalar parameters and at least 1536 draws use a table of the inverse and cost one to two times
    a plain draw, others 150 to 200 times. Poisson and binomial numbers are drawn by rejection from
    within the bounds. The others have a closed form. Your own distribution is drawn with its
    functions in the precision of the draw: where the cdf rounds to 0 or 1 at both bounds, draws
    are NaN. The last bit may differ between an eager draw and one inside a larger program.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> delays = init.Gamma(2.0, 1.0 * u.ms)
    >>> w = init.truncated(jax.random.key(0), 1000, delays, 0.5 * u.ms, 5 * u.ms)
    >>> bool((w >= 0.5 * u.ms).all() and (w <= 5 * u.ms).all())
    True
    """
    return draw(_truncated(base, low, high), key, shape, dtype, out_sharding)


def _truncated(base: Any, low: Any, high: Any) -> Recipe:
    child = as_child("base", base)
    if isinstance(child, Truncated):
        low, high = _tighter(max, child.low, low), _tighter(min, child.high, high)
        return _truncated(child.base, low, high)
    own = _recipe_of_functions(child) if child._recipe.facts.functions else child._recipe
    if (truncate := own.facts.truncate) is None:
        raise TypeError(
            f"`base` must be a distribution that has a quantile: {_KNOWN}, got "
            f"{type(child).__name__}; clip it, truncate its parts, or name the `cdf` and "
            "the `quantile` of your own class"
        )
    numbers = {f"base.{n.name}": n for n in own.numbers()}
    shared = {name: n for name, n in numbers.items() if n.role and not n.role.pure}
    unit, (*_, least, most) = units.off(
        **{name: units.on(n.value, own.unit) for name, n in shared.items()},
        low=-math.inf if low is None else low,
        high=math.inf if high is None else high,
    )
    if unit is not own.unit:  # the bounds' unit, where the parameters fit any unit
        own = replaced(own, unit=unit)
    bounds = Number("low", least, roles.bound), Number("high", most, roles.bound)
    return truncate(own, *increasing(*bounds, unit))


def _tighter(extreme: Callable[[float, float], float], inner: Any, outer: Any) -> Any:
    """The tighter of two bounds, either of which may be None; `extreme` is `max` or `min`."""
    if inner is None or outer is None:
        return outer if inner is None else inner
    unit, (inner, outer) = units.off(base=inner, bound=outer)
    if type(inner) is float and type(outer) is float:
        return units.on(extreme(inner, outer), unit)
    return units.on((jnp.maximum if extreme is max else jnp.minimum)(inner, outer), unit)


_KNOWN = (
    "normal, truncated_normal, uniform, lognormal, exponential, weibull, gamma, beta, uniform_int, "
    "poisson, binomial"
)


class Truncated(Initialization, function=truncated, recipe=_truncated):
    """A distribution truncated at bounds; the twin of `truncated`."""

    base: InitializerLike
    low: QuantityLike | None = None
    high: QuantityLike | None = None


def _cut(
    self: Initialization, low: QuantityLike | None = None, high: QuantityLike | None = None
) -> Truncated:
    """Truncate the distribution at bounds; None means no bound."""
    return Truncated(self, low, high)


Initialization.truncated = _cut  # set here: the base class can't import this module


# ---------------------------------------------------------------- by a user's own functions


def _recipe_of_functions(child: Initialization) -> Recipe:
    """The recipe of a class that names its `cdf` and `quantile`, ready to be truncated."""
    kind_of, own = field_kinds(type(child)), child._recipe
    values = dict(zip(own.facts.names, own.values, strict=True))
    shared = {name: value for name, value in values.items() if kind_of.get(name) == "shared"}
    unit, bares = units.off(**shared)
    values |= zip(shared, bares, strict=True)
    numbers = tuple(
        Number(name, value, roles.bound if name in shared else roles.Role(pure=True))
        for name, value in values.items()
    )
    return make_recipe(
        own.facts.kernel, numbers, unit, truncate=_cut_by(*own.facts.functions or ())
    )


@functools.lru_cache(maxsize=256)
def _cut_by(cdf: Callable[..., Any], quantile: Callable[..., Any]) -> Callable[..., Recipe]:
    """The `truncate` of a distribution known only by its functions."""

    def truncated(source: Source, dtype: np.dtype, *parameters: Any) -> jax.Array:
        *own, low, high = parameters
        drawing_dtype, bounds = compute_dtype(dtype), []
        for bound, is_open, limit in ((low, low == -jnp.inf, 0.0), (high, high == jnp.inf, 1.0)):
            other = jnp.where(high == jnp.inf, 0.0, high) if bound is low else low
            inside = jnp.where(is_open, jnp.where(abs(other) < jnp.inf, other, 0.0), bound)
            bounds.append(jnp.where(is_open, limit, cdf(inside, *own)))
        word, info = source.words(drawing_dtype), jnp.finfo(drawing_dtype)
        part = (bounds[1] - bounds[0]) * fraction(jnp.minimum(word, ~word), -info.bits)
        p = jnp.where(word < ~word, bounds[0] + part, bounds[1] - part)
        p = jnp.clip(p, info.tiny, 1 - info.epsneg)
        x = jnp.where(bounds[1] > bounds[0], quantile(p, *own), jnp.nan)
        return finish(x.astype(drawing_dtype), dtype, low, high)

    return window(truncated)
