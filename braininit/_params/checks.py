"""Is a parameter in its domain? Concrete values raise, traced ones are poisoned.

Each check takes a bare value with its name and unit, and returns it. A concrete value
outside the domain raises at once; a JAX array that is inside can't leave it, and is not
read again. A traced one can't be read: it becomes NaN, so that the draw is NaN rather than
plausible, and `jax.experimental.checkify` reports it among the user's checks. Every
test is written so that NaN fails it.
"""

from __future__ import annotations

import functools
import math
import operator
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.experimental import checkify

from braininit._jax.dtypes import drawn_in, finfo, inside, resolve, setting
from braininit._jax.shardings import following, placed
from braininit._params.types import is_sequence
from braininit._params.units import brief, show

__all__ = [
    "axes",
    "finite",
    "fits",
    "flag",
    "fraction",
    "increasing",
    "non_negative",
    "poisoned",
    "positive",
    "room",
    "share",
    "spoiled",
    "summing_to_one",
    "trusted",
    "whole",
    "within",
]

_here = threading.local()

# By what was checked and of which values: the JAX arrays among them.
_passed: dict[tuple[Any, ...], tuple[weakref.ref[jax.Array], ...]] = {}


@contextmanager
def trusted() -> Iterator[None]:
    """Within, traced parameters are ones whose concrete values were checked before.

    A draw of several parts is compiled as a whole with its parameters traced, after its
    objects checked them when they were built.
    """
    before, _here.trusted = is_trusted(), True
    try:
        yield
    finally:
        _here.trusted = before


def is_trusted() -> bool:
    """Whether this thread traces with parameters that were checked."""
    return getattr(_here, "trusted", False)


def _has_passed(*check: Any, of: tuple[Any, ...]) -> bool:
    """Whether the very same arrays passed before: to read them takes longer than to draw."""
    refs = _passed.get((*check, *map(_identity, of)))
    return refs is not None and all(r() is a for r, a in zip(refs, _arrays(of), strict=True))


def _passes(*check: Any, of: tuple[Any, ...]) -> None:
    """Remember it, of JAX arrays, beside which there may be floats."""
    arrays = _arrays(of)
    if arrays and all(isinstance(array, jax.Array) for array in arrays):
        if len(_passed) >= 4096:  # of a program that makes arrays in a loop
            _passed.clear()
        _passed[*check, *map(_identity, of)] = tuple(map(weakref.ref, arrays))


def _arrays(values: tuple[Any, ...]) -> list[Any]:
    return [value for value in values if type(value) is not float]


def _identity(value: Any) -> float | int:
    return value if type(value) is float else id(value)


# ---------------------------------------------------------------- one parameter


def finite(name: str, value: Any, unit: u.Unit | None = None) -> Any:
    """-inf < value < inf."""
    if type(value) is float and math.isfinite(value):
        return value
    return _require(name, value, unit, "finite")


def positive(name: str, value: Any, unit: u.Unit | None = None) -> Any:
    """0 < value < inf."""
    if type(value) is float and 0 < value < math.inf:
        return value
    return _require(name, value, unit, "positive")


def non_negative(name: str, value: Any, unit: u.Unit | None = None) -> Any:
    """0 <= value < inf."""
    if type(value) is float and 0 <= value < math.inf:
        return value
    return _require(name, value, unit, "non-negative")


def _sums_to_one(values: Any) -> Any:
    return abs(jnp.sum(values) - 1) < 1e-5


def summing_to_one(name: str, values: Any) -> Any:
    """Probabilities that sum to 1, up to rounding."""
    if isinstance(values, Tracer):
        text = f"`{name}` must sum to 1, got a traced {{}}"
        return _traced(_sums_to_one, text, values)[0]
    total = float(np.sum(np.asarray(values, float)))
    if not abs(total - 1) < 1e-5:
        raise ValueError(f"`{name}` must sum to 1, got {total:.6g}; divide them by their sum")
    return values


def fraction(name: str, value: Any) -> Any:
    """0 <= value <= 1."""
    if type(value) is float and 0 <= value <= 1:
        return value
    return _require(name, value, None, "from 0 to 1")


def share(name: str, value: Any) -> Any:
    """0 <= value <= 1, or a whole number above: so many, in place of a fraction of all."""
    if type(value) is float and 0 <= value <= 1:
        return value
    return _require(name, value, None, "from 0 to 1, or a whole number above 1")


def whole(name: str, value: Any, least: int | None = None) -> int:
    """An int, not below `least`; always concrete, as it decides about a program's form."""
    try:
        number = _index(value)
    except Exception as error:
        raise TypeError(f"`{name}` must be an int, got {brief(value)}; write 1, for example") from (
            None if isinstance(error, TypeError) else error
        )
    if least is not None and number < least:
        raise ValueError(
            f"`{name}` must be {least} or more, got {number}; write {least}, for example"
        )
    return number


def axes(name: str, value: Any) -> tuple[int, ...]:
    """An axis, or several, as a tuple of ints."""
    several = value.tolist() if isinstance(value, np.ndarray) and value.ndim else value
    try:
        return tuple(_index(v) for v in (several if is_sequence(several) else (several,)))
    except Exception as error:
        raise TypeError(
            f"`{name}` must be an int or a tuple of ints, got {brief(value)}; write -1, for example"
        ) from (None if isinstance(error, TypeError) else error)


def _index(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    return operator.index(value)


def flag(name: str, value: Any) -> bool:
    """True or False; nothing that Python would take for one of them."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {brief(value)}; write one of them")
    return bool(value)


def within(name: str, axes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Axes of a shape, counted from its front; every axis once."""
    rank = len(shape)
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(f"`{name}` = {axis} is no axis of the size {shape}; it has {rank}")
    counted = tuple(axis % rank for axis in axes)
    if len(set(counted)) < len(counted):
        raise ValueError(f"`{name}` = {axes} names an axis of the size {shape} twice; name it once")
    return counted


# By domain: what holds of a value within, and what to do about another.
_DOMAINS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "finite": (lambda x: abs(x) < math.inf, "give a finite number"),
    "positive": (lambda x: (x > 0) & (x < math.inf), "give a number above 0"),
    "non-negative": (lambda x: (x >= 0) & (x < math.inf), "give 0 or more"),
    "from 0 to 1": (lambda x: (x >= 0) & (x <= 1), "give a fraction, as in 0.1 for 10 %"),
    "from 0 to 1, or a whole number above 1": (
        lambda x: (x >= 0) & ((x <= 1) | ((x < math.inf) & (x.round() == x))),
        "give a fraction, as in 0.8, or a number of them, as in 80",
    ),
}


def _require(name: str, value: Any, unit: u.Unit | None, domain: str) -> Any:
    holds, remedy = _DOMAINS[domain]
    if isinstance(value, Tracer):
        # The braces of a dtype or a unit would be read as a format's.
        return _traced(holds, f"`{name}` must be {domain}, got a traced {{}}", value)[0]
    if _has_passed(domain, of=(value,)):
        return value
    concrete = np.asarray(value)
    good = np.asarray(holds(concrete))
    if good.all():
        _passes(domain, of=(value,))
        return value
    where: Any = tuple(np.argwhere(~good)[0].tolist())
    bad = np.asarray(concrete[where]).item()
    if domain != "finite" and bad == math.inf:
        domain += " and finite"
    at = f" at index {where if len(where) > 1 else where[0]}" if where else ""
    hint = "remove the NaN" if bad != bad else remedy
    raise ValueError(f"`{name}` must be {domain}, got {show(bad, unit)}{at}; {hint}")


def _less(low: Any, high: Any) -> Any:
    return _lined_up(operator.lt, low, high)


def increasing(
    low_name: str, low: Any, high_name: str, high: Any, unit: u.Unit | None = None
) -> tuple[Any, Any]:
    """Low < high, element by element; either may be infinite on its own side."""
    if type(low) is float and type(high) is float:
        if low < high:
            return low, high
    elif isinstance(low, Tracer) or isinstance(high, Tracer):
        text = f"`{low_name}` must be less than `{high_name}`, got traced {{}} and {{}}"
        low, high = _traced(_less, text, low, high)
        return low, high
    elif _has_passed("increasing", of=(low, high)):
        return low, high
    else:
        try:
            a, b = np.broadcast_arrays(low, high)
        except ValueError:
            raise ValueError(
                f"`{low_name}` {np.shape(low)} and `{high_name}` {np.shape(high)} "
                "don't go together; make them broadcast"
            ) from None
        good = a < b
        if good.all():
            _passes("increasing", of=(low, high))
            return low, high
        first = tuple(np.argwhere(~good)[0])
        low, high = a[first].item(), b[first].item()
    raise ValueError(
        f"`{low_name}` must be less than `{high_name}`, got {low_name} = {show(low, unit)} and "
        f"{high_name} = {show(high, unit)}; "
        + ("remove the NaN" if low != low or high != high else "swap or widen them")
    )


def _lined_up(function: Callable[..., Any], *values: Any) -> Any:
    """Call with values of one rank: JAX may be set to refuse implicit rank promotion."""
    arrays = [jnp.asarray(v) for v in values]
    dtype = jnp.result_type(*[a.dtype for a in arrays if jnp.issubdtype(a.dtype, np.floating)])
    arrays = [a.astype(dtype) if jnp.issubdtype(a.dtype, np.floating) else a for a in arrays]
    shape = jnp.broadcast_shapes(*(a.shape for a in arrays))
    lives = following(shape, (("", a) for a in arrays), strict=False)
    return placed(lambda *arrays: function(*jnp.broadcast_arrays(*arrays)), lives)(*arrays)


# ---------------------------------------------------------------- traced parameters


def _traced(holds: Callable[..., Any], text: str, *values: Any) -> tuple[Any, ...]:
    """The values, NaN (and so their derivatives) where they break the rule; checkify is told."""
    if is_trusted():
        return values
    return _undeclared(_checked(holds, text), *map(jnp.asarray, values))


def spoiled(x: jax.Array, *parameters: Any) -> jax.Array:
    """A draw, all NaN where one of its traced parameters is.

    For parameters that are compared or counted with: what comes out of a comparison or a
    cast to integers shows no NaN.
    """
    traced = [p for p in parameters if isinstance(p, Tracer)]
    return x if is_trusted() or not traced else _spoiled(x, traced)


@jax.jit  # op by op, under vmap, `jax_debug_nans` would find the NaN that is not used
def _spoiled(x: jax.Array, parameters: list[jax.Array]) -> jax.Array:
    bad = functools.reduce(operator.or_, [jnp.any(jnp.isnan(p)) for p in parameters])
    return jnp.where(bad, jnp.full_like(x, jnp.nan), x)


@functools.lru_cache(maxsize=1024)  # a function of its own would be traced anew
def _checked(holds: Callable[..., Any], text: str) -> Callable[..., tuple[Any, ...]]:
    def checked(*values: Any) -> tuple[Any, ...]:
        good = holds(*values)
        checkify.debug_check(jnp.all(good), text, *values)
        return tuple(
            _lined_up(lambda good, value: value * jnp.where(good, 1.0, jnp.nan), good, value)
            for value in values
        )

    def where_they_live(*values: Any) -> tuple[Any, ...]:
        shape, named = jnp.broadcast_shapes(*(v.shape for v in values)), [("", v) for v in values]
        each = tuple(following(shape, [one, *named], strict=False) for one in named)
        return placed(checked, None if None in each else each)(*values)

    return jax.jit(where_they_live)


def _undeclared(function: Callable[..., tuple[Any, ...]], *values: Any) -> tuple[Any, ...]:
    """Call a jitted function that holds a debug check, without the effect JAX books for it.

    The check compiles to nothing, but a program with an effect is dispatched by Python: a
    call takes 89 us instead of 7. In an inner jit that declares no effect, checkify and all
    the other transformations find the check as before.
    """
    if setting("jax_enable_checks"):
        return function(*values)  # JAX verifies what is declared
    try:
        (call,) = jax.make_jaxpr(function)(*values).eqns
        quiet = _without_effects(call.params["jaxpr"])
        return tuple(call.primitive.bind(*values, **call.params | {"jaxpr": quiet}))
    except Exception:  # a JAX whose programs look otherwise
        return function(*values)


@functools.lru_cache(maxsize=1024)  # one program, one lowering
def _without_effects(program: Any) -> Any:
    none: frozenset[Any] = frozenset()
    equations = [equation.replace(effects=none) for equation in program.eqns]
    return program.replace(jaxpr=program.jaxpr.replace(eqns=equations, effects=none))


# ---------------------------------------------------------------- does a dtype hold it?

# Held by the drawing dtype, not by the result's.
_PURE = ("concentration", "alpha", "beta", "variance", "fan_in", "fan_out")


def fits(
    dtype: Any,
    unit: u.Unit | None = None,
    *,
    vanishing: tuple[str, ...] = ("std", "scale"),
    **values: Any,
) -> None:
    """Refuse a concrete value that overflows the dtype, or a scale that vanishes in it."""
    for name, value in values.items():
        if type(value) is float and (0.02 <= abs(value) <= 15 or value == 0):
            continue  # within what even the 8-bit dtypes hold
        if isinstance(value, Tracer):
            continue  # `poisoned` sees to it
        kind = resolve(dtype, complex_too=True)
        kind = drawn_in(kind) if name in _PURE else kind
        check = "fits", kind, name in vanishing, name
        if _has_passed(*check, of=(value,)):
            continue
        info, size = finfo(kind), np.abs(np.asarray(value)).astype(float)
        bad = np.isfinite(size) & (size > info.most)
        if name in vanishing or name in _PURE:
            bad |= (size > 0) & (size < info.least)
        if name == "value" and not np.isinf(np.asarray(np.inf).astype(kind)):
            bad |= np.isinf(size)
        if bad.any():
            first = np.asarray(value)[tuple(np.argwhere(bad)[0])].item()
            raise ValueError(
                f"`{name}` = {show(first, unit)} is outside what {kind} holds "
                f"({info.least:.3g} to {info.most:.3g}); take another dtype or another unit"
            )
        _passes(*check, of=(value,))


def poisoned(name: str, value: jax.Array, dtype: Any) -> jax.Array:
    """What `fits` refuses, in a traced parameter on its way into the drawing dtype: NaN."""
    info = finfo(drawn_in(dtype) if name in _PURE else dtype)
    if float(jnp.finfo(value.dtype).max) <= info.most:
        return value
    size = abs(value)
    bad = (size < math.inf) & (size > info.most)
    if name in ("std", "scale", *_PURE):
        bad |= (size > 0) & (size < info.least)
    return jnp.where(bad, jnp.full_like(value, jnp.nan), value)


def room(
    dtype: Any,
    unit: u.Unit | None,
    low: Any,
    high: Any,
    *,
    open_high: bool = False,
    distinct: bool = True,
    names: tuple[str, str] = ("low", "high"),
) -> None:
    """Refuse concrete bounds between which the dtype has no value.

    `distinct`: also those that are one number once they are rounded to the drawing dtype.
    """
    quick, size = type(low) is float and type(high) is float, 0.0
    if quick:
        size = max(abs(low), abs(high))
        if size == math.inf or (0.02 <= size <= 15 and high - low > 0.3 * size):
            return
    elif isinstance(low, Tracer) or isinstance(high, Tracer):
        return
    dtype = resolve(dtype)
    kind = drawn_in(dtype)
    closed = kind == dtype and not open_high  # then the bounds themselves are values of it
    if closed and (not distinct or (size > 1e-30 and high - low > 1e-5 * size)):
        return
    check = "room", dtype, open_high, distinct
    if _has_passed(*check, of=(low, high)):
        return
    if _far_apart(np.asarray(low, float), np.asarray(high, float), dtype):
        _passes(*check, of=(low, high))
        return
    given = np.asarray(low), np.asarray(high)
    with np.errstate(invalid="ignore", over="ignore"):  # a step beyond the greatest number
        lowest, _ = inside(np, *given, dtype, open_high=open_high)
        bad = np.isnan(lowest)
        if distinct:
            lowest, highest = inside(np, *given, kind)
            bad = bad | ~(lowest < highest)
    if bad.any():
        a, b = np.broadcast_arrays(low, high)
        first = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"no value of {dtype} lies between `{names[0]}` = {show(a[first].item(), unit)} and "
            f"`{names[1]}` = {show(b[first].item(), unit)}; widen them or take a wider dtype"
        )
    _passes(*check, of=(low, high))


def _far_apart(low: np.ndarray, high: np.ndarray, dtype: np.dtype) -> bool:
    """Whether all bounds are further apart than two neighbours of this size: a quick look."""
    eps, (least, most) = float(jnp.finfo(dtype).eps), finfo(dtype)
    low, high = np.clip(low, -most, most), np.clip(high, -most, most)
    size = np.maximum(abs(low), abs(high))
    return bool(np.all((high - low > 2 * eps * size) & (size > least / eps)))
