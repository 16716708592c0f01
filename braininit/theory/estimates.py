"""Estimates from draws, with standard errors, for distributions without a known law."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from braininit._engine import keys
from braininit._params import options, units
from braininit._params.shapes import as_shape
from braininit.initializer.initialization import Initialization

__all__ = ["Estimate", "estimated"]


class Estimate(NamedTuple):
    """A number estimated from draws.

    Parameters
    ----------
    value : float, array or Quantity
        The estimate.
    error : float, array or Quantity
        Its standard error.
    """

    value: Any
    error: Any


def estimated(
    statistic: Callable[[np.ndarray, Any], Any], dist: Any, size: Any, count: Any, rng: Any
) -> Estimate:
    """Apply ``statistic(draws along axis 0, unit)`` to draws; the error is a jackknife's.

    Groups of draws are left out in turn. With a size, all numbers of one draw are in one group, so
    that the error is right where the numbers of a matrix depend on each other.
    """
    groups, unit = _draw_groups(dist, size, options.whole("estimate", count, 1000), rng)
    value = statistic(np.concatenate(groups), unit)
    subsets = [np.concatenate(groups[:i] + groups[i + 1 :]) for i in range(len(groups))]
    bare, value_unit = units.parts(value)
    estimates = np.stack([units.parts(statistic(x, unit))[0] for x in subsets])
    error = np.sqrt((len(groups) - 1) * estimates.var(0))
    return Estimate(value, units.on(error.item() if np.ndim(bare) == 0 else error, value_unit))


_GROUPS = 40


def _draw_groups(dist: Any, size: Any, count: int, rng: Any) -> tuple[list[np.ndarray], Any]:
    """Groups of draws in float64, and their unit."""
    key = keys.typed(keys.as_key(keys.from_rng(rng)))
    if size is None:
        shape = (-(-count // _GROUPS) * _GROUPS, *np.broadcast_shapes(*_shapes(dist)))
        x, unit = _bare(_draw(dist, key, shape))
        return np.split(x, _GROUPS), unit
    shape = as_shape(size)
    repeats = max(_GROUPS, -(-count // max(math.prod(shape), 1)))
    draws = [_bare(_draw(dist, k, shape)) for k in jax.random.split(key, repeats)]
    flat = [x.ravel() for x, _ in draws]
    return [np.concatenate(flat[i::_GROUPS]) for i in range(_GROUPS)], draws[0][1]


def _draw(dist: Any, key: Any, shape: tuple[int, ...]) -> Any:
    if not isinstance(dist, Initialization):
        return dist(key, shape)
    try:
        return dist(shape, rng=key)
    except ValueError as error:
        error.add_note(_USE_A_FUNCTION)
        raise


_USE_A_FUNCTION = (
    "Pass other arguments of the draws in a function, as in "
    "theory.mean(lambda key, shape: dist(shape, rng=key, distances=...), size, estimate=100_000)."
)


def _bare(x: Any) -> tuple[np.ndarray, Any]:
    if isinstance(x, dict):  # from a Joint
        raise TypeError(
            f"these are draws of several, {', '.join(x)}; estimate one of them, as in "
            f"theory.mean(lambda key, shape: dist(key, shape)[{next(iter(x))!r}], estimate=100_000)"
        )
    bare, unit = units.unwrap("draws", x, number=True)
    if np.iscomplexobj(bare):
        raise TypeError("complex draws have no order; estimate their real part")
    return np.asarray(bare, float), unit


def _shapes(dist: Any) -> Iterator[tuple[int, ...]]:
    """The shapes of the parameters, including those of parts."""
    if isinstance(dist, Initialization):
        yield dist._own_shape()
        for child in dist._children():
            yield from _shapes(child)
