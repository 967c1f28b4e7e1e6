"""Where an index takes its features from: files, arrays in memory, or images that are yet to go through networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError, require_file
from reid_dml.features.feature_set import FeatureSet

_PART = 4096  # images whose features are kept by an interrupted command


class Source(Protocol):
    """Features in parts, each of which fits in memory."""

    def plan(self) -> Any:
        """What the features are, in JSON's terms: a build is continued only where this is the same."""

    def __len__(self) -> int:
        """How many parts there are."""

    def part(self, number: int, building: Path) -> tuple[str, FeatureSet]:
        """The features of a part and what messages call it. Work may be kept in the folder `building`."""


class FeatureFiles:
    """Feature files, a part each; the last one read is kept."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        remedy = "make one with tools/extract_features.py"
        self.paths = [require_file(path, "the feature file", remedy) for path in paths]
        self._last: tuple[int, FeatureSet] | None = None

    def plan(self) -> Any:
        return [_stamp(path) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, number: int, building: Path) -> tuple[str, FeatureSet]:
        if self._last is None or self._last[0] != number:
            self._last = number, FeatureSet.load(self.paths[number])
        return str(self.paths[number]), self._last[1]


class FeatureSets:
    """Feature sets in memory."""

    def __init__(self, sets: Sequence[FeatureSet]) -> None:
        self.sets = list(sets)

    def plan(self) -> Any:
        return [sha256(features.features.tobytes() + features.paths.tobytes()).hexdigest() for features in self.sets]

    def __len__(self) -> int:
        return len(self.sets)

    def part(self, number: int, building: Path) -> tuple[str, FeatureSet]:
        return "features" if len(self) == 1 else f"features {number}", self.sets[number]


class ImageFeatures:
    """Features that are extracted from image files part by part; each part is kept until the index is whole."""

    def __init__(
        self, records: Sequence[ImageRecord], extract: Callable[[Sequence[ImageRecord], str], FeatureSet], model: str
    ) -> None:
        """How to get the features.

        Args:
            records: the image files with their ids.
            extract: from records and a title for its progress bar to their features, in their order.
            model: fingerprint of what extracts.
        """
        self.records, self.extract, self.model = list(records), extract, model

    def plan(self) -> Any:
        images = "\n".join("\t".join(map(str, _stamp(Path(record.path)))) for record in self.records)
        digest = sha256(images.encode(errors="surrogateescape")).hexdigest()
        return {"images": digest, "model": self.model, "part": _PART}

    def __len__(self) -> int:
        return -(-len(self.records) // _PART)

    def part(self, number: int, building: Path) -> tuple[str, FeatureSet]:
        file = building / f"part_{number:05d}.npz"
        title = f"images, part {number + 1} of {len(self)}" if len(self) > 1 else "images"
        if not file.is_file():
            records = self.records[number * _PART : (number + 1) * _PART]
            self.extract(records, title).save(file)
        return title, FeatureSet.load(file)


def _stamp(path: Path) -> list[Any]:
    """What changes when a file does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path}: not found; check the path") from None
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]
