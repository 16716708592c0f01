"""Weights whose signs follow Dale's law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from braininit._engine.rounding import rounded
from braininit._engine.source import Source
from braininit._jax.dtypes import is_symbolic
from braininit._params import options, roles, units
from braininit._params.types import (
    DType,
    InitializerLike,
    Key,
    RealLike,
    Shape,
    Sharding,
    Values,
)
from braininit._params.values import static
from braininit.initializer.calls import explain_call_errors
from braininit.initializer.children import as_child
from braininit.initializer.composite import composite
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, draw
from braininit.layers.matrices import index_along
from braininit.layers.shares import count_of, draw_base, length_of, nan_unless, single, with_count

__all__ = ["Dale", "dale"]


@explain_call_errors
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
    r"""Draw magnitudes from `base`, and give all weights of a presynaptic neuron one sign.

    .. math:: x_{ij} = |b_{ij}| \ \text{for}\ i < n_E, \qquad
        x_{ij} = -g\, |b_{ij}| \ \text{for}\ i \ge n_E, \qquad
        n_E = \lfloor excitatory \cdot n + 1/2 \rfloor

    By Dale's law a neuron only excites or only inhibits. Here the first :math:`n_E` of the n
    presynaptic neurons excite, the others inhibit.

    Parameters
    ----------
    base : initializer
        Draws the magnitudes; the signs of its draws are dropped.
    excitatory : number
        The fraction of neurons that excite, in [0, 1], or, above 1, their number: of 100 neurons,
        0.8 and 80 are the same. 1 and 1.0 mean all neurons.
    balance : bool or 'exact'
        True makes inhibition :math:`g = n_E / n_I` times stronger: the sum of a neuron's inputs is
        0 in expectation. 'exact' finds g for each postsynaptic neuron: the sum is 0 up to rounding.
        Both need neurons of both signs. False takes g = 1. Multiplying, clipping or modulating the
        draw by distance afterwards undoes the balance; give a modulated base instead, as in
        ``Dale(DistanceModulated(...), balance="exact")``.
    axis : int
        The axis of presynaptic neurons: 0 for (pre, post), 1 for (post, pre).

    Notes
    -----
    Numerics: the number of neurons is exact for every n. A postsynaptic neuron with excitation but
    no inhibition, which a sparse `base` may produce, can't be balanced exactly: its weights are
    NaN.

    Examples
    --------
    >>> import jax, braininit as init
    >>> w = init.dale(jax.random.key(0), (100, 50), init.LogNormal(0.5, 0.2), balance="exact")
    >>> bool((w[:80] > 0).all() and (w[80:] < 0).all() and (abs(w.sum(0)) < 1e-4).all())
    True
    """
    recipe = _dale(base, excitatory, balance, axis)
    return draw(recipe, key, shape, dtype, out_sharding, context)


def _dale(base: Any, excitatory: Any, balance: Any, axis: Any) -> Recipe:
    excitatory = roles.number("excitatory", roles.share(single("excitatory", excitatory))).value
    along = options.whole("axis", axis)
    if not isinstance(balance, (bool, np.bool_)) and not _is_exact(balance):
        raise ValueError(f"`balance` must be True, False or 'exact', got {units.brief(balance)}")
    if balance and type(excitatory) is float and excitatory in (0, 1):
        raise _one_sided(excitatory, "")
    part = as_child("base", base)._recipe
    return composite(
        _draw_signed,
        part.unit,
        {"excitatory": excitatory, "base": part},
        static=("exact" if _is_exact(balance) else bool(balance), along),
        random=None,
        elementwise=not _is_exact(balance),
        by_rows=False,
        sized=_with_excitatory_count,
        refuses=True,
    )


class Dale(Initialization, function=dale, recipe=_dale):
    """Magnitudes of another initializer, signs by Dale's law; the twin of `dale`."""

    base: InitializerLike
    excitatory: RealLike = 0.8
    balance: bool | str = static(default=True)
    axis: int = static(default=0)


def _with_excitatory_count(
    recipe: Recipe, shape: tuple[int, ...], dtype: Any, context: Mapping[str, Any]
) -> Recipe:
    (excitatory, base), (balance, along) = recipe.values, recipe.facts.static
    n = length_of(options.axes_of("axis", (along,), shape), shape)
    count, good = _excitatory_count(excitatory, n)
    concrete = type(excitatory) is float and not is_symbolic((n,))
    if concrete and balance and n and count in (0, n):
        raise _one_sided(excitatory, f" of {n} neurons")
    return with_count(recipe, base, count, good)


def _draw_signed(
    source: Source,
    dtype: np.dtype,
    context: Mapping[str, Any],
    balance: bool | str,
    along: int,
    base: Recipe,
    count: Any,
    good: Any,
) -> Any:
    (axis,) = options.axes_of("axis", (along,), source.shape)
    x, unit = draw_base(source, dtype, context, base)
    if jnp.iscomplexobj(x):
        raise TypeError(f"`dtype` must be real, as signs are, got {dtype}")
    x = x if 0 in source.shape else nan_unless(good, _signed(x, count, balance, axis))
    return units.on(rounded(x, dtype), unit)


def _signed(x: jax.Array, count: Any, balance: bool | str, axis: int) -> jax.Array:
    """The magnitudes of x, negative along the axis from the first inhibitory neuron on."""
    n, magnitude = x.shape[axis], abs(x)
    excites = index_along(x.shape, axis).astype(np.uint32) < count
    if not balance:
        return jnp.where(excites, magnitude, -magnitude)
    n = np.uint32(n) if type(n) is int else jnp.asarray(n).astype(np.uint32)
    plus, minus = jnp.asarray(count, x.dtype), jnp.asarray(n - count, x.dtype)
    if balance == "exact":
        plus = jnp.sum(jnp.where(excites, magnitude, 0), axis, keepdims=True)
        minus = jnp.sum(jnp.where(excites, 0, magnitude), axis, keepdims=True)
        good = (minus > 0) | (plus == 0)
    else:
        good = (plus > 0) & (minus > 0)
    gain = plus / jnp.where(minus > 0, minus, 1)
    return nan_unless(good, jnp.where(excites, magnitude, -magnitude * gain))


def _excitatory_count(share: Any, n: int) -> tuple[Any, Any]:
    """The number of excitatory neurons among n, and whether it is valid."""
    if type(share) is not float:
        count, good = count_of(share, n, up=False)
        is_count = share > 1
        given = jnp.where(is_count, share, 0).astype(np.uint32)
        return jnp.where(is_count, given, count), good & ((share <= 1) | (share <= n))
    if share <= 1:
        return count_of(share, n, up=False)
    if not is_symbolic((n,)) and share > n:
        raise ValueError(f"`excitatory` = {units.show(share)} is more than the {n} neurons")
    return np.uint32(share), True


def _is_exact(balance: Any) -> bool:
    return isinstance(balance, str) and balance == "exact"


def _one_sided(excitatory: Any, total: str) -> ValueError:
    return ValueError(
        f"`excitatory` = {units.show(excitatory)}{total} leaves neurons of one sign only, which "
        "can't balance; give another fraction or number, or balance=False"
    )
