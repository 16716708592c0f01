"""Equal quantities in different units give the same physical draws."""

from __future__ import annotations

import dataclasses
import pickle
import random

import brainunit as u
import jax
import numpy as np
import pytest
from cases import CASES

import braininit as init
from braininit._params.values import Value

UM, NS = u.um, u.nS
WRITTEN = (
    *(u.uS, u.mS, u.siemens, u.pA / u.mV),
    *(u.uS**2, u.nS * u.mS, u.siemens**2),
    *(u.mm, u.nmeter, u.meter),
    *(u.mm**-1, u.meter**-1),
    *(u.second, u.minute),
)
"""Units of the dimensions below; values are first written in others."""


def rewritten(x, chance):
    """Return an equal value with each Quantity in another unit of its dimension."""
    if isinstance(x, u.Quantity):
        return x.in_unit(chance.choice([unit for unit in WRITTEN if unit.has_same_dim(x.unit)]))
    if isinstance(x, Value):
        fields = {f.name: getattr(x, f.name) for f in dataclasses.fields(x)}
        return type(x)(**rewritten(fields, chance))
    if isinstance(x, dict):
        return {name: rewritten(value, chance) for name, value in x.items()}
    return tuple(rewritten(value, chance) for value in x) if isinstance(x, tuple) else x


WEIGHT = init.Normal(0.5 * NS, 0.15 * NS)
BOUNDED = init.TruncatedNormal(0.5 * NS, 0.2 * NS, 0.1 * NS, 1 * NS)
NEAR, FAR = init.GaussianProfile(90 * UM, 250 * UM), init.SigmoidProfile(120 * UM, 0.03 / UM)
AT = np.random.default_rng(0).uniform(0.0, 300.0, (2, 12, 2)) * UM
POSITIONS = {"pre_positions": AT[0], "post_positions": AT[1]}
BOX, STRETCH = np.array([200.0, 300.0]) * UM, np.array([1.0, 2.0])
NESTED = {
    "sum": (WEIGHT + BOUNDED * 0.5 - 0.1 * NS, {}),
    "rate": (WEIGHT / init.Uniform(1 * u.ms, 3 * u.ms), {}),
    "square": (BOUNDED**2 + 0.1 * NS**2, {}),
    "clipped": ((WEIGHT * 2.0).clip(0.2 * NS, 1.25 * NS), {}),
    "truncated": (init.Truncated(init.LogNormal(0.5 * NS, 0.2 * NS), high=0.7 * NS), {}),
    "mixture": (init.Mixture([WEIGHT, init.Constant(1 * NS), BOUNDED], [0.2, 0.3, 0.5]), {}),
    "conditional": (init.Conditional(lambda i: i % 3 == 0, WEIGHT, BOUNDED + 1 * NS), {}),
    "scaled": (init.KaimingNormal(2 * NS**2) + init.XavierUniform(unit=NS), {}),
    "matrices": (init.Orthogonal(0.9 * NS) + init.Identity(0.5 * NS), {}),
    "sparse": (init.Sparse(0.5, init.Dale(BOUNDED, 0.75)), {}),
    "spectral": (init.Spectral(WEIGHT, radius=0.9 * NS), {}),
    "modulated": (init.DistanceModulated(WEIGHT, NEAR), {"distances": AT[0, :, :1] * np.ones(12)}),
    "in space": (init.DistanceModulated(WEIGHT, NEAR * FAR + 0.1, BOX, STRETCH), POSITIONS),
    "clipped profile": (init.DistanceModulated(BOUNDED, (NEAR - FAR).clip(0.0, 0.5)), POSITIONS),
}


def assert_unit_independent(obj, size, **context):
    here = obj(size, rng=3, **context)
    for seed in range(2):
        chance = random.Random(seed)
        there = rewritten(obj, chance)(size, rng=3, **rewritten(context, chance))
        spread = float(np.ptp(here.mantissa)) or 1.0
        converted = there.to(here.unit).mantissa
        np.testing.assert_allclose(converted, here.mantissa, rtol=5e-6, atol=2e-6 * spread)


@pytest.mark.parametrize("case", [c for c in CASES if c.has_unit], ids=str)
def test_every_distribution(case):
    obj = case.make(NS)
    if case.cls in (init.ZeroInit, init.OneInit):  # 1 nS and 1 uS are not the same
        obj = obj * (1.0 * NS / obj(1))
    assert_unit_independent(obj, case.fit((12, 12)))


@pytest.mark.parametrize(("obj", "context"), NESTED.values(), ids=NESTED)
def test_nested_in_others_and_in_space(obj, context):
    assert_unit_independent(obj, (12, 12), **context)


def test_traced_values():
    def draw(mean, std):
        return init.Normal(mean, std).clip(0.3 * NS, 0.7e-3 * u.uS)(100, rng=3)

    here = draw(0.5 * NS, 0.15 * NS)
    there = jax.jit(draw)(0.5e-3 * u.uS, 0.15e-9 * u.siemens)
    np.testing.assert_allclose(there.to(NS).mantissa, here.mantissa, rtol=5e-6)


def test_equal_units_need_not_be_the_same_object():
    other = pickle.loads(pickle.dumps(NS))
    assert other == NS
    assert other is not NS
    here = init.Normal(0.5 * NS, 0.15 * NS)(100, rng=3)
    there = init.Normal(0.5 * NS, 0.15 * other)(100, rng=3)
    np.testing.assert_array_equal(there.mantissa, here.mantissa)
    assert there.unit == NS
