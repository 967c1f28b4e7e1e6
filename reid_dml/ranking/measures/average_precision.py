"""mAP: the mean precision at the matches."""

from __future__ import annotations

import numpy as np

from reid_dml.ranking.measures import Matches, register_measure


@register_measure("mAP", order=0)
def average_precision(matches: Matches) -> np.ndarray:
    """AP = mean of i / (i + n_i), "plain": (Q,)."""
    return matches.mean(matches.precisions)
