"""What an eager draw is compiled with."""

from __future__ import annotations

import functools

import jax

from braininit._engine.cpu.platforms import TUNED

__all__ = ["options"]

# The whole width of AVX-512, of which XLA takes half. A draw waits for its own results most of
# the time, so twice as many numbers at once take two thirds of it, and are the same bit for bit.
_WIDE = {"xla_cpu_prefer_vector_width": 512}


@functools.cache
def options() -> dict[str, int] | None:
    """Compiler options of a program of its own on a CPU; another program has its own."""
    if not TUNED:
        return None
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            jax.jit(lambda: (), compiler_options=_WIDE).lower().compile()
    except Exception:  # not an option of this jaxlib, or none can be given to this JAX
        return None
    return _WIDE
