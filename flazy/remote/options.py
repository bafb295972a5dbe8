"""What ``flazy-worker`` can be asked for, and what is answered where that is something else.

No message shows a join code: whoever keeps what is written here would keep a key.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

from flazy.errors import InvalidArgument
from flazy.remote.handed import EXPOSED, hidden
from flazy.remote.settings import EXITS

__all__ = ["PROGRAM", "Keygen", "Place", "Work", "read", "read_keygen"]

PROGRAM = "flazy-worker"
LONGEST_NAME = 64
PLACE = re.compile(
    r"(tcp://)?(\[(?P<six>[\w.:%]+)\]|(?P<name>[\w.-]+)|(?P<alone>[\w.%]*:[\w.%]*:[\w.:%]*))(:(?P<port>\d{1,5}))?",
    re.ASCII,
)
LEVELS = ("debug", "info", "warning", "error")

DESCRIPTION = """\
Lend the cores of this machine to a program that uses Flazy on another one.

That program shows the line to paste here, FLAZY_JOIN=fz1.… flazy-worker, which
says where to connect to and holds the keys. Nothing listens on this machine.
Whoever controls that program runs code here, as you."""

FOREIGN: Final[dict[str, str]] = {
    **dict.fromkeys(
        [
            *("-j", "-n", "-p", "-w", "--concurrency", "--cores", "--cpus", "--jobs", "--n-workers", "--nprocs"),
            *("--num-processes", "--num-workers", "--num-cpus", "--procs", "--threads", "--workers", "--nworkers"),
        ],
        "it is --processes N",
    ),
    **dict.fromkeys(
        ["-H", "--address", "--connect", "--host", "--hostname", "--port", "--scheduler", "--server", "--url"],
        "it is --trainer HOST:PORT; but the join code says where the trainer is",
    ),
    **dict.fromkeys(
        ["--code", "--join-code", "--password", "--secret", "--token"],
        "write FLAZY_JOIN=… before the command, or use --join-file F or --join -",
    ),
    **dict.fromkeys(["-f", "--file"], "it is --join-file F"),
    **dict.fromkeys(["-i", "--identity", "--key-file", "--keyfile", "--private-key"], "it is --key F"),
    **dict.fromkeys(["--forever", "--persist", "--reconnect", "--restart", "--retry"], "it is --keep"),
    **dict.fromkeys(["-v", "--verbose", "--debug", "--loglevel"], "it is --log-level debug"),
    **dict.fromkeys(["-q", "--quiet", "--silent"], "it is --log-level warning"),
    **dict.fromkeys(["--worker-name", "--label"], "it is --name NAME"),
    "-V": "it is --version",
}


class Place(NamedTuple):
    """Where the trainer is reached, if not where the join code says."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker is asked for."""

    processes: int
    join: str | None
    join_file: str | None
    trainer: Place | None
    key: str | None
    keep: bool
    name: str
    log_level: str
    version: bool


@dataclass(frozen=True, slots=True)
class Keygen:
    """What ``keygen`` is asked for."""

    trainer: bool
    path: str | None
    force: bool


def read(arguments: Sequence[str]) -> Work:
    """Read the options of a worker.

    Raises
    ------
    InvalidArgument
        For what cannot be asked for.
    SystemExit
        Behind the help.
    """
    for before, argument in itertools.pairwise(["", *arguments]):
        if hidden(argument) != argument and "--join" not in {before, argument.partition("=")[0]}:
            raise InvalidArgument(EXPOSED)
    return Work(**vars(_known(_worker(), arguments)))


def read_keygen(arguments: Sequence[str]) -> Keygen:
    """Read what follows ``keygen``; the same errors."""
    return Keygen(**vars(_known(_keygen(), arguments)))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidArgument(message.removeprefix("argument "))


def _worker() -> _Parser:
    ends = "\n".join(f"  {code}  {meaning}" for code, meaning in EXITS.items())
    parser = _Parser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=f"exit codes:\n{ends}\n\nkeys that last: {PROGRAM} keygen --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--processes", metavar="N", type=_count, default=_cores(), help="how many (default: the cores, %(default)s)")
    add("--join-file", metavar="F", help="a file that holds the line; waited for, if it is not there yet")
    add("--join", metavar="-", help="read the line from standard input")
    add("--trainer", metavar="HOST[:PORT]", type=_place, help="where the trainer is, if not where the line says")
    add("--key", metavar="F", help="this machine's own key, made by keygen (default: ~/.config/flazy/worker.key)")
    add("--keep", action="store_true", help="wait for the trainer to come back instead of ending with it")
    add("--name", type=_name, default=_host(), help="what the trainer calls this worker (default: %(default)s)")
    add("--log-level", choices=LEVELS, type=str.lower, default="info", help="what is written to stderr (default: info)")
    add("--version", action="store_true", help="say which versions are here, and end")
    return parser


def _keygen() -> _Parser:
    parser = _Parser(
        prog=f"{PROGRAM} keygen",
        description="Make a key that lasts, for this machine alone, and print its public half: the\n"
        "line for the trainer's authorized_workers. A key that is there is kept.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--trainer", action="store_true", help="a key for a trainer, not for a worker")
    parser.add_argument("--path", metavar="F", help="where (default: ~/.config/flazy/worker.key, or trainer.key)")
    parser.add_argument("--force", action="store_true", help="make a new key in the place of one that is there")
    return parser


def _known(parser: _Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """Read what the parser knows; answer the rest."""
    given, rest = parser.parse_known_args(arguments)
    if "keygen" in rest:
        raise InvalidArgument(f"keygen comes first: {PROGRAM} keygen …")
    if rest:
        first = next((each for each in rest if each.startswith("-")), rest[0])
        raise InvalidArgument(_answer(first.partition("=")[0], parser))
    return given


def _answer(name: str, parser: _Parser) -> str:
    """Say what there is in the place of an option that there is not."""
    options = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001 - no other way
    near = difflib.get_close_matches(name, options, n=1)
    answer = FOREIGN.get(name) or (f"is {near[0]} meant?" if near else "--help lists what there is")
    return f"there is no {name}: {answer}"


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes, which is at least 1")
    return int(text)


def _name(text: str) -> str:
    if not text.isprintable() or not 1 <= len(text) <= LONGEST_NAME:
        raise argparse.ArgumentTypeError(f"a name has 1 to {LONGEST_NAME} characters that can be printed")
    return text


def _place(text: str) -> Place:
    """Read ``host``, ``host:port``, ``[v6]:port`` or an IPv6 address alone, with ``tcp://`` before it or not."""
    found = PLACE.fullmatch(text)
    if found is None or not 0 < int(found["port"] or 1) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no place: give HOST or HOST:PORT, e.g. localhost:5555")
    return Place(found["six"] or found["name"] or found["alone"], int(found["port"]) if found["port"] else None)


def _host() -> str:
    """Name this machine."""
    return socket.gethostname()[:LONGEST_NAME] or "?"


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
