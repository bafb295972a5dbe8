"""The feeder: what it reads, when it sends what gathered, and how it ends; with a session and a pool that only note."""

import queue
import threading
from types import SimpleNamespace

import pytest

from flazy.errors import UnserializableSample
from flazy.run.segment import Feeder
from flazy.run.session import Nudge
from flazy.run.stages import Stage
from flazy.transport.codec import Unencodable
from flazy.transport.payload import Plain


class Upstream(Stage):
    """Gives (cycle, value) pairs' values, at addresses 0, 1, 2 …; a callable among them is called instead."""

    def __init__(self, *script, dense=True):
        super().__init__()
        self.script = script
        self.dense = dense
        self.at = -1
        self.now = 0
        self.closed_in = None

    def stream(self):
        for number, item in enumerate(self.script):
            self.at = number
            if callable(item):
                item()
            else:
                self.now, value = item if isinstance(item, tuple) else (0, item)
                yield value

    @property
    def address(self):
        return (self.at,)

    @property
    def cycle(self):
        return self.now

    def stop(self):
        super().stop()
        self.closed_in = threading.current_thread().name


class FakeSession:
    def __init__(self, *permits):
        self.permits = queue.SimpleQueue()
        self.outlet = queue.SimpleQueue()
        self.log = queue.SimpleQueue()
        for size in permits:
            self.permits.put(size)

    def accept(self, origin, payload, samples):
        values = payload.open()
        self.log.put((origin.cycle, [origin.address(index) for index in range(samples)], values))

    def end(self, error):
        self.log.put(error)

    def next(self):
        return self.log.get(timeout=20)


class FakePool:
    """Refuses the number 13."""

    def pack(self, values):
        if 13 in values:
            raise Unencodable("sample", "unlucky", values.index(13), "it may not")
        return Plain.of(values)


def feeder(upstream, session):
    return Feeder(upstream, session, FakePool(), SimpleNamespace(post=lambda action: action()), "map(f)")


@pytest.fixture
def feed():
    """Start a feeder; it is ended after the test."""
    made = []

    def start(upstream, session):
        made.append(feeder(upstream, session))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()


def test_samples_leave_in_tasks_as_large_as_their_permits(feed):
    session = FakeSession(1, 3, 2, 9)
    feed(Upstream(*"abcdefg"), session)

    assert (0, [(0,)], ["a"]) == session.next()
    assert (0, [(1,), (2,), (3,)], ["b", "c", "d"]) == session.next()
    assert (0, [(4,), (5,)], ["e", "f"]) == session.next()
    assert (0, [(6,)], ["g"]) == session.next()
    assert session.next() is None


def test_nothing_is_read_without_a_permit(feed):
    session = FakeSession()
    upstream = Upstream("a")
    feed(upstream, session)
    before = upstream.at
    session.permits.put(1)
    sent = session.next()

    assert (-1, ["a"]) == (before, sent[2])


def test_task_has_one_cycle(feed):
    session = FakeSession(9, 9)
    feed(Upstream((0, "a"), (0, "b"), (1, "c"), dense=False), session)

    assert [(0, ["a", "b"]), (1, ["c"])] == [(cycle, values) for cycle, _, values in (session.next(), session.next())]


def test_flush_sends_what_gathered_and_uses_up_its_permit(feed):
    session = FakeSession(9)
    blocked, let_go = threading.Event(), threading.Event()
    upstream = Upstream("a", "b", lambda: (blocked.set(), let_go.wait(20)), "c", "d")
    started = feed(upstream, session)
    assert blocked.wait(20)
    started.flush()
    started.flush()
    flushed = session.next()
    let_go.set()
    session.permits.put(1)
    session.permits.put(1)

    assert (["a", "b"], ["c"], ["d"]) == (flushed[2], session.next()[2], session.next()[2])


def test_waiting_consumer_is_nudged_when_a_chunk_begins_to_fill(feed):
    session = FakeSession(9)
    let_go = threading.Event()
    started = feeder(Upstream("a", "b", lambda: let_go.wait(20)), session)
    started.consumer_waits = True
    started.start()
    nudge = session.outlet.get(timeout=20)
    let_go.set()
    session.next()
    started.stop()

    assert isinstance(nudge, Nudge)
    assert session.outlet.empty()


def test_what_cannot_be_packed_ends_the_stream_behind_what_can(feed):
    session = FakeSession(5)
    upstream = Upstream(11, 12, 13, 14, 15)
    feed(upstream, session)
    sent, error = session.next(), session.next()

    assert [11, 12] == sent[2]
    assert (UnserializableSample, (2,), "map(f)") == (type(error), error.address, error.stage)


def test_error_of_the_upstream_comes_after_its_samples(feed):
    def fail():
        raise OSError("disk")

    session = FakeSession(9)
    feed(Upstream("a", fail), session)
    sent, error = session.next(), session.next()

    assert (["a"], "disk") == (sent[2], str(error))


def test_upstream_is_closed_by_the_thread_that_read_it(feed):
    upstream, session = Upstream("a"), FakeSession(1, 1)
    feed(upstream, session)
    session.next()
    session.next()

    assert "flazy-feeder" == upstream.closed_in


def test_upstream_of_a_feeder_that_never_started_is_closed_all_the_same():
    upstream = Upstream("a")
    feeder(upstream, FakeSession()).stop()

    assert threading.current_thread().name == upstream.closed_in


def test_stop_ends_a_feeder_that_waits_for_a_permit(feed):
    upstream = Upstream("a")
    started = feed(upstream, FakeSession())
    started.stop()

    assert ("flazy-feeder", False) == (upstream.closed_in, started._thread.is_alive())


def test_permit_of_no_samples_ends_the_feeder(feed):
    upstream, session = Upstream("a"), FakeSession(0)
    started = feed(upstream, session)
    end = session.next()
    started._thread.join(20)

    assert (None, "flazy-feeder") == (end, upstream.closed_in)
