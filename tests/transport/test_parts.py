"""What a result holds is what its message said, in a form that is known; else it is a ProtocolError."""

import numpy as np
import pytest

from flazy.collate import Batching
from flazy.errors import ProtocolError
from flazy.transport.arena import Block, Lease
from flazy.transport.codec import encode
from flazy.transport.layout import Layout
from flazy.transport.parts import batches_checked, checked, opened, rows_checked, slab_checked
from flazy.transport.payload import Encoded, Plain
from flazy.transport.stretches import BATCHES, COLUMNS, FILLED, NUMBERS, ROWS, gathered
from tests.transport.messages import FAILURE, PARTS, SMALL, SPEC
from tests.transport.same import same


def said(part):
    """Count the outputs of a part, those that were left out included."""
    head, *stretches = part
    return sum(count for _, count, _ in stretches) + (len(head[2]) if head is not None else 0)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("form", [Plain, lambda values: Encoded(encode(values))], ids=["plain", "encoded"])
def test_part_that_a_worker_makes_is_opened(part, form):
    head, stretches = opened(form(part), said(part))

    assert same(part[0] or (None, None, []), head)
    assert same(part[1:], stretches)


@pytest.mark.parametrize("part", PARTS)
def test_part_of_another_length_is_refused(part):
    for wrong in (said(part) + 1, said(part) - 1):
        with pytest.raises(ProtocolError, match="that was said to have"):
            opened(Plain(part), wrong)


ONE = (ROWS, 1, ["a"])
COLUMN = np.zeros(1, np.int64)
SKIPPED = ("map(f)", (7,), 0, "OSError")
MALFORMED = {
    "nothing": [],
    "a head of two": [(None, None), ONE],
    "a head that is a number": [3, ONE],
    "a stretch of two": [None, (ROWS, 1)],
    "a stretch that is a number": [None, 1],
    "a count that is text": [None, (ROWS, "1", ["a"])],
    "a count that is true": [None, (ROWS, True, ["a"])],
    "a count below nothing": [None, (ROWS, -1, []), (ROWS, 2, [1, 2])],
    "origins of nothing": [([], None, []), ONE],
    "origins of another length": [([np.zeros(2, np.int64)], None, []), ONE],
    "origins of floats": [([np.zeros(1)], None, []), ONE],
    "origins that are lists": [([[0]], None, []), ONE],
    "a failure that is text": [(None, "failed", []), ONE],
    "a failure that lacks a field": [(None, FAILURE[:-1], []), ONE],
    "a failure of an input before the first": [(None, ("f", -1, *FAILURE[2:]), []), ONE],
    "a failure with an error that is none": [(None, (*FAILURE[:-1], "error"), []), ONE],
    "left out, and not said how": [([COLUMN], None, [SKIPPED[:3]]), ONE],
    "left out, nobody knows where": [([COLUMN], None, [("map(f)", ("a",), 0, "")]), ONE],
    "left out, as a tuple": [([COLUMN], None, (SKIPPED,)), ONE],
}


@pytest.mark.parametrize("part", MALFORMED.values(), ids=MALFORMED)
def test_part_that_no_worker_makes_is_refused(part):
    for outputs in (0, 1, 2):
        with pytest.raises(ProtocolError):
            opened(Plain(part), outputs)


@pytest.mark.parametrize("stretch", [(ROWS, 1, []), (ROWS, 1, {1: 2}), (ROWS, 1, "a"), (ROWS, 1, None), (99, 1, [1]),
    ("0", 1, [1]), (NUMBERS, 1, [1]), (NUMBERS, 1, np.zeros((2, 2))), (COLUMNS, 1, 3), (COLUMNS, 1, (9, [1])),
    (COLUMNS, 1, (2, ["a"], [])), (COLUMNS, 2, (3, [(1, [1, 2]), (1, [1])])), (BATCHES, 1, [1]),
    (FILLED, 1, [1])], ids=str)  # fmt: skip
def test_samples_in_no_known_form_are_refused(stretch):
    with pytest.raises(ProtocolError):
        rows_checked(stretch)


def test_batches_are_those_that_a_worker_makes():
    for stretch in gathered(SMALL, Batching(4, None), 0):
        assert batches_checked(stretch, 4) is stretch
        for wrong in (stretch[0], 3, stretch[2]), (stretch[0], 8 + stretch[1], stretch[2]), (ROWS, *stretch[1:]):
            with pytest.raises(ProtocolError, match="that are not batches of 4"):
                batches_checked(wrong, 4)
    with pytest.raises(ProtocolError):
        batches_checked((BATCHES, 4, {"a": [1, 2, 3, 4]}), 4)


def lease(nbytes):
    return Lease(Block(0, nbytes, 0, nbytes), np.zeros(nbytes, np.uint8))


def test_rows_lie_in_the_block_that_was_lent():
    block = lease(Layout.of(SPEC, 4).nbytes)
    found, layout, first, beside = slab_checked((FILLED, 2, [(SPEC, 4, 2), [[1, 2]]]), block)

    assert (block, 4, 2, [[1, 2]]) == (found, layout.rows, first, beside)


ELSEWHERE = {
    "nowhere": None,
    "nothing said": [],
    "beyond the last row": [(SPEC, 4, 3), [[1, 2]]],
    "before the first row": [(SPEC, 4, -1), [[1, 2]]],
    "in a larger block": [(SPEC, 5, 0), [[1, 2]]],
    "nothing beside": [(SPEC, 4, 0), []],
    "too little beside": [(SPEC, 4, 0), [[1]]],
    "too much beside": [(SPEC, 4, 0), [[1, 2], [3, 4]]],
    "a number beside": [(SPEC, 4, 0), 3],
    "an empty spec": [(b"", 4, 0), [[1, 2]]],
    "no spec": [(None, 4, 0), [[1, 2]]],
    "rows that are text": [(SPEC, "4", 0), [[1, 2]]],
    "no first row": [(SPEC, 4), [[1, 2]]],
}


@pytest.mark.parametrize("body", ELSEWHERE.values(), ids=ELSEWHERE)
def test_rows_elsewhere_are_refused(body):
    block = lease(Layout.of(SPEC, 4).nbytes)
    with pytest.raises(ProtocolError):
        slab_checked((FILLED, 2, body), block)


def test_rows_without_a_block_are_refused():
    with pytest.raises(ProtocolError, match="lie nowhere"):
        slab_checked((FILLED, 2, [(SPEC, 4, 0), [[1, 2]]]), None)


@pytest.mark.parametrize("template", [(0, "<f4", [-1]), (0, "|O", [3]), (0, "f4,O", [3]), (0, 3, [3]), (2, ["a"], []),
    (2, [1], [(1,)]), (7,), [], None, (3, 3)], ids=str)  # fmt: skip
def test_spec_that_no_sample_has_is_refused(template):
    with pytest.raises(ProtocolError):
        Layout(bytes(encode([template])[0]), 4)


MANY = 2**40


@pytest.mark.parametrize("stretch", [
    (COLUMNS, MANY, (0, np.zeros((MANY, 0), np.uint8))), (COLUMNS, 1, (0, np.zeros((MANY, 0), np.uint8))),
    (COLUMNS, MANY, (1, range(MANY))), (COLUMNS, 1, (3, [(1, range(MANY))])), (COLUMNS, 1, (2, ["x"], [])),
    (COLUMNS, 1, (3, [])), (COLUMNS, 1, (9, [])), (NUMBERS, MANY, np.zeros((MANY, 0), np.int64)),
    (NUMBERS, 1, np.int64(1)), (NUMBERS, 1, range(1)),
], ids=str)  # fmt: skip
def test_few_bytes_are_not_taken_apart_into_many_samples(stretch):
    with pytest.raises(ProtocolError):
        checked(Encoded(encode([None, stretch], pickle=False)), stretch[1], 0)


def test_samples_left_out_are_not_counted_before_they_are_a_list():
    with pytest.raises(ProtocolError):
        checked(Encoded(encode([(None, None, range(2**64))], pickle=False)), 1, 0)
