"""From an initializer object to its law, in bare numbers, and the unit of its draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import brainunit as u
import jax
import numpy as np
import scipy  # its parts are imported when they are first named
from jax.core import Tracer

import braininit.theory.continuous as continuous_laws
import braininit.theory.discrete as discrete_laws
import braininit.theory.positive as positive_laws
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

__all__ = ["Unknown", "as_float64", "find_law", "laws", "numbers_in", "unknown"]

Found = tuple[Law, u.Unit | None]


class Unknown(TypeError):
    """No law of this initializer is known."""


laws: dict[Any, Callable[..., Law]] = {
    constant: point,
    zeros: point,
    ones: point,
    continuous.uniform: continuous_laws.uniform,
    continuous.normal: continuous_laws.normal,
    continuous.laplace: continuous_laws.laplace,
    continuous.beta: continuous_laws.beta_law,
    continuous.truncated_normal: continuous_laws.truncated_normal,
    continuous.vonmises: continuous_laws.von_mises,
    positive.lognormal: positive_laws.lognormal,
    positive.gamma: positive_laws.gamma,
    positive.exponential: positive_laws.exponential,
    positive.weibull: positive_laws.weibull,
    positive.loguniform: positive_laws.loguniform,
    discrete.uniform_int: discrete_laws.uniform_int,
    discrete.poisson: discrete_laws.poisson,
    discrete.binomial: discrete_laws.binomial,
}
"""Function -> law, called with the function's own parameters, bare and in float64."""


def find_law(dist: Any, size: Any = None) -> Found:
    """Look up the law of an object, and the unit of its draws."""
    if isinstance(dist, type) or not callable(dist):
        name = dist.__name__ if isinstance(dist, type) else type(dist).__name__
        raise TypeError(f"`dist` must be an initializer object, got {name}")
    name = type(dist).__name__
    try:
        with np.errstate(all="ignore"):
            return _law_of(dist, None if size is None else as_shape(size))
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


def _law_of(dist: Any, size: Any) -> Found:
    # By function, not by class: a subclass with another function has another law.
    function: Any = getattr(type(dist), "_function", None)
    if function is None:
        raise LookupError(type(dist).__name__)
    if function in _COMPOSITES and function not in laws:
        return _COMPOSITES[function](dist, size)
    recipe = cast(Any, dist)._recipe
    if function not in laws and recipe.facts.law is None:
        return _by_size(dist, recipe, function, size)
    numbers = dict(zip(recipe.facts.names, recipe.values, strict=True))
    quantities = {n: v for n, v in numbers.items() if isinstance(v, u.Quantity)}
    unit = recipe.unit
    if quantities or unit is UNKNOWN:  # a user's class
        unit, bare = units.off(**quantities)
        numbers |= zip(quantities, bare, strict=True)
    numbers = {name: as_float64(value) for name, value in numbers.items()}
    if function in laws:
        return laws[function](**numbers), unit
    return _of_scipy(recipe.facts.law(scipy.stats, *numbers.values())), unit


def _of_scipy(frozen: Any) -> Law:
    """The law of a frozen SciPy distribution."""
    return Law(
        frozen.mean,
        frozen.std,
        frozen.pdf,
        frozen.cdf,
        frozen.sf,
        log_pdf=frozen.logpdf,
        quantile=lambda p, q: np.where(p < q, frozen.ppf(p), frozen.isf(q)),
        skewness=lambda: frozen.stats("s"),
        kurtosis=lambda: frozen.stats("k"),
        support=frozen.support(),
    )


def _by_size(dist: Any, recipe: Any, function: Any, size: Any) -> Found:
    if any(isinstance(option, Fans) for option in recipe.facts.static):
        return sized.by_fan(recipe, size), recipe.unit
    if (entries := getattr(dist, "_entries", None)) is not None:
        shares, dists = zip(*entries(size), strict=True)
        parts, unit = _in_one_unit([_law_of(part, size) for part in dists])
        return mixture_of(parts, np.broadcast_arrays(*shares)), unit
    if function not in sized.matrices_by_size:
        raise LookupError(type(dist).__name__)
    if size is None:
        raise SizeNeeded
    return sized.matrices_by_size[function](recipe, size), recipe.unit


# ---------------------------------------------------------------- composites


def _operation(dist: Any, size: Any) -> Found:
    return _combined(dist.op, dist.left, dist.right, size)


def _scaled(dist: Any, size: Any) -> Found:
    return _combined("*", dist.base_dist, dist.scale_factor, size)


def _combined(op: str, left: Any, right: Any, size: Any) -> Found:
    first, unit = _law_of(as_child("left", left), size)
    if op == "abs":
        return absolute(first), unit
    second, other = _law_of(as_child("right", right), size)
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
    law, _ = _law_of(dist.base, size)
    return _raised(law, dist.exponent, repr(dist)), dist._recipe.unit


def _raised(law: Law, exponent: Any, name: str) -> Law:
    if np.any(np.mod(exponent, 1) != 0) and np.any(np.less(law.support[0], 0)):
        raise LookupError(f"{name}, where draws below 0 give NaN")
    return power(law, exponent)


def _clipped(dist: Any, size: Any) -> Found:
    law, _ = _law_of(dist.base_dist, size)
    recipe = dist._recipe
    return clipped(law, *map(as_float64, recipe.values[1:])), recipe.unit


def _on_grid(dist: Any, size: Any) -> Found:
    law, _ = _law_of(dist.base_dist, size)
    recipe = dist._recipe
    return gridded(law, as_float64(recipe.values[1]), dist.rounding), recipe.unit


def _composed(dist: Any, size: Any) -> Found:
    if dist.functions:
        raise LookupError(f"{dist!r}, whose functions it does not know")
    return _law_of(dist.first, size)


def _truncated(dist: Any, size: Any) -> Found:
    law, own = _law_of(dist.base, size)
    low = -np.inf if dist.low is None else dist.low
    high = np.inf if dist.high is None else dist.high
    unit, (_, *bare) = units.off(base=units.on(0.0, own), low=low, high=high)
    return truncated_at(law, *map(as_float64, bare)), unit


def _mixture(dist: Any, size: Any) -> Found:
    parts, unit = _in_one_unit([_law_of(part, size) for part in dist.distributions])
    return mixture_of(parts, np.asarray(dist._recipe.values[0], float)), unit


def _modulated(dist: Any, size: Any) -> Found:
    raise LookupError(
        "DistanceModulated, whose weights have a law per distance",
        "at one distance it is the law of profile.weight_scaling(distance) * base_dist; or "
        "estimate it from draws, as in theory.mean(lambda key, shape: dist(shape, rng=key, "
        "distances=...), size=distances.shape, estimate=100_000, rng=0)",
    )


def _joint(dist: Any, size: Any) -> Found:
    name = next(iter(dist.margins))
    raise LookupError(
        "Joint, which draws several", f"use one margin, as in theory.mean(dist.margins[{name!r}])"
    )


def _conditional(dist: Any, size: Any) -> Found:
    (yes, no), unit = _in_one_unit([_law_of(x, size) for x in (dist.true_dist, dist.false_dist)])
    return sized.of_conditional(dist._recipe, yes, no, size), unit


def _sparse(dist: Any, size: Any) -> Found:
    law, unit = _law_of(dist.base, size)
    return sized.of_sparse(dist._recipe, law, size), unit


def _dale(dist: Any, size: Any) -> Found:
    law, unit = _law_of(dist.base, size)
    return sized.of_dale(dist._recipe, law, size), unit


_COMPOSITES: dict[Any, Callable[[Any, Any], Found]] = {
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
    ones = {f"part {i}": units.on(1.0, unit) for i, (_, unit) in enumerate(parts)}
    unit, ratios = units.off(**ones)
    laws = [affine(law, 0.0, ratio) for (law, _), ratio in zip(parts, ratios, strict=True)]
    return laws, unit


# ---------------------------------------------------------------- numbers


def numbers_in(name: str, x: Any, unit: u.Unit | None) -> np.ndarray:
    """Return float64 numbers, converted to a unit and without it."""
    if unit is None:
        return as_float64(units.dimensionless(name, x))
    return as_float64(units.off(dist=units.on(1.0, unit), **{name: x})[1][1])


def as_float64(value: Any) -> Any:
    """Convert a number or an array to float64."""
    if isinstance(value, Tracer):
        raise TypeError("theory computes in NumPy and takes no traced numbers; call it outside jit")
    if isinstance(value, (float, complex, np.ndarray, jax.Array)):
        return np.asarray(value, complex if np.iscomplexobj(value) else float)
    return value
