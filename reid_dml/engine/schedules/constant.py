"""One learning rate for the whole run."""

from __future__ import annotations

from dataclasses import dataclass

from reid_dml.engine.schedules import LearningRateSchedule, register_schedule


@register_schedule("constant")
@dataclass(frozen=True)
class Constant(LearningRateSchedule):
    """Always 1."""

    def factor(self, step: int, total: int, warmup_steps: int) -> float:
        return 1.0
