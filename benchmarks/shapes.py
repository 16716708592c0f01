"""Normals in shapes with short last axes and odd sizes, against `jax.random`."""

from __future__ import annotations

from typing import Any

import jax

import braininit as init
from benchmarks.peers import KEY, OURS, THEIRS, eagerly
from benchmarks.timing import Claim, Progress, in_turn

SIZE = 3_000_000
LAST = (2, 3, 10, 16, 30, 100, 1000)
SHAPES = ((SIZE,), (SIZE + 1,), *((SIZE // n, n) for n in LAST))


def run(quick: bool = False) -> dict[str, Any]:
    """Nanoseconds per number by shape; the calls of a shape are timed in turn."""
    progress, took = Progress("shapes", len(SHAPES)), {}
    for shape in SHAPES:
        progress.step(str(shape))
        calls = _calls(shape)
        seconds = in_turn(calls, rounds=5 if quick else 15, seconds=0, compiled=True)
        took[str(shape)] = {name: 1e9 * s / SIZE for name, s in seconds.items()}
    progress.close()
    worst = {p: min(t[THEIRS] / t[p] for t in took.values()) for p in (eagerly(OURS), OURS)}
    others = (worst[OURS], None, None)
    claim = Claim("normals of any shape: times jax.random", worst[eagerly(OURS)], 3.3, True, others)
    return {"nanoseconds": took, "claims": [claim]}


def _calls(shape: tuple[int, ...]) -> dict[str, Any]:
    ours = jax.jit(lambda key: init.normal(key, shape))
    theirs = jax.jit(lambda key: jax.random.normal(key, shape))
    calls = {
        OURS: lambda: ours(KEY),
        THEIRS: lambda: theirs(KEY),
        eagerly(OURS): lambda: init.normal(KEY, shape),
    }
    for call in calls.values():
        call()
    return calls


def show(result: dict[str, Any]) -> list[str]:
    peers = (eagerly(OURS), OURS, THEIRS)
    lines = [f"| shape | {OURS} | {OURS}, in a jit | {THEIRS} |", "|---|--:|--:|--:|"]
    for shape, took in result["nanoseconds"].items():
        lines.append(f"| {shape} | {' | '.join(f'{took[p]:.1f}' for p in peers)} |")
    return ["### Normals in other shapes, ns a number", "", *lines]
