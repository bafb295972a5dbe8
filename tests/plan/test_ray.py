"""``workers=Ray(n)``: the value; nothing here needs Ray."""

import copy
import pickle

import pytest

from flazy import Dataset, Ray
from flazy.errors import InvalidArgument, InvalidType
from flazy.plan.where import where_of


def test_it_is_a_value_that_spells_its_call():
    where = Ray(2, window="1GB", num_cpus=0.5, resources={"tpu": 1}, runtime_env={"pip": ["x"]}, address="auto")

    assert where == copy.deepcopy(where) == pickle.loads(pickle.dumps(where)) == where_of(where)
    assert hash(where) == hash(copy.deepcopy(where))
    assert (
        "Ray(2, window='1GB', num_cpus=0.5, resources={'tpu': 1}, runtime_env={'pip': ['x']}, address='auto')"
        == repr(where)
    )
    assert ("Ray(3)", "3 Ray actors", "1 Ray actor") == (repr(Ray(3)), str(Ray(3)), str(Ray(1)))


def test_what_is_asked_of_ray_leaves_out_what_is_not_said():
    assert {"num_cpus": 1, "num_gpus": 0} == Ray(2).options
    assert {"num_cpus": 0, "num_gpus": 0.5, "resources": {"tpu": 2}} == Ray(
        2, num_cpus=0, num_gpus=0.5, resources={"tpu": 2}
    ).options


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"n": 0}, InvalidArgument, "n=0 of Ray must be at least 1"),
        ({"num_cpus": -1}, InvalidArgument, "num_cpus=-1 of Ray must be 0 or more"),
        ({"num_gpus": float("nan")}, InvalidArgument, "num_gpus=nan of Ray"),
        ({"num_cpus": "2"}, InvalidType, "num_cpus='2' of Ray must be numbers"),
        ({"num_cpus": True}, InvalidType, "num_cpus=True of Ray"),
        ({"resources": ["tpu"]}, InvalidType, "resources=.* of Ray must be a dict"),
        ({"resources": {"tpu": "many"}}, InvalidType, "resources=.* of Ray must be numbers"),
        ({"resources": {"GPU": 1}}, InvalidArgument, "GPU is num_gpus="),
        ({"runtime_env": "env"}, InvalidType, "runtime_env='env' of Ray must be a dict"),
        ({"address": 6379}, InvalidType, "address=6379 of Ray must be text"),
        ({"address": "ray://head:10001"}, InvalidArgument, "through Ray Client results cannot be streamed"),
        ({"timeout": 3}, InvalidType, r"Ray has no 'timeout': nobody ends .* Processes\(n, timeout=…\) can"),
        ({"threads": 3}, InvalidType, "Ray has no 'threads': .*num_cpus="),
        ({"num_workers": 3}, InvalidType, "Ray has no 'num_workers': Flazy says n"),
        ({"cpus": 3}, InvalidType, "Ray has no 'cpus': it has n, window, chunk, num_cpus"),
    ],
)
def test_what_makes_no_sense_is_refused(options, error, said):
    with pytest.raises(error, match=said):
        Ray(**{"n": 2, **options})


def test_plan_shows_it():
    shown = str(Dataset(range(100)).map(abs, workers=Ray(2, num_cpus=2)).map(abs, workers=Ray(2, num_cpus=2)).explain())

    assert "2 Ray actors: map(abs) > map(abs)  2 stages in one, in order" in shown
    assert "map(abs, workers=Ray(2, num_cpus=2))" in shown


def test_batches_behind_actors_are_made_by_them():
    shown = str(Dataset(range(100)).map(abs, workers=Ray(2)).batch(5).explain())

    assert "batch(5), made or filled in place by the workers" in shown
