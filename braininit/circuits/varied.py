"""Edges of pairs that have different numbers: probabilities, or mean numbers of edges.

A pair whose number is above `LEAST` is decided by its own random words. All other pairs are first
drawn as if their number were `LEAST`, in time of the order of the edges drawn; each such edge then
stays with probability number / `LEAST`. So of pairs that are unlikely, because they are far apart,
only those drawn are looked at.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from braininit._jax.shardings import undivided
from braininit._math import tables
from braininit._params import units
from braininit.circuits.capacity import known_edges, refuse_traced
from braininit.circuits.edges import Edges
from braininit.circuits.rule import Drawing, Kernel
from braininit.circuits.words import happens, threefry_key, words
from braininit.spatial.places import Lengths
from braininit.spatial.profile import DistanceProfile

__all__ = ["ByDistance", "PairLaw", "Table", "good", "refuse_bad", "varied"]

LEAST = 2.0**-12
"""Pairs whose number is above this are all looked at."""

_FAINT, _PART = np.uint32(2**32 - 1), np.uint32(2**32 - 2)  # no neuron has such an index


class PairLaw(NamedTuple):
    """How the edges of a pair follow from its number."""

    name: str
    """The parameter that holds the numbers."""
    most: float
    """The largest number allowed."""
    alike: Kernel
    """The sources of some targets, and their counts, where all pairs have one number."""
    any: Callable[[Any, Any, Any, Any], jax.Array]
    """``(number, key, target, source)`` -> whether a pair has an edge."""
    edges: Callable[[Any, Any, Any, Any], jax.Array] | None
    """With the same arguments, the number of edges; None if a pair has at most one."""


# ---------------------------------------------------------------- the numbers of pairs


class Numbers(Protocol):
    """The numbers of all pairs, not clipped."""

    least: float
    """Pairs whose number is above this are all looked at."""
    allowed: float
    """The smallest number that is no error."""

    @property
    def traced(self) -> bool: ...

    def to_targets(self, start: Any, rows: int) -> jax.Array:
        """The numbers from all sources to some targets, of shape (n_pre, rows)."""
        ...

    def between(self, sources: Any, targets: Any) -> jax.Array:
        """The numbers of some pairs, by index."""
        ...

    def near(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]] | None:
        """Blocks of sources and targets with all pairs above `least`; None: look at all pairs."""
        ...


class Table:
    """A number for each pair, as an array."""

    least, allowed = 0.0, 0.0

    def __init__(self, numbers: Any, sizes: tuple[int, int]) -> None:
        """Take an array that broadcasts to `sizes`."""
        self._numbers = undivided(jnp.broadcast_to(jnp.asarray(numbers), sizes))
        self.traced = isinstance(self._numbers, Tracer)

    def to_targets(self, start: Any, rows: int) -> jax.Array:
        return lax.dynamic_slice_in_dim(self._numbers, start, rows, 1)

    def between(self, sources: Any, targets: Any) -> jax.Array:
        return self._numbers[sources, targets]

    def near(self, start: int, stop: int) -> None:
        del start, stop


class ByDistance:
    """A number for each pair, from a profile of distance, cut off below 0."""

    least, allowed = LEAST, -math.inf

    def __init__(self, name: str, profile: DistanceProfile, lengths: Lengths) -> None:
        """Take the profile of the parameter `name`, and the distances."""
        self._name, self._profile, self._lengths = name, profile, lengths
        self.traced = lengths.traced or any(isinstance(x, Tracer) for x in jax.tree.leaves(profile))

    def to_targets(self, start: Any, rows: int) -> jax.Array:
        numbers = self._at(self._lengths.to_targets(start, rows))
        return jnp.broadcast_to(numbers, (self._lengths.sizes[0], rows))

    def between(self, sources: Any, targets: Any) -> jax.Array:
        return self._at(self._lengths.between(sources, targets))

    def near(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]] | None:
        # Half of `least`, as numbers are rounded, in 16 bits coarsely.
        return self._lengths.near(self._profile, self.least / 2, start, stop)

    def _at(self, lengths: Any) -> jax.Array:
        return jnp.asarray(units.dimensionless(self._name, self._profile.weight_scaling(lengths)))


def good(law: PairLaw, allowed: float, numbers: jax.Array) -> jax.Array:
    """Which numbers are valid."""
    return (numbers >= allowed) & (numbers <= law.most) & (numbers < math.inf)


def refuse_bad(drawing: Drawing, law: PairLaw, numbers: Numbers) -> None:
    """Raise a ValueError if some numbers are invalid."""
    for _, _, block in _blocks(drawing, numbers):
        _refuse_in(block, drawing, law, numbers)


def _refuse_in(block: jax.Array, drawing: Drawing, law: PairLaw, numbers: Numbers) -> None:
    """Raise an error if some in a block are invalid; it names the largest of all, and its pair."""
    if _all_good(law, numbers.allowed, block):
        return
    most, worst, at = -math.inf, math.nan, (0, 0)
    for sources, targets, block in _blocks(drawing, numbers):
        valid = np.asarray(good(law, numbers.allowed, block))[: len(sources), : len(targets)]
        bare = np.asarray(block, float)[: len(sources), : len(targets)]
        size = np.where(valid, -math.inf, np.where(np.isnan(bare), math.inf, abs(bare)))
        i, j = np.unravel_index(size.argmax(), size.shape)
        if size[i, j] > most:
            most, worst, at = size[i, j], bare[i, j], (sources[i], targets[j])
    text = "from 0 to 1" if law.most == 1 else "0 or more and finite"
    raise ValueError(
        f"`{law.name}` must be {text}, got {worst:.9g} from neuron {at[0]} to {at[1]}; scale it, "
        "or clip it if that is meant"
    )


# ---------------------------------------------------------------- the edges


def varied(
    drawing: Drawing, key: Any, capacity: int | None, law: PairLaw, numbers: Numbers, loops: bool
) -> Edges:
    """Draw the edges of pairs that have different numbers."""
    start, stop = drawing.part(drawing.sizes[1])
    key = threefry_key(key)
    if not drawing.sizes[0] or start == stop:
        return known_edges(drawing, np.zeros(0), np.zeros(0), capacity)
    if capacity is not None and (numbers.traced or isinstance(key, Tracer)):
        return _in_capacity(drawing, key, capacity, law, numbers, loops)
    parts = [
        *_likely(drawing, key, law, numbers, loops),
        *_unlikely(drawing, key, law, numbers, loops),
    ]
    pair = np.sort(np.concatenate([post * drawing.sizes[0] + pre for pre, post in parts]))
    return known_edges(drawing, pair % drawing.sizes[0], pair // drawing.sizes[0], capacity)


Found = Iterator[tuple[np.ndarray, np.ndarray]]


def _likely(drawing: Drawing, key: Any, law: PairLaw, numbers: Numbers, loops: bool) -> Found:
    """The sources and targets of edges between pairs whose number is above `least`."""
    for sources, targets, block in _blocks(drawing, numbers):
        refuse_traced(block)
        _refuse_in(block, drawing, law, numbers)
        pre, post = (_padded(x, n) for x, n in zip((sources, targets), block.shape, strict=True))
        has_edge = _any_of(law, numbers.least, loops, key, pre[:, None], post[None], block)
        at = np.nonzero(np.asarray(has_edge)[: len(sources), : len(targets)])
        pre, post = sources[at[0]], targets[at[1]]
        if law.edges is not None:
            length = 2 ** len(pre).bit_length()
            padded = (_padded(x, length) for x in (np.asarray(block)[at], pre, post))
            counts = np.asarray(_edges_of(law, key, *padded))[: len(pre)]
            pre, post = (np.repeat(x, counts) for x in (pre, post))
        yield pre, post


def _blocks(
    drawing: Drawing, numbers: Numbers
) -> Iterator[tuple[np.ndarray, np.ndarray, jax.Array]]:
    """Sources, targets, and the numbers of their pairs, which may be padded at the ends."""
    start, stop = drawing.part(drawing.sizes[1])
    if (near := numbers.near(start, stop)) is None:
        sources = np.arange(drawing.sizes[0])
        for first, rows in _in_rows(start, stop, len(sources)):
            yield sources, np.arange(first, first + rows), numbers.to_targets(first, rows)
        return
    for sources, targets in near:
        pre, post = (_padded(x, 2 ** (len(x) - 1).bit_length()) for x in (sources, targets))
        yield sources, targets, numbers.between(pre[:, None], post[None])


def _unlikely(drawing: Drawing, key: Any, law: PairLaw, numbers: Numbers, loops: bool) -> Found:
    """The sources and targets of edges between pairs whose number is `least` or less."""
    if not numbers.least:
        return
    width = tables.largest(tables.Law("poisson", (drawing.sizes[0] * numbers.least,)))
    for first, rows in _in_rows(*drawing.part(drawing.sizes[1]), width):
        drawn = _drawn(law, numbers.least, loops, drawing.sizes[0], rows, key, np.uint32(first))
        sources, targets, places, is_edge = (np.asarray(x) for x in drawn)
        pre, post, place = (x[is_edge].astype(np.int64) for x in (sources, targets, places))
        index = [_padded(x, 2 ** len(x).bit_length()) for x in (pre, post, place)]
        actual = numbers.between(*index[:2]) if len(pre) else np.zeros(1, np.float32)
        keep = np.asarray(_is_kept(numbers.least, key, *index[1:], actual))[: len(pre)]
        yield pre[keep], post[keep]


def _in_capacity(
    drawing: Drawing, key: Any, capacity: int, law: PairLaw, numbers: Numbers, loops: bool
) -> Edges:
    """Draw the same edges target by target, inside a compiled program."""
    n_pre, (start, stop) = drawing.sizes[0], drawing.part(drawing.sizes[1])
    source = jnp.arange(n_pre, dtype=jnp.uint32)

    def target(carry: tuple[Any, ...], row: Any) -> tuple[tuple[Any, ...], None]:
        pre, post, number, valid = carry
        block = numbers.to_targets(row.astype(jnp.int32), 1)[:, 0]
        block = jnp.where(good(law, numbers.allowed, block), block, jnp.nan)
        counts = _any_of(law, numbers.least, loops, key, source, row, block).astype(jnp.int32)
        if law.edges is not None:
            counts = jnp.where(counts > 0, _edges_of(law, key, block, source, row), 0)
        if numbers.least:
            drawn = _drawn(law, numbers.least, loops, n_pre, 1, key, row)
            sources, _, places, is_edge = (x[0] for x in drawn)
            keep = _is_kept(numbers.least, key, row, places, block[sources])
            counts = counts.at[sources].add(is_edge & keep, mode="drop")
        before = number + jnp.cumsum(counts) - counts

        def place_one_more(state: tuple[Any, ...]) -> tuple[Any, ...]:
            turn, pre, post = state
            at = jnp.where(counts > turn, before + turn, capacity)
            pre = pre.at[at].set(source.astype(drawing.dtype), mode="drop")
            return turn + 1, pre, post.at[at].set(row.astype(drawing.dtype), mode="drop")

        unfinished = lambda state: jnp.any(counts > state[0])  # noqa: E731
        _, pre, post = lax.while_loop(unfinished, place_one_more, (jnp.int32(0), pre, post))
        valid &= ~jnp.any(jnp.isnan(block))
        return (pre, post, number + jnp.sum(counts), valid), None

    empty = tuple(jnp.full(capacity, n, drawing.dtype) for n in drawing.sizes)
    first = (*empty, jnp.int32(0), jnp.ones((), bool))
    rows = jnp.arange(start, stop, dtype=jnp.uint32)
    (pre, post, number, valid), _ = lax.scan(target, first, rows)
    pre, post = (jnp.where(valid, x, e) for x, e in zip((pre, post), empty, strict=True))
    return Edges(pre, post, drawing.sizes, jnp.where(valid, number, -1))


# ---------------------------------------------------------------- programs


@functools.partial(jax.jit, static_argnums=(0, 1))
def _all_good(law: PairLaw, allowed: float, numbers: jax.Array) -> jax.Array:
    """Whether all numbers are valid."""
    return jnp.all(good(law, allowed, numbers))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _any_of(
    law: PairLaw, least: float, loops: bool, key: Any, source: Any, target: Any, number: Any
) -> jax.Array:
    """Whether pairs above `least` have an edge, by their own words."""
    has_edge = (number > least) & law.any(number, key, target, source)
    return has_edge if loops else has_edge & (source != target)


@functools.partial(jax.jit, static_argnums=0)
def _edges_of(law: PairLaw, key: Any, number: Any, source: Any, target: Any) -> jax.Array:
    """The number of edges of pairs that have some."""
    assert law.edges is not None
    return law.edges(number, key, target, source)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _drawn(
    law: PairLaw, least: float, loops: bool, n_pre: int, rows: int, key: Any, start: Any
) -> tuple[jax.Array, ...]:
    """Edges as if all pairs had `least`: sources, targets, places, and whether it is an edge."""
    key = jax.random.fold_in(key, _FAINT)
    sources, counts = law.alike(key, start, rows, n_pre, least, loops)
    target, place = (lax.broadcasted_iota(jnp.uint32, sources.shape, axis) for axis in (0, 1))
    return sources, start + target, place, place < counts.astype(jnp.uint32)[:, None]


@functools.partial(jax.jit, static_argnums=0)
def _is_kept(least: float, key: Any, target: Any, place: Any, number: Any) -> jax.Array:
    """Whether an edge drawn with `least` stays, by the actual number of its pair."""
    random = words(jax.random.fold_in(key, _PART), target, place)
    return (number <= least) & happens(number / least, random)


def _padded(x: np.ndarray, length: int) -> np.ndarray:
    """Pad an array, so that programs are compiled for few sizes."""
    return np.pad(x, (0, length - len(x)), mode="edge" if len(x) else "constant")


def _in_rows(start: int, stop: int, width: int) -> Iterator[tuple[int, int]]:
    """Blocks of targets with some million pairs, where each target has `width`."""
    rows = max(2**22 // max(width, 1), 1)
    for first in range(start, stop, rows):
        yield first, min(rows, stop - first)
