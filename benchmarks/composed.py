"""The cost of composite initializers and matrices: mixtures, modulated weights, orthogonals."""

from __future__ import annotations

from typing import Any

import brainunit as u
import jax
import numpy as np

import braininit as init
from benchmarks.timing import Claim, Progress, in_turn

SIZE = 1_000_000
CALLS = 12_450  # eager draws of size 1 in a BrainTools tutorial
SIDE = 2048

PARTS = {
    "Normal": init.Normal(0.5 * u.nS, 0.1 * u.nS),
    "Uniform": init.Uniform(0.8 * u.nS, 1.2 * u.nS),
    "Exponential": init.Exponential(1.0 * u.nS),
}
MIXTURE = init.Mixture([*PARTS.values()], [0.5, 0.3, 0.2])
MODULATED = init.DistanceModulated(PARTS["Normal"], init.GaussianProfile(100 * u.um))


def run(quick: bool = False) -> dict[str, Any]:
    """Seconds of each call; calls that are compared are timed in turn."""
    progress, rounds = Progress("composed", 4), 5 if quick else 21
    key, generator = jax.random.key(0), np.random.default_rng(0)
    progress.step("mixture")
    draws = {name: jax.jit(lambda k, d=d: d(k, (SIZE,))) for name, d in PARTS.items()}
    draws["Mixture"] = jax.jit(lambda k: MIXTURE(k, (SIZE,)))
    took = in_turn({n: lambda d=d: d(key) for n, d in draws.items()}, rounds=rounds, seconds=0)
    parts = sum(took[name] for name in PARTS)

    progress.step("orthogonal")
    ours, theirs = init.Orthogonal(), jax.nn.initializers.orthogonal()
    took |= in_turn(
        {
            "Orthogonal": lambda: ours(key, (SIDE, SIDE)),
            "jax orthogonal": lambda: theirs(key, (SIDE, SIDE)),
        },
        rounds=3 if quick else 5,
        seconds=0,
    )

    progress.step("lecun normal")
    shape, hook, other = (1000, 1000), init.LecunNormal(), jax.nn.initializers.lecun_normal()
    scaled = {
        "LecunNormal": jax.jit(lambda k: hook(k, shape)),
        "jax lecun_normal": jax.jit(lambda k: other(k, shape)),
    }
    took |= in_turn({n: lambda d=d: d(key) for n, d in scaled.items()}, rounds=rounds, seconds=0)

    progress.step("modulated weights, one by one")
    clipped = MODULATED.clip(0 * u.nS, 2 * u.nS)
    distances = np.linspace(0, 300, 100) * u.um

    def one_by_one() -> Any:
        for i in range(100):
            weight = clipped(1, distances=distances[i : i + 1], rng=generator)
        return weight

    took["modulated"] = in_turn({"": one_by_one}, rounds=rounds, seconds=0)[""] * CALLS / 100
    progress.close()
    orthogonal = took["jax orthogonal"] / took["Orthogonal"]
    claims = [
        Claim("Mixture of three: of its components' times", took["Mixture"] / parts, 1.3, False),
        Claim(f"Orthogonal {SIDE} x {SIDE}: times jax", orthogonal, 1.0),
        Claim("LecunNormal: times jax", took["jax lecun_normal"] / took["LecunNormal"], 1.0),
        Claim(f"{CALLS:,} modulated, clipped draws of size 1, s", took["modulated"], 2.5, False),
    ]
    return {"seconds": took, "claims": claims}


def show(result: dict[str, Any]) -> list[str]:
    lines = ["| call | ms |", "|---|--:|"]
    lines += [f"| {name} | {1e3 * took:,.1f} |" for name, took in result["seconds"].items()]
    return [
        f"### Composed, {SIZE:,} numbers; matrices of {SIDE}^2, LeCun 1000^2; "
        f"{CALLS:,} modulated draws",
        "",
        *lines,
    ]
