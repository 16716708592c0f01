"""The words the signatures are written in; `braininit.typing` has them for users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NamedTuple,
    Protocol,
    SupportsIndex,
    TypeAlias,
    runtime_checkable,
)

import brainunit as u
import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import DTypeLike

__all__ = [
    "DType",
    "Initializer",
    "InitializerLike",
    "Key",
    "Kind",
    "Loaded",
    "NumberLike",
    "QuantityLike",
    "RealLike",
    "ReciprocalLike",
    "Shape",
    "Sharding",
    "Values",
    "is_sequence",
]


class Kind(NamedTuple):
    """What a field of a class holds, said in its annotation."""

    name: str


Key: TypeAlias = jax.Array | np.ndarray
"""A typed key of any implementation, or a legacy ``uint32`` key of the default one."""

Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | np.ndarray
"""A size or a tuple of sizes; ``()`` is one number, zero-sized shapes are fine."""

DType: TypeAlias = DTypeLike
"""Anything that names a dtype."""

Sharding: TypeAlias = NamedSharding | PartitionSpec
"""Where the result is to live on a mesh."""

RealLike: TypeAlias = Annotated[
    float | Sequence[float] | np.number | np.ndarray | jax.Array, Kind("number")
]
"""A dimensionless real parameter: a number or an array, concrete or traced."""

QuantityLike: TypeAlias = Annotated[RealLike | u.Quantity | u.Unit, Kind("shared")]
"""A real parameter that may carry a unit, which it then shares with its partners.

A bare unit is no parameter; it stands here because to a type checker ``0.5 * u.nS`` is
a ``Unit | Quantity``.
"""

ReciprocalLike: TypeAlias = Annotated[RealLike | u.Quantity | u.Unit, Kind("reciprocal")]
"""A real parameter that counts per unit of its partners, as a slope counts per length."""

NumberLike: TypeAlias = Annotated[complex | QuantityLike, Kind("number")]
"""Any number at all."""


@runtime_checkable
class Initializer(Protocol):
    """Anything that makes the initial values of a parameter in JAX's way.

    Every object and every function of this package is one, and so is a function of
    one's own ``(key, shape, dtype=None)``.
    """

    def __call__(self, key: Any, shape: Any, dtype: Any = None) -> Any: ...


InitializerLike: TypeAlias = Annotated[Initializer | Callable[..., Any] | NumberLike, Kind("child")]
"""What may stand for an initializer: one, a function of one's own, or a constant."""


if TYPE_CHECKING:

    class Values(jax.Array, u.Quantity):  # pyright: ignore
        """Draws, to a type checker: what an array and what a Quantity can do."""

        def __add__(self, other: Any) -> Values: ...  # pyright: ignore
        def __sub__(self, other: Any) -> Values: ...  # pyright: ignore
        def __mul__(self, other: Any) -> Values: ...  # pyright: ignore
        def __truediv__(self, other: Any) -> Values: ...  # pyright: ignore
        def __pow__(self, other: Any) -> Values: ...  # pyright: ignore
        def __radd__(self, other: Any) -> Values: ...  # pyright: ignore
        def __rsub__(self, other: Any) -> Values: ...  # pyright: ignore
        def __rmul__(self, other: Any) -> Values: ...  # pyright: ignore
        def __rtruediv__(self, other: Any) -> Values: ...  # pyright: ignore
        def __neg__(self) -> Values: ...  # pyright: ignore
        def __abs__(self) -> Values: ...  # pyright: ignore
        def __getitem__(self, index: Any) -> Values: ...  # pyright: ignore
        def __iter__(self) -> Iterator[Values]: ...  # pyright: ignore
        def __lt__(self, other: Any) -> jax.Array: ...  # pyright: ignore
        def __le__(self, other: Any) -> jax.Array: ...  # pyright: ignore
        def __gt__(self, other: Any) -> jax.Array: ...  # pyright: ignore
        def __ge__(self, other: Any) -> jax.Array: ...  # pyright: ignore
        def sum(self, *args: Any, **kwargs: Any) -> Values: ...  # pyright: ignore
        def mean(self, *args: Any, **kwargs: Any) -> Values: ...  # pyright: ignore
        def std(self, *args: Any, **kwargs: Any) -> Values: ...  # pyright: ignore
        def min(self, *args: Any, **kwargs: Any) -> Values: ...  # pyright: ignore
        def max(self, *args: Any, **kwargs: Any) -> Values: ...  # pyright: ignore
        def reshape(self, *args: Any, **kwargs: Any) -> Values: ...  # pyright: ignore
        def astype(self, *args: Any, **kwargs: Any) -> Values: ...  # pyright: ignore

    class Loaded(Values, dict[str, Values]):  # pyright: ignore
        """A file's content, to a type checker: one array, or several by name."""
else:
    Loaded: TypeAlias = jax.Array | u.Quantity | dict[str, Any]
    """A file's content: one array, or several by name."""
    Values: TypeAlias = jax.Array | u.Quantity
    """Draws: a plain array, or a Quantity where the parameters carry a unit."""


def is_sequence(value: Any) -> bool:
    """Whether a value is several: a list, a range, any sequence that is not text."""
    text = (str, bytes, bytearray, memoryview)
    return isinstance(value, (list, tuple)) or (
        isinstance(value, Sequence) and not isinstance(value, text)
    )
