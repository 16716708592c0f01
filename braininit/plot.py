"""Pictures of draws, with their theory on top. matplotlib stays optional."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import brainunit as u
import jax
import numpy as np

from braininit import theory
from braininit._engine import keys as _keys
from braininit._params import units
from braininit._params.types import Initializer, Shape
from braininit.initializer.initialization import Initialization

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["compare", "histogram"]

# From the palette of Okabe and Ito, whose colours stay apart for every kind of colour
# vision; the three also differ in lightness, and the lines in style.
_DRAWS, _THEORY, _MEAN, _FAINT = "#56b4e9", "#d55e00", "#000000", "#666666"
_HEADROOM = 1.3  # space above the bars, for the label of the mean


def histogram(values: Any, dist: Any = None, ax: Axes | None = None) -> Axes:
    """Draw a histogram of values, with the theory's density and the mean; return its axes.

    The axes show the values' unit. A tail that would squeeze the rest is cut off; the label says
    how many draws lie beyond.

    Parameters
    ----------
    values : array or Quantity
        The draws, of any shape, real and finite.
    dist : Initialization, optional
        The distribution of the draws. Its density is drawn on top where `braininit.theory` knows
        it, and its parameters are the title.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> dist = init.Gamma(2.0, 0.25 * u.nS)
    >>> axes = init.plot.histogram(dist(1000, rng=42), dist)
    >>> axes.get_xlabel()
    'value (nS)'
    """
    x, unit = _flat(values)
    if ax is None:
        ax = cast("Axes", _pyplot().subplots(figsize=(6.4, 4.2), layout="constrained")[1])
    _panel(ax, x, unit, dist, "" if dist is None else _name(dist))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    return ax


def compare(
    dists: Mapping[str, Initializer] | Iterable[Initializer],
    size: Shape = 5000,
    rng: Any = None,
    *,
    columns: int = 3,
) -> Figure:
    """Draw from several distributions and set their histograms side by side, in one figure.

    Parameters
    ----------
    dists : mapping or sequence of initializers
        The distributions, by title; those of a sequence have the names of their classes.
    size : int or tuple of int
        How much to draw from each.
    rng : key, int, Generator, ..., optional
        As in a call of an initializer. One key is made from it, and split among the distributions.
    columns : int
        Panels in a row.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> weights, delays = init.LogNormal(0.5 * u.nS, 0.2 * u.nS), init.Exponential(2 * u.ms)
    >>> figure = init.plot.compare({"weights": weights, "delays": delays}, 1000, rng=42)
    """
    pairs = dists.items() if isinstance(dists, Mapping) else ((_name(d), d) for d in dists)
    named: list[tuple[str, Any]] = list(cast(Any, pairs))
    if not named:
        raise ValueError("`dists` must hold at least one distribution")
    draws = draw_all([dist for _, dist in named], size, rng)
    return panels(named, draws, columns, _pyplot().figure)


def draw_all(dists: list[Any], size: Shape, rng: Any) -> list[Any]:
    """Draw from each distribution, by a key of its own."""
    key = _keys.typed(_keys.as_key(_keys.from_rng(rng)))
    return [
        dist(size, rng=k) if isinstance(dist, Initialization) else dist(k, size)
        for dist, k in zip(dists, jax.random.split(key, len(dists)), strict=True)
    ]


def panels(
    named: list[tuple[str, Any]], draws: list[Any], columns: int, new_figure: Callable[..., Any]
) -> Figure:
    """Lay out one panel per distribution, with one legend for all."""
    columns = min(columns, len(named))
    rows = -(-len(named) // columns)
    figure = new_figure(figsize=(4.2 * columns, 3.4 * rows + 0.4))
    figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.1)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax, (title, dist), values in zip(grid, named, draws, strict=False):
        _panel(ax, *_flat(values), dist, title)
    for ax in grid[len(named) :]:
        ax.set_axis_off()
    fullest = max(grid, key=lambda ax: len(ax.lines))  # one that has a theory, if any
    handles = fullest.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


# ---------------------------------------------------------------- one panel


def _panel(ax: Axes, x: np.ndarray, unit: u.Unit | None, dist: Any, title: str) -> None:
    law, ratio = _law(dist, unit)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=20 if dist else 8)
    if dist is not None:
        ax.text(0, 1.025, _parameters(dist), transform=ax.transAxes, fontsize=8, color=_FAINT)
    if x.min() == x.max():
        beyond = _spike(ax, x[0])
    else:
        beyond = _bars(ax, x, law, ratio)
        ax.set_ylabel(_density_label(unit))
    ax.set_xlabel((f"value ({_pretty(unit)})" if unit else "value") + beyond)
    _mark_mean(ax, x, unit, None if law is None else law.mean / ratio)


def _bars(ax: Axes, x: np.ndarray, law: theory.Law | None, ratio: float) -> str:
    """Draw the bars and the curve; return how many draws lie outside the picture, as text."""
    low, high = _view(x)
    bins = int(np.clip(3 * np.cbrt(x.size), 10, 100))
    counts, edges = np.histogram(x, bins=bins, range=(low, high))
    density = counts / (x.size * np.diff(edges))
    ax.stairs(density, edges, fill=True, color=_DRAWS, label="draws")
    ax.stairs(density, edges, color="white", linewidth=0.4)
    margin = 0.04 * (high - low)
    top = density.max()
    if law is not None:
        at = np.linspace(low - margin, high + margin, 1025)
        with np.errstate(all="ignore"):
            curve = law.pdf(at * ratio) * ratio
        curve = np.where(np.isfinite(curve), curve, np.nan)
        if np.nanmax(curve, initial=0) > 0:  # a law of points alone has no density
            ax.plot(at, curve, color=_THEORY, linewidth=2, label="theory")
            top = max(top, min(np.nanmax(curve), 1.5 * top))
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(0, _HEADROOM * top)
    ax.yaxis.set_major_formatter("{x:.4g}")  # no power of ten above the axis, where the title is
    outside = int(np.sum((x < low) | (x > high)))
    return f", {outside} draw{'s'[: outside > 1]} beyond" if outside else ""


def _spike(ax: Axes, value: float) -> str:
    """Draw values that are all the same."""
    reach = abs(value) / 2 or 0.5
    ax.bar([value], [1], width=reach / 12, color=_DRAWS, label="draws")
    ax.set_xlim(value - reach, value + reach)
    ax.set_ylim(0, _HEADROOM)
    ax.set_yticks([])
    ax.set_ylabel("every draw is the same")
    return ""


def _mark_mean(ax: Axes, x: np.ndarray, unit: u.Unit | None, expected: Any) -> None:
    """Draw the mean of the draws, and write it beside the line, where there is more room."""
    mean, digits = x.mean(), figures(x)
    ax.axvline(mean, color=_MEAN, linestyle=(0, (4, 3)), linewidth=1.2, label="mean of the draws")
    suffix = f" {_pretty(unit)}" if unit else ""
    text = f"mean {mean:.{digits}g}{suffix}"
    text += "" if expected is None else f"\ntheory {expected:.{digits}g}{suffix}"
    left, right = ax.get_xlim()
    on_right = mean <= left + 0.6 * (right - left)
    ax.annotate(
        text,
        (mean, 1),
        xycoords=("data", "axes fraction"),
        xytext=(5 if on_right else -5, -3),
        textcoords="offset points",
        ha="left" if on_right else "right",
        va="top",
        fontsize=8.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )


def figures(x: np.ndarray) -> int:
    """Choose how many digits to write: four, and more where the values lie close together."""
    most, least = x.max(), x.min()
    if not np.isfinite([least, most]).all() or least == most:
        return 4
    return 4 + int(np.clip(np.log10(max(abs(least), abs(most)) / (most - least)), 0, 8))


def _view(x: np.ndarray) -> tuple[float, float]:
    """Choose the part to show: all, unless a tail reaches far beyond 99 % of the values."""
    low, high = x.min(), x.max()
    a, b = np.quantile(x, [0.005, 0.995])
    width = b - a
    if width > 0 and low < a - width:
        low = x[x >= a - width / 10].min()
    if width > 0 and high > b + width:
        high = x[x <= b + width / 10].max()
    return float(low), float(high)


# ---------------------------------------------------------------- numbers and words


def _flat(values: Any) -> tuple[np.ndarray, u.Unit | None]:
    bare, unit = units.unwrap("values", values, number=True)
    if np.iscomplexobj(bare):
        raise TypeError("complex values have no order; plot their parts, .real and .imag")
    x = np.asarray(bare).astype(np.float64).ravel()
    if not x.size:
        raise ValueError("`values` are empty: there is nothing to draw")
    bad = int(np.sum(~np.isfinite(x)))
    if bad:
        raise ValueError(f"{bad} of {x.size} values are NaN or infinite; draw the finite ones")
    return x, unit


def _law(dist: Any, unit: u.Unit | None) -> tuple[theory.Law | None, float]:
    """Look up the law, and how many of its units one unit of the values is."""
    if dist is None:
        return None, 1.0
    law, own = theory.pooled(dist)
    if law is None:
        return None, 1.0
    _, (_, ratio) = units.off(dist=units.on(1.0, own), values=units.on(1.0, unit))
    return law, ratio


def _name(dist: Any) -> str:
    return getattr(dist, "__name__", type(dist).__name__)


def _parameters(dist: Any) -> str:
    """Write the parameters of an object in a short line."""
    if not dataclasses.is_dataclass(dist):
        return ""
    fields = [(f.name, getattr(dist, f.name)) for f in dataclasses.fields(dist)]
    text = ", ".join(f"{name} = {_short(value)}" for name, value in fields if value is not None)
    return text if len(text) <= 64 else text[:61] + "..."


def _short(value: Any) -> str:
    if not isinstance(value, (float, np.ndarray, jax.Array, u.Quantity)):
        return str(value)
    bare, unit = units.unwrap("value", value, number=True)
    if np.ndim(bare):
        return f"array {np.shape(bare)}" + (f" in {_pretty(unit)}" if unit else "")
    return f"{bare:.4g}" + (f" {_pretty(unit)}" if unit else "")


def _pretty(unit: Any) -> str:
    return re.sub(r"\^(-?[\d.]+)", r"$^{\1}$", str(unit).replace(" ", ""))


def _density_label(unit: u.Unit | None) -> str:
    if unit is None:
        return "density"
    name = _pretty(unit)
    return f"density (1/({name}))" if "/" in name or "*" in name else f"density (1/{name})"


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "braininit[plot]"') from error
    return matplotlib.pyplot
