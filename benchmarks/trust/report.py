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


def least(found: Verdict, group: str) -> float | None:
    """The least p-value of a group; None where the dtype leaves nothing to check."""
    return min((p for name, p in found.items() if name.startswith(GROUPS[group])), default=None)


def failing(kept: dict[str, Any]) -> list[str]:
    """Which of braininit's draws fail, and in what."""
    ours = [f for f in kept["found"].values() if f["sampler"] == OURS]
    found = [f"{f['case']} {f['dtype']}: {_what(f)}" for f in ours if f["failed"] or not f["jit"]]
    return found + [what for what, held in _exact(kept).items() if not held]


def _exact(kept: dict[str, Any]) -> dict[str, bool]:
    each = ((f"{w} {d}", held) for d, of in kept["promises"].items() for w, held in of.items())
    return {f"{what}, on 8 devices": held for what, held in kept["devices"].items()} | dict(each)


def summary(kept: dict[str, Any]) -> str:
    """One paragraph: how many checks, and what fails."""
    ours = [f for f in kept["found"].values() if f["sampler"] == OURS]
    checks = sum(f["checks"] for f in ours)
    told = "; ".join(failing(kept)) or "everything passes"
    return (
        f"{checks:,} p-values of braininit's draws, each held against {LEVEL:g}: a false-alarm "
        f"rate of {checks * LEVEL:.1g} for all. {len(ours) + len(_exact(kept))} checks without "
        f"chance. Result: {told}."
    )


def document(kept: dict[str, Any]) -> str:
    found = list(kept["found"].values())
    ours = [f for f in found if f["sampler"] == OURS]
    others = [f for f in found if f["sampler"] != OURS]
    lines = [
        "# Trust",
        "",
        where(kept["machine"]),
        "",
        "`python -m benchmarks.trust`; what each check can see: [Trust](../README.md#trust).",
        "",
    ]
    lines += [summary(kept), "", *_own(ours, kept["devices"])]
    if kept["promises"]:
        lines += ["", *_promises(kept["promises"])]
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
        held = all(devices[n] for n in devices if n.rsplit(" ", 1)[0] in alone)
        lines += ["", f"1 = 8 devices, {_yes(held)}: {', '.join(sorted(alone))}, in all dtypes."]
    return lines


def _promises(promises: dict[str, dict[str, bool]]) -> list[str]:
    dtypes = list(promises)
    rows = next(iter(promises.values()))
    lines = ["## Without chance", "", f"| | {' | '.join(dtypes)} |", "|---|" + "---|" * len(dtypes)]
    return lines + [
        f"| {what} | {' | '.join(_yes(promises[d].get(what)) for d in dtypes)} |" for what in rows
    ]


def _peers(found: list[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(f["sampler"] for f in found))
    lines = ["## Peers", "", "At the same parameters, by the same battery.", ""]
    lines += ["| | tested | fail |", "|---|--:|--:|"]
    for name in names:
        its = [f for f in found if f["sampler"] == name]
        lines.append(f"| {name} | {len(its)} | {sum(bool(f['failed']) for f in its)} |")
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
            cells = [f["sampler"], f["case"], f["dtype"], f"{f['draws']:.0e}", _what(f)]
            lines.append(f"| {' | '.join([*cells, _p(min(f['failed'].values())), command])} |")
    return lines


def _what(f: dict[str, Any]) -> str:
    names = f["failed"]
    told = ["0, or outside the support"] * ("outside" in names)
    told += [
        group
        for group, starts in GROUPS.items()
        if any(n.startswith(starts) for n in names if n != "outside")
    ]
    return ", ".join(told + ["eager is not jit"] * (f["jit"] is False))


def _p(value: float | None) -> str:
    if value is None:
        return ""
    text = f"{value:.1g}"
    return f"**{text}**" if value < LEVEL else text


def _yes(held: bool | None) -> str:
    return "" if held is None else "yes" if held else "**no**"
