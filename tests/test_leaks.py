"""The check for leaks must be able to fail: each kind of leak is planted here, and found by name."""

import gc
import mmap
import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from tests import leaks

linux = pytest.mark.skipif(sys.platform != "linux", reason="only processes and threads are counted without /proc")

WAIT_FOR_INPUT = "import sys; sys.stdin.read()"


def test_nothing_is_reported_where_nothing_was_left():
    before = leaks.take()

    assert leaks.settle(before, leaks.SETTLE_SECONDS)[0] == []


def test_leaked_process_is_reported_with_its_command_line():
    before = leaks.take()
    with subprocess.Popen([sys.executable, "-c", WAIT_FOR_INPUT], stdin=subprocess.PIPE) as process:
        found = "\n".join(leaks.leaked(before, leaks.take()))
        process.stdin.close()

    assert f"process {process.pid} (" in found
    assert WAIT_FOR_INPUT in found


@linux
def test_orphan_is_reported_although_it_is_no_longer_our_child():
    start = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {WAIT_FOR_INPUT!r}], stdin=0, stdout=subprocess.DEVNULL)
print(child.pid)
"""
    before = leaks.take()
    read_end, write_end = os.pipe()
    done = subprocess.run([sys.executable, "-c", start], stdin=read_end, stdout=subprocess.PIPE, check=True)
    found = leaks.leaked(before, leaks.take())
    os.close(read_end)
    os.close(write_end)

    assert any(line.startswith(f"process {int(done.stdout)} (") for line in found)


def test_leaked_thread_is_reported_with_its_stack():
    before = leaks.take()
    release = threading.Event()

    def wait_to_be_released():
        release.wait(30)

    thread = threading.Thread(target=wait_to_be_released, name="left-over")
    thread.start()
    found = "\n".join(leaks.leaked(before, leaks.take()))
    release.set()
    thread.join(30)

    assert "thread 'left-over' is at" in found
    assert "in wait_to_be_released" in found


@linux
def test_leaked_descriptor_is_reported_with_its_target(tmp_path):
    path = tmp_path / "open.txt"
    before = leaks.take()
    with path.open("w") as file:
        found = leaks.leaked(before, leaks.take())

        assert [f"descriptor {file.fileno()} -> {path}"] == found


@linux
def test_leaked_memory_file_is_reported_as_descriptor_and_as_mapping():
    before = leaks.take()
    descriptor = os.memfd_create("planted")
    os.truncate(descriptor, mmap.PAGESIZE)
    with mmap.mmap(descriptor, mmap.PAGESIZE):
        found = "\n".join(leaks.leaked(before, leaks.take()))
    os.close(descriptor)

    assert f"descriptor {descriptor} -> /memfd:planted" in found
    assert "mapped memory file /memfd:planted" in found


@linux
@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/dev/shm", "shared memory"), ("$TMPDIR", "temporary file"), (str(leaks.ROOT), "file in the working folder")],
)
def test_leaked_file_is_reported_by_its_path(folder, kind):
    path = Path(os.path.expandvars(folder)) / f"flazy-planted-{uuid.uuid4().hex}"
    before = leaks.take()
    path.touch()
    found = leaks.leaked(before, leaks.take())
    path.unlink()

    assert f"{kind} {path}" in found


def test_what_ends_by_itself_a_little_later_is_no_leak():
    before = leaks.take()
    timer = threading.Timer(0.1, gc.get_count)
    timer.start()

    assert len(leaks.leaked(before, leaks.take())) == 1
    assert leaks.settle(before, leaks.SETTLE_SECONDS)[0] == []


# The whole of it, in a run of pytest of its own -----------------------------------------------------------


def run_pytest(folder, planted):
    """Run one planted test under the project's own settings, fixtures and hooks."""
    test = folder / "test_planted.py"
    test.write_text(f"import subprocess, sys, threading, pytest\n{planted}")
    options = ["-c", "pyproject.toml", "-p", "tests.conftest", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}"]
    command = [sys.executable, "-m", "pytest", *options, str(test)]
    return subprocess.run(command, cwd=leaks.ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_test_that_leaks_fails_and_its_neighbour_passes(tmp_path):
    done = run_pytest(
        tmp_path,
        """
from tests import leaks
leaks.SETTLE_SECONDS = 0.1
release = threading.Event()
def test_leaks(): threading.Thread(target=release.wait, args=(30,), name="planted").start()
def test_neighbour(): release.set()
@pytest.fixture
def kept():
    file = open(__file__)
    yield [file]
    file.close()
def test_value_of_a_fixture(kept): pass
@pytest.fixture(scope="module")
def shared():
    with open(__file__) as file:
        yield file
def test_fixture_of_the_module(shared): pass
def test_another_with_it(shared): pass
""",
    )

    assert "ERROR at teardown of test_leaks" in done.stdout
    assert "left behind by this test:\nthread 'planted' is at" in done.stdout
    assert "5 passed, 1 error" in done.stdout


@pytest.mark.slow
def test_a_test_that_fails_is_not_accused_of_leaking_as_well(tmp_path):
    done = run_pytest(tmp_path, "def test_fails():\n    file = open(__file__)\n    assert file.closed")

    assert "1 failed in" in done.stdout


@pytest.mark.slow
def test_a_test_that_hangs_is_ended_with_the_stacks_of_all_threads(tmp_path):
    done = run_pytest(
        tmp_path,
        """
def hangs_elsewhere(): threading.Event().wait()
@pytest.mark.time_limit(1)
def test_hangs():
    threading.Thread(target=hangs_elsewhere, daemon=True).start()
    threading.Event().wait()
""",
    )

    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "in test_hangs" in done.stderr
    assert "in hangs_elsewhere" in done.stderr


@pytest.mark.slow
def test_tests_that_share_workers_are_asked_after_the_last_of_them(tmp_path):
    done = run_pytest(
        tmp_path,
        """
import os
from flazy import Dataset
from tests import leaks
leaks.SETTLE_SECONDS = 0.1
release = threading.Event()
zygotes = []
def note_zygote(): zygotes.extend(Dataset([0]).map(lambda _: os.getppid(), workers=1))
@pytest.mark.shares_workers
def test_leaks(): note_zygote(); threading.Thread(target=release.wait, args=(30,), name="planted").start()
@pytest.mark.shares_workers
def test_shares(): note_zygote()
def test_neighbour(): note_zygote(); release.set(); assert zygotes[0] == zygotes[1] != zygotes[2]
""",
    )

    assert "ERROR at teardown of test_shares" in done.stdout
    assert "left behind by this test, or by one before it that shares its workers:\nthread 'planted'" in done.stdout
    assert "3 passed, 1 error" in done.stdout
