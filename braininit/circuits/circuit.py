"""Circuits as values: populations of neurons, and the projections that connect them."""

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
from braininit.circuits.rule import ConnectionRule, drawing, whole_dtype
from braininit.circuits.rules import FixedInDegree, FixedOutDegree, FixedTotalNumber
from braininit.composition.joint import Joint
from braininit.initializer.children import as_child
from braininit.initializer.recipe import UNKNOWN
from braininit.models.paths import path_key
from braininit.rows import rows

__all__ = ["LIF", "Circuit", "Connections", "PoissonInput", "Population", "Projection"]


class _Part(Value):
    """What a circuit is made of."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        frozen(cls)
        register(cls)

    def _repr_html_(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Nothing: a notebook prints it, as a table of a table would take a page."""


def _refuse_others(part: Any, **kinds: type) -> None:
    """Refuse what is of another class; flattened, a part may hold anything."""
    for name, kind in kinds.items():
        value = getattr(part, name)
        if not isinstance(value, kind):
            called = "text" if kind is str else kind.__name__
            raise TypeError(f"`{name}` must be a {called}, got {units.brief(value)}")


class LIF(_Part):
    """Parameters of leaky integrate-and-fire neurons.

    Parameters
    ----------
    tau : Quantity
        The time constant of the membrane.
    threshold, reset, rest : Quantity
        Potentials: of a spike, after it, and without input.
    refractory : Quantity
        How long after a spike the potential stays at `reset`.
    capacitance : Quantity, optional
        Of the membrane, where inputs are currents.
    tau_synapse : Quantity, optional
        The time constant of their exponential decay. None: a spike moves the potential at once.
    """

    tau: NumberLike
    threshold: NumberLike
    reset: NumberLike
    rest: NumberLike
    refractory: NumberLike
    capacitance: NumberLike | None = None
    tau_synapse: NumberLike | None = None

    def __post_init__(self) -> None:
        """Check that times are times and potentials potentials, all in units or none."""
        super().__post_init__()
        units.off(threshold=self.threshold, reset=self.reset, rest=self.rest)
        times = {"tau": self.tau, "refractory": self.refractory, "tau_synapse": self.tau_synapse}
        units.off(**{name: time for name, time in times.items() if time is not None})


class PoissonInput(_Part):
    """Spikes from outside, at random times, to each neuron by itself.

    Parameters
    ----------
    degree : int
        How many sources a neuron has.
    rate : Quantity
        Of the spikes of each source.
    weight, delay : Quantity
        Of each spike.
    """

    degree: int = static()
    rate: NumberLike
    weight: NumberLike
    delay: NumberLike

    def __post_init__(self) -> None:
        """Check what is given."""
        super().__post_init__()
        options.whole("degree", self.degree, 0)


class Population(_Part):
    """Neurons of one kind.

    Parameters
    ----------
    name : str
        By which the circuit knows it.
    size : int
        How many neurons there are.
    neuron : LIF, optional
        Their parameters; None where they are a source of spikes alone.
    potential : initializer, optional
        Draws the initial membrane potentials.
    input : PoissonInput, optional
        What comes from outside the circuit.
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
        """Check what is given."""
        super().__post_init__()
        options.whole("size", self.size, 0)
        _refuse_others(self, name=str)
        if self.neuron is not None:
            _refuse_others(self, neuron=LIF)
        if self.input is not None:
            _refuse_others(self, input=PoissonInput)


class Connections(NamedTuple):
    """What a projection draws: who connects to whom, a weight and a delay for each edge."""

    edges: Edges
    weights: Any
    delays: Any


class Projection(_Part):
    """What connects one population to another; call it to draw the edges.

    Parameters
    ----------
    source, target : Population
        From where to where.
    rule : ConnectionRule
        Who connects to whom.
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
        """Check what is given."""
        super().__post_init__()
        _refuse_others(self, source=Population, target=Population, rule=ConnectionRule)
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
        """How many neurons there are, ``(n_pre, n_post)``."""
        return self.source.size, self.target.size

    def __call__(
        self,
        key: Key,
        *,
        step: NumberLike | None = None,
        step_dtype: DType = "uint8",
        **how: Any,
    ) -> Connections:
        """Draw the edges, their weights and delays.

        Parameters
        ----------
        key : key
            That of the whole circuit: what is drawn does not depend on other projections.
        step : Quantity, optional
            Give delays as whole numbers of this step, to which they are rounded.
        step_dtype : dtype
            Of these numbers. One that it can't count is an error, and its largest in a `jax.jit`.
        **how
            As the rule takes it: `dtype` of the indices, `only`, `out_sharding`, `max_edges`,
            positions.

        Notes
        -----
        Edges, weights and delays have the keys of the paths ``(source, target, "edges")``,
        ``(..., "weights")`` and ``(..., "delays")``, see `path_key`.
        """
        edges = self.rule(self._key(key, "edges"), self.sizes, **how)
        place, part = how.get("out_sharding"), self._part(how.get("only"))

        def draw(what: str) -> Any:
            its, own = getattr(self, what), self._key(key, what)
            if its is None:
                return None
            if part is not None:  # what these edges have in the whole
                return rows(as_child(what, its), own, part[0], *part[1:])
            return as_child(what, its)(own, edges.count, out_sharding=place)

        delays = draw("delays")  # first, as they may shrink
        if step is not None and delays is not None:
            step = _checked_step(step, units.parts(delays)[1])
            kind = whole_dtype("step_dtype", step_dtype)
            delays = _checked(blocks.whole_steps(delays, step, kind))
        return Connections(edges, draw("weights"), delays)

    def numpy(
        self,
        key: Key,
        *,
        dtype: DType = "int32",
        step: NumberLike | None = None,
        step_dtype: DType = "uint8",
    ) -> Connections:
        """Draw the same in blocks, as arrays of NumPy's: for large circuits, in the host's memory.

        Parameters
        ----------
        key, step, step_dtype
            As in a call.
        dtype : dtype
            Of the indices.

        Notes
        -----
        All projections of a circuit share a few compiled programs, where a call compiles its own
        for each number of edges. No more memory is used than the results take. Weights that
        depend on the whole, and edges of other rules than `FixedTotalNumber`, are drawn at once.

        Examples
        --------
        >>> import brainunit as u, jax, braininit as init
        >>> projection = init.presets.potjans_diesmann()["L5I", "L5I"]
        >>> drawn = projection.numpy(jax.random.key(0), dtype="uint16", step=0.1 * u.ms)
        >>> [str(x.dtype) for x in (drawn.edges.pre, drawn.weights, drawn.delays)]
        ['uint16', 'float32', 'uint8']
        """
        own, rule = self._key(key, "edges"), self.rule
        if blocks.one_by_one(rule, self.sizes):
            kind = drawing(self.sizes, None, dtype, None).dtype
            pre, post = blocks.ends(own, self.sizes, rule.number, kind)
            edges = Edges(pre, post, self.sizes)
        else:
            edges = jax.tree.map(np.asarray, rule(own, self.sizes, dtype=dtype))

        def draw(what: str, *steps: Any) -> Any:
            its, own = getattr(self, what), self._key(key, what)
            return (
                None
                if its is None
                else blocks.values(as_child(what, its), own, edges.count, *steps)
            )

        steps: tuple[Any, ...] = ()
        if step is not None and self.delays is not None:
            unit = as_child("delays", self.delays)._recipe.unit
            steps = _checked_step(step, unit), whole_dtype("step_dtype", step_dtype)
        delays = draw("delays", *steps)
        return Connections(edges, draw("weights"), _checked(delays) if steps else delays)

    def _part(self, only: Any) -> tuple[int, int, int] | None:
        """Of so many edges, those from one to another that belong to a range of targets."""
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
            f"`only` = {only}: which weights and delays these edges of {rule!r} have is known with "
            "all edges alone; draw the whole, or give the projection neither"
        )

    def _key(self, key: Key, what: str) -> Key:
        return path_key(key, (self.source.name, self.target.name, what))

    def __repr__(self) -> str:
        """Without all that is known of the populations."""
        return f"Projection from {self.source.name!r} to {self.target.name!r} by {self.rule!r}"


def _checked_step(step: Any, unit: Any) -> Any:
    """A step in time, if delays can be counted in it."""
    if np.ndim(units.parts(step)[0]):
        raise ValueError(f"`step` must be one number, got {units.brief(step)}; write 0.1 * u.ms")
    if unit is UNKNOWN:
        return step
    common, (bare, _) = units.off(step=step, delays=units.on(1.0, unit))
    return units.on(roles.scale.check("step", bare, common), common)


def _checked(whole: Any) -> Any:
    """Whole numbers, if their dtype counts them."""
    if (
        whole is None
        or isinstance(whole, Tracer)
        or not getattr(whole, "is_fully_addressable", True)
    ):
        return whole
    most = np.iinfo(whole.dtype).max
    if np.asarray(whole).max(initial=0) == most:
        raise ValueError(
            f"`delays` must be 0 or more and below {most} steps, which {whole.dtype} counts; "
            "truncate them, or give another step_dtype"
        )
    return whole


class Circuit(_Part):
    """Populations and the projections between them.

    Parameters
    ----------
    populations : tuple of Population
        Each name once.
    projections : tuple of Projection
        Each pair of populations once.

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
        """Check that all names are known, and each is meant once."""
        super().__post_init__()
        for f in fields(self):
            object.__setattr__(self, f.name, tuple(getattr(self, f.name)))
        for name, kind in (("populations", Population), ("projections", Projection)):
            for i, part in enumerate(getattr(self, name)):
                if not isinstance(part, kind):
                    raise TypeError(
                        f"`{name}[{i}]` must be a {kind.__name__}, got {units.brief(part)}"
                    )
        names: list[Any] = [p.name for p in self.populations]
        names += [(p.source.name, p.target.name) for p in self.projections]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"a circuit has one of each name, got {twice[0]!r} twice")
        for projection in self.projections:
            for end in (projection.source, projection.target):
                if end not in self.populations:
                    raise ValueError(
                        f"a projection is of {end.name!r}, which is none of the `populations`, or "
                        "differs from the one of that name"
                    )

    @overload
    def __getitem__(self, name: str) -> Population: ...
    @overload
    def __getitem__(self, name: tuple[str, str]) -> Projection: ...
    def __getitem__(self, name: Any) -> Any:
        """A population by its name, or a projection by those of its source and target."""
        known: dict[Any, Any] = {p.name: p for p in self.populations}
        known |= {(p.source.name, p.target.name): p for p in self.projections}
        if name not in known:
            listed = ", ".join(repr(p.name) for p in self.populations)
            raise KeyError(f"no {name!r} among populations {listed} and projections between them")
        return known[name]

    def __repr__(self) -> str:
        """How large the circuit is: its parts print themselves."""
        neurons = sum(p.size for p in self.populations)
        return (
            f"Circuit of {len(self.populations)} populations, {neurons} neurons, and "
            f"{len(self.projections)} projections"
        )
