"""Numbers without repeats, uniform over all subsets.

Repeated numbers are drawn again until there are none. Which of several equal numbers is drawn again
depends only on their places, not on the number: so no subset is preferred. The numbers of a row do
not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["distinct", "others"]

Numbers = tuple[jax.Array, ...]
Draw = Callable[[Any, Any], Numbers]


def distinct(draw: Draw, limit: int, places: jax.Array, fixed: Any = None) -> Numbers:
    """Draw rows of different numbers, in increasing order along the last axis.

    Parameters
    ----------
    draw : callable
        ``(turn, places) -> (numbers,)``; or a tuple of several arrays, compared jointly.
    limit : int
        A number above all draws.
    places : array of uint32
        The place of each number in its row, from 0 on.
    fixed : (array of bool, array), optional
        A mask of places that are not drawn, and the numbers that they hold.
    """
    length = places.shape[-1]
    if not places.size:
        return draw(jnp.uint32(0), places)
    first, order = draw(jnp.uint32(0), places), places + np.uint32(length)
    if fixed is not None:
        is_fixed, numbers = fixed
        order = jnp.where(is_fixed, places, order)  # before equal draws, which are drawn again
        first = (jnp.where(is_fixed, numbers, first[0]), *first[1:])
    pack, unpack = _packing(limit, length, len(first))

    def repeats(numbers: Numbers) -> jax.Array:
        equal = jnp.ones((), bool)
        for number in numbers:
            equal = equal & (number[..., 1:] == number[..., :-1])
        return jnp.pad(equal, [(0, 0)] * (places.ndim - 1) + [(1, 0)])

    def redraw(carry: tuple[jax.Array, Numbers]) -> tuple[jax.Array, Numbers]:
        turn, (*numbers, order) = carry[0], unpack(carry[1])
        fresh = draw(turn, jnp.where(order < length, order, order - np.uint32(length)))
        is_repeat = repeats(tuple(numbers))
        numbers = (jnp.where(is_repeat, new, old) for new, old in zip(fresh, numbers, strict=True))
        return turn + 1, _in_order(pack(*numbers, order))

    start = jnp.uint32(1), _in_order(pack(*first, order))
    unfinished = lambda carry: jnp.any(repeats(unpack(carry[1])[:-1]))  # noqa: E731
    return unpack(lax.while_loop(unfinished, redraw, start)[1])[:-1]


def _in_order(keys: Numbers) -> Numbers:
    return tuple(lax.sort(keys, dimension=-1, num_keys=len(keys)))


def _packing(limit: int, length: int, arrays: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Functions that pack numbers and their order into one word, if they fit, and unpack them.

    One word sorts ten times as fast.
    """
    bits = np.uint32((2 * length - 1).bit_length())
    if arrays > 1 or (limit - 1).bit_length() + int(bits) > 32:
        return lambda *keys: keys, lambda keys: keys
    mask = np.uint32(2 ** int(bits) - 1)
    return (
        lambda number, order: (number << bits | order,),
        lambda keys: (keys[0] >> bits, keys[0] & mask),
    )


def others(excluded: jax.Array, count: int) -> jax.Array:
    """The `count` smallest numbers that are not in each row of increasing numbers."""
    before = excluded - lax.broadcasted_iota(excluded.dtype, excluded.shape, excluded.ndim - 1)
    at = jnp.arange(count, dtype=excluded.dtype)
    skipped = jax.vmap(lambda row: jnp.searchsorted(row, at, side="right"))(before)
    return at[None] + skipped.astype(excluded.dtype)
