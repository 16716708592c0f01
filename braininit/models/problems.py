"""Everything that is wrong with a plan, in one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["PlanError", "Problems", "near"]

_SHOWN = 8


class PlanError(ValueError):
    """What is wrong with a plan of a model, with the paths of the leaves that it is about."""


class Problems:
    """Problems by what they are, each with the paths that have it."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def add(self, text: str, *paths: str) -> None:
        """Note one problem of some leaves."""
        self._found.setdefault(text, []).extend(paths)

    def raised(self) -> None:
        """Raise what was found, if anything was."""
        if self._found:
            raise PlanError("\n".join(_line(text, paths) for text, paths in self._found.items()))


def _line(text: str, paths: list[str]) -> str:
    if not paths:
        return text
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"{text}: {', '.join(paths[:_SHOWN])}{more}"


def near(path: str, paths: Iterable[str]) -> str:
    """For an error: the nearest path, as a question."""
    found = difflib.get_close_matches(path, list(paths)[:10_000], n=1, cutoff=0.4)
    return f"; did you mean {found[0]!r}?" if found else ""
