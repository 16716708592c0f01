"""The recipe: a value between the parameters of an initializer and its draws.

A recipe holds the checked, bare parameters, their unit, the kernel, and the facts that other
modules need: whether draws use a key, can be made by rows, can be truncated, and their law.
Building an object builds its recipe, which validates it. A draw takes a recipe, a key and a shape.

A recipe is a PyTree whose leaves are its numbers. An initializer made of others is compiled with
their recipes as arguments, and nothing in them is checked again.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import starmap
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding

from braininit._engine.keys import as_key
from braininit._engine.sampler import result_dtype, sampled
from braininit._engine.source import Rows
from braininit._jax.dtypes import compute_dtype, finfo, is_symbolic, is_whole
from braininit._jax.settings import eager
from braininit._jax.shardings import canonical, inherited
from braininit._params import units
from braininit._params.representable import (
    nan_unless_representable,
    refuse_empty,
    refuse_unrepresentable,
    refuse_without_whole,
)
from braininit._params.roles import Number, Role
from braininit._params.shapes import aligned, as_shape, sizes_known
from braininit._params.types import Values

__all__ = ["UNKNOWN", "Facts", "Recipe", "Request", "draw", "make_recipe", "replaced"]

UNKNOWN: Any = object()
"""In place of a unit that only a draw reveals."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The static part of a recipe: what determines its program, and what others need to know.

    Attributes
    ----------
    kernel
        ``(source, dtype, *static, *numbers) -> array``: the arithmetic, without units. `composite`
        describes the kernel of an initializer made of others.
    unit
        The unit of the draws.
    static
        Options of the kernel, hashable.
    names, roles
        Of the numbers. The kernel gets a number without a role in a tuple, in its own shape.
    bounds
        Set if the last two numbers are bounds, between which the dtype must have a value: "closed";
        "half-open", without the upper one; "positive", where 0 is no draw; "wide", where both may
        round to the same number.
    random
        Whether draws use a key; None if they do where a part does.
    dtypes
        The dtypes that can be drawn, in the words of `resolve`. An initializer made of others has
        "whole": integers where all its parts draw integers.
    elementwise
        Whether each number depends on its own words and its index alone.
    by_rows
        Whether some rows can be drawn without the others; None means as `elementwise`.
    traceable
        Whether JAX may trace the kernel: it calls no user's function.
    sized
        ``(recipe, shape, dtype, context) -> recipe`` where numbers depend on the draw, as a fan
        depends on the shape.
    refuses
        Whether `sized` raises for concrete numbers that do not suit the shape.
    resizes
        Whether parts are drawn in other shapes than the result.
    truncate
        ``(recipe, low, high) -> recipe`` of the distribution truncated at bounds.
    functions
        The `cdf` and the `quantile` that a user's class names.
    law
        ``(scipy.stats, *numbers) -> distribution`` where SciPy has the distribution.
    """

    kernel: Callable[..., Any]
    unit: Any = None
    static: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    roles: tuple[Role | None, ...] = ()
    bounds: str = ""
    random: bool | None = True
    dtypes: str = "real"
    elementwise: bool = True
    by_rows: bool | None = None
    traceable: bool = True
    sized: Callable[..., Recipe] | None = None
    refuses: bool = False
    resizes: bool = False
    truncate: Callable[..., Recipe] | None = None
    functions: tuple[Callable[..., Any], Callable[..., Any]] | None = None
    law: Callable[..., Any] | None = None

    def __hash__(self) -> int:
        """Hash few fields: to hash a unit, or to compare two, takes 10 us."""
        return hash((self.kernel, self.static, self.names))

    @property
    def has_rows(self) -> bool:
        """Whether some rows can be drawn without the others."""
        return self.elementwise if self.by_rows is None else self.by_rows

    @functools.cached_property
    def bare(self) -> Facts:
        """The facts without the unit, on which no program depends."""
        return self if self.unit is None else dataclasses.replace(self, unit=None)

    def ready(self, shape: tuple[int, ...], dtype: np.dtype, values: tuple[Any, ...]) -> list[Any]:
        """Return the arguments of the kernel: in the drawing dtype, and of the result's rank."""
        draw_dtype, arguments = compute_dtype(dtype), []
        for name, role, value in zip(self.names, self.roles, values, strict=True):
            if role is None:
                arguments.append((jnp.asarray(value, draw_dtype),))
                continue
            array = jnp.asarray(value)
            if is_whole(array.dtype):  # a float might not hold these integers
                arguments.append(aligned(name, array, shape, array.dtype))
            else:
                array = nan_unless_representable(role, array, dtype)
                arguments.append(aligned(name, array, shape, dtype if role.itself else draw_dtype))
        return arguments


class Request(NamedTuple):
    """The arguments of a draw beside its recipe."""

    key: Any
    shape: tuple[int, ...]
    dtype: Any = None
    sharding: NamedSharding | None = None
    context: Mapping[str, Any] = MappingProxyType({})
    rows: Rows | None = None
    alone: bool = True
    """Whether the draw is the whole result, not a part of another draw."""

    @property
    def whole(self) -> tuple[int, ...]:
        """The shape of the whole result, of which `rows` may select some."""
        return self.shape if self.rows is None else (self.rows.total, *self.shape[1:])


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """The checked, bare numbers of an initializer, and the facts about its draws."""

    facts: Facts
    values: tuple[Any, ...]

    @property
    def unit(self) -> Any:
        """The unit of the draws, None for pure numbers, or UNKNOWN."""
        return self.facts.unit

    @property
    def dtypes(self) -> str:
        """The dtypes that can be drawn."""
        return self.facts.dtypes

    @property
    def traceable(self) -> bool:
        """Whether the draw runs this package's code only, no user's function."""
        return self.facts.traceable

    def numbers(self) -> tuple[Number, ...]:
        """The parameters that have a role."""
        numbers = map(Number, self.facts.names, self.values, self.facts.roles)  # pyright: ignore
        return tuple(number for number in numbers if number.role is not None)

    def needs_key(self, rng: Any) -> bool:
        """Whether the draw needs a key made from the caller's ``rng=``."""
        return bool(self.facts.random)

    def sharding(self, out_sharding: Any) -> NamedSharding | None:
        """Return the requested sharding in canonical form."""
        return canonical(out_sharding)

    def takes_any(self) -> bool:
        """Whether a part may take keywords that this package does not know."""
        return False

    def check_dtype(self, dtype: np.dtype) -> None:
        """Raise if the dtype does not hold a concrete number."""
        checked_dtypes = self.__dict__.setdefault("_checked_dtypes", set())
        facts, numbers = self.facts, self.numbers()
        if dtype in checked_dtypes:
            return
        for number in numbers:
            refuse_unrepresentable(number, facts.unit, dtype)
        if facts.bounds and dtype.kind in "iu":
            refuse_without_whole(*numbers[-2:])
        elif facts.bounds:
            low, high = numbers[-2:]
            if facts.bounds == "positive" and not isinstance(low.value, Tracer):
                larger = max if type(low.value) is float else np.maximum
                low = low._replace(value=larger(low.value, finfo(dtype).least))
            open_high, distinct = facts.bounds == "half-open", facts.bounds != "wide"
            refuse_empty(low, high, facts.unit, dtype, open_high=open_high, distinct=distinct)
        checked_dtypes.add(dtype)

    def check_shape(
        self, shape: tuple[int, ...], dtype: np.dtype, context: Mapping[str, Any]
    ) -> None:
        """Raise if concrete numbers do not suit the shape; traced ones can't be checked."""
        if self.facts.refuses:
            self.for_draw(shape, dtype, context)

    def for_draw(self, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]) -> Recipe:
        """Return the recipe for a draw of this shape and dtype."""
        sized, last = self.facts.sized, self.__dict__.get("_last")
        if sized is None:
            return self
        if dtype is None or context or not eager():
            return sized(self, shape, dtype, context)
        if last is None or last[0] != (shape, dtype):  # computing it again takes 20 us
            last = self.__dict__["_last"] = (shape, dtype), sized(self, shape, dtype, context)
        return last[1]

    def drawn(self, request: Request) -> Any:
        """Draw."""
        shape, sharding = request.shape, request.sharding
        dtype = result_dtype(request.dtype, self.facts.dtypes)
        sized = self.for_draw(request.whole, dtype, request.context)
        sized.check_dtype(dtype)
        if sized is not self and any(isinstance(value, jax.Array) for value in self.values):
            sharding = sharding or inherited(shape, self.arrays())  # as the user's own arrays
        key = as_key(request.key) if self.facts.random else None
        with sizes_known(shape) if is_symbolic(shape) else nullcontext():
            facts, values = sized.facts.bare, sized.values
            x = sampled(facts, key, shape, dtype, values, sharding, request.rows, request.alone)
        return units.on(x, self.facts.unit)

    def arrays(self) -> Iterator[tuple[str, Any]]:
        """Yield the numbers and arrays of the draw, by name."""
        yield from zip(self.facts.names, self.values, strict=True)


def make_recipe(
    kernel: Callable[..., Any], numbers: tuple[Number, ...], unit: Any = None, **facts: Any
) -> Recipe:
    """Make a recipe from its numbers and the other fields of `Facts`."""
    names, values, roles = zip(*numbers, strict=True) if numbers else ((), (), ())
    return Recipe(Facts(kernel, unit, names=names, roles=roles, **facts), values)


def replaced(recipe: Recipe, values: tuple[Any, ...] | None = None, **facts: Any) -> Recipe:
    """Return a copy of a recipe with other facts or other values."""
    new_facts = dataclasses.replace(recipe.facts, **facts) if facts else recipe.facts
    return type(recipe)(new_facts, recipe.values if values is None else values)


def are_same(recipes: Sequence[Recipe]) -> bool:
    """Whether recipes draw the same from the same words: their numbers are concrete and equal."""
    first, *others = recipes
    if any(jax.tree.structure(other) != jax.tree.structure(first) for other in others):
        return False
    return all(starmap(_are_equal, zip(*map(jax.tree.leaves, recipes), strict=True)))


def _are_equal(first: Any, *others: Any) -> bool:
    if isinstance(first, Tracer) or np.ndim(first):
        return all(other is first for other in others)
    return not any(isinstance(n, Tracer) or np.ndim(n) or n != first for n in others)


def draw(
    recipe: Recipe,
    key: Any,
    shape: Any,
    dtype: Any = None,
    out_sharding: Any = None,
    context: Mapping[str, Any] | None = None,
    *,
    rows: Rows | None = None,
) -> Values:
    """Draw from a recipe, not as a part of another draw."""
    sharding = recipe.sharding(out_sharding)
    return recipe.drawn(Request(key, as_shape(shape), dtype, sharding, context or {}, rows))
