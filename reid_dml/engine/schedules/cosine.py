"""Half a cosine (Loshchilov and Hutter, "SGDR", 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reid_dml.engine.schedules import LearningRateSchedule, register_schedule
from reid_dml.options import option


@register_schedule("cosine")
@dataclass(frozen=True)
class Cosine(LearningRateSchedule):
    """Falls from 1 to `final` over the steps behind the warm-up."""

    final: float = option(0.0, "last learning rate as a share of the first", least=0, most=1)

    def factor(self, step: int, total: int, warmup_steps: int) -> float:
        progress = (step - warmup_steps) / max(1, total - warmup_steps)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
