"""The gallery's table, as objects."""

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
        How a test compares them: a name in `peers.COMPARED`.
    note
        What a reader should know, in reStructuredText.
    """

    there: str
    here: str
    how: str = "law"
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """One class.

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

    drawn: tuple[str, ...]
    here: str = ""
    same: Mapping[str, Same] = dataclasses.field(default_factory=dict)
    shape: tuple[int, ...] = (100_000,)
    first: str = ""
    size: tuple[int, ...] = ()
    example: str = ""


def _row(entry: dict[str, Any]) -> Row:
    listed = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    same = {}
    for peer, given in listed.pop("same", {}).items():
        given = given if isinstance(given, dict) else {"there": given}
        same[peer] = Same(**{"here": listed["here"]} | given)
    return Row(**listed, same=same)


TABLE: dict[str, Row] = {
    name: _row(entry)
    for name, entry in tomllib.loads((Path(__file__).with_name("gallery.toml")).read_text()).items()
}
