"""The parts of an initializer: other initializers, users' functions, numbers."""

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
    """Draw by a user's own function, called with a key as in JAX, or with a size."""
    return draw(called(function), key, shape, dtype, context=context)


class Custom(Initialization, function=custom, recipe=called):
    """A user's own initializer or function, wrapped."""

    function: Callable[..., Any] = static()

    def __repr__(self) -> str:
        return repr(self.function)


def as_child(name: str, value: Any) -> Initialization:
    """Convert an initializer, a function or a number to an initializer."""
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
    """Unwrap the Quantity that brainunit makes of ``u.nS * initializer``."""
    if isinstance(value, u.Quantity) and isinstance(value.mantissa, Initialization):
        return value.mantissa * value.unit
    return value


def _custom(function: Any) -> Initialization:
    """Wrap a user's function; a `partial` makes one hashable that is not, as a dataclass."""
    return Custom(functools.partial(function) if type(function).__hash__ is None else function)


def as_children(name: str, value: Any) -> tuple[Initialization, ...]:
    """Convert a sequence of initializers, functions and numbers to initializers."""
    try:
        parts = None if isinstance(value, (str, bytes, Mapping)) else list(value)
    except TypeError:
        parts = None
    if parts is None:
        raise TypeError(f"`{name}` must be a sequence of initializers, got {units.brief(value)}")
    return tuple(as_child(f"{name}[{i}]", part) for i, part in enumerate(parts))
