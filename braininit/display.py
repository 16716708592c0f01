"""Objects in a notebook: parameters, moments and a small picture.

The picture is SVG, made from the theory's density or a profile's values without matplotlib; lines
and text have the colour of the notebook's own text, so that they are read on white and on black.
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
from braininit.theory.lookup import find

__all__ = ["as_html", "given", "parameters", "short", "title"]

_PARTS = 30  # of an object whose moments and picture are shown
_EXPRESSIONS = Combined, CombinedProfile

# ---------------------------------------------------------------- words

_DEEPEST = 4  # levels of an expression that are written; a shared part would be written 2^n times


def title(obj: Any, deepest: int = _DEEPEST) -> str:
    """The name of an object, or the expression that made it."""
    function = obj.function if isinstance(obj, Custom) else obj
    if not isinstance(function, Value):
        name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
        return (name or type(function).__name__).replace(".<locals>", "")
    if not isinstance(obj, _EXPRESSIONS):
        return type(obj).__name__
    if deepest <= 0:
        return "..."
    sides = [_operand(side, deepest - 1) for side in (obj.left, obj.right) if side is not None]
    return f"{obj.op}({', '.join(sides)})" if obj.op.isalpha() else f" {obj.op} ".join(sides)


def _operand(side: Any, deepest: int) -> str:
    if _is_number(side):
        return short(side)
    name = title(side, deepest)
    return f"({name})" if isinstance(side, _EXPRESSIONS) else name


def _is_number(side: Any) -> bool:
    return isinstance(side, Constant) or not isinstance(side, Value)


def parameters(obj: Any, deepest: int = _DEEPEST) -> str:
    """The parameters of an object in a short line, numbers first."""
    several = isinstance(obj, _EXPRESSIONS) and not (_is_number(obj.left) or _is_number(obj.right))
    join = ": " if several else " = "
    every = [(f"{name}{join}{text}", "(" in text) for name, text in given(obj, deepest)]
    return ", ".join(text for text, _ in sorted(every, key=lambda pair: pair[1]))


def given(obj: Any, deepest: int = _DEEPEST) -> Iterator[tuple[str, str]]:
    """The parameters that are not left open, by name; of an expression, those of its operands."""
    if isinstance(obj, _EXPRESSIONS):
        parts = [side for side in (obj.left, obj.right) if not _is_number(side)]
        if len(parts) == 1:
            yield from given(parts[0], deepest - 1)
        elif deepest > 0:
            yield from ((title(part, deepest - 1), parameters(part, deepest - 1)) for part in parts)
        return
    for f in fields(obj):
        value = getattr(obj, f.name)
        if value is not None and not (type(value) is tuple and not value):
            yield f.name, short(value, deepest - 1)


def short(value: Any, deepest: int = _DEEPEST) -> str:
    """A parameter in a few words."""
    if isinstance(value, Tracer) or isinstance(getattr(value, "mantissa", None), Tracer):
        return f"traced {np.shape(value) or 'number'}"
    if isinstance(value, Constant):
        return short(value.value, deepest)
    if isinstance(value, Value):
        name = title(value, deepest)
        if isinstance(value, (Custom, *_EXPRESSIONS)):
            return name
        return f"{name}({'...' if deepest <= 0 else parameters(value, deepest)})"
    if type(value) is tuple and not all(isinstance(part, (int, str)) for part in value):
        return ", ".join(short(part, deepest) for part in value[:6]) + ", ..." * (len(value) > 6)
    if isinstance(value, (float, np.ndarray, jax.Array, u.Quantity)):
        bare, unit = units.unwrap("value", value, number=True)
        of = "" if unit is None else f" {unit}".replace(" 1 / ", " / ")
        if np.size(bare) > 6 or np.ndim(bare) > 1:
            return f"array {np.shape(bare)}" + (f" in{of}" if of else "")
        if np.ndim(bare):
            return "[" + ", ".join(f"{x:.4g}" for x in np.ravel(bare)) + "]" + of
        return f"{bare:.4g}{of}"
    if callable(value):
        return title(value)
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


# ---------------------------------------------------------------- HTML


def as_html(obj: Any) -> str | None:
    """A table of an object and a small picture; of what is not known, its parameters alone.

    None where not even those can be written: a notebook then shows the repr.
    """
    try:
        name, rows = f"<b>{html.escape(title(obj))}</b>", [*given(obj)]
    except Exception:  # a user's fields may hold anything
        return None
    tables = _table(name, rows)
    picture = ""
    if isinstance(obj, DistanceProfile | DistanceModulated):
        picture = _tried(_of_profile, getattr(obj, "distance_profile", obj)) or ""
    elif _tried(_is_brief, obj) and (found := _tried(_law, obj)):
        law, unit, size = found
        moments = _tried(_moments, law, unit)
        of = "" if size is None else f" of {size}"
        tables += _table(f"<i>moments{of}</i>", moments) if moments else ""
        picture = _tried(_of_law, law, unit) or ""
    style = "display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start"
    return f'<div style="{style}">{tables}{picture}</div>'


def _is_brief(obj: Any) -> bool:
    """Whether an object has so few parts that its law is found at once."""
    waiting, seen = [obj], 0
    while waiting and seen < _PARTS:
        part, seen = waiting.pop(), seen + 1
        held = (getattr(part, f.name) for f in fields(part))
        every = (x for value in held for x in (value if type(value) is tuple else (value,)))
        waiting += [x for x in every if isinstance(x, Value)]
    return not waiting


def _table(name: str, rows: list[tuple[str, str]]) -> str:
    cell = '<td style="text-align:left">'
    lines = (f"<tr>{cell}{_raised(k)}</td>{cell}{_raised(v)}</td></tr>" for k, v in rows)
    table = f'<table style="margin:.3em 0">{"".join(lines)}</table>' if rows else ""
    return f"<div>{name}{table}</div>"


def _raised(text: str) -> str:
    """Escaped, the powers of units raised."""
    small = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"\^(-?\d+)\b(?!\.)", lambda m: m[1].translate(small), html.escape(text))


def _tried(function: Callable[..., Any], *of: Any) -> Any:
    """What a function says, or None: traced parameters and no theory are no errors."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            return function(*of)
    except Exception:
        return None


def _law(obj: Any) -> tuple[Any, u.Unit | None, tuple[int, ...] | None] | None:
    """The law and the unit of the draws, and the size that was taken where they depend on it."""
    counted = np.asarray(getattr(obj, "condition_fn", ()))  # of a `Conditional`, as [80, 20]
    n = (int(counted.sum()),) * 2 if counted.size and counted.dtype.kind == "i" else (256, 256)
    for size in (None, n, (3, 3, 64, 64)):
        if found := _tried(find, obj, size):
            return *found, size
    return None


def _moments(law: Any, unit: u.Unit | None) -> list[tuple[str, str]]:
    # What is smaller is rounding.
    mean = np.where(abs(law.mean) <= 1e-12 * law.std, 0.0, law.mean)
    skewness = np.where(abs(law.skewness) <= 1e-12, 0.0, law.skewness)
    found = [("mean", mean, unit), ("std", law.std, unit)]
    found += [("skewness", skewness, None), ("kurtosis", law.kurtosis, None)]
    return [(name, _range(x, of)) for name, x, of in found if not np.isnan(x).all()]


def _range(bare: Any, unit: u.Unit | None) -> str:
    """A moment; of arrays, from the smallest to the largest."""
    of = "" if unit is None else f" {unit}"
    ends = dict.fromkeys(f"{x:.4g}" for x in (np.min(bare), np.max(bare)))
    return " to ".join(ends) + of


# ---------------------------------------------------------------- the picture

_WIDTH, _HEIGHT, _SIDE, _FLOOR = 260, 104, 14, 30  # pixels; below the floor are the labels
_POINTS = 121
_MOST = 6  # curves
_ATOMS = 60  # stems
_RARE = 0.002  # the share of draws in each tail that a picture leaves out
_FAR = 6  # times from the median to the last tenth: no tail is shown further


def _of_profile(profile: DistanceProfile) -> str:
    far, unit = cast(Any, span(profile))
    at = np.linspace(0, far, POINTS)  # as many as `span` takes: one program for both
    with jax.ensure_compile_time_eval():
        y = np.asarray(profile(units.on(at, unit)), np.float64)
    return _svg(at[::5], [y[::5]], "distance", unit)


def _of_law(law: Any, unit: u.Unit | None) -> str:
    """The density, of up to six of several; values with a probability of their own as stems."""
    if np.size(law.mean) > _MOST or not law.has_functions:
        return ""
    mean, std, low, high = (np.ravel(x) for x in (law.mean, law.std, *law.support))
    every = [(float(x), float(p)) for at, p in law.atoms for x, p in np.broadcast(at, p)]
    every = sorted((x, p) for x, p in every if p > 0)
    shares = np.array([p for _, p in every])
    inside = np.minimum(shares.cumsum(), shares[::-1].cumsum()[::-1]) > _RARE  # from either end
    atoms = [atom for atom, in_view in zip(every, inside, strict=True) if in_view]
    atoms = atoms[:: -(-len(atoms) // _ATOMS) or 1]
    start, end = np.maximum(low, mean - 8 * std).min(), np.minimum(high, mean + 8 * std).max()
    at, curves = _curves(law, np.linspace(start, end, 2001))
    ends = [x for x, _ in atoms]
    if np.nansum(curves) > 0:
        ends += _view(at, curves)
    start, end = min(ends), max(ends)
    room = 0.1 * (end - start) or abs(end) / 2 or 0.5
    curves = _curves(law, np.linspace(start - room, end + room, _POINTS))
    return _svg(*curves, "value", unit, atoms)


def _curves(law: Any, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places, and the density there of each of the laws."""
    y = law.pdf(at.reshape(-1, *(1,) * np.ndim(law.mean)))
    y = np.reshape(y, (at.size, -1)).T
    return at, np.where(np.isfinite(y), y, np.nan)


def _view(at: np.ndarray, curves: np.ndarray) -> tuple[float, float]:
    """Where nearly all of the mass is, no tail further than _FAR times the usual.

    By sums of the density on a grid: quantiles take up to 100 ms.
    """
    ends = []
    for y in curves:
        mass = np.cumsum(np.nan_to_num(y))
        places = np.searchsorted(mass, np.array([_RARE, 0.1, 0.5, 0.9, 1 - _RARE]) * mass[-1])
        least, tenth, middle, ninetieth, most = at[np.minimum(places, at.size - 1)]
        step = at[1] - at[0]
        least = max(least, middle - _FAR * (middle - tenth + step))
        ends.append((least, min(most, middle + _FAR * (ninetieth - middle + step))))
    return min(low for low, _ in ends), max(high for _, high in ends)


def _svg(
    at: np.ndarray,
    curves: Any,
    name: str,
    unit: u.Unit | None,
    atoms: Sequence[tuple[float, float]] = (),
) -> str:
    """Curves above an axis, the space below them tinted, stems from the axis."""
    wide, floor = _WIDTH - 2 * _SIDE, _HEIGHT - _FLOOR
    every = np.concatenate([[0.0], *curves])
    usual, most = np.nanquantile(every, 0.97), np.nanmax(every)
    top = most if most <= 3 * usual else 1.3 * usual  # a pole, and what is near it, leaves above
    top, least = top or 1.0, np.nanmin(every)

    def across(x: Any) -> Any:
        return _SIDE + wide * (x - at[0]) / (at[-1] - at[0])

    def up(y: Any) -> Any:
        return 6 + (floor - 6) * (1 - (np.clip(y, least, top) - least) / (top - least))

    zero, parts = up(0.0), []
    for y in curves:
        known = np.isfinite(y)
        places = zip(across(at[known]), up(y[known]), strict=True)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        if np.nanmax(y) > 0 or least < 0:
            ends = f"{across(at[known][-1]):.1f},{zero:.1f} {across(at[known][0]):.1f},{zero:.1f}"
            tint = f'<polygon points="{points} {ends}" fill="#56b4e9" fill-opacity=".35"/>'
            line = f'<polyline points="{points}" fill="none" stroke="#1b87c9" stroke-width="1.8"/>'
            parts += [tint, line] if len(curves) == 1 else [line]
    whole = max((p for _, p in atoms), default=1.0) if len(atoms) > 2 * _MOST else 1.0
    thick = min(3.0, 0.6 * wide / max(len(atoms), 1))
    for x, p in atoms:
        height = floor - (floor - 6) * p / whole
        stem = f'x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{floor}" y2="{height:.1f}"'
        parts.append(f'<line {stem} stroke="#d55e00" stroke-width="{thick:.2g}"/>')
    parts.append(
        f'<line x1="{_SIDE}" x2="{_SIDE + wide}" y1="{zero:.1f}" y2="{zero:.1f}" '
        'stroke="currentColor" stroke-opacity=".6"/>'
    )
    for x, text in _ticks(at[0], at[-1]):
        mark = f'x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{floor}" y2="{floor + 3}"'
        parts.append(f'<line {mark} stroke="currentColor" stroke-opacity=".6"/>')
        parts.append(f'<text x="{across(x):.1f}" y="{floor + 13}">{text}</text>')
    label = _raised(name if unit is None else f"{name} ({str(unit).replace(' ', '')})")
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 3}">{label}</text>')
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" font-size="10" fill="currentColor" '
        f'text-anchor="middle">{"".join(parts)}</svg>'
    )


def _ticks(low: float, high: float) -> Iterator[tuple[float, str]]:
    """Two to five round numbers."""
    step = 10.0 ** np.floor(np.log10((high - low) / 2))
    step *= next(k for k in (5, 2, 1) if (high - low) / (k * step) >= 2)
    for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1):
        yield k * step, f"{k * step:.6g}".replace("-", "−")
