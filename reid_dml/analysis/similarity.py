"""Do two networks differ? Their features, ranked lists and predictions compared (CVPR, Sec. 4.9). Pure functions."""

from __future__ import annotations

import numpy as np

from reid_dml.features.feature_set import FeatureSet, normalize
from reid_dml.ranking.own_images import own_images
from reid_dml.ranking.protocol import in_own_clothes, is_left_out

_QUERIES = 256  # ranked in one go


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al., ICML 2019): ‖Y'X‖² / (‖X'X‖ ‖Y'Y‖), in [0, 1].

    1 for features that are turns, mirror images and multiples of each other. NaN where a side does not vary.

    Args:
        first: (N, D).
        second: (N, E), of the same images.
    """
    x, y = (values.astype(np.float64) - values.mean(0, dtype=np.float64) for values in (first, second))
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale > 0 else float("nan")


def top_lists(query: FeatureSet, gallery: FeatureSet, k: int) -> np.ndarray:
    """Positions of the k gallery images most similar to each query (cosine), (Q, k) int64.

    Images that the protocol leaves out (`ranking.protocol`), and the query itself, come last; -1 where fewer than k
    count.

    Args:
        query, gallery: features of one network.
        k: length of the lists.
    """
    k = min(k, len(gallery))
    others, parts = normalize(gallery.features), []
    places, own = own_images(query, gallery)
    for start in range(0, len(query), _QUERIES):
        rows = query.select(np.arange(start, min(start + _QUERIES, len(query))))
        scores = normalize(rows.features) @ others.T
        sides = rows.person_ids[:, None], rows.camera_ids[:, None]
        clothes = in_own_clothes(rows.clothes[:, None], gallery.clothes)
        scores[is_left_out(*sides, gallery.person_ids, gallery.camera_ids, clothes)] = -np.inf
        here = (places >= start) & (places < start + _QUERIES)
        scores[places[here] - start, own[here]] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        parts.append(np.where(np.isfinite(np.take_along_axis(scores, order, 1)), order, -1))
    return np.concatenate(parts) if parts else np.empty((0, k), np.int64)


def overlap_at_k(first: np.ndarray, second: np.ndarray, k: int) -> float:
    """Mean share of images that the first k of two networks' lists have in common, whatever their order.

    Of the queries for which any image counts; NaN where there is none.

    Args:
        first, second: (Q, >= k) positions, as of `top_lists`; -1 is no image.
        k: how much of the lists counts; at most their length.
    """
    own, other = first[:, :k], second[:, :k]
    common = ((own[:, :, None] == other[:, None, :]) & (own[:, :, None] >= 0)).any(2).sum(1)
    counts = (own >= 0).sum(1)
    listed = counts > 0
    return float((common[listed] / counts[listed]).mean()) if listed.any() else float("nan")


def disagreement(first: np.ndarray, second: np.ndarray) -> float:
    """Share of images for which two networks predict different classes; arguments are logits (N, C)."""
    return float((first.argmax(1) != second.argmax(1)).mean())
