"""From a kernel to a draw: one compiled sampler per static signature, reused.

A kernel is a pure function ``(key, shape, dtype, *static, *parameters) -> array``:
the unit-free arithmetic of one distribution. `draw` runs it compiled, eagerly and inside a
trace alike, because op by op ``mean + std * z`` differs in its last bit from the fused form.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from braininit._engine import keys as _keys
from braininit._engine.keys import Column
from braininit._engine.loops import (
    apart,
    by_core,
    derived,
    is_better_flat,
    is_better_in_pairs,
    is_together,
    side_by_side,
)
from braininit._engine.platforms import by_platform, is_on_cpu, is_tuned
from braininit._jax.dtypes import drawn_in, is_symbolic, resolve, setting
from braininit._jax.shardings import canonical, concrete, following, placed
from braininit._params.checks import poisoned
from braininit._params.types import is_sequence
from braininit._params.units import brief

try:
    from jax.extend.core import InconclusiveDimensionOperation
except Exception:  # then JAX's own words about open sizes reach the user
    InconclusiveDimensionOperation = TypeError

__all__ = [
    "aligned",
    "as_shape",
    "compiled",
    "draw",
    "fill",
    "goes_with",
    "is_probe",
    "probe",
    "result_dtype",
    "sizes_known",
]

Kernel = Callable[..., jax.Array]


class _Probe(np.ndarray):
    """A key that marks a call as a check of the parameters: `draw` makes nothing from it."""


def probe() -> np.ndarray:
    """The key with which an object checks its parameters when it is built.

    To a user's own function it is a legacy key like any other.
    """
    return np.zeros(_keys._legacy_shape(_keys._default_impl()), np.uint32).view(_Probe)


def is_probe(key: Any) -> bool:
    """Whether a call only checks its parameters: there is no shape yet, and no draw."""
    return type(key) is _Probe


def draw(
    kernel: Kernel,
    key: Any,
    shape: Any,
    *parameters: Any,
    static: tuple[Any, ...] = (),
    dtype: Any = None,
    out_sharding: Any = None,
    complex_too: bool = False,
    random: bool = True,
    elementwise: bool = True,
    brief: bool = False,
) -> Any:
    """Draw an array by a kernel.

    `parameters` are bare values (floats, arrays, tracers) that broadcast to `shape`, or tuples of
    arrays of what was worked out from known ones: the kernel gets them as they are.
    Before them the kernel gets `static`, hashable options that are part of its program.
    One that is not `random` gets None for its key. One that is `elementwise` may be asked for
    the same numbers in another shape. One that is `brief` does little with its words.
    """
    if is_probe(key):
        return None
    size, kind = as_shape(shape), result_dtype(dtype, complex_too)
    key = _keys.as_key(key) if random else None
    impl = _keys.legacy_impl(key) if random else None
    sharding, eager = canonical(out_sharding), _keys.eager()
    on_cpu = is_on_cpu(sharding and sharding.mesh, key, parameters) if eager else None
    free = elementwise and not is_together()
    given = (_resident(p + 0.0, kind) if eager and type(p) is float else p for p in parameters)
    options = kernel, static, size, kind, sharding, impl, on_cpu, free, brief
    if is_symbolic(size):
        with sizes_known(size):  # those of two exports can't be compared, as a cache does
            return _sampler.__wrapped__(*options)(key, *given)
    return _sampler(*options)(key, *given)


@functools.lru_cache(maxsize=4096)
def _resident(number: float, dtype: np.dtype) -> jax.Array:
    """A number that is on its device already: a call with two plain ones takes 5 us longer.

    Not -0.0, which a cache can't tell from 0.0.
    """
    return jax.device_put(drawn_in(dtype).type(number))


def fill(key: Any, shape: Any, value: Any, *, dtype: Any = None, out_sharding: Any = None) -> Any:
    """The draw of what is not random: `value`, everywhere."""
    if is_probe(key):
        return None
    size, kind = as_shape(shape), result_dtype(dtype, True)
    if np.iscomplexobj(value) and kind.kind != "c":
        raise TypeError(f"`value` is complex, {kind} is not; give a complex dtype")
    make = _filler.__wrapped__ if is_symbolic(size) else _filler
    return make(size, kind, canonical(out_sharding))(value)


def result_dtype(dtype: Any, complex_too: bool) -> np.dtype:
    """The dtype of a draw; a warning where it is narrower than what was asked for."""
    kind = resolve(dtype, complex_too=complex_too)
    # `float` and `complex` mean JAX's default, as they do to JAX.
    if (
        dtype is not None
        and dtype not in (float, complex)
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


@functools.lru_cache(maxsize=256)  # programs of 3 MB each
def _sampler(
    kernel: Kernel,
    static: tuple[Any, ...],
    shape: tuple[int, ...],
    dtype: np.dtype,
    sharding: Any,
    impl: str | None,
    on_cpu: bool | None,
    free: bool,
    brief: bool,
) -> Any:
    """The compiled draw; `free` to make its numbers in another shape, in a loop apart.

    Whether it is `on_cpu` is not known of one that is a part of another program.
    """
    names = list(inspect.signature(kernel).parameters)[3 + len(static) :]

    kind, eager = drawn_in(dtype), on_cpu is not None

    def ready(name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(jnp.asarray(array, kind) for array in value)
        return aligned(name, poisoned(name, jnp.asarray(value), dtype), shape, kind)

    def sample(key: Any, *parameters: Any) -> jax.Array:
        key = None if key is None else _keys.typed(key, impl)
        lives = sharding or following(shape, zip(names, parameters, strict=True))
        # On one device alone axes are names, and whatever is split over them is whole.
        split = (lives is not None and any(lives.spec)) or any(
            jax.typeof(p).sharding.mesh.size > 1 for p in jax.tree.leaves(parameters)
        )
        inner, flat, paired = shape, False, False
        if key is not None and not (split or on_cpu is False or is_symbolic(shape)):
            even = all(_is_even(p, shape, arrays_too=eager) for p in parameters)
            flat = free and even and is_better_flat(key, shape, eager)
            inner = by_core(key, (math.prod(shape),) if flat else shape)
            if free and not brief and all(_is_even(p, shape, arrays_too=False) for p in parameters):
                paired = is_better_in_pairs(key, shape, dtype, eager)

        def prepared(parameters: Any) -> list[Any]:
            return [ready(name, p) for name, p in zip(names, parameters, strict=True)]

        def drawn(key: Any, inner: tuple[int, ...], given: Any) -> jax.Array:
            return kernel(key, inner, dtype, *static, *(_reshaped(p, shape, inner) for p in given))

        def in_one(key: Any, *parameters: Any) -> jax.Array:
            return drawn(key, inner, prepared(parameters))

        def in_pairs(key: Any, *parameters: Any) -> jax.Array:
            pairs, given = (math.prod(shape) // 2, 2), prepared(parameters)
            return side_by_side(lambda column: drawn(Column(key, column), pairs, given), pairs)

        def shaped(draw: Any) -> Callable[..., jax.Array]:
            return lambda *arguments: draw(*arguments).reshape(shape)

        def plain(key: Any, *parameters: Any) -> jax.Array:
            return drawn(key, shape, prepared(parameters))

        faster = None
        if paired:
            faster = shaped(apart(in_pairs))
            faster = faster if eager else derived(faster, shaped(in_one))
        elif flat:
            faster = shaped(apart(in_one))
        elif inner != shape:
            faster = shaped(in_one)
        if faster is not None and not eager:
            faster = by_platform(faster, plain)
        return placed(faster or plain, lives)(key, *parameters)

    sample.__name__ = sample.__qualname__ = kernel.__name__.strip("_")
    return compiled(sample, sharding, on_cpu)


def compiled(
    function: Callable[..., Any], sharding: NamedSharding | None, on_cpu: bool | None
) -> Any:
    """A function of arrays as one program; where it is a part of another, on_cpu is None.

    It is one with ``jax_disable_jit`` too: operation by operation the numbers would not be the
    same, and there is no code of a user's in it.
    """
    options = _options() if on_cpu else None  # another program has its own, for all its parts
    program = jax.jit(function, out_shardings=concrete(sharding), compiler_options=options)

    def call(*arguments: Any) -> Any:
        if setting("jax_disable_jit"):
            with jax.disable_jit(False):
                return program(*arguments)
        return program(*arguments)

    return call


# The whole width of AVX-512, of which XLA takes half. A draw waits for its own results most of
# the time, so twice as many numbers at once take two thirds of it, and are the same bit for bit.
_WIDE = {"xla_cpu_prefer_vector_width": 512}


@functools.cache
def _options() -> dict[str, int] | None:
    """What a program of its own is compiled with on a CPU."""
    if not is_tuned():
        return None
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            jax.jit(lambda: (), compiler_options=_WIDE).lower().compile()
    except Exception:  # not an option of this jaxlib, or none can be given to this JAX
        return None
    return _WIDE


@functools.lru_cache(maxsize=256)
def _filler(shape: tuple[int, ...], dtype: np.dtype, sharding: Any) -> Any:
    def constant(value: Any) -> jax.Array:
        value = aligned("value", value, shape, dtype)
        lives = sharding or following(shape, [("value", value)])
        return placed(lambda v: jnp.broadcast_to(v, shape), lives)(value)

    return jax.jit(constant, out_shardings=concrete(sharding))


def aligned(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> jax.Array:
    """Give an array parameter the result's rank; a scalar stays one, and fuses as one."""
    value = jax.lax.convert_element_type(jnp.asarray(value), dtype)
    if value.ndim == 0:
        return value
    goes_with(name, value.shape, shape)
    return value.reshape((1,) * (len(shape) - value.ndim) + value.shape)


def _is_even(value: Any, shape: tuple[int, ...], *, arrays_too: bool) -> bool:
    """Whether a parameter is one for all numbers, or, where arrays may be, one for each.

    In another program they may not: what was done to an array before is in the loop it goes to.
    """
    return isinstance(value, tuple) or np.size(value) == 1 or (arrays_too and value.shape == shape)


def _reshaped(value: Any, shape: tuple[int, ...], inner: tuple[int, ...]) -> Any:
    """An aligned parameter, for a result of another shape."""
    if shape == inner or isinstance(value, tuple) or value.ndim == 0:
        return value
    return value.reshape(inner if value.shape == shape else (1,) * len(inner))


def goes_with(name: str, its: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuse a parameter whose shape does not broadcast to the result's."""
    pairs = zip(its[::-1], shape[::-1], strict=False)
    if len(its) > len(shape) or any(n not in (1, m) for n, m in pairs):
        raise ValueError(
            f"`{name}` of shape {its} does not broadcast to the size {shape}; "
            "make its trailing sizes equal to the result's, or 1"
        )


# ---------------------------------------------------------------- shapes


def as_shape(shape: Any) -> tuple[int, ...]:
    """A size or a shape in any of its forms, as a tuple of ints."""
    if type(shape) is int:
        if 0 <= shape < 2**62:
            return (shape,)
        sizes: Any = (shape,)
    elif isinstance(shape, np.ndarray):
        sizes = shape.tolist() if shape.ndim else (shape.item(),)
    else:
        sizes = shape if is_sequence(shape) else (shape,)
    if len(sizes) > _MOST_AXES:
        raise ValueError(f"a size has {_MOST_AXES} axes at most, got {len(sizes)}; join some")
    try:
        sizes = tuple(n if type(n) is int else _index(n) for n in sizes)
    except Exception as error:
        own = None if isinstance(error, TypeError) else error
        raise TypeError(f"a size is an int or a tuple of ints, {_no_size(shape)}") from own
    known = [n for n in sizes if type(n) is int]  # in all but what `jax.export` keeps open
    if min(known, default=0) < 0:
        raise ValueError(f"a size must be 0 or more, got {sizes}")
    if math.prod(n for n in known if n) >= 2**62:
        raise ValueError(f"a size of {sizes} is beyond what any machine holds")
    return sizes


_MOST_AXES = 32  # where NumPy's broadcasting ends, and with it the making of constants


def _no_size(given: Any) -> str:
    """What was given for a size, and what to write."""
    if _keys.is_key(given):
        return "got a key; the key comes first, then the shape"
    if isinstance(given, float) and given >= 1 and given.is_integer():
        return f"got {given}; write {int(given)}"
    return f"got {brief(given)}; write 100 or (10, 10), for example"


@contextmanager
def sizes_known(shape: tuple[int, ...], remedy: str = "") -> Iterator[None]:
    """Where what is done needs to know sizes, say so rather than what Python or JAX do."""
    try:
        yield
    except (TypeError, InconclusiveDimensionOperation) as error:
        raise TypeError(
            f"this draw has to know its sizes, got {shape}; export it for known ones{remedy}"
        ) from error


def _index(n: Any) -> Any:
    if isinstance(n, (bool, np.bool_)):
        raise TypeError
    return n if jax.export.is_symbolic_dim(n) else operator.index(n)
