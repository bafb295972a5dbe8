"""The table of faults, run by Flazy and by its peers: what happened, in plain words, as data and as markdown.

    make peers-faults                                       # run every cell, in about ten minutes, and keep the table
    python -m tests.parallel.compared --peers=flazy,torch   # these columns, printed
    python -m tests.parallel.compared --write               # … and kept: peers.json, docs/reliability.md, README.md

Each cell is a process of its own with a hard limit. ``classify`` is the one judge, of Flazy too, and is pure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from benchmarks import catalogue, environment
from tests.parallel.misbehaviour import BAD, FAULTS, SAMPLES, WORKERS, Fault, Must
from tests.parallel.peers import PEERS, TIMEOUT_S

__all__ = ["CLASSES", "DATA", "classify", "condensed", "known_to", "run_cell", "table"]

ROOT = Path(__file__).parent.parent.parent
DATA = Path(__file__).with_name("peers.json")
LIMIT_S = 8.0  # for a pass, the start of the program included
ENDING_S = 12.0  # more, for the end of a program whose pass is over: some wait five seconds for a worker, then kill it
STAYING_S = 5.0  # for its processes to follow it
MARK = "FLAZY_CELL"

WHOLE = "every sample is delivered"
NAMED = "error names the sample"
UNNAMED = "error, sample not named"
HIDDEN = "error of another type hides the cause"
SHORT = "stream ends early without an error"
WRONG = "wrong samples without an error"
HANGS = "hangs"
HANGS_LATER = "error, then the program does not end"
STOPS = "stops the caller"

CLASSES = {
    WHOLE: "All 640, in order.",
    NAMED: "The samples before it are delivered; the error says which one it was, and what happened.",
    UNNAMED: "The error says what happened, and not at which sample.",
    HIDDEN: "The error is of another type, and neither it nor what it was raised from says what the function did.",
    SHORT: "The loop over the results ends as if that had been all.",
    WRONG: "A result is not what the function gave.",
    HANGS: f"Nothing more comes, and the program was still running {LIMIT_S:.0f} s after its start.",
    HANGS_LATER: "There is an error, but the end of the pool, or of the program, had not come 12 s later.",
    STOPS: "SystemExit, KeyboardInterrupt or GeneratorExit is raised in the caller, or the caller dies.",
}

SHORTLY = {
    WHOLE: "fine",
    NAMED: "named",
    UNNAMED: "not named",
    HIDDEN: "cause hidden",
    STOPS: "stop the caller",
    SHORT: "end early, silently",
    WRONG: "wrong, silently",
    HANGS: "hang",
    HANGS_LATER: "error, then hang",
}

Record = Mapping[str, Any]


# What happened, in plain words -------------------------------------------------------------------------------


def classify(fault: Fault, record: Record) -> str:
    """Say what a cell's outcome was; ``ended`` is whether its process did."""
    if not record["right"]:
        return WRONG
    if "error" not in record:
        return HANGS if not record["ended"] else STOPS
    if record["error"] is None:
        if record["delivered"] < SAMPLES:
            return SHORT
        return WHOLE if record["ended"] else HANGS
    return of_error(fault, record["error"]) if record["ended"] else HANGS_LATER


def of_error(fault: Fault, error: Record) -> str:
    """Say what an error tells; of the names of classes count those of Python, of peers and of the table alike."""
    if error["type"] in {"SystemExit", "KeyboardInterrupt", "GeneratorExit"}:
        return STOPS
    said = "\n".join([*error["classes"], *error["texts"]])
    if fault.tells and not any(word.lower() in said.lower() for word in fault.tells):
        return HIDDEN
    lines = re.sub(r"line \d+", "", "\n".join(error["texts"]))
    return NAMED if re.search(rf"\b{BAD}\b", lines) else UNNAMED


# Running a cell ----------------------------------------------------------------------------------------------


def known_to(python: str) -> dict[str, str]:
    """Give the versions of the peers that an interpreter has; those of the standard library have its own."""
    code = (
        "import importlib.util as u, importlib.metadata as m, json, platform, sys\n"
        "there = [name for name in sys.argv[1:] if u.find_spec(name)]\n"
        "installed = m.packages_distributions()\n"
        "print(json.dumps({n: m.version(n) if n in installed else platform.python_version() for n in there}))"
    )
    modules = sorted({peer.module for peer in PEERS.values()})
    command = [python, "-c", code, *modules]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=surroundings()).stdout
    found = json.loads(said)
    return {name: found[peer.module] for name, peer in PEERS.items() if peer.module in found}


def surroundings() -> dict[str, str]:
    """Give the environment of a cell: this Flazy first."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def run_cell(peer: str, fault: str, python: str = sys.executable) -> dict[str, Any]:
    """Run one peer at one fault, in processes that are gone afterwards; give its outcome."""
    started = time.monotonic()
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    with tempfile.TemporaryDirectory(prefix="cell-") as folder:
        path = Path(folder) / "outcome.jsonl"
        process = subprocess.Popen(
            [python, "-m", "tests.parallel.peers", peer, fault, str(path)],
            cwd=folder, env=surroundings() | {MARK: mark, "TMPDIR": folder},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            ended = ends(process, LIMIT_S) or ("error" in last(path) and ends(process, ENDING_S))
        finally:
            left = end(process, mark)
        told = last(path)
    outcome = {"peer": peer, "fault": fault, **told, "ended": ended, "exit": process.returncode, "left": left}
    return outcome | {"class": classify(FAULTS[fault], outcome), "seconds": round(time.monotonic() - started, 1)}


def ends(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Say whether a cell ends by itself."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(within_s)
    return process.returncode is not None


def last(path: Path) -> dict[str, Any]:
    """Read what a cell told last; it may be writing."""
    whole = [line for line in path.read_text("utf-8").split("\n")[:-1] if line] if path.exists() else []
    return json.loads(whole[-1]) if whole else {"delivered": 0, "right": True}


def end(process: subprocess.Popen[bytes], mark: str) -> int:
    """End a cell and whatever it started; give how many of its processes outlive it by some seconds."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    others = marked(mark)
    _gone, left = psutil.wait_procs(others, timeout=STAYING_S)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=2.0)
    return len(left)


def marked(mark: str) -> list[psutil.Process]:
    """Find the processes of a cell, whatever session they are in, by what their environment holds."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def kept(record: Record) -> dict[str, Any]:
    """Keep of a record what the table is made of, and the beginning of what the error said."""
    error = record.get("error")
    said = {"type": error["type"], "text": error["texts"][0][:200].partition("\n")[0]} if error else None
    names = ("peer", "fault", "class", "delivered", "left", "exit")
    return {name: record[name] for name in names} | {"error": said}


# The tables --------------------------------------------------------------------------------------------------


def good(fault: Fault, record: Record) -> bool:
    """Say whether what must be true is."""
    wanted = (SAMPLES, WHOLE) if fault.must == Must.PASS else (BAD, NAMED)
    return wanted == (record["delivered"], record["class"])


def shown(fault: Fault, record: Record | None) -> str:
    """Write one cell."""
    if record is None:
        return ""
    if record["class"] == WHOLE:
        return f"**{WHOLE}**"
    error = f"`{record['error']['type']}`" if record["error"] else ""
    detail = ", ".join(filter(None, [error, f"after {record['delivered']}"]))
    text = f"{record['class']} ({detail})"
    if record["left"]:
        text += f"; {record['left']} processes stay"
    return f"**{text}**" if good(fault, record) else text


def table(data: Record) -> str:
    """Write the whole comparison as markdown."""
    cells = {(record["peer"], record["fault"]): record for record in data["cells"]}
    peers = [peer for name, peer in PEERS.items() if any(name == key[0] for key in cells)]
    heading = ["the function, at sample 37", *(peer.title for peer in peers)]
    lines = [f"| {' | '.join(heading)} |", f"|{' --- |' * len(heading)}"]
    for fault in FAULTS.values():
        row = [shown(fault, cells.get((peer.name, fault.name))) for peer in peers]
        if any(row):
            lines.append(f"| {' | '.join([fault.name, *row])} |")
    return "\n".join([introduction(data), "", *lines, "", *(f"- *{name}*: {what}" for name, what in CLASSES.items())])


def introduction(data: Record) -> str:
    """Say how it was run."""
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    return (
        f"{SAMPLES} samples, {WORKERS} workers, one bad one (number {BAD}); {versions}. Each entry: what happened, the "
        f"error, and how many samples had been delivered. Bold: everything before the bad sample is delivered, and the "
        f"error names it; or, where nothing is wrong, every sample is. A function that hangs has {TIMEOUT_S:.0f} s, by "
        f"the limit that each library has for it."
    )


GROUPS: dict[str, Callable[[Fault], bool]] = {
    "raises an exception": lambda fault: fault.must == Must.RAISE,
    "kills its process": lambda fault: fault.must == Must.DIE,
    "returns what cannot travel": lambda fault: fault.must == Must.REFUSE,
    "hangs": lambda fault: fault.must == Must.END,
    "does what a function may do": lambda fault: fault.must == Must.PASS,
}


def condensed(data: Record) -> str:
    """Write a table small enough for the README: what happened how often, of each sort of fault."""
    cells = {(record["peer"], record["fault"]): record for record in data["cells"]}
    peers = [peer for name, peer in PEERS.items() if any(name == key[0] for key in cells)]
    lines = [f"| at one sample, the function … | {' | '.join(peer.title for peer in peers)} |"]
    lines.append(f"| --- |{' --- |' * len(peers)}")
    for about, belongs in GROUPS.items():
        faults = [fault for fault in FAULTS.values() if belongs(fault)]
        row = [of_group([cells.get((peer.name, fault.name)) for fault in faults]) for peer in peers]
        lines.append(f"| {about} ({len(faults)}) | {' | '.join(row)} |")
    return "\n".join(lines)


def of_group(records: Iterable[Record | None]) -> str:
    """Count what happened."""
    counts = Counter(record["class"] for record in records if record is not None)
    return "<br>".join(f"{counts[name]} {words}" for name, words in SHORTLY.items() if counts[name])


# Running it --------------------------------------------------------------------------------------------------


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands between two marks of a page."""
    page = path.read_text("utf-8")
    begin, stop = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, mark, rest = page.partition(begin)
    _, other, after = rest.partition(stop)
    if not mark or not other:
        raise ValueError(f"{path} has no {begin} … {stop}")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{stop}{after}", "utf-8")


def run(cells: list[tuple[str, str]], python: str) -> list[dict[str, Any]]:
    """Run cells, one after the other."""
    return [kept(run_cell(peer, fault, python)) for peer, fault in tqdm(cells, desc="faults", unit="cell")]


def merged(data: Record, found: list[dict[str, Any]], versions: Mapping[str, str]) -> dict[str, Any]:
    """Put what was found beside what was known of other cells, in the order of the table."""
    cells = {(record["peer"], record["fault"]): record for record in [*data["cells"], *found]}
    order = [(peer, fault) for fault in FAULTS for peer in PEERS]
    ran = {record["peer"] for record in found}
    newer = {PEERS[name].distribution: version for name, version in versions.items() if name in ran - {"flazy"}}
    together = dict(sorted({**data["versions"], **newer}.items()))
    return {"versions": together, "cells": [cells[key] for key in order if key in cells]}


def write(data: Record) -> None:
    """Keep the data, and put the tables into the pages."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in data["cells"])
    DATA.write_text(f'{{"versions": {json.dumps(data["versions"])}, "cells": [\n{lines}\n]}}\n', "utf-8")
    put(ROOT / "docs" / "reliability.md", "comparison", table(data))
    put(ROOT / "README.md", "comparison", condensed(data))


def interpreter(given: str) -> str:
    """Give the interpreter that has the peers: that of the benchmark, unless told."""
    if given:
        return given
    missing = environment.ready([name for name in PEERS if name in catalogue.PEERS])
    for peer, why in missing.items():
        print(f"{peer} is left out: {why}")
    return str(environment.PYTHON)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(PEERS), help="names with commas (all that are installed)")
    parser.add_argument("--faults", default="", help="a part of their names (all)")
    parser.add_argument("--python", default="", help="an interpreter that has the peers (that of the benchmark)")
    parser.add_argument("--write", action="store_true", help="keep what was found, beside what was known of the others")
    given = parser.parse_args()
    python = interpreter(given.python)
    versions = {name: version for name, version in known_to(python).items() if name in given.peers.split(",")}
    cells = [(peer, fault) for fault in FAULTS if given.faults in fault for peer in versions]
    found = run(cells, python)
    print(table(merged({"versions": {}, "cells": []}, found, versions)))
    if given.write:
        write(merged(json.loads(DATA.read_text("utf-8")), found, versions))


if __name__ == "__main__":
    main()
