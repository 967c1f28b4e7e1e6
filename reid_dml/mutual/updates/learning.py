"""What the update rules have in common: gradients of one network from one batch, and the update from them."""

from __future__ import annotations

import torch
from torch import Tensor

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output
from reid_dml.mutual.cohort import Cohort, Member, add_gradient, frozen_statistics, update_member
from reid_dml.mutual.objective import Objective, Scalars


def learn_together(
    cohort: Cohort, objective: Objective, batch: Batch, scalars: Scalars, batches: int, *, update: bool = False
) -> Tensor:
    """One of several batches' share of every member's gradient, and behind the last batch the updates."""
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
    """A train-mode prediction for others to learn from, without a trace in the network."""
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
    """One of several batches' share of a member's gradient, from its own output and the others' predictions.

    Returns the batch's row of the step's report.
    """
    peers = [prediction for index, prediction in enumerate(predictions) if index != member.index]
    terms = objective(output, peers, batch, scalars, member.term_state)
    if terms.keys() != set(objective.terms):
        # Else it would be trained and never logged, or logged and never trained.
        raise ValueError(f"the objective announces the terms {objective.terms} and gives {tuple(terms)}")
    loss = add_gradient(terms, batches)
    objective.after_backward(output, peers, batch, member.term_state)
    correct = (output.logits.argmax(1) == batch.labels).to(loss.dtype)
    labelled = (batch.labels >= 0).to(loss.dtype)
    count = labelled.sum().clamp(min=1) if batch.label_count is None else batch.label_count
    accuracy = (correct * labelled).sum() / count
    return torch.stack([*(terms[name].detach() for name in objective.terms), loss, accuracy])


def update_from_gradient(cohort: Cohort, member: Member, scalars: Scalars) -> None:
    network = member.network
    cohort.links.average([parameter.grad for parameter in network.parameters() if parameter.grad is not None])
    cohort.links.average([buffer for buffer in network.buffers() if buffer.is_floating_point()])
    update_member(member, scalars.learning_rates[member.index], scalars.ema_decay)
