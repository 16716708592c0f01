"""Correlated parameters of the same elements: a Gaussian copula."""

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
from braininit._jax.dtypes import compute_dtype, wide
from braininit._jax.settings import eager
from braininit._math.elementary import uncontracted
from braininit._math.truncated import standard, word_below
from braininit._params import roles, units
from braininit._params.roles import nan_like
from braininit._params.shapes import aligned
from braininit._params.types import DType, InitializerLike, Key, RealLike, Shape, Sharding, Values
from braininit._params.values import Named, Value, frozen, register
from braininit.composition.margins import monotone, placed_at, with_part
from braininit.initializer.calls import explain, explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import Composite
from braininit.initializer.initialization import Initialization, cached_unless_traced, compare
from braininit.initializer.recipe import Facts, Recipe, Request, draw, replaced

__all__ = ["Joint", "joint"]


@explain_call_errors
def joint(
    key: Key,
    shape: Shape,
    margins: Mapping[str, InitializerLike],
    correlation: RealLike,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
) -> dict[str, Values]:
    r"""Draw several correlated parameters of the same elements, each from its own distribution.

    .. math:: x_i = F_i^{-1}(\Phi(z_i)), \quad z \sim \mathcal N(0, R), \quad
        R_{ij} = 2 \sin\!\left(\tfrac{\pi}{6}\, correlation_{ij}\right)

    A Gaussian copula: each margin keeps its own distribution, whatever the correlation.

    Parameters
    ----------
    margins : mapping
        Two or more distributions by name. Each must be one that can be truncated, possibly
        truncated, clipped, rounded to a grid, or combined with numbers by ``+ - * /``. The
        parameters of distributions of whole numbers must be concrete, one number each. Sums of
        two distributions, powers, mixtures and functions of draws have no quantile function.
    correlation : number or array
        Spearman's rank correlation, which is the same for a quantity and its logarithm. For two
        margins a number from -1 to 1; for more a matrix in their order, symmetric with ones on
        the diagonal, for which the matrix R above has no negative eigenvalue. -1 and 1 are
        allowed: each margin is then a function of the other.

    Returns
    -------
    dict
        The draws by name, each in its own unit. JAX sorts the names of a dict that a jitted
        function returns.

    Notes
    -----
    Pearson's correlation depends on the margins, and is smaller for skewed ones. The correlation
    holds for ranks before a margin is rounded to a grid or clipped.

    Numerics: one random word for each number. It becomes a standard normal, which is combined with
    the normals of the margins before it; the result is turned back into a word, from the nearer
    tail, and the margin is drawn by that word as `truncated` without bounds draws. Both tails keep
    their relative precision. The draws of the first margin don't depend on the correlation.
    Derivatives in parameters of the margins are exact; derivatives in the correlation come from
    differences of the quantile, accurate to about 1e-4 in float32. A traced correlation that is
    invalid gives NaN.

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
    pairs = [monotone(f"margins[{name!r}]", child) for name, child in named.items()]
    facts = Facts(
        _coupled, names=("factor", "margins", "signs"), roles=(None, None, None),
        static=(tuple(named),),
    )  # fmt: skip
    parts, signs = map(tuple, zip(*pairs, strict=True))
    return _Joint(facts, (_factor(correlation, len(parts)), parts, signs))


class Joint(Value):
    """Several correlated parameters of the same elements; the twin of `joint`.

    Called like an initializer, but returns a dict, so it can't be part of an initializer.

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

    @cached_unless_traced
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
    def __call__(self, *args: Any, rng: Any = None, **kwargs: Any) -> Any:  # pyright: ignore
        """Draw: ``(size, rng=...)`` or ``(key, shape, dtype)``, as an initializer."""
        keyed = "key" in kwargs or (bool(args) and keys.is_key(args[0]))
        names = ("key", "shape", "dtype", "out_sharding") if keyed else ("size",)
        given = dict(zip(names, args, strict=False)) | kwargs
        known = given.keys() <= {*names, "dtype", "out_sharding"} and len(args) <= len(names)
        if not known or names[keyed] not in given or (keyed and rng is not None):
            raise TypeError(
                "call with a key and a shape, as in pairs(key, 100), or with a size, as in "
                "pairs(100, rng=0), and with dtype= and out_sharding= where you need them"
            )
        key = given["key"] if keyed else keys.from_rng(rng)
        size, dtype, out_sharding = map(given.get, (names[keyed], "dtype", "out_sharding"))
        return draw(self._recipe, key, size, dtype, out_sharding)


frozen(Joint)
explain(Joint)
compare(Joint, joint)
register(Joint)
joint.twin = Joint  # pyright: ignore[reportFunctionMemberAccess] - error messages name it


def _named(margins: Any) -> Named:
    """The margins as named initializers."""
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
    """The lower triangular factor of the normal correlations; NaN for an invalid traced matrix."""
    ranks = roles.number("correlation", roles.correlation(correlation)).value
    if np.shape(ranks) != (n, n) and (np.ndim(ranks) or n > 2):
        number = "one number or " if n == 2 else ""
        raise ValueError(
            f"`correlation` must be {number}a matrix of the shape {(n, n)} for {n} margins, "
            f"got the shape {np.shape(ranks)}"
        )
    traced = isinstance(ranks, Tracer)
    xp: Any = jnp if traced else np
    matrix: Any = ranks if traced else np.asarray(ranks, float)
    if not matrix.ndim:
        matrix = xp.stack([xp.stack([matrix**0, matrix]), xp.stack([matrix, matrix**0])])
    elif traced:
        matrix = roles.traced(_is_correlation, _RULE, matrix)
    else:
        _check(matrix)
    return _cholesky(xp, _pearson(xp, matrix))


def _pearson(xp: Any, ranks: Any) -> Any:
    """Pearson correlations of normals that have these rank correlations."""
    return 2.0 * xp.sin(ranks * (math.pi / 6))


_ROUNDING = 1e-6
_RULE = "`correlation` must be symmetric, 1 on its diagonal and positive semi-definite, got {}"


def _is_correlation(ranks: jax.Array) -> jax.Array:
    """Whether a Gaussian copula has these rank correlations, up to rounding."""
    symmetric = jnp.max(abs(ranks - ranks.T)) <= _ROUNDING
    ones = jnp.max(abs(jnp.diagonal(ranks) - 1)) <= _ROUNDING
    finite = jnp.where(jnp.isfinite(ranks), ranks, 0)  # for the solver
    least = jnp.linalg.eigvalsh(_pearson(jnp, finite))[0]
    return symmetric & ones & (least >= -_ROUNDING) & jnp.all(jnp.isfinite(ranks))


def _check(ranks: np.ndarray) -> None:
    """Refuse rank correlations that no Gaussian copula has."""
    asymmetry = abs(ranks - ranks.T)
    if asymmetry.max() > _ROUNDING:
        i, j = np.unravel_index(asymmetry.argmax(), asymmetry.shape)
        raise ValueError(
            f"`correlation` must be symmetric, got {ranks[i, j]:g} at {int(i), int(j)} and "
            f"{ranks[j, i]:g} at {int(j), int(i)}; give (matrix + matrix.T) / 2, for example"
        )
    deviation = abs(ranks.diagonal() - 1)
    if deviation.max() > _ROUNDING:
        i = int(deviation.argmax())
        raise ValueError(
            f"`correlation` must be 1 on its diagonal, got {ranks[i, i]:g} at {i, i}; each margin "
            "agrees with itself"
        )
    least = _least_eigenvalue(ranks)
    if least < -_ROUNDING:
        low, high = 0.0, 1.0
        for _ in range(20):
            middle = (low + high) / 2
            shrunk = np.where(np.eye(len(ranks), dtype=bool), 1, ranks * middle)
            low, high = (middle, high) if _least_eigenvalue(shrunk) >= 0 else (low, middle)
        raise ValueError(
            "`correlation` is not a rank correlation of a Gaussian copula: for the normal "
            f"correlations, 2 sin(pi * correlation / 6), the least eigenvalue is {least:.3g}, and "
            "none may be negative; multiply all off the diagonal by "
            f"{math.floor(1e3 * low) / 1e3} or less"
        )


def _least_eigenvalue(ranks: np.ndarray) -> float:
    return float(np.linalg.eigvalsh(_pearson(np, ranks))[0])


def _cholesky(xp: Any, matrix: Any) -> Any:
    """The Cholesky factor; a column is 0 where a margin follows from the margins before it."""
    n, negligible = len(matrix), 8 * len(matrix) * float(jnp.finfo(matrix.dtype).eps)
    rows: list[list[Any]] = [[matrix[0, 0] * 0] * n for _ in range(n)]
    for j in range(n):
        # Without cancellation where two margins are nearly one.
        left = matrix[j, j] - sum(x * x for x in rows[j][1:j])
        left = (1 - rows[j][0]) * (1 + rows[j][0]) + (left - 1) if j else left
        some = left > negligible
        rows[j][j] = xp.where(some, xp.sqrt(xp.where(some, left, 1)), 0)  # with a derivative of 0
        for i in range(j + 1, n):
            rest = matrix[i, j] - sum(x * y for x, y in zip(rows[i][:j], rows[j][:j], strict=True))
            rows[i][j] = xp.where(some, rest / xp.where(some, rows[j][j], 1), 0)
    return xp.stack([xp.stack(row) for row in rows]) + 0 * matrix  # NaN where `matrix` is


# ---------------------------------------------------------------- the draw


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["facts"])
class _Joint(Composite):
    """A recipe that draws several parameters at once."""

    def drawn(self, request: Request) -> dict[str, Any]:
        dtype, (names,) = result_dtype(request.dtype, "real"), self.facts.static
        # Keep the prepared recipe for equal eager draws: programs are found by its parts' facts.
        prepared = self.__dict__.setdefault("_by_shape_and_dtype", {}) if eager() else {}
        if (wanted := (request.whole, dtype)) not in prepared:
            factor, margins, signs = self.values
            margins = tuple(_prepared(part, *wanted) for part in margins)
            prepared[wanted] = _Joint(self.facts, (factor, margins, signs))
        return dict(zip(names, Composite.drawn(prepared[wanted], request), strict=True))


def _prepared(recipe: Recipe, shape: tuple[int, ...], dtype: np.dtype) -> Recipe:
    """The recipe after computations that need no word, such as a table of quantiles."""
    if isinstance(recipe, Composite):
        inner = wide(dtype)
        return replaced(recipe, with_part(recipe, lambda part: _prepared(part, shape, inner)))
    recipe.check_dtype(dtype)
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
    drawing_dtype, n = compute_dtype(dtype), len(margins)
    sources = source.split(2 * n)
    words = [part.words(drawing_dtype) for part in sources[:n]]
    normals, factor = [standard(word) for word in words], jnp.asarray(factor, drawing_dtype)
    draws = []
    for i, (part, falling) in enumerate(zip(margins, signs, strict=True)):
        word, z = words[0], normals[0]
        if i:
            terms = [uncontracted(factor[i, j] * normals[j]) for j in range(i + 1)]
            z = functools.reduce(jnp.add, terms)
            word = word_below(z)
        for number in falling:
            falls = aligned(names[i], number, source.shape, drawing_dtype) < 0
            word, z = jnp.where(falls, ~word, word), jnp.where(falls, -z, z)
        key = sources[n + i].key  # for margins that are rounded at random
        request = Request(key, source.shape, dtype, None, context, source.rows, alone=False)
        x, unit = units.parts(placed_at(part, word, z).drawn(request))
        draws.append(units.on(nan_like(x, [factor]), unit))
    return tuple(draws)
