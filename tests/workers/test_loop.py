"""What a worker does with messages: which task runs when, what leaves it, what it closes."""

import logging
import os
import sys
import types

import numpy as np
import pytest

from flazy.plan.loops import INDEX, blank_record
from flazy.transport.wire import Close, Granted, Hello, Open, Refused
from flazy.workers.collected import PART_OUTPUTS as PART
from flazy.workers.loop import UNSERIALIZABLE, Loop
from tests.workers.fakes import RUN, FakeLink, op, opened, serve, task, values_of


def countdown(x):
    yield from range(x, 0, -1)


def test_says_hello_before_anything_else():
    link = serve([op("map", abs)])

    assert [Hello(1, os.getpid())] == link.sent


def test_one_task_of_a_map_leaves_as_one_part():
    link = serve([op("map", abs)], task(0, -1, -2, -3))
    (result,) = link.results

    assert (1, RUN, 0, 0, 3, True) == (
        result.worker, result.run, result.task, result.start, result.outputs, result.last
    )  # fmt: skip
    assert (None, None, [1, 2, 3]) == opened(result)


def test_lowest_task_runs_first():
    link = serve([op("map", abs)], task(2, 2), task(0, 0), task(1, 1))

    assert [0, 1, 2] == [result.task for result in link.results]


def test_filter_sends_where_its_outputs_came_from():
    (result,) = serve([op("filter", lambda x: x % 2)], task(0, 1, 2, 3)).results

    assert ([[0, 2]], None, [1, 3]) == opened(result)


def test_task_without_outputs_ends_with_an_empty_part():
    (result,) = serve([op("filter", lambda x: False)], task(0, 1, 2)).results

    assert (0, True) == (result.outputs, result.last)


def extents(link):
    return [(result.start, result.outputs, result.last) for result in link.results]


def test_flatmap_stops_where_its_credit_ends():
    link = serve([op("flatmap", range)], task(0, 5 * PART, credit=3))

    assert [(0, PART, False), (PART, PART, False), (2 * PART, PART, False)] == extents(link)


def test_grant_wakes_a_suspended_task_where_it_stopped():
    grants = None, Granted(RUN, 0, 1), None, Granted(RUN, 0, 1)
    link = serve([op("flatmap", range)], task(0, 2 * PART + 22, credit=1), *grants)

    assert [(0, PART, False), (PART, PART, False), (2 * PART, 22, True)] == extents(link)
    assert list(range(2 * PART + 22)) == [value for part in values_of(link) for value in part]


def test_task_out_of_credit_does_not_occupy_its_worker():
    link = serve([op("flatmap", range)], task(0, 2 * PART, credit=1), None, task(1, 3))

    assert [(0, False), (1, True)] == [(r.task, r.last) for r in link.results]


def test_skipped_outputs_are_made_and_left_out():
    link = serve([op("flatmap", countdown)], task(0, 3, 2, skip=4))
    (result,) = link.results

    assert (4, 1, [1]) == (result.start, result.outputs, opened(result)[2])


def test_second_attempt_sends_a_part_after_each_input():
    link = serve([op("map", abs)], task(0, -1, -2, -3, attempt=2, credit=9))

    assert [[1], [2], [3]] == values_of(link)
    assert [(0, False), (1, False), (2, True)] == [(r.start, r.last) for r in link.results]


def test_failure_follows_the_outputs_before_it_and_ends_the_task():
    (result,) = serve([op("map", lambda x: 1 // x)], task(0, 1, 0, 5)).results
    _origins, failure, values = opened(result)
    stage, index, offsets, name, message, traceback, builtin, error = failure

    assert ([1], True) == (values, result.last)
    assert ("map(fn)", 1, (), "ZeroDivisionError", "ZeroDivisionError") == (stage, index, offsets, name, builtin)
    assert "integer division" in message
    assert f'File "{__file__}"' in traceback
    assert isinstance(error, ZeroDivisionError)


def test_failure_behind_a_flatmap_names_the_offset():
    (result,) = serve([op("flatmap", countdown), op("map", lambda x: 1 // (x - 1))], task(0, 3)).results
    _origins, failure, values = opened(result)

    assert ([0, 1], 0, (2,)) == (values, failure[1], failure[2])


class Stubborn(Exception):
    """Pickles, and cannot be unpickled."""

    def __init__(self, one, two):
        super().__init__(one)


class Locked(Exception):
    def __reduce__(self):
        raise TypeError("never")


class Exits(Exception):
    def __reduce__(self):
        raise SystemExit


@pytest.mark.parametrize("error", [Stubborn(1, 2), Locked(), Exits()])
def test_exception_that_would_not_arrive_is_left_behind(error):
    def fail(x):
        raise error

    (result,) = serve([op("map", fail)], task(0, 1)).results
    failure = opened(result)[1]

    assert (type(error).__qualname__, "Exception", None) == (failure[3], failure[6], failure[7])


@pytest.mark.parametrize("kind", [StopIteration, GeneratorExit, SystemExit, KeyboardInterrupt, BaseException])
@pytest.mark.parametrize("stage", ["map", "filter", "flatmap"])
def test_exceptions_that_end_things_elsewhere_are_failures_here(kind, stage):
    def fail(x):
        raise kind

    (result,) = serve([op(stage, fail)], task(0, 1)).results

    assert (kind.__name__, True) == (opened(result)[1][3], result.last)


def test_value_that_cannot_travel_ends_the_task_at_its_place():
    made = (x for x in ())
    (result,) = serve([op("map", lambda x: {"a": [made]} if x == 3 else x)], task(0, 1, 2, 3, 4)).results
    _origins, failure, values = opened(result)

    assert ([1, 2], 2, True) == (values, result.outputs, result.last)
    assert ("", 2, UNSERIALIZABLE) == (failure[0], failure[1], failure[3])
    assert 'sample["a"][0]' in failure[4]


def test_value_of_a_flatmap_that_cannot_travel_names_input_and_offset():
    (result,) = serve([op("flatmap", lambda x: [x, (y for y in ())])], task(0, 1)).results
    _origins, failure, values = opened(result)

    assert ([1], 0, (1,)) == (values, failure[1], failure[2])


def test_function_may_return_the_same_array_each_time():
    made = np.zeros(2)

    def fill(x):
        made[:] = x
        return {"a": [made]}

    (result,) = serve([op("map", fill)], task(0, 1, 2, 3)).results

    assert [1, 2, 3] == [value["a"][0][0] for value in opened(result)[2]]


def test_functions_that_cannot_be_loaded_are_refused_with_the_traceback():
    def load(message):
        raise ImportError("no module of that name")

    link = FakeLink(Open(RUN, None, {}), task(0, 1))
    Loop(1, link, [0, -1, -1], load).serve()
    _hello, refused = link.sent

    assert isinstance(refused, Refused)
    assert "no module of that name" in refused.reason
    assert "in load" in refused.reason


def test_inputs_whose_module_is_missing_say_so_without_lines_of_ours(monkeypatch):
    module = types.ModuleType("only_the_driver_has_it")
    module.Held = type("Held", (), {"__module__": module.__name__})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    held = task(0, module.Held())
    monkeypatch.delitem(sys.modules, module.__name__)
    (result,) = serve([op("map", abs)], held).results
    _origins, failure, _values = opened(result)
    text = "a sample cannot be read here (No module named 'only_the_driver_has_it'): install what it needs"

    assert text in failure[4]
    assert failure[5].startswith("flazy.errors.ProtocolError: ")


def test_task_of_an_unknown_run_is_left_alone():
    assert [] == serve([op("map", abs)], task(0, 1, run=99)).results


def test_tasks_of_a_closed_run_are_dropped_and_their_generators_closed():
    closed = []

    def endless(x):
        try:
            yield from range(10**9)
        finally:
            closed.append(x)

    link = serve([op("flatmap", endless)], task(0, 5, credit=1), None, Close(RUN), Granted(RUN, 0, 1))

    assert (1, [5]) == (len(link.results), closed)


class Resource:
    def __init__(self, log, number=0):
        self.log = log
        self.log.append("open")

    def close(self):
        self.log.append("close")


@pytest.mark.parametrize("end", [(), (Close(RUN),)])
def test_setup_runs_once_and_is_closed_at_the_end(end):
    log = []
    ops = [op("map", lambda x, resource: x + len(resource.log), lambda: Resource(log))]
    link = serve(ops, task(0, 1, 2), None, task(1, 3), None, *end)

    assert [[2, 3], [4]] == values_of(link)
    assert ["open", "close"] == log


def test_failing_setup_is_a_failure_that_says_so():
    def setup():
        raise OSError("no such database")

    (result,) = serve([op("map", lambda x, _: x, setup)], task(0, 1)).results

    assert ("setup of map(fn)", "OSError") == (opened(result)[1][0], opened(result)[1][3])


def test_failing_clean_up_is_logged_and_the_worker_goes_on(caplog):
    class Broken(Resource):
        def close(self):
            raise SystemExit("no")

    ops = [op("map", lambda x, _: x, lambda: Broken([]))]
    with caplog.at_level(logging.WARNING, "flazy"):
        link = serve(ops, task(0, 1), None, Close(RUN), Open(RUN + 1, (op("map", abs),), {}), task(0, -5, run=RUN + 1))

    assert [[1], [5]] == values_of(link)
    assert ["clean-up in a worker failed"] == [record.message for record in caplog.records]


def test_record_names_what_runs_until_it_is_packed():
    record = blank_record()
    seen = []

    class Watched:
        def __reduce__(self):
            seen.append(("packing", *record[: INDEX + 1]))
            return (int, ())

    def look(x):
        seen.append(("running", *record[: INDEX + 1]))
        return Watched()

    serve([op("map", look)], task(4, "a", "b"), record=record)

    assert [("running", RUN, 4, 0), ("running", RUN, 4, 1), ("packing", RUN, 4, 1)] == seen[:3]
    assert -1 == record[1]
