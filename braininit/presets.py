"""Known initializations of models, as rules for `plan`, and known circuits of neurons.

============== =====================================================================================
layers         `torch` `flax` `equinox` `keras`: the defaults of each library's layers
transformers   `gpt2` `megatron` `torchtitan` `neox` `t5` `deepnorm`, with `deepnorm_alpha`
parts          `switch_router` `zero_residual`: put before the rules of another preset
without norms  `fixup`
circuits       `potjans_diesmann` `brunel`: a `Circuit`, with sizes, rules, weights and delays
patterns       `RESIDUAL` `EMBEDDING` `HEAD` `ROUTER` `QUERY` `KEY`: patterns of paths, for rules
============== =====================================================================================
"""

from __future__ import annotations

from braininit.circuits.brunel import brunel
from braininit.circuits.potjans_diesmann import potjans_diesmann
from braininit.models import presets
from braininit.models.presets import *  # noqa: F403

__all__ = ["brunel", "potjans_diesmann"]  # pyright: ignore[reportUnsupportedDunderAll]
__all__ += presets.__all__
