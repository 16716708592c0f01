"""Sizes and shapes as users write them, and parameters that broadcast to them."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from braininit._jax.shardings import broadcasts
from braininit._params.types import is_sequence
from braininit._params.units import MOST_AXES, brief

try:
    from jax.extend.core import InconclusiveDimensionOperation
except Exception:  # then JAX's own message about symbolic sizes reaches the user
    InconclusiveDimensionOperation = TypeError

__all__ = ["SizeNeeded", "aligned", "as_shape", "refuse_unless_broadcasts", "sizes_known"]


class SizeNeeded(ValueError):
    """A result depends on a size that was not given."""


def as_shape(shape: Any) -> tuple[int, ...]:
    """Return a size or a shape, in any form, as a tuple of ints."""
    if type(shape) is int:
        if 0 <= shape < 2**62:
            return (shape,)
        sizes: Any = (shape,)
    elif isinstance(shape, np.ndarray):
        sizes = shape.tolist() if shape.ndim else (shape.item(),)
    else:
        sizes = shape if is_sequence(shape) else (shape,)
    if len(sizes) > MOST_AXES:
        raise ValueError(f"a size has {MOST_AXES} axes at most, got {len(sizes)}; join some")
    try:
        sizes = tuple(n if type(n) is int else _index(n) for n in sizes)
    except Exception as error:
        cause = None if isinstance(error, TypeError) else error
        raise TypeError(f"a size is an int or a tuple of ints, {_not_a_size(shape)}") from cause
    known = [n for n in sizes if type(n) is int]  # others are symbolic, for `jax.export`
    if min(known, default=0) < 0:
        raise ValueError(f"a size must be 0 or more, got {sizes}")
    if math.prod(n for n in known if n) >= 2**62:
        raise ValueError(f"a size of {sizes} is beyond what any machine holds")
    return sizes


def _not_a_size(value: Any) -> str:
    """The end of an error message: the value that is not a size, and the remedy."""
    key_dtypes = (jax.dtypes.prng_key, np.uint32)  # typed and legacy
    if isinstance(value, jax.Array) and any(jnp.issubdtype(value.dtype, k) for k in key_dtypes):
        return "got a key; the key comes first, then the shape"
    if isinstance(value, float) and value >= 1 and value.is_integer():
        return f"got {value}; write {int(value)}"
    return f"got {brief(value)}; write 100 or (10, 10), for example"


@contextmanager
def sizes_known(shape: tuple[int, ...], remedy: str = "") -> Iterator[None]:
    """Replace Python's and JAX's errors about symbolic sizes by one that says the remedy."""
    try:
        yield
    except (TypeError, InconclusiveDimensionOperation) as error:
        raise TypeError(
            f"this draw has to know its sizes, got {shape}; export it for known sizes{remedy}"
        ) from error


def _index(n: Any) -> Any:
    if isinstance(n, (bool, np.bool_)):
        raise TypeError
    return n if jax.export.is_symbolic_dim(n) else operator.index(n)


def refuse_unless_broadcasts(
    name: str, parameter_shape: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    """Refuse a parameter whose shape does not broadcast to the result's."""
    if not broadcasts(parameter_shape, shape):
        raise ValueError(
            f"`{name}` of shape {parameter_shape} does not broadcast to the size {shape}; "
            "make its trailing sizes equal to the result's, or 1"
        )


def aligned(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> jax.Array:
    """Give an array parameter the result's rank; a scalar stays a scalar, and fuses as such."""
    value = jax.lax.convert_element_type(jnp.asarray(value), dtype)
    if value.ndim == 0:
        return value
    refuse_unless_broadcasts(name, value.shape, shape)
    return value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
