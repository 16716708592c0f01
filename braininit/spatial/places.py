"""Where two populations are: the distances of some of their pairs, and which pairs are near."""

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
"""Pairs of a block: fewer cost no less, more take memory."""


class Matrix:
    """The distances of all pairs, as they are given."""

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
        """All pairs have to be looked at."""
        del profile, level, start, stop


class Places:
    """The positions of neurons, in one unit.

    A distance has the same bits whichever others are computed beside it.
    """

    def __init__(self, pre: Any, post: Any, box: Any, anisotropy: Any) -> None:
        """Take what `pairwise_distances` takes."""
        (pre, post, *how), self._unit = geometry_of(pre, post, box, anisotropy)
        pre, post = (undivided(jnp.asarray(x)) for x in (pre, post))
        self._geometry, (self._box, self._divisor) = (pre, post, *how), how
        kind = jnp.result_type(pre, post)
        self._scale = extent(jnp.asarray(pre, kind), jnp.asarray(post, kind), self._divisor)
        self.sizes = (pre.shape[0], post.shape[0])
        self.traced = not eager() or any(isinstance(x, Tracer) for x in self._geometry)
        if self.traced:  # XLA would compute with constants at once, to other last bits
            kept = lax.optimization_barrier((self._geometry, self._scale))
            self._geometry, self._scale = kept

    def to_targets(self, start: Any, rows: int) -> Values:
        """Distances to some targets, of shape (n_pre, rows)."""
        pre, post, *how = self._geometry
        block = lax.dynamic_slice_in_dim(post, start, rows)
        return units.on(matrix_of_lengths(pre, block, *how, self._scale), self._unit)

    def between(self, sources: Any, targets: Any) -> Values:
        """Distances of some pairs, by index."""
        return units.on(edgewise(*self._geometry, sources, targets, self._scale), self._unit)

    def near(
        self, profile: DistanceProfile, level: float, start: int, stop: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]] | None:
        """Blocks of sources and targets that hold all pairs for which a profile is above `level`.

        None where it is not known that there are others. Targets, of which some may be asked for,
        are halved along their longest axis until a block holds few pairs; each half keeps the
        sources near it.
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
        # Distances are rounded, to digits of the differences between coordinates.
        span = np.ptp(np.concatenate([sources, targets]), axis=0).max()
        sources, targets = _in_box(sources, period), _in_box(targets, period)
        far += 32 * float(jnp.finfo(jnp.result_type(*rounded, np.float16)).eps) * (far + span)
        return _blocks(sources, targets, period, far, np.arange(start, stop))


def _blocks(
    sources: np.ndarray, targets: np.ndarray, period: np.ndarray, far: float, some: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    stack = [(np.arange(len(sources)), some)]
    while stack:
        pre, post = stack.pop()
        if len(pre) * len(post) <= _FEW or len(post) == 1:
            if pre.size and post.size:
                yield pre, post
            continue
        at = targets[post]
        order = np.argpartition(at[:, np.ptp(at, axis=0).argmax()], len(post) // 2)
        halves = np.split(post[order], [len(post) // 2])
        parts = [(pre[_close(sources[pre], targets[half], period, far)], half) for half in halves]
        shrinks = sum(len(p) for p, _ in parts) < 1.8 * len(pre)
        if shrinks or len(pre) * len(post) > _MANY:
            stack += parts
        else:
            yield pre, post


def _close(x: np.ndarray, around: np.ndarray, period: np.ndarray, far: float) -> np.ndarray:
    """Which points are within a distance of the box around others."""
    low, high = around.min(axis=0), around.max(axis=0)
    off = np.abs(x - (low + high) / 2)
    beyond = np.maximum(np.minimum(off, period - off) - (high - low) / 2, 0)
    return np.einsum("ia,ia->i", beyond, beyond) <= far * far


def _in_box(x: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Coordinates in [0, period]; those along an open axis as they are."""
    closed = np.isfinite(period)
    return np.where(closed, np.mod(x, np.where(closed, period, 1.0)), x)


Lengths: TypeAlias = Matrix | Places
