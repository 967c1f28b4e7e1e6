"""Ranked lists of some queries as pictures: right matches framed green, wrong ones red."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np

from reid_dml.data.images import read_image, resize_image
from reid_dml.data.records import JUNK
from reid_dml.features.feature_set import FeatureSet, normalize
from reid_dml.search.nearest import ranked_lists

_SIZE = (128, 64)  # pictures of a list, height and width


@dataclass(frozen=True)
class RankedList:
    """One query and the gallery images nearest to it, nearest first."""

    query: str
    person_id: int
    camera_id: int
    paths: list[str]
    person_ids: list[int]
    camera_ids: list[int]
    similarities: list[float]

    @property
    def correct(self) -> list[bool]:
        return [person == self.person_id for person in self.person_ids]


def choose_lists(query: FeatureSet, gallery: FeatureSet, *, count: int = 10, length: int = 10) -> list[RankedList]:
    """Lists of `count` queries spread evenly over those with a person in the gallery, in the order of the files."""
    wanted = np.flatnonzero(np.isin(query.person_ids, gallery.person_ids[gallery.person_ids != JUNK]))
    rows = wanted[np.unique(np.linspace(0, len(wanted) - 1, min(count, len(wanted))).round().astype(int))]
    chosen = query.select(rows)
    lists = ranked_lists(chosen, gallery, min(length, len(gallery)))
    return [
        RankedList(
            query=str(chosen.paths[number]),
            person_id=int(chosen.person_ids[number]),
            camera_id=int(chosen.camera_ids[number]),
            paths=[str(path) for path in gallery.paths[found]],
            person_ids=gallery.person_ids[found].tolist(),
            camera_ids=gallery.camera_ids[found].tolist(),
            similarities=(normalize(gallery.features[found]) @ normalize(chosen.features)[number]).tolist(),
        )
        for number, found in enumerate(lists)
    ]


def lists_html(lists: Sequence[RankedList]) -> str:
    """The lists as rows of embedded pictures."""
    return "\n".join(_row(entry) for entry in lists)


def _row(entry: RankedList) -> str:
    caption = f"query<br>person {entry.person_id}, camera {entry.camera_id}"
    cells = [_picture(entry.query, "query", caption)]
    for path, right, person, camera, similarity in zip(
        entry.paths, entry.correct, entry.person_ids, entry.camera_ids, entry.similarities, strict=True
    ):
        who = f"person {person}" if person > 0 else "distractor"
        sign = "&#10003;" if right else "&#10007;"
        cells.append(_picture(path, "right" if right else "wrong", f"{sign} {similarity:.3f}<br>{who}, c{camera}"))
    return f'<div class="list">{"".join(cells)}</div>'


def _picture(path: str, kind: str, caption: str) -> str:
    image = cv2.cvtColor(resize_image(read_image(path), _SIZE), cv2.COLOR_RGB2BGR)
    data = base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()).decode()
    name = escape(Path(path).name, quote=True)
    return (
        f'<figure class="{kind}"><img src="data:image/jpeg;base64,{data}" alt="{name}" title="{name}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
