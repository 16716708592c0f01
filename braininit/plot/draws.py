"""Pictures of draws, with their theory on top."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

import braininit.plot.canvas as canvas
from braininit import theory
from braininit._engine import keys as _keys
from braininit._params import units
from braininit._params.options import one_of
from braininit._params.types import Initializer, Shape
from braininit.initializer.initialization import Initialization

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cdf", "compare", "draw_all", "figures", "histogram", "law_of", "panels", "qq"]

_MEAN = {"color": canvas.INK, "linestyle": (0, (4, 3)), "linewidth": 1.2}
_THEORY = {"color": canvas.SECOND, "linewidth": 2}
_BAND: Any = {"color": "0.85", "linewidth": 0}
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}
_NOTE = {"fontsize": 8.5, "bbox": _PAPER}
_FAR = 6  # times from the median to the last tenth: no tail is shown further
_OFTEN = 0.02  # share of equal values among others that is no chance
_ROUNDING = 4e-15
_STEMS, _FEW = 40, 3  # values with a bar of their own: all there are, or among others
_STEPS = 2000  # of an empirical distribution function; a picture shows no more
_MOST_POINTS, _SAMPLES = 160, 20_000
_SPREAD = 100  # from a tenth to nine tenths: beyond, quantiles are on logarithmic axes


def histogram(
    values: Any, dist: Any = None, ax: Axes | None = None, *, label: str = "draws"
) -> Axes:
    """Draw a histogram of values, with the theory's density and the mean; return its axes.

    The axes show the values' unit. A tail that would squeeze the rest is cut off; the label says
    how many values lie beyond. A value that has a probability of its own, as where draws are
    clipped, is a thin bar apart, with the probability written at it.

    Parameters
    ----------
    values : array or Quantity
        The draws or the data, of any shape, real and finite.
    dist : Initialization, optional
        The distribution of the draws, or that which was fitted to the data. Its density is drawn on
        top where `braininit.theory` knows it, for values of this shape where it depends on that;
        its parameters are the title.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.
    label : str
        What the values are called.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> dist = init.Gamma(2.0, 0.25 * u.nS)
    >>> axes = init.plot.histogram(dist(1000, rng=42), dist)
    >>> axes.get_xlabel()
    'value (nS)'
    """
    return _drawn(_histogram, values, dist, ax, label)


def cdf(
    values: Any,
    dist: Any = None,
    ax: Axes | None = None,
    *,
    confidence: float = 0.95,
    label: str = "draws",
) -> Axes:
    r"""Draw the distribution function of values against that of theory; return the axes.

    The band is that of Dvoretzky, Kiefer, Wolfowitz and Massart: with probability `confidence` the
    whole line of n independent draws lies within

    .. math:: \pm \sqrt{\log(2 / (1 - confidence)) / (2 n)}

    of their distribution function. The largest distance is written beside it, of all values, also
    of those the picture cuts off. The band is wider than needed around a distribution that was
    fitted to the same values, and where values are rounded or draws have array parameters.

    Parameters
    ----------
    values, dist, ax, label
        As in `histogram`. Without a `dist` the band is around the values' own line.
    confidence : float
        The probability of the band, between 0 and 1.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> dist = init.Gamma(2.0, 0.25 * u.nS)
    >>> axes = init.plot.cdf(dist(1000, rng=42), dist)
    >>> axes.get_ylabel(), [line.get_label() for line in axes.lines]
    ('share at or below', ['draws', 'theory'])
    """
    draw = functools.partial(_distribution, confidence=_share("confidence", confidence))
    return _drawn(draw, values, dist, ax, label)


def qq(
    values: Any,
    dist: Any,
    ax: Axes | None = None,
    *,
    confidence: float = 0.95,
    band: str = "simultaneous",
    label: str = "draws",
) -> Axes:
    """Draw the quantiles of values against those of a distribution; return the axes.

    Draws of the distribution lie along the diagonal. Of more than 160 values fewer are drawn, but
    those at both ends one by one. Axes are logarithmic where positive values spread over two powers
    of ten and more.

    Parameters
    ----------
    values, dist, ax, label
        As in `histogram`; `braininit.theory` has to know the distribution.
    confidence : float
        The probability of the band, between 0 and 1.
    band : {'simultaneous', 'pointwise'}
        All points that are drawn lie in the band with this probability, or each point by itself.
        Both bands are quantiles of the exact beta distribution of an order statistic, at the same
        level everywhere; for the simultaneous one the level is found from 20,000 simulated samples.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> dist = init.Gamma(2.0, 0.25 * u.nS)
    >>> axes = init.plot.qq(dist(1000, rng=42), dist)
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('quantile in theory (nS)', 'quantile of the draws (nS)')
    """
    one_of("band", band, ("simultaneous", "pointwise"))
    draw = functools.partial(
        _quantiles, confidence=_share("confidence", confidence), together=band == "simultaneous"
    )
    return _drawn(draw, values, dist, ax, label)


def compare(
    dists: Mapping[str, Initializer] | Iterable[Initializer],
    size: Shape = 5000,
    rng: Any = None,
    *,
    columns: int = 3,
    kind: str = "histogram",
) -> Figure:
    """Draw from several distributions and set their pictures side by side, in one figure.

    Parameters
    ----------
    dists : mapping or sequence of initializers
        The distributions, by title; those of a sequence have the names of their classes.
    size : int or tuple of int
        How much to draw from each.
    rng : key, int, Generator, ..., optional
        As in a call of an initializer. One key is made from it, and split among the distributions.
    columns : int
        Panels in a row.
    kind : {'histogram', 'cdf', 'qq'}
        The picture in each panel.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> weights, delays = init.LogNormal(0.5 * u.nS, 0.2 * u.nS), init.Exponential(2 * u.ms)
    >>> figure = init.plot.compare({"weights": weights, "delays": delays}, 1000, rng=42)
    """
    named = canvas.named(dists, Callable, "dists", "initializer")
    one_of("kind", kind, [*KINDS])
    draws = draw_all([dist for _, dist in named], size, rng)
    return panels(named, draws, columns, canvas.pyplot().figure, kind)


def draw_all(dists: list[Any], size: Shape, rng: Any) -> list[Any]:
    """Draw from each distribution, by a key of its own."""
    key = _keys.typed(_keys.as_key(_keys.from_rng(rng)))
    return [
        dist(size, rng=k) if isinstance(dist, Initialization) else dist(k, size)
        for dist, k in zip(dists, jax.random.split(key, len(dists)), strict=True)
    ]


def panels(
    named: list[tuple[str, Any]],
    draws: list[Any],
    columns: int,
    new_figure: Callable[..., Any],
    kind: str = "histogram",
) -> Figure:
    """Lay out one panel per distribution, with one legend for all."""
    columns = min(columns, len(named))
    rows = -(-len(named) // columns)
    figure = new_figure(figsize=(4.2 * columns, 3.4 * rows + 0.4))
    figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.1)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax, (name, dist), values in zip(grid, named, draws, strict=False):
        KINDS[kind](values, dist, ax)
        ax.get_legend().remove()
        canvas.entitle(ax, name, above=bool(canvas.parameters(dist)))
    for ax in grid[len(named) :]:
        ax.set_axis_off()
    fullest = max((canvas.entries(ax, _legend_order("draws")) for ax in grid), key=len)
    handles = zip(*fullest, strict=True)
    figure.legend(*handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


KINDS: dict[str, Callable[..., Axes]] = {"histogram": histogram, "cdf": cdf, "qq": qq}
"""The pictures of draws by name; each takes values, a distribution and axes."""


# ---------------------------------------------------------------- values and their law


class _Draws:
    """Values as they are drawn: bare numbers, and the law in their unit."""

    def __init__(self, values: Any, dist: Any, label: str) -> None:
        bare, self.unit = canvas.bare("values", values)
        self.x, self.shape, self.label = bare.ravel(), bare.shape, label
        self.name = "None" if dist is None else canvas.title(dist)
        law, own = law_of(dist, bare.shape)
        self.law = law if law is not None and law.has_functions else None
        self.mean, self.ratio = None, 1.0  # of the law's units to one of the values'
        if law is not None:
            named = {"dist": units.on(1.0, own), "values": units.on(1.0, self.unit)}
            self.ratio = units.off(**named)[1][1]
            with contextlib.suppress(ArithmeticError):  # a mean that theory can't sum up
                rounding = abs(law.mean) <= 1e-12 * law.std
                self.mean = 0.0 if rounding else law.mean / self.ratio
        kind = units.parts(values)[0] if isinstance(values, u.Quantity) else values
        kind = getattr(kind, "dtype", np.dtype(float))
        inexact = jnp.issubdtype(kind, jnp.inexact)  # theory rounds too, in float64
        self._step = max(float(jnp.finfo(kind).eps), _ROUNDING) if inexact else 0.0

    def spacing(self, x: Any) -> Any:
        """How far apart numbers of the values' dtype are at x."""
        return self._step * np.abs(x)

    def cdf(self, x: Any) -> Any:
        return cast(Any, self.law).cdf(np.asarray(x) * self.ratio)

    def quantile(self, p: Any, q: Any) -> Any:
        """By the smaller of the probabilities below and above, which has the digits."""
        law: Any = self.law
        below, above = law.ppf(np.minimum(p, 0.5)), law.isf(np.minimum(q, 0.5))
        return np.where(p < q, below, above) / self.ratio

    def atoms(self) -> list[tuple[float, float]]:
        """Values that have a probability of their own, with it."""
        found = () if self.law is None else self.law.atoms
        return [(float(x) / self.ratio, float(p)) for x, p in found if np.ndim(x) == 0 and p > 0]


def _drawn(
    picture: Callable[..., None], values: Any, dist: Any, ax: Axes | None, label: str
) -> Axes:
    """One picture with its title and its legend."""
    its = _Draws(values, dist, label)
    ax = canvas.axes(ax)
    canvas.plain(ax)
    if dist is not None:
        canvas.heading(ax, canvas.title(dist), canvas.parameters(dist))
    picture(ax, its)
    canvas.legend(ax, _legend_order(label))
    return ax


def _legend_order(label: str) -> tuple[str, ...]:
    return label, f"{label} at one value", "theory"


def law_of(dist: Any, shape: tuple[int, ...]) -> tuple[theory.Law | None, u.Unit | None]:
    """The law of draws of this shape, on which those scaled by fan depend; None where unknown."""
    if dist is None:
        return None, None
    try:
        return theory.pooled(dist, shape)
    except units.UnitError:
        raise
    except ValueError:  # the values have lost their shape
        return None, None


def _share(name: str, value: Any) -> float:
    if not (isinstance(value, (int, float)) and 0 < value < 1):
        raise ValueError(f"`{name}` must lie between 0 and 1, got {value!r}; 0.95, for example")
    return float(value)


def figures(x: np.ndarray) -> int:
    """Choose how many digits to write: four, and more where the values lie close together."""
    most, least = x.max(), x.min()
    if not np.isfinite([least, most]).all() or least == most:
        return 4
    return 4 + int(np.clip(np.log10(max(abs(least), abs(most)) / (most - least)), 0, 8))


def _view(its: _Draws) -> tuple[float, float]:
    """Choose the part to show: all, unless a tail reaches far beyond most of the values.

    Around a few values, the part where theory has nearly all.
    """
    x = its.x
    low, high = x.min(), x.max()
    a, tenth, middle, ninetieth, b = np.quantile(x, [0.005, 0.1, 0.5, 0.9, 0.995])
    low_end = max(a - (b - a), middle - _FAR * (middle - tenth))
    high_end = min(b + (b - a), middle + _FAR * (ninetieth - middle))
    if tenth < middle and low < low_end:
        low = x[x >= low_end].min()
    if middle < ninetieth and high > high_end:
        high = x[x <= high_end].max()
    if its.law is not None and x.size < 100:
        low = min(low, float(its.quantile(0.01, 0.99)))
        high = max(high, float(its.quantile(0.99, 0.01)))
    return float(low), float(high)


def _limits(ax: Axes, low: float, high: float) -> None:
    room = 0.04 * (high - low) or 0.5 * abs(low) or 0.5
    ax.set_xlim(low - room, high + room)
    ax.ticklabel_format(axis="x", useOffset=False)


def _label_values(ax: Axes, its: _Draws, low: float, high: float) -> None:
    outside = int(np.sum((its.x < low) | (its.x > high)))
    beyond = f", {outside} of {its.x.size} beyond" if outside else ""
    ax.set_xlabel(canvas.labelled("value", its.unit) + beyond)


# ---------------------------------------------------------------- histogram


def _histogram(ax: Axes, its: _Draws) -> None:
    points = its.atoms() or [(x, None) for x in _repeated(its.x)]
    alone = [np.abs(its.x - at) <= its.spacing(at) for at, _ in points]
    rest = its.x[~np.any(alone, axis=0)] if points else its.x
    shares = [float(np.mean(mine)) for mine in alone]
    low, high = _view(its)
    _limits(ax, low, high)
    if rest.size:
        top = _bars(ax, its, rest, low, high)
        ax.set_ylabel(_density_label(its.unit))
    else:
        top = max(shares)
        same = "one value" if its.x.size == 1 else "all are the same"
        ax.set_ylabel(f"share of the {its.label}" if len(points) > 1 else same)
    if points:
        _stems(ax, its, points, shares, top, beside=bool(rest.size))
    if len(points) == 1 and not rest.size:
        ax.set_yticks([])
    label = min(0.4 / (0.7 * canvas.height(ax)), 0.4)  # that of the mean, above the bars
    ax.set_ylim(0, max(1.25, 1 / (1 - label)) * top)
    ax.yaxis.set_major_formatter("{x:.4g}")  # no power of ten above the axis, where the title is
    _label_values(ax, its, low, high)
    _mark_mean(ax, its)


def _repeated(x: np.ndarray) -> list[float]:
    """The values that many draws share: all there are, or a few among others, as zeros."""
    sample = x[:: max(1, x.size // 100_000)]
    found, counts = np.unique(sample, return_counts=True)
    discrete = found.size == 1 or found.size <= min(_STEMS, sample.size / 2)
    if discrete and np.isin(x, found).all():
        return found.tolist()
    often = found[counts >= max(5, _OFTEN * sample.size)]
    return often.tolist() if often.size <= _FEW else []


def _bars(ax: Axes, its: _Draws, x: np.ndarray, low: float, high: float) -> float:
    """Draw the bars and the curve; return how high they reach."""
    n = int(np.clip(3 * np.cbrt(x.size), 10, 100))
    grid = 1.0 if (x == np.round(x)).all() else its.spacing(max(abs(low), abs(high)))
    edges = np.linspace(low, high, n + 1)
    if 8 * grid > (high - low) / n:  # as many of the dtype's numbers in each bin
        width = grid * max(1, round((high - low) / n / grid))
        start = (np.round(low / grid) - 0.5) * grid
        edges = start + width * np.arange(np.ceil((high - start) / width) + 1)
    counts, edges = np.histogram(x, edges)
    density = counts / (its.x.size * np.diff(edges))
    ax.stairs(density, edges, fill=True, color=canvas.SKY, label=its.label)
    ax.stairs(density, edges, color="white", linewidth=0.4)
    top = float(density.max())
    if its.law is not None:
        at = np.linspace(*ax.get_xlim(), 1025)
        curve = its.law.pdf(at * its.ratio) * its.ratio
        curve = np.where(np.isfinite(curve), curve, np.nan)
        if np.nanmax(curve, initial=0) > 0:  # a law of points alone has no density
            ax.plot(at, curve, label="theory", **_THEORY)
            top = max(top, min(float(np.nanmax(curve)), 1.5 * top))
    return top


def _stems(ax: Axes, its: _Draws, points: Any, shares: Any, top: float, *, beside: bool) -> None:
    """Thin bars at the values that have a probability of their own, `beside` others or alone."""
    left, right = ax.get_xlim()
    at = np.array([x for x, _ in points])
    heights = top / max(shares) * np.array(shares) if max(shares) else np.zeros(at.size)
    apart = np.diff(np.unique(at)).min(initial=(right - left) / 3)
    width = min((right - left) / (100 if beside else 24), 0.6 * apart)
    label = f"{its.label} at one value" if beside else its.label
    ax.bar(at, heights, width, color="#0072b2" if beside else canvas.SKY, label=label)
    theirs = [(x, p) for x, p in points if p is not None]
    if theirs and max(shares) and (beside or len(points) > 1):
        expected = [top / max(shares) * p for _, p in theirs]
        half = min(0.75 * width, 0.45 * apart) if len(points) > _FEW else 0.012 * (right - left)
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


def _mark_mean(ax: Axes, its: _Draws) -> None:
    """Draw the mean, and write it beside the line, where there is more room."""
    mean, digits = float(its.x.mean()), figures(its.x)
    ax.axvline(mean, label=f"mean of the {its.label}", **_MEAN)
    suffix = f" {canvas.pretty(its.unit)}" if its.unit is not None else ""
    text = f"mean {mean:.{digits}g}{suffix}"
    text += "" if its.mean is None else f"\ntheory {its.mean:.{digits}g}{suffix}"
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


def _distribution(ax: Axes, its: _Draws, *, confidence: float) -> None:
    x = np.sort(its.x)
    half = float(np.sqrt(np.log(2 / (1 - confidence)) / (2 * x.size)))
    low, high = _view(its)
    _limits(ax, low, high)
    ends = ax.get_xlim()
    ranks = _thinned(x.size)
    steps = np.concatenate([[min(ends[0], x[0]), x[0]], x[ranks], [max(ends[1], x[-1])]])
    share = np.concatenate([[0, 0], (ranks + 1) / x.size, [1]])
    style = {"color": canvas.SKY, "linewidth": 3, "drawstyle": "steps-post"}
    ax.plot(steps, share, label=its.label, **style)
    text = f"{100 * confidence:.4g} % band: ±{half:.2g}"
    at, theirs, step = steps, share, "post"  # what the band is around
    if its.law is not None:
        near = x[ranks]
        grid = [np.linspace(*ends, 1025), near, np.nextafter(near, -np.inf)]
        at = np.unique(np.concatenate(grid).clip(*ends))
        theirs, step = its.cdf(at), None
        dashed = _THEORY | {"linewidth": 1.5, "linestyle": (0, (5, 2))}
        ax.plot(at, theirs, label="theory", **dashed)
        largest = _largest_distance(x, its)
        beyond = ", outside the band" if largest > half else ""
        text = f"largest distance {largest:.2g}{beyond}\n{text}"
    low_end, high_end = np.maximum(theirs - half, 0), np.minimum(theirs + half, 1)
    name = f"{100 * confidence:.4g} % band"
    ax.fill_between(at, low_end, high_end, step=step, label=name, **_BAND)
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel("share at or below")
    _label_values(ax, its, low, high)
    ax.text(0.98, 0.04, text, transform=ax.transAxes, ha="right", **_NOTE)


def _thinned(n: int) -> np.ndarray:
    """Ranks from 0 that are drawn: all, or evenly many and those at both ends."""
    if n <= _STEPS:
        return np.arange(n)
    even = np.linspace(0, n - 1, _STEPS).astype(int)
    return np.unique(np.concatenate([np.arange(50), even, np.arange(n - 50, n)]))


def _largest_distance(x: np.ndarray, its: _Draws) -> float:
    """Kolmogorov's distance between sorted values and their law.

    The values were rounded: each is compared with the law one step of its dtype away. Of many
    values the law is evaluated at some; then between those where the distance may be larger.
    """
    n = x.size
    ends = np.unique(np.linspace(0, n - 1, min(n, 10_000)).astype(int))

    def distance(i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, step = x[i], its.spacing(x[i])
        before = np.nextafter(at - step, -np.inf)  # the limit from below, where 0 has a share
        return (i + 1) / n - its.cdf(at + step), its.cdf(before) - i / n

    above, below = distance(ends)
    most = max(float(above.max()), float(below.max()))
    gaps = np.diff(ends) / n
    # Between two ranks the shares grow by the gap, and the law does not fall.
    reach = np.maximum(above[:-1] + gaps, below[1:] + gaps)
    open_ = np.flatnonzero(reach > most) if n > ends.size else []
    inner = [np.arange(ends[k] + 1, ends[k + 1]) for k in open_]
    if inner and (rest := np.concatenate(inner)).size:
        above, below = distance(rest)
        most = max(most, float(above.max()), float(below.max()))
    return most


# ---------------------------------------------------------------- quantiles


def _quantiles(ax: Axes, its: _Draws, *, confidence: float, together: bool) -> None:
    if its.law is None:
        raise TypeError(
            "`dist` must be a distribution that braininit.theory knows the quantiles of, got "
            f"{its.name} for values of shape {its.shape}; a histogram needs no theory"
        )
    x = np.sort(its.x)
    n, ranks = x.size, _ranks(x.size)
    level = _level(n, confidence) if together else 1 - confidence
    y = x[ranks - 1]
    at = its.quantile(*_order_statistic(ranks, n, 0.5))
    low, high = (its.quantile(*_order_statistic(ranks, n, t)) for t in (level / 2, 1 - level / 2))
    tenth, ninetieth = np.quantile(x, [0.1, 0.9])
    if min(at.min(), y.min()) > 0 and ninetieth > _SPREAD * tenth:
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.grid(axis="both", color="0.9", linewidth=0.8)
    else:
        ax.ticklabel_format(useOffset=False)
    which = "simultaneous" if together else "pointwise"
    name = f"{100 * confidence:.4g} % band, {which}"
    ax.fill_between(at, low, high, label=name, **_BAND)
    ends = [at.min(), at.max()]
    ax.plot(ends, ends, label="theory", **_THEORY)
    ax.plot(
        *(at, y, "o"), color=canvas.SKY, markeredgecolor=canvas.INK, markeredgewidth=0.5,
        markersize=4, label=its.label,
    )  # fmt: skip
    step = 2 * its.spacing(y)
    outside = int(np.sum((y < low - step) | (y > high + step)))
    of = f"{ranks.size} points" if ranks.size == n else f"{ranks.size} points (of {n})"
    ax.set_xlabel(canvas.labelled("quantile in theory", its.unit))
    ax.set_ylabel(canvas.labelled(f"quantile of the {its.label}", its.unit))
    ax.text(0.02, 0.95, f"{outside} of {of} outside", transform=ax.transAxes, **_NOTE)


def _ranks(n: int) -> np.ndarray:
    """Ranks from 1 that are drawn: all, or those evenly apart in log-odds."""
    if n <= _MOST_POINTS:
        return np.arange(1, n + 1)
    even = special.expit(np.linspace(-1, 1, _MOST_POINTS) * np.log(n))
    return np.unique(np.clip(np.round(even * (n + 1)), 1, n).astype(int))


def _order_statistic(ranks: np.ndarray, n: int, t: float) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities below and above the quantile t of an order statistic of n draws."""
    return (
        special.betaincinv(ranks, n - ranks + 1, t),
        special.betainccinv(n - ranks + 1, ranks, t),
    )


@functools.lru_cache(maxsize=64)
def _level(n: int, confidence: float) -> float:
    """At which level each point is to be judged, so that all lie in the band together.

    By simulation: order statistics of uniform draws are sums of gamma variates over their total.
    The share of samples within, which is `confidence`, is right to 0.003 (two standard errors).
    """
    ranks = _ranks(n)
    rng = np.random.default_rng(0)
    sums = rng.standard_gamma(np.diff(ranks, prepend=0, append=n + 1), (_SAMPLES, ranks.size + 1))
    np.cumsum(sums, axis=1, out=sums)
    drawn = sums[:, :-1] / sums[:, -1:]
    low, high = 1e-3 * (1 - confidence) / ranks.size, 1 - confidence
    for _ in range(20):
        level = float(np.sqrt(low * high))
        ends = (_order_statistic(ranks, n, t)[0] for t in (level / 2, 1 - level / 2))
        within = np.logical_and(drawn >= next(ends), drawn <= next(ends)).all(axis=1).mean()
        low, high = (level, high) if within > confidence else (low, level)
    return low
