"""Sources of random words for the elements of an array."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.threefry import FUSED, add, along, counters, flat_index, hashed, multiply
from braininit._jax.settings import setting

__all__ = ["GivenWords", "Rows", "SideBySide", "Source"]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["start"], meta_fields=["total"])
@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows that are drawn: from `start`, as two words, the upper first, of `total` rows."""

    start: Any
    total: int


@dataclasses.dataclass(frozen=True)
class Source:
    """Random words for each element of `shape`, from a typed key.

    The key is None for draws that are not random. With `rows` the elements are rows of a larger
    array and get their words there. Words depend on the flat index only, so a source of another
    shape with as many elements, `reshaped`, has the same words.
    """

    key: Any
    shape: tuple[int, ...]
    rows: Rows | None = None
    height: int | None = None  # the number of rows drawn

    def words(self, dtype: np.dtype) -> jax.Array:
        """A word for each element, of as many bits as the drawing dtype `dtype`."""
        width = 8 * dtype.itemsize
        if not self._has_blocks():
            return self._by_jax(jnp.uint64 if width == 64 else jnp.uint32)
        first, second = self.blocks()
        if width == 32:
            return first ^ second
        wide = [lax.convert_element_type(half, jnp.uint64) for half in (first, second)]
        return wide[0] << np.uint64(32) | wide[1]

    def word_pairs(self, dtype: np.dtype) -> tuple[jax.Array, jax.Array]:
        """Two independent words for each element.

        A Threefry block holds two words of 32 bits; for wider words the key is split.
        """
        if dtype.itemsize == 4 and self._has_blocks():
            return self.blocks()
        return self.pair(dtype)

    def pair(self, dtype: np.dtype) -> tuple[jax.Array, jax.Array]:
        """Two words for each element from two keys, as `jax.random` draws complex numbers."""
        first, second = self.split()
        return first.words(dtype), second.words(dtype)

    def split(self, n: int = 2) -> list[Source]:
        """Independent sources for the same elements."""
        return [dataclasses.replace(self, key=key) for key in jax.random.split(self.key, n)]

    def folded(self, n: Any) -> Source:
        """The source with a number folded into its key, for the same elements."""
        return dataclasses.replace(self, key=jax.random.fold_in(self.key, n))

    def reshaped(self, shape: tuple[int, ...]) -> Source:
        """The same source for elements of another shape."""
        return dataclasses.replace(self, shape=shape)

    @property
    def whole(self) -> tuple[int, ...]:
        """The shape of the whole array, of which `shape` may be some rows."""
        return self.shape if self.rows is None else (self.rows.total, *self.shape[1:])

    def is_fused(self) -> bool:
        """Whether the hash of the words fuses with the rest of the draw."""
        return FUSED and self._has_blocks()

    def blocks(self) -> tuple[jax.Array, jax.Array]:
        """Both words of each element's Threefry block."""
        high, low = counters(self.shape)
        if self.rows is not None and self._changes_by_row():
            start = jnp.asarray(self.rows.start)
            high, low = add(multiply((start[0], start[1]), math.prod(self.shape[1:])), (high, low))
        data = jax.random.key_data(self.key)
        if setting("jax_debug_key_reuse"):
            jax.random.bits(self.key)  # `key_data` does not count as a use of the key
        return hashed(data[0], data[1], high, low)

    def _has_blocks(self) -> bool:
        """Whether the words are hashes of counters, one counter for each element."""
        return (
            setting("jax_threefry_partitionable", True)
            and str(jax.random.key_impl(self.key)) == "threefry2x32"
        )

    def _changes_by_row(self) -> bool:
        return self.shape[:1] == (self.height,)

    def _by_jax(self, dtype: Any) -> jax.Array:
        """Words by `jax.random.bits`; rows need the words of all rows before them."""
        if self.rows is None or not self._changes_by_row():
            return jax.random.bits(self.key, self.shape, dtype)
        if self.rows.total > 2**32:
            raise ValueError(
                "rows can be drawn from at most 2^32 with keys other than threefry's, "
                f"not from {self.rows.total}"
            )
        words = jax.random.bits(self.key, (self.rows.total, *self.shape[1:]), dtype)
        return lax.dynamic_slice_in_dim(words, self.rows.start[1], self.shape[0])


@dataclasses.dataclass(frozen=True)
class SideBySide(Source):
    """Sources of parts along an axis: each element has the word that it has in its part.

    `key` is a tuple with a key for each part, `sizes` are the parts' lengths along the axis.
    """

    axis: int = 0
    sizes: tuple[int, ...] = ()

    def split(self, n: int = 2) -> list[Source]:
        """Independent sources for the same elements."""
        keys = zip(*(jax.random.split(key, n) for key in self.key), strict=True)
        return [dataclasses.replace(self, key=key) for key in keys]

    def folded(self, n: Any) -> Source:
        """The source with a number folded into its keys, for the same elements."""
        return dataclasses.replace(self, key=tuple(jax.random.fold_in(key, n) for key in self.key))

    def blocks(self) -> tuple[jax.Array, jax.Array]:
        """Both words of each element's block: one hash, of the key and the counter in its part."""
        place, start, chosen = along(self.shape, self.axis)[1], 0, None
        for part in self._parts():
            index = [along(self.shape, axis) for axis in range(len(self.shape))]
            index[self.axis] = None, place - np.uint32(start)
            data = jax.random.key_data(part.key)
            if setting("jax_debug_key_reuse"):
                jax.random.bits(part.key)
            words = (data[0], data[1], *flat_index(index, part.shape))
            words = [jnp.broadcast_to(word, self.shape) for word in words]
            if chosen is not None:
                before = place < np.uint32(start)
                words = [lax.select(before, *both) for both in zip(chosen, words, strict=True)]
            start, chosen = start + part.shape[self.axis], words
        assert chosen is not None
        return hashed(*chosen)

    def _parts(self) -> list[Source]:
        """The source of each part."""
        shape, axis = self.shape, self.axis
        shapes = [(*shape[:axis], n, *shape[axis + 1 :]) for n in self.sizes]
        return [Source(key, shape) for key, shape in zip(self.key, shapes, strict=True)]

    def _has_blocks(self) -> bool:
        return all(part._has_blocks() for part in self._parts())

    def _by_jax(self, dtype: Any) -> jax.Array:
        return jnp.concatenate([part._by_jax(dtype) for part in self._parts()], self.axis)


@dataclasses.dataclass(frozen=True)
class GivenWords:
    """A source of given words, one for each element."""

    word: jax.Array
    whole: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the words."""
        return self.word.shape

    def words(self, dtype: np.dtype) -> jax.Array:
        """The given words, which must be as wide as the drawing dtype."""
        return self.word
