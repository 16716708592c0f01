"""Recipes made of other recipes.

The kernel of a composite is ``(source, dtype, context, *static, *parts) -> array or Quantity``.
Its parts are recipes, numbers and other PyTrees. If all parts are this package's own, the composite
is compiled as a whole: a draw of many parts is one fused program. If a part calls a user's
function, the composite runs eagerly, and the function gets the arguments it would get alone.
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
from braininit._jax.dtypes import INTEGERS_TOO, compute_dtype, is_symbolic, wide
from braininit._jax.settings import eager
from braininit._jax.shardings import along_one_axis, inherited, with_sharding
from braininit._params import units
from braininit._params.shapes import sizes_known
from braininit._params.values import Value, fields
from braininit.initializer.calls import CONTEXT, unknown
from braininit.initializer.recipe import Facts, Recipe, Request

__all__ = ["Composite", "as_result", "bare_and_unit", "composite", "draws"]

_ARRAYS = ("distances", "pre_positions", "post_positions", "neuron_indices")


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
class Composite(Recipe):
    """The recipe of an initializer made of others."""

    def parts(self) -> Iterator[Recipe]:
        """Yield the recipes of the parts."""
        for value in self.values:
            for part in value if type(value) is tuple else (value,):
                if isinstance(part, Recipe):
                    yield part

    @property
    def dtypes(self) -> str:
        keeps_integers = self.facts.dtypes == "whole"
        integers = keeps_integers and all(part.dtypes in INTEGERS_TOO for part in self.parts())
        return "any" if integers else "complex"

    @property
    def traceable(self) -> bool:
        return self.facts.traceable and all(part.traceable for part in self.parts())

    def needs_key(self, rng: Any) -> bool:
        random = self.facts.random
        return any(part.needs_key(rng) for part in self.parts()) if random is None else random

    def takes_any(self) -> bool:
        return any(part.takes_any() for part in self.parts())

    def check_dtype(self, dtype: np.dtype) -> None:
        super().check_dtype(dtype)
        for part in self.parts():
            part.check_dtype(wide(dtype))

    def check_shape(
        self, shape: tuple[int, ...], dtype: np.dtype, context: Mapping[str, Any]
    ) -> None:
        super().check_shape(shape, dtype, context)
        self._check_parts(shape, dtype, context)

    def _check_parts(self, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]) -> None:
        for part in () if self.facts.resizes else self.parts():
            part.check_shape(shape, wide(dtype), context)

    def drawn(self, request: Request) -> Any:
        shape, sharding, context, rows = (
            request.shape,
            request.sharding,
            request.context,
            request.rows,
        )
        dtype = result_dtype(request.dtype, self.dtypes)
        key = None if request.key is None else keys.as_key(request.key)
        if context.keys() - CONTEXT - {"rng"} and not self.takes_any():
            raise unknown({name: value for name, value in context.items() if name != "rng"})
        sized: Any = self.for_draw(shape, request.dtype, context)
        facts, values = sized.facts, sized.values
        arrays = {name: context[name] for name in _ARRAYS if name in context}
        start, total = ((), None) if rows is None else ((rows.start,), rows.total)
        if sized.traceable and eager():
            sized.check_dtype(dtype)
            sized._check_parts(shape, dtype, context)  # `for_draw` has checked the other numbers
            impl = None if key is None else keys.legacy_impl(key)
            tuned = is_tunable(sharding and sharding.mesh, key, arrays, values)
            program = _program(facts, shape, dtype, sharding, impl, tuned, total)
            return program(key, start, arrays, *values)
        sized.check_dtype(dtype)
        target = sharding or inherited(shape, _arrays_to_follow(shape, facts.names, values, arrays))
        if not sized.traceable and sharding is None and target is not None and not any(target.spec):
            target = None  # nothing is split, and a user's function may choose its own sharding

        def step(key: Any, start: Any, arrays: Any, *values: Any) -> Any:
            source = _source(key, None, shape, start, total)
            return _result(facts, source, dtype, {**context, **arrays}, values)

        with sizes_known(shape) if is_symbolic(shape) else nullcontext():
            return with_sharding(step, target)(key, start, arrays, *values)

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
    """Make a composite from its named parts; `roles` holds the roles of bare numbers among them."""
    part_roles = tuple((roles or {}).get(name) for name in parts)
    facts |= {"names": tuple(parts), "roles": part_roles}
    return Composite(Facts(kernel, unit, **facts), tuple(parts.values()))


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
    """The compiled draw of a composite, in one program."""

    def sample(key: Any, start: Any, context: Mapping[str, Any], *values: Any) -> Any:
        followed = _arrays_to_follow(shape, facts.names, values, context)
        target = sharding or inherited(shape, followed)

        def whole(key: Any, start: Any, context: Mapping[str, Any], *values: Any) -> Any:
            source = _source(key, impl, shape, start, total)

            def make(source: Source, *values: Any) -> Any:
                return _result(facts, source, dtype, context, values)

            if tuned and target is None and not context and _is_stretchable(facts, values):
                return lengthened(make, source, *values)
            return make(source, *values)

        return with_sharding(whole, target)(key, start, context, *values)

    sample.__name__ = sample.__qualname__ = facts.kernel.__name__.strip("_")
    return compiled(sample, sharding, tuned)


def _result(facts: Facts, source: Source, dtype: np.dtype, context: Any, values: Any) -> Any:
    """Run the kernel; for an integer dtype twice, in floats and in integers."""

    def run(source: Source, dtype: np.dtype) -> tuple[Any, u.Unit | None]:
        return units.parts(facts.kernel(source, dtype, context, *facts.static, *values))

    if dtype.kind not in "iu":
        return units.on(*run(source, dtype))
    key = None if source.key is None else jax.random.clone(source.key)  # one draw in two dtypes
    near, _ = run(source, compute_dtype(dtype))
    whole, unit = run(dataclasses.replace(source, key=key), wide(dtype))
    near = jnp.floor(near) if facts.bounds else near  # bounds are rounded inward
    return units.on(within(whole, near, dtype), unit)


def _is_stretchable(facts: Facts, values: Sequence[Any]) -> bool:
    """Whether a longer draw begins with the same numbers."""
    independent = facts.elementwise and facts.has_rows and facts.sized is None
    parts = [value for value in values if isinstance(value, Recipe)]
    return independent and all(_is_stretchable(part.facts, part.values) for part in parts)


def _source(key: Any, impl: Any, shape: Any, start: tuple[Any, ...], total: Any) -> Source:
    if key is not None:
        key = keys.typed(key, impl or keys.legacy_impl(key))
    rows = Rows(start[0], total) if start else None
    return Source(key, shape, rows, shape[0] if start else None)


# ---------------------------------------------------------------- in a kernel


def draws(
    source: Source, dtype: np.dtype, context: Mapping[str, Any], parts: Sequence[Recipe]
) -> list[Any]:
    """Draw each part once, from a key of its own.

    If only one part needs a key, it gets the key unsplit: ``2 * N`` is twice the draw of N.
    """
    rng = context.get("rng", source.key)
    needs = [part.needs_key(rng) for part in parts]
    several = source.key is not None and sum(needs) > 1
    sources = iter(source.split(sum(needs)) if several else ())
    drawn = []
    for part, need in zip(parts, needs, strict=True):
        key = next(sources).key if several and need else source.key
        request = Request(key, source.shape, dtype, None, context, source.rows, alone=False)
        drawn.append(part.drawn(request))
    return drawn


def bare_and_unit(name: str, drawn: Any, dtype: np.dtype) -> tuple[Any, u.Unit | None]:
    """The bare value and the unit of a part's draw; integers stay integers."""
    return units.parts(drawn) if dtype.kind in "iu" else units.unwrap(name, drawn, number=True)


def as_result(bare: Any, unit: u.Unit | None, dtype: np.dtype) -> Any:
    """Round a composite's result to the dtype, and attach its unit."""
    if dtype.kind in "iu" and not jnp.issubdtype(jnp.result_type(bare), np.integer):
        raise TypeError(f"the draws need not be whole, as {dtype} is; draw, then cast")
    return units.on(rounded(jnp.asarray(bare), dtype), unit)


# ---------------------------------------------------------------- shardings of the parts


def _arrays_to_follow(
    shape: tuple[int, ...], names: Sequence[str], values: Sequence[Any], context: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield the arrays whose shardings a composite's result follows, by name."""
    for name, value in zip(names, values, strict=True):
        yield from _arrays_of(name, value)
    yield from _arrays_of("distances", context.get("distances"))
    if len(shape) == 2:  # each population lies along one axis
        for name, turned in (("pre_positions", False), ("post_positions", True)):
            for _, value in _arrays_of(name, context.get(name)):
                yield name, along_one_axis(value, turned)


def _arrays_of(name: str, value: Any) -> Iterator[tuple[str, jax.Array]]:
    if isinstance(value, Recipe):
        for part_name, part in value.arrays():
            yield from _arrays_of(f"{name}.{part_name}", part)
    elif isinstance(value, Value):
        for field in fields(value):
            yield from _arrays_of(f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from _arrays_of(f"{name}[{i}]", part)
    elif isinstance(bare := units.parts(value)[0], jax.Array):
        yield name, bare
