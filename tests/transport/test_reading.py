"""Messages come back as they were sent; whatever else comes is refused, and its sender known if it says who it is."""

import dataclasses

import pytest

from flazy.errors import ProtocolError
from flazy.transport import codec
from flazy.transport.payload import Encoded, Placed
from flazy.transport.reading import sender, unpack, unpack_from_worker
from flazy.transport.wire import HEADER, HELLO, LENT, LOGGED, REFUSED, RESULT, VERSION, Logged, pack
from tests.transport.messages import FROM_DRIVER, FROM_WORKER
from tests.transport.same import same


def plain(value):
    """Take apart what has no equality."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value), [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Encoded | Placed):
        return type(value), [bytes(frame) for frame in value.frames], [*getattr(value, "spans", ())]
    if type(value).__name__ == "Origin":
        return value.cycle, value.first, value.listed
    return [*value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("message", FROM_DRIVER.values(), ids=FROM_DRIVER)
def test_what_the_driver_sends_comes_back_as_it_was(message):
    assert same(plain(message), plain(unpack(pack(message))))


@pytest.mark.parametrize("message", FROM_WORKER.values(), ids=FROM_WORKER)
def test_what_a_worker_sends_comes_back_as_it_was(message):
    frames = pack(message)

    assert same(plain(message), plain(unpack_from_worker(frames)))
    assert 9 == sender(frames)


@pytest.mark.parametrize("message", FROM_DRIVER.values(), ids=FROM_DRIVER)
def test_what_the_driver_sends_is_not_taken_from_a_worker(message):
    with pytest.raises(ProtocolError, match="does not come this way"):
        unpack_from_worker(pack(message))


@pytest.mark.parametrize("message", FROM_WORKER.values(), ids=FROM_WORKER)
def test_what_a_worker_sends_is_not_taken_from_the_driver(message):
    with pytest.raises(ProtocolError, match="does not come this way"):
        unpack(pack(message))


@pytest.mark.parametrize("message", [*FROM_DRIVER.values(), *FROM_WORKER.values()], ids=[*FROM_DRIVER, *FROM_WORKER])
def test_header_that_is_cut_off_or_of_another_version_is_refused(message):
    head, *rest = pack(message)
    for wrong in [head[:length] for length in range(len(head))] + [head + b"x", head[:1] + b"\x63" + head[2:]]:
        for read in (unpack, unpack_from_worker):
            with pytest.raises(ProtocolError):
                read([wrong, *rest])


@pytest.mark.parametrize("frames", [[], [b""], [b"junk"], [b""] * 1000, [None], ["text"], [3]])
def test_what_has_no_header_is_of_nobody(frames):
    assert sender(frames) is None
    for read in (unpack, unpack_from_worker):
        with pytest.raises(ProtocolError):
            read(frames)


def test_long_reason_is_cut():
    body = codec.encode([{"x" * 10_000: {}}])
    with pytest.raises(ProtocolError) as caught:
        unpack_from_worker([HEADER.pack(LOGGED, VERSION, 0, 1, 0, 0, 0, 0, 0), body[0] + b"\xc1" * 10_000])

    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(("kind", "flags"), [(REFUSED, 0), (LOGGED, 0), (RESULT, LENT)])
def test_body_of_a_message_of_a_worker_is_not_unpickled(kind, flags):
    """It is read in the hub; a payload is not."""
    body = codec.encode([..., 0, b""][: 1 + 2 * (kind == RESULT)])
    with pytest.raises(ProtocolError, match="a pickled value"):
        unpack_from_worker([HEADER.pack(kind, VERSION, flags, 1, 0, 0, 0, 0, 0), *body])


def test_frames_behind_a_message_that_is_all_header_are_refused():
    head = HEADER.pack(HELLO, VERSION, 0, 1, 0, 0, 0, 0, 0)
    with pytest.raises(ProtocolError, match="1000 frames"):
        unpack_from_worker([head, *[b""] * 1000])


@pytest.mark.parametrize("record", [{}, {"name": "a", "msg": "b"}, {"name": 1, "levelno": 1, "msg": ""},
    {"name": "a", "levelno": True, "msg": ""}, {"name": "a", "levelno": 1, "msg": "", 3: 4},
    {"name": "a", "levelno": 1, "msg": "", "args": [1]}], ids=str)  # fmt: skip
def test_log_record_that_no_worker_makes_is_refused(record):
    with pytest.raises(ProtocolError):
        unpack_from_worker(pack(Logged(1, record)))
