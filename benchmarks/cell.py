"""One cell: a peer at a workload, once, in a process of its own. Prints one line of JSON.

    python -m benchmarks.cell flazy image_batch --seconds 2

The line comes before the peer is closed: a peer that hangs at its end has still been measured.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
from collections.abc import Iterator
from typing import Any

from benchmarks import once, streaming
from benchmarks.catalogue import IMAGE_MB, PEERS, REMOTE, STREAMS
from benchmarks.workloads import find


@contextlib.contextmanager
def closing(thing: Any) -> Iterator[Any]:
    """Close what can be closed, be it a generator, a pool or neither."""
    try:
        yield thing
    finally:
        close = getattr(thing, "close", None)
        if close is not None:
            close()


def measure(peer: Any, workload: str, seconds: float) -> None:
    """Measure and print, then close."""
    if workload in STREAMS or workload in REMOTE:
        work = find(REMOTE.get(workload, workload))
        work.sign([next(work.serial())])  # what is made once, is made now
        with closing(peer.pipeline(work)) as pipeline:
            figures, passes = streaming.measure(
                pipeline,
                work,
                seconds,
                from_start=getattr(peer, "FROM_START", False),
                checked_by=streaming.Unordered if getattr(peer, "UNORDERED", False) else streaming.Checked,
            )
            report({"mb_s": figures["rate"] * IMAGE_MB} | figures if workload in REMOTE else figures)
            del passes
        return
    with contextlib.ExitStack() as open_ones:
        report(once.MEASURES[workload](peer, lambda thing: open_ones.enter_context(closing(thing))))


def report(figures: dict[str, float]) -> None:
    print(json.dumps({"figures": figures}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("workload")
    parser.add_argument("--seconds", type=float, default=2.0, help="to measure, beyond the start (2)")
    given = parser.parse_args()
    peer = importlib.import_module(f"benchmarks.peers.{PEERS[given.peer].module}")
    measure(peer, given.workload, given.seconds)


if __name__ == "__main__":
    main()
