"""The laws of the integer distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are first named

import braininit.theory.cumulants as cumulants
from braininit.theory.lattice import lattice
from braininit.theory.law import Law, unless_zero
from braininit.theory.positive import gamma

__all__ = ["binomial", "poisson", "uniform_int"]


def uniform_int(low: Any, high: Any) -> Law:
    n, last = high - low, high - 1
    several = np.where(n > 1, n, np.nan)
    return lattice(
        lambda k: np.where((k >= low) & (k <= last), 1 / n, 0.0),
        lambda k: np.clip((k - low + 1) / n, 0, 1),
        lambda k: np.clip((last - k) / n, 0, 1),
        (low, last),
        moments=(
            (low + last) / 2,
            np.sqrt((n - 1) * (n + 1) / 12),
            0 * several,
            -1.2 * (several**2 + 1) / ((several - 1) * (several + 1)),
        ),
    )


def poisson(mean: Any) -> Law:
    def chance(k: Any) -> Any:
        above = np.maximum(k, 1)
        log_p = -_deviance(above, mean) - _stirling(above) - np.log(2 * np.pi * above) / 2
        return np.where(k < 0, 0.0, np.exp(np.where(k == 0, -mean, log_p)))

    def tail(k: Any, up: bool) -> Any:
        function = scipy.special.pdtrc if up else scipy.special.pdtr
        if np.all(k < 1e4):
            part = function(np.maximum(k, 0), mean)
        else:  # SciPy's functions lose digits; use the waiting time of event k + 1
            waiting = gamma(np.maximum(k, 0) + 1.0, np.ones(()))
            part = (waiting.cdf if up else waiting.sf)(mean)
            part = np.where(k == np.inf, 0.0 if up else 1.0, part)
        return np.where(k < 0, 1.0 if up else 0.0, part)

    law = lattice(
        chance,
        lambda k: tail(k, False),
        lambda k: tail(k, True),
        (np.zeros_like(mean), np.full_like(mean, np.inf)),
        moments=(mean, np.sqrt(mean), 1 / np.sqrt(mean), 1 / mean),
        family=(poisson, mean),
        plus=lambda other_mean: poisson(mean + other_mean),
        powered=lambda n: cumulants.of_poisson(mean, n),
    )
    return unless_zero(mean, np.zeros_like(mean), law)


def binomial(n: Any, p: Any) -> Law:
    q = 1 - p
    n, p, q = np.broadcast_arrays(n, p, q)
    std = np.sqrt(n * p * q)

    def chance(k: Any) -> Any:
        hits, misses = np.clip(k, 1, n - 1), np.clip(n - k, 1, n - 1)
        log_p = (
            _stirling(n) - _stirling(hits) - _stirling(misses)
            - _deviance(hits, n * p) - _deviance(misses, n * q)
            - np.log(2 * np.pi * hits * (misses / n)) / 2
        )  # fmt: skip
        log_p = np.where(k == 0, n * np.log1p(-p), np.where(k == n, n * np.log(p), log_p))
        return np.where((k >= 0) & (k <= n), np.exp(log_p), 0.0)

    def tail(function: Any, below: float, k: Any) -> Any:
        """By the beta distribution of the (k + 1)-th smallest of n uniform numbers."""
        inside = np.clip(k, 0, np.maximum(n - 1, 0))
        p_inside = function(inside + 1, np.maximum(n - inside, 1), p)
        return np.where(k < 0, below, np.where(k >= n, 1 - below, p_inside))

    law = lattice(
        chance,
        lambda k: tail(scipy.special.betaincc, 0.0, k),
        lambda k: tail(scipy.special.betainc, 1.0, k),
        (np.zeros(n.shape), n),
        moments=(n * p, std, (q - p) / std, (1 - 6 * p * q) / std**2),
        family=(binomial, n, p),
        plus=lambda more, other_p: binomial(n + more, p) if np.all(other_p == p) else None,
    )
    return unless_zero(std, n * p, law)


def _deviance(k: Any, mean: Any) -> Any:
    """Compute k log(k / mean) + mean - k, also where k is close to the mean."""
    v = (k - mean) / (k + mean)
    near = abs(v) < 0.1
    v = np.where(near, v, 0.0)
    series = sum(v ** (2 * i + 1) / (2 * i + 1) for i in range(1, 10))
    far = k * np.log(np.where(near, 1.0, k / mean)) + (mean - k)
    return np.where(near, (k - mean) * v + 2 * k * series, far)


def _stirling(k: Any) -> Any:
    """log(k!) less Stirling's (k + 1/2) log(k) - k + log(2 pi) / 2, for integers k >= 1."""
    y = 1 / np.maximum(k, len(_STIRLING_RESTS)) ** 2
    terms = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
    series = np.sqrt(y) * sum(c * y**i for i, c in enumerate(terms))
    index = np.clip(k, 1, len(_STIRLING_RESTS)).astype(int) - 1
    return np.where(k <= len(_STIRLING_RESTS), _STIRLING_RESTS[index], series)


_STIRLING_RESTS = np.array(
    [
        math.log(math.factorial(k) * math.exp(k) / (k**k * math.sqrt(2 * math.pi * k)))
        for k in range(1, 17)
    ]
)
