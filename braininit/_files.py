"""Values on disk: an ``.npz`` file that holds the numbers, their dtype and their unit."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["load", "replacing", "save"]

_FORMAT = "braininit 1"


def save(path: str | os.PathLike[str], values: Any) -> None:
    """Write values and their unit to an ``.npz`` file.

    The file appears whole or not at all: an old one stays until the new one is complete.

    Parameters
    ----------
    path : str or path
        Where to; it ends in ``.npz``.
    values : array or Quantity
        Of any number dtype, bfloat16 and the 8-bit floats included.

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``, or the unit can't be written by name.
    TypeError
        If `values` are not numbers.

    Notes
    -----
    `numpy.load` reads the file too: ``values``, ``dtype`` and ``unit`` are its entries.
    A dtype that NumPy does not know is stored as the unsigned integers of its bits.

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
    with replacing(_npz(path)) as file:
        write(file, values)


def write(file: BinaryIO, values: Any) -> None:
    """Write values and their unit to an open file."""
    bare, unit = values, ""
    if isinstance(values, u.Quantity):
        bare, unit = values.mantissa, _named(values.unit)
    numbers = np.asarray(bare)
    dtype = numbers.dtype
    if not jnp.issubdtype(dtype, np.number) and dtype.kind != "b":
        raise TypeError(f"`values` must be an array of numbers or a Quantity, got dtype {dtype}")
    if dtype.kind == "V":  # NumPy would write void and forget which dtype it was
        numbers = np.ascontiguousarray(numbers).view(_bits(dtype)).reshape(numbers.shape)
    np.savez(file, format=_FORMAT, values=numbers, dtype=dtype.name, unit=unit)


def load(path: str | os.PathLike[str]) -> Any:
    """Read what `save` wrote.

    Parameters
    ----------
    path : str or path
        Where from.

    Returns
    -------
    jax.Array or Quantity
        Values, dtype and unit as they were saved. A 64-bit dtype comes as a NumPy
        array unless ``jax_enable_x64`` is set: JAX would drop half of its digits.

    Raises
    ------
    ValueError
        If the file is not one that `save` wrote.
    OSError
        If the file can't be read.

    Examples
    --------
    >>> import pathlib, tempfile, jax.numpy as jnp, braininit as init
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "weights.npz"
    ...     init.save(file, jnp.ones(3, jnp.bfloat16))
    ...     print(init.load(file).dtype)
    bfloat16
    """
    numbers, unit = _read(path)
    if jax.dtypes.canonicalize_dtype(numbers.dtype) == numbers.dtype:
        numbers = jnp.asarray(numbers)
    return numbers if unit is None else u.Quantity(numbers, unit)


def _read(path: str | os.PathLike[str]) -> tuple[np.ndarray, u.Unit | None]:
    with open(path, "rb") as file:
        try:
            with cast(np.lib.npyio.NpzFile, np.load(file, allow_pickle=False)) as entries:
                form, name = str(entries["format"]), str(entries["unit"])
                numbers, dtype = entries["values"], jnp.dtype(str(entries["dtype"]))
            if numbers.dtype != dtype:
                numbers = numbers.view(dtype).reshape(numbers.shape)
        except Exception as error:  # what is not such a file fails in any way it likes
            raise ValueError(
                f"{os.fspath(path)} is not a file that braininit.save wrote, or it is damaged"
            ) from error
    if form != _FORMAT:
        raise ValueError(
            f"{os.fspath(path)} is of the format {form!r}; this version reads {_FORMAT!r}"
        )
    return numbers, u.parse_unit(name) if name else None


def _named(unit: u.Unit) -> str:
    """Name a unit, if its name says all of it; nothing for what has none."""
    if unit.is_unitless and unit.magnitude == 1:
        return ""
    name = str(unit)
    with contextlib.suppress(Exception):
        if u.parse_unit(name) == unit:
            return name
    raise ValueError(f"the unit {name} can't be read back by its name; convert the values first")


def _bits(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"uint{8 * dtype.itemsize}")


# ---------------------------------------------------------------- whole files only


def _npz(path: str | os.PathLike[str]) -> Path:
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"`path` must end in .npz, got {os.fspath(path)!r}")
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when all went well, and vanishes if not."""
    target = Path(os.path.realpath(path))  # a link keeps pointing to where it points
    # Beside the target: only within one file system is the exchange a single step. Not by
    # tempfile, whose files nobody else may read.
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
