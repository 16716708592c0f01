"""The other way: the initializer under which measured data are most likely.

Each family has a function ``(data, fixed) -> parameters`` of bare numbers: the data in float64, the
parameters that the caller fixes, by the names of the class. Where the likelihood has no closed
maximum, its derivative has a root.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
import scipy  # its parts are imported when they are first named

from braininit._math import special
from braininit._params import units
from braininit._params.values import fields, kinds
from braininit.distributions import continuous, discrete, positive
from braininit.initializer.initialization import Initialization
from braininit.theory.continuous import truncated_normal
from braininit.theory.lookup import double

__all__ = ["fit"]

T = TypeVar("T", bound=Initialization)


def fit(dist: type[T], data: Any, **fixed: Any) -> T:
    """Find the parameters under which measured data are most likely.

    Parameters
    ----------
    dist : class
        A distribution: Normal, LogNormal, Gamma, Exponential, Weibull, Beta, Uniform, Laplace,
        LogUniform, TruncatedNormal, VonMises, Poisson or UniformInt.
    data : array or Quantity
        The measurements, of any shape, finite, in any unit; the result has their unit.
    **fixed
        Parameters that are known, as in ``shape=2.0``. The bounds of Beta (0 and 1) and of
        TruncatedNormal (open) are never fitted: give `low` and `high`.

    Returns
    -------
    Initialization
        An object of that class.

    Raises
    ------
    ValueError
        If data lie outside the domain, are too few or all the same, or no member of the family is
        the most likely one.

    Notes
    -----
    Maximum likelihood, as `fit` of SciPy's distributions, with bounds and origin held at their
    places. The likelihood has one maximum in each of these families.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> measured = init.LogNormal(0.5 * u.nS, 0.2 * u.nS)(10_000, rng=42)
    >>> weights = init.fit(init.LogNormal, measured)
    >>> print(f"{weights.mean:.3f}, {weights.std:.3f}")
    0.501 nS, 0.201 nS
    """
    family = _family(dist)
    unit, x = _numbers(data)
    given = _fixed(dist, fixed, unit)
    carriers = [name for name, kind in kinds(dist).items() if kind == "shared"]
    if unit is not None and not carriers:
        raise units.UnitError(
            f"`data` are in {unit}, and {dist.__name__} draws pure numbers; divide the unit away"
        )

    def dressed(numbers: Mapping[str, Any]) -> dict[str, Any]:
        return {n: units.on(x, unit) if n in carriers else x for n, x in numbers.items()}

    free = [f.name for f in fields(dist) if f.name not in given]
    if family in _BETWEEN_BOUNDS:
        free = [name for name in free if name not in ("low", "high")]
    if not free:
        raise ValueError(f"all parameters of {dist.__name__} are fixed; leave one to be fitted")
    # The class checks what is fixed: numbers that are traced it takes as they come.
    jax.eval_shape(
        lambda rest: (dist(**dressed({**rest, **given})), 0)[1], dict.fromkeys(free, 1.0)
    )
    if given.get("std") == 0:
        raise ValueError("`std` = 0 leaves no spread to data; fix another parameter, or none")
    shown = _Data(dist.__name__, x, unit)
    try:
        with np.errstate(all="ignore"):
            found = {name: float(x) for name, x in family(shown, given).items()}
    except OverflowError:
        found = {"its size": math.inf}
    if not np.all(np.isfinite([*found.values()])):
        raise shown.none(_BEYOND)
    return dist(**dressed({**found, **given}))


def _family(dist: Any) -> Callable[..., Mapping[str, Any]]:
    if isinstance(dist, Initialization) or not isinstance(dist, type):
        name = type(dist).__name__ if isinstance(dist, Initialization) else repr(dist)
        raise TypeError(f"`dist` must be a class such as init.LogNormal, got {name}")
    family = _FAMILIES.get(getattr(dist, "_function", None))
    if family is None:
        known = ", ".join(f.twin.__name__ for f in _FAMILIES)  # pyright: ignore
        raise TypeError(f"`dist` = {dist.__name__} can't be fitted; these can: {known}")
    return family


def _numbers(data: Any) -> tuple[Any, np.ndarray]:
    bare, unit = units.unwrap("data", data)
    x = np.ravel(double(bare)).astype(float)
    if not x.size:
        raise ValueError("`data` are empty; give at least two numbers")
    bad = np.flatnonzero(~np.isfinite(x))
    if bad.size:
        raise ValueError(
            f"`data` must be finite, got {x[bad[0]]} at index {bad[0]}, one of {bad.size}; "
            "leave them out, as in data[np.isfinite(data)]"
        )
    return unit, x


def _fixed(dist: Any, fixed: Mapping[str, Any], unit: Any) -> dict[str, Any]:
    """The fixed parameters by the names of the class, bare in the data's unit."""
    holds, given = kinds(dist), {}
    own = {its: mine for mine, its in dist._names}  # the function's names are good too
    for name, value in fixed.items():
        mine = name if name in holds else own.get(name)
        if mine is None:
            raise TypeError(f"{dist.__name__} has no parameter `{name}`; it has {', '.join(holds)}")
        if value is None:
            continue
        if holds[mine] == "shared":
            values = {"data": units.on(1.0, unit), name: value}
            if unit is None and units.unwrap(name, value)[1] is not None:
                raise units.UnitError(
                    f"`{name}` = {units.brief(value)} has a unit, `data` have none; give them one"
                )
            value = units.off(**values)[1][1]
        else:
            value = units.dimensionless(name, value)
        if np.ndim(value):
            raise ValueError(f"`{name}` must be one number, got the shape {np.shape(value)}")
        given[mine] = float(value)
    return given


_BEYOND = "its parameters are beyond the range of a float"


class _Data:
    """Data that can say what is wrong with them."""

    def __init__(self, family: str, x: np.ndarray, unit: Any) -> None:
        self.family, self.x, self.unit = family, x, unit

    def hold(self, good: np.ndarray, what: str) -> np.ndarray:
        """The numbers, if all are good."""
        bad = np.flatnonzero(~good)
        if bad.size:
            raise ValueError(
                f"`data` of {self.family} must {what}, got "
                f"{units.show(self.x[bad[0]].item(), self.unit)} at index {bad[0]}, one of "
                f"{bad.size}; leave them out or fit another distribution"
            )
        return self.x

    def above_zero(self) -> np.ndarray:
        return self.hold(self.x > 0, "be above 0")

    def between(self, low: float, high: float, *, inside: bool = False) -> np.ndarray:
        x = self.x
        good = (x > low) & (x < high) if inside else (x >= low) & (x <= high)
        ends = f"{units.show(low, self.unit)} and {units.show(high, self.unit)}"
        return self.hold(good, f"lie {'strictly ' if inside else ''}between {ends}")

    def spread(self, x: np.ndarray) -> np.ndarray:
        """The numbers, if they are not all the same."""
        if x.min() == x.max():
            raise ValueError(
                f"`data` are all {units.show(self.x[0].item(), self.unit)}, which says nothing "
                f"about the spread of {self.family}; give two numbers or more that differ"
            )
        return x

    def none(self, why: str) -> ValueError:
        return ValueError(f"no {self.family} is the most likely one: {why}")

    def root(self, function: Callable[[float], Any], why: str = _BEYOND) -> float:
        """The root of a monotone function, from brackets that grow."""
        reach = 1.0
        while not function(-reach) * function(reach) <= 0:
            reach *= 2
            if reach > 500:
                raise self.none(why)
        return float(scipy.optimize.brentq(function, -reach, reach, xtol=1e-15, rtol=1e-14))


# ---------------------------------------------------------------- by location and scale


def _normal(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x, mean = data.x, fixed.get("mean", _mean(data.x))
    if "std" in fixed:
        return {"mean": mean}
    away = x - mean
    if "mean" not in fixed:
        away = data.spread(x) - mean - _mean(away)  # less what the mean has lost
    return {"mean": mean, "std": _mean(away, 2)}


def _mean(x: np.ndarray, power: int = 1) -> float:
    """The root of the mean power, whose sum may not overflow."""
    octaves = np.frexp(abs(x).max())[1]
    return float(np.ldexp(np.mean(np.ldexp(x, -octaves) ** power) ** (1 / power), octaves))


def _laplace(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    loc = fixed.get("loc", float(np.median(data.x)))
    if "scale" in fixed:
        return {"loc": loc}
    if "loc" not in fixed or np.all(data.x == loc):
        data.spread(data.x)
    return {"loc": loc, "scale": _mean(abs(data.x - loc))}


def _bounds(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.between(fixed.get("low", -math.inf), fixed.get("high", math.inf))
    if not fixed:
        data.spread(x)
    found = {"low": x.min(), "high": x.max(), **fixed}
    if not found["low"] < found["high"]:
        raise data.none("all data lie on the bound that is fixed; give it room")
    return found


def _positive_bounds(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    data.above_zero()
    return _bounds(data, fixed)


# ---------------------------------------------------------------- positive ones


def _exponential(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.hold(data.x >= 0, "be 0 or more")
    if not x.any():
        raise data.none("all data are 0; give some above")
    return {"scale": _mean(x)}


def _lognormal(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.above_zero()
    middle = math.exp(np.log(x).mean())
    away = special.log_ratio(x, middle)  # logarithms around 0
    if "mean" in fixed:
        # With s the variance of the logarithm the derivative is that of s^2 + 4 s = 4 B.
        square = np.mean(special.log_ratio(x, fixed["mean"]) ** 2)
        variance = 2 * square / (1 + math.sqrt(1 + square))
        return {"std": fixed["mean"] * _ratio(variance)}
    if "std" not in fixed:
        data.spread(x)
        variance = float(np.var(away))
        mean = middle * math.exp(away.mean() + variance / 2)
        return {"mean": mean, "std": mean * _ratio(variance)}
    std = fixed["std"]

    def slope(shift: float) -> float:
        """The derivative of the likelihood by the logarithm of the mean, over `middle`."""
        square = (std / middle) ** 2 * math.exp(-2 * shift)
        s, ds = math.log1p(square), -2 * square / (1 + square)
        gap = away - shift + s / 2
        b, db = np.mean(gap**2), 2 * np.mean(gap) * (ds / 2 - 1)
        return -ds / (2 * s) - (db * s - b * ds) / (2 * s * s)

    return {"mean": middle * math.exp(data.root(slope))}


def _ratio(variance: float) -> float:
    """The std over the mean, by the variance of the logarithm."""
    return math.exp(variance / 2) * math.sqrt(-math.expm1(-variance))


def _gamma(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.above_zero()
    mean = _mean(x)
    if "shape" in fixed:
        return {"scale": mean / fixed["shape"]}
    if "scale" in fixed:
        level = np.mean(special.log_ratio(x, fixed["scale"]))
        k = math.exp(data.root(lambda t: level - scipy.special.digamma(math.exp(t))))
        return {"shape": k}
    gap = _mean_excess(data.spread(x), x - mean)
    k = math.exp(data.root(lambda t: _log_less_digamma(math.exp(t)) - gap))
    return {"shape": k, "scale": mean / k}


def _log_less_digamma(k: float) -> float:
    """The difference log k - digamma(k), which cancels for large k."""
    if k < 30:
        return float(math.log(k) - scipy.special.digamma(k))
    return 1 / (2 * k) + (1 / 12 - (1 / 120 - 1 / (252 * k * k)) / (k * k)) / (k * k)


def _weibull(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.above_zero()
    size = fixed.get("scale", x.max())  # without one, powers of x / size don't overflow
    log = special.log_ratio(x, size)
    if "shape" not in fixed and np.all(x == size):
        data.spread(x)

    def slope(t: float) -> float:
        k = math.exp(t)
        weight = np.exp(np.minimum(k * log, 700))
        total = x.size if "scale" in fixed else weight.sum()
        return 1 / k + np.mean(log) - (log * weight).sum() / total

    k = fixed["shape"] if "shape" in fixed else math.exp(data.root(slope))
    if "scale" in fixed:
        return {"shape": k}
    return {"shape": k, "scale": size * math.exp(math.log(np.mean(np.exp(k * log))) / k)}


# ---------------------------------------------------------------- between bounds


def _beta(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    if data.unit is not None and not {"low", "high"} <= fixed.keys():
        raise ValueError(f"the bounds of Beta go with the data: give low= and high= in {data.unit}")
    low, high = fixed.get("low", 0.0), fixed.get("high", 1.0)
    x = data.between(low, high, inside=True)
    below, above = (np.mean(np.log(gap / (high - low))) for gap in (x - low, high - x))
    digamma = scipy.special.digamma
    if len(fixed.keys() & {"alpha", "beta"}) == 1:
        other, level = ("beta", above) if "alpha" in fixed else ("alpha", below)
        known = fixed["alpha" if other == "beta" else "beta"]
        t = data.root(lambda t: level - digamma(math.exp(t)) + digamma(math.exp(t) + known))
        return {other: math.exp(t)}
    data.spread(x)
    # With n = alpha + beta and L = log - digamma, alpha = n a: L(alpha) - L(n) - log(a / mean)
    # equals the mean excess of the data over the logarithm, and so for beta and 1 - a. Nothing
    # cancels where the data are narrow and n is large.
    gaps = x - low, high - x
    share = float(gaps[0].mean() / (high - low)), float(gaps[1].mean() / (high - low))
    excess = [
        _mean_excess(gap, sign * (x - x.mean())) for gap, sign in zip(gaps, (1, -1), strict=True)
    ]

    def split(n: float, shift: float) -> tuple[float, float, float]:
        """The two shapes if the odds of a are e^shift of the data's."""
        a = share[0] / (share[0] + share[1] * math.exp(-shift))
        b = share[1] / (share[1] + share[0] * math.exp(shift))
        return max(n * a, 1e-300), max(n * b, 1e-300), shift

    def apart(n: float, shift: float) -> float:
        alpha, beta, _ = split(n, shift)
        return _log_less_digamma(alpha) - _log_less_digamma(beta) - shift - excess[0] + excess[1]

    def best(n: float) -> tuple[float, float, float]:
        """The split of n that is the most likely."""
        size = sum(excess) + sum(_log_less_digamma(n * each) for each in share)
        unit = min(1.0, size)  # found to 1e-15 of it
        return split(n, unit * data.root(lambda t: apart(n, t * unit)))

    def slope(t: float) -> float:
        # By the equation of the shape with the larger share, whose terms are the smallest.
        (alpha, beta, shift), large = best(math.exp(t)), int(share[1] > share[0])
        log = -math.log1p(share[1 - large] * math.expm1(-shift if large == 0 else shift))
        shapes = (alpha, beta) if large == 0 else (beta, alpha)
        return _digamma_gap(*shapes) - log - excess[large]

    alpha, beta, _ = best(math.exp(data.root(slope)))
    return {"alpha": alpha, "beta": beta}


def _mean_excess(x: np.ndarray, away: np.ndarray) -> float:
    """The mean of x / mean - 1 - log(x / mean), however narrow x is; `away` is x - mean."""
    mean = _mean(x)
    return float(np.mean(special.excess(away / mean, special.log_ratio(x, mean))))


def _digamma_gap(k: float, more: float) -> float:
    """The difference of log - digamma at k and at k + more, which cancels for large k."""
    if k < 30:
        return _log_less_digamma(k) - _log_less_digamma(k + more)
    u, v = 1 / k, 1 / (k + more)
    squares = u * u + v * v
    rest = 1 / 12 - squares / 120 + (squares * squares - (u * v) ** 2) / 252
    return more * u * v * (0.5 + (u + v) * rest)


def _truncated(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    """By moments, which those of the most likely member of an exponential family equal."""
    low, high = fixed.get("low", -math.inf), fixed.get("high", math.inf)
    x = data.between(low, high)
    if "std" not in fixed and np.all(x == fixed.get("mean", x[0])):
        data.spread(x)
    # Counted from the mean in std of the data, so that units don't matter.
    center = _mean(x)
    scale = _mean(x - center, 2)
    scale = scale or fixed.get("std") or abs(center - fixed["mean"])
    y, ends = (x - center) / scale, ((low - center) / scale, (high - center) / scale)

    def law(mean: float, std: float) -> Any:
        return truncated_normal(np.float64(mean), np.float64(std), *ends)

    grows = "the likelihood grows without end as the mean moves away from the bounds"
    if "std" in fixed:
        std = fixed["std"] / scale
        t = data.root(lambda t: np.mean(y) - float(law(t, std).mean), grows)
        return {"mean": center + scale * t}
    if "mean" in fixed:
        mean = (fixed["mean"] - center) / scale
        square = np.mean((y - mean) ** 2)

        def gap(t: float) -> float:
            its = law(mean, math.exp(t))
            return math.log(square) - math.log(float(its.std**2 + (its.mean - mean) ** 2))

        std = math.exp(data.root(gap, "the data are flatter than any"))
        return {"std": scale * std}

    def gaps(t: np.ndarray) -> np.ndarray:
        its = law(t[0], math.exp(t[1]))
        return np.array([its.mean - y.mean(), np.log(its.std) - np.log(y.std())], float)

    found = scipy.optimize.root(gaps, np.array([0.0, 0.0]), tol=1e-14)
    if not (np.all(abs(gaps(found.x)) < 1e-10) and abs(found.x[0]) < 1e4):
        raise data.none(f"{grows}; Exponential or Uniform may fit")
    return {"mean": center + scale * found.x[0], "std": scale * math.exp(found.x[1])}


# ---------------------------------------------------------------- angles


def _von_mises(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x, y = np.cos(data.x), np.sin(data.x)
    mean = fixed.get("mean", math.atan2(y.mean(), x.mean()))
    if "concentration" in fixed:
        return {"mean": mean}
    if "mean" not in fixed:
        data.spread(data.x)
    turned = np.where(abs(data.x) > math.pi, np.arctan2(y, x), data.x)
    lack = float(np.mean(2 * np.sin((turned - mean) / 2) ** 2))  # 1 less the mean cosine
    if lack == 0:
        raise data.none("all data point one way")
    if lack >= 1:
        return {"mean": mean, "concentration": 0.0}

    def gap(t: float) -> float:
        k = math.exp(t)
        short = scipy.special.i0e(k) - scipy.special.i1e(k)
        share = short / scipy.special.i0e(k) if k < 1e4 else (0.5 + 0.125 / k * (1 + 1 / k)) / k
        return float(math.log(share) - math.log(lack))

    return {"mean": mean, "concentration": math.exp(data.root(gap))}


# ---------------------------------------------------------------- whole numbers


def _poisson(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.hold((data.x >= 0) & (data.x % 1 == 0), "be whole numbers, 0 or more")
    return {"mean": _mean(x)}


def _whole_bounds(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.hold(data.x % 1 == 0, "be whole numbers")
    low, high = fixed.get("low", x.min()), fixed.get("high", x.max() + 1)
    data.between(low, high - 1)
    return {"low": low, "high": high}


_FAMILIES: dict[Any, Callable[[_Data, Mapping[str, float]], Mapping[str, Any]]] = {
    continuous.normal: _normal,
    positive.lognormal: _lognormal,
    positive.gamma: _gamma,
    positive.exponential: _exponential,
    positive.weibull: _weibull,
    continuous.beta: _beta,
    continuous.uniform: _bounds,
    continuous.laplace: _laplace,
    positive.loguniform: _positive_bounds,
    discrete.poisson: _poisson,
    discrete.uniform_int: _whole_bounds,
    continuous.truncated_normal: _truncated,
    continuous.vonmises: _von_mises,
}
_BETWEEN_BOUNDS = {_beta, _truncated}  # whose bounds are given, never fitted
