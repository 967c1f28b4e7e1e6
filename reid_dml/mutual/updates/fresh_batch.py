"""Each network learns from a batch of its own."""

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


@register_update("fresh_batch")
@dataclass(frozen=True)
class FreshBatch(UpdateRule):
    """The authors' code: each network takes its step on a batch of its own, every prediction computed anew for it.

    A step takes K batches and K * K forward passes; batch-norm statistics follow a network's own batch only. Several
    times K batches are dealt out in turn.
    """

    def batches_per_step(self, size: int) -> int:
        return size

    def step(self, cohort: Cohort, objective: Objective, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        rows = []
        for member in cohort.members:
            own, reports = batches[member.index :: cohort.size], []
            for batch in own:
                images = cohort.inputs(batch)
                output = cohort.predict(member.network, images)
                predictions: list[Output] = []
                if objective.uses_peers:
                    peers = [
                        output if peer is member else predict_for_peers(cohort, peer, images) for peer in cohort.members
                    ]
                    predictions = [*peers, *cohort.teach(images)]
                reports.append(add_member_gradient(member, output, predictions, objective, batch, scalars, len(own)))
            update_from_gradient(cohort, member, scalars)
            rows.append(torch.stack(reports).mean(0))
        return torch.stack(rows)
