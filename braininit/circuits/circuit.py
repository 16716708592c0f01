"""Circuits as immutable objects: populations of neurons, and projections that connect them."""

from __future__ import annotations

from typing import Any, NamedTuple, overload

import jax
import numpy as np
from jax.core import Tracer

from braininit._params import options, roles, units
from braininit._params.types import DType, Initializer, Key, NumberLike
from braininit._params.values import Value, fields, frozen, register, static
from braininit.circuits import blocks
from braininit.circuits.edges import Edges
from braininit.circuits.rule import ConnectionRule, prepare, whole_dtype
from braininit.circuits.rules import FixedInDegree, FixedOutDegree, FixedTotalNumber
from braininit.composition.joint import Joint
from braininit.initializer.children import as_child
from braininit.initializer.recipe import UNKNOWN
from braininit.models.paths import path_key
from braininit.rows import rows

__all__ = ["LIF", "Circuit", "Connections", "PoissonInput", "Population", "Projection"]


class _Part(Value):
    """Base class of circuits and their parts."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        frozen(cls)
        register(cls)

    def _repr_html_(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return nothing: a notebook prints the text, as nested tables would take a page."""


def _check_types(part: Any, **types: type) -> None:
    """Raise a TypeError for fields of another class."""
    for name, cls in types.items():
        value = getattr(part, name)
        if not isinstance(value, cls):
            wanted = "str" if cls is str else cls.__name__
            raise TypeError(f"`{name}` must be a {wanted}, got {units.brief(value)}")


class LIF(_Part):
    """Parameters of leaky integrate-and-fire neurons.

    Parameters
    ----------
    tau : Quantity
        The time constant of the membrane.
    threshold, reset, rest : Quantity
        The potentials of a spike, after a spike, and without input.
    refractory : Quantity
        The time for which the potential stays at `reset` after a spike.
    capacitance : Quantity, optional
        The membrane's, if inputs are currents.
    tau_synapse : Quantity, optional
        The time constant of the inputs' exponential decay. None: a spike moves the potential at
        once.
    """

    tau: NumberLike
    threshold: NumberLike
    reset: NumberLike
    rest: NumberLike
    refractory: NumberLike
    capacitance: NumberLike | None = None
    tau_synapse: NumberLike | None = None

    def __post_init__(self) -> None:
        """Check that times share a unit, and potentials too."""
        super().__post_init__()
        units.off(threshold=self.threshold, reset=self.reset, rest=self.rest)
        times = {"tau": self.tau, "refractory": self.refractory, "tau_synapse": self.tau_synapse}
        units.off(**{name: time for name, time in times.items() if time is not None})


class PoissonInput(_Part):
    """Spikes from outside the circuit, at random times, independent for each neuron.

    Parameters
    ----------
    degree : int
        The number of sources of each neuron.
    rate : Quantity
        The rate of spikes of each source.
    weight, delay : Quantity
        The weight and delay of each spike.
    """

    degree: int = static()
    rate: NumberLike
    weight: NumberLike
    delay: NumberLike

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        options.whole("degree", self.degree, 0)


class Population(_Part):
    """Neurons of one kind.

    Parameters
    ----------
    name : str
        The name of the population in the circuit.
    size : int
        The number of neurons.
    neuron : LIF, optional
        The parameters of the neurons; None if they are only a source of spikes.
    potential : initializer, optional
        Draws the initial membrane potentials.
    input : PoissonInput, optional
        The input from outside the circuit.
    current : Quantity, optional
        A constant current into each neuron.
    """

    name: str = static()
    size: int = static()
    neuron: LIF | None = None
    potential: Initializer | None = None
    input: PoissonInput | None = None
    current: NumberLike | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        options.whole("size", self.size, 0)
        _check_types(self, name=str)
        if self.neuron is not None:
            _check_types(self, neuron=LIF)
        if self.input is not None:
            _check_types(self, input=PoissonInput)


class Connections(NamedTuple):
    """The draw of a projection: edges, and a weight and a delay for each edge."""

    edges: Edges
    weights: Any
    delays: Any


class Projection(_Part):
    """The connections from one population to another; call it to draw them.

    Parameters
    ----------
    source, target : Population
        The presynaptic and the postsynaptic population.
    rule : ConnectionRule
        The rule that draws the edges.
    weights, delays : initializer, optional
        Draw one number for each edge.

    Examples
    --------
    >>> import jax, brainunit as u, braininit as init
    >>> cells = init.Population("E", 1000)
    >>> weights = init.LogNormal(0.5 * u.nS, 0.3 * u.nS)
    >>> local = init.Projection(cells, cells, init.FixedInDegree(50), weights)
    >>> edges, weights, delays = local(jax.random.key(0))
    >>> edges.count, weights.shape, delays
    (50000, (50000,), None)
    """

    source: Population
    target: Population
    rule: ConnectionRule
    weights: Initializer | None = None
    delays: Initializer | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        _check_types(self, source=Population, target=Population, rule=ConnectionRule)
        for name in ("weights", "delays"):
            value = getattr(self, name)
            if isinstance(value, Joint):
                raise TypeError(
                    f"`{name}` must be one initializer, got a Joint of several; draw that by "
                    "itself, for as many elements as there are edges"
                )
            if value is not None:
                as_child(name, value)

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers of neurons, ``(n_pre, n_post)``."""
        return self.source.size, self.target.size

    def __call__(
        self,
        key: Key,
        *,
        step: NumberLike | None = None,
        step_dtype: DType = "uint8",
        **kwargs: Any,
    ) -> Connections:
        """Draw the edges, their weights and delays.

        Parameters
        ----------
        key : key
            The key of the whole circuit; the draw does not depend on other projections.
        step : Quantity, optional
            Round delays to multiples of this step, and return the whole numbers of steps.
        step_dtype : dtype
            The dtype of these numbers. A delay beyond it is an error; under ``jax.jit``, its
            largest number.
        **kwargs
            Passed to the rule: `dtype` of the indices, `only`, `out_sharding`, `max_edges`,
            positions.

        Notes
        -----
        Edges, weights and delays have the keys of the paths ``(source, target, "edges")``,
        ``(..., "weights")`` and ``(..., "delays")``, see `path_key`.
        """
        edges = self.rule(self._key(key, "edges"), self.sizes, **kwargs)
        sharding, part = kwargs.get("out_sharding"), self._part(kwargs.get("only"))

        def draw(name: str) -> Any:
            if getattr(self, name) is None:
                return None
            initializer, own_key = as_child(name, getattr(self, name)), self._key(key, name)
            if part is not None:  # the values that these edges have in the whole
                return rows(initializer, own_key, part[0], *part[1:])
            return initializer(own_key, edges.count, out_sharding=sharding)

        delays = draw("delays")  # first, as they may shrink
        if step is not None and delays is not None:
            step = _checked_step(step, units.parts(delays)[1])
            dtype = whole_dtype("step_dtype", step_dtype)
            delays = _checked(blocks.whole_steps(delays, step, dtype))
        return Connections(edges, draw("weights"), delays)

    def numpy(
        self,
        key: Key,
        *,
        dtype: DType = "int32",
        step: NumberLike | None = None,
        step_dtype: DType = "uint8",
    ) -> Connections:
        """Draw the same numbers in blocks, as NumPy arrays: for large circuits, in host memory.

        Parameters
        ----------
        key, step, step_dtype
            As in a call.
        dtype : dtype
            The dtype of the indices.

        Notes
        -----
        All projections of a circuit share a few compiled programs; a call compiles one for each
        number of edges. The results take all the memory used. Weights that depend on the whole,
        and edges of other rules than `FixedTotalNumber`, are not drawn in blocks.

        Examples
        --------
        >>> import brainunit as u, jax, braininit as init
        >>> projection = init.presets.potjans_diesmann()["L5I", "L5I"]
        >>> drawn = projection.numpy(jax.random.key(0), dtype="uint16", step=0.1 * u.ms)
        >>> [str(x.dtype) for x in (drawn.edges.pre, drawn.weights, drawn.delays)]
        ['uint16', 'float32', 'uint8']
        """
        edges_key, rule = self._key(key, "edges"), self.rule
        if blocks.draws_edges(rule, self.sizes):
            index_dtype = prepare(self.sizes, None, dtype, None).dtype
            pre, post = blocks.ends(edges_key, self.sizes, rule.number, index_dtype)
            edges = Edges(pre, post, self.sizes)
        else:
            edges = jax.tree.map(np.asarray, rule(edges_key, self.sizes, dtype=dtype))

        def draw(name: str, *steps: Any) -> Any:
            if getattr(self, name) is None:
                return None
            initializer = as_child(name, getattr(self, name))
            return blocks.values(initializer, self._key(key, name), edges.count, *steps)

        steps: tuple[Any, ...] = ()
        if step is not None and self.delays is not None:
            unit = as_child("delays", self.delays)._recipe.unit
            steps = _checked_step(step, unit), whole_dtype("step_dtype", step_dtype)
        delays = draw("delays", *steps)
        return Connections(edges, draw("weights"), _checked(delays) if steps else delays)

    def _part(self, only: Any) -> tuple[int, int, int] | None:
        """The number of all edges, and the range of `only` among them; None if all are drawn."""
        if only is None or (self.weights is None and self.delays is None):
            return None
        rule, (n_pre, n_post) = self.rule, self.sizes
        if isinstance(rule, FixedTotalNumber):
            return (rule.number, *only)
        if isinstance(rule, FixedInDegree):
            return (n_post * rule.degree, *(n * rule.degree for n in only))
        if isinstance(rule, FixedOutDegree):
            return (n_pre * rule.degree, *(n * rule.degree for n in only))
        raise ValueError(
            f"`only` = {only}: the weights and delays of some edges of {rule!r} follow from all "
            "edges; draw the whole, or give the projection neither"
        )

    def _key(self, key: Key, name: str) -> Key:
        return path_key(key, (self.source.name, self.target.name, name))

    def __repr__(self) -> str:
        """Name the populations without printing them."""
        return f"Projection from {self.source.name!r} to {self.target.name!r} by {self.rule!r}"


def _checked_step(step: Any, unit: Any) -> Any:
    """Check that a step is one positive number in the delays' unit."""
    if np.ndim(units.parts(step)[0]):
        raise ValueError(f"`step` must be one number, got {units.brief(step)}; write 0.1 * u.ms")
    if unit is UNKNOWN:
        return step
    common, (bare, _) = units.off(step=step, delays=units.on(1.0, unit))
    return units.on(roles.scale.check("step", bare, common), common)


def _checked(steps: Any) -> Any:
    """Check that no number of steps is the largest of its dtype, which marks an overflow."""
    if (
        steps is None
        or isinstance(steps, Tracer)
        or not getattr(steps, "is_fully_addressable", True)
    ):
        return steps
    most = np.iinfo(steps.dtype).max
    if np.asarray(steps).max(initial=0) == most:
        raise ValueError(
            f"`delays` must be 0 or more and below {most} steps, which {steps.dtype} counts; "
            "truncate them, or give another step_dtype"
        )
    return steps


class Circuit(_Part):
    """Populations and the projections between them.

    Parameters
    ----------
    populations : tuple of Population
        Populations with different names.
    projections : tuple of Projection
        At most one for each pair of populations, source and target.

    Examples
    --------
    >>> import jax, braininit as init
    >>> circuit = init.presets.potjans_diesmann()
    >>> circuit["L4E"].size, circuit["L4E", "L2/3E"].rule
    (21915, FixedTotalNumber(number=20253647, self_connections=True, multiple=True))
    >>> circuit
    Circuit of 8 populations, 77169 neurons, and 55 projections
    >>> key = jax.random.key(0)
    >>> small = [p for p in circuit.projections if p.target.name == "L5I"]
    >>> sum(projection(key).edges.count for projection in small)  # one after the other
    2913838
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]

    def __post_init__(self) -> None:
        """Check that names are unique, and that projections connect the populations."""
        super().__post_init__()
        for f in fields(self):
            object.__setattr__(self, f.name, tuple(getattr(self, f.name)))
        for name, cls in (("populations", Population), ("projections", Projection)):
            for i, part in enumerate(getattr(self, name)):
                if not isinstance(part, cls):
                    raise TypeError(
                        f"`{name}[{i}]` must be a {cls.__name__}, got {units.brief(part)}"
                    )
        names: list[Any] = [p.name for p in self.populations]
        names += [(p.source.name, p.target.name) for p in self.projections]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"a circuit has one of each name, got {twice[0]!r} twice")
        for projection in self.projections:
            for end in (projection.source, projection.target):
                if end not in self.populations:
                    raise ValueError(
                        f"a projection connects {end.name!r}, which is none of the `populations`, "
                        "or differs from the one with that name"
                    )

    @overload
    def __getitem__(self, name: str) -> Population: ...
    @overload
    def __getitem__(self, name: tuple[str, str]) -> Projection: ...
    def __getitem__(self, name: Any) -> Any:
        """A population by its name, or a projection by the names of source and target."""
        parts: dict[Any, Any] = {p.name: p for p in self.populations}
        parts |= {(p.source.name, p.target.name): p for p in self.projections}
        if name not in parts:
            listed = ", ".join(repr(p.name) for p in self.populations)
            raise KeyError(f"no {name!r} among populations {listed} and projections between them")
        return parts[name]

    def __repr__(self) -> str:
        """Show the size of the circuit, without its parts."""
        neurons = sum(p.size for p in self.populations)
        return (
            f"Circuit of {len(self.populations)} populations, {neurons} neurons, and "
            f"{len(self.projections)} projections"
        )
