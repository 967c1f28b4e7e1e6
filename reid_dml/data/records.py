"""What an image is to the rest of the library: a path, a person id (or class) and a camera id."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

JUNK = -1  # a detection nobody should be scored on; removed from the gallery
DISTRACTOR = 0  # a wrong item that stays in the gallery
UNKNOWN_PERSON = -2  # no label: features for search only
UNKNOWN_CAMERA = -1  # the rule "same person, same camera" never applies to it


class ImageRecord(NamedTuple):
    """One image: file path, person id (>= 1, or one of the constants above), camera id (>= 0, or unknown), ISO time.

    `person` and `camera` are their names, where the ids are numbers that we gave them.

    Images of a classification data set come from `of_class`; there the person id holds the number of the class.
    """

    path: str
    person_id: int
    camera_id: int
    pixels: np.ndarray | None = None  # (H, W, 3) uint8 RGB where a data set has them already; the path is then a name
    time: str = ""  # ISO 8601; empty: unknown
    person: str = ""  # empty: the id is the name
    camera: str = ""
    clothes: int = 0  # number of the outfit, where matches must not wear the query's; 0: not known, or not asked for

    @classmethod
    def of_class(cls, path: str, label: int, pixels: np.ndarray | None = None) -> ImageRecord:
        """An image of a classification data set.

        Args:
            path: its file, or its name where there are pixels.
            label: number of the class, counted from 1.
            pixels: (H, W, 3) uint8 RGB, where the data set holds them.
        """
        return cls(path, label, UNKNOWN_CAMERA, pixels)

    @property
    def label(self) -> int:
        """What a classifier is to say: the person, or the class; below 1: nothing is known."""
        return self.person_id


def evenly_spread(count: int, wanted: int) -> np.ndarray:
    """Positions of `wanted` of `count` images, evenly spread from the first to the last; of all where there are fewer.

    Args:
        count: how many there are.
        wanted: how many to take; of one, the first.

    Returns:
        (min(count, wanted),) int64, rising.
    """
    return np.linspace(0, count - 1, min(wanted, count)).round().astype(np.int64)


@dataclass(frozen=True)
class TrainingData:
    """What every data set has: images to train on, in a fixed order.

    `original_ids` maps our ids back to custom ids, or to the names of classes, where they were renumbered.
    """

    name: str
    root: str
    train: Sequence[ImageRecord]
    original_ids: Mapping[int, str] = field(default_factory=dict, kw_only=True)
    missing: str = field(default="", kw_only=True)  # why there are no training images, where there are none
    hidden: bool = field(default=False, kw_only=True)  # labels of some images were taken away (data/semi_supervised.py)

    @property
    def class_ids(self) -> list[int]:
        """Person id, or class, of every row of the heads: the training ids in rising order."""
        return sorted({record.label for record in self.train if record.label > 0})

    @property
    def class_names(self) -> list[str]:
        """Name of every row of the heads: the id as the data set writes it, whatever number we gave it."""
        return [str(self.original_ids[number] if self.original_ids else number) for number in self.class_ids]

    @property
    def labelled_rows(self) -> np.ndarray:
        """Positions of the training images whose person, or class, is known: (n,) int64."""
        return np.flatnonzero([record.label > 0 for record in self.train])

    def describe_training(self, classes: str) -> str:
        """The training images in words; `classes` says what their labels stand for."""
        labelled = len(self.labelled_rows)
        known = f" ({labelled:,} of them labelled)" if labelled < len(self.train) else ""
        return f"{len(self.train):,} training images{known} of {len(self.class_ids):,} {classes}"

    def training_summary(self) -> dict[str, Any]:
        """What must not change while a run goes on: the rows of the identity head and the list of images.

        `images` is a fingerprint of the images' places below the root and their persons, in order: a batch is drawn by
        position in that list. `labelled` are the places of the images that kept their labels, where some did not.
        """
        folder = self.root if os.path.isdir(self.root) else os.path.dirname(self.root)
        rows = {label: row for row, label in enumerate(self.class_ids)}
        places = [_place(record.path, folder) for record in self.train]
        numbers = [rows.get(record.label, -1) for record in self.train]
        lines = (f"{place} {number}\n" for place, number in zip(places, numbers, strict=True))
        fingerprint = sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
        summary: dict[str, Any] = {"person_ids": self.class_ids, "images": fingerprint}
        if self.original_ids:
            summary["original_ids"] = [self.original_ids[number] for number in self.class_ids]
        if self.hidden:
            summary["labelled"] = [place for place, number in zip(places, numbers, strict=True) if number >= 0]
        return summary


def _place(path: str, folder: str) -> str:
    """`os.path.relpath`, without asking it where a glance is enough: it takes seconds for a million images."""
    inside = path[len(folder) + 1 :] if path.startswith(folder + os.sep) else ""
    plain = inside and inside[0] not in "./" and "//" not in inside and "/." not in inside
    return inside if plain else os.path.relpath(path, folder)


@dataclass(frozen=True)
class ReIDData(TrainingData):
    """The four splits of a re-identification data set, each in a fixed order.

    `boxes` are the further images of the query identities for multi-query (Market's gt_bbox); empty where a data
    set has none.
    """

    query: Sequence[ImageRecord]
    gallery: Sequence[ImageRecord]
    boxes: Sequence[ImageRecord] = ()
    trained_on: str = field(default="", kw_only=True)  # the training images' data sets, where they are of other ones


@dataclass(frozen=True)
class ClassificationData(TrainingData):
    """Training and test images of the same classes, whose names are `original_ids`."""

    test: Sequence[ImageRecord]
