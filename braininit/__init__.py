"""Initial values for JAX models: fast, unit-safe distributions as functions and objects.

>>> import jax, brainunit as u, braininit as init
>>> w = init.normal(jax.random.key(0), (1000,), mean=0.5 * u.nS, std=0.15 * u.nS)
>>> w = init.Normal(0.5 * u.nS, 0.15 * u.nS)(1000, rng=42)
"""

from typing import TYPE_CHECKING, Any

from braininit import plot as plot
from braininit import theory as theory
from braininit._caches import clear_caches as clear_caches
from braininit._calls import alike as _alike
from braininit._composite import Conditional as Conditional
from braininit._composite import Mixture as Mixture
from braininit._composite import conditional as conditional
from braininit._composite import mixture as mixture
from braininit._config import get as get
from braininit._config import to_config as to_config
from braininit._constants import Constant as Constant
from braininit._constants import OneInit as OneInit
from braininit._constants import ZeroInit as ZeroInit
from braininit._constants import constant as constant
from braininit._constants import ones as ones
from braininit._constants import zeros as zeros
from braininit._continuous import Beta as Beta
from braininit._continuous import Normal as Normal
from braininit._continuous import TruncatedNormal as TruncatedNormal
from braininit._continuous import Uniform as Uniform
from braininit._continuous import beta as beta
from braininit._continuous import normal as normal
from braininit._continuous import truncated_normal as truncated_normal
from braininit._continuous import uniform as uniform
from braininit._core import Initialization as Initialization
from braininit._distance import ApplyProfile as ApplyProfile
from braininit._distance import CombinedProfile as CombinedProfile
from braininit._distance import DistanceProfile as DistanceProfile
from braininit._files import load as load
from braininit._files import save as save
from braininit._geometry import DistanceModulated as DistanceModulated
from braininit._geometry import distance_modulated as distance_modulated
from braininit._geometry import pairwise_distances as pairwise_distances
from braininit._kaiming import KaimingNormal as KaimingNormal
from braininit._kaiming import KaimingUniform as KaimingUniform
from braininit._kaiming import gain as gain
from braininit._kaiming import kaiming_normal as kaiming_normal
from braininit._kaiming import kaiming_uniform as kaiming_uniform
from braininit._keys import seed as seed
from braininit._matrices import DeltaOrthogonal as DeltaOrthogonal
from braininit._matrices import Dirac as Dirac
from braininit._matrices import Identity as Identity
from braininit._matrices import Orthogonal as Orthogonal
from braininit._matrices import delta_orthogonal as delta_orthogonal
from braininit._matrices import dirac as dirac
from braininit._matrices import identity as identity
from braininit._matrices import orthogonal as orthogonal
from braininit._operators import Combined as Combined
from braininit._operators import Power as Power
from braininit._operators import Scaled as Scaled
from braininit._operators import combined as combined
from braininit._operators import powered as powered
from braininit._operators import scaled as scaled
from braininit._param import param as param
from braininit._pipes import Clipped as Clipped
from braininit._pipes import Compose as Compose
from braininit._pipes import clipped as clipped
from braininit._pipes import composed as composed
from braininit._positive import Exponential as Exponential
from braininit._positive import Gamma as Gamma
from braininit._positive import LogNormal as LogNormal
from braininit._positive import Weibull as Weibull
from braininit._positive import exponential as exponential
from braininit._positive import gamma as gamma
from braininit._positive import lognormal as lognormal
from braininit._positive import weibull as weibull
from braininit._profiles import BimodalProfile as BimodalProfile
from braininit._profiles import DoGProfile as DoGProfile
from braininit._profiles import ExponentialProfile as ExponentialProfile
from braininit._profiles import GaussianProfile as GaussianProfile
from braininit._profiles import LinearProfile as LinearProfile
from braininit._profiles import LogisticProfile as LogisticProfile
from braininit._profiles import MexicanHatProfile as MexicanHatProfile
from braininit._profiles import PowerLawProfile as PowerLawProfile
from braininit._profiles import SigmoidProfile as SigmoidProfile
from braininit._profiles import StepProfile as StepProfile
from braininit._rows import rows as rows
from braininit._scaling import LecunNormal as LecunNormal
from braininit._scaling import LecunUniform as LecunUniform
from braininit._scaling import VarianceScaling as VarianceScaling
from braininit._scaling import XavierNormal as XavierNormal
from braininit._scaling import XavierUniform as XavierUniform
from braininit._scaling import lecun_normal as lecun_normal
from braininit._scaling import lecun_uniform as lecun_uniform
from braininit._scaling import variance_scaling as variance_scaling
from braininit._scaling import xavier_normal as xavier_normal
from braininit._scaling import xavier_uniform as xavier_uniform
from braininit._structured import Dale as Dale
from braininit._structured import Sparse as Sparse
from braininit._structured import Spectral as Spectral
from braininit._structured import dale as dale
from braininit._structured import sparse as sparse
from braininit._structured import spectral as spectral
from braininit._truncation import Truncated as Truncated
from braininit._truncation import truncated as truncated
from braininit._types import Initializer as Initializer
from braininit._types import QuantityLike as QuantityLike
from braininit._types import RealLike as RealLike
from braininit._units import UnitError as UnitError
from braininit._values import static as static

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a checker is to know what is here, and what is not

    def __getattr__(name: str) -> Any:
        """Say the nearest name; he_normal, for example, is kaiming_normal here."""
        known = [n for n in globals() if n.islower() == name.islower() and n[0] != "_"]
        hint = "" if name.startswith("_") else _alike(name, known)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
