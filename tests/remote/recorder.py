"""What travels on an interface, recorded: to show that nothing of it can be read.

The packets are those that a sniffer with root's rights sees. Streams are put together from their segments in the order
in which they came, so what is looked for is found across packets, too.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Collection
from typing import Self

__all__ = ["Recorder", "reason_against"]

ETH_P_ALL = 3  # linux/if_ether.h
SOL_PACKET, PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
ROOM = 2**26  # what may wait for the thread
IPV4, IPV6, TCP = 0x0800, 0x86DD, 6

Flow = tuple[bytes, bytes, int, int]  # addresses and ports of both sides, sender first


class Recorder:
    """Record TCP from its making on, until it is closed.

    Parameters
    ----------
    interface
        ``lo``, or one of a link.
    ports
        Whose packets are kept; a stream has one of them at either end.
    """

    def __init__(self, interface: str, ports: Collection[int]) -> None:
        self.streams: dict[Flow, bytearray] = {}
        self.missed = 0
        self._ports = frozenset(ports)
        self._sees_twice = interface == "lo"  # as a packet goes, and as it comes
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))  # no link headers
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.setblocking(False)
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._record, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Take in what has come until now, and stop."""
        os.close(self._woken)
        self._thread.join(10)
        self._take()
        self.missed = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        self._socket.close()
        os.close(self._wake)

    @property
    def nbytes(self) -> int:
        """How much of payload was seen."""
        return sum(map(len, self.streams.values()))

    def occurs(self, marker: bytes) -> bool:
        """Say whether some bytes stood in a stream, as they are."""
        return any(marker in stream for stream in self.streams.values())

    def _record(self) -> None:
        poll = select.poll()
        for end in (self._socket, self._wake):
            poll.register(end, select.POLLIN)
        while self._wake not in dict(poll.poll()):
            self._take()

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_, protocol, kind, *_rest) = self._socket.recvfrom(2**18)
                if kind != socket.PACKET_OUTGOING or not self._sees_twice:
                    self._keep(packet, protocol)

    def _keep(self, packet: bytes, protocol: int) -> None:
        if protocol == IPV4 and packet[9] == TCP:
            length, addresses = 4 * (packet[0] & 15), (packet[12:16], packet[16:20])
        elif protocol == IPV6 and packet[6] == TCP:
            length, addresses = 40, (packet[8:24], packet[24:40])
        else:
            return
        segment = packet[length:]
        ports = struct.unpack_from("!HH", segment)
        if self._ports.isdisjoint(ports):
            return
        self.streams.setdefault((*addresses, *ports), bytearray()).extend(segment[4 * (segment[12] >> 4) :])


def reason_against() -> str:
    """Say why nothing can be recorded here; nothing where it can."""
    if sys.platform != "linux":
        return "packets are recorded by means of Linux"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()
    except PermissionError:
        return "packets are recorded by root alone"
    return ""
