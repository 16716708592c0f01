"""The law of draws rounded to a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from braininit.theory.lattice import Lattice, lattice
from braininit.theory.law import Law
from braininit.theory.quadrature import gauss

__all__ = ["gridded"]


def gridded(law: Law, step: Any, rounding: str) -> Law:
    """The law of draws rounded to multiples of a step."""

    def tail(name: str, k: Any) -> Any:
        """P(K <= k) if `name` is "cdf", P(K > k) if it is "sf"."""
        if rounding == "nearest":  # halves go up
            return (law.below if name == "cdf" else law.above)((k + 0.5) * step)
        function = getattr(law, name)
        if rounding == "up":
            return function(k * step)
        return _averaged(law, name, k, step)

    def chance(k: Any) -> Any:
        below, above = tail("cdf", k - 1), tail("sf", k)
        upper = tail("sf", k - 1) - above
        return np.maximum(np.where(below < 0.5, tail("cdf", k) - below, upper), 0)

    def quantile(p: Any, q: Any) -> Any:
        x = law.quantile(p, q) / step
        k = np.floor(x + 0.5) if rounding == "nearest" else np.ceil(x) - (rounding == "stochastic")
        if rounding == "stochastic":  # k or the next
            enough = np.where(p <= q, tail("cdf", k) >= p, tail("sf", k) <= q)
            k = np.where(enough, k, k + 1)
        return k * step + 0.0

    def ends() -> tuple[Any, Any]:
        low, high = (np.asarray(end) / step for end in law.support)
        if rounding == "nearest":
            return np.floor(low + 0.5) * step, np.floor(high + 0.5) * step
        return (np.ceil(low) if rounding == "up" else np.floor(low)) * step, np.ceil(high) * step

    return lattice(
        chance,
        lambda k: tail("cdf", k),
        lambda k: tail("sf", k),
        ends(),
        step=step,
        quantile=quantile,
    )


def _averaged(law: Law, name: str, k: Any, step: Any) -> Any:
    """The mean of a distribution or survival function over the step after k.

    It is integrated in smooth pieces, which end where the function bends or jumps.
    """
    if isinstance(law, Lattice):  # flat between its values
        first, count = np.floor((k * step - law.offset) / law.step) + 1, np.ceil(step / law.step)
        values = (law.offset + (first + i) * law.step for i in range(int(np.max(count)) + 1))
        ends = [value / step - k for value in values]
        nodes, weights, atoms = *gauss(1), ()
    else:
        ends = [np.asarray(x) / step - k for x in (*law.support, *law.breaks)]
        nodes, weights, atoms = *gauss(32), law.atoms
    ends = np.broadcast_arrays(*(np.clip(x, 0.0, 1.0) for x in (0.0 * k, 1.0 + 0.0 * k, *ends)))
    ends = np.sort(np.stack(ends), axis=0)
    total = 0.0
    for start, width in zip(ends, np.diff(ends, axis=0), strict=False):
        if not np.any(width):
            continue
        for t, w in zip(nodes, weights, strict=True):
            x = (k + start + t * width) * step
            total = total + width * w * (getattr(law, name)(x) - _atoms_part(name, x, atoms))
    for at, p in atoms:  # exactly: the nodes would miss the jump
        share = np.clip(at / step - k, 0.0, 1.0)
        total = total + p * (1 - share if name == "cdf" else share)
    return total


def _atoms_part(name: str, x: Any, atoms: Any) -> Any:
    return sum((np.where((at <= x) == (name == "cdf"), p, 0.0) for at, p in atoms), 0.0)
