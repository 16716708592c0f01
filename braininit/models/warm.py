"""Values that are taken instead of drawn: from a checkpoint, another model, another framework."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from braininit._params import units
from braininit._params.options import one_of
from braininit._params.types import is_sequence
from braininit.models.leaves import bare, pattern
from braininit.models.paths import joined
from braininit.models.problems import Problems, near
from braininit.models.trees import Number, Place, opened

__all__ = ["Report", "Taken", "taken"]


@dataclasses.dataclass(frozen=True)
class Report:
    """Where the leaves of a model came from.

    Parameters
    ----------
    taken : mapping
        The path of each leaf that was given, to the path it had there.
    drawn, kept : tuple of str
        The paths of leaves that were drawn, and of those that stayed what they were.
    left_over, left_out : tuple of str
        The paths of what was given and has no leaf, and of what `rename` leaves out.
    """

    taken: Mapping[str, str]
    drawn: tuple[str, ...]
    kept: tuple[str, ...]
    left_over: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        from_where = [
            f"{path}  from {source}" if source != path else path
            for path, source in self.taken.items()
        ]
        parts = {
            "taken": from_where,
            "drawn": self.drawn,
            "kept": self.kept,
            "left over": self.left_over,
            "left out": self.left_out,
        }
        lines = []
        for name, paths in parts.items():
            lines += [f"{name}: {len(paths)}", *(f"  {path}" for path in paths)]
        return "\n".join(lines)


class Taken(NamedTuple):
    """What is given, by the rows that it is for."""

    values: dict[int, Any]
    paths: dict[int, str]
    left_over: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def taken(given: Any, rename: Any, rows: Sequence[Any], left_over: str) -> Taken:
    """What of a tree or a mapping is for which row; all that does not fit in one error."""
    one_of("left_over", left_over, ("error", "ignore"))
    if isinstance(given, (str, bytes, os.PathLike)):
        raise TypeError(f"`given` must be a tree of arrays, got {given!r}; load it first")
    pairs = tuple(rename.items()) if isinstance(rename, Mapping) else rename
    if not is_sequence(pairs) or any(not is_sequence(pair) or len(pair) != 2 for pair in pairs):
        raise TypeError(
            "`rename` must be a sequence of patterns and replacements, as in [(r'^net2/', 'net/')],"
            f" got {units.brief(rename)}"
        )
    renames = [(pattern("rename", of), into) for of, into in pairs]
    problems, found, extra, out = Problems(), Taken({}, {}), [], []
    at = {row.stack.path: i for i, row in enumerate(rows)}
    at |= {"/".join(tie): i for i, row in enumerate(rows) for tie in row.stack.place.ties}
    for place in () if given is None else opened(given, numbers=True).places:
        own, number = joined(place.parts), isinstance(place.value, Number)
        path = _renamed(own, renames)
        if path is not None and path not in at and path.removesuffix("/value") in at:
            path = path.removesuffix("/value")  # as a checkpoint has the variables of nnx
        if path is None:
            out.append(own)
            continue
        if path not in at:
            extra += [] if number else [own]  # a model holds plain numbers too
            continue
        i = at[path]
        if rows[i].kept and isinstance(bare(place.value), jax.ShapeDtypeStruct):
            continue  # it stays what it is in the model
        if i in found.values and not _equal(found.values[i], place.value):
            problems.add(f"given: {found.paths[i]} and {own} are both for", path)
        if i in found.values:
            continue
        try:
            found.values[i], found.paths[i] = _value(place, rows[i]), own
        except ValueError as error:
            problems.add(f"given: {error}", path)
    if extra and left_over == "error":
        remedy = "; use rename=, or left_over='ignore'"
        problems.add(f"given: the model has no leaf for these{near(extra[0], at)}{remedy}", *extra)
    problems.raised()
    return found._replace(left_over=tuple(extra), left_out=tuple(out))


def _equal(one: Any, other: Any) -> bool:
    """Whether two names of a tied weight hold the same."""
    try:
        return bool(np.array_equal(np.asarray(bare(one)), np.asarray(bare(other))))
    except Exception:
        return False


def _renamed(path: str, renames: Sequence[tuple[Any, str | None]]) -> str | None:
    for of, into in renames:
        if into is None:
            if of.search(path):
                return None
        else:
            path = of.sub(into, path)
    return path


def _value(place: Place, row: Any) -> Any:
    """A given value as the leaf is: of its shape, dtype and unit."""
    value, leaf = bare(place.value), bare(row.stack.place.value)
    dtype = row.stack.leaves[0].dtype
    if isinstance(value, Number):
        held = np.asarray(value.number).astype(dtype)
        value = held if held == value.number else np.asarray(value.number)
    if isinstance(value, jax.ShapeDtypeStruct):
        raise ValueError("there is no value, only a shape")
    if tuple(value.shape) != tuple(leaf.shape):
        raise ValueError(f"the shape is {tuple(value.shape)}, the leaf's {tuple(leaf.shape)}")
    if value.dtype != dtype:
        raise ValueError(f"the dtype is {value.dtype}, the leaf's {dtype}; cast it before")
    its, unit = units.of(place.value), units.of(row.stack.place.value)
    if its is not unit:
        try:
            ratio = units.of_operation("+", unit, its)[1]
        except units.UnitError:
            raise ValueError(f"the unit is {its}, the leaf's {unit}") from None
        value = value if ratio == 1 else (value * ratio).astype(dtype)
    return units.on(value, unit)
