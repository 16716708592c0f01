"""The cost of an eager call: objects with units against jax.random and the bare sampler."""

from __future__ import annotations

import functools
from typing import Any

import brainunit as u
import jax
import numpy as np

from benchmarks.peers import CASES, PLAIN, RANDOM, absent
from benchmarks.timing import Claim, Progress, in_turn

SIZE = 1000
JAX = "0.5 + 0.15 * jax.random.normal"


def compiled_sampler(case: Any, size: int) -> Any:
    """A call of the compiled sampler that an eager call ends in, without everything around it."""
    from braininit._engine import sampler

    seen = {}
    original = sampler._program

    def spy(*static: Any) -> Any:
        def call(*arguments: Any) -> Any:
            seen["call"] = (original(*static), arguments)
            return original(*static)(*arguments)

        return call

    sampler._program = spy
    try:
        case.make(u.nS)(size, rng=jax.random.key(0))
    finally:
        sampler._program = original
    program, arguments = seen["call"]
    return lambda: program(*arguments)


def run(quick: bool = False) -> dict[str, Any]:
    """Time everything in turn; return microseconds and claims."""
    key, generator = jax.random.key(0), np.random.default_rng(0)
    progress = Progress("eager", 1)
    progress.step(f"{SIZE} numbers with a unit")
    calls: dict[str, Any] = {JAX: lambda: 0.5 + 0.15 * jax.random.normal(key, (SIZE,))}
    for case in CASES:
        obj = case.make(u.nS)
        calls[f"{case}"] = functools.partial(obj, case.fit(SIZE), rng=key)
        if case in RANDOM:
            calls[f"{case} sampler"] = compiled_sampler(case, SIZE)
            calls[f"{case} x1"] = lambda obj=obj: obj(1, rng=key)
            calls[f"{case} x1 NumPy"] = lambda obj=obj: obj(1, rng=generator)
    calls |= _braintools(generator)
    took = in_turn(calls, rounds=5 if quick else 31, seconds=0.01, budget=0.5)
    progress.close()
    took = {name: 1e6 * seconds for name, seconds in took.items()}
    return {"microseconds": took, "claims": _claims(took)}


def _braintools(generator: np.random.Generator) -> dict[str, Any]:
    """BrainTools' objects with the same parameters, with its default rng and with NumPy's."""
    if "BrainTools" in absent():
        return {}
    from braintools import init

    calls: dict[str, Any] = {}
    for case in PLAIN:
        if hasattr(init, str(case)):
            obj = getattr(init, str(case))(**case.dressed(u.nS))
            calls[f"BrainTools {case}"] = lambda obj=obj: obj(SIZE)
            calls[f"BrainTools {case}, NumPy rng"] = lambda obj=obj: obj(SIZE, rng=generator)
    return calls


def _claims(took: dict[str, float]) -> list[Claim]:
    claims = []
    for name in ("Normal", "Uniform"):
        claims.append(Claim(f"eager {name}: times {JAX}", took[JAX] / took[name], 1.0))
        for suffix, limit in ((", NumPy rng", 3.0), ("", 20.0)):
            peer = f"BrainTools {name}{suffix}"
            if peer in took:
                claims.append(Claim(f"eager {name}: times {peer}", took[peer] / took[name], limit))
    for case in RANDOM:
        extra = took[f"{case}"] - took[f"{case} sampler"]
        claims.append(Claim(f"eager {case}: us above its compiled sampler", extra, 15.0, False))
    ratio = took["Normal x1 NumPy"] / took["Normal x1"]
    what = "eager Normal, size 1: NumPy Generator, of the same with a key"
    claims.append(Claim(what, ratio, 1.5, at_least=False))
    return claims


def show(result: dict[str, Any]) -> list[str]:
    took = result["microseconds"]
    lines = [
        "| eager call | braininit | its compiled sampler | 1 number | 1 number, NumPy rng "
        "| BrainTools | BrainTools, NumPy rng |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    suffixes = ("{}", "{} sampler", "{} x1", "{} x1 NumPy")
    suffixes += ("BrainTools {}", "BrainTools {}, NumPy rng")
    for case in CASES:
        cells = [took.get(suffix.format(case)) for suffix in suffixes]
        shown = " | ".join("-" if cell is None else f"{cell:,.0f}" for cell in cells)
        lines.append(f"| {case} | {shown} |")
    reference = f"`{JAX}` took {took[JAX]:.0f}."
    return [f"### {SIZE:,} numbers with a unit, eagerly, microseconds", "", *lines, "", reference]
