"""Loops that are laid out flat, or a little longer, make the same numbers."""

from __future__ import annotations

import math

import jax
import numpy as np
from helpers import in_a_process

import braininit as init

SHAPES = ((2049,), (1, 6001), (1999, 3), (7, 701))


def drawn():
    """By shape: draws that are alone, composed, in a program of a user's; and edges."""
    base = init.Normal(0.5, 0.1)
    made = {
        "normal": base,
        "gamma": init.Gamma(0.3, 2.0),
        "two words": init.Beta(2.0, 5.0),
        "integers": init.UniformInt(0, 1000),
        "product": base * 3.0,
        "sum": base + init.Uniform(),
        "clipped": base.clip(0.4, 0.6),
        "grid": base.on_grid(0.1, "stochastic"),
        "parts": init.Conditional([0.25, 0.75], base, init.Uniform()),
        "columns": init.Mixture([base, init.Uniform()], axis=0),
    }
    found = {}
    for shape in SHAPES:
        for name, obj in made.items():
            found[f"{name} {shape}"] = obj(jax.random.key(1), shape)
        compiled = jax.jit(lambda key, shape=shape: base(key, shape) + 1)
        found[f"in a program {shape}"] = compiled(jax.random.key(2))
        edges = init.FixedTotalNumber(math.prod(shape))(jax.random.key(3), (100, 300))
        found |= {f"pre {shape}": edges.pre, f"post {shape}": edges.post}
    return {name: np.asarray(x) for name, x in found.items()}


CODE = """
import runpy, sys
import numpy as np

np.savez(sys.argv[2], **runpy.run_path(sys.argv[1])["drawn"]())
"""


def test_one_device_shared_by_cores_makes_the_numbers_of_eight(tmp_path):
    """Only the former lays loops out."""
    in_a_process(CODE, __file__, str(tmp_path / "there.npz"))
    here, there = drawn(), np.load(tmp_path / "there.npz")
    assert here.keys() == there.keys()
    for name, x in here.items():
        assert x.shape == there[name].shape, name
        np.testing.assert_array_equal(x, there[name], err_msg=name)
