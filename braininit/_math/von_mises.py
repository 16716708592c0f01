"""Von Mises draws within one turn around the mean, or a part of the turn, by `log_concave`.

The density falls on either side of the point of [low, high] nearest to the mean. Its logarithm is
concave only up to a quarter turn, so the iteration starts from a sum over the quadrature points:
two steps then reach float32's last digits, three float64's, for all concentrations from 0 on.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from braininit._math.elementary import polynomial
from braininit._math.families import Effort, Family
from braininit._math.log_concave import fixed

__all__ = ["VON_MISES"]


def _xp(x: Any) -> Any:
    return jnp if isinstance(x, jax.Array) else np


_EFFORT = {4: Effort(2, 12, 4, 2), 8: Effort(2, 20, 2, 3)}  # masses within 2e-7 and 1e-12


class VonMisesFall(NamedTuple):
    """The fall of the log density with the angle s, away from the mean."""

    concentration: Any
    anchor: Any  # the anchor's distance from the mean

    effort = _EFFORT
    is_log_concave = False

    def drop(self, s: Any) -> Any:
        half = 0.5 * _xp(s).minimum(s, math.pi - self.anchor)
        return self.concentration * (2.0 * _sine(half)) * _sine(self.anchor + half)

    def slope(self, s: Any) -> Any:
        return self.concentration * _sine(self.anchor + s)


def _sine(x: Any) -> Any:
    """The sine of x from 0 to pi."""
    x = _xp(x).minimum(x, math.pi - x)
    degrees = range(1, 14 if x.dtype == np.float32 else 22, 2)
    terms = [(-1) ** (n // 2) / math.factorial(n) for n in degrees]
    return x * polynomial(x * x, terms)


def _origin(shapes: Any, bounds: Any) -> tuple[Any, ...]:
    mean, low, high = bounds
    where = _xp(low).where
    return (where(mean < low, low, where(mean > high, high, mean)),)


def _falls(shapes: Any, origin: Any, bounds: Any) -> tuple[VonMisesFall, VonMisesFall]:
    anchor = abs(origin[0] - bounds[0])
    # A slope above 1e25 would only make masses underflow.
    most = fixed(1e25 / (anchor + 1e-13))
    fall = VonMisesFall(_xp(anchor).minimum(shapes[0], most), anchor)
    return fall, fall


def _reaches(origin: Any, bounds: Any) -> tuple[Any, Any]:
    return origin[0] - bounds[1], bounds[2] - origin[0]


def _others(x: Any, by_low: Any, by_high: Any, bounds: Any) -> tuple[Any, ...]:
    return (1.0 - by_low - by_high,)  # shifting the mean and the bounds shifts the draw as far


def _one_turn(bounds: Any) -> tuple[Any, Any, Any]:
    """The mean, and the bounds cut to half a turn on either side of the mean."""
    mean, low, high = bounds
    xp, pi = _xp(mean), mean.dtype.type(math.pi)
    half = pi if float(pi) <= math.pi else np.nextafter(pi, mean.dtype.type(0))
    return mean, xp.maximum(low, mean - half), xp.minimum(high, mean + half)


VON_MISES = Family(
    _origin,
    _falls,
    _reaches,
    moved=lambda origin, s, bounds: (origin[0] + s,),
    distance=lambda origin, x, bounds: x - origin[0],
    spacing=lambda x, bounds: jnp.ones_like(x),
    others=_others,
    is_near_zero=lambda origin: origin[0] > -np.inf,
    shapes=1,
    window=_one_turn,
)
