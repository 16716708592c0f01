"""Test draws against theory: ``python -m benchmarks.trust [--only NAME] [--draws 1e6]``.

Every distribution of `tests/cases.py` is drawn `--draws` times in float32, a tenth as often in
float64, bfloat16 and float16; mean and variance take ten times as many draws. ``--peers jax.random
NumPy`` runs the same battery on these peers, ``--peers`` alone on all of them. A run skips results
that it has for as many draws, unless `--only` names them or ``--again`` is given: interrupt it and
resume at any time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import peers
from benchmarks.report import RESULTS, machine
from benchmarks.trust import exact, keys, report
from benchmarks.trust.battery import LEVEL, WIDER, Verdict, judge
from benchmarks.trust.laws import DTYPES
from benchmarks.trust.subjects import BLOCK, OURS, Subject, ours, theirs

FULL = 1e8
PATIENCE = 30.0  # seconds for a peer's draws; slower peers draw fewer numbers


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trust",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="test only these distributions")
    parser.add_argument(
        "--draws", type=float, default=FULL, help="number in float32; by default 1e8"
    )
    parser.add_argument("--dtype", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--peers", nargs="*", metavar="PEER", help="test peers, and not braininit")
    parser.add_argument("--corners", action="store_true", help="test the corner parameters, too")
    parser.add_argument("--again", action="store_true", help="repeat tests that have a result")
    parser.add_argument(
        "--json",
        type=Path,
        help="file of the results, with the table beside it as .md; 1e8 draws have one in results/",
    )
    options = parser.parse_args()
    path = options.json
    if path is None and options.draws == FULL and not options.corners:
        path = RESULTS / "trust.json"
    results = json.loads(path.read_text()) if path and path.exists() else {}
    results = {"machine": machine(), "found": {}, "devices": {}, "promises": {}} | results
    if results["machine"] != machine():
        parser.error(f"{path} holds results of another machine or of other versions; move it")
    available = [name for name in PEERS if name.split(",")[0] not in peers.absent()]
    samplers = [OURS] if options.peers is None else options.peers or available
    if unknown := set(samplers) - {OURS, *available}:
        parser.error(f"no peer {sorted(unknown)}; there are {', '.join(available)}")

    def save() -> None:
        if path:
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(results, indent=1) + "\n")
            path.with_suffix(".md").write_text(report.document(results))

    for sampler, subject, name in _jobs(samplers, options):
        job = f"{sampler}, {subject.name}, {name}"
        draws = int(options.draws * subject.share / (1 if name == "float32" else 10))
        tested = results["found"].get(job, {}).get("asked") == options.draws
        if tested and not options.again and not options.only:
            continue
        start = time.perf_counter()
        with jax.enable_x64(name == "float64"):
            outcome = examine(sampler, subject, DTYPES[name], draws)
        if outcome is None:
            continue
        outcome["seconds"] = round(time.perf_counter() - start, 1)
        results["found"][job] = {
            "sampler": sampler,
            "case": subject.name,
            "dtype": name,
            "asked": options.draws,
        } | outcome
        failed = ", ".join(outcome["failed"]) or "passes"
        print(f"{job}: {outcome['draws']:.0e}, {failed}, {outcome['seconds']} s", file=sys.stderr)
        save()
    if (OURS in samplers and not (options.only or results["devices"])) or options.again:
        results["devices"] = exact.devices([str(case) for case in peers.CASES])
        results["promises"] = {name: exact.matrices(DTYPES[name]) for name in options.dtype}
        save()
    print(report.summary(results) if path else report.document(results))
    if report.failing(results):
        raise SystemExit(1)


PEERS = ("jax.random", "numpyro", "NumPy", "PyTorch", "BrainTools", "BrainTools, NumPy rng")


def _jobs(samplers: list[str], options: Any) -> Iterator[tuple[str, Subject, str]]:
    for sampler in samplers:
        subjects = ours(options.corners) if sampler == OURS else theirs(sampler)
        chosen = options.only or list(subjects)
        if unknown := [n for n in chosen if n not in subjects and sampler == OURS]:
            raise SystemExit(f"no {unknown} among {', '.join(subjects)}")
        for name in chosen:
            if name in subjects:
                yield from ((sampler, subjects[name], dtype) for dtype in options.dtype)


def examine(sampler: str, subject: Subject, dtype: np.dtype, draws: int) -> dict[str, Any] | None:
    """Run the whole battery on one subject; None if a peer does not draw this dtype."""
    wide = (WIDER - 1) * draws
    if sampler != OURS:
        seconds = _seconds_per_number(subject, dtype)
        if seconds is None:
            return None
        most = int(PATIENCE / seconds)
        draws, wide = min(draws, most), wide if draws + wide <= most else 0
    grid = subject.grid(dtype)
    seed = zlib.crc32(f"{sampler}, {subject.name}, {dtype}".encode())  # one seed per job
    blocks = subject.blocks(draws, dtype, seed), subject.blocks(wide, dtype, seed + 1)
    p_values = judge(grid, *blocks)
    p_values |= keys.related(subject, grid, min(1.0, draws / 1e7))
    eager_is_jit = None
    if sampler == OURS and subject.draw is not None:
        eager_is_jit = exact.eager_is_jit(subject.draw, dtype, min(draws, 2**20))
    return {"draws": draws, "wide": draws + wide, "jit": eager_is_jit} | _summary(p_values)


def _summary(p_values: Verdict) -> dict[str, Any]:
    return {
        "checks": len(p_values),
        "least": {g: report.least(p_values, g) for g in report.GROUPS},
        "failed": {name: p for name, p in p_values.items() if p < LEVEL},
    }


def _seconds_per_number(subject: Subject, dtype: np.dtype) -> float | None:
    """Time one number of a peer; None if the peer does not return this dtype."""
    n = min(BLOCK, 2**18)
    draw: Callable[[], Any]
    if subject.draw is not None:
        draw = lambda: subject.draw(jax.random.key(0), n, dtype)  # noqa: E731
    else:
        seeded = subject.seeded(0)
        draw = lambda: seeded(n, dtype)  # noqa: E731
    try:
        x = draw()
    except (TypeError, NotImplementedError, RuntimeError):  # no such dtype
        return None
    if str(x.dtype).split(".")[-1] != dtype.name:
        return None
    start = time.perf_counter()
    jax.block_until_ready(draw())
    return (time.perf_counter() - start) / n


if __name__ == "__main__":
    main()
