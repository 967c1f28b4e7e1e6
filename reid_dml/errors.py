"""The one exception a user is meant to read, and how a command ends on it."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from reid_dml.logs import on_terminal
from reid_dml.text import printable
from reid_dml.waiting import wait_briefly


class UserError(Exception):
    """Something outside the code is wrong: a file, an option, a disk.

    The message is one line that says what was wrong, where (file, key, row) and what to do.
    """


class BusyError(UserError):
    """Another process holds what this one would write into."""


class UnavailableError(UserError):
    """A server does not answer now; the same call may succeed later."""


_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, then run the command again (training: add --resume)",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the command again (training: add --resume)",
    errno.EFBIG: "the file would exceed the size limit set for this process (see `ulimit -f`): raise it",
    errno.EACCES: "no permission: choose another folder or change its permissions",
    errno.EPERM: "not permitted there: choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another path",
    errno.EISDIR: "this is a folder where a file is expected: name a file",
    errno.ENOENT: "no such file or folder: check the path",
    errno.EEXIST: "a file of this name is in the way: choose another path",
    errno.EMFILE: "too many open files: raise the limit (`ulimit -n`)",
}


def absolute(path: str | os.PathLike[str]) -> str:
    """The path from the root on: what an error shows of a file that is not there, wherever it was looked for."""
    return os.path.abspath(path)


def describe_os_error(error: OSError) -> str:
    """One line for an operating-system error: the file it concerns and what to do about it."""
    name = error.filename2 or error.filename
    where = absolute(os.fsdecode(name)) if isinstance(name, (str, bytes)) else name or "a file"
    return f"{where}: {_REMEDIES.get(error.errno or 0, error.strerror or str(error))}"


def require_file(path: str | os.PathLike[str], what: str, remedy: str) -> Path:
    """The path, if it is a file that is not empty.

    Args:
        path: of the file.
        what: what it is expected to be, for the error.
        remedy: what to do where it is not, for the error.

    Raises:
        UserError: a folder, no file, or an empty one.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: {what} is expected to be a file, this is a folder; {remedy}")
    if not path.is_file():
        raise UserError(f"{absolute(path)}: {what} not found; {remedy}")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: {what} is empty (0 bytes); {remedy}")
    return path


ANEW = "run the command again"  # what to do about an interrupted command that keeps nothing
GOES_ON = "run the command again to go on where it stopped"
_FAREWELL = 0.5  # seconds between the error of one of several processes and its end
_PATIENCE = 5.0  # seconds that an interrupted command may take to clean up, deaf to further signals


def run_command(main: Callable[[], int | None], *, interrupted: str = ANEW) -> None:
    """Run a command's main function; bad input ends it with one line on stderr and exit code 2.

    What the library logs meanwhile is shown on the terminal; ~ at the start of an argument is the home folder. SIGTERM,
    and SIGHUP unless it is ignored (`nohup`), end the command as Ctrl-C does. (Under torchrun they do so at once:
    torchrun sends them when another process failed.)

    Args:
        main: returns the exit code; None is 0.
        interrupted: what to do when it was interrupted.

    Raises:
        SystemExit: always, with the exit code.
    """
    sys.argv[1:] = [_at_home(word) for word in sys.argv[1:]]
    wait_briefly()
    with on_terminal():
        code = _exit_code(main, interrupted)
    sys.stdout.flush()
    if code and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Other ranks may be waiting inside a collective call: leave without waiting for them. But torchrun ends them
        # all as soon as one has gone: leave them the time to say why they end, too.
        sys.stderr.flush()
        time.sleep(_FAREWELL)
        os._exit(code)
    sys.exit(code)


def ending_signals() -> list[signal.Signals]:
    """Signals that ask a process to end; that of a closed terminal only where it is not ignored."""
    asked = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    return [number for number in asked if signal.getsignal(number) != signal.SIG_IGN]


class _Interruption:
    """Ends the command at the first signal; more of them while it cleans up are ignored, and end it at once later."""

    def __init__(self) -> None:
        self.began = math.inf

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.began == math.inf:
            self.began = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() > self.began + _PATIENCE:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _at_home(word: str) -> str:
    """A word of the command line that begins with ~ or a $VARIABLE, as the shell would give it.

    The shell leaves it as it is where it is quoted or stands behind `--name=`.
    """
    name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if value == "~" or value.startswith(("~/", "$")):
        value = os.path.expanduser(os.path.expandvars(value))
    return name + equals + value


def _exit_code(main: Callable[[], int | None], interrupted: str) -> int:
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    listens = alone and threading.current_thread() is threading.main_thread()
    handler = _Interruption()
    before = {number: signal.signal(number, handler) for number in (ending_signals() if listens else ())}
    try:
        return main() or 0
    except Exception as error:
        if message := user_message(error):
            return _fail(message)
        raise
    except KeyboardInterrupt:
        handler.began = min(handler.began, time.monotonic())
        print(f"\ninterrupted; {interrupted}", file=sys.stderr)
        return 130
    finally:
        if handler.began == math.inf:  # otherwise threads may have to be waited for: no traceback of theirs
            for number, old in before.items():
                signal.signal(number, old)


def user_message(error: Exception) -> str:
    """What a user is told of an error that is not the code's: the line; empty for a defect of the code."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        # Only errors that concern a file or a disk are the user's; a refused connection is not.
        return describe_os_error(error) if error.errno in _REMEDIES or error.filename is not None else ""
    if isinstance(error, (MemoryError, RuntimeError)):
        if _is_out_of_memory(error):
            return (
                "out of memory: lower TRAIN.BATCH_SIZE, TEST.BATCH_SIZE or INPUT.SIZE, set TRAIN.RECOMPUTE True or "
                "DATA.SOURCE streaming, or use smaller networks"
            )
        return _lost_process(error)
    return ""


def _is_out_of_memory(error: Exception) -> bool:
    # torch.OutOfMemoryError is a RuntimeError; its CPU allocator raises a plain one.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)


def _lost_process(error: Exception) -> str:
    """What to say if a message between processes failed because of another one: gloo and NCCL say so in words only."""
    gone = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
    silent = ("Timed out waiting", "timed out", "Application timeout")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if any(sign in str(error) for sign in gone):
            return "another process of this command has ended; what it said tells why"
        if any(sign in str(error) for sign in silent):
            return (
                "another process of this command does not answer, stopped or lost with its machine; start the command "
                "again (training: with --resume)"
            )
    return ""


def _fail(message: str) -> int:
    print("error: " + printable(" ".join(message.split())), file=sys.stderr)
    return 2
