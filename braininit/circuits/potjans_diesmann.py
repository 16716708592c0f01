"""The cortical microcircuit of Potjans and Diesmann."""

from __future__ import annotations

import math
from typing import Any

import brainunit as u

from braininit._params import options
from braininit.circuits.circuit import LIF, Circuit, PoissonInput, Population, Projection
from braininit.circuits.rules import FixedTotalNumber
from braininit.distributions.continuous import Normal

__all__ = ["potjans_diesmann"]

_POPULATIONS = {
    # name: neurons, initial potential (mean and std, mV), inputs from outside, rate (spikes/s)
    "L2/3E": (20683, -68.28, 5.36, 1600, 0.903),
    "L2/3I": (5834, -63.16, 4.57, 1500, 2.965),
    "L4E": (21915, -63.33, 4.74, 2100, 4.414),
    "L4I": (5479, -63.45, 4.94, 1900, 5.876),
    "L5E": (4850, -63.11, 4.94, 2000, 7.569),
    "L5I": (1065, -61.66, 4.55, 1900, 8.633),
    "L6E": (14395, -66.72, 5.46, 2900, 1.105),
    "L6I": (2948, -61.43, 4.48, 2100, 7.829),
}
_PROBABILITIES = {
    # target: the probability that a pair is connected, by source in the order above
    "L2/3E": (0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0000, 0.0076, 0.0000),
    "L2/3I": (0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0000, 0.0042, 0.0000),
    "L4E": (0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0000),
    "L4I": (0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0000, 0.1057, 0.0000),
    "L5E": (0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0000),
    "L5I": (0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0000),
    "L6E": (0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252),
    "L6I": (0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443),
}
_THALAMUS = "TC", 902, {"L4E": 0.0983, "L4I": 0.0619, "L6E": 0.0512, "L6I": 0.0196}

_TAU, _TAU_SYNAPSE, _CAPACITANCE = 10.0, 0.5, 250.0  # ms, ms, pF
_NEURON = LIF(
    tau=_TAU * u.ms,
    threshold=-50.0 * u.mV,
    reset=-65.0 * u.mV,
    rest=-65.0 * u.mV,
    refractory=2.0 * u.ms,
    capacitance=_CAPACITANCE * u.pF,
    tau_synapse=_TAU_SYNAPSE * u.ms,
)
_PEAK = 0.15  # mV, the peak of the potential after an excitatory spike
_INHIBITION = -4.0  # times an excitatory weight
_RATE = 8.0  # Hz, of each input from outside
_STEP = 0.1 * u.ms


def potjans_diesmann(
    neurons: float = 1.0, in_degrees: float = 1.0, *, thalamus: bool = False
) -> Circuit:
    r"""Return the cortical microcircuit: four layers below a square millimetre of sensory cortex.

    .. math:: K = \mathrm{round}\,\frac{\ln(1 - C)}{\ln(1 - 1 / (N_{pre} N_{post}))}

    edges connect the published fraction C of all pairs, as a pair may have several edges. The
    circuit has 77,169 neurons and 298,880,970 edges.

    Parameters
    ----------
    neurons, in_degrees : float
        Positive factors of the numbers of neurons, and of the in-degrees. Weights are divided by
        the root of `in_degrees`, and `current` replaces the mean of the missing input, at the
        published rates.
    thalamus : bool
        Whether to add the 902 neurons of the thalamus, "TC", a source of spikes: in the paper, 120
        spikes/s for 10 ms.

    Notes
    -----
    From Potjans and Diesmann, The cell-type specific cortical microcircuit, Cerebral Cortex 24,
    2014 (doi 10.1093/cercor/bhs358), with delays as in table A1 of PMC9196133, and initial
    potentials and rates as in INM-6/microcircuit-PD14-model; the paper's initial potentials are
    -58 +- 10 mV. Weights of the wrong sign are redrawn; delays below 0.05 ms are redrawn, then all
    are rounded to 0.1 ms. Numerics: K is exact. The reference code computes ``log((n - 1) / n)``,
    which cancels in float64: two of its K are short by one, L2/3E to L2/3E and L2/3I to L4E.

    Examples
    --------
    >>> import braininit as init
    >>> circuit = init.presets.potjans_diesmann()
    >>> sum(projection.rule.number for projection in circuit.projections)
    298880970
    >>> circuit["L4E"].potential
    Normal(mean=Quantity(-63.33, 'mV'), std=Quantity(4.74, 'mV'))
    >>> init.presets.potjans_diesmann(0.1, 0.1)
    Circuit of 8 populations, 7717 neurons, and 55 projections
    """
    for name, factor in (("neurons", neurons), ("in_degrees", in_degrees)):
        if not 0 < factor < math.inf:
            raise ValueError(f"`{name}` must be positive, got {factor}; write 0.1, for example")
    peak = _PEAK * _current_of_potential()
    weight = peak / in_degrees**0.5

    def population(name: str) -> Population:
        size, mean, std, degree, _ = _POPULATIONS[name]
        arriving = _RATE * degree * peak + sum(
            _edges(c, n_pre, size) / size * _strength(source, name) * peak * rate
            for c, (source, (n_pre, *_, rate)) in zip(
                _PROBABILITIES[name], _POPULATIONS.items(), strict=True
            )
        )  # pA per s, of all spikes; each decays with the time constant of synapses
        missing = (1 - in_degrees**0.5) * 1e-3 * _TAU_SYNAPSE * arriving
        outside = PoissonInput(round(degree * in_degrees), _RATE * u.Hz, weight * u.pA, 1.5 * u.ms)
        potential = Normal(mean * u.mV, std * u.mV)
        size = round(size * neurons)
        return Population(name, size, _NEURON, potential, outside, missing * u.pA)

    populations = {name: population(name) for name in _POPULATIONS}

    def projection(source: Population, target: str, c: float, n_pre: int) -> Projection:
        number = round(_edges(c, n_pre, _POPULATIONS[target][0]) * neurons * in_degrees)
        strength = _strength(source.name, target)
        weights = Normal(strength * weight * u.pA, 0.1 * abs(strength) * weight * u.pA)
        sign: Any = {"low": 0.0 * u.pA} if strength > 0 else {"high": 0.0 * u.pA}
        mean = 0.75 * u.ms if strength < 0 else 1.5 * u.ms
        delays = Normal(mean, 0.5 * mean).truncated(low=_STEP / 2).on_grid(_STEP)
        return Projection(
            source, populations[target], FixedTotalNumber(number), weights.truncated(**sign), delays
        )

    projections = [
        projection(populations[source], target, c, _POPULATIONS[source][0])
        for target, row in _PROBABILITIES.items()
        for source, c in zip(_POPULATIONS, row, strict=True)
        if c > 0
    ]
    if not options.flag("thalamus", thalamus):
        return Circuit((*populations.values(),), (*projections,))
    name, size, targets = _THALAMUS
    outside = Population(name, round(size * neurons))
    projections += [projection(outside, target, c, size) for target, c in targets.items()]
    return Circuit((*populations.values(), outside), (*projections,))


def _edges(c: float, n_pre: int, n_post: int) -> float:
    """The number of edges, each between any pair, that connect a fraction c of all pairs."""
    return math.log1p(-c) / math.log1p(-1 / (n_pre * n_post))


def _strength(source: str, target: str) -> float:
    """A weight, relative to that of most excitatory edges."""
    if source.endswith("I"):
        return _INHIBITION
    return 2.0 if (source, target) == ("L4E", "L2/3E") else 1.0


def _current_of_potential() -> float:
    """The current (pA) of a spike whose potential peaks at 1 mV: 585.39."""
    ratio, apart = _TAU / _TAU_SYNAPSE, _TAU - _TAU_SYNAPSE
    peak = ratio ** (-_TAU_SYNAPSE / apart) - ratio ** (-_TAU / apart)
    return _CAPACITANCE * apart / (_TAU * _TAU_SYNAPSE * peak)
