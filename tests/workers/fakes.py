"""A link in memory, and tasks for it, so that the body of a worker can be tested without sockets."""

from __future__ import annotations

from array import array
from collections import deque

from flazy.plan.kernel import Kernel, Op
from flazy.plan.loops import blank_record
from flazy.sample import Origin
from flazy.transport.payload import Encoded
from flazy.transport.places import Place
from flazy.transport.stretches import ROWS, arranged, rows_of
from flazy.transport.wire import Bye, Open, Result, Task
from flazy.workers.loop import Loop

RUN = 7


class FakeLink:
    """Gives a script of messages; None in it stands for a moment without one.  After its end comes `Bye`."""

    def __init__(self, *script):
        self.script = deque(script)
        self.sent = []

    def receive(self, *, wait):
        while self.script:
            message = self.script.popleft()
            if message is not None or not wait:
                return message
        return Bye() if wait else None

    def send(self, message):
        self.sent.append(message)

    def payload(self, values, place=None, *, pickle=True):
        return Encoded.of(values, pickle=pickle)

    def arranged(self, values, uniform):
        return arranged(values, uniform)

    def place(self, task, *, batched):
        return Place()

    @property
    def results(self):
        return [message for message in self.sent if isinstance(message, Result)]


def task(number, *values, attempt=1, skip=0, credit=2, run=RUN):
    inputs = Encoded.of([(ROWS, len(values), list(values))])
    return Task(run, number, attempt, skip, credit, Origin(0, (10 * number,)), inputs)


def op(kind, fn, setup=None):
    return Op(kind, f"{kind}(fn)", fn, setup)


def serve(ops, *script, record=None):
    """Run a worker over a script; give its link."""
    link = FakeLink(Open(RUN, tuple(ops), {}), *script)
    record = memoryview(array("q", blank_record())) if record is None else record
    Loop(1, link, record, lambda message: Kernel(message.kernel)).serve()
    return link


def serve_all(*script):
    """Run a worker over a script that opens its runs itself; give its link."""
    link = FakeLink(*script)
    Loop(1, link, memoryview(array("q", blank_record())), lambda message: Kernel(message.kernel)).serve()
    return link


def opened(result):
    """Give origins, failure and values of a part."""
    head, *stretches = result.payload.open()
    origins, failure, _skipped = head or (None, None, [])
    values = [sample for stretch in stretches for sample in rows_of(stretch)]
    return origins and [column.tolist() for column in origins], failure, values


def values_of(link):
    return [opened(result)[2] for result in link.results]
