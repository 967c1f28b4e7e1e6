"""Ranked lists: a query and the gallery images nearest to it, for tables, JSON files, pictures and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reid_dml.data.records import DISTRACTOR, JUNK, UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.ranked_rows import ranked_rows
from reid_dml.ranking.thresholds import Threshold
from reid_dml.text import printable

if TYPE_CHECKING:
    from reid_dml.search.filters import ImageFilter
    from reid_dml.search.interface import AnyGallery


@dataclass(frozen=True)
class RankedList:
    """One query and the gallery images nearest to it, nearest first.

    Attributes:
        query: path, person and camera of the query.
        images: the same of the gallery images.
        scores: cosine similarity (falling) or Euclidean distance (rising) of each.
        ids: of each image in the index that was searched; None where there was no index.
    """

    query: ImageRecord
    images: Sequence[ImageRecord]
    scores: Sequence[float]
    ids: Sequence[int] | None = None

    @property
    def correct(self) -> list[bool | None]:
        """Whether each image shows the query's person; None where that is not known."""
        return [
            None if self.query.person_id <= DISTRACTOR or image.person_id < DISTRACTOR
            else image.person_id == self.query.person_id
            for image in self.images
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The layout of JSON files."""
        found: list[dict[str, Any]] = [
            {"rank": rank, "score": score} | _ids(image)
            for rank, (image, score) in enumerate(zip(self.images, self.scores, strict=True), 1)
        ]
        for place, number in enumerate(self.ids or ()):
            found[place]["id"] = number
        return {"query": _ids(self.query), "images": found}

    def rows(self, score: str) -> list[list[str]]:
        """A table of the list, header first; `score` names the last column."""
        rows = [["image", "person", "camera", score]]
        rows += [
            [f"{rank:>3}  {printable(image.path)}", person_name(image), camera_name(image), f"{value:.4f}"]
            for rank, (image, value) in enumerate(zip(self.images, self.scores, strict=True), 1)
        ]
        return rows


def exact_lists(query: FeatureSet, gallery: FeatureSet, k: int, *, metric: str = "cosine") -> list[RankedList]:
    """The k nearest images of every query among those that count in its ranking: the rest is passed over.

    Args:
        query, gallery, k, metric: as for `ranking.ranked_rows`; so are the errors. A list is shorter where fewer
            images count.
    """
    lists = []
    for record, scores, rows in zip(query.records(), *ranked_rows(query, gallery, k, metric=metric), strict=True):
        listed = rows >= 0
        lists.append(RankedList(record, gallery.select(rows[listed]).records(), scores[listed].tolist()))
    return lists


def search_lists(
    gallery: AnyGallery,
    query: FeatureSet,
    k: int,
    *,
    threshold: Threshold | float | None = None,
    only: ImageFilter | np.ndarray | None = None,
) -> list[RankedList]:
    """The k nearest images of every query in an index, whoever they show.

    Args:
        gallery: the opened index.
        query: features of its model.
        k: length of the lists; one is shorter where an approximate index finds fewer, or fewer images may be found.
        threshold: only images at least as similar, or under Euclidean distance at most as far.
        only: what may be found: a filter, what the gallery's `passing` made of one, or (n,) ids, rising.

    Raises:
        UserError: what `Gallery.search` refuses; a threshold for another metric or model.
    """
    if not isinstance(threshold, Threshold) and threshold is not None:
        threshold = Threshold(threshold)
    if threshold is not None:
        threshold.check(gallery.spec.metric, gallery.spec.model, str(gallery.path))
    lists = []
    for record, ids, scores in zip(query.records(), *gallery.search(query, k, only=only), strict=True):
        kept = ids >= 0
        if threshold is not None:
            kept &= threshold.accepts(scores, gallery.spec.metric)
        lists.append(RankedList(record, gallery.images(ids[kept]), scores[kept].tolist(), ids[kept].tolist()))
    return lists


def person_name(image: ImageRecord) -> str:
    """The person of an image in words, which a terminal can show."""
    special = {UNKNOWN_PERSON: "unknown", JUNK: "junk", DISTRACTOR: "distractor"}
    return special.get(image.person_id, printable(image.person) or str(image.person_id))


def camera_name(image: ImageRecord) -> str:
    """The camera of an image in words, which a terminal can show."""
    return "unknown" if image.camera_id == UNKNOWN_CAMERA else printable(image.camera) or str(image.camera_id)


def _ids(image: ImageRecord) -> dict[str, Any]:
    ids = {"path": image.path, "person_id": image.person_id, "camera_id": image.camera_id}
    texts = {"person": image.person, "camera": image.camera, "time": image.time}
    return ids | {name: text for name, text in texts.items() if text}
