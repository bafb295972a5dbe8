"""Which place in shared memory a task gets for what it will give.

Where samples have looked alike so far and go to a batch, it is rows of a block that they fill with others of their
batch; otherwise any block that is as large as the results so far let expect.  A guess that turns out wrong costs a
copy, never a result.
"""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakValueDictionary

from flazy.errors import ProtocolError
from flazy.transport.arena import Lease
from flazy.transport.layout import Layout
from flazy.transport.payload import LARGE, Encoded
from flazy.transport.wire import Result, Slab, Task
from flazy.workers.fleet import Fleet

__all__ = ["Lending"]

SPARE = 1.02  # of the bytes that are expected, for arrays that differ a little and for their alignment


class Lending:
    """The places of one parallel stage; used by the hub thread only.

    Parameters
    ----------
    fleet
        Keeps what is lent to each worker.
    rows
        The size of the batches that the outputs go to; 0 if to none.
    """

    def __init__(self, fleet: Fleet, rows: int) -> None:
        self._fleet = fleet
        self._rows = rows
        self._spec = b""  # what samples look like that can be written into rows of a batch; of late
        self._batches: WeakValueDictionary[int, Lease] = WeakValueDictionary()
        self._samples: dict[int, int] = {}  # of the tasks that are under way
        self._large = 0.0  # bytes of large arrays that a sample gave of late

    def placed(self, worker: int, task: Task, first: int, samples: int) -> Task:
        """Add a place to a task of so many samples; ``first`` counts those that came before, in the whole stage."""
        self._samples[task.task] = samples
        row = first % self._rows if self._rows else 0
        # From the second attempt on parts come one by one, and a block is lent for the first part alone.
        if self._spec and task.attempt == 1 and not task.skip:
            lease, slab = self._slab(first // self._rows, row, samples)
            if lease is not None and self._fleet.lend(worker, task.run, task.task, lease):
                return replace(task, row=row, block=lease.block, slab=slab)
        nbytes = int(self._large * samples * SPARE)
        lease = self._lease(nbytes) if nbytes >= LARGE else None
        if lease is not None and self._fleet.lend(worker, task.run, task.task, lease):
            return replace(task, row=row, block=lease.block)
        return replace(task, row=row)

    def measure(self, result: Result) -> None:
        """Learn what samples look like, and how much one weighs: at once if more than before, slowly if less.

        Raises
        ------
        ProtocolError
            For a spec of samples that is none, or that nobody asked for; nothing has changed.
        """
        assert isinstance(result.payload, Encoded)
        if result.spec and result.spec != self._spec:
            if not self._rows:
                raise ProtocolError("a spec of samples that go to no batch")
            Layout.of(result.spec, self._rows)
            self._spec = result.spec
            self._batches.clear()
        if result.filled:
            result.payload.nbytes += result.filled * Layout.of(self._spec, self._rows).sample_nbytes
        else:
            found = result.payload.large / self._samples.get(result.task, 1)
            self._large = max(found, 0.9 * self._large)
        if result.last:
            self._samples.pop(result.task, None)

    def _slab(self, batch: int, row: int, samples: int) -> tuple[Lease | None, Slab]:
        """Give rows for samples: some of their batch's block, or a block of their own if they make several batches.

        The block of a batch lives while somebody writes into it or waits for the rest of it.
        """
        if row + samples > self._rows:
            return self._lease(Layout.of(self._spec, samples).nbytes), (self._spec, samples, 0)
        lease = self._batches.get(batch)
        if lease is None and (lease := self._lease(Layout.of(self._spec, self._rows).nbytes)) is not None:
            self._batches[batch] = lease
        return lease, (self._spec, self._rows, row)

    def _lease(self, nbytes: int) -> Lease | None:
        """Give a block; none where there is no room, or no arena."""
        return self._fleet.arena.lease(nbytes) if self._fleet.arena is not None else None
