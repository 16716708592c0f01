"""Recipes of a user's functions: the function itself is called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine import keys
from braininit._engine.sampler import result_dtype
from braininit._params import units
from braininit.initializer.recipe import UNKNOWN, Asked, Facts, Recipe

__all__ = ["called", "foreign"]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
class Foreign(Recipe):
    """What a user's twin of a function draws: the function itself is called.

    ``static`` says whether it takes `out_sharding` and the caller's context, and holds options.
    """

    def needs_key(self, rng: Any) -> bool:
        own = self.facts.random
        return any(part.needs_key(rng) for part in self._parts()) if own is None else own

    def sharding(self, asked: Any) -> Any:
        return asked

    def takes_any(self) -> bool:
        return any(part.takes_any() for part in self._parts())

    def _parts(self) -> Iterator[Recipe]:
        """The recipes of the initializers among its parameters."""
        for value in self.values:
            for part in value if type(value) is tuple else (value,):
                if isinstance(its := getattr(part, "_recipe", None), Recipe):
                    yield its

    def fit(self, dtype: np.dtype) -> None:
        """Nothing: what its numbers are is not known."""

    def drawn(self, asked: Asked) -> Any:
        takes_sharding, takes_context, options = self.facts.static
        given = dict(zip(self.facts.names, self.values, strict=True)) | dict(options)
        given["dtype"] = asked.dtype
        if takes_context:
            given |= asked.context
        if takes_sharding:
            given["out_sharding"] = asked.sharding
        elif asked.sharding is not None:
            name = self.facts.kernel.__name__
            raise TypeError(f"{name} takes no `out_sharding`; place its result by jax.device_put")
        return self.facts.kernel(asked.key, asked.shape, **given)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
class Called(Recipe):
    """What a user's own initializer draws, called in JAX's way or in BrainTools'."""

    def needs_key(self, rng: Any) -> bool:
        return not _signature(self.facts.kernel)[0] or _is_stateless(rng)

    def takes_any(self) -> bool:
        return True

    def fit(self, dtype: np.dtype) -> None:
        """Nothing: it has no numbers."""

    def drawn(self, asked: Asked) -> Any:
        function, shape, dtype, context = self.facts.kernel, asked.shape, asked.dtype, asked.context
        key = asked.key
        by_size, accepted, third = _signature(function)
        given = {name: value for name, value in context.items() if accepted(name) and name != "rng"}
        if dtype is not None and accepted("dtype", by_size):
            given["dtype"] = dtype
        if by_size:
            # A stateful source goes on unchanged; what has no state, each part gets its own of.
            rng = context.get("rng")
            rng = key if _is_stateless(rng) or rng is None else rng
            if rng is not None and accepted("rng"):
                given["rng"] = rng
            x = function(shape, **given)
        else:
            more = ()
            if third:  # whatever its name: JAX and Flax pass it by its place
                more = (given.pop("dtype", None) or result_dtype(dtype, "all"),)
            x = function(keys.typed(key, keys.legacy_impl(key)), shape, *more, **given)
        drawn = np.shape(u.get_mantissa(x))
        if drawn != shape:
            raise ValueError(f"{function!r} gave the shape {drawn}, not {shape} as asked")
        if dtype is None:
            return x
        if jnp.issubdtype(dtype, np.inexact):
            bare, unit = units.unwrap("the initializer's result", x, number=True)
        else:  # whole numbers, which a float might not hold, and booleans
            bare, unit = units.parts(x)
        return units.on(jnp.asarray(bare).astype(dtype), unit)


def foreign(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    takes_sharding: bool,
    takes_context: bool,
    **facts: Any,
) -> Foreign:
    """The recipe of a user's twin."""
    static = (takes_sharding, takes_context, tuple(options.items()))
    its = Facts(function, UNKNOWN, static, tuple(given), elementwise=False, **facts)
    return Foreign(its, tuple(given.values()))


def called(function: Callable[..., Any]) -> Called:
    """The recipe of a user's own initializer or function."""
    return Called(Facts(function, UNKNOWN, elementwise=False, traceable=False), ())


def _is_stateless(rng: Any) -> bool:
    return keys.is_key(rng) or isinstance(rng, (int, np.integer))


def _signature(function: Callable[..., Any]) -> tuple[bool, Callable[..., bool], bool]:
    """Whether a function is called with a size (not with a key), and what else it takes.

    That is which keywords, and whether it needs a dtype in third place.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin
        return True, lambda name, named=False: False, False
    kinds = inspect.Parameter
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in placed if p.default is kinds.empty]
    first = placed[0].name if placed else ""
    by_size = first in ("size", "sizes", "shape") or (first != "key" and len(required) < 2)
    names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    third = not by_size and len(required) == 3
    return by_size, lambda name, named=False: name in names or (anything and not named), third
