"""Keys that last longer than a run, in files: a machine's own, and the list of those that may work for a trainer.

::

    worker.key           # comments, among them the public half
                         fzs1.<base64url of the secret key and its crc32>
    authorized_workers   fzk1.<base64url of a public key and its crc32> name of a machine

As ssh does, a file that others could have read (a key) or written (a list) is refused.  No message quotes a line.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import re
import stat
import zlib
from pathlib import Path
from typing import NoReturn

from flazy.errors import InvalidArgument, MissingFile, ResourceError, SecurityError
from flazy.transport.curve import KeyPair, from_raw, new_keys, public_of, to_raw

__all__ = ["AuthorizedWorkers", "default_path", "keygen", "public_line", "read_keys", "read_public"]

PUBLIC, SECRET = "fzk1.", "fzs1."
LONGEST = 2**20  # bytes of a file
KEY = 32  # bytes

StrPath = str | os.PathLike[str]


def default_path(name: str) -> Path:
    """Give where a file is if nobody says so: ``worker.key``, ``trainer.key`` or ``authorized_workers``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path("~/.config").expanduser()  # noqa: PTH117 - of "", which is no path
    return folder / "flazy" / name


# A machine's own key --------------------------------------------------------------------------------


def keygen(path: StrPath, *, force: bool = False) -> KeyPair:
    """Make a key and write it to a new file that its owner alone can read; folders that are missing are made.

    Raises
    ------
    InvalidArgument
        Where a file is there already, unless with ``force``, which replaces it; it is as it was.
    ResourceError
        Where it cannot be written.
    """
    at = Path(path)
    keys = new_keys()
    try:
        at.parent.mkdir(0o700, parents=True, exist_ok=True)
        if force:
            new = at.with_name(f".{at.name}.{os.urandom(4).hex()}")
            _write(new, keys)
            new.replace(at)
        else:
            _write(at, keys)
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(at):
            raise InvalidArgument(
                f"{at} is there already: its key would be lost, and whoever lists it would no longer know this "
                "machine; give --force (force=True) to replace it"
            ) from error
        failed = ResourceError(f"a key cannot be written to {at}: {error.strerror}")
        failed.errno = error.errno
        raise failed from error
    return keys


def _write(path: Path, keys: KeyPair) -> None:
    text = (
        "# A secret key of Flazy. Whoever can read it can pass for this machine. Give away only the public half:\n"
        f"# {public_line(keys.public)}\n"
        f"{SECRET}{_spelled(to_raw(keys.secret))}\n"
    )
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(made, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            file.flush()
            os.fsync(made)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def read_keys(path: StrPath) -> KeyPair:
    """Read a key that `keygen` wrote.

    Raises
    ------
    MissingFile
        Where there is none.
    SecurityError
        For a file that is not this user's alone, is no file but leads to one, or holds no whole key.
    """
    text = _read(Path(path), "key", os.O_NOFOLLOW, forbidden=0o077, chmod="600")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) != 1 or not lines[0].startswith(SECRET):
        raise SecurityError(f"the key file {path} is damaged, or not one: {_AGAIN}")
    try:
        secret = from_raw(_read_back(lines[0].removeprefix(SECRET)))
    except ValueError:
        raise SecurityError(f"the key in {path} is cut off or changed: {_AGAIN}") from None
    return KeyPair(public_of(secret), secret)


_AGAIN = "make a new one (flazy-worker keygen --force), and list its public half anew"


# Public keys ----------------------------------------------------------------------------------------


def public_line(public: bytes, name: str = "") -> str:
    """Give the line for ``authorized_workers``."""
    plain = " ".join(name.replace("#", " ").split())
    return f"{PUBLIC}{_spelled(to_raw(public))} {plain}".strip()


def read_public(word: str) -> bytes:
    """Read the first word of such a line.

    Raises
    ------
    ValueError
        Which says what is wrong, and does not quote it.
    """
    if word.startswith(SECRET):
        raise ValueError("holds a secret key, which belongs into no list; make a new one, and list its public half")
    if not word.startswith(PUBLIC):
        raise ValueError(f"does not begin with a public key ({PUBLIC}…)")
    try:
        return from_raw(_read_back(word.removeprefix(PUBLIC)))
    except ValueError:
        raise ValueError("holds a public key that is cut off or mistyped") from None


def _spelled(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw + zlib.crc32(raw).to_bytes(4, "big")).decode()


def _read_back(word: str) -> bytes:
    if not re.fullmatch(r"[A-Za-z0-9_-]{48}", word):
        raise ValueError("not so many letters")
    whole = base64.urlsafe_b64decode(word)
    raw, crc = whole[:KEY], whole[KEY:]
    if zlib.crc32(raw).to_bytes(4, "big") != crc:
        raise ValueError("wrong check sum")
    return raw


class AuthorizedWorkers:
    """The machines that may work for a trainer: a file with a public key and perhaps a name in each line.

    It is read again when it has changed, so a line that is deleted lets nobody in any more.

    Raises
    ------
    MissingFile
        Where there is none.
    SecurityError
        Where others may write to it; then, and where it can no longer be read, nobody is let in.
    InvalidArgument
        For a line that is none, with its number.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self._names: dict[bytes, str] = {}
        self._seen: tuple[int, ...] | None = None
        self._refresh()

    def __len__(self) -> int:
        """Count the keys, as they were when last read."""
        return len(self._names)

    def allows(self, public: bytes) -> bool:
        """Say whether a key (z85) is listed now; raises as the constructor does."""
        self._refresh()
        return public in self._names

    def name_of(self, public: bytes) -> str:
        """Give the name that stands beside a key, which may be none, as it was when last read."""
        return self._names.get(public, "")

    def _refresh(self) -> None:
        try:
            found = self.path.stat()
            now = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        except OSError:  # which is said by whoever reads it
            now = None
        if now is not None and now == self._seen:
            return
        self._seen, self._names = None, {}  # while it cannot be read, nobody is let in
        self._names = dict(self._lines())
        self._seen = now

    def _lines(self) -> list[tuple[bytes, str]]:
        found = []
        text = _read(self.path, "list of workers", 0, forbidden=0o022, chmod="go-w")
        for number, line in enumerate(text.splitlines(), 1):
            word, _, name = line.partition("#")[0].strip().partition(" ")
            if word:
                try:
                    found.append((read_public(word), name.strip()))
                except ValueError as error:
                    raise InvalidArgument(f"line {number} of {self.path} {error}") from None
        return found


# Files ----------------------------------------------------------------------------------------------


def _read(path: Path, what: str, flags: int, *, forbidden: int, chmod: str) -> str:
    """Read a file that is ours, and that nobody else may read or write."""
    try:
        # Not blocking, since it might be a pipe.
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except OSError as error:
        _fail(path, what, error)
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            raise SecurityError(f"the {what} {path} is not a file")
        if status.st_uid != os.geteuid() and (status.st_uid != 0 or forbidden & 0o044):
            raise SecurityError(f"the {what} {path} belongs to another user, who could change it: chown it, or copy it")
        if status.st_mode & forbidden:
            verb = "read" if forbidden & 0o044 else "write to"
            raise SecurityError(f"the {what} {path} is refused, since others may {verb} it: chmod {chmod} {path}")
        return os.read(opened, LONGEST).decode("utf-8", "replace")
    finally:
        os.close(opened)


def _fail(path: Path, what: str, error: OSError) -> NoReturn:
    if error.errno == errno.ENOENT:
        advice = "flazy-worker keygen makes a key, and prints its public half"
        raise MissingFile(f"there is no {what} at {path}; {advice}") from error
    if error.errno == errno.ELOOP:
        raise SecurityError(f"the {what} {path} is a symbolic link: name what it leads to") from error
    raise SecurityError(f"the {what} {path} cannot be read: {error.strerror}") from error
