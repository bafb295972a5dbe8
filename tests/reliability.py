"""What may go wrong, what is true then, and which tests show it: the table of docs/reliability.md, as data.

    python -m tests.reliability                       # run the tests that are named here, and write the table
    python -m tests.reliability --report=junit.xml    # write it from a run that was (pytest --junit-xml=junit.xml)

A test is named by its file, from ``tests`` on, and its function; a file alone stands for all that it holds, and what is
in brackets, for all cases whose names begin so. To add one is one line. A row that no test shows says why;
``tests/test_reliability.py`` checks that all of it exists.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.faults import Row
from tests.parallel.compared import put
from tests.remote.rows import REMOTE

__all__ = ["PAGE", "ROWS", "Row", "outcomes", "table"]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reliability.md"

FAULTS = "parallel/test_faults.py"
LIFETIME = "parallel/test_lifetime.py"
MISBEHAVIOUR = "parallel/test_misbehaviour.py"
POOL = "workers/test_process_pool.py"
AROUND = "parallel/test_surroundings.py"
MEMORY = "parallel/test_memory.py"
POOLS = "pools/test_conformance.py::test_promise_is_kept"
CHAOS = "parallel/test_chaos.py"
ENDS = "parallel/test_ends.py"
FLOW = "parallel/test_flow.py"
RESOURCES = "parallel/test_resources.py"
SABOTAGE = "parallel/test_sabotage.py"
SKIPS = "parallel/test_on_error.py"
TIMEOUTS = "parallel/test_timeouts.py"
UNRULY = "parallel/test_unruly.py"


ROWS = (
    # In your function
    Row(1, "the function raises",
        "all samples before it come, then an error with sample, stage, worker and your line, of your own class too", (
            f"{MISBEHAVIOUR}::test_what_is_raised_is_an_error_at_its_place_with_the_users_line",
            f"{FAULTS}::test_exception_is_raised_at_its_place_and_says_where_it_comes_from",
            f"{FAULTS}::test_error_is_also_the_users_own_and_holds_it",
            f"{FAULTS}::test_error_behind_a_flatmap_names_the_offset",
            f"{FAULTS}::test_error_of_a_setup_says_so",
        )),
    Row(2, "its exception cannot be pickled, unpickled or printed, kills who pickles it, or has a text of 100 MB",
        "the same; the text is cut at 64 KB; who kills the worker in that way is named as in 4", (
            f"{MISBEHAVIOUR}::test_what_is_raised_is_an_error_at_its_place_with_the_users_line",
            f"{MISBEHAVIOUR}::test_what_kills_its_worker_is_an_error_at_its_place_that_says_how",
            "test_errors.py::test_message_of_a_hundred_megabytes_is_cut",
            "workers/test_loop.py::test_exception_that_would_not_arrive_is_left_behind",
        )),
    Row(3, "`sys.exit`, `os._exit`, KeyboardInterrupt, GeneratorExit, StopIteration or any BaseException in it",
        "an error as in 1 (`os._exit`: as in 4); the stream never ends early, nothing is raised as if it were yours", (
            f"{MISBEHAVIOUR}::test_what_is_raised_is_an_error_at_its_place_with_the_users_line",
            f"{MISBEHAVIOUR}::test_what_kills_its_worker_is_an_error_at_its_place_that_says_how",
            "plan/test_kernel.py::test_no_exception_of_a_function_ends_the_stream_silently",
            "workers/test_loop.py::test_exceptions_that_end_things_elsewhere_are_failures_here",
        )),
    Row(4, "it crashes: segmentation fault, `abort`, SIGBUS, or kills itself",
        "`PoisonSample` with sample, stage, signal and stack, after 2 deaths of its own (5 by SIGKILL)", (
            f"{MISBEHAVIOUR}::test_what_kills_its_worker_is_an_error_at_its_place_that_says_how",
            f"{FAULTS}::test_sample_that_kills_its_worker_is_named_after_everything_before_it",
            f"{FAULTS}::test_stack_of_a_crash_is_part_of_the_error",
            f"{FAULTS}::test_sample_that_kills_its_worker_as_it_is_packed_is_named",
            f"{FAULTS}::test_crash_that_does_not_come_again_is_not_seen",
        )),
    Row(5, "it runs out of memory, in a cgroup or under a limit of its own",
        "a `SampleError` that is a MemoryError, or `PoisonSample` that tells of the kernel's kill after five workers", (
            f"{RESOURCES}::test_memory_error_of_a_function_names_its_sample",
            f"{RESOURCES}::test_worker_that_the_system_kills_for_its_memory_costs_its_sample_alone",
            "workers/test_oom.py",
        )),
    Row(6, "it hangs: asleep, in C, with the interpreter's lock, deaf to signals",
        "with `timeout=`, `SampleTimeout` with sample, stage and the worker's stack", (
            f"{MISBEHAVIOUR}::test_what_hangs_is_an_error_at_its_place_with_the_workers_stack",
            f"{MISBEHAVIOUR}::test_every_fault_in_one_stream_costs_its_own_sample_alone",
            TIMEOUTS,
            "workers/test_watch.py",
        )),
    Row(7, "it returns what cannot travel, or what seldom does (masked arrays, 2**70, cycles)",
        "equal, or `UnserializableSample` with the path to it; never changed unseen", (
            f"{MISBEHAVIOUR}::test_what_cannot_travel_is_an_error_at_its_place_that_says_what",
            f"{FAULTS}::test_input_that_cannot_travel_is_named_after_everything_before_it",
            f"{FAULTS}::test_output_that_cannot_travel_is_named_after_everything_before_it",
            "transport/test_unencodable.py",
            "parallel/test_returned.py",
            "parallel/test_fidelity.py",
        )),
    Row(8, "it cannot be pickled",
        "`UnserializableFunction` with the name of the variable, before anything is started", (
            f"{FAULTS}::test_function_that_captures_a_lock_is_refused_before_anything_starts",
            "verbs/test_bad_input.py::test_function_that_cannot_be_pickled_names_the_variable_before_anything_starts",
        )),
    Row(9, "it starts threads, processes, an executor, or a pipeline of its own",
        "every sample is delivered, nothing is left", (
            f"{MISBEHAVIOUR}::test_what_a_function_may_do_does_no_harm",
            f"{AROUND}::test_worker_may_run_a_pipeline_of_its_own",
            f"{UNRULY}::test_function_that_starts_something_each_time",
            "parallel/test_orphans.py::test_what_functions_have_started_ends_with_a_program_that_ends",
        )),
    Row(10, "it writes much, closes descriptors 0 to 2, changes folder, handlers or limits",
        "every sample is delivered; what it prints comes to your `sys.stdout`", (
            f"{MISBEHAVIOUR}::test_what_a_function_may_do_does_no_harm",
            f"{AROUND}::test_what_workers_print_reaches_stdout_as_it_is_at_that_moment",
            f"{AROUND}::test_worker_has_no_input",
            "workers/test_relay.py",
            f"{UNRULY}::test_function_that_leaves_its_worker_changed",
            f"{UNRULY}::test_function_that_writes_much",
        )),
    Row(11, "a flatmap gives nothing, very much, or dies half-way",
        "each output comes once; what is held is bounded", (
            f"{FAULTS}::test_flatmap_that_dies_halfway_gives_what_it_made_first_once",
            f"{FAULTS}::test_error_in_a_generator_of_a_flatmap_follows_what_it_gave",
            f"{SKIPS}::test_flatmap_that_dies_halfway_keeps_what_came_of_it",
            f"{MEMORY}::test_input_with_many_outputs_is_held_in_bounds",
            f"{MEMORY}::test_input_with_many_outputs_comes_through_processes",
            f"{POOLS}[flatmap of none one and many]",
        )),
    Row(12, "a filter drops everything, or all but the last", "the pass ends, and gives the last", (
        f"{POOLS}[filter that drops everything]",
        f"{POOLS}[filter that keeps only the last]",
    )),
    Row(13, "it draws random numbers",
        "the same stream for any number of workers, and after a death", (
            f"{POOLS}[random map does not depend on the workers]",
            f"{CHAOS}::test_flatmap_and_random_map_are_exact_while_workers_are_killed",
            "test_randomness.py",
        )),
    # Processes and their lives
    Row(14, "workers are killed at random, again and again",
        "every sample comes once and in order; no sample is blamed", (
            CHAOS,
            "core/test_simulation.py",
        )),
    Row(15, "workers are stopped (SIGSTOP), and go on later",
        "every sample comes once, and none is blamed; one that stays stopped is replaced", (
            f"{CHAOS}::test_no_sample_is_blamed_for_the_time_for_which_its_worker_is_stopped",
            f"{CHAOS}::test_random_pipelines_are_as_without_workers_while_workers_are_killed_and_stopped",
            "parallel/test_timeouts.py::test_worker_that_is_stopped_is_replaced_and_its_samples_come",
            "parallel/test_timeouts.py::test_time_for_which_a_worker_is_stopped_is_not_its_functions",
        )),
    Row(16, "a worker cannot start, or dies or stands still before it is ready",
        "`WorkerError` or `WorkerPoolBroken` with its last words, soon; no storm of new ones", (
            f"{FAULTS}::test_worker_that_cannot_be_started_is_an_error_at_once",
            f"{FAULTS}::test_worker_that_dies_as_it_starts_is_an_error_with_its_last_words",
            f"{FAULTS}::test_function_that_cannot_be_loaded_in_a_worker_is_an_error_with_the_traceback",
            f"{POOL}::test_workers_that_die_before_they_are_ready_break_the_pool_at_the_third",
        )),
    Row(17, "a worker dies, or is stopped, at one of the points where its work changes hands",
        "every sample comes once, for each of the points", (
            "chaos/test_points.py",
            "parallel/test_warm.py::test_one_that_dies_when_it_has_given_its_last_result_is_nobodys_loss",
        )),
    Row(18, "all workers die at once, and those that follow",
        "new ones are started, up to a bound; then `WorkerPoolBroken` with their exits", (
            f"{POOL}::test_workers_that_die_without_a_result_in_between_break_the_pool",
            f"{POOL}::test_workers_killed_from_outside_are_borne_longer",
            f"{POOL}::test_deaths_between_results_do_not_add_up",
        )),
    Row(19, "the trainer is killed", "its workers end; nothing is left that has a name", (
        f"{LIFETIME}::test_workers_end_with_a_program_that_is_killed",
        "parallel/test_orphans.py",
    )),
    Row(20, "Ctrl-C, SIGTERM, SIGHUP", "KeyboardInterrupt once, in the trainer; workers say nothing, and end", (
        f"{LIFETIME}::test_interrupt_is_raised_once_and_leaves_nothing",
        "parallel/test_signals.py",
        "transport/test_hub.py::test_interrupt_is_not_lost_where_a_message_is_dropped",
        "test_errors.py::test_ctrl_c_passes_as_it_is",
    )),
    Row(21, "`break`, `del`, an exception whose traceback is kept, a cycle, an iterator that is never started",
        "the pass ends, its workers are free", (
            f"{LIFETIME}::test_break_ends_it",
            f"{LIFETIME}::test_exception_in_the_loop_body_ends_it_although_its_traceback_is_kept",
            f"{LIFETIME}::test_deleting_the_iterator_ends_it",
            f"{LIFETIME}::test_iterator_in_a_cycle_is_ended_by_the_collector",
            f"{LIFETIME}::test_iterator_that_another_thread_collects_is_ended",
            f"{LIFETIME}::test_run_that_was_never_asked_for_a_sample",
            f"{LIFETIME}::test_generator_is_closed_from_another_thread",
            f"{ENDS}::test_iterator_in_a_cycle_is_ended_whoever_collects_it",
            f"{ENDS}::test_generator_that_was_never_started",
            f"{ENDS}::test_traceback_that_the_interpreter_holds",
        )),
    Row(22, "the interpreter ends in the middle of a pass", "with its own exit code, at once", (
        f"{LIFETIME}::test_interpreter_ends_well_with_a",
        f"{ENDS}::test_program_ends_in_time_with_its_own_code_and_words",
    )),
    Row(23, "ten thousand passes are opened and closed (100 here; all by `python -m tests.chaos.resources cycles`)",
        "descriptors, threads and memory stay where they were", (
            f"{FLOW}::test_open_and_close_leave_nothing_behind",
        )),
    Row(24, "many pipelines at once, from many threads; one iterator in two threads",
        "each is exact; sharing one iterator is a clear error", (
            f"{LIFETIME}::test_two_passes_at_once_do_not_see_each_other",
            f"{LIFETIME}::test_threads_have_passes_of_their_own",
            f"{LIFETIME}::test_ten_pipelines_in_turns",
            f"{ENDS}::test_twenty_pipelines_at_once",
            f"{ENDS}::test_iterator_that_two_threads_share_gives_each_sample_once_or_an_error",
            f"{ENDS}::test_shutdown_from_another_thread_in_the_midst",
        )),
    Row(25, "the trainer forks in the middle of a pass (as PyTorch's loader does)",
        "the parent goes on, the child may start passes of its own", (
            "parallel/test_forks.py",
            f"{LIFETIME}::test_fork_in_the_middle_leaves_the_parent_alone_and_the_child_can_start_anew",
            "parallel/test_shared_memory.py::test_a_fork_of_the_program_disturbs_neither_side",
        )),
    Row(26, "a script, `python -c`, standard input, a folder that is gone", "it works, or one clear error", (
        f"{AROUND}::test_functions_from_the_script_itself_and_from_its_neighbour",
        f"{AROUND}::test_functions_without_a_file",
        f"{AROUND}::test_folder_that_is_gone_is_a_clear_error",
        "parallel/test_started.py",
    )),
    Row(27, "the thread that started a pass ends", "its workers live on", (
        f"{ENDS}::test_pass_that_was_opened_in_a_thread_that_has_ended",
    )),
    Row(28, "few descriptors or processes are allowed, TMPDIR is long, missing or full, the folder is read-only",
        "it works, or `ResourceError` says which limit, and its value", (RESOURCES,)),
    Row(29, "/dev/shm has 1 MB, or memory is full", "every sample comes, by another way; never SIGBUS", (
        "transport/test_arena.py::test_a_tiny_shared_memory_mount_does_not_matter",
        "parallel/test_shared_memory.py::test_without_room_arrays_come_as_before",
        f"{RESOURCES}::test_large_samples_need_no_dev_shm",
    )),
    Row(30, "arrays are kept by the thousand, changed, and outlive the pass",
        "each is yours: writable, and touched by nobody else", (
            "parallel/test_kept.py",
            "parallel/test_shared_memory.py::test_arrays_outlive_the_runtime",
        )),
    Row(31, "a sample of 2 GiB, of 4 GiB, and a little more", "equal",
        left_out="13 GB and minutes: `python -m tests.chaos.resources large` found all equal"),
    # Flow, order, source
    Row(32, "the consumer is slow", "what is read ahead stays within the window; no worker counts as hung", (
        f"{MEMORY}::test_endless_source_is_read_no_further_than_the_window",
        f"{MEMORY}::test_endless_source_of_large_arrays_is_read_no_further_than_a_window_in_bytes",
        f"{MEMORY}::test_work_goes_on_while_the_consumer_is_busy",
        f"{FLOW}::test_consumer_that_sleeps_is_waited_for_with_bounded_memory",
        f"{TIMEOUTS}::test_consumer_that_waits_does_not_make_workers_look_hung",
    )),
    Row(33, "one worker is a hundred times slower", "the others go on, as far as the window; memory stays bounded", (
        "parallel/test_slow.py::test_worker_that_is_slow_gets_less_to_do",
    )),
    Row(34, "one sample takes a thousand times as long", "the same", (
        "parallel/test_slow.py::test_in_order_others_go_on_as_far_as_the_window_and_wait_there",
        "parallel/test_slow.py::test_without_order_others_come_before_it",
    )),
    Row(35, "the source raises, ends early, never ends, blocks, or can be read once only",
        "all samples before it come, then `SourceError`; `break` works while it blocks", (
            f"{FAULTS}::test_error_of_the_source_follows_its_samples",
            f"{MEMORY}::test_break_works_while_the_source_blocks",
            f"{MEMORY}::test_finished_samples_arrive_although_the_source_blocks",
            "test_errors.py::test_stop_iteration_in_a_source_function_does_not_end_the_stream_silently",
            "verbs/test_bad_input.py::test_second_pass_over_an_iterator_is_refused",
        )),
    Row(36, "any pipeline, drawn at random", "parallel is equal to serial, errors and their places included", (
        "parallel/test_equals_serial.py",
        f"{SKIPS}::test_processes_forgive_as_no_workers_do",
        f"{SKIPS}::test_threads_forgive_as_no_workers_do",
    )),
    Row(37, "any order of events in the dispatcher", "each sample once, within bounds, always on the way to an end", (
        "core/test_simulation.py",
        "core/test_mutants.py",
        "core/test_dispatch.py",
        "core/test_verdicts.py",
        "core/test_stateful.py",
    )),
    Row(38, "ten million tiny samples (300,000 here; all by `python -m tests.chaos.resources tiny`)",
        "all of them, in flat memory", (f"{FLOW}::test_tiny_samples_come_each_once_in_flat_memory",)),
    Row(39, "workers join and leave in the middle of a pass",
        "every sample comes once", ("remote/test_equals_serial.py",)),
    Row(40, "an empty source, one sample and more workers, a window of one, three passes", "exact, no stall", (
        f"{POOLS}[no samples and few]",
        f"{POOLS}[three passes]",
        f"{FLOW}::test_little_data_comes_whole_in_three_passes_on_the_same_workers",
        "run/test_session.py::test_window_of_one_lets_one_sample_in_at_a_time",
    )),
    # The wire
    Row(41, "any value goes to a worker and back", "value, type, dtype and shape are as they were, or it is refused", (
        "transport/test_codec.py",
        "transport/test_stretches.py",
        "parallel/test_fidelity.py",
    )),
    Row(42, "bytes that no encoder makes", "`ProtocolError`; nothing is unpickled that may not be; memory is bounded", (
        "transport/test_hostile.py",
        "transport/test_fuzz.py",
        "transport/test_hive.py",
        SABOTAGE,
    )),
    *REMOTE,
)  # fmt: skip


Outcomes = Mapping[str, Counter[str]]  # by file, file::function and file::function[case]: how many passed, failed …


def outcomes(report: str) -> dict[str, Counter[str]]:
    """Read what a run of pytest has written with ``--junit-xml``."""
    found: dict[str, Counter[str]] = {}
    for case in ET.fromstring(report).iter("testcase"):
        state = next((child.tag for child in case if child.tag in {"failure", "error", "skipped"}), "passed")
        file = case.attrib["classname"].removeprefix("tests.").replace(".", "/") + ".py"
        function, _, case_of = case.attrib["name"].partition("[")
        for name in (file, f"{file}::{function}", f"{file}::{function}[{case_of.rstrip(']').partition('-')[0]}]"):
            found.setdefault(name, Counter())[{"error": "failure"}.get(state, state)] += 1
    return found


def result(row: Row, found: Outcomes) -> str:
    """Say in a word or two what came of a row's tests."""
    if row.left_out:
        return f"left out: {row.left_out}"
    total = sum((found.get(name, Counter()) for name in row.tests), Counter[str]())
    absent = [name for name in row.tests if name not in found]
    if total["failure"]:
        return f"**{total['failure']} failed** of {total.total()}"
    counts = {"passed": total["passed"], "skipped": total["skipped"], "not run": len(absent)}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def shown(row: Row) -> str:
    """Name a row's files, and how many of their functions where it is not all of them."""
    counts = Counter(name.partition("::")[0] for name in row.tests)
    whole = {name for name in row.tests if "::" not in name}
    return ", ".join(f"`{file}`" if file in whole else f"`{file}` ({count})" for file, count in counts.items())


def known(row: Row) -> str:
    """Write what of a row does not depend on a run."""
    return f"| {row.number} | {row.fault} | {row.truth} | {shown(row)}"


def table(found: Outcomes, rows: Iterable[Row] = ROWS) -> str:
    """Write the table as markdown."""
    lines = ["| | what goes wrong | what is true | shown by, in `tests` | result |", "| ---: | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"{known(row)} | {result(row, found)} |" for row in rows)])


def run() -> str:
    """Run all tests that are named, and give their report."""
    paths = sorted({f"tests/{name.partition('::')[0]}" for row in ROWS for name in row.tests})
    names = sorted({f"tests/{name.partition('[')[0]}" for row in ROWS for name in row.tests})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        print(f"{len(names)} names in {len(paths)} files; this takes some minutes", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *existing(names)]
        subprocess.run(command, cwd=ROOT, check=False)
        return report.read_text("utf-8")


def existing(names: Iterable[str]) -> list[str]:
    """Leave out what cannot be collected yet, which would end the run: it is told as not run."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *sorted({n.partition("::")[0] for n in names})]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
    there = {line.partition("[")[0] for line in listed} | {line.partition("::")[0] for line in listed}
    return [name for name in names if name in there]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, help="of a run that was; nothing is run then")
    given = parser.parse_args()
    text = table(outcomes(given.report.read_text("utf-8") if given.report else run()))
    put(PAGE, "faults", text)
    print(text)


if __name__ == "__main__":
    main()
