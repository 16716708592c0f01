"""Draw with compiled kernels: one program for each static signature, reused.

Draws run compiled, eagerly and inside a trace alike, because op by op ``mean + std * z`` differs
in its last bit from the fused form.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from math import copysign
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from braininit._engine import keys
from braininit._engine.cpu.layout import laid_out
from braininit._engine.cpu.options import options
from braininit._engine.cpu.platforms import is_tunable
from braininit._engine.source import Rows, Source
from braininit._jax.dtypes import compute_dtype, is_symbolic, resolve
from braininit._jax.settings import eager, setting
from braininit._jax.shardings import concrete, inherited, with_sharding

__all__ = ["compiled", "result_dtype", "sampled"]


def sampled(
    facts: Any,
    key: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    values: tuple[Any, ...],
    sharding: NamedSharding | None,
    rows: Rows | None,
    alone: bool,
) -> jax.Array:
    """Draw with the compiled kernel of `facts`, a `Facts`.

    Values are bare: floats, arrays, tracers. A draw that is not `alone` is a part of another draw,
    in a single loop with it.
    """
    impl = None if key is None else keys.legacy_impl(key)
    is_eager = eager()
    tuned = is_tunable(sharding and sharding.mesh, key, values) if is_eager else None
    if is_eager:
        values = tuple(
            _on_device(v, dtype, copysign(1, v)) if type(v) is float else v for v in values
        )
    total = None if rows is None else rows.total
    start = () if rows is None else (rows.start,)
    # Not from the cache: symbolic sizes of two exports can't be compared.
    compile_program = _program.__wrapped__ if is_symbolic(shape) else _program
    program = compile_program(facts, shape, dtype, sharding, impl, tuned, alone, total)
    return program(key, start, *values)


@functools.lru_cache(maxsize=4096)
def _on_device(number: float, dtype: np.dtype, sign: float) -> jax.Array:
    """A number on its device: a call with two Python floats takes 5 us longer.

    The sign makes the cache tell 0.0 from -0.0.
    """
    return jax.device_put(compute_dtype(dtype).type(number))


@functools.lru_cache(maxsize=256)  # programs of 3 MB each
def _program(
    facts: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    sharding: NamedSharding | None,
    impl: str | None,
    tuned: bool | None,
    alone: bool,
    total: int | None,
) -> Callable[..., jax.Array]:
    """The compiled draw; `tuned` is None within another program, whose platform is unknown."""

    def sample(key: Any, start: tuple[Any, ...], *values: Any) -> jax.Array:
        key = None if key is None else keys.typed(key, impl)
        rows = Rows(start[0], total) if total is not None else None
        result_sharding = sharding or inherited(shape, zip(facts.names, values, strict=True))
        # On a mesh of one device nothing is split, even if axes are named.
        split = (result_sharding is not None and any(result_sharding.spec)) or any(
            jax.typeof(v).sharding.mesh.size > 1 for v in jax.tree.leaves(values)
        )

        def kernel(source: Source, *numbers: Any) -> jax.Array:
            return facts.kernel(source, dtype, *facts.static, *numbers)

        elementwise = key is not None and alone and facts.elementwise
        if elementwise and not (split or tuned is False or is_symbolic(shape)):
            kernel = laid_out(kernel, tuned is not None)

        def draw(key: Any, start: tuple[Any, ...], *values: Any) -> jax.Array:
            drawn_rows = None if rows is None else Rows(start[0], rows.total)
            source = Source(key, shape, drawn_rows, shape[0] if rows is not None else None)
            return kernel(source, *facts.ready(shape, dtype, values))

        return with_sharding(draw, result_sharding)(key, start, *values)

    sample.__name__ = sample.__qualname__ = facts.kernel.__name__.strip("_")
    return compiled(sample, sharding, tuned)


def compiled(
    function: Callable[..., Any], sharding: NamedSharding | None, tuned: bool | None
) -> Callable[..., Any]:
    """Compile a function of arrays as one program; `tuned` is None within another program.

    ``jax_disable_jit`` does not apply: op by op the numbers would differ, and there is no user's
    code to debug.
    """
    program = jax.jit(
        function, out_shardings=concrete(sharding), compiler_options=options() if tuned else None
    )

    def call(*arguments: Any) -> Any:
        if setting("jax_disable_jit"):
            with jax.disable_jit(False):
                return program(*arguments)
        return program(*arguments)

    return call


def result_dtype(dtype: Any, allowed: str) -> np.dtype:
    """The dtype of a draw; warns if it is narrower than requested."""
    resolved = resolve(dtype, allowed)
    # `float`, `int` and `complex` mean JAX's default, as they do in JAX.
    if (
        dtype is not None
        and dtype not in (float, int, complex)
        and resolved.itemsize < np.dtype(dtype).itemsize
    ):
        text = f"{np.dtype(dtype)} needs jax_enable_x64; drawing {resolved} instead"
        warnings.warn(text, UserWarning, stacklevel=_users_stacklevel())
    return resolved


def _users_stacklevel() -> int:
    """The stack level of the first caller outside this package and JAX, for a warning."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and _package(frame) in ("braininit", "jax", "contextlib"):
        frame, level = frame.f_back, level + 1
    return level


def _package(frame: FrameType) -> str:
    names = frame.f_globals
    return str(names.get("__package__") or names.get("__name__")).partition(".")[0]
