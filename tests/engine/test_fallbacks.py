"""Nothing rests on what JAX does not promise."""

from __future__ import annotations

import functools

import jax
import numpy as np
from helpers import in_a_process

import braininit as init

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
    nan, key = float("nan"), functools.partial(jax.random.key, 20)
    drawn = eval(in_a_process(DOORS), {"nan": nan})
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
