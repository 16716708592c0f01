"""Fits: the initializer under which measured data are most likely.

Each family has a function ``(data, fixed) -> parameters`` of bare numbers: the data in float64, and
the parameters that the caller fixes, by their names in the class. Where the maximum of the
likelihood has no closed form, a root of the derivative is found numerically.
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
from braininit._params.values import field_kinds, fields
from braininit.distributions import continuous, discrete, positive
from braininit.initializer.initialization import Initialization
from braininit.theory.continuous import truncated_normal
from braininit.theory.lookup import as_float64

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
        Known parameters, as in ``shape=2.0``. The bounds of Beta (0 and 1 by default) and of
        TruncatedNormal (open by default) are never fitted: pass `low` and `high`.

    Returns
    -------
    Initialization
        An object of that class.

    Raises
    ------
    ValueError
        If data lie outside the domain, are too few or all equal, or no member of the family is the
        most likely one.

    Notes
    -----
    Maximum likelihood, as in the `fit` of SciPy's distributions, with bounds and origin fixed. The
    likelihood has one maximum in each of these families.

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
    known = _fixed_numbers(dist, fixed, unit)
    with_unit = [name for name, kind in field_kinds(dist).items() if kind == "shared"]
    if unit is not None and not with_unit:
        raise units.UnitError(
            f"`data` are in {unit}, and {dist.__name__} draws pure numbers; divide the unit away"
        )

    def build(numbers: Mapping[str, Any]) -> T:
        every = {**numbers, **known}.items()
        return dist(**{n: units.on(x, unit) if n in with_unit else x for n, x in every})

    free = [f.name for f in fields(dist) if f.name not in known]
    if family in _BETWEEN_BOUNDS:
        free = [name for name in free if name not in ("low", "high")]
    if not free:
        raise ValueError(f"all parameters of {dist.__name__} are fixed; leave one to be fitted")
    # The class checks the fixed numbers; the free ones are traced, so it accepts any.
    jax.eval_shape(lambda rest: (build(rest), 0)[1], dict.fromkeys(free, 1.0))
    if known.get("std") == 0:
        raise ValueError("`std` = 0 leaves no spread to data; fix another parameter, or none")
    sample = _Data(dist.__name__, x, unit)
    try:
        with np.errstate(all="ignore"):
            fitted = {name: float(x) for name, x in family(sample, known).items()}
    except OverflowError:
        raise sample.no_fit(_BEYOND) from None
    if not np.all(np.isfinite([*fitted.values()])):
        raise sample.no_fit(_BEYOND)
    return build(fitted)


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
    x = np.ravel(as_float64(bare)).astype(float)
    if not x.size:
        raise ValueError("`data` are empty; give at least two numbers")
    bad = np.flatnonzero(~np.isfinite(x))
    if bad.size:
        raise ValueError(
            f"`data` must be finite, got {x[bad[0]]} at index {bad[0]}, one of {bad.size}; "
            "leave them out, as in data[np.isfinite(data)]"
        )
    return unit, x


def _fixed_numbers(dist: Any, fixed: Mapping[str, Any], unit: Any) -> dict[str, Any]:
    """The fixed parameters by their names in the class, bare, in the data's unit."""
    kind_of, numbers = field_kinds(dist), {}
    aliases = {function_name: name for name, function_name in dist._names}
    for name, value in fixed.items():
        field = name if name in kind_of else aliases.get(name)
        if field is None:
            names = ", ".join(kind_of)
            raise TypeError(f"{dist.__name__} has no parameter `{name}`; it has {names}")
        if value is None:
            continue
        if kind_of[field] == "shared":
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
        numbers[field] = float(value)
    return numbers


_BEYOND = "its parameters are beyond the range of a float"


class _Data:
    """Measured data of a family; its methods check them and name the unit in their errors."""

    def __init__(self, family: str, x: np.ndarray, unit: Any) -> None:
        self.family, self.x, self.unit = family, x, unit

    def require(self, good: np.ndarray, condition: str) -> np.ndarray:
        """Return the numbers, if all are good."""
        bad = np.flatnonzero(~good)
        if bad.size:
            raise ValueError(
                f"`data` of {self.family} must {condition}, got "
                f"{units.show(self.x[bad[0]].item(), self.unit)} at index {bad[0]}, one of "
                f"{bad.size}; leave them out or fit another distribution"
            )
        return self.x

    def require_positive(self) -> np.ndarray:
        return self.require(self.x > 0, "be above 0")

    def require_between(self, low: float, high: float, *, inside: bool = False) -> np.ndarray:
        x = self.x
        good = (x > low) & (x < high) if inside else (x >= low) & (x <= high)
        ends = f"{units.show(low, self.unit)} and {units.show(high, self.unit)}"
        return self.require(good, f"lie {'strictly ' if inside else ''}between {ends}")

    def require_spread(self, x: np.ndarray) -> np.ndarray:
        """Return the numbers, if they are not all equal."""
        if x.min() == x.max():
            raise ValueError(
                f"`data` are all {units.show(self.x[0].item(), self.unit)}, which says nothing "
                f"about the spread of {self.family}; give two numbers or more that differ"
            )
        return x

    def no_fit(self, why: str) -> ValueError:
        return ValueError(f"no {self.family} is the most likely one: {why}")

    def root(self, function: Callable[[float], Any], why: str = _BEYOND) -> float:
        """Find the root of a monotone function, between brackets that grow until they hold it."""
        reach = 1.0
        while not function(-reach) * function(reach) <= 0:
            reach *= 2
            if reach > 500:
                raise self.no_fit(why)
        return float(scipy.optimize.brentq(function, -reach, reach, xtol=1e-15, rtol=1e-14))


# ---------------------------------------------------------------- location and scale


def _normal(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x, mean = data.x, fixed.get("mean", _mean(data.x))
    if "std" in fixed:
        return {"mean": mean}
    away = x - mean
    if "mean" not in fixed:
        away = data.require_spread(x) - mean - _mean(away)  # less the rounding error of the mean
    return {"mean": mean, "std": _mean(away, 2)}


def _mean(x: np.ndarray, power: int = 1) -> float:
    """The n-th root of the mean n-th power, by a sum that does not overflow."""
    octaves = np.frexp(abs(x).max())[1]
    return float(np.ldexp(np.mean(np.ldexp(x, -octaves) ** power) ** (1 / power), octaves))


def _laplace(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    loc = fixed.get("loc", float(np.median(data.x)))
    if "scale" in fixed:
        return {"loc": loc}
    if "loc" not in fixed or np.all(data.x == loc):
        data.require_spread(data.x)
    return {"loc": loc, "scale": _mean(abs(data.x - loc))}


def _bounds(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.require_between(fixed.get("low", -math.inf), fixed.get("high", math.inf))
    if not fixed:
        data.require_spread(x)
    bounds = {"low": x.min(), "high": x.max(), **fixed}
    if not bounds["low"] < bounds["high"]:
        raise data.no_fit("all data lie on the fixed bound; move it away from the data")
    return bounds


def _positive_bounds(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    data.require_positive()
    return _bounds(data, fixed)


# ---------------------------------------------------------------- positive distributions


def _exponential(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.require(data.x >= 0, "be 0 or more")
    if not x.any():
        raise data.no_fit("all data are 0; give some above")
    return {"scale": _mean(x)}


def _lognormal(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.require_positive()
    middle = math.exp(np.log(x).mean())
    away = special.log_ratio(x, middle)  # logarithms around 0
    if "mean" in fixed:
        # The variance s of the logarithm solves s^2 + 4 s = 4 square.
        square = np.mean(special.log_ratio(x, fixed["mean"]) ** 2)
        variance = 2 * square / (1 + math.sqrt(1 + square))
        return {"std": fixed["mean"] * _ratio(variance)}
    if "std" not in fixed:
        data.require_spread(x)
        variance = float(np.var(away))
        mean = middle * math.exp(away.mean() + variance / 2)
        return {"mean": mean, "std": mean * _ratio(variance)}
    std = fixed["std"]

    def slope(shift: float) -> float:
        """The derivative of the likelihood by log(mean / middle), at `shift`."""
        square = (std / middle) ** 2 * math.exp(-2 * shift)
        s, ds = math.log1p(square), -2 * square / (1 + square)
        gap = away - shift + s / 2
        b, db = np.mean(gap**2), 2 * np.mean(gap) * (ds / 2 - 1)
        return -ds / (2 * s) - (db * s - b * ds) / (2 * s * s)

    return {"mean": middle * math.exp(data.root(slope))}


def _ratio(variance: float) -> float:
    """The std over the mean, from the variance of the logarithm."""
    return math.exp(variance / 2) * math.sqrt(-math.expm1(-variance))


def _gamma(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.require_positive()
    mean = _mean(x)
    if "shape" in fixed:
        return {"scale": mean / fixed["shape"]}
    if "scale" in fixed:
        level = np.mean(special.log_ratio(x, fixed["scale"]))
        k = math.exp(data.root(lambda t: level - scipy.special.digamma(math.exp(t))))
        return {"shape": k}
    gap = _mean_excess(data.require_spread(x), x - mean)
    k = math.exp(data.root(lambda t: _log_less_digamma(math.exp(t)) - gap))
    return {"shape": k, "scale": mean / k}


def _log_less_digamma(k: float) -> float:
    """The difference log k - digamma(k), which cancels for large k."""
    if k < 30:
        return float(math.log(k) - scipy.special.digamma(k))
    return 1 / (2 * k) + (1 / 12 - (1 / 120 - 1 / (252 * k * k)) / (k * k)) / (k * k)


def _weibull(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.require_positive()
    size = fixed.get("scale", x.max())  # relative to the maximum, powers don't overflow
    log = special.log_ratio(x, size)
    if "shape" not in fixed and np.all(x == size):
        data.require_spread(x)

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
    x = data.require_between(low, high, inside=True)
    below, above = (np.mean(np.log(gap / (high - low))) for gap in (x - low, high - x))
    digamma = scipy.special.digamma
    if len(fixed.keys() & {"alpha", "beta"}) == 1:
        other, level = ("beta", above) if "alpha" in fixed else ("alpha", below)
        known = fixed["alpha" if other == "beta" else "beta"]
        t = data.root(lambda t: level - digamma(math.exp(t)) + digamma(math.exp(t) + known))
        return {other: math.exp(t)}
    data.require_spread(x)
    # With n = alpha + beta, alpha = n a and L = log - digamma: L(alpha) - L(n) - log(a / mean)
    # equals the mean excess of the data (`_mean_excess`); likewise for beta and 1 - a. Nothing
    # cancels where the data are narrow and n is large.
    gaps = x - low, high - x
    share = float(gaps[0].mean() / (high - low)), float(gaps[1].mean() / (high - low))
    excess = [
        _mean_excess(gap, sign * (x - x.mean())) for gap, sign in zip(gaps, (1, -1), strict=True)
    ]

    def split(n: float, shift: float) -> tuple[float, float, float]:
        """The two shapes with sum n, the odds of a being e^shift times the odds of the data."""
        a = share[0] / (share[0] + share[1] * math.exp(-shift))
        b = share[1] / (share[1] + share[0] * math.exp(shift))
        return max(n * a, 1e-300), max(n * b, 1e-300), shift

    def imbalance(n: float, shift: float) -> float:
        alpha, beta, _ = split(n, shift)
        return _log_less_digamma(alpha) - _log_less_digamma(beta) - shift - excess[0] + excess[1]

    def best(n: float) -> tuple[float, float, float]:
        """The most likely split of n."""
        size = sum(excess) + sum(_log_less_digamma(n * part) for part in share)
        unit = min(1.0, size)  # the root is found to 1e-15 of it
        return split(n, unit * data.root(lambda t: imbalance(n, t * unit)))

    def slope(t: float) -> float:
        # The equation of the shape with the larger share has the smallest terms.
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
    """By moments: the most likely member of an exponential family has the moments of the data."""
    low, high = fixed.get("low", -math.inf), fixed.get("high", math.inf)
    x = data.require_between(low, high)
    if "std" not in fixed and np.all(x == fixed.get("mean", x[0])):
        data.require_spread(x)
    # Standardized by the mean and std of the data, so that their unit doesn't matter.
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
            candidate = law(mean, math.exp(t))
            model = float(candidate.std**2 + (candidate.mean - mean) ** 2)
            return math.log(square) - math.log(model)

        std = math.exp(data.root(gap, "the data are flatter than any"))
        return {"std": scale * std}

    def gaps(t: np.ndarray) -> np.ndarray:
        candidate = law(t[0], math.exp(t[1]))
        return np.array([candidate.mean - y.mean(), np.log(candidate.std) - np.log(y.std())], float)

    root = scipy.optimize.root(gaps, np.array([0.0, 0.0]), tol=1e-14).x
    if not (np.all(abs(gaps(root)) < 1e-10) and abs(root[0]) < 1e4):
        raise data.no_fit(f"{grows}; Exponential or Uniform may fit")
    return {"mean": center + scale * root[0], "std": scale * math.exp(root[1])}


# ---------------------------------------------------------------- angles


def _von_mises(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x, y = np.cos(data.x), np.sin(data.x)
    mean = fixed.get("mean", math.atan2(y.mean(), x.mean()))
    if "concentration" in fixed:
        return {"mean": mean}
    if "mean" not in fixed:
        data.require_spread(data.x)
    turned = np.where(abs(data.x) > math.pi, np.arctan2(y, x), data.x)
    lack = float(np.mean(2 * np.sin((turned - mean) / 2) ** 2))  # 1 less the mean cosine
    if lack == 0:
        raise data.no_fit("all data point in one direction")
    if lack >= 1:
        return {"mean": mean, "concentration": 0.0}

    def gap(t: float) -> float:
        k = math.exp(t)
        i0, i1 = scipy.special.i0e(k), scipy.special.i1e(k)
        expected = (i0 - i1) / i0 if k < 1e4 else (0.5 + 0.125 / k * (1 + 1 / k)) / k
        return float(math.log(expected) - math.log(lack))

    return {"mean": mean, "concentration": math.exp(data.root(gap))}


# ---------------------------------------------------------------- integers


def _poisson(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.require((data.x >= 0) & (data.x % 1 == 0), "be whole numbers, 0 or more")
    return {"mean": _mean(x)}


def _whole_bounds(data: _Data, fixed: Mapping[str, float]) -> Mapping[str, Any]:
    x = data.require(data.x % 1 == 0, "be whole numbers")
    low, high = fixed.get("low", x.min()), fixed.get("high", x.max() + 1)
    data.require_between(low, high - 1)
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
_BETWEEN_BOUNDS = {_beta, _truncated}  # families whose bounds are never fitted
