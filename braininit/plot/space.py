"""Pictures of distance profiles, over distance and in a plane."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import brainunit as u
import numpy as np

import braininit.plot.canvas as canvas
from braininit import theory
from braininit._params import units
from braininit._params.types import QuantityLike
from braininit.spatial.distances import pairwise_distances
from braininit.spatial.modulated import DistanceModulated
from braininit.spatial.profile import DistanceProfile
from braininit.spatial.reach import span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["profile", "sheet"]

_POINTS = 1001  # along a curve
_CELLS = 301  # along a side of a sheet: odd, so that one cell lies at its centre


def profile(
    profiles: DistanceProfile | Iterable[DistanceProfile] | Mapping[str, DistanceProfile],
    distances: QuantityLike | None = None,
    ax: Axes | None = None,
    *,
    probability: bool = False,
) -> Axes:
    """Draw one or several profiles over distance in one picture; return the axes.

    Parameters
    ----------
    profiles : DistanceProfile, or a sequence or mapping of them
        The profiles, by name; in a sequence they are named by their classes.
    distances : number, array or Quantity, optional
        The largest distance, or all distances to draw; None goes as far as the profiles change.
    ax : matplotlib Axes, optional
        The axes to draw into; None makes a new figure.
    probability : bool
        Whether to draw `DistanceProfile.probability`, clipped to [0, 1], instead of
        `weight_scaling`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> near, hat = init.GaussianProfile(50 * u.um), init.MexicanHatProfile(0.08 * u.mm)
    >>> axes = init.plot.profile({"near": near, "hat": hat})
    >>> axes.get_xlabel()
    'distance (um)'
    """
    pairs = canvas.named(profiles, DistanceProfile, "profiles", "distance profile")
    at, unit = _distances(pairs, distances)
    curves = []
    for name, shown in pairs:
        function = shown.probability if probability else shown.weight_scaling
        y = np.asarray(function(units.on(at, unit)), np.float64)
        if y.shape != at.shape:
            raise ValueError(f"{name} has arrays of parameters; draw profiles of one number each")
        curves.append((name, np.where(np.isfinite(y), y, np.nan)))
    ax = canvas.axes(ax)
    canvas.plain(ax)
    for (name, y), style in zip(curves, canvas.styles(len(curves)), strict=True):
        ax.plot(at, y, linewidth=2, label=name, **style)
    ax.set_xlim(at.min(), at.max())
    ax.set_xlabel(canvas.labelled("distance", unit))
    ax.set_ylabel("probability of a connection" if probability else "factor of a weight")
    if min(np.nanmin(y, initial=0) for _, y in curves) < 0:
        ax.axhline(0, color=canvas.INK, linewidth=0.8, zorder=1)
    else:
        ax.set_ylim(0, None)
    if len(curves) > 1 or isinstance(profiles, Mapping):
        canvas.legend(ax)
    else:
        canvas.heading(ax, curves[0][0], canvas.parameters(pairs[0][1]))
    return ax


def _distances(pairs: Any, distances: Any) -> tuple[np.ndarray, u.Unit | None]:
    if distances is not None:
        at, unit = canvas.bare("distances", distances)
        if at.ndim == 0 and at > 0:
            return np.linspace(0, float(at), _POINTS), unit
        if at.ndim == 1 and at.size > 1 and (at >= 0).all():
            return np.sort(at), unit
        raise ValueError(
            "`distances` must be the largest one, positive, or several along one axis, "
            f"got {units.show(at, unit)}"
        )
    spans = {}
    for name, shown in pairs:
        if (reach := span(shown)) is None:
            raise ValueError(f"how far {name} reaches is unknown; give `distances`")
        spans[name] = reach
    try:
        unit, numbers = units.off(**{name: units.on(*reach) for name, reach in spans.items()})
    except units.UnitError:
        listed = ", ".join(f"{name} in {unit or 'numbers'}" for name, (_, unit) in spans.items())
        raise units.UnitError(f"distances of the profiles differ in dimension: {listed}") from None
    return np.linspace(0, float(max(numbers)), _POINTS), unit


def sheet(
    profile: DistanceProfile | DistanceModulated,
    extent: QuantityLike | None = None,
    ax: Axes | None = None,
    *,
    center: QuantityLike | None = None,
    positions: QuantityLike | None = None,
    box: QuantityLike | None = None,
    anisotropy: QuantityLike | None = None,
    probability: bool = False,
) -> Axes:
    """Draw a profile in a plane, by the distance from one neuron; return the axes.

    With values of both signs, colours are centred at 0, and a line is drawn at 0; a dashed line is
    drawn at half of the lowest value. In a periodic box distances go to the nearest image, and the
    sheet is the box.

    Parameters
    ----------
    profile : DistanceProfile or DistanceModulated
        The profile; for weights modulated by distance, their profile in their box.
    extent : number or Quantity, optional
        The distance from the centre to the edges; None goes as far as the profile changes.
    ax : matplotlib Axes, optional
        The axes to draw into; None makes a new figure.
    center : array or Quantity, optional
        The two coordinates of the neuron; by default the middle.
    positions : array or Quantity, optional
        Positions of other neurons, of shape (n, 2): each is a dot in the colour of its value,
        instead of the whole plane.
    box, anisotropy : number, array or Quantity, optional
        As in `pairwise_distances`.
    probability : bool
        Whether to draw `DistanceProfile.probability`, clipped to [0, 1], instead of
        `weight_scaling`.

    Examples
    --------
    >>> import brainunit as u, braininit as init
    >>> axes = init.plot.sheet(init.GaussianProfile(50 * u.um), box=300 * u.um)
    >>> axes.get_xlabel(), axes.get_aspect()
    ('x (um)', 1.0)
    """
    base: Any = None
    if isinstance(profile, DistanceModulated):
        base, modulated = profile.base_dist, profile
        profile = modulated.distance_profile
        box = modulated.box if box is None else box  # pyright: ignore[reportAssignmentType]
        anisotropy = modulated.anisotropy if anisotropy is None else anisotropy  # pyright: ignore
    ((name, shown),) = canvas.named([profile], DistanceProfile, "profile", "distance profile")
    plane = _plane(shown, extent, center, positions, box, anisotropy)
    factor, label, unit = _scale(base, probability)
    function = shown.probability if probability else shown.weight_scaling

    def values_at(points: np.ndarray) -> np.ndarray:
        here, there = (units.on(x, plane.unit) for x in (plane.center[None], points))
        d = pairwise_distances(here, there, box=box, anisotropy=anisotropy)
        values = np.asarray(function(d), np.float64)
        if values.shape != (1, len(points)):
            raise ValueError(f"{name} has arrays of parameters; draw profiles of one number each")
        return np.where(np.isfinite(values), values, np.nan)[0] * factor

    ax = canvas.axes(ax, (5.4, 4.4))
    mappable, ends = (_image if plane.positions is None else _dots)(ax, plane, values_at)
    for size, width, colour in ((9, 3.5, canvas.INK), (7, 1.5, "white")):
        ax.plot(*plane.center, "+", color=colour, markersize=size, markeredgewidth=width)
    ax.set(xlim=plane.sides[0], ylim=plane.sides[1], aspect="equal")
    for line, period in zip((ax.axvline, ax.axhline), plane.period, strict=True):
        for edge in (0.0, period) if np.isfinite(period) else ():
            line(edge, color=canvas.FAINT, linestyle=(0, (4, 3)), linewidth=1.2)
    ax.set_xlabel(canvas.labelled("x", plane.unit))
    ax.set_ylabel(canvas.labelled("y", plane.unit))
    ax.locator_params(nbins=4 if canvas.is_small(ax) else 6)
    canvas.heading(ax, name, canvas.parameters(shown))
    canvas.colour_bar(ax, mappable, canvas.labelled(label, unit), ends)
    return ax


def _image(ax: Axes, plane: _Plane, values_at: Callable[[Any], np.ndarray]) -> tuple[Any, str]:
    """Draw the plane, a line where values change sign, and a dashed one at half of the lowest."""
    x, y = (np.linspace(low, high, _CELLS) for low, high in plane.sides)
    z = values_at(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)).reshape(y.size, x.size)
    colours, ends = canvas.colours(z)
    half = [(side[1] - side[0]) / 2 for side in (x, y)]
    edges = (x[0] - half[0], x[-1] + half[0], y[0] - half[1], y[-1] + half[1])
    image = ax.imshow(z, origin="lower", extent=edges, rasterized=True, **colours)
    if np.nanmin(z) < 0 < np.nanmax(z):
        levels = {"levels": [np.nanmin(z) / 2, 0.0], "linestyles": ["--", "-"]}
        ax.contour(x, y, z, **levels, colors=canvas.INK, linewidths=0.8)
    return image, ends


def _dots(ax: Axes, plane: _Plane, values_at: Callable[[Any], np.ndarray]) -> tuple[Any, str]:
    """Draw neurons at their positions, the strongest in front."""
    positions: Any = plane.positions
    z = values_at(positions)
    order = np.argsort(abs(z), kind="stable")
    colours, ends = canvas.colours(z)
    size = float(np.clip(1.6e3 * canvas.width(ax) ** 2 / z.size, 3, 60))
    dots = {"s": size, "edgecolors": canvas.FAINT, "linewidths": 0.4}
    rasterized = z.size > 2000  # a file of millions of circles opens slowly
    points = ax.scatter(*positions[order].T, c=z[order], rasterized=rasterized, **dots, **colours)
    return points, ends


def _scale(base: Any, probability: bool) -> tuple[float, str, u.Unit | None]:
    """The factor of the values, the name of the product, and its unit."""
    if probability:
        return 1.0, "probability of a connection", None
    try:
        mean = None if base is None else theory.mean(base)
    except TypeError:  # no theory
        mean = None
    number, unit = (0.0, None) if mean is None else units.unwrap("mean", mean)
    if np.ndim(number) or not np.isfinite(number) or number == 0:
        return 1.0, "factor of a weight", None
    return float(number), "mean weight", unit


class _Plane(NamedTuple):
    """The geometry of a sheet: bare numbers in one unit, for x and y."""

    center: np.ndarray
    sides: np.ndarray
    period: np.ndarray
    positions: np.ndarray | None
    unit: u.Unit | None


def _plane(
    profile: Any, extent: Any, center: Any, positions: Any, box: Any, anisotropy: Any
) -> _Plane:
    lengths = {"extent": extent, "positions": positions, "box": box, "center": center}
    lengths = {name: value for name, value in lengths.items() if value is not None}
    if extent is None and positions is None and not _is_closed(box):
        if (reach := span(profile)) is None:
            raise ValueError("how far the profile reaches is unknown; give `extent`")
        stretch, own = units.unwrap("anisotropy", 1.0 if anisotropy is None else anisotropy)
        if own is not None:
            reach = (units.dimensionless("profile", units.on(*reach)), own)
        lengths["reach"] = units.on(np.asarray(reach[0] * stretch), reach[1])
    unit, numbers = units.off(**lengths)
    bare = dict(zip(lengths, map(np.asarray, numbers), strict=True))
    for name, shape in (("extent", ()), ("center", (2,)), ("box", (2,)), ("reach", (2,))):
        if name in bare and bare[name].shape not in ((), shape):
            raise ValueError(f"`{name}` must have the shape {shape}, got {bare[name].shape}")
    at = bare.get("positions")
    if at is not None and (at.ndim != 2 or at.shape[1] != 2 or not at.size):
        raise ValueError(f"`positions` must have the shape (n, 2), got {at.shape}")
    period = np.broadcast_to(bare.get("box", np.inf), 2).astype(float)
    if not (period > 0).all():
        raise ValueError(f"`box` must be positive, got {units.show(bare['box'], unit)}")
    middle = np.where(np.isfinite(period), period / 2, 0.0)
    if at is not None and "box" not in bare:
        middle = (at.min(axis=0) + at.max(axis=0)) / 2
    center = np.broadcast_to(bare.get("center", middle), 2).astype(float)
    around = np.broadcast_to(bare.get("extent", bare.get("reach", 0.0)), 2)
    low, high = center - around, center + around
    if extent is None:
        if at is not None:
            room = 0.04 * max(np.ptp(at, axis=0).max(), abs(at).max() * 1e-3, 1e-9)
            low, high = at.min(axis=0) - room, at.max(axis=0) + room
        low = np.where(np.isfinite(period), 0.0, low)
        high = np.where(np.isfinite(period), period, high)
    if not (high > low).all():
        raise ValueError("`extent` must be positive")
    return _Plane(center, np.stack([low, high], axis=1), period, at, unit)


def _is_closed(box: Any) -> bool:
    """Whether a box has a period along both axes."""
    return box is not None and bool(np.isfinite(units.unwrap("box", box)[0]).all())
