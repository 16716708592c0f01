"""The law of draws rounded to a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from braininit.theory.lattice import lattice
from braininit.theory.law import Law
from braininit.theory.quadrature import gauss

__all__ = ["gridded"]


def gridded(law: Law, step: Any, rounding: str) -> Law:
    """The law of draws rounded to multiples of a step."""

    def up_to(name: str, k: Any) -> Any:
        """P(K <= k), or P(K > k) by the survival function."""
        if rounding == "nearest":  # halves go up
            return (law.below if name == "cdf" else law.above)((k + 0.5) * step)
        function = getattr(law, name)
        if rounding == "up":
            return function(k * step)
        nodes, weights = gauss(32)
        return sum(w * function((k + t) * step) for t, w in zip(nodes, weights, strict=True))

    def chance(k: Any) -> Any:
        below, above = up_to("cdf", k - 1), up_to("sf", k)
        upper = up_to("sf", k - 1) - above
        return np.maximum(np.where(below < 0.5, up_to("cdf", k) - below, upper), 0)

    def quantile(p: Any, q: Any) -> Any:
        x = law.quantile(p, q) / step
        k = np.floor(x + 0.5) if rounding == "nearest" else np.ceil(x) - (rounding == "stochastic")
        for _ in range(1 if rounding == "stochastic" else 0):  # its base is one of two neighbours
            enough = np.where(p <= q, up_to("cdf", k) >= p, up_to("sf", k) <= q)
            k = np.where(enough, k, k + 1)
        return k * step + 0.0

    def ends() -> tuple[Any, Any]:
        low, high = (np.asarray(end) / step for end in law.support)
        if rounding == "nearest":
            return np.floor(low + 0.5) * step, np.floor(high + 0.5) * step
        return (np.ceil(low) if rounding == "up" else np.floor(low)) * step, np.ceil(high) * step

    return lattice(
        chance,
        lambda k: up_to("cdf", k),
        lambda k: up_to("sf", k),
        ends(),
        step=step,
        quantile=quantile,
    )
