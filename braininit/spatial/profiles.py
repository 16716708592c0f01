"""The ten distance profiles.

Each has a kernel ``(distance, *parameters)``, arithmetic on bare numbers with lengths in the unit
of the distance, and a class that names the parameters. The base class handles units, domains and
`max_distance`.
"""

from __future__ import annotations

import math
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp

from braininit._params import roles, units
from braininit._params.types import QuantityLike, RealLike, ReciprocalLike
from braininit.spatial.profile import DistanceProfile, choose

__all__ = [
    "BimodalProfile",
    "DoGProfile",
    "ExponentialProfile",
    "GaussianProfile",
    "LinearProfile",
    "LogisticProfile",
    "MexicanHatProfile",
    "PowerLawProfile",
    "SigmoidProfile",
    "StepProfile",
]


# ---------------------------------------------------------------- the kernels


def _ratio(d: jax.Array, length: Any) -> jax.Array:
    """D / length, at most 1e4, where its exponentials have long been 0.

    An infinite square would make products and derivatives NaN: 0 * inf.
    """
    largest = 1e4 * length
    return jnp.where(d > largest, largest, d) / length


def _bell(d: jax.Array, sigma: Any) -> jax.Array:
    x = _ratio(d, sigma)
    return jnp.exp(-0.5 * x * x)


def _exponential(d: jax.Array, decay_constant: Any) -> jax.Array:
    return jnp.exp(-_ratio(d, decay_constant))


def _power_law(d: jax.Array, exponent: Any, min_distance: Any) -> jax.Array:
    return jnp.power(jnp.maximum(d / min_distance, 1), -exponent)


def _linear(d: jax.Array, max_distance: Any) -> jax.Array:
    # XLA may multiply by 1 / max_distance; without the comparison, 2e-8 would remain at the end.
    within = jnp.where(d < max_distance, jnp.maximum(1 - d / max_distance, 0), 0)
    return choose(d, max_distance, within, 0)


def _step(d: jax.Array, threshold: Any, inside_prob: Any, outside_prob: Any) -> jax.Array:
    return choose(d, threshold, inside_prob, outside_prob)


def _sigmoid(d: jax.Array, midpoint: Any, slope: Any) -> jax.Array:
    return jax.nn.sigmoid(slope * (midpoint - d))


def _logistic(d: jax.Array, growth_rate: Any, midpoint: Any) -> jax.Array:
    return jax.nn.sigmoid(growth_rate * (midpoint - d))


def _difference_of_gaussians(
    d: jax.Array,
    sigma_center: Any,
    sigma_surround: Any,
    amplitude_center: Any,
    amplitude_surround: Any,
) -> jax.Array:
    center = amplitude_center * _bell(d, sigma_center)
    return center - amplitude_surround * _bell(d, sigma_surround)


def _bimodal(
    d: jax.Array,
    sigma1: Any,
    sigma2: Any,
    center1: Any,
    center2: Any,
    amplitude1: Any,
    amplitude2: Any,
) -> jax.Array:
    first = amplitude1 * _bell(jnp.abs(d - center1), sigma1)
    return first + amplitude2 * _bell(jnp.abs(d - center2), sigma2)


def _mexican_hat(d: jax.Array, sigma: Any, amplitude: Any) -> jax.Array:
    x = _ratio(d, sigma)
    return amplitude * (1 - x * x) * jnp.exp(-0.5 * x * x)


# ---------------------------------------------------------------- the reaches


def _drop(level: float, peak: float = 1.0) -> float:
    """The drop for which the peak is e^drop times the level; negative infinity if it is lower."""
    return math.log(peak / level) if level < peak else -math.inf


def _bell_reach(level: float, sigma: float, peak: float = 1.0) -> float:
    drop = _drop(level, abs(peak))
    return sigma * math.sqrt(2 * drop) if drop > 0 else -math.inf


def _exponential_reach(level: float, decay_constant: float) -> float:
    return decay_constant * _drop(level)


def _power_law_reach(level: float, exponent: float, min_distance: float) -> float:
    return min_distance * math.exp(_drop(level) / exponent) if exponent > 0 else math.inf


def _step_reach(level: float, threshold: float, inside_prob: float, outside_prob: float) -> float:
    return threshold if outside_prob <= level else math.inf


def _sigmoid_reach(level: float, midpoint: float, slope: float) -> float:
    return midpoint + _drop(level) / slope if slope > 0 else math.inf


def _logistic_reach(level: float, growth_rate: float, midpoint: float) -> float:
    return _sigmoid_reach(level, midpoint, growth_rate)


def _difference_reach(level: float, center: float, surround: float, *amplitudes: float) -> float:
    both = zip((center, surround), amplitudes, strict=True)
    return max(_bell_reach(level / 2, sigma, peak) for sigma, peak in both)


def _bimodal_reach(
    level: float, sigma1: float, sigma2: float, center1: float, center2: float, *peaks: float
) -> float:
    both = zip((sigma1, sigma2), (center1, center2), peaks, strict=True)
    return max(center + _bell_reach(level / 2, sigma, peak) for sigma, center, peak in both)


def _mexican_hat_reach(level: float, sigma: float, amplitude: float) -> float:
    # (x^2 - 1) e^(-x^2 / 2) is below 4 / e times e^(-x^2 / 4).
    below = abs(amplitude) <= level
    far = _bell_reach(level, math.sqrt(2) * sigma, 4 / math.e * amplitude)
    return -math.inf if below else max(sigma, far)


# ---------------------------------------------------------------- the classes

_PROBABILITIES = {"inside_prob": roles.fraction, "outside_prob": roles.fraction}
_CENTERS = {"center1": roles.location, "center2": roles.location}


class GaussianProfile(DistanceProfile, kernel=_bell, reach=_bell_reach):
    r"""A bell: the Gaussian of the distance, 1 at distance 0.

    .. math:: f(d) = e^{-d^2 / (2 \sigma^2)}

    Examples
    --------
    >>> import brainunit as u, braininit as init, numpy as np
    >>> profile = init.GaussianProfile(50 * u.um, max_distance=0.15 * u.mm)
    >>> print(np.asarray(profile([0.0, 50.0, 150.0, 151.0] * u.um)).round(3))
    [1.    0.607 0.011 0.   ]
    """

    sigma: QuantityLike
    max_distance: QuantityLike | None = None


class ExponentialProfile(DistanceProfile, kernel=_exponential, reach=_exponential_reach):
    r"""Exponential decay with distance, from 1 at distance 0.

    .. math:: f(d) = e^{-d / \lambda}, \quad \lambda = decay\_constant

    Examples
    --------
    >>> import brainunit as u, braininit as init, numpy as np
    >>> profile = init.ExponentialProfile(100 * u.um)
    >>> print(np.asarray(profile([0.0, 100.0, 300.0] * u.um)).round(3))
    [1.    0.368 0.05 ]
    """

    decay_constant: QuantityLike
    max_distance: QuantityLike | None = None


class PowerLawProfile(DistanceProfile, kernel=_power_law, reach=_power_law_reach):
    r"""A power of distance, constant at 1 up to a shortest distance.

    .. math:: f(d) = \left(\frac{\max(d, d_0)}{d_0}\right)^{-exponent}

    Parameters
    ----------
    exponent : number or array
        The power by which the profile falls; with a negative exponent it rises.
    min_distance : number, array or Quantity, optional
        Length :math:`d_0`, less than `max_distance`. None is 1 um, or 1 where lengths are bare
        numbers.

    Examples
    --------
    >>> import brainunit as u, braininit as init, numpy as np
    >>> profile = init.PowerLawProfile(2.0, 10 * u.um)
    >>> print(np.asarray(profile([0.0, 10.0, 20.0, 100.0] * u.um)).round(3))
    [1.   1.   0.25 0.01]
    """

    exponent: RealLike
    min_distance: QuantityLike | None = None
    max_distance: QuantityLike | None = None

    def _given(self, distances: Any) -> dict[str, Any]:
        given = super()._given(distances)
        if self.min_distance is None:
            others = (distances, self.max_distance)
            has_unit = any(isinstance(x, u.Quantity) for x in others)
            given["min_distance"] = units.on(1.0, u.um if has_unit else None)
        return given

    def _check_together(self, values: dict[str, Any], unit: u.Unit | None) -> None:
        if "max_distance" in values:
            least, most = (
                roles.Number(name, values[name], roles.scale)
                for name in ("min_distance", "max_distance")
            )
            values["min_distance"] = roles.increasing(least, most, unit)[0].value


class LinearProfile(DistanceProfile, kernel=_linear, reach=lambda level, end: end):
    r"""A straight line from 1 at distance 0 to 0 at `max_distance`, and 0 beyond.

    .. math:: f(d) = \max(0, 1 - d / d_{max})

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.LinearProfile(200 * u.um)([0.0, 50.0, 200.0, 300.0] * u.um))
    [1.   0.75 0.   0.  ]
    """

    max_distance: QuantityLike


class StepProfile(DistanceProfile, kernel=_step, roles=_PROBABILITIES, reach=_step_reach):
    r"""One value up to a threshold, another beyond it.

    .. math:: f(d) = \begin{cases} inside\_prob & d \le threshold \\
        outside\_prob & d > threshold \end{cases}

    Parameters
    ----------
    inside_prob, outside_prob : number or array
        The two values, in [0, 1].

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> print(init.StepProfile(100 * u.um, 0.75, 0.125)([50.0, 100.0, 101.0] * u.um))
    [0.75  0.75  0.125]
    """

    threshold: QuantityLike
    inside_prob: RealLike = 1.0
    outside_prob: RealLike = 0.0


class SigmoidProfile(DistanceProfile, kernel=_sigmoid, reach=_sigmoid_reach):
    r"""A smooth step down around a midpoint, where it is 1/2.

    .. math:: f(d) = \frac{1}{1 + e^{slope\,(d - midpoint)}}

    Parameters
    ----------
    slope : number, array or Quantity
        Steepness in 1/length, finite; with a negative slope the profile rises. A bare number is
        per unit of `midpoint`, and stored so: with ``100 * u.um``, 0.05 means ``0.05 / u.um``.

    Examples
    --------
    >>> import brainunit as u, braininit as init, numpy as np
    >>> profile = init.SigmoidProfile(100 * u.um, 50 / u.mm)
    >>> print(np.asarray(profile([0.0, 100.0, 200.0] * u.um)).round(3))
    [0.993 0.5   0.007]
    >>> init.SigmoidProfile(100 * u.um).slope
    Quantity(0.05, "1 / um")
    """

    midpoint: QuantityLike
    slope: ReciprocalLike = 0.05
    max_distance: QuantityLike | None = None

    def __post_init__(self) -> None:
        """Attach a unit to a bare slope."""
        slope = _per_unit("slope", self.slope, self.midpoint)
        object.__setattr__(self, "slope", slope)
        super().__post_init__()


class LogisticProfile(DistanceProfile, kernel=_logistic, reach=_logistic_reach):
    r"""`SigmoidProfile` with its parameters in another order, and `growth_rate` for `slope`.

    .. math:: f(d) = \frac{1}{1 + e^{growth\_rate\,(d - midpoint)}}
    """

    growth_rate: ReciprocalLike
    midpoint: QuantityLike
    max_distance: QuantityLike | None = None

    def __post_init__(self) -> None:
        """Attach a unit to a bare growth rate."""
        growth_rate = _per_unit("growth_rate", self.growth_rate, self.midpoint)
        object.__setattr__(self, "growth_rate", growth_rate)
        super().__post_init__()


class DoGProfile(DistanceProfile, kernel=_difference_of_gaussians, reach=_difference_reach):
    r"""A difference of Gaussians: a centre minus a surround, which is usually wider.

    .. math:: f(d) = A_c\, e^{-d^2 / (2 \sigma_c^2)} - A_s\, e^{-d^2 / (2 \sigma_s^2)}

    Examples
    --------
    >>> import brainunit as u, braininit as init, numpy as np
    >>> profile, distances = init.DoGProfile(30 * u.um, 90 * u.um), [0.0, 30.0, 90.0] * u.um
    >>> print(np.asarray(profile.weight_scaling(distances)).round(3))
    [ 0.5    0.134 -0.292]
    >>> print(np.asarray(profile.probability(distances)).round(3))
    [0.5   0.134 0.   ]
    """

    sigma_center: QuantityLike
    sigma_surround: QuantityLike
    amplitude_center: RealLike = 1.0
    amplitude_surround: RealLike = 0.5
    max_distance: QuantityLike | None = None


class BimodalProfile(DistanceProfile, kernel=_bimodal, roles=_CENTERS, reach=_bimodal_reach):
    r"""The sum of two Gaussians around two distances, such as local and long-range connections.

    .. math:: f(d) = A_1\, e^{-(d - c_1)^2 / (2 \sigma_1^2)}
        + A_2\, e^{-(d - c_2)^2 / (2 \sigma_2^2)}

    Parameters
    ----------
    center1, center2 : number, array or Quantity
        Lengths at which the peaks lie, finite.

    Examples
    --------
    >>> import brainunit as u, braininit as init, numpy as np
    >>> profile = init.BimodalProfile(30 * u.um, 50 * u.um, center2=0.2 * u.mm, amplitude2=0.5)
    >>> print(np.asarray(profile([0.0, 100.0, 200.0] * u.um)).round(3))
    [1.    0.072 0.5  ]
    """

    sigma1: QuantityLike
    sigma2: QuantityLike
    center1: QuantityLike = 0.0
    center2: QuantityLike = 0.0
    amplitude1: RealLike = 1.0
    amplitude2: RealLike = 1.0
    max_distance: QuantityLike | None = None


class MexicanHatProfile(DistanceProfile, kernel=_mexican_hat, reach=_mexican_hat_reach):
    r"""The Mexican hat (Ricker wavelet), scaled to its peak at distance 0.

    .. math:: f(d) = A\, (1 - d^2 / \sigma^2)\, e^{-d^2 / (2 \sigma^2)}

    It is negative beyond `sigma`, and lowest at :math:`\sqrt{3}\,\sigma`, with -0.446 A.

    Examples
    --------
    >>> import brainunit as u, braininit as init, numpy as np
    >>> profile = init.MexicanHatProfile(50 * u.um)
    >>> print(np.asarray(profile([0.0, 50.0, 100.0] * u.um)).round(3))
    [ 1.     0.    -0.406]
    """

    sigma: QuantityLike
    amplitude: RealLike = 1.0
    max_distance: QuantityLike | None = None


def _per_unit(name: str, value: Any, length: Any) -> Any:
    """Attach the inverse unit of `length` to a bare number; leave a Quantity unchanged."""
    _, length_unit = units.unwrap("midpoint", length)
    bare, unit = units.unwrap(name, value)
    return units.on(bare, units.inverse(length_unit) if unit is None else unit)
