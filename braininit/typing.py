"""The types in the signatures, for your own annotations.

Array and key types are chex's: `Array`, `ArrayTree`, `PRNGKey`, `Scalar`.
"""

from chex import Array, ArrayTree, PRNGKey, Scalar

from braininit._params.types import (
    DType,
    Initializer,
    InitializerLike,
    Key,
    Loaded,
    NumberLike,
    QuantityLike,
    RealLike,
    ReciprocalLike,
    Shape,
    Sharding,
    Values,
)

__all__ = [
    "Array",
    "ArrayTree",
    "DType",
    "Initializer",
    "InitializerLike",
    "Key",
    "Loaded",
    "NumberLike",
    "PRNGKey",
    "QuantityLike",
    "RealLike",
    "ReciprocalLike",
    "Scalar",
    "Shape",
    "Sharding",
    "Values",
]
