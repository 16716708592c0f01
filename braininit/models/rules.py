"""Rules: which leaf is drawn by what."""

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
    """The leaf as it is."""

    def __repr__(self) -> str:
        return "KEEP"

    def __reduce__(self) -> str:
        return "KEEP"


KEEP = _Keep()
"""In a rule in place of an initializer: the leaf stays what it is."""


class Rule(NamedTuple):
    """A pattern, and what draws the leaves that it matches.

    Parameters
    ----------
    pattern : str, type or callable
        A regular expression searched in the path; the class of the leaf's variable or of the
        module that owns it; or a function of the leaf that returns whether it matches.
    initializer : initializer, callable, number or KEEP
        What draws the leaf, or a function of the leaf that returns it.
    optional : bool
        Whether the rule may match nothing.
    """

    pattern: Any
    initializer: Any
    optional: bool = False


class Choice(NamedTuple):
    """What a leaf is to get."""

    rule: int
    initializer: Initialization | None
    """None of a leaf that is kept."""
    convert: float | None = None
    """What a draw is multiplied by, to be in the leaf's unit."""


def chosen(stacks: Sequence[Stack], rules: Any, problems: Problems) -> list[list[Choice]]:
    """The choice for each leaf."""
    given = tuple(rules.items()) if isinstance(rules, Mapping) else rules
    if not is_sequence(given):  # their order counts: a set has none
        raise TypeError(
            "`rules` must be a sequence of patterns and initializers, as in "
            f"[(r'kernel', init.Normal())], got {units.brief(rules)}"
        )
    known = [as_rule(i, rule) for i, rule in enumerate(given)]
    tests = [_test(i, rule.pattern) for i, rule in enumerate(known)]
    used, matched = [0] * len(known), [False] * len(known)
    every: list[list[Choice]] = []
    fit = _Fit(known, problems)
    for stack in stacks:
        mine = []
        for leaf in stack.leaves:
            at = _by_all_paths(stack, leaf, tests, known, problems)
            if at is None:
                problems.add("no rule matches", leaf.path)
                continue
            used[at] += 1
            mine.append(fit(at, leaf))
        every.append(mine)
    unused = [i for i, n in enumerate(used) if not n and not known[i].optional]
    if unused:
        for stack in stacks:
            for leaf in stack.leaves:
                for i in unused:
                    matched[i] = matched[i] or tests[i](leaf)
    for i in unused:
        why = "is shadowed by rules before it" if matched[i] else "matches no leaf"
        problems.add(f"rule {i}, {_named(known[i].pattern)}, {why}")
    return every


def as_rule(i: int, rule: Any) -> Rule:
    """A rule from a pair, or from three."""
    if isinstance(rule, (tuple, list)) and len(rule) in (2, 3):
        return Rule(*rule)
    raise TypeError(
        f"rules[{i}] must be a pattern and an initializer, as in (r'kernel', init.Normal()), "
        f"got {units.brief(rule)}"
    )


def _named(of: Any) -> str:
    return repr(of) if isinstance(of, str) else getattr(of, "__name__", repr(of))


def _test(i: int, of: Any) -> Callable[[Leaf], bool]:
    if isinstance(of, (str, re.Pattern)):
        search = pattern(f"rules[{i}]", of).search
        return lambda leaf: search(leaf.path) is not None
    if isinstance(of, type):
        return lambda leaf: (
            isinstance(leaf.owner, of)
            or (leaf.variable is not None and issubclass(leaf.variable, of))
        )
    if callable(of) and not isinstance(of, Initialization):
        return functools.partial(_asked, i, of)
    raise TypeError(f"rules[{i}] must start with a pattern, a type or a function, got {of!r}")


def _asked(i: int, of: Callable[[Leaf], Any], leaf: Leaf) -> bool:
    try:
        return bool(of(leaf))
    except Exception as error:
        raise ValueError(f"rules[{i}] fails at {leaf.path}: {_said(error, leaf)}") from error


def _said(error: Exception, leaf: Leaf) -> str:
    """What a user's function of a leaf failed with."""
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    hint = ""
    arithmetic = "unsupported operand" in str(error) and "NoneType" in str(error)
    if leaf.layer is None and (arithmetic or isinstance(error, ZeroDivisionError)):
        hint = "; it is in no layer, by layers="
    return f"{kind}{error}{hint}"


def _first(tests: Sequence[Callable[[Leaf], bool]], leaf: Leaf) -> int | None:
    for at, test in enumerate(tests):
        if test(leaf):
            return at
    return None


def _by_all_paths(
    stack: Stack,
    leaf: Leaf,
    tests: Sequence[Callable[[Leaf], bool]],
    rules: Sequence[Rule],
    problems: Problems,
) -> int | None:
    """The rule for a leaf; one that is used several times has one rule by all of its paths."""
    at = _first(tests, leaf)
    for other in stack.place.ties:
        path = "/".join(other)
        its = _first(tests, dataclasses.replace(leaf, path=path))
        if at is None or its is None:
            at = its if at is None else at
        elif rules[its].initializer is not rules[at].initializer:
            problems.add(
                f"a tied leaf is asked two ways, by rule {at} and, as {path}, by rule {its}; "
                "let one rule come first for both",
                leaf.path,
            )
    return at


# ---------------------------------------------------------------- from a rule to an initializer


class _Fit:
    """What rules give to leaves; remembered for leaves that are alike."""

    def __init__(self, rules: Sequence[Rule], problems: Problems) -> None:
        self._rules = rules
        self._problems = problems
        self._by_leaf = [takes_leaf(rule.initializer) for rule in rules]
        self._made: dict[Any, Initialization | None] = {}
        self._fits: dict[Any, Choice | str] = {}

    def __call__(self, at: int, leaf: Leaf) -> Choice:
        alike = (at, leaf.shape, leaf.dtype, leaf.layout, leaf.unit)
        by_leaf = self._by_leaf[at]
        found = None if by_leaf else self._fits.get(alike)
        if found is None:
            try:
                found = _fit(at, self._initializer(at, leaf), leaf)
            except (TypeError, ValueError) as error:
                found = f"rule {at}: {error}"
            except _Failed as error:
                found = f"rule {at}, called with the leaf: {_said(error.error, leaf)}"
            if not by_leaf:
                self._fits[alike] = found
        if isinstance(found, str):
            self._problems.add(found, leaf.path)
            return Choice(at, None)
        return found

    def _initializer(self, at: int, leaf: Leaf) -> Initialization | None:
        given = self._rules[at].initializer
        if self._by_leaf[at]:
            try:
                its = given(leaf)
            except Exception as error:
                raise _Failed(error) from error
            return as_initializer(its)
        if at not in self._made:
            self._made[at] = as_initializer(given)
        return self._made[at]


class _Failed(Exception):
    """A user's function of a leaf failed."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def takes_leaf(given: Any) -> bool:
    """Whether a right side is a function of the leaf: what needs just one argument."""
    if isinstance(given, (Initialization, type)) or not callable(given):
        return False
    if isinstance(given, (u.Quantity, u.Unit, np.ndarray, jax.Array)):
        return False
    try:
        parameters = inspect.signature(given).parameters.values()
    except (TypeError, ValueError):
        return False
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in placed if p.default is p.empty]
    one = len(required) == 1 and required[0] not in ("key", "rng", "shape", "size")
    return one and all(p.kind is not p.VAR_POSITIONAL for p in parameters)


def as_initializer(given: Any) -> Initialization | None:
    """The initializer that a right side stands for; None to keep the leaf."""
    if given is KEEP:
        return None
    if isinstance(given, (str, Mapping)):
        return get(given)
    if (twin := getattr(given, "twin", None)) is not None and not isinstance(given, type):
        return twin()
    if isinstance(given, (bool, np.bool_)) or getattr(given, "dtype", None) == np.bool_:
        given = np.asarray(given).astype(float)
    return _of_jax(given) or as_child("initializer", given)


def _of_jax(function: Any) -> VarianceScaling | None:
    """JAX's own variance scaling as ours, which draws the same and can be told its axes."""
    if getattr(function, "__qualname__", "") != "variance_scaling.<locals>.init":
        return None
    if not str(getattr(function, "__module__", "")).startswith("jax."):
        return None
    held = inspect.getclosurevars(function).nonlocals
    names = ("scale", "mode", "distribution", "in_axis", "out_axis", "batch_axis")
    return VarianceScaling(*(held[n] for n in names)) if held.keys() >= {*names} else None


def _fit(at: int, initializer: Initialization | None, leaf: Leaf) -> Choice:
    """An initializer that goes with a leaf: its axes, unit and dtype."""
    if initializer is None:
        return Choice(at, None)
    initializer = fitted(initializer, leaf.layout, leaf.shape)
    convert = _conversion(initializer, leaf.unit)
    whole = initializer._recipe.kinds in INTEGERS_TOO
    numbers = not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
    if (whole and numbers) or jnp.issubdtype(leaf.dtype, np.inexact):
        _refuse_undrawable(initializer, leaf)
    elif not isinstance(initializer, Custom):
        raise TypeError(
            f"{type(initializer).__name__} draws floats, not {leaf.dtype}; give a whole number "
            "that fits, init.zeros, or a function (key, shape, dtype), or let the leaf have floats"
        )
    return Choice(at, initializer, convert)


def _conversion(initializer: Initialization, unit: u.Unit | None) -> float | None:
    its = initializer._recipe.unit
    if its is UNKNOWN or its is unit:
        return None
    zero = isinstance(initializer, Constant) and not np.any(constant_of(initializer))
    if its is None and unit is not None and zero:
        return None
    ratio = _ratio(initializer, its, unit)
    return None if ratio == 1 else ratio


def _ratio(initializer: Initialization, its: u.Unit | None, unit: u.Unit | None) -> float:
    """What a draw is multiplied by, to be in the leaf's unit."""
    its_own = isinstance(initializer, Custom)
    named = initializer.function if its_own else type(initializer)
    name = getattr(named, "__qualname__", repr(named))
    if its is unit:
        return 1.0
    if its is None or unit is None:
        has = "no unit" if its is None else f"the unit {its}"
        wants = "has none" if unit is None else f"is in {unit}"
        raise ValueError(f"{name} has {has}, the leaf {wants}")
    try:
        return units.of_operation("+", unit, its)[1]
    except units.UnitError:
        raise ValueError(f"{name} is in {its}, the leaf in {unit}") from None


def constant_of(initializer: Constant) -> Any:
    """The bare number of a constant."""
    return units.parts(getattr(initializer, "value", 0.0))[0]


def _refuse_undrawable(initializer: Initialization, leaf: Leaf) -> None:
    """Find out what a draw would refuse: a shape, a dtype, a number that a dtype lacks."""
    made = initializer._recipe
    numbers = type(made) is Recipe and all(type(value) is float for value in made.values)
    if numbers and draws_alike(made):
        kind = result_dtype(leaf.dtype, made.kinds)
        made.for_draw(leaf.shape, kind, {}).fit(kind)
        return
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        drawn = jax.eval_shape(lambda k: initializer(k, leaf.shape, leaf.dtype), key)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        return  # it can only be called
    if made.unit is UNKNOWN:
        _ratio(initializer, units.of(drawn), leaf.unit)
