"""Learning-rate schedules, one file each, and all that changes with the step as pure functions of it.

To add a schedule: a file here with a class like those beside it, decorated with `register_schedule`
(docs/extending.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from reid_dml.options import Component
from reid_dml.registry import Registry


class LearningRateSchedule(Component, ABC):
    """The contract of every schedule, whose options stand below `SCHEDULE`."""

    @abstractmethod
    def factor(self, step: int, total: int, warmup_steps: int) -> float:
        """Multiplier of the learning rate behind the warm-up.

        Args:
            step: counted from 0 over the whole run, at least `warmup_steps`.
            total: steps of the run.
            warmup_steps: those before.
        """

    def warn_of_length(self, total: int) -> None:
        """Point out, when a training begins, options that do not go with a run of `total` steps."""


SCHEDULES: Registry[type[LearningRateSchedule]] = Registry("SCHEDULE.NAME", __name__, LearningRateSchedule)
register_schedule = SCHEDULES.register
