"""Pairs that are all connected alike: a number of edges for each target, then their sources.

That takes time and memory of the order of the edges and targets.
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

from braininit._math.tables import Law, below, counted, first_of, most
from braininit.circuits.distinct import distinct, others
from braininit.circuits.edges import Edges
from braininit.circuits.room import kept, placed_in, refuse_traced
from braininit.circuits.rule import Drawing, Kernel, refuse_many
from braininit.circuits.words import threefry_key, words

__all__ = ["alike", "any_of_each", "some_of_each"]


def alike(
    its: Drawing, key: Any, room: int | None, kernel: Kernel, number: float, selfs: bool
) -> Edges:
    """Edges target by target, of as many as each has."""
    start, stop = its.part(its.sizes[1])
    key, n = threefry_key(key), its.sizes[0]
    if not n or start == stop:
        return kept(its, np.zeros(0), np.zeros(0), room)
    mean = (stop - start) * (n - 1) * number
    refuse_many(math.floor(mean - 14 * mean**0.5 - 60))  # fewer are never drawn
    program = _rows_program(kernel, stop - start, n, number, selfs)
    sources, counts = program(key, np.uint32(start))
    if room is None:
        refuse_traced(counts)
        held = np.arange(sources.shape[1]) < np.asarray(counts)[:, None]
        post = np.repeat(np.arange(start, stop), np.asarray(counts))
        return kept(its, np.asarray(sources)[held], post, None)
    ends = jnp.cumsum(counts)
    place = lax.broadcasted_iota(jnp.int32, sources.shape, 1)
    at = jnp.where(place < counts[:, None], (ends - counts)[:, None] + place, room)
    target = start + lax.broadcasted_iota(jnp.uint32, sources.shape, 0)
    return placed_in(its, room, at, sources, target, ends[-1])


@functools.lru_cache(maxsize=256)
def _rows_program(kernel: Kernel, *given: Any) -> Callable[..., Any]:
    return jax.jit(lambda key, start: kernel(key, start, *given))


def some_of_each(
    key: Any, start: Any, rows: int, n: int, chance: float, selfs: bool
) -> tuple[jax.Array, jax.Array]:
    """The sources of each target, as many as its number says; each source once."""
    few = min(chance, 1 - chance)  # otherwise those that are left out are drawn
    row = start + jnp.arange(rows, dtype=jnp.uint32)
    number, partner = jax.random.split(key)
    there, own = _partners(row, n, selfs)
    counts = _counts("binomial", few, number, row, n, selfs)
    width = min(most(Law("binomial", (n, few))), n)
    target, place = (lax.broadcasted_iota(jnp.uint32, (rows, width), axis) for axis in (0, 1))
    target = start + target
    beyond = place >= counts.astype(jnp.uint32)[:, None]

    def draw(turn: Any, places: Any) -> tuple[jax.Array, ...]:
        random = words(jax.random.fold_in(partner, turn), target, places)
        return (below(there[:, None], random),)

    # Places that a row does not need hold numbers beyond all neurons.
    drawn = distinct(draw, n + width, place, (beyond, np.uint32(n) + place))[0]
    if chance > 0.5:
        drawn, counts = others(drawn, n), there.astype(jnp.int32) - counts
    return jnp.where(own[:, None] & (drawn >= row[:, None]), drawn + 1, drawn), counts


def any_of_each(
    key: Any, start: Any, rows: int, n: int, rate: float, selfs: bool
) -> tuple[jax.Array, jax.Array]:
    """The sources of each target, as many as its number says."""
    row = start + jnp.arange(rows, dtype=jnp.uint32)
    number, partner = jax.random.split(key)
    there, own = _partners(row, n, selfs)
    counts = _counts("poisson", rate, number, row, n, selfs)
    shape = (rows, most(Law("poisson", (rate * n,))))
    place = lax.broadcasted_iota(jnp.uint32, shape, 1)
    drawn = below(there[:, None], words(partner, row[:, None], place))
    return jnp.where(own[:, None] & (drawn >= row[:, None]), drawn + 1, drawn), counts


def _partners(row: jax.Array, n: int, selfs: bool) -> tuple[jax.Array, jax.Array]:
    """How many sources a target may have, and whether its own index is left out."""
    own = (row < np.uint32(n)) & (not selfs)
    return np.uint32(n) - own.astype(jnp.uint32), own


def _counts(law: str, number: float, key: Any, row: jax.Array, n: int, selfs: bool) -> jax.Array:
    """The number of edges of each target."""
    random = words(key, np.uint32(0), row)

    def of(n: int) -> jax.Array:
        its = Law(law, (n, number) if law == "binomial" else (n * number,))
        return counted(its, random) + first_of(its)

    return of(n) if selfs else jnp.where(row < np.uint32(n), of(n - 1), of(n))
