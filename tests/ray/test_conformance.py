"""Actors of a Ray cluster keep what every kind of workers promises."""

import pytest

pytest.importorskip("ray")

from flazy import Ray
from tests.pools import faults  # noqa: F401 - it adds checks
from tests.pools.conformance import CHECKS

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers, pytest.mark.usefixtures("cluster")]

LACKS = {"timeouts"}  # nobody ends a function that hangs in an actor


def actors(n=2, **options):
    """Give actors of a quarter of a CPU, so that there is room for those of several stages."""
    return Ray(n, num_cpus=0.25, **options)


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if not LACKS.intersection(check.needs)])
def test_promise_is_kept(name):
    CHECKS[name].run(actors)
