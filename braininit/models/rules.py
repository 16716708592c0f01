"""Rules: which initializer draws which leaf."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._engine.sampler import result_dtype
from braininit._jax.dtypes import INTEGERS_TOO
from braininit._params import units
from braininit._params.types import is_sequence
from braininit.config import get
from braininit.initializer.children import Custom, as_child
from braininit.initializer.constant import Constant
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import UNKNOWN, Recipe
from braininit.layers.scaling import VarianceScaling
from braininit.models.layouts import draws_alike, fitted
from braininit.models.leaves import Leaf, Stack, pattern
from braininit.models.problems import Problems

__all__ = [
    "KEEP",
    "Choice",
    "Rule",
    "as_initializer",
    "as_rule",
    "chosen",
    "constant_of",
    "takes_leaf",
]


class _Keep:
    """The class of `KEEP`."""

    def __repr__(self) -> str:
        return "KEEP"

    def __reduce__(self) -> str:
        return "KEEP"


KEEP = _Keep()
"""In a rule, in place of an initializer: the leaf keeps its value."""


class Rule(NamedTuple):
    """A pattern, and the initializer of the leaves that it matches.

    Parameters
    ----------
    pattern : str, type or callable
        A regular expression, searched in the path; a class, of the leaf's variable or of the
        module that owns it; or a predicate of the leaf.
    initializer : initializer, callable, number or KEEP
        What draws the leaf (`plan` lists the forms), or a function of the leaf that returns it.
    optional : bool
        Whether the rule may match no leaf.
    """

    pattern: Any
    initializer: Any
    optional: bool = False


class Choice(NamedTuple):
    """The initializer chosen for a leaf."""

    rule: int
    initializer: Initialization | None
    """None if the leaf is kept."""
    convert: float | None = None
    """The factor from the draw's unit to the leaf's."""


def chosen(stacks: Sequence[Stack], rules: Any, problems: Problems) -> list[list[Choice]]:
    """Choose an initializer for each leaf."""
    pairs = tuple(rules.items()) if isinstance(rules, Mapping) else rules
    if not is_sequence(pairs):  # the order counts: a set has none
        raise TypeError(
            "`rules` must be a sequence of patterns and initializers, as in "
            f"[(r'kernel', init.Normal())], got {units.brief(rules)}"
        )
    checked = [as_rule(i, rule) for i, rule in enumerate(pairs)]
    tests = [_test(i, rule.pattern) for i, rule in enumerate(checked)]
    used, matched = [False] * len(checked), [False] * len(checked)
    result: list[list[Choice]] = []
    fit = _Fit(checked, problems)
    for stack in stacks:
        choices = []
        for leaf in stack.leaves:
            i = _by_all_paths(stack, leaf, tests, checked, problems)
            if i is None:
                problems.add("no rule matches", leaf.path)
                continue
            used[i] = True
            choices.append(choice := fit(i, leaf))
            is_set = choice.initializer is not None and not _is_zero(choice.initializer)
            if leaf.followed and is_set and tests[i](_parameter_of(leaf)):
                problems.add(
                    f"rule {i} would give an optimizer's state the values of a parameter; let a "
                    "rule for the state come first, such as (r'^opt_state', 0.0), or plan the "
                    "parameters alone and make the state by `optimizer.init`",
                    leaf.path,
                )
        result.append(choices)
    unused = [i for i, rule in enumerate(checked) if not used[i] and not rule.optional]
    if unused:
        for stack in stacks:
            for leaf in stack.leaves:
                for i in unused:
                    matched[i] = matched[i] or tests[i](leaf)
    for i in unused:
        why = "is shadowed by rules before it" if matched[i] else "matches no leaf"
        problems.add(f"rule {i}, {_pattern_name(checked[i].pattern)}, {why}")
    return result


def _is_zero(initializer: Initialization) -> bool:
    if not isinstance(initializer, Constant):
        return getattr(initializer, "function", None) is jax.nn.initializers.zeros
    value = constant_of(initializer)
    return not isinstance(value, Tracer) and not np.any(value)


def _parameter_of(leaf: Leaf) -> Leaf:
    """What rules see of the parameter that a leaf of an optimizer's state belongs to."""
    owner = leaf.owner if leaf.module is not None else None
    return dataclasses.replace(leaf, path=leaf.followed, owner=owner, followed="")


def as_rule(i: int, rule: Any) -> Rule:
    """Make a rule from a pair or a triple."""
    if isinstance(rule, (tuple, list)) and len(rule) in (2, 3):
        return Rule(*rule)
    raise TypeError(
        f"rules[{i}] must be a pattern and an initializer, as in (r'kernel', init.Normal()), "
        f"got {units.brief(rule)}"
    )


def _pattern_name(left: Any) -> str:
    return repr(left) if isinstance(left, str) else getattr(left, "__name__", repr(left))


def _test(i: int, left: Any) -> Callable[[Leaf], bool]:
    """A predicate of leaves, from the left side of a rule."""
    if isinstance(left, (str, re.Pattern)):
        search = pattern(f"rules[{i}]", left).search
        return lambda leaf: search(leaf.path) is not None
    if isinstance(left, type):
        return lambda leaf: (
            isinstance(leaf.owner, left)
            or (leaf.variable is not None and issubclass(leaf.variable, left))
        )
    if callable(left) and not isinstance(left, Initialization):
        return functools.partial(_call, i, left)
    raise TypeError(f"rules[{i}] must start with a pattern, a type or a function, got {left!r}")


def _call(i: int, predicate: Callable[[Leaf], Any], leaf: Leaf) -> bool:
    try:
        return bool(predicate(leaf))
    except Exception as error:
        raise ValueError(f"rules[{i}] fails at {leaf.path}: {_message(error, leaf)}") from error


def _message(error: Exception, leaf: Leaf) -> str:
    """The message for an error in a user's function of a leaf."""
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    hint = ""
    arithmetic = "unsupported operand" in str(error) and "NoneType" in str(error)
    if leaf.layer is None and (arithmetic or isinstance(error, ZeroDivisionError)):
        hint = "; it is in no layer, by layers="
    return f"{kind}{error}{hint}"


def _first(tests: Sequence[Callable[[Leaf], bool]], leaf: Leaf) -> int | None:
    return next((i for i, test in enumerate(tests) if test(leaf)), None)


def _by_all_paths(
    stack: Stack,
    leaf: Leaf,
    tests: Sequence[Callable[[Leaf], bool]],
    rules: Sequence[Rule],
    problems: Problems,
) -> int | None:
    """The index of the rule for a leaf; all paths of a tied leaf must lead to one initializer."""
    i = _first(tests, leaf)
    for tie in stack.place.ties:
        path = "/".join(tie)
        other = _first(tests, dataclasses.replace(leaf, path=path))
        if i is None or other is None:
            i = other if i is None else i
        elif rules[other].initializer is not rules[i].initializer:
            problems.add(
                f"a tied leaf has two rules, rule {i} and, as {path}, rule {other}; "
                "let one rule come first for both",
                leaf.path,
            )
    return i


# ---------------------------------------------------------------- from a rule to an initializer


class _Fit:
    """Fits the initializers of rules to leaves; cached by the properties of a leaf."""

    def __init__(self, rules: Sequence[Rule], problems: Problems) -> None:
        self._rules = rules
        self._problems = problems
        self._by_leaf = [takes_leaf(rule.initializer) for rule in rules]
        self._initializers: dict[int, Initialization | None] = {}
        self._fits: dict[Any, Choice | str] = {}

    def __call__(self, i: int, leaf: Leaf) -> Choice:
        properties = (i, leaf.shape, leaf.dtype, leaf.layout, leaf.unit)
        by_leaf = self._by_leaf[i]
        result = None if by_leaf else self._fits.get(properties)
        if result is None:
            try:
                result = _fit(i, self._initializer(i, leaf), leaf)
            except (TypeError, ValueError) as error:
                result = f"rule {i}: {error}"
            except _Failed as error:
                result = f"rule {i}, called with the leaf: {_message(error.error, leaf)}"
            if not by_leaf:
                self._fits[properties] = result
        if isinstance(result, str):
            self._problems.add(result, leaf.path)
            return Choice(i, None)
        return result

    def _initializer(self, i: int, leaf: Leaf) -> Initialization | None:
        right = self._rules[i].initializer
        if self._by_leaf[i]:
            try:
                value = right(leaf)
            except Exception as error:
                raise _Failed(error) from error
            return as_initializer(value)
        if i not in self._initializers:
            self._initializers[i] = as_initializer(right)
        return self._initializers[i]


class _Failed(Exception):
    """A user's function of a leaf failed."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def takes_leaf(right: Any) -> bool:
    """Whether the right side of a rule is a function of the leaf: it requires one argument."""
    if isinstance(right, (Initialization, type)) or not callable(right):
        return False
    if isinstance(right, (u.Quantity, u.Unit, np.ndarray, jax.Array)):
        return False
    try:
        parameters = inspect.signature(right).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in positional if p.default is p.empty]
    is_leaf = len(required) == 1 and required[0] not in ("key", "rng", "shape", "size")
    return is_leaf and all(p.kind is not p.VAR_POSITIONAL for p in parameters)


def as_initializer(right: Any) -> Initialization | None:
    """The initializer that the right side of a rule means; None to keep the leaf."""
    if right is KEEP:
        return None
    if isinstance(right, (str, Mapping)):
        return get(right)
    if (twin := getattr(right, "twin", None)) is not None and not isinstance(right, type):
        return twin()
    if isinstance(right, (bool, np.bool_)) or getattr(right, "dtype", None) == np.bool_:
        right = np.asarray(right).astype(float)
    return _from_jax(right) or as_child("initializer", right)


def _from_jax(function: Any) -> VarianceScaling | None:
    """JAX's variance scaling as ours, which draws the same bits and whose axes can be set."""
    if getattr(function, "__qualname__", "") != "variance_scaling.<locals>.init":
        return None
    if not str(getattr(function, "__module__", "")).startswith("jax."):
        return None
    nonlocals = inspect.getclosurevars(function).nonlocals
    names = ("scale", "mode", "distribution", "in_axis", "out_axis", "batch_axis")
    return VarianceScaling(*(nonlocals[n] for n in names)) if nonlocals.keys() >= {*names} else None


def _fit(i: int, initializer: Initialization | None, leaf: Leaf) -> Choice:
    """Fit an initializer to a leaf: its axes, unit and dtype."""
    if initializer is None:
        return Choice(i, None)
    initializer = fitted(initializer, leaf.layout, leaf.shape)
    convert = _conversion(initializer, leaf.unit)
    draws_integers = initializer._recipe.dtypes in INTEGERS_TOO
    is_numeric = not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
    if (draws_integers and is_numeric) or jnp.issubdtype(leaf.dtype, np.inexact):
        _refuse_undrawable(initializer, leaf)
    elif not isinstance(initializer, Custom):
        raise TypeError(
            f"{type(initializer).__name__} draws floats, not {leaf.dtype}; give a whole number "
            "that fits, init.zeros, or a function (key, shape, dtype), or let the leaf have floats"
        )
    return Choice(i, initializer, convert)


def _conversion(initializer: Initialization, leaf_unit: u.Unit | None) -> float | None:
    """The factor from the unit of draws to the leaf's; None where there is nothing to multiply."""
    unit = initializer._recipe.unit
    if unit is UNKNOWN or unit is leaf_unit:
        return None
    if unit is None and _is_zero(initializer):
        return None
    ratio = _ratio(initializer, unit, leaf_unit)
    return None if ratio == 1 else ratio


def _ratio(initializer: Initialization, unit: u.Unit | None, leaf_unit: u.Unit | None) -> float:
    """The factor from the unit of draws to the leaf's."""
    named = initializer.function if isinstance(initializer, Custom) else type(initializer)
    name = getattr(named, "__qualname__", repr(named))
    if unit is leaf_unit:
        return 1.0
    if unit is None or leaf_unit is None:
        has = "no unit" if unit is None else f"the unit {unit}"
        wants = "has none" if leaf_unit is None else f"is in {leaf_unit}"
        raise ValueError(f"{name} has {has}, the leaf {wants}")
    try:
        return units.of_operation("+", leaf_unit, unit)[1]
    except units.UnitError:
        raise ValueError(f"{name} is in {unit}, the leaf in {leaf_unit}") from None


def constant_of(initializer: Constant) -> Any:
    """The bare number of a constant."""
    return units.parts(getattr(initializer, "value", 0.0))[0]


def _refuse_undrawable(initializer: Initialization, leaf: Leaf) -> None:
    """Raise now what a draw would raise: for a shape, a dtype, a number beyond the dtype."""
    recipe = initializer._recipe
    has_floats = type(recipe) is Recipe and all(type(value) is float for value in recipe.values)
    if has_floats and draws_alike(recipe):
        dtype = result_dtype(leaf.dtype, recipe.dtypes)
        recipe.for_draw(leaf.shape, dtype, {}).check_dtype(dtype)
        return
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        drawn = jax.eval_shape(lambda k: initializer(k, leaf.shape, leaf.dtype), key)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        return  # a function that can't be traced
    if recipe.unit is UNKNOWN:
        _ratio(initializer, units.of(drawn), leaf.unit)
