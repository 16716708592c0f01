"""Zeros counted, radii and norms measured, signs and sums of Dale's law."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import braininit as init
from braininit._engine.source import Source
from braininit._math.radius import spectral_radius
from braininit.layers.shares import count_of
from braininit.layers.sparse import _thinned

RATE = 1e-6  # of false alarms, for each statistical test
WIDE = init.Normal(0.0, 1.0)


def key(n=20):
    return jax.random.key(n)


def bare(x):
    return np.asarray(u.get_mantissa(x), np.float64)


# ---------------------------------------------------------------- sparse


@pytest.mark.parametrize("rows", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("sparsity", [0.0, 1e-6, 0.1, 0.3, 0.5, 0.55, 0.9, 0.999, 1.0])
def test_every_column_has_its_zeros(rows, sparsity):
    count = math.ceil(round(sparsity * rows, 9))
    for axis, shape in ((0, (rows, 30)), (1, (30, rows)), (-2, (5, rows, 6)), (0, (rows,))):
        x = init.Sparse(sparsity, WIDE, axis)(shape, rng=1)
        assert set(np.sum(bare(x) == 0, axis).ravel().tolist()) == {count}


def test_several_axes_are_one_column():
    x = init.Sparse(0.9, WIDE, axis=(0, 1, 2))((3, 3, 20, 7), rng=0)
    assert np.sum(x == 0, axis=(0, 1, 2)).tolist() == [162] * 7
    y = init.Sparse(0.25, WIDE, axis=[-1, 0])((4, 6, 10), rng=0)
    assert np.sum(y == 0, axis=(0, 2)).tolist() == [10] * 6


def test_what_is_left_is_the_base_s():
    base = init.LogNormal(0.5 * u.nS, 0.2 * u.nS)
    full = base(jax.random.split(key())[0], (50, 40))
    thin = init.Sparse(0.7, base)(key(), (50, 40))
    assert thin.unit == u.nS
    kept = bare(thin) != 0
    np.testing.assert_array_equal(bare(thin)[kept], bare(full)[kept])


def test_all_choices_are_equally_likely():
    """2 of 5: ten choices, 20 000 columns, and neighbours that know nothing of each other."""
    x = np.asarray(init.Sparse(0.4, WIDE)((5, 20_000), rng=3)) == 0
    codes = (x * 2 ** np.arange(5)[:, None]).sum(0)
    seen = np.bincount(codes, minlength=32)
    assert np.count_nonzero(seen) == 10
    assert stats.chisquare(seen[seen > 0]).pvalue > RATE / 2
    pairs = np.unique(codes[::2] * 32 + codes[1::2], return_counts=True)[1]
    assert len(pairs) == 100
    assert stats.chisquare(pairs).pvalue > RATE / 2


# ---------------------------------------------------------------- sparse, without the diagonal


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((7, 7), 0), ((7, 7), 1), ((5, 9), 0), ((9, 5), 0), ((6, 6), (0, 1)), ((3, 6, 6), -2)],
    ids=str,
)
def test_no_self_connections_and_the_same_count(shape, axis):
    n = math.prod(shape[a] for a in np.atleast_1d(axis))
    for sparsity in (0.34, 0.55, 1.0):
        thin = init.Sparse(sparsity, WIDE, axis, self_connections=False)
        x = bare(thin(shape, rng=1))
        assert set(np.sum(x == 0, axis).ravel().tolist()) == {math.ceil(round(sparsity * n, 9))}
        assert (np.diagonal(x, axis1=-2, axis2=-1) == 0).all()
        full = bare(WIDE(jax.random.split(jax.random.key(1))[0], shape))
        np.testing.assert_array_equal(x[x != 0], full[x != 0])
        np.testing.assert_array_equal(jax.jit(lambda k, thin=thin: thin(k, shape))(key(1)), x)


def test_all_choices_with_a_zero_diagonal_are_equally_likely():
    """3 of 6 with one of them given: ten choices for each column, 6 000 matrices."""
    keys = jax.random.split(key(4), 6000)
    thin = init.Sparse(0.5, WIDE, self_connections=False)
    x = np.asarray(jax.jit(jax.vmap(lambda k: thin(k, (6, 6))))(keys)) == 0
    for column in range(6):
        codes = np.delete(x[:, :, column], column, 1) @ 2 ** np.arange(5)
        seen = np.bincount(codes, minlength=32)
        assert np.count_nonzero(seen) == 10
        assert stats.chisquare(seen[seen > 0]).pvalue > RATE / 7
    pairs = x[:, [1, 3], [0, 0]] @ [1, 2] * 4 + x[:, [3, 4], [1, 1]] @ [1, 2]
    law = np.outer([0.3, 0.3, 0.3, 0.1], [0.3, 0.3, 0.3, 0.1]).ravel() * 6000
    assert stats.chisquare(np.bincount(pairs, minlength=16), law).pvalue > RATE / 7


def test_a_column_needs_places_beside_the_diagonal():
    thin = init.Sparse(0.0, WIDE, self_connections=False)
    said = r"`sparsity` = 0 leaves 0 zeros .* 1 are on the diagonal; give 0.25 or more"
    with pytest.raises(ValueError, match=said):
        thin((4, 9), rng=0)
    with pytest.raises(ValueError, match="6 are on the diagonal"):
        init.Sparse(0.1, WIDE, (0, 1), self_connections=False)((6, 6), rng=0)
    with pytest.raises(ValueError, match=r"\(4,\) has no diagonal; give two axes"):
        thin(4, rng=0)
    with pytest.raises(TypeError, match="`self_connections` must be True or False"):
        init.Sparse(0.1, self_connections=0)
    draw = jax.jit(lambda s: init.sparse(key(), (4, 4), s, WIDE, self_connections=False))
    assert np.isnan(draw(0.0)).all()
    assert (np.diagonal(draw(0.25)) == 0).all()
    assert init.Sparse(0.3, WIDE, self_connections=False)((0, 0), rng=0).shape == (0, 0)


class Coarse(Source):
    """Words of two values only."""

    def words(self, kind):
        return super().words(kind) >> np.uint32(31)


def test_ties_are_told_apart():
    """The count stays exact where words are equal."""
    x = jax.random.normal(key(), (64, 300)) + 10
    for count in (0, 7, 32, 58, 64):
        thin = _thinned(Coarse(key(1), (64, 300)), x, count, (0,))
        assert set(np.sum(thin == 0, 0).tolist()) == {count}
        if count:
            own = np.arange(64)[:, None] == np.arange(300) % 64
            thin = _thinned(Coarse(key(1), (64, 300)), x, count, (0,), jnp.asarray(own))
            assert set(np.sum(thin == 0, 0).tolist()) == {count}
            assert (thin == 0)[own].all()


def test_a_traced_sparsity_counts_alike():
    draw = jax.jit(lambda s, k: init.sparse(k, (100, 20), s, WIDE))
    for s in (0.0, 0.07, 0.55, 1.0):
        np.testing.assert_array_equal(draw(s, key()), init.sparse(key(), (100, 20), s, WIDE))
    assert np.isnan(draw(1.5, key())).all()
    many = jax.vmap(lambda s: init.sparse(key(), (100, 20), s, WIDE))(jnp.array([0.1, 0.6]))
    assert (np.sum(np.asarray(many) == 0, axis=1) == [[10], [60]]).all()


@pytest.mark.parametrize("n", [1, 7, 100, 10_000_001, 30_000_001, 2**32 - 1])
def test_counts_are_exact(n):
    for text in ("0", "0.000001", "0.1", "0.25", "0.5", "0.55", "0.7", "0.999", "1"):
        exact = Fraction(text) * n
        assert count_of(float(text), n, up=True)[0] == math.ceil(exact)
        assert count_of(float(text), n, up=False)[0] == math.floor(exact + Fraction(1, 2))


def test_counts_of_what_has_float32_s_digits():
    traced = jax.jit(lambda s: [count_of(s, n, up=True)[0] for n in (100, 10**7, 30_000_001)])
    for text in ("0.1", "0.25", "0.5", "1"):
        exact = [math.ceil(Fraction(text) * n) for n in (100, 10**7, 30_000_001)]
        assert [int(n) for n in traced(np.float32(text))] == exact
    assert [int(count_of(float(np.float32(0.55)), n, up=True)[0]) for n in (100, 1000)] == [55, 550]
    assert int(count_of(0.1 + 0.2, 10, up=True)[0]) == 3


# ---------------------------------------------------------------- spectral

RESERVOIRS = {
    "dense": WIDE,
    "uniform": init.Uniform(0.0, 1.0),
    "sparse": init.Sparse(0.97, WIDE),
    "orthogonal": init.Orthogonal(3.0),
    "dale": init.Dale(WIDE),
    "tiny": init.Normal(0.0, 1e-25),
    "huge": init.Normal(0.0, 1e30),
}


LEAST = {"dale": 30, "sparse": 200}  # neurons below which nothing is left of it


@pytest.mark.parametrize(
    ("name", "n"), [(r, n) for r in RESERVOIRS for n in (1, 2, 30, 200) if n >= LEAST.get(r, 1)]
)
def test_radius(name, n):
    x = init.Spectral(RESERVOIRS[name], radius=0.9)((n, n), rng=1)
    radius = abs(np.linalg.eigvals(bare(x))).max()
    assert abs(radius / 0.9 - 1) < (2e-3 if n == 2 else 1e-3)


@pytest.mark.parametrize(
    "matrix",
    [
        lambda g, n: np.roll(np.eye(n), 1, 0) * g.random(n),
        lambda g, n: np.triu(g.normal(size=(n, n))) / n**0.5,
        lambda g, n: np.diag(g.random(n)) + 10 * np.triu(g.normal(size=(n, n)), 1) / n**0.5,
        lambda g, n: (lambda a: a + a.T)(g.normal(size=(n, n))),
        lambda g, n: np.eye(n) + 0.01 * np.triu(g.normal(size=(n, n)), 1),
        lambda g, n: np.diag(np.exp(1j * np.linspace(0, 6, n))) * 0.5,
        lambda g, n: 0.1 * np.eye(n) + np.eye(n, k=1),
        lambda g, n: np.linalg.qr(g.normal(size=(n, n)))[0],
        lambda g, n: np.triu(g.random((n, n)), 1) + np.float32(1e-12) * np.eye(n, k=-(n - 1)),
    ],
    ids=[
        *("ring", "triangle", "far from normal", "symmetric", "one eigenvalue", "complex"),
        *("Jordan block", "orthogonal", "nearly nilpotent"),
    ],
)
def test_radius_of_hard_matrices(matrix):
    a = matrix(np.random.default_rng(0), 200)
    expected = abs(np.linalg.eigvals(a)).max()
    found = spectral_radius(jnp.asarray(a, jnp.complex64 if np.iscomplexobj(a) else jnp.float32))
    assert abs(float(found[0, 0]) / expected - 1) < 3e-4


def test_radius_a_three_thousandth_of_the_norm():
    """Squared in float32 alone it came out as half of what it is."""
    base = init.Dale(init.Uniform(0.99, 1.01), balance="exact")
    for n, seed in ((400, 1), (100, 0)):
        x = init.Spectral(base, radius=0.9)((n, n), rng=seed)
        assert abs(abs(np.linalg.eigvals(bare(x))).max() / 0.9 - 1) < 0.01


@pytest.mark.parametrize("scale", [1e-37, 1e-20, 1e20, 1e38])
def test_radius_where_the_matrix_is_at_the_end_of_the_range(scale):
    base = init.Constant(scale * np.array([[0.0, 1.0, 0.5], [0.1, 0.0, 0.3], [0.0, 0.0, 0.2]]))
    x = init.Spectral(base, radius=2.0)((3, 3), rng=0)
    np.testing.assert_allclose(abs(np.linalg.eigvals(bare(x))).max(), 2, rtol=1e-4)


@pytest.mark.parametrize("base", [init.Constant(0.0), init.Constant(np.triu(np.ones((8, 8)), 1))])
def test_no_radius_to_scale_is_nan(base):
    assert np.isnan(init.Spectral(base, radius=1.0)((8, 8), rng=0)).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name in RESERVOIRS
        for shape in ((200, 200), (30, 90), (90, 30), (1, 5), (4, 20, 30))
        if (name, shape) != ("dale", (1, 5)) and (name != "sparse" or shape == (200, 200))
    ],
    ids=str,
)
def test_norm(name, shape):
    base = init.Orthogonal(batch_axis=0) if name == "orthogonal" and len(shape) > 2 else None
    if name == "dale":
        base = init.Dale(WIDE, axis=-2)
    x = bare(init.Spectral(base or RESERVOIRS[name], norm=0.9)(shape, rng=1))
    np.testing.assert_allclose(np.linalg.svd(x, compute_uv=False)[..., 0], 0.9, rtol=1e-5)


def test_radius_of_a_batch_and_in_low_precision():
    x = bare(init.Spectral(WIDE, radius=2.0)((3, 40, 40), rng=0))
    np.testing.assert_allclose(abs(np.linalg.eigvals(x)).max(-1), 2, rtol=1e-3)
    obj = init.Spectral(WIDE, radius=0.9)
    wide, narrow = (obj(key(), (40, 40), d) for d in (jnp.float32, jnp.bfloat16))
    np.testing.assert_array_equal(narrow, wide.astype(jnp.bfloat16))
    complex_ = np.asarray(obj(key(), (40, 40), jnp.complex64))
    assert abs(abs(np.linalg.eigvals(complex_)).max() / 0.9 - 1) < 1e-3


def test_radius_under_jit_vmap_and_grad():
    obj = init.Spectral(init.Sparse(0.8, WIDE), radius=0.9)
    single = [obj(k, (50, 50)) for k in jax.random.split(key(), 3)]
    compiled = [*map(jax.jit(lambda k: obj(k, (50, 50))), jax.random.split(key(), 3))]
    mapped = jax.vmap(lambda k: obj(k, (50, 50)))(jax.random.split(key(), 3))
    np.testing.assert_allclose(jnp.stack(compiled), jnp.stack(single), rtol=1e-5)
    np.testing.assert_allclose(mapped, jnp.stack(single), rtol=1e-5)

    def total(radius, std):
        base = init.Normal(0.0, std)
        return (init.Spectral(base, radius=radius)(key(), (20, 20)) ** 2).sum()

    both = jax.jit(jax.value_and_grad(total, (0, 1)))
    at, (by_radius, by_std) = both(0.9, 2.0)
    np.testing.assert_allclose(at, total(0.9, 2.0), rtol=1e-4)
    np.testing.assert_allclose(by_radius, 2 * at / 0.9, rtol=1e-4)
    assert abs(by_std) < 1e-3 * at  # the radius takes any std away again
    assert np.isnan(both(-1.0, 1.0)[0])


@pytest.mark.parametrize("kind", ["complex pair", "positive", "sparse"])
def test_derivative_of_the_radius(kind):
    """By the eigenvectors: d rho = Re(w* dA v conj(lambda) / |lambda|) / w* v."""
    a = {
        "complex pair": np.array([[0.3, -2.0, 0.1], [1.0, 0.1, 0.0], [0.2, 0.3, 0.5]]),
        "positive": np.array([[0.1, 0.7, 0.3], [0.5, 0.2, 0.9], [0.4, 0.3, 0.6]]),
        "sparse": np.array([[0.9, 7.0, 0.0], [0.0, 0.5, 3.0], [0.0, 0.0, 0.2]]),
    }[kind]
    values, right = np.linalg.eig(a)
    at = abs(values).argmax()
    left = np.linalg.inv(right)[at]
    expected = np.outer(left, right[:, at]) * values[at].conj() / abs(values[at])
    slope = jax.grad(lambda x: spectral_radius(x)[0, 0])(jnp.asarray(a, jnp.float32))
    np.testing.assert_allclose(slope, expected.real, rtol=1e-3, atol=1e-3)


def test_derivative_of_the_radius_of_a_large_triangle():
    a = jnp.triu(jax.random.normal(key(), (100, 100))).at[3, 3].set(9.0)
    slope = jax.grad(lambda x: spectral_radius(x)[0, 0])(a)
    expected = jnp.zeros_like(a).at[3, 3].set(1.0)
    np.testing.assert_allclose(jnp.where(a != 0, slope, 0), expected, atol=1e-4)


def test_no_second_derivative_of_the_radius():
    with pytest.raises(NotImplementedError, match="`radius` of spectral .* no second"):
        jax.eval_shape(jax.hessian(lambda x: spectral_radius(x)[0, 0]), jnp.eye(2))


def test_a_radius_on_every_platform_and_without_jit():
    obj = init.Spectral(WIDE, radius=0.9)
    draw = jax.jit(lambda k: obj(k, (4, 4)))
    platforms = ["cpu", "cuda", "rocm", "tpu"]
    assert jax.export.export(draw, platforms=platforms)(key()).platforms == tuple(platforms)
    with jax.disable_jit():
        np.testing.assert_allclose(obj(key(), (4, 4)), draw(key()), rtol=1e-5)


def test_units_of_spectral():
    in_ns, in_us = (
        init.Spectral(base, radius=2 * unit)((9, 9), rng=0)
        for base, unit in ((WIDE, u.nS), (init.Normal(0 * u.nS, 1 * u.nS), u.uS))
    )
    assert (in_ns.unit, in_us.unit) == (u.nS, u.uS)
    np.testing.assert_allclose(bare(in_ns), bare(in_us), rtol=1e-6)
    with pytest.raises(init.UnitError, match="bare number"):
        init.Spectral(init.Normal(0 * u.nS, 1 * u.nS), radius=2.0)
    with pytest.raises(init.UnitError, match="differ in dimension"):
        init.Spectral(init.Normal(0 * u.mV, 1 * u.mV), norm=2 * u.nS)


# ---------------------------------------------------------------- dale


@pytest.mark.parametrize("balance", [True, False, "exact"])
@pytest.mark.parametrize(
    ("axis", "excitatory", "n"),
    [(a, *fraction) for a in (0, 1) for fraction in ((0.8, 100), (0.5, 5), (0.75, 30), (0.2, 7))]
    + [(-1, 0.8, 100)],
)
def test_signs(balance, axis, excitatory, n):
    shape = (n, 12) if axis == 0 else (12, n)
    base = init.Normal(0.0, 0.5)
    x = bare(init.Dale(base, excitatory, balance, axis)(shape, rng=2))
    x = x if axis == 0 else x.T
    many = math.floor(excitatory * n + 0.5)
    assert (x[:many] > 0).all()
    assert (x[many:] < 0).all()
    drawn = abs(bare(base(shape, rng=2)))
    drawn = drawn if axis == 0 else drawn.T
    np.testing.assert_allclose(x[:many], drawn[:many])
    if balance == "exact":
        np.testing.assert_allclose(x.sum(0), 0, atol=2e-6 * abs(x).sum(0).max())
    else:
        gain = many / (n - many) if balance else 1
        np.testing.assert_allclose(x[many:], -gain * drawn[many:], rtol=1e-6)


@pytest.mark.parametrize("balance", [True, False, "exact"])
def test_so_many_neurons_excite(balance):
    by_number, by_fraction = (init.Dale(WIDE, excitatory, balance) for excitatory in (15, 0.75))
    expected = by_fraction(key(), (20, 3))
    np.testing.assert_array_equal(by_number(key(), (20, 3)), expected)
    drawn = jax.jit(lambda e, k: init.dale(k, (20, 3), WIDE, e, balance))
    np.testing.assert_allclose(drawn(15, key()), expected, rtol=1e-6)
    assert np.isnan(drawn(21, key())).all()
    assert np.isnan(drawn(1.5, key())).all()
    assert np.isnan(drawn(np.nan, key())).all()
    again = init.get(json.loads(json.dumps(init.to_config(by_number))))
    assert again == by_number == eval(repr(by_number), vars(init))
    assert by_number == init.Dale(WIDE, 15.0, balance)


def test_a_number_of_neurons_that_cannot_be():
    with pytest.raises(ValueError, match="`excitatory` = 80 is more than the 50 neurons"):
        init.Dale(WIDE, 80)((50, 3), rng=0)
    with pytest.raises(ValueError, match="`excitatory` must be from 0 to 1, or a whole number"):
        init.Dale(WIDE, 1.5)
    with pytest.raises(ValueError, match="`excitatory` = 50 of 50 neurons leaves"):
        init.Dale(WIDE, 50)((50, 3), rng=0)
    assert (init.Dale(WIDE, 50, balance=False)((50, 3), rng=0) > 0).all()


def test_balance_in_expectation():
    x = bare(init.Dale(init.LogNormal(0.5, 0.2))((1000, 2000), rng=0))
    error = x.sum() / np.sqrt((x**2).sum())  # above its standard deviation at any rate
    assert abs(error) < stats.norm.isf(RATE / 2)


def test_dale_with_a_unit_and_a_sparse_base():
    base = init.Sparse(0.5, init.LogNormal(0.5 * u.nS, 0.2 * u.nS))
    x = init.Dale(base, balance="exact")((200, 50), rng=0)
    assert x.unit == u.nS
    assert set(np.sum(bare(x) == 0, 0).tolist()) == {100}
    np.testing.assert_allclose(bare(x).sum(0), 0, atol=1e-4)


def test_what_cannot_balance():
    lonely = init.Constant(np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]))
    x = bare(init.Dale(lonely, 0.6, "exact")((3, 2), rng=0))
    assert np.isnan(x[:, 0]).all()
    np.testing.assert_allclose(x[:, 1], [1, 1, -2])
    for fraction in (0, 1):
        with pytest.raises(ValueError, match="leaves neurons of one sign only"):
            init.Dale(WIDE, fraction)
        one_sign = bare(init.Dale(WIDE, fraction, balance=False)((6, 4), rng=0))
        assert ((one_sign > 0) == bool(fraction)).all()
    with pytest.raises(ValueError, match="`excitatory` = 0.8 of 2 neurons leaves"):
        init.Dale(WIDE)((2, 3), rng=0)
    traced = jax.jit(lambda e: init.Dale(WIDE, e)((2, 3), rng=0))
    assert np.isnan(traced(0.8)).all()
    assert np.isnan(traced(1.5)).all()
    assert np.isfinite(traced(0.5)).all()


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: init.Sparse(1.5), ValueError, "`sparsity` must be from 0 to 1, got 1.5"),
        (lambda: init.Sparse(np.nan), ValueError, "remove the NaN"),
        (lambda: init.Sparse(0.1 * u.nS), init.UnitError, "`sparsity` is a pure number"),
        (lambda: init.Sparse(np.array([0.1, 0.2])), ValueError, "must be a scalar"),
        (lambda: init.Sparse(0.1, axis="a"), TypeError, "`axis` must be an int"),
        (lambda: init.Sparse(0.1, axis=2)((3, 3), rng=0), ValueError, "`axis` = 2 is no axis"),
        (lambda: init.Sparse(0.1)((), rng=0), ValueError, "`axis` = 0 is no axis"),
        (lambda: init.Spectral(WIDE), ValueError, "exactly one of `radius` and `norm`"),
        (lambda: init.Spectral(WIDE, 1.0, 1.0), ValueError, "exactly one"),
        (lambda: init.Spectral(WIDE, 0.0), ValueError, "`radius` must be positive"),
        (lambda: init.Spectral(WIDE, norm=-1 * u.nS), ValueError, "`norm` .* got -1 nS"),
        (lambda: init.Spectral(WIDE, 1.0)((3, 4), rng=0), ValueError, "a square matrix"),
        (lambda: init.Spectral(WIDE, norm=1.0)(3, rng=0), ValueError, "`norm` needs a matrix"),
        (lambda: init.Dale(WIDE, -0.1), ValueError, "`excitatory` must be from 0 to 1"),
        (lambda: init.Dale(WIDE, balance="yes"), ValueError, "`balance` must be"),
        (lambda: init.Dale(WIDE, balance=np.ones(2)), ValueError, "`balance` must be"),
        (lambda: init.Dale(WIDE, balance=None), ValueError, "`balance` must be"),
        (lambda: init.Dale(WIDE, axis=3)((4, 4), rng=0), ValueError, "`axis` = 3 is no axis"),
        (lambda: init.Dale(WIDE)((4, 4), rng=0, dtype=complex), TypeError, "`dtype` must be"),
    ],
)
def test_bad_parameters(make, error, said):
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize(
    "obj",
    [init.Sparse(0.5), init.Spectral(WIDE, norm=1.0), init.Spectral(WIDE, 1.0), init.Dale(WIDE)],
    ids=str,
)
def test_zero_sized(obj):
    assert obj((0, 0), rng=0).shape == (0, 0)
    assert obj((3, 0, 0), rng=0).shape == (3, 0, 0)
