"""Compiler options of eager draws."""

from __future__ import annotations

import functools

import jax

from braininit._engine.cpu.platforms import TUNED

__all__ = ["options"]

# The full width of AVX-512; XLA's default is half. A draw mostly waits for its own results, so
# twice as many numbers at once take two thirds of the time. They are the same bit for bit.
_WIDE = {"xla_cpu_prefer_vector_width": 512}


@functools.cache
def options() -> dict[str, int] | None:
    """Compiler options of an eager draw on a CPU; a traced draw gets its program's."""
    if not TUNED:
        return None
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            jax.jit(lambda: (), compiler_options=_WIDE).lower().compile()
    except Exception:  # this jaxlib lacks the option, or this JAX `compiler_options`
        return None
    return _WIDE
