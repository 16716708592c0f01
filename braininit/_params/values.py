"""Objects as values: frozen, PyTrees, equal and printed by what they hold."""

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
    "fields",
    "frozen",
    "identity",
    "kinds",
    "refuse_deep",
    "register",
    "static",
    "written",
]


def static(**options: Any) -> Any:
    """A field that is part of an object's type to JAX: a mode, a unit, not a number."""
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static,))
class Value:
    """Base class of what is made of parameters, and is nothing but them.

    A subclass becomes a value by `frozen` and `register`: a frozen dataclass, and a PyTree
    whose leaves are its parameters. Fields made by `static` belong to the type instead.
    """

    _repr_html_: ClassVar[Callable[[Value], str | None]]
    """How a notebook shows an object; the package sets it, from above."""

    def __post_init__(self) -> None:
        """Store the parameters in one form."""
        shared, values = {}, {}
        for f in fields(self):
            value, kind = getattr(self, f.name), kinds(type(self))[f.name]
            if kind == "unit":
                values[f.name] = _units.as_unit(f.name, value)
            elif f.metadata.get("static"):
                values[f.name] = _settled(value)
            elif value is None and f.default is None:
                pass  # left open
            elif kind == "shared":
                shared[f.name] = value
            elif kind in ("number", "reciprocal") or _is_number(value):
                values[f.name] = _units.on(*_units.unwrap(f.name, value, number=True))
        for name, value in (values | dict(_units.as_written(**shared))).items():
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and copy the parameters alone."""
        names = {f.name for f in fields(self)}
        return {n: v for n, v in self.__dict__.items() if n in names or n[:1] != "_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle or a copy, arrays read-only as they were."""
        for name, value in state.items():
            bare = value.mantissa if isinstance(value, u.Quantity) else value
            if isinstance(bare, np.ndarray) and dataclasses.is_dataclass(self):
                bare.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def __fn_or_cls__(self) -> str:
        """What stands for the object where linen's ``nn.jit`` tells modules apart.

        Left to itself linen walks through the fields: it stumbles over Quantities and JAX
        arrays, and takes -1.0 for -2.0, whose hashes are equal in Python.
        """
        return repr(identity(self) if dataclasses.is_dataclass(self) else self)

    def __eq__(self, other: object) -> bool:
        """Equal in type, values as written, dtypes and units; always a plain bool."""
        if self is other:
            return True
        if type(self) is not type(other) or not dataclasses.is_dataclass(self):
            return False
        return identity(self) == identity(other)

    def __hash__(self) -> int:
        return hash(identity(self)) if dataclasses.is_dataclass(self) else id(self) >> 4

    def __repr__(self) -> str:
        """The call that makes the object; evaluates with `Quantity` and `array` at hand.

        Arrays of more than 1,000 numbers are shortened, as NumPy does: those don't evaluate.
        """
        if not dataclasses.is_dataclass(self):
            return object.__repr__(self)
        given = (f"{f.name}={written(getattr(self, f.name))}" for f in fields(self))
        return f"{type(self).__name__}({', '.join(given)})"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Named(Mapping[str, Any]):
    """Parameters by name, in their order. A dict has no hash, and JAX sorts its names."""

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
    """Make a frozen dataclass of a subclass of `Value`."""
    dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)


def register(cls: type) -> None:
    """Make a PyTree of a subclass of `Value`, if it is a dataclass."""
    if dataclasses.is_dataclass(cls):
        jax.tree_util.register_pytree_with_keys(
            cls, _flatten_with_keys, _unflattener(cls), _flatten
        )


def fields(obj: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The fields of an object or a class; none where it is no dataclass."""
    return _fields(obj if isinstance(obj, type) else type(obj))


@functools.lru_cache(maxsize=1024)
def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


@functools.lru_cache(maxsize=1024)
def kinds(cls: type) -> Mapping[str, str]:
    """What each field holds, by the annotation's type.

    "child", "children" or "named" of an initializer's parameters, "shared" for a number that shares
    its unit with its like, "number" and "reciprocal" for others, "unit" or "option" for static
    ones.
    """
    return {f.name: _kind(cls, f) for f in fields(cls)}


def _kind(cls: type, field: dataclasses.Field[Any]) -> str:
    hint = field.type
    if isinstance(hint, str):  # a module postpones its annotations
        owner = next(c for c in cls.__mro__ if field.name in vars(c).get("__annotations__", {}))
        try:
            hint = eval(hint, vars(sys.modules[owner.__module__]))
        except Exception:  # a name that only the function around the class knows
            return "other"
    if field.metadata.get("static"):
        return "unit" if u.Unit in typing.get_args(hint) else "option"
    return _said(hint) or "other"


def _said(hint: Any) -> str | None:
    """The kind that an annotation names, the outermost first."""
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, Kind):
            return mark.name
    if hint is Initializer:
        return "child"
    inner = (_said(arg) for arg in typing.get_args(hint))
    found = next((kind for kind in inner if kind), None)
    several = {Sequence: "children", Mapping: "named"}.get(typing.get_origin(hint))
    return several if found == "child" and several else found


def _settled(option: Any) -> Any:
    """A static option in the one form that hashes, and that a repr can give back."""
    if isinstance(option, (np.ndarray, jax.Array)) and not isinstance(option, Tracer):
        # A key is no list of options, and says so if it is read.
        option = np.asarray(option).tolist() if isinstance(option.dtype, np.dtype) else option
    if is_sequence(option):
        return tuple(_settled(o) for o in option)
    return option.item() if isinstance(option, np.generic) else option


def _is_number(value: Any) -> bool:
    kinds = (numbers.Complex, np.generic, np.ndarray, jax.Array, u.Quantity)
    return isinstance(value, kinds) and not isinstance(value, bool)


# ---------------------------------------------------------------- nesting

_DEEPEST = 64
"""A draw takes 8 Python frames a level, and Python gives up at 1,000 in all."""


def refuse_deep(obj: Value) -> None:
    """Refuse an object nested so deeply that drawing, printing or comparing it may not end."""
    if (levels := _levels(obj)) > _DEEPEST:
        raise ValueError(
            f"{type(obj).__name__} would be {levels} levels deep, the limit is {_DEEPEST}; join "
            "numbers first, as in x + 3 for x + 1 + 1 + 1, or draw the parts and add the draws"
        )


def _levels(obj: Value) -> int:
    """How deeply an object is nested: 1 if it holds no other."""
    if "_levels" not in obj.__dict__:
        held = (getattr(obj, f.name) for f in fields(obj))
        parts = (part for x in held for part in (x if type(x) is tuple else (x,)))
        below = (_levels(part) for part in parts if isinstance(part, Value))
        object.__setattr__(obj, "_levels", 1 + max(below, default=0))
    return obj.__dict__["_levels"]


# ---------------------------------------------------------------- PyTree


def _flatten(obj: Any) -> tuple[list[Any], tuple[Any, ...]]:
    every = fields(obj)
    return (
        [getattr(obj, f.name) for f in every if not f.metadata.get("static")],
        tuple(getattr(obj, f.name) for f in every if f.metadata.get("static")),
    )


def _flatten_with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
    children, aux = _flatten(obj)
    names = [f.name for f in fields(obj) if not f.metadata.get("static")]
    return [(jax.tree_util.GetAttrKey(n), c) for n, c in zip(names, children, strict=True)], aux


def _unflattener(cls: type) -> Callable[[Any, Any], Any]:
    def unflatten(aux: Any, children: Any) -> Any:
        # Past __init__: a transform may put anything into the leaves, and nothing is checked.
        obj, children, aux = object.__new__(cls), iter(children), iter(aux)
        for f in fields(cls):
            value = next(aux if f.metadata.get("static") else children)
            object.__setattr__(obj, f.name, value)
        return obj

    return unflatten


# ---------------------------------------------------------------- equality and repr


def identity(obj: Any) -> tuple[Any, ...]:
    """What two equal objects share: hashable, and comparable without an error."""
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
        return identity(value)  # its hash would make this anew at each level: 2^depth times
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
    # By its digits: NaN is to equal NaN, and -0.0 is not to equal 0.0, as within arrays.
    return (float, value.hex()) if type(value) is float else (type(value), value)


# Numbers of an array that are written in full: as many as NumPy prints.
_MOST_WRITTEN = 1000


def written(value: Any) -> str:
    """Write a parameter so that it evaluates; a longer array shortened, with its shape."""
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
        shaped = f".reshape({concrete.shape})" if concrete.size == 0 else ""
        return f"array({digits}, dtype={str(concrete.dtype)!r}{shape}){shaped}"
    return repr(value)
