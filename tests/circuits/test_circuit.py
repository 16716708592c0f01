"""Published circuits: the numbers of the papers, each projection alone, the laws at full scale.

Statistical tests have a fixed key and a false-alarm rate of 1e-6 each.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
from decimal import Decimal, localcontext

import brainunit as u
import jax
import numpy as np
import pytest
import scipy.stats
from helpers import bare, same

import braininit as init
from braininit.circuits import blocks

RARE = 1e-6
NAMES = ["L2/3E", "L2/3I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I"]
SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
TABLE = """
.1009 .1689 .0437 .0818 .0323 0     .0076 0
.1346 .1371 .0316 .0515 .0755 0     .0042 0
.0077 .0059 .0497 .1350 .0067 .0003 .0453 0
.0691 .0029 .0794 .1597 .0033 0     .1057 0
.1004 .0622 .0505 .0057 .0831 .3726 .0204 0
.0548 .0269 .0257 .0022 .0600 .3158 .0086 0
.0156 .0066 .0211 .0166 .0572 .0197 .0396 .2252
.0364 .0010 .0034 .0005 .0277 .0080 .0658 .1443
"""
C = [[Decimal(c) for c in line.split()] for line in TABLE.strip().splitlines()]
BY_TARGET = [103312930, 30832543, 61502616, 32262637, 23977933, 2913838, 36902717, 7175756]
THALAMUS = {"L4E": ("0.0983", 2045393), "L4I": ("0.0619", 315791)}
THALAMUS |= {"L6E": ("0.0512", 682419), "L6I": ("0.0196", 52636)}


def fresh():
    return jax.random.key(25)


@pytest.fixture(scope="module")
def pd14():
    return init.presets.potjans_diesmann()


@pytest.fixture(scope="module")
def few():
    """A hundredth of the neurons, and of the edges of each."""
    return init.presets.potjans_diesmann(0.01, 0.01)


# ---------------------------------------------------------------- the numbers of the papers


def number_of(c, pairs):
    """Edges that connect a fraction c of the pairs, in 50 digits."""
    with localcontext(prec=50):
        return int(((1 - c).ln() / (1 - 1 / Decimal(pairs)).ln()).to_integral_value())


def numbers(circuit):
    rules = {(p.source.name, p.target.name): p.rule for p in circuit.projections}
    assert all(type(rule) is init.FixedTotalNumber for rule in rules.values())
    assert all(rule.self_connections and rule.multiple for rule in rules.values())
    return {pair: rule.number for pair, rule in rules.items()}


def test_numbers_of_edges_are_exact(pd14):
    assert [p.name for p in pd14.populations] == NAMES
    assert [p.size for p in pd14.populations] == SIZES.tolist()
    ours = numbers(pd14)
    k = np.array([[ours.get((source, target), 0) for source in NAMES] for target in NAMES])
    pairs = [[int(n) * int(m) for m in SIZES] for n in SIZES]
    exact = [
        [number_of(*cell) for cell in zip(*row, strict=True)] for row in zip(C, pairs, strict=True)
    ]
    np.testing.assert_array_equal(k, exact)
    assert len(ours) == np.count_nonzero(k) == 55
    assert k.sum(1).tolist() == BY_TARGET
    assert k.sum() == 298_880_970
    # As the reference code computes it, in float64.
    prod = np.outer(SIZES, SIZES)
    theirs = np.round(np.log(1.0 - np.array(C, float)) / np.log((prod - 1.0) / prod))
    assert np.argwhere(theirs != k).tolist() == [[0, 0], [2, 1]]
    assert theirs.sum() == k.sum() - 2


def test_the_thalamus(pd14):
    circuit = init.presets.potjans_diesmann(thalamus=True)
    assert circuit.populations[:8] == pd14.populations
    assert circuit.projections[:55] == pd14.projections
    assert circuit["TC"] == init.Population("TC", 902)
    added = {pair[1]: n for pair, n in numbers(circuit).items() if pair[0] == "TC"}
    assert added == {target: n for target, (_, n) in THALAMUS.items()}
    for target, (c, n) in THALAMUS.items():
        assert number_of(Decimal(c), 902 * circuit[target].size) == n
        same_as = circuit["L4E", target]
        assert circuit["TC", target].weights == same_as.weights
        assert circuit["TC", target].delays == same_as.delays


def test_weights_and_delays_as_published(pd14):
    by_mean = {}
    for p in pd14.projections:
        doubled = p == pd14["L4E", "L2/3E"]
        mean = -351.234 if p.source.name[-1] == "I" else 175.617 if doubled else 87.8085
        by_mean.setdefault(mean, set()).add((p.weights, p.delays))
    assert [len(of) for of in by_mean.values()] == [1, 1, 1]
    for mean, ((weights, delays),) in by_mean.items():
        assert bare(init.theory.mean(weights)) == pytest.approx(mean, abs=5e-4)
        assert bare(init.theory.std(weights)) == pytest.approx(abs(mean) / 10, abs=1e-3)
        assert (weights(1000, rng=0) * np.sign(mean) > 0 * u.pA).all()
        assert init.theory.support(weights)[int(mean < 0)] == 0 * u.pA
        figures = (1.54750, 0.70150, 0.009588) if mean > 0 else (0.77720, 0.34867, 0.024587)
        assert bare(init.theory.mean(delays)) == pytest.approx(figures[0], abs=5e-6)
        assert bare(init.theory.std(delays)) == pytest.approx(figures[1], abs=5e-6)
        assert float(init.theory.pmf(delays, 0.1 * u.ms)) == pytest.approx(figures[2], abs=5e-7)


def test_neurons_as_published(pd14):
    means = [-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43]
    stds = [5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48]
    degrees = [1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100]
    lif = init.LIF(
        tau=10 * u.ms,
        threshold=-50 * u.mV,
        reset=-65 * u.mV,
        rest=-65 * u.mV,
        refractory=2 * u.ms,
        capacitance=250 * u.pF,
        tau_synapse=0.5 * u.ms,
    )
    for p, mean, std, degree in zip(pd14.populations, means, stds, degrees, strict=True):
        assert p.potential == init.Normal(mean * u.mV, std * u.mV)
        assert (p.input.degree, p.input.rate, p.input.delay) == (degree, 8 * u.Hz, 1.5 * u.ms)
        assert bare(p.input.weight) == pytest.approx(87.8085, abs=5e-5)
        assert bare(p.current) == 0
        assert p.neuron == lif


def test_input_of_a_smaller_network_has_the_same_mean_and_variance(pd14):
    """At the rates of the full one: those of what comes in within a time constant, and current."""
    rates = dict(zip(NAMES, [0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829], strict=True))

    def moments(circuit):
        found = []
        for target in circuit.populations:
            its = [p for p in circuit.projections if p.target.name == target.name]
            weights = np.array([float(bare(init.theory.mean(p.weights))) for p in its])
            degrees = np.array([p.rule.number / target.size for p in its])
            spikes = degrees * [rates[p.source.name] for p in its]
            outside, weight = target.input.degree * 8, float(bare(target.input.weight))
            mean = (weights @ spikes + weight * outside) * 0.5e-3 + float(bare(target.current))
            found.append((mean, weights**2 @ spikes + weight**2 * outside))
        return np.array(found)

    small = init.presets.potjans_diesmann(0.1, 0.1)
    assert [p.size for p in small.populations] == [2068, 583, 2192, 548, 485, 106, 1440, 295]
    assert small.populations[0].input.degree == 160
    np.testing.assert_allclose(moments(small), moments(pd14), rtol=5e-3)  # sizes are rounded
    k = numbers(small)
    assert all(abs(k[pair] - n / 100) <= 0.5 for pair, n in numbers(pd14).items())


@pytest.mark.parametrize("fifth", [200, pytest.param(2_500, marks=pytest.mark.heavy)])
def test_brunel(fifth):
    circuit = init.presets.brunel(excitatory=4 * fifth)
    assert [(p.name, p.size) for p in circuit.populations] == [("E", 4 * fifth), ("I", fifth)]
    for target in ("E", "I"):
        for source, each, weight in (("E", 0.4 * fifth, 0.1), ("I", 0.1 * fifth, -0.5)):
            edges, weights, delays = circuit[source, target](fresh(), step=0.1 * u.ms)
            assert (edges.in_degree == each).all()
            assert (edges.pre == edges.post).any() == (source != target)
            assert (weights == weight * u.mV).all()
            assert (delays == 15).all()


def test_the_numbers_of_brunel():
    circuit = init.presets.brunel()
    assert [p.rule.degree for p in circuit.projections] == [1000, 1000, 250, 250]
    assert sum(p.rule.degree * p.target.size for p in circuit.projections) == 15_625_000
    neuron = init.LIF(20 * u.ms, 20 * u.mV, 10 * u.mV, 0 * u.mV, 2 * u.ms)
    for p in circuit.populations:
        assert p.neuron == neuron
        # The mean input of spikes from outside is eta times the threshold.
        mean = p.input.degree * p.input.rate * p.input.weight * neuron.tau
        assert u.math.allclose(mean, 2 * neuron.threshold)
    quiet = init.presets.brunel(g=4.0, eta=0.9, excitatory=400, connected=0.2)
    assert [p.rule.degree for p in quiet.projections] == [80, 80, 20, 20]
    assert quiet["I", "I"].weights == init.Constant(-0.4 * u.mV)
    assert bare(quiet["E"].input.rate) == pytest.approx(0.9 * 20 / (0.1 * 80 * 0.02))


# ---------------------------------------------------------------- circuits


def test_a_projection_alone_is_as_in_the_whole(few):
    whole = {(p.source.name, p.target.name): p(fresh()) for p in few.projections[2:9:3]}
    for pair, drawn in whole.items():
        alone = init.Circuit(few.populations, [few[pair]])[pair](fresh())
        assert same(alone.edges.pre, drawn.edges.pre)
        assert same(alone.edges.post, drawn.edges.post)
        assert same(alone.weights, drawn.weights)
        assert same(alone.delays, drawn.delays)
    firsts = {float(bare(drawn.weights[0] / drawn.weights.mean())) for drawn in whole.values()}
    assert len(firsts) == len(whole)


def test_keys_follow_from_the_names(few):
    its = few["L4E", "L2/3E"]
    edges, weights, delays = its(fresh(), dtype="uint16")
    own = {w: init.path_key(fresh(), ("L4E", "L2/3E", w)) for w in ("edges", "weights", "delays")}
    assert same(edges.pre, its.rule(own["edges"], its.sizes, dtype="uint16").pre)
    assert same(weights, its.weights(own["weights"], edges.count))
    assert same(delays, its.delays(own["delays"], edges.count))


def test_delays_as_whole_steps(few):
    its = few["L6I", "L6I"]
    delays = its(fresh()).delays
    for dtype in ("uint8", "int32"):
        whole = its(fresh(), step=0.1 * u.ms, step_dtype=dtype).delays
        assert whole.dtype == dtype
        np.testing.assert_allclose(bare(delays), 0.1 * np.asarray(whole), rtol=1e-6)
        compiled = jax.jit(lambda k, t=dtype: its(k, step=0.1 * u.ms, step_dtype=t).delays)
        assert same(compiled(fresh()), whole)
    off_grid = dataclasses.replace(its, delays=init.Constant(1.96 * u.ms))
    assert (off_grid(fresh(), step=0.1 * u.ms).delays == 20).all()
    assert (off_grid(fresh(), step=1e-9 * u.ms, step_dtype="uint32").delays > 1.9e9).all()
    with pytest.raises(ValueError, match="below 255 steps, which uint8 counts"):
        its(fresh(), step=1 * u.us)
    with pytest.raises(u.UnitMismatchError):
        its(fresh(), step=1 * u.mV)


def test_draws_share_a_mesh(few):
    its = dataclasses.replace(few["L6I", "L6I"], rule=init.FixedTotalNumber(1600))
    mesh = jax.make_mesh((8,), ("x",), devices=jax.devices()[:8])
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    here, there = its(fresh()), its(fresh(), out_sharding=place)
    assert same(here.edges.pre, there.edges.pre)
    assert same(here.weights, there.weights)
    assert there.edges.pre.sharding == place
    assert there.weights.mantissa.sharding.is_equivalent_to(place, 1)
    steps = its(fresh(), out_sharding=place, step=0.1 * u.ms).delays
    assert steps.sharding.is_equivalent_to(place, 1)


SMALL = {
    "blocks": init.FixedTotalNumber(2 * blocks.BLOCK + 7),
    "one block": init.FixedTotalNumber(9),
    "nothing": init.FixedTotalNumber(0),
    "in-degree": init.FixedInDegree(3, self_connections=False),
    "pairs once": init.FixedTotalNumber(40, multiple=False),
    "Bernoulli": init.PairwiseBernoulli(0.1),
}


@pytest.mark.parametrize("name", SMALL)
def test_blocks_are_as_the_whole(few, name):
    its = dataclasses.replace(few["L5I", "L6I"], rule=SMALL[name])
    for how in ({}, {"dtype": "uint16", "step": 0.1 * u.ms}):
        here, there = its(fresh(), **how), its.numpy(fresh(), **how)
        assert here.edges.sizes == there.edges.sizes
        parts = [(d.edges.pre, d.edges.post, d.weights, d.delays) for d in (here, there)]
        for ours, theirs in zip(*parts, strict=True):
            assert same(ours, theirs)
            assert isinstance(u.get_mantissa(theirs), np.ndarray)


def test_blocks_of_other_keys_and_of_weights_that_need_the_whole(few):
    whole = init.Conditional(3, init.Constant(1.0), init.Constant(2.0))
    each = init.Normal(np.arange(9.0), 1.0) + 1
    its = dataclasses.replace(few["L5I", "L6I"], rule=SMALL["one block"], weights=whole)
    for weights, key in ((whole, fresh()), (whole, jax.random.key(0, impl="rbg")), (each, fresh())):
        its = dataclasses.replace(its, weights=weights)
        here, there = its(key), its.numpy(key)
        assert same(here.edges.pre, there.edges.pre)
        assert same(here.weights, there.weights)
        assert same(here.delays, there.delays)
    bare_ones = dataclasses.replace(its, weights=None, delays=None)
    assert bare_ones.numpy(fresh(), step=0.1 * u.ms)[1:] == (None, None)


def test_blocks_of_constants():
    its = init.presets.brunel(excitatory=400)["I", "E"]
    for how in ({}, {"step": 0.1 * u.ms}):
        here, there = its(fresh(), **how), its.numpy(fresh(), **how)
        assert same(here.edges.pre, there.edges.pre)
        assert same(here.weights, there.weights)
        assert same(here.delays, there.delays)


def test_projections_share_their_programs(few):
    """Of other sizes and numbers, with the same laws."""
    first, *others = (few[source, "L4E"] for source in ("L4E", "L5E", "L6E"))
    first.numpy(fresh())
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: compiled.append(event) if "backend_compile" in event else None
    )
    try:
        for projection in others:
            projection.numpy(fresh())
    finally:
        jax.monitoring.clear_event_listeners()
    assert not compiled


@pytest.mark.parametrize("preset", ["potjans_diesmann", "brunel"])
def test_circuits_are_values(preset):
    circuit, again = (getattr(init.presets, preset)() for _ in range(2))
    assert circuit == again
    assert hash(circuit) == hash(again)
    assert pickle.loads(pickle.dumps(circuit)) == circuit
    assert init.get(json.loads(json.dumps(init.to_config(circuit)))) == circuit
    assert jax.tree.map(lambda x: x, circuit) == circuit
    assert repr(circuit).startswith("Circuit of ")
    assert circuit._repr_html_() is None


def test_what_is_refused(few):
    e, i = few.populations[:2]
    local = init.Projection(e, e, init.FixedInDegree(3))
    with pytest.raises(ValueError, match="one of each name, got 'L2/3E' twice"):
        init.Circuit([e, e], [])
    with pytest.raises(ValueError, match="one of each name, got .'L2/3E', 'L2/3E'. twice"):
        init.Circuit([e], [local, local])
    with pytest.raises(ValueError, match="none of the `populations`"):
        init.Circuit([i], [local])
    with pytest.raises(KeyError, match="no 'L1' among"):
        few["L1"]
    with pytest.raises(ValueError, match="`size` must be 0 or more"):
        init.Population("E", -1)
    for name in ("neurons", "in_degrees"):
        with pytest.raises(ValueError, match=f"`{name}` must be positive, got nan"):
            init.presets.potjans_diesmann(**{name: float("nan")})
    with pytest.raises(ValueError, match="must be multiples of 4"):
        init.presets.brunel(excitatory=1001)
    with pytest.raises(ValueError, match="`connected` must be from 0 to 1"):
        init.presets.brunel(connected=1.5)


# ---------------------------------------------------------------- the laws


@pytest.mark.parametrize("source", ["L5E", "L5I"])
def test_delays_have_their_exact_probabilities(pd14, source):
    """By chi-square, at 1e7 draws; what is as rare as 1e-6 together."""
    n = 10_000_000
    its = dataclasses.replace(pd14[source, "L4E"], rule=init.FixedTotalNumber(n), weights=None)
    found = np.bincount(its(fresh(), step=0.1 * u.ms, dtype="uint16").delays, minlength=80)
    exact = np.asarray(init.theory.pmf(its.delays, np.arange(80) * 0.1 * u.ms), float)
    assert found[0] == exact[0] == 0
    common = exact * n > 10
    cells = [np.append(x[common], x[~common].sum()) for x in (found, exact / exact.sum() * n)]
    assert exact.sum() == pytest.approx(1, abs=1e-12)
    assert scipy.stats.chisquare(*cells).pvalue > RARE


def fits(degree, number):
    """Whether degrees are those of so many edges, each to any neuron: variance and histogram."""
    size, mean = len(degree), number / len(degree)
    spread = scipy.stats.chi2(size - 1).cdf(((degree - mean) ** 2).sum() / mean)
    law = scipy.stats.binom(number, 1 / size)
    edges = np.unique(law.ppf(np.linspace(0, 1, 12)[1:-1]))  # cells that are about as likely
    expected = np.diff(law.cdf(edges), prepend=0, append=1) * size
    found = np.bincount(np.searchsorted(edges, degree), minlength=len(expected))
    cells = scipy.stats.chisquare(found, expected) if len(expected) > 1 else None
    return RARE < spread < 1 - RARE and (cells is None or cells.pvalue > RARE)


def occupied(edges, at_once=10_000_000):
    """How many pairs are connected."""
    held = np.zeros(edges.sizes[0] * edges.sizes[1], bool)
    pre, post = np.asarray(edges.pre), np.asarray(edges.post)
    for start in range(0, len(pre), at_once):
        part = slice(start, start + at_once)
        held[post[part] * np.int64(edges.sizes[0]) + pre[part]] = True
    return np.count_nonzero(held)


def check(projection, c):
    """One projection at full scale: pairs that are connected, degrees, self-connections."""
    edges = projection(fresh(), dtype="uint16").edges
    k, pairs = projection.rule.number, edges.sizes[0] * edges.sizes[1]
    assert fits(np.asarray(edges.in_degree), k)
    assert fits(np.asarray(edges.out_degree), k)
    repeats, mean = k - occupied(edges), k - pairs * c
    std = (pairs * (1 - c) * (1 - (1 - np.log1p(-c)) * (1 - c))) ** 0.5
    if mean > 100:
        assert abs(repeats - mean) < 5 * std  # 6e-7; K is rounded, by 0.5 at most
    else:  # few repeats are not normal, and 5 std not enough
        assert abs(scipy.stats.poisson(mean).cdf(repeats) - 0.5) < 0.5 - RARE / 2
    if projection.source == projection.target:
        selfs = scipy.stats.binom(k, 1 / projection.source.size)
        own = np.count_nonzero(np.asarray(edges.pre) == np.asarray(edges.post))
        assert abs(own - selfs.mean()) < 5 * selfs.std()


def test_the_laws_of_small_projections(pd14):
    for source, target in (("L5I", "L5I"), ("L6I", "L6I"), ("L5I", "L4E"), ("L4I", "L6I")):
        c = float(C[NAMES.index(target)][NAMES.index(source)])
        check(dataclasses.replace(pd14[source, target], weights=None, delays=None), c)


@pytest.mark.heavy
@pytest.mark.parametrize("target", NAMES)
def test_the_laws_at_full_scale(pd14, target):
    """All 55 projections: a minute, and 1.5 GB for the largest."""
    for source, c in zip(NAMES, C[NAMES.index(target)], strict=True):
        if c:
            check(dataclasses.replace(pd14[source, target], weights=None, delays=None), float(c))


# ---------------------------------------------------------------- in parts, in steps, and errors


@pytest.mark.parametrize(
    "rule", [init.FixedInDegree(7), init.FixedOutDegree(7), init.FixedTotalNumber(350)], ids=str
)
def test_parts_of_a_projection_are_as_in_the_whole(rule):
    some, others = init.Population("some", 50), init.Population("others", 50)
    projection = init.Projection(
        some, others, rule, init.Normal(1.0, 0.1), init.Uniform(1 * u.ms, 2 * u.ms)
    )
    whole, part = projection(jax.random.key(0)), projection(jax.random.key(0), only=(20, 30))
    each = whole.edges.count // (350 if isinstance(rule, init.FixedTotalNumber) else 50)
    held = slice(20 * each, 30 * each)
    np.testing.assert_array_equal(part.edges.pre, whole.edges.pre[held])
    np.testing.assert_array_equal(part.weights, whole.weights[held])
    np.testing.assert_allclose(part.delays.mantissa, whole.delays.mantissa[held], rtol=1e-6)


def test_halves_of_a_step_go_up_as_on_a_grid():
    cells = init.Population("cells", 9)
    late = init.Projection(cells, cells, init.OneToOne(), None, init.Constant(0.25 * u.ms))
    for draw in (late, late.numpy):
        drawn = draw(jax.random.key(0), step=0.1 * u.ms)
        np.testing.assert_array_equal(drawn.delays, np.full(9, 3, np.uint8))


def _late(delay, step):
    cells = init.Population("cells", 9)
    return init.Projection(cells, cells, init.OneToOne(), None, init.Constant(delay))(
        jax.random.key(0), step=step
    )


CELLS = init.Population("cells", 9)
REFUSED = {
    "`delays` must be 0 or more": lambda: _late(-2 * u.ms, 0.1 * u.ms),
    "`delays` must be .* below 255 steps": lambda: _late(100 * u.ms, 0.1 * u.ms),
    "`step` must be positive, got -0.1 ms": lambda: _late(1 * u.ms, -0.1 * u.ms),
    "`step` must be one number": lambda: _late(1 * u.ms, [0.1, 0.2] * u.ms),
    "`step` in mV differ in dimension": lambda: _late(1 * u.ms, 0.1 * u.mV),
    "`rule` must be a ConnectionRule": lambda: init.Projection(CELLS, CELLS, "all"),
    "`source` must be a Population": lambda: init.Projection("E", CELLS, init.OneToOne()),
    "`weights` must be an initializer": lambda: init.Projection(CELLS, CELLS, init.OneToOne(), "w"),
    "a Joint of several": lambda: init.Projection(
        CELLS, CELLS, init.OneToOne(), init.Joint({"a": init.Normal(), "b": init.Normal()}, 0.3)
    ),
    r"`populations\[0\]` must be a Population": lambda: init.Circuit(("E",), ()),
    "`neuron` must be a LIF": lambda: init.Population("E", 9, "lif"),
    "`reset` = 3 is a bare number": lambda: init.LIF(10 * u.ms, 1 * u.mV, 3, 4 * u.mV, 5 * u.ms),
    "`degree` must be an int": lambda: init.PoissonInput(10.5, 8 * u.Hz, 1.0, 1 * u.ms),
    "the weights and delays of some edges": lambda: init.Projection(
        CELLS, CELLS, init.PairwiseBernoulli(0.1), init.Normal()
    )(jax.random.key(0), only=(0, 5)),
    "`weight` must be positive": lambda: init.presets.brunel(weight=-0.1 * u.mV),
    "`eta` must be non-negative": lambda: init.presets.brunel(eta=-1.0),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_makes_no_circuit_is_refused(said):
    with pytest.raises((TypeError, ValueError), match=said):
        REFUSED[said]()
