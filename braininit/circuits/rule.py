"""The base class of rules, and how they are called."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeAlias, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from braininit._engine import keys
from braininit._engine.sampler import result_dtype
from braininit._jax.shardings import canonical
from braininit._params import options, units
from braininit._params.types import Key, is_sequence
from braininit._params.values import Value, fields, frozen, register
from braininit.circuits.edges import Edges
from braininit.initializer.calls import explain
from braininit.initializer.initialization import compare

__all__ = ["ConnectionRule", "Drawing", "Kernel", "Sizes", "drawing", "refuse_many", "whole_dtype"]

Sizes: TypeAlias = tuple[int, int] | int
Kernel: TypeAlias = Callable[..., tuple[jax.Array, jax.Array]]
"""``(key, start, rows, *options) -> (pre, post)`` of some rows, from `start` on, in uint32."""


_OF_A_DRAW = (
    *("only", "max_edges", "dtype", "out_sharding"),
    *("distances", "pre_positions", "post_positions"),
)


class ConnectionRule(Value):
    """Base class of the rules by which neurons are connected.

    A rule is a function and its twin, a class with the same parameters, as distributions are::

        fixed_in_degree(key, sizes, degree)     # the function
        FixedInDegree(degree)(key, sizes)       # the class
        FixedInDegree(degree)(sizes, rng=rng)   # as in the tutorials

    Parameters
    ----------
    key : key
        A JAX key, typed or legacy.
    sizes : tuple of int
        How many neurons are presynaptic and how many postsynaptic, ``(n_pre, n_post)``; one
        number is that of both.
    rng : key, int, generator, callable or None
        As of an initializer.
    only : tuple of int, optional
        ``(start, stop)``: draw the edges of these targets alone, as they are among all; those of
        these sources, or these edges by number, where a rule says so.
    dtype : dtype, optional
        Of the indices: an integer dtype that holds the sizes, int32 if None.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the edges live on a mesh. Nothing is communicated to draw them.

    Returns
    -------
    Edges
        In the order of their targets, sources or numbers; the same on every platform and on any
        number of devices.

    Notes
    -----
    A self-connection goes from a neuron to the one with the same index, between two populations as
    well. Multiple connections are several edges between one pair. Without them, every set of as
    many pairs is equally likely, but in `small_world`, which prefers neighbours.

    Examples
    --------
    >>> import jax, braininit as init
    >>> rule = init.FixedInDegree(100, self_connections=False, multiple=False)
    >>> edges = rule(jax.random.key(0), (8000, 2000))
    >>> edges.count
    200000
    """

    _function: ClassVar[Callable[..., Edges]]
    _random: ClassVar[bool] = True

    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = MappingProxyType({})

    def __init_subclass__(
        cls,
        *,
        function: Callable[..., Edges],
        random: bool = True,
        checks: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType({}),
        **rest: Any,
    ) -> None:
        """Make a subclass the twin of `function`.

        Parameters
        ----------
        function : callable
            ``(key, sizes, *parameters, dtype=None)``.
        random : bool
            Whether it uses its key.
        checks : mapping
            By parameter, ``(name, value)`` that refuses another one.
        **rest
            Passed on to the next class in line.
        """
        super().__init_subclass__(**rest)
        cls._function, cls._random, cls._checks = staticmethod(function), random, checks
        frozen(cls)
        compare(cls, function, ("key", "sizes"), _OF_A_DRAW)
        explain(cls)
        register(cls)

    def __post_init__(self) -> None:
        """Store the parameters in one form, and check them."""
        super().__post_init__()
        for name, check in self._checks.items():
            check(name, getattr(self, name))

    @overload
    def __call__(self, key: Key, sizes: Sizes, **how: Any) -> Edges: ...
    @overload
    def __call__(self, sizes: Sizes, *, rng: Any = None, **how: Any) -> Edges: ...
    def __call__(self, *args: Any, rng: Any = None, **how: Any) -> Edges:  # pyright: ignore
        """Draw the edges between two populations."""
        given = list(args)
        key, sizes = how.pop("key", None), how.pop("sizes", None)
        if given and (given[0] is None or keys.is_key(given[0])):
            key, *given = given
        if given and sizes is None:
            sizes, *given = given
        if given or sizes is None:
            raise TypeError(
                "call a rule with a key and sizes, as in rule(key, (8000, 2000)), or with sizes, "
                "as in rule((8000, 2000), rng=0)"
            )
        key = keys.from_rng(rng) if key is None and self._random else key
        its = {f.name: getattr(self, f.name) for f in fields(self)}
        return self._function(key, sizes, **its, **how)


# ---------------------------------------------------------------- in a rule's function


class Drawing(NamedTuple):
    """Which edges are drawn, and how."""

    sizes: tuple[int, int]
    only: tuple[int, int] | None
    dtype: np.dtype
    sharding: NamedSharding | None

    def part(self, rows: int) -> tuple[int, int]:
        """Which of so many targets, sources or edges are drawn."""
        start, stop = (0, rows) if self.only is None else self.only
        if not 0 <= start <= stop <= rows:
            raise ValueError(f"`only` = {self.only} must be from 0 to {rows}, in that order")
        return start, stop

    def edges(self, kernel: Kernel, key: Any, rows: int, each: int, *given: Any) -> Edges:
        """The edges of a rule that has so many rows, and as many edges in each."""
        start, stop = self.part(rows)
        refuse_many((stop - start) * each)
        if (stop - start) * each <= 0:  # a kernel may need a neuron at least
            kernel, start, stop, given = _nothing, 0, 0, ()
        program = _program(kernel, stop - start, given, self.dtype, self.sharding)
        pre, post = program(key, np.uint32(start))
        return Edges(pre, post, self.sizes)


def refuse_many(number: int) -> None:
    """Refuse so many edges, if these are too many."""
    if number > 2**31 - 1:
        raise ValueError(
            f"{number} edges are more than int32 counts; draw them in parts by only=(start, stop)"
        )


def _nothing(key: Any, start: Any, rows: int) -> tuple[jax.Array, jax.Array]:
    return jnp.zeros(rows, jnp.uint32), jnp.zeros(rows, jnp.uint32)


def drawing(sizes: Any, only: Any, dtype: Any, out_sharding: Any) -> Drawing:
    """What a rule's function is asked for, checked."""
    both = (sizes, sizes) if np.ndim(sizes) == 0 else tuple(sizes)
    if len(both) != 2:
        raise ValueError(f"`sizes` must be (n_pre, n_post), got {units.brief(sizes)}")
    n_pre, n_post = (options.whole("sizes", n, 0) for n in both)
    kind = whole_dtype("dtype", dtype)
    if max(n_pre, n_post) > min(np.iinfo(kind).max, 2**31 - 1):
        raise ValueError(
            f"`sizes` = {(n_pre, n_post)} are more than {kind} counts, which also has to count "
            "their end; give another dtype"
        )
    if only is not None:
        if not is_sequence(only) or len(only) != 2:
            raise ValueError(f"`only` must be (start, stop), got {units.brief(only)}")
        only = tuple(options.whole("only", n, 0) for n in only)
    return Drawing((n_pre, n_post), only, kind, canonical(out_sharding))


def whole_dtype(name: str, dtype: Any) -> np.dtype:
    """A dtype of integers, as JAX has it; int32 for None."""
    try:
        kind = result_dtype(np.int32 if dtype is None else dtype, "whole")
    except TypeError:
        kind = None
    if kind is None or kind.kind not in "iu":
        raise TypeError(f"`{name}` must be one of integers, got {dtype!r}; write 'int32'")
    return kind


@functools.lru_cache(maxsize=256)
def _program(
    kernel: Kernel,
    rows: int,
    given: tuple[Any, ...],
    dtype: np.dtype,
    sharding: NamedSharding | None,
) -> Callable[..., Any]:
    """The compiled draw of some rows.

    On several devices each draws its own rows; where they can't be shared evenly, all of them.
    """
    kernel_name = kernel.__name__.strip("_")

    def sample(key: Any, start: Any, many: int = rows) -> Any:
        pre, post = kernel(key, start, many, *given)
        return pre.astype(dtype).reshape(-1), post.astype(dtype).reshape(-1)

    sample.__name__ = sample.__qualname__ = kernel_name
    if sharding is None:
        return jax.jit(sample)
    entry = (*sharding.spec, None)[0]
    names = entry if isinstance(entry, tuple) else () if entry is None else (entry,)
    devices = math.prod(sharding.mesh.shape[name] for name in names)

    def own(key: Any, start: Any) -> Any:
        if not names:
            return sample(key, start)
        mine = lax.axis_index(names).astype(jnp.uint32)
        if rows % devices == 0:
            return sample(key, start + mine * np.uint32(rows // devices), rows // devices)
        return tuple(_share(x, mine, devices) for x in sample(key, start))

    spec = PartitionSpec(entry)
    each = jax.shard_map(
        own, mesh=sharding.mesh, in_specs=PartitionSpec(), out_specs=(spec, spec), check_vma=False
    )
    return jax.jit(each)


def _share(x: jax.Array, mine: jax.Array, devices: int) -> jax.Array:
    if x.shape[0] % devices:
        raise ValueError(f"{x.shape[0]} edges can't be shared by {devices} devices evenly")
    size = x.shape[0] // devices
    return lax.dynamic_slice_in_dim(x, mine.astype(jnp.int32) * size, size)
