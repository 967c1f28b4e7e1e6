"""Classification metrics: pure functions of posteriors and labels, by way of four numbers an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_ROWS = 8192  # images whose posteriors are looked at in one go, in float64


class CalibrationBins(NamedTuple):
    """Images in bins of equal width by confidence; means are 0 in an empty bin."""

    counts: np.ndarray  # (B,) int64
    confidence: np.ndarray  # (B,) float64, mean largest posterior probability
    accuracy: np.ndarray  # (B,) float64, share whose most probable class is the right one


class SampleStatistics(NamedTuple):
    """What is kept of each image's posterior."""

    rank: np.ndarray  # (N,) float64: wrong classes at least as probable as the right one; 0 is a hit
    confidence: np.ndarray  # (N,) float64: the largest posterior probability
    entropy: np.ndarray  # (N,) float64, nats
    loss: np.ndarray  # (N,) float64: minus the logarithm of the right class's probability, nats

    @staticmethod
    def of(columns: np.ndarray) -> SampleStatistics:
        """From the columns that `sample_statistics` returns."""
        return SampleStatistics(*columns.astype(np.float64).T)


def sample_statistics(log_probs: Tensor, labels: Tensor) -> Tensor:
    """The four numbers of `SampleStatistics` for every image, as columns.

    Args:
        log_probs: (N, C) logarithms of the posterior, or logits.
        labels: (N,) int64 class of each row, on the same device.

    Returns:
        (N, 4) float32.
    """
    parts = [_judge(*part) for part in zip(log_probs.split(_ROWS), labels.split(_ROWS), strict=True)]
    return torch.cat(parts) if parts else torch.empty(0, 4)


def _judge(logits: Tensor, labels: Tensor) -> Tensor:
    log_probs = logits.double().log_softmax(1)
    right = log_probs.gather(1, labels[:, None])
    rank = (logits >= logits.gather(1, labels[:, None])).sum(1) - 1
    entropy = -(log_probs.exp() * log_probs).sum(1)
    return torch.stack([rank.double(), log_probs.max(1).values.exp(), entropy, -right[:, 0]], dim=1).float()


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


def classification_metrics(statistics: SampleStatistics) -> dict[str, float]:
    """The metrics of one network on one split.

    Returns:
        `top1` and `top5`: share of images with fewer than 1 and 5 wrong classes at least as probable as the right one
        (a tie counts as wrong); `ece`: expected calibration error, 15 bins; `entropy`: mean entropy of the posterior,
        nats; `loss`: mean cross entropy without label smoothing, nats.

    Raises:
        ValueError: no images.
    """
    if not len(statistics.rank):
        raise ValueError("metrics need at least one image")
    correct = statistics.rank < 1
    return {
        "top1": float(correct.mean()),
        "top5": float((statistics.rank < 5).mean()),
        "ece": expected_calibration_error(calibration_bins(statistics.confidence, correct)),
        "entropy": float(statistics.entropy.mean()),
        "loss": float(statistics.loss.mean()),
    }
