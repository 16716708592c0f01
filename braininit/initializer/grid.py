"""Draws rounded to a grid, as delays to the time step of a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype, wide
from braininit._math.standard import uniform
from braininit._params import options, roles, units
from braininit._params.roles import Number
from braininit._params.shapes import aligned
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    QuantityLike,
    Shape,
    Sharding,
    Values,
)
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import as_result, composite, draws
from braininit.initializer.initialization import Initialization
from braininit.initializer.pipes import beside
from braininit.initializer.recipe import Recipe, draw

__all__ = ["ROUNDINGS", "OnGrid", "on_grid"]

ROUNDINGS = ("nearest", "stochastic", "up")


@explain_call_errors
def on_grid(
    key: Key | None,
    shape: Shape,
    base_dist: InitializerLike,
    step: QuantityLike,
    rounding: str = "nearest",
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw an initializer and round its draws to multiples of a step.

    `theory.pmf` gives the probability of each multiple.

    Parameters
    ----------
    base_dist : initializer
        Draws the numbers that are rounded.
    step : number, array or Quantity
        The distance between grid points, positive.
    rounding : str
        ``"nearest"`` rounds to the nearest multiple, ``"up"`` to the next one above;
        ``"stochastic"`` to either neighbour, the nearer the likelier, which keeps the mean.

    Notes
    -----
    At a bound, half a step may be missing: delays of at least 0.1 ms, rounded to the nearest
    0.1 ms, are 0.1 ms only half as often as they should be. Truncate at 0.05 ms instead.
    Numerics: rounding up takes a draw within four roundings of a multiple to be that multiple. The
    multiple is rounded once to the dtype. Draws have no derivative with respect to the parameters
    of `base_dist`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> delays = init.Normal(1.5 * u.ms, 0.75 * u.ms).truncated(low=0.05 * u.ms)
    >>> on_grid = delays.on_grid(0.1 * u.ms)
    >>> (on_grid(4, rng=0) / (0.1 * u.ms)).round().astype(int)
    Array([27, 30, 12, 15], dtype=int32)
    >>> print(f"{init.theory.pmf(on_grid, 0.1 * u.ms):.6f}")
    0.009588
    """
    return draw(_on_grid(base_dist, step, rounding), key, shape, dtype, out_sharding, context)


def _on_grid(base_dist: Any, step: Any, rounding: Any) -> Recipe:
    part = as_child("base_dist", base_dist)._recipe
    rounding = options.one_of("rounding", rounding, ROUNDINGS)
    unit, (bare,) = beside(part.unit, step=step)
    number = Number("step", roles.scale.check("step", bare, unit), roles.scale)
    return composite(
        _rounded_to,
        part.unit,
        {"base_dist": part, "step": number.value},
        roles={"step": roles.scale},
        static=(unit, rounding),
        random=True if rounding == "stochastic" else None,
    )


class OnGrid(Initialization, function=on_grid, recipe=_on_grid):
    """An initializer rounded to multiples of a step; the twin of `on_grid`."""

    base_dist: InitializerLike
    step: QuantityLike
    rounding: str = static(default="nearest")


def _rounded_to(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    unit: u.Unit | None,
    rounding: str,
    base_dist: Recipe,
    step: Any,
) -> Any:
    if dtype.kind == "c":
        raise TypeError(f"`dtype` must be real, as a grid is, got {dtype}")
    first, second = source.split() if rounding == "stochastic" else (source, source)
    (drawn,) = draws(first, wide(dtype), context, (base_dist,))
    unit, (x, bare) = units.off(base_dist=drawn, step=units.on(step, unit))
    draw_dtype = compute_dtype(dtype)
    step = aligned("step", bare, source.shape, draw_dtype)
    steps = jnp.asarray(x, draw_dtype) / step
    if rounding == "nearest":
        whole = jnp.floor(steps + np.asarray(0.5, draw_dtype))  # halves go up: 0.05 ms is not 0
    elif rounding == "up":
        slack = np.asarray(4 * jnp.finfo(draw_dtype).eps, draw_dtype)
        whole = jnp.ceil(steps - slack * jnp.abs(steps))
    else:
        below = jnp.floor(steps)
        whole = below + (uniform(second.words(draw_dtype)) < steps - below)
    return as_result((whole * step).astype(wide(dtype)), unit, dtype)
