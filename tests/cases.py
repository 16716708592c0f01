"""The table: every distribution, its parameters, its oracle. Laws and benchmarks iterate it.

A row is all that a new distribution adds to the tests. Parameters are bare here; `make`
puts a unit on those that may carry one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import brainunit as u
import numpy as np
from scipy import stats

import braininit as init
from braininit._values import shares

INF = np.inf


@dataclasses.dataclass(frozen=True)
class Case:
    """One distribution.

    Attributes
    ----------
    cls, function
        The twins.
    given
        Bare parameters of an ordinary member.
    oracle
        From the bare parameters to SciPy's distribution; None where nothing is random.
    domains
        The domain of each parameter: what the tests of bad input violate.
    corners
        Parameters at which the statistics are checked besides `given`.
    support
        From the bare parameters to the smallest closed interval that holds all draws.
    order
        Parameters that have to increase.
    rank
        The fewest axes it takes; laws fit their sizes to it.
    """

    cls: type[init.Initialization]
    function: Callable[..., Any]
    given: Mapping[str, Any]
    oracle: Callable[..., Any] | None
    domains: Mapping[str, str]
    corners: tuple[Mapping[str, Any], ...] = ()
    support: Callable[..., tuple[float, float]] = lambda **_: (-INF, INF)
    order: tuple[str, ...] = ()
    rank: int = 0

    def __str__(self) -> str:
        return self.cls.__name__

    @property
    def carriers(self) -> list[str]:
        """The parameters that may carry a unit."""
        return [f.name for f in dataclasses.fields(self.cls) if shares(f) or f.name == "value"]

    def make(self, unit: u.Unit | None = None, **changed: Any) -> Any:
        """The object, with `unit` on what may carry one; changed parameters stay as given."""
        return self.cls(**self.dressed(unit, **changed))

    def dressed(self, unit: u.Unit | None = None, **changed: Any) -> dict[str, Any]:
        values = dict(self.given)
        if unit is not None:
            values |= {n: values[n] * unit for n in self.carriers if values.get(n) is not None}
            if "unit" in {f.name for f in dataclasses.fields(self.cls)} and not self.carriers:
                values["unit"] = unit
        return values | changed

    def fit(self, size: Any) -> Any:
        """The size as it is, or with axes of size 1 after it where it has too few."""
        if np.ndim(size) == 0 and self.rank > 1:
            size = (size,)
        missing = self.rank - len(size) if self.rank else 0
        return (*size, *(1,) * missing) if missing > 0 else size

    def called(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters under the names the function has for them."""
        return {self.cls._renamed.get(n, n): v for n, v in values.items()}


def _bounds(low: Any = None, high: Any = None, **_: Any) -> tuple[float, float]:
    return (-INF if low is None else low, INF if high is None else high)


def _above_zero(**_: Any) -> tuple[float, float]:
    return (0.0, INF)


def _lognorm(mean: Any, std: Any) -> Any:
    mean, std = np.float64(mean), np.float64(std)
    variance = np.log1p((std / mean) ** 2)
    return stats.lognorm(np.sqrt(variance), scale=mean * np.exp(-variance / 2))


class Truncnorm:
    """SciPy's truncated normal, which is right in the tails through logarithms."""

    def __init__(self, mean: float, std: float, low: Any = None, high: Any = None) -> None:
        low, high = _bounds(low, high)
        self.mean_, self.std_ = float(mean), float(std)
        self.a, self.b = (low - self.mean_) / self.std_, (high - self.mean_) / self.std_
        self.d = stats.truncnorm(self.a, self.b, loc=self.mean_, scale=self.std_)

    def cdf(self, x: Any) -> Any:
        """F by whichever tail is the smaller one, so that nothing cancels."""
        z = (np.asarray(x, np.float64) - self.mean_) / self.std_
        z = np.clip(z, self.a, self.b)
        norm = stats.norm
        if self.a >= 0:  # survival functions, relative to that of the near bound
            top, far = norm.logsf(self.a), norm.logsf(self.b)
            return -np.expm1(norm.logsf(z) - top) / -np.expm1(far - top)
        if self.b <= 0:
            top, far = norm.logcdf(self.b), norm.logcdf(self.a)
            return 1 - np.expm1(norm.logcdf(z) - top) / np.expm1(far - top)
        mass = norm.cdf(self.b) - norm.cdf(self.a)
        return (norm.cdf(z) - norm.cdf(self.a)) / mass

    def mean(self) -> float:
        return float(self.d.mean())

    def std(self) -> float:
        return float(self.d.std())

    def stats(self, moments: str) -> Any:
        return self.d.stats(moments)


NARROW = ((-2, 2), (0, INF), (-100, 100), (5, 6), (8, INF), (-INF, -8), (30, 31))
NARROW += ((-0.001, 0.001), (7.99, 8), (-INF, 0.3), (-40, -39.99), (-5, 5), (3.9, 4.2))
POSITIVE, FINITE, NON_NEGATIVE, BOUND = "positive", "finite", "non_negative", "bound"

CASES = (
    Case(
        init.Constant,
        init.constant,
        {"value": 0.5},
        None,
        {},
        support=lambda value: (value, value),
    ),
    Case(init.ZeroInit, init.zeros, {}, None, {}, support=lambda: (0, 0)),
    Case(init.OneInit, init.ones, {}, None, {}, support=lambda: (1, 1)),
    Case(
        init.Uniform,
        init.uniform,
        {"low": 0.1, "high": 1.0},
        lambda low, high: stats.uniform(low, high - low),
        {"low": FINITE, "high": FINITE},
        corners=(
            {"low": 0.0, "high": 1.0},
            {"low": -1e-30, "high": 1e-30},
            {"low": -3e30, "high": 1e30},
            {"low": 100.0, "high": 101.0},
        ),
        support=_bounds,
        order=("low", "high"),
    ),
    Case(
        init.Normal,
        init.normal,
        {"mean": 0.5, "std": 0.15},
        lambda mean, std: stats.norm(mean, std),
        {"mean": FINITE, "std": NON_NEGATIVE},
        corners=(
            {"mean": 0.0, "std": 1.0},
            {"mean": 1e-30, "std": 1e-30},
            {"mean": -1e30, "std": 1e30},
            {"mean": 1000.0, "std": 1.0},
        ),
    ),
    Case(
        init.LogNormal,
        init.lognormal,
        {"mean": 0.5, "std": 0.2},
        _lognorm,
        {"mean": POSITIVE, "std": NON_NEGATIVE},
        corners=(
            {"mean": 1e-20, "std": 1e-20},
            {"mean": 1e10, "std": 1e8},
            {"mean": 1.0, "std": 1e-3},
            {"mean": 1.0, "std": 1e6},
        ),
        support=_above_zero,
    ),
    Case(
        init.Gamma,
        init.gamma,
        {"shape": 2.0, "scale": 0.25},
        lambda shape, scale: stats.gamma(shape, scale=scale),
        {"shape": POSITIVE, "scale": POSITIVE},
        corners=tuple(
            {"shape": a, "scale": s}
            for a, s in ((0.05, 1.0), (0.5, 1e20), (1.0, 1.0), (30.0, 1e-20), (1e4, 1.0))
        ),
        support=_above_zero,
    ),
    Case(
        init.Exponential,
        init.exponential,
        {"scale": 0.3},
        lambda scale: stats.expon(scale=scale),
        {"scale": POSITIVE},
        corners=({"scale": 1e-25}, {"scale": 1e30}),
        support=_above_zero,
    ),
    Case(
        init.Weibull,
        init.weibull,
        {"shape": 1.5, "scale": 0.5},
        lambda shape, scale: stats.weibull_min(shape, scale=scale),
        {"shape": POSITIVE, "scale": POSITIVE},
        corners=tuple(
            {"shape": k, "scale": s}
            for k, s in ((0.5, 0.5), (3.0, 1e-20), (0.2, 1.0), (200.0, 1e20))
        ),
        support=_above_zero,
    ),
    Case(
        init.Beta,
        init.beta,
        {"alpha": 2.0, "beta": 5.0, "low": 0.0, "high": 1.0},
        lambda alpha, beta, low, high: stats.beta(alpha, beta, loc=low, scale=high - low),
        {"alpha": POSITIVE, "beta": POSITIVE, "low": FINITE, "high": FINITE},
        corners=tuple(
            {"alpha": a, "beta": b, "low": low, "high": high}
            for a, b, low, high in (
                (0.5, 0.5, 0, 1),
                (0.05, 3.0, 0, 1e-20),
                (5.0, 0.5, -1, 3),
                (1e4, 2e4, 0, 1e20),
                (1.0, 1.0, -2, -1),
            )
        ),
        support=_bounds,
        order=("low", "high"),
    ),
    Case(
        init.TruncatedNormal,
        init.truncated_normal,
        {"mean": 0.5, "std": 0.2, "low": 0.0, "high": 1.0},
        Truncnorm,
        {"mean": FINITE, "std": NON_NEGATIVE, "low": BOUND, "high": BOUND},
        corners=(
            *({"mean": 0.0, "std": 1.0, "low": a, "high": b} for a, b in NARROW),
            {"mean": 1.5, "std": 0.5, "low": 0.5, "high": 3.0},
            {"mean": 1e-20, "std": 1e-20, "low": 0.0, "high": None},
            {"mean": 0.0, "std": 1e20, "low": None, "high": -8e20},
        ),
        support=_bounds,
        order=("low", "high"),
    ),
    Case(init.Orthogonal, init.orthogonal, {"scale": 2.0}, None, {}, rank=2),
    Case(init.DeltaOrthogonal, init.delta_orthogonal, {"scale": 2.0}, None, {}, rank=3),
    Case(
        init.Identity,
        init.identity,
        {"scale": 2.0},
        None,
        {},
        support=lambda scale: (0, scale),
    ),
    Case(
        init.Dirac, init.dirac, {"scale": 2.0}, None, {}, support=lambda scale: (0, scale), rank=3
    ),
)
RANDOM = tuple(case for case in CASES if case.oracle is not None)
