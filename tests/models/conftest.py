"""Reused keys are errors here in every pass; a program of its own has no doctests."""

import jax
import pytest

collect_ignore = ["one_of_several.py"]


@pytest.fixture(autouse=True)
def _each_key_once():
    with jax.debug_key_reuse(True):
        yield
