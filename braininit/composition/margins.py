"""Margins of a joint distribution: recipes that draw by a given word."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from braininit._engine.rounding import rounded
from braininit._engine.sampler import result_dtype
from braininit._engine.source import GivenWords, Source
from braininit._jax.dtypes import compute_dtype
from braininit._math import tables
from braininit._math.truncated import word_below
from braininit._params import units
from braininit._params.values import fields
from braininit.distributions.discrete import Poisson, UniformInt
from braininit.distributions.truncated import Truncated
from braininit.initializer.children import as_child
from braininit.initializer.composite import Composite
from braininit.initializer.constant import Constant
from braininit.initializer.grid import OnGrid
from braininit.initializer.initialization import Initialization
from braininit.initializer.operators import Combined, Scaled
from braininit.initializer.pipes import Clipped, Compose
from braininit.initializer.recipe import Facts, Recipe, Request, replaced

__all__ = ["monotone", "placed_at", "with_part"]


def monotone(name: str, child: Initialization) -> tuple[Recipe, tuple[Any, ...]]:
    """A recipe that draws by one word, and factors: each negative one turns rising into falling."""
    base, factors = _random_part(child)
    if base is None:
        return _by_word(name, child), ()
    (part, more), recipe = monotone(name, as_child(name, base)), child._recipe
    return replaced(recipe, with_part(recipe, lambda _: part)), (*factors, *more)


def _random_part(child: Any) -> tuple[Any, tuple[Any, ...]]:
    """The single random part of a monotone function of draws, and its factors; else None."""
    if isinstance(child, (Clipped, OnGrid)):
        return child.base_dist, ()
    if isinstance(child, Compose):
        return (None if child.functions else child.first), ()
    if isinstance(child, Scaled):
        return child.base_dist, (units.parts(child.scale_factor)[0],)
    if not isinstance(child, Combined) or child.op not in ("+", "-", "*", "/"):
        return None, ()
    base, other = child.left, child.right
    if isinstance(base, Constant) and child.op != "/":
        base, other = other, base
    if not isinstance(other, Constant):
        return None, ()
    if child.op in ("+", "-"):
        return base, ((-1.0,) if child.op == "-" and base is child.right else ())
    return base, (units.parts(other.value)[0],)


def with_part(recipe: Recipe, change: Callable[[Recipe], Recipe]) -> tuple[Any, ...]:
    """The values of a recipe with its single random part changed."""
    return tuple(
        change(value) if isinstance(value, Recipe) and value.needs_key(None) else value
        for value in recipe.values
    )


def _by_word(name: str, child: Initialization) -> Recipe:
    """The recipe of a distribution, drawn by its quantile function."""
    facts = child._recipe.facts
    if child._recipe.dtypes == "whole":
        return _whole(name, child)
    if isinstance(child, Truncated):
        return child._recipe
    if facts.truncate is None and facts.functions is None:
        raise TypeError(
            f"`{name}` must have a quantile, got {type(child).__name__}; give a "
            "distribution that can be truncated, as it is, truncated, clipped, on a grid, or with "
            "numbers added or multiplied, or name the `cdf` and the `quantile` of your own class"
        )
    return Truncated(child)._recipe


def _whole(name: str, child: Initialization) -> Recipe:
    """The recipe of a distribution of whole numbers, drawn by a table of its quantiles."""
    base, bounds = child, []
    while isinstance(base, Truncated):
        bounds.append((base.low, base.high))
        base = as_child("base", base.base)
    ends = [end for pair in bounds for end in pair]
    numbers = tuple(getattr(base, f.name) for f in fields(base))
    known = all(type(x) is float for x in numbers)
    if not known or not all(end is None or type(end) is float for end in ends):
        raise TypeError(
            f"`{name}` of whole numbers must have concrete parameters, one number each, to be "
            f"drawn by its quantile, got {units.brief(child)}; {_OTHERWISE}"
        )
    low = max((end for end, _ in bounds if end is not None), default=-math.inf)
    high = min((end for _, end in bounds if end is not None), default=math.inf)
    if isinstance(base, UniformInt):
        low, high = max(low, numbers[0]), min(high, numbers[1] - 1)
        first, last = math.ceil(low), math.floor(high)
        if last - first >= 2**32 - 1:
            raise ValueError(
                f"`{name}` = {units.brief(child)} has more numbers than a word of 32 bits; "
                f"{_OTHERWISE}"
            )
        return Recipe(Facts(_equally_likely, static=(first, last - first + 1), dtypes="whole"), ())
    law = tables.Law("poisson" if isinstance(base, Poisson) else "binomial", numbers, low, high)
    try:
        tables.largest(law)
    except ValueError as error:
        text = f"`{name}` = {units.brief(child)} {error}; {_OTHERWISE}"
        raise ValueError(text) from None
    return Recipe(Facts(_from_table, static=(law,), dtypes="whole"), ())


_OTHERWISE = "give a continuous distribution on a grid, as in Gamma(2.0, 3.0).on_grid(1.0)"


def _equally_likely(source: Source, dtype: np.dtype, first: int, count: int) -> jax.Array:
    drawing_dtype = compute_dtype(dtype)
    index = tables.below(np.uint32(count), _halves(source, dtype))
    if drawing_dtype.itemsize == 8:
        return rounded((index.astype(jnp.int64) + first).astype(drawing_dtype), dtype)
    whole = lax.bitcast_convert_type(index + np.uint32(first % 2**32), jnp.int32)
    return rounded(whole.astype(drawing_dtype), dtype)


def _from_table(source: Source, dtype: np.dtype, law: tables.Law) -> jax.Array:
    drawing_dtype, first = compute_dtype(dtype), tables.smallest(law)
    index = tables.offsets(law, _halves(source, dtype)).astype(drawing_dtype)
    base = drawing_dtype.type(first)  # rounded; the small remainder is added to the index
    return rounded(base + (index + drawing_dtype.type(first - int(base))), dtype)


def _halves(source: Source, dtype: np.dtype) -> tuple[jax.Array, jax.Array]:
    """Upper and lower 32 bits of a word; a word of 32 bits is the upper, the lower is 2^31."""
    drawing_dtype = compute_dtype(dtype)
    word = source.words(drawing_dtype)
    if drawing_dtype.itemsize == 8:
        return (word >> np.uint64(32)).astype(jnp.uint32), word.astype(jnp.uint32)
    return word, jnp.full_like(word, 2**31)


# ---------------------------------------------------------------- by a word


def placed_at(recipe: Recipe, word: jax.Array, z: jax.Array) -> Recipe:
    """A recipe whose random part draws by this word, which belongs to the standard normal z."""
    if not isinstance(recipe, Composite):
        return _AtWord(recipe.facts, recipe.values, word, z)
    return replaced(recipe, with_part(recipe, lambda part: placed_at(part, word, z)))


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["values", "word", "z"], meta_fields=["facts"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class _AtWord(Recipe):
    """A recipe that draws by a given word."""

    word: Any
    z: Any

    def needs_key(self, rng: Any) -> bool:
        return False

    def drawn(self, request: Request) -> Any:
        dtype = result_dtype(request.dtype, "real")
        sized = self.for_draw(request.whole, dtype, request.context)
        static = sized.facts.bare, dtype, request.whole
        x = _quantile(*static, self.word, sized.values)
        if sized.facts.dtypes != "whole":  # whole numbers have no derivative
            x = _with_derivative(*static, x, self.z, sized.values)
        return units.on(x, self.facts.unit)


def _quantile(
    facts: Facts, dtype: np.dtype, whole: tuple[int, ...], word: jax.Array, values: Any
) -> jax.Array:
    numbers = facts.ready(word.shape, dtype, values)
    return facts.kernel(GivenWords(word, whole), dtype, *facts.static, *numbers)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _with_derivative(
    facts: Facts, dtype: np.dtype, whole: tuple[int, ...], x: jax.Array, z: jax.Array, values: Any
) -> jax.Array:
    """The draw x with its derivative in z, which a word does not pass on."""
    return x


@functools.partial(_with_derivative.defjvp, symbolic_zeros=True)
def _with_derivative_jvp(
    facts: Facts, dtype: np.dtype, whole: tuple[int, ...], primals: Any, tangents: Any
) -> Any:
    (x, z, values), (x_dot, z_dot, _) = primals, tangents
    if isinstance(z_dot, SymbolicZero):
        return x, x_dot
    step, drawing_dtype = z.dtype.type(_STEP[z.dtype.itemsize]), compute_dtype(dtype)
    near, far = (
        _quantile(facts, drawing_dtype, whole, word_below(z + h), values)
        - _quantile(facts, drawing_dtype, whole, word_below(z - h), values)
        for h in (step, 2 * step)
    )
    move = ((8 * near - far) / (12 * step) * z_dot).astype(dtype)
    return x, move if isinstance(x_dot, SymbolicZero) else x_dot + move


_STEP = {4: 1 / 16, 8: 1 / 1024}  # of z: rounding and the error of the formula are equally large
