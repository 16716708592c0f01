"""What the gallery calls the same elsewhere draws the same, wherever the peer is installed."""

from __future__ import annotations

import importlib.util
import warnings

import jax
import numpy as np
import pytest
from _site.peers import COMPARED, PEERS, ours, theirs
from _site.table import TABLE

ROWS = [
    pytest.param(name, peer, id=f"{name} {peer}")
    for name, row in TABLE.items()
    for peer in row.same
]


@pytest.mark.parametrize(("name", "peer"), ROWS)
def test_the_same_elsewhere(name, peer):
    if importlib.util.find_spec(PEERS[peer].package) is None:
        pytest.skip(f"{peer} is not installed")
    row, same = TABLE[name], TABLE[name].same[peer]
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):  # as the peers like it
        warnings.simplefilter("ignore")
        there = theirs(peer, same, row)
    compare, _ = COMPARED[same.how]
    assert compare(ours(same, row), there), f"{same.here} is not {same.there}"


def _drawn(scale=1.0, loc=0.0):
    return scale * np.random.default_rng(0).standard_normal(100_000) + loc


def _orthogonal(scale=1.0):
    return scale * np.linalg.qr(_drawn()[:100].reshape(10, 10))[0]


def _sparse(n):
    x = _drawn()[:10_000].reshape(100, 100)
    x[:n] = 0
    return x


@pytest.mark.parametrize(
    ("how", "a", "b"),
    [
        ("bits", _drawn(), np.nextafter(_drawn(), 9)),
        ("values", _drawn(), _drawn(1 + 1e-4)),
        ("equal", np.eye(3), np.eye(3) * 1.001),
        ("law", _drawn(), -_drawn(1.02)),
        ("law", _drawn(), -_drawn(loc=0.03)),
        ("law", _drawn(), -_drawn().clip(-2, 2)),
        ("law", np.full(10, 0.5), np.full(10, 0.51)),
        ("angle", _drawn(0.5), _drawn(0.5, 0.02)),
        ("orthogonal", _orthogonal(), _orthogonal(1.001)),
        ("zeros in each column", _sparse(30), _sparse(31)),
        ("radius", _orthogonal(), _orthogonal(1.01)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_comparison_finds_what_differs(how, a, b):
    compare, _ = COMPARED[how]
    assert compare(a, a.copy())
    assert not compare(a, b)


def test_every_comparison_is_tried():
    used = {same.how for row in TABLE.values() for same in row.same.values()}
    assert used == set(COMPARED)
