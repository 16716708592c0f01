"""Elementary functions for long fused loops: polynomial, logarithm, exponential.

A draw is a chain of some hundred operations, each waiting for the one before: its length
costs more than the number of operations. And nothing is spent on arguments that do not
occur.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._dtypes import kept

__all__ = ["exp_digits", "exp_parts", "log", "polynomial", "power_of_2"]


def polynomial(x: jax.Array, coefficients: Sequence[Any]) -> Any:
    """Polynomial by Estrin's scheme, the coefficients lowest power first.

    Horner's rule is one chain; here there are several at a time, a third as long.
    """
    terms = list(coefficients)
    while len(terms) > 1:
        pairs = [low + high * x for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
        x = x * x
    return terms[0]


def log(x: jax.Array, replace: Callable[[jax.Array], jax.Array] | None = None) -> jax.Array:
    """Logarithm of a positive normal number.

    In float32 `replace` may put something better in place of f, where x = (1 + f) 2^n with f
    in [sqrt(1/2) - 1, sqrt(2) - 1]: what 1 + f was before it was rounded.
    """
    if x.dtype != np.dtype(np.float32):
        return jnp.log(x)
    bits = jax.lax.bitcast_convert_type(x, np.int32)
    n = jax.lax.shift_right_arithmetic(bits - 0x3F3504F3, np.int32(23))  # from sqrt(1/2) on
    f = jax.lax.bitcast_convert_type(bits - (n << 23), np.float32) - 1
    f = replace(f) if replace else f
    return (f + f * f * (f * polynomial(f, _LOG) - 0.5)) + n.astype(np.float32) * math.log(2)


# (log(1 + f) - f + f^2/2)/f^3, lowest power first (Cephes' logf).
_LOG = (
    3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1,
    -1.2420140846e-1, 1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2,
)  # fmt: skip


def exp_parts(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """exp(x) as (1 + rest) * half * other_half, the last two powers of 2, |rest| < 0.42.

    In parts, so that the caller rounds once; in two powers, for one alone would overflow.
    """
    reach = _EXPONENTIAL[x.dtype][0]
    rest, k = exp_digits(jnp.clip(x, -reach, reach))  # infinity has no rest
    half = k >> 1
    return rest, power_of_2(half, x.dtype), power_of_2(k - half, x.dtype)


def exp_digits(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """exp(x) as rest and k: (1 + rest) 2^k."""
    _, high, low, degree = _EXPONENTIAL[x.dtype]
    k = jnp.round(x * (1 / math.log(2)))
    r = kept(x - k * high - k * low)
    rest = r + r * r * polynomial(r, [1 / math.factorial(n) for n in range(2, degree + 1)])
    return kept(rest), k.astype(np.int32)


# Where exp ends; log 2 in two parts, the first short enough for an exact product with k;
# the degree of the Taylor series of exp that leaves its error below a tenth of a rounding.
_EXPONENTIAL = {
    np.dtype(np.float32): (174.0, 0.693145751953125, 1.4286067653301870e-06, 7),
    np.dtype(np.float64): (1416.0, 0.6931471805601177, -1.7239444525614835e-13, 13),
}


def power_of_2(k: jax.Array, kind: np.dtype) -> jax.Array:
    """2^k, written into the exponent's bits."""
    digits = jnp.finfo(kind)
    biased = k.astype(np.dtype(f"int{digits.bits}")) + (digits.maxexp - 1)
    return jax.lax.bitcast_convert_type(biased << digits.nmant, kind)
