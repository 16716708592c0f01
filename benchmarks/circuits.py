"""What it costs to draw published circuits: the microcircuit at full scale, and Brunel's network.

Each edge gets both indices, a weight and a delay in steps. NumPy draws the same laws. All draw
projection by projection and keep none, in turn, each in a process of its own, as programs would
be compiled once and kept. ``python -m benchmarks.circuits WHO CIRCUIT`` is such a process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import brainunit as u
import jax
import numpy as np

import braininit as init
from benchmarks.peers import OURS
from benchmarks.timing import Claim, Progress

CIRCUITS = {"potjans_diesmann": 298_880_970, "brunel": 15_625_000}
CALLED, NUMPY, SINGLE = f"{OURS}, called", "NumPy", "NumPy, standard_normal in float32"
STEP = 0.1 * u.ms
EDGE = 2 + 2 + 4 + 1
"""Bytes: two indices of 16 bits, a weight in float32, a delay of 8 bits."""


# ---------------------------------------------------------------- who draws


def ours(projection: Any, key: Any) -> Any:
    return projection.numpy(key, dtype="uint16", step=STEP)


def called(projection: Any, key: Any) -> Any:
    """As arrays of JAX's."""
    return jax.block_until_ready(projection(key, dtype="uint16", step=STEP))


def theirs(projection: Any, rng: np.random.Generator, single: bool = False) -> Any:
    """`integers`, `normal` and redraws, as scripts have it; in-degrees are exact by `repeat`."""
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
        mean, std = (float((x / unit).mantissa) if False else _in(x, unit) for x in (law.mean, law.std))
        x = normal(mean, std, count)
        while (again := np.flatnonzero(bad(x))).size:
            x[again] = normal(mean, std, again.size)
        return x

    if isinstance(projection.weights, init.Constant):
        weights = np.full(count, _in(projection.weights.value, u.mV), np.float32)
        steps = round(_in(projection.delays.value, u.ms) / 0.1)
        return pre, post, weights, np.full(count, steps, np.uint8)
    base = projection.weights.base
    sign = np.sign(_in(base.mean, u.pA))
    weights = redrawn(base, u.pA, lambda x: x * sign < 0).astype(np.float32, copy=False)
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


# ---------------------------------------------------------------- a process of its own


def _told(who: str, name: str, quick: bool) -> dict[str, float]:
    """Seconds of the whole circuit, first and again, and bytes beside the largest projection."""
    jax.block_until_ready(jax.random.key(0))  # JAX is started
    circuit = getattr(init.presets, name)()
    projections = circuit.projections[-8:] if quick else circuit.projections
    before = _peak()

    def whole(seed: int) -> tuple[float, float]:
        start, cpu = time.perf_counter(), time.process_time()
        for projection in projections:
            WHO[who](projection, seed)
        return time.perf_counter() - start, time.process_time() - cpu

    first, first_cpu = whole(0)
    again = [whole(seed) for seed in (1, 2)]
    peak = _peak() - before
    largest = EDGE * max(_count(p) for p in projections)
    return {
        "first": first,
        "first_cpu": first_cpu,
        "again": min(a for a, _ in again),
        "again_cpu": min(b for _, b in again),
        "edges": sum(_count(p) for p in projections),
        "peak": peak,
        "largest": largest,
    }


def _count(projection: Any) -> int:
    rule = projection.rule
    if isinstance(rule, init.FixedInDegree):
        return rule.degree * projection.target.size
    return rule.number


def _peak() -> int:
    """The most bytes that the process has had in memory."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _alone(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.circuits", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])
