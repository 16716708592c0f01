"""The gallery: a page and a thumbnail for each initializer and profile, made at build.

The objects to draw and the expressions of other packages come from `gallery.toml`, moments and
tails from `braininit.theory`, text from the docstrings.
"""

from __future__ import annotations

import ast
import concurrent.futures
import dataclasses
import functools
import inspect
import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import jax
import numpy as np
from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx

import braininit as init
from _site import figures, measures
from _site.peers import COMPARED, PEERS, evaluated
from _site.reference import groups, in_order, write
from _site.table import RULES, TABLE, Row, Same
from braininit._params.values import field_kinds

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One class: its group in the index, its row of the table, and the objects to draw."""

    name: str
    group: str
    row: Row
    drawn: dict[str, Any]

    @property
    def cls(self) -> Any:
        return getattr(init, self.name)

    @property
    def is_profile(self) -> bool:
        return issubclass(self.cls, init.DistanceProfile)

    @property
    def is_matrix(self) -> bool:
        return self.group in ("matrices", "circuits") or self.cls is init.DistanceModulated

    @property
    def documented(self) -> Any:
        """The object with the docstring: the function, where there is one."""
        return getattr(self.cls, "_function", None) or self.cls

    @functools.cached_property
    def values(self) -> list[Any]:
        """The draws for the pictures and the measured tables."""
        if self.is_profile:
            return []
        size: Any = self.row.size or 20_000
        keys = jax.random.split(jax.random.key(7), len(self.drawn))
        return [
            figures.between_neurons(obj, key)
            if isinstance(obj, init.DistanceModulated)
            else obj(key, size)
            for key, obj in zip(keys, self.drawn.values(), strict=True)
        ]


# ---------------------------------------------------------------- entries


def names() -> dict[str, str]:
    """All public classes of the gallery, in the order of the index, with their groups."""
    bases = {init.Initialization, init.DistanceProfile, init.Parts}  # Parts goes with a kernel
    group_of: dict[str, str] = {}
    for group in groups():
        for name in in_order(group.names):
            thing = getattr(init, name)
            if isinstance(thing, type) and issubclass(thing, tuple(bases)) and thing not in bases:
                group_of.setdefault(name, group.title)
    return group_of


def entry(name: str) -> Entry:
    """A class with its row of the table, or a row from its case in `tests/cases.py`."""
    row = TABLE.get(name) or _from_cases(name)
    drawn = {text.replace("init.", ""): evaluated(text) for text in row.drawn}
    return Entry(name, names()[name], row, drawn)


def _from_cases(name: str) -> Row:
    sys.path.append(str(ROOT / "tests"))
    from cases import CASES  # pyright: ignore[reportMissingImports]

    case = next((case for case in CASES if str(case) == name), None)
    if case is None:
        raise LookupError(f"{name} has no row in gallery.toml, and none in tests/cases.py")
    objects = [case.make(), *(case.make(**corner) for corner in case.corners[:3])]
    return Row(drawn=tuple(f"init.{obj!r}" for obj in objects))


# ---------------------------------------------------------------- pages


def page(item: Entry) -> str:
    """One page, in reStructuredText."""
    doc = NumpyDocString(inspect.getdoc(item.documented) or "")
    parts = [
        f"{item.name}\n{'=' * len(item.name)}\n\n.. currentmodule:: braininit\n",
        "\n".join([*doc["Summary"], "", *doc["Extended Summary"], ""]),
        _links(item),
        _pictures(item),
        *_tables(item),
        _headed("Units", _units(item)),
        _headed("Numerics", _numerics(item, doc["Notes"])),
        _headed("The same in", _elsewhere(item)) if item.row.same else "",
    ]
    return "\n".join(part for part in parts if part)


def _headed(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n\n{text}\n"


def _links(item: Entry) -> str:
    described = f":class:`{item.name}`"
    if item.documented is not item.cls:
        described = f":func:`{item.documented.__name__}` and its twin {described}"
    return f"Parameters and examples: {described}.\n"


def _pictures(item: Entry) -> str:
    """The panels with their code, side by side where there is room."""
    captions = list(item.drawn)
    if item.is_profile:
        captions = ["all four, which the table below names", f"in a plane: {captions[0]}"]
    lines = [".. grid:: 1 1 2 2\n   :gutter: 2\n"]
    for letter, text in zip(figures.LETTERS, captions, strict=False):
        code = f"{letter} ``{text}``" if not item.is_profile else text
        lines.append(
            f"   .. grid-item::\n\n      .. figure:: {item.name}-{letter}.png\n"
            f"         :alt: {text}\n\n         {code}\n"
        )
    return "\n".join(lines)


def _tables(item: Entry) -> Iterator[str]:
    objects = list(item.drawn.values())
    if item.is_profile:
        yield _headed("Values", _table(item, measures.over_distance(objects)))
    elif item.is_matrix:
        yield _headed("Measured", _table(item, measures.of_matrices(item.values)))
    else:
        size = item.row.size or None
        yield _headed("Moments", _table(item, measures.moments(objects, size, item.values)))
        yield _headed("Tails", _table(item, measures.tails(objects, size, item.values)))


def _table(item: Entry, table: measures.Table) -> str:
    kind = "numbers named" if item.is_profile else "numbers"
    lines = [f"{table.words}\n\n.. list-table::\n   :header-rows: 1\n   :class: {kind}\n"]
    letters = zip(figures.LETTERS, item.drawn, strict=False)  # the pictures show the code
    named = [f"{letter} ``{text}``" if item.is_profile else letter for letter, text in letters]
    for first, cells in zip(["", *named], (table.head, *table.rows), strict=True):
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in cells)]
    return "\n".join(lines) + "\n"


def _units(item: Entry) -> str:
    """The parameters with a unit, from the fields of the class, and an example that is run here."""
    by_kind = {
        kind: [f"`{n}`" for n, k in field_kinds(item.cls).items() if k == kind] for kind in _KINDS
    }
    shared, parts = by_kind["shared"], by_kind["child"] + by_kind["children"]
    text = []
    if item.is_profile:
        if shared:
            text.append(f"{_listed(shared)}: in any unit of the distances' dimension.")
        if by_kind["reciprocal"]:
            text.append(f"{_listed(by_kind['reciprocal'])}: per length; a bare number is per unit "
                        "of the profile's lengths.")  # fmt: skip
        text.append("The profile's values are plain numbers.")
    elif item.group == "layers":
        text.append("`scale` has the squared unit of the draws, or `unit` gives them a unit.")
    elif shared:
        first = ", of the first if they differ" if len(shared) > 1 else ""
        text.append(f"Draws have the unit of {_listed(shared)}{first}; a bare 0 or infinity fits "
                    "every unit.")  # fmt: skip
    if parts and not shared:
        text.append("The unit of the draws follows from the parts and the operation.")
    if by_kind["unit"] and not shared:
        text.append("`unit` is the unit of the draws.")
    if by_kind["number"] and not item.is_profile:
        type_ = "a number, an array or a Quantity" if item.name == "Constant" else "without a unit"
        text.append(f"{_listed(by_kind['number'])}: {type_}.")
    return " ".join(text) + "\n\n" + _example(item)


_KINDS = ("shared", "number", "reciprocal", "child", "children", "unit")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _example(item: Entry) -> str:
    """The row's example; else a few draws of the first object with a unit."""
    text = item.row.example
    if not text:
        text = next((t for t in item.row.drawn if "u." in t), item.row.drawn[0])
        if not isinstance(ast.parse(text, mode="eval").body, ast.Call):
            text = f"({text})"
        text += "([0, 50, 200] * u.um)" if item.is_profile else "(3, rng=0)"
    return f">>> import brainunit as u, braininit as init\n>>> {text}\n{_shown(text)}\n"


def _shown(text: str) -> str:
    with np.printoptions(precision=4, suppress=True), jax.numpy_rank_promotion("allow"):
        value = evaluated(text)
        bare, unit = measures.parted(value)
        array = np.array2string(np.asarray(bare), separator=", ", precision=4)
    return f'Quantity({array}, "{unit}")' if unit else f"Array({array})"


def _numerics(item: Entry, notes: list[str]) -> str:
    if not notes and item.group == "layers":
        notes = NumpyDocString(inspect.getdoc(init.variance_scaling) or "")["Notes"]
    before, _, text = "\n".join(notes).strip().rpartition("Numerics: ")
    if text.split(" ")[0] not in field_kinds(item.cls):
        text = text[:1].upper() + text[1:]
    text = before + text
    general = (
        "A profile is computed in the dtype of the distances."
        if item.is_profile
        else "Dtypes of 16 and 8 bits are drawn in float32 and rounded once. The same key gives the"
        " same numbers in a `jax.jit`, up to the last bit, and on any number of devices."
    )
    return (
        f"{text}\n\n{general} See :doc:`/numerics`." if text else f"{general} See :doc:`/numerics`."
    )


def _elsewhere(item: Entry) -> str:
    row, call = item.row, "" if item.is_profile else "(key, shape)"
    lines = [f"Equivalents of ``{row.here}{call}``:\n"]
    if row.first:
        lines.append(f".. code-block:: python\n\n{indent(row.first.strip(), '   ')}\n")
    lines += [_same(row, TABLE), ":doc:`/migrating` says what the names in these expressions are."]
    return "\n".join(lines)


def _same(row: Row, table: Mapping[str, Row]) -> str:
    """The equivalents in each peer of a row; then the peers without one."""
    lines = [".. list-table::\n   :widths: auto\n   :class: same\n"]
    shown = {peer: row.same[peer] for peer in PEERS if peer in row.same}
    lines += [
        f"   * - {peer}\n     - | ``{same.there}``\n       | {_comparison(same, row.here)}"
        for peer, same in shown.items()
    ]
    known = {peer for other in table.values() for peer in other.same}
    if missing := [peer for peer in PEERS if peer in known - set(shown)]:
        lines.append(f"\nNot in {', '.join(missing)}.")
    return "\n".join(lines) + "\n"


def _comparison(same: Same, here: str) -> str:
    words = [COMPARED[same.how][1]]
    if same.here != here:
        words.append(f"as ``{same.here}``")
    if same.note:
        words.append(f"({same.note})")
    return " ".join(words)


def of_peer(peer: str, table: Mapping[str, Row]) -> str:
    """All equivalents in one peer, for the page about migrating from item."""
    lines = [".. list-table::\n   :widths: auto\n   :class: same\n"]
    for name, row in table.items():
        if (same := row.same.get(peer)) is not None:
            lines.append(f"   * - {f':doc:`{name} </gallery/{name}>`' if row.drawn else name}")
            lines.append(f"     - | there: ``{same.there}``\n       | here: ``{same.here}``")
            also = ", with names from that page" if row.first and row.drawn else ""
            lines.append(f"       | {_comparison(same, same.here)}{also}")
    return "\n".join(lines) + "\n"


def rules() -> str:
    """All connection rules, for the page about them."""
    return "\n".join(
        f".. rubric:: {name}\n\nHere: ``{row.first or row.here}``\n\n{_same(row, RULES)}"
        for name, row in RULES.items()
    )


def versions() -> str:
    """The names that each peer's expressions need, and the version they were run with."""
    lines = [".. list-table::\n   :header-rows: 1\n\n   * - peer\n     - version\n     - names"]
    for name, peer in PEERS.items():
        names = "\n       | ".join(f"``{line}``" for line in peer.names.splitlines())
        lines.append(f"   * - {name}\n     - {peer.ran}\n     - | {names}")
    return "\n".join(lines) + "\n"


def index(group_of: dict[str, str]) -> str:
    """The page of thumbnails."""
    lines = [_INDEX]
    for group in dict.fromkeys(group_of.values()):
        title = group.capitalize()
        lines.append(f"{title}\n{'-' * len(title)}\n\n.. grid:: 2 3 4 4\n   :gutter: 2\n")
        for name in (n for n, g in group_of.items() if g == group):
            lines.append(
                f"   .. grid-item-card:: {name}\n      :link: {name}\n      :link-type: doc\n"
                f"      :img-top: {name}-small.png\n      :class-item: thumbnail\n"
            )
    lines.append(".. toctree::\n   :hidden:\n")
    lines += [f"   {name}" for name in group_of]
    return "\n".join(lines) + "\n"


_INDEX = """Gallery
=======

Each picture links to a page: four parameter sets drawn beside their theory, moments and tails,
units, numerics, and the equivalents in SciPy, JAX, PyTorch, Keras, BrainTools, NEST, Brian2 and
PyNN. Draws are blue, theory is orange.

"""


# ---------------------------------------------------------------- the build


def make(name: str, folder: Path, newest: float) -> tuple[str, str]:
    """Make one page, and redraw its pictures if anything they depend on has changed."""
    item = entry(name)
    small = folder / f"{name}-small.png"
    if not small.exists() or small.stat().st_mtime < newest:
        figures.panels(item, lambda letter: folder / f"{name}-{letter}.png")
        figures.small(item, small)
    return f"{name}.rst", page(item)


def _write_gallery(app: Sphinx) -> None:
    folder = app.srcdir / "gallery"
    folder.mkdir(exist_ok=True)
    sources = [*(ROOT / "braininit").rglob("*.py"), *Path(__file__).parent.iterdir()]
    newest = max(path.stat().st_mtime for path in sources if path.is_file())
    group_of = names()
    context = multiprocessing.get_context("spawn")  # JAX has threads, which don't survive a fork
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        jobs = [pool.submit(make, name, folder, newest) for name in group_of]
        pages = dict(job.result() for job in jobs)
    pictures = [f"{name}-{end}.png" for name in group_of for end in (*figures.LETTERS, "small")]
    peers = {f"{peer}.txt": of_peer(peer, TABLE) for peer in PEERS}  # included by other pages
    peers |= {f"{peer}-rules.txt": of_peer(peer, RULES) for peer in PEERS}
    peers |= {"versions.txt": versions(), "rules.txt": rules()}
    write(folder, {"index.rst": index(group_of)} | peers | pages, keep=pictures)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _write_gallery)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
