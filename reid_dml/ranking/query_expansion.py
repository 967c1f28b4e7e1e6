"""Query expansion: a query takes up the features of what it finds first."""

from __future__ import annotations

import numpy as np

from reid_dml.features.feature_set import normalize
from reid_dml.search.nearest import nearest


def expand_queries(query: np.ndarray, gallery: np.ndarray, *, count: int, alpha: float = 0.0) -> np.ndarray:
    """Every query averaged with its `count` nearest gallery images by cosine similarity.

    With q and g_1 ... g_count of length 1 and s_i = max(q.g_i, 0), the new query is q + sum_i s_i^alpha g_i, scaled to
    length 1. alpha 0 is the plain average (AQE; Chum et al., ICCV 2007), alpha 3 is usual for the weighted one
    (Radenovic et al., TPAMI 2019). No label is used.

    Args:
        query, gallery: (Q, D) and (G, D) float32; the gallery without junk.
        count: images to take up, at most G.
        alpha: exponent of the weights, at least 0.

    Returns:
        (Q, D) float32, rows of length 1.

    Raises:
        ValueError: negative alpha.
        FeatureError: features that cannot be compared, see `search.nearest.nearest`.
        UserError: count is not within 1 ... G.
    """
    if not alpha >= 0:
        raise ValueError(f"alpha must not be negative, got {alpha}")
    similarities, rows = nearest(query, gallery, count)
    weights = np.maximum(similarities, 0) ** np.float32(alpha) if alpha else np.ones_like(similarities)
    gallery, expanded = normalize(gallery), normalize(query)
    for column, share in zip(rows.T, weights.T, strict=True):
        expanded += share[:, None] * gallery[column]
    return normalize(expanded)
