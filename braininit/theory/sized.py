"""Laws that depend on the size or on positions in the array: scaled by fan, matrices, conditionals.

Where entries differ by position, and all parameters are scalars, the law is that of an entry picked
at random.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from braininit._params import options
from braininit._params.shapes import SizeNeeded
from braininit.layers import fans, matrices
from braininit.theory.algebra import affine
from braininit.theory.continuous import beta_law, normal, truncated_normal, uniform
from braininit.theory.law import Law, point, unless_zero
from braininit.theory.pieces import mixture_of
from braininit.theory.powers import absolute

__all__ = ["by_fan", "matrices_by_size", "of_conditional", "of_dale", "of_sparse"]


# ---------------------------------------------------------------- scaled by fan


def by_fan(recipe: Any, size: Any) -> Law:
    """The law of an initializer whose std follows from `scale` and a fan, in any of its forms."""
    (rule, _), fan_names = recipe.facts.static, recipe.facts.names[1:]
    if size is None and len(fan_names) < len(fans.NEEDED[rule.mode]):
        raise SizeNeeded
    drawing = recipe.for_draw(() if size is None else size, np.dtype(float), {})
    variance, fan = (np.asarray(value, float) for value in drawing.values)
    std = np.sqrt(variance / fan)
    kernel = recipe.facts.kernel
    if kernel is fans.KERNELS["uniform"]:
        limit = math.sqrt(3) * std
        with np.errstate(all="ignore"):
            return unless_zero(std, np.zeros(std.shape), uniform(-limit, limit))
    if kernel is fans.KERNELS["normal"]:
        return normal(np.zeros(()), std)
    parent = std / _std_within_two()
    return truncated_normal(np.zeros(()), parent, -2 * parent, 2 * parent)


@functools.cache
def _std_within_two() -> float:
    """The std of a standard normal truncated at -2 and 2."""
    return float(truncated_normal(np.zeros(()), np.ones(()), -2.0, 2.0).std)


# ---------------------------------------------------------------- matrices


def sphere(n: int) -> Law:
    """The law of one coordinate of a point drawn uniformly from the unit sphere in n dimensions."""
    if n == 1:
        return mixture_of([point(np.asarray(-1.0)), point(np.asarray(1.0))], [0.5, 0.5])
    half = np.asarray((n - 1) / 2)
    return beta_law(half, half, np.asarray(-1.0), np.asarray(1.0))


def of_orthogonal(recipe: Any, size: Any) -> Law:
    """A vector along the longer side is a point on a sphere."""
    column_axis, batch_axis = recipe.facts.static
    (column,) = options.axes_of("column_axis", (column_axis,), size)
    batch = options.axes_of("batch_axis", batch_axis, size)
    rows = math.prod(n for a, n in enumerate(size) if a != column and a not in batch)
    return affine(sphere(max(rows, size[column])), 0.0, _scale(recipe))


def of_delta_orthogonal(recipe: Any, size: Any) -> Law:
    _, in_axis, out_axis = recipe.facts.static
    into, out, taps = _channels(size, in_axis, out_axis)
    entry = affine(sphere(max(size[into], size[out])), 0.0, _scale(recipe))
    return _among_zeros(entry, 1 / taps)


def of_identity(recipe: Any, size: Any) -> Law:
    if len(size) < 2:
        return point(_scale(recipe))
    if np.ndim(scale := _scale(recipe)):
        return point(np.where(np.equal.outer(*map(np.arange, size[-2:])), scale, 0.0))
    return _among_zeros(point(scale), min(size[-2:]) / math.prod(size[-2:]))


def of_dirac(recipe: Any, size: Any) -> Law:
    groups, in_axis, out_axis = recipe.facts.static
    into, out, _ = _channels(size, in_axis, out_axis)
    if np.ndim(_scale(recipe)):
        raise LookupError("Dirac with an array of scales")
    per_group = max(size[out] // groups, 1)
    hits = sum(o % per_group < size[into] for o in range(size[out]))
    return _among_zeros(point(_scale(recipe)), hits / math.prod(size))


def _channels(size: Any, in_axis: int, out_axis: int) -> tuple[int, int, int]:
    """The axes of the channels, and the number of taps."""
    if len(size) < 3:
        raise ValueError(f"`size` of a convolution's kernel has three axes or more, got {size}")
    (into,), (out,) = (
        options.axes_of(name, (axis,), size)
        for name, axis in (("in_axis", in_axis), ("out_axis", out_axis))
    )
    return into, out, math.prod(n for a, n in enumerate(size) if a not in (into, out))


def _scale(recipe: Any) -> Any:
    return np.asarray(recipe.values[0], float)


def _among_zeros(law: Law, share: Any) -> Law:
    zero = point(np.zeros(law.shape))
    return mixture_of([law, zero], [share, 1 - share])


matrices_by_size = {
    matrices.orthogonal: of_orthogonal,
    matrices.delta_orthogonal: of_delta_orthogonal,
    matrices.identity: of_identity,
    matrices.dirac: of_dirac,
}
"""Function -> (recipe, size) -> law, of matrices that are made of no other initializer."""


# ---------------------------------------------------------------- parts by position


def of_sparse(recipe: Any, law: Law, size: Any) -> Law:
    """Draws and zeros; without a size, in the nominal share."""
    if size is None:
        zeros = float(recipe.values[0])
    else:
        _, count, _ = recipe.for_draw(size, None, {}).values
        along = options.axes_of("axis", recipe.facts.static[0], size)
        zeros = float(count) / max(math.prod(size[a] for a in along), 1)
    return _among_zeros(law, 1 - zeros)


def of_dale(recipe: Any, law: Law, size: Any) -> Law:
    """Magnitudes; a share of the neurons has the opposite sign and a gain."""
    balance, axis = recipe.facts.static
    if balance == "exact":
        raise LookupError("Dale with balance='exact', where each sum depends on all draws")
    share = float(recipe.values[0])
    if size is None and share > 1:
        raise SizeNeeded
    if size is not None:
        _, count, _ = recipe.for_draw(size, None, {}).values
        share = float(count) / max(size[axis], 1)
    gain = share / (1 - share) if balance else 1.0
    magnitude = absolute(law)
    return mixture_of([magnitude, affine(magnitude, 0.0, -gain)], [share, 1 - share])


def of_conditional(recipe: Any, yes: Law, no: Law, size: Any) -> Law:
    """Either law, by the share of positions; per position where parameters are arrays."""
    if size is None:
        share = _share_of(recipe.facts.static[1])
        if yes.shape or no.shape:
            raise SizeNeeded
    else:
        holds = np.asarray(recipe.for_draw(size, None, {}).values[0])
        if yes.shape or no.shape:
            shape = np.broadcast_shapes(holds.shape, yes.shape, no.shape)
            share = np.broadcast_to(holds, shape).astype(float)
        else:
            share = float(holds.mean())
    return mixture_of([yes, no], [share, 1 - np.asarray(share)])


def _share_of(condition: Any) -> float:
    """The share of positions where a condition holds, if it depends on neither size nor index."""
    if condition is None or callable(condition):
        raise SizeNeeded
    data = condition.array()
    if data.dtype == bool:
        return float(data.mean())
    if data.ndim:
        return float(data[0] / data.sum())
    if data.dtype.kind == "i":
        raise SizeNeeded
    return float(data)
