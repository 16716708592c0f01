"""The gallery's pictures, by `braininit.plot`: four panels large, one small."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import brainunit as u
import jax
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braininit import plot

if TYPE_CHECKING:
    from _site.gallery import Entry

DPI = 110
FAR = 400 * u.um
LINE = np.linspace(0, 400, 40, dtype=np.float32)[:, None] * u.um
"""Where neurons stand, for weights that depend on distance."""


def between_neurons(obj: Any, key: jax.Array) -> Any:
    """Weights between neurons on a line."""
    return obj((40, 40), rng=key, pre_positions=LINE, post_positions=LINE)


def large(it: Entry, path: Path) -> None:
    """Four panels; of profiles, all over distance and the first in a plane."""
    figure = plt.figure(figsize=(8.4, 3.6 if it.is_profile else 6.6), layout="constrained")
    if it.is_profile:
        left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
        plot.profile(dict(zip("abcd", it.drawn.values(), strict=False)), FAR, ax=left)
        plot.sheet(next(iter(it.drawn.values())), FAR / 2, ax=right)
        _titled(left, "over distance")
        _titled(right, "a in a plane")
    else:
        panels = zip(figure.subplots(2, 2).flat, "abcd", it.drawn.items(), it.values, strict=False)
        for ax, letter, (text, obj), values in panels:
            _panel(it, obj, values, ax)
            _titled(ax, f"{letter}  {text}")
    _save(figure, path)


def small(it: Entry, path: Path) -> None:
    """The first one without words."""
    figure = plt.figure(figsize=(2.4, 1.8))
    ax = figure.subplots()
    obj = next(iter(it.drawn.values()))
    if it.is_profile:
        plot.profile(obj, FAR, ax=ax)
    else:
        _panel(it, obj, it.values[0], ax)
    _bare(figure, ax)
    _save(figure, path)


def _panel(it: Entry, obj: Any, values: Any, ax: Axes) -> None:
    if it.is_matrix:  # of a kernel, the matrix at its centre
        plot.matrix(values[(values.shape[0] - 1) // 2] if values.ndim > 2 else values, ax=ax)
    else:
        plot.histogram(values, obj, ax=ax)


def _titled(ax: Axes, text: str) -> None:
    """The code as the title, in place of the parameters; a number stays with its unit."""
    for words in list(ax.texts):
        if words.get_position() == (0, 1.025):
            words.remove()
    title = textwrap.fill(text.replace(" * ", "\u00a0*\u00a0"), 48)
    ax.set_title(title, loc="left", fontsize=8.5, family="monospace", pad=8)


def _bare(figure: Figure, ax: Axes) -> None:
    for other in figure.axes[1:]:  # colour bars
        other.remove()
    legend = ax.get_legend()
    for artist in [*ax.texts, *figure.legends, *([legend] if legend else [])]:
        artist.remove()
    ax.set_title("", loc="left")
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    ax.grid(False)
    figure.set_layout_engine("none")
    ax.set_position((0.04, 0.04, 0.92, 0.92))


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
