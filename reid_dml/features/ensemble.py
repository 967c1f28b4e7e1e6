"""One feature from several networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reid_dml.features.feature_set import normalize


def concatenate_features(members: Sequence[np.ndarray], *, how: str = "normalized") -> np.ndarray:
    """The ensemble's feature: the members' features side by side, scaled to length 1.

    Args:
        members: one (N, D_k) float32 array a network, all for the same images in the same order.
        how: `normalized` scales each member to length 1 first, so that each has the same say; `raw` does not (the
            authors' code).

    Returns:
        (N, sum of D_k) float32, rows of length 1. For one member both are the same.

    Raises:
        ValueError: unknown `how`, or different numbers of rows.
    """
    if how not in ("normalized", "raw"):
        raise ValueError(f"how: {how!r} is not one of normalized, raw")
    if len({len(member) for member in members}) != 1:
        raise ValueError(f"members have different numbers of rows: {[len(member) for member in members]}")
    parts = [normalize(member) if how == "normalized" else member for member in members]
    return normalize(np.concatenate(parts, axis=1))
