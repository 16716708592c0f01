"""Structure imposed on another initializer's draws: sparse, spectral, Dale's law."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.rounding import rounded
from braininit._engine.source import Source
from braininit._jax.dtypes import default_float, drawn_in, is_symbolic, wide
from braininit._jax.rounding import power_of_two
from braininit._math.radius import spectral_radius
from braininit._params import options, roles, units
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    QuantityLike,
    RealLike,
    Shape,
    Sharding,
    Values,
)
from braininit._params.values import static
from braininit.distributions.continuous import Normal
from braininit.initializer.calls import explained
from braininit.initializer.children import as_child
from braininit.initializer.composite import composite, draws
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import UNKNOWN, Recipe, draw, replaced
from braininit.layers.matrices import index_along


def _single(name: str, value: Any) -> Any:
    """Refuse an array where the whole result has one value."""
    if np.ndim(value):
        raise ValueError(
            f"`{name}` must be one number, got shape {np.shape(value)}; map over it by jax.vmap"
        )
    return value


def _length(axes: tuple[int, ...], size: tuple[int, ...]) -> int:
    """How many elements lie along the axes together."""
    return math.prod(size[a] for a in axes)


def _nan_unless(good: Any, x: jax.Array) -> jax.Array:
    """Keep x where it is good. The NaN is computed: jax_debug_nans takes a constant for a fault."""
    return jnp.where(good, x, jnp.sqrt(jnp.where(good, 0.0, -1.0)))


def _count(share: Any, n: int, *, up: bool) -> tuple[Any, Any]:
    """The number of elements in a share of n, rounded up or to the nearest; False if it is NaN.

    Exact for every n. A product that only the rounding of the share keeps from an integer, or a
    half, counts as it: 0.55 of 100 is 55.
    """
    if is_symbolic((n,)):  # in an export: in floating point
        exact = jnp.asarray(share, default_float()) * jnp.asarray(n).astype(default_float())
        slack = 2 * float(jnp.finfo(exact.dtype).eps) * exact
        whole = jnp.ceil(exact - slack) if up else jnp.floor(exact + slack + 0.5)
        return jnp.where(whole == whole, whole, 0).astype(np.uint32), share == share
    if n >= 2**32:
        raise ValueError(f"`axis` has {n} elements, more than can be counted here")
    whole, rest, step = (_known_product if type(share) is float else _traced_product)(share, n)
    xp = np if type(share) is float else jnp
    slack = xp.maximum(xp.minimum(2 * step, 1 / 64), xp.minimum(step / 2, 1 / 8))
    more = rest > slack if up else rest + slack >= 1 / 2
    return np.uint32(whole) + more if xp is np else whole + more.astype(np.uint32), share == share


def _known_product(share: float, n: int) -> tuple[int, float, float]:
    """The integer part of share * n, the rest, and n times the last digit of the share."""
    exact = Fraction(share) * n
    kind = np.float32 if float(np.float32(share)) == share else np.float64
    return math.floor(exact), float(exact % 1), float(np.spacing(kind(share))) * n


def _traced_product(share: Any, n: int) -> tuple[Any, Any, Any]:
    """The same of a traced share, in integers: a product of halves of the digits is exact."""
    share = lax.stop_gradient(jnp.where(share == share, share, 0))
    info, word = jnp.finfo(share.dtype), np.dtype(f"uint{8 * share.dtype.itemsize}")
    half = (info.nmant + 1) // 2
    upper = np.asarray(-(1 << (info.nmant + 1 - half)) % (1 << info.bits), word)
    high = lax.bitcast_convert_type(lax.bitcast_convert_type(share, word) & upper, share.dtype)
    digits = [(n >> k) % (1 << half) * 2**k for k in range(0, n.bit_length(), half)]
    terms = [part * np.asarray(d, info.dtype) for part in (high, share - high) for d in digits]
    floors = [jnp.floor(term) for term in terms]
    rest = sum(term - floor for term, floor in zip(terms, floors, strict=True))
    floors.append(jnp.floor(rest))
    whole = sum(floor.astype(np.uint32) for floor in floors)
    step = (jnp.nextafter(share, np.asarray(2, info.dtype)) - share) * float(n)
    return whole, rest - floors[-1], step


def _drawn(
    source: Source, dtype: np.dtype, context: Mapping[str, Any], base: Recipe
) -> tuple[jax.Array, Any]:
    """The part's draw in the dtype used for computing, and its unit."""
    (x,) = draws(source, wide(dtype), context, (base,))
    bare, unit = units.unwrap("base", x, number=True)
    return jnp.asarray(bare, wide(dtype)), unit


# ---------------------------------------------------------------- sparse


@explained
def sparse(
    key: Key,
    shape: Shape,
    sparsity: RealLike,
    base: InitializerLike = Normal(0.0, 0.01),  # noqa: B008
    axis: int | tuple[int, ...] = 0,
    self_connections: bool = True,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    r"""Draw from `base`, then set the same number of elements of every column to 0.

    .. math:: \#\{i : x_{ij} = 0\} = \lceil sparsity \cdot n \rceil \quad \text{for every}\ j

    They are chosen for each column by itself, all choices equally likely.

    Parameters
    ----------
    sparsity : number
        The fraction of each column that is 0, one number in [0, 1].
    base : initializer
        Draws the other elements.
    axis : int or tuple of int
        The axis along which a column runs: 0 makes each column of a matrix sparse, 1 each row.
        Several axes count as one: each slice of a kernel along them has so many zeros.
    self_connections : bool
        False makes the diagonal of the last two axes 0, as of a recurrent matrix in which no unit
        connects to itself. These zeros count among the others: every column still has as many, all
        choices with a diagonal of 0 equally likely.

    Notes
    -----
    Numerics: every element gets a random word, and those with the smallest words of a column become
    0; equal words are told apart by their place, so the number is exact, however long the column
    is. A product that only the rounding of `sparsity` keeps from an integer counts as it: 0.55 of
    100 is 55. A traced `sparsity` has the digits of its dtype: columns of more than a million
    elements may differ by one zero from float64. Time is that of sorting the columns, memory about
    three times the result. The other elements are those that `base` draws from the first half of
    the split key.

    Examples
    --------
    >>> import jax, braininit as init
    >>> w = init.sparse(jax.random.key(0), (100, 50), 0.9)
    >>> set((w == 0).sum(0).tolist())
    {90}
    >>> recurrent = init.Sparse(0.9, self_connections=False)((100, 100), rng=0)
    >>> set((recurrent == 0).sum(0).tolist()), bool((recurrent.diagonal() == 0).all())
    ({90}, True)
    """
    made = _sparse(sparsity, base, axis, self_connections)
    return draw(made, key, shape, dtype, out_sharding, context)


def _sparse(sparsity: Any, base: Any, axis: Any, self_connections: Any) -> Recipe:
    sparsity = roles.number("sparsity", roles.fraction(_single("sparsity", sparsity))).value
    axes, part = options.axes("axis", axis), as_child("base", base)._recipe
    return composite(
        _thin,
        part.unit,
        {"sparsity": sparsity, "base": part},
        static=(axes, options.flag("self_connections", self_connections)),
        elementwise=False,
        sized=_zeros_counted,
        refuses=True,
    )


class Sparse(Initialization, function=sparse, recipe=_sparse):
    """Draws of another initializer with zeros among them; the twin of `sparse`."""

    sparsity: RealLike
    base: InitializerLike = Normal(0.0, 0.01)
    axis: int | tuple[int, ...] = static(default=0)
    self_connections: bool = static(default=True)


def _zeros_counted(
    made: Recipe, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]
) -> Recipe:
    (sparsity, base), (axes, self_connections) = made.values, made.facts.static
    axes = options.axes_of("axis", axes, shape)
    n = _length(axes, shape)
    count, good = _count(sparsity, n, up=True)
    if not self_connections:
        least = _on_diagonal(axes, shape)
        if type(sparsity) is float and not is_symbolic(shape) and count < least:
            raise ValueError(
                f"`sparsity` = {units.show(sparsity)} leaves {count} zeros among {n} elements, "
                f"which have {least} on the diagonal; give {least / n:.3g} or more, or "
                "self_connections=True"
            )
    return _counted(made, base, count, good)


def _on_diagonal(axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """The most elements of a column that are on the diagonal of the last two axes."""
    rank = len(shape)
    if rank < 2:
        raise ValueError(
            f"a size of {shape} has no diagonal; give two axes, or self_connections=True"
        )
    if is_symbolic(shape) or 0 in shape:
        return 0
    both = {rank - 2, rank - 1} <= {*axes}
    others = _length(tuple(a for a in axes if a < rank - 2), shape)
    return others * (min(shape[-2:]) if both else 1)


def _counted(made: Recipe, base: Recipe, count: Any, good: Any) -> Recipe:
    """The recipe with a count in place of a fraction, and if it is valid."""
    names, none = ("base", "count", "good"), (None, None, None)
    return replaced(made, (base, count, good), names=names, roles=none, sized=None, refuses=False)


def _thin(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    axis: tuple[int, ...],
    self_connections: bool,
    base: Recipe,
    count: Any,
    good: Any,
) -> Any:
    axes = options.axes_of("axis", axis, source.shape)
    rest, choice = source.split()
    x, unit = _drawn(rest, dtype, context, base)
    if 0 not in source.shape:
        own = None
        if not self_connections:
            own = index_along(x.shape, -2) == index_along(x.shape, -1)
            good &= count >= jnp.max(jnp.sum(own, axes, dtype=np.uint32))
        x = _thinned(choice, x, count, axes, own)
    return units.on(rounded(_nan_unless(good, x), dtype), unit)


def _thinned(source: Source, x: jax.Array, count: Any, axes: Any, own: Any = None) -> jax.Array:
    """X with so many zeros along the axes, taken together; those of `own` are among them."""
    order = [*(a for a in range(x.ndim) if a not in axes), *axes]
    sizes = [x.shape[a] for a in order]
    n = math.prod(sizes[x.ndim - len(axes) :])
    word = source.reshaped((math.prod(sizes) // n, n)).words(np.dtype(np.float32))
    count = jnp.asarray(count, np.uint32)
    if own is not None:  # the others are chosen among themselves, and sorted before them
        own = own.transpose(order).reshape(word.shape)
        word = jnp.where(own, np.uint32(2**32 - 1), word)
        count -= jnp.sum(own, 1, dtype=np.uint32, keepdims=True)
    last = _at(lax.sort(word, dimension=1), jnp.maximum(count, 1) - 1)
    below, level = word < last, word == last
    level = level if own is None else level & ~own
    ties = count - jnp.sum(below, 1, dtype=np.uint32, keepdims=True)
    gone = below | (level & (jnp.cumsum(level, 1, dtype=np.uint32) <= ties))
    gone &= count > 0
    gone = gone if own is None else gone | own
    return jnp.where(gone.reshape(sizes).transpose(np.argsort(order).tolist()), 0, x)


def _at(rows: jax.Array, place: jax.Array) -> jax.Array:
    """The number at a place of each row, or at one place of all."""
    if not place.ndim:
        return lax.dynamic_index_in_dim(rows, place, 1)
    return jnp.take_along_axis(rows, place, 1)


# ---------------------------------------------------------------- spectral


@explained
def spectral(
    key: Key,
    shape: Shape,
    base: InitializerLike,
    radius: QuantityLike | None = None,
    norm: QuantityLike | None = None,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    r"""Draw a matrix from `base` and scale it to a spectral radius, or to a spectral norm.

    .. math:: \max_i |\lambda_i(X)| = radius \qquad \text{or} \qquad \max_i \sigma_i(X) = norm

    The radius decides if a recurrent network, such as a reservoir, forgets its past; the norm
    limits how much a layer stretches its input. The matrices lie in the last two axes, for a radius
    square ones; axes before them count matrices, each scaled by itself.

    Parameters
    ----------
    base : initializer
        Draws the matrix.
    radius : number or Quantity, optional
        The largest magnitude of an eigenvalue, positive.
    norm : number or Quantity, optional
        The largest singular value, positive. Give exactly one of the two; the result has its unit.

    Notes
    -----
    Numerics: the radius is the growth of :math:`\|A^m\|` from m = 32768 to 65536 (Gelfand's
    formula, by sixteen squarings, balanced and scaled on the way): only matrix products, the same
    on every platform, and several times faster than eigenvalues. Elements that lie on no cycle are
    left out first, as eigenvalues do not depend on them, and products are taken beyond the dtype's
    precision. Right to 1e-4 and better for random matrices, dense, sparse or triangular; to 1 %
    where, in float32, the radius is a few millionths of the norm, as in a large balanced network
    with nearly equal weights. Only a matrix of radius 0 (a nilpotent one, as of a graph without a
    cycle) gives NaN. The derivative is that of the radius; where several eigenvalues share the
    largest magnitude, a mean of theirs. The norm is an exact singular value.

    Examples
    --------
    >>> import jax, numpy as np, braininit as init
    >>> w = init.spectral(jax.random.key(0), (200, 200), init.Sparse(0.9), radius=0.95)
    >>> round(float(abs(np.linalg.eigvals(w)).max()), 3)
    0.95
    """
    return draw(_spectral(base, radius, norm), key, shape, dtype, out_sharding, context)


def _spectral(base: Any, radius: Any, norm: Any) -> Recipe:
    given = {n: v for n, v in (("radius", radius), ("norm", norm)) if v is not None}
    if len(given) != 1:
        raise ValueError(f"give exactly one of `radius` and `norm`, got {len(given)} of them")
    part, (name, size) = as_child("base", base)._recipe, next(iter(given.items()))
    unit, (number,) = roles.sharing(**{name: roles.scale(size)})
    _single(name, number.value)
    if part.unit is not None and part.unit is not UNKNOWN:
        units.off(**{name: size, "base": units.on(1.0, part.unit)})
    return composite(
        _to_radius if name == "radius" else _to_norm,
        unit,
        {"base": part, name: number.value},
        roles={name: number.role},
        static=(unit,),
        random=None,
        elementwise=False,
    )


class Spectral(Initialization, function=spectral, recipe=_spectral):
    """Draws of another initializer at a spectral radius or norm; the twin of `spectral`."""

    base: InitializerLike
    radius: QuantityLike | None = None
    norm: QuantityLike | None = None


def _to_radius(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    unit: Any,
    base: Recipe,
    radius: Any,
) -> Any:
    shape = source.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(
            f"`radius` is that of a square matrix, got the size {shape}; make the last "
            "two axes equal, or give `norm`"
        )
    x, own = _drawn(source, dtype, context, base)
    return _resized(x, own, dtype, spectral_radius, radius=units.on(radius, unit))


def _to_norm(
    source: Source, dtype: np.dtype, context: Mapping[str, Any], unit: Any, base: Recipe, norm: Any
) -> Any:
    if len(source.shape) < 2:
        raise ValueError(
            f"`norm` is that of a matrix, got the size {source.shape}; give it two axes"
        )
    x, own = _drawn(source, dtype, context, base)
    return _resized(x, own, dtype, _spectral_norm, norm=units.on(norm, unit))


def _spectral_norm(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.linalg.svd(x, compute_uv=False), axis=-1)[..., None, None]


def _resized(x: jax.Array, own: Any, dtype: Any, measure: Any, **size: Any) -> Any:
    """X scaled so that its measure is `size`, with the unit of the result."""
    beside = {} if own is None else {"base": units.on(1.0, own)}
    unit, (then, *_) = units.off(**size, **beside)
    then = jnp.asarray(then, drawn_in(dtype))
    if 0 not in x.shape:
        x = x / power_of_two(jnp.max(abs(x), (-2, -1), keepdims=True)).astype(x.dtype)
        x = _scaled(x, measure(x), then)
    return units.on(rounded(x, dtype), unit)


def _scaled(x: jax.Array, now: jax.Array, then: jax.Array) -> jax.Array:
    """X scaled from a measure of `now` to `then`; NaN where there is nothing to scale."""
    good = (now > 0) & (now < math.inf)
    now = jnp.where(good, now, 1)
    return _nan_unless(good, x / now.astype(x.dtype) * then.astype(x.dtype))


# ---------------------------------------------------------------- dale


@explained
def dale(
    key: Key,
    shape: Shape,
    base: InitializerLike,
    excitatory: RealLike = 0.8,
    balance: bool | str = True,
    axis: int = 0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Values:
    r"""Draw magnitudes from `base`, with one sign for all that a neuron sends: Dale's law.

    .. math:: x_{ij} = |b_{ij}| \ \text{for}\ i < n_E, \qquad
        x_{ij} = -g\, |b_{ij}| \ \text{for}\ i \ge n_E, \qquad
        n_E = \lfloor excitatory \cdot n + 1/2 \rfloor

    The first :math:`n_E` of the n presynaptic neurons excite, the others inhibit.

    Parameters
    ----------
    base : initializer
        Draws the magnitudes; its sign is dropped.
    excitatory : number
        The fraction of neurons that excite, in [0, 1], or a whole number of neurons above 1: of
        100, 0.8 and 80 are the same. 1 and 1.0 are all of them.
    balance : bool or 'exact'
        True makes inhibition :math:`g = n_E / n_I` times stronger: the sum that a neuron receives
        is 0 in expectation. 'exact' finds g for each postsynaptic neuron: the sum is 0 up to
        rounding. Both need neurons of both signs. False takes g = 1. Only this draw is balanced;
        multiplying, clipping or modulating it by distance undoes that, so give a base that is
        modulated, as in ``Dale(DistanceModulated(...), balance="exact")``.
    axis : int
        The axis of presynaptic neurons: 0 for (pre, post), 1 for (post, pre).

    Notes
    -----
    Numerics: the number of neurons is exact for every n. A postsynaptic neuron with excitation but
    no inhibition, as a sparse `base` may make one, can't be balanced exactly: it receives NaN.

    Examples
    --------
    >>> import jax, braininit as init
    >>> w = init.dale(jax.random.key(0), (100, 50), init.LogNormal(0.5, 0.2), balance="exact")
    >>> bool((w[:80] > 0).all() and (w[80:] < 0).all() and (abs(w.sum(0)) < 1e-4).all())
    True
    """
    made = _dale(base, excitatory, balance, axis)
    return draw(made, key, shape, dtype, out_sharding, context)


def _dale(base: Any, excitatory: Any, balance: Any, axis: Any) -> Recipe:
    excitatory = roles.number("excitatory", roles.share(_single("excitatory", excitatory))).value
    along = options.whole("axis", axis)
    if not isinstance(balance, (bool, np.bool_)) and not _is_exact(balance):
        raise ValueError(f"`balance` must be True, False or 'exact', got {units.brief(balance)}")
    if balance and type(excitatory) is float and excitatory in (0, 1):
        raise _one_sided(excitatory, "")
    part = as_child("base", base)._recipe
    return composite(
        _sign,
        part.unit,
        {"excitatory": excitatory, "base": part},
        static=("exact" if _is_exact(balance) else bool(balance), along),
        random=None,
        elementwise=not _is_exact(balance),
        by_rows=False,
        sized=_neurons_counted,
        refuses=True,
    )


class Dale(Initialization, function=dale, recipe=_dale):
    """Magnitudes of another initializer, signs by Dale's law; the twin of `dale`."""

    base: InitializerLike
    excitatory: RealLike = 0.8
    balance: bool | str = static(default=True)
    axis: int = static(default=0)


def _neurons_counted(
    made: Recipe, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]
) -> Recipe:
    (excitatory, base), (balance, along) = made.values, made.facts.static
    n = _length(options.axes_of("axis", (along,), shape), shape)
    many, good = _excitatory(excitatory, n)
    known = type(excitatory) is float and not is_symbolic((n,))
    if known and balance and n and many in (0, n):
        raise _one_sided(excitatory, f" of {n} neurons")
    return _counted(made, base, many, good)


def _sign(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    balance: bool | str,
    along: int,
    base: Recipe,
    many: Any,
    good: Any,
) -> Any:
    (axis,) = options.axes_of("axis", (along,), source.shape)
    x, unit = _drawn(source, dtype, context, base)
    if jnp.iscomplexobj(x):
        raise TypeError(f"`dtype` must be real, as signs are, got {dtype}")
    x = x if 0 in source.shape else _nan_unless(good, _signed(x, many, balance, axis))
    return units.on(rounded(x, dtype), unit)


def _signed(x: jax.Array, many: Any, balance: bool | str, axis: int) -> jax.Array:
    """The magnitudes of x, negative along the axis from the first inhibitory neuron on."""
    n, size = x.shape[axis], abs(x)
    excites = index_along(x.shape, axis).astype(np.uint32) < many
    if not balance:
        return jnp.where(excites, size, -size)
    n = np.uint32(n) if type(n) is int else jnp.asarray(n).astype(np.uint32)
    plus, minus = (jnp.asarray(count, x.dtype) for count in (many, n - many))
    if balance == "exact":
        plus = jnp.sum(jnp.where(excites, size, 0), axis, keepdims=True)
        minus = jnp.sum(jnp.where(excites, 0, size), axis, keepdims=True)
        good = (minus > 0) | (plus == 0)
    else:
        good = (plus > 0) & (minus > 0)
    gain = plus / jnp.where(minus > 0, minus, 1)
    return _nan_unless(good, jnp.where(excites, size, -size * gain))


def _excitatory(share: Any, n: int) -> tuple[Any, Any]:
    """The number of n neurons that excite, and if there are so many."""
    if type(share) is not float:
        part, good = _count(share, n, up=False)
        several = share > 1
        whole = jnp.where(several, share, 0).astype(np.uint32)
        return jnp.where(several, whole, part), good & ((share <= 1) | (share <= n))
    if share <= 1:
        return _count(share, n, up=False)
    if not is_symbolic((n,)) and share > n:
        raise ValueError(f"`excitatory` = {units.show(share)} is more than the {n} neurons")
    return np.uint32(share), True


def _is_exact(balance: Any) -> bool:
    return isinstance(balance, str) and balance == "exact"


def _one_sided(excitatory: Any, of: str) -> ValueError:
    return ValueError(
        f"`excitatory` = {units.show(excitatory)}{of} leaves neurons of one sign only, which "
        "can't balance; give another fraction or number, or balance=False"
    )
