"""Ranked lists as the service gives them: images by an id that means one image for ever, and never by their path."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

from reid_dml.data.records import UNKNOWN_PERSON, ImageRecord
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.ranked_list import RankedList, camera_name, person_name
from reid_dml.ranking.thresholds import Threshold
from reid_dml.ranking.verdict import decide
from reid_dml.search.filters import ImageFilter
from reid_dml.search.interface import AnyGallery, GoneError
from reid_dml.service.image_store import shown_name
from reid_dml.service.searching import Search
from reid_dml.text import printable

T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """What a ranked list is to hold.

    Attributes:
        k: images.
        only: what they must be like.
        threshold: only images at least this similar, under Euclidean distance at most this far.
    """

    k: int = 10
    only: ImageFilter = field(default_factory=ImageFilter)
    threshold: float | None = None


@dataclass(frozen=True)
class Shown:
    """An image of the gallery as it is shown; what is not known is empty or None."""

    id: str
    name: str
    person: str
    camera: str
    time: str


@dataclass(frozen=True)
class Answer(Shown):
    """One of a ranked list: `rank` from 1, cosine similarity or distance, and what the calibration says of it."""

    rank: int
    score: float
    same_person: bool | None
    probability: float | None


def answers(
    gallery: AnyGallery,
    query: FeatureSet,
    wanted: Wanted,
    calibration: Threshold | None,
    prior: float,
    search: Callable[[Search], RankedList],
) -> list[Answer]:
    """The images nearest to a query of one row, nearest first.

    Args:
        gallery: where to search.
        query: of its model.
        wanted: how many, and what they must be like.
        calibration, prior: as for `verdict.judge`.
        search: makes the ranked list.

    Raises:
        UserError: no image can be of what is wanted, see `AnyGallery.passing`.
    """
    if not (count := len(gallery)):
        return []
    only = _passing(gallery, wanted.only) if wanted.only else None
    asked = Search(gallery, query, min(wanted.k, count), wanted.threshold, only)
    found = settled(lambda: search(asked))
    assert found.ids is not None
    listed = []
    for rank, (number, record, score) in enumerate(zip(found.ids, found.images, found.scores, strict=True), 1):
        same, probability = decide(score, gallery.spec.metric, calibration, prior)
        listed.append(
            Answer(**vars(shown(number, record)), rank=rank, score=score, same_person=same, probability=probability)
        )
    return listed


def _passing(gallery: AnyGallery, only: ImageFilter) -> Any:
    try:
        return gallery.passing(only)
    except UserError as error:  # where the gallery is stays here
        raise UserError(str(error).replace(str(gallery.path), "the gallery")) from None


def settled(look: Callable[[], T]) -> T:
    """What `look` gives: it looks again if an image was removed from a database between a search and what it is."""
    for _ in range(2):
        with suppress(GoneError):
            return look()
    return look()


def shown(number: int, record: ImageRecord) -> Shown:
    """An image of the gallery as it is shown; `number` is its id in the index."""
    return Shown(
        id=image_id(number, record.path),
        name=printable(shown_name(record.path)),
        person="" if record.person_id == UNKNOWN_PERSON else person_name(record),
        camera="" if camera_name(record) == "unknown" else camera_name(record),
        time=record.time,
    )


def image_id(number: int, path: str) -> str:
    """An image's id for the outside: after a gallery was replaced, that of another image is not mistaken for it."""
    return f"{number}-{sha256(path.encode(errors='surrogateescape')).hexdigest()[:8]}"


def parse_id(text: str) -> int:
    """The index's id in one of ours. Raises `ValueError` for another text."""
    number, dash, digest = text.partition("-")
    if not (dash and len(digest) == 8 and number.isascii() and number.isdigit() and len(number) < 19):
        raise ValueError(text)
    return int(number)
