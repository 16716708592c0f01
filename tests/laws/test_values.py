"""Released draws never change, and equal jax.random's where these are right.

A changed pinned value is value-breaking: list it under that heading of the changelog;
``python -m pytest tests/laws/test_values.py --pin`` writes the new table.
"""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES

import braininit as init

PINNED = Path(__file__).with_name("pinned_values.json")
SHAPE = (2, 3)


def draws(case):
    """Yield the pinned draws of a row."""
    for i, params in enumerate((case.given, *case.corners)):
        for dtype in ("float32", "float64", "bfloat16"):
            with jax.enable_x64(dtype == "float64"):
                x = case.cls(**params)(case.fit(SHAPE), rng=jax.random.key(11), dtype=dtype)
            yield f"{case}-{i}-{dtype}", np.asarray(x, np.float64).ravel().tolist()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pinned(case, pytestconfig):
    actual, table = dict(draws(case)), json.loads(PINNED.read_text())
    if pytestconfig.getoption("pin"):
        PINNED.write_text(json.dumps(table | actual, indent=0) + "\n")
        return
    assert actual.keys() == {name for name in table if name.startswith(f"{case}-")}
    for name, values in actual.items():
        # Processors differ in the last bit of a fused multiply-add, not in the random words.
        rtol = {"float32": 2e-6, "float64": 1e-13, "bfloat16": 8e-3}[name.split("-")[-1]]
        scale = np.abs(table[name]).max()
        np.testing.assert_allclose(values, table[name], rtol, rtol * scale, err_msg=name)


def test_no_values_of_other_rows_are_pinned():
    pinned = {name.partition("-")[0] for name in json.loads(PINNED.read_text())}
    assert pinned == {str(case) for case in CASES}


# ---------------------------------------------------------------- jax.random's numbers


def same_bits(a, b):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


IDENTICAL = {
    "uniform": (lambda k, s, d: init.uniform(k, s, dtype=d), jax.random.uniform),
    "normal": (lambda k, s, d: init.normal(k, s, dtype=d), jax.random.normal),
    "truncated_normal": (
        lambda k, s, d: init.truncated_normal(k, s, 0.0, 1.0, -2.0, 2.0, dtype=d),
        lambda k, s, d: jax.random.truncated_normal(k, -2.0, 2.0, s, d),
    ),
}


@pytest.mark.parametrize("name", IDENTICAL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "impl"),
    [((), "threefry2x32"), ((2, 0, 3), "threefry2x32"), ((3, 5, 7), "threefry2x32")]
    + [((100_003,), impl) for impl in ("threefry2x32", "rbg", "unsafe_rbg")],
    ids=str,
)
def test_same_key_same_numbers(name, dtype, shape, impl):
    ours, theirs = IDENTICAL[name]
    with jax.enable_x64(dtype == "float64"):
        for seed in (0, 1, 2**31):
            drawn = ours(jax.random.key(seed, impl=impl), shape, dtype)
            assert drawn.dtype == dtype
            same_bits(drawn, theirs(jax.random.key(seed, impl=impl), shape, jnp.dtype(dtype)))


@pytest.mark.parametrize("name", IDENTICAL)
def test_same_key_same_numbers_under_jit_and_vmap(name):
    ours, theirs = IDENTICAL[name]
    keys = jax.random.split(jax.random.key(3), 5)
    drawn = jax.jit(jax.vmap(lambda k: ours(k, (4, 6), "float32")))(keys)
    keys = jax.random.split(jax.random.key(3), 5)
    same_bits(drawn, jnp.stack([theirs(k, (4, 6), "float32") for k in keys]))


def test_complex_normals_are_jax_randoms():
    x = init.normal(jax.random.key(0), (1000,), dtype=jnp.complex64)
    same_bits(x, jax.random.normal(jax.random.key(0), (1000,), jnp.complex64))


@pytest.mark.parametrize("std", [1.0, 0.1, 0.7])
def test_truncated_at_two_std_whatever_the_std(std):
    """The distribution multiplies the standard draw, like scaled initializers."""
    x = init.TruncatedNormal(0.0, std, -2 * std, 2 * std)(1000, rng=5)
    z = jax.random.truncated_normal(jax.random.key(5), -2.0, 2.0, (1000,))
    np.testing.assert_allclose(x, np.float32(std) * z, rtol=2e-7)


CUTS = [
    *[(0.0, 1.0, -2.0, 2.0), (0.5, 0.2, 0.1, 0.9), (3.0, 0.5, 2.0, 4.0)],
    *[(0.0, 1.0, 4.0, np.inf), (2.0, 0.1, -np.inf, 1.9), (0.1, 30.0, -0.2, 0.1)],
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_known_and_traced_bounds_agree(dtype):
    """NumPy prepares known bounds before the draw exactly as XLA does traced ones."""

    def draw(*parameters):
        return init.truncated_normal(jax.random.key(4), (500,), *parameters, dtype=dtype)

    traced, mapped = jax.jit(draw), jax.jit(jax.vmap(draw))(*np.array(CUTS).T)
    for i, parameters in enumerate(CUTS):
        known = draw(*parameters)
        same_bits(traced(*parameters), known)
        same_bits(mapped[i], known)
        # With a bound per element XLA rounds differently.
        by_element = draw(*(jnp.full(500, p) for p in parameters))
        tolerance = (2e-6, 2e-2)[dtype == "bfloat16"]
        np.testing.assert_allclose(
            np.float32(by_element), np.float32(known), rtol=tolerance, atol=1e-6
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_and_xla_prepare_equal_bounds(dtype):
    rng = np.random.default_rng(5)

    def draw(*parameters):
        return init.truncated_normal(jax.random.key(4), (5,), *parameters, dtype=dtype)

    with jax.enable_x64(dtype == "float64"):
        traced, scalar = jax.jit(draw), np.dtype(dtype).type
        for _ in range(200):
            mean, std, width = rng.normal(), 10 ** rng.uniform(-3, 2), 10 ** rng.uniform(-3, 1)
            low = mean + std * rng.normal() * 10 ** rng.uniform(-2, 1)
            parameters = [scalar(p) for p in (mean, std, low, low + std * width)]
            same_bits(traced(*parameters), draw(*parameters))


KNOWN = {
    "lognormal": [(0.3, 0.2), (3.0, 0.0), (1.1e-4, 5e-3), (700.0, 7.0)],
    "weibull": [(0.61, 0.3), (1.7, 2e-5), (1e5, 8e3)],
    "gamma": [(0.3, 0.7)],
    "exponential": [(0.7,)],
    "beta": [(0.3, 1.7)],
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", KNOWN)
def test_known_and_traced_parameters_agree(name, dtype):
    """Steps that known parameters save do not change the numbers."""

    def draw(*parameters):
        return getattr(init, name)(jax.random.key(4), (3_001,), *parameters, dtype=dtype)

    with jax.enable_x64(dtype == "float64"):
        traced = jax.jit(draw)
        for parameters in KNOWN[name]:
            same_bits(traced(*parameters), draw(*parameters))
        same_bits(jax.jit(lambda: draw(*parameters))(), draw(*parameters))


@pytest.mark.parametrize("first", [jax.jit, jax.vmap, jax.checkpoint], ids=lambda f: f.__name__)
def test_cached_bounds_do_not_leak_tracers(first):
    """Bounds that a trace prepares first serve an eager call later, and vice versa."""
    high = 1.25 + len(first.__name__)  # bounds no other draw has prepared

    def draw(zero):
        return zero + init.truncated_normal(jax.random.key(1), (5,), 0.0, 1.0, -0.75, high)

    zero = jnp.zeros(1)
    with jax.checking_leaks():
        inside = first(draw)(zero)
    same_bits(jnp.ravel(inside), draw(zero))
    same_bits(jnp.ravel(first(draw)(zero)), draw(zero))
