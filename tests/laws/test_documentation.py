"""The table has every public distribution, and each row is documented."""

from __future__ import annotations

import inspect
import re

import pytest
from cases import CASES, ELSEWHERE, RANDOM
from numpydoc.docscrape import NumpyDocString

import braininit as init

every = pytest.mark.parametrize("case", CASES, ids=str)


def test_every_public_distribution_has_a_row():
    public = {v for v in vars(init).values() if isinstance(v, type)}
    twins = {v for v in public if issubclass(v, init.Initialization)} - {init.Initialization}
    assert twins - ELSEWHERE == {case.cls for case in CASES}


def test_every_public_name_is_documented():
    for name, value in vars(init).items():
        if not name.startswith("_") and not inspect.ismodule(value) and callable(value):
            assert value.__doc__, name


@every
def test_function_and_class_are_defined_side_by_side(case):
    source = inspect.getsource(inspect.getmodule(case.cls))
    function = re.search(rf"^(def )?{case.function.__name__}\b", source, re.MULTILINE)
    gap = source.index(f"class {case.cls.__name__}(") - function.start()
    assert 0 < gap < 6000


SHARED = {"key", "shape", "dtype", "out_sharding", "context"}
"""Documented once, in `Initialization`."""


def listed(*docs):
    return {
        name.strip("* ")
        for doc in docs
        for parameter in NumpyDocString(doc)["Parameters"]
        for name in parameter.name.split(",")
    }


def consulted(function, seen=()):
    """Return docstrings of a function and of the package's functions that it names."""
    doc = inspect.getdoc(function)
    mentioned = (getattr(init, name, None) for name in re.findall(r"`(\w+)`", doc))
    others = [f for f in mentioned if inspect.isfunction(f) and f not in (function, *seen)]
    return [doc, *(d for f in others for d in consulted(f, (function, *seen)))]


@every
def test_the_documentation_is_complete(case):
    """It has a summary, every parameter and a density; examples run as tests."""
    own = inspect.signature(case.function).parameters.keys() - SHARED
    doc, *others = consulted(case.function)
    assert NumpyDocString(doc)["Summary"]
    assert listed(doc) <= own <= listed(doc, *others)
    assert case not in RANDOM or any(".. math::" in text for text in (doc, *others))
    assert f"the twin of `{case.function.__name__}`" in case.cls.__doc__
    assert not listed(inspect.getdoc(case.cls))


def test_shared_parameters_are_documented_once():
    assert listed(inspect.getdoc(init.Initialization)) >= SHARED
