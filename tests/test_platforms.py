"""Every draw is the same whatever it runs on, and exports for what is not here."""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, DRAWN, RANDOM, SIMPLE
from jax import export
from jax.extend.random import threefry_2x32

import braininit as init
from braininit._engine import bits as _bits
from braininit._engine import keys as _keys
from braininit._engine import loops as _loops
from braininit._engine import platforms as _platforms
from braininit._engine import sampler as _sampler
from braininit._math import erf_inv as _erf_inv
from braininit.initializer import children as _children

PLATFORMS = ("cpu", "cuda", "tpu", "rocm")
FAR = np.array([[0.0, 30.0], [60.0, 90.0]])
OTHERS = {
    "DistanceModulated": init.DistanceModulated(
        init.LogNormal(0.5, 0.1), init.GaussianProfile(50.0)
    ),
    "Radius": init.Spectral(init.Normal(0.0, 1.0), radius=0.9),
    "Balanced": init.Dale(init.Gamma(2.0, 1.0), 0.5, balance="exact"),
    "Complex": init.Normal(0.0, 1.0),
    "Nested": (init.Beta(2.0, 5.0) * init.Gamma(2.0, 1.0) + 1.0).clip(0.5, 3.0),
}
every = pytest.mark.parametrize("case", CASES, ids=str)


def key():
    return jax.random.key(20)


def members(case):
    """The ordinary member and, of what is made of others, the unusual ones too."""
    corners = case.corners if case.composed else ()
    return [case.make(**given) for given in ({}, *corners)]


def exported(function, *arguments, platforms=PLATFORMS):
    return export.export(jax.jit(function), platforms=platforms)(*arguments)


def text_for(platform, function, *arguments):
    """The program for one platform, without the places in the source."""
    text = exported(function, *arguments, platforms=[platform]).mlir_module()
    return operations(text)


def operations(text):
    lines = (line.partition(" loc(")[0] for line in text.splitlines())
    return "\n".join(line for line in lines if not line.startswith("#loc"))


# ---------------------------------------------------------------- exports


@every
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_draw_exports_for_every_platform(case, dtype):
    for obj in members(case):
        exported(lambda k, obj=obj: obj(k, case.fit((3,)), dtype), key())


@every
def test_what_is_exported_draws_the_same(case):
    """From traced parameters too; one program for four platforms, run on the one at hand."""
    shape = case.fit((3,))
    program = exported(lambda o, k: o(k, shape), case.make(), key())
    np.testing.assert_allclose(
        program.call(case.make(), key()), case.make()(key(), shape), rtol=5e-6, atol=1e-7
    )


@every
def test_every_draw_exports_in_float64(case, x64):
    exported(lambda o, k: o(k, case.fit((3,)), "float64"), case.make(), key())


@pytest.mark.parametrize("name", OTHERS)
def test_what_the_table_does_not_hold_exports(name):
    def draw(k):
        if name == "DistanceModulated":
            return OTHERS[name]((2, 2), rng=k, distances=FAR)
        return OTHERS[name](k, (4, 4), "complex64" if name == "Complex" else None)

    np.testing.assert_allclose(exported(draw, key()).call(key()), draw(key()), rtol=1e-6)


@every
def test_what_an_eager_call_compiles_exports(case, monkeypatch):
    seen = []

    def compiled(function, sharding, on_cpu):
        program = original(function, sharding, None)

        def call(*arguments):
            seen.append(export.export(jax.jit(function), platforms=PLATFORMS)(*arguments))
            return jax.eval_shape(program, *arguments)  # to compile it is another test's

        return program if on_cpu is None else call

    original = _sampler.compiled
    init.clear_caches()
    monkeypatch.setattr(_sampler, "compiled", compiled)
    monkeypatch.setattr(_children, "compiled", compiled)
    case.make()(key(), case.fit((2,)))
    init.clear_caches()
    assert seen or case.cls in (init.Constant, init.ZeroInit, init.OneInit)


def test_each_platform_gets_its_own_way(monkeypatch):
    """What was tried on CPUs only is in no other platform's program, and in theirs as ever."""
    monkeypatch.setattr(jax, "device_count", lambda *_: 1)
    monkeypatch.setattr(_loops, "cores", lambda: 4)
    monkeypatch.setattr(_loops, "_LARGE", 2**19)
    monkeypatch.setattr(_platforms, "is_tried", lambda *_: True)
    for module in (_erf_inv, _loops):
        monkeypatch.setattr(module, "is_tried", lambda *_: True)
    init.clear_caches()
    half = "stablehlo.reduce_precision"
    with jax.debug_key_reuse(False):
        for shape, marks in (
            ((2**19,), ("inlineable", "x2xf32")),  # pairs
            ((2**17,), ("4x32768xf32",)),  # rows by core
            ((2**15 + 1, 3), ("inlineable",)),  # flat
            ((513, 1025), ()),
        ):
            draw = functools.partial(init.normal, shape=shape)
            texts = {p: text_for(p, draw, key()) for p in PLATFORMS}
            plain = texts["cuda"]
            assert "log_plus_one" in plain  # of XLA's own inverse error function
            for mark in marks:
                assert mark in texts["cpu"]
                assert mark not in plain
            if shape == (2**19,):
                assert "log_plus_one" not in texts["cpu"]
        draw = functools.partial(init.uniform, shape=(3,), dtype="bfloat16")
        counts = {p: text_for(p, draw, key()).count(half) for p in PLATFORMS}
        assert counts["cpu"] == counts["cuda"] + 1
    init.clear_caches()


def test_one_program_for_all_platforms_has_the_ways_of_each(monkeypatch):
    monkeypatch.setattr(_erf_inv, "_LARGE", 0)
    monkeypatch.setattr(_erf_inv, "is_tried", lambda *_: True)
    init.clear_caches()
    program = exported(functools.partial(init.normal, shape=(5,)), key())
    assert operations(program.mlir_module()).count("log_plus_one") == 1
    np.testing.assert_array_equal(program.call(key()), jax.random.normal(key(), (5,)))
    init.clear_caches()


# ---------------------------------------------------------------- three questions


@dataclasses.dataclass
class Elsewhere:
    """A device of another platform, which is all that a draw asks about it."""

    platform: str = "gpu"


def test_where_an_eager_draw_runs(monkeypatch):
    def on_cpu(*arrays, mesh=None):
        return _platforms.is_on_cpu(mesh, *arrays)

    assert on_cpu(key())
    monkeypatch.setattr(_platforms, "_has_only_cpus", lambda: False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    here = jax.devices("cpu")[0]
    assert not on_cpu(key())
    assert on_cpu(jax.device_put(key(), here))
    assert on_cpu(key(), [1.0, jax.device_put(1.0, here)])
    assert on_cpu(key(), mesh=jax.make_mesh((8,), ("x",)))
    with jax.default_device(here):
        assert on_cpu(key())
    with jax.default_device("cpu"):
        assert on_cpu(key())
    with jax.set_mesh(jax.make_mesh((8,), ("x",))):
        assert on_cpu(jax.random.key(0))
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert on_cpu(key())


def test_a_draw_elsewhere_gets_nothing_of_a_cpu_s(monkeypatch):
    monkeypatch.setattr(_sampler, "is_on_cpu", lambda *_: False)
    monkeypatch.setattr(jax, "device_count", lambda *_: 1)
    monkeypatch.setattr(_loops, "cores", lambda: 4)
    options = []
    jit = jax.jit
    monkeypatch.setattr(
        jax, "jit", lambda f, **given: (options.append(given.get("compiler_options")), jit(f))[1]
    )
    asked = []
    monkeypatch.setattr(_sampler, "by_core", lambda *given: asked.append(given))
    init.clear_caches()
    drawn = init.exponential(key(), (2**16,))
    monkeypatch.undo()
    init.clear_caches()
    assert not any(options)
    assert not asked
    np.testing.assert_array_equal(drawn, init.exponential(key(), (2**16,)))


# ---------------------------------------------------------------- the same numbers


def numbers(case, dtype=None):
    """Some draws of a case, one of them large enough for what is done on CPUs alone."""
    large = [(2**16,)] if case in RANDOM and case.rank == 0 else []
    shapes = [case.fit((2, 3)), *large]
    obj = case.make()
    drawn = [obj(key(), shape, dtype) for shape in shapes]
    drawn.append(jax.jit(lambda k: obj(k, shapes[0], dtype))(key()))
    return [np.asarray(x, np.float64) for x in drawn]


def everything():
    """The numbers of all cases, for a process that has been set otherwise."""
    drawn = {}
    for case in CASES:
        drawn[str(case)] = numbers(case)
    with jax.enable_x64(True):
        for case in SIMPLE:
            obj = case.make()
            drawn[f"{case} 64"] = [np.asarray(obj(key(), case.fit((2, 3)), "float64"))]
    return drawn


def test_the_numbers_do_not_change_by_a_switch():
    by_default = in_a_process({})
    other = in_a_process({"BRAININIT_FUSED": "0", "BRAININIT_TUNED": "0"})
    assert by_default.keys() == other.keys()
    for name, drawn in by_default.items():
        for ours, theirs in zip(drawn, other[name], strict=True):
            # The last bit is the compiler's where a matrix is factorized or a sum is taken.
            close = {"rtol": 3e-6, "atol": 1e-6} if "Spectral" in name else {"rtol": 0, "atol": 0}
            np.testing.assert_allclose(theirs, ours, err_msg=name, **close)


def in_a_process(switches):
    run = subprocess.run(
        [sys.executable, __file__],
        env=os.environ
        | switches
        | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return pickle.loads(run.stdout)


@every
def test_the_numbers_do_not_change_by_a_setting_or_a_transformation(case):
    shape, obj = case.fit((3,)), case.make()

    def close(drawn, expected):
        np.testing.assert_allclose(drawn, expected, rtol=2e-6, atol=1e-7)

    def mapped():
        return jax.vmap(lambda k: obj(k, shape))(jax.random.split(key(), 1))[0]

    (own_key,) = jax.random.split(key(), 1)
    plain, expected = obj(key(), shape), obj(own_key, shape)
    close(mapped(), expected)
    with jax.enable_x64(True):
        wide = case.make()(key(), shape, "float32")
    assert wide.dtype == np.float32
    close(wide, plain)
    with jax.disable_jit():
        np.testing.assert_array_equal(case.make()(key(), shape), plain)
        close(jax.jit(lambda k: obj(k, shape))(key()), plain)
        close(mapped(), expected)
        slope = jax.grad(lambda x: (obj(key(), shape) * x).sum())(1.0)
    np.testing.assert_allclose(slope, plain.sum(), rtol=1e-5, atol=1e-6)


def test_what_is_made_step_by_step_works_without_jit():
    def drawn():
        yield OTHERS["Radius"](key(), (4, 4))
        yield OTHERS["DistanceModulated"]((2, 2), rng=key(), distances=FAR)

    plain = list(drawn())
    with jax.disable_jit():
        for again, expected in zip(drawn(), plain, strict=True):
            np.testing.assert_allclose(again, expected, rtol=1e-5)
        slope = jax.grad(lambda std: init.normal(key(), (3,), 0.0, std).sum())(2.0)
        bad = jax.vmap(lambda std: init.normal(jax.random.key(0), (3,), 0.0, std))(
            jnp.array([1.0, -1.0])
        )
    assert np.isfinite(slope)
    np.testing.assert_array_equal(np.isnan(bad).all(1), [False, True])


# ---------------------------------------------------------------- beyond 32 bits

HUGE = [(2**16 + 1, 2**16 + 1), (2**33 + 1,)]


# A condition is asked about all indices, and on the host.
COUNTED = [case for case in DRAWN if case.rank < 2 and case.cls is not init.Conditional]


@pytest.mark.parametrize("case", COUNTED, ids=str)
@pytest.mark.parametrize("shape", HUGE, ids=str)
def test_more_numbers_than_a_word_counts(case, shape, monkeypatch):
    """Of any shape, in any call: what is traced is all that can be without the memory."""
    monkeypatch.setattr(jax, "device_count", lambda *_: 1)
    monkeypatch.setattr(_loops, "cores", lambda: 4)

    def compiled(function, sharding, on_cpu):
        program = original(function, sharding, None)
        return program if on_cpu is None else functools.partial(jax.eval_shape, program)

    original = _sampler.compiled
    obj = case.make()
    assert jax.eval_shape(lambda k: obj(k, shape), key()).shape == shape
    mapped = jax.eval_shape(jax.vmap(lambda k: obj(k, shape)), jax.random.split(key()))
    assert mapped.shape == (2, *shape)
    monkeypatch.setattr(_sampler, "compiled", compiled)
    monkeypatch.setattr(_children, "compiled", compiled)
    init.clear_caches()
    with jax.debug_key_reuse(False):
        assert obj(key(), shape).shape == shape
    init.clear_caches()


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("draw", [_bits.words, _bits.word_pairs])
def test_words_of_shapes_that_a_word_does_not_count(draw, kind, impl):
    with jax.enable_x64(kind == "float64"):
        for shape in HUGE:
            got = jax.eval_shape(
                lambda k, shape=shape: draw(k, shape, np.dtype(kind)), jax.random.key(0, impl=impl)
            )
            assert {x.shape for x in jax.tree.leaves(got)} == {shape}


@pytest.mark.parametrize(("size", "word"), [(8, 8), (9, 8), (16, 8), (27, 5), (7, 8)])
def test_an_axis_that_a_word_does_not_count(size, word):
    """The axis is folded by words; a word of eight numbers, so that one can look."""
    for shape, axis in (((size, 2), 0), ((3, size), 1), ((size,), 0)):
        high, low = _bits._along(shape, axis, word)
        index = np.asarray(low) if high is None else np.asarray(high) * word + np.asarray(low)
        expected = np.indices(shape)[axis]
        np.testing.assert_array_equal(index, expected)


@pytest.mark.parametrize("start", [0, 5, 2**31, 2**32 - 2, 2**32 + 5, 2**34 + 3])
def test_rows_beyond_32_bits_are_hashes_of_their_places(start):
    """Against JAX's own hash of counters put together here."""
    for width in (1, 3):
        window = _keys.Window(key(), np.array(divmod(start, 2**32), np.uint32), 4, 2**35)
        place = [start * width + i for i in range(4 * width)]
        for ours, theirs in zip(_bits.blocks(window, (4, width)), hashes(place), strict=True):
            np.testing.assert_array_equal(ours.ravel(), theirs)


def hashes(places):
    count = [p >> 32 for p in places] + [p % 2**32 for p in places]
    words = threefry_2x32(jax.random.key_data(key()), jnp.array(count, jnp.uint32))
    return words.reshape(2, -1)


def test_rows_of_what_no_memory_holds():
    shape = (2**34, 2)
    start = 2**33 + 7
    drawn = init.rows(init.Uniform(0.0, 1.0), key(), shape, start, start + 3)
    words = hashes([start * 2 + i for i in range(6)])
    bits = (words[0] ^ words[1]) >> 9 | np.float32(1).view(np.uint32)
    unit = jax.lax.bitcast_convert_type(bits, np.float32) - 1
    np.testing.assert_array_equal(drawn.ravel(), unit)
    with pytest.raises(ValueError, match="2\\^32"):
        init.rows(init.Uniform(0.0, 1.0), jax.random.key(0, impl="rbg"), shape, 0, 3)


# ---------------------------------------------------------------- open sizes


@pytest.mark.parametrize("case", [c for c in SIMPLE if c.rank == 0], ids=str)
def test_sizes_that_an_export_keeps_open(case):
    obj = case.make()
    for _ in range(2):  # each with a scope of its own
        open_size = jax.ShapeDtypeStruct(export.symbolic_shape("b, 4"), "float32")
        program = exported(lambda k, x: obj(k, x.shape), key(), open_size)
    drawn = program.call(key(), jnp.zeros((3, 4)))
    np.testing.assert_allclose(drawn, obj(key(), (3, 4)), rtol=2e-6)


@pytest.mark.parametrize(
    "obj", [init.Orthogonal(), init.KaimingNormal()], ids=lambda obj: type(obj).__name__
)
def test_what_has_to_know_its_sizes_says_so(obj):
    open_size = jax.ShapeDtypeStruct(export.symbolic_shape("b, 4"), "float32")
    with pytest.raises(TypeError, match=r"has to know its sizes, got \(b, 4\)"):
        exported(lambda k, x: obj(k, x.shape), key(), open_size)


@pytest.mark.parametrize(
    "obj",
    [
        *(init.Identity(), init.Sparse(0.5), init.Dale(init.Gamma(2.0), 0.5)),
        *(init.Truncated(base, 0.2, 0.9) for base in (init.Gamma(2.0), init.Beta(2.0, 5.0))),
    ],
    ids=str,
)
def test_others_of_open_sizes(obj):
    open_size = jax.ShapeDtypeStruct(export.symbolic_shape("b, 4"), "float32")
    program = exported(lambda k, x: obj(k, x.shape), key(), open_size)
    drawn = program.call(key(), jnp.zeros((6, 4)))
    np.testing.assert_allclose(drawn, obj(key(), (6, 4)), rtol=2e-6, atol=1e-7)


def test_open_sizes_count_in_64_bits():
    (b,) = export.symbolic_shape("b")

    def last(k, x):
        index = [(None, jnp.full((1, 1), n, jnp.uint32)) for n in (3, 2**31 + 5)]
        return _bits.flat_index(index, (4, x.shape[0]))

    program = exported(last, key(), jax.ShapeDtypeStruct((b,), "int8"), platforms=["cpu"])
    n = 2**16 + 3
    high, low = program.call(key(), jnp.zeros(n, "int8"))
    assert (int(high[0, 0]) << 32) + int(low[0, 0]) == 3 * n + 2**31 + 5


# ---------------------------------------------------------------- what JAX does not promise

# Modules and functions that may be gone or otherwise in another JAX, see CONTRIBUTING.
DOORS = """
import sys
import brainunit, chex, jax, jax.export, numpy as np

jit = jax.jit
def without_options(function, **options):
    if options.pop("compiler_options", None):
        raise LookupError("gone")
    return jit(function, **options)

def gone(*arguments, **options):
    raise LookupError("gone")

jax.jit, jax.make_jaxpr = without_options, gone
del jax.extend
for name in ("", ".core", ".backend", ".random"):
    sys.modules["jax.extend" + name] = None
sys.modules["jax.experimental.xla_metadata"] = sys.modules["jaxlib.version"] = None

import braininit as init
from braininit._engine import keys as _keys
from braininit._engine import loops as _loops
from braininit._engine import platforms as _platforms
from braininit._engine import sampler as _sampler

assert _loops.set_xla_metadata is None and _keys.get_opaque_trace_state is None
assert _sampler._options() is None and not _platforms._has_only_cpus()
assert not _platforms.is_tried(*((0, n) for n in range(100)))
key = jax.random.key(20)
draws = [
    init.normal(key, (2**14,)), init.gamma(key, (4100, 3), 2.0), init.Normal(0.0, 1.0)(3, rng=0),
    jit(lambda k, std: init.normal(k, (5,), 0.0, std))(key, 2.0),
    jax.vmap(lambda std: init.normal(key, (2,), 0.0, std))(np.array([1.0, -1.0], "float32")),
    (init.Normal(0.0, 1.0) * init.Uniform(0.0, 1.0))(key, (4,)),
]
assert init.Normal(0.0, 1.0)(3).shape == (3,)
try:
    jit(lambda: init.Normal(0.0, 1.0)(3))()
    raise SystemExit("drawn from the default stream within jit")
except RuntimeError:
    pass
print([np.asarray(x, float).ravel()[:6].tolist() for x in draws])
"""


def test_nothing_rests_on_what_jax_does_not_promise():
    nan = float("nan")
    run = subprocess.run(
        [sys.executable, "-c", DOORS],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    drawn = eval(run.stdout, {"nan": nan})
    draws = [
        init.normal(key(), (2**14,)),
        init.gamma(key(), (4100, 3), 2.0),
        init.Normal(0.0, 1.0)(3, rng=0),
        jax.jit(lambda k, std: init.normal(k, (5,), 0.0, std))(key(), 2.0),
        [*init.normal(key(), (2,)), nan, nan],
        (init.Normal(0.0, 1.0) * init.Uniform(0.0, 1.0))(key(), (4,)),
    ]
    for ours, theirs in zip(drawn, draws, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(theirs, float).ravel()[:6])


# ---------------------------------------------------------------- caches


def test_caches_are_cleared():
    caches = [_sampler._sampler, _children._compiled, _sampler._filler]
    (init.Normal(0.0, 1.0) * 2.0)(key(), (3,))
    init.Constant(1.0)((3,))
    assert all(cache.cache_info().currsize for cache in caches)
    assert all(cache.cache_info().maxsize <= 512 for cache in caches)
    init.clear_caches()
    assert not any(cache.cache_info().currsize for cache in caches)
    assert not _keys._key_from_seed.cache_info().currsize


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(everything()))
