"""The words the signatures are written in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, SupportsIndex, TypeAlias, runtime_checkable

import brainunit as u
import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import DTypeLike

__all__ = [
    "DType",
    "Initializer",
    "Key",
    "NumberLike",
    "QuantityLike",
    "RealLike",
    "ReciprocalLike",
    "Shape",
    "Sharding",
    "is_sequence",
]

Key: TypeAlias = jax.Array | np.ndarray
"""A typed key of any implementation, or a legacy ``uint32`` key of the default one."""

Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | np.ndarray
"""A size or a tuple of sizes; ``()`` is one number, zero-sized shapes are fine."""

DType: TypeAlias = DTypeLike
"""Anything that names a dtype."""

Sharding: TypeAlias = NamedSharding | PartitionSpec
"""Where the result is to live on a mesh."""

RealLike: TypeAlias = float | Sequence[float] | np.number | np.ndarray | jax.Array
"""A dimensionless real parameter: a number or an array, concrete or traced."""

QuantityLike: TypeAlias = RealLike | u.Quantity | u.Unit
"""A real parameter that may carry a unit, which it then shares with its partners.

A bare unit is no parameter; it stands here because to a type checker ``0.5 * u.nS`` is
a ``Unit | Quantity``.
"""

ReciprocalLike: TypeAlias = RealLike | u.Quantity | u.Unit
"""A real parameter that counts per unit of its partners, as a slope counts per length."""

NumberLike: TypeAlias = complex | QuantityLike
"""Any number at all."""


def is_sequence(value: Any) -> bool:
    """Whether a value is several: a list, a range, any sequence that is not text."""
    text = (str, bytes, bytearray, memoryview)
    return isinstance(value, (list, tuple)) or (
        isinstance(value, Sequence) and not isinstance(value, text)
    )


@runtime_checkable
class Initializer(Protocol):
    """Anything that makes the initial values of a parameter in JAX's way.

    Every object and every function of this package is one, and so is a function of
    one's own ``(key, shape, dtype=None)``.
    """

    def __call__(self, key: Any, shape: Any, dtype: Any = None) -> Any: ...
