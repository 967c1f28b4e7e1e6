"""Writing files so that a crash or a full disk never damages what was there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path to write to, in the same folder; fsynced and renamed to `path` on success, else removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        # Some writers create files nobody else may read: give them the rights of any other file.
        draft.chmod(0o666 & ~_umask())
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file, atomically."""
    with atomic_path(path) as draft:
        draft.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole UTF-8 text file, atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file, atomically. NaN and infinity are refused (`ValueError`): they are no JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def save_with(path: str | os.PathLike[str], save: Callable[[Path], None]) -> None:
    """Call a library's save function on a temporary path, then put the file in place."""
    with atomic_path(path) as draft:
        save(draft)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
