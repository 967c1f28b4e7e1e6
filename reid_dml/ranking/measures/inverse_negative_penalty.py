"""mINP: the precision at the hardest match."""

from __future__ import annotations

import numpy as np

from reid_dml.ranking.measures import Matches, register_measure


@register_measure("mINP", order=2)
def inverse_negative_penalty(matches: Matches) -> np.ndarray:
    """INP = m / (m + n_m) (Ye et al., "Deep Learning for Person Re-identification", 2021, Eq. 8): (Q,)."""
    return matches.precisions[matches.firsts + matches.lengths - 1]
