"""What the distributions should look like: density, quantiles, moments.

All in float64 NumPy, whatever JAX is set to, and independent of the code that draws, so that one
can check the other. `dist` is an initializer object, whose parameters may be arrays; `x` and
probabilities broadcast with them, `x` in any unit of its dimension. Where a law is unknown,
functions raise TypeError. `laws` has one entry per function; your own distribution can join it in
one statement. A shifted and scaled known distribution, as ``Exponential(2.0) + 0.5``, is known too.

>>> import brainunit as u, braininit as init
>>> from braininit import theory
>>> dist = init.TruncatedNormal(0.5 * u.nS, 0.2 * u.nS, low=0.4 * u.nS)
>>> print(f"{theory.mean(dist):.4f}, {theory.std(dist):.4f}")
0.6018 nS, 0.1395 nS
>>> print(f"{theory.sf(init.Normal(0 * u.nS, 1 * u.nS), 20 * u.nS):.4e}")
2.7536e-89
>>> theory.pdf(init.Uniform(0 * u.mV, 4 * u.mV), [-1, 1, 3] * u.mV)
Quantity([0.   0.25 0.25], "1 / mV")
"""

from __future__ import annotations

from typing import Any

import brainunit as u
import numpy as np

from braininit._params import units
from braininit.theory.law import Law
from braininit.theory.lookup import at, double, find, known, laws

__all__ = [
    "Law",
    "cdf",
    "isf",
    "kurtosis",
    "laws",
    "log_pdf",
    "mean",
    "pdf",
    "pooled",
    "ppf",
    "sf",
    "skewness",
    "std",
    "support",
]

# ---------------------------------------------------------------- moments


def mean(dist: Any) -> Any:
    """Return the mean of a distribution, in the unit of its draws."""
    law, unit = known(dist)
    return units.on(_both(law)[0], unit)


def std(dist: Any) -> Any:
    """Return the standard deviation of a distribution, in the unit of its draws."""
    law, unit = known(dist)
    return units.on(_both(law)[1], unit)


def skewness(dist: Any) -> Any:
    """Return the skewness: the third central moment over std^3; NaN where the std is 0."""
    return _plain(known(dist)[0].skewness)


def kurtosis(dist: Any) -> Any:
    """Return the excess kurtosis: the fourth central moment over std^4, less 3.

    As in `scipy.stats`, it is 0 for a normal distribution; NaN where the std is 0.
    """
    return _plain(known(dist)[0].kurtosis)


def support(dist: Any) -> tuple[Any, Any]:
    """Return the ends of the smallest interval that holds all draws, in their unit.

    >>> import brainunit as u, braininit as init
    >>> print(*init.theory.support(init.Exponential(2 * u.ms) + 500 * u.us), sep=" to ")
    0.5 ms to inf ms
    """
    law, unit = known(dist)
    low, high = np.broadcast_arrays(*law.support)
    return units.on(_plain(low.copy()), unit), units.on(_plain(high.copy()), unit)


# ---------------------------------------------------------------- functions of x


def pdf(dist: Any, x: Any) -> Any:
    """Return the density of a distribution at x, in one over the unit of its draws.

    It is infinite at a value that has a probability of its own, as with `Constant` or ``std=0``.
    """
    law, unit = known(dist)
    return units.on(_plain(law.pdf(at(x, unit))), units.inverse(unit))


def log_pdf(dist: Any, x: Any) -> Any:
    """Return the natural logarithm of the density at x, of the bare number in the draws' unit.

    That is the unit of `mean`. It goes on where the density itself underflows.

    >>> import braininit as init
    >>> init.theory.log_pdf(init.Normal(0.0, 1.0), 1e100)
    -5e+199
    """
    law, unit = known(dist)
    return _plain(law.log_pdf(at(x, unit)))


def cdf(dist: Any, x: Any) -> Any:
    """Return the distribution function: the probability of a draw up to x.

    Right to 1e-10 of itself wherever float64 can hold it, for shape parameters from 1e-3 to 1e15;
    `pdf` and `sf` too.
    """
    law, unit = known(dist)
    return _plain(law.cdf(at(x, unit)))


def sf(dist: Any, x: Any) -> Any:
    """Return the survival function: the probability of a draw beyond x.

    That is 1 - `cdf`, but exact where `cdf` is nearly 1.
    """
    law, unit = known(dist)
    return _plain(law.sf(at(x, unit)))


# ---------------------------------------------------------------- functions of a probability


def ppf(dist: Any, p: Any) -> Any:
    """Return the quantile: the smallest x that a draw does not exceed with probability p.

    >>> import brainunit as u, braininit as init
    >>> print(f"{init.theory.ppf(init.Exponential(2 * u.ms), 0.95):.4f}")
    5.9915 ms
    """
    law, unit = known(dist)
    return units.on(_plain(law.ppf(_chance("p", p))), unit)


def isf(dist: Any, q: Any) -> Any:
    """Return the inverse of `sf`: the smallest x that a draw exceeds with probability q at most.

    That is `ppf` at 1 - q, but with all digits where q is small.
    """
    law, unit = known(dist)
    return units.on(_plain(law.isf(_chance("q", q))), unit)


# ---------------------------------------------------------------- all draws together


def pooled(dist: Any) -> tuple[Law | None, u.Unit | None]:
    """Return the law of one draw picked at random among all, and its unit; or None and None.

    With array parameters every element has its own law; a histogram of the draws shows their
    mixture.
    """
    law, unit = find(dist)
    if law is None or not (np.ndim(law.mean) or np.ndim(law.std)):
        return law, unit
    means, stds = np.broadcast_arrays(law.mean, law.std)
    spread = np.sqrt(np.mean(stds**2) + np.var(means))
    functions = (np.vectorize(_averaged(f), otypes=[float]) for f in (law.pdf, law.cdf, law.sf))
    low, high = law.support
    return Law(np.mean(means), spread, *functions, support=(np.min(low), np.max(high))), unit


def _averaged(function: Any) -> Any:
    return lambda x: np.mean(function(x))


# ---------------------------------------------------------------- numbers


def _both(law: Law) -> tuple[Any, Any]:
    first, second = np.broadcast_arrays(law.mean, law.std)
    return _plain(first.copy()), _plain(second.copy())


def _plain(value: Any) -> Any:
    return (
        value.item()
        if np.ndim(value) == 0 and isinstance(value, (np.ndarray, np.generic))
        else value
    )


def _chance(name: str, value: Any) -> np.ndarray:
    p = double(units.dimensionless(name, value))
    bad = np.asarray(p)[(p < 0) | (p > 1)]
    if bad.size:
        raise ValueError(f"`{name}` must be from 0 to 1, got {bad.flat[0]}; it is a probability")
    return p
