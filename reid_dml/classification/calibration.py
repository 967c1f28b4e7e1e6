"""How far confidence and accuracy agree."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BINS = 15  # as Guo et al. have them


class CalibrationBins(NamedTuple):
    """Images in bins of equal width by confidence; means are 0 in an empty bin."""

    counts: np.ndarray  # (B,) int64
    confidence: np.ndarray  # (B,) float64, mean largest posterior probability
    accuracy: np.ndarray  # (B,) float64, share whose most probable class is the right one


def calibration_bins(confidence: np.ndarray, correct: np.ndarray) -> CalibrationBins:
    """Images by confidence in B = 15 bins (0, 1/B], (1/B, 2/B], ...

    Args:
        confidence: (N,) largest posterior probability of each image.
        correct: (N,) bool, whether it was right.
    """
    places = np.clip(np.ceil(confidence * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    counts = np.bincount(places, minlength=_BINS)
    divisor = np.maximum(counts, 1)
    means = [np.bincount(places, weights=values, minlength=_BINS) / divisor for values in (confidence, correct)]
    return CalibrationBins(counts, *means)


def expected_calibration_error(bins: CalibrationBins) -> float:
    """Mean over images of |accuracy - confidence| of their bin (Guo et al., "On Calibration", ICML 2017, Eq. 3)."""
    return float((bins.counts * np.abs(bins.accuracy - bins.confidence)).sum() / bins.counts.sum())
