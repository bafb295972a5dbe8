"""Functions that send what breaks the protocol through the socket of the worker that runs them.

The one rule: a table of frames by name, made from what the worker's own loop knows, so that a test can say which of
them its worker is blamed for.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
from pathlib import Path

import numpy as np

from flazy.transport.codec import encode
from flazy.transport.layout import spec_of
from flazy.transport.link import SocketLink
from flazy.transport.stretches import BATCHES, COLUMNS, FILLED, NUMBERS, ROWS
from flazy.transport.wire import CLOSED, HEADER, HELLO, LAST, LENT, LOGGED, OPEN, REFUSED, RESULT, TASK, VERSION
from flazy.workers.loop import Loop


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Sender:
    """The worker that runs this: its number, its task, its socket."""

    def __init__(self):
        found = gc.get_objects()
        self.loop = next(each for each in found if type(each) is Loop)
        self.link = next(each for each in found if type(each) is SocketLink)
        self.number = self.loop._worker
        self.run, self.task = min(self.loop._works)

    def header(self, kind, **changes):
        """Make a header, right but for the changes."""
        fields = {"version": VERSION, "flags": 0, "worker": self.number, "run": self.run, "task": self.task}
        fields |= {"a": 0, "b": 0, "c": 0} | changes
        return HEADER.pack(kind, *fields.values())

    def result(self, *body, flags=LAST, **changes):
        """Make a result of one output, right but for the changes."""
        frames = encode([None, (ROWS, 1, ["forged"])])
        return [self.header(RESULT, flags=flags, b=changes.pop("b", 1), **changes), *body, *frames]

    def lent(self, *about, **changes):
        """Make a result with a body of its own."""
        return self.result(*encode(about), flags=LAST | LENT, **changes)

    def send(self, frames):
        self.link._results.send_multipart(frames)


BOMB = "a folder that an unpickled bomb makes"


def bomb(sender, folder):
    return encode([Bomb(folder / BOMB)])


# What a worker is blamed for -----------------------------------------------------------------------------

BLAMED = {
    "another version": lambda me, _: [me.header(HELLO, version=99)],
    "unknown kind": lambda me, _: [me.header(77)],
    "unknown flags": lambda me, _: me.result(flags=0x80),
    "a thousand frames": lambda me, _: [me.header(HELLO), *[b"x"] * 1000],
    "a task, which comes from the driver": lambda me, folder: [me.header(TASK), *bomb(me, folder)],
    "a kernel, which comes from the driver": lambda me, folder: [me.header(OPEN), b"", *bomb(me, folder)],
    "a second greeting": lambda me, _: [me.header(HELLO, a=os.getpid())],
    "a run that is closed unasked": lambda me, _: [me.header(CLOSED)],
    "another run that is closed": lambda me, _: [me.header(CLOSED, run=me.run + 1)],
    "another run": lambda me, _: me.result(run=me.run + 1),
    "a refusal of another run": lambda me, _: [me.header(REFUSED, run=10**9), *encode(["no"])],
    "a refusal without a reason": lambda me, _: [me.header(REFUSED)],
    "a refusal that is pickled": lambda me, folder: [me.header(REFUSED), *bomb(me, folder)],
    "a start that is too high": lambda me, _: me.result(a=7),
    "a start below nothing": lambda me, _: me.result(a=2**64 - 1),
    "no payload": lambda me, _: [me.header(RESULT, flags=LAST, b=1)],
    "no body": lambda me, _: [me.header(RESULT, flags=LAST | LENT, b=1)],
    "a body of two values": lambda me, _: me.lent([], 0),
    "a body that is pickled": lambda me, folder: me.result(*bomb(me, folder), flags=LAST | LENT),
    "a block where nothing was lent": lambda me, _: me.lent([(0, 4096, 10, 0, 2**26)], 0, b""),
    "a block beyond all": lambda me, _: me.lent([(0, 2**70, 2**70, 0, 1)], 0, b""),
    "a block of a negative length": lambda me, _: me.lent([(0, 0, -1, 0, 2**26)], 0, b""),
    "a span of four numbers": lambda me, _: me.lent([(0, 0, 1, 0)], 0, b""),
    "a span of text": lambda me, _: me.lent(["abcde"], 0, b""),
    "spans that are a number": lambda me, _: me.lent(3, 0, b""),
    "two spans for a frame": lambda me, _: me.lent([(0, 0, 0, 0, 0)] * 2, 0, b""),
    "a span for a frame that is not there": lambda me, _: me.lent([(9, 0, 0, 0, 0)], 0, b""),
    "fewer rows than none": lambda me, _: me.lent([], -1, b""),
    "more rows than outputs": lambda me, _: me.lent([], 2, b""),
    "rows where nothing was lent": lambda me, _: me.lent([], 1, b""),
    "rows that are an array": lambda me, _: me.lent([], np.ones(3), b""),
    "a spec of nothing": lambda me, _: me.lent([], 0, b"\xc0"),
    "a spec of objects": lambda me, _: me.lent([], 0, bytes(encode([(0, "|O", [1000])])[0])),
    "a spec where nothing is batched": lambda me, _: me.lent([], 0, spec_of(np.zeros(9999))),
    "a spec that is text": lambda me, _: me.lent([], 0, "spec"),
    "a log record that is a number": lambda me, _: [me.header(LOGGED), *encode([3])],
    "a log record without a name": lambda me, _: [me.header(LOGGED), *encode([{"levelno": 50, "msg": ""}])],
    "a log record that is pickled": lambda me, folder: [me.header(LOGGED), *bomb(me, folder)],
}

# What nobody can be blamed for, for it does not say whose it is ---------------------------------------------

ANONYMOUS = {
    "nothing": lambda me, _: [b""],
    "no header": lambda me, _: [b"junk", b"and more"],
    "half a header": lambda me, _: me.result()[0:1] and [me.result()[0][:20], *me.result()[1:]],
    "too long a header": lambda me, _: [me.header(HELLO) + b"x"],
    "a thousand empty frames": lambda me, _: [b""] * 1000,
    "a pickle": lambda me, folder: [pickle.dumps(Bomb(folder / BOMB))],
    "an unknown kind of nobody's": lambda me, _: [me.header(77, worker=me.number + 1)],
}

# What is in order, and comes too late to count, or too early ------------------------------------------------

STALE = {
    "a result of a worker that is not there": lambda me, _: me.result(worker=me.number + 1),
    "a result of worker 0": lambda me, _: me.result(worker=0),
    "a greeting of a worker that is not there": lambda me, _: [me.header(HELLO, worker=2**64 - 1, a=1)],
    "a task that is not there": lambda me, _: me.result(task=10**15),
}

# What a payload is not: found out by the consumer -------------------------------------------------------------

PAYLOADS = {
    "junk": [b"junk"],
    "nothing": [b""],
    "a pickle that is cut off": encode([None, (ROWS, 1, [{1: Path("x")}])])[:1],
    "no head": encode([]),
    "a head of two": encode([(1, 2), (ROWS, 1, [1])]),
    "no stretch": encode([None]),
    "a stretch of two": encode([None, (ROWS, 1)]),
    "more than was said": encode([None, (ROWS, 2, [1, 2])]),
    "less than it says": encode([None, (ROWS, 1, [])]),
    "rows of a dict": encode([None, (ROWS, 1, {1: 2})]),
    "an unknown kind": encode([None, (99, 1, [1])]),
    "numbers that are text": encode([None, (NUMBERS, 1, "1")]),
    "columns in no form": encode([None, (COLUMNS, 1, (7, 7))]),
    "a batch where none is asked for": encode([None, (BATCHES, 1, [1])]),
    "rows that lie nowhere": encode([None, (FILLED, 1, [(b"", 1, 0), []])]),
    "origins of nothing": encode([([], None, []), (ROWS, 1, [1])]),
    "a failure that is a number": encode([(None, 3, []), (ROWS, 1, [1])]),
    "something else left out": encode([(None, None, [3]), (ROWS, 0, [])]),
}


def once(path):
    """Say whether this is the first time."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def sabotage(table, name, folder, at, *, wait=False):
    """Give a function that sends frames at one sample, the first time; or each time, and waits for its end."""

    def run(x):
        if x == at and (wait or once(Path(folder) / f"{name} was sent")):
            me = Sender()
            me.send(table[name](me, Path(folder)))
            if wait:
                signal.pause()
        return x

    return run


def forged(name, at):
    """Give a function that sends a payload of its own in the place of the result of one sample."""

    def run(x):
        if x == at:
            me = Sender()
            me.send([me.result()[0], *PAYLOADS[name]])
        return x

    return run
