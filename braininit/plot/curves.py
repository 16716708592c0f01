"""The contents of a panel of draws: bars, steps or points, with the theory on top."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import brainunit as u
import numpy as np
from scipy import special

import braininit.plot.canvas as canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from braininit.plot.values import Draws, label_values, limits, significant_digits, view

__all__ = ["draw_cdf", "draw_histogram", "draw_qq"]

_MEAN = {"color": canvas.INK, "linestyle": (0, (4, 3)), "linewidth": 1.2}
_THEORY = {"color": canvas.SECOND, "linewidth": 2}
_BAND: Any = {"color": "0.85", "linewidth": 0}
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}
_NOTE = {"fontsize": 8.5, "bbox": _PAPER}
_OFTEN = 0.02  # a larger share of equal values among others is no coincidence
_STEMS, _FEW = 40, 3  # most values drawn as thin bars: if there are no others, or among others
_STEPS = 2000  # of an empirical distribution function; a picture resolves no more
_MAX_POINTS, _SAMPLES = 160, 20_000
_SPREAD = 100  # above this ratio of the 90 % to the 10 % quantile, qq axes are logarithmic


# ---------------------------------------------------------------- histogram


def draw_histogram(ax: Axes, draws: Draws) -> None:
    points = draws.atoms() or [(x, None) for x in _repeated(draws.x)]
    masks = [np.abs(draws.x - at) <= draws.spacing(at) for at, _ in points]
    rest = draws.x[~np.any(masks, axis=0)] if points else draws.x
    shares = [float(np.mean(mask)) for mask in masks]
    low, high = view(draws)
    limits(ax, low, high)
    if rest.size:
        top = _bars(ax, draws, rest, low, high)
        ax.set_ylabel(_density_label(draws.unit))
    else:
        top = max(shares)
        same = "one value" if draws.x.size == 1 else "all are the same"
        ax.set_ylabel(f"share of the {draws.label}" if len(points) > 1 else same)
    if points:
        _stems(ax, draws, points, shares, top, beside=bool(rest.size))
    if len(points) == 1 and not rest.size:
        ax.set_yticks([])
    label = min(0.4 / (0.7 * canvas.height(ax)), 0.4)  # room for the mean, above the bars
    ax.set_ylim(0, max(1.25, 1 / (1 - label)) * top)
    ax.yaxis.set_major_formatter("{x:.4g}")  # no power of ten above the axis, where the title is
    label_values(ax, draws, low, high)
    _mark_mean(ax, draws)


def _repeated(x: np.ndarray) -> list[float]:
    """The values that many draws share: all values, or a few among others, such as 0."""
    sample = x[:: max(1, x.size // 100_000)]
    values, counts = np.unique(sample, return_counts=True)
    discrete = values.size == 1 or values.size <= min(_STEMS, sample.size / 2)
    if discrete and np.isin(x, values).all():
        return values.tolist()
    often = values[counts >= max(5, _OFTEN * sample.size)]
    return often.tolist() if often.size <= _FEW else []


def _bars(ax: Axes, draws: Draws, x: np.ndarray, low: float, high: float) -> float:
    """Draw the bars and the curve; return their height."""
    n = int(np.clip(3 * np.cbrt(x.size), 10, 100))
    grid = 1.0 if (x == np.round(x)).all() else draws.spacing(max(abs(low), abs(high)))
    edges = np.linspace(low, high, n + 1)
    if 8 * grid > (high - low) / n:  # every bin holds equally many numbers of the dtype
        width = grid * max(1, round((high - low) / n / grid))
        start = (np.round(low / grid) - 0.5) * grid
        edges = start + width * np.arange(np.ceil((high - start) / width) + 1)
    counts, edges = np.histogram(x, edges)
    density = counts / (draws.x.size * np.diff(edges))
    ax.stairs(density, edges, fill=True, color=canvas.SKY, label=draws.label)
    ax.stairs(density, edges, color="white", linewidth=0.4)
    top = float(density.max())
    if draws.law is not None:
        at = np.linspace(*ax.get_xlim(), 1025)
        curve = draws.law.pdf(at * draws.ratio) * draws.ratio
        curve = np.where(np.isfinite(curve), curve, np.nan)
        if np.nanmax(curve, initial=0) > 0:  # a law of points alone has no density
            ax.plot(at, curve, label="theory", **_THEORY)
            top = max(top, min(float(np.nanmax(curve)), 1.5 * top))
    return top


def _stems(ax: Axes, draws: Draws, points: Any, shares: Any, top: float, *, beside: bool) -> None:
    """Draw thin bars at single values, alone or `beside` a histogram of the others."""
    left, right = ax.get_xlim()
    at = np.array([x for x, _ in points])
    heights = top / max(shares) * np.array(shares) if max(shares) else np.zeros(at.size)
    gap = np.diff(np.unique(at)).min(initial=(right - left) / 3)
    width = min((right - left) / (100 if beside else 24), 0.6 * gap)
    label = f"{draws.label} at one value" if beside else draws.label
    ax.bar(at, heights, width, color="#0072b2" if beside else canvas.SKY, label=label)
    probabilities = [p for _, p in points if p is not None]
    if probabilities and max(shares) and (beside or len(points) > 1):
        expected = [top / max(shares) * p for p in probabilities]
        half = min(0.75 * width, 0.45 * gap) if len(points) > _FEW else 0.012 * (right - left)
        ax.hlines(
            expected, at - half, at + half, color=canvas.SECOND, linewidth=2.5,
            label="theory of these",
        )  # fmt: skip
    for (x, p), share, height in zip(points, shares, heights, strict=True):
        if beside and len(points) <= _FEW:
            text = f"{100 * share:.3g} %" + ("" if p is None else f"\ntheory {100 * p:.3g} %")
            on_right = x <= left + 0.6 * (right - left)
            ax.annotate(
                text,
                (x, 0.6 * height),
                xytext=(6 if on_right else -6, 0),
                textcoords="offset points",
                ha="left" if on_right else "right",
                fontsize=8,
                bbox=_PAPER,
            )


def _mark_mean(ax: Axes, draws: Draws) -> None:
    """Draw the mean, and write it on the side of the line with more room."""
    mean, digits = float(draws.x.mean()), significant_digits(draws.x)
    ax.axvline(mean, label=f"mean of the {draws.label}", **_MEAN)
    suffix = f" {canvas.pretty(draws.unit)}" if draws.unit is not None else ""
    text = f"mean {mean:.{digits}g}{suffix}"
    text += "" if draws.mean is None else f"\ntheory {draws.mean:.{digits}g}{suffix}"
    left, right = ax.get_xlim()
    on_right = mean <= left + 0.6 * (right - left)
    ax.annotate(
        text,
        (float(np.clip(mean, left, right)), 1),
        xycoords=("data", "axes fraction"),
        xytext=(5 if on_right else -5, -3),
        textcoords="offset points",
        ha="left" if on_right else "right",
        va="top",
        fontsize=8.5,
        bbox=_PAPER,
    )


def _density_label(unit: u.Unit | None) -> str:
    if unit is None:
        return "density"
    name = canvas.pretty(unit)
    return f"density (1/({name}))" if "/" in name or "*" in name else f"density (1/{name})"


# ---------------------------------------------------------------- distribution function


def draw_cdf(ax: Axes, draws: Draws, *, confidence: float) -> None:
    x = np.sort(draws.x)
    half = float(np.sqrt(np.log(2 / (1 - confidence)) / (2 * x.size)))
    low, high = view(draws)
    limits(ax, low, high)
    ends = ax.get_xlim()
    ranks = _thinned(x.size)
    steps = np.concatenate([[min(ends[0], x[0]), x[0]], x[ranks], [max(ends[1], x[-1])]])
    share = np.concatenate([[0, 0], (ranks + 1) / x.size, [1]])
    style = {"color": canvas.SKY, "linewidth": 3, "drawstyle": "steps-post"}
    ax.plot(steps, share, label=draws.label, **style)
    text = f"{100 * confidence:.4g} % band: ±{half:.2g}"
    at, center, step = steps, share, "post"  # of the band
    if draws.law is not None:
        near = x[ranks]
        grid = [np.linspace(*ends, 1025), near, np.nextafter(near, -np.inf)]
        at = np.unique(np.concatenate(grid).clip(*ends))
        center, step = draws.cdf(at), None
        dashed = _THEORY | {"linewidth": 1.5, "linestyle": (0, (5, 2))}
        ax.plot(at, center, label="theory", **dashed)
        largest = _largest_distance(x, draws)
        beyond = ", outside the band" if largest > half else ""
        text = f"largest distance {largest:.2g}{beyond}\n{text}"
    low_end, high_end = np.maximum(center - half, 0), np.minimum(center + half, 1)
    name = f"{100 * confidence:.4g} % band"
    ax.fill_between(at, low_end, high_end, step=step, label=name, **_BAND)
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel("share at or below")
    label_values(ax, draws, low, high)
    ax.text(0.98, 0.04, text, transform=ax.transAxes, ha="right", **_NOTE)


def _thinned(n: int) -> np.ndarray:
    """Ranks from 0 to draw: all, or evenly spaced ones and the 50 at each end."""
    if n <= _STEPS:
        return np.arange(n)
    even = np.linspace(0, n - 1, _STEPS).astype(int)
    return np.unique(np.concatenate([np.arange(50), even, np.arange(n - 50, n)]))


def _largest_distance(x: np.ndarray, draws: Draws) -> float:
    """Kolmogorov's distance between sorted values and their law.

    The values are rounded, so each is compared with the law one step of its dtype away. With many
    values the law is evaluated at some, then between those where the distance may be larger.
    """
    n = x.size
    ends = np.unique(np.linspace(0, n - 1, min(n, 10_000)).astype(int))

    def distance(i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, step = x[i], draws.spacing(x[i])
        before = np.nextafter(at - step, -np.inf)  # the limit from below, where 0 is an atom
        return (i + 1) / n - draws.cdf(at + step), draws.cdf(before) - i / n

    above, below = distance(ends)
    largest = max(float(above.max()), float(below.max()))
    gaps = np.diff(ends) / n
    # Between two ranks the share grows by the gap, and the law does not decrease.
    bounds = np.maximum(above[:-1] + gaps, below[1:] + gaps)
    intervals = np.flatnonzero(bounds > largest) if n > ends.size else []
    inner = [np.arange(ends[k] + 1, ends[k + 1]) for k in intervals]
    if inner and (rest := np.concatenate(inner)).size:
        above, below = distance(rest)
        largest = max(largest, float(above.max()), float(below.max()))
    return largest


# ---------------------------------------------------------------- quantiles


def draw_qq(ax: Axes, draws: Draws, *, confidence: float, simultaneous: bool) -> None:
    if draws.law is None:
        raise TypeError(
            "`dist` must be a distribution that braininit.theory knows the quantiles of, got "
            f"{draws.name} for values of shape {draws.shape}; a histogram needs no theory"
        )
    x = np.sort(draws.x)
    n, ranks = x.size, _ranks(x.size)
    level = _level(n, confidence) if simultaneous else 1 - confidence
    y = x[ranks - 1]
    at = draws.quantile(*_order_statistic(ranks, n, 0.5))
    low, high = (draws.quantile(*_order_statistic(ranks, n, t)) for t in (level / 2, 1 - level / 2))
    tenth, ninetieth = np.quantile(x, [0.1, 0.9])
    if min(at.min(), y.min()) > 0 and ninetieth > _SPREAD * tenth:
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.grid(axis="both", color="0.9", linewidth=0.8)
    else:
        ax.ticklabel_format(useOffset=False)
    band = "simultaneous" if simultaneous else "pointwise"
    name = f"{100 * confidence:.4g} % band, {band}"
    ax.fill_between(at, low, high, label=name, **_BAND)
    ends = [at.min(), at.max()]
    ax.plot(ends, ends, label="theory", **_THEORY)
    ax.plot(
        *(at, y, "o"), color=canvas.SKY, markeredgecolor=canvas.INK, markeredgewidth=0.5,
        markersize=4, label=draws.label,
    )  # fmt: skip
    step = 2 * draws.spacing(y)
    outside = int(np.sum((y < low - step) | (y > high + step)))
    points = f"{ranks.size} points" if ranks.size == n else f"{ranks.size} points (of {n})"
    ax.set_xlabel(canvas.labelled("quantile in theory", draws.unit))
    ax.set_ylabel(canvas.labelled(f"quantile of the {draws.label}", draws.unit))
    ax.text(0.02, 0.95, f"{outside} of {points} outside", transform=ax.transAxes, **_NOTE)


def _ranks(n: int) -> np.ndarray:
    """Ranks from 1 to draw: all, or ranks evenly spaced in log-odds."""
    if n <= _MAX_POINTS:
        return np.arange(1, n + 1)
    even = special.expit(np.linspace(-1, 1, _MAX_POINTS) * np.log(n))
    return np.unique(np.clip(np.round(even * (n + 1)), 1, n).astype(int))


def _order_statistic(ranks: np.ndarray, n: int, t: float) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities below and above the t-quantile of an order statistic of n draws."""
    return (
        special.betaincinv(ranks, n - ranks + 1, t),
        special.betainccinv(n - ranks + 1, ranks, t),
    )


@functools.lru_cache(maxsize=64)
def _level(n: int, confidence: float) -> float:
    """Find the level of each point for a band that holds all points with probability `confidence`.

    By simulation: order statistics of uniform draws are sums of gamma variates over their total.
    The probability that results is right to 0.003 (two standard errors).
    """
    ranks = _ranks(n)
    rng = np.random.default_rng(0)
    sums = rng.standard_gamma(np.diff(ranks, prepend=0, append=n + 1), (_SAMPLES, ranks.size + 1))
    np.cumsum(sums, axis=1, out=sums)
    samples = sums[:, :-1] / sums[:, -1:]
    low, high = 1e-3 * (1 - confidence) / ranks.size, 1 - confidence
    for _ in range(20):
        level = float(np.sqrt(low * high))
        ends = (_order_statistic(ranks, n, t)[0] for t in (level / 2, 1 - level / 2))
        inside = np.logical_and(samples >= next(ends), samples <= next(ends)).all(axis=1).mean()
        low, high = (level, high) if inside > confidence else (low, level)
    return low
