"""Any distribution cut off at bounds, by the inverse of its distribution function.

The table `plans`, at the end, says which kernel draws which distribution; kernels take
``(key, shape, dtype, *parameters, low, high)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import special

from braininit import _checks as checks
from braininit import _draws as draws
from braininit import _units as units
from braininit._calls import explained
from braininit._children import InitializerLike, as_child
from braininit._continuous import (
    _truncated_normal,
    _uniform,
    beta,
    normal,
    truncated_normal,
    uniform,
)
from braininit._core import Initialization
from braininit._dtypes import drawn_in, finfo, finish
from braininit._positive import exponential, gamma, log_variance, lognormal, root, weibull
from braininit._sampler import draw
from braininit._types import DType, Key, QuantityLike, Shape, Sharding
from braininit._values import fields, shares


@explained
def truncated(
    key: Key,
    shape: Shape,
    base: InitializerLike,
    low: QuantityLike | None = None,
    high: QuantityLike | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> Any:
    r"""Draw from a distribution cut off at bounds.

    .. math:: p(x) \propto p_{base}(x), \quad low \le x \le high

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    base : Initialization
        A normal, truncated normal, lognormal, uniform, exponential, Weibull, gamma or
        beta distribution.
    low, high : number, array or Quantity, optional
        Bounds, low < high, of the dimension of `base`; None is open.
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `base`, in [low, high].

    Raises
    ------
    ValueError
        If low >= high, or nothing of the distribution lies between.
    UnitError
        If a bound differs in dimension from `base`.
    TypeError
        If `base` is another initializer.

    Notes
    -----
    Numerics: one draw each, no rejection. Normals by `truncated_normal`, lognormals by the
    normal of their logarithm counted from a bound, exponential and Weibull in closed form:
    right in every tail. Gamma and beta have no closed inverse: the float is found by
    bisection, some thirty evaluations of the incomplete function, at about a hundredth of the
    speed; NaN where both ends lie so far out that the tails underflow.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> delays = init.Gamma(2.0, 1.0 * u.ms)
    >>> w = init.truncated(jax.random.key(0), 1000, delays, 0.5 * u.ms, 5 * u.ms)
    >>> bool((w >= 0.5 * u.ms).all() and (w <= 5 * u.ms).all())
    True
    """
    child = as_child("base", base)
    function = type(child)._function
    plan = None if function is None else plans.get(function)
    if plan is None:
        known = ", ".join(sorted(function.__name__ for function in plans))
        raise TypeError(
            f"`base` must be one of {known}, got {type(child).__name__}; "
            "clip it, or truncate what it is made of"
        )
    own = {f.name: value for f in fields(child) if (value := getattr(child, f.name)) is not None}
    shared = {f"base.{f.name}": own[f.name] for f in fields(child) if shares(f) and f.name in own}
    unit, (*bare, low, high) = units.off(
        **shared,
        low=-math.inf if low is None else low,
        high=math.inf if high is None else high,
    )
    own |= dict(zip((name.removeprefix("base.") for name in shared), bare, strict=True))
    low, high = checks.increasing("low", low, "high", high, unit)
    kernel, *parameters, least, most = plan(low, high, **own)
    names = ("low" if least is low else "low of base", "high" if most is high else "high of base")
    low, high = checks.increasing(names[0], least, names[1], most, unit)
    checks.fits(dtype, unit, low=low, high=high)
    checks.room(dtype, unit, low, high)
    x = draw(kernel, key, shape, *parameters, low, high, dtype=dtype, out_sharding=out_sharding)
    return units.on(x, unit)


class Truncated(Initialization, function=truncated):
    """A distribution cut off at bounds; the twin of `truncated`.

    Parameters
    ----------
    base : Initialization
        A normal, truncated normal, lognormal, uniform, exponential, Weibull, gamma or
        beta distribution.
    low, high : number, array or Quantity, optional
        Bounds, low < high, of the dimension of `base`; None is open.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.Truncated(init.LogNormal(0.5 * u.nS, 0.3 * u.nS), high=2 * u.nS)(1000, rng=0).shape
    (1000,)
    """

    base: InitializerLike
    low: QuantityLike | None = None
    high: QuantityLike | None = None


# ---------------------------------------------------------------- kernels


def _exponential(key: Any, shape: Any, dtype: Any, scale: Any, low: Any, high: Any) -> jax.Array:
    x = low + scale * _restricted(key, shape, dtype, (high - low) / scale)
    return finish(x, dtype, low, high)


def _restricted(key: Any, shape: Any, dtype: Any, width: Any) -> jax.Array:
    """Standard exponential on [0, width], exact at both ends: it has no memory."""
    e = draws.exponential(key, shape, drawn_in(dtype))
    p, beyond = -jnp.expm1(-e), jnp.exp(-width)
    part = p * -jnp.expm1(-width)
    inner = part < 0.5
    near = -jnp.log1p(-jnp.where(inner, part, 0.0))
    far = -jnp.log(jnp.where(inner, 1.0, jnp.exp(-e) + p * beyond))
    return jnp.where(inner, near, far)


def _weibull(
    key: Any, shape: Any, dtype: Any, concentration: Any, scale: Any, low: Any, high: Any
) -> jax.Array:
    # (x / scale)^k is a standard exponential; beyond `low` it is counted from there.
    from_low = low > 0.0
    start = jnp.where(from_low, low, scale)
    log_start = concentration * jnp.log(start / scale)
    reach = concentration * _log_ratio(high, start)
    at = jnp.exp(log_start)
    width = jnp.where(from_low, at * jnp.expm1(reach), jnp.exp(reach))
    e = _restricted(key, shape, dtype, jnp.where(at == jnp.inf, jnp.inf, width))
    grown = jnp.where(from_low, jnp.log1p(e / at), jnp.log(e))
    return finish(start * jnp.exp(grown / concentration), dtype, low, high)


def _lognormal(
    key: Any, shape: Any, dtype: Any, mean: Any, std: Any, low: Any, high: Any
) -> jax.Array:
    variance = log_variance(mean, std)
    from_low, from_high = low > 0.0, (low <= 0.0) & (high < jnp.inf)
    start = jnp.where(from_low, low, jnp.where(from_high, high, mean))
    middle = jnp.log(mean / start) - variance / 2
    near = jnp.where(from_low, 0.0, -jnp.inf).astype(mean.dtype)
    far = jnp.where(from_low, _log_ratio(high, start), jnp.where(from_high, 0.0, jnp.inf))
    z = draws.truncated_normal(
        key, shape, drawn_in(dtype), middle, root(variance), near, far.astype(mean.dtype)
    )
    return finish(start * jnp.exp(z), dtype, low, high)


def _log_ratio(x: jax.Array, start: jax.Array) -> jax.Array:
    """Log(x / start), with all digits where the two are close."""
    return jnp.log1p((x - start) / start)


# ---------------------------------------------------------------- by bisection


def _gamma(
    key: Any, shape: Any, dtype: Any, concentration: Any, scale: Any, low: Any, high: Any
) -> jax.Array:
    k = jnp.broadcast_to(concentration, shape)
    law = _Tails(
        lambda y: special.gammainc(k, y),
        lambda y: special.gammaincc(k, y),
        lambda y: special.xlogy(k - 1, y) - y - special.gammaln(k),
        lambda y: (k - 1) / y - 1,
    )
    y = _inverted(key, shape, dtype, law, low / scale, high / scale)
    return finish(scale * y, dtype, low, high)


def _beta(
    key: Any,
    shape: Any,
    dtype: Any,
    alpha: Any,
    beta: Any,
    start: Any,
    end: Any,
    low: Any,
    high: Any,
) -> jax.Array:
    a, b = jnp.broadcast_to(alpha, shape), jnp.broadcast_to(beta, shape)
    norm = special.betaln(a, b)
    law = _Tails(
        lambda y: special.betainc(a, b, y),
        lambda y: special.betainc(b, a, 1 - y),
        lambda y: special.xlogy(a - 1, y) + special.xlog1py(b - 1, -y) - norm,
        lambda y: (a - 1) / y - (b - 1) / (1 - y),
    )
    width = end - start
    y = _inverted(key, shape, dtype, law, (low - start) / width, (high - start) / width)
    return finish(start + width * y, dtype, low, high)


class _Tails(NamedTuple):
    """What of a distribution on positive numbers an inversion needs."""

    lower: Callable[[Any], Any]
    upper: Callable[[Any], Any]
    log_density: Callable[[Any], Any]
    slope: Callable[[Any], Any]  # of the log density


def _inverted(key: Any, shape: Any, dtype: Any, law: _Tails, low: Any, high: Any) -> jax.Array:
    """Draws between two bounds, by bisection of the floats between them.

    Positive floats are ordered as their bits are, so that as many steps as there are bits
    end at neighbours. Whichever tail the interval is the larger part of says where to go.
    Where it is a small part of both the density hardly bends: a tilted line does.
    """
    kind = drawn_in(dtype)
    words, most = np.dtype(f"int{8 * kind.itemsize}"), np.asarray(finfo(kind).most, kind)
    low = jnp.broadcast_to(low, shape)
    high = jnp.broadcast_to(jnp.minimum(high, most), shape)
    word = draws.words(key, shape, kind)
    unit = np.asarray(2.0 ** -(8 * kind.itemsize), kind)
    p, q = (w.astype(kind) * unit + unit / 2 for w in (word, ~word))

    lowers = law.lower(low), jnp.where(high == most, 1.0, law.lower(high))
    uppers = law.upper(low), jnp.where(high == most, 0.0, law.upper(high))
    by_lower, by_upper = (lowers[1] - lowers[0]) / lowers[1], (uppers[0] - uppers[1]) / uppers[0]
    use_lower = ~(by_lower < by_upper)  # also where the upper tail underflows to NaN
    goal = jnp.where(
        use_lower, lowers[0] + p * (lowers[1] - lowers[0]), uppers[1] + q * (uppers[0] - uppers[1])
    )

    def beyond(y: jax.Array) -> jax.Array:
        """How far the distribution function at y is from the goal."""
        return jnp.where(use_lower, law.lower(y) - goal, goal - law.upper(y))

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        left, right = ends
        middle = left + (right - left) // 2
        short = beyond(lax.bitcast_convert_type(middle, kind)) < 0
        return jnp.where(short, middle, left), jnp.where(short, right, middle)

    ends = tuple(lax.bitcast_convert_type(lax.stop_gradient(x), words) for x in (low, high))
    _, found = lax.fori_loop(0, 8 * kind.itemsize, halve, ends)
    y = lax.bitcast_convert_type(found, kind)
    # Of the implicit function F(y; parameters) = goal: adds nothing but the derivative.
    step = beyond(y) / jnp.exp(lax.stop_gradient(law.log_density(y)))
    y = y - jnp.where(jnp.isfinite(step), step - lax.stop_gradient(step), 0.0)

    part = jnp.maximum(by_lower, jnp.where(use_lower, by_lower, by_upper))
    tilt = law.slope((low + high) / 2) * (high - low)
    flat = abs(tilt) < 1e-3
    safe = jnp.where(flat, 1.0, tilt)
    along = jnp.where(flat, p + tilt / 2 * p * (p - 1), jnp.log1p(p * jnp.expm1(safe)) / safe)
    y = jnp.where(part < _NARROW, low + (high - low) * along, y)
    return jnp.where(part > 0, y, jnp.nan)


_NARROW = 1e-3  # of a tail: below, differences of the tail's own values lose digits


# ---------------------------------------------------------------- what draws which


def _within(kernel: Callable[..., Any], *names: str, floor: float = -math.inf) -> Any:
    """The plan of a distribution that has no bounds of its own but a lowest number."""

    def plan(low: Any, high: Any, **own: Any) -> tuple[Any, ...]:
        return kernel, *(own[name] for name in names), _meet(max, low, floor), high

    return plan


def _meet(which: Callable[..., Any], x: Any, y: Any) -> Any:
    """The larger or the smaller of two bounds."""
    if type(x) is float and type(y) is float:
        return which(x, y)
    larger, xp = which is max, jnp if isinstance(x, jax.Array) or isinstance(y, jax.Array) else np
    return xp.where((x > y) == larger, x, y)


plans: dict[Callable[..., Any], Callable[..., tuple[Any, ...]]] = {
    normal: _within(_truncated_normal, "mean", "std"),
    truncated_normal: lambda a, b, mean, std, low=-math.inf, high=math.inf: (
        *(_truncated_normal, mean, std, _meet(max, a, low), _meet(min, b, high)),
    ),
    uniform: lambda a, b, low, high: (_uniform, _meet(max, a, low), _meet(min, b, high)),
    lognormal: _within(_lognormal, "mean", "std", floor=0.0),
    exponential: _within(_exponential, "scale", floor=0.0),
    weibull: _within(_weibull, "shape", "scale", floor=0.0),
    gamma: _within(_gamma, "shape", "scale", floor=0.0),
    beta: lambda a, b, alpha, beta, low, high: (
        *(_beta, alpha, beta, low, high, _meet(max, a, low), _meet(min, b, high)),
    ),
}
"""From bounds and a distribution's own parameters to a kernel and all of its parameters."""
