"""Objects as values: frozen PyTrees, compared and printed by their fields."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, dataclass_transform

import brainunit as u
import jax
import numpy as np
from jax.core import Tracer

from braininit._params import units as _units
from braininit._params.types import Initializer, Kind, is_sequence

__all__ = [
    "Named",
    "Value",
    "field_kinds",
    "fields",
    "frozen",
    "identity",
    "refuse_deep",
    "register",
    "static",
    "written",
]


def static(**options: Any) -> Any:
    """A field that is static to JAX, part of the tree structure: a mode or a unit, not a number."""
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static,))
class Value:
    """Base class of objects that consist of their parameters.

    `frozen` makes a subclass a frozen dataclass, `register` a PyTree whose leaves are its
    parameters. Fields made by `static` belong to the tree structure instead.
    """

    _repr_html_: ClassVar[Callable[[Value], str | None]]
    """The HTML that a notebook shows; set by ``braininit/__init__.py``."""

    def __post_init__(self) -> None:
        """Store the parameters in canonical form."""
        shared, values = {}, {}
        for f in fields(self):
            value, kind = getattr(self, f.name), field_kinds(type(self))[f.name]
            if kind == "unit":
                values[f.name] = _units.as_unit(f.name, value)
            elif f.metadata.get("static"):
                values[f.name] = _hashable(value)
            elif value is None and f.default is None:
                pass  # an optional parameter that is not given
            elif kind == "shared":
                shared[f.name] = value
            elif kind in ("number", "reciprocal") or _is_number(value):
                values[f.name] = _units.on(*_units.unwrap(f.name, value, number=True))
        for name, value in (values | dict(_units.as_written(**shared))).items():
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and copy only the parameters."""
        names = {f.name for f in fields(self)}
        return {n: v for n, v in self.__dict__.items() if n in names or n[:1] != "_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle or a copy; arrays become read-only again."""
        for name, value in state.items():
            bare = value.mantissa if isinstance(value, u.Quantity) else value
            if isinstance(bare, np.ndarray) and dataclasses.is_dataclass(self):
                bare.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def __fn_or_cls__(self) -> str:
        """The text by which linen's ``nn.jit`` tells objects apart.

        Without it linen walks through the fields: it fails for Quantities and JAX arrays, and
        confuses -1.0 with -2.0, whose hashes are equal in Python.
        """
        return repr(identity(self) if dataclasses.is_dataclass(self) else self)

    def __eq__(self, other: object) -> bool:
        """Whether types, values as written, dtypes and units are equal; always a plain bool."""
        if self is other:
            return True
        if type(self) is not type(other) or not dataclasses.is_dataclass(self):
            return False
        return identity(self) == identity(other)

    def __hash__(self) -> int:
        return hash(identity(self)) if dataclasses.is_dataclass(self) else id(self) >> 4

    def __repr__(self) -> str:
        """The call that makes the object; it evaluates where `Quantity` and `array` are imported.

        Arrays of more than 1,000 numbers are abbreviated as in NumPy, and don't evaluate.
        """
        if not dataclasses.is_dataclass(self):
            return object.__repr__(self)
        arguments = (f"{f.name}={written(getattr(self, f.name))}" for f in fields(self))
        return f"{type(self).__name__}({', '.join(arguments)})"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Named(Mapping[str, Any]):
    """Parameters by name, in order. Unlike a dict it is hashable, and JAX does not sort it."""

    pairs: tuple[tuple[str, Any], ...]

    def __getitem__(self, name: str) -> Any:
        return dict(self.pairs)[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name!r}: {written(value)}' for name, value in self.pairs)}}}"


jax.tree_util.register_pytree_with_keys(
    Named,
    lambda named: ([(jax.tree_util.DictKey(n), v) for n, v in named.pairs], tuple(named)),
    lambda names, values: Named(tuple(zip(names, values, strict=True))),
)


def frozen(cls: type) -> None:
    """Make a subclass of `Value` a frozen dataclass."""
    dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)


def register(cls: type) -> None:
    """Register a subclass of `Value` as a PyTree, if it is a dataclass."""
    if dataclasses.is_dataclass(cls):
        jax.tree_util.register_pytree_with_keys(
            cls, _flatten_with_keys, _unflattener(cls), _flatten
        )


def fields(obj: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The fields of an object or a class; none unless it is a dataclass."""
    return _fields(obj if isinstance(obj, type) else type(obj))


@functools.lru_cache(maxsize=1024)
def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


@functools.lru_cache(maxsize=1024)
def field_kinds(cls: type) -> Mapping[str, str]:
    """The kind of each field, from its annotation.

    "child", "children" and "named" hold initializers, "shared" a number that shares its unit with
    the others of this kind, "number" and "reciprocal" other numbers, "unit" and "option" static
    fields.
    """
    return {f.name: _kind(cls, f) for f in fields(cls)}


def _kind(cls: type, field: dataclasses.Field[Any]) -> str:
    hint = field.type
    if isinstance(hint, str):  # postponed annotations
        owner = next(c for c in cls.__mro__ if field.name in vars(c).get("__annotations__", {}))
        try:
            hint = eval(hint, vars(sys.modules[owner.__module__]))
        except Exception:  # a name local to the function that defines the class
            return "other"
    if field.metadata.get("static"):
        return "unit" if u.Unit in typing.get_args(hint) else "option"
    return _kind_in(hint) or "other"


def _kind_in(hint: Any) -> str | None:
    """The outermost kind that an annotation names."""
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, Kind):
            return mark.name
    if hint is Initializer:
        return "child"
    inner = (_kind_in(arg) for arg in typing.get_args(hint))
    kind = next((kind for kind in inner if kind), None)
    plural = {Sequence: "children", Mapping: "named"}.get(typing.get_origin(hint))
    return plural if kind == "child" and plural else kind


def _hashable(option: Any) -> Any:
    """A static option in a form that is hashable and has an evaluable repr."""
    if isinstance(option, (np.ndarray, jax.Array)) and not isinstance(option, Tracer):
        # Not a typed key, which can't be read as an array.
        option = np.asarray(option).tolist() if isinstance(option.dtype, np.dtype) else option
    if is_sequence(option):
        return tuple(_hashable(o) for o in option)
    return option.item() if isinstance(option, np.generic) else option


def _is_number(value: Any) -> bool:
    types = (numbers.Complex, np.generic, np.ndarray, jax.Array, u.Quantity)
    return isinstance(value, types) and not isinstance(value, bool)


# ---------------------------------------------------------------- nesting

_DEEPEST = 64
"""A draw takes 8 Python frames for each level, of the 1,000 that Python allows."""


def refuse_deep(obj: Value) -> None:
    """Refuse an object nested so deeply that drawing or printing it may exceed Python's stack."""
    if (levels := _levels(obj)) > _DEEPEST:
        raise ValueError(
            f"{type(obj).__name__} would be {levels} levels deep, the limit is {_DEEPEST}; join "
            "numbers first, as in x + 3 for x + 1 + 1 + 1, or draw the parts and add the draws"
        )


def _levels(obj: Value) -> int:
    """The depth of an object: 1 if it contains no other."""
    if "_levels" not in obj.__dict__:
        values = (getattr(obj, f.name) for f in fields(obj))
        parts = (part for x in values for part in (x if type(x) is tuple else (x,)))
        below = (_levels(part) for part in parts if isinstance(part, Value))
        object.__setattr__(obj, "_levels", 1 + max(below, default=0))
    return obj.__dict__["_levels"]


# ---------------------------------------------------------------- PyTree


def _flatten(obj: Any) -> tuple[list[Any], tuple[Any, ...]]:
    return (
        [getattr(obj, f.name) for f in fields(obj) if not f.metadata.get("static")],
        tuple(getattr(obj, f.name) for f in fields(obj) if f.metadata.get("static")),
    )


def _flatten_with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
    children, aux = _flatten(obj)
    names = [f.name for f in fields(obj) if not f.metadata.get("static")]
    return [(jax.tree_util.GetAttrKey(n), c) for n, c in zip(names, children, strict=True)], aux


def _unflattener(cls: type) -> Callable[[Any, Any], Any]:
    def unflatten(aux: Any, children: Any) -> Any:
        # Without __init__: transforms may put anything into the leaves, so nothing is checked.
        obj, children, aux = object.__new__(cls), iter(children), iter(aux)
        for f in fields(cls):
            value = next(aux if f.metadata.get("static") else children)
            object.__setattr__(obj, f.name, value)
        return obj

    return unflatten


# ---------------------------------------------------------------- equality and repr


def identity(obj: Any) -> tuple[Any, ...]:
    """A hashable key, equal for equal objects and always comparable."""
    return (
        type(obj),
        *(
            getattr(obj, f.name)
            if f.metadata.get("static")
            else _leaf_identity(getattr(obj, f.name))
            for f in fields(obj)
        ),
    )


def _leaf_identity(value: Any) -> Any:
    if isinstance(value, Value) and dataclasses.is_dataclass(type(value)):
        return identity(value)  # not `value`: hashes would be recomputed 2^depth times
    if type(value) is tuple:
        return (tuple, *map(_leaf_identity, value))
    if isinstance(value, u.Quantity):
        return (_leaf_identity(value.mantissa), value.unit)
    if isinstance(value, Tracer):
        return ("tracer", id(value))
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        concrete = np.asarray(value)
        return (concrete.shape, str(concrete.dtype), concrete.tobytes())
    try:
        hash(value)
    except TypeError:
        return ("object", id(value))
    # By digits, so that NaN equals NaN and -0.0 differs from 0.0, as within arrays.
    return (float, value.hex()) if type(value) is float else (type(value), value)


_MOST_WRITTEN = 1000
"""Longest array written in full, as in NumPy."""


def written(value: Any) -> str:
    """A parameter as text that evaluates; a longer array is abbreviated, with its shape."""
    if type(value) is float and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, u.Quantity):
        return f"Quantity({written(value.mantissa)}, {str(value.unit)!r})"
    if isinstance(value, u.Unit):
        return repr(str(value))
    if isinstance(value, (np.ndarray, jax.Array)) and not isinstance(value, Tracer):
        concrete = np.asarray(value)
        digits = np.array2string(
            concrete,
            separator=", ",
            floatmode="unique",
            max_line_width=10**9,
            threshold=_MOST_WRITTEN,
        ).replace("\n", "")
        digits = re.sub(r"\b(nan|inf)\b", r"float('\1')", digits)
        shape = f", shape={concrete.shape}" if concrete.size > _MOST_WRITTEN else ""
        reshape = f".reshape({concrete.shape})" if concrete.size == 0 else ""
        return f"array({digits}, dtype={str(concrete.dtype)!r}{shape}){reshape}"
    return repr(value)
