"""Are the matrices what they claim to be: orthogonal, uniform, identity-preserving?"""

from __future__ import annotations

import itertools

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers
from scipy import stats

import braininit as init

RATE = 1e-6  # of false alarms, for each statistical test


def key(n=20):
    return jax.random.key(n)


def columns_of(x, column_axis=-1):
    """The matrix an N-D array stands for, in float64."""
    x = np.moveaxis(np.asarray(x), column_axis, -1)
    return x.reshape(-1, x.shape[-1]).astype(complex if np.iscomplexobj(x) else float)


def assert_orthonormal(q, tolerance=1e-5):
    rows, columns = q.shape
    gram = q.conj().T @ q if rows >= columns else q @ q.conj().T
    np.testing.assert_allclose(gram, np.eye(min(rows, columns)), atol=tolerance)


# ---------------------------------------------------------------- orthogonal

SHAPES = [(1, 1), (5, 5), (64, 3), (3, 64), (7, 2, 3), (2, 9, 30), (2, 3, 4, 5), (1, 200), (200, 1)]
SHAPES_AND_AXES = [("float32", s, a) for s in SHAPES for a in (*range(len(s)), -len(s))]
SHAPES_AND_AXES += [("complex64", s, -1) for s in SHAPES]


@pytest.mark.parametrize(("dtype", "shape", "axis"), SHAPES_AND_AXES, ids=str)
def test_orthonormal_and_jax_s_own(dtype, shape, axis):
    x = init.orthogonal(key(), shape, 0.7, column_axis=axis, dtype=dtype)
    theirs = initializers.orthogonal(0.7, axis)(key(), shape, jnp.dtype(dtype))
    np.testing.assert_array_equal(x, theirs)
    assert_orthonormal(columns_of(x, axis) / 0.7)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_jax_s_own_in_double_precision(dtype, x64):
    for seed, shape in itertools.product(range(5), [(30, 30), (4, 50), (50, 4)]):
        x = init.orthogonal(key(seed), shape, dtype=dtype)
        np.testing.assert_array_equal(x, initializers.orthogonal()(key(seed), shape, dtype))
        assert_orthonormal(columns_of(x), 1e-13)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_jax_s_own_for_many_keys(impl):
    for seed in range(10):
        k = [jax.random.key(seed, impl=impl) for _ in range(2)]
        np.testing.assert_array_equal(
            init.orthogonal(k[0], (9, 6)), initializers.orthogonal()(k[1], (9, 6))
        )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn"])
def test_low_precision_is_the_float32_matrix_rounded(dtype):
    wide = init.orthogonal(key(), (40, 60), 0.5)
    narrow = init.orthogonal(key(), (40, 60), 0.5, dtype=dtype)
    assert narrow.dtype == dtype
    np.testing.assert_array_equal(narrow, wide.astype(dtype))


@pytest.mark.parametrize(
    ("shape", "batch", "column"),
    [((3, 5, 5), 0, -1), ((3, 7, 4), 0, 1), ((7, 3, 4, 2), (1, 3), 2), ((6, 4, 3), (-1,), 0)],
    ids=str,
)
def test_a_batch_is_of_independent_matrices(shape, batch, column):
    x = init.Orthogonal(batch_axis=batch, column_axis=column)(shape, rng=1)
    assert x.shape == shape
    batch = (batch,) if isinstance(batch, int) else batch
    order = [a for a in range(len(shape)) if a not in {b % len(shape) for b in batch}]
    order.remove(column % len(shape))
    moved = np.transpose(x, [*(b % len(shape) for b in batch), *order, column % len(shape)])
    flat = moved.reshape(-1, *moved.shape[len(batch) :])
    for matrix in flat:
        assert_orthonormal(columns_of(matrix))
    first, second = columns_of(flat[0]), columns_of(flat[1])
    assert abs(first - second).max() > 0.1


def test_uniform_under_rotation():
    """Entries and eigenvalues' angles are those of the Haar measure; without signs not.

    An entry x of an n x n matrix has (1 + x) / 2 beta-distributed, and so has one of a
    wide or tall matrix; 20 000 draws see a Kolmogorov-Smirnov distance of 0.02. The
    trace has mean 0 and variance 1, where QR as it comes has mean -0.8.
    """
    n, many = 4, 20_000
    keys = jax.random.split(key(), many)
    square = np.asarray(jax.jit(jax.vmap(lambda k: init.orthogonal(k, (n, n))))(keys))
    keys = jax.random.split(key(21), many)
    wide = np.asarray(jax.jit(jax.vmap(lambda k: init.orthogonal(k, (2, n))))(keys))
    half = (n - 1) / 2
    for entry in (*square.reshape(many, -1).T, *wide.reshape(many, -1).T):
        assert stats.kstest((1 + entry) / 2, stats.beta(half, half).cdf).pvalue > RATE / 50
    z = stats.norm.isf(RATE / 2)
    trace = np.trace(square, axis1=1, axis2=2)
    assert abs(trace.mean()) < z / np.sqrt(many)
    assert abs((trace**2).mean() - 1) < z * np.sqrt(2 / many)
    signs = np.linalg.slogdet(square.astype(float))[0]
    assert abs(signs.mean()) < z / np.sqrt(many)
    left = np.einsum("ij,kjl->kil", np.asarray(init.orthogonal(key(5), (n, n))), square)
    for entry in left.reshape(many, -1).T:  # a rotation of all changes nothing
        assert stats.kstest((1 + entry) / 2, stats.beta(half, half).cdf).pvalue > RATE / 50


def test_the_test_sees_qr_without_signs():
    z = np.random.default_rng(0).normal(size=(2000, 4, 4))
    trace = np.trace(np.linalg.qr(z)[0], axis1=1, axis2=2)
    assert abs(trace.mean()) > 20 * stats.norm.isf(RATE / 2) / np.sqrt(20_000)


@pytest.mark.parametrize("make", [init.Orthogonal, init.DeltaOrthogonal])
def test_jit_and_vmap_change_no_bit(make):
    obj, shape = make(0.7), (3, 24, 40)
    eager = [obj(k, shape) for k in jax.random.split(key(), 3)]
    compiled = [*map(jax.jit(lambda k: obj(k, shape)), jax.random.split(key(), 3))]
    np.testing.assert_array_equal(jnp.stack(compiled), jnp.stack(eager))
    mapped = jax.vmap(lambda k: obj(k, shape))(jax.random.split(key(), 3))
    np.testing.assert_array_equal(mapped, jnp.stack(eager))


def test_memory_of_orthogonal():
    """One matrix beside the result, where jax's own takes three."""
    draw = jax.jit(lambda k: init.orthogonal(k, (256, 256))).lower(key()).compile()
    assert draw.memory_analysis().temp_size_in_bytes < 1.2 * 4 * 256**2


# ---------------------------------------------------------------- delta-orthogonal


@pytest.mark.parametrize("spatial", [(3,), (4,), (3, 5), (2, 4), (3, 2, 1)], ids=str)
@pytest.mark.parametrize(("width", "column"), [((4, 7), -1), ((5, 5), -2), ((5, 5), 1)])
def test_delta_orthogonal_is_jax_s_own(spatial, width, column):
    x = init.delta_orthogonal(key(), (*spatial, *width), 0.7, column_axis=column)
    theirs = initializers.delta_orthogonal(0.7, column)(key(), (*spatial, *width))
    np.testing.assert_array_equal(x, theirs)


@pytest.mark.parametrize("width", [(4, 7), (7, 4), (5, 5), (1, 3), (6, 1)], ids=str)
def test_delta_orthogonal_in_every_layout(width):
    kernel = np.asarray(init.delta_orthogonal(key(), (4, 3, *width)))
    centre = kernel[1, 1]
    assert_orthonormal(centre.astype(float))
    assert np.count_nonzero(kernel) == np.count_nonzero(centre)
    torch_like = init.delta_orthogonal(key(), (*width[::-1], 4, 3), in_axis=1, out_axis=0)
    np.testing.assert_array_equal(torch_like, kernel.transpose(3, 2, 0, 1))
    mixed = init.delta_orthogonal(key(), (4, *width, 3), in_axis=1, out_axis=-2)
    np.testing.assert_array_equal(mixed, kernel.transpose(0, 2, 3, 1))
    low = init.delta_orthogonal(key(), (4, 3, *width), dtype=jnp.bfloat16)
    np.testing.assert_array_equal(low, kernel.astype(jnp.bfloat16))


@pytest.mark.parametrize("size", [3, 4])
def test_delta_orthogonal_preserves_the_norm(size):
    w = init.delta_orthogonal(key(), (size, size, 5, 8))
    x = jax.random.normal(key(1), (2, 9, 9, 5))
    y = convolved(x, w, ("NHWC", "HWIO", "NHWC"))
    norms = [np.linalg.norm(a.reshape(2, -1), axis=1) for a in (x, y)]
    np.testing.assert_allclose(*norms, rtol=1e-5)


# ---------------------------------------------------------------- identity, dirac


def convolved(x, w, layout, padding="SAME", groups=1):
    return jax.lax.conv_general_dilated(
        *(x, w, (1,) * (x.ndim - 2), padding),
        dimension_numbers=layout,
        feature_group_count=groups,
        precision="highest",
    )


@pytest.mark.parametrize(
    "shape", [(3, 3), (2, 5), (5, 2), (0, 3), (2, 3, 4), (2, 1, 4, 3)], ids=str
)
def test_identity(shape):
    x = init.Identity(0.5 * u.nS)(shape)
    assert x.unit == u.nS
    expected = np.broadcast_to(0.5 * np.eye(*shape[-2:]), shape)
    np.testing.assert_array_equal(x.mantissa, expected)


def test_identity_of_a_vector_and_with_a_diagonal():
    np.testing.assert_array_equal(init.identity(None, 3), np.ones(3))
    assert init.Identity(2)(()) == 2
    diagonal = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(init.Identity(diagonal)((3, 3)), np.diag(diagonal))
    batch = init.identity(None, (2, 3, 3), diagonal[:2, None, None])
    np.testing.assert_array_equal(batch[1], 2 * np.eye(3))
    np.testing.assert_array_equal(init.Identity(2)((3, 3), dtype=complex), 2 * np.eye(3) + 0j)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_identity_and_dirac_take_no_memory(dtype):
    for obj, shape in ((init.Identity(), (16, 64, 64)), (init.Dirac(4), (3, 3, 64, 64))):
        program = jax.jit(lambda obj=obj, s=shape: obj(s, dtype=dtype)).lower()
        assert program.compile().memory_analysis().temp_size_in_bytes == 0
        assert len(program.as_text().splitlines()) < 200  # it was one operation an entry


# XLA takes seconds to compile some convolutions of groups along several axes.
DIRAC = [
    *(((3,), *of) for of in ((1, 0), (1, 2), (1, -1), (2, 2), (3, 0), (3, -1))),
    *((kernel, 1, more) for kernel in ((5, 3), (1, 3, 3), (4, 2)) for more in (0, 2, -1)),
    ((4, 2), 2, 2),
    ((4, 2), 3, -1),
    ((5, 3), 3, 0),
]


@pytest.mark.parametrize(("kernel", "groups", "more"), DIRAC, ids=str)
def test_dirac_passes_its_input_on(kernel, groups, more):
    into, out = 3, 3 + more  # channels of one group
    w = init.Dirac(groups, 2.0)((*kernel, into, out * groups))
    letters = "DHW"[-len(kernel) :]
    layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    x = jax.random.normal(key(), (2, *(6,) * len(kernel), into * groups))
    y = np.asarray(convolved(x, w, layout, groups=groups))
    kept = min(into, out)
    x, y = (np.asarray(a).reshape(*a.shape[:-1], groups, -1) for a in (x, y))
    np.testing.assert_array_equal(y[..., :kept], 2 * x[..., :kept])
    np.testing.assert_array_equal(y[..., kept:], 0)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(3,), (4, 3), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("into", [2, 5])
def test_dirac_in_torch_s_layout(groups, kernel, into):
    shape = (6, into, *kernel)
    expected = np.zeros(shape)
    share, centre = 6 // groups, tuple(k // 2 for k in kernel)
    for g, d in itertools.product(range(groups), range(min(share, into))):
        expected[(g * share + d, d, *centre)] = 1
    np.testing.assert_array_equal(init.dirac(None, shape, groups, in_axis=1, out_axis=0), expected)


# ---------------------------------------------------------------- parameters

ALL = [
    (init.Orthogonal, (4, 6)),
    (init.DeltaOrthogonal, (3, 4, 6)),
    (init.Identity, (4, 6)),
    (init.Dirac, (3, 4, 6)),
]
every = pytest.mark.parametrize(("cls", "shape"), ALL, ids=lambda v: getattr(v, "__name__", ""))


@every
def test_scale_and_unit(cls, shape):
    plain = cls()(shape, rng=0)
    for obj in (cls(scale=2 * u.nS), cls(scale=2, unit=u.nS), cls(scale=2, unit="nS")):
        x = obj(shape, rng=0)
        assert x.unit == u.nS
        np.testing.assert_array_equal(x.mantissa, 2 * plain)
    both = cls(scale=2 * u.nS, unit=u.uS)(shape, rng=0)
    assert both.unit == u.uS
    np.testing.assert_allclose(both.mantissa, 0.002 * plain, rtol=1e-6)
    np.testing.assert_array_equal(cls(scale=-3)(shape, rng=0), -3 * plain)
    np.testing.assert_array_equal(cls(scale=0)(shape, rng=0), 0 * plain)
    with pytest.raises(init.UnitError, match="`scale` in nS and `unit` = mV differ"):
        cls(scale=2 * u.nS, unit=u.mV)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="`scale` must be finite"):
            cls(scale=bad)
    with pytest.raises(TypeError, match="`unit` must be a unit"):
        cls(unit=-1)
    with pytest.raises(ValueError, match="outside what float16 holds"):
        cls(scale=1e6)(shape, rng=0, dtype=jnp.float16)


@every
def test_gradient_and_traced_scale(cls, shape):
    plain = cls()(shape, rng=0)
    slope = jax.jacfwd(lambda s: cls(scale=s)(shape, rng=0))(2.0)
    np.testing.assert_array_equal(slope, plain)
    total = jax.grad(lambda s: (cls(scale=s)(shape, rng=0) ** 2).sum())(3.0)
    np.testing.assert_allclose(total, 6 * (plain**2).sum(), rtol=1e-5)
    assert np.isnan(jax.jit(lambda s: cls(scale=s)(shape, rng=0))(np.nan)).all()


@every
def test_options_take_one_form(cls, shape):
    fields = {f: v for f, v in vars(cls()).items() if type(v) is int}
    again = cls(**{f: np.int64(v) for f, v in fields.items()})
    assert again == cls()
    assert hash(again) == hash(cls())
    assert repr(again) == repr(cls())
    for name in fields:
        for bad in (1.0, "a", None, True):
            with pytest.raises(TypeError, match=f"`{name}` must be an int"):
                cls(**{name: bad})


def test_batch_axes_in_every_form():
    obj = init.Orthogonal(batch_axis=[0, np.int64(1)])
    assert obj == init.Orthogonal(batch_axis=(0, 1))
    assert hash(obj)
    assert eval(repr(obj), vars(init)) == obj
    with pytest.raises(TypeError, match="`batch_axis` must be an int"):
        init.Orthogonal(batch_axis=(0.0,))


@pytest.mark.parametrize(
    ("obj", "shape", "said"),
    [
        (init.Orthogonal(), 5, "leaves no rows"),
        (init.Orthogonal(), (), "is no axis of the size"),
        (init.Orthogonal(batch_axis=0), (5, 5), "leaves no rows"),
        (init.Orthogonal(column_axis=2), (5, 5), "`column_axis` = 2 is no axis"),
        (init.Orthogonal(batch_axis=-1), (5, 5, 5), "is in `batch_axis`"),
        (init.Orthogonal(batch_axis=(0, -3)), (5, 5, 5), "twice"),
        (init.DeltaOrthogonal(), (5, 5), "needs a spatial axis"),
        (init.DeltaOrthogonal(column_axis=2), (3, 5, 5), "`column_axis` = 2"),
        (init.DeltaOrthogonal(in_axis=-1), (3, 5, 5), "the same axis"),
        (init.Dirac(), (5, 5), "needs a spatial axis"),
        (init.Dirac(2), (3, 5, 5), "`groups` must divide the 5 output channels"),
        (init.Dirac(in_axis=3), (3, 5, 5), "`in_axis` = 3 is no axis"),
        (init.Identity(np.ones(3)), (4, 4), "does not broadcast"),
    ],
    ids=str,
)
def test_sizes_that_fit_no_matrix(obj, shape, said):
    with pytest.raises(ValueError, match=said):
        obj(shape, rng=0)
    with pytest.raises(ValueError, match=said):
        jax.jit(lambda k: obj(k, shape))(key())


def test_groups_must_be_positive():
    with pytest.raises(ValueError, match="`groups` must be 1 or more, got 0"):
        init.Dirac(0)


@every
@pytest.mark.parametrize("empty", [0, 1])
def test_zero_sized(cls, shape, empty):
    size = (*shape[:-2], *(0 if a == empty else n for a, n in enumerate(shape[-2:])))
    assert cls()(size, rng=0).shape == size
