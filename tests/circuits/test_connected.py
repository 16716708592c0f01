"""Dense weights with zeros where neurons are not connected."""

from __future__ import annotations

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.sharding import NamedSharding, PartitionSpec

import braininit as init

WEIGHTS = init.LogNormal(0.5 * u.nS, 0.3 * u.nS)
RULES = {
    "chance": 0.25,
    "chances": init.PairwiseBernoulli(np.linspace(0, 1, 96, dtype=np.float32).reshape(16, 6)),
    "several": init.PairwisePoisson(0.5, False),
    "means": init.PairwisePoisson(np.linspace(0, 3, 96, dtype=np.float32).reshape(16, 6)),
    "in-degree": init.FixedInDegree(5, False, multiple=False),
    "number": init.FixedTotalNumber(40),
}


@pytest.mark.parametrize("name", RULES)
def test_zeros_where_there_is_no_edge(name):
    init_ = init.Connected(WEIGHTS, RULES[name])
    w = init_((16, 6), rng=0)
    assert w.unit == u.nS
    hit = np.asarray(w.mantissa) != 0
    rule = RULES[name]
    if name == "in-degree":
        assert (hit.sum(0) == 5).all()
    if not getattr(rule, "self_connections", True):
        assert not np.diag(hit).any()
    compiled = jax.jit(lambda k: init_(k, (16, 6)))(jax.random.key(0))
    assert u.math.allclose(compiled, w, rtol=1e-6)
    if name not in ("chances", "means"):
        assert init.get(init.to_config(init_)) == init_
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2,
                         devices=jax.devices()[:4])  # fmt: skip
    place = NamedSharding(mesh, PartitionSpec("a", "b"))
    plan = init.plan({"w": jnp.zeros((16, 6)) * u.nS}, [("", init_)], shardings=place)
    shared, whole = plan(jax.random.key(0))["w"], init.initialize(
        {"w": jnp.zeros((16, 6)) * u.nS}, [("", init_)], jax.random.key(0)
    )["w"]  # fmt: skip
    np.testing.assert_array_equal(shared.mantissa, whole.mantissa)


def test_each_pair_has_its_chance():
    w = init.Connected(1.0, 0.25)((1000, 200), rng=1)
    assert scipy.stats.binomtest(int((w != 0).sum()), 200_000, 0.25).pvalue > 1e-6
    for mean in (0.7, np.full((1000, 200), 0.7)):
        several = init.Connected(1.0, init.PairwisePoisson(mean))((1000, 200), rng=1)
        seen = np.bincount(np.asarray(several).astype(int).ravel(), minlength=12)[:8]
        law = scipy.stats.poisson.pmf(np.arange(8), 0.7) * 200_000
        assert scipy.stats.chisquare(seen, law * seen.sum() / law.sum()).pvalue > 1e-6


def test_rows_composition_and_distance():
    near = init.Connected(WEIGHTS, init.PairwiseBernoulli(init.StepProfile(100 * u.um)))
    at = np.linspace(0.0, 1.0, 50) * u.mm
    places = {"pre_positions": at, "post_positions": at}
    w = near((50, 50), rng=2, **places)
    far = init.pairwise_distances(at) > 100 * u.um
    assert ((w != 0 * u.nS) == ~far).all()
    part = init.rows(near, jax.random.key(2), (50, 50), 10, 20, **places)
    assert u.math.allclose(part, w[10:20], rtol=1e-6)
    table = np.linspace(0, 1, 1000, dtype=np.float32).reshape(50, 20)
    by_pair = init.PairwiseBernoulli(table), init.PairwisePoisson(table)
    for rule in (init.FixedInDegree(5, multiple=False), init.PairwisePoisson(0.5), *by_pair):
        every = init.Connected(WEIGHTS, rule)
        part = init.rows(every, jax.random.key(2), (50, 20), 10, 20)
        assert u.math.allclose(part, every((50, 20), rng=2)[10:20], rtol=1e-6)
    signed = init.Dale(init.Connected(WEIGHTS, 0.3), excitatory=0.8)((100, 20), rng=0)
    assert (signed[:80] >= 0 * u.nS).all()
    assert (signed[80:] <= 0 * u.nS).all()
    assert 0.2 < (signed != 0 * u.nS).mean() < 0.4


def test_what_can_not_be_connected():
    with pytest.raises(ValueError, match="`rule` must be from 0 to 1"):
        init.Connected(WEIGHTS, 1.5)
    with pytest.raises(TypeError, match="`rule` must be a rule or one probability"):
        init.Connected(WEIGHTS, [0.1, 0.2])
    with pytest.raises(ValueError, match="no matrix of connections"):
        init.Connected(WEIGHTS, 0.5)((2, 3, 4), rng=0)
    with pytest.raises(ValueError, match="`degree` = 9 is more than"):
        init.Connected(WEIGHTS, init.FixedInDegree(9, multiple=False))((4, 4), rng=0)
    steep = init.Connected(1.0, init.PairwiseBernoulli(3 * init.ExponentialProfile(1 * u.um)))
    at = np.arange(4.0) * u.um
    places = {"pre_positions": at, "post_positions": at}
    for each in (steep, init.Dale(steep, 0.5)):
        with pytest.raises(ValueError, match="from 0 to 1, got 3 from neuron 0 to 0"):
            each((4, 4), rng=0, **places)
    traced = jax.jit(lambda at: steep((4, 4), rng=0, pre_positions=at, post_positions=at))
    assert np.isnan(np.diag(traced(at))).all()
    for wrong in (places | {"pre_positions": at[:1]}, {"distances": np.ones((1, 4)) * u.um}):
        with pytest.raises(ValueError, match="must be those of"):
            steep((4, 4), rng=0, **wrong)
    with pytest.raises(ValueError, match="depends on distance"):
        steep((4, 4), rng=0)
