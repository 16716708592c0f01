"""Initializers as plain data: names and dictionaries, for JSON, YAML and command lines."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import brainunit as u
import jax
import numpy as np
from jax.core import Tracer

from braininit import _units as units
from braininit._children import as_child
from braininit._values import Value, fields

__all__ = ["get", "to_config"]

_ALIASES = {"he": "kaiming", "glorot": "xavier"}  # as JAX, Flax and Keras call them


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

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.to_config(init.Exponential(1.5 * u.ms))
    {'class': 'Exponential', 'scale': {'value': 1.5, 'unit': 'ms'}}
    """
    if not isinstance(obj, Value) or type(obj).__name__ not in _classes():
        raise TypeError(f"{obj!r} can't be written as plain data; only named objects can")
    written = {f.name: _plain(f.name, getattr(obj, f.name)) for f in fields(obj)}
    return {"class": type(obj).__name__, **written}


def get(identifier: Any) -> Any:
    """Make an initializer from its name, or whatever `to_config` wrote.

    Parameters
    ----------
    identifier : str, mapping, initializer or number
        A class's name or its function's, in any case (``"KaimingNormal"``,
        ``"kaiming_normal"``, also ``"he_normal"``); a dictionary with the name under
        ``"class"`` and parameters beside it; or anything that is an initializer, which is
        given back. A Quantity is a dictionary of `value` and `unit`, or text as in
        ``"0.5 nS"``. Nothing in it is ever evaluated as code.

    Returns
    -------
    Initialization or DistanceProfile
        The object; a profile only from a dictionary that names one.

    Raises
    ------
    ValueError
        If no class has the name.
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
        made = _made("the configuration", identifier)
        return made if isinstance(made, Value) else as_child("identifier", made)
    return as_child("identifier", identifier)


# ---------------------------------------------------------------- out


def _plain(name: str, value: Any) -> Any:
    """One parameter as plain data."""
    if isinstance(value, Value):
        return to_config(value)
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
        f"`{name}` = {value!r} can't be written as plain data; give the function to the object "
        "where it is made"
    )


# ---------------------------------------------------------------- in


def _classes() -> dict[str, type]:
    """Every class of values, by name; braininit's own before a user's."""

    def below(cls: type) -> Iterator[type]:
        for sub in cls.__subclasses__():
            yield sub
            yield from below(sub)

    every = [cls for cls in below(Value) if fields(cls) or getattr(cls, "_function", None)]
    every.sort(key=lambda cls: cls.__module__.partition(".")[0] == __package__)
    return {cls.__name__: cls for cls in every if not cls.__name__.startswith("_")}


def _named(name: str) -> type:
    classes = _classes()
    known = {
        _folded(f.__name__): c for c in classes.values() if (f := getattr(c, "_function", None))
    }
    known |= {_folded(n): cls for n, cls in classes.items()}  # a class goes by its own name first
    folded = re.sub(r"^(he|glorot)", lambda m: _ALIASES[m[0]], _folded(name))
    if folded in known:
        return known[folded]
    near = difflib.get_close_matches(folded, known, n=1)
    hint = f"; did you mean {known[near[0]].__name__!r}?" if near else ""
    raise ValueError(f"no initializer is called {name!r}{hint}")


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _made(name: str, value: Any) -> Any:
    """One parameter, or a whole object, from plain data."""
    if isinstance(value, list):
        return [_made(f"{name}[{i}]", v) for i, v in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    given = dict(value)
    if given.keys() == {"value", "unit"}:
        bare = given["value"]
        bare = _made(name, bare) if isinstance(bare, Mapping) else _number(name, bare)
        return units.on(bare, units.known(name, given["unit"]))
    if given.keys() == {"array", "dtype"}:
        return np.asarray(_number(name, given["array"])).astype(given["dtype"])
    if given.keys() == {"complex"}:
        return complex(*_number(name, given["complex"]))
    if not isinstance(given.get("class"), str):
        raise TypeError(f"{name} = {value!r} names no class; write one as in {{'class': 'Normal'}}")
    cls = _named(given.pop("class"))
    annotations = {f.name: f for f in fields(cls)}
    strange = next((n for n in given if n not in annotations), None)
    if strange is not None:
        near = difflib.get_close_matches(str(strange), annotations, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(annotations)}"
        raise TypeError(f"{cls.__name__} has no parameter {strange!r}{hint}")
    return cls(**{n: _parameter(annotations[n], v) for n, v in given.items()})


def _parameter(field: Any, value: Any) -> Any:
    """A parameter by what its field may hold: text is a number, a name or an option."""
    if field.metadata.get("static"):
        return _made(field.name, value)
    child = "Initializer" in str(field.type)
    if isinstance(value, list) and child:
        return [_parameter(field, v) for v in value]
    if isinstance(value, str):
        return get(value) if child else _number(field.name, value)
    return _made(field.name, value)


def _number(name: str, value: Any) -> Any:
    """A number, or nested lists of them; text as in "inf" and "0.5 nS" too."""
    if isinstance(value, list):
        return [_number(name, v) for v in value]
    if not isinstance(value, str):
        return value
    number, _, unit = value.strip().partition(" ")
    try:
        bare = float(number)
    except ValueError:
        raise TypeError(f"`{name}` must be a number, got {value!r}") from None
    return units.on(bare, units.known(name, unit.strip())) if unit else bare
