"""What a new user is told: calls as in other packages, in another order, of other names."""

from __future__ import annotations

import dataclasses
import inspect
import warnings

import brainunit as u
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, RANDOM
from flax import nnx

import braininit as init

FUNCTIONS = pytest.mark.parametrize("case", CASES, ids=str)
KEYS = (jax.random.key(0), jax.random.PRNGKey(0), np.asarray(jax.random.PRNGKey(0)))


@FUNCTIONS
def test_every_function_explains_wrong_calls(case):
    assert inspect.unwrap(case.function) is not case.function


# ---------------------------------------------------------------- as in JAX


@FUNCTIONS
def test_a_class_where_an_instance_belongs(case):
    # The words of a legacy key and a shape may be two arrays of numbers: then a dtype tells.
    for key in KEYS:
        for call in ((key, (3, 5), jnp.float32), (key, (3, 5)))[: 1 + (key is KEYS[0])]:
            with pytest.raises(TypeError, match=rf"write init\.{case}\(.*\) in its place"):
                case.cls(*call)


@pytest.mark.parametrize(
    "build",
    [
        lambda cls: nnx.Linear(3, 5, kernel_init=cls, rngs=nnx.Rngs(0)),
        lambda cls: nn.Dense(5, kernel_init=cls).init(jax.random.key(0), jnp.ones((2, 3))),
    ],
    ids=["nnx", "linen"],
)
@pytest.mark.parametrize("cls", [init.KaimingNormal, init.Normal, init.Orthogonal, init.ZeroInit])
def test_a_class_in_a_layer(build, cls):
    with pytest.raises(TypeError, match=rf"write init\.{cls.__name__}\(\) in its place"):
        build(cls)


@FUNCTIONS
def test_a_function_called_as_a_factory(case):
    for call in ((), (0.02,), (0.02, jnp.float32), ("fan_in",)):
        with pytest.raises(TypeError, match=rf"key first.* write init\.{case}\("):
            case.function(*call)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda: init.normal(0.02), "init.Normal(0, 0.02)"),
        (lambda: init.normal(0.02, jnp.float32), "init.Normal(0, 0.02)"),
        (lambda: init.normal(stddev=0.02), "init.Normal(std=0.02)"),
        (lambda: init.normal(0.5 * u.nS, 0.1 * u.nS), 'init.Normal(Quantity(0.5, "nS")'),
        (lambda: init.uniform(0.1), "init.Uniform(0, 0.1)"),
        (lambda: init.truncated_normal(0.1), "init.TruncatedNormal(0, 0.1)"),
        (lambda: init.constant(3), "init.Constant(3)"),
        (lambda: init.zeros((3,), jnp.float32), "init.ZeroInit()"),
        (lambda: init.orthogonal(), "init.Orthogonal()"),
        (lambda: init.orthogonal(2.0), "init.Orthogonal(2.0)"),
        (lambda: init.lecun_normal(in_axis=0), "init.LecunNormal(in_axis=0)"),
        (lambda: init.gamma(), "init.Gamma(shape)"),
        (lambda: init.exponential(rng=0), "init.Exponential()"),
        (
            lambda: init.variance_scaling(2.0, "fan_in", "truncated_normal"),
            "init.VarianceScaling(2.0, 'fan_in', 'truncated_normal')",
        ),
        (
            lambda: init.variance_scaling(scale=2.0, mode="fan_avg", distribution="uniform"),
            "init.VarianceScaling(scale=2.0, mode='fan_avg', distribution='uniform')",
        ),
    ],
)
def test_what_to_write_in_place_of_jax_s_factories(call, instead):
    with pytest.raises(TypeError) as caught:
        call()
    assert f"pass on, write {instead}" in str(caught.value)


@FUNCTIONS
def test_the_key_comes_first(case):
    for key in KEYS[:2]:
        for call in (((3,), key), (3, key), ((3, 3), key, 0.0, 1.0)):
            with pytest.raises(TypeError, match=r"key comes first: .*\(key, shape"):
                case.function(*call)
        with pytest.raises(TypeError, match="the key comes first"):
            case.make()((3,), key)


def test_the_error_of_a_child_is_not_about_the_call():
    def broken(key, shape):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        init.mixture(jax.random.key(0), 3, [broken, 1.0])
    with pytest.raises(TypeError, match="`value` must be a number"):
        init.constant(None, (3,), "x")


# ---------------------------------------------------------------- names of parameters

NAMES = [
    (init.Normal, "stddev", "did you mean 'std'?"),
    (init.Normal, "loc", "did you mean 'mean'?"),
    (init.Normal, "sigma", "did you mean 'std'?"),
    (init.Normal, "mu", "did you mean 'mean'?"),
    (init.Weibull, "k", "did you mean 'shape'?"),
    (init.Normal, "nu", "it takes mean, std"),
    (init.TruncatedNormal, "loc", "did you mean 'mean'?"),
    (init.TruncatedNormal, "lower", "did you mean 'low'?"),
    (init.TruncatedNormal, "upper", "did you mean 'high'?"),
    (init.Uniform, "minval", "did you mean 'low'?"),
    (init.Uniform, "maxval", "did you mean 'high'?"),
    (init.LogNormal, "loc", "it takes mean, std"),  # elsewhere that of the logarithm
    (init.LogNormal, "sigma", "it takes mean, std"),
    (init.Exponential, "rate", "did you mean 'scale'? It is 1 / rate"),
    (init.Gamma, "rate", "did you mean 'scale'? It is 1 / rate"),
    (init.Gamma, "concentration", "did you mean 'shape'?"),
    (init.Weibull, "concentration", "did you mean 'shape'?"),
    (init.Constant, "val", "did you mean 'value'?"),
    (init.Beta, "a", "it takes alpha, beta, low, high"),
    (init.KaimingNormal, "nonlinarity", "did you mean 'nonlinearity'?"),
    (init.GaussianProfile, "sigm", "did you mean 'sigma'?"),
]


@pytest.mark.parametrize(("cls", "name", "said"), NAMES, ids=lambda x: getattr(x, "__name__", x))
def test_another_name_for_a_parameter(cls, name, said):
    """One answer from the class, from `get`, and from the function where the name is wrong too."""
    expected = f"{cls.__name__} has no parameter {name!r}; {said}"
    for make in (
        lambda: cls(**{name: 1.0}),
        lambda: init.get({"class": cls.__name__, name: 1.0}),
    ):
        with pytest.raises(TypeError) as caught:
            make()
        assert str(caught.value).removeprefix("init.") == expected
    function = getattr(cls, "_function", None)
    if function is not None and name not in inspect.signature(function).parameters:
        with pytest.raises(TypeError, match=f"has no parameter {name!r}"):
            function(jax.random.key(0), 3, **{name: 1.0})


@FUNCTIONS
def test_keywords_that_are_not_of_the_distribution(case):
    for name in ("size", "rng", "seed", "key", "dtype", "out_sharding"):
        with pytest.raises(TypeError, match=rf"no parameter {name!r}: it goes with a draw"):
            case.make(**{name: 1})
    if "unit" not in {f.name for f in dataclasses.fields(case.cls)}:
        with pytest.raises(TypeError, match="give the others their unit"):
            case.cls(**case.given, unit=u.nS)
        with pytest.raises(TypeError, match="give the (others|parameters) their unit"):
            case.function(jax.random.key(0), 3, **case.called(case.given), unit=u.nS)
    with pytest.raises(TypeError, match=r"\d? ?no parameter 'zzz'; it takes"):
        case.make(zzz=1)
    if case.cls is not init.Compose:  # which takes any number of functions
        with pytest.raises(TypeError, match="too many positional arguments; it is init"):
            case.cls(*[1.0] * 20)
    given = case.called(case.given)
    if not any(
        p.kind is p.VAR_KEYWORD for p in inspect.signature(case.function).parameters.values()
    ):
        for name, hint in (
            ("rng", "a key"),
            ("seed", "a key"),
            ("size", "'shape'"),
            ("zz", "takes"),
        ):
            with pytest.raises(TypeError, match=f"no parameter {name!r}; .*{hint}"):
                case.function(jax.random.key(0), **{name: 1} | given)
    with pytest.raises(TypeError, match=r"missing a required argument: 'shape'; it is init"):
        case.function(jax.random.key(0))


def test_the_shape_of_a_distribution_goes_by_another_name_in_its_function():
    for function in (init.gamma, init.weibull):
        with pytest.raises(TypeError, match="the other is `concentration`"):
            function(jax.random.key(0), 3, shape=2.0)


def test_a_class_of_one_s_own_explains_too():
    def laplace(key, shape, loc=0.0, scale=1.0, *, dtype=None):
        return loc + scale * jax.random.laplace(key, shape, dtype)

    class Laplace(init.Initialization, function=laplace):
        loc: float = 0.0
        scale: float = 1.0

    with pytest.raises(TypeError, match="^Laplace has no parameter 'rate'; did you mean 'scale'"):
        Laplace(rate=2.0)
    with pytest.raises(TypeError, match=r"write Laplace\(\) in its place"):
        Laplace(jax.random.key(0), (3,))


# ---------------------------------------------------------------- names of initializers


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("he_normal", "kaiming_normal"),
        ("he_uniform", "kaiming_uniform"),
        ("glorot_uniform", "xavier_uniform"),
        ("glorot_normal", "xavier_normal"),
        ("HeNormal", "KaimingNormal"),
        ("GlorotUniform", "XavierUniform"),
        ("Norml", "Normal"),
        ("log_normal", "lognormal"),
        ("trunc_normal", "truncated_normal"),
        ("TruncNormal", "TruncatedNormal"),
        ("zeros_init", "zeros"),
        ("Zeros", "ZeroInit"),
    ],
)
def test_names_of_other_packages(name, meant):
    with pytest.raises(AttributeError, match=rf"no attribute '{name}'; did you mean '{meant}'\?"):
        getattr(init, name)


def test_other_names_are_just_not_there():
    for name in ("__wrapped__", "_private", "quux"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'$"):
            getattr(init, name)
    assert not hasattr(init, "he_normal")


# ---------------------------------------------------------------- calling an object


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda o: o(3, 4), "got 3, 4; a size of several axes is one tuple"),
        (lambda o: o(0, (3,)), r"a key is made by jax\.random\.key"),
        (lambda o: o(3, jnp.float32), "write dtype="),
        (lambda o: o(3, "float32"), "write dtype="),
        (lambda o: o(3, np.random.default_rng(0)), "write rng="),
        (lambda o: o(shape=3, rng=0), "got 3; without a key it is size="),
        (lambda o: o(3.0, rng=0), "got 3.0; write 3"),
        (lambda o: o("3", rng=0), "got '3'; write 100"),
        (lambda o: o(3 * u.nS, rng=0), r"got Quantity\(3, \"nS\"\)"),
        (lambda o: o(np.array([3.0, 2]), rng=0), r"got array\(\[3., 2.\]\)"),
        (lambda o: o([[3], [2]], rng=0), r"got \[\[3\], \[2\]\]"),
        (lambda o: o({3, 2}, rng=0), "got {2, 3}"),
        (lambda o: o(jax.random.key(0), jax.random.key(1)), "the key comes first"),
        (lambda o: o(3, rng=0, dtype="flaot32"), "got 'flaot32'; write jnp.float32"),
        (lambda o: o(3, rng=np.random.default_rng), "Generator from default_rng; pass that"),
    ],
)
def test_wrong_calls_of_an_object(call, said):
    for obj in (init.Normal(0.5 * u.nS, 0.1 * u.nS), init.Mixture([init.Normal(), 1.0])):
        with pytest.raises(TypeError, match=said):
            call(obj)


class Foreign:
    """What its attributes raise is not ours."""

    @property
    def dtype(self):
        raise RuntimeError("not now")

    __numpy_dtype__ = dtype

    def __index__(self):
        raise RuntimeError("not now")

    def __array__(self, *_, **__):
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: init.Normal()(3, rng=0, dtype=Foreign()), "`dtype` must name a dtype"),
        (lambda: init.Normal()(Foreign(), rng=0), "a size is an int or a tuple of ints"),
        (lambda: init.Normal()((3, Foreign()), rng=0), "a size is an int or a tuple of ints"),
        (lambda: init.Mixture([Foreign(), 1.0]), r"`distributions\[0\]` can't be read"),
        (lambda: init.Mixture([1.0, 2.0], [Foreign(), 1.0]), r"`weights\[0\]` can't be read"),
        (lambda: init.Combined("+", init.Normal(), Foreign()), "`right` can't be read"),
        (lambda: init.Constant(Foreign()), "`value` can't be read"),
        (lambda: init.GaussianProfile(Foreign()), "`sigma` can't be read"),
        (lambda: init.KaimingNormal(fan_in=Foreign()), "`fan_in` can't be read"),
    ],
)
def test_what_a_foreign_object_raises_is_the_cause(call, said):
    with pytest.raises(TypeError, match=said) as caught:
        call()
    assert isinstance(caught.value.__cause__, RuntimeError)


NONSENSE = {
    "key": jax.random.key(0),
    "object": object(),
    "foreign": Foreign(),
    "foreign in a list": [Foreign()],
    "huge": 10**400,
    "mixed list": [True, 1.0],
    "ragged": [[1.0], [2.0, 3.0]],
    "complex": 1j,
    "dictionary": {},
    "timedelta": np.timedelta64(1, "s"),
    "unit": u.nS,
}


@FUNCTIONS
def test_nonsense_for_any_parameter_is_taken_or_named(case):
    """Options too, and what has initializers for parameters: no error without the name."""
    for field in dataclasses.fields(case.cls):
        for said, bad in NONSENSE.items():
            try:
                case.cls(**{**case.given, field.name: bad})
            except (TypeError, ValueError) as error:
                text = str(error)
                assert "`" in text, (field.name, said, text)
                # Of two that differ in their units it may be the other one; and the first
                # of a composition may be a list of all.
                names = (f"`{field.name}", "unit", "`functions[0]`")
                assert any(name in text for name in names), (field.name, said, text)


def test_an_open_parameter_is_one_that_may_be_open():
    for make in (
        lambda: init.LinearProfile(None),
        lambda: init.SigmoidProfile(1.0, None),
        lambda: init.MexicanHatProfile(1.0, amplitude=None),
        lambda: init.Constant(None),
        lambda: init.Normal(None),
    ):
        with pytest.raises(TypeError, match=r"`\w+` must be a number.*got None"):
            make()
    assert init.GaussianProfile(1.0, max_distance=None).max_distance is None


def test_true_and_false_are_not_read_out_of_other_things():
    for bad in ("False", 0, None, np.array([True]), 1.0):
        with pytest.raises(TypeError, match="`include_self` must be True or False"):
            init.DistanceModulated(init.Normal(), init.GaussianProfile(1.0), include_self=bad)
    init.DistanceModulated(init.Normal(), init.GaussianProfile(1.0), include_self=np.False_)


def test_axes_in_any_sequence():
    expected = init.VarianceScaling(in_axis=(0, 1), out_axis=2)
    for axes in (range(2), [0, 1], np.array([0, 1]), (np.int8(0), 1)):
        obj = init.VarianceScaling(in_axis=axes, out_axis=2)
        assert obj == expected
        assert hash(obj) == hash(expected)
    for bad in ("01", 0.5, [True], [0.5], {0, 1}, np.array([0.5])):
        with pytest.raises(TypeError, match="`in_axis` must be an int"):
            init.VarianceScaling(in_axis=bad)


def test_a_subclass_with_an_init_of_its_own_speaks_of_its_base():
    class Mine(init.Normal):
        def __init__(self, std):
            super().__init__(0.0, std)

    with pytest.raises(ValueError, match="`std` must be non-negative, got -1"):
        Mine(-1.0)
    assert Mine(2.0).std == 2.0


def test_help_shows_no_addresses():
    assert " object at 0x" not in str(inspect.signature(init.Normal.__call__))


@pytest.mark.parametrize("case", RANDOM, ids=str)
def test_what_is_no_key_is_named(case):
    def draw(key):
        return case.function(key, (3,), **case.called(case.given))

    for bad, said in (
        (np.random.default_rng(0), "init.Normal"),
        (np.zeros(4, np.uint32), r"ends in \(2,\)"),
        (np.zeros(3), "an array of float64"),
        (np.int64(7), r"write jax\.random\.key\(7\)"),
        ((3,), "the key comes first"),
    ):
        with pytest.raises(TypeError, match=rf"`key` must be a JAX key.*{said}"):
            draw(bad)


# ---------------------------------------------------------------- where warnings point


def test_a_warning_points_at_the_user_s_line():
    child = init.Normal() * 2.0 + init.Uniform()
    calls = {
        "function": lambda: init.normal(jax.random.key(0), 2, dtype="float64"),
        "constant": lambda: init.zeros(None, 2, "float64"),
        "scaled": lambda: init.kaiming_normal(jax.random.key(0), (2, 2), dtype="float64"),
        "object": lambda: init.Normal()(2, rng=0, dtype="float64"),
        "by key": lambda: init.Normal()(jax.random.key(0), 2, "float64"),
        "composite": lambda: child(2, rng=0, dtype="float64"),
        "nested": lambda: init.Mixture([child, 1.0])(2, rng=0, dtype="float64"),
        "complex": lambda: init.KaimingNormal()((2, 2), rng=0, dtype="complex128"),
        "traced": lambda: jax.eval_shape(lambda: child(2, rng=0, dtype="float64")),
        "param": lambda: init.param(init.Normal(), 2, rng=0, dtype="float64"),
        "rows": lambda: init.rows(child, jax.random.key(0), (4, 2), 0, 2, dtype="float64"),
    }
    for name, call in calls.items():
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            call()
        assert {w.filename for w in seen} == {__file__}, name
        assert "needs jax_enable_x64" in str(seen[0].message)
