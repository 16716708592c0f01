"""Draws in blocks, as NumPy arrays.

All blocks have one shape, so one compiled program draws results of every size; and a block fits
into the processor's caches. JAX draws the next blocks while one is copied to its place.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine import keys
from braininit._engine.source import Rows, Source
from braininit._params import units
from braininit.circuits.rules import FixedTotalNumber, any_pairs
from braininit.circuits.words import threefry_key
from braininit.initializer.composite import Composite
from braininit.initializer.constant import Constant
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw
from braininit.rows import needs_whole

__all__ = ["BLOCK", "draws_edges", "ends", "values", "whole_steps"]

BLOCK = 2**19
"""Elements. Smaller draws use code that compiles sooner and takes three times as long."""
_AHEAD = 4
"""The number of blocks that JAX draws at a time."""


def draws_edges(rule: Any, sizes: tuple[int, int]) -> TypeGuard[FixedTotalNumber]:
    """Whether `ends` draws the edges of a rule."""
    independent = isinstance(rule, FixedTotalNumber) and rule.self_connections and rule.multiple
    return independent and 0 < rule.number < 2**31 and min(sizes) > 0


def ends(key: Any, sizes: tuple[int, int], count: int, dtype: np.dtype) -> list[np.ndarray]:
    """Draw both ends of `count` edges."""
    key, (n_pre, n_post) = threefry_key(key), (np.uint32(n) for n in sizes)
    return _filled(count, lambda start: _ends(key, np.uint32(start), n_pre, n_post, dtype))


@functools.partial(jax.jit, static_argnames="dtype")
def _ends(key: Any, start: Any, n_pre: Any, n_post: Any, dtype: np.dtype) -> list[jax.Array]:
    both = any_pairs(key, start + jnp.arange(BLOCK, dtype=jnp.uint32), n_pre, n_post, True)
    return [end.astype(dtype) for end in both]


def values(
    initializer: Initialization, key: Any, count: int, step: Any = None, dtype: Any = None
) -> Any:
    """Draw the same numbers as a call of the initializer; with a step, whole numbers of steps."""
    typed = keys.typed(keys.as_key(key), keys.legacy_impl(key))
    finish = (lambda x: x) if step is None else (lambda x: whole_steps(x, step, dtype))
    if isinstance(initializer, Constant) and np.ndim(units.parts(initializer.value)[0]) == 0:
        bare, unit = units.parts(finish(initializer(key, 1)))
        return units.on(np.full(count, bare[0]), unit)
    at_once = needs_whole(initializer) or not _is_uniform(initializer._recipe)
    if at_once or not Source(typed, (BLOCK,)).is_fused():
        bare, unit = units.parts(finish(initializer(key, count)))
        return units.on(np.asarray(bare), unit)
    unit = None

    def block(start: int) -> list[jax.Array]:
        nonlocal unit
        # Random words depend only on the index, so the size of the whole does not matter. Blocks
        # share a key but none of its words.
        part, clone = Rows(np.array([0, start], np.uint32), 2**32), jax.random.clone(typed)
        bare, unit = units.parts(finish(draw(initializer._recipe, clone, (BLOCK,), rows=part)))
        return [bare]

    (numbers,) = _filled(count, block)
    return units.on(numbers, unit)


def _is_uniform(recipe: Recipe) -> bool:
    """Whether all draws have the same parameters: none is an array."""
    parts = recipe.parts() if isinstance(recipe, Composite) else ()
    return not any(np.ndim(n.value) for n in recipe.numbers()) and all(map(_is_uniform, parts))


@functools.partial(jax.jit, static_argnames="dtype")
def whole_steps(x: Any, step: Any, dtype: np.dtype) -> jax.Array:
    """Round to whole numbers of steps, halves up as `on_grid` does.

    Negative numbers, NaN and numbers beyond the dtype become its largest number.
    """
    whole, most = jnp.floor(units.dimensionless("step", x / step) + 0.5), np.iinfo(dtype).max
    counted = (whole >= 0) & (whole < float(most))
    return jnp.where(counted, jnp.where(counted, whole, 0).astype(dtype), dtype.type(most))


def _filled(count: int, block: Callable[[int], list[jax.Array]]) -> list[np.ndarray]:
    """Fill arrays block by block; the surplus of the last block is dropped."""
    arrays: list[np.ndarray] = []

    def write(start: int, parts: list[jax.Array]) -> None:
        for array, part in zip(arrays, parts, strict=True):
            place = array[start : start + BLOCK]
            place[:] = np.asarray(part)[: len(place)]

    ahead = collections.deque([(0, block(0))])  # also if count is 0, for the dtype
    arrays += [np.empty(count, part.dtype) for part in ahead[0][1]]
    for start in range(BLOCK, count, BLOCK):
        ahead.append((start, block(start)))
        if len(ahead) == _AHEAD:
            write(*ahead.popleft())
    for pending in ahead:
        write(*pending)
    return arrays
