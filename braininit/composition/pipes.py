"""What is done to the draws of one initializer: brought within bounds, passed through functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import finish
from braininit._engine.sampler import aligned, is_probe
from braininit._jax.dtypes import drawn_in, resolve, wide
from braininit._params import checks, units
from braininit._params.types import DType, Key, QuantityLike, Shape, Sharding
from braininit._params.values import static
from braininit.initializer.calls import explained
from braininit.initializer.children import (
    UNKNOWN,
    InitializerLike,
    as_child,
    draws,
    finished,
    only_unit,
    run,
    unit_of,
)
from braininit.initializer.initialization import Initialization, late

# ---------------------------------------------------------------- clipped


@explained
def clipped(
    key: Key | None,
    shape: Shape,
    base_dist: InitializerLike,
    min_val: QuantityLike | None = None,
    max_val: QuantityLike | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Any:
    """Draw an initializer and bring what lies outside of bounds to the bound.

    For draws from the distribution cut off at the bounds, without the heaps that
    clipping leaves there, see `truncated`.

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    base_dist : initializer
        What is clipped.
    min_val, max_val : number, array or Quantity, optional
        Bounds, min_val < max_val, of the dimension of `base_dist`; None is open.
    dtype : dtype, optional
        A real dtype that `base_dist` can be drawn in; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    **context
        What `base_dist` may need: `distances`, `neuron_indices`, ...

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `base_dist`, in [min_val, max_val].

    Raises
    ------
    ValueError
        If min_val >= max_val, or the dtype has no value between.
    UnitError
        If a bound differs in dimension from `base_dist`.

    Notes
    -----
    Numerics: a bound that the dtype does not hold is rounded inward.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> base = init.Normal(0.5 * u.nS, 0.3 * u.nS)
    >>> w = init.clipped(jax.random.key(0), 1000, base, 0 * u.nS, 1 * u.nS)
    >>> bool((w >= 0 * u.nS).all() and (w <= 1 * u.nS).all())
    True
    """
    child, kind = as_child("base_dist", base_dist), resolve(dtype, complex_too=True)
    if kind.kind == "c":
        raise TypeError(f"`dtype` must be real, as bounds are, got {kind}")
    seen, unit, (low, high) = beside(
        child,
        min_val=-math.inf if min_val is None else min_val,
        max_val=math.inf if max_val is None else max_val,
    )
    low, high = checks.increasing("min_val", low, "max_val", high, unit)
    checks.fits(drawn_in(kind), unit, min_val=low, max_val=high)
    checks.room(kind, unit, low, high, distinct=False, names=("min_val", "max_val"))
    if is_probe(key):
        return only_unit(seen)
    bounds = (units.on(low, unit), units.on(high, unit))
    return run(
        _clipped,
        key,
        shape,
        child,
        *bounds,
        dtype=dtype,
        out_sharding=out_sharding,
        context=context,
    )


class Clipped(Initialization, function=clipped, random=None):
    """An initializer clipped at bounds; what `clip` makes, the twin of `clipped`.

    Parameters
    ----------
    base_dist : initializer
        What is clipped.
    min_val, max_val : number, array or Quantity, optional
        Bounds, min_val < max_val, of the dimension of `base_dist`; None is open.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Normal(0.5 * u.nS, 0.3 * u.nS).clip(0 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    base_dist: InitializerLike
    min_val: QuantityLike | None = None
    max_val: QuantityLike | None = None

    def __post_init__(self) -> None:
        """Give a bare 0 the unit that it stands beside."""
        super().__post_init__()
        for name in ("min_val", "max_val"):
            if type(getattr(self, name)) is float:
                _, unit, (bare,) = beside(self.base_dist, **{name: getattr(self, name)})
                object.__setattr__(self, name, units.on(bare, unit))


def beside(child: Any, **values: Any) -> tuple[Any, u.Unit | None, list[Any]]:
    """Parameters that share the unit of a child's draws: that unit, theirs, and the bare values."""
    seen = unit_of(child)
    if seen is UNKNOWN or seen is None:
        unit, bares = units.off(**values)
        if unit is not None and seen is None:
            raise units.UnitError(
                f"`{next(iter(values))}` is in {unit}, the draws of `base_dist` have no unit; "
                f"give them one, as in base * u.{unit}"
            )
        return seen, unit, bares
    unit, (_, *bares) = units.off(base_dist=units.on(1.0, seen), **values)
    return seen, unit, bares


def _clipped(
    key: Any, shape: Any, dtype: Any, context: Any, base_dist: Any, min_val: Any, max_val: Any
) -> Any:
    (drawn,) = draws(key, shape, wide(dtype), context, (base_dist,))
    unit, (x, *bounds) = units.off(base_dist=drawn, min_val=min_val, max_val=max_val)
    low, high = (
        aligned(name, bound, shape, drawn_in(dtype))
        for name, bound in zip(("min_val", "max_val"), bounds, strict=True)
    )
    x = jnp.clip(jnp.asarray(x), low, high)  # by as much as it takes; `finish` then rounds inward
    return units.on(finish(x, dtype, low, high), unit)


def _clip(base: Any, min_val: Any, max_val: Any) -> Initialization:
    return Clipped(base, min_val, max_val)


late["clipped"] = _clip

# ---------------------------------------------------------------- composed


@explained
def composed(
    key: Key | None,
    shape: Shape,
    first: InitializerLike,
    functions: Sequence[Callable[[Any], Any]] = (),
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Any:
    """Draw an initializer and pass the draws through functions, left to right.

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    first : initializer
        What is drawn.
    functions : sequence of callable
        From draws, with their unit, to what they become, of the same shape.
    dtype : dtype, optional
        A dtype that `first` can be drawn in; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    **context
        What `first` may need: `distances`, `neuron_indices`, ...

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit that the last function gives.

    Raises
    ------
    TypeError
        If one of `functions` is an initializer, or no function.
    ValueError
        If a function changes the shape.

    Notes
    -----
    Numerics: functions are called as they are, compiled only where the caller compiles.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> init.composed(jax.random.key(0), 3, init.Constant(2.0 * u.nS), [lambda x: x**2]).unit
    Unit("nS^2")
    """
    child, functions = as_child("first", first), _functions(functions)
    if is_probe(key):
        return UNKNOWN if functions else units.on(None, unit_of(child, dtype))

    kernel = _composed(functions, dtype is not None)
    return run(
        kernel, key, shape, child, dtype=dtype, out_sharding=out_sharding, context=context,
        traceable=not functions,
    )  # fmt: skip


class Compose(Initialization, function=composed, random=None):
    """An initializer and functions of its draws; what ``|`` and `apply` make.

    Parameters
    ----------
    first : initializer
        What is drawn.
    *functions : callable
        From draws, with their unit, to what they become, of the same shape.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> rectified = init.Compose(init.Normal(1 * u.nS, 1 * u.nS), u.math.abs, lambda x: 2 * x)
    >>> bool((rectified(1000, rng=0) >= 0 * u.nS).all())
    True
    """

    first: InitializerLike
    functions: Sequence[Callable[[Any], Any]] = static(default=())

    def __init__(self, *steps: Any, first: Any = None, functions: Any = ()) -> None:
        given = (*(() if first is None else (first,)), *steps, *_functions(functions))
        steps = tuple(s for x in given for s in (x if isinstance(x, (tuple, list)) else (x,)))
        if not steps:
            raise ValueError("`first` is missing: Compose needs an initializer to begin with")
        object.__setattr__(self, "first", steps[0])
        object.__setattr__(self, "functions", steps[1:])
        self.__post_init__()

    def _is_traceable(self) -> bool:
        return not self.functions and super()._is_traceable()

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, (self.first, *self.functions)))})"


def _functions(value: Any) -> tuple[Callable[[Any], Any], ...]:
    """Functions of draws, in whatever sequence they come."""
    try:
        functions = tuple(value)
    except TypeError:
        raise TypeError(
            f"`functions` must be a sequence of functions of the draws, got {value!r}"
        ) from None
    for i, function in enumerate(functions):
        if isinstance(function, (Initialization, type)) or not callable(function):
            raise TypeError(
                f"`functions[{i}]` must be a function of the draws, got {function!r}; add or "
                "multiply numbers and initializers by + and *"
            )
    return functions


def _composed(functions: tuple[Callable[[Any], Any], ...], typed: bool) -> Callable[..., Any]:
    """The kernel that calls functions one after the other; `typed` ends in the dtype."""
    if not functions:
        return _alone

    def _composed(key: Any, shape: Any, dtype: Any, context: Any, first: Any) -> Any:
        (x,) = draws(key, shape, wide(dtype), context, (first,))
        for i, function in enumerate(functions):
            x = function(x)
            given = np.shape(u.get_mantissa(x))
            if given != shape:
                raise ValueError(
                    f"`functions[{i}]` {function!r} gave the shape {given}, not {shape}"
                )
        if not typed:
            return x
        bare, unit = units.split("the functions' result", x, number=True)
        return finished(bare, unit, dtype)

    return _composed


def _alone(key: Any, shape: Any, dtype: Any, context: Any, first: Any) -> Any:
    (x,) = draws(key, shape, wide(dtype), context, (first,))
    return finished(*units.parts(x), dtype)


def _compose(base: Initialization, function: Any) -> Initialization:
    if type(base) is Compose:
        return Compose(base.first, *base.functions, function)
    return Compose(base, function)


late["composed"] = _compose
