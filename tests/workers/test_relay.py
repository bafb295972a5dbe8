"""What workers say reaches the caller, and nothing that the caller does with it stops the relay."""

import contextlib
import io
import logging
import os
import threading

import pytest

from flazy.workers import relay as relays
from flazy.workers.relay import Relay


@pytest.fixture
def relay():
    made = Relay()
    yield made
    made.stop(timeout_s=5)


class Worker:
    """The writing ends of a worker's outputs."""

    def __init__(self, relay, number=1):
        self.number = number
        (out, self.out), (err, self.err) = os.pipe(), os.pipe()
        relay.add(number, (os.fdopen(out, "rb"), os.fdopen(err, "rb")))

    def die(self, relay):
        """Close them, and give the last words."""
        os.close(self.out)
        os.close(self.err)
        return last_words(relay, self.number)


def last_words(relay, number):
    said, words = threading.Event(), []
    relay.finish(number, lambda text: (words.append(text), said.set()))
    assert said.wait(10)
    return words[0]


def test_lines_reach_stdout_and_stderr_of_that_moment(relay):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        worker = Worker(relay)
        os.write(worker.out, b"one\ntwo\nthr")
        os.write(worker.err, b"oops\n")
        worker.die(relay)

    assert ("one\ntwo\nthr\n", "oops\n") == (out.getvalue(), err.getvalue())


def test_lines_of_two_workers_are_not_mixed_into_each_other(relay):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        one, other = Worker(relay, 1), Worker(relay, 2)
        for _ in range(3):
            os.write(one.out, b"a")
            os.write(other.out, b"b")
        one.die(relay)
        other.die(relay)

    assert "aaa\nbbb\n" == out.getvalue()


def test_line_without_an_end_is_brought_in_pieces_between_characters(relay):
    text = "–" * 100_000  # three bytes each
    sizes = []

    class Pieces(io.StringIO):
        def write(self, piece):
            sizes.append(len(piece))
            return super().write(piece)

    with contextlib.redirect_stdout(Pieces()) as out:
        worker = Worker(relay)
        left = memoryview(text.encode())
        while left:
            left = left[os.write(worker.out, left) :]
        worker.die(relay)

    assert text + "\n" == out.getvalue()
    assert max(sizes) < len(text) / 2


def test_last_words_are_what_came_on_stderr(relay):
    with contextlib.redirect_stderr(io.StringIO()):
        worker = Worker(relay)
        os.write(worker.err, b"x" * 10_000 + b"\nFatal Python error\n")
        words = worker.die(relay)

    assert words.endswith("x\nFatal Python error")
    assert len(words) <= 4096


def test_bytes_that_are_no_text_are_spelled_out(relay):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        worker = Worker(relay)
        os.write(worker.out, b"\xff\n")
        worker.die(relay)

    assert "\\xff\n" == out.getvalue()


class Unwilling(io.StringIO):
    def write(self, text):
        raise RuntimeError("not now")


@pytest.mark.parametrize("stream", [None, Unwilling(), object()])
def test_stream_that_cannot_be_written_to_does_not_keep_the_dead_from_being_reported(relay, stream):
    with contextlib.redirect_stdout(stream):
        worker = Worker(relay)
        os.write(worker.out, b"lost\n")

        assert "" == worker.die(relay)


def record_of(name, level, text):
    return {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": text}


def test_records_go_to_the_logger_of_their_name_if_it_wants_them(relay, caplog):
    with caplog.at_level(logging.INFO, "some.name"):
        relay.log(record_of("some.name", logging.INFO, "100 %"))
        relay.log(record_of("some.name", logging.DEBUG, "no"))
        Worker(relay).die(relay)

    assert [("some.name", logging.INFO, "100 %")] == caplog.record_tuples


def test_filter_that_raises_does_not_stop_the_relay(relay, caplog):
    def refuse(record):
        raise RuntimeError("a filter of the user")

    logger = logging.getLogger("flazy")
    logger.addFilter(refuse)
    try:
        relay.warn("a worker died")

        assert "" == Worker(relay).die(relay)
    finally:
        logger.removeFilter(refuse)


def test_pipe_that_a_grandchild_holds_open_is_not_waited_for(relay):
    with contextlib.redirect_stderr(io.StringIO()):
        worker = Worker(relay)
        os.write(worker.err, b"gone\n")
        words = last_words(relay, worker.number)
        os.close(worker.out)
        os.close(worker.err)

    assert "gone" == words


def test_records_that_come_faster_than_they_are_handled_are_left_out_and_counted(relay, caplog, monkeypatch):
    monkeypatch.setattr(relays, "MOST_WAITING", 10)
    reached, go_on = threading.Event(), threading.Event()

    def hold(_record):
        reached.set()
        return go_on.wait(10)

    logger = logging.getLogger("a.slow.one")
    logger.addFilter(hold)
    record = record_of(logger.name, logging.WARNING, "it")
    relay.log(record)
    assert reached.wait(10)
    for _ in range(100):
        relay.log(record)
    go_on.set()
    Worker(relay).die(relay)
    relay.log(record)
    Worker(relay, 2).die(relay)
    logger.removeFilter(hold)

    assert ["it"] * 11 == caplog.messages[:11]
    assert "it" == caplog.messages[12]
    assert caplog.messages[11].startswith("90 log records of workers were left out")


def test_loggers_of_names_without_end_are_not_kept(relay, monkeypatch):
    known = logging.root.manager.loggerDict
    monkeypatch.setattr(relays, "MOST_LOGGERS", len(known))
    for number in range(9):
        relay.log(record_of(f"never.heard.of.{number}", logging.DEBUG, "it"))
    Worker(relay).die(relay)

    assert [] == [name for name in known if name.startswith("never.heard.of")]
