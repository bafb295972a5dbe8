"""The rows of docs/reliability.md that are about networks, strangers and differences between machines."""

from __future__ import annotations

from tests.faults import Row

__all__ = ["REMOTE"]

ATTACKS = "remote/test_attacks.py"
CODE = "remote/test_code.py"
CURVE = "transport/test_curve.py"
DOOR = "transport/test_door.py"
JOIN = "remote/test_join.py"
KEYS = "remote/test_keyfiles.py"
LINE = "transport/test_line.py"
PARTED = "remote/test_partitions.py"
OTHERS = "parallel/test_other_users.py"

REMOTE = (
    # The network
    Row(43, "connections that are slow, cut, half-open, truncated, or change bits",
        "every sample comes once, or its host counts as lost after the limit; never a sample that was changed",
        ("remote/test_bad_network.py",)),
    Row(44, "packets are late or lost; a host is cut off, shorter or longer than the limit, one way or both",
        "every sample comes once; a host that was parted longer begins anew, and what it had is dropped",
        (
            f"{PARTED}::test_host_that_is_parted_for_long_is_lost_and_comes_again",
            f"{PARTED}::test_host_that_is_parted_for_a_moment_goes_on",
            f"{PARTED}::test_lost_and_late_packets_cost_time_alone",
        )),
    Row(45, "the trainer's machine vanishes",
        "`flazy-worker` gives up soon, ends its processes and exits with 3, or waits with `--keep`",
        (f"{PARTED}::test_host_whose_trainer_vanishes_ends_and_leaves_nothing",)),  # and --keep: the tests of the agent
    Row(46, "results come twice, late, from an old session, or of tasks that nobody gave",
        "they are dropped and counted", (ATTACKS, "remote/test_swarm.py")),
    Row(47, "messages of another magic or version, with no frames, a million, or claims of 4 GiB",
        "`ProtocolError`; it costs the host that sent it, and nobody else anything", (
            "remote/test_messages.py",
            "transport/test_hostile.py",  # and one in a live run: remote/test_malicious.py
        )),
    Row(48, "the sockets of local workers are stolen, removed, or were there before",
        "their folder is new, random and its owner's alone, so nobody else can", (
            f"{OTHERS}::test_folder_of_sockets_is_its_owners_alone",
            f"{OTHERS}::test_sockets_memory_and_processes_are_closed_to_others",
        )),
    # Strangers
    Row(49, "listening beyond the loopback without keys, however the address is spelled",
        "`SecurityError` before anything listens", (
            f"{CURVE}::test_nothing_else_is_bound_without_keys",
            f"{CURVE}::test_what_may_be_read_in_two_ways_is_no_address",
            f"{DOOR}::test_nothing_is_bound_without_keys",
        )),
    Row(50, "no key, another mechanism, an unlisted key, one of an earlier run, one that was struck off the list",
        "refused before anything is decoded, and told with the address; a hundred tries a second cost little", (
            f"{CURVE}::test_guard_refuses_everybody_else",
            f"{CURVE}::test_guard_logs_addresses_once_a_second_and_never_a_key",
            f"{KEYS}::test_deleted_line_lets_nobody_in",
            f"{LINE}::test_refused_key_is_told",
            ATTACKS,
        )),
    Row(51, "nobody answers who may come in", "nobody comes in, and nothing listens where a trial comes in", (
        f"{CURVE}::test_guard_refuses_where_it_cannot_be_known_whom_to_let_in",
        f"{DOOR}::test_nothing_listens_where_strangers_come_in",
        f"{DOOR}::test_nothing_listens_where_nobody_answers_in_time",
    )),
    Row(52, "a trainer that is not the one of the join code",
        "no function is unpickled; `flazy-worker` says so and exits with 2", (
            f"{LINE}::test_trainer_with_another_key_is_told",
            f"{LINE}::test_who_has_no_keys_at_all_is_not_the_trainer",
            ATTACKS,
        )),
    Row(53, "a session that was recorded is sent again; two workers with one key; results for another's tasks",
        "refused or dropped: a key that was proven belongs to a session, and a session to its tasks", (ATTACKS,)),
    Row(54, "a worker that was let in and means ill: pickles, dtypes with objects, frames of 10 GB, a byte a second",
        "no code runs in the trainer, memory is bounded, and that worker alone is dropped", (
            "transport/test_hostile.py::test_what_was_pickled_is_not_unpickled_where_that_is_not_allowed",
            "transport/test_hostile.py::test_memory_is_bounded_by_the_size_of_the_message",
            ATTACKS,
            "remote/test_swarm.py",
        )),
    Row(55, "files of keys that others may read or own, or that are links; keys in logs, tracebacks, pickles and `ps`",
        "refused as ssh does it; a key is shown nowhere", (
            KEYS,
            f"{CURVE}::test_secret_is_in_no_text_of_a_key",
            f"{CURVE}::test_keys_are_not_pickled",
            f"{JOIN}::test_no_error_shows_the_code",
            f"{JOIN}::test_secret_is_in_no_repr_and_no_pickle",
            f"{LINE}::test_secret_is_in_no_repr_of_a_line",
            "remote/test_secrets.py",
        )),
    # Differences
    Row(56, "another Python, cloudpickle, protocol or numpy; a module that was edited or is missing",
        "`VersionMismatch` or `CodeMismatch` with both sides, before any function is sent", (
            "remote/test_versions.py",
            f"{CODE}::test_edited_and_missing_modules_of_another_path_are_told",
            f"{CODE}::test_any_edited_file_of_a_package_changes_it",
            "remote/test_mismatch.py",
        )),
    Row(57, "ZeroMQ without CURVE", "no remote workers, and a hint what to install; local ones work", (
        f"{CURVE}::test_without_curve_there_are_no_remote_workers",
        f"{DOOR}::test_without_curve_there_is_no_door",
    )),
    Row(58, "another user of the machine tries sockets, memory and processes", "everything is closed to others", (
        OTHERS,  # and of a host: remote/test_secrets.py
    )),
)  # fmt: skip
