"""Time several calls in turn, so that other work on the machine slows all of them alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

WARMING = 0.02  # seconds, at least one call; OpenMP threads spin for half of it after a call


class Claim(NamedTuple):
    """A figure and its limit; the table shows both, met or not."""

    what: str
    value: float
    limit: float
    at_least: bool = True
    others: tuple[float | None, ...] = ()  # the same figure in a jit and at other sizes

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def once(call: Callable[[], Any]) -> float:
    """Seconds of one call until its result is ready."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def in_turn(
    calls: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 21,
    seconds: float = 0.02,
    budget: float = 1e9,
    compiled: bool = False,
) -> dict[str, float]:
    """Median seconds of each call, measured round by round.

    A round repeats each call until it fills `seconds`, and waits for the last result. The median
    over rounds is the time that a user sees on a busy machine. With `seconds` 0 a round makes each
    call once and waits for it, because JAX would otherwise run several at once. `WARMING` seconds
    of uncounted calls precede it: threads of the previous call may still spin, its own may be
    asleep, and freed memory may be there or not. A call that would take more than `budget` seconds
    in all is left out of some rounds, spread evenly, but made at least three times.
    """
    repeats, turns = {}, {}
    seconds_of: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in calls.items():
        if not compiled:
            once(call)
        took = once(call)
        repeats[name] = max(1, int(seconds / max(took, 1e-6)))
        turns[name] = min(rounds, max(3, int(budget / max(took * repeats[name], 1e-6))))
    for turn in range(rounds):
        for name, call in calls.items():
            if turn * turns[name] // rounds == (turn + 1) * turns[name] // rounds:
                continue
            warming = 0.0
            while not seconds and warming < WARMING:
                warming += max(once(call), 1e-4)
            start = time.perf_counter()
            for _ in range(repeats[name]):
                out = call()
            jax.block_until_ready(out)
            seconds_of[name].append((time.perf_counter() - start) / repeats[name])
            del out
    return {name: statistics.median(times) for name, times in seconds_of.items()}


class Progress:
    """A progress bar for a group, on one line of stderr."""

    def __init__(self, group: str, steps: int) -> None:
        self.group, self.steps, self.done = group, steps, 0

    def step(self, what: str) -> None:
        bar = "#" * (24 * self.done // self.steps)
        line = f"\r{self.group:10s} [{bar:24s}] {self.done:3d}/{self.steps} {what:40s}"
        print(line, end="", file=sys.stderr, flush=True)
        self.done += 1

    def close(self) -> None:
        print("\r" + 90 * " " + "\r", end="", file=sys.stderr, flush=True)
