"""Nearest-neighbour search and ranked lists through FAISS."""

from __future__ import annotations

import faiss
import numpy as np

from reid_dml.data.records import JUNK, UNKNOWN_CAMERA
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet, normalize


def nearest(query: np.ndarray, gallery: np.ndarray, k: int, *, metric: str = "cosine") -> tuple[np.ndarray, np.ndarray]:
    """Exact k nearest gallery rows of every query.

    Args:
        query, gallery: (Q, D) and (G, D) float32.
        k: at most G.
        metric: `cosine` (result: similarity, falling) or `euclidean` (result: squared distance, rising).

    Returns:
        scores (Q, k) float32 and rows (Q, k) int64.
    """
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(f"query features are {query.shape[1]}-d, gallery features {gallery.shape[1]}-d")
    if not 0 < k <= len(gallery):
        raise UserError(
            f"{k} neighbours were asked for, the gallery has {len(gallery)} images; ask for 1 to {len(gallery)}"
        )
    if metric == "cosine":
        query, gallery = normalize(query), normalize(gallery)
    kind = faiss.IndexFlatIP if metric == "cosine" else faiss.IndexFlatL2
    index = kind(gallery.shape[1])
    index.add(np.ascontiguousarray(gallery))
    return index.search(np.ascontiguousarray(query), k)


def ranked_lists(query: FeatureSet, gallery: FeatureSet, k: int, *, metric: str = "cosine") -> list[np.ndarray]:
    """The k nearest valid gallery rows of every query: junk and its own person in its own camera are passed over.

    Searches deeper only for the queries whose list came out short.
    """
    lists: list[np.ndarray] = [np.empty(0, np.int64)] * len(query)
    open_rows, depth = np.arange(len(query)), min(len(gallery), 2 * k)
    while len(open_rows):
        _, found = nearest(query.features[open_rows], gallery.features, depth, metric=metric)
        short = []
        for row, candidates in zip(open_rows, found, strict=True):
            own = gallery.person_ids[candidates] == query.person_ids[row]
            same_camera = gallery.camera_ids[candidates] == query.camera_ids[row]
            junk = gallery.person_ids[candidates] == JUNK
            hidden = junk | (own & same_camera & (query.camera_ids[row] != UNKNOWN_CAMERA))
            lists[row] = candidates[~hidden][:k]
            if len(lists[row]) < k and depth < len(gallery):
                short.append(row)
        open_rows, depth = np.array(short, np.int64), min(len(gallery), 4 * depth)
    return lists
