"""The values of a leaf from its choice, each leaf in its place.

One compiled program draws all leaves of one family, shape, dtype and sharding; their parameters are
its arguments. Devices do not communicate: a draw that can't be split, as an orthogonal matrix, is
drawn whole on every device, which keeps its part. A fused kernel whose parts have different
distributions is drawn whole along the axis of its parts, and split along the others.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from braininit._engine import keys
from braininit._engine.cpu.layout import unfused
from braininit._engine.sampler import compiled
from braininit._jax.dtypes import compute_dtype, is_whole
from braininit._jax.settings import eager
from braininit._jax.shardings import split_over, with_sharding
from braininit._params import units
from braininit.initializer.composite import Composite
from braininit.initializer.constant import Constant
from braininit.initializer.foreign import Called, Foreign
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Recipe, Request, are_same, draw
from braininit.models.leaves import Leaf
from braininit.models.parts import are_alike, side_by_side
from braininit.models.placement import in_place
from braininit.models.rules import Choice, constant_of

__all__ = ["constants", "draw_layers", "draw_leaf", "is_small_constant"]


def draw_leaf(choice: Choice, leaf: Leaf, key: Any, sharding: NamedSharding | None = None) -> Any:
    """Draw one leaf."""
    initializer: Any = choice.initializer
    recipe, shape, dtype = initializer._recipe, leaf.shape, leaf.dtype
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):  # keys: only a user's function makes them
        x = initializer.function(keys.typed(key, keys.legacy_impl(key)), shape, dtype)
        x = x if sharding is None else jax.device_put(x, sharding)
    elif sharding is None and is_small_constant(choice, leaf):
        value = constant_of(initializer) + 0.0  # not -0
        value = value if is_whole(dtype) else compute_dtype(dtype).type(value)
        x = units.on(jax.device_put(np.full(shape, value, dtype)), recipe.unit)
    elif _is_ours(recipe) and (sharding is None or not _whole_axes(recipe, shape)):
        x = draw(recipe, key, shape, dtype, sharding)
    elif _is_ours(recipe):
        whole = _whole_axes(recipe, shape)
        program = _in_parts(shape, dtype, sharding, keys.legacy_impl(key), whole)
        x = units.on(program(key, recipe), recipe.unit)
    elif not eager():
        x = with_sharding(_step_by_step(lambda key: initializer(key, shape, dtype)), sharding)(key)
    elif sharding is None:
        x = initializer(keys.typed(key, keys.legacy_impl(key)), shape, dtype)
    else:
        x = _foreign(initializer, shape, dtype, sharding, keys.legacy_impl(key))(key)
    return _finished(x, choice, leaf)


def constants(pairs: Sequence[tuple[Choice, Leaf]]) -> list[Any]:
    """Make leaves that are small constants.

    Equal constants are copies of one array, each with its own memory, so that it may be donated.
    JAX makes all copies at once, in a sixth of the time.
    """
    arrays: dict[Any, Any] = {}
    for choice, leaf in pairs:
        properties = _properties(choice, leaf)
        if properties not in arrays:
            arrays[properties] = units.parts(draw_leaf(choice, leaf, None))[0]
    copies = jax.device_put([arrays[_properties(*pair)] for pair in pairs], may_alias=False)
    return [units.on(copy, leaf.unit) for copy, (_, leaf) in zip(copies, pairs, strict=True)]


def _properties(choice: Choice, leaf: Leaf) -> Any:
    """All that the bare numbers of a constant depend on."""
    assert isinstance(choice.initializer, Constant)
    return leaf.shape, leaf.dtype, constant_of(choice.initializer), choice.convert


def draw_layers(
    choices: Sequence[Choice],
    leaves: Sequence[Leaf],
    layer_keys: Sequence[Any],
    axis: int,
    sharding: NamedSharding | None = None,
) -> Any:
    """Draw layers along an axis, each with the bits that it would have alone."""
    if _in_one_program(choices, leaves[0], layer_keys[0]):
        shape, dtype = leaves[0].shape, leaves[0].dtype
        sized = [_sized(choice, leaf) for choice, leaf in zip(choices, leaves, strict=True)]
        structures, same = {jax.tree.structure(recipe) for recipe in sized}, are_same(sized)
        # In 64 bits, a program's arguments may round differently in a loop.
        if same or (len(structures) == 1 and np.dtype(dtype).itemsize < 8):
            recipes = [choice.initializer._recipe for choice in choices if choice.initializer]
            elementwise = not any(_whole_axes(recipe, shape) for recipe in recipes)
            program = _stacked(shape, dtype, axis, sharding, elementwise, same)
            recipe = sized[0] if same else jax.tree.map(lambda *xs: jnp.stack(xs), *sized)
            words = jnp.stack([_words(key) for key in layer_keys])
            x = units.on(program(words, recipe), sized[0].unit)
            return _finished(x, choices[0], leaves[0])
    rest = None if sharding is None else NamedSharding(sharding.mesh, _without(sharding.spec, axis))
    layers = [draw_leaf(*layer, rest) for layer in zip(choices, leaves, layer_keys, strict=True)]
    whole = _joined(axis, sharding)(*(units.parts(value)[0] for value in layers))
    return units.on(whole, leaves[0].unit)


@functools.lru_cache(maxsize=64)
def _joined(axis: int, sharding: NamedSharding | None) -> Callable[..., Any]:
    """The program that stacks layers, which are on the same devices as the result."""

    def join(*layers: Any) -> Any:
        return jnp.stack(layers, axis)

    return compiled(with_sharding(join, sharding), sharding, None)


def _without(spec: PartitionSpec, axis: int) -> PartitionSpec:
    """The spec of one layer."""
    return PartitionSpec(*(entry for at, entry in enumerate(spec) if at != axis))


def _in_one_program(choices: Sequence[Choice], leaf: Leaf, key: Any) -> bool:
    """Whether one program can draw all layers; JAX's vmap changes the bits of other keys."""
    impl = keys.legacy_impl(key) or str(jax.random.key_impl(key))
    return impl == "threefry2x32" and all(
        choice.initializer is not None
        and _is_ours(choice.initializer._recipe)
        and not (isinstance(choice.initializer, Constant) and is_whole(leaf.dtype))
        and choice.convert == choices[0].convert
        for choice in choices
    )


def _sized(choice: Choice, leaf: Leaf) -> Recipe:
    """The recipe with the numbers for a leaf's shape, checked against the dtype."""
    assert choice.initializer is not None
    recipe = choice.initializer._recipe.for_draw(leaf.shape, leaf.dtype, {})
    recipe.check_dtype(leaf.dtype)
    return recipe


def _words(key: Any) -> Any:
    """The words of a Threefry key."""
    return key if keys.legacy_impl(key) is not None else jax.random.key_data(key)


def _is_ours(recipe: Recipe) -> bool:
    """Whether a kernel of this package draws, and no function of a user."""
    return recipe.traceable and not isinstance(recipe, (Called, Foreign))


def _whole_axes(recipe: Recipe, shape: tuple[int, ...]) -> frozenset[int]:
    """The axes along which a draw can't be split."""
    parts = [*recipe.parts()] if isinstance(recipe, Composite) else []
    own: Any = () if recipe.facts.elementwise else range(len(shape))
    if recipe.facts.kernel is side_by_side:
        axis, named = recipe.facts.static[0] % len(shape), recipe.facts.static[1]
        own = () if are_alike(parts[0], shape, axis, named) else {axis}
    return frozenset(own).union(*(_whole_axes(part, shape) for part in parts))


def is_small_constant(choice: Choice, leaf: Leaf) -> bool:
    """Whether NumPy fills a leaf, eagerly: a program for each shape takes 50 ms to compile."""
    return (
        isinstance(constant := choice.initializer, Constant)
        and type(constant_of(constant)) is float
        and not jnp.issubdtype(leaf.dtype, np.complexfloating)
        and math.prod(leaf.shape) <= _SMALL
        and eager()
    )


_SMALL = 2**16


def _finished(x: Any, choice: Choice, leaf: Leaf) -> Any:
    """Convert a draw to the leaf's unit, and check its shape and dtype."""
    bare, unit = units.parts(x)
    ratio = choice.convert
    if ratio is None and unit is not leaf.unit and not isinstance(choice.initializer, Constant):
        try:
            ratio = units.of_operation("+", leaf.unit, unit)[1]
        except units.UnitError:
            raise units.UnitError(
                f"{leaf.path} is in {leaf.unit}, and {choice.initializer!r} drew in {unit}; "
                "give both one dimension"
            ) from None
    if ratio not in (None, 1.0):
        bare = (bare * ratio).astype(bare.dtype)
    if (bare.shape, bare.dtype) != (leaf.shape, leaf.dtype) and len(bare.shape) == leaf.ndim:
        raise TypeError(
            f"{leaf.path} has dtype {leaf.dtype} and shape {leaf.shape}, "
            f"{choice.initializer!r} drew {bare.dtype} and {bare.shape}"
        )
    return units.on(bare, leaf.unit)


# ---------------------------------------------------------------- programs

_EVERYWHERE = PartitionSpec()


@functools.lru_cache(maxsize=256)
def _in_parts(
    shape: tuple[int, ...],
    dtype: Any,
    sharding: NamedSharding,
    impl: str | None,
    whole: frozenset[int],
) -> Callable[..., Any]:
    """The program for a draw that can't be split along some axes.

    The devices split it along the others; each then keeps its part.
    """
    entries = [None if at in whole else entry for at, entry in enumerate(sharding.spec)]
    split = NamedSharding(sharding.mesh, PartitionSpec(*entries))

    def bare_draw(key: Any, recipe: Recipe) -> Any:
        return units.parts(recipe.drawn(Request(keys.typed(key, impl), shape, dtype)))[0]

    def sample(key: Any, recipe: Recipe) -> Any:
        return _own_part(unfused(bare_draw)(key, recipe), sharding, sharding.spec)

    if not any(entries):
        return compiled(_on_each(sample, sharding), sharding, None)
    return compiled(with_sharding(with_sharding(bare_draw, split), sharding), sharding, None)


@functools.lru_cache(maxsize=256)
def _stacked(
    shape: tuple[int, ...],
    dtype: Any,
    axis: int,
    sharding: NamedSharding | None,
    elementwise: bool,
    same: bool,
) -> Callable[..., Any]:
    """The program for layers along an axis; `same` if all have the same parameters.

    Layers with different parameters are drawn one after the other: XLA divides by an array in
    another way than by a scalar, which moves the last bit. So are matrices, as they take memory.
    """
    spec = [*(sharding.spec if sharding else ()), *(None,) * (len(shape) + 1)][: len(shape) + 1]
    layers, layer_spec = spec.pop(axis), PartitionSpec(*spec)
    whole = sharding is not None and not (elementwise and (same or layers is None))

    def whole_layer(words: Any, recipe: Recipe) -> Any:
        key = jax.random.wrap_key_data(words, impl="threefry2x32")
        return units.parts(recipe.drawn(Request(key, shape, dtype)))[0]

    def layer(words: Any, recipe: Recipe) -> Any:
        if sharding is None or not whole:
            return whole_layer(words, recipe)
        return _own_part(unfused(whole_layer)(words, recipe), sharding, layer_spec)

    def sample(words: Any, recipe: Recipe) -> Any:
        if same and elementwise:
            return jax.vmap(lambda x: layer(x, recipe), out_axes=axis)(words)
        if same:
            drawn = lax.map(lambda x: layer(x, recipe), words)
        else:
            drawn = lax.map(lambda pair: layer(*pair), (words, recipe))
        return jnp.moveaxis(drawn, 0, axis)

    if sharding is None or not whole:
        return compiled(with_sharding(sample, sharding), sharding, None)
    by_layer = NamedSharding(sharding.mesh, PartitionSpec(layers))
    on_each = _on_each(sample, sharding, (by_layer.spec, _EVERYWHERE if same else by_layer.spec))

    def split(words: Any, recipe: Recipe) -> Any:
        recipe = recipe if same else split_over(recipe, by_layer)
        return on_each(split_over(words, by_layer), recipe)

    return compiled(split, sharding, None)


def _on_each(
    function: Callable[..., Any], sharding: NamedSharding, in_specs: Any = _EVERYWHERE
) -> Callable[..., Any]:
    """A function that every device calls for its own part of the result."""
    return jax.shard_map(
        function, mesh=sharding.mesh, in_specs=in_specs, out_specs=sharding.spec, check_vma=False
    )


def _own_part(x: jax.Array, sharding: NamedSharding, spec: PartitionSpec) -> jax.Array:
    """The part of an array that the device keeps."""
    x = lax.optimization_barrier(x)
    for axis, entry in enumerate(spec):
        names = entry if isinstance(entry, tuple) else () if entry is None else (entry,)
        if names:
            size = x.shape[axis] // math.prod(sharding.mesh.shape[name] for name in names)
            x = lax.dynamic_slice_in_dim(x, lax.axis_index(names) * size, size, axis)
    return x


# ---------------------------------------------------------------- users' functions


@functools.lru_cache(maxsize=256)
def _foreign(
    initializer: Initialization,
    shape: tuple[int, ...],
    dtype: Any,
    sharding: NamedSharding,
    impl: str | None,
) -> Callable[[Any], Any]:
    """The draw of a user's function on a mesh, with the same numbers as eagerly.

    It is compiled if JAX can trace it; if the devices would have to communicate, or JAX can't trace
    it, each device draws the whole.
    """

    def sample(key: Any) -> Any:
        return initializer(keys.typed(key, impl), shape, dtype)

    key = jax.eval_shape(lambda: jax.random.key(0, impl=impl))
    key = key if impl is None else jax.eval_shape(jax.random.key_data, key)
    try:
        jax.eval_shape(sample, key)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        return lambda key: in_place(sample(key), sharding)
    program = jax.jit(_step_by_step(sample), out_shardings=sharding)
    if not re.search(_COMMUNICATES, program.lower(key).compile().as_text() or ""):
        return program

    def own(key: Any) -> Any:
        whole = _step_by_step(sample)(key)
        return jax.tree.map(lambda x: _own_part(x, sharding, sharding.spec), whole)

    return jax.jit(_on_each(own, sharding), out_shardings=sharding)


_COMMUNICATES = r"all-(gather|reduce|to-all)|collective-|reduce-scatter"


def _step_by_step(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function whose operations are each compiled alone, as in eager calls.

    Otherwise XLA merges constant factors of neighbouring operations, which moves the last bit.
    """

    def run(key: Any) -> Any:
        closed, out = jax.make_jaxpr(function, return_shape=True)(key)
        environment = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        environment[closed.jaxpr.invars[0]] = key

        def value(atom: Any) -> Any:
            return atom.val if hasattr(atom, "val") else environment[atom]

        for equation in closed.jaxpr.eqns:
            parameters = equation.primitive.get_bind_params(equation.params)
            results = equation.primitive.bind(*map(value, equation.invars), **parameters)
            results = results if equation.primitive.multiple_results else [results]
            environment |= zip(equation.outvars, map(_fenced, results), strict=True)
        leaves = [value(atom) for atom in closed.jaxpr.outvars]
        return jax.tree.unflatten(jax.tree.structure(out), leaves)

    return run


def _fenced(x: Any) -> Any:
    """A value that XLA does not fuse into its consumers; keys are returned unchanged."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else lax.optimization_barrier(x)
