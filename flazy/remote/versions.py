"""What must be equal on both sides of a connection, and in words what is not.

Functions travel as byte code, which another minor version of Python takes for something else and crashes on; so both
sides are compared before any function is sent.  Only what is said is compared here, nothing is asked for.

The one rule: what the other side says may be anything, and is shown only in short, without control characters.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import platform
import sys
import unicodedata
from collections.abc import Callable, Mapping
from typing import NamedTuple

from flazy.remote.messages import PROTOCOL
from flazy.transport.wire import VERSION

__all__ = ["SIDES", "about", "differences", "plain", "sides", "table"]

SIDES = ("this machine", "the other machine")
LONGEST = 32  # characters of a version or a name that are shown: a table of all of them fits into a `TurnedAway`
UNSAID = "?"


@functools.cache
def _said() -> dict[str, str]:
    return {
        "python": f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}",
        # Early releases of one minor version have other byte code than later ones.
        "bytecode": str(int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little")),
        "protocol": f"{PROTOCOL}.{VERSION}",
        "cloudpickle": _version("cloudpickle"),
        "numpy": _version("numpy"),
        "byteorder": sys.byteorder,
        # From here on told only, for messages and logs.
        "flazy": _version("flazy"),
        "release": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
    }


def about() -> dict[str, str]:
    """Tell of this interpreter what the other side compares with its own, and a little more.

    No package is imported for it, so that it can be told where one is missing, too.
    """
    return dict(_said())


def _version(package: str) -> str:
    """Give the version of what is loaded; of what is not, the one that is installed."""
    loaded = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(loaded, str):
        return loaded
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _major(version: str) -> str:
    return version.partition(".")[0]


class _Rule(NamedTuple):
    """One thing that both sides have: its name in words, what to do about it, and what of it must be equal."""

    name: str
    remedy: str
    part: Callable[[str], str] = str


RULES: dict[str, _Rule] = {
    "python": _Rule("Python", "run the same minor version on both sides, e.g. {0}"),
    "bytecode": _Rule("byte code", "run the same release of Python on both sides"),
    "protocol": _Rule("protocol", "install the same Flazy: pip install flazy=={flazy}"),
    "cloudpickle": _Rule("cloudpickle", "pip install cloudpickle=={0}"),
    "numpy": _Rule("numpy", "pip install 'numpy=={0}.*'", _major),
    "byteorder": _Rule("byte order", "machines of one byte order are needed"),
}


def differences(
    here: Mapping[str, str], there: Mapping[str, str], *, called: tuple[str, str] = SIDES
) -> str | None:
    """Say why two sides cannot work together, or None where they can.

    Parameters
    ----------
    here, there
        What `about` told; what is missing counts as different, and neither is believed.
    called
        What the two are called in the text, which may be shown on either.

    Returns
    -------
    str or None
        A table with a line for each thing that differs, and below it what to do on the second of the two.
    """
    parts = [{key: rule.part(said.get(key, UNSAID)) for key, rule in RULES.items()} for said in (here, there)]
    apart = [key for key in RULES if parts[0][key] != parts[1][key]]
    if "python" in apart and "bytecode" in apart:
        apart.remove("bytecode")  # it follows
    if not apart:
        return None
    heads = sides(here.get("host", ""), there.get("host", ""), called)
    rows = [(RULES[key].name, plain(here.get(key, UNSAID)), plain(there.get(key, UNSAID))) for key in apart]
    if here.get("python") == there.get("python") and "bytecode" in apart:
        rows.append(("release", plain(here.get("release", UNSAID)), plain(there.get("release", UNSAID))))
    if "protocol" in apart:
        rows.append(("Flazy", plain(here.get("flazy", UNSAID)), plain(there.get("flazy", UNSAID))))
    flazy = plain(here.get("flazy", UNSAID))
    todo = [RULES[key].remedy.format(RULES[key].part(plain(here.get(key, UNSAID))), flazy=flazy) for key in apart]
    return "\n".join([*table([("", *heads), *rows]), f"What to do on {heads[1]}:", *[f"  {line}" for line in todo]])


def sides(here: str, there: str, called: tuple[str, str] = SIDES) -> tuple[str, str]:
    """Name two sides by a word each, and by their machines where these are known and not the same."""
    hosts = plain(here), plain(there)
    if not all(hosts) or hosts[0] == hosts[1]:
        return called
    words = [word if word == host else f"{word} ({host})" for word, host in zip(called, hosts, strict=True)]
    return words[0], words[1]


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Set rows of text in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def plain(text: str, most: int = LONGEST) -> str:
    """Make text of strangers fit to be shown: short, on one line, with nothing that a terminal obeys."""
    cut = str(text)[: most + 1]
    shown = "".join([sign if unicodedata.category(sign)[0] not in "CZ" or sign == " " else "?" for sign in cut])
    return shown if len(cut) <= most else shown[: most - 1] + "…"
