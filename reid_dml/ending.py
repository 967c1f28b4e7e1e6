"""How a command ends: on signals, with one line about bad input, and with which exit code."""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from reid_dml.errors import user_message
from reid_dml.launched import torchrun_world_size
from reid_dml.logs import on_terminal
from reid_dml.text import printable
from reid_dml.waiting import wait_briefly

ANEW = "run the command again"  # what to do about an interrupted command that keeps nothing
GOES_ON = "run the command again to go on where it stopped"
_FAREWELL = 0.5  # seconds between the error of one of several processes and its end
_READER_GONE = 128 + signal.SIGPIPE  # what `head` and its like ask for by closing the pipe: an end without a word
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
    code = _flushed(code)
    if code and torchrun_world_size() > 1:
        # Other ranks may be waiting inside a collective call: leave without waiting for them. But torchrun ends them
        # all as soon as one has gone: leave them the time to say why they end, too.
        sys.stderr.flush()
        time.sleep(_FAREWELL)
        os._exit(code)
    sys.exit(code)


def _flushed(code: int) -> int:
    """The exit code, once everything that was printed is where it goes; of a reader that has gone, that of SIGPIPE."""
    try:
        if sys.stdout:  # None where it was closed before the start
            sys.stdout.flush()
    except BrokenPipeError:
        code = _READER_GONE
    if code == _READER_GONE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more when it ends
    return code


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has gone."""
    pipe = select.poll()
    pipe.register(1, select.POLLOUT)
    return any(event & select.POLLERR for _, event in pipe.poll(0))


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
    alone = torchrun_world_size() == 1
    listens = alone and threading.current_thread() is threading.main_thread()
    handler = _Interruption()
    before = {number: signal.signal(number, handler) for number in (ending_signals() if listens else ())}
    try:
        return main() or 0
    except BrokenPipeError:
        if not _nobody_reads():  # another pipe than our own output
            raise
        return _READER_GONE
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


def _fail(message: str) -> int:
    print("error: " + printable(" ".join(message.split())), file=sys.stderr)
    return 2
