"""The number of edges between a pair picked at random: its distribution under a rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import scipy

from braininit._params.shapes import SizeNeeded
from braininit.circuits.pairwise import PairwiseBernoulli, PairwisePoisson
from braininit.circuits.rule import ConnectionRule
from braininit.circuits.rules import FixedInDegree, FixedOutDegree, FixedTotalNumber
from braininit.spatial.profile import DistanceProfile

__all__ = ["edges_of_a_pair"]

_MOST = 1000
"""The largest number of edges between a pair."""


def edges_of_a_pair(rule: ConnectionRule, sizes: tuple[int, ...] | None) -> list[tuple[int, Any]]:
    """The probabilities of 0, 1, 2, ... edges; arrays if the rule has a number for each pair.

    Raises
    ------
    SizeNeeded
        If the probabilities depend on sizes that are not given.
    LookupError
        If they are not known, as of a rule that depends on distance.
    """
    groups = list(_groups(rule, sizes))
    most = max(np.max(law.mean()) for _, law in groups)
    shares: list[tuple[int, Any]] = [(0, 1 - sum(share for share, _ in groups))]
    for n in range(_MOST):
        probability = sum(share * law.pmf(n) for share, law in groups)
        if n > most and np.max(probability) < 1e-300:
            return shares
        shares.append((n, probability))
    raise LookupError(f"Connected, with more than {_MOST} edges between some pairs")


def _groups(rule: Any, sizes: Any) -> Iterator[tuple[Any, Any]]:
    """Groups of pairs: their share of all pairs, and the law of their edges. Others have none."""
    stats = scipy.stats
    if isinstance(rule, PairwiseBernoulli | PairwisePoisson):
        bernoulli = isinstance(rule, PairwiseBernoulli)
        numbers = rule.probability if bernoulli else rule.mean
        if isinstance(numbers, DistanceProfile):
            raise LookupError("Connected by distance")
        numbers = np.asarray(numbers, float)
        if numbers.ndim and sizes is not None and numbers.shape != sizes:
            raise ValueError(
                f"`size` = {sizes} does not go with numbers of the shape {numbers.shape}"
            )
        share: Any = 1.0
        if not rule.self_connections:
            n_pre, n_post = _known(sizes)
            share = 1 - min(n_pre, n_post) / (n_pre * n_post)
            share = 1 - np.eye(n_pre, n_post) if numbers.ndim else share
        yield share, stats.bernoulli(numbers) if bernoulli else stats.poisson(numbers)
        return
    n_pre, n_post = _known(sizes)
    pairs, itself = n_pre * n_post, min(n_pre, n_post)
    if not getattr(rule, "multiple", False):
        count = jax.eval_shape(lambda: rule(jax.random.key(0), (n_pre, n_post))).pre.size
        yield 1.0, stats.bernoulli(count / pairs)
        return
    loops = rule.self_connections  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(rule, FixedTotalNumber):
        allowed = pairs if loops else pairs - itself
        yield allowed / pairs, stats.binom(rule.number, 1 / allowed)
    elif isinstance(rule, FixedInDegree | FixedOutDegree):
        rows, partners = (n_post, n_pre) if isinstance(rule, FixedInDegree) else (n_pre, n_post)
        without = 0 if loops else itself  # rows that may not choose the neuron itself
        if without and partners > 1:
            share = without * (partners - 1) / pairs
            yield share, stats.binom(rule.degree, 1 / (partners - 1))
        yield (rows - without) * partners / pairs, stats.binom(rule.degree, 1 / partners)
    else:
        raise LookupError(f"Connected by {type(rule).__name__}")


def _known(sizes: Any) -> tuple[int, int]:
    if sizes is None:
        raise SizeNeeded
    n_pre, n_post = sizes
    return n_pre, n_post
