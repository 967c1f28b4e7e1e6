"""Pairs of images in a batch, by masks: fixed shapes whatever the data.

Rows labelled -1 take part in no pair; what has no valid pair is 0, by masks and never by a branch on the data.
(pytorch-metric-learning picks its pairs by boolean indexing, whose shapes follow the data: it would wait for the GPU at
every step and fit into no CUDA graph.)
"""

from __future__ import annotations

import torch
from torch import Tensor


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of rows show one person, which show two: both (N, N) bool, without a row and itself."""
    known = (labels >= 0)[:, None] & (labels >= 0)
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return known & same & ~itself, known & ~same


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the entries chosen, 0 where none is."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def masked_logsumexp(values: Tensor, mask: Tensor) -> Tensor:
    """log of the sum of exp over the entries of a row chosen; very small, but finite, where none is."""
    return values.masked_fill(~mask, torch.finfo(values.dtype).min / 4).logsumexp(1)
