"""From an initializer object to its law, in bare numbers, and the unit of its draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import brainunit as u
import jax
import numpy as np
import scipy  # its parts are imported when they are first named
from jax.core import Tracer

import braininit.theory.continuous as its_continuous
import braininit.theory.discrete as its_discrete
import braininit.theory.positive as its_positive
import braininit.theory.sized as sized
from braininit._params import units
from braininit._params.shapes import SizeNeeded, as_shape
from braininit.composition.conditional import conditional
from braininit.composition.joint import joint
from braininit.composition.mixture import mixture
from braininit.distributions import continuous, discrete, positive
from braininit.distributions.truncated import truncated
from braininit.initializer import grid, operators, pipes
from braininit.initializer.children import as_child
from braininit.initializer.constant import constant, ones, zeros
from braininit.initializer.recipe import UNKNOWN
from braininit.layers.dale import dale
from braininit.layers.fans import Fans
from braininit.layers.sparse import sparse
from braininit.spatial.modulated import distance_modulated
from braininit.theory.algebra import affine, product, total
from braininit.theory.grid import gridded
from braininit.theory.law import Law, point
from braininit.theory.pieces import clipped, mixture_of, truncated_at
from braininit.theory.powers import absolute, power

__all__ = ["Unknown", "double", "find", "laws", "numbers_in", "unknown"]

Found = tuple[Law, u.Unit | None]


class Unknown(TypeError):
    """There is no law of this initializer."""


laws: dict[Any, Callable[..., Law]] = {
    constant: point,
    zeros: point,
    ones: point,
    continuous.uniform: its_continuous.uniform,
    continuous.normal: its_continuous.normal,
    continuous.laplace: its_continuous.laplace,
    continuous.beta: its_continuous.beta_law,
    continuous.truncated_normal: its_continuous.truncated_normal,
    continuous.vonmises: its_continuous.von_mises,
    positive.lognormal: its_positive.lognormal,
    positive.gamma: its_positive.gamma,
    positive.exponential: its_positive.exponential,
    positive.weibull: its_positive.weibull,
    positive.loguniform: its_positive.loguniform,
    discrete.uniform_int: its_discrete.uniform_int,
    discrete.poisson: its_discrete.poisson,
    discrete.binomial: its_discrete.binomial,
}
"""Function -> law, called with the function's own parameters, bare and in float64."""


def find(dist: Any, size: Any = None) -> Found:
    """Look up the law of an object, and the unit of its draws."""
    if isinstance(dist, type) or not callable(dist):
        name = dist.__name__ if isinstance(dist, type) else type(dist).__name__
        raise TypeError(f"`dist` must be an initializer object, got {name}")
    name = type(dist).__name__
    try:
        with np.errstate(all="ignore"):
            return _found(dist, None if size is None else as_shape(size))
    except SizeNeeded:
        raise SizeNeeded(
            f"the law of {name} depends on the size; give it, as in theory.std(dist, size=(64, 32))"
        ) from None
    except LookupError as error:
        raise unknown(*error.args) from None


_REMEDY = (
    "estimate it from draws, as in theory.mean(dist, estimate=100_000, rng=0), with "
    "size=(300, 300) of a matrix, or add one with theory.laws[function] = ..."
)


def unknown(what: str, remedy: str = _REMEDY) -> Unknown:
    return Unknown(f"braininit.theory has no law of {what}; {remedy}")


def _found(dist: Any, size: Any) -> Found:
    # By function, not by class: a subclass with another function has another law.
    function: Any = getattr(type(dist), "_function", None)
    if function is None:
        raise LookupError(type(dist).__name__)
    if function in _MADE_OF_OTHERS and function not in laws:
        return _MADE_OF_OTHERS[function](dist, size)
    made = cast(Any, dist)._recipe
    if function not in laws and made.facts.law is None:
        return _by_size(dist, made, function, size)
    numbers = dict(zip(made.facts.names, made.values, strict=True))
    unit, carriers = made.unit, {n: v for n, v in numbers.items() if isinstance(v, u.Quantity)}
    if carriers or unit is UNKNOWN:  # a user's class
        unit, bare = units.off(**carriers)
        numbers |= zip(carriers, bare, strict=True)
    numbers = {name: double(value) for name, value in numbers.items()}
    if function in laws:
        return laws[function](**numbers), unit
    return _of_scipy(made.facts.law(scipy.stats, *numbers.values())), unit


def _of_scipy(its: Any) -> Law:
    """The law of a frozen distribution of SciPy's."""
    return Law(
        its.mean,
        its.std,
        its.pdf,
        its.cdf,
        its.sf,
        log_pdf=its.logpdf,
        quantile=lambda p, q: np.where(p < q, its.ppf(p), its.isf(q)),
        skewness=lambda: its.stats("s"),
        kurtosis=lambda: its.stats("k"),
        support=its.support(),
    )


def _by_size(dist: Any, made: Any, function: Any, size: Any) -> Found:
    if any(isinstance(option, Fans) for option in made.facts.static):
        return sized.by_fan(made, size), made.unit
    if (entries := getattr(dist, "_entries", None)) is not None:
        shares, kinds = zip(*entries(size), strict=True)
        parts, unit = _in_one_unit([_found(kind, size) for kind in kinds])
        return mixture_of(parts, np.broadcast_arrays(*shares)), unit
    if function not in sized.matrices_by_size:
        raise LookupError(type(dist).__name__)
    if size is None:
        raise SizeNeeded
    return sized.matrices_by_size[function](made, size), made.unit


# ---------------------------------------------------------------- made of others


def _operation(dist: Any, size: Any) -> Found:
    return _combined(dist.op, dist.left, dist.right, size)


def _scaled(dist: Any, size: Any) -> Found:
    return _combined("*", dist.base_dist, dist.scale_factor, size)


def _combined(op: str, left: Any, right: Any, size: Any) -> Found:
    first, unit = _found(as_child("left", left), size)
    if op == "abs":
        return absolute(first), unit
    second, other = _found(as_child("right", right), size)
    unit, ratio = units.of_operation(op, unit, other)
    second = affine(second, 0.0, ratio)
    if op in ("+", "-"):
        return total(first, second if op == "+" else affine(second, 0.0, -1.0)), unit
    if op == "**":
        if not second.is_point:
            raise LookupError("a power whose exponent is random")
        return _raised(first, second.mean, "a power"), unit
    if op == "/":
        if np.any((second.std == 0) & (second.mean == 0)):
            raise LookupError(f"{type(left).__name__} / 0")
        second = point(1 / second.mean) if second.is_point else power(second, -1.0)
    return product(first, second), unit


def _power(dist: Any, size: Any) -> Found:
    law, _ = _found(dist.base, size)
    return _raised(law, dist.exponent, repr(dist)), dist._recipe.unit


def _raised(law: Law, exponent: Any, name: str) -> Law:
    if np.any(np.mod(exponent, 1) != 0) and np.any(np.less(law.support[0], 0)):
        raise LookupError(f"{name}, where draws below 0 give NaN")
    return power(law, exponent)


def _clipped(dist: Any, size: Any) -> Found:
    law, _ = _found(dist.base_dist, size)
    made = dist._recipe
    return clipped(law, *map(double, made.values[1:])), made.unit


def _on_grid(dist: Any, size: Any) -> Found:
    law, _ = _found(dist.base_dist, size)
    made = dist._recipe
    return gridded(law, double(made.values[1]), dist.rounding), made.unit


def _composed(dist: Any, size: Any) -> Found:
    if dist.functions:
        raise LookupError(f"{dist!r}, whose functions it does not know")
    return _found(dist.first, size)


def _truncated(dist: Any, size: Any) -> Found:
    law, own = _found(dist.base, size)
    ends = {"low": dist.low, "high": dist.high}
    open_ = {"low": -np.inf, "high": np.inf}
    given = {name: open_[name] if end is None else end for name, end in ends.items()}
    unit, (_, *bare) = units.off(base=units.on(0.0, own), **given)
    return truncated_at(law, *map(double, bare)), unit


def _mixture(dist: Any, size: Any) -> Found:
    parts, unit = _in_one_unit([_found(part, size) for part in dist.distributions])
    return mixture_of(parts, np.asarray(dist._recipe.values[0], float)), unit


def _modulated(dist: Any, size: Any) -> Found:
    raise LookupError(
        "DistanceModulated, whose weights have their distances' laws",
        "at one distance it is that of profile.weight_scaling(distance) * base_dist; or estimate "
        "it from draws, as in theory.mean(lambda key, shape: dist(shape, rng=key, distances=...), "
        "size=distances.shape, estimate=100_000, rng=0)",
    )


def _joint(dist: Any, size: Any) -> Found:
    name = next(iter(dist.margins))
    raise LookupError(
        "Joint, which draws several", f"ask it of one, as in theory.mean(dist.margins[{name!r}])"
    )


def _conditional(dist: Any, size: Any) -> Found:
    (yes, no), unit = _in_one_unit([_found(x, size) for x in (dist.true_dist, dist.false_dist)])
    return sized.of_conditional(dist._recipe, yes, no, size), unit


def _sparse(dist: Any, size: Any) -> Found:
    law, unit = _found(dist.base, size)
    return sized.of_sparse(dist._recipe, law, size), unit


def _dale(dist: Any, size: Any) -> Found:
    law, unit = _found(dist.base, size)
    return sized.of_dale(dist._recipe, law, size), unit


_MADE_OF_OTHERS: dict[Any, Callable[[Any, Any], Found]] = {
    operators.combined: _operation,
    operators.scaled: _scaled,
    operators.powered: _power,
    pipes.clipped: _clipped,
    grid.on_grid: _on_grid,
    pipes.composed: _composed,
    truncated: _truncated,
    mixture: _mixture,
    conditional: _conditional,
    sparse: _sparse,
    dale: _dale,
    distance_modulated: _modulated,
    joint: _joint,
}


def _in_one_unit(parts: list[Found]) -> tuple[list[Law], u.Unit | None]:
    given = {f"part {i}": units.on(1.0, unit) for i, (_, unit) in enumerate(parts)}
    unit, ratios = units.off(**given)
    laws = [affine(law, 0.0, ratio) for (law, _), ratio in zip(parts, ratios, strict=True)]
    return laws, unit


# ---------------------------------------------------------------- numbers


def numbers_in(name: str, x: Any, unit: u.Unit | None) -> np.ndarray:
    """Bare float64 numbers in a unit."""
    if unit is None:
        return double(units.dimensionless(name, x))
    return double(units.off(dist=units.on(1.0, unit), **{name: x})[1][1])


def double(value: Any) -> Any:
    """A number or an array in float64."""
    if isinstance(value, Tracer):
        raise TypeError("theory computes in NumPy and takes no traced numbers; call it outside jit")
    if isinstance(value, (float, complex, np.ndarray, jax.Array)):
        return np.asarray(value, complex if np.iscomplexobj(value) else float)
    return value
