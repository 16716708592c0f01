"""Rules by which each pair of neurons is connected by itself: Bernoulli and Poisson."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jax.core import Tracer

from braininit._params import options, roles, units
from braininit._params.types import DType, Key, NumberLike, QuantityLike
from braininit._params.values import static
from braininit.circuits.alike import alike, any_of_each, some_of_each
from braininit.circuits.edges import Edges
from braininit.circuits.rule import ConnectionRule, Drawing, Sizes, drawing
from braininit.circuits.varied import ByDistance, PairLaw, Table, varied
from braininit.circuits.words import arrivals, arrives, happens, words
from braininit.spatial.places import Lengths, Matrix, Places
from braininit.spatial.profile import DistanceProfile

__all__ = [
    "PairwiseBernoulli",
    "PairwisePoisson",
    "Where",
    "law_of",
    "pairwise_bernoulli",
    "pairwise_poisson",
    "refuse_shape",
]

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
    hold to 2^-64. Time and memory are of the order of the edges and targets where all pairs have
    one, or where it falls with distance: eagerly, with positions, only pairs with more than 2^-12
    are looked at. An array, distances, and a profile under ``jax.jit`` are looked at pair by pair;
    so is one number that is traced, which has other edges from the same key than a known one.

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
    where = Where(distances, pre_positions, post_positions, box, anisotropy)
    return _drawn(
        _BERNOULLI, roles.fraction, key, its, probability, where, self_connections, max_edges
    )


def _trial(chance: Any, key: Any, target: Any, source: Any) -> Any:
    return happens(chance, words(key, target, source))


_BERNOULLI = PairLaw("probability", 1.0, some_of_each, _trial, None)
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
        `pairwise_bernoulli`.
    self_connections, box, anisotropy, max_edges
        As in `pairwise_bernoulli`.

    Notes
    -----
    Numerics: with one mean for all, the number of edges of each target is drawn, then a source for
    each. Where means differ, edges of a pair are the arrivals of a process, right to float32's
    digits of the mean; pairs are looked at as in `pairwise_bernoulli`.

    Examples
    --------
    >>> import jax, braininit as init
    >>> edges = init.pairwise_poisson(jax.random.key(0), (100, 50), 2.0)
    >>> 9_500 < edges.count < 10_500
    True
    """
    its = drawing(sizes, only, dtype, None)
    where = Where(distances, pre_positions, post_positions, box, anisotropy)
    return _drawn(_POISSON, roles.amount, key, its, mean, where, self_connections, max_edges)


_POISSON = PairLaw("mean", math.inf, any_of_each, arrives, arrivals)
_MEAN = {"mean": functools.partial(_check, roles.amount)}


class PairwisePoisson(ConnectionRule, function=pairwise_poisson, checks=_MEAN):
    """Each pair by a Poisson number of edges; the twin of `pairwise_poisson`."""

    mean: Chance
    self_connections: bool = static(default=True)
    box: NumberLike | None = None
    anisotropy: NumberLike | None = None


# ---------------------------------------------------------------- what both do


def law_of(rule: PairwiseBernoulli | PairwisePoisson) -> tuple[PairLaw, Any]:
    """How the pairs of a rule are decided on, and their number or numbers."""
    law = _BERNOULLI if isinstance(rule, PairwiseBernoulli) else _POISSON
    return law, getattr(rule, law.name)


class Where(NamedTuple):
    """Where neurons are."""

    distances: Any
    pre: Any
    post: Any
    box: Any
    anisotropy: Any

    def check(self, name: str, sizes: tuple[int, ...]) -> None:
        """Refuse what says nothing of some neurons."""
        if self.distances is None and (self.pre is None or self.post is None):
            raise ValueError(
                f"`{name}` depends on distance: call with distances=..., or with "
                "pre_positions=... and post_positions=..."
            )
        given = {
            "distances": (self.distances, sizes),
            "pre_positions": (self.pre, sizes[:1]),
            "post_positions": (self.post, sizes[1:]),
        }
        for of, (value, its) in given.items():
            shape = None if value is None else np.shape(units.parts(value)[0])
            if shape is not None and shape[: len(its)] != its:
                raise ValueError(f"`{of}` must be those of {its} neurons, got the shape {shape}")

    def lengths(self, name: str, sizes: tuple[int, ...]) -> Lengths:
        """What knows the distances, checked."""
        self.check(name, sizes)
        if self.distances is not None:
            return Matrix(self.distances)
        return Places(self.pre, self.post, self.box, self.anisotropy)


def refuse_shape(law: PairLaw, numbers: Any, sizes: tuple[int, ...]) -> None:
    """Refuse numbers that are neither one nor those of all pairs."""
    if np.shape(numbers) not in ((), sizes):
        raise ValueError(
            f"`{law.name}` must be one number, or one for each pair, of the shape {sizes}; "
            f"got the shape {np.shape(numbers)}"
        )


def _drawn(
    law: PairLaw,
    role: roles.Role,
    key: Any,
    its: Drawing,
    value: Any,
    where: Where,
    self_connections: bool,
    max_edges: int | None,
) -> Edges:
    selfs = options.flag("self_connections", self_connections)
    room = None if max_edges is None else options.whole("max_edges", max_edges, 0)
    if isinstance(value, DistanceProfile):
        numbers = ByDistance(law.name, value, where.lengths(law.name, its.sizes))
        return varied(its, key, room, law, numbers, selfs)
    bare = units.dimensionless(law.name, value)
    if isinstance(bare, Tracer) or np.ndim(bare):
        refuse_shape(law, bare, its.sizes)
        return varied(its, key, room, law, Table(bare, its.sizes), selfs)
    if any(given is not None for given in where):
        raise ValueError(
            f"`{law.name}` is one number, which depends on no distance; leave those out"
        )
    number = float(role.check(law.name, float(np.asarray(bare))))
    return alike(its, key, room, law.alike, number, selfs)
