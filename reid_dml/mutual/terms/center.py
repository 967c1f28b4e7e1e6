"""The center loss, whose centres are moved by a rule of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from reid_dml.mutual.losses import promote
from reid_dml.mutual.pairs import mean_where
from reid_dml.mutual.terms import State, TermInputs, WeightedTerm, register_term
from reid_dml.options import option


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
    return mean_where((values - own).square().sum(1) / 2, labels >= 0)


@torch.no_grad()
def move_centers(centers: Tensor, features: Tensor, labels: Tensor, rate: float) -> None:
    """Draw the centres of a batch's persons towards their features, in place (Wen et al., Eq. 4 and Algorithm 1).

    c_j <- c_j - rate * sum(c_j - x_i over the n_j rows of person j) / (1 + n_j).

    Args:
        centers, features, labels: as for `center_loss`.
        rate: alpha of the paper.
    """
    persons = torch.arange(len(centers), device=labels.device)
    # Sums as a product, which has one order of addition on every device, unlike scattered sums.
    members = (persons[:, None] == labels).to(centers.dtype)
    count = members.sum(1, keepdim=True)
    centers.sub_(rate * (count * centers - members @ features.to(centers.dtype)) / (1 + count))


@register_term("center")
@dataclass(frozen=True)
class Center(WeightedTerm):
    """`center_loss` on the pooled features.

    The centres are state and not parameters: their rule (Wen et al., Eq. 4) has a rate of its own, which neither the
    loss weight nor the optimiser's scaling and schedule may change.
    """

    title: ClassVar[str] = "Center loss"
    order: ClassVar[int] = 6
    prefix: ClassVar[str] = "CENTER_"
    shardable: ClassVar[bool] = False  # each process would move its own centres, by its part of the batch

    weight: float = option(
        0.0,
        "weight of the center loss (Wen et al., 2016), whose 1/2 BoT leaves out: its usual 5e-4 is 1e-3 here",
        least=0,
    )
    rate: float = option(0.5, "how far a batch draws the centres of its persons (alpha)", least=0, most=1)

    def loss(self, inputs: TermInputs) -> Tensor:
        return center_loss(inputs.own.features, inputs.state["centers"], inputs.batch.labels)

    def new_state(self, num_classes: int, feature_dim: int) -> State:
        return {"centers": torch.zeros(num_classes, feature_dim)}

    def after_backward(self, inputs: TermInputs) -> None:
        move_centers(inputs.state["centers"], inputs.own.features, inputs.batch.labels, self.rate)
