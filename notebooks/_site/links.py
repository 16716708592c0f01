"""Check after a build that links inside the site resolve and no page loads from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

LOADED = {"script", "img", "link", "iframe", "source"}


class Page(HTMLParser):
    """The anchors of a page, and its references: (tag, address)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.references: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        self.references += [(tag, values[name]) for name in ("href", "src") if name in values]


def broken(site: Path) -> Iterator[tuple[Path, str]]:
    """Yield each page with a broken address, and the address."""
    files = (path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts)
    pages = {path: Page(path.read_text()) for path in files}
    for path, page in pages.items():
        for tag, address in dict.fromkeys(page.references):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if tag in LOADED and parts.scheme != "data":
                    yield path, address
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else ()
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in anchors):
                yield path, address


def _warn(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        for path, address in broken(Path(app.outdir)):
            name = path.relative_to(app.outdir)
            logging.getLogger(__name__).warning("%s: %s leads nowhere", name, address)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", _warn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
