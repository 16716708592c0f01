"""Random words: where every draw begins.

On a CPU `jax.random.bits` runs the Threefry-2x32 hash of Salmon et al. (2011) as a rolled loop
over arrays in memory: 9 ns a word, and three times the result in temporaries. Written out as
twenty straight rounds on a counter, it fuses with whatever uses the words: 1.5 ns a word, and no
memory at all. The words are the same, bit for bit. So it is done on every platform; on GPUs and
TPUs JAX by itself lowers its hash to just such rounds.

The counter of an element is its flat index, put together from one iota per axis, which
XLA can split along any axis without communication. It has 64 bits, in two words: no platform
needs to have wider integers.

Set the environment variable ``BRAININIT_FUSED=0`` before importing braininit to have the
counters hashed by JAX. `jax.random.bits` makes all words of other key implementations, and
those with ``jax_threefry_partitionable`` off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.keys import Column, Window, split
from braininit._engine.platforms import FUSED
from braininit._jax.dtypes import is_symbolic, setting

__all__ = ["is_fused", "word_pairs", "words"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)  # of the key schedule: Threefish's constant, cut to 32 bits


def words(key: Any, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Random words, as many bits each as the drawing dtype `kind` has."""
    width = 8 * kind.itemsize
    if not _has_blocks(key):
        return _of_rows(key, shape, jnp.uint64 if width == 64 else jnp.uint32)
    first, second = blocks(key, shape)
    if width == 32:
        return first ^ second
    wide = [lax.convert_element_type(half, jnp.uint64) for half in (first, second)]
    return wide[0] << np.uint64(32) | wide[1]


def word_pairs(key: Any, shape: tuple[int, ...], kind: np.dtype) -> tuple[jax.Array, jax.Array]:
    """Two independent words for every element.

    A Threefry block has room for two words of 32 bits; everywhere else the key is split.
    """
    if kind.itemsize == 4 and _has_blocks(key):
        return blocks(key, shape)
    first, second = split(key)
    return words(first, shape, kind), words(second, shape, kind)


def _of_rows(key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Words by `jax.random.bits`; those of a window can't be had without the ones before it."""
    if not isinstance(key, Window):
        return jax.random.bits(key, shape, dtype)
    if shape[:1] != (key.rows,):  # does not change from row to row
        return jax.random.bits(key.key, shape, dtype)
    if key.total > 2**32:
        raise ValueError(
            f"with other keys than threefry's, rows are of 2^32 at most, not of {key.total}"
        )
    every = jax.random.bits(key.key, (key.total, *shape[1:]), dtype)
    return lax.dynamic_slice_in_dim(every, key.start[1], key.rows)


def _has_blocks(key: Any) -> bool:
    """Whether this key's words are hashes of counters, one for each element."""
    key = key.key if isinstance(key, (Window, Column)) else key
    return (
        setting("jax_threefry_partitionable", True)
        and str(jax.random.key_impl(key)) == "threefry2x32"
    )


def is_fused(key: Any) -> bool:
    """Whether this key's words are hashed here, by what fuses with the rest of a draw."""
    return FUSED and _has_blocks(key)


def blocks(key: Any, shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Both words of the Threefry block of every element."""
    high, low = counters(shape, key.index if isinstance(key, Column) else None)
    if isinstance(key, Column):
        key = key.key
    if isinstance(key, Window):
        if shape[:1] == (key.rows,):
            start = jnp.asarray(key.start)
            offset = _multiply((start[0], start[1]), math.prod(shape[1:]))
            high, low = _add(offset, (high, low))
        key = key.key
    data = jax.random.key_data(key)
    if setting("jax_debug_key_reuse"):
        jax.random.bits(key)  # reading a key's data does not count as using the key
    return _hash(data[0], data[1], high, low)


def threefry(
    key_0: jax.Array, key_1: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Threefry-2x32 with 20 rounds, straight-line so that XLA can fuse it.

    In operations of `lax`: those of `jax.numpy` take three times as long to trace.
    """
    schedule = (key_0, key_1, key_0 ^ key_1 ^ _PARITY)
    x, y = lax.add(x, schedule[0]), lax.add(y, schedule[1])
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x = lax.add(x, y)
            left = lax.shift_left(y, np.uint32(turn))
            right = lax.shift_right_logical(y, np.uint32(32 - turn))
            y = lax.bitwise_xor(x, lax.bitwise_or(left, right))
        x = lax.add(x, schedule[(group + 1) % 3])
        y = lax.add(y, schedule[(group + 2) % 3] + np.uint32(group + 1))
    return x, y


if FUSED:
    _hash = threefry
else:
    from jax.extend.random import threefry2x32_p

    _hash = threefry2x32_p.bind


def counters(shape: tuple[int, ...], column: Any = None) -> tuple[jax.Array, jax.Array]:
    """Upper and lower half of every element's 64-bit flat index, or of another in its row."""
    index = [_along(shape, axis) for axis in range(len(shape))]
    return flat_index(index if column is None else [*index[:-1], (None, column)], shape)


Index = tuple[jax.Array | None, jax.Array]
"""An index along an axis in two words; None for an upper one that is 0 throughout."""


def _along(shape: tuple[int, ...], axis: int, word: int = 2**32) -> Index:
    """Every element's index along an axis."""
    size = shape[axis]
    if is_symbolic((size,)) or size <= word:
        return None, lax.broadcasted_iota(jnp.uint32, shape, axis)
    square = -(-size // word), word  # the axis folded: along both of these, an index is a word
    high, low = (
        lax.broadcast_in_dim(lax.slice(half.reshape(-1), (0,), (size,)), shape, (axis,))
        for half in (lax.broadcasted_iota(jnp.uint32, square, i) for i in (0, 1))
    )
    return high, low


def flat_index(index: Sequence[Index], shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Upper and lower half of the flat index in `shape` that belongs to an index per axis."""
    high = low = jnp.zeros_like(index[0][1]) if index else jnp.uint32(0)
    if not is_symbolic(shape) and math.prod(shape) <= 2**32:
        stride = 1
        for (_, along), size in zip(reversed(index), reversed(shape), strict=True):
            low = low + along * np.uint32(stride % 2**32)
            stride *= size
        return high, low
    for (above, along), size in zip(index, shape, strict=True):
        high, low = _add(_multiply((high, low), size), (above, along))
    return high, low


def _add(a: Index, b: Index) -> tuple[jax.Array, jax.Array]:
    """The sum of two numbers of 64 bits, each in two words."""
    low = a[1] + b[1]
    high = (low < b[1]).astype(jnp.uint32)
    for word in (a[0], b[0]):
        high = high if word is None else high + word
    return high, low


def _multiply(x: Index, n: Any) -> tuple[jax.Array, jax.Array]:
    """The product of a number in two words and a size, by halves of 16 bits."""
    above, x_low = x
    if is_symbolic((n,)):
        n_high, n_low = np.uint32(0), lax.convert_element_type(jnp.asarray(n), jnp.uint32)
    else:
        n_high, n_low = np.uint32(n >> 32), np.uint32(n % 2**32)
    a, b = x_low >> np.uint32(16), x_low & np.uint32(0xFFFF)
    c, d = n_low >> np.uint32(16), n_low & np.uint32(0xFFFF)
    low = b * d
    middle = a * d + (low >> np.uint32(16))  # at most 2^32 - 2^16 - 1 + 2^16 - 1: fits
    other = b * c + (middle & np.uint32(0xFFFF))
    high = a * c + (middle >> np.uint32(16)) + (other >> np.uint32(16)) + x_low * n_high
    return (high if above is None else high + above * n_low), x_low * n_low
