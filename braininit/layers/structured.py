"""Structure put on another initializer's draws: sparse, spectral, Dale's law."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine.bits import words
from braininit._engine.rounding import rounded
from braininit._engine.sampler import as_shape, is_probe
from braininit._jax.dtypes import default_float, drawn_in, is_symbolic, wide
from braininit._jax.rounding import power_of_two
from braininit._math.radius import spectral_radius
from braininit._params import checks, units
from braininit._params.types import DType, Key, QuantityLike, RealLike, Shape, Sharding
from braininit._params.values import static
from braininit.distributions.continuous import Normal
from braininit.initializer.calls import explained
from braininit.initializer.children import (
    UNKNOWN,
    InitializerLike,
    as_child,
    draws,
    only_unit,
    run,
    split,
    unit_of,
)
from braininit.initializer.initialization import Initialization
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
    """X where it is good. The NaN is computed: jax_debug_nans takes a constant for a fault."""
    return jnp.where(good, x, jnp.sqrt(jnp.where(good, 0.0, -1.0)))


def _count(share: Any, n: int, *, up: bool) -> tuple[Any, Any]:
    """How many of n elements a share is, rounded up or to the nearest; and whether it is one.

    Exact for every n. A product that the rounding of the share itself explains counts as an
    integer, or a half: 0.55 of 100 is 55.
    """
    if is_symbolic((n,)):  # kept open by an export: in floating point
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


def _drawn(key: Any, shape: Any, dtype: Any, context: Any, base: Any) -> tuple[jax.Array, Any]:
    """The child's draw in the dtype in which it is worked on, and its unit."""
    (x,) = draws(key, shape, wide(dtype), context, (base,))
    bare, unit = units.split("base", x, number=True)
    return jnp.asarray(bare, wide(dtype)), unit


# ---------------------------------------------------------------- sparse


@explained
def sparse(
    key: Key,
    shape: Shape,
    sparsity: RealLike,
    base: InitializerLike = Normal(0.0, 0.01),  # noqa: B008
    axis: int | tuple[int, ...] = 0,
    *,
    dtype: DType | None = None,
    out_sharding: Sharding | None = None,
    **context: Any,
) -> Any:
    r"""Draw from `base`, then set the same number of elements of every column to 0.

    .. math:: \#\{i : x_{ij} = 0\} = \lceil sparsity \cdot n \rceil \quad \text{for every}\ j

    Which ones is chosen for each column by itself, all choices equally likely.

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    sparsity : number
        The fraction of each column that is 0, from 0 to 1; a pure number.
    base : initializer
        What the other elements are drawn from.
    axis : int or tuple of int
        Along which axis a column runs: by default each column of a matrix has so many
        zeros, with ``axis=1`` each row. Several axes are taken together: each slice of
        a kernel along them has so many.
    dtype : dtype, optional
        A floating or complex dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    **context
        What `base` may need: `distances`, `neuron_indices`, ...

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `base`.

    Raises
    ------
    ValueError
        If `sparsity` is outside 0 to 1 or an array, or an axis is not one of the
        shape's.
    UnitError
        If `sparsity` carries a unit.

    Notes
    -----
    Numerics: every element gets a random word, and the smallest words of a column go;
    equal words are told apart by their place, so that the number is exact, however long
    the column is. A product within the rounding of `sparsity` of an integer counts as that
    integer: 0.55 of 100 is 55. A traced `sparsity` has the digits of its dtype, so columns
    of more than a million elements may have one zero more or less than in float64. Time is
    that of sorting the columns, memory about three times the result. The elements that
    stay are the ones `base` draws from the first half of the split key.

    Examples
    --------
    >>> import jax, braininit as init
    >>> w = init.sparse(jax.random.key(0), (100, 50), 0.9)
    >>> set((w == 0).sum(0).tolist())
    {90}
    """
    sparsity = _single("sparsity", units.dimensionless("sparsity", sparsity))
    sparsity = checks.fraction("sparsity", sparsity)
    axes = checks.axes("axis", axis)
    child = as_child("base", base)
    if is_probe(key):
        return only_unit(unit_of(child, dtype))
    size = as_shape(shape)
    n = _length(checks.within("axis", axes, size), size)
    count, good = _count(sparsity, n, up=True)
    return run(
        _sparse(axes), key, size, child, count, good, dtype=dtype, out_sharding=out_sharding,
        context=context,
    )  # fmt: skip


class Sparse(Initialization, function=sparse):
    """Draws of another initializer with zeros among them; the twin of `sparse`.

    Parameters
    ----------
    sparsity : number
        The fraction of each column that is 0, from 0 to 1.
    base : initializer
        What the other elements are drawn from.
    axis : int or tuple of int
        Along which axis a column runs.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> w = init.Sparse(0.9, init.Normal(0.5 * u.nS, 0.1 * u.nS), axis=1)((50, 100), rng=0)
    >>> set((w.mantissa == 0).sum(1).tolist())
    {90}
    """

    sparsity: RealLike
    base: InitializerLike = Normal(0.0, 0.01)
    axis: int | tuple[int, ...] = static(default=0)


@functools.lru_cache(maxsize=256)
def _sparse(axis: tuple[int, ...]) -> Any:
    """The kernel for columns along `axis`."""

    def _sparse(
        key: Any, shape: Any, dtype: Any, context: Any, base: Any, count: Any, good: Any
    ) -> Any:
        axes = checks.within("axis", axis, shape)
        rest, choice = split(key, 2)
        x, unit = _drawn(rest, shape, dtype, context, base)
        x = x if 0 in shape else _thinned(choice, x, count, axes)
        return units.on(rounded(_nan_unless(good, x), dtype), unit)

    return _sparse


def _thinned(key: jax.Array, x: jax.Array, count: Any, axes: Any) -> jax.Array:
    """X with so many zeros along the axes, taken together."""
    order = [*(a for a in range(x.ndim) if a not in axes), *axes]
    sizes = [x.shape[a] for a in order]
    n = math.prod(sizes[x.ndim - len(axes) :])
    word = words(key, (math.prod(sizes) // n, n), np.dtype(np.float32))
    count = jnp.asarray(count, np.uint32)
    place = jnp.maximum(count, 1) - 1
    last = lax.dynamic_index_in_dim(lax.sort(word, dimension=1), place, 1)
    below, level = word < last, word == last
    ties = count - jnp.sum(below, 1, dtype=np.uint32, keepdims=True)
    gone = below | (level & (jnp.cumsum(level, 1, dtype=np.uint32) <= ties))
    gone = gone.reshape(sizes).transpose(np.argsort(order).tolist())
    return jnp.where(gone & (count > 0), 0, x)


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
) -> Any:
    r"""Draw a matrix from `base` and scale it to a spectral radius, or to a spectral norm.

    .. math:: \max_i |\lambda_i(X)| = radius \qquad \text{or} \qquad \max_i \sigma_i(X) = norm

    The radius decides whether a recurrent network, a reservoir say, forgets its past;
    the norm by how much a layer can stretch its input. The matrices lie in the last two
    axes; axes before them count matrices, each of which is scaled by itself.

    Parameters
    ----------
    key : key
        A JAX key.
    shape : tuple of int
        Shape of the result: two axes at least, the last two equal for a radius.
    base : initializer
        What the matrix is drawn from.
    radius : number or Quantity, optional
        The largest magnitude of an eigenvalue, positive.
    norm : number or Quantity, optional
        The largest singular value, positive. Exactly one of the two is given.
    dtype : dtype, optional
        A floating or complex dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    **context
        What `base` may need: `distances`, `neuron_indices`, ...

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `radius` or `norm`.

    Raises
    ------
    ValueError
        If not exactly one of `radius` and `norm` is given, if it is not positive and
        finite, or if the shape has no matrix, for a radius no square one.
    UnitError
        If `base` has a unit of another dimension than `radius` or `norm`.

    Notes
    -----
    Numerics: the radius is the growth of :math:`\|A^m\|` from m = 32768 to 65536
    (Gelfand's formula, by sixteen squarings, balanced and scaled on the way): matrix
    products only, the same on every platform, and several times faster than eigenvalues.
    Elements that lie on no cycle are left out first, as eigenvalues don't depend on them,
    and products are taken beyond the dtype's precision. Right to 1e-4 and better for random
    matrices, dense, sparse or triangular; to 1 % where, in float32, the radius is a few
    thousandths of a thousandth of the norm, as that of a large balanced network with nearly
    equal weights. Only a matrix whose radius is 0 (a nilpotent one, as that of a graph
    without a cycle) gives NaN. The derivative is that of the radius; where several
    eigenvalues share the largest magnitude, a mean of theirs. The norm is an exact singular
    value. 16-bit and 8-bit floats are computed in float32.

    Examples
    --------
    >>> import jax, numpy as np, braininit as init
    >>> w = init.spectral(jax.random.key(0), (200, 200), init.Sparse(0.9), radius=0.95)
    >>> round(float(abs(np.linalg.eigvals(w)).max()), 3)
    0.95
    """
    given = {n: v for n, v in (("radius", radius), ("norm", norm)) if v is not None}
    if len(given) != 1:
        raise ValueError(f"give exactly one of `radius` and `norm`, got {len(given)} of them")
    child, (name, given) = as_child("base", base), next(iter(given.items()))
    size, unit = units.split(name, given)
    size = checks.positive(name, _single(name, size), unit)
    checks.fits(dtype, unit, vanishing=(name,), **{name: size})
    if is_probe(key):
        own = unit_of(child, dtype)
        if own is not None and own is not UNKNOWN:
            units.off(**{name: given, "base": units.on(1.0, own)})
        return units.on(None, unit)
    kernel = _to_radius if name == "radius" else _to_norm
    return run(
        kernel, key, shape, child, units.on(size, unit), dtype=dtype, out_sharding=out_sharding,
        context=context,
    )  # fmt: skip


class Spectral(Initialization, function=spectral, random=None):
    """Draws of another initializer at a spectral radius or norm; the twin of `spectral`.

    Parameters
    ----------
    base : initializer
        What the matrix is drawn from.
    radius : number or Quantity, optional
        The largest magnitude of an eigenvalue, positive.
    norm : number or Quantity, optional
        The largest singular value, positive. Exactly one of the two is given.

    Examples
    --------
    >>> import braininit as init
    >>> reservoir = init.Spectral(init.Sparse(0.9), radius=0.95)
    >>> reservoir((200, 200), rng=0).shape
    (200, 200)
    """

    base: InitializerLike
    radius: QuantityLike | None = None
    norm: QuantityLike | None = None


def _to_radius(key: Any, shape: Any, dtype: Any, context: Any, base: Any, radius: Any) -> Any:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(
            f"`radius` is that of a square matrix, got the size {shape}; make the last "
            "two axes equal, or give `norm`"
        )
    x, own = _drawn(key, shape, dtype, context, base)
    return _resized(x, own, dtype, spectral_radius, radius=radius)


def _to_norm(key: Any, shape: Any, dtype: Any, context: Any, base: Any, norm: Any) -> Any:
    if len(shape) < 2:
        raise ValueError(f"`norm` is that of a matrix, got the size {shape}; give it two axes")
    x, own = _drawn(key, shape, dtype, context, base)
    return _resized(x, own, dtype, _spectral_norm, norm=norm)


def _spectral_norm(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.linalg.svd(x, compute_uv=False), axis=-1)[..., None, None]


def _resized(x: jax.Array, own: Any, dtype: Any, measure: Any, **size: Any) -> Any:
    """X with what is measured made `size`, in the unit of which the result is."""
    beside = {} if own is None else {"base": units.on(1.0, own)}
    unit, (then, *_) = units.off(**size, **beside)
    then = jnp.asarray(then, drawn_in(dtype))
    if 0 not in x.shape:
        x = x / power_of_two(jnp.max(abs(x), (-2, -1), keepdims=True)).astype(x.dtype)
        x = _scaled(x, measure(x), then)
    return units.on(rounded(x, dtype), unit)


def _scaled(x: jax.Array, now: jax.Array, then: jax.Array) -> jax.Array:
    """X with what is `now` made `then`; NaN where there is nothing to scale."""
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
) -> Any:
    r"""Draw magnitudes from `base`, with one sign for all that a neuron sends: Dale's law.

    .. math:: x_{ij} = |b_{ij}| \ \text{for}\ i < n_E, \qquad
        x_{ij} = -g\, |b_{ij}| \ \text{for}\ i \ge n_E, \qquad
        n_E = \lfloor excitatory \cdot n + 1/2 \rfloor

    The first :math:`n_E` of the n presynaptic neurons excite, the others inhibit.

    Parameters
    ----------
    key : key
        A JAX key.
    shape : int or tuple of int
        Shape of the result.
    base : initializer
        What the magnitudes are drawn from; its sign is dropped.
    excitatory : number
        The fraction of neurons that excite, from 0 to 1, or a whole number above 1, so
        many neurons: 0.8 and 80 are the same of 100. 1 is all of them, written 1 or 1.0;
        a pure number.
    balance : bool or 'exact'
        With True inhibition is :math:`g = n_E / n_I` times stronger, so that what a
        neuron receives sums to 0 in expectation. With 'exact' g is found for each
        postsynaptic neuron, so that it sums to 0 up to rounding. With False g is 1. It is
        this draw that is balanced: what is multiplied, clipped or modulated by distance
        afterwards is not, so give a base that is modulated already, as in
        ``Dale(DistanceModulated(...), balance="exact")``.
    axis : int
        The axis of presynaptic neurons: 0 for (pre, post), 1 for (post, pre).
    dtype : dtype, optional
        A real floating dtype; None is JAX's default float.
    out_sharding : NamedSharding or PartitionSpec, optional
        Where the result is to live on a mesh.
    **context
        What `base` may need: `distances`, `neuron_indices`, ...

    Returns
    -------
    jax.Array or Quantity
        Of the given shape, in the unit of `base`.

    Raises
    ------
    ValueError
        If `excitatory` is neither a fraction nor a whole number, is an array, or more
        than there are; if all neurons have one sign and are to be balanced, or if `axis`
        is not one of the shape's.
    UnitError
        If `excitatory` carries a unit.

    Notes
    -----
    Numerics: 16-bit and 8-bit floats are computed in float32 and rounded once. The
    number of neurons is exact for every n. A postsynaptic neuron with excitation but no
    inhibition at all, as a sparse `base` may make one, can't be balanced exactly: what it
    receives is NaN.

    Examples
    --------
    >>> import jax, braininit as init
    >>> w = init.dale(jax.random.key(0), (100, 50), init.LogNormal(0.5, 0.2))
    >>> bool((w[:80] > 0).all() and (w[80:] < 0).all())
    True
    """
    excitatory = _single("excitatory", units.dimensionless("excitatory", excitatory))
    excitatory = checks.share("excitatory", excitatory)
    along = checks.whole("axis", axis)
    if not isinstance(balance, (bool, np.bool_)) and not _is_exact(balance):
        raise ValueError(f"`balance` must be True, False or 'exact', got {balance!r}")
    child = as_child("base", base)
    if is_probe(key):
        if balance and type(excitatory) is float and excitatory in (0, 1):
            raise _one_sided(excitatory, "")
        return only_unit(unit_of(child, dtype))
    size = as_shape(shape)
    n = _length(checks.within("axis", (along,), size), size)
    many, good = _excitatory(excitatory, n)
    known = type(excitatory) is float and not is_symbolic((n,))
    if known and balance and n and many in (0, n):
        raise _one_sided(excitatory, f" of {n} neurons")
    return run(
        _dale("exact" if _is_exact(balance) else bool(balance), along), key, size, child, many,
        good, dtype=dtype, out_sharding=out_sharding, context=context,
    )  # fmt: skip


class Dale(Initialization, function=dale, random=None):
    """Magnitudes of another initializer, signs by Dale's law; the twin of `dale`.

    Parameters
    ----------
    base : initializer
        What the magnitudes are drawn from; its sign is dropped.
    excitatory : number
        The fraction of neurons that excite, from 0 to 1, or a whole number above 1.
    balance : bool or 'exact'
        Whether inhibition makes up for excitation: in expectation, or exactly, before
        anything else is done to the draw.
    axis : int
        The axis of presynaptic neurons.

    Examples
    --------
    >>> import braininit as init
    >>> w = init.Dale(init.LogNormal(0.5, 0.2), balance="exact")((100, 50), rng=0)
    >>> bool((abs(w.sum(0)) < 1e-4).all())
    True
    """

    base: InitializerLike
    excitatory: RealLike = 0.8
    balance: bool | str = static(default=True)
    axis: int = static(default=0)


@functools.lru_cache(maxsize=64)
def _dale(balance: bool | str, along: int) -> Any:
    """The kernel with the presynaptic neurons along one axis."""

    def _dale(
        key: Any, shape: Any, dtype: Any, context: Any, base: Any, many: Any, good: Any
    ) -> Any:
        (axis,) = checks.within("axis", (along,), shape)
        x, unit = _drawn(key, shape, dtype, context, base)
        if jnp.iscomplexobj(x):
            raise TypeError(f"`dtype` must be real, as signs are, got {dtype}")
        x = x if 0 in shape else _nan_unless(good, _signed(x, many, balance, axis))
        return units.on(rounded(x, dtype), unit)

    return _dale


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
    """How many of n neurons excite; and whether there are so many."""
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
