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
    """One row of the index: its title, and the names in it."""

    title: str
    names: tuple[str, ...]

    @property
    def page(self) -> str:
        return self.title.replace(" ", "-")


def groups() -> list[Group]:
    """The rows of the index in the package's docstring."""
    _, table, _ = re.split(r"^=+  =+$", inspect.cleandoc(init.__doc__ or ""), flags=re.M)
    rows = re.findall(r"^(\w.{12})(.*(?:\n {14}.*)*)", table, re.M)
    return [
        Group(title.strip(), tuple(dict.fromkeys(re.findall(r"`(\w+)`", text))))
        for title, text in rows
    ]


def in_order(names: tuple[str, ...]) -> Iterator[str]:
    """Yield each name, and after a function its twin, even if the index does not name it."""
    twins = {name: _twin(name) for name in names}
    for name in names:
        if name not in twins.values():
            yield name
            if (twin := twins[name]) is not None:
                yield twin


def _twin(name: str) -> str | None:
    """The class of a function: its `twin`, or for a connection rule the class of the same name."""
    twin = getattr(getattr(init, name), "twin", None)
    camel_case = "".join(part.capitalize() for part in name.split("_"))
    class_name = camel_case if twin is None else twin.__name__
    return class_name if class_name in init.__all__ and class_name != name else None


def _entry(name: str, module: types.ModuleType = init) -> str:
    thing: Any = getattr(module, name)
    if isinstance(thing, types.ModuleType):
        title = f"{name}\n{'-' * len(name)}\n\n"
        if thing is init.presets:  # whose rules are defined in another module
            circuits = "".join(f".. autofunction:: {thing.__name__}.{n}\n" for n in _CIRCUITS)
            rules = ".. automodule:: braininit.models.presets\n   :members:\n"
            return f"{title}.. automodule:: {thing.__name__}\n\n{circuits}\n{rules}"
        if thing is not init.typing:
            return f"{title}.. automodule:: {thing.__name__}\n   :members:\n"
        documented = [n for n in thing.__all__ if n not in init.__all__ and _variable_doc(n)]
        entries = "\n".join(_entry(n, thing) for n in documented)
        return f"{title}.. automodule:: {thing.__name__}\n\n{entries}"
    if isinstance(thing, type):
        bases = (init.Initialization, init.DistanceProfile, init.ConnectionRule)
        concrete = issubclass(thing, bases) and thing not in bases
        return f".. autoclass:: {name}\n" + ("" if concrete else "   :members:\n")
    if inspect.isfunction(thing):
        return f".. autofunction:: {name}\n"
    # By hand: autodoc would add the definition of a type, half a page of unions.
    doc = indent(_variable_doc(name), "   ")
    return f".. py:data:: {name}\n   :module: {module.__name__}\n\n{doc}\n"


_CIRCUITS = [n for n in init.presets.__all__ if n not in models.__all__]


def _variable_doc(name: str) -> str:
    """The docstring below a variable in the source."""
    for module in [m for m in sys.modules if m.startswith("braininit.")]:
        lines = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
        if lines:
            return "\n".join(lines)
    return ""


def pages() -> dict[str, str]:
    """The pages, each with a table of its names; a name is described on its first page."""
    files, described = {}, set()
    for group in groups():
        title, names = group.title.capitalize(), list(in_order(group.names))
        things = [n for n in names if not isinstance(getattr(init, n), types.ModuleType)]
        table = "".join(f"   {name}\n" for name in things)
        table = table and f".. autosummary::\n   :nosignatures:\n\n{table}"
        entries = [_entry(name) for name in names if name not in described]
        head = f"{title}\n{'=' * len(title)}\n\n.. currentmodule:: braininit\n"
        files[f"{group.page}.rst"] = "\n".join([head, table, *entries])
        described.update(names)
    files["index.rst"] = _INDEX + "".join(f"   {Path(page).stem}\n" for page in files)
    return files


_INDEX = """Reference
=========

.. automodule:: braininit

.. toctree::
   :hidden:

"""


def write(folder: Path, files: dict[str, str], keep: Collection[str] = ()) -> None:
    """Write the pages that have changed; remove all other files except those in `keep`."""
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
