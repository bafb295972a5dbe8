"""A real worker process, started either way: watched, blamed, and told apart by how it ended."""

import contextlib
import os
import pathlib
import select
import signal
import struct
import sys
import tempfile

import pytest

from flazy.errors import WorkerError
from flazy.plan.loops import OUTSIDE
from flazy.workers import zygote
from flazy.workers.launch import UNKNOWN, Process

WAYS = ["interpreter", pytest.param("zygote", marks=pytest.mark.skipif(not zygote.is_supported(), reason="Linux only"))]


class Started:
    """A worker process and, where there is one, its zygote."""

    def __init__(self, way, stack):
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        read, write = os.pipe()
        stack.callback(os.close, read)
        stack.callback(os.close, write)
        with pathlib.Path("/dev/null").open("rb") as arena:
            self.zygote = zygote.Zygote(read, arena.fileno(), folder) if way == "zygote" else None
        if self.zygote is not None:
            for output in self.zygote.outputs:
                stack.callback(output.close)
            stack.callback(self.zygote.close, 10)
        addresses = {"tasks": f"ipc://{folder}/tasks", "results": f"ipc://{folder}/results"}
        argument = {"worker": 1, "driver": os.getpid(), **addresses}
        self.process = Process(argument, read) if self.zygote is None else self.zygote.start(argument)
        stack.callback(self._end)

    def wait(self, condition):
        """Take in what the zygote tells until the condition holds, or 30 s without a word are over."""
        while not condition():
            files = [file for file in (self.zygote, self.process.sentinel) if file is not None]
            assert select.select(files if self.zygote is None else [self.zygote], [], [], 30)[0]
            if self.zygote is not None:
                self.zygote.receive()

    def end(self, number):
        self.wait(lambda: self.process.pid is not None)
        self.process.end(number)
        self.wait(lambda: self.process.code() is not None)

    def _end(self):
        self.end(signal.SIGKILL)
        for output in self.process.outputs:
            output.close()
        self.process.close()


@pytest.fixture(params=WAYS)
def started(request):
    with contextlib.ExitStack() as stack:
        yield Started(request.param, stack)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "own"),
    [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGSEGV, True), (signal.SIGABRT, True)],
)
def test_death_is_seen_and_named(started, number, own):
    started.end(number)

    assert (f"was killed by {number.name}", own) == started.process.exit()


@pytest.mark.slow
def test_what_ran_last_can_be_read_after_the_death(started):
    before = started.process.running()
    os.pwrite(started.process.record, struct.pack("4q", 7, 4, 2, OUTSIDE), 0)
    started.end(signal.SIGKILL)

    assert (None, (7, 4, (2,), sys.maxsize)) == (before, started.process.running())


@pytest.mark.slow
@pytest.mark.skipif(not zygote.is_supported(), reason="Linux only")
def test_without_its_zygote_a_worker_lives_on_and_its_death_is_still_seen():
    with contextlib.ExitStack() as stack:
        started = Started("zygote", stack)
        started.wait(lambda: started.process.pid is not None)
        started.zygote._popen.kill()
        started.wait(lambda: started.zygote.broken)
        alive = started.process.code()
        os.kill(started.process.pid, signal.SIGKILL)

        assert select.select([started.process.watched()], [], [], 30)[0]
        assert (None, UNKNOWN) == (alive, started.process.code())
        assert ("ended, nobody knows how", False) == started.process.exit()


@pytest.mark.skipif(not zygote.is_supported(), reason="Linux only")
def test_zygote_that_is_not_needed_after_all_is_ended():
    begun = zygote.begin()
    begun.close()

    assert -signal.SIGKILL == begun.popen.returncode


def test_worker_needs_an_interpreter(monkeypatch):
    monkeypatch.setattr("sys.executable", "")

    with pytest.raises(WorkerError, match=r"sys\.executable"):
        Process({"worker": 1}, 0)
