"""The table: every distribution with its parameters and its oracle, for laws and benchmarks.

A new distribution needs only a row here to be tested. Parameters are bare; `make` adds units to
those that may carry one.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import brainunit as u
import numpy as np
from scipy import stats

import braininit as init
from braininit._params.values import field_kinds

INF = np.inf


@dataclasses.dataclass(frozen=True)
class Case:
    """One distribution.

    Attributes
    ----------
    cls, function
        The class and the function that draw the distribution.
    given
        Bare parameters of an ordinary member; the others have their defaults.
    oracle
        Maps bare parameters to SciPy's distribution; None if nothing is random.
    domains
        The domain of each parameter; tests of bad input violate it.
    corners
        Further parameters at which the statistics are checked.
    support
        Maps bare parameters to the smallest closed interval that holds all draws.
    order
        Parameters that must increase.
    rank
        The fewest axes of a draw; laws add axes to their sizes.
    result
        Maps the parameters' unit to the draws' unit.
    local
        True if devices draw their parts without communication; sorting, for one, needs it.
    dtypes
        "whole" if integer draws exist, too; unless `local`, these are drawn in rounds until each
        number is accepted, and devices tell each other when they are done.
    whole
        Integer parameters, if 1, 2, 3 in turn are outside the domain.
    atol
        Tolerance between programs that compute a table of draws.
    powers
        The power of the result's unit that a parameter carries, if not the first.
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
    result: Callable[[u.Unit], u.Unit] = lambda unit: unit
    local: bool = True
    dtypes: str = "real"
    whole: Mapping[str, Any] | None = None
    atol: float = 0.0
    powers: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return self.cls.__name__

    @property
    def in_rounds(self) -> bool:
        """True if numbers are drawn until each is accepted."""
        return self.dtypes == "whole" and not self.local

    @property
    def carriers(self) -> list[str]:
        """The parameters that may carry a unit."""
        fields = field_kinds(self.cls)
        return [n for n, kind in fields.items() if kind == "shared" or n == "value"]

    @property
    def has_unit(self) -> bool:
        """True if draws may have a unit."""
        return self.make(u.nS) != self.make()

    @property
    def composed(self) -> bool:
        """True if parameters are initializers."""
        return any(_dress(value, u.nS) is not value for value in self.given.values())

    def power(self, name: str) -> int:
        """Return the power of the draws with which a parameter grows."""
        return self.powers.get(name, 1)

    def dress(self, name: str, value: Any, unit: u.Unit | None) -> Any:
        """Add the unit to a parameter that may carry one."""
        if unit is None:
            return value
        if name not in self.carriers:
            return _dress(value, unit)
        return value * unit ** self.power(name)

    def make(self, unit: u.Unit | None = None, **changed: Any) -> Any:
        """Make the object with `unit` on its carriers; `changed` parameters stay as they are."""
        return self.cls(**self.dressed(unit, **changed))

    def dressed(self, unit: u.Unit | None = None, **changed: Any) -> dict[str, Any]:
        values = dict(self.given)
        if unit is not None:
            values |= {n: self.dress(n, v, unit) for n, v in values.items() if v is not None}
            if not self.carriers and "unit" in {f.name for f in dataclasses.fields(self.cls)}:
                values["unit"] = unit
        return values | changed

    def fit(self, size: Any) -> Any:
        """Append axes of size 2 to a size that has too few."""
        if np.ndim(size) == 0:
            if self.rank < 2:
                return size
            size = (size,)
        missing = self.rank - len(size)
        return (*size, *(2,) * missing) if missing > 0 else size

    def with_unit(self, obj: Any, unit: u.Unit) -> Any:
        """Add `unit` to the carriers of a bare object."""
        given = {f.name: getattr(obj, f.name) for f in dataclasses.fields(self.cls)}
        return dataclasses.replace(self, given=given).make(unit)

    def called(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Rename parameters of the class to those of the function."""
        fields = [f.name for f in dataclasses.fields(self.cls)]
        _, _, *arguments = inspect.signature(self.function).parameters
        only_fields = [n for n in fields if n not in arguments]
        only_arguments = [n for n in arguments if n not in fields]
        renamed = dict(zip(only_fields, only_arguments, strict=False))
        return {renamed.get(n, n): v for n, v in values.items()}


def _dress(value: Any, unit: u.Unit) -> Any:
    """Add `unit` to the carriers of initializers, also within tuples; return all else unchanged."""
    if isinstance(value, tuple):
        dressed = tuple(_dress(v, unit) for v in value)
        return value if all(a is b for a, b in zip(dressed, value, strict=True)) else dressed
    if isinstance(value, init.Initialization):
        return next(case for case in CASES if case.cls is type(value)).with_unit(value, unit)
    return value


def _bounds(low: Any = None, high: Any = None, **_: Any) -> tuple[float, float]:
    return (-INF if low is None else low, INF if high is None else high)


def _above_zero(**_: Any) -> tuple[float, float]:
    return (0.0, INF)


def _lognorm(mean: Any, std: Any) -> Any:
    mean, std = np.float64(mean), np.float64(std)
    variance = np.log1p((std / mean) ** 2)
    return stats.lognorm(np.sqrt(variance), scale=mean * np.exp(-variance / 2))


def _von_mises(mean: float, concentration: float) -> Law:
    """SciPy's distribution function; its moments take seconds."""
    return Law(stats.vonmises(concentration, mean).cdf, mean - np.pi, mean + np.pi)


class Truncnorm:
    """SciPy's truncated normal, made accurate in the tails by logarithms."""

    def __init__(self, mean: float, std: float, low: Any = None, high: Any = None) -> None:
        low, high = _bounds(low, high)
        self.mean_, self.std_ = float(mean), float(std)
        self.a, self.b = (low - self.mean_) / self.std_, (high - self.mean_) / self.std_
        self.d = stats.truncnorm(self.a, self.b, loc=self.mean_, scale=self.std_)

    def cdf(self, x: Any) -> Any:
        """The distribution function, by the smaller tail so that nothing cancels."""
        z = (np.asarray(x, np.float64) - self.mean_) / self.std_
        z = np.clip(z, self.a, self.b)
        norm = stats.norm
        if self.a >= 0:  # survival functions relative to the near bound's
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


class Law:
    """A law by its distribution function, with moments by quadrature."""

    def __init__(self, cdf: Callable[[Any], Any], low: float, high: float) -> None:
        self.cdf, self.grid = cdf, np.linspace(low, high, 400_001)

    def stats(self, moments: str) -> Any:
        edges = np.concatenate([[-INF], self.grid, [INF]])
        mass = np.diff(self.cdf(edges))
        at = np.concatenate([self.grid[:1], (self.grid[1:] + self.grid[:-1]) / 2, self.grid[-1:]])
        mean = (mass * at).sum()
        central = [(mass * (at - mean) ** n).sum() for n in (2, 3, 4)]
        return mean, central[0], central[1] / central[0] ** 1.5, central[2] / central[0] ** 2 - 3


def law_of(obj: Any) -> Any:
    """Return the oracle of an object."""
    case = next(case for case in CASES if case.cls is type(obj))
    return case.oracle(**{f.name: getattr(obj, f.name) for f in dataclasses.fields(obj)})


def _mixed(distributions: Any, weights: Any) -> Law:
    laws = [law_of(d) for d in distributions]
    return Law(lambda x: sum(w * f.cdf(x) for w, f in zip(weights, laws, strict=True)), -2, 4)


def _clipped(base_dist: Any, min_val: float, max_val: float) -> Law:
    cdf = law_of(base_dist).cdf
    return Law(
        lambda x: np.where(x < min_val, 0.0, np.where(x >= max_val, 1.0, cdf(x))),
        min_val,
        max_val,
    )


def _between(base: Any, low: float, high: float) -> Law:
    cdf = law_of(base).cdf
    below, above = cdf(low), cdf(high)
    return Law(lambda x: (cdf(np.clip(x, low, high)) - below) / (above - below), low, high)


@dataclasses.dataclass(frozen=True)
class Even:
    """The condition that an index is even; unlike a lambda, it has a repr that evaluates."""

    def __call__(self, index: Any) -> Any:
        return index % 2 == 0


PARTS = (init.Normal(0.5, 0.1), init.Uniform(0.8, 1.2))


def _std(scale: float, fan_in: float, fan_out: float | None = None) -> float:
    return float(np.sqrt(scale / (fan_in if fan_out is None else (fan_in + fan_out) / 2)))


def _flat(**parameters: float) -> Any:
    limit = np.sqrt(3) * _std(**parameters)
    return stats.uniform(-limit, 2 * limit)


def _cut(**parameters: float) -> tuple[float, float]:
    parent = _std(**parameters) / stats.truncnorm(-2, 2).std()
    return (-2 * parent, 2 * parent)


def _truncated(low: float, high: float) -> Any:
    return Truncnorm(0.0, high / 2, low, high)


def _scaled(cls: Any, function: Any, oracle: Any, support: Any, **parameters: float) -> Case:
    """A scaled initializer with given fans, whose law does not depend on the shape."""
    return Case(
        cls,
        function,
        {"scale": 0.625, **parameters},
        oracle,
        {"scale": NON_NEGATIVE} | dict.fromkeys(parameters, POSITIVE),
        corners=tuple(
            {"scale": s} | {n: v * k for n, v in parameters.items()}
            for s, k in ((1.0, 1.0), (1e-30, 0.01), (1e30, 1000.0))
        ),
        support=support,
        powers={"scale": 2},
    )


NARROW = ((-2, 2), (0, INF), (-100, 100), (5, 6), (8, INF), (-INF, -8), (30, 31))
NARROW += ((-0.001, 0.001), (7.99, 8), (-INF, 0.3), (-40, -39.99), (-5, 5), (3.9, 4.2))
POSITIVE, FINITE, NON_NEGATIVE, BOUND = "positive", "finite", "non_negative", "bound"
WHOLE, COUNT, FRACTION = "whole", "count", "fraction"

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
        init.LogUniform,
        init.loguniform,
        {"low": 0.1, "high": 10.0},
        lambda low, high: stats.loguniform(low, high),
        {"low": POSITIVE, "high": POSITIVE},
        corners=(
            {"low": 1e-30, "high": 1e30},
            {"low": 1.0, "high": 1.001},
            {"low": 1e-30, "high": 1e-29},
        ),
        support=_bounds,
        order=("low", "high"),
    ),
    Case(
        init.Laplace,
        init.laplace,
        {"loc": 0.5, "scale": 0.15},
        lambda loc, scale: stats.laplace(loc, scale),
        {"loc": FINITE, "scale": POSITIVE},
        corners=({"loc": 0.0, "scale": 1.0}, {"loc": -1e30, "scale": 1e30}),
    ),
    Case(
        init.VonMises,
        init.vonmises,
        {"mean": 0.5, "concentration": 4.0},
        _von_mises,
        {"mean": FINITE, "concentration": NON_NEGATIVE},
        corners=(
            {"mean": 0.0, "concentration": 0.0},
            {"mean": -3.0, "concentration": 0.5},
            {"mean": 1.0, "concentration": 1e4},
        ),
        support=lambda mean, concentration: (mean - np.pi, mean + np.pi),
        atol=2e-6,
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
        init.UniformInt,
        init.uniform_int,
        {"low": -3.0, "high": 8.0},
        lambda low, high: stats.randint(int(low), int(high)),
        {"low": WHOLE, "high": WHOLE},
        corners=({"low": 0.0, "high": 1e6}, {"low": -2.0, "high": 0.0}),
        support=lambda low, high: (low, high - 1),
        dtypes="whole",
        order=("low", "high"),
    ),
    Case(
        init.Poisson,
        init.poisson,
        {"mean": 3.0},
        lambda mean: stats.poisson(mean),
        {"mean": NON_NEGATIVE},
        corners=tuple({"mean": m} for m in (0.01, 0.7, 1.0, 14.5, 300.0, 1e5)),
        support=lambda mean: (-1, INF),  # 0 is a draw
        local=False,
        dtypes="whole",
    ),
    Case(
        init.Binomial,
        init.binomial,
        {"n": 10.0, "p": 0.3},
        lambda n, p: stats.binom(n, p),
        {"n": COUNT, "p": FRACTION},
        corners=tuple(
            {"n": n, "p": p}
            for n, p in ((1.0, 0.5), (7.0, 0.99), (40.0, 0.5), (1e4, 1e-3), (1e6, 0.75))
        ),
        support=lambda n, p: (0, n),
        local=False,
        dtypes="whole",
        whole={"n": 3, "p": 1},
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
    Case(
        init.Combined,
        init.combined,
        {"op": "+", "left": PARTS[0], "right": init.Normal(0.0, 0.2)},
        lambda **_: stats.norm(0.5, np.hypot(0.1, 0.2)),
        {},
    ),
    Case(
        init.Power,
        init.powered,
        {"base": init.Uniform(0.0, 1.0), "exponent": 2.0},
        lambda base, exponent: stats.beta(1 / exponent, 1),
        {},
        support=lambda **_: (0, 1),
        result=lambda unit: unit**2,
    ),
    Case(
        init.Scaled,
        init.scaled,
        {"base_dist": PARTS[0], "scale_factor": 2.0},
        lambda base_dist, scale_factor: stats.norm(0.5 * scale_factor, 0.1 * scale_factor),
        {},
    ),
    Case(
        init.Clipped,
        init.clipped,
        {"base_dist": PARTS[0], "min_val": 0.375, "max_val": 0.75},
        _clipped,
        {},
        support=lambda base_dist, min_val, max_val: (min_val, max_val),
    ),
    Case(
        init.Compose,
        init.composed,
        {"first": PARTS[0], "functions": ()},
        lambda first, functions: law_of(first),
        {},
    ),
    Case(
        init.Mixture,
        init.mixture,
        {"distributions": PARTS, "weights": np.array([0.3, 0.7])},
        _mixed,
        {},
        corners=({"distributions": (*PARTS, init.Normal(2.0, 0.1)), "weights": [0.1, 0.2, 0.7]},),
    ),
    Case(
        init.Conditional,
        init.conditional,
        {"condition_fn": Even(), "true_dist": PARTS[0], "false_dist": PARTS[1]},
        lambda condition_fn, **parts: _mixed(parts.values(), (0.5, 0.5)),
        {},
    ),
    Case(
        init.Truncated,
        init.truncated,
        {"base": PARTS[0], "low": 0.4, "high": 0.7},
        _between,
        {},
        corners=tuple(
            {"base": base, "low": low, "high": high}
            for base, low, high in (
                (init.TruncatedNormal(0.0, 1.0, -1.0), -2.0, 0.5),
                (init.Uniform(0.0, 1.0), 0.5, 2.0),
                (init.LogNormal(1.0, 0.5), 0.3, 4.0),
                (init.Exponential(1.0), 0.3, 3.0),
                (init.Weibull(0.5, 1.0), 0.1, 9.0),
                (init.Gamma(0.3, 1.0), 0.01, 0.5),
                (init.Gamma(40.0, 1.0), 30.0, 45.0),
                (init.Beta(0.5, 2.0, 0.0, 1.0), 0.0, 0.25),
            )
        ),
        support=lambda base, low, high: (low, high),
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
    Case(
        init.OnGrid,
        init.on_grid,
        {"base_dist": init.Normal(0.5, 0.15), "step": 0.125},
        None,
        {"step": "positive"},
    ),
    Case(
        init.Sparse,
        init.sparse,
        {"sparsity": 0.3, "base": init.Normal(0.5, 0.15)},
        None,
        {},
        rank=1,
        local=False,
    ),
    Case(
        init.Spectral,
        init.spectral,
        {"base": init.Normal(0.5, 0.15), "norm": 2.0},
        None,
        {},
        rank=2,
        local=False,
    ),
    Case(
        init.Dale,
        init.dale,
        {"base": init.Normal(0.5, 0.15), "excitatory": 0.5},
        None,
        {},
        rank=1,
        whole={"base": init.Normal(1, 2), "excitatory": 1, "balance": False},
    ),
    _scaled(
        init.VarianceScaling,
        init.variance_scaling,
        lambda **parameters: stats.norm(0, _std(**parameters)),
        lambda **_: (-INF, INF),
        fan_in=6.0,
    ),
    *(
        _scaled(cls, function, lambda **parameters: _truncated(*_cut(**parameters)), _cut, **fans)
        for cls, function, fans in (
            (init.KaimingNormal, init.kaiming_normal, {"fan_in": 6.0}),
            (init.XavierNormal, init.xavier_normal, {"fan_in": 6.0, "fan_out": 3.0}),
            (init.LecunNormal, init.lecun_normal, {"fan_in": 6.0}),
        )
    ),
    *(
        _scaled(cls, function, _flat, lambda **parameters: _flat(**parameters).support(), **fans)
        for cls, function, fans in (
            (init.KaimingUniform, init.kaiming_uniform, {"fan_in": 6.0}),
            (init.XavierUniform, init.xavier_uniform, {"fan_in": 6.0, "fan_out": 3.0}),
            (init.LecunUniform, init.lecun_uniform, {"fan_in": 6.0}),
        )
    ),
)
# Tested elsewhere: initializers that need distances at each call, or fix their size.
ELSEWHERE = {init.DistanceModulated, init.Parts, init.Connected}
DRAWN = tuple(case for case in CASES if case.oracle is not None)
SIMPLE = tuple(case for case in CASES if not case.composed)
RANDOM = tuple(case for case in SIMPLE if case.oracle is not None)
