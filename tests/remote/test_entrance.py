"""Where a program finds the keys that last."""

from flazy.plan.remote import Remote
from flazy.remote.entrance import _keys_of
from flazy.remote.keyfiles import keygen, public_line
from flazy.transport.curve import new_keys


def test_files_of_keys_may_be_named_from_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made, listed = keygen(tmp_path / "own.key"), new_keys()
    (tmp_path / "list").write_text(public_line(listed.public, "desk7"))
    (tmp_path / "list").chmod(0o600)

    keys, secret, is_allowed = _keys_of(Remote("tcp://127.0.0.1:0", authorized_workers="~/list", key="~/own.key"))

    assert (made, None) == (keys, secret)
    assert [True, False] == [is_allowed(listed.public), is_allowed(made.public)]
