"""Rules by which each pair of neurons is connected by itself: Bernoulli and Poisson.

A constant probability takes time and memory of the order of the edges: the number of edges of each
target is drawn, then their sources. A probability that depends on the pair is evaluated for every
pair, some targets at a time, or for those alone that are near enough to connect; nothing of the
size of all pairs is stored.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from braininit._params import options, roles, units
from braininit._params.types import DType, Key, NumberLike, QuantityLike
from braininit._params.values import static
from braininit.circuits.distinct import distinct, others
from braininit.circuits.edges import Edges
from braininit.circuits.rule import ConnectionRule, Drawing, Kernel, Sizes, drawing
from braininit.circuits.words import below, counted, happens, most, threefry_key, words
from braininit.spatial.distances import Near, between, pairs_within_reach, pairwise_distances
from braininit.spatial.profile import DistanceProfile

__all__ = ["PairwiseBernoulli", "PairwisePoisson", "pairwise_bernoulli", "pairwise_poisson"]

Chance: TypeAlias = "QuantityLike | DistanceProfile"


def _check(role: roles.Role, name: str, value: Any) -> Any:
    """The number of pairs, or a profile of it."""
    if isinstance(value, DistanceProfile):
        return value
    return role.check(name, units.dimensionless(name, value))


def pairwise_bernoulli(
    key: Key,
    sizes: Sizes,
    probability: Chance,
    self_connections: bool = True,
    box: NumberLike | None = None,
    anisotropy: NumberLike | None = None,
    *,
    only: tuple[int, int] | None = None,
    max_edges: int | None = None,
    dtype: DType | None = None,
    distances: QuantityLike | None = None,
    pre_positions: QuantityLike | None = None,
    post_positions: QuantityLike | None = None,
) -> Edges:
    """Connect each pair with a probability, independently of all others.

    Parameters
    ----------
    probability : float, array or DistanceProfile
        One for all pairs; one for each, of shape (n_pre, n_post); or a profile of distance, which
        needs `distances` or positions, and is cut off below 0.
    self_connections : bool
        Whether a neuron may connect to itself.
    box, anisotropy : number, array or Quantity, optional
        As in `pairwise_distances`, with positions.
    max_edges : int, optional
        The room for edges where their number has to be known, as under ``jax.jit``. The result's
        `number` says how many there are; those for which there is no room are left out.

    Raises
    ------
    ValueError
        If a probability is above 1: the error names the largest, and its pair. Of a traced one
        nothing is drawn, and `number` is -1.

    Notes
    -----
    Edges are in the order of their targets, and sources increase in each. Numerics: probabilities
    hold to 2^-64. One for all pairs takes time and memory of the order of the edges and targets. A
    profile is evaluated for each pair; eagerly, with positions, for those alone within its
    `max_distance`, if it has one.

    Examples
    --------
    >>> import jax, brainunit as u, numpy as np, braininit as init
    >>> edges = init.pairwise_bernoulli(jax.random.key(0), (1000, 500), 0.1)
    >>> 49_000 < edges.count < 51_000
    True
    >>> at = np.linspace(0.0, 1.0, 300) * u.mm
    >>> near = init.PairwiseBernoulli(init.ExponentialProfile(50 * u.um), box=1 * u.mm)
    >>> edges = near(jax.random.key(0), 300, pre_positions=at, post_positions=at)
    >>> bool(edges.distances(at, box=1 * u.mm).mean() < 0.06 * u.mm)
    True
    """
    its = drawing(sizes, only, dtype, None)
    selfs = options.flag("self_connections", self_connections)
    room = None if max_edges is None else options.whole("max_edges", max_edges, 0)
    where = _Where(distances, pre_positions, post_positions, box, anisotropy)
    if (chance := _constant("probability", probability, roles.fraction, where)) is not None:
        return _by_counts(its, key, room, _some_of_each, chance, selfs)
    each = _each_pair("probability", probability, its, where, most=1.0)
    if room is None and isinstance(probability, DistanceProfile) and where.distances is None:
        places = where.pre, where.post, where.box, where.anisotropy
        if (near := pairs_within_reach(probability, *places)) is not None:
            return _by_near_pairs(its, key, probability, where, near, each, selfs)
    return _by_pairs(its, key, room, each, selfs)


_PROBABILITY = {"probability": functools.partial(_check, roles.fraction)}


class PairwiseBernoulli(ConnectionRule, function=pairwise_bernoulli, checks=_PROBABILITY):
    """Each pair with a probability; the twin of `pairwise_bernoulli`."""

    probability: Chance
    self_connections: bool = static(default=True)
    box: NumberLike | None = None
    anisotropy: NumberLike | None = None


def pairwise_poisson(
    key: Key,
    sizes: Sizes,
    mean: Chance,
    self_connections: bool = True,
    box: NumberLike | None = None,
    anisotropy: NumberLike | None = None,
    *,
    only: tuple[int, int] | None = None,
    max_edges: int | None = None,
    dtype: DType | None = None,
    distances: QuantityLike | None = None,
    pre_positions: QuantityLike | None = None,
    post_positions: QuantityLike | None = None,
) -> Edges:
    """Connect each pair by a Poisson number of edges, independently of all others.

    Parameters
    ----------
    mean : float, array or DistanceProfile
        The mean number of edges of a pair, 0 or more, given as `probability` is in
        `pairwise_bernoulli`; one for each pair can't be traced.
    self_connections, box, anisotropy, max_edges
        As in `pairwise_bernoulli`.

    Notes
    -----
    Numerics: the number of edges of each target is drawn, then a source for each. Where means
    differ, the largest is drawn for all pairs, and an edge kept with its own part of it.

    Examples
    --------
    >>> import jax, braininit as init
    >>> edges = init.pairwise_poisson(jax.random.key(0), (100, 50), 2.0)
    >>> 9_500 < edges.count < 10_500
    True
    """
    its = drawing(sizes, only, dtype, None)
    selfs = options.flag("self_connections", self_connections)
    room = None if max_edges is None else options.whole("max_edges", max_edges, 0)
    where = _Where(distances, pre_positions, post_positions, box, anisotropy)
    if (rate := _constant("mean", mean, roles.amount, where)) is not None:
        return _by_counts(its, key, room, _any_of_each, rate, selfs)
    each = _each_pair("mean", mean, its, where, math.inf)
    return _thinned(its, key, room, each, selfs)


_MEAN = {"mean": functools.partial(_check, roles.amount)}


class PairwisePoisson(ConnectionRule, function=pairwise_poisson, checks=_MEAN):
    """Each pair by a Poisson number of edges; the twin of `pairwise_poisson`."""

    mean: Chance
    self_connections: bool = static(default=True)
    box: NumberLike | None = None
    anisotropy: NumberLike | None = None


# ---------------------------------------------------------------- one number for all pairs


def _by_counts(
    its: Drawing, key: Any, room: int | None, kernel: Kernel, number: float, selfs: bool
) -> Edges:
    """Edges target by target, of as many as each has."""
    start, stop = its.part(its.sizes[1])
    key, n = threefry_key(key), its.sizes[0]
    if not n or start == stop:
        return _kept(its, np.zeros(0), np.zeros(0), room)
    program = _rows_program(kernel, stop - start, n, number, selfs)
    sources, counts = program(key, np.uint32(start))
    if room is None:
        _refuse_traced(counts)
        held = np.arange(sources.shape[1]) < np.asarray(counts)[:, None]
        post = np.repeat(np.arange(start, stop), np.asarray(counts))
        return _kept(its, np.asarray(sources)[held], post, None)
    ends = jnp.cumsum(counts)
    place = lax.broadcasted_iota(jnp.int32, sources.shape, 1)
    at = jnp.where(place < counts[:, None], (ends - counts)[:, None] + place, room)
    target = start + lax.broadcasted_iota(jnp.uint32, sources.shape, 0)
    return _placed_in(its, room, at, sources, target, ends[-1])


@functools.lru_cache(maxsize=256)
def _rows_program(kernel: Kernel, *given: Any) -> Callable[..., Any]:
    return jax.jit(lambda key, start: kernel(key, start, *given))


def _some_of_each(
    key: Any, start: Any, rows: int, n: int, chance: float, selfs: bool
) -> tuple[jax.Array, jax.Array]:
    """The sources of each target, as many as its number says; each source once."""
    few = min(chance, 1 - chance)  # otherwise those that are left out are drawn
    row = start + jnp.arange(rows, dtype=jnp.uint32)
    number, partner = jax.random.split(key)
    there, own = _partners(row, n, selfs)
    counts = _counts("binomial", few, number, row, n, selfs)
    width = min(most("binomial", (n, few)), n)
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


def _any_of_each(
    key: Any, start: Any, rows: int, n: int, rate: float, selfs: bool
) -> tuple[jax.Array, jax.Array]:
    """The sources of each target, as many as its number says."""
    row = start + jnp.arange(rows, dtype=jnp.uint32)
    number, partner = jax.random.split(key)
    there, own = _partners(row, n, selfs)
    counts = _counts("poisson", rate, number, row, n, selfs)
    shape = (rows, most("poisson", (rate * n,)))
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
        return counted(law, (n, number) if law == "binomial" else (n * number,), random)

    return of(n) if selfs else jnp.where(row < np.uint32(n), of(n - 1), of(n))


# ---------------------------------------------------------------- a number for each pair


class _Where(NamedTuple):
    """Where neurons are."""

    distances: Any
    pre: Any
    post: Any
    box: Any
    anisotropy: Any

    def lengths(self, start: Any, rows: int) -> Any:
        """The distances to some targets, of shape (n_pre, rows)."""
        if self.distances is not None:
            bare, unit = units.unwrap("distances", self.distances)
            return units.on(lax.dynamic_slice_in_dim(jnp.asarray(bare), start, rows, 1), unit)
        bare, unit = units.unwrap("post_positions", self.post)
        targets = units.on(lax.dynamic_slice_in_dim(jnp.asarray(bare), start, rows), unit)
        return pairwise_distances(self.pre, targets, box=self.box, anisotropy=self.anisotropy)


Each: TypeAlias = Callable[[Any, int], Any]
"""``(start, rows) -> numbers`` of the pairs with some targets, of shape (n_pre, rows)."""


def _constant(name: str, value: Any, role: roles.Role, where: _Where) -> float | None:
    """The one number of all pairs, if there is one that is known."""
    if isinstance(value, DistanceProfile):
        return None
    bare = units.dimensionless(name, value)
    if isinstance(bare, Tracer) or np.ndim(bare):
        return None
    if any(given is not None for given in where):
        raise ValueError(f"`{name}` is one number, which depends on no distance; leave those out")
    return float(role.check(name, float(np.asarray(bare))))


def _each_pair(name: str, value: Any, its: Drawing, where: _Where, most: float) -> Each:
    """The numbers of pairs, as they are known: checked where they can be read."""
    n_pre, n_post = its.sizes
    if not isinstance(value, DistanceProfile):
        bare = jnp.broadcast_to(jnp.asarray(_shaped(name, value, its.sizes)), its.sizes)

        def given(start: Any, rows: int) -> jax.Array:
            block = lax.dynamic_slice_in_dim(bare, start, rows, 1)
            return _checked(name, block, start, most, negative=False)

        return given
    if where.distances is None and (where.pre is None or where.post is None):
        raise ValueError(
            f"`{name}` depends on distance: call with distances=..., or with pre_positions=... "
            "and post_positions=..."
        )
    both = {"distances": where.distances, "pre_positions": where.pre, "post_positions": where.post}
    sizes = {"distances": its.sizes, "pre_positions": (n_pre,), "post_positions": (n_post,)}
    for of, positions in both.items():
        shape = None if positions is None else np.shape(units.parts(positions)[0])
        if shape is not None and shape[: len(sizes[of])] != sizes[of]:
            raise ValueError(f"`{of}` must be those of {sizes[of]} neurons, got the shape {shape}")

    def measured(start: Any, rows: int) -> jax.Array:
        factor = value.weight_scaling(where.lengths(start, rows))
        block = jnp.broadcast_to(units.dimensionless(name, factor), (n_pre, rows))
        return _checked(name, block, start, most, negative=True)

    return measured


def _shaped(name: str, value: Any, sizes: tuple[int, int]) -> Any:
    bare = units.dimensionless(name, value)
    if np.shape(bare) not in ((), sizes):
        raise ValueError(
            f"`{name}` must be one number, or one for each pair, of the shape {sizes}; got the "
            f"shape {np.shape(bare)}"
        )
    return bare


def _checked(name: str, block: Any, start: Any, most: float, negative: bool) -> Any:
    """Numbers of pairs, cut off below 0 where that is meant; traced ones that are bad are NaN."""
    least = -math.inf if negative else 0.0
    if isinstance(block, Tracer):
        good = (block >= least) & (block <= most) & (block < math.inf)
        return jnp.where(good, jnp.maximum(block, 0), jnp.nan)
    numbers = np.asarray(block)
    bad = ~((numbers >= least) & (numbers <= most) & (numbers < math.inf))
    if bad.any():
        worst = np.unravel_index(np.argmax(np.where(bad, abs(numbers), -1)), numbers.shape)
        pair = (int(worst[0]), int(worst[1]) + int(start))
        text = "from 0 to 1" if most == 1 else "0 or more and finite"
        raise ValueError(
            f"`{name}` must be {text}, got {numbers[worst]:.6g} from neuron {pair[0]} to "
            f"{pair[1]}; scale it, or clip it if that is meant"
        )
    return jnp.maximum(block, 0)


def _by_pairs(its: Drawing, key: Any, room: int | None, each: Each, selfs: bool) -> Edges:
    """A trial for each pair, some targets at a time."""
    n_pre, n_post = its.sizes
    start, stop = its.part(n_post)
    key = threefry_key(key)
    if room is None:
        found = []
        for first, rows in _blocks(start, stop, n_pre):
            chance = each(first, rows)
            _refuse_traced(chance)
            post, pre = np.nonzero(np.asarray(_trials(key, np.uint32(first), chance, selfs)).T)
            found.append((pre, post + first))
        pre, post = (np.concatenate([*arrays, np.zeros(0)]) for arrays in zip(*found, strict=True))
        return _kept(its, pre, post, None)

    def target(carry: tuple[Any, ...], row: Any) -> tuple[tuple[Any, ...], None]:
        pre, post, number, good = carry
        chance = each(row.astype(jnp.int32), 1)
        hit = _trials(key, row, chance, selfs)[:, 0]
        at = jnp.where(hit, number + jnp.cumsum(hit) - 1, room)
        source = jnp.arange(n_pre, dtype=its.dtype)
        pre = pre.at[at].set(source, mode="drop")
        post = post.at[at].set(row.astype(its.dtype), mode="drop")
        return (pre, post, number + jnp.sum(hit), good & ~jnp.any(jnp.isnan(chance))), None

    empty = tuple(jnp.full(room, n, its.dtype) for n in its.sizes)
    first = (*empty, jnp.int32(0), jnp.ones((), bool))
    rows = jnp.arange(start, stop, dtype=jnp.uint32)
    (pre, post, number, good), _ = lax.scan(target, first, rows)
    pre, post = (jnp.where(good, x, e) for x, e in zip((pre, post), empty, strict=True))
    return Edges(pre, post, its.sizes, jnp.where(good, number, -1))


def _by_near_pairs(
    its: Drawing,
    key: Any,
    profile: DistanceProfile,
    where: _Where,
    near: Near,
    each: Each,
    selfs: bool,
) -> Edges:
    """The edges that `_by_pairs` draws, where others have no chance."""
    start, stop = its.part(its.sizes[1])
    key, found = threefry_key(key), []
    for first, rows in _blocks(start, stop, math.ceil(near.each)):
        pre, post = near.of(first, rows)
        count = max(2 ** (len(pre) - 1).bit_length(), 1024)  # few sizes are few programs
        sources, targets = (np.pad(x, (0, count - len(x))) for x in (pre, post))
        lengths = between(
            where.pre, where.post, sources, targets, its.sizes, where.box, where.anisotropy
        )
        chance = units.dimensionless("probability", profile.weight_scaling(lengths))
        if not (np.asarray(chance) <= 1).all():
            each(first, rows)  # which says of what pair
        hit = _trials_of(key, sources, targets, jnp.maximum(chance, 0), selfs)[: len(pre)]
        pre, post = pre[hit], post[hit]
        order = np.lexsort((pre, post))
        found.append((pre[order], post[order]))
    pre, post = (np.concatenate([*arrays, np.zeros(0)]) for arrays in zip(*found, strict=True))
    return _kept(its, pre, post, None)


@functools.partial(jax.jit, static_argnums=4)
def _trials_of(key: Any, source: Any, target: Any, chance: Any, selfs: bool) -> jax.Array:
    """Whether some pairs are connected: what `_trials` says of them."""
    hit = happens(chance, words(key, target, source))
    return hit if selfs else hit & (source != target)


def _blocks(start: int, stop: int, each: int) -> Iterator[tuple[int, int]]:
    """Targets in blocks of some million pairs, of which a target has so many."""
    rows = max(2**22 // max(each, 1), 1)
    for first in range(start, stop, rows):
        yield first, min(rows, stop - first)


@functools.partial(jax.jit, static_argnums=3)
def _trials(key: Any, start: Any, chance: Any, selfs: bool) -> jax.Array:
    """Whether pairs are connected, of shape (n_pre, rows)."""
    source, row = (lax.broadcasted_iota(jnp.uint32, chance.shape, axis) for axis in (0, 1))
    hit = happens(chance, words(key, start + row, source))
    return hit if selfs else hit & (source != start + row)


def _thinned(its: Drawing, key: Any, room: int | None, each: Each, selfs: bool) -> Edges:
    """The edges of the largest mean for all pairs, each kept with its pair's part of that."""
    n_pre, n_post = its.sizes
    start, stop = its.part(n_post)
    blocks = []
    for first, rows in _blocks(start, stop, n_pre):
        block = each(first, rows)
        _refuse_traced(block)
        blocks.append(float(jnp.max(block, initial=0)))
    if not (largest := max(blocks, default=0.0)):
        return _kept(its, np.zeros(0), np.zeros(0), room)
    choice, other = jax.random.split(threefry_key(key))
    every = _by_counts(its, other, None, _any_of_each, largest, selfs)
    random = words(choice, np.uint32(0), jnp.arange(every.count, dtype=jnp.uint32))
    found = []
    for first, rows in _blocks(start, stop, n_pre):
        low, high = np.searchsorted(np.asarray(every.post), (first, first + rows))
        pre, post = (np.asarray(x)[low:high] for x in (every.pre, every.post))
        part = np.asarray(each(first, rows))[pre, post - first] / largest
        keep = np.asarray(happens(part, (random[0][low:high], random[1][low:high])))
        found.append((pre[keep], post[keep]))
    pre, post = (np.concatenate([*arrays, np.zeros(0)]) for arrays in zip(*found, strict=True))
    return _kept(its, pre, post, room)


# ---------------------------------------------------------------- what was drawn


def _refuse_traced(x: Any) -> None:
    if isinstance(x, Tracer):
        raise TypeError(
            "the number of edges is not known while JAX traces; give max_edges= and constants, or "
            "draw outside of the jit"
        )


def _kept(its: Drawing, pre: Any, post: Any, room: int | None) -> Edges:
    """Edges that are known."""
    if len(pre) > 2**31 - 1:
        raise ValueError(f"{len(pre)} edges are more than int32 counts; draw some, by only=")
    pre, post = (jnp.asarray(np.asarray(x, its.dtype)) for x in (pre, post))
    if room is None:
        return Edges(pre, post, its.sizes)
    return _placed_in(its, room, jnp.arange(len(pre)), pre, post, jnp.int32(len(pre)))


def _placed_in(its: Drawing, room: int, at: Any, pre: Any, post: Any, number: Any) -> Edges:
    """Edges in an array that has room for so many."""
    pre, post = (
        jnp.full(room, n, its.dtype).at[at].set(x.astype(its.dtype), mode="drop")
        for n, x in zip(its.sizes, (pre, post), strict=True)
    )
    return Edges(pre, post, its.sizes, number)
