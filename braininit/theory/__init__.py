"""Laws of the distributions: density, quantiles and moments.

All results are float64 NumPy, whatever JAX is set to, and independent of the code that draws, so
that each can check the other. `dist` is an initializer object. Its parameters may be arrays; `x`
and probabilities broadcast with them. `x` may be in any unit of its dimension. The known laws are
the distributions; their sums, products and quotients with numbers; powers, absolute values,
mixtures, clipped and truncated distributions. Sums and products of independent draws have moments.

Relative errors stay below 1e-10, in tails down to 1e-300; for powers, as long as a mean is below
1e10 std. A skewness or a kurtosis that nearly vanishes, as for the root of a narrow distribution or
in a narrow window, may be off by 1e-10. A shifted or scaled bound lies at its rounded value.

Some laws depend on the `size`: initializers scaled by fan, matrices, conditionals. Where entries
differ by position, the law is that of an entry picked at random. Without a known law, TypeError is
raised; ``estimate=100_000`` makes that many draws instead and returns an `Estimate` with its
standard error. `laws` has one entry per function; one statement adds your own distribution.

>>> import brainunit as u, braininit as init
>>> from braininit import theory
>>> dist = init.TruncatedNormal(0.5 * u.nS, 0.2 * u.nS, low=0.4 * u.nS)
>>> print(f"{theory.mean(dist):.4f}, {theory.std(dist):.4f}")
0.6018 nS, 0.1395 nS
>>> print(f"{theory.sf(init.Normal(0 * u.nS, 1 * u.nS), 20 * u.nS):.4e}")
2.7536e-89
>>> theory.pdf(init.Uniform(0 * u.mV, 4 * u.mV), [-1, 1, 3] * u.mV)
Quantity([0.   0.25 0.25], "1 / mV")
>>> print(f"{theory.std(init.KaimingNormal(), size=(128, 64)):.4f}")
0.1250
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brainunit as u
import numpy as np

from braininit._params import units
from braininit._params.shapes import SizeNeeded
from braininit.theory.estimates import Estimate, estimated
from braininit.theory.law import Law
from braininit.theory.lookup import Unknown, as_float64, find_law, laws, numbers_in, unknown
from braininit.theory.pieces import pooled_law

__all__ = [
    "Estimate",
    "Law",
    "cdf",
    "isf",
    "kurtosis",
    "laws",
    "log_pdf",
    "mean",
    "pdf",
    "pmf",
    "pooled",
    "ppf",
    "sf",
    "skewness",
    "std",
    "support",
]

# ---------------------------------------------------------------- moments


def mean(dist: Any, size: Any = None, *, estimate: int | None = None, rng: Any = None) -> Any:
    """Return the mean of a distribution, in the unit of its draws.

    >>> import braininit as init
    >>> spectral = init.Spectral(init.Normal(1.0, 1.0), norm=1.0)
    >>> value, error = init.theory.mean(spectral, (8, 8), estimate=1000, rng=0)
    >>> f"{value:.2f} +- {error:.3f}"
    '0.11 +- 0.001'
    """
    return _moment("mean", lambda x: x.mean(0), dist, size, estimate, rng)


def std(dist: Any, size: Any = None, *, estimate: int | None = None, rng: Any = None) -> Any:
    """Return the standard deviation of a distribution, in the unit of its draws."""
    return _moment("std", lambda x: x.std(0), dist, size, estimate, rng)


def skewness(dist: Any, size: Any = None, *, estimate: int | None = None, rng: Any = None) -> Any:
    """Return the skewness: the third central moment over std^3; NaN where the std is 0."""
    return _moment("skewness", lambda x: _standardized(x, 3), dist, size, estimate, rng)


def kurtosis(dist: Any, size: Any = None, *, estimate: int | None = None, rng: Any = None) -> Any:
    """Return the excess kurtosis: the fourth central moment over std^4, less 3.

    As in `scipy.stats`, it is 0 for a normal distribution; NaN where the std is 0.
    """
    return _moment("kurtosis", lambda x: _standardized(x, 4) - 3, dist, size, estimate, rng)


def support(dist: Any, size: Any = None) -> tuple[Any, Any]:
    """Return the ends of the smallest interval that holds all draws, in their unit.

    >>> import brainunit as u, braininit as init
    >>> print(*init.theory.support(init.Exponential(2 * u.ms) + 500 * u.us), sep=" to ")
    0.5 ms to inf ms
    """
    law, unit = find_law(dist, size)
    low, high = (np.broadcast_to(end, law.shape).copy() for end in law.support)
    return units.on(_plain(low), unit), units.on(_plain(high), unit)


# ---------------------------------------------------------------- functions of x


def pdf(dist: Any, x: Any, size: Any = None) -> Any:
    """Return the density of a distribution at x, in the inverse unit of its draws.

    It is infinite at a value with a nonzero probability, as with `Constant` or ``std=0``.
    """
    law, unit = _law_with_functions(dist, size)
    return units.on(_plain(law.pdf(_points(law, x, unit))), units.inverse(unit))


def pmf(dist: Any, x: Any, size: Any = None) -> Any:
    """Return the probability of the value x: a multiple on a grid, or a bound of clipped draws.

    It is 0 where draws are continuous. An x rounded to float32, off by up to 1e-6 of the value,
    still counts as the value.

    >>> import brainunit as u, braininit as init
    >>> print(f"{init.theory.pmf(init.Normal(0.0, 1.0).clip(min_val=0.0), [0, 1])}")
    [0.5 0. ]
    """
    law, unit = _law_with_functions(dist, size)
    x = law.snapped(numbers_in("x", x, unit), 1e-6)
    p, (low, high) = law.at(x), law.support
    if np.any((p == 0) & (law.pdf(x) == np.inf) & (x > low) & (x < high)):
        raise unknown(f"single values of {type(dist).__name__}")
    return _plain(np.broadcast_to(p, np.broadcast_shapes(np.shape(x), law.shape)).copy())


def log_pdf(dist: Any, x: Any, size: Any = None) -> Any:
    """Return the natural logarithm of the density at x, also where the density itself underflows.

    It is the density of draws without their unit, which is the unit of `mean`.

    >>> import braininit as init
    >>> init.theory.log_pdf(init.Normal(0.0, 1.0), 1e100)
    -5e+199
    """
    law, unit = _law_with_functions(dist, size)
    return _plain(law.log_pdf(_points(law, x, unit)))


def cdf(
    dist: Any, x: Any, size: Any = None, *, estimate: int | None = None, rng: Any = None
) -> Any:
    """Return the distribution function: the probability of a draw up to x.

    Its relative error, like that of `pdf` and `sf`, is below 1e-10 wherever float64 can hold the
    value, for shape parameters from 1e-3 to 1e15.
    """
    if estimate is not None:
        return _estimated_tail(False, dist, x, size, estimate, rng)
    law, unit = _law_with_functions(dist, size)
    return _plain(law.cdf(_points(law, x, unit)))


def sf(dist: Any, x: Any, size: Any = None, *, estimate: int | None = None, rng: Any = None) -> Any:
    """Return the survival function: the probability of a draw beyond x.

    It equals 1 - `cdf`, and keeps all digits where `cdf` is nearly 1.
    """
    if estimate is not None:
        return _estimated_tail(True, dist, x, size, estimate, rng)
    law, unit = _law_with_functions(dist, size)
    return _plain(law.sf(_points(law, x, unit)))


# ---------------------------------------------------------------- functions of a probability


def ppf(
    dist: Any, p: Any, size: Any = None, *, estimate: int | None = None, rng: Any = None
) -> Any:
    """Return the quantile: the smallest x that a draw does not exceed with probability p.

    >>> import brainunit as u, braininit as init
    >>> print(f"{init.theory.ppf(init.Exponential(2 * u.ms), 0.95):.4f}")
    5.9915 ms
    """
    p = _probability("p", p)
    if estimate is not None:
        return _estimated_quantile(p, dist, size, estimate, rng)
    law, unit = _law_with_functions(dist, size)
    return units.on(_plain(law.ppf(_broadcastable("p", p, law))), unit)


def isf(
    dist: Any, q: Any, size: Any = None, *, estimate: int | None = None, rng: Any = None
) -> Any:
    """Return the inverse of `sf`: the smallest x that a draw exceeds with probability q at most.

    It equals `ppf` at 1 - q, and keeps all digits where q is small.
    """
    q = _probability("q", q)
    if estimate is not None:
        return _estimated_quantile(1 - q, dist, size, estimate, rng)
    law, unit = _law_with_functions(dist, size)
    return units.on(_plain(law.isf(_broadcastable("q", q, law))), unit)


# ---------------------------------------------------------------- all draws together


def pooled(dist: Any, size: Any = None) -> tuple[Law | None, u.Unit | None]:
    """Return the law of one draw picked at random among all, and its unit.

    With array parameters every element has its own law; a histogram of the draws shows their
    mixture. If only its moments are known, ``has_functions`` is False. Without a known law the
    result is ``(None, None)``.
    """
    try:
        law, unit = find_law(dist, size)
    except (Unknown, SizeNeeded):
        return None, None
    return pooled_law(law), unit


# ---------------------------------------------------------------- helpers


def _law_with_functions(dist: Any, size: Any) -> tuple[Law, u.Unit | None]:
    """The law and its unit; raise where only moments are known."""
    law, unit = find_law(dist, size)
    if not law.has_functions:
        raise unknown(f"{type(dist).__name__} but its moments")
    return law, unit


def _points(law: Law, x: Any, unit: Any) -> np.ndarray:
    return _broadcastable("x", numbers_in("x", x, unit), law)


def _broadcastable(name: str, value: Any, law: Law) -> Any:
    """Return the numbers, if they broadcast with the parameters."""
    shape = np.shape(value)
    if shape:
        try:
            np.broadcast_shapes(shape, law.shape)
        except ValueError:
            raise ValueError(
                f"`{name}` of the shape {shape} doesn't broadcast with parameters of the shape "
                f"{law.shape}; add axes in front, as in {name}[:, None]"
            ) from None
    return value


def _moment(
    name: str, statistic: Callable[[Any], Any], dist: Any, size: Any, estimate: Any, rng: Any
) -> Any:
    has_unit = name in ("mean", "std")

    def moment_of(draws: Any, unit: Any) -> Any:
        return units.on(_plain(np.asarray(statistic(draws))), unit if has_unit else None)

    if estimate is not None:
        return estimated(moment_of, dist, size, estimate, rng)
    law, unit = find_law(dist, size)
    try:
        value = np.broadcast_to(getattr(law, name), law.shape).copy()
    except ArithmeticError as error:
        raise unknown(f"{type(dist).__name__} that integrates: {error}") from error
    return units.on(_plain(value), unit if has_unit else None)


def _standardized(x: np.ndarray, n: int) -> Any:
    with np.errstate(invalid="ignore"):  # NaN where all draws are equal
        return ((x - x.mean(0)) ** n).mean(0) / x.std(0) ** n


def _estimated_tail(upper: bool, dist: Any, x: Any, size: Any, estimate: Any, rng: Any) -> Any:
    """Estimate the share of draws up to x, or beyond it."""

    def share_of(draws: Any, unit: Any) -> Any:
        points = np.asarray(numbers_in("x", x, unit))
        if draws.ndim == 1:
            share = np.searchsorted(np.sort(draws), points, side="right") / len(draws)
        else:
            rank = np.broadcast(points, draws[0]).ndim
            draws = draws.reshape(len(draws), *[1] * (rank + 1 - draws.ndim), *draws.shape[1:])
            share = (draws <= points).mean(0)
        return _plain(np.asarray(1 - share if upper else share))

    value, error = estimated(share_of, dist, size, estimate, rng)
    return Estimate(value, np.maximum(error, 1 / estimate))  # never seen is not impossible


def _estimated_quantile(p: Any, dist: Any, size: Any, estimate: Any, rng: Any) -> Any:
    def quantile_of(draws: Any, unit: Any) -> Any:
        return units.on(_plain(np.asarray(np.quantile(draws, p, axis=0))), unit)

    return estimated(quantile_of, dist, size, estimate, rng)


def _plain(value: Any) -> Any:
    """A Python scalar in place of a 0-d array."""
    return value.item() if isinstance(value, (np.ndarray, np.generic)) and not value.ndim else value


def _probability(name: str, value: Any) -> np.ndarray:
    p = np.asarray(as_float64(units.dimensionless(name, value)))
    bad = p[(p < 0) | (p > 1)]
    if bad.size:
        raise ValueError(f"`{name}` must be from 0 to 1, got {bad.flat[0]}; it is a probability")
    return p
