"""One of several processes that draw a model together; `test_processes.py` starts them.

``python one_of_several.py PART TASK N I PORT DEVICES [HEARTBEAT]`` does a task and prints a line
of JSON about each step; PART is where it writes what its devices hold. With N of 1 it is alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import jax

PART, TASK, N, I, PORT, DEVICES = sys.argv[1:3] + [int(of) for of in sys.argv[3:7]]
HEARTBEAT = {"heartbeat_timeout_seconds": int(sys.argv[7])} if sys.argv[7:] else {}

jax.config.update("jax_num_cpu_devices", DEVICES)
if N > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{PORT}", N, I, **HEARTBEAT)

import brainunit as u  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax.sharding import AxisType  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402

import braininit as init  # noqa: E402

KEY = jax.random.key(5)
ROWS, COLUMNS, WHOLE = P("d"), P(None, "d"), P()
STACKED = {"^stacked": 0}


def model(rows=16):
    def of(*shape, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(shape, dtype)

    def block():
        return {"out": of(16, 8), "in": of(8, 16), "bias": of(16)}

    return {
        "blocks": [block(), block()],
        "composite": of(rows, 8),
        "count": of(8, dtype=jnp.int32),
        "foreign": of(16, 8),
        "gamma": of(8, 16),
        "orthogonal": of(16, 8),
        "stacked": {"kernel": of(8, 4, 8), "orthogonal": of(4, 8, 8)},
        "weak": u.Quantity(of(8), unit=u.nS),
    }


def rules(std=0.02):
    return [
        ("out", lambda leaf: init.Normal(0.0, std / (leaf.layer + 1) ** 0.5)),
        ("bias", 0.0),
        ("blocks.*in|stacked.*kernel", init.LecunNormal()),
        ("orthogonal", init.Orthogonal()),
        ("composite", 2 * init.LecunNormal() + 1.0),
        ("count", 3),
        ("foreign", jax.nn.initializers.normal(0.02)),
        ("gamma", init.Gamma(2.0, 0.5)),
        ("weak", init.Normal(0.5 * u.uS, 100.0 * u.nS)),
    ]


def shardings():
    return [
        ("out|composite|count|stacked/kernel|weak", ROWS),
        ("in$|gamma|foreign|orthogonal", COLUMNS),
        ("", WHOLE),
    ]


def planned(rows=16, std=0.02, kind=AxisType.Auto):
    mesh = jax.make_mesh((jax.device_count(),), ("d",), axis_types=(kind,))
    layers = {"layers": r"blocks/(\d+)", "stacked": STACKED}
    return init.plan(model(rows), rules(std), shardings=shardings(), mesh=mesh, **layers)


def saved(drawn):
    """Write what the devices of this process hold: for each leaf, its parts and where they are."""
    parts = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(drawn):  # a Quantity's is its mantissa
        for shard in leaf.addressable_shards:
            where = [s.indices(n)[:2] for s, n in zip(shard.index, leaf.shape, strict=True)]
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            parts[f"{name} {json.dumps(where)}"] = np.asarray(shard.data)
    np.savez(PART, **parts)


def told(step, call):
    """Do a step, and say how it ended and how long it took."""
    start, error = time.monotonic(), ""
    try:
        call()
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    print(json.dumps([step, error, time.monotonic() - start]), flush=True)


def draw():
    saved(planned()(KEY))


def draw_explicitly():
    saved(planned(kind=AxisType.Explicit)(KEY))


def disagree():
    """Draw, then go on to draw what other processes don't."""
    odd = I == N - 1
    values = {"weak": np.ones(8, np.float32) * u.nS, "gamma": np.ones((8, 16), np.float32)}
    told("draw", draw)
    told("keys", lambda: planned()(jax.random.key(6) if odd else KEY))
    told("rules", lambda: planned(std=0.03 if odd else 0.02)(KEY))
    told("shapes", lambda: planned(rows=32 if odd else 16)(KEY))
    told("given", lambda: planned()(KEY, values if odd else None, left_over="error"))
    told("taken", lambda: taken(planned()(KEY, values)))
    told("again", draw)
    # The last: a process that plans anew at once is waited for.
    told("plan", lambda: planned(rows=17 if odd else 16)(KEY))


def taken(drawn):
    for name in ("weak", "gamma"):
        for shard in u.get_mantissa(drawn[name]).addressable_shards:
            assert (np.asarray(shard.data) == 1).all()
            assert shard.data.size < u.get_mantissa(drawn[name]).size


def killed():
    """Draw; then be killed, if it is the one, while the others go on drawing."""
    mesh = jax.make_mesh((jax.device_count(),), ("d",))
    one = {"w": jax.ShapeDtypeStruct((8, 8), jnp.float32)}
    plan = init.plan(one, [("", init.Normal())], shardings=ROWS, mesh=mesh)
    for i in range(100_000):
        if i == 3 and int(PART) == I:
            os.kill(os.getpid(), signal.SIGKILL)
        told(f"draw {i}", lambda i=i: plan(jax.random.key(i)))
        time.sleep(0.05)


if __name__ == "__main__":
    {f.__name__: f for f in (draw, draw_explicitly, disagree, killed)}[TASK]()
