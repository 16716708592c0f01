"""Distances between two populations: of chosen pairs, and which pairs are near."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from braininit._jax.settings import eager
from braininit._jax.shardings import undivided
from braininit._params import units
from braininit._params.types import Values
from braininit.spatial.distances import edgewise, extent, geometry_of, matrix_of_lengths
from braininit.spatial.profile import DistanceProfile
from braininit.spatial.reach import reach

__all__ = ["Lengths", "Matrix", "Places"]

_FEW, _MANY = 2**18, 2**22
"""Pairs of a block: smaller blocks are no faster, larger ones take memory."""


class Matrix:
    """Distances given as a matrix of all pairs."""

    def __init__(self, distances: Any) -> None:
        """Take distances of shape (n_pre, n_post)."""
        bare, self._unit = units.unwrap("distances", distances)
        self._bare = undivided(jnp.asarray(bare))
        self.sizes, self.traced = self._bare.shape, isinstance(self._bare, Tracer)

    def to_targets(self, start: Any, rows: int) -> Values:
        """Distances to some targets, of shape (n_pre, rows)."""
        return units.on(lax.dynamic_slice_in_dim(self._bare, start, rows, 1), self._unit)

    def between(self, sources: Any, targets: Any) -> Values:
        """Distances of some pairs, by index."""
        return units.on(self._bare[sources, targets], self._unit)

    def near(self, profile: DistanceProfile, level: float, start: int, stop: int) -> None:
        """Return None: all pairs have to be looked at."""
        del profile, level, start, stop


class Places:
    """Distances given by the positions of neurons, in one unit.

    A distance has the same bits whatever other distances are computed with it.
    """

    def __init__(self, pre: Any, post: Any, box: Any, anisotropy: Any) -> None:
        """Take the arguments of `pairwise_distances`."""
        (pre, post, box, divisor), self._unit = geometry_of(pre, post, box, anisotropy)
        pre, post = (undivided(jnp.asarray(x)) for x in (pre, post))
        self._geometry, self._box, self._divisor = (pre, post, box, divisor), box, divisor
        dtype = jnp.result_type(pre, post)
        self._scale = extent(jnp.asarray(pre, dtype), jnp.asarray(post, dtype), divisor)
        self.sizes = (pre.shape[0], post.shape[0])
        self.traced = not eager() or any(isinstance(x, Tracer) for x in self._geometry)
        if self.traced:  # XLA would fold constants, with other last bits
            barred = lax.optimization_barrier((self._geometry, self._scale))
            self._geometry, self._scale = barred

    def to_targets(self, start: Any, rows: int) -> Values:
        """Distances to some targets, of shape (n_pre, rows)."""
        pre, post, box, divisor = self._geometry
        block = lax.dynamic_slice_in_dim(post, start, rows)
        return units.on(matrix_of_lengths(pre, block, box, divisor, self._scale), self._unit)

    def between(self, sources: Any, targets: Any) -> Values:
        """Distances of some pairs, by index."""
        return units.on(edgewise(*self._geometry, sources, targets, self._scale), self._unit)

    def near(
        self, profile: DistanceProfile, level: float, start: int, stop: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]] | None:
        """Blocks of sources and targets that contain all pairs with a profile above `level`.

        None if no pairs can be excluded. The targets from `start` to `stop` are halved along their
        longest axis until a block has few pairs; each half keeps the sources near it.
        """
        if self.traced or not profile._fuses():
            return None
        form = profile._form(None, units.on(1.0, self._unit), "weight_scaling")
        far = reach(*form, level)
        if far < 0:
            return iter(())
        rounded = [jnp.asarray(x) for x in self._geometry[:2]]
        sources, targets = (np.asarray(x, float) for x in rounded)
        if not all(x.size and np.isfinite(x).all() for x in (sources, targets, np.array(far))):
            return None
        axes = sources.shape[1]
        divisor = np.ones(axes) if self._divisor is None else np.asarray(self._divisor, float)
        period = np.full(axes, np.inf) if self._box is None else np.asarray(self._box, float)
        sources, targets, period = sources / divisor, targets / divisor, period / divisor
        # Distances have rounding errors relative to the differences of coordinates.
        span = np.ptp(np.concatenate([sources, targets]), axis=0).max()
        sources, targets = _in_box(sources, period), _in_box(targets, period)
        far += 32 * float(jnp.finfo(jnp.result_type(*rounded, np.float16)).eps) * (far + span)
        return _blocks(sources, targets, period, far, np.arange(start, stop))


def _blocks(
    sources: np.ndarray, targets: np.ndarray, period: np.ndarray, far: float, selected: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    stack = [(np.arange(len(sources)), selected)]
    while stack:
        pre, post = stack.pop()
        if len(pre) * len(post) <= _FEW or len(post) == 1:
            if pre.size and post.size:
                yield pre, post
            continue
        x = targets[post]
        order = np.argpartition(x[:, np.ptp(x, axis=0).argmax()], len(post) // 2)
        halves = np.split(post[order], [len(post) // 2])
        parts = [(pre[_close(sources[pre], targets[half], period, far)], half) for half in halves]
        shrinks = sum(len(p) for p, _ in parts) < 1.8 * len(pre)
        if shrinks or len(pre) * len(post) > _MANY:
            stack += parts
        else:
            yield pre, post


def _close(x: np.ndarray, around: np.ndarray, period: np.ndarray, far: float) -> np.ndarray:
    """A mask of the points within a distance of the bounding box of others."""
    low, high = around.min(axis=0), around.max(axis=0)
    offset = np.abs(x - (low + high) / 2)
    beyond = np.maximum(np.minimum(offset, period - offset) - (high - low) / 2, 0)
    return np.einsum("ia,ia->i", beyond, beyond) <= far * far


def _in_box(x: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Map coordinates into [0, period]; along an open axis they are unchanged."""
    closed = np.isfinite(period)
    return np.where(closed, np.mod(x, np.where(closed, period, 1.0)), x)


Lengths: TypeAlias = Matrix | Places
