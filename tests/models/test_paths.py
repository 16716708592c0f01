"""Keys by path: pinned, injective in the parts, the same for all kinds of keys and in a trace."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import braininit as init
from braininit.models.paths import parts_of, path_keys, split

GOLDEN = {
    "": (2321684811, 542991194),
    "w": (2833735736, 639821093),
    "kernel": (392977103, 630035459),
    "blocks/0/mlp/kernel": (1861037908, 2315156483),
    "blocks/1/mlp/kernel": (3166656580, 1504665227),
    "blocks/10/mlp/kernel": (1767324008, 4054865402),
    "a/b": (1291304692, 1057839784),
    "ab": (1885128425, 2078087810),
    "/": (550918514, 4143940691),
    "a/": (2572359021, 2818216654),
    "mlp/~/linear_0/w": (3971542175, 2477896216),
    "params/Dense_0/kernel": (76203512, 2792733160),
    "größe/Σ": (802497681, 910558584),
    "x" * 300: (4057020966, 2805076032),
    "0": (2093671601, 3982802731),
    "0/0": (2079212322, 3244469035),
    "opt_state/0/mu/params/w": (877832997, 3990869529),
    "blocks/0/attn/q_proj/weight": (234262695, 1318003682),
    "weight_hh": (2087128620, 3343484132),
    "layers/3/weight": (2076882923, 3525874299),
}


def words(key):
    return tuple(int(word) for word in np.ravel(jax.random.key_data(key)))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p[:30] or "root")
def test_keys_are_pinned(path):
    assert words(init.path_key(jax.random.key(0), path)) == GOLDEN[path]


def test_parts_keep_their_lengths(key):
    different = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), ("a/b", "c"), ("", "abc"), ()]
    assert len({words(init.path_key(key, parts)) for parts in different}) == len(different)


def test_an_index_is_its_digits(key):
    written = ["blocks/0/w", ("blocks", 0, "w"), ("blocks", "0", "w"), ["blocks", np.int64(0), "w"]]
    assert len({words(init.path_key(key, path)) for path in written}) == 1


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_many_keys_are_the_single_ones(impl):
    key = jax.random.key(7, impl=impl)
    paths = [split(path) for path in GOLDEN]
    for made, path in zip(path_keys(key, paths), paths, strict=True):
        one = words(init.path_key(key, path))
        assert (tuple(map(int, made)) if isinstance(made, np.ndarray) else words(made)) == one


def test_a_legacy_key_gives_a_legacy_key():
    made = init.path_key(jax.random.PRNGKey(0), "blocks/0/mlp/kernel")
    assert made.dtype == np.uint32
    assert words(jax.random.wrap_key_data(made)) == GOLDEN["blocks/0/mlp/kernel"]


def test_keys_in_a_trace_are_the_eager_ones(key):
    eager = words(init.path_key(key, "a/b"))
    assert words(jax.jit(lambda k: init.path_key(k, "a/b"))(key)) == eager
    several = jax.vmap(lambda k: init.path_key(k, "a/b"))(jax.random.split(key, 3))
    assert several.shape == (3,)


def test_no_two_of_many_paths_share_a_key(key):
    paths = [("blocks", f"{i}", name) for i in range(5000) for name in ("w", "b")]
    made = np.stack(path_keys(key, paths))
    assert len(np.unique(made, axis=0)) == len(paths)


def test_dictionary_keys_with_slashes_and_tuples_are_several_parts():
    tree = {"mlp/~/linear": {"w": 0}, ("a", 0): [1]}
    leaves, _ = jax.tree_util.tree_flatten_with_path({"x": tree["mlp/~/linear"], "y/z": [0]})
    assert [parts_of(path) for path, _ in leaves] == [("x", "w"), ("y", "z", "0")]
    assert parts_of([jax.tree_util.DictKey(("a", 0))]) == ("a", "0")


def test_what_is_no_text_is_refused(key):
    with pytest.raises(ValueError, match=r"'a/\\ud800' is no text in UTF-8: surrogates"):
        init.path_key(key, "a/\ud800")


def test_what_is_no_key_is_refused():
    with pytest.raises(TypeError, match="a path is text or a sequence of parts, got 3"):
        init.path_key(jax.random.key(0), 3)
    with pytest.raises(TypeError, match=r"must be a JAX key, got 3; write jax.random.key\(3\)"):
        init.path_key(3, "a")
