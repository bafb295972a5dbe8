"""What tests do to hosts: they are heard, stopped, killed, and what they leave is found."""

import signal
import textwrap

import psutil
import pytest

from tests.parallel import scripts
from tests.remote.hosts import Host

CHILD = """
    import pathlib, signal, subprocess, sys, tempfile
    child = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"], start_new_session=True)
    pathlib.Path(tempfile.gettempdir(), "flazy-left").touch()
    print("the child is", child.pid, flush=True)
    signal.pause()
"""


def started(source, **options):
    return Host(program=("-S", "-c", textwrap.dedent(source)), **options)


def test_end_is_waited_for_and_its_code_looked_at():
    with started("print('so far'); raise SystemExit(3)") as host:
        host.wait(3)

        assert "so far" == host.output
        assert [] == host.remains()
    with started("raise SystemExit(3)") as host, pytest.raises(AssertionError, match="ended with 3, not 0"):
        host.wait()


def test_line_is_waited_for():
    with started("print('one 1'); print('two 2')") as host:
        assert "two 2" == host.says(r"two \d")
        assert "one 1" == host.says("one")
        with pytest.raises(AssertionError, match="no line with 'three' in\none 1\ntwo 2"):
            host.says("three")


def test_what_it_leaves_is_found_and_ended_with_it():
    with started(CHILD) as host:
        child = psutil.Process(int(host.says("the child is").split()[-1]))

        assert {host.pid, child.pid} == {process.pid for process in host.alive()}
        host.kill()
        process, file = sorted(host.remains(0.05))
        assert str(child.pid) in process
        assert "flazy-left" == file
    assert scripts.ended(child)
    assert not host.folder.exists()


def test_it_stops_and_goes_on():
    with started("import signal; signal.pause()") as host:
        host.stop()

        assert psutil.STATUS_STOPPED == psutil.Process(host.pid).status()
        host.signal(signal.SIGTERM)  # which comes when it goes on
        host.go_on()
        host.wait(-signal.SIGTERM)
