"""The same Flazy without CURVE: what encrypting costs in it.

There is no such switch in Flazy. It is patched away here, at both ends: sockets take no option of CURVE or ZAP, and
whoever comes counts as the one who is known. Run as a module this is the host.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import zmq

from benchmarks.peers import flazy_remote
from benchmarks.workloads import Workload
from flazy.remote import cli, entrance
from flazy.transport import door

OF_CURVE: Final = frozenset({
    zmq.CURVE_SERVER, zmq.CURVE_SERVERKEY, zmq.CURVE_PUBLICKEY, zmq.CURVE_SECRETKEY,
    zmq.ZAP_DOMAIN, zmq.ZAP_ENFORCE_DOMAIN,
})  # fmt: skip


class Plain(zmq.Socket[bytes]):
    """A socket that does not hear of CURVE."""

    def setsockopt(self, option: int, value: Any) -> None:
        """Set any other option."""
        if option not in OF_CURVE:
            super().setsockopt(option, value)


def take_away() -> None:
    """Do without CURVE in this process, from now on; there is no other way to it than through what is private."""
    zmq.Context._socket_class = Plain  # type: ignore[assignment]  # noqa: SLF001
    door.Door._try_strangers = lambda *_: None  # type: ignore[method-assign]  # noqa: SLF001 - none would be refused
    door._user = _guest  # noqa: SLF001


def _guest(_: zmq.Frame) -> bytes | None:
    keys = entrance._keys.workers  # noqa: SLF001
    return None if keys is None else keys.public


def pipeline(work: Workload, workers: int = 2) -> flazy_remote.Hosted:
    take_away()
    return flazy_remote.pipeline(work, workers, command=(sys.executable, "-m", __name__))


if __name__ == "__main__":
    take_away()
    sys.exit(cli.main())
