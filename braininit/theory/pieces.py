"""Laws put together from pieces: parts of one, mixtures of several."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from braininit._math import special
from braininit.theory.algebra import affine
from braininit.theory.law import Law
from braininit.theory.quadrature import gauss, spread

__all__ = ["clipped", "mass_between", "mixture_of", "pooled_law", "truncated_at"]

MOMENTS = ("mean", "std", "skewness", "kurtosis")

# ---------------------------------------------------------------- mixtures


def mixture_of(laws: Sequence[Law], weights: Any) -> Law:
    """The law of a draw from one of several, by probabilities that lie along axis 0."""
    weights = list(np.asarray(weights, float))
    pairs = [(law, w) for law, w in zip(laws, weights, strict=True) if np.any(w)]

    def summed(name: str) -> Any:
        return lambda x: sum(_weighted(w, getattr(law, name)(x)) for law, w in pairs)

    def log_pdf(x: Any) -> Any:
        return functools.reduce(np.logaddexp, (np.log(w) + law.log_pdf(x) for law, w in pairs))

    @functools.cache
    def moments() -> Any:
        moments = [[getattr(law, n) for n in MOMENTS] for law, _ in pairs]
        return mixed_moments([w for _, w in pairs], *zip(*moments, strict=True))

    functions: dict[str, Any] = {}
    if all(law.has_functions for law, _ in pairs):
        functions = {"pdf": summed("pdf"), "cdf": summed("cdf"), "sf": summed("sf")}
        functions["log_pdf"] = log_pdf
    ends = [law.support for law, _ in pairs]
    inner = (x for law, _ in pairs for x in (*law.support, *law.breaks))
    return Law(
        lambda: moments()[0],
        lambda: moments()[1],
        **functions,
        skewness=lambda: moments()[2],
        kurtosis=lambda: moments()[3],
        support=(
            functools.reduce(np.minimum, (low for low, _ in ends)),
            functools.reduce(np.maximum, (high for _, high in ends)),
        ),
        breaks=tuple(x for x in inner if np.all(np.isfinite(x))),
        atoms=tuple((x, p * w) for law, w in pairs for x, p in law.atoms),
        parts=lambda: tuple(zip(*pairs, strict=True)),
        moved=lambda *by: mixture_of([affine(law, *by) for law, _ in pairs], [w for _, w in pairs]),
    )


def _weighted(weight: Any, value: Any) -> Any:
    """The product, 0 where the weight is 0 even if the value is infinite or NaN."""
    return np.where(weight > 0, weight * np.where(weight > 0, value, 0.0), 0.0)


def mixed_moments(weights: Any, means: Any, stds: Any, skews: Any, kurts: Any) -> tuple[Any, ...]:
    """Mean, std, skewness and kurtosis of a mixture, from the moments of its parts along axis 0."""
    parts = list(zip(weights, means, stds, skews, kurts, strict=True))
    mean = sum(w * m for w, m, *_ in parts)
    # Deviations are measured in their largest size, so that fourth powers are in range.
    size = functools.reduce(np.maximum, (np.maximum(abs(m - mean), s) for _, m, s, *_ in parts))
    size = np.where((size > 0) & (size < np.inf), size, 1.0)
    second = third = fourth = 0.0
    for w, m, s, skew, kurt in parts:
        d, s = (m - mean) / size, s / size
        skew, kurt = (np.where(s > 0, x, 0.0) for x in (skew, kurt))
        second = second + w * (s**2 + d**2)
        third = third + w * (skew * s**3 + 3 * d * s**2 + d**3)
        fourth = fourth + w * ((kurt + 3) * s**4 + 4 * d * skew * s**3 + 6 * d**2 * s**2 + d**4)
    std = np.sqrt(second)
    return mean, size * std, third / second / std, fourth / second / second - 3


def pooled_law(law: Law) -> Law:
    """The law of an element picked at random among all elements of a law."""
    if not law.shape or not law.has_functions:
        return law

    def averaged(name: str) -> Any:
        function = getattr(law, name)
        return np.vectorize(lambda x: np.mean(function(x)), otypes=[float])

    @functools.cache
    def moments() -> Any:
        flat = [np.ravel(np.broadcast_to(getattr(law, name), law.shape)) for name in MOMENTS]
        return mixed_moments(np.full(len(flat[0]), 1 / len(flat[0])), *flat)

    low, high = law.support
    return Law(
        lambda: moments()[0],
        lambda: moments()[1],
        *map(averaged, ("pdf", "cdf", "sf")),
        skewness=lambda: moments()[2],
        kurtosis=lambda: moments()[3],
        support=(np.min(low), np.max(high)),
    )


# ---------------------------------------------------------------- clipped


def clipped(law: Law, low: Any, high: Any) -> Law:
    """The law of draws clipped to bounds, which become atoms."""
    ends = tuple(np.clip(end, low, high) for end in law.support)
    outside = ((low, law.cdf(low)), (high, law.above(high)))
    outside = tuple((x, np.where(np.isfinite(x), p, 0.0)) for x, p in outside)

    def density(name: str, zero: float) -> Any:
        def function(x: Any) -> Any:
            value = np.where((x > low) & (x < high), getattr(law, name)(x), zero)
            for end, p in outside:
                at_end = np.where(p > 0, np.inf, getattr(law, name)(end))
                value = np.where(x == end, at_end, value)
            return value

        return function

    return Law(
        pdf=density("pdf", 0.0),
        log_pdf=density("log_pdf", -np.inf),
        cdf=lambda x: np.where(x < low, 0.0, np.where(x >= high, 1.0, law.cdf(x))),
        sf=lambda x: np.where(x < low, 1.0, np.where(x >= high, 0.0, law.sf(x))),
        quantile=lambda p, q: np.clip(law.quantile(p, q), low, high),
        support=ends,
        breaks=law.breaks,
        atoms=(
            *outside,
            *((x, np.where((x > low) & (x < high), p, 0.0)) for x, p in law.atoms),
        ),
    )


# ---------------------------------------------------------------- truncated


def truncated_at(law: Law, low: Any, high: Any) -> Law:
    """The law between two bounds, however far out in a tail they lie."""
    if "truncated" in law.closed:
        return law.closed["truncated"](low, high)
    low, high = (np.clip(end, *law.support) for end in (low, high))
    deep = np.minimum(law.cdf(high), law.sf(low)) < 1e-280
    mass = mass_between(law, low, high)
    # Where the tail itself underflows, masses are relative to the density at the likelier bound.
    from_low = law.log_pdf(low) >= law.log_pdf(high)
    start = np.where(from_low, low, high)
    deep_mass = _outwards(law, start, np.where(from_low, high, low)) if np.any(deep) else mass
    log_mass = np.where(deep, law.log_pdf(start) + np.log(deep_mass), np.log(mass))

    def part(x: Any, up: bool) -> Any:
        """The share of the mass between x and the upper or the lower bound."""
        x, bound = np.clip(x, low, high), high if up else low
        absolute = mass_between(law, *((low, x) if not up else (x, high)))
        # A representable share may underflow as a mass. There a steep density falls outwards, and
        # towards 0 every density falls in the logarithm of x.
        on = 1.05 if up else 0.95
        steep = law.log_pdf(x) - law.log_pdf(np.where(x > 0, x * on, x / on)) > 1
        steep |= _towards_zero(x, bound)
        faint = deep | ((absolute < 1e-290) & steep & (x != bound))
        if not np.any(faint):
            return absolute / mass
        near = deep & (from_low if not up else ~from_low)  # from the start to x, else from x on
        first = np.where(near, start, x)
        log_part = np.log(_outwards(law, first, np.where(near, x, bound)))
        share = np.where(x == bound, 0.0, np.exp(log_part + law.log_pdf(first) - log_mass))
        return np.where(faint, share, absolute / mass)

    def log_pdf(x: Any) -> Any:
        return np.where((x >= low) & (x <= high), law.log_pdf(x) - log_mass, -np.inf)

    # Floats are densest around 0: move the bound next to a pole, as of a beta distribution, there.
    end = np.where(high == law.support[1], high, low)

    @functools.cache
    def at_zero() -> Law:
        moved = law.closed["moved"](-end, 1.0)
        return truncated_at(moved, low - end, high - end)

    moments: dict[str, Any] = {}
    if "moved" in law.closed and np.any(end != 0) and np.all(np.isfinite(end)):
        moments = {
            name: functools.partial(lambda n: getattr(at_zero(), n), name) for name in MOMENTS
        }
        moments["mean"] = lambda: end + at_zero().mean
    return Law(
        **moments,
        log_pdf=log_pdf,
        cdf=lambda x: part(x, False),
        sf=lambda x: part(x, True),
        support=(low, high),
        breaks=law.breaks,
        truncated=lambda least, most: truncated_at(
            law, np.maximum(low, least), np.minimum(high, most)
        ),
    )


def mass_between(law: Law, x: Any, y: Any) -> Any:
    """The probability of (x, y], also where x and y are close together or far out in one tail."""
    x, y = np.broadcast_arrays(x, y)
    with np.errstate(all="ignore"):
        below, above = law.cdf(y), law.sf(x)
        lower = below < above
        mass = np.where(lower, below - law.cdf(x), above - law.sf(y))
        smaller = np.minimum(below, above)
        if np.any(close := (mass < 0.02 * smaller) & (y > x)):
            t, w = (a.reshape(-1, *[1] * mass.ndim) for a in gauss(48))
            start, end = (np.where(close, bound, 0.0) for bound in (x, y))
            cuts = (np.clip(at, start, end) for at in law.breaks)  # where the density is not smooth
            ends, total = np.sort(np.stack(np.broadcast_arrays(start, *cuts, end)), axis=0), 0.0
            for a, b in itertools.pairwise(ends):
                at, _, measure, _ = spread(t, a, b, law.support)
                total = total + (w * np.where(measure > 0, measure * law.pdf(at), 0.0)).sum(0)
            # The integral lacks atoms: it is used only where it agrees.
            mass = np.where(close & (abs(total - mass) < 1e-9 * smaller), total, mass)
    return np.maximum(mass, 0)


def _outwards(law: Law, start: Any, end: Any) -> Any:
    """The integral of the density from `start` to `end`, relative to the density at `start`.

    The density must fall on the way. Towards 0 it may fall as a power of x, and is integrated over
    log(x).
    """
    start, end = np.broadcast_arrays(start, end)
    inward = _towards_zero(start, end)
    sign, top = np.sign(end - start), law.log_pdf(start)

    def exponent(t: Any) -> Any:
        x = np.where(inward, start * np.exp(-t), start + sign * t)
        return top - law.log_pdf(x) + np.where(inward, t, 0.0)

    reach = np.where(inward, np.log(abs(start / end)), abs(end - start))
    cut = np.minimum(reach, np.where(inward, 1.0, np.maximum(abs(start), 1e-300)))
    while np.any(short := (exponent(cut) < 40) & (cut < reach)):
        cut = np.where(short, np.minimum(2 * cut, reach), cut)
    least = np.zeros(cut.shape)
    for _ in range(60):
        if not np.any(long := exponent(cut) > 100):
            break
        middle = (least + cut) / 2
        enough = exponent(middle) > 40
        least = np.where(long & ~enough, middle, least)
        cut = np.where(long & enough, middle, cut)
    return np.where(inward, abs(start), 1.0) * special.integral(exponent, 40 / cut, 0.0, cut)


def _towards_zero(start: Any, end: Any) -> Any:
    return (np.sign(start) * np.sign(end) >= 0) & (abs(end) < abs(start))
