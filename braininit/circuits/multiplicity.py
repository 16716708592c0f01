"""How many edges a pair has by a rule: the law of a pair that is picked at random."""

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
"""Numbers of edges that are told apart."""


def edges_of_a_pair(rule: ConnectionRule, sizes: tuple[int, ...] | None) -> list[tuple[int, Any]]:
    """The probabilities of 0, 1, 2, ... edges; arrays where the rule has a number for each pair.

    Raises
    ------
    SizeNeeded
        If they depend on sizes that are not given.
    LookupError
        If there is no such law: of a rule that depends on distance.
    """
    groups = list(_groups(rule, sizes))
    most = max(np.max(law.mean()) for _, law in groups)
    shares: list[tuple[int, Any]] = [(0, 1 - sum(share for share, _ in groups))]
    for n in range(_MOST):
        its = sum(share * law.pmf(n) for share, law in groups)
        if n > most and np.max(its) < 1e-300:
            return shares
        shares.append((n, its))
    raise LookupError(f"Connected, with more than {_MOST} edges between some pairs")


def _groups(rule: Any, sizes: Any) -> Iterator[tuple[Any, Any]]:
    """Shares of all pairs, and how many edges a pair of them has; the rest have none."""
    stats = scipy.stats
    if isinstance(rule, PairwiseBernoulli | PairwisePoisson):
        bernoulli = isinstance(rule, PairwiseBernoulli)
        each = rule.probability if bernoulli else rule.mean
        if isinstance(each, DistanceProfile):
            raise LookupError("Connected by distance")
        each = np.asarray(each, float)
        if each.ndim and sizes is not None and each.shape != sizes:
            raise ValueError(f"`size` = {sizes} does not go with numbers of the shape {each.shape}")
        share: Any = 1.0
        if not rule.self_connections:
            n_pre, n_post = _known(sizes)
            share = 1 - min(n_pre, n_post) / (n_pre * n_post)
            share = 1 - np.eye(n_pre, n_post) if each.ndim else share
        yield share, stats.bernoulli(each) if bernoulli else stats.poisson(each)
        return
    n_pre, n_post = _known(sizes)
    pairs, itself = n_pre * n_post, min(n_pre, n_post)
    if not getattr(rule, "multiple", False):
        count = jax.eval_shape(lambda: rule(jax.random.key(0), (n_pre, n_post))).pre.size
        yield 1.0, stats.bernoulli(count / pairs)
        return
    selfs = rule.self_connections  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(rule, FixedTotalNumber):
        open_ = pairs if selfs else pairs - itself
        yield open_ / pairs, stats.binom(rule.number, 1 / open_)
    elif isinstance(rule, FixedInDegree | FixedOutDegree):
        mine, others = (n_post, n_pre) if isinstance(rule, FixedInDegree) else (n_pre, n_post)
        without = 0 if selfs else itself  # of my neurons those that are among the others
        if without and others > 1:
            yield without * (others - 1) / pairs, stats.binom(rule.degree, 1 / (others - 1))
        yield (mine - without) * others / pairs, stats.binom(rule.degree, 1 / others)
    else:
        raise LookupError(f"Connected by {type(rule).__name__}")


def _known(sizes: Any) -> tuple[int, int]:
    if sizes is None:
        raise SizeNeeded
    n_pre, n_post = sizes
    return n_pre, n_post
