"""The README's code runs as printed, and its figures agree with the benchmarks' report."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import braininit as init

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FIRST, *OTHERS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_first_block():
    *lines, wrong = FIRST.strip().splitlines()
    names: dict = {}
    exec("\n".join(lines), names)
    assert names["w"].shape == (800,)
    assert str(names["delays"].unit) == "ms"
    error, message = re.search(r"# (\w+): (.*?) \.\.\.", wrong).groups()
    with pytest.raises(names["init"].UnitError, match=re.escape(message)) as caught:
        exec(wrong, names)
    assert type(caught.value).__name__ == error


@pytest.mark.parametrize("block", OTHERS, ids=lambda block: block.split()[1])
def test_every_other_block(block):
    names: dict = {}
    exec(FIRST.splitlines()[0] + "\nkey = jax.random.key(9)", names)
    exec(block, names)


def table(text: str, corner: str) -> list[dict[str, str]]:
    """Return the rows, by column, of the Markdown table whose header begins with `corner`."""
    lines = text[text.index(f"| {corner} |") :].split("\n\n")[0].splitlines()
    header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_speeds_are_the_measured_ones():
    report = (ROOT / "benchmarks" / "results" / "cpu.md").read_text()
    measured = {row["ns a number"]: row for row in table(report, "ns a number")}
    for row in table(README, "ns a number"):
        assert row.items() <= measured[row["ns a number"]].items()


def test_tables_name_existing_functions():
    for corner in ("function", "scaled, matrices; each has a class"):
        for row in table(README, corner):
            assert [n for n in re.findall(r"`(\w+)`", row[corner]) if not hasattr(init, n)] == []


def test_parameters_are_those_of_the_classes():
    def shown(parameter):
        default = "" if parameter.default is parameter.empty else f"={parameter.default}"
        return parameter.name + default.removesuffix(".0")

    for row in table(README, "function"):
        for name in re.findall(r"\w+", row["class"]):
            parameters = inspect.signature(getattr(init, name)).parameters.values()
            assert f"`{', '.join(map(shown, parameters))}`" == row["parameters"]
