"""Do two networks differ? Their features, ranked lists and predictions compared (CVPR, Sec. 4.9). Pure functions."""

from __future__ import annotations

import numpy as np


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


def overlap_at_k(first: np.ndarray, second: np.ndarray, k: int) -> float:
    """Mean share of images that the first k of two networks' lists have in common, whatever their order.

    Of the queries for which any image counts; NaN where there is none.

    Args:
        first, second: (Q, >= k) positions, as of `ranking.ranked_rows`; -1 is no image.
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
