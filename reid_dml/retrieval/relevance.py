"""What every gallery image is to a query: a true match, left out, or a wrong item."""

from __future__ import annotations

import numpy as np

from reid_dml.data.records import JUNK, UNKNOWN_CAMERA
from reid_dml.retrieval.features import FeatureSet


class Relevance:
    """The rules of the ranking protocol for one query set and gallery.

    True matches are gallery images of the query's person (an id of at least 1) in another camera, or in any if a camera
    is unknown. Left out are junk (id -1) and the other images of the query's person. All others are wrong items.

    Attributes:
        is_junk: (G,) bool, gallery images of id -1, left out for every query.
        junk: their rows.
    """

    def __init__(self, query: FeatureSet, gallery: FeatureSet) -> None:
        self._persons, self._cameras = query.person_ids, query.camera_ids
        self._gallery_cameras = gallery.camera_ids
        self._gallery_rows = np.argsort(gallery.person_ids, kind="stable")
        ordered = gallery.person_ids[self._gallery_rows]
        self._first = np.searchsorted(ordered, query.person_ids, side="left")
        self._end = np.searchsorted(ordered, query.person_ids, side="right")
        self.is_junk = gallery.person_ids == JUNK
        self.junk = np.flatnonzero(self.is_junk)

    def __len__(self) -> int:
        return len(self._persons)

    def same_person(self, query: int) -> np.ndarray:
        """Gallery rows of the query's id, whatever their camera."""
        return self._gallery_rows[self._first[query] : self._end[query]]

    def matches(self, query: int) -> np.ndarray:
        """Gallery rows of the query's true matches."""
        if self._persons[query] <= 0:
            return self._gallery_rows[:0]
        same, camera = self.same_person(query), self._cameras[query]
        return same if camera == UNKNOWN_CAMERA else same[self._gallery_cameras[same] != camera]

    def num_wrong(self, query: int) -> int:
        """Number of wrong items in the query's ranking."""
        same = 0 if self._persons[query] == JUNK else self._end[query] - self._first[query]
        return len(self._gallery_rows) - len(self.junk) - int(same)
