"""Bringing features that several processes extracted together on process 0."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reid_dml.processes import gather_objects


def gather_rows(features: Mapping[int, np.ndarray], rows: np.ndarray, count: int) -> dict[int, np.ndarray]:
    """Whole feature arrays from everybody's rows.

    Args:
        features: (n, D_k) of this process's networks by index.
        rows: (n,) positions of these images among all.
        count: number of all images.

    Returns:
        On process 0 (count, D_k) by index, for the networks of all processes; elsewhere an empty dict.
    """
    whole: dict[int, np.ndarray] = {}
    for own_rows, own in gather_objects((rows, dict(features))):
        for index, values in own.items():
            if count and not len(own_rows):
                continue  # who has seen no image need not know how wide a row is
            array = whole.setdefault(index, np.empty((count, values.shape[1]), np.float32))
            array[own_rows] = values
    return whole
