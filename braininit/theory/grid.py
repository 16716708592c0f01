"""The law of draws rounded to a grid."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from braininit.theory.law import Law
from braininit.theory.quadrature import gauss

__all__ = ["gridded"]

_NEAR = 1e-15
"""How far off a multiple, in parts of it, a float64 still counts as it: 0.3 as 3 times 0.1."""
_TAIL = 1e-20
"""What is rarer on either side adds nothing to a moment."""
_MOST = 2**22
"""Multiples that are added up."""
_LISTED = 1000
"""Multiples that a law lists: with them its sums, powers and mixtures know their points, too."""


def gridded(law: Law, step: Any, rounding: str) -> Law:
    """The law of draws rounded to multiples of a step."""

    def up_to(name: str, k: Any) -> Any:
        """P(K <= k), or P(K > k) by the survival function."""
        function = getattr(law, name)
        if rounding == "nearest":
            return function((k + 0.5) * step)
        if rounding == "up":
            return function(k * step)
        nodes, weights = gauss(32)
        return sum(w * function((k + t) * step) for t, w in zip(nodes, weights, strict=True))

    def index(x: Any) -> Any:
        return np.floor(x / step + _NEAR * abs(x / step))

    def chance(k: Any) -> Any:
        below, above = up_to("cdf", k - 1), up_to("sf", k)
        upper = up_to("sf", k - 1) - above
        return np.maximum(np.where(below < 0.5, up_to("cdf", k) - below, upper), 0)

    def at(x: Any) -> Any:
        k = np.round(x / step)
        return np.where(abs(x / step - k) <= _NEAR * abs(k), chance(k), 0.0)

    def quantile(p: Any, q: Any) -> Any:
        x = law.quantile(p, q) / step
        k = np.ceil(x - (0.5 if rounding == "nearest" else 0)) - (rounding == "stochastic")
        for _ in range(1 if rounding == "stochastic" else 0):  # its base is one of two neighbours
            enough = np.where(p <= q, up_to("cdf", k) >= p, up_to("sf", k) <= q)
            k = np.where(enough, k, k + 1)
        return k * step + 0.0

    def ends() -> tuple[Any, Any]:
        low, high = (np.asarray(end) / step for end in law.support)
        if rounding == "nearest":
            return np.floor(low + 0.5) * step, np.floor(high + 0.5) * step
        return (np.ceil(low) if rounding == "up" else np.floor(low)) * step, np.ceil(high) * step

    def drawn(most: int) -> Any:
        """The multiples that are drawn, along axis 0; None if they are more than so many."""
        with np.errstate(all="ignore"):
            first, last = (index(x) for x in (quantile(_TAIL, 1.0), quantile(1.0, _TAIL)))
            count = np.max(last) - np.min(first) + 1
        if not count <= most:
            return None
        return (np.min(first) + np.arange(int(count))).reshape(-1, *[1] * np.ndim(first))

    @functools.cache
    def moments() -> Any:
        if (k := drawn(_MOST)) is None:
            raise ArithmeticError(f"the moments on a grid are sums of more than {_MOST} numbers")
        p = chance(k)
        total = p.sum(0)
        mean = (p * k).sum(0) / total
        away = k - mean
        second, third, fourth = ((p * away**n).sum(0) / total for n in (2, 3, 4))
        with np.errstate(all="ignore"):
            shape = third / second**1.5, fourth / second**2 - 3
        return mean * step, np.sqrt(second) * abs(step), *shape

    listed = drawn(_LISTED)
    points = () if listed is None else zip(listed * step, chance(listed), strict=True)
    made = _OnGrid(
        lambda: moments()[0],
        lambda: moments()[1],
        lambda x: np.where(at(x) > 0, np.inf, 0.0),
        lambda x: up_to("cdf", index(x)),
        lambda x: up_to("sf", index(x)),
        quantile=quantile,
        skewness=lambda: moments()[2],
        kurtosis=lambda: moments()[3],
        support=ends(),
        atoms=tuple(points),
    )
    made.chance, made.step = at, step
    return made


class _OnGrid(Law):
    """A law whose values have probabilities of their own, perhaps too many to be listed."""

    chance: Any
    step: Any

    def snapped(self, x: Any, near: float) -> Any:
        value = np.round(x / self.step) * self.step
        return np.where(abs(x - value) <= near * abs(value), value, x)

    def at(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            return self.chance(np.asarray(x, float))
