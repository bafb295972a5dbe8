"""One function run over some numbers in two processes: by Flazy and by each of its peers, as their manuals have it.

    python -m tests.parallel.peers torch "raises StopIteration" outcome.jsonl

is one cell of the comparison, in a process of its own: a peer, a fault, and a file for the outcome, in lines of JSON.
What is delivered is counted as it comes, so that a cell which hangs has told how far it got.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import json
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parallel.misbehaviour import FAULTS, SAMPLES, WORKERS, Misbehaving, Must

__all__ = ["PEERS", "TIMEOUT_S", "Peer"]

TIMEOUT_S = 2.0  # for faults that hang, where a peer has such a limit
LONGEST = 20_000  # of a text, which may have 10 MB

Function = Callable[[int], Any]


# Each gives its results in order; leaving the context is what its manual says must be done at the end ----


@contextmanager
def by_flazy(fn: Function, n: int, timeout_s: float | None = None) -> Iterator[Iterator[Any]]:
    flazy = importlib.import_module("flazy")
    limit = {"timeout": timeout_s} if timeout_s else {}
    with flazy.Dataset(range(n)).map(fn, workers=flazy.Processes(WORKERS, **limit)).open() as run:
        yield run


@contextmanager
def by_pool(fn: Function, n: int, timeout_s: float | None = None) -> Iterator[Iterator[Any]]:
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        results = pool.imap(fn, range(n))
        yield (results.next(timeout_s) for _ in range(n)) if timeout_s else iter(results)


@contextmanager
def by_futures(fn: Function, n: int, timeout_s: float | None = None) -> Iterator[Iterator[Any]]:
    with concurrent.futures.ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork")) as executor:
        yield executor.map(fn, range(n), timeout=timeout_s)


@contextmanager
def by_joblib(fn: Function, n: int, timeout_s: float | None = None) -> Iterator[Iterator[Any]]:
    joblib = importlib.import_module("joblib")
    parallel = joblib.Parallel(WORKERS, return_as="generator", timeout=timeout_s)
    yield parallel(joblib.delayed(fn)(x) for x in range(n))


@contextmanager
def by_torch(fn: Function, n: int, timeout_s: float | None = None) -> Iterator[Iterator[Any]]:
    torch = importlib.import_module("torch.utils.data")
    yield iter(torch.DataLoader(
        Items(fn, n), batch_size=None, collate_fn=as_it_is, num_workers=WORKERS, timeout=timeout_s or 0,
    ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Items:
    """What PyTorch calls a dataset of map style."""

    fn: Function
    n: int

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return self.fn(index)


def as_it_is(item):
    return item


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer; ``module`` is what must be there, ``distribution`` what gives it its version."""

    name: str
    title: str
    module: str
    stream: Callable[..., AbstractContextManager[Iterator[Any]]]
    distribution: str = "Python"

    def run(self, fn: Function, n: int) -> list[Any]:
        """Run a function to the end; for a pool inside a pool."""
        with self.stream(fn, n) as results:
            return list(results)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("flazy", "Flazy", "flazy", by_flazy, "flazy"),
        Peer("torch", "PyTorch `DataLoader`", "torch", by_torch, "torch"),
        Peer("pool", "`multiprocessing` `Pool.imap`", "multiprocessing", by_pool),
        Peer("futures", "`ProcessPoolExecutor.map`", "concurrent.futures", by_futures),
        Peer("joblib", "joblib `Parallel` (loky)", "joblib", by_joblib, "joblib"),
    )
}


# One cell -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inner:
    """Runs a function in a pool of the same kind; travels as a name."""

    name: str

    def __call__(self, fn: Function, n: int) -> list[Any]:
        return PEERS[self.name].run(fn, n)


def error_of(error: BaseException) -> dict[str, Any]:
    """Describe an error and everything that it was raised from, by what `str` and the names of classes say."""
    classes, texts, one = [], [], error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        classes += [cls.__name__ for cls in type(one).__mro__]
        texts.append(text_of(one)[:LONGEST])
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return {"type": type(error).__name__, "classes": classes, "texts": texts}


def text_of(error: BaseException) -> str:
    try:
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    except Exception:  # some cannot be printed, and that is the fault
        return "".join(traceback.format_exception_only(error))


def cell(peer: Peer, fault: str, tell: Callable[[dict[str, Any]], None]) -> None:
    """Run it, and tell what comes: the count as it grows, then how the pass ended."""
    limit = TIMEOUT_S if FAULTS[fault].must == Must.END else None
    outcome: dict[str, Any] = {"error": None}
    delivered, right = 0, True
    try:
        with peer.stream(Misbehaving(fault, Inner(peer.name)), SAMPLES, limit) as results:
            try:
                for value in results:
                    right = right and value == delivered
                    delivered += 1
                    tell({"delivered": delivered, "right": right})
            except BaseException as error:
                outcome["error"] = error_of(error)
            tell({"delivered": delivered, "right": right} | outcome)
    except BaseException as error:  # of the context's end, once the outcome is told; or of its beginning
        tell({"delivered": delivered, "right": right, "error": outcome["error"] or error_of(error)})


def main() -> None:
    name, fault, path = sys.argv[1:]
    with Path(path).open("w", buffering=1, encoding="utf-8") as lines:
        cell(PEERS[name], fault, lambda record: print(json.dumps(record), file=lines))


if __name__ == "__main__":
    main()
