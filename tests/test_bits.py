"""The random words are Threefry's, and jax.random's."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import braininit as init
from braininit._engine import bits as _bits
from braininit._engine import platforms as _platforms
from braininit._engine import sampler as _sampler
from braininit._math import erf_inv as _erf_inv

SHAPES = [(), (1,), (0,), (7,), (3, 0, 2), (1, 5, 1), (2, 3, 4), (130, 3, 2), (4, 3, 2, 5, 2)]


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
    words = _bits.threefry(*(jnp.asarray(w, jnp.uint32) for w in (*key, *counter)))
    assert tuple(int(w) for w in words) == expected


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_jax_random_s_words(shape, kind, impl):
    with jax.enable_x64(kind == "float64"):
        for seed in (0, 12345):
            ours = jax.jit(lambda k: _bits.words(k, shape, np.dtype(kind)))(
                jax.random.key(seed, impl=impl)
            )
            dtype = jnp.uint64 if kind == "float64" else jnp.uint32
            theirs = jax.random.bits(jax.random.key(seed, impl=impl), shape, dtype)
            assert ours.dtype == dtype
            np.testing.assert_array_equal(ours, theirs)


def test_many_keys_at_once():
    keys = jax.random.split(jax.random.key(1), (2, 3))
    ours = jax.vmap(jax.vmap(lambda k: _bits.words(k, (4, 5), np.dtype("float32"))))(keys)
    keys = jax.random.split(jax.random.key(1), (2, 3))
    theirs = jax.vmap(jax.vmap(lambda k: jax.random.bits(k, (4, 5))))(keys)
    np.testing.assert_array_equal(ours, theirs)


def test_the_other_layout_is_followed():
    with jax.threefry_partitionable(False):
        ours = init.normal(jax.random.key(0), (1001,))
        theirs = jax.random.normal(jax.random.key(0), (1001,))
    np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(ours, init.normal(jax.random.key(0), (1001,)))


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
def test_counters_beyond_32_bits(shape):
    """The arithmetic at offsets, without the arrays."""
    rng = np.random.default_rng(0)
    corners = [np.array([0, 1, n - 2, n - 1] + [rng.integers(n)] * 60, object) % n for n in shape]
    for _ in range(40):
        index = [int(rng.choice(c)) for c in corners]
        flat = 0
        for i, n in zip(index, shape, strict=True):
            flat = flat * n + i
        halves = [[jnp.asarray(half, jnp.uint32) for half in divmod(i, 2**32)] for i in index]
        words = _bits.flat_index(halves, shape)
        assert (int(words[0]) << 32) + int(words[1]) == flat


def test_the_counters_of_a_shape_are_its_flat_indices():
    high, low = _bits.counters((3, 4, 5))
    np.testing.assert_array_equal(low, np.arange(60).reshape(3, 4, 5))
    assert not np.any(high)


@pytest.mark.skipif(
    not _platforms.is_tried(*_erf_inv._TRIED), reason="here it is lax.erf_inv itself"
)
def test_the_inverse_error_function_is_xla_s():
    """Of every number a uniform draw can be, bit for bit."""
    low = np.nextafter(np.float32(-1), np.float32(0))
    unit = jnp.arange(2**23, dtype=jnp.float32) * 2.0**-23
    u = unit * (np.float32(1) - low) + low  # as jax.random.normal makes it
    theirs = jax.jit(jax.lax.erf_inv)(u)
    np.testing.assert_array_equal(jax.jit(_erf_inv.written_out)(u), theirs)
    inner = abs(u) < 0.9965
    np.testing.assert_array_equal(jax.jit(_erf_inv.central_erf_inv)(u)[inner], theirs[inner])


@pytest.mark.parametrize("shape", [(2**17,), (2**17 + 1,), (3, 7, 2**13)], ids=str)
@pytest.mark.parametrize("size", ["large", "small"])
def test_normals_large_and_small_are_jax_random_s(shape, size, monkeypatch):
    """Whichever way the inverse error function is worked out, in whatever program."""
    monkeypatch.setattr(_erf_inv, "_LARGE", 0 if size == "large" else 2**62)
    _sampler._sampler.cache_clear()

    def key():
        return jax.random.key(11)

    def keys():
        return jax.random.split(jax.random.key(12))

    for ours, theirs in (
        (lambda k: init.normal(k, shape), lambda k: jax.random.normal(k, shape)),
        (
            lambda k: init.truncated_normal(k, shape, low=-2.0, high=2.0),
            lambda k: jax.random.truncated_normal(k, -2.0, 2.0, shape),
        ),
    ):
        expected = jax.jit(theirs)(key())
        np.testing.assert_array_equal(ours(key()), expected)
        np.testing.assert_array_equal(jax.jit(ours)(key()), expected)
        np.testing.assert_array_equal(jax.vmap(ours)(keys()), jax.vmap(theirs)(keys()))
    _sampler._sampler.cache_clear()


def test_drawing_uses_the_key_up():
    for draw in (init.Normal(0.0, 1.0), init.Gamma(2.0), init.TruncatedNormal(0.0, 1.0, 0.0)):
        key = jax.random.key(0)
        draw(key, (3,))
        with pytest.raises(jax.errors.KeyReuseError):
            draw(key, (3,))
        with pytest.raises(jax.errors.KeyReuseError):
            jax.jit(lambda k, draw=draw: (draw(k, (3,)), draw(k, (3,))))(jax.random.key(1))


def test_the_switch():
    """BRAININIT_FUSED=0 takes the words from jax.random.bits; the draws stay the same."""
    code = (
        "import jax, braininit as init; from braininit._engine import bits;"
        "assert not bits.FUSED;"
        "print(jax.jit(lambda k: init.normal(k, (3,))).lower(jax.random.key(0)).as_text().count("
        "'threefry'), init.normal(jax.random.key(0), (3,)).tolist())"
    )
    environment = os.environ | {"BRAININIT_FUSED": "0", "JAX_PLATFORMS": "cpu"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert int(out.split()[0]) > 0
    assert out.split(maxsplit=1)[1].strip() == str(init.normal(jax.random.key(0), (3,)).tolist())
