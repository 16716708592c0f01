"""The display of objects in a notebook: parameters, moments and a small picture.

The picture is SVG, made without matplotlib from the density of the distribution or the values of a
profile. Lines and text have the colour of the notebook's text, legible on white and on black.
"""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import brainunit as u
import jax
import numpy as np
from jax.core import Tracer

from braininit._params import units
from braininit._params.values import Value, fields
from braininit.initializer.children import Custom
from braininit.initializer.constant import Constant
from braininit.initializer.operators import Combined
from braininit.spatial.modulated import DistanceModulated
from braininit.spatial.profile import CombinedProfile, DistanceProfile
from braininit.spatial.reach import POINTS, span
from braininit.theory.lookup import find_law

__all__ = ["as_html", "parameters", "short", "shown_parameters", "title"]

_MAX_PARTS = 30  # of an object whose moments and picture are shown
_EXPRESSIONS = Combined, CombinedProfile

# ---------------------------------------------------------------- text

_MAX_DEPTH = 4  # levels of an expression that are shown; a shared part could be shown 2^n times


def title(obj: Any, depth: int = _MAX_DEPTH) -> str:
    """The name of an object, or the expression that made it."""
    function = obj.function if isinstance(obj, Custom) else obj
    if not isinstance(function, Value):
        name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
        return (name or type(function).__name__).replace(".<locals>", "")
    if not isinstance(obj, _EXPRESSIONS):
        return type(obj).__name__
    if depth <= 0:
        return "..."
    sides = [_operand(side, depth - 1) for side in (obj.left, obj.right) if side is not None]
    return f"{obj.op}({', '.join(sides)})" if obj.op.isalpha() else f" {obj.op} ".join(sides)


def _operand(side: Any, depth: int) -> str:
    if _is_number(side):
        return short(side)
    name = title(side, depth)
    return f"({name})" if isinstance(side, _EXPRESSIONS) else name


def _is_number(side: Any) -> bool:
    return isinstance(side, Constant) or not isinstance(side, Value)


def parameters(obj: Any, depth: int = _MAX_DEPTH) -> str:
    """The parameters of an object in a short line, numbers first."""
    several = isinstance(obj, _EXPRESSIONS) and not (_is_number(obj.left) or _is_number(obj.right))
    join = ": " if several else " = "
    texts = [f"{name}{join}{text}" for name, text in shown_parameters(obj, depth)]
    return ", ".join(sorted(texts, key=lambda text: "(" in text))


def shown_parameters(obj: Any, depth: int = _MAX_DEPTH) -> Iterator[tuple[str, str]]:
    """Yield name and text of each parameter that is set; for an expression, of its operands."""
    if isinstance(obj, _EXPRESSIONS):
        parts = [side for side in (obj.left, obj.right) if not _is_number(side)]
        if len(parts) == 1:
            yield from shown_parameters(parts[0], depth - 1)
        elif depth > 0:
            yield from ((title(part, depth - 1), parameters(part, depth - 1)) for part in parts)
        return
    for f in fields(obj):
        value = getattr(obj, f.name)
        if value is not None and not (type(value) is tuple and not value):
            yield f.name, short(value, depth - 1)


def short(value: Any, depth: int = _MAX_DEPTH) -> str:
    """A parameter as a short text."""
    if isinstance(value, Tracer) or isinstance(getattr(value, "mantissa", None), Tracer):
        return f"traced {np.shape(value) or 'number'}"
    if isinstance(value, Constant):
        return short(value.value, depth)
    if isinstance(value, Value):
        name = title(value, depth)
        if isinstance(value, (Custom, *_EXPRESSIONS)):
            return name
        return f"{name}({'...' if depth <= 0 else parameters(value, depth)})"
    if type(value) is tuple and not all(isinstance(part, (int, str)) for part in value):
        return ", ".join(short(part, depth) for part in value[:6]) + ", ..." * (len(value) > 6)
    if isinstance(value, (float, np.ndarray, jax.Array, u.Quantity)):
        bare, unit = units.unwrap("value", value, number=True)
        suffix = "" if unit is None else f" {unit}".replace(" 1 / ", " / ")
        if np.size(bare) > 6 or np.ndim(bare) > 1:
            return f"array {np.shape(bare)}" + (f" in{suffix}" if suffix else "")
        if np.ndim(bare):
            return "[" + ", ".join(f"{x:.4g}" for x in np.ravel(bare)) + "]" + suffix
        return f"{bare:.4g}{suffix}"
    if callable(value):
        return title(value)
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


# ---------------------------------------------------------------- HTML


def as_html(obj: Any) -> str | None:
    """Tables and a small picture of an object; the parameters alone if its law is unknown.

    None if even they can't be shown: the notebook then shows the repr.
    """
    try:
        name, rows = f"<b>{html.escape(title(obj))}</b>", [*shown_parameters(obj)]
    except Exception:  # a user's fields may hold anything
        return None
    tables = _table(name, rows)
    picture = ""
    if isinstance(obj, DistanceProfile | DistanceModulated):
        picture = _try(_profile_picture, getattr(obj, "distance_profile", obj)) or ""
    elif _try(_has_few_parts, obj) and (found := _try(_law, obj)):
        law, unit, size = found
        moments = _try(_moments, law, unit)
        sized = "" if size is None else f" of {size}"
        tables += _table(f"<i>moments{sized}</i>", moments) if moments else ""
        picture = _try(_law_picture, law, unit) or ""
    style = "display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start"
    return f'<div style="{style}">{tables}{picture}</div>'


def _has_few_parts(obj: Any) -> bool:
    """Whether an object has so few parts that finding its law is fast."""
    stack, count = [obj], 0
    while stack and count < _MAX_PARTS:
        part, count = stack.pop(), count + 1
        for f in fields(part):
            value = getattr(part, f.name)
            children = value if type(value) is tuple else (value,)
            stack += [child for child in children if isinstance(child, Value)]
    return not stack


def _table(name: str, rows: list[tuple[str, str]]) -> str:
    cell = '<td style="text-align:left">'
    lines = (f"<tr>{cell}{_raised(k)}</td>{cell}{_raised(v)}</td></tr>" for k, v in rows)
    table = f'<table style="margin:.3em 0">{"".join(lines)}</table>' if rows else ""
    return f"<div>{name}{table}</div>"


def _raised(text: str) -> str:
    """Escape a text, and write the powers of units as superscripts."""
    superscripts = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"\^(-?\d+)\b(?!\.)", lambda m: m[1].translate(superscripts), html.escape(text))


def _try(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function; return None if it raises, as for traced parameters or without a law."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            return function(*args)
    except Exception:
        return None


def _law(obj: Any) -> tuple[Any, u.Unit | None, tuple[int, ...] | None] | None:
    """The law and the unit of the draws, and the size assumed if they depend on it."""
    counts = np.asarray(getattr(obj, "condition_fn", ()))  # of a `Conditional`, as [80, 20]
    square = (int(counts.sum()),) * 2 if counts.size and counts.dtype.kind == "i" else (256, 256)
    for size in (None, square, (3, 3, 64, 64)):
        if found := _try(find_law, obj, size):
            return *found, size
    return None


def _moments(law: Any, unit: u.Unit | None) -> list[tuple[str, str]]:
    # Smaller values are rounding errors.
    mean = np.where(abs(law.mean) <= 1e-12 * law.std, 0.0, law.mean)
    skewness = np.where(abs(law.skewness) <= 1e-12, 0.0, law.skewness)
    moments = [("mean", mean, unit), ("std", law.std, unit)]
    moments += [("skewness", skewness, None), ("kurtosis", law.kurtosis, None)]
    return [(name, _range(x, unit)) for name, x, unit in moments if not np.isnan(x).all()]


def _range(bare: Any, unit: u.Unit | None) -> str:
    """A moment as text; an array as "smallest to largest"."""
    suffix = "" if unit is None else f" {unit}"
    ends = dict.fromkeys(f"{x:.4g}" for x in (np.min(bare), np.max(bare)))
    return " to ".join(ends) + suffix


# ---------------------------------------------------------------- the picture

_WIDTH, _HEIGHT, _SIDE, _FLOOR = 260, 104, 14, 30  # pixels; the labels are below the floor
_POINTS = 121
_MAX_CURVES = 6
_MAX_ATOMS = 60  # drawn as stems
_RARE = 0.002  # the share of draws in each tail that a picture leaves out
_FAR = 6  # a tail is shown up to so many times the distance from the median to the last tenth


def _profile_picture(profile: DistanceProfile) -> str:
    far, unit = cast(Any, span(profile))
    x = np.linspace(0, far, POINTS)  # as many as in `span`: one program for both
    with jax.ensure_compile_time_eval():
        y = np.asarray(profile(units.on(x, unit)), np.float64)
    return _svg(x[::5], [y[::5]], "distance", unit)


def _law_picture(law: Any, unit: u.Unit | None) -> str:
    """The densities of at most six laws; values with a probability of their own as stems."""
    if np.size(law.mean) > _MAX_CURVES or not law.has_functions:
        return ""
    mean, std, low, high = (np.ravel(x) for x in (law.mean, law.std, *law.support))
    atoms = [(float(x), float(p)) for value, p in law.atoms for x, p in np.broadcast(value, p)]
    atoms = sorted((x, p) for x, p in atoms if p > 0)
    shares = np.array([p for _, p in atoms])
    inside = np.minimum(shares.cumsum(), shares[::-1].cumsum()[::-1]) > _RARE  # from either end
    atoms = [atom for atom, in_view in zip(atoms, inside, strict=True) if in_view]
    atoms = atoms[:: -(-len(atoms) // _MAX_ATOMS) or 1]
    start, end = np.maximum(low, mean - 8 * std).min(), np.minimum(high, mean + 8 * std).max()
    x, curves = _curves(law, np.linspace(start, end, 2001))
    ends = [value for value, _ in atoms]
    if np.nansum(curves) > 0:
        ends += _view(x, curves)
    start, end = min(ends), max(ends)
    room = 0.1 * (end - start) or abs(end) / 2 or 0.5
    curves = _curves(law, np.linspace(start - room, end + room, _POINTS))
    return _svg(*curves, "value", unit, atoms)


def _curves(law: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values, and the density of each law at them."""
    y = law.pdf(x.reshape(-1, *(1,) * np.ndim(law.mean)))
    y = np.reshape(y, (x.size, -1)).T
    return x, np.where(np.isfinite(y), y, np.nan)


def _view(x: np.ndarray, curves: np.ndarray) -> tuple[float, float]:
    """The interval that holds nearly all of the mass, with tails cut as `_FAR` says.

    Sums of the density on a grid give it; quantiles would take up to 100 ms.
    """
    ends = []
    for y in curves:
        mass = np.cumsum(np.nan_to_num(y))
        indices = np.searchsorted(mass, np.array([_RARE, 0.1, 0.5, 0.9, 1 - _RARE]) * mass[-1])
        least, tenth, middle, ninetieth, most = x[np.minimum(indices, x.size - 1)]
        step = x[1] - x[0]
        least = max(least, middle - _FAR * (middle - tenth + step))
        ends.append((least, min(most, middle + _FAR * (ninetieth - middle + step))))
    return min(low for low, _ in ends), max(high for _, high in ends)


def _svg(
    x: np.ndarray,
    curves: Any,
    name: str,
    unit: u.Unit | None,
    atoms: Sequence[tuple[float, float]] = (),
) -> str:
    """Curves above an axis, the area below a single curve tinted, atoms as stems."""
    wide, floor = _WIDTH - 2 * _SIDE, _HEIGHT - _FLOOR
    heights = np.concatenate([[0.0], *curves])
    usual, most = np.nanquantile(heights, 0.97), np.nanmax(heights)
    top = most if most <= 3 * usual else 1.3 * usual  # the peak near a pole is cut off
    top, least = top or 1.0, np.nanmin(heights)

    def to_x(value: Any) -> Any:
        return _SIDE + wide * (value - x[0]) / (x[-1] - x[0])

    def to_y(y: Any) -> Any:
        return 6 + (floor - 6) * (1 - (np.clip(y, least, top) - least) / (top - least))

    zero, parts = to_y(0.0), []
    for y in curves:
        finite = np.isfinite(y)
        pixels = zip(to_x(x[finite]), to_y(y[finite]), strict=True)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in pixels)
        if np.nanmax(y) > 0 or least < 0:
            ends = f"{to_x(x[finite][-1]):.1f},{zero:.1f} {to_x(x[finite][0]):.1f},{zero:.1f}"
            tint = f'<polygon points="{points} {ends}" fill="#56b4e9" fill-opacity=".35"/>'
            line = f'<polyline points="{points}" fill="none" stroke="#1b87c9" stroke-width="1.8"/>'
            parts += [tint, line] if len(curves) == 1 else [line]
    whole = max((p for _, p in atoms), default=1.0) if len(atoms) > 2 * _MAX_CURVES else 1.0
    thick = min(3.0, 0.6 * wide / max(len(atoms), 1))
    for value, p in atoms:
        at, height = to_x(value), floor - (floor - 6) * p / whole
        stem = f'x1="{at:.1f}" x2="{at:.1f}" y1="{floor}" y2="{height:.1f}"'
        parts.append(f'<line {stem} stroke="#d55e00" stroke-width="{thick:.2g}"/>')
    parts.append(
        f'<line x1="{_SIDE}" x2="{_SIDE + wide}" y1="{zero:.1f}" y2="{zero:.1f}" '
        'stroke="currentColor" stroke-opacity=".6"/>'
    )
    for value, text in _ticks(x[0], x[-1]):
        at = to_x(value)
        mark = f'x1="{at:.1f}" x2="{at:.1f}" y1="{floor}" y2="{floor + 3}"'
        parts.append(f'<line {mark} stroke="currentColor" stroke-opacity=".6"/>')
        parts.append(f'<text x="{at:.1f}" y="{floor + 13}">{text}</text>')
    label = _raised(name if unit is None else f"{name} ({str(unit).replace(' ', '')})")
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 3}">{label}</text>')
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" font-size="10" fill="currentColor" '
        f'text-anchor="middle">{"".join(parts)}</svg>'
    )


def _ticks(low: float, high: float) -> Iterator[tuple[float, str]]:
    """Yield two to five round numbers and their labels."""
    step = 10.0 ** np.floor(np.log10((high - low) / 2))
    step *= next(k for k in (5, 2, 1) if (high - low) / (k * step) >= 2)
    for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1):
        yield k * step, f"{k * step:.6g}".replace("-", "−")
