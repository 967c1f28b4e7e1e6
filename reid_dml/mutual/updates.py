"""Update rules: in which order the networks of a cohort learn from one batch and from each other.

A rule's `step` runs on the device throughout: no `.item()`, no branch on data. Given n times the batches it needs, it
updates every network once with the mean of n gradients (`TRAIN.ACCUMULATION`): all of them computed before that network
changes, so that without batch norm n batches do what one n times as large would. To add a rule: a class here with the
decorator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output
from reid_dml.mutual.cohort import Cohort, Member, add_gradient, frozen_statistics, update_member
from reid_dml.mutual.objective import Objective, Scalars
from reid_dml.registry import Registry


class UpdateRule(Protocol):
    """The contract every update rule fulfils."""

    distributed: bool  # whether its networks may live in different processes

    def batches_per_step(self, size: int) -> int:
        """Batches that one step of a cohort of this size takes, or a multiple of them."""
        ...

    def step(self, cohort: Cohort, objective: Objective, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        """Update every member once. Returns (members, terms + 2): the objective's terms, the loss, the accuracy."""
        ...


UPDATE_RULES: Registry[Callable[[], UpdateRule]] = Registry("UPDATE.RULE", "reid_dml.mutual")
register_update = UPDATE_RULES.register


def build_rule(cfg: CfgNode) -> UpdateRule:
    """The update rule that `UPDATE.RULE` names."""
    return UPDATE_RULES.get(cfg.UPDATE.RULE)()


@register_update("simultaneous")
class Simultaneous:
    """All networks predict, then all are updated from those same predictions (Sec. 4.5, "distributed")."""

    distributed = True

    def batches_per_step(self, size: int) -> int:
        return 1

    def step(self, cohort: Cohort, objective: Objective, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        reports = [_learn_together(cohort, objective, batch, scalars, len(batches)) for batch in batches[:-1]]
        reports.append(_learn_together(cohort, objective, batches[-1], scalars, len(batches), update=True))
        report = torch.stack(reports).mean(0)
        cohort.links.average([report])
        return report


@register_update("sequential")
class Sequential:
    """Algorithm 1: after network k is updated its predictions on the same batch are computed anew for the next.

    K - 1 extra forward passes (nobody needs the last network's), which leave batch-norm statistics alone. With
    several batches K more for each: the graphs of all of them at once would take a large batch's memory.
    """

    distributed = False

    def batches_per_step(self, size: int) -> int:
        return 1

    def step(self, cohort: Cohort, objective: Objective, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        images, graphs = [cohort.inputs(batch) for batch in batches], {}
        predictions: list[list[Output]] = [[] for _ in batches]
        if len(batches) == 1:
            graphs = cohort.forward(images[0])
        if objective.uses_peers:
            for shown, seen in zip(images, predictions, strict=True):
                outputs = graphs or {member.index: _predict(cohort, member, shown) for member in cohort.members}
                seen += [*cohort.links.exchange(outputs, cohort.size), *cohort.teach(shown)]
        rows = []
        for member in cohort.members:
            reports = []
            for batch, shown, seen in zip(batches, images, predictions, strict=True):
                output = graphs[member.index] if graphs else cohort.predict(member.network, shown)
                reports.append(_learn(member, output, seen, objective, batch, scalars, len(batches)))
            _update(cohort, member, scalars)
            rows.append(torch.stack(reports).mean(0))
            if objective.uses_peers and member is not cohort.members[-1]:
                for shown, seen in zip(images, predictions, strict=True):
                    seen[member.index] = _predict(cohort, member, shown)
        return torch.stack(rows)


@register_update("fresh_batch")
class FreshBatch:
    """The authors' code: each network takes its step on a batch of its own, every prediction computed anew for it.

    A step takes K batches and K * K forward passes; batch-norm statistics follow a network's own batch only. Several
    times K batches are dealt out in turn.
    """

    distributed = False

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
                    peers = [output if peer is member else _predict(cohort, peer, images) for peer in cohort.members]
                    predictions = [*peers, *cohort.teach(images)]
                reports.append(_learn(member, output, predictions, objective, batch, scalars, len(own)))
            _update(cohort, member, scalars)
            rows.append(torch.stack(reports).mean(0))
        return torch.stack(rows)


def _learn_together(
    cohort: Cohort, objective: Objective, batch: Batch, scalars: Scalars, batches: int, *, update: bool = False
) -> Tensor:
    """One of several batches' share of every member's gradient, and behind the last batch the updates."""
    images = cohort.inputs(batch)
    outputs, predictions = cohort.forward(images), []
    if objective.uses_peers:
        predictions = [*cohort.links.exchange(outputs, cohort.size), *cohort.teach(images)]

    def learn(member: Member) -> Tensor:
        row = _learn(member, outputs[member.index], predictions, objective, batch, scalars, batches)
        if update:
            _update(cohort, member, scalars)
        return row

    return torch.stack(cohort.streams.map(learn, cohort.members))


def _predict(cohort: Cohort, member: Member, images: Tensor) -> Output:
    """A train-mode prediction for others to learn from, without a trace in the network."""
    with torch.no_grad(), frozen_statistics(member):
        return cohort.predict(member.network, images)


def _learn(
    member: Member,
    output: Output,
    predictions: list[Output],
    objective: Objective,
    batch: Batch,
    scalars: Scalars,
    batches: int,
) -> Tensor:
    """One of several batches' share of a member's gradient, from its own output and the others' predictions.

    Returns the batch's row of the step's report.
    """
    peers = [prediction for index, prediction in enumerate(predictions) if index != member.index]
    terms = objective(output, peers, batch, scalars)
    loss = add_gradient(terms, batches)
    if output.centers is not None:
        objective.move_centers(output, batch)
    correct = (output.logits.argmax(1) == batch.labels).to(loss.dtype)
    labelled = (batch.labels >= 0).to(loss.dtype)
    count = labelled.sum().clamp(min=1) if batch.label_count is None else batch.label_count
    accuracy = (correct * labelled).sum() / count
    return torch.stack([*(terms[name].detach() for name in objective.terms), loss, accuracy])


def _update(cohort: Cohort, member: Member, scalars: Scalars) -> None:
    network = member.network
    cohort.links.average([parameter.grad for parameter in network.parameters() if parameter.grad is not None])
    cohort.links.average([buffer for buffer in network.buffers() if buffer.is_floating_point()])
    update_member(member, scalars.learning_rates[member.index], scalars.ema_decay)
