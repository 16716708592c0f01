r"""The role of each axis of a leaf (inputs, outputs, kernels side by side), and the fans.

A scaled initializer reads the fans of a kernel from its axes; by default they are JAX's,
(\*spatial, in, out). Here a leaf gets its layout from the layer that owns it, from the names of
its axes, or from the user.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from braininit._params.options import one_of
from braininit._params.values import fields
from braininit.initializer.composite import Composite
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe
from braininit.layers.fans import NEEDED, Fans, from_shape
from braininit.layers.matrices import Orthogonal
from braininit.models.parts import Parts

__all__ = [
    "LAYOUTS",
    "TABLES",
    "Layout",
    "asked_fans",
    "draws_alike",
    "fans_of",
    "fitted",
    "has_own_axes",
    "layout_by_names",
    "layout_of_attention",
    "layout_of_bias",
    "layout_of_haiku",
    "layout_of_owner",
]


class Layout(NamedTuple):
    """The axes of a kernel; or the fans of a leaf without such axes, a bias."""

    in_axis: tuple[int, ...] = (-2,)
    out_axis: tuple[int, ...] = (-1,)
    batch_axis: tuple[int, ...] = ()
    gates: int = 1
    """The number of kernels side by side along the axis of outputs."""
    given: tuple[float, float] | None = None
    """The fans of a bias: the fans of its kernel."""

    def fans(self, shape: tuple[int, ...]) -> tuple[float, float] | None:
        """The fans of one kernel; None if the shape lacks the axes."""
        if self.given is not None:
            return self.given
        try:
            both = from_shape(shape, self.in_axis, self.out_axis, self.batch_axis, "fan_in", False)
        except ValueError:
            return None
        return both["fan_in"], both["fan_out"] / self.gates


JAX = Layout()
TORCH = Layout((1,), (0,))
LAYOUTS = {"jax": JAX, "torch": TORCH}
"""(\\*spatial, in, out), and (out, in, \\*spatial)."""


# ---------------------------------------------------------------- layouts by layer


def _axes_of(layer: Any) -> tuple[int, int, int]:
    """A LinearGeneral's numbers of axes: of independent kernels, of inputs, of outputs."""
    return len(layer.batch_axis), len(layer.in_features), len(layer.out_features)


def _of_linear_general(layer: Any) -> Layout:
    batch, ins, outs = _axes_of(layer)
    axes = tuple(range(batch + ins + outs))
    return Layout(axes[batch : batch + ins], axes[batch + ins :], axes[:batch])


def _of_transpose(layer: Any) -> Layout:
    return Layout((-1,), (-2,)) if layer.transpose_kernel else JAX


def _of_dense_bias(layer: Any) -> Layout:
    ins, outs = (1 if n == "scalar" else n for n in (layer.in_features, layer.out_features))
    return Layout(given=(ins, outs))


def _of_conv_bias(layer: Any) -> Layout:
    field = math.prod(layer.kernel_size)
    return Layout(given=(layer.in_channels // layer.groups * field, layer.out_channels * field))


# The leaves of known layers, by library and class name: the layout (None without fans) and the
# number of axes, or functions of the layer that return these. A leaf with more axes holds several
# kernels, as the layers of an ensemble do.
_GATES = {
    cell: {f"weight_{n}": (TORCH._replace(gates=g), 2) for n in ("ih", "hh")}
    for cell, g in (("GRUCell", 3), ("LSTMCell", 4))
}
_CONV = {"weight": (TORCH, lambda layer: layer.num_spatial_dims + 2), "bias": (_of_conv_bias, 0)}
_LAYERS: Mapping[str, Mapping[str, Mapping[str, tuple[Any, Any]]]] = {
    "equinox": {
        "Linear": {"weight": (TORCH, 2), "bias": (_of_dense_bias, 0)},
        "Conv": _CONV,
        "ConvTranspose": _CONV,
        "Embedding": {"weight": (TORCH, 2)},  # the next layer gets a row: its length is the fan
        "LayerNorm": {"weight": (None, 0), "bias": (None, 0)},
        "RMSNorm": {"weight": (None, 0), "bias": (None, 0)},
        **_GATES,
    },
    "flax": {
        "Linear": {"kernel": (JAX, 2)},
        "Conv": {"kernel": (JAX, lambda layer: len(layer.kernel_size) + 2)},
        "ConvTranspose": {"kernel": (_of_transpose, lambda layer: len(layer.kernel_size) + 2)},
        "LinearGeneral": {"kernel": (_of_linear_general, lambda layer: sum(_axes_of(layer)))},
        "Einsum": {"kernel": (JAX, lambda layer: len(layer.kernel_shape))},
        "LoRA": {"lora_a": (JAX, 2), "lora_b": (JAX, 2)},
        "Embed": {"embedding": (TORCH, 2)},
    },
}


def layout_of_owner(owner: Any, name: str, ndim: int) -> Layout | None:
    """The layout of a leaf by the layer that owns it; JAX's if the layer is unknown."""
    if owner is None and name in ("embedding", "embeddings"):  # linen's and Haiku's
        return _side_by_side(TORCH, ndim - 2)
    for cls in type(owner).__mro__:
        layer = _LAYERS.get(cls.__module__.partition(".")[0], {}).get(cls.__name__, {})
        if name in layer:
            entry: list[Any] = [x(owner) if callable(x) else x for x in layer[name]]
            return entry[0] and _side_by_side(entry[0], ndim - entry[1])
    return JAX


def _side_by_side(layout: Layout, extra: int) -> Layout:
    """The layout of several kernels, with `extra` axes before those of one."""
    if extra <= 0:
        return layout

    def moved(axes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(axis + extra if axis >= 0 else axis for axis in axes)

    batch = (*range(extra), *moved(layout.batch_axis))
    return layout._replace(
        in_axis=moved(layout.in_axis), out_axis=moved(layout.out_axis), batch_axis=batch
    )


def layout_of_attention(layer: str, beside: Mapping[str, int]) -> Layout | None:
    """The layout of a kernel in linen's attention, whose parameters do not name their owner.

    `beside` has the number of axes of each kernel under the same parent, by layer. Queries, keys
    and values are (in, heads, size); the output is (heads, size, out).
    """
    if any(beside.get(name) != 3 for name in ("query", "key", "value", "out")):
        return None
    inward = {name: Layout((-3,), (-2, -1)) for name in ("query", "key", "value")}
    return {**inward, "out": Layout((-3, -2), (-1,))}.get(layer)


def layout_of_haiku(layer: str, name: str, ndim: int) -> Layout | None:
    r"""The layout of Haiku's transposed convolution, known by its name: (\*spatial, out, in)."""
    is_transpose = (
        name == "w" and ndim > 2 and re.fullmatch(r"conv(\d|_n)_?d_transpose(_\d+)?", layer)
    )
    return Layout((-1,), (-2,)) if is_transpose else None


TABLES = r"(^|/)(?![^/]*unemb)[^/]*(emb|wte|wpe)[^/]*(/(embeddings?|weight))?$"
"""The paths of tables whose rows are looked up, as of tokens and of positions."""

_KERNELS = ("weight_hh", "kernel", "weight", "w", "w_h")
_BIASES = ("bias", "b")


def layout_of_bias(
    name: str, siblings: Mapping[str, tuple[float, float] | None], owner: Any
) -> Layout | None:
    """The layout of a bias, from the fans of the leaves beside it; None if it is no bias.

    Equinox's `Shared` leaves no kernel beside the bias: its fans come from the layer.
    """
    if name not in _BIASES and not name.startswith("bias_"):
        return None
    names = (name.replace("bias_", "weight_"), *_KERNELS) if name not in _BIASES else _KERNELS
    fans = next((siblings[n] for n in names if siblings.get(n)), None)
    layout = layout_of_owner(owner, name, 0) if fans is None else Layout(given=fans)
    return layout if layout and layout.given else None


# ---------------------------------------------------------------- layouts by names of axes

ROLES = ("in", "out", "batch", "spatial")


def layout_by_names(names: Sequence[Any], axes: Mapping[str, str]) -> Layout:
    """The layout of a leaf by the names of its axes, and the roles that the user gives them."""
    places: dict[str, list[int]] = {role: [] for role in ROLES}
    for at, entry in enumerate(names):
        for name in entry if isinstance(entry, tuple) else (entry,):
            if name is None:
                continue
            if name not in axes:
                listed = ", ".join(repr(role) for role in ROLES)
                raise ValueError(
                    f"`axes` says nothing of the axis {name!r}; give it one of {listed}"
                )
            role_axes = places[one_of(f"axes[{name!r}]", axes[name], ROLES)]
            if at not in role_axes:
                role_axes.append(at)
    return Layout(tuple(places["in"]), tuple(places["out"]), tuple(places["batch"]))


# ---------------------------------------------------------------- initializers for a layout


def fitted(
    initializer: Initialization, layout: Layout | None, shape: tuple[int, ...]
) -> Initialization:
    """Return the initializer with the axes or fans of a layout, unless it has its own."""
    if layout is None or layout == JAX:
        return initializer
    if layout.gates > 1 and isinstance(initializer, Parts):
        layout = layout._replace(gates=1)  # the user splits the gates
    if layout.gates > 1 and not draws_alike(initializer._recipe):
        (axis,), whole = layout.out_axis, _fitted(initializer, layout._replace(gates=1), shape)
        return Parts(whole, axis, (shape[axis] // layout.gates,) * layout.gates)
    return _fitted(initializer, layout, shape)


def _fitted(obj: Any, layout: Layout, shape: tuple[int, ...]) -> Any:
    changes = {}
    for field in fields(obj):
        value = getattr(obj, field.name)
        if isinstance(value, Initialization):
            changes[field.name] = _fitted(value, layout, shape)
        elif type(value) is tuple and any(isinstance(v, Initialization) for v in value):
            changes[field.name] = tuple(_fitted(v, layout, shape) for v in value)
    changes = {n: v for n, v in changes.items() if v is not getattr(obj, n)}
    changes |= _of_scaled(obj, layout, shape) | _of_orthogonal(obj, layout)
    return dataclasses.replace(obj, **changes) if changes else obj


_AXES = ("in_axis", "out_axis", "batch_axis")


def _of_scaled(obj: Any, layout: Layout, shape: tuple[int, ...]) -> dict[str, Any]:
    """The axes or the fans to set in a scaled initializer that has none of its own."""
    fans = asked_fans(obj._recipe)
    if fans is None or has_own_axes(obj):
        return {}
    if layout.given is None and layout.gates == 1:
        return {name: getattr(layout, name) for name in _AXES}
    both = layout.fans(shape) or ()
    return {n: fan for n, fan in zip(_FANS, both, strict=False) if n in NEEDED[fans.mode]}


_FANS = ("fan_in", "fan_out")


def fans_of(recipe: Recipe, shape: tuple[int, ...]) -> tuple[float, float] | None:
    """The fans that a scaled initializer reads from a shape, or was given."""
    if isinstance(recipe, Composite):
        return next(filter(None, (fans_of(part, shape) for part in recipe.parts())), None)
    if (fans := asked_fans(recipe)) is None:
        return None
    given = {n: v for n, v in zip(recipe.facts.names, recipe.values, strict=True) if n in _FANS}
    own = from_shape(shape, fans.in_axis, fans.out_axis, fans.batch_axis, "fan_in", bool(given))
    return tuple((own | given)[name] for name in _FANS)  # pyright: ignore[reportReturnType]


def asked_fans(recipe: Recipe) -> Fans | None:
    """The mode and axes by which a scaled initializer reads fans; None of any other."""
    return next((x for x in recipe.facts.static if isinstance(x, Fans)), None)


def has_own_axes(obj: Any) -> bool:
    """Whether a scaled initializer was told its axes or its fans."""
    default = {f.name: f.default for f in fields(obj)}
    has_axes = any(getattr(obj, name) != default[name] for name in _AXES)
    return has_axes or any(getattr(obj, name, None) is not None for name in _FANS)


def _of_orthogonal(obj: Any, layout: Layout) -> dict[str, Any]:
    """The axes to set in an orthogonal initializer that has none of its own."""
    if not isinstance(obj, Orthogonal) or (obj.column_axis, obj.batch_axis) != (-1, ()):
        return {}
    if len(layout.out_axis) != 1 or layout.given is not None:
        return {}
    return {"column_axis": layout.out_axis[0], "batch_axis": layout.batch_axis}


def draws_alike(recipe: Recipe) -> bool:
    """Whether draws are elementwise, and from one distribution everywhere in the leaf."""
    parts = recipe.parts() if isinstance(recipe, Composite) else ()
    uniform = recipe.facts.has_rows or asked_fans(recipe) is not None
    return recipe.facts.elementwise and uniform and all(map(draws_alike, parts))
