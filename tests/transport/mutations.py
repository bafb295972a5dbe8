"""Frames that nobody made: what encoders wrote, changed; and skeletons that follow the grammar and nothing else.

The one rule: everything is drawn from the generator that is given, so that a seed is enough to make it again.
"""

from __future__ import annotations

import struct
from random import Random

import msgpack

from flazy.transport import packing
from flazy.transport.wire import HEADER

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1)
# msgpack's bytes that a length follows, and the bytes of that length.
LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2,
           0xDF: 4}  # fmt: skip
OURS = (
    *packing.MARKS, packing.INT, packing.RANGE, packing.COMPLEX, packing.BYTEARRAY, packing.NUMBER, packing.TIME,
    packing.TEXT, packing.OCTETS, packing.PICKLED, 99,
)  # fmt: skip
DTYPES = ("<f4", "|O", "<i8", "|V0", "<U2", "|S3", "<M8[ns]", "|b1", ">c16", "|V99999999", "O", "f4,O", [8, False, []])
DEPTH = 4


def mutated(rng: Random, frames: list[bytes], others: list[bytes]) -> list[bytes]:
    """Change some frames; ``others`` are those of another message, for splices."""
    changed = list(frames)
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.random()
        if kind < 0.25 or not changed:
            _change_order(rng, changed, others)
        else:
            # The header and the skeleton are where claims are made.
            place = rng.randrange(min(len(changed), 3)) if rng.random() < 0.8 else rng.randrange(len(changed))
            changed[place] = _changed(rng, bytearray(changed[place]), rng.choice(others) if others else b"")
    return changed


def _change_order(rng: Random, frames: list[bytes], others: list[bytes]) -> None:
    """Drop, double, swap, add or replace frames."""
    place = rng.randrange(len(frames) + 1)
    match rng.randrange(6):
        case 0:
            del frames[place : place + rng.choice((1, 1, 2, 9))]
        case 1:
            frames[place:place] = frames[place : place + 1] * rng.choice((1, 2, 100))
        case 2:
            rng.shuffle(frames)
        case 3:
            frames.insert(place, rng.choice(others) if others else b"")
        case 4:
            frames.insert(place, rng.randbytes(rng.choice((0, 1, 8, 100))))
        case _:
            frames[place:] = others[place:]


def _changed(rng: Random, frame: bytearray, other: bytes) -> bytes:
    """Change the bytes of one frame."""
    if not frame:
        return rng.randbytes(rng.choice((1, 8, 64)))
    at = rng.randrange(len(frame))
    match rng.randrange(9):
        case 0:
            frame[at] ^= 1 << rng.randrange(8)
        case 1:
            frame[at] = rng.randrange(256)
        case 2:
            del frame[at:]
        case 3:
            del frame[at : at + rng.randint(1, 9)]
        case 4:
            frame[at:at] = rng.randbytes(rng.randint(1, 9))
        case 5:
            frame[at:at] = frame[rng.randrange(len(frame)) :][: rng.randint(1, 64)]
        case 6:
            frame[at:] = other[rng.randrange(len(other) or 1) :]
        case 7:
            _change_length(rng, frame)
        case _:
            _change_number(rng, frame)
    return bytes(frame)


def _change_length(rng: Random, frame: bytearray) -> None:
    places = [place for place, byte in enumerate(frame[:4096]) if byte in LENGTHS]
    if places:
        place = rng.choice(places)
        width = LENGTHS[frame[place]]
        frame[place + 1 : place + 1 + width] = (rng.choice(EXTREMES) % 256**width).to_bytes(width, "big")


def _change_number(rng: Random, frame: bytearray) -> None:
    """Write an extreme number over eight bytes: of a header, if this is one."""
    at = 8 * rng.randrange(1, 7) if len(frame) == HEADER.size else rng.randrange(len(frame))
    frame[at : at + 8] = struct.pack("<Q", rng.choice(EXTREMES))


def grammatical(rng: Random) -> list[bytes]:
    """Make frames of a skeleton in which every mark and every kind of map may stand anywhere."""
    skeleton = msgpack.packb([_value(rng, DEPTH) for _ in range(rng.choice((1, 1, 2, 5)))], use_bin_type=True)
    return [skeleton, *(rng.randbytes(rng.choice((0, 4, 8, 24))) for _ in range(rng.choice((0, 0, 1, 2))))]


def _value(rng: Random, depth: int) -> object:
    kind = rng.randrange(12)
    if depth and kind < 6:
        some = [_value(rng, depth - 1) for _ in range(rng.choice((0, 1, 2, 3)))]
        match kind:
            case 0:
                return some
            case 1:
                return {msgpack.ExtType(rng.choice(OURS), b""): some}
            case 2:
                return {msgpack.ExtType(packing.ARRAY, b""): _array(rng)}
            case 3:
                return _as_msgpack_numpy(rng)
            case 4:
                return {_leaf(rng): each for each in some}
            case _:
                return {msgpack.ExtType(packing.DICT, b""): [some, some]}
    return _leaf(rng)


def _leaf(rng: Random) -> object:
    match rng.randrange(7):
        case 0:
            return rng.choice((None, True, -1, 0.5, *EXTREMES))
        case 1:
            return rng.choice(("", "<f4", "nd", "\ud7ff", "1j"))
        case 2:
            return rng.choice((b"", b"nd", b"complex", b"data", rng.randbytes(8)))
        case 3:
            return msgpack.ExtType(rng.choice(OURS), rng.randbytes(rng.choice((0, 0, 1, 3, 8, 9, 16))))
        case 4:
            return msgpack.ExtType(packing.PICKLED, b"")
        case 5:
            return msgpack.Timestamp(rng.randrange(2**31), 0)
        case _:
            return rng.randrange(-(2**63), 2**64)


def _array(rng: Random) -> list[object]:
    memory = rng.choice((None, bytes(4), bytes(8), b"", "text", 3))
    return [rng.choice(DTYPES), _shape(rng), rng.choice(("C", "F", "K", None)), memory][: rng.choice((4, 4, 4, 3))]


def _as_msgpack_numpy(rng: Random) -> dict[bytes, object]:
    kind = rng.choice((b"", b"", b"V", b"O", None))
    made = {b"nd": rng.choice((True, True, False, 1)), b"type": rng.choice(DTYPES), b"kind": kind}
    made |= {b"shape": _shape(rng), b"data": rng.choice((bytes(4), bytes(8), b"", "1j", None))}
    if rng.random() < 0.2:
        del made[rng.choice(list(made))]
    return made


def _shape(rng: Random) -> object:
    return [rng.choice((0, 1, 2, -1, 2**40, 2**62, True, 1.0)) for _ in range(rng.choice((0, 1, 1, 2, 65)))]
