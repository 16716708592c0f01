"""The cost of drawing published circuits: the microcircuit at full scale, and Brunel's network.

Each edge has two indices, a weight and a delay in steps. NumPy draws from the same distributions.
Every run draws projection by projection, keeps none, and is a separate process: the first time
includes compiling, and the memory is that of the process. ``python -m benchmarks.circuits WHO
CIRCUIT all`` is such a process.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brainunit as u
import jax
import numpy as np

import braininit as init
from benchmarks.peers import OURS
from benchmarks.timing import Claim, Progress

CIRCUITS = ("potjans_diesmann", "brunel, spread", "brunel")
CALLED, NUMPY, SINGLE = f"{OURS}, by calls", "NumPy", "NumPy, normals in float32"
STEP = 0.1 * u.ms
EDGE = 2 + 2 + 4 + 1
"""Bytes: two indices of 16 bits, a weight in float32, a delay of 8 bits."""


def circuit(name: str) -> init.Circuit:
    """A published circuit; with "spread", weights and delays are random as in the microcircuit.

    In Brunel's network they are the same for all edges, and only the indices are random.
    """
    which, _, spread = name.partition(", ")
    original = getattr(init.presets, which)()
    if not spread:
        return original

    def drawn(mean: Any, std: float, least: Any, most: Any = None) -> Any:
        return init.Normal(mean, std * abs(mean)).truncated(least, most)

    def changed(projection: Any) -> Any:
        weight, delay = projection.weights.value, projection.delays.value
        ends = (0 * u.mV, None) if weight > 0 * u.mV else (None, 0 * u.mV)
        delays = drawn(delay, 0.5, 0.05 * u.ms).on_grid(STEP)
        return dataclasses.replace(projection, weights=drawn(weight, 0.1, *ends), delays=delays)

    return dataclasses.replace(original, projections=(*map(changed, original.projections),))


# ---------------------------------------------------------------- the contestants


def ours(projection: Any, key: Any) -> Any:
    return projection.numpy(key, dtype="uint16", step=STEP)


def called(projection: Any, key: Any) -> Any:
    """Draw JAX arrays, by calling the projection."""
    return jax.block_until_ready(projection(key, dtype="uint16", step=STEP))


def theirs(projection: Any, rng: np.random.Generator, single: bool = False) -> Any:
    """`integers`, `normal` and redraws, as in scripts; `repeat` makes in-degrees exact."""
    n_pre, n_post = projection.sizes
    if isinstance(projection.rule, init.FixedInDegree):
        post = np.repeat(np.arange(n_post, dtype=np.uint16), projection.rule.degree)
    else:
        post = rng.integers(n_post, size=projection.rule.number, dtype=np.uint16)
    count = len(post)
    pre = rng.integers(n_pre, size=count, dtype=np.uint16)

    def normal(mean: float, std: float, size: int) -> np.ndarray:
        if not single:
            return rng.normal(mean, std, size)
        x = rng.standard_normal(size, dtype=np.float32)
        x *= std
        x += mean
        return x

    def redrawn(law: Any, unit: Any, bad: Callable[[Any], Any]) -> np.ndarray:
        mean, std = _in(law.mean, unit), _in(law.std, unit)
        x = normal(mean, std, count)
        while (again := np.flatnonzero(bad(x))).size:
            x[again] = normal(mean, std, again.size)
        return x

    if isinstance(projection.weights, init.Constant):
        weights = np.full(count, _in(projection.weights.value, u.mV), np.float32)
        steps = round(_in(projection.delays.value, u.ms) / 0.1)
        return pre, post, weights, np.full(count, steps, np.uint8)
    base = projection.weights.base
    unit = u.get_unit(base.mean)
    sign = np.sign(_in(base.mean, unit))
    weights = redrawn(base, unit, lambda x: x * sign < 0).astype(np.float32, copy=False)
    delays = redrawn(projection.delays.base_dist.base, u.ms, lambda x: x < 0.05)
    delays /= 0.1
    return pre, post, weights, np.rint(delays, out=delays).astype(np.uint8)


def _in(x: Any, unit: Any) -> float:
    return float(u.Quantity(x).to_decimal(unit))


WHO: dict[str, Callable[[Any, int], Any]] = {
    OURS: lambda p, seed: ours(p, jax.random.key(seed)),
    CALLED: lambda p, seed: called(p, jax.random.key(seed)),
    NUMPY: lambda p, seed: theirs(p, np.random.default_rng(seed)),
    SINGLE: lambda p, seed: theirs(p, np.random.default_rng(seed), single=True),
}


# ---------------------------------------------------------------- one process


def _measure(who: str, name: str, part: str) -> dict[str, float]:
    """Seconds to draw a circuit, first and again, or bytes that its largest projection takes."""
    jax.block_until_ready(jax.random.key(0))  # starts JAX
    projections = sorted(circuit(name).projections, key=_count)
    draw = WHO[who]
    if part == "memory":
        for projection in projections[:-1] if len(projections) < 8 else projections[7:12]:
            draw(projection, 0)  # compiles the programs, which are not to be counted
        before = _now()
        draw(projections[-1], 1)
        peak = _peak() - before
        return {"peak": peak / (EDGE * _count(projections[-1])), "process": _peak()}
    if part == "quick":
        projections = projections[:8]

    def whole(seed: int) -> tuple[float, float]:
        start, cpu = time.perf_counter(), time.process_time()
        for projection in projections:
            draw(projection, seed)
        return time.perf_counter() - start, time.process_time() - cpu

    first, again = whole(0), whole(1)
    return {
        "edges": sum(map(_count, projections)),
        "first": first[0],
        "first_cpu": first[1],
        "again": again[0],
        "again_cpu": again[1],
    }


def _count(projection: Any) -> int:
    rule = projection.rule
    if isinstance(rule, init.FixedInDegree):
        return rule.degree * projection.target.size
    return rule.number


def _peak() -> int:
    """The peak memory of the process in bytes, on Linux."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _now() -> int:
    """The present memory of the process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _in_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.circuits", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


# ---------------------------------------------------------------- comparisons


def run(quick: bool = False) -> dict[str, Any]:
    """Measure in several processes, started in turn; return the least figures."""
    timed = [(who, name, "quick" if quick else "all") for name in CIRCUITS for who in WHO]
    turns = timed * (1 if quick else 2) + [(*turn[:2], "memory") for turn in timed]
    progress = Progress("circuits", len(turns))
    times: dict[str, list[dict[str, float]]] = {}
    memory: dict[str, dict[str, float]] = {}
    for who, name, part in turns:
        progress.step(f"{name}, {who}")
        figures = _in_process(who, name, part)
        if part == "memory":
            memory[f"{name}, {who}"] = figures
        else:
            times.setdefault(f"{name}, {who}", []).append(figures)
    progress.close()
    took = {
        name: {what: min(run[what] for run in runs) for what in runs[0]} | memory[name]
        for name, runs in times.items()
    }
    return {"took": took, "claims": [c for name in CIRCUITS for c in _claims(took, name)]}


def _claims(took: dict[str, Any], name: str) -> list[Claim]:
    mine, theirs = took[f"{name}, {OURS}"], took[f"{name}, {NUMPY}"]
    return [
        Claim(f"{name}: times as fast as NumPy", theirs["again"] / mine["again"], 5.0),
        Claim(f"{name}: and the first time", theirs["first"] / mine["first"], 1.0),
        Claim(
            f"{name}: peak memory, of the largest projection",
            mine["peak"],
            1.2,
            False,
        ),
    ]


def show(result: dict[str, Any]) -> list[str]:
    lines = [
        "| circuit | edges | first time, s (of all cores) | again, s (of all cores) "
        "| ns an edge | peak, of the largest projection | the process with it, MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, took in result["took"].items():
        first = f"{took['first']:.2f} ({took['first_cpu']:.2f})"
        again = f"{took['again']:.2f} ({took['again_cpu']:.2f})"
        per_edge, edges = took["again"] / took["edges"] * 1e9, f"{took['edges']:,.0f}"
        memory = f"{took['peak']:.2f} | {took['process'] / 1e6:.0f}"
        lines.append(f"| {name} | {edges} | {first} | {again} | {per_edge:.2f} | {memory} |")
    return ["### Circuits", "", *lines]


if __name__ == "__main__":
    WHOSE, NAME, SIZE = sys.argv[1:]
    print(json.dumps(_measure(WHOSE, NAME, SIZE)))
