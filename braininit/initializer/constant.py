"""What is not random: constant, zeros, ones, each a function and its twin."""

from __future__ import annotations

from typing import Any, ClassVar

import brainunit as u
import jax
import numpy as np

from braininit._engine.sampler import fill
from braininit._params import checks, units
from braininit._params.types import DType, Key, NumberLike, Shape, Sharding
from braininit._params.values import static
from braininit.initializer.calls import explained
from braininit.initializer.initialization import Initialization


@explained
def constant(
    key: Key | None,
    shape: Shape,
    value: NumberLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Any:
    r"""Fill with one value, or with an array that broadcasts to the shape.

    Parameters
    ----------
    key : key or None
        Not used; it is there so that every initializer is called alike.
    shape : int or tuple of int
        Shape of the result.
    value : number, array or Quantity
        Any number at all, NaN and infinity included; complex with a complex dtype.
    dtype : dtype, optional
        A floating or complex dtype; None is JAX's default float, also for integers.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `value`.

    Raises
    ------
    ValueError
        If `value` does not broadcast to `shape`, or overflows the dtype.
    TypeError
        If `value` is not a number, or complex where the dtype is not.

    Notes
    -----
    Numerics: the value is rounded once, to the nearest number of the dtype.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> print(init.constant(jax.random.key(0), 3, 0.5 * u.nS))
    [0.5 0.5 0.5] nS
    """
    bare, unit = units.split("value", value, number=True)
    if dtype is None and np.iscomplexobj(bare):
        dtype = jax.dtypes.canonicalize_dtype(complex)
    checks.fits(dtype, unit, value=bare)
    return units.on(fill(key, shape, bare, dtype=dtype, out_sharding=out_sharding), unit)


class Constant(Initialization, function=constant, random=False):
    """One value everywhere, or an array that broadcasts; the twin of `constant`.

    Parameters
    ----------
    value : number, array or Quantity
        The value.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.Constant(0.5 * u.nS)(3))
    [0.5 0.5 0.5] nS
    """

    value: NumberLike


@explained
def zeros(
    key: Key | None,
    shape: Shape,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    *,
    unit: u.Unit | str | None = None,
) -> Any:
    """Fill with zeros; fits Flax as it is, ``bias_init=init.zeros``.

    Parameters
    ----------
    key : key or None
        Not used.
    shape : int or tuple of int
        Shape of the result.
    dtype : dtype, optional
        A floating or complex dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    unit : Unit or str, optional
        The unit of the result, or its name.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape.

    Raises
    ------
    TypeError
        If `unit` is not a unit, or `dtype` not a floating or complex dtype.

    Notes
    -----
    Numerics: exact.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> print(init.zeros(jax.random.key(0), 2, unit=u.mV))
    [0. 0.] mV
    """
    unit = units.known("unit", unit)
    return units.on(fill(key, shape, 0.0, dtype=dtype, out_sharding=out_sharding), unit)


class ZeroInit(Constant, function=zeros, random=False):
    """Zeros, with or without a unit; the twin of `zeros`.

    Parameters
    ----------
    unit : Unit or str, optional
        The unit of the result, or its name.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.ZeroInit(u.mV)(2))
    [0. 0.] mV
    """

    value: ClassVar[float] = 0.0  # pyright: ignore[reportIncompatibleVariableOverride]
    unit: u.Unit | str | None = static(default=None)


@explained
def ones(
    key: Key | None,
    shape: Shape,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    *,
    unit: u.Unit | str | None = None,
) -> Any:
    """Fill with ones; fits Flax as it is, ``scale_init=init.ones``.

    Parameters
    ----------
    key : key or None
        Not used.
    shape : int or tuple of int
        Shape of the result.
    dtype : dtype, optional
        A floating or complex dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    unit : Unit or str, optional
        The unit of the result, or its name.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape.

    Raises
    ------
    TypeError
        If `unit` is not a unit, or `dtype` not a floating or complex dtype.

    Notes
    -----
    Numerics: exact.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> print(init.ones(jax.random.key(0), 2, unit=u.mV))
    [1. 1.] mV
    """
    unit = units.known("unit", unit)
    return units.on(fill(key, shape, 1.0, dtype=dtype, out_sharding=out_sharding), unit)


class OneInit(Constant, function=ones, random=False):
    """Ones, with or without a unit; the twin of `ones`.

    Parameters
    ----------
    unit : Unit or str, optional
        The unit of the result, or its name.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.OneInit(u.mV)(2))
    [1. 1.] mV
    """

    value: ClassVar[float] = 1.0  # pyright: ignore[reportIncompatibleVariableOverride]
    unit: u.Unit | str | None = static(default=None)
