"""What a kind of workers cannot do is skipped, with its reason."""

from pathlib import Path

import pytest

from tests.pools.kinds import KINDS


def pytest_collection_modifyitems(items):
    """Skip by marks: a test that skips itself has raised, and workers that it shares with others end with it."""
    for item in items:
        if item.path.parent == Path(__file__).parent and hasattr(item, "callspec"):
            for reason in reasons(**item.callspec.params):
                item.add_marker(pytest.mark.skip(reason=reason))


def reasons(where="", check=None, **_):
    """Say what stands against holding a kind to a promise."""
    lacks = KINDS[where].lacks if where else {}
    return [lacks[capability] for capability in check.needs if capability in lacks] if check else []
