"""The driver's side of a stage in one thread, with workers that are played: honest ones, and messages that are not.

Real are the fleet, the pool, the session, the core and the arena; played are the processes, the sockets and the relay,
so that a run is made of its seed alone.  A `Hive` plays one stage; what its workers send may be changed on the way.

The one rule: whatever comes, the hub raises nothing, every sample comes out once and in order, and nobody is killed who
was honest.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import deque
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from unittest import mock

import numpy as np

from flazy.collate import Batching
from flazy.core.check import validate
from flazy.errors import ProtocolError, WorkerPoolBroken
from flazy.plan.kernel import Op
from flazy.plan.where import Processes
from flazy.run.session import Broken, Emitted, Ended, Session
from flazy.sample import Origin
from flazy.transport.arena import Window
from flazy.transport.codec import decode, encode
from flazy.transport.layout import Layout, spec_of
from flazy.transport.parts import opened, rows_checked, slab_checked
from flazy.transport.payload import Encoded, Placed
from flazy.transport.places import Place
from flazy.transport.reading import sender, unpack, unpack_from_worker
from flazy.transport.stretches import FILLED, ROWS
from flazy.transport.wire import Close, Closed, Granted, Hello, Result, Task, pack
from flazy.workers import fleet as fleet_module
from flazy.workers import launch
from flazy.workers.fleet import Fleet
from flazy.workers.kernels import Kept
from flazy.workers.processes import ProcessPool
from tests.transport.mutations import EXTREMES, mutated
from tests.transport.same import same

PLACES = (0, 1, 4096, 81_920, 2**26 - 1, 2**26, 2**40, 2**63)
SPECS = [bytes(encode([template])[0]) for template in (
    (0, "<f4", [2**20]), (0, "<f4", [2**40, 2**40]), (0, "<f4", [-1]), (0, "|O", [3]), (0, "f4,O", [3]), (0, 3, [3]),
    (2, ["a"], []), (2, [1], [(1,)]), (3, [(0, "<i8", [9999]), (1,)]), (1,), (7,), [], None, (3, [(3, [])] * 9),
)] + [b"", b"junk"]  # fmt: skip

SPOILT = 0.15  # of the results
SURROUNDINGS = {"directory": "/", "path": [], "environment": {}, "log_levels": {}}
LARGE = 10_000  # numbers: enough to be worth a place in the arena
MOST_TURNS = 3000


class PlayedProcess(launch.Worker):
    """Ends when it is told to."""

    def __init__(self, number):
        super().__init__(number)
        self.pid = 2 + (number >> fleet_module.NONCE_BITS) % 1000
        self.outputs = (None, None)
        self.ended = None

    def code(self):
        return self.ended

    def end(self, number):
        self.ended = -number


class PlayedHub:
    """Keeps what is sent, and gives what was put."""

    def __init__(self, folder):
        self.folder = folder
        self.sent = {}
        self.came = deque()

    def endpoint(self, name):
        return name

    def add(self, worker):
        self.sent[worker] = deque()
        return str(worker)

    def remove(self, worker):
        self.sent.pop(worker, None)

    def send(self, worker, frames):
        if worker in self.sent:
            self.sent[worker].append([bytes(frame) for frame in frames])

    def flush(self):
        pass

    def receive(self):
        while self.came:
            yield [memoryview(bytearray(frame)) for frame in self.came.popleft()]

    def close(self):
        pass


class PlayedRelay:
    """Notes warnings, and knows no last words."""

    def __init__(self):
        self.warnings = []

    def add(self, worker, outputs):
        pass

    def finish(self, worker, then):
        then("")

    def log(self, record):
        assert isinstance(record["name"], str)

    def warn(self, text):
        self.warnings.append(text)

    def stop(self, timeout_s):
        pass


class PlayedFleet(Fleet):
    """A fleet whose processes, sockets and relay are played."""

    def __init__(self, post):
        with mock.patch.multiple(fleet_module, Hub=PlayedHub, Relay=PlayedRelay):
            super().__init__("/no/such/folder", post)

    def _launched(self, argument):
        return PlayedProcess(argument["worker"])


class PlayedWorker:
    """A worker that does as it is told."""

    def __init__(self, number, window, *, batched):
        self.number = number
        self.window = window
        self.batched = batched
        self.waiting = {}  # tasks that were sent without credit

    def receive(self, frames):
        """Take in a message; give what it sends."""
        match unpack(frames):
            case Task() as task if not task.credit:
                self.waiting[task.run, task.task] = task
            case Task() as task:
                return [self._result(task)]
            case Granted() as grant if (task := self.waiting.pop((grant.run, grant.task), None)) is not None:
                return [self._result(task)]
            case Close(run):
                return [Closed(self.number, run)]
        return []

    def _result(self, task):
        """Make one part of all that is left to do: in rows of a batch, in a block, or as frames."""
        values = [value for _, _, rows in decode(task.payload.frames) for value in rows]
        outputs = [output(value) for value in values[task.skip :]]
        layout, row = (None, 0) if task.slab is None else (Layout.of(task.slab[0], task.slab[1]), task.slab[2])
        place = Place(self.window, task.block, layout, row) if task.block is not None else Place()
        filled = 0
        while place.filling and filled < len(outputs) and place.put(outputs[filled]):
            filled += 1
        beside = [list(column) for column in zip(*place.beside, strict=True)]
        rows = [(FILLED, filled, [task.slab, beside])] if filled else []
        left = outputs[filled:]
        payload = place.placed(encode([None, *rows, *([(ROWS, len(left), left)] if left else [])]))
        spec = spec_of(left[-1]) if left and self.batched else None
        whose = (self.number, task.run, task.task)
        return Result(*whose, task.skip, len(outputs), True, 1000, payload, filled, spec or b"")


def output(value):
    """Do what the workers do: every third output is large."""
    return {"x": np.full(LARGE if value % 3 == 0 else 3, value), "y": value}


def lied(rng, result):
    """Change one field of a result: to what an honest one might hold, or not."""
    near = (0, 1, result.task, result.start + 1, result.outputs, result.outputs + 1, *EXTREMES)
    field = rng.choice(["task", "start", "outputs", "nanos", "run", "last", "filled", "spec", "payload"])
    if field == "payload":
        offset, length = rng.choice(PLACES), rng.choice(PLACES)
        spans = [(index, offset, length, 0, 2**26) for index in range(rng.choice((1, 1, 2)))]
        return replace(result, payload=Placed(result.payload.frames, spans))
    value = {
        "last": not result.last,
        "filled": rng.choice((0, 1, result.outputs)),
        "spec": rng.choice(SPECS),
    }.get(field, rng.choice(near))
    return replace(result, **{field: value})


class Hive:
    """One stage of four workers over some samples; `play` ends with the last of them."""

    def __init__(self, rng, samples):
        self.rng = rng
        self.samples = samples
        self.posted = deque()
        fleet_module.secrets = SimpleNamespace(randbits=rng.getrandbits)
        self.fleet = PlayedFleet(self.posted.append)
        self.fleet.arena.budget = 2**28
        self.batched = rng.random() < 0.5
        batching = Batching(4, None) if self.batched else None
        where = Processes(4, chunk=rng.randint(1, 3))
        pool = ProcessPool(where, Kept(1, b"kernel", None, ()), SURROUNDINGS, self.fleet, batching)
        self.session = Session(1, where, pool, (Op("map", "map(output)", output),), ordered=True)
        self.workers = {}
        self.honest = []  # frames of late, for splices
        self.spoilt = 0  # messages
        self.suspects = set()  # whom a changed message says it is of
        self.doubted = set()  # tasks of changed messages that could be read
        self.fed = 0
        self.next = 0  # sample
        self.made = {}  # outputs by task; None at its end
        self.refused = 0  # payloads, by the consumer
        self.ended = None

    def play(self):
        """Let everybody act until the stage ends."""
        self.session.open()
        for _ in range(MOST_TURNS):
            if self.ended is not None:
                break
            self._turn()
        else:
            raise AssertionError("no end in sight")
        self._check()

    def close(self):
        """End the fleet."""
        self.session.close()
        self.fleet.end_all()
        for worker in self.fleet._workers.values():
            worker.process.ended = 0
        while not self.fleet.empty:
            self._hub()
        self.fleet.close()
        fleet_module.secrets = secrets

    def _turn(self):
        self._hub()
        self._feed()
        for number, worker in list(self.fleet._workers.items()):
            if number not in self.workers:
                pid, window = worker.process.pid, Window(self.fleet.arena.file)
                self.workers[number] = PlayedWorker(number, window, batched=self.batched)
                self._put(Hello(number, pid))
        ready = [number for number, sent in self.fleet.hub.sent.items() if sent and number in self.workers]
        if ready:
            number = self.rng.choice(ready)
            for message in self.workers[number].receive(self.fleet.hub.sent[number].popleft()):
                self._put(message)
        while self.ended is None and not self.session.outlet.empty():
            self._take(self.session.outlet.get())

    def _hub(self):
        """Do what the hub thread does in a turn."""
        while self.posted:
            self.posted.popleft()()
        self.fleet.tend()
        validate(self.session.core)
        for number, worker in self.fleet._workers.items():
            assert not worker.foul or number in self.suspects, f"nobody spoilt what worker {number} said: {worker.foul}"

    def _feed(self):
        while self.fed < self.samples and not self.session.permits.empty():
            size = min(self.session.permits.get(), self.samples - self.fed)
            values = list(range(self.fed, self.fed + size))
            self.session.accept(Origin(0, (self.fed,)), Encoded(encode([(ROWS, size, values)])), size)
            self.fed += size
        if self.fed == self.samples:
            self.session.end(None)

    def _put(self, message):
        """Send a message, and now and then, before or after it, one that was made of it."""
        frames = [bytes(frame) for frame in pack(message)]
        self.honest = [*self.honest[-20:], frames]
        self.fleet.hub.came.append(frames)
        if self.rng.random() < SPOILT and isinstance(message, Result):
            if self.rng.random() < 0.5:
                spoilt = mutated(self.rng, frames, self.rng.choice(self.honest))
            else:
                spoilt = [bytes(frame) for frame in pack(lied(self.rng, message))]
            self._suspect(spoilt)
            self.fleet.hub.came.insert(len(self.fleet.hub.came) - self.rng.randrange(2), spoilt)

    def _suspect(self, frames):
        self.spoilt += 1
        self.suspects.add(sender(frames))
        with contextlib.suppress(ProtocolError):
            message = unpack_from_worker(frames)
            if isinstance(message, Result):
                self.doubted.add(message.task)

    def _take(self, item):
        """Do what the consumer does."""
        match item:
            case Emitted() as part:
                self._open(part)
                self.session.taken(part.task)
            case Ended(error):
                assert error is None
                self.ended = item
            case Broken(error):
                assert isinstance(error, WorkerPoolBroken), "the hub has a fault"
                self.ended = item

    def _open(self, part):
        assert part.start == self.made.pop(part.task, 0), "the parts of a task follow each other, to its last"
        self.made[part.task] = None if part.last else part.start + part.outputs
        first = part.origin.first[0] + part.start
        try:
            _, stretches = opened(part.payload, part.outputs)
            rows = [row for stretch in stretches for row in self._rows(stretch, part.payload.lease)]
        except ProtocolError:
            assert part.task in self.doubted, "a payload that nobody spoilt"
            self.refused += 1
            return
        if part.task not in self.doubted:
            expected = [output(value) for value in range(first, first + part.outputs)]
            assert same(expected, rows), f"sample {first} or one behind it"
            assert first == self.next or self.doubted, "order"
            self.next = first + part.outputs

    def _rows(self, stretch, lease):
        if stretch[0] != FILLED:
            return rows_checked(stretch)
        lease, layout, row, beside = slab_checked(stretch, lease)
        return layout.samples([view[row : row + stretch[1]] for view in layout.views(lease.memory)], beside)

    def _check(self):
        if isinstance(self.ended, Ended) and not self.doubted:
            assert self.samples == self.next, "all samples came"


class StageError(AssertionError):
    """A stage went wrong; the message names the seed."""


def play(seed, number):
    """Play one stage that is made of a seed and a number; give it, closed.

    Raises
    ------
    StageError
        Anything was wrong.
    """
    hive = Hive(Random(f"{seed}/{number}"), samples=30)
    try:
        hive.play()
    except Exception as error:
        raise StageError(f"stage {number} of seed {seed}: {error!r}") from error
    finally:
        hive.close()
    return hive
