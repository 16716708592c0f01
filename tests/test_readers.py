"""Attacks on readers of expressions, configurations and files: a value, or the documented error.

An audit hook checks that no code runs, no process starts and no file is removed. Memory does not
follow the claims of a header.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import tracemalloc
import zipfile

import brainunit as u
import jax
import numpy as np
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

import braininit as init
from braininit.__main__ import Refusal, read
from braininit._params.values import Value
from braininit.config import classes

# ---------------------------------------------------------------- no code is run

_events: list[str] | None = None
NEVER = ("exec", "subprocess.", "socket.", "ctypes.", "pickle.", "os.system", "os.exec",
         "os.fork", "os.posix_spawn", "os.remove", "os.rename", "os.mkdir")  # fmt: skip


def _watch(name, arguments):
    if _events is not None and name.startswith(NEVER):
        _events.append(name)


sys.addaudithook(_watch)


def safely(reader, source, *errors):
    """Return a reader's result, or its error; fail if it runs code."""
    global _events
    for events in (None, []):  # unwatched first: imports run code at their first use
        _events = events
        try:
            result = reader(source)
        except errors as error:
            assert str(error)  # noqa: PT017
            result = error
        finally:
            _events = None
        assert not events
    event("refused" if isinstance(result, Exception) else "made")
    return result


def test_the_audit_hook_sees_code_that_runs():
    with pytest.raises(AssertionError):
        safely(lambda text: exec(text), "1")


# ---------------------------------------------------------------- expressions

CLASSES = sorted(classes())
NAMES = [*CLASSES, "normal", "nS", "mV", "u.mm", "init.Normal", "np.inf", "math.pi", "inf", "nan",
         "os", "__import__", "x", "True", "None", "µm", "self", "clip", "__class__"]  # fmt: skip
ATOMS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(
        ["0", "-1", "0.5", "1e9", "1e999", "10**400", "9" * 5000, "0x" + "f" * 400, "1j"]
    ),
    st.sampled_from(["'a'", "b'a'", "'0.5 nS'", "f'{1}'", "...", "'\\d'", "[]", "{}", "()", "''"]),
    st.floats().map(repr),
    st.text(max_size=3),
)


def _expressions(part):
    two, several = st.tuples(part, part), st.lists(part, max_size=3)
    name = st.sampled_from([*NAMES, "mean", "std", "low", "base", "scale", "axis", "unit", "op"])
    argument = st.one_of(part, st.tuples(name, part).map("=".join), part.map("*{}".format),
                         part.map("**{}".format))  # fmt: skip
    arguments = st.lists(argument, max_size=4).map(", ".join)
    operators = st.sampled_from(
        ["+", "-", "*", "/", "**", "//", "@", "%", "<", " if ", " or ", " "]
    )
    return st.one_of(
        st.tuples(part, operators, part).map("".join),
        st.tuples(st.sampled_from(NAMES) | part, arguments).map("{0[0]}({0[1]})".format),
        several.map(lambda x: f"[{', '.join(x)}]"),
        st.tuples(part, name).map(".".join),
        st.tuples(part, st.sampled_from(["clip", "add", "multiply", "apply"]), arguments).map(
            "{0[0]}.{0[1]}({0[2]})".format
        ),
        st.lists(two.map(": ".join), max_size=3).map(", ".join).map("{{{}}}".format),
        part.map("({})".format),
        part.map("-{}".format),
        st.tuples(
            st.sampled_from(["lambda: ", "not ", "await ", "yield ", "(x := ", "[*"]), part
        ).map("".join),
    )


@given(st.recursive(ATOMS, _expressions, max_leaves=12) | st.text())
@example("-" * 100_000 + "1")
@example("1" + "+1" * 100_000)
@example("a" + ".b" * 100_000)
@example("f" + "()" * 100_000)
@example("not " * 100_000 + "1")
@example("lambda:" * 50_000 + "1")
@example("Normal(" + "a" * 100_000 + ", 1)")
@example("Normal(" + "[" * 60 + "1" + "]" * 60 + ", 1)")
@example("Normal([1, 2]/0, 1)")
@example("Normal([1e308]*10, 1)")
@example("Normal(1*((nS**100)**100), 1*((uS**100)**100))")
@example("Normal().clip(1).clip(2)")
@example("0.5 mV^99999999999")
def test_any_text_is_an_initializer_or_an_error(text):
    made = safely(init.get, text, ValueError, TypeError)
    if text.strip().lower().endswith(".json"):
        return
    again = safely(read, text, Refusal)
    if isinstance(again, Refusal):
        assert len(str(again)) <= 500
        assert "\n" not in str(again)
    else:
        assert again == made


def test_lists_have_the_operators_that_numbers_have():
    expected = init.Normal(np.array([1.0, 4.0]) * u.mV**2, 1 * u.mV**2)
    assert init.get("Normal([1, 2]**2*mV**2, 1*mV**2)") == expected
    assert init.get("Constant([1, nan, -inf])") == init.Constant([1.0, np.nan, -np.inf])


# ---------------------------------------------------------------- configurations

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(), st.text(max_size=4),
    st.sampled_from(["1 nS", "nS", "inf", "relu", "Normal", "os.system", "exec('1')", "0.5nS",
                     "fan_in", "1e999", 10**400, b"x", 1j, object(), {1}, range(3), np.arange(2.0),
                     np.array("a"), np.zeros((1,) * 40), 2 * u.ms, u.mV, np.float32(1), ...]),
)  # fmt: skip


def _configurations(part):
    name = st.sampled_from(CLASSES)

    @st.composite
    def class_configurations(draw):
        cls = draw(name)
        known = [*classes()[cls].__dataclass_fields__, "unit", "function", "__class__"]
        names = draw(st.lists(st.sampled_from(known), unique=True))
        return {"class": cls} | {n: draw(part) for n in names}

    return st.one_of(
        class_configurations(),
        class_configurations(),
        st.lists(part, max_size=3),
        st.tuples(part, part),
        st.fixed_dictionaries(
            {"value": part, "unit": st.sampled_from(["nS", "1", 3, "", "nS**9", None])}
        ),
        st.fixed_dictionaries(
            {"array": part, "dtype": st.sampled_from(["f4", "S9", "O", None, 3, "int4"])}
        ),
        st.fixed_dictionaries({"complex": part}),
        st.dictionaries(st.text(max_size=3), part, max_size=2),
    )


@given(st.recursive(PLAIN, _configurations, max_leaves=8))
def test_any_data_is_an_initializer_or_an_error(config):
    made = safely(init.get, config, ValueError, TypeError)
    if not isinstance(made, Exception) and not callable(config):
        assert isinstance(made, Value)
        assert init.get(json.loads(json.dumps(init.to_config(made)))) == made


# ---------------------------------------------------------------- files


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit",)


DESCRIPTIONS = ["<f4", ">f4", "|u1", "<U3", "|O", "<f9", "|V4", "<M8[s]", "|b1", "<U1000000000"]
SIZES = [0, 1, 2, 3, -1, 2**31, 2**40, 2**62, True]


@st.composite
def headers(draw):
    """An array's bytes with any header, which may claim too few or too many."""
    shape = tuple(draw(st.lists(st.sampled_from(SIZES), max_size=3)))
    described = {"descr": draw(st.sampled_from(DESCRIPTIONS)), "fortran_order": draw(st.booleans())}
    text = repr(described | {"shape": shape}) + draw(st.sampled_from(["\n", "", "x", "(" * 9000]))
    major = draw(st.sampled_from([1, 1, 1, 2, 3, 9]))
    length = struct.pack(
        "<H" if major == 1 else "<I", draw(st.just(len(text)) | st.integers(0, 65535))
    )
    rest = bytes(draw(st.sampled_from([0, 4, 11, 12, 13, 24])))
    return b"\x93NUMPY" + bytes([major, 0]) + length + text.encode() + rest


def _array(value):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(value), allow_pickle=True)
    return stream.getvalue()


ARRAYS = st.one_of(
    headers(),
    st.binary(max_size=40),
    st.sampled_from(
        ["float32", "bfloat16", "int4", "object", "f4,f4", "S1000000000", "", "mV", "mV^1e300",
         "furlong", "braininit 1", "braininit 2", "a" * 300, np.ones(3, np.float32), np.arange(6.0),
         np.array([Trap()], object), np.array(Trap(), object), np.zeros(3, "V4"), 3, b"mV",
         np.zeros(2, "m8[s]"), np.ones((2, 0)), np.array([1 + 2j]), np.uint16([1, 2])]
    ).map(_array),
)  # fmt: skip
GOOD = {"format": "braininit 1", "values": np.ones(3, np.float32), "dtype": "float32", "unit": "mV"}
ENTRIES = [*GOOD, "values/a", "dtype/a", "unit/a", "values/", "../x", "evil"]


@st.composite
def archives(draw):
    """A file of `save` with some entries and bytes replaced."""
    entries = {name: _array(value) for name, value in GOOD.items()}
    if draw(st.booleans()):
        entries = {n if n == "format" else f"{n}/a": data for n, data in entries.items()}
        entries["format"] = _array("braininit 2")
    for name in draw(st.lists(st.sampled_from(ENTRIES), max_size=3)):
        entries[name] = draw(ARRAYS)
    for name in draw(st.lists(st.sampled_from([*entries]), max_size=1)):
        del entries[name]
    stream, method = io.BytesIO(), draw(st.sampled_from([0, 0, 0, zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    data = bytearray(stream.getvalue())
    directory = data.rfind(b"PK\5\6"), data.find(b"PK\1\2")
    for _ in range(draw(st.integers(0, 2))):  # mostly sizes and offsets
        at = draw(st.sampled_from(directory)) + draw(st.integers(4, 45))
        value = draw(st.sampled_from([0, 1, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFF0]))
        data[at : at + 4] = struct.pack("<I", value)
    return bytes(data)


@given(archives())
def test_any_file_is_values_or_an_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "attack.npz"
    path.write_bytes(data)
    tracemalloc.start()
    values = safely(init.load, path, ValueError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000 + 8 * len(data)  # the parser takes 5 MB for 9,000 parentheses
    if not isinstance(values, ValueError):
        arrays = [u.get_mantissa(x) for x in jax.tree.leaves(values, is_leaf=u.math.is_quantity)]
        assert all(isinstance(x, (jax.Array, np.ndarray)) for x in arrays)
        assert sum(x.nbytes for x in arrays) <= len(data)
