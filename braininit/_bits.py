"""Random words: where every draw begins.

`jax.random.bits` runs the Threefry-2x32 hash of Salmon et al. (2011) as a rolled loop
over arrays in memory: on a CPU 9 ns a word, and three times the result in temporaries.
Written out as twenty straight rounds on a counter, it fuses with whatever uses the
words: 1.5 ns a word, and no memory at all. The words are the same, bit for bit.

The counter of an element is its flat index, put together from one iota per axis, which
XLA can split along any axis without communication.

Set the environment variable ``BRAININIT_FUSED=0`` before importing braininit to take
every word from `jax.random.bits`. That is also where they come from for other key
implementations, with ``jax_threefry_partitionable`` off, and on platforms where the
fused form has not been measured (all but the CPU).
"""

from __future__ import annotations

import functools
import math
import os
import platform
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxlib.version import __version__ as jaxlib_version

from braininit._dtypes import setting
from braininit._keys import Column, Window, split

__all__ = ["is_fused", "is_tried", "word_pairs", "words"]

FUSED_PLATFORMS = frozenset() if os.environ.get("BRAININIT_FUSED") == "0" else frozenset({"cpu"})

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)  # of the key schedule: Threefish's constant, cut to 32 bits


def words(key: Any, shape: tuple[int, ...], kind: np.dtype) -> jax.Array:
    """Random words, as many bits each as the drawing dtype `kind` has."""
    if _has_to_slice(key):
        return _sliced(key, shape, lambda k, s: words(k, s, kind))
    width = 8 * kind.itemsize
    if not is_fused(key) or max(shape, default=0) > 2**32:  # an index that needs two words
        return jax.random.bits(key, shape, jnp.uint64 if width == 64 else jnp.uint32)
    first, second = blocks(key, shape)
    if width == 32:
        return first ^ second
    wide = [lax.convert_element_type(half, jnp.uint64) for half in (first, second)]
    return wide[0] << np.uint64(32) | wide[1]


def word_pairs(key: Any, shape: tuple[int, ...], kind: np.dtype) -> tuple[jax.Array, jax.Array]:
    """Two independent words for every element.

    A Threefry block has room for two words of 32 bits; everywhere else the key is split.
    """
    if _has_to_slice(key):
        return _sliced(key, shape, lambda k, s: word_pairs(k, s, kind))
    if kind.itemsize == 4 and _has_blocks(key):
        if is_fused(key) and max(shape, default=0) <= 2**32:
            return blocks(key, shape)
        with jax.enable_x64(True):  # both words, as the halves of one of 64 bits
            both = jax.random.bits(key, shape, jnp.uint64)
            first = lax.convert_element_type(both >> np.uint64(32), jnp.uint32)
            return first, lax.convert_element_type(both, jnp.uint32)
    first, second = split(key)
    return words(first, shape, kind), words(second, shape, kind)


def _has_to_slice(key: Any) -> bool:
    return isinstance(key, Window) and not is_fused(key)


def _sliced(window: Window, shape: tuple[int, ...], draw: Any) -> Any:
    """Rows of all words, where a word can't be had without the ones before it."""
    if shape[:1] != (window.rows,):  # does not change from row to row
        return draw(window.key, shape)
    every = draw(window.key, (window.total, *shape[1:]))
    rows = functools.partial(
        lax.dynamic_slice_in_dim, start_index=window.start, slice_size=window.rows
    )
    return jax.tree.map(rows, every)


def _has_blocks(key: Any) -> bool:
    key = key.key if isinstance(key, (Window, Column)) else key
    return setting("jax_threefry_partitionable") and str(jax.random.key_impl(key)) == "threefry2x32"


def is_fused(key: Any) -> bool:
    """Whether this key's words are hashed here."""
    return jax.default_backend() in FUSED_PLATFORMS and _has_blocks(key)


@functools.cache
def is_tried(backend: str, *versions: tuple[int, int]) -> bool:
    """Whether this is where something was seen to hold: a CPU of x86, with one of these jaxlibs."""
    version = tuple(int(n) for n in jaxlib_version.split(".")[:2])
    x86 = platform.machine() in ("x86_64", "AMD64")
    return backend in FUSED_PLATFORMS and x86 and version in versions


def blocks(key: Any, shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Both words of the Threefry block of every element."""
    high, low = counters(shape, key.index if isinstance(key, Column) else None)
    if isinstance(key, Column):
        key = key.key
    if isinstance(key, Window):
        if shape[:1] == (key.rows,):
            more_high, more_low = _multiply(key.start, math.prod(shape[1:]))
            low = low + more_low
            high = high + more_high + (low < more_low).astype(jnp.uint32)
        key = key.key
    data = jax.random.key_data(key)
    if setting("jax_debug_key_reuse"):
        jax.random.bits(key)  # reading a key's data does not count as using the key
    return threefry(data[0], data[1], high, low)


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


def counters(shape: tuple[int, ...], column: Any = None) -> tuple[jax.Array, jax.Array]:
    """Upper and lower half of every element's 64-bit flat index, or of another in its row."""
    iotas = [lax.broadcasted_iota(jnp.uint32, shape, axis) for axis in range(len(shape))]
    return flat_index(iotas if column is None else [*iotas[:-1], column], shape)


def flat_index(index: list[jax.Array], shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Upper and lower half of the flat index in `shape` that belongs to an index per axis."""
    high = low = jnp.zeros_like(index[0]) if index else jnp.uint32(0)
    small = math.prod(shape) <= 2**32
    stride = 1
    for along, size in zip(reversed(index), reversed(shape), strict=True):
        if small:
            low = low + along * np.uint32(stride % 2**32)
        else:
            more_high, more_low = _multiply(along, stride)
            low = low + more_low
            high = high + more_high + (low < more_low).astype(jnp.uint32)
        stride *= size
    return high, low


def _multiply(x: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """X n as 64 bits in two words, by halves of 16 bits."""
    n_high, n_low = np.uint32(n >> 32), np.uint32(n % 2**32)
    a, b = x >> np.uint32(16), x & np.uint32(0xFFFF)
    c, d = n_low >> np.uint32(16), n_low & np.uint32(0xFFFF)
    low = b * d
    middle = a * d + (low >> np.uint32(16))  # at most 2^32 - 2^16 - 1 + 2^16 - 1: fits
    other = b * c + (middle & np.uint32(0xFFFF))
    high = a * c + (middle >> np.uint32(16)) + (other >> np.uint32(16)) + x * n_high
    return high, x * n_low
