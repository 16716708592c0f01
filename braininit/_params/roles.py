"""The roles of parameters: their domain, error message and remedy, concrete or traced.

A role is declared once, in a distribution's recipe: ``location(mean)``, ``spread(std)``. It says
which numbers are allowed and how to replace others. A concrete value outside the domain raises at
once. A traced value can't be read: it becomes NaN, so that the draw is NaN rather than plausible,
and `jax.experimental.checkify` reports it among the user's checks. Every test is written so that
NaN fails it.

A role also says what a dtype must be able to represent, which `representable` checks.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.experimental import checkify

from braininit._jax.settings import setting
from braininit._jax.shardings import inherited, with_sharding
from braininit._params import units
from braininit._params.passed import passed
from braininit._params.units import show

__all__ = [
    "Number",
    "Role",
    "amount",
    "anything",
    "bound",
    "correlation",
    "count",
    "direction",
    "end",
    "factor",
    "fraction",
    "increasing",
    "limit",
    "lined_up",
    "location",
    "nan_like",
    "number",
    "pure",
    "rate",
    "scale",
    "shape",
    "share",
    "sharing",
    "spread",
    "summing_to_one",
    "traced",
    "whole",
]


class Domain(NamedTuple):
    """A set of numbers: its name, its test, and the remedy for a number outside."""

    text: str
    holds: Callable[[Any], Any]
    remedy: str


_FINITE = Domain("finite", lambda x: abs(x) < math.inf, "give a finite number")
_POSITIVE = Domain("positive", lambda x: (x > 0) & (x < math.inf), "give a number above 0")
_NON_NEGATIVE = Domain("non-negative", lambda x: (x >= 0) & (x < math.inf), "give 0 or more")
_WHOLE = Domain(
    "a whole number", lambda x: (abs(x) < math.inf) & (x == x // 1), "give a whole number, as in 3"
)
_COUNT = Domain(
    "a whole number, 0 or more",
    lambda x: (x >= 0) & (x < math.inf) & (x == x // 1),
    "give a whole number, as in 3",
)
_FRACTION = Domain(
    "from 0 to 1", lambda x: (x >= 0) & (x <= 1), "give a fraction, as in 0.1 for 10 %"
)
_SHARE = Domain(
    "from 0 to 1, or a whole number above 1",
    lambda x: (x >= 0) & ((x <= 1) | ((x < math.inf) & (x == x // 1))),
    "give a fraction, as in 0.8, or a number of them, as in 80",
)


_CORRELATION = Domain("from -1 to 1", lambda x: abs(x) <= 1, "give 0.5, for example")


class Role(NamedTuple):
    """The requirements on a parameter."""

    domain: Domain | None = None
    pure: bool = False
    """A pure number, represented in the drawing dtype rather than the result's."""
    vanishes: bool = True
    """Whether the number may round to 0."""
    wide: bool = False
    """Represented in the drawing dtype, whatever its unit."""
    itself: bool = False
    """The number is itself the draw: infinity needs a dtype that has an infinity."""
    angle: bool = False
    """The dtype must tell angles near the number apart."""
    reach: Callable[[Any], Any] | None = None
    """The largest draw, as a function of the number; an integer dtype must represent it."""

    def __call__(self, value: Any) -> Given:
        """A user's value in this role."""
        return Given(self, value)

    def check(self, name: str, value: Any, unit: u.Unit | None = None) -> Any:
        """Return the bare value; raise outside the domain, or replace a traced value by NaN."""
        if self.domain is None:
            return value
        text, holds, remedy = self.domain
        if type(value) is float:
            if holds(value):
                return value
        elif isinstance(value, Tracer):
            return _traced(holds, f"`{name}` must be {text}, got a traced {{}}", value)[0]
        elif passed.has(holds, value):
            return value
        concrete = np.asarray(value)
        with np.errstate(invalid="ignore"):
            good = np.asarray(holds(concrete))
        if good.all():
            passed.add(holds, value)
            return value
        where: Any = tuple(np.argwhere(~good)[0].tolist())
        bad = np.asarray(concrete[where]).item()
        if self.domain is not _FINITE and bad == math.inf:
            text += " and finite"
        at = f" at index {where if len(where) > 1 else where[0]}" if where else ""
        hint = "remove the NaN" if bad != bad else remedy
        raise ValueError(f"`{name}` must be {text}, got {show(bad, unit)}{at}; {hint}")


class Given(NamedTuple):
    """A user's value and its role."""

    role: Role
    value: Any


location = Role(_FINITE)
"""Any finite number."""
spread = Role(_NON_NEGATIVE, vanishes=False)
"""A standard deviation: may be 0, but a positive one may not round to 0."""
scale = Role(_POSITIVE, vanishes=False)
"""A positive factor of the draws."""
shape = Role(_POSITIVE, pure=True, vanishes=False)
"""A shape parameter: positive, a pure number."""
factor = Role(_FINITE, vanishes=False)
"""A factor of any sign."""
bound = Role()
"""A bound, which may be infinite; `increasing` refuses NaN."""
amount = Role(_NON_NEGATIVE, pure=True)
"""A pure number, 0 or more."""
pure = Role(_FINITE, pure=True)
"""Any finite pure number."""
direction = Role(_FINITE, pure=True, angle=True)
"""A finite angle in radians."""
whole = Role(_WHOLE, pure=True, reach=lambda n: n)
"""The smallest whole number that is drawn."""
end = Role(_WHOLE, pure=True, reach=lambda n: n - 1)
"""A whole number; all draws are smaller."""
count = Role(_COUNT, pure=True, reach=lambda n: n)
"""A whole number, 0 or more; no draw is larger."""
rate = Role(_NON_NEGATIVE, pure=True, reach=lambda mean: mean + 8 * mean**0.5 + 20)
"""The mean of counts. Fewer than one in 1e12 is beyond `reach`."""
fraction = Role(_FRACTION, pure=True)
share = Role(_SHARE, pure=True)
"""A fraction of all, or a number of them: a whole number above 1."""
correlation = Role(_CORRELATION, pure=True)
"""A correlation, or a matrix of correlations."""
limit = Role(wide=True)
"""A bound to which draws are clipped."""
anything = Role(itself=True)
"""Any number at all."""


class Number(NamedTuple):
    """A parameter, checked and bare."""

    name: str
    value: Any
    role: Role | None


def sharing(**given: Given) -> tuple[u.Unit | None, tuple[Number, ...]]:
    """Take the unit off parameters that share one, and check them."""
    unit, bares = units.off(**{name: value for name, (_, value) in given.items()})
    return unit, tuple(
        Number(name, role.check(name, bare, unit), role)
        for (name, (role, _)), bare in zip(given.items(), bares, strict=True)
    )


def number(name: str, given: Given) -> Number:
    """Check a parameter that is a pure number."""
    return Number(name, given.role.check(name, units.dimensionless(name, given.value)), given.role)


# ---------------------------------------------------------------- several parameters


def increasing(low: Number, high: Number, unit: u.Unit | None = None) -> tuple[Number, Number]:
    """Check that low < high elementwise; either may be infinite on its own side."""
    a, b = low.value, high.value
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        text = f"`{low.name}` must be less than `{high.name}`, got traced {{}} and {{}}"
        a, b = _traced(_less, text, a, b)
        return low._replace(value=a), high._replace(value=b)
    if type(a) is float and type(b) is float:
        if a < b:
            return low, high
    elif passed.has(_less, a, b):
        return low, high
    else:
        try:
            lows, highs = np.broadcast_arrays(a, b)
        except ValueError:
            raise ValueError(
                f"`{low.name}` {np.shape(a)} and `{high.name}` {np.shape(b)} "
                "don't go together; make them broadcast"
            ) from None
        good = lows < highs
        if good.all():
            passed.add(_less, a, b)
            return low, high
        first = tuple(np.argwhere(~good)[0])
        a, b = lows[first].item(), highs[first].item()
    raise ValueError(
        f"`{low.name}` must be less than `{high.name}`, got {low.name} = {show(a, unit)} and "
        f"{high.name} = {show(b, unit)}; "
        + ("remove the NaN" if a != a or b != b else "swap or widen them")
    )


def _less(low: Any, high: Any) -> Any:
    return lined_up(operator.lt, low, high)


def summing_to_one(name: str, values: Any) -> Any:
    """Check that probabilities sum to 1, up to rounding."""
    if isinstance(values, Tracer):
        return _traced(_sums_to_one, f"`{name}` must sum to 1, got a traced {{}}", values)[0]
    total = float(np.sum(np.asarray(values, float)))
    if not abs(total - 1) < 1e-5:
        raise ValueError(f"`{name}` must sum to 1, got {total:.6g}; divide them by their sum")
    return values


def traced(holds: Callable[[Any], Any], text: str, value: jax.Array) -> jax.Array:
    """A traced value, NaN where `holds` is false; `text` is checkify's message."""
    return _traced(holds, text, value)[0]


def _sums_to_one(values: Any) -> Any:
    return abs(jnp.sum(values) - 1) < 1e-5


def lined_up(function: Callable[..., Any], *values: Any) -> Any:
    """Call with broadcast values: JAX may be set to refuse implicit rank promotion."""
    arrays = [jnp.asarray(v) for v in values]
    dtype = jnp.result_type(*[a.dtype for a in arrays if jnp.issubdtype(a.dtype, np.floating)])
    arrays = [a.astype(dtype) if jnp.issubdtype(a.dtype, np.floating) else a for a in arrays]
    shape = jnp.broadcast_shapes(*(a.shape for a in arrays))
    sharding = inherited(shape, (("", a) for a in arrays), strict=False)
    return with_sharding(lambda *arrays: function(*jnp.broadcast_arrays(*arrays)), sharding)(
        *arrays
    )


# ---------------------------------------------------------------- traced parameters


def _traced(holds: Callable[..., Any], text: str, *values: Any) -> tuple[Any, ...]:
    """The values, NaN (as are their derivatives) where they break the rule; checkify reports it.

    The text is a format string: a dtype or a unit in it must not bring braces.
    """
    return _undeclared(_checked(holds, text), *map(jnp.asarray, values))


@functools.lru_cache(maxsize=1024)  # a new function would be traced anew
def _checked(holds: Callable[..., Any], text: str) -> Callable[..., tuple[Any, ...]]:
    def checked(*values: Any) -> tuple[Any, ...]:
        good = holds(*values)
        checkify.debug_check(jnp.all(good), text, *values)
        return tuple(
            lined_up(lambda good, value: value * jnp.where(good, 1.0, jnp.nan), good, value)
            for value in values
        )

    def sharded(*values: Any) -> tuple[Any, ...]:
        shape, named = jnp.broadcast_shapes(*(v.shape for v in values)), [("", v) for v in values]
        shardings = tuple(inherited(shape, [first, *named], strict=False) for first in named)
        return with_sharding(checked, None if None in shardings else shardings)(*values)

    return jax.jit(sharded)


def _undeclared(function: Callable[..., tuple[Any, ...]], *values: Any) -> tuple[Any, ...]:
    """Call a jitted function with a debug check, without the effect that JAX declares for it.

    The check compiles to nothing, but JAX dispatches a program with an effect from Python: a call
    takes 89 us instead of 7. Checkify and the other transformations still find the check in an
    inner jit that declares no effect.
    """
    if setting("jax_enable_checks"):
        return function(*values)  # JAX verifies what is declared
    try:
        (call,) = jax.make_jaxpr(function)(*values).eqns
        jaxpr = _without_effects(call.params["jaxpr"])
        return tuple(call.primitive.bind(*values, **call.params | {"jaxpr": jaxpr}))
    except Exception:  # a JAX with other jaxprs
        return function(*values)


@functools.lru_cache(maxsize=1024)  # one program, one lowering
def _without_effects(program: Any) -> Any:
    none: frozenset[Any] = frozenset()
    equations = [equation.replace(effects=none) for equation in program.eqns]
    return program.replace(jaxpr=program.jaxpr.replace(eqns=equations, effects=none))


@jax.jit  # op by op, under vmap, `jax_debug_nans` would find the NaN that is not selected
def nan_like(x: jax.Array, parameters: list[jax.Array]) -> jax.Array:
    """The draw, all NaN if any number of its parameters is NaN.

    For parameters that are compared or cast to integers: neither passes a NaN on.
    """
    bad = functools.reduce(operator.or_, [jnp.any(jnp.isnan(p)) for p in parameters])
    return jnp.where(bad, jnp.full_like(x, jnp.nan), x)
