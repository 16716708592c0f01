"""Run the benchmarks: ``python -m benchmarks [--only eager] [--quick] [--write]``.

``python -m benchmarks --again benchmarks/results/cpu.json --write`` remakes the tables and the
picture from stored figures; with ``--only eager``, that group is measured again.

One core: ``taskset -c 0 python -m benchmarks --only throughput`` compares every distribution
with NumPy, which uses no more than one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import (
    circuits,
    composed,
    eager,
    memory,
    models,
    report,
    shapes,
    throughput,
    windows,
)
from benchmarks import compile as compiling
from benchmarks.timing import Claim

GROUPS = {
    "eager": eager,
    "composed": composed,
    "throughput": throughput,
    "shapes": shapes,
    "windows": windows,
    "memory": memory,
    "compile": compiling,
    "models": models,
    "circuits": circuits,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=list(GROUPS), nargs="+")
    parser.add_argument("--quick", action="store_true", help="one size in float32, fewer rounds")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results")
    parser.add_argument(
        "--again", type=Path, help="report the figures in this file; with --only, measure those"
    )
    options = parser.parse_args()
    if options.write and (options.quick or (options.only and not options.again)):
        parser.error("--write needs everything; drop --quick, and --only or add --again")
    if options.again:
        results = json.loads(options.again.read_text())
        results["claims"] = [Claim(**claim) for claim in results["claims"]]
        if options.only:
            results = joined(results, measure(options.only, options.quick))
    else:
        results = measure(options.only or list(GROUPS), options.quick)
    print(report.document(results))
    kept = json.dumps(results | {"claims": [c._asdict() for c in results["claims"]]}, indent=1)
    paths = [options.json] if options.json else []
    report.RESULTS.mkdir(exist_ok=True)
    for path in [*paths, report.RESULTS / "cpu.json"] if options.write else paths:
        path.write_text(kept + "\n")
    if options.write:
        print("wrote cpu.json,", ", ".join(path.name for path in report.write(results)))


def measure(names: list[str], quick: bool) -> dict[str, Any]:
    """Run some groups, and print the time of each to stderr."""
    groups: dict[str, Any] = {}
    for name in names:
        start = time.perf_counter()
        groups[name] = GROUPS[name].run(quick)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    claims = [claim for group in groups.values() for claim in group.pop("claims")]
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    return {
        "machine": report.machine(),
        "command": command,
        "claims": claims,
        "groups": groups,
    }


def joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Replace some figures by figures measured again on the same machine."""
    if {"settings": {}} | old["machine"] != new["machine"]:
        raise SystemExit(f"figures of {old['machine']}, not of {new['machine']}: take all of them")
    claims = {claim.what: claim for claim in [*old["claims"], *new["claims"]]}
    return {
        "machine": old["machine"],
        "command": f"{old['command']}; {new['command']}",
        "claims": list(claims.values()),
        "groups": old["groups"] | new["groups"],
    }


if __name__ == "__main__":
    main()
