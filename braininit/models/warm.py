"""Values taken instead of drawn: from a checkpoint, another model, another framework."""

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
from braininit.models.trees import NUMBERS, Number, open_model

__all__ = ["Report", "Taken", "match_given"]


@dataclasses.dataclass(frozen=True)
class Report:
    """The origin of each leaf of a model: taken, drawn or kept.

    Parameters
    ----------
    taken : mapping
        The path of each leaf that was given, mapped to its path in `given`.
    drawn, kept : tuple of str
        The paths of leaves that were drawn, and of leaves that kept their value.
    left_over, left_out : tuple of str
        The paths in `given` for which the model has no leaf, and those that `rename` leaves out.
    """

    taken: Mapping[str, str]
    drawn: tuple[str, ...]
    kept: tuple[str, ...]
    left_over: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        origins = [
            f"{path}  from {source}" if source != path else path
            for path, source in self.taken.items()
        ]
        parts = {
            "taken": origins,
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
    """The given values and their paths in `given`, by the index of the row."""

    values: dict[int, Any]
    paths: dict[int, str]
    left_over: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class _Given(NamedTuple):
    """A leaf of `given`, or one of its layers."""

    own: str
    """The path in `given`; of a layer, with its index: ``blocks/kernel[3]``."""
    path: str | None
    """The path in the model, by `rename`; None if it is left out."""
    value: Any


def match_given(
    given: Any, rename: Any, given_stacked: Any, rows: Sequence[Any], left_over: str
) -> Taken:
    """Assign the leaves of `given` to rows; raise one error for all that don't fit."""
    one_of("left_over", left_over, ("error", "ignore"))
    problems, result = Problems(), Taken({}, {})
    extra: list[_Given] = []
    left_out: list[str] = []
    numbers: list[str] = []
    at = {row.stack.path: i for i, row in enumerate(rows)}
    at |= {"/".join(tie): i for i, row in enumerate(rows) for tie in row.stack.place.ties}
    layers = {
        leaf.path: (i, layer)
        for i, row in enumerate(rows)
        if row.stack.axis is not None
        for layer, leaf in enumerate(row.stack.leaves)
    }
    unstacked: dict[int, dict[int, _Given]] = {}  # by row: layers that are given one by one
    stacks = Stacks("given_stacked", {} if given_stacked is None else given_stacked)
    for entry in _by_layer(_leaves(given, rename), stacks, [*at, *layers], problems):
        own, path, value = entry
        if path is not None and path not in at and path.removesuffix("/value") in at:
            path = path.removesuffix("/value")  # checkpoints have variables of nnx so
        if path is None:
            left_out.append(own)
            continue
        if path in layers and path not in at:
            i, layer = layers[path]
            other = unstacked.setdefault(i, {}).setdefault(layer, entry).own
            if other != own:
                problems.add(f"given: {other} and {own} are both for", path)
            continue
        if path not in at:
            if not isinstance(value, Number):
                extra.append(entry)
            else:
                numbers.append(path)  # plain numbers of a model that is given
            continue
        i = at[path]
        if rows[i].kept and isinstance(bare(value), jax.ShapeDtypeStruct):
            continue  # kept, as a shape
        try:
            value = _value(value, rows[i], rows[i].stack.shape)
        except ValueError as error:
            problems.add(f"given: {error}", path)
            continue
        if i not in result.values:
            result.values[i], result.paths[i] = value, own
        elif not _equal(result.values[i], value):
            problems.add(f"given: {result.paths[i]} and {own} are both for", path)
    for i, entries in unstacked.items():
        _join_layers(i, entries, rows[i], result, problems)
    _refuse_lists(numbers, at, result, problems)
    if left_over == "error":
        _refuse_extra(extra, [*at], problems)
    problems.raised()
    return result._replace(left_over=tuple(e.own for e in extra), left_out=tuple(left_out))


def _leaves(given: Any, rename: Any) -> Iterator[_Given]:
    """The leaves of `given`, with their paths in the model."""
    if isinstance(given, (str, bytes, os.PathLike)):
        raise TypeError(f"`given` must be a tree of arrays, got {given!r}; load it first")
    pairs = tuple(rename.items()) if isinstance(rename, Mapping) else rename
    if not is_sequence(pairs) or any(not is_sequence(pair) or len(pair) != 2 for pair in pairs):
        raise TypeError(
            "`rename` must be a sequence of patterns and replacements, as in [(r'^net2/', 'net/')],"
            f" got {units.brief(rename)}"
        )
    renames = [(pattern("rename", text), replacement) for text, replacement in pairs]
    for place in () if given is None else open_model(given, numbers=True).places:
        own = joined(place.parts)
        yield _Given(own, _renamed(own, renames), place.value)


def _by_layer(
    leaves: Iterable[_Given], stacks: Stacks, paths: Sequence[str], problems: Problems
) -> Iterator[_Given]:
    """Yield the leaves of `given`; a leaf of stacked layers layer by layer."""
    layers: dict[tuple[str, str], set[int]] | None = None
    for leaf in leaves:
        shape = tuple(bare(leaf.value).shape)
        match = None if leaf.path is None else stacks.find(leaf.path, shape, problems)
        if match is None:
            yield leaf
            continue
        before, after, axis = match
        layers = _layers_by_path(paths) if layers is None else layers
        wanted = layers.get((before, after), layers.get((before, after.removesuffix("/value"))))
        if wanted is None:
            yield leaf  # the model has it stacked too, or not at all
        elif wanted == {*range(shape[axis])}:
            whole = _unsplit(leaf.value, axis)
            for i in range(shape[axis]):
                own = f"{leaf.own}[{', '.join([*':' * axis, str(i)])}]"
                yield _Given(own, f"{before}/{i}{after}", _layer(whole, axis, i))
        else:
            listed = ", ".join(map(str, sorted(wanted)))
            text = f"it has {shape[axis]} layers, counted from 0; those of the model are {listed}"
            problems.add(f"given: {text}", leaf.own)
    stacks.refuse_unused(problems)


def _layers_by_path(paths: Iterable[str]) -> dict[tuple[str, str], set[int]]:
    """The indices of a model's layers, by the text before and after them in a path."""
    layers: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        for match in re.finditer(r"/(\d+)(?=/|$)", path):
            around = path[: match.start()], path[match.end() :]
            layers.setdefault(around, set()).add(int(match[1]))
    return layers


def _unsplit(value: Any, axis: int) -> Any:
    """Gather a value that an explicit axis of a mesh splits along the axis of layers.

    JAX can't index along a split axis without an explicit sharding of the result.
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
    """Layer i of a value with layers along an axis."""
    whole, unit = units.parts(value)
    if isinstance(whole, jax.ShapeDtypeStruct):
        shape = (*whole.shape[:axis], *whole.shape[axis + 1 :])
        return units.on(jax.ShapeDtypeStruct(shape, whole.dtype), unit)
    return units.on(whole[(slice(None),) * axis + (i,)], unit)


def _refuse_extra(extra: Sequence[_Given], paths: Sequence[str], problems: Problems) -> None:
    """Add problems for given leaves that the model lacks."""
    layers = _layers_by_path(paths) if extra else {}
    rest = []
    for own, path, _ in extra:
        parts = (path or "").removesuffix("/value").split("/")
        cuts = (("/".join(parts[:n]), "/".join(["", *parts[n:]])) for n in range(1, len(parts) + 1))
        before = next((before for before, after in cuts if (before, after) in layers), None)
        if before is None:
            rest.append(own)
            continue
        remedy = f"given_stacked={{'^{before}': 0}}"
        problems.add(f"given: the model has the layers of these apart; say so by {remedy}", own)
    if rest:
        remedy = "; use rename=, or left_over='ignore'"
        problems.add(f"given: the model has no leaf for these{near(rest[0], paths)}{remedy}", *rest)


def _join_layers(
    i: int, entries: Mapping[int, _Given], row: Any, result: Taken, problems: Problems
) -> None:
    """Stack layers that are given one by one for a leaf with an axis of layers."""
    stack = row.stack
    if i in result.values:
        problems.add(f"given: {result.paths[i]} and its layers are both for", stack.path)
        return
    if missing := [leaf.path for n, leaf in enumerate(stack.leaves) if n not in entries]:
        problems.add(f"given: some layers of {stack.path} are, and these are not", *missing)
    values = []
    for layer, entry in sorted(entries.items()):
        try:
            values.append(units.parts(_value(entry.value, row, stack.leaves[layer].shape))[0])
        except ValueError as error:
            problems.add(f"given: {error}", stack.leaves[layer].path)
    if len(values) == len(stack.leaves):
        on_host = all(isinstance(value, np.ndarray) for value in values)
        whole = (np if on_host else jnp).stack(values, stack.axis)
        result.values[i] = units.on(whole, units.of(stack.place.value))
        result.paths[i] = f"{entries[0].own} to {entries[len(values) - 1].own}"


def _refuse_lists(
    numbers: Iterable[str], at: Mapping[str, int], result: Taken, problems: Problems
) -> None:
    """Add problems for lists of Python numbers in place of arrays."""
    above: dict[str, None] = {}
    for path in numbers:
        while path := path.rpartition("/")[0]:
            above[path] = None
    for path in above:
        if path in at and at[path] not in result.values:
            problems.add("given: a list of numbers is no array; make it one", path)


def _equal(one: Any, other: Any) -> bool:
    """Whether two given values of a tied leaf are equal."""
    try:
        return bool(np.array_equal(np.asarray(bare(one)), np.asarray(bare(other))))
    except Exception:
        return False


def _renamed(path: str, renames: Sequence[tuple[Any, str | None]]) -> str | None:
    for regex, replacement in renames:
        if replacement is None:
            if regex.search(path):
                return None
        else:
            try:
                path = regex.sub(replacement, path)
            except (re.error, TypeError, IndexError) as error:
                raise ValueError(
                    f"`rename`: {replacement!r} can't replace {regex.pattern!r}: {error}"
                ) from None
    return path


def _value(given: Any, row: Any, shape: tuple[int, ...]) -> Any:
    """Check a given value, and convert it to the leaf's unit; `shape` may be that of one layer."""
    value = bare(given)
    dtype = row.stack.leaves[0].dtype
    number = given.number if isinstance(given, Number) else units.parts(given)[0]
    if type(number) in NUMBERS:  # without a dtype: takes the leaf's, if that represents it
        cast = np.asarray(number).astype(dtype)
        value = cast if cast == number else np.asarray(number)
    if isinstance(value, jax.ShapeDtypeStruct):
        raise ValueError("there is no value, only a shape")
    if tuple(value.shape) != tuple(shape):
        raise ValueError(f"the shape is {tuple(value.shape)}, the leaf's {tuple(shape)}")
    if value.dtype != dtype:
        raise ValueError(f"the dtype is {value.dtype}, the leaf's {dtype}; cast it before")
    unit, leaf_unit = units.of(given), units.of(row.stack.place.value)
    try:
        same = unit is leaf_unit
        ratio = units.factor(given) if same else units.of_operation("+", leaf_unit, unit)[1]
    except units.UnitError:
        raise ValueError(f"the unit is {unit}, the leaf's {leaf_unit}") from None
    if ratio != 1 and not jnp.issubdtype(dtype, np.inexact):
        raise ValueError(f"the integers are in {unit}, the leaf's in {leaf_unit}; convert them")
    value = value if ratio == 1 else (value * ratio).astype(dtype)
    return units.on(value, leaf_unit)
