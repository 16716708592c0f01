"""Edges whose number is known only after the draw, and arrays with a capacity for them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit.circuits.edges import Edges
from braininit.circuits.rule import Drawing, refuse_many

__all__ = ["known_edges", "padded_edges", "refuse_traced"]


def refuse_traced(x: Any) -> None:
    """Raise a TypeError if a number that the draw has to know is traced."""
    if isinstance(x, Tracer):
        raise TypeError(
            "the number of edges is not known while JAX traces; give max_edges= and constants, or "
            "draw outside of the jit"
        )


def known_edges(drawing: Drawing, pre: Any, post: Any, capacity: int | None) -> Edges:
    """Edges from concrete indices; padded if there is a capacity."""
    refuse_many(len(pre))
    pre, post = (jnp.asarray(np.asarray(x, drawing.dtype)) for x in (pre, post))
    if capacity is None:
        return Edges(pre, post, drawing.sizes)
    return padded_edges(drawing, capacity, jnp.arange(len(pre)), pre, post, jnp.int32(len(pre)))


def padded_edges(
    drawing: Drawing, capacity: int, at: Any, pre: Any, post: Any, number: Any
) -> Edges:
    """Edges in arrays of a given capacity; those beyond it are left out."""
    pre, post = (
        jnp.full(capacity, n, drawing.dtype).at[at].set(x.astype(drawing.dtype), mode="drop")
        for n, x in zip(drawing.sizes, (pre, post), strict=True)
    )
    return Edges(pre, post, drawing.sizes, number)
