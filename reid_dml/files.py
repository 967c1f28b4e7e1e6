"""Writing files so that a crash or a full disk never damages what was there."""

from __future__ import annotations

import json
import os
import shutil
import socket
import zlib
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from reid_dml.errors import UserError
from reid_dml.paths import given_path
from reid_dml.text import ERRORS

_OURS = "reid_dml"  # in the names of drafts: what others call .x.tmp is theirs
LONGEST_NAME = 200  # bytes of a file's name: most systems take 255, and drafts have some fifty more
_MACHINE = f"{zlib.crc32(socket.gethostname().encode()):08x}"  # in the names of drafts: process ids are a machine's own


def save_with(path: str | os.PathLike[str], save: Callable[[Path], object]) -> None:
    """Let `save` write to a temporary path in the same folder; fsync it and rename it, or remove it.

    A link stays: the file it leads to is replaced. Raises `UserError` for a device or pipe, which renaming would end.
    """
    path = _behind_links(given_path(path))
    check_regular(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_drafts_of_the_dead(path)
    draft = _own_draft(path)
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


def save_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new folder beside this one; rename it, or remove it. What was there must be empty.

    A link stays: the folder it leads to is filled. Raises `OSError` where the folder holds something in the end:
    another process was faster.
    """
    folder = _behind_links(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_drafts_of_the_dead(folder)
    draft = _own_draft(folder)
    shutil.rmtree(draft, ignore_errors=True)  # of a killed one that had this number: in containers it is often 1
    try:
        draft.mkdir()
        write(draft)
        sync(draft)
        draft.replace(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _behind_links(path: Path) -> Path:
    """What a link leads to in the end, be it there or not; a path that is no link as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def draft_of(folder: Path, kind: str = "draft") -> Path:
    """Where a folder is while several processes make it together, or one removes it; `remove_drafts` finds it."""
    return folder.with_name(f".{folder.name}.{kind}.{_OURS}.tmp")


def check_regular(path: Path) -> None:
    """Raise `UserError` for what is there and no file: a folder, a device, a pipe."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is a {'folder' if path.is_dir() else 'device or pipe'}; name a file to write")


def is_draft(path: Path) -> bool:
    """Whether a file or folder is called as what is being written or removed here."""
    return fnmatchcase(path.name, f".*.{_OURS}*.tmp")


def remove_drafts(folder: Path) -> None:
    """Remove unfinished files and folders of killed processes, from a folder that this process alone writes into."""
    for draft in filter(is_draft, folder.iterdir() if folder.is_dir() else ()):
        _remove(draft)


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that it is never half there under its name, whatever stops this process."""
    going = draft_of(folder, "old")
    with suppress(FileNotFoundError):
        shutil.rmtree(going)
    with suppress(FileNotFoundError):
        folder.rename(going)
        shutil.rmtree(going)


def _own_draft(path: Path) -> Path:
    """Where a file or folder is while this process alone makes it."""
    return path.with_name(f".{path.name}.{_OURS}-{_MACHINE}-{os.getpid()}.tmp")


def _remove_drafts_of_the_dead(path: Path) -> None:
    """Remove what processes of this machine that were killed left of this file or folder."""
    before, after = f".{path.name}.{_OURS}-{_MACHINE}-", ".tmp"
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            number = entry.name.removeprefix(before).removesuffix(after)
            if entry.name == before + number + after and number.isdecimal() and not _lives(int(number)):
                _remove(Path(entry.path))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True


def user_cache() -> Path:
    """The user's folder for what can be made again, ours in it; it need not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reid_dml"


def write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write a whole file, atomically."""
    save_with(path, lambda draft: draft.write_bytes(data))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a whole UTF-8 text file, atomically; what UTF-8 cannot hold of a file's name is written as \xe9."""
    write_bytes(path, text.encode(errors=ERRORS))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file, atomically. NaN and infinity are refused (`ValueError`): they are no JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The mapping in a JSON file. Raises `UserError` with the remedy if it is missing, damaged, or something else."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {remedy}") from None
    except (ValueError, RecursionError):  # text that is no UTF-8 is a ValueError too
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged; {remedy}")
    return content


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
