"""Variance scaling: draws whose variance is inversely proportional to a layer's fan.

A unit of a layer sums as many products as it has inputs. Weights whose variance is `scale` over
that number, the fan, keep the size of signals from layer to layer.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

import brainunit as u

from braininit._params.options import one_of
from braininit._params.types import DType, Key, QuantityLike, RealLike, Shape, Sharding, Values
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw
from braininit.layers.fans import (
    NORMALS,
    Axes,
    Distribution,
    Fans,
    Mode,
    NormalForm,
    variance_scaled,
)

# ---------------------------------------------------------------- variance scaling


@explain_call_errors
def variance_scaling(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    mode: Mode = "fan_in",
    distribution: Distribution = "normal",
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    fan_in: RealLike | None = None,
    *,
    fan_out: RealLike | None = None,
    unit: u.Unit | str | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    r"""Draw with mean 0 and variance `scale` / n, where n counts the layer's connections.

    .. math:: \mathrm{Var}(x) = \frac{scale}{n}, \quad n = fan_{in},\ fan_{out},\
        \frac{fan_{in} + fan_{out}}{2}\ \text{or}\ \sqrt{fan_{in}\, fan_{out}}

    Parameters
    ----------
    scale : number, array or Quantity
        Factor of the variance, finite, scale >= 0; 0 gives zeros. A pure number, or a Quantity
        in the square of the result's unit.
    mode : {'fan_in', 'fan_out', 'fan_avg', 'fan_geo_avg'}
        Sets n to the number of inputs, of outputs, or to their arithmetic or geometric mean.
    distribution : {'uniform', 'normal', 'truncated_normal'}
        Uniform on +-sqrt(3 scale / n); normal; or normal, truncated at 2 std and widened to keep
        the variance, within +-2.27 sqrt(scale / n).
    in_axis, out_axis, batch_axis : int or sequence of int
        The axes of the inputs, of the outputs, and of independent kernels. All other axes are the
        receptive field, whose size multiplies both fans. The default is JAX's layout (\*spatial,
        in, out); PyTorch's and BrainTools' (out, in, \*spatial) is ``in_axis=1, out_axis=0``.
    fan_in, fan_out : number or array, optional
        Numbers of inputs and outputs, positive, that replace those of the shape: give a bias the
        fans of its kernel. The shape may then lack axes, which count as 1.
    unit : Unit or str, optional
        Unit of the result, or its name, where `scale` is a pure number.

    Raises
    ------
    ValueError
        If the shape lacks an axis or has one in two roles, or `mode` does not use a given fan.
    UnitError
        If the unit of `scale` is not a square, or `unit` is given too.

    Notes
    -----
    Numerics: bit for bit `jax.nn.initializers.variance_scaling` run eagerly, in float32, float64,
    complex64 and complex128; with JAX 0.12 the last bit of a real 'normal' changes there and here.
    A traced `scale` or fan is divided in the drawing dtype, a concrete one in float64, which may
    change the last bit. A complex 'truncated_normal' has JAX's std, 0.9 % above the formula.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.variance_scaling(jax.random.key(0), (512, 256), 2.0, "fan_avg", unit=u.nS)
    >>> print(f"{w.mantissa.std():.3f} {w.unit}")
    0.072 nS
    >>> w = init.variance_scaling(jax.random.key(0), (400, 256), 4 * u.nS**2)
    >>> print(f"{w.mantissa.std():.1f} {w.unit}")
    0.1 nS
    """
    where = (in_axis, out_axis, batch_axis, fan_in, fan_out)
    recipe = _variance_scaling(scale, mode, distribution, unit, *where)
    return draw(recipe, key, shape, dtype, out_sharding)


def _variance_scaling(
    scale: Any, mode: Any, distribution: Any, unit: Any, *where: Any, **fans: Any
) -> Recipe:
    return variance_scaled(scale, Fans(mode, *where, **fans), distribution, unit)


class VarianceScaling(Initialization, function=variance_scaling, recipe=_variance_scaling):
    """Mean 0, variance by the fan of the layer; the twin of `variance_scaling`."""

    scale: QuantityLike = 1.0
    mode: Mode = static(default="fan_in")
    distribution: Distribution = static(default="normal")
    in_axis: Axes = static(default=-2)
    out_axis: Axes = static(default=-1)
    batch_axis: Axes = static(default=())
    fan_in: RealLike | None = None
    _: KW_ONLY
    fan_out: RealLike | None = None
    unit: u.Unit | str | None = static(default=None)


# ---------------------------------------------------------------- Xavier, LeCun


@explain_call_errors
def xavier_normal(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    unit: u.Unit | str | None = None,
    *,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    fan_in: RealLike | None = None,
    fan_out: RealLike | None = None,
    distribution: NormalForm = "truncated_normal",
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    """Draw from a normal distribution scaled by both fans (Xavier, Glorot).

    `variance_scaling` with mode 'fan_avg', Var(x) = 2 scale / (fan_in + fan_out), for tanh and
    other functions that are linear around 0. `distribution` is 'truncated_normal' as in JAX, bit
    for bit `jax.nn.initializers.glorot_normal`, or 'normal' as in PyTorch and BrainTools. From
    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
    2010.
    """
    where = (in_axis, out_axis, batch_axis, fan_in, fan_out)
    recipe = _xavier_normal(scale, unit, distribution, *where)
    return draw(recipe, key, shape, dtype, out_sharding)


def _xavier_normal(scale: Any, unit: Any, distribution: Any, *where: Any, **fans: Any) -> Recipe:
    distribution = one_of("distribution", distribution, NORMALS)
    return variance_scaled(scale, Fans("fan_avg", *where, **fans), distribution, unit)


class XavierNormal(Initialization, function=xavier_normal, recipe=_xavier_normal):
    """Normal, scaled by both fans (Xavier, Glorot); the twin of `xavier_normal`."""

    scale: QuantityLike = 1.0
    unit: u.Unit | str | None = static(default=None)
    _: KW_ONLY
    in_axis: Axes = static(default=-2)
    out_axis: Axes = static(default=-1)
    batch_axis: Axes = static(default=())
    fan_in: RealLike | None = None
    fan_out: RealLike | None = None
    distribution: NormalForm = static(default="truncated_normal")


@explain_call_errors
def xavier_uniform(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    unit: u.Unit | str | None = None,
    *,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    fan_in: RealLike | None = None,
    fan_out: RealLike | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    """Draw from a uniform distribution scaled by both fans (Xavier, Glorot).

    As `xavier_normal`, with the same variance on +-sqrt(6 scale / (fan_in + fan_out)). Bit for bit
    `jax.nn.initializers.glorot_uniform`.
    """
    recipe = _xavier_uniform(scale, unit, in_axis, out_axis, batch_axis, fan_in, fan_out)
    return draw(recipe, key, shape, dtype, out_sharding)


def _xavier_uniform(scale: Any, unit: Any, *where: Any, **fans: Any) -> Recipe:
    return variance_scaled(scale, Fans("fan_avg", *where, **fans), "uniform", unit)


class XavierUniform(Initialization, function=xavier_uniform, recipe=_xavier_uniform):
    """Uniform, scaled by both fans (Xavier, Glorot); the twin of `xavier_uniform`."""

    scale: QuantityLike = 1.0
    unit: u.Unit | str | None = static(default=None)
    _: KW_ONLY
    in_axis: Axes = static(default=-2)
    out_axis: Axes = static(default=-1)
    batch_axis: Axes = static(default=())
    fan_in: RealLike | None = None
    fan_out: RealLike | None = None


@explain_call_errors
def lecun_normal(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    unit: u.Unit | str | None = None,
    *,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    fan_in: RealLike | None = None,
    distribution: NormalForm = "truncated_normal",
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    """Draw from a normal distribution scaled by the number of inputs (LeCun).

    As `xavier_normal`, with mode 'fan_in', Var(x) = scale / fan_in; with SELU, for self-normalizing
    networks. Bit for bit `jax.nn.initializers.lecun_normal`. From LeCun, Bottou, Orr and Müller,
    Efficient BackProp, 1998.
    """
    where = (in_axis, out_axis, batch_axis, fan_in)
    recipe = _lecun_normal(scale, unit, distribution, *where)
    return draw(recipe, key, shape, dtype, out_sharding)


def _lecun_normal(scale: Any, unit: Any, distribution: Any, *where: Any, **fans: Any) -> Recipe:
    distribution = one_of("distribution", distribution, NORMALS)
    return variance_scaled(scale, Fans("fan_in", *where, **fans), distribution, unit)


class LecunNormal(Initialization, function=lecun_normal, recipe=_lecun_normal):
    """Normal, scaled by the number of inputs (LeCun); the twin of `lecun_normal`."""

    scale: QuantityLike = 1.0
    unit: u.Unit | str | None = static(default=None)
    _: KW_ONLY
    in_axis: Axes = static(default=-2)
    out_axis: Axes = static(default=-1)
    batch_axis: Axes = static(default=())
    fan_in: RealLike | None = None
    distribution: NormalForm = static(default="truncated_normal")


@explain_call_errors
def lecun_uniform(
    key: Key,
    shape: Shape,
    scale: QuantityLike = 1.0,
    unit: u.Unit | str | None = None,
    *,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    fan_in: RealLike | None = None,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    """Draw from a uniform distribution scaled by the number of inputs (LeCun).

    As `lecun_normal`, with the same variance on +-sqrt(3 scale / fan_in). Bit for bit
    `jax.nn.initializers.lecun_uniform`.
    """
    recipe = _lecun_uniform(scale, unit, in_axis, out_axis, batch_axis, fan_in)
    return draw(recipe, key, shape, dtype, out_sharding)


def _lecun_uniform(scale: Any, unit: Any, *where: Any, **fans: Any) -> Recipe:
    return variance_scaled(scale, Fans("fan_in", *where, **fans), "uniform", unit)


class LecunUniform(Initialization, function=lecun_uniform, recipe=_lecun_uniform):
    """Uniform, scaled by the number of inputs (LeCun); the twin of `lecun_uniform`."""

    scale: QuantityLike = 1.0
    unit: u.Unit | str | None = static(default=None)
    _: KW_ONLY
    in_axis: Axes = static(default=-2)
    out_axis: Axes = static(default=-1)
    batch_axis: Axes = static(default=())
    fan_in: RealLike | None = None
