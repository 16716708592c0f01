"""Rules that connect each pair of neurons independently: Bernoulli and Poisson."""

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
from braininit.circuits.rule import ConnectionRule, Drawing, Sizes, prepare
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
    """Check the numbers of pairs; a profile is checked when it is called."""
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
        From 0 to 1: one number for all pairs, or one for each, of shape (n_pre, n_post); or a
        profile of distance, which needs `distances` or positions, and is cut off below 0.
    self_connections : bool
        Whether a neuron may connect to itself.
    box, anisotropy : number, array or Quantity, optional
        As in `pairwise_distances`, with positions.
    max_edges : int, optional
        The capacity of the result where it must be known, as under ``jax.jit``. The result's
        `number` is the number of edges drawn; edges beyond the capacity are left out.

    Raises
    ------
    ValueError
        If a probability is above 1; the error names the largest, and its pair. If it is traced,
        no edges are drawn, and `number` is -1.

    Notes
    -----
    Edges are in the order of their targets; the sources of each target increase. Numerics:
    probabilities hold to 2^-64. Time and memory are of the order of the edges and targets if all
    pairs have one probability, or if it falls with distance: eagerly, with positions, only pairs
    above 2^-12 are looked at. With an array, `distances`, or a profile under ``jax.jit``, every
    pair is looked at; also with a traced number, which draws other edges from the same key.

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
    drawing = prepare(sizes, only, dtype, None)
    where = Where(distances, pre_positions, post_positions, box, anisotropy)
    return _drawn(
        _BERNOULLI, roles.fraction, key, drawing, probability, where, self_connections, max_edges
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
        The mean number of edges of a pair, 0 or more: in the forms of `probability` in
        `pairwise_bernoulli`.
    self_connections, box, anisotropy, max_edges
        As in `pairwise_bernoulli`.

    Notes
    -----
    Numerics: with one mean for all pairs, the number of edges of each target is drawn, then a
    source for each edge. With different means, the edges of a pair are the arrivals of a Poisson
    process, exact to float32's digits of the mean; pairs are looked at as in `pairwise_bernoulli`.

    Examples
    --------
    >>> import jax, braininit as init
    >>> edges = init.pairwise_poisson(jax.random.key(0), (100, 50), 2.0)
    >>> 9_500 < edges.count < 10_500
    True
    """
    drawing = prepare(sizes, only, dtype, None)
    where = Where(distances, pre_positions, post_positions, box, anisotropy)
    return _drawn(_POISSON, roles.amount, key, drawing, mean, where, self_connections, max_edges)


_POISSON = PairLaw("mean", math.inf, any_of_each, arrives, arrivals)
_MEAN = {"mean": functools.partial(_check, roles.amount)}


class PairwisePoisson(ConnectionRule, function=pairwise_poisson, checks=_MEAN):
    """Each pair by a Poisson number of edges; the twin of `pairwise_poisson`."""

    mean: Chance
    self_connections: bool = static(default=True)
    box: NumberLike | None = None
    anisotropy: NumberLike | None = None


# ---------------------------------------------------------------- shared by both


def law_of(rule: PairwiseBernoulli | PairwisePoisson) -> tuple[PairLaw, Any]:
    """The law of the pairs of a rule, and their number or numbers."""
    law = _BERNOULLI if isinstance(rule, PairwiseBernoulli) else _POISSON
    return law, getattr(rule, law.name)


class Where(NamedTuple):
    """The distances or positions that a call gives, and the space of the rule."""

    distances: Any
    pre: Any
    post: Any
    box: Any
    anisotropy: Any

    def check(self, name: str, sizes: tuple[int, ...]) -> None:
        """Raise a ValueError if distances or positions are missing, or of other sizes."""
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
        for parameter, (value, counts) in given.items():
            shape = None if value is None else np.shape(units.parts(value)[0])
            if shape is not None and shape[: len(counts)] != counts:
                raise ValueError(
                    f"`{parameter}` must be those of {counts} neurons, got the shape {shape}"
                )

    def lengths(self, name: str, sizes: tuple[int, ...]) -> Lengths:
        """The checked distances, as `Lengths`."""
        self.check(name, sizes)
        if self.distances is not None:
            return Matrix(self.distances)
        return Places(self.pre, self.post, self.box, self.anisotropy)


def refuse_shape(law: PairLaw, numbers: Any, sizes: tuple[int, ...]) -> None:
    """Raise a ValueError if `numbers` is neither one number nor one for each pair."""
    if np.shape(numbers) not in ((), sizes):
        raise ValueError(
            f"`{law.name}` must be one number, or one for each pair, of the shape {sizes}; "
            f"got the shape {np.shape(numbers)}"
        )


def _drawn(
    law: PairLaw,
    role: roles.Role,
    key: Any,
    drawing: Drawing,
    value: Any,
    where: Where,
    self_connections: bool,
    max_edges: int | None,
) -> Edges:
    loops = options.flag("self_connections", self_connections)
    capacity = None if max_edges is None else options.whole("max_edges", max_edges, 0)
    if isinstance(value, DistanceProfile):
        numbers = ByDistance(law.name, value, where.lengths(law.name, drawing.sizes))
        return varied(drawing, key, capacity, law, numbers, loops)
    bare = units.dimensionless(law.name, value)
    if isinstance(bare, Tracer) or np.ndim(bare):
        refuse_shape(law, bare, drawing.sizes)
        return varied(drawing, key, capacity, law, Table(bare, drawing.sizes), loops)
    if any(option is not None for option in where):
        raise ValueError(
            f"`{law.name}` is one number, which depends on no distance; leave those out"
        )
    number = float(role.check(law.name, float(np.asarray(bare))))
    return alike(drawing, key, capacity, law.alike, number, loops)
