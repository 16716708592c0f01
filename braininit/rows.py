"""A draw by blocks of rows, for results that no memory holds at once."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from braininit._engine import keys
from braininit._engine.source import Rows
from braininit._params import options, units
from braininit._params.shapes import as_shape
from braininit._params.types import DType, Key, Shape, Values
from braininit.initializer.calls import CONTEXT, unknown
from braininit.initializer.children import without_quantity
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import draw

__all__ = ["rows"]


def rows(
    initializer: Initialization,
    key: Key,
    shape: Shape,
    start: int,
    stop: int,
    *,
    dtype: DType | None = None,
    **context: Any,
) -> Values:
    """Draw some rows of a result, the very ones that the whole draw has.

    For weight matrices that are larger than memory, or wanted piece by piece: with threefry
    keys neither time nor memory is spent on the other rows. With other keys the random words
    of all rows are made on the way.

    Parameters
    ----------
    initializer : Initialization
        One that draws each element by itself: a distribution, arithmetic of some, a
        mixture of elements, weights modulated by distance.
    key : key
        The key of the whole.
    shape : tuple of int
        Shape of the whole, of one axis at least.
    start, stop : int
        The rows [start, stop).
    dtype : dtype, optional
        As in a call of the initializer.
    **context
        As in a call of the initializer, for the whole: `distances`, `pre_positions`,
        `post_positions`.

    Returns
    -------
    jax.Array or Quantity
        Of shape ``(stop - start, *shape[1:])``.

    Raises
    ------
    TypeError
        If `initializer` needs the whole, as a kernel's fan or a column's sum does.
    ValueError
        If the rows are not among those of the shape.

    Notes
    -----
    Numerics: equal to the rows of the whole, bit for bit but for the last one, which the
    compiler may contract otherwise. Parameters that are arrays must not change from row to
    row.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init, numpy as np
    >>> weights = init.Normal(1 * u.nS, 0.1 * u.nS)
    >>> near = init.DistanceModulated(weights, init.StepProfile(50 * u.um))
    >>> at = np.linspace(0, 1000, 6000) * u.um
    >>> places = {"pre_positions": at, "post_positions": at}
    >>> key = jax.random.key(0)
    >>> total = sum(
    ...     init.rows(near, key, (6000, 6000), i, i + 1000, **places).sum()
    ...     for i in range(0, 6000, 1000)
    ... )
    >>> total.unit
    Unit("nS")
    """
    initializer, size = without_quantity(initializer), as_shape(shape)
    start, stop = options.whole("start", start, 0), options.whole("stop", stop)
    if not size or not start <= stop <= size[0]:
        raise ValueError(
            f"no rows {start} to {stop} in the shape {size}; they count from its front"
        )
    if context.keys() - CONTEXT:
        raise unknown(context)
    if context and stop > 2**32:
        raise ValueError(f"`stop` must be 2**32 at most where rows have places, got {stop}")
    _refuse_whole(initializer)
    typed = keys.typed(keys.as_key(key), keys.legacy_impl(key))
    jax.eval_shape(lambda k, c: initializer(size, rng=k, dtype=dtype, **c), typed, context)
    # Blocks share a key and none of its numbers: no key is reused.
    part = Rows(np.array(divmod(start, 2**32), np.uint32), size[0])
    here = {n: _part(n, value, size, start, stop) for n, value in context.items()}
    shape = (stop - start, *size[1:])
    return draw(initializer._recipe, jax.random.clone(typed), shape, dtype, context=here, rows=part)


def _refuse_whole(obj: Initialization) -> None:
    if not obj._recipe.plan.by_rows:
        raise TypeError(
            f"{type(obj).__name__} needs the whole shape and can't be drawn by rows: {obj!r}"
        )
    for child in obj._children():
        _refuse_whole(child)


def _part(name: str, value: Any, size: tuple[int, ...], start: int, stop: int) -> Any:
    """The context of the rows."""
    along = {"pre_positions": 1, "distances": len(size)}.get(name)
    shape = np.shape(units.parts(value)[0])
    if along is None or not shape or len(shape) < along or shape[0] != size[0]:
        return value
    return value[start:stop]
