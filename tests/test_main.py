"""The command line, the files it writes, the pictures it draws."""

import contextlib
import io
import os
import re
import subprocess
import sys

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import pyplot

import braininit as init
from braininit import _files, plot
from braininit.__main__ import _NINE, Refusal, distributions, main, read

NORMAL = "Normal(0.5*nS, 0.1*nS)"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    pyplot.close("all")


def complaint(capsys, *argv):
    """What the command line says on stderr when it refuses: one line, and nothing else."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m braininit: error: ")
    assert err.count("\n") == 1
    assert len(err) < 600
    return err.rstrip()


# ---------------------------------------------------------------- without arguments


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("comparison"), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        assert main([]) == 0
    return folder, out.getvalue()


def test_the_nine_with_their_theory(comparison):
    _, text = comparison
    rows = [line.split() for line in text.splitlines() if " nS" in line]
    assert [row[0] for row in rows] == [expression.split("(")[0] for expression in _NINE]
    for row in rows:
        assert row[2::2] == ["nS"] * 6
        mean, mean_theory, std, std_theory, least, most = map(float, row[1::2])
        assert abs(mean - mean_theory) <= 5 * std_theory / 5000**0.5
        assert abs(std - std_theory) <= 0.08 * std_theory  # 5 sigma, for the exponential
        assert least <= mean <= most


def test_the_figure_and_where_it_went(comparison):
    folder, text = comparison
    assert os.listdir(folder) == ["braininit.png"]
    assert f"figure: {folder / 'braininit.png'}" in text
    assert (folder / "braininit.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def without_matplotlib(monkeypatch):
    for name in ("matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)


def test_without_matplotlib_the_table_remains(without_matplotlib, capsys, monkeypatch):
    monkeypatch.setattr("braininit.__main__._NINE", ("Constant(0.5*nS)",) * 4)
    assert main(["--size", "3"]) == 0
    out, err = capsys.readouterr()
    assert out.count("Constant") >= 4
    assert err.count("\n") == 1
    assert 'pip install "braininit[plot]"' in err
    assert not os.listdir()


def test_a_figure_asked_for_needs_matplotlib(without_matplotlib, capsys):
    assert "braininit[plot]" in complaint(capsys, "--plot", "x.png")
    assert "braininit[plot]" in complaint(capsys, NORMAL, "10", "--plot", "x.png")
    with pytest.raises(ImportError, match=re.escape("braininit[plot]")):
        plot.histogram(np.ones(3))


# ---------------------------------------------------------------- with an expression


def test_draws_summarises_and_writes(capsys):
    argv = (NORMAL, "100x20", "--seed", "7", "--out", "w.npz", "--plot", "w.svg")
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "shape (100, 20), float32, unit nS, seed 7" in out
    mean = next(line.split() for line in out.splitlines() if line.startswith("mean"))
    assert abs(float(mean[1]) - 0.5) < 0.02
    assert mean[2:] == ["nS", "0.5000", "nS"]
    values = _files.load("w.npz")
    expected = init.Normal(0.5 * u.nS, 0.1 * u.nS)((100, 20), rng=7)
    assert values.unit == u.nS
    np.testing.assert_array_equal(values.mantissa, expected.mantissa)
    assert sorted(os.listdir()) == ["w.npz", "w.svg"]
    assert "w.npz" in out
    with open("w.svg") as figure:
        assert "<svg" in figure.read()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_dtype(dtype, capsys):
    assert main(["Uniform(1, 1.5)", "50", "--dtype", dtype, "--out", "w.npz"]) == 0
    assert f"{dtype}, no unit" in capsys.readouterr().out
    assert _files.load("w.npz").dtype == dtype
    assert not jax.config.jax_enable_x64


def test_double_precision_reaches_the_check_of_the_parameters():
    assert main(["Uniform(1, 1 + 1e-9)", "5", "--dtype", "float64"]) == 0


def test_theory_of_array_parameters_is_that_of_all_draws(capsys):
    assert main(["Normal([-60, -70]*mV, 5*mV)", "1000x2"]) == 0
    assert "-65.00 mV" in capsys.readouterr().out.splitlines()[5]


def test_no_theory_is_said_so(capsys, monkeypatch):
    monkeypatch.setattr("braininit.theory.laws", {})
    assert main(["Constant(1*ms)", "3"]) == 0
    assert re.search(r"mean +1.000 ms +-\n", capsys.readouterr().out)


def test_infinite_values_have_a_summary_too(capsys):
    assert main(["Constant(inf)", "3"]) == 0
    assert "inf" in capsys.readouterr().out


# ---------------------------------------------------------------- expressions

GOOD = {
    NORMAL: init.Normal(0.5 * u.nS, 0.1 * u.nS),
    "init.Normal(mean=-65*u.mV, std=+4*u.mV)": init.Normal(-65 * u.mV, 4 * u.mV),
    "LogNormal(1.5*nS/mm**2, 1*u.nS/u.mm**2)": init.LogNormal(
        1.5 * u.nS / u.mm**2, 1 * u.nS / u.mm**2
    ),
    "Uniform(0*pS, 2*nsiemens - 500*psiemens)": init.Uniform(0 * u.psiemens, 1.5 * u.nS),
    "Uniform(-2**2, 9**3 / 3)": init.Uniform(-4.0, 243.0),
    "Exponential((1 + 1) * ms)": init.Exponential(2 * u.ms),
    "Gamma(2, 3/ms)": init.Gamma(2.0, 3 * u.kHz),
    "Normal([-60, -70]*mV, 5*mV)": init.Normal(np.array([-60.0, -70.0]) * u.mV, 5 * u.mV),
    "Normal([1*mV, 2*mV], 5*mV)": init.Normal(np.array([1.0, 2.0]) * u.mV, 5 * u.mV),
    "Normal([1, 2.5])": init.Normal([1.0, 2.5]),
    "TruncatedNormal(0, 1, -np.inf, 3)": init.TruncatedNormal(0.0, 1.0, -np.inf, 3.0),
    "TruncatedNormal(0, 1, None, 3)": init.TruncatedNormal(0.0, 1.0, None, 3.0),
    "ZeroInit(mV/ms)": init.ZeroInit(u.mV / u.ms),
    "OneInit(unit='nS')": init.OneInit("nS"),
    " Constant(1*mV/uV) ": init.Constant(1000.0),
}


@pytest.mark.parametrize("text", GOOD)
def test_an_expression_is_what_python_makes_of_it(text):
    assert read(text) == GOOD[text]


def test_the_names_are_those_of_the_package():
    found = distributions()
    assert {"Constant", "TruncatedNormal", "Weibull"} <= set(found)
    assert "Initialization" not in found
    assert all(getattr(init, name) is cls for name, cls in found.items())


def test_nested_initializers_and_their_operators():
    normal = init.Normal(0.5 * u.nS, 0.1 * u.nS)
    text = "Normal(0.5*nS, 0.1*nS)"
    for expression, expected in {
        f"2 * {text} + 0.1*nS": 2 * normal + 0.1 * u.nS,
        f"0.1*nS + -{text}": (normal * -1).__radd__(0.1 * u.nS),
        "nS * KaimingNormal()": init.KaimingNormal().__rmul__(u.nS),
        f"{text}**2": normal**2,
        f"{text}.clip(0*nS, max_val=1*nS)": normal.clip(0 * u.nS, 1 * u.nS),
        f"Mixture([{text}, {text}*2], weights=[0.3, 0.7])": init.Mixture(
            [normal, normal * 2], [0.3, 0.7]
        ),
        f"Truncated({text}, low=0*nS)": init.Truncated(normal, 0 * u.nS),
    }.items():
        assert read(expression) == expected


BAD = {
    "Normal(0, 1).apply(3)": "has no meaning here",
    "nS.clip(0)": "has no .clip",
    "Normal(0*nS, 1*nS).clip(1*mV)": "`min_val` in mV",
    "": "empty",
    "Normal(": "column 7.*never closed",
    "Normal(0.5 nS, 1)": "column 8.*a unit follows a *",
    "Normal(0.5nS, 1)": "a unit follows a *",
    "Normal(0, 1); Normal(0, 1)": "column 13",
    "x = 1": "column 3",
    "Nrmal(0, 1)": "column 1.*unknown name Nrmal; did you mean Normal?",
    "lognormal(1, 1)": "did you mean LogNormal?",
    "Normal(0.5*nX, 1)": "column 12.*unknown name nX",
    "Normal(0*nS, 1*Ns)": "column 16.*Ns; did you mean nS?",
    "Normal(u.math, 1)": "unknown name math",
    "init.seed(3)": "unknown name seed",
    "Normal(0*mV, 1*nS)": "`std` in nS and `mean` in mV",
    "Normal(0*mV, 1 + 1*nS)": "column 14.*bare number",
    "Normal(1*mV, 1)": "bare number beside `mean` in mV",
    "Normal(1*nS + 1*mV)": "column 8.*differ in dimension",
    "Normal(0, -1*nS)": "must be non-negative, got -1 nS",
    "Uniform(3, 2)": "`low` must be less than `high`",
    "Normal(nS, nS)": "write 1 \\* u.nS",
    "Gamma()": "missing.*'shape'; it is Gamma\\(shape, scale=1.0\\)",
    "Gamma(2, sd=1)": "'sd'; it is Gamma",
    "Gamma(1, 2, 3)": "too many",
    "Normal(9**9**9)": "column 8.*too large",
    "Normal(10**400)": "too large",
    "Normal(1" + "0" * 400 + ")": "too large",
    "Normal(" + "9" * 5000 + ")": "digits",
    "Normal(1*nS**1e9)": "the exponent 1000000000.0 is too large",
    "Normal(2**'a')": "an exponent is a number, not the string a",
    "Normal((-8)**0.5)": "no real power",
    "Normal(1/0)": "division by zero",
    "(" * 300 + "1" + ")" * 300: "nested",
    "+".join("1" * 900): "nested more than 50 deep",
    "[" * 90 + "]" * 90: "nested more than 50 deep",
    "nS": "the unit nS, not a distribution",
    "2*nS": "the quantity 2.* nS, not a distribution",
    "Normal": "without its \\(...\\)",
    "Normal(2*Normal)": "can't calculate with the name Normal",
    "Normal(0, 1)(3)": "can't be called",
    "nS(3)": "can't be called",
    "Normal(1j)": "'1j' has no meaning",
    "Normal(*[1])": "no meaning",
    "Normal(**{})": "no meaning",
    "Normal(1 if 1 else 2)": "no meaning",
    "__import__('os').system('ls')": "no meaning",
    "().__class__": "no meaning",
    "Normal.__init__": "no meaning",
    "(lambda: 1)()": "no meaning",
    "f'{1}'": "no meaning",
    "Normal('a')": "`mean` must be a number",
    "Normal(None)": "`mean` must be a number",
    "Normal([[1, 2], [3]])": "array of numbers",
    "Normal(1 \0)": "null",
    "\udcff": "can't be read",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_expression_is_told_in_one_line(text, capsys):
    with pytest.raises(Refusal, match=BAD[text].replace("a *", r"a \*").replace("?", r"\?")):
        read(text)
    complaint(capsys, text, "10")


def test_nothing_of_an_expression_is_evaluated():
    before = set(sys.modules)
    for text in ("__import__('antigravity')", "exec('import this')", "open('x', 'w')"):
        with pytest.raises(Refusal):
            read(text)
    assert not {"antigravity", "this"} & (set(sys.modules) - before)
    assert not os.listdir()


# ---------------------------------------------------------------- other bad input


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["0"], "makes 0 draws"),
        (["-5"], "'-5'"),
        (["ten"], "'ten' is not one: write 1000, 100x200 or 100,200"),
        (["1e3"], "'1e3'"),
        (["3x"], "'3x'"),
        ([""], "the size ''"),
        (["100000x100000"], "take 1 to 100000000"),
        (["9" * 30], "take 1 to"),
        (["10", "--size", "5"], "the size once"),
        (["10", "20"], "20"),
        (["10", "--sed", "1"], "--sed"),
        (["10", "--seed", "x"], "--seed"),
        (["10", "--dtype", "int32"], "real floating dtype"),
        (["10", "--dtype", "floaty"], "'floaty'"),
        (["10", "--dtype", "complex64"], "complex64"),
        (["10", "--dtype", ""], "--dtype"),
        (["10", "--out", ""], "--out"),
        (["10", "--out", "w.txt"], "must end in .npz"),
        (["10", "--out", "none/w.npz"], "there is no folder"),
        (["10", "--out", "there.npz"], "there is a folder of that name"),
        (["10", "--plot", "w.docx"], "must end in"),
        (["10", "--plot", "none/w.png"], "there is no folder"),
        (["10", "--out", "w.npz", "--plot", "none/w.png"], "there is no folder"),
    ],
)
def test_bad_options(argv, message, capsys):
    os.mkdir("there.npz")
    assert message in complaint(capsys, NORMAL, *argv)
    assert os.listdir() == ["there.npz"]


def test_bad_options_without_an_expression(capsys):
    assert "go with an expression" in complaint(capsys, "--out", "w.npz")
    assert "go with an expression" in complaint(capsys, "--dtype", "float32")
    assert "there is no folder" in complaint(capsys, "--plot", "none/w.png")
    assert "makes 0 draws" in complaint(capsys, "--size", "0")


def test_a_folder_that_is_read_only(capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "can't be written to" in complaint(capsys, NORMAL, "10", "--out", "w.npz")


def test_what_fails_at_the_draw(capsys):
    assert "does not broadcast" in complaint(capsys, "Constant([1, 2, 3])", "10")
    message = complaint(capsys, "Constant(inf)", "3", "--out", "w.npz", "--plot", "w.png")
    assert "infinite" in message
    assert not os.listdir()


@pytest.mark.parametrize("failing", ["savefig", "savez"])
def test_both_files_or_none(failing, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with open("w.npz", "w") as old:
        old.write("old")
    owner = "numpy" if failing == "savez" else "matplotlib.figure.Figure"
    monkeypatch.setattr(f"{owner}.{failing}", full)
    message = complaint(capsys, "Constant(1)", "3", "--out", "w.npz", "--plot", "w.png")
    assert "No space left" in message
    assert os.listdir() == ["w.npz"]
    with open("w.npz") as old:
        assert old.read() == "old"


def test_help_lists_what_there_is(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "TruncatedNormal(mean=0.0, std=1.0, low=None, high=None)" in text
    assert all(f"  {name}(" in text for name in distributions())
    assert "brainunit" in text
    for example in re.findall(r'braininit "(.+?)"', text):
        assert read(example)


def test_as_a_module():
    command = [sys.executable, "-m", "braininit", "Constant(0.5*nS)", "3"]
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(init.__file__))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.5000 nS" in done.stdout


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("unit", [None, u.nS, u.nS / u.mm**2, u.ms**-1, u.mV**0.5], ids=str)
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "int4", "int32", "complex64"]
)
def test_files_round_trip(dtype, unit):
    array = jnp.arange(6).astype(dtype).reshape(2, 3)
    values = array if unit is None else u.Quantity(array, unit)
    _files.save("w.npz", values)
    again = _files.load("w.npz")
    assert isinstance(again, u.Quantity) == (unit is not None)
    assert again.dtype == dtype
    bare = again if unit is None else again.mantissa
    assert isinstance(bare, jax.Array)
    assert unit is None or again.unit == unit
    np.testing.assert_array_equal(np.asarray(bare), np.asarray(array))


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 2, 1)])
def test_shapes_and_double_precision_round_trip(shape):
    values = np.asfortranarray(np.random.default_rng(0).random(shape))
    _files.save("w.npz", values * u.mV)
    again = _files.load("w.npz")
    assert again.mantissa.dtype == np.float64  # a NumPy array, as JAX would cut it
    np.testing.assert_array_equal(again.mantissa, values)
    _files.save("w.npz", jnp.zeros(shape, jnp.bfloat16))
    assert _files.load("w.npz").shape == shape


def test_numpy_reads_the_file():
    _files.save("w.npz", jnp.ones(3) * u.nS)
    with np.load("w.npz", allow_pickle=False) as entries:
        assert entries["values"].tolist() == [1, 1, 1]
        assert (str(entries["unit"]), str(entries["dtype"])) == ("nS", "float32")


@pytest.mark.parametrize("values", ["text", None, {"a": 1}, object(), [1, "a"]])
def test_only_numbers_are_saved(values):
    with pytest.raises(TypeError, match="`values` must be"):
        _files.save("w.npz", values)
    assert not os.listdir()


def test_the_name_ends_in_npz():
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        _files.save("weights", jnp.ones(3))


def test_wrong_files_are_refused():
    with open("zip.npz", "wb") as file:
        file.write(b"PK\x05\x06" + bytes(18))
    with open("text.npz", "w") as file:
        file.write("hello")
    np.savez("other.npz", values=np.ones(3))
    np.save("array.npy", np.ones(3))
    with open("array.npy", "rb") as a, open("array.npz", "wb") as b:
        b.write(a.read())
    _files.save("cut.npz", jnp.ones(1000))
    os.truncate("cut.npz", 2000)
    np.savez("pickle.npz", format="braininit 1", values=np.array([{}]), dtype="float32", unit="")
    for name in ("zip", "text", "other", "array", "cut", "pickle"):
        with pytest.raises(ValueError, match=rf"{name}\.npz is not a file that braininit.save"):
            _files.load(f"{name}.npz")
    np.savez("new.npz", format="braininit 9", values=np.ones(1), dtype="float64", unit="")
    with pytest.raises(ValueError, match="format 'braininit 9'"):
        _files.load("new.npz")
    with pytest.raises(FileNotFoundError):
        _files.load("missing.npz")


def test_an_interrupted_save_leaves_the_old_file():
    _files.save("w.npz", jnp.ones(3))
    with contextlib.suppress(KeyboardInterrupt), _files.replacing("w.npz") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert os.listdir() == ["w.npz"]
    assert _files.load("w.npz").tolist() == [1, 1, 1]


def test_a_link_stays_a_link():
    os.mkdir("data")
    os.symlink(os.path.join("data", "w.npz"), "w.npz")
    _files.save("w.npz", jnp.ones(3))
    assert os.path.islink("w.npz")
    assert os.listdir("data") == ["w.npz"]


# ---------------------------------------------------------------- pictures


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_histogram_shows_units_theory_and_mean():
    dist = init.Normal(0.5 * u.nS, 0.1 * u.nS)
    draws = dist(1000, rng=0)
    ax = plot.histogram(draws, dist)
    assert ax.get_xlabel() == "value (nS)"
    assert ax.get_ylabel() == "density (1/nS)"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        *("draws", "theory", "mean of the draws")
    ]
    assert texts(ax)[0] == "mean = 0.5 nS, std = 0.1 nS"
    assert texts(ax)[1] == f"mean {draws.mantissa.mean():.4g} nS\ntheory 0.5 nS"
    curve = ax.lines[0].get_ydata()
    np.testing.assert_allclose(curve.max(), 1 / (0.1 * np.sqrt(2 * np.pi)), rtol=1e-3)


def test_histogram_is_in_the_unit_of_the_values():
    dist = init.Normal(0.5 * u.nS, 0.1 * u.nS)
    ax = plot.histogram(dist(1000, rng=0).in_unit(u.psiemens), dist, pyplot.figure().subplots())
    assert ax.get_ylabel() == "density (1/pS)"
    assert "theory 500 pS" in texts(ax)[1]
    np.testing.assert_allclose(ax.lines[0].get_ydata().max(), 4 / 1000, rtol=0.01)


def test_histogram_of_values_alone():
    ax = plot.histogram([[1.0, 2.0], [3.0, 4.0]])
    assert (ax.get_title("left"), ax.get_xlabel(), len(ax.lines)) == ("", "value", 1)
    ax = plot.histogram(jnp.full(5, 2.0) * u.ms, init.Constant(2 * u.ms))
    assert ax.get_ylabel() == "every draw is the same"


def test_a_cut_tail_is_counted():
    values = np.r_[np.linspace(0, 1, 1000), 1e6]
    assert plot.histogram(values).get_xlabel() == "value, 1 draw beyond"


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros(0), ValueError, "empty"),
        (np.array([1.0, np.nan, np.inf]), ValueError, "2 of 3 values"),
        (np.ones(2, complex), TypeError, "complex"),
    ],
)
def test_what_has_no_histogram(values, error, message):
    with pytest.raises(error, match=message):
        plot.histogram(values)


def test_values_of_another_dimension():
    with pytest.raises(init.UnitError):
        plot.histogram(np.ones(3) * u.mV, init.Normal(0.5 * u.nS, 0.1 * u.nS))


def test_compare_has_a_panel_for_each():
    def own(key, shape, dtype=None):
        return jax.random.normal(key, shape, dtype)

    dists = {"a": init.Uniform(0.0, 1.0), "b": init.Uniform(0.0, 1.0), "own": own}
    figure = plot.compare(dists, (20, 10), rng=jax.random.key(1), columns=2)
    a, b, third, spare = figure.axes
    assert [ax.get_title("left") for ax in (a, b, third)] == ["a", "b", "own"]
    assert texts(a)[1] != texts(b)[1]  # each draws by a key of its own
    assert not spare.axison
    assert len(plot.compare([init.ZeroInit(u.nS)], 10).axes) == 1
    with pytest.raises(ValueError, match="at least one"):
        plot.compare([])
