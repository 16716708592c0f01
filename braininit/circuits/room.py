"""Edges whose number is known only after the draw, and the room for them under `jax.jit`."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit.circuits.edges import Edges
from braininit.circuits.rule import Drawing, refuse_many

__all__ = ["kept", "placed_in", "refuse_traced"]


def refuse_traced(x: Any) -> None:
    """Refuse a draw that needs to know its numbers, where they are traced."""
    if isinstance(x, Tracer):
        raise TypeError(
            "the number of edges is not known while JAX traces; give max_edges= and constants, or "
            "draw outside of the jit"
        )


def kept(its: Drawing, pre: Any, post: Any, room: int | None) -> Edges:
    """Edges that are known."""
    refuse_many(len(pre))
    pre, post = (jnp.asarray(np.asarray(x, its.dtype)) for x in (pre, post))
    if room is None:
        return Edges(pre, post, its.sizes)
    return placed_in(its, room, jnp.arange(len(pre)), pre, post, jnp.int32(len(pre)))


def placed_in(its: Drawing, room: int, at: Any, pre: Any, post: Any, number: Any) -> Edges:
    """Edges in an array that has room for so many."""
    pre, post = (
        jnp.full(room, n, its.dtype).at[at].set(x.astype(its.dtype), mode="drop")
        for n, x in zip(its.sizes, (pre, post), strict=True)
    )
    return Edges(pre, post, its.sizes, number)
