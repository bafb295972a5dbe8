"""A short run of the fuzzer, and that it would find what it looks for; ``make chaos`` runs a million frames."""

import os
import subprocess
import sys

import pytest

from flazy.errors import ProtocolError
from flazy.transport.codec import decode
from tests.transport import fuzz

SEED = int(os.environ.get("FLAZY_FUZZ_SEED", "4"))


@pytest.mark.slow
def test_frames_that_nobody_made_are_read_or_refused():
    tally = fuzz.Tally()
    fuzz.run(SEED, range(10_000), tally)

    assert 2 * len(fuzz.READERS) == len(tally.outcomes)
    assert min(tally.outcomes.values()) > 50


def test_the_same_seed_makes_the_same_frames():
    assert fuzz.made(SEED, 17) == fuzz.made(SEED, 17)
    assert fuzz.made(SEED, 17) != fuzz.made(SEED, 18)


def leaks_errors(frames):
    fuzz.read_values(frames)
    raise KeyError("a")


def unpickles(frames):
    decode(frames)


def swallows_memory(frames):
    fuzz.sink = bytearray(500 * sum(map(len, frames)) + 2**22)


def takes_long(frames):
    while fuzz.time.thread_time() < takes_long.until:
        pass


@pytest.mark.parametrize("fault", [leaks_errors, unpickles, swallows_memory])
def test_fuzzer_finds_what_it_looks_for(fault, monkeypatch):
    monkeypatch.setitem(fuzz.READERS, "values", fault)
    with pytest.raises(fuzz.Failed, match="--seed 4 --first") as caught:
        fuzz.run(4, range(2000), fuzz.Tally())

    assert "read as values:\n" in str(caught.value)


def test_fuzzer_finds_a_frame_that_takes_long(monkeypatch):
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.01)
    monkeypatch.setitem(fuzz.READERS, "values", takes_long)
    takes_long.until = fuzz.time.thread_time() + 0.05
    with pytest.raises(fuzz.Failed, match="it took"):
        fuzz.run(4, range(50), fuzz.Tally())


def test_fuzzer_finds_checks_that_are_missing(monkeypatch):
    monkeypatch.setattr(fuzz, "opened", lambda payload, _: ((None, None, []), payload.open()[1:]))
    with pytest.raises(fuzz.Failed, match=r"read as (parts|groups)"):
        fuzz.run(4, range(10_000), fuzz.Tally())


def test_command_says_which_frame_crashed_the_interpreter(tmp_path):
    source = "import os, sys; from tests.transport import fuzz; fuzz.READERS['values'] = lambda frames: os.abort()\n"
    source += "sys.argv[1:] = ['--frames', '50', '--seed', '4']; sys.exit(fuzz.main())"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=50)

    assert 1 == run.returncode
    assert "the interpreter died of SIGABRT" in run.stdout
    assert "again: python -m tests.transport.fuzz --seed 4 --first" in run.stdout


def test_a_frame_that_is_refused_is_counted_as_such():
    tally = fuzz.Tally()
    fuzz.read("values", [b"junk"], tally)

    assert {"values refused": 1} == tally.outcomes
    with pytest.raises(ProtocolError):
        decode([b"junk"])
