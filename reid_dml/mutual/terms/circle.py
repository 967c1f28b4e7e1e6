"""The circle loss on pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from reid_dml.mutual.losses import promote
from reid_dml.mutual.pairs import masked_logsumexp, mean_where, pair_masks
from reid_dml.mutual.terms import TermInputs, WeightedTerm, register_term
from reid_dml.options import option


def circle_loss(features: Tensor, labels: Tensor, *, margin: float = 0.25, scale: float = 128.0) -> Tensor:
    """Circle loss on pairs (Sun et al., "Circle Loss", CVPR 2020, Eq. 6 with the choices of Sec. 3.2).

    For every row, with the cosine similarities s_p to images of its person and s_n to those of others,
    log(1 + sum_n exp(scale a_n (s_n - margin)) * sum_p exp(-scale a_p (s_p - 1 + margin))), where the weights
    a_p = max(0, 1 + margin - s_p) and a_n = max(0, s_n + margin) are constants for the gradient.

    Args:
        features: (N, D) pooled features.
        labels: (N,) int64 rows of the head; -1 = unlabelled.
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
    total = masked_logsumexp(positive_terms, positive) + masked_logsumexp(negative_terms, negative)
    return mean_where(F.softplus(total), positive.any(1) & negative.any(1))


@register_term("circle")
@dataclass(frozen=True)
class Circle(WeightedTerm):
    """`circle_loss` on the pooled features."""

    title: ClassVar[str] = "Circle loss"
    order: ClassVar[int] = 5
    prefix: ClassVar[str] = "CIRCLE_"
    needs_pairs: ClassVar[bool] = True

    weight: float = option(0.0, "weight of the circle loss on pairs (Sun et al., 2020)", least=0)
    margin: float = option(0.25, "m of cosine similarities", least=0, most=1)
    scale: float = option(128.0, "factor of the weighted similarities, the paper's gamma", above=0)

    def loss(self, inputs: TermInputs) -> Tensor:
        return circle_loss(inputs.own.features, inputs.batch.labels, margin=self.margin, scale=self.scale)
