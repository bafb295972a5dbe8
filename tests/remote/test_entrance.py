"""Where a program finds the keys that last, and what is said of files that are not as they should be."""

import logging

import pytest
import zmq

import flazy
from flazy import Dataset
from flazy.errors import InvalidArgument, NoWorkers
from flazy.plan.remote import Remote
from flazy.remote.entrance import _keys_of
from flazy.remote.join import decode
from flazy.remote.keyfiles import keygen, public_line
from flazy.transport.curve import new_keys
from flazy.transport.line import Line, LineEvent


def test_files_of_keys_may_be_named_from_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made, listed = keygen(tmp_path / "own.key"), new_keys()
    (tmp_path / "list").write_text(public_line(listed.public, "desk7"))
    (tmp_path / "list").chmod(0o600)

    keys, secret, is_allowed = _keys_of(Remote("tcp://127.0.0.1:0", authorized_workers="~/list", key="~/own.key"))

    assert (made, None) == (keys, secret)
    assert [True, False] == [is_allowed(listed.public), is_allowed(made.public)]


def test_list_of_nobody_is_told(tmp_path, caplog):
    keygen(tmp_path / "own.key")
    (tmp_path / "list").write_text("# to be filled\n")
    (tmp_path / "list").chmod(0o600)
    with caplog.at_level(logging.WARNING, "flazy"):
        _keys_of(Remote("tcp://127.0.0.1:0", authorized_workers=tmp_path / "list", key=tmp_path / "own.key"))

    assert f"nobody can join: there is no key in {tmp_path / 'list'}" in caplog.text


def test_join_file_that_cannot_be_written_is_named(tmp_path):
    remote = Remote("tcp://127.0.0.1:0", join_file=tmp_path / "nowhere" / "join")
    with pytest.raises(InvalidArgument, match=r"the join file .*/nowhere/join cannot be written: No such file"):
        Dataset([1]).map(abs, workers=remote).list()


def test_join_file_is_named_in_full_and_removed_from_wherever_the_program_is(tmp_path, monkeypatch, caplog):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Dataset([1]).map(abs, workers=Remote("tcp://127.0.0.1:0", join_file="join")).open():
        there = (tmp_path / "join").exists()
        monkeypatch.chdir(tmp_path / "elsewhere")
    flazy.shutdown()

    assert there
    assert not (tmp_path / "join").exists()
    assert f"stands in {tmp_path / 'join'} " in caplog.text


def test_who_has_waited_for_nobody_is_told_of_keys_that_were_refused(tmp_path):
    remote = Remote("tcp://127.0.0.1:0", join_file=tmp_path / "join", join_timeout=0.2)
    with Dataset([1]).map(abs, workers=remote).open() as run:
        code = decode((tmp_path / "join").read_text())
        line = Line(code.host, code.port, code.results_port, code.trainer, new_keys())
        while LineEvent.KEY_REFUSED not in line.events():
            zmq.select(line.sockets(), [], [], timeout=10)
        line.close()
        with pytest.raises(NoWorkers, match=r"(?s)for 0\.2 s\..*a key that may not join, \d times, the last from 127"):
            list(run)
