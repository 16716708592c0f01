"""JAX's settings, and whether it is tracing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

try:
    from jax.extend.core import get_opaque_trace_state
except Exception:  # then traces are seen in another way
    get_opaque_trace_state = None

__all__ = ["eager", "outside", "setting", "trace"]


def setting(name: str, default: Any = None) -> Any:
    """One of JAX's settings in this thread; the default where JAX no longer has it."""
    return getattr(jax.config, name, default)


def eager() -> bool:
    """Whether JAX is not tracing: neither jit, vmap, grad nor anything else."""
    clean = _clean_state()
    if clean is None:
        try:
            jax.sharding.get_mesh()  # which JAX refuses to tell within a trace
        except ValueError:
            return False
        return True
    return get_opaque_trace_state() == clean  # pyright: ignore[reportOptionalCall]


def trace() -> Any:
    """What tells one trace from another; None where JAX does not."""
    return None if get_opaque_trace_state is None else get_opaque_trace_state()


@functools.cache
def _clean_state() -> Any:
    """The state outside all traces: the first call may come from inside one, so ask elsewhere."""
    try:
        return _elsewhere(get_opaque_trace_state)
    except Exception:
        return None


def outside(function: Callable[[], Any]) -> Any:
    """The result of a function outside all traces and meshes, even within `shard_map`."""
    free = eager() and jax.sharding.get_abstract_mesh().empty
    return function() if free else _elsewhere(function)


def _elsewhere(function: Any) -> Any:
    """Call a function in a thread of its own: traces and meshes belong to a thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()
