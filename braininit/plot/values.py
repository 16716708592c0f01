"""Values and their law, as the pictures of draws show them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import brainunit as u
import jax.numpy as jnp
import numpy as np

import braininit.plot.canvas as canvas
from braininit import theory
from braininit._params import units

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Draws", "label_values", "law_of", "limits", "significant_digits", "view"]

_FAR = 6  # no tail is shown beyond this multiple of the distance from median to outer tenth
_ROUNDING = 4e-15


class Draws:
    """Values for a picture: bare numbers, and the law in their unit."""

    def __init__(self, values: Any, dist: Any, label: str) -> None:
        bare, self.unit = canvas.bare("values", values)
        self.x, self.shape, self.label = bare.ravel(), bare.shape, label
        self.name = "None" if dist is None else canvas.title(dist)
        law, law_unit = law_of(dist, bare.shape)
        self.law = law if law is not None and law.has_functions else None
        self.mean, self.ratio = None, 1.0  # the unit of the values in units of the law
        if law is not None:
            self.ratio = units.off(dist=units.on(1.0, law_unit), values=units.on(1.0, self.unit))[
                1
            ][1]
            with contextlib.suppress(ArithmeticError):  # a mean that theory can't sum up
                rounding = abs(law.mean) <= 1e-12 * law.std
                self.mean = 0.0 if rounding else law.mean / self.ratio
        numbers = units.parts(values)[0] if isinstance(values, u.Quantity) else values
        dtype = getattr(numbers, "dtype", np.dtype(float))
        inexact = jnp.issubdtype(dtype, jnp.inexact)  # theory rounds too, in float64
        self._step = max(float(jnp.finfo(dtype).eps), _ROUNDING) if inexact else 0.0

    def spacing(self, x: Any) -> Any:
        """The distance between neighbouring numbers of the values' dtype at x."""
        return self._step * np.abs(x)

    def cdf(self, x: Any) -> Any:
        return cast(Any, self.law).cdf(np.asarray(x) * self.ratio)

    def quantile(self, p: Any, q: Any) -> Any:
        """The quantile, from the smaller of the probabilities below and above it."""
        law: Any = self.law
        below, above = law.ppf(np.minimum(p, 0.5)), law.isf(np.minimum(q, 0.5))
        return np.where(p < q, below, above) / self.ratio

    def atoms(self) -> list[tuple[float, float]]:
        """Values with a nonzero probability, and that probability."""
        atoms = () if self.law is None else self.law.atoms
        return [(float(x) / self.ratio, float(p)) for x, p in atoms if np.ndim(x) == 0 and p > 0]


def law_of(dist: Any, shape: tuple[int, ...]) -> tuple[theory.Law | None, u.Unit | None]:
    """The law of draws of this shape, and draws unit; None and None where unknown."""
    if dist is None:
        return None, None
    try:
        return theory.pooled(dist, shape)
    except units.UnitError:
        raise
    except ValueError:  # the values have lost their shape
        return None, None


def significant_digits(x: np.ndarray) -> int:
    """Choose the number of digits to write: four, and more where the values lie close together."""
    low, high = x.min(), x.max()
    if not np.isfinite([low, high]).all() or low == high:
        return 4
    return 4 + int(np.clip(np.log10(max(abs(low), abs(high)) / (high - low)), 0, 8))


def view(draws: Draws) -> tuple[float, float]:
    """Choose the range to show: all values, unless a tail reaches far beyond most of them.

    With fewer than 100 values, it includes 98 % of the law.
    """
    x = draws.x
    low, high = x.min(), x.max()
    a, tenth, middle, ninetieth, b = np.quantile(x, [0.005, 0.1, 0.5, 0.9, 0.995])
    low_end = max(a - (b - a), middle - _FAR * (middle - tenth))
    high_end = min(b + (b - a), middle + _FAR * (ninetieth - middle))
    if tenth < middle and low < low_end:
        low = x[x >= low_end].min()
    if middle < ninetieth and high > high_end:
        high = x[x <= high_end].max()
    if draws.law is not None and x.size < 100:
        low = min(low, float(draws.quantile(0.01, 0.99)))
        high = max(high, float(draws.quantile(0.99, 0.01)))
    return float(low), float(high)


def limits(ax: Axes, low: float, high: float) -> None:
    room = 0.04 * (high - low) or 0.5 * abs(low) or 0.5
    ax.set_xlim(low - room, high + room)
    ax.ticklabel_format(axis="x", useOffset=False)


def label_values(ax: Axes, draws: Draws, low: float, high: float) -> None:
    outside = int(np.sum((draws.x < low) | (draws.x > high)))
    beyond = f", {outside} of {draws.x.size} beyond" if outside else ""
    ax.set_xlabel(canvas.labelled("value", draws.unit) + beyond)
