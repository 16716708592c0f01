"""The leaves of a model of any framework, with paths; and the model rebuilt from new values.

A model is a PyTree. The wrappers that frameworks put around a leaf (an nnx variable, a linen box
with axis names, a brainstate State) are opened here and rebuilt. Graphs of nnx and brainstate are
split into a definition and a tree by these libraries. No framework is imported: if the model
belongs to one, it is imported already.
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

__all__ = ["NUMBERS", "Number", "Opened", "Place", "open_model"]

NUMBERS = (bool, int, float, complex)
"""Python's number types; with a unit or in a variable, such a number is an array."""


@dataclasses.dataclass(slots=True)
class Place:
    """The place of a leaf in a model, with the metadata of its framework."""

    parts: PathParts
    value: Any
    """An array, a placeholder for one, a variable's number, or a Quantity of one of these."""
    owner: Any = None
    """The module, or other object with attributes, that holds the leaf."""
    in_mapping: bool = False
    """Whether a dictionary holds the leaf, and no attribute of its owner."""
    followed: PathParts = ()
    """In a state of optax: the path of the parameter that the leaf belongs to, as a moment does."""
    variable: type | None = None
    """The class of the variable around the leaf, in nnx and brainstate."""
    names: tuple[Any, ...] | None = None
    """The names of the axes, from linen's and nnx's metadata."""
    ties: tuple[PathParts, ...] = ()
    """The other paths of a leaf that the model uses several times."""


class Opened(NamedTuple):
    """The leaves of a model, and a function that rebuilds the model from new values."""

    places: list[Place]
    closed: Callable[[Iterable[Any]], Any]


class Number:
    """A Python number that may stand for an array, as a checkpoint's step count."""

    shape, dtype = (), np.dtype(float)

    def __init__(self, number: complex) -> None:
        self.number = number


def open_model(model: Any, *, numbers: bool = False) -> Opened:
    """Find the leaves of a model that are arrays or placeholders, in JAX's flattening order.

    A Python number is a leaf only with a unit, in a variable, or if `numbers` is True.
    """
    _refuse_deep(model)
    model = _with_numbers(model) if numbers else model
    for graph in (_nnx_graph, _brainstate_graph):
        if (result := graph(model)) is not None:
            return result
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
    """Wrap the Python numbers in a tree's plain containers as leaves."""
    if type(tree) is dict:
        return {name: _with_numbers(x) for name, x in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(map(_with_numbers, tree))
    return Number(tree) if type(tree) in NUMBERS else tree


# ---------------------------------------------------------------- PyTrees


def _tree(
    tree: Any, prefix: PathParts, owners: Callable[[Any], _Holder], *, numbers: bool = False
) -> Opened:
    boxes = _box_classes()
    is_leaf = (u.Quantity, *(cls for classes in boxes.values() for cls in classes))
    leaves, definition = jax.tree_util.tree_flatten_with_path(
        tree, is_leaf=lambda x: isinstance(x, is_leaf)
    )
    places: list[Place] = []
    # For each leaf: the number of values it takes and its function of them, or "tied" and an id.
    builders: list[tuple[int, Callable[[list[Any]], Any]] | Any] = []
    seen: dict[int, tuple[Place, ...]] = {}
    for keypath, leaf in leaves:
        parts = (*prefix, *parts_of(keypath))
        box = _box(leaf, boxes)
        if box is None:
            if not (_is_array(leaf) or (numbers and type(leaf) in NUMBERS)):
                builders.append((0, lambda _, leaf=leaf: leaf))
                continue
            places.append(Place(parts, leaf, *owners(keypath)))
            builders.append((1, lambda values: values[0]))
            continue
        inner = _tree(box.value, parts, _Owners(box.value), numbers=True)
        holder = owners(keypath)
        if id(leaf) in seen and box.variable is not None:
            for first, again in zip(seen[id(leaf)], inner.places, strict=True):
                first.ties += (again.parts,)
            builders.append(("tied", id(leaf)))
            continue
        for place in inner.places:
            place.owner, place.in_mapping = holder.owner, holder.in_mapping
            place.followed = place.followed or holder.followed
            place.variable, place.names = box.variable, box.names
        places += inner.places
        seen[id(leaf)] = tuple(inner.places)
        count = len(inner.places)
        builders.append((count, lambda xs, box=box, inner=inner: box.rebuild(inner.closed(xs))))
    identities = [id(leaf) for _, leaf in leaves]

    def closed(values: Iterable[Any]) -> Any:
        values, leaves, rebuilt = iter(values), [], {}
        for identity, (count, build) in zip(identities, builders, strict=True):
            if count == "tied":
                leaves.append(rebuilt[build])
                continue
            leaves.append(build([next(values) for _ in range(count)]))
            rebuilt[identity] = leaves[-1]
        return jax.tree_util.tree_unflatten(definition, leaves)

    return Opened(places, closed)


def _is_array(value: Any) -> bool:
    """Whether a leaf is an array or a placeholder; a Python number with a unit is one."""
    if isinstance(value, u.Quantity):
        value = value.mantissa
        if type(value) in NUMBERS:
            return True
    return hasattr(value, "shape") and hasattr(value, "dtype")


class _Holder(NamedTuple):
    """What holds a leaf; the fields are those of `Place`."""

    owner: Any = None
    in_mapping: bool = False
    followed: PathParts = ()


class _Owners:
    """What holds the leaves of a tree, by JAX's key path."""

    def __init__(self, root: Any) -> None:
        self._nodes: dict[tuple[Any, ...], Any] = {(): root}
        self._holders: dict[tuple[Any, ...], tuple[_Holder, int | None]] = {}

    def __call__(self, keypath: tuple[Any, ...]) -> _Holder:
        holder, state = self._of(keypath[:-1]) if keypath else (_Holder(), None)
        return holder if state is None else holder._replace(followed=parts_of(keypath[state:]))

    def _of(self, above: tuple[Any, ...]) -> tuple[_Holder, int | None]:
        """What holds a leaf at a key path, and where paths within a state of optax begin."""
        if above not in self._holders:
            node = self._node(above)
            outer, state = self._of(above[:-1]) if above else (_Holder(), None)
            is_mapping = isinstance(node, Mapping)
            is_plain = node is None or is_mapping or isinstance(node, list) or type(node) is tuple
            holder = _Holder(outer.owner if is_plain else node, is_mapping)
            self._holders[above] = holder, len(above) + 1 if _is_of_optax(node) else state
        return self._holders[above]

    def _node(self, keypath: tuple[Any, ...]) -> Any:
        """The object at a key path; None if its class flattens in another way."""
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


def _is_of_optax(node: Any) -> bool:
    return type(node).__module__.partition(".")[0] == "optax"


# ---------------------------------------------------------------- boxes around a leaf


class _Box(NamedTuple):
    value: Any
    rebuild: Callable[[Any], Any]
    variable: type | None = None
    names: tuple[Any, ...] | None = None


def _box_classes() -> dict[str, tuple[type, ...]]:
    """The classes of boxes, by imported framework."""
    classes: dict[str, tuple[type, ...]] = {}
    if nnx := sys.modules.get("flax.nnx"):
        classes["nnx"] = (nnx.Variable,)
    if meta := sys.modules.get("flax.core.meta"):
        classes["linen"] = (meta.AxisMetadata,)
    if brainstate := sys.modules.get("brainstate"):
        classes["brainstate"] = (brainstate.State, brainstate.TreefyState)
    return classes


def _box(value: Any, boxes: Mapping[str, tuple[type, ...]]) -> _Box | None:
    library = next((name for name, classes in boxes.items() if isinstance(value, classes)), None)
    if library == "nnx":
        metadata = value.get_metadata()
        names = metadata.get("out_sharding") or metadata.get("sharding")
        return _Box(value.get_raw_value(), value.replace, type(value), names and tuple(names))
    if library == "linen":
        (inner,) = jax.tree_util.tree_leaves(value, is_leaf=lambda x: x is not value)
        return _Box(inner, value.replace_boxed, None, getattr(value, "names", None))
    if library == "brainstate":
        return _Box(value.value, value.replace, getattr(value, "type", type(value)))
    return None


# ---------------------------------------------------------------- graphs


def _nnx_graph(model: Any) -> Opened | None:
    """Open a model with nnx modules: their graph, and the rest of the PyTree around them."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is None:
        return None
    leaves, outer = jax.tree_util.tree_flatten_with_path(
        model, is_leaf=lambda x: isinstance(x, nnx.Pytree)
    )
    graphs = [(parts_of(path), leaf) for path, leaf in leaves if isinstance(leaf, nnx.Pytree)]
    if not graphs:
        return None
    numbers = iter(range(len(graphs)))
    holed = [_Hole(next(numbers)) if isinstance(leaf, nnx.Pytree) else leaf for _, leaf in leaves]
    rest = jax.tree_util.tree_unflatten(outer, holed)
    beside = _tree(rest, (), _Owners(rest))
    roots = [graph for _, graph in graphs]
    definition, state = nnx.split(roots)

    def full_path(path: Iterable[Any]) -> PathParts:
        first, *others = map(str, path)
        return (*graphs[int(first)][0], *others)

    modules = {
        full_path(path): node
        for path, node in nnx.iter_graph(roots)
        if path and isinstance(node, nnx.Pytree) and not isinstance(node, (nnx.List, nnx.Dict))
    }
    _refuse_lost(modules, (nnx.Variable, nnx.Pytree))
    inside = _tree(
        state, (), lambda keypath: _Holder(_nearest(modules, full_path(parts_of(keypath))))
    )
    duplicates = [[full_path(path) for path in group] for group in nnx.find_duplicates(roots)]
    for place in inside.places:
        place.followed = _followed(roots[int(place.parts[0])], place.parts[1:])
        place.parts, place.ties = full_path(place.parts), tuple(map(full_path, place.ties))
        paths = {place.parts, *place.ties, *_other_paths(place.parts, duplicates)}
        place.parts, *others = sorted(paths)
        place.ties = tuple(others)

    def closed(values: Iterable[Any]) -> Any:
        values = list(values)
        modules = nnx.merge(definition, inside.closed(values[len(beside.places) :]))
        tree = beside.closed(values[: len(beside.places)])
        return jax.tree.map(lambda x: modules[x.index] if isinstance(x, _Hole) else x, tree)

    return Opened(beside.places + inside.places, closed)


def _refuse_lost(modules: Mapping[PathParts, Any], own: tuple[type, ...]) -> None:
    """Refuse arrays that `nnx.eval_shape` loses: in lists and dictionaries, or not marked as data.

    They would not be leaves, but stay shapes, or tracers of that call, in the drawn model.
    """
    lost = []
    for path, module in modules.items():
        data = vars(module).get("_pytree__nodes", {})  # not promised: without it, none are found
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
    """Marks the place of a module, by its index."""

    def __init__(self, index: int) -> None:
        self.index = index


def _brainstate_graph(model: Any) -> Opened | None:
    brainstate = sys.modules.get("brainstate")
    if brainstate is None or not isinstance(model, brainstate.graph.Node):
        return None
    graph = brainstate.graph
    definition, states = graph.treefy_split(model)
    modules = {tuple(map(str, path)): node for path, node in graph.iter_node(model)}
    inside = _tree(states, (), lambda keypath: _Holder(_nearest(modules, parts_of(keypath))))
    return inside._replace(
        closed=lambda values: graph.treefy_merge(definition, inside.closed(values))
    )


def _nearest(modules: Mapping[PathParts, Any], parts: PathParts) -> Any:
    """The innermost module above a path."""
    for n in range(len(parts) - 1, -1, -1):
        if parts[:n] in modules:
            return modules[parts[:n]]
    return None


def _followed(node: Any, parts: PathParts) -> PathParts:
    """The part of a path within the innermost state of optax; () if there is none."""
    followed: PathParts = ()
    for n, part in enumerate(parts):
        if _is_of_optax(node):
            followed = parts[n + 1 :]
        if isinstance(node, (list, tuple)) and part.isdecimal():
            node = node[int(part)]
        else:
            node = getattr(node, part, None)
    return followed


def _other_paths(path: PathParts, duplicates: list[list[PathParts]]) -> set[PathParts]:
    """The other paths of an object, where each group of paths leads to one object."""
    paths, fresh = {path}, [path]
    while fresh:
        current = fresh.pop()
        for group in duplicates:
            for member in group:
                if current[: len(member)] == member:
                    for other in group:
                        new = (*other, *current[len(member) :])
                        if new not in paths and len(paths) < 64:
                            paths.add(new)
                            fresh.append(new)
    return paths - {path}
