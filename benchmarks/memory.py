"""Temporary memory of a compiled draw, by XLA's account: bytes per number."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from benchmarks import peers
from benchmarks.peers import KEY, OURS, THEIRS
from benchmarks.timing import Claim, Progress

SIZE = 1_000_000


def run(quick: bool = False) -> dict[str, Any]:
    dtypes = ("float32",) if quick else ("float32", "bfloat16")
    names = peers.GIVEN if quick else peers.ROWS
    rows = [(row, dtype) for row in names for dtype in dtypes]
    progress, figures = Progress("memory", len(rows)), []
    for row, dtype in rows:
        progress.step(f"{row}, {dtype}")
        both = [p for p in (OURS, THEIRS) if peers.jitted(p, row, 1, jnp.dtype(dtype))]
        took = {peer: _temporaries(peer, row, dtype) for peer in both}
        figures.append({"row": row, "dtype": dtype, "bytes": took})
    progress.close()
    worst = max(f["bytes"][OURS] for f in figures)
    claims = [Claim("temporaries, bytes per number", worst, 0.0, at_least=False)]
    return {"temporaries": figures, "claims": claims}


def _temporaries(peer: str, row: str, dtype: str) -> float:
    draw, arrays = peers.jitted(peer, row, SIZE, jnp.dtype(dtype))
    compiled = draw.lower(KEY, arrays).compile()
    # Rounding drops the few bytes of the key schedule, which are not per number.
    return round(compiled.memory_analysis().temp_size_in_bytes / SIZE, 2)


def show(result: dict[str, Any]) -> list[str]:
    lines = ["| draw | dtype | braininit | jax.random |", "|---|---|--:|--:|"]
    for f in result["temporaries"]:
        theirs = f["bytes"].get(THEIRS)
        cells = f"{f['bytes'][OURS]:g} | {'-' if theirs is None else format(theirs, 'g')}"
        lines.append(f"| {f['row']} | {f['dtype']} | {cells} |")
    return ["### Temporary memory, bytes per number", "", *lines]
