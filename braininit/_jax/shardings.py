"""Shardings of results, set by the caller or following from the parameters.

An axis of a mesh is automatic, explicit or manual. On explicit axes an array has its sharding in
its type, and most operations refuse operands of different types. So functions of arrays run with
explicit axes made automatic, and their results get an explicit sharding again: `out_sharding`, or
the one that follows from the parameters. No code in between has to know about shardings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = [
    "along_one_axis",
    "broadcasts",
    "canonical",
    "concrete",
    "inherited",
    "split_over",
    "undivided",
    "with_sharding",
]


def canonical(sharding: Any) -> NamedSharding | None:
    """Tie a PartitionSpec to the current mesh, so that it can be the key of a cache."""
    if sharding is None or isinstance(sharding, NamedSharding):
        return sharding
    if not isinstance(sharding, PartitionSpec):
        raise TypeError(
            "`out_sharding` must be a NamedSharding or a PartitionSpec, "
            f"got {type(sharding).__name__}"
        )
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        raise ValueError(
            f"`out_sharding` = {sharding} names axes but no mesh is set; "
            "pass a NamedSharding, or draw under jax.set_mesh(mesh)"
        )
    return NamedSharding(mesh, sharding)  # pyright: ignore[reportArgumentType]


def concrete(sharding: NamedSharding | None) -> NamedSharding | None:
    """The sharding if it names devices: jit can then run on them although no mesh is set."""
    return sharding if sharding is not None and isinstance(sharding.mesh, Mesh) else None


def with_sharding(function: Callable[..., Any], sharding: Any) -> Callable[..., Any]:
    """Give the result of a function of arrays a sharding.

    `sharding` is a NamedSharding, a tree of one for each result, or None for the compiler's choice.
    """
    if sharding is None:
        return function
    shardings = jax.tree.leaves(sharding)
    explicit = _explicit(shardings[0].mesh)
    if not explicit:
        return lambda *args: jax.lax.with_sharding_constraint(function(*args), sharding)
    typed = jax.tree.map(lambda s: NamedSharding(s.mesh, _only(explicit, s.spec)), sharding)
    mixed = any(_only(explicit, s.spec) != s.spec for s in shardings)

    def call(*args: Any) -> Any:
        # Only arrays are traced: results for traced and for plain numbers differ.
        leaves, tree = jax.tree.flatten(args)
        positions = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]

        def call_with(*arrays: jax.Array) -> Any:
            merged = list(leaves)
            for i, array in zip(positions, arrays, strict=True):
                merged[i] = array
            x = function(*jax.tree.unflatten(tree, merged))
            return jax.lax.with_sharding_constraint(x, sharding.spec) if mixed else x

        auto = jax.sharding.auto_axes(call_with, axes=explicit, out_sharding=typed)
        return auto(*(leaves[i] for i in positions))

    return call


def split_over(arrays: Any, sharding: NamedSharding) -> Any:
    """A tree of arrays, resharded over explicit axes as `shard_map` requires of arguments."""
    if not (explicit := _explicit(sharding.mesh)):
        return arrays
    typed = NamedSharding(sharding.mesh, _only(explicit, sharding.spec))
    return jax.tree.map(lambda x: jax.sharding.reshard(x, typed), arrays)


def undivided(x: jax.Array) -> jax.Array:
    """The array, gathered from explicit axes: JAX indexes others only with an `out_sharding`."""
    sharding = _sharding(x)
    names = () if sharding is None else (n for entry in sharding.spec for n in _names(entry))
    if sharding is None or not {*names} & {*_explicit(sharding.mesh)}:
        return x
    return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec()))


def inherited(
    shape: tuple[Any, ...], parameters: Iterable[tuple[str, Any]], *, strict: bool = True
) -> NamedSharding | None:
    """The sharding that a result inherits from its parameters on explicit axes.

    `parameters` are names and values; only arrays that broadcast to the shape count. If two
    conflict, `strict` raises an error; else the first decides. None where no axis is explicit.
    """
    mesh = jax.sharding.get_abstract_mesh()
    entries: dict[int, tuple[Any, str]] = {}
    for name, value in parameters:
        sharding = _sharding(value)
        explicit = () if sharding is None else _explicit(sharding.mesh)
        if sharding is None or not explicit or not broadcasts(value.shape, shape):
            continue
        mesh = mesh if _explicit(mesh) else sharding.mesh
        spec = _only(explicit, sharding.spec)
        for axis, entry in enumerate(spec, len(shape) - value.ndim):
            conflicts = [
                (other, earlier, owner)
                for other, (earlier, owner) in entries.items()
                if (entry != earlier if axis == other else {*_names(entry)} & {*_names(earlier)})
            ]
            if entry is None or (conflicts and not strict):
                continue
            for other, earlier, owner in conflicts:
                raise ValueError(
                    f"`{owner}` is split over {earlier!r} along axis {other} of the result, but "
                    f"`{name}` over {entry!r} along axis {axis}, and the result can't follow both; "
                    "set its sharding by out_sharding=, or reshard one of them"
                )
            entries[axis] = entry, name
    if not _explicit(mesh):
        return None
    spec = (entries.get(axis, (None,))[0] for axis in range(len(shape)))
    return NamedSharding(mesh, PartitionSpec(*spec))


def along_one_axis(value: Any, turned: bool) -> Any:
    """A ShapeDtypeStruct for an array of points: a column, sharded alike, or a row if `turned`."""
    sharding, n = _sharding(value), value.shape[:1]
    if sharding is None or not n:
        return None
    entry = [*sharding.spec, None][:1]
    shape, spec = ((1, *n), (None, *entry)) if turned else ((*n, 1), (*entry, None))
    return jax.ShapeDtypeStruct(
        shape, value.dtype, sharding=NamedSharding(sharding.mesh, PartitionSpec(*spec))
    )


def _sharding(value: Any) -> NamedSharding | None:
    """The sharding of an array or a ShapeDtypeStruct; None without a mesh, and for numbers."""
    sharding = getattr(jax.typeof(value) if isinstance(value, Tracer) else value, "sharding", None)
    return sharding if isinstance(sharding, NamedSharding) else None


def _explicit(mesh: Any) -> tuple[str, ...]:
    """The names of the explicit axes of a mesh."""
    axes = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, axis_type in axes if axis_type == AxisType.Explicit)


def _only(names: tuple[str, ...], spec: PartitionSpec) -> PartitionSpec:
    """The spec without axes of other names."""
    entries = (tuple(n for n in _names(entry) if n in names) for entry in spec)
    return PartitionSpec(*((e[0] if len(e) == 1 else e) or None for e in entries))


def _names(entry: Any) -> tuple[str, ...]:
    """The axes that an entry of a spec names."""
    return entry if isinstance(entry, tuple) else () if entry is None else (entry,)


def broadcasts(source: tuple[Any, ...], target: tuple[Any, ...]) -> bool:
    """Whether an array of the source shape broadcasts to exactly the target shape."""
    pairs = zip(source[::-1], target[::-1], strict=False)
    return len(source) <= len(target) and all(n in (1, m) for n, m in pairs)
