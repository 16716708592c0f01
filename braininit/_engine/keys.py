"""Keys from all sources of randomness that users pass.

Inside the package a key is a typed key, a legacy ``uint32`` key, or its raw words as a NumPy array:
wrapping words into a key costs 17 us eagerly and nothing inside the compiled sampler, so the
sampler wraps them.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._jax.settings import eager, outside, setting

__all__ = [
    "as_key",
    "from_rng",
    "is_key",
    "legacy_impl",
    "seed",
    "typed",
]


# ---------------------------------------------------------------- keys


def is_key(x: Any) -> bool:
    """Whether x is a key or an array of keys: typed, or legacy of the default implementation."""
    if type(x) is _typed_array():
        return True
    if not isinstance(x, (np.ndarray, jax.Array)):
        return False
    kind = _key_kind(x.dtype)
    if kind == "legacy":
        return x.ndim >= 1 and x.shape[-1:] == _legacy_shape(_default_impl())
    return kind == "typed"


@functools.cache
def _typed_array() -> type:
    """The class of concrete typed keys, a faster test than their dtype."""
    return type(outside(lambda: jax.random.key(0)))


@functools.lru_cache(maxsize=64)
def _key_kind(dtype: Any) -> str | None:
    """The kind of key that an array of this dtype can be; asking JAX each time costs 1 us."""
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return "typed"
    return "legacy" if dtype == np.uint32 else None


def as_key(key: Any) -> Any:
    """Return a single key; refuse other values and arrays of keys."""
    if not is_key(key):
        raise TypeError(f"`key` must be a JAX key, {_not_a_key(key)}")
    if key.ndim and key.ndim > (_key_kind(key.dtype) == "legacy"):
        raise ValueError(
            f"`key` must be one key, got an array {key.shape}; map over it by jax.vmap"
        )
    return key


def _not_a_key(value: Any) -> str:
    """The end of an error message: the value that is not a key, and the remedy."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"got {value}; write jax.random.key({value})"
    if isinstance(value, (tuple, list)):
        return f"got {value!r}; the key comes first, then the shape: (key, {value!r})"
    noun, remedy = type(value).__name__, "make one with jax.random.key(seed)"
    if isinstance(value, _GENERATORS):
        remedy = "an object takes it, as in init.Normal()(size, rng=rng)"
    if isinstance(value, (np.ndarray, jax.Array)):
        impl = _default_impl()
        noun = f"an array of {value.dtype} of the shape {value.shape}"
        remedy = f"a legacy key of {impl} is of uint32 and ends in {_legacy_shape(impl)}"
    return f"got {noun}; {remedy}"


def legacy_impl(key: Any) -> str | None:
    """The implementation of a legacy key or raw words; None for a typed key."""
    if type(key) is _typed_array() or _key_kind(key.dtype) == "typed":
        return None
    return _default_impl()


def typed(key: Any, impl: str | None = None) -> Any:
    """The typed key, from a key of any form; `impl` is the implementation of raw words."""
    return key if _key_kind(key.dtype) == "typed" else jax.random.wrap_key_data(key, impl=impl)


def _default_impl() -> str:
    return setting("jax_default_prng_impl")


@functools.lru_cache(maxsize=16)
def _legacy_shape(impl: str) -> tuple[int, ...]:
    return outside(lambda: jax.random.key_data(jax.random.key(0, impl=impl)).shape)


# ---------------------------------------------------------------- rng -> key


def from_rng(rng: Any) -> Any:
    """Make a key from a user's ``rng=``.

    A JAX key; an int seed; a NumPy Generator or RandomState, or the module ``np.random``; a
    callable that returns a key (`nnx.Rngs` and its streams, `hk.next_rng_key`); an object with
    ``split_key()`` (brainstate); or None, the package's default stream.
    """
    if is_key(rng):
        return rng
    if rng is None:
        _refuse_tracing("the default stream")
        return _default_stream.words()
    if isinstance(rng, np.random.Generator):
        _refuse_tracing("a NumPy generator")
        return _words_from(rng)
    if isinstance(rng, np.random.RandomState) or rng is np.random:
        _refuse_tracing("a NumPy generator")
        (length,) = _legacy_shape(_default_impl())
        return np.frombuffer(rng.bytes(4 * length), "<u4").astype(np.uint32, copy=False)
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, (bool, np.bool_)):
        return _key_from_seed(int(rng), _default_impl())
    try:
        # nnx.Rngs answers every hasattr, so ask whether it can be called before the name.
        source = rng if callable(rng) else getattr(rng, "split_key", None)
        key = source() if callable(source) else None
    except Exception as error:
        raise TypeError(
            f"`rng` gave no key, {type(error).__name__} in {_name(rng)}: {error}; "
            "pass a callable without arguments, or a JAX key"
        ) from error
    if not callable(source):
        raise TypeError(
            f"`rng` can't be a {type(rng).__name__}; pass a JAX key, an int seed, a NumPy "
            "Generator or RandomState, an object with split_key(), a callable that returns "
            "a key, or None"
        )
    if not is_key(key):
        raise TypeError(
            f"`rng` must give a JAX key when called, got {type(key).__name__} from {_name(rng)}; "
            + ("pass that itself" if isinstance(key, _GENERATORS) else "pass a JAX key")
        )
    return key


_GENERATORS = (np.random.Generator, np.random.RandomState)


def _name(source: Any) -> str:
    is_named = inspect.isroutine(source) or isinstance(source, type)
    return getattr(source if is_named else type(source), "__qualname__", "it")


def seed(value: int | None = None) -> None:
    """Restart the default stream, from which objects draw without ``rng=``.

    Parameters
    ----------
    value : int, optional
        Any integer, of any size. None takes fresh entropy from the system, as the stream does
        at import.

    Notes
    -----
    A forked process has its own stream, not its parent's. After `seed(value)` the n-th child's
    stream depends only on `value` and n, however much the parent has drawn. A spawned process
    starts with fresh entropy. Threads share the stream.

    Examples
    --------
    >>> import braininit as init
    >>> init.seed(42)
    >>> first = init.Uniform(0.0, 1.0)(3)
    >>> init.seed(42)
    >>> bool((init.Uniform(0.0, 1.0)(3) == first).all())
    True
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
        raise TypeError(f"`value` must be an int or None, got {value!r} ({type(value).__name__})")
    _default_stream.restart(value)


class _Stream:
    """The words of one key after another; thread-safe, and different in every forked process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start(_seed_sequence(None))

    def _start(self, seed: np.random.SeedSequence) -> None:
        self._seed, self._forks = seed, 0
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def restart(self, value: int | None) -> None:
        seed = _seed_sequence(value)
        with self._lock:
            self._start(seed)

    def words(self) -> np.ndarray:
        with self._lock:
            return _words_from(self._generator)

    def before_fork(self) -> None:
        self._lock.acquire()  # no other thread may draw or fork meanwhile

    def in_parent(self) -> None:
        self._forks += 1
        self._lock.release()

    def in_child(self) -> None:
        self._lock = threading.Lock()
        # Longer than the spawn key of any seed, and so different.
        branch = (*self._seed.spawn_key, 2, self._forks)
        self._start(np.random.SeedSequence(self._seed.entropy, spawn_key=branch))


def _seed_sequence(value: int | None) -> np.random.SeedSequence:
    # SeedSequence takes integers of any size but no negative ones: the spawn key has the sign.
    if value is None:
        return np.random.SeedSequence()
    return np.random.SeedSequence(abs(int(value)), spawn_key=(1,) if value < 0 else ())


_default_stream = _Stream()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_default_stream.before_fork,
        after_in_parent=_default_stream.in_parent,
        after_in_child=_default_stream.in_child,
    )


def _words_from(generator: np.random.Generator) -> np.ndarray:
    """The words of a key. `random_raw` costs 1 us, `bytes` 6 and `integers` 5."""
    (length,) = _legacy_shape(_default_impl())
    return generator.bit_generator.random_raw(length).astype(np.uint32)  # the lower halves


@functools.lru_cache(maxsize=4096)
def _key_from_seed(value: int, impl: str) -> np.ndarray:
    """The raw words of `jax.random.key(value)`, or of a hash of a seed beyond 32 bits.

    Without ``jax_enable_x64`` JAX truncates such seeds, also negative ones: -1 becomes 2**32 - 1.
    """
    if 0 <= value < 2**32:
        return outside(lambda: np.asarray(jax.random.key_data(jax.random.key(value, impl=impl))))
    return _seed_sequence(value).generate_state(_legacy_shape(impl)[0])


def _refuse_tracing(source: str) -> None:
    """Refuse a source that JAX can't trace: its draw would be the same in every run."""
    if not eager():
        raise RuntimeError(
            f"{source} can't be used while JAX is tracing (jit, vmap, grad, eval_shape, ...): "
            "its one draw would be frozen into the program; pass a JAX key, as in "
            "init(key, shape) or init(size, rng=key)"
        )
