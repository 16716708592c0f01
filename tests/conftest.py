"""A strict session: reused keys, implicit rank promotion and warnings are errors."""

import os

os.environ.setdefault("MPLBACKEND", "agg")

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def key():
    return jax.random.key(20)


@pytest.fixture(autouse=True)
def _same_stream_for_every_test():
    import braininit as init

    init.seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture(autouse=True, scope="module")
def _no_programs_of_other_files():
    """Programs compiled for one file are of no use to the next, and take gigabytes together."""
    import braininit as init

    yield
    init.clear_caches()
    jax.clear_caches()
