"""The loop over the numbers of a draw: flat where rows are short, and of even length.

XLA makes one loop of a draw, in the draw's shape. It computes eight numbers at once along the last
axis, and the remainder one by one, each in the time of eight: normals of shape (n, 2) take six
times as long as flat ones, of shape (n, 10) twice. A draw by itself loses nothing by a flat loop.
Within another program a separate flat loop goes through memory, which costs less than short rows.

XLA gives each core a part of a flat loop. Where the parts are unequal, it computes their numbers
one by one: 4,000,001 normals take twelve times as long as 4,000,000 on two cores, and six times as
long as on one core. So a few more numbers are drawn, which takes memory, and dropped.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from braininit._engine.cpu.platforms import TUNED, by_platform, has_one_cpu
from braininit._engine.source import Source

try:
    from jax.experimental.xla_metadata import set_xla_metadata
except Exception:  # without it no loop can be kept separate
    set_xla_metadata = None

__all__ = ["evenly", "laid_out", "lengthened", "unfused"]


def laid_out(function: Callable[..., jax.Array], alone: bool) -> Callable[..., jax.Array]:
    """A draw ``(source, *parameters)``, in a separate flat loop where that is faster.

    `alone`: the draw is an eager one, not a part of another program.
    """

    def draw(source: Source, *parameters: jax.Array) -> jax.Array:
        shape, size = source.shape, math.prod(source.shape)
        flat_is_better = _is_better_flat(source, parameters, alone)
        uneven = (flat_is_better or size in shape) and _can_be_longer(source, parameters)
        extra = -size % _PARTS if uneven else 0
        if not extra and not flat_is_better:
            return function(source, *parameters)

        def plain(key: jax.Array, *parameters: Any) -> jax.Array:
            return function(dataclasses.replace(source, key=key), *parameters)

        def flat(key: jax.Array, *parameters: Any) -> jax.Array:
            inner = dataclasses.replace(source, key=key, shape=(size + extra,))
            return function(inner, *(_flattened(p, shape, size) for p in parameters))

        def separate(key: jax.Array, *parameters: Any) -> jax.Array:
            return _in_separate_loop(flat, size, key, *parameters).reshape(shape)

        return (separate if alone else by_platform(separate, plain))(source.key, *parameters)

    return draw


def lengthened(function: Callable[..., Any], source: Source, *values: Any) -> Any:
    """``function(source, *values)`` in a separate, even loop; elements must be independent."""
    shape, size = source.shape, math.prod(source.shape)
    parameters = tuple(jax.tree.leaves(values))
    extra = -size % _PARTS if size in shape and _can_be_longer(source, parameters) else 0
    if not extra:
        return function(source, *values)

    def longer(key: jax.Array, *values: Any) -> Any:
        return function(dataclasses.replace(source, key=key, shape=(size + extra,)), *values)

    x = _in_separate_loop(longer, size, source.key, *values)
    return jax.tree.map(lambda part: part.reshape(shape), x)


def evenly(function: Callable[..., Any], size: int, *arrays: jax.Array) -> Any:
    """``function(size, *arrays)``, which returns arrays of `size` numbers, in an even loop."""
    extra = -size % _PARTS
    if not extra or size < _FEW or not TUNED or set_xla_metadata is None or not has_one_cpu():
        return function(size, *arrays)

    def longer(*arrays: jax.Array) -> Any:
        return function(size + extra, *arrays)

    def separate(*arrays: jax.Array) -> Any:
        return _in_separate_loop(longer, size, *arrays)

    return by_platform(separate, lambda *arrays: function(size, *arrays))(*arrays)


def unfused(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that XLA does not fuse with its consumers.

    This is no tuning: where a device keeps one part of a draw, XLA of jaxlib 0.10 would otherwise
    split the loop of a truncated normal at the logarithm, which moves the last bit.
    """
    if set_xla_metadata is None:
        return function
    return by_platform(_not_inlined(function), function)


def _not_inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    set_metadata: Any = set_xla_metadata
    return lambda *arguments: set_metadata(jax.jit(function)(*arguments), inlineable="false")


def _in_separate_loop(function: Callable[..., Any], size: int, *arguments: Any) -> Any:
    """The first `size` numbers of a function's results, in a loop that XLA does not fuse."""
    results = _not_inlined(function)(*arguments)
    return jax.tree.map(lambda x: x if x.shape == (size,) else x[:size], results)


_FEW = 2**11
"""XLA computes fewer numbers on one core."""

_PARTS = math.lcm(64, os.cpu_count() or 1)
"""Loops of a multiple of this length have equal parts, in whole vectors."""


def _can_be_longer(source: Source, parameters: tuple[Any, ...]) -> bool:
    """Whether extra numbers can be drawn: all parameters must be shared by all numbers."""
    return (
        _FEW <= math.prod(source.shape) <= 2**31
        and all(isinstance(p, tuple) or np.ndim(p) == 0 for p in parameters)
        and _can_be_separate(source)
    )


def _can_be_separate(source: Source) -> bool:
    """Whether the numbers may be drawn in a separate flat loop."""
    return (
        TUNED
        and set_xla_metadata is not None
        and source.rows is None
        and has_one_cpu()
        and jax.sharding.get_abstract_mesh().size <= 1  # larger meshes may have other devices
        and source.is_fused()
    )


def _is_better_flat(source: Source, parameters: tuple[Any, ...], alone: bool) -> bool:
    size = math.prod(source.shape)
    if len(source.shape) < 2 or not 2**12 <= size <= 2**32 or not _can_be_separate(source):
        return False
    *others, last = [n for n in source.shape if n != 1] or [1]  # XLA drops axes of size 1
    return (alone or (bool(others) and last < 128 and last % 8 != 0)) and all(
        _is_even(p, source.shape, alone) for p in parameters
    )


def _is_even(value: Any, shape: tuple[int, ...], alone: bool) -> bool:
    """Whether a parameter is a scalar or, in a draw by itself, an array with one for each number.

    Within another program, the computation of an array should fuse with the draw.
    """
    if isinstance(value, tuple):  # shared by all numbers
        return True
    return np.size(value) == 1 or (alone and value.shape == shape)


def _flattened(value: Any, shape: tuple[int, ...], size: int) -> Any:
    if isinstance(value, tuple):
        return value
    return value if value.ndim == 0 else value.reshape(size if value.shape == shape else 1)
