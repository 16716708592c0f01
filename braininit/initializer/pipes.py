"""Draws of one initializer, clipped or passed through functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish, within
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype, wide
from braininit._params import roles, units
from braininit._params.roles import Number, increasing
from braininit._params.shapes import aligned
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    QuantityLike,
    Shape,
    Sharding,
    Values,
)
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import as_result, composite, draws
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import UNKNOWN, Recipe, draw, replaced

# ---------------------------------------------------------------- clipped


@explain_call_errors
def clipped(
    key: Key | None,
    shape: Shape,
    base_dist: InitializerLike,
    min_val: QuantityLike | None = None,
    max_val: QuantityLike | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw an initializer and move draws outside [min_val, max_val] to the nearest bound.

    `truncated` draws from the distribution between the bounds instead, and puts no extra draws on
    them. A bound that the dtype does not hold is rounded inward.

    Parameters
    ----------
    base_dist : initializer
        Draws the numbers that are clipped.
    min_val, max_val : number, array or Quantity, optional
        Bounds, min_val < max_val; None is open.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> base = init.Normal(0.5 * u.nS, 0.3 * u.nS)
    >>> w = init.clipped(jax.random.key(0), 1000, base, 0 * u.nS, 1 * u.nS)
    >>> bool((w >= 0 * u.nS).all() and (w <= 1 * u.nS).all())
    True
    """
    return draw(_clipped(base_dist, min_val, max_val), key, shape, dtype, out_sharding, context)


def _clipped(base_dist: Any, min_val: Any, max_val: Any) -> Recipe:
    part = as_child("base_dist", base_dist)._recipe
    unit, (low, high) = beside(
        part.unit,
        min_val=-math.inf if min_val is None else min_val,
        max_val=math.inf if max_val is None else max_val,
    )
    low, high = increasing(
        Number("min_val", low, roles.limit), Number("max_val", high, roles.limit), unit
    )
    return composite(
        _clip,
        part.unit,
        {"base_dist": part, "min_val": low.value, "max_val": high.value},
        roles={"min_val": roles.limit, "max_val": roles.limit},
        static=(unit,),
        bounds="wide",
        random=None,
        dtypes="whole",
    )


class Clipped(Initialization, function=clipped, recipe=_clipped):
    """An initializer clipped at bounds, as by `clip`; the twin of `clipped`."""

    base_dist: InitializerLike
    min_val: QuantityLike | None = None
    max_val: QuantityLike | None = None

    def __post_init__(self) -> None:
        """Give a bare 0 the unit of the draws."""
        super().__post_init__()
        for name in ("min_val", "max_val"):
            if type(bound := getattr(self, name)) is float:
                base = as_child("base_dist", self.base_dist)
                unit, (bare,) = beside(base._recipe.unit, **{name: bound})
                object.__setattr__(self, name, units.on(bare, unit))


def beside(unit: Any, **values: Any) -> tuple[u.Unit | None, list[Any]]:
    """The unit that parameters share with a part's draws, and the bare parameters."""
    if unit is not UNKNOWN and unit is not None:
        common, (_, *bares) = units.off(base_dist=units.on(1.0, unit), **values)
        return common, bares
    common, bares = units.off(**values)
    if common is not None and unit is None:
        raise units.UnitError(
            f"`{next(iter(values))}` is in {common}, the draws of `base_dist` have no unit; "
            f"give them one, as in base * u.{common}"
        )
    return common, bares


def _clip(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    unit: u.Unit | None,
    base_dist: Recipe,
    min_val: Any,
    max_val: Any,
) -> Any:
    if dtype.kind == "c":
        raise TypeError(f"`dtype` must be real, as bounds are, got {dtype}")
    (drawn,) = draws(source, wide(dtype), context, (base_dist,))
    bounds = {"min_val": units.on(min_val, unit), "max_val": units.on(max_val, unit)}
    unit, (x, *bares) = units.off(base_dist=drawn, **bounds)
    low, high = (
        aligned(name, bare, source.shape, compute_dtype(dtype))
        for name, bare in zip(bounds, bares, strict=True)
    )
    if dtype.kind in "iu":
        return units.on(jnp.clip(units.parts(drawn)[0], *_whole_ends(low, high, dtype)), unit)
    x = jnp.clip(jnp.asarray(x), low, high)  # `finish` then rounds inward
    return units.on(finish(x, dtype, low, high), unit)


def _whole_ends(low: Any, high: Any, dtype: np.dtype) -> list[Any]:
    """The bounds rounded inward to integers of the dtype."""
    most = float(jnp.iinfo(dtype).max)
    ends = (jnp.ceil(low), jnp.floor(high))
    return [within(jnp.where(abs(x) < most, x, 0).astype(dtype), x, dtype) for x in ends]


# ---------------------------------------------------------------- composed


@explain_call_errors
def composed(
    key: Key | None,
    shape: Shape,
    first: InitializerLike,
    functions: Sequence[Callable[[Any], Any]] = (),
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw an initializer and pass the draws through functions, left to right.

    The result has the unit that the last function returns. Functions run eagerly unless the caller
    compiles.

    Parameters
    ----------
    first : initializer
        Draws the numbers.
    functions : sequence of callable
        Each maps draws, with their unit, to values of the same shape.
    """
    return draw(_composed(first, functions), key, shape, dtype, out_sharding, context)


def _composed(first: Any, functions: Any = ()) -> Recipe:
    part, functions = as_child("first", first)._recipe, _functions(functions)
    return composite(
        _passed if functions else _alone,
        UNKNOWN if functions else part.unit,
        {"first": part},
        static=functions,
        random=None,
        traceable=not functions,
        elementwise=not functions,
        by_rows=False,
        dtypes="real" if functions else "whole",
        sized=_in_dtype if functions else None,
    )


class Compose(Initialization, function=composed, recipe=_composed):
    """An initializer passed through functions, by ``|`` or `apply`; the twin of `composed`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> rectified = init.Compose(init.Normal(1 * u.nS, 1 * u.nS), u.math.abs, lambda x: 2 * x)
    >>> bool((rectified(1000, rng=0) >= 0 * u.nS).all())
    True
    """

    first: InitializerLike
    functions: Sequence[Callable[[Any], Any]] = static(default=())

    def __init__(self, *steps: Any, first: Any = None, functions: Any = ()) -> None:
        nested = (*(() if first is None else (first,)), *steps, *_functions(functions))
        steps = tuple(s for x in nested for s in (x if isinstance(x, (tuple, list)) else (x,)))
        if not steps:
            raise ValueError("`first` is missing: Compose needs an initializer to begin with")
        object.__setattr__(self, "first", steps[0])
        object.__setattr__(self, "functions", steps[1:])
        self.__post_init__()

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, (self.first, *self.functions)))})"


def _functions(value: Any) -> tuple[Callable[[Any], Any], ...]:
    """Check a sequence of functions of draws."""
    try:
        functions = tuple(value)
    except TypeError:
        raise TypeError(
            f"`functions` must be a sequence of functions of the draws, got {units.brief(value)}"
        ) from None
    for i, function in enumerate(functions):
        if isinstance(function, (Initialization, type)) or not callable(function):
            raise TypeError(
                f"`functions[{i}]` must be a function of the draws, got {units.brief(function)}; "
                "add or multiply numbers and initializers by + and *"
            )
    return functions


def _in_dtype(
    recipe: Recipe, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]
) -> Recipe:
    """Convert the functions' result to a dtype only if the caller asks for one."""
    return recipe if dtype is None else replaced(recipe, kernel=_passed_in_dtype)


def _passed_in_dtype(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    *functions_and_first: Any,
) -> Any:
    x = _passed(source, dtype, context, *functions_and_first)
    bare, unit = units.unwrap("the functions' result", x, number=True)
    return as_result(bare, unit, dtype)


def _passed(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    *functions_and_first: Any,
) -> Any:
    *functions, first = functions_and_first
    (x,) = draws(source, wide(dtype), context, (first,))
    for i, function in enumerate(functions):
        x = function(x)
        shape = np.shape(u.get_mantissa(x))
        if shape != source.shape:
            raise ValueError(
                f"`functions[{i}]` {function!r} gave the shape {shape}, not {source.shape}"
            )
    return x


def _alone(source: Source, dtype: np.dtype, context: Mapping[str, Any], first: Recipe) -> Any:
    (x,) = draws(source, wide(dtype), context, (first,))
    return as_result(*units.parts(x), dtype)
