"""HTML of objects in notebooks: complete, escaped, small, and never an error."""

from __future__ import annotations

import functools
import re
import sys
from xml.etree import ElementTree

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES
from scipy import stats

import braininit as init
from braininit import display

GAUSS = init.GaussianProfile(50 * u.um)


def rows(text):
    """Return the rows of the tables as tuples."""
    tree = ElementTree.fromstring(text)
    return [tuple("".join(cell.itertext()) for cell in row) for row in tree.iter("tr")]


def curve(text):
    """Read the curve of the picture by the marks and the labels of its axis."""
    svg = ElementTree.fromstring(text).find("svg")
    marks = [float(line.get("x1")) for line in svg.iter("line") if line.get("x1") == line.get("x2")]
    labels = [t.text.replace("−", "-") for t in svg.iter("text")][:-1]
    (a, b), (p, q) = map(float, (labels[0], labels[-1])), (marks[-len(labels)], marks[-1])
    points = svg.find("polyline").get("points").split()
    x, y = np.array([tuple(map(float, point.split(","))) for point in points]).T
    return a + (x - p) * (b - a) / (q - p), y.max() - y, [t.text for t in svg.iter("text")][-1]


def test_parameters_moments_and_the_density():
    text = init.Gamma(2.0, 0.25 * u.nS)._repr_html_()
    assert rows(text) == [
        *(("shape", "2"), ("scale", "0.25 nS")),
        *(("mean", "0.5 nS"), ("std", "0.3536 nS"), ("skewness", "1.414"), ("kurtosis", "3")),
    ]
    x, y, label = curve(text)
    expected = stats.gamma(2, scale=0.25).pdf(x)
    np.testing.assert_allclose(y / y.max(), expected / expected.max(), atol=0.02)
    assert label == "value (nS)"


def test_values_with_a_probability_are_stems():
    text = init.Normal(0.0, 1.0).clip(0.0, None)._repr_html_()
    svg = ElementTree.fromstring(text).find("svg")
    (stem,) = (line for line in svg.iter("line") if line.get("stroke") == "#d55e00")
    y1, y2 = float(stem.get("y1")), float(stem.get("y2"))
    np.testing.assert_allclose((y1 - y2) / (y1 - 6), 0.5, atol=0.01)
    both = ElementTree.fromstring(init.Identity()._repr_html_()).find("svg")
    labels = [t.text for t in both.iter("text")]
    assert {"0", "1"} <= {*labels}


def test_a_profile_shows_its_values():
    text = (0.8 * GAUSS + 0.2)._repr_html_()
    assert "<b>(0.8 * GaussianProfile) + 0.2</b>" in text
    assert rows(text) == [("sigma", "50 um")]
    x, y, label = curve(text)
    np.testing.assert_allclose(y[0] - y[-1], y.max(), rtol=0.05)
    shape = (np.exp(-(x**2) / 5000) - np.exp(-(x[-1] ** 2) / 5000)) / (
        1 - np.exp(-(x[-1] ** 2) / 5000)
    )
    np.testing.assert_allclose(y / y.max(), shape, atol=0.02)
    assert label == "distance (um)"
    modulated = init.DistanceModulated(init.Normal(), GAUSS, box=1 * u.mm)._repr_html_()
    assert ("box", "1 mm") in rows(modulated)
    assert "distance (um)" in modulated


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_initializer_shows_itself(case):
    unit = u.nS if case.has_unit else None
    text = case.make(unit)._repr_html_()
    ElementTree.fromstring(text)  # well-formed
    assert f"<b>{case.cls.__name__}" in text or case.cls in (init.Combined, init.Compose)
    assert len(text) < 8000
    assert not re.search(r"(color|fill|stroke): ?(black|white|#000|#fff)", text)


OTHERS = {
    "array": init.Normal(np.array([-60.0, -70.0]) * u.mV, 5 * u.mV),
    "many": init.Normal(np.zeros((100, 100)) * u.mV, 5 * u.mV),
    "constant": init.Constant(0.5 * u.nS),
    "still": init.Normal(2.0, 0.0),
    "heavy": init.LogNormal(1 * u.mV, 10 * u.mV),
    "poles": init.Beta(0.1, 0.2),
    "tiny": init.Normal(1e30, 1e20),
    "per area": init.Normal(0.5 * u.nS / u.mm**2, 0.1 * u.nS / u.mm**2),
    "deep": (((init.Normal() + 1) * init.Gamma(2.0)) / 3 + init.Beta(2.0, 2.0)) ** 2,
    "function": init.Normal() | jnp.tanh,
    "flat": init.StepProfile(50 * u.um, 0.3, 0.3),
    "hat": init.MexicanHatProfile(1 * u.mm),
    "power": init.PowerLawProfile(2.0),
    "applied": GAUSS | jnp.sqrt,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_objects_show_themselves(name):
    text = OTHERS[name]._repr_html_()
    ElementTree.fromstring(text)
    assert len(text) < 8000
    assert ("<svg" in text) == (name not in ("many", "deep", "function", "power"))


def test_arrays_and_units_in_tables():
    assert ("mean", "[-60, -70] mV") in rows(OTHERS["array"]._repr_html_())
    assert ("mean", "-70 to -60 mV") in rows(OTHERS["array"]._repr_html_())
    assert ("mean", "array (100, 100) in mV") in rows(OTHERS["many"]._repr_html_())
    assert ("std", "0.1 nS / mm²") in rows(OTHERS["per area"]._repr_html_())
    assert ("slope", "0.05 / um") in rows(init.SigmoidProfile(100 * u.um)._repr_html_())
    sized = init.Orthogonal()._repr_html_()
    assert "<i>moments of (256, 256)</i>" in sized
    assert ("std", "0.0625") in rows(sized)
    halves = init.Conditional([3, 1], 1 * u.nS, -3 * u.nS)._repr_html_()
    assert rows(halves)[-4:-2] == [("mean", "0 nS"), ("std", "1.732 nS")]
    mixed = init.Mixture([init.Normal(1 * u.nS, 0.1 * u.nS), 2 * u.nS], [0.25, 0.75])
    assert rows(mixed._repr_html_())[:2] == [
        ("distributions", "Normal(mean = 1 nS, std = 0.1 nS), 2 nS"),
        ("weights", "[0.25, 0.75]"),
    ]


class Loud(init.Initialization):
    """A user's class whose parameters may be anything."""

    def __init__(self, text="<script>&"):
        self.text = text

    def __call__(self, size, **kwargs):
        return jnp.zeros(size)


def named(key, shape, label, *, dtype=None):
    return jnp.zeros(shape, dtype)


class Named(init.Initialization, function=named):
    label: str = init.static()


class Unwilling:
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


def test_text_is_escaped():
    text = Named("<script>&'")._repr_html_()
    assert rows(text) == [("label", "<script>&'")]
    assert "<script>" not in text
    assert Loud()._repr_html_() == Loud("b")._repr_html_()  # no fields
    hidden = init.Mixture([lambda key, shape, dtype: key])._repr_html_()
    assert "<lambda>" not in hidden
    assert "&lt;lambda&gt;" in hidden


def test_it_never_raises(monkeypatch):
    assert Named(Unwilling())._repr_html_() is None  # a notebook then shows the repr
    half = object.__new__(init.LogNormal)  # as while unpickling
    assert half._repr_html_() is None
    for leaf in (None, object(), jax.ShapeDtypeStruct((), float)):
        obj = jax.tree.map(lambda _, leaf=leaf: leaf, init.Normal(0.0, 1.0))
        assert "<b>Normal</b>" in obj._repr_html_()


def test_traced_parameters_are_shown_as_such():
    shown = []

    def objects(std, show):
        objs = init.Normal(0.0 * u.nS, std * u.nS), init.GaussianProfile(std), GAUSS, init.Normal()
        if show:
            shown.extend(obj._repr_html_() for obj in objs)
        return [jnp.asarray(leaf) for leaf in jax.tree.leaves(objs)]

    showing, quiet = (functools.partial(objects, show=show) for show in (True, False))
    assert str(jax.make_jaxpr(showing)(1.0)) == str(jax.make_jaxpr(quiet)(1.0))
    assert rows(shown[0]) == [("mean", "0 nS"), ("std", "traced number")]
    assert rows(shown[1]) == [("sigma", "traced number")]
    assert ["<svg" in text for text in shown] == [False, False, True, True]


def test_no_matplotlib(monkeypatch):
    for name in [*sys.modules]:
        if name.split(".")[0] == "matplotlib":
            monkeypatch.setitem(sys.modules, name, None)
    assert "<svg" in init.Normal()._repr_html_()


def test_shared_parts_are_abbreviated(monkeypatch):
    obj = init.Normal()
    for _ in range(9):  # 512 in full
        obj = obj + obj
    monkeypatch.setattr(display, "find_law", None)  # nor looked up
    assert len(obj._repr_html_()) < 3000
    assert len(display.parameters(obj)) < 2000


def test_draws_on_a_grid_show_all_of_their_multiples():
    shown = init.Normal(1.5, 0.75).on_grid(0.1)._repr_html_()
    stems = [float(x) for x in re.findall(r'<line x1="([\d.]+)"[^>]*stroke="#d55e00"', shown)]
    assert 30 < len(stems) <= 60
    assert max(stems) - min(stems) > 180  # of 232 pixels
    connected = init.Connected(init.Normal(), init.FixedInDegree(3))._repr_html_()
    assert "FixedInDegree(degree = 3" in connected
