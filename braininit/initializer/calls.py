"""Errors of wrong calls: they say what to write instead.

Python's own error names a missing or unknown parameter, but not the ones that exist. In JAX,
functions with some of our names are factories, as `normal(0.02)`; and a layer calls its
initializer with a key even if that is a class. The message is made only after an error: a
correct call pays for one more `try`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

from braininit._engine.keys import is_key
from braininit._params.types import is_sequence
from braininit._params.units import GotDtype, brief, is_dtype

__all__ = ["CONTEXT", "alike", "explain", "explain_call_errors", "folded", "nearest", "unknown"]

CONTEXT = frozenset(
    {
        *("distances", "pre_positions", "post_positions", "neuron_indices"),
        *("param_type", "pre_size", "post_size"),
    }
)
"""Keywords that initializers may need beside a size."""

P = ParamSpec("P")
R = TypeVar("R")

# Other packages' names of parameters, where the spelling gives no hint.
_SYNONYMS = {
    "loc": "mean",
    "mu": "mean",
    "scale": "std",
    "sigma": "std",
    "sd": "std",
    "k": "shape",
    "concentration": "shape",
    "rate": "scale",
    "minval": "low",
    "maxval": "high",
    "upper": "high",
}
_DRAW_ARGUMENTS = ("size", "shape", "rng", "seed", "key", "dtype", "out_sharding")
_ALIASES = {"he": "kaiming", "glorot": "xavier"}  # as JAX, Flax and Keras call them


# ---------------------------------------------------------------- names


def nearest(owner: str, name: Any, known: Collection[str]) -> TypeError:
    """The error for a parameter that `owner` lacks; it suggests the nearest known one."""
    synonym = _SYNONYMS.get(name)
    if synonym in ("mean", "std") and "lognormal" in owner.lower():
        near = []  # other packages mean the mean and std of the logarithm
    elif synonym in known:
        near = [synonym]
    else:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.65)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'none'}"
    if name == "rate" and near == ["scale"]:
        hint += " It is 1 / rate"
    return TypeError(f"{owner} has no parameter {name!r}; {hint}")


def folded(name: str) -> str:
    """Normalize the name of an initializer, for comparison."""
    bare = name.replace("_", "").lower()
    return re.sub(r"^(he|glorot)", lambda start: _ALIASES[start[0]], bare)


def alike(name: str, known: Collection[str]) -> str:
    """The end of an error message that suggests the nearest known name, or nothing."""
    names = {folded(n): n for n in known}
    near = difflib.get_close_matches(folded(name), names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def unknown(context: Mapping[str, Any]) -> TypeError:
    """The error for a keyword that no initializer takes; it suggests the nearest known one."""
    known = CONTEXT | {"size", "rng", "dtype", "out_sharding", "key", "shape"}
    name = next(n for n in context if n not in CONTEXT or not context.keys() - CONTEXT)
    near = ["rng"] if name in ("seed", "generator", "random_state", "prng") else []
    near = near or difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean {near[0]}=?" if near and near[0] != name else ""
    if name in CONTEXT:
        hint = "; it goes with a size, as in init(size, rng=key, ...)"
    if name == "unit":
        hint = "; give the parameters their unit instead, as in 0.5 * u.nS"
    return TypeError(f"an initializer takes no {name}= when it is called{hint}")


# ---------------------------------------------------------------- calls of a class


def explain(cls: type) -> None:
    """Replace Python's errors for wrong calls of a class by errors that say what to write."""
    build = cls.__init__

    @functools.wraps(build)
    def __init__(self: Any, *args: Any, **keywords: Any) -> None:
        try:
            build(self, *args, **keywords)
        except (TypeError, ValueError):
            better = _about_class(cls, args, keywords)
            if better is None:
                raise
            raise better from None

    cls.__init__ = __init__


def _about_class(cls: type, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> TypeError | None:
    name, signature = _display_name(cls), inspect.signature(cls)
    if _is_call_of_a_layer(*args):
        return TypeError(
            f"{name} is a class; only an instance draws: "
            f"write {name}({', '.join(_required(signature))}) in its place"
        )
    if (error := _binding_error(signature, args, keywords)) is None:
        return None
    unknown = next((n for n in keywords if n not in signature.parameters), None)
    if unknown is None:
        return TypeError(f"{name}: {error}; it is {_call(cls)}")
    if unknown in _DRAW_ARGUMENTS:
        return TypeError(
            f"{name} has no parameter {unknown!r}: it goes with a draw, "
            "as in initializer(size, rng=rng, dtype=dtype)"
        )
    if unknown == "unit":
        return TypeError(
            f"{name} has no parameter 'unit'; give the others their unit, as in 0.5 * u.nS"
        )
    return nearest(name, unknown, [*signature.parameters])


def _is_call_of_a_layer(first: Any = None, second: Any = None, *_: Any) -> bool:
    """Whether the arguments are a key and a shape, as a layer passes them to its initializer."""
    return is_key(first) and isinstance(second, (tuple, list))


# ---------------------------------------------------------------- calls of a function


def explain_call_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Replace Python's errors for wrong calls of a function by errors that say what to write."""

    @functools.wraps(function)
    def call(*args: P.args, **keywords: P.kwargs) -> R:
        try:
            return function(*args, **keywords)
        except GotDtype as error:
            raise error.naming(f"init.{_twin(call).__name__}(...)") from None
        except (TypeError, ValueError):
            better = _about_function(call, args, keywords)
            if better is None:
                raise
            raise better from None

    return call


def _about_function(
    function: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]
) -> TypeError | None:
    name, signature = _display_name(function), inspect.signature(function)
    first = args[0] if args else keywords.get("key")
    error = _binding_error(signature, args, keywords)
    if is_key(first) or (first is None and args):
        if error is None:
            return None
        unknown = next((n for n in keywords if n not in signature.parameters), None)
        renamed = _twin(function)._renamed
        if "shape" in keywords and "shape" in renamed:
            return TypeError(
                f"the `shape` of {name} is its result's; the other is `{renamed['shape']}`"
            )
        if unknown in ("rng", "seed"):
            return TypeError(
                f"{name} has no parameter {unknown!r}; its first parameter is a key to draw from"
            )
        if unknown == "size":
            return TypeError(f"{name} has no parameter 'size'; did you mean 'shape'?")
        if unknown == "unit":
            return TypeError(
                f"{name} has no parameter 'unit'; give the others their unit, as in 0.5 * u.nS"
            )
        if unknown is not None:
            return nearest(name, unknown, [*signature.parameters][2:])
        return TypeError(f"{name}: {error}; it is {_call(function)}")
    if any(is_key(value) for value in (*args, *keywords.values())):
        return TypeError(f"the key comes first: {_call(function)}")
    if error is None and _is_size(signature.bind(*args, **keywords).arguments["shape"]):
        return None
    return TypeError(
        f"{name} draws at once: it takes a key first, then a shape; for an initializer to pass "
        f"on, write {_instance_call(function, args, keywords)}"
    )


def _twin(function: Any) -> Any:
    """The class of a function, which is set when the class is created."""
    return function.twin


def _is_size(value: Any) -> bool:
    return is_sequence(value) or isinstance(value, (int, np.integer, np.ndarray))


def _instance_call(
    function: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]
) -> str:
    """The call of the class that was meant by calling the function as a factory."""
    cls = _twin(function)
    values = [value for value in args if not is_dtype(value)]
    names = [*inspect.signature(cls).parameters]
    named = {name: value for name, value in keywords.items() if not is_dtype(value)}
    if "mean" in names and "stddev" in named:
        named["std"] = named.pop("stddev")
    if function.__name__ in _LOCATED and len(values) == 1 and not named:
        values = [0, *values]  # JAX's factories take the scale alone
    try:
        cls(*values, **named)
        arguments = [*map(brief, values), *(f"{n}={brief(v)}" for n, v in named.items())]
    except (TypeError, ValueError):
        arguments = _required(inspect.signature(cls))
    return f"{_display_name(cls)}({', '.join(arguments)})"


_LOCATED = ("normal", "truncated_normal", "uniform")


# ---------------------------------------------------------------- signatures


def _binding_error(
    signature: inspect.Signature, args: Collection[Any], keywords: Mapping[str, Any]
) -> TypeError | None:
    """Python's error if the arguments do not fit the signature."""
    try:
        signature.bind(*args, **keywords)
    except TypeError as error:
        return error
    return None


def _display_name(function: Any) -> str:
    """The name of a function or a class as a user writes it."""
    name = function.__name__
    return f"init.{name}" if function.__module__.partition(".")[0] == "braininit" else name


def _call(function: Any) -> str:
    """The call of a function or a class, with its parameters and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    plain = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    return f"{_display_name(function)}{inspect.Signature(plain)}"


def _required(signature: inspect.Signature) -> list[str]:
    return [name for name, p in signature.parameters.items() if p.default is p.empty]
