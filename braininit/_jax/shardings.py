"""Shardings: where a result is to live, as the caller says or as its parameters do.

An axis of a mesh is automatic, explicit or manual. What lives on explicit axes has its sharding
in its type, and most operations refuse operands whose types differ. So whatever is computed
from arrays is computed with explicit axes made automatic, and its result gets a type again:
that of `out_sharding`, or the one that follows from the parameters'. Nothing in between has to
know of shardings.
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
    "following",
    "placed",
    "split_over",
    "undivided",
]


def canonical(sharding: Any) -> NamedSharding | None:
    """Tie a PartitionSpec to the mesh of the moment, so that it can be a cache's key."""
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
    """A sharding that names devices: jit may then run on them although no mesh is set."""
    return sharding if sharding is not None and isinstance(sharding.mesh, Mesh) else None


def placed(function: Callable[..., Any], sharding: Any) -> Callable[..., Any]:
    """Make the result of a function of arrays live where it should.

    `sharding` is a NamedSharding, one for each result, or None to leave it to the compiler.
    """
    if sharding is None:
        return function
    each = jax.tree.leaves(sharding)
    explicit = _explicit(each[0].mesh)
    if not explicit:
        return lambda *args: jax.lax.with_sharding_constraint(function(*args), sharding)
    typed = jax.tree.map(lambda s: NamedSharding(s.mesh, _only(explicit, s.spec)), sharding)
    mixed = any(_only(explicit, s.spec) != s.spec for s in each)

    def whole(*args: Any) -> Any:
        # Numbers stay numbers: a traced one would be computed with otherwise.
        leaves, tree = jax.tree.flatten(args)
        at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]

        def within(*arrays: jax.Array) -> Any:
            given = list(leaves)
            for i, array in zip(at, arrays, strict=True):
                given[i] = array
            x = function(*jax.tree.unflatten(tree, given))
            return jax.lax.with_sharding_constraint(x, sharding.spec) if mixed else x

        auto = jax.sharding.auto_axes(within, axes=explicit, out_sharding=typed)
        return auto(*(leaves[i] for i in at))

    return whole


def split_over(arrays: Any, sharding: NamedSharding) -> Any:
    """Arrays, as a tree, that live so on explicit axes: `shard_map` wants it of its arguments."""
    if not (explicit := _explicit(sharding.mesh)):
        return arrays
    typed = NamedSharding(sharding.mesh, _only(explicit, sharding.spec))
    return jax.tree.map(lambda x: jax.sharding.reshard(x, typed), arrays)


def undivided(x: jax.Array) -> jax.Array:
    """An array that is split over no explicit axis: JAX indexes others only where told how."""
    sharding = _sharding(x)
    names = () if sharding is None else (n for entry in sharding.spec for n in _names(entry))
    if sharding is None or not {*names} & {*_explicit(sharding.mesh)}:
        return x
    return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec()))


def following(
    shape: tuple[Any, ...], parameters: Iterable[tuple[str, Any]], *, strict: bool = True
) -> NamedSharding | None:
    """Where a result lives whose parameters are sharded on explicit axes: as they do.

    `parameters` are names and values; arrays that broadcast to the shape count. Of two that
    can't be followed both, the first is, or it is an error. None where no axis is explicit.
    """
    mesh = jax.sharding.get_abstract_mesh()
    split: dict[int, tuple[Any, str]] = {}
    for name, value in parameters:
        sharding = _sharding(value)
        explicit = () if sharding is None else _explicit(sharding.mesh)
        if sharding is None or not explicit or not broadcasts(value.shape, shape):
            continue
        mesh = mesh if _explicit(mesh) else sharding.mesh
        spec = _only(explicit, sharding.spec)
        for axis, entry in enumerate(spec, len(shape) - value.ndim):
            against = [
                (other, theirs, its)
                for other, (theirs, its) in split.items()
                if (entry != theirs if axis == other else {*_names(entry)} & {*_names(theirs)})
            ]
            if entry is None or (against and not strict):
                continue
            for other, theirs, its in against:
                raise ValueError(
                    f"`{its}` is split over {theirs!r} along axis {other} of the result, "
                    f"`{name}` over {entry!r} along axis {axis}, which can't be had together; "
                    "say where the result is to live by out_sharding=, or reshard one of them"
                )
            split[axis] = entry, name
    if not _explicit(mesh):
        return None
    entries = (split[axis][0] if axis in split else None for axis in range(len(shape)))
    return NamedSharding(mesh, PartitionSpec(*entries))


def along_one_axis(value: Any, turned: bool) -> Any:
    """What stands for an array of points: a column of as many, sharded as they are, or a row."""
    sharding, n = _sharding(value), value.shape[:1]
    if sharding is None or not n:
        return None
    entry = [*sharding.spec, None][:1]
    shape, spec = ((1, *n), (None, *entry)) if turned else ((*n, 1), (*entry, None))
    return jax.ShapeDtypeStruct(
        shape, value.dtype, sharding=NamedSharding(sharding.mesh, PartitionSpec(*spec))
    )


def _sharding(value: Any) -> NamedSharding | None:
    """The sharding of an array, or of what stands for one; None of numbers and without a mesh."""
    sharding = getattr(jax.typeof(value) if isinstance(value, Tracer) else value, "sharding", None)
    return sharding if isinstance(sharding, NamedSharding) else None


def _explicit(mesh: Any) -> tuple[str, ...]:
    """The names of a mesh's explicit axes."""
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in kinds if kind == AxisType.Explicit)


def _only(names: tuple[str, ...], spec: PartitionSpec) -> PartitionSpec:
    """A spec without the names of other axes."""
    kept = (tuple(n for n in _names(entry) if n in names) for entry in spec)
    return PartitionSpec(*((k[0] if len(k) == 1 else k) or None for k in kept))


def _names(entry: Any) -> tuple[str, ...]:
    """The axes an entry of a spec names."""
    return entry if isinstance(entry, tuple) else () if entry is None else (entry,)


def broadcasts(its: tuple[Any, ...], shape: tuple[Any, ...]) -> bool:
    """Whether an array of one shape broadcasts to the other, which stays as it is."""
    pairs = zip(its[::-1], shape[::-1], strict=False)
    return len(its) <= len(shape) and all(n in (1, m) for n, m in pairs)
