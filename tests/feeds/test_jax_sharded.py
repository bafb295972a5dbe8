"""``dataset.jax(sharding)`` on several devices and in several processes, all of them CPU."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("jax")

from tests.feeds.sharded import ROWS, rows

pytestmark = [pytest.mark.slow, pytest.mark.time_limit(180)]

PROCESSES = 2


def started(*arguments, **environment):
    command = [sys.executable, "-m", "tests.feeds.sharded", *map(str, arguments)]
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def found(process):
    out, errors = process.communicate(timeout=120)

    assert 0 == process.returncode, errors
    return json.loads(out.splitlines()[-1])  # what comes before is Gloo's


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_batches_are_divided_among_devices():
    at = found(started(XLA_FLAGS="--xla_force_host_platform_device_count=4"))

    assert at["equal"]
    assert [[0, 0, 2], [1, 2, 4], [2, 4, 6], [3, 6, 8]] == at["parts"]
    assert sum(float(rows(number)["x"].sum() + number) for number in range(ROWS, 2 * ROWS)) == at["sum"]
    assert [[ROWS]] * 4 == at["copies"]
    assert [2] == at["on device 2"]
    for part in "map(jax) failed on sample 0", "sample['x'] of shape (10, 4, 3)", "among 4 devices", "size 10":
        assert part in at["indivisible"]
    assert "sample of shape () and dtype int32 cannot be divided among 4 devices" in at["no axis"]


def test_each_process_feeds_its_part_of_a_global_array():
    port = free_port()
    processes = [started(rank, PROCESSES, port) for rank in range(PROCESSES)]
    at = [found(process) for process in processes]
    own = [np.arange(rank, 4 * ROWS, PROCESSES).reshape(4, -1) for rank in range(PROCESSES)]
    batches = np.concatenate(own, axis=1)
    sums = [sum(place * float(rows(y)["x"].sum()) for place, y in enumerate(batch)) + batch.sum() for batch in batches]

    for rank in range(PROCESSES):
        assert [[ROWS, 4, 3]] * 4 == at[rank]["shapes"]
        assert own[rank].tolist() == at[rank]["own"] == at[rank]["here"]
        assert sums == at[rank]["totals"]
