"""From an initializer object to its law, in bare numbers, and the unit of its draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import brainunit as u
import jax
import numpy as np
import scipy  # its parts are imported when they are first named

import braininit.theory.continuous as its_continuous
import braininit.theory.positive as its_positive
from braininit._params import units
from braininit.distributions import continuous, positive
from braininit.initializer import operators
from braininit.initializer.children import as_child
from braininit.initializer.constant import constant, ones, zeros
from braininit.initializer.recipe import UNKNOWN
from braininit.theory.combined import affine
from braininit.theory.law import Law, point

__all__ = ["at", "double", "find", "known", "laws"]

laws: dict[Any, Callable[..., Law]] = {
    constant: point,
    zeros: point,
    ones: point,
    continuous.uniform: its_continuous.uniform,
    continuous.normal: its_continuous.normal,
    continuous.laplace: its_continuous.laplace,
    continuous.beta: its_continuous.beta,
    continuous.truncated_normal: its_continuous.truncated_normal,
    continuous.vonmises: its_continuous.von_mises,
    positive.lognormal: its_positive.lognormal,
    positive.gamma: its_positive.gamma,
    positive.exponential: its_positive.exponential,
    positive.weibull: its_positive.weibull,
    positive.loguniform: its_positive.loguniform,
}
"""Function -> law, called with the function's own parameters, bare and in float64."""


def find(dist: Any) -> tuple[Law | None, u.Unit | None]:
    """Look up the law of an object, and the unit of its draws."""
    if isinstance(dist, type) or not callable(dist):
        name = dist.__name__ if isinstance(dist, type) else type(dist).__name__
        raise TypeError(f"`dist` must be an initializer object, got {name}")
    # By function, not by class: a subclass with another function has another law.
    function: Any = getattr(type(dist), "_function", None)
    if isinstance(dist, operators.Combined):
        return _combined(dist.op, dist.left, dist.right)
    if isinstance(dist, operators.Scaled):
        return _combined("*", dist.base_dist, dist.scale_factor)
    law, made = laws.get(function), None if function is None else cast(Any, dist)._recipe
    if made is None or (law is None and made.facts.law is None):
        return None, None
    numbers = dict(zip(made.facts.names, made.values, strict=True))
    unit, carriers = made.unit, {n: v for n, v in numbers.items() if isinstance(v, u.Quantity)}
    if carriers or unit is UNKNOWN:  # a user's class
        unit, bare = units.off(**carriers)
        numbers |= zip(carriers, bare, strict=True)
    numbers = {name: double(value) for name, value in numbers.items()}
    with np.errstate(all="ignore"):
        if law is not None:
            return law(**numbers), unit
        its = made.facts.law(scipy.stats, *numbers.values())
        return _of_scipy(its), unit


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


def _combined(op: str, left: Any, right: Any = None) -> tuple[Law | None, u.Unit | None]:
    """Look up both sides of an operator; a draw that is shifted and scaled is known."""
    if right is None:
        return None, None
    (first, unit), (second, other) = (find(as_child(op, side)) for side in (left, right))
    if first is None or second is None:
        return None, None
    unit, ratio = units.of_operation(op, unit, other)
    second = affine(second, 0.0, ratio)
    if op in ("+", "-"):
        sign = 1.0 if op == "+" else -1.0
        if second.is_point:
            return affine(first, sign * second.mean, 1.0), unit
        if first.is_point:
            return affine(second, first.mean, sign), unit
    if op == "*" and first.is_point:
        return affine(second, 0.0, first.mean), unit
    if op in ("*", "/") and second.is_point:
        return affine(first, 0.0, second.mean if op == "*" else 1 / second.mean), unit
    return None, None


def known(dist: Any) -> tuple[Law, u.Unit | None]:
    law, unit = find(dist)
    if law is None:
        raise TypeError(
            f"braininit.theory has no law of {type(dist).__name__}; "
            "add one with theory.laws[function] = ..."
        )
    return law, unit


def at(x: Any, unit: u.Unit | None) -> np.ndarray:
    if unit is None:
        return double(units.dimensionless("x", x))
    return double(units.off(dist=units.on(1.0, unit), x=x)[1][1])


def double(value: Any) -> Any:
    if isinstance(value, (float, complex, np.ndarray, jax.Array)):
        return np.asarray(value, complex if np.iscomplexobj(value) else float)
    return value
