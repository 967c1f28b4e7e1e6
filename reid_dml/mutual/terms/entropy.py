"""The confidence penalty: a preference for posteriors of high entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from reid_dml.mutual.losses import promote
from reid_dml.mutual.terms import TermInputs, WeightedTerm, register_term
from reid_dml.options import option


def confidence_penalty(logits: Tensor) -> Tensor:
    """Minus the mean entropy of the posterior, -H(p): adding it to a loss rewards uncertain predictions.

    Pereyra et al., "Regularizing Neural Networks by Penalizing Confident Output Distributions", 2017; it stands in for
    the paper's "entropy regularisation" (Table 5), which cites Entropy-SGD but describes a preference for high entropy.

    Args:
        logits: (N, C).

    Returns:
        0-d tensor in [-log C, 0], nats.
    """
    log_probs = F.log_softmax(promote(logits), dim=1)
    return (log_probs.exp() * log_probs).sum(1).mean()


@register_term("entropy")
@dataclass(frozen=True)
class Entropy(WeightedTerm):
    """`confidence_penalty` of all images."""

    title: ClassVar[str] = "Confidence penalty (minus the entropy)"
    unit: ClassVar[str] = "nats"
    order: ClassVar[int] = 2
    prefix: ClassVar[str] = "ENTROPY_"

    weight: float = option(0.0, "weight of the confidence penalty on the posterior's entropy (Table 5)", least=0)

    def loss(self, inputs: TermInputs) -> Tensor:
        return confidence_penalty(inputs.own.logits)
