"""Regenerates the coefficient tables of ``braininit/_math/truncated.py`` and prints them.

    OPENBLAS_NUM_THREADS=1 python benchmarks/fits/truncated.py

The last digits of the fitted ones depend on the linear algebra library.
Needs numpy and mpmath; takes seconds on one core.

1. The hazard h(x) = phi(x)/Q(x) of the normal, less its argument: g(x) = h(x) - x = N(x)/D(x),
   both with a highest power of 1, D one degree more, as g is 1/x far out. N/D is g itself at
   the x = k (1 + s)/(1 - s) whose s are a Chebyshev polynomial's zeros. k is what keeps both
   g and its derivative close (a difference of two values near to each other is a draw's mass).
   The coefficients are positive: no cancellation in Horner's rule.
2. The inverse of the conditional survival: the distance d beyond alpha at which
   -log(Q(alpha + d)/Q(alpha)) = E. With m = m(alpha), y = E m^2 and c = 1 - alpha m,
   d = E m N(y, c)/D(y, c), N(0, c) = D(0, c). N and D are fitted by linearised least
   squares (Sanathanan-Koerner), with Lawson's reweighting towards the smallest maximum of
   the relative error. That counts more the further out, where it is multiplied in the
   survival, but little where only float64 goes, which has a step to follow.
"""

import sys

import mpmath as mp
import numpy as np

mp.mp.dps = 40
K32, DEGREE_32 = 1.3, 4
K64, DEGREE_64 = 2.5, 10
E_32, E_64 = 23.0, 46.0  # -log(2^-33) and -log(2^-65): as far as a word reaches
FAR = 0.02  # what an error counts beyond E_32


def mills_exact(x):
    """m(x) in 40 digits; the asymptotic series where erfc underflows its use."""
    if x < 1000:
        return mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2))
    return sum((-1) ** n * mp.fac2(2 * n - 1) / x ** (2 * n + 1) for n in range(6))


def hazard_coefficients(k, degree):
    """Powers of x of N and D but the highest, which are 1; the lowest first."""
    count = 2 * degree + 1
    zeros = [mp.cos(mp.pi * (i + mp.mpf(1) / 2) / count) for i in range(count)]
    equations, values = mp.matrix(count), mp.matrix(count, 1)
    for i, s in enumerate(zeros):
        x = k * (1 + s) / (1 - s)
        g = 1 / mills_exact(x) - x
        row = [x**j for j in range(degree)] + [-g * x**j for j in range(degree + 1)]
        for j, v in enumerate(row):
            equations[i, j] = v / x**degree
        values[i] = g * x - 1
    both = [float(v) for v in mp.lu_solve(equations, values)]
    return both[:degree], both[degree:]


def parts(x, n, d):
    """Horner's partial sums, the last one of which is the polynomial itself."""
    sums = []
    for coefficients in (n, d):
        sums.append([np.ones_like(x)])
        for c in coefficients[::-1]:
            sums[-1].append(sums[-1][-1] * x + c)
    return sums


def mills(x, n, d):
    (*_, n_of), (*_, d_of) = parts(x, n, d)
    return d_of / (x * d_of + n_of)


def log_survival(alpha, distance, n, d):
    """-log(Q(alpha + distance)/Q(alpha)) to full relative precision, by a divided difference."""
    (*n_parts, n_of), (*d_parts, d_of) = parts(alpha, n, d)
    g, x = n_of / d_of, alpha + distance
    n_slope, d_slope = (sum(p * x**i for i, p in enumerate(v[::-1])) for v in (n_parts, d_parts))
    d_of = d_of + distance * d_slope
    fall = distance * (d_of - (g * d_slope - n_slope))
    return distance * (alpha + distance / 2) - np.log1p(-fall / ((alpha + g) * d_of + fall))


def invert(e, alpha, n, d):
    """The exact d, by Halley's iteration."""
    h = 1 / mills(alpha, n, d)
    x = 2 * e / (h * (1 + np.sqrt(1 + 2 * e / h**2)))
    for _ in range(12):
        m = mills(alpha + x, n, d)
        step = (log_survival(alpha, x, n, d) - e) * m
        x = x - step / (1 - step * (1 / m - alpha - x) / 2)
    return x


def grid(n, d, n_alpha=61, n_e=161):
    """y, c, what N/D is to be, and what its error counts; nodes crowd where E is small."""
    coarse = np.concatenate([[0.0], np.geomspace(1e-3, 300, 4000)])
    hazard = 1 / mills(coarse, n, d) - coarse
    at = hazard[0] * (1 + np.cos(np.pi * np.arange(n_alpha) / (n_alpha - 1))) / 2
    alpha = np.interp(np.maximum(at, hazard[-1] * 1.01), hazard[::-1], coarse[::-1])
    alpha[0] = 0.0
    e = E_64 * ((1 - np.cos(np.pi * (np.arange(n_e) + 0.5) / n_e)) / 2) ** 2
    e, alpha = (v.ravel() for v in np.meshgrid(e, alpha))
    m = mills(alpha, n, d)
    target = invert(e, alpha, n, d) / (e * m)
    return e * m * m, 1 - alpha * m, target, np.where(e < E_32, 1 + e / 20, FAR)


POWERS_N, POWERS_D = (4, 4, 4, 4, 3, 2), (4, 4, 4, 4, 3, 3, 2)  # of c, to each power of y
Y = 6.0  # y is fitted in this unit, in which its powers are of a size


def inverse_coefficients(y, c, target, count, rounds=400, ridge=1e-14):
    """N[i][j] and D[i][j], coefficient of y^i c^j, and the largest relative error that counts."""

    def basis(powers, first):
        terms = [(i, j) for i, n in enumerate(powers) for j in range(n) if i >= first]
        return np.stack([(y / Y) ** i * c**j for i, j in terms], 1)

    # N = F + upper n and D = F + lower d share F = 1 + shared f, the terms without y.
    upper, lower = basis(POWERS_N, 1), basis(POWERS_D, 1)
    shared = basis(POWERS_D[:1], 0)[:, 1:]
    ends = np.cumsum([shared.shape[1], upper.shape[1]])
    d_of, lawson, best = np.ones_like(y), np.ones_like(y), (np.inf,)
    for turn in range(rounds):
        weight = np.sqrt(lawson) * count / (np.maximum(d_of, 1e-3) * target)
        t = target[:, None]
        a = np.concatenate([(1 - t) * shared, upper, -t * lower], 1) * weight[:, None]
        b = (target - 1) * weight
        size = np.linalg.norm(a, axis=0)
        a = np.concatenate([a / size, ridge * np.linalg.norm(b) * np.eye(len(size))])
        b = np.concatenate([b, np.zeros(len(size))])
        f, n, d = np.split(np.linalg.lstsq(a, b, rcond=None)[0] / size, ends)
        n_of, d_of = 1 + shared @ f + upper @ n, 1 + shared @ f + lower @ d
        error = np.abs(n_of / d_of / target - 1) * count
        if error.max() < best[0] and d_of.min() > 0.05:  # D may not come near zero
            best = (error.max(), np.concatenate([[1.0], f, n]), np.concatenate([[1.0], f, d]))
        if turn > 3:
            lawson = lawson * (error / error.max() + 1e-3) ** 0.7
            lawson /= lawson.mean()
    return _rows(best[1], POWERS_N), _rows(best[2], POWERS_D), best[0]


def _rows(coefficients, powers):
    """A row to each power of y, which is in its own unit again."""
    parts = np.split(coefficients, np.cumsum(powers)[:-1])
    return [(part / Y**i).tolist() for i, part in enumerate(parts)]


def table(name, rows, form):
    if isinstance(rows[0], list):
        body = "".join("    (" + ", ".join(form % v for v in row) + "),\n" for row in rows)
    else:
        body = "".join(
            "    " + " ".join(form % v + "," for v in rows[i : i + 4]) + "\n"
            for i in range(0, len(rows), 4)
        )
    return f"{name} = (\n{body})\n"


def main():
    hazard_64 = hazard_coefficients(K64, DEGREE_64)
    n, d, worst = inverse_coefficients(*grid(*hazard_64))
    hazard_32 = hazard_coefficients(K32, DEGREE_32)
    text = [
        *(table(f"_HAZARD_{v}_32", c, "%.9e") for v, c in zip("ND", hazard_32, strict=True)),
        *(table(f"_HAZARD_{v}_64", c, "%.16e") for v, c in zip("ND", hazard_64, strict=True)),
        table("_INVERSE_N", n, "%.7e"),
        table("_INVERSE_D", d, "%.7e"),
    ]
    print("\n".join(text))
    print(f"# largest relative error of the inverse: {worst:.2e}", file=sys.stderr)


if __name__ == "__main__":
    main()
