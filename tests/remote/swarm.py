"""The trainer's side of a stage in one thread, with hosts that are played: honest ones, and one that is not.

Real are `Hosts`, the pool, the session and the core; played are the door and who stands before it, so that a run is
made of its seed alone.

The one rule: whatever the liar says, the hub raises nothing, nobody else loses a session, nothing is unpickled, and
each sample comes once and in its place.
"""

from __future__ import annotations

from random import Random

from flazy.collate import Batching
from flazy.core.check import validate
from flazy.errors import ProtocolError
from flazy.plan.kernel import Op
from flazy.plan.remote import Remote
from flazy.remote.hosts import Hosts
from flazy.remote.parcel import Parcel
from flazy.remote.pool import Guests, RemotePool, terms_of
from flazy.run.session import Broken, Emitted, Ended, Poisoned, Session
from flazy.sample import Origin
from flazy.transport.codec import encode
from flazy.transport.parts import opened, rows_checked
from flazy.transport.payload import Encoded
from flazy.transport.stretches import BATCHES, ROWS
from tests.remote.liar import FINGERPRINT, HONEST, LIAR, Liar, PlayedCaller, PlayedDoor, PlayedHost
from tests.transport.hive import output
from tests.transport.same import same

MOST_TURNS = 5000
LIAR_FIRST = 0.8  # of the turns: it answers sooner than others


class Swarm:
    """One stage over some samples, on three hosts of which one lies; `play` ends with the last sample."""

    def __init__(self, rng, samples=60):
        self.rng = rng
        self.samples = samples
        self.door = PlayedDoor()
        self.caller = PlayedCaller()
        where = Remote("tcp://127.0.0.1:0", chunk=rng.randint(1, 3))
        self.hub = Hosts(self.door, self.caller, "", heartbeat=1e9, is_allowed=lambda _: True, room=lambda _: None)
        ops = (Op("map", "map(output)", output),)
        self.slow = []
        terms = terms_of(where, Batching(4, None) if rng.random() < 0.3 else None, {}, "map(output)")
        parcel = Parcel(1, b"kernel", [], {"os": FINGERPRINT} if rng.random() < 0.2 else {})
        self.guests = Guests(parcel, terms, warn_slow=lambda *said: self.slow.append(said))
        self.session = Session(1, where, RemotePool(where, self.guests, self.hub), ops, ordered=True)
        self.honest = [PlayedHost(self.door, HONEST, number) for number in (1, 2)]
        self.hosts = list(self.honest)
        self.fed = 0
        self.next = 0
        self.refused = 0
        self.ended = None

    def play(self):
        """Let everybody act until the stage ends."""
        self.session.open()
        while not all(host.session and self.hub._at_work(self.guests) for host in self.honest):
            self._turn()  # whoever comes first and has other code ends the run
        self.liar = Liar(self.door, LIAR, 0, self.rng)
        self.hosts.append(self.liar)
        for _ in range(MOST_TURNS):
            if self.ended is not None:
                break
            self._turn()
        else:
            raise AssertionError("no end in sight")
        for host in self.honest:
            assert not host.lost, f"host {host.number} was honest"

    def _turn(self):
        self.hub.tend()
        validate(self.session.core)
        if len(self.hosts) > len(self.honest):
            self._feed()
            self._end_quiet()
        hosts = {host.routing: host for host in self.hosts}
        ready = [routing for routing, sent in self.door.sent.items() if sent and routing in hosts]
        if ready:
            is_liar = len(self.hosts) > len(self.honest) and self.liar.routing in ready
            routing = self.liar.routing if is_liar and self.rng.random() < LIAR_FIRST else self.rng.choice(ready)
            try:
                hosts[routing].receive(self.door.sent[routing].popleft())
            except ProtocolError:
                assert hosts[routing] is self.liar
        while self.ended is None and not self.session.outlet.empty():
            self._take(self.session.outlet.get())

    def _end_quiet(self):
        """Let the liar go when nobody has anything to say any more: it keeps tasks that it says are done."""
        hosts = {host.routing for host in self.hosts}
        quiet = not any(sent for routing, sent in self.door.sent.items() if routing in hosts)
        if quiet and not self.door.control and not self.door.results:
            self.liar.session = 0
            self.door.control.append((self.liar.routing, LIAR, [b"junk"]))
            self.door.sent.pop(self.liar.routing, None)
            self.liar.connect()

    def _feed(self):
        while self.fed < self.samples and not self.session.permits.empty():
            size = min(self.session.permits.get(), self.samples - self.fed)
            values = list(range(self.fed, self.fed + size))
            self.session.accept(Origin(0, (self.fed,)), Encoded(encode([(ROWS, size, values)])), size)
            self.fed += size
        if self.fed == self.samples:
            self.session.end(None)

    def _take(self, item):
        match item:
            case Emitted() as part:
                self._look(part)
                self.session.taken(part.task)
            case Ended(error) | Broken(error):
                assert error is None, error
                assert self.samples == self.next or self.liar.tasks, "all samples came"
                self.ended = item
            case Poisoned() as poisoned:
                assert poisoned.task in self.liar.tasks
                self.next = poisoned.origin.first[0] + 1
                self.ended = item

    def _look(self, part):
        first = part.origin.first[0] + part.start
        if part.start == 0 and part.task - 1 in self.liar.tasks:
            self.next = max(self.next, first)  # it may have given fewer
        assert first == self.next, "the place of a sample"
        (_, failure, _), stretches = opened(part.payload, part.outputs)
        if stretches and stretches[0][0] == BATCHES:
            assert part.task in self.liar.tasks
            self.ended = part
            return
        rows = [row for stretch in stretches for row in rows_checked(stretch)]
        self.next += len(rows)
        if part.task not in self.liar.tasks:
            assert same([output(value) for value in range(first, self.next)], rows), first
        if failure is not None:
            assert part.task in self.liar.tasks
            self.ended = part


class StageError(AssertionError):
    """A stage went wrong; the message names the seed."""


def play(seed, number):
    """Play one stage that is made of a seed and a number, and give it.

    Raises
    ------
    StageError
        Anything was wrong.
    """
    swarm = Swarm(Random(f"{seed}/{number}"))
    try:
        swarm.play()
    except Exception as error:
        raise StageError(f"stage {number} of seed {seed}: {type(error).__name__}: {str(error)[:500]}") from error
    return swarm
