"""Pictures of draws with their theory, profiles, matrices, plans, and signals through depth.

=============  =========================================================================
draws          `histogram`, `cdf` and `qq` of values against a distribution; `compare` several
profiles       `profile` over distance, `sheet` in a plane
matrices       `matrix` of weights or connections, sorted by population
whole models   `plan`: std by leaf; `signals` through depth
=============  =========================================================================

Axes show units, and lines differ in dashes as well as in colour. Every picture is drawn into the
axes passed as `ax`, or into a new figure. matplotlib is optional; it is imported on first use.
"""

from __future__ import annotations

from braininit.plot.draws import cdf, compare, histogram, qq
from braininit.plot.networks import plan, signals
from braininit.plot.space import profile, sheet
from braininit.plot.weights import matrix

__all__ = ["cdf", "compare", "histogram", "matrix", "plan", "profile", "qq", "sheet", "signals"]
