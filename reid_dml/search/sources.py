"""Where an index takes its features from: files, arrays in memory, or whoever can extract them from images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reid_dml.data.records import ImageRecord
from reid_dml.features.feature_set import FeatureSet, row_names
from reid_dml.features.formats import read_features
from reid_dml.features.part_store import PartStore, files_fingerprint
from reid_dml.paths import require_file

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
    """Feature files of any format, a part each; the last one read is kept.

    Images that a file gives no names go by their rows; beside other files, by the file's name and their rows, or by
    its path as given where files in several folders have that name.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        read: Callable[[str | os.PathLike[str]], FeatureSet] = read_features,
    ) -> None:
        remedy = "make one with reid-dml extract"
        self.paths = [require_file(path, "the feature file", remedy) for path in paths]
        self._read = read
        # A file that is given twice counts once: its images are to be found named twice.
        self._called = Counter({path.resolve(): path.name for path in self.paths}.values())
        self._last: tuple[int, FeatureSet] | None = None

    def plan(self) -> Any:
        return files_fingerprint(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, number: int, building: Path) -> tuple[str, FeatureSet]:
        if self._last is None or self._last[0] != number:
            features = self._read(self.paths[number])
            if len(self) > 1 and np.array_equal(features.paths, row_names(len(features))):
                path = self.paths[number]
                name = path if self._called[path.name] > 1 else path.name
                rows = [f"{name} {row}" for row in features.paths]
                features = replace(features, paths=np.array(rows))
            self._last = number, features
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


def source_of(features: FeatureSet | Sequence[str | os.PathLike[str]]) -> Source:
    """The source of a feature set, or of feature files. Raises `ValueError` for anything else."""
    if not isinstance(features, (FeatureSet, list, tuple)):
        raise ValueError(
            f"features: must be a FeatureSet or a list of feature files, got {type(features).__name__}; make a "
            "FeatureSet of arrays with FeatureSet(features=, person_ids=, camera_ids=, paths=)"
        )
    return FeatureSets([features]) if isinstance(features, FeatureSet) else FeatureFiles(features)


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

    @cached_property
    def _fingerprint(self) -> str:
        return files_fingerprint((record.path for record in self.records), self.model, _PART)

    def plan(self) -> Any:
        return self._fingerprint

    def __len__(self) -> int:
        return -(-len(self.records) // _PART)

    def part(self, number: int, building: Path) -> tuple[str, FeatureSet]:
        title = f"images, part {number + 1} of {len(self)}" if len(self) > 1 else "images"
        records = self.records[number * _PART : (number + 1) * _PART]
        store = PartStore(building, self._fingerprint)
        if (kept := store.load(number, ["features"])) is not None:
            return title, FeatureSet.of(kept["features"], records, self.model)
        features = self.extract(records, title)
        store.save(number, {"features": features.features})
        return title, features
