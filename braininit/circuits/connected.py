"""Dense matrices of weights with zeros where neurons are not connected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.source import Source
from braininit._jax.dtypes import wide
from braininit._jax.settings import eager
from braininit._math.tables import Law, offsets, smallest
from braininit._params import roles, units
from braininit._params.types import DType, InitializerLike, Key, Shape, Sharding, Values
from braininit.circuits.multiplicity import edges_of_a_pair
from braininit.circuits.pairwise import (
    PairwiseBernoulli,
    PairwisePoisson,
    Where,
    law_of,
    refuse_shape,
)
from braininit.circuits.rule import ConnectionRule, prepare
from braininit.circuits.varied import ByDistance, good, refuse_bad
from braininit.circuits.words import arrivals, happens, threefry_key, words
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import as_result, composite, draws
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw
from braininit.spatial.distances import pairwise_distances
from braininit.spatial.profile import DistanceProfile

__all__ = ["Connected", "connected"]


@explain_call_errors
def connected(
    key: Key,
    shape: Shape,
    weights: InitializerLike,
    rule: ConnectionRule | float,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw a matrix of weights, with zeros where neurons are not connected.

    Rows are presynaptic. The weight of a pair counts once for each of its edges.

    Parameters
    ----------
    weights : initializer
        The weights of all pairs.
    rule : ConnectionRule or float
        The rule that draws the edges; a number is the probability of each pair, as in
        `PairwiseBernoulli`.

    Notes
    -----
    A rule that depends on distance needs `distances`, or `pre_positions` and `post_positions`. A
    probability above 1 by distance is an error; if traced, the entry is NaN. Numerics: with a
    probability each entry is drawn by itself; other rules draw all edges. `theory` has the law of
    an entry picked at random.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> excitatory = init.LogNormal(0.5 * u.nS, 0.3 * u.nS)
    >>> w = init.connected(jax.random.key(0), (80, 20), excitatory, init.FixedInDegree(8))
    >>> w.shape, w.unit
    ((80, 20), Unit("nS"))
    >>> balanced = init.Dale(init.Connected(excitatory, 0.1), excitatory=0.8)
    >>> share = (balanced((800, 200), rng=0) != 0 * u.nS).mean()
    >>> bool(abs(share - 0.1) < 0.01)
    True
    """
    return draw(_connected(weights, rule), key, shape, dtype, out_sharding, context)


def _connected(weights: Any, rule: Any) -> Recipe:
    weights_recipe = as_child("weights", weights)._recipe
    if not isinstance(rule, ConnectionRule):
        if np.ndim(units.parts(rule)[0]):
            raise TypeError(
                f"`rule` must be a rule or one probability, got {units.brief(rule)}; write "
                "PairwiseBernoulli(...) for one of each pair"
            )
        rule = PairwiseBernoulli(roles.number("rule", roles.fraction(rule)).value)
    pairwise = isinstance(rule, PairwiseBernoulli | PairwisePoisson)
    dynamic = pairwise and not isinstance(getattr(rule, "mean", None), float)  # may be traced
    parts = {"weights": weights_recipe, "rule": rule if dynamic else None}
    by_distance = pairwise and isinstance(law_of(rule)[1], DistanceProfile)
    return composite(
        _masked, weights_recipe.unit, parts, static=(None if dynamic else rule,),
        elementwise=pairwise, by_rows=True, sized=_checked if by_distance else None,
        refuses=by_distance, dtypes="whole",
    )  # fmt: skip


class Connected(Initialization, function=connected, recipe=_connected):
    """Weights with zeros where neurons are not connected; the twin of `connected`."""

    weights: InitializerLike
    rule: ConnectionRule | float

    def _entries(self, size: tuple[int, ...] | None) -> list[tuple[Any, Any]]:
        """The mixture of an entry picked at random, for `theory`: weights and initializers."""
        weights, rule = as_child("weights", self.weights), self.rule
        if not isinstance(rule, ConnectionRule):
            rule = PairwiseBernoulli(rule)
        shares = edges_of_a_pair(rule, size)
        return [(share, weights if n == 1 else weights * n) for n, share in shares]


def _checked(recipe: Recipe, shape: Any, dtype: Any, context: Mapping[str, Any]) -> Recipe:
    """Raise a ValueError for invalid numbers by distance, if they are concrete."""
    rule = recipe.values[1]
    if eager() and len(shape) == 2:
        law, profile = law_of(rule)
        numbers = ByDistance(law.name, profile, _where(rule, context).lengths(law.name, shape))
        if not numbers.traced:
            refuse_bad(prepare(shape, None, None, None), law, numbers)
    return recipe


def _where(rule: Any, context: Mapping[str, Any]) -> Where:
    given = (context.get(name) for name in ("distances", "pre_positions", "post_positions"))
    return Where(*given, box=rule.box, anisotropy=rule.anisotropy)


def _masked(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    fixed: ConnectionRule | None,
    weights: Recipe,
    rule: PairwiseBernoulli | PairwisePoisson | None,
) -> Any:
    if len(source.shape) != 2:
        raise ValueError(
            f"a size of {source.shape} is no matrix of connections; give (n_pre, n_post)"
        )
    first, second = source.split()
    (x,) = draws(first, wide(dtype), context, (weights,))
    bare, unit = units.parts(x)
    count = _edges_of(second, context, rule or fixed).astype(bare.dtype)
    return as_result(jnp.where(count == 0, 0, jnp.asarray(bare) * count), unit, dtype)


def _edges_of(source: Source, context: Mapping[str, Any], rule: Any) -> jax.Array:
    """The number of edges of each pair; NaN where its number is invalid."""
    key, start = threefry_key(source.key), np.uint32(0)
    if source.rows is not None:
        start = source.rows.start[1]
    pre, post = (lax.broadcasted_iota(jnp.uint32, source.shape, axis) for axis in (0, 1))
    if isinstance(rule, PairwisePoisson) and isinstance(rule.mean, float):
        law = Law("poisson", (rule.mean,))
        count = offsets(law, words(key, post, start + pre)) + smallest(law)
    elif isinstance(rule, PairwiseBernoulli | PairwisePoisson):
        numbers = _numbers_of(rule, source, context)
        if isinstance(rule, PairwiseBernoulli):
            count = happens(numbers, words(key, post, start + pre))
        else:
            count = arrivals(numbers, key, post, start + pre)
        count = jnp.where(jnp.isnan(numbers), jnp.nan, count)
    else:
        edges = rule(key, source.whole)
        at = jnp.where(edges.pre < start, source.whole[0], edges.pre - start)
        return jnp.zeros(source.shape, jnp.int32).at[at, edges.post].add(1, mode="drop")
    return count if rule.self_connections else jnp.where(start + pre == post, 0, count)


def _numbers_of(rule: Any, source: Source, context: Mapping[str, Any]) -> Any:
    """The probability or mean of each pair; NaN where it is invalid."""
    law, numbers = law_of(rule)
    if isinstance(numbers, DistanceProfile):
        where = _where(rule, context)
        where.check(law.name, source.shape)
        lengths = where.distances
        if lengths is None:
            space: Any = {"box": where.box, "anisotropy": where.anisotropy}
            lengths = pairwise_distances(where.pre, where.post, **space)
        numbers = jnp.maximum(units.dimensionless(law.name, numbers.weight_scaling(lengths)), 0)
        numbers = jnp.broadcast_to(jnp.asarray(numbers, dtype=float), source.shape)
    else:
        refuse_shape(law, numbers, source.whole)
        numbers = jnp.broadcast_to(jnp.asarray(numbers, dtype=float), source.whole)
        if source.rows is not None:
            start, height = source.rows.start[1], source.shape[0]
            numbers = lax.dynamic_slice_in_dim(numbers, start, height)
    return jnp.where(good(law, 0.0, numbers), numbers, jnp.nan)
