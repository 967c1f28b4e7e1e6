"""How a network spreads its probability: the true class, the classes ranked next, and the entropy (CVPR, Fig. 4c)."""

from __future__ import annotations

import torch
from torch import Tensor

TOP_CLASSES = 5  # as in the figure


def posterior_columns(logits: Tensor, labels: Tensor, *, top: int = TOP_CLASSES) -> Tensor:
    """Of every image the probability of the true class, of the most probable other classes, and the entropy in nats.

    Args:
        logits: (N, C), or logarithms of probabilities.
        labels: (N,) int64 true classes; -1 where there is none: then all classes are in the order of probability.
        top: classes, the true one included; at most C are there.

    Returns:
        (N, min(top, C) + 1) float32, the entropy last.
    """
    log_probs = logits.double().log_softmax(1)
    entropy = torch.special.entr(log_probs.exp()).sum(1, keepdim=True)
    known = (labels >= 0)[:, None]
    place = labels.clamp(min=0)[:, None]
    # The true class is put first by a value above every probability, then replaced by its own.
    probs = log_probs.exp()
    first = torch.where(known, torch.full_like(probs[:, :1], 2.0), probs.gather(1, place))
    ranked = probs.scatter(1, place, first).sort(1, descending=True).values[:, :top]
    ranked[:, :1] = torch.where(known, probs.gather(1, place), ranked[:, :1])
    return torch.cat([ranked, entropy], dim=1).float()
