"""Gains, and the scaled initializers that compensate for a nonlinearity (Kaiming, He)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any, TypeAlias

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are first named

from braininit._params import roles
from braininit._params.options import one_of
from braininit._params.roles import number
from braininit._params.types import DType, Key, QuantityLike, RealLike, Shape, Sharding, Values
from braininit._params.units import brief
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw
from braininit.layers.fans import NORMALS, Axes, Fans, Mode, NormalForm, variance_scaled

Nonlinearity: TypeAlias = str | Callable[[Any], Any]
"""The name of an activation function, or the function itself."""

# ---------------------------------------------------------------- gain


def gain(nonlinearity: Nonlinearity, param: RealLike | None = None) -> Any:
    r"""Return the factor on the std of weights that compensates for a nonlinearity.

    .. math:: gain = E\,[f(z)^2]^{-1/2}, \quad z \sim N(0, 1)

    With weights of variance gain^2 / fan_in, the inputs of successive layers have the same mean
    square.

    Parameters
    ----------
    nonlinearity : str or callable
        'linear', 'identity', 'relu', 'leaky_relu', 'tanh', 'sigmoid', 'selu', 'elu', 'gelu' (with
        erf), 'silu' or 'swish', 'softplus', 'mish', or PyTorch's names of linear layers: 'conv1d'
        to 'conv3d', 'conv_transpose1d' to 'conv_transpose3d'. Or a function that maps a real array
        to a real array elementwise.
    param : number or array, optional
        The negative slope of 'leaky_relu', 0.01 by default; no other name takes it.

    Raises
    ------
    ValueError
        If E[f(z)^2] is zero, not finite, or does not converge.

    Notes
    -----
    Numerics: three names have PyTorch's values, not those of the formula: 'tanh' 5/3 (formula
    1.59), 'sigmoid' 1 (1.85), 'selu' 3/4 (1, which LeCun's initializers assume). A function is
    integrated in float64 by adaptive quadrature, once in a session: to 1e-6 or better, also with
    kinks and jumps, bumps down to a width of 0.001, and growth like e^(15 z) or e^(z^2 / 5).

    Examples
    --------
    >>> import jax, braininit as init
    >>> round(init.gain("leaky_relu", 0.2), 4), round(init.gain(jax.nn.relu6), 4)
    (1.3868, 1.4142)
    """
    return _root(gain_squared(nonlinearity, param))


def gain_squared(nonlinearity: Any, param: Any = None) -> Any:
    """The square of the gain, exact where it is a rational number."""
    if param is not None and nonlinearity != "leaky_relu":
        raise ValueError(
            f"`param` is the slope of 'leaky_relu', the gain of {nonlinearity!r} does not use it; "
            "leave it out, or give a function that contains it"
        )
    if nonlinearity == "leaky_relu":
        slope = number("param", roles.pure(0.01 if param is None else param)).value
        return 2 / (1 + slope * slope)
    if isinstance(nonlinearity, str):
        return _SQUARES[one_of("nonlinearity", nonlinearity, [*_SQUARES, "leaky_relu"])]
    if not callable(nonlinearity):
        raise TypeError(f"`nonlinearity` must be a name or a function, got {brief(nonlinearity)}")
    try:
        return 1 / _mean_square(nonlinearity)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        raise TypeError(
            f"`nonlinearity` must be hashable, got {brief(nonlinearity)}; wrap it in a function"
        ) from None


_LAYERS = ("conv1d", "conv2d", "conv3d")
_LAYERS += ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")

_SQUARES: dict[str, float] = {
    **dict.fromkeys(("linear", "identity", *_LAYERS, "sigmoid"), 1.0),
    "tanh": 25 / 9,
    "relu": 2.0,
    "selu": 9 / 16,
    # 1 / E[f(z)^2] by 30-digit quadrature.
    "gelu": 1 / 0.42522148257029867492,
    "silu": 1 / 0.35577551981735215623,
    "swish": 1 / 0.35577551981735215623,
    "elu": 1 / 0.64494541749392286306,
    "softplus": 1 / 0.92124590885930027868,
    "mish": 1 / 0.45234219237588277068,
}


def _root(square: Any) -> Any:
    if isinstance(square, jax.Array):
        return jnp.sqrt(square)
    return math.sqrt(square) if isinstance(square, float) else np.sqrt(square)


# ---------------------------------------------------------------- quadrature

_REACH, _CORE = 40, 8  # the range in std; within _CORE std the function must be finite
_WIDTH = 2.0**-8  # of the first panels: narrow enough to find a bump of 0.001 std
_LEVELS = 36  # halvings: enough to locate a jump to 6e-14
_MAX_PANELS = 2**16
_PIECE = 2**15  # points of each call, always the same, so that JAX compiles once


@functools.lru_cache(maxsize=256)
def _mean_square(function: Callable[[Any], Any]) -> float:
    """E[f(z)^2] of a standard normal z, over the range in which f is finite."""
    middles = np.arange(-_REACH, _REACH, _WIDTH) + _WIDTH / 2
    with np.errstate(all="ignore"):  # infinities and NaN are reported below
        logs = _log_integrand(function, middles)
        bad = middles[~(logs < math.inf)]
        if (abs(bad) < _CORE).any():
            z = min(bad, key=abs)
            raise _no_gain(function, f"it is not finite at z = {z:.4g}", "is finite")
        # Beyond that it may overflow: the integrand is negligible there.
        low, high = max(bad[bad < 0], default=-math.inf), min(bad[bad > 0], default=math.inf)
        inside = (low + 2 * _WIDTH < middles) & (middles < high - 2 * _WIDTH)
        peak = logs[inside].max()
        peak = peak if peak > -math.inf else 0.0  # zero at all points, perhaps not between them
        total = _integral(function, middles[inside] - _WIDTH / 2, peak)
        total = float(np.exp(peak + np.log(total / math.sqrt(2 * math.pi))))
    if not 0 < total < math.inf:
        raise _no_gain(function, f"E[f(z)^2] = {total:g}", "float64 can square and is not zero")
    return total


def _no_gain(function: Any, reason: str, remedy: str) -> ValueError:
    return ValueError(
        f"`nonlinearity` {function!r} has no gain: {reason}; give a function that {remedy}"
    )


def _integral(function: Any, left: np.ndarray, peak: float) -> float:
    """Integrate f(z)^2 e^(-z^2 / 2 - peak); panels are halved until they converge."""

    def on_panels(left: np.ndarray) -> Any:
        def values(t: np.ndarray) -> np.ndarray:
            return np.exp(_log_integrand(function, left[..., None] + width * t) - peak)

        return width * scipy.integrate.fixed_quad(values, 0, 1, n=12)[0]

    width, done, total, unresolved = _WIDTH, 0.0, 0.0, math.inf
    whole = on_panels(left)
    if not whole[0] + whole[-1] <= 1e-13 * whole.sum():
        raise _no_gain(function, "E[f(z)^2] is infinite, or nearly so", "grows less")
    for _ in range(_LEVELS):
        width /= 2
        halves = on_panels(np.stack([left, left + width]))
        parts = halves.sum(0)
        total, error = done + parts.sum(), abs(parts - whole)
        # A panel is done at 1e-11 of the whole, or at float32's precision of its own part.
        fine = error <= 1e-11 * total + 3e-7 * parts
        done, unresolved = done + parts[fine].sum(), error[~fine].sum()
        left, whole = np.concatenate([left[~fine], left[~fine] + width]), halves[:, ~fine].ravel()
        if not 0 < len(left) < _MAX_PANELS:
            break
    if not unresolved <= 1e-7 * total:
        raise _no_gain(function, "the integral E[f(z)^2] did not converge", "is smoother")
    return total


def _log_integrand(function: Any, z: np.ndarray) -> np.ndarray:
    """The logarithm of f(z)^2 e^(-z^2 / 2): f^2 alone may overflow."""
    flat = np.resize(z, -(-z.size // _PIECE) * _PIECE)
    values = np.concatenate([_evaluate(function, piece) for piece in flat.reshape(-1, _PIECE)])
    return 2 * np.log(abs(values[: z.size].reshape(z.shape))) - z**2 / 2


def _evaluate(function: Any, z: np.ndarray) -> np.ndarray:
    # Eagerly and in float64, even while JAX traces.
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        y = np.asarray(function(jnp.asarray(z)))
    if y.shape != (z.size,) or not jnp.issubdtype(y.dtype, np.floating):
        raise TypeError(
            "`nonlinearity` must map a real array to a real array of its shape, "
            f"got {y.dtype}{list(y.shape)} of float64[{z.size}]"
        )
    return y.astype(float)


# ---------------------------------------------------------------- Kaiming


@explain_call_errors
def kaiming_normal(
    key: Key,
    shape: Shape,
    scale: QuantityLike | None = None,
    mode: Mode = "fan_in",
    nonlinearity: Nonlinearity = "relu",
    negative_slope: RealLike = 0.01,
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
    """Draw from a normal distribution that compensates for a nonlinearity (Kaiming, He).

    As `xavier_normal`, but Var(x) = gain^2 / n in any mode, unless `scale` replaces gain^2. For
    ReLU, bit for bit `jax.nn.initializers.he_normal`. From He, Zhang, Ren and Sun, Delving deep
    into rectifiers, 2015.

    Parameters
    ----------
    mode : {'fan_in', 'fan_out', 'fan_avg', 'fan_geo_avg'}
        Chooses n. 'fan_in' keeps the size of signals, 'fan_out' the size of gradients.
    nonlinearity : str or callable
        The function that follows the layer, as in `gain`.
    negative_slope : number or array
        The slope of 'leaky_relu' below zero, finite; other nonlinearities do not use it.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> w = init.kaiming_normal(jax.random.key(0), (800, 200), nonlinearity=jax.nn.relu, unit=u.nS)
    >>> print(f"{w.mantissa.std():.3f} {w.unit}")
    0.050 nS
    """
    where = (mode, in_axis, out_axis, batch_axis, fan_in, fan_out)
    recipe = _kaiming_normal(scale, nonlinearity, negative_slope, distribution, unit, *where)
    return draw(recipe, key, shape, dtype, out_sharding)


def _kaiming_normal(
    scale: Any,
    nonlinearity: Any,
    negative_slope: Any,
    distribution: Any,
    unit: Any,
    *where: Any,
    **fans: Any,
) -> Recipe:
    scale = _scale(scale, nonlinearity, negative_slope)
    distribution = one_of("distribution", distribution, NORMALS)
    return variance_scaled(scale, Fans(*where, **fans), distribution, unit)


class KaimingNormal(Initialization, function=kaiming_normal, recipe=_kaiming_normal):
    """Normal, for layers with a nonlinearity (Kaiming, He); the twin of `kaiming_normal`."""

    scale: QuantityLike | None = None
    mode: Mode = static(default="fan_in")
    nonlinearity: Nonlinearity = static(default="relu")
    negative_slope: RealLike = 0.01
    unit: u.Unit | str | None = static(default=None)
    _: KW_ONLY
    in_axis: Axes = static(default=-2)
    out_axis: Axes = static(default=-1)
    batch_axis: Axes = static(default=())
    fan_in: RealLike | None = None
    fan_out: RealLike | None = None
    distribution: NormalForm = static(default="truncated_normal")


@explain_call_errors
def kaiming_uniform(
    key: Key,
    shape: Shape,
    scale: QuantityLike | None = None,
    mode: Mode = "fan_in",
    nonlinearity: Nonlinearity = "relu",
    negative_slope: RealLike = 0.01,
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
    """Draw from a uniform distribution that compensates for a nonlinearity (Kaiming, He).

    As `kaiming_normal`, with the same variance on +-sqrt(3 / n) gain. For ReLU, bit for bit
    `jax.nn.initializers.he_uniform`.
    """
    where = (mode, in_axis, out_axis, batch_axis, fan_in, fan_out)
    recipe = _kaiming_uniform(scale, nonlinearity, negative_slope, unit, *where)
    return draw(recipe, key, shape, dtype, out_sharding)


def _kaiming_uniform(
    scale: Any, nonlinearity: Any, negative_slope: Any, unit: Any, *where: Any, **fans: Any
) -> Recipe:
    scale = _scale(scale, nonlinearity, negative_slope)
    return variance_scaled(scale, Fans(*where, **fans), "uniform", unit)


class KaimingUniform(Initialization, function=kaiming_uniform, recipe=_kaiming_uniform):
    """Uniform, for layers with a nonlinearity (Kaiming, He); the twin of `kaiming_uniform`."""

    scale: QuantityLike | None = None
    mode: Mode = static(default="fan_in")
    nonlinearity: Nonlinearity = static(default="relu")
    negative_slope: RealLike = 0.01
    unit: u.Unit | str | None = static(default=None)
    _: KW_ONLY
    in_axis: Axes = static(default=-2)
    out_axis: Axes = static(default=-1)
    batch_axis: Axes = static(default=())
    fan_in: RealLike | None = None
    fan_out: RealLike | None = None


def _scale(scale: Any, nonlinearity: Any, negative_slope: Any) -> Any:
    """The factor of the variance: `scale` if given, else the square of the gain."""
    slope = number("negative_slope", roles.pure(negative_slope)).value
    if scale is None:
        return gain_squared(nonlinearity, slope if nonlinearity == "leaky_relu" else None)
    if isinstance(nonlinearity, str) or not callable(nonlinearity):
        gain_squared(nonlinearity)  # raises for an unknown name
    return scale
