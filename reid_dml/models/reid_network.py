"""Backbone, global average pooling, optional batch-norm neck and head: one row a person, or a class of any kind."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Output(NamedTuple):
    """What every network returns; nothing else knows how a backbone looks inside."""

    logits: Tensor  # (N, num_classes)
    features: Tensor  # (N, D) pooled feature; behind the neck, if there is one, in evaluation
    centers: Tensor | None = None  # (num_classes, D), the network's own buffer, in training with the center loss


class Dropout(nn.Module):
    """Inverted dropout that draws from a generator of its own.

    With torch's global generator the masks of one network would depend on how many other networks share its process.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        keep = torch.empty_like(x).bernoulli_(1 - self.probability, generator=self.generator)
        return x * keep / (1 - self.probability)


class ReIDNetwork(nn.Module):
    """Maps images (N, 3, H, W) to `Output(logits (N, num_classes), features (N, feature_dim))`.

    With `neck="bn"` (Luo et al., "Bag of Tricks", 2019) the head sees the batch-normalised feature; `features` are
    the pooled ones in training (for metric losses) and the normalised ones in evaluation. With `centers` it keeps a
    feature for each class, all 0 at the start, for the center loss to move: running state, like batch norm's.
    """

    centers: Tensor | None

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        *,
        neck: str = "none",
        dropout: float = 0.0,
        centers: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature_dim = int(backbone.num_features)  # type: ignore[arg-type]  # nn.Module hides attribute types
        self.neck = nn.BatchNorm1d(self.feature_dim) if neck == "bn" else nn.Identity()
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(self.feature_dim, num_classes, bias=neck != "bn")
        if neck == "bn":
            # A shift of the neck would only move all classes alike: fixed at zero.
            self.neck.bias.requires_grad_(False)
        self.register_buffer("centers", torch.zeros(num_classes, self.feature_dim) if centers else None)

    @property
    def num_classes(self) -> int:
        return self.head.out_features

    def forward(self, images: Tensor) -> Output:
        maps = self.backbone(images)
        pooled = maps.mean((2, 3)) if maps.ndim == 4 else maps
        normalized = self.neck(pooled)
        logits = self.head(self.dropout(normalized))
        return Output(logits, pooled, self.centers) if self.training else Output(logits, normalized)
