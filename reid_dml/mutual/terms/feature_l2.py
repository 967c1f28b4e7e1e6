"""The distance of pooled features to those of the peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from reid_dml.mutual.losses import promote
from reid_dml.mutual.terms import TermInputs, WeightedTerm, register_term
from reid_dml.options import option


def feature_distance(features: Tensor, peers: Sequence[Tensor]) -> Tensor:
    """Mean squared Euclidean distance of pooled features to the peers', the "L2" of Table 5.

    Args:
        features: (N, D) of the network that learns.
        peers: list of (N, D) pooled features of the others; always constants.

    Returns:
        0-d tensor: ||f - f_l||^2 summed over D, averaged over rows and peers.

    Raises:
        ValueError: no peers, or features of different width.
    """
    if not len(peers):
        raise ValueError("the distance of features needs at least one peer")
    own = promote(features)
    for peer in peers:
        if peer.shape != features.shape:
            raise ValueError(
                f"pooled features are {tuple(features.shape)} and a peer's {tuple(peer.shape)}; only networks "
                "with features of one width can be drawn together"
            )
    return torch.stack([(own - promote(peer.detach())).square().sum(1).mean() for peer in peers]).mean()


@register_term("feature_l2")
@dataclass(frozen=True)
class FeatureL2(WeightedTerm):
    """`feature_distance` to all peers and teachers."""

    title: ClassVar[str] = "Squared distance to the peers' features"
    order: ClassVar[int] = 3
    prefix: ClassVar[str] = "FEATURE_L2_"
    needs_peers: ClassVar[bool] = True
    needs_peer_features: ClassVar[bool] = True

    weight: float = option(0.0, "weight of the squared distance to the peers' pooled features (Table 5)", least=0)

    def loss(self, inputs: TermInputs) -> Tensor:
        return feature_distance(inputs.own.features, [peer.features for peer in inputs.peers])
