"""The loop over the numbers of a draw: how it is laid out where a CPU is the one device.

XLA makes one loop of a draw, from words to result, in the shape that it has. The same numbers
can be had faster in another shape, or two at a time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax import lax

from braininit._engine.bits import is_fused
from braininit._engine.keys import Window
from braininit._engine.platforms import cores, has_one_cpu, is_tried, is_tuned
from braininit._jax.dtypes import setting

try:
    from jax.experimental.xla_metadata import set_xla_metadata
except Exception:  # without it no loop can be held apart, and none is
    set_xla_metadata = None

__all__ = [
    "apart",
    "by_core",
    "derived",
    "is_better_flat",
    "is_better_in_pairs",
    "is_together",
    "side_by_side",
    "together",
]


# ---------------------------------------------------------------- which


def by_core(key: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to draw a flat array in: a row for each core, if it can be had.

    XLA gives every core a part of a flat array. An element's index is a sum then, the same
    as its address: without AVX-512 it is made number by number, which costs up to 20 % of a
    draw. Along a row it is not. The numbers are the same. With several devices an array may
    come to be split otherwise than its rows are, and numbers would have to be moved.
    """
    n = cores()
    if (
        len(shape) != 1
        or n == 1
        or shape[0] % n
        or shape[0] < 2**13 * n  # XLA gives a core that much at least
        or not _has_one_place(key, shape[0])
    ):
        return shape
    return n, shape[0] // n


def is_better_flat(key: Any, shape: tuple[int, ...], alone: bool) -> bool:
    """Whether to draw a flat array of as many numbers, in a loop apart from what follows.

    XLA computes eight numbers at once along the last axis, and those left over one by one,
    each as long as the eight: the normals of a shape (n, 2) take six times as long as flat
    ones, of (n, 10) twice. A draw that is `alone` loses nothing by a loop of its own; within
    another program it goes through memory then, which costs less than short rows do.
    """
    size = math.prod(shape)
    if len(shape) < 2 or size < 2**12 or not set_xla_metadata or not _has_one_place(key, size):
        return False
    *others, last = [n for n in shape if n != 1] or [1]  # XLA leaves the axes of 1 out
    return alone or (bool(others) and last < 128 and last % 8 != 0)


def is_better_in_pairs(key: Any, shape: tuple[int, ...], kind: np.dtype, alone: bool) -> bool:
    """Whether to draw as many numbers two at a time, in a loop apart from what follows.

    A number is one long chain of operations, and a CPU looks ahead about that far: most of
    the time it waits for results. Two chains side by side take two thirds of the time of one
    after the other, and make the same numbers. But they take half as long again to compile: they
    are for sizes from which a first call by `jax.random` takes still longer. Within another
    program they go through memory, which for very large arrays costs more than they save.
    """
    size = math.prod(shape)
    return (
        kind == np.float32
        and size % 2 == 0
        and size >= _LARGE
        and (alone or size < _VERY_LARGE)
        and is_tried(*_PAIRED_IN)
        and set_xla_metadata is not None
        and not setting("jax_debug_key_reuse")  # where each of a pair would count as a use
        and _has_one_place(key, size)
    )


_LARGE, _VERY_LARGE = 2**21, 2**24  # numbers
_PAIRED_IN = ((0, 10), (0, 11), (0, 12))  # jaxlib


def _has_one_place(key: Any, size: int) -> bool:
    """Whether words are hashed here and now, and by one device, an index being one word."""
    return (
        is_tuned()
        and has_one_cpu()
        and jax.sharding.get_abstract_mesh().size <= 1  # or planned for others
        and size <= 2**32
        and not isinstance(key, Window)
        and is_fused(key)
    )


# ---------------------------------------------------------------- how

_here = threading.local()


@contextmanager
def together() -> Iterator[None]:
    """Within, draws are parts of another one: a single loop with it, and nothing in memory."""
    before, _here.together = is_together(), True
    try:
        yield
    finally:
        _here.together = before


def is_together() -> bool:
    """Whether this is within `together`."""
    return getattr(_here, "together", False)


def apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays as a loop of its own: what becomes of its result is another one."""
    hold = set_xla_metadata
    assert hold is not None  # else no draw is better apart
    return lambda *arguments: hold(jax.jit(function)(*arguments), inlineable="false")


def side_by_side(draw: Callable[[jax.Array], jax.Array], shape: tuple[int, int]) -> jax.Array:
    """A draw of `shape` by columns, from one that makes a column's number in all of them.

    LLVM sees that it is the same along a row, and makes it once; XLA must not, or it would
    keep each column in memory. So there is an index that only LLVM simplifies: (j | n) & n
    for n. And the loop has to be one of its own, `apart`, or each number would be made anew.
    """
    j = lax.broadcasted_iota(np.uint32, shape, 1)
    numbers = [lax.full(shape, i + 1, np.uint32) for i in range(shape[1])]
    column = jax.jit(draw)  # traced once
    drawn, *others = [column(((j | n) & n) - np.uint32(1)) for n in numbers]
    for n, other in zip(numbers[1:], others, strict=True):
        drawn = lax.select(j + np.uint32(1) == n, other, drawn)
    return drawn


def derived(faster: Callable[..., jax.Array], plain: Callable[..., jax.Array]) -> Any:
    """A function with the derivatives of another that makes the same, in less memory for them."""
    function = jax.custom_jvp(faster)
    function.defjvp(lambda primals, tangents: jax.jvp(plain, primals, tangents))
    return function
