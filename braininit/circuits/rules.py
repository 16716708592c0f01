"""Rules of which the number of edges is known before they are drawn."""

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
from braininit.circuits.rule import ConnectionRule, Sizes, drawing
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
    its = drawing(sizes, only, dtype, out_sharding)
    return its.edges(_itself, None, min(its.sizes), 1)


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
    its = drawing(sizes, only, dtype, out_sharding)
    n_pre, n_post = its.sizes
    if options.flag("self_connections", self_connections):
        return its.edges(_all, None, n_post, n_pre, n_pre)
    # Targets beyond the last source have no neuron of their own index to leave out.
    start, stop = its.part(n_post)
    own, rest = (min(start, n_pre), min(stop, n_pre)), (max(start, n_pre), max(stop, n_pre))
    if rest[0] == rest[1]:
        return its._replace(only=own).edges(_all_others, None, n_post, n_pre - 1, n_pre - 1)
    alone = its._replace(sharding=None)
    some = alone._replace(only=own).edges(_all_others, None, n_post, n_pre - 1, n_pre - 1)
    every = some.concatenate(alone._replace(only=rest).edges(_all, None, n_post, n_pre, n_pre))
    return every if its.sharding is None else jax.device_put(every, its.sharding)


class AllToAll(ConnectionRule, function=all_to_all, random=False):
    """Every neuron to every neuron; the twin of `all_to_all`."""

    self_connections: bool = static(default=True)


def _all(key: Any, start: Any, rows: int, each: int) -> Pair:
    post, pre = _places(start, rows, each)
    return pre, post


def _all_others(key: Any, start: Any, rows: int, each: int) -> Pair:
    post, pre = _places(start, rows, each)
    return _beside(pre, post), post


def _places(start: Any, rows: int, each: int) -> Pair:
    """The row of each edge, and its place in the row."""
    row, place = (lax.broadcasted_iota(jnp.uint32, (rows, each), axis) for axis in (0, 1))
    return start + row, place


def _beside(index: jax.Array, own: jax.Array) -> jax.Array:
    """Numbers from 0 on, without that of the neuron itself."""
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
    independent; else they increase in each target, and every set of them is equally likely.

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
    its = drawing(sizes, only, dtype, out_sharding)
    n_pre, n_post = its.sizes
    how = _degree(degree, n_pre, n_post, self_connections, multiple)
    return its.edges(_by_target, threefry_key(key), n_post, how[0], n_pre, *how)


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
        As in `fixed_in_degree`, of which this is the mirror image: edge ``degree * i + k`` goes
        from source i, and `only` is a range of sources.

    Examples
    --------
    >>> import jax, braininit as init
    >>> edges = init.fixed_out_degree(jax.random.key(0), (100, 50), 10, self_connections=False)
    >>> set(edges.out_degree.tolist()), bool((edges.pre == edges.post).any())
    ({10}, False)
    """
    its = drawing(sizes, only, dtype, out_sharding)
    n_pre, n_post = its.sizes
    how = _degree(degree, n_post, n_pre, self_connections, multiple)
    return its.edges(_by_source, threefry_key(key), n_pre, how[0], n_post, *how)


class FixedOutDegree(ConnectionRule, function=fixed_out_degree, checks={"degree": _COUNT}):
    """The same number of targets for every source; the twin of `fixed_out_degree`."""

    degree: int = static()
    self_connections: bool = static(default=True)
    multiple: bool = static(default=True)


def _degree(
    degree: Any, n: int, rows: int, self_connections: Any, multiple: Any
) -> tuple[int, bool, bool]:
    """The degree and the flags, if so many of n neurons can be drawn."""
    degree = options.whole("degree", degree, 0)
    selfs = options.flag("self_connections", self_connections)
    several = options.flag("multiple", multiple)
    least = max(n - (not selfs and rows > 0), 0)
    if rows and degree and least < (1 if several else degree):
        without = "" if selfs else ", none of which is the neuron itself"
        once = "" if several else ", each once"
        raise ValueError(
            f"`degree` = {degree} is more than the {least} neurons there are{without}{once}; "
            "give a smaller one"
        )
    return degree, selfs, several


def _by_target(key: Any, start: Any, rows: int, n: int, *how: Any) -> Pair:
    target, source = _row_by_row(key, start, rows, n, *how)
    return source, target


def _by_source(key: Any, start: Any, rows: int, n: int, *how: Any) -> Pair:
    return _row_by_row(key, start, rows, n, *how)


def _row_by_row(
    key: Any, start: Any, rows: int, n: int, each: int, selfs: bool, several: bool
) -> Pair:
    """The row of each edge, and a partner out of n for each."""
    row, place = _places(start, rows, each)
    if several:
        return row, _partner(words(key, row, place), row, n, selfs)
    if 2 * each <= n - 1:

        def draw(turn: Any, places: Any) -> tuple[jax.Array, ...]:
            return (_partner(words(jax.random.fold_in(key, turn), row, places), row, n, selfs),)

        return row, distinct(draw, n, place)[0]
    rows_, out = _places(start, rows, n - each)  # those that are left out, which are fewer

    def left_out(turn: Any, places: Any) -> tuple[jax.Array, ...]:
        return (below(n, words(jax.random.fold_in(key, turn), rows_, places)),)

    fixed = None if selfs else ((out == 0) & (rows_ < np.uint32(n)), rows_)
    excluded = distinct(left_out, n, out, fixed)[0]
    return row, others(excluded, each)


def _partner(random: Pair, row: jax.Array, n: int, selfs: bool) -> jax.Array:
    """One of n neurons; not the one of the row's own index, unless that may be."""
    if selfs:
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
        Which edges are drawn, by their number. Without multiple connections all are, and these
        are kept.

    Notes
    -----
    Numerics: with multiple connections the edges are independent; source and target are, too,
    where self-connections are allowed. Else edges are in the order of their targets, and every
    set of pairs is equally likely.

    Examples
    --------
    >>> import jax, braininit as init
    >>> edges = init.fixed_total_number(jax.random.key(0), (1000, 500), 20_000)
    >>> edges.count, int(edges.in_degree.sum())
    (20000, 20000)
    """
    its = drawing(sizes, only, dtype, out_sharding)
    n_pre, n_post = its.sizes
    number = options.whole("number", number, 0)
    selfs = options.flag("self_connections", self_connections)
    several = options.flag("multiple", multiple)
    pairs = n_pre * n_post - (0 if selfs else min(n_pre, n_post))
    if number and pairs < (1 if several else number):
        once = "" if several else ", each of which is drawn once"
        raise ValueError(
            f"`number` = {number} is more than the {pairs} pairs there are{once}; give a smaller "
            "one"
        )
    if several:
        return its.edges(_independent, threefry_key(key), number, 1, n_pre, n_post, selfs)
    return its.edges(_each_once, threefry_key(key), number, 1, number, n_pre, n_post, selfs)


class FixedTotalNumber(ConnectionRule, function=fixed_total_number, checks={"number": _COUNT}):
    """A fixed number of edges among all pairs; the twin of `fixed_total_number`."""

    number: int = static()
    self_connections: bool = static(default=True)
    multiple: bool = static(default=True)


def _independent(key: Any, start: Any, rows: int, n_pre: int, n_post: int, selfs: bool) -> Pair:
    def drawn(rows: int, start: Any) -> Pair:
        return any_pairs(key, start + jnp.arange(rows, dtype=jnp.uint32), n_pre, n_post, selfs)

    return evenly(drawn, rows, start)


def any_pairs(key: Any, edge: jax.Array, n_pre: int, n_post: int, selfs: bool) -> Pair:
    """Pairs, each equally likely; without those of a neuron and itself, if they may not be."""
    first, second = (words(key, np.uint32(end), edge) for end in (0, 1))
    if selfs:
        return below(n_pre, first), below(n_post, second)
    if n_post <= n_pre:  # each of the fewer ones has the same number of partners
        post = below(n_post, second)
        return _beside(below(n_pre - 1, first), post), post
    pre = below(n_pre, first)
    return pre, _beside(below(n_post - 1, second), pre)


def _each_once(
    key: Any, start: Any, rows: int, number: int, n_pre: int, n_post: int, selfs: bool
) -> Pair:
    """Some of the edges, all of which are drawn."""
    pairs = n_pre * n_post
    if 2 * number <= pairs - (0 if selfs else min(n_pre, n_post)):

        def draw(turn: Any, places: Any) -> Pair:
            pre, post = any_pairs(jax.random.fold_in(key, turn), places, n_pre, n_post, selfs)
            return post, pre

        post, pre = distinct(draw, 2**32, jnp.arange(number, dtype=jnp.uint32))
    else:
        at = jnp.arange(pairs - number, dtype=jnp.uint32)
        own = (at < np.uint32(0 if selfs else min(n_pre, n_post)), at * np.uint32(n_pre + 1))

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
        The number of edges to each target: from half as many neurons on either side.
    rewired : float
        The probability of an edge to get another source, drawn among all.
    self_connections, multiple : bool
        Whether such a source may be the neuron itself, and one that it has already.

    Examples
    --------
    >>> import jax, braininit as init
    >>> init.small_world(jax.random.key(0), 6, 2, 0.0).pre[:4]
    Array([1, 5, 0, 2], dtype=int32)
    """
    its = drawing(sizes, only, dtype, out_sharding)
    n, n_post = its.sizes
    if n != n_post:
        raise ValueError(f"`sizes` must be of one population, as (80, 80), got {its.sizes}")
    each, *_ = _degree(degree, n, n, False, False)
    if each % 2:
        raise ValueError(f"`degree` = {each} must be even: half of the edges come from either side")
    chance = roles.number("rewired", roles.fraction(rewired)).value
    selfs = options.flag("self_connections", self_connections)
    several = options.flag("multiple", multiple)
    return its.edges(_on_a_ring, threefry_key(key), n, each, n, each, float(chance), selfs, several)


_CHECKS = {"degree": _COUNT, "rewired": roles.fraction.check}


class SmallWorld(ConnectionRule, function=small_world, checks=_CHECKS):
    """Neighbours on a ring, some rewired; the twin of `small_world`."""

    degree: int = static()
    rewired: float = static()
    self_connections: bool = static(default=False)
    multiple: bool = static(default=False)


def _on_a_ring(
    key: Any, start: Any, rows: int, n: int, each: int, chance: float, selfs: bool, several: bool
) -> Pair:
    row, place = _places(start, rows, each)
    half = np.uint32(each // 2)
    steps = jnp.where(place < half, place + 1, np.uint32(n - 1) - (place - half))
    neighbour = (row + steps) % np.uint32(n)
    choice, source = jax.random.split(key)
    stays = ~happens(np.float32(chance), words(choice, row, place))

    def draw(turn: Any, places: Any) -> tuple[jax.Array, ...]:
        random = words(jax.random.fold_in(source, turn), row, places)
        return (_partner(random, row, n, selfs),)

    if several:
        return jnp.where(stays, neighbour, draw(np.uint32(0), place)[0]), row
    return distinct(draw, n, place, (stays, neighbour))[0], row
