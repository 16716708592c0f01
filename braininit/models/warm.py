"""Values that are taken instead of drawn: from a checkpoint, another model, another framework."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from braininit._params import units
from braininit._params.options import one_of
from braininit._params.types import is_sequence
from braininit.models.leaves import Stacks, bare, pattern
from braininit.models.paths import joined
from braininit.models.problems import Problems, near
from braininit.models.trees import NUMBERS, Number, opened

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


class _Given(NamedTuple):
    """A leaf of what is given, or one of its layers."""

    own: str
    """Its path there; of a layer with its index, ``blocks/kernel[3]``."""
    path: str | None
    """Its path in the model, by `rename`; None if it is left out."""
    value: Any


def taken(
    given: Any, rename: Any, given_stacked: Any, rows: Sequence[Any], left_over: str
) -> Taken:
    """What of a tree or a mapping is for which row; all that does not fit in one error."""
    one_of("left_over", left_over, ("error", "ignore"))
    problems, found = Problems(), Taken({}, {})
    extra: list[_Given] = []
    out: list[str] = []
    numbers: list[str] = []
    at = {row.stack.path: i for i, row in enumerate(rows)}
    at |= {"/".join(tie): i for i, row in enumerate(rows) for tie in row.stack.place.ties}
    layers = {
        leaf.path: (i, layer)
        for i, row in enumerate(rows)
        if row.stack.axis is not None
        for layer, leaf in enumerate(row.stack.leaves)
    }
    apart: dict[int, dict[int, _Given]] = {}  # layers of a row that are given by name
    stacks = Stacks("given_stacked", {} if given_stacked is None else given_stacked)
    for one in _by_layer(_leaves(given, rename), stacks, [*at, *layers], problems):
        own, path, value = one
        if path is not None and path not in at and path.removesuffix("/value") in at:
            path = path.removesuffix("/value")  # as a checkpoint has the variables of nnx
        if path is None:
            out.append(own)
            continue
        if path in layers and path not in at:
            i, layer = layers[path]
            other = apart.setdefault(i, {}).setdefault(layer, one).own
            if other != own:
                problems.add(f"given: {other} and {own} are both for", path)
            continue
        if path not in at:
            if not isinstance(value, Number):
                extra.append(one)
            else:
                numbers.append(path)  # a model holds plain numbers too
            continue
        i = at[path]
        if rows[i].kept and isinstance(bare(value), jax.ShapeDtypeStruct):
            continue  # it stays what it is in the model
        try:
            value = _value(value, rows[i], rows[i].stack.shape)
        except ValueError as error:
            problems.add(f"given: {error}", path)
            continue
        if i not in found.values:
            found.values[i], found.paths[i] = value, own
        elif not _equal(found.values[i], value):
            problems.add(f"given: {found.paths[i]} and {own} are both for", path)
    for i, each in apart.items():
        _join_layers(i, each, rows[i], found, problems)
    _refuse_lists(numbers, at, found, problems)
    if left_over == "error":
        _refuse_extra(extra, [*at], problems)
    problems.raised()
    return found._replace(left_over=tuple(one.own for one in extra), left_out=tuple(out))


def _leaves(given: Any, rename: Any) -> Iterator[_Given]:
    """The leaves of what is given, with the paths that they have in the model."""
    if isinstance(given, (str, bytes, os.PathLike)):
        raise TypeError(f"`given` must be a tree of arrays, got {given!r}; load it first")
    pairs = tuple(rename.items()) if isinstance(rename, Mapping) else rename
    if not is_sequence(pairs) or any(not is_sequence(pair) or len(pair) != 2 for pair in pairs):
        raise TypeError(
            "`rename` must be a sequence of patterns and replacements, as in [(r'^net2/', 'net/')],"
            f" got {units.brief(rename)}"
        )
    renames = [(pattern("rename", of), into) for of, into in pairs]
    for place in () if given is None else opened(given, numbers=True).places:
        own = joined(place.parts)
        yield _Given(own, _renamed(own, renames), place.value)


def _by_layer(
    leaves: Iterable[_Given], stacks: Stacks, paths: Sequence[str], problems: Problems
) -> Iterator[_Given]:
    """The leaves of what is given; the layers one by one of what has them along an axis."""
    counted: dict[tuple[str, str], set[int]] | None = None
    for one in leaves:
        shape = tuple(bare(one.value).shape)
        found = None if one.path is None else stacks.find(one.path, shape, problems)
        if found is None:
            yield one
            continue
        before, after, axis = found
        counted = _layers_by_path(paths) if counted is None else counted
        known = counted.get((before, after), counted.get((before, after.removesuffix("/value"))))
        if known is None:
            yield one  # the model has it as it is, or not at all
        elif known == {*range(shape[axis])}:
            whole = _whole_along(one.value, axis)
            for i in range(shape[axis]):
                own = f"{one.own}[{', '.join([*':' * axis, str(i)])}]"
                yield _Given(own, f"{before}/{i}{after}", _layer(whole, axis, i))
        else:
            listed = ", ".join(map(str, sorted(known)))
            its = f"it has {shape[axis]} layers, counted from 0; those of the model are {listed}"
            problems.add(f"given: {its}", one.own)
    stacks.refuse_unused(problems)


def _layers_by_path(paths: Iterable[str]) -> dict[tuple[str, str], set[int]]:
    """The indices of layers, by what is before and after them in the paths of a model."""
    found: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        for match in re.finditer(r"/(\d+)(?=/|$)", path):
            around = path[: match.start()], path[match.end() :]
            found.setdefault(around, set()).add(int(match[1]))
    return found


def _whole_along(value: Any, axis: int) -> Any:
    """A value that is split over no explicit axis of a mesh along one of its own.

    JAX takes no layer out of what is split between the layers, without being told what becomes of
    it.
    """
    whole, unit = units.parts(value)
    sharding = jax.typeof(whole).sharding if isinstance(whole, jax.Array) else None
    if sharding is None or sharding.spec[axis] is None:
        return value
    spec = (None if at == axis else entry for at, entry in enumerate(sharding.spec))
    return units.on(
        jax.sharding.reshard(whole, NamedSharding(sharding.mesh, PartitionSpec(*spec))), unit
    )


def _layer(value: Any, axis: int, i: int) -> Any:
    """One layer of what has them along an axis."""
    whole, unit = units.parts(value)
    if isinstance(whole, jax.ShapeDtypeStruct):
        shape = (*whole.shape[:axis], *whole.shape[axis + 1 :])
        return units.on(jax.ShapeDtypeStruct(shape, whole.dtype), unit)
    return units.on(whole[(slice(None),) * axis + (i,)], unit)


def _refuse_extra(extra: Sequence[_Given], paths: Sequence[str], problems: Problems) -> None:
    """Refuse what the model has no leaf for."""
    counted = _layers_by_path(paths) if extra else {}
    rest = []
    for own, path, _ in extra:
        parts = (path or "").removesuffix("/value").split("/")
        cuts = (("/".join(parts[:n]), "/".join(["", *parts[n:]])) for n in range(1, len(parts) + 1))
        before = next((before for before, after in cuts if (before, after) in counted), None)
        if before is None:
            rest.append(own)
            continue
        remedy = f"given_stacked={{'^{before}': 0}}"
        problems.add(f"given: the model has the layers of these apart; say so by {remedy}", own)
    if rest:
        remedy = "; use rename=, or left_over='ignore'"
        problems.add(f"given: the model has no leaf for these{near(rest[0], paths)}{remedy}", *rest)


def _join_layers(
    i: int, each: Mapping[int, _Given], row: Any, found: Taken, problems: Problems
) -> None:
    """Take layers that are given apart for a leaf that has them along an axis."""
    stack = row.stack
    if i in found.values:
        problems.add(f"given: {found.paths[i]} and its layers are both for", stack.path)
        return
    if missing := [leaf.path for n, leaf in enumerate(stack.leaves) if n not in each]:
        problems.add(f"given: some layers of {stack.path} are, and these are not", *missing)
    values = []
    for layer, one in sorted(each.items()):
        try:
            values.append(units.parts(_value(one.value, row, stack.leaves[layer].shape))[0])
        except ValueError as error:
            problems.add(f"given: {error}", stack.leaves[layer].path)
    if len(values) == len(stack.leaves):
        known = all(isinstance(value, np.ndarray) for value in values)
        whole = (np if known else jnp).stack(values, stack.axis)
        found.values[i] = units.on(whole, units.of(stack.place.value))
        found.paths[i] = f"{each[0].own} to {each[len(values) - 1].own}"


def _refuse_lists(
    numbers: Iterable[str], at: Mapping[str, int], found: Taken, problems: Problems
) -> None:
    """Refuse lists of Python's numbers in place of arrays."""
    above: dict[str, None] = {}
    for path in numbers:
        while path := path.rpartition("/")[0]:
            above[path] = None
    for path in above:
        if path in at and at[path] not in found.values:
            problems.add("given: a list of numbers is no array; make it one", path)


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
            try:
                path = of.sub(into, path)
            except (re.error, TypeError, IndexError) as error:
                raise ValueError(
                    f"`rename`: {into!r} can't replace {of.pattern!r}: {error}"
                ) from None
    return path


def _value(given: Any, row: Any, shape: tuple[int, ...]) -> Any:
    """A given value as a leaf is, or one layer of it: of its shape, dtype and unit."""
    value = bare(given)
    dtype = row.stack.leaves[0].dtype
    number = given.number if isinstance(given, Number) else units.parts(given)[0]
    if type(number) in NUMBERS:  # of no dtype: of the leaf's, if that has it
        held = np.asarray(number).astype(dtype)
        value = held if held == number else np.asarray(number)
    if isinstance(value, jax.ShapeDtypeStruct):
        raise ValueError("there is no value, only a shape")
    if tuple(value.shape) != tuple(shape):
        raise ValueError(f"the shape is {tuple(value.shape)}, the leaf's {tuple(shape)}")
    if value.dtype != dtype:
        raise ValueError(f"the dtype is {value.dtype}, the leaf's {dtype}; cast it before")
    its, unit = units.of(given), units.of(row.stack.place.value)
    try:
        ratio = units.factor(given) if its is unit else units.of_operation("+", unit, its)[1]
    except units.UnitError:
        raise ValueError(f"the unit is {its}, the leaf's {unit}") from None
    if ratio != 1 and not jnp.issubdtype(dtype, np.inexact):
        raise ValueError(f"its whole numbers are in {its}, the leaf's in {unit}; convert them")
    value = value if ratio == 1 else (value * ratio).astype(dtype)
    return units.on(value, unit)
