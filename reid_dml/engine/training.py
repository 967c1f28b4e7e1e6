"""Everything one training run works with, put together by `commands.training.build_training`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from reid_dml.data.pipeline.sources import Batch, BatchSource
from reid_dml.engine.schedules.schedule import Schedule
from reid_dml.engine.step import Step
from reid_dml.mutual.cohort import Cohort
from reid_dml.mutual.distributed import Placement
from reid_dml.mutual.objective import Objective
from reid_dml.mutual.updates import UpdateRule


@dataclass(frozen=True)
class Training:
    """The parts of a training run on this process; what changes with the steps is inside them."""

    cohort: Cohort
    rule: UpdateRule
    objective: Objective
    source: BatchSource
    schedule: Schedule
    step: Step  # the rule's, eager or as a CUDA graph
    placement: Placement  # of the cohort over the processes
    device: str
    accumulation: int = 1  # batches whose mean gradient makes one update of a network

    @property
    def batches_per_step(self) -> int:
        """Batches that one step takes from the source."""
        return self.rule.batches_per_step(self.cohort.size) * self.accumulation

    @property
    def images_per_step(self) -> int:
        """Images in these batches, over all processes."""
        return self.source.sampler.batch_size * self.batches_per_step

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of a step's report hold."""
        return (*self.objective.names, "loss", "accuracy")

    def batches(self, number: int) -> list[Batch]:
        """This process's shards of the batches of step `number`, counted from 0; see `BatchSource.batch`."""
        first = number * self.batches_per_step
        return [self.source.batch(first + place) for place in range(self.batches_per_step)]

    def run_step(self, number: int) -> Tensor:
        """Take step `number`; its report, (members, columns), is valid until the next step. Never waits for a GPU."""
        return self.step(self.batches(number), self.schedule.scalars(number))
