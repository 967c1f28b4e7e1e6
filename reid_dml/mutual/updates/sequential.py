"""One network learns after the other, from predictions computed anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output
from reid_dml.mutual.cohort import Cohort
from reid_dml.mutual.objective import Objective, Scalars
from reid_dml.mutual.updates import UpdateRule, register_update
from reid_dml.mutual.updates.learning import add_member_gradient, predict_for_peers, update_from_gradient


@register_update("sequential")
@dataclass(frozen=True)
class Sequential(UpdateRule):
    """Algorithm 1: after network k is updated its predictions on the same batch are computed anew for the next.

    K - 1 extra forward passes (nobody needs the last network's), which leave batch-norm statistics alone. With
    several batches K more for each: the graphs of all of them at once would take a large batch's memory.
    """

    def batches_per_step(self, size: int) -> int:
        return 1

    def step(self, cohort: Cohort, objective: Objective, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        images, graphs = [cohort.inputs(batch) for batch in batches], {}
        predictions: list[list[Output]] = [[] for _ in batches]
        if len(batches) == 1:
            graphs = cohort.forward(images[0])
        if objective.uses_peers:
            for shown, seen in zip(images, predictions, strict=True):
                outputs = graphs or {
                    member.index: predict_for_peers(cohort, member, shown) for member in cohort.members
                }
                seen += [*cohort.links.exchange(outputs, cohort.size), *cohort.teach(shown)]
        rows = []
        for member in cohort.members:
            reports = []
            for batch, shown, seen in zip(batches, images, predictions, strict=True):
                output = graphs[member.index] if graphs else cohort.predict(member.network, shown)
                reports.append(add_member_gradient(member, output, seen, objective, batch, scalars, len(batches)))
            update_from_gradient(cohort, member, scalars)
            rows.append(torch.stack(reports).mean(0))
            if objective.uses_peers and member is not cohort.members[-1]:
                for shown, seen in zip(images, predictions, strict=True):
                    seen[member.index] = predict_for_peers(cohort, member, shown)
        return torch.stack(rows)
