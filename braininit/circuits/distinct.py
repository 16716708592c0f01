"""Numbers without repeats: uniform over all subsets.

Numbers are drawn, repeats are drawn anew, until there are none. Which of several equal numbers is
drawn anew depends on its place alone, not on the number: so no subset is preferred to another.
Each row goes by itself, and gets the numbers that it would get among any others.
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
    """Numbers in rows, along the last axis in increasing order, none of them twice.

    Parameters
    ----------
    draw : callable
        ``(turn, places) -> (numbers,)``, or several arrays of numbers that count together.
    limit : int
        Above all numbers.
    places : array of uint32
        The place of each number in its row, from 0 on.
    fixed : (array of bool, array), optional
        Which places hold numbers of their own, and these: they are not drawn.
    """
    length = places.shape[-1]
    if not places.size:
        return draw(jnp.uint32(0), places)
    first, order = draw(jnp.uint32(0), places), places + np.uint32(length)
    if fixed is not None:
        held, numbers = fixed
        order = jnp.where(held, places, order)  # they go before others
        first = (jnp.where(held, numbers, first[0]), *first[1:])
    pack, unpack = _packing(limit, length, len(first))

    def repeats(numbers: Numbers) -> jax.Array:
        again = jnp.ones((), bool)
        for number in numbers:
            again = again & (number[..., 1:] == number[..., :-1])
        return jnp.pad(again, [(0, 0)] * (places.ndim - 1) + [(1, 0)])

    def redrawn(carry: tuple[jax.Array, Numbers]) -> tuple[jax.Array, Numbers]:
        turn, (*numbers, order) = carry[0], unpack(carry[1])
        fresh = draw(turn, jnp.where(order < length, order, order - np.uint32(length)))
        again = repeats(tuple(numbers))
        numbers = (jnp.where(again, new, old) for new, old in zip(fresh, numbers, strict=True))
        return turn + 1, _in_order(pack(*numbers, order))

    start = jnp.uint32(1), _in_order(pack(*first, order))
    unfinished = lambda carry: jnp.any(repeats(unpack(carry[1])[:-1]))  # noqa: E731
    return unpack(lax.while_loop(unfinished, redrawn, start)[1])[:-1]


def _in_order(keys: Numbers) -> Numbers:
    return tuple(lax.sort(keys, dimension=-1, num_keys=len(keys)))


def _packing(
    limit: int, length: int, several: int
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """How numbers and their order are one word, if they fit: that sorts ten times as fast."""
    bits = np.uint32((2 * length - 1).bit_length())
    if several > 1 or (limit - 1).bit_length() + int(bits) > 32:
        return lambda *keys: keys, lambda keys: keys
    mask = np.uint32(2 ** int(bits) - 1)
    return (
        lambda number, order: (number << bits | order,),
        lambda keys: (keys[0] >> bits, keys[0] & mask),
    )


def others(excluded: jax.Array, count: int) -> jax.Array:
    """For each row of increasing numbers, the `count` least numbers that are not among them."""
    before = excluded - lax.broadcasted_iota(excluded.dtype, excluded.shape, excluded.ndim - 1)
    at = jnp.arange(count, dtype=excluded.dtype)
    skipped = jax.vmap(lambda row: jnp.searchsorted(row, at, side="right"))(before)
    return at[None] + skipped.astype(excluded.dtype)
