"""The feeder: what it reads, when it sends what gathered, and how it ends; with a session and a pool that only note."""

import queue
import threading
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from flazy.errors import SourceError, UnserializableSample
from flazy.plan import nodes
from flazy.run.feeder import Feeder, aligned
from flazy.run.session import Nudge
from flazy.run.stages import SourceStage, Stage
from flazy.run.waits import Section
from flazy.sample import fresh
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

    def keep(self, value):
        return fresh(value)

    def pack(self, values):
        if 13 in values:
            raise Unencodable("sample", "unlucky", values.index(13), "it may not")
        return Plain.of([fresh(value) for value in values])


def feeder(upstream, session, batch=1):
    hub = SimpleNamespace(post=lambda action: action())
    return Feeder(upstream, session, FakePool(), hub, "map(f)", batch=batch, section=Section())


@pytest.fixture
def feed():
    """Start a feeder; it is ended after the test."""
    made = []

    def start(upstream, session, batch=1):
        made.append(feeder(upstream, session, batch))
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


def test_sample_that_came_during_a_flush_is_copied_before_the_source_writes_into_it_again(feed):
    session = FakeSession(2)
    blocked, let_go = threading.Event(), threading.Event()
    array = np.zeros(1)
    refill = lambda: (blocked.set(), let_go.wait(20), array.fill(1))
    started = feed(Upstream(array, refill, array, lambda: array.fill(2), array), session)
    assert blocked.wait(20)
    started.flush()
    let_go.set()
    session.permits.put(2)

    assert ([[0]], [[1], [2]]) == (session.next()[2], session.next()[2])


def test_what_came_during_a_flush_is_not_sent_without_a_permit(feed):
    session = FakeSession(9)
    blocked, let_go = threading.Event(), threading.Event()
    started = feed(Upstream("a", lambda: (blocked.set(), let_go.wait(20)), "b"), session)
    assert blocked.wait(20)
    started.flush()
    let_go.set()
    flushed = session.next()
    started.flush()
    early = session.log.empty()
    session.permits.put(9)

    assert (["a"], True, ["b"]) == (flushed[2], early, session.next()[2])


def test_flush_in_between_loses_and_doubles_nothing(feed):
    """The consumer flushes all the time, and each task needs a permit of its own."""
    session = FakeSession(*[7] * 3000)
    started = feed(Upstream(*range(100, 3100), dense=False), session)
    got, places, end = [], [], False
    while not end:
        started.flush()
        while not session.log.empty():
            if (item := session.next()) is None:
                end = True
                break
            got += item[2]
            places += item[1]

    assert (list(range(100, 3100)), [(number,) for number in range(3000)]) == (got, places)


def source(make):
    return SourceStage(nodes.Source(make, "numbers"), 4)


@pytest.mark.parametrize("make", [lambda: range(5), lambda: [*range(5)], lambda: iter(range(5)), lambda: (*range(5),)])
def test_samples_of_a_plain_sequence_leave_a_chunk_at_a_time(feed, make):
    session = FakeSession(1, 3, 9, 9)
    feed(source(make), session)

    assert (4, [(0,)], [0]) == session.next()
    assert (4, [(1,), (2,), (3,)], [1, 2, 3]) == session.next()
    assert (4, [(4,)], [4]) == session.next()
    assert session.next() is None


def test_plain_sequence_that_cannot_be_packed_ends_at_its_place(feed):
    session = FakeSession(20, 20)
    feed(source(lambda: range(10, 20)), session)
    sent, error = session.next(), session.next()

    assert ([10, 11, 12], (3,)) == (sent[2], error.address)


def test_error_of_a_source_names_the_sample_that_was_asked_for(feed):
    def numbers():
        yield from range(3)
        raise OSError("disk")

    session = FakeSession(2, 9)
    feed(source(numbers), session)
    sent, rest, error = session.next(), session.next(), session.next()

    assert ([0, 1], [2]) == (sent[2], rest[2])
    assert (SourceError, (3,), 4) == (error.__class__.__mro__[1], error.address, error.cycle)


def test_source_that_ended_is_not_asked_again(feed):
    class Resuming:
        """Breaks the rule of iterators: it goes on after its end."""

        asked = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.asked += 1
            if self.asked == 2:
                raise StopIteration
            return self.asked

    resuming, session = Resuming(), FakeSession(9, 9)
    feed(source(lambda: resuming), session)
    sent, end = session.next(), session.next()

    assert ([1], None, 2) == (sent[2], end, resuming.asked)


def test_tasks_end_where_batches_do(feed):
    session = FakeSession(*[10] * 9)
    feed(source(lambda: range(20, 40)), session, batch=4)

    assert [8, 8, 4] == [len(session.next()[2]) for _ in range(3)]


@pytest.mark.parametrize(
    ("room", "given", "batch", "expected"),
    [
        (5, 0, 1, 5),
        (5, 7, 1, 5),
        (32, 0, 32, 32),
        (100, 0, 32, 96),
        (100, 96, 32, 96),
        (40, 30, 32, 34),
        (33, 30, 32, 2),
        (31, 0, 32, 16),
        (16, 0, 32, 16),
        (10, 0, 32, 8),
        (10, 24, 32, 8),
        (3, 31, 32, 1),
        (1, 5, 32, 1),
    ],
)
def test_room_is_cut_to_where_batches_end_or_into_even_parts(room, given, batch, expected):
    assert expected == aligned(room, given, batch)


@hypothesis.given(room=st.integers(1, 300), given=st.integers(0, 10**6), batch=st.integers(1, 300))
def test_room_that_is_cut_is_room_still(room, given, batch):
    cut = aligned(room, given, batch)

    assert 1 <= cut <= room
    assert cut < batch or (given + cut) % batch == 0


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
