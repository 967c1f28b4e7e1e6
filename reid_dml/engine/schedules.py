"""Everything that changes with the step, as pure functions of it."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Sequence

import torch
from yacs.config import CfgNode

from reid_dml.config import per_network
from reid_dml.device import to_device
from reid_dml.mutual.objective import Scalars


def learning_rate_factor(
    step: int,
    total: int,
    *,
    name: str = "constant",
    warmup_steps: int = 0,
    final: float = 0.0,
    milestones: Sequence[int] = (),
    every: int = 0,
    gamma: float = 0.1,
) -> float:
    """Multiplier of the learning rate at a step (0 ... total - 1).

    Warm-up is linear, (step + 1) / warmup_steps. `cosine` falls from 1 to `final` over the steps behind the warm-up
    (Loshchilov and Hutter, 2017); `multistep` multiplies by `gamma` at each milestone, `staircase` after `every` steps.
    """
    if step < warmup_steps:
        return warmup_factor(step, warmup_steps)
    if name == "cosine":
        progress = (step - warmup_steps) / max(1, total - warmup_steps)
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
    if name == "multistep":
        return gamma ** bisect_right(sorted(milestones), step)
    if name == "staircase":
        return gamma ** (step // every)
    return 1.0


def ema_decay(step: int, decay: float) -> float:
    """Decay of the weight average at a step, min(decay, (1 + s) / (10 + s)): TensorFlow's rule, the authors' choice."""
    return min(decay, (1 + step) / (10 + step))


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Share of a weight at a step: (step + 1) / warmup_steps until it reaches 1."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


class Schedule:
    """The scalars of every step of a config, on a device."""

    def __init__(self, cfg: CfgNode, device: str) -> None:
        self.device, self.total = device, cfg.TRAIN.STEPS
        self.rates = per_network(cfg, "COHORT.LR")
        self.options = {key.lower(): value for key, value in cfg.SCHEDULE.items()}
        self.weight, self.weight_warmup = cfg.OBJECTIVE.WEIGHT, cfg.OBJECTIVE.WARMUP_STEPS
        self.decay = cfg.EMA.DECAY
        late = [step for step in cfg.SCHEDULE.MILESTONES if step >= self.total]
        if cfg.SCHEDULE.NAME == "multistep" and late:
            warnings.warn(
                f"SCHEDULE.MILESTONES: {late} are never reached in TRAIN.STEPS {self.total}: set them for this length",
                stacklevel=2,
            )

    def scalars(self, step: int) -> Scalars:
        """The scalars of this step (counted from 0)."""
        weight = self.weight * warmup_factor(step, self.weight_warmup)
        numbers = [*self.learning_rates(step), weight, ema_decay(step, self.decay)]
        vector = to_device(torch.tensor(numbers, dtype=torch.float64), self.device)
        return Scalars(vector[:-2], vector[-2], vector[-1])

    def learning_rates(self, step: int) -> list[float]:
        """Every network's learning rate at this step."""
        factor = learning_rate_factor(step, self.total, **self.options)
        return [rate * factor for rate in self.rates]
