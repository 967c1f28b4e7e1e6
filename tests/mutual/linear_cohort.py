"""Trains linear networks in float64 for 50 steps, in however many processes `torchrun` started, and saves the weights.

Run by test_distributed.py: python -m torch.distributed.run ... -m tests.mutual.linear_cohort K OUTPUT [HOW [SHARDS]]
With "captured" the steps are replayed; with "waits" or "breaks_off" the last process finds that they cannot be. With
"features" the networks also learn from their peers' features, with "pairs" from pairs of images inside each shard of a
batch: a process alone then looks at SHARDS parts of a batch one by one.
"""

from __future__ import annotations

import sys

import torch
from torch import nn

from reid_dml.config import default_config
from reid_dml.data.pipeline.sources import Batch, Shard
from reid_dml.engine.step import make_step
from reid_dml.models import Output
from reid_dml.mutual.cohort import Cohort, Member
from reid_dml.mutual.distributed import DistributedLinks, Placement
from reid_dml.mutual.objective import Objective, Scalars, build_objective
from reid_dml.mutual.terms import Term, TermInputs
from reid_dml.mutual.updates import UPDATE_RULES
from reid_dml.processes import processes, rank, world_size
from tests.engine.replaying import Replaying

N, D, WIDTH, C, STEPS = 12, 6, 4, 5, 50
CAPTURES = ("captured", "waits", "breaks_off")


class Linear(nn.Module):
    def __init__(self, index: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(index)
        self.embedding = nn.Parameter(torch.randn(WIDTH, D, generator=generator, dtype=torch.float64))
        self.weight = nn.Parameter(torch.randn(C, WIDTH, generator=generator, dtype=torch.float64))

    def forward(self, images: torch.Tensor) -> Output:
        features = images @ self.embedding.T
        return Output(features @ self.weight.T, features)


def of_shards(term: Term, shards: int) -> Term:
    """A term that is the mean of the term's values on so many parts of a batch."""

    def loss(_: Term, inputs: TermInputs) -> torch.Tensor:
        parts = zip(inputs.own.features.chunk(shards), inputs.batch.labels.chunk(shards), strict=True)
        seen = [TermInputs(Output(own, own), (), Batch(own, labels, labels, own), {}) for own, labels in parts]
        return torch.stack([term.loss(inputs) for inputs in seen]).mean()

    return type("OfShards", (type(term),), {"loss": loss})(**vars(term))


def make_objective(how: str, shards: int) -> Objective:
    cfg = default_config()
    cfg.OBJECTIVE.LABEL_SMOOTHING = 0.1
    if how == "features":
        cfg.OBJECTIVE.FEATURE_L2_WEIGHT = 0.05
    if how == "pairs":
        cfg.OBJECTIVE.TRIPLET_WEIGHT, cfg.OBJECTIVE.CIRCLE_WEIGHT, cfg.OBJECTIVE.CIRCLE_SCALE = 0.3, 0.2, 4.0
    terms = build_objective(cfg.OBJECTIVE).terms
    return Objective([of_shards(term, shards) if term.needs_pairs and world_size() == 1 else term for term in terms])


def make_capture(how: str, cohort: Cohort) -> Replaying:
    fails = rank() == world_size() - 1
    capture = Replaying(**{how: "a value on the CPU"} if fails and how != "captured" else {})
    capture.cohort = cohort
    return capture


def main(size: int, output: str, how: str = "", shards: str = "1") -> None:
    torch.set_num_threads(1)
    with processes("cpu"):
        placement = Placement.of(size, world_size(), rank(), batch_size=N)
        members = []
        for index in placement.networks:
            network = Linear(index)
            optimizer = torch.optim.SGD(network.parameters(), lr=torch.tensor(1.0, dtype=torch.float64), momentum=0.9)
            members.append(Member(index, network, optimizer, torch.Generator()))
        cohort = Cohort(members, size, inputs=lambda batch: batch.images)
        objective = make_objective(how, int(shards))
        if world_size() > 1:
            cohort.links = DistributedLinks(placement, features=objective.uses_features)
        one = torch.tensor(1.0, dtype=torch.float64)
        weights = torch.tensor(objective.weights_at(0), dtype=torch.float64)
        capture = make_capture(how, cohort) if how in CAPTURES else None
        take = make_step(UPDATE_RULES.get("simultaneous")(), cohort, objective, capture)
        for step in range(STEPS):
            generator = torch.Generator().manual_seed(1000 + step)
            images = torch.randn(N, D, generator=generator, dtype=torch.float64)
            # -1 = unlabelled: the parts of a batch have different numbers of labelled rows.
            labels = torch.randint(-1, C, (N,), generator=generator)
            shard = Shard(placement.shard, placement.shards)
            mine, count = shard.of(N), shard.label_count(labels)
            batch = Batch(images[mine], labels[mine], labels[mine], torch.zeros(N, 1)[mine], label_count=count)
            rates = torch.full((size,), 0.02, dtype=torch.float64)
            report = take([batch], Scalars(rates, weights, one))
        if placement.shard == 0:
            for member, row in zip(members, report, strict=True):
                saved = {**member.network.state_dict(), "report": row, "bytes": cohort.links.received_bytes}
                saved["replays"] = capture.replays if capture else 0
                torch.save(saved, f"{output}/{member.index}.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
