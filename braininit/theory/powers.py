"""Laws of powers and absolute values, by their branches on both sides of 0."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from braininit._math import special
from braininit.theory.algebra import affine, beside, carried
from braininit.theory.cumulants import MOST
from braininit.theory.law import Law, by_element, point
from braininit.theory.pieces import mass_between, mixture_of
from braininit.theory.quadrature import moments as integrated

__all__ = ["absolute", "power"]


def absolute(law: Law) -> Law:
    """The law of abs(x)."""
    return _branches(law, 1.0, fold=True)


def power(law: Law, exponent: Any) -> Law:
    """The law of x^exponent, which may be an array: each element has its own."""
    exponents, which = np.unique(exponent, return_inverse=True)
    laws = [_one_power(law, each) for each in exponents.tolist()]
    return by_element(which.reshape(np.shape(exponent)), laws) if np.ndim(exponent) else laws[0]


def _one_power(law: Law, exponent: float) -> Law:
    if exponent == 0:
        return point(np.ones(law.shape))
    return _branches(law, exponent, fold=exponent % 2 == 0)


def _branches(law: Law, exponent: float, fold: bool) -> Law:
    """The law of x^exponent, or with `fold` of |x|^exponent: monotone on each side of 0."""
    low, high = law.support
    if exponent == 1 and (not fold or np.all(np.asarray(low) >= 0)):
        return law
    if law.is_point:
        return point((abs(law.mean) if fold else law.mean) ** exponent)
    if "parts" in law.closed:  # panels that fit the mixture may be too wide for a narrow part
        laws, weights = law.closed["parts"]()
        return mixture_of([_branches(part, exponent, fold) for part in laws], weights)
    if "branches" in law.closed:
        return law.closed["branches"](exponent, fold)
    if "raised" in law.closed and (known := law.closed["raised"](exponent)) is not None:
        return known
    up = exponent > 0

    def forth(x: Any) -> Any:
        size = abs(x) ** abs(exponent)
        size = size if up else 1 / size
        return size if fold else np.copysign(size, x)

    # A root rounded to float64 may be off by much of a narrow law's std. What it lacks of the true
    # one, in parts of itself, is carried over by the slope.
    def lacking(y: Any, r: Any) -> Any:
        return _lacking(abs(y), r, exponent)

    def root(y: Any) -> Any:
        r: Any = np.sqrt(abs(y)) if abs(exponent) == 2 else abs(y) ** (1 / abs(exponent))
        r = r if up else 1 / r
        r = r * (1 + lacking(y, r))
        for at, _ in law.atoms:  # rounding must not carry y onto one, nor past it
            r = beside(r, abs(at), np.sign(abs(y) - abs(forth(at))) * (1 if up else -1))
        return r

    def whole(p: Any, y: Any, rises: bool) -> Any:
        r = root(y)
        lack = lacking(y, r)
        if not np.any(lack):
            return p
        side = np.where(rises == up, 1.0, -1.0) * (1.0 if fold else np.sign(y))
        density = law.pdf(r) + law.pdf(-r) if fold else law.pdf(np.copysign(r, y))
        rate = side * density * r * lack / p
        return p * np.exp(np.where(abs(rate) < 1, rate, 0.0))

    def raw_log_pdf(y: Any) -> Any:
        r = root(y)
        lost = r * lacking(y, r)
        if fold:
            sides = (carried(law, "log_pdf", s * r, s * lost) for s in (1, -1))
            p = np.where(y < 0, -np.inf, np.logaddexp(*sides))
        else:
            p = carried(law, "log_pdf", np.copysign(r, y), np.copysign(1.0, y) * lost)
        return p if exponent == 1 else p + np.log(r / abs(y)) - np.log(abs(exponent))

    def log_pdf(y: Any) -> Any:
        near, nearer = (raw_log_pdf(np.full(np.shape(y), at)) for at in (1e-250, 1e-290))
        rises = nearer - near
        limit = np.where(abs(rises) < 1, nearer, np.where(rises > 0, np.inf, -np.inf))
        at_zero: Any = limit if up else -np.inf
        return np.where(y == 0, at_zero, raw_log_pdf(y))

    # The mass below y, and above it: inside or outside of -r and r, or on one side of them.
    def inside(r: Any) -> Any:
        """-r <= x <= r."""
        return mass_between(law, -r, r) + law.at(-r)

    def outside(r: Any) -> Any:
        return law.sf(r) + law.below(-r)

    def cdf(y: Any) -> Any:
        r = root(y)
        if fold:
            within = inside(r) if up else outside(r) + law.at(r) + np.where(r > 0, law.at(-r), 0)
            return np.where(y < 0, 0.0, within)
        if up:
            return law.cdf(np.copysign(r, y))
        zero = np.zeros(())
        negative = mass_between(law, -r, zero) + law.at(-r) - law.at(zero)
        return np.where(y < 0, negative, law.below(zero) + np.where(y > 0, law.above(r), 0.0))

    def sf(y: Any) -> Any:
        r = root(y)
        if fold:
            beyond = outside(r) if up else inside(r) - law.at(r) - np.where(r > 0, law.at(-r), 0)
            return np.where(y < 0, 1.0, beyond)
        if up:
            return law.sf(np.copysign(r, y))
        zero = np.zeros(())
        positive = mass_between(law, zero, r) + law.at(zero) - law.at(r)
        return np.where(y <= 0, law.below(-r) * (y < 0) + law.above(zero), positive)

    def quantile(p: Any, q: Any) -> Any:
        return forth(law.quantile(*((p, q) if up else (q, p))))

    with np.errstate(all="ignore"):
        monotone = (up and not fold) or np.all(np.asarray(low) >= 0)
        signed = np.where(np.equal(high, 0), np.copysign(0.0, low), high)  # 1 / -0.0 is -inf
        ends = [forth(np.where(np.equal(low, 0), 0.0, low)), forth(signed)]
        smallest, largest = np.minimum(*ends), np.maximum(*ends)
        across = (np.asarray(low) < 0) & (np.asarray(high) > 0)
        if not monotone:
            beyond = np.inf if not up else largest
            smallest = np.where(across, (0.0 if up else smallest) if fold else -np.inf, smallest)
            largest = np.where(across, beyond, largest)
        breaks = tuple(forth(np.asarray(x)) for x in (*law.breaks, low, high))

    def change(start: Any, x: Any, away: Any) -> Any:
        near = abs(away) < abs(start) / 2
        ratio = np.where(near, away / np.where(near, start, 1.0), 0.0)
        small = forth(start) * np.expm1(exponent * np.log1p(ratio))
        return np.where(near, small, forth(x) - forth(start))

    @functools.cache
    def moments() -> Any:
        same = fold == (exponent % 2 == 0) or np.all(np.asarray(low) >= 0)
        if "powered" in law.closed and same and 2 <= exponent <= MOST and exponent % 1 == 0:
            return law.closed["powered"](int(exponent))
        if up and "moved" in law.closed and np.all(law.std < 1e-3 * abs(law.mean)):
            # Around 0 the points of a narrow law keep their digits.
            center = law.mean
            return integrated(
                affine(law, -center, 1.0),
                lambda x: forth(center + x),
                lambda start, x, away: change(center + start, center + x, away),
            )
        return integrated(law, forth, change, max(-exponent, 0.0))

    return Law(
        lambda: moments()[0],
        lambda: moments()[1],
        log_pdf=log_pdf,
        cdf=lambda y: whole(cdf(y), y, True),
        sf=lambda y: whole(sf(y), y, False),
        skewness=lambda: moments()[2],
        kurtosis=lambda: moments()[3],
        quantile=quantile if monotone else None,
        support=(smallest, largest),
        breaks=tuple(x for x in breaks if np.all(np.isfinite(x))),
        atoms=tuple((forth(x), p) for x, p in law.atoms),
        branches=lambda n, folded: _branches(law, exponent * n, fold or folded),
    )


def _lacking(y: Any, r: Any, exponent: float) -> Any:
    """By what part of itself the root r of y = r^exponent is too small, from rounding.

    By whole powers of both, for a fraction next to the exponent.
    """
    size = Fraction(abs(exponent))
    larger = max(size, 1 / size)
    if exponent == 1 or larger > _WHOLE:
        return np.zeros(())
    near = larger.limit_denominator(int(_WHOLE / larger))
    near = near if size >= 1 else 1 / near
    p, q = near.numerator, near.denominator
    (y, y_octaves), (r, r_octaves) = np.frexp(y), np.frexp(r)
    (upper, lower), (its_upper, its_lower) = _power_exactly(y, q), _power_exactly(r, p)
    scale = np.ldexp(1.0, q * y_octaves - (p if exponent > 0 else -p) * r_octaves)
    upper, lower = upper * scale, lower * scale
    if exponent > 0:
        lack = np.log1p(((upper - its_upper) + (lower - its_lower)) / (its_upper + its_lower))
    else:
        both, lost = special.product(upper, its_upper)
        lack = -np.log1p((both - 1) + lost + lower * its_upper + upper * its_lower)
    off = float(size / near - 1)
    lack = (lack / p - off * (np.log(r) + r_octaves * math.log(2))) / (1 + off)
    return np.where(abs(lack) < 1e-13, lack, 0.0)


_WHOLE = 300  # up to here powers of numbers from 1/2 to 1 are in range


def _power_exactly(x: Any, n: int) -> tuple[Any, Any]:
    """A power to twice the digits, as a sum of two numbers."""
    if n == 1:
        return x, np.zeros(())
    upper, lower = _power_exactly(x, n // 2)
    square, lost = special.product(upper, upper)
    lost = lost + 2 * upper * lower
    if n % 2 == 0:
        return square, lost
    upper, more = special.product(square, x)
    return upper, more + lost * x
