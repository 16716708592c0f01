"""From a kernel to numbers: one compiled program per static signature, reused.

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
from braininit._jax.dtypes import drawn_in, is_symbolic, resolve
from braininit._jax.settings import eager, setting
from braininit._jax.shardings import concrete, following, placed

__all__ = ["compiled", "result_dtype", "sampled"]


def sampled(
    facts: Any,
    key: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    values: tuple[Any, ...],
    sharding: NamedSharding | None,
    rows: Rows | None,
    free: bool,
) -> jax.Array:
    """Draw numbers by a facts: its `kernel`, called with what `ready` makes of the values.

    Values are bare: floats, arrays, tracers. A draw that is not `free` is a part of another one,
    in a single loop with it.
    """
    impl = None if key is None else keys.legacy_impl(key)
    now = eager()
    tuned = is_tunable(sharding and sharding.mesh, key, values) if now else None
    given = (_resident(v, dtype, copysign(1, v)) if now and type(v) is float else v for v in values)
    total = None if rows is None else rows.total
    start = () if rows is None else (rows.start,)
    # Sizes of two exports can't be compared, as a cache does.
    make = _program.__wrapped__ if is_symbolic(shape) else _program
    program = make(facts, shape, dtype, sharding, impl, tuned, free, total)
    return program(key, start, *given)


@functools.lru_cache(maxsize=4096)
def _resident(number: float, dtype: np.dtype, sign: float) -> jax.Array:
    """A number that is on its device already: a call with two plain ones takes 5 us longer.

    The cache tells 0.0 from -0.0 by the sign.
    """
    return jax.device_put(drawn_in(dtype).type(number))


@functools.lru_cache(maxsize=256)  # programs of 3 MB each
def _program(
    facts: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    sharding: NamedSharding | None,
    impl: str | None,
    tuned: bool | None,
    free: bool,
    total: int | None,
) -> Callable[..., jax.Array]:
    """The compiled draw; `tuned` is None of a part of another program, which may run anywhere."""

    def sample(key: Any, start: tuple[Any, ...], *values: Any) -> jax.Array:
        key = None if key is None else keys.typed(key, impl)
        rows = Rows(start[0], total) if total is not None else None
        lives = sharding or following(shape, zip(facts.names, values, strict=True))
        # On one device alone axes are names, and whatever is split over them is whole.
        split = (lives is not None and any(lives.spec)) or any(
            jax.typeof(v).sharding.mesh.size > 1 for v in jax.tree.leaves(values)
        )

        def drawn(source: Source, *given: Any) -> jax.Array:
            return facts.kernel(source, dtype, *facts.static, *given)

        make = drawn
        if key is not None and free and facts.elementwise and not (split or tuned is False):
            make = drawn if is_symbolic(shape) else laid_out(drawn, tuned is not None)

        def whole(key: Any, start: tuple[Any, ...], *values: Any) -> jax.Array:
            where = None if rows is None else Rows(start[0], rows.total)
            source = Source(key, shape, where, shape[0] if rows is not None else None)
            return make(source, *facts.ready(shape, dtype, values))

        return placed(whole, lives)(key, start, *values)

    sample.__name__ = sample.__qualname__ = facts.kernel.__name__.strip("_")
    return compiled(sample, sharding, tuned)


def compiled(
    function: Callable[..., Any], sharding: NamedSharding | None, tuned: bool | None
) -> Callable[..., Any]:
    """A function of arrays as one program; `tuned` is None of a part of another program.

    It is one with ``jax_disable_jit`` too: operation by operation the numbers would not be the
    same, and there is no code of a user's in it.
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


def result_dtype(dtype: Any, kinds: str) -> np.dtype:
    """The dtype of a draw; a warning where it is narrower than what was asked for."""
    kind = resolve(dtype, kinds)
    # `float`, `int` and `complex` mean JAX's default, as they do to JAX.
    if (
        dtype is not None
        and dtype not in (float, int, complex)
        and kind.itemsize < np.dtype(dtype).itemsize
    ):
        text = f"{np.dtype(dtype)} needs jax_enable_x64; drawing {kind} instead"
        warnings.warn(text, UserWarning, stacklevel=_outside())
    return kind


def _outside() -> int:
    """For a warning: how many callers up the first is that is not of this package, or of JAX."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and _package(frame) in ("braininit", "jax", "contextlib"):
        frame, level = frame.f_back, level + 1
    return level


def _package(frame: FrameType) -> str:
    names = frame.f_globals
    return str(names.get("__package__") or names.get("__name__")).partition(".")[0]
