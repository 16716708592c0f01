"""A strict session: implicit rank promotion and warnings are errors.

Reused keys are errors under ``JAX_DEBUG_KEY_REUSE=1``, which .ci/run sets in its second pass: the
check takes an eighth of the time.
"""

import contextlib
import ctypes
import gc
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

# Workers, and processes that tests start, share compiled programs: they inherit the folder, which
# the session that named it removes at its end.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", f"{tempfile.gettempdir()}/braininit-programs-{os.getpid()}"
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Compiling takes most of the time. XLA's older code generator for loops takes half the processor
# time of the newer one, for the same bits. Without the highest level of LLVM, which unrolls small
# loops such as the mean of a matrix, no program takes seconds; below level 2 bits change with the
# devices. `XLA_FLAGS=` in front of pytest compiles as for users; .ci/run does so for the pinned
# values and the long statistics.
if version("jaxlib").startswith("0.10."):  # later versions refuse the first flag
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        " --xla_backend_optimization_level=2",
    )

import hypothesis
import jax
import numpy as np
import pytest

# The same few examples each time; many new ones with `--hypothesis-profile long`.
common = {"database": None, "deadline": None, "suppress_health_check": [*hypothesis.HealthCheck]}
hypothesis.settings.register_profile("few", derandomize=True, max_examples=25, **common)
hypothesis.settings.register_profile("long", max_examples=2500, print_blob=False, **common)
hypothesis.settings.load_profile("few")

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Only now: the first array fixes the number of devices.
from cases import Case  # noqa: E402

import braininit as init  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--initializer", metavar="NAME", help="run the laws of this row of tests/cases.py only"
    )
    parser.addoption(
        "--pin", action="store_true", help="write the draws that laws/test_values.py pins"
    )


def pytest_unconfigure():
    folder = os.environ["JAX_COMPILATION_CACHE_DIR"]
    if folder.endswith(f"braininit-programs-{os.getpid()}"):
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    if not (name := config.getoption("initializer")):
        return
    rows = [i for i in items if name in _row(i)]
    if not rows:
        names = sorted({_row(i)[0] for i in items if _row(i)})
        raise pytest.UsageError(f"no row {name!r} in tests/cases.py; there are {', '.join(names)}")
    config.hook.pytest_deselected(items=[i for i in items if name not in _row(i)])
    items[:] = rows


def _row(item):
    """Return class and function names of the row that a test runs on; () without a row."""
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


def pytest_collection_finish():
    """Collect garbage a hundred times less often than usual: it takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(autouse=True)
def _programs_fit_in_memory():
    yield
    if _resident_bytes() > ROOM:
        _drop_programs()


ROOM = 1.4e9  # bytes per worker; modules take 1e9


def _resident_bytes():
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _drop_programs():
    init.clear_caches()
    jax.clear_caches()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not glibc, which keeps freed memory
        ctypes.CDLL(None).malloc_trim(0)
