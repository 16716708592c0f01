"""Binomial and Poisson numbers from random words by rejection, in float32 or float64.

The probabilities p(k) of both are log-concave: the logarithm lies below each of its tangents. So
relative to the most likely number, `mode`, p(k) lies below an envelope: a flat top of height 1 with
a geometric tail on either side, each a tangent at sqrt(2) standard deviations from the mode. A
number is drawn from under the envelope and accepted with the ratio of p to the envelope: with
probability 0.88 for large means, and never below two thirds. That holds for all parameters, and
between bounds, where the bound nearest to the mode takes its place. All numbers are counted from
the mode, so that large numbers never cancel.

A draw has no derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._jax.rounding import round_here
from braininit._math.elementary import fraction, high_product, polynomial

__all__ = ["binomial", "draw", "poisson"]

_ROUNDS = 1000
"""After so many rounds no draw is pending: each accepts two thirds or more."""


class LogConcave(NamedTuple):
    """Log-concave probabilities of whole numbers, counted from the most likely one."""

    mode: Any
    low: Any
    """The lower bound less the mode."""
    high: Any
    """The upper bound less the mode."""
    spread: Any
    """The standard deviation."""
    ratio: Callable[[Any], Any]
    """``j -> log(p(mode + j) / p(mode))``."""
    up: Callable[[Any], Any]
    """``j -> log(p(mode + j + 1) / p(mode + j))`` for j >= 0."""
    down: Callable[[Any], Any]
    """``j -> log(p(mode - j - 1) / p(mode - j))`` for j >= 0."""


def poisson(mean: Any, low: Any, high: Any) -> LogConcave:
    """The Poisson distribution between two whole numbers, the lower one 0 or more."""
    mode = jnp.clip(jnp.floor(mean), low, high)
    past, z = mean - mode, mode + 1  # the first is exact

    def ratio(j: Any) -> Any:
        return _times(j, _log_quotient(mean, z, past - 1)) - _log_factorials(z, j)

    return LogConcave(
        mode, low - mode, high - mode, jnp.sqrt(mean), ratio,
        up=lambda j: _log_quotient(mean, z + j, past - 1 - j),
        down=lambda j: _log_quotient(mode - j, mean, -past - j),
    )  # fmt: skip


def binomial(n: Any, p: Any, low: Any, high: Any) -> LogConcave:
    """The binomial distribution between two whole numbers from 0 to n."""
    q = 1 - p
    mode = jnp.clip(jnp.floor((n + 1) * p), low, high)
    z, w = mode + 1, n - mode + 1
    past = _product_less(n + 1, p, mode)  # (n + 1) p - mode

    def ratio(j: Any) -> Any:
        odds = _log_quotient(p * w, q * z, past - q)
        return _times(j, odds) - _log_factorials(z, j) - _log_factorials(w, -j)

    return LogConcave(
        mode, low - mode, high - mode, jnp.sqrt(n * p * q), ratio,
        up=lambda j: _log_quotient((w - 1 - j) * p, (z + j) * q, past - 1 - j),
        down=lambda j: _log_quotient((mode - j) * q, (w + j) * p, -past - j),
    )  # fmt: skip


def draw(
    law: Callable[..., LogConcave],
    numbers: tuple[Any, ...],
    words: Callable[[Any], tuple[Any, Any, Any]],
    shape: tuple[int, ...],
) -> tuple[Any, Any]:
    """Draws of `poisson` or `binomial` as two addends, the mode and the distance from it.

    `words` maps the number of a round to its words, three for each draw.
    """
    mode = law(*numbers).mode
    pending = np.asarray(np.inf, mode.dtype)

    def attempt(state: tuple[Any, Any]) -> tuple[Any, Any]:
        # Without the barrier XLA would compute all envelopes beforehand, and store them.
        index, *parameters = lax.optimization_barrier((state[0], *numbers))
        j, accepted = _attempt(law(*parameters), *words(index))
        return state[0] + np.uint32(1), jnp.where((state[1] == pending) & accepted, j, state[1])

    # Within `shard_map` the initial state must vary over devices as words and numbers do.
    blank = jnp.full(shape, pending)
    for array in (words(np.uint32(0))[0], mode):
        blank = jnp.where(array < 0, pending, blank)
    _, distance = lax.while_loop(
        lambda state: (state[0] < _ROUNDS) & jnp.any(state[1] == pending),
        attempt,
        (jnp.uint32(0), blank),
    )
    return mode, jnp.where(distance == pending, jnp.nan, distance)


def _attempt(law: LogConcave, place: Any, spot: Any, luck: Any) -> tuple[Any, Any]:
    """A number from under the envelope, less the mode, and whether it is accepted."""
    right = _side(law.up, law.ratio, 1, law.spread, law.high)
    left = _side(law.down, law.ratio, -1, law.spread, -law.low)
    top = left.flat + right.flat + 1
    at = round_here(_unit(place) * (top + right.mass + left.mass))
    far = round_here(jnp.log(_unit(spot)))
    above, below = (
        round_here(side.flat + 1 + jnp.floor(far / side.slope)) for side in (right, left)
    )
    inside = at < top
    to_right = at < top + right.mass
    beyond = jnp.where(to_right, above, -below)
    j = round_here(jnp.where(inside, _below(top, spot) - left.flat, beyond))
    envelope = jnp.where(to_right, right.height(above), left.height(below))
    envelope = jnp.where(inside, jnp.zeros((), at.dtype), envelope)
    clipped = round_here(jnp.clip(j, law.low, law.high))
    accepted = (clipped == j) & (jnp.log(_unit(luck)) <= law.ratio(clipped) - envelope)
    return j, accepted | jnp.isnan(j)  # NaN parameters are accepted, to end the loop


class _Side(NamedTuple):
    """One side of the envelope: a flat top, then a geometric tail."""

    flat: Any  # how many numbers beside the mode the top covers
    mass: Any
    slope: Any
    touch: Any  # where the tail's logarithm is a tangent
    level: Any  # and its height there

    def height(self, j: Any) -> Any:
        """The logarithm of the tail at j."""
        return self.level + self.slope * (j - self.touch)


def _side(step: Callable[[Any], Any], ratio: Any, sign: int, spread: Any, room: Any) -> _Side:
    # Where the mode is a bound far out, the slope there says how far the numbers reach. Where the
    # top is flat, as between two equally likely numbers, the tail must begin beyond them.
    first = step(jnp.zeros_like(room))
    touch = jnp.minimum(math.sqrt(2) * spread, 1 / jnp.maximum(-first, 0))
    touch = jnp.where(first > -1, jnp.maximum(touch, 1), touch)
    touch = round_here(jnp.floor(jnp.minimum(touch, room)))
    level = jnp.minimum(ratio(sign * touch), 0)
    steepest = jnp.finfo(level.dtype).min / 2  # infinity times 0 would be NaN
    slope = jnp.where(touch < room, jnp.maximum(step(touch), steepest), steepest)
    flat = round_here(jnp.floor(touch - level / slope))
    side = _Side(flat, flat, slope, touch, level)
    return side._replace(mass=jnp.exp(side.height(flat + 1)) / -jnp.expm1(slope))


def _unit(word: Any) -> Any:
    """A number above 0 and up to 1."""
    bits = 8 * word.dtype.itemsize
    return fraction(word >> np.asarray(1, word.dtype), 1 - bits)


def _below(count: Any, word: Any) -> Any:
    """A whole number from 0 to count - 1."""
    scaled = jnp.minimum(jnp.floor(_unit(word) * count), count - 1)
    if word.dtype.itemsize == 8:
        return scaled
    # A float32 has too few digits to make ten thousand numbers equally likely.
    fits = count < 2.0**31
    whole = high_product(word, jnp.where(fits, count, 1).astype(jnp.uint32))
    return jnp.where(fits, whole.astype(count.dtype), scaled)


# ---------------------------------------------------------------- logarithms


def _log_factorials(z: Any, j: Any) -> Any:
    """log((z + j - 1)! / (z - 1)!) - j log(z), for whole numbers z >= 1 and z + j >= 1."""
    x = round_here(j / z)
    log, phi = _log_and_phi(x)
    return z * phi - 0.5 * log + (_stirling(z + j) - _stirling(z))


def _log_and_phi(x: Any) -> tuple[Any, Any]:
    """log(1 + x), and (1 + x) log(1 + x) - x, which is about x^2 / 2, to relative precision."""
    small = abs(x) < 0.25
    v = round_here(jnp.where(small, x, 0) / (2 + jnp.where(small, x, 0)))
    square, terms = round_here(v * v), 6 if x.dtype == np.dtype(np.float32) else 13
    rest = jnp.zeros_like(x)  # log(1 + x) = 2 v (1 + v^2 / 3 + v^4 / 5 + ...)
    for n in reversed(range(1, terms)):
        rest = square * (1 / (2 * n + 1) + rest)
    rest = round_here(rest)
    near = 2 * v + 2 * v * rest
    near_phi = 2 * v * (v + (1 + v) * rest) / (1 - v)
    log = round_here(jnp.log(jnp.where(small, 1, 1 + x)))
    return round_here(jnp.where(small, near, log)), jnp.where(small, near_phi, (1 + x) * log - x)


def _log_quotient(x: Any, y: Any, difference: Any) -> Any:
    """log(x / y), for a difference x - y that is known more accurately than x and y."""
    near = abs(difference) < 0.5 * y
    close = jnp.log1p(jnp.where(near, difference, 0) / jnp.where(near, y, 1))
    return jnp.where(near, close, jnp.where(x == 0, -jnp.inf, jnp.log(x) - jnp.log(y)))


def _times(j: Any, log: Any) -> Any:
    """J times a logarithm, which is infinite where only the mode is drawn."""
    return jnp.where(j == 0, 0, j * log)


_TABULATED = 16


def _stirling(z: Any) -> Any:
    """log((z - 1)!) less Stirling's (z - 1/2) log(z) - z + log(2 pi) / 2, for whole z >= 1."""
    y = round_here(1 / jnp.maximum(z, _TABULATED))
    series = y * polynomial(round_here(y * y), (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188))
    index = jnp.clip(z, 0, _TABULATED).astype(jnp.int32)
    return jnp.where(z < _TABULATED, jnp.asarray(_REST, z.dtype)[index], series)


_REST = np.array(
    [0.0]
    + [
        math.lgamma(z) - ((z - 0.5) * math.log(z) - z + 0.5 * math.log(2 * math.pi))
        for z in range(1, _TABULATED + 1)
    ]
)


def _product_less(x: Any, y: Any, z: Any) -> Any:
    """The difference x y - z, where z is close to the product: from exact products of halves."""
    info = jnp.finfo(x.dtype)
    half = (info.nmant + 1) // 2

    def halves(value: Any) -> tuple[Any, Any]:
        high = lax.reduce_precision(value, info.nexp, half - 1)
        return high, value - high

    (a, b), (c, d) = halves(x), halves(y)
    return ((round_here(a * c) - z) + round_here(a * d)) + (round_here(b * c) + b * d)
