"""The benchmark of remote workers: its arithmetic, its check of outputs without an order, and one small cell."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from benchmarks import effort, remote, run, streaming, tables
from benchmarks.schedule import Cell
from benchmarks.workloads import find


def record(peer, turn, rate, workload="image_batch_tcp"):
    return {"peer": peer, "workload": workload, "turn": turn, "figures": {"rate": rate}}


# Ratios -----------------------------------------------------------------------------------------------


def test_ratios_are_of_rounds_that_have_both():
    records = [
        record("flazy_remote", 0, 10.0), record("ray", 0, 5.0), record("ray", 1, 1.0), record("flazy_remote", 2, 9.0),
        record("ray", 2, 3.0), record("ray", 2, 9.0, "array_in_out_tcp"),
    ]  # fmt: skip
    failed = {"peer": "ray", "workload": "image_batch_tcp", "turn": 3, "error": "no"}

    assert [2.0, 3.0] == remote.ratios([*records, failed], ("image_batch_tcp", "rate"), "flazy_remote", "ray")
    assert [] == remote.ratios(records, ("image_batch_tcp", "cpu_ms"), "flazy_remote", "ray")


def test_table_of_ratios_has_a_line_for_each_pair_that_was_measured():
    records = [
        record("flazy_remote", 0, 10.0), record("torch_rpc", 0, 8.0), record("push_pull", 0, 4.0),
        record("push_pull_curve", 0, 3.0), record("push_pull_curve", 1, 3.0), record("push_pull", 1, 2.0),
    ]  # fmt: skip

    assert [
        "| flazy_remote / torch_rpc | 1.25 (1.25 – 1.25) |  |  |  |",
        "| flazy_remote / push_pull | 2.50 (2.50 – 2.50) |  |  |  |",
        "| flazy_remote / push_pull_curve | 3.33 (3.33 – 3.33) |  |  |  |",
        "| push_pull_curve / push_pull | 1.12 (0.75 – 1.50) |  |  |  |",
    ] == remote.against(records)[4:-1]
    assert [] == remote.against([record("ray", 0, 1.0)])


def test_flazy_is_in_every_run():
    assert ["flazy_remote", "torch_rpc"] == remote.remote_peers("torch_rpc")
    assert {"ray", "flazy_remote", "push_pull_curve"} < set(remote.remote_peers(""))
    with pytest.raises(SystemExit, match="there are ray"):
        remote.remote_peers("serial")


def test_page_of_the_documentation_has_a_place_for_these_results():
    page = (run.ROOT / "docs" / "performance.md").read_text()

    assert "new" in tables.put(page, "new", remote.MARKS)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_processor_time_is_that_of_all_processes():
    before = effort.cpu_s()
    child = "import time\nwhile time.process_time() < 0.1: pass"
    subprocess.run([sys.executable, "-c", child], check=True)

    assert effort.cpu_s() - before >= 0.09


# Outputs without an order -----------------------------------------------------------------------------


def pulled(numbers, work=None):
    """Look at outputs that come in a given order, each with its number."""
    work = work or find("tiny_batch")
    done = streaming.Unordered(work, ((number, work.output(number)) for number in numbers))
    streaming.look(done)
    done.pull(1)
    return done


def test_outputs_may_come_in_any_order():
    done = pulled([3, 0, 2, 5, 4, 7, 9])

    done.check()
    assert 6 == done.count


def test_output_that_comes_twice_is_found():
    with pytest.raises(streaming.WrongOutput, match="1 outputs came twice"):
        pulled([3, 0, 2, 0, 4, 7]).check()


def test_output_under_the_number_of_another_is_found():
    work = find("tiny_batch")
    outputs = zip([0, 1, 2, 4, 3, 5], map(work.output, range(6)), strict=True)
    done = streaming.Unordered(work, outputs)
    streaming.look(done)

    with pytest.raises(streaming.WrongOutput, match="output 4 sums to"):
        done.check()


def test_content_of_the_first_outputs_is_looked_at():
    work = find("tiny_batch")
    batch = work.output(1)[::-1]  # of the same sum
    done = streaming.Unordered(work, iter([(1, batch), *((number, work.output(number)) for number in (0, 2, 3, 4))]))
    streaming.look(done)

    with pytest.raises(streaming.WrongOutput, match="output 1 is not that of a plain loop"):
        done.check()


def test_pass_without_an_order_must_be_whole_when_it_ends():
    work = dataclasses.replace(find("tiny_batch"), source=range(256 * 6))

    whole, short = pulled([5, 4, 3, 2, 1, 0], work), pulled([5, 4, 3, 2, 1], work)
    whole.pull(1)

    whole.check()
    with pytest.raises(streaming.WrongOutput, match="5 outputs, not all of 6"):
        short.check()
    short.check(to_the_end=False)


# A run ------------------------------------------------------------------------------------------------


def test_both_formats_give_the_array_that_was_pushed():
    from benchmarks.peers import push_pull, push_pull_msgpack

    array = find("image_batch").output(3)
    for way in (push_pull.FRAMES, push_pull_msgpack.PACKED):
        number, found = way.unpack([zmq.Frame(part, copy=True) for part in way.pack(3, array)])

        assert (3, streaming.fingerprint(array)) == (number, streaming.fingerprint(found))


@pytest.mark.slow
def test_encrypted_cell_gives_megabytes_and_right_outputs():
    found = run.measure(Cell("push_pull_curve", "image_batch_tcp", 0), 0.2, Path(sys.executable))

    assert "figures" in found, found
    assert pytest.approx(found["figures"]["mb_s"]) == found["figures"]["rate"] * 0.602112
