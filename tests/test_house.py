"""The house keeps its order: imports go down one list, rooms stay small, extras stay optional."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "braininit").glob("*.py"))
LISTED = re.search(r"go down one list: `(.*?)`", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
ORDER = LISTED.group(1).split() if LISTED else []


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            if node.module == "braininit":
                yield from ((node, f"braininit.{a.name}") for a in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node, a.name) for a in node.names)


@pytest.mark.parametrize("path", [p for p in MODULES if p.stem != "__init__"], ids=lambda p: p.stem)
def test_imports_go_down_the_list(path):
    above = ORDER[: ORDER.index(path.stem)]
    for _, module in imported(path):
        name = module.removeprefix("braininit.")
        if module.startswith("braininit.") and name in ORDER:
            assert name in above


def test_every_module_is_on_the_list():
    assert sorted(ORDER) == sorted(p.stem for p in MODULES if p.stem != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_rooms_stay_small(path):
    assert len(path.read_text().splitlines()) <= 700


def test_only_the_runtime_dependencies_are_imported():
    code = (
        "import sys, braininit;"
        "parts = ['scipy.' + m for m in ('special', 'integrate', 'stats')];"  # when first needed
        "print([m for m in (*parts, 'flax', 'equinox', 'haiku', 'torch') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
