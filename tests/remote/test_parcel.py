"""Functions as other machines get them: copied and sent once, while somebody has them and nothing has changed."""

import numpy as np
import pytest

from flazy.plan.kernel import Op
from flazy.remote import parcel
from flazy.remote.parcel import Book, Parcel, parcel_of


def chain(table):
    return (Op("map", "fn", lambda x: table[x]),)


def test_what_a_host_has_is_neither_copied_nor_sent_again_at_the_next_pass():
    book = Book()
    ops = chain(np.arange(2**18))
    first = parcel_of(ops)
    book.add(first, {first.number})
    second = parcel_of(ops)

    assert book.has(second.number)
    assert first.aside[0] is second.aside[0]


@pytest.mark.parametrize("place", [0, 2**17 + 5, 2**18 - 1])
def test_array_that_has_changed_is_sent_anew(place):
    table = np.arange(2**18)
    ops = chain(table)
    first = parcel_of(ops)
    table[place] += 1
    second = parcel_of(ops)

    assert first.number != second.number
    assert [table.tobytes()] == second.aside


def test_equal_functions_of_two_stages_are_one():
    table = np.arange(2**18)
    first, second = [parcel_of(chain(table)) for _ in range(2)]

    assert first.number == second.number


def test_nothing_is_held_that_no_host_has():
    number = parcel_of(chain(np.arange(2**18))).number

    assert number not in [each.number for each in parcel._held.values()]


def test_host_forgets_what_was_not_used_for_long():
    book, made = Book(), [Parcel(number, b"", (), {}) for number in range(10)]
    dropped = [number for each in made[:8] for number in book.add(each, set())]
    book.has(0)

    assert [] == dropped
    assert [2] == book.add(made[8], {1})
