"""Frames made smaller and back; and no message becomes more than it may, whatever it says."""

import pytest

pytest.importorskip("lz4.block")

from flazy.errors import ProtocolError
from flazy.transport import squeeze
from flazy.transport.squeeze import expanded, squeezed

FRAMES = [bytes(3000), b"short", bytes(range(256)) * 20]


def test_frames_come_back():
    frames, sizes = squeezed(FRAMES)

    assert FRAMES == [bytes(frame) for frame in expanded(frames, sizes)]
    assert [3000, 0, 5120] == sizes


def test_what_would_become_too_much_together_goes_as_it_is(monkeypatch):
    monkeypatch.setattr(squeeze, "MOST", 4000)
    frames, sizes = squeezed([bytes(3000)] * 3)

    assert [3000, 0, 0] == sizes
    assert [bytes(3000)] * 3 == [bytes(frame) for frame in expanded(frames, sizes)]


@pytest.mark.parametrize("sizes", [(2**30, 1), (2**62, 0), (1,), (3001, 0), (2**29, 2**29)], ids=str)
def test_claims_of_much_are_refused(sizes):
    """The last are within the limit; the memory is there, but not what should fill it."""
    (frame,), _ = squeezed([bytes(3000)])
    with pytest.raises(ProtocolError):
        expanded([frame, b"x"], sizes)
