"""Random words by index, and counts drawn from them.

An edge is drawn from a key and two numbers, as its target and its place among the target's edges.
So any range of targets can be drawn alone, on any device.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from braininit._engine import keys
from braininit._engine.threefry import hashed
from braininit._jax.settings import setting

__all__ = ["arrivals", "arrives", "happens", "threefry_key", "words"]

Words = tuple[jax.Array, jax.Array]


def threefry_key(key: Any) -> jax.Array:
    """The key itself if it is Threefry's; else a Threefry key drawn from it, to hash indices."""
    key = keys.typed(keys.as_key(key), keys.legacy_impl(key))
    if setting("jax_debug_key_reuse"):
        jax.random.bits(key)  # reading a key's data does not count as using the key
        key = jax.random.clone(key)
    if str(jax.random.key_impl(key)) == "threefry2x32":
        return key
    return jax.random.wrap_key_data(jax.random.bits(key, (2,), jnp.uint32), impl="threefry2x32")


def words(key: jax.Array, high: Any, low: Any) -> Words:
    """Two random words for each index; the index is two words too."""
    high, low = jnp.broadcast_arrays(jnp.asarray(high, jnp.uint32), jnp.asarray(low, jnp.uint32))
    data = jax.random.key_data(key)
    first, second = hashed(data[0], data[1], high, low)
    return first, second


def happens(chance: Any, random: Words) -> jax.Array:
    """Whether an event of this probability happens, to 2^-64; never if it is NaN."""
    chance = jnp.asarray(chance)
    upper = jnp.where(chance < 1, chance, 0) * 2.0**32  # scaled by 2^n, it keeps its digits
    whole = jnp.floor(upper)
    high, low = (x.astype(jnp.uint32) for x in (whole, (upper - whole) * 2.0**32))
    less = (random[0] < high) | ((random[0] == high) & (random[1] < low))
    return less | (chance >= 1)


# ---------------------------------------------------------------- Poisson counts of any mean


def arrives(mean: Any, key: jax.Array, high: Any, low: Any) -> jax.Array:
    """Whether there is an arrival before the mean, so that `arrivals` is not 0."""
    mean = jnp.asarray(mean)
    return _gap(_FIRST, key, high, low, _clock(mean)) < mean


def arrivals(mean: Any, key: jax.Array, high: Any, low: Any) -> jax.Array:
    """Poisson counts for indices: the number of arrivals, at rate 1, before the mean."""
    mean = jnp.asarray(mean)
    shape = jnp.broadcast_shapes(mean.shape, jnp.shape(high), jnp.shape(low))

    def next_arrival(state: tuple[Any, ...]) -> tuple[Any, ...]:
        turn, time, count = state
        time += _gap(turn, key, high, low, time.dtype)
        return turn + 1, time, count + (time < mean)

    first = (_FIRST, jnp.zeros(shape, _clock(mean)), jnp.zeros(shape, jnp.int32))
    return lax.while_loop(lambda state: jnp.any(state[1] < mean), next_arrival, first)[2]


_FIRST = np.uint32(2**31)  # no neuron has such an index


def _clock(mean: jax.Array) -> Any:
    return jnp.promote_types(mean.dtype, jnp.float32)


def _gap(turn: Any, key: jax.Array, high: Any, low: Any, dtype: Any) -> jax.Array:
    """Standard exponential draws; each tail is computed from words near 0, which keep digits."""
    random = words(jax.random.fold_in(key, turn), high, low)
    upper = random[0] >> 31 == 1
    first, second = (jnp.where(upper, ~x, x).astype(dtype) for x in random)
    part = first * 2.0**-32 + second * 2.0**-64
    return jnp.where(upper, -jnp.log(jnp.maximum(part, 2.0**-65)), -jnp.log1p(-part))
