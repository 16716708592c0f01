"""Gamma and beta variates from one or two random words each, in float32 or float64.

A gamma variate is the quantile function at a uniform number, and that function is smooth in the
right variables: no loop, no rejection, no table. So a draw fuses with the code that makes its
words, needs no temporary memory, shards, vmaps, and has a derivative in the concentration.

1. A word gives u; z is the normal quantile of u (one ratio of polynomials over the whole range: no
   branch, both tails with full relative precision).
2. log(X / a) = P(t, q) / Q(t, q) with t = z / sqrt(a), q = 1 / a, for a >= 1.
3. For a < 1, X_a = X_(a+1) U^(1/a), with U from the second word.

It is an approximation. Probabilities have errors below 1e-8 in float32 and 2e-12 in float64: below
rounding, or visible only in 1e14 draws. `benchmarks/fits/gamma.py` makes the coefficients.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._jax.rounding import round_here
from braininit._math.elementary import (
    LOG2_E,
    exp2_parts,
    fraction,
    log,
    over,
    polynomial,
    times_exp2,
    uncontracted,
)

__all__ = ["beta_variate", "gamma_variate", "log_gamma_variate", "normal_quantile"]


@jax.custom_jvp
def log_gamma_variate(word: jax.Array, word2: jax.Array, a: jax.Array) -> jax.Array:
    """Logarithm of a standard gamma variate; it never underflows.

    It increases with `word`, a uint32 for float32 and a uint64 for float64; `word2` is used where
    a < 1. The concentration `a` is a scalar, or of the words' rank; NaN and negative numbers give
    NaN.
    """
    log_ratio, origin = _log_ratio(word, word2, a)
    return jnp.log(origin) + log_ratio


@jax.custom_jvp
def gamma_variate(word: jax.Array, word2: jax.Array, a: jax.Array, scale: jax.Array) -> jax.Array:
    """Gamma variate; parameters as in `log_gamma_variate`, and the scale."""
    log_ratio, origin = _log_ratio(word, word2, a)
    # A draw that underflows at scale 1 need not at a large scale.
    x = times_exp2(origin, log_ratio * LOG2_E, scale)
    return jnp.where(origin < jnp.inf, x, origin)  # infinity times rest = 0 would be NaN


@jax.custom_jvp
def beta_variate(
    words_a: tuple[jax.Array, jax.Array],
    words_b: tuple[jax.Array, jax.Array],
    alpha: jax.Array,
    beta: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Beta variate x and 1 - x, each to full relative precision.

    x = A / (A + B) for gamma variates A and B, from a pair of words each (see `log_gamma_variate`).
    Never NaN for positive alpha and beta. Near the upper end of an interval, high - (high - low) (1
    - x) keeps digits that low + (high - low) x loses.
    """
    log_a, origin_a = _log_ratio(*words_a, alpha)
    log_b, origin_b = _log_ratio(*words_b, beta)
    # Capped, so that the sum stays finite.
    cap = 2.0 ** (jnp.finfo(log_a.dtype).maxexp - 2)
    origin_a, origin_b = jnp.minimum(origin_a, cap), jnp.minimum(origin_b, cap)
    p, q = (
        round_here(origin_a / (origin_a + origin_b)),
        round_here(origin_b / (origin_a + origin_b)),
    )
    # x = p e / (q + p e), e = exp(log_a - log_b) = (1 + rest) 2^k. With the power of 2 put into
    # p and q, x is p + p q rest / (1 + p rest): the second term is small where x is close to p.
    rest, half, other_half = exp2_parts((log_a - log_b) * LOG2_E)
    p, q = p * half, q / other_half
    p, q = round_here(p / (p + q)), round_here(q / (p + q))
    shift = round_here(p * q * rest / (1 + p * rest))
    return p + shift, q - shift


class _Tables(NamedTuple):
    """Coefficients for one dtype, lowest power first."""

    normal_p: tuple[float, ...]
    normal_q: tuple[float, ...]
    gamma_p: tuple[tuple[float, ...], ...]  # over powers of t, then of q
    gamma_q: tuple[tuple[float, ...], ...]


def _log_ratio(word: jax.Array, word2: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Logarithm of x / origin, and the origin: a, or a + 1 where a < 1."""
    a, origin, t, q = _coordinates(word, a)
    p, d = _coefficients(q)
    # U rounds to 1 with probability eps / 4: -log U is eps / 8 there on average, which matters for
    # a tiny a. The minimum also keeps XLA from contracting product and sum in some programs only,
    # whose last bits would differ.
    inverse = 1 / a
    boost = jnp.minimum(_log_uniform(word2) * inverse, inverse * -float(jnp.finfo(a.dtype).eps / 8))
    return polynomial(t, p) / polynomial(t, d) + jnp.where(a < 1, boost, 0), origin


def _log_slope(word: jax.Array, word2: jax.Array, a: jax.Array) -> jax.Array:
    """Derivative of the variate's logarithm in a, with fixed words."""
    a, origin, t, q = _coordinates(word, a)
    # log x = log(origin) + L(t, q), and t is in proportion to sqrt(q) with q = 1 / origin, so the
    # derivative is q (1 - E L), E = (t/2) d/dt + q d/dq; E takes t^i q^j to (i/2 + j) t^i q^j.
    p, d = _coefficients(q)
    euler_p, euler_d = _coefficients(q, euler=True)
    denominator = round_here(polynomial(t, d))
    ratio = round_here(polynomial(t, p) / denominator)
    euler = (polynomial(t, euler_p) - ratio * polynomial(t, euler_d)) / denominator
    slope = _sharper(q * (1 - euler), origin, origin * jnp.exp(ratio))
    # Below the floor the variate is 0, and an infinite slope times 0 would be NaN.
    inverse = 1 / jnp.maximum(a, 2.0 ** -(jnp.finfo(a.dtype).nmant + 17))
    return slope - jnp.where(a < 1, _log_uniform(word2) * inverse * inverse, 0)


@jax.custom_jvp
def _sharper(slope: jax.Array, a: jax.Array, x: jax.Array) -> jax.Array:
    """The same derivative from JAX's series, where the series is more accurate.

    The series loses digits as a grows, the rational function does not: both are equally accurate at
    a = 5 in float32, and at a = 1000 in float64, where the rational has nine digits at a = 1.
    """
    small = a < (5 if x.dtype == np.float32 else 1000)
    small, a, x = jnp.broadcast_arrays(small, a, x)
    safe_a, safe_x = (jnp.where(small, v, jnp.ones_like(v)) for v in (a, x))
    series = lax.random_gamma_grad(safe_a, safe_x) / x  # pyright: ignore[reportCallIssue]
    return jnp.where(small, series, slope)


@_sharper.defjvp
def _sharper_jvp(primals: tuple, tangents: tuple) -> tuple:
    # The series has no derivative of its own; the rational's is smooth.
    return _sharper(*primals), tangents[0]


def _coordinates(word: jax.Array, a: jax.Array) -> tuple[jax.Array, ...]:
    """The concentration, with a floor; the origin; and the arguments t and q of the ratio."""
    # Negative becomes NaN. Below the floor 1 / a would overflow; the variate is 0 there.
    floor = 2.0 ** (8 - jnp.finfo(a.dtype).maxexp)
    a = jnp.where(a >= 0, jnp.maximum(a, floor), jnp.nan)
    if a.ndim == 0:  # XLA's constant folding rounds differently from its code
        a = lax.optimization_barrier(a)
    origin = round_here(jnp.where(a < 1, a + 1, a))
    q = 1 / origin
    return a, origin, uncontracted(normal_quantile(word) * jnp.sqrt(q)), q


def _coefficients(q: jax.Array, euler: bool = False) -> tuple[list[jax.Array], list[jax.Array]]:
    """The coefficients of P and Q as polynomials in t, computed once for a scalar concentration.

    With `euler`, the term t^i q^j is multiplied by i/2 + j.
    """

    def in_t(rows):
        return [
            polynomial(q, [c * (i / 2 + j) if euler else c for j, c in enumerate(row)])
            for i, row in enumerate(rows)
        ]

    p, d = in_t(_TABLES[q.dtype].gamma_p), in_t(_TABLES[q.dtype].gamma_q)
    # p[0] has no constant term: it ends in a product and is added to another. Programs differ in
    # which of the two XLA contracts with the sum. p[0] is negative: this minimum only prevents it.
    p[0] = jnp.minimum(p[0], 0)
    return p, d


def normal_quantile(word: jax.Array) -> jax.Array:
    """Standard normal quantile of u = (word + 1/2) 2^-bits."""
    bits = 8 * word.dtype.itemsize
    # y = 2u - 1 is counted from the middle and m = min(u, 1 - u) from the end: both are precise
    # where they are small. w is smooth in u, unlike z; z / y is smooth in w.
    y = fraction(word ^ jnp.asarray(1 << (bits - 1), word.dtype), 1 - bits)
    m = fraction(jnp.minimum(word, ~word), -bits)
    w = round_here(log(4 * m * (1 - m), sign=-1))
    tables = _TABLES[w.dtype]
    return y * (polynomial(w, tables.normal_p) / polynomial(w, tables.normal_q))


def _log_uniform(word: jax.Array) -> jax.Array:
    """Logarithm of a uniform number; the word loses its last bit, to convert as signed."""
    u = fraction(word >> jnp.asarray(1, word.dtype), 1 - 8 * word.dtype.itemsize)
    return log(uncontracted(u))


# Derivatives in the concentrations are taken with fixed words (reparameterization).


@log_gamma_variate.defjvp
def _log_gamma_jvp(primals: tuple, tangents: tuple) -> tuple:
    (word, word2, a), (_, _, da) = primals, tangents
    return log_gamma_variate(word, word2, a), _log_slope(word, word2, a) * da


@gamma_variate.defjvp
def _gamma_jvp(primals: tuple, tangents: tuple) -> tuple:
    (word, word2, a, scale), (_, _, da, dscale) = primals, tangents
    x = gamma_variate(word, word2, a, scale)
    return x, x * _log_slope(word, word2, a) * da + over(x, scale) * dscale


@beta_variate.defjvp
def _beta_jvp(primals: tuple, tangents: tuple) -> tuple:
    (words_a, words_b, alpha, beta), (_, _, da, db) = primals, tangents
    x, y = beta_variate(words_a, words_b, alpha, beta)
    (word_a, word2_a), (word_b, word2_b) = words_a, words_b
    slope_a, slope_b = _log_slope(word_a, word2_a, alpha), _log_slope(word_b, word2_b, beta)
    dx = x * y * (slope_a * da - slope_b * db)
    return (x, y), (dx, -dx)


# Every literal below is the output of `python benchmarks/fits/gamma.py`.
# fmt: off
# float32, |z| < 6.36: z within 1.0e-08 relative;
# 70 coefficients, |F(x) - u| < 7.9e-09, tails 2.6e-06 relative.
_SINGLE = _Tables(
    (1.2533141, 0.44753158, 0.09106544, 0.012539557, 0.001140719, 5.969035e-05, 1.937367e-07),
    (1.0, 0.095278844, 0.034685083, 0.0023154644, 0.00024945362, 3.773116e-06),
    ((0.0, -0.3333333, -0.010396352, 0.0063049262, 0.02409731), (1.0, -0.113670684, 0.028383244,
     -0.06700342, 0.0033431712), (0.36236575, -0.14911903, 0.0019190562, -0.01907343,
     0.0022205585), (0.09569716, -0.006484163, 0.0062867478, -0.0048377924, 7.457801e-05),
     (0.004872716, -0.002078942, 0.00048301133, -0.0003479095), (0.00031660317, 0.0012080504,
     0.000250355, -2.03667e-05), (-0.00019972678, 1.0289673e-05, 8.841836e-06), (6.8119716e-06,
     1.4208978e-05, 1.0959634e-06), (-1.5545298e-06, -5.5048145e-07), (9.697047e-08,
     1.5677415e-08), (-2.8568823e-09,)),
    ((1.0, -0.07621418, -0.006467842, -0.06542565, 0.0029954491), (0.5290325, -0.14684968,
     0.007714152, -0.028942252, 0.001958849), (0.15609163, -0.030589508, 0.006435894,
     -0.0077256537, 0.00032101903), (0.01989617, -0.0031612208, 0.0016989837, -0.001028809,
     1.670214e-05), (0.0010244637, 0.0009577744, 0.00035660362, -7.459378e-05), (-0.00018470593,
     0.00018586208, 4.3932516e-05, -2.0561547e-06), (-2.038624e-05, 2.0376967e-05, 3.1895502e-06),
     (-1.2255014e-06, 6.773178e-07, 8.422569e-08)),
)
# float64, |z| < 9.17: z within 9.2e-13 relative;
# 169 coefficients, |F(x) - u| < 1.7e-12, tails 1.7e-09 relative.
_DOUBLE = _Tables(
    (1.2533141373147727, 0.48093888247339894, 0.1558259695395923, 0.033347268540907186,
     0.005324334347781145, 0.0006502775287391936, 5.984754946298676e-05, 4.059085661827581e-06,
     1.9980667763216835e-07, 1.0150272821763316e-08, -1.4358603116117525e-10,
     -2.741288652562476e-12, -2.4921454133279148e-15),
    (1.0, 0.12193432116107755, 0.079376768399298, 0.006872305322077126, 0.001880370285194827,
     0.0001111636603431626, 1.5039847694208772e-05, 4.817918204663197e-07, 4.449712013216114e-08,
     2.784131418763502e-10, -2.14635368716109e-11, -9.037282267054325e-14),
    ((0.0, -0.3333333332464625, -0.21551599390829373, -0.3876184352203231, -0.008448677966357128,
     -0.036359405578452804, 0.02004175532499548, -0.0008022067420243235, -7.021267711374842e-05),
     (1.0, 0.27788968668406894, 0.976381523062333, -0.30768895089321635, 0.140562728709173,
     -0.07926215664364944, 0.015832801370304465, -0.0013203261413312682, 3.575716762949061e-05),
     (1.0337525896351205, 0.3274011293731714, 0.8367818293190155, -0.23205935300129454,
     0.06522670527615594, -0.04328397899090387, 0.007075217906910204, -0.00026902098384691656),
     (0.5888853121373655, 0.2347909569532528, 0.43945812453130173, -0.07158589939433405,
     0.02164324230462634, -0.012045602148037649, 0.001341742066197944, -3.464560325679503e-05),
     (0.2134178048779126, 0.09838636647887763, 0.1398417965954775, -0.017276295842506124,
     0.0027593207555014743, -0.002059379288626699, 0.00015645099698126337), (0.05528961099667288,
     0.03159743383478246, 0.033815388242599845, -0.0014082977791208201, 0.00030856006906395577,
     -0.0002253765904317703, 7.85723119018852e-06), (0.010297007041779153, 0.00726288665582916,
     0.005724693151125291, 7.6225662526130355e-06, -1.2132200104685185e-05,
     -1.4624287467034432e-05), (0.0014319008124542467, 0.001329965437277649,
     0.0007842934155339643, 6.0016285716870826e-05, -1.0515504373203977e-06,
     -5.921885015601591e-07), (0.000140453094003507, 0.0001781683745197951, 7.27236216828342e-05,
     7.664888683652822e-06, -2.0854209682739448e-07), (1.003247130981763e-05,
     1.9330981347628694e-05, 5.697419934228963e-06, 8.828922583481982e-07,
     -1.4363034183521921e-09), (3.7651945602970685e-07, 1.435640812858655e-06,
     2.170455481192167e-07, 3.6511245636603345e-08), (1.0455777415062153e-08,
     8.70645434733425e-08, 6.8587546645186674e-09, 1.194581136451899e-09),
     (-6.710892600326728e-10, 2.7519449351854527e-09, -1.8161758449394306e-10),
     (1.406133932002561e-11, 6.48453112387328e-11, -8.113326046532442e-12),
     (-1.137913894392909e-12, 1.677512274311964e-13), (2.107678216576902e-14,
     -6.74112450606855e-15)),
    ((1.0, 0.5391405494482553, 1.1092986942151273, -0.08555512506233226, 0.12459036871886935,
     -0.0706429099429558, 0.008860566842188186, -0.0007098527404688053, 4.5247736002534637e-05),
     (1.200419256355148, 0.5406785443162675, 1.0921343930814278, -0.14818135730713872,
     0.08703746243272067, -0.05232866707617713, 0.006939195612830722, -0.0003365967227893002,
     5.2208966129549766e-06), (0.7611774104177416, 0.3455072077440932, 0.6121420885444473,
     -0.07025062169166543, 0.03260110271536001, -0.018708220602223897, 0.002065562400359444,
     -6.543145083439925e-05), (0.31063943082493917, 0.15051814758929333, 0.22131585700345635,
     -0.020178354861465065, 0.00668896762251264, -0.003958286241234226, 0.0003269433174378728,
     -4.1612152359778305e-06), (0.09013354823737954, 0.05004541761506453, 0.05846303902695275,
     -0.0027288574783164645, 0.0008593834099582712, -0.0005437206763164768,
     2.7851521349772992e-05), (0.01917290397422348, 0.012667114486624123, 0.01142278038852904,
     -2.8002425108987594e-05, 5.137187222055201e-05, -4.816565881412542e-05,
     1.0209468664091627e-06), (0.00305295822192316, 0.0025180200788272955, 0.0017205279282278634,
     8.335144304304371e-05, -4.0136225754901396e-07, -2.6387590289850274e-06),
     (0.00035962598381260156, 0.0003878600248225554, 0.00019540354134337556,
     1.8097187848033975e-05, -3.0755144966820607e-07, -6.971154316689162e-08),
     (3.084969163276458e-05, 4.6800719534230394e-05, 1.6831696554201002e-05,
     2.1899407900167077e-06, -1.654623745964856e-08), (1.7792163380737027e-06,
     4.297936643191122e-06, 1.0153982247497082e-06, 1.5730920971065782e-07,
     -1.4346588564804417e-10), (5.997350518451015e-08, 2.962777230870263e-07,
     3.8091436461115115e-08, 6.5169350051551845e-09), (2.075430670840494e-10,
     1.4308531167588923e-08, 3.971686968012201e-10, 1.1716609800456842e-10),
     (-5.368644924662224e-11, 4.3731020711061885e-10, -3.050338943825611e-11),
     (-1.5428167201854728e-12, 6.331023018234451e-12, -1.0365708759756892e-12)),
)
# fmt: on

_TABLES = {np.dtype(np.float32): _SINGLE, np.dtype(np.float64): _DOUBLE}
