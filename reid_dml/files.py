"""Writing files so that a crash or a full disk never damages what was there."""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reid_dml.errors import UserError


def expand_path(text: str, what: str) -> str:
    """A path with the home folder in place of ~ and the values of $VARIABLES, as the shell would give it.

    Args:
        text: the path.
        what: where it was given, for the error.

    Raises:
        UserError: a variable that is not set or a user who is not known, unless a file is really called so.
    """
    if not text.startswith("~") and "$" not in text:
        return text
    expanded = os.path.expanduser(os.path.expandvars(text))
    left = re.search(r"^~[^/]*|\$(\w+|\{\w+\})", expanded)
    if left and not os.path.lexists(expanded):
        why = "names no user" if left[0].startswith("~") else "is not set"
        raise UserError(f"{what}: {text}: {left[0]} {why}; write the path out")
    return expanded


def save_with(path: str | os.PathLike[str], save: Callable[[Path], object]) -> None:
    """Let `save` write to a temporary path in the same folder; fsync it and rename it, or remove it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save(draft)
        # Some writers create files nobody else may read: give them the rights of any other file.
        draft.chmod(0o666 & ~_umask())
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None  # name the file that was asked for
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def check_output(path: str | os.PathLike[str], *inputs: object) -> None:
    """Raise `UserError`, before any work is done, if a file cannot be written or is one of the inputs."""
    path = Path(path)
    if any(entry is not None and path.resolve() == Path(str(entry)).resolve() for entry in inputs):
        raise UserError(f"{path}: is one of the inputs; write to another file")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file to write")
    check_folder(path.parent, str(path))


def check_folder(folder: Path, what: str) -> None:
    """Raise `UserError`, naming `what` is to be written, if nothing can be in this folder, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    try:
        # Tried, not asked for: root may do anything, but not everywhere.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        raise UserError(f"{what}: cannot be written in {folder}; choose another folder") from None


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file, atomically."""
    save_with(path, lambda draft: draft.write_bytes(data))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole UTF-8 text file, atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file, atomically. NaN and infinity are refused (`ValueError`): they are no JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def exclusive(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file that no two processes can hold at a time. Raises `UserError(refusal)` if another one does."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(refusal) from None
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time write into a folder, where the file system can tell them apart; the others wait."""
    with (folder / ".lock").open("w") as file:
        with suppress(OSError):  # no locks there: the same work may be done twice, and renaming keeps the files whole
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
