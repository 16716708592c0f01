"""Distances between positions, and weights modulated by them."""

from __future__ import annotations

import itertools

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import braininit as init
from braininit.spatial.modulated import modulated

UM, MM = u.um, u.mm
FEW = 4096 * 8  # bytes: what a program keeps for itself beside copies of the positions


def positions(n, axes, seed=0, extent=100.0):
    return np.random.default_rng(seed).uniform(0, extent, (n, axes))


def brute(pre, post, box=None, divisor=1.0):
    """In float64, the nearest of all neighbouring images."""
    apart = pre[:, None, :] - post[None, :, :]
    if box is not None:
        box = np.broadcast_to(box, pre.shape[1:])
        shifts = [[0.0] if np.isinf(b) else [-b, 0.0, b] for b in box]
        images = [apart + np.array(s) for s in itertools.product(*shifts)]
        return np.min([np.sqrt(((i / divisor) ** 2).sum(-1)) for i in images], axis=0)
    return np.sqrt(((apart / divisor) ** 2).sum(-1))


CASES = {
    "plain": {},
    "box": {"box": 100.0},
    "boxes": {"box": np.array([100.0, 200.0, 150.0])},
    "tube": {"box": np.array([np.inf, 100.0, np.inf])},
    "anisotropy": {"anisotropy": np.array([1.0, 2.0, 0.5])},
    "both": {"box": np.array([100.0, 200.0, 150.0]), "anisotropy": np.array([1.0, 2.0, 0.5])},
}


def in_axes(given, axes):
    return {k: v[:axes] if np.ndim(v) else v for k, v in given.items()}


@pytest.mark.parametrize("given", CASES.values(), ids=CASES)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_distances_are_the_brute_force(given, axes):
    pre, post = positions(7, axes), positions(5, axes, 1)
    given = in_axes(given, axes)
    expected = brute(pre, post, given.get("box"), given.get("anisotropy", 1.0))
    found = init.pairwise_distances(pre, post, **given)
    assert isinstance(found, jax.Array)
    assert found.shape == (7, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)
    with_units = {k: v * UM if k == "box" else v for k, v in given.items()}
    found = init.pairwise_distances(pre * 1e-3 * MM, post * UM, **with_units)
    assert found.unit == MM
    np.testing.assert_allclose(found.to_decimal(UM), expected, rtol=1e-5, atol=2e-5)
    if axes == 1:
        flat = init.pairwise_distances(pre[:, 0] * UM, post[:, 0] * UM, **with_units)
        np.testing.assert_allclose(flat.to_decimal(UM), expected, rtol=1e-5, atol=2e-5)


def test_distances_within_one_population():
    pre = positions(6, 2) * UM
    alone = init.pairwise_distances(pre)
    assert np.array_equal(alone.mantissa, init.pairwise_distances(pre, pre).mantissa)
    assert not np.diagonal(alone.mantissa).any()
    np.testing.assert_array_equal(alone.mantissa, alone.mantissa.T)


def test_lengths_as_divisors_give_pure_numbers():
    pre, post = positions(4, 2), positions(3, 2, 1)
    found = init.pairwise_distances(pre * UM, post * UM, anisotropy=[50 * UM, 0.1 * MM])
    assert isinstance(found, jax.Array)
    np.testing.assert_allclose(found, brute(pre, post, None, np.array([50, 100])), rtol=1e-5)
    with pytest.raises(init.UnitError, match="`anisotropy`"):
        init.pairwise_distances(pre * UM, post * UM, anisotropy=1 * u.ms)


def test_integers_and_other_dtypes():
    grid = np.arange(6).reshape(3, 2)
    expected = brute(grid.astype(float), grid.astype(float))
    for dtype in ("int32", "float16", "bfloat16", "float32"):
        for array in (np.asarray(grid, jnp.dtype(dtype)), jnp.asarray(grid, dtype)):
            found = init.pairwise_distances(array)
            assert found.dtype == jnp.float32
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert init.pairwise_distances(np.zeros((0, 2)), np.zeros((3, 2))).shape == (0, 3)


def test_float64(x64):
    pre, post = positions(7, 3), positions(5, 3, 1)
    np.testing.assert_allclose(init.pairwise_distances(pre, post), brute(pre, post), rtol=1e-14)


def test_accuracy_far_from_the_origin_and_at_the_ends_of_the_range():
    far = np.float32(1e5) + np.array([[0.0, 0.0], [0.0625, 0.125]], np.float32)
    np.testing.assert_allclose(
        init.pairwise_distances(far)[0, 1], np.hypot(0.0625, 0.125), rtol=1e-6
    )
    for size in (1e-30, 1e-15, 1.0, 1e15, 1e30):
        found = init.pairwise_distances(np.array([[0.0, 0.0], [3 * size, 4 * size]], np.float32))
        np.testing.assert_allclose(found[0, 1], 5 * size, rtol=1e-6)
    exact = init.pairwise_distances([[0.0, 0.0], [3.0, 4.0], [300.0, 400.0]])
    np.testing.assert_array_equal(exact[0], [0, 5, 500])


def test_a_nan_spoils_its_own_row_alone():
    pre = positions(4, 2)
    pre[1, 0] = np.nan
    found = np.asarray(init.pairwise_distances(pre, positions(3, 2)))
    assert np.isnan(found).any(1).tolist() == [False, True, False, False]


def test_gradients():
    pre = jnp.asarray([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    gradient = jax.jit(jax.grad(lambda x: init.pairwise_distances(x * UM).mantissa[0, 1]))(pre)
    np.testing.assert_allclose(gradient, [[-0.6, -0.8], [0.6, 0.8], [0, 0]], rtol=1e-6)
    gradient = jax.grad(lambda x: init.pairwise_distances(x).sum())(pre)
    np.testing.assert_allclose(gradient.sum(0), 0, atol=1e-6)
    assert np.isfinite(gradient).all()
    box = jax.grad(lambda x, b: init.pairwise_distances(x, box=b).sum(), (0, 1))(pre, 5.0)
    assert all(np.isfinite(g).all() for g in box)
    many = jax.vmap(lambda x: init.pairwise_distances(x))(jnp.stack([pre, 2 * pre]))
    np.testing.assert_allclose(many[1], 2 * many[0])


def test_bad_geometry():
    pre, post = positions(4, 2), positions(3, 3)
    with pytest.raises(ValueError, match="2 coordinates a neuron and `post_positions` 3"):
        init.pairwise_distances(pre, post)
    for wrong in (np.float64(3.0), np.ones((2, 2, 2)), np.ones((3, 0))):
        with pytest.raises(ValueError, match="must have the shape"):
            init.pairwise_distances(wrong)
    for wrong in (0.0, -1.0, np.nan, [1.0, -2.0]):
        with pytest.raises(ValueError, match="`box` must be positive"):
            init.pairwise_distances(pre, box=wrong)
        with pytest.raises(ValueError, match="`anisotropy` must be positive"):
            init.pairwise_distances(pre, anisotropy=wrong)
        traced = jax.jit(lambda b: init.pairwise_distances(pre, box=b))(jnp.asarray(wrong))
        assert np.isnan(traced).any(axis=None)
    with pytest.raises(ValueError, match="one for each of 2 axes"):
        init.pairwise_distances(pre, box=[1.0, 2.0, 3.0])
    with pytest.raises(init.UnitError, match="`box`"):
        init.pairwise_distances(pre * UM, box=100.0)
    with pytest.raises(init.UnitError, match="`post_positions`"):
        init.pairwise_distances(pre * UM, pre * u.ms)


# ---------------------------------------------------------------- weights

HAT = init.MexicanHatProfile(30 * UM)
PROFILES = {
    "hat": HAT,
    "sum": 0.5 * HAT + init.StepProfile(20 * UM),
    "applied": HAT | jnp.tanh,
    "numpy": HAT | (lambda x: np.minimum(x, 0.25)),
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_weights_are_scaled(profile):
    pre, post = positions(6, 2), positions(5, 2, 1)
    weights = np.random.default_rng(2).normal(size=(6, 5)) * u.nS
    distances = init.pairwise_distances(pre * UM, post * UM)
    expected = weights.mantissa * np.asarray(profile(distances))
    places = {"pre_positions": pre * UM, "post_positions": post * 1e-3 * MM}
    for found in (
        modulated(weights, profile, distances=distances),
        modulated(weights, profile, **places),
        modulated(weights.reshape(-1), profile, **places).reshape((6, 5)),
    ):
        assert found.unit == u.nS
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found.mantissa, expected, rtol=1e-4, atol=1e-6)
    scalar = modulated(weights, profile, distances=30 * UM)
    value = float(profile(30 * UM))
    np.testing.assert_allclose(scalar.mantissa, weights.mantissa * value, rtol=1e-5, atol=1e-6)


def test_dtypes_stay():
    for dtype in ("bfloat16", "float16", "complex64"):
        weights = jnp.ones(3, dtype)
        found = modulated(weights, HAT, distances=[0.0, 10.0, 60.0] * UM)
        assert found.dtype == weights.dtype
        np.testing.assert_allclose(
            found.astype(complex).real, HAT([0.0, 10.0, 60.0] * UM), rtol=1e-2
        )


def test_self_connections_are_left_out():
    pre = np.zeros((4, 2)) * UM  # all at one place, and yet four neurons
    weights = jnp.ones((4, 4))
    for given in ({"distances": 0 * UM}, {"pre_positions": pre, "post_positions": pre}):
        for profile in (HAT, HAT | jnp.tanh, 0.5 + HAT):
            found = np.asarray(modulated(weights, profile, include_self=False, **given))
            assert not np.diagonal(found).any()
            assert (found[~np.eye(4, dtype=bool)] != 0).all()
    flat = modulated(
        jnp.ones(16), HAT, pre_positions=pre, post_positions=pre, include_self=False
    ).reshape(4, 4)
    assert not np.diagonal(flat).any()
    for shape in ((4, 3), (4,), (2, 4, 4)):
        with pytest.raises(ValueError, match="square matrix"):
            modulated(jnp.ones(shape), HAT, distances=0 * UM, include_self=False)


def test_box_and_anisotropy_reach_the_weights():
    pre = [[5.0, 0.0], [95.0, 0.0]] * UM
    places = {"pre_positions": pre, "post_positions": pre}
    profile = init.LinearProfile(100 * UM)
    found = modulated(jnp.ones((2, 2)), profile, **places, box=100 * UM)
    np.testing.assert_allclose(found, [[1, 0.9], [0.9, 1]], rtol=1e-6)
    found = modulated(jnp.ones((2, 2)), profile, **places, anisotropy=[3.0, 1.0])
    np.testing.assert_allclose(found, [[1, 0.7], [0.7, 1]], rtol=1e-6)
    pure = init.LinearProfile(4.0)
    found = modulated(jnp.ones((2, 2)), pure, **places, anisotropy=[45 * UM, 1 * UM])
    np.testing.assert_allclose(found, [[1, 0.5], [0.5, 1]], rtol=1e-6)


def test_what_does_not_fit():
    pre, post = positions(4, 2) * UM, positions(3, 2) * UM
    with pytest.raises(ValueError, match=r"distances=\.\.\., or with pre_positions"):
        modulated(jnp.ones(3), HAT)
    with pytest.raises(ValueError, match=r"distances=\.\.\."):
        modulated(jnp.ones(3), HAT, pre_positions=pre)
    for shape in ((3, 4), (4,), (11,), (1, 4, 3), ()):
        with pytest.raises(ValueError, match="does not fit 4 `pre_positions` and 3"):
            modulated(jnp.ones(shape), HAT, pre_positions=pre, post_positions=post)
    for shape in ((4,), (2, 3), (1, 3, 1)):
        with pytest.raises(ValueError, match="does not broadcast to the size"):
            modulated(jnp.ones(3), HAT, distances=np.ones(shape) * UM)
    with pytest.raises(ValueError, match="`box` goes with positions"):
        modulated(jnp.ones(3), HAT, distances=1 * UM, box=1 * UM)
    with pytest.raises(init.UnitError):
        modulated(jnp.ones((4, 3)), HAT, pre_positions=pre.mantissa, post_positions=post.mantissa)
    with pytest.raises(init.UnitError):
        modulated(jnp.ones(3), HAT, distances=1 * u.ms)


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("given", CASES.values(), ids=CASES)
def test_nothing_larger_than_the_result(given):
    n = 2000
    pre = jnp.asarray(positions(n, 3), jnp.float32)
    result = 4 * n * n

    def memory(function, *args):
        return jax.jit(function).lower(*args).compile().memory_analysis()

    used = memory(lambda x: init.pairwise_distances(x, x, **given), pre)
    assert used.output_size_in_bytes == result
    assert used.temp_size_in_bytes <= FEW + 2 * pre.nbytes
    profile = 0.5 * init.MexicanHatProfile(30.0) + 0.1

    def weights(w, p, x):
        places = {"pre_positions": x, "post_positions": x, "include_self": False}
        return modulated(w, p, **places, **given)

    used = memory(weights, jnp.ones((n, n)), profile, pre)
    assert used.output_size_in_bytes == result
    assert used.temp_size_in_bytes <= FEW + 2 * pre.nbytes


# ---------------------------------------------------------------- the initializer

WEIGHTS = init.Normal(1.0 * u.nS, 0.2 * u.nS)
BELL = init.GaussianProfile(100 * UM)


def key():
    return jax.random.key(4)


def test_weights_are_the_bases_times_the_profile():
    obj = init.DistanceModulated(WEIGHTS, BELL)
    d = np.linspace(0, 300, 50) * UM
    w = obj(50, rng=key(), distances=d)
    assert w.unit == u.nS
    expected = WEIGHTS(50, rng=key()).mantissa * np.exp(-((d.mantissa / 100) ** 2) / 2)
    np.testing.assert_allclose(w.mantissa, expected, rtol=1e-6)
    by_function = init.distance_modulated(key(), 50, WEIGHTS, BELL, distances=d)
    np.testing.assert_array_equal(by_function.mantissa, w.mantissa)
    elsewhere = obj(50, rng=key(), distances=d.to(MM))
    np.testing.assert_allclose(elsewhere.mantissa, w.mantissa, rtol=2e-6)


def test_positions_matrix_and_pairs_in_a_row():
    pre, post = positions(4, 2) * UM, positions(3, 2, seed=1) * 1e-3 * MM
    obj = init.DistanceModulated(WEIGHTS, HAT)
    places = {"pre_positions": pre, "post_positions": post}
    matrix = obj((4, 3), rng=key(), **places)
    flat = obj(12, rng=key(), **places)
    np.testing.assert_allclose(matrix.mantissa.ravel(), flat.mantissa, rtol=1e-6)
    assert (matrix.mantissa < 0).any()  # the surround


def test_the_initializer_composes_and_transforms():
    obj = (init.DistanceModulated(WEIGHTS, BELL) * 2).clip(0 * u.nS, 1.5 * u.nS)
    d = np.linspace(0, 300, 20) * UM
    w = obj(20, rng=key(), distances=d)
    assert 0 <= w.mantissa.min() <= w.mantissa.max() <= 1.5
    jitted = jax.jit(lambda o, k, d: o(20, rng=k, distances=d))(obj, key(), d)
    np.testing.assert_allclose(jitted.mantissa, w.mantissa, rtol=1e-6)

    def total(sigma):
        modulated = init.DistanceModulated(WEIGHTS, init.GaussianProfile(sigma * UM))
        return modulated(20, rng=key(), distances=d).mantissa.sum()

    assert jax.grad(total)(100.0) > 0
    assert obj(20, rng=key(), distances=d, dtype=jnp.bfloat16).dtype == jnp.bfloat16
    mixed = init.Mixture([obj, init.Constant(9 * u.nS)])(20, rng=key(), distances=d)
    assert (mixed.mantissa == 9).any()


def test_a_users_own_profile_and_its_numpy():
    class Plateau(init.DistanceProfile):
        def __init__(self, radius):
            self.radius = radius

        def probability(self, distances):
            return np.where(np.asarray(distances / self.radius) < 1, 1.0, 0.5)

    obj = init.DistanceModulated(init.Constant(2.0 * u.nS), Plateau(50 * UM))
    w = obj(2, distances=[10.0, 90.0] * UM)
    np.testing.assert_array_equal(w.mantissa, [2.0, 1.0])


def test_what_the_initializer_refuses():
    obj = init.DistanceModulated(WEIGHTS, BELL)
    with pytest.raises(ValueError, match=r"distances=\.\.\."):
        obj(3, rng=key())
    with pytest.raises(ValueError, match="does not broadcast"):
        obj(3, rng=key(), distances=np.ones(4) * UM)
    with pytest.raises(init.UnitError, match="distances"):
        obj(3, rng=key(), distances=np.ones(3) * u.ms)
    with pytest.raises(TypeError, match="`distance_profile`"):
        init.DistanceModulated(WEIGHTS, np.exp)
    with pytest.raises(TypeError, match="no distance="):
        obj(3, rng=key(), distance=1 * UM)


def test_a_population_of_20000_takes_no_more_than_its_weights():
    """Compiled only: 1.6 GB of weights, whose distances are never laid out."""
    n = 20_000
    obj = init.DistanceModulated(WEIGHTS, BELL, box=1 * MM, include_self=False)

    def draw(k, at):
        return obj((n, n), rng=k, pre_positions=at * UM, post_positions=at * UM).mantissa

    places = jax.ShapeDtypeStruct((n, 2), jnp.float32)
    used = jax.jit(draw).lower(key(), places).compile().memory_analysis()
    assert used.output_size_in_bytes == 4 * n * n
    assert used.temp_size_in_bytes <= FEW + 4 * 4 * n * 2


def test_a_bad_box_or_divisor_is_refused_when_it_is_written():
    base, profile = init.Normal(), init.GaussianProfile(1.0)
    for name in ("box", "anisotropy"):
        for bad in (-1.0, 0.0, np.nan, np.array([1.0, -1.0]), -1 * UM):
            with pytest.raises(ValueError, match=f"`{name}` must be positive"):
                init.DistanceModulated(base, profile, **{name: bad})
        with pytest.raises(ValueError, match=f"`{name}` must be one number or one for each"):
            init.DistanceModulated(base, profile, **{name: np.ones((2, 2))})
    assert init.DistanceModulated(base, profile, box=np.array([np.inf, 1.0])).box[1] == 1
    with pytest.raises(ValueError, match="`anisotropy` must be positive"):
        init.DistanceModulated(base, profile, anisotropy=np.inf)


@pytest.mark.parametrize("name", ["box", "anisotropy"])
def test_a_traced_bad_box_or_divisor_is_nan(name):
    def drawn(value, at):
        obj = init.DistanceModulated(
            init.Constant(1.0), init.GaussianProfile(10.0), **{name: value}
        )
        return obj((3, 3), pre_positions=at, post_positions=at)

    at = jnp.array(positions(3, 2))
    found = jax.jit(jax.vmap(drawn, (0, None)))(jnp.array([50.0, -1.0, 0.0, np.nan]), at)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize("flag", ["False", 0, None, np.ones(2), jnp.ones(2)], ids=repr)
def test_include_self_is_true_or_false(flag):
    with pytest.raises(TypeError, match="`include_self` must be True or False"):
        init.DistanceModulated(init.Normal(), init.GaussianProfile(1.0), include_self=flag)


def test_balance_after_the_modulation():
    at = positions(40, 2) * UM
    weights = init.DistanceModulated(init.LogNormal(1.0, 0.2), init.GaussianProfile(50 * UM))
    places = {"pre_positions": at, "post_positions": at}
    balanced = init.Dale(weights, balance="exact")((40, 40), rng=0, **places)
    np.testing.assert_allclose(balanced.sum(0), 0, atol=1e-5)
    before = init.DistanceModulated(
        init.Dale(weights.base_dist, balance="exact"), weights.distance_profile
    )
    assert abs(before((40, 40), rng=0, **places).sum(0)).max() > 0.1
