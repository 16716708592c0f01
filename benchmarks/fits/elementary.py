"""Fit the tables of `_elementary.py` and print them; seconds on one core.

    OPENBLAS_NUM_THREADS=1 python benchmarks/fits/elementary.py

Both functions are fitted less their first terms, which the code adds exactly:

- log(1 + f) = f + f^2 P(f) for 1 + f in [sqrt(1/2), sqrt(2)], in float32 (float64 has XLA's);
- 2^r = 1 + r log 2 + r^2 P(r) for |r| <= 1/2.

What is small is the greatest relative error of log(1 + f) and of 2^r - 1, which is why the two
pass near 0. The last digits depend on the linear algebra library.
"""

from __future__ import annotations

import textwrap

import mpmath as mp
import numpy as np
from gamma import literal, weighted_ratio

mp.mp.dps = 40


def fit(name, dtype, function, first, low, high, degree):
    """Source of P(x) = (function(x) - first x)/x^2, and function's greatest relative error."""
    nodes = np.cos(np.pi * (np.arange(2000) + 0.5) / 2000)
    x = (low + high) / 2 + (high - low) / 2 * nodes
    exact = [function(mp.mpf(v)) for v in x]
    target = np.array(
        [float((y - first * v) / mp.mpf(v) ** 2) for y, v in zip(exact, x, strict=True)]
    )
    weight = x * x / abs(np.array(exact, float))
    powers, none = x[:, None] ** np.arange(degree + 1), np.zeros((len(x), 0))
    error, coefficients, _ = weighted_ratio(powers, none, target, 0.0, weight, 0.0, 100)
    text = textwrap.wrap(literal(tuple(coefficients), dtype), 96)
    return f"{name}, {dtype.__name__}, within {error:.1e}:\n" + "\n".join(text)


def main() -> None:
    """Print the tables, lowest power first."""
    edges = float(mp.sqrt(0.5) - 1), float(mp.sqrt(2) - 1)
    print(fit("_LOG", np.float32, mp.log1p, mp.mpf(1), *edges, 7))
    for dtype, degree in ((np.float32, 4), (np.float64, 9)):
        print(fit("_EXP2", dtype, lambda r: mp.expm1(r * mp.log(2)), mp.log(2), -0.5, 0.5, degree))


if __name__ == "__main__":
    main()
