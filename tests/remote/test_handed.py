"""How a worker is handed its join code."""

import io
import os
import threading

import pytest

from flazy.errors import InvalidArgument, MissingFile, SecurityError
from flazy.remote.handed import awaited, found_in, harmless, hidden, typed_in
from flazy.remote.join import JoinCode, line
from flazy.transport.curve import new_keys

TRAINER, WORKER = new_keys(), new_keys()
CODE = JoinCode("127.0.0.1", 5555, 5556, TRAINER.public, WORKER.secret)
LASTING = CODE._replace(secret=None)


def written(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def read(path):
    return awaited(path, 0, lambda text: None)


def test_code_is_found_alone_and_in_its_line():
    assert CODE == found_in(CODE.encode(), "here") == found_in(line(CODE) + "\n", "here")


def test_what_is_no_code_is_refused_with_where_it_was():
    with pytest.raises(InvalidArgument, match=r"^standard input: this is not a join code"):
        found_in("hello", "standard input")


def test_first_line_of_a_stream_is_read_alone():
    stream = io.StringIO(f"{line(CODE)}\nmore")

    assert CODE == typed_in(stream)
    assert "more" == stream.read()
    with pytest.raises(InvalidArgument, match="standard input: this is not a join code"):
        typed_in(io.TextIOWrapper(io.BytesIO(b"\xff\xff\n"), encoding="utf-8"))


def test_code_with_a_key_is_not_taken_from_the_command_line():
    assert LASTING == harmless(LASTING.encode())
    with pytest.raises(InvalidArgument, match="does not belong on the command line") as caught:
        harmless(CODE.encode())
    assert CODE.encode() not in str(caught.value)
    with pytest.raises(InvalidArgument, match=r"a file is --join-file join\.txt"):
        harmless("join.txt")


def test_codes_are_taken_out_of_texts():
    assert "FLAZY_JOIN=fz… flazy-worker, fz1.txt" == hidden(f"{line(CODE)}, fz1.txt")


def test_file_is_read(tmp_path):
    assert CODE == read(written(tmp_path / "join", line(CODE)))
    assert LASTING == read(written(tmp_path / "join", line(LASTING), 0o644))  # there is no secret in it


def test_file_that_is_not_there_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("flazy.remote.handed.LOOK_S", 0.01)
    told = threading.Event()

    def write():
        told.wait(10)
        written(tmp_path / "join", "")  # as if it were being written
        written(tmp_path / "new", line(CODE))
        (tmp_path / "new").replace(tmp_path / "join")

    thread = threading.Thread(target=write)
    thread.start()
    said = []
    code = awaited(str(tmp_path / "join"), 10, lambda text: (said.append(text), told.set()))
    thread.join(10)

    assert CODE == code
    assert [f"waiting for a trainer to write {tmp_path / 'join'}"] == said


def test_waiting_ends(tmp_path):
    assert read(str(tmp_path / "join")) is None


@pytest.mark.parametrize(
    ("mode", "code", "why"),
    [
        (0o644, CODE, "can be read by others .-rw-r--r--.: make it yours alone with chmod 600"),
        (0o640, CODE, "can be read by others"),
        (0o620, CODE, "can be written by others"),
        (0o666, LASTING, "can be written by others"),
    ],
)
def test_file_that_others_may_read_or_write_is_refused(tmp_path, mode, code, why):
    with pytest.raises(SecurityError, match=why):
        read(written(tmp_path / "join", line(code), mode))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_file_of_somebody_else_is_refused(tmp_path):
    path = written(tmp_path / "join", line(LASTING))
    os.chown(path, 4711, -1)

    with pytest.raises(SecurityError, match="belongs to another user"):
        read(path)


def test_what_cannot_be_a_join_file_is_refused(tmp_path):
    with pytest.raises(MissingFile, match="there is no folder"):
        read(str(tmp_path / "nowhere" / "join"))
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read(str(tmp_path))
    with pytest.raises(InvalidArgument, match="this is not a join code"):
        read(written(tmp_path / "join", "hello"))
