"""The trainer as a host sees it: a pair of connections, and the session over them.

A session begins with a knock and ends with the first doubt about either connection: nothing is ever sent over a
connection that was mended.
"""

from __future__ import annotations

from collections.abc import Iterator

from flazy.errors import ProtocolError
from flazy.remote.join import JoinCode
from flazy.remote.messages import FROM_TRAINER, Envelope, Message, Passed, Welcome, pack, unpack
from flazy.transport.curve import KeyPair
from flazy.transport.line import Line, LineEvent

__all__ = ["Trainer"]


class Trainer:
    """One pair of connections; `Line` says what becomes of them.

    Parameters
    ----------
    code
        Where it is, and its public key.
    keys
        Ours.
    patience
        Seconds after which an unanswered connection counts as broken.
    """

    def __init__(self, code: JoinCode, keys: KeyPair, patience: float) -> None:
        self.line = Line(code.host, code.port, code.results_port, code.trainer, keys, heartbeat=patience)
        self.session = 0
        self._told = 0
        self._given = 0
        self._heard = 0

    def tell(self, message: Message) -> None:
        """Say something."""
        self.line.send(pack(message, Envelope(self.session, self._told)))
        self._told += self.session > 0

    def give(self, message: Passed) -> None:
        """Send a result."""
        self.line.send_result(pack(message, Envelope(self.session, self._given)))
        self._given += 1

    def events(self) -> Iterator[LineEvent]:
        """Give what has happened to the connections."""
        return self.line.events()

    def receive(self) -> Iterator[Message]:
        """Give what it says.

        Raises
        ------
        ProtocolError
            It is none of what a trainer says, or something was lost before it.
        """
        for frames in self.line.receive():
            envelope, message = unpack(frames, FROM_TRAINER)
            if envelope.session == 0:  # not of a session: a refusal, or that ours is over
                yield message
                continue
            if isinstance(message, Welcome) and self.session == 0:
                self.session = envelope.session
            if (envelope.session, envelope.before) != (self.session, self._heard):
                raise ProtocolError("a message of the trainer was lost on the way")
            self._heard += 1
            yield message

    def close(self, linger_ms: int = 0) -> None:
        """End the connections; idempotent."""
        self.line.close(linger_ms)
