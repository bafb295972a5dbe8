"""How values and messages travel between the driver and its workers.

A map of this folder::

    codec.py      values <-> frames: the two functions that everything else calls
    packing.py    values into one msgpack skeleton; draws the layout, with our extension types
    unpacking.py  a skeleton back into values, nothing believed and nothing executed
    arrays.py     dtypes and arrays as plain data and raw memory, and back, with every claim checked
    stretches.py  runs of samples in the form that costs least to send
    layout.py     rows of a batch in a block of shared memory
    payload.py    values that wait: as they are, as frames, or with large frames in shared memory
    arena.py      the shared memory: one anonymous file in blocks that are used again
    places.py     how values get there, from either side
    wire.py       the messages and their headers, into bytes
    reading.py    bytes back into messages, nothing believed
    parts.py      what a result holds, checked when it is opened
    hub.py        the driver's sockets
    link.py       a worker's sockets
    curve.py      keys, addresses, and the guard that says who may come in from another machine
    door.py       the trainer's sockets for other machines
    line.py       the other machine's end, and what becomes of its connections

Not here: what a message means (``flazy.core``), who sends it (``flazy.workers``), where results wait
(``flazy.run``).  The one rule: this folder imports nothing of flazy but ``flazy.errors``, ``flazy.sample`` and
``flazy.collate``; msgpack, msgpack-numpy and zmq are imported here and nowhere else.
"""
