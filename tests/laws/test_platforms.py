"""Draws do not depend on platform, switches, settings or transformations."""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, DRAWN, RANDOM, SIMPLE
from helpers import in_a_process

import braininit as init

every = pytest.mark.parametrize("case", CASES, ids=str)
FEW = 4096  # bytes of temporaries in a program


def key():
    return jax.random.key(20)


# ---------------------------------------------------------------- switches
# These run in new processes: switches are read at import, and with a single CPU device draws use
# code paths of their own.

ROWS, LARGE = (2**15, 3), (2**20, 2)


def elementwise():
    return [case for case in DRAWN if case.rank < 2]


def of_every_row():
    """Yield a few numbers of every row, and of simple rows in float64."""
    for case in CASES:
        yield str(case), case.make()(key(), case.fit((2, 3)))
    with jax.enable_x64(True):
        for case in SIMPLE:
            yield f"{case} 64", case.make()(key(), case.fit((2, 3)), "float64")


def on_one_cpu():
    """Yield draws of shapes with their own code paths, alone and inside programs."""
    yield "bfloat16", init.Normal(0.0, 1.0)(key(), (2**12,), "bfloat16")
    for case in elementwise():
        obj = case.make()
        yield f"{case} large", obj(key(), LARGE)
        program = jax.jit(lambda o, k: o(k, ROWS)).lower(obj, key()).compile()
        few = 2**20 if case.atol else FEW  # a table of draws
        few += 12 * math.prod(ROWS) if case.in_rounds else 0
        assert program.memory_analysis().temp_size_in_bytes <= few, case
        yield f"{case} in rows", program(obj, key())
        yield f"{case} elsewhere", operations_for("cuda", obj, ROWS)
    for case in RANDOM:
        arrays = {n: jnp.full(ROWS, v) for n, v in case.given.items()}
        yield f"{case} by element", case.make(**arrays)(key(), ROWS)
    for shape in HUGE:
        assert jax.eval_shape(lambda k, s=shape: init.normal(k, s), key()).shape == shape
    for kind in jax.sharding.AxisType:  # a plan for other devices
        plan = jax.sharding.AbstractMesh((4,), ("x",), axis_types=(kind,))
        lives = jax.sharding.NamedSharding(plan, jax.P("x"))
        means, k = jax.ShapeDtypeStruct(LARGE[:1], "float32", sharding=lives), key()
        with jax.sharding.use_abstract_mesh(plan):
            jax.eval_shape(lambda m, k: init.normal(k, LARGE[:1], m), means, k)


def operations_for(platform, obj, shape):
    """List the kinds of operations, in any branch or function, of another platform's program."""
    draw = jax.jit(lambda k: obj(k, shape))
    text = jax.export.export(draw, platforms=[platform])(key()).mlir_module()
    operations = set(re.findall(r"= \"?(stablehlo\.\w+).* : (.*?)(?: loc.*)?$", text, re.M))
    return "\n".join(sorted(": ".join(o) for o in operations if o[0] != "stablehlo.constant"))


def printed(draws):
    """Return draws as JSON: few numbers as a list, many as a hash."""
    table = {}
    for name, x in draws:
        x = np.asarray(x)
        few = x.size < 100 and x.dtype.kind == "f"
        table[name] = x.ravel().tolist() if few else hashlib.sha256(x.tobytes()).hexdigest()
    return json.dumps(table)


def drawn_in_a_process(selection, **switches):
    code = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
    return json.loads(in_a_process(code, selection, **switches))


def test_switches_do_not_change_the_numbers():
    here = json.loads(printed(of_every_row()))
    there = drawn_in_a_process("rows", BRAININIT_FUSED="0", BRAININIT_TUNED="0")
    assert here.keys() == there.keys()
    for name, drawn in here.items():
        # Factorizations and sums leave the last bit to the compiler.
        close = {"rtol": 3e-6, "atol": 1e-6} if "Spectral" in name else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(there[name], drawn, err_msg=name, **close)


def test_tuning_for_one_cpu_does_not_change_the_numbers():
    """Nor the programs for other platforms."""
    tuned, plain = (drawn_in_a_process("one cpu", BRAININIT_TUNED=on) for on in "10")
    assert tuned == plain


# ---------------------------------------------------------------- settings, transformations


@every
def test_settings_and_transformations_do_not_change_the_numbers(case):
    shape, obj = case.fit((3,)), case.make()

    def close(drawn, expected):
        np.testing.assert_allclose(drawn, expected, rtol=2e-6, atol=1e-7)

    (child,) = jax.random.split(key(), 1)
    plain, expected = obj(key(), shape), obj(child, shape)
    with jax.enable_x64(True):
        wide = case.make()(key(), shape, "float32")
    assert wide.dtype == np.float32
    close(wide, plain)
    with jax.disable_jit():
        np.testing.assert_array_equal(case.make()(key(), shape), plain)
        close(jax.jit(lambda k: obj(k, shape))(key()), plain)
        close(jax.vmap(lambda k: obj(k, shape))(jax.random.split(key(), 1))[0], expected)
        slope = jax.grad(lambda x: (obj(key(), shape) * x).sum())(1.0)
    np.testing.assert_allclose(slope, plain.sum(), rtol=1e-5, atol=1e-6)


def test_draws_of_several_steps_work_without_jit():
    far = np.array([[0.0, 30.0], [60.0, 90.0]])
    local = init.DistanceModulated(init.LogNormal(0.5, 0.1), init.GaussianProfile(50.0))

    def drawn():
        yield init.Spectral(init.Normal(0.0, 1.0), radius=0.9)(key(), (4, 4))
        yield local((2, 2), rng=key(), distances=far)

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


# Without Conditional, which evaluates its condition for all indices, on the host.
@pytest.mark.parametrize(
    "case", [c for c in elementwise() if c.cls is not init.Conditional], ids=str
)
@pytest.mark.parametrize("shape", HUGE, ids=str)
def test_more_numbers_than_32_bits_count(case, shape):
    """Traced only, since such draws fit into no memory."""
    obj = case.make()
    assert jax.eval_shape(lambda k: obj(k, shape), key()).shape == shape
    mapped = jax.eval_shape(jax.vmap(lambda k: obj(k, shape)), jax.random.split(key()))
    assert mapped.shape == (2, *shape)


if __name__ == "__main__":
    print(printed({"rows": of_every_row, "one cpu": on_one_cpu}[sys.argv[-1]]()))
