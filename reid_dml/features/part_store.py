"""Finished parts of a long computation, kept as files: an interrupted command goes on where it stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from reid_dml.data.videos import file_of
from reid_dml.errors import UserError, absolute
from reid_dml.files import save_with


class PartStore:
    """Arrays of numbered parts, a .npz file each, in a folder.

    The files carry a fingerprint of all that the parts follow from (see `files_fingerprint`): parts of other images,
    networks or options are never taken.
    """

    def __init__(self, folder: str | os.PathLike[str], fingerprint: str) -> None:
        self.folder, self.fingerprint = Path(folder), fingerprint

    def load(self, part: int, names: Iterable[str]) -> dict[str, np.ndarray] | None:
        """The arrays of these names of a part; None if it is not there or damaged, and therefore to be made anew."""
        try:
            with self._file(part).open("rb") as file, np.lib.npyio.NpzFile(file) as arrays:
                return {name: arrays[name] for name in names}
        except Exception:  # damage makes the readers of zip files and of array headers fail in a dozen ways
            return None

    def save(self, part: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a finished part, atomically."""

        def write(draft: Path) -> None:
            named: dict[str, Any] = dict(arrays)
            with draft.open("wb") as file:
                np.savez(file, allow_pickle=False, **named)

        save_with(self._file(part), write)

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, part: int) -> Path:
        return self.folder / f"{self.fingerprint}_{part:05d}.npz"


def files_fingerprint(paths: Iterable[str | os.PathLike[str]], *settings: object) -> str:
    """A hash of files, by name, size and time of change, and of settings, by their `repr`: 32 hexadecimal digits.

    Raises `UserError` naming a file that is not there.
    """
    digest = blake2b(repr(settings).encode(), digest_size=16)
    for path in paths:
        try:
            status = os.stat(file_of(path))
        except FileNotFoundError:
            raise UserError(f"{absolute(path)}: not found; check the path") from None
        line = f"{os.path.abspath(path)}\0{status.st_size} {status.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()
