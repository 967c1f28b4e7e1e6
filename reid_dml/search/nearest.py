"""Exact nearest neighbours of arrays, through FAISS."""

from __future__ import annotations

import faiss
import numpy as np

from reid_dml.errors import UserError
from reid_dml.features.validation import check_metric, check_vectors, check_widths
from reid_dml.search.index_types import as_vectors, search


def nearest(query: np.ndarray, gallery: np.ndarray, k: int, *, metric: str = "cosine") -> tuple[np.ndarray, np.ndarray]:
    """Exact k nearest gallery rows of every query.

    Args:
        query, gallery: (Q, D) and (G, D) float32.
        k: at most G.
        metric: `cosine` (result: similarity, falling) or `euclidean` (result: squared distance, rising).

    Returns:
        scores (Q, k) float32 and rows (Q, k) int64.

    Raises:
        ValueError: unknown metric.
        FeatureError: different widths (it is a ValueError too), features that are not finite, or too large for
            Euclidean distances in float32. Under cosine, zero vectors count as similarity 0, with a warning.
        UserError: k is not within 1 ... G.
    """
    check_metric(metric)
    check_widths("gallery", gallery.shape[1], "query", query.shape[1])
    for name, side in (("query", query), ("gallery", gallery)):
        check_vectors(name, side, metric=metric)
    return ExactIndex(gallery, metric).search(query, k)


class ExactIndex:
    """A gallery to be searched several times, of features that were checked.

    Args:
        gallery: (G, D) float32.
        metric: `cosine` or `euclidean`.
    """

    def __init__(self, gallery: np.ndarray, metric: str) -> None:
        self._metric = metric
        kind = faiss.IndexFlatIP if metric == "cosine" else faiss.IndexFlatL2
        self._index = kind(gallery.shape[1])
        self._index.add(as_vectors(gallery, metric))

    def search(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`."""
        count = self._index.ntotal
        if not 0 < k <= count:
            raise UserError(f"{k} neighbours were asked for, the gallery has {count} images; ask for 1 to {count}")
        return search(self._index, as_vectors(query, self._metric), k)
