"""What an actor leaves behind when it dies, and what is read from that; nothing here needs Ray."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from flazy.workers.contract import STALE
from flazy.workers.launch import Running, running_in
from flazy.workers.ray import record as records
from flazy.workers.ray.record import PREFIX, Record, death_of, read

NOTES = """
import ctypes, os, signal, sys
from array import array
from flazy.plan.loops import OUTSIDE
from flazy.workers.ray import record as records

records.SHM = {folder!r}
record = records.Record(near=False)
record.memory[:4] = memoryview(array("q", (7, 3, 5, OUTSIDE)))
print(record.path, flush=True)
"""


def left_by(end, folder=records.SHM):
    """Run a program that notes something in a record and ends; give its path."""
    command = [sys.executable, "-c", f"{NOTES.format(folder=folder)}{end}\nos.kill(os.getpid(), signal.SIGKILL)"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
    return ended.stdout.strip()


ENDS = {
    "exit": ("os._exit(5)", "exited with code 5", 5, True),
    "stale": (f"os._exit({STALE})", "ended, since modules that it had loaded have changed", STALE, False),
    "segfault": ("ctypes.string_at(0)", "was killed by SIGSEGV", -signal.SIGSEGV, True),
    "abort": ("os.abort()", "was killed by SIGABRT", -signal.SIGABRT, True),
    "kill": ("", "was killed, or its node was lost", None, False),
}


@pytest.mark.parametrize("name", ENDS)
def test_end_and_what_was_running_are_read_after_it(name):
    end, how, code, own = ENDS[name]
    path = left_by(end)
    note = read(path)
    death, is_own = death_of("actor 1", note, "Ray says so")

    assert (how, code, own) == (death.how, death.code, is_own)
    assert Running(7, 3, (5,), sys.maxsize) == running_in(note.record)
    assert not pathlib.Path(path).exists()
    assert ("in string_at" in death.stack) == (name == "segfault")


def test_without_a_record_nobody_knows_and_ray_is_quoted_without_its_guesses():
    said = "The actor died.\n\tpid: 4\nThe actor is dead because its node\n has died. Some common causes include: (1) …"
    death, own = death_of("actor 1", read("/dev/shm/flazy-ray-is-not-there"), said)

    assert ("The actor is dead because its node has died.", False) == (death.words, own)


def test_end_of_a_child_that_a_function_has_forked_is_not_the_actors():
    fork_and_wait = "child = os.fork()\nif not child: os._exit(9)\nos.waitpid(child, 0)"
    death, _own = death_of("actor 1", read(left_by(fork_and_wait)), "")

    assert "was killed, or its node was lost" == death.how


def test_record_that_nobody_holds_is_removed_after_an_hour(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "SHM", str(tmp_path))
    old, held, fresh = [tmp_path / f"{PREFIX}{name}" for name in ("old", "held", "fresh")]
    other = tmp_path / "other"
    for path in (old, held, fresh, other):
        path.touch()
        if path != fresh:
            os.utime(path, (1, 1))
    with held.open() as file:
        records.fcntl.flock(file, records.fcntl.LOCK_EX)
        made = left_by("", str(tmp_path))

    assert {held, fresh, other, pathlib.Path(made)} == set(tmp_path.iterdir())


def test_record_for_a_driver_on_the_same_node_has_no_name_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "SHM", str(tmp_path))
    reading, writing = os.pipe()
    ending, end = os.pipe()
    if not (child := os.fork()):
        os.write(writing, Record(near=True).path.encode())
        os.close(end)
        os.read(ending, 1)
        os._exit(5)
    with pathlib.Path(os.read(reading, 1000).decode()).open("rb") as file:
        os.close(end)
        os.waitpid(child, 0)
        death, own = death_of("actor 1", records.read_open(file.fileno()), "")
    for each in (reading, writing, ending):
        os.close(each)

    assert ("exited with code 5", True, []) == (death.how, own, list(tmp_path.iterdir()))
