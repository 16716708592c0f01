"""Any distribution cut off at bounds, by the inverse of its distribution function.

The table `plans`, at the end, says which kernel draws which distribution; kernels take
``(key, shape, dtype, *parameters, low, high)``.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.keys import Window
from braininit._engine.rounding import finish
from braininit._engine.sampler import as_shape, draw, is_probe
from braininit._jax.dtypes import drawn_in, finfo, is_symbolic, resolve
from braininit._math import standard as draws
from braininit._math.elementary import LOG2_E, fraction, times_exp2
from braininit._math.log_concave import BETA, GAMMA, Family, drawn, log_ratio, looked_up, table
from braininit._params import checks, units
from braininit._params.types import DType, Key, QuantityLike, Shape, Sharding
from braininit._params.values import fields, shares
from braininit.distributions.continuous import (
    _truncated_normal,
    _uniform,
    beta,
    normal,
    truncated_normal,
    uniform,
)
from braininit.distributions.positive import (
    exponential,
    gamma,
    log_variance,
    lognormal,
    root,
    weibull,
)
from braininit.initializer.calls import explained
from braininit.initializer.children import InitializerLike, as_child, unit_of
from braininit.initializer.initialization import Initialization


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
        beta distribution, or one of your own whose class names its `cdf` and `quantile`.
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
    Numerics: one draw each, no rejection, right in every tail: a window of mass 1e-1000 is
    as good as any other. Normals by `truncated_normal`, lognormals by the normal of their
    logarithm, exponential and Weibull in closed form. Gamma and beta by integrals of the
    density relative to its greatest value in the window, which are inverted; from 1536 draws
    with scalar parameters on, by a table of that inverse, at one to two times the price of a
    plain draw, and else at 150 to 200 times. Your own distribution by its functions, in
    the precision of the draw: where the cdf rounds to 0 or 1 at both bounds, draws are NaN.
    The last bit may differ between an eager draw and one that is part of a larger program.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> delays = init.Gamma(2.0, 1.0 * u.ms)
    >>> w = init.truncated(jax.random.key(0), 1000, delays, 0.5 * u.ms, 5 * u.ms)
    >>> bool((w >= 0.5 * u.ms).all() and (w <= 5 * u.ms).all())
    True
    """
    child = as_child("base", base)
    plan = _plan(child)
    unit_of(child, drawn_in(resolve(dtype)))  # does this dtype hold its numbers?
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
    above_zero = kernel in (_gamma, _lognormal, _exponential, _weibull)  # no draw of theirs is 0
    bottom = _meet(max, low, finfo(resolve(dtype)).least) if above_zero else low
    checks.room(dtype, unit, bottom, high)
    parameters, static, brief = [*parameters, low, high], (), False
    family = {_gamma: GAMMA, _beta: BETA}.get(kernel)
    known = family and all(type(p) is float for p in parameters) and not is_probe(key)
    if known and _is_many(key, as_shape(shape)):
        kernel, static, brief = _looked_up, (family,), True
        parameters = [_known(family, drawn_in(resolve(dtype)), *parameters)]
    x = draw(
        kernel, key, shape, *parameters, static=static, dtype=dtype,
        out_sharding=out_sharding, brief=brief,
    )  # fmt: skip
    return units.on(x, unit)


class Truncated(Initialization, function=truncated):
    """A distribution cut off at bounds; the twin of `truncated`.

    Parameters
    ----------
    base : Initialization
        A normal, truncated normal, lognormal, uniform, exponential, Weibull, gamma or
        beta distribution, or one of your own whose class names its `cdf` and `quantile`.
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


# ---------------------------------------------------------------- in closed form


def _exponential(key: Any, shape: Any, dtype: Any, scale: Any, low: Any, high: Any) -> jax.Array:
    open_high = high == jnp.inf
    span = jnp.where(open_high, scale, high) - low
    e, part = _restricted(key, shape, dtype, jnp.where(open_high, jnp.inf, span / scale))
    # A part of a narrow window, whose width may underflow in units of the scale.
    x = low + jnp.where(~open_high & (span < scale), span * part, scale * e)
    return _above_zero(x, dtype, low, high)


def _restricted(key: Any, shape: Any, dtype: Any, width: Any) -> tuple[jax.Array, jax.Array]:
    """Standard exponential on [0, width], exact at both ends, and as a part of the width."""
    e = draws.exponential(key, shape, drawn_in(dtype))
    p, beyond = -jnp.expm1(-e), jnp.exp(-width)
    mass = p * -jnp.expm1(-width)
    inner = mass < 0.5
    near = -jnp.log1p(-jnp.where(inner, mass, 0.0))
    far = -jnp.log(jnp.where(inner, 1.0, jnp.exp(-e) + p * beyond))
    e = jnp.where(inner, near, far)
    narrow = width < float(jnp.finfo(e.dtype).eps) ** 0.5  # its square is lost
    part = jnp.where(narrow, p * (1.0 - 0.5 * width * (1.0 - p)), e / jnp.where(narrow, 1.0, width))
    return e, part


def _weibull(
    key: Any, shape: Any, dtype: Any, concentration: Any, scale: Any, low: Any, high: Any
) -> jax.Array:
    # g = (x / scale)^k is a standard exponential between the powers of the bounds. Any of them
    # may be too small or too large a number, so the draw is counted from whichever is not.
    open_low, open_high = low <= 0.0, high == jnp.inf
    below, above = jnp.where(open_low, scale, low), jnp.where(open_high, scale, high)
    most = 0.9 * math.log(jnp.finfo(scale.dtype).max)

    def power(x: jax.Array) -> jax.Array:
        return jnp.exp(jnp.minimum(concentration * log_ratio(x, scale, x - scale), most))

    g_low = jnp.where(open_low, 0.0, power(below))
    g_high = jnp.where(open_high, jnp.inf, power(above))
    reach = jnp.where(
        open_low | open_high, 1.0, concentration * log_ratio(above, below, above - below)
    )
    from_low, from_high = g_low >= 0.5, g_high <= 1.0
    known = from_low & ~open_high
    grown = g_low * jnp.expm1(jnp.where(known, jnp.minimum(reach, most), 1.0))
    e, part = _restricted(key, shape, dtype, jnp.where(known, grown, g_high - g_low))
    kept_part = jnp.where(open_low, 0.0, jnp.exp(-reach))
    ratio = jnp.where(from_high, kept_part + (1.0 - kept_part) * part, g_low + e)
    grown = jnp.where(
        from_low,
        jnp.log1p(e / jnp.where(from_low, g_low, 1.0)),
        jnp.log(jnp.where(from_low, 1.0, ratio)),
    )
    start = jnp.where(from_low, below, jnp.where(from_high, above, scale))
    x = times_exp2(start, grown / concentration * LOG2_E)  # the power alone may overflow
    return _above_zero(x, dtype, low, high)


def _lognormal(
    key: Any, shape: Any, dtype: Any, mean: Any, std: Any, low: Any, high: Any
) -> jax.Array:
    # The logarithm is normal. It is counted from the point of [low, high] nearest to the median,
    # where the most draws are, so that they keep their digits.
    variance = log_variance(mean, std)
    open_low, open_high = low <= 0.0, high == jnp.inf
    below, above = jnp.where(open_low, mean, low), jnp.where(open_high, mean, high)
    median = jnp.maximum(mean * jnp.exp(-variance / 2), jnp.finfo(mean.dtype).tiny)
    from_low, from_high = ~open_low & (median < below), ~open_high & (median > above)
    start = jnp.where(from_low, below, jnp.where(from_high, above, median))
    middle = log_ratio(mean, start, mean - start) - variance / 2
    middle = jnp.where(from_low | from_high, middle, 0.0)
    near = jnp.where(open_low, -jnp.inf, log_ratio(below, start, below - start))
    far = jnp.where(open_high, jnp.inf, log_ratio(above, start, above - start))
    z = draws.truncated_normal(key, shape, drawn_in(dtype), middle, root(variance), near, far)
    return _above_zero(times_exp2(start, z * LOG2_E), dtype, low, high)


def _above_zero(x: jax.Array, dtype: np.dtype, low: jax.Array, high: jax.Array) -> jax.Array:
    """Round a draw inward; none is 0."""
    return finish(x, dtype, jnp.maximum(low, finfo(dtype).least), high)


# ---------------------------------------------------------------- gamma and beta


def _gamma(
    key: Any, shape: Any, dtype: Any, concentration: Any, scale: Any, low: Any, high: Any
) -> jax.Array:
    bounds = scale, low, high
    x = _solved(GAMMA, key, shape, drawn_in(dtype), (concentration,), bounds)
    return _above_zero(x, dtype, low, high)


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
    bounds = start, end, low, high
    return finish(
        _solved(BETA, key, shape, drawn_in(dtype), (alpha, beta), bounds), dtype, low, high
    )


def _solved(
    family: Family, key: Any, shape: Any, kind: np.dtype, shapes: Any, bounds: Any
) -> jax.Array:
    by_table = all(p.ndim == 0 for p in (*shapes, *bounds)) and _is_many(key, shape)
    return drawn(family, by_table, draws.words(key, shape, kind), shapes, bounds)


def _is_many(key: Any, shape: tuple[int, ...]) -> bool:
    """Whether a table of draws is less work than the draws; of rows, whether it is for all.

    Sizes that an export keeps open count as many.
    """
    total = (key.total, *shape[1:]) if isinstance(key, Window) else shape
    return is_symbolic(total) or math.prod(total) >= 1536


def _looked_up(key: Any, shape: Any, dtype: Any, family: Family, numbers: Any) -> jax.Array:
    """Draws of parameters known beforehand."""
    rows, bounds = numbers
    bounds = tuple(bounds)
    x = looked_up(family, rows, draws.words(key, shape, drawn_in(dtype)), bounds)
    ends = _above_zero if family is GAMMA else finish
    return ends(x, dtype, *bounds[-2:])


@functools.lru_cache(maxsize=256)
def _known(family: Family, kind: np.dtype, *parameters: float) -> tuple[np.ndarray, np.ndarray]:
    """What `_looked_up` needs, worked out in float64 from what the drawing dtype makes of them."""
    with np.errstate(all="ignore"):
        numbers = [np.float64(kind.type(p)) for p in parameters]
        shapes = len(numbers) - (3 if family is GAMMA else 4)
        rows = table(family, kind, numbers[:shapes], numbers[shapes:])
        return rows.astype(kind), np.array(numbers[shapes:], kind)


# ---------------------------------------------------------------- by a user's own functions


@functools.lru_cache(maxsize=256)
def _by_quantile(cdf: Any, quantile: Any, names: tuple[str, ...]) -> Callable[..., jax.Array]:
    """The kernel of a distribution that is known by its functions alone."""

    def truncated(key: Any, shape: Any, dtype: Any, *parameters: Any) -> jax.Array:
        *own, low, high = parameters
        kind, bounds = drawn_in(dtype), []
        for bound, open_, end in ((low, low == -jnp.inf, 0.0), (high, high == jnp.inf, 1.0)):
            other = jnp.where(high == jnp.inf, 0.0, high) if bound is low else low
            inside = jnp.where(open_, jnp.where(abs(other) < jnp.inf, other, 0.0), bound)
            bounds.append(jnp.where(open_, end, cdf(inside, *own)))
        word = draws.words(key, shape, kind)
        part = (bounds[1] - bounds[0]) * fraction(jnp.minimum(word, ~word), -8 * kind.itemsize)
        p = jnp.where(word < ~word, bounds[0] + part, bounds[1] - part)
        info = jnp.finfo(kind)
        p = jnp.clip(p, info.tiny, 1 - info.epsneg)
        x = jnp.where(bounds[1] > bounds[0], quantile(p, *own), jnp.nan)
        return finish(x.astype(kind), dtype, low, high)

    names = ("key", "shape", "dtype", *names, "low", "high")
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    truncated.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return truncated


# ---------------------------------------------------------------- what draws which


def _plan(child: Initialization) -> Callable[..., tuple[Any, ...]]:
    """From bounds and a distribution's own parameters to a kernel and all of its parameters."""
    cls = type(child)
    if cls._function is not None and cls._function in plans:
        return plans[cls._function]
    if cls._cdf is None:
        known = ", ".join(sorted(function.__name__ for function in plans))
        raise TypeError(
            f"`base` must be one of {known}, got {cls.__name__}; clip it, truncate what it is "
            "made of, or name the `cdf` and the `quantile` of a class of your own"
        )
    names = tuple(f.name for f in fields(child))
    kernel = _by_quantile(cls._cdf, cls._quantile, names)
    return lambda low, high, **own: (kernel, *(own[name] for name in names), low, high)


def _within(kernel: Callable[..., Any], floor: float = -math.inf, **domains: Any) -> Any:
    """The plan of a distribution that has no bounds of its own but a lowest number."""

    def plan(low: Any, high: Any, **own: Any) -> tuple[Any, ...]:
        return kernel, *_checked(domains, own), _meet(max, low, floor), high

    return plan


def _between(kernel: Callable[..., Any], whole: bool = False, **domains: Any) -> Any:
    """The plan of a distribution with bounds of its own, which the kernel may have to know."""

    def plan(a: Any, b: Any, low: Any = -math.inf, high: Any = math.inf, **own: Any) -> Any:
        low, high = checks.increasing("base.low", low, "base.high", high)
        ends = (low, high) if whole else ()
        return kernel, *_checked(domains, own), *ends, _meet(max, a, low), _meet(min, b, high)

    return plan


def _checked(domains: dict[str, Callable[..., Any]], own: dict[str, Any]) -> list[Any]:
    """The base's parameters; it has checked numbers itself, but traced ones may be out of range."""
    return [check(f"base.{name}", own[name]) for name, check in domains.items()]


def _meet(which: Callable[..., Any], x: Any, y: Any) -> Any:
    """The larger or the smaller of two bounds."""
    if type(x) is float and type(y) is float:
        return which(x, y)
    xp = jnp if isinstance(x, jax.Array) or isinstance(y, jax.Array) else np
    return (xp.maximum if which is max else xp.minimum)(x, y)


plans: dict[Callable[..., Any], Callable[..., tuple[Any, ...]]] = {
    normal: _within(_truncated_normal, mean=checks.finite, std=checks.non_negative),
    truncated_normal: _between(_truncated_normal, mean=checks.finite, std=checks.non_negative),
    uniform: _between(_uniform),
    lognormal: _within(_lognormal, 0.0, mean=checks.positive, std=checks.non_negative),
    exponential: _within(_exponential, 0.0, scale=checks.positive),
    weibull: _within(_weibull, 0.0, shape=checks.positive, scale=checks.positive),
    gamma: _within(_gamma, 0.0, shape=checks.positive, scale=checks.positive),
    beta: _between(_beta, True, alpha=checks.positive, beta=checks.positive),
}
"""From bounds and a distribution's own parameters to a kernel and all of its parameters."""
