"""A session with a feeder and workers that do what a test says."""

from flazy.core import check
from flazy.core.events import Send
from flazy.plan.kernel import Op
from flazy.plan.remote import Remote
from flazy.plan.where import Processes
from flazy.run.session import Session
from flazy.sample import Origin
from flazy.transport.payload import Plain
from flazy.transport.wire import Result

MS = 1_000_000


class FakePool:
    def __init__(self):
        self.sent = []
        self.calls = []

    def open(self, owner):
        self.calls.append("open")

    def send(self, command):
        self.sent.append(command)

    def finish(self):
        self.calls.append("finish")

    def close(self):
        self.calls.append("close")


class Weighed(Plain):
    """Values that say what they weigh."""

    def __init__(self, values, nbytes):
        super().__init__(values)
        self.nbytes = nbytes


def drained(queue):
    found = []
    while not queue.empty():
        found.append(queue.get())
    return found


class Bench:
    """One open stage."""

    def __init__(self, n=2, *, ordered=True, flatmap=False, remote=False, **options):
        self.pool = FakePool()
        self.now = 0.0
        where = Remote(**options) if remote else Processes(n, **options)
        ops = (Op("flatmap" if flatmap else "map", "fn", list),)
        self.session = Session(1, where, self.pool, ops, ordered=ordered, clock=lambda: self.now)
        self.session.open()
        for worker in range(n):
            self.session.joined(worker)
        self.fed = 0

    def permits(self):
        return drained(self.session.permits)

    def feed(self, samples=1, nbytes=0):
        values = list(range(self.fed, self.fed + samples))
        self.session.accept(Origin(0, (self.fed,)), Weighed(values, nbytes), samples)
        self.fed += samples
        check.validate(self.session.core)

    def sent(self):
        return [command for command in self.pool.sent if isinstance(command, Send)]

    def done(self, task, *, last=True, outputs=1, start=0, nanos=1, nbytes=0):
        worker = next(command.worker for command in reversed(self.sent()) if command.task == task)
        payload = Weighed([None, *range(outputs)], nbytes)
        self.session.result(Result(worker, 1, task, start, outputs, last, nanos, payload))
        check.validate(self.session.core)

    def out(self):
        return drained(self.session.outlet)
