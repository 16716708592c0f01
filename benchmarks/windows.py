"""Truncated distributions, against the same distributions without bounds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import braininit as init
from benchmarks.peers import KEY, OURS, eagerly
from benchmarks.timing import Claim, Progress, in_turn

SIZE = 4_000_000
TRACED, ARRAYS = "traced numbers", "bounds in arrays"
WINDOWS = {
    "gamma, in the body": (init.Gamma(2.0, 1.0), 0.5, 5.0),
    "gamma, mass 1e-37": (init.Gamma(2.0, 1.0), 90.0, None),
    "beta, in the body": (init.Beta(2.0, 5.0), 0.1, 0.9),
    "beta, mass 1e-300": (init.Beta(2.0, 500.0), 0.75, 0.8),
    "Weibull": (init.Weibull(2.0, 1.0), 0.5, 2.0),
    "lognormal": (init.LogNormal(1.0, 0.5), 0.3, 4.0),
    "exponential": (init.Exponential(1.0), 0.3, 3.0),
}


def run(quick: bool = False) -> dict[str, Any]:
    """Times relative to the whole distribution; the calls of a window are timed in turn."""
    progress, times = Progress("windows", len(WINDOWS)), {}
    for name, window in WINDOWS.items():
        progress.step(name)
        seconds = in_turn(_calls(*window), rounds=3 if quick else 9, seconds=0, compiled=True)
        whole = {by: seconds.pop(by + WHOLE) for by in (eagerly(OURS), OURS)}
        whole |= {TRACED: whole[OURS], ARRAYS: whole[OURS] * ARRAY_PART}
        times[name] = {by: s / whole[by] for by, s in seconds.items()}
    progress.close()
    claims = [
        Claim(
            f"truncated {what}: times the whole", max(t[by] for t in times.values()), limit, False
        )
        for what, by, limit in (
            ("as called", eagerly(OURS), 10.0),
            ("in a jit", OURS, 10.0),
            ("by traced numbers", TRACED, 10.0),
            ("by arrays", ARRAYS, 200.0),
        )
    ]
    return {"times": times, "claims": claims}


WHOLE = ", whole"
ARRAY_PART = 1 / 16  # of the numbers: with array bounds each draw is solved separately


def _calls(base: Any, low: float, high: float | None) -> dict[str, Any]:
    cut, number = init.Truncated(base, low, high), SIZE
    ends = (low,) if high is None else (low, high)
    whole, inside = (jax.jit(lambda key, obj=obj: obj(key, (number,))) for obj in (base, cut))
    traced = jax.jit(lambda key, *ends: init.Truncated(base, *ends)(key, (number,)))
    few = int(number * ARRAY_PART)
    arrays = jax.jit(lambda key, *ends: init.Truncated(base, *ends)(key, (few,)))
    ends_by_element = [jnp.full(few, end) for end in ends]
    calls = {
        eagerly(OURS): lambda: cut(KEY, (number,)),
        OURS: lambda: inside(KEY),
        TRACED: lambda: traced(KEY, *ends),
        ARRAYS: lambda: arrays(KEY, *ends_by_element),
        eagerly(OURS) + WHOLE: lambda: base(KEY, (number,)),
        OURS + WHOLE: lambda: whole(KEY),
    }
    for call in calls.values():
        jax.block_until_ready(call())
    return calls


def show(result: dict[str, Any]) -> list[str]:
    ways = (eagerly(OURS), OURS, TRACED, ARRAYS)
    lines = [f"| window | {' | '.join(ways)} |", "|---|" + "--:|" * len(ways)]
    for name, times in result["times"].items():
        lines.append(f"| {name} | {' | '.join(f'{times[way]:.1f}' for way in ways)} |")
    return ["### Truncated, times as long as the whole distribution", "", *lines]
