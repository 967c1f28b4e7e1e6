"""Mutual learning over several processes: each owns some of the networks and sees the same batches; logits travel."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from reid_dml.errors import UserError
from reid_dml.models import Output
from reid_dml.mutual.cohort import Exchange, local_exchange
from reid_dml.processes import world_size


def placement(size: int, world: int) -> list[list[int]]:
    """Networks of each process: contiguous shares of 0 ... size - 1, the first ones larger by one at most.

    Raises `UserError` if there are more processes than networks.
    """
    if world > size:
        raise UserError(
            f"{world} processes for {size} networks: start at most {size} (torchrun --nproc-per-node {size})"
        )
    shares = [size // world + (number < size % world) for number in range(world)]
    starts = [sum(shares[:number]) for number in range(world)]
    return [list(range(start, start + share)) for start, share in zip(starts, shares, strict=True)]


def make_exchange(size: int, *, features: bool = False) -> Exchange:
    """The exchange for this number of processes: local in one; in several logits travel, and features if asked."""
    return local_exchange if world_size() == 1 else DistributedExchange(size, features=features)


class DistributedExchange:
    """Every process sends its networks' detached logits (N, C), as float32, to all others.

    Logits and not probabilities travel: they carry any temperature, and the tails that a float32 probability loses. A
    process receives (K - K_local) * N * C * 4 bytes a step (`received_bytes`, of the last step), with `features` those
    of the pooled features (N, D) too, which must be of one width. Without it remote networks have features (N, 0).
    """

    def __init__(self, size: int, *, features: bool = False) -> None:
        self.places, self.features = placement(size, world_size()), features
        self.received_bytes = 0

    def __call__(self, outputs: Mapping[int, Output], size: int) -> list[Output]:
        self.received_bytes = 0
        sample = next(iter(outputs.values()))
        predictions: list[Output] = []
        for source, indices in enumerate(self.places):
            for index in indices:
                own = outputs.get(index)
                logits = self._share(own.logits if own else None, sample.logits, source)
                remote = sample.features.new_empty(len(logits), 0)
                features = (
                    self._share(own.features if own else None, sample.features, source) if self.features else remote
                )
                # What a process keeps of its own networks is what the others receive.
                predictions.append(Output(logits, own.features.detach() if own and not self.features else features))
        return predictions

    def _share(self, own: Tensor | None, like: Tensor, source: int) -> Tensor:
        """The tensor of process `source`, on every process; `own` where it is this one."""
        if own is not None:
            values = own.detach().float().contiguous()
        else:
            values = torch.empty_like(like, dtype=torch.float32, memory_format=torch.contiguous_format)
            self.received_bytes += values.numel() * values.element_size()
        dist.broadcast(values, source)
        return values
