"""Time several things in turn, so that what else the machine does falls on all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax


def in_turn(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int = 21, seconds: float = 0.02
) -> dict[str, float]:
    """Median seconds of each call, taken round by round.

    A round makes as many calls as fill `seconds` and waits for the last result. The
    median over rounds is what a user sees on a machine that is not quiet.
    """
    repeats = {}
    for name, call in calls.items():
        jax.block_until_ready(call())  # compile
        start = time.perf_counter()
        jax.block_until_ready(call())
        once = time.perf_counter() - start
        repeats[name] = max(1, int(seconds / max(once, 1e-6)))
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                out = call()
            jax.block_until_ready(out)
            taken[name].append((time.perf_counter() - start) / repeats[name])
    return {name: statistics.median(times) for name, times in taken.items()}
