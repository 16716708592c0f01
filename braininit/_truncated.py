"""Truncated normal and exponential draws, one word of random bits each.

Pure, elementwise, without branches: whatever makes the words and whatever uses
the draws can be fused with it. Right for every pair of bounds, because it never
subtracts two values of the distribution function:

- The anchor is the point of [low, high] nearest the mean, alpha its distance
  from the mean in std. Draws are worked out from the anchor outwards.
- Each side's mass, as a part of Q(alpha) (Q: the normal's survival function,
  phi: its density), comes from the Mills ratio m = Q/phi by way of a divided
  difference, which keeps its relative precision for the narrowest interval.
- The word picks the side and the survival q beyond the draw; E = -log q.
- The distance d with Q(alpha + d)/Q(alpha) = exp(-E) comes from one rational
  function, relative error 3e-7 (1.4e-5 in float64's longer tail); float64 adds
  one Halley step, which leaves rounding.

At exactly -2 and 2 std the draw is jax.random.truncated_normal's, bit for bit:
the scaled initializers rest on it. ``benchmarks/fits/truncated.py`` makes the tables.
"""

import math
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._dtypes import kept

# Mills ratio: m(x) = t P(s), t = 1/(1 + x/k), s = 1 - 2t; P, lowest power first.
_MILLS_32 = (
    4.733047659e-01,
    -3.809427211e-01,
    2.426023844e-01,
    -1.168854299e-01,
    3.784798657e-02,
    -4.723563740e-03,
    -2.180738172e-03,
    1.016462898e-03,
    8.375483977e-05,
    -1.350908307e-04,
    -1.084794961e-06,
    1.327446682e-05,
)

_MILLS_64 = (
    3.8561620943063152e-01,
    -3.3357331903779203e-01,
    2.4830941231477330e-01,
    -1.5718221510930905e-01,
    8.2728943146536754e-02,
    -3.4650946817430084e-02,
    1.0425100482455761e-02,
    -1.5006565641357517e-03,
    -3.9999239499687316e-04,
    2.7317183218848723e-04,
    -2.9766610464679603e-05,
    -2.4947131637442161e-05,
    8.3629171732649252e-06,
    1.9949560171085464e-06,
    -1.3890066276983257e-06,
    -1.6721351960362814e-07,
    2.1873267047187882e-07,
    1.9336856714432649e-08,
    -3.5282479379543805e-08,
    -3.4796248555358392e-09,
    5.6344023950886063e-09,
    6.3737336877330259e-10,
    -7.6883681299298405e-10,
    -6.6737009758463364e-11,
    6.2512108943208256e-11,
)

_INVERSE_N = (
    (5.0032440e-01, 7.1059800e-01, -1.5579741e-01, -7.0109253e-02),
    (1.9454021e-01, 2.2576645e-01, -7.2286231e-02, -3.3606787e-02),
    (-4.2730646e-04, 4.5102086e-03, -6.1171808e-03, 2.4532162e-03),
)

_INVERSE_D = (
    (1.0000000e00, 1.3899713e00, 2.2520114e00, -5.4179150e-01),
    (2.0645378e00, 2.6972270e00, -3.5821752e-01, -5.8459590e-01),
    (1.2539688e00, 1.7777193e00, -1.8003593e00, 3.6393999e-01),
    (2.0097668e-01, 3.1356368e-01, -4.9017443e-01, 1.5478731e-01),
)

_MILLS = {4: (4.0, _MILLS_32), 8: (5.0, _MILLS_64)}  # bytes of the dtype: k, P

# Further than any draw goes, yet its square is finite in float32.
_FAR = 1e18

# (log(1 + f) - f + f^2/2)/f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], highest power first (Cephes).
_LOG_32 = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip


# Giles' central polynomials (highest power first), as XLA's erf_inv has them.
_ERF_INV = {
    4: (2.5, (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
              -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)),
    8: (3.125, (-3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18,
              1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17,
              6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14,
              2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
              1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08,
              4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05,
              0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533,
              0.24015818242558961693, 1.6536545626831027356)),
}  # fmt: skip


def _part(count, unit):
    """(count + 1/2) unit: a part of the whole that is never 0."""
    return (count.astype(unit.dtype) + 0.5) * unit


def _loss(alpha, d, k, coefficients):
    """1 - m(alpha + d)/m(alpha), and m(alpha).

    The divided difference of P rides along Horner's rule: no difference of two
    nearly equal Mills ratios is ever taken.
    """
    ta = kept(k / (k + alpha))
    tb = kept(k / (k + alpha + d))
    sa, sb = 1.0 - 2.0 * ta, 1.0 - 2.0 * tb
    p = coefficients[-1] + 0.0 * sa
    slope = 0.0 * sb
    for c in coefficients[-2::-1]:
        slope = slope * sb + p
        p = p * sa + c
    return kept(d * tb * ((p - 2.0 * tb * slope) * kept((1.0 / k) / p))), ta * p


def _side(alpha, d, k, coefficients):
    """Mass of [alpha, alpha + d] and of what lies beyond, both divided by Q(alpha)."""
    loss, m = _loss(alpha, d, k, coefficients)
    drop = kept(d * (alpha + 0.5 * d))  # log of the ratio of the densities
    beyond = kept(jnp.exp(-drop))
    if drop.dtype == jnp.float32:  # expm1, cheaper; the series stops at 2e-8
        series = reduce(lambda p, n: 1.0 - drop * p * (1.0 / n), range(8, 1, -1), 1.0)
        fallen = jnp.where(drop < 0.5, drop * series, 1.0 - beyond)
    else:
        fallen = -jnp.expm1(-drop)
    return loss * beyond + kept(fallen), beyond * (1.0 - jnp.minimum(loss, 1.0)), m


def _minus_log(q, v):
    """-log q, with full relative precision where q = 1 - v (v < 1/2, else ignored)."""
    if q.dtype == jnp.float32:
        # Cephes' logf, less what positive normal numbers do not need; log(1 + f) takes
        # f = -v as it is, before 1 - v has rounded it.
        bits = lax.bitcast_convert_type(q, jnp.int32)
        exponent = lax.shift_right_arithmetic(bits - 0x3F3504F3, np.int32(23))  # sqrt(1/2)
        f = lax.bitcast_convert_type(bits - exponent * (1 << 23), jnp.float32) - 1.0
        f = jnp.where(v < 0.29, -v, f)
        cubic = reduce(lambda p, c: p * f + c, _LOG_32[1:], _LOG_32[0])
        log = (f + f * f * (f * cubic - 0.5)) + exponent.astype(jnp.float32) * math.log(2)
        return kept(-log)
    tiny = jnp.finfo(q.dtype).tiny
    lost = jnp.maximum(1.0 - q, tiny)
    e = -jnp.log(q) * jnp.where(v < 0.5, v / lost, 1.0)
    return kept(jnp.where(q == 1.0, v, e))


def _distance(e, alpha, m, k, coefficients):
    """D with Q(alpha + d)/Q(alpha) = exp(-e)."""
    h = kept(1.0 / m)
    g = h - alpha
    scaled = kept(e * m)  # e / h
    w = kept(jnp.sqrt(1.0 + 2.0 * scaled * m)) - 1.0
    n, d = (
        reduce(
            lambda p, row: p * w + (row[0] + g * (row[1] + g * (row[2] + g * row[3]))),
            rows[::-1],
            jnp.zeros((), e.dtype),
        )
        for rows in (_INVERSE_N, _INVERSE_D)
    )
    distance = kept(2.0 * scaled * (d + w * g * g * n) / ((2.0 + w) * d))
    if e.dtype == jnp.float32:
        return distance
    # Halley on log Q, whose first two derivatives are the hazard h and h (h - x).
    loss, _ = _loss(alpha, distance, k, coefficients)
    step = (distance * (alpha + 0.5 * distance) - jnp.log1p(-loss) - e) * m * (1.0 - loss)
    step, m = kept(step), m * (1.0 - loss)
    return distance - step * m / (m - 0.5 * step * (1.0 - m * (alpha + distance)))


def two_sigma(word, dtype):
    """jax.random.truncated_normal(key, -2, 2) of the same word, operation by operation."""
    info = jnp.finfo(dtype)
    sqrt2 = np.asarray(math.sqrt(2), dtype)
    # Behind a barrier: folded at compile time, erf need not round as it does at run time.
    low, high = lax.optimization_barrier((np.asarray(-2, dtype), np.asarray(2, dtype)))
    low, high = lax.erf(low / sqrt2), lax.erf(high / sqrt2)
    bits = lax.shift_right_logical(word, np.asarray(info.bits - info.nmant, word.dtype))
    bits = lax.bitwise_or(bits, np.ones((), dtype).view(word.dtype))
    u = (lax.bitcast_convert_type(bits, dtype) - np.ones((), dtype)) * (high - low) + low
    # lax.erf_inv's own polynomial for |u| < 0.95449974, where it needs only one of its branches.
    u = jnp.maximum(u, low)
    w = -lax.log1p(-(u * u))
    shift, coefficients = _ERF_INV[info.dtype.itemsize]
    w = w - shift
    z = sqrt2 * (reduce(lambda p, c: c + p * w, coefficients[1:], coefficients[0]) * u)
    two = np.asarray(2, dtype)
    limit = np.nextafter(two, np.zeros((), dtype))
    return lax.clamp(-limit, z, limit)


def _draw(word, mean, std, low, high):
    """The draw, and what its derivative needs: outward distance (signed), alpha, widths."""
    dtype = jnp.result_type(mean)
    info = jnp.finfo(dtype)
    k, coefficients = _MILLS[info.dtype.itemsize]
    standard = (low == mean - 2.0 * std) & (high == mean + 2.0 * std) & (std > 0.0)
    # Constants must not be folded: the compiler's own arithmetic rounds differently.
    mean, std, low, high = lax.optimization_barrier((mean, std, low, high))

    anchor = jnp.minimum(jnp.maximum(mean, low), high)
    # Where std is beyond all measure the density is flat: a smaller unit does as well
    # and nothing underflows. Halves keep bounds of +-3e38 from overflowing.
    least = 2.0 * info.tiny
    std_up = jnp.maximum(std, least)
    alpha = kept(jnp.minimum(jnp.abs(0.5 * anchor - 0.5 * mean) / (0.5 * std_up), _FAR))
    flat = 1e10 if info.bits == 32 else 1e17
    unit = jnp.minimum(std, (high - low) * (flat * (1.0 + alpha)))
    unit_up = jnp.maximum(unit, least)
    d_low = kept(jnp.minimum((0.5 * anchor - 0.5 * low) / (0.5 * unit_up), _FAR))
    d_high = kept(jnp.minimum((0.5 * high - 0.5 * anchor) / (0.5 * unit_up), _FAR))

    # The words below `split` belong to the side below the anchor.
    mass_low, beyond_low, m = _side(alpha, d_low, k, coefficients)
    mass_high, beyond_high, _ = _side(alpha, d_high, k, coefficients)
    total = 2.0**info.bits
    share = kept(mass_low / (mass_low + mass_high)) * total
    all_low = share >= total  # does not fit the word's type
    split = jnp.where(all_low, 0.0, share).astype(word.dtype)
    exact = split.astype(dtype)
    below = (word < split) | all_low
    inner = jnp.where(below, split - 1 - word, word - split)  # draws nearer the anchor
    outer = jnp.where(below, word, ~word)  # draws further out
    unit_low = kept(1.0 / jnp.where(all_low, total, exact))
    unit_high = kept(1.0 / (total - exact))
    part = jnp.where(below, unit_low, unit_high)

    mass = jnp.where(below, mass_low, mass_high)
    beyond = jnp.where(below, beyond_low, beyond_high)
    v = kept(_part(inner, part) * mass)
    q = kept(jnp.where(v < 0.5, 1.0 - v, beyond + _part(outer, part) * mass))
    d = _distance(_minus_log(q, v), alpha, m, k, coefficients)

    z = jnp.where(standard, two_sigma(word, dtype), jnp.where(below, -d, d))
    z = kept(z)  # also so that nothing merges into its sqrt(2)
    x = anchor + unit * z
    # A bound of exactly 0 is no result of a continuous draw: the smallest number is.
    spread = jnp.where(std > 0.0, info.tiny, 0.0).astype(dtype)
    x = jnp.maximum(x, jnp.where(low == 0.0, spread, low))
    x = jnp.minimum(x, jnp.where(high == 0.0, -spread, high))
    return x, (z, alpha, d_low, d_high)


@jax.custom_jvp
@jax.jit  # one compiled program for eager calls too: op by op, last bits would differ
def truncated_normal(word, mean, std, low, high):
    """Normal draws restricted to [low, high], one per word.

    `word`: uint32 for float32 draws, uint64 for float64. The parameters are in that
    float dtype, scalars or of the words' rank; low < high, either may be infinite,
    std >= 0 (0: the mean, brought to the nearest bound). NaN in any of them gives NaN.
    Differentiable once in all four, the word held fixed.
    """
    return _draw(word, mean, std, low, high)[0]


@truncated_normal.defjvp
def _derivative(primals, tangents):
    """The word held fixed: F(x; parameters) = u gives dx = -dF/f.

    With A, D_far, D_opposite the drops of the log density from the anchor to the draw,
    to the bound beyond it and to the other one, everything is a product or a sum of
    positive terms but for one difference, so narrow and distant intervals keep their
    digits too.
    """
    word, mean, std, low, high = primals
    _, mean_dot, std_dot, low_dot, high_dot = tangents
    x = truncated_normal(word, mean, std, low, high)
    _, (z, alpha, d_low, d_high) = _draw(word, mean, std, low, high)
    info = jnp.finfo(x.dtype)
    k, coefficients = _MILLS[info.dtype.itemsize]
    below = jnp.where(z == 0.0, d_high == 0.0, z < 0.0)
    d = jnp.abs(z)
    far = jnp.where(below, d_low, d_high)
    opposite = jnp.where(below, d_high, d_low)
    whole = np.asarray(2.0**-info.bits, x.dtype)
    outer = _part(jnp.where(below, word, ~word), whole)
    inner = _part(jnp.where(below, ~word, word), whole)

    loss, _ = _loss(alpha, d, k, coefficients)
    loss_far, _ = _loss(alpha, far, k, coefficients)
    mass_far, _, _ = _side(alpha, far, k, coefficients)
    mass_opposite, _, _ = _side(alpha, opposite, k, coefficients)
    a = d * (alpha + 0.5 * d)
    d_far = far * (alpha + 0.5 * far)
    d_opposite = opposite * (alpha + 0.5 * opposite)
    to_far = -(far - d) * (alpha + 0.5 * (far + d))  # A - D_far
    ratio = jnp.exp(to_far)

    by_far = inner * ratio  # dx/d(bound beyond the draw)
    by_opposite = outer * jnp.exp(a - d_opposite)  # dx/d(other bound)
    by_mean = (  # 1 - by_far - by_opposite
        -mass_opposite * jnp.expm1(to_far)
        - jnp.expm1(-d_opposite) * ((1.0 - loss) - ratio * (1.0 - loss_far))
        - loss * jnp.expm1(-d_far)
        - loss_far * (jnp.exp(-d_far) * jnp.expm1(a))
    ) / (mass_far + mass_opposite)
    by_std = (alpha + d) * by_mean + by_opposite * (d + opposite) - by_far * (far - d)
    x_dot = (
        by_mean * mean_dot
        + jnp.where(below, -by_std, by_std) * std_dot
        + jnp.where(below, by_far, by_opposite) * low_dot
        + jnp.where(below, by_opposite, by_far) * high_dot
    )
    return x, x_dot


@jax.jit
def exponential(word):
    """Standard exponential draws from all bits of the words: never 0, both tails honest.

    uint32 gives float32 in [1.2e-10, 22.9], uint64 float64 in [2.7e-20, 45.1].
    """
    dtype = jnp.float32 if word.dtype == jnp.uint32 else jnp.float64
    small = _part(jnp.minimum(word, ~word), np.asarray(2.0 ** -jnp.finfo(dtype).bits, dtype))
    lower = word <= ~word  # near 0
    return _minus_log(jnp.where(lower, 1.0 - small, small), jnp.where(lower, small, 1.0))
