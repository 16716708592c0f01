"""Other projects' inventories as text, so that a build fetches nothing.

``_inventories/*.txt`` list the objects that this site refers to, one per line, in the format of
``sphobjinv convert plain``; the first line is the project's address. A reference to one of these
projects that no line resolves is a warning, which ``-W`` makes an error.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zlib
from pathlib import Path

HEADER = """# Sphinx inventory version 2
# Project: {}
# Version:
# The remainder of this file is compressed using zlib.
"""


def mapping(folder: Path) -> dict[str, tuple[str, str]]:
    """Write each inventory in Sphinx's format; return the addresses and files."""
    temporary = Path(tempfile.mkdtemp(prefix="braininit-inventories-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    inventories = {}
    for text in sorted(folder.glob("*.txt")):
        address, *objects = text.read_text().splitlines()
        file = temporary / f"{text.stem}.inv"
        body = zlib.compress("".join(f"{line}\n" for line in objects).encode())
        file.write_bytes(HEADER.format(text.stem).encode() + body)
        inventories[text.stem] = (address, str(file))
    return inventories
