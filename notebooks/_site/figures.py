"""The gallery's pictures, by `braininit.plot`: up to four panels and a thumbnail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import brainunit as u
import jax
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from braininit import plot

if TYPE_CHECKING:
    from _site.gallery import Entry

LETTERS = "abcd"
FAR = 400 * u.um
LINE = np.linspace(0, 400, 40, dtype=np.float32)[:, None] * u.um
"""Positions of neurons, for weights that depend on distance."""


def between_neurons(obj: Any, key: jax.Array) -> Any:
    """Draw weights between neurons on a line."""
    return obj((40, 40), rng=key, pre_positions=LINE, post_positions=LINE)


def panels(entry: Entry, path: Callable[[str], Path]) -> None:
    """Draw a picture of each object; for profiles, all over distance and the first in a plane."""
    if entry.is_profile:
        ax = _axes()
        plot.profile(dict(zip(LETTERS, entry.drawn.values(), strict=False)), FAR, ax=ax)
        _save(ax, path("a"))
        ax = _axes()
        plot.sheet(next(iter(entry.drawn.values())), FAR / 2, ax=ax)
        _untitled(ax)
        _save(ax, path("b"))
        return
    for letter, obj, values in zip(LETTERS, entry.drawn.values(), entry.values, strict=False):
        ax = _axes()
        _panel(entry, obj, values, ax)
        _save(ax, path(letter))


def small(entry: Entry, path: Path) -> None:
    """Draw the thumbnail: the first object, without text."""
    ax = plt.figure(figsize=(2.4, 1.8)).subplots()
    obj = next(iter(entry.drawn.values()))
    if entry.is_profile:
        plot.profile(obj, FAR, ax=ax)
    else:
        _panel(entry, obj, entry.values[0], ax)
    _bare(ax)
    _save(ax, path)


def _axes() -> Axes:
    return plt.figure(figsize=(4.5, 3.3), layout="constrained").subplots()


def _panel(entry: Entry, obj: Any, values: Any, ax: Axes) -> None:
    if entry.is_matrix:  # for a kernel, the matrix at its centre
        plot.matrix(values[(values.shape[0] - 1) // 2] if values.ndim > 2 else values, ax=ax)
    else:
        plot.histogram(values, obj, ax=ax)
        _untitled(ax)


def _untitled(ax: Axes) -> None:
    """Remove the title and the parameters: the page has the code."""
    ax.set_title("", loc="left")
    for text in list(ax.texts):
        if text.get_position() == (0, 1.025):
            text.remove()


def _bare(ax: Axes) -> None:
    figure: Any = ax.figure
    for other in figure.axes[1:]:  # colour bars
        other.remove()
    legend = ax.get_legend()
    for artist in [*ax.texts, *figure.legends, *([legend] if legend else [])]:
        artist.remove()
    ax.set_title("", loc="left")
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[], anchor="C")
    ax.grid(False)
    figure.set_layout_engine("none")
    ax.set_position((0.04, 0.04, 0.92, 0.92))


def _save(ax: Axes, path: Path) -> None:
    figure: Any = ax.figure
    figure.savefig(path, dpi=150)
    plt.close(figure)
