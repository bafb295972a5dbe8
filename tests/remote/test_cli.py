"""The command ``flazy-worker``, as it is started, where no trainer is needed."""

import contextlib
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from flazy.errors import MissingFile
from flazy.remote.cli import GONE, _settings, main
from flazy.remote.join import JoinCode, line
from flazy.remote.keyfiles import public_line, read_keys
from flazy.remote.options import read
from flazy.remote.settings import EXITS
from flazy.transport.curve import new_keys

ROOT = Path(__file__).parent.parent.parent
CODE = JoinCode("127.0.0.1", 5555, 5556, new_keys().public, new_keys().secret)


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """Keep keys of whoever runs the tests out of it, and what the command does to signals."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("FLAZY_JOIN", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def nobody():
    """Give a code that leads to two ports at which nobody listens."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        yield CODE._replace(port=held[0].getsockname()[1], results_port=held[1].getsockname()[1])


def said(capsys, *arguments):
    """Run the command here: its exit code, and all that it wrote."""
    code = main(arguments)
    wrote = capsys.readouterr()
    return code, wrote.out, wrote.err


def started(*arguments, stdout=None, stderr=subprocess.PIPE, **environment):
    """Start the command as a process of its own, with less patience than it has."""
    command = "import sys; from flazy.remote import agent, cli; agent.PATIENCE_SECONDS = 0.5; sys.exit(cli.main())"
    return subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
    )


# What is typed ----------------------------------------------------------------------------------------


def test_wrong_option_is_answered_in_a_line(capsys):
    assert (2, "", "flazy-worker: there is no --workers: it is --processes N\n") == said(capsys, "--workers", "8")


def test_versions_are_told(capsys):
    code, wrote, _ = said(capsys, "--version")

    assert 0 == code
    assert re.fullmatch(r"flazy-worker \S+ \(python .*, protocol .*, cloudpickle .*, numpy .*\)\n", wrote)


def test_help_tells_how_it_can_end(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    helped = capsys.readouterr().out

    assert not ended.value.code
    for code, meaning in EXITS.items():
        assert f"\n  {code}  {meaning}\n" in helped


def test_without_a_join_code_it_says_where_that_comes_from(capsys):
    code, _, wrote = said(capsys)

    assert (2, 1) == (code, wrote.count("\n"))
    assert "no join code: paste the line that the trainer shows, FLAZY_JOIN=fz1.… flazy-worker" in wrote


@pytest.mark.parametrize("given", ["hello", CODE.encode()[:-8], CODE.encode() + "A", "fz2.AAAAAAAAAAAAAAAAAAAAAAAA"])
def test_bad_code_is_refused_and_not_shown(capsys, monkeypatch, given):
    monkeypatch.setenv("FLAZY_JOIN", given)
    code, out, wrote = said(capsys)

    assert (2, "", 1) == (code, out, wrote.count("\n"))
    assert wrote.startswith("flazy-worker: FLAZY_JOIN in the environment: this join code") or given == "hello"
    assert given not in wrote


def test_code_is_taken_out_of_the_environment_at_once(capsys, monkeypatch):
    monkeypatch.setenv("FLAZY_JOIN", line(CODE))

    assert 2 == said(capsys, "--processes", "0")[0]
    assert "FLAZY_JOIN" not in os.environ


def test_file_that_others_may_read_is_refused(capsys, tmp_path):
    file = tmp_path / "join"
    file.write_text(line(CODE))
    file.chmod(0o644)
    code, _, wrote = said(capsys, "--join-file", str(file))

    assert 2 == code
    assert f"--join-file {file} can be read by others (-rw-r--r--): make it yours alone with chmod 600 {file}" in wrote


@pytest.mark.parametrize(
    ("options", "code", "answer"),
    [
        (["--key", "k"], CODE, "this join code holds a key of its own"),
        ([], CODE._replace(secret=None), "there is no key at .*worker.key"),
        (["--trainer", "gpu1:65535"], CODE, "results would go to port 65536, which there is not"),
    ],
)
def test_what_does_not_fit_the_code_is_refused(capsys, monkeypatch, options, code, answer):
    monkeypatch.setenv("FLAZY_JOIN", line(code))
    status, _, wrote = said(capsys, *options)

    assert 2 == status
    assert re.search(answer, wrote)


def test_fault_is_told_in_a_line(capsys, monkeypatch):
    def fail():
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(socket, "gethostname", fail)

    wrote = "flazy-worker: a fault of Flazy: RuntimeError: the moon is full (--log-level debug shows where)\n"
    assert (1, "", wrote) == said(capsys)


def test_file_is_looked_up_again_for_a_trainer_that_is_started_again(tmp_path):
    file, later = tmp_path / "join", CODE._replace(port=7001, results_port=7002, secret=new_keys().secret)
    settings = _settings(read(["--join-file", str(file), "--trainer", "gpu1", "--keep"]), CODE)

    assert (CODE._replace(host="gpu1"), CODE.secret) == (settings.code, settings.keys.secret)
    with pytest.raises(MissingFile):
        settings.refresh()
    file.touch(0o600)
    file.write_text(line(later))
    code, keys = settings.refresh()
    assert (later._replace(host="gpu1"), later.secret) == (code, keys.secret)


def test_what_is_not_in_a_file_is_not_looked_up_again():
    assert _settings(read(["--keep"]), CODE).refresh is None


# Keys -------------------------------------------------------------------------------------------------


def test_key_is_made_once_and_its_public_half_printed(capsys, tmp_path):
    path = tmp_path / "config" / "flazy" / "worker.key"
    code, out, wrote = said(capsys, "keygen")
    keys = read_keys(path)

    assert (0, public_line(keys.public, socket.gethostname()) + "\n") == (code, out)
    assert f"the key {path} is written" in wrote
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)

    assert (0, out) == said(capsys, "keygen")[:2]  # once more is no harm
    code, new, _ = said(capsys, "keygen", "--force")
    assert 0 == code
    assert out != new
    assert keys != read_keys(path)


def test_key_of_a_trainer_is_listed_nowhere(capsys, tmp_path):
    code, out, wrote = said(capsys, "keygen", "--trainer", "--path", str(tmp_path / "k"))

    assert (0, "") == (code, out)
    assert "authorized_workers" in wrote
    assert read_keys(tmp_path / "k").secret.decode() not in wrote


def test_key_that_cannot_be_written_is_told(capsys, tmp_path):
    (tmp_path / "config").write_text("a file")

    assert (2, "") == said(capsys, "keygen")[:2]


# Processes of their own -------------------------------------------------------------------------------


@pytest.mark.slow
def test_join_file_is_waited_for_and_a_trainer_that_is_not_there_told(tmp_path, nobody):
    file = tmp_path / "join"
    with started("--join-file", file, stdout=subprocess.PIPE) as running:
        waiting = running.stderr.readline()
        file.touch(0o600)
        file.write_text(line(nobody))
        out, rest = running.communicate(timeout=30)

    assert (GONE, "") == (running.returncode, out)
    assert waiting.endswith(f"waiting for a trainer to write {file}\n")
    assert f"connecting (127.0.0.1:{nobody.port})\n" in rest
    assert f"are its ports {nobody.port} and {nobody.results_port} open for this machine" in rest
    assert "Traceback" not in rest
    assert nobody.secret.decode() not in rest


@pytest.mark.slow
def test_told_to_leave_while_it_waits_it_leaves(tmp_path):
    running = [started("--join-file", tmp_path / "join") for _ in range(2)]
    for each, number in zip(running, [signal.SIGTERM, signal.SIGINT], strict=True):
        each.stderr.readline()
        each.send_signal(number)
    rests = [each.communicate(timeout=30)[1] for each in running]

    assert [0, 0] == [each.returncode for each in running]
    assert 2 * ["flazy-worker: was told to leave before there was anything to do\n"] == rests


@pytest.mark.slow
def test_on_a_terminal_there_is_one_line_which_is_gone_at_the_end(nobody):
    ours, theirs = pty.openpty()
    with started(FLAZY_JOIN=line(nobody), TERM="xterm", stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # which is how the end of a terminal is told
            while more := os.read(ours, 4096):
                shown += more
        os.close(ours)

    drawn, _, last = shown.decode().rpartition("\r\x1b[K")
    assert GONE == running.returncode
    assert f"connecting | 127.0.0.1:{nobody.port}" in drawn
    assert last.startswith("flazy-worker: ")
    assert 1 == last.count("\n")


def test_command_is_installed():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]

    assert main is EntryPoint("flazy-worker", scripts["flazy-worker"], "console_scripts").load()


# What is written of it --------------------------------------------------------------------------------


def test_page_has_all_exit_codes_and_options(capsys):
    page = (ROOT / "docs" / "remote.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["--help"])
    options = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, flags=re.MULTILINE))

    assert EXITS == {
        int(code): meaning for code, meaning in re.findall(r"^\| (\d) \| (.*) \|$", page, flags=re.MULTILINE)
    }
    assert options == set(re.findall(r"^\| `(--[\w-]+)", page, flags=re.MULTILINE))
