"""What holds for every test: it ends in time, and it leaves nothing behind.

``nothing_left`` compares what the process holds before and after (see ``leaks.py``); the hooks end a test that
hangs, with the stacks of all its threads.  Fixtures for one part of Flazy belong beside the tests of that part.
"""

from __future__ import annotations

import faulthandler
import gc
import itertools
import os
import tempfile
from collections.abc import Generator, Hashable, Iterator

import hypothesis
import pytest

from tests import leaks

TIME_LIMIT_S = 60.0

_STDERR = pytest.StashKey[int]()
_RAISED = pytest.StashKey[bool]()
_SHARES = pytest.StashKey[bool]()

# Machines that are shared stop for a while now and then; that is no fault of the code under test.
hypothesis.settings.register_profile(
    "flazy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("flazy")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real stderr: a process that is ended never shows what pytest captured."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.stash[_STDERR] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the descriptor back."""
    os.close(config.stash[_STDERR])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what tells nothing of Flazy, unless it is asked for; a ``-m`` in the settings would be overridden."""
    if "peers" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("peers")]
        items[:] = [item for item in items if not item.get_closest_marker("peers")]
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """Exempt what the imports made from collection, or each test would pay for walking all of it."""
    exempt()


def exempt() -> None:
    """Leave what is there out of what the collector looks at.

    Each test has a collection, and pytest keeps something of every test: after thousands of them one takes 80 ms, which
    made six minutes of the suite.
    """
    gc.collect()
    gc.freeze()


TESTS_BETWEEN = 50
_tests = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """End the whole run with all stacks when one test, its fixtures included, takes too long."""
    both = nextitem is not None and _shares(item) and _shares(nextitem)
    item.stash[_SHARES] = both and _group(item) == _group(nextitem)
    if item.config.getoption("usepdb"):  # a person at the debugger takes as long as it takes
        return (yield)
    marker = item.get_closest_marker("time_limit")
    faulthandler.dump_traceback_later(
        marker.args[0] if marker else TIME_LIMIT_S, exit=True, file=item.config.stash[_STDERR]
    )
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Keep the name of the test out of the environment where workers are shared: they are for one environment."""
    if not _shares(pyfuncitem):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST")
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test raised."""
    item.stash[_RAISED] = item.stash.get(_RAISED, False) or call.excinfo is not None
    return (yield)


@pytest.fixture(autouse=True, scope="session")
def own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Mark our children, and give us a temp folder of our own: what another session leaves is not ours to count."""
    own = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*leaks.MARK)
        patch.setenv("TMPDIR", own)
        patch.setattr(tempfile, "tempdir", None)
        if "XDG_RUNTIME_DIR" in os.environ:
            patch.setenv("XDG_RUNTIME_DIR", own)
        yield


# What was there when the last test had left nothing, which is what the next one finds: looking takes longer than most
# tests, so it is done once between two of them.
_held: list[leaks.Snapshot] = []
_begun: list[leaks.Snapshot] = []  # the same, from before the first of those that share workers


@pytest.hookimpl
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> None:
    """Look again before the next test where something is opened for several of them."""
    if fixturedef.scope != "function":
        _held.clear()


@pytest.hookimpl
def pytest_fixture_post_finalizer(fixturedef: pytest.FixtureDef[object]) -> None:
    """And where it is closed."""
    if fixturedef.scope != "function":
        _held.clear()


def _shares(item: pytest.Item) -> bool:
    return item.get_closest_marker("shares_workers") is not None


def _group(item: pytest.Item) -> tuple[Hashable, ...]:
    """Give what is common to those that share workers: the file, and the parameters that the marker names.

    What is opened for one of these is there when leaks are looked for, so it has to be there at the first look, too.
    """
    marker, callspec = item.get_closest_marker("shares_workers"), getattr(item, "callspec", None)
    names = marker.args if marker is not None and callspec is not None else ()
    return item.path, *[callspec.params.get(name) for name in names]


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process, thread, descriptor, memory or file behind."""
    if not _shares(request.node):
        leaks.shut_down()  # where the last of those that share was skipped
    known = _begun or _held
    before = known.pop() if known else leaks.take()
    yield
    raised = request.node.stash.get(_RAISED, False)
    if request.node.stash[_SHARES] and not raised:
        _begun.append(before)
        return
    leaks.shut_down()
    if raised:
        return  # the traceback of a failed test keeps its frames, and with them what they hold
    request.node.funcargs.clear()  # the values of fixtures that are closed by now; pytest drops them only later
    left, now = leaks.settle(before, leaks.SETTLE_SECONDS)
    if left:
        shared = ", or by one before it that shares its workers" if _shares(request.node) else ""
        pytest.fail(f"left behind by this test{shared}:\n" + "\n".join(left), pytrace=False)
    _held.append(now)
    if next(_tests) % TESTS_BETWEEN == 0:
        exempt()
