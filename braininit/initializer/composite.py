"""Recipes made of recipes.

The kernel of a composite is ``(source, dtype, context, *static, *parts) -> array or Quantity``;
its parts are recipes, numbers and other PyTrees. Where all parts are this package's own it is
compiled as a whole, so that a draw of many parts is one fused program. Where a user's function
takes part it runs step by step, and the function sees what it would see by itself.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine import keys
from braininit._engine.cpu.layout import lengthened
from braininit._engine.cpu.platforms import is_tunable
from braininit._engine.rounding import rounded, within
from braininit._engine.sampler import compiled, result_dtype
from braininit._engine.source import Rows, Source
from braininit._jax.dtypes import INTEGERS_TOO, drawn_in, is_symbolic, wide
from braininit._jax.settings import eager
from braininit._jax.shardings import along_one_axis, following, placed
from braininit._params import units
from braininit._params.shapes import sizes_known
from braininit._params.values import Value, fields
from braininit.initializer.calls import CONTEXT, unknown
from braininit.initializer.recipe import Asked, Facts, Recipe

__all__ = ["Composite", "composite", "draws", "finished", "opened"]

_ARRAYS = ("distances", "pre_positions", "post_positions", "neuron_indices")


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
class Composite(Recipe):
    """What an initializer made of others draws."""

    def parts(self) -> Iterator[Recipe]:
        """The recipes that it is made of."""
        for value in self.values:
            for part in value if type(value) is tuple else (value,):
                if isinstance(part, Recipe):
                    yield part

    @property
    def kinds(self) -> str:
        whole = self.facts.kinds == "whole"
        whole = whole and all(part.kinds in INTEGERS_TOO for part in self.parts())
        return "any" if whole else "complex"

    @property
    def traceable(self) -> bool:
        return self.facts.traceable and all(part.traceable for part in self.parts())

    def needs_key(self, rng: Any) -> bool:
        own = self.facts.random
        return any(part.needs_key(rng) for part in self.parts()) if own is None else own

    def takes_any(self) -> bool:
        return any(part.takes_any() for part in self.parts())

    def fit(self, dtype: np.dtype) -> None:
        super().fit(dtype)
        for part in self.parts():
            part.fit(wide(dtype))

    def suit(self, shape: tuple[int, ...], dtype: np.dtype, context: Mapping[str, Any]) -> None:
        super().suit(shape, dtype, context)
        self._suit_parts(shape, dtype, context)

    def _suit_parts(self, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]) -> None:
        for part in () if self.facts.resizes else self.parts():
            part.suit(shape, wide(dtype), context)

    def drawn(self, asked: Asked) -> Any:
        shape, sharding, context, rows = asked.shape, asked.sharding, asked.context, asked.rows
        kind = result_dtype(asked.dtype, self.kinds)
        key = None if asked.key is None else keys.as_key(asked.key)
        if context.keys() - CONTEXT - {"rng"} and not self.takes_any():
            raise unknown({name: value for name, value in context.items() if name != "rng"})
        its: Any = self.for_draw(shape, asked.dtype, context)
        facts, values = its.facts, its.values
        arrays = {name: context[name] for name in _ARRAYS if name in context}
        start, total = ((), None) if rows is None else ((rows.start,), rows.total)
        if its.traceable and eager():
            its.fit(kind)
            its._suit_parts(shape, kind, context)  # its own numbers `for_draw` has seen
            impl = None if key is None else keys.legacy_impl(key)
            tuned = is_tunable(sharding and sharding.mesh, key, arrays, values)
            program = _program(facts, shape, kind, sharding, impl, tuned, total)
            return program(key, start, arrays, *values)
        its.fit(kind)
        lives = sharding or following(shape, _placed_by(shape, facts.names, values, arrays))
        if not its.traceable and sharding is None and lives is not None and not any(lives.spec):
            lives = None  # there is nothing to split, and a user's function may have its own say

        def step(key: Any, start: Any, arrays: Any, *values: Any) -> Any:
            source = _source(key, None, shape, start, total)
            return _made(facts, source, kind, {**context, **arrays}, values)

        with sizes_known(shape) if is_symbolic(shape) else nullcontext():
            return placed(step, lives)(key, start, arrays, *values)

    def arrays(self) -> Iterator[tuple[str, Any]]:
        for name, value in super().arrays():
            yield from _arrays_of(name, value)


def composite(
    kernel: Callable[..., Any],
    unit: Any,
    parts: Mapping[str, Any],
    *,
    roles: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Composite:
    """A composite from its parts by name; `roles` are those of parts that are bare numbers."""
    names = tuple(parts)
    given = tuple((roles or {}).get(name) for name in names)
    return Composite(Facts(kernel, unit, names=names, roles=given, **facts), tuple(parts.values()))


@functools.lru_cache(maxsize=256)
def _program(
    facts: Facts,
    shape: tuple[int, ...],
    dtype: np.dtype,
    sharding: Any,
    impl: str | None,
    tuned: bool,
    total: int | None,
) -> Callable[..., Any]:
    """The compiled draw of a composite, all of it in one program."""

    def sample(key: Any, start: Any, context: Mapping[str, Any], *values: Any) -> Any:
        lives = sharding or following(shape, _placed_by(shape, facts.names, values, context))

        def whole(key: Any, start: Any, context: Mapping[str, Any], *values: Any) -> Any:
            source = _source(key, impl, shape, start, total)

            def make(source: Source, *values: Any) -> Any:
                return _made(facts, source, dtype, context, values)

            if tuned and lives is None and not context and _is_stretchable(facts, values):
                return lengthened(make, source, *values)
            return make(source, *values)

        return placed(whole, lives)(key, start, context, *values)

    sample.__name__ = sample.__qualname__ = facts.kernel.__name__.strip("_")
    return compiled(sample, sharding, tuned)


def _made(facts: Facts, source: Source, dtype: np.dtype, context: Any, values: Any) -> Any:
    """What the kernel makes."""

    def draw(source: Source, kind: np.dtype) -> tuple[Any, u.Unit | None]:
        return units.parts(facts.kernel(source, kind, context, *facts.static, *values))

    if dtype.kind not in "iu":
        return units.on(*draw(source, dtype))
    key = None if source.key is None else jax.random.clone(source.key)  # one draw in two dtypes
    (near, _), (whole, unit) = (
        draw(source, drawn_in(dtype)),
        draw(dataclasses.replace(source, key=key), wide(dtype)),
    )
    near = jnp.floor(near) if facts.bounds else near  # bounds are rounded inward
    return units.on(within(whole, near, dtype), unit)


def _is_stretchable(facts: Facts, values: Sequence[Any]) -> bool:
    """Whether what is drawn first does not depend on how much there is."""
    own = facts.elementwise and facts.has_rows and facts.sized is None
    parts = [value for value in values if isinstance(value, Recipe)]
    return own and all(_is_stretchable(part.facts, part.values) for part in parts)


def _source(key: Any, impl: Any, shape: Any, start: tuple[Any, ...], total: Any) -> Source:
    if key is not None:
        key = keys.typed(key, impl or keys.legacy_impl(key))
    rows = Rows(start[0], total) if start else None
    return Source(key, shape, rows, shape[0] if start else None)


# ---------------------------------------------------------------- in a kernel


def draws(
    source: Source, dtype: np.dtype, context: Mapping[str, Any], parts: Sequence[Recipe]
) -> list[Any]:
    """One draw of each part, each from a key of its own.

    A part that alone needs a key gets the one there is: ``2 * N`` is twice the draw of N.
    """
    rng = context.get("rng", source.key)
    needs = [part.needs_key(rng) for part in parts]
    several = source.key is not None and sum(needs) > 1
    keys_ = iter(source.split(sum(needs)) if several else ())
    made = []
    for part, need in zip(parts, needs, strict=True):
        key = next(keys_).key if several and need else source.key
        asked = Asked(key, source.shape, dtype, None, context, source.rows, alone=False)
        made.append(part.drawn(asked))
    return made


def opened(name: str, drawn: Any, dtype: np.dtype) -> tuple[Any, u.Unit | None]:
    """The bare value and the unit of a part's draw; integers stay what they are."""
    return units.parts(drawn) if dtype.kind in "iu" else units.unwrap(name, drawn, number=True)


def finished(bare: Any, unit: u.Unit | None, dtype: np.dtype) -> Any:
    """Round what a composite put together, and put its unit on."""
    if dtype.kind in "iu" and not jnp.issubdtype(jnp.result_type(bare), np.integer):
        raise TypeError(f"the draws need not be whole, as {dtype} is; draw, then cast")
    return units.on(rounded(jnp.asarray(bare), dtype), unit)


# ---------------------------------------------------------------- shardings of the parts


def _placed_by(
    shape: tuple[int, ...], names: Sequence[str], values: Sequence[Any], context: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """The arrays by which a composite is sharded, and their names."""
    for name, value in zip(names, values, strict=True):
        yield from _arrays_of(name, value)
    yield from _arrays_of("distances", context.get("distances"))
    if len(shape) == 2:  # where each population lies along an axis
        for name, turned in (("pre_positions", False), ("post_positions", True)):
            for _, value in _arrays_of(name, context.get(name)):
                yield name, along_one_axis(value, turned)


def _arrays_of(name: str, value: Any) -> Iterator[tuple[str, jax.Array]]:
    if isinstance(value, Recipe):
        for its, part in value.arrays():
            yield from _arrays_of(f"{name}.{its}", part)
    elif isinstance(value, Value):
        for field in fields(value):
            yield from _arrays_of(f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from _arrays_of(f"{name}[{i}]", part)
    elif isinstance(bare := units.parts(value)[0], jax.Array):
        yield name, bare
