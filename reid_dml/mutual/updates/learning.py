"""What the update rules have in common: gradients of one network from one batch, and the update from them."""

from __future__ import annotations

import torch
from torch import Tensor

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output
from reid_dml.mutual.cohort import Cohort, Member, frozen_statistics, update_member
from reid_dml.mutual.objective import Objective, Scalars


def learn_together(
    cohort: Cohort, objective: Objective, batch: Batch, scalars: Scalars, batches: int, *, update: bool = False
) -> Tensor:
    """One of several batches' share of every member's gradient, all from the same predictions.

    Args:
        cohort, objective, batch, scalars: as for `UpdateRule.step`.
        batches: number of batches that make one update.
        update: whether this is the last of them: every member is updated.

    Returns:
        (members, T + 2), the batch's rows of the step's report.
    """
    images = cohort.inputs(batch)
    outputs, predictions = cohort.forward(images), []
    if objective.uses_peers:
        predictions = [*cohort.links.exchange(outputs, cohort.size), *cohort.teach(images)]

    def learn(member: Member) -> Tensor:
        row = add_member_gradient(member, outputs[member.index], predictions, objective, batch, scalars, batches)
        if update:
            update_from_gradient(cohort, member, scalars)
        return row

    return torch.stack(cohort.streams.map(learn, cohort.members))


def predict_for_peers(cohort: Cohort, member: Member, images: Tensor) -> Output:
    """A train-mode prediction for others to learn from, which leaves statistics and dropout generator untouched.

    Args:
        cohort: of the member; its precision is used.
        member: whose network predicts.
        images: (N, 3, H, W) network inputs.
    """
    with torch.no_grad(), frozen_statistics(member):
        return cohort.predict(member.network, images)


def add_member_gradient(
    member: Member,
    output: Output,
    predictions: list[Output],
    objective: Objective,
    batch: Batch,
    scalars: Scalars,
    batches: int,
) -> Tensor:
    """One of several batches' share of a member's gradient.

    Args:
        member: whose gradient it is added to.
        output: its own output, with a graph.
        predictions: detached outputs of the whole cohort by index, then of the teachers; empty if nobody is mimicked.
        objective, batch, scalars: as for `UpdateRule.step`.
        batches: number of batches that make one update.

    Returns:
        (T + 2,), the batch's row of the step's report: terms, loss, accuracy.

    Raises:
        ValueError: the objective gives other terms than it announces.
    """
    peers = [prediction for index, prediction in enumerate(predictions) if index != member.index]
    share, row = member.assess(objective, output, peers, batch, scalars, member.term_state, batches)
    share.backward()
    objective.after_backward(output, peers, batch, member.term_state)
    return row


def update_from_gradient(cohort: Cohort, member: Member, scalars: Scalars) -> None:
    """Update a member with the gradient added up so far, averaged over the processes that share its network.

    Args:
        cohort: of the member.
        member: what is updated, its weight average included.
        scalars: of this step.
    """
    network = member.network
    cohort.links.average([parameter.grad for parameter in network.parameters() if parameter.grad is not None])
    cohort.links.average([buffer for buffer in network.buffers() if buffer.is_floating_point()])
    update_member(member, scalars.learning_rates[member.index], scalars.ema_decay)
