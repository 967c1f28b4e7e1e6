"""Ranked lists of some queries as pictures in HTML: right matches framed green, wrong ones red."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from reid_dml.analysis.thumbnails import jpeg_url
from reid_dml.data.images import NO_LIMIT, read_image, resize_image
from reid_dml.data.records import DISTRACTOR, ImageRecord, evenly_spread
from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.metrics import average_precisions
from reid_dml.ranking.ranked_list import RankedList, camera_name, exact_lists, person_name
from reid_dml.text import printable

_LENGTH = 10  # images of a list
_SIZE = (128, 64)  # pictures of a list, height and width
_KINDS = {True: ("right", "&#10003;"), False: ("wrong", "&#10007;"), None: ("unknown", "?")}


def choose_lists(query: FeatureSet, gallery: FeatureSet, *, count: int = 10, length: int = _LENGTH) -> list[RankedList]:
    """Lists of some queries, spread evenly over those with a person in the gallery, in the order of the files.

    Args:
        query, gallery: features of equal width.
        count: queries, where there are as many.
        length: images of a list.
    """
    persons = gallery.person_ids[gallery.person_ids > DISTRACTOR]
    wanted = np.flatnonzero(np.isin(query.person_ids, persons))
    rows = wanted[evenly_spread(len(wanted), count)]
    return exact_lists(query.select(rows), gallery, min(length, len(gallery)))


def worst_lists(query: FeatureSet, gallery: FeatureSet, *, count: int = 5) -> list[RankedList]:
    """Lists of the queries of least average precision, the worst first; queries without a match are left out.

    Args:
        query, gallery: features of equal width.
        count: queries, where there are as many.
    """
    precisions = average_precisions(query, gallery)
    rows = np.argsort(precisions, kind="stable")[: min(count, int((~np.isnan(precisions)).sum()))]
    return exact_lists(query.select(rows), gallery, min(_LENGTH, len(gallery)))


def lists_html(lists: Sequence[RankedList]) -> str:
    """The lists as rows of embedded pictures."""
    return "\n".join(_row(entry) for entry in lists)


def _row(entry: RankedList) -> str:
    caption = f"query<br>{_who(entry.query)}"
    cells = [_picture(entry.query.path, "query", caption)]
    for image, correct, score in zip(entry.images, entry.correct, entry.scores, strict=True):
        kind, sign = _KINDS[correct]
        cells.append(_picture(image.path, kind, f"{sign} {score:.3f}<br>{_who(image)}"))
    return f'<div class="list">{"".join(cells)}</div>'


def _who(image: ImageRecord) -> str:
    """Person and camera of an image for a caption."""
    person = f"person {person_name(image)}" if image.person_id > DISTRACTOR else person_name(image)
    return escape(f"{person}, {camera_name(image) if image.camera else f'c{image.camera_id}'}")


def _picture(path: str, kind: str, caption: str) -> str:
    data = jpeg_url(resize_image(read_image(path, NO_LIMIT), _SIZE), 88)
    name = escape(printable(Path(path).name), quote=True)
    return (
        f'<figure class="{kind}"><img src="{data}" alt="{name}" title="{name}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
