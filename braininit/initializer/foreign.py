"""Recipes that call a user's own function."""

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
from braininit.initializer.recipe import UNKNOWN, Facts, Recipe, Request

__all__ = ["called", "foreign"]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
class Foreign(Recipe):
    """The recipe of a user's twin: it calls the twin's function.

    ``static`` holds whether the function takes `out_sharding`, whether it takes the caller's
    context, and its options.
    """

    def needs_key(self, rng: Any) -> bool:
        random = self.facts.random
        return any(part.needs_key(rng) for part in self._parts()) if random is None else random

    def sharding(self, out_sharding: Any) -> Any:
        return out_sharding

    def takes_any(self) -> bool:
        return any(part.takes_any() for part in self._parts())

    def _parts(self) -> Iterator[Recipe]:
        """Yield the recipes of the initializers among the parameters."""
        for value in self.values:
            for part in value if type(value) is tuple else (value,):
                if isinstance(recipe := getattr(part, "_recipe", None), Recipe):
                    yield recipe

    def check_dtype(self, dtype: np.dtype) -> None:
        """Check nothing: the domains of a user's parameters are unknown."""

    def drawn(self, request: Request) -> Any:
        takes_sharding, takes_context, options = self.facts.static
        arguments = dict(zip(self.facts.names, self.values, strict=True)) | dict(options)
        arguments["dtype"] = request.dtype
        if takes_context:
            arguments |= request.context
        if takes_sharding:
            arguments["out_sharding"] = request.sharding
        elif request.sharding is not None:
            name = self.facts.kernel.__name__
            raise TypeError(f"{name} takes no `out_sharding`; place its result by jax.device_put")
        return self.facts.kernel(request.key, request.shape, **arguments)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
class Called(Recipe):
    """The recipe of a user's own initializer, called with a key as in JAX, or with a size."""

    def needs_key(self, rng: Any) -> bool:
        return not _signature(self.facts.kernel)[0] or _is_stateless(rng)

    def takes_any(self) -> bool:
        return True

    def check_dtype(self, dtype: np.dtype) -> None:
        """Check nothing: there are no numbers."""

    def drawn(self, request: Request) -> Any:
        function, shape, dtype, context = (
            self.facts.kernel,
            request.shape,
            request.dtype,
            request.context,
        )
        key = request.key
        by_size, accepts, dtype_third = _signature(function)
        keywords = {n: value for n, value in context.items() if accepts(n) and n != "rng"}
        if dtype is not None and accepts("dtype", by_size):
            keywords["dtype"] = dtype
        if by_size:
            # A stateful source is passed on; keys and seeds are not, as each part has its own key.
            rng = context.get("rng")
            rng = key if _is_stateless(rng) or rng is None else rng
            if rng is not None and accepts("rng"):
                keywords["rng"] = rng
            x = function(shape, **keywords)
        else:
            third = ()
            if dtype_third:  # whatever its name: JAX and Flax pass the dtype by position
                third = (keywords.pop("dtype", None) or result_dtype(dtype, "all"),)
            x = function(keys.typed(key, keys.legacy_impl(key)), shape, *third, **keywords)
        drawn_shape = np.shape(u.get_mantissa(x))
        if drawn_shape != shape:
            raise ValueError(f"{function!r} gave the shape {drawn_shape}, not {shape} as asked")
        if dtype is None:
            return x
        if jnp.issubdtype(dtype, np.inexact):
            bare, unit = units.unwrap("the initializer's result", x, number=True)
        else:  # integers, which a float might not hold, and booleans
            bare, unit = units.parts(x)
        return units.on(jnp.asarray(bare).astype(dtype), unit)


def foreign(
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    takes_sharding: bool,
    takes_context: bool,
    **facts: Any,
) -> Foreign:
    """The recipe of a user's twin."""
    static = (takes_sharding, takes_context, tuple(options.items()))
    own = Facts(function, UNKNOWN, static, tuple(parameters), elementwise=False, **facts)
    return Foreign(own, tuple(parameters.values()))


def called(function: Callable[..., Any]) -> Called:
    """The recipe of a user's own initializer or function."""
    return Called(Facts(function, UNKNOWN, elementwise=False, traceable=False), ())


def _is_stateless(rng: Any) -> bool:
    return keys.is_key(rng) or isinstance(rng, (int, np.integer))


def _signature(function: Callable[..., Any]) -> tuple[bool, Callable[..., bool], bool]:
    """How to call a function: whether with a size, not a key; with which keywords.

    The third item is whether it requires a third positional argument, the dtype.
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
