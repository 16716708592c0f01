"""The picture of the rooms in CONTRIBUTING.md, as boxes where the page has a drawing in letters."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx

FLOOR = "──"


def boxes(drawing: str) -> str:
    """Each line a row of rooms, a name and what it is for; a rule between the floors."""
    rows = [
        '<hr class="floor">' if line.startswith(FLOOR) else f"<div>{''.join(_row(line))}</div>"
        for line in drawing.splitlines()
        if line.strip()
    ]
    return f'<div class="rooms">{"".join(rows)}</div>'


def _row(line: str) -> Iterator[str]:
    parts = re.split(r" {2,}", line.strip())
    for names, use in zip(parts[::2], [*parts[1::2], ""], strict=False):
        called = " ".join(f"<code>{html.escape(name)}</code>" for name in names.split())
        use = re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(use))
        yield f"<p>{called} {use}</p>"


def _draw(app: Sphinx, tree: nodes.document) -> None:
    if app.env.docname == "contributing":
        for block in list(tree.findall(nodes.literal_block)):
            if FLOOR in block.astext():
                block.replace_self(nodes.raw("", boxes(block.astext()), format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", _draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
