"""How far away workers are, as it is learnt from those that had nothing to do."""

from flazy.run.distance import Distance


def after(*events):
    """Give what is known after events: those that were sent, came or lost, as they are told."""
    distance = Distance()
    for name, *rest in events:
        getattr(distance, name)(*rest)
    return distance.seconds


FIRST = [("sent", 1, 0, 0.0), ("came", 1, 0, 3.0, 0.5)]


def test_nothing_is_known_at_first_nor_from_the_first_result_for_which_functions_were_loaded():
    assert 0.0 == after()
    assert 0.0 == after(*FIRST)
    assert 0.0 == after(("sent", 1, 1, 0.0), *FIRST, ("came", 1, 1, 4.0, 0.5))


def test_way_there_and_back_is_what_a_task_took_beyond_its_work():
    assert 0.25 == after(*FIRST, ("sent", 1, 1, 3.0), ("came", 1, 1, 3.75, 0.5))


def test_worker_that_was_busy_tells_nothing():
    assert 0.0 == after(*FIRST, ("sent", 1, 1, 2.0), ("came", 1, 1, 3.5, 0.5))


def test_task_that_waited_beside_others_counts_where_its_worker_had_nothing_to_do_in_the_end():
    """Two at a time: the second of the next pair is the one that was waited for."""
    tasks = [("sent", 1, 1, 3.0), ("sent", 1, 2, 3.0), ("came", 1, 1, 4.5, 0.5), ("came", 1, 2, 5.0, 0.5)]

    assert 1.0 == after(*FIRST, *tasks)


def test_least_of_a_worker_counts():
    times = [("sent", 1, 1, 3.0), ("came", 1, 1, 3.75, 0.5), ("sent", 1, 2, 4.0), ("came", 1, 2, 6.0, 0.5)]

    assert 0.25 == after(*FIRST, *times)


def test_farthest_worker_counts_until_it_is_gone():
    both = [
        *FIRST, ("sent", 1, 1, 3.0), ("came", 1, 1, 3.75, 0.5),
        ("sent", 2, 2, 0.0), ("came", 2, 2, 3.0, 0.5), ("sent", 2, 3, 3.0), ("came", 2, 3, 5.0, 0.5),
    ]  # fmt: skip

    assert 1.5 == after(*both)
    assert 0.25 == after(*both, ("lost", 2))


def test_all_parts_of_a_task_but_the_first_tell_only_that_the_worker_was_busy():
    parts = [("sent", 1, 1, 3.0), ("came", 1, 1, 3.75, 0.5), ("came", 1, 1, 9.0, 0.5)]

    assert 0.25 == after(*FIRST, *parts)


def test_worker_that_comes_back_with_another_number_is_another():
    task = [("sent", 1, 1, 3.0), ("lost", 1), ("came", 1, 1, 3.75, 0.5)]

    assert 0.0 == after(*FIRST, *task)
