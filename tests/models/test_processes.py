"""Processes that draw a model together: each holds its part, and none waits for one that is gone.

They are real ones, on this machine, with the collectives that JAX has for CPUs.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("one_of_several.py")


def start(parts, task, devices=1, *more):
    """Start a process for each part; they find each other at a free port."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    env = {name: value for name, value in os.environ.items() if name not in flags}
    env |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    return [
        subprocess.Popen(
            [
                *(sys.executable, SCRIPT, str(part), task, str(len(parts)), str(i), str(port)),
                *(str(devices), *map(str, more)),
            ],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, part in enumerate(parts)
    ]


def ended(processes, seconds=300):
    """The code, what it printed, and when it ended, of each process; none outlives this."""
    began = time.monotonic()

    def one(process):
        out, error = process.communicate(timeout=seconds)
        return process.returncode, out, error, time.monotonic() - began

    try:
        with concurrent.futures.ThreadPoolExecutor(len(processes)) as pool:
            return list(pool.map(one, processes))
    finally:
        for process in processes:
            with process:
                process.kill()


def steps(out):
    """What a process said of each step: the error, and the seconds."""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith('["')]
    return {step: (error, seconds) for step, error, seconds in lines}


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """Processes alone, two and four together, side by side: what each printed and holds."""
    folder = tmp_path_factory.mktemp("parts")
    names = {n: [folder / f"{i} of {n}.npz" for i in range(n)] for n in (1, 2, 4)}
    tasks = {1: "draw", 2: "disagree", 4: "draw_explicitly"}
    started = {n: start(names[n], tasks[n], 2 if n == 2 else 1) for n in names}
    found = {n: ended(started[n]) for n in names}
    return {n: [(*told, names[n][i]) for i, told in enumerate(found[n])] for n in names}


@pytest.mark.parametrize("n", [2, 4])
def test_each_process_holds_its_part_of_the_one_model(every, n):
    (code, _, error, _, path) = every[1][0]
    assert code == 0, error
    with np.load(path) as alone:
        whole = {name.split()[0]: value for name, value in alone.items()}
    seen = {name: np.zeros(value.shape, int) for name, value in whole.items()}
    for code, _, error, _, path in every[n]:
        assert code == 0, error
        with np.load(path) as parts:
            for name, part in parts.items():
                leaf, where = name.split(maxsplit=1)
                at = tuple(slice(*ends) for ends in json.loads(where))
                assert np.array_equal(part, whole[leaf][at], equal_nan=False), name
                assert part.dtype == whole[leaf].dtype
                seen[leaf][at] += 1
    assert all((times == times.flat[0]).all() and times.all() for times in seen.values())
    assert sum(times.flat[0] == 1 for times in seen.values()) == 12  # the others are everywhere


@pytest.mark.parametrize("what", ["keys", "rules", "shapes", "given", "plan"])
def test_processes_that_differ_all_raise(every, what):
    for code, out, error, _, _ in every[2]:
        assert code == 0, error
        said, seconds = steps(out)[what]
        assert said.startswith("PlanError: "), (said, error)
        assert seconds < 30
        assert {"keys": "keys", "plan": "17"}.get(what, "plans") in said


@pytest.mark.parametrize("what", ["draw", "taken", "again"])
def test_processes_that_agree_draw(every, what):
    for code, out, error, _, _ in every[2]:
        assert code == 0, error
        assert steps(out)[what][0] == ""


def _others(n, *heartbeat):
    """What became of the others where the first was killed, and where the last was.

    Their codes, and how many seconds after it they ended.
    """
    started = [start([str(killed)] * n, "killed", 1, *heartbeat) for killed in (0, n - 1)]
    every = ended([process for each in started for process in each])
    for killed, found in ((0, every[:n]), (n - 1, every[n:])):
        assert found[killed][0] == -9, found[killed]
        assert all(steps(out)["draw 2"][0] == "" for _, out, _, _ in found)
        yield [(told[0], told[3] - found[killed][3]) for i, told in enumerate(found) if i != killed]


def test_others_end_with_an_error_where_one_is_killed():
    for others in _others(2, 10):
        assert all(code and seconds < 60 for code, seconds in others)


@pytest.mark.heavy
def test_others_end_in_two_minutes_by_default():
    for others in _others(4):
        print(others)
        assert all(code and seconds < 120 for code, seconds in others)
