"""All problems of a plan, raised as one error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ["PlanError", "Problems", "near"]

_SHOWN = 8


class PlanError(ValueError):
    """All problems of a plan of a model, with the paths of the leaves that have them."""


class Problems:
    """The problems found so far, by text, with the paths of the leaves that have them."""

    def __init__(self) -> None:
        self._paths: dict[str, list[str]] = {}

    def add(self, text: str, *paths: str) -> None:
        """Add a problem of some leaves."""
        self._paths.setdefault(text, []).extend(paths)

    def raised(self) -> None:
        """Raise a PlanError if there are problems."""
        if self._paths:
            by_rule = sorted(self._paths.items(), key=lambda item: _rule(item[0]))
            raise PlanError("\n".join(_line(text, paths) for text, paths in by_rule))


def _rule(text: str) -> int:
    """The number of the rule that a problem names; -1, to come first, if it names none."""
    match = re.match(r"rule (\d+)", text)
    return int(match[1]) if match else -1


def _line(text: str, paths: list[str]) -> str:
    if not paths:
        return text
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"{text}: {', '.join(paths[:_SHOWN])}{more}"


def near(path: str, paths: Iterable[str]) -> str:
    """The end of an error message that suggests the most similar path."""
    matches = difflib.get_close_matches(path, list(paths)[:10_000], n=1, cutoff=0.4)
    return f"; did you mean {matches[0]!r}?" if matches else ""
