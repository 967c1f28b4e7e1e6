"""The batch-hard triplet loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_dml.mutual.losses import promote
from reid_dml.mutual.pairs import mean_where, pair_masks
from reid_dml.mutual.terms import TermInputs, WeightedTerm, register_term
from reid_dml.options import option


def triplet_loss(features: Tensor, labels: Tensor, *, margin: float | None = 0.3) -> Tensor:
    """Batch-hard triplet loss (Hermans et al., "In Defense of the Triplet Loss", 2017, Eq. 5).

    For every row, max(0, margin + d(farthest image of its person) - d(nearest of another)), or with `margin=None` the
    soft margin log(1 + exp(d - d)); d is the Euclidean distance, not squared.

    Args:
        features: (N, D) pooled features.
        labels: (N,) int64 rows of the head; -1 = unlabelled.
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
    return mean_where(losses, positive.any(1) & negative.any(1))


@register_term("triplet")
@dataclass(frozen=True)
class Triplet(WeightedTerm):
    """`triplet_loss` on the pooled features."""

    title: ClassVar[str] = "Triplet loss"
    order: ClassVar[int] = 4
    prefix: ClassVar[str] = "TRIPLET_"
    needs_pairs: ClassVar[bool] = True

    weight: float = option(0.0, "weight of the batch-hard triplet loss (Hermans et al., 2017)", least=0)
    margin: float = option(0.3, "by how much Euclidean distances to a person's own and to others must differ", least=0)
    soft_margin: bool = option(False, "log(1 + exp(difference)) instead of the margin")

    def loss(self, inputs: TermInputs) -> Tensor:
        margin = None if self.soft_margin else self.margin
        return triplet_loss(inputs.own.features, inputs.batch.labels, margin=margin)
