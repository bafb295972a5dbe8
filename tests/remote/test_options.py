"""What ``flazy-worker`` can be asked for, and how it answers the rest."""

import os
import socket

import pytest

from flazy.errors import InvalidArgument
from flazy.remote.options import Keygen, Place, Work, read, read_keygen

CODE = "fz1.eyJob3N0IjoiMTI3LjAuMC4xIn0"
PLAIN = Work(
    processes=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    join=None, join_file=None, trainer=None, key=None, keep=False, name=socket.gethostname()[:64], log_level="info",
    version=False,
)  # fmt: skip


def test_nothing_need_be_asked():
    assert PLAIN == read([])


def test_everything_can_be_asked():
    asked = ["--processes", "3", "--join", "-", "--join-file", "f", "--trainer", "gpu1:7001", "--key=k", "--keep"]

    assert Work(3, "-", "f", Place("gpu1", 7001), "k", True, "desk", "debug", True) == read(
        [*asked, "--name", "desk", "--log-level", "DEBUG", "--version"]
    )
    assert Keygen(trainer=False, path=None, force=False) == read_keygen([])
    assert Keygen(trainer=True, path="f", force=True) == read_keygen(["--trainer", "--path", "f", "--force"])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("gpu1", ("gpu1", None)),
        ("gpu1.example.org:5555", ("gpu1.example.org", 5555)),
        ("tcp://10.0.0.1:1", ("10.0.0.1", 1)),
        ("[fe80::1]:65535", ("fe80::1", 65535)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
    ],
)
def test_places_are_read(text, place):
    assert place == read(["--trainer", text]).trainer


@pytest.mark.parametrize(
    "text", ["", ":5555", "gpu1:", "gpu1:0", "gpu1:65536", "gpu1:x", "[::1", "[]:1", "a b", "a/b:1"]
)
def test_what_is_no_place_is_refused(text):
    with pytest.raises(InvalidArgument, match=r"--trainer: .* is no place: give HOST or HOST:PORT"):
        read(["--trainer", text])


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (["--workers", "8"], "there is no --workers: it is --processes N"),
        (["--workers=8"], "there is no --workers: it is --processes N"),
        (["--keep", "--num-processes", "8"], "there is no --num-processes: it is --processes N"),
        (["-n", "8"], "there is no -n: it is --processes N"),
        (["--host", "gpu1"], "there is no --host: it is --trainer HOST:PORT"),
        (["--token", "x"], "there is no --token: write FLAZY_JOIN=… before the command"),
        (["--verbose"], "there is no --verbose: it is --log-level debug"),
        (["--proceses", "8"], "there is no --proceses: is --processes meant"),
        (["--proc", "8"], "there is no --proc: "),  # no abbreviations: they would break with the next option
        (["--frobnicate"], "there is no --frobnicate: --help lists what there is"),
        (["--keep", "keygen"], "keygen comes first"),
        (["--processes", "0"], "'0' is no number of processes"),
        (["--processes", "many"], "'many' is no number of processes"),
        (["--processes"], "--processes: expected one argument"),
        (["--name", "a\nb"], "--name: a name has 1 to 64 characters that can be printed"),
        (["--log-level", "loud"], "--log-level: invalid choice: 'loud'"),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(given, answer):
    with pytest.raises(InvalidArgument) as caught:
        read(given)

    assert answer in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [[CODE], [f"FLAZY_JOIN={CODE}"], [f"--code={CODE}"], ["--processes", CODE], [CODE, "keygen"], ["--name", CODE]],
)
def test_join_code_on_the_command_line_is_refused_and_not_shown(given):
    with pytest.raises(InvalidArgument) as caught:
        read(given)

    assert CODE not in str(caught.value)


def test_keygen_answers_too():
    with pytest.raises(InvalidArgument, match="there is no --frce: is --force meant"):
        read_keygen(["--frce"])
