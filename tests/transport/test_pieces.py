"""Frames that are cut for the way, and put together again."""

import pytest

from flazy.errors import ProtocolError
from flazy.transport import door, line
from flazy.transport.pieces import PIECE, cut, joined


def test_frames_that_are_not_long_are_left_as_they_are():
    frames = [b"", b"12345678"]
    pieces, counts = cut(frames, 8)

    assert (frames, ()) == (pieces, counts)
    assert pieces is frames


def test_what_was_cut_is_put_together_in_memory_that_can_be_written_to():
    frames = [b"head", b"", bytes(range(20)), bytearray(range(16))]
    pieces, counts = cut(frames, 8)
    made = joined([bytes(piece) for piece in pieces], counts)
    made[2][0] = 7

    assert [1, 1, 3, 2] == counts
    assert [b"head", b"", bytes([7, *range(1, 20)]), bytes(range(16))] == made


@pytest.mark.parametrize("counts", [[1], [2, 1], [3, 0], [0, 2], [2**32 - 1]])
def test_counts_that_are_not_those_of_the_pieces_are_refused(counts):
    with pytest.raises(ProtocolError, match="2 pieces where"):
        joined([b"a", b"b"], counts)


def test_a_piece_is_shorter_than_what_a_connection_is_closed_for():
    assert PIECE < min(door.MOST_BYTES, line.LARGEST)
