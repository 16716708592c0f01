"""Processes that draw one model together: they draw the same, and hear of each other's errors.

They compare what they are about to draw by notes at the coordinator of `jax.distributed`, and not
by a collective of JAX's: that would wait, without end, for a process whose own plan is wrong.
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
"""Seconds until a process that waits looks for the others' errors, and between such looks."""


def agree(told: Mapping[str, bytes]) -> None:
    """Refuse to go on where processes have different things; the first that differs is named."""
    mine = [hashlib.sha256(part).hexdigest()[:8] for part in told.values()]
    every = _gathered(mine)
    for what, own, each in zip(told, mine, zip(*every, strict=True), strict=True):
        if others := [str(i) for i, its in enumerate(each) if its != own]:
            raise PlanError(
                f"of {len(every)} processes, {', '.join(others[:8])} have other {what} than "
                f"{jax.process_index()}: their parts of the model would not belong together"
            )


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Tell the other processes of an error in here, so that they don't wait for this one."""
    try:
        yield
    except Exception as error:
        if (client := _client()) is not None:
            note = f"{type(error).__name__}: {error}"
            client.key_value_set(f"{_ERRORS}{jax.process_index()}", note, allow_overwrite=True)
        raise
    if (client := _client()) is not None:
        client.key_value_delete(f"{_ERRORS}{jax.process_index()}")


def _gathered(mine: list[str]) -> list[list[str]]:
    """What each process has to tell."""
    client = _client()
    if client is None:
        from jax.experimental.multihost_utils import process_allgather

        numbers = np.array([int(of, 16) for of in mine], np.uint32)
        every = np.asarray(process_allgather(numbers)).reshape(-1, len(mine))
        return [[f"{n:08x}" for n in row] for row in every.tolist()]
    n, i = jax.process_count(), jax.process_index()
    turn = client.key_value_increment(f"braininit/turns/{i}", 1)
    client.key_value_set(f"braininit/{turn}/{i}", " ".join(mine), allow_overwrite=True)
    start, looked, before, found = time.monotonic(), 0.0, [], []
    while len(found := client.key_value_dir_get(f"braininit/{turn}/")) < n:
        waited = time.monotonic() - start
        if waited > looked + _PATIENCE:
            looked, notes = waited, _errors(client, i)
            if again := [note for note in notes if note in before]:  # no plan was made since
                client.key_value_delete(f"braininit/{turn}/{i}")
                client.key_value_increment(f"braininit/turns/{i}", -1)
                raise PlanError("another process has no plan: " + "\n".join(again))
            before = notes
        time.sleep(min(0.001 + waited / 10, 0.5))
    client.key_value_delete(f"braininit/{turn - 1}/{i}")  # all have read it
    told = {int(name.rpartition("/")[2]): text.split() for name, text in found}
    return [told[i] for i in range(n)]


def _errors(client: Any, own: int) -> list[str]:
    """The errors of the other processes."""
    each = [(name.rpartition("/")[2], note) for name, note in client.key_value_dir_get(_ERRORS)]
    return [f"{i}, {note}" for i, note in each if i != str(own)]


def _client() -> Any:
    """What talks with the coordinator; None within a trace, of one process, or of another JAX."""
    try:
        from jax._src.distributed import global_state

        client = global_state.client
        return client if eager() and hasattr(client, "key_value_dir_get") else None
    except Exception:
        return None
