"""The loop over the numbers of a draw, laid out flat where rows are short, and even.

XLA makes one loop of a draw, in the shape that it has. It computes eight numbers at once along
the last axis, and those left over one by one, each as long as the eight: normals of a shape
(n, 2) take six times as long as flat ones, of (n, 10) twice. A draw by itself loses nothing by a
flat loop of its own. Within another program it goes through memory then, which costs less than
short rows do.

XLA gives each core a part of a flat loop. Where the parts are not equal, it computes their numbers
one by one: 4,000,001 normals take twelve times as long as 4,000,000 on two cores, six times as long
as on one. So some numbers more are drawn, which takes memory, and left out.
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
except Exception:  # without it no loop can be held apart, and none is
    set_xla_metadata = None

__all__ = ["evenly", "laid_out", "lengthened", "unfused"]


def laid_out(make: Callable[..., jax.Array], alone: bool) -> Callable[..., jax.Array]:
    """A draw ``(source, *parameters)`` in a flat loop of its own, where that is faster.

    `alone` tells an eager draw from a part of another program.
    """

    def drawn(source: Source, *parameters: jax.Array) -> jax.Array:
        shape, size = source.shape, math.prod(source.shape)
        flat_is_better = _is_better_flat(source, parameters, alone)
        uneven = (flat_is_better or size in shape) and _can_be_longer(source, parameters)
        extra = -size % _PARTS if uneven else 0
        if not extra and not flat_is_better:
            return make(source, *parameters)

        def plain(key: jax.Array, *parameters: Any) -> jax.Array:
            return make(dataclasses.replace(source, key=key), *parameters)

        def flat(key: jax.Array, *parameters: Any) -> jax.Array:
            inner = dataclasses.replace(source, key=key, shape=(size + extra,))
            return make(inner, *(_flattened(p, shape, size) for p in parameters))

        def separate(key: jax.Array, *parameters: Any) -> jax.Array:
            return _apart(flat, size, key, *parameters).reshape(shape)

        return (separate if alone else by_platform(separate, plain))(source.key, *parameters)

    return drawn


def lengthened(make: Callable[..., Any], source: Source, *values: Any) -> Any:
    """A draw whose numbers do not depend on how many there are, in an even loop of its own."""
    shape, size = source.shape, math.prod(source.shape)
    known = tuple(jax.tree.leaves(values))
    extra = -size % _PARTS if size in shape and _can_be_longer(source, known) else 0
    if not extra:
        return make(source, *values)

    def longer(key: jax.Array, *values: Any) -> Any:
        return make(dataclasses.replace(source, key=key, shape=(size + extra,)), *values)

    x = _apart(longer, size, source.key, *values)
    return jax.tree.map(lambda part: part.reshape(shape), x)


def evenly(make: Callable[..., Any], size: int, *arrays: jax.Array) -> Any:
    """``make(size, *arrays)``, arrays of so many numbers, by a loop for some more of them."""
    extra = -size % _PARTS
    if not extra or size < _FEW or not TUNED or set_xla_metadata is None or not has_one_cpu():
        return make(size, *arrays)

    def longer(*arrays: jax.Array) -> Any:
        return make(size + extra, *arrays)

    def separate(*arrays: jax.Array) -> Any:
        return _apart(longer, size, *arrays)

    return by_platform(separate, lambda *arrays: make(size, *arrays))(*arrays)


def unfused(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that XLA does not fuse with its consumers.

    No tuning: where a device keeps a part of what it draws, XLA of jaxlib 0.10 would split the loop
    of a truncated normal at the logarithm, which moves the last bit.
    """
    if set_xla_metadata is None:
        return function
    return by_platform(_held_apart(function), function)


def _held_apart(function: Callable[..., Any]) -> Callable[..., Any]:
    hold: Any = set_xla_metadata
    return lambda *arguments: hold(jax.jit(function)(*arguments), inlineable="false")


def _apart(make: Callable[..., Any], size: int, *arguments: Any) -> Any:
    """The first so many of the numbers that a function makes, in a loop that XLA holds apart."""
    numbers = _held_apart(make)(*arguments)
    return jax.tree.map(lambda x: x if x.shape == (size,) else x[:size], numbers)


_FEW = 2**11
"""So few numbers one core makes alone."""

_PARTS = math.lcm(64, os.cpu_count() or 1)
"""A multiple of it is shared out evenly, and computed in whole vectors."""


def _can_be_longer(source: Source, parameters: tuple[Any, ...]) -> bool:
    """Whether more numbers can be drawn than there are: parameters are one for all."""
    return (
        _FEW <= math.prod(source.shape) <= 2**31
        and all(isinstance(p, tuple) or np.ndim(p) == 0 for p in parameters)
        and _can_be_apart(source)
    )


def _can_be_apart(source: Source) -> bool:
    """Whether a flat loop of its own may make the numbers."""
    return (
        TUNED
        and set_xla_metadata is not None
        and source.rows is None
        and has_one_cpu()
        and jax.sharding.get_abstract_mesh().size <= 1  # or planned for others
        and source.is_fused()
    )


def _is_better_flat(source: Source, parameters: tuple[Any, ...], alone: bool) -> bool:
    size = math.prod(source.shape)
    if len(source.shape) < 2 or not 2**12 <= size <= 2**32 or not _can_be_apart(source):
        return False
    *others, last = [n for n in source.shape if n != 1] or [1]  # XLA leaves the axes of 1 out
    return (alone or (bool(others) and last < 128 and last % 8 != 0)) and all(
        _is_even(p, source.shape, alone) for p in parameters
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
