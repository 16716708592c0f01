"""Run the peers' expressions in `rules.toml`, and our rules, as matrices of edge counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import brainunit as u
import jax
import numpy as np

from _site.peers import KEY, evaluated, namespace
from _site.table import Row, Same

N, DRAWS = 50, 10
X = np.linspace(0.0, 400.0, N)  # positions of the neurons, in um


def ours(same: Same, row: Row | None = None) -> np.ndarray:
    """Count the edges between each pair of neurons, in `DRAWS` draws of our rule."""
    x = X * u.um
    options = {"pre_positions": x, "post_positions": x} if same.how == "edges by distance" else {}
    draws = (evaluated(same.here)(key, N, **options) for key in jax.random.split(KEY, DRAWS))
    return np.stack([_matrix((edges.pre, edges.post)) for edges in draws])


def theirs(peer: str, same: Same, row: Row) -> np.ndarray:
    """Count the edges between each pair of neurons, in `DRAWS` draws of the peer's rule."""
    keys = enumerate(jax.random.split(KEY, DRAWS), start=1)
    namespaces = (namespace(peer, row, key=key, seed=seed, n=N) for seed, key in keys)
    return np.stack([_matrix(_PEERS[peer](same.there, names)) for names in namespaces])


def _matrix(edges: Iterable[Any]) -> np.ndarray:
    """Count the edges from each source to each target."""
    source, target = (np.asarray(end) for end in edges)
    return np.bincount(source * N + target, minlength=N * N).reshape(N, N)


def _nest(there: str, names: dict[str, Any]) -> Iterable[Any]:
    nest = names["nest"]
    nest.ResetKernel()
    nest.rng_seed = names["seed"]
    at = nest.spatial.free([[x, 0.0] for x in X.tolist()], extent=[1e3, 1e3])
    neurons = nest.Create("parrot_neuron", positions=at)
    exec(there, names | {"pre": neurons, "post": neurons})
    edges = nest.GetConnections().get(["source", "target"])
    return np.array(edges["source"]) - 1, np.array(edges["target"]) - 1


def _pynn(there: str, names: dict[str, Any]) -> Iterable[Any]:
    from pyNN.random import NumpyRNG
    from pyNN.space import Line

    sim, connector = names["sim"], eval(there, names)
    sim.setup()
    connector.rng = NumpyRNG(seed=names["seed"])
    neurons = sim.Population(N, sim.IF_cond_exp(), structure=Line(dx=X[1]))
    edges = sim.Projection(neurons, neurons, connector, sim.StaticSynapse()).connections
    return zip(*((e.presynaptic_index, e.postsynaptic_index) for e in edges), strict=True)


def _brian(there: str, names: dict[str, Any]) -> Iterable[Any]:
    import brian2

    brian2.BrianLogger.suppress_name("unused_brian_object")
    brian2.prefs.codegen.target = "numpy"
    brian2.seed(names["seed"])
    neurons = brian2.NeuronGroup(N, "x : 1")
    neurons.x = X
    synapses = brian2.Synapses(neurons, neurons)
    exec(there, names | {"synapses": synapses})
    return synapses.i[:], synapses.j[:]


def _braintools(there: str, names: dict[str, Any]) -> Iterable[Any]:
    connect, at = eval(there, names), np.stack([X, 0 * X], axis=1) * u.um
    connect.rng = np.random.RandomState(names["seed"])
    edges = connect(N, N, pre_positions=at, post_positions=at)
    return edges.pre_indices, edges.post_indices


def _networkx(there: str, names: dict[str, Any]) -> Iterable[Any]:
    return zip(*eval(there, names).edges(), strict=True)


_PEERS: dict[str, Callable[[str, dict[str, Any]], Iterable[Any]]] = {
    "NEST": _nest,
    "PyNN": _pynn,
    "Brian2": _brian,
    "BrainTools": _braintools,
    "networkx": _networkx,
}
