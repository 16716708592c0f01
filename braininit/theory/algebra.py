"""Laws under arithmetic: shifted and scaled, sums and products of independent draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from braininit._math import special
from braininit.theory.law import Law, adds, point, unless_zero

__all__ = ["affine", "evaluated", "on_side", "product", "total"]


def affine(law: Law, shift: Any, factor: Any) -> Law:
    """Return the law of shift + factor x, if `law` is that of x."""
    if np.all(factor == 1) and not np.any(shift):
        return law
    if law.is_point:
        return point(shift + factor * law.mean)
    up = factor > 0

    def at_origin(name: str, x: Any) -> Any:
        """Evaluate a function of `law` at (x - shift) / factor, less the rounding error."""
        (gap, gap_lost), y = special.difference(x, shift), (x - shift) / factor
        for at, _ in law.atoms:  # rounding must not move y onto an atom, nor past it
            y = on_side(y, at, np.sign((x - forward(at)) * np.where(up, 1.0, -1.0)))
        back, back_lost = special.product(y, factor)
        return evaluated(law, name, y, ((gap - back) + (gap_lost - back_lost)) / factor)

    def either(x: Any, y: Any) -> Any:
        return np.where(up, x, y)

    def forward(x: Any) -> Any:
        with np.errstate(invalid="ignore"):  # 0 times an infinite bound
            return shift + factor * x

    functions: dict[str, Any] = {}
    if law.has_functions:
        functions = {
            "pdf": lambda x: at_origin("pdf", x) / abs(factor),
            "log_pdf": lambda x: at_origin("log_pdf", x) - np.log(abs(factor)),
            "cdf": lambda x: either(at_origin("cdf", x), at_origin("above", x)),
            "sf": lambda x: either(at_origin("sf", x), at_origin("below", x)),
            "quantile": lambda p, q: forward(law.quantile(either(p, q), either(q, p))),
        }
    low, high = law.support
    if "moved" in law.closed:
        with np.errstate(all="ignore"):
            moved = law.closed["moved"](shift, factor)
        if not np.any(np.isfinite((low, high))):  # a finite bound lies at its rounded value
            moved = moved.with_functions(**functions)
        return unless_zero(factor, shift, moved)
    moved = Law(
        lambda: forward(law.mean),
        lambda: abs(factor) * law.std,
        **functions,
        skewness=lambda: np.sign(factor) * law.skewness,
        kurtosis=lambda: np.where(factor == 0, np.nan, law.kurtosis),
        support=(forward(either(low, high)), forward(either(high, low))),
        breaks=tuple(forward(x) for x in law.breaks),
        atoms=tuple((forward(x), p) for x, p in law.atoms),
    )
    return unless_zero(factor, shift, moved)


def evaluated(law: Law, name: str, y: Any, lost: Any) -> Any:
    """Evaluate a function of a law at y + lost, where `lost` is the rounding error of y.

    That error may be much of a narrow law's std.
    """
    p = getattr(law, name)(y)
    lost = np.where(abs(lost) < 1e-13 * abs(y), lost, 0.0)  # not where a product overflows
    if not np.any(lost):
        return p
    with np.errstate(all="ignore"):
        if name in ("pdf", "log_pdf"):
            above, below = (y * (1 + side * 2.0**-44) for side in (1, -1))
            log_change = (law.log_pdf(above) - law.log_pdf(below)) / (above - below) * lost
        else:
            log_change = np.where(name in ("cdf", "below"), 1, -1) * law.pdf(y) * lost / p
        log_change = np.where(abs(log_change) < 1, log_change, 0.0)
        return p + log_change if name == "log_pdf" else p * np.exp(log_change)


def on_side(y: Any, at: Any, side: Any) -> Any:
    """Move y onto `at` where `side` is 0, below it where -1, above it where 1, if it is not yet."""
    below, above = np.nextafter(at, -np.inf), np.nextafter(at, np.inf)
    moved = np.where(side < 0, np.minimum(y, below), np.maximum(y, above))
    return np.where(side == 0, at, np.where(np.isnan(side), y, moved))


def total(first: Law, second: Law) -> Law:
    """Return the law of the sum of independent draws: cumulants add.

    Its density is known only where both laws are of one family that is closed under sums.
    """
    if second.is_point:
        return affine(first, second.mean, 1.0)
    if first.is_point:
        return affine(second, first.mean, 1.0)
    if adds(first, second) and (law := first.closed["plus"](*second.family[1:])) is not None:
        return law

    def cumulant(n: int, name: str) -> Any:
        spread = np.hypot(first.std, second.std)
        shares = ((x.std / spread, getattr(x, name)) for x in (first, second))
        return sum(np.where(share == 0, 0.0, value * share**n) for share, value in shares)

    return Law(
        lambda: first.mean + second.mean,
        lambda: np.hypot(first.std, second.std),
        skewness=lambda: cumulant(3, "skewness"),
        kurtosis=lambda: cumulant(4, "kurtosis"),
        support=tuple(x + y for x, y in zip(first.support, second.support, strict=True)),
    )


def product(first: Law, second: Law) -> Law:
    """Return the law of the product of independent draws, from the moments of both."""
    if second.is_point:
        return affine(first, 0.0, second.mean)
    if first.is_point:
        return affine(second, 0.0, first.mean)
    if "times" in first.closed and (law := first.closed["times"](second)) is not None:
        return law

    # Each law is measured in a size of its own, so that fourth powers are in range.
    sizes = [np.maximum(abs(law.mean), law.std) for law in (first, second)]
    sizes = [np.where((size > 0) & (size < np.inf), size, 1.0) for size in sizes]

    def central(n: int) -> Any:
        """E[(xy - E[xy])^n], from the central moments of x and y."""
        pair = list(zip((first, second), sizes, strict=True))
        moments = [_central(law, size) for law, size in pair]
        means = [law.mean / size for law, size in pair]
        value = 0.0
        for i in range(n + 1):
            for j in range(n + 1 - i):
                # Powers of mean(x) dy, of mean(y) dx, and of dx dy.
                k = n - i - j
                ways = math.factorial(n) // math.prod(map(math.factorial, (i, j, k)))
                powers = means[0] ** i * means[1] ** j
                value = value + ways * powers * moments[0][j + k] * moments[1][i + k]
        return value

    with np.errstate(invalid="ignore"):  # 0 times infinity
        corners = np.stack(
            np.broadcast_arrays(*(x * y for x in first.support for y in second.support))
        )
    corners = np.where(np.isnan(corners), 0.0, corners)
    return Law(
        lambda: first.mean * second.mean,
        lambda: sizes[0] * sizes[1] * np.sqrt(central(2)),
        skewness=lambda: central(3) / central(2) ** 1.5,
        kurtosis=lambda: central(4) / central(2) ** 2 - 3,
        support=(corners.min(0), corners.max(0)),
    )


def _central(law: Law, size: Any) -> list[Any]:
    """The central moments from the zeroth to the fourth, in units of a size."""
    std = law.std / size
    flat = std == 0
    third, fourth = np.where(flat, 0.0, law.skewness), np.where(flat, 0.0, law.kurtosis + 3)
    return [1.0, 0.0, std**2, third * std**3, fourth * std**4]
