"""Frames: what is copied and what is shared, who owns memory, and in which order."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from flazy.transport.codec import decode, encode, nbytes
from tests.transport.same import same
from tests.transport.values import LONG, Sample, nested


def test_large_arrays_are_not_copied_by_encode():
    value = np.arange(LONG)
    _, memory = encode([{"x": value}])

    assert np.shares_memory(value, np.frombuffer(memory, np.int64))


def test_large_arrays_in_fortran_order_are_not_copied_by_encode():
    value = np.asfortranarray(np.arange(2 * LONG).reshape(2, LONG))
    _, memory = encode([value])

    assert np.shares_memory(value, np.frombuffer(memory, np.int64))


def test_buffers_of_pickled_values_are_not_copied():
    value = Sample(np.arange(LONG), 1)
    skeleton, memory, stream = encode([value])
    received = bytearray(memory)
    (result,) = decode([skeleton, received, stream])

    assert np.shares_memory(value.image, np.frombuffer(memory, np.int64))
    assert np.shares_memory(result.image, np.frombuffer(received, np.uint8))
    assert result.image.flags.writeable


def test_decoded_arrays_share_a_writable_frame():
    skeleton, memory = encode([np.arange(LONG)])
    received = memoryview(bytearray(memory))
    (result,) = decode([skeleton, received])

    assert np.shares_memory(result, np.frombuffer(received, np.uint8))


def test_decoded_arrays_do_not_share_a_read_only_frame():
    skeleton, memory = encode([np.arange(LONG)])
    received = bytes(memory)
    (result,) = decode([skeleton, received])

    assert not np.shares_memory(result, np.frombuffer(received, np.uint8))
    assert result.flags.writeable


def test_decoded_arrays_are_aligned_even_where_the_frame_is_not():
    skeleton, memory = encode([np.arange(LONG)])
    received = memoryview(bytearray(b"x" + bytes(memory)))[1:]
    (result,) = decode([skeleton, received])

    assert result.flags.aligned
    assert same(np.arange(LONG), result)


def test_a_decoded_array_keeps_its_memory_alive_and_lets_go_of_it():
    class Memory(bytearray):
        pass

    skeleton, memory = encode([np.arange(LONG)])
    received = Memory(memory)
    alive = weakref.ref(received)
    (result,) = decode([skeleton, received])
    del received
    gc.collect()

    assert alive() is not None
    assert result[-1] == LONG - 1

    del result
    gc.collect()

    assert alive() is None


def test_the_order_of_values_of_all_kinds_is_kept():
    value = [(np.full(LONG, i), Sample(np.full(LONG, -i), i), {"c": np.full(LONG, i, "M8[s]")}) for i in range(5)]
    result = decode([bytearray(frame) for frame in encode(value)])

    assert same(value, result)


def test_a_value_that_falls_back_to_pickle_leaves_no_frames_of_its_first_try():
    deep = nested(600, lambda item: (item, np.arange(LONG)))
    value = [np.zeros(LONG), Sample(np.ones(LONG), 1), deep, bytearray(b"x"), np.full(LONG, 2)]
    skeleton, *rest = encode(value)
    result = decode([skeleton, *rest])

    assert same(value[:2], result[:2])
    assert same(value[3:], result[3:])
    assert same(np.arange(LONG), result[2][0][0][1])
    assert len(rest) == 2 + 1 + 600 + 1


def test_any_sequence_of_values_comes_back_as_a_list():
    assert decode(encode(())) == []
    assert decode(encode((1, "a"))) == [1, "a"]
    assert decode(encode(range(3))) == [0, 1, 2]


def test_frames_may_be_bytearrays_or_memoryviews():
    frames = encode([{"a": np.arange(LONG)}, 1])

    for kind in (bytes, bytearray, lambda frame: memoryview(bytes(frame)), lambda frame: memoryview(bytearray(frame))):
        assert same([{"a": np.arange(LONG)}, 1], decode([kind(frame) for frame in frames]))


def test_nbytes_counts_bytes_and_not_elements():
    assert nbytes([b"ab", bytearray(3), np.zeros(2).data]) == 2 + 3 + 16
