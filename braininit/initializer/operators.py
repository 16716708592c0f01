"""Initializers made by operators: sums, products, quotients and powers."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Mapping
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._engine.source import Source
from braininit._jax.dtypes import wide
from braininit._params import roles, units
from braininit._params.types import DType, InitializerLike, Key, NumberLike, Shape, Sharding, Values
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import as_result, bare_and_unit, composite, draws
from braininit.initializer.constant import Constant
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import UNKNOWN, Recipe, draw

# ---------------------------------------------------------------- + - * / ** abs


@explain_call_errors
def combined(
    key: Key | None,
    shape: Shape,
    op: str,
    left: InitializerLike,
    right: InitializerLike | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw ``left op right`` elementwise, each side from its own key.

    A sum has the unit of `left`, a product the product of the units.

    Parameters
    ----------
    op : str
        One of ``+ - * / **`` and ``abs``.
    left, right : initializer, number, array or Quantity
        The operands; `abs` has one. ``**`` takes pure numbers.

    Examples
    --------
    >>> import braininit as init
    >>> init.Normal(0.0, 1.0) * 2.0 + 1.0
    ((Normal(mean=0.0, std=1.0) * 2.0) + 1.0)
    """
    return draw(_combined(op, left, right), key, shape, dtype, out_sharding, context)


def _combined(op: str, left: Any, right: Any = None) -> Recipe:
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise ValueError(f"`op` must be one of {' '.join(_OPERATIONS)}, got {units.brief(op)}")
    if (right is None) != (op == "abs"):
        raise TypeError(f"`right` must be {'None' if op == 'abs' else 'given'} where `op` is {op}")
    operands = {"left": as_child("left", left)}
    if right is not None:
        operands["right"] = as_child("right", right)
    parts = {name: operand._recipe for name, operand in operands.items()}
    part_units = [part.unit for part in parts.values()]
    fits = tuple(op in ("+", "-") and _fits_every_unit(operand) for operand in operands.values())
    if UNKNOWN in part_units:
        unit = UNKNOWN
    else:
        unit = part_units[0] if op == "abs" else units.of_operation(op, *part_units)[0]
    dtypes = "whole" if op in ("+", "-", "*", "abs") else "real"
    return composite(_operate, unit, parts, static=(op, fits), random=None, dtypes=dtypes)


class Combined(Initialization, function=combined, recipe=_combined):
    """The result of ``+ - * / **`` between two initializers; the twin of `combined`."""

    op: str = static()
    left: InitializerLike
    right: InitializerLike | None = None

    def __repr__(self) -> str:
        if self.right is None:
            return f"{self.op}({self.left!r})"
        return f"({_operand(self.left)} {self.op} {_operand(self.right)})"


def _operate(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    op: str,
    fits: tuple[bool, ...],
    *parts: Recipe,
) -> Values:
    """Draw the operands, convert them to one unit, and compute."""
    drawn = draws(source, wide(dtype), context, parts)
    bares, own_units = zip(*(bare_and_unit("operand", x, dtype) for x in drawn), strict=True)
    compute = _OPERATIONS[op]
    if len(bares) == 1:
        return as_result(compute(*bares), own_units[0], dtype)
    if any(fits):  # the other side is a user's: its unit is known now that it is drawn
        own_units = [own_units[1 - i] if fits[i] else unit for i, unit in enumerate(own_units)]
    unit, factor = units.of_operation(op, *own_units)
    right = bares[1] if factor == 1 else bares[1] * factor
    return as_result(compute(bares[0], right), unit, dtype)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "abs": abs,
}


def joined(op: str, left: Any, right: Any = None) -> Any:
    """Apply an operator; return NotImplemented if one side can't be an operand."""
    if op == "abs":
        return Combined("abs", left)
    if not all(_may_be_operand(x) for x in (left, right)):
        return NotImplemented
    exponent, left, right = right, as_child("left", left), as_child("right", right)
    if op == "**" and right is not exponent and type(_number(right)) is float:
        return Power(left, _number(right))
    if op in ("+", "-"):
        left, right = _with_unit(left, right), _with_unit(right, left)
    return Combined(op, left, right)


def _may_be_operand(x: Any) -> bool:
    kinds = (Initialization, numbers.Number, np.generic, np.ndarray, jax.Array, u.Quantity, u.Unit)
    return not isinstance(x, (bool, str)) and (
        isinstance(x, (*kinds, list, tuple)) or hasattr(type(x), "__array__")  # a pandas Series
    )


def _number(child: Initialization) -> Any:
    """The value of a constant; None for other initializers."""
    return child.value if type(child) is Constant else None


def _fits_every_unit(child: Initialization) -> bool:
    """Whether the initializer is a bare 0 or infinity."""
    bare = _number(child)
    return type(bare) is float and (bare == 0 or math.isinf(bare))


def _with_unit(child: Initialization, partner: Initialization) -> Initialization:
    """Give a bare 0 or infinity the unit of its partner."""
    unit = partner._recipe.unit
    if _fits_every_unit(child) and unit is not None and unit is not UNKNOWN:
        return Constant(units.on(_number(child), unit))
    return child


def _operand(child: Any) -> str:
    """The repr of an operand: a constant without unit as its value, which evaluates alike."""
    if type(child) is Constant and not isinstance(child.value, u.Quantity):
        return repr(child)[len("Constant(value=") : -1]
    return repr(child)


# ---------------------------------------------------------------- power


@explain_call_errors
def powered(
    key: Key | None,
    shape: Shape,
    base: InitializerLike,
    exponent: float,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw an initializer and raise draws and unit to a power.

    Parameters
    ----------
    base : initializer
        Draws the numbers that are raised.
    exponent : float
        One concrete, finite number. Powers of negative draws are NaN unless it is whole.
    """
    return draw(_powered(base, exponent), key, shape, dtype, out_sharding, context)


def _powered(base: Any, exponent: Any) -> Recipe:
    part, exponent = as_child("base", base)._recipe, _exponent(exponent)
    unit = part.unit if part.unit is UNKNOWN else units.power(part.unit, exponent)
    dtypes = "whole" if exponent.is_integer() and exponent >= 0 else "real"
    return composite(_power, unit, {"base": part}, static=(exponent,), random=None, dtypes=dtypes)


class Power(Initialization, function=powered, recipe=_powered):
    """An initializer raised to a power, ``initializer ** 2``; the twin of `powered`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> (init.Constant(3.0 * u.mV) ** 2)(1).unit
    Unit("mV^2")
    """

    base: InitializerLike
    exponent: float = static()

    def __post_init__(self) -> None:
        """Store the exponent as a float, however it was written."""
        object.__setattr__(self, "exponent", _exponent(self.exponent))
        super().__post_init__()

    def __repr__(self) -> str:
        return f"({_operand(self.base)} ** {self.exponent!r})"


def _exponent(value: Any) -> float:
    """Check an exponent: concrete, because units and the program depend on it."""
    bare = units.dimensionless("exponent", value)
    if type(bare) is not float:
        got = "a traced number" if isinstance(bare, Tracer) else f"the shape {np.shape(bare)}"
        raise TypeError(
            f"`exponent` must be one concrete number, got {got}; for an array or a traced number, "
            "with draws without a unit, write base ** exponent"
        )
    return roles.pure.check("exponent", bare)


def _power(
    source: Source, dtype: np.dtype, context: Mapping[str, Any], exponent: float, base: Recipe
) -> Any:
    (drawn,) = draws(source, wide(dtype), context, (base,))
    bare, unit = bare_and_unit("base", drawn, dtype)
    power = int(exponent) if exponent.is_integer() else exponent  # integer powers are products
    return as_result(jnp.asarray(bare) ** power, units.power(unit, exponent), dtype)


# ---------------------------------------------------------------- scaled


@explain_call_errors
def scaled(
    key: Key | None,
    shape: Shape,
    base_dist: InitializerLike,
    scale_factor: NumberLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw an initializer and multiply by a factor, units included.

    Parameters
    ----------
    base_dist : initializer
        Draws the numbers that are scaled.
    scale_factor : number, array or Quantity
        The factor.
    """
    return draw(_scaled(base_dist, scale_factor), key, shape, dtype, out_sharding, context)


def _scaled(base_dist: Any, scale_factor: Any) -> Recipe:
    factor = units.on(*units.unwrap("scale_factor", scale_factor, number=True))
    return _combined("*", as_child("base_dist", base_dist), factor)


class Scaled(Initialization, function=scaled, recipe=_scaled):
    """An initializer times a factor; the twin of `scaled`."""

    base_dist: InitializerLike
    scale_factor: NumberLike
