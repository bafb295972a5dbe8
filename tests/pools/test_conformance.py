"""Every kind of workers keeps every promise that it can keep."""

import pytest

from tests.pools import faults  # noqa: F401 - it adds checks
from tests.pools.conformance import CHECKS
from tests.pools.kinds import CAPABILITIES, KINDS

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers("where")]


@pytest.fixture(scope="module")
def where(request):
    """Open one kind for all of its checks; to start a host takes longer than most of them."""
    with KINDS[request.param].opened() as where:
        yield where


@pytest.mark.parametrize("where", [name for name, kind in KINDS.items() if not kind.missing], indirect=True)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_promise_is_kept(where, check):
    check.run(where)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.missing])
def test_kind_is_here(name):
    pytest.skip(KINDS[name].missing)


def test_what_is_needed_and_lacked_is_known_with_a_reason():
    needed = {capability for check in CHECKS.values() for capability in check.needs}
    lacked = {capability: reason for kind in KINDS.values() for capability, reason in kind.lacks.items()}

    assert CAPABILITIES.keys() == needed
    assert needed >= lacked.keys()
    assert all(lacked.values())
