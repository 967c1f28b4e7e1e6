"""Work in a forked process that may be killed, fail, crash or hang, and what came of it."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_dml.ending import run_command
from reid_dml.errors import UserError

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (negative: the signal; None: it had to be killed), and what it printed."""

    code: int | None
    text: str

    @property
    def refused(self) -> bool:
        """Exit code 2 with one line that says why."""
        errors = [line for line in self.text.splitlines() if line.startswith("error: ")]
        return self.code == 2 and len(errors) == 1 and "Traceback" not in self.text


def run_child(work: Callable[[], Any], log: Path, *, seconds: float = 120) -> Ended:
    """Run a command's main function in a fork, its output going to a file."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
            try:
                run_command(lambda: work() and None)
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return Ended(_wait(pid, seconds), log.read_text(errors="replace") if log.exists() else "")


def read_in_child(read: Callable[[], Any], answer: Path, *, seconds: float = 60) -> tuple[str, Any]:
    """What a fork gets by reading: ("read", value), ("refused", words), ("crashed", words) or ("hung", "")."""

    def work() -> None:
        try:
            found = "read", read()
        except UserError as refusal:
            found = "refused", str(refusal)
        answer.write_bytes(pickle.dumps(found))

    answer.unlink(missing_ok=True)
    ended = run_child(work, answer.with_suffix(".log"), seconds=seconds)
    if answer.exists() and ended.code == 0:
        return pickle.loads(answer.read_bytes())
    return ("hung", "") if ended.code is None else ("crashed", f"exit code {ended.code}: {ended.text[-400:]}")


def at_change(root: Path, number: int, act: Callable[[str], None]) -> None:
    """In this process for good: call `act` with the path just before the n-th change of a file below a folder."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not writes or not isinstance(arguments[0], (str, bytes, os.PathLike)):
                return
        elif event not in _CHANGES or isinstance(arguments[0], int):
            return
        path = os.fsdecode(arguments[0])
        if not path.startswith("/"):  # removing a tree works with the descriptor of a folder
            folder = arguments[-1] if event in ("os.remove", "os.rmdir") else -1
            try:
                path = os.path.join(os.readlink(f"/proc/self/fd/{folder}") if folder not in (-1, None) else "", path)
            except OSError:
                return
        if os.path.abspath(path).startswith(str(root)) and "events.out" not in path:
            count += 1
            if count == number:
                act(path)

    sys.addaudithook(hook)


def _wait(pid: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
