"""Contents of pictures: labels, units, curves, numbers. Each picture was also checked by eye."""

from __future__ import annotations

import re

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import pyplot
from scipy import stats

import braininit as init
from braininit import plot, theory
from braininit.plot import curves
from braininit.plot.values import Draws

NORMAL = init.Normal(0.5 * u.nS, 0.1 * u.nS)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def line(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def legend(ax):
    return [t.get_text() for t in ax.get_legend().get_texts()]


# ---------------------------------------------------------------- histogram


def test_histogram_shows_units_theory_and_mean():
    draws = NORMAL(1000, rng=0)
    ax = plot.histogram(draws, NORMAL)
    assert ax.get_xlabel() == "value (nS)"
    assert ax.get_ylabel() == "density (1/nS)"
    assert legend(ax) == ["draws", "theory", "mean of the draws"]
    assert texts(ax)[0] == "mean = 0.5 nS, std = 0.1 nS"
    assert texts(ax)[1] == f"mean {draws.mantissa.mean():.4g} nS\ntheory 0.5 nS"
    curve = line(ax, "theory")
    np.testing.assert_allclose(curve.get_ydata(), stats.norm(0.5, 0.1).pdf(curve.get_xdata()))
    bars = ax.patches[0].get_data()
    np.testing.assert_allclose((bars.values * np.diff(bars.edges)).sum(), 1)


def test_histogram_uses_the_unit_of_the_values():
    ax = plot.histogram(NORMAL(1000, rng=0).in_unit(u.psiemens), NORMAL, pyplot.figure().subplots())
    assert ax.get_ylabel() == "density (1/pS)"
    assert "theory 500 pS" in texts(ax)[1]
    np.testing.assert_allclose(line(ax, "theory").get_ydata().max(), 4 / 1000, rtol=0.01)


def test_histogram_of_values_alone():
    ax = plot.histogram([[1.0, 2.5], [3.0, 4.0]])
    assert (ax.get_title("left"), ax.get_xlabel(), len(ax.lines)) == ("", "value", 1)
    ax = plot.histogram(jnp.full(5, 2.0) * u.ms, init.Constant(2 * u.ms))
    assert ax.get_ylabel() == "all are the same"
    assert plot.histogram(np.float32(3)).get_ylabel() == "one value"


@pytest.mark.parametrize("kind", [init.LogNormal, init.Gamma])
def test_data_beside_a_fit(kind):
    data = np.random.default_rng(0).lognormal(-1, 0.8, 180) * u.mV
    dist = init.fit(kind, data)
    ax = plot.histogram(data, dist, label="data")
    curve = line(ax, "theory")
    np.testing.assert_allclose(
        curve.get_ydata(), np.asarray(theory.pdf(dist, curve.get_xdata() * u.mV) * u.mV), rtol=1e-6
    )
    assert (ax.get_title("left"), ax.get_xlabel()) == (kind.__name__, "value (mV)")
    assert "outside" not in texts(plot.cdf(data, dist))[-1]


def test_histogram_of_few_data():
    ax = plot.histogram([0.4, 0.5, 0.7] * u.nS, NORMAL, label="data")
    assert legend(ax) == ["data", "theory", "mean of the data"]
    low, high = ax.get_xlim()  # around three values, where theory has its mass
    assert low < 0.3 < 0.7 < high


def test_values_beyond_the_axes_are_counted():
    values = np.r_[np.linspace(0, 1, 1000), 1e6]
    assert plot.histogram(values).get_xlabel() == "value, 1 of 1001 beyond"
    heavy = init.LogNormal(1 * u.mV, 10 * u.mV)
    draws = heavy(5000, rng=0)
    for ax in (plot.histogram(draws, heavy), plot.cdf(draws, heavy)):
        right = ax.get_xlim()[1]
        beyond = [int((np.asarray(draws.mantissa) > x).sum()) for x in (right, 0.95 * right)]
        shown = int(re.search(r", (\d+) of 5000 beyond", ax.get_xlabel())[1])
        assert 0 < beyond[0] <= shown <= beyond[1] < 200
        assert right < 30


def test_repeated_values_are_drawn_as_stems():
    values = np.r_[np.zeros(300), np.linspace(1, 2, 700)]
    ax = plot.histogram(values)
    assert "30 %" in texts(ax)
    bars = ax.patches[0].get_data()
    np.testing.assert_allclose((bars.values * np.diff(bars.edges)).sum(), 0.7)
    assert legend(ax)[:2] == ["draws", "draws at one value"]
    ax = plot.histogram([1, 1, 2, 2, 2, 5])
    assert ax.get_ylabel() == "share of the draws"
    np.testing.assert_allclose([p.get_height() for p in ax.patches], [2 / 6, 3 / 6, 1 / 6])


def test_bins_hold_equally_many_numbers_of_a_coarse_dtype():
    draws = init.Uniform(0.5, 1.0)(jax.random.key(0), 100_000, "bfloat16")
    bars = plot.histogram(draws).patches[0].get_data()
    inside = bars.values[1:-1]
    assert inside.max() / inside.min() < 1.3  # equal bins of 128 values would differ by 2


@pytest.mark.parametrize("picture", [plot.histogram, plot.cdf, lambda x: plot.qq(x, NORMAL)])
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros(0), ValueError, "empty"),
        (np.array([1.0, np.nan, np.inf]), ValueError, "2 of 3 `values`"),
        (np.ones(2, complex), TypeError, "complex"),
    ],
)
def test_bad_values_are_refused(picture, values, error, message):
    with pytest.raises(error, match=message):
        picture(values)


@pytest.mark.parametrize("picture", [plot.histogram, plot.cdf, plot.qq])
def test_values_of_another_dimension(picture):
    with pytest.raises(init.UnitError):
        picture(np.ones(3) * u.mV, NORMAL)


# ---------------------------------------------------------------- distribution function


def test_cdf_shows_the_dkw_band():
    draws = NORMAL(800, rng=1)
    ax = plot.cdf(draws, NORMAL, confidence=0.9)
    assert ax.get_xlabel() == "value (nS)"
    assert ax.get_ylabel() == "share at or below"
    assert legend(ax) == ["draws", "theory", "90 % band"]
    curve = line(ax, "theory")
    np.testing.assert_allclose(
        curve.get_ydata(), stats.norm(0.5, 0.1).cdf(curve.get_xdata()), atol=1e-12
    )
    half = np.sqrt(np.log(20) / 1600)
    top = ax.collections[0].get_paths()[0].get_extents().y1
    assert top == 1
    inside = np.abs(curve.get_ydata() - 0.5) < 0.2
    path = ax.collections[0].get_paths()[0].vertices
    for x, y in zip(curve.get_xdata()[inside][::50], curve.get_ydata()[inside][::50], strict=True):
        np.testing.assert_allclose(
            sorted(path[path[:, 0] == x][:2, 1]), [y - half, y + half], atol=1e-12
        )
    steps = line(ax, "draws")
    x = np.sort(np.asarray(draws.mantissa, float))
    np.testing.assert_allclose(steps.get_xdata()[2:-1], x)
    np.testing.assert_allclose(steps.get_ydata()[2:-1], np.arange(1, 801) / 800)
    assert f"±{half:.2g}" in texts(ax)[-1]


@pytest.mark.parametrize("n", [3, 500, 300_000])
def test_the_largest_distance_is_kolmogorovs(n):
    x = np.sort(np.random.default_rng(n).normal(0.5, 0.1, n))
    distance = curves._largest_distance(x, Draws(x * u.nS, NORMAL, ""))
    expected = stats.ks_1samp(x, stats.norm(0.5, 0.1).cdf, method="asymp").statistic
    np.testing.assert_allclose(distance, expected, rtol=1e-9)


def test_a_wrong_distribution_is_outside_the_band():
    draws = NORMAL(2000, rng=2)
    assert "outside" not in texts(plot.cdf(draws, NORMAL))[-1]
    shifted = init.Normal(0.52 * u.nS, 0.1 * u.nS)
    assert "outside the band" in texts(plot.cdf(draws, shifted))[-1]
    right, wrong = (texts(plot.qq(draws, dist))[-1] for dist in (NORMAL, shifted))
    assert right.startswith("0 of")
    assert not wrong.startswith("0 of")


def test_rounding_adds_no_distance():
    """To 16-bit draws, whose steps are larger than the band, and to a constant in float32."""
    dist = init.Uniform(0.5, 1.0)
    draws = dist(jax.random.key(3), 200_000, "bfloat16")
    distance = curves._largest_distance(*_sorted(draws, dist))
    assert distance < 0.0036  # sqrt(log(2e6) / 2 / 200,000), false-alarm rate 1e-6; steps are 0.008
    constant = init.Constant(0.1 * u.nS)
    assert curves._largest_distance(*_sorted(constant(5), constant)) == 0


@pytest.mark.parametrize("low", [0.0, 0.1])
def test_atoms_add_no_distance(low):
    """Half of 5,000 draws are at the bound; sqrt(log(2e6) / 10,000) has false-alarm rate 1e-6."""
    dist = init.Normal(low, 1.0).clip(low, None)
    draws = dist(5000, rng=5)
    assert 0 < curves._largest_distance(*_sorted(draws, dist)) < 0.038
    ax = plot.histogram(draws, dist)
    share = float((np.asarray(draws) == np.float32(low)).mean())
    assert f"{100 * share:.3g} %\ntheory 50 %" in texts(ax)


def test_the_law_depends_on_the_shape():
    draws = init.KaimingNormal()(jax.random.key(0), (64, 32))
    curve = line(plot.cdf(draws, init.KaimingNormal()), "theory")
    expected = theory.cdf(init.KaimingNormal(), curve.get_xdata(), size=(64, 32))
    np.testing.assert_allclose(curve.get_ydata(), expected)
    assert legend(plot.histogram(draws.ravel(), init.KaimingNormal()))[1] != "theory"
    with pytest.raises(TypeError, match=r"KaimingNormal for values of shape \(2048,\)"):
        plot.qq(draws.ravel(), init.KaimingNormal())


def _sorted(draws, dist):
    plotted = Draws(draws, dist, "")
    return np.sort(plotted.x), plotted


def test_cdf_without_theory_has_the_band_around_the_values():
    ax = plot.cdf([1.0, 2.0, 3.0] * u.ms)
    assert legend(ax) == ["draws", "95 % band"]
    assert texts(ax) == ["95 % band: ±0.78"]


@pytest.mark.parametrize("confidence", [0, 1, 95, np.nan, "high"])
def test_a_confidence_is_a_probability(confidence):
    for picture in (plot.cdf, plot.qq):
        with pytest.raises(ValueError, match="`confidence` must lie between 0 and 1"):
            picture([1.0], init.Normal(), confidence=confidence)


# ---------------------------------------------------------------- quantiles


def test_qq_has_units_and_the_exact_band():
    draws = NORMAL(50, rng=3).in_unit(u.psiemens)
    ax = plot.qq(draws, NORMAL, band="pointwise", confidence=0.8)
    assert ax.get_xlabel() == "quantile in theory (pS)"
    assert ax.get_ylabel() == "quantile of the draws (pS)"
    assert legend(ax) == ["draws", "theory", "80 % band, pointwise"]
    points, k = line(ax, "draws"), np.arange(1, 51)
    np.testing.assert_allclose(points.get_ydata(), np.sort(np.asarray(draws.mantissa, float)))
    order = stats.beta(k, 51 - k)
    dist = stats.norm(500, 100)
    np.testing.assert_allclose(points.get_xdata(), dist.ppf(order.median()), rtol=1e-6)
    path = ax.collections[0].get_paths()[0].vertices
    for i in (0, 20, 49):
        edges = np.unique(path[np.isclose(path[:, 0], points.get_xdata()[i]), 1])
        expected = dist.ppf(order.ppf([[0.1], [0.9]])[:, i])
        np.testing.assert_allclose(edges[[0, -1]], expected, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 20, 5000])
def test_the_simultaneous_band_holds_all_points_together(n):
    """95 % of samples lie within; 5 standard errors of both simulations alarm at 6e-7."""
    rng, ranks = np.random.default_rng(17), curves._ranks(n)
    low, high = (
        curves._order_statistic(ranks, n, t)[0]
        for t in (curves._level(n, 0.95) / 2, 1 - curves._level(n, 0.95) / 2)
    )
    samples = np.sort(rng.random((4000, n)), axis=1)[:, ranks - 1]
    within = ((samples >= low) & (samples <= high)).all(axis=1).mean()
    assert abs(within - 0.95) < 5 * np.sqrt(0.05 * 0.95 * (1 / 4000 + 1 / 20_000))
    assert curves._level(n, 0.95) < 0.05 + 1e-6


def test_order_statistics_keep_digits_at_both_ends():
    below, above = curves._order_statistic(np.array([1, 10**7]), 10**7, 0.5)
    np.testing.assert_allclose([below[0], above[1]], -np.expm1(-np.log(2) / 1e7), rtol=1e-9)


def test_many_values_and_wide_ones():
    dist = init.LogNormal(1.0, 10.0)
    ax = plot.qq(dist(100_000, rng=4), dist)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert len(line(ax, "draws").get_xdata()) <= 160
    assert "(of 100000) outside" in texts(ax)[-1]
    assert plot.qq(NORMAL(10, rng=0), NORMAL).get_xscale() == "linear"
    assert len(line(plot.cdf(dist(100_000, rng=4), dist), "draws").get_xdata()) < 2200


def test_qq_needs_theory():
    def own(key, shape, dtype=None):
        return jax.random.normal(key, shape, dtype)

    custom = init.Mixture([own])
    with pytest.raises(TypeError, match="knows the quantiles of, got Mixture"):
        plot.qq([1.0], custom)
    with pytest.raises(TypeError, match="got None"):
        plot.qq([1.0], None)
    with pytest.raises(ValueError, match="`band` must be"):
        plot.qq([1.0], init.Normal(), band="wide")


@pytest.mark.parametrize("picture", [plot.histogram, plot.cdf, plot.qq])
@pytest.mark.parametrize("dist", [init.Constant(2 * u.ms), init.Normal(2 * u.ms, 0 * u.ms)])
def test_a_constant_has_pictures(picture, dist):
    for values in (dist(3), dist(()), [1.0, 2.0] * u.ms):
        picture(values, dist).figure.canvas.draw()


# ---------------------------------------------------------------- side by side


@pytest.mark.parametrize("kind", ["histogram", "cdf", "qq"])
def test_compare_has_a_panel_for_each(kind):
    dists = {"a": init.Uniform(0.0, 1.0), "b": init.Uniform(0.0, 1.0), "c": init.Beta(2.0, 2.0)}
    figure = plot.compare(dists, (20, 10), rng=jax.random.key(1), columns=2, kind=kind)
    a, b, third, spare = figure.axes
    assert [ax.get_title("left") for ax in (a, b, third)] == ["a", "b", "c"]
    if kind == "histogram":
        assert texts(a)[-1] != texts(b)[-1]  # each panel has its own key
    assert not spare.axison
    assert [t.get_text() for t in figure.legends[0].get_texts()][:2] == ["draws", "theory"]
    figure.canvas.draw()
    below = next(t for t in a.texts if t.get_text() == "low = 0, high = 1")
    title = a._left_title.get_window_extent()
    assert below.get_window_extent().y1 <= title.y0 + 2  # the parameters lie below the title


def test_compare_takes_functions_and_single_panels():
    def own(key, shape, dtype=None):
        return jax.random.normal(key, shape, dtype)

    assert len(plot.compare([init.ZeroInit(u.nS)], 10).axes) == 1
    assert plot.compare({"own": own}, 10).axes[0].get_title("left") == "own"
    titles = [ax.get_title("left") for ax in plot.compare([NORMAL, init.Normal()], 10).axes]
    assert titles == ["Normal(mean = 0.5 nS, std = 0.1 nS)", "Normal(mean = 0, std = 1)"]
    with pytest.raises(ValueError, match="at least one"):
        plot.compare([])
    with pytest.raises(TypeError, match=r"holds the class Normal; write Normal\(\.\.\.\)"):
        plot.compare([init.Normal])
    with pytest.raises(ValueError, match="`kind` must be"):
        plot.compare([NORMAL], kind="pie")


# ---------------------------------------------------------------- profiles

GAUSS = init.GaussianProfile(50 * u.um)
HAT = init.MexicanHatProfile(0.08 * u.mm)


def test_profiles_over_distance():
    ax = plot.profile({"near": GAUSS, "hat": HAT})
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("distance (um)", "factor of a weight")
    assert legend(ax) == ["near", "hat"]
    first, second = ax.lines[:2]
    assert first.get_linestyle() != second.get_linestyle()  # not by colour alone
    d = first.get_xdata()
    np.testing.assert_allclose(first.get_ydata(), np.exp(-((d / 50) ** 2) / 2), atol=1e-6)
    np.testing.assert_allclose(
        second.get_ydata(), (1 - (d / 80) ** 2) * np.exp(-((d / 80) ** 2) / 2), atol=1e-6
    )
    assert 250 < d.max() < 500  # where the hat ends
    ax = plot.profile(HAT, 0.4 * u.mm, probability=True)
    assert (ax.get_xlabel(), ax.get_xlim()[1]) == ("distance (mm)", 0.4)
    assert ax.lines[0].get_ydata().min() == 0
    assert ax.get_title("left") == "MexicanHatProfile"


def test_names_of_profiles_tell_them_apart():
    several = [init.GaussianProfile(20 * u.um), GAUSS, 0.9 * GAUSS + 0.1]
    assert legend(plot.profile(several)) == [
        "GaussianProfile(sigma = 20 um)",
        "GaussianProfile(sigma = 50 um)",
        "(0.9 * GaussianProfile) + 0.1",
    ]


class Own(init.DistanceProfile):
    def __init__(self):
        pass

    def probability(self, distances):
        return jnp.ones(np.shape(distances))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((Own(),), ValueError, "how far Own reaches is unknown; give `distances`"),
        (([GAUSS, init.GaussianProfile(1.0)],), init.UnitError, "differ in dimension"),
        ((GAUSS, -1 * u.um), ValueError, "`distances` must be the largest one, positive"),
        ((GAUSS, [1.0, np.nan] * u.um), ValueError, "NaN"),
        ((init.GaussianProfile([1.0, 2.0] * u.um), 5 * u.um), ValueError, "one number"),
        ((init.Normal(),), TypeError, "must hold distance profiles"),
        (([],), ValueError, "at least one"),
    ],
)
def test_bad_profiles_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        plot.profile(*arguments)


def test_a_sheet_has_the_values_at_the_distances_in_the_box():
    ax = plot.sheet(GAUSS, center=[20, 60] * u.um, box=0.3 * u.mm)
    assert (ax.get_xlabel(), ax.get_aspect()) == ("x (mm)", 1)
    assert ax.get_xlim() == ax.get_ylim() == (0, 0.3)
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "factor of a weight"
    z = ax.images[0].get_array()
    x = 1000 * np.linspace(0, 0.3, len(z))
    dx, dy = (np.minimum(abs(x - c), 300 - abs(x - c)) for c in (20, 60))
    expected = np.exp(-(dx[None] ** 2 + dy[:, None] ** 2) / 5000)
    np.testing.assert_allclose(z, expected, atol=1e-5)
    assert ax.images[0].norm.vmin == 0


def test_a_sheet_of_both_signs_is_centred_at_zero():
    ax = plot.sheet(HAT, anisotropy=[2.0, 1.0])
    norm = ax.images[0].norm
    assert norm.vmin == -norm.vmax == -1
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    np.testing.assert_allclose((high - low) / (top - bottom), 2)
    assert ax.get_xlabel() == "x (mm)"
    assert len(ax.collections) == 1  # the lines where the sign changes


def test_a_sheet_of_modulated_weights():
    base = init.LogNormal(0.5 * u.nS, 0.2 * u.nS)
    weights = init.DistanceModulated(base, GAUSS, box=[300.0, np.inf] * u.um)
    places = np.array([[10.0, 0.0], [290.0, 0.0], [150.0, 30.0]]) * u.um
    ax = plot.sheet(weights, positions=places, center=[0.0, 0.0] * u.um)
    dots = ax.collections[0]
    assert ax.figure.axes[1].get_ylabel() == "mean weight (nS)"
    values = dict(zip(map(tuple, dots.get_offsets().tolist()), dots.get_array(), strict=True))
    for place, d2 in (((10, 0), 100), ((290, 0), 100), ((150, 30), 150**2 + 900)):
        np.testing.assert_allclose(values[place], 0.5 * np.exp(-d2 / 5000), rtol=1e-5)
    assert ax.get_xlim() == (0, 300)
    around = plot.sheet(init.DistanceModulated(init.Normal(0 * u.nS, 1 * u.nS), GAUSS))
    assert around.figure.axes[1].get_ylabel() == "factor of a weight"


def test_a_sheet_by_lengths_of_an_ellipse():
    ax = plot.sheet(init.GaussianProfile(1.0), anisotropy=[80.0, 40.0] * u.um, probability=True)
    assert ax.get_ylabel() == "y (um)"
    assert ax.figure.axes[1].get_ylabel() == "probability of a connection"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"profile": Own()}, ValueError, "give `extent`"),
        ({"positions": np.ones(3) * u.um}, ValueError, r"`positions` must have the shape \(n, 2\)"),
        ({"center": [1.0, 2.0, 3.0] * u.um}, ValueError, "`center` must have the shape"),
        ({"extent": 1 * u.mV}, init.UnitError, "differ in dimension"),
        ({"extent": -1 * u.um}, ValueError, "`extent` must be positive"),
        ({"box": 0 * u.um}, ValueError, "`box` must be positive"),
        ({"profile": init.Normal()}, TypeError, "must hold distance profiles"),
    ],
)
def test_bad_sheets_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        plot.sheet(**{"profile": GAUSS} | given)


# ---------------------------------------------------------------- matrices


def test_a_matrix_is_sorted_by_population():
    w = np.arange(1.0, 26).reshape(5, 5) - 13
    labels = ["E", "I", "E", "E", "I"]
    order = [0, 2, 3, 1, 4]
    for populations in (labels, {"E": [0, 2, 3], "I": np.array([1, 4])}):
        ax = plot.matrix(w * u.pA, populations)
        shown = ax.images[0].get_array()
        np.testing.assert_array_equal(shown.filled(0), w[np.ix_(order, order)])
        assert shown.mask.sum() == 1  # 0 means no connection
        assert [t.get_text() for t in ax.get_xticklabels()] == ["E\n3", "I\n2"]
        assert [t.get_text() for t in ax.get_yticklabels()] == ["E 3", "I 2"]
        assert {line.get_xdata()[0] for line in ax.lines if line.get_ydata() == [0, 1]} == {2.5}
        norm = ax.images[0].norm
        assert norm.vmin == -norm.vmax == -12
    assert ax.figure.axes[1].get_ylabel() == "weight (pA)"
    assert texts(ax) == ["96 % of 5 x 5 connected"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("to", "from")


def test_a_rectangular_matrix_has_two_sets_of_populations():
    connected = np.zeros((20, 10), bool)
    connected[:, 3] = True
    ax = plot.matrix(connected, {"E": 16, "I": 4}, columns={"a": 5, "b": 5})
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a\n5", "b\n5"]
    assert texts(ax) == ["10 % of 20 x 10 connected"]
    assert len(ax.figure.axes) == 1  # no weights to show by colour
    alone = plot.matrix(connected, {"E": 16, "I": 4})
    assert alone.get_xticklabels()[0].get_text() != "E\n16"
    each = plot.matrix(2 * np.eye(3) * u.nS)
    assert texts(each) == ["33.3 % of 3 x 3 connected, each 2 nS"]


def test_extreme_weights_do_not_fade_the_others():
    w = np.random.default_rng(0).normal(size=(60, 60))
    w[0, 0] = 1e6
    ax = plot.matrix(w)
    assert ax.images[0].norm.vmax < 4
    assert ax.images[0].colorbar.extend == "both"


def test_a_large_matrix_is_averaged():
    w = np.random.default_rng(0).random((3001, 2000)) < 0.1
    ax = plot.matrix(w, ax=pyplot.figure(figsize=(3, 3)).subplots())
    shown = ax.images[0].get_array()
    assert max(shown.shape) < 450
    label = ax.figure.axes[1].get_ylabel()
    rows, columns = map(int, re.search(r"share connected of (\d+) x (\d+)", label).groups())
    assert shown.shape == (-(-3001 // rows), -(-2000 // columns))
    assert shown[0, 0] == pytest.approx(w[:rows, :columns].mean())
    start = rows * (shown.shape[0] - 1)  # the last block has fewer rows
    assert shown[-1, 0] == pytest.approx(w[start:, :columns].mean())


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"w": np.ones(3)}, ValueError, r"`w` must be a matrix, \(n_pre, n_post\)"),
        ({"w": np.full((2, 2), np.nan)}, ValueError, "4 of 4 `w` are NaN"),
        ({"w": np.ones((2, 2), complex)}, TypeError, "complex"),
        ({"populations": {"E": 2, "I": 3}}, ValueError, "each of the 4 rows of `w` once"),
        ({"populations": {"E": [0, 1], "I": [1, 2]}}, ValueError, "once; there are E: 2, I: 2"),
        ({"populations": ["E", "I"]}, ValueError, "names 2 neurons, and `w` has 4 rows"),
        ({"columns": {"E": 0.5}}, TypeError, r"`columns`\['E'\] must be the number of neurons"),
    ],
)
def test_bad_matrices_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        plot.matrix(**{"w": np.ones((4, 4))} | given)


@pytest.mark.parametrize("w", [np.zeros((3, 3)), np.ones((1, 1)), -np.ones((2, 5)), [[1, 2]]])
def test_small_and_empty_matrices(w):
    plot.matrix(w).figure.canvas.draw()


# ---------------------------------------------------------------- whole models

SHAPE = jax.ShapeDtypeStruct


def test_a_plan_has_a_bar_for_each_leaf():
    model = {
        "kernel": SHAPE((256, 32), jnp.float32),
        "bias": SHAPE((32,), jnp.float32),
        "gate": SHAPE((500,), jnp.float32),
        "step": SHAPE((), jnp.int32),
        "v": SHAPE((200,), jnp.float32) * u.mV,
    }

    def own(key, shape, dtype=None):
        return jax.random.uniform(key, shape, dtype)

    rules = [("kernel", init.LecunNormal()), ("bias", 0.0), ("gate", own), ("step", init.KEEP)]
    plan = init.plan(model, [*rules, ("v", init.Normal(-60 * u.mV, 2 * u.mV))])
    drawn = plan(jax.random.key(0)) | {"step": jnp.zeros((), int)}
    bare, volts = plot.plan(plan, drawn).axes
    assert [t.get_text() for t in bare.get_yticklabels()] == ["bias", "gate", "kernel"]
    assert (bare.get_xlabel(), volts.get_xlabel()) == ("std", "std (mV)")
    widths = [patch.get_width() for patch in bare.patches]
    np.testing.assert_allclose(widths, [0, 0, 1 / 16])
    assert texts(bare) == [
        "0  Constant",
        f"unknown  {own.__qualname__}",
        "0.0625  LecunNormal",
    ] or (texts(bare)[2] == "0.0625  LecunNormal" and texts(bare)[1].startswith("unknown"))
    np.testing.assert_allclose(volts.patches[0].get_width(), 2)
    dots = bare.lines[0].get_xdata()
    stds = [np.std(np.asarray(drawn[name])) for name in ("bias", "gate", "kernel")]
    np.testing.assert_allclose(dots, stds, rtol=1e-5)
    np.testing.assert_allclose(volts.lines[0].get_xdata(), np.std(drawn["v"].mantissa), rtol=1e-5)


def test_a_drawn_model_with_nan_is_labelled():
    plan = init.plan({"w": SHAPE((4,), jnp.float32)}, [("w", init.Normal())])
    ax = plot.plan(plan, {"w": jnp.full(4, jnp.nan)}).axes[0]
    assert texts(ax) == ["1  Normal, drawn nan"]


def blocks(n):
    return {"blocks": [{"w": SHAPE((64, 8), jnp.float32), "b": SHAPE((8,), jnp.float32)}] * n}


def by_layer(leaf):
    return init.Normal(0.0, 0.1 / (leaf.layer + 1))


def test_a_plan_of_many_leaves_shares_bars():
    rules, layers = [(r"w$", by_layer), (r"b$", 0.0)], r"blocks/(\d+)"
    few = plot.plan(init.plan(blocks(60), rules, layers=layers)).axes[0]
    assert len(few.get_yticklabels()) == 120
    many = plot.plan(init.plan(blocks(61), rules, layers=layers)).axes[0]
    assert [t.get_text() for t in many.get_yticklabels()] == ["blocks/*/b  x61", "blocks/*/w  x61"]
    planned = 0.1 / np.arange(1, 62)
    np.testing.assert_allclose(many.patches[1].get_width(), planned.mean())
    np.testing.assert_allclose(many.lines[0].get_xdata(), [planned.min(), planned.max()])
    assert few.get_xscale() == "log"


def test_a_plan_of_stacked_layers():
    model = {"blocks": {"w": SHAPE((3, 64, 8), jnp.float32)}}
    plan = init.plan(model, [("w", by_layer)], stacked={"^blocks": 0}, layers=r"blocks/(\d+)")
    drawn = plan(jax.random.key(1))
    ax = plot.plan(plan, drawn).axes[0]
    np.testing.assert_allclose([p.get_width() for p in ax.patches], 0.1 / np.arange(1, 4))
    stds = np.asarray(drawn["blocks"]["w"]).std(axis=(1, 2))
    np.testing.assert_allclose(ax.lines[0].get_xdata(), stds, rtol=1e-5)


def test_bad_plans_are_refused():
    with pytest.raises(TypeError, match="must be what braininit.plan returns, got dict"):
        plot.plan({})
    with pytest.raises(ValueError, match="no leaf of numbers"):
        plot.plan(init.plan({"n": jnp.zeros((), int)}, [("n", init.KEEP)]))


# ---------------------------------------------------------------- signals


def doubled(key, shape, dtype=None):
    return 2 * jnp.eye(shape[0], dtype=dtype)


def huge(key, shape, dtype=None):
    return 1e15 * jnp.eye(shape[0], dtype=dtype)


def test_signals_through_depth():
    figure = plot.signals(
        {"doubled": doubled, "huge": huge, "kept": init.Orthogonal()},
        lambda x: x,
        depth=6,
        width=16,
        batch=32,
    )
    forward, backward = figure.axes
    labels = [ax.get_ylabel() for ax in (forward, backward)]
    assert labels == ["std of activations", "std of gradients"]
    assert sorted(texts(forward)) == sorted(texts(backward)) == ["doubled", "huge", "kept"]
    for ax, powers in ((forward, np.arange(7)), (backward, np.arange(7)[::-1])):
        assert ax.get_yscale() == "log"
        y = line(ax, "doubled").get_ydata()
        np.testing.assert_allclose(y / y[powers == 0], 2.0**powers, rtol=1e-5)
        kept = line(ax, "kept").get_ydata()
        np.testing.assert_allclose(kept / kept[powers == 0], 1, rtol=0.01)
        # Lines end at 3e38, the largest float32.
        np.testing.assert_array_equal(np.isnan(line(ax, "huge").get_ydata()), powers > 2)
        dashes = [line(ax, name)._dash_pattern for name in ("doubled", "huge", "kept")]
        assert len({str(pattern) for pattern in dashes}) == 3
    assert backward.get_xlim() == (6, 0)


def test_signals_through_a_nonlinearity():
    """Half of the units are silent: the gradient's mean square halves, and weights compensate."""
    forward, backward = plot.signals(
        [init.KaimingNormal()], jax.nn.relu, depth=4, width=256, columns=1
    ).axes
    y = line(forward, "KaimingNormal").get_ydata()
    np.testing.assert_allclose(y[1:], np.sqrt(1 - 1 / np.pi), rtol=0.25)  # of relu(N(0, 2))
    np.testing.assert_allclose(line(backward, "KaimingNormal").get_ydata(), 1, rtol=0.25)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"initializers": NORMAL}, init.UnitError, "Normal draws weights in nS"),
        ({"initializers": []}, ValueError, "at least one"),
        ({"depth": 0}, ValueError, "`depth` must be 1 or more"),
        ({"nonlinearity": "relu"}, TypeError, "`nonlinearity` must be a function"),
        ({"nonlinearity": jnp.sum}, ValueError, "`nonlinearity` must keep the shape"),
    ],
)
def test_bad_signals_are_refused(given, error, message):
    sizes = {"depth": 1, "width": 4, "batch": 4}
    with pytest.raises(error, match=message):
        plot.signals(**{"initializers": init.Normal(), **sizes} | given)


# ---------------------------------------------------------------- in print


def test_a_styles_grid_is_not_drawn():
    with pyplot.rc_context({"axes.grid": True}):
        for ax in (plot.matrix(np.eye(3)), plot.matrix(np.ones((3, 3))), plot.sheet(GAUSS)):
            assert not any(line.get_visible() for line in ax.get_xgridlines())
        histogram = plot.histogram(np.arange(9.5))
        assert not any(line.get_visible() for line in histogram.get_xgridlines())


@pytest.mark.parametrize("inches", [(3.3, 2.6), (6.4, 4.2)])
def test_nothing_overlaps_or_is_cut_off(inches):
    """The legend lies below the labels of the axes, and everything within the figure."""
    figure, ax = pyplot.subplots(figsize=inches, layout="constrained")
    plot.histogram(NORMAL(1000, rng=0), NORMAL, ax)
    figure.canvas.draw()
    box = figure.bbox
    for artist in (ax.get_legend(), ax.xaxis.label, ax.yaxis.label, ax.title, *ax.texts):
        extents = artist.get_window_extent().extents
        assert np.clip(extents, 0, [*box.size] * 2) == pytest.approx(extents, abs=1)
    assert ax.get_legend().get_window_extent().y1 <= ax.xaxis.label.get_window_extent().y0 + 2


def test_curves_are_theory_in_the_unit_of_the_values():
    """The parameters may have another unit."""
    dist = init.Weibull(2.0, 0.5 * u.uS)
    ax = plot.histogram(dist(500, rng=0).in_unit(u.nS), dist)
    x = line(ax, "theory").get_xdata()
    expected = theory.pdf(dist, x * u.nS) * u.nS  # a pure number
    np.testing.assert_allclose(line(ax, "theory").get_ydata(), np.asarray(expected), rtol=1e-6)


def test_draws_on_a_grid():
    """Steps of draws and theory agree; marks are as wide as the bars, and have no labels."""
    dist = init.Normal(1.5 * u.ms, 0.75 * u.ms).on_grid(0.1 * u.ms)
    values = dist(5000, rng=0)
    text = " ".join(t.get_text() for t in init.plot.cdf(values, dist).texts)
    assert "outside" not in text
    ax = init.plot.histogram(values, dist)
    assert "theory of these" in ax.get_legend_handles_labels()[1]
    mixed = init.Mixture([init.Normal().on_grid(0.5), init.Normal(4.0, 0.5)])
    assert len(init.plot.histogram(mixed(5000, rng=0), mixed).texts) <= 3  # title, mean
    fine = init.LogNormal(1.0, 3.0).on_grid(0.01)  # more multiples than theory sums
    init.plot.histogram(fine(5000, rng=0), fine)
