"""Read text: quantities, as in "0.5 nS", and expressions, as in "Normal(0.5*nS, 0.1*nS)".

An expression is parsed as Python and its syntax tree is interpreted: numbers, units, operators and
calls of known classes have a meaning, everything else is refused. No code is evaluated. Depth,
numbers and exponents are bounded.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import math
import operator
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from braininit._params import units
from braininit._params.values import Value

__all__ = ["described", "number_dtype", "quantity", "read", "said"]

_DEEPEST = 100
_WORDS = {
    "inf": math.inf,
    "Infinity": math.inf,
    "nan": math.nan,
    "NaN": math.nan,
    "true": True,
    "false": False,
    "null": None,
}
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_A_UNIT = "a unit follows a *, as in 0.5*nS"


def quantity(name: str, text: str) -> Any:
    """Read a number with or without a unit, as in "0.5 nS"; return None for any other text."""
    number, _, unit = text.strip().partition(" ")
    unit = unit.strip()
    try:
        bare = float(number)
    except ValueError:
        return None
    if unit.startswith(("+", "-", "*", "/")):  # an expression
        return None
    return units.on(bare, units.as_unit(name, unit)) if unit else bare


def read(text: str, classes: Mapping[str, type]) -> Any:
    """Read a quantity, or an expression that may call the given classes.

    Every error is a ValueError or a TypeError that says where in the expression it arose.

    Examples
    --------
    >>> from braininit._params.reader import read
    >>> read("0.5 nS", {}), read("[1, 2]*mV/ms - 5*mV/ms", {})
    (Quantity(0.5, "nS"), Quantity([-4. -3.], "mV / ms"))
    """
    if (value := quantity("expression", text)) is not None:
        return value
    if not (text := text.strip()):
        raise ValueError("the expression is empty; try Normal(0, 1)")
    try:
        with warnings.catch_warnings():  # about a backslash in a string, for example
            warnings.simplefilter("ignore")
            node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        hint = f"; {_A_UNIT}" if re.search(r"\d\s*[a-zA-Z]", text) else ""
        refusal = ValueError(f"{error.msg.rstrip('?.')}{hint}")
        raise _located(refusal, error.lineno or 1, error.offset or 1) from None
    except (MemoryError, RecursionError):
        raise ValueError("the expression is nested too deeply to be read") from None
    except ValueError as error:
        raise ValueError(f"the expression can't be read: {said(error)}") from None
    return _Expression(classes).value(node)


def number_dtype(name: str, dtype: Any) -> np.dtype:
    """A numeric dtype that JAX has, in native byte order; raises a TypeError for others."""
    with contextlib.suppress(Exception):  # NumPy raises many kinds of errors, also for strings
        known = "" if dtype is None else np.dtype(dtype).name
        if hasattr(jnp, known) and known not in _NOT_IN_XLA:
            return np.dtype(known)
    raise TypeError(f"`{name}` must be an array of numbers, got dtype {dtype}")


_NOT_IN_XLA = ("int1", "uint1", "float6_e2m3fn", "float6_e3m2fn")


# ---------------------------------------------------------------- errors


def _located(error: Exception, line: int, column: int) -> Exception:
    """The error with its place in the expression, unless its message has one."""
    if re.match(_PLACE.format(r"(line \d+, )?", r"\d+"), str(error)):
        return error
    cls = next((c for c in (units.UnitError, TypeError) if isinstance(error, c)), ValueError)
    place = _PLACE.format(f"line {line}, " if line > 1 else "", column)
    return cls(f"{place}: {said(error)}")


_PLACE = "{}column {} of the expression"


def said(error: Exception) -> str:
    """The message of an error, with its type where the message alone is unclear."""
    if isinstance(error, OverflowError):
        return "a number is too large"
    plain = isinstance(error, (ValueError, TypeError, ArithmeticError, OSError))
    return str(error) if plain and str(error) else f"{type(error).__name__}: {error}"


def described(value: Any) -> str:
    """The value and its kind, for an error message."""
    if isinstance(value, type):
        return f"the name {value.__name__} without its (...)"
    nouns = {u.Unit: "the unit ", u.Quantity: "the quantity ", str: "the string "}
    return next((nouns[cls] for cls in nouns if isinstance(value, cls)), "") + f"{value}"[:80]


# ---------------------------------------------------------------- the syntax tree


class _Expression:
    """Interprets an expression; holds the names it may use and the depth reached."""

    def __init__(self, classes: Mapping[str, type]) -> None:
        self.names = {**classes, **_WORDS}
        self.depth = 0

    def value(self, node: ast.expr) -> Any:
        """The value of a node; adds the node's place to errors."""
        self.depth += 1
        try:
            if self.depth > _DEEPEST:
                raise ValueError(f"the expression is nested more than {_DEEPEST} deep")
            return self._value(node)
        except Exception as error:
            located = _located(error, node.lineno, node.col_offset + 1)
            if located is error:
                raise
            raise located from error
        finally:
            self.depth -= 1

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=None | str() | bool() as plain):
                return plain
            case ast.Constant(value=int() | float() as number):
                return number if abs(number) < 2**53 else float(number)
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in _MODULES:
                return self._named(name)
            case ast.List(elts=items):
                return [self.value(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple([self.value(item) for item in items])
            case ast.Dict(keys=keys, values=values) if None not in keys:
                names = _unique([self.value(key) for key in keys if key is not None])
                return {name: self.value(v) for name, v in zip(names, values, strict=True)}
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _result(operator.mul, self.value(operand), -1)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _result(_OPERATORS[type(op)], self.value(left), self.value(right))
            case ast.Call(func=func, args=args, keywords=keywords) if all(k.arg for k in keywords):
                function, names = self._function(func), _unique([k.arg for k in keywords])
                positional = [self.value(arg) for arg in args]
                named = [self.value(keyword.value) for keyword in keywords]
                return function(*positional, **dict(zip(names, named, strict=True)))
        raise ValueError(
            f"{ast.unparse(node)[:40]!r} has no meaning here; write a distribution, as in "
            "Normal(0.5*nS, 0.1*nS)"
        )

    def _named(self, name: str) -> Any:
        """The class, constant or unit of this name; units also by their symbols."""
        if name in self.names:
            return self.names[name]
        if isinstance(unit := getattr(u, name, None), u.Unit):
            return unit
        with contextlib.suppress(ValueError):
            return u.parse_unit(name)
        known = [*self.names, *(n for n in dir(u) if isinstance(getattr(u, n), u.Unit))]
        lower = {n.lower(): n for n in reversed(known)}  # the first of equal ones wins
        near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.7)
        hint = f"; did you mean {lower[near[0]]}?" if near else ""
        raise ValueError(f"unknown name {name[:80]}{hint}")

    def _function(self, node: ast.expr) -> Callable[..., Any]:
        """The callable: a class, or one of three methods of an initializer."""
        match node:
            case ast.Attribute(value=owner, attr="clip" | "add" | "multiply" as method):
                if isinstance(obj := self.value(owner), Value) and hasattr(obj, method):
                    return getattr(obj, method)
                raise TypeError(f"{described(obj)} has no .{method}()")
        if isinstance(cls := self.value(node), type):
            return cls
        raise TypeError(f"{described(cls)} can't be called; {_A_UNIT}")


_MODULES = ("u", "brainunit", "init", "braininit", "np", "jnp", "math")


def _unique(names: list[Any]) -> list[str]:
    """The names of parameters; refuses duplicates, where JSON and Python use the last."""
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a name in a configuration is a string, not {described(name)}")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"{twice[0]} is given twice")
    return names


# ---------------------------------------------------------------- arithmetic


def _result(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """The result of an operator, on numbers, lists, quantities, units and initializers."""
    if isinstance(left, Value):
        return operation(left, right)
    if isinstance(right, Value):  # not by `operation`: brainunit's operators would run first
        return getattr(right, f"__r{operation.__name__}__")(left)
    with np.errstate(all="ignore"):  # overflow gives infinity, in arrays as in floats
        return _power(left, right) if operation is operator.pow else _basic(operation, left, right)


def _basic(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """A sum, a difference, a product or a quotient."""
    (x, x_unit), (y, y_unit) = _number_and_unit(left), _number_and_unit(right)
    if operation in (operator.add, operator.sub):
        unit, (x, y) = units.off(left=units.on(x, x_unit), right=units.on(y, y_unit))
        return units.on(operation(x, y), unit)
    if x_unit is None and y_unit is None:
        return operation(x, y)
    unit = operation(x_unit or u.UNITLESS, y_unit or u.UNITLESS)
    if isinstance(left, u.Unit) and isinstance(right, u.Unit):
        return unit
    return units.on(operation(x, y), unit)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, bool) or not isinstance(exponent, (int, float)):
        raise TypeError(f"an exponent is a number, not {described(exponent)}")
    x, unit = _number_and_unit(base)
    if unit is not None and not abs(exponent) <= 100:
        raise ValueError(f"the exponent {exponent} is too large for a unit")
    if isinstance(base, u.Unit):
        return base**exponent
    number = x if isinstance(x, np.ndarray) else float(x)
    power = number**exponent  # a float overflows at once, an integer would grow for minutes
    if isinstance(power, complex):
        raise ValueError(f"{x} has no real power {exponent}")
    whole = isinstance(x, int) and isinstance(exponent, int) and exponent >= 0 and power < 2**53
    return units.on(int(power) if whole else power, None if unit is None else unit**exponent)


def _number_and_unit(value: Any) -> tuple[Any, u.Unit | None]:
    """The number and the unit of an operand; an integer stays an integer."""
    if isinstance(value, u.Unit):
        return 1, value
    if isinstance(value, int) and not isinstance(value, bool):
        return value, None
    if not isinstance(value, (float, list, np.ndarray, u.Quantity)):
        raise TypeError(f"can't calculate with {described(value)}")
    return units.unwrap("value", value)
