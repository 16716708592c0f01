"""Operators ``+ - * / ** |`` for initializers and distance profiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

__all__ = ["Algebra"]

T = TypeVar("T")


class Algebra(Generic[T]):
    """Operators that a class implements through `_join` and `apply`."""

    __array_ufunc__ = None  # so that `np.ones(3) * obj` asks the object first

    def _join(self, op: str, left: Any, right: Any = None) -> T:
        """The object for ``left op right``, or NotImplemented."""
        raise NotImplementedError

    def apply(self, func: Callable[[Any], Any]) -> T:
        """The object whose values pass through a function."""
        raise NotImplementedError

    def __add__(self, other: Any) -> T:
        return self._join("+", self, other)

    def __radd__(self, other: Any) -> T:
        return self._join("+", other, self)

    def __sub__(self, other: Any) -> T:
        return self._join("-", self, other)

    def __rsub__(self, other: Any) -> T:
        return self._join("-", other, self)

    def __mul__(self, other: Any) -> T:
        return self._join("*", self, other)

    def __rmul__(self, other: Any) -> T:
        return self._join("*", other, self)

    def __truediv__(self, other: Any) -> T:
        return self._join("/", self, other)

    def __rtruediv__(self, other: Any) -> T:
        return self._join("/", other, self)

    def __pow__(self, other: Any) -> T:
        return self._join("**", self, other)

    def __rpow__(self, other: Any) -> T:
        return self._join("**", other, self)

    def __neg__(self) -> T:
        return self._join("*", -1.0, self)

    def __pos__(self) -> T:
        return cast(T, self)

    def __or__(self, func: Callable[[Any], Any]) -> T:
        return self.apply(func)
