"""Edges: pairs of neurons that are connected, and the forms in which others take them."""

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
    """A sparse matrix as its entries; rows are presynaptic. Entries of one pair add up."""

    data: Any
    row: Any
    col: Any
    shape: tuple[int, int]


class CSR(NamedTuple):
    """A sparse matrix by rows, which are presynaptic: row i is from ``indptr[i]`` on."""

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
    """Who connects to whom: edge e goes from ``pre[e]`` to ``post[e]``.

    A PyTree, whose leaves are the indices.

    Parameters
    ----------
    pre, post : array of int
        The indices of neurons.
    sizes : tuple of int
        How many neurons there are, ``(n_pre, n_post)``.
    number : int or array of int, optional
        How many edges were drawn, where there is room for others, as under ``jax.jit`` with
        `max_edges`. The indices of the room that is left are those of no neuron, ``sizes``. A
        number above `count` says that the room was too small. None: all of them.

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
        """How many edges there are, with the room that is left."""
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
        every = [of._drawn() for of in (self, *others)]
        for of in every:
            if of.sizes != self.sizes:
                raise ValueError(
                    f"edges between {of.sizes} neurons don't go with those between {self.sizes}"
                )
        pre, post = (jnp.concatenate([getattr(of, n) for of in every]) for n in ("pre", "post"))
        return Edges(pre, post, self.sizes)

    # ------------------------------------------------------------ as others take them

    def coo(self, weights: Any) -> COO:
        """Return the entries of the matrix of weights, in the order of the edges."""
        return COO(self._one_each(weights), self.pre, self.post, self.sizes)

    def csr(self, weights: Any) -> CSR:
        """Return the matrix of weights by rows, in each of which targets increase."""
        bare, unit = units.parts(self._one_each(weights))
        order = jnp.lexsort((self.post, self.pre))
        per_row = _counts(self.pre, self.sizes[0])
        indptr = jnp.concatenate([jnp.zeros(1, per_row.dtype), jnp.cumsum(per_row)])
        return CSR(units.on(jnp.asarray(bare)[order], unit), self.post[order], indptr, self.sizes)

    def dense(self, weights: Any) -> Values:
        """Return the matrix of weights, 0 where there is no edge; those of one pair add up."""
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

        its = self._drawn()
        given = {"weights": weights, "delays": delays}
        given = {n: self._one_each(v, n)[: its.count] for n, v in given.items() if v is not None}
        pre, post = (np.asarray(x) for x in (its.pre, its.post))
        return ConnectionResult(pre, post, its.sizes[0], its.sizes[1], **given)

    def _drawn(self) -> Edges:
        """The edges alone, without room for others."""
        if self.number is None:
            return self
        if isinstance(self.number, Tracer):
            raise TypeError("`number` of the edges is traced; use them where it is known")
        if (n := int(self.number)) > self.count:
            raise ValueError(f"{n} edges were drawn and `max_edges` has room for {self.count}")
        if n < 0:
            raise ValueError("no edges were drawn, as a traced probability was not from 0 to 1")
        return Edges(self.pre[:n], self.post[:n], self.sizes)

    def _known(self, weights: Any) -> CSR:
        """The matrix by rows, without room for other edges."""
        its = self._drawn()
        return its.csr(self._one_each(weights)[: its.count])

    def _one_each(self, values: Any, name: str = "weights") -> Any:
        """Values, one for each edge."""
        bare, unit = units.unwrap(name, values)
        if np.shape(bare) not in ((), (self.count,)):
            raise ValueError(
                f"`{name}` must be one number, or one for each of {self.count} edges, "
                f"got {np.shape(bare)}"
            )
        return units.on(jnp.broadcast_to(jnp.asarray(bare), (self.count,)), unit)


def _counts(index: Any, size: int) -> jax.Array:
    """How often each index occurs; those of no neuron don't count."""
    return jnp.zeros(size, jnp.int32).at[jnp.asarray(index, jnp.int32)].add(1, mode="drop")
