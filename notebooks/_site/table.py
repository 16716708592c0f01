"""The tables of the gallery and of the connection rules, as objects."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Same:
    """The same elsewhere.

    Attributes
    ----------
    there
        The peer's expression, which is shown and, in tests, evaluated.
    here
        Ours; the row's own, where a row of the table gives none.
    how
        How a test compares them: a name in `peers.COMPARED`; else what the row says.
    note
        What a reader should know, in reStructuredText.
    """

    there: str
    here: str
    how: str = "law"
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """One class, or one way of connecting.

    Attributes
    ----------
    drawn
        Four of its objects, for the pictures and the tables of moments and tails.
    here
        The object that the peers' expressions are the same as.
    same
        By peer, what is the same.
    shape
        Of the draws that are compared.
    first
        Statements that the peers' expressions build on.
    size
        Of the draws in the picture, where it matters.
    example
        What is run under "Units", where it is not a few draws of the first object with a unit.
    """

    drawn: tuple[str, ...] = ()
    here: str = ""
    same: Mapping[str, Same] = dataclasses.field(default_factory=dict)
    shape: tuple[int, ...] = (100_000,)
    first: str = ""
    size: tuple[int, ...] = ()
    example: str = ""


def _row(entry: dict[str, Any], how: str) -> Row:
    listed = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    how = listed.pop("how", how)
    same = {}
    for peer, given in listed.pop("same", {}).items():
        given = given if isinstance(given, dict) else {"there": given}
        same[peer] = Same(**{"here": listed["here"], "how": how} | given)
    return Row(**listed, same=same)


def _table(name: str, how: str) -> dict[str, Row]:
    entries = tomllib.loads(Path(__file__).with_name(name).read_text())
    return {name: _row(entry, how) for name, entry in entries.items()}


TABLE = _table("gallery.toml", "law")
RULES = _table("rules.toml", "edges")
