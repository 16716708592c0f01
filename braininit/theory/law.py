"""`Law`: one distribution in bare float64 numbers, with defaults for quantiles and moments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from braininit.theory.quadrature import moments

__all__ = ["Law", "adds", "by_element", "point", "unless_zero"]


class Law:
    """One distribution in bare numbers.

    Parameters
    ----------
    mean, std : float, array or callable, optional
        Mean and standard deviation, or a function without arguments that computes them. By default
        integrals of the density.
    pdf, cdf : callable, optional
        Density and distribution function of a float64 array. Where only moments are known, all
        functions return NaN, and ``has_functions`` is False.
    sf : callable, optional
        Survival function. By default ``1 - cdf``, which loses the upper tail.
    log_pdf : callable, optional
        Logarithm of the density. By default ``log(pdf)``, which is -inf where the density
        underflows. With `log_pdf`, `pdf` may be None.
    quantile : callable, optional
        ``(p, q) -> x`` with the probabilities below and above x; the smaller one is accurate.
        By default `cdf` and `sf` are inverted by bisection.
    skewness, kurtosis : float, array or callable, optional
        Skewness and excess kurtosis, in the same forms as the mean.
    support : pair of float or array
        The smallest interval that holds all draws.
    breaks : tuple of float or array
        Points inside the support where the density jumps or bends, for integrals.
    atoms : tuple of pairs
        ``(x, probability)`` of each value with a nonzero probability.
    family : tuple
        An identifier, and the parameters by which laws with it are added: see ``plus``.
    **closed : callable
        Closed forms. Each returns a law, or None: ``moved(shift, factor)``, ``raised(exponent)``,
        ``truncated(low, high)``, ``plus(*parameters)`` with the parameters of another law of the
        family, ``times(other)``, and ``branches(exponent, fold)``, the power of a power.
        ``powered(n)`` returns the four moments of an integer power, ``parts()`` a mixture's laws
        and weights.
    """

    def __init__(
        self,
        mean: Any = None,
        std: Any = None,
        pdf: Callable[[Any], Any] | None = None,
        cdf: Callable[[Any], Any] | None = None,
        sf: Callable[[Any], Any] | None = None,
        *,
        log_pdf: Callable[[Any], Any] | None = None,
        quantile: Callable[[Any, Any], Any] | None = None,
        skewness: Any = None,
        kurtosis: Any = None,
        support: tuple[Any, Any] = (-np.inf, np.inf),
        breaks: tuple[Any, ...] = (),
        atoms: tuple[tuple[Any, Any], ...] = (),
        family: tuple[Any, ...] = (),
        **closed: Callable[..., Any],
    ) -> None:
        self._moments = {"mean": mean, "std": std, "skewness": skewness, "kurtosis": kurtosis}
        if pdf is None and log_pdf is None:
            pdf = _nan
        self._pdf: Any = pdf or (lambda x: np.exp(self._log_pdf(x)))
        self._log_pdf: Any = log_pdf or (lambda x: np.log(self._pdf(x)))
        self._cdf, self._sf, self.has_functions = cdf or _nan, sf, cdf is not None
        self._quantile = quantile
        self.support, self.breaks, self.atoms = support, breaks, atoms
        self.family, self.closed = family, closed

    def with_functions(self, **functions: Callable[..., Any]) -> Law:
        """Replace functions of x, or of p and q, in place; return this law."""
        vars(self).update({f"_{name}": function for name, function in functions.items()})
        return self

    @property
    def is_point(self) -> bool:
        """Whether nothing is random."""
        return bool(np.all(self.support[0] == self.support[1]))

    @functools.cached_property
    def mean(self) -> Any:
        return self._moment("mean")

    @functools.cached_property
    def std(self) -> Any:
        return self._moment("std")

    @functools.cached_property
    def skewness(self) -> Any:
        return self._moment("skewness")

    @functools.cached_property
    def kurtosis(self) -> Any:
        return self._moment("kurtosis")

    def _moment(self, name: str) -> Any:
        moment = self._moments[name]
        if moment is None:
            return self._integrals[list(self._moments).index(name)]
        with np.errstate(all="ignore"):
            return moment() if callable(moment) else moment

    @functools.cached_property
    def _integrals(self) -> tuple[Any, Any, Any, Any]:
        return moments(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the parameters broadcast to."""
        return np.shape(self.cdf(0.0)) if self.has_functions else np.shape(self.mean)

    def pdf(self, x: Any) -> Any:
        x = np.asarray(x, float)
        with np.errstate(all="ignore"):
            p = self._pdf(x)
        return np.where(np.isnan(x), np.nan, np.where(np.isinf(x), 0.0, p))

    def log_pdf(self, x: Any) -> Any:
        x = np.asarray(x, float)
        with np.errstate(all="ignore"):
            p = self._log_pdf(x)
        return np.where(np.isnan(x), np.nan, np.where(np.isinf(x), -np.inf, p))

    def cdf(self, x: Any) -> Any:
        x = np.asarray(x, float)
        return _probability(self._cdf, x, x > 0)

    def sf(self, x: Any) -> Any:
        x = np.asarray(x, float)
        if self._sf is None:
            return 1 - self.cdf(x)
        return _probability(self._sf, x, x < 0)

    def at(self, x: Any) -> Any:
        """The probability of the value x."""
        return sum((np.where(x == value, p, 0.0) for value, p in self.atoms), 0.0)

    def snapped(self, x: Any, near: float) -> Any:
        """Replace numbers by an atom of which they are within the relative distance `near`."""
        for value, _ in self.atoms:
            close = np.isfinite(value) & (abs(x - value) <= near * abs(value))
            x = np.where(close, value, x)
        return x

    def above(self, x: Any) -> Any:
        """The probability of x or more."""
        return self.sf(x) + self.at(x)

    def below(self, x: Any) -> Any:
        """The probability of less than x."""
        return np.maximum(self.cdf(x) - self.at(x), 0)

    def ppf(self, p: Any) -> Any:
        p = np.asarray(p, float)
        return self.quantile(p, 1 - p)

    def isf(self, q: Any) -> Any:
        q = np.asarray(q, float)
        return self.quantile(1 - q, q)

    def quantile(self, p: Any, q: Any) -> Any:
        """The quantile, from the probabilities below and above it."""
        low, high = self.support
        with np.errstate(all="ignore"):
            x = bisected(self, p, q) if self._quantile is None else self._quantile(p, q)
            x = np.clip(x, low, high)
        x = np.where(p == 0, low, np.where(q == 0, high, x))
        return np.where((p >= 0) & (q >= 0), x, np.nan)


def _nan(x: Any) -> Any:
    return np.full(np.shape(x), np.nan)


def _probability(function: Any, x: np.ndarray, beyond: Any) -> Any:
    """Evaluate a distribution function; `beyond` is its value at the infinities."""
    with np.errstate(all="ignore"):
        p = np.where(np.isinf(x), beyond, np.clip(function(x), 0, 1))
    return np.where(np.isnan(x), np.nan, p)


# ---------------------------------------------------------------- quantiles


def bisected(law: Law, p: Any, q: Any) -> Any:
    """The smallest x with at least p of the mass up to it, to the last bit of `cdf` and `sf`.

    It bisects bit patterns, which are in the order of their floats, in at most 64 steps.
    """
    low, high = (np.asarray(end, float) for end in law.support)
    shape = np.broadcast_shapes(np.shape(p), np.shape(law.cdf(low)), np.shape(high))
    start, end = (np.broadcast_to(_rank(x), shape) for x in (low, high))
    lower = p <= q
    for _ in range(64):
        middle = (start >> 1) + (end >> 1) + (start & end & 1)
        x = _float_of_rank(middle)
        if np.all(lower):
            enough = law.cdf(x) >= p
        elif not np.any(lower):
            enough = law.sf(x) <= q
        else:
            enough = np.where(lower, law.cdf(x) >= p, law.sf(x) <= q)
        start, end = np.where(enough, start, middle + 1), np.where(enough, middle, end)
        start = np.minimum(start, end)
        if np.all(start == end):
            break
    return law.snapped(_float_of_rank(end), 1e-14)  # rounding must not leave it beside an atom


def _rank(x: Any) -> np.ndarray:
    """The rank of a float among all floats, counted from 0.0."""
    bits = np.asarray(x, float).view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)


def _float_of_rank(rank: Any) -> np.ndarray:
    rank = np.asarray(rank)
    return np.where(rank < 0, np.iinfo(np.int64).min - rank, rank).view(np.float64)


# ---------------------------------------------------------------- points


def point(value: Any) -> Law:
    """The law with all its mass at one value."""
    nan = np.full(np.shape(value), np.nan)
    return Law(
        value,
        np.zeros(np.shape(value)),
        lambda x: np.where(x == value, np.inf, 0.0),
        lambda x: np.where(x >= value, 1.0, 0.0),
        lambda x: np.where(x >= value, 0.0, 1.0),
        quantile=lambda p, q: np.broadcast_to(value, np.broadcast_shapes(np.shape(p), nan.shape)),
        skewness=nan,
        kurtosis=nan,
        support=(value, value),
        atoms=((value, 1.0),),
        truncated=lambda low, high: point(np.clip(value, low, high)),
    )


def unless_zero(spread: Any, value: Any, law: Law) -> Law:
    """Return the law, with all of its mass at `value` where its spread is 0."""
    zero = spread == 0
    if not np.any(zero):
        return law
    if np.all(zero):
        shape = np.broadcast_shapes(np.shape(spread), np.shape(value))
        return point(np.broadcast_to(value, shape) if shape else value)
    result = by_element(np.where(zero, 1, 0), [law, point(value)])
    result.family, result.closed = law.family, law.closed
    return result


def adds(first: Law, second: Law) -> bool:
    """Whether both laws are of one family, which may be closed under sums."""
    return bool(first.family and second.family) and first.family[0] is second.family[0]


# ---------------------------------------------------------------- different laws per element


def by_element(which: Any, laws: Sequence[Law]) -> Law:
    """The law whose every element is taken from the law with the index `which`."""

    def picked(values: Sequence[Any]) -> Any:
        return np.select([which == i for i in range(len(laws))], values, np.nan)

    def function(name: str) -> Any:
        return lambda *x: picked([getattr(law, name)(*x) for law in laws])

    def moment(name: str) -> Any:
        return lambda: picked([getattr(law, name) for law in laws])

    functions: dict[str, Any] = {}
    if all(law.has_functions for law in laws):
        functions = {n: function(n) for n in ("pdf", "log_pdf", "cdf", "sf", "quantile")}
    result = _ByElement(
        moment("mean"),
        moment("std"),
        **functions,
        skewness=moment("skewness"),
        kurtosis=moment("kurtosis"),
        support=tuple(picked(ends) for ends in zip(*(x.support for x in laws), strict=True)),
        breaks=tuple(x for law in laws for x in law.breaks),
        atoms=tuple(
            (x, np.where(which == i, p, 0.0)) for i, law in enumerate(laws) for x, p in law.atoms
        ),
    )
    result.atom_functions = {name: function(name) for name in ("at", "snapped")}
    return result


class _ByElement(Law):
    """A law whose parts may have more atoms than they list, as a `Lattice` has."""

    atom_functions: dict[str, Callable[..., Any]]

    def at(self, x: Any) -> Any:
        return self.atom_functions["at"](x)

    def snapped(self, x: Any, near: float) -> Any:
        return self.atom_functions["snapped"](x, near)
