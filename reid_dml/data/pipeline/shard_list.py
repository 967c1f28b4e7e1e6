"""Which images share a shard of the decoded cache, and which shards of a list of images are no longer needed."""

from __future__ import annotations

import fcntl
import json
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from reid_dml.files import write_json


def divide(names: Sequence[str], largest: int) -> list[range]:
    """The rows of each shard: consecutive, between half of `largest` and `largest` of them (the last has fewer).

    A shard ends before a name that a hash picks out. Where images are added or removed, the shards around them change;
    further on the same names end the shards as before.
    """
    least, one_in = -(-largest // 2), max(1, largest // 8)
    shards, start = [], 0
    for row, name in enumerate(names):
        length = row - start
        if length == largest or (length >= least and _hash(name) % one_in == 0):
            shards.append(range(start, row))
            start = row
    return [*shards, range(start, len(names))] if names else []


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest())


class ShardList:
    """The shards that one list of images uses, noted in a file of the cache folder.

    Its methods are to be called while the folder is locked (`files.alone`). Where the file system has no locks, nothing
    is removed.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        """`owner` says whose images these are and how they were chosen: a list of the same owner replaces the other."""
        self.folder, self.owner = folder, owner
        key = blake2b(owner.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        self.file, self._lock_file = folder / f"{key}.shards.json", folder / f".{key}.lock"
        self._lock = -1  # of the processes that read: shared by them, until this object is gone

    def claim(self, shards: Sequence[str]) -> None:
        """Note that the list needs these shards, too, and that a process reads them."""
        before = _read(self.file)
        if missing := set(shards) - before:
            self._write(before | missing)
        if self._lock < 0:
            self._lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o666)
            weakref.finalize(self, os.close, self._lock)
        with suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def drop_unused(self, shards: Sequence[str]) -> None:
        """Remove what the list used before beside these shards, if no other list does and no other process reads it."""
        unused = _read(self.file) - set(shards)
        if not unused or not self._read_by_nobody_else():
            return
        others = (_read(file) for file in self.folder.glob("*.shards.json") if file != self.file)
        for name in unused.difference(*others):
            for file in (self.folder / f"{name}.npy", self.folder / f"{name}.npz"):
                file.unlink(missing_ok=True)
        self._write(set(shards))

    def _read_by_nobody_else(self) -> bool:
        if self._lock < 0:
            return False
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            with suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_SH)
        return True

    def _write(self, shards: set[str]) -> None:
        write_json(self.file, {"owner": self.owner, "shards": sorted(shards)})


def _read(file: Path) -> set[str]:
    """The names in a list's file; none where it is missing or damaged."""
    try:
        return set(json.loads(file.read_text())["shards"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
