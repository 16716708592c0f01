"""The base class of distance profiles, and their sums, products, powers and clips.

A profile is evaluated in one compiled program, whatever it is composed of. A *form* says what to
compute: the class of a profile, or an operation and the forms of its two operands. The form is
static; the numbers are passed beside it as a tree of the same structure, so profiles that differ
only in numbers share a program.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._jax.shardings import inherited, with_sharding
from braininit._params import units
from braininit._params.algebra import Algebra
from braininit._params.roles import Number, Role, bound, increasing, nan_like, pure, scale
from braininit._params.types import QuantityLike
from braininit._params.values import (
    Value,
    field_kinds,
    fields,
    frozen,
    refuse_deep,
    register,
    static,
    written,
)
from braininit.initializer.calls import explain

__all__ = [
    "ApplyProfile",
    "CombinedProfile",
    "DistanceProfile",
    "aligned",
    "choose",
    "evaluated",
    "go_together",
]

Formed: TypeAlias = tuple[Any, Any]  # a form, and its numbers


class DistanceProfile(Algebra["DistanceProfile"], Value):
    r"""Base class of distance profiles: how a connection depends on its length.

    A profile is a function of distance, used in two ways. `weight_scaling`, or calling the profile,
    is the function itself, by which `DistanceModulated` multiplies weights; it may be negative, as
    the surround of a Mexican hat is. `probability` is the function clipped to [0, 1], for drawing
    connections:

    .. math:: probability(d) = \min(\max(weight\_scaling(d), 0), 1)

    Both return plain numbers. (BrainTools clips both.) Distances and lengths share a dimension,
    each in a unit of its own, or all are bare numbers. Unless a profile says otherwise, lengths are
    positive, and all other parameters, such as amplitudes, are finite pure numbers. The profile is
    0 strictly beyond `max_distance`, a length; with None it has no end.

    Profiles and numbers combine by ``+ - * / **`` and unary minus; ``profile | function`` and
    ``profile.apply(function)`` apply a function to the values; ``profile.clip(min_val, max_val)``
    limits them. A combination computes with unclipped values and clips only its own `probability`,
    at the end: ``(2 * p) * 0.5`` is ``p``.

    A subclass overrides `probability`, which `weight_scaling` then follows, or `weight_scaling`, or
    both. These methods get distances as the caller wrote them. The `probability` of a combination
    uses the overridden methods of its operands. A subclass with an ``__init__`` is an ordinary
    object; without one, its annotated fields make it a frozen dataclass and a PyTree, as the
    built-in profiles are. Such a subclass may name a kernel instead of overriding a method:
    arithmetic in JAX on bare numbers that share a unit.

    Examples
    --------
    >>> import brainunit as u, braininit as init, jax.numpy as jnp, numpy as np
    >>> profile = 0.8 * init.GaussianProfile(50 * u.um) + 0.1
    >>> print(np.asarray(profile.probability([0.0, 0.05, 1.0] * u.mm)).round(3))
    [0.9   0.585 0.1  ]
    >>> class Plateau(init.DistanceProfile):
    ...     def __init__(self, radius):
    ...         self.radius = radius
    ...     def probability(self, distances):
    ...         return jnp.where(distances < self.radius, 1.0, 0.5)
    >>> print((Plateau(50 * u.um) ** 2)([0.0, 80.0] * u.um))
    [1.   0.25]
    >>> from braininit import QuantityLike
    >>> def ring(distance, radius, width):
    ...     return jnp.exp(-(((distance - radius) / width) ** 2))
    >>> class Ring(init.DistanceProfile, kernel=ring):
    ...     radius: QuantityLike
    ...     width: QuantityLike
    >>> print(Ring(50 * u.um, 10 * u.um)([0.05, 1.0] * u.mm))
    [1. 0.]
    """

    _kernel: ClassVar[Callable[..., jax.Array] | None] = None
    _takes: ClassVar[tuple[str, ...]] = ()  # the parameters of the kernel
    _lengths: ClassVar[tuple[str, ...]] = ()
    _slopes: ClassVar[frozenset[str]] = frozenset()  # parameters in 1/length
    _overrides: ClassVar[frozenset[str]] = frozenset()  # methods that replace the kernel
    _reach: ClassVar[Callable[..., Any] | None] = None

    _roles: ClassVar[Mapping[str, Role]] = MappingProxyType({})  # other than the default roles

    def __init_subclass__(
        cls,
        *,
        kernel: Callable[..., jax.Array] | None = None,
        roles: Mapping[str, Role] | None = None,
        reach: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        """Make a subclass a PyTree, unless it has an ``__init__`` of its own.

        Parameters
        ----------
        kernel : callable, optional
            ``(distance, *parameters) -> value`` in JAX, whose parameters are fields. It gets bare
            numbers, lengths in the unit of the distance.
        roles : mapping, optional
            Roles of parameters that are neither positive lengths nor finite pure numbers.
        reach : callable, optional
            ``(level, *parameters) -> distance`` beyond which the absolute value of the kernel is at
            most `level`, so that more distant pairs of neurons can be skipped. The level is above
            0, and may be above the peak; infinity or an arithmetic error means that there is no
            such distance.
        **options
            Passed to the next class in the method resolution order.
        """
        super().__init_subclass__(**options)
        if "__init__" not in cls.__dict__:
            frozen(cls)
            explain(cls)
            register(cls)
        if kernel is not None:
            cls._kernel, cls._reach = staticmethod(kernel), reach and staticmethod(reach)
            cls._takes = tuple(inspect.signature(kernel).parameters)[1:]
            kind_of = field_kinds(cls)
            cls._lengths = tuple(n for n, kind in kind_of.items() if kind == "shared")
            cls._slopes = frozenset(n for n, kind in kind_of.items() if kind == "reciprocal")
            cls._roles = MappingProxyType(dict(roles or {}))
            cls._overrides = frozenset()
        cls._overrides |= {"probability", "weight_scaling"} & cls.__dict__.keys()

    def __post_init__(self) -> None:
        """Convert the parameters to one form, and check them."""
        super().__post_init__()
        if self._kernel is not None:
            arrays = dict(_arrays(type(self), self._numbers(0.0)))
            try:
                np.broadcast_shapes(*arrays.values())
            except ValueError:
                listed = ", ".join(f"`{name}` {shape}" for name, shape in arrays.items())
                raise ValueError(f"the parameters' shapes don't go together: {listed}") from None

    # ------------------------------------------------------------ values

    def probability(self, distances: QuantityLike) -> jax.Array:
        """Probability of a connection of this length, in [0, 1]."""
        if self._kernel is None and "weight_scaling" in self._overrides:
            return _clip(self.weight_scaling(distances))
        return self._value(distances, "probability")

    def weight_scaling(self, distances: QuantityLike) -> jax.Array:
        """Factor of a weight at this distance, not clipped."""
        if "probability" in self._overrides:
            return self.probability(distances)
        return self._value(distances, "weight_scaling")

    def __call__(self, distances: QuantityLike) -> jax.Array:
        """Return `weight_scaling`."""
        return self.weight_scaling(distances)

    def _value(self, distances: Any, method: str) -> Any:
        """Evaluate the profile in one compiled program."""
        bare, unit = units.unwrap("distances", distances)
        # Lengths are converted with a 1 in that unit, for the same result as with a large array.
        like = distances if unit is None else units.on(1.0, unit)
        form, numbers = self._form(distances, like, method)
        go_together(np.shape(bare), form, numbers)
        return _evaluate(form, method == "probability", bare, numbers)

    def _form(self, distances: Any, like: Any, method: str) -> Formed:
        """The form of the profile, and its numbers."""
        return type(self), self._numbers(like)

    def _part(self, distances: Any, like: Any, method: str) -> Formed:
        """The form and the numbers of an operand; overridden methods are called."""
        overrides = self._overrides
        if overrides and self._kernel is None and "probability" not in overrides:
            method = "weight_scaling"  # `probability` would be clipped
        if method in overrides or "probability" in overrides:
            value = getattr(self, method)(distances)
            return None, units.dimensionless(f"{type(self).__name__}.{method}", value)
        return self._form(distances, like, method)

    def _fuses(self) -> bool:
        """Whether one program can compute the profile: it calls no user's function."""
        return not self._overrides

    def _numbers(self, distances: Any) -> Any:
        """The parameters, checked, as bare numbers in the unit of `distances`."""
        if self._kernel is None:
            raise TypeError(f"{type(self).__name__} is abstract: override its `probability`")
        given = self._given(distances)
        unset = {f.name for f in fields(self) if f.default is None and given[f.name] is None}
        lengths = {n: given[n] for n in self._lengths if n not in unset}
        unit, (_, *bares) = units.off(distances=distances, **lengths)
        values = {
            name: self._roles.get(name, scale).check(name, bare, unit)
            for name, bare in zip(lengths, bares, strict=True)
        }
        for name in self._takes:
            if name not in self._lengths:
                if name in self._slopes:
                    value = units.per(name, given[name], unit)
                else:
                    value = units.dimensionless(name, given[name])
                values[name] = self._roles.get(name, pure).check(name, value)
        self._check_together(values, unit)
        # Some parameters are only compared, or not used, at a distance; their NaN must spread too.
        traced = [v for v in values.values() if isinstance(v, Tracer)]
        values = {n: nan_like(v, traced) if traced else v for n, v in values.items()}
        limit = None if "max_distance" in self._takes else values.get("max_distance")
        return tuple(values[name] for name in self._takes), limit

    def _given(self, distances: Any) -> dict[str, Any]:
        """The parameters as written, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _check_together(self, values: dict[str, Any], unit: u.Unit | None) -> None:
        """Check parameters against each other, and replace them in `values` where needed."""

    # ------------------------------------------------------------ algebra

    def _join(self, op: str, left: Any, right: Any = None) -> Any:
        return _combine(op, left, right)

    def apply(self, func: Callable[[Any], Any]) -> ApplyProfile:
        """Apply a function of arrays to the values; ``profile | func`` is the same."""
        return ApplyProfile(self, func)

    def clip(self, min_val: Any = None, max_val: Any = None) -> Any:
        """Limit the values to [min_val, max_val], pure numbers; None leaves a side open."""
        low = -math.inf if min_val is None else units.dimensionless("min_val", min_val)
        high = math.inf if max_val is None else units.dimensionless("max_val", max_val)
        ends = increasing(Number("min_val", low, bound), Number("max_val", high, bound))
        low, high = (end.value for end in ends)
        limited = self if min_val is None else CombinedProfile("max", self, low)
        return limited if max_val is None else CombinedProfile("min", limited, high)


class CombinedProfile(DistanceProfile):
    """``left op right`` of profiles and numbers, for one of ``+ - * / ** max min``.

    Operators between profiles and `DistanceProfile.clip` create it.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> init.StepProfile(50 * u.um) - 0.5
    (StepProfile(threshold=Quantity(50.0, 'um'), inside_prob=1.0, outside_prob=0.0) - 0.5)
    """

    op: str = static()
    left: Any
    right: Any

    def __post_init__(self) -> None:
        """Check the operands and convert them to one form."""
        if self.op not in _OPERATIONS:
            listed = " ".join(_OPERATIONS)
            raise ValueError(f"`op` must be one of {listed}, got {units.brief(self.op)}")
        for name in ("left", "right"):
            operand = getattr(self, name)
            if not isinstance(operand, DistanceProfile):
                object.__setattr__(self, name, units.dimensionless(name, operand))
        profiles = (isinstance(x, DistanceProfile) for x in (self.left, self.right))
        if not any(profiles):
            raise TypeError("at least one of `left` and `right` must be a profile")
        refuse_deep(self)

    def _form(self, distances: Any, like: Any, method: str) -> Formed:
        formed = [
            operand._part(distances, like, method)
            if isinstance(operand, DistanceProfile)
            else (None, units.dimensionless(name, operand))
            for name, operand in (("left", self.left), ("right", self.right))
        ]
        forms, numbers = zip(*formed, strict=True)
        return (self.op, *forms), numbers

    def _fuses(self) -> bool:
        operands = (self.left, self.right)
        profiles = (x for x in operands if isinstance(x, DistanceProfile))
        return super()._fuses() and all(p._fuses() for p in profiles)

    def __repr__(self) -> str:
        """The expression that makes the object."""
        left, right = written(self.left), written(self.right)
        if self.op in ("min", "max"):
            if isinstance(self.left, DistanceProfile):
                limit = "min_val" if self.op == "max" else "max_val"
                if not isinstance(self.right, DistanceProfile):
                    return f"{left}.clip({limit}={right})"
            return f"CombinedProfile({self.op!r}, {left}, {right})"
        return f"({left} {self.op} {right})"


class ApplyProfile(DistanceProfile):
    """A profile whose values pass through a function, as by `DistanceProfile.apply`.

    `func` maps an array of values to an array of the same shape; inside a transformation of JAX it
    must be written in JAX, eagerly NumPy will do. It is a static part of the PyTree, and a lambda
    equals only itself.

    Examples
    --------
    >>> import brainunit as u, braininit as init, jax.numpy as jnp
    >>> profile = init.LinearProfile(100 * u.um) | jnp.sqrt
    >>> float(profile(75 * u.um))
    0.5
    """

    base: DistanceProfile
    func: Callable[[Any], Any] = static()

    def __post_init__(self) -> None:
        """Check the parts of the object."""
        if not isinstance(self.base, DistanceProfile):
            raise TypeError(f"`base` must be a distance profile, got {units.brief(self.base)}")
        if isinstance(self.func, DistanceProfile):
            raise TypeError(
                "`func` is a profile, a function of distance, and can't follow `|`, which passes "
                "values; combine profiles by + - * /"
            )
        if not callable(self.func):
            raise TypeError(f"`func` must be callable, got {units.brief(self.func)}")
        refuse_deep(self)

    def _form(self, distances: Any, like: Any, method: str) -> Formed:
        # Outside the compiled program: the function may use NumPy, and a new lambda would make a
        # new program.
        bare, _ = units.unwrap("distances", distances)
        form, numbers = self.base._part(distances, like, method)
        go_together(np.shape(bare), form, numbers)
        values = self.func(_evaluate(form, False, bare, numbers))
        return None, units.dimensionless("func", values)

    def _fuses(self) -> bool:
        return False

    def __repr__(self) -> str:
        """The call that makes the object."""
        name = getattr(self.func, "__qualname__", None) or repr(self.func)
        return f"{self.base!r}.apply({name})"


# ---------------------------------------------------------------- operators

_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": jnp.add,
    "-": jnp.subtract,
    "*": jnp.multiply,
    "/": jnp.divide,
    "**": jnp.power,
    "max": jnp.maximum,
    "min": jnp.minimum,
}


def _combine(op: str, left: Any, right: Any) -> Any:
    """Combine two operands; leave other types to their own operators."""
    kinds = (DistanceProfile, int, float, np.number, np.ndarray, jax.Array, u.Quantity, u.Unit)
    if not (isinstance(left, kinds) and isinstance(right, kinds)):
        return NotImplemented
    return CombinedProfile(op, left, right)


# ---------------------------------------------------------------- the compiled program


@functools.partial(jax.jit, static_argnums=(0, 1))
def _evaluate(form: Any, clip: bool, distances: Any, numbers: Any) -> jax.Array:
    """Compute a form, and clip the values to [0, 1] at the end if asked."""
    distances, numbers = aligned(distances, numbers)
    # XLA would fold quotients of constants, with other last bits than quotients of arguments.
    numbers = jax.lax.optimization_barrier(numbers)
    arrays = [distances, *jax.tree.leaves(numbers)]
    shape = jnp.broadcast_shapes(*(x.shape for x in arrays))

    def whole(distances: jax.Array, numbers: Any) -> jax.Array:
        value = jnp.broadcast_to(evaluated(form, distances, numbers), shape)
        return jnp.clip(value, 0.0, 1.0) if clip else value

    return with_sharding(whole, inherited(shape, (("distances", x) for x in arrays)))(
        distances, numbers
    )


@jax.jit
def _clip(values: Any) -> jax.Array:
    return jnp.clip(jnp.asarray(values), 0.0, 1.0)


def _arrays(form: Any, numbers: Any, name: str = "func") -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each array among a form's parameters."""
    if isinstance(form, tuple):
        for side, operand, part in zip(("left", "right"), form[1:], numbers, strict=True):
            yield from _arrays(operand, part, side)
        return
    if form is None:
        names, values = (name,), (numbers,)
    else:
        names, values = (*form._takes, "max_distance"), (*numbers[0], numbers[1])
    for parameter, value in zip(names, values, strict=True):
        if getattr(value, "ndim", 0):
            yield parameter, value.shape


def go_together(shape: tuple[int, ...], form: Any, numbers: Any, *, within: bool = False) -> None:
    """Raise if parameters do not broadcast with the distances, or, if `within`, to their shape."""
    for name, parameter_shape in _arrays(form, numbers):
        try:
            result_shape = np.broadcast_shapes(shape, parameter_shape)
        except ValueError:
            result_shape = None
        if result_shape is None or (within and result_shape != shape):
            raise ValueError(
                f"`{name}` of shape {parameter_shape} does not go with distances of shape {shape}; "
                "give one number, or one for each distance"
            )


def aligned(distances: Any, numbers: Any, rank: int = 0) -> tuple[jax.Array, Any]:
    """Raise arrays to one rank, which JAX's settings may forbid it to do; scalars stay."""
    leaves, tree = jax.tree.flatten(numbers)
    arrays = [jnp.asarray(x) for x in (distances, *leaves)]
    # The distances determine the dtype; parameters that are Python floats adapt to it.
    arrays[0] = jax.lax.convert_element_type(arrays[0], arrays[0].dtype)
    rank = max(rank, *(x.ndim for x in arrays))
    raised = [x.reshape((1,) * (rank - x.ndim) + x.shape) if x.ndim else x for x in arrays]
    return raised[0], jax.tree.unflatten(tree, raised[1:])


def evaluated(form: Any, distances: jax.Array, numbers: Any) -> jax.Array:
    """The values of a form, inside a program."""
    if form is None:
        return numbers
    if isinstance(form, tuple):
        op, *forms = form
        operands = (evaluated(p, distances, n) for p, n in zip(forms, numbers, strict=True))
        return _OPERATIONS[op](*operands)
    parameters, limit = numbers
    value = form._kernel(distances, *parameters)
    return value if limit is None else choose(distances, limit, value, 0.0)


def choose(distances: jax.Array, limit: Any, within: Any, beyond: Any) -> jax.Array:
    """Return `within` up to a limit and `beyond` strictly beyond it; NaN for NaN."""
    # With a single comparison, a NaN would count as the other side.
    nan = jnp.full_like(distances, jnp.nan)
    return jnp.where(distances <= limit, within, jnp.where(distances > limit, beyond, nan))
