"""A user's code as a type checker sees it.

pyright checks this file (settings in `pyproject.toml`), and pytest runs it. Lines with an
``ignore`` must be type errors: a needless ``ignore`` is an error here.
"""

# pyright: standard, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, assert_type

import brainunit as u
import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

import braininit as init

# ---------------------------------------------------------------- a user's own initializers


def laplace(
    key: jax.Array,
    shape: int | tuple[int, ...],
    loc: Any = 0.0,
    scale: Any = 1.0,
    sides: str = "both",
    *,
    dtype: Any = None,
) -> Any:
    """A user's distribution: a function ..."""
    z = jax.random.laplace(key, np.atleast_1d(shape).tolist(), dtype or float)
    return loc + scale * (z if sides == "both" else abs(z))


class Laplace(init.Initialization, function=laplace):
    """... and its class."""

    loc: init.QuantityLike = 0.0
    scale: init.QuantityLike = 1.0
    sides: str = init.static(default="both")


class Tagged(init.Initialization):
    """BrainTools' style: its own constructor, and a call with a size and keywords."""

    def __init__(self, value: float, *, tag: str = "") -> None:
        # For type checkers every initializer is frozen, and may take a key first.
        self.value = value  # pyright: ignore[reportAttributeAccessIssue]
        self.tag = tag  # pyright: ignore[reportAttributeAccessIssue]

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, size: int | tuple[int, ...], **kwargs: Any
    ) -> jax.Array:
        return jnp.full(size, self.value)


def halves(key: jax.Array, shape: tuple[int, ...], dtype: Any = None) -> jax.Array:
    """JAX's style: a plain function."""
    return jnp.full(shape, 0.5, dtype)


# ---------------------------------------------------------------- results


def results(key: jax.Array, positions: u.Quantity) -> list[Callable[[], Any]]:
    """Completion works on draws, with or without a unit, and typos are errors."""
    weights = init.normal(key, (3, 4), 0.5 * u.nS, 0.1 * u.nS)
    profile = init.GaussianProfile(50 * u.um)
    assert_type(weights, "init.typing.Values")
    assert_type(init.Normal(0.5, 0.1)(3, rng=key), "init.typing.Values")
    assert_type(init.Normal(0.5, 0.1)(key, (3,)), "init.typing.Values")
    return [
        lambda: (weights.unit, weights.mantissa.mean(), weights.at[0].set(0 * u.nS)),
        lambda: ((2 * weights + weights[0]).mean().unit, jnp.sum(weights * 2)),
        lambda: (weights > 0 * u.nS).all(),
        lambda: (init.load("w.npz").unit, init.load("w.npz")["a"].unit),
        lambda: (profile + 0.1).probability(positions).sum(),
        lambda: weights.typo,  # pyright: ignore[reportAttributeAccessIssue]
        lambda: weights.mean().typo,  # pyright: ignore[reportAttributeAccessIssue]
        lambda: (init.Normal() * 2)(3).typo,  # pyright: ignore[reportAttributeAccessIssue]
        lambda: init.get("normal").typo,  # pyright: ignore[reportAttributeAccessIssue]
        lambda: init.load("w.npz").typo,  # pyright: ignore[reportAttributeAccessIssue]
        lambda: profile.probability(positions).typo,  # pyright: ignore[reportAttributeAccessIssue]
    ]


# ---------------------------------------------------------------- code without type errors


def constructors() -> list[init.Initialization]:
    return [
        init.Normal(),
        init.Normal(0.5, 0.15),
        init.Normal(mean=1, std=np.float32(2)),
        init.Normal(0.5 * u.nS, std=0.15 * u.nS),
        init.Normal(np.arange(3.0), jnp.ones(3)),
        init.Normal([0.0, 1.0], (1.0, 2.0)),
        init.Uniform(0.1 * u.nS, 1.0 * u.nS),
        init.Uniform(low=0, high=np.arange(1.0, 4.0) * u.mV),
        init.LogNormal(0.5 * u.nS, 0.2 * u.nS),
        init.Gamma(2.0, scale=0.25 * u.nS),
        init.Gamma(shape=np.array([2.0, 3.0])),
        init.Exponential(2.0 * u.ms),
        init.Weibull(1.5, scale=0.5 * u.nS),
        init.Beta(2.0, 5.0, low=0 * u.nS, high=1 * u.nS),
        init.TruncatedNormal(0.5 * u.nS, 0.2 * u.nS, low=0 * u.nS),
        init.TruncatedNormal(std=2.0, high=None),
        init.Constant(3),
        init.Constant(1j),
        init.Constant(np.eye(2) * u.nS),
        init.ZeroInit(),
        init.ZeroInit(u.nS),
        init.OneInit(unit="nS"),
        Laplace(0.0 * u.mV, scale=1.0 * u.mV, sides="upper"),
        Tagged(0.5, tag="half"),
    ]


def calls(key: jax.Array, mesh: jax.sharding.Mesh) -> None:
    normal = init.Normal(0.5 * u.nS, 0.15 * u.nS)
    # the tutorial's style
    normal(1000)
    normal((2, 3), rng=np.random.default_rng(0))
    normal([2, np.int64(3)], rng=7, dtype=jnp.bfloat16)
    normal((), rng=lambda: jax.random.key(0), distances=np.ones(3) * u.um)
    normal(np.int32(4), rng=key, out_sharding=NamedSharding(mesh, PartitionSpec()))
    # JAX's style
    keys = iter(jax.random.split(jax.random.key(1), 4))
    normal(next(keys), (2, 3), jnp.float32)
    normal(next(keys), (2, 3), dtype=np.float16)
    normal(key=next(keys), shape=(2, 3))
    normal(next(keys), (4,), None, NamedSharding(mesh, PartitionSpec()))
    # the functions
    keys = iter(jax.random.split(jax.random.key(2), 8))
    init.normal(next(keys), 1000, 0.5 * u.nS, 0.15 * u.nS)
    init.uniform(next(keys), (2, 3), low=0, high=1.0 * u.nS, dtype=jnp.float16)
    init.gamma(next(keys), [2, 3], concentration=2.0)
    init.beta(next(keys), (3,), np.arange(1.0, 4.0), 5.0)
    init.truncated_normal(next(keys), (3,), low=-1.0, high=None)
    init.constant(None, 3, 0.5 * u.nS)
    init.zeros(None, (3,), jnp.float32, unit=u.nS)
    init.ones(next(keys), (3,), unit="mV")
    Laplace(scale=2.0)(3, rng=0)
    Tagged(0.5)((2, 3), anything=1)


def hooks() -> list[Any]:
    standard: jax.nn.initializers.Initializer = init.Normal(0.5, 0.1)
    constant: jax.nn.initializers.Initializer = init.ZeroInit()
    twin: jax.nn.initializers.Initializer = Laplace()
    bare: Callable[..., Any] = init.zeros
    ours: list[init.Initializer] = [init.Normal(), Laplace(), halves, init.zeros, init.ones]
    rngs = nnx.Rngs(0)
    return [
        standard,
        constant,
        twin,
        bare,
        *ours,
        nn.Dense(3, kernel_init=init.Normal(0.5, 0.1), bias_init=init.zeros),
        nn.Conv(3, (2, 2), kernel_init=init.TruncatedNormal(), bias_init=init.ZeroInit()),
        nn.Embed(3, 2, embedding_init=Laplace()),
        nn.LayerNorm(scale_init=init.ones, bias_init=init.Constant(0.5)),
        nnx.Linear(2, 3, kernel_init=init.Normal(0.5, 0.1), bias_init=init.zeros, rngs=rngs),
        nnx.Embed(3, 2, embedding_init=init.Uniform(-1.0, 1.0), rngs=rngs),
        nnx.LayerNorm(2, scale_init=init.ones, bias_init=init.ZeroInit(), rngs=rngs),
        nnx.Param(init.Normal(0.5 * u.nS, 0.1 * u.nS)(3, rng=rngs)),
    ]


class Cell(eqx.Module):
    """An Equinox module that keeps its initializer."""

    weight: u.Quantity
    initializer: init.Initialization = eqx.field(static=True)

    def __init__(self, initializer: init.Initialization, *, key: jax.Array) -> None:
        self.initializer = initializer
        self.weight = initializer(key, (3,))


def fields() -> None:
    normal = init.Normal(0.5 * u.nS, 0.15 * u.nS)
    assert_type(normal, init.Normal)
    assert_type(normal.mean, init.QuantityLike)
    assert_type(init.Gamma(2.0).shape, init.RealLike)
    assert_type(dataclasses.replace(normal, std=0.1 * u.nS), init.Normal)
    assert_type(init.seed(7), None)


# ---------------------------------------------------------------- code with type errors


def mistakes() -> list[Callable[[], Any]]:
    normal = init.Normal(0.5, 0.15)
    key = jax.random.key(0)

    def assign() -> None:
        normal.mean = 1.0  # pyright: ignore[reportAttributeAccessIssue]

    return [
        assign,
        lambda: init.Normal(sd=1.0),  # pyright: ignore[reportCallIssue]
        lambda: init.Normal(0.0, 1.0, 2.0),  # pyright: ignore[reportCallIssue]
        lambda: init.Normal(mean="a"),  # pyright: ignore[reportArgumentType]
        lambda: init.Uniform(low="a", high=1.0),  # pyright: ignore[reportArgumentType]
        lambda: init.LogNormal(1.0),  # pyright: ignore[reportCallIssue]
        lambda: init.Constant(),  # pyright: ignore[reportCallIssue]
        lambda: init.Gamma(concentration=2.0),  # pyright: ignore[reportCallIssue]
        lambda: init.Gamma(2.0 * u.nS),  # pyright: ignore[reportArgumentType]
        lambda: init.Beta("2", 5.0),  # pyright: ignore[reportArgumentType]
        lambda: init.ZeroInit(2.0),  # pyright: ignore[reportArgumentType]
        lambda: Laplace(width=1.0),  # pyright: ignore[reportCallIssue]
        lambda: normal(),  # pyright: ignore[reportCallIssue]
        lambda: normal("a"),  # pyright: ignore[reportArgumentType]
        lambda: normal(2.5),  # pyright: ignore[reportArgumentType]
        lambda: normal(key, (3,), rng=1),  # pyright: ignore[reportCallIssue]
        lambda: init.normal(key, (3,), sd=1.0),  # pyright: ignore[reportCallIssue]
        lambda: init.normal(key, (3,), 0.0, "1"),  # pyright: ignore[reportArgumentType]
        lambda: init.gamma(key, (3,), shape=2.0),  # pyright: ignore[reportCallIssue]
        lambda: init.normal(key, "3"),  # pyright: ignore[reportArgumentType]
        lambda: init.seed("a"),  # pyright: ignore[reportArgumentType]
    ]


# ---------------------------------------------------------------- tests


def composites(key: jax.Array) -> list[init.Initialization]:
    """Operators and composites return initializers."""
    normal, g = init.Normal(0.0, 1.0), init.Normal(0.5 * u.nS, 0.15 * u.nS)
    initializers = [
        normal * 2.0 + 1.0,
        2.0 - normal / np.float32(3.0),
        -normal,
        normal**2,
        abs(normal),
        normal * u.nS,
        g.clip(0 * u.nS, max_val=1 * u.nS).add(0.1 * u.nS).multiply(2),
        normal | jnp.abs | (lambda x: x + 1),
        init.Mixture([normal, 0.5, jax.nn.initializers.he_normal()], weights=[0.5, 0.3, 0.2]),
        init.Conditional(lambda i: i < 3, normal, init.Constant(0.0), axis=0),
        init.Truncated(g, low=0 * u.nS),
        init.Sparse(0.9, base=normal),
        init.DistanceModulated(g, 0.5 * init.GaussianProfile(50 * u.um) + 0.1, box=1 * u.mm),
    ]
    several = init.Joint({"weight": g, "delay": normal}, correlation=0.5)
    both: dict[str, Any] = several(key, 3) | several((3,), rng=0, dtype="float32")
    assert (
        both["weight"].sum()
        is not init.joint(jax.random.fold_in(key, 1), 3, several.margins, 0.5)["delay"].mean()
    )
    for hook in initializers[:4]:
        nn.Dense(3, kernel_init=hook).init(key, jnp.ones((1, 2)))
    return initializers


def whole_models(key: jax.Array) -> eqx.nn.MLP:
    """A plan returns a model of its argument's type."""
    model = eqx.nn.MLP(3, 2, 8, 1, key=key)
    rules = [("weight", init.KaimingNormal()), ("bias", 0.0), init.Rule("scale", 1.0, True)]
    plan = init.plan(model, rules, layers=r"layers/(\d+)")
    drawn = plan.only("weight")(key, given=plan(key), rename=[("^net/", "")])
    report: init.Report | None = plan.report
    assert report is not None
    assert drawn.layers[0].weight.shape == plan.leaf(key, "layers/0/weight").shape
    return init.initialize(drawn, {"": lambda leaf: leaf.fan_in or 0.0}, key)


def test_whole_models():
    assert whole_models(jax.random.key(0)).width_size == 8


def test_composites_are_initializers():
    assert all(isinstance(x, init.Initialization) for x in composites(jax.random.key(0)))


def test_well_typed_code_runs():
    assert [type(i).__name__ for i in constructors()][-2:] == ["Laplace", "Tagged"]
    calls(jax.random.key(0), jax.make_mesh((1,), ("x",)))
    assert all(isinstance(hook, init.Initializer) for hook in hooks()[:9])
    cell = Cell(init.Normal(0.5 * u.nS, 0.15 * u.nS), key=jax.random.key(0))
    assert u.get_unit(cell.weight) == u.nS
    fields()


@pytest.mark.parametrize("mistake", mistakes())
def test_type_errors_raise(mistake):
    with pytest.raises((TypeError, ValueError, AttributeError)):
        mistake()
