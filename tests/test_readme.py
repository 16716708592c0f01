"""The README's code runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks():
    return re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_first_blocks(monkeypatch):
    *lines, wrong = blocks()[0].strip().splitlines()
    names: dict = {}
    exec("\n".join(lines), names)
    assert names["w"].shape == (800,)
    assert str(names["delays"].unit) == "ms"
    error, said = re.search(r"# (\w+): (.*?) \.\.\.", wrong).groups()
    with pytest.raises(names["init"].UnitError, match=re.escape(said)) as caught:
        exec(wrong, names)
    assert type(caught.value).__name__ == error


@pytest.mark.parametrize("i", range(1, len(blocks())))
def test_every_other_block(i):
    names: dict = {}
    exec(blocks()[0].splitlines()[0] + "\nkey = jax.random.key(9)", names)
    exec(blocks()[i], names)
