"""Initial values for JAX models: fast, unit-safe distributions as functions and objects.

>>> import jax, brainunit as u, braininit as init
>>> w = init.normal(jax.random.key(0), (1000,), mean=0.5 * u.nS, std=0.15 * u.nS)
>>> w = init.Normal(0.5 * u.nS, 0.15 * u.nS)(1000, rng=42)

Each initializer is a function ``(key, shape, *parameters, dtype=None, out_sharding=None)`` and
its twin, a class with the same parameters; `Initialization` explains how both are called.

============  ====================================================================================
constant      `constant` `zeros` `ones`; `Constant` `ZeroInit` `OneInit`
continuous    `uniform` `normal` `truncated_normal` `beta` `laplace` `vonmises`; `Uniform` `Normal`
              `TruncatedNormal` `Beta` `Laplace` `VonMises`
positive      `lognormal` `gamma` `exponential` `weibull` `loguniform`; `LogNormal` `Gamma`
              `Exponential` `Weibull` `LogUniform`
discrete      `uniform_int` `poisson` `binomial`; `UniformInt` `Poisson` `Binomial`
truncated     `truncated`; `Truncated`: any of these between two bounds
layers        `variance_scaling` `kaiming_normal` `kaiming_uniform` `xavier_normal`
              `xavier_uniform` `lecun_normal` `lecun_uniform`, their twins, and `gain`
matrices      `orthogonal` `delta_orthogonal` `identity` `dirac` `sparse` `spectral` `dale`, and
              their twins
composition   ``+ - * / ** abs |`` of initializers; `mixture` `conditional` `clipped` `composed`
              `scaled` `combined` `powered` `on_grid`; `Mixture` `Conditional` `Clipped` `Compose`
              `Scaled` `Combined` `Power` `OnGrid`; several correlated parameters: `joint`, `Joint`
distance      `GaussianProfile` `ExponentialProfile` `PowerLawProfile` `LinearProfile`
              `StepProfile` `SigmoidProfile` `LogisticProfile` `DoGProfile` `BimodalProfile`
              `MexicanHatProfile`, subclasses of `DistanceProfile`; the results of operators,
              `CombinedProfile` `ApplyProfile`; `pairwise_distances`; `distance_modulated`,
              `DistanceModulated`
circuits      `one_to_one` `all_to_all` `fixed_in_degree` `fixed_out_degree` `fixed_total_number`
              `small_world` `pairwise_bernoulli` `pairwise_poisson`, and their twins, subclasses of
              `ConnectionRule`, which draw `Edges`; as a matrix: `connected`, `Connected`;
              `Circuit`, made of `Population`, `Projection`, `LIF` and `PoissonInput`; its
              projections draw `Connections`
whole models  `plan`, `initialize`, with rules of `KEEP`, `Rule` and `Leaf`; `fsdp`, `path_key`;
              `mup`; `parts`, `Parts`; the results `ModelPlan`, `Report`; errors are `PlanError`
tools         `param` `get` `to_config` `save` `load` `rows` `fit` `seed` `clear_caches`
modules       `theory`: laws of distributions; `plot`: pictures; `typing`: types;
              `presets`: known initializations of models, as rules, and known circuits
own classes   `Initialization`, `DistanceProfile`, `static`; errors of units are `UnitError`;
              for annotations `Initializer` `QuantityLike` `RealLike`
============  ====================================================================================
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# the base of every initializer
from braininit._engine.keys import seed
from braininit._params.types import Initializer, QuantityLike, RealLike
from braininit._params.units import UnitError
from braininit._params.values import Value, static
from braininit.caches import clear_caches

# circuits
from braininit.circuits.circuit import (
    LIF,
    Circuit,
    Connections,
    PoissonInput,
    Population,
    Projection,
)
from braininit.circuits.connected import Connected, connected
from braininit.circuits.edges import Edges
from braininit.circuits.pairwise import (
    PairwiseBernoulli,
    PairwisePoisson,
    pairwise_bernoulli,
    pairwise_poisson,
)
from braininit.circuits.rule import ConnectionRule
from braininit.circuits.rules import (
    AllToAll,
    FixedInDegree,
    FixedOutDegree,
    FixedTotalNumber,
    OneToOne,
    SmallWorld,
    all_to_all,
    fixed_in_degree,
    fixed_out_degree,
    fixed_total_number,
    one_to_one,
    small_world,
)

# composition
from braininit.composition.conditional import Conditional, conditional
from braininit.composition.joint import Joint, joint
from braininit.composition.mixture import Mixture, mixture

# tools
from braininit.config import get, to_config

# distributions
from braininit.distributions.continuous import (
    Beta,
    Laplace,
    Normal,
    TruncatedNormal,
    Uniform,
    VonMises,
    beta,
    laplace,
    normal,
    truncated_normal,
    uniform,
    vonmises,
)
from braininit.distributions.discrete import (
    Binomial,
    Poisson,
    UniformInt,
    binomial,
    poisson,
    uniform_int,
)
from braininit.distributions.positive import (
    Exponential,
    Gamma,
    LogNormal,
    LogUniform,
    Weibull,
    exponential,
    gamma,
    lognormal,
    loguniform,
    weibull,
)
from braininit.distributions.truncated import Truncated, truncated
from braininit.files import load, save
from braininit.initializer.calls import alike
from braininit.initializer.constant import Constant, OneInit, ZeroInit, constant, ones, zeros
from braininit.initializer.grid import OnGrid, on_grid
from braininit.initializer.initialization import Initialization
from braininit.initializer.operators import Combined, Power, Scaled, combined, powered, scaled
from braininit.initializer.pipes import Clipped, Compose, clipped, composed
from braininit.layers.dale import Dale, dale

# layers
from braininit.layers.kaiming import (
    KaimingNormal,
    KaimingUniform,
    gain,
    kaiming_normal,
    kaiming_uniform,
)
from braininit.layers.matrices import (
    DeltaOrthogonal,
    Dirac,
    Identity,
    Orthogonal,
    delta_orthogonal,
    dirac,
    identity,
    orthogonal,
)
from braininit.layers.scaling import (
    LecunNormal,
    LecunUniform,
    VarianceScaling,
    XavierNormal,
    XavierUniform,
    lecun_normal,
    lecun_uniform,
    variance_scaling,
    xavier_normal,
    xavier_uniform,
)
from braininit.layers.sparse import Sparse, sparse
from braininit.layers.spectral import Spectral, spectral

# whole models
from braininit.models.leaves import Leaf
from braininit.models.mup import mup
from braininit.models.parts import Parts, parts
from braininit.models.paths import path_key
from braininit.models.placement import fsdp
from braininit.models.plan import ModelPlan, initialize, plan
from braininit.models.problems import PlanError
from braininit.models.rules import KEEP, Rule
from braininit.models.warm import Report
from braininit.param import param
from braininit.rows import rows

# distance
from braininit.spatial.distances import pairwise_distances
from braininit.spatial.modulated import DistanceModulated, distance_modulated
from braininit.spatial.profile import ApplyProfile, CombinedProfile, DistanceProfile
from braininit.spatial.profiles import (
    BimodalProfile,
    DoGProfile,
    ExponentialProfile,
    GaussianProfile,
    LinearProfile,
    LogisticProfile,
    MexicanHatProfile,
    PowerLawProfile,
    SigmoidProfile,
    StepProfile,
)

if TYPE_CHECKING:
    from braininit import plot, presets, theory, typing
    from braininit.theory.fits import fit

__version__ = "0.1.0"

# fmt: off
__all__ = [  # noqa: RUF022 - in the order of the index above
    # constant, continuous, positive, discrete, truncated
    "constant", "zeros", "ones", "Constant", "ZeroInit", "OneInit",
    "uniform", "normal", "truncated_normal", "beta", "laplace", "vonmises",
    "Uniform", "Normal", "TruncatedNormal", "Beta", "Laplace", "VonMises",
    "lognormal", "gamma", "exponential", "weibull", "loguniform",
    "LogNormal", "Gamma", "Exponential", "Weibull", "LogUniform",
    "uniform_int", "poisson", "binomial", "UniformInt", "Poisson", "Binomial",
    "truncated", "Truncated",
    # layers, matrices
    "variance_scaling", "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform",
    "lecun_normal", "lecun_uniform", "VarianceScaling", "KaimingNormal", "KaimingUniform",
    "XavierNormal", "XavierUniform", "LecunNormal", "LecunUniform", "gain",
    "orthogonal", "delta_orthogonal", "identity", "dirac", "sparse", "spectral", "dale",
    "Orthogonal", "DeltaOrthogonal", "Identity", "Dirac", "Sparse", "Spectral", "Dale",
    # composition
    "mixture", "conditional", "clipped", "composed", "scaled", "combined", "powered",
    "on_grid", "Mixture", "Conditional", "Clipped", "Compose", "Scaled", "Combined", "Power",
    "OnGrid", "joint", "Joint",
    # distance
    "GaussianProfile", "ExponentialProfile", "PowerLawProfile", "LinearProfile", "StepProfile",
    "SigmoidProfile", "LogisticProfile", "DoGProfile", "BimodalProfile", "MexicanHatProfile",
    "DistanceProfile", "CombinedProfile", "ApplyProfile",
    "pairwise_distances", "distance_modulated", "DistanceModulated",
    # circuits
    "one_to_one", "all_to_all", "fixed_in_degree", "fixed_out_degree", "fixed_total_number",
    "small_world", "pairwise_bernoulli", "pairwise_poisson", "OneToOne", "AllToAll",
    "FixedInDegree", "FixedOutDegree", "FixedTotalNumber", "SmallWorld", "PairwiseBernoulli",
    "PairwisePoisson", "ConnectionRule", "Edges", "connected", "Connected",
    "Circuit", "Population", "Projection", "LIF", "PoissonInput", "Connections",
    # whole models
    "plan", "initialize", "KEEP", "Rule", "Leaf", "ModelPlan", "Report", "PlanError",
    "fsdp", "path_key", "mup", "parts", "Parts",
    # tools, modules, own classes
    "param", "get", "to_config", "save", "load", "rows", "fit", "seed", "clear_caches",
    "theory", "plot", "presets", "typing",
    "Initialization", "Initializer", "QuantityLike", "RealLike", "UnitError", "static",
]
# fmt: on


def _as_html(value: Value) -> str | None:
    """Show an object in a notebook."""
    return importlib.import_module("braininit.display").as_html(value)


# Set here, in the highest room: the display needs `theory`, which is above the objects.
Value._repr_html_ = _as_html

if not TYPE_CHECKING:  # a type checker then reports names that do not exist

    def __getattr__(name: str) -> Any:
        """Import a module or `fit` on first use; suggest the nearest name for an unknown one."""
        if name in ("plot", "presets", "theory", "typing"):
            return importlib.import_module(f"braininit.{name}")
        if name == "fit":
            return importlib.import_module("braininit.theory.fits").fit
        known = [n for n in __all__ if n.islower() == name.islower()]
        hint = "" if name.startswith("_") else alike(name, known)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")

    def __dir__() -> list[str]:
        return sorted([*__all__, "__version__"])
