"""The base class of connection rules, and the programs that draw their edges."""

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

__all__ = ["ConnectionRule", "Drawing", "Kernel", "Sizes", "prepare", "refuse_many", "whole_dtype"]

Sizes: TypeAlias = tuple[int, int] | int
Kernel: TypeAlias = Callable[..., tuple[jax.Array, jax.Array]]
"""``(key, start, rows, *options) -> (pre, post)`` in uint32, for `rows` rows from `start` on."""


_OF_A_DRAW = (
    *("only", "max_edges", "dtype", "out_sharding"),
    *("distances", "pre_positions", "post_positions"),
)


class ConnectionRule(Value):
    """Base class of connection rules: which neurons connect to which.

    Like a distribution, a rule is a function and a twin, a class with the same parameters::

        fixed_in_degree(key, sizes, degree)     # the function
        FixedInDegree(degree)(key, sizes)       # the class
        FixedInDegree(degree)(sizes, rng=rng)   # as in the tutorials

    Parameters
    ----------
    key : key
        A JAX key, typed or legacy.
    sizes : tuple of int
        The numbers of presynaptic and postsynaptic neurons, ``(n_pre, n_post)``; one number
        stands for both.
    rng : key, int, generator, callable or None
        As in a call of an initializer.
    only : tuple of int, optional
        ``(start, stop)``: draw only the edges of these targets, the same as among all edges. Some
        rules take a range of sources, or of edges by number, instead.
    dtype : dtype, optional
        The dtype of the indices: an integer dtype that holds the sizes, int32 if None.
    out_sharding : NamedSharding or PartitionSpec, optional
        The sharding of the edges on a mesh. Drawing them needs no communication.

    Returns
    -------
    Edges
        The edges in the order of their targets, sources or numbers; the same on every platform
        and on any number of devices.

    Notes
    -----
    A self-connection goes from a neuron to the neuron with the same index, also between two
    populations. Multiple connections are several edges between one pair. Without them, all sets of
    equally many pairs are equally likely, except in `small_world`, which prefers neighbours.

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
            Whether the function uses its key.
        checks : mapping
            For each parameter, a function ``(name, value)`` that raises if the value is wrong.
        **rest
            Passed on to the next class.
        """
        super().__init_subclass__(**rest)
        cls._function, cls._random, cls._checks = staticmethod(function), random, checks
        frozen(cls)
        compare(cls, function, ("key", "sizes"), _OF_A_DRAW)
        explain(cls)
        register(cls)

    def __post_init__(self) -> None:
        """Normalize the parameters, and check them."""
        super().__post_init__()
        for name, check in self._checks.items():
            check(name, getattr(self, name))

    @overload
    def __call__(self, key: Key, sizes: Sizes, **kwargs: Any) -> Edges: ...
    @overload
    def __call__(self, sizes: Sizes, *, rng: Any = None, **kwargs: Any) -> Edges: ...
    def __call__(self, *args: Any, rng: Any = None, **kwargs: Any) -> Edges:  # pyright: ignore
        """Draw the edges between two populations."""
        rest = list(args)
        key, sizes = kwargs.pop("key", None), kwargs.pop("sizes", None)
        if rest and (rest[0] is None or keys.is_key(rest[0])):
            key, *rest = rest
        if rest and sizes is None:
            sizes, *rest = rest
        if rest or sizes is None:
            raise TypeError(
                "call a rule with a key and sizes, as in rule(key, (8000, 2000)), or with sizes, "
                "as in rule((8000, 2000), rng=0)"
            )
        key = keys.from_rng(rng) if key is None and self._random else key
        parameters = {f.name: getattr(self, f.name) for f in fields(self)}
        return self._function(key, sizes, **parameters, **kwargs)


# ---------------------------------------------------------------- in a rule's function


class Drawing(NamedTuple):
    """The checked arguments of a draw."""

    sizes: tuple[int, int]
    only: tuple[int, int] | None
    dtype: np.dtype
    sharding: NamedSharding | None

    def part(self, rows: int) -> tuple[int, int]:
        """The range to draw of `rows` targets, sources or edges."""
        start, stop = (0, rows) if self.only is None else self.only
        if not 0 <= start <= stop <= rows:
            raise ValueError(f"`only` = {self.only} must be from 0 to {rows}, in that order")
        return start, stop

    def edges(self, kernel: Kernel, key: Any, rows: int, width: int, *args: Any) -> Edges:
        """Draw the edges of a rule with `rows` rows of `width` edges."""
        start, stop = self.part(rows)
        refuse_many((stop - start) * width)
        if (stop - start) * width <= 0:  # a kernel may need at least one neuron
            kernel, start, stop, args = _nothing, 0, 0, ()
        program = _program(kernel, stop - start, args, self.dtype, self.sharding)
        pre, post = program(key, np.uint32(start))
        return Edges(pre, post, self.sizes)


def refuse_many(number: int) -> None:
    """Raise a ValueError if there are too many edges for int32."""
    if number > 2**31 - 1:
        raise ValueError(
            f"{number} edges are more than int32 counts; draw them in parts by only=(start, stop)"
        )


def _nothing(key: Any, start: Any, rows: int) -> tuple[jax.Array, jax.Array]:
    return jnp.zeros(rows, jnp.uint32), jnp.zeros(rows, jnp.uint32)


def prepare(sizes: Any, only: Any, dtype: Any, out_sharding: Any) -> Drawing:
    """Check the arguments of a rule's function."""
    both = (sizes, sizes) if np.ndim(sizes) == 0 else tuple(sizes)
    if len(both) != 2:
        raise ValueError(f"`sizes` must be (n_pre, n_post), got {units.brief(sizes)}")
    n_pre, n_post = (options.whole("sizes", n, 0) for n in both)
    dtype = whole_dtype("dtype", dtype)
    if max(n_pre, n_post) > min(np.iinfo(dtype).max, 2**31 - 1):
        raise ValueError(
            f"`sizes` = {(n_pre, n_post)} don't fit {dtype}, whose indices go up to the sizes, as "
            "padding; give another dtype"
        )
    if only is not None:
        if not is_sequence(only) or len(only) != 2:
            raise ValueError(f"`only` must be (start, stop), got {units.brief(only)}")
        only = tuple(options.whole("only", n, 0) for n in only)
    return Drawing((n_pre, n_post), only, dtype, canonical(out_sharding))


def whole_dtype(name: str, dtype: Any) -> np.dtype:
    """Check an integer dtype, and return JAX's form of it; int32 for None."""
    try:
        checked = result_dtype(np.int32 if dtype is None else dtype, "whole")
    except TypeError:
        checked = None
    if checked is None or checked.kind not in "iu":
        raise TypeError(f"`{name}` must be an integer dtype, got {dtype!r}; write 'int32'")
    return checked


@functools.lru_cache(maxsize=256)
def _program(
    kernel: Kernel,
    rows: int,
    args: tuple[Any, ...],
    dtype: np.dtype,
    sharding: NamedSharding | None,
) -> Callable[..., Any]:
    """The compiled draw of some rows.

    Each device draws its own rows; if the devices don't divide the rows, it draws all of them.
    """

    def sample(key: Any, start: Any, many: int = rows) -> Any:
        pre, post = kernel(key, start, many, *args)
        return pre.astype(dtype).reshape(-1), post.astype(dtype).reshape(-1)

    sample.__name__ = sample.__qualname__ = kernel.__name__.strip("_")
    if sharding is None:
        return jax.jit(sample)
    entry = (*sharding.spec, None)[0]
    names = entry if isinstance(entry, tuple) else () if entry is None else (entry,)
    devices = math.prod(sharding.mesh.shape[name] for name in names)

    def own(key: Any, start: Any) -> Any:
        if not names:
            return sample(key, start)
        device = lax.axis_index(names).astype(jnp.uint32)
        if rows % devices == 0:
            return sample(key, start + device * np.uint32(rows // devices), rows // devices)
        return tuple(_share(x, device, devices) for x in sample(key, start))

    spec = PartitionSpec(entry)
    sharded = jax.shard_map(
        own, mesh=sharding.mesh, in_specs=PartitionSpec(), out_specs=(spec, spec), check_vma=False
    )
    return jax.jit(sharded)


def _share(x: jax.Array, device: jax.Array, devices: int) -> jax.Array:
    if x.shape[0] % devices:
        raise ValueError(f"{x.shape[0]} edges can't be shared by {devices} devices evenly")
    size = x.shape[0] // devices
    return lax.dynamic_slice_in_dim(x, device.astype(jnp.int32) * size, size)
