"""The cohort: the networks that learn together, with everything each of them owns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output, ReIDNetwork
from reid_dml.models.cast_weights import cast_weights
from reid_dml.models.reid_network import copied_buffers, use_generator
from reid_dml.mutual.objective import Objective, Scalars
from reid_dml.mutual.streams import MemberStreams
from reid_dml.mutual.terms import State


@dataclass
class Member:
    """One network of the cohort on this process."""

    index: int  # position in the whole cohort
    network: ReIDNetwork
    optimizer: torch.optim.Optimizer  # its learning rates are 0-d tensors, set in place at every step
    generator: torch.Generator  # of the network's dropout while it learns
    ema: ReIDNetwork | None = None  # exponential moving average of the network
    clip_norm: float = 0.0  # largest Euclidean norm of its whole gradient; 0: as it comes
    # Of the network's dropout in forward passes for its peers, which leave no trace.
    peer_generator: torch.Generator = field(default_factory=torch.Generator)
    term_state: dict[str, State] = field(default_factory=dict)  # what the objective's terms keep for the network
    # The function of that name, compiled or not.
    assess: Callable[..., tuple[Tensor, Tensor]] = field(default_factory=lambda: assess)


class Links(Protocol):
    """Communication between processes: predictions between networks, means over the replicas of one network."""

    received_bytes: int | None  # of predictions in the last exchange; None: there are no other processes

    def exchange(self, outputs: Mapping[int, Output], size: int) -> list[Output]:
        """Every network's detached prediction, in cohort order, from those of this process by index."""
        ...

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean over the replicas of this process's networks."""
        ...


class LocalLinks:
    """No other process: all networks are in this one."""

    received_bytes: int | None = None

    def exchange(self, outputs: Mapping[int, Output], size: int) -> list[Output]:
        return [Output(outputs[index].logits.detach(), outputs[index].features.detach()) for index in range(size)]

    def average(self, tensors: Sequence[Tensor]) -> None:
        pass


@dataclass
class Cohort:
    """Members on this process, the size of the whole cohort, and what links it to other processes.

    `inputs` turns a batch into network inputs (`augment` with the run's spec). `teachers` are frozen networks in
    evaluation mode, in no optimiser, which every member mimics beside its peers. With `bfloat16` the networks compute
    in it where torch's autocast says so; weights, gradients and losses stay float32. With `streams` the members'
    forward and backward passes run on a CUDA stream each.
    """

    members: Sequence[Member]
    size: int
    inputs: Callable[[Batch], Tensor]
    links: Links = field(default_factory=LocalLinks)
    teachers: Sequence[ReIDNetwork] = ()
    bfloat16: bool = False
    streams: MemberStreams = field(default_factory=MemberStreams)

    def predict(self, network: ReIDNetwork, images: Tensor) -> Output:
        """A network's output at the cohort's precision."""
        if not self.bfloat16:
            return network(images)
        cast = nullcontext() if getattr(network, "recompute", False) else cast_weights(network)
        # Without the cache of cast weights: a pass uses each weight once, and a CUDA graph must not rely on it.
        with cast, torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
            return network(images)

    def forward(self, images: Tensor) -> dict[int, Output]:
        """Every member's output by its index."""
        outputs = self.streams.map(lambda member: self.predict(member.network, images), self.members)
        return {member.index: output for member, output in zip(self.members, outputs, strict=True)}

    @torch.no_grad()
    def teach(self, images: Tensor) -> list[Output]:
        """Every frozen teacher's output."""
        return [self.predict(teacher, images) for teacher in self.teachers]


def assess(
    objective: Objective,
    output: Output,
    peers: Sequence[Output],
    batch: Batch,
    scalars: Scalars,
    state: Mapping[str, State],
    batches: int,
) -> tuple[Tensor, Tensor]:
    """What one network is to minimise on one of several batches, and what a step reports of it.

    Args:
        objective: gives the terms of the loss.
        output: the network's own, with a graph.
        peers: detached outputs of the others and of frozen teachers.
        batch, scalars: of this step.
        state: what the terms keep for the network.
        batches: number of batches that make one update.

    Returns:
        0-d, the loss divided by the number of batches, with a graph; (T + 2,): terms, loss, accuracy, without.

    Raises:
        ValueError: the objective gives other terms than it announces.
    """
    terms = objective(output, peers, batch, scalars, state)
    if terms.keys() != set(objective.names):
        # Else it would be trained and never logged, or logged and never trained.
        raise ValueError(f"the objective announces the terms {objective.names} and gives {tuple(terms)}")
    loss = torch.stack(list(terms.values())).sum()
    correct = (output.logits.argmax(1) == batch.labels).to(loss.dtype)
    labelled = (batch.labels >= 0).to(loss.dtype)
    count = labelled.sum().clamp(min=1) if batch.label_count is None else batch.label_count
    accuracy = (correct * labelled).sum() / count
    row = torch.stack([*(terms[name].detach() for name in objective.names), loss.detach(), accuracy])
    return loss / batches, row


def update_member(member: Member, learning_rate: Tensor, ema_decay: Tensor) -> None:
    """One optimiser step of one network on the accumulated gradient, which is cleared.

    Args:
        member: what is updated, its weight average included.
        learning_rate, ema_decay: 0-d tensors on the device.
    """
    if member.clip_norm > 0:
        nn.utils.clip_grad_norm_(member.network.parameters(), member.clip_norm)
    for group in member.optimizer.param_groups:
        group["lr"].copy_(learning_rate)
    member.optimizer.step()
    member.optimizer.zero_grad(set_to_none=True)
    if member.ema is not None:
        update_ema(member.ema, member.network, ema_decay)


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: Tensor) -> None:
    """average <- decay * average + (1 - decay) * network, for parameters and batch-norm statistics; counters copied.

    Args:
        average: changed in place.
        network: of the same architecture.
        decay: 0-d tensor on the device.
    """
    pairs = list(zip(average.state_dict().values(), network.state_dict().values(), strict=True))
    if counters := [pair for pair in pairs if not pair[0].is_floating_point()]:
        torch._foreach_copy_([kept for kept, _ in counters], [current for _, current in counters])
    old = [kept for kept, _ in pairs if kept.is_floating_point()]
    new = [current for kept, current in pairs if kept.is_floating_point()]
    difference = torch._foreach_sub(new, old)
    torch._foreach_mul_(difference, (1 - decay).to(difference[0].dtype))
    torch._foreach_add_(old, difference)


@contextmanager
def frozen_statistics(member: Member) -> Iterator[None]:
    """Train-mode forward passes without side effects: batch-norm buffers and the dropout generator stay untouched.

    Algorithm 1 predicts a batch again after an update; moving the statistics a second time would count it twice.
    Dropout draws from the peer generator meanwhile: a CUDA graph cannot put a generator's state back.
    """
    use_generator(member.network, member.peer_generator)
    try:
        with copied_buffers(member.network):
            yield
    finally:
        use_generator(member.network, member.generator)
