"""What a search found, in plain values for tables, JSON files and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reid_dml.data.records import DISTRACTOR, JUNK, UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.features.feature_set import FeatureSet
from reid_dml.search.gallery import Gallery


@dataclass(frozen=True)
class Answer:
    """One query and the gallery images nearest to it, nearest first, with their ids and scores."""

    query: ImageRecord
    images: list[ImageRecord]
    ids: list[int]
    scores: list[float]

    def as_dict(self) -> dict[str, Any]:
        """The layout of JSON files."""
        found = [
            {"rank": rank, "score": score, "id": number, **image._asdict()}
            for rank, (image, number, score) in enumerate(zip(self.images, self.ids, self.scores, strict=True), 1)
        ]
        return {"query": self.query._asdict(), "images": found}


def find(gallery: Gallery, query: FeatureSet, k: int, *, threshold: float | None = None) -> list[Answer]:
    """The k nearest images of every query; with a threshold only those at least as similar, or at most as far."""
    ids, scores = gallery.search(query, k)
    kept = ids >= 0
    if threshold is not None:
        kept &= scores >= threshold if gallery.spec.metric == "cosine" else scores <= threshold
    answers = []
    columns = zip(query.paths.tolist(), query.person_ids.tolist(), query.camera_ids.tolist(), strict=True)
    for row, record in enumerate(columns):
        found = ids[row, kept[row]]
        images = gallery.images(found)
        answers.append(Answer(ImageRecord(*record), images, found.tolist(), scores[row, kept[row]].tolist()))
    return answers


def answer_rows(answer: Answer, score: str) -> list[list[str]]:
    """A table of one answer, header first; `score` names the last column."""
    rows = [["image", "person", "camera", score]]
    rows += [
        [f"{rank:>3}  {image.path}", person_name(image), camera_name(image), f"{value:.4f}"]
        for rank, (image, value) in enumerate(zip(answer.images, answer.scores, strict=True), 1)
    ]
    return rows


def person_name(image: ImageRecord) -> str:
    """The person of an image in words."""
    special = {UNKNOWN_PERSON: "unknown", JUNK: "junk", DISTRACTOR: "distractor"}
    return special.get(image.person_id, str(image.person_id))


def camera_name(image: ImageRecord) -> str:
    """The camera of an image in words."""
    return "unknown" if image.camera_id == UNKNOWN_CAMERA else str(image.camera_id)


def verdict(query: ImageRecord, image: ImageRecord) -> bool | None:
    """Whether an image shows the query's person, None where that is not known."""
    if query.person_id <= 0 or image.person_id < 0:
        return None
    return query.person_id == image.person_id


def as_json(gallery: Gallery, answers: Sequence[Answer]) -> dict[str, Any]:
    """A whole search for a JSON file."""
    spec = gallery.spec
    return {
        "index": str(gallery.path),
        "type": spec.factory,
        "metric": spec.metric,
        "model": spec.model,
        "answers": [answer.as_dict() for answer in answers],
    }
