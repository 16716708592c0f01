"""The battery of `benchmarks.trust` fails damaged samplers and passes honest ones.

Each damaged sampler makes as many draws as its check needs for a power of 99 %; the honest sampler
is tested with the same keys first. P-values below 1e-10 fail, which is 6.5 standard errors of a
normal statistic: a defect of d standard errors per draw needs (8.8 / d)^2 draws.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, linalg, special, stats

import braininit as init
from benchmarks.trust import __main__ as command
from benchmarks.trust import exact, keys, nulls
from benchmarks.trust.battery import LEVEL, Counts, judge
from benchmarks.trust.laws import DTYPES, Grid, Law, rounded, up
from benchmarks.trust.subjects import BLOCK, Subject, bare, ours

SINGLE, BFLOAT16 = DTYPES["float32"], DTYPES["bfloat16"]


def law(d, **options):
    return Law(d.cdf, d.sf, d.ppf, d.isf, **options)


NORMAL = law(stats.norm())
EXPONENTIAL = law(stats.expon(), low=0.0, open_low=True)


def blocks(draw, n, damage=lambda x: x, seed=5):
    """Yield blocks of a sampler's draws, damaged or not."""
    sizes = [min(BLOCK, n - start) for start in range(0, n, BLOCK)]
    keys_and_sizes = zip(jax.random.split(jax.random.key(seed), len(sizes)), sizes, strict=True)
    return (damage(bare(draw(key, (size,)))) for key, size in keys_and_sizes)


def failing(p_values):
    return {name for name, p in p_values.items() if not p >= LEVEL}


def failing_when_damaged(grid, draw, n, damage):
    """Return the checks that fail on the damaged sampler, once the honest one has passed."""
    assert not failing(judge(grid, blocks(draw, n)))
    return failing(judge(grid, blocks(draw, n, damage)))


# ---------------------------------------------------------------- damaged samplers


def _correlated(x):
    return x[1:] + np.float32(2e-3) * x[:-1]


def _hole(x):
    """Remove half of a cell, 0.06 % of the draws."""
    start, end = stats.norm.ppf([0.4001, 0.4007]).astype(np.float32)
    return x[(x < start) | (x > end)]


def _repeated(x):
    """Every hundredth number is the one 64 places before."""
    places = np.arange(64, len(x), 25)
    x = x.copy()
    x[places] = x[places - 64]
    return x


NORMALS = {  # damage, draws, a check that sees it
    "mean off by 2e-3": (lambda x: x + np.float32(2e-3), 20_000_000, "mean"),
    "variance off by 1e-2": (lambda x: x * np.float32(1.005), 1_600_000, "variance"),
    "cut at 4 std": (lambda x: np.clip(x, -4, 4), 1_000_000, "farthest high"),
    "correlation of 2e-3": (_correlated, 20_000_000, "lag 1"),
    "repeated numbers": (_repeated, 1_000_000, "lag 64"),
    "a hole": (_hole, 1_000_000, "one cell"),
    "skewed": (lambda x: x + np.float32(3e-3) * (x * x - 1), 3_000_000, "skewness"),
    "one NaN": (lambda x: np.append(x, np.float32(np.nan)), 100_000, "outside"),
}


@pytest.mark.parametrize("name", NORMALS)
def test_damaged_normals(name):
    damage, n, check = NORMALS[name]
    assert check in failing_when_damaged(Grid(NORMAL, SINGLE), init.normal, n, damage)


@pytest.mark.heavy
def test_a_mean_moved_by_3e_minus_4_std():
    """9.3e8 draws, fewer than the 1e9 that a run at 1e8 takes into the mean."""
    grid, n = Grid(NORMAL, SINGLE), 930_000_000

    def wide(damage):
        return judge(grid, blocks(init.normal, 2**20), blocks(init.normal, n, damage, seed=6))

    assert not failing(wide(lambda x: x))
    assert "mean, wide" in failing(wide(lambda x: x + np.float32(3e-4)))


@pytest.mark.heavy
def test_a_tail_cut_at_5_std_and_a_variance_off_by_1e_minus_3():
    """Of 1e8 draws 29 are beyond 5 std on each side: none has a probability of 4e-13."""
    grid = Grid(NORMAL, SINGLE)
    cut = failing_when_damaged(grid, init.normal, 100_000_000, lambda x: np.clip(x, -5, 5))
    assert cut == {"farthest low", "farthest high"}
    scaled = blocks(init.normal, 160_000_000, lambda x: x * np.float32(1.0005))
    assert "variance, wide" in failing(judge(grid, blocks(init.normal, 2**20), scaled))


@pytest.mark.parametrize(
    "name",
    ["OnGrid, Normal, nearest", "OnGrid, Gamma, up", "OnGrid, Poisson, stochastic",
     "Connected, whether"],
)  # fmt: skip
def test_damaged_whole_numbers(name):
    """Every fiftieth draw is one step higher, or connected."""
    subject, n = ours()[name], 1_000_000
    grid = subject.grid(SINGLE)
    assert not failing(judge(grid, subject.blocks(n, SINGLE)))
    damaged = [x.copy() for x in subject.blocks(n, SINGLE)]
    for x in damaged:
        x[::50] = np.minimum(x[::50] + 1, grid.law.high)
    assert {"mean", "chi-square"} & failing(judge(grid, damaged))


def test_weights_of_connections():
    subject, n = ours()["Connected, weights"], 400_000
    grid = subject.grid(SINGLE)
    assert not failing(judge(grid, subject.blocks(n, SINGLE)))
    larger = (x * np.float32(1.03) for x in subject.blocks(n, SINGLE))
    assert "mean" in failing(judge(grid, larger))


def test_a_wrong_lower_tail():
    """No draw below 1e-5, where 40 of 4e6 belong; and a zero."""
    grid = Grid(EXPONENTIAL, SINGLE)
    failed = failing_when_damaged(
        grid, init.exponential, 4_000_000, lambda x: np.maximum(x, 1.01e-5)
    )
    assert "tail low 1e-05" in failed
    with_zero = blocks(init.exponential, 100_000, lambda x: np.append(x, np.float32(0)))
    assert failing(judge(grid, with_zero)) == {"outside"}


@pytest.mark.parametrize(("dtype", "n"), [("bfloat16", 1_000_000), ("float16", 10_000_000)])
def test_rounding_towards_zero(dtype, n):
    """The value 1 stands for a whole step of numbers instead of three quarters."""
    grid = Grid(NORMAL, DTYPES[dtype])
    mask = np.uint32(0xFFFF0000 if dtype == "bfloat16" else 0xFFFFE000)
    cut = lambda x: (x.view(np.uint32) & mask).view(np.float32)  # noqa: E731
    assert not failing(judge(grid, blocks(functools.partial(init.normal, dtype=dtype), n)))
    assert "one cell" in failing(judge(grid, blocks(init.normal, n, cut)))


def test_jax_draws_bfloat16_from_few_words():
    """At most 128 values, with a mean of -0.012."""
    n, grid = 1_000_000, Grid(NORMAL, BFLOAT16)
    theirs = functools.partial(jax.random.normal, dtype=jnp.bfloat16)
    assert {"KS", "AD", "chi-square", "mean"} <= failing(judge(grid, blocks(theirs, n)))


# ---------------------------------------------------------------- keys


def _by_key(change=lambda data: data):
    def draw(key, n, dtype):
        data = change(jax.random.key_data(key))
        return init.normal(jax.random.wrap_key_data(data), (n,), dtype=dtype)

    return draw


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        (lambda data: data, set()),
        # Pairs of neighbouring keys are equal.
        (lambda data: data & jnp.uint32(0xFFFFFFFE), {"keys, many neighbours: joint"}),
        # Half of each key is ignored: all seeds and the first folded key are equal.
        (lambda data: data.at[..., 1].set(0), {"keys, neighbours: correlation"}),
    ],
    ids=["honest", "even keys", "half keys"],
)
def test_keys(change, checks):
    subject = Subject("", lambda dtype: NORMAL, _by_key(change))
    found = failing(keys.related(subject, subject.grid(SINGLE), size=2**-5))
    assert checks <= found
    assert bool(found) == bool(checks)


def test_seeds():
    def seeded(seed, period=None):
        rng = np.random.default_rng(seed if period is None else seed // period)
        return lambda n, dtype: rng.standard_normal(n, dtype=dtype)

    honest = Subject("", lambda dtype: NORMAL, seeded=seeded)
    grid = honest.grid(SINGLE)
    assert not failing(keys.related(honest, grid, size=0.1))
    damaged = Subject("", lambda dtype: NORMAL, seeded=functools.partial(seeded, period=2))
    assert "keys, many seeds: correlation" in failing(keys.related(damaged, grid, size=0.1))


# ---------------------------------------------------------------- without chance


def test_eager_against_jit():
    def damaged(key, n, dtype):
        x = init.normal(key, (n,), dtype=dtype)
        return x if isinstance(x, jax.core.Tracer) else jnp.nextafter(x, jnp.inf)

    honest = lambda key, n, dtype: init.normal(key, (n,), dtype=dtype)  # noqa: E731
    assert exact.eager_is_jit(honest, SINGLE, 100)
    assert not exact.eager_is_jit(damaged, SINGLE, 100)


@pytest.mark.parametrize("name", exact.PROMISES)
def test_matrices_that_break_a_promise(name, monkeypatch):
    check, honest = exact.PROMISES[name], exact._drawn
    assert check(SINGLE)
    monkeypatch.setattr(exact, "_drawn", lambda *args: 1.001 * honest(*args) + 1e-3)
    assert not check(SINGLE)


def test_eight_devices_are_compared_with_one(monkeypatch):
    fingerprints = exact.on_eight(["Normal"])
    monkeypatch.setattr(exact, "on_eight", lambda names: fingerprints)
    assert exact.devices(["Normal"]) == {f"Normal {dtype}": True for dtype in DTYPES}
    for bits in fingerprints.values():
        bits[1] = "those of other draws"
    assert not any(exact.devices(["Normal"]).values())


# ---------------------------------------------------------------- the command


def test_results_are_saved_and_failures_reported(tmp_path, monkeypatch, capsys):
    """An interrupted run resumes; a damaged sampler fails the run."""
    honest = {"Normal": Subject("Normal", lambda dtype: NORMAL, _by_key())}
    monkeypatch.setattr(command, "ours", lambda corners: honest)
    monkeypatch.setattr(exact, "devices", lambda names: {"Normal float32": True})
    monkeypatch.setattr(keys, "related", lambda *args: {})
    path = tmp_path / "found.json"

    def run(*options):
        argv = ["trust", "--draws", "2e4", "--dtype", "float32", "--json", str(path), *options]
        monkeypatch.setattr("sys.argv", argv)
        command.main()
        return capsys.readouterr()

    first, second = run(), run()
    assert "Normal, float32" in first.err
    assert second.err == ""
    assert first.out == second.out
    assert "everything passes" in first.out
    assert "| Normal | float32 | 2e+04 |" in path.with_suffix(".md").read_text()

    wide = lambda key, n, dtype: 2 * init.normal(key, (n,), dtype=dtype)  # noqa: E731
    honest["Normal"] = Subject("Normal", lambda dtype: NORMAL, wide)
    with pytest.raises(SystemExit):
        run("--only", "Normal")
    assert "Normal float32: KS, AD, cells, tails, moments" in capsys.readouterr().out
    assert "**0**" in path.with_suffix(".md").read_text()


# ---------------------------------------------------------------- the law of a rounded number


def test_neighbours_on_a_grid():
    for dtype in DTYPES.values():
        x = rounded([-1.0, 0.0, 0.5, 3.1], dtype)
        wide = x.astype(np.float64)
        assert np.all(up(x).astype(np.float64) > wide)
        np.testing.assert_array_equal(up(up(x), -1), x)
        eps = float(jnp.finfo(dtype).eps)
        assert float(up(rounded(1.0, dtype))[0]) == 1 + eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of", [stats.poisson(3.3), stats.binom(20, 0.3), stats.randint(0, 100)])
def test_moments_of_whole_numbers(of, dtype):
    """Nodes are the numbers themselves: middles of panels would be 1e-3 std off."""
    low, high = of.support()
    law = Law(of.cdf, of.sf, of.ppf, of.isf, low, high, inward=False, whole=True)
    clipped = Grid(law, DTYPES[dtype]).clipped(1e-7)
    k = np.arange(200.0)
    values, probabilities = np.clip(k, clipped.low, clipped.high), of.pmf(k)
    assert abs(clipped.mean / (probabilities @ values) - 1) < 1e-9
    assert abs(clipped.std**2 / (probabilities @ (values - clipped.mean) ** 2) - 1) < 1e-9


def test_probabilities_of_bfloat16_values():
    """Compared with the share of a fine grid of numbers that NumPy rounds to each value."""
    grid = Grid(law(stats.uniform(0.1, 0.9), low=0.1, high=1.0, open_high=True), BFLOAT16)
    fine = ((np.arange(2**20) + 0.5) / 2**20 * 0.9 + 0.1).astype(BFLOAT16).astype(np.float64)
    draws = np.clip(fine, *(float(e) for e in grid.ends))
    assert float(grid.ends[0]) >= 0.1
    assert float(grid.ends[1]) == 1 - 2**-8
    values = np.unique(draws)
    below, above = grid.below_and_above(values.astype(BFLOAT16))
    reached = np.searchsorted(np.sort(draws), values, side="right") / 2**20
    np.testing.assert_allclose(below, reached, atol=2e-6)
    np.testing.assert_allclose(below + above, 1, atol=1e-12)


def test_laws_at_the_limits_of_a_dtype(x64):
    """Bounds are float32's; numbers below 1e-38 become 1e-38; one value leaves no p-values."""
    corners, double = ours(corners=True), DTYPES["float64"]
    narrow, tiny, one = (
        corners[name]
        for name in ("LogUniform, corner 2", "Gamma, corner 1", "TruncatedNormal, corner 11")
    )
    for subject, dtype in ((narrow, SINGLE), (narrow, double), (tiny, SINGLE)):
        assert not failing(judge(subject.grid(dtype), subject.blocks(200_000, dtype)))
    p_values = judge(one.grid(BFLOAT16), one.blocks(1000, BFLOAT16))
    assert p_values == {"outside": 1.0, "farthest low": 1.0, "farthest high": 1.0}


# ---------------------------------------------------------------- null distributions


def test_quadratic_forms_far_out():
    """Pairs of equal weights give exponentials; their sum has a closed form."""
    pairs = np.array([0.5, 0.3, 0.1, 0.02])
    weights = np.repeat(pairs, 2) * (1 + np.tile([0, 1e-9], 4))
    for x in (0.5, 3.0, 12.0, 25.0, 40.0):
        parts = [np.prod([a / (a - b) for b in pairs if b != a]) for a in pairs]
        closed = np.dot(parts, np.exp(-x / (2 * pairs)))
        np.testing.assert_allclose(nulls.quadratic(x, weights), closed, rtol=1e-6)
    # With an odd number of weights the last pole is alone.
    np.testing.assert_allclose(nulls.quadratic(40.0, [1.0]), stats.chi2.sf(40.0, 1), rtol=1e-9)
    rest = integrate.quad(lambda z: np.exp(0.1 * z * z / 0.6 - z * z / 2), -10, 10)[0]
    odd = nulls.quadratic(30.0, [0.3, 0.3 * (1 - 1e-9), 0.1])
    np.testing.assert_allclose(odd, np.exp(-30 / 0.6) * rest / np.sqrt(2 * np.pi), rtol=1e-6)


def test_anderson_darling():
    """Published critical values on a fine grid; the covariance's eigenvalues on any grid."""
    many = 1 / (np.arange(1, 2000) * np.arange(2.0, 2001))
    for value, p in ((1.933, 0.1), (2.492, 0.05), (3.878, 0.01)):
        np.testing.assert_allclose(nulls.quadratic(value, many), p, rtol=5e-3)
    below = np.array([0.03, 0.2, 0.21, 0.6, 0.95])
    left, right = np.diff(below, prepend=0.0), np.diff(below, append=1.0)
    kernel = (left + right) / 2 / (below * (1 - below))
    bridge = np.minimum.outer(below, below) - np.outer(below, below)
    weights = nulls._weights(kernel.tobytes(), left.tobytes(), right.tobytes())
    root = np.sqrt(kernel)
    expected = linalg.eigvalsh(root[:, None] * bridge * root)[::-1]
    np.testing.assert_allclose(weights, expected, rtol=1e-10)


def test_saddlepoint():
    """The mean of a thousand exponentials, which is a gamma: within 1 % at 1e-10."""
    share = np.diff(np.concatenate([[0], special.expit(np.linspace(-20, 20, 40_000)), [1]]))
    middle = np.cumsum(share) - share / 2
    values = -np.log1p(-middle)
    for mean in (0.82, 0.9, 1.1, 1.2):
        one_side = stats.gamma.cdf(mean * 1000, 1000)
        p = 2 * min(one_side, stats.gamma.sf(mean * 1000, 1000))
        np.testing.assert_allclose(nulls.sum_of(mean, 1000, values, share), p, rtol=0.01)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_p_values_of_honest_draws_are_not_too_small(dtype):
    """In 200 batteries no check has p < 0.1 more often than chance allows at 1e-6."""
    grid, runs = Grid(EXPONENTIAL, DTYPES[dtype]), 200
    rng, small = np.random.default_rng(3), {}
    for _ in range(runs):
        x = rng.standard_exponential(20_000)
        block = np.maximum(x, 1e-7).astype(DTYPES[dtype]).astype(np.float32)
        for name, p in judge(grid, [block]).items():
            small[name] = small.get(name, 0) + (p < 0.1)
    for name, count in small.items():
        assert stats.binom.sf(count - 1, runs, 0.1) > 1e-6 / len(small), (name, count)


def test_blocks_add_up():
    """The verdict does not depend on how draws are split into blocks."""
    grid = Grid(NORMAL, SINGLE)
    x = np.random.default_rng(1).standard_normal(2**18, dtype=np.float32)
    whole, parts = Counts(grid), Counts(grid)
    whole.add(x)
    for part in np.split(x, 4):
        parts.add(part)
    first, second = whole.verdict(), parts.verdict()
    assert first.keys() == second.keys()
    for name, p in first.items():
        np.testing.assert_allclose(second[name], p, rtol=1e-6)
