"""How far away workers are: the time in which a task gets to one and its result comes back, without the work.

Pure: whoever asks says what time it is.  It is learnt from workers that had nothing to do, of which a task took no
longer than its way and its work.  One that was busy tells nothing, since its task waited behind others; who took that
for distance would send it more, which would wait longer yet.
"""

from __future__ import annotations

__all__ = ["Distance"]

IDLE_SECONDS = 0.001  # between two results, beyond the work: less than that a worker takes to pack and send


class Distance:
    """The least that was seen of each worker, and of these the most: the farthest one is to have enough at hand."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, int], float] = {}
        self._came: dict[int, float] = {}
        self._least: dict[int, float] = {}

    @property
    def seconds(self) -> float:
        """There and back; 0 as long as nothing is known."""
        return max(self._least.values(), default=0.0)

    def sent(self, worker: int, task: int, now: float) -> None:
        """Note that a task went out."""
        self._sent[worker, task] = now

    def came(self, worker: int, task: int, now: float, worked: float) -> None:
        """Note that a part came, for which its worker has worked so many seconds."""
        sent = self._sent.pop((worker, task), None)
        before = self._came.get(worker)
        self._came[worker] = now
        if before is None:
            self._forget(worker)  # what was sent so far has waited for the functions to be loaded
        elif sent is not None and now - worked - before > IDLE_SECONDS:
            self._least[worker] = min(now - worked - sent, self._least.get(worker, now))

    def lost(self, worker: int) -> None:
        """Forget a worker."""
        self._came.pop(worker, None)
        self._least.pop(worker, None)
        self._forget(worker)

    def _forget(self, worker: int) -> None:
        for key in [key for key in self._sent if key[0] == worker]:
            del self._sent[key]
