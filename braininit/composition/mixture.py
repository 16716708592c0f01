"""Initializers that choose among others: mixture, conditional."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._engine import bits as _bits
from braininit._engine import keys as _keys
from braininit._engine.loops import by_core
from braininit._engine.sampler import as_shape, is_probe
from braininit._jax.dtypes import wide
from braininit._params import checks, units
from braininit._params.types import DType, Key, RealLike, Shape, Sharding
from braininit._params.values import static
from braininit.initializer.calls import explained
from braininit.initializer.children import (
    UNKNOWN,
    InitializerLike,
    as_child,
    as_children,
    draws,
    finished,
    only_unit,
    run,
    split,
    unit_of,
)
from braininit.initializer.initialization import Initialization

# ---------------------------------------------------------------- mixture


@explained
def mixture(
    key: Key,
    shape: Shape,
    distributions: Sequence[InitializerLike],
    weights: RealLike | None = None,
    axis: int | tuple[int, ...] | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Any:
    r"""Draw each element from one of several initializers, picked at random.

    .. math:: p(x) = \sum_i w_i\, p_i(x)

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    distributions : sequence of initializers
        The components, of one dimension. Each is drawn at the full shape, so that what
        depends on the shape, as a fan does, is what it is by itself.
    weights : array, optional
        Probabilities of the components, summing to 1; None is all alike.
    axis : int or tuple of int, optional
        The axes along which the pick changes: 0 picks one component for each row. None
        picks for each element.
    dtype : dtype, optional
        A dtype that the components can be drawn in; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    **context
        What the components may need: `distances`, `neuron_indices`, ...

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of the first component.

    Raises
    ------
    ValueError
        If there is no component, or `weights` are not as many probabilities.
    UnitError
        If the components differ in dimension.

    Notes
    -----
    Numerics: a component is picked by 32 random bits; of their values each component has a
    number of its own, its weight in float32 rounded to a multiple of 2^-32 of all. One of
    weight 0 is never picked. All components are drawn and one is selected, in one fused
    pass.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> weak, strong = init.Normal(0.5 * u.nS, 0.1 * u.nS), init.Uniform(0.8 * u.nS, 1.2 * u.nS)
    >>> init.mixture(jax.random.key(0), 1000, [weak, strong], [0.7, 0.3]).unit
    Unit("nS")
    """
    children = as_children("distributions", distributions)
    if not children:
        raise ValueError("`distributions` must have one initializer or more, got none")
    shares, axes = _shares(weights, len(children)), _axes(axis)
    if is_probe(key):
        return _common(
            {f"distributions[{i}]": unit_of(child, dtype) for i, child in enumerate(children)}
        )
    return run(
        _mixture(axes), key, shape, shares, children, dtype=dtype, out_sharding=out_sharding,
        context=context,
    )  # fmt: skip


class Mixture(Initialization, function=mixture):
    """Each element from one of several initializers; the twin of `mixture`.

    Parameters
    ----------
    distributions : sequence of initializers
        The components, of one dimension.
    weights : array, optional
        Probabilities of the components, summing to 1; None is all alike.
    axis : int or tuple of int, optional
        The axes along which the pick changes; None picks for each element.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> weak, strong = init.Normal(0.5 * u.nS, 0.1 * u.nS), init.Constant(2 * u.nS)
    >>> init.Mixture([weak, strong], weights=[0.9, 0.1])((100, 400), rng=0).shape
    (100, 400)
    """

    distributions: Sequence[InitializerLike]
    weights: RealLike | None = None
    axis: int | tuple[int, ...] | None = static(default=None)


def _shares(weights: Any, n: int) -> Any:
    """Probabilities, checked."""
    if weights is None:
        return np.full(n, 1 / n)
    shares = checks.non_negative("weights", units.dimensionless("weights", weights))
    if np.shape(shares) != (n,):
        raise ValueError(
            f"`weights` must be one number for each of the {n} distributions, "
            f"got the shape {np.shape(shares)}"
        )
    return checks.summing_to_one("weights", shares)


def _common(seen: Mapping[str, Any]) -> Any:
    """What a probe gives for initializers of one dimension, the first one's unit."""
    first = next(iter(seen.values()))
    if UNKNOWN not in seen.values():
        bare = [name for name, unit in seen.items() if unit is None]
        if bare and len(bare) < len(seen):
            carrier = next(unit for unit in seen.values() if unit is not None)
            raise units.UnitError(
                f"`{bare[0]}` draws numbers without a unit, its partners draw in {carrier}; "
                f"give it one, as in initializer * u.{carrier}"
            )
        units.off(**{name: units.on(1.0, unit) for name, unit in seen.items()})
    return only_unit(first)


@functools.lru_cache(maxsize=256)
def _mixture(axes: tuple[int, ...] | None) -> Callable[..., Any]:
    """The kernel that picks along `axes`."""

    def _mixture(
        key: Any, shape: Any, dtype: Any, context: Any, shares: Any, distributions: Any
    ) -> Any:
        pick, rest = split(key, 2)
        drawn = draws(rest, shape, wide(dtype), context, distributions)
        unit, bares = units.off_draws(**{f"distributions[{i}]": x for i, x in enumerate(drawn)})
        along = _along(axes, shape)
        # In rows as the draws are: in two layouts at once, they would take a fifth longer.
        word = _bits.words(pick, by_core(pick, along), np.dtype(np.float32)).reshape(along)
        first, some = _stretches(jnp.asarray(shares, jnp.float32))
        x = jnp.asarray(bares[0])
        for i in range(1, len(bares)):
            x = jnp.where((word >= first[i]) & some[i], bares[i], x)
        return finished(checks.spoiled(x, shares), unit, dtype)

    return _mixture


@jax.jit
def _stretches(shares: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where among the 2^32 words those of each component begin, and whether it has any.

    Counted component by component, so that each has its share to its own relative
    precision; the one of most words gets what is left over.
    """
    total = functools.reduce(operator.add, shares)  # in one order, on every platform
    most = jnp.arange(len(shares)) == jnp.argmax(shares)
    # Of the others none has more than half of the words.
    words = jnp.round(jnp.where(most, 0, shares) / total * 2.0**32).astype(jnp.uint32)
    # Modulo 2^32, by which all words are none.
    words = jnp.where(most, jnp.uint32(0) - jnp.sum(words, dtype=jnp.uint32), words)
    return jnp.cumsum(words, dtype=jnp.uint32) - words, most | (words > 0)


def _axes(axis: Any) -> tuple[int, ...] | None:
    """Axes in one form."""
    return None if axis is None else checks.axes("axis", axis)


def _along(axes: tuple[int, ...] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what changes along `axes` only."""
    if axes is None:
        return shape
    along = checks.within("axis", axes, shape)
    return tuple(n if a in along else 1 for a, n in enumerate(shape))


# ---------------------------------------------------------------- conditional

Condition: TypeAlias = Callable[[Any], Any] | Sequence[Any] | np.ndarray | jax.Array | float


@explained
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
) -> Any:
    """Draw from one initializer where a condition on the index holds, else from another.

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    condition_fn : callable, array or number
        From the indices of neurons to as many booleans; or those booleans. Or how many of
        the first neurons it holds for: integers are counts, 80 or ``[80, 20]`` (with the
        others), fractions 0.8 or ``[0.8, 0.2]``, of n neurons the first
        ``floor(0.8 * n + 1/2)``.
    true_dist, false_dist : initializer
        What is drawn where the condition holds and where not, of one dimension; each at
        the full shape.
    axis : int or tuple of int, optional
        The axes that are indexed: 0 makes the condition speak of rows, the presynaptic
        neurons of a weight matrix. None indexes every element, row by row.
    dtype : dtype, optional
        A dtype that both can be drawn in; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    **context
        `neuron_indices`, an array: what `condition_fn` gets in place of 0, 1, 2, ...;
        and what the initializers may need.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `true_dist`.

    Raises
    ------
    ValueError
        If `condition_fn` does not give one boolean for each index, counts other than the
        shape has, or is a fraction outside 0 to 1.
    UnitError
        If the two differ in dimension.

    Notes
    -----
    Numerics: both are drawn and one is selected, in one fused pass. Eagerly
    `condition_fn` gets a NumPy array of indices; while JAX traces, a traced one, or where
    it can't take that, NumPy's.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> excitatory, inhibitory = init.Constant(0.5 * u.nS), init.Constant(-2.0 * u.nS)
    >>> w = init.conditional(jax.random.key(0), (5, 2), lambda i: i < 4, excitatory, inhibitory, 0)
    >>> print(w[3:])
    [[ 0.5  0.5]
     [-2.  -2. ]] nS
    """
    condition = _as_condition(condition_fn)
    axes = _axes(axis)
    children = (as_child("true_dist", true_dist), as_child("false_dist", false_dist))
    if is_probe(key):
        seen = [unit_of(child, dtype) for child in children]
        return _common(dict(zip(("true_dist", "false_dist"), seen, strict=True)))
    along = _along(axes, as_shape(shape))
    holds = _condition(condition, along, context.pop("neuron_indices", None))
    return run(
        _conditional, key, shape, holds, condition if isinstance(condition, Tracer) else None,
        *children, dtype=dtype, out_sharding=out_sharding, context=context,
    )  # fmt: skip


class Conditional(Initialization, function=conditional, random=None):
    """One initializer where a condition holds, else another; the twin of `conditional`.

    Parameters
    ----------
    condition_fn : callable, array or number
        From the indices of neurons to as many booleans; or those booleans, or of how many
        of the first neurons it holds: 80, ``[80, 20]``, 0.8 or ``[0.8, 0.2]``. All but a
        function can be written by `to_config`: so are two magnitudes, for excitation and
        inhibition, one object that can be saved.
    true_dist, false_dist : initializer
        What is drawn where the condition holds and where not, of one dimension.
    axis : int or tuple of int, optional
        The axes that are indexed; None indexes every element.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> excitatory, inhibitory = init.Normal(0.5 * u.nS, 0.1 * u.nS), init.Constant(-2 * u.nS)
    >>> weights = init.Conditional([800, 200], excitatory, inhibitory, axis=0)
    >>> weights((1000, 100), rng=0).shape
    (1000, 100)
    >>> init.get(init.to_config(weights)) == weights
    True
    """

    condition_fn: Condition = static()
    true_dist: InitializerLike
    false_dist: InitializerLike
    axis: int | tuple[int, ...] | None = static(default=None)

    def _is_traceable(self) -> bool:
        return not callable(self.condition_fn) and super()._is_traceable()


def _as_condition(value: Any) -> Any:
    """A function of indices as it is; data as an array of booleans, counts or fractions."""
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
        except Exception as error:  # lists of several lengths, a key, what is foreign
            raise refusal from error
    leaves = jax.tree.leaves(value) if isinstance(value, (list, tuple)) else []
    if data.dtype == bool and data.ndim:
        return data
    if data.shape not in ((), (2,)) or any(isinstance(x, (bool, np.bool_)) for x in leaves):
        raise refusal
    if jnp.issubdtype(data.dtype, np.integer) and data.dtype.kind != "m":
        if not isinstance(data, Tracer) and (data < 0).any():
            raise ValueError(f"`condition_fn` must count 0 neurons or more, got {value!r}")
        return data
    if not jnp.issubdtype(data.dtype, np.floating):
        raise refusal
    data = checks.fraction("condition_fn", data)
    return checks.summing_to_one("condition_fn", data) if data.ndim else data


def _condition(condition: Any, shape: tuple[int, ...], indices: Any) -> Any:
    """The condition, as booleans of a shape that broadcasts to the result's."""
    n = math.prod(shape)
    if not callable(condition):
        indices = indices if indices is None or isinstance(indices, Tracer) else np.asarray(indices)
        condition = _from_data(condition, n, indices)
    if indices is None:
        if not _keys.eager():
            # In a compiled program a constant of n numbers would be stored; an iota is not.
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


def _from_data(data: Any, n: int, indices: Any) -> Callable[[Any], Any]:
    """The function of indices that an array of booleans, counts or fractions stands for."""
    traced = isinstance(data, Tracer)
    if data.dtype == bool:
        if indices is None:
            return lambda _: data  # `_booleans` looks at its size
        if isinstance(indices, Tracer):
            return lambda i: jnp.asarray(data).ravel()[i]
        if not ((indices >= 0) & (indices < data.size)).all():
            raise ValueError(f"`neuron_indices` must be from 0 to {data.size - 1} for that mask")
        return lambda i: data.ravel()[i]
    if jnp.issubdtype(data.dtype, np.integer):
        total = n if traced else int(data.sum())
        if indices is None and not (total == n if data.ndim else total <= n):
            raise ValueError(
                f"`condition_fn` = {data.tolist()} counts {total} neurons, the shape has {n} of "
                "them; `axis` says along which they are counted"
            )
        return lambda i: i < data.ravel()[0]
    if indices is not None:
        raise ValueError(
            "`condition_fn` as a fraction is one of all neurons, and goes without "
            "`neuron_indices`; give a count"
        )
    whole = np if not traced and type(n) is int else jnp  # an export may keep n open
    many = whole.floor(data.ravel()[0] * n + 0.5)
    return lambda i: i < many


def _booleans(holds: Any, n: int, shape: tuple[int, ...]) -> Any:
    if not isinstance(holds, jax.Array):
        holds = np.asarray(holds)
    if holds.size != n:
        raise ValueError(
            f"`condition_fn` must give one boolean for each of the {n} indices, "
            f"got the shape {holds.shape}"
        )
    return holds.reshape(shape).astype(bool)


def _conditional(
    key: Any,
    shape: Any,
    dtype: Any,
    context: Any,
    holds: Any,
    traced: Any,
    true_dist: Any,
    false_dist: Any,
) -> Any:
    drawn = draws(key, shape, wide(dtype), context, (true_dist, false_dist))
    unit, (yes, no) = units.off_draws(true_dist=drawn[0], false_dist=drawn[1])
    x = jnp.where(holds, jnp.asarray(yes), jnp.asarray(no))
    return finished(checks.spoiled(x, traced), unit, dtype)
