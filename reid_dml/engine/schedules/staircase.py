"""A fall after every so many steps."""

from __future__ import annotations

from dataclasses import dataclass

from yacs.config import CfgNode

from reid_dml.engine.schedules import LearningRateSchedule, register_schedule
from reid_dml.options import Refuse, option


@register_schedule("staircase")
@dataclass(frozen=True)
class Staircase(LearningRateSchedule):
    """Multiplied by `gamma` after `every` steps."""

    every: int = option(0, "steps between two falls", least=0)
    gamma: float = option(0.1, "what a fall multiplies the learning rate by", above=0)

    def factor(self, step: int, total: int, warmup_steps: int) -> float:
        return self.gamma ** (step // self.every)

    def check(self, cfg: CfgNode, refuse: Refuse) -> None:
        if not self.every:
            refuse("SCHEDULE.EVERY", "must be at least 1 for SCHEDULE.NAME staircase")
