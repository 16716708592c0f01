"""Matrices: orthogonal, delta-orthogonal, identity, Dirac, each a function and its twin."""

from __future__ import annotations

import math
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.rounding import rounded
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype, wide
from braininit._math import standard
from braininit._params import options, roles, units
from braininit._params.roles import Number
from braininit._params.types import DType, Key, QuantityLike, Shape, Sharding, Values
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw, make_recipe

# ---------------------------------------------------------------- orthogonal


@explain_call_errors
def orthogonal(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    unit: u.Unit | str | None = None,
    column_axis: int = -1,
    batch_axis: int | tuple[int, ...] = (),
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw a matrix with orthonormal columns or rows, uniformly among all such matrices.

    .. math:: Q^* Q = scale^2 I \quad (rows \ge columns), \qquad
        Q Q^* = scale^2 I \quad (rows \le columns)

    A shape of more than two axes is one matrix: `column_axis` counts its columns, all other axes
    together its rows. So (8, 100, 100) is one matrix of 800 x 100, or, with ``batch_axis=0``, eight
    of 100 x 100. Complex dtypes give unitary matrices.

    Parameters
    ----------
    scale : number, array or Quantity
        Factor of the matrix, finite, in any unit. An array broadcasts to the shape, as one gain
        for each matrix of a batch does.
    unit : Unit or str, optional
        Unit of the result, or its name; None is the unit of `scale`.
    column_axis : int
        The axis of the columns.
    batch_axis : int or tuple of int
        The axes that count independent matrices.

    Notes
    -----
    Numerics: the QR decomposition of normal draws, with the signs of R's diagonal moved into Q
    (Mezzadri 2007, https://arxiv.org/abs/math-ph/0609050): otherwise the distribution depends on
    the algorithm. Without a batch, bit for bit `jax.nn.initializers.orthogonal`, in float32 and
    wider. Takes temporary memory of the size of the matrix.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> q = init.orthogonal(jax.random.key(0), (64, 16))
    >>> bool(jnp.allclose(q.T @ q, jnp.eye(16), atol=1e-5))
    True
    """
    matrix = _orthogonal(scale, unit, column_axis, batch_axis)
    return draw(matrix, key, shape, dtype, out_sharding)


def _orthogonal(scale: Any, unit: Any, column_axis: Any, batch_axis: Any) -> Recipe:
    axes = options.whole("column_axis", column_axis), options.axes("batch_axis", batch_axis)
    return _matrix(_orthogonal_kernel, scale, unit, axes, random=True)


class Orthogonal(Initialization, function=orthogonal, recipe=_orthogonal):
    """A matrix with orthonormal columns or rows; the twin of `orthogonal`."""

    scale: QuantityLike = 1.0
    unit: u.Unit | str | None = static(default=None)
    column_axis: int = static(default=-1)
    batch_axis: int | tuple[int, ...] = static(default=())


def _orthogonal_kernel(
    source: Source, dtype: np.dtype, column_axis: int, batch_axis: tuple[int, ...], scale: Any
) -> jax.Array:
    shape = source.shape
    (column,) = options.axes_of("column_axis", (column_axis,), shape)
    batch = options.axes_of("batch_axis", batch_axis, shape)
    rows = tuple(a for a in range(len(shape)) if a != column and a not in batch)
    if column in batch:
        raise ValueError(f"`column_axis` = {column_axis} is in `batch_axis` = {batch_axis}")
    if not rows:
        raise ValueError(
            f"the size {shape} leaves no rows beside `column_axis` = {column_axis} and "
            f"`batch_axis` = {batch_axis}; give the size another axis"
        )
    if 0 in shape:
        return jnp.zeros(shape, dtype)
    order = (*batch, *rows, column)
    sizes = [shape[a] for a in order]
    height = math.prod(sizes[len(batch) : -1])
    q = _haar(source, sizes[: len(batch)], height, sizes[-1], wide(dtype))
    q = q.reshape(sizes).transpose(np.argsort(order).tolist())
    return rounded(scale.astype(q.dtype) * q, dtype)


# ---------------------------------------------------------------- delta-orthogonal


@explain_call_errors
def delta_orthogonal(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    unit: u.Unit | str | None = None,
    column_axis: int = -1,
    in_axis: int = -2,
    out_axis: int = -1,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw a convolution kernel that is an orthogonal matrix at its centre, and 0 elsewhere.

    .. math:: W_{s} = Q \ \text{at}\ s = \lfloor (k - 1) / 2 \rfloor, \quad 0 \ \text{elsewhere}

    The matrix, `scale` and `unit` are as in `orthogonal`. With at least as many output as input
    channels, the convolution preserves the norm of its input. With fewer, Q has orthonormal
    columns, one for each output channel: the norm is preserved in the subspace that they span; the
    rest is dropped.

    Parameters
    ----------
    column_axis : int
        The axis of the (in, out) matrix that counts its columns. As in JAX, the two axes give
        different draws of a square matrix.
    in_axis, out_axis : int
        The axes of the channels, two of at least three. The default is JAX's (\*spatial, in, out);
        ``in_axis=1, out_axis=0`` is (out, in, \*spatial).

    Notes
    -----
    Numerics: bit for bit `jax.nn.initializers.delta_orthogonal`, in float32 and wider, where JAX
    has such a kernel (with at least as many output as input channels); another layout has the same
    kernel, transposed. The centre is the tap that padding "SAME" leaves in place, also for kernels
    of even size. From Xiao et al. 2018, https://arxiv.org/abs/1806.05393.
    """
    matrix = _delta_orthogonal(scale, unit, column_axis, in_axis, out_axis)
    return draw(matrix, key, shape, dtype, out_sharding)


def _delta_orthogonal(
    scale: Any, unit: Any, column_axis: Any, in_axis: Any, out_axis: Any
) -> Recipe:
    axes = {"column_axis": column_axis, "in_axis": in_axis, "out_axis": out_axis}
    static = tuple(options.whole(name, axis) for name, axis in axes.items())
    return _matrix(_delta_kernel, scale, unit, static, random=True)


class DeltaOrthogonal(Initialization, function=delta_orthogonal, recipe=_delta_orthogonal):
    """An orthogonal matrix at the centre of a kernel; the twin of `delta_orthogonal`."""

    scale: QuantityLike = 1.0
    unit: u.Unit | str | None = static(default=None)
    column_axis: int = static(default=-1)
    in_axis: int = static(default=-2)
    out_axis: int = static(default=-1)


def _delta_kernel(
    source: Source, dtype: np.dtype, column_axis: int, in_axis: int, out_axis: int, scale: Any
) -> jax.Array:
    shape = source.shape
    into, out, spatial = _channels(in_axis, out_axis, shape)
    width = (shape[into], shape[out])
    (column,) = options.axes_of("column_axis", (column_axis,), width)
    if 0 in shape:
        return jnp.zeros(shape, dtype)
    q = _haar(source, (), width[1 - column], width[column], wide(dtype))
    q = q if (column == 1) == (into < out) else q.T  # (in, out), then in the kernel's order
    x = scale.astype(q.dtype) * jnp.expand_dims(q, spatial)
    hit = _all_at(shape, {a: (shape[a] - 1) // 2 for a in spatial})
    return rounded(jnp.where(hit, x, _elsewhere(scale).astype(x.dtype)), dtype)


# ---------------------------------------------------------------- identity


@explain_call_errors
def identity(
    key: Key | None,
    shape: Shape,
    scale: QuantityLike = 1.0,
    unit: u.Unit | str | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    """Fill with the identity: `scale` on the diagonal of the last two axes, 0 elsewhere.

    `scale` and `unit` are as in `orthogonal`; a vector `scale` is the diagonal itself. Axes before
    the last two count copies. A result of one axis is filled with `scale`, the identity of
    elementwise multiplication. Takes one comparison of indices for each element, and no temporary
    memory.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> print(init.identity(None, (2, 3), 0.5 * u.nS))
    [[0.5 0.  0. ]
     [0.  0.5 0. ]] nS
    """
    return draw(_identity(scale, unit), key, shape, dtype, out_sharding)


def _identity(scale: Any, unit: Any) -> Recipe:
    return _matrix(_identity_kernel, scale, unit, (), random=False)


class Identity(Initialization, function=identity, recipe=_identity):
    """The identity matrix; the twin of `identity`."""

    scale: QuantityLike = 1.0
    unit: u.Unit | str | None = static(default=None)


def _identity_kernel(source: Source, dtype: np.dtype, scale: Any) -> jax.Array:
    shape = source.shape
    if len(shape) < 2:
        return rounded(jnp.broadcast_to(scale, shape), dtype)
    hit = index_along(shape, -2) == index_along(shape, -1)
    return rounded(jnp.where(hit, scale, _elsewhere(scale)), dtype)


# ---------------------------------------------------------------- dirac


@explain_call_errors
def dirac(
    key: Key | None,
    shape: Shape,
    groups: int = 1,
    scale: QuantityLike = 1.0,
    unit: u.Unit | str | None = None,
    in_axis: int = -2,
    out_axis: int = -1,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Fill a convolution kernel that returns its input, in as many channels as it can.

    .. math:: W_{s, i, o} = scale \cdot [s = centre]\, [i = o \bmod (n_{out} / groups)]

    In each group the first output channels equal the input channels; any others are 0. `scale` and
    `unit` are as in `orthogonal`, `in_axis` and `out_axis` as in `delta_orthogonal`.

    Parameters
    ----------
    groups : int
        Groups of the convolution, a divisor of the number of output channels. `in_axis` counts the
        input channels of one group.

    Notes
    -----
    Numerics: the centre of a spatial axis of size k is (k - 1) // 2, the tap that padding "SAME"
    leaves in place. If the spatial axes come last it is k // 2, as in `torch.nn.init.dirac_`,
    the tap that a padding of k // 2 leaves in place. The two differ for even k.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> x = jnp.arange(10.0).reshape(1, 5, 2)
    >>> w, axes = init.dirac(None, (3, 2, 2)), ("NWC", "WIO", "NWC")
    >>> y = jax.lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=axes)
    >>> bool((y == x).all())
    True
    """
    return draw(_dirac(groups, scale, unit, in_axis, out_axis), key, shape, dtype, out_sharding)


def _dirac(groups: Any, scale: Any, unit: Any, in_axis: Any, out_axis: Any) -> Recipe:
    axes = options.whole("in_axis", in_axis), options.whole("out_axis", out_axis)
    static = (options.whole("groups", groups, 1), *axes)
    return _matrix(_dirac_kernel, scale, unit, static, random=False)


class Dirac(Initialization, function=dirac, recipe=_dirac):
    """A convolution kernel that returns its input; the twin of `dirac`."""

    groups: int = static(default=1)
    scale: QuantityLike = 1.0
    unit: u.Unit | str | None = static(default=None)
    in_axis: int = static(default=-2)
    out_axis: int = static(default=-1)


def _dirac_kernel(
    source: Source, dtype: np.dtype, groups: int, in_axis: int, out_axis: int, scale: Any
) -> jax.Array:
    shape = source.shape
    into, out, spatial = _channels(in_axis, out_axis, shape)
    share, rest = divmod(shape[out], groups)
    if rest:
        raise ValueError(
            f"`groups` must divide the {shape[out]} output channels of {shape}, got {groups}"
        )
    torch_like = max(into, out) < min(spatial)
    hit = _all_at(shape, {a: (shape[a] - (not torch_like)) // 2 for a in spatial})
    hit &= index_along(shape, into) == index_along(shape, out) % np.int32(max(share, 1))
    return rounded(jnp.where(hit, scale, _elsewhere(scale)), dtype)


# ---------------------------------------------------------------- shared parts


def _matrix(kernel: Any, scale: Any, unit: Any, static: tuple[Any, ...], *, random: bool) -> Recipe:
    """The recipe of a matrix times `scale`."""
    unit, scale = units.with_unit(unit, scale=scale)
    number = Number("scale", roles.factor.check("scale", scale, unit), roles.factor)
    facts = {"static": static, "random": random, "dtypes": "complex", "elementwise": False}
    return make_recipe(kernel, (number,), unit, **facts)


def _haar(source: Source, batch: Any, rows: int, columns: int, dtype: np.dtype) -> jax.Array:
    """Draw orthonormal rows or columns, whichever are fewer, uniformly under rotation."""
    tall = source.reshaped((*batch, max(rows, columns), min(rows, columns)))
    if dtype.kind == "c":
        z = standard.complex_normal(tall.pair(compute_dtype(dtype)))
    else:
        z = standard.normal(tall.words(dtype))
    q, r = jnp.linalg.qr(z)
    diagonal = jnp.diagonal(r, axis1=-2, axis2=-1)
    # The sign of 0 is 0, and a column of zeros has no direction.
    sign = jnp.where(diagonal == 0, jnp.ones_like(diagonal), jnp.sign(diagonal))
    q = q * jnp.expand_dims(sign, -2)
    return q.mT if rows < columns else q


def _elsewhere(scale: jax.Array) -> jax.Array:
    """The value of the other elements: 0, or NaN where `scale` is NaN, outside its domain."""
    return jnp.where(jnp.isnan(scale), scale, jnp.zeros_like(scale))


def _channels(in_axis: int, out_axis: int, shape: Any) -> tuple[int, int, tuple[int, ...]]:
    """The axes of a kernel, counted from the front: in, out, and the spatial ones."""
    if len(shape) < 3:
        raise ValueError(
            f"a kernel needs a spatial axis beside `in_axis` and `out_axis`, got the shape {shape}"
        )
    (into,), (out,) = (
        options.axes_of(name, (axis,), shape)
        for name, axis in (("in_axis", in_axis), ("out_axis", out_axis))
    )
    if into == out:
        raise ValueError(f"`in_axis` = {in_axis} and `out_axis` = {out_axis} are the same axis")
    return into, out, tuple(a for a in range(len(shape)) if a not in (into, out))


def index_along(shape: Any, axis: int) -> jax.Array:
    """The index of every element along one axis."""
    return lax.broadcasted_iota(jnp.int32, shape, axis % len(shape))


def _all_at(shape: Any, indices: dict[int, int]) -> jax.Array:
    """A mask of the elements that have the given index along each of the given axes."""
    hit = jnp.ones(shape, bool)
    for axis, index in indices.items():
        hit &= index_along(shape, axis) == np.int32(index)
    return hit
