"""The leaves of a model with their paths, layers, layouts and fans, as rules see them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import brainunit as u
import jax
import numpy as np
from jax.sharding import NamedSharding

from braininit._params import units
from braininit._params.options import whole
from braininit.models.layouts import (
    LAYOUTS,
    Layout,
    layout_by_names,
    layout_of_attention,
    layout_of_bias,
    layout_of_haiku,
    layout_of_owner,
)
from braininit.models.paths import joined
from braininit.models.problems import Problems
from braininit.models.trees import NUMBERS, Place

__all__ = ["Leaf", "Stack", "Stacks", "bare", "leaves_of", "pattern"]


@dataclasses.dataclass(slots=True, eq=False)
class Leaf:
    """One leaf of a model, as a rule sees it.

    Parameters
    ----------
    path : str
        The path, with the layer's index where layers are stacked.
    shape, dtype
        Those of the leaf; of one layer where layers are stacked.
    unit : Unit or None
        The unit of the leaf.
    owner : object or None
        The module that holds the leaf (Equinox, nnx, brainstate), or a named tuple.
    variable : type or None
        The class of the variable around the leaf, in nnx and brainstate.
    names : tuple or None
        The names of the axes, from linen's and nnx's metadata.
    layer : int or None
        The index of the layer, by ``layers=`` of `plan`.
    depth : int
        The number of layers in the leaf's stack; outside of stacks, in the deepest one.
    sharding : NamedSharding or None
        The sharding that the plan gives the leaf.
    abstract : bool
        Whether the leaf is only a shape, without a value.
    followed : str
        In a state of optax, as a moment of Adam: the path of its parameter within the state.
    """

    path: str
    shape: tuple[int, ...]
    dtype: Any
    unit: u.Unit | None
    owner: Any
    variable: type | None
    names: tuple[Any, ...] | None
    layer: int | None = None
    depth: int = 0
    sharding: NamedSharding | None = None
    layout: Layout | None = None
    abstract: bool = False
    followed: str = ""
    in_mapping: bool = False

    @property
    def module(self) -> Any:
        """The owner, unless a dictionary holds the leaf, as it does in linen and Haiku."""
        return None if self.in_mapping else self.owner

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def above(self) -> str:
        """The path without its last part."""
        return self.path.rpartition("/")[0]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def fans(self) -> tuple[float, float] | None:
        """The numbers of inputs and outputs; None unless a kernel or the bias of one."""
        return None if self.layout is None else self.layout.fans(self.shape)

    @property
    def fan_in(self) -> float | None:
        """The number of inputs of the kernel; of a bias, those of the kernel beside it."""
        return None if self.fans is None else self.fans[0]

    @property
    def fan_out(self) -> float | None:
        """The number of outputs."""
        return None if self.fans is None else self.fans[1]


@dataclasses.dataclass(slots=True, eq=False)
class Stack:
    """A leaf of the tree: one `Leaf`, or one for each layer along its axis of layers."""

    place: Place
    path: str
    axis: int | None
    leaves: list[Leaf]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        return tuple(bare(self.place.value).shape)


def bare(value: Any) -> Any:
    """An array, or a placeholder for one, without its unit."""
    value = value.mantissa if isinstance(value, u.Quantity) else value
    return np.asarray(value) if type(value) in NUMBERS else value


def pattern(name: str, text: Any) -> re.Pattern[str]:
    """Compile a regular expression; `name` is the parameter in the error."""
    try:
        return re.compile(text)
    except (re.error, TypeError) as error:
        raise ValueError(f"`{name}` = {text!r} is no regular expression: {error}") from None


class Stacks:
    """Patterns of the paths that have an axis of layers, each with the axis.

    `name` is the parameter in errors, as ``stacked``.
    """

    def __init__(self, name: str, axes: Any) -> None:
        if not isinstance(axes, Mapping):
            raise TypeError(f"`{name}` must map patterns to axes, as {{{axes!r}: 0}}")
        self._name, self._used = name, set[str]()
        self._axes = [(pattern(name, p), whole(name, axis)) for p, axis in axes.items()]

    def find(
        self, path: str, shape: tuple[int, ...], problems: Problems
    ) -> tuple[str, str, int] | None:
        """A leaf's path before and after the index of the layer, and the axis of layers."""
        for prefix, axis in self._axes if shape else ():  # layers share a scalar
            if (end := _end(prefix, path)) is None:
                continue
            self._used.add(prefix.pattern)
            if not -len(shape) <= axis < len(shape):
                problems.add(f"{self._name}: there is no axis {axis}", path)
            elif not shape[axis]:
                problems.add(f"{self._name}: there is no layer along axis {axis}", path)
            else:
                return path[:end], path[end:], axis % len(shape)
            return None
        return None

    def refuse_unused(self, problems: Problems) -> None:
        """Add a problem for each pattern that no path has matched."""
        for prefix, _ in self._axes:
            if prefix.pattern not in self._used:
                why = "matches no path up to a slash or its end that is not stacked by another"
                problems.add(f"{self._name}: {prefix.pattern!r} {why}")


def leaves_of(
    places: Sequence[Place],
    *,
    layers: Any,
    stacked: Mapping[str, int],
    layout: Any,
    axes: Mapping[str, str] | None,
    problems: Problems,
) -> list[Stack]:
    """Return all leaves, with their layers and layouts."""
    numbered = None if layers is None else pattern("layers", layers)
    stacks = Stacks("stacked", stacked)
    result = [_stack(place, stacks, problems) for place in places]
    stacks.refuse_unused(problems)
    if axes and not any(place.names and any(place.names) for place in places):
        problems.add("axes: no leaf has names of axes")
    leaves = [leaf for stack in result for leaf in stack.leaves]
    if numbered is not None:
        _number(leaves, numbered, problems)
    _lay_out(leaves, layout, axes, problems)
    return result


def _stack(place: Place, stacks: Stacks, problems: Problems) -> Stack:
    path, value = joined(place.parts), bare(place.value)
    shape, dtype = tuple(value.shape), value.dtype
    if isinstance(dtype, np.dtype):  # float64 is float32 without jax_enable_x64
        dtype = jax.dtypes.canonicalize_dtype(dtype)
    names, rest = place.names, (dtype, units.of(place.value), place.owner, place.variable)
    more: Any = {
        "abstract": isinstance(value, jax.ShapeDtypeStruct),
        "followed": joined(place.followed),
        "in_mapping": place.in_mapping,
    }
    if (match := stacks.find(path, shape, problems)) is None:
        return Stack(place, path, None, [Leaf(path, shape, *rest, names, **more)])
    before, after, axis = match
    layer_shape = (*shape[:axis], *shape[axis + 1 :])
    names = None if names is None else (*names[:axis], *names[axis + 1 :])
    leaves = [
        Leaf(f"{before}/{i}{after}", layer_shape, *rest, names, **more) for i in range(shape[axis])
    ]
    return Stack(place, path, axis, leaves)


def _end(prefix: re.Pattern[str], path: str) -> int | None:
    """The end of a prefix in a path, where the index of the layer belongs; None if no match."""
    if (match := prefix.search(path)) is None:
        return None
    end = match.end() - match[0].endswith("/")
    return end if path[end : end + 1] in ("", "/") else None


def _number(leaves: Sequence[Leaf], numbered: re.Pattern[str], problems: Problems) -> None:
    """Set the layer and the depth of each leaf."""
    if not numbered.groups:
        raise ValueError(f"`layers` = {numbered.pattern!r} has no group for the index: (\\d+)")
    counts: dict[str, int] = {}
    stack_of: dict[str, str] = {}
    for leaf in leaves:
        if (match := numbered.search(leaf.path)) is None:
            continue
        group = next((i for i, text in enumerate(match.groups(), 1) if text is not None), 0)
        if not group or not match[group].isdecimal():
            problems.add(f"layers: {match[0]!r} has no index of a layer", leaf.path)
            continue
        leaf.layer, above = int(match[group]), leaf.path[: match.start(group)]
        stack_of[leaf.path] = above
        counts[above] = max(counts.get(above, 0), leaf.layer + 1)
    if not counts:
        problems.add(f"layers = {numbered.pattern!r} matches no leaf")
    for leaf in leaves:
        leaf.depth = counts.get(stack_of.get(leaf.path, ""), max(counts.values(), default=0))


def _lay_out(
    leaves: Sequence[Leaf], layout: Any, axes: Mapping[str, str] | None, problems: Problems
) -> None:
    """Set the layout of each leaf: by names of axes, by the user's `layout`, or by its layer."""
    chosen = _layout_by_path(layout)
    kernels: dict[str, dict[str, int]] = {}
    for leaf in leaves:
        if leaf.name == "kernel" and leaf.module is None:
            above, _, layer = leaf.above.rpartition("/")
            kernels.setdefault(above, {})[layer] = leaf.ndim
    beside: dict[str, dict[str, tuple[float, float] | None]] = {}
    for leaf in leaves:
        try:
            leaf.layout = _layout(leaf, chosen, axes, kernels)
        except ValueError as error:
            problems.add(str(error), leaf.path)
            continue
        if leaf.ndim > 1 and leaf.layout is not None:
            beside.setdefault(leaf.above, {})[leaf.name] = leaf.fans
    for leaf in leaves:
        if bias := layout_of_bias(leaf.name, beside.get(leaf.above, {}), leaf.module):
            leaf.layout = bias


def _layout_by_path(layout: Any) -> Callable[[str], Layout | None]:
    """A function that returns the user's `layout` for a path."""
    if layout is None:
        return lambda path: None
    pairs = [("", layout)] if isinstance(layout, str) else layout
    layouts = []
    for path_pattern, name in pairs:
        if name not in LAYOUTS:
            raise ValueError(
                f"`layout` must be one of {', '.join(map(repr, LAYOUTS))}, got {name!r}"
            )
        layouts.append((pattern("layout", path_pattern), LAYOUTS[name]))
    return lambda path: next((found for regex, found in layouts if regex.search(path)), None)


def _layout(
    leaf: Leaf,
    chosen: Callable[[str], Layout | None],
    axes: Mapping[str, str] | None,
    kernels: Mapping[str, Mapping[str, int]],
) -> Layout | None:
    if axes is not None and leaf.names and any(leaf.names):
        return layout_by_names(leaf.names, axes)
    if leaf.ndim < 2:
        return None
    above, _, layer = leaf.above.rpartition("/")
    found = chosen(leaf.path)
    if found is None and leaf.name == "kernel" and leaf.module is None:
        found = layout_of_attention(layer, kernels[above])
    if found is None and leaf.module is None:
        found = layout_of_haiku(layer, leaf.name, leaf.ndim)
    return found or layout_of_owner(leaf.module, leaf.name, leaf.ndim)
