"""How many deaths a pool bears, and what it says when it gives up."""

import pytest

from flazy.errors import WorkerPoolBroken
from flazy.workers.breaker import Breaker


def given_up(breaker, deaths, *, own=True, joined=True):
    """Let so many workers die one after the other; give at which of them it gave up, and why."""
    for number in range(1, deaths + 1):
        if (error := breaker.lost(f"exit {number}", own=own, joined=joined)) is not None:
            return number, error
    return None


@pytest.mark.parametrize(("n", "most"), [(1, 5), (2, 5), (3, 6), (16, 32)])
def test_deaths_without_a_result_in_between_are_borne_up_to_a_number(n, most):
    number, error = given_up(Breaker(n), 100)

    assert most + 1 == number
    assert isinstance(error, WorkerPoolBroken)
    assert "die faster than they work" in str(error)


def test_deaths_by_others_are_borne_eight_times_as_long():
    number, error = given_up(Breaker(2), 100, own=False)

    assert 41 == number
    assert "die faster than they work" in str(error)


def test_both_kinds_of_deaths_are_counted_apart():
    breaker = Breaker(2)

    assert given_up(breaker, 40, own=False) is None
    assert given_up(breaker, 5, own=True) is None


def test_third_start_that_fails_is_one_too_many():
    number, error = given_up(Breaker(16), 100, joined=False)

    assert 3 == number
    assert "could not start" in str(error)


def test_start_that_others_have_broken_off_is_not_a_failed_one():
    assert given_up(Breaker(2), 40, own=False, joined=False) is None


def test_worker_that_joins_forgives_failed_starts_and_a_result_forgives_deaths():
    breaker = Breaker(1)
    for _ in range(20):
        for _ in range(2):
            assert breaker.lost("exit", own=True, joined=False) is None
        breaker.joined()
        assert given_up(breaker, 3) is None
        breaker.worked()


def test_more_workers_are_borne_more_deaths():
    breaker = Breaker(1)
    borne = given_up(breaker, 5)
    breaker.n = 10

    assert borne is None
    assert 16 == given_up(breaker, 100)[0]


def test_the_last_exits_are_told():
    _, error = given_up(Breaker(1), 100)

    assert "exit 4\nexit 5\nexit 6" in str(error)
    assert "exit 3" not in str(error)
