"""The report of the benchmarks, in Markdown and as a picture."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from benchmarks import circuits, composed, eager, memory, models, peers, shapes, throughput, windows
from benchmarks import compile as compiling
from benchmarks.peers import OURS, THEIRS, eagerly
from benchmarks.throughput import LARGE, REFERENCE, SIZES, best_other, warm
from benchmarks.timing import Claim

RESULTS = Path(__file__).parent / "results"
ITSELF = eagerly(OURS)
PEERS = (ITSELF, OURS, THEIRS, "NumPy", "PyTorch", "numpyro", "BrainTools", "BrainTools, NumPy rng")
LABELS = {name: name for name in PEERS} | {ITSELF: OURS, OURS: f"{OURS}, in a jit"}


def machine() -> dict[str, Any]:
    """Processor, cores and versions, without the name of the machine."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text())
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": platform.system(),
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "versions": {"python": platform.python_version()} | peers.versions(),
        "absent": peers.absent(),
    }


# Environment variables that set options of compilers and peers, as which CPU features they use.
_SETTINGS = ("XLA_FLAGS", "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES")


def where(m: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in m["versions"].items())
    gone = f" Left out, not installed: {', '.join(m['absent'])}." if m["absent"] else ""
    cores = "1 core" if m["cores"] == 1 else f"{m['cores']} cores"
    settings = "".join(f", `{name}={value}`" for name, value in m.get("settings", {}).items())
    return f"{m['processor']}, {cores}, {m['system']}{settings}; {versions}.{gone}"


# ---------------------------------------------------------------- tables


def claims(found: list[Claim]) -> list[str]:
    lines = [
        "| claim | is | limit | | in a jit | at 1e6 | at 3e7 |",
        "|---|--:|--:|---|--:|--:|--:|",
    ]
    for c in found:
        sign, met = ">=" if c.at_least else "<=", "met" if c.met else "**missed**"
        others = ["" if v is None else f"{v:.2f}" for v in c.others] or [""] * 3
        cells = [c.what, f"{c.value:.2f}", f"{sign} {c.limit:g}", met, *others]
        lines.append(f"| {' | '.join(cells)} |")
    return ["### Claims", "", *lines]


def speed(result: dict[str, Any]) -> list[str]:
    """The table that the README quotes: every row in float32, at `REFERENCE` numbers."""
    names = [p for p in PEERS if any(p in f["warm"] for f in result["figures"])]
    lines = [
        f"| ns a number | {' | '.join(LABELS[p] for p in names)} | x jax.random | x best other |",
        "|---|" + "--:|" * (len(names) + 2),
    ]
    for row in peers.ROWS:
        took = warm(result["figures"], row, REFERENCE)
        if THEIRS not in took:
            continue
        best, ours = best_other(took), took.get(ITSELF, took[OURS])
        cells = [_ns(took.get(p)) for p in names]
        ratios = [f"{took[p] / ours:.1f}" if p in took else "-" for p in (THEIRS, best)]
        lines.append(f"| {row} | {' | '.join(cells + ratios)} |")
    return lines


def _ns(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def grid(result: dict[str, Any]) -> list[str]:
    """All figures: sizes, dtypes, eager and jitted, cold and warm."""
    lines: list[str] = []
    order = (ITSELF, OURS, THEIRS, eagerly(THEIRS), *PEERS[3:])
    for n in SIZES:
        figures = [f for f in result["figures"] if f["size"] == n]
        if not figures:
            continue
        names = [p for p in order if any(p in f["warm"] for f in figures)]
        small = n < LARGE[0]
        unit = "microseconds a call" if small else "ns a number"
        lines += [
            "",
            f"### {n:,} number{'s' * (n > 1)}: {unit}, warm (first call, ms)",
            "",
            f"| | dtype | {' | '.join(LABELS.get(p, p) for p in names)} |",
            "|---|---|" + "--:|" * len(names),
        ]
        for f in figures:
            cells = []
            for p in names:
                took = f["warm"].get(p)
                took = took * n / 1e3 if small and took else took
                cells.append(f"{_ns(took)} ({f['cold_ms'][p]:.0f})" if took else "-")
            lines.append(f"| {f['row']} | {f['dtype']} | {' | '.join(cells)} |")
    return lines


NOTE = (
    f"Median of calls taken in turn in one process; {REFERENCE:,} numbers, float32, on all cores "
    "together. braininit is called as it is, and in a `jax.jit`, where jax.random and numpyro are "
    "as well. '-': the peer does not offer it, or a call would take more than "
    f"{throughput.LONGEST:g} s."
)


def document(results: dict[str, Any]) -> str:
    """The whole report."""
    lines = ["# Benchmarks", "", where(results["machine"]), "", f"`{results['command']}`"]
    lines += ["", *claims(results["claims"])]
    groups = results["groups"]
    if "throughput" in groups:
        lines += ["", "### Speed", "", NOTE, "", *speed(groups["throughput"])]
    others = {"eager": eager, "composed": composed, "shapes": shapes, "windows": windows}
    others |= {"memory": memory, "compile": compiling, "models": models, "circuits": circuits}
    for name, module in others.items():
        if name in groups:
            lines += ["", *module.show(groups[name])]
    if "throughput" in groups:
        lines += grid(groups["throughput"])
    return "\n".join(lines) + "\n"


def write(results: dict[str, Any]) -> list[Path]:
    """Write the report and its picture. The README quotes lines of the report; a test compares."""
    written = [RESULTS / "cpu.md", RESULTS / "cpu.png"]
    written[0].write_text(document(results))
    picture(results, written[1])
    return written


# ---------------------------------------------------------------- picture

COLOURS = {  # Okabe and Ito's, distinct for colour-blind readers
    ITSELF: "#0072B2",
    OURS: "#0072B2",  # hatched
    THEIRS: "#D55E00",
    "NumPy": "#E69F00",
    "PyTorch": "#009E73",
    "numpyro": "#CC79A7",
    "BrainTools": "#56B4E9",
    "BrainTools, NumPy rng": "#999999",
}


def picture(results: dict[str, Any], path: Path) -> None:
    """Draw nanoseconds per number on a logarithmic axis, a group of bars per distribution."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figures = results["groups"]["throughput"]["figures"]
    rows = {r: took for r in peers.GIVEN if THEIRS in (took := warm(figures, r, REFERENCE))}
    rows = dict(sorted(rows.items(), key=lambda item: item[1].get(THEIRS, 0)))
    fig, ax = plt.subplots(figsize=(9, 9.5), layout="constrained")
    top, seen, ticks = 0.0, set(), []
    for row, took in reversed(rows.items()):
        shown = sorted((p for p in PEERS if p in took), key=lambda p: took[p], reverse=True)
        for i, peer in enumerate(shown):
            value, y = took[peer], top + i
            label = LABELS[peer] if peer not in seen else None
            style = {"hatch": "////", "edgecolor": "white", "linewidth": 0} if peer == OURS else {}
            ax.barh(y, value, 0.86, color=COLOURS[peer], label=label, **style)
            weight = "bold" if peer == ITSELF else "normal"
            ax.text(value * 1.04, y, _ns(value), va="center", fontsize=8, weight=weight)
            seen.add(peer)
        ticks.append((top + (len(shown) - 1) / 2, row))
        top += len(shown) + 1.2
    ax.set_xscale("log")
    ax.set_yticks([y for y, _ in ticks], [name for _, name in ticks], fontsize=11)
    ax.tick_params(axis="y", length=0)
    values = [value for took in rows.values() for value in took.values()]
    ax.set(xlim=(min(values) / 2, 2 * max(values)), ylim=(-0.9, top - 1.2))
    ax.set_xlabel("nanoseconds a number (logarithmic); shorter is faster")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(axis="x", color="#dddddd", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    order = [label for label in LABELS.values() if label in handles]
    ax.legend([handles[p] for p in order], order, loc="upper right", frameon=False, fontsize=10)
    m = results["machine"]
    title = f"{REFERENCE:,} float32 numbers, {m['cores']} cores, jax {m['versions']['jax']}"
    ax.set_title(title, loc="left", fontsize=12)
    fig.savefig(path, dpi=130)
    plt.close(fig)
