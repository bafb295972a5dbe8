"""When a worker counts as hung, at a clock that the test turns, and processes that note what the test says."""

import os
import signal
import subprocess
from types import SimpleNamespace

import pytest

from flazy.plan.loops import SETUP
from flazy.workers import watch
from flazy.workers.launch import Running
from flazy.workers.watch import Seen, Target, Watch


class FakeProcess:
    """Notes ``at``, runs what it says, and writes its stack at the look after it was asked."""

    pid = None

    def __init__(self):
        self.at = b"one"
        self.runs = Running(7, 0, (3, 0), 0)
        self.asked = 0
        self.interrupted = False

    def noted(self):
        return self.at

    def running(self, _noted):
        return self.runs

    def ask_for_stack(self, *, interrupt):
        self.asked += 1
        self.interrupted = interrupt

    def stack(self):
        return "in f" * bool(self.asked)


class Scene:
    """A watch over one process, and all that came of it."""

    def __init__(self, monkeypatch, limit):
        self.now = 100.0
        monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.process, self.seen, self.limit, self.said = FakeProcess(), Seen(), limit, []
        self.watch = Watch(self)

    def condemn(self, number, running):
        self.said.append(("condemned", number, running.place))

    def end(self, number):
        self.said.append(("ended", number))

    def slow(self, number, running, seconds, stack):
        self.said.append(("slow", number, round(seconds), stack))

    def stopped(self, number):
        self.said.append(("stopped", number))

    def look(self, times=1, after=None):
        """Look as often as the watch wants to, or after so many seconds."""
        for _ in range(times):
            self.now = self.watch.next if after is None else self.now + after
            self.watch.look([Target(1, self.process, self.seen, lambda run: self.limit)])


@pytest.fixture
def scene(monkeypatch, request):
    return Scene(monkeypatch, getattr(request, "param", 10.0))


def test_call_that_goes_on_for_longer_than_the_limit_is_overdue_once_its_stack_is_there(scene):
    scene.look()
    scene.look(9)
    early = list(scene.said)
    scene.look(1)
    asked = scene.process.asked, list(scene.said)
    scene.look(2)

    assert ([], (1, [("condemned", 1, (3, 0))])) == (early, asked)
    assert [("condemned", 1, (3, 0)), ("ended", 1)] == scene.said
    assert scene.process.interrupted


def test_stack_that_does_not_come_is_not_waited_for_forever(scene):
    scene.process.stack = str
    scene.look(12 + watch.STACK_LOOKS)

    assert [("condemned", 1, (3, 0)), ("ended", 1)] == scene.said


@pytest.mark.parametrize("change", ["noted", "heard", "idle"])
def test_whatever_a_worker_does_begins_the_time_anew(scene, change):
    for turn in range(20):
        scene.look(8)
        if change == "noted":
            scene.process.at = b"%d" % turn
        elif change == "heard":
            scene.seen.heard += 1
        else:
            scene.process.runs = None if turn % 2 else Running(7, 0, (3, 0), 0)
            scene.seen.heard += 1

    assert ([], 0) == (scene.said, scene.process.asked)


def test_call_that_ends_while_its_stack_is_asked_for_is_not_spared(scene):
    """The signal may have ended it early, with a result that is none."""
    scene.look(11)
    scene.process.at = b"two"
    scene.look(9)

    assert [("condemned", 1, (3, 0)), ("ended", 1)] == scene.said[:2]


def test_time_in_which_nobody_looked_counts_little(scene):
    scene.look()
    scene.look(after=3600)

    assert (0, []) == (scene.process.asked, scene.said)


def test_setup_has_no_limit(scene):
    scene.process.runs = Running(7, 0, (0, SETUP), 0)
    scene.look(25)

    assert [] == scene.said


@pytest.mark.parametrize("scene", [None], indirect=True)
def test_call_without_a_limit_is_warned_of_every_half_minute(scene):
    scene.look(100)

    assert ["slow"] * 3 == [kind for kind, *_ in scene.said]
    assert [30, 60, 90] == [round(seconds, -1) for _, _, seconds, _ in scene.said]
    assert {"in f"} == {stack for *_, stack in scene.said}
    assert not scene.process.interrupted


@pytest.mark.parametrize("scene", [0.2], indirect=True)
def test_short_limits_are_looked_at_more_often(scene):
    scene.look()

    assert 0.05 == pytest.approx(scene.watch.next - scene.now)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="Linux only")  # noqa: PTH110
def test_process_that_is_stopped_is_told_from_one_that_runs(scene):
    with subprocess.Popen(["sleep", "60"]) as process:
        running = watch.is_stopped(process.pid)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        scene.process.pid = process.pid
        scene.process.runs = None
        scene.look(1)
        early = list(scene.said)
        scene.look(1)
        process.kill()

    assert (False, [], [("stopped", 1)]) == (running, early, scene.said)
    assert not watch.is_stopped(process.pid)
