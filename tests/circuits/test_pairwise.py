"""Pairwise rules: the chance of each pair, the number of all, parts, room under jit."""

from __future__ import annotations

import functools

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import braininit as init
from braininit.circuits.varied import ByDistance
from braininit.spatial.places import Places


def fresh():
    return jax.random.key(5)


TABLE = np.linspace(0, 1, 20).reshape(4, 5).astype(np.float32)


@functools.partial(jax.jit, static_argnums=(0, 1))
def drawn(rule, sizes, keys):
    edges = jax.vmap(lambda key: rule(key, sizes, max_edges=80))(keys)
    counts = jnp.zeros((sizes[0] + 1, sizes[1] + 1), jnp.int32)
    return counts.at[edges.pre, edges.post].add(1)[: sizes[0], : sizes[1]], edges.number


@pytest.mark.parametrize("selfs", [True, False])
@pytest.mark.parametrize("chance", [0.0, 0.3, 0.75, 1.0])
def test_every_pair_has_its_chance(chance, selfs):
    n, keys = 20_000, jax.random.split(jax.random.key(0), 20_000)
    rule = init.PairwiseBernoulli(chance, selfs)
    counts, number = drawn(rule, (4, 5), keys)
    expected = np.full((4, 5), chance)
    if not selfs:
        np.fill_diagonal(expected, 0)
    std = np.sqrt(n * expected * (1 - expected))
    assert (abs(counts - n * expected) <= 5.5 * std).all()  # 20 pairs, 4e-8 each
    free = expected.size if selfs else expected.size - 4
    if 0 < chance < 1:  # the number of all is binomial: neither more nor less than independent
        table = np.bincount(number, minlength=free + 1)
        law = scipy.stats.binom.pmf(np.arange(free + 1), free, chance) * n
        assert p_of(table, law) > 1e-6


@pytest.mark.parametrize("selfs", [True, False])
def test_every_pair_has_its_number(selfs):
    n, keys = 20_000, jax.random.split(jax.random.key(1), 20_000)
    counts, number = drawn(init.PairwisePoisson(0.8, selfs), (4, 5), keys)
    expected = np.full((4, 5), 0.8)
    if not selfs:
        np.fill_diagonal(expected, 0)
    assert (abs(counts - n * expected) <= 5.5 * np.sqrt(n * expected)).all()
    law = scipy.stats.poisson.pmf(np.arange(60), expected.sum()) * n
    assert p_of(np.bincount(number, minlength=60)[:60], law) > 1e-6


def p_of(table, law):
    """The p-value of chi-square, rare numbers together."""
    common = law > 20
    rest = [] if common.all() else [~common]
    seen = [*table[common], *(table[its].sum() for its in rest)]
    meant = np.array([*law[common], *(law[its].sum() for its in rest)])
    return scipy.stats.chisquare(seen, meant * sum(seen) / meant.sum()).pvalue


def test_a_chance_for_each_pair():
    keys = jax.random.split(fresh(), 20_000)
    draw = jax.jit(jax.vmap(lambda k: init.pairwise_bernoulli(k, (4, 5), TABLE, max_edges=20)))
    edges = draw(keys)
    counts = jnp.zeros((5, 6)).at[edges.pre, edges.post].add(1)[:4, :5]
    std = np.sqrt(20_000 * TABLE * (1 - TABLE))
    assert (abs(counts - 20_000 * TABLE) <= 5.5 * std).all()
    one = init.pairwise_bernoulli(jax.random.split(fresh(), 20_000)[7], (4, 5), TABLE)
    np.testing.assert_array_equal(edges.pre[7][: one.count], one.pre)
    np.testing.assert_array_equal(edges.post[7][: one.count], one.post)


MEANS = np.array([0.001, 0.1, 0.5, 2.0, 20.0], np.float32)


def test_a_mean_for_each_pair():
    """And the same edges where means are traced."""
    means = np.repeat(MEANS, 4000).reshape(1000, 20)
    edges = init.pairwise_poisson(fresh(), (1000, 20), means)
    room = jax.jit(lambda m: init.pairwise_poisson(fresh(), (1000, 20), m, max_edges=150_000))
    same = room(means)
    assert int(same.number) == edges.count
    np.testing.assert_array_equal(same.pre[: edges.count], edges.pre)
    np.testing.assert_array_equal(same.post[: edges.count], edges.post)
    assert int(room(-means).number) == -1
    counts = np.zeros((1000, 20), int)
    np.add.at(counts, (np.asarray(edges.pre), np.asarray(edges.post)), 1)
    for mean, number in zip(MEANS, counts.reshape(5, 4000), strict=True):
        law = scipy.stats.poisson.pmf(np.arange(80), mean) * number.size
        assert p_of(np.bincount(number, minlength=80), law) > 1e-6
    part = init.pairwise_poisson(fresh(), (1000, 20), means, only=(7, 9))
    np.testing.assert_array_equal(part.pre, edges.pre[(edges.post >= 7) & (edges.post < 9)])


@pytest.mark.parametrize("rule", [init.PairwiseBernoulli, init.PairwisePoisson])
def test_those_that_are_unlikely_have_their_chance(rule):
    """Below 2^-12 as above, and each as likely as another."""
    at = np.arange(0, 2000.0, 0.5)
    chance = init.StepProfile(499.5, 2.0**-11) + init.StepProfile(999.5, 2.0**-13)
    chance = chance + init.StepProfile(1499.5, 2.0**-15) + 2.0**-15
    edges = rule(chance)(fresh(), 4000, pre_positions=at, post_positions=at)
    apart = abs(at[np.asarray(edges.pre)] - at[np.asarray(edges.post)])
    lengths = abs(at[:, None] - at)
    means = np.asarray(chance(lengths), float)
    for low, high in [(0, 500), (500, 1000), (1000, 1500), (1500, 2000)]:
        seen = ((apart >= low) & (apart < high)).sum()
        mean = means[(lengths >= low) & (lengths < high)].sum()
        assert scipy.stats.poisson.cdf(seen, mean) > 1e-6
        assert scipy.stats.poisson.sf(seen - 1, mean) > 1e-6
    far, law = at[np.asarray(edges.post)][apart >= 500], (means * (lengths >= 500)).sum(0)
    tenths = np.histogram(far, 10, (0, 2000))[0]
    assert p_of(tenths, law.reshape(10, -1).sum(1) * (far.size / law.sum())) > 1e-6


@pytest.mark.parametrize(
    "rule", [init.PairwiseBernoulli(0.1), init.PairwiseBernoulli(0.9), init.PairwisePoisson(0.2)]
)
def test_parts_and_room(rule):
    sizes = (40, 30)
    edges = rule(fresh(), sizes)
    part = rule(fresh(), sizes, only=(10, 20))
    inside = (edges.post >= 10) & (edges.post < 20)
    np.testing.assert_array_equal(part.pre, edges.pre[inside])
    np.testing.assert_array_equal(part.post, edges.post[inside])
    room = jax.jit(lambda k: rule(k, sizes, max_edges=1500))(fresh())
    assert int(room.number) == edges.count
    np.testing.assert_array_equal(room.pre[: edges.count], edges.pre)
    assert (room.pre[edges.count :] == 40).all()  # no neuron
    assert (room.in_degree == edges.in_degree).all()
    tight = rule(fresh(), sizes, max_edges=50)
    assert int(tight.number) == edges.count
    np.testing.assert_array_equal(tight.pre, edges.pre[:50])
    with pytest.raises(ValueError, match="`max_edges` allows 50"):
        tight.scipy(1.0)


def test_by_distance():
    at = np.linspace(0.0, 1.0, 400) * u.mm
    places = {"pre_positions": at, "post_positions": at}
    near = init.PairwiseBernoulli(0.5 * init.StepProfile(100 * u.um), box=1 * u.mm)
    edges = near(fresh(), 400, **places)
    lengths = edges.distances(at, box=1 * u.mm)
    assert (lengths <= 100.001 * u.um).all()
    pairs = int((init.pairwise_distances(at, box=1 * u.mm) <= 100 * u.um).sum())
    assert scipy.stats.binomtest(edges.count, pairs, 0.5).pvalue > 1e-6
    by_length = near(fresh(), 400, distances=init.pairwise_distances(at, box=1 * u.mm))
    np.testing.assert_array_equal(by_length.pre, edges.pre)
    room = jax.jit(lambda k: near(k, 400, max_edges=edges.count, **places))(fresh())
    np.testing.assert_array_equal(room.post, edges.post)
    several = init.PairwisePoisson(0.5 * init.StepProfile(100 * u.um), box=1 * u.mm)
    assert scipy.stats.poisson.cdf(several(fresh(), 400, **places).count, pairs / 2) > 1e-6


LOCAL = [
    (init.GaussianProfile(20 * u.um, max_distance=60 * u.um), {"box": 1 * u.mm}),
    (0.5 * init.GaussianProfile(20 * u.um), {"box": 1 * u.mm}),
    (init.StepProfile(30 * u.um, 0.3), {"box": [1.0, 2.0] * u.mm, "anisotropy": [1.0, 2.0]}),
    (
        init.ExponentialProfile(20 * u.um).clip(0.0, 0.4) + init.StepProfile(40 * u.um, 0.2) ** 2,
        {"box": [1.0, np.inf] * u.mm},
    ),
    (init.DoGProfile(20 * u.um, 40 * u.um, 1.0, 0.5), {}),
]


BERNOULLI, POISSON = init.PairwiseBernoulli, init.PairwisePoisson
RULES = [(BERNOULLI, dtype) for dtype in ("float32", "float16", "float64")] + [(POISSON, "float32")]


@pytest.mark.parametrize(("rule", "dtype"), RULES)
@pytest.mark.parametrize(("profile", "space"), LOCAL, ids=range(len(LOCAL)))
def test_those_too_far_apart_are_not_looked_at(rule, profile, space, dtype):
    """And the edges are the same: all pairs are looked at where distances are given."""
    rng, first = np.random.default_rng(0), 20.0 if dtype == "float64" else -0.3  # of JAX's float32
    pre, post = (rng.uniform(first, first + 1, (n, 2)).astype(dtype) * u.mm for n in (3000, 2000))
    places = {"pre_positions": pre, "post_positions": post}
    local, sizes = rule(profile, False, **space), (3000, 2000)
    edges = local(fresh(), sizes, **places)
    if dtype == "float32" and rule is BERNOULLI:  # all find near pairs in the same way
        part = local(fresh(), sizes, only=(500, 700), **places)
        inside = (edges.post >= 500) & (edges.post < 700)
        np.testing.assert_array_equal(part.pre, edges.pre[inside])
    looked = Places(pre, post, space.get("box"), space.get("anisotropy")).near(
        profile, 2.0**-13, 0, 2000
    )
    assert sum(len(sources) * len(targets) for sources, targets in looked) < 3000 * 2000 / 2
    lengths = init.pairwise_distances(pre, post, **space)
    whole = rule(profile, False)(fresh(), sizes, distances=lengths)
    assert whole.count > 2000
    np.testing.assert_array_equal(edges.pre, whole.pre)
    np.testing.assert_array_equal(edges.post, whole.post)
    if dtype == "float32" and profile is LOCAL[1][0]:
        room = jax.jit(lambda key: local(key, sizes, max_edges=edges.count, **places))(fresh())
        np.testing.assert_array_equal(room.pre, edges.pre)
        np.testing.assert_array_equal(room.post, edges.post)


@pytest.mark.parametrize("kind", [jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit])
@pytest.mark.parametrize("ends", [True, False])
def test_positions_that_are_split_over_devices(kind, ends):
    """Eagerly, near pairs alone or all; in a program, and of given distances and chances."""
    mesh = jax.make_mesh((8,), ("x",), axis_types=(kind,))
    at = np.random.default_rng(0).uniform(0, 1, (800, 2)).astype(np.float32)
    split = jax.device_put(at, jax.NamedSharding(mesh, jax.P("x")))
    rule = BERNOULLI(0.5 * init.LinearProfile(0.05) + (0.0 if ends else 1e-3), box=1.0)

    def drawn(x, **options):
        return rule(fresh(), 800, pre_positions=x, post_positions=x, **options)

    edges, same = drawn(at), drawn(split)
    np.testing.assert_array_equal(same.pre, edges.pre)
    np.testing.assert_array_equal(same.post, edges.post)
    if not ends:
        part, inside = drawn(split, only=(3, 50)), (edges.post >= 3) & (edges.post < 50)
        np.testing.assert_array_equal(part.pre, edges.pre[inside])
        return  # the rest looks at all pairs in any case
    lengths = init.pairwise_distances(at, box=1.0)
    apart = jax.device_put(lengths, jax.NamedSharding(mesh, jax.P(None, "x")))
    by_length = rule(fresh(), 800, distances=apart)
    in_program = jax.jit(functools.partial(drawn, max_edges=edges.count))(split)
    for other in (by_length, in_program):
        np.testing.assert_array_equal(other.pre, edges.pre)
        np.testing.assert_array_equal(other.post, edges.post)
    np.testing.assert_array_equal(edges.distances(split, box=1.0), edges.distances(at, box=1.0))
    draw = jax.jit(lambda p: init.pairwise_bernoulli(fresh(), (800, 800), p, max_edges=300_000))
    whole, some = (draw(jnp.clip(x, 0, 1)) for x in (lengths, apart))
    np.testing.assert_array_equal(some.pre, whole.pre)


def test_far_outside_of_a_box():
    """Where positions are many periods away, distances are rounded by as much."""
    rng = np.random.default_rng(0)
    pre, post = (rng.uniform(0, 1, (2000, 2)).astype(np.float32) + far for far in (0, 1e5))
    near, step = {"pre_positions": pre, "post_positions": post}, init.StepProfile(0.01)
    edges = BERNOULLI(step, box=0.3)(fresh(), 2000, **near)
    lengths = init.pairwise_distances(pre, post, box=0.3)
    whole = BERNOULLI(step)(fresh(), 2000, distances=lengths)
    np.testing.assert_array_equal(edges.pre, whole.pre)


def test_constants_in_a_program():
    """A program that knows all the numbers gives the same as one that gets them."""
    at = np.random.default_rng(1).uniform(0, 1, (300, 2)).astype(np.float32)
    bimodal = 400 * init.BimodalProfile(0.3, 0.5, 0.1, 0.2, 0.3, 0.4)
    for profile in (bimodal, init.LinearProfile(0.9) * 200.0):
        numbers = ByDistance("mean", profile, Places(at, at, None, None))
        eager = np.asarray(numbers.to_targets(0, 300))

        def traced(profile=profile):
            again = ByDistance("mean", profile, Places(at, at, None, None))
            return again.to_targets(0, 300)

        np.testing.assert_array_equal(jax.jit(traced)(), eager)


def test_a_profile_of_one_s_own_says_how_far_it_reaches():
    """Whatever the level that it is asked for; where it fails, all pairs are looked at."""

    def ring(distance, radius, width):
        return jnp.exp(-(((distance - radius) / width) ** 2))

    def far(level, radius, width):
        return radius + width * np.sqrt(np.log(1 / level)) if level < 1 else 1 / 0

    class Ring(init.DistanceProfile, kernel=ring, reach=far):
        radius: init.QuantityLike
        width: init.QuantityLike

    class Same(init.DistanceProfile, kernel=ring):
        radius: init.QuantityLike
        width: init.QuantityLike

    at = np.linspace(0, 3, 800)  # more pairs than a block has
    places = {"pre_positions": at, "post_positions": at}
    for of in (
        lambda p: p,
        lambda p: 1e-6 * p,
        lambda p: 0 * p,
        lambda p: 0.5 * p * p,
        lambda p: init.GaussianProfile(0.1) * p * 0.5,
        lambda p: 1e-6 * p**0.001,
        lambda p: p**0.001,
    ):
        edges, all_pairs = (
            BERNOULLI(of(p(0.1, 0.02)))(fresh(), 800, **places) for p in (Ring, Same)
        )
        np.testing.assert_array_equal(edges.pre, all_pairs.pre)


def test_chances_that_are_none():
    far = init.PairwiseBernoulli(init.StepProfile(1 * u.um) + init.LinearProfile(3 * u.um))
    at = np.arange(400.0) * u.um
    with pytest.raises(ValueError, match="from 0 to 1, got 2 from neuron 0 to 0"):
        far(fresh(), 400, pre_positions=at, post_positions=at)
    at = np.arange(6.0) * u.um
    steep = init.PairwiseBernoulli(3 * init.ExponentialProfile(1 * u.um))
    with pytest.raises(ValueError, match="from 0 to 1, got 3 from neuron 0 to 0"):
        steep(fresh(), 6, pre_positions=at, post_positions=at)
    table = TABLE.copy()
    table[2, 3] = 1.5
    with pytest.raises(ValueError, match="got 1.5 from neuron 2 to 3"):
        init.pairwise_bernoulli(fresh(), (4, 5), table)
    table = np.full((3000, 3000), np.float32(1.0000001))  # more than a block
    table[1, 2900] = 3
    with pytest.raises(ValueError, match="got 3 from neuron 1 to 2900"):
        init.pairwise_bernoulli(fresh(), (3000, 3000), table)
    with pytest.raises(ValueError, match="got 1.00000012 from neuron 0 to 0"):
        init.pairwise_bernoulli(fresh(), (2, 2), table[:2, :2])
    with pytest.raises(ValueError, match="`probability` must be from 0 to 1"):
        init.PairwiseBernoulli(1.5)(fresh(), 6)
    for many, size in ((init.PairwiseBernoulli(0.9), 50_000), (init.PairwisePoisson(1e13), 3)):
        with pytest.raises(ValueError, match="edges are more than int32 counts"):
            many(fresh(), size)  # before it takes the memory
    with pytest.raises(ValueError, match="`mean` must be non-negative"):
        init.PairwisePoisson(-1.0)(fresh(), 6)
    with pytest.raises(ValueError, match="depends on distance"):
        steep(fresh(), 6)
    with pytest.raises(ValueError, match="which depends on no distance"):
        init.PairwiseBernoulli(0.5)(fresh(), 6, pre_positions=at)
    with pytest.raises(ValueError, match="of the shape \\(4, 5\\)"):
        init.pairwise_bernoulli(fresh(), (4, 5), TABLE.T)
    with pytest.raises(TypeError, match="max_edges="):
        jax.jit(lambda k: init.pairwise_bernoulli(k, 6, 0.5))(fresh())
    with pytest.raises(TypeError, match="max_edges="):
        jax.jit(lambda k: far(k, 6, pre_positions=at, post_positions=at))(fresh())
    room = jax.jit(lambda k, p: init.pairwise_bernoulli(k, (4, 5), p, max_edges=30))
    assert int(room(fresh(), 2 * TABLE).number) == -1
    assert int(room(fresh(), TABLE).number) >= 0
