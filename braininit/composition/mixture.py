"""Mixtures: each element is drawn from one of several initializers."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.source import Source
from braininit._jax.dtypes import wide
from braininit._params import options, roles, units
from braininit._params.roles import nan_like, number, summing_to_one
from braininit._params.types import DType, InitializerLike, Key, RealLike, Shape, Sharding, Values
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_children
from braininit.initializer.composite import as_result, composite, draws
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import UNKNOWN, Recipe, draw


@explain_call_errors
def mixture(
    key: Key,
    shape: Shape,
    distributions: Sequence[InitializerLike],
    weights: RealLike | None = None,
    axis: int | tuple[int, ...] | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    r"""Draw each element from one of several initializers, picked at random.

    .. math:: p(x) = \sum_i w_i\, p_i(x)

    Parameters
    ----------
    distributions : sequence of initializers
        The components, at least one. Each is drawn at the full shape: its fan, for example, is the
        same as without the mixture.
    weights : array, optional
        Probabilities of the components, summing to 1; None means equal probabilities.
    axis : int or tuple of int, optional
        The axes along which the choice varies: 0 picks one component for each row. None picks one
        for each element.

    Notes
    -----
    Numerics: 32 random bits pick a component, by its share of their 2^32 values: its weight in
    float32, rounded to a multiple of 2^-32. A weight of 0 is never picked. All components are drawn
    and one is selected, in one fused pass.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> weak, strong = init.Normal(0.5 * u.nS, 0.1 * u.nS), init.Uniform(0.8 * u.nS, 1.2 * u.nS)
    >>> init.mixture(jax.random.key(0), 1000, [weak, strong], [0.7, 0.3]).unit
    Unit("nS")
    """
    return draw(_mixture(distributions, weights, axis), key, shape, dtype, out_sharding, context)


def _mixture(distributions: Any, weights: Any, axis: Any) -> Recipe:
    children = as_children("distributions", distributions)
    if not children:
        raise ValueError("`distributions` must have one initializer or more, got none")
    parts = tuple(child._recipe for child in children)
    unit = common_unit({f"distributions[{i}]": part.unit for i, part in enumerate(parts)})
    axes = None if axis is None else options.axes("axis", axis)
    return composite(
        _picked,
        unit,
        {"weights": _probabilities(weights, len(parts)), "distributions": parts},
        static=(axes,),
        by_rows=axes is None,
        dtypes="whole",
    )


class Mixture(Initialization, function=mixture, recipe=_mixture):
    """Each element drawn from one of several initializers; the twin of `mixture`."""

    distributions: Sequence[InitializerLike]
    weights: RealLike | None = None
    axis: int | tuple[int, ...] | None = static(default=None)


def _probabilities(weights: Any, n: int) -> Any:
    """The weights, checked."""
    if weights is None:
        return np.full(n, 1 / n)
    probabilities = number("weights", roles.amount(weights)).value
    if np.shape(probabilities) != (n,):
        raise ValueError(
            f"`weights` must be one number for each of the {n} distributions, "
            f"got the shape {np.shape(probabilities)}"
        )
    return summing_to_one("weights", probabilities)


def common_unit(units_by_name: Mapping[str, Any]) -> Any:
    """The unit of the first initializer; refuses units of different dimensions."""
    if UNKNOWN not in units_by_name.values():
        bare = [name for name, unit in units_by_name.items() if unit is None]
        if bare and len(bare) < len(units_by_name):
            other = next(unit for unit in units_by_name.values() if unit is not None)
            raise units.UnitError(
                f"`{bare[0]}` draws numbers without a unit, its partners draw in {other}; "
                f"give it one, as in initializer * u.{other}"
            )
        units.off(**{name: units.on(1.0, unit) for name, unit in units_by_name.items()})
    return next(iter(units_by_name.values()))


def _picked(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    axes: tuple[int, ...] | None,
    weights: Any,
    distributions: tuple[Recipe, ...],
) -> Any:
    pick, rest = source.split()
    drawn = draws(rest, wide(dtype), context, distributions)
    unit, bares = units.off_draws(**{f"distributions[{i}]": x for i, x in enumerate(drawn)})
    if dtype.kind in "iu" and all(units.parts(x)[1] == unit for x in drawn):
        bares = [units.parts(x)[0] for x in drawn]
    word = pick.reshaped(along(axes, source.shape)).words(np.dtype(np.float32))
    weights = jnp.asarray(weights, jnp.float32)
    first, has_words = _word_ranges(weights)
    x = jnp.asarray(bares[0])
    for i in range(1, len(bares)):
        x = jnp.where((word >= first[i]) & has_words[i], bares[i], x)
    return as_result(x if dtype.kind in "iu" else nan_like(x, [weights]), unit, dtype)


@jax.jit
def _word_ranges(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The first of the 2^32 words that pick each component, and whether there are any.

    Each number of words has the relative precision of its weight; the heaviest component gets the
    remainder.
    """
    total = functools.reduce(operator.add, weights)  # in one order, on every platform
    heaviest = jnp.arange(len(weights)) == jnp.argmax(weights)
    # None of the others has more than half of the words.
    words = jnp.round(jnp.where(heaviest, 0, weights) / total * 2.0**32).astype(jnp.uint32)
    # Modulo 2^32, where all words count as 0.
    words = jnp.where(heaviest, jnp.uint32(0) - jnp.sum(words, dtype=jnp.uint32), words)
    return jnp.cumsum(words, dtype=jnp.uint32) - words, heaviest | (words > 0)


def along(axes: tuple[int, ...] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an array that varies along `axes` only."""
    if axes is None:
        return shape
    varying = options.axes_of("axis", axes, shape)
    return tuple(n if axis in varying else 1 for axis, n in enumerate(shape))
