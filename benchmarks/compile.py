"""The cost of a first call: tracing and compiling one draw, and many in one program."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import braininit as init
from benchmarks import peers
from benchmarks.peers import KEY, OURS, THEIRS
from benchmarks.timing import Claim, Progress, once

SIZE = 1_000
LIMITS = {"100 differently shaped normals in one jit": 1 / 0.6}  # every other first call: 1


def run(quick: bool = False) -> dict[str, Any]:
    """Seconds of a first call with empty caches, braininit and JAX in turn."""
    many = 20 if quick else 100
    rows = [str(case) for case in peers.PLAIN][: 2 if quick else None]
    progress, took = Progress("compile", len(rows) + 1), {}
    for row in rows:
        progress.step(row)
        took[row] = _first_calls(lambda peer, row=row: _draw(peer, row), 1 if quick else 5)
    name = f"{many} differently shaped normals in one jit"
    progress.step(name)
    took[name] = _first_calls(lambda peer: _normals(peer, many), 1)
    progress.close()
    claims = [
        Claim(f"first call, {row}: times jax.random", t[THEIRS] / t[OURS], LIMITS.get(row, 1.0))
        for row, t in took.items()
    ]
    return {"seconds": took, "claims": claims}


def _first_calls(make: Callable[[str], Callable[[], Any]], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for _ in range(rounds):
        for peer, times in seconds.items():
            call = make(peer)
            jax.clear_caches()
            init.clear_caches()
            times.append(once(call))
    return {peer: statistics.median(times) for peer, times in seconds.items()}


def _draw(peer: str, row: str) -> Callable[[], Any]:
    draw, arrays = peers.jitted(peer, row, SIZE, jnp.dtype("float32"))
    return lambda: draw(KEY, arrays)


def _normals(peer: str, many: int) -> Callable[[], Any]:
    normal = init.normal if peer == OURS else jax.random.normal

    def draw(key: jax.Array) -> list[jax.Array]:
        keys = jax.random.split(key, many)
        return [normal(k, (7, i + 1)) for i, k in enumerate(keys)]

    compiled = jax.jit(draw)
    return lambda: compiled(KEY)


def show(result: dict[str, Any]) -> list[str]:
    lines = ["| first call | braininit, s | jax.random, s |", "|---|--:|--:|"]
    for name, took in result["seconds"].items():
        lines.append(f"| {name} | {took[OURS]:.2f} | {took[THEIRS]:.2f} |")
    return ["### First call: tracing and compiling, seconds", "", *lines]
