"""Files with keys: nobody else's eyes on a secret, nobody else's hands on a list."""

import errno
import os
import stat
import traceback
from pathlib import Path

import pytest

from flazy.errors import InvalidArgument, MissingFile, ResourceError, SecurityError
from flazy.remote.keyfiles import AuthorizedWorkers, default_path, keygen, public_line, read_keys, read_public
from flazy.transport.curve import new_keys


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flazy" / "worker.key"


@pytest.fixture
def keys(path):
    return keygen(path)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# A machine's own key --------------------------------------------------------------------------------


def test_key_is_read_as_it_was_made(path, keys):
    assert keys == read_keys(path)
    assert keys == read_keys(str(path))


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_file_of_a_key_is_its_owners_alone(path, umask):
    before = os.umask(umask)
    try:
        keygen(path)
    finally:
        os.umask(before)

    assert (0o600, 0o700) == (mode(path), mode(path.parent))


def test_file_says_what_may_be_given_away(path, keys):
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]

    assert any(public_line(keys.public) in line for line in comments)
    assert not any("fzs1" in line for line in comments)


def test_key_is_not_overwritten_unless_asked_for(path, keys):
    with pytest.raises(InvalidArgument, match=r"there already.*--force"):
        keygen(path)
    assert keys == read_keys(path)

    other = keygen(path, force=True)
    assert keys != other == read_keys(path)
    assert (0o600, ["worker.key"]) == (mode(path), [each.name for each in path.parent.iterdir()])


def test_key_is_not_written_through_a_link(path):
    path.parent.mkdir()
    path.symlink_to(path.parent / "elsewhere")

    with pytest.raises(InvalidArgument, match="there already"):
        keygen(path)
    assert not (path.parent / "elsewhere").exists()


def test_key_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ResourceError, match="cannot be written") as caught:
        keygen(tmp_path / "file" / "worker.key")

    assert errno.EEXIST == caught.value.errno


@pytest.mark.parametrize("loose", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])
def test_key_that_others_may_read_is_refused(path, keys, loose):
    path.chmod(loose)

    with pytest.raises(SecurityError, match=f"others may read it: chmod 600 {path}"):
        read_keys(path)


@pytest.mark.parametrize("tight", [0o600, 0o400])
def test_key_may_be_held_tighter(path, keys, tight):
    path.chmod(tight)

    assert keys == read_keys(path)


def test_key_behind_a_link_is_refused(path, keys, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)

    with pytest.raises(SecurityError, match="symbolic link"):
        read_keys(link)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    for each in (pipe, tmp_path):
        with pytest.raises(SecurityError, match="not a file"):
            read_keys(each)


@pytest.mark.parametrize("owner", [0, 12345])
def test_key_of_another_user_is_refused(path, keys, owner, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    status = path.stat()
    monkeypatch.setattr(os, "fstat", lambda opened: os.stat_result([*status[:4], owner, *status[5:]]))

    with pytest.raises(SecurityError, match="belongs to another user"):
        read_keys(path)


def test_missing_key_is_told_with_what_to_do(path):
    with pytest.raises(MissingFile, match="flazy-worker keygen"):
        read_keys(path)


def test_damaged_key_is_refused_and_not_shown(path, keys):
    text = path.read_text()
    secret = text.splitlines()[-1]
    changed = secret[:20] + ("x" if secret[20] != "x" else "y") + secret[21:]
    damaged = ["", "# nothing\n", secret[:-1], secret[5:], changed, f"{secret}\n{secret}", "\0"]
    for each in damaged:
        path.write_text(each)
        with pytest.raises(SecurityError, match=r"damaged|cut off or changed") as caught:
            read_keys(path)

        shown = "".join(traceback.format_exception(caught.value))
        assert not any(secret[start : start + 12] in shown for start in range(5, 30))


# The list -------------------------------------------------------------------------------------------

FIRST, SECOND = new_keys().public, new_keys().public


@pytest.fixture
def listed(tmp_path):
    made = tmp_path / "authorized_workers"
    made.write_text(f"# our machines\n\n{public_line(FIRST, 'desk')}  # by the window\n  {public_line(SECOND)}\n")
    made.chmod(0o644)
    return made


def test_listed_keys_are_allowed_and_named(listed):
    workers = AuthorizedWorkers(listed)

    assert [True, True, False] == [workers.allows(key) for key in (FIRST, SECOND, new_keys().public)]
    assert ["desk", "", ""] == [workers.name_of(key) for key in (FIRST, SECOND, b"")]


def test_deleted_line_lets_nobody_in(listed):
    workers = AuthorizedWorkers(str(listed))
    listed.write_text(public_line(SECOND))

    assert [False, True] == [workers.allows(key) for key in (FIRST, SECOND)]


def test_list_that_was_replaced_is_read_again(listed):
    workers = AuthorizedWorkers(listed)
    new = listed.with_name("new")
    new.write_text(listed.read_text().replace("desk", "desc"))
    new.replace(listed)

    assert workers.allows(FIRST)
    assert "desc" == workers.name_of(FIRST)


def test_list_that_has_not_changed_is_not_read_again(listed, monkeypatch):
    workers = AuthorizedWorkers(listed)
    monkeypatch.setattr(os, "open", None)

    assert workers.allows(FIRST)


@pytest.mark.parametrize("loose", [0o664, 0o646, 0o622])
def test_list_that_others_may_write_is_refused_whenever_it_is(listed, loose):
    workers = AuthorizedWorkers(listed)
    listed.chmod(loose)

    for _ in range(2):
        with pytest.raises(SecurityError, match=f"others may write to it: chmod go-w {listed}"):
            workers.allows(FIRST)
    with pytest.raises(SecurityError, match="chmod go-w"):
        AuthorizedWorkers(listed)
    listed.chmod(0o644)
    assert workers.allows(FIRST)


def test_list_of_another_user_is_refused_and_of_root_is_not(listed, monkeypatch):
    for owner, allowed in ((12345, False), (0, True)):
        status = listed.stat()
        changed = os.stat_result([*status[:4], owner, *status[5:]])
        with monkeypatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: 54321)
            patch.setattr(os, "fstat", lambda opened, changed=changed: changed)
            if allowed:
                assert AuthorizedWorkers(listed).allows(FIRST)
            else:
                with pytest.raises(SecurityError, match="belongs to another user"):
                    AuthorizedWorkers(listed)


def test_list_that_is_gone_lets_nobody_in(listed):
    workers = AuthorizedWorkers(listed)
    listed.unlink()

    with pytest.raises(MissingFile, match="no list of workers"):
        workers.allows(FIRST)
    with pytest.raises(MissingFile, match="no list of workers"):
        AuthorizedWorkers(listed)


@pytest.mark.parametrize(
    "wrong", ["hello", "fzk1.abc desk", public_line(FIRST)[:-1], public_line(FIRST)[5:], f"desk {public_line(FIRST)}"]
)
def test_malformed_line_is_named_by_its_number_and_lets_nobody_in(listed, wrong):
    workers = AuthorizedWorkers(listed)
    with listed.open("a") as file:
        file.write(wrong)

    with pytest.raises(InvalidArgument, match=f"line 5 of {listed} ") as caught:
        workers.allows(FIRST)
    assert wrong not in str(caught.value)
    assert "" == workers.name_of(FIRST)


def test_secret_key_in_a_list_is_told_and_not_shown(listed, path, keys):
    listed.write_text(path.read_text())

    with pytest.raises(InvalidArgument, match=r"line 3 .* holds a secret key") as caught:
        AuthorizedWorkers(listed)

    secret = path.read_text().splitlines()[-1]
    assert secret[5:20] not in "".join(traceback.format_exception(caught.value))


def test_public_key_is_one_line_whatever_the_name_is():
    line = public_line(FIRST, "my\n desk # 3")

    assert FIRST == read_public(line.split()[0])
    assert line.endswith(" my desk 3")
    assert len(line.splitlines()) == 1


# Places ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "relative/path"])
def test_files_are_where_configuration_is(monkeypatch, base):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", base)
    assert Path("/home/ada/.config/flazy/worker.key") == default_path("worker.key")

    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/ada")
    assert Path("/etc/ada/flazy/trainer.key") == default_path("trainer.key")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert Path("/home/ada/.config/flazy/authorized_workers") == default_path("authorized_workers")
