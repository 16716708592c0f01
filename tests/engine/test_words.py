"""The random words are Threefry's, and jax.random's: of any shape, any place, any key."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import in_a_process
from jax import export
from jax.extend.random import threefry_2x32

import braininit as init
from braininit._engine.threefry import threefry

SHAPES = [(), (1,), (0,), (7,), (3, 0, 2), (1, 5, 1), (2, 3, 4), (130, 3, 2), (4, 3, 2, 5, 2)]


def key(seed=20):
    return jax.random.key(seed)


# Published with the Random123 library (kat_vectors): key, counter, 20 rounds.
@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(key, counter, expected):
    words = threefry(*(jnp.asarray(w, jnp.uint32) for w in (*key, *counter)))
    assert tuple(int(w) for w in words) == expected


# ---------------------------------------------------------------- as jax.random has them
# A uniform draw shows all but the last bits of its words.


@pytest.mark.parametrize(
    ("impl", "shape"),
    [("threefry2x32", s) for s in SHAPES] + [("rbg", s) for s in ((), (3, 0, 2), (130, 3, 2))],
    ids=str,
)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_jax_random_s_words(kind, impl, shape):
    with jax.enable_x64(kind == "float64"):
        draw = jax.jit(lambda k: init.uniform(k, shape, dtype=kind))
        for seed in (0, 12345):
            ours = draw(jax.random.key(seed, impl=impl))
            theirs = jax.random.uniform(jax.random.key(seed, impl=impl), shape, kind)
            np.testing.assert_array_equal(ours, theirs)


def test_many_keys_at_once():
    keys = jax.random.split(key(1), (2, 3))
    ours = jax.vmap(jax.vmap(lambda k: init.uniform(k, (4, 5))))(keys)
    keys = jax.random.split(key(1), (2, 3))
    theirs = jax.vmap(jax.vmap(lambda k: jax.random.uniform(k, (4, 5))))(keys)
    np.testing.assert_array_equal(ours, theirs)


def test_the_other_layout_is_followed():
    with jax.threefry_partitionable(False):
        ours = init.normal(key(0), (1001,))
        theirs = jax.random.normal(key(0), (1001,))
    np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(ours, init.normal(key(0), (1001,)))


@jax.debug_key_reuse(True)
def test_drawing_uses_the_key_up():
    for draw in (init.Normal(0.0, 1.0), init.Gamma(2.0), init.TruncatedNormal(0.0, 1.0, 0.0)):
        used = key(0)
        draw(used, (3,))
        with pytest.raises(jax.errors.KeyReuseError):
            draw(used, (3,))
        with pytest.raises(jax.errors.KeyReuseError):
            jax.eval_shape(jax.jit(lambda k, draw=draw: (draw(k, (3,)), draw(k, (3,)))), key(1))


@pytest.mark.parametrize("shape", [(3, 7, 2**13), (2**19 + 1,)], ids=str)
def test_normals_of_any_size_are_jax_random_s(shape):
    """Whichever way the inverse error function is worked out, in whatever program."""

    def keys():
        return jax.random.split(key(12))

    for ours, theirs in (
        (init.normal, jax.random.normal),
        (
            functools.partial(init.truncated_normal, low=-2.0, high=2.0),
            lambda k, shape: jax.random.truncated_normal(k, -2.0, 2.0, shape),
        ),
    ):
        expected = jax.jit(lambda k, theirs=theirs: theirs(k, shape))(key(11))
        np.testing.assert_array_equal(ours(key(11), shape), expected)
        drawn = jax.jit(lambda k, ours=ours: ours(k, shape))(key(11))
        np.testing.assert_array_equal(drawn, expected)
        mapped = [jax.vmap(lambda k, f=f: f(k, shape))(keys()) for f in (ours, theirs)]
        np.testing.assert_array_equal(*mapped)


def test_the_switch():
    """BRAININIT_FUSED=0 has JAX hash the words; the draws stay the same."""
    code = (
        "import jax, braininit as init;"
        "print(jax.jit(lambda k: init.normal(k, (3,))).lower(jax.random.key(0)).as_text().count("
        "'threefry'), init.normal(jax.random.key(0), (3,)).tolist())"
    )
    hashes, drawn = in_a_process(code, BRAININIT_FUSED="0").split(maxsplit=1)
    assert int(hashes) > 0
    assert drawn.strip() == str(init.normal(key(0), (3,)).tolist())


# ---------------------------------------------------------------- beyond 32 bits


def hashes(places):
    """JAX's own hashes of counters put together here."""
    count = [p >> 32 for p in places] + [p % 2**32 for p in places]
    words = threefry_2x32(jax.random.key_data(key()), jnp.array(count, jnp.uint32))
    return words.reshape(2, -1)


def uniforms(places):
    """The standard uniform draws at flat indices, as jax.random makes them of words."""
    words = np.asarray(hashes(places))
    bits = (words[0] ^ words[1]) >> 9 | np.float32(1).view(np.uint32)
    return bits.view(np.float32) - 1


@pytest.mark.parametrize(
    "shape",
    [
        (2**20, 2**20),
        (2**33, 3),
        (3, 2**33),
        (5, 2**31 + 7, 3, 11),
        (2**16 + 1, 2**16 + 1),
        (2**32,),
        (2**16, 2**16),
        (2, 2**32 - 1, 1, 2**20 + 3),
    ],
    ids=str,
)
def test_places_beyond_32_bits(shape):
    """XLA makes no more of an array than is looked at."""
    rng = np.random.default_rng(0)
    corners = [[0, 1, n - 2, n - 1, *rng.integers(n, size=60).tolist()] for n in shape]
    places = [
        [int(rng.choice(c)) % n for c, n in zip(corners, shape, strict=True)] for _ in "." * 40
    ]
    with jax.enable_x64(True):

        @jax.jit
        def one(k, place):
            x = init.uniform(k, shape, dtype="float32")
            return jax.lax.dynamic_slice(x, place, (1,) * len(shape)).ravel()[0]

        program = one.lower(key(), places[0]).compile()
        assert program.memory_analysis().temp_size_in_bytes < 2**20
        drawn = [float(program(key(), place)) for place in places]
    flat = [
        functools.reduce(lambda f, pair: f * pair[1] + pair[0], zip(p, shape, strict=True), 0)
        for p in places
    ]
    np.testing.assert_array_equal(drawn, uniforms(flat))


@pytest.mark.parametrize("start", [0, 5, 2**31, 2**32 - 2, 2**32 + 5, 2**33 + 7])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_rows_of_what_no_memory_holds(start, width):
    drawn = init.rows(init.Uniform(0.0, 1.0), key(), (2**34, width), start, start + 4)
    places = [start * width + i for i in range(4 * width)]
    np.testing.assert_array_equal(drawn.ravel(), uniforms(places))


def test_rows_of_other_keys_are_counted_by_one_word():
    with pytest.raises(ValueError, match="2\\^32"):
        init.rows(init.Uniform(0.0, 1.0), jax.random.key(0, impl="rbg"), (2**34, 2), 0, 3)


def test_open_sizes_count_in_64_bits():
    (b,) = export.symbolic_shape("b")

    def last(k, x):
        return init.uniform(k, (2**17, x.shape[0]))[-1, -1]

    open_size = jax.ShapeDtypeStruct((b,), "int8")
    program = export.export(jax.jit(last), platforms=["cpu"])(key(), open_size)
    n = 2**16 + 3
    drawn = jax.jit(program.call)(key(), jnp.zeros(n, "int8"))
    np.testing.assert_array_equal(drawn, uniforms([2**17 * n - 1])[0])
