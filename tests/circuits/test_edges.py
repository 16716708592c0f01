"""Edges: degrees, lengths, and the same matrix in every form."""

from __future__ import annotations

import importlib.util

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import braininit as init


@pytest.fixture
def edges(key):
    return init.fixed_in_degree(key, (6, 5), 4)


@pytest.fixture
def weights(edges):
    return np.arange(1.0, edges.count + 1).astype(np.float32) * u.nS


def test_degrees_and_lengths(edges):
    assert edges.in_degree.tolist() == [4] * 5
    assert int(edges.out_degree.sum()) == edges.count == 20
    pre, post = (np.arange(n, dtype=np.float32)[:, None] * [1.0, 2.0] * u.um for n in (6, 5))
    every = init.pairwise_distances(pre, post, box=4 * u.um)
    lengths = edges.distances(pre, post, box=4 * u.um)
    assert u.math.allclose(lengths, every[edges.pre, edges.post])
    with pytest.raises(ValueError, match="`post_positions` must have 5 rows.* got 6"):
        edges.distances(pre, pre)


def test_one_matrix_in_all_forms(edges, weights):
    expected = np.zeros((6, 5), np.float32)
    np.add.at(expected, (np.asarray(edges.pre), np.asarray(edges.post)), weights.mantissa)
    dense = edges.dense(weights)
    assert dense.unit == u.nS
    np.testing.assert_array_equal(dense.mantissa, expected)
    matrix = edges.scipy(weights)
    matrix.sum_duplicates()  # which writes into its arrays
    np.testing.assert_array_equal(matrix.toarray(), expected)
    np.testing.assert_array_equal(edges.bcoo(weights).todense(), expected)
    data, indices, indptr, shape = edges.csr(weights)
    assert shape == (6, 5)
    assert data.unit == u.nS
    for row in range(6):
        targets = np.asarray(indices[indptr[row] : indptr[row + 1]])
        assert (np.diff(targets) >= 0).all()
        np.testing.assert_array_equal(np.bincount(targets, minlength=5) > 0, expected[row] > 0)
    data, row, column, _ = edges.coo(weights)
    assert data.unit == u.nS
    np.testing.assert_array_equal(row, edges.pre)
    np.testing.assert_array_equal(column, edges.post)


def test_bcsr_multiplies(key):
    edges = init.fixed_in_degree(key, (6, 5), 4, multiple=False)  # BCSR takes a pair once
    matrix = edges.bcsr(np.arange(20, dtype=np.float32))
    dense = edges.dense(np.arange(20, dtype=np.float32))
    with jax.numpy_rank_promotion("allow"):  # JAX's own
        np.testing.assert_allclose(matrix @ jnp.ones(5), dense.sum(1))


def test_others_that_take_edges(edges, weights):
    conn = pytest.importorskip("braintools.conn")
    result = edges.braintools(weights, delays=1.5 * u.ms)
    assert isinstance(result, conn.ConnectionResult)
    np.testing.assert_array_equal(result.pre_indices, edges.pre)
    event = pytest.importorskip("brainevent")
    matrix = edges.brainevent(weights)
    assert isinstance(matrix, event.CSR)
    assert u.math.allclose(matrix.todense(), edges.dense(weights))


def test_edges_are_a_tree(edges, key):
    doubled = jax.tree.map(lambda x: x, edges)
    assert doubled.sizes == (6, 5)
    both = edges.concatenate(init.one_to_one(None, (6, 5)))
    assert both.count == 25
    assert both.in_degree.tolist() == [5] * 5
    with pytest.raises(ValueError, match="don't go with"):
        edges.concatenate(init.one_to_one(None, (5, 5)))
    with pytest.raises(ValueError, match="one for each of 20 edges"):
        edges.dense(np.ones(3))


def test_edges_with_room_for_others():
    edges = init.pairwise_bernoulli(jax.random.key(0), (6, 5), 0.5, max_edges=30)
    w = np.arange(1.0, 31.0, dtype=np.float32)
    assert edges.number < edges.count == 30
    dense = edges.dense(w)
    np.testing.assert_array_equal(edges.scipy(w).toarray(), dense)
    np.testing.assert_array_equal(edges.bcoo(w).todense(), dense)
    np.testing.assert_array_equal(edges.bcsr(w).todense(), dense)
    if importlib.util.find_spec("braintools"):
        assert len(edges.braintools(w).pre_indices) == edges.number
    none = jax.jit(lambda k, p: init.pairwise_bernoulli(k, (6, 5), p, max_edges=30))
    with pytest.raises(ValueError, match="a traced probability was not from 0 to 1"):
        none(jax.random.key(0), np.full((6, 5), 2.0, np.float32)).scipy(1.0)
