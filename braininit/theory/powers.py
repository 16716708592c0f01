"""Laws of powers and absolute values, from a branch on each side of 0."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from braininit._math import special
from braininit.theory.algebra import affine, evaluated, on_side
from braininit.theory.cumulants import MAX_EXPONENT
from braininit.theory.law import Law, by_element, point
from braininit.theory.pieces import mass_between, mixture_of
from braininit.theory.quadrature import moments as integrated_moments

__all__ = ["absolute", "power"]


def absolute(law: Law) -> Law:
    """The law of abs(x)."""
    return _branches(law, 1.0, fold=True)


def power(law: Law, exponent: Any) -> Law:
    """The law of x^exponent, which may be an array: each element has its own."""
    exponents, which = np.unique(exponent, return_inverse=True)
    laws = [_power(law, n) for n in exponents.tolist()]
    return by_element(which.reshape(np.shape(exponent)), laws) if np.ndim(exponent) else laws[0]


def _power(law: Law, exponent: float) -> Law:
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
    if "raised" in law.closed and (result := law.closed["raised"](exponent)) is not None:
        return result
    up = exponent > 0

    def forward(x: Any) -> Any:
        size = abs(x) ** abs(exponent)
        size = size if up else 1 / size
        return size if fold else np.copysign(size, x)

    # The rounding error of a root may be much of a narrow law's std. It is corrected by the slope.
    def root_error(y: Any, r: Any) -> Any:
        return _root_error(abs(y), r, exponent)

    def root(y: Any) -> Any:
        r: Any = np.sqrt(abs(y)) if abs(exponent) == 2 else abs(y) ** (1 / abs(exponent))
        r = r if up else 1 / r
        r = r * (1 + root_error(y, r))
        for at, _ in law.atoms:  # rounding must not move r onto an atom, nor past it
            r = on_side(r, abs(at), np.sign(abs(y) - abs(forward(at))) * (1 if up else -1))
        return r

    def corrected(p: Any, y: Any, rises: bool) -> Any:
        """Correct a probability for the rounding error of the root."""
        r = root(y)
        error = root_error(y, r)
        if not np.any(error):
            return p
        side = np.where(rises == up, 1.0, -1.0) * (1.0 if fold else np.sign(y))
        density = law.pdf(r) + law.pdf(-r) if fold else law.pdf(np.copysign(r, y))
        log_change = side * density * r * error / p
        return p * np.exp(np.where(abs(log_change) < 1, log_change, 0.0))

    def raw_log_pdf(y: Any) -> Any:
        r = root(y)
        lost = r * root_error(y, r)
        if fold:
            sides = (evaluated(law, "log_pdf", s * r, s * lost) for s in (1, -1))
            p = np.where(y < 0, -np.inf, np.logaddexp(*sides))
        else:
            p = evaluated(law, "log_pdf", np.copysign(r, y), np.copysign(1.0, y) * lost)
        return p if exponent == 1 else p + np.log(r / abs(y)) - np.log(abs(exponent))

    def log_pdf(y: Any) -> Any:
        near, nearer = (raw_log_pdf(np.full(np.shape(y), at)) for at in (1e-250, 1e-290))
        rises = nearer - near
        limit = np.where(abs(rises) < 1, nearer, np.where(rises > 0, np.inf, -np.inf))
        at_zero: Any = limit if up else -np.inf
        return np.where(y == 0, at_zero, raw_log_pdf(y))

    # The mass below or above y: inside or outside [-r, r], or on one side of r.
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
        return forward(law.quantile(*((p, q) if up else (q, p))))

    with np.errstate(all="ignore"):
        monotone = (up and not fold) or np.all(np.asarray(low) >= 0)
        signed = np.where(np.equal(high, 0), np.copysign(0.0, low), high)  # 1 / -0.0 is -inf
        ends = [forward(np.where(np.equal(low, 0), 0.0, low)), forward(signed)]
        smallest, largest = np.minimum(*ends), np.maximum(*ends)
        across = (np.asarray(low) < 0) & (np.asarray(high) > 0)
        if not monotone:
            beyond = np.inf if not up else largest
            smallest = np.where(across, (0.0 if up else smallest) if fold else -np.inf, smallest)
            largest = np.where(across, beyond, largest)
        breaks = tuple(forward(np.asarray(x)) for x in (*law.breaks, low, high))

    def change(start: Any, x: Any, away: Any) -> Any:
        """The power at x = start + away less the power at start, without cancellation."""
        near = abs(away) < abs(start) / 2
        ratio = np.where(near, away / np.where(near, start, 1.0), 0.0)
        small = forward(start) * np.expm1(exponent * np.log1p(ratio))
        return np.where(near, small, forward(x) - forward(start))

    @functools.cache
    def moments() -> Any:
        same = fold == (exponent % 2 == 0) or np.all(np.asarray(low) >= 0)
        if "powered" in law.closed and same and 2 <= exponent <= MAX_EXPONENT and exponent % 1 == 0:
            return law.closed["powered"](int(exponent))
        if up and "moved" in law.closed and np.all(law.std < 1e-3 * abs(law.mean)):
            # Moved to 0, the points of a narrow law keep their digits.
            center = law.mean
            return integrated_moments(
                affine(law, -center, 1.0),
                lambda x: forward(center + x),
                lambda start, x, away: change(center + start, center + x, away),
            )
        return integrated_moments(law, forward, change, max(-exponent, 0.0))

    return Law(
        lambda: moments()[0],
        lambda: moments()[1],
        log_pdf=log_pdf,
        cdf=lambda y: corrected(cdf(y), y, True),
        sf=lambda y: corrected(sf(y), y, False),
        skewness=lambda: moments()[2],
        kurtosis=lambda: moments()[3],
        quantile=quantile if monotone else None,
        support=(smallest, largest),
        breaks=tuple(x for x in breaks if np.all(np.isfinite(x))),
        atoms=tuple((forward(x), p) for x, p in law.atoms),
        branches=lambda n, folded: _branches(law, exponent * n, fold or folded),
    )


def _root_error(y: Any, r: Any, exponent: float) -> Any:
    """The relative rounding error of the root r of y = r^exponent, positive if r is too small.

    From integer powers of y and r, with a fraction close to the exponent.
    """
    size = Fraction(abs(exponent))
    larger = max(size, 1 / size)
    if exponent == 1 or larger > _MAX_POWER:
        return np.zeros(())
    near = larger.limit_denominator(int(_MAX_POWER / larger))
    near = near if size >= 1 else 1 / near
    p, q = near.numerator, near.denominator
    (y, y_octaves), (r, r_octaves) = np.frexp(y), np.frexp(r)
    (upper, lower), (r_upper, r_lower) = _exact_power(y, q), _exact_power(r, p)
    scale = np.ldexp(1.0, q * y_octaves - (p if exponent > 0 else -p) * r_octaves)
    upper, lower = upper * scale, lower * scale
    if exponent > 0:
        error = np.log1p(((upper - r_upper) + (lower - r_lower)) / (r_upper + r_lower))
    else:
        product, lost = special.product(upper, r_upper)
        error = -np.log1p((product - 1) + lost + lower * r_upper + upper * r_lower)
    off = float(size / near - 1)
    error = (error / p - off * (np.log(r) + r_octaves * math.log(2))) / (1 + off)
    return np.where(abs(error) < 1e-13, error, 0.0)


_MAX_POWER = 300  # up to here powers of numbers from 1/2 to 1 are in range


def _exact_power(x: Any, n: int) -> tuple[Any, Any]:
    """A power in double-double precision, as the sum of two numbers."""
    if n == 1:
        return x, np.zeros(())
    upper, lower = _exact_power(x, n // 2)
    square, lost = special.product(upper, upper)
    lost = lost + 2 * upper * lower
    if n % 2 == 0:
        return square, lost
    upper, more = special.product(square, x)
    return upper, more + lost * x
