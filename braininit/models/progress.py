"""A progress bar for work of more than a second, if rich or tqdm is installed."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["tracked"]

T = TypeVar("T")

_PATIENCE = 1.0
"""Seconds without a bar."""


def tracked(items: Sequence[T], shown: bool | None = None) -> Iterator[T]:
    """Yield the items; show a bar for the rest after a second (by default), at once, or never."""
    start, rest = time.monotonic(), iter(items)
    for done, item in enumerate(rest):
        yield item
        late = time.monotonic() - start > _PATIENCE and _is_watched() if shown is None else shown
        if late and len(items) > done + 2 and (bar := _bar()) is not None:
            yield from bar(list(rest), done + 1, len(items))
            return


def _is_watched() -> bool:
    """Whether somebody can see a bar: at a terminal, or in a notebook."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules


def _bar() -> Callable[[list[Any], int, int], Iterable[Any]] | None:
    """A function ``(rest, done, total)`` that yields the rest of the items under a bar."""
    try:
        progress = importlib.import_module("rich.progress")
    except ImportError:
        pass
    else:
        return lambda rest, done, total: _by_rich(progress, rest, done, total)
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        return None
    return lambda rest, done, total: tqdm(rest, "initializing", total, initial=done)


def _by_rich(progress: Any, rest: list[Any], done: int, total: int) -> Iterator[Any]:
    with progress.Progress(transient=True) as bar:
        task = bar.add_task("initializing", total=total, completed=done)
        for item in rest:
            yield item
            bar.advance(task)
