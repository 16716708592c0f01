"""The package's layout: imports go down one list, files stay small, extras are optional."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "braininit"
MODULES = sorted(HOUSE.rglob("*.py"))
ORDER = [
    "_jax",
    "_params",
    "_engine",
    "_math",
    "initializer",
    "distributions",
    "composition",
    "layers",
    "spatial",
    "rows",
    "config",
    "param",
    "files",
    "caches",
    "typing",
    "theory",
    "display",
    "models",
    "circuits",
    "presets",
    "plot",
    "__init__",
    "__main__",
]
"""Folders and single modules of the package; each imports only from those before it."""


def room(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imported(path, at_once=False):
    """Yield the package's modules that a file imports; with `at_once` only at its top level."""
    tree = ast.parse(path.read_text())
    for node in tree.body if at_once else ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            place = ROOT / name.replace(".", "/")
            if name.split(".")[0] == "braininit" and name != "braininit":
                yield from (
                    p for p in (place.with_suffix(".py"), place / "__init__.py") if p.exists()
                )


def test_every_room_is_on_the_list():
    assert {room(path) for path in MODULES} == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_rooms_import_only_rooms_below(path):
    own = ORDER.index(room(path))
    for other in imported(path):
        assert ORDER.index(room(other)) <= own, f"{other.relative_to(HOUSE)} is above"


def test_no_import_cycles():
    imports = {path: set(imported(path, at_once=True)) - {path} for path in MODULES}
    while leaves := [path for path, needs in imports.items() if not needs & imports.keys()]:
        for path in leaves:
            del imports[path]
    assert not imports, sorted(str(p.relative_to(HOUSE)) for p in imports)


def test_parameters_and_the_engine_do_not_import_each_other():
    for importer, other in (("_params", "_engine"), ("_engine", "_params")):
        for path in (HOUSE / importer).rglob("*.py"):
            assert other not in {room(p) for p in imported(path)}, path


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 700


def test_only_the_runtime_dependencies_are_imported():
    code = (
        "import sys, braininit;"
        "parts = ['scipy.' + m for m in ('special', 'integrate', 'stats')];"  # imported lazily
        "print([m for m in (*parts, 'flax', 'equinox', 'haiku', 'torch') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
