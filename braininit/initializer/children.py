"""What may be a part of an initializer: another one, a function of a user's, a number."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import brainunit as u
import jax
import numpy as np

from braininit._params import units
from braininit._params.types import DType, Key, Shape
from braininit._params.values import static
from braininit.initializer.constant import Constant
from braininit.initializer.foreign import called
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import draw

__all__ = ["Custom", "as_child", "as_children", "without_quantity"]


def custom(
    key: Key,
    shape: Shape,
    function: Callable[..., Any],
    *,
    dtype: DType | None = None,
    **context: Any,
) -> Any:
    """Draw by a user's own function, in JAX's way or in BrainTools'."""
    return draw(called(function), key, shape, dtype, context=context)


class Custom(Initialization, function=custom, recipe=called):
    """A user's own initializer or function among this package's."""

    function: Callable[..., Any] = static()

    def __repr__(self) -> str:
        return repr(self.function)


def as_child(name: str, value: Any) -> Initialization:
    """Take what a user gives for an initializer."""
    value = without_quantity(value)
    if isinstance(value, Initialization):
        overridden = type(value).__call__ is not Initialization.__call__
        return _custom(value) if overridden else value
    if isinstance(value, type):
        raise TypeError(f"`{name}` is the class {value.__name__}; write {value.__name__}(...)")
    if callable(value) and not isinstance(value, (u.Unit, u.Quantity, np.ndarray, jax.Array)):
        return _custom(value)
    if value is None or isinstance(value, str):
        raise TypeError(f"`{name}` must be an initializer or a number, got {units.brief(value)}")
    value = 1.0 * value if isinstance(value, u.Unit) else value
    return Constant(units.on(*units.unwrap(name, value, number=True)))


def without_quantity(value: Any) -> Any:
    """Undo what brainunit makes of ``u.nS * initializer``: a Quantity around the object."""
    if isinstance(value, u.Quantity) and isinstance(value.mantissa, Initialization):
        return value.mantissa * value.unit
    return value


def _custom(function: Any) -> Initialization:
    """Wrap a user's own; one that can't be hashed, as a dataclass, goes by what it is."""
    return Custom(functools.partial(function) if type(function).__hash__ is None else function)


def as_children(name: str, value: Any) -> tuple[Initialization, ...]:
    """Take what a user gives for a sequence of initializers."""
    try:
        parts = None if isinstance(value, (str, bytes, Mapping)) else list(value)
    except TypeError:
        parts = None
    if parts is None:
        raise TypeError(f"`{name}` must be a sequence of initializers, got {units.brief(value)}")
    return tuple(as_child(f"{name}[{i}]", part) for i, part in enumerate(parts))
