"""Processes that draw one model together: check that they agree, and share their errors.

Processes compare plans and keys by notes at the coordinator of `jax.distributed`, not by a JAX
collective: a collective would wait forever for a process whose own plan is wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from braininit._jax.settings import eager
from braininit.models.problems import PlanError

__all__ = ["agree", "telling"]

_ERRORS = "braininit/errors/"
_PATIENCE = 1.0
"""Seconds that a waiting process lets pass before each look for errors of the others."""


def agree(inputs: Mapping[str, bytes]) -> None:
    """Raise a PlanError where processes have different inputs; it names the first difference."""
    own_hashes = [hashlib.sha256(data).hexdigest()[:8] for data in inputs.values()]
    gathered = _gathered(own_hashes)
    for name, own, hashes in zip(inputs, own_hashes, zip(*gathered, strict=True), strict=True):
        if others := [str(i) for i, other in enumerate(hashes) if other != own]:
            raise PlanError(
                f"of {len(gathered)} processes, {', '.join(others[:8])} have other {name} than "
                f"{jax.process_index()}: their parts of the model would not belong together"
            )


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Tell the other processes of an error in this block, so that they don't wait."""
    try:
        yield
    except Exception as error:
        if (client := _client()) is not None:
            note = f"{type(error).__name__}: {error}"
            client.key_value_set(f"{_ERRORS}{jax.process_index()}", note, allow_overwrite=True)
        raise
    if (client := _client()) is not None:
        client.key_value_delete(f"{_ERRORS}{jax.process_index()}")


def _gathered(hashes: list[str]) -> list[list[str]]:
    """The hashes of every process."""
    client = _client()
    if client is None:
        from jax.experimental.multihost_utils import process_allgather

        numbers = np.array([int(text, 16) for text in hashes], np.uint32)
        gathered = np.asarray(process_allgather(numbers)).reshape(-1, len(hashes))
        return [[f"{n:08x}" for n in row] for row in gathered.tolist()]
    n, i = jax.process_count(), jax.process_index()
    turn = client.key_value_increment(f"braininit/turns/{i}", 1)
    client.key_value_set(f"braininit/{turn}/{i}", " ".join(hashes), allow_overwrite=True)
    start, last_look, before, entries = time.monotonic(), 0.0, [], []
    while len(entries := client.key_value_dir_get(f"braininit/{turn}/")) < n:
        waited = time.monotonic() - start
        if waited > last_look + _PATIENCE:
            last_look, notes = waited, _errors(client, i)
            if again := [note for note in notes if note in before]:  # no new plan since
                client.key_value_delete(f"braininit/{turn}/{i}")
                client.key_value_increment(f"braininit/turns/{i}", -1)
                raise PlanError("another process has no plan: " + "\n".join(again))
            before = notes
        time.sleep(min(0.001 + waited / 10, 0.5))
    client.key_value_delete(f"braininit/{turn - 1}/{i}")  # all have read it
    gathered = {int(name.rpartition("/")[2]): text.split() for name, text in entries}
    return [gathered[i] for i in range(n)]


def _errors(client: Any, own: int) -> list[str]:
    """The errors of the other processes."""
    notes = [(name.rpartition("/")[2], note) for name, note in client.key_value_dir_get(_ERRORS)]
    return [f"{i}, {note}" for i, note in notes if i != str(own)]


def _client() -> Any:
    """The coordinator's client; None in a trace, with one process, or without JAX's private API."""
    try:
        from jax._src.distributed import global_state

        client = global_state.client
        return client if eager() and hasattr(client, "key_value_dir_get") else None
    except Exception:
        return None
