"""Calls that do not fit: the error says what to write instead.

Python's own error names a parameter that is missing or unknown, but not what there is. In
JAX some of our functions' names are factories, `normal(0.02)`, and a layer calls what it is
given, a class too, with a key. What to answer is worked out after an error; a call that fits
pays for one more `try`.
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

__all__ = ["CONTEXT", "alike", "explain", "explained", "folded", "nearest", "unknown"]

CONTEXT = frozenset(
    {
        *("distances", "pre_positions", "post_positions", "neuron_indices"),
        *("param_type", "pre_size", "post_size"),
    }
)
"""Keywords that initializers may need beside a size."""

P = ParamSpec("P")
R = TypeVar("R")

# What other packages call a parameter, where the spelling does not tell.
_ELSEWHERE = {
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
_OF_A_DRAW = ("size", "shape", "rng", "seed", "key", "dtype", "out_sharding")
_ALIASES = {"he": "kaiming", "glorot": "xavier"}  # as JAX, Flax and Keras call them


# ---------------------------------------------------------------- names


def nearest(owner: str, name: Any, known: Collection[str]) -> TypeError:
    """The error about a parameter that `owner` does not have, with the nearest that it has."""
    other = _ELSEWHERE.get(name)
    if other in ("mean", "std") and "lognormal" in owner.lower():
        near = []  # elsewhere it is one of the logarithm
    elif other in known:
        near = [other]
    else:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.65)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'none'}"
    if name == "rate" and near == ["scale"]:
        hint += " It is 1 / rate"
    return TypeError(f"{owner} has no parameter {name!r}; {hint}")


def folded(name: str) -> str:
    """The name of an initializer in the form in which names are compared."""
    bare = name.replace("_", "").lower()
    return re.sub(r"^(he|glorot)", lambda start: _ALIASES[start[0]], bare)


def alike(name: str, known: Collection[str]) -> str:
    """For an error: the nearest of the known names of initializers, as a question."""
    names = {folded(n): n for n in known}
    near = difflib.get_close_matches(folded(name), names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def unknown(context: Mapping[str, Any]) -> TypeError:
    """The error about a keyword that no initializer knows, with the nearest that one does."""
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


# ---------------------------------------------------------------- of a class


def explain(cls: type) -> None:
    """Let the errors of a class about a wrong call say what to write instead."""
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
    name, signature = _named(cls), inspect.signature(cls)
    if _comes_from_a_layer(*args):
        return TypeError(
            f"{name} is a class, and draws when it is an instance; "
            f"write {name}({', '.join(_required(signature))}) in its place"
        )
    if (error := _misfit(signature, args, keywords)) is None:
        return None
    unknown = next((n for n in keywords if n not in signature.parameters), None)
    if unknown is None:
        return TypeError(f"{name}: {error}; it is {_written(cls)}")
    if unknown in _OF_A_DRAW:
        return TypeError(
            f"{name} has no parameter {unknown!r}: it goes with a draw, "
            "as in initializer(size, rng=rng, dtype=dtype)"
        )
    if unknown == "unit":
        return TypeError(
            f"{name} has no parameter 'unit'; give the others their unit, as in 0.5 * u.nS"
        )
    return nearest(name, unknown, [*signature.parameters])


def _comes_from_a_layer(first: Any = None, second: Any = None, *_: Any) -> bool:
    """Whether these are the key and the shape that a layer calls its initializer with."""
    return is_key(first) and isinstance(second, (tuple, list))


# ---------------------------------------------------------------- of a function


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """Let the errors of a distribution's function about a wrong call say what to write instead."""

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
    name, signature = _named(function), inspect.signature(function)
    first = args[0] if args else keywords.get("key")
    error = _misfit(signature, args, keywords)
    if is_key(first) or (first is None and args):
        if error is None:
            return None
        unknown = next((n for n in keywords if n not in signature.parameters), None)
        renamed = _twin(function)._renamed
        if "shape" in keywords and "shape" in renamed:
            its = renamed["shape"]
            return TypeError(f"the `shape` of {name} is its result's; the other is `{its}`")
        if unknown in ("rng", "seed"):
            return TypeError(f"{name} has no parameter {unknown!r}; it draws from its first, a key")
        if unknown == "size":
            return TypeError(f"{name} has no parameter 'size'; did you mean 'shape'?")
        if unknown == "unit":
            return TypeError(
                f"{name} has no parameter 'unit'; give the others their unit, as in 0.5 * u.nS"
            )
        if unknown is not None:
            return nearest(name, unknown, [*signature.parameters][2:])
        return TypeError(f"{name}: {error}; it is {_written(function)}")
    if any(is_key(value) for value in (*args, *keywords.values())):
        return TypeError(f"the key comes first: {_written(function)}")
    if error is None and _is_size(signature.bind(*args, **keywords).arguments["shape"]):
        return None
    return TypeError(
        f"{name} draws at once: it takes a key first, then a shape; for an initializer to hand "
        f"on write {_instance(function, args, keywords)}"
    )


def _twin(function: Any) -> Any:
    """The class of a function, which sets it when it is created."""
    return function.twin


def _is_size(value: Any) -> bool:
    return is_sequence(value) or isinstance(value, (int, np.integer, np.ndarray))


def _instance(
    function: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]
) -> str:
    """The class's call that makes what somebody expected of the function's."""
    cls = _twin(function)
    values = [value for value in args if not is_dtype(value)]
    names = [*inspect.signature(cls).parameters]
    given = {name: value for name, value in keywords.items() if not is_dtype(value)}
    if "mean" in names and "stddev" in given:
        given["std"] = given.pop("stddev")
    if function.__name__ in _LOCATED and len(values) == 1 and not given:
        values = [0, *values]  # in JAX the one number is the scale
    try:
        cls(*values, **given)
    except (TypeError, ValueError):
        return f"{_named(cls)}({', '.join(_required(inspect.signature(cls)))})"
    written = [brief(value) for value in values]
    return f"{_named(cls)}({', '.join(written + [f'{n}={brief(v)}' for n, v in given.items()])})"


_LOCATED = ("normal", "truncated_normal", "uniform")


# ---------------------------------------------------------------- how they are written


def _misfit(
    signature: inspect.Signature, args: Collection[Any], keywords: Mapping[str, Any]
) -> TypeError | None:
    """Python's error where a call does not fit."""
    try:
        signature.bind(*args, **keywords)
    except TypeError as error:
        return error
    return None


def _named(of: Any) -> str:
    """A function or a class as a user writes it."""
    own = of.__module__.partition(".")[0] == "braininit"
    return f"init.{of.__name__}" if own else of.__name__


def _written(of: Any) -> str:
    """The call of a function or a class, with its parameters and their defaults."""
    bare = [p.replace(annotation=p.empty) for p in inspect.signature(of).parameters.values()]
    return f"{_named(of)}{inspect.Signature(bare)}"


def _required(signature: inspect.Signature) -> list[str]:
    return [name for name, p in signature.parameters.items() if p.default is p.empty]
