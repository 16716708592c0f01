"""Pictures of models: a plan, and signals through depth."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

import braininit.plot.canvas as canvas
from braininit._engine import keys
from braininit._params import units
from braininit._params.options import whole
from braininit._params.types import Initializer
from braininit.distributions.continuous import normal
from braininit.initializer.children import as_child
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import draw
from braininit.models.leaves import bare
from braininit.models.plan import ModelPlan
from braininit.models.table import moments, name_of
from braininit.models.warm import match_given

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plan", "signals"]

_MAX_BARS = 120  # with more leaves, those whose paths differ only in numbers share a bar
_SMALL = {"va": "center", "fontsize": 7, "color": canvas.FAINT}
_DECADES = 9  # of std shown on either side of 1
_WIDE = 30  # above this ratio of the largest std to the smallest, the axis is logarithmic


def plan(plan: ModelPlan[Any], values: Any = None) -> Figure:
    """Draw the std of each leaf of a plan as a bar; return the figure.

    Bars show the std that the plan expects, in the order of the tree, with one panel per unit.
    Nothing is drawn from the initializers. With more than 120 leaves, those whose paths differ
    only in numbers share a bar, with a line from the smallest to the largest std.

    Parameters
    ----------
    plan : ModelPlan
        The plan, from `braininit.plan`.
    values : tree or mapping, optional
        The drawn model, or anything that a plan takes as ``given=``: a dot on each bar is the std
        of the leaf's numbers.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, braininit as init
    >>> model = {"kernel": jnp.zeros((64, 32)), "bias": jnp.zeros(32)}
    >>> plan = init.plan(model, {"kernel": init.LecunNormal(), "bias": 0.0})
    >>> figure = init.plot.plan(plan, plan(jax.random.key(0)))
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['bias', 'kernel']
    """
    if not isinstance(plan, ModelPlan):
        raise TypeError(f"`plan` must be what braininit.plan returns, got {type(plan).__name__}")
    bars = _bars(plan, values)
    panels: dict[str, list[_Bar]] = {}
    for bar in bars:
        panels.setdefault(str(bar.unit or ""), []).append(bar)
    if not panels:
        raise ValueError("the plan has no leaf of numbers: there is nothing to draw")
    heights = [0.19 * len(panel) + 0.7 for panel in panels.values()]
    figure, grid = canvas.pyplot().subplots(
        len(panels),
        figsize=(7.4, sum(heights) + 0.4),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for ax, panel in zip(grid.flat, panels.values(), strict=True):
        _draw_panel(ax, panel)
    if values is not None:
        fullest = max(grid.flat, key=lambda ax: len(ax.get_legend_handles_labels()[1]))
        handles, labels = map(reversed, fullest.get_legend_handles_labels())
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


class _Bar(NamedTuple):
    path: str
    unit: u.Unit | None
    rule: str
    planned: float | None
    drawn: float | None
    least: float | None = None
    most: float | None = None


def _bars(plan: ModelPlan[Any], values: Any) -> list[_Bar]:
    arrays = {} if values is None else match_given(values, (), None, plan.rows, "ignore").values
    bars = []
    for i, row in enumerate(plan.rows):
        if not jnp.issubdtype(row.stack.leaves[0].dtype, jnp.inexact):
            continue  # keys and counters
        x = None if i not in arrays else np.asarray(bare(arrays[i]))
        for j, (leaf, choice) in enumerate(zip(row.stack.leaves, row.choices, strict=True)):
            part = x if x is None or row.stack.axis is None else x.take(j, row.stack.axis)
            drawn = None if part is None or not part.size else _std(part)
            rule = "kept" if choice.initializer is None else name_of(choice.initializer)
            planned = moments(choice, leaf)[1]
            bars.append(_Bar(leaf.path, leaf.unit, rule, planned, drawn))
    return bars if len(bars) <= _MAX_BARS else _merged(bars)


def _std(x: np.ndarray) -> float:
    """The std in float64; for complex numbers, by their distances from the mean."""
    dtype = np.complex128 if np.iscomplexobj(x) else np.float64
    return float(np.std(x.astype(dtype)))


def _merged(bars: Sequence[_Bar]) -> list[_Bar]:
    """Merge the bars of leaves whose paths differ only in numbers."""
    groups: dict[Any, list[_Bar]] = {}
    for bar in bars:
        path = re.sub(r"(?<![^/])\d+(?![^/])", "*", bar.path)
        groups.setdefault((path, str(bar.unit), bar.rule), []).append(bar)

    def mean(numbers: Sequence[float | None]) -> float | None:
        known = [x for x in numbers if x is not None]
        return float(np.mean(known)) if known else None

    merged = []
    for (path, _, rule), group in groups.items():
        known = [bar.planned for bar in group if bar.planned is not None]
        name = path if len(group) == 1 else f"{path}  x{len(group)}"
        ends = (min(known), max(known)) if known else (None, None)
        stds = (mean([bar.planned for bar in group]), mean([bar.drawn for bar in group]))
        merged.append(_Bar(name, group[0].unit, rule, *stds, *ends))
    return merged


def _draw_panel(ax: Axes, bars: Sequence[_Bar]) -> None:
    """Draw the bars of one unit."""
    canvas.plain(ax, "x")
    stds = np.array([np.nan if b.planned is None else b.planned for b in bars])
    drawn = np.array([np.nan if b.drawn is None else b.drawn for b in bars])
    positive = np.concatenate([stds, drawn])
    positive = positive[np.isfinite(positive) & (positive > 0)]
    top, least = positive.max(initial=0) or 1.0, positive.min(initial=np.inf)
    start = 0.0
    if top > _WIDE * least:
        start = 10.0 ** np.floor(np.log10(least) - 0.15)
        ax.set_xscale("log")
    y = np.arange(len(bars))
    lengths = np.where(stds > start, stds - start, 0)
    ax.barh(y, lengths, 0.72, start, color=canvas.SKY, label="planned")
    for i, bar in enumerate(bars):
        if bar.least is not None and bar.most is not None and bar.least < bar.most:
            ax.plot((bar.least, bar.most), (i, i), color=canvas.INK, linewidth=1.2)
    if np.isfinite(drawn).any():
        x = np.where(drawn > start, drawn, np.nan if start else 0.0)
        dot = {"color": "white", "markeredgecolor": canvas.INK, "markersize": 4.5}
        ax.plot(x, y, "o", label="drawn", clip_on=False, **dot)
    for i, bar in enumerate(bars):
        std = "unknown" if bar.planned is None else f"{bar.planned:.3g}"
        text = bar.rule if bar.rule == "kept" else f"{std}  {bar.rule}"
        text += "" if bar.drawn is None or np.isfinite(bar.drawn) else f", drawn {bar.drawn:g}"
        ax.text(1.02, i, text, transform=ax.get_yaxis_transform(), **_SMALL)
    ax.set_yticks(y, [bar.path for bar in bars], fontsize=7.5)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.set_xlim(start, top * (1.05 if start == 0 else (top / start) ** 0.05))
    ax.set_xlabel(canvas.labelled("std", bars[0].unit))


# ---------------------------------------------------------------- signals through depth


def signals(
    initializers: Initializer | Iterable[Initializer] | Mapping[str, Initializer],
    nonlinearity: Callable[[Any], Any] = jax.nn.relu,
    *,
    depth: int = 30,
    width: int = 256,
    batch: int = 128,
    rng: Any = 0,
    columns: int = 2,
) -> Figure:
    """Draw the size of signals in each layer of deep networks; return the figure.

    Each network is a chain of dense layers, ``x = nonlinearity(x @ w)``, with weights of one
    initializer and without biases. The inputs are standard normal, and so are the gradients at the
    outputs. One panel shows the std of the activations after each layer, the other the std of the
    gradients with respect to them, on a logarithmic axis. A line ends where float32 over- or
    underflows.

    Parameters
    ----------
    initializers : initializer, or a sequence or mapping of them
        The initializers of the weights, by name; in a sequence they are named by their classes.
    nonlinearity : callable
        An elementwise function of a JAX array.
    depth, width, batch : int
        The numbers of layers, of neurons per layer and of inputs.
    rng : key, int, Generator, ..., optional
        As in a call of an initializer. All networks have the same inputs.
    columns : int
        2 for panels side by side, 1 for one above the other.

    Examples
    --------
    >>> import jax, braininit as init
    >>> lists = [init.KaimingNormal(), init.XavierNormal()]
    >>> figure = init.plot.signals(lists, jax.nn.relu, depth=8, width=32)
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['std of activations', 'std of gradients']
    """
    pairs = canvas.named(initializers, Callable, "initializers", "initializer")
    depth, width, batch = (
        whole(name, size, 1)
        for name, size in (("depth", depth), ("width", width), ("batch", batch))
    )
    key = keys.typed(keys.as_key(keys.from_rng(rng)))
    input_key, *layer_keys = jax.random.split(key, 1 + depth * len(pairs))
    x, g = normal(input_key, (2, batch, width), dtype=np.float32)
    stds = jax.jit(functools.partial(_stds, _elementwise(nonlinearity, x)))
    runs = []
    for i, (name, initializer) in enumerate(pairs):
        own_keys = layer_keys[i * depth : (i + 1) * depth]
        layers = jnp.stack([_weights(name, initializer, k, width) for k in own_keys])
        runs.append([np.asarray(std, np.float64) for std in stds(x, g, layers)])

    columns = min(whole("columns", columns, 1), 2)
    shape = (1, 2) if columns == 2 else (2, 1)
    figure, grid = canvas.pyplot().subplots(
        *shape, figsize=(5.2 * columns, 3.5 * shape[0]), squeeze=False, layout="constrained"
    )
    labels = ("std of activations", "std of gradients")
    for i, (ax, label) in enumerate(zip(grid.flat, labels, strict=True)):
        _draw_lines(ax, [name for name, _ in pairs], [run[i] for run in runs], label)
    grid.flat[1].invert_xaxis()  # the direction of gradients
    return figure


def _elementwise(nonlinearity: Any, x: jax.Array) -> Any:
    """Return the nonlinearity, if it is a function of arrays that keeps the shape."""
    if not callable(nonlinearity) or isinstance(nonlinearity, (type, Initialization)):
        raise TypeError(
            f"`nonlinearity` must be a function such as jax.nn.relu, got {nonlinearity!r}"
        )
    result = jax.eval_shape(nonlinearity, x)
    if getattr(result, "shape", None) != x.shape:
        raise ValueError(f"`nonlinearity` must keep the shape {x.shape}, and makes {result}")
    return nonlinearity


def _weights(name: str, initializer: Any, key: Any, width: int) -> jax.Array:
    """Draw the weights of one layer."""
    w = draw(as_child(name, initializer)._recipe, key, (width, width), np.float32)
    w, unit = units.unwrap(name, w)
    if unit is not None:
        raise units.UnitError(
            f"{name} draws weights in {unit}; signals have no unit: give it numbers without one"
        )
    return jnp.asarray(w, np.float32)


def _stds(f: Any, x: jax.Array, g: jax.Array, layers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The std of all activations and of all gradients, from the first layer to the last."""

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        return f(jnp.dot(x, w, precision="highest"))

    def forward(x: jax.Array, w: jax.Array) -> tuple[jax.Array, Any]:
        y = layer(x, w)
        return y, (x, _std_in_range(y))

    def backward(g: jax.Array, at: Any) -> tuple[jax.Array, jax.Array]:
        x, w = at
        g = jax.vjp(lambda x: layer(x, w), x)[1](g)[0]
        return g, _std_in_range(g)

    first, last = _std_in_range(x), _std_in_range(g)
    _, (inputs, after) = jax.lax.scan(forward, x, layers)
    _, before = jax.lax.scan(backward, g, (inputs, layers), reverse=True)
    return jnp.append(first, after), jnp.append(before, last)


def _std_in_range(x: jax.Array) -> jax.Array:
    """The std, also of numbers whose squares are out of float32's range."""
    size = jnp.max(jnp.abs(x))
    return jnp.where(size > 0, jnp.std(x / jnp.where(size > 0, size, 1)) * size, 0)


def _draw_lines(ax: Axes, names: Sequence[str], curves: Sequence[np.ndarray], label: str) -> None:
    """Draw a line for each initializer, with the name at its end."""
    canvas.plain(ax)
    ax.set_yscale("log")
    ax.axhline(1, color=canvas.FAINT, linewidth=0.8, zorder=1)
    layers = np.arange(curves[0].size)
    styles = canvas.styles(len(curves))
    positive = [np.where(np.isfinite(y) & (y > 0), y, np.nan) for y in curves]
    for y, name, style in zip(positive, names, styles, strict=True):
        ax.plot(layers, y, linewidth=1.8, label=name, **style)
    low = max(min(np.nanmin(y, initial=1.0) for y in positive), 10.0**-_DECADES)
    high = min(max(np.nanmax(y, initial=1.0) for y in positive), 10.0**_DECADES)
    ax.set_ylim(low / 1.6, high * 1.6)
    ax.set_xlim(0, layers[-1])
    ax.set_xlabel("layer")
    ax.set_ylabel(label)
    ends = []
    for y, name, style in zip(positive, names, styles, strict=True):
        path = y if label.endswith("activations") else y[::-1]
        last = path[np.isfinite(path)][-1]
        height = ax.transAxes.inverted().transform(ax.transData.transform((0, last)))[1]
        ends.append((float(np.clip(height, 0, 1)), name, style))
    canvas.direct_labels(ax, ends)
