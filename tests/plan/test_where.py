"""``workers=``: where a stage runs."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from flazy import Dataset, Processes, Remote, Threads
from flazy.errors import InvalidArgument, InvalidType
from flazy.plan.where import where_of


@pytest.mark.parametrize(
    ("workers", "where"),
    [
        (None, None),
        (0, None),
        (3, Processes(3)),
        (np.int64(3), Processes(3)),
        (Processes(2, chunk=5), Processes(2, chunk=5)),
        (Threads(2), Threads(2)),
    ],
)
def test_workers_are_read(workers, where):
    assert where == where_of(workers)


@pytest.mark.parametrize("workers", [-1, np.int64(-3)])
def test_negative_number_is_refused(workers):
    with pytest.raises(InvalidArgument, match="is negative; 0 or None runs the stage in your own process"):
        where_of(workers)


@pytest.mark.parametrize("workers", ["many", "2", 1.0, [2], Processes, len])
def test_what_is_no_number_is_refused(workers):
    with pytest.raises(InvalidType, match=r"give a number of processes.*, Threads\(n\), Remote\(…\) or Ray\(n\)"):
        where_of(workers)


@pytest.mark.parametrize("workers", [True, False])
def test_bool_is_no_number_of_workers(workers):
    with pytest.raises(InvalidType, match="workers=4"):
        where_of(workers)


@pytest.mark.parametrize("kind", [Processes, Threads])
@pytest.mark.parametrize("numbers", [{"n": 0}, {"n": -1}, {"n": 1, "window": 0}, {"n": 1, "chunk": -2}])
def test_numbers_below_one_are_refused(kind, numbers):
    with pytest.raises(InvalidArgument, match=f"of {kind.__name__} must be at least 1"):
        kind(**numbers)


@pytest.mark.parametrize(
    "numbers", [{"n": None}, {"n": "2"}, {"n": 1.5}, {"n": 1, "window": 2.5}, {"n": 1, "chunk": "2"}]
)
def test_numbers_that_are_none_are_refused(numbers):
    with pytest.raises(InvalidType, match="must be an int"):
        Processes(**numbers)


@pytest.mark.parametrize(
    ("window", "nbytes"),
    [
        ("256MB", 256_000_000),
        ("1.5GB", 1_500_000_000),
        ("64MiB", 64 * 2**20),
        ("0.5 kib", 512),
        ("10_000_000B", 10_000_000),
        (" 3 kb ", 3000),
        ("2tb", 2 * 10**12),
        ("1TiB", 2**40),
        ("0.1GB", 100_000_000),
    ],
)
def test_window_may_be_a_size(window, nbytes):
    where = Processes(2, window=window)

    assert (nbytes, None) == (where.nbytes, where.samples)
    assert f"Processes(2, window={window!r})" == repr(where)


@pytest.mark.parametrize("window", [None, 64])
def test_window_in_samples_says_nothing_of_bytes(window):
    assert (window, None) == (Processes(2, window=window).samples, Processes(2, window=window).nbytes)


@pytest.mark.parametrize(
    "window", ["", "a", "256", "10_000", "256M", "-1MB", "1e9B", "1__0B", "MB", "1MBs", "1,5GB", "٣MB"]
)
def test_what_is_no_size_is_answered_with_an_example(window):
    with pytest.raises(InvalidArgument, match=r'no size: .*e\.g\. "256MB", or a number of samples'):
        Processes(2, window=window)


@pytest.mark.parametrize("window", ["0B", "0.5B", "0GB"])
def test_size_of_nothing_is_refused(window):
    with pytest.raises(InvalidArgument, match="must be at least 1"):
        Processes(2, window=window)


def test_threads_refuse_a_size_since_they_do_not_weigh_samples():
    with pytest.raises(InvalidArgument, match="give a number of samples, or use Processes"):
        Threads(2, window="256MB")


def test_kinds_are_values():
    assert Processes(2) == Processes(2)
    assert Processes(2) != Threads(2)
    assert 1 == len({Processes(2, window=4), Processes(np.int64(2), 4)})


@pytest.mark.parametrize("verb", ["map", "filter", "flatmap", "starmap", "random_map", "foreach"])
@pytest.mark.parametrize("workers", [-1, "many"])
def test_every_record_verb_checks_at_once(verb, workers):
    with pytest.raises((InvalidArgument, InvalidType), match="workers="):
        getattr(Dataset([1]), verb)(print, workers=workers)


@pytest.mark.parametrize(
    "verb", ["transform", "batch", "unbatch", "enumerate", "take", "shuffle", "repeat", "cache", "sample", "progress"]
)
def test_stream_verbs_take_no_workers(verb):
    with pytest.raises(InvalidType, match=rf"{verb}\(\) has no keyword 'workers'"):
        getattr(Dataset([1]), verb)(workers=2)


@pytest.mark.parametrize(
    ("kind", "keyword", "said"),
    [
        (Processes, "num_threads", "threads="),
        (Processes, "prefetch_factor", "window="),
        (Threads, "timeout", r"Processes\(n, timeout=…\) can"),
        (Threads, "chunksize", "chunk="),
        (Remote, "workers", "flazy-worker --processes"),
        (Remote, "port", r"Remote\('tcp://0.0.0.0:5555'\)"),
        (Threads, "colour", "it has n, window, chunk"),
    ],
)
def test_keyword_that_there_is_not_is_answered_with_ours(kind, keyword, said):
    with pytest.raises(InvalidType, match=f"{kind.__name__} has no '{keyword}': .*{said}"):
        kind(2, **{keyword: 3})


def test_address_alone_is_answered_with_what_listens_there():
    with pytest.raises(InvalidType, match=r"workers='tcp://0.0.0.0:5555': say Remote\('tcp://0.0.0.0:5555'\)"):
        Dataset([1]).map(print, workers="tcp://0.0.0.0:5555")


@pytest.mark.parametrize("host", ["", "tcp://192.168.1.5:5555", "192.168.1.5:5555"])
def test_host_that_others_reach_is_a_name_or_an_address(host):
    assert "fe80::1" == Remote("tcp://0.0.0.0:5555", host="fe80::1").host
    with pytest.raises(InvalidArgument, match=f"host='{host}' of Remote: give a name or an address alone"):
        Remote("tcp://0.0.0.0:5555", host=host)


def test_it_can_be_copied_and_sent():
    where = Processes(2, window="1MB", timeout=3.0)

    assert where == copy.deepcopy(where) == pickle.loads(pickle.dumps(where)) == dataclasses.replace(where)
