"""Von Mises, Laplace and log-uniform draws from words: law, quantiles, derivatives."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from jax import export

from braininit._math.closed_form import laplace, laplace_within, log_uniform
from braininit._math.log_concave import draw as solved
from braininit._math.log_concave import looked_up, table
from braininit._math.von_mises import VON_MISES

INF, PI = math.inf, math.pi
N = 200_000
# A deviation that a right sampler exceeds once in 1e6 tests.
LIMIT = math.sqrt(math.log(2 / 1e-6) / (2 * N))
TABLE, EACH = {"by_table": True}, {"by_table": False}
KINDS = {np.float32: np.uint32, np.float64: np.uint64}
both = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)

# Concentration and bounds, around a mean of 0.
TURNS = [(k, -INF, INF) for k in (0.0, 1e-3, 0.5, 1.0, 5.0, 50.0, 1e4, 1e8)]
WINDOWS = [
    *((50.0, *w) for w in ((3.0, 3.1), (2.5, INF), (-0.5, 0.1), (-INF, -3.1))),
    *((0.0, *w) for w in ((3.0, 3.1), (-1.0, 2.0))),
    *((5.0, *w) for w in ((-3.0, -2.0), (-1e-3, INF), (1.2, 1.2001))),
    *((1e4, *w) for w in ((1.0, 1.5), (3.1, INF), (-0.01, 0.02))),
]
LAPLACES = [
    *(
        (0.0, 1.0, *w)
        for w in ((-INF, INF), (-1.0, 3.0), (900.0, 901.0), (5.0, INF), (-INF, -40.0))
    ),
    (0.5, 2.0, 0.5, 0.5001),
    (0.25, 1e30, -1.0, 2.0),
    (0.25, 1e-3, -1.0, 2.0),
    (3e37, 1e37, -INF, INF),
]
LOG_UNIFORMS = [(1e-30, 1e30), (0.5, 2.0), (1.0, 1.0001), (1e-35, 1e-34), (3.0, 3e6)]


def von_mises(word, mean, concentration, low, high, by_table=False):
    bounds = VON_MISES.window((mean, low, high))
    x = solved(VON_MISES, by_table, word, (concentration,), bounds)
    return jnp.clip(x, *bounds[1:])


def words(kind, n=N):
    return np.random.default_rng(7).integers(0, 2 ** (8 * kind().itemsize), n, KINDS[kind])


def chosen(kind):
    """Words from both ends, in steps of three octaves, and from the middle."""
    bits = 8 * kind().itemsize
    lower = [0, 1, *(2**n + 5 for n in range(3, bits - 1, 3)), 3 * 2 ** (bits - 3)]
    return np.array(sorted({*lower, *(2**bits - 1 - w for w in lower)}), KINDS[kind])


@functools.cache
def compiled(function, **given):
    return jax.jit(functools.partial(function, **given))


def drawn(function, word, *parameters, **given):
    """In the precision of the words, parameters as that has them; always N, for one program."""
    kind = {w: k for k, w in KINDS.items()}[word.dtype.type]
    size = N // 20 if kind is np.float64 and given == EACH else N
    with jax.enable_x64(kind is np.float64):
        draw = compiled(function, **given)
        x = draw(np.resize(word, size), *(jnp.asarray(p, kind) for p in parameters))
        return np.asarray(x)[: len(word)]


def rounded(kind, *parameters):
    return [float(kind(p)) for p in parameters]


def kolmogorov(cdf, x):
    """The distance of draws from a law, as if they were not rounded to their dtype."""
    x = np.sort(x)
    rank = np.arange(len(x) + 1) / len(x)
    above, below = (cdf(np.nextafter(x, x.dtype.type(way)).astype(float)) for way in (INF, -INF))
    return max((rank[1:] - above).max(), (below - rank[:-1]).max())


# ---------------------------------------------------------------- von Mises


def turned(kind, k, low, high):
    """The parameters, the ends of the support, and the anchor, as the dtype has them."""
    _, low_end, high_end = (float(b) for b in VON_MISES.window([*map(kind, (0.0, low, high))]))
    return float(kind(k)), low_end, high_end, min(max(0.0, low_end), high_end)


def law(k, low, high, anchor, x):
    """The distribution function, by integrals of the density between many points."""
    reach = np.clip(60 / (k * abs(math.sin(anchor)) + math.sqrt(k) + 1e-9), 0, 7)
    low, high = max(low, anchor - reach), min(high, anchor + reach)
    grid = np.linspace(low, high, 4001)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    t = (grid[1:] + grid[:-1])[:, None] / 2 + (high - low) / 8000 * nodes
    density = np.exp(-2 * k * np.sin((t - anchor) / 2) * np.sin((t + anchor) / 2))
    masses = np.concatenate([[0.0], np.cumsum(density @ weights)])
    return np.interp(x, grid, masses / masses[-1])


def fall(k, x, y):
    """How far the log density falls from one angle to another."""
    return 2 * mp.mpf(k) * mp.sin((y - mp.mpf(x)) / 2) * mp.sin((y + mp.mpf(x)) / 2)


def mass(k, start, stop):
    """The exact mass between two angles of one sign, over the density at the one nearer to 0."""
    near, end = sorted((mp.mpf(start), mp.mpf(stop)), key=abs)
    if near == end:
        return mp.mpf(0)
    step = 4 / (k * abs(mp.sin(near)) + mp.sqrt(k) + 2)  # in which it falls by a few factors of e
    points = [near + (end - near) * min(1, n * step / abs(end - near)) for n in range(20)]
    return abs(
        mp.quad(lambda t: mp.exp(-fall(k, near, t)), [p for p in points if p != end] + [end])
    )


def test_the_law_is_mpmaths():
    for k, low, high in ((0.5, 1.0, 2.0), (50.0, 3.0, 3.1), (1e4, 1.0, 1.5), (1e4, 0.0, PI)):
        x = low + 0.3 / (k * math.sin(low) + math.sqrt(k))
        part = mass(k, low, x) / mass(k, low, high)
        np.testing.assert_allclose(law(k, low, high, low, [x]), float(part), atol=1e-4)


@both
@pytest.mark.parametrize("by_table", [True, False])
def test_von_mises_draws_follow_the_law(kind, by_table):
    n = N if kind is np.float32 or by_table else N // 20
    word = words(kind, n)
    for k, low, high in TURNS + WINDOWS:
        x = drawn(von_mises, word, 0.0, k, low, high, by_table=by_table)
        k, low, high, anchor = turned(kind, k, low, high)
        assert low <= x.min() <= x.max() <= high
        distance = kolmogorov(functools.partial(law, k, low, high, anchor), x)
        assert distance < LIMIT * math.sqrt(N / n), (k, low, high)


def test_the_law_sees_another_concentration():
    x = drawn(von_mises, words(np.float32), 0.0, 5.0, -INF, INF, by_table=True)
    assert kolmogorov(functools.partial(law, 5.4, -PI, PI, 0.0), x) > LIMIT


@both
def test_von_mises_quantiles(kind):
    """Words near both ends against integrals of high precision: relative to the distance."""
    mp.mp.dps, bits = 25, 8 * kind().itemsize
    lower = [0, 2 ** (bits - 20), 2 ** (bits - 2)]
    word = np.array(lower + [2**bits - 1 - w for w in lower], KINDS[kind])
    tolerance = 1e-6 if kind is np.float32 else 2e-13
    for k, low, high in TURNS + WINDOWS[:: 1 if kind is np.float32 else 3]:
        xs = drawn(von_mises, word, 0.0, k, low, high, by_table=False)
        k, low, high, anchor = turned(kind, k, low, high)
        below, above = (mass(k, anchor, end) if end != anchor else 0 for end in (low, high))
        for w, x in zip(word, xs, strict=True):
            tail = (2 * min(int(w), int(~w)) + 1) / mp.mpf(2) ** (bits + 1) * (below + above)
            own, end = (below, low) if w < ~w else (above, high)
            x = mp.mpf(float(x))
            if tail < own:  # the draw is on this side of the anchor: the mass beyond it
                error = mass(k, x, end) - tail / mp.exp(-fall(k, anchor, x))
            else:
                error = (mass(k, anchor, x) - (tail - own)) / mp.exp(-fall(k, anchor, x))
            rounding = np.finfo(kind).eps * max(abs(x), abs(anchor))
            assert abs(error) <= tolerance * abs(x - anchor) + rounding, (k, low, high, w)


@both
def test_von_mises_tables(kind):
    """Tables, made beforehand or in the program, against every draw by itself."""
    word = np.concatenate([chosen(kind), words(kind, 5000)])
    tolerance = 3e-7 if kind is np.float32 else 5e-13  # of a panel's width
    for k, low, high in TURNS[::3] + WINDOWS[::3]:
        parameters = 0.1, k, low + 0.1, high + 0.1
        each, traced = (drawn(von_mises, word, *parameters, by_table=by) for by in (False, True))
        mean, *ends = (
            np.float64(b) for b in VON_MISES.window([kind(parameters[i]) for i in (0, 2, 3)])
        )
        with np.errstate(all="ignore"):
            rows = table(VON_MISES, np.dtype(kind), (np.float64(kind(k)),), (mean, *ends))
        with jax.enable_x64(kind is np.float64):
            known = looked_up(VON_MISES, jnp.asarray(rows.astype(kind)), jnp.asarray(word), None)
        anchor = min(max(mean, ends[0]), ends[1])
        spread = min(ends[1] - ends[0], 1.0 / math.sqrt(k + 1e-3))
        for x in (traced, np.clip(known, *map(kind, ends))):
            small = 2 * np.finfo(kind).eps * np.abs(x)
            allowed = small + tolerance * (spread + np.abs(x - anchor))
            assert (np.abs(x - each) <= allowed).all(), (k, low, high)


@both
def test_von_mises_is_monotone_and_symmetric(kind):
    word = np.sort(np.concatenate([chosen(kind), words(kind, 5000)]))
    rounding = 1e-6 if kind is np.float32 else 5e-13
    for k in (0.0, 0.5, 5.0, 1e4):
        for by_table in (True, False):
            x = drawn(von_mises, word, 0.0, k, -INF, INF, by_table=by_table)
            step = rounding * (np.abs(x[1:]) + 1 / math.sqrt(k + 0.1))
            assert (np.diff(x) >= -step).all()
            other = drawn(von_mises, ~word, 0.0, k, -INF, INF, by_table=by_table)
            assert (np.abs(x + other)[1:] <= step).all()


def test_a_concentration_beyond_all_measure():
    word = chosen(np.float32)
    for k in (1e12, 1e30, 1e38):
        z = drawn(von_mises, word, 0.0, k, -INF, INF, by_table=False) * np.sqrt(np.float64(k))
        normal = [
            float(mp.sqrt(2) * mp.erfinv((2 * int(w) + 1) / mp.mpf(2) ** 32 - 1)) for w in word
        ]
        np.testing.assert_allclose(z, normal, rtol=3e-6, atol=1e-7)
        x = drawn(von_mises, word, 0.0, k, 1.0, 2.0, by_table=False)
        np.testing.assert_allclose(x, 1.0, rtol=1e-6)


# ---------------------------------------------------------------- Laplace and log-uniform


def laplace_law(loc, scale, low, high, x):
    """The masses below and above x in [low, high], in units of the density at the anchor."""
    anchor = np.clip(loc, low, high)
    (low, high), x = ((np.array([low, high]) - anchor) / scale), (np.asarray(x) - anchor) / scale
    below = np.where(
        x < 0, np.exp(np.minimum(x, 0)) * -np.expm1(low - np.minimum(x, 0)), -np.expm1(low)
    )
    above = np.where(
        x > 0, np.exp(-np.maximum(x, 0)) * -np.expm1(np.maximum(x, 0) - high), -np.expm1(-high)
    )
    inside = -np.expm1(-np.abs(x))
    return np.where(x > 0, below + inside, below), np.where(x < 0, above + inside, above)


@both
@pytest.mark.parametrize("given", LAPLACES, ids=str)
def test_laplace(kind, given):
    """The law of the draws, and quantiles at both ends and in the middle."""
    loc, scale, low, high = rounded(kind, *given)
    with np.errstate(all="ignore"):
        x = drawn(laplace_within, words(kind), *given)
        assert low <= x.min() <= x.max() <= high

        def cdf(x):
            below, above = laplace_law(loc, scale, low, high, np.clip(x, low, high))
            return below / (below + above)

        assert kolmogorov(cdf, x) < LIMIT

    word, bits = chosen(kind), 8 * kind().itemsize
    anchor = np.clip(loc, low, high)
    ours = drawn(laplace_within, word, *given)
    mp.mp.dps = 60  # one subtracts from 1 here what the draw never does
    below, above = (1 - mp.exp(-abs(mp.mpf(b) - anchor) / scale) for b in (low, high))
    for w, x in zip(word, ours, strict=True):
        part = (2 * int(w) + 1) / mp.mpf(2) ** (bits + 1) * (below + above)
        e = mp.log(1 - below + part) if part < below else -mp.log(1 - part + below)
        # Which word is the anchor's is rounded, too.
        step = abs(e) * 3 * np.finfo(kind).eps + min(below, above) * np.finfo(kind).eps
        spare = scale * step + np.finfo(kind).eps * abs(anchor)
        assert abs(float(mp.mpf(float(x)) - anchor - scale * e)) <= spare, w


@both
def test_the_plain_laplace(kind):
    """Bit for bit the one between infinite bounds, and symmetric."""
    word = np.concatenate([chosen(kind), words(kind, 1000)])
    x = drawn(laplace, word)
    np.testing.assert_array_equal(x, drawn(laplace_within, word, 0.0, 1.0, -INF, INF))
    np.testing.assert_array_equal(x, -drawn(laplace, ~word))


@both
@pytest.mark.parametrize("given", LOG_UNIFORMS, ids=str)
def test_log_uniform(kind, given):
    low, high = rounded(kind, *given)
    x = drawn(log_uniform, words(kind), *given)
    assert low <= x.min() <= x.max() <= high
    width = math.log1p((high - low) / low)
    assert kolmogorov(lambda x: np.log1p((x - low) / low) / width, x) < LIMIT

    word, bits = chosen(kind), 8 * kind().itemsize
    mp.mp.dps = 30
    for w, x in zip(word, drawn(log_uniform, word, *given), strict=True):
        part = (2 * int(w) + 1) / mp.mpf(2) ** (bits + 1)
        true = mp.mpf(low) ** (1 - part) * mp.mpf(high) ** part
        # The exponent rounds: that of 2^200 to 4e-6 in float32.
        assert abs(x / true - 1) <= np.finfo(kind).eps * (1.5 + 0.4 * width), w


# ---------------------------------------------------------------- derivatives

MOVES = 1e-4
DERIVED = {
    von_mises: [
        (0.3, 0.0, -INF, INF),
        (0.0, 0.5, -1.0, 2.0),
        (0.0, 5.0, -INF, INF),
        (-1.0, 50.0, 1.0, 2.0),
        (0.0, 50.0, 3.0, 3.1),
        (0.0, 50.0, 2.5, INF),
        (0.0, 2.0, -INF, -0.5),
        (0.5, 1e4, -INF, INF),
        (0.0, 1e4, -0.01, 0.02),
    ],
    laplace_within: [
        (0.0, 1.0, -INF, INF),
        (0.3, 2.0, -1.0, 2.0),
        (0.0, 1.0, 900.0, 901.0),
        (0.0, 1.0, 5.0, INF),
        (3.0, 0.1, -INF, 2.0),
        (0.0, 1e4, -1.0, 1.0),
    ],
    log_uniform: [(0.5, 2.0), (1.0, 1.001), (0.1, 100.0)],
}


def unit(function, parameters):
    """How far each parameter changes the draws a good deal."""
    columns = np.transpose(parameters)
    if function is log_uniform:
        return np.minimum(columns[:1], columns[1:] - columns[:1]) + 0.0 * columns
    width = np.minimum(columns[3] - columns[2], 1.0)
    if function is von_mises:
        width = np.minimum(width, 1 / np.sqrt(columns[1] + 1))
        return np.stack([width, np.maximum(columns[1], 0.1), width, width])
    width = np.minimum(width, columns[1])
    return np.stack([width, columns[1], width, width])


@pytest.mark.parametrize("function", DERIVED, ids=lambda function: function.__name__)
def test_derivatives(function):
    """First and second ones in every direction against differences, in float64."""
    rows = np.array(DERIVED[function], float)
    units = unit(function, rows)[:, :, None]
    word = np.concatenate([chosen(np.float64)[::9], words(np.float64, 8)])[None]

    def slope(parameters, way):
        return jax.jvp(lambda *p: function(word, *p), parameters, way)[1]

    # Compiling is most of it.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def slopes(parameters, way, other):
        draw = function(word, *parameters)
        return draw, *jax.jvp(lambda *p: slope(p, way), parameters, other)

    with jax.enable_x64(True):
        whole = [jnp.asarray(column[:, None]) for column in rows.T]
        ways = [
            tuple(jnp.asarray(u * (i == j)) for j, u in enumerate(units)) for i in range(len(whole))
        ]
        for i, way in enumerate(ways):
            # Not where the bound is open, nor to concentrations below 0.
            some = np.isfinite(rows[:, i]) & (
                (function is not von_mises) | (i != 1) | (rows[:, 1] > 0)
            )
            up, down = (
                slopes(
                    tuple(p + s * MOVES * w for p, w in zip(whole, way, strict=True)), ways[0], way
                )
                for s in (1, -1)
            )
            _, first, _ = slopes(tuple(whole), way, way)
            difference = (up[0] - down[0]) / (2 * MOVES)
            scale = np.abs(difference).max(1, keepdims=True) + 1e-6 * units[0]
            assert (np.abs(first - difference)[some] <= (1e-6 * scale)[some]).all(), i
            _, _, second = slopes(tuple(whole), ways[0], way)
            difference = (up[1] - down[1]) / (2 * MOVES)
            scale = np.abs(difference).max(1, keepdims=True) + np.abs(first) + units[0]
            assert (np.abs(second - difference)[some] <= (1e-6 * scale)[some]).all(), i


# ---------------------------------------------------------------- programs


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (functools.partial(von_mises, by_table=True), (0.0, 5.0, -INF, INF)),
        (von_mises, (0.0, 5.0, -INF, INF)),
        (laplace_within, (0.0, 1.0, -INF, 2.0)),
        (log_uniform, (0.5, 2.0)),
    ],
    ids=["table", "each", "laplace", "log_uniform"],
)
def test_exports_without_wide_integers(function, parameters):
    word = jax.ShapeDtypeStruct((8,), np.uint32)
    scalars = [jax.ShapeDtypeStruct((), np.float32) for _ in parameters]
    text = export.export(jax.jit(function), platforms=("cpu", "cuda", "rocm", "tpu"))(
        word, *scalars
    )
    program = text.mlir_module()
    assert "i64>" not in program.replace("array<i64", "")
    assert "f64" not in program
