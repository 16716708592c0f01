"""The shardings of a model's leaves: by rules, by a tree, by names of axes, or by size."""

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
from braininit.models.trees import open_model

__all__ = ["Fsdp", "Placed", "fsdp", "in_place", "place"]


@dataclasses.dataclass(frozen=True)
class Fsdp:
    """Split the largest axis of a leaf that the devices divide; see `fsdp`."""

    axis: str | tuple[str, ...]
    min_bytes: int = 2**20

    def spec(self, shape: tuple[int, ...], dtype: Any, mesh: Any) -> PartitionSpec:
        """Return the spec of a leaf."""
        names = (self.axis,) if isinstance(self.axis, str) else self.axis
        if unknown := [n for n in names if n not in mesh.shape]:
            raise ValueError(f"fsdp: the mesh has no axis {unknown[0]!r}, only {_listed(mesh)}")
        parts = math.prod(mesh.shape[name] for name in names)
        if not shape or math.prod(shape) * getattr(dtype, "itemsize", 8) < self.min_bytes:
            return PartitionSpec()
        divisible = [at for at, n in enumerate(shape) if n % parts == 0]
        if not divisible:
            raise ValueError(
                f"fsdp: {parts} devices divide no axis of {shape}; give it a rule of its own, "
                "as PartitionSpec(), or raise min_bytes"
            )
        at = max(divisible, key=lambda a: (shape[a], -a))
        return PartitionSpec(*(None,) * at, self.axis)


def fsdp(axis: str | Sequence[str], min_bytes: int = 2**20) -> Fsdp:
    """Split each large leaf over the devices along an axis of the mesh, for `plan`.

    Parameters
    ----------
    axis : str or sequence of str
        One or several axes of the mesh.
    min_bytes : int
        Leaves with fewer bytes are replicated on every device.

    Notes
    -----
    A leaf is split along its largest axis that the number of devices divides; of equal axes, along
    the first. A leaf without such an axis is an error.

    Examples
    --------
    >>> import braininit as init
    >>> init.fsdp("data")
    Fsdp(axis='data', min_bytes=1048576)
    """
    axes = axis if isinstance(axis, str) else tuple(axis)
    return Fsdp(axes, options.whole("min_bytes", min_bytes, 0))


class Placed(NamedTuple):
    """The sharding of a leaf, or the reason why it has none."""

    sharding: NamedSharding | None
    problem: str | None = None


def place(
    stacks: Sequence[Stack], shardings: Any, mesh: Mesh | None, problems: Problems
) -> list[Placed]:
    """Resolve the sharding of each leaf, and store it in the leaf; None if none is asked for."""
    mesh = mesh if mesh is not None else _current_mesh()
    request, placed = _requests(stacks, shardings, mesh, problems), []
    for stack in stacks:
        try:
            placed.append(Placed(_resolved(request(stack), stack, mesh)))
        except ValueError as error:
            placed.append(Placed(None, str(error)))
        for leaf in stack.leaves:
            leaf.sharding = placed[-1].sharding
    return placed


def in_place(value: Any, sharding: NamedSharding | None) -> Any:
    """Put a value, with its unit, where its sharding says."""
    bare, unit = units.parts(value)
    if sharding is None:
        bare = jnp.asarray(bare) if isinstance(bare, (np.ndarray, np.generic)) else bare
    elif _spans_processes(sharding) and getattr(bare, "is_fully_addressable", True):
        # Each process puts its own part. By `jax.device_put` each would send the whole.
        whole = np.asarray(bare)
        bare = jax.make_array_from_callback(whole.shape, sharding, lambda at: whole[at])
    else:
        bare = jax.device_put(bare, sharding)
    return units.on(bare, unit)


def _spans_processes(sharding: NamedSharding) -> bool:
    return eager() and not sharding.is_fully_addressable


def _current_mesh() -> Any:
    try:
        mesh = jax.sharding.get_mesh()
    except ValueError:  # inside a trace, only its axes are known
        mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty else mesh


def _requests(
    stacks: Sequence[Stack], shardings: Any, mesh: Any, problems: Problems
) -> Callable[[Stack], Any]:
    """A function that returns what is asked for a leaf: a sharding, a spec, `Fsdp`, or None."""
    if isinstance(shardings, str):
        raise TypeError(
            f"`shardings` = {shardings!r}; write init.fsdp({shardings!r}) or "
            f"PartitionSpec({shardings!r})"
        )
    if shardings is None:
        return lambda stack: _request_of_leaf(stack, mesh)
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


def _request_of_leaf(stack: Stack, mesh: Any) -> Any:
    """The leaf's own sharding; else, with a mesh, the spec that the names of its axes make."""
    sharding = getattr(bare(stack.place.value), "sharding", None)
    if isinstance(sharding, NamedSharding):
        return sharding
    if mesh is None or not stack.place.names:
        return None
    return PartitionSpec(*stack.place.names)


def _by_names(stack: Stack, axes: Mapping[str, Any]) -> PartitionSpec:
    """The spec by the names of a leaf's axes; `axes` maps them to the mesh's."""
    names = stack.place.names or ()
    if unknown := [n for n in names if n is not None and n not in axes]:
        raise ValueError(f"shardings: nothing is said of the axis {unknown[0]!r}")
    return PartitionSpec(*(None if n is None else axes[n] for n in names))


def _by_rules(
    stacks: Sequence[Stack], rules: Sequence[Any], problems: Problems
) -> Callable[[Stack], Any]:
    compiled = [(pattern("shardings", text), sharding) for text, sharding in rules]
    used: set[int] = set()

    def request(stack: Stack) -> Any:
        for i, (regex, sharding) in enumerate(compiled):
            if regex.search(stack.path):
                used.add(i)
                return sharding
        raise ValueError("shardings: no rule for these leaves; end with (r'', PartitionSpec())")

    for stack in stacks:
        with contextlib.suppress(ValueError):
            request(stack)
    for i, (regex, _) in enumerate(compiled):
        if i not in used:
            problems.add(f"shardings: the rule {regex.pattern!r} is used for no leaf")
    return request


def _by_tree(stacks: Sequence[Stack], tree: Any, problems: Problems) -> Callable[[Stack], Any]:
    """Requests by a tree of the model's structure; a leaf that it lacks is an error."""
    leaves = (PartitionSpec, Sharding, Fsdp)
    wrapped = jax.tree.map(_Request, tree, is_leaf=lambda x: x is None or isinstance(x, leaves))
    requests = {joined(place.parts): place.value.request for place in open_model(wrapped).places}
    for path in sorted(requests.keys() - {stack.path for stack in stacks}):
        problems.add("shardings: the tree has leaves that the model has not", path)

    def request(stack: Stack) -> Any:
        if stack.path not in requests:
            raise ValueError("shardings: the tree lacks these leaves")
        return requests[stack.path]

    return request


class _Request:
    """A sharding in a tree, with the attributes of an array."""

    shape, dtype = (), np.dtype(np.float32)

    def __init__(self, request: Any) -> None:
        self.request = request


def _resolved(request: Any, stack: Stack, mesh: Any) -> NamedSharding | None:
    """The sharding that a request means on the mesh, checked against the leaf."""
    if request is None:
        return None
    if isinstance(request, NamedSharding):
        sharding = request
    elif isinstance(request, Sharding):
        cls = type(request).__name__
        raise ValueError(f"shardings: {cls} has no mesh; write a NamedSharding")
    elif mesh is None:
        raise ValueError(f"shardings: {request} names axes but there is no mesh; pass mesh=")
    else:
        dtype = bare(stack.place.value).dtype
        spec = request.spec(stack.shape, dtype, mesh) if isinstance(request, Fsdp) else request
        if not isinstance(spec, PartitionSpec):
            raise ValueError(f"shardings: {request!r} is no PartitionSpec, NamedSharding or fsdp()")
        if PartitionSpec.UNCONSTRAINED in spec:
            raise ValueError(f"shardings: {spec} leaves an axis to the compiler; write None")
        if unknown := [n for n in _names(spec) if n not in mesh.shape]:
            remedy = ""
            if unknown[0] in (stack.place.names or ()):
                remedy = f"; say where it goes, as by shardings={{{unknown[0]!r}: None}}"
            raise ValueError(f"the mesh has no axis {unknown[0]!r}, only {_listed(mesh)}{remedy}")
        try:
            sharding = NamedSharding(mesh, spec)
        except Exception as error:  # a class private to JAX
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
    names: list[str] = []
    for entry in spec:
        names += entry if isinstance(entry, tuple) else [] if entry is None else [entry]
    return names


def _listed(mesh: Any) -> str:
    return ", ".join(map(repr, mesh.axis_names))
