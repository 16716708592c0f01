"""Fit the tables of `braininit/_math/elementary.py` and print them; seconds on one core.

    OPENBLAS_NUM_THREADS=1 python benchmarks/fits/elementary.py

The first two functions are fitted less their first terms, which the code adds exactly:

- log(1 + f) = f + f^2 P(f) for 1 + f in [sqrt(1/2), sqrt(2)], in float32 (float64 has XLA's);
- 2^r = 1 + r log 2 + r^2 P(r) for |r| <= 1/2;
- sin(pi x / 2) = x P(x^2) for |x| <= 1, in float32.

What is small is the greatest relative error of log(1 + f), of 2^r - 1 and of the sine. The
last digits depend on the linear algebra library.
"""

from __future__ import annotations

import textwrap

import mpmath as mp
import numpy as np
from gamma import literal, weighted_ratio

mp.mp.dps = 40


def fit(name, dtype, function, first, power, low, high, powers):
    """Source of P(x) = (function(x) - first x)/x^power, and function's greatest relative error."""
    nodes = np.cos(np.pi * (np.arange(2000) + 0.5) / 2000)
    x = (low + high) / 2 + (high - low) / 2 * nodes
    exact = [function(mp.mpf(v)) for v in x]
    target = np.array(
        [float((y - first * v) / mp.mpf(v) ** power) for y, v in zip(exact, x, strict=True)]
    )
    weight = abs(x**power / np.array(exact, float))
    basis, none = x[:, None] ** np.array(powers), np.zeros((len(x), 0))
    error, coefficients, _ = weighted_ratio(basis, none, target, 0.0, weight, 0.0, 100)
    text = textwrap.wrap(literal(tuple(coefficients), dtype), 96)
    return f"{name}, {dtype.__name__}, within {error:.1e}:\n" + "\n".join(text)


def less_one(r):
    return mp.expm1(r * mp.log(2))


def sine(x):
    return mp.sin(mp.pi * x / 2)


def main() -> None:
    """Print the tables, lowest power first."""
    edges = float(mp.sqrt(0.5) - 1), float(mp.sqrt(2) - 1)
    print(fit("_LOG", np.float32, mp.log1p, mp.mpf(1), 2, *edges, range(8)))
    for dtype, terms in ((np.float32, 5), (np.float64, 10)):
        print(fit("_EXP2", dtype, less_one, mp.log(2), 2, -0.5, 0.5, range(terms)))
    print(fit("_SINE", np.float32, sine, mp.mpf(0), 1, 0.0, 1.0, range(0, 10, 2)))


if __name__ == "__main__":
    main()
