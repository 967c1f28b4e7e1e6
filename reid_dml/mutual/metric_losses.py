"""Losses on the features of a batch's persons: pure functions of tensors, except for the centres that move.

All are computed in at least float32. Rows labelled -1 take part in no pair; what has no valid pair is 0, by masks and
never by a branch on the data. (pytorch-metric-learning picks its pairs by boolean indexing, whose shapes follow the
data: it would wait for the GPU at every step and fit into no CUDA graph.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_dml.mutual.losses import promote


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of rows show one person, which show two: both (N, N) bool, without a row and itself."""
    known = (labels >= 0)[:, None] & (labels >= 0)
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return known & same & ~itself, known & ~same


def triplet_loss(features: Tensor, labels: Tensor, *, margin: float | None = 0.3) -> Tensor:
    """Batch-hard triplet loss (Hermans et al., "In Defense of the Triplet Loss", 2017, Eq. 5).

    For every row, max(0, margin + d(farthest image of its person) - d(nearest of another)), or with `margin=None` the
    soft margin log(1 + exp(d - d)); d is the Euclidean distance, not squared.

    Args:
        features: (N, D) pooled features.
        labels: (N,) int64 person rows; -1 = unlabelled.
        margin: in units of the features, or None.

    Returns:
        0-d tensor: the mean over the rows that have an image of both kinds; 0 where none has.
    """
    positive, negative = pair_masks(labels)
    values = promote(features)
    # Differences and not products: exact for near features, and without a gradient, not NaN, for equal ones.
    distances = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")
    farthest = distances.masked_fill(~positive, 0.0).amax(1)
    nearest = distances.masked_fill(~negative, torch.inf).amin(1)
    difference = farthest - nearest
    losses = F.softplus(difference) if margin is None else F.relu(difference + margin)
    return _mean_where(losses, positive.any(1) & negative.any(1))


def circle_loss(features: Tensor, labels: Tensor, *, margin: float = 0.25, scale: float = 128.0) -> Tensor:
    """Circle loss on pairs (Sun et al., "Circle Loss", CVPR 2020, Eq. 6 with the choices of Sec. 3.2).

    For every row, with the cosine similarities s_p to images of its person and s_n to those of others,
    log(1 + sum_n exp(scale a_n (s_n - margin)) * sum_p exp(-scale a_p (s_p - 1 + margin))), where the weights
    a_p = max(0, 1 + margin - s_p) and a_n = max(0, s_n + margin) are constants for the gradient.

    Args:
        features: (N, D) pooled features.
        labels: (N,) int64 person rows; -1 = unlabelled.
        margin, scale: m and gamma of the paper.

    Returns:
        0-d tensor: the mean over the rows that have an image of both kinds; 0 where none has.
    """
    positive, negative = pair_masks(labels)
    directions = F.normalize(promote(features), dim=1)
    similarity = directions @ directions.T
    constant = similarity.detach()
    positive_terms = -scale * F.relu(1 + margin - constant) * (similarity - 1 + margin)
    negative_terms = scale * F.relu(constant + margin) * (similarity - margin)
    total = _masked_logsumexp(positive_terms, positive) + _masked_logsumexp(negative_terms, negative)
    return _mean_where(F.softplus(total), positive.any(1) & negative.any(1))


def center_loss(features: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance to the person's centre (Wen et al., ECCV 2016, Eq. 2), averaged over labelled rows.

    Args:
        features: (N, D) pooled features.
        centers: (C, D), a centre a person; constants for the gradient (see `move_centers`).
        labels: (N,) int64 rows of the centres; -1 = unlabelled.

    Returns:
        0-d tensor; 0 where no row is labelled.
    """
    values = promote(features)
    own = centers.detach()[labels.clamp(min=0)].to(values.dtype)
    return _mean_where((values - own).square().sum(1) / 2, labels >= 0)


@torch.no_grad()
def move_centers(centers: Tensor, features: Tensor, labels: Tensor, rate: float) -> None:
    """Draw the centres of a batch's persons towards their features, in place (Wen et al., Eq. 4 and Algorithm 1).

    c_j <- c_j - rate * sum(c_j - x_i over the n_j rows of person j) / (1 + n_j). Shapes as in `center_loss`.
    """
    persons = torch.arange(len(centers), device=labels.device)
    # Sums as a product, which has one order of addition on every device, unlike scattered sums.
    members = (persons[:, None] == labels).to(centers.dtype)
    count = members.sum(1, keepdim=True)
    centers.sub_(rate * (count * centers - members @ features.to(centers.dtype)) / (1 + count))


def _masked_logsumexp(values: Tensor, mask: Tensor) -> Tensor:
    """log of the sum of exp over the entries of a row chosen; very small, but finite, where none is."""
    return values.masked_fill(~mask, torch.finfo(values.dtype).min / 4).logsumexp(1)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the entries chosen, 0 where none is."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)
