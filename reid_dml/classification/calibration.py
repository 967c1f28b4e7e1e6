"""How far confidence and accuracy agree."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class CalibrationBins(NamedTuple):
    """Images in bins of equal width by confidence; means are 0 in an empty bin."""

    counts: np.ndarray  # (B,) int64
    confidence: np.ndarray  # (B,) float64, mean largest posterior probability
    accuracy: np.ndarray  # (B,) float64, share whose most probable class is the right one


def calibration_bins(confidence: np.ndarray, correct: np.ndarray, *, bins: int = 15) -> CalibrationBins:
    """Images by confidence in bins (0, 1/B], (1/B, 2/B], ...

    Args:
        confidence: (N,) largest posterior probability of each image.
        correct: (N,) bool, whether it was right.
        bins: B.
    """
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    divisor = np.maximum(counts, 1)
    means = [np.bincount(places, weights=values, minlength=bins) / divisor for values in (confidence, correct)]
    return CalibrationBins(counts, *means)


def expected_calibration_error(bins: CalibrationBins) -> float:
    """Mean over images of |accuracy - confidence| of their bin (Guo et al., "On Calibration", ICML 2017, Eq. 3)."""
    return float((bins.counts * np.abs(bins.accuracy - bins.confidence)).sum() / bins.counts.sum())
