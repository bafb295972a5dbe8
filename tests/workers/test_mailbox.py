"""The way into the hub: nothing posted is lost, and no post goes unnoticed."""

import os
import select

import pytest

from flazy.workers import mailbox as module
from flazy.workers.mailbox import Mailbox


@pytest.fixture
def mailbox():
    made = Mailbox()
    yield made
    made.close()


def readable(mailbox):
    return bool(select.select([mailbox], [], [], 0)[0])


def test_gives_what_was_posted_in_order(mailbox):
    seen = []
    for number in range(3):
        mailbox.post(lambda number=number: seen.append(number))

    for action in mailbox.take():
        action()

    assert [0, 1, 2] == seen


def test_is_readable_only_while_something_waits(mailbox):
    before = readable(mailbox)
    mailbox.post(bool)
    during = readable(mailbox)
    list(mailbox.take())

    assert (False, True, False) == (before, during, readable(mailbox))


def test_takes_what_actions_post(mailbox):
    seen = []
    mailbox.post(lambda: mailbox.post(lambda: seen.append("second")))

    for action in mailbox.take():
        action()

    assert ["second"] == seen


@pytest.mark.parametrize("before_read", [True, False])
def test_a_post_in_the_middle_of_take_leaves_later_posts_noticed(mailbox, monkeypatch, before_read):
    """The lost wake-up: a flag that stays raised over an empty pipe."""
    real = os.read

    def read(file, size):
        if before_read:
            mailbox.post(bool)
        data = real(file, size)
        if not before_read:
            mailbox.post(bool)
        return data

    mailbox.post(bool)
    monkeypatch.setattr(module.os, "read", read)
    taken = list(mailbox.take())
    monkeypatch.undo()
    mailbox.post(bool)

    assert 2 == len(taken)
    assert readable(mailbox)


def test_a_post_after_close_does_no_harm():
    mailbox = Mailbox()
    mailbox.close()

    mailbox.post(bool)
