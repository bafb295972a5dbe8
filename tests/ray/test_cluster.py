"""Which cluster it is, and who ends it."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from flazy import Dataset, Ray
from flazy.errors import MissingExtra, WorkerError
from tests.test_exports import run_afresh


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("flazy.workers.ray.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(MissingExtra, match=r"pip install flazy\[ray\]"):
        Dataset(range(3)).map(abs, workers=Ray(2)).open()


def test_local_workers_load_no_ray(tmp_path):
    program = """
        import sys
        from flazy import Dataset, Ray, Threads
        assert [0, 1] == Dataset(range(2)).map(abs, workers=1).map(abs, workers=Threads(1)).list()
        repr(Dataset(range(2)).map(abs, workers=Ray(2)))
        sys.exit("ray" in sys.modules)
    """

    assert (0, "") == run_afresh(textwrap.dedent(program), tmp_path)


def test_ray_client_is_refused_before_anything_starts(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")

    with pytest.raises(WorkerError, match="cannot go through Ray Client"):
        Dataset(range(3)).map(abs, workers=Ray(2)).open()


ALONE = """
    import logging, os, sys
    import flazy
    from flazy import Dataset, Ray

    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    logging.getLogger("flazy").setLevel(logging.INFO)
    try:
        Dataset(range(3)).map(abs, workers=Ray(1, address="127.0.0.1:1")).open()
    except flazy.WorkerError as error:
        print(error)
    samples = iter(Dataset(range(10**6)).map(abs, workers=Ray(1)))
    print([next(samples) for _ in range(3)])
    import ray
    print(ray.is_initialized())
    ray.shutdown()
    try:
        list(samples)
    except flazy.WorkerError as error:
        print(error, ray.is_initialized())
    flazy.shutdown()
    flazy.shutdown()
"""
EXPECTED = r"""there is no Ray cluster at '127\.0\.0\.1:1': .*
there is no Ray cluster: one was started here, with \d+ CPUs; it ends with this program
\[0, 1, 2\]
True
(pass 0: .*
)?the connection to Ray was closed while the stage was open False
"""


@pytest.mark.slow
@pytest.mark.time_limit(120)
def test_program_without_a_cluster_starts_one_and_outlives_it():
    """In a process of its own, for Ray keeps descriptors when it has ended."""
    pytest.importorskip("ray")
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ALONE)], env=environment, capture_output=True, text=True, check=False
    )

    assert re.fullmatch(EXPECTED, done.stdout), done.stdout + done.stderr
    assert 0 == done.returncode
