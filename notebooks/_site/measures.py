"""The gallery's tables: moments and tails by theory, or estimated from the draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import brainunit as u
import numpy as np

from braininit import theory


class Table(NamedTuple):
    """A table: the text before it, its head, and a row for each object."""

    words: str
    head: list[str]
    rows: list[list[str]]


def parted(value: Any) -> tuple[Any, str]:
    """Split a value into bare numbers and the text of the unit."""
    unit = u.get_unit(value)
    return u.get_mantissa(value), "" if unit.is_unitless else str(unit)


def number(bare: Any, unit: str = "") -> str:
    bare = 0.0 if abs(bare) < 1e-15 else float(bare)  # 0 up to rounding in float64
    return f"{bare:.4g} {unit}".strip()


# ---------------------------------------------------------------- distributions


def moments(objects: Sequence[Any], size: Any, values: Sequence[Any]) -> Table:
    """Moments and support; where they depend on the size, for a matrix of that size."""
    columns: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "mean": ("mean", np.mean),
        "std": ("std", np.std),
        "skewness": ("skewness", lambda x: np.mean(((x - x.mean()) / x.std()) ** 3)),
        "excess kurtosis": ("kurtosis", lambda x: np.mean(((x - x.mean()) / x.std()) ** 4) - 3),
        "support": ("support", lambda x: None),
    }
    rows = [
        [_cell(name, obj, size, draws, estimate) for name, estimate in columns.values()]
        for obj, draws in zip(objects, values, strict=True)
    ]
    words = f"In a matrix of {size[0]} x {size[1]}, (in, out)." if size and len(size) > 1 else ""
    return Table(_with_legend(words, rows), list(columns), rows)


def tails(objects: Sequence[Any], size: Any, values: Sequence[Any]) -> Table:
    """The median, and the quantiles of 1e-3 and 1e-9 on both sides."""
    columns = {
        "1e-9 below": ("ppf", 1e-9),
        "1e-3 below": ("ppf", 1e-3),
        "median": ("ppf", 0.5),
        "1e-3 above": ("isf", 1e-3),
        "1e-9 above": ("isf", 1e-9),
    }
    rows = [
        [_cell(name, obj, size, draws, _quantile(name, p), p) for name, p in columns.values()]
        for obj, draws in zip(objects, values, strict=True)
    ]
    words = "The value below or above which that share of the draws lies."
    return Table(_with_legend(words, rows), list(columns), rows)


def _quantile(name: str, p: float) -> Callable[[Any], Any]:
    share = p if name == "ppf" else 1 - p
    return lambda x: np.quantile(x, share) if p * x.size >= 20 else None


def _cell(
    name: str, obj: Any, size: Any, draws: Any, estimate: Callable[[Any], Any], *args: Any
) -> str:
    try:
        exact = getattr(theory, name)(obj, *args, size=size)
    except TypeError:  # an unknown law
        bare, unit = parted(draws)
        value = estimate(np.asarray(bare, np.float64).ravel())
        pure = name in ("skewness", "kurtosis")
        return "" if value is None else f"≈ {number(value, '' if pure else unit)}"
    ends = exact if isinstance(exact, tuple) else (exact,)
    return " to ".join(number(*parted(end)) for end in ends)


def _with_legend(words: str, rows: list[list[str]]) -> str:
    if any(cell.startswith("≈") for cells in rows for cell in cells):
        words += " ≈ is an estimate from the draws of the picture, where `theory` has no law."
    return words.strip()


# ---------------------------------------------------------------- matrices, profiles


def of_matrices(values: Sequence[Any]) -> Table:
    """Properties of matrices; for kernels, of the matrix at their centre."""
    rows = []
    for draws in values:
        bare, unit = parted(draws)
        x = np.asarray(bare, np.float64)
        x = x[(x.shape[0] - 1) // 2] if x.ndim > 2 else x
        singular = np.linalg.svd(x, compute_uv=False)
        measured = [x.mean(), x.std(), singular.max(), singular.min()]
        if x.shape[0] == x.shape[1]:
            measured.append(abs(np.linalg.eigvals(x)).max())
        rows.append([f"{np.mean(x == 0):.0%}", *(number(value, unit) for value in measured)])
    head = ["zeros", "mean", "std", "largest singular value", "smallest", "spectral radius"]
    shape = u.get_mantissa(values[0]).shape
    centre = ", at its centre" if len(shape) > 2 else ""
    words = f"In the pictures, of shape {shape}{centre}."
    return Table(words, head[: 1 + len(measured)], rows)


def over_distance(profiles: Sequence[Any]) -> Table:
    at = [0, 25, 50, 100, 200, 400]
    distances = np.array(at, np.float32) * u.um
    rows = [
        [f"{x:.4g}" for x in np.asarray(profile.weight_scaling(distances))] for profile in profiles
    ]
    words = "`weight_scaling` at distances; `probability` is the same, clipped to [0, 1]."
    return Table(words, [f"{d} um" for d in at], rows)
