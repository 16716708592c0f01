"""The Threefry-2x32 hash of Salmon et al. (2011), and its counters.

`jax.random.bits` runs the hash as a rolled loop over arrays in memory: 9 ns a word, and three
times the result in temporaries. Unrolled to twenty rounds on a counter, the hash fuses with the
code that uses the words: 1.5 ns a word, and no memory. The words are the same, bit for bit. All
platforms use the unrolled hash; on GPUs and TPUs JAX lowers its own hash to the same rounds.

The counter of an element is its flat index, computed from one iota per axis, which XLA can split
along any axis without communication. It has 64 bits, in two words, so that no platform needs wider
integers.

Set the environment variable ``BRAININIT_FUSED=0`` before importing braininit to use JAX's hash.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._jax.dtypes import is_symbolic

__all__ = [
    "FUSED",
    "NUMPY",
    "add",
    "along",
    "counters",
    "flat_index",
    "hashed",
    "multiply",
    "threefry",
]

FUSED = os.environ.get("BRAININIT_FUSED") != "0"
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)  # of the key schedule: Threefish's constant, cut to 32 bits


NUMPY: Any = SimpleNamespace(
    add=np.add,
    shift_left=np.left_shift,
    shift_right_logical=np.right_shift,
    bitwise_xor=np.bitwise_xor,
    bitwise_or=np.bitwise_or,
)
"""Operations that hash NumPy arrays: a few words take less time than a program's compilation."""


def threefry(key_0: Any, key_1: Any, x: Any, y: Any, operations: Any = lax) -> tuple[Any, Any]:
    """Threefry-2x32 with 20 rounds, unrolled so that XLA can fuse it.

    `operations` are those of `lax`: `jax.numpy` takes three times as long to trace.
    """
    ops, schedule = operations, (key_0, key_1, key_0 ^ key_1 ^ _PARITY)
    x, y = ops.add(x, schedule[0]), ops.add(y, schedule[1])
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = ops.add(x, y)
            left = ops.shift_left(y, np.uint32(rotation))
            right = ops.shift_right_logical(y, np.uint32(32 - rotation))
            y = ops.bitwise_xor(x, ops.bitwise_or(left, right))
        x = ops.add(x, schedule[(group + 1) % 3])
        y = ops.add(y, schedule[(group + 2) % 3] + np.uint32(group + 1))
    return x, y


if FUSED:
    hashed = threefry
else:
    from jax.extend.random import threefry2x32_p

    hashed = threefry2x32_p.bind


Index = tuple[jax.Array | None, jax.Array]
"""An index along an axis as an upper and a lower word; None is an upper word of 0."""


def counters(shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """The upper and the lower word of each element's flat index of 64 bits."""
    return flat_index([along(shape, axis) for axis in range(len(shape))], shape)


def along(shape: tuple[int, ...], axis: int, word: int = 2**32) -> Index:
    """Each element's index along an axis; `word` is the number of values of a word."""
    size = shape[axis]
    if is_symbolic((size,)) or size <= word:
        return None, lax.broadcasted_iota(jnp.uint32, shape, axis)
    folded = -(-size // word), word  # the axis as two, along each of which a word counts
    high, low = (
        lax.broadcast_in_dim(lax.slice(half.reshape(-1), (0,), (size,)), shape, (axis,))
        for half in (lax.broadcasted_iota(jnp.uint32, folded, i) for i in (0, 1))
    )
    return high, low


def flat_index(index: Sequence[Index], shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """The upper and the lower word of the flat index in `shape`, from an index for each axis."""
    high = low = jnp.zeros_like(index[0][1]) if index else jnp.uint32(0)
    if not is_symbolic(shape) and math.prod(shape) <= 2**32:
        stride = 1
        for (_, along), size in zip(reversed(index), reversed(shape), strict=True):
            low = low + along * np.uint32(stride % 2**32)
            stride *= size
        return high, low
    for (above, along), size in zip(index, shape, strict=True):
        high, low = add(multiply((high, low), size), (above, along))
    return high, low


def add(a: Index, b: Index) -> tuple[jax.Array, jax.Array]:
    """The sum of two numbers of two words each."""
    low = a[1] + b[1]
    high = (low < b[1]).astype(jnp.uint32)
    for word in (a[0], b[0]):
        high = high if word is None else high + word
    return high, low


def multiply(x: Index, n: Any) -> tuple[jax.Array, jax.Array]:
    """The product of a number of two words and a size, by halves of 16 bits."""
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
