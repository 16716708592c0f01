"""What only a size tells to be wrong is refused at the draw, however deep it is nested."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import braininit as init

WRONG = {  # an initializer, a size with which it does not go, the parameter that is named
    "no inhibition": (init.Dale(init.Normal(), 0.875), (3,), "excitatory"),
    "a variance beyond floats": (init.VarianceScaling(3e38, fan_in=0.5), (3,), "variance"),
    "a vanishing variance": (init.VarianceScaling(1e-37), (1000, 3), "variance"),
}
NESTED = {
    "operator": lambda part: part * 2.0,
    "Compose": init.Compose,
    "Mixture": lambda part: init.Mixture([part, 1.0]),
    "Sparse": lambda part: init.Sparse(0.5, part),
    "two levels": lambda part: abs(init.Scaled(part, 2.0)),
}


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize(("part", "size", "name"), WRONG.values(), ids=WRONG)
def test_known_numbers_raise(part, size, name, nested):
    """A nested draw is compiled with its numbers as arguments, so it is asked before."""
    obj = nested(part)
    for drawn in (lambda: obj(size, rng=0), lambda: jax.eval_shape(lambda: obj(size, rng=0))):
        with pytest.raises(ValueError, match=f"`{name}` = "):
            drawn()


@pytest.mark.parametrize(("part", "size", "name"), WRONG.values(), ids=WRONG)
def test_traced_ones_give_nan(part, size, name):
    drawn = jax.jit(lambda obj, key: obj(key, size))(part * 2.0, jax.random.key(0))
    assert np.isnan(drawn).all()


def test_a_large_variance_has_the_limits_of_its_uniform():
    """Three times the variance, whose root they are, is beyond floats."""
    drawn = np.asarray(init.KaimingUniform(3e38, fan_in=1.0)((1000,), rng=0), float)
    assert 0.99 * 3e19 < np.abs(drawn).max() <= 3e19 * 1.000001
