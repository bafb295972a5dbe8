"""What follows from the figures of a run: shares, rates, what is to blame, and the line that says so."""

import pytest

from flazy.run.stats import Counts, SectionStats, SegmentStats, Slowest, StageStats, Stats, Waited, slowest_of

SOURCE = SectionStats(stages=("source(files)",), pulled=Waited(10.0, 0.1, 0.0))


def section(waited_s, *stops, stages=("batch(32)",), functions=(), first_s=0.5):
    """Give a section that was waited for so long in ten seconds."""
    return SectionStats(stages=stages, functions=functions, pulled=Waited(10.0, waited_s, first_s), stops=stops)


def segment(waited_s, busy, feed=SOURCE, name="map(f)", workers=2):
    """Give a stage that was waited for so long in ten seconds, in which its workers were busy for a share."""
    wait, worked_s = Waited(10.0, waited_s, 0.25), busy * workers * 10.0
    return SegmentStats(
        name=name, wait=wait, feed=feed, workers_asked=workers, worked_s=worked_s + 1.0, early_s=1.0, samples_done=400
    )


def run(loop, given=1001, **kwargs):
    return Stats(seconds=11.0, loop=loop, wait=loop.pulled, given=given, unit="batches", cores=8, **kwargs)


# Arithmetic -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waited", "share"),
    [(Waited(10.0, 2.5, 9.0), 0.25), (Waited(0.0, 0.0, 9.0), 0.0), (Waited(1.0, 1.0000001, 0.0), 1.0)],
)
def test_share_is_of_the_time_since_the_first(waited, share):
    assert share == waited.share


def test_workers_are_busy_for_what_they_worked_since_the_first_sample():
    stage = segment(1.0, 0.75)

    assert (0.75, 16.0, 1.0) == (stage.busy, stage.worked_s, stage.early_s)


def test_capacity_is_what_workers_could_do_if_they_never_waited():
    assert 2 * 400 / 16.0 == segment(1.0, 0.75).capacity


def test_capacity_is_unknown_before_anything_is_done():
    stage = SegmentStats(name="map(f)", wait=Waited(0.0, 0.0, 0.0), feed=SOURCE, workers_asked=2)

    assert (None, 0.0) == (stage.capacity, stage.busy)


def test_rate_counts_from_the_first_sample():
    stats = run(section(1.0))

    assert (100.0, 0.5, 1.0, 0.1) == (stats.rate, stats.first_s, stats.waited_s, stats.waited)


@pytest.mark.parametrize("given", [None, 0, 1])
def test_rate_of_less_than_two_samples_is_unknown(given):
    assert run(section(1.0), given=given).rate is None


def test_own_time_is_what_was_not_waited_for_others():
    loop = section(6.0, segment(1.5, 0.9), StageStats(name="prefetch(2)", wait=Waited(9.0, 0.5, 1.0), feed=SOURCE))

    assert (4.0, 4.0) == (loop.own_s, run(loop).own_s)


def test_own_time_is_unknown_where_samples_are_not_timed():
    assert SectionStats(stops=(segment(1.5, 0.9),)).own_s is None


def test_repetitions_add_up():
    one, other = Counts(2, 10, 9, 8, 1.5, 1, 2, 3, 2), Counts(0, 1, 1, 1, 0.25, 0, 1, 0, 3)

    assert Counts(2, 11, 10, 9, 1.75, 1, 3, 3, 3) == one.plus(other)


def test_segments_are_listed_upstream_first():
    first = segment(1.0, 0.5, name="map(a)")
    behind = StageStats(name="prefetch(2)", wait=Waited(9.0, 0.5, 1.0), feed=section(1.0, first))
    last = segment(1.0, 0.5, section(1.0, behind), name="map(b)")

    assert (first, last) == run(section(2.0, last)).segments


# What is to blame: source -> map(a) -> map(b) -> batch(32) -> loop ----------------------------------------------------


def chain(*, loop, b, busy_b, fed_b, a, busy_a, fed_a):
    """Give the chain: seconds of ten that were waited at each place, and the shares for which workers were busy."""
    source = SectionStats(stages=("source(files)",), pulled=Waited(10.0, fed_a, 0.0))
    stage_a = segment(a, busy_a, source, "map(a)")
    stage_b = segment(b, busy_b, section(fed_b, stage_a, stages=()), "map(b)")
    return run(section(loop, stage_b))


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        # the loop is slow: everything is full, nobody waits
        (
            {"loop": 0.4, "b": 0.3, "busy_b": 0.4, "fed_b": 0.3, "a": 0.2, "busy_a": 0.4, "fed_a": 0.2},
            Slowest("the loop itself", hint="data is not what limits this loop"),
        ),
        # collating takes the time
        (
            {"loop": 8.0, "b": 0.5, "busy_b": 0.3, "fed_b": 0.5, "a": 0.2, "busy_a": 0.3, "fed_a": 0.2},
            Slowest("batch(32)", "75 % of the time in the loop's own thread"),
        ),
        # the workers of the last stage
        (
            {"loop": 8.0, "b": 7.5, "busy_b": 0.97, "fed_b": 1.0, "a": 0.5, "busy_a": 0.5, "fed_a": 0.2},
            Slowest("map(b)", "its 2 workers 97 % busy", "more workers for map(b) would help"),
        ),
        # those of the first stage
        (
            {"loop": 8.0, "b": 7.5, "busy_b": 0.3, "fed_b": 9.0, "a": 8.5, "busy_a": 0.95, "fed_a": 0.2},
            Slowest("map(a)", "its 2 workers 95 % busy", "more workers for map(a) would help"),
        ),
        # the source blocks
        (
            {"loop": 8.0, "b": 7.5, "busy_b": 0.2, "fed_b": 9.0, "a": 8.5, "busy_a": 0.2, "fed_a": 9.7},
            Slowest("source(files)", "97 % of the time in the thread that reads ahead", "more workers would not help"),
        ),
        # nothing is busy: what travels takes the time, which is not measured, so there is no advice
        (
            {"loop": 8.0, "b": 7.5, "busy_b": 0.2, "fed_b": 0.4, "a": 0.1, "busy_a": 0.2, "fed_a": 0.1},
            Slowest("map(b)", "its 2 workers 20 % busy"),
        ),
    ],
)
def test_who_is_to_blame_in_a_chain(places, expected):
    assert expected == slowest_of(chain(**places))


def test_no_advice_where_the_cores_have_a_worker_each():
    stats = Stats(1.0, section(9.0, segment(9.0, 0.99)), Waited(10.0, 9.0, 0.1), 5, "batches", cores=2)

    assert Slowest("map(f)", "its 2 workers 99 % busy") == slowest_of(stats)


def test_advice_to_give_workers_to_what_has_none():
    loop = section(9.0, stages=("source(files)", "map(f)", "batch(32)"), functions=("map(f)",))

    assert "try workers= on map(f)" == slowest_of(run(loop)).hint


def test_prefetch_passes_the_blame_on():
    feed = section(9.9, stages=("source(files)", "map(f)"))
    loop = section(9.0, StageStats(name="prefetch(2)", wait=Waited(10.0, 9.0, 0.1), feed=feed))

    assert "source(files) > map(f)" == run(loop).slowest


def test_single_samples_are_blamed_on_what_they_waited_for():
    loop = SectionStats(stages=("map(g)",), stops=(segment(7.0, 0.97),))

    assert "map(f)" == Stats(11.0, loop, Waited(10.0, 7.0, 0.1), cores=8).slowest


def test_nothing_is_blamed_where_nothing_was_measured():
    assert Stats(11.0, SectionStats(stages=("source(files)", "map(g)"))).slowest is None


# Words ----------------------------------------------------------------------------------------------------------------

FAST = SectionStats(stages=("map(g)",), stops=(segment(0.1, 0.5),))
SERIAL = SectionStats(stages=("source(files)", "map(g)"))


@pytest.mark.parametrize(
    ("stats", "parts"),
    [
        (run(section(9.0, segment(8.5, 0.97)), given=1025),
         ["1,025 batches in 10.5 s", "the first after 500 ms, then 102/s", "the loop waited 90 % of the time",
          "slowest: map(f), its 2 workers 97 % busy", "more workers for map(f) would help"]),
        (run(section(0.04), given=2_004_001),
         ["2,004,001 batches in 10.5 s", "the first after 500 ms, then 200,000/s", "the loop waited 0 % of the time",
          "data is not what limits this loop"]),
        (run(section(0.0, segment(0.0, 0.0)), given=0), ["0 batches in 11.0 s"]),
        (Stats(seconds=0.25, loop=section(0.0), given=0, unit="batches"), ["0 batches in 250 ms"]),
        (run(section(9.0, segment(9.0, 0.3, workers=1)), given=1),
         ["1 batch in 10.5 s", "the first after 500 ms", "the loop waited 90 % of the time",
          "slowest: map(f), its 1 worker 30 % busy"]),
        (run(section(9.0, stages=("source(x)", "map(a)", "map(b)", "batch(2)")), given=10),
         ["10 batches in 10.5 s", "the first after 500 ms, then 0.9/s", "the loop waited 90 % of the time",
          "slowest: source(x) > … > batch(2), 90 % of the time in the loop's own thread"]),
        (Stats(11.0, FAST, Waited(2.0, 0.04, 0.0312)),
         ["samples for 2.03 s", "the first after 31 ms",
          "the loop waited 2 % of the time, that of map(g) left out, which is not timed",
          "workers are not what limits this loop"]),
        (Stats(11.0, SERIAL),
         ["samples for 11.0 s",
          "how long the loop waited is not known: samples that are made without workers are not timed"]),
    ],
)  # fmt: skip
def test_summary_is_one_line(stats, parts):
    assert "; ".join(parts) == stats.summary() == str(stats) == repr(stats)
