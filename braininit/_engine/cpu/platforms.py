"""Where a draw runs, and whether its CPU is one that something was tried on.

An eager draw runs where its arrays are, `is_tunable`. A part of another program does not know
where that will run, which may be several platforms: it holds both ways, `by_platform`, of which
lowering keeps what it needs.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh

__all__ = ["TUNED", "by_platform", "has_one_cpu", "is_tried", "is_tunable"]

TUNED = os.environ.get("BRAININIT_TUNED") != "0"
"""Whether this room does anything."""


@functools.cache
def is_tried(*versions: tuple[int, int]) -> bool:
    """True on x86 CPUs with these versions of jaxlib, where a part was verified."""
    return TUNED and platform.machine() in ("x86_64", "AMD64") and _jaxlib() in versions


def _jaxlib() -> tuple[int, ...] | None:
    try:
        from jaxlib.version import __version__ as version

        return tuple(int(n) for n in version.split(".")[:2])
    except Exception:  # a jaxlib that says it otherwise is not one of those
        return None


def by_platform(
    tuned: Callable[..., jax.Array], plain: Callable[..., jax.Array]
) -> Callable[..., jax.Array]:
    """A function of arrays that is `tuned` where it comes to run on a CPU, and else `plain`."""
    return lambda *arguments: lax.platform_dependent(*arguments, cpu=tuned, default=plain)


def has_one_cpu() -> bool:
    """Whether all CPU cores are one device, so that XLA shares an array out among them."""
    try:
        return jax.device_count("cpu") == 1
    except RuntimeError:  # this session has none
        return False


def is_tunable(mesh: Any, *arrays: Any) -> bool:
    """Whether an eager computation on PyTrees of arrays, for a mesh or None, runs on CPUs."""
    return _has_only_cpus() or _platform(mesh, arrays) == "cpu"


@functools.cache
def _has_only_cpus() -> bool:
    try:
        from jax.extend.backend import backends

        return list(backends()) == ["cpu"]
    except Exception:  # then each draw is asked
        return False


def _platform(mesh: Any, arrays: Any) -> str:
    """As JAX finds it: by a mesh, by where committed arrays are, by default."""
    for known in (mesh, jax.sharding.get_mesh()):
        if isinstance(known, Mesh) and not known.empty:
            return known.devices.flat[0].platform
    for array in jax.tree.leaves(arrays):
        if isinstance(array, jax.Array) and array.committed:
            return next(iter(array.devices())).platform
    device = getattr(jax.config, "jax_default_device", None)
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform
