"""Regenerates the coefficient tables of ``_truncated.py`` and prints them.

    OPENBLAS_NUM_THREADS=1 python benchmarks/fits/truncated.py

The last digits of the fitted ones depend on the linear algebra library.
Needs numpy and mpmath; takes seconds on one core.

1. Mills ratio m(x) = Q(x)/phi(x) = t P(s), t = 1/(1 + x/k), s = 1 - 2t = (x - k)/(x + k):
   P is smooth on [-1, 1], its Chebyshev series is summed to the degree the
   precision needs and rewritten in powers of s (the coefficients stay below 0.5:
   no cancellation in Horner's rule).
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
K32, N32 = 4, 9
K64, N64 = 5, 24
E_32, E_64 = 23.0, 46.0  # -log(2^-33) and -log(2^-65): as far as a word reaches
FAR = 0.02  # what an error counts beyond E_32


def mills_exact(x):
    """m(x) in 40 digits; the asymptotic series where erfc underflows its use."""
    if x < 1000:
        return mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2))
    return sum((-1) ** n * mp.fac2(2 * n - 1) / x ** (2 * n + 1) for n in range(6))


def mills_coefficients(k, degree, nodes=60):
    """Powers-of-s coefficients of P, lowest first."""
    angles = [mp.pi * (i + mp.mpf(1) / 2) / nodes for i in range(nodes)]
    values = []
    for angle in angles:
        s = mp.cos(angle)
        x = k * (1 + s) / (1 - s)
        values.append(mills_exact(x) * (1 + x / k))
    series = [
        2 * sum(v * mp.cos(j * a) for v, a in zip(values, angles, strict=True)) / nodes
        for j in range(degree + 1)
    ]
    series[0] /= 2
    powers = [mp.mpf(0)] * (degree + 1)
    previous, current = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]  # T0, T1
    for c in series:
        for i, v in enumerate(previous):
            powers[i] += c * v
        following = [mp.mpf(0)] + [2 * v for v in current]
        for i, v in enumerate(previous):
            following[i] -= v
        previous, current = current, following
    return [float(v) for v in powers]


def mills(x, c, k):
    t = 1 / (1 + x / k)
    return t * np.polyval(c[::-1], 1 - 2 * t)


def log_survival(alpha, d, c, k):
    """-log(Q(alpha + d)/Q(alpha)) to full relative precision, by a divided difference."""
    ta, tb = 1 / (1 + alpha / k), 1 / (1 + (alpha + d) / k)
    sa, sb = 1 - 2 * ta, 1 - 2 * tb
    pa, slope = c[-1] + 0 * sa, 0 * sb
    for coefficient in c[-2::-1]:
        slope = slope * sb + pa
        pa = pa * sa + coefficient
    return d * (alpha + d / 2) - np.log1p(-d / k * tb * (pa - 2 * tb * slope) / pa)


def invert(e, alpha, c, k):
    """The exact d, by Halley's iteration."""
    h = 1 / mills(alpha, c, k)
    d = 2 * e / (h * (1 + np.sqrt(1 + 2 * e / h**2)))
    for _ in range(12):
        m = mills(alpha + d, c, k)
        step = (log_survival(alpha, d, c, k) - e) * m
        d = d - step / (1 - step * (1 / m - alpha - d) / 2)
    return d


def grid(c, k, n_alpha=61, n_e=161):
    """y, c, what N/D is to be, and what its error counts; nodes crowd where E is small."""
    coarse = np.concatenate([[0.0], np.geomspace(1e-3, 300, 4000)])
    hazard = 1 / mills(coarse, c, k) - coarse
    at = hazard[0] * (1 + np.cos(np.pi * np.arange(n_alpha) / (n_alpha - 1))) / 2
    alpha = np.interp(np.maximum(at, hazard[-1] * 1.01), hazard[::-1], coarse[::-1])
    alpha[0] = 0.0
    e = E_64 * ((1 - np.cos(np.pi * (np.arange(n_e) + 0.5) / n_e)) / 2) ** 2
    e, alpha = (v.ravel() for v in np.meshgrid(e, alpha))
    m = mills(alpha, c, k)
    target = invert(e, alpha, c, k) / (e * m)
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
    c64 = mills_coefficients(K64, N64)
    n, d, worst = inverse_coefficients(*grid(np.array(c64), K64))
    text = [
        table("_MILLS_32", mills_coefficients(K32, N32), "%.9e"),
        table("_MILLS_64", c64, "%.16e"),
        table("_INVERSE_N", n, "%.7e"),
        table("_INVERSE_D", d, "%.7e"),
    ]
    print("\n".join(text))
    print(f"# largest relative error of the inverse: {worst:.2e}", file=sys.stderr)


if __name__ == "__main__":
    main()
