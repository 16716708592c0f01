"""Pictures of draws, with the theory on top."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import jax

import braininit.plot.canvas as canvas
from braininit._engine import keys as _keys
from braininit._params.options import one_of
from braininit._params.types import Initializer, Shape
from braininit.initializer.initialization import Initialization

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
from braininit.plot.curves import draw_cdf, draw_histogram, draw_qq
from braininit.plot.values import Draws

__all__ = ["cdf", "compare", "draw_all", "histogram", "panels", "qq"]


def histogram(
    values: Any, dist: Any = None, ax: Axes | None = None, *, label: str = "draws"
) -> Axes:
    """Draw a histogram of values, with the theory's density and the mean; return the axes.

    The axes show the values' unit. A tail that would squeeze the rest is cut off; the label says
    how many values lie beyond. A single value with a nonzero probability, such as the bound of
    clipped draws, is a separate thin bar, labelled with the probability.

    Parameters
    ----------
    values : array or Quantity
        The draws or the data, of any shape, real and finite.
    dist : Initialization, optional
        The distribution of the draws, or a distribution fitted to the data. Its density, for values
        of this shape, is drawn on top where `braininit.theory` knows it; the title shows its
        parameters.
    ax : matplotlib Axes, optional
        The axes to draw into; None makes a new figure.
    label : str
        The name of the values in the legend and the labels.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> dist = init.Gamma(2.0, 0.25 * u.nS)
    >>> axes = init.plot.histogram(dist(1000, rng=42), dist)
    >>> axes.get_xlabel()
    'value (nS)'
    """
    return _picture(draw_histogram, values, dist, ax, label)


def cdf(
    values: Any,
    dist: Any = None,
    ax: Axes | None = None,
    *,
    confidence: float = 0.95,
    label: str = "draws",
) -> Axes:
    r"""Draw the distribution function of values against the theory; return the axes.

    With probability `confidence` the whole empirical line of n independent draws lies within

    .. math:: \pm \sqrt{\log(2 / (1 - confidence)) / (2 n)}

    of their distribution function: the band of Dvoretzky, Kiefer, Wolfowitz and Massart. The
    largest distance is written beside it; it includes values that the picture cuts off. The band is
    wider than needed around a distribution that was fitted to the same values, and where values
    are rounded or draws have array parameters.

    Parameters
    ----------
    values, dist, ax, label
        As in `histogram`. Without a `dist` the band is around the empirical line.
    confidence : float
        The probability of the band, between 0 and 1.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> dist = init.Gamma(2.0, 0.25 * u.nS)
    >>> axes = init.plot.cdf(dist(1000, rng=42), dist)
    >>> axes.get_ylabel(), [line.get_label() for line in axes.lines]
    ('share at or below', ['draws', 'theory'])
    """
    draw = functools.partial(draw_cdf, confidence=_fraction("confidence", confidence))
    return _picture(draw, values, dist, ax, label)


def qq(
    values: Any,
    dist: Any,
    ax: Axes | None = None,
    *,
    confidence: float = 0.95,
    band: str = "simultaneous",
    label: str = "draws",
) -> Axes:
    """Draw the quantiles of values against the quantiles of a distribution; return the axes.

    Draws of the distribution lie along the diagonal. Of more than 160 values some are left out, but
    none at the two ends. Axes are logarithmic where positive values spread over two powers of ten
    or more.

    Parameters
    ----------
    values, dist, ax, label
        As in `histogram`; `braininit.theory` has to know the distribution.
    confidence : float
        The probability of the band, between 0 and 1.
    band : {'simultaneous', 'pointwise'}
        Whether all drawn points lie in the band with this probability, or each point by itself.
        Both bands are quantiles of the exact beta distribution of an order statistic, at the same
        level everywhere; for the simultaneous band 20,000 simulated samples give the level.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> dist = init.Gamma(2.0, 0.25 * u.nS)
    >>> axes = init.plot.qq(dist(1000, rng=42), dist)
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('quantile in theory (nS)', 'quantile of the draws (nS)')
    """
    one_of("band", band, ("simultaneous", "pointwise"))
    draw = functools.partial(
        draw_qq,
        confidence=_fraction("confidence", confidence),
        simultaneous=band == "simultaneous",
    )
    return _picture(draw, values, dist, ax, label)


def compare(
    dists: Mapping[str, Initializer] | Iterable[Initializer],
    size: Shape = 5000,
    rng: Any = None,
    *,
    columns: int = 3,
    kind: str = "histogram",
) -> Figure:
    """Draw from several distributions, and show their pictures side by side in one figure.

    Parameters
    ----------
    dists : mapping or sequence of initializers
        The distributions, by title; in a sequence they are named by their classes.
    size : int or tuple of int
        The shape to draw from each.
    rng : key, int, Generator, ..., optional
        As in a call of an initializer. One key is made from it, and split among the distributions.
    columns : int
        The number of panels in a row.
    kind : {'histogram', 'cdf', 'qq'}
        The picture in each panel.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> weights, delays = init.LogNormal(0.5 * u.nS, 0.2 * u.nS), init.Exponential(2 * u.ms)
    >>> figure = init.plot.compare({"weights": weights, "delays": delays}, 1000, rng=42)
    """
    named = canvas.named(dists, Callable, "dists", "initializer")
    one_of("kind", kind, [*KINDS])
    draws = draw_all([dist for _, dist in named], size, rng)
    return panels(named, draws, columns, canvas.pyplot().figure, kind)


def draw_all(dists: list[Any], size: Shape, rng: Any) -> list[Any]:
    """Draw from each distribution, with separate keys."""
    key = _keys.typed(_keys.as_key(_keys.from_rng(rng)))
    return [
        dist(size, rng=k) if isinstance(dist, Initialization) else dist(k, size)
        for dist, k in zip(dists, jax.random.split(key, len(dists)), strict=True)
    ]


def panels(
    named: list[tuple[str, Any]],
    draws: list[Any],
    columns: int,
    new_figure: Callable[..., Any],
    kind: str = "histogram",
) -> Figure:
    """Lay out one panel per distribution, with one legend for all."""
    columns = min(columns, len(named))
    rows = -(-len(named) // columns)
    figure = new_figure(figsize=(4.2 * columns, 3.4 * rows + 0.4))
    figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.1)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax, (name, dist), values in zip(grid, named, draws, strict=False):
        KINDS[kind](values, dist, ax)
        ax.get_legend().remove()
        canvas.entitle(ax, name, above=bool(canvas.parameters(dist)))
    for ax in grid[len(named) :]:
        ax.set_axis_off()
    fullest = max((canvas.entries(ax, _legend_order("draws")) for ax in grid), key=len)
    handles = zip(*fullest, strict=True)
    figure.legend(*handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


KINDS: dict[str, Callable[..., Axes]] = {"histogram": histogram, "cdf": cdf, "qq": qq}
"""The pictures of draws by name; each takes values, a distribution and axes."""


def _picture(
    draw: Callable[..., None], values: Any, dist: Any, ax: Axes | None, label: str
) -> Axes:
    """Draw one picture with a title and a legend."""
    draws = Draws(values, dist, label)
    ax = canvas.axes(ax)
    canvas.plain(ax)
    if dist is not None:
        canvas.heading(ax, canvas.title(dist), canvas.parameters(dist))
    draw(ax, draws)
    canvas.legend(ax, _legend_order(label))
    return ax


def _legend_order(label: str) -> tuple[str, ...]:
    return label, f"{label} at one value", "theory"


def _fraction(name: str, value: Any) -> float:
    if not (isinstance(value, (int, float)) and 0 < value < 1):
        raise ValueError(f"`{name}` must lie between 0 and 1, got {value!r}; 0.95, for example")
    return float(value)
