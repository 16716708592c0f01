"""The objects: one base class, the twin rule, both ways of calling."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, cast, overload

import brainunit as u
import jax
import numpy as np

from braininit._engine import keys as _keys
from braininit._engine.sampler import probe
from braininit._jax.dtypes import default_float
from braininit._params import units as _units
from braininit._params.types import DType, Key, QuantityLike, Shape, Sharding
from braininit._params.values import Value, fields, frozen, refuse_deep, register
from braininit.initializer.calls import explain

__all__ = ["CONTEXT", "Initialization", "late", "unknown"]

CONTEXT = frozenset(
    {
        *("distances", "pre_positions", "post_positions", "neuron_indices"),
        *("param_type", "pre_size", "post_size"),
    }
)


class _Absent:
    """In place of an argument that was not given."""

    def __repr__(self) -> str:
        return "..."


_ABSENT: Any = _Absent()

late: dict[str, Callable[..., Any]] = {}
"""What the base class needs of modules below this one: they put it in by name."""


class Initialization(Value):
    """Base class of all initializers.

    An initializer is called in one of two ways, told apart by whether the first
    argument is a key::

        initializer(size, rng=rng, dtype=None, out_sharding=None)   # the tutorial's
        initializer(key, shape, dtype=None, out_sharding=None)      # JAX's, Flax's

    `rng` is a JAX key, an int seed, a NumPy ``Generator`` or ``RandomState``, an object
    with ``split_key()``, a callable that returns a key, or None for the package's own
    stream (`seed` restarts it). Results are plain arrays, or Quantities where the
    parameters carry a unit. On a mesh with explicit axes a result is sharded as its
    parameters are, unless `out_sharding` says otherwise.

    A distribution is a function and its twin: a class that names the function and
    repeats its parameters as fields. It becomes a frozen dataclass and a PyTree whose
    leaves are the parameters. The two are compared when the class is created.

    A plain subclass that overrides ``__call__(self, size, **kwargs)`` is an initializer
    too; it gets what the caller passes, unchanged.

    Initializers are combined by ``+ - * / **`` with each other and with numbers, arrays
    and Quantities, concrete or traced, by ``|`` with a function. Each draws from its own
    key. Put a Quantity on the right, as in ``initializer + 0.1 * u.nS``: before brainunit
    0.6 its own operators come first on the left and do not know initializers. They refuse
    a sum, and make a Quantity around the initializer of a product, as ``u.nS *
    initializer`` does: it can't be called, and is undone where an initializer is expected.

    Examples
    --------
    >>> import jax, braininit as init
    >>> def laplace(key, shape, loc=0.0, scale=1.0, *, dtype=None):
    ...     return loc + scale * jax.random.laplace(key, shape, dtype)
    >>> class Laplace(init.Initialization, function=laplace):
    ...     loc: float = 0.0
    ...     scale: float = 1.0
    >>> Laplace(scale=2.0)
    Laplace(loc=0.0, scale=2.0)
    >>> Laplace(scale=2.0)(3, rng=0).shape
    (3,)
    """

    _function: ClassVar[Callable[..., Any] | None] = None
    _bare: ClassVar[Callable[..., Any]]  # the same, not `explained`
    _renamed: ClassVar[Mapping[str, str]] = MappingProxyType({})
    _random: ClassVar[bool | None] = True  # None: if one of its children is
    _traceable: ClassVar[bool] = False  # whether JAX may trace what the function computes
    _names: ClassVar[tuple[tuple[str, str], ...]] = ()  # of the fields, here and there
    _places: ClassVar[bool] = True  # whether the function takes `out_sharding`
    _informed: ClassVar[bool] = False  # whether it takes the caller's context
    _cdf: ClassVar[Callable[..., Any] | None] = None
    _quantile: ClassVar[Callable[..., Any] | None] = None
    __array_ufunc__ = None  # so that `np.ones(3) * obj` asks the object first

    def __init_subclass__(
        cls,
        *,
        function: Callable[..., Any] | None = None,
        renamed: Mapping[str, str] | None = None,
        random: bool | None = True,
        traceable: bool | None = None,
        cdf: Callable[..., Any] | None = None,
        quantile: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        """Make a subclass the twin of `function`.

        Parameters
        ----------
        function : callable, optional
            ``(key, shape, *parameters, dtype=None)``. Without it the subclass stays plain.
        renamed : mapping, optional
            ``{field: parameter}`` where the two names have to differ.
        random : bool, optional
            False where the function makes no use of its key; None where only the
            initializers among its parameters do.
        traceable : bool, optional
            Whether the function takes traced parameters wherever it takes concrete ones,
            so that an eager call may be compiled as a whole. None: if it is of braininit.
        cdf, quantile : callable, optional
            The distribution function ``(x, *parameters)`` and its inverse ``(p, *parameters)``,
            of JAX arrays without units, the parameters in the fields' order: with them the
            distribution can be truncated.
        **options
            Passed on to the next class in line.
        """
        super().__init_subclass__(**options)
        if function is not None:
            cls._function = staticmethod(function)
            cls._renamed, cls._random = MappingProxyType(dict(renamed or {})), random
            frozen(cls)
            explain(cls)
            kinds = _compare(cls, function)
            cls._places, cls._informed = "out_sharding" in kinds, "**" in kinds
            own = str(function.__module__).partition(".")[0] == "braininit"
            cls._traceable = own if traceable is None else traceable
            if (cdf is None) != (quantile is None):
                raise TypeError(f"{cls.__name__} needs both `cdf` and `quantile`, or neither")
            if cdf is not None and quantile is not None:
                cls._cdf, cls._quantile = staticmethod(cdf), staticmethod(quantile)
            cls._names = tuple((f.name, cls._renamed.get(f.name, f.name)) for f in fields(cls))
            bare = inspect.unwrap(function)
            cls._bare = staticmethod(bare)
            _units.twins[bare.__code__] = cls
        register(cls)

    def __post_init__(self) -> None:
        """Store the parameters in one form, and let the function check them."""
        children = {
            f.name: late["children"](f.name, self._of(f), several="[" in str(f.type))
            for f in fields(self)
            if "Initializer" in str(f.type) and self._of(f) is not None
        }
        for name, value in children.items():
            object.__setattr__(self, name, value)
        if children:
            refuse_deep(self)
        super().__post_init__()
        if self._function is not None:
            self._check(self._bare)

    def _check(self, function: Callable[..., Any]) -> None:
        """Let the function look at the parameters, and speak of them by the fields' names."""
        try:
            function(probe(), self._own_shape(), **self._arguments(), dtype=default_float())
        except (TypeError, ValueError) as error:
            text = str(error)
            for mine, its in self._renamed.items():
                text = text.replace(f"`{its}`", f"`{mine}`")
            if text == str(error):
                raise
            raise type(error)(text) from error.__cause__

    def _arguments(self) -> dict[str, Any]:
        """The parameters under the names the function has for them."""
        return {its: getattr(self, mine) for mine, its in self._names}

    def _own_shape(self) -> tuple[int, ...]:
        """The shape the parameters have together."""
        shapes = {
            f.name: np.shape(value.mantissa if isinstance(value, u.Quantity) else value)
            for f in fields(self)
            if not f.metadata.get("static")
            and isinstance(value := self._of(f), (u.Quantity, np.ndarray, jax.Array))
        }
        try:
            return np.broadcast_shapes(*shapes.values())
        except ValueError:
            listed = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
            raise ValueError(
                f"the parameters' shapes don't go together: {listed}; make them broadcast"
            ) from None

    # ------------------------------------------------------------ calling

    @overload
    def __call__(
        self, key: Key, shape: Shape, dtype: DType | None = None, out_sharding: Any = None
    ) -> Any: ...
    @overload
    def __call__(
        self,
        size: Shape,
        *,
        rng: Any = None,
        dtype: DType | None = None,
        out_sharding: Sharding | None = None,
        **context: Any,
    ) -> Any: ...
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
    ) -> Any:
        """Draw: ``(size, rng=...)`` or ``(key, shape, dtype)``, see the class."""
        if key is _ABSENT and _keys.is_key(size):
            key, size = size, _ABSENT
        if key is _ABSENT:
            if shape is not _ABSENT or size is _ABSENT:
                raise _misplaced(size, shape)
            if not CONTEXT.issuperset(context) and not self._takes_any():
                raise unknown(context)
            rng = None if rng is _ABSENT else rng
            key = _keys.from_rng(rng) if self._needs_key(rng) else None
            if self._informed:
                context["rng"] = rng
            return self._draw(key, size, dtype, out_sharding, context)
        if size is not _ABSENT or shape is _ABSENT or rng is not _ABSENT:
            raise TypeError(
                "with a key, call an initializer as init(key, shape, dtype=None); "
                "with a size, as in init(size, rng=key)"
            )
        if context:
            raise unknown(context)
        return self._draw(key, shape, dtype, out_sharding, {})

    def _draw(
        self, key: Any, shape: Any, dtype: Any, out_sharding: Any, context: Mapping[str, Any]
    ) -> Any:
        """Draw from a key, whichever way the call came in."""
        if self._function is None:
            raise TypeError(
                f"{type(self).__name__} is abstract: name its function, or override __call__"
            )
        given = self._arguments()
        if self._informed:
            given |= context
        if self._places:
            return self._bare(key, shape, **given, dtype=dtype, out_sharding=out_sharding)
        if out_sharding is not None:
            raise TypeError(
                f"{self._function.__name__} takes no `out_sharding`; "
                "place its result by jax.device_put"
            )
        return self._bare(key, shape, **given, dtype=dtype)

    # ------------------------------------------------------------ having children

    def _children(self) -> Iterator[Initialization]:
        """The initializers among the parameters."""
        for f in fields(self):
            value = self._of(f)
            for child in value if type(value) is tuple else (value,):
                if isinstance(child, Initialization):
                    yield child

    def _needs_key(self, rng: Any) -> bool:
        """Whether a key has to be made from what a caller passes as ``rng=``."""
        if self._random is None:
            return any(child._needs_key(rng) for child in self._children())
        return self._random

    def _takes_any(self) -> bool:
        """Whether keywords this package does not know may be meant for a child."""
        return any(child._takes_any() for child in self._children())

    def _is_traceable(self) -> bool:
        """Whether all of the draw is code of this package's, without a user's function."""
        return self._traceable and all(child._is_traceable() for child in self._children())

    # ------------------------------------------------------------ operators

    def __add__(self, other: Any) -> Initialization:
        return late["combined"]("+", self, other)

    def __radd__(self, other: Any) -> Initialization:
        return late["combined"]("+", other, self)

    def __sub__(self, other: Any) -> Initialization:
        return late["combined"]("-", self, other)

    def __rsub__(self, other: Any) -> Initialization:
        return late["combined"]("-", other, self)

    def __mul__(self, other: Any) -> Initialization:
        return late["combined"]("*", self, other)

    def __rmul__(self, other: Any) -> Initialization:
        return late["combined"]("*", other, self)

    def __truediv__(self, other: Any) -> Initialization:
        return late["combined"]("/", self, other)

    def __rtruediv__(self, other: Any) -> Initialization:
        return late["combined"]("/", other, self)

    def __pow__(self, other: Any) -> Initialization:
        return late["combined"]("**", self, other)

    def __rpow__(self, other: Any) -> Initialization:
        return late["combined"]("**", other, self)

    def __neg__(self) -> Initialization:
        return late["combined"]("*", -1.0, self)

    def __pos__(self) -> Initialization:
        return self

    def __abs__(self) -> Initialization:
        return late["combined"]("abs", self)

    def __or__(self, function: Callable[[Any], Any]) -> Initialization:
        return late["composed"](self, function)

    def apply(self, func: Callable[[Any], Any]) -> Initialization:
        """Pass the draws through a function; the same as ``initializer | func``."""
        return late["composed"](self, func)

    def add(self, value: Any) -> Initialization:
        """Add a number, an array, a Quantity or another initializer's draws."""
        return self + value

    def multiply(self, value: Any) -> Initialization:
        """Multiply by a number, an array, a Quantity or another initializer's draws."""
        return self * value

    def clip(
        self, min_val: QuantityLike | None = None, max_val: QuantityLike | None = None
    ) -> Initialization:
        """Bring draws below `min_val` or above `max_val` to that bound; None is open."""
        return late["clipped"](self, min_val, max_val)


# ---------------------------------------------------------------- the twin rule


def _compare(cls: type, function: Callable[..., Any]) -> set[str]:
    """Hold a class against its function; tell what else the function takes."""
    renamed = cast(Mapping[str, str], cls._renamed)  # pyright: ignore[reportAttributeAccessIssue]
    empty = inspect.Parameter.empty
    theirs = dict(inspect.signature(function).parameters)
    if [*theirs][:2] != ["key", "shape"] or "dtype" not in theirs:
        raise TypeError(
            f"{function.__name__} must take (key, shape, ..., dtype=None) to have a twin"
        )
    kinds = {"**" if p.kind is p.VAR_KEYWORD else name for name, p in theirs.items()}
    expected = [
        (name, p.default)
        for name, p in theirs.items()
        if name not in ("key", "shape", "dtype", "out_sharding") and p.kind is not p.VAR_KEYWORD
    ]
    actual = [
        (renamed.get(f.name, f.name), empty if f.default is dataclasses.MISSING else f.default)
        for f in fields(cls)
    ]
    for mine, its in itertools.zip_longest(actual, expected):
        if mine != its:
            raise TypeError(
                f"{cls.__name__} and {function.__name__} drift apart: the class has "
                f"{_parameter(mine)} where the function has {_parameter(its)}"
            )
    return kinds


def _parameter(pair: tuple[str, Any] | None) -> str:
    if pair is None:
        return "nothing"
    return pair[0] if pair[1] is inspect.Parameter.empty else f"{pair[0]}={pair[1]!r}"


def _misplaced(size: Any, shape: Any) -> TypeError:
    """The error about a call that is neither with a size nor with a key and a shape."""
    given, hint = ", ".join(_units.brief(v) for v in (size, shape) if v is not _ABSENT), ""
    if size is _ABSENT and shape is not _ABSENT:
        hint = "; without a key it is size="
    elif _keys.is_key(shape):
        hint = "; the key comes first"
    elif isinstance(shape, (int, tuple, list)):
        hint = "; a size of several axes is one tuple, and a key is made by jax.random.key(seed)"
    elif shape is not _ABSENT:
        hint = "; write dtype=" if _units.is_dtype(shape) else "; write rng="
    return TypeError(
        "call an initializer with a size, as in init(size, rng=rng), or with a key and a shape, "
        f"as in init(key, shape); got {given or 'nothing'}{hint}"
    )


def unknown(context: Mapping[str, Any]) -> TypeError:
    """The error about a keyword that no initializer knows, with the nearest that one does."""
    known = CONTEXT | {"size", "rng", "dtype", "out_sharding", "key", "shape"}
    name = next(n for n in context if n not in CONTEXT or not context.keys() - CONTEXT)
    near = ["rng"] if name in ("seed", "generator", "random_state", "prng") else []
    near = near or difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean {near[0]}=?" if near and near[0] != name else ""
    if name in CONTEXT:
        hint = "; it goes with a size, as in init(size, rng=key, ...)"
    if name == "unit":
        hint = "; give the parameters their unit instead, as in 0.5 * u.nS"
    return TypeError(f"an initializer takes no {name}= when it is called{hint}")
