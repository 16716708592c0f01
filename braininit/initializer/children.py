"""Initializers made of initializers: what may be a child, and how it is drawn.

A composite's kernel is ``(key, shape, dtype, context, *operands) -> array or Quantity``,
with its children and numbers as operands. `run` calls it: compiled as a whole where all
parts are this package's own, so that a draw of many parts is one fused program; step by
step where a user's function takes part, which then sees what it would see by itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine import keys as _keys
from braininit._engine.loops import together
from braininit._engine.platforms import is_on_cpu
from braininit._engine.rounding import rounded
from braininit._engine.sampler import (
    as_shape,
    compiled,
    is_probe,
    probe,
    result_dtype,
    sizes_known,
)
from braininit._jax.dtypes import default_float, is_symbolic, wide
from braininit._jax.shardings import along_one_axis, canonical, following, placed
from braininit._params import units
from braininit._params.checks import trusted
from braininit._params.types import NumberLike
from braininit._params.values import Value, fields, static
from braininit.initializer.initialization import CONTEXT, Initialization, late, unknown

__all__ = [
    "UNKNOWN",
    "InitializerLike",
    "as_child",
    "as_children",
    "draws",
    "finished",
    "only_unit",
    "run",
    "split",
    "unit_of",
    "without_quantity",
]

InitializerLike: TypeAlias = Initialization | Callable[..., Any] | NumberLike
"""What may stand for an initializer: one, a function of one's own, or a constant."""

UNKNOWN: Any = object()
"""In place of a unit: only a draw can tell."""

_ARRAYS = ("distances", "pre_positions", "post_positions", "neuron_indices")


# ---------------------------------------------------------------- what may be a child


def as_child(name: str, value: Any) -> Initialization:
    """Take what a user gives for an initializer."""
    value = without_quantity(value)
    if isinstance(value, Initialization):
        overridden = type(value).__call__ is not Initialization.__call__
        return _custom(value) if overridden else value
    if isinstance(value, type):
        raise TypeError(f"`{name}` is the class {value.__name__}; write {value.__name__}(...)")
    if callable(value) and not isinstance(value, (u.Unit, u.Quantity, np.ndarray, jax.Array)):
        return _custom(value)
    if value is None or isinstance(value, str):
        raise TypeError(f"`{name}` must be an initializer or a number, got {value!r}")
    value = 1.0 * value if isinstance(value, u.Unit) else value
    return late["constant"](units.on(*units.split(name, value, number=True)))


def without_quantity(value: Any) -> Any:
    """Undo what brainunit makes of ``u.nS * initializer``: a Quantity around the object."""
    if isinstance(value, u.Quantity) and isinstance(value.mantissa, Initialization):
        return value.mantissa * value.unit
    return value


def _custom(function: Any) -> Initialization:
    """Wrap a user's own; one that can't be hashed, as a dataclass, goes by what it is."""
    return Custom(functools.partial(function) if type(function).__hash__ is None else function)


def as_children(name: str, value: Any) -> tuple[Initialization, ...]:
    """Take what a user gives for a sequence of initializers."""
    try:
        parts = None if isinstance(value, (str, bytes, Mapping)) else list(value)
    except TypeError:
        parts = None
    if parts is None:
        raise TypeError(f"`{name}` must be a sequence of initializers, got {value!r}")
    return tuple(as_child(f"{name}[{i}]", part) for i, part in enumerate(parts))


def _children_of(name: str, value: Any, several: bool) -> Any:
    return as_children(name, value) if several else as_child(name, value)


late["children"] = _children_of


def custom(
    key: Any, shape: Any, function: Callable[..., Any], *, dtype: Any = None, **context: Any
) -> Any:
    """Draw by a user's own function, in JAX's way or in BrainTools'."""
    if is_probe(key):
        return UNKNOWN
    size, (by_size, accepted) = as_shape(shape), _signature(function)
    given = {name: value for name, value in context.items() if accepted(name) and name != "rng"}
    if dtype is not None and accepted("dtype", by_size):
        given["dtype"] = dtype
    if by_size:
        # A stateful source goes on unchanged; what has no state, each child gets its own of.
        rng = context.get("rng")
        rng = key if _is_stateless(rng) or rng is None else rng
        if rng is not None and accepted("rng"):
            given["rng"] = rng
        x = function(size, **given)
    else:
        x = function(_keys.typed(key, _keys.legacy_impl(key)), size, **given)
    drawn = np.shape(u.get_mantissa(x))
    if drawn != size:
        raise ValueError(f"{function!r} gave the shape {drawn}, not {size} as asked")
    if dtype is None:
        return x
    bare, unit = units.split("the initializer's result", x, number=True)
    return units.on(jnp.asarray(bare).astype(dtype), unit)


class Custom(Initialization, function=custom):
    """A user's own initializer or function among this package's."""

    function: Callable[..., Any] = static()

    def _needs_key(self, rng: Any) -> bool:
        return not _signature(self.function)[0] or _is_stateless(rng)

    def _takes_any(self) -> bool:
        return True

    def _is_traceable(self) -> bool:
        return False

    def __repr__(self) -> str:
        return repr(self.function)


def _is_stateless(rng: Any) -> bool:
    return _keys.is_key(rng) or isinstance(rng, (int, np.integer))


def _signature(function: Callable[..., Any]) -> tuple[bool, Callable[..., bool]]:
    """Whether a function is called with a size (not with a key), and what keywords it takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin
        return True, lambda name, named=False: False
    kinds = inspect.Parameter
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in placed if p.default is kinds.empty]
    first = placed[0].name if placed else ""
    by_size = first in ("size", "sizes", "shape") or (first != "key" and len(required) < 2)
    names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return by_size, lambda name, named=False: name in names or (anything and not named)


# ---------------------------------------------------------------- drawing


def unit_of(child: Initialization, dtype: Any = None) -> Any:
    """The unit of an initializer's draws, without a draw; its parameters are checked."""
    dtype = default_float() if dtype is None else dtype
    # Asked at every draw of what it is a part of, an object always says the same of a dtype.
    known = child.__dict__.get("_unit_in", {})
    if dtype not in known:
        seen = child._draw(probe(), child._own_shape(), dtype, None, {})
        if seen is UNKNOWN:
            return UNKNOWN
        known = {**known, dtype: units.of(seen)}
        object.__setattr__(child, "_unit_in", known)
    return known[dtype]


def only_unit(unit: Any) -> Any:
    """What a probe gets in place of a draw: the unit, of nothing."""
    return unit if unit is UNKNOWN else units.on(None, unit)


def draws(
    key: Any,
    shape: tuple[int, ...],
    dtype: Any,
    context: Mapping[str, Any],
    children: Sequence[Initialization],
) -> list[Any]:
    """One draw of each child, each from a key of its own.

    A child alone in needing a key gets the one there is: ``2 * N`` is twice the draw of N.
    """
    rng = context.get("rng", key)
    thirsty = [child._needs_key(rng) for child in children]
    several = key is not None and sum(thirsty) > 1
    keys = iter(split(key, sum(thirsty)) if several else ())
    with together():
        return [
            child._draw(next(keys) if several and needs else key, shape, dtype, None, context)
            for child, needs in zip(children, thirsty, strict=True)
        ]


def split(key: Any, n: int) -> Any:
    """Independent keys from one, in whatever form it is."""
    return _keys.split(_keys.typed(key, _keys.legacy_impl(key)), n)


def run(
    kernel: Callable[..., Any],
    key: Any,
    shape: Any,
    *operands: Any,
    dtype: Any = None,
    out_sharding: Any = None,
    context: Mapping[str, Any],
    traceable: bool = True,
) -> Any:
    """Draw by a composite's kernel; `operands` are initializers, tuples of them, and PyTrees.

    One that is not `traceable` is not compiled here, whatever its children are.
    """
    size, kind = as_shape(shape), result_dtype(dtype, True)
    key = key if key is None else _keys.as_key(key)
    children = [
        child
        for operand in operands
        for child in (operand if isinstance(operand, tuple) else (operand,))
        if isinstance(child, Initialization)
    ]
    if context.keys() - CONTEXT - {"rng"} and not any(child._takes_any() for child in children):
        raise unknown({name: value for name, value in context.items() if name != "rng"})
    arrays = {name: context[name] for name in _ARRAYS if name in context}
    sharding = canonical(out_sharding)
    ours = traceable and all(child._is_traceable() for child in children)
    if ours and _keys.eager():
        for child in children:  # does this dtype hold its numbers?
            unit_of(child, wide(kind))
        impl = None if key is None else _keys.legacy_impl(key)
        on_cpu = is_on_cpu(sharding and sharding.mesh, key, arrays, operands)
        return _compiled(kernel, size, kind, sharding, impl, on_cpu)(key, arrays, *operands)
    lives = sharding or following(size, _parts(kernel, size, arrays, operands))
    if not ours and sharding is None and lives is not None and not any(lives.spec):
        lives = None  # there is nothing to split, and a user's function may have its own say
    here = placed(lambda k, c, *o: kernel(k, size, kind, {**context, **c}, *o), lives)
    with sizes_known(size) if is_symbolic(size) else nullcontext():
        return here(key, arrays, *operands)


@functools.lru_cache(maxsize=256)
def _compiled(
    kernel: Callable[..., Any],
    shape: tuple[int, ...],
    dtype: np.dtype,
    sharding: Any,
    impl: str | None,
    on_cpu: bool,
) -> Callable[..., Any]:
    def sample(key: Any, context: Mapping[str, Any], *operands: Any) -> Any:
        key = key if key is None else _keys.typed(key, impl)
        lives = sharding or following(shape, _parts(kernel, shape, context, operands))
        with trusted():
            here = placed(lambda k, c, *o: kernel(k, shape, dtype, c, *o), lives)
            return here(key, context, *operands)

    sample.__name__ = sample.__qualname__ = kernel.__name__.strip("_")
    return compiled(sample, sharding, on_cpu)


def _parts(
    kernel: Callable[..., Any],
    shape: tuple[int, ...],
    context: Mapping[str, Any],
    operands: Sequence[Any],
) -> Iterator[tuple[str, Any]]:
    """The arrays that a composite is made from, and names for them."""
    named = [p for p in inspect.signature(kernel).parameters.values() if p.kind != p.VAR_POSITIONAL]
    names = [p.name for p in named[4:]] or ["left", "right"]
    for name, value in zip(names, operands, strict=False):
        yield from _arrays_of(name, value)
    yield from _arrays_of("distances", context.get("distances"))
    if len(shape) == 2:  # where each population lies along an axis
        for name, turned in (("pre_positions", False), ("post_positions", True)):
            for _, value in _arrays_of(name, context.get(name)):
                yield name, along_one_axis(value, turned)


def _arrays_of(name: str, value: Any) -> Iterator[tuple[str, jax.Array]]:
    if isinstance(value, Value):
        for field in fields(value):
            yield from _arrays_of(f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from _arrays_of(f"{name}[{i}]", part)
    elif isinstance(bare := units.parts(value)[0], jax.Array):
        yield name, bare


def finished(bare: Any, unit: u.Unit | None, dtype: np.dtype) -> Any:
    """Round what a composite put together, and put its unit on."""
    return units.on(rounded(jnp.asarray(bare), dtype), unit)
