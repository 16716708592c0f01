"""Pictures of matrices: weights and connections, sorted by population."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import braininit.plot.canvas as canvas
from braininit._params.types import QuantityLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["matrix"]

Populations = Mapping[str, Any] | Sequence[Any] | np.ndarray

_CELLS = 150  # per inch; print and screens show no more, so more are averaged
_NARROW = 0.12  # of a side; narrower populations have no room for a number
_NONE = "#ececec"  # no connection: a grey that is in no colour map


def matrix(
    w: QuantityLike,
    populations: Populations | None = None,
    ax: Axes | None = None,
    *,
    columns: Populations | None = None,
) -> Axes:
    r"""Draw a matrix of weights or connections, sorted by population; return the axes.

    Rows are presynaptic neurons, columns postsynaptic ones. Zeros are no connections, and grey. The
    colours are symmetric about 0; a few extreme weights do not wash out the rest. With more than
    150 cells per inch, blocks of cells are averaged, zeros included.

    Parameters
    ----------
    w : array or Quantity
        The weights, or booleans that are True where neurons are connected, of shape
        (n_pre, n_post).
    populations : mapping or sequence, optional
        The populations of the rows: their sizes, in order, as ``{"E": 80, "I": 20}``; the indices
        of their neurons; or a sequence with the population name of each neuron. Rows are sorted by
        population, with lines between.
    ax : matplotlib Axes, optional
        The axes to draw into; None makes a new figure.
    columns : mapping or sequence, optional
        The populations of the columns; for a square matrix, by default the populations of the rows.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> w = init.Sparse(0.8, init.LogNormal(0.5 * u.nS, 0.2 * u.nS))((100, 100), rng=0)
    >>> axes = init.plot.matrix(w, {"E": 80, "I": 20})
    >>> [text.get_text() for text in axes.get_xticklabels()]
    ['E\n80', 'I\n20']
    """
    x, unit = canvas.bare("w", w)
    if x.ndim != 2:
        raise ValueError(f"`w` must be a matrix, (n_pre, n_post); got the shape {x.shape}")
    if columns is None and x.shape[0] == x.shape[1]:
        columns = populations
    row_order, row_groups = _sorted("populations", populations, x.shape[0])
    column_order, column_groups = _sorted("columns", columns, x.shape[1])
    x = x[np.ix_(row_order, column_order)]
    binary = bool(((x == 0) | (x == 1)).all())
    ax = canvas.axes(ax, (5.4, 4.7))
    z, block = _averaged(x, _CELLS * min(canvas.width(ax), canvas.height(ax)))
    from matplotlib.colors import ListedColormap

    colours, ends = canvas.colours(z, robust=True)
    weights = np.unique(z[z != 0])
    if weights.size < 2:  # one colour is enough
        colours = {"cmap": ListedColormap(["#1f4e79"]), "vmin": 0, "vmax": 1}
    n, m = x.shape
    image = ax.imshow(
        np.ma.masked_equal(z, 0),
        extent=(-0.5, m - 0.5, n - 0.5, -0.5),
        aspect="equal" if 0.4 <= n / m <= 2.5 else "auto",
        rasterized=True,
        **colours,
    )
    ax.set_facecolor(_NONE)
    ax.grid(visible=False)
    _divide(ax.xaxis, ax.axvline, column_groups, "to", "\n")
    _divide(ax.yaxis, ax.axhline, row_groups, "from", " ")
    share = f"{100 * np.count_nonzero(x) / x.size:.3g} % of {n} x {m} connected"
    if weights.size == 1 and x.any() and unit is not None:
        share += f", each {x[x != 0][0]:.4g} {canvas.pretty(unit)}"
    canvas.heading(ax, "", share)
    if weights.size > 1:
        label = "weight"
        if block != (1, 1):
            mean = "share connected" if binary else "mean weight"
            label = f"{mean} of {block[0]} x {block[1]}"
        canvas.colour_bar(ax, image, canvas.labelled(label, unit), ends)
    return ax


def _sorted(name: str, populations: Any, n: int) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """The neurons in order of population, and the label and size of each population."""
    side = "rows" if name == "populations" else "columns"
    if populations is None:
        return np.arange(n), []
    if not isinstance(populations, Mapping):
        labels = [str(label) for label in np.ravel(np.asarray(populations))]
        if len(labels) != n:
            raise ValueError(f"`{name}` names {len(labels)} neurons, and `w` has {n} {side}")
        populations = {label: [] for label in labels}
        for i, label in enumerate(labels):
            populations[label].append(i)
    members, start = [], 0
    for label, value in populations.items():
        value = np.asarray(value)
        if value.ndim == 0 and value.dtype.kind in "iu" and value >= 0:
            members.append(np.arange(start, start + int(value)))
            start += int(value)
        elif value.ndim == 1 and (value.dtype.kind in "iu" or not value.size):
            members.append(value.astype(int))
        else:
            raise TypeError(
                f"`{name}`[{label!r}] must be the number of neurons or their indices, "
                f"got {value.dtype} of shape {value.shape}"
            )
    groups = [(str(k), len(v)) for k, v in zip(populations, members, strict=True)]
    order = np.concatenate([np.zeros(0, int), *members])
    if not np.array_equal(np.sort(order), np.arange(n)):
        raise ValueError(
            f"`{name}` must have each of the {n} {side} of `w` once; "
            f"there are {', '.join(f'{label}: {size}' for label, size in groups)}"
        )
    return order, groups


def _averaged(x: np.ndarray, limit: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Average blocks, so that at most `limit` cells lie along a side; return them and the block."""
    rows, columns = (max(1, math.ceil(n / limit)) for n in x.shape)
    block = (rows, columns)
    for axis, size in enumerate(block):
        if size > 1:
            starts = np.arange(0, x.shape[axis], size)
            counts = np.diff(np.append(starts, x.shape[axis]))
            sums = np.add.reduceat(x, starts, axis=axis)
            x = sums / (counts[:, None] if axis == 0 else counts)
    return x, block


def _divide(axis: Any, line: Any, groups: list[tuple[str, int]], name: str, between: str) -> None:
    """Draw lines between populations, and write the name of each at its middle."""
    axis.set_label_text(name)
    if not groups:
        axis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        return
    sizes = np.array([size for _, size in groups])
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        line(end - 0.5, color="white", linewidth=1.8)
        line(end - 0.5, color=canvas.INK, linewidth=0.7)
    places, texts = ends - sizes / 2 - 0.5, [f"{label}{between}{size}" for label, size in groups]
    if sizes.min() < _NARROW * ends[-1]:
        texts = [label for label, _ in groups]
        axis.set_tick_params(labelsize=7, labelrotation=90 if axis.axis_name == "x" else 0)
        inches = min(canvas.width(axis.axes), canvas.height(axis.axes))
        places = canvas.spread(places, 0.11 / inches * ends[-1], 0, ends[-1] - 1)
    axis.set_ticks(places, texts)
    axis.set_tick_params(length=0)
