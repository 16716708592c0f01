"""Conditionals: one initializer where a condition on the index holds, another elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._engine.source import Source
from braininit._jax.dtypes import wide
from braininit._jax.settings import eager
from braininit._params import options, roles, units
from braininit._params.roles import nan_like, summing_to_one
from braininit._params.types import DType, InitializerLike, Key, Shape, Sharding, Values
from braininit._params.values import static
from braininit.composition.mixture import along, common_unit
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import as_result, composite, draws
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw, replaced

Condition: TypeAlias = Callable[[Any], Any] | Sequence[Any] | np.ndarray | jax.Array | float


@explain_call_errors
def conditional(
    key: Key | None,
    shape: Shape,
    condition_fn: Condition,
    true_dist: InitializerLike,
    false_dist: InitializerLike,
    axis: int | tuple[int, ...] | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw from one initializer where a condition on the index holds, elsewhere from another.

    Parameters
    ----------
    condition_fn : callable, array or number
        A function that maps an array of indices to as many booleans, or the booleans. Or how many
        of the first neurons fulfil the condition: a count, 80 or ``[80, 20]`` (with the others), or
        a fraction, 0.8 or ``[0.8, 0.2]``, which means ``floor(0.8 * n + 1/2)`` of n neurons.
    true_dist, false_dist : initializer
        Initializers where the condition holds and where it does not, each at the full shape.
    axis : int or tuple of int, optional
        The axes that are indexed: 0 indexes rows, the presynaptic neurons of a weight matrix. None
        indexes every element, row by row.

    Notes
    -----
    Numerics: draws both and selects one, in one fused pass. Eagerly `condition_fn` gets a NumPy
    array of indices; under a JAX trace a traced array, or NumPy's if it can't take a traced one.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> excitatory, inhibitory = init.Constant(0.5 * u.nS), init.Constant(-2.0 * u.nS)
    >>> w = init.conditional(jax.random.key(0), (5, 2), lambda i: i < 4, excitatory, inhibitory, 0)
    >>> print(w[3:])
    [[ 0.5  0.5]
     [-2.  -2. ]] nS
    """
    recipe = _conditional(condition_fn, true_dist, false_dist, axis)
    return draw(recipe, key, shape, dtype, out_sharding, context)


def _conditional(condition_fn: Any, true_dist: Any, false_dist: Any, axis: Any) -> Recipe:
    condition = _as_condition(condition_fn)
    parts = {
        "true_dist": as_child("true_dist", true_dist)._recipe,
        "false_dist": as_child("false_dist", false_dist)._recipe,
    }
    unit = common_unit({name: part.unit for name, part in parts.items()})
    traced = isinstance(condition, Tracer)
    known = condition if callable(condition) else None if traced else _HashableArray.of(condition)
    return composite(
        _selected,
        unit,
        {"condition_fn": condition if traced else None, **parts},
        static=(None if axis is None else options.axes("axis", axis), known),
        random=None,
        traceable=not callable(condition),
        by_rows=False,
        sized=_with_mask,
    )


class _HashableArray(NamedTuple):
    """An array as a static argument of a compiled program."""

    content: bytes
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: np.ndarray) -> _HashableArray:
        return cls(array.tobytes(), str(array.dtype), array.shape)

    def array(self) -> np.ndarray:
        return np.frombuffer(self.content, self.dtype).reshape(self.shape)


class Conditional(Initialization, function=conditional, recipe=_conditional):
    """One initializer where a condition holds, elsewhere another; the twin of `conditional`."""

    condition_fn: Condition = static()
    true_dist: InitializerLike
    false_dist: InitializerLike
    axis: int | tuple[int, ...] | None = static(default=None)


def _as_condition(value: Any) -> Any:
    """Return a function of indices as it is, data as an array of booleans, counts or fractions."""
    if callable(value) and not isinstance(value, (Initialization, type)):
        return value
    refusal = TypeError(
        "`condition_fn` must be a function of indices, a boolean for each index, a number of "
        f"neurons as in 80 or [80, 20], or a fraction as in 0.8 or [0.8, 0.2]; "
        f"got {units.brief(value)}"
    )
    if isinstance(value, Tracer):
        data = value
    elif isinstance(value, (Initialization, u.Quantity, str, bytes, type)):
        raise refusal
    else:
        try:
            data = np.asarray(value)
        except Exception as error:  # ragged lists, keys, foreign objects
            raise refusal from error
    leaves = jax.tree.leaves(value) if isinstance(value, (list, tuple)) else []
    if data.dtype == bool and data.ndim:
        return data
    if data.shape not in ((), (2,)) or any(isinstance(x, (bool, np.bool_)) for x in leaves):
        raise refusal
    if jnp.issubdtype(data.dtype, np.integer) and data.dtype.kind != "m":
        if not isinstance(data, Tracer) and (data < 0).any():
            raise ValueError(
                f"`condition_fn` must count 0 neurons or more, got {units.brief(value)}"
            )
        return data
    if not jnp.issubdtype(data.dtype, np.floating):
        raise refusal
    data = roles.fraction.check("condition_fn", data)
    return summing_to_one("condition_fn", data) if data.ndim else data


def _mask(condition: Any, shape: tuple[int, ...], indices: Any) -> Any:
    """The condition as booleans of this shape."""
    n = math.prod(shape)
    if not callable(condition):
        indices = indices if indices is None or isinstance(indices, Tracer) else np.asarray(indices)
        condition = _condition_from(condition, n, indices)
    if indices is None:
        if not eager():
            # A traced iota: NumPy's indices would be stored in the program, n numbers.
            try:
                return _booleans(condition(jnp.arange(n)), n, shape)
            except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
                pass
        indices = np.arange(n)
    elif np.size(indices) != n:
        raise ValueError(
            f"`neuron_indices` must be {n} for the shape {shape}, got {np.size(indices)}"
        )
    return _booleans(condition(indices), n, shape)


def _condition_from(data: Any, n: int, indices: Any) -> Callable[[Any], Any]:
    """The function of indices that booleans, counts or fractions stand for."""
    traced = isinstance(data, Tracer)
    if data.dtype == bool:
        if indices is None:
            return lambda _: data  # `_booleans` checks its size
        if isinstance(indices, Tracer):
            return lambda i: jnp.asarray(data).ravel()[i]
        if not ((indices >= 0) & (indices < data.size)).all():
            raise ValueError(f"`neuron_indices` must be from 0 to {data.size - 1} for that mask")
        return lambda i: data.ravel()[i]
    if jnp.issubdtype(data.dtype, np.integer):
        total = n if traced else int(data.sum())
        if indices is None and not (total == n if data.ndim else total <= n):
            raise ValueError(
                f"`condition_fn` = {data.tolist()} counts {total} neurons, the shape has {n}; "
                "`axis` says along which axes they are counted"
            )
        return lambda i: i < data.ravel()[0]
    if indices is not None:
        raise ValueError(
            "`condition_fn` as a fraction refers to all neurons and can't be combined with "
            "`neuron_indices`; give a count"
        )
    xp = np if not traced and type(n) is int else jnp  # n may be symbolic in an export
    count = xp.floor(data.ravel()[0] * n + 0.5)
    return lambda i: i < count


def _booleans(holds: Any, n: int, shape: tuple[int, ...]) -> Any:
    if not isinstance(holds, jax.Array):
        holds = np.asarray(holds)
    if holds.size != n:
        raise ValueError(
            f"`condition_fn` must give one boolean for each of the {n} indices, "
            f"got the shape {holds.shape}"
        )
    return holds.reshape(shape).astype(bool)


def _with_mask(
    recipe: Recipe, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]
) -> Recipe:
    """The recipe with the condition as booleans, of a shape that broadcasts to the result's."""
    (traced, *parts), (axes, known) = recipe.values, recipe.facts.static
    condition = known.array() if isinstance(known, _HashableArray) else known
    condition = traced if known is None else condition
    mask = _mask(condition, along(axes, shape), context.get("neuron_indices"))
    facts = {"names": ("mask", *recipe.facts.names), "roles": (None, *recipe.facts.roles)}
    values = (mask, traced, *parts)
    return replaced(recipe, values, **facts, static=(), traceable=True, sized=None)


def _selected(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    mask: Any,
    traced: Any,
    true_dist: Recipe,
    false_dist: Recipe,
) -> Any:
    others = {name: value for name, value in context.items() if name != "neuron_indices"}
    drawn = draws(source, wide(dtype), others, (true_dist, false_dist))
    unit, (if_true, if_false) = units.off_draws(true_dist=drawn[0], false_dist=drawn[1])
    x = jnp.where(mask, jnp.asarray(if_true), jnp.asarray(if_false))
    if traced is not None and jnp.issubdtype(traced.dtype, np.floating):
        x = nan_like(x, [traced])  # an invalid fraction is NaN
    return as_result(x, unit, dtype)
