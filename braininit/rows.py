"""Draws by blocks of rows, for results that are larger than memory."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from braininit._engine import keys
from braininit._engine.source import Rows
from braininit._params import options, units
from braininit._params.shapes import as_shape
from braininit._params.types import DType, Key, Shape, Values
from braininit.composition.joint import Joint
from braininit.initializer.calls import CONTEXT, unknown
from braininit.initializer.children import without_quantity
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import draw

__all__ = ["needs_whole", "rows"]


def rows(
    initializer: Initialization | Joint,
    key: Key,
    shape: Shape,
    start: int,
    stop: int,
    *,
    dtype: DType | None = None,
    **context: Any,
) -> Values:
    """Draw the rows [start, stop) of a result, equal to those of the whole draw.

    For weight matrices that are larger than memory, or needed piece by piece. With threefry keys
    the other rows take neither time nor memory; other keys generate the random words of all rows.

    Parameters
    ----------
    initializer : Initialization or Joint
        Draws each element independently, as distributions, arithmetic and mixtures of them, and
        weights modulated by distance do; not by a kernel's fan or a column's sum.
    key, shape, dtype, **context
        As in a call of the initializer for the whole result, which has at least one axis.
    start, stop : int
        The first row, counted from 0, and the row after the last.

    Notes
    -----
    Numerics: equal to the rows of the whole except for the last bit, as the compiler may fuse
    operations differently. Array parameters must not change from row to row.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init, numpy as np
    >>> at, weights = np.linspace(0, 1000, 6000) * u.um, init.Normal(1 * u.nS, 0.1 * u.nS)
    >>> near = init.DistanceModulated(weights, init.StepProfile(50 * u.um))
    >>> key, places = jax.random.key(0), {"pre_positions": at, "post_positions": at}
    >>> starts = range(0, 6000, 1000)
    >>> blocks = (init.rows(near, key, (6000, 6000), i, i + 1000, **places) for i in starts)
    >>> sum(block.sum() for block in blocks).unit
    Unit("nS")
    """
    initializer, size = without_quantity(initializer), as_shape(shape)
    start, stop = options.whole("start", start, 0), options.whole("stop", stop)
    if not size or not start <= stop <= size[0]:
        raise ValueError(
            f"the shape {size} has no rows {start} to {stop}; rows are counted from the front"
        )
    if context.keys() - CONTEXT:
        raise unknown(context)
    if context and stop > 2**32:
        raise ValueError(f"`stop` must be at most 2**32 if rows have positions, got {stop}")
    if (obj := needs_whole(initializer)) is not None:
        raise TypeError(
            f"{type(obj).__name__} needs the whole shape and can't be drawn by rows: {obj!r}"
        )
    typed = keys.typed(keys.as_key(key), keys.legacy_impl(key))
    jax.eval_shape(lambda k, c: initializer(size, rng=k, dtype=dtype, **c), typed, context)
    # Blocks share a key but none of its random words, so no key is reused.
    part = Rows(np.array(divmod(start, 2**32), np.uint32), size[0])
    block = {n: _part(n, value, size, start, stop) for n, value in context.items()}
    shape = (stop - start, *size[1:])
    key = jax.random.clone(typed)
    return draw(initializer._recipe, key, shape, dtype, context=block, rows=part)


def needs_whole(obj: Initialization | Joint) -> Initialization | Joint | None:
    """Return a part of an initializer, or itself, that can't be drawn by rows; None if all can."""
    if not obj._recipe.facts.has_rows:
        return obj
    return next(filter(None, map(needs_whole, obj._children())), None)


def _part(name: str, value: Any, size: tuple[int, ...], start: int, stop: int) -> Any:
    """The values of a context argument for the rows."""
    least_rank = {"pre_positions": 1, "distances": len(size)}.get(name)
    shape = np.shape(units.parts(value)[0])
    if least_rank is None or not shape or len(shape) < least_rank or shape[0] != size[0]:
        return value
    return value[start:stop]
