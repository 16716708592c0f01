"""The recipe: what is to be drawn, as a value between parameters and a draw.

A recipe holds parameters that are checked and bare, their unit, the kernel, and the facts that
others need: whether the draws use a key, can be had by rows, can be cut off at bounds, which law
they follow. To build an object is to build its recipe; that is its validation. A draw takes a
recipe, a key and a shape.

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
from braininit._jax.dtypes import drawn_in, finfo, is_symbolic, is_whole
from braininit._jax.settings import eager
from braininit._jax.shardings import canonical, following
from braininit._params import units
from braininit._params.held import (
    nan_unless_held,
    refuse_empty,
    refuse_unheld,
    refuse_without_whole,
)
from braininit._params.roles import Number, Role
from braininit._params.shapes import aligned, as_shape, sizes_known
from braininit._params.types import Values

__all__ = ["UNKNOWN", "Asked", "Facts", "Recipe", "draw", "recipe", "replaced"]

UNKNOWN: Any = object()
"""In place of a unit: only a draw can tell."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The part of a recipe that is no number: what makes its program, and what is known of it.

    Attributes
    ----------
    kernel
        ``(source, dtype, *static, *numbers) -> array``: the arithmetic, without units. That of
        an initializer made of others is described in `composite`.
    unit
        The unit of the draws.
    static
        Options of the kernel, hashable.
    names, roles
        Of the numbers. A number without a role goes to the kernel in a tuple, as it is.
    bounds
        Whether the last two numbers are bounds, between which a dtype needs a value: "closed",
        "half-open" without the upper one, "positive" where 0 is no draw, or "wide" where they
        may round to one number.
    random
        Whether the draws use a key; None: if those of a part do.
    kinds
        Which dtypes can be drawn, as `resolve` has them. Of an initializer made of others "whole":
        whole numbers where all its parts draw them.
    elementwise
        Whether each number is made from its own words and its index alone.
    by_rows
        Whether some rows can be drawn without the others; None: if the draw is elementwise.
    traceable
        Whether JAX may trace the kernel: no function of a user's is in it.
    sized
        ``(recipe, shape, dtype, context) -> recipe`` where numbers depend on the draw, as a
        fan does.
    refuses
        Whether `sized` refuses known numbers that don't go with the shape.
    resizes
        Whether parts are drawn in other shapes than the whole.
    cut
        ``(recipe, low, high) -> recipe`` of the distribution within bounds.
    functions
        The `cdf` and the `quantile` that a user's class names.
    law
        ``(scipy.stats, *numbers) -> distribution`` where SciPy has it.
    """

    kernel: Callable[..., Any]
    unit: Any = None
    static: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    roles: tuple[Role | None, ...] = ()
    bounds: str = ""
    random: bool | None = True
    kinds: str = "real"
    elementwise: bool = True
    by_rows: bool | None = None
    traceable: bool = True
    sized: Callable[..., Recipe] | None = None
    refuses: bool = False
    resizes: bool = False
    cut: Callable[..., Recipe] | None = None
    functions: tuple[Callable[..., Any], Callable[..., Any]] | None = None
    law: Callable[..., Any] | None = None

    def __hash__(self) -> int:
        """Of few fields: to hash a unit, or to compare two, takes 10 us."""
        return hash((self.kernel, self.static, self.names))

    @property
    def has_rows(self) -> bool:
        """Whether some rows can be drawn without the others."""
        return self.elementwise if self.by_rows is None else self.by_rows

    @functools.cached_property
    def bare(self) -> Facts:
        """Without the unit, which the program of a draw does not depend on."""
        return self if self.unit is None else dataclasses.replace(self, unit=None)

    def ready(self, shape: tuple[int, ...], dtype: np.dtype, values: tuple[Any, ...]) -> list[Any]:
        """Numbers as the kernel takes them: in the drawing dtype, and of the result's rank."""
        kind, made = drawn_in(dtype), []
        for name, role, value in zip(self.names, self.roles, values, strict=True):
            if role is None:
                made.append((jnp.asarray(value, kind),))
            else:
                held = jnp.asarray(value)
                if is_whole(held.dtype):  # which a float might not hold
                    made.append(aligned(name, held, shape, held.dtype))
                    continue
                held = nan_unless_held(role, held, dtype)
                made.append(aligned(name, held, shape, dtype if role.itself else kind))
        return made


class Asked(NamedTuple):
    """What a draw is asked for beside its recipe."""

    key: Any
    shape: tuple[int, ...]
    dtype: Any = None
    sharding: NamedSharding | None = None
    context: Mapping[str, Any] = MappingProxyType({})
    rows: Rows | None = None
    alone: bool = True
    """Not as a part of another draw."""

    @property
    def whole(self) -> tuple[int, ...]:
        """The shape of the whole, of which these may be some rows."""
        return self.shape if self.rows is None else (self.rows.total, *self.shape[1:])


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """What a distribution draws."""

    facts: Facts
    values: tuple[Any, ...]

    @property
    def unit(self) -> Any:
        """The unit of the draws, None for pure numbers, or UNKNOWN."""
        return self.facts.unit

    @property
    def kinds(self) -> str:
        """Which dtypes can be drawn."""
        return self.facts.kinds

    @property
    def traceable(self) -> bool:
        """Whether all of the draw is code of this package's, without a user's function."""
        return self.facts.traceable

    def numbers(self) -> tuple[Number, ...]:
        """The parameters that have a role."""
        every = map(Number, self.facts.names, self.values, self.facts.roles)  # pyright: ignore
        return tuple(n for n in every if n.role is not None)

    def needs_key(self, rng: Any) -> bool:
        """Whether a key has to be made from what a caller passes as ``rng=``."""
        return bool(self.facts.random)

    def sharding(self, asked: Any) -> NamedSharding | None:
        """Where the result is to live, in one form."""
        return canonical(asked)

    def takes_any(self) -> bool:
        """Whether keywords this package does not know may be meant for a part."""
        return False

    def fit(self, dtype: np.dtype) -> None:
        """Refuse concrete numbers that a dtype does not hold."""
        held = self.__dict__.setdefault("_held", set())
        facts, numbers = self.facts, self.numbers()
        if dtype in held:
            return
        for each in numbers:
            refuse_unheld(each, facts.unit, dtype)
        if facts.bounds and dtype.kind in "iu":
            refuse_without_whole(*numbers[-2:])
        elif facts.bounds:
            low, high = numbers[-2:]
            if facts.bounds == "positive" and not isinstance(low.value, Tracer):
                most = max if type(low.value) is float else np.maximum
                low = low._replace(value=most(low.value, finfo(dtype).least))
            open_high, distinct = facts.bounds == "half-open", facts.bounds != "wide"
            refuse_empty(low, high, facts.unit, dtype, open_high=open_high, distinct=distinct)
        held.add(dtype)

    def suit(self, shape: tuple[int, ...], dtype: np.dtype, context: Mapping[str, Any]) -> None:
        """Refuse known numbers that don't go with the shape; in a program none is known."""
        if self.facts.refuses:
            self.for_draw(shape, dtype, context)

    def for_draw(self, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]) -> Recipe:
        """The recipe of a draw of this shape and dtype."""
        sized, last = self.facts.sized, self.__dict__.get("_last")
        if sized is None:
            return self
        if dtype is None or context or not eager():
            return sized(self, shape, dtype, context)
        if last is None or last[0] != (shape, dtype):  # the same again would take 20 us
            last = self.__dict__["_last"] = (shape, dtype), sized(self, shape, dtype, context)
        return last[1]

    def drawn(self, asked: Asked) -> Any:
        """The draw."""
        shape, sharding = asked.shape, asked.sharding
        kind = result_dtype(asked.dtype, self.facts.kinds)
        its = self.for_draw(asked.whole, kind, asked.context)
        its.fit(kind)
        if its is not self and any(isinstance(value, jax.Array) for value in self.values):
            sharding = sharding or following(shape, self.arrays())  # those that are given count
        key = as_key(asked.key) if self.facts.random else None
        with sizes_known(shape) if is_symbolic(shape) else nullcontext():
            facts, values = its.facts.bare, its.values
            x = sampled(facts, key, shape, kind, values, sharding, asked.rows, asked.alone)
        return units.on(x, self.facts.unit)

    def arrays(self) -> Iterator[tuple[str, Any]]:
        """What the draw is made from, by name."""
        yield from zip(self.facts.names, self.values, strict=True)


def recipe(
    kernel: Callable[..., Any], numbers: tuple[Number, ...], unit: Any = None, **facts: Any
) -> Recipe:
    """A recipe from its numbers; the facts are those of `Facts`."""
    names, values, roles = zip(*numbers, strict=True) if numbers else ((), (), ())
    return Recipe(Facts(kernel, unit, names=names, roles=roles, **facts), values)


def replaced(recipe: Recipe, values: tuple[Any, ...] | None = None, **facts: Any) -> Recipe:
    """A recipe with other facts, or other values."""
    its = dataclasses.replace(recipe.facts, **facts) if facts else recipe.facts
    return type(recipe)(its, recipe.values if values is None else values)


def are_same(recipes: Sequence[Recipe]) -> bool:
    """Whether recipes draw the same from the same words: their numbers are known and equal."""
    first, *others = recipes
    if any(jax.tree.structure(other) != jax.tree.structure(first) for other in others):
        return False
    return all(starmap(_is_one_number, zip(*map(jax.tree.leaves, recipes), strict=True)))


def _is_one_number(first: Any, *others: Any) -> bool:
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
    """Draw by a recipe, by itself."""
    sharding = recipe.sharding(out_sharding)
    return recipe.drawn(Asked(key, as_shape(shape), dtype, sharding, context or {}, rows))
