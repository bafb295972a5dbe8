"""The one promise, on other machines: workers that come, go and die change nothing but the time that it takes."""

import os
from importlib.util import find_spec

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from flazy import Dataset
from tests.parallel import functions as fn
from tests.parallel.pipelines import build, outcome, parallel_stages, trees
from tests.remote.crowd import JOIN, KILL, LEAVE, Crowd, Step, played
from tests.remote.hosts import JOINED, PROGRAM
from tests.transport.same import same

EXAMPLES = max(2, int(os.environ.get("FLAZY_EXAMPLES", "12")) // 4)  # each starts some hosts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.time_limit(60 + 20 * EXAMPLES),
    pytest.mark.skipif(find_spec(PROGRAM[-1]) is None, reason="there is no flazy-worker"),
]

steps = st.lists(st.builds(Step, st.integers(0, 60), st.sampled_from([JOIN, LEAVE, KILL])), min_size=1, max_size=4)


@pytest.fixture
def crowd(remote, hosts):
    """Give hosts that work for the trainer, one at first: not every plan has parallel stages from its beginning on."""

    def join():
        host = hosts.start(remote, processes=2)
        host.says(JOINED)
        return host

    crowd = Crowd(join)
    assert [0] == played(Dataset([0]).map(fn.same, workers=remote), crowd, []).values
    return crowd


@hypothesis.settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(4).filter(lambda tree: 1 <= parallel_stages(tree) <= 3), steps=steps)
def test_hosts_that_come_and_go_give_what_no_workers_give(remote, crowd, tree, steps):
    expected = outcome(build(tree, None))
    actual = played(build(tree, remote), crowd, steps)
    crowd.settle()

    assert same(expected.values, actual.values), (expected, actual)
    assert place(expected) == place(actual)


def place(outcome):
    """Give where a pass ended, or what was said: the user's own exception does not come from other machines."""
    said = outcome.error and outcome.error[2]
    return said[:3] if isinstance(said, tuple) else said


def test_long_stream_is_whole_and_in_order_while_all_of_them_are_replaced(remote, crowd):
    ds = Dataset(range(1500)).flatmap(fn.few, workers=remote).random_map(fn.old_augmentation, seed=1, workers=remote)
    steps = [Step(50, JOIN), Step(200, KILL), Step(400, KILL), Step(600, LEAVE), Step(601, KILL), Step(1800, LEAVE)]
    expected = outcome(ds.serial(), 10**6)

    assert expected.same_as(played(ds, crowd, steps, 10**6))
    crowd.settle()


def test_without_order_every_sample_comes_once(remote, crowd):
    ds = Dataset(range(800)).map(fn.slow, workers=remote, ordered=False)

    assert list(range(0, 1600, 2)) == sorted(played(ds, crowd, [Step(100, KILL), Step(300, LEAVE)], 10**6).values)
    crowd.settle()
