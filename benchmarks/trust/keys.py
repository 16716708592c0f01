"""Are draws of related keys independent? Neighbouring, split and folded keys.

The tests compare two long draws of two related keys, number by number, and a few numbers from each
of many keys with those of the next key. For peers without keys, seeds take their place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.trust.battery import Verdict, joint
from benchmarks.trust.laws import Grid
from benchmarks.trust.subjects import Subject, bare

__all__ = ["LONG", "MANY", "related"]

LONG = 2**21  # numbers of a long draw
MANY = 2**17  # keys that draw a few numbers each
FEW = 8
SEEDS = 2**11  # in place of keys: each makes a generator

Pair = tuple[np.ndarray, np.ndarray]


def related(subject: Subject, grid: Grid, size: float = 1.0) -> Verdict:
    """Return the p-values of all kinds of related keys; `size` < 1 shortens the draws."""
    if subject.draw is None:
        pairs = _by_seeds(subject, grid.dtype, size)
    else:
        pairs = _by_keys(subject, grid, size)
    p_values: Verdict = {}
    for kind, pair in pairs:
        p_values |= {f"keys, {kind}: {name}": p for name, p in joint(grid, [pair]).items()}
    return p_values


def _by_keys(subject: Subject, grid: Grid, size: float) -> Iterator[tuple[str, Pair]]:
    assert subject.draw is not None
    draw, dtype, long, many = subject.draw, grid.dtype, int(LONG * size), int(MANY * size)

    def stream(key: jax.Array) -> np.ndarray:
        return bare(draw(key, long, dtype))

    fresh = functools.partial(jax.random.key, 11)  # a key is used once
    children, folded = jax.random.split(fresh()), [jax.random.fold_in(fresh(), i) for i in range(2)]
    parent = stream(fresh())
    yield "neighbours", (parent, stream(jax.random.key(12)))
    first = stream(children[0])
    yield "parent and split", (parent, first)
    yield "split", (first, stream(children[1]))
    first = stream(folded[0])
    yield "parent and folded", (parent, first)
    yield "folded", (first, stream(folded[1]))

    few: Callable[[Any], Any] = jax.jit(jax.vmap(lambda key: draw(key, FEW, dtype)))
    numbers = jnp.arange(many)
    kinds = {
        "neighbours": jax.vmap(jax.random.key)(numbers),
        "split": jax.random.split(jax.random.key(13), many),
        "folded": jax.vmap(lambda i: jax.random.fold_in(jax.random.key(14), i))(numbers),
    }
    for kind, keys in kinds.items():
        yield from _neighbouring_rows(f"many {kind}", bare(few(keys)).reshape(many, FEW))


def _by_seeds(subject: Subject, dtype: np.dtype, size: float) -> Iterator[tuple[str, Pair]]:
    assert subject.seeded is not None
    long, seeds = int(LONG * size), int(SEEDS * size)
    yield (
        "neighbouring seeds",
        tuple(bare(subject.seeded(seed)(long, dtype)) for seed in (11, 12)),
    )
    length = 16 * FEW
    many = [bare(subject.seeded(seed)(length, dtype)) for seed in range(seeds)]
    yield from _neighbouring_rows("many seeds", np.stack(many))


def _neighbouring_rows(kind: str, x: np.ndarray) -> Iterator[tuple[str, Pair]]:
    half = len(x) // 2
    yield kind, (x[: 2 * half : 2].ravel(), x[1 : 2 * half : 2].ravel())
    yield f"within {kind}", (x[:, ::2].ravel(), x[:, 1::2].ravel())
