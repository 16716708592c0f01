"""Distance profiles: their values, units, algebra, and what makes them values."""

from __future__ import annotations

import copy
import inspect
import pickle

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify
from numpydoc.docscrape import NumpyDocString
from scipy.special import expit

import braininit as init
from braininit.spatial.reach import reach

UM, MM, M = u.um, u.mm, u.meter


def cut(value, d, limit):
    return np.where(d > limit, 0.0, value)


def bell(x):
    return np.exp(-(x**2) / 2)


# Lengths in um; the closed form of the signed value in float64.
PROFILES = {
    "gaussian": (
        lambda L: init.GaussianProfile(L(50), L(120)),
        lambda d: cut(bell(d / 50), d, 120),
    ),
    "exponential": (
        lambda L: init.ExponentialProfile(L(80), L(300)),
        lambda d: cut(np.exp(-d / 80), d, 300),
    ),
    "power_law": (
        lambda L: init.PowerLawProfile(1.5, L(10), L(200)),
        lambda d: cut((np.maximum(d, 10) / 10) ** -1.5, d, 200),
    ),
    "linear": (lambda L: init.LinearProfile(L(150)), lambda d: np.maximum(0, 1 - d / 150)),
    "step": (
        lambda L: init.StepProfile(L(100), 0.75, 0.125),
        lambda d: np.where(d <= 100, 0.75, 0.125),
    ),
    "sigmoid": (
        lambda L: init.SigmoidProfile(L(100), 0.04 / L(1), L(250)),
        lambda d: cut(expit(-0.04 * (d - 100)), d, 250),
    ),
    "logistic": (
        lambda L: init.LogisticProfile(0.07 / L(1), L(90), L(250)),
        lambda d: cut(expit(-0.07 * (d - 90)), d, 250),
    ),
    "dog": (
        lambda L: init.DoGProfile(L(30), L(90), 1.25, 0.75, L(280)),
        lambda d: cut(1.25 * bell(d / 30) - 0.75 * bell(d / 90), d, 280),
    ),
    "bimodal": (
        lambda L: init.BimodalProfile(L(30), L(50), L(10), L(200), 1.5, 0.5, L(280)),
        lambda d: cut(1.5 * bell((d - 10) / 30) + 0.5 * bell((d - 200) / 50), d, 280),
    ),
    "mexican_hat": (
        lambda L: init.MexicanHatProfile(L(50), 1.5, L(280)),
        lambda d: cut(1.5 * (1 - (d / 50) ** 2) * bell(d / 50), d, 280),
    ),
}
every = pytest.mark.parametrize("name", PROFILES)
BOUNDARIES = [0, 10, 100, 120, 150, 200, 250, 280, 300]  # kinks and cutoffs, in um
DISTANCES = np.unique(np.r_[BOUNDARIES, np.arange(0.5, 400, 7)])
CLASSES = [c for n, c in vars(init).items() if n.endswith("Profile") and isinstance(c, type)]


def in_um(x):
    return x * UM


def bare(x):
    return x * 1.0


def made(name, length=in_um):
    return PROFILES[name][0](length)


# ---------------------------------------------------------------- values


@every
def test_values_are_the_closed_form(name):
    profile, expected = made(name), PROFILES[name][1](DISTANCES)
    for value in (profile.weight_scaling(DISTANCES * UM), profile(DISTANCES * UM)):
        assert isinstance(value, jax.Array)
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected, rtol=2e-6, atol=5e-7)
    probability = np.asarray(profile.probability(DISTANCES * UM))
    np.testing.assert_allclose(probability, expected.clip(0, 1), rtol=2e-6, atol=5e-7)
    assert probability.min() >= 0
    assert probability.max() <= 1


@every
def test_values_in_float64(name, x64):
    value = made(name)(jnp.asarray(DISTANCES) * UM)
    assert value.dtype == jnp.float64
    np.testing.assert_allclose(value, PROFILES[name][1](DISTANCES), rtol=1e-13, atol=1e-15)


@every
@pytest.mark.parametrize("rows", range(3))
def test_values_do_not_depend_on_the_unit_written(name, rows):
    rng = np.random.default_rng(rows)
    d = rng.uniform(0, 400, 50)
    expected = made(name)(d * UM)
    lengths = {UM: 1.0, MM: 1e-3, M: 1e-6, u.nmeter: 1e3}
    for one, factor in lengths.items():
        for other, times in lengths.items():
            profile = made(name, lambda x, o=other, t=times: x * t * o)
            value = profile(d * factor * one)
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@every
def test_bare_and_other_dimensions(name):
    expected = made(name)(DISTANCES * UM)
    np.testing.assert_array_equal(made(name, bare)(DISTANCES), expected)
    np.testing.assert_array_equal(made(name, lambda x: x * u.ms)(DISTANCES * u.ms), expected)


@every
def test_a_unit_is_demanded_where_lengths_have_one(name):
    profile = made(name)
    for wrong in (3.0, np.arange(3.0), 3.0 * u.ms):
        with pytest.raises(init.UnitError, match="`distances`"):
            profile(wrong)
        with pytest.raises(u.UnitMismatchError):
            profile.probability(wrong)
    with pytest.raises(init.UnitError):
        made(name, bare)(3.0 * UM)
    assert profile(0) == profile(0 * UM)


@every
def test_shapes_and_dtypes(name):
    profile = made(name)
    for shape in ((), (1,), (0,), (2, 3), (2, 1, 4)):
        assert profile(np.full(shape, 30.0) * UM).shape == shape
    assert profile(30 * UM) == profile(np.float32(30) * UM) == profile([30] * UM)[0]
    for dtype in ("float16", "bfloat16", "int32"):
        assert profile(jnp.full(3, 30, dtype) * UM).dtype == jnp.float32


@every
def test_ends(name):
    profile = made(name)
    assert np.isnan(profile(np.nan * UM))
    assert profile(np.inf * UM) == (0.125 if name == "step" else 0)
    assert profile(1e38 * UM) == (0.125 if name == "step" else 0)


def test_nothing_overflows_far_away():
    for name in ("gaussian", "exponential", "dog", "mexican_hat"):
        cls = type(made(name))
        profile = cls(*([1e-3 * UM] * (2 if name == "dog" else 1)))
        for d in (1.0, 1e18, 1e30, np.inf):
            assert profile(d * UM) == 0
            gradient = jax.grad(lambda p, d=d: p(jnp.float32(d) * UM))(profile)
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_the_cutoff_is_strict():
    profile = init.GaussianProfile(50 * UM, 0.1 * MM)
    assert profile(100 * UM) > 0.1
    assert profile(np.nextafter(np.float32(100), np.float32(200)) * UM) == 0
    assert init.StepProfile(100 * UM)(0.1 * MM) == 1
    assert init.LinearProfile(200 * UM)(0.2 * MM) == 0


def test_the_surround_inhibits():
    hat = init.MexicanHatProfile(50 * UM)
    lowest = 50 * np.sqrt(3) * UM
    np.testing.assert_allclose(hat(lowest), -2 * np.exp(-1.5), rtol=1e-6)
    assert hat.probability(lowest) == 0
    assert init.DoGProfile(30 * UM, 90 * UM)(90 * UM) < 0


def test_a_slope_has_a_unit_of_its_own():
    written = init.SigmoidProfile(100 * UM)
    assert written.slope == 0.05 / UM
    assert written == init.SigmoidProfile(100 * UM, 0.05 / UM)
    d = np.linspace(0, 300, 20) * UM
    for slope in (0.05 / UM, 50 / MM, 5e4 / M):
        for midpoint in (100 * UM, 0.1 * MM):
            for profile in (
                init.SigmoidProfile(midpoint, slope),
                init.LogisticProfile(slope, midpoint),
            ):
                np.testing.assert_allclose(profile(d), written(d), rtol=1e-5)
    # A bare slope counts per the unit written, and is stored with it.
    per_mm = init.SigmoidProfile(0.1 * MM)
    assert per_mm.slope == 0.05 / MM
    np.testing.assert_allclose(per_mm(100.3 * UM), expit(-0.05 * 0.0003), rtol=1e-6)
    for slope in (0.05 * UM, 0.05 * u.ms, 0.05 / u.ms):
        with pytest.raises(init.UnitError, match="`slope` must be"):
            init.SigmoidProfile(100 * UM, slope)
    with pytest.raises(init.UnitError, match="bare"):
        init.SigmoidProfile(100.0, 0.05 / UM)


def test_the_shortest_distance_of_a_power_law():
    for profile in (init.PowerLawProfile(2.0), init.PowerLawProfile(2.0, max_distance=1 * MM)):
        np.testing.assert_allclose(profile([0, 1, 10] * UM), [1, 1, 0.01], rtol=1e-6)
        np.testing.assert_allclose(profile([0.01] * MM), 0.01, rtol=1e-6)
    np.testing.assert_allclose(init.PowerLawProfile(2.0)([0.0, 2.0]), [1, 0.25])
    with pytest.raises(init.UnitError):
        init.PowerLawProfile(2.0)(3 * u.ms)


# ---------------------------------------------------------------- bad input

LENGTHS = {
    init.GaussianProfile: ("sigma", "max_distance"),
    init.ExponentialProfile: ("decay_constant", "max_distance"),
    init.PowerLawProfile: ("min_distance", "max_distance"),
    init.LinearProfile: ("max_distance",),
    init.StepProfile: ("threshold",),
    init.SigmoidProfile: ("midpoint", "max_distance"),
    init.LogisticProfile: ("midpoint", "max_distance"),
    init.DoGProfile: ("sigma_center", "sigma_surround", "max_distance"),
    init.BimodalProfile: ("sigma1", "sigma2", "max_distance"),
    init.MexicanHatProfile: ("sigma", "max_distance"),
}


def arguments(profile):
    return {n: getattr(profile, n) for n in profile.__dataclass_fields__}


@every
def test_bad_lengths_are_refused(name):
    given = arguments(made(name))
    cls = type(made(name))
    for length in LENGTHS[cls]:
        for bad in (0.0, -5.0, np.nan, np.inf):
            with pytest.raises(ValueError, match=f"`{length}` must be .*got .* um; "):
                cls(**given | {length: bad * UM})
        if len(LENGTHS[cls]) > 1:
            with pytest.raises(init.UnitError, match=f"`{length}`"):
                cls(**given | {length: 5.0 * u.ms})
            with pytest.raises(init.UnitError, match=f"`{length}`"):
                cls(**given | {length: 5.0})


@every
def test_bad_numbers_are_refused(name):
    given = arguments(made(name))
    cls = type(made(name))
    for number in given.keys() - LENGTHS[cls]:
        is_length = number.startswith("center")
        with pytest.raises(ValueError, match=f"`{number}` must be"):
            cls(**given | {number: np.nan * (UM if is_length else 1)})
        if not is_length:
            with pytest.raises(init.UnitError, match=f"`{number}`"):
                cls(**given | {number: 2.0 * u.mV})
        with pytest.raises(TypeError, match=f"`{number}`|`{number}` must be"):
            cls(**given | {number: "steep"})


def test_probabilities_lie_between_0_and_1():
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="`inside_prob` must be from 0 to 1"):
            init.StepProfile(1 * UM, bad)
        with pytest.raises(ValueError, match="`outside_prob` must be from 0 to 1"):
            init.StepProfile(1 * UM, 1.0, bad)
    with pytest.raises(ValueError, match="`min_distance` must be less than `max_distance`"):
        init.PowerLawProfile(1.0, 5 * UM, 0.005 * MM)
    with pytest.raises(ValueError, match="`min_distance` must be less than `max_distance`"):
        init.PowerLawProfile(1.0, max_distance=0.5 * UM)


@every
def test_traced_bad_lengths_give_nan(name):
    profile = made(name)
    leaves, tree = jax.tree.flatten(profile)
    values = jax.jit(lambda p: p([30.0, 110.0] * UM))
    assert np.isfinite(values(profile)).all()
    for i in range(len(leaves)):
        poisoned = jax.tree.unflatten(tree, [*leaves[:i], np.nan, *leaves[i + 1 :]])
        assert np.isnan(values(poisoned)).all(), i
    for length in LENGTHS[type(profile)]:
        given = arguments(profile)
        make = jax.jit(lambda x, n=length, g=given: type(profile)(**g | {n: x * UM})(30.0 * UM))
        assert np.isnan(make(-5.0))


def test_checkify_names_the_traced_length():
    def scaled(sigma):
        return init.GaussianProfile(sigma * UM)(30.0 * UM)

    checked = jax.jit(checkify.checkify(scaled))
    assert checked(50.0)[0].get() is None
    assert "`sigma` must be positive" in checked(-1.0)[0].get()


# ---------------------------------------------------------------- transforms


@every
def test_traced_parameters_and_gradients(name):
    profile, eager = made(name), made(name)(DISTANCES * UM)
    traced = jax.jit(lambda p, d: p(d * UM))(profile, jnp.asarray(DISTANCES, jnp.float32))
    np.testing.assert_allclose(traced, eager, rtol=2e-6, atol=1e-7)
    for d in BOUNDARIES:
        by_length = jax.grad(lambda p, d=d: p(jnp.float32(d) * UM))(profile)
        by_distance = jax.grad(lambda x: profile(x * UM))(jnp.float32(d))
        for value in (*jax.tree.leaves(by_length), by_distance):
            assert np.isfinite(value).all(), d
    smooth = jnp.float32(33.0)
    step = (profile((smooth + 0.5) * UM) - profile((smooth - 0.5) * UM)) / 1.0
    slope = jax.grad(lambda x: profile(x * UM))(smooth)
    np.testing.assert_allclose(slope, step, rtol=2e-3, atol=1e-6)


def test_vmap_over_lengths():
    sigmas = jnp.asarray([20.0, 50.0, 80.0])
    profiles = jax.vmap(lambda s: init.GaussianProfile(s * UM))(sigmas)
    values = jax.vmap(lambda p: p(30.0 * UM))(profiles)
    np.testing.assert_allclose(values, bell(30 / np.asarray(sigmas)), rtol=1e-6)
    # An array of lengths broadcasts, also where JAX refuses to raise a rank implicitly.
    d = np.full((2, 4, 3), 30.0) * UM
    np.testing.assert_allclose(init.GaussianProfile(sigmas * UM)(d)[1, 2], values, rtol=1e-6)
    assert init.GaussianProfile(np.ones((4, 1)) * UM)(np.ones(3) * UM).shape == (4, 3)


def test_one_program_for_all_numbers():
    traces = []

    def kernel(d, width):
        traces.append(None)
        return d / width

    class Counted(init.DistanceProfile, kernel=kernel):
        width: init.QuantityLike

    for width in (1 * UM, 2.0 * UM, np.float32(3) * UM, 0.1 * MM):
        for d in (1 * UM, 2.0 * MM, np.float64(4) * UM, 0):
            Counted(width)(d)
    assert len(traces) == 1
    assert Counted(4 * UM)(1 * UM) == 0.25


# ---------------------------------------------------------------- being a value


@every
def test_the_laws_of_a_value(name):
    profile, same, other = made(name), made(name), made(name, bare)
    assert profile == same
    assert hash(profile) == hash(same)
    assert profile != other
    names = {"Quantity": u.Quantity, "array": np.array, **vars(init)}
    for x in (profile, 0.5 * profile + 1, (-(profile**2)).clip(0.1, 0.9), 1 - profile / 3):
        assert eval(repr(x), names) == x
        assert pickle.loads(pickle.dumps(x)) == x == copy.deepcopy(x)
        leaves, tree = jax.tree.flatten(x)
        assert jax.tree.unflatten(tree, leaves) == x
        assert all(isinstance(leaf, float) for leaf in leaves)
        assert len({x: 1, copy.copy(x): 2}) == 1
    with pytest.raises(AttributeError):
        profile.max_distance = 1.0
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(profile)]
    assert [path[0].name for path in paths] == [n for n, v in arguments(profile).items() if v]


def test_the_documentation_is_complete():
    """A formula, and what is special; the base class explains lengths and amplitudes."""
    for cls in CLASSES:
        doc = NumpyDocString(inspect.getdoc(cls))
        listed = {n.strip() for p in doc["Parameters"] for n in p.name.split(",")}
        assert listed <= getattr(cls, "__dataclass_fields__", {}).keys(), cls
        assert doc["Summary"], cls
        assert cls._kernel is None or ".. math::" in "\n".join(doc["Extended Summary"]), cls


# ---------------------------------------------------------------- algebra

G, E = init.GaussianProfile(50 * UM), init.ExponentialProfile(80 * UM, 200 * UM)
HAT = init.MexicanHatProfile(40 * UM)
D = np.linspace(0, 300, 31) * UM


def values(profile):
    return np.asarray(profile(D), np.float64)


@pytest.mark.parametrize("other", [2, 0.5, np.float32(0.25), np.float64(3), np.int64(2)])
def test_arithmetic_with_numbers(other):
    g, n = values(G), float(other)
    for profile, expected in (
        (G + other, g + n),
        (other + G, g + n),
        (G - other, g - n),
        (other - G, n - g),
        (G * other, g * n),
        (other * G, g * n),
        (G / other, g / n),
        (other / (G + 1), n / (g + 1)),
        (G**other, g**n),
        (other**G, n**g),
        (-G, -g),
        (+G, g),
    ):
        assert isinstance(profile, init.DistanceProfile)
        np.testing.assert_allclose(values(profile), expected, rtol=1e-5)


def test_arithmetic_with_profiles():
    for profile, expected in (
        (G + E, values(G) + values(E)),
        (G - HAT, values(G) - values(HAT)),
        (G * HAT, values(G) * values(HAT)),
        (E / G, values(E) / values(G)),
        (G**E, values(G) ** values(E)),
    ):
        np.testing.assert_allclose(values(profile), expected, rtol=1e-5)
        np.testing.assert_allclose(
            profile.probability(D), expected.clip(0, 1), rtol=1e-5, atol=1e-7
        )


def test_arithmetic_with_arrays():
    factors = np.linspace(0, 1, 31)
    for array in (factors, jnp.asarray(factors)):
        np.testing.assert_allclose(values(G * array), values(G) * factors, rtol=1e-6)
        np.testing.assert_allclose(values(array * G), values(G) * factors, rtol=1e-6)
    assert (G * np.ones(3)) == (G * np.ones(3))


def test_probability_is_cut_once_at_the_end():
    np.testing.assert_allclose((2 * G * 0.5).probability(D), G.probability(D))
    np.testing.assert_allclose((G + 0.5 - 0.5).probability(D), G.probability(D), atol=1e-7)
    assert (G * 2)(0 * UM) == 2
    assert (G * 2).probability(0 * UM) == 1
    assert (-HAT).probability(70 * UM) > 0.3


def test_laws_of_the_algebra():
    for a, b in (
        (G + E, E + G),
        (G * E, E * G),
        (G * (E + HAT), G * E + G * HAT),
        ((G + E) + HAT, G + (E + HAT)),
        (-(-1 * HAT), HAT),
        (HAT - HAT, 0 * HAT),
        (HAT**2, HAT * HAT),
        (G / 2, 0.5 * G),
        (2**G, (G.apply(lambda x: 2**x))),
    ):
        np.testing.assert_allclose(values(a), values(b), rtol=1e-5, atol=1e-6)


def test_clip():
    np.testing.assert_allclose(values(HAT.clip(-0.1, 0.5)), values(HAT).clip(-0.1, 0.5))
    np.testing.assert_allclose(values(HAT.clip(min_val=0.2)), values(HAT).clip(0.2))
    np.testing.assert_allclose(values(HAT.clip(max_val=0.2)), values(HAT).clip(None, 0.2))
    assert HAT.clip() is HAT
    assert "clip" in repr(HAT.clip(0.1, 0.5))
    for bounds in ((0.5, 0.1), (np.nan, 1.0), (0.1, np.nan), (np.nan, None)):
        with pytest.raises(ValueError, match="`min_val` must be less than `max_val`"):
            HAT.clip(*bounds)
    with pytest.raises(init.UnitError, match="`min_val`"):
        HAT.clip(1 * UM)
    assert np.isnan(jax.jit(lambda a: HAT.clip(a, 0.1)(0 * UM))(0.5))


def test_apply_and_pipe():
    for profile in (G.apply(np.sqrt), G | np.sqrt, G | jnp.sqrt, G | (lambda x: x**0.5)):
        np.testing.assert_allclose(values(profile), np.sqrt(values(G)), rtol=1e-6)
    piped = G | (lambda x: x * 2) | (lambda x: np.minimum(x, 1.0))
    np.testing.assert_allclose(values(piped), (2 * values(G)).clip(None, 1), rtol=1e-6)
    assert (G | (lambda x: 2 * x))(0 * UM) == 2
    assert (G | (lambda x: 2 * x)).probability(0 * UM) == 1
    np.testing.assert_allclose(values(1 + 2 * (G | jnp.sqrt)), 1 + 2 * values(G) ** 0.5, rtol=1e-6)
    inside = jax.jit(lambda p: (p | jnp.sqrt)(50 * UM))(G)
    np.testing.assert_allclose(inside, np.exp(-0.25), rtol=1e-6)
    assert (G | jnp.sqrt) == (G | jnp.sqrt)
    assert jax.tree.leaves(G | jnp.sqrt) == [50.0]
    assert "apply" in repr(G.apply(np.sqrt))


def test_what_is_no_operand():
    for wrong in (object(), "2", None, [1.0], init.Normal()):
        for operate in (lambda a, b: a + b, lambda a, b: a * b, lambda a, b: b - a):
            with pytest.raises(TypeError):
                operate(G, wrong)
    for wrong in (5, E):
        with pytest.raises(TypeError, match="callable|can't follow"):
            G | wrong
    with pytest.raises(init.UnitError, match="pure number"):
        G * (0.5 * u.nS)
    with pytest.raises(TypeError):
        G * u.nS
    with pytest.raises(ValueError, match="`op` must be one of"):
        init.CombinedProfile("%", G, 2)
    with pytest.raises(TypeError, match="must be a profile"):
        init.CombinedProfile("+", 1, 2)


# ---------------------------------------------------------------- a user's own


class Plain(init.DistanceProfile):
    """In BrainTools' way: an ordinary object, NumPy inside."""

    def __init__(self, radius):
        self.radius = radius

    def probability(self, distances):
        return np.asarray(u.math.where(distances < self.radius, 0.5, 0.25))

    def weight_scaling(self, distances):
        return -2 * self.probability(distances)


class OnlyProbability(init.DistanceProfile):
    def probability(self, distances):
        return (1 - distances / (400 * UM)) * 0.5


class OnlyScaling(init.DistanceProfile):
    def weight_scaling(self, distances):
        return 3.0 - 5 * distances / (300 * UM)


class Squared(init.GaussianProfile):
    def probability(self, distances):
        return super().probability(distances) ** 2


def test_a_plain_subclass_takes_part():
    plain = Plain(100 * UM)
    p = np.where(D.mantissa < 100, 0.5, 0.25)
    combined = 1 - plain * 0.5 + G
    np.testing.assert_allclose(values(combined), 1 + p + values(G), rtol=1e-6)
    expected = (1 - p * 0.5 + values(G)).clip(0, 1)
    np.testing.assert_allclose(combined.probability(D), expected, rtol=1e-6)
    np.testing.assert_allclose(values(plain.clip(-0.75)), (-2 * p).clip(-0.75))
    np.testing.assert_allclose(values(plain | np.abs), 2 * p)
    np.testing.assert_allclose(plain(D), -2 * p)
    assert plain == plain
    assert plain != Plain(100 * UM)
    inside = jax.jit(lambda g: (g * OnlyProbability())(40.0 * UM))(G)
    np.testing.assert_allclose(inside, bell(0.8) * 0.45, rtol=1e-6)


def test_one_method_is_enough():
    d = D.mantissa
    np.testing.assert_allclose(OnlyProbability()(D), (1 - d / 400) / 2, rtol=1e-6)
    np.testing.assert_allclose(values(2 * OnlyProbability()), 1 - d / 400, rtol=1e-6)
    raw = 3 - 5 * d / 300
    np.testing.assert_allclose(OnlyScaling().probability(D), raw.clip(0, 1), rtol=1e-5, atol=1e-6)
    halved = (0.25 * OnlyScaling()).probability(D)
    np.testing.assert_allclose(halved, (raw / 4).clip(0, 1), rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match="abstract"):
        init.DistanceProfile()(D)
    with pytest.raises(TypeError, match="abstract"):
        (2 * init.DistanceProfile()).probability(D)


def test_overriding_a_built_in_profile():
    squared = Squared(50 * UM)
    for value in (squared.probability(D), squared(D), (1 * squared)(D)):
        np.testing.assert_allclose(value, values(G) ** 2, rtol=1e-5)
    assert squared == Squared(50 * UM)
    assert squared != G
    assert jax.tree.leaves(squared) == [50.0]


def test_a_profile_with_a_kernel():
    def kernel(d, radius, width):
        return jnp.exp(-(((d - radius) / width) ** 2) / 2)

    class Ring(init.DistanceProfile, kernel=kernel):
        radius: init.QuantityLike
        width: init.QuantityLike

    ring = Ring(0.1 * MM, 10 * UM)
    np.testing.assert_allclose(ring(D), bell((D.mantissa - 100) / 10), rtol=1e-5, atol=1e-7)
    assert repr(ring) == "Ring(radius=Quantity(0.1, 'mm'), width=Quantity(10.0, 'um'))"
    with pytest.raises(ValueError, match="`width` must be positive"):
        Ring(1 * UM, -1 * UM)


# ---------------------------------------------------------------- arrays, and what was refused


@pytest.mark.parametrize(
    "make",
    [
        lambda: init.LinearProfile([1.0, 2.0] * u.um),
        lambda: init.GaussianProfile(1 * u.um, max_distance=[1.0, 2.0] * u.um),
        lambda: init.LinearProfile([1.0, 2.0] * u.um) + 1,
        lambda: (1 - init.GaussianProfile([1.0, 2.0] * u.um)).clip(0, 1),
        lambda: init.LinearProfile([1.0, 2.0] * u.um).apply(jnp.sqrt),
        lambda: init.LinearProfile([1.0, 2.0] * u.um).apply(jnp.sqrt) * 2,
        lambda: init.StepProfile(1 * u.um, [0.1, 0.2]),
        lambda: init.StepProfile(1 * u.um) * np.array([0.1, 0.2]),
        lambda: init.StepProfile(1 * u.um) | (lambda x: x[:2]),
    ],
)
def test_shapes_that_do_not_go_together_are_named(make):
    said = r"`\w+` of shape \(2,\) does not go with distances of shape \(3,\)"
    profile, at = make(), [0.0, 1.0, 2.0] * u.um
    result_only = getattr(profile, "func", jnp.sqrt) is not jnp.sqrt
    for method in (profile, profile.probability) if not result_only else ():
        with pytest.raises(ValueError, match=said):
            method(at)
        with pytest.raises(ValueError, match=said):
            jax.eval_shape(lambda d, f=method: f(d * u.um), jnp.ones(3))
    modulated = init.DistanceModulated(init.Normal(), profile)
    with pytest.raises(ValueError, match=said):
        modulated(3, rng=0, distances=at)


def test_array_parameters_broadcast_to_the_distances():
    at = np.array([[0.0, 1.0, 2.0], [0.5, 1.5, 3.0]]) * u.um
    lengths = np.array([[2.0], [4.0]])
    profile = init.LinearProfile(lengths * u.um)
    single = [init.LinearProfile(n * u.um)(row) for n, row in zip((2.0, 4.0), at, strict=True)]
    np.testing.assert_allclose(profile(at), np.stack(single))
    assert profile(1 * u.um).shape == (2, 1)
    with pytest.raises(ValueError, match=r"`max_distance` of shape \(2, 1\) does not go"):
        init.DistanceModulated(init.Normal(), profile)(3, rng=0, distances=at[0])


def test_own_shapes_that_do_not_go_together_are_named():
    said = r"don't go together: `sigma` \(2,\), `max_distance` \(3,\)"
    with pytest.raises(ValueError, match=said):
        init.GaussianProfile([1.0, 2.0], [1.0, 2.0, 3.0])


REQUIRED = {
    init.GaussianProfile: ("sigma",),
    init.ExponentialProfile: ("decay_constant",),
    init.PowerLawProfile: ("exponent",),
    init.LinearProfile: ("max_distance",),
    init.StepProfile: ("threshold", "inside_prob", "outside_prob"),
    init.SigmoidProfile: ("midpoint", "slope"),
    init.LogisticProfile: ("growth_rate", "midpoint"),
    init.DoGProfile: ("sigma_center", "sigma_surround", "amplitude_center"),
    init.BimodalProfile: ("sigma1", "sigma2", "center1", "amplitude1"),
    init.MexicanHatProfile: ("sigma", "amplitude"),
}


@pytest.mark.parametrize("cls", REQUIRED, ids=lambda cls: cls.__name__)
def test_none_and_traced_bad_parameters(cls):
    """None is refused by name; a traced NaN is NaN at all distances, near, far and beyond."""
    good = dict.fromkeys(REQUIRED[cls], 0.5)
    for name in good:
        with pytest.raises(TypeError, match=f"`{name}` must be a number, .* got None"):
            cls(**good | {name: None})
        for method in ("probability", "weight_scaling"):

            def value(x, name=name, method=method):
                return getattr(cls(**good | {name: x}), method)(jnp.array([0.0, 0.5, 2.0, 1e3]))

            found = jax.jit(jax.vmap(value))(jnp.array([0.5, np.nan, np.inf]))
            assert np.isfinite(found[0]).all()
            assert np.isnan(found[1:]).all(), (name, method)


# ---------------------------------------------------------------- beyond some distance nothing

NARROW = init.GaussianProfile(50 * UM, max_distance=120 * UM)
STEP = init.StepProfile(80 * UM)
INF = np.inf
REACHES = [
    (NARROW, 120),
    (STEP, 80),
    (init.StepProfile(80 * UM, 1.0, 0.1), INF),
    (init.LinearProfile(200 * UM), 200),
    (2 * NARROW, 120),
    (NARROW * STEP, 80),
    (NARROW * init.GaussianProfile(50 * UM), 120),
    (NARROW / 3, 120),
    (NARROW / 0, INF),
    (INF * NARROW, INF),
    (1 / NARROW, INF),
    (NARROW + STEP, 120),
    (NARROW + 0.1, INF),
    (NARROW + 0, 120),
    (NARROW - STEP, 120),
    (NARROW**2, 120),
    (NARROW**0, INF),
    (2**NARROW, INF),
    (NARROW.clip(0.0, 0.5), 120),
    (NARROW.clip(0.1), INF),
    (NARROW.clip(None, -0.1), INF),
    (-NARROW, 120),
    (init.GaussianProfile(np.array([50.0, 60.0]) * UM, max_distance=120 * UM), 120),
    (init.StepProfile(np.array([50.0, 60.0]) * UM), INF),
]


@pytest.mark.parametrize(("profile", "end"), REACHES, ids=lambda v: str(v)[:60])
def test_where_a_profile_ends(profile, end):
    """No closer than it is: what is beyond is 0."""
    assert reach(*profile._form(None, 1.0 * UM, "weight_scaling"), 0.0) == end
    if end < INF:
        beyond = np.nextafter(end, INF, dtype=np.float32) * np.array([1.0, 1.5, 1e6])
        for far in beyond:
            np.testing.assert_array_equal(profile(far * UM), 0)


FALLING = [
    init.GaussianProfile(50 * UM),
    init.ExponentialProfile(50 * UM),
    init.PowerLawProfile(3.0, 10 * UM),
    init.StepProfile(80 * UM, 0.5, 2.0**-20),
    init.SigmoidProfile(100 * UM, 50 / u.mm),
    init.LogisticProfile(50 / u.mm, 100 * UM),
    init.DoGProfile(30 * UM, 90 * UM, 0.1, -2.0),
    init.BimodalProfile(30 * UM, 50 * UM, center2=200 * UM, amplitude1=3.0, amplitude2=0.001),
    init.MexicanHatProfile(50 * UM, 0.7),
    init.MexicanHatProfile(50 * UM, -20.0),
    0.3 * init.GaussianProfile(50 * UM) / 7,
    init.GaussianProfile(50 * UM) * init.ExponentialProfile(80 * UM) * 5,
    init.GaussianProfile(50 * UM) * STEP,
    init.ExponentialProfile(30 * UM) - 2 * init.GaussianProfile(60 * UM),
    (init.ExponentialProfile(30 * UM) * 3) ** 0.5,
    -(init.GaussianProfile(50 * UM).clip(1e-6, 0.4) ** 2),
]


@pytest.mark.parametrize("level", [0.5, 0.01, 2.0**-13, 1e-5])
@pytest.mark.parametrize("profile", FALLING, ids=lambda v: str(v)[:60])
def test_beyond_what_a_profile_is_small(profile, level):
    far = reach(*profile._form(None, 1.0 * UM, "weight_scaling"), level)
    assert far < INF
    far = max(far, 0)  # if not, it is small everywhere
    beyond = (far * (1 + 1e-5) + np.linspace(0, 3 * far + 500, 5000)) * UM
    assert abs(np.asarray(profile(beyond), float)).max() <= level * (1 + 1e-3)


@pytest.mark.parametrize(
    "profile",
    [
        init.PowerLawProfile(0.0, 10 * UM),
        init.SigmoidProfile(100 * UM, -50 / u.mm),
        init.StepProfile(80 * UM, 0.5, 0.1),
        init.GaussianProfile(np.array([50.0, 60.0]) * UM),
        1 - init.GaussianProfile(50 * UM),
        np.array([0.1, 0.2]) * init.GaussianProfile(50 * UM),
        init.GaussianProfile(50 * UM) ** -1,
        2 / init.GaussianProfile(50 * UM),
    ],
    ids=lambda v: str(v)[:60],
)
def test_a_profile_that_may_not_become_small(profile):
    assert reach(*profile._form(None, 1.0 * UM, "weight_scaling"), 0.01) == INF
