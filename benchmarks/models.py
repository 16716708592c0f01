"""The cost of initializing a whole model: a GPT with a std per layer, and 10^5 leaves.

Every first call is made in a separate Python process, where JAX is already loaded and started: its
time is planning, tracing and compiling. ``python -m benchmarks.models WHO LAYERS WIDTH`` is such a
process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import braininit as init
from benchmarks.peers import OURS
from benchmarks.timing import Claim, Progress, once

LAYERS, VOCABULARY, CONTEXT = 48, 8192, 256
WIDTHS = {64: "calls and compiling", 512: "drawing"}
"""Widths of a small model and of one with 155 million numbers, and what takes the time in each."""
BY_LEAF, BY_FOLD, ONE_JIT = "leaf by leaf", "leaf by leaf, fold_in", "one jit"
MANY = 100_000
EVENT = "/jax/core/compile/backend_compile_duration"


# ---------------------------------------------------------------- the model, and the contestants


def gpt(layers: int, width: int) -> dict[str, Any]:
    """The shapes of a GPT's leaves, 12 per layer."""

    def leaf(*shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def dense(n: int, m: int) -> Any:
        return {"kernel": leaf(n, m), "bias": leaf(m)}

    def norm() -> Any:
        return {"scale": leaf(width), "bias": leaf(width)}

    def block() -> Any:
        attention = {"qkv": dense(width, 3 * width), "out": dense(width, width)}
        mlp = {"up": dense(width, 4 * width), "down": dense(4 * width, width)}
        return {"attention": attention, "mlp": mlp, "norm_1": norm(), "norm_2": norm()}

    tables = {"tokens": leaf(VOCABULARY, width), "positions": leaf(CONTEXT, width)}
    return tables | {"blocks": [block() for _ in range(layers)], "norm": norm()}


def std_of(layer: int) -> float:
    """The std of kernels that add to the residual stream."""
    return 0.02 / (2 * (layer + 1)) ** 0.5


RULES = [
    (r"bias$", 0.0),
    (r"scale$", 1.0),
    (r"(out|down)/kernel$", lambda leaf: init.Normal(0.0, std_of(leaf.layer))),
    (r"", init.Normal(0.0, 0.02)),
]


def ours(layers: int, width: int) -> Callable[[Any], Any]:
    return init.plan(gpt(layers, width), RULES, layers=r"blocks/(\d+)")


def theirs(layers: int, width: int, fold: bool = False) -> Callable[[Any], Any]:
    """The same leaves by `jax.nn.initializers`, with a key for each.

    By default keys come from one split, as in JAX's documentation. `fold_in` of a number per leaf
    compiles less: a split into hundreds of keys is a program with as many results.
    """
    from jax.nn import initializers

    leaves, definition = jax.tree_util.tree_flatten_with_path(gpt(layers, width))

    def hook(path: str) -> Any:
        if path.endswith(("bias", "scale")):
            return initializers.zeros if path.endswith("bias") else initializers.ones
        residual = path.endswith(("out/kernel", "down/kernel"))
        return initializers.normal(std_of(int(path.split("/")[1])) if residual else 0.02)

    hooks = [hook(jax.tree_util.keystr(p, simple=True, separator="/")) for p, _ in leaves]

    def draw(key: Any) -> Any:
        folded = (jax.random.fold_in(key, i) for i in range(len(leaves)))
        keys = folded if fold else jax.random.split(key, len(leaves))
        triples = zip(hooks, keys, leaves, strict=True)
        return definition.unflatten([h(k, x.shape, x.dtype) for h, k, (_, x) in triples])

    return draw


def by(who: str, layers: int, width: int) -> Callable[[Any], Any]:
    """A function of a key that draws the model."""
    if who == OURS:
        return ours(layers, width)
    draw = theirs(layers, width, who == BY_FOLD)
    return jax.jit(draw) if who == ONE_JIT else draw


# ---------------------------------------------------------------- one process


def _measure(who: str, layers: int, width: int) -> dict[str, float]:
    """Seconds of the first and of later calls, and the number of programs the first compiled."""
    keys = [jax.block_until_ready(jax.random.key(i)) for i in range(8)]
    jax.block_until_ready(jnp.zeros(3) + 1)
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if event == EVENT else None
    )
    drawers: list[Any] = []

    def first() -> Any:
        drawers.append(by(who, layers, width))
        return drawers[0](keys[0])

    cold, cold_cpu = _timed(first)
    programs = len(compiled)
    later = [_timed(lambda key=key: drawers[0](key)) for key in keys[1:]]
    warm, warm_cpu = map(min, zip(*later, strict=True))
    times = {"cold": cold, "warm": warm, "cold_cpu": cold_cpu, "warm_cpu": warm_cpu}
    return times | {"programs": programs}


def _timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of a call; other work on the machine affects the latter less."""
    start = time.process_time()
    return once(call), time.process_time() - start


def _many() -> dict[str, float]:
    """Seconds to plan and to draw `MANY` leaves of 4 shapes."""

    def layer(n: int) -> Any:
        shapes = {"kernel": (n, 8), "bias": (n,)}
        return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}

    model = {"blocks": [layer(16 + 16 * (i % 2)) for i in range(MANY // 2)]}
    key = jax.block_until_ready(jax.random.key(0))
    plans: list[Any] = []

    def plan(*rules: Any) -> Any:
        plans.append(init.plan(model, [*rules], layers=r"blocks/(\d+)"))

    zeros = (r"bias$", 0.0)
    took = {
        "plan": once(lambda: plan(zeros, (r"kernel$", init.LecunNormal()))),
        "plan with a function of the leaf": once(
            lambda: plan(zeros, (r"kernel$", lambda leaf: init.Normal(0.0, std_of(leaf.layer))))
        ),
    }
    for name, draw in zip(tuple(took), plans, strict=True):
        took[f"first draw of the {name}"] = once(lambda draw=draw: draw(key, progress=False))
        took[f"next draw of the {name}"] = once(lambda draw=draw: draw(key, progress=False))
    return took


def _in_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.models", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


# ---------------------------------------------------------------- comparisons


def run(quick: bool = False) -> dict[str, Any]:
    """Measure in several processes, started in turn; return the least figures."""
    layers, rounds = (4, 1) if quick else (LAYERS, 3)
    pairs = ((OURS, layers), (BY_LEAF, layers), (OURS, 2 * layers), (BY_FOLD, layers))
    every = [*pairs * rounds, (ONE_JIT, layers)]  # once: one jit compiles for a minute
    turns = [(*pair, width) for width in WIDTHS for pair in every]
    progress = Progress("models", len(turns) + 1)
    figures: dict[str, list[dict[str, float]]] = {}
    for who, n, width in turns:
        name = _named(who, n, width)
        progress.step(name)
        figures.setdefault(name, []).append(_in_process(who, str(n), str(width)))
    progress.step("very many leaves")
    many = {} if quick else _in_process("many")
    progress.close()
    took = {
        name: {what: min(run[what] for run in runs) for what in runs[0]}
        for name, runs in figures.items()
    }
    claims = [claim for width in WIDTHS for claim in _claims(took, layers, width)]
    if many:
        text = f"models: seconds to plan {MANY:,} leaves"
        claims.append(Claim(text, many["plan"], 3.0, False))
    return {"took": took, "many": many, "claims": claims}


def _named(who: str, layers: int, width: int) -> str:
    return f"width {width}, {layers} layers, {who}"


def _claims(took: dict[str, Any], layers: int, width: int) -> list[Claim]:
    mine, double = (took[_named(OURS, n, width)] for n in (layers, 2 * layers))
    leaf, fold, whole = (took[_named(who, layers, width)] for who in (BY_LEAF, BY_FOLD, ONE_JIT))
    figures = [
        (f"first call, of {BY_LEAF}", mine["cold"] / leaf["cold"], 0.25),
        (f"first call, of {BY_FOLD}", mine["cold"] / fold["cold"], 0.25),
        (f"first call, of {ONE_JIT}", mine["cold"] / whole["cold"], 0.03),
        (f"next call, of {BY_LEAF}", mine["warm"] / leaf["warm"], 0.4),
        (f"next call, of {BY_FOLD}", mine["warm"] / fold["warm"], 0.4),
        ("compiled programs", mine["programs"], 8),
        (f"first call of {2 * layers} layers, of {layers}", double["cold"] / mine["cold"], 1.15),
    ]
    return [Claim(f"model of width {width}: {w}", v, most, False) for w, v, most in figures]


def show(result: dict[str, Any]) -> list[str]:
    lines = [
        "| a GPT, a std per layer | first call, s (of all cores) "
        "| next call, s (of all cores) | programs |",
        "|---|--:|--:|--:|",
    ]
    for name, took in result["took"].items():
        first = f"{took['cold']:.2f} ({took['cold_cpu']:.2f})"
        later = f"{took['warm']:.3f} ({took['warm_cpu']:.3f})"
        lines.append(f"| {name} | {first} | {later} | {took['programs']:.0f} |")
    if result["many"]:
        lines += ["", f"| {MANY:,} leaves of 4 shapes | s |", "|---|--:|"]
        lines += [f"| {name} | {seconds:.2f} |" for name, seconds in result["many"].items()]
    return ["### Whole models", "", *lines]


if __name__ == "__main__":
    WHO, *MORE = sys.argv[1:]
    print(json.dumps(_many() if WHO == "many" else _measure(WHO, *map(int, MORE))))
