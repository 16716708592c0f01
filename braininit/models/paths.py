"""Paths of a model's leaves, and the keys that follow from them.

A path is text, as in ``blocks/0/mlp/kernel``; slashes separate its parts. An index and its digits
are the same part: checkpoints turn one into the other.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from braininit._engine import keys
from braininit._engine.threefry import NUMPY, threefry
from braininit._jax.settings import eager, setting
from braininit._params.types import Key

__all__ = ["PathParts", "joined", "parts_of", "path_key", "path_keys", "split"]

PathParts = tuple[str, ...]


def path_key(key: Key, path: str | Sequence[str | int]) -> Key:
    """Derive the key of one leaf of a model from its path.

    Parameters
    ----------
    key : key
        The key of the whole model.
    path : str or sequence
        The path as a plan prints it, ``"blocks/0/mlp/kernel"``, or its parts, ``("blocks", 0,
        "mlp", "kernel")``. Only text is split at slashes. 0 and ``"0"`` are the same part.

    Returns
    -------
    key
        A typed key of the same implementation, or a legacy key if `key` is one.

    Notes
    -----
    Numerics: SHA-256 hashes the UTF-8 text of each part, preceded by its length as 8 little-endian
    bytes. The first 8 bytes of the digest are two little-endian words of 32 bits; the key is
    ``fold_in(fold_in(key, first), second)``. Two of a million paths get the same key with a
    probability of 3e-8. A leaf's key depends on no other leaf. With ``unsafe_rbg`` keys JAX's
    `fold_in` is an exclusive or: the order of folds is lost.

    Examples
    --------
    >>> import jax, braininit as init
    >>> key = jax.random.key(0)
    >>> bool(init.path_key(key, "net/0/w") == init.path_key(key, ("net", 0, "w")))
    True
    """
    first, second = _words(split(path))
    key = keys.as_key(key)
    impl = keys.legacy_impl(key)
    folded = jax.random.fold_in(jax.random.fold_in(keys.typed(key, impl), first), second)
    return folded if impl is None else jax.random.key_data(folded)


def split(path: str | Sequence[str | int]) -> PathParts:
    """The parts of a path."""
    if isinstance(path, str):
        return tuple(path.split("/")) if path else ()
    try:
        return tuple(str(part) for part in path)
    except TypeError:
        raise TypeError(
            f"a path is text or a sequence of parts, got {path!r}; write 'a/b'"
        ) from None


def joined(parts: Iterable[str]) -> str:
    """A path from its parts."""
    return "/".join(parts)


def parts_of(keypath: Iterable[Any]) -> PathParts:
    """The parts of a JAX key path: names, indices and dictionary keys.

    A dictionary key that is a tuple, or has slashes (Haiku's do), is several parts.
    """
    parts: list[str] = []
    for entry in keypath:
        for name in ("name", "key", "idx"):
            if hasattr(entry, name):
                entry = getattr(entry, name)
                break
        for part in entry if isinstance(entry, tuple) else (entry,):
            parts += str(part).split("/")
    return tuple(parts)


def path_keys(key: Any, paths: Sequence[PathParts]) -> list[Any]:
    """Derive the keys of many paths at once; eagerly, as raw uint32 words if possible."""
    key = keys.as_key(key)
    impl = keys.legacy_impl(key)
    words = np.array([_words(path) for path in paths], np.uint32).reshape(len(paths), 2)
    kind = impl or str(jax.random.key_impl(key))
    if kind == "threefry2x32" and eager():  # compiling this takes longer than drawing a model
        data = _folded_by_numpy(np.asarray(key if impl else jax.random.key_data(key)), words)
    else:
        data = _folded(impl)(key, words)
        data = np.asarray(data) if eager() else data
    if isinstance(data, np.ndarray) and kind == setting("jax_default_prng_impl"):
        return [*data]
    return [jax.random.wrap_key_data(data[i], impl=kind) for i in range(len(paths))]


@functools.lru_cache(maxsize=16)
def _folded(impl: str | None) -> Any:
    """The program that folds pairs of words into a key; it returns the words of the keys."""

    def fold(key: Any, words: Any) -> Any:
        key = keys.typed(key, impl)

        def fold_pair(pair: Any) -> Any:
            folded = jax.random.fold_in(jax.random.fold_in(key, pair[0]), pair[1])
            return jax.random.key_data(folded)

        # Other hashes than Threefry may give other numbers under vmap.
        is_threefry = str(jax.random.key_impl(key)) == "threefry2x32"
        return jax.vmap(fold_pair)(words) if is_threefry else jax.lax.map(fold_pair, words)

    return jax.jit(fold)


def _folded_by_numpy(key: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Fold words into a Threefry key: JAX hashes each as the lower of two words."""
    folded = key[:1], key[1:]
    for word in words.T:
        folded = threefry(*folded, np.zeros_like(word), word, NUMPY)
    return np.stack(folded, 1)


def _words(parts: PathParts) -> tuple[int, int]:
    """The first 64 bits of a path's hash, as two words."""
    try:
        encoded = [part.encode() for part in parts]
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the path {'/'.join(parts)!r} is no text in UTF-8: {error.reason}"
        ) from None
    data = b"".join(len(part).to_bytes(8, "little") + part for part in encoded)
    digest = hashlib.sha256(data).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")
