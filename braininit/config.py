"""Initializers as plain data: names and dictionaries, for JSON, YAML and command lines."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._params import units
from braininit._params.types import is_sequence
from braininit._params.values import Value, fields
from braininit.initializer.calls import alike, folded, nearest
from braininit.initializer.children import Custom, as_child, without_quantity

__all__ = ["get", "number_dtype", "to_config"]

_DEEPEST = 150  # levels of plain data; a list of children is one more than each of them
_MOST = 10_000_000  # lists and dictionaries in one level
_TOO_DEEP = (
    f"the configuration holds itself, is nested more than {_DEEPEST} deep, or has more than "
    f"{_MOST} parts"
)


def to_config(obj: Any) -> dict[str, Any]:
    """Write an initializer, or a distance profile, as a plain dictionary.

    Parameters
    ----------
    obj : Initialization or DistanceProfile
        An object of this package's, or of a class made in its way; also nested.

    Returns
    -------
    dict
        Of strings, numbers, lists and dictionaries only; `get` makes the object again.

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
    try:
        return _bounded(_written(obj))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def get(identifier: Any) -> Any:
    """Make an initializer from its name, or whatever `to_config` wrote.

    Parameters
    ----------
    identifier : str, mapping, initializer or number
        A class's name or its function's, in any case (``"KaimingNormal"``,
        ``"kaiming_normal"``, also ``"he_normal"``); a dictionary with the name under
        ``"class"`` and parameters beside it; or anything that is an initializer, which is
        given back. A Quantity is a dictionary of `value` and `unit`, or text as in
        ``"0.5 nS"``. Any sequence but text goes for a list. Nothing in it is ever
        evaluated as code.

    Returns
    -------
    Initialization or DistanceProfile
        The object; a profile only from a dictionary that names one.

    Raises
    ------
    ValueError
        If no class has the name, or the dictionary is nested more than 150 deep.
    TypeError
        If a parameter is missing, unknown or of the wrong kind.

    Examples
    --------
    >>> import braininit as init
    >>> init.get("uniform")
    Uniform(low=0.0, high=1.0)
    >>> init.get({"class": "Normal", "mean": "0.5 nS", "std": {"value": 150, "unit": "pS"}})
    Normal(mean=Quantity(0.5, 'nS'), std=Quantity(150.0, 'pS'))
    """
    if isinstance(identifier, str):
        if re.match(r"[-+.\d]|(inf|nan)\b", identifier):
            return as_child("identifier", _number("identifier", identifier))
        return _named(identifier)()
    if isinstance(identifier, Mapping):
        made = _made("the configuration", _bounded(identifier))
        return made if isinstance(made, Value) else as_child("identifier", made)
    return as_child("identifier", identifier)


# ---------------------------------------------------------------- out


def _written(obj: Value) -> dict[str, Any]:
    if type(obj).__name__ not in _classes():
        raise TypeError(f"{obj!r} can't be written as plain data; only named objects can")
    written = {f.name: _plain(f.name, getattr(obj, f.name)) for f in fields(obj)}
    return {"class": type(obj).__name__, **written}


def _plain(name: str, value: Any) -> Any:
    """One parameter as plain data."""
    if isinstance(value, Value):
        return _written(value)
    if isinstance(value, u.Quantity):
        return {"value": _plain(name, value.mantissa), "unit": str(value.unit)}
    if isinstance(value, u.Unit):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(name, v) for v in value]
    if isinstance(value, complex):
        return {"complex": [_plain(name, value.real), _plain(name, value.imag)]}
    if isinstance(value, float):
        # JSON has no word for them.
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (np.ndarray, jax.Array)) and not isinstance(value, Tracer):
        array = np.asarray(value)
        return {"array": _plain(name, array.tolist()), "dtype": str(array.dtype)}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(
        f"`{name}` = {value!r} can't be written as plain data; write a condition as a mask, a "
        "count or a fraction, as in Conditional([80, 20], ...), and apply another function "
        "where the object is made"
    )


# ---------------------------------------------------------------- in


def _classes() -> dict[str, type]:
    """Every class of values, by name; braininit's own before a user's."""

    def below(cls: type) -> Iterator[type]:
        for sub in cls.__subclasses__():
            yield sub
            yield from below(sub)

    every = [cls for cls in below(Value) if fields(cls) or getattr(cls, "_function", None)]
    every.remove(Custom)  # what holds a function has no place in plain data
    every.sort(key=lambda cls: cls.__module__.partition(".")[0] == __package__)
    return {cls.__name__: cls for cls in every if not cls.__name__.startswith("_")}


def _named(name: str) -> type:
    classes = _classes()
    known = {
        folded(f.__name__): c for c in classes.values() if (f := getattr(c, "_function", None))
    }
    known |= {folded(n): cls for n, cls in classes.items()}  # a class goes by its own name first
    if folded(name) in known:
        return known[folded(name)]
    raise ValueError(f"no initializer is called {name!r}{alike(name, [*classes])}")


def _bounded(config: Any) -> Any:
    """Refuse data too deep or too large to be read, as data is that holds itself."""
    level = {id(config): (config, 1)}  # each part once, and how often it occurs
    for _ in range(_DEEPEST):
        parts: dict[int, tuple[Any, int]] = {}
        for whole, times in level.values():
            for part in whole.values() if isinstance(whole, Mapping) else whole:
                if isinstance(part, Mapping) or _is_list(part):
                    parts[id(part)] = part, parts.get(id(part), (part, 0))[1] + times
        if not parts:
            return config
        if sum(times for _, times in parts.values()) > _MOST:
            break
        level = parts
    raise ValueError(_TOO_DEEP)


def _is_list(value: Any) -> bool:
    """Whether to take something for a list: a sequence, or what can do the same."""
    like = hasattr(type(value), "__getitem__") and hasattr(type(value), "__len__")
    other = isinstance(value, (str, bytes, bytearray, Mapping)) or hasattr(value, "__array__")
    return is_sequence(value) or (like and not other)


def _made(name: str, value: Any) -> Any:
    """One parameter, or a whole object, from plain data."""
    if _is_list(value):
        return [_made(f"{name}[{i}]", v) for i, v in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    given = dict(value)
    if given.keys() == {"value", "unit"}:
        bare, unit = _bare(name, given["value"]), units.known(name, given["unit"])
        return units.on(bare, unit)
    if given.keys() == {"array", "dtype"}:
        array, dtype = np.asarray(_bare(name, given["array"])), number_dtype(given["dtype"])
        if dtype is None:
            raise TypeError(f"`{name}` has the dtype {given['dtype']!r}, which is not of numbers")
        try:
            with np.errstate(over="raise"):
                return array.astype(dtype, casting="same_kind")
        except (TypeError, FloatingPointError):
            raise TypeError(f"`{name}` = {units.show(array)} has no place in {dtype}") from None
    if given.keys() == {"complex"}:
        parts = _bare(name, given["complex"])
        if np.shape(parts) != (2,):
            raise TypeError(f"`{name}` = {value!r} must have a real and an imaginary part")
        return complex(*parts)
    if not isinstance(given.get("class"), str):
        raise TypeError(f"{name} = {value!r} names no class; write one as in {{'class': 'Normal'}}")
    cls = _named(given.pop("class"))
    annotations = {f.name: f for f in fields(cls)}
    strange = next((n for n in given if n not in annotations), None)
    if strange is not None:
        raise nearest(cls.__name__, strange, annotations)
    return cls(**{n: _parameter(n, annotations[n], v) for n, v in given.items()})


def _parameter(name: str, field: Any, value: Any) -> Any:
    """A parameter by what its field may hold: text is a number, a name or an option."""
    if field.metadata.get("static"):
        return _made(name, value.tolist() if hasattr(value, "tolist") else value)
    child = "Initializer" in str(field.type)
    if child and _is_list(value):
        return [_parameter(f"{name}[{i}]", field, v) for i, v in enumerate(value)]
    if child and isinstance(value, str):
        return get(value)
    return None if value is None else _number(name, value)


def _number(name: str, value: Any) -> Any:
    """A number, or nested lists of them; text as in "inf" and "0.5 nS" too."""
    if _is_list(value):
        return [_number(f"{name}[{i}]", v) for i, v in enumerate(value)]
    if value is None or isinstance(value, bool):
        raise TypeError(f"`{name}` must be a number, got {value}")
    if not isinstance(value, str):
        return _made(name, value)
    number, _, unit = value.strip().partition(" ")
    try:
        bare = float(number)
    except ValueError:
        raise TypeError(f"`{name}` must be a number, as in '0.5 nS', got {value!r}") from None
    return units.on(bare, units.known(name, unit.strip())) if unit else bare


def _bare(name: str, value: Any) -> Any:
    """A number or an array without a unit."""
    bare, unit = units.split(name, _number(name, value), number=True)
    if unit is not None:
        raise TypeError(f"`{name}` must be a bare number here, got {units.show(bare, unit)}")
    return bare


def number_dtype(name: Any) -> np.dtype | None:
    """A dtype of numbers that JAX has too, in the machine's byte order; None for any other."""
    with contextlib.suppress(Exception):  # NumPy raises what it likes, also of a text
        found = "" if name is None else np.dtype(name).name
        if hasattr(jnp, found) and found not in _NOT_IN_XLA:
            return np.dtype(found)
    return None


_NOT_IN_XLA = ("int1", "uint1", "float6_e2m3fn", "float6_e3m2fn")
