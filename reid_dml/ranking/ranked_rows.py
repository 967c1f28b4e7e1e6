"""The gallery images nearest to every query, among those that count in its ranking."""

from __future__ import annotations

import numpy as np

from reid_dml.data.records import UNKNOWN_PERSON
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.validation import check_features, check_metric, check_widths
from reid_dml.ranking.own_images import own_images
from reid_dml.ranking.protocol import in_own_clothes, is_junk, is_left_out
from reid_dml.search.nearest import ExactIndex


def ranked_rows(
    query: FeatureSet, gallery: FeatureSet, k: int, *, metric: str = "cosine"
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest gallery images of every query that `ranking.protocol` does not leave out, nor is the query itself.

    For a query without a label all images count but junk, its own image in the gallery too: nothing is known of it that
    could take one out.

    Args:
        query, gallery: features of equal width.
        k: how many; the whole gallery where it holds fewer.
        metric: `cosine` or `euclidean`.

    Returns:
        (Q, k) float32 similarities, falling, or Euclidean distances, rising; NaN where fewer images count.
        (Q, k) int64 their gallery rows; -1 where fewer images count.

    Raises:
        ValueError: unknown metric.
        FeatureError: features that cannot be compared, see `features.validation.check_features`.
    """
    check_metric(metric)
    check_widths("gallery", gallery.features.shape[1], "query", query.features.shape[1])
    for name, side in (("query", query), ("gallery", gallery)):
        check_features(name, side, metric)
    k = min(k, len(gallery))
    best = np.full((len(query), k), np.nan, np.float32)
    rows = np.full((len(query), k), -1)
    kept = np.flatnonzero(~is_junk(gallery.person_ids))
    if not len(kept) or not k:
        return best, rows
    if len(kept) < len(gallery):
        gallery = gallery.select(kept)
    index = ExactIndex(gallery.features, metric)
    places, copies = own_images(query, gallery, metric=metric)
    own = places * len(gallery) + copies
    waiting, depth = np.arange(len(query)), min(len(gallery), 2 * k)
    while len(waiting):  # deeper only for the queries whose list came out short
        scores, found = index.search(query.features[waiting], depth)
        sides = query.person_ids[waiting, None], query.camera_ids[waiting, None]
        clothes = in_own_clothes(query.clothes[waiting, None], gallery.clothes[found])
        counts = ~is_left_out(*sides, gallery.person_ids[found], gallery.camera_ids[found], clothes)
        counts &= ~np.isin(waiting[:, None] * len(gallery) + found, own)
        counts |= sides[0] == UNKNOWN_PERSON
        first = np.argsort(~counts, axis=1, kind="stable")[:, :k]  # those that count, in their order
        listed = np.take_along_axis(counts, first, 1)
        width = first.shape[1]  # less than k where junk was left out
        best[waiting, :width] = np.where(listed, np.take_along_axis(scores, first, 1), np.nan)
        rows[waiting, :width] = np.where(listed, kept[np.take_along_axis(found, first, 1)], -1)
        waiting = waiting[counts.sum(1) < k] if depth < len(gallery) else waiting[:0]
        depth = min(len(gallery), 4 * depth)
    if metric == "euclidean":
        best = np.sqrt(np.maximum(best, 0))  # FAISS gives squares, which rounding can bring below 0
    return best, rows
