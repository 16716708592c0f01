"""Units off, units on: the only code that touches a unit or a mantissa.

A *unit* here is a `brainunit.Unit`, or None for dimensionless values, so that a test for a unit is
one `is None`. No function calls `jax.numpy` on a scalar: an eager draw of a thousand numbers costs
less than three such calls.
"""

from __future__ import annotations

import functools
import math
import numbers
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._jax.dtypes import default_float
from braininit._params.types import is_sequence

__all__ = [
    "LONGEST",
    "MOST_AXES",
    "UnitError",
    "as_unit",
    "as_written",
    "brief",
    "dimensionless",
    "factor",
    "inverse",
    "is_dtype",
    "of",
    "of_operation",
    "off",
    "off_draws",
    "on",
    "parts",
    "per",
    "power",
    "root",
    "show",
    "unwrap",
    "with_unit",
]


LONGEST = 200
"""Longest name of a unit, in characters; brainunit's parser takes quadratic time."""


MOST_AXES = 32
"""Most axes that NumPy broadcasts, as constants need."""


class UnitError(u.UnitMismatchError, ValueError):
    """A parameter has the wrong dimension, or lacks the unit that related parameters have."""


class GotDtype(TypeError):
    """A dtype in place of a parameter, as when a layer calls `init.normal` as an initializer."""

    def naming(self, instead: str) -> TypeError:
        """The error with the object to pass to a layer instead."""
        return TypeError(f"{self}; a layer that passes (key, shape, dtype) takes {instead}")


# ---------------------------------------------------------------- one parameter


def unwrap(name: str, value: Any, *, number: bool = False) -> tuple[Any, u.Unit | None]:
    """Split a parameter into its bare value and its unit.

    Bare values have canonical forms: a concrete scalar is a Python float, a concrete NumPy array
    is a read-only floating array, a JAX array stays a JAX array. So ``1``, ``1.0`` and
    ``np.float32(1)`` share one trace. `number` also allows complex values.
    """
    if type(value) is float:
        return value, None
    if not isinstance(value, _PLAIN):
        value = _as_array(name, value, number)
    if not isinstance(value, u.Quantity):
        return _bare(name, value, number), None
    bare, unit = value.mantissa, value.unit
    if type(bare) is not float:
        bare = bare if isinstance(bare, _PLAIN) else _as_array(name, bare, number)
        bare = _bare(name, bare, number)
    ratio = _pure_number(unit)
    return (bare, unit) if ratio is None else (_times(bare, ratio), None)


def _times(bare: Any, ratio: float) -> Any:
    """A bare value in another unit; overflow gives infinity, without a warning from NumPy."""
    if ratio == 1:
        return bare
    if not isinstance(bare, np.ndarray):
        return bare * ratio
    with np.errstate(over="ignore", under="ignore"):
        return bare * ratio


_PLAIN = (u.Quantity, float, int, np.ndarray, np.generic, jax.Array)


def _as_array(name: str, value: Any, number: bool) -> Any:
    """An array or a Quantity, from a sequence or an array of another library."""
    if is_sequence(value):
        return _stacked(name, value, number)
    if isinstance(value, (type, np.dtype, u.Unit)):
        return value
    try:
        if hasattr(value, "__jax_array__"):  # nnx variables
            return value.__jax_array__()
        return np.asarray(value) if hasattr(value, "__array__") else value  # pandas, PyTorch
    except Exception as error:
        raise TypeError(
            f"`{name}` can't be read as an array, {_type(error)} in {_type(value)}: {error}; "
            "make a NumPy array of it first"
        ) from error


def _stacked(name: str, values: Any, number: bool) -> Any:
    """An array or a Quantity, from a sequence of numbers or of sequences, traced or concrete."""
    if all(issubclass(cls, _REAL) and cls not in _NOT_REAL for cls in set(map(type, values))):
        try:
            return np.array(list(values), float)
        except OverflowError:
            pass  # read them one by one, to name the one that overflows
    unit, bares = _off({f"{name}[{i}]": v for i, v in enumerate(values)}, number)
    try:
        if any(isinstance(bare, jax.Array) for bare in bares):
            array = jnp.asarray(bares)
        else:
            array = np.array(bares)
    except (TypeError, ValueError):
        raise TypeError(
            f"`{name}` must be an array of numbers, got {brief(values)}; make its rows of one shape"
        ) from None
    return on(array, unit)


_REAL = (int, float, np.floating, np.integer)
_NOT_REAL = (bool, np.timedelta64)  # subclasses of int and of np.integer


def _cached_by_identity(function: Callable[..., Any]) -> Callable[..., Any]:
    """Cache a function of units by the identity of its arguments: comparing units costs 10 us."""
    cache: dict[Any, tuple[Any, Any]] = {}

    @functools.wraps(function)
    def cached(*units: Any) -> Any:
        key = id(units[0]) if len(units) == 1 else tuple(map(id, units))
        entry = cache.get(key)
        if entry is None:
            if len(cache) >= 4096:  # a program that makes units in a loop
                cache.clear()
            entry = cache[key] = units, function(*units)  # units kept alive keep their ids
        return entry[1]

    return cached


@_cached_by_identity
def _pure_number(unit: u.Unit) -> float | None:
    """The value of a dimensionless unit, such as 1e-3 for mV/V; None if it has a dimension."""
    return float(unit.magnitude) if unit.dim.is_dimensionless else None


def dimensionless(name: str, value: Any) -> Any:
    """The bare value of a dimensionless parameter."""
    bare, unit = unwrap(name, value)
    if unit is not None:
        raise UnitError(f"`{name}` is a pure number, got {show(bare, unit)}; divide the unit away")
    return bare


def _bare(name: str, value: Any, number: bool) -> Any:
    if type(value) is float:
        return value
    if isinstance(value, u.Unit):
        raise TypeError(f"`{name}` must be a number, got the unit {value}; write 1 * u.{value}")
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _bare_array(name, value, number)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(
                f"`{name}` is beyond the range of a float; take another unit"
            ) from None
    if number and isinstance(value, numbers.Complex) and not isinstance(value, bool):
        return complex(value)
    if is_dtype(value):
        raise GotDtype(f"`{name}` must be a number, got the dtype {np.dtype(value)}")
    remedy = "take its real part" if isinstance(value, complex) else "write 0.5 or 0.5 * u.nS"
    raise TypeError(
        f"`{name}` must be a number, an array or a Quantity, got {brief(value)} ({_type(value)}); "
        f"{remedy}, for example"
    )


def _bare_array(name: str, value: Any, number: bool) -> Any:
    """An array in canonical form: float32 or float64 in native byte order, NumPy's read-only."""
    dtype = value.dtype
    imaginary = jnp.issubdtype(dtype, np.complexfloating)
    real = jnp.issubdtype(dtype, np.floating) or jnp.issubdtype(dtype, np.integer)
    if (not real or dtype.kind == "m") and not (number and imaginary):
        raise TypeError(f"`{name}` must be a real number or array, got {_not_a_number(dtype)}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"`{name}` is a masked array; fill it first, as in a.filled(0)")
    if value.ndim > MOST_AXES:
        raise ValueError(f"`{name}` has {value.ndim} axes, {MOST_AXES} are possible; join some")
    if not isinstance(value, Tracer) and value.ndim == 0:
        return complex(value) if imaginary else float(value)
    if isinstance(value, jax.Array):
        if dtype in _WIDE or imaginary:
            return value
        narrow = dtype.itemsize < 4 and jnp.issubdtype(dtype, np.floating)
        return value.astype(np.float32 if narrow else default_float())
    native = dtype.newbyteorder("=")
    real_dtype = native if native in _WIDE else np.dtype(float)
    value = np.array(value, np.complex128 if imaginary else real_dtype)
    value.flags.writeable = False
    return value


_WIDE = (np.dtype(np.float32), np.dtype(np.float64))  # wide enough to convert units


def _not_a_number(dtype: Any) -> str:
    """The end of an error message: the dtype that is not numeric, and the remedy."""
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return "a key; a key goes to a draw, and comes first: init.Normal()(key, shape)"
    if dtype.kind == "m":
        return f"dtype {dtype}; write a / np.timedelta64(1, 's') * u.second"
    return f"dtype {dtype}; convert it first, as in a.astype(float)"


def _type(value: Any) -> str:
    return type(value).__name__


def is_dtype(value: Any) -> bool:
    """Whether a value names a dtype, as layers pass them."""
    if not isinstance(value, (type, np.dtype, str)):
        return False
    if isinstance(value, str):
        return value in _DTYPES
    try:
        return np.dtype(value) != object  # NumPy's dtype for all other classes
    except TypeError:
        return False


_DTYPES = ("float64", "float32", "float16", "bfloat16", "complex64", "complex128")


def as_unit(name: str, unit: Any) -> u.Unit | None:
    """Check a parameter that is itself a unit, or a unit's name; None means dimensionless."""
    if isinstance(unit, str):
        try:
            if len(unit) > LONGEST:
                raise ValueError
            unit = u.Quantity(1.0, unit).unit
        except Exception:
            raise ValueError(
                f"`{name}` = {brief(unit)} names no unit; write one as in u.nS"
            ) from None
    if unit is not None and not isinstance(unit, u.Unit):
        raise TypeError(f"`{name}` must be a unit such as u.nS, got {brief(unit)}; write its name")
    ratio = None if unit is None else _pure_number(unit)
    if ratio not in (None, 1):
        raise UnitError(f"`{name}` = {unit} has no dimension; multiply the result by {ratio:g}")
    return unit if ratio is None else None


@functools.lru_cache(maxsize=1024)
def root(unit: u.Unit) -> u.Unit | None:
    """The square root of a unit; None if its powers are not whole."""
    half = unit**0.5
    whole = all(half.dim.get_dimension(d) % 1 == 0 for d in _DIMENSIONS)
    return half if whole else None


_DIMENSIONS = ("m", "kg", "s", "A", "K", "mol", "cd")


# ---------------------------------------------------------------- parameters that share a unit


def off(**values: Any) -> tuple[u.Unit | None, list[Any]]:
    """Take the unit off parameters that share one; return the unit and the bare values in it.

    The first parameter with a unit sets it; the others are converted. A concrete 0 or infinity
    fits every unit; any other bare number beside a unit is an error, as is another dimension.
    """
    return _off(values)


def off_draws(**values: Any) -> tuple[u.Unit | None, list[Any]]:
    """Take the unit off draws that share one; unlike parameters, draws may be complex."""
    return _off(values, number=True)


def _off(values: Mapping[str, Any], number: bool = False) -> tuple[u.Unit | None, list[Any]]:
    common, first, bares, units, mixed = None, "", [], [], False
    for name, value in values.items():
        bare, unit = unwrap(name, value, number=number)
        bares.append(bare)
        units.append(unit)
        if common is None and unit is not None:
            common, first = unit, name
        mixed |= unit is not common
    if common is None or (not mixed and units[0] is common):
        return common, bares
    for i, (name, bare, unit) in enumerate(zip(values, bares, units, strict=True)):
        if unit is common:
            continue
        if unit is None:
            if not (type(bare) is float and (bare == 0 or math.isinf(bare))):
                raise UnitError(
                    f"`{name}` = {show(bare)} is a bare number beside `{first}` in {common}; "
                    f"write it with a unit, as in {show(bare)} * u.{common}"
                )
            continue
        ratio = _ratio(unit, common)
        if ratio is None:
            raise UnitError(
                f"`{name}` in {unit} and `{first}` in {common} differ in dimension; "
                f"give `{name}` in {common} or a multiple of it"
            )
        bares[i] = _times(bare, ratio)
    return common, bares


def per(name: str, value: Any, unit: u.Unit | None) -> Any:
    """The bare value of a parameter in 1 / `unit`, such as a slope.

    A bare number already counts per `unit`.
    """
    bare, own = unwrap(name, value)
    if own is None:
        return bare
    ratio = None if unit is None else _ratio(own, inverse(unit))
    if ratio is None:
        wanted = (
            "a bare number beside bare lengths"
            if unit is None
            else f"in {inverse(unit)} or a multiple of it"
        )
        raise UnitError(f"`{name}` must be {wanted}, got {show(bare, own)}; convert it")
    return _times(bare, ratio)


@functools.lru_cache(maxsize=1024)
def inverse(unit: u.Unit | None) -> u.Unit | None:
    """1 / unit."""
    return None if unit is None else unit**-1


def as_written(**values: Any) -> Mapping[str, Any]:
    """Parameters that share a unit, in the form in which an object stores them.

    Each keeps its own unit; a bare 0 or infinity gets the common one.
    """
    common, _ = off(**values)
    return {
        name: on(bare, common if unit is None else unit)
        for name, (bare, unit) in ((n, unwrap(n, v)) for n, v in values.items())
    }


@_cached_by_identity
def _ratio(unit: u.Unit, into: u.Unit) -> float | None:
    """The ratio of `unit` to `into`; None if their dimensions differ."""
    if not unit.has_same_dim(into):
        return None
    try:
        if unit.base == into.base:  # 10.0**-3 is exact to the last bit, 1e-9 / 1e-6 is not
            return float(unit.base) ** (unit.scale - into.scale) * (unit.factor / into.factor)
        return float(unit.magnitude / into.magnitude)
    except OverflowError:  # powers of a unit that are far apart
        return math.inf


# ---------------------------------------------------------------- units of operations


def of(value: Any) -> u.Unit | None:
    """The unit of a draw, or of a Quantity with anything in place of numbers."""
    unit = value.unit if isinstance(value, u.Quantity) else None
    return None if unit is None or _pure_number(unit) is not None else unit


def factor(value: Any) -> float:
    """The value of a draw's unit if it is dimensionless, such as 1e-3 for mV/V; else 1."""
    number = _pure_number(value.unit) if isinstance(value, u.Quantity) else None
    return 1.0 if number is None else number


@functools.lru_cache(maxsize=1024)
def of_operation(op: str, left: u.Unit | None, right: u.Unit | None) -> tuple[u.Unit | None, float]:
    """The unit of ``left op right``, and the factor that first multiplies the right operand."""
    if op in ("*", "/"):
        if right is not None:
            right = right if op == "*" else right**-1
            left = right if left is None else left * right  # pyright: ignore[reportAssignmentType]
        ratio = None if left is None else _pure_number(left)
        if ratio is None:
            return left, 1.0
        return None, ratio if op == "*" else 1 / ratio
    if op == "**" and (left is not None or right is not None):
        side = "right" if left is None else "left"
        raise UnitError(
            f"`{side}` of a power must be pure numbers, got an initializer in {left or right}; "
            f"divide the unit away{'' if left is None else ', or give one concrete exponent'}"
        )
    if left is None and right is None:
        return None, 1.0
    verb = {"+": "added", "-": "subtracted"}[op]
    refusal = f"`left` {_in(left)} and `right` {_in(right)} can't be {verb}"
    if left is None or right is None:
        raise UnitError(f"{refusal}; give both the unit, as in 1 * u.{left or right}")
    ratio = _ratio(right, left)
    if ratio is None:
        raise UnitError(f"{refusal}: they differ in dimension; give both a unit of one")
    return left, ratio


def power(unit: u.Unit | None, exponent: float) -> u.Unit | None:
    """The unit of a power."""
    return None if unit is None or exponent == 0 else unit**exponent


def _in(unit: u.Unit | None) -> str:
    return "without a unit" if unit is None else f"in {unit}"


def with_unit(unit: Any, **factor: Any) -> tuple[u.Unit | None, Any]:
    """The unit that a factor gives to a product, and the bare factor in it.

    `unit`, if given, takes precedence over the factor's own.
    """
    own, (bare,) = off(**factor)
    requested = as_unit("unit", unit)
    if requested is None or own is None:
        return (own if requested is None else requested), bare
    ratio = _ratio(own, requested)
    if ratio is None:
        raise UnitError(
            f"`{next(iter(factor))}` in {own} and `unit` = {requested} differ in dimension; "
            "give the result's unit once"
        )
    return requested, _times(bare, ratio)


# ---------------------------------------------------------------- units on


def on(bare: Any, unit: u.Unit | None) -> Any:
    """Put a unit on; without one the value stays bare, so that Flax layers can use it."""
    # The constructor costs 5 us, as much as the unit handling of a whole eager draw.
    return bare if unit is None else u.Quantity.tree_unflatten(unit, (bare,))


def parts(value: Any) -> tuple[Any, u.Unit | None]:
    """Split a result of `on` into value and unit; its dtype stays."""
    return (value.mantissa, value.unit) if isinstance(value, u.Quantity) else (value, None)


def brief(value: Any) -> str:
    """Any value as one short line of text."""
    with np.errstate(all="ignore"):  # brainunit rounds numbers to JAX's default float
        return " ".join(_short.repr(value).split())


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def show(bare: Any, unit: u.Unit | None = None) -> str:
    """A value as text for an error message: short, with its unit."""
    if isinstance(bare, Tracer):
        text = str(bare)
    elif np.ndim(bare):
        text = np.array2string(np.asarray(bare), threshold=6, separator=", ")
    else:
        text = repr(bare.item() if isinstance(bare, np.generic) else bare)
        text = text[:-2] if text.endswith(".0") else text
    return text if unit is None else f"{text} {unit}"
