"""Truncated normal draws, one random word each.

Draws are pure, elementwise and without branches, so they fuse with the code before and after. They
are accurate for every pair of bounds, because no two values of the distribution function are
subtracted:

- The anchor is the point of [low, high] nearest to the mean, at a distance of alpha std from it.
  Draws are computed from the anchor outwards.
- The mass of each side, as a fraction of Q(alpha) (Q: the normal's survival function, phi: its
  density), comes from the Mills ratio m = Q/phi by a divided difference, which keeps its relative
  precision for the narrowest interval.
- The word picks the side and the survival q beyond the draw; E = -log q.
- The distance d with Q(alpha + d)/Q(alpha) = exp(-E) comes from one rational function, of relative
  error 1.8e-7 (9e-6 in float64's longer tail); float64 adds one Halley step, which leaves rounding.

A `Cut` holds all numbers that don't depend on the word. NumPy computes it beforehand for plain
numbers; it is computed once for traced scalars, and in the loop for arrays of parameters.

With scalar bounds exactly 2 std below and above the mean, draws equal `jax.random.truncated_normal`
bit for bit, as the scaled initializers need. ``benchmarks/fits/truncated.py`` makes the tables.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.cpu.erf_inv import central_erf_inv
from braininit._jax.rounding import round_here
from braininit._math.elementary import (
    ARRAYS,
    KNOWN,
    LOG2_E,
    TRACED,
    exp2_digits,
    exponent,
    log,
    over,
    polynomial,
    where,
)

# Hazard 1/m(x) = x + N(x)/D(x): powers of x, lowest first, without the highest, which are 1.
_HAZARD_N_32 = (2.198341014e02, 1.562379453e02, 5.534450034e01, 1.080067858e01)

_HAZARD_D_32 = (2.755211868e02, 3.212957575e02, 1.780494275e02, 5.733871428e01, 1.080070599e01)

_HAZARD_N_64 = (
    6.2427386585184364e06,
    8.7100139296255894e06,
    6.1566883860544758e06,
    2.8374942975452710e06,
    9.3317717590329330e05,
    2.2735843509298255e05,
    4.1441273599710359e04,
    5.5803808321552315e03,
    5.3285916691094371e02,
    3.2794268545251001e01,
)

_HAZARD_D_64 = (
    7.8241126162871579e06,
    1.4479715889637509e07,
    1.3241826984313630e07,
    7.7963507932050182e06,
    3.2601067066877019e06,
    1.0129045530364726e06,
    2.3832243147805988e05,
    4.2500991929011674e04,
    5.6459693692782694e03,
    5.3485916691085185e02,
    3.2794268545251043e01,
)

# d = E m N(y, c)/D(y, c), y = E m^2, c = 1 - alpha m: rows of powers of c, one for each power of y.
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

# By bytes of the dtype: N, D, and an x so large that N/D, nearly 1/x, is below its rounding.
_HAZARD = {4: (_HAZARD_N_32, _HAZARD_D_32, 2.0**12), 8: (_HAZARD_N_64, _HAZARD_D_64, 2.0**30)}

_FAR = 1e18  # std from the mean to the anchor: its square is finite in float32
_REACH = 16.0  # std from the anchor, further than any draw


def _part(count, unit):
    """(count + 1/2) unit: a mass that is never 0."""
    # A signed word converts in one instruction; for large counts rounding drops the half.
    bits = jnp.finfo(unit.dtype).bits
    signed = lax.bitcast_convert_type(count, np.dtype(f"int{bits}"))
    more = where(signed < 0, unit.dtype.type(2.0**bits), 0.5)
    return (signed.astype(unit.dtype) + more) * unit


class _Anchor(NamedTuple):
    """The terms that all divided differences of the Mills ratio from an anchor share."""

    alpha: Any
    x: Any  # alpha, capped where g no longer matters
    g: Any  # hazard less alpha, N(x)/D(x)
    hazard: Any
    m: Any  # Mills ratio, 1/hazard
    d: Any  # D(x)
    n_slope: list[Any]  # Horner's partial sums before N(x), highest power first
    d_slope: list[Any]  # and before D(x)


def _sums(x, coefficients, by):
    """Horner's partial sums for x^k and these lower powers; the last sum is the polynomial."""
    sums = [x + coefficients[-1]]
    for c in coefficients[-2::-1]:
        sums.append(by.exact(sums[-1] * x) + c)
    return sums


def _anchored(alpha, by=ARRAYS):
    """The terms that depend only on alpha."""
    n, d, large = _HAZARD[alpha.dtype.itemsize]
    x = by.xp.minimum(alpha, large)
    *n_slope, n = _sums(x, n, by)
    *d_slope, d = _sums(x, d, by)
    n, d = by.round_here(n), by.round_here(d)
    g = by.round_here(by.over(n, d))
    m = by.round_here(by.over(d, by.exact(alpha * d) + n))
    return _Anchor(alpha, x, g, by.round_here(alpha + g), m, d, n_slope, d_slope)


def _slope(x, sums, by):
    """The divided difference with these partial sums as coefficients."""
    return functools.reduce(lambda p, c: by.exact(p * x) + c, sums, 1.0)


def _mills_parts(d, at, by=ARRAYS):
    """1 - r and r = m(alpha + d)/m(alpha).

    Horner's partial sums of a polynomial are the coefficients of its divided difference, so two
    nearly equal Mills ratios are never subtracted.
    """
    x = at.x + d
    d_slope = by.round_here(_slope(x, at.d_slope, by))
    d_of_x = by.round_here(at.d + by.exact(d * d_slope))
    fall = by.exact(at.g * d_slope) - _slope(x, at.n_slope, by)  # of g, times D(x) / d
    loss, rest = by.exact(d * (d_of_x - fall)), by.exact(at.hazard * d_of_x)
    whole = by.round_here(loss + rest)
    rate = by.round_here(by.over(by.xp.ones_like(whole), whole))
    return by.round_here(loss * rate), by.round_here(rest * rate)


def _fall(d, alpha, by=ARRAYS):
    """exp(-d (alpha + d/2)), and 1 less it, each with full relative precision."""
    drop = d * (by.exact(alpha * -LOG2_E) + by.exact(d * (-0.5 * LOG2_E)))
    drop = by.xp.maximum(by.round_here(drop), -120.0)  # as good as infinity
    rest, k = exp2_digits(drop, jnp.finfo(drop.dtype).maxexp - 1, by)
    power = exponent(k, drop.dtype)
    return by.round_here(power + power * rest), by.round_here((1.0 - power) - power * rest)


def _side(d, at, by=ARRAYS):
    """Masses of [alpha, alpha + d] and beyond it, both divided by Q(alpha)."""
    loss, rest = _mills_parts(d, at, by)
    beyond, fallen = _fall(d, at.alpha, by)
    return by.exact(loss * beyond) + fallen, beyond * rest


def minus_log(q, v):
    """-log q, with full relative precision where q = 1 - v is given by a small v."""
    if q.dtype == jnp.float32:
        # q is above sqrt(1/2) where v < 0.29: there f in log(1 + f) is exactly -v.
        return round_here(log(round_here(q), lambda f: where(v < 0.29, -v, f), sign=-1))
    q = round_here(where(v < 0.5, 1.0 - v, q))
    tiny = jnp.finfo(q.dtype).tiny
    lost = jnp.maximum(1.0 - q, tiny)
    e = -jnp.log(q) * where(v < 0.5, v / lost, 1.0)
    return round_here(where(q == 1.0, v, e))


def _distance(e, cut):
    """The distance d with Q(alpha + d)/Q(alpha) = exp(-e)."""
    y = round_here(e * cut.m2)
    distance = round_here(e * cut.m * polynomial(y, cut.n) / polynomial(y, cut.d))
    if e.dtype == jnp.float32:
        return distance
    # Halley on log Q, whose first two derivatives are the hazard h and h (h - x).
    loss, rest = _mills_parts(distance, _anchored(cut.alpha))
    m = cut.m * rest
    step = round_here((distance * (cut.alpha + 0.5 * distance) - jnp.log1p(-loss) - e) * m)
    return distance - step * m / (m - 0.5 * step * (1.0 - m * (cut.alpha + distance)))


def two_sigma(word, dtype):
    """`jax.random.truncated_normal(key, -2, 2)` for the same word, operation by operation."""
    info = jnp.finfo(dtype)
    sqrt2 = np.asarray(math.sqrt(2), dtype)
    # Behind a barrier: erf folded at compile time may round differently.
    low, high = lax.optimization_barrier((np.asarray(-2, dtype), np.asarray(2, dtype)))
    low, high = lax.erf(low / sqrt2), lax.erf(high / sqrt2)
    bits = lax.shift_right_logical(word, np.asarray(info.bits - info.nmant, word.dtype))
    bits = lax.bitwise_or(bits, np.ones((), dtype).view(word.dtype))
    u = (lax.bitcast_convert_type(bits, dtype) - np.ones((), dtype)) * (high - low) + low
    z = sqrt2 * central_erf_inv(u)
    two = np.asarray(2, dtype)
    limit = np.nextafter(two, np.zeros((), dtype))
    return lax.clamp(-limit, z, limit)


def at_two_std(mean, std, low, high):
    """Whether the bounds are 2 std from the mean, where draws equal jax.random's."""
    return (low == mean - 2 * std) & (high == mean + 2 * std) & (std > 0)


class Cut(NamedTuple):
    """The numbers that all draws of a mean, a std and two bounds share."""

    low: Any
    high: Any
    anchor: Any
    unit: Any  # of distances from the anchor
    alpha: Any
    m: Any  # Mills ratio at alpha
    m2: Any  # its square
    share: Any  # the number of words that belong below the anchor
    word_mass: Any  # the mass of one word, divided by Q(alpha)
    beyond_low: Any  # mass beyond the bound, divided by Q(alpha)
    beyond_high: Any
    bottom: Any  # the least draw
    top: Any  # the greatest draw
    n: tuple[Any, ...]  # numerator of the inverse, in powers of y
    d: tuple[Any, ...]  # its denominator


def _steps(by, mean, std, low, high):
    """The anchor, a unit, and the distances of the mean and the bounds in that unit."""
    xp = by.xp
    # By comparison: a minimum, which handles NaN, takes five instructions.
    anchor = xp.where(mean < low, low, mean)
    anchor = xp.where(anchor > high, high, anchor)
    # Where std is huge the density is flat: a smaller unit gives the same draws, and no distance
    # underflows. Quarters keep bounds of +-3e38, and the inverse of such a unit, within the finite
    # normal numbers.
    unit = xp.minimum(std, (high - low) * 1e25)
    rate = by.round_here(4.0 / xp.maximum(unit, 2.0 * jnp.finfo(unit.dtype).tiny))

    def in_units(x, most):
        return by.round_here(xp.minimum(x * rate, most))

    start = 0.25 * anchor
    alpha = in_units(abs(start - 0.25 * mean), _FAR)
    d_low, d_high = (in_units(d, _REACH) for d in (start - 0.25 * low, 0.25 * high - start))
    return anchor, unit, alpha, d_low, d_high


def prepared(by, mean, std, low, high):
    """The cut of these parameters."""
    xp, info = by.xp, jnp.finfo(mean.dtype)
    anchor, unit, alpha, d_low, d_high = _steps(by, mean, std, low, high)
    at = _anchored(alpha, by)
    mass_low, beyond_low = _side(d_low, at, by)
    mass_high, beyond_high = _side(d_high, at, by)
    word_mass = by.round_here((mass_low + mass_high) * 2.0**-info.bits)
    c = by.round_here(at.g * at.m)  # 1 - alpha m

    def row(powers):  # by Horner's rule: no operation waits for it, and it loads fewer constants
        return by.round_here(functools.reduce(lambda p, q: q + by.exact(p * c), powers[::-1]))

    n, d = (tuple(map(row, rows)) for rows in (_INVERSE_N, _INVERSE_D))
    # A draw is never exactly at a bound of 0, but at the smallest number beside it.
    spread = xp.where(std > 0.0, info.tiny, 0.0).astype(mean.dtype)
    return Cut(
        low=low,
        high=high,
        anchor=anchor,
        unit=unit,
        alpha=alpha,
        m=at.m,
        m2=by.round_here(at.m * at.m),
        share=by.round_here(mass_low / word_mass),
        word_mass=word_mass,
        beyond_low=beyond_low,
        beyond_high=beyond_high,
        bottom=xp.where(low == 0.0, spread, xp.maximum(low, -info.max)),
        top=xp.where(high == 0.0, -spread, xp.minimum(high, info.max)),
        n=n,
        d=d,
    )


@functools.lru_cache(maxsize=1024)
def prepared_numbers(dtype, *parameters):
    """For plain numbers: whether draws equal jax.random's, and the cut as one array.

    Bit for bit the cut of traced numbers, but the first call takes a third of the time.
    """
    with np.errstate(all="ignore"):
        rounded = [dtype.type(p) for p in parameters]
        cut = prepared(KNOWN, *rounded)
        return bool(at_two_std(*rounded)), np.array(jax.tree.leaves(cut), dtype)


def unpacked(numbers):
    """The cut, from the array of `prepared_numbers`."""
    numbers = _unfolded(numbers)
    leaf = iter(jnp.unstack(numbers))
    single = {name: next(leaf) for name in Cut._fields[:-2]}
    n, d = (tuple(itertools.islice(leaf, len(rows))) for rows in (_INVERSE_N, _INVERSE_D))
    return Cut(**single, n=n, d=d)


def between(word, cut, standard=False):
    """The draws of a cut, and their distances from the anchor, negative below it.

    `standard`: whether draws equal jax.random's, from `at_two_std`.
    """
    dtype, total = cut.anchor.dtype, 2.0 ** jnp.finfo(cut.anchor.dtype).bits
    # The words below `split` belong to the side below the anchor.
    all_low = cut.share >= total  # the share does not fit the word's dtype
    split = where(all_low, 0.0, cut.share).astype(word.dtype)
    below = (word < split) | all_low
    inner = where(below, split - 1 - word, word - split)  # draws nearer the anchor
    outer = where(below, word, ~word)  # draws further out
    beyond = where(below, cut.beyond_low, cut.beyond_high)
    v = round_here(_part(inner, cut.word_mass))
    d = _distance(minus_log(_part(outer, cut.word_mass) + beyond, v), cut)

    z = where(below, -d, d)
    if standard is not False:
        z = jnp.where(standard, two_sigma(word, dtype), z)
    z = round_here(z)  # also keeps the unit from merging with the sqrt(2) in z
    x = cut.anchor + cut.unit * z
    x = where(x < cut.bottom, cut.bottom, x)
    return where(x > cut.top, cut.top, x), z


def _unfolded(constants):
    """Hide constants from XLA, whose constant folding rounds differently."""
    return lax.optimization_barrier(constants)


def _draw(word, *parameters):
    # Scalars only: the computation of an array parameter should fuse with the draw.
    parameters = tuple(p if jnp.ndim(p) else _unfolded(p) for p in parameters)
    if any(jnp.ndim(p) for p in parameters):
        return between(word, prepared(ARRAYS, *parameters))
    return between(word, prepared(TRACED, *parameters), at_two_std(*parameters))


@jax.jit  # compiled for eager calls too: op by op, last bits would differ
def truncated_normal(word, mean, std, low, high):
    """Normal draws restricted to [low, high], one per word.

    `word`: uint32 for float32 draws, uint64 for float64. The parameters have that float dtype, and
    are scalars or of the words' rank; low < high, either may be infinite, std >= 0 (0: the mean, or
    the nearest bound). NaN in any parameter gives NaN. With fixed words, draws are differentiable
    in all four, to any order.
    """
    return _derivable(word, mean, std, low, high)[0]


# ---------------------------------------------------------------- without bounds


def standard(word):
    """Standard normal draws, one per word, accurate in both tails as far out as words reach."""
    dtype = np.dtype(f"float{8 * word.dtype.itemsize}")
    _, cut = prepared_numbers(dtype, 0.0, 1.0, -math.inf, math.inf)
    return between(word, unpacked(cut))[0]


def word_below(z):
    """The word of a standard normal number: its cumulative probability times the number of words.

    Counted from the nearer tail, so that both tails keep their relative precision.
    """
    dtype, bits = z.dtype, jnp.finfo(z.dtype).bits
    _, beyond = _side(abs(z), _anchored(dtype.type(0), KNOWN))  # twice the tail
    most = np.nextafter(dtype.type(2.0 ** (bits - 1)), dtype.type(0))
    count = lax.min(round_here(beyond * dtype.type(2.0 ** (bits - 1))), most)
    count = count.astype(np.dtype(f"uint{bits}"))
    return jnp.where(z < 0, count, ~count)


# ---------------------------------------------------------------- derivatives


@jax.custom_jvp
def _derivable(word, *parameters):
    """The draw, and its distance from the anchor."""
    return _draw(word, *parameters)


@_derivable.defjvp
def _derivative(primals, tangents):
    """With the word fixed, F(x; parameters) = u gives dx = -dF/f.

    A, D_far and D_opposite are the drops of the log density from the anchor to the draw, to the
    bound beyond the draw and to the other bound. Everything but one difference is a product or a
    sum of positive terms, so narrow and distant intervals keep their digits. All parts have
    derivatives themselves, which gives higher orders.
    """
    word, *parameters = primals
    _, *dots = tangents
    mean_dot, std_dot, low_dot, high_dot = dots
    x, z = _derivable(word, *parameters)
    (alpha, d_low, d_high), (alpha_dot, d_low_dot, d_high_dot) = jax.jvp(
        _distances, parameters, dots
    )
    info = jnp.finfo(x.dtype)
    below = jnp.where(z == 0.0, d_high == 0.0, z < 0.0)
    d = jnp.where(below, -z, z)
    far, far_dot = (jnp.where(below, *pair) for pair in ((d_low, d_high), (d_low_dot, d_high_dot)))
    opposite, opposite_dot = (
        jnp.where(below, *pair) for pair in ((d_high, d_low), (d_high_dot, d_low_dot))
    )
    whole = np.asarray(2.0**-info.bits, x.dtype)
    outer = _part(jnp.where(below, word, ~word), whole)
    inner = _part(jnp.where(below, ~word, word), whole)

    at = _anchored(alpha)
    loss, rest = _mills_parts(d, at)
    loss_far, rest_far = _mills_parts(far, at)
    mass_far, _ = _side(far, at)
    mass_opposite, _ = _side(opposite, at)
    a = d * (alpha + 0.5 * d)
    d_far = far * (alpha + 0.5 * far)
    d_opposite = opposite * (alpha + 0.5 * opposite)
    to_far = -(far - d) * (alpha + 0.5 * (far + d))  # A - D_far
    ratio = jnp.exp(to_far)

    by_far = inner * ratio  # dx/d(bound beyond the draw)
    by_opposite = outer * jnp.exp(a - d_opposite)  # dx/d(other bound)
    by_mean = over(  # 1 - by_far - by_opposite
        -mass_opposite * jnp.expm1(to_far)
        - jnp.expm1(-d_opposite) * (rest - ratio * rest_far)
        - loss * jnp.expm1(-d_far)
        - loss_far * (jnp.exp(-d_far) * jnp.expm1(a)),
        mass_far + mass_opposite,
    )
    by_std = (alpha + d) * by_mean + by_opposite * (d + opposite) - by_far * (far - d)
    x_dot = (
        by_mean * mean_dot
        + jnp.where(below, -by_std, by_std) * std_dot
        + jnp.where(below, by_far, by_opposite) * low_dot
        + jnp.where(below, by_opposite, by_far) * high_dot
    )
    d_dot = by_far * far_dot - by_opposite * opposite_dot - by_mean * alpha_dot
    return (x, z), (x_dot, jnp.where(below, -d_dot, d_dot))


@jax.custom_jvp
def _distances(mean, std, low, high):
    """The distances of the mean and the bounds from the anchor, in the unit of `_steps`."""
    return _steps(TRACED, mean, std, low, high)[2:]


@_distances.defjvp
def _distances_jvp(primals, tangents):
    """Capped distances have derivative 0: those of open bounds, and all where std is 0."""
    mean, std, low, high = primals
    mean_dot, std_dot, low_dot, high_dot = tangents
    anchor, unit = _steps(TRACED, *primals)[:2]
    alpha, d_low, d_high = _distances(*primals)
    anchor_dot = jnp.where(mean < low, low_dot, jnp.where(mean > high, high_dot, mean_dot))
    unit_dot = jnp.where(unit < std, 1e25 * (high_dot - low_dot), std_dot)
    some = unit > 2.0 * jnp.finfo(unit.dtype).tiny
    unit = jnp.where(some, unit, 1.0)

    def moved(d, most, by):
        return jnp.where(some & (d < most), over(by - d * unit_dot, unit), 0.0)

    mean_by = jnp.where(mean < anchor, anchor_dot - mean_dot, mean_dot - anchor_dot)
    return (alpha, d_low, d_high), (
        moved(alpha, _FAR, mean_by),
        moved(d_low, _REACH, anchor_dot - low_dot),
        moved(d_high, _REACH, high_dot - anchor_dot),
    )
