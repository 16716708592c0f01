"""Scaled initializers: JAX's numbers, everybody's fans, PyTorch's gains, units that count.

What holds for every distribution is in `test_conformance.py`; here is what is theirs alone.
"""

from __future__ import annotations

import pickle

import brainunit as u
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES
from flax import nnx
from jax.nn import initializers
from scipy import integrate, special, stats

import braininit as init

SCALED = [case for case in CASES if case.powers]
every = pytest.mark.parametrize("case", SCALED, ids=str)
SQUARE = (64, 64)


def same_bits(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def bare(x):
    return np.asarray(x.mantissa if isinstance(x, u.Quantity) else x)


def std_of(obj, shape, seed=0):
    """The std a draw is scaled to, by the standard draw of the same key."""
    return float(bare(obj(shape, rng=seed)).std())


def fan_of(shape, **given):
    """The fan by which a shape's draws are divided, read off a draw."""
    unit = bare(init.VarianceScaling(fan_in=1.0)(shape, rng=3))
    x = bare(init.VarianceScaling(**given)(shape, rng=3))
    return float(np.median((unit / x) ** 2))


# ---------------------------------------------------------------- JAX's numbers

AXES = [
    ((7, 5), -2, -1, ()),
    ((3, 2, 4, 6), -2, -1, ()),
    ((6, 4, 3, 2), 1, 0, ()),
    ((3, 4, 5, 6), (0, 1), (2, 3), ()),
    ((3, 4, 5, 6), [-4, 2], 3, 1),
    ((5, 7, 11), 1, 2, 0),
    ((9,), (), -1, ()),
    ((1, 1), -2, -1, ()),
    ((257, 513), -2, -1, ()),
]
SHAPES = ((5, 11), (3, 7, 4), (1, 9, 2, 6))
MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
DISTRIBUTIONS = ("uniform", "normal", "truncated_normal")
NAMED = {
    "lecun_normal": init.LecunNormal,
    "lecun_uniform": init.LecunUniform,
    "glorot_normal": init.XavierNormal,
    "glorot_uniform": init.XavierUniform,
    "he_normal": init.KaimingNormal,
    "he_uniform": init.KaimingUniform,
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_named_initializers_are_jax_s_bit_for_bit(name, dtype):
    with jax.enable_x64(dtype in ("float64", "complex128")):
        # What a fan is does not depend on the dtype: few shapes of the others.
        for seed, (shape, i, o, b) in enumerate(AXES if dtype == "float32" else AXES[::4]):
            axes = {"in_axis": i, "out_axis": o, "batch_axis": b}
            theirs = getattr(initializers, name)(**axes)(jax.random.key(seed), shape, dtype)
            same_bits(NAMED[name](**axes)(jax.random.key(seed), shape, jnp.dtype(dtype)), theirs)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_variance_scaling_is_jax_s_bit_for_bit(distribution, dtype):
    rng = np.random.default_rng(5)
    with jax.enable_x64(dtype == "float64"):
        for seed, mode in enumerate(MODES * 2):
            shape = SHAPES[seed % len(SHAPES)]
            i, o = (int(a) for a in rng.permutation(len(shape))[:2])
            scale = float(rng.lognormal())
            theirs = initializers.variance_scaling(scale, mode, distribution, i, o)
            key, again = jax.random.key(seed), jax.random.key(seed)
            ours = init.variance_scaling(key, shape, scale, mode, distribution, i, o, dtype=dtype)
            same_bits(ours, theirs(again, shape, jnp.dtype(dtype)))


def test_bit_for_bit_under_jit_vmap_and_for_other_keys():
    """JAX's own normal draws change their last bit under jit; these don't."""
    for name, cls in NAMED.items():
        theirs = getattr(initializers, name)()
        keys = jax.random.split(jax.random.key(3), 4)
        obj = cls()
        drawn = jax.jit(jax.vmap(lambda k, obj=obj: obj(k, (6, 5))))(keys)
        keys = jax.random.split(jax.random.key(3), 4)
        same_bits(drawn, jnp.stack([theirs(k, (6, 5)) for k in keys]))
        key, again = (jax.random.key(1, impl="rbg") for _ in range(2))
        same_bits(cls()(key, (6, 5)), theirs(again, (6, 5)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_drawn_in_float32(dtype):
    for cls in NAMED.values():
        wide = cls()((1000, 300), rng=1)
        narrow = np.asarray(cls()((1000, 300), rng=1, dtype=jnp.dtype(dtype)))
        assert np.mean(narrow == np.asarray(wide.astype(dtype))) > 0.999
        assert abs(narrow.astype(float).mean()) < 5 * wide.std() / np.sqrt(wide.size)


# ---------------------------------------------------------------- fans


@pytest.mark.parametrize(
    ("shape", "axes", "fan_in", "fan_out"),
    [
        ((20, 30), {}, 20, 30),  # Dense, (in, out)
        ((30, 20), {"in_axis": 1, "out_axis": 0}, 20, 30),  # torch.nn.Linear, (out, in)
        ((3, 5, 8, 16), {}, 120, 240),  # HWIO
        ((16, 8, 3, 5), {"in_axis": 1, "out_axis": 0}, 120, 240),  # OIHW
        ((3, 3, 2, 16), {}, 18, 144),  # HWIO of a convolution in 4 groups: 2 inputs each
        ((16, 2, 3, 3), {"in_axis": 1, "out_axis": 0}, 18, 144),  # PyTorch's of the same
        ((4, 20, 30), {"batch_axis": 0}, 20, 30),  # four kernels at once
        ((8, 4, 5, 6), {"in_axis": (0,), "out_axis": (-2, -1), "batch_axis": [1]}, 8, 30),
        ((6, 5), {"in_axis": ()}, 6, 30),  # nothing but field and outputs
    ],
)
def test_fans(shape, axes, fan_in, fan_out):
    expected = (fan_in, fan_out, (fan_in + fan_out) / 2, (fan_in * fan_out) ** 0.5)
    for mode, fan in zip(MODES, expected, strict=True):
        np.testing.assert_allclose(fan_of(shape, mode=mode, **axes), fan, rtol=1e-5)


def test_given_fans():
    np.testing.assert_allclose(fan_of((30,), fan_in=20), 20, rtol=1e-5)
    np.testing.assert_allclose(fan_of((), fan_in=20), 20, rtol=1e-5)
    np.testing.assert_allclose(fan_of((4, 5), fan_in=20), 20, rtol=1e-5)
    np.testing.assert_allclose(fan_of((30,), mode="fan_out", fan_out=7), 7, rtol=1e-5)
    # A bias whose kernel is (20, 30): its own size is the kernel's fan_out.
    np.testing.assert_allclose(fan_of((30,), mode="fan_avg", fan_in=20), 25, rtol=1e-5)
    np.testing.assert_allclose(fan_of((), mode="fan_avg", fan_in=20), 10.5, rtol=1e-5)
    both = {"fan_in": 20, "fan_out": 30}
    np.testing.assert_allclose(fan_of((5,), mode="fan_avg", **both), 25, rtol=1e-5)
    np.testing.assert_allclose(fan_of((5,), mode="fan_geo_avg", **both), 600**0.5, rtol=1e-5)
    arrays = {"fan_in": np.full((4, 1), 20.0), "fan_out": np.full(5, 30.0)}
    np.testing.assert_allclose(fan_of((4, 5), mode="fan_avg", **arrays), 25, rtol=1e-5)
    np.testing.assert_allclose(fan_of((4, 5), mode="fan_geo_avg", **arrays), 600**0.5, rtol=1e-5)


@every
def test_zero_sized_shapes_are_empty(case):
    for shape in ((0, 3), (3, 0), (0, 0), (3, 3, 0, 2), (2, 0, 3)):
        assert case.cls()(shape, rng=0).shape == shape
        assert jax.jit(lambda s, c=case, n=shape: c.cls(scale=s)(n, rng=0))(2.0).shape == shape


@pytest.mark.parametrize(
    ("given", "shape", "error", "said"),
    [
        ({}, (5,), ValueError, r"shape \(5,\) has no axis -2 for `in_axis`; give `fan_in=`"),
        ({}, (), ValueError, "give `fan_in=`"),
        ({"mode": "fan_out"}, (5,), ValueError, "give `fan_out=`"),
        ({"in_axis": 2}, (4, 5), ValueError, "no axis 2 for `in_axis`"),
        ({"in_axis": -1}, (4, 5), ValueError, "axis -1 .* `in_axis` and again in `out_axis`"),
        ({"batch_axis": (0, 0)}, (4, 5, 6), ValueError, "`batch_axis` and again in `batch_axis`"),
    ],
)
def test_shapes_that_do_not_tell_the_fans(given, shape, error, said):
    obj = init.VarianceScaling(**given)  # which is no news when it is built
    with pytest.raises(error, match=said):
        obj(shape, rng=0)
    with pytest.raises(error, match=said):
        jax.eval_shape(lambda: obj(shape, rng=0))


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"mode": "fan-in"}, ValueError, "`mode` must be one of 'fan_in', 'fan_out'"),
        ({"mode": ["fan_in"]}, ValueError, "`mode` must be one of"),
        ({"distribution": "gauss"}, ValueError, "`distribution` must be one of 'uniform'"),
        ({"in_axis": 1.0}, TypeError, "`in_axis` must be an int or a tuple of ints, got 1.0"),
        ({"out_axis": None}, TypeError, "`out_axis` must be"),
        ({"batch_axis": "0"}, TypeError, "`batch_axis` must be"),
        ({"in_axis": u.nS}, TypeError, "`in_axis` must be an axis .* write unit=u.nS"),
        ({"fan_in": 0}, ValueError, "`fan_in` must be positive, got 0"),
        ({"fan_out": 3}, ValueError, "mode 'fan_in' does not use `fan_out`; give `fan_in`"),
        ({"mode": "fan_out", "fan_in": 3}, ValueError, "mode 'fan_out' does not use `fan_in`"),
        ({"scale": -1 * u.nS**2}, ValueError, r"`scale` must be non-negative, got -1 nS\^2"),
        ({"unit": "no such"}, ValueError, "names no unit"),
        ({"unit": 3.0}, TypeError, "must be a unit"),
    ],
)
def test_bad_parameters_raise_when_the_object_is_built(given, error, said):
    with pytest.raises(error, match=said):
        init.VarianceScaling(**given)


def test_normal_children_are_normal():
    for cls in (init.KaimingNormal, init.XavierNormal, init.LecunNormal):
        whole = cls(distribution="normal")
        expected = init.VarianceScaling(2.0 if cls is init.KaimingNormal else 1.0, "fan_in")
        if cls is not init.XavierNormal:
            same_bits(whole(SQUARE, rng=1), expected(SQUARE, rng=1))
        assert np.abs(whole((300, 300), rng=0)).max() > 2.5 * std_of(whole, (300, 300))
        with pytest.raises(ValueError, match="must be one of 'truncated_normal', 'normal', got"):
            cls(distribution="uniform")


@every
def test_the_std_is_what_the_formula_says(case):
    """All have one variance, whatever their form: within 6 standard errors at 2e5 draws."""
    x = bare(case.cls(scale=3.0)((400, 500), rng=8)).astype(float)
    fan = 450 if "Xavier" in str(case) else 400
    excess = stats.kurtosis(x.ravel())
    assert abs(x.var() / (3 / fan) - 1) < 6 * np.sqrt((excess + 2) / x.size)
    z = bare(case.cls(scale=3.0)((400, 500), rng=8, dtype=jnp.complex64))
    cut = case.cls.__dataclass_fields__.get("distribution")
    cut = cut is not None and cut.default == "truncated_normal"
    left = 1 / (1 - np.exp(-4)) if cut else 1  # JAX's constant lacks this factor
    assert abs((np.abs(z) ** 2).mean() / (left * 3 / fan) - 1) < 6 / np.sqrt(z.size)


# ---------------------------------------------------------------- units


@every
def test_units_of_the_result(case):
    plain = bare(case.cls(4.0)(SQUARE, rng=1))
    for obj in (case.cls(4.0, unit=u.nS), case.cls(4.0, unit="nS"), case.cls(4 * u.nS**2)):
        drawn = obj(SQUARE, rng=1)
        assert drawn.unit == u.nS
        same_bits(bare(drawn), plain)
    assert case.cls(4.0, unit="nS") == case.cls(4.0, unit=u.nS)
    for same in (4e-6 * u.uS**2, 4e-18 * u.siemens**2, 4e-3 * u.nS * u.uS):
        drawn = case.cls(same)(SQUARE, rng=1)
        np.testing.assert_allclose(bare(drawn.to(u.nS)), plain, rtol=1e-5, atol=1e-9)
    assert isinstance(case.cls(4 * u.mV / u.volt)(SQUARE, rng=1), jax.Array)
    density = case.cls(4 * (u.mS / u.cm**2) ** 2)(SQUARE, rng=1)
    assert density.unit == u.mS / u.cm**2


@every
def test_units_that_are_no_square(case):
    for scale in (4 * u.nS, 4 * u.mV**2 / u.Hz, 4 * u.mV**3):
        with pytest.raises(init.UnitError, match=r"square of the result's unit.*4 .*unit=") as e:
            case.cls(scale)
        assert isinstance(e.value, ValueError)
    with pytest.raises(init.UnitError, match="already gives .* drop unit=mV"):
        case.cls(4 * u.nS**2, unit=u.mV)


@every
def test_zero_scale_gives_zeros(case):
    for scale in (0, 0 * u.nS**2):
        assert not bare(case.cls(scale)(SQUARE, rng=1)).any()


def test_brain_tools_positions():
    """Positional order as there; the forms of the normal are named where they differ."""
    kaiming = init.KaimingNormal(None, "fan_out", "leaky_relu", 0.2, u.nS)
    assert kaiming == init.KaimingNormal(
        mode="fan_out", nonlinearity="leaky_relu", negative_slope=0.2, unit=u.nS
    )
    assert init.XavierUniform(2.0, u.nS) == init.XavierUniform(scale=2.0, unit="nS")
    scaling = init.VarianceScaling(2.0, "fan_avg", "uniform", [-2], np.int64(-1))
    assert scaling == init.VarianceScaling(2.0, "fan_avg", "uniform", (-2,), -1)
    assert hash(scaling) == hash(eval(repr(scaling), vars(init)))


# ---------------------------------------------------------------- transformations


@every
def test_the_scale_can_be_traced_and_derived(case):
    # The draw goes with the root of the scale.
    x = case.cls(4.0)(SQUARE, rng=1)
    slope = jax.jacfwd(lambda s: case.cls(s)(SQUARE, rng=1))(4.0)
    np.testing.assert_allclose(slope, x / 8, rtol=1e-5, atol=1e-8)
    total = jax.grad(lambda o: o(SQUARE, rng=1).sum())(case.cls(4.0))
    np.testing.assert_allclose(total.scale, x.sum() / 8, rtol=1e-4)
    with_unit = jax.jit(lambda s: case.cls(s * u.nS**2)(SQUARE, rng=1))(4.0)
    same_bits(with_unit.mantissa, x)
    traced = jax.jit(lambda f: case.cls(4.0, fan_in=f)(SQUARE, rng=1))(64.0)
    same_bits(traced, x)


def test_the_negative_slope_can_be_traced():
    for slope in (0.0, 0.2, -0.5, 3.0):
        given = {"nonlinearity": "leaky_relu"}
        x = init.KaimingUniform(negative_slope=slope, **given)(SQUARE, rng=1)
        obj = init.KaimingUniform(negative_slope=slope, **given)
        np.testing.assert_allclose(jax.jit(lambda o: o(SQUARE, rng=1))(obj), x, rtol=3e-7)
        np.testing.assert_allclose(std_of(obj, SQUARE) ** 2 * 64 * (1 + slope**2), 2, rtol=0.05)
    nan = jax.jit(lambda s: init.KaimingNormal(negative_slope=s, **given)(SQUARE, rng=1))(np.nan)
    assert np.isnan(nan).all()
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="`negative_slope` must be finite"):
            init.KaimingNormal(negative_slope=bad)


def test_shapes_are_compiled_once():
    from braininit._engine import sampler as _sampler

    before = _sampler._program.cache_info().misses
    for scale in (1.0, 2.0, 0.3):
        init.XavierUniform(scale)((41, 43), rng=0)
    assert _sampler._program.cache_info().misses == before + 1


@pytest.mark.parametrize("cls", NAMED.values())
def test_pickle_with_functions(cls):
    obj = cls(2.0, in_axis=[0, 1], unit=u.nS)
    assert pickle.loads(pickle.dumps(obj)) == obj
    assert hash(obj) == hash(cls(2.0, in_axis=(0, 1), unit=u.nS))


# ---------------------------------------------------------------- gains

PYTORCH = {  # torch.nn.init.calculate_gain, as its documentation lists them
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": 2**0.5,
    "leaky_relu": (2 / (1 + 0.01**2)) ** 0.5,
    "selu": 0.75,
}
FUNCTIONS = {
    "gelu": lambda z: z * special.ndtr(z),
    "silu": lambda z: z * special.expit(z),
    "swish": lambda z: z * special.expit(z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "softplus": lambda z: np.logaddexp(0, z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "relu": lambda z: np.maximum(z, 0),
    "identity": lambda z: z,
}


@pytest.mark.parametrize("name", PYTORCH)
def test_gains_are_pytorch_s(name):
    assert init.gain(name) == pytest.approx(PYTORCH[name], rel=1e-15)


def test_gain_of_leaky_relu():
    for slope in (0.0, 0.2, -1, 1e100):
        assert init.gain("leaky_relu", slope) == pytest.approx((2 / (1 + slope**2)) ** 0.5)
    assert float(jax.jit(lambda s: init.gain("leaky_relu", s))(1.0)) == 1.0
    np.testing.assert_allclose(init.gain("leaky_relu", np.array([0.0, 1.0])), [2**0.5, 1.0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gains_by_name_are_those_of_the_function(name):
    function = FUNCTIONS[name]
    expected, _ = integrate.quad(
        lambda z: function(z) ** 2 * stats.norm.pdf(z), -12, 12, points=[0], epsabs=1e-13
    )
    assert init.gain(name) == pytest.approx(expected**-0.5, rel=1e-9)
    assert init.gain(function) == pytest.approx(expected**-0.5, rel=1e-9)


# The square of a bump of width w is one of w / sqrt(2), times the density over it.
BUMP = 1e-3 * np.pi**0.5 * stats.norm.pdf(1.234, 0, (1 + 5e-7) ** 0.5)
WIDER = 2e-3 * (2 * np.pi) ** 0.5 * stats.norm.pdf(1.234, 0, (1 + 1e-6) ** 0.5)
TREADS = sum((n / 10) ** 2 * (stats.norm.cdf((n + 1) / 10) - stats.norm.cdf(n / 10))
             for n in range(-400, 400))  # fmt: skip
RAMP = sum(integrate.quad(lambda z: (np.logaddexp(0, 50 * z) / 50) ** 2 * stats.norm.pdf(z),
                              *ends, epsabs=1e-13)[0] for ends in [(-9, 0), (0, 9)])  # fmt: skip


@pytest.mark.parametrize(
    ("function", "mean_square"),
    [
        (jax.nn.relu, 0.5),
        (lambda z: jnp.maximum(z - 0.3, 0), 0.3**2 * stats.norm.sf(0.3) + stats.norm.sf(0.3)
         - 0.3 * stats.norm.pdf(0.3)),
        (lambda z: jnp.where(z > 1 / 3, 1.0, 0.0), stats.norm.sf(1 / 3)),
        (lambda z: z > 0.7, None),
        (jnp.exp, np.exp(2)),
        (lambda z: jnp.exp(3 * z), np.exp(18)),
        (lambda z: jnp.exp(5 * z), np.exp(50)),
        (lambda z: np.exp(6 * np.asarray(z)), np.exp(72)),  # most of it at z = 12
        (lambda z: jnp.exp(-15 * z), np.exp(450)),
        (lambda z: jnp.exp(5 * z.astype(jnp.float32)), np.exp(50)),  # infinite from 17.7 on
        (lambda z: jnp.exp(z**2 / 5), 5**0.5),
        (lambda z: jnp.exp(-((z - 1.234) ** 2) / 2e-6), BUMP),
        (lambda z: 1 + jnp.exp(-((z - 1.234) ** 2) / 2e-6), 1 + BUMP + WIDER),
        (lambda z: jnp.abs(z) ** -0.25, special.gamma(0.25) / (np.pi**2 * 2) ** 0.25),
        (lambda z: jnp.floor(10 * z) / 10, TREADS),
        (lambda z: jnp.where(z > 10.01, 1.0, 0.0), stats.norm.sf(10.01)),
        (lambda z: jnp.where(abs(z - 1.234) < 7e-4, 1.0, 0.0),
         stats.norm.sf(1.2333) - stats.norm.sf(1.2347)),
        (lambda z: jnp.sin(1000 * z), 0.5),
        (lambda z: jnp.log1p(jnp.exp(50 * z)) / 50, RAMP),
        (lambda z: z**8, 2027025.0),
        (jnp.sin, (1 - np.exp(-2)) / 2),
        (lambda z: np.cos(20 * np.asarray(z)), (1 + np.exp(-800)) / 2),
        (lambda z: 1e-20 * z, 1e-40),
        (lambda z: z.astype(jnp.float32), 1.0),
        (jax.nn.selu, 1.0),
    ],
)  # fmt: skip
def test_gains_of_functions_with_kinks_jumps_and_tails(function, mean_square):
    if mean_square is None:
        with pytest.raises(TypeError, match="to a real array of its shape, got bool"):
            init.gain(function)
        return
    assert init.gain(function) == pytest.approx(mean_square**-0.5, rel=1e-7)


def test_gain_while_tracing():
    def once(z):
        return jnp.tanh(z) * 0.5

    drawn = jax.jit(lambda: init.KaimingNormal(nonlinearity=once)(SQUARE, rng=1))()
    same_bits(drawn, init.KaimingNormal(nonlinearity=once)(SQUARE, rng=1))
    np.testing.assert_allclose(init.gain(once), 2 * 1.5925374197, rtol=1e-9)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (("rleu",), ValueError, "`nonlinearity` must be one of 'linear'"),
        ((3,), TypeError, "`nonlinearity` must be a name or a function"),
        (("relu", 0.1), ValueError, "the gain of 'relu' does not use it"),
        (("leaky_relu", np.nan), ValueError, "`param` must be finite"),
        (("leaky_relu", "a"), TypeError, "`param` must be a number"),
        ((lambda z: z * 0,), ValueError, "has no gain"),
        ((lambda z: z / 0.0,), ValueError, "has no gain: it is not finite at z = -0.00"),
        ((jnp.log,), ValueError, "not finite at z = -0.00"),
        ((lambda z: jnp.where(z > 3, np.nan, z),), ValueError, "not finite at z = 3.0"),
        ((lambda z: jnp.exp(z**2),), ValueError, "infinite, or nearly so"),
        ((lambda z: jnp.exp(z**2 / 4),), ValueError, "infinite, or nearly so"),
        ((lambda z: jnp.exp(20 * z),), ValueError, "infinite, or nearly so"),
        ((lambda z: 1 / z,), ValueError, "did not converge"),
        ((lambda z: jnp.sin(1e12 * z),), ValueError, "did not converge"),
        ((lambda z: 1e-200 * z,), ValueError, "has no gain"),
        ((lambda z: z.sum(),), TypeError, "real array of its shape"),
        ((lambda z: z + 1j,), TypeError, "real array of its shape"),
    ],
)
def test_bad_gains(given, error, said):
    with pytest.raises(error, match=said):
        init.gain(*given)


def test_kaiming_by_nonlinearity():
    for name, seed in zip(("tanh", "gelu", "linear", "leaky_relu", "selu"), range(5), strict=True):
        obj = init.KaimingUniform(nonlinearity=name)
        wanted = init.VarianceScaling(init.gain(name) ** 2, distribution="uniform")
        np.testing.assert_allclose(obj(SQUARE, rng=seed), wanted(SQUARE, rng=seed), rtol=1e-6)
    over = init.KaimingUniform(1.0, nonlinearity="tanh")
    same_bits(over(SQUARE, rng=1), init.LecunUniform()(SQUARE, rng=1))
    for scale in (None, 1.0):
        with pytest.raises(ValueError, match="`nonlinearity` must be one of"):
            init.KaimingUniform(scale, nonlinearity="rleu")


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize("name", NAMED)
def test_flax_layers_have_the_numbers_they_had(name):
    ours, theirs = NAMED[name](), getattr(initializers, name)()
    x, image = jnp.ones((2, 3)), jnp.ones((1, 8, 8, 4))
    for layer, at in ((nn.Dense, x), (lambda **k: nn.Conv(6, (3, 3), **k), image)):
        made = [
            (layer(5, kernel_init=hook) if layer is nn.Dense else layer(kernel_init=hook)).init(
                jax.random.key(0), at
            )["params"]["kernel"]
            for hook in (ours, theirs)
        ]
        same_bits(*made)
    for layer, sizes in ((nnx.Linear, (3, 5)), (nnx.Conv, (4, 6, (3, 3)))):
        made = [
            layer(*sizes, kernel_init=hook, rngs=nnx.Rngs(1)).kernel.get_value()
            for hook in (ours, theirs)
        ]
        same_bits(*made)


def test_a_bias_with_its_kernel_s_fan():
    layer = nn.Dense(500, bias_init=init.LecunUniform(fan_in=30))
    bias = layer.init(jax.random.key(0), jnp.ones((1, 30)))["params"]["bias"]
    assert abs(float(bias.std()) * 30**0.5 - 1) < 0.1
    assert float(jnp.abs(bias).max()) <= (3 / 30) ** 0.5
