"""Workers that are killed and stopped at random change nothing; ``make chaos`` does the same for longer.

``FLAZY_CHAOS_SECONDS`` says for how long, per test; ``FLAZY_CHAOS_SEED`` gives other pipelines and faults.
"""

import os

import pytest

from flazy.workers import zygote
from tests.chaos.faults import STOPS
from tests.chaos.scenarios import SCENARIOS, Fire

SECONDS = float(os.environ.get("FLAZY_CHAOS_SECONDS", "3"))
SEED = int(os.environ.get("FLAZY_CHAOS_SEED", "1"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.time_limit(90 + 3 * SECONDS),
    pytest.mark.filterwarnings("ignore::flazy.errors.SkippedSamples"),
    pytest.mark.skipif(not zygote.is_supported(), reason="Linux only: elsewhere nobody finds a stopped worker"),
]


def under_fire(name):
    """Run a scenario; it asserts that nobody sees anything of the faults."""
    scenario, mix = SCENARIOS[name]
    with Fire(SEED, mix, SECONDS) as fire:
        scenario(fire)
    assert fire.figures["stop" if mix is STOPS else "kill"] > 3
    return fire.figures


def test_map_in_order_is_exact_while_workers_are_killed():
    assert under_fire("ordered")["lost"] > 3


def test_map_without_order_is_exact_while_workers_are_killed():
    assert under_fire("unordered")["lost"] > 3


def test_flatmap_and_random_map_are_exact_while_workers_are_killed():
    assert under_fire("flatmap")["lost"] > 3


def test_batches_of_images_are_exact_while_workers_are_killed():
    assert under_fire("images")["lost"] > 3


def test_batches_of_records_with_a_rest_are_exact_while_workers_are_killed_and_stopped():
    under_fire("records")


def test_no_sample_is_blamed_for_the_time_for_which_its_worker_is_stopped():
    assert 0 == under_fire("stops")["left out"]


def test_deadly_samples_are_left_out_and_no_others_while_workers_are_killed_and_stopped():
    assert under_fire("deadly")["left out"] >= 6


def test_random_pipelines_are_as_without_workers_while_workers_are_killed_and_stopped():
    assert under_fire("random")["pipelines"] > 0
