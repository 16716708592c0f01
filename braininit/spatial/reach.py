"""The reach of a profile: the distance beyond which it is small, and the range of its picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import brainunit as u
import jax
import numpy as np
from jax.core import Tracer

from braininit._params import units
from braininit._params.values import fields
from braininit.spatial.profile import DistanceProfile

__all__ = ["POINTS", "reach", "span"]

POINTS = 601  # at which a profile is evaluated

_FAR = 12  # times the sum of all lengths: a Gaussian is 0 there, a power law nearly
_VISIBLE = 0.01  # of the range of values: smaller differences are not seen


def reach(form: Any, numbers: Any, level: float) -> float:
    """A distance beyond which the absolute value of a form is at most `level`.

    Infinite if no such distance is known, negative infinity if the form is that small everywhere.
    """
    if level == math.inf:
        return -math.inf
    if form is None:
        small = _is_number(numbers) and abs(float(numbers)) <= level
        return -math.inf if small else math.inf
    if not isinstance(form, tuple):
        parameters, limit = numbers
        ends = [limit] if _is_number(limit) else []
        if form._reach is not None and all(_is_number(x) for x in parameters):
            ends.append(_kernel_reach(form, max(level, _NOTHING), *map(float, parameters)))
        return min(map(float, ends), default=math.inf)
    op, *forms = form
    left, right = zip(forms, numbers, strict=True)
    factors = [abs(float(n)) if f is None and _is_number(n) else None for f, n in (left, right)]
    if op == "*":
        for factor, other in ((factors[0], right), (factors[1], left)):
            if factor is not None:
                return reach(*other, _ratio(level, factor)) if factor < math.inf else math.inf
        if None in forms:
            return math.inf  # an array, or a traced number
        either = max(reach(*part, math.sqrt(level)) for part in (left, right))
        return min(either, reach(*left, 0.0), reach(*right, 0.0))
    number = float(numbers[1]) if factors[1] is not None else math.nan  # the right operand
    if op == "/":
        return reach(*left, level * abs(number)) if 0 < abs(number) < math.inf else math.inf
    if op == "**":
        root = _root(max(level, _NOTHING), number) if number > 0 else 0.0
        return reach(*left, root) if root >= _NOTHING else math.inf
    if (op == "max" and number <= level) or (op == "min" and number >= 0):
        return reach(*left, level)
    part = level if op in ("max", "min") else level / 2
    return max(reach(*left, part), reach(*right, part))


_NOTHING = 1e-300
"""A level so small that no sum or product of probabilities distinguishes it from 0."""


def _kernel_reach(form: Any, *numbers: float) -> float:
    try:
        end = float(form._reach(*numbers))
    except (ArithmeticError, ValueError):  # as a logarithm raises for a level above the peak
        return math.inf
    return math.inf if math.isnan(end) else end


def _ratio(level: float, factor: float) -> float:
    return level / factor if factor > 0 else math.inf


def _root(level: float, power: float) -> float:
    try:
        return level ** (1 / power)
    except ArithmeticError:
        return math.inf if level > 1 else 0.0


def _is_number(value: Any) -> bool:
    return value is not None and not isinstance(value, Tracer) and np.ndim(value) == 0


def span(profile: DistanceProfile) -> tuple[float, u.Unit | None] | None:
    """The distance beyond which the values hardly change, and its unit; None if unknown.

    Found by evaluating the profile at distances up to a multiple of its lengths.
    """
    lengths = dict(_lengths(profile, ""))
    if not lengths:
        return None
    unit, numbers = units.off(**lengths)
    scale = sum(float(np.max(x)) for x in map(np.asarray, numbers))
    if not (scale > 0 and np.isfinite(scale)):
        return None
    far = np.linspace(0, _FAR * scale, POINTS)
    # Eagerly, even while JAX traces.
    with jax.ensure_compile_time_eval():
        values = np.asarray(profile(units.on(far, unit)), np.float64)
    changing = np.abs(values - values[-1]) > _VISIBLE * np.ptp(values)
    last = far[min(np.flatnonzero(changing)[-1] + 1, far.size - 1)] if changing.any() else scale
    return float(1.15 * last), unit


def _lengths(profile: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the lengths among the parameters, and the inverses of those per length."""
    for f in fields(profile):
        value, name = getattr(profile, f.name), f"{path}{f.name}"
        if isinstance(value, DistanceProfile):
            yield from _lengths(value, f"{name}.")
        elif value is not None and f.name in profile._lengths:
            yield name, value
        elif value is not None and f.name in profile._slopes:
            bare, unit = units.unwrap(name, value)
            yield name, units.on(1 / bare, units.inverse(unit))
