"""The skeleton of a message back into values, every claim checked.

Here: `Reader`, the mirror image of ``packing.py``, whose docstring draws the layout.  Not here: pickle, and the
wrapping of what msgpack and numpy raise (``codec.py``).

The one rule: nothing is made that is not in the tables here, and nothing is executed; ``msgpack_numpy.decode`` is
never called, because it unpickles and can be made to dereference any address.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgpack
import numpy as np

from flazy.errors import ProtocolError
from flazy.transport import arrays, packing
from flazy.transport.arrays import Array, Buffer

_IN_ORDER: Final = (b"nd", b"type", b"kind", b"shape", b"data")  # the keys of msgpack-numpy's arrays, as it writes them
_INTERFACE: Final = frozenset(_IN_ORDER)
_NUMBERS: Final = {code.encode(): np.dtype(code) for code in "?bBhHiIlLqQefdgFDG"}


class Reader:
    """Unpacks what a `Writer` packed, or msgpack-numpy for plain arrays, and checks it.

    Parameters
    ----------
    frames : deque of bytes-like
        What lies outside of the skeleton; arrays are taken from the left.
    unpickle : callable
        Takes what was pickled from the right of ``frames``, and gives the objects; called at the first need.
    """

    def __init__(self, frames: deque[Buffer], unpickle: Callable[[deque[Buffer]], list[object]]) -> None:
        self._frames = frames
        self._unpickle = unpickle
        self._opaque: deque[object] | None = None
        self._unused_marks = 0

    def read(self, skeleton: Buffer) -> list[object]:
        """Unpack a list of values.

        Raises
        ------
        ProtocolError
            What is here was recognised as wrong; msgpack, numpy and pickle raise whatever they like.
        """
        values = msgpack.unpackb(
            skeleton,
            object_hook=self._on_map,
            ext_hook=self._on_ext,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )
        if type(values) is not list:
            raise ProtocolError(f"a {type(values).__name__} in the place of a list of values")
        if self._frames or self._opaque or self._unused_marks:
            raise ProtocolError("a message with parts that nothing refers to")
        return values

    def _on_map(self, entries: dict[Any, Any]) -> object:
        first: Any = next(iter(entries), None)
        kind = type(first)
        if kind is bytes and first in (b"nd", b"complex"):
            return _from_msgpack_numpy(entries)
        if kind is _Mark and len(entries) == 1:
            self._unused_marks -= 1
            payload = entries[first]
            return self._array(payload) if first.code == packing.ARRAY else _MARKED[first.code](payload)
        return entries

    def _on_ext(self, code: int, payload: bytes) -> object:
        if (leaf := _READ_LEAVES.get(code)) is not None:
            return leaf(payload)
        if payload:
            raise ProtocolError(f"extension type {code} with {len(payload)} bytes")
        if (mark := _MARKS.get(code)) is not None:
            self._unused_marks += 1
            return mark
        if code != packing.PICKLED:
            raise ProtocolError(f"extension type {code} is not one of ours")
        if self._opaque is None:
            self._opaque = deque(self._unpickle(self._frames))
        return self._opaque.popleft()

    def _array(self, payload: list[Any]) -> Array:
        description, shape, order, data = payload
        memory = self._frames.popleft() if data is None else data
        return arrays.restore(arrays.rebuild(description), shape, order, memory)


class _Mark:
    """Stands for a mark while the map that it belongs to is read."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code


_MARKS: Final = {code: _Mark(code) for code in packing.MARKS}


def _listed(payload: object) -> list[Any]:
    if type(payload) is not list:
        raise ProtocolError(f"a {type(payload).__name__} in the place of a list")
    return payload


def _read_dict(payload: object) -> dict[Any, Any]:
    keys, values = _listed(payload)
    return dict(zip(_listed(keys), _listed(values), strict=True))


def _read_scalar(payload: object) -> object:
    if type(payload) is not np.ndarray or payload.ndim or payload.dtype.kind != "V":
        raise ProtocolError("a scalar that is none")
    return payload[()]


def _read_masked(payload: object) -> object:
    data, mask, fill_value, hard = _listed(payload)
    if not isinstance(data, np.ndarray) or type(fill_value) is not np.ndarray or type(hard) is not bool:
        raise ProtocolError("a masked array that is none")
    if fill_value.ndim or fill_value.dtype != data.dtype:
        raise ProtocolError("a fill value that does not fit its array")
    if mask is None:
        mask = np.ma.nomask
    elif type(mask) is not np.ndarray or mask.dtype != np.ma.make_mask_descr(data.dtype) or mask.shape != data.shape:
        raise ProtocolError("a mask that does not fit its array")
    scalar: Any = fill_value[()]
    return np.ma.MaskedArray(data, mask, fill_value=scalar, hard_mask=hard)


_MARKED: Final[dict[int, Callable[[object], object]]] = {
    packing.TUPLE: lambda payload: tuple(_listed(payload)),
    packing.SET: lambda payload: set(_listed(payload)),
    packing.FROZENSET: lambda payload: frozenset(_listed(payload)),
    packing.DICT: _read_dict,
    packing.SCALAR: _read_scalar,
    packing.MASKED: _read_masked,
}


def _read_item(description: str, data: bytes) -> object:
    """Give one numpy scalar."""
    return arrays.restore(arrays.rebuild(description), [], "C", data)[()]


def _read_time(payload: bytes) -> object:
    description = payload[:-8].decode("ascii")
    if description[1:2] not in ("M", "m"):
        raise ProtocolError("a time that is none")
    return _read_item(description, payload[-8:])


def _read_range(payload: bytes) -> object:
    width, rest = divmod(len(payload), 3)
    if rest:
        raise ProtocolError(f"a range of {len(payload)} bytes")
    parts = (payload[:width], payload[width : 2 * width], payload[2 * width :])
    return range(*(int.from_bytes(part, "little", signed=True) for part in parts))


def _read_number(payload: bytes) -> object:
    (number,) = np.frombuffer(payload, _NUMBERS[payload[:1]], offset=1)
    return number


_READ_LEAVES: Final[dict[int, Callable[[bytes], object]]] = {
    packing.INT: lambda payload: int.from_bytes(payload, "little", signed=True),
    packing.RANGE: _read_range,
    packing.COMPLEX: lambda payload: complex(*struct.unpack("<dd", payload)),
    packing.BYTEARRAY: bytearray,
    packing.NUMBER: _read_number,
    packing.TIME: _read_time,
    packing.TEXT: lambda payload: np.str_(payload.decode("utf-8", "surrogatepass")),
    packing.OCTETS: np.bytes_,
}


def _from_msgpack_numpy(entries: dict[Any, Any]) -> object:
    """Read the map of an array, numpy scalar or complex number as msgpack-numpy writes it."""
    if tuple(entries) == _IN_ORDER and entries[b"nd"] is True and entries[b"kind"] == b"":
        _, description, _, shape, data = entries.values()
        return arrays.restore(arrays.rebuild(description), shape, "C", data)
    keys = entries.keys()
    if keys == _INTERFACE and entries[b"nd"] is True and entries[b"kind"] == b"":
        return arrays.restore(arrays.rebuild(entries[b"type"]), entries[b"shape"], "C", entries[b"data"])
    if keys == _INTERFACE and entries[b"nd"] is True and entries[b"kind"] == b"V":
        return arrays.restore(arrays.rebuild_interface(entries[b"type"]), entries[b"shape"], "C", entries[b"data"])
    if keys == {b"complex", b"data"} and entries[b"complex"] is True and type(entries[b"data"]) is str:
        return complex(entries[b"data"])
    if keys == {b"nd", b"type", b"data"} and entries[b"nd"] is False and type(entries[b"data"]) is bytes:
        return _read_item(entries[b"type"], entries[b"data"])
    raise ProtocolError("a map that is neither an array as msgpack-numpy writes it nor the user's own")
