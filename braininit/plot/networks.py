"""Pictures of models: the plan of one, and signals through its depth."""

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
from braininit.models.warm import taken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plan", "signals"]

_MOST = 120  # bars; of more leaves, those that differ only in numbers share one
_SMALL = {"va": "center", "fontsize": 7, "color": canvas.FAINT}
_DECADES = 9  # of std that are shown on either side of 1
_WIDE = 30  # from the smallest std to the largest: beyond, the axis is logarithmic


def plan(plan: ModelPlan[Any], values: Any = None) -> Figure:
    """Draw the std of each leaf of a plan as a bar; return the figure.

    The std is what the plan expects, in the order of the tree; leaves of each unit have a panel of
    their own. Nothing is drawn from the initializers. Of more than 120 leaves, those whose paths
    differ only in numbers share a bar, with a line from the smallest to the largest std.

    Parameters
    ----------
    plan : ModelPlan
        What `braininit.plan` returns.
    values : tree or mapping, optional
        The model that was drawn, or what else a plan takes as ``given=``: a dot on each bar is the
        std of the leaf's numbers.

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
    heights = [0.19 * len(of_unit) + 0.7 for of_unit in panels.values()]
    figure, grid = canvas.pyplot().subplots(
        len(panels),
        figsize=(7.4, sum(heights) + 0.4),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for ax, of_unit in zip(grid.flat, panels.values(), strict=True):
        _panel(ax, of_unit)
    if values is not None:
        fullest = max(grid.flat, key=lambda ax: len(ax.get_legend_handles_labels()[1]))
        handles, labels = (reversed(each) for each in fullest.get_legend_handles_labels())
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
    given = {} if values is None else taken(values, (), None, plan.rows, "ignore").values
    bars = []
    for i, row in enumerate(plan.rows):
        if not jnp.issubdtype(row.stack.leaves[0].dtype, jnp.inexact):
            continue  # keys and counters
        its = None if i not in given else np.asarray(bare(given[i]))
        for j, (leaf, choice) in enumerate(zip(row.stack.leaves, row.choices, strict=True)):
            part = its if its is None or row.stack.axis is None else its.take(j, row.stack.axis)
            drawn = None if part is None or not part.size else _std(part)
            rule = "kept" if choice.initializer is None else name_of(choice.initializer)
            planned = moments(choice, leaf)[1]
            bars.append(_Bar(leaf.path, leaf.unit, rule, planned, drawn))
    return bars if len(bars) <= _MOST else _shared(bars)


def _std(x: np.ndarray) -> float:
    """Of numbers of any floating dtype; of complex ones, of their distance from the mean."""
    kind = np.complex128 if np.iscomplexobj(x) else np.float64
    return float(np.std(x.astype(kind)))


def _shared(bars: Sequence[_Bar]) -> list[_Bar]:
    """One bar for leaves that differ only in the numbers of their paths."""
    groups: dict[Any, list[_Bar]] = {}
    for bar in bars:
        path = re.sub(r"(?<![^/])\d+(?![^/])", "*", bar.path)
        groups.setdefault((path, str(bar.unit), bar.rule), []).append(bar)

    def mean(numbers: Sequence[float | None]) -> float | None:
        known = [x for x in numbers if x is not None]
        return float(np.mean(known)) if known else None

    made = []
    for (path, _, rule), of in groups.items():
        known = [bar.planned for bar in of if bar.planned is not None]
        name = path if len(of) == 1 else f"{path}  x{len(of)}"
        ends = (min(known), max(known)) if known else (None, None)
        stds = (mean([bar.planned for bar in of]), mean([bar.drawn for bar in of]))
        made.append(_Bar(name, of[0].unit, rule, *stds, *ends))
    return made


def _panel(ax: Axes, bars: Sequence[_Bar]) -> None:
    """The bars of one unit."""
    canvas.plain(ax, "x")
    stds = np.array([np.nan if b.planned is None else b.planned for b in bars])
    drawn = np.array([np.nan if b.drawn is None else b.drawn for b in bars])
    seen = np.concatenate([stds, drawn])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    top, least = seen.max(initial=0) or 1.0, seen.min(initial=np.inf)
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
        shown = np.where(drawn > start, drawn, np.nan if start else 0.0)
        dot = {"color": "white", "markeredgecolor": canvas.INK, "markersize": 4.5}
        ax.plot(shown, y, "o", label="drawn", clip_on=False, **dot)
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
    """Draw how large signals are in each layer of deep networks; return the figure.

    Each network is a chain of dense layers, ``x = nonlinearity(x @ w)``, with weights of one
    initializer and without biases. The inputs are standard normal, and so are the gradients at the
    outputs. One panel has the std of the activations after each layer, one that of the gradients
    by them, on a logarithmic axis; a line ends where float32 does.

    Parameters
    ----------
    initializers : initializer, or a sequence or mapping of them
        What draws the weights, by name; those of a sequence have the names of their classes.
    nonlinearity : callable
        A function of arrays in JAX, element by element.
    depth, width, batch : int
        Layers, neurons in each, inputs.
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
    first, *every = jax.random.split(key, 1 + depth * len(pairs))
    x, g = normal(first, (2, batch, width), dtype=np.float32)
    through = jax.jit(functools.partial(_through, _elementwise(nonlinearity, x)))
    runs = []
    for i, (name, each) in enumerate(pairs):
        its = every[i * depth : (i + 1) * depth]
        layers = jnp.stack([_weights(name, each, k, width) for k in its])
        runs.append([np.asarray(std, np.float64) for std in through(x, g, layers)])

    columns = min(whole("columns", columns, 1), 2)
    shape = (1, 2) if columns == 2 else (2, 1)
    figure, grid = canvas.pyplot().subplots(
        *shape, figsize=(5.2 * columns, 3.5 * shape[0]), squeeze=False, layout="constrained"
    )
    labels = ("std of activations", "std of gradients")
    for i, (ax, label) in enumerate(zip(grid.flat, labels, strict=True)):
        _lines(ax, [name for name, _ in pairs], [run[i] for run in runs], label)
    grid.flat[1].invert_xaxis()  # the way gradients go
    return figure


def _elementwise(nonlinearity: Any, x: jax.Array) -> Any:
    """Refuse what is no function of arrays, element by element."""
    if not callable(nonlinearity) or isinstance(nonlinearity, (type, Initialization)):
        raise TypeError(f"`nonlinearity` must be a function as jax.nn.relu, got {nonlinearity!r}")
    found = jax.eval_shape(nonlinearity, x)
    if getattr(found, "shape", None) != x.shape:
        raise ValueError(f"`nonlinearity` must keep the shape {x.shape}, and makes {found}")
    return nonlinearity


def _weights(name: str, each: Any, key: Any, width: int) -> jax.Array:
    """The weights of one layer."""
    w = draw(as_child(name, each)._recipe, key, (width, width), np.float32)
    w, unit = units.unwrap(name, w)
    if unit is not None:
        raise units.UnitError(
            f"{name} draws weights in {unit}; signals keep no unit: give it numbers without one"
        )
    return jnp.asarray(w, np.float32)


def _through(f: Any, x: jax.Array, g: jax.Array, layers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The std of all activations and of all gradients, from the first layer to the last."""

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        return f(jnp.dot(x, w, precision="highest"))

    def forward(x: jax.Array, w: jax.Array) -> tuple[jax.Array, Any]:
        y = layer(x, w)
        return y, (x, _spread(y))

    def backward(g: jax.Array, at: Any) -> tuple[jax.Array, jax.Array]:
        x, w = at
        g = jax.vjp(lambda x: layer(x, w), x)[1](g)[0]
        return g, _spread(g)

    first, last = _spread(x), _spread(g)
    _, (inputs, after) = jax.lax.scan(forward, x, layers)
    _, before = jax.lax.scan(backward, g, (inputs, layers), reverse=True)
    return jnp.append(first, after), jnp.append(before, last)


def _spread(x: jax.Array) -> jax.Array:
    """The std, of numbers whose squares float32 does not hold, too."""
    size = jnp.max(jnp.abs(x))
    return jnp.where(size > 0, jnp.std(x / jnp.where(size > 0, size, 1)) * size, 0)


def _lines(ax: Axes, names: Sequence[str], curves: Sequence[np.ndarray], label: str) -> None:
    """One panel: a line for each initializer, its name where it ends."""
    canvas.plain(ax)
    ax.set_yscale("log")
    ax.axhline(1, color=canvas.FAINT, linewidth=0.8, zorder=1)
    layers = np.arange(curves[0].size)
    styles = canvas.styles(len(curves))
    seen = [np.where(np.isfinite(y) & (y > 0), y, np.nan) for y in curves]
    for y, name, style in zip(seen, names, styles, strict=True):
        ax.plot(layers, y, linewidth=1.8, label=name, **style)
    low = max(min(np.nanmin(y, initial=1.0) for y in seen), 10.0**-_DECADES)
    high = min(max(np.nanmax(y, initial=1.0) for y in seen), 10.0**_DECADES)
    ax.set_ylim(low / 1.6, high * 1.6)
    ax.set_xlim(0, layers[-1])
    ax.set_xlabel("layer")
    ax.set_ylabel(label)
    ends = []
    for y, name, style in zip(seen, names, styles, strict=True):
        far = y if label.endswith("activations") else y[::-1]
        known = far[np.isfinite(far)]
        height = ax.transAxes.inverted().transform(ax.transData.transform((0, known[-1])))[1]
        ends.append((float(np.clip(height, 0, 1)), name, style))
    canvas.direct_labels(ax, ends)
