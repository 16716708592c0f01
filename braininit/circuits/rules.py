"""Rules whose number of edges is known before the draw."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.cpu.layout import evenly
from braininit._math.tables import below
from braininit._params import options, roles
from braininit._params.types import DType, Key, Sharding
from braininit._params.values import static
from braininit.circuits.distinct import distinct, others
from braininit.circuits.edges import Edges
from braininit.circuits.rule import ConnectionRule, Sizes, prepare
from braininit.circuits.words import happens, threefry_key, words

__all__ = [
    "AllToAll",
    "FixedInDegree",
    "FixedOutDegree",
    "FixedTotalNumber",
    "OneToOne",
    "SmallWorld",
    "all_to_all",
    "any_pairs",
    "fixed_in_degree",
    "fixed_out_degree",
    "fixed_total_number",
    "one_to_one",
    "small_world",
]

Pair = tuple[jax.Array, jax.Array]
_COUNT = functools.partial(options.whole, least=0)


# ---------------------------------------------------------------- not random


def one_to_one(
    key: Key | None,
    sizes: Sizes,
    *,
    only: tuple[int, int] | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Edges:
    """Connect neuron i to neuron i, up to the smaller size.

    Examples
    --------
    >>> import braininit as init
    >>> init.one_to_one(None, (5, 3)).pre
    Array([0, 1, 2], dtype=int32)
    """
    drawing = prepare(sizes, only, dtype, out_sharding)
    return drawing.edges(_itself, None, min(drawing.sizes), 1)


class OneToOne(ConnectionRule, function=one_to_one, random=False):
    """Neuron i to neuron i; the twin of `one_to_one`."""


def _itself(key: Any, start: Any, rows: int) -> Pair:
    at = start + jnp.arange(rows, dtype=jnp.uint32)
    return at, at


def all_to_all(
    key: Key | None,
    sizes: Sizes,
    self_connections: bool = True,
    *,
    only: tuple[int, int] | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Edges:
    """Connect every neuron to every neuron, in the order of their targets.

    Examples
    --------
    >>> import braininit as init
    >>> init.all_to_all(None, 3, self_connections=False).pre
    Array([1, 2, 0, 2, 0, 1], dtype=int32)
    """
    drawing = prepare(sizes, only, dtype, out_sharding)
    n_pre, n_post = drawing.sizes
    if options.flag("self_connections", self_connections):
        return drawing.edges(_all, None, n_post, n_pre, n_pre)
    # Targets beyond the last source have no neuron of their own index to leave out.
    start, stop = drawing.part(n_post)
    with_self = min(start, n_pre), min(stop, n_pre)
    rest = max(start, n_pre), max(stop, n_pre)
    if rest[0] == rest[1]:
        return drawing._replace(only=with_self).edges(
            _all_others, None, n_post, n_pre - 1, n_pre - 1
        )
    local = drawing._replace(sharding=None)
    some = local._replace(only=with_self).edges(_all_others, None, n_post, n_pre - 1, n_pre - 1)
    every = some.concatenate(local._replace(only=rest).edges(_all, None, n_post, n_pre, n_pre))
    return every if drawing.sharding is None else jax.device_put(every, drawing.sharding)


class AllToAll(ConnectionRule, function=all_to_all, random=False):
    """Every neuron to every neuron; the twin of `all_to_all`."""

    self_connections: bool = static(default=True)


def _all(key: Any, start: Any, rows: int, width: int) -> Pair:
    post, pre = _places(start, rows, width)
    return pre, post


def _all_others(key: Any, start: Any, rows: int, width: int) -> Pair:
    post, pre = _places(start, rows, width)
    return _beside(pre, post), post


def _places(start: Any, rows: int, width: int) -> Pair:
    """The row of each edge, and its place in the row."""
    row, place = (lax.broadcasted_iota(jnp.uint32, (rows, width), axis) for axis in (0, 1))
    return start + row, place


def _beside(index: jax.Array, own: jax.Array) -> jax.Array:
    """Shift indices so that they skip a neuron's own."""
    return index + (index >= own).astype(jnp.uint32)


# ---------------------------------------------------------------- fixed degree


def fixed_in_degree(
    key: Key,
    sizes: Sizes,
    degree: int,
    self_connections: bool = True,
    multiple: bool = True,
    *,
    only: tuple[int, int] | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Edges:
    """Draw the same number of sources for every target.

    Parameters
    ----------
    degree : int
        The number of edges to each target.
    self_connections, multiple : bool
        Whether a neuron may connect to itself, and a pair by several edges.

    Notes
    -----
    Edge ``degree * j + i`` goes to target j. Numerics: with multiple connections the sources are
    independent. Without, the sources of each target increase, and every set of them is equally
    likely.

    Examples
    --------
    >>> import jax, braininit as init
    >>> edges = init.fixed_in_degree(jax.random.key(0), (8000, 2000), 100, multiple=False)
    >>> set(edges.in_degree.tolist())
    {100}
    >>> some = init.fixed_in_degree(
    ...     jax.random.key(0), (8000, 2000), 100, multiple=False, only=(500, 600)
    ... )
    >>> bool((some.pre == edges.pre[50_000:60_000]).all())
    True
    """
    drawing = prepare(sizes, only, dtype, out_sharding)
    n_pre, n_post = drawing.sizes
    checked = _degree(degree, n_pre, n_post, self_connections, multiple)
    return drawing.edges(_by_target, threefry_key(key), n_post, checked[0], n_pre, *checked)


class FixedInDegree(ConnectionRule, function=fixed_in_degree, checks={"degree": _COUNT}):
    """The same number of sources for every target; the twin of `fixed_in_degree`."""

    degree: int = static()
    self_connections: bool = static(default=True)
    multiple: bool = static(default=True)


def fixed_out_degree(
    key: Key,
    sizes: Sizes,
    degree: int,
    self_connections: bool = True,
    multiple: bool = True,
    *,
    only: tuple[int, int] | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Edges:
    """Draw the same number of targets for every source.

    Parameters
    ----------
    degree : int
        The number of edges from each source.
    self_connections, multiple : bool
        As in `fixed_in_degree`, with sources and targets exchanged: edge ``degree * i + k`` goes
        from source i, and `only` is a range of sources.

    Examples
    --------
    >>> import jax, braininit as init
    >>> edges = init.fixed_out_degree(jax.random.key(0), (100, 50), 10, self_connections=False)
    >>> set(edges.out_degree.tolist()), bool((edges.pre == edges.post).any())
    ({10}, False)
    """
    drawing = prepare(sizes, only, dtype, out_sharding)
    n_pre, n_post = drawing.sizes
    checked = _degree(degree, n_post, n_pre, self_connections, multiple)
    return drawing.edges(_by_source, threefry_key(key), n_pre, checked[0], n_post, *checked)


class FixedOutDegree(ConnectionRule, function=fixed_out_degree, checks={"degree": _COUNT}):
    """The same number of targets for every source; the twin of `fixed_out_degree`."""

    degree: int = static()
    self_connections: bool = static(default=True)
    multiple: bool = static(default=True)


def _degree(
    degree: Any, n: int, rows: int, self_connections: Any, multiple: Any
) -> tuple[int, bool, bool]:
    """The checked degree and flags; a ValueError if n neurons are too few."""
    degree = options.whole("degree", degree, 0)
    loops = options.flag("self_connections", self_connections)
    repeats = options.flag("multiple", multiple)
    available = max(n - (not loops and rows > 0), 0)
    if rows and degree and available < (1 if repeats else degree):
        without = "" if loops else ", none of which is the neuron itself"
        once = "" if repeats else ", each once"
        raise ValueError(
            f"`degree` = {degree} is more than the {available} neurons there are{without}{once}; "
            "give a smaller one"
        )
    return degree, loops, repeats


def _by_target(key: Any, start: Any, rows: int, n: int, *args: Any) -> Pair:
    target, source = _row_by_row(key, start, rows, n, *args)
    return source, target


def _by_source(key: Any, start: Any, rows: int, n: int, *args: Any) -> Pair:
    return _row_by_row(key, start, rows, n, *args)


def _row_by_row(
    key: Any, start: Any, rows: int, n: int, degree: int, loops: bool, repeats: bool
) -> Pair:
    """The row of each edge, and its partner among n neurons."""
    row, place = _places(start, rows, degree)
    if repeats:
        return row, _partner(words(key, row, place), row, n, loops)
    if 2 * degree <= n - 1:

        def draw(turn: Any, places: Any) -> tuple[jax.Array, ...]:
            return (_partner(words(jax.random.fold_in(key, turn), row, places), row, n, loops),)

        return row, distinct(draw, n, place)[0]
    rows_, out = _places(start, rows, n - degree)  # draw the partners to leave out: they are fewer

    def left_out(turn: Any, places: Any) -> tuple[jax.Array, ...]:
        return (below(n, words(jax.random.fold_in(key, turn), rows_, places)),)

    fixed = None if loops else ((out == 0) & (rows_ < np.uint32(n)), rows_)
    excluded = distinct(left_out, n, out, fixed)[0]
    return row, others(excluded, degree)


def _partner(random: Pair, row: jax.Array, n: int, loops: bool) -> jax.Array:
    """One of n neurons; without `loops`, not the one with the row's index."""
    if loops:
        return below(n, random)
    own = row < np.uint32(n)
    drawn = below(np.uint32(n) - own.astype(jnp.uint32), random)
    return jnp.where(own, _beside(drawn, row), drawn)


# ---------------------------------------------------------------- fixed total number


def fixed_total_number(
    key: Key,
    sizes: Sizes,
    number: int,
    self_connections: bool = True,
    multiple: bool = True,
    *,
    only: tuple[int, int] | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Edges:
    """Draw a fixed number of edges among all pairs.

    Parameters
    ----------
    number : int
        The number of edges in all.
    self_connections, multiple : bool
        Whether a neuron may connect to itself, and a pair by several edges.
    only : tuple of int, optional
        A range of edges, by their number. Without multiple connections all edges are drawn, and
        these are kept.

    Notes
    -----
    Numerics: with multiple connections the edges are independent; with self-connections, so are
    source and target. Without multiple connections, edges are in the order of their targets, and
    every set of pairs is equally likely.

    Examples
    --------
    >>> import jax, braininit as init
    >>> edges = init.fixed_total_number(jax.random.key(0), (1000, 500), 20_000)
    >>> edges.count, int(edges.in_degree.sum())
    (20000, 20000)
    """
    drawing = prepare(sizes, only, dtype, out_sharding)
    n_pre, n_post = drawing.sizes
    number = options.whole("number", number, 0)
    loops = options.flag("self_connections", self_connections)
    repeats = options.flag("multiple", multiple)
    pairs = n_pre * n_post - (0 if loops else min(n_pre, n_post))
    if number and pairs < (1 if repeats else number):
        once = "" if repeats else ", each of which is drawn once"
        raise ValueError(
            f"`number` = {number} is more than the {pairs} pairs there are{once}; give a smaller "
            "one"
        )
    if repeats:
        return drawing.edges(_independent, threefry_key(key), number, 1, n_pre, n_post, loops)
    return drawing.edges(_each_once, threefry_key(key), number, 1, number, n_pre, n_post, loops)


class FixedTotalNumber(ConnectionRule, function=fixed_total_number, checks={"number": _COUNT}):
    """A fixed number of edges among all pairs; the twin of `fixed_total_number`."""

    number: int = static()
    self_connections: bool = static(default=True)
    multiple: bool = static(default=True)


def _independent(key: Any, start: Any, rows: int, n_pre: int, n_post: int, loops: bool) -> Pair:
    def drawn(rows: int, start: Any) -> Pair:
        return any_pairs(key, start + jnp.arange(rows, dtype=jnp.uint32), n_pre, n_post, loops)

    return evenly(drawn, rows, start)


def any_pairs(key: Any, edge: jax.Array, n_pre: int, n_post: int, loops: bool) -> Pair:
    """Equally likely pairs; without `loops`, none of a neuron and itself."""
    first, second = (words(key, np.uint32(end), edge) for end in (0, 1))
    if loops:
        return below(n_pre, first), below(n_post, second)
    if n_post <= n_pre:  # every target has the same number of partners
        post = below(n_post, second)
        return _beside(below(n_pre - 1, first), post), post
    pre = below(n_pre, first)
    return pre, _beside(below(n_post - 1, second), pre)


def _each_once(
    key: Any, start: Any, rows: int, number: int, n_pre: int, n_post: int, loops: bool
) -> Pair:
    """Draw all edges without repeats, and return some of them."""
    pairs = n_pre * n_post
    if 2 * number <= pairs - (0 if loops else min(n_pre, n_post)):

        def draw(turn: Any, places: Any) -> Pair:
            pre, post = any_pairs(jax.random.fold_in(key, turn), places, n_pre, n_post, loops)
            return post, pre

        post, pre = distinct(draw, 2**32, jnp.arange(number, dtype=jnp.uint32))
    else:
        at = jnp.arange(pairs - number, dtype=jnp.uint32)
        own = (at < np.uint32(0 if loops else min(n_pre, n_post)), at * np.uint32(n_pre + 1))

        def left_out(turn: Any, places: Any) -> tuple[jax.Array, ...]:
            random = words(jax.random.fold_in(key, turn), np.uint32(0), places)
            return (below(pairs, random),)

        excluded = distinct(left_out, pairs, at, own)[0]
        post, pre = jnp.divmod(others(excluded[None], number)[0], np.uint32(n_pre))
    first = start.astype(jnp.int32)
    return lax.dynamic_slice_in_dim(pre, first, rows), lax.dynamic_slice_in_dim(post, first, rows)


# ---------------------------------------------------------------- small world


def small_world(
    key: Key,
    sizes: Sizes,
    degree: int,
    rewired: float,
    self_connections: bool = False,
    multiple: bool = False,
    *,
    only: tuple[int, int] | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Edges:
    """Connect neighbours on a ring, and give some edges another source (Watts and Strogatz).

    Parameters
    ----------
    degree : int
        The number of edges to each target, even: half of them come from either side.
    rewired : float
        The probability, from 0 to 1, that an edge gets another source, drawn among all neurons.
    self_connections, multiple : bool
        Whether such a source may be the neuron itself, and a source that it has already.

    Examples
    --------
    >>> import jax, braininit as init
    >>> init.small_world(jax.random.key(0), 6, 2, 0.0).pre[:4]
    Array([1, 5, 0, 2], dtype=int32)
    """
    drawing = prepare(sizes, only, dtype, out_sharding)
    n, n_post = drawing.sizes
    if n != n_post:
        raise ValueError(f"`sizes` must be of one population, as (80, 80), got {drawing.sizes}")
    degree, *_ = _degree(degree, n, n, False, False)
    if degree % 2:
        raise ValueError(f"`degree` = {degree} must be even: half the edges come from either side")
    chance = roles.number("rewired", roles.fraction(rewired)).value
    loops = options.flag("self_connections", self_connections)
    repeats = options.flag("multiple", multiple)
    return drawing.edges(
        _on_a_ring, threefry_key(key), n, degree, n, degree, float(chance), loops, repeats
    )


_CHECKS = {"degree": _COUNT, "rewired": roles.fraction.check}


class SmallWorld(ConnectionRule, function=small_world, checks=_CHECKS):
    """Neighbours on a ring, some rewired; the twin of `small_world`."""

    degree: int = static()
    rewired: float = static()
    self_connections: bool = static(default=False)
    multiple: bool = static(default=False)


def _on_a_ring(
    key: Any, start: Any, rows: int, n: int, degree: int, chance: float, loops: bool, repeats: bool
) -> Pair:
    row, place = _places(start, rows, degree)
    half = np.uint32(degree // 2)
    steps = jnp.where(place < half, place + 1, np.uint32(n - 1) - (place - half))
    neighbour = (row + steps) % np.uint32(n)
    choice, source = jax.random.split(key)
    stays = ~happens(np.float32(chance), words(choice, row, place))

    def draw(turn: Any, places: Any) -> tuple[jax.Array, ...]:
        random = words(jax.random.fold_in(source, turn), row, places)
        return (_partner(random, row, n, loops),)

    if repeats:
        return jnp.where(stays, neighbour, draw(np.uint32(0), place)[0]), row
    return distinct(draw, n, place, (stays, neighbour))[0], row
