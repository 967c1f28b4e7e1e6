"""Features of very many images: a folder of Parquet files that any number of processes and machines write.

    part_00000_5f0c….parquet   a feature file (`features.formats`); the digits say what it follows from
    parts.json                 once all are there: the files that belong together

A part that is there is whole: it was renamed to its name when it was on the disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import write_features
from reid_dml.files import read_json, write_json
from reid_dml.outputs import check_folder
from reid_dml.paths import given_path

_MANIFEST, _FORMAT = "parts.json", "reid_dml parts"
_NAME = re.compile(r"part_\d{5,}_[0-9a-f]{32}\.parquet")


class PartFolder:
    """The parts in a folder.

    Args:
        path: the folder, which need not exist yet.

    Raises:
        UserError: it cannot be written, or holds other files.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = given_path(path)
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{path}: is a file; name a folder, or a file that ends in .npz, .parquet or .mat")
        check_folder(self.path, str(path))
        strange = [entry.name for entry in self.path.iterdir() if _strange(entry.name)] if self.path.exists() else []
        if strange:
            raise UserError(f"{path}: holds other files than parts, such as {min(strange)}; name a new folder")

    def file(self, part: int, fingerprint: str) -> Path:
        """The file of a part; it is there if the part is done.

        Args:
            part: its number.
            fingerprint: 32 digits of all that it follows from.
        """
        return self.path / f"part_{part:05d}_{fingerprint}.parquet"

    def save(self, features: FeatureSet, file: Path) -> None:
        """Keep a finished part, atomically."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_features(features, file)

    def finish(self, names: Sequence[str], images: int) -> None:
        """Say which files belong together, and remove parts of other images, networks or options.

        Args:
            names: of the files, in the order of the parts.
            images: in all of them.
        """
        write_json(self.path / _MANIFEST, {"format": _FORMAT, "images": images, "files": list(names)})
        for entry in self.path.iterdir():
            if _NAME.fullmatch(entry.name) and entry.name not in names:
                entry.unlink()


def part_files(path: str | os.PathLike[str]) -> list[Path]:
    """The feature files of a folder of parts, in order. Raises `UserError` where there are none, or not yet all."""
    folder = Path(path)
    if not (folder / _MANIFEST).is_file():
        if any(_NAME.fullmatch(entry.name) for entry in folder.iterdir()):
            raise UserError(f"{path}: its extraction has not ended; run reid-dml extract again to end it")
        raise UserError(f"{path}: is a folder, not a feature file; give folders of images with --images")
    remedy = "run reid-dml extract again"
    content: Any = read_json(folder / _MANIFEST, remedy)
    files = content.get("files")
    if content.get("format") != _FORMAT or not isinstance(files, list) or not all(map(_is_part, files)):
        raise UserError(f"{folder / _MANIFEST}: damaged; {remedy}")
    return [folder / name for name in files]


def _is_part(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _strange(name: str) -> bool:
    return name != _MANIFEST and not _NAME.fullmatch(name) and not name.endswith(".tmp")
