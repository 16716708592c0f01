"""Initial values for JAX models: fast, unit-safe distributions as functions and objects.

>>> import jax, brainunit as u, braininit as init
>>> w = init.normal(jax.random.key(0), (1000,), mean=0.5 * u.nS, std=0.15 * u.nS)
>>> w = init.Normal(0.5 * u.nS, 0.15 * u.nS)(1000, rng=42)
"""

from typing import TYPE_CHECKING, Any

from braininit import plot as plot
from braininit import theory as theory
from braininit._engine.keys import seed as seed
from braininit._params.types import Initializer as Initializer
from braininit._params.types import QuantityLike as QuantityLike
from braininit._params.types import RealLike as RealLike
from braininit._params.units import UnitError as UnitError
from braininit._params.values import static as static
from braininit.caches import clear_caches as clear_caches
from braininit.composition.conditional import Conditional as Conditional
from braininit.composition.conditional import conditional as conditional
from braininit.composition.mixture import Mixture as Mixture
from braininit.composition.mixture import mixture as mixture
from braininit.config import get as get
from braininit.config import to_config as to_config
from braininit.distributions.continuous import Beta as Beta
from braininit.distributions.continuous import Normal as Normal
from braininit.distributions.continuous import TruncatedNormal as TruncatedNormal
from braininit.distributions.continuous import Uniform as Uniform
from braininit.distributions.continuous import beta as beta
from braininit.distributions.continuous import normal as normal
from braininit.distributions.continuous import truncated_normal as truncated_normal
from braininit.distributions.continuous import uniform as uniform
from braininit.distributions.positive import Exponential as Exponential
from braininit.distributions.positive import Gamma as Gamma
from braininit.distributions.positive import LogNormal as LogNormal
from braininit.distributions.positive import Weibull as Weibull
from braininit.distributions.positive import exponential as exponential
from braininit.distributions.positive import gamma as gamma
from braininit.distributions.positive import lognormal as lognormal
from braininit.distributions.positive import weibull as weibull
from braininit.distributions.truncated import Truncated as Truncated
from braininit.distributions.truncated import truncated as truncated
from braininit.files import load as load
from braininit.files import save as save
from braininit.initializer.calls import alike as _alike
from braininit.initializer.constant import Constant as Constant
from braininit.initializer.constant import OneInit as OneInit
from braininit.initializer.constant import ZeroInit as ZeroInit
from braininit.initializer.constant import constant as constant
from braininit.initializer.constant import ones as ones
from braininit.initializer.constant import zeros as zeros
from braininit.initializer.initialization import Initialization as Initialization
from braininit.initializer.operators import Combined as Combined
from braininit.initializer.operators import Power as Power
from braininit.initializer.operators import Scaled as Scaled
from braininit.initializer.operators import combined as combined
from braininit.initializer.operators import powered as powered
from braininit.initializer.operators import scaled as scaled
from braininit.initializer.pipes import Clipped as Clipped
from braininit.initializer.pipes import Compose as Compose
from braininit.initializer.pipes import clipped as clipped
from braininit.initializer.pipes import composed as composed
from braininit.layers.kaiming import KaimingNormal as KaimingNormal
from braininit.layers.kaiming import KaimingUniform as KaimingUniform
from braininit.layers.kaiming import gain as gain
from braininit.layers.kaiming import kaiming_normal as kaiming_normal
from braininit.layers.kaiming import kaiming_uniform as kaiming_uniform
from braininit.layers.matrices import DeltaOrthogonal as DeltaOrthogonal
from braininit.layers.matrices import Dirac as Dirac
from braininit.layers.matrices import Identity as Identity
from braininit.layers.matrices import Orthogonal as Orthogonal
from braininit.layers.matrices import delta_orthogonal as delta_orthogonal
from braininit.layers.matrices import dirac as dirac
from braininit.layers.matrices import identity as identity
from braininit.layers.matrices import orthogonal as orthogonal
from braininit.layers.scaling import LecunNormal as LecunNormal
from braininit.layers.scaling import LecunUniform as LecunUniform
from braininit.layers.scaling import VarianceScaling as VarianceScaling
from braininit.layers.scaling import XavierNormal as XavierNormal
from braininit.layers.scaling import XavierUniform as XavierUniform
from braininit.layers.scaling import lecun_normal as lecun_normal
from braininit.layers.scaling import lecun_uniform as lecun_uniform
from braininit.layers.scaling import variance_scaling as variance_scaling
from braininit.layers.scaling import xavier_normal as xavier_normal
from braininit.layers.scaling import xavier_uniform as xavier_uniform
from braininit.layers.structured import Dale as Dale
from braininit.layers.structured import Sparse as Sparse
from braininit.layers.structured import Spectral as Spectral
from braininit.layers.structured import dale as dale
from braininit.layers.structured import sparse as sparse
from braininit.layers.structured import spectral as spectral
from braininit.param import param as param
from braininit.rows import rows as rows
from braininit.spatial.distances import DistanceModulated as DistanceModulated
from braininit.spatial.distances import distance_modulated as distance_modulated
from braininit.spatial.distances import pairwise_distances as pairwise_distances
from braininit.spatial.profile import ApplyProfile as ApplyProfile
from braininit.spatial.profile import CombinedProfile as CombinedProfile
from braininit.spatial.profile import DistanceProfile as DistanceProfile
from braininit.spatial.profiles import BimodalProfile as BimodalProfile
from braininit.spatial.profiles import DoGProfile as DoGProfile
from braininit.spatial.profiles import ExponentialProfile as ExponentialProfile
from braininit.spatial.profiles import GaussianProfile as GaussianProfile
from braininit.spatial.profiles import LinearProfile as LinearProfile
from braininit.spatial.profiles import LogisticProfile as LogisticProfile
from braininit.spatial.profiles import MexicanHatProfile as MexicanHatProfile
from braininit.spatial.profiles import PowerLawProfile as PowerLawProfile
from braininit.spatial.profiles import SigmoidProfile as SigmoidProfile
from braininit.spatial.profiles import StepProfile as StepProfile

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a checker is to know what is here, and what is not

    def __getattr__(name: str) -> Any:
        """Say the nearest name; he_normal, for example, is kaiming_normal here."""
        known = [n for n in globals() if n.islower() == name.islower() and n[0] != "_"]
        hint = "" if name.startswith("_") else _alike(name, known)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
