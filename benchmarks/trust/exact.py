"""Checks without chance: eager draws equal jitted ones, and matrices keep their promises.

Each check returns True or False. The battery starts `python -m benchmarks.trust.exact NAME ...` in
a process with eight devices, which prints fingerprints of draws on one of them and on all.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import braininit as init
from benchmarks import peers
from benchmarks.trust.laws import DTYPES

__all__ = ["PROMISES", "devices", "eager_is_jit", "fingerprint", "matrices", "on_eight"]

KEY = 21
SHAPE = (512, 64)


def _same(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def eager_is_jit(draw: Callable[[Any, int, Any], Any], dtype: np.dtype, n: int = 2**20) -> bool:
    """True if a draw under `jax.jit` has the bits of the eager one."""
    eager = draw(jax.random.key(KEY), n, dtype)
    jitted = jax.jit(lambda key: draw(key, n, dtype))(jax.random.key(KEY))
    return _same(eager, jitted)


# ---------------------------------------------------------------- one device and eight


def fingerprint(case: Any, dtype: np.dtype, **options: Any) -> str:
    """Return a hash of the bits of one draw of a case."""
    with jax.enable_x64(dtype == np.float64):
        x = case.make()(jax.random.key(KEY), case.fit(SHAPE), dtype, **options)
    return hashlib.sha256(np.asarray(x).tobytes()).hexdigest()


def devices(names: list[str]) -> dict[str, bool]:
    """Compare draws on one device and on eight, by case and dtype: ``"Normal float32"``."""
    others = on_eight(names)
    here = {
        f"{case} {name}": fingerprint(case, dtype)
        for case in peers.CASES
        if str(case) in names
        for name, dtype in DTYPES.items()
    }
    return {name: set(others[name]) == {bits} for name, bits in here.items()}


def on_eight(names: list[str]) -> dict[str, list[str]]:
    """Return fingerprints from a process with eight devices: on one of them, and on all."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.trust.exact", *names],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def _fingerprints(names: list[str]) -> dict[str, list[str]]:
    assert jax.device_count() == 8
    mesh = jax.make_mesh((4, 2), ("x", "y"))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x", "y"))
    return {
        f"{case} {name}": [
            fingerprint(case, dtype),
            fingerprint(case, dtype, out_sharding=spread),
        ]
        for case in peers.CASES
        if str(case) in names
        for name, dtype in DTYPES.items()
    }


# ---------------------------------------------------------------- matrices


def _orthogonal(dtype: np.dtype) -> bool:
    x = _drawn(init.Orthogonal(2.0), (256, 64), dtype)
    return _near(x.T @ x, 4 * np.eye(64), dtype)


def _delta_orthogonal(dtype: np.dtype) -> bool:
    x = _drawn(init.DeltaOrthogonal(2.0), (3, 32, 64), dtype)
    around = np.delete(x, 1, 0)
    return not around.any() and _near(x[1] @ x[1].T, 4 * np.eye(32), dtype)


def _identity(dtype: np.dtype) -> bool:
    return np.array_equal(_drawn(init.Identity(2.0), (64, 48), dtype), 2 * np.eye(64, 48))


def _dirac(dtype: np.dtype) -> bool:
    x = _drawn(init.Dirac(scale=2.0), (3, 3, 16, 16), dtype)
    image = np.random.default_rng(0).normal(size=(8, 8, 16))
    middle = np.einsum("hwi,io->hwo", image, x[1, 1])
    return np.array_equal(middle, 2 * image) and np.count_nonzero(x) == 16


def _sparse(dtype: np.dtype) -> bool:
    x = _drawn(init.Sparse(0.3, init.Normal(0.5, 0.15)), (99, 500), dtype)
    return bool(np.all((x == 0).sum(0) == 30))  # ceil(29.7)


def _norm(dtype: np.dtype) -> bool:
    x = _drawn(init.Spectral(init.Normal(0.5, 0.15), norm=2.0), (128, 128), dtype)
    return _near(np.linalg.norm(x, 2), 2.0, dtype)


def _radius(dtype: np.dtype) -> bool:
    x = _drawn(init.Spectral(init.Normal(0.0, 0.15), radius=0.9), (128, 128), dtype)
    return _near(np.abs(np.linalg.eigvals(x)).max(), 0.9, dtype, 1e-4)


def _dale(dtype: np.dtype) -> bool:
    base = init.LogNormal(0.5, 0.2)
    x = _drawn(init.Dale(base, 0.8, balance="exact"), (100, 64), dtype)
    signs = (x[:80] > 0).all() and (x[80:] < 0).all()
    return bool(signs) and _near(x.sum(0) / np.abs(x).sum(0), 0.0, dtype)


def _constants(dtype: np.dtype) -> bool:
    drawn = [_drawn(x, (64, 4), dtype) for x in (init.Constant(0.5), init.zeros, init.ones)]
    return [set(x.ravel()) for x in drawn] == [{0.5}, {0.0}, {1.0}]


def _drawn(obj: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.asarray(obj(jax.random.key(KEY), shape, dtype)).astype(np.float64)


def _near(x: Any, expected: Any, dtype: np.dtype, least: float = 0.0) -> bool:
    """True within a few roundings of a number near 1, or of a sum of a few hundred such numbers."""
    return bool(np.all(np.abs(x - expected) < max(least, 64 * float(jax.numpy.finfo(dtype).eps))))


PROMISES = {
    "Orthogonal: orthonormal columns": _orthogonal,
    "DeltaOrthogonal: orthonormal rows at the centre, 0 elsewhere": _delta_orthogonal,
    "Identity: 1 on the diagonal": _identity,
    "Dirac: returns its input": _dirac,
    "Sparse: the same number of zeros in each column": _sparse,
    "Spectral: the norm": _norm,
    "Spectral: the radius, to 1e-4": _radius,
    "Dale: signs, and sums of 0": _dale,
    "Constant, zeros, ones": _constants,
}


def matrices(dtype: np.dtype) -> dict[str, bool]:
    """Check each promise in a dtype."""
    with jax.enable_x64(dtype == np.float64):
        return {name: bool(check(dtype)) for name, check in PROMISES.items()}


if __name__ == "__main__":
    print(json.dumps(_fingerprints(sys.argv[1:])))
