"""Pictures: draws beside their theory, profiles, matrices, plans, signals through depth.

=============  =========================================================================
draws          `histogram`, `cdf` and `qq` of values against a distribution; `compare` of several
profiles       `profile` over distance, `sheet` in a plane
matrices       `matrix` of weights or connections, sorted by population
whole models   `plan`: std by leaf; `signals` through depth
=============  =========================================================================

Axes show units, lines differ in dashes as well as in colour, and every picture goes into given
axes or a new figure. matplotlib stays optional: it is imported when a picture is made.
"""

from __future__ import annotations

from braininit.plot.draws import cdf, compare, histogram, qq
from braininit.plot.networks import plan, signals
from braininit.plot.space import profile, sheet
from braininit.plot.weights import matrix

__all__ = ["cdf", "compare", "histogram", "matrix", "plan", "profile", "qq", "sheet", "signals"]
