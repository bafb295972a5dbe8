"""Functions in workers see what they would see in the caller's process, and what they say is heard there."""

import contextlib
import functools
import io
import json
import logging
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

import flazy
from flazy import Dataset, Processes, SampleError, Threads
from tests.parallel import functions as fn
from tests.parallel.scripts import environment, run, write

pytestmark = pytest.mark.slow


class Adder:
    def __init__(self, offset):
        self.offset = offset

    def __call__(self, x):
        return x + self.offset

    def add(self, x):
        return x + self.offset


def add_two(x):
    return x + 2


def closure(offset):
    return lambda x: x + offset


@pytest.mark.shares_workers
@pytest.mark.parametrize(
    "function",
    [add_two, closure(2), lambda x: x + 2, Adder(2), Adder(2).add, functools.partial(int.__add__, 2), (2).__add__],
    ids=["function", "closure", "lambda", "object", "method", "partial", "builtin"],
)
def test_any_function_that_can_be_pickled_runs_in_a_worker(function):
    assert [2, 3, 4] == Dataset(range(3)).map(function, workers=1).list()


def test_functions_from_the_script_itself_and_from_its_neighbour(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "scripts", "def double(x):\n    return 2 * x\n", "neighbour.py")
    source = """
    from dataclasses import dataclass
    from flazy import Dataset
    from neighbour import double
    OFFSET = 1
    @dataclass
    class Point:
        x: int
    def shift(p):
        return Point(p.x + OFFSET)
    print(Dataset(range(3)).map(double, workers=1).map(Point, workers=1).map(shift, workers=2).list())
    """
    done = run(tmp_path / "scripts", source, cwd=tmp_path / "elsewhere")

    assert ("[Point(x=1), Point(x=3), Point(x=5)]\n", "") == (done.stdout, done.stderr)


ONE_LINER = "from flazy import Dataset; f = lambda x: x + g; g = 5; print(Dataset(range(3)).map(f, workers=2).list())"


FILELESS = {"-c": (["-c", ONE_LINER], ""), "stdin": (["-"], ONE_LINER), "a session": (["-i", "-q"], ONE_LINER)}


@pytest.mark.parametrize(("arguments", "given"), FILELESS.values(), ids=FILELESS)
def test_functions_without_a_file(tmp_path, arguments, given):
    done = subprocess.run(
        [sys.executable, *arguments], input=given, cwd=tmp_path, env=environment(tmp_path),
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert "[5, 6, 7]\n" == done.stdout
    assert 0 == done.returncode


def look(_x):
    return str(pathlib.Path.cwd()), os.environ.get("FLAZY_LOOK"), sys.path[0]


def test_folder_path_and_environment_are_the_callers_in_each_pass(tmp_path, monkeypatch):
    ds = Dataset([0]).map(look, workers=1)
    seen = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("FLAZY_LOOK", name)
        monkeypatch.syspath_prepend(str(folder))
        seen += ds.list()
    monkeypatch.delenv("FLAZY_LOOK")
    seen += ds.list()

    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert [(one, "one", one), (two, "two", two), (two, None, two)] == seen


def say(x):
    print("line", x)
    print("oops", x, file=sys.stderr)
    return x


def test_what_workers_print_reaches_stdout_as_it_is_at_that_moment():
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        Dataset(range(50)).map(say, workers=2).list()
        flazy.shutdown()

    assert sorted(f"line {x}" for x in range(50)) == sorted(out.getvalue().splitlines())
    assert sorted(f"oops {x}" for x in range(50)) == sorted(err.getvalue().splitlines())


def test_what_workers_print_reaches_the_programs_output_line_by_line(tmp_path):
    source = """
    import sys, os
    from flazy import Dataset
    def say(x):
        for part in ("a", "b", "c"):
            sys.stdout.write(part * 50)
        print(x)
        return x
    Dataset(range(200)).map(say, workers=2).list()
    """
    done = run(tmp_path, source)

    assert sorted("a" * 50 + "b" * 50 + "c" * 50 + str(x) for x in range(200)) == sorted(done.stdout.splitlines())
    assert "" == done.stderr


def log_some(x):
    logging.getLogger("user.module").info("sample %d", x)
    logging.getLogger("user.quiet").debug("never %d", x)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("user.module").exception("bad")
    return os.getpid()


def test_records_of_workers_reach_the_callers_loggers(caplog):
    with caplog.at_level(logging.INFO, "user.module"):
        pids = set(Dataset(range(3)).map(log_some, workers=1))
        flazy.shutdown()
    records = [record for record in caplog.records if record.name.startswith("user")]

    assert [("user.module", "INFO", f"sample {x}") for x in range(3)] == [
        (record.name, record.levelname, record.getMessage()) for record in records[::2]
    ]
    assert "ZeroDivisionError" in records[1].exc_text
    assert pids == {record.process for record in records}


def test_nothing_is_said_unless_logging_is_configured(tmp_path):
    source = """
    import logging, os, pathlib
    from flazy import Dataset
    def crash_once(x):
        if x == 3 and not os.path.exists("crashed"):
            pathlib.Path("crashed").touch()
            os._exit(1)
        logging.getLogger("mine").info("quiet")
        return x
    print(sum(Dataset(range(10)).map(crash_once, workers=1)))
    """
    done = run(tmp_path, source)

    assert ("45\n", "") == (done.stdout, done.stderr)


def test_breakpoint_in_a_worker_names_serial():
    def stop(x):
        breakpoint()  # noqa: T100
        return x

    with pytest.raises(SampleError, match=r"\.serial\(\)"):
        Dataset(range(3)).map(stop, workers=1).list()


def test_worker_has_no_input():
    with pytest.raises(EOFError):
        Dataset(range(3)).map(lambda x: input(), workers=1).list()


class Noted:
    """A resource that writes down when it is opened and closed."""

    def __init__(self, folder):
        self.path = folder / f"{os.getpid()}-{id(self)}"
        self.path.write_text(json.dumps(["open"]))

    def close(self):
        self.path.write_text(json.dumps([*json.loads(self.path.read_text()), "close"]))


@pytest.mark.parametrize("where", [2, Threads(2)], ids=["processes", "threads"])
@pytest.mark.parametrize("end", ["exhausted", "broken off"])
def test_setup_runs_once_a_worker_and_is_closed_at_the_end(tmp_path, where, end):
    def use(x, resource):
        return x, str(resource.path)

    ds = Dataset(range(100)).map(use, setup=lambda: Noted(tmp_path), workers=where)
    if end == "exhausted":
        used = {path for _x, path in ds}
    else:
        with ds.open() as opened:
            used = {next(opened)[1]}
    flazy.shutdown()
    notes = [json.loads(path.read_text()) for path in tmp_path.iterdir()]

    assert used <= {str(path) for path in tmp_path.iterdir()}
    assert 1 <= len(notes) <= 2
    assert notes == [["open", "close"]] * len(notes)


def test_workers_are_other_processes_and_as_many_as_asked_for(tmp_path):
    def meet(x):
        (tmp_path / str(os.getpid())).touch()
        while len(list(tmp_path.iterdir())) < 3:
            pass
        return os.getpid()

    pids = set(Dataset(range(12)).map(meet, workers=Processes(3, chunk=1)))

    assert 3 == len(pids)
    assert os.getpid() not in pids


def test_worker_may_run_a_pipeline_of_its_own():
    def inner(x):
        return sum(Dataset(range(x)).map(fn.number, workers=1))

    assert [sum(3 * y + 1 for y in range(x)) for x in range(4)] == Dataset(range(4)).map(inner, workers=1).list()


def test_folder_that_is_gone_is_a_clear_error(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()

    with pytest.raises(OSError, match=r"directory"):
        Dataset(range(3)).map(add_two, workers=1).list()


def test_program_text_of_an_error_is_in_its_traceback(tmp_path):
    source = textwrap.dedent("""
    from flazy import Dataset
    def fail(x):
        return 1 // (x - 2)  # the line
    Dataset(range(5)).map(fail, workers=1).list()
    """)
    done = run(tmp_path, source)

    assert 1 == done.returncode
    assert 'script.py", line 4, in fail' in done.stderr
    assert "map(fail) failed on sample 2: ZeroDivisionError" in done.stderr
