"""What ``on_error=`` may be, and what is said of anything else."""

import pickle

import cloudpickle
import pytest

from flazy import SKIP, Dataset, Retry, SampleTimeout
from flazy.errors import InvalidArgument, InvalidType, PoisonSample
from flazy.plan.policy import policy_of


def test_skip_is_one_also_after_a_journey():
    assert SKIP is pickle.loads(pickle.dumps(SKIP)) is cloudpickle.loads(cloudpickle.dumps(SKIP))
    assert "flazy.SKIP" == repr(SKIP)


def test_raise_is_no_policy():
    assert policy_of("raise", "map") is None


@pytest.mark.parametrize(
    ("on_error", "drops", "spelled"),
    [
        ("skip", True, "'skip'"),
        (min, True, "min"),
        (Retry(3), False, "Retry(3, then='raise')"),
        (Retry(1, on=OSError, then="skip"), True, "Retry(1, then='skip')"),
        (Retry(1, then=max), True, "Retry(1, then=max)"),
    ],
)
def test_stage_gives_one_for_one_unless_it_may_leave_samples_out(on_error, drops, spelled):
    ds = Dataset(range(9)).map(abs, on_error=on_error)

    assert drops == policy_of(on_error, "map").drops
    assert f"Dataset(range(0, 9)).map(abs, on_error={spelled})" == repr(ds)
    assert drops != ds.node.one_to_one


def test_length_is_not_known_where_samples_may_be_left_out():
    assert 9 == len(Dataset(range(9)).map(abs, on_error=Retry(2)))
    with pytest.raises(TypeError):
        len(Dataset(range(9)).map(abs, on_error="skip"))


def test_what_is_tried_again():
    policy = policy_of(Retry(2, on=(OSError, KeyError)), "map")

    assert [True, True, False] == [policy.again(OSError(), failures) for failures in (1, 2, 3)]
    assert policy.again(SampleTimeout(), 1)
    assert not policy.again(ValueError(), 1)
    assert not policy_of(Retry(2), "map").again(PoisonSample(), 1)


@pytest.mark.parametrize(
    ("on_error", "kind", "said"),
    [
        ("ignore", InvalidArgument, r'on_error= of map\(\) is \'ignore\'; it is "raise", "skip", a function'),
        (None, InvalidType, "must be .*, not None"),
        (3, InvalidType, r"or Retry\(n, …\), not 3"),
        (ValueError, InvalidType, "not <class 'ValueError'>"),
    ],
)
def test_anything_else_is_refused(on_error, kind, said):
    with pytest.raises(kind, match=said):
        Dataset(range(3)).map(abs, on_error=on_error)


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"times": 0}, InvalidArgument, "at least 1"),
        ({"times": 1.5}, InvalidType, "whole number"),
        ({"times": 1, "on": "OSError"}, InvalidType, "classes of exceptions"),
        ({"times": 1, "on": ()}, InvalidType, "classes of exceptions"),
        ({"times": 1, "then": "stop"}, InvalidArgument, "then= of Retry is 'stop'"),
        ({"times": 1, "wait": -1}, InvalidArgument, "seconds, 0 or more"),
        ({"times": 1, "wait": "1s"}, InvalidArgument, "seconds, 0 or more"),
    ],
)
def test_retry_that_makes_no_sense_is_refused(arguments, kind, said):
    with pytest.raises(kind, match=said):
        Retry(**arguments)


@pytest.mark.parametrize(
    ("keyword", "said"),
    [("retries", r"on_error=Retry\(n"), ("ignore_errors", 'on_error="skip"'), ("timeout", r"Processes\(n, timeout=")],
)
def test_names_of_others_are_answered_with_ours(keyword, said):
    with pytest.raises(InvalidType, match=said):
        Dataset(range(3)).map(abs, **{keyword: 2})


def test_retry_waits_longer_each_time(monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    ds = Dataset(range(1)).map(lambda x: 1 / x, on_error=Retry(3, wait=0.5, then=lambda *_: 0))

    assert ([0], [0.5, 1.0, 2.0]) == (ds.list(), slept)
