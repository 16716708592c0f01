"""Time several things in turn, so that what else the machine does falls on all alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

WARMING = 0.02  # seconds; one call at least. OpenMP threads spin for half of it after a call


class Claim(NamedTuple):
    """A figure and the limit it is held to; the table shows both, met or not."""

    what: str
    value: float
    limit: float
    at_least: bool = True
    others: tuple[float | None, ...] = ()  # the same figure at other sizes, where it was taken

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def once(call: Callable[[], Any]) -> float:
    """Seconds of one call, its result waited for."""
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
    """Median seconds of each call, taken round by round.

    A round makes as many calls as fill `seconds` and waits for the last result. The
    median over rounds is what a user sees on a machine that is not quiet. With `seconds`
    0 every call is waited for, because JAX would run several at once otherwise, and comes
    after `WARMING` seconds of its own that are not counted: the threads of the call before
    still spin, or its own are asleep, and the memory it freed is there or not. A call that
    would take more than `budget` seconds in all sits out some rounds, spread evenly, but is
    made three times at least.
    """
    repeats, turns = {}, {}
    taken: dict[str, list[float]] = {name: [] for name in calls}
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
            taken[name].append((time.perf_counter() - start) / repeats[name])
            del out
    return {name: statistics.median(times) for name, times in taken.items()}


class Progress:
    """One line on stderr that says how far a group is."""

    def __init__(self, group: str, steps: int) -> None:
        self.group, self.steps, self.done = group, steps, 0

    def step(self, what: str) -> None:
        bar = "#" * (24 * self.done // self.steps)
        line = f"\r{self.group:10s} [{bar:24s}] {self.done:3d}/{self.steps} {what:40s}"
        print(line, end="", file=sys.stderr, flush=True)
        self.done += 1

    def close(self) -> None:
        print("\r" + 90 * " " + "\r", end="", file=sys.stderr, flush=True)
