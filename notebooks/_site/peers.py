"""Evaluate the peers' expressions in the gallery's table, and compare their draws with ours."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import braininit as init
from _site.table import Row, Same

FALSE_ALARM = 1e-6
KEY = jax.random.key(20)
DISTANCES = np.linspace(0.0, 400.0, 101)


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another package that draws.

    Attributes
    ----------
    package
        The name to import.
    names
        Statements that define the names of its expressions, except `key`, `rng` and `shape`.
    ran
        The version that all its rows were last run with.
    """

    package: str
    names: str
    ran: str


PEERS = {
    "SciPy": Peer("scipy", "from scipy import stats", "1.17.1"),
    "jax.random": Peer("jax", "import jax", "0.10.2"),
    "jax.nn.initializers": Peer("jax", "import jax", "0.10.2"),
    "PyTorch": Peer("torch", "import torch", "2.14.1"),
    "Keras": Peer("keras", "import keras", "3.15.1"),
    "BrainTools": Peer("braintools", "import braintools, brainunit as u", "0.3.0"),
    "NEST": Peer("nest", "import nest", "3.10.0"),
    "Brian2": Peer("brian2", "from brian2 import Synapses", "2.9.0"),
    "PyNN": Peer(
        "pyNN",
        "import pyNN.mock as sim\n"
        "from pyNN.connectors import DistanceDependentProbabilityConnector\n"
        "from pyNN.random import RandomDistribution",
        "0.13.0",
    ),
    "networkx": Peer("networkx", "import networkx as nx", "3.6.1"),
}


# ---------------------------------------------------------------- evaluating


def objects(row: Row) -> list[Any]:
    """What a row draws."""
    return [evaluated(text) for text in row.drawn]


def evaluated(text: str) -> Any:
    """An expression of ours."""
    return eval(text, {"init": init, "u": u, "np": np, "jnp": jnp})


def ours(same: Same, row: Row) -> np.ndarray:
    """Our draws, or the values of our function of distance."""
    obj = evaluated(same.here)
    return np.asarray(obj(DISTANCES) if same.how == "values" else obj(KEY, row.shape))


def theirs(peer: str, same: Same, row: Row) -> np.ndarray:
    """The peer's draws, or the values of its function of distance."""
    return _READERS.get(peer, _plain)(same, row, namespace(peer, row))


def namespace(peer: str, row: Row, **more: Any) -> dict[str, Any]:
    """The names in the peer's expressions."""
    os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported
    package = importlib.import_module(PEERS[peer].package)
    names = {"np": np, "jnp": jnp, "jax": jax, "init": init, PEERS[peer].package: package}
    names |= {"key": KEY, "rng": np.random.default_rng(20), "shape": row.shape, "d": DISTANCES}
    names |= more
    exec(f"{PEERS[peer].names}\n{row.first}", names)
    return names


def _plain(same: Same, row: Row, names: dict[str, Any]) -> np.ndarray:
    return np.asarray(eval(same.there, names))


def _torch(same: Same, row: Row, names: dict[str, Any]) -> np.ndarray:
    names["torch"].manual_seed(20)
    return eval(same.there, names).numpy()


def _braintools(same: Same, row: Row, names: dict[str, Any]) -> np.ndarray:
    names["rng"] = np.random.RandomState(20)
    return np.asarray(u.get_mantissa(eval(same.there, names)))


class _Synapses:
    """A stand-in for Brian's synapses, for variables and probabilities given by strings."""

    def __init__(self, names: dict[str, Any], n: int) -> None:
        import brian2

        known = {name: names[name] for name in ("m", "s") if name in names}
        group = brian2.NeuronGroup(n, "w : 1\nd : 1", namespace=known)
        brian2.prefs.codegen.target = "numpy"
        brian2.seed(20)
        if n == DISTANCES.size:
            group.d = DISTANCES
        object.__setattr__(self, "group", group)

    def __setattr__(self, name: str, value: str) -> None:
        self.group.w = value

    def connect(self, p: str) -> None:
        self.group.w = p


def _brian(same: Same, row: Row, names: dict[str, Any]) -> np.ndarray:
    n = DISTANCES.size if same.how == "values" else int(np.prod(row.shape))
    names["synapses"] = _Synapses(names, n)
    exec(same.there, names)
    return np.array(names["synapses"].group.w[:])


def _pynn(same: Same, row: Row, names: dict[str, Any]) -> np.ndarray:
    from pyNN.random import NumpyRNG

    obj = eval(same.there, names)
    if same.how == "values":
        return obj.distance_function(DISTANCES)
    obj.rng = NumpyRNG(seed=20)
    return obj.next(int(np.prod(row.shape)))


def _nest(same: Same, row: Row, names: dict[str, Any]) -> np.ndarray:
    nest, parameter = names["nest"], eval(same.there, names)
    nest.ResetKernel()
    if same.how == "values":
        at = nest.spatial.free([[0.0, 0.0]], extent=[1e3, 1e3])
        layer = nest.Create("iaf_psc_alpha", positions=at)
        return np.array(parameter.apply(layer, [[float(d), 0.0] for d in DISTANCES]))
    if not hasattr(parameter, "GetValue"):  # a number
        return np.full(row.shape, parameter)
    return np.array([parameter.GetValue() for _ in range(int(np.prod(row.shape)))])


_READERS: dict[str, Callable[[Same, Row, dict[str, Any]], np.ndarray]] = {
    "PyTorch": _torch,
    "BrainTools": _braintools,
    "Brian2": _brian,
    "PyNN": _pynn,
    "NEST": _nest,
}


# ---------------------------------------------------------------- comparing


def bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b)


def values(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal numbers, up to rounding in single precision."""
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6)


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal matrices or constants, whose shapes broadcast."""
    return values(*np.broadcast_arrays(a, b))


def law(a: np.ndarray, b: np.ndarray, false_alarm: float = FALSE_ALARM) -> bool:
    """The same distribution, by a Kolmogorov-Smirnov test and t-tests of mean and variance."""
    a, b = (np.ravel(x).astype(np.float64) for x in (a, b))
    if np.unique(a).size == 1 or np.unique(b).size == 1:
        return equal(a[:1], b) and equal(a, b[:1])
    p = stats.ks_2samp(a, b, method="asymp").pvalue
    (low, high) = np.quantile(np.concatenate([a, b]), [1e-4, 1 - 1e-4])  # moments that exist
    a, b = a.clip(low, high), b.clip(low, high)
    moved = stats.ttest_ind(a, b, equal_var=False).pvalue
    center = np.mean(np.concatenate([a, b]))
    wider = stats.ttest_ind((a - center) ** 2, (b - center) ** 2, equal_var=False).pvalue
    return bool(min(p, moved, wider) > false_alarm / 3)


def angle(a: np.ndarray, b: np.ndarray) -> bool:
    """The same distribution of directions."""
    return law(*(np.mod(x + np.pi, 2 * np.pi) for x in (a, b)))


def orthogonal(a: np.ndarray, b: np.ndarray) -> bool:
    """Orthonormal columns."""
    return all(np.allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-5) for q in (a, b))


def zeros_in_each_column(a: np.ndarray, b: np.ndarray) -> bool:
    """As many zeros in each column, and the same distribution of the rest."""
    counts = [np.unique((x == 0).sum(0)).tolist() for x in (a, b)]
    return counts[0] == counts[1] and law(a[a != 0], b[b != 0])


def radius(a: np.ndarray, b: np.ndarray) -> bool:
    """The same spectral radius, to 1e-3, and the same distribution of the elements up to scale."""
    size = [abs(np.linalg.eigvals(x)).max() for x in (a, b)]
    return bool(np.isclose(*size, rtol=1e-3)) and law(a / a.std(), b / b.std())


def edges(a: np.ndarray, b: np.ndarray) -> bool:
    """The same distribution of the counts of edges; equal counts where they are constant."""
    pairs = list(zip(_counts(a), _counts(b), strict=True))
    return all(law(x, y, FALSE_ALARM / len(pairs)) for x, y in pairs)


def _counts(draws: np.ndarray) -> list[np.ndarray]:
    """All edges, in- and out-degrees, self- and multiple connections, steps on a ring, pairs."""
    matrix, half = (1, 2), draws.shape[1] // 2
    _, source, target = draws.nonzero()
    steps = (target - source + half) % draws.shape[1] - half
    multiple, selfs = (draws > 1).sum(matrix), draws.trace(0, *matrix)
    return [draws.sum(matrix), draws.sum(1), draws.sum(2), selfs, multiple, steps, draws]


def turned(a: np.ndarray, b: np.ndarray) -> bool:
    """The same distribution of edges, with sources and targets exchanged."""
    return edges(a.transpose(0, 2, 1), b)


COMPARED: dict[str, tuple[Callable[[np.ndarray, np.ndarray], bool], str]] = {
    "bits": (bits, "bit for bit"),
    "values": (values, "the same values"),
    "equal": (equal, "the same values"),
    "law": (law, "the same distribution"),
    "angle": (angle, "the same distribution of directions"),
    "orthogonal": (orthogonal, "orthonormal too"),
    "zeros in each column": (zeros_in_each_column, "as many zeros in each column"),
    "radius": (radius, "the same spectral radius"),
    "edges": (edges, "the same distribution"),
    "edges by distance": (edges, "the same distribution, with the neurons' positions"),
    "edges turned": (turned, "the same distribution, with sources and targets exchanged"),
}
"""The comparisons of two draws, and their descriptions."""
