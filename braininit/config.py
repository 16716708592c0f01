"""Initializers as text and plain data: names, expressions and dictionaries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import brainunit as u
import numpy as np
from jax.core import Tracer

from braininit._params import reader, units
from braininit._params.values import Named, Value, field_kinds, fields
from braininit.initializer.calls import alike, folded, nearest
from braininit.initializer.children import Custom, as_child, without_quantity
from braininit.initializer.initialization import Initialization

__all__ = ["classes", "get", "to_config"]

_MAX_DEPTH = 150  # levels of plain data; a list is one level more than its items
_MAX_PARTS = 10_000_000  # lists and dictionaries in one level


def to_config(obj: Any) -> dict[str, Any]:
    """Convert an initializer or a distance profile to a plain dictionary.

    Parameters
    ----------
    obj : Initialization or DistanceProfile
        An object of this package's classes, or of a user's class defined like them; also nested.

    Returns
    -------
    dict
        Holds only strings, numbers, lists and dictionaries; `get` makes the object again.

    Raises
    ------
    TypeError
        If the object holds a function or a traced value.
    ValueError
        If the dictionary would be nested more than 150 deep.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.to_config(init.Exponential(1.5 * u.ms))
    {'class': 'Exponential', 'scale': {'value': 1.5, 'unit': 'ms'}}
    """
    obj = without_quantity(obj)
    if not isinstance(obj, Value):
        raise TypeError(f"{obj!r} can't be written as plain data; only named objects can")
    return _bounded(_plain("obj", obj))


def get(identifier: Any) -> Initialization:
    """Make an initializer from its name, an expression, or the result of `to_config`.

    Parameters
    ----------
    identifier : str, mapping, initializer or number
        The name of a class or of its function, in any case (``"KaimingNormal"``,
        ``"he_normal"``); an expression, as on the command line; a quantity (``"0.5 nS"``);
        a dictionary with the name under ``"class"`` and the parameters beside it,
        Quantities as text or as a dictionary of `value` and `unit`, lists as any sequence.
        An initializer is returned unchanged. No text is evaluated as code.

    Returns
    -------
    Initialization or DistanceProfile
        The object.

    Raises
    ------
    ValueError
        If a class or a unit is unknown, or `identifier` is nested too deeply.
    TypeError
        If a parameter is missing, unknown or of the wrong kind.

    Examples
    --------
    >>> import braininit as init
    >>> init.get("uniform")
    Uniform(low=0.0, high=1.0)
    >>> init.get("Normal(0.5*nS, 0.15*nS)")
    Normal(mean=Quantity(0.5, 'nS'), std=Quantity(0.15, 'nS'))
    >>> init.get({"class": "Normal", "mean": "0.5 nS", "std": {"value": 150, "unit": "pS"}})
    Normal(mean=Quantity(0.5, 'nS'), std=Quantity(150.0, 'pS'))
    """
    if isinstance(identifier, str):
        if identifier.isidentifier() and reader.quantity("identifier", identifier) is None:
            return _named(identifier)()
        identifier = reader.read(identifier, classes())
    if isinstance(identifier, Mapping):
        identifier = _from_mapping("the configuration", _bounded(identifier))
    obj = identifier if isinstance(identifier, Value) else as_child("identifier", identifier)
    return cast(Initialization, obj)  # a profile can only come from text that names one


def classes() -> dict[str, Any]:
    """Every class that text may name; of two with one name, braininit's rather than a user's."""
    found: list[type] = [Value]
    for cls in found:  # the list grows meanwhile
        found += cls.__subclasses__()
    named = [cls for cls in found if fields(cls) or getattr(cls, "_function", None)]
    named.remove(Custom)  # it holds a function, which text can't name
    named.sort(key=lambda cls: cls.__module__.partition(".")[0] == __package__)
    return {cls.__name__: cls for cls in named if not cls.__name__.startswith("_")}


def _named(name: str) -> Any:
    """The class of a name, its own or its function's, in any case."""
    by_name = classes()
    twins = (cls for cls in by_name.values() if getattr(cls, "_function", None))
    known = {folded(cls._function.__name__): cls for cls in twins}
    known |= {folded(n): cls for n, cls in by_name.items()}  # the class's own name takes precedence
    if folded(name) not in known:
        raise ValueError(f"no initializer is called {name!r}{alike(name, [*by_name])}")
    return known[folded(name)]


def _plain(name: str, value: Any) -> Any:
    """Convert an object or a parameter to plain data."""
    if isinstance(value, Value) and type(value).__name__ in classes():
        parameters = {f.name: _plain(f.name, getattr(value, f.name)) for f in fields(value)}
        return {"class": type(value).__name__, **parameters}
    if isinstance(value, Named):
        return {n: _plain(n, v) for n, v in value.items()}
    if isinstance(value, u.Quantity):
        return {"value": _plain(name, value.mantissa), "unit": str(value.unit)}
    if isinstance(value, (list, tuple)):
        return [_plain(name, v) for v in value]
    if isinstance(value, complex):
        return {"complex": [_plain(name, value.real), _plain(name, value.imag)]}
    if isinstance(value, u.Unit) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)  # JSON has no infinity
    if hasattr(value, "__array__") and not isinstance(value, Tracer):
        array = np.asarray(value)
        return {"array": _plain(name, array.tolist()), "dtype": str(array.dtype)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"`{name}` = {units.brief(value)} can't be written as plain data; write a condition as a "
        "mask, a count or a fraction, as in Conditional([80, 20], ...), and apply another function "
        "where the object is made"
    )


def _from_mapping(name: str, config: Mapping[Any, Any]) -> Any:
    """Make a Quantity, an array, a complex number or an object from a dictionary."""
    match dict(config):
        case {"value": value, "unit": unit} if len(config) == 2:
            return units.on(_bare(name, value), units.as_unit(name, unit))
        case {"array": value, "dtype": dtype_name} if len(config) == 2:
            array, dtype = np.asarray(_bare(name, value)), reader.number_dtype(name, dtype_name)
            try:
                with np.errstate(over="raise"):
                    return array.astype(dtype, casting="same_kind")
            except (TypeError, FloatingPointError):
                raise TypeError(f"{dtype} can't hold `{name}` = {units.show(array)}") from None
        case {"complex": value} if len(config) == 1:
            if np.shape(parts := _bare(name, value)) == (2,):
                return complex(*parts)
            raise TypeError(
                f"`{name}` = {units.brief(config)} must have a real and an imaginary part"
            )
        case {"class": str(class_name), **rest}:
            cls = _named(class_name)
            known = field_kinds(cls)
            if unknown := [n for n in rest if n not in known]:
                raise nearest(cls.__name__, unknown[0], known)
            return cls(**{n: v if v is None else _value(n, v, known[n]) for n, v in rest.items()})
    raise TypeError(
        f"{name} = {units.brief(config)} names no class; write one as in {{'class': 'Normal'}}"
    )


def _value(name: str, value: Any, kind: str) -> Any:
    """Make a parameter; its kind tells if text is an option, an initializer or a number."""
    if _is_list(value):
        inner = {"children": "child", "child": "number"}.get(kind, kind)
        return [_value(f"{name}[{i}]", v, inner) for i, v in enumerate(value)]
    if isinstance(value, Mapping) and kind == "named":
        return {n: _value(f"{name}[{n!r}]", v, "child") for n, v in value.items()}
    if isinstance(value, Mapping):
        return _from_mapping(name, value)
    if kind in ("option", "unit"):
        return value.tolist() if hasattr(value, "tolist") else value
    if kind in ("child", "children") and isinstance(value, str):
        return get(value)
    number = reader.quantity(name, value) if isinstance(value, str) else value
    if number is None or isinstance(number, bool):
        raise TypeError(
            f"`{name}` must be a number, got {units.brief(value)}; write 0.5 or '0.5 nS'"
        )
    return number


def _bare(name: str, value: Any) -> Any:
    """A number or an array without a unit."""
    bare, unit = units.unwrap(name, _value(name, value, "number"), number=True)
    if unit is not None:
        raise TypeError(f"`{name}` must be a bare number here, got {units.show(bare, unit)}")
    return bare


def _is_list(value: Any) -> bool:
    """Whether a value counts as a list: it has a length and items, and is no text or array."""
    excluded = isinstance(value, (str, bytes, bytearray, Mapping)) or hasattr(value, "__array__")
    return not excluded and hasattr(type(value), "__getitem__") and hasattr(type(value), "__len__")


def _bounded(config: Any) -> Any:
    """Raise if data is too deep or too large to be read; data that contains itself is both."""
    level = {id(config): (config, 1)}  # each part once, with the number of its occurrences
    for _ in range(_MAX_DEPTH):
        parts: dict[int, tuple[Any, int]] = {}
        for whole, times in level.values():
            for part in whole.values() if isinstance(whole, Mapping) else whole:
                if isinstance(part, Mapping) or _is_list(part):
                    parts[id(part)] = part, parts.get(id(part), (part, 0))[1] + times
        if not parts:
            return config
        if sum(times for _, times in parts.values()) > _MAX_PARTS:
            break
        level = parts
    raise ValueError(
        f"the configuration contains itself, is nested more than {_MAX_DEPTH} deep, or has more "
        f"than {_MAX_PARTS} parts"
    )
