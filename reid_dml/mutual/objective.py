"""Objectives: what one network is trained to minimise, as named loss terms.

An objective is called with the network's own `Output`, its peers' detached `Output`s, the batch and the step's
scalars, and returns {term: weighted 0-d tensor}; the loss is their sum. `terms` names them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output
from reid_dml.mutual.losses import Strategy, confidence_penalty, feature_distance, student_terms
from reid_dml.mutual.metric_losses import center_loss, circle_loss, move_centers, triplet_loss
from reid_dml.registry import Registry


@dataclass(frozen=True)
class Scalars:
    """The numbers of one step, all on the device; a pure function of the step (see `engine/schedules.py`)."""

    learning_rates: Tensor  # (K,) float64
    mimicry_weight: Tensor  # 0-d float64
    ema_decay: Tensor  # 0-d float64


class Objective(Protocol):
    """The contract every objective fulfils."""

    terms: tuple[str, ...]
    uses_peers: bool  # whether peers' predictions are needed at all
    uses_features: bool  # whether peers' features are needed beside their logits

    def __call__(
        self, output: Output, peers: Sequence[Output], batch: Batch, scalars: Scalars
    ) -> dict[str, Tensor]: ...

    def move_centers(self, output: Output, batch: Batch) -> None:
        """Called once a batch's gradient is there, for networks that keep centres."""


OBJECTIVES: Registry[Callable[[CfgNode], Objective]] = Registry("OBJECTIVE.STRATEGY", "reid_dml.mutual")
register_objective = OBJECTIVES.register


def build_objective(cfg: CfgNode) -> Objective:
    """The objective that `OBJECTIVE.STRATEGY` names."""
    return OBJECTIVES.get(cfg.OBJECTIVE.STRATEGY)(cfg)


@register_objective("independent", "dml", "dml_e", "symmetric_kl")
class MutualObjective:
    """Identity loss plus mimicry of the peers' posteriors (`student_loss`), plus the further terms switched on.

    The centres of the center loss are a buffer of the network, moved by their own rule, and not parameters: the rule
    (Wen et al., Eq. 4) has a rate of its own, which neither the loss weight nor the optimiser's scaling and schedule
    may change. As buffers they are in the network's state, hence in every checkpoint.
    """

    def __init__(self, cfg: CfgNode) -> None:
        options = cfg.OBJECTIVE
        self.strategy: Strategy = options.STRATEGY
        self.entropy_weight, self.feature_weight = options.ENTROPY_WEIGHT, options.FEATURE_L2_WEIGHT
        self.triplet_weight, self.circle_weight = options.TRIPLET_WEIGHT, options.CIRCLE_WEIGHT
        self.center_weight, self.center_rate = options.CENTER_WEIGHT, options.CENTER_RATE
        self.triplet_margin = None if options.TRIPLET_SOFT_MARGIN else options.TRIPLET_MARGIN
        self.circle = {"margin": options.CIRCLE_MARGIN, "scale": options.CIRCLE_SCALE}
        self.options = {
            "peer_reduction": options.PEER_REDUCTION,
            "ensemble": options.ENSEMBLE,
            "temperature": options.TEMPERATURE,
            "label_smoothing": options.LABEL_SMOOTHING,
        }
        self.uses_features = self.feature_weight > 0
        self.uses_peers = self.strategy != "independent" or self.uses_features
        switched_on = {
            "mimicry": self.strategy != "independent",
            "entropy": self.entropy_weight > 0,
            "feature_l2": self.uses_features,
            "triplet": self.triplet_weight > 0,
            "circle": self.circle_weight > 0,
            "center": self.center_weight > 0,
        }
        self.terms = ("identity", *(name for name, on in switched_on.items() if on))

    def __call__(self, output: Output, peers: Sequence[Output], batch: Batch, scalars: Scalars) -> dict[str, Tensor]:
        terms = student_terms(
            output.logits,
            [peer.logits for peer in peers],
            batch.labels,
            strategy=self.strategy,
            weight=scalars.mimicry_weight.to(torch.promote_types(output.logits.dtype, torch.float32)),
            label_count=batch.label_count,
            **self.options,
        )
        if self.entropy_weight > 0:
            terms["entropy"] = self.entropy_weight * confidence_penalty(output.logits)
        if self.uses_features:
            terms["feature_l2"] = self.feature_weight * feature_distance(output.features, [p.features for p in peers])
        features, labels = output.features, batch.labels
        if self.triplet_weight > 0:
            terms["triplet"] = self.triplet_weight * triplet_loss(features, labels, margin=self.triplet_margin)
        if self.circle_weight > 0:
            terms["circle"] = self.circle_weight * circle_loss(features, labels, **self.circle)
        if self.center_weight > 0:
            assert output.centers is not None
            terms["center"] = self.center_weight * center_loss(features, output.centers, labels)
        return terms

    def move_centers(self, output: Output, batch: Batch) -> None:
        assert output.centers is not None
        move_centers(output.centers, output.features, batch.labels, self.center_rate)
