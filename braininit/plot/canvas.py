"""Shared helpers of the pictures: axes, colours, labels with units, numbers to draw."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import brainunit as u
import numpy as np
from scipy import optimize

from braininit._params import units
from braininit.display import parameters, shown_parameters, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FAINT",
    "INK",
    "SECOND",
    "SKY",
    "axes",
    "bare",
    "colour_bar",
    "colours",
    "direct_labels",
    "entitle",
    "entries",
    "heading",
    "height",
    "is_small",
    "labelled",
    "legend",
    "named",
    "parameters",
    "plain",
    "pretty",
    "pyplot",
    "spread",
    "styles",
    "title",
    "width",
]

# From the palette of Okabe and Ito, which is distinct for every kind of colour vision.
SKY, SECOND, INK, FAINT = "#56b4e9", "#d55e00", "#000000", "#666666"

# Lines differ in dashes too, for grey print; neighbours also in lightness. No yellow: too faint.
_LINES = (
    ("#0072b2", "-"),
    ("#d55e00", (0, (5, 2))),
    ("#000000", (0, (1, 1.4))),
    ("#009e73", (0, (7, 2, 1.2, 2))),
    ("#cc79a7", (0, (2.5, 1.5))),
    ("#56b4e9", "-"),
    ("#e69f00", (0, (10, 3))),
    ("#666666", (0, (4, 1.5, 1, 1.5, 1, 1.5))),
)


def styles(n: int) -> list[dict[str, Any]]:
    """Styles of n lines. After eight they repeat, fainter."""
    every = itertools.product((1.0, 0.55), _LINES)
    return [
        {"color": colour, "linestyle": dashes, "alpha": alpha}
        for alpha, (colour, dashes) in itertools.islice(itertools.cycle(every), n)
    ]


def pyplot() -> Any:
    """Return `matplotlib.pyplot`; the error without it says how to install it."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "braininit[plot]"') from error
    return matplotlib.pyplot


def axes(ax: Axes | None, figsize: tuple[float, float] = (6.4, 4.2)) -> Axes:
    """Return `ax`, or the axes of a new figure."""
    if ax is None:
        ax = cast("Axes", pyplot().subplots(figsize=figsize, layout="constrained")[1])
    return ax


def plain(ax: Axes, grid: str = "y") -> None:
    """Remove the frame, add a faint grid, and make the labels of small axes smaller."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=False)  # a user's style may have one
    ax.grid(axis=cast(Any, grid), color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    if is_small(ax):
        ax.tick_params(labelsize=8)
        for axis in (ax.xaxis, ax.yaxis):
            cast(Any, axis.label).set_size(8.5)


def heading(ax: Axes, title: str, below: str = "") -> None:
    """Write a title, and a smaller line below it, shortened to the width of the axes."""
    limit = max(24, int(21 * width(ax)))
    below = below if len(below) <= limit else below[: limit - 3] + "..."
    entitle(ax, title, above=bool(below))
    if below:
        ax.text(0, 1.025, below, transform=ax.transAxes, fontsize=8, color=FAINT)


def width(ax: Axes) -> float:
    """The approximate width in inches, before labels take their part."""
    return ax.get_window_extent().width / cast(Any, ax.figure).dpi


def height(ax: Axes) -> float:
    """The approximate height in inches, before labels take their part."""
    return ax.get_window_extent().height / cast(Any, ax.figure).dpi


def entitle(ax: Axes, title: str, *, above: bool = False) -> None:
    """Write a title at the left; with `above`, leave room for a line below it."""
    ax.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=20 if above else 8)


def is_small(ax: Axes) -> bool:
    """Whether the axes are as narrow as a printed column."""
    return width(ax) < 3.2


def legend(ax: Axes, first: Sequence[str] = ()) -> None:
    """Add a legend below the labels of the axes, in as many columns as fit."""
    from matplotlib.transforms import ScaledTranslation

    pairs = entries(ax, first)
    if not pairs:
        return
    size, handle = (7.5, 1.6) if is_small(ax) else (9.0, 2.4)
    widths = [size / 72 * (handle + 2.0 + 0.57 * len(label)) for _, label in pairs]  # inches
    columns = next(k for k in range(len(widths), 0, -1) if _fits(widths, k, width(ax) + 0.4))
    figure: Any = ax.figure
    ax.legend(
        *zip(*pairs, strict=True),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + ScaledTranslation(0, -0.42, figure.dpi_scale_trans),
        ncols=columns,
        frameon=False,
        fontsize=size,
        handlelength=handle,
        columnspacing=1.2,
    )


def entries(ax: Axes, first: Sequence[str] = ()) -> list[tuple[Any, str]]:
    """Handles and labels of a legend; labels in `first` come first."""
    handles, labels = ax.get_legend_handles_labels()
    order = [*first, *labels]
    return sorted(zip(handles, labels, strict=True), key=lambda pair: order.index(pair[1]))


def _fits(widths: Sequence[float], columns: int, room: float) -> bool:
    """Whether entries of these widths, which fill column after column, fit into the room."""
    rows = -(-len(widths) // columns)
    starts = range(0, len(widths), rows)
    return columns == 1 or sum(max(widths[i : i + rows]) for i in starts) <= room


def direct_labels(ax: Axes, ends: Sequence[tuple[float, str, dict[str, Any]]]) -> None:
    """Write names at the right of the axes, as near to the ends of their lines as possible.

    An end is the height in fractions of the axes, the name, and the style of the line.
    """
    if not ends:
        return
    order = sorted(range(len(ends)), key=lambda i: ends[i][0])
    places = spread(np.array([ends[i][0] for i in order]), 0.16 / max(height(ax), 0.5), 0, 1)
    for i, y in zip(order, places, strict=True):
        _, name, style = ends[i]
        ax.annotate(
            name,
            (1, ends[i][0]),
            xycoords="axes fraction",
            xytext=(1.09, y),
            textcoords="axes fraction",
            fontsize=8.5,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 1.2, "shrinkA": 1, "shrinkB": 0, **style},
        )


def spread(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Return the places nearest to the increasing wanted ones that are at least a gap apart."""
    steps = gap * np.arange(wanted.size)
    nearest = optimize.isotonic_regression(wanted - steps).x
    return np.clip(nearest, low, max(high - steps[-1], low)) + steps


def colours(values: np.ndarray, *, robust: bool = False) -> tuple[dict[str, Any], str]:
    """Choose a colour map with its limits, and the ends beyond which values lie.

    White is 0, orange above and blue below, with the same limit on both sides; blue gets darker,
    for grey print. A robust choice cuts off values far beyond the 98th percentile, which would wash
    out the rest.
    """
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    x = values[np.isfinite(values)]
    sizes = np.abs(x[x != 0])
    limit = top = float(sizes.max(initial=0)) or 1.0
    if robust and top > 1.5 * (usual := float(np.quantile(sizes, 0.98)) if sizes.size else top):
        limit = usual
    low, high = x.min(initial=0), x.max(initial=0)
    side = np.linspace(0, 1, 128)
    if low < 0 < high:
        below, above = mpl.colormaps["Blues_r"](side), mpl.colormaps["Oranges"](0.8 * side)
        limits = {
            "cmap": ListedColormap(np.concatenate([below, above])),
            "vmin": -limit,
            "vmax": limit,
        }
    elif low < 0:
        limits = {"cmap": "Blues_r", "vmin": -limit, "vmax": 0.0}
    else:
        limits = {"cmap": "Oranges", "vmin": 0.0, "vmax": limit}
    ends = {(True, True): "both", (True, False): "min", (False, True): "max"}
    return limits, ends.get((low < -limit, high > limit), "neither")


def colour_bar(ax: Axes, mappable: Any, label: str, ends: str) -> Any:
    """Add a colour bar beside the axes, and remove the grid over the colours."""
    ax.grid(visible=False)
    bar = ax.figure.colorbar(mappable, ax=ax, label=label, extend=ends, shrink=0.9, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.locator_params(nbins=6)
    return bar


# ---------------------------------------------------------------- numbers


def bare(name: str, values: Any) -> tuple[np.ndarray, u.Unit | None]:
    """Check that numbers are real and finite; return them in float64, and their unit."""
    if getattr(values, "dtype", None) is np.dtype(bool):
        values = np.asarray(values, np.float64)
    numbers, unit = units.unwrap(name, values, number=True)
    if np.iscomplexobj(numbers):
        raise TypeError(f"`{name}` are complex, which have no order; plot .real and .imag")
    x = np.asarray(numbers).astype(np.float64)
    if not x.size:
        raise ValueError(f"`{name}` are empty: there is nothing to draw")
    bad = x.size - int(np.isfinite(x).sum())
    if bad:
        raise ValueError(f"{bad} of {x.size} `{name}` are NaN or infinite; draw the finite ones")
    return x, unit


# ---------------------------------------------------------------- words


def labelled(name: str, unit: u.Unit | None) -> str:
    """The label of an axis."""
    return f"{name} ({pretty(unit)})" if unit is not None else name


def pretty(unit: Any) -> str:
    """The name of a unit, with powers raised."""
    return re.sub(r"\^(-?[\d.]+)", r"$^{\1}$", str(unit).replace(" ", ""))


def named(objects: Any, kind: Any, what: str, noun: str) -> list[tuple[str, Any]]:
    """Return (name, object) pairs from one object, several, or a mapping from names."""
    if isinstance(objects, Mapping):
        pairs = [(str(name), value) for name, value in objects.items()]
    else:
        single = callable(objects) or not isinstance(objects, Iterable)
        several = [objects] if single else list(cast(Any, objects))
        pairs = list(zip(names(several), several, strict=True))
    if not pairs:
        raise ValueError(f"`{what}` must hold at least one of the {noun}s that are to be drawn")
    for _, value in pairs:
        if isinstance(value, type):
            raise TypeError(
                f"`{what}` holds the class {value.__name__}; write {value.__name__}(...)"
            )
        if not isinstance(value, kind):
            raise TypeError(f"`{what}` must hold {noun}s, got {units.brief(value)}")
    return pairs


def names(objects: Sequence[Any]) -> list[str]:
    """Name each object by its class, and those of one class by the parameters that differ."""
    result = []
    short = [title(obj) for obj in objects]
    for i, (name, obj) in enumerate(zip(short, objects, strict=True)):
        twins = [
            dict(shown_parameters(o))
            for o, other in zip(objects, short, strict=True)
            if other == name
        ]
        differs = [
            f"{k} = {v}"
            for k, v in shown_parameters(obj)
            if any(twin.get(k) != v for twin in twins)
        ]
        before = short[:i].count(name)
        result.append(
            f"{name}({', '.join(differs)})" if differs else name + f" {before + 1}" * (before > 0)
        )
    return result
