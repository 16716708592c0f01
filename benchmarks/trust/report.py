"""The battery's results as tables."""

from __future__ import annotations

import shlex
from typing import Any

from benchmarks.report import where
from benchmarks.trust.battery import LEVEL, Verdict
from benchmarks.trust.subjects import OURS

__all__ = ["GROUPS", "document", "failing", "least", "summary"]

GROUPS = {  # column -> how the names of its checks start
    "KS": ("KS",),
    "AD": ("AD",),
    "cells": ("chi-square", "one cell"),
    "tails": ("tail", "farthest", "outside"),
    "moments": ("mean", "variance", "skewness", "kurtosis"),
    "serial": ("lag",),
    "keys": ("keys",),
}


def least(p_values: Verdict, group: str) -> float | None:
    """Return the least p-value of a group; None if the dtype leaves nothing to check."""
    return min((p for name, p in p_values.items() if name.startswith(GROUPS[group])), default=None)


def failing(results: dict[str, Any]) -> list[str]:
    """List braininit's failures: case, dtype and groups of checks."""
    ours = [f for f in results["found"].values() if f["sampler"] == OURS]
    failed = [f for f in ours if f["failed"] or not f["jit"]]
    listed = [f"{f['case']} {f['dtype']}: {_failed_groups(f)}" for f in failed]
    return listed + [name for name, passed in _exact(results).items() if not passed]


def _exact(results: dict[str, Any]) -> dict[str, bool]:
    """Return the outcome of every check without chance, by its name."""
    outcomes = {f"{name}, on 8 devices": passed for name, passed in results["devices"].items()}
    for dtype, promises in results["promises"].items():
        outcomes |= {f"{name} {dtype}": passed for name, passed in promises.items()}
    return outcomes


def summary(results: dict[str, Any]) -> str:
    """One paragraph: the number of checks, and the failures."""
    ours = [f for f in results["found"].values() if f["sampler"] == OURS]
    checks = sum(f["checks"] for f in ours)
    result = "; ".join(failing(results)) or "everything passes"
    return (
        f"{checks:,} p-values of braininit's draws, each held against {LEVEL:g}: a false-alarm "
        f"rate of {checks * LEVEL:.1g} for all. {len(ours) + len(_exact(results))} checks without "
        f"chance. Result: {result}."
    )


def document(results: dict[str, Any]) -> str:
    found = list(results["found"].values())
    ours = [f for f in found if f["sampler"] == OURS]
    others = [f for f in found if f["sampler"] != OURS]
    lines = [
        "# Trust",
        "",
        where(results["machine"]),
        "",
        "`python -m benchmarks.trust`; what each check can see: [Trust](../README.md#trust).",
        "",
    ]
    lines += [summary(results), "", *_own(ours, results["devices"])]
    if results["promises"]:
        lines += ["", *_promises(results["promises"])]
    if others:
        lines += ["", *_peers(others)]
    return "\n".join(lines) + "\n"


def _own(found: list[dict[str, Any]], devices: dict[str, bool]) -> list[str]:
    lines = [
        "## braininit",
        "",
        "The least p-value of each kind of check: the least of ten is 0.1 or so.",
        "",
        f"| | dtype | draws | {' | '.join(GROUPS)} | checks | eager = jit | 1 = 8 devices | s |",
        "|---|---|--:|" + "--:|" * (len(GROUPS) + 1) + "---|---|--:|",
    ]
    for f in found:
        cells = [f["case"], f["dtype"], f"{f['draws']:.0e}"]
        cells += [_p(f["least"][g]) for g in GROUPS]
        shared = devices.get(f"{f['case']} {f['dtype']}")
        cells += [str(f["checks"]), _yes(f["jit"]), _yes(shared), f"{f['seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    alone = {name.rsplit(" ", 1)[0] for name in devices} - {f["case"] for f in found}
    if alone:
        passed = all(devices[n] for n in devices if n.rsplit(" ", 1)[0] in alone)
        lines += ["", f"1 = 8 devices, {_yes(passed)}: {', '.join(sorted(alone))}, in all dtypes."]
    return lines


def _promises(promises: dict[str, dict[str, bool]]) -> list[str]:
    dtypes = list(promises)
    rows = next(iter(promises.values()))
    lines = ["## Without chance", "", f"| | {' | '.join(dtypes)} |", "|---|" + "---|" * len(dtypes)]
    return lines + [
        f"| {name} | {' | '.join(_yes(promises[d].get(name)) for d in dtypes)} |" for name in rows
    ]


def _peers(found: list[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(f["sampler"] for f in found))
    lines = ["## Peers", "", "At the same parameters, by the same battery.", ""]
    lines += ["| | tested | fail |", "|---|--:|--:|"]
    for name in names:
        tested = [f for f in found if f["sampler"] == name]
        lines.append(f"| {name} | {len(tested)} | {sum(bool(f['failed']) for f in tested)} |")
    lines += [
        "",
        "| | | dtype | draws | fails | least p | seen by |",
        "|---|---|---|--:|---|--:|---|",
    ]
    for f in found:
        if f["failed"]:
            peer, case = shlex.quote(f["sampler"]), shlex.quote(f["case"])
            command = (
                f"`python -m benchmarks.trust --peers {peer} --only {case} --dtype {f['dtype']}`"
            )
            cells = [f["sampler"], f["case"], f["dtype"], f"{f['draws']:.0e}", _failed_groups(f)]
            lines.append(f"| {' | '.join([*cells, _p(min(f['failed'].values())), command])} |")
    return lines


def _failed_groups(f: dict[str, Any]) -> str:
    names = f["failed"]
    groups = ["0, or outside the support"] * ("outside" in names)
    groups += [
        group
        for group, starts in GROUPS.items()
        if any(n.startswith(starts) for n in names if n != "outside")
    ]
    return ", ".join(groups + ["eager is not jit"] * (f["jit"] is False))


def _p(value: float | None) -> str:
    if value is None:
        return ""
    text = f"{value:.1g}"
    return f"**{text}**" if value < LEVEL else text


def _yes(passed: bool | None) -> str:
    return "" if passed is None else "yes" if passed else "**no**"
