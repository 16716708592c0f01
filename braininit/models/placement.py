"""Where the leaves of a model live: shardings by rules, by a tree, by names, or by size."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from braininit._jax.settings import eager
from braininit._params import options, units
from braininit.models.leaves import Stack, bare, pattern
from braininit.models.paths import joined
from braininit.models.problems import Problems
from braininit.models.trees import opened

__all__ = ["Fsdp", "Placed", "fsdp", "in_place", "place"]


@dataclasses.dataclass(frozen=True)
class Fsdp:
    """A leaf's largest axis that a mesh divides, split over the devices; see `fsdp`."""

    axis: str | tuple[str, ...]
    min_bytes: int = 2**20

    def spec(self, shape: tuple[int, ...], dtype: Any, mesh: Any) -> PartitionSpec:
        """The spec of a leaf."""
        names = (self.axis,) if isinstance(self.axis, str) else self.axis
        if unknown := [n for n in names if n not in mesh.shape]:
            raise ValueError(f"fsdp: the mesh has no axis {unknown[0]!r}, only {_listed(mesh)}")
        parts = math.prod(mesh.shape[name] for name in names)
        if not shape or math.prod(shape) * getattr(dtype, "itemsize", 8) < self.min_bytes:
            return PartitionSpec()
        divided = [at for at, n in enumerate(shape) if n % parts == 0]
        if not divided:
            raise ValueError(
                f"fsdp: {parts} devices divide no axis of {shape}; give it a rule of its own, "
                "as PartitionSpec(), or raise min_bytes"
            )
        at = max(divided, key=lambda a: (shape[a], -a))
        return PartitionSpec(*(None,) * at, self.axis)


def fsdp(axis: str | Sequence[str], min_bytes: int = 2**20) -> Fsdp:
    """Split each large leaf over the devices along an axis of the mesh, for `plan`.

    Parameters
    ----------
    axis : str or sequence of str
        The axis of the mesh, or several.
    min_bytes : int
        Leaves of fewer bytes are on every device.

    Notes
    -----
    A leaf is split along the largest of its axes that the number of devices divides, the first of
    several. A leaf none of whose axes is divided is an error.

    Examples
    --------
    >>> import braininit as init
    >>> init.fsdp("data")
    Fsdp(axis='data', min_bytes=1048576)
    """
    axes = axis if isinstance(axis, str) else tuple(axis)
    return Fsdp(axes, options.whole("min_bytes", min_bytes, 0))


class Placed(NamedTuple):
    """Where a leaf is to live, or why that can't be."""

    sharding: NamedSharding | None
    problem: str | None = None


def place(
    stacks: Sequence[Stack], shardings: Any, mesh: Mesh | None, problems: Problems
) -> list[Placed]:
    """Where each leaf is to live; None where nothing is said."""
    mesh = mesh if mesh is not None else _mesh_of_the_moment()
    asked, found = _asked(stacks, shardings, mesh, problems), []
    for stack in stacks:
        try:
            found.append(Placed(_tied(asked(stack), stack, mesh)))
        except ValueError as error:
            found.append(Placed(None, str(error)))
        for leaf in stack.leaves:
            leaf.sharding = found[-1].sharding
    return found


def in_place(value: Any, sharding: NamedSharding | None) -> Any:
    """A value, with its unit, as an array that lives where it should."""
    bare, unit = units.parts(value)
    if sharding is None:
        bare = jnp.asarray(bare) if isinstance(bare, (np.ndarray, np.generic)) else bare
    elif _spans_processes(sharding) and getattr(bare, "is_fully_addressable", True):
        # Each process puts its part there. To `jax.device_put` all would send the whole.
        whole = np.asarray(bare)
        bare = jax.make_array_from_callback(whole.shape, sharding, lambda at: whole[at])
    else:
        bare = jax.device_put(bare, sharding)
    return units.on(bare, unit)


def _spans_processes(sharding: NamedSharding) -> bool:
    return eager() and not sharding.is_fully_addressable


def _mesh_of_the_moment() -> Any:
    try:
        mesh = jax.sharding.get_mesh()
    except ValueError:  # within a trace only its axes are known
        mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty else mesh


def _asked(
    stacks: Sequence[Stack], shardings: Any, mesh: Any, problems: Problems
) -> Callable[[Stack], Any]:
    """What is asked for a leaf: a sharding, a spec, `Fsdp`, or None."""
    if isinstance(shardings, str):
        raise TypeError(
            f"`shardings` = {shardings!r}; write init.fsdp({shardings!r}) or "
            f"PartitionSpec({shardings!r})"
        )
    if shardings is None:
        return lambda stack: _own(stack, mesh)
    if isinstance(shardings, (Fsdp, PartitionSpec, Sharding)):
        return lambda stack: shardings
    if isinstance(shardings, Mapping) and all(
        isinstance(v, (str, tuple, type(None))) and not isinstance(v, PartitionSpec)
        for v in shardings.values()
    ):
        named = {name for stack in stacks for name in stack.place.names or ()}
        for name in shardings.keys() - named:
            problems.add(f"shardings: no leaf has an axis called {name!r}")
        return lambda stack: _by_names(stack, shardings)
    if isinstance(shardings, (list, tuple)) and all(_is_rule(rule) for rule in shardings):
        return _by_rules(stacks, shardings, problems)
    return _by_tree(stacks, shardings, problems)


def _is_rule(rule: Any) -> bool:
    return isinstance(rule, (list, tuple)) and len(rule) == 2 and not hasattr(rule[0], "spec")


def _own(stack: Stack, mesh: Any) -> Any:
    """That of the leaf itself, or, with a mesh whose axes they are, by the names of its axes."""
    own = getattr(bare(stack.place.value), "sharding", None)
    if isinstance(own, NamedSharding):
        return own
    if mesh is None or not stack.place.names:
        return None
    return PartitionSpec(*stack.place.names)


def _by_names(stack: Stack, axes: Mapping[str, Any]) -> PartitionSpec:
    """By the names of a leaf's axes, each with an axis of the mesh."""
    names = stack.place.names or ()
    if unknown := [n for n in names if n is not None and n not in axes]:
        raise ValueError(f"shardings: nothing is said of the axis {unknown[0]!r}")
    return PartitionSpec(*(None if n is None else axes[n] for n in names))


def _by_rules(
    stacks: Sequence[Stack], rules: Sequence[Any], problems: Problems
) -> Callable[[Stack], Any]:
    known = [(pattern("shardings", of), its) for of, its in rules]
    used: set[int] = set()

    def asked(stack: Stack) -> Any:
        for i, (of, its) in enumerate(known):
            if of.search(stack.path):
                used.add(i)
                return its
        raise ValueError("shardings: no rule for these leaves; end with (r'', PartitionSpec())")

    for stack in stacks:
        with contextlib.suppress(ValueError):
            asked(stack)
    for i, (of, _) in enumerate(known):
        if i not in used:
            problems.add(f"shardings: the rule {of.pattern!r} is used for no leaf")
    return asked


def _by_tree(stacks: Sequence[Stack], tree: Any, problems: Problems) -> Callable[[Stack], Any]:
    """By a tree of the model's form; what is not said in it is an error."""
    leaves = (PartitionSpec, Sharding, Fsdp)
    wrapped = jax.tree.map(
        lambda leaf: _Said(leaf), tree, is_leaf=lambda x: x is None or isinstance(x, leaves)
    )
    known = {joined(place.parts): place.value.said for place in opened(wrapped).places}
    for path in sorted(known.keys() - {stack.path for stack in stacks}):
        problems.add("shardings: the tree has leaves that the model has not", path)

    def asked(stack: Stack) -> Any:
        if stack.path not in known:
            raise ValueError("shardings: the tree lacks these leaves")
        return known[stack.path]

    return asked


class _Said:
    """A sharding in a tree, which is to look like an array."""

    shape, dtype = (), np.dtype(np.float32)

    def __init__(self, said: Any) -> None:
        self.said = said


def _tied(asked: Any, stack: Stack, mesh: Any) -> NamedSharding | None:
    """A sharding on a mesh that goes with the leaf."""
    if asked is None:
        return None
    if isinstance(asked, NamedSharding):
        sharding = asked
    elif isinstance(asked, Sharding):
        raise ValueError(f"shardings: {type(asked).__name__} is on no mesh; write a NamedSharding")
    elif mesh is None:
        raise ValueError(f"shardings: {asked} names axes but there is no mesh; pass mesh=")
    else:
        dtype = bare(stack.place.value).dtype
        spec = asked.spec(stack.shape, dtype, mesh) if isinstance(asked, Fsdp) else asked
        if not isinstance(spec, PartitionSpec):
            raise ValueError(f"shardings: {asked!r} is no PartitionSpec, NamedSharding or fsdp()")
        if PartitionSpec.UNCONSTRAINED in spec:
            raise ValueError(f"shardings: {spec} leaves an axis to the compiler; write None")
        if unknown := [n for n in _names(spec) if n not in mesh.shape]:
            remedy = ""
            if unknown[0] in (stack.place.names or ()):
                remedy = f"; say where it goes, as by shardings={{{unknown[0]!r}: None}}"
            raise ValueError(f"the mesh has no axis {unknown[0]!r}, only {_listed(mesh)}{remedy}")
        try:
            sharding = NamedSharding(mesh, spec)
        except Exception as error:  # of a kind of JAX's own
            raise ValueError(f"shardings: {error}") from None
    _refuse_undivided(sharding, stack.shape)
    return sharding


def _refuse_undivided(sharding: NamedSharding, shape: tuple[int, ...]) -> None:
    if len(sharding.spec) > len(shape):
        raise ValueError(f"{sharding.spec} has more axes than the shape {shape}")
    for at, entry in enumerate(sharding.spec):
        names = entry if isinstance(entry, tuple) else () if entry is None else (entry,)
        parts = math.prod(sharding.mesh.shape[name] for name in names)
        if shape[at] % parts:
            raise ValueError(
                f"axis {at} of {shape} is not divided by the {parts} devices of {entry!r}"
            )


def _names(spec: PartitionSpec) -> list[str]:
    every: list[str] = []
    for entry in spec:
        every += entry if isinstance(entry, tuple) else [] if entry is None else [entry]
    return every


def _listed(mesh: Any) -> str:
    return ", ".join(map(repr, mesh.axis_names))
