"""Values on disk: saved values load unchanged, and invalid files are refused."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from types import MappingProxyType

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import braininit as init
from braininit import files as _files

UNITS = [None, u.nS, u.nS / u.mm**2, u.ms**-1, u.mV**0.5, u.mA / (u.mm**2 * u.ms), u.mV / u.volt]
NOT_IN_XLA = {"int1", "uint1", "float6_e2m3fn", "float6_e3m2fn"}  # only names in jax.numpy
DTYPES = sorted(
    {np.dtype(t).name for t in vars(jnp).values() if isinstance(t, type(jnp.float32))} - NOT_IN_XLA
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def through_file(values):
    init.save("w.npz", values)
    return init.load("w.npz")


def same(again, values):
    """True if two arrays or Quantities agree in dtype, shape, unit and bits."""
    unit, expected_unit = (getattr(x, "unit", None) for x in (again, values))
    a, b = (np.asarray(u.get_mantissa(x)) for x in (again, values))
    b = b.astype(b.dtype.newbyteorder("="))
    return (unit, a.dtype, a.shape, a.tobytes()) == (expected_unit, b.dtype, b.shape, b.tobytes())


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_round_trips(dtype):
    bare = np.arange(6).astype(dtype).reshape(2, 3)
    values = {str(unit): bare if unit is None else u.Quantity(bare, unit) for unit in UNITS}
    for value in (bare, values["nS"]):
        again = through_file(value)
        assert isinstance(again, u.Quantity) == isinstance(value, u.Quantity)
        assert same(again, value)
        narrow = jax.dtypes.canonicalize_dtype(bare.dtype) == bare.dtype
        assert isinstance(u.get_mantissa(again), jax.Array if narrow else np.ndarray)
    again = through_file(values)
    assert list(again) == list(values)
    assert all(same(again[name], value) for name, value in values.items())


def test_dtypes_include_narrow_and_wide_ones():
    assert {"float32", "bfloat16", "float8_e5m2", "int4", "complex64", "bool", "int64"} < {*DTYPES}


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i2", "i4", "i8", "u4", "c8", "c16"])
def test_other_byte_orders(kind):
    values = np.arange(-1.0, 5.0).astype(kind).reshape(2, 3)
    foreign = values.astype(f">{kind}")
    assert same(through_file(foreign), values)
    assert same(through_file({"w": u.Quantity(foreign, u.mV)})["w"], u.Quantity(values, u.mV))
    # Written by NumPy on such a machine, or by an earlier version of this package.
    np.savez("old.npz", format="braininit 1", values=foreign, dtype=values.dtype.name, unit="")
    assert same(init.load("old.npz"), values)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0, 2), (3, 2, 1), (1,) * 20])
def test_shapes_and_layouts(shape):
    values = np.asfortranarray(np.random.default_rng(0).random(shape))
    for odd in (
        values,
        values.T,
        np.broadcast_to(values, (2, *shape)),
        values[..., None][..., ::-1],
    ):
        assert same(through_file(odd * u.mV), odd * u.mV)
        assert same(through_file(odd.astype(jnp.bfloat16)), odd.astype(jnp.bfloat16))


def test_numbers_sequences_and_sharded_arrays():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    for values in (3, 2.5, True, 1j, [1, 2], [[1.0], [2.0]], range(4), np.float32(3), 3 * u.mV):
        assert np.array_equal(u.get_mantissa(through_file(values)), u.get_mantissa(values))
    assert same(through_file(jax.device_put(jnp.arange(8.0), sharding)), jnp.arange(8.0))


def test_a_mapping_of_names():
    w, tau = init.Normal(0.5 * u.nS, 0.1 * u.nS)(5, rng=0), jnp.ones(3, jnp.bfloat16)
    values = {"w": w, "tau": tau, "values": 1.0, "layer/w": [1, 2], "": 2, "dtype": 3 * u.ms}
    values |= {"ü 神経 🧠": 0, "w.npy": 4, "../up": 5, "file": 6, "unit/x": 7, "format": 8}
    again = through_file(MappingProxyType(values))
    assert list(again) == list(values)
    assert type(again) is dict
    assert same(again["w"], w)
    assert same(again["tau"], tau)
    assert (again["layer/w"].tolist(), again["file"], again["dtype"]) == ([1, 2], 6, 3 * u.ms)
    assert through_file({}) == {}


def test_numpy_reads_the_file():
    init.save("w.npz", jnp.ones(3) * u.nS)
    with np.load("w.npz", allow_pickle=False) as entries:
        assert entries["values"].tolist() == [1, 1, 1]
        assert (str(entries["unit"]), str(entries["dtype"])) == ("nS", "float32")
    init.save("w.npz", {"w": jnp.ones(3) * u.nS})
    with np.load("w.npz", allow_pickle=False) as entries:
        assert entries["values/w"].tolist() == [1, 1, 1]
        assert (str(entries["unit/w"]), str(entries["dtype/w"])) == ("nS", "float32")


# ---------------------------------------------------------------- values that are refused

MASKED = np.ma.masked_greater(np.arange(3.0), 1)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ("text", "got dtype <U4"),
        (b"bytes", "got dtype"),
        (None, "got dtype object"),
        (object(), "got dtype object"),
        ([1, "a"], "got dtype"),
        ([[1, 2], [3]], "got list"),
        ([10**30], "got dtype object"),
        ({1, 2}, "got dtype object"),
        (u.nS, "got dtype object"),
        ([1 * u.nS, 2 * u.nS], "got list"),
        (u.Quantity(MASKED, u.nS), r"is a masked array.*filled"),
        (MASKED, r"is a masked array.*filled"),
        ([MASKED, MASKED], r"is a masked array.*filled"),
        (np.zeros(2, "m8[s]"), "got dtype timedelta64"),
        (np.zeros(2, "M8[s]"), "got dtype datetime64"),
        (np.zeros(2, np.longdouble), "got dtype float128|got dtype longdouble"),
        (np.zeros(2, np.clongdouble), "got dtype"),
        (np.zeros(2, "f4,i4"), "got dtype"),
        (np.zeros(2, "V2"), "got dtype"),
        (np.zeros(2, jax.dtypes.float0), "got dtype"),
        (np.zeros(2, jnp.dtype("int1")), "got dtype int1"),
        (np.zeros(2, jnp.dtype("float6_e2m3fn")), "got dtype float6"),
        (jax.random.key(0), "PRNGKey"),
        (init.Normal(0.0, 1.0), "got dtype object"),
    ],
    ids=lambda x: str(x)[:20],
)
def test_only_numbers_are_saved(values, text):
    with pytest.raises(TypeError, match=f"^`values` .*({text})"):
        init.save("w.npz", values)
    with pytest.raises(TypeError, match=rf"^`values\['a'\]` .*({text})"):
        init.save("w.npz", {"b": 1, "a": values})
    assert not os.listdir()


def test_a_traced_value_is_not_saved():
    with pytest.raises(TypeError, match="`values` must be"):
        jax.eval_shape(lambda x: init.save("w.npz", x), 1.0)
    assert not os.listdir()


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({1: 2.0}, TypeError, "a name in `values` must be a string, got 1"),
        ({"a": {"b": 1.0}}, TypeError, r"`values\['a'\]` .*another mapping; .*'layer/w'"),
        ({"a\0": 1}, ValueError, "printable"),
        ({"a\ud800": 1}, ValueError, "printable"),
        ({"a\\b": 1}, ValueError, "backslash"),
        ({"a" * 201: 1}, ValueError, "at most 200"),
        (1 * u.Unit(u.mV.dim, name="my own", dispname="my"), ValueError, "can't be read back"),
    ],
    ids=lambda x: str(x)[:20],
)
def test_names_and_units_that_cannot_be_written(values, error, text):
    with pytest.raises(error, match=text):
        init.save("w.npz", values)
    assert not os.listdir()


@pytest.mark.parametrize("name", ["weights", "", "w.npz.txt"])
def test_the_name_ends_in_npz(name):
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        init.save(name, jnp.ones(3))


# ---------------------------------------------------------------- files that are refused


def write_entries(**entries):
    """Write a file by hand: the entries of a saved array, updated by `entries`."""
    valid = {"format": "braininit 1", "values": np.ones(3, np.float32), "dtype": "float32"}
    np.savez("bad.npz", **valid | {"unit": ""} | entries)


def assert_refused(name="bad.npz"):
    with pytest.raises(ValueError, match=rf"{name} is not a file that braininit.save") as failure:
        init.load(name)
    return str(failure.value.__cause__)


def test_wrong_files_are_refused():
    with open("zip.npz", "wb") as file:
        file.write(b"PK\x05\x06" + bytes(18))
    with open("text.npz", "w") as file:
        file.write("hello")
    open("empty.npz", "wb").close()
    np.savez("other.npz", values=np.ones(3))
    np.save("array.npy", np.ones(3))
    os.rename("array.npy", "array.npz")
    for name in ("zip", "text", "empty", "other", "array"):
        assert_refused(f"{name}.npz")
    write_entries(format="braininit 9", values=3)
    with pytest.raises(ValueError, match="format 'braininit 9'; .* reads 'braininit 1' and"):
        init.load("bad.npz")
    with pytest.raises(FileNotFoundError):
        init.load("missing.npz")
    for number in (0, 3):
        with pytest.raises(TypeError):
            init.load(number)  # a number would be a file descriptor


@pytest.mark.parametrize(
    "entries",
    [
        {"dtype": "int32"},
        {"dtype": "float16"},
        {"dtype": "uint32"},
        {"dtype": "bfloat16", "values": np.ones(3, np.float16)},
        {"dtype": "bfloat16", "values": np.ones(3, np.uint8)},
        {"dtype": "float32", "values": np.ones(3, np.uint32)},
        {"dtype": "float64"},
        {"dtype": "S1000000000"},
        {"dtype": "object"},
        {"dtype": "m8[s]", "values": np.zeros(3, "m8[s]")},
        {"dtype": "float128", "values": np.zeros(3, np.longdouble)},
        {"dtype": "int1", "values": np.zeros(3, np.uint8)},
        {"dtype": "f4,f4", "values": np.zeros(3, "f4,f4")},
        {"dtype": 3},
        {"dtype": ["float32"]},
        {"dtype": ""},
        {"dtype": "no such"},
        {"values": "text"},
        {"values": np.zeros(3, "V4")},
        {"unit": "furlong"},
        {"unit": "(" * 190 + "mV" + ")" * 190},
        {"unit": "mV^1e300"},
        {"unit": np.float32(1)},
        {"unit": b"mV"},
        {"format": ["braininit 1"]},
        {"format": "b" * 1000},
    ],
    ids=str,
)
def test_inconsistent_entries_are_refused(entries):
    write_entries(**entries)
    began = time.monotonic()
    assert_refused()
    assert time.monotonic() - began < 5


def test_pickles_are_not_read():
    class Trap:
        def __reduce__(self):
            return open, ("trapped", "w")

    for name in ("values", "unit", "format"):
        write_entries(**{name: np.array([Trap()], object)})
        assert_refused()
    assert "trapped" not in os.listdir()


def header(shape, dtype="<f4", rest=b""):
    """Return the bytes of an array's file in NumPy's format, with any header."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + rest


@pytest.mark.parametrize(
    "values",
    [
        header((2**40,)),
        header((2**40,), rest=bytes(12)),
        header((2**31, 2**31, 2**31)),
        header((-1, -3), rest=bytes(12)),
        header((3, -1), rest=bytes(12)),
        header((3,), rest=bytes(13)),
        header((3,), rest=bytes(11)),
        header((3,), "<f9", bytes(27)),
        header((3,), "|O", bytes(24)),
        header((1,) * 100, rest=bytes(4)),
        header((True, 3), rest=bytes(12)),
        header(()).replace(b"'shape': ()", b"'shape': 3 "),
        header((3,), rest=bytes(12)).replace(b"\x01\x00", b"\x09\x00", 1),
        header(()).replace(b"{", b"[", 1),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        b"\x93NUMPY\x01\x00\x00\x20" + b"-" * 8192,
        b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 8192,
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f",
        b"\x93NUMPY",
        b"",
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_headers_that_lie(values):
    write_entries()
    with zipfile.ZipFile("bad.npz") as good:
        entries = {name: good.read(name) for name in good.namelist()}
    with zipfile.ZipFile("bad.npz", "w") as bad:
        for name, data in (entries | {"values.npy": values}).items():
            bad.writestr(name, data)
    began = time.monotonic()
    assert_refused()
    assert time.monotonic() - began < 5


def test_files_that_would_grow_in_memory_are_refused():
    entries = {"format": "braininit 1", "dtype": "float32", "unit": ""}
    np.savez_compressed("bomb.npz", values=np.zeros(1_000_000, np.float32), **entries)
    assert "larger in memory" in assert_refused("bomb.npz")
    # The directory lists the same bytes under many names.
    init.save("many.npz", {f"{i:03}": np.zeros(1000) for i in range(2)})
    with zipfile.ZipFile("many.npz", "a") as archive:
        first = archive.getinfo("values/000.npy")
        for i in range(100):
            entry = zipfile.ZipInfo(f"values/{i + 2:03}.npy")
            entry.header_offset, entry.CRC = first.header_offset, first.CRC
            entry.file_size = entry.compress_size = first.file_size
            archive.filelist.append(entry)
            archive.NameToInfo[entry.filename] = entry
        archive._didModify = True
    assert "larger in memory" in assert_refused("many.npz")


def test_a_mapping_that_lacks_an_entry():
    init.save("w.npz", {"a": 1.0, "b": 2.0})
    with zipfile.ZipFile("w.npz") as good:
        entries = {name: good.read(name) for name in good.namelist()}
    for missing in entries:
        with zipfile.ZipFile("bad.npz", "w") as bad:
            for name, data in entries.items():
                if name != missing:
                    bad.writestr(name, data)
        assert_refused()


def test_damaged_files():
    """Bytes flipped, cut, doubled or random: the file gives its values, or the documented error."""
    rng, refusals = np.random.default_rng(0), []
    for values in ({"a": np.arange(20.0) * u.mV, "b": jnp.ones(3)}, jnp.arange(20.0) * u.nS):
        init.save("w.npz", values)
        with open("w.npz", "rb") as file:
            whole = file.read()
        for i in range(150):
            data, at = bytearray(whole), rng.integers(len(whole))
            if i % 4 == 0:
                data[at] ^= 1 << rng.integers(8)
            elif i % 4 == 1:
                del data[at:]
            elif i % 4 == 2:
                data[at:at] = data[rng.integers(len(data)) :]
            else:
                data[at : at + 8] = rng.bytes(8)
            with open("w.npz", "wb") as file:
                file.write(data)
            try:
                again = init.load("w.npz")
            except ValueError as error:
                refusals.append(str(error))
                continue
            assert type(again) is type(values)
            if isinstance(values, dict):
                assert [*again] == [*values]
                assert all(same(again[name], values[name]) for name in values)
            else:
                assert same(again, values)
    assert 0 < len(refusals) < 300
    assert all("not a file that braininit.save wrote" in text for text in refusals)
    for size in range(100):
        with open("w.npz", "wb") as file:
            file.write(rng.bytes(size * 7))
        assert_refused("w.npz")


# ---------------------------------------------------------------- replacing a file


def test_an_interrupted_save_leaves_the_old_file():
    init.save("w.npz", jnp.ones(3))
    with contextlib.suppress(KeyboardInterrupt), _files.replacing("w.npz") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert os.listdir() == ["w.npz"]
    assert init.load("w.npz").tolist() == [1, 1, 1]


def test_a_link_stays_a_link():
    os.mkdir("data")
    os.symlink(os.path.join("data", "w.npz"), "w.npz")
    for _ in range(2):
        init.save("w.npz", jnp.ones(3))
        assert os.path.islink("w.npz")
        assert os.listdir("data") == ["w.npz"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o444, 0o777])
def test_permissions_stay(mode):
    init.save("w.npz", jnp.ones(3))
    usual = stat.S_IMODE(os.stat("w.npz").st_mode)
    with open("plain", "w"):
        assert usual == stat.S_IMODE(os.stat("plain").st_mode)
    os.chmod("w.npz", mode)
    init.save("w.npz", jnp.zeros(3))
    assert stat.S_IMODE(os.stat("w.npz").st_mode) == mode
    with _files.replacing("w.npz"):
        (draft,) = {*os.listdir()} - {"w.npz", "plain"}
        assert stat.S_IMODE(os.stat(draft).st_mode) == mode  # nobody else reads the draft


def test_only_regular_files_are_replaced():
    os.mkfifo("pipe.npz")
    os.mkdir("folder.npz")
    os.symlink("/dev/null", "null.npz")
    for name in ("pipe", "folder", "null"):
        with pytest.raises(OSError, match=rf"{name}\.npz is not a regular file"):
            init.save(f"{name}.npz", jnp.ones(3))
    assert stat.S_ISFIFO(os.stat("pipe.npz").st_mode)
    assert sorted(os.listdir()) == ["folder.npz", "null.npz", "pipe.npz"]


def test_a_name_of_maximal_length():
    name = "w" * 251 + ".npz"
    init.save(name, jnp.ones(3))
    assert os.listdir() == [name]


WRITING = """
import time
from braininit import files as _files
with _files.replacing("a.npz") as a, _files.replacing("b.npz") as b:
    a.write(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_sigterm_leaves_nothing_behind():
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(init.__file__))}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITING], stdout=subprocess.PIPE, text=True, env=environment
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        rest = process.stdout.read()
    assert (process.returncode, rest, os.listdir()) == (-15, "", [])


def test_a_users_signal_handler_is_restored():
    def handler(*_):
        raise SystemExit(3)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(SystemExit), _files.replacing("a.npz") as file:
            file.write(b"half")
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert os.listdir() == []
