"""Values that are taken instead of drawn: from a checkpoint, another model, another framework."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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
    layers = {
        leaf.path: (i, layer)
        for i, row in enumerate(rows)
        if row.stack.axis is not None
        for layer, leaf in enumerate(row.stack.leaves)
    }
    apart: dict[int, dict[int, tuple[str, Place]]] = {}  # layers of a row that are given by name
    for place in () if given is None else opened(given, numbers=True).places:
        own, number = joined(place.parts), isinstance(place.value, Number)
        path = _renamed(own, renames)
        if path is not None and path not in at and path.removesuffix("/value") in at:
            path = path.removesuffix("/value")  # as a checkpoint has the variables of nnx
        if path is None:
            out.append(own)
            continue
        if path in layers and path not in at:
            i, layer = layers[path]
            other, _ = apart.setdefault(i, {}).setdefault(layer, (own, place))
            if other != own:
                problems.add(f"given: {other} and {own} are both for", path)
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
            found.values[i], found.paths[i] = _value(place, rows[i], rows[i].stack.shape), own
        except ValueError as error:
            problems.add(f"given: {error}", path)
    for i, each in apart.items():
        _join_layers(i, each, rows[i], found, problems)
    if extra and left_over == "error":
        remedy = "; use rename=, or left_over='ignore'"
        problems.add(f"given: the model has no leaf for these{near(extra[0], at)}{remedy}", *extra)
    problems.raised()
    return found._replace(left_over=tuple(extra), left_out=tuple(out))


def _join_layers(
    i: int, each: Mapping[int, tuple[str, Place]], row: Any, found: Taken, problems: Problems
) -> None:
    """Take layers that are given apart for a leaf that has them along an axis."""
    stack = row.stack
    if i in found.values:
        problems.add(f"given: {found.paths[i]} and its layers are both for", stack.path)
        return
    if missing := [leaf.path for n, leaf in enumerate(stack.leaves) if n not in each]:
        problems.add(f"given: some layers of {stack.path} are, and these are not", *missing)
    values = []
    for layer, (_, place) in sorted(each.items()):
        try:
            values.append(units.parts(_value(place, row, stack.leaves[layer].shape))[0])
        except ValueError as error:
            problems.add(f"given: {error}", stack.leaves[layer].path)
    if len(values) == len(stack.leaves):
        known = all(isinstance(value, np.ndarray) for value in values)
        whole = (np if known else jnp).stack(values, stack.axis)
        found.values[i] = units.on(whole, units.of(stack.place.value))
        found.paths[i] = f"{each[0][0]} to {each[len(values) - 1][0]}"


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


def _value(place: Place, row: Any, shape: tuple[int, ...]) -> Any:
    """A given value as a leaf is, or one layer of it: of its shape, dtype and unit."""
    value = bare(place.value)
    dtype = row.stack.leaves[0].dtype
    if isinstance(value, Number):
        held = np.asarray(value.number).astype(dtype)
        value = held if held == value.number else np.asarray(value.number)
    if isinstance(value, jax.ShapeDtypeStruct):
        raise ValueError("there is no value, only a shape")
    if tuple(value.shape) != tuple(shape):
        raise ValueError(f"the shape is {tuple(value.shape)}, the leaf's {tuple(shape)}")
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
