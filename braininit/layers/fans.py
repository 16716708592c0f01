"""The fans of a kernel, and the recipe of all scaled initializers.

Fans follow from the axes of a shape. The draws have a variance of `scale` divided by a fan.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._engine.rounding import finish
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype, is_symbolic
from braininit._jax.rounding import round_here
from braininit._math import standard, truncated
from braininit._math.elementary import over
from braininit._params import options, roles, units
from braininit._params.options import one_of
from braininit._params.representable import nan_unless_representable, refuse_unrepresentable
from braininit._params.roles import Number, lined_up, number
from braininit._params.shapes import refuse_unless_broadcasts, sizes_known
from braininit.initializer.recipe import Facts, Recipe, make_recipe

__all__ = [
    "KERNELS",
    "NEEDED",
    "NORMALS",
    "Axes",
    "Distribution",
    "Fans",
    "Mode",
    "NormalForm",
    "from_shape",
    "variance_scaled",
]

Mode: TypeAlias = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
"""The number of connections by which the variance is divided."""

Distribution: TypeAlias = Literal["uniform", "normal", "truncated_normal"]
"""The form of the distribution; all have mean 0 and the same variance."""

NormalForm: TypeAlias = Literal["truncated_normal", "normal"]
"""The normal distribution, truncated at 2 std or whole."""

Axes: TypeAlias = int | Sequence[int]
"""One axis or several, counted from either end."""


# ---------------------------------------------------------------- fans

NEEDED = {
    "fan_in": ("fan_in",),
    "fan_out": ("fan_out",),
    "fan_avg": ("fan_in", "fan_out"),
    "fan_geo_avg": ("fan_in", "fan_out"),
}


class Fans(NamedTuple):
    """The fan of a draw: chosen by `mode`, computed from the axes of the shape unless given."""

    mode: Any
    in_axis: Any
    out_axis: Any
    batch_axis: Any
    fan_in: Any
    fan_out: Any = None

    def checked(self) -> tuple[Fans, list[Number]]:
        """Check the options; return them with axes as tuples, and the given fans separately."""
        needed = NEEDED[one_of("mode", self.mode, [*NEEDED])]
        axes = {n: _axes(n, getattr(self, n)) for n in ("in_axis", "out_axis", "batch_axis")}
        given_fans = []
        for name, fan in {"fan_in": self.fan_in, "fan_out": self.fan_out}.items():
            if fan is None:
                continue
            given_fans.append(number(name, roles.shape(fan)))
            if name not in needed:
                raise ValueError(
                    f"mode {self.mode!r} does not use `{name}`; give `{needed[0]}` instead"
                )
        return self._replace(**axes, fan_in=None, fan_out=None), given_fans

    def divisor(self, shape: tuple[int, ...], given: dict[str, Any]) -> Any:
        """The divisor of the variance: a float, unless a fan was given as an array."""
        needed = NEEDED[self.mode]
        if len(given) < len(needed):
            axes = (self.in_axis, self.out_axis, self.batch_axis)
            if is_symbolic(shape):  # the fans are concrete if only a batch axis is symbolic
                with sizes_known(shape, f"; or give `{needed[0]}=`"):
                    fans = from_shape.__wrapped__(shape, *axes, needed[0], bool(given))
            else:
                fans = from_shape(shape, *axes, needed[0], bool(given))
            given = fans | given
            if 0 in shape:  # nothing is drawn, so no fan is too small
                return 1.0
        if len(needed) == 1:
            return given[needed[0]]
        fan_in, fan_out = given["fan_in"], given["fan_out"]
        if type(fan_in) is float and type(fan_out) is float:
            return (fan_in + fan_out) / 2 if self.mode == "fan_avg" else (fan_in * fan_out) ** 0.5
        mean = _half_the_sum if self.mode == "fan_avg" else _root_of_the_product
        return lined_up(mean, fan_in, fan_out)


def _half_the_sum(a: Any, b: Any) -> Any:
    return (a + b) / 2


def _root_of_the_product(a: Any, b: Any) -> Any:
    return jnp.sqrt(a * b)


def _axes(name: str, axes: Any) -> tuple[int, ...]:
    if type(axes) is int:
        return (axes,)
    if isinstance(axes, (u.Unit, u.Quantity)):
        raise TypeError(f"`{name}` must be an axis or several, got {axes}; write unit=u.{axes}")
    return options.axes(name, axes)


@functools.lru_cache(maxsize=4096)
def from_shape(
    shape: tuple[int, ...],
    in_axis: tuple[int, ...],
    out_axis: tuple[int, ...],
    batch_axis: tuple[int, ...],
    needed: str,
    lenient: bool,
) -> dict[str, float]:
    """Both fans of a kernel; `lenient`, if a fan was given, counts missing axes as 1."""
    axes = {"in_axis": in_axis, "out_axis": out_axis, "batch_axis": batch_axis}
    role: dict[int, str] = {}
    size = dict.fromkeys(axes, 1)
    for name, axis in ((name, axis) for name, group in axes.items() for axis in group):
        index = axis + len(shape) if axis < 0 else axis
        if lenient and index < 0:
            continue
        if not 0 <= index < len(shape):
            raise ValueError(
                f"the shape {shape} has no axis {axis} for `{name}`; give `{needed}=`, "
                "as for a bias with the fan of its kernel, or other axes"
            )
        if index in role:
            raise ValueError(
                f"axis {axis} of the shape {shape} is in `{role[index]}` and again in `{name}`; "
                "give each axis one role"
            )
        role[index] = name
        size[name] *= shape[index]
    field = math.prod(n for index, n in enumerate(shape) if index not in role)
    return {"fan_in": float(size["in_axis"] * field), "fan_out": float(size["out_axis"] * field)}


# ---------------------------------------------------------------- the recipe


def variance_scaled(scale: Any, fans: Fans, distribution: Any, unit: Any) -> Recipe:
    """Make the recipe of a scaled initializer."""
    squared, (scale,) = roles.sharing(scale=_VARIANCE(scale))
    unit = _result_unit(scale.value, squared, units.as_unit("unit", unit))
    kernel = KERNELS[one_of("distribution", distribution, [*KERNELS])]
    fans, given_fans = fans.checked()
    facts = {"dtypes": "complex", "by_rows": False, "sized": _sized, "refuses": True}
    return make_recipe(kernel, (scale, *given_fans), unit, static=(fans, squared), **facts)


_VARIANCE = roles.spread._replace(wide=True)
_STD = roles.spread


def _sized(
    unsized: Recipe, shape: tuple[int, ...], dtype: np.dtype, context: Mapping[str, Any]
) -> Recipe:
    """The recipe for a shape: a variance, and the fan that the kernel still divides by."""
    hashable = all(type(value) is float for value in unsized.values) and not is_symbolic(shape)
    size = _with_numbers if hashable else _with_arrays
    return size(unsized.facts, shape, dtype, *unsized.values)


def _with_arrays(facts: Facts, shape: tuple[int, ...], dtype: np.dtype, *values: Any) -> Recipe:
    fans, squared = facts.static
    refuse_unless_broadcasts("scale", np.shape(values[0]), shape)
    variance, given = values[0], dict(zip(facts.names[1:], values[1:], strict=True))
    fan = fans.divisor(shape, given)
    if type(variance) is float and type(fan) is float:
        variance, fan = variance / fan, 1.0
        std = math.sqrt(variance)
    elif any(isinstance(v, Tracer) for v in (variance, fan)):
        std = 1.0
    else:
        variance, fan = np.asarray(variance, float) / np.asarray(fan, float), 1.0
        std = np.sqrt(variance)
    refuse_unrepresentable(Number("variance", variance, _VARIANCE), squared, dtype)
    refuse_unrepresentable(Number("std", std, _STD), facts.unit, dtype)
    changed: dict[str, Any] = {"names": ("scale", "fan_in"), "roles": (_VARIANCE, roles.shape)}
    changed |= {"static": (), "sized": None, "refuses": False}
    return Recipe(dataclasses.replace(facts, **changed), (variance, fan))


_with_numbers = functools.lru_cache(maxsize=1024)(_with_arrays)


def _result_unit(scale: Any, squared: u.Unit | None, unit: u.Unit | None) -> u.Unit | None:
    """The unit of the result: `unit`, or the root of the unit of `scale`."""
    if squared is None:
        return unit
    root = units.root(squared)
    if root is None:
        raise units.UnitError(
            "`scale` multiplies the variance: it is a pure number, or has the square of the "
            f"result's unit as in 4 * u.nS**2, got {units.show(scale, squared)}; "
            "square its unit, or give the unit of the result by unit="
        )
    if unit is not None:
        raise units.UnitError(
            f"`scale` in {squared} already gives the result the unit {root}; drop unit={unit}"
        )
    return root


# ---------------------------------------------------------------- kernels


def _uniform(source: Source, dtype: np.dtype, variance: Any, fan_in: Any) -> jax.Array:
    draw_dtype = compute_dtype(dtype)
    if dtype.kind == "c":
        z = standard.complex_uniform(source.pair(draw_dtype))
        return _scaled_complex(z, _std(variance, fan_in, dtype))
    limit = _std(variance, fan_in, dtype, 3)
    x = standard.uniform(source.words(draw_dtype)) * 2 - 1
    return finish(x * limit, dtype, -limit, limit)


def _normal(source: Source, dtype: np.dtype, variance: Any, fan_in: Any) -> jax.Array:
    draw_dtype, std = compute_dtype(dtype), _std(variance, fan_in, dtype)
    if dtype.kind == "c":
        return _scaled_complex(standard.complex_normal(source.pair(draw_dtype)), std)
    return finish(standard.initial_normal(source.words(draw_dtype), std), dtype)


def _truncated_normal(source: Source, dtype: np.dtype, variance: Any, fan_in: Any) -> jax.Array:
    draw_dtype, std = compute_dtype(dtype), _std(variance, fan_in, dtype)
    if dtype.kind == "c":
        z = standard.complex_two_sigma(source.pair(draw_dtype))
        return _scaled_complex(z, std / _unfolded(_COMPLEX_TRUNCATED_STD, draw_dtype))
    parent = std / _unfolded(_TRUNCATED_STD, draw_dtype)
    z = round_here(truncated.two_sigma(source.words(draw_dtype), draw_dtype))
    return finish(z * parent, dtype, -2 * parent, 2 * parent)


# The std of a standard normal truncated at 2. With the normal density phi and distribution
# function Phi it is sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)). The complex number is JAX's, for equal
# draws: sqrt(1 - 5 e^-4) lacks the division by the probability 1 - e^-4 of the disc, and the std
# becomes 0.9 % too large.
_TRUNCATED_STD, _COMPLEX_TRUNCATED_STD = 0.87962566103423978, 0.95311164380491208

KERNELS: Mapping[str, Callable[..., jax.Array]] = {
    "uniform": _uniform,
    "normal": _normal,
    "truncated_normal": _truncated_normal,
}
NORMALS = ("truncated_normal", "normal")


def _std(variance: Any, fan_in: Any, dtype: Any, times: int = 1) -> jax.Array:
    """``sqrt(times * variance / fan_in)`` in the drawing dtype; NaN if `dtype` can't hold it."""
    std = nan_unless_representable(_STD, _root_of_quotient(times, variance, fan_in), dtype)
    lost = ((std == 0) & (variance > 0)) | (std == math.inf)  # the quotient left a float's range
    return jnp.where(lost, jnp.full_like(std, jnp.nan), std)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _root_of_quotient(times: int, variance: jax.Array, fan_in: jax.Array) -> jax.Array:
    quotient = variance / fan_in
    if times == 1:
        return jnp.sqrt(quotient)
    # A quotient that would overflow is divided by 4, which is exact. `large` compares the
    # arguments: XLA recomputes the quotient for each further use, until it stores it in memory.
    large = variance > fan_in * (float(jnp.finfo(quotient.dtype).max) / 4)
    return jnp.sqrt(quotient * jnp.where(large, 0.25, 1.0) * times) * jnp.where(large, 2.0, 1.0)


@_root_of_quotient.defjvp
def _root_of_quotient_jvp(times: int, primals: tuple, tangents: tuple) -> tuple:
    """Half the root over either argument: the power -3/2 would lose second derivatives.

    At a variance of 0 the derivative is 0 rather than infinite.
    """
    (variance, fan_in), (dvariance, dfan_in) = primals, tangents
    y = _root_of_quotient(times, variance, fan_in)
    zero = variance == 0
    by_variance = jnp.where(zero, 0.0, over(y, jnp.where(zero, 1.0, variance)))
    return y, 0.5 * (by_variance * dvariance - over(y, fan_in) * dfan_in)


def _unfolded(value: float, dtype: np.dtype) -> jax.Array:
    """Hide a divisor from the compiler, which would multiply by the inverse of a constant."""
    return jax.lax.optimization_barrier(np.asarray(value, dtype))


def _scaled_complex(z: jax.Array, std: jax.Array) -> jax.Array:
    return jax.lax.complex(z.real * std, z.imag * std)
