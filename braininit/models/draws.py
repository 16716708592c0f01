"""From a choice to the values of a leaf, each leaf in its place.

One compiled program draws all leaves of one family, shape, dtype and sharding; their numbers are
its arguments. Nothing is communicated: what can't be drawn part by part, as an orthogonal matrix,
is drawn whole on every device, which keeps its part. So are the parts of a fused kernel along
their axis where they have different laws; along the others it is split.
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
from braininit._jax.dtypes import drawn_in, is_whole
from braininit._jax.settings import eager
from braininit._jax.shardings import placed, split_over
from braininit._params import units
from braininit.initializer.composite import Composite
from braininit.initializer.constant import Constant
from braininit.initializer.foreign import Called, Foreign
from braininit.initializer.initialization import Initialization
from braininit.initializer.recipe import Asked, Recipe, are_same, draw
from braininit.models.leaves import Leaf
from braininit.models.parts import alike, side_by_side
from braininit.models.placement import in_place
from braininit.models.rules import Choice, constant_of

__all__ = ["constants", "is_small_constant", "one", "stacked"]


def one(choice: Choice, leaf: Leaf, key: Any, sharding: NamedSharding | None = None) -> Any:
    """The value of one leaf."""
    initializer: Any = choice.initializer
    made, shape, dtype = initializer._recipe, leaf.shape, leaf.dtype
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):  # no numbers: only a user's function makes them
        made = initializer.function(keys.typed(key, keys.legacy_impl(key)), shape, dtype)
        x = made if sharding is None else jax.device_put(made, sharding)
    elif sharding is None and is_small_constant(choice, leaf):
        value = constant_of(initializer) + 0.0  # not -0
        value = value if is_whole(dtype) else drawn_in(dtype).type(value)
        x = units.on(jax.device_put(np.full(shape, value, dtype)), made.unit)
    elif _is_ours(made) and (sharding is None or not _whole_axes(made, shape)):
        x = draw(made, key, shape, dtype, sharding)
    elif _is_ours(made):
        of = _whole_axes(made, shape)
        program = _in_parts(shape, dtype, sharding, keys.legacy_impl(key), of)
        x = units.on(program(key, made), made.unit)
    elif not eager():
        x = placed(_step_by_step(lambda key: initializer(key, shape, dtype)), sharding)(key)
    elif sharding is None:
        x = initializer(keys.typed(key, keys.legacy_impl(key)), shape, dtype)
    else:
        x = _foreign(initializer, shape, dtype, sharding, keys.legacy_impl(key))(key)
    return _finished(x, choice, leaf)


def constants(pairs: Sequence[tuple[Choice, Leaf]]) -> list[Any]:
    """The values of leaves that are small constants.

    Equal ones are copies of one array, each with memory of its own, so that it may be donated.
    JAX makes all copies at once, in a sixth of the time.
    """
    filled: dict[Any, Any] = {}
    for choice, leaf in pairs:
        alike = _alike(choice, leaf)
        if alike not in filled:
            filled[alike] = units.parts(one(choice, leaf, None))[0]
    copies = jax.device_put([filled[_alike(*pair)] for pair in pairs], may_alias=False)
    return [units.on(copy, leaf.unit) for copy, (_, leaf) in zip(copies, pairs, strict=True)]


def _alike(choice: Choice, leaf: Leaf) -> Any:
    """What the bare numbers of a constant depend on."""
    assert isinstance(choice.initializer, Constant)
    return leaf.shape, leaf.dtype, constant_of(choice.initializer), choice.convert


def stacked(
    choices: Sequence[Choice],
    leaves: Sequence[Leaf],
    each: Sequence[Any],
    axis: int,
    sharding: NamedSharding | None = None,
) -> Any:
    """The values of layers along an axis, each drawn as it is by itself."""
    if _in_one_program(choices, leaves[0], each[0]):
        shape, dtype = leaves[0].shape, leaves[0].dtype
        sized = [_sized(choice, leaf) for choice, leaf in zip(choices, leaves, strict=True)]
        forms, same = {jax.tree.structure(made) for made in sized}, are_same(sized)
        # In 64 bits numbers that a program gets as arguments may round otherwise in a loop.
        if same or (len(forms) == 1 and np.dtype(dtype).itemsize < 8):
            made = sized[0]
            recipes = [choice.initializer._recipe for choice in choices if choice.initializer]
            apart = not any(_whole_axes(its, shape) for its in recipes)
            program = _stacked(shape, dtype, axis, sharding, apart, same)
            numbers = made if same else jax.tree.map(lambda *of: jnp.stack(of), *sized)
            words = jnp.stack([_words(key) for key in each])
            x = units.on(program(words, numbers), made.unit)
            return _finished(x, choices[0], leaves[0])
    its = None if sharding is None else NamedSharding(sharding.mesh, _without(sharding.spec, axis))
    drawn = [one(*of, its) for of in zip(choices, leaves, each, strict=True)]
    whole = _joined(axis, sharding)(*(units.parts(value)[0] for value in drawn))
    return units.on(whole, leaves[0].unit)


@functools.lru_cache(maxsize=64)
def _joined(axis: int, sharding: NamedSharding | None) -> Callable[..., Any]:
    """The program that joins layers, each of which lives on the devices that share them."""

    def join(*layers: Any) -> Any:
        return jnp.stack(layers, axis)

    return compiled(placed(join, sharding), sharding, None)


def _without(spec: PartitionSpec, axis: int) -> PartitionSpec:
    """The spec of one layer."""
    return PartitionSpec(*(entry for at, entry in enumerate(spec) if at != axis))


def _in_one_program(choices: Sequence[Choice], leaf: Leaf, key: Any) -> bool:
    """Whether layers can be drawn by one program: JAX maps other keys than Threefry's otherwise."""
    kind = keys.legacy_impl(key) or str(jax.random.key_impl(key))
    return kind == "threefry2x32" and all(
        choice.initializer is not None
        and _is_ours(choice.initializer._recipe)
        and not (isinstance(choice.initializer, Constant) and is_whole(leaf.dtype))  # known ones
        and choice.convert == choices[0].convert
        for choice in choices
    )


def _sized(choice: Choice, leaf: Leaf) -> Recipe:
    assert choice.initializer is not None
    made = choice.initializer._recipe.for_draw(leaf.shape, leaf.dtype, {})
    made.fit(leaf.dtype)
    return made


def _words(key: Any) -> Any:
    """The words of a Threefry key."""
    return key if keys.legacy_impl(key) is not None else jax.random.key_data(key)


def _is_ours(made: Recipe) -> bool:
    return made.traceable and not isinstance(made, (Called, Foreign))


def _whole_axes(made: Recipe, shape: tuple[int, ...]) -> frozenset[int]:
    """The axes along which a draw has to be known whole."""
    parts = [*made.parts()] if isinstance(made, Composite) else []
    own: Any = () if made.facts.elementwise else range(len(shape))
    if made.facts.kernel is side_by_side:
        axis, named = made.facts.static[0] % len(shape), made.facts.static[1]
        own = () if alike(parts[0], shape, axis, named) else {axis}
    return frozenset(own).union(*(_whole_axes(part, shape) for part in parts))


def is_small_constant(choice: Choice, leaf: Leaf) -> bool:
    """Whether NumPy fills an eager leaf: a program for each shape takes 50 ms to compile."""
    its = choice.initializer
    return (
        isinstance(its, Constant)
        and type(constant_of(its)) is float
        and not jnp.issubdtype(leaf.dtype, np.complexfloating)
        and math.prod(leaf.shape) <= _SMALL
        and eager()
    )


_SMALL = 2**16


def _finished(x: Any, choice: Choice, leaf: Leaf) -> Any:
    """In the leaf's unit and of its dtype."""
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
            f"{leaf.path} is of {leaf.dtype} and the shape {leaf.shape}, "
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
    """The program for what has to be known whole along some axes.

    Every device draws it split along the others, and keeps its part.
    """
    entries = [None if at in whole else entry for at, entry in enumerate(sharding.spec)]
    split = NamedSharding(sharding.mesh, PartitionSpec(*entries))

    def drawn(key: Any, made: Recipe) -> Any:
        return units.parts(made.drawn(Asked(keys.typed(key, impl), shape, dtype)))[0]

    def sample(key: Any, made: Recipe) -> Any:
        return _own_part(unfused(drawn)(key, made), sharding, sharding.spec)

    if not any(entries):
        return compiled(_on_each(sample, sharding), sharding, None)
    return compiled(placed(lambda *of: placed(drawn, split)(*of), sharding), sharding, None)


@functools.lru_cache(maxsize=256)
def _stacked(
    shape: tuple[int, ...],
    dtype: Any,
    axis: int,
    sharding: NamedSharding | None,
    elementwise: bool,
    same: bool,
) -> Callable[..., Any]:
    """The program for layers along an axis, whose numbers are the `same` or not.

    Layers of different numbers are drawn one after the other: XLA divides by an array in another
    way than by a number, which moves the last bit. So are matrices, which take memory.
    """
    spec = [*(sharding.spec if sharding else ()), *(None,) * (len(shape) + 1)][: len(shape) + 1]
    layers, one = spec.pop(axis), PartitionSpec(*spec)
    whole = sharding is not None and not (elementwise and (same or layers is None))

    def drawn(words: Any, its: Recipe) -> Any:
        key = jax.random.wrap_key_data(words, impl="threefry2x32")
        return units.parts(its.drawn(Asked(key, shape, dtype)))[0]

    def layer(words: Any, its: Recipe) -> Any:
        if sharding is None or not whole:
            return drawn(words, its)
        return _own_part(unfused(drawn)(words, its), sharding, one)

    def sample(each: Any, made: Recipe) -> Any:
        if same and elementwise:
            return jax.vmap(lambda words: layer(words, made), out_axes=axis)(each)
        one_by_one = (each, None) if same else (each, made)
        layers = lax.map(lambda of: layer(of[0], made if same else of[1]), one_by_one)
        return jnp.moveaxis(layers, 0, axis)

    if sharding is None or not whole:
        return compiled(placed(sample, sharding), sharding, None)
    by_layer = NamedSharding(sharding.mesh, PartitionSpec(layers))
    on_each = _on_each(sample, sharding, (by_layer.spec, _EVERYWHERE if same else by_layer.spec))

    def split(each: Any, made: Recipe) -> Any:
        made = made if same else split_over(made, by_layer)
        return on_each(split_over(each, by_layer), made)

    return compiled(split, sharding, None)


def _on_each(
    function: Callable[..., Any], sharding: NamedSharding, given: Any = _EVERYWHERE
) -> Callable[..., Any]:
    """A function that every device calls for its own part of the result."""
    return jax.shard_map(
        function, mesh=sharding.mesh, in_specs=given, out_specs=sharding.spec, check_vma=False
    )


def _own_part(x: jax.Array, sharding: NamedSharding, spec: PartitionSpec) -> jax.Array:
    """The part of a whole that a device keeps."""
    x = lax.optimization_barrier(x)
    for axis, entry in enumerate(spec):
        names = entry if isinstance(entry, tuple) else () if entry is None else (entry,)
        if names:
            size = x.shape[axis] // math.prod(sharding.mesh.shape[name] for name in names)
            x = lax.dynamic_slice_in_dim(x, lax.axis_index(names) * size, size, axis)
    return x


# ---------------------------------------------------------------- functions of a user's


@functools.lru_cache(maxsize=256)
def _foreign(
    initializer: Initialization,
    shape: tuple[int, ...],
    dtype: Any,
    sharding: NamedSharding,
    impl: str | None,
) -> Callable[[Any], Any]:
    """The draw of a user's function in its place: the numbers that it gives eagerly.

    It is compiled, if JAX can trace it. Where devices would then have to talk, each makes the
    whole; so it is where the function can't be traced.
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
    if not re.search(_TALK, program.lower(key).compile().as_text() or ""):
        return program

    def own(key: Any) -> Any:
        whole = _step_by_step(sample)(key)
        return jax.tree.map(lambda x: _own_part(x, sharding, sharding.spec), whole)

    return jax.jit(_on_each(own, sharding), out_shardings=sharding)


_TALK = r"all-(gather|reduce|to-all)|collective-|reduce-scatter"


def _step_by_step(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function whose operations are compiled each by itself, as eager calls of JAX's are.

    XLA merges constant factors of neighbouring operations, which moves the last bit.
    """

    def run(key: Any) -> Any:
        closed, out = jax.make_jaxpr(function, return_shape=True)(key)
        known = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        known[closed.jaxpr.invars[0]] = key

        def value(of: Any) -> Any:
            return of.val if hasattr(of, "val") else known[of]

        for step in closed.jaxpr.eqns:
            parameters = step.primitive.get_bind_params(step.params)
            made = step.primitive.bind(*map(value, step.invars), **parameters)
            made = made if step.primitive.multiple_results else [made]
            known |= zip(step.outvars, map(_settled, made), strict=True)
        leaves = [value(of) for of in closed.jaxpr.outvars]
        return jax.tree.unflatten(jax.tree.structure(out), leaves)

    return run


def _settled(x: Any) -> Any:
    """A value that XLA does not compute anew in what follows; keys are left as they are."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else lax.optimization_barrier(x)
