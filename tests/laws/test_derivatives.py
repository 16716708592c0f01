"""First and second derivatives of every distribution in every real parameter.

With fixed random words a draw is a function of its parameters. In float64, differences of draws
check the first derivatives, and differences of these check the second ones.
"""

from __future__ import annotations

from types import MappingProxyType

import brainunit as u
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from cases import CASES, RANDOM
from helpers import quick_jit
from scipy import stats

import braininit as init

INF = np.inf
WEIGHTS = np.random.default_rng(1).uniform(0.5, 1.5, 64)


def fresh():
    return jax.random.key(26)  # its normals are not so near a bound that a difference crosses it


def bare(x):
    return x.mantissa if isinstance(x, u.Quantity) else x


# ---------------------------------------------------------------- parameters

N, U, E = init.Normal(0.5, 0.1), init.Uniform(0.8, 1.2), init.Exponential(0.3)

# Parameters besides the table's, where formulas switch or lose digits.
MORE = {
    init.LogNormal: ((1.0, 1e-6), (1.0, 0.9), (1.0, 1.1), (1e-20, 1e-20), (1e-15, 1e15)),
    init.Gamma: ((0.9, 1.0), (1.1, 1.0), (4.9, 1.0), (5.1, 1.0), (990.0, 1.0), (1e8, 1e-30)),
    init.Weibull: ((0.55, 1.0), (0.65, 1e-18), (1e4, 1.0)),
    init.Beta: ((0.9, 1.1, 0.0, 1.0), (1e6, 2.0, 0.0, 1.0), (1e-2, 1e3, -1.0, 1.0)),
    init.TruncatedNormal: (
        (0.0, 1.0, 1e-3, INF),
        (0.0, 1.0, -INF, -1e-3),
        (2.0, 0.5, 2.0, 3.0),
        (3.0, 0.5, 2.0, 3.0),
        (0.0, 1.0, 200.0, 201.0),
        (1e-20, 1e-20, -INF, INF),
        (0.0, 1e3, -1.0, 1.0),
    ),
}
# Where draws or their derivatives jump, so that differences tell nothing.
KINKS = {
    init.VonMises: ((0.0, 0.0),),
    init.LogUniform: ((1.0, 1.001),),
    init.Normal: ((1.0, 0.0), (0.0, 0.0)),
    init.LogNormal: ((1.0, 0.0),),
    init.Gamma: ((1.0, 1.0), (5.0, 1.0), (1000.0, 1.0), (1e-6, 1.0), (1e-30, 1.0), (1e30, 1.0)),
    init.Weibull: ((1e30, 1.0),),
    init.Beta: ((1.0, 1.0, -2.0, -1.0), (1e-30, 1e-30, 0.0, 1.0), (1e30, 1.0, 0.0, 1.0)),
    init.TruncatedNormal: (
        (0.5, 0.0, 0.0, 1.0),
        (0.0, 0.0, 0.0, 1.0),
        (-1.0, 0.0, 0.0, INF),
        (2.0, 0.0, -INF, 1.0),
        (0.0, 1.0, -2.0, 2.0),
        (0.0, 1e30, -1.0, 1.0),
        (0.0, 1e-30, 1.0, 2.0),
        (0.0, 1.0, 1e6, INF),
    ),
    **dict.fromkeys((init.VarianceScaling, init.KaimingUniform, init.LecunNormal), ((0.0,),)),
}
COMPOSITES = {
    "every operator": abs(N) ** U * E / (U + 1.0) - N,
    "a root": init.Power(U, 0.5),
    "a reciprocal": init.Power(E, -1.5),
    "a negative base": init.Power(init.Normal(0.0, 1.0), 3.0),
    "a factor each": init.Scaled(N, np.linspace(1.0, 2.0, 8)),
    "one bound": N.clip(0.5),
    "bounds each": N.clip(np.linspace(0.3, 0.4, 8), 0.55),
    "rows of a mixture": init.Mixture([N, E * 2.0], [0.4, 0.6], axis=0),
    "exactly balanced": init.Dale(N, 0.5, "exact"),
    "balanced": init.Dale(N, 0.25),
    "leaky": init.KaimingNormal(nonlinearity="leaky_relu", negative_slope=0.2),
    "orthogonal, batched": init.Orthogonal(0.7, batch_axis=0),
}
SIZES = {"leaky": (4, 2), "orthogonal, batched": (2, 2, 2)}

BASES = [
    [init.Normal(0.5, 0.3)],
    [init.TruncatedNormal(0.5, 0.4, 0.3, 1.4)],
    [init.Uniform(0.1, 1.7)],
    [init.LogNormal(1.0, 0.5)],
    [init.Exponential(0.7)],
    [init.Weibull(1.5, 0.8)],
    [init.Gamma(2.0, 0.4), init.Gamma(0.7, 1.0)],
    [init.Beta(2.0, 3.0, 0.0, 2.0)],
]
BOUNDS = ((0.4, INF), (-INF, 1.3), (0.4, 1.3), (-INF, INF))


class Draw:
    """An object's draws as a function of the vector of its parameters."""

    def __init__(self, obj, size, each=False, **context):
        self.size, self.each, self.context = size, each, context
        leaves, self.tree = jax.tree.flatten(obj)
        self.shapes = [np.shape(leaf) for leaf in leaves]
        self.values = np.concatenate([np.ravel(leaf) for leaf in leaves]).astype(float)
        self.names = [
            jax.tree_util.keystr(path).removeprefix(".")
            for path, leaf in jax.tree_util.tree_leaves_with_path(obj)
            for _ in range(np.size(leaf))
        ]

    def __call__(self, at):
        """Return all draws as a vector. With `each`, every draw has its own parameters."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        leaves = [
            part.reshape(shape)
            for part, shape in zip(jnp.split(at, ends), self.shapes, strict=True)
        ]
        if self.each:
            leaves = [jnp.broadcast_to(leaf, self.size) for leaf in leaves]
        obj = jax.tree.unflatten(self.tree, leaves)
        return bare(obj(self.size, rng=fresh(), **self.context)).ravel()

    def steps(self, points, spread, fraction, domains):
        """Return the step of each parameter for differences."""
        steps = fraction * np.where(points == 0, 1.0, abs(points))
        for i, name in enumerate(self.names):
            if domains.get(name) in ("finite", "bound"):
                steps[:, i] = fraction * spread
            if "weights" in name:
                steps[:, i] = 2e-6  # weights sum to 1
        return np.where(np.isfinite(points), steps, 0)


def weighed(x):
    x = bare(x).ravel()
    return x @ jnp.asarray(WEIGHTS[: x.size], x.dtype)


def differences(function, points, steps):
    """Return fourth-order differences, (points, coordinates, ...), and their rounding errors."""
    slopes, noise = [], []
    for move in np.eye(points.shape[1], dtype=points.dtype):
        ends = [np.asarray(function(points + n * steps * move), float) for n in (-2, -1, 1, 2)]
        h = (steps @ move).astype(float).reshape(-1, *(1,) * (ends[0].ndim - 1))
        h = np.where(h > 0, h, INF)
        slopes.append((8 * (ends[2] - ends[1]) - (ends[3] - ends[0])) / (12 * h))
        size = np.abs(ends[0]).max(axis=-1, keepdims=True)
        noise.append(100 * np.finfo(points.dtype).eps * size / h)
    return np.stack(slopes, 1), np.stack(noise, 1)


def agree(ours, theirs, steps, tolerance):
    """Assert that derivatives are finite and agree with differences where these have a step."""
    ours = np.asarray(ours, float).reshape(theirs[0].shape)
    assert np.isfinite(ours).all(), np.argwhere(~np.isfinite(ours))[:3].tolist()
    slopes, noise = theirs
    ours = np.where((steps > 0).reshape(*steps.shape, *(1,) * (ours.ndim - 2)), ours, 0)
    allowed = tolerance * (abs(slopes) + abs(slopes).max(axis=-1, keepdims=True)) + noise
    bad = ~(abs(ours - slopes) <= allowed)
    assert not bad.any(), (np.argwhere(bad)[:3].tolist(), ours[bad][:3], slopes[bad][:3])


def along_each(function, points):
    """Return the tangents of a function of points and directions along each coordinate."""
    moves = np.eye(points.shape[1], dtype=points.dtype)
    return np.stack([function(points, np.broadcast_to(m, points.shape))[1] for m in moves], 1)


def draws_and_gradient(draw):
    """Compile draws, their gradient and the tangents of both into one program: jit of vmap."""

    def total(at):
        x = draw(at)
        return weighed(x), x

    def both(at):
        (_, x), gradient = jax.value_and_grad(total, has_aux=True)(at)
        return x, gradient

    return quick_jit(jax.vmap(lambda at, move: jax.jvp(both, (at,), (move,))))


def only(program, i):
    """Return the program for draws (0) or their gradient (1) alone."""
    return lambda *args: [pair[i] for pair in program(*args)]


def check(draw, points, domains=MappingProxyType({}), kinks=()):
    """Check jvp, grad, and jvp of grad in float64; at `kinks`, only that they are finite."""
    smooth, points = len(points), np.array([*points, *kinks])
    program, still = draws_and_gradient(draw), np.zeros_like(points)
    (x, gradient), _ = program(points, still)
    assert np.isfinite(x).all()
    steps = draw.steps(points, np.ptp(x, 1), 1e-4, domains)
    steps[smooth:] = 0
    slope, second = (along_each(only(program, i), points) for i in (0, 1))
    for i, ours in enumerate((slope, second)):
        theirs = differences(lambda at, i=i: program(at, still)[0][i], points, steps)
        agree(ours, theirs, steps, 1e-6)
    expected = slope @ WEIGHTS[: x.shape[1]]
    size = abs(slope).max(axis=(1, 2))[:, None]
    assert np.all(abs(gradient - expected) <= 1e-6 * (abs(expected) + size))


# ---------------------------------------------------------------- laws

# Without whole numbers and draws on a grid: they jump.
ROWS = [
    c for c in CASES
    if jax.tree.leaves(c.make()) and c.cls is not init.OnGrid and c.dtypes == "real"
]  # fmt: skip
every = pytest.mark.parametrize("case", ROWS, ids=str)
every_random = pytest.mark.parametrize("case", RANDOM, ids=str)


def point(case, parameters):
    """Return the vector of an object with some parameters set, by name or in the row's order."""
    if not isinstance(parameters, dict):
        parameters = dict(zip(case.given, parameters, strict=False))
    ends = {"low": -INF, "high": INF}  # arrays have no None
    parameters = {n: ends[n] if v is None else v for n, v in parameters.items()}
    return Draw(case.make(**parameters), ()).values


def points(case):
    """Return parameters at which draws are smooth, and kinks."""
    corners = case.corners if case in RANDOM else ()
    kinks = [point(case, parameters) for parameters in KINKS.get(case.cls, ())]
    sets = ({}, *corners, *MORE.get(case.cls, ()))
    candidates = [point(case, parameters) for parameters in sets]
    return [at for at in candidates if not any(np.array_equal(at, kink) for kink in kinks)], kinks


@every
def test_in_float64(case, x64):
    smooth, kinks = points(case)
    check(Draw(case.make(), case.fit((8,))), smooth, case.domains, kinks)


def in_float32(case):
    """Return a draw with parameters for each number, its points, and a function for the steps."""
    smooth, kinks = points(case)
    if case.cls in (init.LogNormal, init.LogUniform) or case.powers:  # 1 / mean^2 or more
        smooth = [at for at in smooth if at[0] > 1e-15]
    draw = Draw(case.make(), case.fit((8,)), each=case in RANDOM)
    at = np.array([*smooth, *kinks], np.float32)

    def steps_for(x):
        fraction = 1e-2 if case in RANDOM else 2e-3  # no draw crosses a bound
        steps = draw.steps(at, np.ptp(x, 1), fraction, case.domains).astype(np.float32)
        steps[len(smooth) :] = 0
        return steps

    return draw, at, steps_for


@every
def test_in_float32(case):
    """Coarser differences, with parameters for each draw; with a unit, without jit and vmap."""
    draw, at, steps_for = in_float32(case)

    def total(at):
        x = draw(at)
        return weighed(x), x

    program = quick_jit(jax.vmap(jax.value_and_grad(total, has_aux=True)))
    (_, x), gradient = program(at)
    assert np.isfinite(x).all()
    steps, weights = steps_for(x), WEIGHTS[: x.shape[1]].astype(np.float32)
    slopes = differences(lambda at: (program(at)[0][1] @ weights)[:, None], at, steps)
    agree(gradient, slopes, steps, 0.01)

    eager = jax.grad(lambda obj: weighed(obj(fresh(), draw.size)))(case.make(u.nS))
    eager = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eager)])
    np.testing.assert_allclose(eager, gradient[0], rtol=1e-3, atol=1e-4 * abs(gradient[0]).max())


@pytest.mark.heavy
@every
def test_second_derivatives_in_float32(case):
    draw, at, steps_for = in_float32(case)
    program, still = draws_and_gradient(draw), np.zeros_like(at)
    steps = steps_for(program(at, still)[0][0])
    second = along_each(only(program, 1), at)
    agree(second, differences(lambda at: program(at, still)[0][1], at, steps), steps, 0.01)


@pytest.mark.parametrize("name", COMPOSITES)
def test_of_composites(name, x64):
    draw = Draw(COMPOSITES[name], SIZES.get(name, (8,)))
    check(draw, [draw.values])


# ---------------------------------------------------------------- truncation


@pytest.mark.parametrize("bases", BASES, ids=lambda bases: f"Truncated-{bases[0]}")
def test_of_truncated_bases(bases, x64):
    """In the base's parameters and both bounds, finite or not."""
    draws = [Draw(init.Truncated(base, -INF, INF), (8,)) for base in bases]
    check(draws[0], [np.array([*d.values[:-2], *bounds]) for d in draws for bounds in BOUNDS])


def slopes_within(x, mean, std, low, high):
    """Return -F_theta / f of the truncated normal at its draws, by the normal distribution."""
    z, a, b = ((np.asarray(v, float) - mean) / std for v in (x, low, high))
    mass, density = stats.norm.cdf(b) - stats.norm.cdf(a), stats.norm.pdf(z)
    by_low = (stats.norm.cdf(b) - stats.norm.cdf(z)) / mass * stats.norm.pdf(a) / density
    by_high = (stats.norm.cdf(z) - stats.norm.cdf(a)) / mass * stats.norm.pdf(b) / density
    by_mean = 1 - by_low - by_high
    return np.stack([by_mean, z - a * by_low - b * by_high, by_low, by_high], -1)


def test_at_two_std_where_the_stream_changes(x64):
    """Draws are jax.random's only at these bounds, so differences are impossible."""
    at = np.array([1.5, 0.5, 0.5, 2.5])

    def draw(at):
        return init.truncated_normal(fresh(), (8,), *at)

    def with_slopes(at):
        return draw(at), jax.jacfwd(draw)(at), jax.jacfwd(jax.jacrev(draw))(at)

    x, slope, second = map(np.asarray, quick_jit(with_slopes)(at))
    np.testing.assert_allclose(slope, slopes_within(x, *at), rtol=1e-6)
    moved = []
    for move in 1e-5 * np.eye(4):  # draws move with their parameters as well
        ends = [slopes_within(x + n * slope @ move, *(at + n * move)) for n in (-1, 1)]
        moved.append((ends[1] - ends[0]) / 2e-5)
    np.testing.assert_allclose(second, np.stack(moved, -1), rtol=1e-5, atol=1e-5)


def test_none_means_an_infinite_bound():
    def slopes(low, high):
        draw = lambda at: init.truncated_normal(fresh(), (8,), at[0], at[1], low, high)  # noqa: E731
        return jax.jvp(jax.jacfwd(draw), (np.float32([0.5, 0.2]),), (np.float32([1.0, 2.0]),))

    for bounds, infinite in (((None, 0.6), (-INF, 0.6)), ((0.4, None), (0.4, INF))):
        for ours, theirs in zip(slopes(*bounds), slopes(*infinite), strict=True):
            np.testing.assert_array_equal(ours, theirs)


# ---------------------------------------------------------------- ends


def test_the_derivative_at_std_zero():
    """It is the draw's normal, as at any small std."""
    for draw in (init.lognormal, init.normal):
        by_std = jax.jit(jax.jacfwd(lambda std, draw=draw: draw(fresh(), (8,), 2.0, std)))
        assert np.ptp(by_std(0.0)) > 1
        np.testing.assert_allclose(by_std(0.0), by_std(1e-6), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_draws_rounded_to_a_bound_move_like_their_neighbours(dtype):
    """A hundredth of the draws are rounded inward; they keep their own derivatives."""

    def slopes(dtype):
        draw = lambda high: init.uniform(fresh(), (2000,), 1.0, high, dtype=dtype)  # noqa: E731
        return jax.jit(jax.jacfwd(draw))(1.1).astype(np.float32)

    np.testing.assert_allclose(slopes(dtype), slopes("float32"), rtol=1e-2, atol=1e-3)


@every_random
def test_of_16_bit_results(case):
    """Rounding has the derivative 1."""
    values = np.array([*case.given.values()])

    def draws(values):
        obj = case.cls(**dict(zip(case.given, values, strict=True)))
        return [obj(fresh(), (8,), dtype) for dtype in (jnp.float32, jnp.bfloat16)]

    slopes = quick_jit(lambda *at: jax.jvp(draws, *at)[1])
    wide, narrow = (
        np.array(slope, float) for slope in slopes([values], [np.linspace(1.0, 1.5, values.size)])
    )
    np.testing.assert_allclose(narrow, wide, rtol=0.01, atol=0.01 * abs(wide).max())


# ---------------------------------------------------------------- in space

UM = u.um
PROFILES = [
    init.GaussianProfile(50 * UM),
    init.ExponentialProfile(50 * UM, 200 * UM),
    init.PowerLawProfile(1.5, 10 * UM),
    init.LinearProfile(200 * UM),
    init.StepProfile(30 * UM, 0.8, 0.1),
    init.SigmoidProfile(50 * UM, 0.05 / UM),
    init.LogisticProfile(0.05 / UM, 50 * UM),
    init.DoGProfile(30 * UM, 90 * UM),
    init.BimodalProfile(30 * UM, 50 * UM, 5 * UM, 90 * UM, 0.7, 0.4),
    init.MexicanHatProfile(50 * UM),
    0.9 * init.GaussianProfile(50 * UM) + 0.1,
]


@pytest.mark.parametrize("profile", PROFILES, ids=str)
def test_of_profiles(profile, x64):
    leaves, tree = jax.tree.flatten(profile)

    def values(at):
        distances = jnp.array([3.0, 21.0, 47.0, 120.0]) * UM
        return jax.tree.unflatten(tree, list(at))(distances)

    @quick_jit
    def with_slopes(at):
        return values(at), jax.jacfwd(values)(at), jax.jacfwd(jax.jacrev(values))(at)

    at = np.array(leaves, float)
    steps = 1e-4 * abs(at)[None]
    for i, exact in enumerate(with_slopes(at)[1:]):
        found, noise = differences(lambda x, i=i: with_slopes(x[0])[i][None], at[None], steps)
        found = np.moveaxis(found[0], 0, -1)
        assert np.isfinite(exact).all()
        np.testing.assert_allclose(exact, found, rtol=1e-6, atol=noise.max() + 1e-12)


def test_of_weights_in_space(x64):
    at = np.random.default_rng(0).uniform(0, 1, (4, 2))
    profile = 0.9 * init.GaussianProfile(0.3) + 0.1
    local = init.DistanceModulated(N, profile, box=1.0, include_self=False)
    draw = Draw(local, (4, 4), pre_positions=at, post_positions=at)
    check(draw, [draw.values])

    def total(at):
        return weighed(local((4, 4), rng=fresh(), pre_positions=at, post_positions=at))

    jax.test_util.check_grads(jax.jit(total), (at,), 2, modes=["rev"], rtol=1e-4)
