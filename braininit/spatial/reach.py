"""How far a profile reaches: where it is small for good, and what a picture of it shows."""

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

_FAR = 12  # times all lengths together: a Gaussian is 0 there, a power law nearly
_LEFT = 0.01  # of the profile's range: less is not seen


def reach(form: Any, numbers: Any, level: float) -> float:
    """A distance beyond which a form is at most `level` in absolute value.

    Infinite if none is known, negative infinity if it is so everywhere.
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
            ends.append(_asked(form, max(level, _NOTHING), *map(float, parameters)))
        return min(map(float, ends), default=math.inf)
    op, *forms = form
    left, right = zip(forms, numbers, strict=True)
    factor = [abs(float(n)) if its is None and _is_number(n) else None for its, n in (left, right)]
    if op == "*":
        for one, other in ((0, right), (1, left)):
            if (times := factor[one]) is not None:
                return reach(*other, _ratio(level, times)) if times < math.inf else math.inf
        if None in forms:
            return math.inf  # an array, or a traced number
        either = max(reach(*part, math.sqrt(level)) for part in (left, right))
        return min(either, reach(*left, 0.0), reach(*right, 0.0))
    last = float(numbers[1]) if factor[1] is not None else math.nan
    if op == "/":
        return reach(*left, level * abs(last)) if 0 < abs(last) < math.inf else math.inf
    if op == "**":
        root = _root(max(level, _NOTHING), last) if last > 0 else 0.0
        return reach(*left, root) if root >= _NOTHING else math.inf
    if (op == "max" and last <= level) or (op == "min" and last >= 0):
        return reach(*left, level)
    part = level if op in ("max", "min") else level / 2
    return max(reach(*left, part), reach(*right, part))


_NOTHING = 1e-300
"""A level that no sum or product of probabilities can tell from 0."""


def _asked(form: Any, *numbers: float) -> float:
    try:
        end = float(form._reach(*numbers))
    except (ArithmeticError, ValueError):  # as of a logarithm, for a level above the peak
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
    """The distance beyond which the values hardly change, and its unit; None where unknown.

    The scale is that of the profile's own lengths; how many of them count, the values tell.
    """
    lengths = dict(_lengths(profile, ""))
    if not lengths:
        return None
    unit, numbers = units.off(**lengths)
    scale = sum(float(np.max(x)) for x in map(np.asarray, numbers))
    if not (scale > 0 and np.isfinite(scale)):
        return None
    far = np.linspace(0, _FAR * scale, POINTS)
    # Beside a trace that may surround the call, not as a part of it.
    with jax.ensure_compile_time_eval():
        values = np.asarray(profile(units.on(far, unit)), np.float64)
    moving = np.abs(values - values[-1]) > _LEFT * np.ptp(values)
    last = far[min(np.flatnonzero(moving)[-1] + 1, far.size - 1)] if moving.any() else scale
    return float(1.15 * last), unit


def _lengths(profile: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The lengths among the parameters, and 1 over what counts per length."""
    for f in fields(profile):
        value, name = getattr(profile, f.name), f"{path}{f.name}"
        if isinstance(value, DistanceProfile):
            yield from _lengths(value, f"{name}.")
        elif value is not None and f.name in profile._lengths:
            yield name, value
        elif value is not None and f.name in profile._slopes:
            bare, unit = units.unwrap(name, value)
            yield name, units.on(1 / bare, units.inverse(unit))
