"""What a call costs eagerly: objects with units against jax.random and the bare sampler."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import brainunit as u
import jax
import numpy as np

from benchmarks.timing import in_turn

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from cases import CASES, RANDOM

SIZE = 1000


def compiled_sampler(case: Any, size: int) -> Any:
    """The compiled sampler an eager call ends in, called with nothing around it."""
    from braininit import _sampler

    seen = {}
    original = _sampler._sampler

    def spy(*static: Any) -> Any:
        def call(*arguments: Any) -> Any:
            seen["call"] = (original(*static), arguments)
            return original(*static)(*arguments)

        return call

    _sampler._sampler = spy
    try:
        case.make(u.nS)(size, rng=jax.random.key(0))
    finally:
        _sampler._sampler = original
    sampler, arguments = seen["call"]
    return lambda: sampler(*arguments)


def run(quick: bool = False) -> dict[str, Any]:
    """Time everything in turn; return microseconds, and what is to be held against what."""
    key, generator = jax.random.key(0), np.random.default_rng(0)
    calls: dict[str, Any] = {
        "0.5 + 0.15 * jax.random.normal": lambda: 0.5 + 0.15 * jax.random.normal(key, (SIZE,)),
    }
    for case in CASES:
        obj = case.make(u.nS)
        calls[f"{case}"] = lambda obj=obj: obj(SIZE, rng=key)
        if case in RANDOM:
            calls[f"{case} sampler"] = compiled_sampler(case, SIZE)
            calls[f"{case} x1"] = lambda obj=obj: obj(1, rng=key)
            calls[f"{case} x1 NumPy"] = lambda obj=obj: obj(1, rng=generator)
    took = in_turn(calls, rounds=7 if quick else 41)
    took = {name: 1e6 * seconds for name, seconds in took.items()}
    reference = took["0.5 + 0.15 * jax.random.normal"]
    claims = []
    for name in ("Normal", "Uniform"):
        claims.append((f"{name}, of 0.5 + 0.15 * jax.random.normal", took[name] / reference, 1.0))
    for case in RANDOM:
        extra = took[f"{case}"] - took[f"{case} sampler"]
        claims.append((f"{case}, us above its compiled sampler", extra, 15.0))
    ratio = took["Normal x1 NumPy"] / took["Normal x1"]
    claims.append(("Normal, size 1, NumPy Generator, of the same with a key", ratio, 1.5))
    return {"microseconds": took, "claims": claims}


def show(result: dict[str, Any]) -> str:
    lines = [f"{SIZE} numbers with a unit, eagerly, us", ""]
    lines += [f"  {us:8.1f}  {name}" for name, us in result["microseconds"].items()]
    lines += ["", "held against each other                                      is   at most"]
    lines += [f"  {name:56s} {value:6.2f}  {limit:6.2f}" for name, value, limit in result["claims"]]
    return "\n".join(lines)
