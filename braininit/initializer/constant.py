"""Initializers that are not random: constant, zeros and ones, each a function and its twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._engine.sampler import result_dtype
from braininit._engine.source import Source
from braininit._jax.dtypes import compute_dtype, is_whole, whole_range
from braininit._params import units
from braininit._params.roles import Number, anything
from braininit._params.types import DType, Key, NumberLike, Shape, Sharding, Values
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, Request, draw, make_recipe


@explain_call_errors
def constant(
    key: Key | None,
    shape: Shape,
    value: NumberLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Values:
    """Fill with one value, or with an array that broadcasts to the shape.

    Parameters
    ----------
    value : number, array or Quantity
        Any number, NaN and infinity included; complex with a complex dtype.

    Raises
    ------
    TypeError
        If `value` is not a number, or is complex and the dtype is not.
    ValueError
        If an integer or boolean dtype does not hold `value`.

    Notes
    -----
    Numerics: the value is rounded once, to the nearest number of the dtype. Integers become floats
    unless `dtype` is an integer dtype; booleans hold 0 and 1 as False and True.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.constant(None, 3, 0.5 * u.nS))
    [0.5 0.5 0.5] nS
    """
    return draw(_constant(value), key, shape, dtype, out_sharding)


def _constant(value: Any) -> Recipe:
    return _filled(*units.unwrap("value", value, number=True))


class Constant(Initialization, function=constant, recipe=_constant):
    """One value everywhere, or an array that broadcasts; the twin of `constant`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.Constant(0.5 * u.nS)(3))
    [0.5 0.5 0.5] nS
    """

    value: NumberLike


# ---------------------------------------------------------------- zeros, ones


def _filling(name: str, value: float) -> tuple[Callable[..., Any], Callable[..., Recipe]]:
    """Make the function that fills with a number, and the function that makes its recipe."""

    def to_recipe(unit: Any = None) -> Recipe:
        return _filled(value, units.as_unit("unit", unit))

    def fill(
        key: Key | None,
        shape: Shape,
        dtype: DType | None = None,
        out_sharding: Sharding | None = None,
        *,
        unit: u.Unit | str | None = None,
    ) -> Values:
        return draw(to_recipe(unit), key, shape, dtype, out_sharding)

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = f"""Fill with {name}; Flax takes the function itself, ``bias_init=init.{name}``.

    Parameters
    ----------
    unit : Unit or str, optional
        The unit of the result, or its name.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.{name}(None, 2, unit=u.mV))
    [{value:.0f}. {value:.0f}.] mV
    """
    return explain_call_errors(fill), to_recipe


zeros, _zeros = _filling("zeros", 0.0)
ones, _ones = _filling("ones", 1.0)


class ZeroInit(Constant, function=zeros, recipe=_zeros):
    """Zeros, with or without a unit; the twin of `zeros`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.ZeroInit(u.mV)(2))
    [0. 0.] mV
    """

    value: ClassVar[float] = 0.0  # pyright: ignore[reportIncompatibleVariableOverride]
    unit: u.Unit | str | None = static(default=None)


class OneInit(Constant, function=ones, recipe=_ones):
    """Ones, with or without a unit; the twin of `ones`."""

    value: ClassVar[float] = 1.0  # pyright: ignore[reportIncompatibleVariableOverride]
    unit: u.Unit | str | None = static(default=None)


# ---------------------------------------------------------------- the recipe


class Filled(Recipe):
    """The recipe of one value everywhere; a complex value needs a complex dtype."""

    def drawn(self, request: Request) -> Any:
        (value,) = self.values
        if np.iscomplexobj(value):
            if request.dtype is None:
                request = request._replace(dtype=jax.dtypes.canonicalize_dtype(complex))
            if not jnp.issubdtype(request.dtype, np.complexfloating):
                raise TypeError(f"`value` is complex, {request.dtype} is not; give a complex dtype")
        if is_whole(dtype := result_dtype(request.dtype, self.facts.dtypes)):
            if isinstance(value, Tracer) and not request.alone:
                # The float draw checks for integers.
                in_floats = super().drawn(request._replace(dtype=compute_dtype(dtype)))
                bare, unit = units.parts(in_floats)
                return units.on(bare.astype(dtype), unit)
            return Recipe(self.facts, (_as_whole(value, dtype),)).drawn(request)
        return super().drawn(request)

    def check_dtype(self, dtype: np.dtype) -> None:
        (value,) = self.values
        if not is_whole(dtype):
            super().check_dtype(dtype)
        elif not isinstance(value, Tracer):  # a traced value stays a float
            _as_whole(value, dtype, 2 ** (jnp.finfo(compute_dtype(dtype)).nmant + 1))


def _as_whole(value: Any, dtype: np.dtype, end: int = 2**53) -> np.ndarray:
    """Convert a value to an integer or boolean dtype, which must hold it exactly."""
    if isinstance(value, Tracer):
        raise TypeError(f"{dtype} may not hold a traced `value`; fill, then cast")
    bare, (least, most) = np.asarray(value), whole_range(dtype)
    # Values are stored as float64, which beyond 2^53 may stand for several integers.
    least, most = max(least, -end), min(most, end)
    good = (bare == np.floor(bare)) & (bare >= least) & (bare <= most)
    if not good.all():
        first = bare[tuple(np.argwhere(~good)[0])].item()
        raise ValueError(
            f"`value` = {units.show(first)} is not one of the whole numbers that {dtype} holds, "
            f"{least} to {most}; take another dtype"
        )
    return bare.astype(dtype)


jax.tree_util.register_dataclass(Filled, data_fields=["values"], meta_fields=["facts"])


def _filled(bare: Any, unit: u.Unit | None) -> Recipe:
    numbers = (Number("value", bare, anything),)
    plain = make_recipe(_fill, numbers, unit, random=False, dtypes="all")
    return Filled(plain.facts, plain.values)


def _fill(source: Source, dtype: np.dtype, value: jax.Array) -> jax.Array:
    return jnp.broadcast_to(value, source.shape)
