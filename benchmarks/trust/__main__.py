"""Test what is drawn against theory: ``python -m benchmarks.trust [--only NAME] [--draws 1e6]``.

Every distribution of `tests/cases.py`, in float32 at `--draws` and in float64, bfloat16 and float16
at a tenth of it; mean and variance on ten times as many. ``--peers jax.random NumPy`` runs the same
battery on others; ``--peers`` alone on all of them. What has been tested at as many draws is not
tested again unless `--only` names it, or ``--again`` is given: break off and go on as you like.
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
PATIENCE = 30.0  # seconds that a peer gets for its draws; it is asked for fewer where it is slower


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trust",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these distributions alone")
    parser.add_argument("--draws", type=float, default=FULL, help="in float32; 1e8 by default")
    parser.add_argument("--dtype", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--peers", nargs="*", metavar="PEER", help="test peers, not braininit")
    parser.add_argument("--corners", action="store_true", help="at the other parameters too")
    parser.add_argument("--again", action="store_true", help="what has been tested before, too")
    parser.add_argument(
        "--json",
        type=Path,
        help="where results are kept, the table beside them as .md; of 1e8 draws in results/",
    )
    options = parser.parse_args()
    path = options.json
    if path is None and options.draws == FULL and not options.corners:
        path = RESULTS / "trust.json"
    kept = json.loads(path.read_text()) if path and path.exists() else {}
    kept = {"machine": machine(), "found": {}, "devices": {}, "promises": {}} | kept
    if kept["machine"] != machine():
        parser.error(f"{path} has the results of another machine, or of other versions; move it")
    others = [name for name in PEERS if name.split(",")[0] not in peers.absent()]
    samplers = [OURS] if options.peers is None else options.peers or others
    if unknown := set(samplers) - {OURS, *others}:
        parser.error(f"no peer {sorted(unknown)}; there are {', '.join(others)}")

    def save() -> None:
        if path:
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(kept, indent=1) + "\n")
            path.with_suffix(".md").write_text(report.document(kept))

    for sampler, subject, name in _jobs(samplers, options):
        job = f"{sampler}, {subject.name}, {name}"
        draws = int(options.draws * subject.share / (1 if name == "float32" else 10))
        known = kept["found"].get(job, {}).get("asked") == options.draws
        if known and not options.again and not options.only:
            continue
        start = time.perf_counter()
        with jax.enable_x64(name == "float64"):
            found = examine(sampler, subject, DTYPES[name], draws)
        if found is None:
            continue
        found["seconds"] = round(time.perf_counter() - start, 1)
        kept["found"][job] = {
            "sampler": sampler,
            "case": subject.name,
            "dtype": name,
            "asked": options.draws,
        } | found
        what = ", ".join(found["failed"]) or "passes"
        print(f"{job}: {found['draws']:.0e}, {what}, {found['seconds']} s", file=sys.stderr)
        save()
    if (OURS in samplers and not (options.only or kept["devices"])) or options.again:
        kept["devices"] = exact.devices([str(case) for case in peers.CASES])
        kept["promises"] = {name: exact.matrices(DTYPES[name]) for name in options.dtype}
        save()
    print(report.summary(kept) if path else report.document(kept))
    if report.failing(kept):
        raise SystemExit(1)


PEERS = ("jax.random", "numpyro", "NumPy", "PyTorch", "BrainTools", "BrainTools, NumPy rng")


def _jobs(samplers: list[str], options: Any) -> Iterator[tuple[str, Subject, str]]:
    for sampler in samplers:
        every = ours(options.corners) if sampler == OURS else theirs(sampler)
        chosen = options.only or list(every)
        if unknown := [n for n in chosen if n not in every and sampler == OURS]:
            raise SystemExit(f"no {unknown} among {', '.join(every)}")
        for name in chosen:
            if name in every:
                yield from ((sampler, every[name], dtype) for dtype in options.dtype)


def examine(sampler: str, subject: Subject, dtype: np.dtype, draws: int) -> dict[str, Any] | None:
    """The whole battery on one subject; None where it has no draws of this dtype."""
    wide = (WIDER - 1) * draws
    if sampler != OURS:
        speed = _seconds_a_number(subject, dtype)
        if speed is None:
            return None
        most = int(PATIENCE / speed)
        draws, wide = min(draws, most), wide if draws + wide <= most else 0
    grid = subject.grid(dtype)
    seed = zlib.crc32(f"{sampler}, {subject.name}, {dtype}".encode())  # its own for each
    blocks = subject.blocks(draws, dtype, seed), subject.blocks(wide, dtype, seed + 1)
    found = judge(grid, *blocks)
    found |= keys.related(subject, grid, min(1.0, draws / 1e7))
    same = None
    if sampler == OURS and subject.draw is not None:
        same = exact.eager_is_jit(subject.draw, dtype, min(draws, 2**20))
    return {"draws": draws, "wide": draws + wide, "jit": same} | _in_short(found)


def _in_short(found: Verdict) -> dict[str, Any]:
    return {
        "checks": len(found),
        "least": {g: report.least(found, g) for g in report.GROUPS},
        "failed": {name: p for name, p in found.items() if p < LEVEL},
    }


def _seconds_a_number(subject: Subject, dtype: np.dtype) -> float | None:
    """How long a peer takes for a number; None where it does not return this dtype."""
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
