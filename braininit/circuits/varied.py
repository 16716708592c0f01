"""Pairs of which each has a number of its own: its probability, or its mean number of edges.

A pair with more than `LEAST` goes by its own random words. All others are first drawn as if they
had `LEAST`, in time of the order of what that gives, and each is kept with its own part of it. So
of pairs that are unlikely because they are far apart none need be looked at but those drawn.
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
from braininit.circuits.edges import Edges
from braininit.circuits.room import kept, refuse_traced
from braininit.circuits.rule import Drawing, Kernel
from braininit.circuits.words import happens, threefry_key, words
from braininit.spatial.places import Lengths
from braininit.spatial.profile import DistanceProfile

__all__ = ["ByDistance", "PairLaw", "Table", "good", "refuse_bad", "varied"]

LEAST = 2.0**-12
"""What a pair has at least that is looked at whether or not it was drawn."""

_FAINT, _PART = np.uint32(2**32 - 1), np.uint32(2**32 - 2)  # no neuron has such an index


class PairLaw(NamedTuple):
    """How a pair's number decides on its edges."""

    name: str  # of the number
    most: float
    alike: Kernel  # the edges of pairs that have one number
    any: Callable[[Any, Any, Any, Any], jax.Array]
    """``(number, key, target, source)`` -> whether a pair has an edge."""
    edges: Callable[[Any, Any, Any, Any], jax.Array] | None
    """-> how many it has, where that may be several."""


# ---------------------------------------------------------------- the numbers of pairs


class Numbers(Protocol):
    """The numbers of pairs, as they are."""

    least: float
    """What a pair has that is looked at whether or not it was drawn."""
    allowed: float
    """The smallest number that is no error."""

    @property
    def traced(self) -> bool: ...

    def to_targets(self, start: Any, rows: int) -> jax.Array:
        """Those of all sources and some targets, of shape (n_pre, rows)."""
        ...

    def between(self, sources: Any, targets: Any) -> jax.Array:
        """Those of some pairs, by index."""
        ...

    def near(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]] | None:
        """Blocks of sources and targets with all pairs that have more than `least`."""
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
    """A number for each pair by a profile of distance, cut off below 0."""

    least, allowed = LEAST, -math.inf

    def __init__(self, name: str, profile: DistanceProfile, lengths: Lengths) -> None:
        """Take the profile of what has this name, and what knows the distances."""
        self._name, self._profile, self._lengths = name, profile, lengths
        self.traced = lengths.traced or any(isinstance(x, Tracer) for x in jax.tree.leaves(profile))

    def to_targets(self, start: Any, rows: int) -> jax.Array:
        numbers = self._at(self._lengths.to_targets(start, rows))
        return jnp.broadcast_to(numbers, (self._lengths.sizes[0], rows))

    def between(self, sources: Any, targets: Any) -> jax.Array:
        return self._at(self._lengths.between(sources, targets))

    def near(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]] | None:
        # Numbers are rounded, in 16 bits far more than `least` shows.
        return self._lengths.near(self._profile, self.least / 2, start, stop)

    def _at(self, lengths: Any) -> jax.Array:
        return jnp.asarray(units.dimensionless(self._name, self._profile.weight_scaling(lengths)))


def good(law: PairLaw, allowed: float, numbers: jax.Array) -> jax.Array:
    """Which numbers are none of an error."""
    return (numbers >= allowed) & (numbers <= law.most) & (numbers < math.inf)


def refuse_bad(its: Drawing, law: PairLaw, numbers: Numbers) -> None:
    """Refuse numbers of which some are bad."""
    for _, _, block in _blocks(its, numbers):
        _refuse_in(block, its, law, numbers)


def _refuse_in(block: jax.Array, its: Drawing, law: PairLaw, numbers: Numbers) -> None:
    """If some in a block are bad, name the largest of all, and its pair."""
    if good(law, numbers.allowed, block).all():
        return
    most, worst, at = -math.inf, math.nan, (0, 0)
    for sources, targets, block in _blocks(its, numbers):
        held = np.asarray(good(law, numbers.allowed, block))[: len(sources), : len(targets)]
        bare = np.asarray(block, float)[: len(sources), : len(targets)]
        size = np.where(held, -math.inf, np.where(np.isnan(bare), math.inf, abs(bare)))
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
    its: Drawing, key: Any, room: int | None, law: PairLaw, numbers: Numbers, selfs: bool
) -> Edges:
    """The edges of pairs that have numbers of their own."""
    start, stop = its.part(its.sizes[1])
    key = threefry_key(key)
    if not its.sizes[0] or start == stop:
        return kept(its, np.zeros(0), np.zeros(0), room)
    if room is not None and (numbers.traced or isinstance(key, Tracer)):
        return _in_room(its, key, room, law, numbers, selfs)
    parts = [*_likely(its, key, law, numbers, selfs), *_unlikely(its, key, law, numbers, selfs)]
    pair = np.sort(np.concatenate([post * its.sizes[0] + pre for pre, post in parts]))
    return kept(its, pair % its.sizes[0], pair // its.sizes[0], room)


Found = Iterator[tuple[np.ndarray, np.ndarray]]


def _likely(its: Drawing, key: Any, law: PairLaw, numbers: Numbers, selfs: bool) -> Found:
    """The sources and targets of edges between pairs that have more than `least`."""
    for sources, targets, block in _blocks(its, numbers):
        refuse_traced(block)
        _refuse_in(block, its, law, numbers)
        pre, post = (_padded(x, n) for x, n in zip((sources, targets), block.shape, strict=True))
        every = _any_of(law, numbers.least, selfs, key, pre[:, None], post[None], block)
        at = np.nonzero(np.asarray(every)[: len(sources), : len(targets)])
        pre, post = sources[at[0]], targets[at[1]]
        if law.edges is not None:
            many = 2 ** len(pre).bit_length()
            index = (_padded(x, many) for x in (np.asarray(block)[at], pre, post))
            several = np.asarray(_edges_of(law, key, *index))[: len(pre)]
            pre, post = (np.repeat(x, several) for x in (pre, post))
        yield pre, post


def _blocks(its: Drawing, numbers: Numbers) -> Iterator[tuple[np.ndarray, np.ndarray, jax.Array]]:
    """Sources, targets, and the numbers of their pairs, of which there may be more at the ends."""
    start, stop = its.part(its.sizes[1])
    if (near := numbers.near(start, stop)) is None:
        sources = np.arange(its.sizes[0])
        for first, rows in _in_rows(start, stop, len(sources)):
            yield sources, np.arange(first, first + rows), numbers.to_targets(first, rows)
        return
    for sources, targets in near:
        pre, post = (_padded(x, 2 ** (len(x) - 1).bit_length()) for x in (sources, targets))
        yield sources, targets, numbers.between(pre[:, None], post[None])


def _unlikely(its: Drawing, key: Any, law: PairLaw, numbers: Numbers, selfs: bool) -> Found:
    """The same of those that have no more."""
    if not numbers.least:
        return
    width = tables.most(tables.Law("poisson", (its.sizes[0] * numbers.least,)))
    for first, rows in _in_rows(*its.part(its.sizes[1]), width):
        drawn = _drawn(law, numbers.least, selfs, its.sizes[0], rows, key, np.uint32(first))
        sources, targets, places, held = (np.asarray(x) for x in drawn)
        pre, post, place = (x[held].astype(np.int64) for x in (sources, targets, places))
        index = [_padded(x, 2 ** len(x).bit_length()) for x in (pre, post, place)]
        part = numbers.between(*index[:2]) if len(pre) else np.zeros(1, np.float32)
        keep = np.asarray(_is_kept(numbers.least, key, *index[1:], part))[: len(pre)]
        yield pre[keep], post[keep]


def _in_room(
    its: Drawing, key: Any, room: int, law: PairLaw, numbers: Numbers, selfs: bool
) -> Edges:
    """The same edges target by target, inside a program."""
    n_pre, (start, stop) = its.sizes[0], its.part(its.sizes[1])
    source = jnp.arange(n_pre, dtype=jnp.uint32)

    def target(carry: tuple[Any, ...], row: Any) -> tuple[tuple[Any, ...], None]:
        pre, post, number, fine = carry
        block = numbers.to_targets(row.astype(jnp.int32), 1)[:, 0]
        block = jnp.where(good(law, numbers.allowed, block), block, jnp.nan)
        several = _any_of(law, numbers.least, selfs, key, source, row, block).astype(jnp.int32)
        if law.edges is not None:
            several = jnp.where(several > 0, _edges_of(law, key, block, source, row), 0)
        if numbers.least:
            drawn = _drawn(law, numbers.least, selfs, n_pre, 1, key, row)
            sources, _, places, held = (x[0] for x in drawn)
            keep = _is_kept(numbers.least, key, row, places, block[sources])
            several = several.at[sources].add(held & keep, mode="drop")
        before = number + jnp.cumsum(several) - several

        def again(state: tuple[Any, ...]) -> tuple[Any, ...]:
            turn, pre, post = state
            at = jnp.where(several > turn, before + turn, room)
            pre = pre.at[at].set(source.astype(its.dtype), mode="drop")
            return turn + 1, pre, post.at[at].set(row.astype(its.dtype), mode="drop")

        more = lambda state: jnp.any(several > state[0])  # noqa: E731
        _, pre, post = lax.while_loop(more, again, (jnp.int32(0), pre, post))
        fine &= ~jnp.any(jnp.isnan(block))
        return (pre, post, number + jnp.sum(several), fine), None

    empty = tuple(jnp.full(room, n, its.dtype) for n in its.sizes)
    first = (*empty, jnp.int32(0), jnp.ones((), bool))
    rows = jnp.arange(start, stop, dtype=jnp.uint32)
    (pre, post, number, fine), _ = lax.scan(target, first, rows)
    pre, post = (jnp.where(fine, x, e) for x, e in zip((pre, post), empty, strict=True))
    return Edges(pre, post, its.sizes, jnp.where(fine, number, -1))


# ---------------------------------------------------------------- programs


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _any_of(
    law: PairLaw, least: float, selfs: bool, key: Any, source: Any, target: Any, number: Any
) -> jax.Array:
    """Whether pairs that have more than `least` have an edge, by their own words."""
    some = (number > least) & law.any(number, key, target, source)
    return some if selfs else some & (source != target)


@functools.partial(jax.jit, static_argnums=0)
def _edges_of(law: PairLaw, key: Any, number: Any, source: Any, target: Any) -> jax.Array:
    """How many edges those pairs have."""
    assert law.edges is not None
    return law.edges(number, key, target, source)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _drawn(
    law: PairLaw, least: float, selfs: bool, n_pre: int, rows: int, key: Any, start: Any
) -> tuple[jax.Array, ...]:
    """Edges as if all pairs had `least`: sources, targets, places, and whether there is one."""
    key = jax.random.fold_in(key, _FAINT)
    sources, counts = law.alike(key, start, rows, n_pre, least, selfs)
    target, place = (lax.broadcasted_iota(jnp.uint32, sources.shape, axis) for axis in (0, 1))
    return sources, start + target, place, place < counts.astype(jnp.uint32)[:, None]


@functools.partial(jax.jit, static_argnums=0)
def _is_kept(least: float, key: Any, target: Any, place: Any, number: Any) -> jax.Array:
    """Whether edges of pairs that have no more than `least` stay."""
    random = words(jax.random.fold_in(key, _PART), target, place)
    return (number <= least) & happens(number / least, random)


def _padded(x: np.ndarray, length: int) -> np.ndarray:
    """Numbers with more at their end, that programs are of few sizes."""
    return np.pad(x, (0, length - len(x)), mode="edge" if len(x) else "constant")


def _in_rows(start: int, stop: int, each: int) -> Iterator[tuple[int, int]]:
    """Targets in blocks of some million pairs, of which a target has so many."""
    rows = max(2**22 // max(each, 1), 1)
    for first in range(start, stop, rows):
        yield first, min(rows, stop - first)
