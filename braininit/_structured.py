"""Structure put on another initializer's draws: sparse, spectral, Dale's law."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit import _checks as checks
from braininit import _units as units
from braininit._bits import words
from braininit._calls import explained
from braininit._children import (
    UNKNOWN,
    InitializerLike,
    as_child,
    draws,
    only_unit,
    run,
    split,
    unit_of,
)
from braininit._continuous import Normal
from braininit._core import Initialization
from braininit._dtypes import drawn_in, is_symbolic, kept, rounded, wide
from braininit._matrices import index_along
from braininit._sampler import as_shape, is_probe
from braininit._types import DType, Key, QuantityLike, RealLike, Shape, Sharding
from braininit._values import static


def _single(name: str, value: Any) -> Any:
    """Refuse an array where the whole result has one value."""
    if np.ndim(value):
        raise ValueError(
            f"`{name}` must be one number, got shape {np.shape(value)}; map over it by jax.vmap"
        )
    return value


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
    equal words are told apart by their place, so that the number is exact. A product
    within rounding of an integer counts as that integer: 0.55 of 100 is 55. Time is that
    of sorting the columns, memory about three times the result. The elements that stay
    are the ones `base` draws from the first half of the split key.

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
    return run(
        _sparse(axes), key, shape, child, sparsity, dtype=dtype, out_sharding=out_sharding,
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

    def _sparse(key: Any, shape: Any, dtype: Any, context: Any, base: Any, sparsity: Any) -> Any:
        axes = checks.within("axis", axis, shape)
        rest, choice = split(key, 2)
        x, unit = _drawn(rest, shape, dtype, context, base)
        share = jnp.asarray(sparsity, drawn_in(dtype))
        return units.on(rounded(_thinned(choice, x, share, axes), dtype), unit)

    return _sparse


def _thinned(key: jax.Array, x: jax.Array, sparsity: jax.Array, axes: Any) -> jax.Array:
    """X with so many zeros along the axes, taken together."""
    if 0 in x.shape:
        return x
    order = [*(a for a in range(x.ndim) if a not in axes), *axes]
    sizes = [x.shape[a] for a in order]
    n = math.prod(sizes[x.ndim - len(axes) :])
    word = words(key, (math.prod(sizes) // n, n), np.dtype(np.float32))
    exact = kept(sparsity * n)
    whole = jnp.round(exact)
    slack = 2 * float(jnp.finfo(exact.dtype).eps) * exact
    count = jnp.where(abs(exact - whole) <= slack, whole, jnp.ceil(exact)).astype(jnp.int32)
    last = lax.dynamic_index_in_dim(lax.sort(word, dimension=1), jnp.maximum(count - 1, 0), 1)
    below, level = word < last, word == last
    ties = count - jnp.sum(below, 1, dtype=jnp.int32, keepdims=True)
    gone = below | (level & (jnp.cumsum(level, 1, dtype=jnp.int32) <= ties))
    gone = gone.reshape(sizes).transpose(np.argsort(order).tolist())
    left = jnp.where(gone & (count > 0), jnp.zeros_like(x), x)
    return jnp.where(jnp.isnan(sparsity), jnp.full_like(x, jnp.nan), left)


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
    Numerics: the radius is the growth of :math:`\|A^m\|` from m = 8192 to 16384 (Gelfand's
    formula, by fourteen squarings, balanced and scaled on the way): matrix products
    only, the same on every platform, and several times faster than eigenvalues. Right to
    1e-4 and better for dense, sparse and ring-like random matrices. A matrix whose
    radius is 0, or too far below its norm for the dtype to tell, gives NaN. The norm is
    an exact singular value. 16-bit and 8-bit floats are computed in float32.

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
            f"a spectral radius is that of a square matrix, got the size {shape}; make the last "
            "two axes equal, or give `norm`"
        )
    x, own = _drawn(key, shape, dtype, context, base)
    return _resized(x, own, dtype, spectral_radius, radius=radius)


def _to_norm(key: Any, shape: Any, dtype: Any, context: Any, base: Any, norm: Any) -> Any:
    if len(shape) < 2:
        raise ValueError(f"a spectral norm is that of a matrix, got the size {shape}")
    x, own = _drawn(key, shape, dtype, context, base)
    return _resized(x, own, dtype, _spectral_norm, norm=norm)


def _spectral_norm(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.linalg.svd(x, compute_uv=False), axis=-1)[..., None, None]


def _resized(x: jax.Array, own: Any, dtype: Any, measure: Any, **size: Any) -> Any:
    """X with what is measured made `size`, in the unit of which the result is."""
    beside = {} if own is None else {"base": units.on(1.0, own)}
    unit, (then, *_) = units.off(**size, **beside)
    then = jnp.asarray(then, drawn_in(dtype))
    x = x if 0 in x.shape else _scaled(x, measure(x), then)
    return units.on(rounded(x, dtype), unit)


def _scaled(x: jax.Array, now: jax.Array, then: jax.Array) -> jax.Array:
    """X with what is `now` made `then`; NaN where there is nothing to scale."""
    good = (now > 0) & (now < math.inf)
    return jnp.where(
        good, x / now.astype(x.dtype) * then.astype(x.dtype), jnp.full_like(x, jnp.nan)
    )


_SQUARINGS = 14
"""A^16384. Measured on a 200 x 200 ring, two fewer leave 2e-3 in the radius, unbalanced."""


def spectral_radius(x: jax.Array) -> jax.Array:
    r"""Largest magnitude of an eigenvalue of the last two axes' matrices, (..., 1, 1).

    With :math:`\|A^m\| \approx c\, \rho^m` the ratio of two powers is free of c, which
    the power itself has to the 1/m: 1e-5 instead of 1e-3 at the same m.
    """
    both = (-2, -1)

    def square(i: Any, state: Any) -> Any:
        a, log, _ = state
        a = _balanced(jnp.matmul(a, a, precision=lax.Precision.HIGHEST))
        size = jnp.sqrt(jnp.sum(abs(a) ** 2, both, keepdims=True))
        term = jnp.log(size) / 2 ** (i + 1).astype(size.dtype)
        return a / size.astype(a.dtype), log + term, term

    largest = jnp.max(abs(x), both, keepdims=True)
    a = _balanced(x / largest.astype(x.dtype))
    size = jnp.sqrt(jnp.sum(abs(a) ** 2, both, keepdims=True))
    state = (a / size.astype(a.dtype), jnp.log(size), jnp.zeros_like(size))
    _, log, last = lax.fori_loop(0, _SQUARINGS, square, state)
    return largest * jnp.exp(log + last)


_SWEEPS = 4
"""With two a triangle ten times above its diagonal came out as NaN, with three as 3e-8."""


def _balanced(a: jax.Array) -> jax.Array:
    """A similar matrix with rows and columns nearer to each other in size.

    What grows in a power before it settles is what differs between row i and column i,
    as in feed-forward chains; without this their small radius drowns in rounding. The
    factors are powers of 2, so nothing is rounded here.
    """
    for _ in range(_SWEEPS):
        size = lax.stop_gradient(abs(a))  # no derivative either: the eigenvalues don't move
        rows, columns = jnp.max(size, -1), jnp.max(size, -2)
        linked = (rows > 0) & (columns > 0)
        octaves = jnp.log2(jnp.where(linked, rows, 1)) - jnp.log2(jnp.where(linked, columns, 1))
        # The fourth root: both ends of a link move at once, each by half of what is due.
        factor = jnp.exp2(jnp.clip(jnp.round(octaves / 4), -16, 16)).astype(a.dtype)
        a = a * jnp.expand_dims(factor, -2) / jnp.expand_dims(factor, -1)
    return a


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
        The fraction of neurons that excite, from 0 to 1; a pure number.
    balance : bool or 'exact'
        With True inhibition is :math:`g = n_E / n_I` times stronger, so that what a
        neuron receives sums to 0 in expectation. With 'exact' g is found for each
        postsynaptic neuron, so that it sums to 0 up to rounding. With False g is 1.
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
        If `excitatory` is outside 0 to 1 or an array, if all neurons have one sign and
        are to be balanced, or if `axis` is not one of the shape's.
    UnitError
        If `excitatory` carries a unit.

    Notes
    -----
    Numerics: 16-bit and 8-bit floats are computed in float32 and rounded once. A
    postsynaptic neuron with excitation but no inhibition at all, as a sparse `base` may
    make one, can't be balanced exactly: what it receives is NaN.

    Examples
    --------
    >>> import jax, braininit as init
    >>> w = init.dale(jax.random.key(0), (100, 50), init.LogNormal(0.5, 0.2))
    >>> bool((w[:80] > 0).all() and (w[80:] < 0).all())
    True
    """
    excitatory = _single("excitatory", units.dimensionless("excitatory", excitatory))
    excitatory = checks.fraction("excitatory", excitatory)
    along = checks.whole("axis", axis)
    if balance != "exact" and not isinstance(balance, (bool, np.bool_)):
        raise ValueError(f"`balance` must be True, False or 'exact', got {balance!r}")
    if balance and type(excitatory) is float:
        size = None if is_probe(key) else as_shape(shape)
        if size is None or not is_symbolic(size):
            _refuse_one_sided(excitatory, size, along)
    child = as_child("base", base)
    if is_probe(key):
        return only_unit(unit_of(child, dtype))
    return run(
        _dale(balance if balance == "exact" else bool(balance), along), key, shape, child,
        excitatory, dtype=dtype, out_sharding=out_sharding, context=context,
    )  # fmt: skip


class Dale(Initialization, function=dale, random=None):
    """Magnitudes of another initializer, signs by Dale's law; the twin of `dale`.

    Parameters
    ----------
    base : initializer
        What the magnitudes are drawn from; its sign is dropped.
    excitatory : number
        The fraction of neurons that excite, from 0 to 1.
    balance : bool or 'exact'
        Whether inhibition makes up for excitation: in expectation, or exactly.
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

    def _dale(key: Any, shape: Any, dtype: Any, context: Any, base: Any, excitatory: Any) -> Any:
        (axis,) = checks.within("axis", (along,), shape)
        x, unit = _drawn(key, shape, dtype, context, base)
        if jnp.iscomplexobj(x):
            raise TypeError(f"`dtype` must be real, as signs are, got {dtype}")
        share = jnp.asarray(excitatory, drawn_in(dtype))
        x = x if 0 in shape else _signed(x, share, balance, axis)
        return units.on(rounded(x, dtype), unit)

    return _dale


def _signed(x: jax.Array, excitatory: jax.Array, balance: bool | str, axis: int) -> jax.Array:
    """The magnitudes of x, negative along the axis from the first inhibitory neuron on."""
    n, size = x.shape[axis], abs(x)
    many = jnp.floor(kept(excitatory * n) + 0.5)
    excites = index_along(x.shape, axis).astype(many.dtype) < many
    good, gain = many == many, jnp.ones_like(many)
    if balance == "exact":
        none = jnp.zeros_like(size)
        plus = jnp.sum(jnp.where(excites, size, none), axis, keepdims=True)
        minus = jnp.sum(jnp.where(excites, none, size), axis, keepdims=True)
        good = (minus > 0) | (plus == 0)
        gain = plus / jnp.where(minus > 0, minus, jnp.ones_like(minus))
    elif balance:
        good, gain = (many > 0) & (many < n), many / (n - many)
    signed = jnp.where(excites, size, -size * gain)
    return jnp.where(good & (many == many), signed, jnp.full_like(size, jnp.nan))


def _refuse_one_sided(excitatory: float, shape: tuple[int, ...] | None, axis: int) -> None:
    """Without a shape only the fraction itself can be seen to leave one sign."""
    n = None if shape is None else shape[checks.within("axis", (axis,), shape)[0]]
    share = excitatory if n is None else float(np.float32(excitatory) * np.float32(n))
    if n == 0 or (0 < share < 1 if n is None else 0 < math.floor(share + 0.5) < n):
        return
    raise ValueError(
        f"`excitatory` = {units.show(excitatory)}{'' if n is None else f' of {n} neurons'} leaves "
        "neurons of one sign only, which can't balance; give another fraction, or balance=False"
    )
