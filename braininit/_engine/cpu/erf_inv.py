"""The inverse error function of XLA, bit for bit, in fewer operations.

`lax.erf_inv` uses XLA's log1p, which handles zeros, infinities and NaN that no draw needs, and uses
vectors of 256 bits at most. Tracing and compiling the copy takes 15 ms each time, 40 where a
hundred draws are one program, so only large arrays use it.

The numbers are the same because the operations are: the polynomials of Giles (2010), "Approximating
the erfinv function", with the logarithms of the Cephes library, in XLA's order. The copy differs
only in signs, which don't affect rounding, and in the cases left out. Where XLA rounds a product
before it adds another, the product goes through `abs`, so that it can't contract with the sum. A
test compares all 2^23 arguments that a uniform draw can have.

XLA may change its operations, so only the versions of `_TRIED` use the copy; others use
`lax.erf_inv` itself. With jaxlib 0.11 and 0.12 that is better: the copy saves a tenth at most, and
some programs with it compile for minutes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from braininit._engine.cpu.platforms import by_platform, is_tried
from braininit._jax.dtypes import is_symbolic, log_parts

__all__ = ["central_erf_inv", "erf_inv"]

_TRIED = ((0, 10),)  # versions of jaxlib
_LARGE = 2**19  # elements


def erf_inv(u: jax.Array) -> jax.Array:
    """`lax.erf_inv` of a number in (-1, 1)."""
    return by_platform(written_out, lax.erf_inv)(u) if _uses_copy(u) else lax.erf_inv(u)


def central_erf_inv(u: jax.Array) -> jax.Array:
    """`lax.erf_inv` for |u| < 0.9965, which needs only one of its polynomials."""
    square = u * u
    minus_log1p = lambda x: -lax.log1p(-x)  # noqa: E731
    if _uses_copy(u):
        minus_log1p = by_platform(_minus_log1p, minus_log1p)
    return _central(minus_log1p(square)) * u


def written_out(u: jax.Array) -> jax.Array:
    """`lax.erf_inv` of a float32 in (-1, 1), operation by operation."""
    w = _minus_log1p(u * u)
    # Both polynomials: selecting each coefficient takes as long and makes a longer chain.
    return lax.select(w < 5, _central(w), _horner(lax.sqrt(w) - 3, _TAIL)) * u


def _uses_copy(u: jax.Array) -> bool:
    return (
        not is_symbolic(u.shape)
        and u.size >= _LARGE
        and u.dtype == np.float32
        and is_tried(*_TRIED)
    )


def _central(w: jax.Array) -> jax.Array:
    shift, coefficients = _CENTRAL[w.dtype.itemsize]
    return _horner(w - shift, coefficients)


def _minus_log1p(x: jax.Array) -> jax.Array:
    """-log1p(-x) of a float32 in [0, 1), as XLA computes it."""
    square = x * x
    ratio = _horner(x, _LOG1P_N) / _horner(x, _LOG1P_D)
    near = x + (square * 0.5 + abs((x * square) * ratio))
    return lax.select(x < _NEAR, near, _minus_log(1 - x))


def _minus_log(x: jax.Array) -> jax.Array:
    """-log(x) of a normal float32 in (0, 1], as XLA computes it."""
    f, n = log_parts(x)
    square = f * f
    cube = square * f
    thirds = [_horner(f, _LOG[i : i + 3]) for i in (0, 3, 6)]
    rest = _horner(cube, thirds) * cube - abs(n * _LOG_2_LOW)
    return ((square * 0.5 - f) + rest) - n * _LOG_2_HIGH


def _horner(x: jax.Array, coefficients: Sequence[Any]) -> Any:
    """A polynomial, highest power first, in operations that trace fast."""
    first, *rest = (np.asarray(c, x.dtype) if isinstance(c, float) else c for c in coefficients)
    return functools.reduce(lambda p, c: lax.add(lax.mul(p, x), c), rest, first)


# ---------------------------------------------------------------- coefficients
# As published; highest power first.

# -log(1 + f) of Cephes' logf, less -f + f^2/2, in powers of f from f^11 to f^3.
_LOG = (
    -7.0376836292e-2, 1.1514610310e-1, -1.1676998740e-1, 1.2420140846e-1, -1.4249322787e-1,
    1.6668057665e-1, -2.0000714765e-1, 2.4999993993e-1, -3.3333331174e-1,
)  # fmt: skip
_LOG_2_HIGH, _LOG_2_LOW = 0.693359375, 2.12194440e-4  # high - low: the first is exact times n

# -log(1 - x) = x + x^2/2 + x^3 N(x)/D(x) of Cephes' log1p, for x below sqrt(2) - 1.
_NEAR = np.float32(math.sqrt(2) - 1)
_LOG1P_N = (
    4.5270000862445199635215e-5, -4.9854102823193375972212e-1, 6.5787325942061044846969,
    -2.9911919328553073277375e1, 6.0949667980987787057556e1, -5.7112963590585538103336e1,
    2.0039553499201281259648e1,
)  # fmt: skip
_LOG1P_D = (
    1.0, -1.5062909083469192043167e1, 8.3047565967967209469434e1, -2.2176239823732856465394e2,
    3.0909872225312059774938e2, -2.1642788614495947685003e2, 6.0118660497603843919306e1,
)  # fmt: skip

# Giles' erf^-1(u)/u in powers of w - shift, w = -log(1 - u^2), by bytes of the dtype; the tail,
# from w = 5 on, in powers of sqrt(w) - 3.
_CENTRAL = {
    4: (2.5, (
        2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
        -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
    )),
    8: (3.125, (
        -3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18,
        1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17,
        6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14,
        2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
        1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08,
        4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05,
        0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533,
        0.24015818242558961693, 1.6536545626831027356,
    )),
}  # fmt: skip
_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
    0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip
