"""Values on disk: an ``.npz`` file that holds the numbers, their dtype and their unit."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import secrets
import signal
import stat
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from braininit._params.reader import number_dtype
from braininit._params.types import Loaded
from braininit._params.units import LONGEST

__all__ = ["load", "replacing", "save"]

_ONE, _NAMED = "braininit 1", "braininit 2"


def save(path: str | os.PathLike[str], values: Any) -> None:
    """Write values and their unit to an ``.npz`` file.

    The file appears whole or not at all: an old file stays until the new one is complete, which
    keeps its permissions. `numpy.load` reads the file too: its entries are ``values``, ``dtype``
    and ``unit``, or ``values/w``, ``dtype/w`` and ``unit/w`` for each name ``w``. A dtype that
    NumPy does not know is stored as the unsigned integers of its bits.

    Parameters
    ----------
    path : str or path
        The file to write; it ends in ``.npz``.
    values : array, Quantity, or mapping of names to these
        Of any numeric dtype of JAX, bfloat16 and the 8-bit floats included.

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``, or a name or a unit can't be written.
    TypeError
        If `values` are not numbers, or a mapping contains another mapping.
    OSError
        If the file can't be written, or `path` is a pipe, a device or a folder.

    Examples
    --------
    >>> import pathlib, tempfile, brainunit as u, braininit as init
    >>> weights = init.Normal(0.5 * u.nS, 0.1 * u.nS)(1000, rng=42)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "weights.npz"
    ...     init.save(file, weights)
    ...     again = init.load(file)
    >>> bool((again == weights).all())
    True
    """
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"`path` must end in .npz, got {os.fspath(path)!r}")
    with replacing(path) as file:
        write(file, values)


def write(file: BinaryIO, values: Any) -> None:
    """Write values and their unit to an open file."""
    if not isinstance(values, Mapping):
        np.savez(file, format=_ONE, **_entries("values", "", values))
        return
    entries: dict[str, Any] = {"format": _NAMED}
    for name, value in values.items():
        if not isinstance(name, str):
            raise TypeError(f"a name in `values` must be a string, got {name!r}")
        if not (name.isprintable() and len(name) <= LONGEST and "\\" not in name):
            raise ValueError(
                f"a name in `values` has at most {LONGEST} characters, all of them printable, "
                f"and no backslash; got {name[:LONGEST]!r}"
            )
        entries |= _entries(f"values[{name!r}]", f"/{name}", value)
    np.savez(file, **entries)


def _entries(name: str, suffix: str, values: Any) -> dict[str, Any]:
    """An array, its dtype and its unit, as named entries of the file."""
    bare, unit = values, ""
    if isinstance(values, u.Quantity):
        bare, unit = values.mantissa, _unit_name(values.unit)
    if any(isinstance(x, np.ma.MaskedArray) for x in jax.tree.leaves(bare)):
        raise TypeError(f"`{name}` is a masked array; fill it first, as in a.filled(0)")
    domain = f"`{name}` must be an array of numbers or a Quantity"
    if isinstance(bare, Mapping):
        raise TypeError(f"{domain}, got another mapping; join the names, as in 'layer/w'")
    try:
        numbers = np.asarray(bare)
    except Exception as error:
        raise TypeError(f"{domain}, got {type(bare).__name__}: {error}") from error
    dtype = number_dtype(name, numbers.dtype)
    numbers = numbers.astype(dtype, copy=False).view(_stored(dtype))
    return {f"values{suffix}": numbers, f"dtype{suffix}": dtype.name, f"unit{suffix}": unit}


def load(path: str | os.PathLike[str]) -> Loaded:
    """Read a file that `save` wrote.

    Parameters
    ----------
    path : str or path
        The file to read.

    Returns
    -------
    jax.Array, Quantity, or dict of these
        Values, dtype and unit as saved. 64-bit values are NumPy arrays unless ``jax_enable_x64``
        is set: JAX would drop half of their digits.

    Raises
    ------
    ValueError
        If `save` did not write the file.
    OSError
        If the file can't be read.

    See Also
    --------
    save : with an example of both.
    """
    with open(os.fspath(path), "rb") as file:
        try:
            form, values = _read(file)
        except Exception as error:  # any other file may raise any error
            raise ValueError(
                f"{os.fspath(path)} is not a file that braininit.save wrote, or it is damaged"
            ) from error
    if values is None:
        raise ValueError(
            f"{os.fspath(path)} has the format {form!r}; this version reads {_ONE!r} and {_NAMED!r}"
        )
    return values


def _read(file: BinaryIO) -> tuple[str, Any]:
    """The format of a file and its values, None if the format is unknown."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        size = os.fstat(file.fileno()).st_size
        # `save` does not compress: its files take no more memory than disk space.
        if any(e.compress_type for e in entries) or sum(e.file_size for e in entries) > size:
            raise ValueError("the file would become larger in memory")
        form = _text(archive, "format")
        if form not in (_ONE, _NAMED):
            return form, None
        suffixes = [e.filename[6:-4] for e in entries if e.filename.startswith("values")]
        if len(entries) != 1 + 3 * len(suffixes):
            raise ValueError("an entry is missing or has another name")
        values = {suffix[1:]: _values(archive, suffix) for suffix in suffixes}
        return form, values[""] if form == _ONE else values


def _values(archive: zipfile.ZipFile, suffix: str) -> Any:
    dtype = number_dtype("values", _text(archive, f"dtype{suffix}"))
    numbers, unit = _array(archive, f"values{suffix}"), _text(archive, f"unit{suffix}")
    if numbers.dtype.newbyteorder("=") != _stored(dtype):
        raise ValueError(f"the numbers are stored as {numbers.dtype}, but declared {dtype}")
    numbers = numbers.astype(_stored(dtype), copy=False).view(dtype)
    if jax.dtypes.canonicalize_dtype(dtype) == dtype:
        numbers = jnp.asarray(numbers)
    return u.Quantity(numbers, u.parse_unit(unit)) if unit else numbers


def _text(archive: zipfile.ZipFile, name: str) -> str:
    text = _array(archive, name)
    if text.dtype.kind != "U" or text.ndim or len(str(text)) > LONGEST:
        raise ValueError(f"{name} is not a short text")
    return str(text)


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One entry, if it has its declared size: NumPy allocates that much before it reads."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        if math.prod(shape) * dtype.itemsize != entry.file_size - stream.tell():
            raise ValueError(f"{name} does not have its declared size")
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)


def _unit_name(unit: u.Unit) -> str:
    """The name of a unit, if it can be read back; empty without a unit."""
    if unit.is_unitless and unit.magnitude == 1:
        return ""
    name = str(unit)
    with contextlib.suppress(Exception):
        if len(name) <= LONGEST and u.parse_unit(name) == unit:
            return name
    raise ValueError(f"the unit {name} can't be read back by its name; convert the values first")


def _stored(dtype: np.dtype) -> np.dtype:
    """The dtype in the file: unsigned integers for JAX's own dtypes, which NumPy would lose."""
    return np.dtype(f"uint{8 * dtype.itemsize}") if dtype.isbuiltin == 2 else dtype


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` on success, and is removed after an error."""
    target = Path(os.path.realpath(path))  # replace the target of a link, not the link
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}")
    old = target.stat().st_mode if target.exists() else None
    if old is not None and not stat.S_ISREG(old):
        raise FileExistsError(f"{os.fspath(path)} is not a regular file; it stays as it is")
    mode = 0o666 if old is None else stat.S_IMODE(old)
    # In the folder of the target: `os.replace` is atomic only within a file system. Not by
    # tempfile, whose files are readable by their owner alone.
    draft = target.with_name(f".braininit-{secrets.token_hex(8)}.tmp")
    with _sigterm_unwinds():
        try:
            with open(draft, "xb", opener=functools.partial(os.open, mode=mode)) as file:
                if old is not None:
                    draft.chmod(mode)  # the umask may have removed permissions
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, target)
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Run `finally` before SIGTERM ends the process, unless the program handles the signal."""

    def stop(number: int, frame: Any) -> None:
        raise _Terminated

    main = threading.current_thread() is threading.main_thread()  # only it may set handlers
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Terminated(BaseException):
    """SIGTERM has arrived."""
