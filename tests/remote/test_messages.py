"""What trainer and hosts say to each other: read as it was said, or refused; never unpickled."""

import dataclasses
import math
import pickle
import struct
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flazy.errors import ProtocolError
from flazy.remote import messages
from flazy.remote.messages import (
    ENVELOPE,
    FROM_HOST,
    FROM_TRAINER,
    KINDS,
    MAGIC,
    PROTOCOL,
    Answer,
    Beat,
    Died,
    Envelope,
    Inquiry,
    Joined,
    Knock,
    Leaving,
    Opened,
    Over,
    Passed,
    Slow,
    Stale,
    TurnedAway,
    Welcome,
    between_beats,
    pack,
    unpack,
)
from flazy.transport import codec
from flazy.transport.codec import encode
from flazy.transport.pieces import cut
from tests.transport.mutations import mutated
from tests.transport.same import same

numbers = st.integers(0, 2**64 - 1)
seconds = st.floats(0, allow_nan=False, allow_infinity=False) | st.integers(0, 1000)
text = st.text("ab\u00e9\0\ud800", max_size=8)
frames = st.lists(st.binary(max_size=20), max_size=3)
plain = st.none() | st.booleans() | st.integers() | text | st.binary(max_size=5)
rows = st.lists(plain | st.lists(plain, max_size=2).map(tuple), max_size=4).map(tuple)
tables = st.dictionaries(text, text, max_size=3)
kernels = st.tuples(st.binary(max_size=20), frames) | st.just((None, []))
envelopes = st.builds(Envelope, numbers, numbers)
places = st.integers(-(2**63), 2**63 - 1)

SAID = {
    Knock: st.builds(Knock, text, numbers, tables),
    Joined: st.builds(Joined, numbers, numbers),
    Died: st.builds(Died, numbers, rows, numbers, st.none() | rows, st.booleans(), numbers),
    Answer: st.builds(Answer, numbers, st.dictionaries(text, st.none() | text, max_size=3)),
    Slow: st.builds(Slow, numbers, numbers, numbers, st.lists(places, max_size=4).map(tuple), seconds, text),
    Leaving: st.builds(Leaving, numbers),
    Beat: st.builds(Beat, numbers),
    Passed: st.builds(Passed, frames, numbers, numbers, numbers, st.lists(numbers, max_size=3).map(tuple)),
    Welcome: st.builds(Welcome, seconds),
    TurnedAway: st.builds(TurnedAway, text, text),
    Stale: st.builds(Stale),
    Inquiry: st.builds(Inquiry, numbers, st.lists(text, max_size=3)),
    Opened: st.builds(
        lambda kernel, *head_and_rest: Opened(*head_and_rest[:2], *kernel, *head_and_rest[2:]),
        *(kernels, numbers, numbers, st.lists(numbers, max_size=3), st.none() | st.tuples(numbers, st.none() | text)),
        *(st.none() | seconds, st.booleans(), st.none() | text, st.dictionaries(text, st.integers(), max_size=3), text),
    ),
    Over: st.builds(Over, numbers),
}
EXAMPLES = [
    *[Knock("desk", 4, {"python": "3.11"}), Joined(1, 4711), Leaving(4), Beat(7), Stale(), Over(3), Welcome(10.0)],
    *[Died(1, (None, 9, 0.5), 3, (7, (0, 1)), False, 2), Died(1, (11,), 0, None, True, 0), TurnedAway("A", "no")],
    *[Answer(3, {"a": "1", "b": None}), Slow(1, 3, 7, (0, 2), 30.5, "File …"), Inquiry(3, ["a", "b"])],
    *[Passed([b"head", b"body"], 1, 2, 3, (0, 70)), Passed([], 0)],
    Opened(3, 1, b"kernel", [b"aside"], [5, 6], (4, "<f4"), 1.5, False, "lz4", {"root": 30}, "map(f)"),
    Opened(3, 1, None, [], [], None, None, True, None, {}, "map(f)"),
]
EVERYTHING = FROM_HOST | FROM_TRAINER
HERE = Envelope(2**63 + 1, 5)


@pytest.fixture(autouse=True)
def nothing_unpickled(monkeypatch):
    """Find a message that is about to be unpickled."""

    def found(*args, **how):
        raise BaseException("unpickled")  # not an Exception, so that nobody wraps it

    monkeypatch.setattr(pickle, "loads", found)
    monkeypatch.setattr(codec.pickling, "loads", found)


def said(kind, *values, behind=()):
    """Frames with any values in the place of the fields."""
    return [ENVELOPE.pack(MAGIC, PROTOCOL, KINDS.index(kind), *HERE), *encode([list(values)]), *behind]


# What is in order -----------------------------------------------------------------------------------


def test_every_kind_of_message_is_tried():
    assert set(KINDS) == set(SAID) == set(map(type, EXAMPLES)) == EVERYTHING


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_message_is_read_as_it_was_said(kind):
    @settings(max_examples=25)
    @given(SAID[kind], envelopes)
    def check(message, envelope):
        read_envelope, read = unpack(pack(message, envelope), EVERYTHING)

        assert envelope == read_envelope
        assert same(read, message)

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_message_is_checked(kind):
    """Where a check is missing, no such message is ever taken."""
    assert [] == [field for field in annotations(kind) if field not in messages.CHECKS.keys() | messages.FRAMES]


def test_frames_that_are_passed_on_are_not_copied():
    frames = [b"head", bytearray(1000)]
    _, read = unpack(pack(Passed(frames, 1), HERE), FROM_HOST)

    assert all(one is other for one, other in zip(frames, read.frames, strict=True))


# What is not ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_message_comes_by_the_way_that_is_its_own(message):
    for allowed in (FROM_HOST, FROM_TRAINER):
        if type(message) in allowed:
            unpack(pack(message, HERE), allowed)
        else:
            with pytest.raises(ProtocolError, match="does not come this way"):
                unpack(pack(message, HERE), allowed)


@pytest.mark.parametrize(
    "head",
    [
        *[(MAGIC + 1, PROTOCOL, 0), (MAGIC, PROTOCOL + 1, 0), (MAGIC, 0, 0), (0, 0, 0)],
        *[(MAGIC, PROTOCOL, len(KINDS)), (MAGIC, PROTOCOL, 255)],
    ],
)
def test_envelope_of_another_protocol_is_refused(head):
    with pytest.raises(ProtocolError, match=r"protocol|kind"):
        unpack([ENVELOPE.pack(*head, *HERE), *encode([["x", 1, {}]])], EVERYTHING)


WRONG = {
    "nothing": [],
    "an empty frame": [b""],
    "a short envelope": [b"zf"],
    "an envelope alone": said(Leaving)[:1],
    "a long envelope": [said(Leaving)[0] + b"\0", *said(Leaving)[1:]],
    "many frames": [b""] * 10_000,
    "frames behind": said(Beat, 1, behind=[b""]),
    "a field too few": said(Knock, "a", 1),
    "a field too many": said(Beat, 1, 2),
    "no list": [said(Beat, 1)[0], *encode([{"sent": 1}])],
    "two lists": [said(Beat, 1)[0], *encode([[1], [1]])],
    "a number as a name": said(Knock, 3, 1, {}),
    "bytes as a name": said(Knock, b"a", 1, {}),
    "a truth as a number": said(Beat, True),
    "a fraction as a number": said(Beat, 1.0),
    "a negative number": said(Joined, -1, 4711),
    "a list as a table": said(Knock, "a", 1, [("a", "b")]),
    "a table of numbers": said(Knock, "a", 1, {"a": 1}),
    "a table with nothing in it": said(Knock, "a", 1, {"a": None}),
    "a table by numbers": said(Answer, 1, {1: "a"}),
    "a list as a row": said(Died, 1, [], 1, None, True, 0),
    "a number as a truth": said(Died, 1, (), 1, None, 1, 0),
    "a row of text": said(Slow, 1, 2, 3, ("a",), 1.0, ""),
    "a row of truths": said(Slow, 1, 2, 3, (True,), 1.0, ""),
    "no seconds": said(Slow, 1, 2, 3, (), math.nan, ""),
    "endless seconds": said(Slow, 1, 2, 3, (), math.inf, ""),
    "seconds before": said(Welcome, -1.0),
    "sizes of text": said(Passed, 1, 2, 3, ("a",)),
    "negative sizes": said(Passed, 1, 2, 3, (0, -1)),
    "a list of numbers": said(Inquiry, 1, [1]),
    "text as a list": said(Inquiry, 1, "abc"),
    "a kernel that is missing": said(Opened, 3, 1, True, [], None, None, False, None, {}, ""),
    "a kernel that was not sent": said(Opened, 3, 1, False, [], None, None, False, None, {}, "", behind=[b"kernel"]),
    "perhaps a kernel": said(Opened, 3, 1, 1, [], None, None, False, None, {}, "", behind=[b"kernel"]),
    "kernels by name": said(Opened, 3, 1, False, ["a"], None, None, False, None, {}, ""),
    "a size that is no row": said(Opened, 3, 1, False, [], [4, None], None, False, None, {}, ""),
    "levels that are none": said(Opened, 3, 1, False, [], None, None, False, None, {"root": "x"}, ""),
    "something pickled": said(Knock, "a", 1, {"a": ProtocolError}),
    "something pickled in a row": said(Died, 1, (pytest.raises,), 1, None, True, 0),
    "hardly anything": [said(Beat, 1)[0], b"\xc1"],
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_message_is_refused(what):
    with pytest.raises(ProtocolError):
        unpack(WRONG[what], EVERYTHING)


def test_changed_frames_are_a_message_or_refused():
    packed = [[bytes(frame) for frame in pack(message, HERE)] for message in EXAMPLES]
    rng, refused = Random(1), 0
    for _ in range(4000):
        frames = mutated(rng, rng.choice(packed), rng.choice(packed))
        try:
            _, message = unpack(frames, EVERYTHING)
        except ProtocolError as error:
            refused += 1
            assert len(str(error)) < 400  # noqa: PT017 - it is counted, too
        else:
            assert all(kind in messages.CHECKS or kind in messages.FRAMES for kind in annotations(message))
            assert messages._checked(message) is message

    assert refused > 1000


def annotations(message):
    return [str(field.type) for field in dataclasses.fields(message)]


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=60), max_size=4), st.sampled_from(KINDS))
def test_any_frames_are_a_message_or_refused(frames, kind):
    for each in (frames, [ENVELOPE.pack(MAGIC, PROTOCOL, KINDS.index(kind), *HERE), *frames]):
        try:
            unpack(each, EVERYTHING)
        except ProtocolError:
            continue


@pytest.mark.parametrize(("heartbeat", "between"), [(10, 1.0), (4, 1.0), (1, 0.25), (0.2, 0.05)])
def test_beats_are_so_close_that_one_may_be_late(heartbeat, between):
    assert between == between_beats(heartbeat)


def test_long_frames_are_cut_for_the_way(monkeypatch):
    monkeypatch.setattr(messages, "cut", partial(cut, size=8))
    message = Passed([b"header", bytearray(range(20))], 5)
    frames = pack(message, Envelope(1, 2))
    _, read = unpack([bytearray(frame) for frame in frames], FROM_HOST)

    assert [6, 8, 8, 4] == [len(frame) for frame in frames[-4:]]
    assert [b"header", bytes(range(20))] == read.frames


@pytest.mark.parametrize("behind", [b"\0", b"\1\0\0", struct.pack("<I", 2), struct.pack("<2I", 1, 0)])
def test_frames_that_were_not_cut_as_it_is_said_are_refused(behind):
    head, *rest = pack(Beat(1), Envelope(1, 2))

    with pytest.raises(ProtocolError):
        unpack([head + behind, *rest], FROM_HOST)
