"""A plan as a table, in text and in HTML."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jax.core import Tracer

from braininit._params import units
from braininit.initializer.children import Custom
from braininit.layers.fans import Fans
from braininit.models.layouts import fans_of
from braininit.models.leaves import bare
from braininit.models.parts import Parts

__all__ = ["as_html", "as_text", "moments", "name_of"]

COLUMNS = (
    *("path", "shape", "dtype", "unit", "rule", "fans", "mean", "std"),
    *("bytes", "bytes/device", "sharding"),
)
_RIGHT = [name in ("mean", "std", "bytes", "bytes/device") for name in COLUMNS]


def as_text(rows: Sequence[Any]) -> str:
    """Format the table as text: a line for each leaf, and one for the total."""
    cells = [COLUMNS, *map(_cells, rows), _total(rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [zip(line, widths, _RIGHT, strict=True) for line in cells]
    lines = ["  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in line) for line in aligned]
    return "\n".join(line.rstrip() for line in lines)


def as_html(rows: Sequence[Any]) -> str:
    """Format the table as HTML, for a notebook."""

    def line(cells: Iterable[str], tag: str = "td") -> str:
        sides = ("right" if right else "left" for right in _RIGHT)
        inner = "".join(
            f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
            for cell, side in zip(cells, sides, strict=True)
        )
        return f"<tr>{inner}</tr>"

    body = "".join(line(_cells(row)) for row in rows)
    return f"<table>{line(COLUMNS, 'th')}{body}{line(_total(rows))}</table>"


def _cells(row: Any) -> tuple[str, ...]:
    stack, leaf = row.stack, row.stack.leaves[0]
    fans = _fans(row.choices[0], leaf)
    means, stds = zip(*(moments(*pair) for pair in _first_and_last(row)), strict=True)
    size = _bytes(row)
    return (
        stack.path,
        str(stack.shape).replace(" ", ""),
        str(_dtype(row)),
        "" if leaf.unit is None else str(leaf.unit),
        _rule(row),
        fans,
        _range(means),
        _range(stds),
        _size(size),
        _size(size / _parts(row.sharding)),
        "" if row.sharding is None else str(row.sharding.spec).replace("PartitionSpec", "P"),
    )


def _fans(choice: Any, leaf: Any) -> str:
    """The fans that the initializer uses; if it uses none, the fans of the leaf."""
    by_layout = leaf.layout is not None and (leaf.layout.given or leaf.layout.gates > 1)
    initializer, part = _first_part(choice.initializer, leaf)
    if part is not leaf and leaf.layout is not None:
        part.layout = leaf.layout._replace(gates=1)
    used = None if by_layout or initializer is None else fans_of(initializer._recipe, part.shape)
    fans = used or part.fans or ()
    return ", ".join("?" if isinstance(fan, Tracer) else f"{fan:g}" for fan in fans)


def _first_part(initializer: Any, leaf: Any) -> tuple[Any, Any]:
    """The initializer of a leaf, and the leaf; or those of the first of its parts."""
    if not isinstance(initializer, Parts):
        return initializer, leaf
    shape = initializer.part(leaf.shape, initializer.lengths[0])
    return initializer.base, dataclasses.replace(leaf, shape=shape)


def _first_and_last(row: Any) -> Iterable[tuple[Any, Any]]:
    """The choice and the leaf of the first and the last layer: they show what changes."""
    pairs = list(zip(row.choices, row.stack.leaves, strict=True))
    return pairs if len(pairs) < 3 else (pairs[0], pairs[-1])


def _rule(row: Any) -> str:
    choice = row.choices[0]
    if not row.drawn:
        return f"{choice.rule}: KEEP" if row.kept else f"{choice.rule}: not drawn"
    return f"{choice.rule}: {', '.join(dict.fromkeys(name_of(c.initializer) for c in row.choices))}"


def name_of(initializer: Any) -> str:
    if isinstance(initializer, Parts):
        return f"{name_of(initializer.base)} x{len(initializer.sizes)}"
    if not isinstance(initializer, Custom):
        return type(initializer).__name__
    function = initializer.function
    return getattr(function, "__qualname__", repr(function)).replace(".<locals>", "")


def _range(values: Sequence[Any]) -> str:
    known = [f"{v:.4g}" for v in values if v is not None]
    return " to ".join(dict.fromkeys(known)) or "-"


def moments(choice: Any, leaf: Any) -> tuple[Any, Any]:
    """The mean and std of a leaf's draws, in the leaf's unit; None where they are not known."""
    from braininit import theory

    if choice.initializer is None:
        return None, None
    initializer, leaf = _first_part(choice.initializer, leaf)
    recipe = initializer._recipe
    if any(isinstance(option, Fans) for option in recipe.facts.static):
        variance, fan = recipe.for_draw(leaf.shape, np.dtype(np.float32), {}).values
        values: tuple[Any, Any] = (0.0, np.sqrt(np.asarray(variance) / np.asarray(fan)))
    else:
        try:
            shape = leaf.shape
            values = theory.mean(initializer, shape), theory.std(initializer, shape)
        except Exception:  # traced numbers too
            return None, None
    numbers = [None if value is None else units.parts(value)[0] for value in values]
    factor = choice.convert or 1.0
    return tuple(  # pyright: ignore[reportReturnType]
        None if n is None or np.ndim(n) else float(n) * factor for n in numbers
    )


def _total(rows: Sequence[Any]) -> tuple[str, ...]:
    total = sum(map(_bytes, rows))
    device = sum(_bytes(row) / _parts(row.sharding) for row in rows)
    numbers = sum(math.prod(row.stack.shape) for row in rows)
    blank = [""] * len(COLUMNS)
    blank[0] = f"{len(rows)} {'leaf' if len(rows) == 1 else 'leaves'}"
    blank[1] = f"{numbers:,}"
    blank[-3], blank[-2] = _size(total), _size(device)
    return tuple(blank)


def _bytes(row: Any) -> int:
    return math.prod(row.stack.shape) * getattr(_dtype(row), "itemsize", 8)


def _dtype(row: Any) -> Any:
    """The dtype of the model's leaf; if drawn, in JAX's form: float32 for NumPy's float64."""
    return row.stack.leaves[0].dtype if row.drawn else bare(row.stack.place.value).dtype


def _parts(sharding: Any) -> int:
    """The number of parts into which a leaf is split."""
    if sharding is None:
        return 1
    names = [entry if isinstance(entry, tuple) else (entry,) for entry in sharding.spec if entry]
    return math.prod(sharding.mesh.shape[name] for group in names for name in group)


def _size(n: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.4g} {unit}"
        n /= 1024
    return f"{n:.4g} TiB"
