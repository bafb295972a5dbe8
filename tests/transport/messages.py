"""A message of every kind, as the driver and as a worker send them."""

from __future__ import annotations

import numpy as np

from flazy.collate import Batching
from flazy.sample import Origin
from flazy.transport.arena import Block
from flazy.transport.codec import encode
from flazy.transport.layout import spec_of
from flazy.transport.payload import Encoded, Placed
from flazy.transport.stretches import NUMBERS, ROWS, arranged, gathered
from flazy.transport.wire import (
    Bye,
    Close,
    Closed,
    Granted,
    Hello,
    Logged,
    Open,
    Refused,
    Result,
    Shipment,
    Task,
)

SPEC = spec_of({"x": np.zeros(5000), "y": 1})
SURROUNDINGS = {"directory": "/", "path": ["", "/x"], "environment": {"A": "b"}, "log_levels": {"root": 30}}


def payload(*values):
    return Encoded.of([None, (ROWS, len(values), list(values))])


INPUTS = Encoded.of([(NUMBERS, 3, np.arange(3)), (ROWS, 1, [np.zeros(5000)])])
PLACED = Placed([encode([1])[0]], [(1, 4096, 80_000, 0, 2**26), (2, 90_112, 70_000, 0, 2**26)])

FROM_DRIVER = {
    "open": Open(3, Shipment(1, b"a stream", [(0, 2**20)], [5]), SURROUNDINGS, Batching(4, np.float32), True),
    "open of a kernel that is there": Open(3, Shipment(1, None), SURROUNDINGS),
    "open of a run without pickle": Open(3, Shipment(1, None), SURROUNDINGS, pickled=False),
    "task": Task(3, 7, 1, 0, 2, Origin(0, (70,)), INPUTS),
    "task with all there is": Task(
        3, 7, 2, 5, 1, Origin(2, (7, 0), [(7, 0), (9, 1)]), PLACED, Block(4096, 4096, 0, 2**26), 3, (SPEC, 8, 3),
        [[[1, 0], 2, False, []]],
    ),
    "grant": Granted(3, 7, 2),
    "close": Close(3),
    "bye": Bye(),
}
FROM_WORKER = {
    "hello": Hello(9, 4711),
    "closed": Closed(9, 3),
    "result": Result(9, 3, 7, 0, 3, True, 12_345, payload(1, "two", 3.0)),
    "result with arrays": Result(9, 3, 7, 4, 1, False, 0, payload({"x": np.zeros(5000), "y": np.arange(3)})),
    "result in a block": Result(9, 3, 7, 0, 2, True, 1, PLACED),
    "result in rows": Result(9, 3, 7, 0, 4, True, 1, payload(), 4, SPEC),
    "result with a spec": Result(9, 3, 7, 0, 1, True, 1, payload(1), 0, SPEC),
    "refusal": Refused(9, 3, "Traceback (most recent call last):\n  …"),
    "log record": Logged(9, {"name": "a.b", "levelno": 30, "msg": "grüße", "exc_text": None, "created": 1.5}),
}

FAILURE = ("map(f)", 1, (2,), "ValueError", "bad", "Traceback …", "ValueError", None)
SMALL = [{"x": np.full(3, i, np.float32), "y": i, "z": (np.arange(2), f"n{i}")} for i in range(8)]

# What payloads of results hold, by what is done with it: as samples, and as batches of four.
PARTS = [
    [None, *arranged([1, "two", None])],
    [None, *arranged(list(range(100)))],
    [None, *arranged([i / 3 for i in range(100)])],
    [None, *arranged(SMALL)],
    [None, *arranged([np.zeros(5000), np.ones(5000)])],
    [([np.arange(3), np.zeros(3, np.int64)], None, []), *arranged(["a", "b", "c"])],
    [([np.arange(1)], None, [("map(f)", (7, 0), 0, "OSError: gone")] * 2), *arranged(["a"])],
    [(None, FAILURE, []), *arranged([1, 2])],
    [([np.arange(1)], FAILURE, []), *arranged([(1, 2)])],
    [None],
]
BATCHED = [
    [None, *gathered(SMALL, Batching(4, None), 0)],
    [None, *gathered(list(range(100)), Batching(4, np.float32), 0, int)],
    [None, *gathered(SMALL[:7], Batching(4, None), 2)],
    *PARTS,
]
