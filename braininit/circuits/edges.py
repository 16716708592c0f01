"""Edges between neurons, and their conversions to matrices and to other packages."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._params import units
from braininit._params.types import NumberLike, QuantityLike, Values
from braininit.spatial.distances import between

__all__ = ["COO", "CSR", "Edges"]


class COO(NamedTuple):
    """A sparse matrix as a list of entries; rows are presynaptic. Entries of one pair add up."""

    data: Any
    row: Any
    col: Any
    shape: tuple[int, int]


class CSR(NamedTuple):
    """A sparse matrix by rows, which are presynaptic: row i starts at ``indptr[i]``."""

    data: Any
    indices: Any
    indptr: Any
    shape: tuple[int, int]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["pre", "post", "number"],
    meta_fields=["sizes"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Edges:
    """Edges between neurons: edge e goes from ``pre[e]`` to ``post[e]``.

    A PyTree, whose leaves are the indices.

    Parameters
    ----------
    pre, post : array of int
        The indices of the neurons.
    sizes : tuple of int
        The numbers of neurons, ``(n_pre, n_post)``.
    number : int or array of int, optional
        The number of edges drawn, where the arrays have a fixed capacity, as with `max_edges`.
        Unused entries have the indices ``sizes``, which are of no neuron. A number above `count`
        means that the capacity was too small. None: all entries are edges.

    Examples
    --------
    >>> import brainunit as u, jax, braininit as init
    >>> edges = init.FixedInDegree(2)(jax.random.key(0), (5, 3))
    >>> edges.count, edges.post, edges.in_degree
    (6, Array([0, 0, 1, 1, 2, 2], dtype=int32), Array([2, 2, 2], dtype=int32))
    >>> weights = init.Constant(0.5 * u.nS)(edges.count)
    >>> print(edges.dense(weights).sum(0))
    [1. 1. 1.] nS
    """

    pre: Any
    post: Any
    sizes: tuple[int, int]
    number: Any = None

    @property
    def count(self) -> int:
        """The number of edges, with unused entries."""
        return self.pre.shape[-1]

    @property
    def in_degree(self) -> jax.Array:
        """The number of edges to each target."""
        return _counts(self.post, self.sizes[1])

    @property
    def out_degree(self) -> jax.Array:
        """The number of edges from each source."""
        return _counts(self.pre, self.sizes[0])

    def distances(
        self,
        pre_positions: QuantityLike,
        post_positions: QuantityLike | None = None,
        *,
        box: NumberLike | None = None,
        anisotropy: NumberLike | None = None,
    ) -> Values:
        """Return the length of each edge; the parameters are those of `pairwise_distances`."""
        ends = self.pre, self.post
        return between(pre_positions, post_positions, *ends, self.sizes, box, anisotropy)

    def concatenate(self, *others: Edges) -> Edges:
        """Return these edges and those of other draws between the same populations."""
        draws = [edges._drawn() for edges in (self, *others)]
        for edges in draws:
            if edges.sizes != self.sizes:
                raise ValueError(
                    f"edges between {edges.sizes} neurons don't go with those between {self.sizes}"
                )
        pre, post = (jnp.concatenate([getattr(x, n) for x in draws]) for n in ("pre", "post"))
        return Edges(pre, post, self.sizes)

    # ------------------------------------------------------------ conversions

    def coo(self, weights: Any) -> COO:
        """Return the entries of the matrix of weights, in the order of the edges."""
        return COO(self._one_each(weights), self.pre, self.post, self.sizes)

    def csr(self, weights: Any) -> CSR:
        """Return the matrix of weights by rows; the targets of each row increase."""
        bare, unit = units.parts(self._one_each(weights))
        order = jnp.lexsort((self.post, self.pre))
        per_row = _counts(self.pre, self.sizes[0])
        indptr = jnp.concatenate([jnp.zeros(1, per_row.dtype), jnp.cumsum(per_row)])
        return CSR(units.on(jnp.asarray(bare)[order], unit), self.post[order], indptr, self.sizes)

    def dense(self, weights: Any) -> Values:
        """Return the matrix of weights, 0 without an edge; the weights of one pair add up."""
        bare, unit = units.parts(self._one_each(weights))
        bare = jnp.asarray(bare)
        empty = jnp.zeros(self.sizes, bare.dtype)
        at = empty.at[jnp.asarray(self.pre, jnp.int32), jnp.asarray(self.post, jnp.int32)]
        return units.on(at.add(bare, mode="drop"), unit)

    def scipy(self, weights: Any) -> Any:
        """Return the weights as a ``scipy.sparse.csr_array``, without their unit."""
        import scipy.sparse

        data, indices, indptr, shape = self._known(weights)
        arrays = tuple(np.array(x) for x in (units.parts(data)[0], indices, indptr))  # writable
        return scipy.sparse.csr_array(arrays, shape=shape)

    def bcoo(self, weights: Any) -> Any:
        """Return the weights as a ``jax.experimental.sparse.BCOO``, without their unit."""
        from jax.experimental import sparse

        data, row, column, shape = self.coo(weights)
        at = jnp.stack([jnp.asarray(x, jnp.int32) for x in (row, column)], -1)
        return sparse.BCOO((units.parts(data)[0], at), shape=shape)

    def bcsr(self, weights: Any) -> Any:
        """Return the weights as a ``jax.experimental.sparse.BCSR``, without their unit."""
        from jax.experimental import sparse

        data, indices, indptr, shape = self.csr(weights)
        indices = jnp.asarray(indices, jnp.int32)
        return sparse.BCSR((units.parts(data)[0], indices, indptr), shape=shape)

    def brainevent(self, weights: Any) -> Any:
        """Return the weights as a ``brainevent.CSR``, in their unit."""
        import brainevent  # pyright: ignore[reportMissingImports] - optional

        data, indices, indptr, shape = self._known(weights)
        return brainevent.CSR((data, jnp.asarray(indices, jnp.int32), indptr), shape=shape)

    def braintools(self, weights: Any = None, delays: Any = None) -> Any:
        """Return a ``braintools.conn.ConnectionResult``, with weights and delays."""
        from braintools.conn import ConnectionResult  # pyright: ignore[reportMissingImports]

        edges = self._drawn()
        given = {"weights": weights, "delays": delays}
        given = {n: self._one_each(v, n)[: edges.count] for n, v in given.items() if v is not None}
        pre, post = (np.asarray(x) for x in (edges.pre, edges.post))
        return ConnectionResult(pre, post, *edges.sizes, **given)

    def _drawn(self) -> Edges:
        """The edges without unused entries."""
        if self.number is None:
            return self
        if isinstance(self.number, Tracer):
            raise TypeError("`number` of the edges is traced; use them where it is known")
        if (n := int(self.number)) > self.count:
            raise ValueError(f"{n} edges were drawn, and `max_edges` allows {self.count}")
        if n < 0:
            raise ValueError("no edges were drawn, as a traced probability was not from 0 to 1")
        return Edges(self.pre[:n], self.post[:n], self.sizes)

    def _known(self, weights: Any) -> CSR:
        """The matrix by rows, without unused entries."""
        edges = self._drawn()
        return edges.csr(self._one_each(weights)[: edges.count])

    def _one_each(self, values: Any, name: str = "weights") -> Any:
        """Check values, and broadcast them to one for each edge."""
        bare, unit = units.unwrap(name, values)
        if np.shape(bare) not in ((), (self.count,)):
            raise ValueError(
                f"`{name}` must be one number, or one for each of {self.count} edges, "
                f"got {np.shape(bare)}"
            )
        return units.on(jnp.broadcast_to(jnp.asarray(bare), (self.count,)), unit)


def _counts(index: Any, size: int) -> jax.Array:
    """The number of times that each index occurs, without those of no neuron."""
    return jnp.zeros(size, jnp.int32).at[jnp.asarray(index, jnp.int32)].add(1, mode="drop")
