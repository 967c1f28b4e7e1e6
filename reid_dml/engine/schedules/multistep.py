"""A fall at each of some chosen steps."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from dataclasses import dataclass

from yacs.config import CfgNode

from reid_dml.engine.schedules import LearningRateSchedule, register_schedule
from reid_dml.options import Refuse, option


@register_schedule("multistep")
@dataclass(frozen=True)
class Multistep(LearningRateSchedule):
    """Multiplied by `gamma` at each milestone."""

    milestones: list[int] = option([], "steps at which the learning rate falls", items=int)
    gamma: float = option(0.1, "what a fall multiplies the learning rate by", above=0)

    def factor(self, step: int, total: int, warmup_steps: int) -> float:
        return self.gamma ** bisect_right(self.milestones, step)

    def check(self, cfg: CfgNode, refuse: Refuse) -> None:
        if not self.milestones:
            refuse("SCHEDULE.MILESTONES", "must name at least one step for SCHEDULE.NAME multistep")
        if list(self.milestones) != sorted(set(self.milestones)):
            refuse("SCHEDULE.MILESTONES", "must name each step once, in rising order")

    def warn_of_length(self, total: int) -> None:
        if late := [step for step in self.milestones if step >= total]:
            warnings.warn(
                f"SCHEDULE.MILESTONES: {late} are never reached in TRAIN.STEPS {total}: set them for this length",
                stacklevel=3,
            )
