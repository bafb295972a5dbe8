"""A worker that breaks the protocol costs itself; the stream is what it would be, and the hub goes on."""

import os

import pytest

import flazy
from flazy import Dataset, PoisonSample, Processes
from flazy.errors import ProtocolError, SkippedSamples, WorkerPoolBroken
from flazy.run.runtime import runtime
from flazy.transport.wire import Result
from tests.parallel.saboteurs import ANONYMOUS, BLAMED, BOMB, PAYLOADS, STALE, Sender, forged, once, sabotage
from tests.parallel.test_faults import seen

pytestmark = pytest.mark.slow

FOUL = "breaks the protocol"
SAMPLES = list(range(40))


def ran(function, **options):
    """Run it over samples; give what came, and the workers lost."""
    with Dataset(SAMPLES).map(function, workers=Processes(2, chunk=2), **options).open() as run:
        values = list(run)
        return values, run.stats().segments[0].lost_workers


def outcomes(table, folder):
    """Send each message of a table once, each in a run of its own; give what was not as it should be."""
    found = {name: ran(sabotage(table, name, folder, 13)) for name in table}
    sent = {name for name in table if (folder / f"{name} was sent").exists()}
    flazy.shutdown()  # so that every warning is there

    assert set(table) == sent
    assert not (folder / BOMB).exists()
    assert [] == [name for name, (values, _) in found.items() if values != SAMPLES]
    return {name: lost for name, (_, lost) in found.items()}


def test_malformed_message_costs_its_worker_alone_and_is_told_once(tmp_path, caplog):
    lost = outcomes(BLAMED, tmp_path)
    told = [record.getMessage() for record in caplog.records if FOUL in record.getMessage()]

    assert dict.fromkeys(BLAMED, 1) == lost
    assert len(BLAMED) == len(told)
    assert all("worker process" in text and "its samples are sent again" in text for text in told)
    assert [] == [record for record in caplog.records if record.levelname != "WARNING"]


def test_message_of_nobody_is_dropped_with_a_warning(tmp_path, caplog):
    lost = outcomes(ANONYMOUS, tmp_path)

    assert dict.fromkeys(ANONYMOUS, 0) == lost
    assert len(ANONYMOUS) == len([record for record in caplog.records if "none of our workers" in record.getMessage()])


def test_message_that_is_in_order_and_does_not_count_is_dropped_and_counted(tmp_path, caplog):
    fleet = runtime().fleet
    lost = outcomes(STALE, tmp_path)

    assert dict.fromkeys(STALE, 0) == lost
    assert 3 == fleet.dropped  # the fourth is the core's to drop
    assert [] == caplog.records


@pytest.mark.parametrize("name", ["another version", "a start that is too high", "a block beyond all"])
def test_sample_that_breaks_the_protocol_each_time_is_poison(name, tmp_path):
    values, error = seen(Dataset(SAMPLES).map(sabotage(BLAMED, name, tmp_path, 13, wait=True), workers=2))

    assert SAMPLES[:13] == values
    assert isinstance(error, PoisonSample)
    assert (13,) == error.address
    assert FOUL in str(error)


def test_sample_that_breaks_the_protocol_each_time_can_be_left_out(tmp_path):
    function = sabotage(BLAMED, "unknown kind", tmp_path, 13, wait=True)
    with pytest.warns(SkippedSamples, match=FOUL):
        values = Dataset(SAMPLES).map(function, workers=2, on_error="skip").list()

    assert SAMPLES[:13] + SAMPLES[14:] == values


def test_sample_that_breaks_the_protocol_each_time_and_goes_on_ends_the_run():
    def run(x):
        if x == 13:
            me = Sender()
            me.send([me.header(77)])
        return x

    values, error = seen(Dataset(SAMPLES).map(run, workers=2))

    assert SAMPLES[: len(values)] == values
    assert len(values) <= 13
    assert isinstance(error, PoisonSample | WorkerPoolBroken)
    assert FOUL in str(error)


def test_flatmap_that_breaks_the_protocol_halfway_gives_each_output_once(tmp_path):
    def give(x):
        for offset in range(9000):
            if (x, offset) == (3, 6000) and once(tmp_path / "was sent"):
                me = Sender()
                me.send(me.result(a=1))
            yield x, offset

    values = Dataset(range(5)).flatmap(give, workers=2).list()

    assert [(x, offset) for x in range(5) for offset in range(9000)] == values
    assert (tmp_path / "was sent").exists()


@pytest.mark.parametrize("ordered", [True, False])
def test_result_that_comes_twice_counts_once(ordered):
    def twice(x):
        me = Sender()
        send = type(me.link).send
        if "send" not in vars(me.link):  # not changed yet in this worker

            def send_twice(link, message):
                send(link, message)
                if isinstance(message, Result):
                    send(link, message)

            me.link.send = send_twice.__get__(me.link)
        return x

    with Dataset(SAMPLES).map(twice, workers=Processes(2, chunk=1), ordered=ordered).open() as run:
        values = list(run)
        stats = run.stats().segments[0]

    assert sorted(values) == SAMPLES
    assert (values == SAMPLES) or not ordered
    assert 0 == stats.lost_workers
    assert stats.dropped >= len(SAMPLES) // 2


def test_result_of_a_dead_worker_does_not_count(tmp_path):
    def run(x):
        number = tmp_path / "number"
        me = Sender()
        if x == 13 and not number.exists():
            number.write_text(str(me.number))
            os._exit(1)
        if x == 13:
            me.send(me.result(worker=int(number.read_text())))
        return x

    fleet = runtime().fleet
    values = Dataset(SAMPLES).map(run, workers=Processes(2, chunk=1)).list()

    assert SAMPLES == values
    assert 1 == fleet.dropped


def test_payload_that_is_malformed_is_a_protocol_error_of_the_consumer():
    found = {}
    for name in PAYLOADS:
        values, error = seen(Dataset(SAMPLES).map(forged(name, 13), workers=Processes(2, chunk=1)))
        found[name] = (values, type(error))

    assert [] == [name for name, what in found.items() if what != (SAMPLES[:13], ProtocolError)]


def test_malformed_message_of_the_driver_ends_the_worker_with_a_last_word(tmp_path, caplog, capfd):
    def run(x):
        if x == 13 and once(tmp_path / "number"):
            (tmp_path / "number").write_text(str(Sender().number))
        return x

    ds = Dataset(range(2000)).map(run, workers=Processes(1, chunk=1))
    with ds.open() as stream:
        first = [next(stream) for _ in range(20)]
        number, hub = int((tmp_path / "number").read_text()), runtime().fleet.hub
        runtime().post(lambda: hub.send(number, [b"junk"]))
        rest = list(stream)
        lost = stream.stats().segments[0].lost_workers
    flazy.shutdown()

    assert list(range(2000)) == first + rest
    assert 1 == lost
    assert "flazy.errors.ProtocolError: a message that cannot be read" in capfd.readouterr().err
    assert ["exited with code 1" in record.getMessage() for record in caplog.records] == [True]
