"""Every source of randomness a user may hold: whose key it is, and what is refused."""

from __future__ import annotations

import importlib.util
import os
import threading

import brainstate
import brainunit as u
import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import bare, close, in_a_process, same

import braininit as init

NORMAL = init.Normal(0.5, 0.1)
CONDUCTANCE = init.Normal(0.5 * u.nS, 0.1 * u.nS)


# ---------------------------------------------------------------- sources of randomness


class Stateful:
    """A generator of one's own: any object with ``split_key()``."""

    def __init__(self, seed):
        self._key = jax.random.key(seed)

    def split_key(self):
        self._key, key = jax.random.split(self._key)
        return key


def brainstate_module(seed):
    brainstate.random.seed(seed)
    return brainstate.random


def numpy_module(seed):
    np.random.seed(seed)  # noqa: NPY002
    return np.random


def default_stream(seed):
    init.seed(seed)


def nnx_stream(seed):
    return nnx.Rngs(default=7, params=seed).params


def haiku_sequence(seed):
    return hk.PRNGSequence(seed).next


FIXED = {  # the same key at each use
    "typed": (jax.random.key, jax.random.key),
    "legacy": (jax.random.PRNGKey, jax.random.key),
    "legacy words": (lambda n: np.asarray(jax.random.PRNGKey(n)), jax.random.key),
    "int": (int, jax.random.key),
    "np.int64": (np.int64, jax.random.key),
    "np.uint8": (np.uint8, jax.random.key),
    "lambda": (lambda n: lambda: jax.random.key(n), jax.random.key),
}
STATEFUL = {  # from a seed: the source, and the key it gives first, where JAX knows it
    "nnx.Rngs": (nnx.Rngs, lambda n: nnx.Rngs(n)()),
    "nnx stream": (nnx_stream, lambda n: nnx_stream(n)()),
    "brainstate": (
        brainstate.random.RandomState,
        lambda n: brainstate.random.RandomState(n).split_key(),
    ),
    "brainstate.random": (brainstate_module, lambda n: brainstate_module(n).split_key()),
    "split_key": (Stateful, lambda n: Stateful(n).split_key()),
    "haiku": (haiku_sequence, lambda n: haiku_sequence(n)()),
    "np.Generator": (np.random.default_rng, None),
    "np.RandomState": (np.random.RandomState, None),
    "np.random": (numpy_module, None),
    "default": (default_stream, None),
}
OF_JAX = FIXED | {name: row for name, row in STATEFUL.items() if row[1]}
every_stateful = pytest.mark.parametrize("make", [m for m, _ in STATEFUL.values()], ids=STATEFUL)


@pytest.mark.parametrize(("make", "key"), OF_JAX.values(), ids=OF_JAX)
@pytest.mark.parametrize("seed", [0, 7])
def test_a_source_stands_for_its_key(make, key, seed):
    drawn = CONDUCTANCE((2, 3), rng=make(seed))
    assert same(drawn, init.normal(key(seed), (2, 3), 0.5 * u.nS, 0.1 * u.nS))


@every_stateful
def test_a_source_advances_and_can_be_replayed(make):
    rng = make(3)
    drawn = [NORMAL(4, rng=rng) for _ in range(3)]
    assert len({bare(x).tobytes() for x in drawn}) == 3
    rng = make(3)
    assert all(same(NORMAL(4, rng=rng), x) for x in drawn)
    assert not same(NORMAL(4, rng=make(4)), drawn[0])


@every_stateful
def test_a_source_advances_by_one_key_whatever_the_size(make):
    after = []
    for size in (1, (100, 7)):
        rng = make(3)
        NORMAL(size, rng=rng)
        after.append(NORMAL(4, rng=rng))
    assert same(*after)


@pytest.mark.parametrize("make", [m for m, _ in STATEFUL.values()], ids=STATEFUL)
def test_draws_from_a_source_have_the_distribution(make):
    rng = make(11)
    drawn = np.concatenate([bare(init.Normal()(2500, rng=rng)) for _ in range(4)])
    # At 5 standard errors each fails once in 1.7e6 streams, and these are fixed.
    assert abs(drawn.mean()) < 5 / np.sqrt(10_000)
    assert abs(drawn.std() - 1) < 5 / np.sqrt(20_000)


SEEDS = [0, 1, 2**31, 2**32, 2**32 + 1, 2**40, 2**63, 2**64, 2**70, -1, -2, -(2**32)]
SEEDS += [-(2**40), -(2**70), np.uint64(2**63 + 1), np.int64(-(2**62))]


def test_seeds_of_any_size_differ():
    drawn, restarted = set(), set()
    for seed in SEEDS:
        drawn.add(bare(NORMAL(4, rng=seed)).tobytes())
        init.seed(seed)
        restarted.add(bare(NORMAL(4)).tobytes())
    assert len(drawn) == len(restarted) == len(SEEDS)


def test_a_negative_seed_is_not_a_positive_one():
    assert not same(NORMAL(4, rng=-1), NORMAL(4, rng=2**32 - 1))


@pytest.mark.parametrize(
    "seed",
    [
        5,
        2**32 - 1,
        2**40,
        2**70,
        -(2**70),
        -3,
    ],
)
def test_a_seed_means_the_same_in_double_precision(seed):
    init.clear_caches()
    single = NORMAL(4, rng=seed)
    init.clear_caches()
    with jax.enable_x64(True):
        assert same(NORMAL(4, rng=seed, dtype=np.float32), single)


@pytest.mark.parametrize("rng", [True, 1.0, "7", object(), np.array(3), [0, 1], u.nS])
def test_what_is_no_source_is_refused(rng):
    with pytest.raises(TypeError, match=r"`rng` can't be a .*; pass a JAX key"):
        NORMAL(3, rng=rng)


def test_a_source_that_gives_no_key_is_refused():
    with pytest.raises(TypeError, match="must give a JAX key when called, got int"):
        NORMAL(3, rng=lambda: 3)


class Raising:
    """A source whose attribute, or what it gives, raises."""

    def __init__(self, early):
        self.early = early

    @property
    def split_key(self):
        if self.early:
            raise RuntimeError("not now")
        return lambda: self.__call__()


@pytest.mark.parametrize(
    "rng",
    [Raising(True), Raising(False), lambda: 1 / 0, jax.random.key, np.random.Generator],
    ids=["attribute", "split_key", "function", "wrong arguments", "class"],
)
def test_a_source_that_raises_is_named_and_its_error_is_the_cause(rng):
    for hook in (NORMAL, NORMAL * 2.0, init.Mixture([NORMAL, 1.0])):
        with pytest.raises(TypeError, match="`rng` gave no key, .*Error in .*; pass") as caught:
            hook(3, rng=rng)
        assert not isinstance(caught.value.__cause__, type(None))


def test_several_keys_are_refused():
    for keys in (jax.random.split(jax.random.key(0), 3), np.zeros((3, 2), np.uint32)):
        with pytest.raises(ValueError, match=r"must be one key.*jax\.vmap"):
            NORMAL(3, rng=keys)


@pytest.mark.parametrize("seed", [1.0, "a", True])
def test_seed_takes_integers_only(seed):
    with pytest.raises(TypeError, match="`value` must be an int or None"):
        init.seed(seed)


def test_an_unseeded_stream_starts_elsewhere():
    drawn = set()
    for _ in range(3):
        init.seed(None)
        drawn.add(bare(NORMAL(4)).tobytes())
    assert len(drawn) == 3


FORKING = """
import os, threading
import braininit as init
from braininit._engine.keys import from_rng

def words():
    return from_rng(None).tobytes().hex()

def child(of=words):
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.write(write, of().encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer

def seeding():
    init.seed(7)
    return words()

for seed in (5, 5, -5, None):
    init.seed(seed)
    words()
    print(child(), child(), child(lambda: child()), words(), child(seeding))
stop = threading.Event()
busy = threading.Thread(target=lambda: [words() for _ in iter(stop.is_set, True)])
busy.start()
for _ in range(20):
    child()
stop.set()
busy.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_a_stream_of_its_own():
    # A child that waits for ever for a lock makes this one wait as well.
    printed = in_a_process(FORKING, PYTHONWARNINGS="ignore")
    first, again, *others = [line.split() for line in printed.splitlines()]
    assert first == again
    assert len({words[-1] for words in (first, *others)}) == 1  # a child may seed for itself
    assert len({word for words in (first, *others) for word in words[:-1]}) == 4 * 3


def test_threads_share_the_default_stream_without_losing_a_draw():
    def draw(into, n):
        into.extend(float(init.Uniform()(())) for _ in range(n))

    alone, together = [], []
    init.seed(3)
    draw(alone, 200)
    init.seed(3)
    threads = [threading.Thread(target=draw, args=(together, 25)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(alone)) == 200
    assert sorted(together) == sorted(alone)


# ---------------------------------------------------------------- while JAX is tracing

TRACING = {
    "jit": lambda f: jax.jit(f)(),
    "vmap": lambda f: jax.vmap(lambda x: f() + x)(jnp.ones(2)),
    "grad": lambda f: jax.grad(lambda x: f() * x)(1.0),
    "eval_shape": lambda f: jax.eval_shape(f),
    "scan": lambda f: jax.lax.scan(lambda c, _: (c + f(), None), 0.0, None, length=2),
    "nnx.jit": lambda f: nnx.jit(f)(),
    "filter_jit": lambda f: eqx.filter_jit(f)(),
}
FROZEN = ("default", "np.Generator", "np.RandomState", "np.random")


@pytest.mark.parametrize("transform", TRACING.values(), ids=TRACING)
@pytest.mark.parametrize("name", FROZEN)
def test_sources_that_would_freeze_are_refused(transform, name):
    make, _ = STATEFUL[name]
    rng = make(3)
    expected = NORMAL((), rng=rng)
    rng = make(3)
    with pytest.raises(RuntimeError, match=r"while JAX is tracing.* pass a JAX key"):
        transform(lambda: NORMAL((), rng=rng))
    assert same(NORMAL((), rng=rng), expected)  # and nothing was taken from it


@pytest.mark.parametrize("transform", TRACING.values(), ids=TRACING)
def test_keys_ints_and_constants_work_while_tracing(transform):
    transform(lambda: NORMAL((), rng=7))
    transform(lambda: NORMAL(jax.random.key(7), ()))
    transform(lambda: init.Constant(0.5)(()))
    assert close(jax.jit(lambda: NORMAL(5, rng=7))(), NORMAL(jax.random.key(7), 5))


def test_sources_that_are_refused_while_tracing_work_in_a_callback():
    init.seed(3)
    expected = bare(NORMAL(3))
    init.seed(3)
    shape = jax.ShapeDtypeStruct((3,), np.float32)
    assert same(jax.jit(lambda: jax.pure_callback(lambda: bare(NORMAL(3)), shape))(), expected)


@pytest.mark.parametrize(
    "context",
    [
        jax.disable_jit,
        jax.checking_leaks,
        lambda: jax.enable_x64(True),
        jax.ensure_compile_time_eval,
    ],
)
def test_settings_are_not_taken_for_tracing(context):
    with context():
        assert NORMAL(3).shape == NORMAL(3, rng=np.random.default_rng(0)).shape == (3,)


def test_the_package_may_be_imported_while_tracing():
    spec = importlib.util.find_spec("braininit._engine.keys")
    again = importlib.util.module_from_spec(spec)
    jax.eval_shape(lambda: spec.loader.exec_module(again))
    with pytest.raises(RuntimeError, match="while JAX is tracing"):
        jax.eval_shape(lambda: again.from_rng(None))
    assert again.is_key(again.from_rng(None))


def test_a_framework_s_source_keeps_its_rules_inside_its_own_transforms():
    rng = brainstate.random.RandomState(3)
    draw = brainstate.transform.jit(lambda: NORMAL(4, rng=rng))
    first = draw()
    assert not same(draw(), first)
    assert close(first, NORMAL(4, rng=brainstate.random.RandomState(3)))
    rngs = nnx.Rngs(3)
    draw = nnx.jit(lambda rngs: NORMAL(4, rng=rngs))
    first = draw(rngs)
    assert not same(draw(rngs), first)
    assert close(first, NORMAL(4, rng=nnx.Rngs(3)))


# ---------------------------------------------------------------- what is not random


class Untouchable:
    def split_key(self):
        raise AssertionError("a deterministic initializer asked for a key")

    __call__ = split_key


@pytest.mark.parametrize("hook", [init.Constant(0.5 * u.nS), init.ZeroInit(), init.OneInit(u.mV)])
def test_deterministic_initializers_never_touch_their_source(hook):
    expected = bare(hook(3))
    for rng in (Untouchable(), "not a source", None):
        assert same(bare(hook(3, rng=rng)), expected)
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    jax.eval_shape(lambda: hook(3, rng=generator))
    hook(3, rng=generator)
    assert generator.bit_generator.state == before
    init.seed(3)
    first = NORMAL(4)
    init.seed(3)
    hook(3)
    assert same(NORMAL(4), first)
    key = jax.random.key(0)
    hook(key, 3)
    hook(key, 3)  # not reused: never used


# ---------------------------------------------------------------- key implementations

IMPLS = ("threefry2x32", "rbg", "unsafe_rbg", "philox4x32", "philox2x32")


def key_of(impl, seed=5):
    try:
        return jax.random.key(seed, impl=impl)
    except ValueError:
        pytest.skip(f"this JAX has no {impl}")


@pytest.mark.parametrize("impl", IMPLS)
def test_typed_keys_of_every_implementation(impl):
    drawn = init.normal(key_of(impl), (100, 100))
    assert same(init.Normal()((100, 100), rng=key_of(impl)), drawn)
    assert same(init.Normal()(key_of(impl), (100, 100)), drawn)
    assert close(jax.jit(lambda k: init.normal(k, (100, 100)))(key_of(impl)), drawn)
    assert not same(init.normal(key_of(impl, 6), (100, 100)), drawn)
    assert abs(drawn.mean()) < 5 / 100
    assert abs(drawn.std() - 1) < 5 / np.sqrt(20_000)


def test_implementations_draw_different_numbers():
    drawn = {bare(init.normal(key_of(impl), 5)).tobytes() for impl in IMPLS[:2] + IMPLS[3:]}
    assert len(drawn) == 4


@pytest.mark.parametrize("impl", IMPLS)
def test_every_source_follows_the_session_s_implementation(impl):
    key_of(impl)
    init.Normal()(6, rng=5)  # compiled for the implementation the session began with
    with jax.default_prng_impl(impl):
        expected = init.normal(jax.random.key(5), 6)
        for rng in (5, np.int64(5), jax.random.PRNGKey(5), np.asarray(jax.random.PRNGKey(5))):
            assert same(init.Normal()(6, rng=rng), expected)
        for name in FROZEN:
            make, _ = STATEFUL[name]
            drawn = init.Normal()(6, rng=make(3))
            assert same(init.Normal()(6, rng=make(3)), drawn)
            assert np.ptp(drawn) > 0.1
        assert not same(init.Normal()(6, rng=2**40), init.Normal()(6, rng=0))
        assert same(init.Normal()(6, rng=key_of("threefry2x32")), init.normal(_threefry(5), 6))
        assert init.Normal(0.0, 2.0) == init.Normal(std=2.0)
    if impl != "threefry2x32":
        assert not same(expected, init.normal(jax.random.key(5), 6))


def _threefry(seed):
    return jax.random.key(seed, impl="threefry2x32")


def test_a_legacy_key_of_another_implementation_is_refused():
    with jax.default_prng_impl("rbg"):
        words = jax.random.PRNGKey(5)
    with pytest.raises(TypeError, match="`rng` can't be"):
        NORMAL(3, rng=words)
    with pytest.raises(TypeError, match="must be a JAX key"):
        init.normal(words, 3)


@pytest.mark.parametrize("other", [jax.random.normal, init.uniform])
def test_a_key_is_used_up(other):
    key = jax.random.key(5)
    with jax.debug_key_reuse(True):
        NORMAL(3, rng=key)
        with pytest.raises(jax.errors.KeyReuseError):
            other(key, (3,))
