"""The points at which a worker's work changes hands, and how a worker is killed or stopped exactly there.

Nothing of this is in the product: `install` runs in the zygote, before it forks, and puts itself around methods of the
worker's. A point is armed by a file in the folder that ``FLAZY_POINTS`` names: ``NAME.kill`` and ``NAME.stop`` are for
whoever comes there first, who removes the file; ``NAME.always`` holds the number of a task that ends its worker there
each time.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flazy.transport import places
from flazy.transport.link import SocketLink
from flazy.transport.wire import Close, Closed, Hello, Message, Result, Task
from flazy.workers import forker, process
from flazy.workers.loop import Loop

__all__ = ["FOLDER", "OF_NEW_WORKERS", "POINTS", "START", "hit", "install"]

FOLDER = "FLAZY_POINTS"
START = "from tests.chaos import points; points.install()\nargument ="  # in the zygote's program, for "argument ="

MAP, FLATMAP, IMAGES = ("map",), ("flatmap",), ("images",)
ANY = MAP + FLATMAP + IMAGES
# Where, and in which pipelines work comes there.
POINTS: dict[str, tuple[str, ...]] = {
    "zygote: forked and not told": MAP,
    "forked": MAP,
    "before hello": ANY,
    "after hello": ANY,
    "kernel loaded": ANY,
    "task received": ANY,
    "in the function": ANY,
    "half an array written": ("arrays",),
    "half a row written": IMAGES,
    "written, not sent": (*ANY, "arrays"),
    "nothing noted, not sent": ANY,
    "given to ZeroMQ": ANY,
    "sent": (*ANY, "arrays"),
    "between two parts": FLATMAP,
    "out of credit": FLATMAP,
    "close received": ANY,
    "closed, not told": ANY,
    "told that it is idle": ANY,
    "ending": ANY,
}
OF_NEW_WORKERS = ("zygote: forked and not told", "forked", "before hello", "after hello")

_task = -1  # the number of the one under way


def hit(point: str) -> None:
    """Die or stop, if that is armed here."""
    start = f"{os.environ[FOLDER]}/{point}"
    for mode, number in (("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)):
        if _claim(f"{start}.{mode}"):
            os.kill(os.getpid(), number)
    always = Path(f"{start}.always")
    if _task >= 0 and always.exists() and int(always.read_text()) == _task:
        os._exit(9)


def _claim(path: str) -> bool:
    try:
        Path(path).unlink()
    except FileNotFoundError:
        return False
    return True


def _is_armed(point: str) -> bool:
    return any(Path(f"{os.environ[FOLDER]}/{point}.{mode}").exists() for mode in ("kill", "stop", "always"))


def install() -> None:
    """Put what hits a point around what the worker does there."""
    os.environ.setdefault(FOLDER, "")
    _around(forker.Brood, "_tell", before=_telling)
    _around(forker, "_become_worker", before=lambda *_: hit("forked"))
    _around(process._Loader, "load", after=lambda *_: hit("kernel loaded"))
    _around(places, "_like", before=_half_an_array)
    _around(places.Place, "put", before=_half_a_row)
    _around(Loop, "_handle", before=_handling, after=_handled)
    _around(Loop, "_step", before=_stepping, after=_stepped)
    _around(Loop, "_packed", after=_packed)
    _around(SocketLink, "send", before=_sending, after=_sent)
    _around(SocketLink, "close", before=lambda *_: hit("ending"))


def _around(
    owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before(*arguments)
        result = function(*arguments, **named)
        if after is not None:
            after(*arguments)
        return result

    setattr(owner, name, call)


def _telling(_requests: Any, message: dict[str, int], _descriptors: Any) -> None:
    hit("zygote: forked and not told" if "worker" in message else "zygote: child reaped and not told")


def _half_an_array(array: Any, memory: Any) -> None:
    if _is_armed("half an array written"):
        memory[: len(memory) // 2] = b"\xff" * (len(memory) // 2)
        hit("half an array written")


def _half_a_row(place: Any, _sample: Any) -> None:
    if place.filling and _is_armed("half a row written"):
        row = place._views[0][place._row]
        row[: len(row) // 2] = -1
        hit("half a row written")


def _handling(_loop: Loop, message: Message) -> None:
    if isinstance(message, Close):
        hit("close received")


def _handled(_loop: Loop, message: Message) -> None:
    if isinstance(message, Task):
        hit("task received")


def _stepping(_loop: Loop, key: tuple[int, int]) -> None:
    global _task  # noqa: PLW0603 - one worker, one task at a time
    _task = key[1]


def _stepped(loop: Loop, key: tuple[int, int]) -> None:
    global _task  # noqa: PLW0603 - as above
    if (work := loop._works.get(key)) is not None:
        hit("between two parts" if work.credit else "out of credit")
    _task = -1


def _packed(_loop: Loop, made: Any, _work: Any) -> None:
    if made.values or made.filled:  # otherwise nothing was written
        hit("written, not sent")


def _sending(_link: SocketLink, message: Message) -> None:
    if isinstance(message, Result):
        hit("nothing noted, not sent")
    elif isinstance(message, Hello):
        hit("before hello")
    elif isinstance(message, Closed):
        hit("closed, not told")


def _sent(link: SocketLink, message: Message) -> None:
    if isinstance(message, Result):
        hit("given to ZeroMQ")
        if _is_armed("sent"):
            link._results.close()  # and with it waits until the system has everything
            link._tasks.close(linger=0)
            link._context.term()
            hit("sent")
            os._exit(9)  # another worker was first
    elif isinstance(message, Hello):
        hit("after hello")
    elif isinstance(message, Closed):
        hit("told that it is idle")
