"""Edges where all pairs have one number: the number of edges of each target, then their sources.

Time and memory are of the order of the edges and targets.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._math.tables import Law, below, largest, offsets, smallest
from braininit.circuits.capacity import known_edges, padded_edges, refuse_traced
from braininit.circuits.distinct import distinct, others
from braininit.circuits.edges import Edges
from braininit.circuits.rule import Drawing, Kernel, refuse_many
from braininit.circuits.words import threefry_key, words

__all__ = ["alike", "any_of_each", "some_of_each"]


def alike(
    drawing: Drawing, key: Any, capacity: int | None, kernel: Kernel, number: float, loops: bool
) -> Edges:
    """Draw the edges target by target, where all pairs have one `number`."""
    start, stop = drawing.part(drawing.sizes[1])
    key, n = threefry_key(key), drawing.sizes[0]
    if not n or start == stop:
        return known_edges(drawing, np.zeros(0), np.zeros(0), capacity)
    mean = (stop - start) * (n - 1) * number
    refuse_many(math.floor(mean - 14 * mean**0.5 - 60))  # this is 14 std below the mean
    program = _rows_program(kernel, stop - start, n, number, loops)
    sources, counts = program(key, np.uint32(start))
    if capacity is None:
        refuse_traced(counts)
        is_edge = np.arange(sources.shape[1]) < np.asarray(counts)[:, None]
        post = np.repeat(np.arange(start, stop), np.asarray(counts))
        return known_edges(drawing, np.asarray(sources)[is_edge], post, None)
    ends = jnp.cumsum(counts)
    place = lax.broadcasted_iota(jnp.int32, sources.shape, 1)
    at = jnp.where(place < counts[:, None], (ends - counts)[:, None] + place, capacity)
    target = start + lax.broadcasted_iota(jnp.uint32, sources.shape, 0)
    return padded_edges(drawing, capacity, at, sources, target, ends[-1])


@functools.lru_cache(maxsize=256)
def _rows_program(kernel: Kernel, *args: Any) -> Callable[..., Any]:
    return jax.jit(lambda key, start: kernel(key, start, *args))


def some_of_each(
    key: Any, start: Any, rows: int, n: int, chance: float, loops: bool
) -> tuple[jax.Array, jax.Array]:
    """The sources of each target, without repeats; their number is binomial."""
    few = min(chance, 1 - chance)  # otherwise, draw the sources to leave out
    row = start + jnp.arange(rows, dtype=jnp.uint32)
    number, partner = jax.random.split(key)
    available, skips_self = _partners(row, n, loops)
    counts = _counts("binomial", few, number, row, n, loops)
    width = min(largest(Law("binomial", (n, few))), n)
    target, place = (lax.broadcasted_iota(jnp.uint32, (rows, width), axis) for axis in (0, 1))
    target = start + target
    beyond = place >= counts.astype(jnp.uint32)[:, None]

    def draw(turn: Any, places: Any) -> tuple[jax.Array, ...]:
        random = words(jax.random.fold_in(partner, turn), target, places)
        return (below(available[:, None], random),)

    # Places beyond a row's count hold numbers beyond all neurons.
    drawn = distinct(draw, n + width, place, (beyond, np.uint32(n) + place))[0]
    if chance > 0.5:
        drawn, counts = others(drawn, n), available.astype(jnp.int32) - counts
    return jnp.where(skips_self[:, None] & (drawn >= row[:, None]), drawn + 1, drawn), counts


def any_of_each(
    key: Any, start: Any, rows: int, n: int, rate: float, loops: bool
) -> tuple[jax.Array, jax.Array]:
    """The sources of each target, with repeats; their number is Poisson."""
    row = start + jnp.arange(rows, dtype=jnp.uint32)
    number, partner = jax.random.split(key)
    available, skips_self = _partners(row, n, loops)
    counts = _counts("poisson", rate, number, row, n, loops)
    shape = (rows, largest(Law("poisson", (rate * n,))))
    place = lax.broadcasted_iota(jnp.uint32, shape, 1)
    drawn = below(available[:, None], words(partner, row[:, None], place))
    return jnp.where(skips_self[:, None] & (drawn >= row[:, None]), drawn + 1, drawn), counts


def _partners(row: jax.Array, n: int, loops: bool) -> tuple[jax.Array, jax.Array]:
    """The number of possible sources of each target, and whether its own index is left out."""
    skips_self = (row < np.uint32(n)) & (not loops)
    return np.uint32(n) - skips_self.astype(jnp.uint32), skips_self


def _counts(law: str, number: float, key: Any, row: jax.Array, n: int, loops: bool) -> jax.Array:
    """The number of edges of each target."""
    random = words(key, np.uint32(0), row)

    def from_sources(n: int) -> jax.Array:
        table = Law(law, (n, number) if law == "binomial" else (n * number,))
        return offsets(table, random) + smallest(table)

    if loops:
        return from_sources(n)
    return jnp.where(row < np.uint32(n), from_sources(n - 1), from_sources(n))
