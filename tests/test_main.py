"""The command line and its figures."""

import contextlib
import io
import json
import os
import random
import re
import subprocess
import sys

import brainunit as u
import jax
import numpy as np
import pytest
from cases import CASES
from matplotlib import pyplot

import braininit as init
from braininit import files as _files
from braininit import plot
from braininit.__main__ import _COMPARED, Refusal, main, read

NORMAL = "Normal(0.5*nS, 0.1*nS)"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    pyplot.close("all")


def complaint(capsys, *argv):
    """Run a command that fails; return its message, the only line of output."""
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


def test_the_table_compares_draws_with_theory(comparison):
    _, text = comparison
    table = text.split("---\n")[1].split("\n\n")[0]
    rows = [line.split() for line in table.splitlines()]
    assert [row[0] for row in rows] == [expression.split("(")[0] for expression in _COMPARED]
    for row in rows:
        units = [] if row[0] == "VonMises" else ["nS"] * 6  # angles are pure numbers
        assert [word for word in row if word == "nS"] == units
        mean, mean_theory, std, std_theory, least, most = map(float, row[1 :: 2 if units else 1])
        assert abs(mean - mean_theory) <= 5 * std_theory / 5000**0.5
        assert abs(std - std_theory) <= 0.08 * std_theory  # 5 sigma, for the exponential
        assert least <= mean <= most


def test_the_figure_is_saved_and_named(comparison):
    folder, text = comparison
    assert os.listdir(folder) == ["braininit.png"]
    assert f"figure: {folder / 'braininit.png'}" in text
    assert (folder / "braininit.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def without_matplotlib(monkeypatch):
    for name in ("matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)


def test_without_matplotlib_the_table_remains(without_matplotlib, capsys, monkeypatch):
    monkeypatch.setattr("braininit.__main__._COMPARED", ("Constant(0.5*nS)",) * 4)
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


@pytest.mark.parametrize("kind", ["histogram", "cdf", "qq"])
def test_kinds_of_figures(kind, capsys, monkeypatch):
    assert main([NORMAL, "100", "--plot", "w.svg", "--kind", kind]) == 0
    with open("w.svg") as figure:
        labels = {"histogram": "mean of the draws", "cdf": "share at or below", "qq": "quantile in"}
        text = figure.read()
        assert [name for name, words in labels.items() if f"<!-- {words}" in text] == [kind]
    monkeypatch.setattr("braininit.__main__._COMPARED", (NORMAL,) * 4)
    assert main(["--size", "100", "--kind", kind]) == 0
    assert os.path.exists("braininit.png")


def test_kinds_that_cannot_be_drawn(capsys):
    assert "name a file" in complaint(capsys, NORMAL, "10", "--kind", "qq")
    assert "invalid choice: 'pie'" in complaint(capsys, "--kind", "pie")
    mixture = ("Spectral(Normal(), 1)", "3x3", "--plot", "w.png")
    assert "--plot: `dist` must be" in complaint(capsys, *mixture, "--kind", "qq")
    assert not os.listdir()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_dtype(dtype, capsys):
    assert main(["Uniform(1, 1.5)", "50", "--dtype", dtype, "--out", "w.npz"]) == 0
    assert f"{dtype}, no unit" in capsys.readouterr().out
    assert _files.load("w.npz").dtype == dtype
    assert not jax.config.jax_enable_x64


def test_double_precision_reaches_the_check_of_the_parameters():
    assert main(["Uniform(1, 1 + 1e-9)", "5", "--dtype", "float64"]) == 0


def test_theory_of_array_parameters_covers_all_draws(capsys):
    assert main(["Normal([-60, -70]*mV, 5*mV)", "1000x2"]) == 0
    assert "-65.00 mV" in capsys.readouterr().out.splitlines()[5]


def test_theory_of_shifted_and_scaled_draws(capsys):
    assert main(["2*Exponential(2*ms) + 500*us", "1000"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[3:] for row in rows if row[:1] in (["mean"], ["std"])] == [
        ["4.500", "ms"],
        ["4.000", "ms"],
    ]


def test_theory_depends_on_the_size(capsys):
    assert main(["LecunNormal()", "100x4"]) == 0
    assert re.search(r"std +0\.\d+ +0\.1000\n", capsys.readouterr().out)
    assert main(["Conditional([3, 2], Normal(), 1)", "5"]) == 0
    capsys.readouterr()
    for unknown in ("Spectral(Normal(), 1)", "Mixture([Spectral(Normal(), 1)])"):
        assert main([unknown, "3x3"]) == 0
        assert re.search(r"mean +-?\d.* +-\n", capsys.readouterr().out)


def test_unknown_theory_is_a_dash(capsys, monkeypatch):
    monkeypatch.setattr("braininit.theory.lookup.laws", {})
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
def test_an_expression_means_the_same_as_in_python(text):
    assert read(text) == init.get(text) == GOOD[text]


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
        assert read(expression) == init.get(expression) == expected


BAD = {
    "Normal(mean=0, mean=100)": "mean is given twice",
    "Normal(0, mean=100)": "multiple values for argument 'mean'",
    "Normal(mean=0, std=1, mean=0)": "mean is given twice",
    "Normal(0, 1).clip(min_val=0, min_val=1)": "min_val is given twice",
    '{"class": "Normal", "mean": 0, "mean": 100}': "mean is given twice",
    '{"class": "Normal", "mean": [1, true]}': r"`mean\[1\]` must be a number, got True",
    '{"class": "Nromal"}': "the configuration: no initializer is called 'Nromal'; did you mean",
    '{"class": "Custom", "function": "os.system"}': "no initializer is called 'Custom'",
    '{"class": "Normal", "mean": {"array": [1], "dtype": "S1000000000"}}': "`mean` .*dtype S1",
    '{"class": "GaussianProfile", "sigma": 1}': "not a distribution",
    '{"value": 1, "unit": "furlong"}': "names no unit",
    '{"class": "Normal"': "never closed",
    "{1: 2}": "a name in a configuration is a string, not 1",
    "{**1}": "no meaning",
    "{}": "names no class",
    '{"a": ' * 101 + "1" + "}" * 101: "nested more than 100 deep",
    "Normal(0, 1)" + " + 1.0" * 200: "nested more than 100 deep",
    "none.json": "No such file",
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
    "Gamma()": "missing.*'shape'; it is init.Gamma\\(shape, scale=1.0\\)",
    "Gamma(2, sd=1)": "Gamma has no parameter 'sd'; it takes shape, scale",
    "Gamma(1, 2, 3)": "too many",
    "Normal(9**9**9)": "column 8.*too large",
    "Normal(10**400)": "too large",
    "Normal(1" + "0" * 400 + ")": "too large",
    "Normal(" + "9" * 5000 + ")": "digits",
    "Normal(1*nS**1e9)": "the exponent 1000000000.0 is too large",
    "Normal(1*nS**(inf - inf))": "the exponent nan is too large",
    "Normal('a' * 10**9)": "can't calculate with the string a",
    "Normal(2**'a')": "an exponent is a number, not the string a",
    "Normal((-8)**0.5)": "no real power",
    "Normal(1/0)": "division by zero",
    "(" * 300 + "1" + ")" * 300: "nested",
    "+".join("1" * 900): "nested more than 100 deep",
    "[" * 150 + "]" * 150: "nested more than 100 deep",
    "nS": "the unit nS, not a distribution",
    "2*nS": "the quantity 2.* nS, not a distribution",
    "0.5 nS": "the quantity 0.5 nS, not a distribution",
    "0.5 furlong": "'furlong' names no unit",
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
def test_bad_expressions_are_refused_in_one_line(text, capsys):
    with pytest.raises(Refusal, match=BAD[text].replace("a *", r"a \*").replace("?", r"\?")):
        read(text)
    complaint(capsys, text, "10")


@pytest.mark.parametrize("text", BAD)
def test_get_refuses_the_same(text):
    """Except profiles, class names and quantities, which `get` accepts."""
    try:
        obj = init.get(text)
    except (ValueError, TypeError) as error:
        assert str(error)  # noqa: PT017
    else:
        assert "not a distribution" in BAD[text] or text == "Normal"
        assert isinstance(obj, init.Initialization | init.DistanceProfile)


def test_errors_of_get_name_the_column():
    with pytest.raises(ValueError, match="^column 12 of the expression: unknown name nX"):
        init.get("Normal(0.5*nX, 1)")
    with pytest.raises(init.UnitError, match="^column 1 of the expression: `std` in nS and `mean`"):
        init.get("Normal(0*mV, 1*nS)")
    with pytest.raises(TypeError, match="^column 5 of the expression: init.Gamma: missing"):
        init.get("2 * Gamma()")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_configuration_is_an_expression_too(case):
    if str(case) != "Conditional":  # it holds a function
        config = init.to_config(case.make(u.nS))
        assert read(json.dumps(config)) == read(repr(config)) == case.make(u.nS)


def test_a_configuration_by_hand():
    normal = init.Normal(0.5 * u.nS, 100 * u.psiemens)
    text = """{'class': 'Normal', 'mean': 0.5*nS, "std": "100 pS"}"""
    assert read(text) == normal
    assert read('{"value": 1, "unit": "nS"}') == init.Constant(1 * u.nS)
    assert read('{"class": "TruncatedNormal", "low": null, "high": Infinity}') == (
        init.TruncatedNormal(high=np.inf)
    )


def test_a_configuration_in_a_file(capsys):
    with open("normal.json", "w") as file:
        json.dump(init.to_config(init.Normal(0.5 * u.nS, 0.1 * u.nS)), file, indent=1)
    assert main(["normal.json", "10"]) == 0
    assert "unit nS" in capsys.readouterr().out
    with open("bad.JSON", "w", encoding="utf-8-sig") as file:
        file.write('{\n "class": "Normal",\n "mean": what}')
    assert "line 3, column 10 of the expression: unknown name what" in complaint(capsys, "bad.JSON")
    with open("bad.json", "wb") as file:
        file.write(b"\xff\xfe\0")
    assert "the configuration: 'utf-8'" in complaint(capsys, "bad.json")
    os.mkdir("folder.json")
    assert "Is a directory" in complaint(capsys, "folder.json")


def test_random_expressions():
    """Any expression gives a distribution or a refusal in one line."""
    source = random.Random(0)
    good = [*GOOD, *(repr(case.make()) for case in CASES), json.dumps(init.to_config(GOOD[NORMAL]))]
    pieces = [*"()[]{},*+-/=.:'\"\\ \n\0", "**", "nS", "mV", "1e9", "-1", "inf", "None", "u.", "x",
              "Normal", "low=", "µ", "\ud800", "10**400", "[1, 2]", "lambda: ", "clip", "if", "1j",
              "True", "9" * 5000, "{'class': 'Normal'}", "(" * 200]  # fmt: skip
    refusals = []
    for _ in range(400):
        text = list(source.choice(good))
        for _ in range(source.randrange(1, 4)):
            at = source.randrange(len(text) + 1)
            text[at : at + source.randrange(3)] = source.choice(pieces)
        if source.random() < 0.3:
            text = source.choices(pieces, k=source.randrange(12))
        text = "".join(text)
        try:
            assert isinstance(read(text), init.Initialization)
        except Refusal as refusal:
            refusals.append(str(refusal))
        with contextlib.suppress(ValueError, TypeError):
            init.get(text)
    assert 0 < len(refusals) < 400
    assert all("\n" not in text and 0 < len(text) <= 500 for text in refusals)


def test_expressions_are_never_evaluated():
    before = set(sys.modules)
    for text in ("__import__('antigravity')", "exec('import this')", "open('x', 'w')"):
        with pytest.raises(Refusal):
            read(text)
        with pytest.raises(ValueError, match="unknown name"):
            init.get(text)
    assert not {"antigravity", "this"} & (set(sys.modules) - before)
    assert not os.listdir()


# ---------------------------------------------------------------- other bad input


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["0"], "makes 0 draws"),
        (["-5"], "'-5'"),
        (["ten"], "'ten' is not a size: write 1000, 1e6, 100x200 or 100,200"),
        (["1e-3"], "'1e-3'"),
        (["1.5e0"], "'1.5e0'"),
        (["1.5"], "'1.5'"),
        (["1e9"], "makes 1000000000 draws"),
        (["1e99"], "beyond what any machine holds"),
        (["64", "32"], "write 64x32"),
        (["64 32"], "write 64x32"),
        (["64", "32", "2"], "write 64x32x2"),
        (["64", "x"], "'64 x' is not a size"),
        (["x".join("1" * 33)], "the size: a size has 32 axes at most, got 33"),
        (["x".join("1" * 3001)], "32 axes at most, got 3001"),
        (["3x"], "'3x'"),
        ([""], "'' is not a size"),
        (["100000x100000"], "take 1 to 100000000"),
        (["9" * 30], "beyond what any machine holds"),
        (["x".join(["9" * 99] * 60)], "32 axes at most, got 60"),
        (["10", "--size", "5"], "the size once"),
        (["--size", ""], "'' is not a size"),
        (["10", "--sed", "1"], "--sed"),
        (["10", "--seed", "x"], "--seed"),
        (["10", "--dtype", "int32"], "real floating dtype"),
        (["10", "--dtype", "floaty"], "'floaty'"),
        (["10", "--dtype", "complex64"], "complex64"),
        (["10", "--dtype", ""], "--dtype"),
        (["10", "--out", ""], "--out"),
        (["10", "--out", "w.txt"], "must end in .npz"),
        (["10", "--out", "none/w.npz"], "there is no folder"),
        (["10", "--out", "a\0.npz"], "--out"),
        (["10", "--out", "\ud8ff.npz"], "--out"),
        (["10", "--out", "there.npz"], "is not a regular file"),
        (["10", "--out", "pipe.npz"], "is not a regular file"),
        (["10", "--plot", "w.docx"], "must end in"),
        (["10", "--plot", "none/w.png"], "there is no folder"),
        (["10", "--out", "w.npz", "--plot", "none/w.png"], "there is no folder"),
    ],
)
def test_bad_options(argv, message, capsys):
    os.mkdir("there.npz")
    os.mkfifo("pipe.npz")
    assert message in complaint(capsys, NORMAL, *argv)
    assert sorted(os.listdir()) == ["pipe.npz", "there.npz"]


@pytest.mark.parametrize(
    ("size", "shape"),
    [("1e3", (1000,)), ("1.5E1x2", (15, 2)), ("2e+1,3", (20, 3)), ("x".join("1" * 32), (1,) * 32)],
)
def test_sizes(size, shape, capsys):
    assert main(["Constant(1)", size]) == 0
    assert f"shape {shape}, " in capsys.readouterr().out


def test_bad_options_without_an_expression(capsys):
    assert "go with an expression" in complaint(capsys, "--out", "w.npz")
    assert "go with an expression" in complaint(capsys, "--dtype", "float32")
    assert "there is no folder" in complaint(capsys, "--plot", "none/w.png")
    assert "makes 0 draws" in complaint(capsys, "--size", "0")


def test_a_folder_that_is_read_only(capsys, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    assert "--out: [Errno 13] Permission denied" in complaint(capsys, NORMAL, "10", "--out=w.npz")


def test_errors_of_the_draw(capsys):
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


def test_help_lists_every_initializer(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "TruncatedNormal(mean=0.0, std=1.0, low=None, high=None)" in text
    listed = [
        name
        for name, cls in vars(init).items()
        if isinstance(cls, type) and issubclass(cls, init.Initialization)
    ]
    assert all((f"  {name}(" in text) == (name != "Initialization") for name in listed)
    assert "brainunit" in text
    for example in re.findall(r'braininit "(.+?)"', text):
        assert read(example)


def test_as_a_module():
    command = [sys.executable, "-m", "braininit", "Constant(0.5*nS)", "3"]
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(init.__file__))}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "0.5000 nS" in run.stdout


@pytest.fixture
def stdout_into(monkeypatch):
    """Redirect standard output, descriptor included, to another descriptor."""
    saved = os.dup(1)

    def send(descriptor, buffering=-1):
        os.dup2(descriptor, 1)
        os.close(descriptor)
        binary = os.fdopen(1, "wb", buffering, closefd=False)
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(binary, write_through=not buffering))

    yield send
    sys.stdout.flush()
    monkeypatch.undo()
    os.dup2(saved, 1)
    os.close(saved)


@pytest.mark.parametrize(("argument", "buffering"), [("Constant(1)", -1), ("--version", 0)])
def test_a_full_disk(argument, buffering, stdout_into, capsys):
    stdout_into(os.open("/dev/full", os.O_WRONLY), buffering)
    assert main([argument]) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m braininit: error: standard output: ")
    assert "No space left on device" in error
    assert error.count("\n") == 1


def test_a_closed_output(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["Constant(1)"]) == 2
    assert capsys.readouterr().err == "python -m braininit: error: standard output is closed\n"


def test_a_reader_that_closes_its_pipe(stdout_into, capsys):
    read_end, write_end = os.pipe()
    os.close(read_end)
    stdout_into(write_end)
    assert main(["Constant(1)", "3"]) == 0
    assert capsys.readouterr().err == ""


def test_an_ascii_output(monkeypatch):
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding="ascii"))
    assert main(["Constant(1*ohm)", "3", "--out", "µ.npz"]) == 0
    assert rb"\xb5.npz" in stream.getvalue()
