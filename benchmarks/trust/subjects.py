"""The battery's subjects: braininit's distributions, and its peers' by the same names.

A subject is a sampler of independent numbers with its law. `tests/cases.py` lists braininit's; this
module adds entries of matrices, weights over distance, draws on a grid and connections, which have
laws of their own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

import braininit as init
from benchmarks import peers
from benchmarks.trust.laws import Grid, Law
from braininit import theory

__all__ = ["BLOCK", "OURS", "Subject", "bare", "law_of", "ours", "theirs"]

OURS = peers.OURS
BLOCK = 2**24  # numbers per draw: 64 MiB in float32


@dataclasses.dataclass(frozen=True)
class Subject:
    """A sampler and its claimed law.

    `draw` is ``(key, n, dtype) -> n numbers``; without keys, `seeded` is ``seed -> (n, dtype) ->
    n numbers``. Only a `share` of the draws is made where each number takes a matrix.
    """

    name: str
    law: Callable[[np.dtype], Law]
    draw: Callable[[Any, int, Any], Any] | None = None
    seeded: Callable[[int], Callable[[int, Any], Any]] | None = None
    share: float = 1.0

    def grid(self, dtype: np.dtype) -> Grid:
        return Grid(self.law(dtype), dtype)

    def blocks(self, n: int, dtype: np.dtype, seed: int = 0) -> Iterator[np.ndarray]:
        """Yield blocks of `n` draws: one key per block, or one generator for all."""
        sizes = [min(BLOCK, n - start) for start in range(0, n, BLOCK)]
        if self.draw is None:
            draw = self.seeded(seed)
            yield from (bare(draw(size, dtype)) for size in sizes)
        else:
            keys = jax.random.split(jax.random.key(seed), len(sizes))
            yield from (bare(self.draw(k, m, dtype)) for k, m in zip(keys, sizes, strict=True))


def bare(x: Any) -> np.ndarray:
    """Numbers in a form that NumPy sorts fast: 16-bit floats as float32, exactly."""
    if isinstance(x, u.Quantity):
        x = x.mantissa
    if hasattr(x, "numpy"):  # a PyTorch tensor; NumPy has no bfloat16
        x = (x.float() if x.element_size() == 2 else x).numpy()
    x = np.asarray(x).reshape(-1)
    return x if x.dtype.itemsize > 2 else x.astype(np.float32)


# ---------------------------------------------------------------- laws


def law_of(obj: Any, inward: bool = False, slack: int = 0, whole: bool = False) -> Law:
    """Return the law of an initializer by `theory`, and the rounding of its draws at the ends."""
    low, high = theory.support(obj)
    return Law(
        *(functools.partial(f, obj) for f in (theory.cdf, theory.sf, theory.ppf, theory.isf)),
        low=float(low),
        high=float(high),
        open_low=low == 0 and np.isinf(high) and theory.cdf(obj, low) == 0,
        open_high=obj._recipe.facts.bounds == "half-open",
        inward=inward,
        slack=slack,
        whole=whole or obj._recipe.facts.dtypes == "whole",
    )


def _law(obj: Any, **rounding: Any) -> Callable[[np.dtype], Law]:
    """The law by dtype: parameters are rounded to the dtype in which draws are computed."""
    return lambda dtype: law_of(obj if dtype == np.float64 else _single(obj), **rounding)


def _rounding(case: Any, obj: Any) -> dict[str, Any]:
    """Rounding at the ends: exact for parameters, computed for scaled draws, none for sums."""
    bounds = obj._recipe.facts.bounds
    return {"inward": bool(bounds or case.powers), "slack": 2 if case.powers else 0}


def _single(value: Any) -> Any:
    """Round a parameter to float32, or all parameters of an initializer."""
    if isinstance(value, init.Initialization):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return type(value)(**{name: _single(v) for name, v in fields.items()})
    if isinstance(value, tuple):
        return tuple(_single(v) for v in value)
    return float(np.float32(value)) if isinstance(value, float) else value


# ---------------------------------------------------------------- braininit


def ours(corners: bool = False) -> dict[str, Subject]:
    """Return every row of the table that has a law; with `corners` at its corners, too."""
    subjects = {}
    for case in peers.CASES:
        if case.cls is init.Conditional:  # its law depends on the index: two subjects
            parts = case.given["true_dist"], case.given["false_dist"]
            for i, (part, parity) in enumerate(zip(parts, ("even", "odd"), strict=True)):
                name = f"{case}, {parity} indices"
                subjects[name] = Subject(name, _law(part), _every_second(case, i))
        elif case.oracle is not None:
            for i, given in enumerate((case.given, *(case.corners if corners else ()))):
                name = f"{case}, corner {i}" if i else str(case)
                obj = case.cls(**given)
                subjects[name] = Subject(
                    name, _law(obj, **_rounding(case, obj)), _by_function(case, given)
                )
    others = (*_entries(), *_on_grids(), *_connections())
    return subjects | {subject.name: subject for subject in others}


def _by_function(case: Any, given: Any) -> Callable[[Any, int, Any], Any]:
    parameters = case.called(given)
    return lambda key, n, dtype: case.function(key, (n,), **parameters, dtype=dtype)


def _every_second(case: Any, start: int) -> Callable[[Any, int, Any], Any]:
    draw = _by_function(case, case.given)
    return lambda key, n, dtype: draw(key, 2 * n, dtype)[start::2]


def _entries() -> Iterator[Subject]:
    """Entries of matrices, and weights at one distance, which have laws of their own."""
    base = init.Normal(0.5, 0.15)
    rows = 64

    def matrix(n: int, columns: int = rows) -> tuple[int, int]:
        return (-(-n // columns), columns)

    # Archimedes: each coordinate of a point on a sphere in three dimensions is uniform. Take one
    # entry of each matrix, since the others depend on it.
    def corner(function: Any, *lead: int) -> Callable[[Any, int, Any], Any]:
        def draw(key: Any, n: int, dtype: Any) -> Any:
            shape = (*lead, 3, 3)
            matrices = jax.vmap(lambda k: function(k, shape, scale=2.0, dtype=dtype))
            return matrices(jax.random.split(key, n))[(slice(None), *(d // 2 for d in lead), 0, 1)]

        return jax.jit(draw, static_argnums=(1, 2))

    ball = init.Beta(1.0, 1.0, -2.0, 2.0)  # closed at both ends
    yield Subject("Orthogonal, an entry", _law(ball), corner(init.orthogonal), share=0.01)
    delta = corner(init.delta_orthogonal, 3)
    yield Subject("DeltaOrthogonal, an entry", _law(ball), delta, share=0.01)

    def sparse(key: Any, n: int, dtype: Any) -> Any:
        full = rows - 20  # a row has ceil(0.3 * 64) zeros
        x = init.sparse(key, (*matrix(n, full)[:1], rows), 0.3, base, axis=1, dtype=dtype)
        places = jnp.argsort(x == 0, axis=1, stable=True)[:, :full]
        return jnp.take_along_axis(x, places, 1).reshape(-1)[:n]

    yield Subject("Sparse, what is not 0", _law(base), sparse, share=0.1)

    def dale(key: Any, n: int, dtype: Any) -> Any:
        return abs(init.dale(key, matrix(n), base, 0.5, axis=1, dtype=dtype)).reshape(-1)[:n]

    yield Subject("Dale, magnitudes", _law(abs(base)), dale)

    profile = init.GaussianProfile(50.0)
    weight = float(np.exp(-0.18))

    def near(key: Any, n: int, dtype: Any) -> Any:
        distances = jnp.full(matrix(n), 30.0)
        x = init.distance_modulated(
            key, distances.shape, base, profile, dtype=dtype, distances=distances
        )
        return x.reshape(-1)[:n]

    yield Subject("DistanceModulated, at one distance", _law(weight * base), near)


def _on_grids() -> Iterator[Subject]:
    """Draws on a grid, counted in steps: powers of two, which divide draws exactly."""
    bases = (init.Normal(0.5, 0.15), 0.125), (init.Gamma(2.5, 0.5), 0.25), (init.Poisson(3.5), 2.0)
    for base, step in bases:
        for rounding in ("nearest", "up", "stochastic"):
            name = f"OnGrid, {type(base).__name__}, {rounding}"
            yield Subject(name, _law(base.on_grid(step, rounding) / step, whole=True),
                          _in_steps(base, step, rounding))  # fmt: skip


def _in_steps(base: Any, step: float, rounding: Any) -> Callable[[Any, int, Any], Any]:
    return lambda key, n, dtype: init.on_grid(key, (n,), base, step, rounding, dtype=dtype) / step


def _connections() -> Iterator[Subject]:
    """A connection matrix: the pattern of its nonzero weights, and their values."""
    chance, columns = 0.125, 128

    def draw(key: Any, n: int, dtype: Any) -> Any:
        shape = (-(-n // columns), columns)
        return init.connected(key, shape, init.Gamma(2.5, 0.5), chance, dtype=dtype).reshape(-1)

    def number(key: Any, n: int, dtype: Any) -> Any:
        return (draw(key, n, dtype)[:n] != 0).astype(dtype)

    def weights(key: Any, n: int, dtype: Any) -> Any:
        x = draw(key, round(n / chance) + 100 * round(n**0.5) + 1000, dtype)  # 12 std to spare
        return x[jnp.flatnonzero(x, size=n)]

    yield Subject("Connected, whether", _law(init.Binomial(1, chance), whole=True), number)
    yield Subject("Connected, weights", _law(init.Gamma(2.5, 0.5)), weights, share=0.1)


# ---------------------------------------------------------------- peers


def theirs(peer: str) -> dict[str, Subject]:
    """Return the rows of the table that a peer draws, at the same parameters."""
    cases = {str(case): case for case in peers.CASES if case.oracle is not None}
    subjects = {}
    for name, draw in peers.drawn_by(peer).items():
        if name not in cases:
            continue
        case = cases[name]
        law = _law(case.make())
        if case.cls is init.VonMises:
            draw = _around(draw, case.given["mean"])
        if peers.is_keyed(peer):
            keyed = functools.partial(_jitted(draw), tuple(case.given.items()))
            subjects[name] = Subject(name, law, draw=keyed)
        else:
            seeded = functools.partial(_seeded, peer, name, dict(case.given))
            subjects[name] = Subject(name, law, seeded=seeded)
    return subjects


def _jitted(draw: Any) -> Any:
    def jitted(parameters: Any, key: Any, n: int, dtype: Any) -> Any:
        return draw(key, n, dtype, **dict(parameters))

    return jax.jit(jitted, static_argnums=(0, 2, 3))


def _seeded(peer: str, name: str, parameters: Any, seed: int) -> Callable[[int, Any], Any]:
    draw = peers.drawn_by(peer, seed)[name]
    if name == "VonMises":
        draw = _around(draw, parameters["mean"])
    return lambda n, dtype: draw(n, dtype, **parameters)


def _around(draw: Any, mean: float) -> Any:
    """Wrap angles to half a turn around their mean; peers draw them around 0."""

    def wrapped(*args: Any, **parameters: Any) -> Any:
        x = draw(*args, **parameters)
        x = x + 2 * np.pi * (x < mean - np.pi)
        return x - 2 * np.pi * (x > mean + np.pi)

    return wrapped
