"""The command ``flazy-worker``: from what was typed to how it ends.

Options are read in ``options``, the join code comes from ``handed``, what is shown meanwhile from ``shown``; the work
is the agent's.  Whatever goes wrong is said in a line or two, never as a traceback.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from flazy.errors import FlazyError, InvalidArgument, MissingFile
from flazy.remote import handed, keyfiles, options, shown, versions
from flazy.remote.agent import serve
from flazy.remote.join import VARIABLE, JoinCode
from flazy.remote.options import PROGRAM, Keygen, Work
from flazy.remote.settings import Outcome, Settings
from flazy.transport.curve import KeyPair, public_of

__all__ = ["main"]

log = logging.getLogger("flazy")

DONE, FAULT, REFUSED, GONE = range(4)  # of the table of all ways to end, `flazy.remote.settings.EXITS`
WAIT_S = 600.0  # for a join file; whoever lends a machine for longer says --keep


def main(arguments: Sequence[str] | None = None) -> int:
    """Be ``flazy-worker``.

    Parameters
    ----------
    arguments
        What was typed behind the command; ``None``: as it was started.

    Returns
    -------
    int
        The exit code: see `flazy.remote.settings.EXITS`.
    """
    given = handed.taken()  # before anything is started that would inherit it
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if typed[:1] == ["keygen"]:
            return _make_key(options.read_keygen(typed[1:]))
        asked = options.read(typed)
        if asked.version:
            print(_versions())
            return DONE
        return _work(asked, given)
    except KeyboardInterrupt:
        outcome = Outcome(DONE, "was told to leave before there was anything to do")
    except FlazyError as error:
        outcome = Outcome(REFUSED, str(error))
    except Exception as error:  # whoever typed the command is told in words
        log.debug("where it was", exc_info=True)
        more = "please report it" if log.isEnabledFor(logging.DEBUG) else "--log-level debug shows where"
        outcome = Outcome(FAULT, f"a fault of Flazy: {type(error).__name__}: {error} ({more})")
    print(f"{PROGRAM}: {handed.hidden(outcome.message)}", file=sys.stderr)
    return outcome.code


def _work(asked: Work, given: str) -> int:
    """Work for a trainer, and say how it ended."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, until the agent has handlers of its own
    with shown.showing(asked.log_level) as screen:
        code = _code(asked, given)
        if code is None:
            waited = f"{asked.join_file} has not been written for {WAIT_S:.0f} s"
            outcome = Outcome(GONE, f"{waited}; is the trainer running? (--keep waits without end)")
        else:
            outcome = serve(_settings(asked, code), screen.show)
    message = f"{outcome.message}{shown.totals(screen.last)}"
    if screen.is_terminal:
        print(f"{PROGRAM}: {message}", file=sys.stderr)
    else:
        log.log(logging.ERROR if outcome.code else logging.INFO, "%s", message)
    return outcome.code


def _code(asked: Work, given: str) -> JoinCode | None:
    """Find the join code; None if it has not come in time."""
    if asked.join == "-":
        return handed.typed_in(sys.stdin)
    if asked.join is not None:
        return handed.harmless(asked.join)
    if asked.join_file is not None:
        return handed.awaited(asked.join_file, None if asked.keep else WAIT_S, log.info)
    if given:
        return handed.found_in(given, f"{VARIABLE} in the environment")
    raise InvalidArgument(
        f"no join code: paste the line that the trainer shows, {VARIABLE}=fz1.… {PROGRAM}, "
        "or use --join-file F, or --join - for standard input"
    )


def _settings(asked: Work, code: JoinCode) -> Settings:
    """Put together what the agent needs.

    A trainer that is started again has other keys, and perhaps ports: with a file they are looked up there each time.
    """

    def refresh() -> tuple[JoinCode, KeyPair]:
        found = handed.held_by(Path(asked.join_file or "").expanduser())
        if found is None:
            raise MissingFile(f"{asked.join_file} is not there")
        return _ways(asked, found)

    code_and_keys = _ways(asked, code)
    return Settings(*code_and_keys, asked.processes, asked.name, asked.keep, refresh if asked.join_file else None)


def _ways(asked: Work, code: JoinCode) -> tuple[JoinCode, KeyPair]:
    """Give the code with what was said of the trainer's place, and our key, which it holds or a file."""
    if asked.trainer is not None:
        port = asked.trainer.port or code.port
        results_port = port + code.results_port - code.port
        if not 0 < results_port < 65536:
            raise InvalidArgument(f"--trainer: results would go to port {results_port}, which there is not")
        code = code._replace(host=asked.trainer.host, port=port, results_port=results_port)
    if code.secret is None:
        return code, keyfiles.read_keys(_path(asked.key, "worker.key"))
    if asked.key is not None:
        raise InvalidArgument("--key is for a trainer with authorized_workers; this join code holds a key of its own")
    return code, KeyPair(public_of(code.secret), code.secret)


def _make_key(asked: Keygen) -> int:
    """Make a key file, or find one, and print what is to be listed elsewhere: that alone goes to stdout."""
    path = _path(asked.path, "trainer.key" if asked.trainer else "worker.key")
    if path.exists() and not asked.force:
        keys, done = keyfiles.read_keys(path), "was there already, and is kept (--force replaces it)"
    else:
        keys, done = keyfiles.keygen(path, force=asked.force), "is written"
    print(f"the key {path} {done}; nobody else may have it.", file=sys.stderr)
    if asked.trainer:
        print("Remote(…, authorized_workers=F) finds it, and join codes hold its public half.", file=sys.stderr)
    else:
        print("Add this line to the file of authorized_workers on the trainer's machine:", file=sys.stderr)
        print(keyfiles.public_line(keys.public, socket.gethostname()))
    return DONE


def _path(given: str | None, name: str) -> Path:
    """Give the place of a key file."""
    return Path(given).expanduser() if given is not None else keyfiles.default_path(name)


def _versions() -> str:
    """Name the versions that must fit."""
    here = versions.about()
    names = ("python", "protocol", "cloudpickle", "numpy")
    return f"{PROGRAM} {here['flazy']} ({', '.join(f'{name} {here[name]}' for name in names)})"


if __name__ == "__main__":
    sys.exit(main())
