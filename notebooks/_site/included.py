"""Adapt files of the repository that pages include: links to pages, and the rooms as boxes."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

PAGES = {"README": "index", "CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}
FLOOR = "──"


def _link(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
    """Turn links between files at the root into links between pages."""
    for file, page in PAGES.items():
        content[0] = content[0].replace(f"]({file}.md)", f"]({page}.md)")


def boxes(drawing: str) -> str:
    """Draw text as boxes: a line holds rooms, each a name and a description, or is a floor."""
    rows = [
        '<hr class="floor">' if line.startswith(FLOOR) else f"<div>{''.join(_row(line))}</div>"
        for line in drawing.splitlines()
        if line.strip()
    ]
    return f'<div class="rooms">{"".join(rows)}</div>'


def _row(line: str) -> Iterator[str]:
    parts = re.split(r" {2,}", line.strip())
    for names, use in zip(parts[::2], [*parts[1::2], ""], strict=False):
        code = " ".join(f"<code>{html.escape(name)}</code>" for name in names.split())
        use = re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(use))
        yield f"<p>{code} {use}</p>"


def _draw(app: Sphinx, tree: nodes.document) -> None:
    if app.env.docname == "contributing":
        for block in list(tree.findall(nodes.literal_block)):
            if FLOOR in block.astext():
                block.replace_self(nodes.raw("", boxes(block.astext()), format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("include-read", _link)
    app.connect("doctree-read", _draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
