"""What is kept of each image's posterior: four numbers, from which every metric follows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_ROWS = 8192  # images whose posteriors are looked at in one go, in float64


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
    parts = [_statistics(*part) for part in zip(log_probs.split(_ROWS), labels.split(_ROWS), strict=True)]
    return torch.cat(parts) if parts else torch.empty(0, 4)


def _statistics(logits: Tensor, labels: Tensor) -> Tensor:
    log_probs = logits.double().log_softmax(1)
    right = log_probs.gather(1, labels[:, None])
    # Not `>=`: the right class must not be called first where a logit is NaN.
    rank = (~(logits < logits.gather(1, labels[:, None]))).sum(1) - 1
    entropy = -(log_probs.exp() * log_probs).sum(1)
    return torch.stack([rank.double(), log_probs.max(1).values.exp(), entropy, -right[:, 0]], dim=1).float()
