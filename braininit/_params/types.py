"""Types of the signatures; `braininit.typing` exports them for users."""

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
    """The kind of a field of a class, given in its annotation."""

    name: str


Key: TypeAlias = jax.Array | np.ndarray
"""A typed key of any implementation, or a legacy ``uint32`` key of the default one."""

Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | np.ndarray
"""A size or a tuple of sizes; ``()`` is a scalar, sizes may be 0."""

DType: TypeAlias = DTypeLike
"""Anything that names a dtype."""

Sharding: TypeAlias = NamedSharding | PartitionSpec
"""Where the result is to live on a mesh."""

RealLike: TypeAlias = Annotated[
    float | Sequence[float] | np.number | np.ndarray | jax.Array, Kind("number")
]
"""A dimensionless real parameter: a number or an array, concrete or traced."""

QuantityLike: TypeAlias = Annotated[RealLike | u.Quantity | u.Unit, Kind("shared")]
"""A real parameter that may carry a unit, shared with the other parameters of this kind.

A bare unit is not a valid parameter; the type includes it because to a type checker
``0.5 * u.nS`` is a ``Unit | Quantity``.
"""

ReciprocalLike: TypeAlias = Annotated[RealLike | u.Quantity | u.Unit, Kind("reciprocal")]
"""A real parameter in the reciprocal unit of the others, such as a slope per length."""

NumberLike: TypeAlias = Annotated[complex | QuantityLike, Kind("number")]
"""Any number at all."""


@runtime_checkable
class Initializer(Protocol):
    """A callable ``(key, shape, dtype=None)`` that returns initial values, as in JAX.

    Every initializer object of this package is one, and so is your own function.
    """

    def __call__(self, key: Any, shape: Any, dtype: Any = None) -> Any: ...


InitializerLike: TypeAlias = Annotated[Initializer | Callable[..., Any] | NumberLike, Kind("child")]
"""An initializer, your own function, or a constant."""


if TYPE_CHECKING:

    class Values(jax.Array, u.Quantity):  # pyright: ignore
        """Draws, to a type checker: an array and a Quantity at once."""

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
    """Whether a value is a list, a range or another sequence that is not text."""
    text = (str, bytes, bytearray, memoryview)
    return isinstance(value, (list, tuple)) or (
        isinstance(value, Sequence) and not isinstance(value, text)
    )
