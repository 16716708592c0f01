"""Laws of multiples of a step, each of which has a probability of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from braininit.theory.law import Law, adds

__all__ = ["NEAR", "Lattice", "lattice"]

NEAR = 1e-15
"""How far off a multiple, in parts of it, a float64 still counts as it: 0.3 as 3 times 0.1."""
_TAIL = 1e-20
"""What is rarer on either side adds nothing to a moment."""
_MOST = 2**22
"""Multiples that are added up."""
_LISTED = 1000
"""Multiples that a law lists: with them its sums, powers and mixtures know their points, too."""


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
    """Make a law from functions of how many steps: the probability, and P(K <= k), P(K > k).

    Steps count from the `offset`. `quantile` is in numbers, as are `support` and the `moments`;
    without these they are sums.
    """

    def steps(x: Any) -> tuple[Any, Any]:
        """How many, and by how much rounding may be off."""
        return (x - offset) / step, NEAR * (abs(x / step) + abs(offset / step))

    def index(x: Any) -> Any:
        return np.floor(np.add(*steps(x)))

    def at(x: Any) -> Any:
        count, slack = steps(x)
        k = np.round(count)
        return np.where(abs(count - k) <= slack, chance(k), 0.0)

    def drawn(most: int) -> Any:
        """The multiples that are drawn, along axis 0; None if they are more than so many."""
        with np.errstate(all="ignore"):
            first, last = (index(made.quantile(*p)) for p in ((_TAIL, 1.0), (1.0, _TAIL)))
            count = np.max(last - first) + 1
        if not count <= most:
            return None
        return first + np.arange(int(count)).reshape(-1, *[1] * np.ndim(first))

    def cut(low: Any, high: Any) -> Law:
        """The law between two numbers."""
        low, high = (np.clip(end, *support) for end in (low, high))
        ends = first, last = np.ceil(np.subtract(*steps(low))), index(high)

        def between(start: Any, end: Any) -> Any:
            """P(start <= K <= end), by the smaller tail."""
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

        def plus(law: Law, more: Any, its: Any) -> Law | None:
            same = np.all(its == factor)
            both = made.closed["plus"](*law.family[1:]) if same and adds(made, law) else None
            return None if both is None else both.closed["moved"](shift + more, factor)

        low, high = (shift + factor * end for end in support)
        return lattice(
            mirrored(chance, chance, 0),
            mirrored(cdf, sf, 1),
            mirrored(sf, cdf, 1),
            (np.where(up, low, high), np.where(up, high, low)),
            step=step * abs(factor),
            offset=shift + factor * offset,
            quantile=lambda p, q: (
                shift + factor * made.quantile(np.where(up, p, q), np.where(up, q, p))
            ),
            moments=(
                lambda: shift + factor * made.mean,
                lambda: abs(factor) * made.std,
                lambda: np.sign(factor) * made.skewness,
                lambda: np.where(factor == 0, np.nan, made.kurtosis),
            ),
            family=(lattice, made, shift, factor),
            plus=plus,
        )

    @functools.cache
    def summed() -> Any:
        if (k := drawn(_MOST)) is None:
            raise ArithmeticError(f"the moments on a grid are sums of more than {_MOST} numbers")
        p = chance(k)
        total = p.sum(0)
        mean = (p * (k - k[0])).sum(0) / total  # from the first one on, where sums are small
        away = k - k[0] - mean
        second, third, fourth = ((p * away**n).sum(0) / total for n in (2, 3, 4))
        with np.errstate(all="ignore"):
            shape = third / second**1.5, fourth / second**2 - 3
        return offset + (k[0] + mean) * step, np.sqrt(second) * abs(step), *shape

    mean, std, skewness, kurtosis = moments or (
        functools.partial(lambda i: summed()[i], i) for i in range(4)
    )
    made = Lattice(
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
        cut=cut,
        moved=moved,
    )
    made.closed |= closed
    made.chance, made.step, made.offset = at, step, offset
    if (listed := drawn(_LISTED)) is not None:
        made.atoms = tuple(zip(offset + listed * step, chance(listed), strict=True))
    return made


class Lattice(Law):
    """A law whose values have probabilities of their own, perhaps too many to be listed."""

    chance: Any
    step: Any
    offset: Any

    def snapped(self, x: Any, near: float) -> Any:
        with np.errstate(all="ignore"):
            value = self.offset + np.round((x - self.offset) / self.step) * self.step
            return np.where(abs(x - value) <= near * abs(value), value, x)

    def quantile(self, p: Any, q: Any) -> Any:
        x = self.snapped(super().quantile(p, q), 4 * NEAR)  # a search ends where one counts as it
        # Rounding must not lead beyond a probability that is the law's own. Of p and q the larger
        # one is often 1 less the other, rounded.
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
