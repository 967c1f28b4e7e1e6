"""The mimicry loss: how far a network's posterior is from its peers'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from yacs.config import CfgNode

from reid_dml.mutual.losses import STRATEGIES, EnsembleAverage, PeerReduction, Strategy, mimicry_loss
from reid_dml.mutual.terms import Term, TermInputs, register_term
from reid_dml.options import Warn, option


@register_term("mimicry")
@dataclass(frozen=True)
class Mimicry(Term):
    """Eqs. (7), (10) and (11) of the paper, over all images, labelled or not."""

    title: ClassVar[str] = "Mimicry loss (KL to the peers)"
    unit: ClassVar[str] = "nats"
    order: ClassVar[int] = 1
    switch: ClassVar[str] = "STRATEGY"
    off: ClassVar[str | int] = "independent"
    needs_peers: ClassVar[bool] = True

    strategy: Strategy = option(
        "dml",
        "mimics nobody | every peer (Eq. 10) | the average of the peers (Eq. 11) | every peer and back (Eq. 7)",
        choices=STRATEGIES,
    )
    peer_reduction: PeerReduction = option(
        "mean", "mean over the peers (Eq. 10) | sum (the authors' code)", choices=("mean", "sum")
    )
    ensemble: EnsembleAverage = option("probs", "dml_e: what of the peers is averaged", choices=("probs", "logits"))
    temperature: float = option(1.0, "softens both posteriors; the loss is scaled by its square", above=0)
    weight: float = option(1.0, "weight of the mimicry loss", least=0)
    warmup_steps: int = option(0, "steps over which the weight rises linearly", least=0)

    @property
    def active(self) -> bool:
        return self.strategy != self.off

    def loss(self, inputs: TermInputs) -> Tensor:
        return mimicry_loss(
            inputs.own.logits,
            [peer.logits for peer in inputs.peers],
            strategy=self.strategy,
            peer_reduction=self.peer_reduction,
            ensemble=self.ensemble,
            temperature=self.temperature,
        )

    def weight_at(self, step: int) -> float:
        return self.weight * (min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0)

    def record(self) -> dict[str, Any]:
        return {
            "strategy": self.strategy,
            "reduction": self.peer_reduction,
            "temperature": self.temperature,
            "weight": self.weight,
            "warmup_steps": self.warmup_steps,
            **({"ensemble": self.ensemble} if self.strategy == "dml_e" else {}),
        }

    def advise(self, cfg: CfgNode, warn: Warn) -> None:
        if self.weight == 0:
            warn("OBJECTIVE.WEIGHT", "nobody learns from its peers; raise it, or set OBJECTIVE.STRATEGY independent")
        elif 0 < cfg.TRAIN.STEPS < self.warmup_steps:
            warn("OBJECTIVE.WARMUP_STEPS", "is longer than the training: the weight stays below OBJECTIVE.WEIGHT")
        if self.strategy == "dml_e" and self.peer_reduction != "mean":
            warn("OBJECTIVE.PEER_REDUCTION", "has no effect under dml_e, where the peers' average is the one teacher")
        if self.strategy != "dml_e" and self.ensemble != "probs":
            warn("OBJECTIVE.ENSEMBLE", f"has no effect under {self.strategy}; it is of OBJECTIVE.STRATEGY dml_e")
