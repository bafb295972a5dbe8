"""How values and messages travel between the driver and its workers.

A map of this folder::

    codec.py      values <-> frames: the two functions that everything else calls
    packing.py    values into one msgpack skeleton; draws the layout, with our extension types
    unpacking.py  a skeleton back into values, nothing believed and nothing executed
    arrays.py     dtypes and arrays as plain data and raw memory, and back, with every claim checked

Not here: what a message means (``flazy.core``), who sends it (``flazy.workers``), where results wait
(``flazy.run``).  The one rule: this folder imports nothing of flazy but ``flazy.errors``; msgpack and
msgpack-numpy are imported here and nowhere else.
"""
