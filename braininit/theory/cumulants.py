"""Moments of integer powers, from polynomials without negative terms, where nothing cancels.

The cumulants of a power of a normal, a gamma or a Poisson draw count connected diagrams, so their
coefficients are nonnegative integers. That keeps all digits of a skewness and a kurtosis that
vanish with the width of a narrow distribution.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["MAX_EXPONENT", "of_gamma", "of_normal", "of_poisson"]

MAX_EXPONENT = 40
"""The largest exponent whose coefficients, up to 160!, are float64 numbers."""


def of_normal(mean: Any, std: Any, n: int) -> tuple[Any, Any, Any, Any]:
    """Mean, std, skewness and kurtosis of the n-th power of a normal draw."""
    size = np.maximum(abs(mean), std)
    size = np.where(size > 0, size, 1.0)
    m, s = mean / size, std / size
    first, *cumulants = _normal_cumulants(n)
    # The factor s^(2 (r - 1)) is taken out of the r-th cumulant.
    second, third, fourth = (
        _polynomial(c[r:], m * m, s * s) for r, c in enumerate(cumulants, start=1)
    )
    odd = m if n % 2 else 1.0
    return (
        odd * size**n * _polynomial(first, m * m, s * s),
        size**n * s * np.sqrt(second),
        odd * s * third / second**1.5,
        s * s * fourth / second**2,
    )


def of_gamma(concentration: Any, scale: Any, n: int) -> tuple[Any, Any, Any, Any]:
    """Mean, std, skewness and kurtosis of the n-th power of a gamma draw."""
    return _by_parameter(concentration, scale, n, _gamma_cumulants(n))


def of_poisson(mean: Any, n: int) -> tuple[Any, Any, Any, Any]:
    """Mean, std, skewness and kurtosis of the n-th power of a Poisson draw."""
    return _by_parameter(mean, 1.0, n, _poisson_cumulants(n))


def _by_parameter(k: Any, scale: Any, n: int, cumulants: Any) -> tuple[Any, Any, Any, Any]:
    """From cumulants that are polynomials in k; a factor k is taken out of each."""
    size = np.maximum(k, 1.0)
    first, second, third, fourth = (_polynomial(c[:0:-1], k / size, 1 / size) for c in cumulants)
    return (
        k * (scale * size) ** n / size * first,
        np.sqrt(k) * (scale * size) ** n / size * np.sqrt(second),
        third / second**1.5 / np.sqrt(k),
        fourth / second**2 / k,
    )


def _polynomial(coefficients: Sequence[int], x: Any, y: Any) -> Any:
    """The sum of c_i x^(last - i) y^i."""
    last = len(coefficients) - 1
    return sum(float(c) * x ** (last - i) * y**i for i, c in enumerate(coefficients))


# ---------------------------------------------------------------- coefficients


@functools.lru_cache(maxsize=128)
def _normal_cumulants(n: int) -> list[list[int]]:
    """In powers of std^2, for a mean of 1."""
    return _cumulants(
        [math.comb(j, 2 * i) * math.prod(range(1, 2 * i, 2)) for i in range(j // 2 + 1)]
        for j in (n, 2 * n, 3 * n, 4 * n)
    )


@functools.lru_cache(maxsize=128)
def _gamma_cumulants(n: int) -> list[list[int]]:
    """In powers of the concentration, for a scale of 1: moments are rising factorials."""
    row, rows = [1], [[1]]
    for j in range(4 * n):
        row = [a + j * b for a, b in zip([0, *row], [*row, 0], strict=True)]
        rows.append(row)
    return _cumulants(rows[n::n])


@functools.lru_cache(maxsize=128)
def _poisson_cumulants(n: int) -> list[list[int]]:
    """In powers of the mean: moments have Stirling numbers of the second kind."""
    row, rows = [1], [[1]]
    for _ in range(4 * n):
        row = [a + i * b for i, (a, b) in enumerate(zip([0, *row], [*row, 0], strict=True))]
        rows.append(row)
    return _cumulants(rows[n::n])


def _cumulants(moments: Any) -> list[list[int]]:
    """The first four cumulants, from the first four moments about 0."""
    one, two, three, four = (np.polynomial.Polynomial(np.array(m, object)) for m in moments)
    polynomials = (
        one,
        two - one**2,
        three - 3 * one * two + 2 * one**3,
        four - 4 * one * three - 3 * two**2 + 12 * one**2 * two - 6 * one**4,
    )
    return [[int(c) for c in polynomial.coef] for polynomial in polynomials]
