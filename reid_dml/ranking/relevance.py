"""The ranking protocol for one query set and gallery, indexed by person: a query's matches without a pass over all."""

from __future__ import annotations

import numpy as np

from reid_dml.data.records import DISTRACTOR
from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.protocol import in_own_clothes, is_junk, is_match, is_negative

Pairs = tuple[np.ndarray, np.ndarray]  # (n,) int64 query rows, (n,) int64 gallery rows
_QUERIES = 256  # whose pairs are held at a time


class Relevance:
    """What every gallery image is to every query, by the rules of `ranking.protocol`.

    Attributes:
        gallery_size: G.
        is_junk: (G,) bool, gallery images that are left out for every query.
    """

    def __init__(self, query: FeatureSet, gallery: FeatureSet, own: Pairs | None = None) -> None:
        """Index the gallery.

        Args:
            query, gallery: whose ids are judged.
            own: query rows and gallery rows of images that are the query itself, and are left out for it.
        """
        self._persons, self._cameras, self._clothes = query.person_ids, query.camera_ids, query.clothes
        self._gallery_persons, self._gallery_cameras = gallery.person_ids, gallery.camera_ids
        self._gallery_clothes = gallery.clothes
        self._gallery_rows = np.argsort(gallery.person_ids, kind="stable")
        ordered = gallery.person_ids[self._gallery_rows]
        self._first = np.searchsorted(ordered, query.person_ids, side="left")
        # Distractors and unlabelled images match nothing: they need no pairs, of which there may be very many.
        last = np.searchsorted(ordered, query.person_ids, side="right")
        self._end = np.where(query.person_ids > DISTRACTOR, last, self._first)
        self.gallery_size = len(gallery)
        self.is_junk = is_junk(gallery.person_ids)
        self._own = np.empty(0, np.int64) if own is None else own[0] * self.gallery_size + own[1]

    def __len__(self) -> int:
        return len(self._persons)

    def matches(self, query: int) -> np.ndarray:
        """Gallery rows of the query's true matches."""
        same = self._gallery_rows[self._first[query] : self._end[query]]
        return same[self._is_match(query, same)]

    def of_rows(self, query: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some gallery rows are true matches of a query, and which are negatives: two masks (n,)."""
        return self._is_match(query, rows), is_negative(self._persons[query], self._gallery_persons[rows])

    def same_person_pairs(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All pairs of some queries and gallery images of one person, one query after the other.

        Args:
            queries: (B,) int64, their rows.

        Returns:
            (n,) the query's place among these queries; (n,) the gallery row; (n,) bool, whether it is a true match.
        """
        first, lengths = self._first[queries], self._end[queries] - self._first[queries]
        places = np.repeat(np.arange(len(queries)), lengths)
        before = np.cumsum(lengths) - lengths
        rows = self._gallery_rows[np.arange(len(places)) + np.repeat(first - before, lengths)]
        return places, rows, self._is_match(queries[places], rows)

    def match_counts(self) -> np.ndarray:
        """(Q,) int64, the true matches of every query."""
        counts = np.zeros(len(self), np.int64)
        for start in range(0, len(self), _QUERIES):
            queries = np.arange(start, min(start + _QUERIES, len(self)))
            places, _, matching = self.same_person_pairs(queries)
            counts[queries] = np.bincount(places[matching], minlength=len(queries))
        return counts

    def num_negatives(self) -> int:
        """Number of negatives in the rankings of all queries that have a match."""
        has_match = self.match_counts() > 0
        negatives = self.gallery_size - int(self.is_junk.sum()) - (self._end - self._first)
        return int(negatives[has_match].sum())

    def _is_match(self, queries: int | np.ndarray, rows: np.ndarray) -> np.ndarray:
        found = is_match(
            self._persons[queries],
            self._cameras[queries],
            self._gallery_persons[rows],
            self._gallery_cameras[rows],
            in_own_clothes(self._clothes[queries], self._gallery_clothes[rows]),
        )
        if len(self._own):
            found &= ~np.isin(queries * self.gallery_size + rows, self._own)
        return found
