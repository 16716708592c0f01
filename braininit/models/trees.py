"""Models of any framework as leaves with paths, and back to a model of the same type.

A model is a PyTree. What a framework puts around a leaf, an nnx variable, a linen box with axis
names, a brainstate State, is opened here and made again; graphs of nnx and brainstate are split
into a definition and a tree, as these libraries do themselves. No framework is imported: a model
of one has imported it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import brainunit as u
import jax
import numpy as np
from jax.core import Tracer

from braininit._jax.settings import eager
from braininit.models.paths import PathParts, joined, parts_of

__all__ = ["NUMBERS", "Number", "Opened", "Place", "opened"]

NUMBERS = (bool, int, float, complex)
"""Python's, which are an array where a unit or a variable is around them."""


@dataclasses.dataclass(slots=True)
class Place:
    """Where a leaf of a model is, and what its framework says of it."""

    parts: PathParts
    value: Any
    """An array, what stands for one, a number of a variable's, or a Quantity of one of these."""
    owner: Any = None
    """The module, or another object with attributes, that holds it."""
    variable: type | None = None
    """The class of the variable around it, in nnx and brainstate."""
    names: tuple[Any, ...] | None = None
    """The names of its axes, in linen's and nnx's metadata."""
    ties: tuple[PathParts, ...] = ()
    """Its other paths in a model that uses it several times."""


class Opened(NamedTuple):
    """The leaves of a model, and how to make the model of other values for them."""

    places: list[Place]
    closed: Callable[[Iterable[Any]], Any]


class Number:
    """A Python number where an array may be meant, as a checkpoint's count of steps."""

    shape, dtype = (), np.dtype(float)

    def __init__(self, number: complex) -> None:
        self.number = number


def opened(model: Any, *, numbers: bool = False) -> Opened:
    """The leaves of a model that are arrays or stand for some, in the order of JAX's flattening.

    Python's own numbers are none, but with a unit, in a variable, or where `numbers` are asked for.
    """
    _refuse_deep(model)
    model = _with_numbers(model) if numbers else model
    for graph in (_nnx_graph, _brainstate_graph):
        if (found := graph(model)) is not None:
            return found
    return _tree(model, (), _Owners(model))


_DEEPEST = 256


def _refuse_deep(tree: Any) -> None:
    """Refuse a tree that holds itself: JAX 0.10 leaves Python without stack after an error."""
    level = {0: tree}
    for _ in range(_DEEPEST):
        parts = (x.values() if type(x) is dict else x for x in level.values() if type(x) in _PLAIN)
        level = {id(part): part for inner in parts for part in inner}
        if not level:
            return
    raise ValueError(f"the tree holds itself, or is nested more than {_DEEPEST} deep")


_PLAIN = (dict, list, tuple)


def _with_numbers(tree: Any) -> Any:
    """A tree whose plain containers hold Python's numbers as leaves."""
    if type(tree) is dict:
        return {name: _with_numbers(x) for name, x in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(map(_with_numbers, tree))
    return Number(tree) if type(tree) in NUMBERS else tree


# ---------------------------------------------------------------- PyTrees


def _tree(
    tree: Any, prefix: PathParts, owners: Callable[[Any], Any], *, numbers: bool = False
) -> Opened:
    boxes = _boxes()
    whole = (u.Quantity, *(cls for classes in boxes.values() for cls in classes))
    leaves, definition = jax.tree_util.tree_flatten_with_path(
        tree, is_leaf=lambda x: isinstance(x, whole)
    )
    places: list[Place] = []
    # For each leaf: itself, or how many values it takes and what makes it of them.
    made: list[tuple[int, Callable[[list[Any]], Any]] | Any] = []
    seen: dict[int, tuple[Place, ...]] = {}
    for keypath, leaf in leaves:
        parts = (*prefix, *parts_of(keypath))
        box = _box(leaf, boxes)
        if box is None:
            if not (_is_array(leaf) or (numbers and type(leaf) in NUMBERS)):
                made.append((0, lambda _, leaf=leaf: leaf))
                continue
            places.append(Place(parts, leaf, owners(keypath)))
            made.append((1, lambda values: values[0]))
            continue
        inner = _tree(box.value, parts, lambda _: None, numbers=True)
        owner = owners(keypath)
        if id(leaf) in seen and box.variable is not None:
            for first, again in zip(seen[id(leaf)], inner.places, strict=True):
                first.ties += (again.parts,)
            made.append(("tied", id(leaf)))
            continue
        for place in inner.places:
            place.owner, place.variable, place.names = owner, box.variable, box.names
        places += inner.places
        seen[id(leaf)] = tuple(inner.places)
        count = len(inner.places)
        made.append((count, lambda values, box=box, inner=inner: box.around(inner.closed(values))))
    variables = [id(leaf) for _, leaf in leaves]

    def closed(values: Iterable[Any]) -> Any:
        values, leaves, known = iter(values), [], {}
        for identity, (count, make) in zip(variables, made, strict=True):
            if count == "tied":
                leaves.append(known[make])
                continue
            leaves.append(make([next(values) for _ in range(count)]))
            known[identity] = leaves[-1]
        return jax.tree_util.tree_unflatten(definition, leaves)

    return Opened(places, closed)


def _is_array(value: Any) -> bool:
    """Whether a leaf is an array or stands for one; a Python number is one if it has a unit."""
    if isinstance(value, u.Quantity):
        value = value.mantissa
        if type(value) in NUMBERS:
            return True
    return hasattr(value, "shape") and hasattr(value, "dtype")


class _Owners:
    """The objects that hold the leaves of a tree, by JAX's key path."""

    def __init__(self, root: Any) -> None:
        self._nodes: dict[tuple[Any, ...], Any] = {(): root}
        self._owners: dict[tuple[Any, ...], Any] = {}

    def __call__(self, keypath: tuple[Any, ...]) -> Any:
        above = keypath[:-1]
        if above not in self._owners:
            node = self._node(above) if keypath else None
            plain = isinstance(node, (Mapping, list)) or type(node) is tuple
            known = node is None or plain
            self._owners[above] = (self(above) if above else None) if known else node
        return self._owners[above]

    def _node(self, keypath: tuple[Any, ...]) -> Any:
        """The object at a key path; None where its class tells its children otherwise."""
        if keypath not in self._nodes:
            node, entry = self._node(keypath[:-1]), keypath[-1]
            try:
                if hasattr(entry, "name"):
                    node = getattr(node, entry.name)
                else:
                    node = node[entry.idx if hasattr(entry, "idx") else entry.key]
            except Exception:
                node = None
            self._nodes[keypath] = node
        return self._nodes[keypath]


# ---------------------------------------------------------------- what is around a leaf


class _Box(NamedTuple):
    value: Any
    around: Callable[[Any], Any]
    variable: type | None = None
    names: tuple[Any, ...] | None = None


def _boxes() -> dict[str, tuple[type, ...]]:
    """The classes of what a framework that is in use puts around a leaf."""
    found: dict[str, tuple[type, ...]] = {}
    if nnx := sys.modules.get("flax.nnx"):
        found["nnx"] = (nnx.Variable,)
    if meta := sys.modules.get("flax.core.meta"):
        found["linen"] = (meta.AxisMetadata,)
    if brainstate := sys.modules.get("brainstate"):
        found["brainstate"] = (brainstate.State, brainstate.TreefyState)
    return found


def _box(value: Any, boxes: Mapping[str, tuple[type, ...]]) -> _Box | None:
    kind = next((name for name, classes in boxes.items() if isinstance(value, classes)), None)
    if kind == "nnx":
        metadata = value.get_metadata()
        names = metadata.get("out_sharding") or metadata.get("sharding")
        return _Box(value.get_raw_value(), value.replace, type(value), names and tuple(names))
    if kind == "linen":
        (inner,) = jax.tree_util.tree_leaves(value, is_leaf=lambda x: x is not value)
        return _Box(inner, value.replace_boxed, None, getattr(value, "names", None))
    if kind == "brainstate":
        return _Box(value.value, value.replace, getattr(value, "type", type(value)))
    return None


# ---------------------------------------------------------------- graphs


def _nnx_graph(model: Any) -> Opened | None:
    """A model with nnx modules: their graph, and what is beside them in a PyTree."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is None:
        return None
    leaves, outer = jax.tree_util.tree_flatten_with_path(
        model, is_leaf=lambda x: isinstance(x, nnx.Pytree)
    )
    graphs = [(parts_of(path), leaf) for path, leaf in leaves if isinstance(leaf, nnx.Pytree)]
    if not graphs:
        return None
    holes = iter(range(len(graphs)))
    kept = [_Hole(next(holes)) if isinstance(leaf, nnx.Pytree) else leaf for _, leaf in leaves]
    rest = jax.tree_util.tree_unflatten(outer, kept)
    beside = _tree(rest, (), _Owners(rest))
    whole = [graph for _, graph in graphs]
    definition, state = nnx.split(whole)

    def named(path: Iterable[Any]) -> PathParts:
        first, *others = map(str, path)
        return (*graphs[int(first)][0], *others)

    modules = {
        named(path): node
        for path, node in nnx.iter_graph(whole)
        if path and isinstance(node, nnx.Pytree) and not isinstance(node, (nnx.List, nnx.Dict))
    }
    _refuse_lost(modules, (nnx.Variable, nnx.Pytree))
    found = _tree(state, (), lambda keypath: _nearest(modules, named(parts_of(keypath))))
    same = [[named(path) for path in group] for group in nnx.find_duplicates(whole)]
    for place in found.places:
        place.parts, place.ties = named(place.parts), tuple(map(named, place.ties))
        every = {place.parts, *place.ties, *_other_paths(place.parts, same)}
        place.parts, *others = sorted(every)
        place.ties = tuple(others)

    def closed(values: Iterable[Any]) -> Any:
        values = list(values)
        made = nnx.merge(definition, found.closed(values[len(beside.places) :]))
        tree = beside.closed(values[: len(beside.places)])
        return jax.tree.map(lambda x: made[x.at] if isinstance(x, _Hole) else x, tree)

    return Opened(beside.places + found.places, closed)


def _refuse_lost(modules: Mapping[PathParts, Any], own: tuple[type, ...]) -> None:
    """Refuse arrays that `nnx.eval_shape` loses: in lists and dictionaries, or without a mark.

    They would be no leaves: shapes, or tracers of that call, in the model that is drawn.
    """
    lost = []
    for path, module in modules.items():
        data = vars(module).get("_pytree__nodes", {})  # not promised: without it nothing is seen
        for name, value in vars(module).items():
            if data.get(name) and not _is_array(value):
                inner = jax.tree.leaves(value, is_leaf=lambda x: isinstance(x, own))
                is_lost = any(isinstance(x, jax.ShapeDtypeStruct) for x in inner)
            else:
                is_lost = isinstance(value, Tracer) and eager()
            lost += [joined((*path, name))] if is_lost else []
    if lost:
        raise ValueError(
            f"nnx.eval_shape loses arrays that are in no Variable: {', '.join(lost)}; write "
            "nnx.Variable(...) around them, or plan the module itself"
        )


class _Hole:
    """Where a module was."""

    def __init__(self, at: int) -> None:
        self.at = at


def _brainstate_graph(model: Any) -> Opened | None:
    brainstate = sys.modules.get("brainstate")
    if brainstate is None or not isinstance(model, brainstate.graph.Node):
        return None
    graph = brainstate.graph
    definition, states = graph.treefy_split(model)
    modules = {tuple(map(str, path)): node for path, node in graph.iter_node(model)}
    found = _tree(states, (), lambda keypath: _nearest(modules, parts_of(keypath)))
    return found._replace(
        closed=lambda values: graph.treefy_merge(definition, found.closed(values))
    )


def _nearest(modules: Mapping[PathParts, Any], parts: PathParts) -> Any:
    for n in range(len(parts) - 1, -1, -1):
        if parts[:n] in modules:
            return modules[parts[:n]]
    return None


def _other_paths(path: PathParts, same: list[list[PathParts]]) -> set[PathParts]:
    """All paths of what is at one path, where groups of paths lead to one object each."""
    found, fresh = {path}, [path]
    while fresh:
        one = fresh.pop()
        for group in same:
            for member in group:
                if one[: len(member)] == member:
                    for other in group:
                        new = (*other, *one[len(member) :])
                        if new not in found and len(found) < 64:
                            found.add(new)
                            fresh.append(new)
    return found - {path}
