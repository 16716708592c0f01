"""What is run as a program of its own is not looked through for doctests; reused keys are errors."""

import jax
import pytest

collect_ignore = ["one_of_several.py"]


@pytest.fixture(autouse=True)
def _each_key_once():
    with jax.debug_key_reuse(True):
        yield
