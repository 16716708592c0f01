"""Options: integers, axes, flags and words. Always concrete, since programs depend on them."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from braininit._params.types import is_sequence
from braininit._params.units import brief

__all__ = ["axes", "axes_of", "flag", "one_of", "whole"]


def whole(name: str, value: Any, least: int | None = None) -> int:
    """Return an int of at least `least`."""
    try:
        number = _index(value)
    except Exception as error:
        raise TypeError(f"`{name}` must be an int, got {brief(value)}; write 1, for example") from (
            None if isinstance(error, TypeError) else error
        )
    if least is not None and number < least:
        raise ValueError(
            f"`{name}` must be {least} or more, got {number}; write {least}, for example"
        )
    return number


def axes(name: str, value: Any) -> tuple[int, ...]:
    """Return one axis or several as a tuple of ints."""
    several = value.tolist() if isinstance(value, np.ndarray) and value.ndim else value
    try:
        return tuple(_index(v) for v in (several if is_sequence(several) else (several,)))
    except Exception as error:
        raise TypeError(
            f"`{name}` must be an int or a tuple of ints, got {brief(value)}; write -1, for example"
        ) from (None if isinstance(error, TypeError) else error)


def _index(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    return operator.index(value)


def flag(name: str, value: Any) -> bool:
    """Return True or False; refuse other truthy or falsy values."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {brief(value)}; write one of them")
    return bool(value)


def axes_of(name: str, axes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return axes of a shape as non-negative numbers; refuse an axis named twice."""
    rank = len(shape)
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(f"`{name}` = {axis} is no axis of the size {shape}; it has {rank}")
    positive = tuple(axis % rank for axis in axes)
    if len(set(positive)) < len(positive):
        raise ValueError(f"`{name}` = {axes} names an axis of the size {shape} twice; name it once")
    return positive


def one_of(name: str, value: Any, known: Sequence[str]) -> Any:
    """Return a word that is one of the known ones."""
    if isinstance(value, str) and value in known:
        return value
    near = difflib.get_close_matches(value, known, n=1) if isinstance(value, str) else ()
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(repr(word) for word in known)
    raise ValueError(f"`{name}` must be one of {listed}, got {brief(value)}{hint}")
