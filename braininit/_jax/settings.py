"""JAX's settings, and whether JAX is tracing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

try:
    from jax.extend.core import get_opaque_trace_state
except Exception:  # `eager` has a fallback
    get_opaque_trace_state = None

__all__ = ["eager", "outside", "setting", "trace"]


def setting(name: str, default: Any = None) -> Any:
    """A setting of JAX in this thread; the default if JAX no longer has it."""
    return getattr(jax.config, name, default)


def eager() -> bool:
    """Whether JAX is not tracing: neither jit, vmap, grad nor anything else."""
    clean = _clean_state()
    if clean is None:
        try:
            jax.sharding.get_mesh()  # raises within a trace
        except ValueError:
            return False
        return True
    return get_opaque_trace_state() == clean  # pyright: ignore[reportOptionalCall]


def trace() -> Any:
    """An object that differs between traces; None if this JAX has none."""
    return None if get_opaque_trace_state is None else get_opaque_trace_state()


@functools.cache
def _clean_state() -> Any:
    """The state outside all traces, from a new thread: this one may be tracing."""
    try:
        return _in_new_thread(get_opaque_trace_state)
    except Exception:
        return None


def outside(function: Callable[[], Any]) -> Any:
    """Call a function outside all traces and meshes, even within `shard_map`."""
    is_outside = eager() and jax.sharding.get_abstract_mesh().empty
    return function() if is_outside else _in_new_thread(function)


def _in_new_thread(function: Any) -> Any:
    """Call a function in a new thread: traces and meshes belong to a thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()
