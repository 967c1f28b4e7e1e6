"""mAP of the official MATLAB evaluation: the area below the precision-recall curve by the trapezoid rule."""

from __future__ import annotations

import numpy as np

from reid_dml.ranking.measures import Matches, register_measure


@register_measure("mAP_trapezoid", title="mAP trapezoid", order=1)
def trapezoid_precision(matches: Matches) -> np.ndarray:
    """AP = mean of ((i-1) / (i-1 + n_i) + i / (i + n_i)) / 2, where 0/0 = 1: (Q,)."""
    earlier = matches.ranks - 1
    total = earlier + matches.negatives
    before = np.divide(earlier, total, out=np.ones(len(total)), where=total > 0)
    return matches.mean((before + matches.precisions) / 2)
