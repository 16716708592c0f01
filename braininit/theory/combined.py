"""The laws of what is made of other laws."""

from __future__ import annotations

from typing import Any

import numpy as np

from braininit.theory.law import Law, point, unless_zero

# ---------------------------------------------------------------- shifted and scaled


def affine(law: Law, shift: Any, factor: Any) -> Law:
    """Return the law of shift + factor x, if `law` is that of x."""
    if law.is_point:
        return point(shift + factor * law.mean)
    up = factor > 0

    def back(x: Any) -> Any:
        return (x - shift) / factor

    def either(x: Any, y: Any) -> Any:
        return np.where(up, x, y)

    def forth(x: Any) -> Any:
        with np.errstate(invalid="ignore"):  # 0 times an infinite bound
            return shift + factor * x

    low, high = law.support
    moved = Law(
        lambda: forth(law.mean),
        lambda: abs(factor) * law.std,
        lambda x: law.pdf(back(x)) / abs(factor),
        lambda x: either(law.cdf(back(x)), law.sf(back(x))),
        lambda x: either(law.sf(back(x)), law.cdf(back(x))),
        log_pdf=lambda x: law.log_pdf(back(x)) - np.log(abs(factor)),
        quantile=lambda p, q: forth(law._inverse(either(p, q), either(q, p))),
        skewness=lambda: np.sign(factor) * law.skewness,
        kurtosis=lambda: np.where(factor == 0, np.nan, law.kurtosis),
        support=(forth(either(low, high)), forth(either(high, low))),
        breaks=tuple(forth(x) for x in law.breaks),
        atoms=tuple((forth(x), p) for x, p in law.atoms),
    )
    return unless_zero(factor, shift, moved)
