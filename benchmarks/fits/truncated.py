"""Regenerates the coefficient tables of ``_truncated.py`` and prints them.

    OPENBLAS_NUM_THREADS=1 python benchmarks/fits/truncated.py

The last digits of the fitted ones depend on the linear algebra library.
Needs numpy and mpmath; takes seconds on one core.

1. Mills ratio m(x) = Q(x)/phi(x) = t P(s), t = 1/(1 + x/k), s = 1 - 2t = (x - k)/(x + k):
   P is smooth on [-1, 1], its Chebyshev series is summed to the degree the
   precision needs and rewritten in powers of s (the coefficients stay below 0.5:
   no cancellation in Horner's rule).
2. The inverse of the conditional survival: the distance d beyond alpha at which
   -log(Q(alpha + d)/Q(alpha)) = E. With h = 1/m(alpha), g = h - alpha and
   w = sqrt(1 + 2 E/h^2) - 1, d = 2E/(h (2 + w)) * (1 + w g^2 N(w, g)/D(w, g)).
   N and D are fitted by linearised least squares (Sanathanan-Koerner), with
   Lawson's reweighting towards the smallest maximum of the relative error.
"""

import sys

import mpmath as mp
import numpy as np

mp.mp.dps = 40
K32, N32 = 4, 9
K64, N64 = 5, 24
E_MAX = 23.0  # -log(2^-33): the furthest a 32-bit word reaches


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


def grid(c, k, e_max, n_alpha=61, n_w=121):
    """Chebyshev-like nodes in g (h alone decides alpha) and in sqrt(w)."""
    coarse = np.concatenate([[0.0], np.geomspace(1e-3, 300, 4000)])
    g_coarse = 1 / mills(coarse, c, k) - coarse
    g = g_coarse[0] * (1 - np.cos(np.pi * np.arange(n_alpha) / (n_alpha - 1))) / 2
    g = np.maximum(g, g_coarse[-1] * 1.01)
    alpha = np.interp(g, g_coarse[::-1], coarse[::-1])
    alpha[-1] = 0.0
    h = 1 / mills(alpha, c, k)
    unit = ((1 - np.cos(np.pi * (np.arange(n_w) + 0.5) / n_w)) / 2) ** 1.5
    w = (np.sqrt(1 + 2 * e_max / h**2) - 1)[:, None] * unit
    h, alpha = h[:, None] + 0 * w, alpha[:, None] + 0 * w
    e = w * (2 + w) / 2 * h**2
    d = invert(e.ravel(), alpha.ravel(), c, k).reshape(w.shape)
    error = d * h * (2 + w) / (2 * e) - 1
    return w.ravel(), (h - alpha).ravel(), error.ravel()


N_TERMS = [(i, j) for i in range(3) for j in range(4)]
D_TERMS = [(i, j) for i in range(4) for j in range(4)][1:]


def inverse_coefficients(w, g, target, rounds=100, ridge=1e-6):
    """N[i][j] and D[i][j], coefficient of w^i g^j; target = w g^2 N/D."""
    value = target / (w * g * g)
    numerator = np.stack([w**i * g**j for i, j in N_TERMS], 1)
    denominator = np.stack([w**i * g**j for i, j in D_TERMS], 1)
    d, lawson, best = np.ones_like(w), np.ones_like(w), (np.inf,)
    for turn in range(rounds):
        weight = w * g * g / d * np.sqrt(lawson)
        a = np.concatenate([numerator, -value[:, None] * denominator], 1) * weight[:, None]
        b = value * weight
        size = np.linalg.norm(a, axis=0)
        a = np.concatenate([a / size, ridge * np.linalg.norm(b) * np.eye(len(size))])
        b = np.concatenate([b, np.zeros(len(size))])
        x = np.linalg.lstsq(a, b, rcond=None)[0] / size
        n_part, d_part = x[: len(N_TERMS)], x[len(N_TERMS) :]
        d = 1 + denominator @ d_part
        error = np.abs(w * g * g * (numerator @ n_part) / d - target) / (1 + target)
        if error.max() < best[0] and d.min() > 0.5:  # D may not come near zero
            best = (error.max(), n_part, d_part)
        if turn > 3:
            lawson = lawson * (error / error.max() + 1e-3) ** 0.7
            lawson /= lawson.mean()
    n = best[1].reshape(3, 4)
    return n.tolist(), np.concatenate([[1.0], best[2]]).reshape(4, 4).tolist(), best[0]


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
    n, d, worst = inverse_coefficients(*grid(np.array(c64), K64, E_MAX))
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
