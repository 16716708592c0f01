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
  function, relative error 1.8e-7 (9e-6 in float64's longer tail); float64 adds
  one Halley step, which leaves rounding.

What does not depend on the word is a Cut, prepared beforehand: plain numbers by NumPy,
traced scalars once, a bound for each element in the loop itself.

With scalars at exactly -2 and 2 std the draw is jax.random.truncated_normal's, bit for
bit: the scaled initializers rest on it. ``benchmarks/fits/truncated.py`` makes the tables.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._dtypes import kept
from braininit._elementary import (
    ARRAYS,
    KNOWN,
    LOG2_E,
    TRACED,
    exp2_digits,
    exponent,
    log,
    polynomial,
)
from braininit._keys import eager

# Mills ratio: m(x) = t P(s), t = 1/(1 + x/k), s = 1 - 2t; P, lowest power first.
_MILLS_32 = (
    4.733047638e-01,
    -3.809425785e-01,
    2.426024903e-01,
    -1.168882819e-01,
    3.784713907e-02,
    -4.707592897e-03,
    -2.178365183e-03,
    9.799581140e-04,
    8.104285237e-05,
    -9.858604698e-05,
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

# d = E m N(y, c)/D(y, c), y = E m^2, c = 1 - alpha m: rows of powers of c, a row to each of y.
# The first rows are the same, so that near the anchor d is E m.
_INVERSE_N = (
    (1.0000000e00, 9.0961840e00, 1.6409472e01, 5.0983520e00),
    (2.4848068e00, 1.6212591e01, 1.8234373e01, 2.9253599e00),
    (1.7146013e00, 7.3956261e00, 4.8735448e00, 4.9604578e-01),
    (3.5968679e-01, 9.4006030e-01, 3.4774365e-01, 1.8891219e-02),
    (2.0029662e-02, 2.7939476e-02, 4.3589162e-03),
    (1.9619226e-04, 9.5799759e-05),
)

_INVERSE_D = (
    (1.0000000e00, 9.0961840e00, 1.6409472e01, 5.0983520e00),
    (2.9848022e00, 2.0261396e01, 2.3354045e01, 3.3167852e00),
    (2.7070478e00, 1.2818270e01, 8.7446215e00, 6.1085259e-01),
    (8.4527332e-01, 2.5768489e00, 9.9807165e-01, 3.9439275e-02),
    (8.2398557e-02, 1.4692934e-01, 2.8779639e-02),
    (1.9301965e-03, 1.6242033e-03, 7.1148574e-05),
    (4.6447268e-06, 5.8344625e-07),
)

_MILLS = {4: (4.0, _MILLS_32), 8: (5.0, _MILLS_64)}  # bytes of the dtype: k, P

# Further than any draw goes, yet its square is finite in float32.
_FAR = 1e18

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


class _Anchor(NamedTuple):
    """What the divided differences of the Mills ratio from an anchor share."""

    alpha: Any
    m: Any  # Mills ratio
    p: Any  # P(s) of the Mills ratio
    slope: list[Any]  # Horner's other partial sums, lowest power first
    inverse: Any  # 1/(2 k P(s))


def _anchored(alpha, by=ARRAYS):
    """Everything that depends on alpha alone."""
    k, coefficients = _MILLS[alpha.dtype.itemsize]
    t = by.kept(k / (k + alpha))
    s = 1.0 - 2.0 * t
    sums = [coefficients[-1] + 0.0 * s]
    for c in coefficients[-2::-1]:
        sums.append(by.exact(sums[-1] * s) + c)
    *slope, p = sums
    p = by.kept(p)
    inverse = by.kept((0.5 / k) / p)
    return _Anchor(alpha, by.kept(t * p), p, slope[::-1], inverse)


def _loss(d, at, by=ARRAYS):
    """1 - m(alpha + d)/m(alpha).

    Horner's partial sums for P(s) are the coefficients of P's divided difference: no
    difference of two nearly equal Mills ratios is ever taken.
    """
    k, _ = _MILLS[d.dtype.itemsize]
    t2 = by.kept(2.0 * k / (k + at.alpha + d))
    slope = polynomial(1.0 - t2, at.slope, by.exact)
    return by.kept(d * t2 * ((at.p - by.exact(t2 * slope)) * at.inverse))


def _fall(drop, by=ARRAYS):
    """exp(-drop), and what it lacks to 1, each with full relative precision."""
    drop = by.xp.minimum(drop * LOG2_E, 120.0)  # as good as infinity
    rest, k = exp2_digits(-drop, jnp.finfo(drop.dtype).maxexp - 1, by)
    power = exponent(k, drop.dtype)
    return by.kept(power + power * rest), by.kept((1.0 - power) - power * rest)


def _side(d, at, by=ARRAYS):
    """Mass of [alpha, alpha + d] and of what lies beyond, both divided by Q(alpha)."""
    loss = _loss(d, at, by)
    beyond, fallen = _fall(by.kept(d * (at.alpha + 0.5 * d)), by)
    return by.exact(loss * beyond) + fallen, beyond * (1.0 - by.xp.minimum(loss, 1.0))


def _minus_log(q, v):
    """-log q, with full relative precision where q = 1 - v is given by a small v."""
    if q.dtype == jnp.float32:
        near = v < 0.29  # there log(1 + f) has its f, -v, as it is
        q = kept(jnp.where(near, 1.0, q))
        return kept(log(q, lambda f: jnp.where(near, -v, f), sign=-1))
    q = kept(jnp.where(v < 0.5, 1.0 - v, q))
    tiny = jnp.finfo(q.dtype).tiny
    lost = jnp.maximum(1.0 - q, tiny)
    e = -jnp.log(q) * jnp.where(v < 0.5, v / lost, 1.0)
    return kept(jnp.where(q == 1.0, v, e))


def _distance(e, cut):
    """D with Q(alpha + d)/Q(alpha) = exp(-e)."""
    y = kept(e * cut.m2)
    distance = kept(e * cut.m * polynomial(y, cut.n) / polynomial(y, cut.d))
    if e.dtype == jnp.float32:
        return distance
    # Halley on log Q, whose first two derivatives are the hazard h and h (h - x).
    loss = _loss(distance, _anchored(cut.alpha))
    m = cut.m
    step = (distance * (cut.alpha + 0.5 * distance) - jnp.log1p(-loss) - e) * m * (1.0 - loss)
    step, m = kept(step), m * (1.0 - loss)
    return distance - step * m / (m - 0.5 * step * (1.0 - m * (cut.alpha + distance)))


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
    w = -lax.log1p(-(u * u))
    shift, coefficients = _ERF_INV[info.dtype.itemsize]
    w = w - shift
    z = sqrt2 * (functools.reduce(lambda p, c: c + p * w, coefficients[1:], coefficients[0]) * u)
    two = np.asarray(2, dtype)
    limit = np.nextafter(two, np.zeros((), dtype))
    return lax.clamp(-limit, z, limit)


def at_two_std(mean, std, low, high):
    """Whether the draw is to be jax.random.truncated_normal's."""
    return (low == mean - 2 * std) & (high == mean + 2 * std) & (std > 0)


class Cut(NamedTuple):
    """A mean, a std and two bounds, made ready: what all their draws share."""

    low: Any
    high: Any
    anchor: Any
    unit: Any  # of distances from the anchor
    alpha: Any
    m: Any  # Mills ratio at alpha
    m2: Any  # its square
    share: Any  # of the words, those that belong below the anchor
    mass: Any  # of the interval, divided by Q(alpha)
    beyond_low: Any  # mass beyond the bound, divided by Q(alpha)
    beyond_high: Any
    bottom: Any  # the least and the greatest draw
    top: Any
    n: tuple[Any, ...]  # the inverse's numerator, of powers of y
    d: tuple[Any, ...]  # its denominator


def _steps(by, mean, std, low, high):
    """The anchor, the unit, and in that unit how far the mean and the bounds are from it."""
    xp = by.xp
    anchor = xp.minimum(xp.maximum(mean, low), high)
    # Where std is beyond all measure the density is flat: a smaller unit does as well, for
    # the anchor's distance too, and nothing underflows. Quarters keep bounds of +-3e38, and
    # the inverse of such a unit, within the finite normal numbers.
    unit = xp.minimum(std, (high - low) * 1e25)
    rate = by.kept(4.0 / xp.maximum(unit, 2.0 * jnp.finfo(unit.dtype).tiny))

    def in_units(x):
        return by.kept(xp.minimum(x * rate, _FAR))

    start = 0.25 * anchor
    distances = abs(start - 0.25 * mean), start - 0.25 * low, 0.25 * high - start
    return anchor, unit, *map(in_units, distances)


def prepared(by, mean, std, low, high):
    """The cut of these parameters."""
    xp, info = by.xp, jnp.finfo(mean.dtype)
    anchor, unit, alpha, d_low, d_high = _steps(by, mean, std, low, high)
    at = _anchored(alpha, by)
    mass_low, beyond_low = _side(d_low, at, by)
    mass_high, beyond_high = _side(d_high, at, by)
    mass = by.kept(mass_low + mass_high)
    c = by.kept(1.0 - by.exact(alpha * at.m))

    def row(powers):  # by Horner's rule: nothing waits for it, and fewer constants are loaded
        return by.kept(functools.reduce(lambda p, q: q + by.exact(p * c), powers[::-1]))

    n, d = (tuple(map(row, rows)) for rows in (_INVERSE_N, _INVERSE_D))
    # A bound of exactly 0 is no result of a continuous draw: the smallest number is.
    spread = xp.where(std > 0.0, info.tiny, 0.0).astype(mean.dtype)
    return Cut(
        low=low,
        high=high,
        anchor=anchor,
        unit=unit,
        alpha=alpha,
        m=at.m,
        m2=by.kept(at.m * at.m),
        share=by.kept(mass_low / mass) * 2.0**info.bits,
        mass=mass,
        beyond_low=beyond_low,
        beyond_high=beyond_high,
        bottom=xp.where(low == 0.0, spread, xp.maximum(low, -info.max)),
        top=xp.where(high == 0.0, -spread, xp.minimum(high, info.max)),
        n=n,
        d=d,
    )


def known(kind, *parameters):
    """Of plain numbers: whether their draws are jax.random's, and the cut as one array.

    On the CPU bit for bit what tracing makes of them, but the compiler has half the work.
    """
    # An array that is on its device already takes half of an eager call's time away.
    return (_resident if eager() else _known)(kind, *parameters)


@functools.lru_cache(maxsize=1024)
def _resident(kind, *parameters):
    standard, numbers = _known(kind, *parameters)
    return standard, jax.device_put(numbers)


@functools.lru_cache(maxsize=1024)
def _known(kind, *parameters):
    with np.errstate(all="ignore"):
        given = [kind.type(p) for p in parameters]
        cut = prepared(KNOWN, *given)
        return bool(at_two_std(*given)), np.array(jax.tree.leaves(cut), kind)


def unpacked(numbers):
    """The cut of such an array."""
    numbers = _unfolded(numbers)
    leaf = (lax.index_in_dim(numbers, i, keepdims=False) for i in range(numbers.size))
    single = {name: next(leaf) for name in Cut._fields[:-2]}
    n, d = (tuple(itertools.islice(leaf, len(rows))) for rows in (_INVERSE_N, _INVERSE_D))
    return Cut(**single, n=n, d=d)


def within(word, cut, standard=False):
    """The draws of a cut, and how far outwards they are, negative below the anchor.

    `standard`: whether they are jax.random's, as `at_two_std` says.
    """
    dtype, total = cut.anchor.dtype, 2.0 ** jnp.finfo(cut.anchor.dtype).bits
    # The words below `split` belong to the side below the anchor.
    all_low = cut.share >= total  # does not fit the word's type
    split = jnp.where(all_low, 0.0, cut.share).astype(word.dtype)
    below = (word < split) | all_low
    inner = jnp.where(below, split - 1 - word, word - split)  # draws nearer the anchor
    outer = jnp.where(below, word, ~word)  # draws further out
    beyond = jnp.where(below, cut.beyond_low, cut.beyond_high)
    unit_mass = kept(cut.mass * (1.0 / total))
    v = kept(_part(inner, unit_mass))
    d = _distance(_minus_log(_part(outer, unit_mass) + beyond, v), cut)

    z = jnp.where(below, -d, d)
    if standard is not False:
        z = jnp.where(standard, two_sigma(word, dtype), z)
    z = kept(z)  # also so that nothing merges into its sqrt(2)
    x = cut.anchor + cut.unit * z
    x = jnp.where(x < cut.bottom, cut.bottom, x)
    return jnp.where(x > cut.top, cut.top, x), z


def _unfolded(constants):
    """Not for the compiler to calculate with: its own arithmetic rounds differently."""
    return lax.optimization_barrier(constants)


def _draw(word, *parameters):
    # Of scalars alone: what an array is made from shall be fused with the draw.
    parameters = tuple(p if jnp.ndim(p) else _unfolded(p) for p in parameters)
    if any(jnp.ndim(p) for p in parameters):
        return within(word, prepared(ARRAYS, *parameters))
    return within(word, prepared(TRACED, *parameters), at_two_std(*parameters))


@jax.custom_jvp
@jax.jit  # One compiled program for eager calls too: op by op, last bits would differ.
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
    word, *parameters = primals
    _, mean_dot, std_dot, low_dot, high_dot = tangents
    x = truncated_normal(word, *parameters)
    _, z = _draw(word, *parameters)
    _, _, alpha, d_low, d_high = _steps(TRACED, *parameters)
    info = jnp.finfo(x.dtype)
    below = jnp.where(z == 0.0, d_high == 0.0, z < 0.0)
    d = jnp.abs(z)
    far = jnp.where(below, d_low, d_high)
    opposite = jnp.where(below, d_high, d_low)
    whole = np.asarray(2.0**-info.bits, x.dtype)
    outer = _part(jnp.where(below, word, ~word), whole)
    inner = _part(jnp.where(below, ~word, word), whole)

    at = _anchored(alpha)
    loss, loss_far = _loss(d, at), _loss(far, at)
    mass_far, _ = _side(far, at)
    mass_opposite, _ = _side(opposite, at)
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
