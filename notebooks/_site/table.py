"""The tables of the gallery and of the connection rules, as objects."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Same:
    """An equivalent in another package.

    Attributes
    ----------
    there
        The peer's expression, which is shown and, in tests, evaluated.
    here
        Our expression; by default the row's.
    how
        The comparison that a test makes, a name in `peers.COMPARED`; by default the row's.
    note
        A note for the reader, in reStructuredText.
    """

    there: str
    here: str
    how: str = "law"
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """One class, or one connection rule.

    Attributes
    ----------
    drawn
        Four objects of the class, for the pictures and the tables of moments and tails.
    here
        The expression that the peers' expressions are equivalent to.
    same
        The equivalents, by peer.
    shape
        The shape of the draws that are compared.
    first
        Statements that define names in the peers' expressions.
    size
        The shape of the draws in the pictures, where it matters.
    example
        The example under "Units"; by default a few draws of the first object with a unit.
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
    for peer, value in listed.pop("same", {}).items():
        value = value if isinstance(value, dict) else {"there": value}
        same[peer] = Same(**{"here": listed["here"], "how": how} | value)
    return Row(**listed, same=same)


def _table(name: str, how: str) -> dict[str, Row]:
    entries = tomllib.loads(Path(__file__).with_name(name).read_text())
    return {name: _row(entry, how) for name, entry in entries.items()}


TABLE = _table("gallery.toml", "law")
RULES = _table("rules.toml", "edges")
