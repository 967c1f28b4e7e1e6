"""What every gallery image is to a query: a true match, left out, or a wrong item."""

from __future__ import annotations

import numpy as np

from reid_dml.data.records import JUNK, UNKNOWN_CAMERA
from reid_dml.features.feature_set import FeatureSet


class Relevance:
    """The rules of the ranking protocol for one query set and gallery.

    True matches are gallery images of the query's person (an id of at least 1) in another camera, or in any if a camera
    is unknown. Left out are junk (id -1) and the other images of the query's person. All others are wrong items.

    Attributes:
        gallery_size: G.
        is_junk: (G,) bool, gallery images of id -1, left out for every query.
    """

    def __init__(self, query: FeatureSet, gallery: FeatureSet) -> None:
        self._persons, self._cameras = query.person_ids, query.camera_ids
        self._gallery_cameras = gallery.camera_ids
        self._gallery_rows = np.argsort(gallery.person_ids, kind="stable")
        ordered = gallery.person_ids[self._gallery_rows]
        self._first = np.searchsorted(ordered, query.person_ids, side="left")
        self._end = np.searchsorted(ordered, query.person_ids, side="right")
        self.gallery_size = len(gallery)
        self.is_junk = gallery.person_ids == JUNK

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

    def same_person_pairs(self, queries: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All pairs of some queries and gallery images of one id: the query's place among them, the gallery row, and
        whether it is a true match; one query after the other."""
        part = slice(queries.start, queries.stop)
        first, lengths = self._first[part], self._end[part] - self._first[part]
        rows = np.repeat(np.arange(len(queries)), lengths)
        before = np.cumsum(lengths) - lengths
        columns = self._gallery_rows[np.arange(len(rows)) + np.repeat(first - before, lengths)]
        cameras = self._cameras[part][rows]
        is_match = (cameras == UNKNOWN_CAMERA) | (self._gallery_cameras[columns] != cameras)
        return rows, columns, is_match & (self._persons[part][rows] > 0)

    def num_negatives(self) -> int:
        """Number of wrong items in the rankings of all queries that have a match."""
        _, _, is_match = pairs = self.same_person_pairs(range(len(self)))
        has_match = np.zeros(len(self), bool)
        has_match[pairs[0][is_match]] = True
        wrong = len(self._gallery_rows) - int(self.is_junk.sum()) - (self._end - self._first)
        return int(wrong[has_match].sum())
