"""Objectives: what one network is trained to minimise, as named loss terms.

An objective is called with the network's own `Output`, its peers' detached `Output`s, the batch and the step's
scalars, and returns {term: weighted 0-d tensor}; the loss is their sum. `terms` names them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from yacs.config import CfgNode

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output
from reid_dml.mutual.losses import Strategy, student_terms


@dataclass(frozen=True)
class Scalars:
    """The numbers of one step, all on the device; a pure function of the step (see `engine/schedules.py`)."""

    learning_rates: Tensor  # (K,) float64
    mimicry_weight: Tensor  # 0-d float64
    ema_decay: Tensor  # 0-d float64


class Objective(Protocol):
    """The contract every objective fulfils."""

    terms: tuple[str, ...]

    def __call__(
        self, output: Output, peers: Sequence[Output], batch: Batch, scalars: Scalars
    ) -> dict[str, Tensor]: ...


OBJECTIVES: dict[str, Callable[[CfgNode], Objective]] = {}


def register_objective(*strategies: str):
    """Make a class or function from the config to an objective known under values of `OBJECTIVE.STRATEGY`."""

    def register(build: Callable[[CfgNode], Objective]) -> Callable[[CfgNode], Objective]:
        OBJECTIVES.update(dict.fromkeys(strategies, build))
        return build

    return register


def build_objective(cfg: CfgNode) -> Objective:
    """The objective that `OBJECTIVE.STRATEGY` names."""
    return OBJECTIVES[cfg.OBJECTIVE.STRATEGY](cfg)


@register_objective("independent", "dml", "dml_e", "symmetric_kl")
class MutualObjective:
    """Identity loss plus mimicry of the peers' posteriors: `student_loss`, term by term."""

    def __init__(self, cfg: CfgNode) -> None:
        options = cfg.OBJECTIVE
        self.strategy: Strategy = options.STRATEGY
        self.terms = ("identity",) if self.strategy == "independent" else ("identity", "mimicry")
        self.options = {
            "peer_reduction": options.PEER_REDUCTION,
            "ensemble": options.ENSEMBLE,
            "temperature": options.TEMPERATURE,
            "label_smoothing": options.LABEL_SMOOTHING,
        }

    def __call__(self, output: Output, peers: Sequence[Output], batch: Batch, scalars: Scalars) -> dict[str, Tensor]:
        return student_terms(
            output.logits,
            [peer.logits for peer in peers],
            batch.labels,
            strategy=self.strategy,
            weight=scalars.mimicry_weight.to(output.logits.dtype),
            **self.options,
        )
