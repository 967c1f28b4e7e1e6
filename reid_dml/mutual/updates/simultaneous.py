"""All networks learn at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from reid_dml.data.pipeline.sources import Batch
from reid_dml.mutual.cohort import Cohort
from reid_dml.mutual.objective import Objective, Scalars
from reid_dml.mutual.updates import UpdateRule, register_update
from reid_dml.mutual.updates.learning import learn_together


@register_update("simultaneous")
@dataclass(frozen=True)
class Simultaneous(UpdateRule):
    """All networks predict, then all are updated from those same predictions (Sec. 4.5, "distributed")."""

    distributed: ClassVar[bool] = True

    def batches_per_step(self, size: int) -> int:
        return 1

    def step(self, cohort: Cohort, objective: Objective, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        reports = [learn_together(cohort, objective, batch, scalars, len(batches)) for batch in batches[:-1]]
        reports.append(learn_together(cohort, objective, batches[-1], scalars, len(batches), update=True))
        report = torch.stack(reports).mean(0)
        cohort.links.average([report])
        return report
