"""The scalars of every step of a run: learning rates, weights of the loss terms, decay of the weight average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from reid_dml.device import to_device
from reid_dml.engine.schedules import SCHEDULES
from reid_dml.mutual.objective import Objective, Scalars
from reid_dml.options import from_section, option


@dataclass(frozen=True)
class ScheduleOptions:
    """What goes with every schedule."""

    name: str = option("constant", "how the learning rate changes behind the warm-up", choices=SCHEDULES.names)
    warmup_steps: int = option(0, "steps over which the learning rate rises linearly", least=0)


def ema_decay(count: int, decay: float) -> float:
    """Decay of the weight average at a count s, min(decay, (1 + s) / (10 + s)): TensorFlow's rule, as the authors'."""
    return min(decay, (1 + count) / (10 + count))


class Schedule:
    """The scalars of every step, on a device: a pure function of the step."""

    def __init__(
        self,
        section: Mapping[str, Any],
        objective: Objective,
        *,
        total: int,
        learning_rates: Sequence[float],
        ema_decay: float,
        ema_counts: int = 1,
        device: str,
    ) -> None:
        """A schedule.

        Args:
            section: the options of `SCHEDULE`.
            objective: whose terms' weights may change with the step.
            total: steps of the run.
            learning_rates: of each network of the cohort, before they are multiplied.
            ema_decay: of the weight average in the long run.
            ema_counts: by how much its count goes up in a step.
            device: where the scalars are wanted.
        """
        self.shape = from_section(SCHEDULES.get(section["NAME"]), section)
        self.warmup_steps = from_section(ScheduleOptions, section).warmup_steps
        self.objective, self.total, self.rates = objective, total, list(learning_rates)
        self.decay, self.ema_counts, self.device = ema_decay, ema_counts, device
        self.shape.warn_of_length(total)

    def scalars(self, step: int) -> Scalars:
        """The scalars of this step (counted from 0)."""
        rates, weights = self.learning_rates(step), self.objective.weights_at(step)
        numbers = [*rates, *weights, ema_decay(step * self.ema_counts, self.decay)]
        vector = to_device(torch.tensor(numbers, dtype=torch.float64), self.device)
        return Scalars(vector[: len(rates)], vector[len(rates) : -1], vector[-1])

    def learning_rates(self, step: int) -> list[float]:
        """Every network's learning rate at this step."""
        factor = self.factor(step)
        return [rate * factor for rate in self.rates]

    def same_until(self, step: int, total: int) -> bool:
        """Whether a run of another length has these learning rates up to a step."""
        looks = range(self.warmup_steps, step, max(1, step // 1000))
        factors = [
            [self.shape.factor(look, length, self.warmup_steps) for look in looks] for length in (self.total, total)
        ]
        return factors[0] == factors[1]

    def factor(self, step: int) -> float:
        """Multiplier of the learning rates: (step + 1) / warmup_steps in the warm-up, then as the schedule says."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        return self.shape.factor(step, self.total, self.warmup_steps)
