"""Locks between processes: files that one of them holds at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from reid_dml.errors import BusyError


@contextmanager
def exclusive(path: Path, refusal: str) -> Iterator[IO[str]]:
    """Hold a lock file that no two processes can hold at a time. Raises `BusyError(refusal)` if another one does."""
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(refusal) from None
            if not is_at(file, path):
                continue  # whoever held it removed it meanwhile
            yield file
            return


def is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one of this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time write into a folder, where the file system can tell them apart; the others wait."""
    with (folder / ".lock").open("a") as file:
        with suppress(OSError):  # no locks there: the same work may be done twice, and renaming keeps the files whole
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
