"""A worker that has several runs at once: they take turns, and end one by one."""

import os

from flazy.transport.wire import Close, Closed, Granted, Hello, Open
from flazy.workers.collected import PART_OUTPUTS as PART
from tests.workers.fakes import RUN, op, opened, serve, serve_all, task
from tests.workers.test_loop import Resource


def test_kernels_of_two_runs_live_side_by_side():
    link = serve_all(
        Open(1, (op("map", abs),), {}), Open(2, (op("map", str),), {}), task(0, -1, run=2), task(0, -1, run=1)
    )

    assert [(1, [1]), (2, ["-1"])] == [(result.run, opened(result)[2]) for result in link.results]


def turns(link):
    return [(result.run, result.task) for result in link.results]


def test_runs_take_turns_each_with_its_lowest_task():
    opens = [Open(run, (op("map", abs),), {}) for run in (5, 3)]
    few, many = [task(number, 1, run=5) for number in (9, 8)], [task(number, 1, run=3) for number in (2, 0, 1, 3)]
    link = serve_all(*opens, *few, *many)

    assert [(5, 8), (3, 0), (5, 9), (3, 1), (3, 2), (3, 3)] == turns(link)


def test_run_whose_tasks_come_later_is_served_next():
    opens = [Open(run, (op("map", abs),), {}) for run in (1, 2, 3)]
    early = [task(number, 1, run=1) for number in range(4)]
    link = serve_all(*opens, *early, None, None, task(0, 1, run=3), task(0, 1, run=2), task(1, 1, run=2))

    assert [(1, 0), (1, 1), (2, 0), (3, 0), (1, 2), (2, 1), (1, 3)] == turns(link)


def test_parts_of_two_flatmaps_alternate_and_one_without_credit_is_passed_over():
    opens = [Open(run, (op("flatmap", range),), {}) for run in (1, 2)]
    link = serve_all(*opens, task(0, 4 * PART, credit=2, run=1), task(0, 4 * PART, credit=3, run=2))

    assert [1, 2, 1, 2, 2] == [result.run for result in link.results]


def test_closing_one_run_leaves_the_other_where_it_is():
    log = []
    first = (op("map", lambda x, resource: x, lambda: Resource(log)),)
    link = serve_all(
        Open(1, first, {}), Open(2, (op("flatmap", range),), {}), task(0, 3, run=1), task(0, 3 * PART, credit=1, run=2),
        None, None, task(1, 4, run=1), Close(1), Granted(2, 0, 1), task(2, 5, run=1), None, Granted(2, 0, 1),
    )  # fmt: skip
    told = [message for message in link.sent if isinstance(message, Closed)]

    assert [(1, 0), (2, 0), (2, 0), (2, 0)] == turns(link)
    assert list(range(3 * PART)) == [x for result in link.results[1:] for x in opened(result)[2]]
    assert (["open", "close"], [Closed(1, 1)]) == (log, told)


def test_close_is_answered_once_what_was_opened_is_closed_and_says_of_which_run():
    link = serve([op("map", abs)], Close(RUN), Close(99))

    assert [Hello(1, os.getpid()), Closed(1, RUN), Closed(1, 99)] == link.sent
