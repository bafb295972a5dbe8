"""Random pipelines without workers and in actors; ``FLAZY_EXAMPLES`` gives their number, as for other workers."""

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import Ray
from tests.parallel.pipelines import build, outcome, parallel_stages, trees
from tests.parallel.test_equals_serial import EXAMPLES

pytest.importorskip("ray")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shares_workers,
    pytest.mark.time_limit(60 + 10 * EXAMPLES),
    pytest.mark.usefixtures("cluster"),
]


@hypothesis.settings(max_examples=EXAMPLES)
@given(
    tree=trees(4).filter(lambda tree: 1 <= parallel_stages(tree) <= 2),
    n=st.sampled_from([1, 2]),
    chunk=st.sampled_from([None, 1, 3, 7]),
    window=st.sampled_from([None, 1, 2, 30]),
)
def test_actors_give_what_no_workers_give(tree, n, chunk, window):
    expected = outcome(build(tree, None))
    actual = outcome(build(tree, Ray(n, chunk=chunk, window=window)))

    assert expected.same_as(actual), (expected, actual)
