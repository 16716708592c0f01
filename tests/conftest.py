"""A strict session: reused keys, implicit rank promotion and warnings are errors."""

import os

os.environ.setdefault("MPLBACKEND", "agg")

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Only now, as a session's devices are counted at the first array.
from cases import Case  # noqa: E402

import braininit as init  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--initializer", metavar="NAME", help="run the laws of one row of tests/cases.py alone"
    )
    parser.addoption(
        "--pin", action="store_true", help="write the values of draws that laws/test_values.py pins"
    )


def pytest_collection_modifyitems(config, items):
    if not (name := config.getoption("initializer")):
        return
    rows = [i for i in items if name in _row(i)]
    if not rows:
        named = sorted({_row(i)[0] for i in items if _row(i)})
        raise pytest.UsageError(f"no row {name!r} in tests/cases.py; there are {', '.join(named)}")
    config.hook.pytest_deselected(items=[i for i in items if name not in _row(i)])
    items[:] = rows


def _row(item):
    """The names of the twins whose row of the table a test is about; none of most tests."""
    case = getattr(item, "callspec", None) and item.callspec.params.get("case")
    return (str(case), case.function.__name__) if isinstance(case, Case) else ()


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def key():
    return jax.random.key(20)


@pytest.fixture(autouse=True)
def _same_stream_for_every_test():
    init.seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture(autouse=True, scope="module")
def _no_programs_of_other_files():
    """Programs compiled for one file are of no use to the next, and take gigabytes together."""
    yield
    init.clear_caches()
    jax.clear_caches()
