"""Several kernels side by side in one leaf, each drawn as if it were separate."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from braininit._engine.sampler import compiled, result_dtype
from braininit._engine.source import SideBySide, Source
from braininit._jax.dtypes import is_symbolic, wide
from braininit._params import options, units
from braininit._params.types import DType, InitializerLike, Key, Shape, Sharding, Values
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import as_result, composite
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Facts, Recipe, Request, are_same, draw
from braininit.models.paths import path_key

__all__ = ["Parts", "parts"]


@explain_call_errors
def parts(
    key: Key,
    shape: Shape,
    base: InitializerLike,
    axis: int,
    sizes: Sequence[int] | Mapping[str, int],
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    """Draw a fused kernel (queries, keys and values; gates) as its separate parts would be drawn.

    Each part has its own fans, its own orthogonal columns, and its own key.

    Parameters
    ----------
    base : initializer
        Draws each part, in the shape of the part.
    axis : int
        The axis along which the parts stand side by side.
    sizes : sequence of int, or mapping
        The number of entries of each part; together, as many as the axis has. A mapping, or a
        sequence of pairs, names the parts.

    Notes
    -----
    Numerics: part i is drawn with ``path_key(key, (i,))``, or ``path_key(key, (name,))`` if it has
    a name. Parts of one distribution, as when their fans are equal, are drawn in one loop, which
    devices share along any axis.

    Examples
    --------
    >>> import jax, braininit as init
    >>> key, base = jax.random.key(0), init.Orthogonal()
    >>> qkv = init.parts(key, (64, 192), base, axis=1, sizes={"q": 64, "k": 64, "v": 64})
    >>> bool((qkv[:, 64:128] == base(init.path_key(key, "k"), (64, 64))).all())
    True
    """
    return draw(_parts(base, axis, sizes), key, shape, dtype, out_sharding, context)


def _parts(base: Any, axis: Any, sizes: Any) -> Recipe:
    child = as_child("base", base)._recipe
    axis, named = options.whole("axis", axis), _named(sizes)
    facts = {"static": (axis, named), "elementwise": False, "resizes": True}
    return composite(side_by_side, child.unit, {"base": child}, **facts)


class Parts(Initialization, function=parts, recipe=_parts):
    """Several kernels side by side; the twin of `parts`."""

    base: InitializerLike
    axis: int = static()
    sizes: Sequence[int] | Mapping[str, int] = static()

    def __post_init__(self) -> None:
        """Store a mapping as pairs, which are hashable."""
        if isinstance(self.sizes, Mapping):
            object.__setattr__(self, "sizes", tuple(self.sizes.items()))
        super().__post_init__()

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of entries of each part along the axis."""
        return tuple(n for _, n in _named(self.sizes))

    def part(self, shape: tuple[int, ...], length: int) -> tuple[int, ...]:
        """The shape of a part with `length` entries along the axis."""
        return _shapes(shape, self.axis % len(shape), [("", length)])[0]


def _named(sizes: Any) -> tuple[tuple[str, int], ...]:
    """The name of each part, and its number of entries."""
    try:
        pairs = sizes.items() if isinstance(sizes, Mapping) else list(sizes)
        pairs = [(f"{i}", p) if np.ndim(p) == 0 else tuple(p) for i, p in enumerate(pairs)]
        named = tuple((str(name), options.whole("sizes", n, 0)) for name, n in pairs)
    except TypeError as error:
        raise TypeError(
            f"`sizes` must be a sequence of ints or a mapping to ints, got {units.brief(sizes)}; "
            "write (64, 64), for example"
        ) from error
    if len({name for name, _ in named}) < max(len(named), 1):
        raise ValueError(f"`sizes` = {units.brief(sizes)} must name parts, each one once")
    return named


def side_by_side(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    axis: int,
    named: tuple[tuple[str, int], ...],
    base: Recipe,
) -> Any:
    shape = source.shape
    (at,) = options.axes_of("axis", (axis,), shape)
    if sum(n for _, n in named) != shape[at]:
        listed = " + ".join(str(n) for _, n in named)
        raise ValueError(
            f"`sizes` {listed} must be {shape[at]} together, as axis {axis} of the size {shape} is"
        )
    keys = tuple(None if source.key is None else path_key(source.key, (name,)) for name, _ in named)
    if source.key is not None and not context and are_alike(base, shape, at, named):
        return units.on(_at_once(base, keys, shape, dtype, at, named), base.unit)
    draws = [
        base.drawn(Request(key, part_shape, wide(dtype), context=context, alone=False))
        for key, part_shape in zip(keys, _shapes(shape, at, named), strict=True)
    ]
    unit, bares = units.off_draws(**{f"sizes[{i}]": x for i, x in enumerate(draws)})
    return as_result(jnp.concatenate([jnp.asarray(x) for x in bares], at), unit, dtype)


# ---------------------------------------------------------------- in one loop


def are_alike(base: Recipe, shape: tuple[int, ...], axis: int, named: Any) -> bool:
    """Whether one loop can draw all parts: elementwise, from one distribution."""
    if type(base) is not Recipe or not (base.facts.elementwise and base.facts.random):
        return False
    if any(np.ndim(value) for value in base.values):
        return False
    parts = _shapes(shape, axis, named)
    return are_same([base.for_draw(part, np.dtype(float), {}) for part in parts])


def _at_once(
    base: Recipe, keys: tuple[Any, ...], shape: Any, dtype: Any, axis: int, named: Any
) -> Any:
    dtype = result_dtype(dtype, base.facts.dtypes)
    recipe = base.for_draw(_shapes(shape, axis, named)[0], dtype, {})
    recipe.check_dtype(dtype)
    build = _program.__wrapped__ if is_symbolic(shape) else _program
    program = build(recipe.facts.bare, shape, dtype, axis, tuple(n for _, n in named))
    return program(keys, *recipe.values)


@functools.lru_cache(maxsize=256)
def _program(
    facts: Facts, shape: tuple[int, ...], dtype: np.dtype, axis: int, sizes: tuple[int, ...]
) -> Callable[..., Any]:
    """The loop, compiled also inside a trace: op by op it would differ in the last bit."""

    def sample(keys: tuple[Any, ...], *values: Any) -> Any:
        source = SideBySide(keys, shape, axis=axis, sizes=sizes)
        return facts.kernel(source, dtype, *facts.static, *facts.ready(shape, dtype, values))

    return compiled(sample, None, None)


def _shapes(shape: tuple[int, ...], axis: int, named: Any) -> list[tuple[int, ...]]:
    """The shapes of the parts."""
    return [(*shape[:axis], n, *shape[axis + 1 :]) for _, n in named]
