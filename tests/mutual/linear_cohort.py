"""Trains linear networks in float64 for 50 steps, in however many processes `torchrun` started, and saves the weights.

Run by test_distributed.py: python -m torch.distributed.run ... -m tests.mutual.linear_cohort K OUTPUT [captured]
With "captured" the steps are replayed; with "waits" or "breaks_off" the last process finds that they cannot be.
"""

from __future__ import annotations

import sys

import torch
from torch import nn

from reid_dml.config import default_config
from reid_dml.data.pipeline.sources import Batch
from reid_dml.engine.step import make_step
from reid_dml.models import Output
from reid_dml.mutual.cohort import Cohort, Member
from reid_dml.mutual.distributed import DistributedLinks, Placement
from reid_dml.mutual.objective import Scalars, build_objective
from reid_dml.mutual.updates import UPDATE_RULES
from reid_dml.processes import processes, rank, world_size
from tests.engine.replaying import Replaying

N, D, C, STEPS = 12, 6, 5, 50


class Linear(nn.Module):
    def __init__(self, index: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(index)
        self.weight = nn.Parameter(torch.randn(C, D, generator=generator, dtype=torch.float64))

    def forward(self, images: torch.Tensor) -> Output:
        return Output(images @ self.weight.T, images)


def make_capture(how: str, cohort: Cohort) -> Replaying:
    fails = rank() == world_size() - 1
    capture = Replaying(**{how: "a value on the CPU"} if fails and how != "captured" else {})
    capture.cohort = cohort
    return capture


def main(size: int, output: str, how: str = "") -> None:
    torch.set_num_threads(1)
    with processes("cpu"):
        placement = Placement.of(size, world_size(), rank(), batch_size=N)
        members = []
        for index in placement.networks:
            network = Linear(index)
            optimizer = torch.optim.SGD(network.parameters(), lr=torch.tensor(1.0, dtype=torch.float64), momentum=0.9)
            members.append(Member(index, network, optimizer, torch.Generator()))
        cohort = Cohort(members, size, inputs=lambda batch: batch.images)
        if world_size() > 1:
            cohort.links = DistributedLinks(placement)
        cfg = default_config()
        cfg.OBJECTIVE.LABEL_SMOOTHING = 0.1
        objective = build_objective(cfg.OBJECTIVE)
        one = torch.tensor(1.0, dtype=torch.float64)
        capture = make_capture(how, cohort) if how else None
        take = make_step(UPDATE_RULES.get("simultaneous")(), cohort, objective, capture)
        for step in range(STEPS):
            generator = torch.Generator().manual_seed(1000 + step)
            images = torch.randn(N, D, generator=generator, dtype=torch.float64)
            # -1 = unlabelled: the parts of a batch have different numbers of labelled rows.
            labels = torch.randint(-1, C, (N,), generator=generator)
            batch = placement.take_shard(Batch(images, labels, labels, torch.zeros(N, 1)))
            rates = torch.full((size,), 0.02, dtype=torch.float64)
            report = take([batch], Scalars(rates, one.expand(len(objective.names)), one))
        if placement.shard == 0:
            for member, row in zip(members, report, strict=True):
                saved = {"weight": member.network.weight.detach(), "report": row, "bytes": cohort.links.received_bytes}
                saved["replays"] = capture.replays if capture else 0
                torch.save(saved, f"{output}/{member.index}.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
