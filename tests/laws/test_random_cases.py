"""Random requests give a clear error or a right draw, the same eagerly and under jit.

``python -m pytest tests/laws/test_random_cases.py --hypothesis-profile long`` tries a hundred times
as many examples, new ones each time.
"""

from __future__ import annotations

import functools
import json
import math
import pickle
import warnings

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import strategies as s
from cases import CASES, INF, RANDOM
from helpers import bare, same
from hypothesis import event, given, settings
from hypothesis import strategies as st

import braininit as init
from braininit._params.shapes import as_shape

REFUSALS = (ValueError, TypeError)
SIZE = (2, 3)  # of most draws, which then share programs
TINY, MOST = (float(x) for x in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
NAMES = vars(init) | {"Quantity": u.Quantity, "array": np.array}


def key(kind="typed"):
    return s.KEYS[kind](20)


def goes_round(obj):
    """Assert that an object survives pickling and configurations."""
    again = pickle.loads(pickle.dumps(obj))
    assert again == obj
    assert hash(again) == hash(obj)
    try:
        config = init.to_config(obj)
    except TypeError as error:
        assert "plain data" in str(error)  # noqa: PT017
        return
    assert init.get(config) == init.get(json.loads(json.dumps(config))) == obj


# ---------------------------------------------------------------- arbitrary arguments


@given(st.data())
def test_nonsense_is_an_error_that_says_what_is_wrong(data):
    case = data.draw(st.sampled_from(CASES))
    fields = [*case.cls.__dataclass_fields__]
    odd = st.lists(st.sampled_from(fields), max_size=2, unique=True) if fields else st.just([])
    odd = {name: data.draw(s.given, label=name) for name in data.draw(odd)}
    try:
        obj = case.cls(**(dict(case.given) | odd))
    except REFUSALS as error:
        assert "`" in str(error) or "init." in str(error)  # noqa: PT017
        return
    goes_round(obj)
    size, dtype = data.draw(s.sizes | s.odd_sizes), data.draw(s.dtypes | s.odd_dtypes)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*jax_enable_x64")
            drawn = jax.eval_shape(lambda k: obj(k, size, dtype), key())
    except REFUSALS as error:
        assert str(error)  # noqa: PT017
        return
    event("drawn")
    assert u.get_mantissa(drawn).shape == as_shape(size)
    wanted = np.float32 if dtype is None else jnp.dtype(dtype)
    assert u.get_mantissa(drawn).dtype == wanted


# ---------------------------------------------------------------- parameters at the edges


@functools.cache
def program(cls, dtype):
    return jax.jit(lambda values, k: cls(**values)(k, SIZE, dtype))


def parameter(name):
    return s.moderate if name.startswith("fan") else s.singles


@given(st.data())
def test_a_draw_is_finite_and_in_the_support_or_refused(data):
    """And the same with traced parameters: where known ones are refused, it is NaN."""
    case = data.draw(st.sampled_from(RANDOM))
    dtype = data.draw(st.sampled_from(["float32", "float32", "float16", "bfloat16"]))
    values = {n: np.float32(data.draw(parameter(n), label=n)) for n in case.given}
    traced = np.asarray(program(case.cls, dtype)(values, key()), float)
    try:
        obj = case.cls(**values)
        drawn = np.asarray(obj(key(), SIZE, dtype), float)
    except REFUSALS as error:
        assert "`" in str(error)  # noqa: PT017
        event("refused")
        # XLA takes a traced subnormal number for 0 or for the smallest normal one.
        assert np.isnan(traced).all() or any(0 < abs(v) < TINY for v in values.values())
        return
    event("drawn")
    assert np.isfinite(drawn).all()
    ends = case.support(**values)
    # SciPy's support is NaN of no std; XLA takes a subnormal number for 0.
    low, high = (x if abs(x) >= TINY else 0.0 for x in map(float, ends))
    assert np.all(drawn >= min(np.float32(low), float(jnp.finfo(dtype).max)))
    assert np.all(drawn <= np.float32(high))
    assert (low, high) != (0, INF) or np.all(drawn > 0)
    # Next to the smallest number intermediate results lose their digits.
    if not any(0 < abs(v) < 64 * TINY for v in values.values()):
        np.testing.assert_array_equal(traced, drawn)
    goes_round(obj)


UNITS = (u.nS, u.uS, u.siemens, u.psiemens)


@given(st.data())
def test_the_unit_written_does_not_matter(data):
    """Each parameter in a unit of its own, with values over the whole range of floats."""
    case = data.draw(st.sampled_from([case for case in RANDOM if case.carriers]))
    values = {n: data.draw(s.floats if n in case.carriers else s.moderate) for n in case.given}
    units = {n: data.draw(st.sampled_from(UNITS)) for n in case.carriers}

    def drawn(units):
        here = {n: float((1 * u.nS).to_decimal(unit)) ** case.power(n) for n, unit in units.items()}
        dressed = {n: case.dress(n, values[n] * here[n], unit) for n, unit in units.items()}
        return case.cls(**values | dressed)(key(), SIZE)

    try:
        expected = bare(drawn(dict.fromkeys(units, u.nS))).astype(float)
    except REFUSALS:
        event("refused")
        return
    assert np.isfinite(expected).all()
    try:
        moved = drawn(units)
    except ValueError as error:  # in that unit a number is too large or too small
        assert any(text in str(error) for text in ("outside what", "no value of", "finite", "less"))  # noqa: PT017
        event("out of range")
        return
    event("compared")
    ratio = float((1 * moved.unit).to_decimal(u.nS))
    sizes = [abs(values[n]) for n in case.carriers if math.isfinite(values[n])]
    size = max(np.abs(expected).max(), *(sizes if not case.powers else [0.0]), 0.0)
    slack = 3e-7 * size + TINY * max(ratio, 1 / ratio, 1.0)
    moved = bare(moved).astype(float)
    held = np.maximum(np.abs(moved), np.abs(expected)) < MOST  # a draw beyond it is MOST
    np.testing.assert_allclose((moved * ratio)[held], expected[held], rtol=1e-5, atol=slack)


# ---------------------------------------------------------------- nested


def close(a, b):
    """True if equal but for the last bits: XLA folds products of constants in a program."""
    x, y = bare(a).astype(float), bare(b).astype(float)
    eps = float(jnp.finfo(bare(b).dtype).eps)
    return np.allclose(x, y, rtol=8 * eps, atol=4 * eps * np.abs(y).max(initial=0))


@settings(max_examples=settings.default.max_examples // 4)  # each compiles programs of its own
@given(st.data())
def test_initializers_of_initializers(data):
    unit = data.draw(st.sampled_from([None, u.nS]))
    try:
        obj = data.draw(s.nested(unit))
    except REFUSALS as error:
        assert "`" in str(error)  # noqa: PT017
        return
    goes_round(obj)
    assert eval(repr(obj), NAMES) == obj
    size = data.draw(st.sampled_from([(3,), (2, 3), (0, 3), (1, 1, 3)]))
    dtype, kind = (
        data.draw(st.sampled_from([None, "bfloat16"])),
        data.draw(st.sampled_from([*s.KEYS])),
    )

    def drawn(how):
        try:
            return how(lambda k: obj(k, size, dtype))(key(kind))
        except REFUSALS as error:
            return str(error)

    eager, jitted = drawn(lambda f: f), drawn(jax.jit)
    if isinstance(eager, str):
        assert jitted == eager
        return
    assert eager.shape == size
    assert eager.dtype == (dtype or np.float32)
    assert same(eager, pickle.loads(pickle.dumps(obj))(key(kind), size, dtype))
    assert u.get_unit(jitted) == u.get_unit(eager)
    assert close(jitted, eager)
