"""The platform that a draw runs on, and the CPUs and jaxlibs where tunings were verified.

An eager draw runs where its arrays are: `is_tunable` tells. A part of another program can't know
its platform, and there may be several: it contains both versions, `by_platform`, and lowering keeps
the ones it needs.
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
"""Whether any tuning is on."""


@functools.cache
def is_tried(*versions: tuple[int, int]) -> bool:
    """True on x86 CPUs with these versions of jaxlib, where a part was verified."""
    return TUNED and platform.machine() in ("x86_64", "AMD64") and _jaxlib() in versions


def _jaxlib() -> tuple[int, ...] | None:
    try:
        from jaxlib.version import __version__ as version

        return tuple(int(n) for n in version.split(".")[:2])
    except Exception:  # a jaxlib with another way to tell its version
        return None


def by_platform(
    tuned: Callable[..., jax.Array], plain: Callable[..., jax.Array]
) -> Callable[..., jax.Array]:
    """A function of arrays that is `tuned` when lowered for CPUs, and `plain` elsewhere."""
    return lambda *arguments: lax.platform_dependent(*arguments, cpu=tuned, default=plain)


def has_one_cpu() -> bool:
    """Whether all CPU cores are one device, so that XLA splits loops among them."""
    try:
        return jax.device_count("cpu") == 1
    except RuntimeError:  # this session has no CPU device
        return False


def is_tunable(mesh: Any, *arrays: Any) -> bool:
    """Whether an eager computation with PyTrees of arrays, on a mesh or None, runs on CPUs."""
    return _has_only_cpus() or _platform(mesh, arrays) == "cpu"


@functools.cache
def _has_only_cpus() -> bool:
    try:
        from jax.extend.backend import backends

        return list(backends()) == ["cpu"]
    except Exception:  # then each draw looks where its arrays are
        return False


def _platform(mesh: Any, arrays: Any) -> str:
    """The platform by JAX's rules: of the mesh, else of committed arrays, else the default."""
    for candidate in (mesh, jax.sharding.get_mesh()):
        if isinstance(candidate, Mesh) and not candidate.empty:
            return candidate.devices.flat[0].platform
    for array in jax.tree.leaves(arrays):
        if isinstance(array, jax.Array) and array.committed:
            return next(iter(array.devices())).platform
    device = getattr(jax.config, "jax_default_device", None)
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform
