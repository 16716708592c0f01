"""A record of the arrays that passed a check, so that none is read twice."""

from __future__ import annotations

import weakref
from typing import Any

import jax

__all__ = ["passed"]


class Passed:
    """Which JAX arrays passed which checks: reading an array takes longer than a draw.

    An entry is removed when the first of its arrays is garbage collected.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[Any, ...], tuple[weakref.ref[jax.Array], ...]] = {}

    def has(self, check: Any, *values: Any) -> bool:
        return (check, *map(self._identity, values)) in self._entries

    def add(self, check: Any, *values: Any) -> None:
        arrays = [value for value in values if type(value) is not float]
        if arrays and all(isinstance(array, jax.Array) for array in arrays):
            entry = (check, *map(self._identity, values))
            remove = lambda _: self._entries.pop(entry, None)  # noqa: E731
            self._entries[entry] = tuple(weakref.ref(array, remove) for array in arrays)

    @staticmethod
    def _identity(value: Any) -> float | int:
        return value if type(value) is float else id(value)

    def cache_clear(self) -> None:
        self._entries.clear()


passed = Passed()
