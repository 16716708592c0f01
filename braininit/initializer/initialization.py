"""The base class of initializers: twins of functions, and both ways of calling."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any, ClassVar, overload

import brainunit as u
import jax
import numpy as np
from jax.core import Tracer

from braininit._engine import keys
from braininit._jax.dtypes import default_float
from braininit._jax.settings import eager, trace
from braininit._params import units
from braininit._params.algebra import Algebra
from braininit._params.types import DType, Key, QuantityLike, Shape, Sharding, Values
from braininit._params.values import Value, field_kinds, fields, frozen, refuse_deep, register
from braininit.initializer.calls import CONTEXT, explain, unknown
from braininit.initializer.foreign import foreign
from braininit.initializer.recipe import Recipe, draw

__all__ = ["Initialization", "cached_unless_traced", "compare"]


class _Absent:
    """The default of an argument that was not given."""

    def __repr__(self) -> str:
        return "..."


_ABSENT: Any = _Absent()


class cached_unless_traced:
    """A property computed once, or once per trace if the value holds tracers.

    A copy, an unpickled object and an argument of a transformed function have no recipe yet. If
    they build it inside a `scan`, a recipe with tracers must not be used after the scan.
    """

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, obj: Any, owner: type) -> Any:
        if obj is None:
            return self
        if eager():
            value = obj.__dict__["_recipe"] = self._compute(obj)
            return value
        now, cached = trace(), obj.__dict__.get("_traced")
        if now is not None and cached is not None and cached[0] == now:
            return cached[1]
        # Concrete parameters are evaluated eagerly where JAX can: not inside `shard_map`.
        with nullcontext() if _has_tracers(obj) else jax.ensure_compile_time_eval():
            value = self._compute(obj)
        obj.__dict__.update(
            {"_traced": (now, value)} if _has_tracers(value) else {"_recipe": value}
        )
        return value


def _has_tracers(tree: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


class Initialization(Algebra["Initialization"], Value):
    r"""Base class of all initializers.

    An initializer is a function and its twin, a class with the same parameters. The function
    draws; an object of the class is called in one of two ways, depending on whether the first
    argument is a key::

        normal(key, shape, mean, std, dtype=None, out_sharding=None)    # the function
        Normal(mean, std)(size, rng=rng, dtype=None, out_sharding=None) # the tutorial's way
        Normal(mean, std)(key, shape, dtype=None, out_sharding=None)    # JAX's and Flax's way

    Parameters
    ----------
    key : key
        A single JAX key, typed or legacy. Initializers that are not random also take None.
    rng : key, int, generator, callable or None
        A JAX key, an int seed, a NumPy ``Generator`` or ``RandomState``, an object with
        ``split_key()``, a callable that returns a key, or None for the package's own stream,
        which `seed` restarts.
    shape, size : int or tuple of int
        Shape of the result; ``()`` is a scalar, and sizes may be 0.
    dtype : dtype, optional
        A floating dtype of at least 8 bits; a complex one where the function says so; an integer
        one for constants, distributions of whole numbers, and their sums, products, mixtures and
        clips. None is JAX's default float. 16-bit and 8-bit floats are drawn in float32 and
        rounded once, inward.
    out_sharding : NamedSharding or PartitionSpec, optional
        Sharding of the result. On a mesh with explicit axes the default follows the parameters.
    **context
        For initializers made of others, beside a size: `distances`, `pre_positions`,
        `post_positions`, `neuron_indices`.

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of the parameters if they have one.

    Raises
    ------
    ValueError
        If a parameter is outside its domain, or the dtype does not hold it. A traced parameter
        can't be read: draws are NaN instead, and `jax.experimental.checkify` names the parameter.
        Integer draws are then the smallest number of the dtype, or the largest if it is unsigned.
    UnitError
        If parameters differ in dimension, or a pure number has a unit.

    Notes
    -----
    Parameters are numbers or arrays that broadcast to the shape, concrete or traced. Parameters
    that share a unit are converted to the unit of the first; a bare 0 or infinity fits every unit.
    A draw beyond the largest number of the dtype (65504 in float16) becomes that number. The same
    key gives the same numbers eagerly and in a jit, on every platform and on any number of devices,
    except for the last bit where XLA contracts a product with a sum.

    An object is a frozen dataclass and a PyTree whose leaves are its parameters. ``+ - * / **``
    combine initializers with each other and with numbers, arrays and Quantities, ``|`` with a
    function; each initializer draws from its own key. Put a Quantity on the right, as in
    ``initializer + 0.1 * u.nS``: on the left, brainunit's operator runs first. Before brainunit
    0.6 that operator raises for a sum, and wraps the initializer of a product in a Quantity, which
    is undone where an initializer is expected.

    Write a distribution of your own with the same two statements; the class is compared with the
    function when it is created. A plain subclass that overrides ``__call__(self, size, **kwargs)``
    is an initializer too.

    Examples
    --------
    >>> import jax, braininit as init
    >>> def logistic(key, shape, loc=0.0, scale=1.0, *, dtype=None):
    ...     return loc + scale * jax.random.logistic(key, shape, dtype)
    >>> class Logistic(init.Initialization, function=logistic):
    ...     loc: float = 0.0
    ...     scale: float = 1.0
    >>> Logistic(scale=2.0)
    Logistic(loc=0.0, scale=2.0)
    >>> Logistic(scale=2.0)(3, rng=0).shape
    (3,)
    """

    truncated: ClassVar[Callable[..., Initialization]]  # set where `Truncated` is defined
    _function: ClassVar[Callable[..., Any] | None] = None
    _to_recipe: ClassVar[Callable[..., Recipe] | None] = None
    _renamed: ClassVar[Mapping[str, str]] = MappingProxyType({})
    _names: ClassVar[tuple[tuple[str, str], ...]] = ()  # (field, parameter of the function)
    _facts: ClassVar[Mapping[str, Any]] = MappingProxyType({})  # of a user's function
    _takes_context: ClassVar[bool] = False  # whether the function takes the caller's context

    def __init_subclass__(
        cls,
        *,
        function: Callable[..., Any] | None = None,
        recipe: Callable[..., Recipe] | None = None,
        renamed: Mapping[str, str] | None = None,
        random: bool | None = True,
        traceable: bool = False,
        cdf: Callable[..., Any] | None = None,
        quantile: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        """Make a subclass the twin of `function`.

        Parameters
        ----------
        function : callable, optional
            ``(key, shape, *parameters, dtype=None)``. Without it the subclass stays plain.
        recipe : callable, optional
            ``(*parameters) -> Recipe``, given by braininit's own functions; it replaces the
            options below.
        renamed : mapping, optional
            ``{field: parameter}`` where the two names must differ.
        random : bool, optional
            False if the function does not use its key; None if only the initializers among its
            parameters do.
        traceable : bool, optional
            Whether the function takes traced parameters wherever it takes concrete ones,
            so that an eager call may be compiled as a whole.
        cdf, quantile : callable, optional
            The distribution function ``(x, *parameters)`` and its inverse ``(p, *parameters)``,
            of JAX arrays without units, the parameters in the fields' order. With both, the
            distribution can be truncated.
        **options
            Passed to the next class in the method resolution order.
        """
        super().__init_subclass__(**options)
        if function is not None:
            cls._function = staticmethod(function)
            cls._to_recipe = None if recipe is None else staticmethod(recipe)
            cls._renamed = MappingProxyType(dict(renamed or {}))
            frozen(cls)
            explain(cls)
            accepted = compare(cls, function)
            cls._takes_context = "**" in accepted
            if (cdf is None) != (quantile is None):
                raise TypeError(f"{cls.__name__} needs both `cdf` and `quantile`, or neither")
            cls._names = tuple((f.name, cls._renamed.get(f.name, f.name)) for f in fields(cls))
            cls._facts = {
                "takes_sharding": "out_sharding" in accepted,
                "takes_context": cls._takes_context,
                "random": random,
                "traceable": traceable,
                "functions": None if cdf is None else (cdf, quantile),
            }
            if recipe is not None:
                function.twin = cls  # pyright: ignore[reportFunctionMemberAccess] - for messages
        register(cls)

    def __post_init__(self) -> None:
        """Convert the parameters to one form, and check them by building the recipe."""
        from braininit.initializer.children import as_child, as_children

        converters = {"child": as_child, "children": as_children}
        nested = False
        for name, kind in field_kinds(type(self)).items():
            value = getattr(self, name)
            if kind in converters and value is not None:
                object.__setattr__(self, name, converters[kind](name, value))
                nested = True
        if nested:
            refuse_deep(self)
        super().__post_init__()
        if self._function is not None:
            self._own_shape()
            # Cached even in a trace: all later draws are in that trace, or in one inside it.
            self.__dict__["_recipe"] = self._recipe

    @cached_unless_traced
    def _recipe(self) -> Recipe:
        """The recipe; errors name the parameters as the fields do."""
        parameters = {parameter: getattr(self, field) for field, parameter in self._names}
        if self._function is None:
            raise TypeError(
                f"{type(self).__name__} is abstract: name its function, or override __call__"
            )
        if self._to_recipe is None:
            options = {f.name for f in fields(self) if f.metadata.get("static")}
            static = {name: parameters.pop(name) for field, name in self._names if field in options}
            return foreign(inspect.unwrap(self._function), parameters, static, **self._facts)
        try:
            recipe = self._to_recipe(**parameters)
            recipe.check_dtype(default_float())
            return recipe
        except (TypeError, ValueError) as error:
            text = str(error)
            for field, parameter in self._renamed.items():
                text = text.replace(f"`{parameter}`", f"`{field}`")
            if text == str(error):
                raise
            raise type(error)(text) from error.__cause__

    def _own_shape(self) -> tuple[int, ...]:
        """The shape to which the parameters broadcast."""
        shapes = {
            f.name: np.shape(value.mantissa if isinstance(value, u.Quantity) else value)
            for f in fields(self)
            if not f.metadata.get("static")
            and isinstance(value := getattr(self, f.name), (u.Quantity, np.ndarray, jax.Array))
        }
        try:
            return np.broadcast_shapes(*shapes.values())
        except ValueError:
            listed = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
            raise ValueError(
                f"the parameters' shapes don't go together: {listed}; make them broadcast"
            ) from None

    def _children(self) -> Iterator[Initialization]:
        """The initializers among the parameters."""
        for f in fields(self):
            value = getattr(self, f.name)
            for child in value if type(value) is tuple else (value,):
                if isinstance(child, Initialization):
                    yield child

    # ------------------------------------------------------------ calling

    @overload
    def __call__(
        self, key: Key, shape: Shape, dtype: DType | None = None, out_sharding: Any = None
    ) -> Values: ...
    @overload
    def __call__(
        self,
        size: Shape,
        *,
        rng: Any = None,
        dtype: DType | None = None,
        out_sharding: Sharding | None = None,
        **context: Any,
    ) -> Values: ...
    def __call__(  # pyright: ignore[reportInconsistentOverload]
        self,
        size: Any = _ABSENT,
        shape: Any = _ABSENT,
        dtype: DType | None = None,
        out_sharding: Any = None,
        *,
        rng: Any = _ABSENT,
        key: Any = _ABSENT,
        **context: Any,
    ) -> Values:
        """Draw: ``(size, rng=...)`` or ``(key, shape, dtype)``; see the class."""
        if key is _ABSENT and keys.is_key(size):
            key, size = size, _ABSENT
        if key is _ABSENT:
            if shape is not _ABSENT or size is _ABSENT:
                raise _misplaced(size, shape)
            if not CONTEXT.issuperset(context) and not self._recipe.takes_any():
                raise unknown(context)
            rng = None if rng is _ABSENT else rng
            key = keys.from_rng(rng) if self._recipe.needs_key(rng) else None
            if self._takes_context:
                context["rng"] = rng
            return draw(self._recipe, key, size, dtype, out_sharding, context)
        if size is not _ABSENT or shape is _ABSENT or rng is not _ABSENT:
            raise TypeError(
                "with a key, call an initializer as init(key, shape, dtype=None); "
                "with a size, as in init(size, rng=key)"
            )
        if context:
            raise unknown(context)
        return draw(self._recipe, key, shape, dtype, out_sharding)

    # ------------------------------------------------------------ operators

    def _join(self, op: str, left: Any, right: Any = None) -> Any:
        from braininit.initializer.operators import joined

        return joined(op, left, right)

    def __abs__(self) -> Initialization:
        return self._join("abs", self)

    def apply(self, func: Callable[[Any], Any]) -> Initialization:
        """Pass the draws through a function, as ``initializer | func`` does."""
        from braininit.initializer.pipes import Compose

        if type(self) is Compose:
            return Compose(self.first, *self.functions, func)
        return Compose(self, func)

    def add(self, value: Any) -> Initialization:
        """Add a number, an array, a Quantity or another initializer's draws."""
        return self + value

    def multiply(self, value: Any) -> Initialization:
        """Multiply by a number, an array, a Quantity or another initializer's draws."""
        return self * value

    def clip(
        self, min_val: QuantityLike | None = None, max_val: QuantityLike | None = None
    ) -> Initialization:
        """Move draws below `min_val` or above `max_val` to that bound; None is open."""
        from braininit.initializer.pipes import Clipped

        return Clipped(self, min_val, max_val)

    def on_grid(self, step: QuantityLike, rounding: str = "nearest") -> Initialization:
        """Round draws to multiples of a step: "nearest", "stochastic" or "up"."""
        from braininit.initializer.grid import OnGrid

        return OnGrid(self, step, rounding)


# ---------------------------------------------------------------- the twin rule


_DRAW_OPTIONS = ("dtype", "out_sharding")


def compare(
    cls: type,
    function: Callable[..., Any],
    first: tuple[str, str] = ("key", "shape"),
    of_a_draw: Collection[str] = _DRAW_OPTIONS,
) -> set[str]:
    """Raise if a class and its function differ; return the function's names, "**" for any."""
    renamed: Mapping[str, str] = getattr(cls, "_renamed", {})
    empty = inspect.Parameter.empty
    parameters = dict(inspect.signature(function).parameters)
    if (*parameters,)[:2] != first or "dtype" not in parameters:
        raise TypeError(
            f"{function.__name__} must take ({', '.join(first)}, ..., dtype=None) to have a twin"
        )
    accepted = {"**" if p.kind is p.VAR_KEYWORD else name for name, p in parameters.items()}
    expected = [
        (name, p.default)
        for name, p in parameters.items()
        if name not in (*first, *of_a_draw) and p.kind is not p.VAR_KEYWORD
    ]
    actual = [
        (renamed.get(f.name, f.name), empty if f.default is dataclasses.MISSING else f.default)
        for f in fields(cls)
    ]
    for field, parameter in itertools.zip_longest(actual, expected):
        if field != parameter:
            raise TypeError(
                f"{cls.__name__} and {function.__name__} drift apart: the class has "
                f"{_written(field)} where the function has {_written(parameter)}"
            )
    return accepted


def _written(pair: tuple[str, Any] | None) -> str:
    if pair is None:
        return "nothing"
    return pair[0] if pair[1] is inspect.Parameter.empty else f"{pair[0]}={pair[1]!r}"


def _misplaced(size: Any, shape: Any) -> TypeError:
    """The error for a call that has neither a size nor a key and a shape."""
    got, hint = ", ".join(units.brief(v) for v in (size, shape) if v is not _ABSENT), ""
    if size is _ABSENT and shape is not _ABSENT:
        hint = "; without a key it is size="
    elif keys.is_key(shape):
        hint = "; the key comes first"
    elif isinstance(shape, (int, tuple, list)):
        hint = "; a size of several axes is one tuple, and a key is made by jax.random.key(seed)"
    elif shape is not _ABSENT:
        hint = "; write dtype=" if units.is_dtype(shape) else "; write rng="
    return TypeError(
        "call an initializer with a size, as in init(size, rng=rng), or with a key and a shape, "
        f"as in init(key, shape); got {got or 'nothing'}{hint}"
    )
