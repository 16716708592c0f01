"""The reference: a page for each row of the index in `help(braininit)`, from the docstrings."""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Collection, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import braininit as init
import braininit.models.presets as models


class Group(NamedTuple):
    """One row of the index: its title, the names in it, and its words without their markup."""

    title: str
    names: tuple[str, ...]

    @property
    def page(self) -> str:
        return self.title.replace(" ", "-")


def groups() -> list[Group]:
    """The rows of the index, which stands in the package's docstring."""
    _, table, _ = re.split(r"^=+  =+$", inspect.cleandoc(init.__doc__ or ""), flags=re.M)
    rows = re.findall(r"^(\w.{12})(.*(?:\n {14}.*)*)", table, re.M)
    return [
        Group(title.strip(), tuple(dict.fromkeys(re.findall(r"`(\w+)`", text))))
        for title, text in rows
    ]


def in_order(names: tuple[str, ...]) -> Iterator[str]:
    """Each function followed by its twin, named or not; then the rest."""
    twins = {name: _twin(name) for name in names}
    for name in names:
        if name not in twins.values():
            yield name
            if (twin := twins[name]) is not None:
                yield twin


def _twin(name: str) -> str | None:
    """The class of a function: a rule of connections is no initializer, and has it by name."""
    twin = getattr(getattr(init, name), "twin", None)
    called = (
        "".join(part.capitalize() for part in name.split("_")) if twin is None else twin.__name__
    )
    return called if called in init.__all__ and called != name else None


def _entry(name: str, module: types.ModuleType = init) -> str:
    thing: Any = getattr(module, name)
    if isinstance(thing, types.ModuleType):
        title = f"{name}\n{'-' * len(name)}\n\n"
        if thing is init.presets:  # rules stand in a room of their own
            circuits = "".join(f".. autofunction:: {thing.__name__}.{n}\n" for n in _CIRCUITS)
            rules = ".. automodule:: braininit.models.presets\n   :members:\n"
            return f"{title}.. automodule:: {thing.__name__}\n\n{circuits}\n{rules}"
        if thing is not init.typing:
            return f"{title}.. automodule:: {thing.__name__}\n   :members:\n"
        known = [n for n in thing.__all__ if n not in init.__all__ and _said(n)]
        entries = "\n".join(_entry(n, thing) for n in known)
        return f"{title}.. automodule:: {thing.__name__}\n\n{entries}"
    if isinstance(thing, type):
        bases = (init.Initialization, init.DistanceProfile, init.ConnectionRule)
        drawn = issubclass(thing, bases) and thing not in bases
        return f".. autoclass:: {name}\n" + ("" if drawn else "   :members:\n")
    if inspect.isfunction(thing):
        return f".. autofunction:: {name}\n"
    # By hand: autodoc would add what a type stands for, half a page of unions.
    return f".. py:data:: {name}\n   :module: {module.__name__}\n\n{indent(_said(name), '   ')}\n"


_CIRCUITS = [n for n in init.presets.__all__ if n not in models.__all__]


def _said(name: str) -> str:
    """What the source says of a variable, below it."""
    for module in [m for m in sys.modules if m.startswith("braininit.")]:
        found = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
        if found:
            return "\n".join(found)
    return ""


def pages() -> dict[str, str]:
    """The pages, each with a table of its names; a name is described on the first that has it."""
    made, described = {}, set()
    for group in groups():
        title, names = group.title.capitalize(), list(in_order(group.names))
        things = [n for n in names if not isinstance(getattr(init, n), types.ModuleType)]
        table = "".join(f"   {name}\n" for name in things)
        table = table and f".. autosummary::\n   :nosignatures:\n\n{table}"
        entries = [_entry(name) for name in names if name not in described]
        head = f"{title}\n{'=' * len(title)}\n\n.. currentmodule:: braininit\n"
        made[f"{group.page}.rst"] = "\n".join([head, table, *entries])
        described.update(names)
    listed = "".join(f"   {Path(page).stem}\n" for page in made)
    made["index.rst"] = _INDEX + listed
    return made


_INDEX = """Reference
=========

.. automodule:: braininit

.. toctree::
   :hidden:

"""


def write(folder: Path, files: dict[str, str], keep: Collection[str] = ()) -> None:
    """Write pages, but touch none that has not changed; remove all others but what is to stay."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in folder.iterdir():
        if path.name not in files and path.name not in keep:
            path.unlink()


def _write_pages(app: Sphinx) -> None:
    write(app.srcdir / "api", pages())


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
