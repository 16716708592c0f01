"""Rules: exact numbers, every set of pairs equally likely, the same edges everywhere."""

from __future__ import annotations

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import braininit as init


def fresh():
    return jax.random.key(5)


P = PartitionSpec
RULES = {
    "one to one": (init.OneToOne(), (6, 9)),
    "all to all": (init.AllToAll(), (5, 4)),
    "all to others": (init.AllToAll(self_connections=False), (5, 4)),
    "in-degree": (init.FixedInDegree(5), (7, 16)),
    "sources once": (init.FixedInDegree(3, multiple=False), (7, 16)),
    "most sources, once": (init.FixedInDegree(5, False, multiple=False), (7, 16)),
    "out-degree": (init.FixedOutDegree(4, False), (16, 5)),
    "targets once": (init.FixedOutDegree(2, False, multiple=False), (16, 5)),
    "number": (init.FixedTotalNumber(32), (9, 4)),
    "number of others": (init.FixedTotalNumber(32, False), (4, 9)),
    "pairs once": (init.FixedTotalNumber(16, multiple=False), (9, 4)),
    "most pairs, once": (init.FixedTotalNumber(24, False, multiple=False), (9, 4)),
    "ring": (init.SmallWorld(4, 0.3), 16),
    "ring of any": (init.SmallWorld(4, 0.3, True, True), 16),
}
each_rule = pytest.mark.parametrize("name", RULES)


def pairs(edges):
    return list(zip(edges.pre.tolist(), edges.post.tolist(), strict=True))


@each_rule
def test_what_a_rule_promises(name):
    rule, sizes = RULES[name]
    edges = rule(fresh(), sizes)
    n_pre, n_post = edges.sizes
    assert edges.pre.dtype == edges.post.dtype == jnp.int32
    assert int(edges.pre.min()) >= 0
    assert int(edges.pre.max()) < n_pre
    assert int(edges.post.max()) < n_post
    if not getattr(rule, "self_connections", True):
        assert not (edges.pre == edges.post).any()
    if not getattr(rule, "multiple", True):
        assert len(set(pairs(edges))) == edges.count
    if isinstance(rule, init.FixedInDegree):
        assert (edges.in_degree == rule.degree).all()
    if isinstance(rule, init.FixedOutDegree):
        assert (edges.out_degree == rule.degree).all()
    if isinstance(rule, init.FixedTotalNumber):
        assert edges.count == rule.number


def test_rules_that_draw_nothing():
    assert pairs(init.OneToOne()((6, 3))) == [(i, i) for i in range(3)]
    every = init.AllToAll()((3, 2))
    assert pairs(every) == [(i, j) for j in range(2) for i in range(3)]
    others = init.AllToAll(self_connections=False)((2, 4))
    assert pairs(others) == [(i, j) for j in range(4) for i in range(2) if i != j]


def test_no_neurons():
    once = {"self_connections": False, "multiple": False}
    for rule in (init.FixedInDegree(2, **once), init.FixedOutDegree(2, **once), init.OneToOne(),
                 init.FixedTotalNumber(0, **once), init.SmallWorld(2, 0.5)):  # fmt: skip
        assert rule(fresh(), 0).count == 0
    assert init.AllToAll(False)((0, 3)).count == 0
    with pytest.raises(ValueError, match="more than the 0 neurons"):
        init.FixedInDegree(2, **once)(fresh(), (0, 3))


@each_rule
def test_parts_alone_are_as_among_all(name):
    rule, sizes = RULES[name]
    edges = rule(fresh(), sizes)
    if isinstance(rule, init.FixedTotalNumber):
        rows, start, stop = None, 3, 11
        expected = pairs(edges)[start:stop]
    else:
        rows = edges.pre if isinstance(rule, init.FixedOutDegree) else edges.post
        start, stop = 2, 4
        expected = [e for e, row in zip(pairs(edges), rows.tolist(), strict=True) if 2 <= row < 4]
    assert pairs(rule(fresh(), sizes, only=(start, stop))) == expected


@each_rule
def test_the_same_edges_eagerly_compiled_and_mapped(name):
    rule, sizes = RULES[name]
    edges, compiled = rule(fresh(), sizes), jax.jit(lambda k: rule(k, sizes))(fresh())
    assert pairs(edges) == pairs(compiled)
    mapped = jax.vmap(lambda k: rule(k, sizes))(jax.random.split(fresh()))
    np.testing.assert_array_equal(mapped.pre[1], rule(jax.random.split(fresh())[1], sizes).pre)
    small = rule(fresh(), sizes, dtype="uint16")
    assert small.pre.dtype == jnp.uint16
    np.testing.assert_array_equal(small.post, edges.post)


@each_rule
def test_the_same_edges_on_devices_that_do_not_talk(name):
    rule, sizes = RULES[name]
    edges = rule(fresh(), sizes)
    devices = next(n for n in (8, 4, 2, 3) if edges.count % n == 0)
    kind = AxisType.Explicit if "once" in name else AxisType.Auto
    mesh = jax.make_mesh((devices,), ("x",), axis_types=(kind,), devices=jax.devices()[:devices])
    place = NamedSharding(mesh, P("x"))
    shared = rule(fresh(), sizes, out_sharding=place)
    assert pairs(shared) == pairs(edges)
    assert shared.pre.sharding.is_equivalent_to(place, 1)
    if kind is AxisType.Auto and name != "all to others":
        drawn = jax.jit(lambda k: rule(k, sizes, out_sharding=place))
        text = drawn.lower(fresh()).compile().as_text()
        assert "all-" not in text
        assert "collective" not in text


@each_rule
def test_rules_are_exported_for_other_platforms(name):
    rule, sizes = RULES[name]
    draw = jax.jit(lambda key: rule(jax.random.wrap_key_data(key), sizes))
    words = jax.ShapeDtypeStruct((2,), jnp.uint32)
    jax.export.export(draw, platforms=["cuda", "rocm", "tpu"])(words)


SUBSETS = {
    "sources": (init.FixedInDegree(2, multiple=False), (5, 2), 10**2),
    "most sources": (init.FixedInDegree(3, multiple=False), (5, 2), 10**2),
    "other sources": (init.FixedInDegree(2, False, multiple=False), (5, 3), 6**3),
    "most other sources": (init.FixedInDegree(3, False, multiple=False), (5, 2), 4**2),
    "sources of outer targets": (init.FixedInDegree(2, False, multiple=False), (3, 4), 3),
    "targets": (init.FixedOutDegree(2, False, multiple=False), (3, 4), 3**3),
    "pairs": (init.FixedTotalNumber(3, multiple=False), (3, 3), 84),
    "most pairs": (init.FixedTotalNumber(7, multiple=False), (3, 3), 36),
    "other pairs": (init.FixedTotalNumber(2, False, multiple=False), (3, 4), 36),
    "most other pairs": (init.FixedTotalNumber(7, False, multiple=False), (4, 3), 36),
}


@pytest.mark.parametrize("name", SUBSETS)
def test_every_set_of_pairs_is_equally_likely(name):
    rule, sizes, sets = SUBSETS[name]
    assert p_of_sets(lambda key: rule(key, sizes), sizes, sets) > 1e-6


def test_sets_that_are_not_equally_likely_are_found():
    def biased(key):
        first, second = jax.random.randint(key, (2,), 0, 5)
        second = jnp.where(second == first, (second + 1) % 5, second)
        return init.Edges(jnp.stack([first, second]), jnp.zeros(2, jnp.int32), (5, 1))

    assert p_of_sets(biased, (5, 1), 10) < 1e-6


def p_of_sets(draw, sizes, sets):
    """The p-value of chi-square for sets of pairs."""
    edges = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 20_000))
    flat = np.sort(np.asarray(edges.pre) * sizes[1] + np.asarray(edges.post), axis=1)
    seen = collections.Counter(map(tuple, flat.tolist()))
    assert len(seen) <= sets
    counts = np.zeros(sets)
    counts[: len(seen)] = list(seen.values())
    return scipy.stats.chisquare(counts).pvalue


def test_independent_sources_are_uniform():
    for rule, options in ((init.FixedInDegree(20_000), 5), (init.FixedInDegree(20_000, False), 4)):
        edges = rule(fresh(), (5, 6))
        for target in range(6):
            counts = np.bincount(edges.pre[edges.post == target], minlength=5)
            free = counts[counts > 0] if target < 5 else counts
            assert len(free) == (options if target < 5 else 5)
            assert scipy.stats.chisquare(free).pvalue > 1e-6


def test_pairs_of_a_number_are_uniform():
    for sizes, selfs in itertools.product([(5, 4), (4, 5)], [True, False]):
        edges = init.fixed_total_number(fresh(), sizes, 100_000, selfs)
        counts = np.zeros(sizes)
        np.add.at(counts, (np.asarray(edges.pre), np.asarray(edges.post)), 1)
        assert selfs or not np.diag(counts).any()
        assert scipy.stats.chisquare(counts[counts > 0]).pvalue > 1e-6


def test_a_ring():
    ring = init.small_world(fresh(), 8, 4, 0.0)
    steps = (np.asarray(ring.pre) - np.asarray(ring.post)) % 8
    assert sorted(steps.tolist()) == sorted([1, 2, 6, 7] * 8)
    some = init.small_world(fresh(), 4000, 10, 0.25)
    steps = (np.asarray(some.pre) - np.asarray(some.post)) % 4000
    far = np.sum((steps > 5) & (steps < 3995))
    assert scipy.stats.binomtest(int(far), 40_000, 0.25 * (1 - 10 / 4000)).pvalue > 1e-6
    assert (some.in_degree == 10).all()


def test_other_keys_than_threefry():
    def drawn(**only):
        rbg = jax.random.key(3, impl="rbg")
        return init.fixed_in_degree(rbg, (50, 20), 10, multiple=False, **only)

    edges, part = drawn(), drawn(only=(5, 7))
    assert pairs(part) == pairs(edges)[50:70]
    legacy = jax.random.PRNGKey(0)
    assert pairs(init.FixedInDegree(3)(legacy, 9)) == pairs(init.FixedInDegree(3)(9, rng=0))


def test_rules_are_values():
    rule = init.FixedInDegree(100, self_connections=False)
    assert init.get(init.to_config(rule)) == rule
    assert init.get("FixedInDegree(100, self_connections=False)") == rule
    assert init.get("one_to_one") == init.OneToOne()
    assert repr(rule) == "FixedInDegree(degree=100, self_connections=False, multiple=True)"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda k: init.FixedInDegree(6, multiple=False)(k, (5, 2)), "`degree` = 6 is more than"),
        (lambda k: init.FixedInDegree(5, False, multiple=False)(k, (5, 2)), "4 neurons"),
        (lambda k: init.FixedInDegree(1, False)(k, (1, 2)), "none of which is the neuron itself"),
        (lambda k: init.FixedOutDegree(3, multiple=False)(k, (5, 2)), "`degree` = 3"),
        (lambda k: init.FixedInDegree(-1)(k, 5), "`degree` must be 0 or more"),
        (lambda k: init.FixedTotalNumber(10, multiple=False)(k, 3), "more than the 9 pairs"),
        (lambda k: init.FixedTotalNumber(1)(k, (0, 3)), "more than the 0 pairs"),
        (lambda k: init.FixedTotalNumber(2**31)(k, 10**5), "more than int32 counts"),
        (lambda k: init.FixedInDegree(1)(k, 70_000, dtype="uint16"), "don.t fit uint16"),
        (lambda k: init.FixedInDegree(1)(k, 5, only=(3, 9)), "`only` = \\(3, 9\\)"),
        (lambda k: init.FixedInDegree(1)(k, 5, only=5), "`only` must be \\(start, stop\\), got 5"),
        (lambda k: init.FixedInDegree(1)(k, (1, 2, 3)), "`sizes` must be \\(n_pre, n_post\\)"),
        (lambda k: init.SmallWorld(3, 0.1)(k, 9), "`degree` = 3 must be even"),
        (lambda k: init.SmallWorld(2, 1.5)(k, 9), "`rewired` must be from 0 to 1"),
        (lambda k: init.SmallWorld(2, 0.5)(k, (9, 8)), "one population"),
    ],
)
def test_what_can_not_be_drawn(call, text):
    with pytest.raises(ValueError, match=text):
        call(fresh())


def test_calls_that_do_not_fit():
    with pytest.raises(TypeError, match="`key` must be a JAX key"):
        init.fixed_in_degree(0, 5, 2)
    with pytest.raises(TypeError, match="a key and sizes"):
        init.FixedInDegree(2)(fresh())
    with pytest.raises(TypeError, match="`dtype` must be an integer dtype"):
        init.FixedInDegree(2)(fresh(), 5, dtype="float32")
    with pytest.raises(TypeError, match="`dtype` must be an integer dtype, got 'foo'"):
        init.FixedInDegree(2)(fresh(), 5, dtype="foo")
    with pytest.raises(TypeError, match="`degree` must be an int"):
        init.FixedInDegree(2.5)(fresh(), 5)


def test_a_rule_is_built_checked_and_held_against_its_function():
    with pytest.raises(ValueError, match="`degree` must be 0 or more"):
        init.FixedInDegree(-1)
    with pytest.raises(ValueError, match="`rewired` must be from 0 to 1"):
        init.SmallWorld(2, 1.5)

    def one(key, sizes, degree=1, *, only=None, dtype=None):
        return init.fixed_in_degree(key, sizes, degree, only=only, dtype=dtype)

    with pytest.raises(TypeError, match="drift apart"):

        class _Two(init.ConnectionRule, function=one):
            degree: int = 2
