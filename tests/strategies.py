"""Hypothesis strategies of the laws: numbers at the edges, sizes, keys, nested initializers."""

from __future__ import annotations

import operator
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from cases import RANDOM
from hypothesis import strategies as st

import braininit as init

# ---------------------------------------------------------------- numbers

EDGES = (
    *(0.0, -0.0, 0.5, 1.0, -1.0, 2.0, -3.0, 1e-3, 1e3, 100.0, 101.0, 3.0e-5, 1e7, 2.0**24, 1e10),
    *(1.0 + 2.0**-23, 1.0 - 2.0**-24, 1e-20, 1e20, -1e20, 1e-30, 1e30),
    *(1.1754944e-38, 1e-38, 1e-45, 3.4028235e38, -3.4028235e38, 3e38),  # of float32
    *(65504.0, 65520.0, 6.1e-5, 5.9e-8, 448.0, 480.0, 57344.0, 2.0**-9),  # of the narrow ones
)
BEYOND = (1e39, 1e-46, 1e300, -1e300, 1e-300, 5e-324, np.inf, -np.inf, np.nan)  # for float32

singles = st.one_of(
    st.sampled_from(EDGES),
    st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.floats(-4, 4, width=32),
)
"""A float32, as a float."""
floats = st.one_of(singles, st.sampled_from(BEYOND), st.floats())
moderate = st.floats(0.0625, 4.0, width=16)

ODD = (None, True, "a", "0.5", "0.5 nS", 1j, (), [[1], [1, 2]], {}, object(), b"1", np.bool_(1),
       u.nS, 10**400, np.float32, "float32", np.array("a"), np.zeros((2, 0)), np.zeros(0),
       np.ma.masked_array([1.0], [True]), np.array([None]), np.zeros((1,) * 33), ..., int,
       np.datetime64("2020-01-01"), np.timedelta64(1, "s"))  # fmt: skip
KINDS = (float, np.float32, np.float64, np.float16, jnp.float32, jnp.bfloat16, np.asarray,
         jnp.asarray, lambda x: int(x) if abs(x) < 2**70 else x, lambda x: [x, 2.0],
         lambda x: np.full((2, 1), x), lambda x: jnp.full(3, x), lambda x: (x,),
         lambda x: [[x, 1], [1, x]], np.longdouble)  # fmt: skip


def _in_kind(kind: Any, value: float) -> Any:
    with np.errstate(all="ignore"):
        return kind(value)


UNITS = (u.nS, u.uS, u.siemens, u.mV, u.ms, u.Hz, u.nS**2, u.mV / u.volt)
given = st.one_of(
    floats,
    st.builds(_in_kind, st.sampled_from(KINDS), floats),
    st.builds(operator.mul, floats, st.sampled_from(UNITS)),
    st.builds(lambda k, x, unit: _in_kind(k, x) * unit, st.sampled_from(KINDS[:8]), floats,
              st.sampled_from(UNITS)),
    st.sampled_from(ODD),
)  # fmt: skip
"""Anything that a user may pass as a parameter."""

# ---------------------------------------------------------------- arguments of a draw

sizes = st.one_of(
    st.integers(0, 4),
    st.lists(st.integers(0, 4), max_size=5).map(tuple),
    st.sampled_from([[2, 3], np.int64(3), np.array([2, 3]), (np.uint8(2), 3), range(2, 4)]),
)
odd_sizes = st.sampled_from(
    [-1, (2, -1), 1.5, 2.0, "3", None, True, (True,), (2, None), (1,) * 33, 2**62, (2**31, 2**31),
     2**80, jax.random.key(0), np.zeros((2, 2), int), {}, object(), 1j, ((2, 3),), np.nan]
)  # fmt: skip
dtypes = st.sampled_from(
    [None, None, np.float32, "bfloat16", jnp.float16, jnp.dtype("float8_e5m2"), "float8_e4m3fn"]
)
odd_dtypes = st.sampled_from(
    [int, bool, "int4", "float4_e2m1fn", "S4", "object", object, "no such", 3, [], {}, "complex64",
     np.dtype("f4,f4"), ">f4", jnp.float32(1), "float128", np.dtype("m8[s]"), "float8_e8m0fnu"]
)  # fmt: skip
KEYS = {
    "typed": jax.random.key,
    "legacy": jax.random.PRNGKey,
    "words": lambda seed: np.asarray(jax.random.PRNGKey(seed)),
    "rbg": lambda seed: jax.random.key(seed, impl="rbg"),
    "philox": lambda seed: jax.random.key(seed, impl="philox4x32"),
}

# ---------------------------------------------------------------- initializers

LEAVES = [case for case in RANDOM if case.carriers]


@st.composite
def leaves(draw: Any, unit: Any = None) -> Any:
    """An initializer without children: a member of its row, scaled."""
    case, scale = draw(st.sampled_from(LEAVES)), draw(moderate)
    values = {n: case.given[n] * scale ** case.power(n) for n in case.carriers if n in case.given}
    return case.make(unit, **{n: case.dress(n, v, unit) for n, v in values.items()})


def nested(unit: Any = None, most: int = 5) -> Any:
    """Initializers of initializers, in one unit."""
    dressed = (lambda x: x) if unit is None else (lambda x: x * unit)
    number = st.one_of(moderate, moderate.map(lambda x: np.full(3, x, np.float32)))

    def combined(part: Any) -> Any:
        two = st.tuples(part, st.one_of(part, number.map(dressed)))
        return st.one_of(
            st.builds(lambda ab: ab[0] + ab[1], two),
            st.builds(lambda ab: ab[0] - ab[1], two),
            st.builds(lambda a, x: a * x, part, number),
            st.builds(lambda a, x: a / x, part, number),
            st.builds(lambda a, x: a.clip(dressed(-x), dressed(x)), part, moderate),
            part.map(abs),
            st.builds(lambda ab, w: init.Mixture(ab, [w, 1 - w]), two, st.floats(0, 1, width=16)),
            st.builds(lambda ab, n: init.Conditional(n, *ab), two, st.integers(0, 3)),
            st.builds(lambda a, x: init.Scaled(a, x), part, moderate),
            st.builds(lambda a, p: init.Sparse(p, a), part, st.floats(0, 1, width=16)),
            st.builds(lambda a, p: init.Dale(a, p), part, st.floats(0, 1, width=16)),
            part.map(init.Compose),
        )

    return st.recursive(leaves(unit), combined, max_leaves=most)
