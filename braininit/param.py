"""`param`: make a parameter from any value that a user passes to a model's constructor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import brainunit as u
import numpy as np

from braininit._params.shapes import as_shape
from braininit._params.types import Shape
from braininit._params.units import brief
from braininit.composition.joint import Joint
from braininit.config import get
from braininit.initializer.children import as_child, without_quantity
from braininit.initializer.initialization import Initialization

__all__ = ["param"]


def param(
    init: Any,
    sizes: Shape,
    batch_size: int | None = None,
    allow_none: bool = True,
    allow_scalar: bool = True,
    **param_kwargs: Any,
) -> Any:
    """Make a parameter of a given size from an initializer, a value, or a container of a value.

    Values are returned unchanged, or broadcast to the size if there is a batch.

    Parameters
    ----------
    init : initializer, callable, str, mapping, number, array, Quantity, State or None
        An initializer, a `Joint` or a function is called with the size; a function that takes a key
        gets one made from ``rng=``. Text or a configuration goes through `get`. A value is checked
        against the size. A container (brainstate's ``State`` and ``Param``, nnx's ``Variable``, any
        object with a `value`) has its value checked and replaced, and is returned.
    sizes : int or tuple of int
        Shape of the parameter.
    batch_size : int, optional
        Length of an axis in front of the others.
    allow_none : bool
        Whether `init` may be None, which is returned.
    allow_scalar : bool
        Whether `init` may be a scalar, which is returned unchanged.
    **param_kwargs
        Passed to the initializer: ``rng=``, ``dtype=``, ...

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.param(init.Normal(0.5 * u.nS, 0.1 * u.nS), 10, batch_size=2, rng=0).shape
    (2, 10)
    >>> print(init.param(0.5 * u.nS, 10))
    0.5 nS
    """
    if init is None:
        if allow_none:
            return None
        raise ValueError("`init` must not be None here; give an initializer or a value")
    init, size = without_quantity(init), as_shape(sizes)
    batch = () if batch_size is None else as_shape(batch_size)
    if isinstance(init, (str, Mapping)):
        init = get(init)
    if isinstance(init, Joint):
        return init((*batch, *size), **param_kwargs)
    if isinstance(init, Initialization):
        return _checked(init((*batch, *size), **param_kwargs), (*batch, *size), ())
    if (container := _container(init)) is not None:
        read, write = container
        write(_checked(read(), size, batch))
        return init
    if u.math.isscalar(init) or isinstance(init, u.Unit) or _is_array(init):
        if np.ndim(u.get_mantissa(init)) > 0:
            return _checked(init, size, batch)
        if allow_scalar:
            return init
        raise TypeError(f"`init` must not be a scalar here, got {brief(init)}; give an array")
    if callable(init):
        drawn = as_child("init", init)((*batch, *size), **param_kwargs)
        return _checked(drawn, (*batch, *size), ())
    raise TypeError(
        "`init` must be an initializer, a function, a number, an array or a Quantity, "
        f"got {brief(init)}"
    )


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _container(x: Any) -> tuple[Any, Any] | None:
    """Functions that read and replace the value of a container; None for other objects."""
    if isinstance(x, (u.Quantity, np.ndarray, np.generic, type)):
        return None
    if callable(write := getattr(x, "set_value", None)):
        read = getattr(x, "get_value", None) or getattr(x, "value", None)
        if callable(read):
            return read, write
    if hasattr(type(x), "value"):
        return lambda: x.value, lambda value: setattr(x, "value", value)
    return None


def _checked(value: Any, size: tuple[int, ...], batch: tuple[int, ...]) -> Any:
    """Raise if the shape of a value does not match; broadcast a value that lacks the batch."""
    shape = np.shape(u.get_mantissa(value))
    extra = len(shape) - len(size)
    trailing = shape[max(extra, 0) :]
    if any(n not in (1, m) for n, m in zip(trailing[::-1], size[::-1], strict=False)):
        raise ValueError(f"the shape {shape} of the parameter does not match the size {size}")
    if extra <= 0:
        return u.math.broadcast_to(value, (*batch, *size)) if batch else value
    if shape[:extra] == batch:
        return value
    if len(batch) == extra == 1:
        raise ValueError(
            f"the batch size {shape[0]} of the parameter does not match batch_size={batch[0]}"
        )
    raise ValueError(
        f"the shape {shape} of the parameter does not match the size {(*batch, *size)}"
    )
