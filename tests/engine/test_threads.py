"""Eight threads at once: on caches that are cold, or cleared meanwhile, and on one stream."""

from __future__ import annotations

import sys
import threading

import jax
import numpy as np
import pytest
from cases import CASES
from helpers import bare

import braininit as init

THREADS = 8


@pytest.fixture(autouse=True)
def _often_interrupted():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(function):
    """What a function returns in each of the threads, which begin together."""
    begin, results = threading.Barrier(THREADS), []

    def run():
        begin.wait()
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def cold():
    init.clear_caches()
    jax.clear_caches()


SOME = [case for case in CASES if str(case) in ("Normal", "Gamma", "KaimingNormal", "Sparse")]


def test_cold_caches_give_every_thread_the_same():
    cold()
    objects = [(case.make(), case.fit((3,))) for case in SOME]
    first, *others = at_once(lambda: [bare(obj(size, rng=5)) for obj, size in objects])
    for drawn in others:
        for x, y in zip(drawn, first, strict=True):
            np.testing.assert_array_equal(x, y)


def test_the_default_stream_on_cold_caches_gives_no_number_twice():
    def drawn():
        return [bare(init.Normal()(4)).tobytes() for _ in range(25)]

    init.seed(3)
    alone = [x for _ in range(THREADS) for x in drawn()]
    cold()
    init.seed(3)
    together = [x for several in at_once(drawn) for x in several]
    assert len(set(alone)) == len(alone) == 25 * THREADS
    assert sorted(together) == sorted(alone)


def test_seeds_of_other_threads_restart_the_whole_stream():
    """Whoever seeds last: no thread sees half a stream, or the words of two."""
    init.seed(3)
    known = {bare(init.Normal()(4)).tobytes() for _ in range(THREADS * 20)}

    def drawn():
        init.seed(3)
        return {bare(init.Normal()(4)).tobytes() for _ in range(20)}

    assert set().union(*at_once(drawn)) <= known


def test_caches_cleared_by_another_thread():
    expected, stop = bare(init.Normal(0.5, 0.1)(3, rng=5)), threading.Event()

    def clearing():
        while not stop.wait(0.001):
            init.clear_caches()

    thread = threading.Thread(target=clearing)
    thread.start()
    try:
        results = at_once(lambda: [bare(init.Normal(0.5, 0.1)(3, rng=5)) for _ in range(4)])
    finally:
        stop.set()
        thread.join()
    for drawn in results:
        for x in drawn:
            np.testing.assert_array_equal(x, expected)
