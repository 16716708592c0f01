"""The site's pages: their code runs, and every public name has one."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from _site.gallery import TABLE, entry, names
from _site.links import broken
from _site.peers import PEERS
from _site.reference import groups, in_order

import braininit as init

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "notebooks").rglob("*.md"))
CODE = re.compile(r"^```(python|pycon)\n(.*?)^```", re.S | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page):
    """All blocks of a page in one namespace: programs as they are, sessions as printed."""
    known: dict = {}
    for kind, code in CODE.findall(page.read_text()):
        if kind == "python":
            exec(compile(code, page.name, "exec"), known)
            continue
        session = doctest.DocTestParser().get_doctest(code, known, page.name, str(page), 0)
        found = doctest.DocTestRunner(verbose=False).run(session, clear_globs=False)
        assert found.failed == 0
        known.update(session.globs)


def test_every_public_name_is_in_the_reference():
    described = {name for group in groups() for name in in_order(group.names)}
    assert described == set(init.__all__)


def test_everything_that_is_drawn_has_a_page_of_the_gallery():
    drawn = {
        name
        for name in init.__all__
        if isinstance(thing := getattr(init, name), type)
        and issubclass(thing, (init.Initialization, init.DistanceProfile))
    }
    assert drawn - set(names()) == {"Initialization", "DistanceProfile", "Parts"}
    assert set(TABLE) <= set(names()), "a row of the table about nothing"


@pytest.mark.parametrize("name", names())
def test_rows_of_the_gallery_evaluate(name):
    it = entry(name)
    assert 1 <= len(it.drawn) <= 4
    assert type(next(iter(it.drawn.values()))).__name__ == name  # others may be made of it
    assert set(it.row.same) <= set(PEERS)


def test_a_class_without_a_row_is_drawn_as_the_tests_do(monkeypatch):
    monkeypatch.delitem(TABLE, "Gamma")
    assert "Gamma(shape=2.0, scale=0.25)" in entry("Gamma").drawn
    monkeypatch.delitem(TABLE, "GaussianProfile")
    with pytest.raises(LookupError, match="GaussianProfile has no row"):
        entry("GaussianProfile")


def test_broken_links_are_found(tmp_path):
    (tmp_path / "here.html").write_text(
        '<h1 id="top">a</h1><a href="there.html#in">b</a><a href="#top">c</a><img src="no.png">'
        '<a href="there.html#out">d</a><a href="https://jax.dev">e</a>'
    )
    (tmp_path / "there.html").write_text(
        '<p id="in">f</p><a href="here.html#gone">g</a><script src="https://cdn.net/x.js"></script>'
    )
    assert [(path.name, address) for path, address in broken(tmp_path)] == [
        ("here.html", "no.png"),
        ("here.html", "there.html#out"),
        ("there.html", "here.html#gone"),
        ("there.html", "https://cdn.net/x.js"),
    ]
