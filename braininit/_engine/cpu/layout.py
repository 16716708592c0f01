"""The loop over the numbers of a draw, laid out flat where rows are short.

XLA makes one loop of a draw, in the shape that it has. It computes eight numbers at once along
the last axis, and those left over one by one, each as long as the eight: normals of a shape
(n, 2) take six times as long as flat ones, of (n, 10) twice. A draw by itself loses nothing by a
flat loop of its own. Within another program it goes through memory then, which costs less than
short rows do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from braininit._engine.cpu.platforms import TUNED, by_platform, has_one_cpu
from braininit._engine.source import Source

try:
    from jax.experimental.xla_metadata import set_xla_metadata
except Exception:  # without it no loop can be held apart, and none is
    set_xla_metadata = None

__all__ = ["laid_out"]


def laid_out(make: Callable[..., jax.Array], alone: bool) -> Callable[..., jax.Array]:
    """A draw ``(source, *parameters)`` in a flat loop of its own, where that is faster.

    `alone` tells an eager draw from a part of another program.
    """

    def drawn(source: Source, *parameters: jax.Array) -> jax.Array:
        shape = source.shape
        if not _is_better_flat(source, parameters, alone):
            return make(source, *parameters)

        def plain(key: jax.Array, *parameters: Any) -> jax.Array:
            return make(dataclasses.replace(source, key=key), *parameters)

        def flat(key: jax.Array, *parameters: Any) -> jax.Array:
            size = math.prod(shape)
            inner = dataclasses.replace(source, key=key, shape=(size,))
            return make(inner, *(_flattened(p, shape, size) for p in parameters))

        def separate(key: jax.Array, *parameters: Any) -> jax.Array:
            hold: Any = set_xla_metadata
            return hold(jax.jit(flat)(key, *parameters), inlineable="false").reshape(shape)

        return (separate if alone else by_platform(separate, plain))(source.key, *parameters)

    return drawn


def _is_better_flat(source: Source, parameters: tuple[Any, ...], alone: bool) -> bool:
    size = math.prod(source.shape)
    if not TUNED or set_xla_metadata is None or len(source.shape) < 2 or not 2**12 <= size <= 2**32:
        return False
    *others, last = [n for n in source.shape if n != 1] or [1]  # XLA leaves the axes of 1 out
    return (
        (alone or (bool(others) and last < 128 and last % 8 != 0))
        and all(_is_even(p, source.shape, alone) for p in parameters)
        and source.rows is None
        and has_one_cpu()
        and jax.sharding.get_abstract_mesh().size <= 1  # or planned for others
        and source.is_fused()
    )


def _is_even(value: Any, shape: tuple[int, ...], alone: bool) -> bool:
    """Whether a parameter is one for all numbers, or, of a draw by itself, one for each.

    In another program what was done to an array before is in the loop the array goes to.
    """
    if isinstance(value, tuple):  # what all numbers share
        return True
    return np.size(value) == 1 or (alone and value.shape == shape)


def _flattened(value: Any, shape: tuple[int, ...], size: int) -> Any:
    if isinstance(value, tuple):
        return value
    return value if value.ndim == 0 else value.reshape(size if value.shape == shape else 1)
