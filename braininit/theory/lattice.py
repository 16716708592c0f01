"""Laws whose values are multiples of a step, each with a nonzero probability."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from braininit.theory.law import Law, adds

__all__ = ["NEAR", "Lattice", "lattice"]

NEAR = 1e-15
"""The relative distance at which a float64 still counts as a multiple: 0.3 as 3 times 0.1."""
_TAIL = 1e-20
"""Tails with less probability are left out of moments."""
_MAX_SUMMED = 2**22
"""The most multiples to sum for a moment."""
_MAX_ATOMS = 1000
"""The most multiples to list as atoms, which sums, powers and mixtures of the law then inherit."""


def lattice(
    chance: Callable[[Any], Any],
    cdf: Callable[[Any], Any],
    sf: Callable[[Any], Any],
    support: tuple[Any, Any],
    *,
    step: Any = 1.0,
    offset: Any = 0.0,
    quantile: Callable[[Any, Any], Any] | None = None,
    moments: tuple[Any, Any, Any, Any] | None = None,
    family: tuple[Any, ...] = (),
    **closed: Callable[..., Any],
) -> Law:
    """Make a law from functions of the number of steps K: P(K = k), P(K <= k) and P(K > k).

    Steps are counted from the `offset`. `quantile`, `support` and `moments` are of the values
    themselves; without `moments` they are summed.
    """

    def steps(x: Any) -> tuple[Any, Any]:
        """The number of steps to x, and its rounding error."""
        return (x - offset) / step, NEAR * (abs(x / step) + abs(offset / step))

    def index(x: Any) -> Any:
        return np.floor(np.add(*steps(x)))

    def at(x: Any) -> Any:
        count, slack = steps(x)
        k = np.round(count)
        return np.where(abs(count - k) <= slack, chance(k), 0.0)

    def multiples(limit: int) -> Any:
        """The k outside the tails, along axis 0; None if there are more than `limit`."""
        with np.errstate(all="ignore"):
            first, last = (index(law.quantile(*p)) for p in ((_TAIL, 1.0), (1.0, _TAIL)))
            count = np.max(last - first) + 1
        if not count <= limit:
            return None
        return first + np.arange(int(count)).reshape(-1, *[1] * np.ndim(first))

    def truncated(low: Any, high: Any) -> Law:
        """The law truncated to [low, high]."""
        low, high = (np.clip(end, *support) for end in (low, high))
        ends = first, last = np.ceil(np.subtract(*steps(low))), index(high)

        def between(start: Any, end: Any) -> Any:
            """P(start <= K <= end), from the smaller tail."""
            below, above = cdf(end), sf(start - 1)
            part = np.where(below < above, below - cdf(start - 1), above - sf(end))
            return np.where(start > end, 0.0, np.where(start == end, chance(start), part))

        mass = between(*ends)
        return lattice(
            lambda k: np.where((k >= first) & (k <= last), chance(k) / mass, 0.0),
            lambda k: between(first, np.minimum(k, last)) / mass,
            lambda k: between(np.maximum(k + 1, first), last) / mass,
            (offset + first * step, offset + last * step),
            step=step,
            offset=offset,
        )

    def moved(shift: Any, factor: Any) -> Law:
        up = factor > 0

        def mirrored(function: Any, other: Any, beyond: int) -> Any:
            return lambda k: np.where(up, function(k), other(-k - beyond))

        def plus(other: Law, other_shift: Any, other_factor: Any) -> Law | None:
            if not (np.all(other_factor == factor) and adds(law, other)):
                return None
            both = law.closed["plus"](*other.family[1:])
            return None if both is None else both.closed["moved"](shift + other_shift, factor)

        low, high = (shift + factor * end for end in support)
        return lattice(
            mirrored(chance, chance, 0),
            mirrored(cdf, sf, 1),
            mirrored(sf, cdf, 1),
            (np.where(up, low, high), np.where(up, high, low)),
            step=step * abs(factor),
            offset=shift + factor * offset,
            quantile=lambda p, q: (
                shift + factor * law.quantile(np.where(up, p, q), np.where(up, q, p))
            ),
            moments=(
                lambda: shift + factor * law.mean,
                lambda: abs(factor) * law.std,
                lambda: np.sign(factor) * law.skewness,
                lambda: np.where(factor == 0, np.nan, law.kurtosis),
            ),
            family=(lattice, law, shift, factor),
            plus=plus,
        )

    @functools.cache
    def summed() -> Any:
        if (k := multiples(_MAX_SUMMED)) is None:
            raise ArithmeticError(
                f"the moments on a grid are sums of more than {_MAX_SUMMED} numbers"
            )
        p = chance(k)
        total = p.sum(0)
        mean = (p * (k - k[0])).sum(0) / total  # from the first k, so that sums are small
        away = k - k[0] - mean
        second, third, fourth = ((p * away**n).sum(0) / total for n in (2, 3, 4))
        with np.errstate(all="ignore"):
            shape = third / second**1.5, fourth / second**2 - 3
        return offset + (k[0] + mean) * step, np.sqrt(second) * abs(step), *shape

    mean, std, skewness, kurtosis = moments or (
        functools.partial(lambda i: summed()[i], i) for i in range(4)
    )
    law = Lattice(
        mean,
        std,
        lambda x: np.where(at(x) > 0, np.inf, 0.0),
        lambda x: cdf(index(x)),
        lambda x: sf(index(x)),
        quantile=quantile,
        skewness=skewness,
        kurtosis=kurtosis,
        support=support,
        family=family,
        truncated=truncated,
        moved=moved,
    )
    law.closed |= closed
    law.chance, law.step, law.offset = at, step, offset
    if (k := multiples(_MAX_ATOMS)) is not None:
        law.atoms = tuple(zip(offset + k * step, chance(k), strict=True))
    return law


class Lattice(Law):
    """A law whose values all have nonzero probabilities; `atoms` lists them unless too many."""

    chance: Any
    step: Any
    offset: Any

    def snapped(self, x: Any, near: float) -> Any:
        with np.errstate(all="ignore"):
            value = self.offset + np.round((x - self.offset) / self.step) * self.step
            return np.where(abs(x - value) <= near * abs(value), value, x)

    def quantile(self, p: Any, q: Any) -> Any:
        # A search ends at a number near enough to count as the multiple.
        x = self.snapped(super().quantile(p, q), 4 * NEAR)
        # At a probability that `cdf` or `sf` attains, rounding must not lead to the next multiple.
        # The larger of p and q is often 1 less the other, rounded.
        below, slack = x - self.step, np.where(q > 1e-3, 1e-12, 1e-15)
        with np.errstate(all="ignore"):
            enough = np.where(
                p <= q, self.cdf(below) >= p * (1 - 1e-15), self.sf(below) <= q * (1 + slack)
            )
            enough &= (below >= self.support[0]) & np.isfinite(x) & (p > 0)
        return np.where(enough, below, x)

    def at(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            return self.chance(np.asarray(x, float))
