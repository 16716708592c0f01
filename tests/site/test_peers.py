"""What the site calls the same elsewhere draws the same, wherever the peer is installed."""

from __future__ import annotations

import importlib.util
import itertools
import warnings

import jax
import numpy as np
import pytest
from _site import connections, peers
from _site.peers import COMPARED, PEERS, edges, evaluated
from _site.table import RULES, TABLE, Same

import braininit as init

ALL = TABLE | RULES
ROWS = [
    pytest.param(name, peer, id=f"{name} {peer}") for name, row in ALL.items() for peer in row.same
]


@pytest.mark.parametrize(("name", "peer"), ROWS)
def test_the_same_elsewhere(name, peer):
    if importlib.util.find_spec(PEERS[peer].package) is None:
        pytest.skip(f"{peer} is not installed")
    row, same = ALL[name], ALL[name].same[peer]
    they = connections if name in RULES else peers
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):  # as the peers like it
        warnings.simplefilter("ignore")
        there = they.theirs(peer, same, row)
    compare, _ = COMPARED[same.how]
    assert compare(they.ours(same, row), there), f"{same.here} is not {same.there}"


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
        ("law", np.full(10, 0.0), np.arange(10.0)),
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
    used = {same.how for row in ALL.values() for same in row.same.values()}
    assert used == set(COMPARED)


def _drawn_edges(here):
    how = "edges by distance" if "Profile" in here else "edges"
    return connections.ours(Same("", here, how))


def test_no_two_rules_draw_the_same_edges():
    drawn = {row.here: _drawn_edges(row.here) for row in RULES.values()}
    alike = [pair for pair in itertools.combinations(drawn, 2) if edges(*map(drawn.get, pair))]
    assert alike == []
    ring = drawn["init.SmallWorld(10, 0.2)"]
    assert not edges(ring, ring.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("here", "other"),
    [
        ("init.PairwiseBernoulli(0.2)", "init.PairwiseBernoulli(0.23)"),
        ("init.PairwisePoisson(0.2)", "init.PairwisePoisson(0.23)"),
        ("init.SmallWorld(10, 0.2)", "init.SmallWorld(10, 0.3)"),
        ("init.FixedTotalNumber(500)", "init.FixedTotalNumber(501)"),
        (
            "init.PairwiseBernoulli(init.ExponentialProfile(100 * u.um))",
            "init.PairwiseBernoulli(init.GaussianProfile(80 * u.um))",
        ),
    ],
)
def test_edges_of_another_parameter_are_found(here, other):
    assert not edges(_drawn_edges(here), _drawn_edges(other))


def test_every_rule_has_a_row():
    rules = {type(evaluated(row.here)).__name__ for row in RULES.values()}
    every = (getattr(init, name) for name in init.__all__)
    assert rules == {
        c.__name__ for c in every if isinstance(c, type) and issubclass(c, init.ConnectionRule)
    } - {"ConnectionRule"}
