"""Draws of another initializer with zeros among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.rounding import rounded
from braininit._engine.source import Source
from braininit._jax.dtypes import is_symbolic
from braininit._params import options, roles, units
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    RealLike,
    Shape,
    Sharding,
    Values,
)
from braininit._params.values import static
from braininit.distributions.continuous import Normal
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import composite
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw
from braininit.layers.matrices import index_along
from braininit.layers.shares import count_of, draw_base, length_of, nan_unless, single, with_count

__all__ = ["Sparse", "sparse"]


@explain_call_errors
def sparse(
    key: Key,
    shape: Shape,
    sparsity: RealLike,
    base: InitializerLike = Normal(0.0, 0.01),  # noqa: B008
    axis: int | tuple[int, ...] = 0,
    self_connections: bool = True,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    r"""Draw from `base`, then set the same number of elements of every column to 0.

    .. math:: \#\{i : x_{ij} = 0\} = \lceil sparsity \cdot n \rceil \quad \text{for every}\ j

    The zeros of each column are chosen independently, all choices equally likely.

    Parameters
    ----------
    sparsity : number
        The fraction of each column that is 0, a scalar in [0, 1].
    base : initializer
        Draws the other elements.
    axis : int or tuple of int
        The axis along which a column runs: 0 makes each column of a matrix sparse, 1 each row.
        Several axes count as one: each slice of a kernel along them has that many zeros.
    self_connections : bool
        False makes the diagonal of the last two axes 0, as in a recurrent matrix in which no neuron
        connects to itself. These zeros count towards `sparsity`: the number per column is the same,
        and all choices with a diagonal of 0 are equally likely.

    Notes
    -----
    Numerics: every element gets a random word, and the elements with the smallest words of a column
    become 0. Among equal words the position decides, so the number is exact for any length of
    column. If only the rounding of `sparsity` keeps the product from an integer, it counts as that
    integer: 0.55 of 100 is 55. A traced `sparsity` has the digits of its dtype: columns of more
    than a million elements may differ by one zero from float64. Takes the time to sort the columns,
    and about three times the memory of the result. `base` draws the other elements from the first
    half of the split key.

    Examples
    --------
    >>> import jax, braininit as init
    >>> w = init.sparse(jax.random.key(0), (100, 50), 0.9)
    >>> set((w == 0).sum(0).tolist())
    {90}
    >>> recurrent = init.Sparse(0.9, self_connections=False)((100, 100), rng=0)
    >>> set((recurrent == 0).sum(0).tolist()), bool((recurrent.diagonal() == 0).all())
    ({90}, True)
    """
    recipe = _sparse(sparsity, base, axis, self_connections)
    return draw(recipe, key, shape, dtype, out_sharding, context)


def _sparse(sparsity: Any, base: Any, axis: Any, self_connections: Any) -> Recipe:
    sparsity = roles.number("sparsity", roles.fraction(single("sparsity", sparsity))).value
    axes, part = options.axes("axis", axis), as_child("base", base)._recipe
    return composite(
        _draw_sparse,
        part.unit,
        {"sparsity": sparsity, "base": part},
        static=(axes, options.flag("self_connections", self_connections)),
        elementwise=False,
        sized=_with_zero_count,
        refuses=True,
    )


class Sparse(Initialization, function=sparse, recipe=_sparse):
    """Draws of another initializer with zeros among them; the twin of `sparse`."""

    sparsity: RealLike
    base: InitializerLike = Normal(0.0, 0.01)
    axis: int | tuple[int, ...] = static(default=0)
    self_connections: bool = static(default=True)


def _with_zero_count(
    recipe: Recipe, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]
) -> Recipe:
    (sparsity, base), (axes, self_connections) = recipe.values, recipe.facts.static
    axes = options.axes_of("axis", axes, shape)
    n = length_of(axes, shape)
    count, good = count_of(sparsity, n, up=True)
    if not self_connections:
        least = _count_on_diagonal(axes, shape)
        if type(sparsity) is float and not is_symbolic(shape) and count < least:
            raise ValueError(
                f"`sparsity` = {units.show(sparsity)} leaves {count} zeros among {n} elements, "
                f"of which {least} are on the diagonal; give {least / n:.3g} or more, or "
                "self_connections=True"
            )
    return with_count(recipe, base, count, good)


def _count_on_diagonal(axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """The largest number of elements of a column on the diagonal of the last two axes."""
    rank = len(shape)
    if rank < 2:
        raise ValueError(
            f"a size of {shape} has no diagonal; give two axes, or self_connections=True"
        )
    if is_symbolic(shape) or 0 in shape:
        return 0
    both = {rank - 2, rank - 1} <= {*axes}
    others = length_of(tuple(a for a in axes if a < rank - 2), shape)
    return others * (min(shape[-2:]) if both else 1)


def _draw_sparse(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    axis: tuple[int, ...],
    self_connections: bool,
    base: Recipe,
    count: Any,
    good: Any,
) -> Any:
    axes = options.axes_of("axis", axis, source.shape)
    base_source, choice = source.split()
    x, unit = draw_base(base_source, dtype, context, base)
    if 0 not in source.shape:
        diagonal = None
        if not self_connections:
            diagonal = index_along(x.shape, -2) == index_along(x.shape, -1)
            good &= count >= jnp.max(jnp.sum(diagonal, axes, dtype=np.uint32))
        x = _thinned(choice, x, count, axes, diagonal)
    return units.on(rounded(nan_unless(good, x), dtype), unit)


def _thinned(
    source: Source, x: jax.Array, count: Any, axes: Any, diagonal: Any = None
) -> jax.Array:
    """Set `count` elements of each column of x to 0, those on the `diagonal` among them."""
    order = [*(a for a in range(x.ndim) if a not in axes), *axes]
    sizes = [x.shape[a] for a in order]
    n = math.prod(sizes[x.ndim - len(axes) :])
    word = source.reshaped((math.prod(sizes) // n, n)).words(np.dtype(np.float32))
    count = jnp.asarray(count, np.uint32)
    if diagonal is not None:  # the other zeros are chosen off the diagonal, which is sorted last
        diagonal = diagonal.transpose(order).reshape(word.shape)
        word = jnp.where(diagonal, np.uint32(2**32 - 1), word)
        count -= jnp.sum(diagonal, 1, dtype=np.uint32, keepdims=True)
    last = _at(lax.sort(word, dimension=1), jnp.maximum(count, 1) - 1)
    below, tied = word < last, word == last
    tied = tied if diagonal is None else tied & ~diagonal
    more = count - jnp.sum(below, 1, dtype=np.uint32, keepdims=True)
    zero = below | (tied & (jnp.cumsum(tied, 1, dtype=np.uint32) <= more))
    zero &= count > 0
    zero = zero if diagonal is None else zero | diagonal
    return jnp.where(zero.reshape(sizes).transpose(np.argsort(order).tolist()), 0, x)


def _at(rows: jax.Array, index: jax.Array) -> jax.Array:
    """The element of each row at its index, or at an index common to all rows."""
    if not index.ndim:
        return lax.dynamic_index_in_dim(rows, index, 1)
    return jnp.take_along_axis(rows, index, 1)
