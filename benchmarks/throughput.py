"""Time per number of every distribution against every peer, from one number to 3e7.

Cold is the first call in this process, including tracing and compiling; warm is the median of
later calls. A peer is left out of a size that would take more than four seconds by its rate at
a smaller size.

Claims are made at 4e6 numbers for eager braininit against the others jitted. The report also has
braininit in a `jax.jit`, and figures at 1e6 and 3e7. At 1e6 a call may reuse memory that the call
before has freed, so that the temporary arrays of `jax.random` cost little; a model keeps its draws.
"""

from __future__ import annotations

import os
from typing import Any

import jax.numpy as jnp

from benchmarks import peers
from benchmarks.peers import OURS, THEIRS, eagerly
from benchmarks.timing import Claim, Progress, in_turn, once

SIZES = (1, 1_000, 1_000_000, 4_000_000, 30_000_000)
LARGE = SIZES[2:]
REFERENCE = 4_000_000  # the size of the claims
LONGEST = 4.0  # seconds a call may take

# Each claim: the rows, the least speed relative to jax.random, and relative to the best other peer.
CLAIMS: dict[str, tuple[tuple[str, ...], float, float | None]] = {
    "bits": (("bits",), 5.0, None),
    "uniform": (("Uniform", "Uniform, standard"), 5.0, 1.0),
    "normal": (("Normal",), 3.3, 1.4),
    "truncated normal, scalar bounds": (("TruncatedNormal",), 3.5, 4.0),
    "truncated normal, bounds per element": (("TruncatedNormal, bounds per element",), 2.0, 4.0),
    "exponential": (("Exponential",), 4.5, 2.2),
    "lognormal": (("LogNormal",), 3.0, 2.5),
    "weibull": (("Weibull",), 3.0, 2.5),
    "gamma, any shape": (
        ("Gamma", "Gamma, shape 0.5", "Gamma, shape 30", "Gamma, shape per element"),
        80.0,
        4.0,
    ),
    "beta": (("Beta",), 60.0, 5.0),
}


def run(quick: bool = False) -> dict[str, Any]:
    """Nanoseconds per number, warm and cold, by row, dtype, size and peer."""
    cases = {str(case) for case in peers.PLAIN}
    grid = [
        (row, dtype, n)
        for row in peers.ROWS
        for dtype in ("float32", "bfloat16")
        for n in SIZES
        if (n == REFERENCE and dtype == "float32")
        or (not quick and (row in cases or (n in LARGE and dtype == "float32")))
    ]
    progress = Progress("throughput", len(grid))
    figures = []
    for row, dtype, n in grid:
        progress.step(f"{row}, {dtype}, {n:.0e}")
        rates: dict[str, float] = {}
        for figure in figures:  # a peer left out of a size has its rate at a smaller one
            if figure["row"] == row and figure["size"] in LARGE:
                rates |= figure["warm"]
        figures.append({"row": row, "dtype": dtype, "size": n} | _one(row, dtype, n, rates, quick))
    progress.close()
    return {"figures": figures, "claims": _claims(figures), "one_core": _cores() == 1}


def _one(row: str, dtype: str, n: int, rates: dict[str, float], quick: bool) -> dict[str, Any]:
    calls = peers.calls(row, n, jnp.dtype(dtype))
    cold, too_long = {}, []
    for name in list(calls):
        if n > LARGE[0] and rates.get(name, 0) * n > LONGEST * 1e9:
            too_long.append(name)
            del calls[name]
        else:
            cold[name] = once(calls[name])
    if n < LARGE[0]:
        warm = in_turn(calls, rounds=7, seconds=0.01, compiled=True)
    else:
        rounds, budget = (15, 0.2) if quick else (31 if n < LARGE[-1] else 7, 0.5)
        warm = in_turn(calls, rounds=rounds, seconds=0, budget=budget, compiled=True)
    return {
        "warm": {name: 1e9 * seconds / n for name, seconds in warm.items()},
        "cold_ms": {name: 1e3 * seconds for name, seconds in cold.items()},
        "too_long": too_long,
    }


def warm(figures: list[dict[str, Any]], row: str, n: int, dtype: str = "float32") -> dict:
    """The nanoseconds of a row by peer; empty where it was not measured."""
    matches = (f["warm"] for f in figures if (f["row"], f["size"], f["dtype"]) == (row, n, dtype))
    return next(matches, {})


def best_other(took: dict[str, float]) -> str | None:
    """The fastest peer other than jax.random."""
    others = {k: v for k, v in took.items() if not k.startswith((OURS, THEIRS))}
    return min(others, key=others.__getitem__, default=None)


def _claims(figures: list[dict[str, Any]]) -> list[Claim]:
    claims = []
    for what, (rows, of_jax, of_best) in CLAIMS.items():
        for against, limit in (("jax.random", of_jax), ("the best other", of_best)):
            if limit is None:
                continue
            here, *others = (
                _worst(figures, rows, n, against, ours)
                for n, ours in (
                    (REFERENCE, eagerly(OURS)),
                    (REFERENCE, OURS),
                    (LARGE[0], eagerly(OURS)),
                    (LARGE[-1], eagerly(OURS)),
                )
            )
            if here is not None:
                claim = Claim(f"{what}: times {against}", here, limit, others=tuple(others))
                claims.append(claim)
    for case in peers.PLAIN if _cores() == 1 else ():
        took = warm(figures, str(case), REFERENCE)
        if "NumPy" in took and str(case) != "Uniform":
            ratio = took["NumPy"] / took[eagerly(OURS)]
            in_jit = took["NumPy"] / took[OURS]
            claim = Claim(f"{case}: times NumPy, one core", ratio, 1.0, others=(in_jit, None, None))
            claims.append(claim)
    return claims


def _worst(
    figures: list[dict[str, Any]], rows: tuple[str, ...], n: int, against: str, ours: str
) -> float | None:
    """The smallest ratio over the rows that were measured at this size."""
    ratios = []
    for row in rows:
        took = warm(figures, row, n)
        peer = THEIRS if against == "jax.random" else best_other(took)
        if peer in took:
            ratios.append(took[peer] / took.get(ours, took[OURS]))  # bits are only jitted
    return min(ratios, default=None)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
