"""Several parameters of the same elements, correlated: a Gaussian copula."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from braininit._engine import keys
from braininit._engine.sampler import result_dtype
from braininit._engine.source import Source
from braininit._jax.dtypes import drawn_in, wide
from braininit._jax.settings import eager
from braininit._math.elementary import uncontracted
from braininit._math.truncated import standard, word_below
from braininit._params import roles, units
from braininit._params.roles import nan_like
from braininit._params.shapes import aligned
from braininit._params.types import DType, InitializerLike, Key, RealLike, Shape, Sharding, Values
from braininit._params.values import Named, Value, frozen, register
from braininit.composition.margins import monotone, placed_at, with_part
from braininit.initializer.calls import explain, explained
from braininit.initializer.children import as_child
from braininit.initializer.composite import Composite
from braininit.initializer.initialization import Initialization, compare, kept_where_it_holds
from braininit.initializer.recipe import Asked, Facts, Recipe, draw, replaced

__all__ = ["Joint", "joint"]


@explained
def joint(
    key: Key,
    shape: Shape,
    margins: Mapping[str, InitializerLike],
    correlation: RealLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> dict[str, Values]:
    r"""Draw several parameters of the same elements, each from its own distribution, correlated.

    .. math:: x_i = F_i^{-1}(\Phi(z_i)), \quad z \sim \mathcal N(0, R), \quad
        R_{ij} = 2 \sin\!\left(\tfrac{\pi}{6}\, correlation_{ij}\right)

    A Gaussian copula: each margin is distributed as by itself, whatever the correlation.

    Parameters
    ----------
    margins : mapping
        Distributions by name, two or more: all that can be truncated, also truncated; and such
        a one rounded to a grid, clipped, or with numbers added, subtracted, multiplied or divided
        by. Those of whole numbers take parameters that are known, one number each. A sum of two,
        a power, a mixture or a function of draws has no quantile to draw by.
    correlation : number or array
        Spearman's rank correlation, which is the same for a quantity and its logarithm. For two
        margins a number from -1 to 1; for more a matrix in their order, symmetric with ones on
        the diagonal, of which the matrix R above must have no negative eigenvalue. -1 and 1 are
        allowed: each margin is then a function of the other.

    Returns
    -------
    dict
        The draws by name, each in its own unit. JAX sorts a dict's names where a jitted function
        returns it.

    Notes
    -----
    Pearson's correlation depends on the margins, and is smaller for skewed ones. Ranks are those
    before a margin is rounded to a grid or clipped.

    Numerics: one random word for each number. A normal draw of it, joined with those of the margins
    before, is turned into a word again, by the nearer tail, and a margin is drawn by it as by
    `truncated` without bounds. Both tails keep their relative precision. The first margin's draws
    don't depend on the correlation. Derivatives in the margins' parameters are exact; those in the
    correlation come from differences of the quantile, right to about 1e-4 in float32. A traced
    correlation that is none gives NaN.

    Source: Nelsen, An Introduction to Copulas (2006), for R: Kruskal, Ordinal Measures of
    Association (1958).

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> synapses = init.joint(
    ...     jax.random.key(0),
    ...     10_000,
    ...     {"weight": init.LogNormal(0.5 * u.nS, 0.3 * u.nS), "delay": init.Gamma(2.0, 1 * u.ms)},
    ...     correlation=-0.5,
    ... )
    >>> synapses["weight"].unit, synapses["delay"].unit
    (Unit("nS"), Unit("ms"))
    """
    return draw(_joint(margins, correlation), key, shape, dtype, out_sharding)  # pyright: ignore


def _joint(margins: Any, correlation: Any) -> Recipe:
    named = _named(margins)
    made = [monotone(f"margins[{name!r}]", child) for name, child in named.items()]
    facts = Facts(
        _coupled, names=("factor", "margins", "signs"), roles=(None, None, None),
        static=(tuple(named),),
    )  # fmt: skip
    parts, signs = (tuple(each) for each in zip(*made, strict=True))
    return _Joint(facts, (_factor(correlation, len(made)), parts, signs))


class Joint(Value):
    """Several parameters of the same elements, correlated; the twin of `joint`.

    It is called as an initializer is, but returns a dict: it can't be a part of an initializer.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> pairs = init.Joint(
    ...     {"weight": init.LogNormal(0.5 * u.nS, 0.3 * u.nS), "delay": init.Gamma(2.0, 1 * u.ms)},
    ...     correlation=-0.5,
    ... )
    >>> print(f"{init.theory.mean(pairs.margins['delay']):.1f}")
    2.0 ms
    >>> {name: x.shape for name, x in pairs(1000, rng=0).items()}
    {'weight': (1000,), 'delay': (1000,)}
    """

    _function: ClassVar[Callable[..., Any]] = staticmethod(joint)
    _renamed: ClassVar[Mapping[str, str]] = MappingProxyType({})

    margins: Mapping[str, InitializerLike]
    correlation: RealLike

    def __post_init__(self) -> None:
        """Store the parameters in one form, and check them by building the recipe."""
        object.__setattr__(self, "margins", _named(self.margins))
        super().__post_init__()
        self.__dict__["_recipe"] = self._recipe

    @kept_where_it_holds
    def _recipe(self) -> Recipe:
        return _joint(self.margins, self.correlation)

    def _children(self) -> Iterator[Initialization]:
        yield from self.margins.values()  # pyright: ignore

    @overload
    def __call__(
        self, key: Key, shape: Shape, dtype: DType | None = None, out_sharding: Any = None
    ) -> dict[str, Values]: ...
    @overload
    def __call__(
        self,
        size: Shape,
        *,
        rng: Any = None,
        dtype: DType | None = None,
        out_sharding: Sharding | None = None,
    ) -> dict[str, Values]: ...
    def __call__(self, *args: Any, rng: Any = None, **how: Any) -> Any:  # pyright: ignore
        """Draw: ``(size, rng=...)`` or ``(key, shape, dtype)``, as an initializer."""
        keyed = "key" in how or (bool(args) and keys.is_key(args[0]))
        names = ("key", "shape", "dtype", "out_sharding") if keyed else ("size",)
        given = dict(zip(names, args, strict=False)) | how
        known = given.keys() <= {*names, "dtype", "out_sharding"} and len(args) <= len(names)
        if not known or names[keyed] not in given or (keyed and rng is not None):
            raise TypeError(
                "call with a key and a shape, as in pairs(key, 100), or with a size, as in "
                "pairs(100, rng=0), and with dtype= and out_sharding= where you need them"
            )
        key = given["key"] if keyed else keys.from_rng(rng)
        how = {name: given.get(name) for name in ("dtype", "out_sharding")}
        return draw(self._recipe, key, given[names[keyed]], **how)


frozen(Joint)
explain(Joint)
compare(Joint, joint)
register(Joint)
joint.twin = Joint  # pyright: ignore[reportFunctionMemberAccess] - for errors


def _named(margins: Any) -> Named:
    """The margins as they are kept."""
    if not isinstance(margins, Mapping) or not all(isinstance(name, str) for name in margins):
        raise TypeError(
            f"`margins` must be distributions by name, got {units.brief(margins)}; write "
            "{'weight': LogNormal(...), 'delay': Gamma(...)}"
        )
    if len(margins) < 2:
        raise ValueError(f"`margins` must be two or more, got {len(margins)}; draw one by itself")
    return Named(tuple((name, as_child(f"margins[{name!r}]", m)) for name, m in margins.items()))


# ---------------------------------------------------------------- correlations


def _factor(correlation: Any, n: int) -> Any:
    """The lower triangular factor of the normal correlations, all NaN for a traced one of none."""
    given = roles.number("correlation", roles.correlation(correlation)).value
    if np.shape(given) != (n, n) and (np.ndim(given) or n > 2):
        number = "one number or " if n == 2 else ""
        raise ValueError(
            f"`correlation` must be {number}a matrix of the shape {(n, n)} for {n} margins, "
            f"got the shape {np.shape(given)}"
        )
    traced = isinstance(given, Tracer)
    xp: Any = jnp if traced else np
    matrix: Any = given if traced else np.asarray(given, float)
    if not matrix.ndim:
        matrix = xp.stack([xp.stack([matrix**0, matrix]), xp.stack([matrix, matrix**0])])
    elif traced:
        matrix = roles.traced(_is_correlation, _RULE, matrix)
    else:
        _check(matrix)
    return _lower(xp, _normal(xp, matrix))


def _normal(xp: Any, ranks: Any) -> Any:
    """The correlations of normals that have these rank correlations."""
    return 2.0 * xp.sin(ranks * (math.pi / 6))


_ROUNDING = 1e-6
_RULE = "`correlation` must be symmetric, 1 on its diagonal and positive semi-definite, got {}"


def _is_correlation(ranks: jax.Array) -> jax.Array:
    """Whether a matrix is one of a Gaussian copula, to rounding."""
    even = jnp.max(abs(ranks - ranks.T)) <= _ROUNDING
    ones = jnp.max(abs(jnp.diagonal(ranks) - 1)) <= _ROUNDING
    known = jnp.where(jnp.isfinite(ranks), ranks, 0)  # for the solver
    least = jnp.linalg.eigvalsh(_normal(jnp, known))[0]
    return even & ones & (least >= -_ROUNDING) & jnp.all(jnp.isfinite(ranks))


def _check(ranks: np.ndarray) -> None:
    """Refuse a matrix that is no correlation of a Gaussian copula."""
    uneven = abs(ranks - ranks.T)
    if uneven.max() > _ROUNDING:
        i, j = np.unravel_index(uneven.argmax(), uneven.shape)
        raise ValueError(
            f"`correlation` must be symmetric, got {ranks[i, j]:g} at {int(i), int(j)} and "
            f"{ranks[j, i]:g} at {int(j), int(i)}; give (matrix + matrix.T) / 2, for example"
        )
    off = abs(ranks.diagonal() - 1)
    if off.max() > _ROUNDING:
        i = int(off.argmax())
        raise ValueError(
            f"`correlation` must be 1 on its diagonal, got {ranks[i, i]:g} at {i, i}; each margin "
            "agrees with itself"
        )
    least = _least(ranks)
    if least < -_ROUNDING:
        low, high = 0.0, 1.0
        for _ in range(20):
            middle = (low + high) / 2
            fits = _least(np.where(np.eye(len(ranks), dtype=bool), 1, ranks * middle)) >= 0
            low, high = (middle, high) if fits else (low, middle)
        raise ValueError(
            "`correlation` is no rank correlation of a Gaussian copula: of the normal ones, "
            f"2 sin(pi * correlation / 6), the least eigenvalue is {least:.3g}, and none may be "
            f"negative; multiply all off the diagonal by {math.floor(1e3 * low) / 1e3} or less"
        )


def _least(ranks: np.ndarray) -> float:
    return float(np.linalg.eigvalsh(_normal(np, ranks))[0])


def _lower(xp: Any, normal: Any) -> Any:
    """The factor by Cholesky and Banachiewicz, with a column of 0 where nothing is left."""
    n, nothing = len(normal), 8 * len(normal) * float(jnp.finfo(normal.dtype).eps)
    rows: list[list[Any]] = [[normal[0, 0] * 0] * n for _ in range(n)]
    for j in range(n):
        # Without cancellation where two margins are nearly one.
        left = normal[j, j] - sum(x * x for x in rows[j][1:j])
        left = (1 - rows[j][0]) * (1 + rows[j][0]) + (left - 1) if j else left
        some = left > nothing
        rows[j][j] = xp.where(some, xp.sqrt(xp.where(some, left, 1)), 0)  # with a derivative of 0
        for i in range(j + 1, n):
            rest = normal[i, j] - sum(x * y for x, y in zip(rows[i][:j], rows[j][:j], strict=True))
            rows[i][j] = xp.where(some, rest / xp.where(some, rows[j][j], 1), 0)
    return xp.stack([xp.stack(row) for row in rows]) + 0 * normal  # NaN where that is


# ---------------------------------------------------------------- the draw


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
class _Joint(Composite):
    """What draws several parameters at once."""

    def drawn(self, asked: Asked) -> dict[str, Any]:
        kind, (names,) = result_dtype(asked.dtype, "real"), self.facts.static
        # Once for all eager draws alike: programs are found by the facts of the parts.
        known = self.__dict__.setdefault("_known", {}) if eager() else {}
        if (wanted := (asked.whole, kind)) not in known:
            factor, margins, signs = self.values
            ready = tuple(_ready(part, *wanted) for part in margins)
            known[wanted] = _Joint(self.facts, (factor, ready, signs))
        return dict(zip(names, Composite.drawn(known[wanted], asked), strict=True))


def _ready(recipe: Recipe, shape: tuple[int, ...], dtype: np.dtype) -> Recipe:
    """With what is worked out of plain numbers before the draw, as a table of quantiles."""
    if isinstance(recipe, Composite):
        inner = wide(dtype)
        return replaced(recipe, with_part(recipe, lambda part: _ready(part, shape, inner)))
    recipe.fit(dtype)
    return recipe.for_draw(shape, dtype, {})


def _coupled(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    names: tuple[str, ...],
    factor: Any,
    margins: tuple[Recipe, ...],
    signs: tuple[tuple[Any, ...], ...],
) -> tuple[Any, ...]:
    kind, n = drawn_in(dtype), len(margins)
    sources = source.split(2 * n)
    words = [each.words(kind) for each in sources[:n]]
    normals, factor = [standard(word) for word in words], jnp.asarray(factor, kind)
    made = []
    for i, (part, falling) in enumerate(zip(margins, signs, strict=True)):
        word, z = words[0], normals[0]
        if i:
            terms = [uncontracted(factor[i, j] * normals[j]) for j in range(i + 1)]
            z = functools.reduce(jnp.add, terms)
            word = word_below(z)
        for number in falling:
            falls = aligned(names[i], number, source.shape, kind) < 0
            word, z = jnp.where(falls, ~word, word), jnp.where(falls, -z, z)
        own = sources[n + i]  # where a margin is rounded at random
        asked = Asked(own.key, source.shape, dtype, None, context, source.rows, alone=False)
        x, unit = units.parts(placed_at(part, word, z).drawn(asked))
        made.append(units.on(nan_like(x, [factor]), unit))
    return tuple(made)
