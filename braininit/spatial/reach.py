"""How far a profile reaches: the distances that a picture of it shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import brainunit as u
import jax
import numpy as np

from braininit._params import units
from braininit._params.values import fields
from braininit.spatial.profile import DistanceProfile

__all__ = ["POINTS", "reach"]

POINTS = 601  # at which a profile is evaluated

_FAR = 12  # times all lengths together: a Gaussian is 0 there, a power law nearly
_LEFT = 0.01  # of the profile's range: less is not seen


def reach(profile: DistanceProfile) -> tuple[float, u.Unit | None] | None:
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
