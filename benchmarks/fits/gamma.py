"""Fit the coefficient tables of `gamma.py`; NumPy and SciPy only, under a minute on one core.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python benchmarks/fits/gamma.py                        # print the tables
    python benchmarks/fits/gamma.py braininit/_math/gamma.py    # write them into it

Two functions are fitted, each once for float32 and once for float64.

**The normal quantile.** With u the uniform number, m = min(u, 1 - u), y = 2u - 1 and
w = -log(4 m (1 - m)), z = y R(w). R is smooth on the whole range, where z itself has an
infinite slope at both ends, so one ratio of polynomials does without a branch.

**The log-quantile of the gamma distribution.** L = log(X / a) as a function of t = z / sqrt(a)
and q = 1 / a. Temme's uniform inversion of the incomplete gamma function (SIAM J. Math. Anal. 10,
1979; Math. Comp. 58, 1992) expands L in powers of q with coefficients smooth in t, so L is smooth
in the pair, down to q = 0. Its ratio P(t, q) / Q(t, q) has p00 = 0, p10 = 1 and q00 = 1 held
fixed: then L -> t exactly in the limit of large a, beyond the grid, too.

The fit is linearised least squares of P - L Q, its weight divided by the last Q
(Sanathanan-Koerner) and multiplied up where the error is largest (Lawson), so that the greatest
weighted error shrinks. The weight turns an error of L into one of the probability: absolute in the
middle, relative in the tails. A small ridge keeps Q away from cancelling, which in finite
precision costs more than a poorer fit does.

The last digits depend on the LAPACK build and its number of threads; the errors printed do not.
"""

from __future__ import annotations

import sys
import textwrap
from typing import NamedTuple

import numpy as np
from scipy import linalg, special

# The range of sqrt(q) fitted: concentrations from 0.92, for an edge at 1 would spoil the derivative
# there, to 1.1e5, beyond which p00, p10 and q00 hold the limit.
ROOTS = 3e-3, 1.04
BEGIN, END = "# fmt: off", "# fmt: on"


class Plan(NamedTuple):
    """What is fitted for one dtype."""

    name: str
    dtype: type
    reach: float  # largest |z|: the quantile of 2^-33 or 2^-65, and a little more
    normal_degrees: tuple[int, int]
    degrees: tuple[int, int]  # of P and Q in t
    degree_in_q: int
    total: int  # a term t^i q^j is used where i + 2 j <= total
    absolute: float  # an error of the probability weighs 1 where it is this large ...
    relative: float  # ... or, in the tails, this large relative to the tail
    ridge: float
    grid: tuple[int, int]  # nodes in z and in sqrt(q)


PLANS = (
    Plan("_SINGLE", np.float32, 6.36, (6, 5), (10, 7), 4, 11, 3e-8, 1e-5, 3e-11, (80, 40)),
    Plan("_DOUBLE", np.float64, 9.17, (12, 11), (15, 13), 8, 17, 1e-12, 1e-9, 3e-18, (100, 50)),
)


def log_quantile(z: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The function to fit, L = log(X / a), and dz/dL, which turns its errors into those of z."""
    tail = special.ndtr(-abs(z))
    x = np.where(z < 0, special.gammaincinv(a, tail), special.gammainccinv(a, tail))
    with np.errstate(divide="ignore"):
        L = np.where(x < a / 2, np.log(x / a), np.log1p((x - a) / a))
    # x f(x) = sqrt(a / 2 pi) exp(-a (e^L - 1 - L) - Stirling's remainder): no large terms cancel.
    stirling = special.gammaln(a) - ((a - 0.5) * np.log(a) - a + 0.5 * np.log(2 * np.pi))
    slope = np.exp(0.5 * np.log(a) - stirling - a * (np.expm1(L) - L) + z * z / 2)
    return L, slope


def weighted_ratio(P, Q, target, offset, weight, ridge, rounds):
    """Coefficients c, d for offset + P c = target (1 + Q d), the greatest weighted error least.

    P and Q hold a basis function a column. Returns the best of all rounds: error, c, d.
    """
    width = P.shape[1] + Q.shape[1]
    penalty = ridge * np.sqrt(np.sum(weight**2)) * np.eye(width)
    denominator, emphasis = np.ones_like(target), np.ones_like(target)
    best = (np.inf, None, None)
    for turn in range(rounds):
        w = weight / abs(denominator) * np.sqrt(emphasis)
        matrix = np.vstack([np.hstack([P, -target[:, None] * Q]) * w[:, None], penalty])
        c = least_squares(matrix, np.concatenate([(target - offset) * w, np.zeros(width)]))
        denominator = 1 + Q @ c[P.shape[1] :]
        error = abs((offset + P @ c[: P.shape[1]]) / denominator - target) * weight
        if error.max() < best[0] and denominator.min() > 0:
            best = error.max(), c[: P.shape[1]], c[P.shape[1] :]
        if turn > 3:  # first let the denominator settle
            emphasis *= (error / error.max() + 1e-3) ** 0.7
            emphasis /= emphasis.mean()
    return best


def least_squares(matrix: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Pivoted QR on scaled columns, refined once; `lstsq` would cut the small singular values."""
    scale = np.sqrt(np.sum(matrix**2, axis=0))
    q, r, order = linalg.qr(matrix / scale, mode="economic", pivoting=True)
    c = np.zeros(len(scale))
    for _ in range(2):
        step = np.zeros(len(scale))
        step[order] = linalg.solve_triangular(r, q.T @ (rhs - matrix @ c))
        c += step / scale
    return c


def fit_normal(plan: Plan) -> tuple[float, tuple, tuple]:
    """R(w), relative error; the coefficients lowest power first."""
    n = 2000
    z = (plan.reach + 0.05) * (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n))
    m, y = special.ndtr(-z), special.erf(z / np.sqrt(2))
    with np.errstate(divide="ignore"):
        w = np.where(z < 1, -np.log1p(-y * y), -np.log(4 * m) - np.log1p(-m))
    up, down = plan.normal_degrees
    P = w[:, None] ** np.arange(up + 1)
    Q = w[:, None] ** np.arange(1, down + 1)
    error, p, q = weighted_ratio(P, Q, z / y, 0.0, y / z, 0.0, 60)
    return error, tuple(p), (1.0, *q)


def powers(degree: int, plan: Plan) -> list[tuple[int, int]]:
    """The terms t^i q^j of a polynomial of this degree in t."""
    return [
        (i, j)
        for i in range(degree + 1)
        for j in range(plan.degree_in_q + 1)
        if i + 2 * j <= plan.total
    ]


def fit_gamma(plan: Plan) -> tuple[float, tuple, tuple]:
    """P and Q of the log-quantile: a tuple over powers of t of tuples over powers of q."""
    nz, ns = plan.grid
    z = plan.reach * np.cos(np.pi * (np.arange(nz) + 0.5) / nz)
    s = 0.5 - 0.5 * np.cos(np.pi * np.arange(ns) / (ns - 1))
    s = ROOTS[0] + (ROOTS[1] - ROOTS[0]) * s
    z, s = (v.ravel() for v in np.meshgrid(z, s))
    t, q = z * s, s * s
    L, slope = log_quantile(z, 1 / q)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    hazard = density / special.ndtr(-abs(z))
    weight = slope * np.maximum(density / plan.absolute, hazard / plan.relative)

    fixed = {"P": {(0, 0): 0.0, (1, 0): 1.0}, "Q": {(0, 0): 1.0}}
    p_powers = [ij for ij in powers(plan.degrees[0], plan) if ij not in fixed["P"]]
    q_powers = [ij for ij in powers(plan.degrees[1], plan) if ij not in fixed["Q"]]
    # t / reach lies in [-1, 1]: the ridge then treats all powers alike.
    P, Q = (
        np.stack([(t / plan.reach) ** i * q**j for i, j in ij], axis=1)
        for ij in (p_powers, q_powers)
    )
    error, p, d = weighted_ratio(P, Q, L, t, weight, plan.ridge, 20)
    tables = []
    for degree, ij, c, held in (
        (plan.degrees[0], p_powers, p, fixed["P"]),
        (plan.degrees[1], q_powers, d, fixed["Q"]),
    ):
        value = {(i, j): v / plan.reach**i for (i, j), v in zip(ij, c, strict=True)} | held
        tables.append(
            tuple(
                tuple(value[k, j] for k, j in powers(degree, plan) if k == i)
                for i in range(degree + 1)
            )
        )
    return error, tables[0], tables[1]


def literal(value: float | tuple, dtype: type) -> str:
    """A number, or a tuple of them, in the fewest digits that read back as the same `dtype`."""
    if not isinstance(value, tuple):
        return repr(float(str(dtype(value))))
    inner = [literal(v, dtype) for v in value]
    return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"


def source(plan: Plan) -> str:
    """The source lines of one dtype's tables, preceded by how good they are."""
    normal_error, *normal = fit_normal(plan)
    error, *gamma = fit_gamma(plan)
    # `gamma.py` relies on this sign.
    q = np.linspace(1e-6, 1, 9999)[:, None]
    assert np.all(q ** np.arange(len(gamma[0][0])) @ gamma[0][0] < 0)
    count = sum(len(row) for rows in gamma for row in rows) - 3
    lines = [
        f"# {plan.dtype.__name__}, |z| < {plan.reach}: z within {normal_error:.1e} relative;",
        f"# {count} coefficients, |F(x) - u| < {error * plan.absolute:.1e}, tails"
        f" {error * plan.relative:.1e} relative.",
        f"{plan.name} = _Tables(",
    ]
    for part in (*normal, *gamma):
        text = literal(tuple(part), plan.dtype) + ","
        lines += textwrap.wrap(text, 98, initial_indent="    ", subsequent_indent="     ")
    return "\n".join([*lines, ")"])


def main() -> None:
    """Print the tables, or put them between the marks of the file named."""
    tables = "\n".join(source(plan) for plan in PLANS)
    if len(sys.argv) == 1:
        print(tables)
        return
    with open(sys.argv[1]) as file:
        text = file.read()
    head, rest = text.split(BEGIN + "\n")
    with open(sys.argv[1], "w") as file:
        file.write(head + BEGIN + "\n" + tables + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
