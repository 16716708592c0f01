"""Formulas as MathML, which browsers show without an external script."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

WORD = re.compile(r"(\\\w+\{[a-zA-Z]+\}|\\\w+)|[a-zA-Z]{3,}(?:\\_[a-z]+)*")


def worded(formula: str) -> str:
    """Set words upright in a formula: `scale` is a name, not a product of five letters."""
    return WORD.sub(lambda m: m[1] or r"\text{" + m[0].replace(r"\_", "_") + "}", formula)


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(convert(worded(node.astext())))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.math_block) -> None:
    formula = convert(worded(node.astext()), display="block")
    self.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
