"""The random network of Brunel."""

from __future__ import annotations

from typing import Any

import brainunit as u

from braininit._params import options, roles, units
from braininit.circuits.circuit import LIF, Circuit, PoissonInput, Population, Projection
from braininit.circuits.rules import FixedInDegree
from braininit.initializer.constant import Constant

__all__ = ["brunel"]

_NEURON = LIF(
    tau=20.0 * u.ms,
    threshold=20.0 * u.mV,
    reset=10.0 * u.mV,
    rest=0.0 * u.mV,
    refractory=2.0 * u.ms,
)
_DELAY = 1.5 * u.ms


def brunel(
    g: float = 5.0,
    eta: float = 2.0,
    *,
    excitatory: int = 10_000,
    connected: float = 0.1,
    weight: Any = 0.1 * u.mV,
) -> Circuit:
    r"""Return Brunel's network of excitatory and inhibitory neurons, connected at random.

    Each neuron has exactly :math:`C_E = \epsilon N_E` edges from excitatory neurons, and
    :math:`C_I = C_E / 4` from inhibitory neurons, of which there are :math:`N_E / 4`: 15,625,000
    edges in all. With the defaults, the network is asynchronous and irregular.

    Parameters
    ----------
    g : float
        The ratio of inhibitory to excitatory weights is -g.
    eta : float
        The rate of spikes from outside, divided by the rate that just reaches the threshold,
        :math:`\theta / (J C_E \tau)` for each of :math:`C_E` sources.
    excitatory : int
        :math:`N_E`, the number of excitatory neurons, a multiple of 4.
    connected : float
        :math:`\epsilon`, the fraction of connected pairs.
    weight : Quantity
        J, the change of the potential by an excitatory spike.

    Notes
    -----
    From Brunel, Dynamics of sparsely connected networks of excitatory and inhibitory spiking
    neurons, Journal of Computational Neuroscience 8, 2000 (doi 10.1023/A:1008925309027), model A.
    Sources are other neurons; one source may have several edges to a neuron. The paper gives no
    initial potentials: all start at rest.

    Examples
    --------
    >>> import braininit as init
    >>> circuit = init.presets.brunel()
    >>> [p.rule.degree * p.target.size for p in circuit.projections]
    [10000000, 2500000, 2500000, 625000]
    >>> circuit["E"].input.rate, circuit["I", "E"].weights
    (Quantity(20., "Hz"), Constant(value=Quantity(-0.5, 'mV')))
    """
    options.whole("excitatory", excitatory, 4)
    for name, value in (("g", g), ("eta", eta)):
        roles.number(name, roles.amount(value))
    _, (bare, _) = units.off(weight=weight, threshold=_NEURON.threshold)
    roles.scale.check("weight", bare, u.mV)
    degree = round(roles.number("connected", roles.fraction(connected)).value * excitatory)
    if excitatory % 4 or degree % 4 or not degree:
        raise ValueError(
            f"`excitatory` = {excitatory} and the in-degree from it, {degree}, must be multiples "
            "of 4, as a fourth of each is inhibitory; write 10_000 and connected=0.1"
        )
    threshold = _NEURON.threshold / (weight * degree * _NEURON.tau)
    outside = PoissonInput(degree, eta * threshold.to(u.Hz), weight, _DELAY)
    start = Constant(_NEURON.rest)
    populations = [
        Population(name, size, _NEURON, start, outside)
        for name, size in (("E", excitatory), ("I", excitatory // 4))
    ]

    def projection(source: Population, target: Population) -> Projection:
        share, strength = (1, 1.0) if source is populations[0] else (4, -g)
        rule = FixedInDegree(degree // share, self_connections=source is not target)
        return Projection(source, target, rule, Constant(strength * weight), Constant(_DELAY))

    projections = [projection(source, target) for source in populations for target in populations]
    return Circuit((*populations,), (*projections,))
