"""What a result needs so that it can be opened: the memory that its worker was lent, where it says that it wrote there.

The one rule: a worker has written only where it was lent something, or `ProtocolError` is raised.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from flazy.errors import ProtocolError
from flazy.transport.arena import Lease, Span
from flazy.transport.payload import Encoded, Placed
from flazy.transport.wire import Result

__all__ = ["found"]


def found(result: Result, lease: Lease | None) -> Result:
    """Put together a result of which a part lies in the block that was lent with the task.

    Raises
    ------
    ProtocolError
        It does not lie there.
    """
    if isinstance(result.payload, Placed):
        return replace(result, payload=Encoded(result.payload.found(partial(_memory, lease))))
    if not result.filled:
        return result
    if lease is None:
        raise ProtocolError(f"{result.filled} filled rows where nothing was lent")
    assert isinstance(result.payload, Encoded)
    return replace(result, payload=Encoded(result.payload.frames, lease))


def _memory(lease: Lease | None, span: Span) -> memoryview:
    """Give what a worker wrote, if it did so where it may."""
    _, offset, length, _, _ = span
    if lease is None or not 0 <= offset - lease.block.offset <= lease.block.size - length:
        raise ProtocolError(f"{length} bytes at {offset} where nothing was lent")
    start = offset - lease.block.offset
    return lease.memory.data[start : start + length]
